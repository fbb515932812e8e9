"""Reading JSON Lines: one object a line, numbers taken by their digits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from fpa_core.protocols import Reject
from fpa_plugins.files.rows import Rows, clipped
from fpa_plugins.files.stream import Stream

__all__ = ["read"]


def read(stream: Stream, size: int) -> Iterator[Rows]:
    """Yield the rows of *stream* in blocks of about *size* bytes; a name counts as a column from the block on in which it first occurs."""
    names: dict[str, None] = {}
    row = 1
    for number, block in enumerate(stream.lines(size)):
        content = block.removeprefix(b"\xef\xbb\xbf") if number == 0 else block
        objects: list[dict[str, Any]] = []
        lines: list[bytes] = []
        positions: list[int] = []
        rejects: list[Reject] = []
        for line in content.splitlines():
            if not line or line.isspace():
                continue
            try:
                parsed = _object(line)
            except (ValueError, RecursionError) as error:
                rejects.append(Reject(row, clipped(line.decode(errors="surrogateescape")), f"no JSON object: {error}"))
            else:
                objects.append(parsed)
                lines.append(line)
                positions.append(row)
                if not parsed.keys() <= names.keys():
                    names |= dict.fromkeys(parsed)
            row += 1
        if objects or rejects:
            cells = [_column([parsed.get(name) for parsed in objects]) for name in names]
            yield Rows(tuple(names), cells, positions, _Lines(lines), rejects)


class _Lines:
    """The lines of a block, decoded when one is asked for."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines

    def __call__(self, index: int) -> str:
        return self._lines[index].decode()


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice")
    return members


# Numbers stay the text they are written as, so that no digit is lost; Arrow reads them later, a column at a time.
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_members)


def _object(line: bytes) -> dict[str, Any]:
    text = line.decode()
    parsed = _DECODER.decode(text)
    if not isinstance(parsed, dict):
        raise ValueError("the line holds something else")  # noqa: TRY004 - one kind of error says that a line is refused
    if "\\u" in text:
        json.dumps(parsed, ensure_ascii=False).encode()  # half of a surrogate pair is no character
    return parsed


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowTypeError, pa.ArrowInvalid):  # true, false, lists and objects stand as they are written
        texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
        return pa.array(texts, pa.string())
