"""Opening, claiming, transferring, ending a conversation.

Knows states. Must not know sockets or how a text is judged.
"""

from __future__ import annotations

from dataclasses import dataclass

from aparte import guard
from aparte.actions import door, gate, rates, tokens
from aparte.actions.messages import Written, as_received, assign, drop_all_held, refuse_closed, say
from aparte.actions.parts import Parts
from aparte.errors import BadState, NotFound
from aparte.frames import ClosedBody, EmptyBody, NoteBody
from aparte.identity.life import SYSTEM, Asked
from aparte.model import AgentCaller, Caller, State, VisitorCaller
from aparte.store import Tx, cid_key, conversations, new_id, people, sites
from aparte.store.conversations import About, Conversation


@dataclass(frozen=True, slots=True)
class Opened:
    """A conversation and the session that now exists for it."""

    caller: VisitorCaller
    written: Written


@dataclass(frozen=True, slots=True)
class Opening:
    """What the browser tells with its first message. Page and title as the host page gave them."""

    cid: str
    text: str
    name: str
    page: str
    title: str
    browser: str
    lang: str


def without_query(page: str) -> str:
    """The page's address as it may be kept: no query, no fragment, no user."""
    address = page.split("#", 1)[0].split("?", 1)[0]
    scheme, separator, rest = address.partition("://")
    if not separator or scheme not in ("http", "https"):
        return ""
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


async def open_thread(parts: Parts, site: str, token: str, opening: Opening, address: str) -> Opened:
    """The first message. Makes the person, the keys and the conversation; a repeat, a lost answer or a double
    click finds what the first try made, and a visitor with a thread goes on in it. Args: address: the network's. Raises
    TooMany."""
    hashed = tokens.token_hash(parts.store.vault, token)

    def apply(tx: Tx) -> Opened:
        session = people.visitor_session_of(tx.connection, hashed)
        if session is not None and session.site_id != site:
            raise NotFound()
        row = conversations.live_of(tx.connection, session.visitor_id) if session else None
        if session is None or row is None:
            rates.opening(parts, tx, address)
            caller, row = _create(tx, site, hashed, opening)
        else:
            caller = VisitorCaller(session.id, session.visitor_id, site, hashed)
        given = as_received(tx, row, caller.visitor, opening.cid, opening.text)
        known = tx.repeat(given.key, given.mac)
        if known is not None:
            return Opened(caller, Written(row.id, known.visitor_seq or 0, known.at))
        return Opened(caller, say(parts, tx, door.enter_open(tx, caller, row.id), caller, given))

    return await parts.store.write(apply)


def _create(tx: Tx, site: str, hashed: bytes, opening: Opening) -> tuple[VisitorCaller, Conversation]:
    caller = VisitorCaller(new_id(), new_id(), site, hashed)
    thread = new_id()
    # The keys are durable in their ring before the first row that needs them.
    person_key, key = tx.vault.new_pair(caller.visitor, thread)
    people.add_visitor(tx, caller.visitor, site, person_key)
    people.add_visitor_session(tx, caller.session, caller.visitor, site, hashed)
    told = (opening.name, without_query(opening.page), opening.title, opening.browser)
    row = conversations.begin(
        tx,
        thread,
        site=site,
        number=sites.next_number(tx, site),
        visitor=caller.visitor,
        key=key,
        lang=opening.lang,
        about=About(*(guard.clean(text).text for text in told)),
        state=State.WAITING,
    )
    return caller, row


def _asked(tx: Tx, caller: Caller, conversation: str, cid: str, *deed: str) -> tuple[Asked, Written | None]:
    """The frame's client id for its event, and what an earlier copy of the frame did already: that is told again,
    whatever has become of the conversation since, and before the door: it may have been given away by this very frame.
    """
    row, who = tx.conversation(conversation), door.actor(caller)[1]
    key, mac = cid_key(row.id, who, cid), tx.vault.conversation_mac(row.key_id, *deed)
    known = tx.repeat(key, mac)
    if known is None:
        return Asked(key, mac), None
    seq = known.visitor_seq if isinstance(caller, VisitorCaller) else known.staff_seq
    return Asked(key, mac), Written(row.id, seq or 0, known.at)


