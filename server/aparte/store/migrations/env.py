"""How the migration tool reaches our database: by the connection that `migrate.to_head` hands it."""

from __future__ import annotations

from alembic import context

from aparte.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
