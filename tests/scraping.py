"""A server whose metrics are on, and what they say; for tests of the numbers and of who may see them.

Knows the text form as Prometheus reads it. Must not know what a number means.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aparte import exposition
from harness import Server, Start

TOKEN = secrets.token_hex(32)

Found = dict[str, float]
Watched = Callable[..., contextlib.AbstractAsyncContextManager[Server]]


@pytest.fixture
def watched(start: Start, tmp_path: Path) -> Watched:
    """Starts a server with metrics."""
    file = tmp_path / "metrics.token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o400)
    return lambda **chosen: start(metrics_token_file=file, node="desk-1", **chosen)


async def text(server: Server) -> str:
    answer = await server.http.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == exposition.TYPE
    return answer.text


async def scrape(server: Server) -> Found:
    """Every value, by its name and labels as they are written."""
    found = {}
    for family in text_string_to_metric_families(await text(server)):
        for one in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in one.labels.items())
            found[f"{one.name}{{{labels}}}" if labels else one.name] = one.value
    return found


async def exposed(server: Server) -> dict[str, tuple[str, set[str]]]:
    """Each metric's kind and labels, as a program reads them."""
    found = {}
    for family in text_string_to_metric_families(await text(server)):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for one in family.samples for label in one.labels} - {"le"}
        found[name] = (family.type, labels)
    return found
