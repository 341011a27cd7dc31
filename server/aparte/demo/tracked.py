"""What the tracker on the airline's page reports, kept to be looked at: the demo's proof that it learns nothing.

Knows how to take and tell reports. Must not know what they mean: static/demo/tracked.js words them for a visitor, and a
test searches them.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

REPORT_BYTES: Final = 1 << 20
KEPT: Final = 20_000  # entries; the oldest go first


class Seen(Struct, forbid_unknown_fields=True):
    """One thing that the tracker saw: how, and what."""

    how: Annotated[str, Meta(max_length=60)]
    what: Annotated[str, Meta(max_length=8_000)]


_reports: Final = msgspec.json.Decoder(list[Seen])


class TrackerLog:
    """The last entries that the tracker sent."""

    def __init__(self) -> None:
        self.entries: deque[Seen] = deque(maxlen=KEPT)
        self.count = 0  # of all that were ever sent: the number of the newest

    async def take(self, request: Request) -> Response:
        """POST /tracker: a JSON list of entries, by `navigator.sendBeacon`."""
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > REPORT_BYTES:
                return Response(status_code=413)
        try:
            sent = _reports.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return Response(status_code=400)
        self.entries.extend(sent)
        self.count += len(sent)
        return Response(status_code=204)

    async def tell(self, request: Request) -> Response:
        """GET /tracker/seen: what was sent, oldest first, how many in all and how many of these were dropped. With
        `?after=N` only what came after the Nth."""
        after = request.query_params.get("after", "0")
        if not (after.isascii() and after.isdigit() and len(after) < 16):
            return JSONResponse({"error": "`after` is the `count` of an earlier answer."}, status_code=400)
        dropped = self.count - len(self.entries)
        news = islice(self.entries, max(0, int(after) - dropped), None)
        entries = [{"how": entry.how, "what": entry.what} for entry in news]
        told = {"count": self.count, "dropped": dropped, "entries": entries}
        return JSONResponse(told, headers={"Cache-Control": "no-store"})
