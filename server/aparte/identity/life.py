"""The life of a check: offered, started, tried, ended. Everything here runs inside the writer's transaction.

Knows counts, times and bindings. Must not know who may ask for a check, nor how a letter travels.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

import msgspec

from aparte.config import Settings
from aparte.errors import AparteError, BadState, ChecksPaused, CodeRefused, TooMany, Unreadable
from aparte.frames import AlarmBody, CheckBody, CheckCard, EmptyBody, Standing, StandingBody
from aparte.identity.email_code import METHOD
from aparte.model import Level
from aparte.store import Connection, Tx, checks, conversations, new_id, outbox
from aparte.store.checks import Check, Secret
from aparte.store.conversations import Conversation, Proof

SYSTEM: Final = ("system", "")
DAY: Final = 86_400.0
LIVE: Final = frozenset({"offered", "started"})
# Seconds that a letter is put off at most when one record is asked for too often, and the part of a code's life.
_SLOWEST: Final = 300.0
_SLOWEST_PART: Final = 0.5
_AUDIT_SECONDS: Final = 60.0


def normal_reference(reference: str) -> str:
    """The form by which a record is recognised: letters and digits, upper case."""
    return "".join(char for char in reference.upper() if char.isalnum())


def has_shape(reference: str, formats: tuple[str, ...]) -> bool:
    """Whether a reference in its normal form could be one of this site's, by the masks of `Site.formats`; where there
    are none, whether it is of a likely length. A shape tells nothing of whether the record exists."""
    if not formats:
        return 3 <= len(reference) <= 40
    return reference.isascii() and any(_fits(reference, normal_reference(mask)) for mask in formats)


def _fits(reference: str, mask: str) -> bool:
    kinds = {"X": str.isalnum, "A": str.isalpha, "9": str.isdigit}
    return len(reference) == len(mask) and all(
        kinds[kind](char) if kind in kinds else char == kind for char, kind in zip(reference, mask, strict=True)
    )


def record_index(tx: Tx, site: str, reference: str) -> bytes:
    """The keyed index of a record: equal for equal references of one site, and tells nothing else."""
    return tx.vault.mac("index", "record", site, normal_reference(reference))


def audit_once(tx: Tx, actor: tuple[str, str], action: str, conversation: str, detail: str = "") -> None:
    """A line of the audit log for what was refused, once a minute: who repeats it shall not fill the disk."""
    key = "|".join((*actor, action, conversation, detail)).encode()
    if not checks.count(tx.connection, "audit", key, tx.now - _AUDIT_SECONDS):
        checks.note(tx, "audit", key)
        tx.audit(actor, action, conversation, detail)


@dataclass(frozen=True, slots=True)
class Asked:
    """The client id of the frame that asked, as its event carries it: a repeat sends no second letter."""

    key: bytes | None = None
    mac: bytes | None = None


UNASKED: Final = Asked()


@dataclass(frozen=True, slots=True)
class Life:
    """The rules of checks with this installation's numbers."""

    settings: Settings

    def card(self, connection: Connection, row: Conversation, check: Check, now: float) -> CheckCard:
        """The check as staff's screens draw it at `now`."""
        return CheckCard(
            id=check.id,
            state=check.state,  # type: ignore[arg-type]  # the column holds nothing else
            until=check.expires_at if check.state == "started" else 0.0,
            tries_left=max(0, self.settings.code_tries - check.tries),
            sends_left=max(0, self.settings.code_sends - self._sends(connection, row, now)),
            named=bool(check.secret.reference),
            late=check.secret.late and check.state == "started",
            own=check.secret.is_own,
            reference=check.secret.reference,
        )

    def _sends(self, connection: Connection, row: Conversation, now: float) -> int:
        return checks.count(connection, "send", row.id.encode(), now - self.settings.code_sends_seconds)

    def _find(self, tx: Tx, row: Conversation, check_id: str | None) -> Check | None:
        """The check, unless it is not there or cannot be authenticated: then it proves nothing."""
        try:
            return checks.find(tx.connection, tx.vault, row, check_id)
        except Unreadable:
            tx.audit(SYSTEM, "check.unreadable", row.id)
            return None

    def live(self, tx: Tx, row: Conversation) -> Check | None:
        """The conversation's check while it can still succeed."""
        check = self._find(tx, row, row.check_id)
        return check if check is not None and check.state in LIVE else None

    def show(self, tx: Tx, row: Conversation, check: Check, asked: Asked = UNASKED) -> None:
        body = CheckBody(self.card(tx.connection, row, check, tx.now))
        tx.append(row, "check", body, sender=SYSTEM, visible=True, key=asked.key, mac=asked.mac)

    def end(self, tx: Tx, row: Conversation, check: Check, state: str, asked: Asked = UNASKED) -> None:
        """Ends a check in `state`; its code is void."""
        check.state, check.code_mac = state, None
        row.has_check = row.has_check and check.id != row.check_id
        checks.save(tx, row, check)
        self.show(tx, row, check, asked=asked)

    # ── beginning ────────────────────────────────────────────────────────────────────────────────────────

    def offer(self, tx: Tx, row: Conversation, reference: str, asked: Asked = UNASKED) -> Check:
        """The card appears in the thread; nothing is sent before somebody asks for it."""
        self._make_room(tx, row)
        check = Check(new_id(), row.id, "", None, Secret(reference), "offered", None, 0, tx.now, tx.now + DAY)
        checks.add(tx, row, check)
        row.check_id, row.has_check = check.id, True
        self.show(tx, row, check, asked=asked)
        return check

    def _make_room(self, tx: Tx, row: Conversation) -> None:
        """One live check per conversation."""
        before = self.live(tx, row)
        if before is not None:
            self.end(tx, row, before, "ended")

    def start(
        self, tx: Tx, row: Conversation, session: str, reference: str, asked: Asked, *, is_own: bool = False
    ) -> Check:
        """Starts a check of this record for this visitor session, and has a letter sent. One that runs ends. Args:
        is_own: the customer gave the reference.

        Whether the record exists is not known here, and nothing that a person sees depends on it.
        Raises ChecksPaused; TooMany when too many letters were asked for.
        """
        self._may_send(tx, row)
        before = self.live(tx, row)
        record = record_index(tx, row.site_id, reference)
        if before is not None and before.state == "offered":
            check = before
        else:
            self._make_room(tx, row)
            check = Check(new_id(), row.id, "", None, Secret(), "offered", None, 0, tx.now, tx.now)
            checks.add(tx, row, check)
            row.check_id, row.has_check = check.id, True
        check.session, check.record, check.secret = session, record, Secret(normal_reference(reference), is_own)
        check.state, check.tries = "started", 0
        # Never equal to a code's hash: an answer to a check without a letter fails like any wrong one.
        check.code_mac = secrets.token_bytes(32)
        check.expires_at = tx.now + self.settings.code_seconds
        self._send(tx, row, check, asked)
        return check

    def resend(self, tx: Tx, row: Conversation, check: Check, asked: Asked) -> None:
        """Another letter with another code; the tries stay counted. Raises as `start`, and BadState."""
        if check.state != "started" or check.expires_at <= tx.now:
            raise BadState("This check has ended. Ask for a new one.")
        self._may_send(tx, row)
        self._send(tx, row, check, asked)

    def _may_send(self, tx: Tx, row: Conversation) -> None:
        self.refuse_while_paused(tx)
        since = tx.now - self.settings.code_sends_seconds
        if self._sends(tx.connection, row, tx.now) >= self.settings.code_sends:
            first = checks.oldest(tx.connection, "send", row.id.encode(), since) or tx.now
            raise TooMany(
                "Enough letters were sent for now. Look in the mailbox, also among unwanted mail.",
                retry_after=first - since,
            )

    def _send(self, tx: Tx, row: Conversation, check: Check, asked: Asked) -> None:
        assert check.record is not None
        checks.note(tx, "send", row.id.encode())
        delay = self._slowed(tx, row, check, check.record)
        if delay:
            tx.append(row, "alarm", AlarmBody("many_sends"), sender=SYSTEM, visible=False)
        checks.save(tx, row, check)
        outbox.add(tx, row, "check.letter", check.id.encode(), at=tx.now + delay)
        self.show(tx, row, check, asked=asked)

    def _slowed(self, tx: Tx, row: Conversation, check: Check, record: bytes) -> float:
        """Counts a letter for this record. Returns for how many seconds it is put off: a record asked for too often is
        slowed down and looked at, but its owner is never locked out."""
        beyond = checks.count(tx.connection, "send.record", record, tx.now - DAY) - self.settings.record_sends_per_day
        checks.note(tx, "send.record", record)
        if beyond < 0:
            return 0.0
        tx.audit(SYSTEM, "check.many_sends", row.id, check.id)
        most = min(_SLOWEST, self.settings.code_seconds * _SLOWEST_PART)  # the code must come before it is void
        return min(most, 15.0 * 2.0 ** min(beyond, 8))

    def locate(self, tx: Tx, row: Conversation, check: Check, located: str, contact: str) -> float:
        """The company has told how it writes the reference, and its masked contact. Returns as `_slowed`, when the
        record is counted under another form than the one that was typed: a company that forgives small mistakes must
        not give each form its own letters. No alarm in the thread: it would tell that the record exists."""
        check.secret = msgspec.structs.replace(check.secret, located=located, contact=contact)
        record = self._record(tx, row, check)
        return 0.0 if record == check.record else self._slowed(tx, row, check, record)

    def _record(self, tx: Tx, row: Conversation, check: Check) -> bytes:
        """The index of the record that the check is about: by the company's form, whichever form was typed."""
        return record_index(tx, row.site_id, check.secret.located or check.secret.reference)

    def refuse_while_paused(self, tx: Tx) -> None:
        """The breaker: many wrong codes everywhere pause all codes for a while."""
        since = tx.now - self.settings.breaker_seconds
        if checks.count(tx.connection, "wrong", b"", since) >= self.settings.breaker_failures:
            first = checks.oldest(tx.connection, "wrong", b"", since) or tx.now
            raise ChecksPaused(retry_after=first - since)

    # ── answering ────────────────────────────────────────────────────────────────────────────────────────

    def answer(
        self, tx: Tx, row: Conversation, check_id: str, session: str, code: str, asked: Asked
    ) -> AparteError | None:
        """One try. None: the conversation is at V2 now. The refusal is returned, not raised, so that the counted
        try and the audit line are committed with it; it is one and the same for a wrong code, another conversation
        or browser, an ended or an expired check; ChecksPaused while the breaker is open.
        """
        try:
            self.refuse_while_paused(tx)
        except ChecksPaused as paused:
            audit_once(tx, SYSTEM, "check.paused", row.id)
            return paused
        check = self._find(tx, row, check_id)
        if (
            check is None
            or check.id != row.check_id
            or check.state != "started"
            or check.session != session
            or check.expires_at <= tx.now
        ):
            # The id is the sender's own word unless it names a check of this conversation.
            audit_once(tx, SYSTEM, "check.refused", row.id, check.id if check is not None else "")
            return CodeRefused()
        check.tries += 1  # before comparing, in the same transaction
        tx.audit(SYSTEM, "check.try", row.id, check.id)
        # Compared in any case, so that a record with too many tries answers no faster than another.
        is_right = METHOD.verify(tx.vault, check, code)
        if self._too_many_tries(tx, row, check) or not is_right:
            if not is_right:
                checks.note(tx, "wrong", b"")
            self._wrong(tx, row, check, asked)
            return CodeRefused()
        self._right(tx, row, check, asked)
        return None

    def _too_many_tries(self, tx: Tx, row: Conversation, check: Check) -> bool:
        """Whether codes for this record count no more today; telephone and desk stay open to its owner."""
        record = self._record(tx, row, check)
        tried = checks.count(tx.connection, "try.record", record, tx.now - DAY)
        checks.note(tx, "try.record", record)
        if tried < self.settings.record_tries_per_day:
            return False
        # The agent has to know that only another way is left.
        tx.append(row, "alarm", AlarmBody("record_tries"), sender=SYSTEM, visible=False)
        tx.audit(SYSTEM, "check.record_tries", row.id, check.id)
        return True

    def _wrong(self, tx: Tx, row: Conversation, check: Check, asked: Asked) -> None:
        tx.audit(SYSTEM, "check.wrong", row.id, check.id)
        if check.tries >= self.settings.code_tries:
            tx.audit(SYSTEM, "check.lock", row.id, check.id)
            tx.append(row, "alarm", AlarmBody("tries_used"), sender=SYSTEM, visible=False)
            self.end(tx, row, check, "failed", asked)
        else:
            checks.save(tx, row, check)
            self.show(tx, row, check, asked=asked)

    def _right(self, tx: Tx, row: Conversation, check: Check, asked: Asked) -> None:
        self.end(tx, row, check, "verified")
        secret = check.secret
        record, reference = self._record(tx, row, check).hex(), secret.located or secret.reference
        proof = Proof(Level.V2, check.session, record, reference, secret.contact, tx.now)
        row.standing = conversations.seal_proof(tx.vault, row, proof)
        row.active_at = tx.now
        tx.audit(SYSTEM, "check.success", row.id, check.id)
        tx.audit(SYSTEM, "level.up", row.id, "V2")
        standing = self.standing(proof, row)
        body = StandingBody(standing, "code")
        tx.append(row, "standing", body, sender=SYSTEM, visible=True, key=asked.key, mac=asked.mac)

    def standing(self, proof: Proof, row: Conversation) -> Standing:
        """What screens show of a proof that counts."""
        most, idle = proof.since + self.settings.assurance_seconds, self.settings.assurance_idle_seconds
        return Standing(
            level=proof.level,
            until=min(most, row.active_at + idle),
            most=most,
            idle=idle,
            contact=proof.contact,
            reference=proof.reference,
        )

    # ── ending ───────────────────────────────────────────────────────────────────────────────────────────

    def lower(self, tx: Tx, row: Conversation, why: str) -> None:
        """Nothing is proven any more."""
        row.standing = None
        body = StandingBody(Standing(Level.V0), why)  # type: ignore[arg-type]  # callers pass its literals
        tx.append(row, "standing", body, sender=SYSTEM, visible=True)
        tx.audit(SYSTEM, "level.down", row.id, why)

    def kill(self, tx: Tx, row: Conversation, check_id: str) -> bool:
        """ "This is not me": the check dies and the one after it, the conversation freezes, the panel is alarmed.

        Returns: whether it came too late: a code for this record had proven somebody here, who may have seen or
        changed it. Of a check that cannot be authenticated that is not known, so it is taken for used.
        """
        check = self._find(tx, row, check_id)
        was_used = check is None or self._was_used(tx, row, self._record(tx, row, check))
        is_known = check is None or (check.state == "killed" and check.secret.was_used == was_used)
        is_over = row.is_frozen or (check is not None and self.live(tx, row) is None and row.standing is None)
        if is_known and is_over:
            return was_used  # pressed again, and there is nothing to end
        if check is not None:
            check.secret = msgspec.structs.replace(check.secret, was_used=was_used)
            self.end(tx, row, check, "killed")
        live = self.live(tx, row)
        if live is not None:
            self.end(tx, row, live, "ended")  # its own letter may still say "not me", too
        if row.standing is not None:
            self.lower(tx, row, "not_me")
        if not row.is_frozen:
            row.is_frozen = True
            tx.append(row, "frozen", EmptyBody(), sender=SYSTEM, visible=True)
        tx.append(row, "alarm", AlarmBody("not_me_used" if was_used else "not_me"), sender=SYSTEM, visible=False)
        tx.audit(SYSTEM, "check.not_me", row.id, check_id)
        return was_used

    def _was_used(self, tx: Tx, row: Conversation, record: bytes) -> bool:
        """Whether a code for this record has ever proven somebody here, or what would tell so cannot be authenticated.
        Each check is unsealed: its columns alone are nobody's word. A conversation has few."""
        for check_id in checks.ids_of(tx.connection, row):
            check = self._find(tx, row, check_id)
            if check is None or (
                self._record(tx, row, check) == record and (check.state == "verified" or check.secret.was_used)
            ):
                return True
        return False
