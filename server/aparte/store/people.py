"""Agents, visitors and their sessions as rows.

Knows hashes and sealed names. Must not check passwords or decide who may do what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from aparte.model import Agent, Role
from aparte.store.schema import agent, agent_session, visitor, visitor_session
from aparte.store.transaction import Tx
from aparte.vault import Vault


class _AgentAbout(msgspec.Struct, frozen=True):
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Session:
    """A visitor's session: `id` is what checks are bound to; the secret itself is never stored."""

    id: str
    visitor_id: str
    site_id: str
    came_with: str  # "current"; "next": the newer token, now confirmed by use; "old": a newer one was given meanwhile
    current: bytes  # the hash of the token that counts


def normal_email(email: str) -> str:
    """The form by which an address is looked up."""
    return email.strip().casefold()


# ── agents ──────────────────────────────────────────────────────────────────────────────────────────────────


def _agent(vault: Vault, row: Row[Any]) -> Agent:
    about = msgspec.json.decode(
        vault.unseal(vault.installation, ("agent", row.id, "about"), row.sealed), type=_AgentAbout
    )
    return Agent(row.id, about.name, about.email, Role(row.role), row.is_disabled)


def _seal_agent(vault: Vault, agent_id: str, name: str, email: str) -> bytes:
    return vault.seal(vault.installation, ("agent", agent_id, "about"), msgspec.json.encode(_AgentAbout(name, email)))


def add_agent(tx: Tx, one: Agent, password_hash: str) -> None:
    tx.connection.execute(
        insert(agent).values(
            id=one.id,
            email_index=tx.vault.mac("index", "agent", normal_email(one.email)),
            role=one.role.value,
            is_disabled=one.is_disabled,
            password_hash=password_hash,
            sealed=_seal_agent(tx.vault, one.id, one.name, one.email),
            created_at=tx.now,
        )
    )


def agents(connection: Connection, vault: Vault) -> list[Agent]:
    return [_agent(vault, row) for row in connection.execute(select(agent).order_by(agent.c.created_at))]


def agent_by_email(connection: Connection, vault: Vault, email: str) -> tuple[Agent, str] | None:
    """The agent and the password's hash."""
    index = vault.mac("index", "agent", normal_email(email))
    row = connection.execute(select(agent).where(agent.c.email_index == index)).first()
    return (_agent(vault, row), row.password_hash) if row else None


def set_password_hash(tx: Tx, agent_id: str, password_hash: str) -> None:
    tx.connection.execute(update(agent).where(agent.c.id == agent_id).values(password_hash=password_hash))


def set_disabled(tx: Tx, agent_id: str, disabled: bool) -> None:
    tx.connection.execute(update(agent).where(agent.c.id == agent_id).values(is_disabled=disabled))


# ── agents' sessions ────────────────────────────────────────────────────────────────────────────────────────


def add_agent_session(tx: Tx, token_hash: bytes, agent_id: str, expires_at: float) -> None:
    tx.connection.execute(
        insert(agent_session).values(
            token_hash=token_hash, agent_id=agent_id, created_at=tx.now, seen_at=tx.now, expires_at=expires_at
        )
    )


def agent_of_session(
    connection: Connection, vault: Vault, token_hash: bytes, now: float, idle: float
) -> tuple[Agent, float] | None:
    """The agent whose session this is and when it was last seen, while the session and the agent are good."""
    query = (
        select(agent, agent_session.c.seen_at)
        .join(agent_session, agent_session.c.agent_id == agent.c.id)
        .where(
            agent_session.c.token_hash == token_hash,
            agent_session.c.expires_at > now,
            agent_session.c.seen_at > now - idle,
            agent.c.is_disabled.is_(False),
        )
    )
    row = connection.execute(query).first()
    return (_agent(vault, row), row.seen_at) if row else None


