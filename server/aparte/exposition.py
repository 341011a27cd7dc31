"""The metrics, in the text form that Prometheus reads: which there are, what they mean, and where each is counted.

Knows the parts that count. Must not count anything itself, nor show who wrote, about what or from where: labels are words
of this code and the node's own name, so their sets are small and fixed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from starlette.requests import Request
from starlette.responses import Response

from aparte import __version__, errors, logs
from aparte.actions.parts import Parts
from aparte.config import Database
from aparte.metrics import Histogram

if TYPE_CHECKING:
    from prometheus_client.core import Metric

TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
REASONS: Final = ("address", "draining", "full", "origin", "session")  # why a socket did not come to be
_CODES: Final = sorted(
    {one.code for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.AparteError)}
)

Values = Mapping[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the numbers are read from."""

    parts: Parts
    waiting: int  # sockets that have not said hello


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric. `read` gives its value, or one for each combination of labels; None: there is none now."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    says: str
    read: Callable[[Seen], float | Histogram | Values | None]
    labels: tuple[str, ...] = ()


def _node(seen: Seen) -> Values:
    settings = seen.parts.settings
    is_server = isinstance(settings.database(), Database)
    bell = "none" if seen.parts.node.bell is None else "valkey" if settings.bell_url else "postgresql"
    return {(settings.node_name(), __version__, "postgresql" if is_server else "sqlite", bell): 1.0}


def _sockets(seen: Seen) -> Values:
    agents = len(seen.parts.hub.agents())
    return {("agent",): agents, ("visitor",): len(seen.parts.hub.peers) - agents, ("waiting",): seen.waiting}


def _rows(seen: Seen) -> Values:
    found = seen.parts.counts.outbox
    return {(kind, state): getattr(one, state) for kind, one in found.items() for state in ("waiting", "failed")}


def _oldest(seen: Seen) -> Values:
    return {(kind,): one.oldest_seconds for kind, one in seen.parts.counts.outbox.items()}


def _each(names: Iterable[str], counted: Mapping[str, int]) -> Values:
    """All of them from the start: what appears first with a number above nought has no rise that could be seen."""
    return {(name,): counted.get(name, 0) for name in names}


def _bell(name: str) -> Callable[[Seen], float | None]:
    """A number of the bell's; none where the node is alone."""
    return lambda seen: None if seen.parts.node.bell is None else float(getattr(seen.parts.node.bell, name))


FIGURES: Final = (
    Figure("aparte_node_info", "gauge", "Always 1: what runs here.", _node, ("node", "version", "store", "bell")),
    Figure(
        "aparte_store_up", "gauge", "Whether the last commit was kept.", lambda s: not s.parts.store.commits.trouble
    ),
    Figure("aparte_writer_waiting", "gauge", "Operations that wait for their commit.", lambda s: s.parts.store.queued),
    Figure(
        "aparte_commit_operations", "histogram", "Operations in a commit.", lambda s: s.parts.store.commits.operations
    ),
    Figure(
        "aparte_commit_seconds", "histogram", "Seconds that a commit took.", lambda s: s.parts.store.commits.seconds
    ),
    Figure(
        "aparte_commits_failed_total",
        "counter",
        "Commits of which nothing was kept.",
        lambda s: s.parts.store.commits.failed,
    ),
    Figure(
        "aparte_acknowledgement_seconds",
        "histogram",
        "Seconds from a message's arrival until its sender was answered.",
        lambda s: s.parts.store.commits.acknowledged,
    ),
    Figure(
        "aparte_event_loop_lag_seconds", "histogram", "How late the loop came to a timer.", lambda s: s.parts.counts.lag
    ),
    Figure("aparte_sockets", "gauge", "Open sockets.", _sockets, ("kind",)),
    Figure(
        "aparte_sockets_turned_away_total",
        "counter",
        "Sockets that were refused before they were open.",
        lambda s: _each(REASONS, s.parts.counts.turned_away),
        ("reason",),
    ),
    Figure(
        "aparte_sockets_ended_slow_total",
        "counter",
        "Sockets ended because their peer did not take its frames.",
        lambda s: s.parts.hub.turn.slow,
    ),
    Figure("aparte_frames_received_total", "counter", "Frames that came.", lambda s: s.parts.counts.received),
    Figure("aparte_frames_sent_total", "counter", "Frames written to sockets.", lambda s: s.parts.hub.turn.written),
    Figure(
        "aparte_refusals_total",
        "counter",
        "Errors told to people and programs.",
        lambda s: _each(_CODES, s.parts.counts.refusals),
        ("code",),
    ),
    Figure("aparte_outbox_rows", "gauge", "What is to leave the server, or was given up.", _rows, ("kind", "state")),
    Figure("aparte_outbox_oldest_seconds", "gauge", "Age of the oldest that should have left.", _oldest, ("kind",)),
    Figure("aparte_bell_up", "gauge", "Whether the bell between nodes stands.", _bell("is_up")),
    Figure("aparte_bell_lost_total", "counter", "Times that it was lost.", _bell("lost")),
    Figure("aparte_bell_hints_sent_total", "counter", "Hints to other nodes.", _bell("sent")),
    Figure("aparte_bell_hints_received_total", "counter", "Hints of other nodes.", _bell("heard")),
    Figure(
        "aparte_log_lines_dropped_total",
        "counter",
        "Lines of packages that were kept out of the log.",
        lambda _s: _each(logs.KINDS, logs.dropped),
        ("kind",),
    ),
)


async def metrics(request: Request) -> Response:
    """All of them, and those of the process. Who may ask is declared with the routes."""
    seen = Seen(request.app.state.parts, request.app.state.limits.waiting)
    found = [(one, value) for one in FIGURES if (value := one.read(seen)) is not None]
    # In a thread: the process's open files are counted one by one, and the library is loaded by the first who asks.
    return Response(await asyncio.to_thread(_text, found), headers={"content-type": TYPE})


def _text(found: list[tuple[Figure, Any]]) -> bytes:
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
    from prometheus_client.registry import Collector

    class Found(Collector):
        def collect(self) -> Iterable[Metric]:
            return [_family(one, value) for one, value in found]

    registry = CollectorRegistry()
    registry.register(Found())
    ProcessCollector(registry=registry)
    return generate_latest(registry)


def _family(one: Figure, value: float | Histogram | Values) -> Metric:
    from prometheus_client import core

    if isinstance(value, Histogram):
        buckets, so_far = [], 0
        for bound, count in zip((*value.bounds, "+Inf"), value.counts, strict=True):
            so_far += count
            buckets.append((str(bound), float(so_far)))
        return core.HistogramMetricFamily(one.name, one.says, buckets=buckets, sum_value=value.total)
    kind = core.CounterMetricFamily if one.kind == "counter" else core.GaugeMetricFamily
    if not isinstance(value, Mapping):
        return kind(one.name, one.says, value=float(value))
    family = kind(one.name, one.says, labels=one.labels)
    for labels, number in value.items():
        family.add_metric(list(labels), float(number))
    return family
