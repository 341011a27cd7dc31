"""The settings: environment and one TOML file become one frozen `Settings`.

Knows every setting, its default and what makes it wrong. Must not open the store, the key ring or a socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that an operator can choose. Each field is a TOML key and an environment variable `APARTE_<FIELD>`.

    Units are in the names: `_seconds`, `_bytes`, `_per_10s`; a count has none.
    """

    # Where things are kept: three separate places.
    data: Path
    keyring: Path  # the key-ring database file, outside `data`
    root_key: Path  # the root key file, 32 bytes, mode 0400, outside `data` and beside no database

    # Where we listen and what we are called.
    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str = ""  # required beyond loopback; empty: http://<host>:<port>
    panel_url: str = ""  # empty: public_url
    trusted_proxies: tuple[str, ...] = ()  # addresses or CIDR blocks whose forwarding headers are believed

    # E-mail; empty host: no e-mail leaves, and checks by e-mail are not offered.
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_user: str = ""
    smtp_password_file: Path | None = None
    smtp_security: str = "starttls"  # starttls | tls | none (none only to loopback)
    smtp_timeout_seconds: float = 20.0
    mail_from: str = ""

    # Limits.
    messages_per_10s: int = 30  # per visitor
    agent_messages_per_10s: int = 60
    frames_per_10s: int = 200  # per socket, of any kind
    sockets_per_address: int = 40
    sockets_unauthenticated: int = 500
    sockets_total: int = 20_000
    logins_per_minute: int = 10  # per address and per e-mail address
    hello_seconds: float = 5.0
    outbox_events: int = 256  # queued frames per socket before it is ended
    outbox_bytes: int = 1 << 20
    stalled_seconds: float = 2.0  # a peer that takes nothing for so long after overflow is aborted
    write_queue: int = 10_000  # operations waiting for the writer before posts are refused
    write_batch: int = 200  # operations in one commit

    # Sessions and checks.
    session_idle_seconds: int = 12 * 3600  # agents
    session_seconds: int = 7 * 24 * 3600
    code_seconds: int = 600
    code_tries: int = 5
    code_sends: int = 3
    code_sends_seconds: int = 900
    assurance_idle_seconds: int = 1800
    assurance_seconds: int = 7200
    breaker_failures: int = 50  # wrong codes in breaker_seconds, all sites together, that pause codes
    breaker_seconds: int = 300
    record_sends_per_day: int = 6  # per record; beyond it sends slow down and an alarm is raised

    # Records connector.
    records_timeout_seconds: float = 8.0

    # Keeping and logging.
    retention_days: int = 180
    log_level: str = "info"

    def addressed(self) -> tuple[str, str]:
        """The origins of the chat host and of the panel, without a trailing slash."""
        public = self.public_url or f"http://{self.host}:{self.port}"
        return public.rstrip("/"), (self.panel_url or public).rstrip("/")
