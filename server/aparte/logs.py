"""The log: one JSON object per line on standard error, with ids and numbers and nothing that a person wrote or is.

Knows how a record becomes a line, and which words of other people's packages may not pass. Must not know the store, the
web or a setting; the level comes in as an argument.

What passes: our own constant sentences; numbers; the fields of `FIELDS`, when their values look like ids. What never
passes: an exception's message (a database's quotes the row, a decoder's quotes the text), a frame's content, an
address with its query, local variables.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TextIO

import msgspec

# structlog looks for rich at import, for a console that this log does not have: a twentieth of a second at each start.
_absent = "rich" not in sys.modules
if _absent:
    sys.modules["rich"] = None  # type: ignore[assignment]  # the documented way to make an import fail
try:
    import structlog
finally:
    if _absent:
        del sys.modules["rich"]

# What a line may say beside its sentence. A value that is not a number must look like an id.
FIELDS: Final = frozenset(
    {
        "agent", "attempts", "bytes", "chat", "check", "code", "connections", "conversation", "count", "error", "files", "host", "kind", "method", "migration",
        "node", "panel", "pid", "port", "queue", "role", "route", "row", "rows", "seconds", "seq", "session", "setting", "signal",
        "site", "sockets", "state", "status", "step", "topic", "version", "visitor", "waiting", "wanted",
    }
)  # fmt: skip
LEFT_OUT: Final = "…"

_ID: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,64}\Z")
_PLACES: Final = ("chat", "panel")
_OURS: Final = re.compile(r"https?://[A-Za-z0-9_.:\[\]-]{1,255}(?:/panel)?\Z")  # an address that the operator has set
_FRAMES: Final = 12  # innermost frames of a traceback
_SENTENCE: Final = 200  # characters
# In a sentence that was put together by hand: addresses, and runs of digits that could be a number of somebody's.
_PERSONAL: Final = re.compile(r"[^\s<>\"'@]{1,64}@[^\s<>\"'@]{1,190}|[0-9][0-9 .-]{4,64}[0-9]|[0-9]{5,64}")
# Where a foreign sentence may begin to quote: a value's repr, an address, a second line.
_QUOTING: Final = re.compile(r"[\n<\"'`]|https?:|wss?:")
_WARNING: Final = re.compile(r"(?:.*/)?([^/\n]{1,80}:[0-9]{1,6}): (\w{1,64}): ")

KINDS: Final = ("invalid_utf8",)
dropped: Final[Counter[str]] = Counter()
"""How many lines of each of the `KINDS` were kept out of the log since the start."""


def configure(level: str, stream: TextIO | None = None, *, node: str = "") -> None:
    """Send everything that is logged by this process, ours or a package's, through the one filter.

    Args: level: a value of the setting log_level; stream: where lines go, standard error when None; node: this node's
    name, which each line then bears.
    uvicorn must be told `log_config=None, access_log=False`, or it replaces this.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.addFilter(_may_pass)
    handler.setFormatter(_Formatter(node))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in ("uvicorn", "websockets"):
        # Below it they would spell out every frame and every address, for the filter to throw away.
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    # A handler that cannot write would print the record, with its arguments, to standard error.
    logging.raiseExceptions = False
    logging.captureWarnings(capture=True)
    logging.getLogger("uvicorn.access").disabled = True
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, _known_fields, structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    sys.excepthook = _on_exception
    threading.excepthook = lambda args: _on_exception(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _on_exception(args.exc_type, args.exc_value, args.exc_traceback)


def _known_fields(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drops what would be left out anyway: a field named like one of logging's own would be an error there."""
    return {key: value for key, value in event.items() if key in FIELDS or key in ("event", "exc_info")}


def _on_exception(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    logging.getLogger("aparte").critical("an error was not caught", exc_info=(kind, error or kind(), trace))


def _may_pass(record: logging.LogRecord) -> bool:
    """Whether a record reaches the log. Counts what uvicorn and websockets say too much of."""
    if record.name.partition(".")[0] == "aparte":
        return True
    message = record.msg if isinstance(record.msg, str) else ""
    if message.startswith(("Invalid UTF-8", "data frame with invalid UTF-8")) or _is_invalid_utf8(record):
        dropped["invalid_utf8"] += 1
        return False
    # Below a warning packages talk of their own work: frames, requests with their addresses, mail dialogues.
    return record.levelno >= logging.WARNING


def _is_invalid_utf8(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return record.msg == "parser failed" and isinstance(error, UnicodeDecodeError)


class _Formatter(logging.Formatter):
    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = {"node": _value(node)} if node else {}

    def format(self, record: logging.LogRecord) -> str:
        """One line. Only what is safe is carried over: what nobody thought of is left out."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **self._node,
            "logger": record.name,
            "event": _PERSONAL.sub(LEFT_OUT, _sentence(record)[:_SENTENCE].strip()),
        }
        line |= {key: _value(value) for key, value in vars(record).items() if key in FIELDS}
        line |= {key: value for key in _PLACES if _OURS.match(str(value := vars(record).get(key)))}
        if record.name == "py.warnings":
            line |= _warning(record)
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line |= _told(error)
        return msgspec.json.encode(line).decode()


def _sentence(record: logging.LogRecord) -> str:
    """The constant part of what was logged, with numbers filled in."""
    is_ours = record.name.partition(".")[0] == "aparte"
    template = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
    if not record.args:
        return template if is_ours else _QUOTING.split(template, maxsplit=1)[0]
    if isinstance(record.args, Mapping):
        return template.split("%(", maxsplit=1)[0]
    try:
        return template % tuple(_argument(value, is_ours=is_ours) for value in record.args)
    except (TypeError, ValueError):  # a template for numbers only, or with more places than arguments
        return template


def _warning(record: logging.LogRecord) -> dict[str, Any]:
    found = _WARNING.match(record.getMessage())
    what = {"error": found[2], "trace": [found[1]]} if found else {}
    return {"event": "a warning of Python", **what}


def _argument(value: object, *, is_ours: bool) -> object:
    if isinstance(value, int | float):
        return value
    return value if is_ours and isinstance(value, str) and _ID.match(value) else LEFT_OUT


def _value(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value if not isinstance(value, int) or value.bit_length() < 64 else LEFT_OUT
    text = str(value)
    return text if _ID.match(text) else LEFT_OUT


def _told(error: BaseException) -> dict[str, Any]:
    """The classes of an error and of what it came from, and where. Never its message, nor a local variable."""
    names: list[str] = []
    source: BaseException | None = error
    while source is not None and len(names) < 5:
        names.append(type(source).__name__)
        source = source.__cause__ or source.__context__
    trace = [
        f"{frame.f_code.co_filename.rpartition('/')[2]}:{number} {frame.f_code.co_name}"
        for frame, number in traceback.walk_tb(error.__traceback__)
    ]
    return {"error": names[0], "causes": names[1:], "trace": trace[-_FRAMES:]}
