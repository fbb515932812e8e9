"""Logging: lines for people or JSON for machines, under the logger ``fpa``, with secrets taken out before anything is written.

Importing this installs nothing. A program that has logging of its own needs :class:`Redaction` alone, on its handlers.
"""

from __future__ import annotations

import logging
import math
import sys
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TextIO

from fpa_core.config import LogFormat, LoggingSection, LogLevel, did_you_mean, redact
from fpa_core.display import displayed, json_text
from fpa_core.exceptions import ConfigError

__all__ = ["JsonFormatter", "Redaction", "TextFormatter", "configure"]

ROOT = "fpa"

_OWN = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})
_DEEPEST = 4
TAB = "\t"


class Redaction(logging.Filter):
    """Takes secrets out of the message, the arguments, the exception and the extra fields of every record.

    :param secrets: texts that must not appear; credentials in URLs and after names such as ``password=`` are found without being listed.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = frozenset(secrets)

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact *record* in place, and let it pass."""
        try:
            message = record.getMessage()
        except Exception as error:  # noqa: BLE001 - a call of a logger never fails, whatever its arguments do
            message = f"{record.msg} (its arguments do not fit: {type(error).__name__})"
        record.msg, record.args = redact(message, self._secrets), ()
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = "".join(traceback.format_exception(record.exc_info[1])).rstrip()
        # Formatters use exc_text when it is there, so the redacted text is what every handler writes.
        record.exc_text = redact(record.exc_text, self._secrets) if record.exc_text else None
        record.stack_info = redact(record.stack_info, self._secrets) if record.stack_info else None
        for name in vars(record).keys() - _OWN:
            setattr(record, name, self._plain(getattr(record, name), _DEEPEST))
        return True

    def _plain(self, value: Any, depth: int) -> Any:
        """Return *value* as JSON-able data without secrets."""
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        if isinstance(value, dict) and depth:
            return {self._text(key): self._plain(item, depth - 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)) and depth:
            return [self._plain(item, depth - 1) for item in value]
        return self._text(value)

    def _text(self, value: Any) -> str:
        try:
            return redact(str(value), self._secrets)
        except Exception as error:  # noqa: BLE001 - as above
            return f"<{type(value).__name__}: {type(error).__name__}>"


class TextFormatter(logging.Formatter):
    """``2024-05-01 14:30:00 WARNING fpa.store: message``, in local time, for people.

    A message is one line, whatever it quotes: control characters are escaped. Lines of a traceback are indented, so that no text within it
    can pass for a line of the log.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is of the standard library
        """Return the line without the traceback."""
        return displayed(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it the traceback if there is one."""
        line, *below = super().format(record).split("\n")
        return "\n".join([line, *(f"  {displayed(each, keep=TAB)}" for each in below)])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``ts`` in UTC, ``level``, ``logger``, ``message``, ``exception`` if any, and the extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {name: value for name, value in vars(record).items() if name not in _OWN}
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        line |= {
            "ts": moment.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_text:
            line["exception"] = record.exc_text
        if record.stack_info:
            line["stack"] = record.stack_info
        first = ("ts", "level", "logger", "message")
        ordered = {name: line[name] for name in (*first, *sorted(line.keys() - set(first)))}
        return json_text(ordered)


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what is the standard error stream now, not what was when logging was set up: tests and tools replace it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # read-only, as in the standard library's own last resort
        return sys.stderr


def configure(
    section: LoggingSection | None = None, level_override: str | None = None, *, secrets: Iterable[str] = ()
) -> None:
    """Set up the logger ``fpa``; calling it again replaces what an earlier call set up.

    :param section: the ``[logging]`` section; None for its defaults.
    :param level_override: a level that wins over the section's, as ``--log-level`` gives.
    :param secrets: texts that must not be written: :attr:`fpa_core.config.Tree.secrets`.
    :raises ConfigError: for a level that is none, or a file that cannot be written.
    """
    section = section or LoggingSection()
    level = _level(level_override) if level_override is not None else section.level
    handlers: list[logging.Handler] = [_StandardError()]
    if section.file is not None:
        try:
            handlers.append(logging.FileHandler(section.file, encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"logging.file: {section.file} cannot be written: {error.strerror}") from None
    root = logging.getLogger(ROOT)
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    redaction = Redaction(secrets)
    for handler in handlers:
        handler.addFilter(redaction)
        handler.setFormatter(JsonFormatter() if section.format is LogFormat.JSON else TextFormatter())
        root.addHandler(handler)
    root.setLevel(level)
    root.propagate = False
    # At DEBUG it writes whole frames, and the first one it sends to a market data feed holds the key.
    frames = logging.getLogger("websockets")
    frames.setLevel(max(logging.INFO, frames.level))


def _level(name: str) -> LogLevel:
    try:
        return LogLevel(name.upper())
    except ValueError:
        raise ConfigError(
            f"unknown log level {name!r}; known: {', '.join(LogLevel)}", hint=did_you_mean(name, LogLevel)
        ) from None
