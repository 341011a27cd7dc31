"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
min_version = "0001"  # the oldest version that may use the database from here on
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "agent",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("email_index", sa.LargeBinary(), nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("is_disabled", sa.Boolean(), nullable=False),
        sa.Column("password_hash", TEXT, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email_index"),
    )
    op.create_table(
        "agent_session",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("agent_id", TEXT, nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index(op.f("ix_agent_session_agent_id"), "agent_session", ["agent_id"], unique=False)
    op.create_table(
        "audit",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("actor_kind", TEXT, nullable=False),
        sa.Column("actor_id", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("conversation_id", TEXT, nullable=False),
        sa.Column("detail", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "conversation",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("site_id", TEXT, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("visitor_id", TEXT, nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("lang", TEXT, nullable=False),
        sa.Column("about", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("is_frozen", sa.Boolean(), nullable=False),
        sa.Column("agent_id", TEXT, nullable=True),
        sa.Column("visitor_seq", sa.BigInteger(), nullable=False),
        sa.Column("staff_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_said", sa.BigInteger(), nullable=False),
        sa.Column("visitor_said", sa.BigInteger(), nullable=False),
        sa.Column("staff_said", sa.BigInteger(), nullable=False),
        sa.Column("unread", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.Column("active_at", sa.Float(), nullable=False),
        sa.Column("visitor_delivered", sa.BigInteger(), nullable=False),
        sa.Column("visitor_read", sa.BigInteger(), nullable=False),
        sa.Column("staff_delivered", sa.BigInteger(), nullable=False),
        sa.Column("staff_read", sa.BigInteger(), nullable=False),
        sa.Column("check_id", TEXT, nullable=True),
        sa.Column("has_check", sa.Boolean(), nullable=False),
        sa.Column("standing", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_conversation_queue", "conversation", ["state", "since"], unique=False)
    op.create_index("ix_conversation_inbox", "conversation", ["state", "agent_id", "since"], unique=False)
    op.create_index("ix_conversation_created", "conversation", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_conversation_proven",
        "conversation",
        ["id"],
        unique=False,
        sqlite_where=sa.text("standing IS NOT NULL"),
        postgresql_where=sa.text("standing IS NOT NULL"),
    )
    op.create_index(op.f("ix_conversation_visitor_id"), "conversation", ["visitor_id"], unique=False)
    op.create_table(
        "erasure",
        sa.Column("key_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_table(
        "event",
        sa.Column("conversation_id", TEXT, nullable=False),
        sa.Column("staff_seq", sa.BigInteger(), nullable=False),
        sa.Column("visitor_seq", sa.BigInteger(), nullable=True),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("sender_kind", TEXT, nullable=False),
        sa.Column("sender_id", TEXT, nullable=False),
        sa.Column("cid_key", sa.LargeBinary(), nullable=True),
        sa.Column("cid_mac", sa.LargeBinary(), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "staff_seq"),
        sa.UniqueConstraint("cid_key"),
    )
    op.create_table(
        "held",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("conversation_id", TEXT, nullable=False),
        sa.Column("staff_seq", sa.BigInteger(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_held_conversation_id"), "held", ["conversation_id"], unique=False)
    op.create_table(
        "identity_check",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("conversation_id", TEXT, nullable=False),
        sa.Column("session_id", TEXT, nullable=False),
        sa.Column("record_index", sa.LargeBinary(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("code_mac", sa.LargeBinary(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_identity_check_due", "identity_check", ["state", "expires_at"], unique=False)
    op.create_index(op.f("ix_identity_check_conversation_id"), "identity_check", ["conversation_id"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("conversation_id", TEXT, nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.Float(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_outbox_conversation_id"), "outbox", ["conversation_id"], unique=False)
    op.create_index("ix_outbox_waiting", "outbox", ["state", "next_at"], unique=False)
    op.create_table(
        "site",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "presence",
        sa.Column("agent_id", TEXT, nullable=False),
        sa.Column("node", TEXT, nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("agent_id", "node"),
    )
    op.create_table(
        "store_info",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "tally",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("scope", TEXT, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_tally", "tally", ["scope", "key", "at"], unique=False)
    op.create_index("ix_tally_at", "tally", ["at"], unique=False)
    op.create_table(
        "visitor",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("site_id", TEXT, nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "visitor_session",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("visitor_id", TEXT, nullable=False),
        sa.Column("site_id", TEXT, nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("next_hash", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("next_hash"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index(op.f("ix_visitor_session_visitor_id"), "visitor_session", ["visitor_id"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        _let_audit_only_grow_on_postgresql()
        return
    for deed in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_no_{deed.lower()} BEFORE {deed} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )
    # INSERT OR REPLACE would remove the old row without asking the trigger above.
    op.execute(
        "CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id) "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
    )


def _let_audit_only_grow_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'restrict_violation'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()"
    )


def downgrade() -> None:
    raise RuntimeError("The first schema has nothing before it: restore a backup instead.")
