"""Writing in a conversation: messages, notes, and what the gate holds.

Knows the way of a text: guard, gate, store. Must not know sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from aparte import guard
from aparte.actions import door, gate
from aparte.actions.parts import Parts
from aparte.errors import AparteError, BadState, Denied, NotFound
from aparte.frames import AssignedBody, DroppedBody, EmptyBody, HeldBody, MessageBody, NoteBody
from aparte.identity.life import SYSTEM, Asked
from aparte.model import AgentCaller, Caller, State, VisitorCaller
from aparte.store import Answer, Tx, checks, cid_key, events, new_id
from aparte.store.checks import Held
from aparte.store.conversations import Conversation
from aparte.views import face

T = TypeVar("T")


class Written(msgspec.Struct, frozen=True):
    """`seq` in the writer's own stream; `held` names the message when the gate holds it."""

    conversation: str
    seq: int
    at: float
    held: str = ""


def kept(done: T | AparteError) -> T:
    """The result of an operation that returns its refusal instead of raising it, so that what it wrote to the audit
    log or counted is committed. Raises the refusal."""
    if isinstance(done, AparteError):
        raise done
    return done


def _repeat(tx: Tx, row: Conversation, caller: Caller, key: bytes, mac: bytes) -> Written | None:
    known = tx.repeat(key, mac)
    if known is None:
        return None
    own = known.visitor_seq if isinstance(caller, VisitorCaller) else known.staff_seq
    held_id = checks.held_at(tx.connection, row, known.staff_seq) if known.kind == "held" else ""
    return Written(row.id, own or 0, known.at, held_id)


async def post(parts: Parts, caller: Caller, conversation: str, cid: str, text: str) -> Written:
    """A message. Raises NotFound, Frozen, BadState, CidConflict, StoreDown."""
    apply, key = _posting(parts, caller, conversation, cid, text)
    return await parts.store.write(apply, conversation=conversation, key=key)


def submit_post(parts: Parts, caller: Caller, conversation: str, cid: str, text: str, answer: Answer) -> None:
    """As `post`, but `answer` gets what was written or why not, and nobody waits. Raises StoreDown, TooMany."""
    apply, key = _posting(parts, caller, conversation, cid, text)
    parts.store.submit(apply, answer, conversation=conversation, key=key)


def _posting(
    parts: Parts, caller: Caller, conversation: str, cid: str, text: str
) -> tuple[Callable[[Tx], Written], bytes]:
    """What writes a message, and the key of its cid."""
    who = door.actor(caller)
    key = cid_key(conversation, who[1], cid)
    write: Callable[[Parts, Tx, Conversation, Caller, _Text], Written] = (
        say if isinstance(caller, VisitorCaller) else _reply
    )

    def apply(tx: Tx) -> Written:
        row = door.known(tx, caller, conversation)
        mac = tx.vault.conversation_mac(row.key_id, text)
        # What is stored is acknowledged again, whatever has become of the conversation since.
        before = _repeat(tx, row, caller, key, mac)
        if before is not None:
            return before
        door.require_open(caller, row)
        return write(parts, tx, row, caller, _Text(text, cid, key, mac))

    return apply, key


class _Text(msgspec.Struct, frozen=True):
    """A text as received, with the client id that names it."""

    text: str
    cid: str
    key: bytes
    mac: bytes


def as_received(tx: Tx, row: Conversation, sender: str, cid: str, text: str) -> _Text:
    return _Text(text, cid, cid_key(row.id, sender, cid), tx.vault.conversation_mac(row.key_id, text))


def _cleaned(tx: Tx, row: Conversation, side: str, text: str) -> guard.Cleaned:
    previous = tx.previous_text(row, side) if guard.needs_previous(text) else ""
    return guard.clean(text, previous)


def _without_code(parts: Parts, tx: Tx, row: Conversation, cleaned: guard.Cleaned) -> guard.Cleaned:
    """While a code is on its way nothing that looks like one is kept: it belongs into its field, and agents read here."""
    if not row.has_check:
        return cleaned
    text, has_code = guard.without_proof(cleaned.text)
    live = parts.life.live(tx, row) if has_code else None
    if live is None or live.state != "started":
        return cleaned
    return guard.Cleaned(text, (*cleaned.found, "check_code"))


