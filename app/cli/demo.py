"""`likewise demo`: from nothing to personal recommendations on real data, in one command."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.exits import CommandFailed
from app.cli.needs import check_device, check_model_dir
from app.cli.output import console, say, table
from app.cli.stores import opened_store, read_settings

if TYPE_CHECKING:
    from app.db.engine import Store
    from app.demo.dataset import DemoDataset, Landmark
    from app.settings import Settings

_LINES = 10


def demo(
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Leave the service running at the end.")] = True,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of the service.")] = 8000,
) -> None:
    """Import MovieLens-100K, train, show recommendations, and serve them on 127.0.0.1.

    Uses the store of the settings (./data by default). A second run goes on with what is there; a store that holds
    other data is left alone.
    """
    settings = read_settings()
    check_model_dir(settings, written=True)
    check_device(settings)
    with opened_store(settings) as store:
        landmark, label = _prepare(store)
        trained = _is_trained(store)
    if trained:
        say("The model knows all of it already: nothing to train.")
    else:
        _train(settings)
    offered = _show(settings, landmark)
    if not serve:
        say(f"\nServe it with: likewise serve --port {port}")
        return
    _invite(landmark.shown_user_id, offered, port, label)
    # A new program in this process: the one that trained has torch in its memory, the one that serves never loads it.
    os.execv(sys.executable, [sys.executable, "-m", "app.cli", "serve", "--port", str(port)])  # noqa: S606 - our own program


def _prepare(store: Store) -> tuple[Landmark, str]:
    """See to it that the store holds a demonstration; says which one."""
    from app.demo import movielens, synthetic
    from app.demo.store import holding

    made_up = synthetic.generate()
    with store.read() as connection:
        real, synthetic_part = holding(connection, movielens.LANDMARK), holding(connection, made_up.landmark)
    where = store.url
    if real == "all":
        say(f"{movielens.LABEL} is in {where} already.")
        return movielens.LANDMARK, movielens.LABEL
    if synthetic_part in ("part", "all"):
        say(f"{where} holds {synthetic.LABEL} of an earlier run without a network; going on with it.")
        _import(store, made_up)
        return made_up.landmark, synthetic.LABEL
    if real == "other":
        raise CommandFailed(
            f"{where} holds other data, which is left alone. Give the demo a store of its own, for example: "
            "LIKEWISE_DATABASE_URL=sqlite:///./demo/likewise.db LIKEWISE_MODEL_DIR=./demo/models likewise demo"
        )
    dataset = _fetched() or made_up
    _import(store, dataset)
    return dataset.landmark, dataset.label


def _fetched() -> DemoDataset | None:
    from app.demo import movielens

    say(f"Fetching {movielens.LABEL}: 100,000 ratings of 1,682 films by 943 people, collected by GroupLens ...")
    try:
        return movielens.fetch()
    except movielens.DatasetUnavailable as error:
        say(f"It cannot be fetched ({error}).")
        say("NOT REAL DATA: going on with a synthetic set, in which people and titles are made up.")
        return None


def _import(store: Store, dataset: DemoDataset) -> None:
    from app.cli.progress import counting_bar
    from app.clock import now_us
    from app.demo.store import import_dataset

    with counting_bar("Importing", total=len(dataset.ratings), unit="rows") as bar:
        import_dataset(store, dataset, clock=now_us, on_progress=bar)
    say(f"{len(dataset.ratings):,} ratings and {len(dataset.items):,} titles are in {store.url}.")


def _is_trained(store: Store) -> bool:
    from app.db import interactions, models

    with store.read() as connection:
        active = models.active(connection)
        return active is not None and interactions.count(connection, beyond=active.watermark) == 0


def _train(settings: Settings) -> None:
    from app.cli.train import summary_of, train_with_bars

    outcome = train_with_bars(settings)
    if outcome.version is None:
        raise CommandFailed(summary_of(outcome))
    say(summary_of(outcome))


def _show(settings: Settings, landmark: Landmark) -> str:
    """The honest table, and one person's history beside their recommendations. Returns: the first item of these."""
    from app.cli.reader import reading
    from app.cli.train import print_metrics
    from app.db import interactions, models
    from app.recommend import Wanted

    with reading(settings) as state:
        with state.store.read() as connection:
            active = models.active(connection)
            latest = interactions.page(connection, user_id=landmark.shown_user_id, limit=_LINES)
        say("")
        print_metrics(None if active is None else active.metrics)
        ranked = state.recommender.for_user(landmark.shown_user_id, Wanted(limit=_LINES))
        catalogue = state.history.catalogue
        history = []
        for row in latest:
            key = catalogue.item_key(row["item_id"])
            title = None if key is None else catalogue.title(key)
            history.append(f"{title or row['item_id']}  {'★' * round(row['value'])}")
    listed = [f"{item.rank:>2}. {item.title or item.item_id}" for item in ranked.items]
    lines = max(len(history), len(listed))
    rows = [[*(column[line] if line < len(column) else "" for column in (history, listed))] for line in range(lines)]
    say(f"User {landmark.shown_user_id}:")
    console().print(table(["what they rated last", f"what Likewise recommends ({ranked.source})"], rows))
    return ranked.items[0].item_id


def _invite(user_id: str, item_id: str, port: int, label: str) -> None:
    base = f"http://127.0.0.1:{port}"
    say(f"\nServing {label}. Try:\n")
    say(f"  curl '{base}/users/{user_id}/recommendations?limit=5'")
    say(f"  curl '{base}/popular?limit=5'")
    row = json.dumps({"user_id": user_id, "item_id": item_id}, separators=(",", ":"))
    say(f"  curl -H 'Content-Type: application/json' -d '{row}' {base}/interactions")
    say(f"  open {base}/docs\n")