async def claim(parts: Parts, caller: AgentCaller, cid: str, conversation: str) -> Written:
    """Takes a waiting conversation. Raises BadState when a colleague was faster."""

    def apply(tx: Tx) -> Written:
        asked, before = _asked(tx, caller, conversation, cid, "claim")
        if before is not None:
            return before
        row = door.known(tx, caller, conversation)
        if row.state == State.ASSIGNED and row.agent_id == caller.agent.id:
            return Written(row.id, row.staff_seq, tx.now)
        if row.state != State.WAITING:
            raise BadState("A colleague has this conversation already.")
        seq = assign(parts, tx, row, caller.agent.id, by=caller, asked=asked)
        tx.audit(door.actor(caller), "conversation.claim", row.id)
        return Written(row.id, seq, tx.now)

    return await parts.store.write(apply)


async def transfer(parts: Parts, caller: AgentCaller, cid: str, conversation: str, agent_id: str) -> Written:
    """Gives the conversation to a colleague. Raises NotFound for an agent who is not there or is disabled."""

    def apply(tx: Tx) -> Written:
        asked, before = _asked(tx, caller, conversation, cid, "transfer", agent_id)
        if before is not None:
            return before
        row = door.enter(tx, caller, conversation)
        refuse_closed(row)
        colleague = parts.store.directory.agents.get(agent_id)
        if colleague is None or colleague.is_disabled:
            raise NotFound("There is no such colleague.")
        if row.agent_id == agent_id and row.state == State.ASSIGNED:
            return Written(row.id, row.staff_seq, tx.now)
        seq = assign(parts, tx, row, agent_id, by=caller, asked=asked)
        tx.audit(door.actor(caller), "conversation.transfer", row.id, agent_id)
        return Written(row.id, seq, tx.now)

    return await parts.store.write(apply)


async def close(parts: Parts, caller: Caller, cid: str, conversation: str) -> Written:
    """Ends the conversation; it opens again when the customer writes. What was proven ends with it."""

    def apply(tx: Tx) -> Written:
        asked, before = _asked(tx, caller, conversation, cid, "close")
        if before is not None:
            return before  # not a second time: the customer may have opened it again
        row = door.enter(tx, caller, conversation)
        is_visitor = isinstance(caller, VisitorCaller)
        if row.state != State.CLOSED:
            live = parts.life.live(tx, row)
            if live is not None:
                parts.life.end(tx, row, live, "ended")
            if row.standing is not None:
                parts.life.lower(tx, row, "expired")
            drop_all_held(tx, row, SYSTEM)
            row.state, row.since = State.CLOSED, tx.now
            body = ClosedBody("visitor" if is_visitor else "agent")
            tx.append(row, "closed", body, sender=door.actor(caller), visible=True, key=asked.key, mac=asked.mac)
            tx.audit(door.actor(caller), "conversation.close", row.id)
        return Written(row.id, row.visitor_seq if is_visitor else row.staff_seq, tx.now)

    return await parts.store.write(apply)


async def unfreeze(parts: Parts, caller: AgentCaller, cid: str, conversation: str, reason: str) -> Written:
    """A supervisor lets a frozen conversation go on; nothing is proven in it. The reason stays in the thread as a
    note. Raises NotFound for others."""

    def apply(tx: Tx) -> Written:
        asked, before = _asked(tx, caller, conversation, cid, "unfreeze", reason)
        if before is not None:
            return before
        row = door.enter(tx, caller, conversation)
        if not caller.agent.role.leads:
            raise NotFound("Only a supervisor may do this.")
        if row.is_frozen:
            row.is_frozen = False
            gate.lower_stale(parts, tx, row)
            note = NoteBody(guard.clean(reason).text, "unfreeze")
            tx.append(row, "note", note, sender=door.actor(caller), visible=False)
            tx.append(row, "unfrozen", EmptyBody(), sender=SYSTEM, visible=True, key=asked.key, mac=asked.mac)
            tx.audit(door.actor(caller), "conversation.unfreeze", row.id)
        return Written(row.id, row.staff_seq, tx.now)

    return await parts.store.write(apply)
