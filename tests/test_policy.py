"""The gate decides from the act, the record, the proof and the time, and from nothing else."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aparte.errors import BadSetting
from aparte.model import Level
from aparte.policy import (
    DEFAULT_POLICY,
    NOTHING_PROVEN,
    RECORD_ACTS,
    SAY,
    TALK,
    Allow,
    AskCheck,
    Assurance,
    Freshness,
    Hold,
    Policy,
    Refuse,
    decide,
    fresh,
)

NOON = 1_796_212_800.0
MINE, OTHER = "index-of-mine", "index-of-another"
PROVEN = Assurance(Level.V2, MINE, since=NOON, seen=NOON)
MONEY = Assurance(Level.V3, MINE, since=NOON, seen=NOON)
MONEY_ACTS = ("pay", "refund", "contact.change")
BOOKING_ACTS = ("record.show", "record.change", "record.cancel")


def ask(act: str, record: str | None, assurance: Assurance, now: float = NOON) -> object:
    return decide(act, record, assurance, DEFAULT_POLICY, now)


def test_it_lets_everyone_talk_generally_without_a_proof() -> None:
    assert ask("talk.general", None, NOTHING_PROVEN) == Allow()
    assert ask("say.general", None, NOTHING_PROVEN) == Allow()


@pytest.mark.parametrize("topic", ["booking", "payment"])
def test_it_holds_an_agents_details_until_the_customer_is_proven(topic: str) -> None:
    assert ask(f"talk.{topic}", None, NOTHING_PROVEN) == Hold(Level.V2, "needs_check", topic)
    assert ask(f"talk.{topic}", None, Assurance(Level.V1)) == Hold(Level.V2, "needs_check", topic)
    assert ask(f"talk.{topic}", None, PROVEN) == Allow()
    assert ask(f"talk.{topic}", MINE, PROVEN) == Allow()


def test_it_holds_an_agents_text_that_quotes_another_record() -> None:
    for act, topic in TALK.items():
        expected = "booking" if topic == "general" else topic
        assert ask(act, OTHER, PROVEN) == Hold(Level.V2, "other_record", expected)
        assert ask(act, OTHER, MONEY) == Hold(Level.V2, "other_record", expected)


def test_it_treats_talk_that_quotes_a_record_as_talk_about_a_booking() -> None:
    assert ask("talk.general", MINE, NOTHING_PROVEN) == Hold(Level.V2, "needs_check", "booking")


def test_it_never_blocks_a_customer_for_the_topic() -> None:
    for act in SAY:
        for record in (None, MINE, OTHER):
            for assurance in (NOTHING_PROVEN, Assurance(Level.V1), PROVEN, MONEY):
                assert isinstance(ask(act, record, assurance), Allow | AskCheck)
    assert ask("say.booking", MINE, NOTHING_PROVEN) == AskCheck(Level.V2, ("email_code",))
    assert ask("say.payment", None, PROVEN) == Allow()
    assert ask("say.booking", OTHER, PROVEN) == AskCheck(Level.V2, ("email_code",))


@pytest.mark.parametrize("act", BOOKING_ACTS)
def test_it_opens_the_proven_booking_at_v2(act: str) -> None:
    assert ask(act, MINE, NOTHING_PROVEN) == AskCheck(Level.V2, ("email_code",))
    assert ask(act, MINE, PROVEN) == Allow()


@pytest.mark.parametrize("act", MONEY_ACTS)
def test_it_wants_a_second_proof_for_money_and_addresses(act: str) -> None:
    assert ask(act, MINE, PROVEN) == AskCheck(Level.V3, ("reverse_transfer",))
    assert ask(act, MINE, MONEY) == Allow()
    assert ask(act, MINE, MONEY, NOON + 900) == AskCheck(Level.V3, ("reverse_transfer",))


@pytest.mark.parametrize("act", sorted(RECORD_ACTS))
@pytest.mark.parametrize("assurance", [PROVEN, MONEY, replace(MONEY, record=None)])
def test_it_opens_nothing_of_another_record(act: str, assurance: Assurance) -> None:
    assert ask(act, OTHER, assurance) == Refuse("other_record")
    assert ask(act, None, assurance) == Refuse("other_record")


@pytest.mark.parametrize("act", ["", "record.delete", "talk.", "say.money", "PAY", "talk.booking "])
def test_it_refuses_an_act_that_it_does_not_know(act: str) -> None:
    assert ask(act, MINE, MONEY) == Refuse("unknown_act")
    assert ask(act, MINE, NOTHING_PROVEN) == Refuse("unknown_act")


def test_it_refuses_an_act_that_a_site_left_out_of_its_table() -> None:
    bare = Policy(table={})
    assert decide("record.show", MINE, PROVEN, bare, NOON) == Refuse("unknown_act")
    assert decide("talk.general", None, NOTHING_PROVEN, bare, NOON) == Hold(Level.V2, "needs_check", "general")


def test_it_ends_a_proof_after_thirty_idle_minutes() -> None:
    assert fresh(PROVEN, DEFAULT_POLICY, NOON + 1799.9) is Level.V2
    assert fresh(PROVEN, DEFAULT_POLICY, NOON + 1800) is Level.V0


def test_it_ends_a_proof_after_two_hours_however_busy() -> None:
    busy = replace(PROVEN, seen=NOON + 7190)
    assert fresh(busy, DEFAULT_POLICY, NOON + 7199) is Level.V2
    assert fresh(busy, DEFAULT_POLICY, NOON + 7200) is Level.V0


def test_it_falls_from_the_second_proof_to_the_first_then_to_nothing() -> None:
    busy = replace(MONEY, seen=NOON + 890)
    assert fresh(busy, DEFAULT_POLICY, NOON + 899) is Level.V3
    assert fresh(busy, DEFAULT_POLICY, NOON + 900) is Level.V2
    assert fresh(busy, DEFAULT_POLICY, NOON + 890 + 1800) is Level.V0


def test_it_keeps_a_typed_address_for_the_whole_conversation() -> None:
    assert fresh(Assurance(Level.V1, None, NOON, NOON), DEFAULT_POLICY, NOON + 10**8) is Level.V1


def test_it_gives_nothing_for_a_clock_put_back() -> None:
    assert fresh(PROVEN, DEFAULT_POLICY, NOON - 3600) is Level.V0
    assert fresh(replace(PROVEN, seen=NOON + 3600), DEFAULT_POLICY, NOON + 60) is Level.V0
    assert fresh(PROVEN, DEFAULT_POLICY, NOON - 2) is Level.V2  # two nodes a little apart


@pytest.mark.parametrize("wrong", [nan, inf, -inf])
def test_it_gives_nothing_for_a_time_that_is_no_time(wrong: float) -> None:
    assert fresh(PROVEN, DEFAULT_POLICY, wrong) is Level.V0
    assert fresh(replace(PROVEN, since=wrong), DEFAULT_POLICY, NOON) is Level.V0
    assert fresh(replace(PROVEN, seen=wrong), DEFAULT_POLICY, NOON) is Level.V0


def test_it_refuses_a_policy_that_makes_no_sense() -> None:
    for table in ({"record.shwo": Level.V2}, {"say.booking": Level.V2}, {"pay": Level.V1}, {"record.show": Level.V0}):
        with pytest.raises(BadSetting):
            Policy(table=table)
    with pytest.raises(BadSetting):
        Policy(table={"talk.booking": 7})  # type: ignore[dict-item]  # the wrong type is the point
    for limits in (Freshness(0, 10), Freshness(10, inf), Freshness(nan, 10)):
        with pytest.raises(BadSetting):
            Policy(table={}, freshness={Level.V2: limits, Level.V3: Freshness(1, 1)})
    with pytest.raises(BadSetting):
        Policy(table={}, freshness={Level.V2: Freshness(1, 1)})


def test_it_keeps_a_policy_from_changing_after_it_was_made() -> None:
    table = {"talk.general": Level.V0, "talk.booking": Level.V2}
    policy = Policy(table=table)
    table["talk.booking"] = Level.V0
    assert isinstance(decide("talk.booking", None, NOTHING_PROVEN, policy, NOON), Hold)
    with pytest.raises(TypeError):
        policy.table["talk.booking"] = Level.V0  # type: ignore[index]  # the refusal is the point


levels = st.sampled_from(list(Level))
records = st.sampled_from([None, MINE, OTHER])
times = st.floats(min_value=NOON - 10_000, max_value=NOON + 10_000)
assurances = st.builds(Assurance, levels, records, times, times)


@given(st.sampled_from(sorted(RECORD_ACTS)), records, assurances, times)
def test_it_allows_an_act_only_on_the_proven_record_at_a_fresh_level(
    act: str, record: str | None, assurance: Assurance, now: float
) -> None:
    if ask(act, record, assurance, now) == Allow():
        assert record is not None
        assert record == assurance.record
        assert fresh(assurance, DEFAULT_POLICY, now) >= (Level.V3 if act in MONEY_ACTS else Level.V2)


@given(assurances, times)
def test_it_never_counts_more_than_was_proven_nor_past_its_end(assurance: Assurance, now: float) -> None:
    level = fresh(assurance, DEFAULT_POLICY, now)
    assert level <= assurance.level
    if level >= Level.V2:
        limits = DEFAULT_POLICY.freshness[level]
        ends = min(assurance.since + limits.most_seconds, assurance.seen + limits.idle_seconds)
        assert now < ends + 1e-6  # the sums round apart
