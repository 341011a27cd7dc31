"""Twin of demo/mailbox.py: a real SMTP server and its page, by sockets and in a browser."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from email.message import EmailMessage
from typing import Any

import httpx2
import pytest
from aiosmtplib import SMTP
from playwright.async_api import async_playwright

from aparte.demo.mailbox import KEPT, Mailbox, mailbox_app
from aparte.demo.sockets import loopback_socket, port_of
from listening import chromium, serving

TO = "m.dupont@example.org"
CODE_TEXT = "Hello,\n\n    4821 7730\n\nNot you?\n\nhttp://127.0.0.1:9/not-me/abc\n"


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    made = Mailbox()
    await made.start()
    yield made
    await made.stop()


async def post(
    mailbox: Mailbox, *, subject: str = "Hello", text: str = CODE_TEXT, to: str = TO, count: int = 1
) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "no-reply@airline.example", to, subject
    message["Content-Language"] = "en"
    message.set_content(text)
    async with SMTP(hostname="127.0.0.1", port=mailbox.port, local_hostname="airline.example", timeout=5) as client:
        for _ in range(count):
            await client.send_message(message, recipients=to.split(", "))


async def shown(origin: str) -> list[dict[str, Any]]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        letters: list[dict[str, Any]] = (await client.get(f"{origin}/letters.json")).json()
        return letters


async def test_it_keeps_what_was_sent(mailbox: Mailbox) -> None:
    await post(mailbox, subject="À lire", text="été\n.\nfin\n")
    letter = await mailbox.wait_for(TO)
    assert (letter.to, letter.subject, letter.text) == (TO, "À lire", "été\n.\nfin\n")
    assert (letter.code, letter.link) == (None, None)


async def test_it_finds_the_code_and_the_link(mailbox: Mailbox) -> None:
    await post(mailbox)
    letter = await mailbox.wait_for(TO)
    assert letter.code == "48217730"
    assert letter.link == "http://127.0.0.1:9/not-me/abc"


async def test_it_takes_no_other_number_for_a_code(mailbox: Mailbox) -> None:
    await post(mailbox, text="Call 4821 7730 now\n482177300\n4821 773\n")
    assert (await mailbox.wait_for(TO)).code is None


async def test_it_waits_for_a_later_letter_to_the_same_person(mailbox: Mailbox) -> None:
    await post(mailbox, subject="first")
    first = await mailbox.wait_for(TO)
    waiting = asyncio.create_task(mailbox.wait_for(TO, after=first.number))
    await post(mailbox, to="a.jansen@example.org")
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await post(mailbox, subject="second")
    assert (await waiting).subject == "second"
    with pytest.raises(TimeoutError):
        await mailbox.wait_for("nobody@example.org", seconds=0.05)


async def test_it_keeps_one_copy_for_each_recipient(mailbox: Mailbox) -> None:
    await post(mailbox, to="a@example.org, b@example.org")
    assert sorted(letter.to for letter in mailbox.letters) == ["a@example.org", "b@example.org"]


async def test_it_keeps_the_last_ones_only(mailbox: Mailbox) -> None:
    await post(mailbox, count=KEPT + 5)
    assert len(mailbox.letters) == KEPT
    assert mailbox.letters[0].number == 6


async def test_it_listens_on_loopback_only_and_stops_with_a_talk_open(mailbox: Mailbox) -> None:
    def talk() -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", mailbox.port, local_hostname="x", timeout=5)

    client = await asyncio.to_thread(talk)
    assert client.sock is not None
    assert client.sock.getpeername()[0] == "127.0.0.1"
    async with asyncio.timeout(3):
        await mailbox.stop()
    client.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", mailbox.port)


async def test_it_starts_on_a_socket_that_was_bound_before() -> None:
    bound = loopback_socket()
    made = Mailbox()
    await made.start(bound)
    assert made.port == port_of(bound)
    await post(made)
    assert len(made.letters) == 1
    await made.stop()


async def test_it_tells_the_newest_letter_first(mailbox: Mailbox) -> None:
    async with serving(mailbox_app(mailbox)) as origin:
        assert await shown(origin) == []
        await post(mailbox, subject="one")
        await post(mailbox, subject="two")
        letters = await shown(origin)
    assert [letter["subject"] for letter in letters] == ["two", "one"]
    assert letters[0]["to"] == TO
    assert letters[0]["text"] == CODE_TEXT
    assert letters[0]["code"] == "48217730"
    assert letters[0]["at"] > 1_600_000_000


@pytest.mark.parametrize("path", ["/", "/fr", "/letters.json", "/static/mailbox.css", "/static/mailbox.js"])
async def test_it_serves_everything_under_a_strict_policy(mailbox: Mailbox, path: str) -> None:
    async with serving(mailbox_app(mailbox)) as origin, httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.get(origin + path)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        if path in ("/", "/fr"):
            assert "<style" not in answer.text
            assert "style=" not in answer.text
            assert "<script>" not in answer.text


@pytest.mark.parametrize(
    ("path", "accepts", "lang"),
    [
        ("/", "fr-FR,fr;q=0.9,en", "fr"),
        ("/", "en-GB,fr", "en"),
        ("/", "", "en"),
        ("/en", "fr", "en"),
        ("/fr", "en", "fr"),
    ],
)
async def test_it_speaks_as_the_browser_prefers(mailbox: Mailbox, path: str, accepts: str, lang: str) -> None:
    async with serving(mailbox_app(mailbox)) as origin, httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.get(origin + path, headers={"accept-language": accepts})
        assert f'<html lang="{lang}">' in answer.text


async def test_it_serves_no_file_but_its_own(mailbox: Mailbox) -> None:
    async with serving(mailbox_app(mailbox)) as origin, httpx2.AsyncClient(trust_env=False) as client:
        for path in ("/static/airline.css", "/static/../mailbox.py", "/static/%2e%2e/mailbox.py", "/static/"):
            assert (await client.get(origin + path)).status_code == 404


async def test_it_draws_letters_as_they_come_and_runs_nothing_of_them(mailbox: Mailbox) -> None:
    nasty = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    async with serving(mailbox_app(mailbox)) as origin, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = await browser.new_page()
        troubles: list[str] = []
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        await page.goto(origin)
        await page.get_by_text("No e-mail yet.").wait_for()
        await post(mailbox, subject=nasty, text=nasty + "\njavascript:alert(1)\n")
        await page.get_by_role("heading", name="onerror").wait_for()
        await post(mailbox)
        code = page.locator("article").first.locator("output")
        await code.wait_for()
        assert await code.text_content() == "4821 7730"
        assert not await page.get_by_text("No e-mail yet.").is_visible()
        links = page.locator("article a")
        assert await links.count() == 1
        assert await links.first.get_attribute("href") == "http://127.0.0.1:9/not-me/abc"
        assert "noreferrer" in (await links.first.get_attribute("rel") or "")
        assert await page.title() == "Demo mailbox"
        assert await page.locator("article img, article script").count() == 0
        assert troubles == []
        await browser.close()


async def test_it_copies_the_code_without_its_space(mailbox: Mailbox) -> None:
    await post(mailbox)
    async with serving(mailbox_app(mailbox)) as origin, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        context = await browser.new_context(permissions=["clipboard-read", "clipboard-write"])
        page = await context.new_page()
        await page.goto(f"{origin}/fr")
        await page.get_by_role("button", name="Copier le code").click()
        await page.get_by_role("button", name="Copié").wait_for()
        assert await page.evaluate("navigator.clipboard.readText()") == "48217730"
        await browser.close()
