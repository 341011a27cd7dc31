"""The few HTTP verbs: signing in and out, a ticket for the socket, "this is not me"; and errors as answers.

Knows JSON and cookies. Who may ask is declared with the routes and was looked at before. Must not hold a rule of conduct.
"""

from __future__ import annotations

import math
import time
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from aparte import auth, frames
from aparte.actions import checks, people
from aparte.actions.parts import Parts
from aparte.errors import AparteError, BadInput, NotSignedIn, TooMany
from aparte.model import Agent

BODY_BYTES: Final = 8 * 1024
_T = TypeVar("_T")


class SignIn(Struct, forbid_unknown_fields=True):
    email: Annotated[str, Meta(min_length=3, max_length=254)]
    password: Annotated[str, Meta(min_length=1, max_length=1024)]


class NotMe(Struct, forbid_unknown_fields=True):
    token: Annotated[str, Meta(min_length=1, max_length=200)]


async def body_of(request: Request, kind: type[_T]) -> _T:
    """The request's JSON body. Raises BadInput."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_BYTES:
            raise BadInput("That is too long.")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadInput("That is not the JSON that this address takes.") from error


def _json(value: object, *, cookie: str = "") -> Response:
    headers = {"cache-control": "no-store"}
    if cookie:
        headers["set-cookie"] = cookie
    return Response(msgspec.json.encode(value), media_type="application/json", headers=headers)


def _me(agent: Agent) -> dict[str, str]:
    return {"id": agent.id, "name": agent.name, "role": agent.role.value}


async def sign_in(request: Request) -> Response:
    parts: Parts = request.app.state.parts
    asked = await body_of(request, SignIn)
    headers = auth.headers_of(request.scope)
    address = auth.address_of(request.scope, headers, parts.settings)
    device = auth.device_of(parts, headers, asked.email)
    token, agent = await people.sign_in(parts, asked.email, asked.password, address, device)
    answer = _json(_me(agent), cookie=auth.set_cookie(token, parts.settings.session_seconds))
    known = auth.set_cookie(auth.new_device(parts, asked.email), auth.DEVICE_SECONDS, auth.DEVICE_COOKIE)
    answer.headers.append("set-cookie", known)
    return answer


async def sign_out(request: Request) -> Response:
    cookie = auth.cookie_of(auth.headers_of(request.scope))
    await people.sign_out(request.app.state.parts, request.state.caller, cookie)
    return Response(status_code=204, headers={"set-cookie": auth.set_cookie("", 0), "cache-control": "no-store"})


async def me(request: Request) -> Response:
    """Who is signed in with this browser. Nobody is no error: the panel asks this before its sign-in, too."""
    try:
        caller = await auth.agent_of(request.app.state.parts, auth.headers_of(request.scope))
    except NotSignedIn:
        return Response(status_code=204, headers={"cache-control": "no-store"})
    return _json(_me(caller.agent))


async def ticket(request: Request) -> Response:
    return _json({"ticket": auth.new_ticket(request.app.state.parts, request.state.caller)})


async def not_me(request: Request) -> Response:
    """The letter's link was pressed."""
    parts: Parts = request.app.state.parts
    headers = auth.headers_of(request.scope)
    address = auth.address_of(request.scope, headers, parts.settings)
    wait = parts.said.take(f"not-me {address}", time.monotonic())
    if wait is not None:
        raise TooMany(retry_after=wait)
    return _json({"used": await checks.not_me(parts, (await body_of(request, NotMe)).token)})


# ── what went wrong ─────────────────────────────────────────────────────────────────────────────────────────


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AparteError)
    said = frames.Error(error.code, str(error), retry_after=error.retry_after or 0.0)
    request.app.state.parts.counts.refusals[error.code] += 1
    headers = {"cache-control": "no-store"}
    if error.retry_after:
        headers["retry-after"] = str(math.ceil(error.retry_after))
    return Response(msgspec.json.encode(said), error.status, headers, "application/json")


async def http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "bad_method"}.get(error.status_code, "bad_input")
    said = frames.Error(code, "There is no such address here, or not by this method.")
    return Response(msgspec.json.encode(said), error.status_code, {"cache-control": "no-store"}, "application/json")


async def fault(request: Request, _error: Exception) -> Response:
    return await refused(request, AparteError())
