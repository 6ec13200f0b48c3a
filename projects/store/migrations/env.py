"""Alembic environment: runs on the connection that `kinmark.projects.store.migrate` hands over; never by the alembic command."""

from alembic import context

from kinmark.projects.store import history  # noqa: F401 - its tables belong to the metadata
from kinmark.projects.store.models import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=Base.metadata, render_as_batch=True, transaction_per_migration=False
)
with context.begin_transaction():
    context.run_migrations()
