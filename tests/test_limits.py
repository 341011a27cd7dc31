"""Twin of limits.py."""

from __future__ import annotations

import random

import pytest

from aparte.limits import Crowd, Places, Shares, Window


def test_it_counts_within_a_moving_window() -> None:
    window = Window(3, 10.0)
    assert [window.take("a", now) for now in (100.0, 101.0, 102.0)] == [None, None, None]
    assert window.take("a", 103.0) == pytest.approx(7.0)
    assert window.take("a", 109.9) == pytest.approx(0.1)
    assert window.take("a", 110.0) is None  # the first of the three is ten seconds ago
    assert window.take("a", 110.5) == pytest.approx(0.5)


def test_it_does_not_count_what_it_refused() -> None:
    window = Window(1, 10.0)
    assert window.take("a", 0.0) is None
    for now in range(1, 10):
        assert window.take("a", float(now)) == pytest.approx(10.0 - now)
    assert window.take("a", 10.0) is None


def test_it_counts_each_key_apart() -> None:
    window = Window(1, 10.0)
    assert window.take("a", 0.0) is None
    assert window.take("b", 0.0) is None
    assert window.take("a", 1.0) is not None


def test_it_forgets_the_key_that_was_not_seen_for_longest() -> None:
    window = Window(1, 10.0, keys=2)
    window.take("a", 0.0)
    window.take("b", 0.0)
    assert window.take("a", 1.0) is not None  # and is the last one seen now
    window.take("c", 1.0)
    assert window.take("a", 2.0) is not None
    assert window.take("b", 2.0) is None
    assert len(window._deeds) == 2


def test_it_remembers_no_key_whose_deeds_count_no_more() -> None:
    window = Window(5, 10.0)
    for number in range(1000):
        assert window.take(f"key {number}", number * 1.0) is None
    assert len(window._deeds) <= 12
    assert window.count("key 999", 999.0) == 1
    assert window.count("key 999", 1009.0) == 0
    assert window.count("key 0", 999.0) == 0


def test_it_counts_the_same_as_a_list_of_all_that_was_done() -> None:
    window, done, dice = Window(20, 10.0), [], random.Random(7)
    now = 0.0
    for _ in range(20_000):
        now += dice.choice([0.0, 0.1, 0.4, 1.0, 9.0]) * dice.random()
        counting = [at for at in done if at > now - 10.0]
        wait = window.take("a", now)
        assert wait == (None if len(counting) < 20 else counting[0] + 10.0 - now)
        done = counting if wait else [*counting, now]
        assert window.count("a", now) == len(done)
    assert len(window._deeds["a"]) <= 40


def test_what_is_used_up_is_shared_equally_by_those_who_come() -> None:
    shares = Shares(100, 10.0)
    assert [shares.take("flood", 0.0) for _ in range(100)] == [None] * 100  # nobody else was there
    assert shares.take("flood", 1.0) == pytest.approx(9.0)
    others = [sum(shares.take(other, 1.0) is None for _ in range(100)) for other in ("a", "b")]
    assert others == [50, 33]  # of two, and of three
    assert shares.take("flood", 9.9) is not None
    assert shares.take("flood", 10.0) is None  # begins anew


def test_never_more_than_twice_as_many_pass() -> None:
    shares = Shares(100, 10.0)
    passed = sum(shares.take(f"{number % 1000}", 0.0) is None for number in range(100_000))
    assert passed == 100
    shares = Shares(100, 10.0)
    keys = [str(number) for number in range(1000) for _ in range(100)]
    assert sum(shares.take(key, 0.0) is None for key in keys) == 200
    assert len(shares._by_key) <= 200


def test_a_group_that_floods_leaves_the_others_theirs() -> None:
    crowd = Crowd(50, 60, 10.0)
    assert sum(crowd.take("site", f"address {number % 7}", 0.0) is None for number in range(500)) == 50
    assert sum(crowd.take("other", "me", 0.0) is None for _ in range(500)) == 30  # half of all


def test_it_gives_places_and_takes_them_back() -> None:
    places = Places(2)
    assert [places.enter("a"), places.enter("a"), places.enter("a"), places.enter("b")] == [True, True, False, True]
    assert len(places) == 3
    places.leave("a")
    assert places.enter("a")
    for key in ("a", "a", "b"):
        places.leave(key)
    assert len(places) == 0
    assert places._taken == {}
