"""SCOREBOARD 35, the short form: a flood of log-ins keeps no real person out and nobody waiting.

The long form is `log-ins` of `python3 tests/faults`: a thousand a second, with figures.

Watched to fail: a queue in the order of coming; a device that is known by its cookie's name alone, for every account, or
for ever; a known device that is counted with its address, and with its account; a read before there is room.
"""

from __future__ import annotations

import asyncio
import time

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from aparte import auth
from attacks.flooding import everywhere, flooding
from harness import PASSWORD, Server, Start, email_of

PROXY = ("127.0.0.1",)
QUEUE = {"trusted_proxies": PROXY, "logins_per_minute": 600, "login_queue": 4}


async def signs_in(server: Server, name: str = "claire", *, device: str = "", address: str = "") -> httpx2.Response:
    body = {"email": email_of(name), "password": PASSWORD}
    headers = {"x-forwarded-for": address} if address else {}
    return await server.post("/api/login", body, cookie=device, **headers)


def device_in(answer: httpx2.Response) -> str:
    """The cookie that makes a browser known."""
    assert answer.status_code == 200, answer.text
    return str(answer.headers.get_list("set-cookie")[1].partition(";")[0])


async def test_a_known_device_gets_in_through_a_flood_from_everywhere(start: Start) -> None:
    async with start(**QUEUE) as server:
        device = device_in(await signs_in(server))
        visitor, _, thread = await server.meeting()
        async with flooding(server.settings.port, server.url, per_second=150) as flood:
            await asyncio.sleep(0.5)
            began = time.monotonic()
            assert (await signs_in(server, device=device, address="203.0.113.7")).status_code == 200
            assert time.monotonic() - began < 5
            await visitor.say(thread, "And the chat goes on")
            await asyncio.sleep(0.2)
        assert flood.answers[429] > 20  # it was one
        assert flood.answers[401]
        assert set(flood.answers) == {401, 429}


async def test_who_is_unknown_goes_before_an_address_that_tries_often(start: Start) -> None:
    async with start(**QUEUE) as server:
        few = flooding(server.settings.port, server.url, per_second=150, address=lambda n: everywhere(n % 3))
        async with few as flood:
            await asyncio.sleep(0.5)
            answer = await signs_in(server, address="203.0.113.7")
        assert answer.status_code == 200
        assert flood.answers[429] > 20


async def test_a_refusal_says_when_to_come_back_and_asks_nobody(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    async with start(**QUEUE) as server:
        asked = server.asked(monkeypatch, "sign_in")
        busy = [asyncio.create_task(server.parts.passwords.verify(None, "x")) for _ in range(6)]
        await asyncio.sleep(0)
        answer = await signs_in(server)
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many")
        assert 1 <= int(answer.headers["retry-after"]) <= 5
        assert asked == []
        await asyncio.gather(*busy)
        await signs_in(server)
        assert len(asked) == 1


async def test_a_known_device_is_counted_by_itself(start: Start) -> None:
    async with start(trusted_proxies=PROXY, logins_per_minute=2) as server:
        device = device_in(await signs_in(server, address="203.0.113.7"))
        assert (await signs_in(server, address="203.0.113.8")).status_code == 200
        parts, now = server.parts, server.store.now()
        while parts.accounts.take(email_of("claire"), now) is None:
            pass
        assert (await signs_in(server, address="203.0.113.9")).status_code == 429
        statuses = [(await signs_in(server, device=device, address="203.0.113.9")).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]  # and has an end too


async def test_a_device_is_known_to_its_own_account_and_for_a_time(start: Start) -> None:
    async with start(trusted_proxies=PROXY) as server:
        parts = server.parts
        cookie = device_in(await signs_in(server))
        claire, marc = email_of("claire"), email_of("marc")

        def known(cookie: str, email: str) -> bool:
            return bool(auth.device_of(parts, {"cookie": cookie}, email))

        assert known(cookie, claire)
        assert known(f"a=b; {cookie}", claire.upper())
        assert not known(cookie, marc)
        name, _, value = cookie.partition("=")
        until, number, proof = value.split(".")
        for odd in (
            "",
            "x",
            f"{int(until) + 1}.{number}.{proof}",
            f"{until}.{number[:-1]}.{proof}",
            f"{until}.{number}.{proof[:-1]}",
            f"{until}.{number}.",
            f"٣{until}.{number}.{proof}",
        ):
            assert not known(f"{name}={odd}", claire), odd
        assert not known(f"__Host-aparte={value}", claire)
        server.skip(auth.DEVICE_SECONDS + 2)
        assert not known(cookie, claire)


async def test_a_known_device_alone_opens_nothing(server: Server) -> None:
    device = device_in(await signs_in(server))
    answer = await server.post("/api/login", {"email": email_of("claire"), "password": "a wrong one"}, cookie=device)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
    assert answer.headers.get_list("set-cookie") == []
    assert (await server.post("/api/ticket", cookie=device)).status_code == 401


async def test_a_wrong_cookie_on_a_socket_is_counted_before_anything_is_read(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(sockets_per_minute=4) as server:
        asked = server.asked(monkeypatch, "agent_of")
        for number in range(12):
            with pytest.raises(InvalidStatus):
                await server.socket(
                    "agent", cookie=f"{auth.COOKIE}={'A' * 43}", headers={"x-forwarded-for": everywhere(number)}
                )
        assert len(asked) == 4
        assert server.app.state.limits.total == 0
