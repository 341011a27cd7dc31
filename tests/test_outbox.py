"""Twin of outbox.py and store/outbox.py: everything leaves, once, and nothing keeps the others from leaving."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import structlog.testing

import aparte.outbox
import databases
from aparte.config import Database
from aparte.errors import AparteError, MailDown, MailRefused, StoreDown, Unavailable
from aparte.outbox import OutboxWorker
from aparte.store import Store, outbox
from aparte.store.outbox import Row
from threads import make_thread

pytestmark = pytest.mark.both_stores


class Post:
    """Handlers that note what they were asked, and do as told."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.taken: list[str] = []
        self.troubled: list[str] = []
        self.failed: list[str] = []
        self.does: Callable[[Row], Any] = self.nothing
        handlers = {"letter": self.take}
        self.worker = OutboxWorker(store, handlers, trouble=self.trouble, failed=self.fail, patience=600.0)

    async def nothing(self, _row: Row) -> None:
        """A letter that leaves at once."""

    async def take(self, row: Row) -> None:
        self.taken.append(row.body.decode())
        await self.does(row)

    async def trouble(self, row: Row, _error: Unavailable) -> None:
        self.troubled.append(row.body.decode())

    async def fail(self, row: Row) -> None:
        self.failed.append(row.body.decode())

    async def add(self, *bodies: str, after: float = 0.0) -> None:
        _, thread = await make_thread(self.store)
        for body in bodies:
            await self.store.write(
                lambda tx, body=body: outbox.add(  # type: ignore[misc]  # bound now
                    tx, tx.conversation(thread), "letter", body.encode(), at=tx.now + after
                )
            )
        self.worker.ring()

    def states(self) -> list[tuple[str, int]]:
        return self.rows("SELECT state, attempts FROM outbox ORDER BY created_at")

    def rows(self, query: str) -> list[Any]:
        if isinstance(self.store.place, Database):
            return databases.rows(self.store.place, query)
        with contextlib.closing(sqlite3.connect(self.store.place)) as database, database:
            return database.execute(query).fetchall()

    async def until(self, *states: tuple[str, int]) -> None:
        async with asyncio.timeout(5):
            while self.states() != list(states):  # noqa: ASYNC110 (another process could write it)
                await asyncio.sleep(0.01)

    async def gives_up(self, *bodies: str) -> None:
        """It is told a moment after the row says so."""
        async with asyncio.timeout(5):
            while self.failed != list(bodies):  # noqa: ASYNC110 (the handler above)
                await asyncio.sleep(0.01)


@pytest.fixture
async def post(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Post]:
    monkeypatch.setattr(aparte.outbox, "FIRST_RETRY", 0.05)
    post = Post(store)
    task = asyncio.create_task(post.worker.run())
    yield post
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_it_sends_each_once_and_forgets_the_body(post: Post) -> None:
    await post.add(*(f"letter {number}" for number in range(20)))
    await post.until(*[("done", 0)] * 20)
    assert sorted(post.taken) == sorted(f"letter {number}" for number in range(20))
    assert post.rows("SELECT DISTINCT sealed FROM outbox") == [(b"",)]


