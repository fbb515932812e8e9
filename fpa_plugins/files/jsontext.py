"""Reading JSON: lines of objects, and documents whose rows lie somewhere within, in bounded memory.

Numbers stay the text they are written as, so that no digit is lost. The rows of a document are the objects, or arrays, of a list or map that it
holds; what stood around them becomes columns of their own: ``(key)`` is the key a row or its list stood under, ``(path)`` the name of the member
that held it, and ``../NAME`` the plain members beside.
"""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from attrs import field, frozen, mutable

from fpa_core.exceptions import DataError
from fpa_core.protocols import Reject
from fpa_plugins.files.cells import Problems
from fpa_plugins.files.rows import LazyCells, Rows, clipped
from fpa_plugins.files.stream import Stream

__all__ = ["KEY", "PATH", "is_lines", "plain", "read_document", "read_lines", "read_objects"]

KEY, PATH, OUTER = "(key)", "(path)", "../"

MAX_NAMES = 2_048
"""Names of members that become columns; more than any feed has."""

MAX_ELEMENT = 16 * 1024 * 1024
"""Longest object or array that is one row."""

MAX_DEPTH = 16
FEW = 1_000
"""Objects beside each other that may be something other than rows."""

_SPACE = re.compile(r"[ \t\r\n\ufeff]*")


class _Fraction(str):
    """A JSON number that is not written as a whole one."""

    __slots__ = ()


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _constant(text: str) -> str | None:
    return None if text == "NaN" else text


_DECODER = json.JSONDecoder(parse_float=_Fraction, parse_int=str, parse_constant=_constant, object_pairs_hook=_members)


def is_lines(head: str) -> bool:
    """Return whether a JSON text has one record a line, rather than being one document."""
    line = head.lstrip("\ufeff \t\r\n").split("\n", 1)[0].strip().rstrip(",")
    try:
        found = _DECODER.decode(line)
    except (ValueError, RecursionError):
        # Of a line that is cut off or damaged, its beginning tells; a document has its first member on a line of its own.
        return line.startswith("{") and len(line) > 1 and not line.endswith(("[", "{"))
    return (
        isinstance(found, dict)
        and not any(_holds_rows(name, value) for name, value in found.items())
        and not _is_columnar(found)
    )


def _holds_rows(name: str, value: Any) -> bool:
    if name == "legs":  # orders within an order
        return False
    if isinstance(value, dict):
        return any(isinstance(each, (dict, list)) for each in value.values()) or name in {"data", "result", "results"}
    return isinstance(value, list) and any(isinstance(each, (dict, list)) for each in value)


def _is_columnar(members: dict[str, Any]) -> bool:
    """Return whether an object holds a table column by column."""
    lengths = {len(value) for value in members.values() if isinstance(value, list)}
    lists = sum(isinstance(value, list) for value in members.values())
    return lists > 1 and len(lengths) == 1 and lengths != {0}


def read_lines(stream: Stream, size: int) -> Iterator[Rows]:
    """Yield the rows of *stream* in blocks of about *size* bytes; a name counts as a column from the block on in which it first occurs."""
    names: dict[str, None] = {}
    row = 1
    for block in stream.lines(size):
        objects: list[dict[str, Any]] = []
        lines: list[str | bytes] = []
        positions: list[int] = []
        rejects: list[Reject] = []
        for line in block.splitlines():
            if not line or line.isspace():
                continue
            try:
                parsed = _object(line)
            except (ValueError, RecursionError) as error:
                rejects.append(
                    Reject(
                        row,
                        clipped(line.decode(errors="surrogateescape")),
                        f"no JSON object: {error}",
                        reason="no JSON object",
                    )
                )
            else:
                objects.append(parsed)
                lines.append(line)
                positions.append(row)
            row += 1
        if objects or rejects:
            yield _rows(names, objects, positions, lines, rejects)


def _object(line: bytes) -> dict[str, Any]:
    text = line.decode()
    stripped = text.strip()
    parsed = _DECODER.decode(stripped.removesuffix(","))  # the lines of an array, without its brackets
    if not isinstance(parsed, dict):
        raise ValueError("the line holds something else")  # noqa: TRY004 - one kind of error says that a line is refused
    if "\\u" in text:
        json.dumps(parsed, ensure_ascii=False).encode()  # half of a surrogate pair is no character
    return parsed