def say(parts: Parts, tx: Tx, row: Conversation, caller: Caller, given: _Text) -> Written:
    """The customer's message: never held; secrets are taken out; talk of a booking brings the check card."""
    site = parts.store.directory.sites[row.site_id]
    cleaned = _without_code(parts, tx, row, _cleaned(tx, row, "visitor", given.text))
    gate.lower_stale(parts, tx, row)
    if row.state == State.CLOSED:
        row.state, row.agent_id, row.since = State.WAITING, None, tx.now
        tx.append(row, "reopened", EmptyBody(), sender=SYSTEM, visible=True)
    stored = tx.append(
        row,
        "message",
        MessageBody(cleaned.text, list(cleaned.found)),
        sender=door.actor(caller),
        visible=True,
        cid=given.cid,
        key=given.key,
        mac=given.mac,
    )
    row.last_said, row.active_at = stored.staff_seq, tx.now
    row.unread += 1
    if parts.can_check(site) and not row.has_check:
        wanted, references = gate.wants_check(parts, tx, row, site, cleaned.text)
        if wanted:
            parts.life.offer(tx, row, references[0] if references else "")
    return Written(row.id, stored.visitor_seq or 0, stored.at)


def _reply(parts: Parts, tx: Tx, row: Conversation, caller: Caller, given: _Text) -> Written:
    """The agent's message: sent, or held with the reason."""
    site = parts.store.directory.sites[row.site_id]
    text = _cleaned(tx, row, "agent", given.text).text
    judged = gate.judge_talk(parts, tx, row, site, text)
    who = door.actor(caller)
    if not judged.code:
        stored = tx.append(
            row, "message", MessageBody(text), sender=who, visible=True, cid=given.cid, key=given.key, mac=given.mac
        )
        row.last_said = stored.staff_seq
        if judged.topic != "general":
            tx.audit(who, "gate.allow", row.id, f"talk.{judged.topic}")
        return Written(row.id, stored.staff_seq, stored.at)
    held_id = new_id()
    stored = tx.append(
        row,
        "held",
        HeldBody(held_id, text, judged.code, judged.topic),
        sender=who,
        visible=False,
        cid=given.cid,
        key=given.key,
        mac=given.mac,
    )
    row.held += 1
    tx.audit(who, "gate.hold", row.id, judged.code)
    checks.add_held(tx, row, Held(held_id, stored.staff_seq))
    return Written(row.id, stored.staff_seq, stored.at, held_id)


async def note(parts: Parts, caller: AgentCaller, conversation: str, cid: str, text: str) -> Written:
    """An internal note; allowed in a frozen conversation too."""
    who = door.actor(caller)
    key = cid_key(conversation, who[1], cid)

    def apply(tx: Tx) -> Written:
        row = door.enter(tx, caller, conversation)
        mac = tx.vault.conversation_mac(row.key_id, "note", text)
        repeat = _repeat(tx, row, caller, key, mac)
        if repeat is not None:
            return repeat
        previous = tx.previous_note(row) if guard.needs_previous(text) else ""
        body = NoteBody(guard.clean(text, previous).text)
        stored = tx.append(row, "note", body, sender=who, visible=False, cid=cid, key=key, mac=mac)
        return Written(row.id, stored.staff_seq, stored.at)

    return await parts.store.write(apply, conversation=conversation, key=key)


# ── what the gate holds ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A held message as sealed in its event: columns that a thief could change are not asked."""

    one: Held
    agent_id: str
    body: HeldBody


def _waiting(tx: Tx, row: Conversation, held_id: str) -> _Waiting:
    found = checks.held_of(tx.connection, row, held_id)
    stored = events.at_number(tx.connection, tx.vault, row, found[0].staff_seq) if found else None
    if stored is None or not isinstance(stored.body, HeldBody):
        raise NotFound()
    return _Waiting(found[0], stored.sender_id, stored.body)


