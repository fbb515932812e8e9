"""Reading JSON: lines of objects, and documents whose rows lie somewhere within, in bounded memory.

Numbers stay the text they are written as, so that no digit is lost. The rows of a document are the objects, or arrays, of a list or map that it
holds; what stood around them becomes columns of their own: ``(key)`` is the key a row or its list stood under, ``(path)`` the name of the member
that held it, and ``../NAME`` the plain members beside.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from attrs import evolve, field, frozen, mutable

from fpa_core.exceptions import DataError
from fpa_core.protocols import Reject
from fpa_plugins.files.cells import Problems
from fpa_plugins.files.jsonvalues import DECODER, MAX_ELEMENT, Fraction, Scanner, Values
from fpa_plugins.files.rows import LazyCells, Rows, clipped
from fpa_plugins.files.stream import Stream

__all__ = ["KEY", "PATH", "is_lines", "is_row", "read_document", "read_lines", "read_mapping", "read_objects"]

KEY, PATH, OUTER = "(key)", "(path)", "../"

MAX_NAMES = 2_048
"""Names of members that become columns; more than any feed has."""

MAX_DEPTH = 16
FEW = 1_000
"""Objects beside each other that may be something other than rows."""


def is_lines(head: str) -> bool:
    """Return whether a JSON text has one record a line, rather than being one document."""
    line = head.lstrip("\ufeff \t\r\n").split("\n", 1)[0].strip().rstrip(",")
    try:
        found = DECODER.decode(line)
    except (ValueError, RecursionError):
        # Of a line that is cut off or damaged, its beginning tells; a document has its first member on a line of its own.
        return line.startswith("{") and len(line) > 1 and not line.endswith(("[", "{"))
    return isinstance(found, dict) and is_row(found)


def is_row(members: dict[str, Any]) -> bool:
    """Return whether an object is a row itself, rather than a document that holds rows."""
    holds = any(_holds_rows(name, value) for name, value in members.items())
    of_objects = bool(members) and all(isinstance(value, dict) for value in members.values())
    return not (holds or of_objects or _is_columnar(members))


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
                        f"not a JSON object: {error}",
                        reason="not a JSON object",
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
    parsed = DECODER.decode(stripped.removesuffix(","))  # the lines of an array, without its brackets
    if not isinstance(parsed, dict):
        raise ValueError("the line has a list or a single value")  # noqa: TRY004 - one kind of error says that a line is refused
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
    rows = Rows(columns, LazyCells(len(columns), cells), positions, raw, rejects, typed=True, strangers=strangers)
    if not empty:
        return rows
    left_out = set(empty)
    kept = rows.take([index for index in range(len(objects)) if index not in left_out])
    return evolve(kept, rejects=rejects, empty=len(empty))


def _stranger(value: Any) -> str | None:
    """Return why a value is neither a string nor an integer; None if it is one of them, or missing."""
    if value is None or type(value) is str:
        return None
    if isinstance(value, Fraction):
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


# Documents


@mutable
class _Found:
    """The scalar members around the rows of a document, by path."""

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
        scanner = Scanner(stream)
        if scanner.peek() == "{":
            for _ in _walk_all(scanner, found):
                pass
    with opened() as stream:
        yield from _rows_of_document(Scanner(stream), found, rows_at_once)


def read_mapping(document: Mapping[Any, Any], name: str, rows_at_once: int) -> Iterator[Rows]:
    """Yield the rows of a Python mapping as :func:`read_document` yields those of the equivalent JSON document.

    :raises DataError: when nothing in it is a row.
    """
    found = _Found()
    for _ in _walk_all(Values(document, name), found):
        pass
    yield from _rows_of_document(Values(document, name), found, rows_at_once)


def _rows_of_document(scanner: Scanner | Values, found: _Found, rows_at_once: int) -> Iterator[Rows]:
    """Yield the rows of a document together with the members around them, which *found* collects."""
    names: dict[str, None] = {}
    objects: list[dict[str, Any]] = []
    held = 0
    first = 1
    for row in _walk_all(scanner, _Found()):
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
            f"{scanner.name}: the JSON document has no rows{f' ({text})' if text else ''}",
            hint="it must contain a list of records, such as [{...}, {...}]",
            source=scanner.name,
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


def _walk_all(scanner: Scanner | Values, found: _Found) -> Iterator[_Row]:
    while scanner.peek():
        yield from _walk_root(scanner, found)
        scanner.skip(",")


def _walk_root(scanner: Scanner | Values, found: _Found) -> Iterator[_Row]:
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
    scanner: Scanner | Values, count: int, leaves: list[tuple[str, dict[str, Any]]], found: _Found
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
    scanner: Scanner | Values,
    name: str,
    path: str | None,
    found: _Found,
    leaves: list[tuple[str, dict[str, Any]]],
    depth: int,
) -> Iterator[_Row]:
    """Yield the rows in the member *name*; other values are added to *found* and *leaves*."""
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


def _walk_list(scanner: Scanner | Values, key: str | None, path: str | None) -> Iterator[_Row]:
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