def _rows(
    names: dict[str, None],
    objects: Sequence[dict[str, Any]],
    positions: Sequence[int],
    texts: Sequence[str | bytes | None],
    rejects: Sequence[Reject] = (),
) -> Rows:
    """Return objects as rows, and add what they are called to *names*."""
    for each in objects:
        if not each.keys() <= names.keys():
            names.update(dict.fromkeys(list(each)[: MAX_NAMES - len(names)]))
    columns = tuple(names)

    def cells(index: int) -> pa.Array:
        name = columns[index]
        return _column([each.get(name) for each in objects])

    def strangers(index: int) -> Problems:
        name = columns[index]
        return {row: problem for row, each in enumerate(objects) if (problem := _stranger(each.get(name)))}

    def raw(index: int) -> str:
        text = texts[index]
        if text is None:
            return json.dumps(objects[index], ensure_ascii=False)
        return text.decode() if isinstance(text, bytes) else text

    empty = [index for index, each in enumerate(objects) if all(value in (None, "") for value in each.values())]
    rows = Rows(columns, LazyCells(len(columns), cells), positions, raw, rejects, strangers=strangers)
    if not empty:
        return rows
    left_out = set(empty)
    kept = rows.take([index for index in range(len(objects)) if index not in left_out])
    return Rows(columns, kept.cells, kept.positions, kept.raw, rejects, len(empty), kept.strangers)


def _stranger(value: Any) -> str | None:
    """Return why a value is no word and no whole number; None where it is one, or missing."""
    if value is None or type(value) is str:
        return None
    if isinstance(value, _Fraction):
        return f"{value} is a number with a fraction, not a name"
    if isinstance(value, bool):
        return f"{json.dumps(value)} is not a name"
    return "a list is not a name" if isinstance(value, list) else "an object is not a name"


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowTypeError, pa.ArrowInvalid, UnicodeEncodeError):
        pass
    # True, false, lists and objects stand as they are written.
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:  # half a character, as "\\ud800" is: bytes that are no text, which refuse their row
        return pa.array([None if text is None else text.encode("utf-8", "surrogatepass") for text in texts])


def read_objects(objects: Iterable[dict[str, Any]], rows_at_once: int) -> Iterator[Rows]:
    """Yield objects of Python as rows."""
    names: dict[str, None] = {}
    source, first = iter(objects), 1
    while part := list(itertools.islice(source, rows_at_once)):
        yield _rows(names, part, range(first, first + len(part)), [None] * len(part))
        first += len(part)


