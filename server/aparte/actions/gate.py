"""Asks the gate with what the store knows: the proof, the record, the time. Always inside the deciding transaction.

Knows how a row becomes an assurance. Must not write anything but what `stale` takes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aparte import guard, topics
from aparte.actions.parts import Parts
from aparte.errors import NeedsCheck, OtherRecord, Unreadable
from aparte.frames import MessageBody
from aparte.identity.life import record_index
from aparte.model import Level, Site
from aparte.policy import NOTHING_PROVEN, Allow, AskCheck, Assurance, Hold, Policy, Refuse, decide, fresh
from aparte.store import Connection, Tx, conversations, events
from aparte.store.conversations import Conversation, Proof
from aparte.vault import Vault


def proof_of(vault: Vault, row: Conversation) -> Proof | None:
    """What was proven. A proof that cannot be authenticated proves nothing."""
    try:
        return conversations.proof(vault, row)
    except Unreadable:
        return None


def assurance_of(proof: Proof | None, row: Conversation) -> Assurance:
    if proof is None:
        return NOTHING_PROVEN
    return Assurance(Level(proof.level), proof.record, proof.since, row.active_at)


def level_of(vault: Vault, row: Conversation, policy: Policy, now: float) -> Level:
    """The level that counts now."""
    if row.standing is None:
        return Level.V0
    return fresh(assurance_of(proof_of(vault, row), row), policy, now)


def lower_stale(parts: Parts, tx: Tx, row: Conversation) -> None:
    """Takes back a proof whose time is over. To be called before a sign of life of the visitor is noted."""
    if row.standing is not None and level_of(tx.vault, row, parts.policy, tx.now) < Level.V2:
        parts.life.lower(tx, row, "expired")


@dataclass(frozen=True, slots=True)
class Judged:
    """What an agent's text is about, and why it waits; without a code it may leave."""

    topic: str
    code: str = ""


_GENERAL: Final = Judged("general")
_LOOKED_THROUGH: Final = 40  # of the last messages, for what the customer wrote


def judge_talk(parts: Parts, tx: Tx, row: Conversation, site: Site, text: str) -> Judged:
    """Whether an agent's text may leave now."""
    if guard.asks_for_secret(text):
        return Judged("general", "asks_secret")
    if _leads_away(parts, tx, row, site, text):
        return Judged("general", "foreign_link")
    noticed = topics.notice(text, site.formats, by_staff=True)
    references = [*noticed.references, *_named_before(parts, tx, row, site, text, noticed.references)]
    if noticed.topic == "general" and not references:
        return _GENERAL
    topic = "booking" if noticed.topic == "general" else noticed.topic
    assurance = assurance_of(proof_of(tx.vault, row), row)
    quoted: list[str | None] = [record_index(tx, row.site_id, one).hex() for one in references]
    for record in quoted or [None]:
        match decide(f"talk.{topic}", record, assurance, parts.policy, tx.now):
            case Hold(code=code) | Refuse(code=code):
                return Judged(topic, code)
            case _:
                continue
    return Judged(topic)


def _leads_away(parts: Parts, tx: Tx, row: Conversation, site: Site, text: str) -> bool:
    """Whether a text leads to a strange host. An address that the customer wrote leads him nowhere; whether it is the one
    on file nobody here knows, so no other is taken for his."""
    if not guard.foreign_links(text, site.link_hosts):
        return False
    if not guard.addresses(text):
        return True
    theirs = frozenset[str]().union(*map(guard.addresses, _said_lately(parts, tx.connection, row)))
    return bool(guard.foreign_links(text, site.link_hosts, theirs))


def _named_before(
    parts: Parts, tx: Tx, row: Conversation, site: Site, text: str, noticed: tuple[str, ...]
) -> list[str]:
    """The references that the customer named lately and that stand in `text` in groups, or without a word that says what
    they are. The customer's messages are read only if the text holds what could be one, and searched only if they hold
    it, too: a text in capitals is full of what could be."""
    possible = topics.possible_references(text, site.formats).difference(noticed) if site.formats else frozenset[str]()
    return named_references(parts, tx.connection, row, possible) if possible else []


def named_references(
    parts: Parts, connection: Connection, row: Conversation, among: frozenset[str] | None = None
) -> list[str]:
    """The booking references that the customer named lately, newest first. Args: among: only these are looked for."""
    site = parts.store.directory.sites.get(row.site_id)
    if site is None or not site.formats:
        return []
    found: list[str] = []
    for text in _said_lately(parts, connection, row):
        found += [one for one in topics.named(text, site.formats, among) if one not in found]
        if among is not None and len(found) == len(among):
            break
    return found


def _said_lately(parts: Parts, connection: Connection, row: Conversation) -> list[str]:
    """What the customer wrote among the last messages, newest first."""
    last = events.page(
        connection, parts.store.vault, row, for_visitor=True, before=row.visitor_seq + 1, limit=_LOOKED_THROUGH
    )
    return [
        stored.body.text
        for stored in reversed(last)
        if stored.sender_kind == "visitor" and isinstance(stored.body, MessageBody)
    ]


def wants_check(parts: Parts, tx: Tx, row: Conversation, site: Site, text: str) -> tuple[bool, tuple[str, ...]]:
    """Whether a customer's text should bring the check card, and the references that it names."""
    noticed = topics.notice(text, site.formats)
    if noticed.topic == "general" and not noticed.references:
        return False, ()
    topic = "booking" if noticed.topic == "general" else noticed.topic
    decision = decide(f"say.{topic}", None, assurance_of(proof_of(tx.vault, row), row), parts.policy, tx.now)
    return isinstance(decision, AskCheck), noticed.references


def require(parts: Parts, row: Conversation, act: str, now: float, record: str | None = None) -> Proof:
    """The proof that opens `act` on `record` (the keyed index; None: the proven one) at `now`.

    Raises NeedsCheck, OtherRecord.
    """
    proof = proof_of(parts.store.vault, row)
    touched = record or (proof.record if proof else None)
    match decide(act, touched, assurance_of(proof, row), parts.policy, now):
        case Allow() if proof is not None:
            return proof
        case Refuse(code="other_record"):
            raise OtherRecord()
        case _:
            raise NeedsCheck()
