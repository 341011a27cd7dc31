"""Twin of pages.py, assets.py, headers.py and app.py: every answer is strict, and every file is what was reviewed."""

from __future__ import annotations

import gzip
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import httpx2
import pytest

from aparte import __version__, app, assets
from aparte.headers import DEFAULTS
from aparte.routes import ROUTES, check_routes
from harness import SITE, Server, Start, settings_in

PAGES = ("/frame/air", "/chat/air", "/panel", "/not-me")


def policy_of(answer: httpx2.Response) -> dict[str, str]:
    """The content security policy by directive."""
    parts = (one.strip().partition(" ") for one in answer.headers["content-security-policy"].split(";"))
    return {name: value for name, _, value in parts}


class Markup(HTMLParser):
    """What a page would run or load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.texts: dict[str, str] = {}
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._in = tag
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.inline.append(tag)
        if tag == "style" or "style" in given:
            self.inline.append(tag)
        self.handlers += [name for name in given if name.startswith("on")]
        self.loads += [given[name] for name in ("src", "href") if given.get(name)]

    def handle_data(self, data: str) -> None:
        self.texts[self._in] = self.texts.get(self._in, "") + data


# ── the bare address ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("lang", "says"), [("en", "A chat answers here"), ("fr", "Un chat répond ici")])
async def test_a_person_who_opens_the_bare_address_reads_what_this_is(start: Start, lang: str, says: str) -> None:
    async with start(panel_url="http://127.0.0.1:9") as server:
        asked = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "accept-language": lang}
        answer = await server.http.get("/", headers=asked)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        page = Markup(answer.text)
        assert page.texts["h1"] == says
        icon, *styles, link = page.loads
        assert (icon, link) == ("data:,", "http://127.0.0.1:9/panel")
        assert page.inline == page.handlers == []
        assert policy_of(answer)["frame-ancestors"] == "'none'"
        assert "accept" in answer.headers["vary"]
        assert [(await server.http.get(style)).status_code for style in styles] == [200, 200]
        # Nothing of who runs it, nor of what it is.
        assert __version__ not in answer.text
        assert not re.search("(?i)airline|air aparté|claire|python|uvicorn", answer.text)


async def test_a_program_finds_nothing_at_the_bare_address(server: Server) -> None:
    absent = await server.http.get("/nothing")
    for accept in ("*/*", "application/json"):
        answer = await server.http.get("/", headers={"accept": accept})
        assert (answer.status_code, answer.content) == (404, absent.content)


# ── every answer ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_answer_carries_the_headers(server: Server) -> None:
    build = server.app.state.assets.build
    cookie = await server.sign_in()
    answers = [
        await server.http.get(path)
        for path in (
            *PAGES,
            "/widget.js",
            "/healthz",
            "/readyz",
            "/api/me",
            "/nope",
            "/chat/nobody",
            "/a/wrong/x.js",
            f"/a/{build}/static/shared/tokens.css",
            f"/a/{build}/../../etc/passwd",
            "/api/login",
        )
    ]
    answers.append(await server.post("/api/login", {"email": "a"}))
    answers.append(await server.post("/api/login", {}, origin="https://evil.example"))
    answers.append(await server.post("/api/ticket", cookie=cookie))
    answers.append(await server.post("/api/logout", cookie=cookie))
    for answer in answers:
        for name in DEFAULTS:
            assert name in answer.headers, (answer.url, name)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        policy = policy_of(answer)
        assert policy["default-src"] == "'none'"
        assert policy["base-uri"] == policy["form-action"] == "'none'"
        for word in ("unsafe-inline", "unsafe-eval", "unsafe-hashes", "data: *", "https:", "wasm"):
            assert word not in answer.headers["content-security-policy"].replace("data:", ""), answer.url
        assert "server" not in answer.headers
        assert not any(name.startswith("access-control") for name in answer.headers)
        assert "set-cookie" not in answer.headers or answer.request.url.path in ("/api/login", "/api/logout")
        assert answer.headers.get("content-type") or not answer.content


async def test_it_promises_https_where_it_is_served_so(start: Start) -> None:
    async with start() as server:
        assert "strict-transport-security" not in (await server.http.get("/healthz")).headers
    async with start(public_url="https://chat.airline.example") as server:
        answer = await server.http.get("/healthz")
        assert "max-age=31536000" in answer.headers["strict-transport-security"]
        assert "wss://chat.airline.example" in policy_of(await server.http.get("/panel"))["connect-src"]


async def test_what_is_not_there_is_a_plain_404(server: Server) -> None:
    for path in ("/nope", "/chat/nobody", "/frame/nobody", "/a/wrong/widget/loader.js", "/frame/", "//"):
        answer = await server.http.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["code"] == "not_found"
        assert path.strip("/") not in answer.text or not path.strip("/")


NOWHERE = ("/nope", "/chat/nobody", "/frame/nobody", "/a/wrong/x.js", "/metrics", "/frame/", "/api/nope")


@pytest.mark.parametrize(("lang", "says"), [("fr-FR,fr;q=0.9", "Il n’y a rien ici"), ("nl", "There is nothing here")])
async def test_a_person_reads_that_nothing_is_there(server: Server, lang: str, says: str) -> None:
    asked = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "accept-language": lang}
    answers = [await server.http.get(path, headers=asked) for path in NOWHERE]
    assert {(one.status_code, one.headers["content-type"]) for one in answers} == {(404, "text/html; charset=utf-8")}
    # An address that is not there and one of somebody else's: nothing tells one from the other.
    assert len({one.content for one in answers}) == 1
    for style in Markup(answers[0].text).loads[1:]:
        assert (await server.http.get(style)).headers["content-type"].startswith("text/css")
    for answer in answers:
        page = Markup(answer.text)
        assert page.texts["h1"].strip() == page.texts["title"].strip() == says
        assert page.inline == page.handlers == []
        assert policy_of(answer)["default-src"] == policy_of(answer)["frame-ancestors"] == "'none'"
        assert DEFAULTS.keys() <= answer.headers.keys()
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["vary"] == "accept, accept-language"


async def test_a_program_is_told_in_json_that_nothing_is_there(server: Server) -> None:
    for path in NOWHERE:
        for accept in ("*/*", "application/json", "image/avif,image/webp,*/*;q=0.8"):
            answer = await server.http.get(path, headers={"accept": accept})
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    answer = await server.http.post("/nope", headers={"accept": "text/html"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


# ── pages ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_page_has_nothing_inline_and_loads_nothing_from_elsewhere(server: Server) -> None:
    for path in PAGES:
        await _check_page(server, path)


async def _check_page(server: Server, path: str) -> None:
    answer = await server.http.get(path)
    assert answer.status_code == 200
    page = Markup(answer.text)
    assert page.inline == page.handlers == []
    assert page.loads
    for address in page.loads:
        assert address == "data:," or re.fullmatch(r"/a/[0-9a-f]{16}/[\w./-]+", address), address
        if address != "data:,":
            assert (await server.http.get(address)).status_code == 200, address
    policy = policy_of(answer)
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert answer.headers["cache-control"] == "no-cache"


async def test_only_the_sites_own_pages_may_frame_it(server: Server) -> None:
    frame = await server.http.get(f"/frame/air?origin={server.airline_url}")
    assert policy_of(frame)["frame-ancestors"] == server.airline_url
    assert f'"origin":"{server.airline_url}"' in frame.text
    assert server.airline_url not in (await server.http.get("/frame/air")).text  # the page need not know the others
    for path in ("/chat/air", "/panel", "/not-me", "/widget.js", "/nope"):
        assert policy_of(await server.http.get(path))["frame-ancestors"] == "'none'", path


async def test_a_page_that_is_not_the_sites_is_not_spoken_to(server: Server) -> None:
    for origin in ("https://evil.example", "*", "null", "</script><script>alert(1)</script>"):
        frame = await server.http.get("/frame/air", params={"origin": origin})
        assert '"origin":""' in frame.text, origin
        assert "evil.example" not in frame.text
        assert "alert(1)" not in frame.text


async def test_a_sites_own_words_cannot_leave_their_place(server: Server) -> None:
    from aparte.actions import sites
    from aparte.model import Site

    words = '</script><script>alert("1")</script><!--'
    await sites.add_site(server.store, Site("bad", words, desk=words, phone=words))
    page = (await server.http.get("/chat/bad")).text
    assert "<script>alert" not in page
    assert Markup(page).inline == []
    assert Markup(page).texts["title"].startswith("</script>")


async def test_a_page_names_the_desk_in_its_language(server: Server) -> None:
    for lang, desk in (("en", "Bookings desk"), ("fr", "Service des réservations")):
        assert f'"desk":"{desk}"' in (await server.http.get(f"/chat/{SITE}?lang={lang}")).text


async def test_the_visitor_reads_who_answers_in_their_own_language(server: Server) -> None:
    visitor = await server.visitor(lang="fr")
    assert visitor.welcome["site"]["desk"] == "Service des réservations"
    thread = await visitor.open("Bonjour")
    claire = await server.agent()
    await claire.take(thread)
    told = {"name": "Claire", "role": "Service des réservations"}
    assert (await visitor.event("assigned"))["body"] == {"agent": told}
    again = await server.visitor(token=visitor.token, lang="fr")
    assert again.welcome["conversation"]["agent"] == told
    switched = await server.visitor(token=visitor.token, lang="en")
    assert switched.welcome["conversation"]["agent"]["role"] == switched.welcome["site"]["desk"] == "Bookings desk"


async def test_a_page_speaks_the_language_that_was_asked_for(server: Server) -> None:
    for asked, accepted, language in (
        ("", "fr-FR,fr;q=0.9", "fr"),
        ("", "en", "en"),
        ("", "", "en"),
        ("fr", "en", "fr"),
        ("en", "fr", "en"),
        ("xx", "fr", "en"),
    ):
        headers = {"accept-language": accepted}
        page = await server.http.get("/chat/air", params={"lang": asked} if asked else {}, headers=headers)
        assert f'<html lang="{language}"' in page.text, (asked, accepted)


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_file_never_changes_under_its_address(server: Server) -> None:
    loaded = server.app.state.assets
    assert any(name.startswith("widget/") for name in loaded.files)
    for name, asset in loaded.files.items():
        answer = await server.http.get(loaded.url(name))
        assert answer.status_code == 200, name
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.content == (assets.root() / name).read_bytes()
        assert answer.headers["content-type"] == asset.type
        assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()[:20]}"'
    again = await server.http.get(loaded.url(name), headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_loader_is_asked_for_anew_by_any_page(server: Server) -> None:
    answer = await server.http.get("/widget.js")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["content-type"].startswith("text/javascript")
    again = await server.http.get("/widget.js", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


async def test_files_come_packed_to_those_who_can_unpack(server: Server) -> None:
    url = server.app.state.assets.url("static/shared/tokens.css")
    async with server.http.stream("GET", url, headers={"accept-encoding": "gzip"}) as answer:
        packed = b"".join([part async for part in answer.aiter_raw()])
    plain = await server.http.get(url, headers={"accept-encoding": "identity"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(packed) == plain.content
    assert len(packed) < len(plain.content)
    assert "accept-encoding" in plain.headers["vary"]


async def test_no_other_file_is_served(server: Server) -> None:
    for path in (
        "server/aparte/app.py",
        "pyproject.toml",
        "../pyproject.toml",
        "widget/../pyproject.toml",
        "%2e%2e/pyproject.toml",
        "widget/%2e%2e/%2e%2e/etc/passwd",
        "/etc/passwd",
        "static/demo/tracker.js",
        "widget",
        "",
        "widget/app/main.js%00",
    ):
        answer = await server.http.get(f"/a/{server.app.state.assets.build}/{path}")
        assert answer.status_code == 404, path


def test_another_build_has_another_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "widget").mkdir()
    file = tmp_path / "widget" / "loader.js"
    monkeypatch.setattr(assets, "root", lambda: tmp_path)
    builds = []
    for text in ("one", "two", "one"):
        file.write_text(text)
        builds.append(assets.load().build)
    assert builds[0] == builds[2] != builds[1]


# ── faults, and what is declared ────────────────────────────────────────────────────────────────────────────────


async def test_a_fault_of_ours_says_nothing_of_itself(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fault(*_arguments: object) -> None:
        raise KeyError("a secret of ours")

    monkeypatch.setattr(server.store, "write", fault)
    server.plants_a_fault()
    answer = await server.http.get("/readyz")
    monkeypatch.undo()
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_route_says_who_may_use_it() -> None:
    assert len({route.path for route in ROUTES}) == len(ROUTES)
    made = app.create_app(settings_in(Path("/nonexistent")))
    assert {getattr(route, "path", "") for route in made.routes} == {route.path for route in ROUTES}
    made.add_route("/undeclared", lambda _request: None)
    with pytest.raises(RuntimeError, match="/undeclared"):
        check_routes(made)