def plain(value: Any) -> Any:
    """Return a value of Python as JSON would hold it: numbers by their shortest text, and what is no value as None."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (float, Decimal)):
        return None if value != value else _Fraction(repr(value) if type(value) is float else str(value))  # noqa: PLR0124
    if isinstance(value, datetime):  # pandas' times are datetimes, and NaT is one that does not equal itself
        return None if value != value else value.isoformat()  # noqa: PLR0124
    if isinstance(value, (list, tuple, dict)):
        return json.loads(json.dumps(value, default=str))
    text = str(value)
    return (
        None
        if text in {"nan", "NaT", "<NA>"}
        else _Fraction(text)
        if getattr(value, "dtype", None) is not None and "." in text
        else text
    )


# Documents


@mutable
class _Found:
    """What stands around the rows of a document: its plain members by path."""

    outer: dict[str, str] = field(factory=dict)


@frozen
class _Row:
    value: Any
    key: str | None
    path: str | None


def read_document(opened: Callable[[], Stream], rows_at_once: int) -> Iterator[Rows]:
    """Yield the rows of a JSON document, or of several that follow each other.

    :param opened: opens the text anew: it is gone through twice, first for what stands around the rows.
    :raises DataError: when it is no JSON, or nothing in it is a row.
    """
    found = _Found()
    with opened() as stream:
        scanner = _Scanner(stream)
        if scanner.peek() == "{":
            for _ in _walk_all(scanner, found):
                pass
    names: dict[str, None] = {}
    with opened() as stream:
        objects: list[dict[str, Any]] = []
        held = 0
        first = 1
        for row in _walk_all(_Scanner(stream), _Found()):
            objects.append(_as_object(row, found.outer))
            held += len(objects[-1])
            if len(objects) == rows_at_once or held > 8 * rows_at_once:
                yield _rows(names, objects, range(first, first + len(objects)), [None] * len(objects))
                first += len(objects)
                objects, held = [], 0
        if objects:
            yield _rows(names, objects, range(first, first + len(objects)), [None] * len(objects))
    if first == 1 and not objects:
        text = "; ".join(f"{name.removeprefix(OUTER)}: {value}" for name, value in list(found.outer.items())[:3])
        raise DataError(
            f"{stream.name}: the JSON document holds no rows{f' ({text})' if text else ''}",
            hint="a list of records is needed, as [{...}, {...}]",
            source=stream.name,
        )


def _as_object(row: _Row, outer: dict[str, str]) -> dict[str, Any]:
    value = row.value
    made: dict[str, Any] = (
        {str(place): each for place, each in enumerate(value)} if isinstance(value, list) else dict(value)
    )
    if row.key is not None:
        made.setdefault(KEY, row.key)
    if row.path is not None:
        made.setdefault(PATH, row.path)
    for name, each in outer.items():
        if name.removeprefix(OUTER) not in made:
            made[name] = each
    return made


def _walk_all(scanner: _Scanner, found: _Found) -> Iterator[_Row]:
    while scanner.peek():
        yield from _walk_root(scanner, found)
        scanner.skip(",")


def _walk_root(scanner: _Scanner, found: _Found) -> Iterator[_Row]:
    """Yield the rows of one value at the top of a text."""
    start = scanner.peek()
    if start == "[":
        yield from _walk_list(scanner, None, None)
        return
    if start != "{":
        value = scanner.decode()
        raise DataError(
            f"{scanner.name}: the JSON document is {json.dumps(value)[:80]}, not a table", source=scanner.name
        )
    leaves: list[tuple[str, dict[str, Any]]] = []
    count = 0
    for name in scanner.members():
        for row in _walk_member(scanner, name, None, found, leaves, 1):
            count += 1
            yield row
        if len(leaves) > FEW:
            yield from (_Row(value, key, None) for key, value in leaves)
            count += len(leaves)
            leaves.clear()
    yield from _close_root(scanner, count, leaves, found)


def _close_root(
    scanner: _Scanner, count: int, leaves: list[tuple[str, dict[str, Any]]], found: _Found
) -> Iterator[_Row]:
    """Yield what turns out to be rows at the end of an object: its own columns, its objects, or itself."""
    columns = {name: value for name, value in scanner.columns.items() if isinstance(value, list)}
    scanner.columns.clear()
    if count:
        for name, leaf in leaves:
            found.outer |= {f"{OUTER}{name}/{key}": str(value) for key, value in leaf.items() if _is_plain(value)}
        return
    if columns and len({len(value) for value in columns.values()}) == 1:
        for values in zip(*columns.values(), strict=True):
            yield _Row(dict(zip(columns, values, strict=True)), None, None)
        return
    plain = {name.removeprefix(OUTER): value for name, value in found.outer.items()}
    if leaves and len(plain) <= len(leaves):
        single = len(leaves) == 1
        yield from (_Row(value, None if single else key, key if single else None) for key, value in leaves)
    elif len(plain) > 1:
        yield _Row(plain | {name: json.dumps(value) for name, value in leaves}, None, None)


def _walk_member(
    scanner: _Scanner,
    name: str,
    path: str | None,
    found: _Found,
    leaves: list[tuple[str, dict[str, Any]]],
    depth: int,
) -> Iterator[_Row]:
    """Yield the rows in the member *name*; what is no row goes to *found* and *leaves*."""
    start = scanner.peek()
    if start == "[":
        yield from _walk_list(scanner, name if path is not None else None, path or name)
    elif start == "{":
        if depth > MAX_DEPTH:
            raise DataError(f"{scanner.name}: JSON nested deeper than {MAX_DEPTH} levels", source=scanner.name)
        leaf: dict[str, Any] = {}
        below: list[tuple[str, dict[str, Any]]] = []
        count = 0
        for inner in scanner.members():
            if scanner.peek() in "[{":
                for row in _walk_member(scanner, inner, name, _Found(), below, depth + 1):
                    count += 1
                    yield row
                # Objects within an object's member are rows by the name they stand under.
                yield from (_Row(value, key, name) for key, value in below)
                count += len(below)
                below.clear()
            elif len(leaf) < MAX_NAMES:
                leaf[inner] = scanner.decode()
            else:
                scanner.decode()
        if not count and leaf:
            leaves.append((name, leaf))
    else:
        value = scanner.decode()
        if len(found.outer) < MAX_NAMES and value is not None:
            found.outer[f"{OUTER}{name}"] = value if isinstance(value, str) else json.dumps(value)


def _walk_list(scanner: _Scanner, key: str | None, path: str | None) -> Iterator[_Row]:
    """Yield the elements of a list that are objects or lists; a list of plain values is a column, or a row by itself."""
    plain: list[Any] = []
    for _ in scanner.elements():
        start = scanner.peek()
        value = scanner.decode()
        if start in "[{":
            yield _Row(value, key, path)
        elif len(plain) < MAX_ELEMENT // 16:
            plain.append(value)
    if plain and path is None:
        yield _Row(plain, key, path)
    elif plain and key is None and path is not None:
        scanner.columns[path] = plain


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, bool))


class _Scanner:
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
        """Return the next character that is no space; an empty text at the end."""
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
                value, end = _DECODER.raw_decode(self._text, self._place)
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
                raise self._wrong("the name of a member is expected")
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
            raise self._wrong(f"{mark!r} is expected, not {self.peek()!r}" if self.peek() else "it is cut off")

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
