"""Twin of auth.py and api.py: who is calling, from where, and with what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from aparte import auth
from aparte.routes import ROUTES
from checking import letters_left
from clients import new_cid
from harness import DUPONT, PASSWORD, Server, Start, email_of, settings_in


def wrong_origins(server: Server) -> Iterator[str | None]:
    """Everything that is not exactly the server's own origin."""
    host, port = f"127.0.0.1:{server.settings.port}", server.settings.port
    yield from (None, "null", "", "*", "https://evil.example")
    yield f"https://{host}"  # another scheme
    yield f"http://127.0.0.1:{port + 1}"  # another port
    yield "http://127.0.0.1"
    yield f"http://{host}.evil.example"  # a suffix
    yield f"http://evil.example/{host}"
    yield f"HTTP://{host}"  # another case
    yield f"http://{host}/"
    yield f"http://{host}, http://{host}"
    yield f"http://user@{host}"
    yield f"http://localhost:{port}"
    yield server.airline_url  # the page that embeds the widget is not the widget


# ── origins ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_no_socket_opens_from_elsewhere(server: Server) -> None:
    cookie = await server.sign_in()
    for origin in wrong_origins(server):
        for kind in ("visitor", "agent"):
            with pytest.raises(InvalidStatus) as refused:
                headers = {} if origin is None else {"origin": origin}
                await server.socket(kind, origin=None, cookie=cookie, headers=headers)
            assert refused.value.response.status_code == 403, (kind, origin)
    assert server.parts.hub.peers == set()


async def test_no_agent_socket_opens_without_a_session(server: Server) -> None:
    for cookie in ("", "__Host-aparte=", f"__Host-aparte={'A' * 43}", "aparte=x", "__Host-aparte"):
        with pytest.raises(InvalidStatus) as refused:
            await server.socket("agent", cookie=cookie)
        assert refused.value.response.status_code == 403


async def test_no_unsafe_route_takes_a_request_from_elsewhere(server: Server) -> None:
    """And nothing happens: nobody is signed in or out, nothing is frozen."""
    visitor, claire, thread = await server.meeting()
    await visitor.do("start_check", conversation=thread, reference="QX7T4P")
    link = str((await server.mailbox.wait_for(DUPONT)).link).partition("#")[2]
    bodies: dict[str, Any] = {
        "/api/login": {"email": email_of("marc"), "password": PASSWORD},
        "/api/logout": None,
        "/api/ticket": None,
        "/api/not-me": {"token": link},
        "/sse/visitor": {"t": "hello", "v": 1, "site": "air", "token": visitor.token},
        "/sse/visitor/frames": {"t": "end", "conversation": thread, "cid": new_cid()},
        "/sse/agent": {"t": "hello", "v": 1, "ticket": "x"},
        "/sse/agent/frames": {"t": "close", "conversation": thread, "cid": new_cid()},
    }
    assert set(bodies) == {route.path for route in ROUTES if route.method == "POST"}
    await letters_left(server)
    sessions, log = server.rows("SELECT * FROM agent_session"), server.audited()
    for origin in wrong_origins(server):
        for path, body in bodies.items():
            answer = await server.http.post(
                path, json=body, headers={"cookie": claire.cookie, **({} if origin is None else {"origin": origin})}
            )
            assert answer.status_code == 403, (path, origin)
            assert answer.json()["code"] == "bad_origin"
            assert "set-cookie" not in answer.headers
            assert "ticket" not in answer.text
    assert server.rows("SELECT * FROM agent_session") == sessions
    assert server.audited() == log
    await visitor.settle()
    assert visitor.heard("frozen") == []
    assert (await server.post("/api/ticket", cookie=claire.cookie)).status_code == 200


async def test_no_unsafe_route_acts_on_another_method(server: Server) -> None:
    claire = await server.agent()
    for path in ("/api/login", "/api/logout", "/api/ticket", "/api/not-me"):
        for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = await server.http.request(method, path, headers={"cookie": claire.cookie, "origin": server.url})
            assert answer.status_code == 405, (method, path)
    assert (await server.post("/api/ticket", cookie=claire.cookie)).status_code == 200


