"""SCOREBOARD 36, the server's part: it asks nobody but those whom the operator named, and tells them nothing of a talk.

Watched to fail: a look-up of another host's name; a datagram to another port; an answer without a policy header, with
the server's name, with a looser policy; the answer to a fault of ours without headers; a site that anybody may frame; a
text and a code in the log; a visitor's name in a letter; a redirect that is followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from aparte.routes import ROUTES
from attacks.bytescan import written
from attacks.outside import Outside, company_at, outside
from attacks.test_secrets_in_text import SECRETS, is_leak
from clients import SITE, Visitor, new_visitor_token
from commandline import APARTE
from harness import BOOKING, DUPONT, JANSEN, OTHER_BOOKING, PASSWORD, SECRET, Server, Start, email_of
from listening import peer

RAISED: dict[str, Any] = {"messages_per_10s": 1000}

# ── whom it asks ────────────────────────────────────────────────────────────────────────────────────────────────


class Asked:
    """Names that were looked up and addresses that were connected to, by this whole process."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.ports: set[tuple[str, int]] = set()
        self.others: list[str] = []
        self.is_on = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on or not event.startswith("socket."):
            return
        if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"):
            self.names.add(str(arguments[0]))
        elif event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(arguments[1], tuple):
            self.ports.add(arguments[1][:2])
        elif event in ("socket.connect", "socket.sendto"):
            self.others.append(str(arguments[1]))


@pytest.fixture
def asked() -> Iterator[Asked]:
    """An audit hook cannot be taken off again; it is switched off."""
    found = Asked()
    sys.addaudithook(found)
    found.is_on = True
    yield found
    found.is_on = False


async def whole_story(server: Server) -> tuple[list[str], list[str]]:
    """A conversation with everything in it. Returns what nobody outside may learn, and the secrets made on the way."""
    words = [
        "Kanarienvogel in the first message",
        "Merelzang in an answer",
        "Roodborst in a note",
        "Wielewaal held back",
    ]
    browser = "Mozilla/5.0 (Nachtegaal) Firefox/140.0"
    visitor = Visitor(await server.socket("visitor", user_agent_header=browser), new_visitor_token())
    server.clients.append(visitor)
    await visitor.hello()
    thread = await visitor.open(
        words[0],
        name="Mr Goudvink",
        page="https://www.airline.example/Staartmees?q=Boomklever#Appelvink",
        title="Heggenmus",
    )
    desk, lead = await server.agent("claire"), await server.agent("odile")
    await desk.take(thread)
    await desk.reply(thread, words[1])
    await desk.do("note", conversation=thread, text=words[2])
    held = (await desk.reply(thread, f"{words[3]}: your flight to Toronto is booked"))["held"]
    await visitor.say(thread, f"My booking is {BOOKING}")
    await server.prove(visitor, thread)
    await desk.do("show_record", conversation=thread)
    record = await desk.ask("show_record", conversation=thread)
    await desk.do("change", conversation=thread, option=record["options"][0]["id"])
    await visitor.event("act", state="done", seconds=10)
    await lead.watch(thread)
    assert held
    for case in SECRETS[:40]:
        if "previous" not in case and "\x00" not in case["text"]:
            await visitor.say(thread, case["text"])
    other = await server.visitor()
    theirs = await other.open("Somebody else: Bonte specht")
    await other.do("start_check", conversation=theirs, reference=OTHER_BOOKING)
    letter = await server.mailbox.wait_for(JANSEN)
    assert letter.link
    answer = await server.post("/api/not-me", {"token": letter.link.partition("#")[2]})
    assert answer.status_code == 200
    await server.post("/api/login", {"email": "Kwikstaart@airline.example", "password": "Grasmus Grasmus"})
    await server.http.get("/chat/Tjiftjaf?token=Fluiter")
    with contextlib.suppress(Exception):  # whatever the answer: the address must not be logged
        await server.socket("visitor?token=Vuurgoudhaan")
    await visitor.do("end", conversation=thread)
    birds = (
        "Kanarienvogel Merelzang Roodborst Wielewaal Nachtegaal Goudvink Staartmees Boomklever Appelvink Heggenmus "
        "Specht Kwikstaart Grasmus Tjiftjaf Fluiter Vuurgoudhaan Toronto"
    ).split()
    secrets = [BOOKING, OTHER_BOOKING, DUPONT, JANSEN, PASSWORD, SECRET, visitor.token, other.token]
    secrets += [desk.cookie.partition("=")[2], lead.cookie.partition("=")[2], email_of("claire"), email_of("odile")]
    for one in server.mailbox.letters:
        secrets += [str(one.code), str(one.link).partition("#")[2]]
    return birds, secrets


