"""Faults that other products had, each by name.

Watched to fail, one by one: a verification that is not awaited; a ticket and a link that are compared by their
beginnings; tries that are not counted; a send count that refuses; sessions and sockets that outlive their password; a
room or a message for each click; a message kept as it came when it looks sealed; a forwarding header that is believed, or
believed from its wrong end.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from aparte.actions import people
from clients import SITE, AgentDesk, Visitor, new_cid, new_visitor_token
from harness import BOOKING, DUPONT, PASSWORD, Server, Start, email_of

# ── passwords and sessions ──────────────────────────────────────────────────────────────────────────────────────


async def test_no_wrong_password_signs_in(server: Server) -> None:
    """A verification that is not awaited is a coroutine, and a coroutine is true."""
    wrong = ("", " ", PASSWORD + " ", " " + PASSWORD, PASSWORD.upper(), PASSWORD[:-1], PASSWORD + "\x00", "x" * 1024)
    for name in ("claire", "odile", "nobody"):
        for password in wrong:
            answer = await server.post("/api/login", {"email": email_of(name), "password": password})
            assert answer.status_code in (400, 401), (name, password)
            assert "set-cookie" not in answer.headers
    assert server.rows("SELECT COUNT(*) FROM agent_session") == [(0,)]


def test_a_forgotten_await_would_be_an_error_in_every_test(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "async def verify(): return False\n\ndef test_it():\n    assert verify()\n    import gc; gc.collect()\n"
    )
    configuration = Path(__file__).parents[2] / "pyproject.toml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", configuration, tmp_path]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode != 0
    assert "was never awaited" in found.stdout


async def test_an_object_is_no_string(server: Server) -> None:
    odd: tuple[Any, ...] = ({"$ne": ""}, {"$gt": ""}, ["x"], True, 1, None, {"length": 12}, [[PASSWORD]])
    for value in odd:
        for body in ({"email": email_of("claire"), "password": value}, {"email": value, "password": PASSWORD}):
            answer = await server.post("/api/login", body)
            assert answer.status_code == 400
            assert "set-cookie" not in answer.headers
        assert (await server.post("/api/not-me", {"token": value})).status_code == 400
    visitor, desk, thread = await server.meeting("Hello")
    for value in odd:
        for t, fields in (
            ("post", {"conversation": value, "text": "Hi"}),
            ("post", {"conversation": thread, "text": value}),
            ("code", {"conversation": thread, "check": value, "code": "1"}),
            ("code", {"conversation": thread, "check": "A" * 22, "code": value}),
            ("end", {"conversation": value}),
        ):
            assert await visitor.refused(t, **fields) == "bad_frame", (t, fields)
        assert await desk.refused("close", conversation=value) == "bad_frame"
    assert server.rows("SELECT state FROM conversation") == [("assigned",)]


async def test_a_session_ends_with_its_password_and_its_sockets_with_it(server: Server) -> None:
    desk, again = await server.agent("claire"), await server.agent("claire")
    visitor = await server.visitor()
    thread = await visitor.open("Hello")
    await desk.take(thread)
    await people.set_password(server.store, email_of("claire"), "another " + PASSWORD)
    assert await desk.closed(seconds=1.5) == 4401
    assert await again.closed(seconds=1.5) == 4401
    told = len(desk.raw)
    await visitor.say(thread, "Not for those who are gone")
    assert len(desk.raw) == told
    for cookie in (desk.cookie, again.cookie):
        assert (await server.http.get("/api/me", headers={"cookie": cookie})).status_code == 204
        assert (await server.post("/api/ticket", cookie=cookie)).status_code == 401
        with pytest.raises(InvalidStatus):
            await server.socket("agent", cookie=cookie)
    assert (await server.post("/api/login", {"email": email_of("claire"), "password": PASSWORD})).status_code == 401


async def test_a_ticket_is_its_sessions_alone_and_a_prefix_is_not_the_whole(server: Server) -> None:
    claire, odile = await server.sign_in("claire"), await server.sign_in("odile")
    ticket = await server.ticket(claire)
    until, _, mac = ticket.partition(".")
    changed = ("0" if mac[0] != "0" else "1") + mac[1:]
    for cookie, bad in (
        (odile, ticket),
        *((claire, one) for one in (f"{until}.", f"{until}.{mac[:8]}", f"{until}.{changed}", f"{until}.{mac.upper()}",
                                    f"{int(until) + 60}.{mac}", f"{ticket}0", f" {ticket}", f"٠{ticket}", "")),
    ):  # fmt: skip
        desk = AgentDesk(await server.socket("agent", cookie=cookie), cookie)
        await desk.send("hello", v=1, ticket=bad)
        assert (await desk.expect("error"))["code"] == "not_signed_in", bad
        assert await desk.closed() == 4401
    name, _, token = claire.partition("=")
    for bad in (token[:-1], token + "A", token.swapcase(), token[:20], "", f'"{token}"', token + ";"[:0] + " x"):
        answer = await server.http.get("/api/me", headers={"cookie": f"{name}={bad}"})
        assert (answer.status_code, answer.content) == (204, b""), bad
    assert len(token) >= 43  # 256 bits


async def test_log_in_headers_of_a_proxy_are_nobodys_word(server: Server) -> None:
    headers = {
        name: email_of("odile")
        for name in ("remote-user", "x-remote-user", "x-forwarded-user", "x-auth-request-email", "x-forwarded-email",
                     "x-webauth-user", "authorization", "x-ms-client-principal-name", "cf-access-authenticated-user-email")
    }  # fmt: skip
    assert (await server.http.get("/api/me", headers=headers)).status_code == 204
    assert (await server.post("/api/ticket", **headers)).status_code == 401
    with pytest.raises(InvalidStatus):
        await server.socket("agent", headers=headers)


async def test_nothing_closes_without_a_token(server: Server) -> None:
    _, _, thread = await server.meeting("Hello")
    other = await server.visitor()
    assert await other.refused("end", conversation=thread) == "not_found"
    assert (await server.post("/api/logout")).status_code == 401
    silent = await server.visitor(hello=False)
    await silent.send("end", conversation=thread, cid=new_cid())
    assert await silent.closed() == 4400
    assert server.rows("SELECT state FROM conversation WHERE id = ?", thread) == [("assigned",)]


# ── codes ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def started(server: Server, visitor: Visitor, thread: str) -> tuple[str, str]:
    """A check and its right code."""
    before = server.letters
    await visitor.do("start_check", conversation=thread, reference=BOOKING)
    card = (await visitor.check("started"))["id"]
    return card, await server.code(after=before)


async def test_of_a_hundred_parallel_guesses_five_count(start: Start) -> None:
    async with start(messages_per_10s=10_000, sockets_per_address=200) as server:
        visitor, desk, thread = await server.meeting("Hello")
        card, right = await started(server, visitor, thread)
        sockets = [visitor, *[await server.visitor(token=visitor.token) for _ in range(9)]]
        guesses = [f"{(int(right) + 1 + number) % 10**8:08d}" for number in range(100)]
        answers = await asyncio.gather(
            *(
                sockets[number % 10].ask("code", conversation=thread, check=card, code=guess)
                for number, guess in enumerate(guesses)
            )
        )
        assert {answer.get("code") for answer in answers} == {"code_refused"}
        assert server.audited(thread).count("check.try") == 5
        assert server.rows("SELECT tries, state FROM identity_check WHERE id = ?", card) == [(5, "failed")]
        assert await visitor.refused("code", conversation=thread, check=card, code=right) == "code_refused"
        assert [frame["body"]["code"] for frame in desk.heard("alarm")] == ["tries_used"]


async def test_a_hundred_right_answers_prove_once(start: Start) -> None:
    async with start(messages_per_10s=10_000, sockets_per_address=200) as server:
        visitor, _, thread = await server.meeting("Hello")
        card, right = await started(server, visitor, thread)
        asked = [visitor.ask("code", conversation=thread, check=card, code=right) for _ in range(100)]
        answers = await asyncio.gather(*asked)
        assert [answer["t"] for answer in answers].count("ack") == 1
        assert server.audited(thread).count("level.up") == 1


async def test_nothing_that_only_resembles_the_code_counts(start: Start) -> None:
    async with start(code_tries=5, messages_per_10s=1000) as server:
        visitor, _, thread = await server.meeting("Hello")
        card, right = await started(server, visitor, thread)
        for code in ("", right[:7], right + "0", "0" + right):
            assert await visitor.refused("code", conversation=thread, check=card, code=code) == "code_refused", code
        assert await visitor.refused("code", conversation=thread, check=card, code=int(right)) == "bad_frame"
        assert await visitor.refused("code", conversation=thread, check=card, code=[right]) == "bad_frame"
        await visitor.do("code", conversation=thread, check=card, code=f" {right[:4]} {right[4:]} ")


async def test_a_letters_link_is_believed_whole_or_not_at_all(server: Server) -> None:
    visitor, _, thread = await server.meeting("Hello")
    card, _ = await started(server, visitor, thread)
    letter = await server.mailbox.wait_for(DUPONT)
    assert letter.link
    token = letter.link.partition("#")[2]
    check, _, mac = token.partition(".")
    assert (check, len(mac)) == (card, 32)  # 128 bits
    for bad in (
        check,
        f"{check}.",
        f"{check}.{mac[:16]}",
        f"{check}.{mac.upper()}",
        f"{check}.{mac}0",
        f"{'A' * 22}.{mac}",
    ):
        if bad != token:
            assert (await server.post("/api/not-me", {"token": bad})).status_code == 404, bad
    assert "frozen" not in visitor.welcome
    assert server.rows("SELECT is_frozen FROM conversation") == [(0,)]
    # And a mail scanner that fetches the page presses nothing.
    assert (await server.http.get(letter.link.replace(server.url, ""))).status_code == 200
    assert server.rows("SELECT is_frozen FROM conversation") == [(0,)]


async def test_asking_for_many_letters_locks_the_owner_out_of_nothing(start: Start) -> None:
    """Somebody asks for codes of Mr Dupont's booking all day long, from conversation to conversation."""
    async with start(record_sends_per_day=3, messages_per_10s=1000) as server:
        for _ in range(4):
            thief = await server.visitor()
            theirs = await thief.open("Hello")
            card, _ = await started(server, thief, theirs) if _ < 3 else ("", "")
            if card:
                await thief.refused("code", conversation=theirs, check=card, code="00000000")
            else:
                await thief.do("start_check", conversation=theirs, reference=BOOKING)
        owner, desk, thread = await server.meeting("It is really me")
        before = server.letters
        await owner.do("start_check", conversation=thread, reference=BOOKING)
        card = (await owner.check("started"))["id"]
        assert (await desk.event("alarm", code="many_sends"))["body"]
        server.skip(120)  # slowed down, not refused
        server.parts.ring()
        letters = [await server.mailbox.wait_for(DUPONT, after=before)]
        await asyncio.sleep(0.5)
        letters += [one for one in server.mailbox.letters if one.number > letters[0].number]
        answers = [
            await owner.ask("code", conversation=thread, check=card, code=str(letter.code)) for letter in letters
        ]
        assert "ack" in {answer["t"] for answer in answers}


