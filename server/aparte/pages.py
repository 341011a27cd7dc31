"""The pages and files that the chat host serves, each with its own strict policy.

Knows HTML and headers. Must not hold a rule of conduct.
"""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from aparte import __version__, auth
from aparte.actions.parts import Parts
from aparte.assets import Asset, Assets
from aparte.errors import AparteError, NotFound, StoreDown
from aparte.model import Site

READY_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 3.0  # without one the store is as good as down: a lock is given up sooner
_YEAR: Final = 365 * 24 * 3600


def _parts(request: Request) -> tuple[Parts, Assets]:
    return request.app.state.parts, request.app.state.assets


def policy(parts: Parts, *, ancestors: Iterable[str]) -> str:
    """The content security policy of a page: our own files and sockets, nothing inline, Trusted Types."""
    origins = {auth.chat_origin(parts.settings), auth.panel_origin(parts.settings)}
    sockets = " ".join(sorted(origin.replace("http", "ws", 1) for origin in origins))
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"connect-src 'self' {sockets}",
            "img-src 'self' data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors " + (" ".join(ancestors) or "'none'"),
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _page(parts: Parts, assets: Assets, *, lang: str, title: str, folder: str, config: object, mode: str = "") -> str:
    """One page: styles, the module and all it imports, the settings as data, and a place to draw in."""
    entry, styles = _packed(assets, folder)
    # Data in a script element is not run; `<` is escaped so that no value can end the element.
    data = msgspec.json.encode(config).decode().replace("<", "\\u003c")
    return "\n".join(
        (
            *_head(lang, title, mode),
            *(f'<link rel="stylesheet" href="{assets.url(path)}">' for path in styles),
            *(f'<link rel="modulepreload" href="{assets.url(path)}">' for path in assets.modules(entry)[1:]),
            f'<script type="application/json" id="config">{data}</script>',
            f'<script type="module" src="{assets.url(entry)}"></script>',
            "</head>",
            '<body><div id="app"></div></body>',
            "</html>",
            "",
        )
    )


def _head(lang: str, title: str, mode: str = "") -> tuple[str, ...]:
    """What every page begins with."""
    return (
        "<!doctype html>",
        f'<html lang="{html.escape(lang)}"' + (f' data-mode="{mode}">' if mode else ">"),
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="robots" content="noindex">',
        f"<title>{html.escape(title)}</title>",
        '<link rel="icon" href="data:,">',
    )


def _packed(assets: Assets, folder: str) -> tuple[str, list[str]]:
    """The folder's module and styles: the packed ones where they were made, else the sources."""
    styles = [path for path in assets.files if path.startswith(f"{folder}/") and path.endswith(".css")]
    packed = [path for path in styles if path.endswith(".min.css")]
    if f"{folder}/main.min.js" in assets.files and packed:
        return f"{folder}/main.min.js", packed
    return f"{folder}/main.js", ["static/shared/tokens.css", *sorted(styles)]


def _html(text: str, policy_text: str, status: int = 200, **more: str) -> Response:
    cache = "no-cache" if status == 200 else "no-store"
    headers = {"content-security-policy": policy_text, "cache-control": cache, **more}
    return Response(text, status, media_type="text/html", headers=headers)


# ── the widget's pages ──────────────────────────────────────────────────────────────────────────────────────


def _lang(request: Request) -> str:
    asked = request.query_params.get("lang", "").lower()
    if not asked:
        asked = request.headers.get("accept-language", "").lower()
    return "fr" if asked.startswith("fr") else "en"


async def frame(request: Request) -> Response:
    """The conversation inside the host page's iframe; only the site's own pages may embed it."""
    parts, assets = _parts(request)
    site = _site(parts, request)
    origin = request.query_params.get("origin", "")
    embedding = origin if origin in site.origins else ""
    text = _widget(parts, assets, site, _lang(request), mode="frame", origin=embedding)
    return _html(text, policy(parts, ancestors=site.origins))


async def hosted(request: Request) -> Response:
    """The same conversation as a page of its own, for links, QR codes and e-mails."""
    parts, assets = _parts(request)
    site = _site(parts, request)
    return _html(_widget(parts, assets, site, _lang(request), mode="page", origin=""), policy(parts, ancestors=()))


def _site(parts: Parts, request: Request) -> Site:
    site = parts.store.directory.sites.get(request.path_params["site"])
    if site is None:
        raise NotFound("This chat does not exist.")
    return site


def _widget(parts: Parts, assets: Assets, site: Site, lang: str, *, mode: str, origin: str) -> str:
    config = {
        "site": site.id,
        "name": site.name,
        "desk": site.desk_in(lang),
        "accent": site.accent,
        "phone": site.phone,
        "lang": lang,
        "mode": mode,
        "origin": origin,
        "checks": parts.can_check(site),
        "privacy": {
            "host": auth.chat_origin(parts.settings).partition("://")[2],
            "kept_days": parts.settings.retention_days,
        },
    }
    return _page(parts, assets, lang=lang, title=site.name, folder="widget/app", config=config, mode=mode)


# ── the panel, and the page of the letter's link ────────────────────────────────────────────────────────────


async def panel(request: Request) -> Response:
    """The agents' panel: never framed."""
    parts, assets = _parts(request)
    text = _page(
        parts, assets, lang=_lang(request), title="Aparté", folder="static/panel", config={"version": __version__}
    )
    return _html(text, policy(parts, ancestors=()))


