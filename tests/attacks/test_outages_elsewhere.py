"""When the mail server or the company's system fails: people are told, nothing is lost, and nothing is done twice.

Watched to fail: an outbox that gives up at the first failure; a change that is made again after its answer was lost; an
answer of the company that is shown unproven; a card that does not say that its letter is late; a person who has to wait
for a look-up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from aparte.demo.sockets import loopback_socket
from attacks.outside import airline_port, company_at, outside
from clients import new_cid
from harness import BOOKING, DUPONT, Server, Start
from listening import peer

# ── the mail server and the company's system ────────────────────────────────────────────────────────────────────


def closed_port() -> int:
    with contextlib.closing(loopback_socket()) as bound:
        return int(bound.getsockname()[1])


async def test_letters_wait_for_the_mail_server_and_leave_once(server: Server) -> None:
    visitor, desk, thread = await server.meeting("Hello")
    port = server.mailbox.port
    await server.mailbox.stop()
    await visitor.do("start_check", conversation=thread, reference=BOOKING)  # acknowledged before any look-up
    card = await visitor.check("started")
    late = (await visitor.check("started"))["late"]
    assert late is True
    await desk.event("alarm", code="mail_down")
    await visitor.say(thread, "Ordinary talk goes on")
    await desk.event("message", text="Ordinary talk goes on")
    await server.mailbox.start(loopback_socket(port))
    letter = await server.mailbox.wait_for(DUPONT, seconds=15)
    assert not (await visitor.check("started")).get("late")
    await visitor.do("code", conversation=thread, check=card["id"], code=str(letter.code))
    await visitor.event("standing")
    await asyncio.sleep(0.5)
    assert len(server.mailbox.letters) == 1
    assert len(desk.heard("alarm")) == 0


@pytest.mark.parametrize("answer", [b"", b"451 later\r\n", b"\xff\xfe\r\n"])
async def test_a_mail_server_that_misbehaves_is_asked_again(start: Start, answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()

    async with peer(talk) as port, start(smtp_port=port, smtp_timeout_seconds=1.0) as server:
        visitor, desk, thread = await server.meeting("Hello")
        await visitor.do("start_check", conversation=thread, reference=BOOKING)
        await desk.event("alarm", code="mail_down", seconds=8)
        assert server.rows("SELECT state FROM outbox WHERE kind = 'letter'") == [("waiting",)]
        await visitor.say(thread, "Still here")


async def test_a_check_waits_for_the_company(server: Server) -> None:
    visitor, desk, thread = await server.meeting("Hello")
    await company_at(server, closed_port())
    await visitor.do("start_check", conversation=thread, reference=BOOKING)
    card = await visitor.check("started")
    await desk.event("alarm", code="records_down")
    await company_at(server, airline_port(server))
    code = await server.code()
    await visitor.do("code", conversation=thread, check=card["id"], code=code)
    await visitor.event("standing")
    await company_at(server, closed_port())
    assert await desk.refused("show_record", conversation=thread) == "records_down"
    await company_at(server, airline_port(server))
    assert (await desk.do("show_record", conversation=thread))["reference"] == BOOKING
    assert len(server.mailbox.letters) == 1


HOSTILE = {
    "no answer": b"",
    "not HTTP": b"\x00\x01\x02\x03\r\n\r\n",
    "unsigned": b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"reference":"QX7T4P","title":"x","state":"","li":1}',
    "wrong signature": (
        b"HTTP/1.1 200 OK\r\nAparte-Signature: v1=" + b"0" * 64 + b"\r\nContent-Length: 22\r\n\r\n"
        b'{"reference":"QX7T4P"}'
    ),
    "unsigned absence": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "without an end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"ffff\r\n" + b"x" * 65_535 + b"\r\n",
    "huge": b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 400_000,
    "packed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
    "moved": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
    "fault": b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
}


async def test_a_hostile_company_is_believed_in_nothing(start: Start) -> None:
    async with start(records_timeout_seconds=0.5, agent_messages_per_10s=1000) as server:
        visitor, desk, thread = await server.meeting("Hello")
        await server.prove(visitor, thread)
        for name, data in HOSTILE.items():

            async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes = data) -> None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(data)
                await reader.read()

            async with peer(talk) as port:
                await company_at(server, port)
                answer = await desk.ask("show_record", conversation=thread)
                assert (answer["t"], answer.get("code")) == ("error", "records_down"), (name, answer)
        await company_at(server, airline_port(server))
        assert (await desk.do("show_record", conversation=thread))["reference"] == BOOKING
        await visitor.say(thread, "Still here")


async def test_a_change_whose_answer_is_lost_is_made_once(start: Start) -> None:
    async with start(records_timeout_seconds=1.0) as server:
        visitor, desk, thread = await server.meeting("Hello")
        await server.prove(visitor, thread)
        option = (await desk.do("show_record", conversation=thread))["options"][0]["id"]
        asked = 0

        async def swallows(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """Hands the question on, and keeps the answer to itself."""
            nonlocal asked
            there, back = await asyncio.open_connection("localhost", airline_port(server))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            back.write(head + await reader.readexactly(length))
            await there.read(1000)
            asked += 1
            back.close()

        async with peer(swallows) as port:
            await company_at(server, port)
            cid = new_cid()
            await desk.do("change", conversation=thread, option=option, cid=cid)
            await desk.do("change", conversation=thread, option=option, cid=cid)  # the agent's screen retries too
            await desk.event("alarm", code="records_down", seconds=8)
            assert asked
            assert server.airline.bookings[BOOKING].changes == 1
            assert not visitor.heard("act")  # nobody is told what was not heard
            await company_at(server, airline_port(server))
        await visitor.event("act", state="done", seconds=15)
        await desk.event("act", state="done")
        await asyncio.sleep(0.5)
        assert server.airline.bookings[BOOKING].changes == 1
        assert visitor.heard("act") == []
        assert [frame["body"]["state"] for frame in desk.heard("act")] == ["asked"]


async def test_what_was_asked_before_a_crash_is_done_after_it_once(prepared: Path, tmp_path: Path) -> None:
    """The process is killed while the company is down and the mail server too."""
    async with outside(prepared, tmp_path / "server") as server:
        visitor, desk, thread = await server.meeting("Hello")
        port = server.mailbox.port
        await server.mailbox.stop()
        await visitor.do("start_check", conversation=thread, reference=BOOKING)
        card = await visitor.check("started")
        os.kill(server.pid, 9)
        await server.end()
        await server.mailbox.start(loopback_socket(port))
        await server.begin()
        letter = await server.mailbox.wait_for(DUPONT, seconds=15)
        back = await server.visitor(token=visitor.token)
        await back.do("code", conversation=thread, check=card["id"], code=str(letter.code))
        await back.event("standing")
        await asyncio.sleep(0.5)
        assert len(server.mailbox.letters) == 1
        assert len(desk.cookie) > 40
