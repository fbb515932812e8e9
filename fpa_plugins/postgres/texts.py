"""Texts as PostgreSQL can hold them: it has no NUL, which rejected rows and origins may have.

The characters U+0000 to U+0003 are written as U+0001 and two of U+0002 and U+0003. So the order of texts stays, what begins with a text still does,
and no part of one character is mistaken for another. Texts without them, which are nearly all, are written as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

from fpa_core.engine.rows import Row
from fpa_core.patterns import translate

__all__ = ["array", "decode_rows", "encode", "encode_rows", "like", "regex"]

_CODES = {"\0": "\1\2\2", "\1": "\1\2\3", "\2": "\1\3\2", "\3": "\1\3\3"}
_CHARACTERS = {code: character for character, code in _CODES.items()}
_SPECIAL = re.compile("[\0-\3]")
_CODE = re.compile("\1..", re.DOTALL)


def encode(text: str) -> str:
    """Return a text as it is stored."""
    return _SPECIAL.sub(lambda match: _CODES[match[0]], text)


def _decode(text: str) -> str:
    return _CODE.sub(lambda match: _CHARACTERS[match[0]], text)


def _has(characters: str, rows: Sequence[Row], place: int) -> bool:
    joined = "".join(filter(None, map(itemgetter(place), rows)))
    return any(character in joined for character in characters)


def _changed(rows: list[Row], place: int, change: Any) -> list[Row]:
    return [
        row if row[place] is None else (*row[:place], change(row[place]), *row[place + 1 :]) for row in map(tuple, rows)
    ]


def encode_rows(rows: list[Row], places: Iterable[int]) -> list[Row]:
    """Return rows as they are stored, given the places of their texts."""
    for place in places:
        if _has("\0\1\2\3", rows, place):
            rows = _changed(rows, place, encode)
    return rows


def decode_rows(rows: list[Row], places: Iterable[int]) -> list[Row]:
    """Return rows as they were before :func:`encode_rows`."""
    for place in places:
        if _has("\1", rows, place):
            rows = _changed(rows, place, _decode)
    return rows


def array(values: Sequence[Any]) -> str:
    """Return integers or texts, None among them, as the literal of an array; it is a text, and is encoded as one."""
    if not any(isinstance(value, str) for value in values):
        return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
    joined = "".join(filter(None, values))
    if "\\" in joined or '"' in joined:
        values = [None if value is None else re.sub(r'(["\\])', r"\\\1", value) for value in values]
    return "{" + ",".join(["NULL" if value is None else f'"{value}"' for value in values]) + "}"


def like(pattern: str) -> str:
    """Return a pattern without ``?`` as LIKE understands it."""
    return translate(pattern, many="%", one="_", literal=lambda text: re.sub(r"([%_\\])", r"\\\1", text))


def regex(pattern: str) -> str:
    """Return a pattern as a regular expression, in which one character may be a code of three."""
    one = r"(?:[^\u0001]|\u0001..)"
    quoted = translate(pattern, many=".*", one=one, literal=lambda text: re.sub(r"([^\w\s])", r"\\\1", text))
    return f"^(?:{quoted})$"