# ── rooms ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("same_cid", [True, False], ids=["one click, sent again", "many clicks"])
async def test_twenty_parallel_opens_make_one_room(start: Start, same_cid: bool) -> None:
    async with start(sockets_per_address=200, messages_per_10s=1000) as server:
        token, cid = new_visitor_token(), new_cid()
        sockets = [await server.visitor(token=token) for _ in range(20)]
        opened = await asyncio.gather(
            *(one.ask("open", text="Hello", cid=cid if same_cid else new_cid()) for one in sockets)
        )
        assert {answer["t"] for answer in opened} == {"opened"}
        assert len({answer["conversation"]["id"] for answer in opened}) == 1
        for table in ("visitor", "visitor_session", "conversation"):
            assert server.rows(f"SELECT COUNT(*) FROM {table}") == [(1,)], table
        messages = server.rows("SELECT COUNT(*) FROM event WHERE kind = 'message'")
        assert messages == [(1 if same_cid else 20,)]


async def test_opening_on_another_site_with_the_same_token_makes_nothing_common(server: Server) -> None:
    visitor = await server.visitor()
    await visitor.open("Hello")
    other = await server.visitor(hello=False)
    await other.send("hello", v=1, site="elsewhere", token=visitor.token)
    assert (await other.expect("error"))["code"] == "not_found"


