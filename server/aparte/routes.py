"""Every route, who may use it and whose page may ask.

Knows the edge's verbs. Must not know how the parts are built, nor what a verb does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from aparte import api, auth, exposition, pages, ws
from aparte.actions.parts import Parts


@dataclass(frozen=True, slots=True)
class Declared:
    """A route and who may use it: `route` asks that of every request before the verb runs. `origin`: whose page must
    have sent it. `connection`: who has opened one of this origin's over HTTP, and shows its token."""

    path: str
    run: Callable[[Request], Awaitable[Response]] | ws.SocketEndpoint
    method: Literal["GET", "POST", "WS"]
    who: Literal["anyone", "agent", "visitor", "operator", "connection"]
    origin: Literal["any", "chat", "panel"] = "any"


ROUTES: Final = (
    Declared("/", pages.home, "GET", "anyone"),
    Declared("/widget.js", pages.loader, "GET", "anyone"),
    Declared("/frame/{site}", pages.frame, "GET", "anyone"),
    Declared("/chat/{site}", pages.hosted, "GET", "anyone"),
    Declared("/panel", pages.panel, "GET", "anyone"),
    Declared("/not-me", pages.not_me, "GET", "anyone"),
    Declared("/a/{build}/{path:path}", pages.asset, "GET", "anyone"),
    Declared("/healthz", pages.healthz, "GET", "anyone"),
    Declared("/readyz", pages.readyz, "GET", "anyone"),
    Declared("/metrics", exposition.metrics, "GET", "operator"),
    Declared("/api/login", api.sign_in, "POST", "anyone", "panel"),
    Declared("/api/logout", api.sign_out, "POST", "agent", "panel"),
    Declared("/api/me", api.me, "GET", "anyone"),
    Declared("/api/ticket", api.ticket, "POST", "agent", "panel"),
    Declared("/api/not-me", api.not_me, "POST", "anyone", "chat"),
    Declared("/ws/visitor", ws.SocketEndpoint("visitor"), "WS", "visitor", "chat"),
    Declared("/ws/agent", ws.SocketEndpoint("agent"), "WS", "agent", "panel"),
    Declared("/sse/visitor", ws.StreamEndpoint("visitor"), "POST", "visitor", "chat"),
    Declared("/sse/visitor/frames", ws.take, "POST", "connection", "chat"),
    Declared("/sse/agent", ws.StreamEndpoint("agent"), "POST", "agent", "panel"),
    Declared("/sse/agent/frames", ws.take, "POST", "connection", "panel"),
)


def route(one: Declared) -> Route | WebSocketRoute:
    """The framework's route of a declared one."""
    if isinstance(one.run, ws.SocketEndpoint):
        return WebSocketRoute(one.path, one.run)
    return Route(one.path, _guarded(one, one.run), methods=[one.method])


def _guarded(
    one: Declared, run: Callable[[Request], Awaitable[Response]]
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """The verb behind what is declared of it; but for streams, which are sockets to it, it finds the signed-in agent in `request.state.caller`, and the
    connection in `request.state.line`."""

    async def guarded(request: Request) -> Response:
        parts: Parts = request.app.state.parts
        headers = auth.headers_of(request.scope)
        if one.origin != "any":
            own = auth.panel_origin if one.origin == "panel" else auth.chat_origin
            auth.require_own_page(headers, own(parts.settings))
        if one.who == "agent" and not isinstance(
            one.run, ws.StreamEndpoint
        ):  # that asks by itself, once it has a place
            request.state.caller = await auth.agent_of(parts, headers)
        elif one.who == "operator":
            if not request.app.state.token or "x-forwarded-for" in headers:
                raise HTTPException(404)  # off, or asked through the proxy: as what is not there
            auth.require_token(headers, request.app.state.token)
        elif one.who == "connection":
            request.state.line = ws.line_of(request, "agent" if one.origin == "panel" else "visitor")
        return await run(request)

    return guarded


def check_routes(app: Starlette, declared: Iterable[Declared] = ROUTES) -> None:
    """Raises ws.Unexpected for a route that nobody declared, and for one that is declared open to what it must not:
    an unsafe request from any page, or a socket that serves others than it says."""
    known = {one.path for one in declared}
    wrong = [path for one in app.routes if (path := getattr(one, "path", "?")) not in known]
    for one in declared:
        is_other = isinstance(one.run, ws.SocketEndpoint | ws.StreamEndpoint) and one.run.kind != one.who
        if is_other or (one.method != "GET" and one.origin == "any"):
            wrong.append(one.path)
    if wrong:
        raise ws.Unexpected(f"routes without a declared policy: {wrong}")
