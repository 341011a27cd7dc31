"""The verbs of a check: ask, start, answer, send again, "this is not me"; and the worker's part, the letter.

Knows who may do which. Must not know how tries are counted: `identity.life` does.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import msgspec

from aparte import guard
from aparte.actions import door, tokens
from aparte.actions.inbox import about_of
from aparte.actions.messages import Written, kept, refuse_closed, release_held
from aparte.actions.parts import Parts
from aparte.address import mask
from aparte.delivery import Letter, code_letter, letter_language
from aparte.errors import (
    AparteError,
    BadReference,
    BadState,
    CodeRefused,
    MailDeferred,
    NotFound,
    RecordsDown,
    TooMany,
    Unreadable,
)
from aparte.frames import AlarmBody
from aparte.identity import METHODS
from aparte.identity.life import SYSTEM, Asked, audit_once, has_shape, normal_reference
from aparte.model import AgentCaller, Caller, VisitorCaller
from aparte.records import Contact, Located, connector_of
from aparte.store import Connection, Tx, checks, cid_key, conversations, outbox, people
from aparte.store.conversations import Conversation
from aparte.store.outbox import Row
from aparte.vault import Vault


class LetterRow(msgspec.Struct, frozen=True):
    """The body of a `letter` row. An empty `to` stands for a record without an address: the mail server is asked
    whether it is there, as it would be for a letter, and nothing is sent."""

    check: str
    to: str
    subject: str
    text: str
    language: str


def _require_set_up(parts: Parts, row: Conversation) -> None:
    """Raises BadState."""
    if not parts.can_check(parts.store.directory.sites[row.site_id]):
        raise BadState("Checks are not set up for this site. Tell the operator.")


def _reference(parts: Parts, row: Conversation, given: str, known: str) -> str:
    """The reference to check, in its normal form. Raises BadReference, BadState."""
    _require_set_up(parts, row)
    reference = normal_reference(given or known)
    formats = parts.store.directory.sites[row.site_id].formats
    if not has_shape(reference, formats) or guard.clean(given).found:
        raise BadReference()
    return reference


def _asked(tx: Tx, row: Conversation, caller: Caller, cid: str, *about: str) -> tuple[Asked, Written | None]:
    """The frame's client id for its event, and what an earlier copy of the frame did already."""
    key = cid_key(row.id, door.actor(caller)[1], cid)
    mac = tx.vault.conversation_mac(row.key_id, "check", *about)
    known = tx.repeat(key, mac)
    if known is None:
        return Asked(key, mac), None
    seq = known.visitor_seq if isinstance(caller, VisitorCaller) else known.staff_seq
    return Asked(key, mac), Written(row.id, seq or 0, known.at)


async def ask(parts: Parts, caller: AgentCaller, cid: str, conversation: str, reference: str) -> Written:
    """The agent asks for a check: the code leaves at once when the reference is known."""

    def apply(tx: Tx) -> Written | TooMany:
        row = door.known(tx, caller, conversation)
        asked, before = _asked(tx, row, caller, cid, reference)
        if before is not None:
            return before
        door.require_open(caller, row)
        _require_set_up(parts, row)
        if not reference.strip():
            tx.audit(door.actor(caller), "check.request", row.id)
            parts.life.offer(tx, row, "", asked)
            return Written(row.id, row.staff_seq, tx.now)
        session = people.session_of_visitor(tx.connection, row.visitor_id)
        named = _reference(parts, row, reference, "")
        begin = partial(parts.life.start, tx, row, session, named, asked)
        refused = _begun(tx, row, caller, "check.request", begin)
        return refused or Written(row.id, row.staff_seq, tx.now)

    return await _written(parts, apply)


async def start(parts: Parts, caller: VisitorCaller, cid: str, conversation: str, reference: str) -> Written:
    """The customer asks for the code. Answered before anything is looked up."""

    def apply(tx: Tx) -> Written | TooMany:
        row = door.known(tx, caller, conversation)
        asked, before = _asked(tx, row, caller, cid, reference)
        if before is not None:
            return before
        _refuse_ended(tx, caller, row)
        live = parts.life.live(tx, row)
        known = live.secret.reference if live else ""
        named = _reference(parts, row, reference, known)
        # What is offered with a reference has it from his own words; what an agent started does not.
        is_own = bool(reference) or (live is not None and (live.state == "offered" or live.secret.is_own))
        begin = partial(parts.life.start, tx, row, caller.session, named, asked, is_own=is_own)
        refused = _begun(tx, row, caller, "check.start", begin)
        return refused or Written(row.id, row.visitor_seq, tx.now)

    return await _written(parts, apply)