async def test_chat_and_panel_may_have_their_own_hosts(start: Start) -> None:
    async with start(public_url="https://chat.airline.example", panel_url="https://desk.airline.example") as server:
        chat, desk = "https://chat.airline.example", "https://desk.airline.example"
        body = {"email": email_of("claire"), "password": PASSWORD}
        assert (await server.post("/api/login", body, origin=chat)).status_code == 403
        answer = await server.post("/api/login", body, origin=desk)
        cookie = answer.headers["set-cookie"].partition(";")[0]
        at = f"http://127.0.0.1:{server.settings.port}"
        assert (await server.post("/api/not-me", {"token": "x"}, origin=desk)).status_code == 403
        assert (await server.post("/api/not-me", {"token": "x"}, origin=chat)).status_code == 404
        for kind, good, bad in (("visitor", chat, desk), ("agent", desk, chat), ("visitor", chat, at)):
            socket = await server.socket(kind, url=at, origin=good, cookie=cookie)
            await socket.close()
            with pytest.raises(InvalidStatus):
                await server.socket(kind, url=at, origin=bad, cookie=cookie)


# ── signing in ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_cookie_cannot_leave_its_host_nor_be_read(server: Server) -> None:
    answer = await server.post("/api/login", {"email": email_of("claire"), "password": PASSWORD})
    session, device = answer.headers.get_list("set-cookie")
    pair, *flags = session.split("; ")
    name, _, token = pair.partition("=")
    assert name == "__Host-aparte"
    assert len(token) == 43
    assert set(flags) == {"Path=/", "Max-Age=604800", "Secure", "HttpOnly", "SameSite=Strict"}
    assert device.startswith("__Host-aparte-device=")
    assert set(device.split("; ")[1:]) == {"Path=/", "Max-Age=15552000", "Secure", "HttpOnly", "SameSite=Strict"}
    assert token not in answer.text
    assert answer.json() == {"id": server.agent_id("claire"), "name": "Claire", "role": "agent"}
    database = (server.settings.data / "aparte.db").read_bytes() + (server.settings.data / "aparte.db-wal").read_bytes()
    assert token.encode() not in database


async def test_signing_out_ends_the_cookie(server: Server) -> None:
    cookie = await server.sign_in()
    answer = await server.post("/api/logout", cookie=cookie)
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert (await server.http.get("/api/me", headers={"cookie": cookie})).status_code == 204


async def test_a_wrong_password_and_an_unknown_address_are_one_answer(server: Server) -> None:
    await people_disable(server, "marc")
    answers = []
    for email, password in (
        (email_of("claire"), "wrong"),
        (email_of("nobody"), PASSWORD),
        (email_of("marc"), PASSWORD),  # disabled
        (email_of("claire"), PASSWORD + " "),
        (email_of("claire"), PASSWORD.upper()),
    ):
        answer = await server.post("/api/login", {"email": email, "password": password})
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        answers.append(answer.text)
    assert len(set(answers)) == 1
    assert server.audited().count("agent.sign_in_refused") == 5


async def people_disable(server: Server, name: str) -> None:
    from aparte.actions import people

    await people.set_disabled(server.store, email_of(name))


NO_SIGN_IN = [
    b"",
    b"null",
    b"[]",
    b'"x"',
    b"{}",
    b'{"email":{"$gt":""},"password":"x"}',
    b'{"email":"claire@airline.example","password":{"$gt":""}}',
    b'{"email":"claire@airline.example","password":null}',
    b'{"email":["claire@airline.example"],"password":"x"}',
    b'{"email":"claire@airline.example","password":"x","role":"admin"}',
    b'{"email":"claire@airline.example","password":""}',
    b'{"email":"\xff","password":"x"}',
    b'{"email":"claire@airline.example","password":"\\ud800"}',
    b"[" * 8000,
    b'{"email":"claire@airline.example","password":"' + b"x" * 9000 + b'"}',
]


