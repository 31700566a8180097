"""The application that all commands hang on."""

from __future__ import annotations

import typer

from app.cli import (
    db,
    demo,
    export_file,
    export_recommendations,
    import_file,
    keys,
    models,
    recommend,
    serve,
    train,
    trainer,
    worker,
)

application = typer.Typer(
    name="likewise",
    help="A recommendations microservice: interactions in over HTTP, fresh personal lists out of memory.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
application.command()(serve.serve)
application.command()(trainer.trainer)
application.command(hidden=True)(worker.worker)
application.command()(train.train)
application.command()(demo.demo)
application.command(name="import")(import_file.import_file)
application.command(name="export")(export_file.export_file)
application.command()(recommend.recommend)
application.command()(export_recommendations.export_recommendations)
application.add_typer(models.group, name="models")
application.add_typer(keys.group, name="keys")
application.add_typer(db.group, name="db")
