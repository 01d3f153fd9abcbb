"""Alembic's entry: runs the revisions on the connection that :func:`wayside.cloud.hub.engine.migrate` gives."""

from __future__ import annotations

from alembic import context

from wayside.cloud.hub.store import metadata

connection = context.config.attributes["connection"].execution_options(writes=True)
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