# ── sealed values ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_message_that_looks_sealed_is_sealed_all_the_same(server: Server) -> None:
    """A peer keeps in clear whatever begins with the prefix of its own ciphertexts."""
    visitor, desk, thread = await server.meeting("Hello")
    ((row,),) = server.rows("SELECT sealed FROM event LIMIT 1")
    for prefix in (row[:2], row[:10].replace(b"\x00", b"\x01")):  # version, suite and key id, as text
        answer = await visitor.ask("post", conversation=thread, text=prefix.decode("latin-1") + " the clear text")
        assert answer["t"] == "ack" or answer["code"] == "bad_frame"
    texts = [
        row[2:].decode("latin-1").translate(dict.fromkeys((*range(32), *range(127, 160)), ".")),
        row.hex(),
        "enc:v1:the clear text behind a prefix",
        "gAAAAABk the clear text behind a token's beginning",
        "$argon2id$v=19$m=47104 the clear text behind a hash",
        '{"b":{"text":"the clear text in our own form"},"c":""}',
        "-----BEGIN AGE ENCRYPTED FILE----- the clear text",
    ]
    for text in texts:
        await visitor.say(thread, text)
        await desk.event("message", text=text)
        ((sealed,),) = server.rows("SELECT sealed FROM event ORDER BY staff_seq DESC LIMIT 1")
        assert sealed[:2] == row[:2]
        assert text.encode() not in sealed
    again = await server.visitor(token=visitor.token)
    await again.settle()
    assert [frame["body"]["text"] for frame in again.heard("message")][-len(texts) :] == texts
    assert [one for (one,) in server.rows("SELECT sealed FROM event") if b"clear text" in one] == []


