"""A host page that wants to know: its tracker, and hooks of all kinds, while a whole conversation goes on in the frame.

The tracker is the airline's own (static/demo/tracker.js; tests/test_tracker.py shows that it sees what can be seen).
Here further hooks are laid before any script of the page runs.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.async_api import Browser, Page, Request, Response, WebSocket, expect
from starlette.applications import Starlette
from starlette.requests import Request as Asked
from starlette.responses import Response as Answer
from starlette.routing import Route

from browser import stage
from browser.people import CONTACT, REFERENCE, Agent, Customer, code_from
from browser.stage import Demo
from listening import serving

# Words that stand nowhere else: whoever reports one of them has read the conversation.
NAME = "Wilhelmina Quispelsteyn"
SAID = (
    f"Zeppelin marmalade: please move {REFERENCE} to Thursday.",
    "Okapi lanterns, periwinkle and a bassoon.",
)
ANSWERED = ("Obsidian teapots, naturellement.", "Hollyhock while you look elsewhere.")
HELD = "The supplement is 58 euro; shall we charge the zircon card?"
NOTED = "Kerfuffle about nothing."
RARE = (
    "Wilhelmina",
    "Quispelsteyn",
    "Zeppelin",
    "marmalade",
    "Okapi",
    "periwinkle",
    "Obsidian",
    "Hollyhock",
    "zircon",
    "Kerfuffle",
)
REFUSED_FRAME = "chrome-error://chromewebdata/"

# Changed prototypes, listeners on everything, the focus, every way to a frame. Runs in the page alone, not in the frame.
HOOKS = """
if (window === top && location.hostname === 'localhost') {
  const notes = window.__notes = [];
  const put = (what) => { try { notes.push(typeof what === 'string' ? what : JSON.stringify(what)); } catch { notes.push(String(what)); } };
  const wrap = (owner, name) => {
    const inner = owner[name];
    owner[name] = function (...given) { for (const one of given) if (typeof one !== 'function') put(one); return inner.apply(this, given); };
  };
  for (const name of ['replace', 'split', 'trim', 'slice', 'concat', 'includes', 'normalize', 'match', 'matchAll']) {
    const inner = String.prototype[name];
    String.prototype[name] = function (...given) { if (!window.__busy) { window.__busy = true; notes.push(String(this)); window.__busy = false; } return inner.apply(this, given); };
  }
  wrap(Object, 'assign'); wrap(Object, 'entries'); wrap(Map.prototype, 'set'); wrap(Set.prototype, 'add');
  wrap(CSSStyleSheet.prototype, 'replaceSync'); wrap(Node.prototype, 'appendChild'); wrap(window, 'structuredClone');
  wrap(crypto.subtle, 'digest'); wrap(URLSearchParams.prototype, 'append'); wrap(console, 'log'); wrap(console, 'error');
  const data = Object.getOwnPropertyDescriptor(MessageEvent.prototype, 'data').get;
  Object.defineProperty(MessageEvent.prototype, 'data', { get() { const it = data.call(this); put(it); return it; } });
  for (const name of ['keydown', 'keyup', 'keypress', 'input', 'beforeinput', 'compositionupdate', 'paste', 'copy', 'textInput'])
    for (const on of [window, document]) on.addEventListener(name, (e) => put(['typed', name, e.key, e.data, e.clipboardData?.getData('text')]), true);
  setInterval(() => {
    window.__turns = (window.__turns ?? 0) + 1;
    const inner = document.querySelector('aparte-chat')?.shadowRoot ?? null;
    put(String(document.activeElement?.outerHTML)); put(inner?.innerHTML ?? ''); put(document.title); put(String(getSelection()));
    for (let at = 0; at < window.length; at++) {
      try { put(window[at].document.body.innerText); } catch {}
      try { put(window[at].name); put(window[at].location.href); } catch {}
      try { put({ ...window[at].localStorage }); } catch {}
    }
    for (const e of performance.getEntries()) put(e.name);
  }, 200);
}
"""


async def learned(page: Page, demo: Demo) -> str:
    """All that the page holds, has hooked, has stored and has sent away."""
    await page.evaluate("__tracker.sweep()")
    told: list[Any] = await page.evaluate("[...__tracker.seen.map((one) => one.how + ' ' + one.what), ...__notes]")
    assert len(told) > 100, "it did look"
    async with httpx2.AsyncClient(trust_env=False) as client:
        sent = (await client.get(f"{demo.airline}/tracker/seen")).text
    return "\n".join(map(str, told)) + sent


def words(*texts: str) -> list[str]:
    """Each word of four letters or more."""
    return sorted({word for text in texts for word in re.findall(r"[^\W_]{4,}", text)})


async def test_it_learns_nothing_of_a_whole_conversation(browser: Browser, demo: Demo) -> None:
    asked: list[Request] = []
    answers: list[Response] = []
    sockets: list[str] = []

    def on_request(request: Request) -> None:
        asked.append(request)

    def on_response(response: Response) -> None:
        answers.append(response)

    def on_page(page: Page) -> None:
        page.on("websocket", on_socket)

    def on_socket(socket: WebSocket) -> None:
        sockets.append(socket.url)

    async with await stage.context(browser) as his, await stage.context(browser) as hers:
        await his.add_init_script(HOOKS)
        for one in (his, hers):
            one.on("request", on_request)
            one.on("response", on_response)
            one.on("page", on_page)
        customer = await Customer.arrives(his, demo, path="?utm_source=post&fbclid=Kl1ckSpoor#Fr4gment")
        await customer.opens()
        await customer.frame.get_by_role("textbox", name=customer.w["name"]).press_sequentially(NAME)
        await customer.field.press_sequentially(SAID[0])
        await customer.field.press("Enter")
        agent = await Agent.arrives(hers, demo)
        await agent.takes("Zeppelin")
        await expect(agent.page.get_by_role("heading", name=NAME)).to_be_visible()
        await agent.notes(NOTED)
        await agent.replies(ANSWERED[0])
        await customer.sees(ANSWERED[0])
        await customer.field.press("Escape")
        await agent.replies(ANSWERED[1])
        await customer.launcher.says("(1 unread)")
        await agent.replies(HELD)
        await agent.asks_for_a_check()
        mailbox = await his.new_page()
        await mailbox.goto(demo.mailbox)
        code = await code_from(mailbox)
        letter = await mailbox.get_by_role("article").first.inner_text()
        await customer.page.bring_to_front()
        await customer.opens()
        await customer.types_code(code)
        await customer.sees(HELD)
        await customer.field.press_sequentially(SAID[1])
        await customer.field.press("Enter")
        await expect(agent.bubble(SAID[1])).to_be_visible()
        await customer.field.select_text()
        turns = await customer.page.evaluate("__turns")
        await customer.page.wait_for_function(
            "(turns) => __turns > turns + 1", arg=turns
        )  # the hooks have looked again

        private = [*words(NAME, *SAID, *ANSWERED, HELD, NOTED), REFERENCE, code, CONTACT]
        known = await learned(customer.page, demo)
        # Words that the airline's page itself says, about flights in general.
        own = await customer.page.locator("body").evaluate("(it) => it.innerText + it.outerHTML")
        assert [word for word in private if word in known and word not in own] == []
        assert [word for word in RARE if word in own] == []
        pressed = re.findall(r'"typed","\w+","."', known.replace("\\", ""))
        assert pressed == [], "no key that writes reached the page"
        assert [word for word in private if word in letter and word not in (code, CONTACT)] == []
        shown = "".join(agent.heard)
        assert [mark for mark in ("fbclid", "Kl1ckSpoor", "utm_", "Fr4gment") if mark in shown] == []
        assert demo.airline in shown, "the page itself is told to the agent, without its query"

    assert sorted({urlsplit(one.url).netloc for one in asked} - {urlsplit(one).netloc for one in demo.origins}) == []
    assert sorted({urlsplit(url).query for url in sockets}) == [""], "no secret in a socket's address"
    assert sorted({url.partition("/ws/")[0] for url in sockets}) == [demo.chat.replace("http", "ws", 1)]
    told = [one.url for one in asked if any(word in one.url for word in (*RARE, REFERENCE, code, CONTACT))]
    assert told == [], "no address carries anything of it"
    await _are_strict([one for one in answers if one.url.startswith(demo.chat)])


async def _are_strict(answers: list[Response]) -> None:
    assert len(answers) > 5
    for answer in answers:
        policy = answer.headers.get("content-security-policy", "")
        assert "default-src 'none'" in policy, answer.url
        assert "unsafe" not in policy, answer.url
        assert "frame-ancestors" in policy, answer.url
        assert answer.headers.get("x-content-type-options") == "nosniff", answer.url
        assert answer.headers.get("referrer-policy") == "no-referrer", answer.url


# The last one tells that those before it have arrived.
FORGED = """[
  {aparte: 'say', text: 'forged'}, {aparte: 'open', page: 'https://evil.example/', title: 'forged'},
  {aparte: 'open', page: ['forged']}, {aparte: 'unread', count: 77}, {aparte: 'ready'},
  {aparte: 'close'}, {aparte: 'closed'}, {t: 'post', cid: 'x', text: 'forged'}, {t: 'open', text: 'forged'},
  {t: 'token', token: 'forged'}, 'forged', ['forged'], null, 7, {aparte: {aparte: 'close'}}, 'the last',
]"""
COUNT = "window.heard = 0; addEventListener('message', (event) => { heard += Number(event.data === 'the last'); })"
# The page may open and close the conversation and say which page it is: the rest it may not.
FROM_THE_PAGE = """() => {
  const inner = document.querySelector('aparte-chat').shadowRoot.querySelector('iframe').contentWindow;
  for (const one of FORGED) {
    if (['open', 'closed'].includes(one?.aparte)) continue;
    inner.postMessage(one, '*');
    window.postMessage(one, '*');
  }
}"""
# By its own getter: through the one that the tracker has put into the page it would be the page that speaks.
FROM_A_FRAME = """() => {
  const {get} = Object.getOwnPropertyDescriptor(HTMLIFrameElement.prototype, 'contentWindow');
  for (const one of FORGED) {
    parent.postMessage(one, '*');
    try {
      get.call(parent.document.querySelector('aparte-chat').shadowRoot.querySelector('iframe')).postMessage(one, '*');
    } catch {} // a frame of another origin does not get so far
  }
}"""


async def test_it_cannot_speak_for_the_visitor_nor_the_frame(browser: Browser, demo: Demo) -> None:
    """Forged messages, from the page and from a frame of nobody's, towards the conversation and towards the loader."""
    async with await stage.context(browser) as his, await stage.context(browser) as hers:
        customer = await Customer.talks(his, demo)
        wrong: list[str] = []
        customer.page.on("pageerror", lambda error: wrong.append(str(error)))
        await customer.page.evaluate(COUNT)
        await customer.frame.evaluate(COUNT)
        await customer.page.evaluate(FROM_THE_PAGE.replace("FORGED", FORGED))
        for sandbox in ("allow-scripts", "allow-scripts allow-same-origin"):
            await customer.page.evaluate(
                """(sandbox) => {
                    const other = Object.assign(document.createElement('iframe'), {sandbox, srcdoc: 'nobody'});
                    document.body.append(other);
                }""",
                sandbox,
            )
            nobody = customer.page.frames[-1]
            await nobody.wait_for_load_state()
            await nobody.evaluate(FROM_A_FRAME.replace("FORGED", FORGED))
        await customer.page.wait_for_function("heard === 3")  # of the page itself, and of two frames
        await customer.frame.wait_for_function("heard === 2")  # one of the frames is not let near
        await expect(customer.field).to_be_visible()
        await customer.launcher.is_called(customer.w["shut"])  # still open, no badge
        await customer.says("It is really me")
        agent = await Agent.arrives(hers, demo)
        await agent.takes("It is really me")
        await expect(agent.person).to_contain_text("flights from Amsterdam")
        assert "forged" not in "".join(agent.heard)
        assert "evil.example" not in "".join(agent.heard)
        assert wrong == []


