"""Encode cached values as bytes, and decode them.

Encoded values begin with an envelope that names one of the codecs below. Decoding never imports by name or runs what it reads.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import math
import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, frozen
from isal.isal_zlib import crc32

from fpa_core.arrow.conversion import from_table, to_table
from fpa_core.exceptions import CacheError
from fpa_core.kinds import KINDS, POSITIONS, SNAPSHOTS, Kind
from fpa_core.serialization import from_dict, to_dict

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DecodeError", "decode", "encode", "is_arrow_table"]


class DecodeError(CacheError):
    """The bytes have no envelope, are damaged, or hold a value of an earlier version of its class.

    :class:`~fpa_core.cache.DataCache` counts it as a miss and does not raise it.
    """


# JSON, with other types written as an object of one key that begins with "$".


def _encode_json(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in (str, bool, int):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is list:
        return [_encode_json(each) for each in value]
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: _encode_json(each) for key, each in value.items()}
        return {"$map": [[_encode_json(key), _encode_json(each)] for key, each in value.items()]}
    if (tag := _TAGS.get(kind)) is None:
        raise CacheError(
            f"a value of type {kind.__module__}.{kind.__qualname__} cannot be cached",
            hint="cache records, lists of them, Arrow tables, bytes, Decimal, datetime, or JSON values",
        )
    return {tag: _JSON_ENCODERS[tag](value)}


def _decode_json(value: Any) -> Any:
    if type(value) is list:
        return [_decode_json(each) for each in value]
    if type(value) is not dict:
        return value
    if len(value) == 1:
        ((tag, content),) = value.items()
        if tag.startswith("$"):
            return _JSON_DECODERS[tag](content)
    return {key: _decode_json(each) for key, each in value.items()}


_TAGS: Final[Mapping[type[Any], str]] = {
    tuple: "$tuple",
    Decimal: "$decimal",
    datetime: "$datetime",
    bytes: "$bytes",
    **{kind.record: f"${kind.singular}" for kind in KINDS.values()},
}
_JSON_ENCODERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "$tuple": lambda value: [_encode_json(each) for each in value],
    "$decimal": str,
    "$datetime": datetime.isoformat,
    "$bytes": lambda value: base64.b64encode(value).decode(),
    **{f"${kind.singular}": to_dict for kind in KINDS.values()},
}
_JSON_DECODERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "$float": float,
    "$map": lambda pairs: {_decode_json(key): _decode_json(each) for key, each in pairs},
    "$tuple": lambda content: tuple(map(_decode_json, content)),
    "$decimal": Decimal,
    "$datetime": datetime.fromisoformat,
    "$bytes": base64.b64decode,
    **{f"${kind.singular}": functools.partial(from_dict, kind) for kind in KINDS.values()},
}


def _encode_tree(value: Any) -> bytes:
    try:
        return json.dumps(_encode_json(value), separators=(",", ":"), allow_nan=False).encode()
    except RecursionError:
        raise CacheError("a value that is nested too deeply, or contains itself, cannot be cached") from None
    except ValueError as error:  # an integer with more digits than Python converts to text
        raise CacheError(f"the value cannot be cached: {error}") from None


def _decode_tree(payload: memoryview) -> Any:
    text = bytes(payload)
    value = json.loads(text)
    return _decode_json(value) if b'"$' in text else value  # most values need no decoding beyond JSON


def _encode_text(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _decode_text(payload: memoryview) -> str:
    return str(payload, "utf-8", "surrogatepass")


# Arrow


def is_arrow_table(value: object) -> bool:
    """Return whether *value* is an Arrow table, without importing Arrow."""
    arrow = sys.modules.get("pyarrow")
    return arrow is not None and isinstance(value, arrow.Table)


def _encode_table(table: pa.Table) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _decode_table(payload: memoryview) -> pa.Table:
    import pyarrow as pa

    return pa.ipc.open_stream(pa.py_buffer(payload)).read_all()


_SPLIT = struct.Struct("<?Q")  # whether the records are a tuple; bytes of the first of two tables


def _encode_records(kind: Kind, records: list[Any] | tuple[Any, ...]) -> bytes:
    table = _encode_table(to_table(kind, records))
    positions_table = b""
    if kind is SNAPSHOTS:
        import pyarrow as pa

        positions = [position for snapshot in records for position in snapshot.positions]
        owners = [index for index, snapshot in enumerate(records) for _ in snapshot.positions]
        positions_table = _encode_table(
            to_table(POSITIONS, positions).append_column("snapshot", pa.array(owners, pa.int64()))
        )
    return _SPLIT.pack(type(records) is tuple, len(table)) + table + positions_table


def _decode_records(kind: Kind, payload: memoryview) -> list[Any] | tuple[Any, ...]:
    is_tuple, length = _SPLIT.unpack_from(payload)
    records = from_table(kind, _decode_table(payload[_SPLIT.size : _SPLIT.size + length]))
    if kind is SNAPSHOTS:
        table = _decode_table(payload[_SPLIT.size + length :])
        by_snapshot: list[list[Any]] = [[] for _ in records]
        for owner, position in zip(
            table.column("snapshot").to_pylist(), from_table(POSITIONS, table.drop_columns("snapshot")), strict=True
        ):
            by_snapshot[owner].append(position)
        records = [
            evolve(record, positions=positions) if positions else record
            for record, positions in zip(records, by_snapshot, strict=True)
        ]
    return tuple(records) if is_tuple else records


# The envelope: magic, checksum of the rest; length of the tag, tag, fingerprint, payload.

_START = struct.Struct("<4sIB")
_CHECKED = 8  # from here on
_MAGIC = b"FPA\x01"
_FINGERPRINT = 8


@frozen
class _Codec:
    """How values of one kind are encoded; ``head`` is written before them: length of the tag, tag, fingerprint."""

    head: bytes
    encode: Callable[[Any], bytes]
    decode: Callable[[memoryview], Any]


def _codec(
    tag: str, kinds: Iterable[Kind], encode: Callable[[Any], bytes], decode: Callable[[memoryview], Any]
) -> _Codec:
    """Return the codec with a fingerprint of the columns of *kinds*, so that bytes of an earlier class are not decoded."""
    shape = [[kind.name, *((column.name, column.field, column.type) for column in kind.columns)] for kind in kinds]
    fingerprint = hashlib.sha256(repr(shape).encode()).digest()[:_FINGERPRINT]
    return _Codec(bytes([len(tag)]) + tag.encode() + fingerprint, encode, decode)


_CODECS: Final[Mapping[str, _Codec]] = {
    "bytes": _codec("bytes", (), bytes, bytes),
    "text": _codec("text", (), _encode_text, _decode_text),
    "table": _codec("table", (), _encode_table, _decode_table),
    "json": _codec("json", KINDS.values(), _encode_tree, _decode_tree),
    **{
        kind.name: _codec(
            kind.name,
            [kind, POSITIONS] if kind is SNAPSHOTS else [kind],
            functools.partial(_encode_records, kind),
            functools.partial(_decode_records, kind),
        )
        for kind in KINDS.values()
    },
}
_BY_HEAD: Final[Mapping[bytes, _Codec]] = {codec.head: codec for codec in _CODECS.values()}


def _codec_for(value: object) -> str:
    if type(value) in (bytes, str):
        return "bytes" if type(value) is bytes else "text"
    if is_arrow_table(value):
        return "table"
    if type(value) in (list, tuple) and len(classes := set(map(type, value))) == 1:  # type: ignore[call-overload]
        (only,) = classes
        if _TAGS.get(only) is not None and (name := _TAGS[only].removeprefix("$") + "s") in KINDS:
            return name
    return "json"


def encode(value: object) -> bytes:
    """Return *value* as bytes from which :func:`decode` makes an equal value.

    Records, lists and tuples of them, Arrow tables, bytes, Decimal, datetime, and JSON values can be encoded, also nested. An aware
    datetime keeps its offset, not the name of its zone.

    :raises CacheError: if the value has any other type, which is named.
    """
    codec = _CODECS[_codec_for(value)]
    payload = codec.encode(value)
    return b"".join((_MAGIC, crc32(payload, crc32(codec.head)).to_bytes(4, "little"), codec.head, payload))


def decode(content: bytes | memoryview) -> Any:
    """Return the value that :func:`encode` encoded.

    :raises DecodeError: if the bytes were not made by this version of :func:`encode` with these record classes.
    """
    view = memoryview(content)
    try:
        magic, checksum, length = _START.unpack_from(view)
    except struct.error:
        magic = b""
    if magic != _MAGIC:
        raise DecodeError("the bytes have no envelope")
    if crc32(view[_CHECKED:]) != checksum:
        raise DecodeError("the envelope is damaged")
    end = _START.size + length + _FINGERPRINT
    if (codec := _BY_HEAD.get(bytes(view[_CHECKED:end]))) is None:
        raise DecodeError("the envelope holds a value of another version")
    try:
        return codec.decode(view[end:])
    except Exception as error:  # whatever the codec raises, the bytes cannot be used
        raise DecodeError(f"the value in the envelope cannot be read: {error}") from error