async def test_braces_are_filled_in_nowhere(server: Server) -> None:
    odd = "{code} {0} {link} {{site}} ${code} %s %(code)s {not_me_url.__class__}"
    visitor = Visitor(await server.socket("visitor", user_agent_header=odd), new_visitor_token())
    server.clients.append(visitor)
    await visitor.hello()
    thread = await visitor.open(odd, name=odd[:80], title=odd)
    await visitor.event("message", text=odd)
    card, right = await started(server, visitor, thread)
    letter = await server.mailbox.wait_for(DUPONT)
    assert "{" not in letter.text
    assert "__class__" not in letter.text
    await visitor.do("code", conversation=thread, check=card, code=right)


# ── forwarding headers ──────────────────────────────────────────────────────────────────────────────────────────

SPOOFED = (
    "x-forwarded-for",
    "x-real-ip",
    "forwarded",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-client-ip",
)


def pretended(number: int) -> dict[str, str]:
    address = f"198.51.100.{number % 250}"
    return {name: f"for={address}" if name == "forwarded" else address for name in SPOOFED}


async def test_pretended_addresses_do_not_lift_the_limit_of_sign_ins(start: Start) -> None:
    async with start(logins_per_minute=5) as server:
        answers = [
            await server.post("/api/login", {"email": f"a{number}@b.example", "password": "x"}, **pretended(number))
            for number in range(12)
        ]
        statuses = [answer.status_code for answer in answers]
        assert statuses == [401] * 5 + [429] * 7
        assert int(answers[-1].headers["retry-after"]) > 0


@pytest.mark.parametrize("trusted", [(), ("203.0.113.0/24",)], ids=["no proxy", "another proxy"])
async def test_pretended_addresses_open_no_more_sockets(start: Start, trusted: tuple[str, ...]) -> None:
    async with start(sockets_per_address=3, trusted_proxies=trusted) as server:
        for number in range(3):
            await server.socket("visitor", headers=pretended(number))
        for number in range(3, 6):
            with pytest.raises(InvalidStatus):
                await server.socket("visitor", headers=pretended(number))


async def test_behind_a_trusted_proxy_the_last_address_counts_and_not_the_pretended_first(start: Start) -> None:
    async with start(sockets_per_address=2, trusted_proxies=("127.0.0.1",)) as server:
        for number in range(2):
            await server.socket("visitor", headers={"x-forwarded-for": f"198.51.100.{number}, 192.0.2.7"})
        with pytest.raises(InvalidStatus):
            await server.socket("visitor", headers={"x-forwarded-for": "198.51.100.9, 192.0.2.7"})
        await server.socket("visitor", headers={"x-forwarded-for": "198.51.100.9, 192.0.2.8"})
        for odd in ("", ",", "x" * 500, "192.0.2.9:1, [::1]:2", "127.0.0.1"):
            async with asyncio.timeout(5):
                answer: httpx2.Response = await server.http.get("/healthz", headers={"x-forwarded-for": odd})
            assert answer.status_code == 200


async def test_a_forwarded_host_and_scheme_change_no_answer(server: Server) -> None:
    plain = await server.http.get(f"/chat/{SITE}")
    odd = await server.http.get(
        f"/chat/{SITE}",
        headers={"host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "https",
                 "x-original-url": "/panel", "x-rewrite-url": "/panel"},
    )  # fmt: skip
    assert odd.content == plain.content
    assert "evil" not in json.dumps(dict(odd.headers))
