"""The company's record: showing it to an agent, and changing it.

Knows the order: gate, connector, gate again, event. Must not know how the connector speaks.
"""

from __future__ import annotations

from typing import Final

import msgspec

from aparte import guard
from aparte.actions import door, gate
from aparte.actions.checks import alarm, show_late
from aparte.actions.messages import Written, kept
from aparte.actions.parts import Parts
from aparte.errors import AparteError, BadInput, BadState, Frozen, MailDeferred, NotFound, RecordsDown
from aparte.frames import ActBody, Lang, Record
from aparte.identity.life import SYSTEM
from aparte.model import AgentCaller
from aparte.policy import RECORD_ACTS
from aparte.records import Connector, connector_of
from aparte.store import Connection, Tx, cid_key, conversations, outbox
from aparte.store.conversations import Conversation, Proof
from aparte.store.outbox import Row

NOT_KNOWN: Final = "not_known"  # whether the company made the change: the agent has to look at the booking
CALL_SECONDS: Final = 60.0  # after a crash in mid-call the row is taken up again so much later


class ChangeRow(msgspec.Struct, frozen=True):
    """The body of an `act.change` row."""

    option: str
    label: str
    agent: str
    record: str  # the keyed index of the record that was proven when it was asked
    reference: str
    departs: str = ""
    lang: str = ""  # of the label


def _connector(parts: Parts, row: Conversation) -> Connector:
    connector = connector_of(parts.store.directory.sites[row.site_id])
    if connector is None:
        raise BadState("No booking system is set up for this site. Tell the operator.")
    return connector


def _open(parts: Parts, tx: Tx, caller: AgentCaller, row: Conversation, act: str) -> Proof | AparteError:
    """The gate's answer, written to the audit log; a refusal is returned so that its line is kept."""
    assert act in RECORD_ACTS
    try:
        proof = gate.require(parts, row, act, tx.now)
    except AparteError as refused:
        tx.audit(door.actor(caller), "gate.refuse", row.id, f"{act} {refused.code}")
        return refused
    tx.audit(door.actor(caller), "gate.allow", row.id, act)
    return proof


async def show_record(
    parts: Parts, caller: AgentCaller, cid: str, conversation: str, lang: Lang | None = None
) -> Record:
    """The proven record, fetched now and kept nowhere, in `lang` or else in what the conversation began in. Raises
    NeedsCheck, RecordsDown, NotFound."""

    def ask(tx: Tx) -> tuple[Conversation, Proof | AparteError]:
        row = door.enter_open(tx, caller, conversation)
        return row, _open(parts, tx, caller, row, "record.show")

    row, answer = await parts.store.write(ask)
    proof = kept(answer)
    language = lang or row.lang
    details = await parts.records.details(_connector(parts, row), proof.reference, language)
    if details is None:
        raise NotFound("The booking system no longer has this booking.")
    # The proof may have ended while the company's system was asked.
    again = await parts.store.read(lambda c: door.see(c, caller, conversation))
    gate.require(parts, again, "record.show", parts.store.now(), proof.record)
    parts.options[conversation] = language, details.options
    return Record(
        cid=cid,
        conversation=conversation,
        reference=details.reference,
        title=details.title,
        state=details.state,
        lines=list(details.lines),
        options=list(details.options),
        lang=language,
    )


async def change(parts: Parts, caller: AgentCaller, cid: str, conversation: str, option: str) -> Written:
    """Asks for a change of the proven record. Durable at once; carried out by the outbox, once, with an
    idempotency key, and told in the thread. Raises BadInput, NeedsCheck, NotFound, BadState."""
    if guard.clean(option).found:  # what is kept and handed on here is the company's word, never a person's
        raise BadInput("That is not an option of this booking.")
    who = door.actor(caller)
    key = cid_key(conversation, who[1], cid)

    def apply(tx: Tx) -> Written | AparteError:
        row = door.known(tx, caller, conversation)
        mac = tx.vault.conversation_mac(row.key_id, "change", option)
        known = tx.repeat(key, mac)
        if known is not None:
            return Written(row.id, known.staff_seq, known.at)
        door.require_open(caller, row)
        _connector(parts, row)
        if outbox.is_waiting(tx.connection, row, "act.change"):
            return BadState("A change of this booking is under way. Wait for it.")
        proof = _open(parts, tx, caller, row, "record.change")
        if isinstance(proof, AparteError):
            return proof
        body = _asked_body(parts, conversation, option, proof.reference)
        stored = tx.append(row, "act", body, sender=who, visible=False, cid=cid, key=key, mac=mac)
        asked = ChangeRow(option, body.label, who[1], proof.record, proof.reference, body.departs, body.lang)
        outbox.add(tx, row, "act.change", msgspec.json.encode(asked), at=tx.now)
        tx.audit(who, "act.change", row.id)
        return Written(row.id, stored.staff_seq, stored.at)

    done = kept(await parts.store.write(apply))
    parts.ring()
    return done


