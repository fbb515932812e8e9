"""Logging as text lines or JSON, under the logger ``fpa``, with secrets redacted.

Importing this module installs no handlers. A program with its own logging only needs :class:`Redaction` on its handlers.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from fpa_core.config import LogFormat, LoggingSection, LogLevel, did_you_mean, redact
from fpa_core.display import displayed, json_text
from fpa_core.exceptions import ConfigError
from fpa_core.outputs import append_to

__all__ = ["JsonFormatter", "Redaction", "TextFormatter", "configure"]

ROOT = "fpa"

_OWN = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})
_DEEPEST = 4
TAB = "\t"


class Redaction(logging.Filter):
    """Redacts secrets in the message, the arguments, the exception and the extra fields of every record.

    :param secrets: texts to redact; credentials in URLs and after names such as ``password=`` are always redacted.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = frozenset(secrets)

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact *record* in place, and return True."""
        try:
            message = record.getMessage()
        except Exception as error:  # noqa: BLE001 - logging must not raise, whatever the arguments
            message = f"{record.msg} (its arguments do not fit: {type(error).__name__})"
        record.msg, record.args = redact(message, self._secrets), ()
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = "".join(traceback.format_exception(record.exc_info[1])).rstrip()
        # Formatters use exc_text if it is set, so every handler writes the redacted text.
        record.exc_text = redact(record.exc_text, self._secrets) if record.exc_text else None
        record.stack_info = redact(record.stack_info, self._secrets) if record.stack_info else None
        for name in vars(record).keys() - _OWN:
            setattr(record, name, self._plain(getattr(record, name), _DEEPEST))
        return True

    def _plain(self, value: Any, depth: int) -> Any:
        """Return *value* as JSON-compatible data without secrets."""
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
    """``2024-05-01 14:30:00 WARNING fpa.store: message``, in local time.

    A message is one line, since control characters are escaped. Lines of a traceback are indented, so that they cannot look like messages.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is given by the standard library
        """Return the line without the traceback."""
        return displayed(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it the traceback if there is one."""
        line, *below = super().format(record).split("\n")
        return "\n".join([line, *(f"  {displayed(each, keep=TAB)}" for each in below)])


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ``ts`` in UTC, ``level``, ``logger``, ``message``, ``exception`` if any, and the extra fields."""

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
    """Writes to the current standard error stream, even if it was replaced after logging was configured."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # read-only, as in the last-resort handler of the standard library
        return sys.stderr


class _PrivateFile(logging.FileHandler):
    """Appends to a file that only its owner may read; a link is not followed, since it could lead to another file."""

    _told = False

    def _open(self) -> TextIO:  # type: ignore[override]  # the standard library promises a wrapper, and uses a text file
        descriptor = append_to(Path(self.baseFilename))
        return open(descriptor, "a", encoding=self.encoding, errors=self.errors)  # noqa: PTH123 - it is a descriptor

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        """Report once that lines cannot be written, as on a full disk, and go on; standard error has them, too."""
        del record
        if not self._told:
            self._told = True
            with contextlib.suppress(OSError):
                sys.stderr.write(
                    f"fpa: the log file {displayed(self.baseFilename)} cannot be written: {sys.exc_info()[1]}\n"
                )


def configure(
    section: LoggingSection | None = None, level_override: str | None = None, *, secrets: Iterable[str] = ()
) -> None:
    """Configure the logger ``fpa``, replacing an earlier configuration.

    :param section: the ``[logging]`` section; None for the defaults.
    :param level_override: a level that overrides that of the section, from ``--log-level``; None for that of the section.
    :param secrets: texts to redact: :attr:`fpa_core.config.Tree.secrets`.
    :raises ConfigError: if the level is unknown, or the file cannot be written.
    """
    section = section or LoggingSection()
    level = _level(level_override) if level_override is not None else section.level
    handlers: list[logging.Handler] = [_StandardError()]
    if section.file is not None:
        try:
            handlers.append(_PrivateFile(section.file, encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"logging.file: {section.file} cannot be written: {error.strerror}") from None
    root = logging.getLogger(ROOT)
    for handler in list(root.handlers):
        root.removeHandler(handler)
        with contextlib.suppress(OSError):  # what a full disk did not take has been told
            handler.close()
    redaction = Redaction(secrets)
    for handler in handlers:
        handler.addFilter(redaction)
        handler.setFormatter(JsonFormatter() if section.format is LogFormat.JSON else TextFormatter())
        root.addHandler(handler)
    root.setLevel(level)
    root.propagate = False
    # At DEBUG websockets logs whole frames, and the first frame sent to a market data feed contains the key.
    frames = logging.getLogger("websockets")
    frames.setLevel(max(logging.INFO, frames.level))


def _level(name: str) -> LogLevel:
    try:
        return LogLevel(name.upper())
    except ValueError:
        raise ConfigError(
            f"unknown log level {name!r}; known: {', '.join(LogLevel)}", hint=did_you_mean(name, LogLevel)
        ) from None