async def test_it_sends_nothing_twice_that_ended_while_it_looked(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look at the database takes so long that what it found has been done meanwhile."""
    read = post.store.read

    async def slowly(query: Any) -> Any:
        found = await read(query)
        await asyncio.sleep(0.1)
        return found

    async def takes_a_moment(_row: Row) -> None:
        post.worker.ring()  # somebody rings while the letter is under way
        await asyncio.sleep(0.03)

    monkeypatch.setattr(post.store, "read", slowly)
    post.does = takes_a_moment
    await post.add("one")
    await post.until(("done", 0))
    await asyncio.sleep(0.4)
    assert post.taken == ["one"]


async def test_it_waits_until_a_letter_is_due(post: Post) -> None:
    await post.add("later", after=0.3)
    await asyncio.sleep(0.15)
    assert post.taken == []
    await post.until(("done", 0))
    assert post.taken == ["later"]


async def test_it_tries_again_and_tells_of_the_first_failure_alone(post: Post) -> None:
    async def down_twice(_row: Row) -> None:
        if len(post.taken) < 3:
            raise MailDown

    post.does = down_twice
    await post.add("one")
    await post.until(("done", 2))
    assert post.taken == ["one"] * 3
    assert post.troubled == ["one"]
    assert post.failed == []


async def test_it_waits_longer_each_time(post: Post) -> None:
    times: list[float] = []

    async def down(_row: Row) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) < 4:
            raise MailDown

    post.does = down
    await post.add("one")
    await post.until(("done", 3))
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert gaps[0] >= 0.05
    assert gaps[1] >= 0.1
    assert gaps[2] >= 0.2


@pytest.mark.parametrize("error", [MailRefused, AparteError])
async def test_it_gives_up_what_no_later_try_can_do(post: Post, error: type[AparteError]) -> None:
    async def refused(_row: Row) -> None:
        raise error

    post.does = refused
    await post.add("one")
    await post.until(("failed", 0))
    await asyncio.sleep(0.1)
    assert post.taken == post.failed == ["one"]
    assert post.troubled == []


async def test_it_gives_up_when_its_patience_ends(post: Post) -> None:
    async def down(_row: Row) -> None:
        raise MailDown

    post.does = down
    await post.add("one")
    await post.until(("waiting", 1))
    post.store._last = post.store.now() + 601
    await post.until(("failed", 1))
    await post.gives_up("one")


async def test_a_fault_of_ours_is_tried_again_without_spinning(post: Post) -> None:
    async def faulty(_row: Row) -> None:
        if len(post.taken) < 3:
            raise KeyError("a fault")

    post.does = faulty
    await post.add("one")
    await post.until(("done", 2))
    assert post.taken == ["one"] * 3
    assert post.troubled == ["one"]


async def test_one_that_hangs_keeps_nobody_from_leaving(post: Post) -> None:
    go = asyncio.Event()

    async def hang(row: Row) -> None:
        if row.body == b"hangs":
            await go.wait()

    post.does = hang
    await post.add("hangs")
    await post.add(*(f"letter {number}" for number in range(20)))
    await post.until(("waiting", 0), *[("done", 0)] * 20)
    go.set()
    await post.until(*[("done", 0)] * 21)


async def test_one_that_was_touched_keeps_nobody_from_leaving(post: Post) -> None:
    await post.add("touched", "whole", after=0.2)
    post.rows("UPDATE outbox SET sealed = x'00' WHERE id = (SELECT id FROM outbox ORDER BY created_at LIMIT 1)")
    await post.until(("failed", 0), ("done", 0))
    assert post.taken == ["whole"]
    await post.gives_up("")


async def test_it_goes_on_when_the_store_comes_back(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    read, is_down = post.store.read, True

    async def sick(query: Any) -> Any:
        if is_down:
            raise StoreDown
        return await read(query)

    await asyncio.sleep(0.02)
    monkeypatch.setattr(post.store, "read", sick)
    await post.add("one")
    await asyncio.sleep(0.1)
    assert post.taken == []
    is_down = False
    await post.until(("done", 0))
    assert post.taken == ["one"]


async def test_it_finds_after_a_restart_what_was_left(store: Store) -> None:
    before = Post(store)
    await before.add("left behind")  # no worker runs
    after = Post(store)
    task = asyncio.create_task(after.worker.run())
    await after.until(("done", 0))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert after.taken == ["left behind"]


async def test_a_fault_while_looking_ends_no_sending_for_good(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    read, faults = post.store.read, [ValueError("a fault of ours")] * 2

    async def sick(query: Any) -> Any:
        if faults:
            raise faults.pop()
        return await read(query)

    await asyncio.sleep(0.02)
    monkeypatch.setattr(post.store, "read", sick)
    await post.add("one")
    await post.until(("done", 0))
    assert post.taken == ["one"]


async def test_a_fault_while_noting_is_told_with_its_row(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [ValueError("a fault of ours")]
    end = outbox.end

    def sick(*arguments: Any) -> None:
        if faults:
            raise faults.pop()
        end(*arguments)

    monkeypatch.setattr(outbox, "end", sick)
    with structlog.testing.capture_logs() as logged:
        await post.add("one")
        await post.until(("done", 0))
    assert [entry["event"] for entry in logged] == ["outbox.fault"]
    assert logged[0]["row"]


@pytest.mark.parametrize("turns", range(6))
async def test_it_ends_when_it_is_told_to_although_somebody_rings(store: Store, turns: int) -> None:
    post = Post(store)
    task = asyncio.create_task(post.worker.run())
    await asyncio.sleep(0.05)
    post.worker.ring()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=2)
    assert done


# ── several nodes ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_two_nodes_send_each_once(post: Post) -> None:
    async def takes_a_moment(_row: Row) -> None:
        await asyncio.sleep(0.01)

    other = Post(post.store)
    post.does = other.does = takes_a_moment
    task = asyncio.create_task(other.worker.run())
    try:
        for start in range(0, 60, 20):
            await post.add(*(f"letter {number}" for number in range(start, start + 20)))
            other.worker.ring()
        await post.until(*[("done", 0)] * 60)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert sorted(post.taken + other.taken) == sorted(f"letter {number}" for number in range(60))


async def test_what_a_dead_node_had_is_taken_when_its_lease_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aparte.outbox, "LEASE_SECONDS", 0.6)
    dead, alive = Post(store), Post(store)
    await dead.add("one")
    row = (await store.read(lambda c: outbox.due(c, store.vault, store.now(), 1)))[0]
    assert await store.write(lambda tx: outbox.hold(tx, row.id, row.next_at, store.now() + 0.6))
    assert not await store.write(lambda tx: outbox.hold(tx, row.id, row.next_at, store.now() + 0.6))
    task = asyncio.create_task(alive.worker.run())
    try:
        await asyncio.sleep(0.3)
        assert alive.taken == []
        await alive.until(("done", 0))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert alive.taken == ["one"]


async def test_a_lease_is_kept_while_the_letter_is_under_way(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aparte.outbox, "LEASE_SECONDS", 0.3)

    async def takes_long(_row: Row) -> None:
        await asyncio.sleep(1.0)

    other = Post(post.store)
    post.does = takes_long
    await post.add("one")
    await asyncio.sleep(0.1)
    task = asyncio.create_task(other.worker.run())
    try:
        await post.until(("done", 0))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert (post.taken, other.taken) == (["one"], [])


async def test_what_a_stopped_node_left_is_due_at_once(store: Store) -> None:
    async def hangs(_row: Row) -> None:
        await asyncio.sleep(60)

    stopped, alive = Post(store), Post(store)
    stopped.does = hangs
    await stopped.add("one")
    for one, wanted in ((stopped, 1), (alive, 1)):
        task = asyncio.create_task(one.worker.run())
        async with asyncio.timeout(5):
            while len(one.taken) < wanted:  # noqa: ASYNC110 (the handler above)
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert alive.taken == ["one"]
