"""A small model of one conversation: what each frame is answered with, and what each stream then holds.

Pure. Written from PROTOCOL.md, not from the server: where the two differ, one of them is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

State = Literal["waiting", "assigned", "closed"]
PAGE: Final = 100  # events of a snapshot
RESUME: Final = 500  # events that are sent after a break
LEAD: Final = "odile"
AGENTS: Final = ("claire", "marc", LEAD)


@dataclass(frozen=True)
class Happened:
    """An event: `seq` among staff, `vseq` for the customer where there is one."""

    seq: int
    vseq: int | None
    kind: str
    text: str = ""


@dataclass(frozen=True)
class Said:
    """What a client id was used for, and how it was answered."""

    who: str
    kind: Literal["post", "note"]
    text: str
    seq: int


@dataclass
class Model:
    """One conversation after its first message."""

    state: State = "waiting"
    agent: str = ""
    events: list[Happened] = field(default_factory=list)
    cids: dict[str, Said] = field(default_factory=dict)

    # ── the streams ───────────────────────────────────────────────────────────────────────────────────────────

    def stream(self, *, staff: bool) -> list[Happened]:
        return [one for one in self.events if staff or one.vseq is not None]

    def top(self, *, staff: bool) -> int:
        return len(self.stream(staff=staff))

    def after_break(self, last_seq: int, *, staff: bool, same_epoch: bool) -> tuple[bool, list[Happened]]:
        """Whether a client that comes back goes on from what it holds, and the events that it is sent."""
        stream = self.stream(staff=staff)
        top = len(stream)
        if same_epoch and 0 < last_seq <= top and top - last_seq <= RESUME:
            return True, stream[last_seq:]
        return False, stream[-PAGE:]

    def _append(self, kind: str, text: str = "", *, visible: bool = True) -> Happened:
        vseq = self.top(staff=False) + 1 if visible else None
        one = Happened(len(self.events) + 1, vseq, kind, text)
        self.events.append(one)
        return one

    # ── who may ───────────────────────────────────────────────────────────────────────────────────────────────

    def sees(self, who: str) -> bool:
        return who in ("visitor", LEAD) or self.state == "waiting" or self.agent == who

    def _acts(self, who: str) -> bool:
        return who == LEAD or self.agent == who

    # ── what is done: the number of the acknowledgement, or the code of the error ─────────────────────────────

    def say(self, who: str, kind: Literal["post", "note"], cid: str, text: str) -> int | str:
        if not self.sees(who):
            return "not_found"
        known = self.cids.get(f"{who} {cid}")
        if kind == "note" and not self._acts(who):
            return "bad_state"
        if known is not None:
            return known.seq if (known.kind, known.text) == (kind, text) else "cid_conflict"
        if who != "visitor" and not self._acts(who):
            return "bad_state"
        if kind == "post" and who != "visitor" and self.state == "closed":
            return "bad_state"
        if who == "visitor" and self.state == "closed":
            self._append("reopened")
            self.state, self.agent = "waiting", ""
        one = self._append("message" if kind == "post" else "note", text, visible=kind == "post")
        seq = one.vseq if who == "visitor" else one.seq
        assert seq is not None
        self.cids[f"{who} {cid}"] = Said(who, kind, text, seq)
        return seq

    def claim(self, who: str) -> int | str:
        if not self.sees(who):
            return "not_found"
        if self.state == "assigned" and self.agent == who:
            return self.top(staff=True)
        if self.state != "waiting":
            return "bad_state"
        self.state, self.agent = "assigned", who
        return self._append("assigned").seq

    def transfer(self, who: str, to: str) -> int | str:
        if not self.sees(who):
            return "not_found"
        if not self._acts(who) or self.state == "closed":
            return "bad_state"
        if self.state == "assigned" and self.agent == to:
            return self.top(staff=True)
        self.state, self.agent = "assigned", to
        return self._append("assigned").seq

    def close(self, who: str) -> int | str:
        staff = who != "visitor"
        if not self.sees(who):
            return "not_found"
        if staff and not self._acts(who):
            return "bad_state"
        if self.state != "closed":
            self.state = "closed"
            self._append("closed")
        return self.top(staff=staff)
