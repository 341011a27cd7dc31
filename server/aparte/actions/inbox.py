"""The agents' inbox: its lines, and who sees which.

Knows what a line shows. Must not know how often it is refreshed: `jobs` does.
"""

from __future__ import annotations

import asyncio

from aparte.actions import gate
from aparte.actions.parts import Parts
from aparte.errors import Unreadable
from aparte.frames import Entry, InboxEntry, InboxGone, MessageBody, encode
from aparte.model import Agent, AgentCaller, State
from aparte.store import Connection, Stored, conversations, events, keeping
from aparte.store.conversations import About, Conversation
from aparte.vault import Vault

SNIPPET_CHARS = 120
MOST_LINES = 500  # of the queue and of what is assigned, each
IN_A_TURN = 100  # lines that are told in one turn of the loop


def belongs(agent: Agent, row: Conversation) -> bool:
    """Whether the line is in this agent's inbox: the queue, the own ones; for leads all open ones."""
    if row.state == State.WAITING:
        return True
    return row.state == State.ASSIGNED and (row.agent_id == agent.id or agent.role.leads)


def about_of(vault: Vault, row: Conversation) -> About:
    """What the browser told at the beginning; nothing where that cannot be authenticated."""
    try:
        return conversations.about(vault, row)
    except Unreadable:
        return About()


def entries(parts: Parts, connection: Connection, rows: list[Conversation]) -> list[Entry]:
    """The lines of these conversations, in their order."""
    said = events.last_words(connection, parts.store.vault, rows)
    asked = [one for one, last in said.items() if last.sender_kind == "visitor"]
    since = events.unanswered_since(connection, asked)
    return [_entry(parts, row, said.get(row.id), since.get(row.id)) for row in rows]


def _entry(parts: Parts, row: Conversation, last: Stored | None, since: float | None) -> Entry:
    vault = parts.store.vault
    text = last.body.text if last is not None and isinstance(last.body, MessageBody) else ""
    return Entry(
        id=row.id,
        site=row.site_id,
        number=row.number,
        state=row.state,  # type: ignore[arg-type]  # the column holds nothing else
        top=row.staff_seq,
        since=since or row.since,
        updated=row.updated_at,
        name=about_of(vault, row).name,
        agent=row.agent_id or "",
        snippet=text[:SNIPPET_CHARS],
        snippet_from=last.sender_kind if last and text else "",
        unread=row.unread,
        level=int(gate.level_of(vault, row, parts.policy, parts.store.now())),
        frozen=row.is_frozen,
        held=row.held,
    )


async def lines(parts: Parts, caller: AgentCaller) -> list[Entry]:
    """The inbox as it stands."""
    agent = caller.agent

    def query(connection: Connection) -> list[Entry]:
        rows = conversations.inbox(connection, agent.id, all_assigned=agent.role.leads, limit=MOST_LINES)
        return entries(parts, connection, rows)

    return await parts.store.read(query)


async def refresh(parts: Parts) -> None:
    """Tells every agent of the lines that changed since the last call. Raises StoreDown; nothing is lost by it."""
    peers = parts.hub.agents()
    changed, parts.hub.changed = parts.hub.changed, set()
    if not peers or not changed:
        return

    def query(connection: Connection) -> list[tuple[Conversation, Entry]]:
        rows = keeping.readable(connection, changed)
        return list(zip(rows, entries(parts, connection, rows), strict=True))

    try:
        found = await parts.store.read(query)
    except BaseException:
        parts.hub.changed |= changed  # told with the next call
        raise
    # Who still waits for the welcome gets these lines after it.
    peers = [peer for peer in peers if peer not in parts.greeted]
    for late in parts.greeted.values():
        late |= changed
    for thread in changed.difference(row.id for row, _ in found):  # forgotten
        for peer in peers:
            if thread in peer.shown:
                peer.shown.discard(thread)
                peer.say(InboxGone(thread))
    for number, (row, entry) in enumerate(found, 1):
        if number % IN_A_TURN == 0:
            await asyncio.sleep(0)  # lets the lines take what they have got
        data = b""
        for peer in peers:
            assert isinstance(peer.caller, AgentCaller)
            if belongs(peer.caller.agent, row):
                data = data or encode(InboxEntry(entry))
                peer.shown.add(row.id)
                peer.push(data)
            elif row.id in peer.shown:
                peer.shown.discard(row.id)
                peer.say(InboxGone(row.id))