async def are_refused(page: Page, count: int) -> None:
    """So many frames are in the page, and the browser shows its own words in each."""
    told = [REFUSED_FRAME] * count
    await stage.until(lambda: [frame.url for frame in page.frames[1:]] == told, f"{count} frames refused")


async def test_it_is_not_embedded_by_a_site_that_is_not_listed(browser: Browser, demo: Demo) -> None:
    async def page(_: Asked) -> Answer:
        frames = "".join(f'<iframe src="{demo.chat}{path}"></iframe>' for path in FRAMED)
        script = f'<script async src="{demo.chat}/widget.js" data-site="air"></script>'
        return Answer(f"<!doctype html><html lang=en><title>x</title>{frames}{script}", media_type="text/html")

    async with (
        serving(Starlette(routes=[Route("/", page)]), host="localhost") as elsewhere,
        await stage.context(browser) as context,
    ):
        customer = Customer(await context.new_page())
        logged: list[str] = []
        customer.page.on("console", lambda message: logged.append(message.text))
        await customer.page.goto(elsewhere)
        await customer.launcher.press()
        await are_refused(customer.page, len(FRAMED) + 1)
        # No empty box: a sentence for who pressed, and for who keeps the page what is wrong.
        await expect(customer.page.get_by_role("alert")).to_contain_text("cannot be opened just now")
        await expect(customer.page.locator("aparte-chat iframe")).to_be_hidden()
        assert [text for text in logged if f'Is {elsewhere} an origin of the site "air"?' in text]
        await customer.launcher.press()
        await expect(customer.page.get_by_role("alert")).to_be_hidden()


# Also as if the asker were a listed page, and by every page that nobody may embed.
FRAMED = ("/frame/air", "/frame/air?origin=http%3A%2F%2Flocalhost", "/chat/air", "/panel", "/not-me")


@pytest.mark.parametrize("path", ["/panel", "/chat/air", "/not-me", "/readyz", "/healthz"])
async def test_it_is_framed_by_nobody(browser: Browser, demo: Demo, path: str) -> None:
    """Not by the airline, which is listed, nor by a page of the chat host itself."""
    async with await stage.context(browser) as context:
        page = await context.new_page()
        await page.goto(demo.page("en"))
        await page.evaluate(
            "(src) => document.body.append(Object.assign(document.createElement('iframe'), {src}))", demo.chat + path
        )
        await are_refused(page, 1)