async def test_it_asks_only_those_whom_the_operator_named(asked: Asked, start: Start) -> None:
    async with start(**RAISED) as server:
        await whole_story(server)
        ports = {int(url.rpartition(":")[2]) for url in (server.url, server.airline_url)} | {server.mailbox.port}
    assert asked.names <= {"127.0.0.1", "localhost", "None"}
    assert {port for _, port in asked.ports} == ports
    assert {host for host, _ in asked.ports} <= {"127.0.0.1", "::1"}
    assert asked.others == []


async def test_as_a_process_of_its_own_it_connects_to_nobody_else(prepared: Path, tmp_path: Path) -> None:
    """As the kernel tells it: every connect and every datagram of the process and its threads."""
    if shutil.which("strace") is None or not _may_trace():
        pytest.skip("no strace here, or it may not trace; the test before holds the same for Python's own sockets")
    trace = tmp_path / "trace"
    strace = ("strace", "-D", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(trace))
    async with outside(prepared, tmp_path / "server", command=(*strace, *APARTE), **RAISED) as server:
        await whole_story(server)
        mail, airline = server.mailbox.port, int(server.airline_url.rpartition(":")[2])
        await server.end(signal.SIGTERM)
    lines = [line for line in trace.read_text().splitlines() if "sin_port" in line or "sun_path" in line]
    named = {int(port) for line in lines for port in re.findall(r"sin6?_port=htons\((\d+)\)", line)}
    # Port 0: the resolver sorts addresses by a connect that sends nothing. And local files of the name service.
    assert named - {0} == {mail, airline}
    assert {host for line in lines for host in re.findall(r'inet_addr\("([^"]+)"\)', line)} <= {"127.0.0.1"}
    assert [line for line in lines if "sun_path" in line and "nscd" not in line and "systemd" not in line] == []


def _may_trace() -> bool:
    return (
        subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0
    )


# ── what it tells those ─────────────────────────────────────────────────────────────────────────────────────────


async def test_letters_tell_nothing_of_the_conversation(start: Start) -> None:
    async with start(**RAISED) as server:
        birds, _ = await whole_story(server)
        letters = list(server.mailbox.letters)
    assert len(letters) == 2
    for letter in letters:
        everything = letter.raw.decode().replace("=\r\n", "") + letter.text + letter.subject
        told = [*birds, BOOKING, OTHER_BOOKING, "Dupont,", "Mr ", "Claire", "Odile", "Toronto"]
        assert [word for word in told if word.lower() in everything.lower()] == []
        assert letter.to in (DUPONT, JANSEN)


