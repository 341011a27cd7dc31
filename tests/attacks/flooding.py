"""Log-ins without end, from as many addresses as one likes: what a proxy that is trusted would pass on.

Knows HTTP byte by byte, so that a thousand a second cost the tests little. Must not know what the server makes of them.
As a program it floods from a process of its own, and prints what was answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence

from harness import email_of

LINES = 40  # connections, for a flood of some hundreds a second


def request(host: str, origin: str, email: str, address: str) -> bytes:
    """One log-in with a wrong password."""
    body = json.dumps({"email": email, "password": "a wrong one"})
    head = (
        "POST /api/login HTTP/1.1",
        f"Host: {host}",
        f"Origin: {origin}",
        f"X-Forwarded-For: {address}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


def everywhere(number: int) -> str:
    """Another address for each."""
    return f"2001:db8:{number >> 16:x}:{(number & 0xFF) << 8:x}:{number >> 8 & 0xFF:x}::1"


class Flood:
    """What was answered, by status, and how long each took."""

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()
        self.sent = 0


@contextlib.asynccontextmanager
async def flooding(
    port: int,
    origin: str,
    *,
    per_second: float,
    address: Callable[[int], str] = everywhere,
    emails: Sequence[str] = (email_of("claire"),),
    lines: int = LINES,
) -> AsyncIterator[Flood]:
    """Floods as long as the block lasts. `address`: of the so-manieth log-in."""
    flood = Flood()
    began = time.monotonic()

    async def one_line() -> None:
        while True:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    while True:
                        number = flood.sent
                        flood.sent += 1
                        wait = began + number / per_second - time.monotonic()
                        await asyncio.sleep(max(0.0, wait))
                        email = emails[number % len(emails)]
                        writer.write(request(f"127.0.0.1:{port}", origin, email, address(number)))
                        head = await reader.readuntil(b"\r\n\r\n")
                        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                        await reader.readexactly(size)
                        flood.answers[int(head.split(b" ", 2)[1])] += 1
                finally:
                    writer.close()
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(one_line()) for _ in range(lines)]
    try:
        yield flood
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def main(port: int, origin: str, per_second: float, seconds: float) -> None:
    """Floods for so long."""
    async with flooding(port, origin, per_second=per_second, lines=10 * LINES) as flood:
        await asyncio.sleep(seconds)
    print(json.dumps(flood.answers))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
