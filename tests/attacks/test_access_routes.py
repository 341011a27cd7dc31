"""SCOREBOARD 25, 26: every route × everybody × every method: only the declared cells are served.

A new route fails here until it has its row. Watched to fail: a route without a session check, an unsafe route without
the origin check or with one that only looks at the beginning, a route that answers another method, a route that nobody
declared, a file from outside the build.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import httpx2
import pytest
from starlette.responses import Response
from starlette.routing import Mount, Route
from websockets.exceptions import InvalidStatus

from aparte import ws
from aparte.actions import people
from aparte.app import create_app
from aparte.routes import ROUTES, Declared, check_routes, route
from clients import SITE
from harness import PASSWORD, Server, email_of, settings_in


@dataclasses.dataclass(frozen=True)
class Row:
    """The status for each: nobody, a visitor (with a token where a cookie would be), an agent, a disabled agent."""

    nobody: int
    visitor: int
    agent: int
    disabled: int
    body: object = None


ROWS = {
    ("GET", "/"): Row(404, 404, 404, 404),  # for who asks for a page: tests/test_pages.py
    ("GET", "/widget.js"): Row(200, 200, 200, 200),
    ("GET", "/frame/{site}"): Row(200, 200, 200, 200),
    ("GET", "/chat/{site}"): Row(200, 200, 200, 200),
    ("GET", "/panel"): Row(200, 200, 200, 200),
    ("GET", "/not-me"): Row(200, 200, 200, 200),
    ("GET", "/a/{build}/{path:path}"): Row(200, 200, 200, 200),
    ("GET", "/healthz"): Row(200, 200, 200, 200),
    ("GET", "/readyz"): Row(200, 200, 200, 200),
    ("GET", "/metrics"): Row(404, 404, 404, 404),  # for who has the token: tests/test_metrics.py
    ("POST", "/api/login"): Row(401, 401, 401, 401, {"email": email_of("claire"), "password": "wrong"}),
    ("POST", "/api/logout"): Row(401, 401, 204, 401),
    ("GET", "/api/me"): Row(204, 204, 200, 204),
    ("POST", "/api/ticket"): Row(401, 401, 200, 401),
    ("POST", "/api/not-me"): Row(404, 404, 404, 404, {"token": f"{'A' * 22}.{'0' * 32}"}),
    ("POST", "/sse/visitor"): Row(200, 200, 200, 200),  # a stream that says what is wrong with the hello, and ends
    ("POST", "/sse/visitor/frames"): Row(404, 404, 404, 404),
    ("POST", "/sse/agent"): Row(401, 401, 200, 401),
    ("POST", "/sse/agent/frames"): Row(404, 404, 404, 404),
    ("WS", "/ws/visitor"): Row(101, 101, 101, 101),
    ("WS", "/ws/agent"): Row(403, 403, 101, 403),
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def test_every_route_has_its_row_here() -> None:
    assert {(one.method, one.path) for one in ROUTES} == set(ROWS)


def address(server: Server, path: str) -> str:
    build = server.app.state.assets.build
    return path.replace("{site}", SITE).replace("{build}", build).replace("{path:path}", "static/shared/tokens.css")


async def status(server: Server, method: str, path: str, row: Row, **headers: str) -> int:
    if method == "WS":
        try:
            await server.socket(path.rpartition("/")[2], headers=headers)
        except InvalidStatus as refused:
            return refused.response.status_code
        return 101
    answer = await server.http.request(
        method, address(server, path), json=row.body, headers={"origin": server.url, **headers}
    )
    return answer.status_code


async def test_everybody_gets_what_the_table_says(server: Server) -> None:
    visitor = await server.visitor()
    await visitor.open("Hello")
    gone = await server.sign_in("marc")
    await people.set_disabled(server.store, email_of("marc"))
    fresh, leaving = await server.sign_in("claire"), await server.sign_in("claire")
    wrong = []
    for (method, path), row in ROWS.items():
        for who, expected, headers in (
            ("nobody", row.nobody, {}),
            ("visitor", row.visitor, {"cookie": f"__Host-aparte={visitor.token}", "authorization": visitor.token}),
            ("agent", row.agent, {"cookie": leaving if path == "/api/logout" else fresh}),
            ("disabled", row.disabled, {"cookie": gone}),
        ):
            found = await status(server, method, path, row, **headers)
            if found != expected:
                wrong.append(f"{who} {method} {path}: {found}, not {expected}")
    assert wrong == []


async def test_no_route_answers_another_method(server: Server) -> None:
    cookie = await server.sign_in("claire")
    wrong = []
    for method, path in ROWS:
        allowed = {"GET": {"GET", "HEAD"}, "POST": {"POST"}, "WS": set()}[method]
        for other in METHODS:
            if other in allowed:
                continue
            answer = await server.http.request(
                other, address(server, path), headers={"origin": server.url, "cookie": cookie}
            )
            if answer.status_code not in (404, 405):
                wrong.append(f"{other} {path}: {answer.status_code}")
    assert wrong == []
    assert (await server.http.get("/api/me", headers={"cookie": cookie})).status_code == 200  # nothing signed him out


async def test_an_unsafe_route_does_nothing_for_another_origin(server: Server) -> None:
    url, cookie = server.url, await server.sign_in("claire")
    before = server.audited()
    for origin in (
        None,
        "null",
        "http://evil.example",
        f"{url}.evil.example",
        f"{url}/",
        f"{url}@evil.example",
        url.replace("http:", "https:"),
        url.upper(),
        f"{url.rpartition(':')[0]}:1",
        url.replace("127.0.0.1", "localhost"),
        f"{url}, {url}",
    ):
        for (method, path), row in ROWS.items():
            body = {"email": email_of("claire"), "password": PASSWORD} if path == "/api/login" else row.body
            if method == "POST":
                answer = await server.post(path, body, cookie=cookie, origin=origin)
                assert (answer.status_code, answer.json().get("code")) == (403, "bad_origin"), (path, origin)
                assert "set-cookie" not in answer.headers
            elif method == "WS":
                with pytest.raises(InvalidStatus) as refused:
                    await server.socket(path.rpartition("/")[2], cookie=cookie, origin=origin)
                assert refused.value.response.status_code == 403, (path, origin)
    assert server.audited() == before


async def test_what_is_not_there_looks_alike_everywhere(server: Server) -> None:
    answers: set[tuple[int, bytes]] = set()
    for path in (
        "/x",
        "/metrics",
        "/api/x",
        "/api",
        "/panel/",
        "/panel/x",
        "/ws/x",
        "/.env",
        "/..%2f..%2fetc/passwd",
        "/a/x/../y",
    ):
        answer = await server.http.get(path)
        answers.add((answer.status_code, answer.content))
    assert len(answers) == 1
    absent: list[httpx2.Response] = [await server.http.get(f"/{page}/nobody") for page in ("chat", "frame")]
    assert {one.status_code for one in absent} == {404}
    build = server.app.state.assets.build
    for path in (
        f"/a/{build}/../../etc/passwd",
        f"/a/{build}/%2e%2e/%2e%2e/etc/passwd",
        f"/a/{build}//etc/passwd",
        f"/a/{build}/server/aparte/app.py",
        f"/a/{build}/widget/../server/aparte/app.py",
        f"/a/{build}/static/shared/tokens.css%00",
        f"/a/{'0' * len(build)}/static/shared/tokens.css",
    ):
        assert (await server.http.get(path)).status_code == 404, path


async def _anything(_request: object) -> Response:
    return Response("in")


@pytest.mark.parametrize(
    "added",
    [
        Route("/debug", _anything),
        Mount("/files", routes=[Route("/x", _anything)]),
        Mount("", routes=[Route("/y", _anything)]),
    ],
    ids=["route", "mount", "bare mount"],
)
def test_a_route_that_nobody_declared_fails_at_start(added: Route | Mount, tmp_path: Path) -> None:
    app = create_app(settings_in(tmp_path))
    check_routes(app)
    app.router.routes.append(added)
    with pytest.raises(ws.Unexpected, match="without a declared policy"):
        check_routes(app)


@pytest.mark.parametrize(
    "added",
    [
        Declared("/api/new", _anything, "POST", "agent"),
        Declared("/ws/new", ws.SocketEndpoint("agent"), "WS", "visitor", "chat"),
        Declared("/ws/new", ws.SocketEndpoint("visitor"), "WS", "visitor"),
        Declared("/sse/new", ws.StreamEndpoint("agent"), "POST", "visitor", "panel"),
        Declared("/sse/new/frames", ws.take, "POST", "connection"),
    ],
    ids=["unsafe", "a socket for others than it says", "a socket", "a stream for others than it says", "frames"],
)
def test_a_route_that_is_declared_too_open_fails_at_start(added: Declared, tmp_path: Path) -> None:
    with pytest.raises(ws.Unexpected, match="new"):
        check_routes(create_app(settings_in(tmp_path)), [*ROUTES, added])


async def test_what_is_declared_is_asked_before_the_verb_runs(server: Server) -> None:
    """Not the verb but its row keeps strangers out: a verb that forgets to ask is still closed."""
    declared = Declared("/api/new", _anything, "POST", "agent", "panel")
    server.app.router.routes.append(route(declared))
    cookie = await server.sign_in()
    assert (await server.post("/api/new")).status_code == 401
    assert (await server.post("/api/new", cookie=cookie, origin="https://evil.example")).status_code == 403
    assert (await server.post("/api/new", cookie=cookie)).text == "in"
