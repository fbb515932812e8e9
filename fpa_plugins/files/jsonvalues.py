"""Iterate over the values of a JSON text, or of the equivalent Python objects.

Numbers stay the text they are written as, so that no digit is lost.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from fpa_core.exceptions import DataError
from fpa_plugins.files.stream import Stream

__all__ = ["DECODER", "MAX_ELEMENT", "Fraction", "Scanner", "Values", "plain"]

MAX_ELEMENT = 16 * 1024 * 1024
"""Longest object or array that is one row."""

_SPACE = re.compile(r"[ \t\r\n\ufeff]*")


class Fraction(str):
    """A JSON number that is not written as a whole one."""

    __slots__ = ()


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate name")
    return members


def _constant(text: str) -> str | None:
    return None if text == "NaN" else text


DECODER = json.JSONDecoder(parse_float=Fraction, parse_int=str, parse_constant=_constant, object_pairs_hook=_members)


def plain(value: Any) -> Any:
    """Return a Python value as JSON would hold it: numbers by their shortest text, NaN and other missing values as None."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, datetime):  # pandas' times are datetimes, and NaT is one that does not equal itself
        return None if value != value else value.isoformat()  # noqa: PLR0124
    return str(value) if isinstance(value, int) else _plain_number(value)


def _plain_number(value: Any) -> str | None:
    """Return a number, or any other value, as text; None for a missing value."""
    if isinstance(value, Decimal):
        return None if value.is_nan() else Fraction(str(value))
    text = repr(value) if type(value) is float else str(value)
    if text in {"nan", "NaT", "<NA>"}:
        return None
    return Fraction(text) if isinstance(value, float) or (hasattr(value, "dtype") and "." in text) else text


class Scanner:
    """Reads the values of a JSON text one after the other, with no more of it in memory than the one at hand."""

    def __init__(self, stream: Stream) -> None:
        self.name = stream.name
        self.columns: dict[str, list[Any]] = {}
        self._blocks = stream.blocks(1 << 18)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._place = 0
        self._ended = False

    def peek(self) -> str:
        """Return the next non-space character; an empty string at the end."""
        while True:
            match = _SPACE.match(self._text, self._place)
            self._place = match.end() if match else self._place
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._more():
                return ""

    def skip(self, mark: str) -> bool:
        """Pass over *mark* if it is next, and return whether it was."""
        if self.peek() != mark:
            return False
        self._place += 1
        return True

    def decode(self) -> Any:
        """Return the next value whole."""
        self.peek()
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._place)
            except RecursionError:
                raise self._wrong("it is nested too deeply") from None
            except ValueError as error:
                if not self._more():
                    raise self._wrong(str(error)) from None
                continue
            # What ends where the text at hand does may go on, as a number.
            if end == len(self._text) and self._more():
                continue
            self._place = end
            return value

    def members(self) -> Iterator[str]:
        """Yield the names of an object's members; the value of each is to be read before the next."""
        self._expect("{")
        if self.skip("}"):
            return
        while True:
            if self.peek() != '"':
                raise self._wrong("expected the name of a member")
            name = self.decode()
            self._expect(":")
            yield name
            if self.skip("}"):
                return
            self._expect(",")

    def elements(self) -> Iterator[None]:
        """Go through the elements of an array; each is to be read before the next."""
        self._expect("[")
        if self.skip("]"):
            return
        while True:
            yield
            if self.skip("]"):
                return
            self._expect(",")
            if self.skip("]"):  # a comma behind the last
                return

    def _expect(self, mark: str) -> None:
        if not self.skip(mark):
            raise self._wrong(f"expected {mark!r}, not {self.peek()!r}" if self.peek() else "it is cut off")

    def _more(self) -> bool:
        if self._ended:
            return False
        if len(self._text) - self._place > MAX_ELEMENT:
            raise self._wrong(f"a value is longer than {MAX_ELEMENT:,} characters")
        # Twice as much each time, so that a long value is not tried too often.
        wanted = max(1 << 18, len(self._text) - self._place)
        parts = [self._text[self._place :]]
        self._place = 0
        while wanted > 0:
            block = next(self._blocks, None)
            try:
                text = self._decoder.decode(block or b"", final=block is None)
            except UnicodeDecodeError as error:
                raise self._wrong("bytes that are not UTF-8") from error
            parts.append(text)
            wanted -= len(text)
            if block is None:
                self._ended = True
                break
        self._text = "".join(parts)
        return True

    def _wrong(self, what: str) -> DataError:
        return DataError(
            f"{self.name}: the JSON is damaged: {what}", hint="fetch or write the file again", source=self.name
        )


_END = object()


class Values:
    """Walks values of Python as :class:`Scanner` walks those of a JSON text."""

    def __init__(self, value: Any, name: str) -> None:
        self.name = name
        self.columns: dict[str, list[Any]] = {}
        self._value = value

    def peek(self) -> str:
        """Return the character that the next value would begin with; an empty text at the end."""
        if self._value is _END:
            return ""
        if isinstance(self._value, Mapping):
            return "{"
        return "[" if isinstance(self._value, (list, tuple)) else '"'

    def skip(self, mark: str) -> bool:  # noqa: ARG002 - as of a text, which has marks between values
        """Return False: there is nothing between values."""
        return False

    def decode(self) -> Any:
        """Return the next value whole, as JSON would hold it."""
        value, self._value = self._value, _END
        return plain(value)

    def members(self) -> Iterator[str]:
        """Yield the names of a mapping's members; the value of each is to be read before the next."""
        members, self._value = self._value, _END
        for name, self._value in members.items():
            yield str(name)
        self._value = _END

    def elements(self) -> Iterator[None]:
        """Go through the elements of a list; each is to be read before the next."""
        elements, self._value = self._value, _END
        for self._value in elements:
            yield
        self._value = _END
