"""How alembic reaches the store: on the connection, and in the transaction, that `app.db.migrate` opened and locked."""

from __future__ import annotations

from alembic import context

from app.db.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
