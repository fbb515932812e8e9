"""Convert single values strictly: text, numbers, durations, times, choices. Errors say what was expected."""

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
from fpa_core.config.secrets import EnvString, Secret
from fpa_core.exceptions import DataError
from fpa_core.numbers import to_decimal, to_seconds

__all__ = [
    "READERS",
    "ConversionError",
    "ConversionErrors",
    "read_anything",
    "read_choice",
    "read_duration",
    "read_keep",
    "read_lifetime",
    "read_list",
    "read_table",
    "read_text",
]


@attrs.frozen
class ConversionError:
    """An unexpected value; *value* is ``NOTHING`` if it is missing."""

    value: Any
    expected: str
    hint: str | None = None
    path: KeyPath = ()


class ConversionErrors(Exception):  # noqa: N818 - it holds several errors
    """All conversion errors below one value."""

    def __init__(self, *errors: ConversionError) -> None:
        super().__init__(*errors)
        self.errors = list(errors)

    @contextmanager
    def at(self, key: str | int) -> Iterator[None]:
        """Add errors raised in the block, with *key* before their paths."""
        try:
            yield
        except ConversionErrors as found:
            self.errors += [attrs.evolve(error, path=(key, *error.path)) for error in found.errors]

    def check(self) -> None:
        """Raise this exception if there are any errors."""
        if self.errors:
            raise self


def _read(value: Any, wanted: str) -> Any:
    """Return *value*; text from the environment is parsed as a TOML value."""
    if isinstance(value, EnvString):
        try:
            parsed = tomllib.loads(f"value = {value}")
        except (ValueError, RecursionError):
            parsed = {}
        if parsed.keys() != {"value"}:
            raise ConversionErrors(ConversionError(value, wanted))
        return parsed["value"]
    return value


def read_table(value: Any) -> Mapping[str, Any]:
    """Return *value* if it is a table."""
    if not isinstance(value, Mapping):
        raise ConversionErrors(ConversionError(value, "expected a table"))
    return value


def read_list(value: Any) -> list[Any]:
    """Return *value* if it is a list; text from the environment may be a TOML list, or items separated by commas."""
    if isinstance(value, EnvString) and not value.lstrip().startswith("["):
        return [type(value)(part.strip()) for part in value.split(",") if part.strip()]
    items = _read(value, "expected a list")
    if not isinstance(items, list):
        raise ConversionErrors(ConversionError(value, "expected a list"))
    return items


def read_anything(value: Any, _: Any) -> Any:
    """Return *value*, which may be anything."""
    return value


def _boolean(value: Any) -> bool:
    wanted = "expected true or false"
    made = _read(type(value)(value.lower()) if isinstance(value, EnvString) else value, wanted)
    if not isinstance(made, bool):
        raise ConversionErrors(ConversionError(value, wanted))
    return made


def _integer(value: Any) -> int:
    wanted = "expected a whole number"
    made = _read(value, wanted)
    if isinstance(made, bool) or not isinstance(made, int):
        raise ConversionErrors(ConversionError(value, wanted))
    return made


def _float(value: Any) -> float:
    wanted = "expected a number"
    made = _read(value, wanted)
    if isinstance(made, bool) or not isinstance(made, (int, float)):
        raise ConversionErrors(ConversionError(value, wanted))
    try:
        made = float(made)
    except OverflowError:
        made = math.inf
    if not math.isfinite(made):
        raise ConversionErrors(ConversionError(value, "expected a finite number"))
    return made


def read_text(value: Any) -> str:
    """Return *value* if it is text; a secret remains a secret."""
    if not isinstance(value, str):
        raise ConversionErrors(ConversionError(value, "expected text"))
    return value if isinstance(value, Secret) else str(value)


def _decimal(value: Any) -> Decimal:
    try:
        return to_decimal(value)
    except DataError:
        raise ConversionErrors(ConversionError(value, "expected a decimal number", 'write it like "123.45"')) from None


def read_duration(value: Any, _: Any = None) -> float:
    """Return the seconds of a duration."""
    expected = 'expected a duration such as "50ms", "5m" or "1h", or a number of seconds'
    try:
        return to_seconds(value)
    except (DataError, OverflowError):
        if not isinstance(value, EnvString):
            raise ConversionErrors(ConversionError(value, expected)) from None
    try:
        return to_seconds(_read(value, expected))
    except (DataError, OverflowError):
        raise ConversionErrors(ConversionError(value, expected)) from None


def read_lifetime(value: Any, _: Any = None) -> float | None:
    """Return the seconds of a duration, None for ``never``."""
    return _seconds_unless(value, "never", 'such as "50ms" or "5m"')


def read_keep(value: Any, _: Any = None) -> float | None:
    """Return the seconds of a duration, None for ``forever``."""
    return _seconds_unless(value, "forever", 'such as "90d"')


def _seconds_unless(value: Any, endless: str, examples: str) -> float | None:
    """Return the seconds of a duration, None for the word *endless*."""
    if isinstance(value, str) and value.strip().lower() == endless:
        return None
    try:
        return read_duration(value)
    except ConversionErrors:
        expected = f'expected a duration {examples}, a number of seconds, or "{endless}"'
        raise ConversionErrors(ConversionError(value, expected)) from None


def _timedelta(value: Any) -> timedelta:
    try:
        return timedelta(seconds=read_duration(value))
    except OverflowError:
        raise ConversionErrors(ConversionError(value, "expected a shorter duration")) from None


def _moment(kind: type[Any], wanted: str) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        made = _read(value, wanted)
        if type(made) is not kind:
            raise ConversionErrors(ConversionError(value, wanted))
        return made

    return read


def read_choice(value: Any, choices: Mapping[Any, Any]) -> Any:
    """Return the choice that *value* names; strings compare case-insensitively."""
    for choice, made in choices.items():
        if isinstance(choice, str):
            if isinstance(value, str) and value.casefold() == choice.casefold():
                return made
        elif (type(value), value) == (type(choice), choice) or (isinstance(value, EnvString) and value == str(choice)):
            return made
    known = [str(choice) for choice in choices]
    raise ConversionErrors(ConversionError(value, f"expected one of {', '.join(known)}", did_you_mean(value, known)))


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
