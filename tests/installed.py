"""Runs an installed Aparté as a program of its own and asks whether it is well."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS_TO_START = 30
SECONDS_TO_END = 30  # the product's own promise is 25


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def bare_environment(**variables: str) -> dict[str, str]:
    """An environment with nothing of this process's own in it but the way to commands and to package indexes."""
    kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith(("PIP_", "SSL_"))}
    return {**kept, **variables}


def get(address: str) -> tuple[int, bytes]:
    """The status and body that an address answers with."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@contextmanager
def served(
    command: list[str | Path], environment: Mapping[str, str], port: int, log: Path, **options: Any
) -> Iterator[str]:
    """Runs a server until the block ends; yields its address once /healthz answers 200.

    Args: log gets what the server prints; options go to Popen. Fails when it does not start or does not end in time.
    """
    address = f"http://127.0.0.1:{port}"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT, **options)
    try:
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            assert process.poll() is None, f"the server ended: {log.read_text()}"
            try:
                if get(f"{address}/healthz")[0] == 200:
                    break
            except OSError:
                pass  # not listening yet
            assert time.monotonic() < deadline, f"no health within {SECONDS_TO_START} s: {log.read_text()}"
            time.sleep(0.05)
        yield address
        process.terminate()
        status = process.wait(SECONDS_TO_END)
        # The ASGI server ends by raising the signal again after a clean stop.
        assert status in {0, -signal.SIGTERM}, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