async def test_what_is_no_sign_in_is_refused(server: Server) -> None:
    for body in NO_SIGN_IN:
        answer = await server.http.post("/api/login", content=body, headers={"origin": server.url})
        assert answer.status_code in (400, 401), body
        assert "set-cookie" not in answer.headers


async def test_guessing_passwords_is_slowed_down(start: Start) -> None:
    async with start(logins_per_minute=3) as server:
        body = {"email": email_of("claire"), "password": "wrong"}
        answers = [await server.post("/api/login", body) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert 0 < int(answers[3].headers["retry-after"]) <= 61
        assert answers[3].json()["retry_after"] > 0
        server.skip(61)
        await server.sign_in()


# ── tickets ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def refused_hello(server: Server, cookie: str, ticket: str) -> tuple[str, int]:
    """What becomes of an agent's hello with this ticket."""
    from clients import AgentDesk

    desk = AgentDesk(await server.socket("agent", cookie=cookie), cookie)
    server.clients.append(desk)
    await desk.send("hello", v=1, ticket=ticket)
    code = (await desk.expect("error"))["code"]
    return code, await desk.closed()


async def test_a_ticket_is_its_own_sessions_and_young(server: Server) -> None:
    claire, marc = await server.sign_in("claire"), await server.sign_in("marc")
    second = await server.sign_in("claire")
    good = await server.ticket(claire)
    until, _, keyed = good.partition(".")
    for cookie, ticket in (
        (marc, good),
        (second, good),
        (claire, ""),
        (claire, keyed),
        (claire, f"{int(until) + 60}.{keyed}"),
        (claire, f"{until}.{'0' * len(keyed)}"),
        (claire, f"{until}."),
        (claire, good + "0"),
        (claire, "9" * 300),
        (claire, f"٣{until}.{keyed}"),
        (claire, f"-1.{keyed}"),
    ):
        assert await refused_hello(server, cookie, ticket) == ("not_signed_in", 4401), ticket
    server.skip(32)
    assert await refused_hello(server, claire, good) == ("not_signed_in", 4401)
    await server.agent_again(claire)


# ── addresses and limits ────────────────────────────────────────────────────────────────────────────────────────


def address(client: str, forwarded: str | None, *trusted: str) -> str:
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    return auth.address_of({"client": (client, 1)}, headers, settings_in(Path(), trusted_proxies=trusted))


@pytest.mark.parametrize(
    ("client", "forwarded", "trusted", "found"),
    [
        ("203.0.113.5", None, (), "203.0.113.5"),
        ("203.0.113.5", "198.51.100.1", (), "203.0.113.5"),  # nobody is believed by default
        ("127.0.0.1", "198.51.100.1", (), "127.0.0.1"),  # not even this machine
        ("10.0.0.2", "198.51.100.1", ("10.0.0.0/8",), "198.51.100.1"),
        ("10.0.0.2", "203.0.113.9, 198.51.100.1", ("10.0.0.0/8",), "198.51.100.1"),  # only what the proxy saw
        ("10.0.0.2", "198.51.100.1, 10.0.0.3", ("10.0.0.0/8",), "198.51.100.1"),  # through two proxies
        ("10.0.0.2", "", ("10.0.0.0/8",), "10.0.0.2"),
        ("10.0.0.2", "nonsense", ("10.0.0.0/8",), "unknown"),
        ("10.0.0.2", "10.0.0.3", ("10.0.0.0/8",), "10.0.0.3"),
        ("2001:db8::1", None, (), "2001:db8::/56"),
        ("2001:db8:0:ff:f::1", None, (), "2001:db8::/56"),  # one party has a whole /56
        ("::1", "2001:db8:1::5", ("::1",), "2001:db8:1::/56"),
        ("::ffff:10.0.0.2", "198.51.100.1", ("10.0.0.0/8",), "198.51.100.1"),
        ("::ffff:203.0.113.5", None, (), "203.0.113.5"),  # and not everybody with IPv4 is one party
        ("", None, (), "unknown"),
    ],
)
def test_forwarding_headers_are_believed_from_trusted_proxies_alone(
    client: str, forwarded: str | None, trusted: tuple[str, ...], found: str
) -> None:
    assert address(client, forwarded, *trusted) == found


def test_an_address_is_as_wide_a_block_as_the_operator_says(tmp_path: Path) -> None:
    wide = settings_in(tmp_path, address_block_ipv4=24, address_block_ipv6=48)
    for one, block in (("203.0.113.5", "203.0.113.0/24"), ("2001:db8:0:ff01::1", "2001:db8::/48")):
        assert auth.address_of({"client": (one, 1)}, {}, wide) == block


async def sockets(server: Server, count: int) -> list[int]:
    """Opens sockets, each with another forged address; the HTTP status of each refused one, 101 for the others."""
    found = []
    for number in range(count):
        try:
            await server.socket("visitor", headers={"x-forwarded-for": f"198.51.100.{number}"})
            found.append(101)
        except InvalidStatus as refused:
            found.append(refused.response.status_code)
    return found


async def test_forged_addresses_do_not_lift_the_limit(start: Start) -> None:
    async with start(sockets_per_address=3) as server:
        assert await sockets(server, 5) == [101, 101, 101, 403, 403]


async def test_a_trusted_proxys_addresses_are_counted_apart(start: Start) -> None:
    async with start(sockets_per_address=1, trusted_proxies=("127.0.0.1",)) as server:
        assert await sockets(server, 3) == [101, 101, 101]
        assert await sockets(server, 1) == [403]


async def test_places_are_given_back(start: Start) -> None:
    async with start(sockets_per_address=2) as server:
        for _ in range(4):
            both = [await server.visitor() for _ in range(2)]
            for one in both:
                await one.leave()
            async with asyncio.timeout(2):
                while len(server.app.state.limits.addresses):  # noqa: ASYNC110 (the server's own count)
                    await asyncio.sleep(0.01)


async def test_sockets_without_hello_are_few(start: Start) -> None:
    async with start(sockets_unauthenticated=2) as server:
        assert await sockets(server, 3) == [101, 101, 403]


async def test_frames_are_few(start: Start) -> None:
    async with start(frames_per_10s=20) as server:
        visitor = await server.visitor()
        for _ in range(25):
            await visitor.send("ping")
        assert (await visitor.expect("error"))["code"] == "too_many"
        assert await visitor.closed() == 4429


async def test_no_forged_cookie_asks_the_database_before_there_is_a_place(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(sockets_per_address=1) as server:
        await server.visitor(hello=False)
        asked = server.asked(monkeypatch, "agent_of")
        with pytest.raises(InvalidStatus):
            await server.socket("agent", cookie=f"__Host-aparte={'A' * 43}")
        assert asked == []
        await server.everybody_leaves()
        async with asyncio.timeout(5):
            while len(server.app.state.limits.addresses):  # noqa: ASYNC110 - the server notes it when it sees it
                await asyncio.sleep(0.01)
        for _ in range(3):  # a refused one leaves its place
            with pytest.raises(InvalidStatus):
                await server.socket("agent", cookie=f"__Host-aparte={'A' * 43}")
        assert len(asked) == 3
        assert server.app.state.limits.total == 0


async def test_a_page_that_the_browser_calls_another_changes_nothing(server: Server) -> None:
    cookie = await server.sign_in()
    for said in ("cross-site", "same-site", "none", "same-origin, cross-site"):
        for path in ("/api/login", "/api/logout", "/api/ticket", "/api/not-me"):
            answer = await server.post(path, cookie=cookie, **{"sec-fetch-site": said})
            assert (answer.status_code, answer.json()["code"]) == (403, "bad_origin"), (path, said)
    assert (await server.post("/api/ticket", cookie=cookie, **{"sec-fetch-site": "same-origin"})).status_code == 200
