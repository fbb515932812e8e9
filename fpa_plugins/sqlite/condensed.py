"""Refused rows in little room: what many of them share is kept once, what follows from their text is not kept at all.

Findings are a text in which numbers and quoted values are left out (these are the arguments of each row); a row's cells are a layout, which is
a list of names and, where it is so, how the cells follow from the row's own text. Each way is taken only if it gives back exactly what was given.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import apsw

__all__ = ["Condenser", "cells_of", "cells_text", "digest", "findings_of"]

_MARK = "\x01"
"""Stands for an argument; JSON writes this character as an escape, so that it is in no text of ours."""

_ARGUMENT = re.compile(r"('[^'\\]*'|\d[\d.:TZ+-]*)", re.ASCII)
_written = json.JSONEncoder().encode
_written_plainly = json.JSONEncoder(ensure_ascii=False).encode
_SEPARATORS = ",\t;|"
_MOST_LAYOUTS = 64
"""Layouts tried for rows of the same names: where texts look ever different, the cells are written out."""

_MOST_KEPT = 65_536
"""Findings remembered by a batch: enough for all that repeats, and a bound where nothing does."""


def digest(*parts: object) -> int:
    """Return 64 bits of a digest of texts, or None for one, as SQLite keeps integers."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big", signed=True)


def cells_text(cells: Mapping[str, str] | None) -> str | None:
    """Return cells as the text that makes them comparable."""
    return None if cells is None else _written_plainly(dict(cells))


def findings_of(text: str, arguments: str | None) -> tuple[Mapping[str, Any], ...]:
    """Return findings of what :meth:`Condenser.findings` made of them."""
    if arguments is not None:
        places, values = text.split(_MARK), [*arguments.split(_MARK), ""]
        text = "".join(part for pair in zip(places, values, strict=True) for part in pair)
    return tuple(json.loads(text))


def cells_of(layout: str | None, raw: str, text: str | None) -> dict[str, str] | None:
    """Return cells of what :meth:`Condenser.cells` made of them."""
    if layout is None:
        return None if text is None else json.loads(text)  # by name, as all of them once were
    shared = _shared(layout)
    if text is not None:
        return dict(zip(shared["names"], json.loads(text), strict=True))
    parts = raw.split(shared["separator"])
    return {name: parts[place] for name, place in zip(shared["names"], shared["places"], strict=True)}


@functools.lru_cache(maxsize=256)
def _shared(layout: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(layout)
    return found


class Condenser:
    """Finds the shared texts of refused rows, and enters new ones, in the transaction of one batch."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._findings: dict[tuple[str, tuple[Any, ...]], int] = {}
        self._layouts: dict[str, int] = {}
        self._derived: dict[tuple[str, ...], list[tuple[str, list[int], int]]] = {}

    def findings(self, findings: Sequence[Mapping[str, Any]]) -> tuple[int, str | None]:
        """Return the number of the shared text of *findings*, and what is their own."""
        parts = _ARGUMENT.split(_written(list(findings)))
        key = _MARK.join(parts[::2]), tuple(finding.get("rule") for finding in findings)
        found = self._findings.get(key)
        if found is None:
            if len(self._findings) >= _MOST_KEPT:
                self._findings.clear()
            found = self._findings[key] = self._shared_findings(key[0], json.dumps(key[1]))
        return found, _MARK.join(parts[1::2]) if len(parts) > 1 else None

    def _shared_findings(self, text: str, rules: str) -> int:
        number = digest(text)
        sql = "SELECT id FROM quarantine_findings WHERE digest = ? AND text = ? AND rules = ?"
        found = self._connection.execute(sql, (number, text, rules)).get
        if found is None:
            self._connection.execute(
                "INSERT INTO quarantine_findings (digest, text, rules) VALUES (?, ?, ?)", (number, text, rules)
            )
            found = self._connection.last_insert_rowid()
        return int(found)

    def cells(self, raw: str, cells: Mapping[str, str] | None) -> tuple[int | None, str | None]:
        """Return the number of the layout of *cells*, and their text where they do not follow from *raw*."""
        if cells is None:
            return None, None
        names, values = tuple(cells), list(cells.values())
        derived = self._derived.setdefault(names, [])
        for separator, places, number in derived:
            parts = raw.split(separator)
            if len(parts) > max(places, default=-1) and [parts[place] for place in places] == values:
                return number, None
        if len(derived) < _MOST_LAYOUTS and (way := _places(raw, values)) is not None:
            number = self._layout({"names": names, "separator": way[0], "places": way[1]})
            derived.append((*way, number))
            return number, None
        return self._layout({"names": names}), json.dumps(values, ensure_ascii=False)

    def _layout(self, layout: Mapping[str, Any]) -> int:
        text = json.dumps(layout, ensure_ascii=False)
        found = self._layouts.get(text)
        if found is None:
            found = self._connection.execute("SELECT id FROM quarantine_layouts WHERE layout = ?", (text,)).get
            if found is None:
                self._connection.execute("INSERT INTO quarantine_layouts (layout) VALUES (?)", (text,))
                found = self._connection.last_insert_rowid()
            if len(self._layouts) >= _MOST_KEPT:
                self._layouts.clear()
            self._layouts[text] = int(found)
        return int(found)


def _places(raw: str, values: Sequence[str]) -> tuple[str, list[int]] | None:
    """Return a separator, and the place of each value among the parts of *raw*; None if they are not all there."""
    for separator in _SEPARATORS:
        parts = raw.split(separator)
        places: list[int] = []
        for value in values:
            # Equal cells stand in the order of the columns, as a rule: the next one first, else wherever it is.
            free = [place for place, part in enumerate(parts) if part == value and place not in places]
            if not free:
                break
            places.append(next((place for place in free if places and place > places[-1]), free[0]))
        else:
            return separator, places
    return None
