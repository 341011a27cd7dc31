"""The judge sees what it is there for: each kind of broken promise, and nothing in a promise that was kept."""

from __future__ import annotations

from faults.ledger import Ledger, Shown, Verdict, in_letters, judge_thread


def said(*texts: str) -> Ledger:
    """What a visitor had acknowledged."""
    ledger = Ledger()
    for seq, text in enumerate(texts, 1):
        wish = ledger.wish("visitor a", f"cid {text}", "message", text, "t")
        wish.is_acknowledged, wish.seq = True, seq
    return ledger


def screen(*texts: str, staff: bool = False, first: int = 1) -> list[Shown]:
    return [Shown(seq, f"id {text}", "message", text, seq if staff else None) for seq, text in enumerate(texts, first)]


def judged(ledger: Ledger, *texts: str, seen: list[Shown] | None = None) -> Verdict:
    verdict = Verdict()
    shown = screen(*texts)
    screens = {"the visitor's": (False, shown if seen is None else seen)}
    judge_thread(ledger.of("t"), shown, screen(*texts, staff=True), screens, verdict)
    return verdict


def counts(verdict: Verdict) -> tuple[int, int, int]:
    return verdict.lost, verdict.doubled, verdict.disordered


def test_it_finds_nothing_wrong_in_a_kept_promise() -> None:
    verdict = judged(said("one", "two", "three"), "one", "two", "three")
    assert verdict.is_clean, verdict
    assert verdict.acknowledged == 3


def test_it_lets_what_was_not_acknowledged_be_there_or_not() -> None:
    ledger = said("one")
    ledger.wish("visitor a", "cid two", "message", "two", "t")
    assert judged(ledger, "one").is_clean
    assert judged(ledger, "one", "two").is_clean


def test_it_finds_a_lost_message() -> None:
    assert counts(judged(said("one", "two"), "one")) == (1, 0, 0)


def test_it_finds_a_message_that_stands_twice() -> None:
    ledger = said("one", "two")
    texts = ("one", "two", "two")
    shown = [Shown(seq, f"id {seq}", "message", text, None) for seq, text in enumerate(texts, 1)]
    staff = [Shown(seq, f"id {seq}", "message", text, seq) for seq, text in enumerate(texts, 1)]
    verdict = Verdict()
    judge_thread(ledger.of("t"), shown, staff, {}, verdict)
    assert counts(verdict) == (0, 1, 0)


def test_it_finds_another_order_than_that_of_writing() -> None:
    ledger = said("one", "two")
    for wish in ledger.wishes:
        wish.seq = None
    assert counts(judged(ledger, "two", "one")) == (0, 0, 1)


def test_it_finds_a_number_that_differs_from_the_acknowledged_one() -> None:
    ledger = said("one", "two")
    ledger.wishes[1].seq = 7
    assert counts(judged(ledger, "one", "two")) == (0, 0, 1)


def test_it_finds_a_screen_with_a_gap() -> None:
    seen = [screen("one", "two", "three")[at] for at in (0, 2)]
    verdict = judged(said("one", "two", "three"), "one", "two", "three", seen=seen)
    assert (verdict.lost, verdict.disordered) == (1, 1)


def test_it_lets_a_screen_begin_later() -> None:
    assert judged(said("one", "two"), "one", "two", seen=screen("two", first=2)).is_clean


def test_it_finds_a_screen_that_shows_something_else() -> None:
    verdict = judged(said("one", "two"), "one", "two", seen=screen("one", "zwei"))
    assert verdict.lost == 1
    assert verdict.disordered == 1


def test_it_finds_two_histories_that_differ() -> None:
    verdict = Verdict()
    judge_thread([], screen("one", "two"), screen("two", "one", staff=True), {}, verdict)
    assert verdict.disordered == 1


def test_it_finds_a_note_on_the_customers_screen() -> None:
    ledger = Ledger()
    ledger.wish("claire", "cid", "note", "one", "t")
    assert "the customer sees the note 'one'" in str(judged(ledger, "one"))


def test_it_finds_what_nobody_said() -> None:
    assert "nobody said it" in str(judged(Ledger(), "one"))


def test_it_counts_without_digits() -> None:
    texts = [in_letters(number) for number in range(2_000)]
    assert len(set(texts)) == 2_000
    assert all(text.isalpha() for text in texts)
