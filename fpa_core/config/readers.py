"""Reading one value: text, numbers, durations, moments, choices; each strictly, and saying what it expected."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import attrs

from fpa_core.config.problems import KeyPath, did_you_mean
from fpa_core.config.secrets import Lexical, Secret
from fpa_core.exceptions import DataError
from fpa_core.numbers import to_decimal, to_seconds

__all__ = [
    "READERS",
    "Fault",
    "Faults",
    "read_anything",
    "read_choice",
    "read_duration",
    "read_lifetime",
    "read_list",
    "read_table",
    "read_text",
]


@attrs.frozen
class Fault:
    """A value that is not what its place needs; *value* is ``NOTHING`` when it is missing."""

    value: Any
    expected: str
    hint: str | None = None
    path: KeyPath = ()


class Faults(Exception):  # noqa: N818 - several of them are not an error's name
    """All faults below one value."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(*faults)
        self.faults = list(faults)

    @contextmanager
    def at(self, key: str | int) -> Iterator[None]:
        """Take over faults of the block, as faults below *key*."""
        try:
            yield
        except Faults as found:
            self.faults += [attrs.evolve(fault, path=(key, *fault.path)) for fault in found.faults]

    def check(self) -> None:
        """Raise this if there are any faults."""
        if self.faults:
            raise self


def _read(value: Any, wanted: str) -> Any:
    """Return *value*, and text from the environment as the TOML value that it spells."""
    if isinstance(value, Lexical):
        try:
            parsed = tomllib.loads(f"value = {value}")
        except (ValueError, RecursionError):
            parsed = {}
        if parsed.keys() != {"value"}:
            raise Faults(Fault(value, wanted))
        return parsed["value"]
    return value


def read_table(value: Any) -> Mapping[str, Any]:
    """Return *value* if it is a table."""
    if not isinstance(value, Mapping):
        raise Faults(Fault(value, "expected a table"))
    return value


def read_list(value: Any) -> list[Any]:
    """Return *value* if it is a list; text from the environment is one in brackets, or with commas between its items."""
    if isinstance(value, Lexical) and not value.lstrip().startswith("["):
        return [type(value)(part.strip()) for part in value.split(",") if part.strip()]
    items = _read(value, "expected a list")
    if not isinstance(items, list):
        raise Faults(Fault(value, "expected a list"))
    return items


def read_anything(value: Any, _: Any) -> Any:
    """Return *value*, which may be anything."""
    return value


def _boolean(value: Any) -> bool:
    wanted = "expected true or false"
    made = _read(type(value)(value.lower()) if isinstance(value, Lexical) else value, wanted)
    if not isinstance(made, bool):
        raise Faults(Fault(value, wanted))
    return made


def _integer(value: Any) -> int:
    wanted = "expected a whole number"
    made = _read(value, wanted)
    if isinstance(made, bool) or not isinstance(made, int):
        raise Faults(Fault(value, wanted))
    return made


def _float(value: Any) -> float:
    wanted = "expected a number"
    made = _read(value, wanted)
    if isinstance(made, bool) or not isinstance(made, (int, float)):
        raise Faults(Fault(value, wanted))
    try:
        made = float(made)
    except OverflowError:
        made = math.inf
    if not math.isfinite(made):
        raise Faults(Fault(value, "expected a finite number"))
    return made


def read_text(value: Any) -> str:
    """Return *value* if it is text; a secret stays one."""
    if not isinstance(value, str):
        raise Faults(Fault(value, "expected text"))
    return value if isinstance(value, Secret) else str(value)


def _decimal(value: Any) -> Decimal:
    try:
        return to_decimal(value)
    except DataError:
        raise Faults(Fault(value, "expected a decimal number", 'write it like "123.45"')) from None


def read_duration(value: Any, _: Any = None) -> float:
    """Return the seconds of a duration."""
    expected = 'expected a duration such as "50ms", "5m" or "1h", or a number of seconds'
    try:
        return to_seconds(value)
    except (DataError, OverflowError):
        if not isinstance(value, Lexical):
            raise Faults(Fault(value, expected)) from None
    try:
        return to_seconds(_read(value, expected))
    except (DataError, OverflowError):
        raise Faults(Fault(value, expected)) from None


def read_lifetime(value: Any, _: Any = None) -> float | None:
    """Return the seconds of a duration, None for ``never``."""
    if isinstance(value, str) and value.strip().lower() == "never":
        return None
    try:
        return read_duration(value)
    except Faults:
        raise Faults(
            Fault(value, 'expected a duration such as "50ms" or "5m", a number of seconds, or "never"')
        ) from None


def _timedelta(value: Any) -> timedelta:
    try:
        return timedelta(seconds=read_duration(value))
    except OverflowError:
        raise Faults(Fault(value, "expected a shorter duration")) from None


def _moment(kind: type[Any], wanted: str) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        made = _read(value, wanted)
        if type(made) is not kind:
            raise Faults(Fault(value, wanted))
        return made

    return read


def read_choice(value: Any, choices: Mapping[Any, Any]) -> Any:
    """Return the choice that *value* names; words are told apart by their letters, not by their case."""
    for choice, made in choices.items():
        if isinstance(choice, str):
            if isinstance(value, str) and value.casefold() == choice.casefold():
                return made
        elif (type(value), value) == (type(choice), choice) or (isinstance(value, Lexical) and value == str(choice)):
            return made
    known = [str(choice) for choice in choices]
    raise Faults(Fault(value, f"expected one of {', '.join(known)}", did_you_mean(value, known)))


READERS: dict[type[Any], Callable[[Any], Any]] = {
    bool: _boolean,
    int: _integer,
    float: _float,
    str: read_text,
    Decimal: _decimal,
    timedelta: _timedelta,
    datetime: _moment(datetime, "expected a date and time"),
    date: _moment(date, "expected a date"),
    time: _moment(time, "expected a time of day"),
}
