"""Agents: adding, signing in and out, disabling, passwords.

Knows accounts and sessions. Must not know cookies or prompts.
"""

from __future__ import annotations

import contextlib
from typing import Final

from aparte.actions import rates
from aparte.actions.parts import Parts
from aparte.errors import BadInput, NotFound, NotSignedIn, TooMany
from aparte.model import Agent, AgentCaller, Role
from aparte.store import Connection, Store, Tx, directory_changed, new_id, people
from aparte.vault import FIRST, hash_password, needs_rehash, new_token

_WRONG: Final = "That address and password do not go together."


def session_hash(store: Store, token: str) -> bytes:
    """The only form in which a session secret is kept."""
    return store.vault.mac("session", "agent", token)


async def sign_in(parts: Parts, email: str, password: str, address: str, device: str = "") -> tuple[str, Agent]:
    """A new session's secret and the agent. Takes as long for an unknown address as for a wrong password.

    Args: address: the network's; device: names a browser that this account has signed in with before.

    Raises NotSignedIn; TooMany per network address. Per account only a much higher limit holds: otherwise anybody
    could keep a colleague out by trying wrong passwords. A known device is counted alone and goes before all others,
    so that no flood keeps its owner out.
    """
    now, account = parts.store.now(), people.normal_email(email)
    if device:
        source, account, rank = f"device {device}", "", FIRST
        wait = parts.logins.take(source, now)
    else:
        source = address
        wait = parts.logins.take(source, now) or parts.accounts.take(account, now)
        rank = parts.logins.count(source, now)  # who has tried most waits longest
    if wait is not None:
        raise TooMany(retry_after=wait)
    parts.passwords.require_room(
        rank
    )  # a flood shall cost no reads and writes; verify looks again, for who passed with us
    await rates.sign_in(parts, source, account)
    found = await parts.store.read(lambda c: people.agent_by_email(c, parts.store.vault, email))
    is_right = await parts.passwords.verify(found[1] if found else None, password, rank=rank)
    if found is None or not is_right or found[0].is_disabled:
        actor = ("agent", found[0].id if found else "")
        await parts.store.write(lambda tx: tx.audit(actor, "agent.sign_in_refused"))
        raise NotSignedIn(_WRONG)
    agent, old_hash = found
    token = new_token()
    hashed = session_hash(parts.store, token)
    better = ""
    if needs_rehash(old_hash):
        with contextlib.suppress(TooMany):  # the password was right: it is hashed anew another time
            better = await parts.passwords.hash(password)

    def apply(tx: Tx) -> bool:
        # The password may have been changed, or the agent disabled, while this one was looked at.
        now = people.agent_by_email(tx.connection, tx.vault, email)
        if now is None or now[0].is_disabled or now[1] != old_hash:
            tx.audit(("agent", agent.id), "agent.sign_in_refused")
            return False
        people.add_agent_session(tx, hashed, agent.id, tx.now + parts.settings.session_seconds)
        if better:
            people.set_password_hash(tx, agent.id, better)
        tx.audit(("agent", agent.id), "agent.sign_in")
        return True

    if not await parts.store.write(apply):
        raise NotSignedIn(_WRONG)
    return token, agent


async def sign_out(parts: Parts, caller: AgentCaller, token: str) -> None:
    """Ends the session; its sockets close within a second."""

    def apply(tx: Tx) -> None:
        people.end_agent_sessions(tx, token_hash=session_hash(parts.store, token))
        tx.audit(("agent", caller.agent.id), "agent.sign_out")

    await parts.store.write(apply)


async def add_agent(store: Store, name: str, email: str, role: str, password: str) -> Agent:
    """Raises BadInput when the address is taken or a part is missing."""
    if not name.strip() or "@" not in email:
        raise BadInput("An agent needs a name and an e-mail address.")
    agent = Agent(new_id(), name.strip(), email.strip(), Role(role))
    hashed = hash_password(password)

    def apply(tx: Tx) -> None:
        _require_new(tx.connection, store, agent.email)
        people.add_agent(tx, agent, hashed)
        directory_changed(tx)
        tx.audit(("operator", ""), "agent.add", detail=agent.id)

    await store.write(apply)
    await store.refresh()
    return agent


async def require_new(store: Store, email: str) -> None:
    """Raises BadInput when there is an agent of this address."""
    await store.read(lambda connection: _require_new(connection, store, email))


def _require_new(connection: Connection, store: Store, email: str) -> None:
    if people.agent_by_email(connection, store.vault, email) is not None:
        raise BadInput(
            f"There is an agent with this e-mail address already. For a new password: aparte agent password {email}; to "
            f"give back an access that was ended: aparte agent enable {email}"
        )


async def list_agents(store: Store) -> list[Agent]:
    return await store.read(lambda connection: people.agents(connection, store.vault))


async def by_email(store: Store, email: str) -> Agent:
    """Raises NotFound."""

    def query(connection: Connection) -> Agent:
        found = people.agent_by_email(connection, store.vault, email)
        if found is None:
            raise NotFound("There is no agent with this e-mail address. `aparte agent list` shows them all.")
        return found[0]

    return await store.read(query)


async def set_disabled(store: Store, email: str, disabled: bool = True) -> Agent:
    """Disables an agent, which ends all their sessions, or enables one again. Raises NotFound."""
    agent = await by_email(store, email)

    def apply(tx: Tx) -> None:
        people.set_disabled(tx, agent.id, disabled)
        if disabled:
            people.end_agent_sessions(tx, agent_id=agent.id)
        directory_changed(tx)
        tx.audit(("operator", ""), "agent.disable" if disabled else "agent.enable", detail=agent.id)

    await store.write(apply)
    await store.refresh()
    return await by_email(store, email)


async def set_password(store: Store, email: str, password: str) -> Agent:
    """A new password, which ends all sessions. Raises NotFound."""
    agent = await by_email(store, email)
    hashed = hash_password(password)

    def apply(tx: Tx) -> None:
        people.set_password_hash(tx, agent.id, hashed)
        people.end_agent_sessions(tx, agent_id=agent.id)
        tx.audit(("operator", ""), "agent.password", detail=agent.id)

    await store.write(apply)
    return agent
