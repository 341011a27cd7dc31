"""The gate: may this be said, shown or done now, about this record, by someone proven so far?

Knows levels, how long each stays fresh, and which act needs which. Pure: `now` comes in as an argument.
Must not know the store, the wire, how a check is made, or how a topic was noticed in a text.

A record is named here by an opaque string (a keyed index); two are the same when the strings are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from types import MappingProxyType
from typing import Final

from aparte.errors import BadSetting
from aparte.model import Level

TOPICS: Final = ("general", "booking", "payment")  # from the least to the most sensitive
TALK: Final = MappingProxyType({f"talk.{topic}": topic for topic in TOPICS})  # an agent writes
SAY: Final = MappingProxyType({f"say.{topic}": topic for topic in TOPICS})  # a customer writes
RECORD_ACTS: Final = frozenset({"record.show", "record.change", "record.cancel", "pay", "refund", "contact.change"})

# Two nodes may disagree about the time by so much. A proof from further ahead than that is not believed:
# the clock was put back, and believing it would stretch the proof's life.
SKEW_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Assurance:
    """What has been proven in one conversation. Times are epoch seconds."""

    level: Level = Level.V0
    record: str | None = None  # the record proven; None: none
    since: float = 0.0  # when `level` was proven
    seen: float = 0.0  # the visitor's last activity


NOTHING_PROVEN: Final = Assurance()


@dataclass(frozen=True, slots=True)
class Freshness:
    """How long a proof counts, in seconds."""

    idle_seconds: float  # without activity of the visitor
    most_seconds: float  # in all, however active


@dataclass(frozen=True, slots=True)
class Policy:
    """A site's table: act -> level needed, how long a level stays fresh, and the checks that reach it.

    V0 needs nothing and V1 lasts as long as the conversation, so neither has a freshness.

    Raises: BadSetting for an act or level that does not exist, and for an act on a record below V2, because
    nothing below V2 says whose record it is.
    """

    table: Mapping[str, Level]
    freshness: Mapping[Level, Freshness] = field(
        # 30 minutes idle and two hours in all for a booking; a quarter of an hour, one act, for money.
        default_factory=lambda: {Level.V2: Freshness(1800.0, 7200.0), Level.V3: Freshness(900.0, 900.0)}
    )
    methods: Mapping[Level, tuple[str, ...]] = field(
        default_factory=lambda: {Level.V2: ("email_code",), Level.V3: ("reverse_transfer",)}
    )

    def __post_init__(self) -> None:
        for act, level in self.table.items():
            if act not in TALK and act not in RECORD_ACTS:
                raise BadSetting(f"The policy names an act that does not exist: {act}.")
            if not isinstance(level, Level):
                raise BadSetting(f"The policy must give a level, V0 to V3, for {act}.")
            if act in RECORD_ACTS and level < Level.V2:
                raise BadSetting(f"The policy must ask V2 or more for {act}: below it no record is proven.")
        for level in (Level.V2, Level.V3):
            limits = self.freshness.get(level)
            # Written so that NaN fails too.
            if limits is None or not (0 < limits.idle_seconds < inf and 0 < limits.most_seconds < inf):
                raise BadSetting(f"The policy must say how many seconds {level.name} stays fresh.")
        # A frozen policy must not change through the mapping that made it.
        for name in ("table", "freshness", "methods"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))


DEFAULT_POLICY: Final = Policy(
    table={
        "talk.general": Level.V0,
        "talk.booking": Level.V2,
        "talk.payment": Level.V2,
        "record.show": Level.V2,
        "record.change": Level.V2,
        "record.cancel": Level.V2,
        "pay": Level.V3,
        "refund": Level.V3,
        "contact.change": Level.V3,
    }
)


@dataclass(frozen=True, slots=True)
class Allow:
    """Go on."""


@dataclass(frozen=True, slots=True)
class AskCheck:
    """Not yet: a check by one of `methods` would raise the customer to `level`."""

    level: Level
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """An agent's text waits. `code`: "needs_check" (below `level`) or "other_record" (proven for another)."""

    level: Level
    code: str
    topic: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """No. `code`: "other_record" or "unknown_act"."""

    code: str


Decision = Allow | AskCheck | Hold | Refuse

_ALLOW: Final = Allow()


def fresh(assurance: Assurance, policy: Policy, now: float) -> Level:
    """The level that still counts at `now` (epoch seconds).

    V3 falls back to V2, which it includes, and V2 to nothing: what opened it may have been a login, which proves
    no address. A proof or a sign of life from the future, and a time that is no number, count as nothing.
    """
    if assurance.level < Level.V2:
        return assurance.level
    since_proof, since_seen = now - assurance.since, now - assurance.seen
    for level in (Level.V3, Level.V2):
        limits = policy.freshness[level]
        if (
            level <= assurance.level
            # Chains of comparisons, so that NaN makes them false.
            and -SKEW_SECONDS <= since_proof < limits.most_seconds
            and -SKEW_SECONDS <= since_seen < limits.idle_seconds
        ):
            return level
    return Level.V0


def decide(act: str, record: str | None, assurance: Assurance, policy: Policy, now: float) -> Decision:
    """Whether `act` may happen at `now` (epoch seconds).

    Args:
        act: "talk.<topic>" for an agent's text, "say.<topic>" for a customer's, else one of RECORD_ACTS.
        record: the record that the act touches or the text quotes; None when a text names none.

    Returns: for an agent's text Allow or Hold; for a customer's Allow or AskCheck, never a refusal; for an act on
    a record Allow, AskCheck or Refuse. An act that the policy does not know is refused.
    """
    level = fresh(assurance, policy, now)
    if act in TALK:
        return _decide_talk(act, record, level, assurance, policy)
    if act in SAY:
        # A customer's words show what they want to talk about, which needs what talking about it needs.
        match _decide_talk(f"talk.{SAY[act]}", record, level, assurance, policy):
            case Hold(level=needed):
                return AskCheck(needed, policy.methods.get(needed, ()))
            case _:
                return _ALLOW
    needed_for_act = policy.table.get(act)
    if needed_for_act is None:
        return Refuse("unknown_act")
    # Another record is refused before a higher check is offered: that check would prove the wrong record.
    if level >= Level.V2 and (record is None or record != assurance.record):
        return Refuse("other_record")
    if level < needed_for_act:
        return AskCheck(needed_for_act, policy.methods.get(needed_for_act, ()))
    return _ALLOW


def _decide_talk(act: str, record: str | None, level: Level, assurance: Assurance, policy: Policy) -> Allow | Hold:
    """Talk that quotes a record is talk about a booking at least, whatever it was taken for."""
    topic = TALK[act]
    # Talk that a site left out of its table is not free for that: it needs what a booking needs.
    needed = policy.table.get(act, Level.V2)
    if record is not None:
        needed = max(needed, policy.table.get("talk.booking", Level.V2))
        topic = "booking" if topic == "general" else topic
        if level >= Level.V2 and record != assurance.record:
            return Hold(max(needed, Level.V2), "other_record", topic)
    if level < needed:
        return Hold(needed, "needs_check", topic)
    return _ALLOW