class Recorder:
    """What the company's server is asked: addresses and headers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, app: Starlette) -> ASGIApp:
        async def recording(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                headers = " ".join(f"{name.decode()}: {value.decode()}" for name, value in scope["headers"])
                self.lines.append(f"{scope['raw_path'].decode()}?{scope['query_string'].decode()} {headers}")
            await app(scope, receive, send)

        return recording


@pytest.fixture
async def story_of_a_process(prepared: Path, tmp_path: Path) -> AsyncIterator[tuple[Outside, Recorder, list[str]]]:
    """A server process at the most talkative log level, after the whole story."""
    recorder = Recorder()
    async with outside(prepared, tmp_path / "server", company=recorder, log_level="debug", **RAISED) as server:
        birds, secrets = await whole_story(server)
        assert await server.end(signal.SIGTERM) == 0
        yield server, recorder, [*birds, *secrets]


async def test_neither_the_log_nor_an_address_carries_a_secret(
    story_of_a_process: tuple[Outside, Recorder, list[str]],
) -> None:
    server, recorder, words = story_of_a_process
    log = server.log.read_bytes()
    lines = [json.loads(line) for line in log.splitlines()]
    assert len(lines) > 2
    assert [word for word in words if any(way in log for way in written(word))] == []
    assert not any(is_leak(str(value)) for line in lines for value in line.values())
    assert b"Traceback" not in log
    assert [line for line in lines if line["level"] in ("error", "critical")] == []
    own = server.settings.addressed()[0].encode()  # said once, in the first line
    assert log.count(own) == 2
    assert b"127.0.0.1" not in log.replace(own, b"")
    asked_of = [line for line in recorder.lines if "/records" in line]
    assert len(asked_of) >= 4
    assert [word for word in words for line in asked_of if word.lower() in line.lower()] == []
    assert all(line.partition("?")[0] in {f"/records/{verb}" for verb in VERBS} for line in asked_of)


VERBS = ("find", "contact", "details", "change")


# ── headers ─────────────────────────────────────────────────────────────────────────────────────────────────────

STRICT = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()",
}


def loose(answer: httpx2.Response) -> list[str]:
    """What is wrong with the headers of an answer."""
    wrong = [
        f"{name}: {answer.headers.get(name)}" for name, value in STRICT.items() if answer.headers.get(name) != value
    ]
    policy = {
        name: values
        for name, _, values in (
            one.strip().partition(" ") for one in answer.headers.get("content-security-policy", "").split(";")
        )
    }
    if policy.get("default-src") != "'none'":
        wrong.append(f"default-src {policy.get('default-src')}")
    wrong += [f"no {name}" for name in ("frame-ancestors", "base-uri", "form-action") if name not in policy]
    every = " ".join(policy.values())
    wrong += [f"policy allows {one}" for one in ("unsafe", "*", "blob:") if one in every]
    page = answer.headers.get("content-type", "").startswith("text/html")
    if page and ("require-trusted-types-for" not in policy or policy.get("script-src") != "'self'"):
        wrong.append("a page without trusted types, or with scripts of others")
    if "cache-control" not in answer.headers:
        wrong.append("no cache-control")
    if "cross-origin-resource-policy" not in answer.headers:
        wrong.append("no cross-origin-resource-policy")
    wrong += [
        name for name in ("server", "x-powered-by", "access-control-allow-origin", "via") if name in answer.headers
    ]
    return wrong


async def test_every_answer_of_every_route_has_strict_headers(server: Server) -> None:
    cookie = await server.sign_in("claire")
    build = server.app.state.assets.build
    wrong, seen = {}, set()
    for one in ROUTES:
        path = (
            one.path.replace("{site}", SITE).replace("{build}", build).replace("{path:path}", "static/shared/socket.js")
        )
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            for headers in ({}, {"origin": server.url}, {"origin": server.url, "cookie": cookie}):
                for body in (b"", b"x" * 20_000) if method == "POST" else (b"",):
                    if one.path == "/api/logout" and "cookie" in headers:
                        continue
                    answer = await server.http.request(method, path, content=body, headers=headers)
                    seen.add(answer.status_code)
                    if found := loose(answer):
                        wrong[f"{method} {path} {answer.status_code}"] = found
    for path in ("/nowhere", "/chat/nowhere", f"/a/{build}/none.js", "/a/0/x.js", "/%00", "/widget.js/"):
        answer = await server.http.get(path)
        seen.add(answer.status_code)
        if found := loose(answer):
            wrong[path] = found
    tagged = await server.http.get("/widget.js")
    again = await server.http.get("/widget.js", headers={"if-none-match": tagged.headers["etag"]})
    assert again.status_code == 304
    assert loose(again) == []
    assert wrong == {}
    assert {200, 400, 401, 403, 404, 405} <= seen
    assert "set-cookie" not in (await server.http.get("/panel")).headers
    signed = await server.post("/api/login", {"email": email_of("claire"), "password": PASSWORD})
    for part in ("__Host-", "Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
        assert part in signed.headers["set-cookie"]
    assert "Domain" not in signed.headers["set-cookie"]


async def test_a_fault_of_ours_has_strict_headers_too_and_tells_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("m.dupont@example.org said: my secret")

    monkeypatch.setattr(server.parts.store, "read", broken)
    # The HTTP server logs the fault, and `Server` would fail on that.
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "disabled", True)
    answer = await server.http.get("/api/me", headers={"cookie": f"__Host-aparte={'x' * 43}"})
    monkeypatch.undo()
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "dupont" not in answer.text
    assert loose(answer) == []


async def test_only_the_sites_own_pages_may_frame_the_chat_and_nobody_the_panel(server: Server) -> None:
    framed = (await server.http.get(f"/frame/{SITE}?origin=https://evil.example")).headers["content-security-policy"]
    assert f"frame-ancestors {server.airline_url}" in framed
    assert "evil" not in framed
    for path in ("/panel", f"/chat/{SITE}", "/not-me", "/healthz", "/nowhere"):
        assert "frame-ancestors 'none'" in (await server.http.get(path)).headers["content-security-policy"], path


async def test_a_redirect_of_the_company_is_not_followed(server: Server, asked: Asked) -> None:
    """It would carry a signed question to whoever the redirect names."""
    reached: list[bytes] = []

    async def trap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read(100))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with peer(trap) as port:

        async def moved(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                f"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n".encode()
            )

        async with peer(moved) as company:
            visitor, desk, thread = await server.meeting("Hello")
            await server.prove(visitor, thread)
            await company_at(server, company)
            assert await desk.refused("show_record", conversation=thread) == "records_down"
    assert reached == []
    assert ("127.0.0.1", port) not in asked.ports