async def resend(parts: Parts, caller: VisitorCaller, cid: str, conversation: str, check_id: str) -> Written:
    """Another letter for the same check."""

    def apply(tx: Tx) -> Written | TooMany:
        row = door.known(tx, caller, conversation)
        asked, before = _asked(tx, row, caller, cid, check_id)
        if before is not None:
            return before
        _refuse_ended(tx, caller, row)
        live = parts.life.live(tx, row)
        if live is None or live.id != check_id or live.session != caller.session:
            raise BadState("This check has ended. Ask for a new one.")
        refused = _begun(tx, row, caller, "check.resend", partial(parts.life.resend, tx, row, live, asked))
        return refused or Written(row.id, row.visitor_seq, tx.now)

    return await _written(parts, apply)


def _refuse_ended(tx: Tx, caller: VisitorCaller, row: Conversation) -> None:
    """Nothing is proven in a conversation that has ended. Raises BadState, and as `door.enter_open`."""
    refuse_closed(door.enter_open(tx, caller, row.id))


def _begun(tx: Tx, row: Conversation, caller: Caller, action: str, begin: Callable[[], object]) -> TooMany | None:
    """Begins, and notes in the audit log that it did; a limit's refusal is returned, so that its line is kept."""
    try:
        begin()
    except TooMany as refused:
        audit_once(tx, door.actor(caller), "check.refused", row.id, refused.code)
        return refused
    tx.audit(door.actor(caller), action, row.id)
    return None


async def _written(parts: Parts, apply: Callable[[Tx], Written | TooMany]) -> Written:
    """Writes, then wakes the outbox worker. Raises what was refused."""
    written = kept(await parts.store.write(apply))
    parts.ring()
    return written


async def answer(
    parts: Parts, caller: VisitorCaller, cid: str, conversation: str, check_id: str, code: str
) -> tuple[Written, str]:
    """One try at the code. On success the held messages are decided anew in the same transaction, and the second
    value is the session's next token. Raises CodeRefused for everything else, with the try counted; a repeat gets
    the first answer and counts nothing."""

    def apply(tx: Tx) -> tuple[Written, str] | AparteError:
        row = door.known(tx, caller, conversation)
        key = cid_key(row.id, caller.visitor, cid)
        mac = tx.vault.conversation_mac(row.key_id, "code", check_id, code)
        before = tx.repeat(key, mac)
        refused: AparteError | None = CodeRefused() if before and before.kind != "standing" else None
        if before is None:
            _refuse_ended(tx, caller, row)
            refused = parts.life.answer(tx, row, check_id, caller.session, code, Asked(key, mac))
            if refused is None:
                release_held(parts, tx, row)
        if refused is not None:
            return refused
        return Written(row.id, row.visitor_seq, tx.now), tokens.offer(tx, caller.session)

    return kept(await parts.store.write(apply))


def not_me_link(vault: Vault, check_id: str) -> str:
    """What the link in a letter carries: the check, and 128 keyed bits that only this server can make."""
    return f"{check_id}.{vault.mac('link', 'not_me', check_id)[:16].hex()}"


async def not_me(parts: Parts, link: str) -> bool:
    """The link in the letter was pressed. Returns: whether a code had been used before it, as `Life.kill` says. Raises
    NotFound for a link that we did not make."""
    check_id = link.partition(".")[0]
    if not hmac.compare_digest(link.encode(), not_me_link(parts.store.vault, check_id).encode()):
        raise NotFound("This link is not complete. Open it again from the letter.")

    def apply(tx: Tx) -> bool:
        conversation = checks.conversation_of(tx.connection, check_id)
        if conversation is None:
            raise NotFound("This link names a check that is no longer kept.")
        return parts.life.kill(tx, tx.conversation(conversation), check_id)

    return await parts.store.write(apply)


# ── the worker's part ───────────────────────────────────────────────────────────────────────────────────────


