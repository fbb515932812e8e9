"""Delimited text read a second time, by the rules of docs/reference/file-formats.md alone: nothing of the reader is used here."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections import deque
from collections.abc import Iterator, Sequence
from decimal import Decimal

__all__ = ["MISSING", "WRONG", "instant_of", "mark_of", "number_of", "records_of"]

MISSING, WRONG = "missing", "wrong"

NULLS = {"", "nan", "null", "none", "n/a", "na", "#n/a", "<na>", "nat", "-", "--", ".", "\\n"}
LONGEST_RECORD = 1024 * 1024
SIGNS, CURRENCIES = "+-", "$€£¥₹"


def records_of(text: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the cells of each record; of a record with a stray quote its first line is lost, and no more."""
    lines = deque(io.StringIO(text, newline=""))
    while lines:
        taken: list[str] = []

        def feed(taken: list[str] = taken) -> Iterator[str]:
            while lines and sum(map(len, taken)) <= LONGEST_RECORD:
                taken.append(lines.popleft())
                yield taken[-1]

        try:
            yield next(csv.reader(feed(), delimiter=delimiter, strict=True), [])
        except csv.Error:
            lines.extendleft(reversed(taken[1:]))


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _unsigned(text: str, mark: str, groups: str | None) -> Decimal | None:
    """Return the value of digits with a decimal mark, groups of three, and an exponent."""
    body, letter, power = text.replace("E", "e").partition("e")
    if letter and not (_digits(power.lstrip(SIGNS)) and len(power) - len(power.lstrip(SIGNS)) <= 1 and len(power) < 11):
        return None
    whole, _, fraction = body.partition(mark)
    if groups and groups in whole:
        first, *others = whole.split(groups)
        if not (_digits(first) and len(first) <= 3 and all(_digits(part) and len(part) == 3 for part in others)):
            return None
        whole = first + "".join(others)
    if not _digits(whole + fraction) or (whole and not _digits(whole)) or (fraction and not _digits(fraction)):
        return None
    return Decimal(f"{whole or '0'}.{fraction or '0'}e{power or '0'}")


def number_of(cell: str, mark: str | None) -> Decimal | str:
    """Return the value of a cell, :data:`MISSING`, or :data:`WRONG`.

    :param mark: the decimal mark that the file shows; None where it shows none, and then there are no groups.
    """
    text = cell.strip()
    if text.lower() in NULLS:
        return MISSING
    groups = None if mark is None else {".": ",", ",": "."}[mark]
    wrapped = text.startswith("(") and text.endswith(")")
    inner = text[1:-1].strip() if wrapped else text
    bare = inner.lstrip(SIGNS + CURRENCIES)
    front = inner[: len(inner) - len(bare)]
    signs = [letter for letter in front if letter in SIGNS]
    if len(signs) + wrapped > 1 or len(front) - len(signs) > 1:
        return WRONG
    found = _unsigned(bare.strip(), mark or ".", groups)
    if found is None:
        return WRONG
    return -found if wrapped or signs == ["-"] else found


def mark_of(cells: Sequence[str]) -> str | None:
    """Return the decimal mark that numbers show: that of those which can be read with one mark only, a point before a comma."""
    shown = set()
    for cell in cells:
        text = cell.strip().strip("()+-$€£¥₹ ")
        if not text or text.lower() in NULLS:
            continue
        readings = {mark: _unsigned(text, mark, {".": ",", ",": "."}[mark]) for mark in ".,"}
        if re.fullmatch(r"0[.,]\d{3}", text):  # no group begins with a zero
            shown.add(text[1])
        elif "e" not in text.lower() and sum(value is not None for value in readings.values()) == 1:
            shown |= {mark for mark, value in readings.items() if value is not None}
    return "." if "." in shown else "," if "," in shown else None


ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?\s?(Z|[+-]\d\d:?\d\d)", re.ASCII)
UNITS = {10: 10**9, 13: 10**6, 16: 10**3, 19: 1}


def instant_of(cell: str) -> int | None:
    """Return the nanoseconds since 1970 of a time with a zone, or of a number of 10, 13, 16 or 19 digits; None for any other text."""
    text = cell.strip()
    if _digits(text):
        return int(text) * UNITS[len(text)] if len(text) in UNITS and text[0] != "0" else None
    match = ISO.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        local = dt.datetime(year, month, day, hour, minute, second, tzinfo=dt.UTC)
    except ValueError:
        return None
    zone = match[8]
    minutes = 0 if zone == "Z" else (int(zone[1:3]) * 60 + int(zone[-2:])) * (-1 if zone[0] == "-" else 1)
    whole = (local - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(seconds=1) - minutes * 60
    return whole * 10**9 + int((match[7] or "0").ljust(9, "0"))
