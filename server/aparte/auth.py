"""Who is calling: origins, addresses, agents' cookies and tickets, visitors' tokens.

Knows headers and sessions. Must not know what a caller may do.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from aparte.actions.parts import Parts
from aparte.actions.people import session_hash
from aparte.actions.tokens import token_hash
from aparte.config import Settings
from aparte.errors import BadOrigin, NotSignedIn
from aparte.model import AgentCaller, VisitorCaller
from aparte.store import Tx, people
from aparte.vault import new_token

COOKIE: Final = "__Host-aparte"
DEVICE_COOKIE: Final = "__Host-aparte-device"
DEVICE_SECONDS: Final = 180 * 24 * 3600
TICKET_SECONDS: Final = 30
_SEEN_EVERY: Final = 60.0  # seconds between notes that a session is alive

Headers = Mapping[str, str]


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """The request's headers, lower-case; repeated ones joined by a comma, cookies by a semicolon."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        joint = "; " if name == "cookie" else ", "
        found[name] = f"{found[name]}{joint}{value}" if name in found else value
    return found


def address_of(scope: Mapping[str, Any], headers: Headers, settings: Settings) -> str:
    """The network address that limits count by, as the block that one party is given. Forwarding headers are believed
    from trusted proxies alone: the last address in them that is not itself a trusted proxy's."""
    client = scope.get("client")
    address = str(client[0]) if client else ""
    blocks = _blocks(settings.trusted_proxies)
    chain = [one.strip() for one in headers.get("x-forwarded-for", "").split(",") if one.strip()]
    while chain and _within(address, blocks):
        address = chain.pop()
    return _block(address, settings)


@cache
def _blocks(trusted: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(one, strict=False) for one in trusted)


def _within(address: str, blocks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed.version == block.version and parsed in block for block in blocks)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address; an IPv4 one also where a socket of both kinds writes it as an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _block(address: str, settings: Settings) -> str:
    parsed = _parsed(address)
    if parsed is None:
        return "unknown"
    bits = settings.address_block_ipv6 if parsed.version == 6 else settings.address_block_ipv4
    if bits == parsed.max_prefixlen:
        return str(parsed)
    rest = parsed.max_prefixlen - bits
    return f"{type(parsed)(int(parsed) >> rest << rest)}/{bits}"


def require_origin(headers: Headers, origin: str) -> None:
    """Raises BadOrigin unless the request comes from exactly this origin: null and absent are refused too."""
    if headers.get("origin", "") != origin:
        raise BadOrigin()


def require_own_page(headers: Headers, origin: str) -> None:
    """As `require_origin`, for a request that changes something: the browser itself must not say that another site's
    or another host's page sent it. An old browser says nothing. Raises BadOrigin."""
    require_origin(headers, origin)
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise BadOrigin()


def chat_origin(settings: Settings) -> str:
    return settings.addressed()[0]


def panel_origin(settings: Settings) -> str:
    return settings.addressed()[1]


# ── agents ──────────────────────────────────────────────────────────────────────────────────────────────────


def cookie_of(headers: Headers, cookie: str = COOKIE) -> str:
    """The session secret in the agent's cookie, or what is in another; "" when there is none."""
    for pair in headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == cookie:
            return value
    return ""


def set_cookie(token: str, seconds: int, cookie: str = COOKIE) -> str:
    """The Set-Cookie header. `__Host-` binds it to this host, to https (loopback counts) and to all paths."""
    return f"{cookie}={token}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict"


def new_device(parts: Parts, email: str) -> str:
    """What tells a browser's next sign-in that this account has signed in with it before: "until.number.proof"."""
    until, number = int(parts.store.now()) + DEVICE_SECONDS, new_token()[:16]
    return f"{until}.{number}.{_device_proof(parts, until, number, email)}"


def device_of(parts: Parts, headers: Headers, email: str) -> str:
    """Names the browser if this account has signed in with it before; "" otherwise. It proves nothing else."""
    until, _, rest = cookie_of(headers, DEVICE_COOKIE).partition(".")
    number, _, proof = rest.partition(".")
    if not until.isascii() or not until.isdigit() or len(until) > 12 or int(until) < parts.store.now():
        return ""
    good = _device_proof(parts, int(until), number, email)
    return number if hmac.compare_digest(good.encode(), proof.encode()) else ""


def _device_proof(parts: Parts, until: int, number: str, email: str) -> str:
    return parts.store.vault.mac("session", "device", until, number, people.normal_email(email)).hex()


async def agent_of(parts: Parts, headers: Headers) -> AgentCaller:
    """The signed-in agent. Raises NotSignedIn."""
    token = cookie_of(headers)
    if not token:
        raise NotSignedIn()
    hashed = session_hash(parts.store, token)
    now, idle = parts.store.now(), parts.settings.session_idle_seconds
    found = await parts.store.read(lambda c: people.agent_of_session(c, parts.store.vault, hashed, now, idle))
    if found is None:
        raise NotSignedIn()
    agent, seen_at = found
    if now - seen_at > _SEEN_EVERY:
        await parts.store.write(lambda tx: people.see_agent_session(tx, hashed))
    return AgentCaller(hashed.hex(), agent)


def new_ticket(parts: Parts, caller: AgentCaller) -> str:
    """Opens sockets of this session for half a minute: proof that the panel's own page asked for it."""
    until = int(parts.store.now()) + TICKET_SECONDS
    return f"{until}.{parts.store.vault.mac('session', 'ticket', caller.session, until).hex()}"


def require_ticket(parts: Parts, caller: AgentCaller, ticket: str) -> None:
    """Raises NotSignedIn for a ticket that is not this session's or is too old."""
    until, _, _ = ticket.partition(".")
    if not until.isascii() or not until.isdigit() or len(until) > 12 or int(until) < parts.store.now():
        raise NotSignedIn("The ticket is too old. Ask for a new one.")
    good = f"{until}.{parts.store.vault.mac('session', 'ticket', caller.session, int(until)).hex()}"
    if not hmac.compare_digest(good.encode(), ticket.encode()):
        raise NotSignedIn("The ticket is not this session's.")


async def keep_alive(parts: Parts, caller: AgentCaller) -> None:
    """The session is seen now. Raises NotSignedIn when it has ended since the caller was found."""
    hashed, idle = bytes.fromhex(caller.session), parts.settings.session_idle_seconds

    def apply(tx: Tx) -> None:
        if not people.good_sessions(tx.connection, [hashed], tx.now, idle):
            raise NotSignedIn()
        people.see_agent_session(tx, hashed)

    await parts.store.write(apply)


# ── programs ──────────────────────────────────────────────────────────────────────────────────────────────────


def require_token(headers: Headers, token: str) -> None:
    """Raises NotSignedIn unless the request bears exactly this token."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), token.encode()):
        raise NotSignedIn("Send the token of metrics_token_file: Authorization: Bearer …")


# ── visitors ────────────────────────────────────────────────────────────────────────────────────────────────


async def visitor_of(parts: Parts, site: str, token: str) -> tuple[VisitorCaller, people.Session] | None:
    """The visitor whose token this is, on this site, and the session; None for a token that has made nothing yet."""
    hashed = token_hash(parts.store.vault, token)
    session = await parts.store.read(lambda c: people.visitor_session_of(c, hashed))
    if session is None or session.site_id != site:
        return None
    return VisitorCaller(session.id, session.visitor_id, site, hashed), session