async def look_up(parts: Parts, row: Row) -> None:
    """`check.letter`: finds the address on file, makes the code, and leaves a letter in the outbox.

    Raises RecordsDown and MailDeferred, which bring the row back later.
    """
    vault = parts.store.vault

    def query(connection: Connection) -> tuple[Conversation, checks.Check] | None:
        thread = conversations.find(connection, row.conversation_id)
        check = checks.find(connection, vault, thread, row.body.decode()) if thread else None
        return (thread, check) if thread and check else None

    try:
        found = await parts.store.read(query)
    except Unreadable:
        await parts.store.write(lambda tx: alarm(tx, row.conversation_id, "unreadable"))
        raise
    if found is None or found[1].state != "started":
        return
    thread, check = found
    connector = connector_of(parts.store.directory.sites[thread.site_id])
    # Found first: the company may write the reference otherwise than people do.
    located = await parts.records.find(connector, check.secret.reference) if connector else None
    try:
        contact = await parts.records.contact(connector, located.reference) if connector and located else None
    except RecordsDown as error:
        raise MailDeferred from error  # shown to nobody: only a record that exists comes as far as this
    await parts.store.write(lambda tx: _issue(parts, tx, row, check.id, located, contact))
    parts.ring()


def _issue(parts: Parts, tx: Tx, asked: Row, check_id: str, located: Located | None, contact: Contact | None) -> None:
    # With the letter and the code in one commit: a crash does not send a second letter that voids the first.
    outbox.end(tx, asked.id, "done")
    row = tx.conversation(asked.conversation_id)
    check = checks.find(tx.connection, tx.vault, row, check_id)
    if check is None or check.state != "started":
        return
    site = parts.store.directory.sites[row.site_id]
    code, code_mac = METHODS["email_code"].issue(tx.vault, check)
    language = letter_language((contact.language if contact else "") or row.lang)
    subject, text = code_letter(
        language,
        code=code,
        site_name=site.name,
        browser=about_of(tx.vault, row).browser,
        at=datetime.fromtimestamp(tx.now, UTC),
        minutes=parts.settings.code_seconds // 60,
        not_me_url=f"{parts.settings.addressed()[0]}/not-me?site={site.id}#{not_me_link(tx.vault, check.id)}",
    )
    at = tx.now
    if located is not None and contact is not None:
        check.code_mac = code_mac
        slowed = parts.life.locate(tx, row, check, located.reference, mask(contact.email))
        checks.save(tx, row, check)
        at = max(at, asked.created_at + slowed)
    body = LetterRow(check.id, contact.email if contact else "", subject, text, language)
    outbox.add(tx, row, "letter", msgspec.json.encode(body), at=at)


async def send_letter(parts: Parts, row: Row) -> None:
    """`letter`: hands it to the mail server, unless its check has ended. Raises as the mailer does."""
    body = msgspec.json.decode(row.body, type=LetterRow)
    vault = parts.store.vault

    def is_wanted(connection: Connection) -> bool:
        thread = conversations.find(connection, row.conversation_id)
        check = checks.find(connection, vault, thread, body.check) if thread else None
        return check is not None and check.state == "started"

    if not await parts.store.read(is_wanted):
        return
    if body.to:
        await parts.mailer.send(Letter(body.to, body.subject, body.text, row.id, body.language))
    else:
        await parts.mailer.reach()
    await parts.store.write(lambda tx: _sent(parts, tx, row, body.check))


def _sent(parts: Parts, tx: Tx, row: Row, check_id: str) -> None:
    tx.audit(SYSTEM, "check.send", row.conversation_id, check_id)
    show_late(parts, tx, row.conversation_id, late=False)


def show_late(parts: Parts, tx: Tx, conversation: str, *, late: bool) -> None:
    """The card says that the letter is late, or says so no longer."""
    thread = tx.conversation(conversation)
    live = parts.life.live(tx, thread)
    if live is not None and live.state == "started" and live.secret.late != late:
        live.secret = msgspec.structs.replace(live.secret, late=late)
        checks.save(tx, thread, live)
        parts.life.show(tx, thread, live)


def alarm(tx: Tx, conversation: str, code: str) -> None:
    tx.append(tx.conversation(conversation), "alarm", AlarmBody(code), sender=SYSTEM, visible=False)
