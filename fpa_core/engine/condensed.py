"""Store rejected rows compactly: what many of them share is kept once, and what follows from their raw text is not kept.

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

__all__ = ["CellLayouts", "cells_of", "cells_text", "digest", "findings_of", "split_findings"]

_MARK = "\x01"
"""Stands for an argument; JSON writes this character as an escape, so that it is in no text of ours."""

_ARGUMENT = re.compile(r"('[^'\\]*'|\d[\d.:TZ+-]*)", re.ASCII)
_written = json.JSONEncoder().encode
_written_plainly = json.JSONEncoder(ensure_ascii=False).encode
_SEPARATORS = ",\t;|"
_MOST_LAYOUTS = 64
"""Layouts tried for rows of the same names: where texts look ever different, the cells are written out."""


def digest(*parts: object) -> int:
    """Return 64 bits of a digest of texts, of which any may be None, as a signed number."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big", signed=True)


def cells_text(cells: Mapping[str, str] | None) -> str | None:
    """Return cells as the text by which they are compared."""
    return None if cells is None else _written_plainly(dict(cells))


def findings_of(text: str, arguments: str | None) -> tuple[Mapping[str, Any], ...]:
    """Return findings from what :func:`split_findings` made of them."""
    if arguments is not None:
        places, values = text.split(_MARK), [*arguments.split(_MARK), ""]
        text = "".join(part for pair in zip(places, values, strict=True) for part in pair)
    return tuple(json.loads(text))


def cells_of(layout: str | None, raw: str, text: str | None) -> dict[str, str] | None:
    """Return cells from what :meth:`CellLayouts.of` made of them."""
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


def split_findings(findings: Sequence[Mapping[str, Any]]) -> tuple[str, str, str | None]:
    """Return the text that findings share with others, their rules as JSON, and the values that are their own."""
    parts = _ARGUMENT.split(_written(list(findings)))
    rules = json.dumps([finding.get("rule") for finding in findings])
    return _MARK.join(parts[::2]), rules, _MARK.join(parts[1::2]) if len(parts) > 1 else None


class CellLayouts:
    """Finds how the cells of rows follow from the rows' own texts."""

    def __init__(self) -> None:
        self._derived: dict[tuple[str, ...], list[tuple[str, list[int], str]]] = {}

    def of(self, raw: str, cells: Mapping[str, str] | None) -> tuple[str | None, str | None]:
        """Return the layout of *cells* as JSON, and their text unless they follow from *raw*."""
        if cells is None:
            return None, None
        names, values = tuple(cells), list(cells.values())
        derived = self._derived.setdefault(names, [])
        for separator, places, layout in derived:
            parts = raw.split(separator)
            if len(parts) > max(places, default=-1) and [parts[place] for place in places] == values:
                return layout, None
        if len(derived) < _MOST_LAYOUTS and (way := _places(raw, values)) is not None:
            layout = _written_plainly({"names": names, "separator": way[0], "places": way[1]})
            derived.append((*way, layout))
            return layout, None
        return _written_plainly({"names": names}), json.dumps(values, ensure_ascii=False)


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