def _let_go(tx: Tx, row: Conversation, held: _Waiting, key: bytes | None = None, mac: bytes | None = None) -> Written:
    """The held text becomes a new message with a number in both streams, sealed anew for its place."""
    body = MessageBody(held.body.text, held=held.one.id)
    stored = tx.append(row, "message", body, sender=("agent", held.agent_id), visible=True, key=key, mac=mac)
    row.last_said = stored.staff_seq
    row.held -= 1
    checks.set_held(tx, held.one.id, "released")
    return Written(row.id, stored.staff_seq, stored.at)


def release_held(parts: Parts, tx: Tx, row: Conversation) -> None:
    """Decides every held message anew, in order; those that may leave now, leave."""
    site = parts.store.directory.sites[row.site_id]
    for one in checks.held_of(tx.connection, row):
        held = _waiting(tx, row, one.id)
        if not gate.judge_talk(parts, tx, row, site, held.body.text).code:
            _let_go(tx, row, held)
            tx.audit(SYSTEM, "gate.allow", row.id, one.id)


def drop_all_held(tx: Tx, row: Conversation, by: tuple[str, str]) -> None:
    """Nothing waits in a conversation that has ended."""
    for one in checks.held_of(tx.connection, row):
        _drop(tx, row, one.id, by)


def _drop(
    tx: Tx, row: Conversation, held_id: str, by: tuple[str, str], key: bytes | None = None, mac: bytes | None = None
) -> Written:
    checks.set_held(tx, held_id, "dropped")
    row.held -= 1
    stored = tx.append(row, "dropped", DroppedBody(held_id), sender=by, visible=False, key=key, mac=mac)
    tx.audit(by, "held.drop", row.id, held_id)
    return Written(row.id, stored.staff_seq, stored.at)


async def drop_held(parts: Parts, caller: AgentCaller, cid: str, conversation: str, held_id: str) -> Written:
    """Takes a held message back."""
    who = door.actor(caller)
    key = cid_key(conversation, who[1], cid)

    def apply(tx: Tx) -> Written:
        row = door.enter(tx, caller, conversation)
        mac = tx.vault.conversation_mac(row.key_id, "drop", held_id)
        before = _repeat(tx, row, caller, key, mac)
        return before or _drop(tx, row, _waiting(tx, row, held_id).one.id, who, key, mac)

    return await parts.store.write(apply)


async def override(
    parts: Parts, caller: AgentCaller, cid: str, conversation: str, held_id: str, reason: str
) -> Written:
    """Lets a held message go against the gate. Money, another's record, asked-for secrets and strange links need a
    supervisor. The reason stays in the thread as a note, and the deed in the audit log. Raises Denied."""
    who = door.actor(caller)
    key = cid_key(conversation, who[1], cid)

    def apply(tx: Tx) -> Written | Denied:
        row = door.known(tx, caller, conversation)
        mac = tx.vault.conversation_mac(row.key_id, "override", held_id, reason)
        before = _repeat(tx, row, caller, key, mac)
        if before is not None:
            return before
        door.require_open(caller, row)
        held = _waiting(tx, row, held_id)
        if not caller.agent.role.leads and (held.body.topic == "payment" or held.body.code != "needs_check"):
            tx.audit(who, "gate.override_refused", row.id, held.one.id)
            return Denied("Only a supervisor may send this against the gate.")
        tx.append(row, "note", NoteBody(guard.clean(reason).text, "override"), sender=who, visible=False)
        tx.audit(who, "gate.override", row.id, held.one.id)
        return _let_go(tx, row, held, key, mac)

    return kept(await parts.store.write(apply))


def assign(parts: Parts, tx: Tx, row: Conversation, agent_id: str, *, by: AgentCaller, asked: Asked) -> int:
    """Gives the conversation to an agent, in both streams."""
    agent = parts.store.directory.agents[agent_id]
    site = parts.store.directory.sites.get(row.site_id)
    row.state, row.agent_id, row.since = State.ASSIGNED, agent_id, tx.now
    body = AssignedBody(face(agent, site, row.lang), agent_id, by.agent.name if by.agent.id != agent_id else "")
    key, mac = asked.key, asked.mac
    return tx.append(row, "assigned", body, sender=SYSTEM, visible=True, key=key, mac=mac).staff_seq


def refuse_closed(row: Conversation) -> None:
    """Raises BadState."""
    if row.state == State.CLOSED:
        raise BadState("The conversation is closed.")