def _asked_body(parts: Parts, conversation: str, option: str, reference: str) -> ActBody:
    """What the agent chose, as it was shown; without words when this node has shown nothing since it started."""
    lang, options = parts.options.get(conversation, ("", ()))
    shown = next((one for one in options if one.id == option), None)
    if shown is None:
        return ActBody("change", "asked", reference=reference)
    return ActBody("change", "asked", label=shown.label, reference=reference, departs=shown.departs, lang=lang)


async def carry_out(parts: Parts, row: Row) -> None:
    """`act.change`: the gate once more, then the company's system. Raises RecordsDown, which brings it back."""
    asked = msgspec.json.decode(row.body, type=ChangeRow)

    def query(connection: Connection) -> Conversation | None:
        return conversations.find(connection, row.conversation_id)

    thread = await parts.store.read(query)
    if thread is None:
        return
    failure, body = "", ActBody("change", "failed", label=asked.label)
    try:
        if thread.is_frozen:
            raise Frozen()
        connector = _connector(parts, thread)
        gate.require(parts, thread, "record.change", parts.store.now(), asked.record)
    except AparteError as error:
        # After a first call nobody here knows whether the company made the change.
        failure = error.code if row.attempts == 0 else NOT_KNOWN
    else:
        # Written down before the call: after a crash in mid-call the row must not pass for one that never called.
        await parts.store.write(lambda tx: outbox.retry(tx, row.id, row.attempts + 1, tx.now + CALL_SECONDS))
        try:
            changed = await parts.records.change(
                connector, asked.reference, asked.option, key=row.id, language=thread.lang
            )
        except RecordsDown:
            raise
        except AparteError as error:
            failure = error.code
        else:
            body = ActBody(
                "change",
                "done",
                title=changed.details.title,
                # Chosen by an agent who reads another language: the departure tells it.
                label=asked.label if asked.lang in ("", thread.lang) else "",
                due=changed.due,
                reference=asked.reference,
                departs=asked.departs,
                lang=thread.lang,
            )

    def tell(tx: Tx) -> None:
        held = tx.conversation(row.conversation_id)
        if failure:
            tell_failed(tx, held, asked.label, failure)
        else:
            tx.append(held, "act", body, sender=SYSTEM, visible=True)
            tx.audit(("agent", asked.agent), "act.change_done", held.id)
        # In the same commit as the news: a crash after it does not tell it twice.
        outbox.end(tx, row.id, "done")

    parts.options.pop(row.conversation_id, None)
    await parts.store.write(tell)


def tell_failed(tx: Tx, row: Conversation, label: str, code: str) -> None:
    """The agent reads that the change was not made, and why; or that nobody here knows."""
    tx.append(row, "act", ActBody("change", "failed", label=label, code=code), sender=SYSTEM, visible=False)
    tx.audit(SYSTEM, "act.change_failed", row.id, code)


async def trouble(parts: Parts, row: Row, error: AparteError) -> None:
    """The first try failed for a reason that passes: the people who wait are told."""

    def tell(tx: Tx) -> None:
        if row.kind == "act.change":
            alarm(tx, row.conversation_id, "records_down")
            return
        if isinstance(error, MailDeferred):
            return  # it concerns one address: to show it would tell that the record exists
        show_late(parts, tx, row.conversation_id, late=True)
        alarm(tx, row.conversation_id, error.code)

    await parts.store.write(tell)


async def given_up(parts: Parts, row: Row) -> None:
    """No later try will succeed."""

    def tell(tx: Tx) -> None:
        if row.kind == "act.change":
            label = msgspec.json.decode(row.body, type=ChangeRow).label if row.is_whole else ""
            # The try that has just failed may have called the company, even a first one.
            code = NOT_KNOWN if row.is_whole or row.attempts else "unreadable"
            tell_failed(tx, tx.conversation(row.conversation_id), label, code)
        else:
            if not row.is_whole:  # so it is for a record that does not exist
                alarm(tx, row.conversation_id, "unreadable")
            # In the audit log alone: an alarm in the thread would tell the agent that the record exists.
            tx.audit(SYSTEM, "check.mail_refused", row.conversation_id, row.id)

    await parts.store.write(tell)
