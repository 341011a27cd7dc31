"""The log: what passes, and what never does."""

from __future__ import annotations

import ast
import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from aparte import logs

LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
CANARY = "Dupont-4111111111111111-m.dupont@example.org"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the log goes during the test; the process's own logging is put back afterwards."""
    root = logging.getLogger()
    kept = root.handlers[:], root.level, logging.raiseExceptions
    hooks = sys.excepthook, sys.unraisablehook
    logs.dropped.clear()
    buffer = io.StringIO()
    logs.configure("debug", buffer)
    yield buffer
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level, logging.raiseExceptions = kept
    sys.excepthook, sys.unraisablehook = hooks
    logging.getLogger("uvicorn.access").disabled = False
    for name in ("uvicorn", "websockets"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    assert "Dupont" not in stream.getvalue()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_it_writes_one_json_object_per_line(stream: io.StringIO) -> None:
    logging.getLogger("aparte.writer").warning("batch of %d took %.1f s\nin\tall", 3, 0.25)
    assert stream.getvalue().count("\n") == 1
    (line,) = lines(stream)
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "warning", "logger": "aparte.writer", "event": "batch of 3 took 0.2 s\nin\tall"}


@pytest.mark.parametrize(("name", "shown"), [("chat-1.example", "chat-1.example"), ("Dupont's own", "…")])
def test_each_line_bears_the_nodes_name_where_it_looks_like_one(stream: io.StringIO, name: str, shown: str) -> None:
    logs.configure("debug", stream, node=name)
    logging.getLogger("aparte.x").info("claimed")
    logging.getLogger("uvicorn.error").warning("something of a package's")
    structlog.get_logger("aparte.x").info("rung", node="another")  # a field of the line's own goes before
    assert [line["node"] for line in lines(stream)] == [shown, shown, "another"]


def test_it_keeps_ids_and_leaves_out_what_is_none(stream: io.StringIO) -> None:
    logging.getLogger("aparte.x").info("claimed", extra={"conversation": "c-1", "site": "M. Dupont", "text": CANARY})
    structlog.get_logger("aparte.x").info("claimed", conversation="c-1", site="M. Dupont", name=CANARY, rows=2)
    first, second = lines(stream)
    assert (first["conversation"], first["site"]) == ("c-1", "…")
    assert (second["conversation"], second["site"], second["rows"]) == ("c-1", "…", 2)
    assert not {"text", "name"} & (first.keys() | second.keys())


@pytest.mark.parametrize(
    "given", ["m.dupont@example.org", "4111 1111 1111 1111", "4111111111111111", "+31 20 123 45 67"]
)
def test_it_takes_addresses_and_long_numbers_out_of_a_sentence(stream: io.StringIO, given: str) -> None:
    logging.getLogger("aparte.x").info(f"cannot send to {given}")  # noqa: G004 - the mistake that this is about
    (line,) = lines(stream)
    assert line["event"].startswith("cannot send to ")
    assert not any(part in line["event"] for part in ("dupont", "1111", "123"))


def test_it_never_tells_an_exceptions_message(stream: io.StringIO) -> None:
    try:
        try:
            raise ValueError(CANARY)
        except ValueError as error:
            raise KeyError(CANARY) from error
    except KeyError:
        logging.getLogger("aparte.x").exception("failed")
        structlog.get_logger("aparte.x").exception("failed")
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    found = lines(stream)
    assert len(found) == 3
    for line in found:
        assert (line["error"], line["causes"]) == ("KeyError", ["ValueError"])
        assert line["trace"][-1].startswith("test_logs.py:")


def test_it_fills_nothing_but_numbers_into_a_packages_sentence(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("Uvicorn running on %s://%s:%d", "http", "127.0.0.1", 8080)
    logging.getLogger("asyncio").error(f"Task exception was never retrieved\nfuture: <Task {CANARY}>")  # noqa: G004 - as asyncio does
    logging.getLogger("other").error("bad value %(value)s", {"value": CANARY})
    logging.getLogger("other").error("bad count %d", CANARY)
    assert [line["event"] for line in lines(stream)] == [
        "Uvicorn running on …://…:8080",
        "Task exception was never retrieved",
        "bad value",
        "bad count %d",
    ]


def test_it_keeps_out_the_url_of_a_socket(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info('%s - "WebSocket %s" [accepted]', "192.0.2.7:1", f"/ws?token={CANARY}")
    logging.getLogger("uvicorn.error").info('%s - "WebSocket %s" %d', "192.0.2.7:1", f"/ws?token={CANARY}", 403)
    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d', "192.0.2.7:1", "GET", f"/x?{CANARY}", "1.1", 200
    )
    assert lines(stream) == []


def test_it_keeps_out_the_traceback_of_invalid_utf8_and_counts_it(stream: io.StringIO) -> None:
    try:
        b"\xff".decode()
    except UnicodeDecodeError:
        logging.getLogger("uvicorn.error").exception("Invalid UTF-8 sequence received from client.")
        logging.getLogger("uvicorn.error").exception("parser failed")
    assert lines(stream) == []
    assert logs.dropped == {"invalid_utf8": 2}


@pytest.mark.parametrize("name", ["uvicorn.error", "websockets.server", "httpx2", "mail.log", "sqlalchemy.engine"])
def test_it_keeps_out_what_packages_say_of_their_work(stream: io.StringIO, name: str) -> None:
    logging.getLogger(name).debug("< TEXT 'M. Dupont'")
    assert logging.getLogger("aparte").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("uvicorn.error").isEnabledFor(logging.DEBUG)
    assert lines(stream) == []


def test_it_names_a_warning_without_its_words(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn(CANARY, RuntimeWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    (line,) = lines(stream)
    assert line["error"] == "RuntimeWarning"
    assert line["trace"][0].startswith("test_logs.py:")


def test_it_says_where_an_uncaught_error_was_and_not_what_it_held() -> None:
    program = f"from aparte import logs; logs.configure('info')\nname = {CANARY!r}\nraise ValueError(name)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    line = json.loads(ended.stderr)
    assert (line["level"], line["error"]) == ("critical", "ValueError")
    assert "Dupont" not in ended.stderr


def test_it_stays_silent_when_a_line_cannot_be_written() -> None:
    program = (
        "import logging, os\nfrom aparte import logs\nlogs.configure('info', os.fdopen(os.open('/dev/full', os.O_WRONLY), 'w', 1))\n"
        f"logging.getLogger('aparte').info({CANARY!r})"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "Dupont" not in ended.stderr


def test_it_does_not_load_what_the_log_has_no_use_for() -> None:
    program = "import sys; from aparte import logs; print('rich' in sys.modules); import rich"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"


def said(tree: ast.AST) -> Iterator[str]:
    """The fields of each call such as `log.warning("…", code=…)`."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ) and (node.func.value.id in ("log", "_log") and node.func.attr in LEVELS):
            yield from (word.arg for word in node.keywords if word.arg)


def test_every_field_that_is_logged_passes() -> None:
    """One that is not named is left out without a word, and is missed on the day when it is needed."""
    files = list(Path(logs.__file__).parent.rglob("*.py"))
    found = {word for path in files for word in said(ast.parse(path.read_text("utf-8")))}
    assert {"error", "row", "seconds"} <= found
    assert found <= logs.FIELDS | {"exc_info"}
