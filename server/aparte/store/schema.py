"""The tables of the data database. Every column that holds what a person wrote is a sealed blob.

Knows names and types only; SQLite and PostgreSQL share it. Must not know how rows are found or what they mean.
Times are epoch seconds. `sealed` columns are bound to their row by the module that writes them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    text,
)

metadata = MetaData()

# Compared byte by byte, as SQLite does: ids have no language, and an index must not change its order with the
# operating system's idea of one.
Text = String().with_variant(String(collation="C"), "postgresql")
Counter = BigInteger().with_variant(Integer(), "sqlite")  # SQLite gives numbers by itself to this type alone

# Facts about the store itself: epoch, min_version, the clock's high-water mark, the version of sites and agents.
store_info = Table(
    "store_info", metadata, Column("name", Text, primary_key=True), Column("value", Text, nullable=False)
)

site = Table(
    "site",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("last_number", BigInteger, nullable=False),
)

agent = Table(
    "agent",
    metadata,
    Column("id", Text, primary_key=True),
    Column("email_index", LargeBinary, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("is_disabled", Boolean, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
)

agent_session = Table(
    "agent_session",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("agent_id", Text, nullable=False, index=True),
    Column("created_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
)

visitor = Table(
    "visitor",
    metadata,
    Column("id", Text, primary_key=True),
    Column("site_id", Text, nullable=False),
    Column("key_id", BigInteger, nullable=False),
    Column("created_at", Float, nullable=False),
)

visitor_session = Table(
    "visitor_session",
    metadata,
    Column("id", Text, primary_key=True),
    Column("visitor_id", Text, nullable=False, index=True),
    Column("site_id", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    Column("next_hash", LargeBinary, nullable=True, unique=True),
    Column("created_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
)

conversation = Table(
    "conversation",
    metadata,
    Column("id", Text, primary_key=True),
    Column("site_id", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("visitor_id", Text, nullable=False, index=True),
    Column("key_id", BigInteger, nullable=False),
    Column("lang", Text, nullable=False),
    Column("about", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
    # What follows changes with events, always inside the transaction that writes them.
    Column("state", Text, nullable=False),
    Column("is_frozen", Boolean, nullable=False),
    Column("agent_id", Text, nullable=True),
    Column("visitor_seq", BigInteger, nullable=False),
    Column("staff_seq", BigInteger, nullable=False),
    Column("last_said", BigInteger, nullable=False),  # staff number of the last message, for the inbox line
    Column("visitor_said", BigInteger, nullable=False),  # staff number of the visitor's last message
    Column("staff_said", BigInteger, nullable=False),  # of staff's last message, held ones included
    Column("unread", Integer, nullable=False),  # visitor's messages that staff has not read
    Column("held", Integer, nullable=False),  # messages of agents that the gate holds
    Column("since", Float, nullable=False),  # in this state
    Column("updated_at", Float, nullable=False),
    Column("active_at", Float, nullable=False),  # the visitor's last sign of life, for idle expiry
    Column("visitor_delivered", BigInteger, nullable=False),
    Column("visitor_read", BigInteger, nullable=False),
    Column("staff_delivered", BigInteger, nullable=False),
    Column("staff_read", BigInteger, nullable=False),
    Column("check_id", Text, nullable=True),
    Column("has_check", Boolean, nullable=False),  # it can still succeed, so no other is offered
    Column("standing", LargeBinary, nullable=True),
    # The queue and what is held, oldest or newest first, however much nobody ever closed.
    Index("ix_conversation_queue", "state", "since"),
    Index("ix_conversation_inbox", "state", "agent_id", "since"),
    # What is old enough to be forgotten: a message does not move it, as it would move its time of change.
    Index("ix_conversation_created", "created_at", "id"),
    # Few of many: looked through every few seconds for proofs whose time is over.
    Index(
        "ix_conversation_proven",
        "id",
        sqlite_where=text("standing IS NOT NULL"),
        postgresql_where=text("standing IS NOT NULL"),
    ),
)

event = Table(
    "event",
    metadata,
    Column("conversation_id", Text, primary_key=True),
    Column("staff_seq", BigInteger, primary_key=True),
    Column("visitor_seq", BigInteger, nullable=True),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sender_kind", Text, nullable=False),
    Column("sender_id", Text, nullable=False),
    Column("cid_key", LargeBinary, nullable=True, unique=True),
    Column("cid_mac", LargeBinary, nullable=True),
    Column("at", Float, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

# Messages that wait at the gate. Their text is in the staff stream's `held` event.
held = Table(
    "held",
    metadata,
    Column("id", Text, primary_key=True),
    Column("conversation_id", Text, nullable=False, index=True),
    Column("staff_seq", BigInteger, nullable=False),
    Column("state", Text, nullable=False),  # held, released, dropped
)

identity_check = Table(
    "identity_check",
    metadata,
    Column("id", Text, primary_key=True),
    Column("conversation_id", Text, nullable=False, index=True),
    Column("session_id", Text, nullable=False),  # the visitor session that must answer; "" until it starts
    Column("record_index", LargeBinary, nullable=True),
    Column("sealed", LargeBinary, nullable=False),  # the reference and the masked contact
    Column("state", Text, nullable=False),
    Column("code_mac", LargeBinary, nullable=True),
    Column("tries", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Index("ix_identity_check_due", "state", "expires_at"),
)

# One row for each counted deed within a moving window: sends, wrong codes, sends per record.
tally = Table(
    "tally",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("scope", Text, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("at", Float, nullable=False),
    Index("ix_tally", "scope", "key", "at"),
    Index("ix_tally_at", "at"),  # what counts no longer, whatever it was
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Text, primary_key=True),  # also the idempotency key
    Column("kind", Text, nullable=False),
    Column("conversation_id", Text, nullable=False, index=True),
    Column("key_id", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),  # waiting, done, failed
    Column("attempts", Integer, nullable=False),
    Column("next_at", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Index("ix_outbox_waiting", "state", "next_at"),
)

# Agents who have the panel open, by node: leases.
presence = Table(
    "presence",
    metadata,
    Column("agent_id", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("until", Float, nullable=False),
)

# Keys whose rows are deleted, until the key ring has destroyed the keys too.
erasure = Table("erasure", metadata, Column("key_id", BigInteger, primary_key=True, autoincrement=False))

# Who did what: ids and codes only. The database refuses to change or delete a row.
audit = Table(
    "audit",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("conversation_id", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