async def not_me(request: Request) -> Response:
    """The page behind the letter's link. What names the check is in the fragment, which never reaches a log; it
    acts on a press alone, since mail scanners open links. `site` says whose letter it was: name and telephone."""
    parts, assets = _parts(request)
    site = parts.store.directory.sites.get(request.query_params.get("site", ""))
    config = {"name": site.name, "phone": site.phone} if site else {}
    title = site.name if site else "Aparté"
    text = _page(parts, assets, lang=_lang(request), title=title, folder="static/pages", config=config)
    return _html(text, policy(parts, ancestors=()))


_HOME: Final = {
    "en": (
        "A chat answers here",
        "Customers find it on the company’s own pages, in the corner. Who answers them signs in at {}.",
        "the panel",
    ),
    "fr": (
        "Un chat répond ici",
        "Les clients le trouvent sur les pages de l’entreprise, dans le coin. Qui leur répond se connecte au {}.",
        "poste des agents",
    ),
}


_ABSENT: Final = {
    "en": (
        "There is nothing here",
        "This address leads nowhere. Compare it with the one that you were given, or go back to the company’s own page.",
    ),
    "fr": (
        "Il n’y a rien ici",
        "Cette adresse ne mène nulle part. Comparez-la à celle que vous avez reçue, ou revenez à la page de l’entreprise.",
    ),
}


async def home(request: Request) -> Response:
    """What a person reads who opens the bare address. A program gets what it gets wherever nothing is."""
    if not _is_person(request):
        raise HTTPException(404)
    title, says, panel_ = _HOME[_lang(request)]
    link = f'<a href="{html.escape(auth.panel_origin(_parts(request)[0].settings))}/panel">{panel_}</a>'
    return _words(request, title, says.format(link))


def _is_person(request: Request) -> bool:
    """Whether a browser wants to show the answer as a page. Scripts, pictures and programs ask otherwise."""
    return "text/html" in request.headers.get("accept", "")


def _words(request: Request, title: str, says: str, status: int = 200) -> Response:
    """A page of one heading and one paragraph."""
    parts, assets = _parts(request)
    lang = _lang(request)
    text = "\n".join(
        (
            *_head(lang, title),
            *(f'<link rel="stylesheet" href="{assets.url(path)}">' for path in _packed(assets, "static/pages")[1]),
            "</head>",
            f"<body><main><h1>{title}</h1><p>{says}</p></main></body>",
            "</html>",
            "",
        )
    )
    return _html(text, policy(parts, ancestors=()), status, vary="accept, accept-language")


def or_page(
    answer: Callable[[Request, Exception], Awaitable[Response]],
) -> Callable[[Request, Exception], Awaitable[Response]]:
    """What answers where nothing is: a page for a person, else what `answer` gives. What is absent and what is
    somebody else's look the same in either."""

    async def absent(request: Request, error: Exception) -> Response:
        plain = await answer(request, error)
        if request.method != "GET" or not _is_person(request):
            return plain
        return _words(request, *_ABSENT[_lang(request)], plain.status_code)

    return absent


# ── files and signs of life ─────────────────────────────────────────────────────────────────────────────────


def _file(request: Request, asset: Asset, headers: dict[str, str]) -> Response:
    tag = f'"{asset.tag}"'
    headers = {**headers, "etag": tag, "vary": "accept-encoding"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    body = asset.body
    if "gzip" in request.headers.get("accept-encoding", "") and not asset.type.startswith("image/png"):
        body, headers["content-encoding"] = asset.packed, "gzip"
    return Response(body, media_type=None, headers={**headers, "content-type": asset.type})


async def loader(request: Request) -> Response:
    """The script that a site pastes: any page may load it, and it is asked for anew each time."""
    asset = _parts(request)[1].get("widget/loader.min.js")
    return _file(request, asset, {"cache-control": "no-cache", "cross-origin-resource-policy": "cross-origin"})


async def asset(request: Request) -> Response:
    """A file of this build: never changes under its address."""
    assets = _parts(request)[1]
    if request.path_params["build"] != assets.build:
        raise NotFound()
    return _file(
        request, assets.get(request.path_params["path"]), {"cache-control": f"public, max-age={_YEAR}, immutable"}
    )


async def healthz(_request: Request) -> Response:
    """The process lives."""
    return Response("ok\n", media_type="text/plain")


async def readyz(request: Request) -> Response:
    """The process takes work: the store answers, the background work runs, and no end has been asked for, nor
    has a newer version shut this one out."""
    parts = _parts(request)[0]
    if (why := parts.store.outdated) != "":
        return Response(f"{why}\n", status_code=503, media_type="text/plain")
    if request.app.state.draining:
        return Response("draining\n", status_code=503, media_type="text/plain")
    if any(task.done() for task in request.app.state.tasks):
        return Response("background work has ended\n", status_code=503, media_type="text/plain")
    failure = await request.app.state.readiness.failure(parts)
    if failure is not None:
        return Response(f"{failure.code}\n", status_code=failure.status, media_type="text/plain")
    return Response("ready\n", media_type="text/plain")


class Readiness:
    """Whether the store takes a row, asked at most once in READY_SECONDS however often it is wanted."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._asked: float | None = None
        self._asking: asyncio.Task[None] | None = None
        self._failure: AparteError | None = None

    async def failure(self, parts: Parts) -> AparteError | None:
        async with self._lock:
            if self._asked is None or time.monotonic() - self._asked >= READY_SECONDS:
                self._failure = await self._ask(parts)
                self._asked = time.monotonic()
            return self._failure

    async def _ask(self, parts: Parts) -> AparteError | None:
        # One question at a time: a store that answers nobody is not asked again before it has.
        if self._asking is None or self._asking.done():
            # A row that is really written, so that a full disk shows.
            self._asking = asyncio.create_task(parts.store.keep_time())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.shield(self._asking)
        except TimeoutError:
            return StoreDown()
        except AparteError as error:
            return error
        return None
