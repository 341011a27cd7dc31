"""What was asked of the server and what it acknowledged, kept outside of it; and the verdict over what is shown.

Knows wishes, screens and the promise: what is acknowledged is there, once, in one order, on every screen entitled to it.
Must not know sockets or faults.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["message", "note"]
Frame = dict[str, Any]


def in_letters(number: int) -> str:
    """A number without digits: the guard looks for digits over several messages."""
    text = ""
    while True:
        number, rest = divmod(number, 26)
        text = chr(97 + rest) + text
        if number == 0:
            return text


@dataclass(eq=False)
class Wish:
    """One message or note that a person wants said."""

    who: str
    cid: str
    kind: Kind
    text: str
    thread: str = ""  # empty until the first message has made it
    is_acknowledged: bool = False
    seq: int | None = None  # as acknowledged, in the stream of whoever said it


@dataclass(frozen=True)
class Shown:
    """One event on a screen."""

    seq: int
    id: str
    kind: str
    text: str
    vseq: int | None  # on a staff screen: the number that the customer's screen has for it


def shown(event: Frame) -> Shown:
    return Shown(event["seq"], event["id"], event["kind"], event["body"].get("text", ""), event.get("vseq"))


@dataclass
class Verdict:
    """What came of a scenario. `wrong` are sentences for the reader; the counts are what the report adds up."""

    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    wrong: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)  # figures worth a line in the report

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.disordered or self.wrong)

    def lose(self, sentence: str) -> None:
        self.lost += 1
        self.wrong.append(f"lost: {sentence}")

    def double(self, sentence: str) -> None:
        self.doubled += 1
        self.wrong.append(f"doubled: {sentence}")

    def disorder(self, sentence: str) -> None:
        self.disordered += 1
        self.wrong.append(f"out of order: {sentence}")

    def fail(self, sentence: str) -> None:
        self.wrong.append(sentence)

    def add(self, other: Verdict) -> None:
        self.acknowledged += other.acknowledged
        self.lost += other.lost
        self.doubled += other.doubled
        self.disordered += other.disordered
        self.wrong += other.wrong
        self.told += other.told

    def __str__(self) -> str:
        return "\n".join(self.wrong[:20])


class Ledger:
    """All wishes, in the order in which each person had them."""

    def __init__(self) -> None:
        self.wishes: list[Wish] = []
        self.by_cid: dict[str, Wish] = {}

    def wish(self, who: str, cid: str, kind: Kind, text: str, thread: str = "") -> Wish:
        one = Wish(who, cid, kind, text, thread)
        self.wishes.append(one)
        self.by_cid[cid] = one
        return one

    def of(self, thread: str) -> list[Wish]:
        return [one for one in self.wishes if one.thread == thread]

    @property
    def acknowledged(self) -> int:
        return sum(one.is_acknowledged for one in self.wishes)


def numbered(name: str, screen: list[Shown], verdict: Verdict, *, first: int | None = None) -> None:
    """A screen's events have numbers without a gap (from `first`, where it is known), and no event stands twice."""
    expected = first
    for one in screen:
        if expected is not None and one.seq != expected:
            verdict.disorder(f"{name}: number {one.seq} where {expected} was due")
        expected = one.seq + 1
    seen: set[str] = set()
    for one in screen:
        if one.id in seen:
            verdict.double(f"{name}: event {one.id} ({one.text!r})")
        seen.add(one.id)


def judge_thread(
    wishes: Iterable[Wish],
    visitor: list[Shown],
    staff: list[Shown],
    screens: dict[str, tuple[bool, list[Shown]]],
    verdict: Verdict,
) -> None:
    """Holds one conversation against the promise.

    Args: visitor and staff: the whole history, as fresh screens read it; screens: by name, whether it is staff's, and
    what has been on it since it was last emptied (its beginning may be missing, nothing else).
    """
    numbered("the customer's history", visitor, verdict, first=1)
    numbered("the staff's history", staff, verdict, first=1)
    both = [(one.vseq, one.id, one.text) for one in staff if one.vseq is not None]
    if both != [(one.seq, one.id, one.text) for one in visitor]:
        verdict.disorder("the customer's history is not the staff's without what is for staff alone")
    for name, (is_staff, screen) in screens.items():
        numbered(name, screen, verdict)
        truth = staff if is_staff else visitor
        tail = truth[len(truth) - len(screen) :] if screen else []
        if screen != tail:
            strange = [one for one in screen if one not in truth]
            missing = [one for one in truth if screen and one.seq >= screen[0].seq and one not in screen]
            for one in missing[:5]:
                verdict.lose(f"{name} does not show {one.seq} ({one.text!r})")
            for one in strange[:5]:
                verdict.disorder(f"{name} shows {one.seq} ({one.text!r}), which the history does not have there")
            if not strange and not missing:
                verdict.disorder(f"{name} has another order than the history")
    _hold_wishes(wishes, visitor, staff, verdict)


def _hold_wishes(wishes: Iterable[Wish], visitor: list[Shown], staff: list[Shown], verdict: Verdict) -> None:
    places: dict[str, list[Shown]] = {}
    for one in staff:
        if one.text:
            places.setdefault(one.text, []).append(one)
    on_visitors = {one.text for one in visitor}
    last: dict[str, int] = {}
    for wish in wishes:
        found = places.pop(wish.text, [])
        if wish.is_acknowledged:
            verdict.acknowledged += 1
        if len(found) > 1:
            verdict.double(f"{wish.text!r} of {wish.who} stands {len(found)} times")
        if not found:
            if wish.is_acknowledged:
                verdict.lose(f"{wish.text!r} of {wish.who}, which was acknowledged as {wish.seq}")
            continue
        place = found[0]
        if wish.kind == "note":
            if wish.text in on_visitors:
                verdict.fail(f"the customer sees the note {wish.text!r}")
        elif wish.text not in on_visitors and wish.is_acknowledged:
            verdict.lose(f"{wish.text!r} of {wish.who} is not on the customer's screen")
        own = place.vseq if wish.who.startswith("visitor") else place.seq
        if wish.seq is not None and wish.seq != own:
            verdict.disorder(f"{wish.text!r} was acknowledged as {wish.seq} and stands at {own}")
        if place.seq < last.get(wish.who, 0):
            verdict.disorder(f"{wish.text!r} of {wish.who} stands before what {wish.who} said earlier")
        last[wish.who] = place.seq
    for text in places:
        verdict.fail(f"{text!r} stands in the history and nobody said it")
