"""Every setting: its type, its default and, for a number, its safe range.

Knows names and values. Must not know where they are read from, nor which of them contradict each other.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Final, get_type_hints

from msgspec import Meta

from aparte.config.database import Database, database_from

CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "smtp_security": ("starttls", "tls", "none"),
    "log_level": ("debug", "info", "warning", "error"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that an operator can choose. Each field is a TOML key and an environment variable `APARTE_<FIELD>`.

    Units are in the names: `_seconds`, `_bytes`, `_per_10s`; a count has none. `ge` and `le` are the ends of the safe
    range. They are chosen so that no value turns a protection off: a code never outlives ten minutes, nobody stays
    proven longer than two hours, no queue is without an end. They bind what `load` reads, not what a test builds.
    """

    # Where things are kept: three separate places.
    data: Path
    keyring: Path  # the key-ring database file, outside `data`; of no meaning where keyring_url is given
    root_key: Path  # the root key file, 32 bytes, mode 0400, outside `data` and beside no database

    # PostgreSQL instead of SQLite: both addresses or neither, without passwords.
    database_url: str = ""  # empty: a file in `data`
    database_password_file: Path | None = None
    keyring_url: str = ""  # a database of its own
    keyring_password_file: Path | None = None

    # Several nodes, on PostgreSQL.
    node: str = ""  # this node's name in logs and metrics; empty: the host's
    bell_url: str = ""  # Valkey or Redis that carries hints between nodes; empty: PostgreSQL does
    bell_password_file: Path | None = None

    # Where we listen and what we are called.
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8080
    public_url: str = ""  # required beyond loopback; empty: http://<host>:<port>
    panel_url: str = ""  # empty: public_url
    trusted_proxies: tuple[str, ...] = ()  # addresses or CIDR blocks whose forwarding headers are believed

    # E-mail; empty host: no e-mail leaves, and checks by e-mail are not offered.
    smtp_host: str = ""
    smtp_port: Annotated[int, Meta(ge=1, le=65_535)] = 587
    smtp_user: str = ""
    smtp_password_file: Path | None = None
    smtp_security: str = "starttls"  # starttls | tls | none (none only to loopback)
    smtp_timeout_seconds: Annotated[float, Meta(ge=1, le=120)] = 20.0
    mail_from: str = ""

    # Limits. An address stands for its block: what one party is given.
    address_block_ipv4: Annotated[int, Meta(ge=24, le=32)] = 32  # bits of it
    address_block_ipv6: Annotated[int, Meta(ge=48, le=64)] = 56  # what a home is given (RIPE-690)
    messages_per_10s: Annotated[int, Meta(ge=1, le=100_000)] = 30  # per visitor
    address_messages_per_10s: Annotated[int, Meta(ge=1, le=1_000_000)] = 300  # of all visitors at one address
    site_messages_per_10s: Annotated[int, Meta(ge=10, le=1_000_000)] = 5_000  # of all visitors of one site
    node_messages_per_10s: Annotated[int, Meta(ge=10, le=1_000_000)] = 20_000  # of all visitors at this node
    agent_messages_per_10s: Annotated[int, Meta(ge=1, le=100_000)] = 60
    opens_per_minute: Annotated[int, Meta(ge=1, le=100_000)] = 10  # new conversations from one address
    site_opens_per_minute: Annotated[int, Meta(ge=1, le=100_000)] = 600
    node_opens_per_minute: Annotated[int, Meta(ge=1, le=100_000)] = 2_000
    typing_per_10s: Annotated[int, Meta(ge=1, le=1_000)] = 10  # per person; what is beyond is not shown
    reads_per_10s: Annotated[int, Meta(ge=10, le=100_000)] = 100  # histories and the like per person; then they wait
    frames_per_10s: Annotated[int, Meta(ge=10, le=1_000_000)] = 200  # per socket, of any kind
    connections_total: Annotated[int, Meta(ge=10, le=250_000)] = 22_000  # sockets included
    request_seconds: Annotated[float, Meta(ge=2, le=120)] = 20.0  # for a whole request to come
    sockets_per_address: Annotated[int, Meta(ge=1, le=100_000)] = 40
    sockets_per_minute: Annotated[int, Meta(ge=1, le=1_000_000)] = 240  # new ones from one address
    sockets_unauthenticated: Annotated[int, Meta(ge=1, le=100_000)] = 500
    sockets_total: Annotated[int, Meta(ge=1, le=200_000)] = 20_000
    logins_per_minute: Annotated[int, Meta(ge=1, le=600)] = 10  # per address; 20 times as many per account
    login_queue: Annotated[int, Meta(ge=2, le=200)] = 16  # log-ins waiting for one of two threads
    hello_seconds: Annotated[float, Meta(ge=1, le=30)] = 5.0
    outbox_events: Annotated[int, Meta(ge=16, le=4_096)] = 256  # queued frames per socket before it is ended
    outbox_bytes: Annotated[int, Meta(ge=128 << 10, le=16 << 20)] = 1 << 20
    stalled_seconds: Annotated[float, Meta(ge=0.5, le=30)] = (
        2.0  # a peer that takes nothing for so long after overflow is aborted
    )
    write_queue: Annotated[int, Meta(ge=100, le=1_000_000)] = (
        10_000  # operations waiting for the writer before posts are refused
    )
    write_queue_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 30)] = 32 << 20  # of the messages among them
    write_batch: Annotated[int, Meta(ge=1, le=1_000)] = 200  # operations in one commit

    # Sessions and checks.
    session_idle_seconds: Annotated[int, Meta(ge=300, le=24 * 3600)] = 12 * 3600  # agents
    session_seconds: Annotated[int, Meta(ge=900, le=30 * 24 * 3600)] = 7 * 24 * 3600
    code_seconds: Annotated[int, Meta(ge=60, le=600)] = 600
    code_tries: Annotated[int, Meta(ge=1, le=5)] = 5
    code_sends: Annotated[int, Meta(ge=1, le=5)] = 3
    code_sends_seconds: Annotated[int, Meta(ge=300, le=86_400)] = 900
    assurance_idle_seconds: Annotated[int, Meta(ge=60, le=1_800)] = 1800
    assurance_seconds: Annotated[int, Meta(ge=60, le=7_200)] = 7200
    breaker_failures: Annotated[int, Meta(ge=5, le=1_000)] = (
        50  # wrong codes in breaker_seconds, all sites together, that pause codes
    )
    breaker_seconds: Annotated[int, Meta(ge=60, le=3_600)] = 300
    record_tries_per_day: Annotated[int, Meta(ge=5, le=100)] = (
        25  # codes tried per record; beyond it none counts that day, and telephone and desk stay open to its owner
    )
    record_sends_per_day: Annotated[int, Meta(ge=1, le=50)] = (
        6  # per record; beyond it sends slow down and an alarm is raised
    )

    # Records connector.
    records_timeout_seconds: Annotated[float, Meta(ge=0.5, le=60)] = 8.0

    # Keeping and logging.
    retention_days: Annotated[int, Meta(ge=1, le=3_650)] = 180
    log_level: str = "info"
    metrics_token_file: Path | None = None  # none: there are no metrics to be had

    def database(self) -> Path | Database:
        """Where the data are: a file, or a database of a server."""
        if self.database_url:
            return database_from(self.database_url, self.database_password_file)
        return self.data / "aparte.db"

    def ring(self) -> Path | Database:
        """Where the key ring is."""
        if self.keyring_url:
            return database_from(self.keyring_url, self.keyring_password_file)
        return self.keyring

    def node_name(self) -> str:
        """This node's name in logs and metrics."""
        return self.node or os.uname().nodename

    def addressed(self) -> tuple[str, str]:
        """The origins of the chat host and of the panel, without a trailing slash."""
        public = self.public_url or f"http://{self.host}:{self.port}"
        return public.rstrip("/"), (self.panel_url or public).rstrip("/")


@cache
def ranges() -> dict[str, tuple[float, float]]:
    """The safe range of each setting that is a number, both ends included."""
    hints = get_type_hints(Settings, include_extras=True)
    found = {}
    for field in fields(Settings):
        for note in getattr(hints[field.name], "__metadata__", ()):
            found[field.name] = (note.ge, note.le)
    return found