def good_sessions(connection: Connection, hashes: list[bytes], now: float, idle: float) -> set[bytes]:
    """Which of these sessions still count."""
    query = (
        select(agent_session.c.token_hash)
        .join(agent, agent.c.id == agent_session.c.agent_id)
        .where(
            agent_session.c.token_hash.in_(hashes),
            agent_session.c.expires_at > now,
            agent_session.c.seen_at > now - idle,
            agent.c.is_disabled.is_(False),
        )
    )
    return {row[0] for row in connection.execute(query)}


def see_agent_session(tx: Tx, token_hash: bytes) -> None:
    tx.connection.execute(update(agent_session).where(agent_session.c.token_hash == token_hash).values(seen_at=tx.now))


def end_agent_sessions(tx: Tx, *, token_hash: bytes | None = None, agent_id: str | None = None) -> None:
    """Ends one session, or all of an agent's."""
    column, value = (
        (agent_session.c.token_hash, token_hash) if token_hash is not None else (agent_session.c.agent_id, agent_id)
    )
    tx.connection.execute(delete(agent_session).where(column == value))


def drop_agent_sessions(tx: Tx, idle: float) -> None:
    """Deletes the sessions that count no longer: too old, or idle for so many seconds."""
    ended = or_(agent_session.c.expires_at <= tx.now, agent_session.c.seen_at <= tx.now - idle)
    tx.connection.execute(delete(agent_session).where(ended))


# ── visitors ────────────────────────────────────────────────────────────────────────────────────────────────


def add_visitor(tx: Tx, visitor_id: str, site_id: str, key_id: int) -> None:
    tx.connection.execute(insert(visitor).values(id=visitor_id, site_id=site_id, key_id=key_id, created_at=tx.now))


def add_visitor_session(tx: Tx, session_id: str, visitor_id: str, site_id: str, token_hash: bytes) -> None:
    tx.connection.execute(
        insert(visitor_session).values(
            id=session_id,
            visitor_id=visitor_id,
            site_id=site_id,
            token_hash=token_hash,
            next_hash=None,
            created_at=tx.now,
            seen_at=tx.now,
        )
    )


def visitor_session_of(connection: Connection, token_hash: bytes) -> Session | None:
    """The session of this token, whether it is the confirmed one or the one just given."""
    query = select(visitor_session).where(
        or_(visitor_session.c.token_hash == token_hash, visitor_session.c.next_hash == token_hash)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    came_with = "next" if row.next_hash == token_hash else "old" if row.next_hash is not None else "current"
    return Session(row.id, row.visitor_id, row.site_id, came_with, row.token_hash)


def offer_token(tx: Tx, session_id: str, next_hash: bytes) -> None:
    """A newer token; the old one is good until the browser says that it has kept this one."""
    tx.connection.execute(update(visitor_session).where(visitor_session.c.id == session_id).values(next_hash=next_hash))


def current_token(connection: Connection, session_id: str) -> bytes:
    """The hash of the token that counts."""
    query = select(visitor_session.c.token_hash).where(visitor_session.c.id == session_id)
    return bytes(connection.execute(query).scalar_one())


def keep_token(tx: Tx, session_id: str) -> bytes:
    """From now on only the newer token is good; returns the hash of the one that counts."""
    tx.connection.execute(
        update(visitor_session)
        .where(visitor_session.c.id == session_id, visitor_session.c.next_hash.is_not(None))
        .values(token_hash=visitor_session.c.next_hash, next_hash=None)
    )
    return current_token(tx.connection, session_id)


def secrets_of(connection: Connection, sessions: list[str]) -> dict[str, set[bytes]]:
    """By session, the hashes of the tokens that count: the confirmed one, and the one just given."""
    table = visitor_session.c
    query = select(table.id, table.token_hash, table.next_hash).where(table.id.in_(sessions))
    return {row.id: {row.token_hash, row.next_hash} - {None} for row in connection.execute(query)}


def session_of_visitor(connection: Connection, visitor_id: str) -> str:
    """The visitor's latest session."""
    query = (
        select(visitor_session.c.id)
        .where(visitor_session.c.visitor_id == visitor_id)
        .order_by(visitor_session.c.created_at.desc())
        .limit(1)
    )
    return str(connection.execute(query).scalar_one())
