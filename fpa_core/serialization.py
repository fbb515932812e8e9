"""Values as text and bytes: records to JSON-able dicts and back, and the typed envelope in which caches keep values.

Nothing here imports by name or runs what it reads: an envelope names one of the codecs below, or it is not decoded.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import math
import struct
import sys
import zlib
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, fields, frozen

from fpa_core.exceptions import CacheError, DataError
from fpa_core.numbers import decimal_text, ns_text
from fpa_core.records import KINDS, POSITIONS, SNAPSHOTS, Kind, from_table, kind_of, to_table

if TYPE_CHECKING:
    import cattrs
    import pyarrow as pa

    from fpa_core.models import Record

__all__ = ["EnvelopeError", "decode", "encode", "from_dict", "is_arrow_table", "to_dict"]


class EnvelopeError(CacheError):
    """Bytes that are no envelope, are damaged, or hold a value as an earlier version of its class was.

    :class:`~fpa_core.cache.DataCache` counts it as a miss; nobody else should meet it.
    """


# Records as dicts


@functools.cache
def _converter() -> cattrs.Converter:
    """Make the converter once, when it is first needed: importing cattrs takes longer than importing this whole package."""
    import cattrs
    from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

    # The classes' own converters check every value, so cattrs only has to match names.
    converter = cattrs.Converter(prefer_attrib_converters=True, forbid_extra_keys=True, use_alias=True)
    converter.register_unstructure_hook(Decimal, decimal_text)
    converter.register_unstructure_hook(StrEnum, str)
    for kind in (POSITIONS, *(kind for kind in KINDS.values() if kind is not POSITIONS)):
        times: Any = {
            column.field: override(unstruct_hook=lambda ns: None if ns is None else ns_text(ns))
            for column in kind.columns
            if column.type == "time"
        }
        nested: Any = {
            attribute.name: override(struct_hook=lambda held, _: tuple(from_dict(POSITIONS, each) for each in held))
            for attribute in fields(kind.record)
            if attribute.name not in kind.by_field
        }
        unstructure: Any = make_dict_unstructure_fn(kind.record, converter, _cattrs_use_alias=True, **times)
        structure: Any = make_dict_structure_fn(
            kind.record,
            converter,
            _cattrs_use_alias=True,
            _cattrs_forbid_extra_keys=True,
            _cattrs_prefer_attrib_converters=True,
            **nested,
        )
        converter.register_unstructure_hook(kind.record, unstructure)
        converter.register_structure_hook(kind.record, structure)
    return converter


def to_dict(record: Record) -> dict[str, Any]:
    """Return *record* as JSON-able values under its public names: decimals and times as exact texts, what is missing as None."""
    result: dict[str, Any] = _converter().unstructure(record)
    return result


def from_dict(kind: Kind | str | type[Any], data: Mapping[str, Any]) -> Any:
    """Return the record of *kind* that :func:`to_dict` made *data* from; fields left out take their defaults.

    :raises DataError: naming every field that is missing, unknown, or not what it claims to be.
    """
    from cattrs import BaseValidationError, transform_error

    record = kind_of(kind).record
    if not isinstance(data, Mapping):
        raise DataError(f"{record.__name__}: a mapping of field names to values is needed, not {type(data).__name__}")
    try:
        return _converter().structure(data, record)
    except BaseValidationError as error:
        own = [problem.message for problem in _leaves(error) if isinstance(problem, DataError)]
        rest = [
            text.replace("$.ts_ns", "$.timestamp") for text in transform_error(error) if "unknown error" not in text
        ]
        raise DataError("; ".join([*own, *(f"{record.__name__}: {text}" for text in rest)]), value=dict(data)) from None


def _leaves(error: BaseException) -> list[BaseException]:
    return (
        [leaf for each in error.exceptions for leaf in _leaves(each)]
        if isinstance(error, BaseExceptionGroup)
        else [error]
    )


# JSON-like data, with the types JSON lacks written as an object of one key that begins with "$".


def _plain(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in (str, bool, int):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is list:
        return [_plain(each) for each in value]
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: _plain(each) for key, each in value.items()}
        return {"$map": [[_plain(key), _plain(each)] for key, each in value.items()]}
    if (tag := _TAGS.get(kind)) is None:
        raise CacheError(
            f"a value of type {kind.__module__}.{kind.__qualname__} cannot be cached",
            hint="cache records, lists of them, Arrow tables, bytes, Decimal, datetime, or what JSON can say",
        )
    return {tag: _TO_PLAIN[tag](value)}


def _lively(value: Any) -> Any:
    if type(value) is list:
        return [_lively(each) for each in value]
    if type(value) is not dict:
        return value
    if len(value) == 1:
        ((tag, content),) = value.items()
        if tag.startswith("$"):
            return _FROM_PLAIN[tag](content)
    return {key: _lively(each) for key, each in value.items()}


_TAGS: Final[Mapping[type[Any], str]] = {
    tuple: "$tuple",
    Decimal: "$decimal",
    datetime: "$datetime",
    bytes: "$bytes",
    **{kind.record: f"${kind.singular}" for kind in KINDS.values()},
}
_TO_PLAIN: Final[Mapping[str, Callable[[Any], Any]]] = {
    "$tuple": lambda value: [_plain(each) for each in value],
    "$decimal": str,
    "$datetime": datetime.isoformat,
    "$bytes": lambda value: base64.b64encode(value).decode(),
    **{f"${kind.singular}": to_dict for kind in KINDS.values()},
}
_FROM_PLAIN: Final[Mapping[str, Callable[[Any], Any]]] = {
    "$float": float,
    "$map": lambda pairs: {_lively(key): _lively(each) for key, each in pairs},
    "$tuple": lambda content: tuple(map(_lively, content)),
    "$decimal": Decimal,
    "$datetime": datetime.fromisoformat,
    "$bytes": base64.b64decode,
    **{f"${kind.singular}": functools.partial(from_dict, kind) for kind in KINDS.values()},
}


def _encode_tree(value: Any) -> bytes:
    try:
        return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False).encode()
    except RecursionError:
        raise CacheError("a value that is nested too deeply, or contains itself, cannot be cached") from None
    except ValueError as error:  # an integer of more digits than Python will write
        raise CacheError(f"the value cannot be cached: {error}") from None


def _decode_tree(payload: memoryview) -> Any:
    text = bytes(payload)
    value = json.loads(text)
    return _lively(value) if b'"$' in text else value  # most have nothing that JSON lacks


# Arrow


def is_arrow_table(value: object) -> bool:
    """Tell whether *value* is an Arrow table, without importing Arrow to find out."""
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
    held = b""
    if kind is SNAPSHOTS:
        import pyarrow as pa

        positions = [position for snapshot in records for position in snapshot.positions]
        owners = [index for index, snapshot in enumerate(records) for _ in snapshot.positions]
        held = _encode_table(to_table(POSITIONS, positions).append_column("snapshot", pa.array(owners, pa.int64())))
    return _SPLIT.pack(type(records) is tuple, len(table)) + table + held


def _decode_records(kind: Kind, payload: memoryview) -> list[Any] | tuple[Any, ...]:
    is_tuple, length = _SPLIT.unpack_from(payload)
    records = from_table(kind, _decode_table(payload[_SPLIT.size : _SPLIT.size + length]))
    if kind is SNAPSHOTS:
        table = _decode_table(payload[_SPLIT.size + length :])
        held: list[list[Any]] = [[] for _ in records]
        for owner, position in zip(
            table.column("snapshot").to_pylist(), from_table(POSITIONS, table.drop_columns("snapshot")), strict=True
        ):
            held[owner].append(position)
        records = [
            evolve(record, positions=positions) if positions else record
            for record, positions in zip(records, held, strict=True)
        ]
    return tuple(records) if is_tuple else records


# The envelope: magic, checksum of the rest, length of the tag, tag, fingerprint, payload.

_MAGIC = b"FPA\x01"
_CHECKSUM = struct.Struct("<I")
_START = len(_MAGIC) + _CHECKSUM.size
_FINGERPRINT = 8


@frozen
class _Codec:
    fingerprint: bytes
    encode: Callable[[Any], bytes]
    decode: Callable[[memoryview], Any]


def _fingerprint(*kinds: Kind) -> bytes:
    """Digest the columns of *kinds*, so that bytes written before a class changed are not read as what they no longer are."""
    shape = [[kind.name, *((column.name, column.field, column.type) for column in kind.columns)] for kind in kinds]
    return hashlib.sha256(repr(shape).encode()).digest()[:_FINGERPRINT]


_CODECS: Final[Mapping[str, _Codec]] = {
    "bytes": _Codec(_fingerprint(), bytes, bytes),
    "table": _Codec(_fingerprint(), _encode_table, _decode_table),
    "json": _Codec(_fingerprint(*KINDS.values()), _encode_tree, _decode_tree),
    **{
        kind.name: _Codec(
            _fingerprint(kind, *([POSITIONS] if kind is SNAPSHOTS else [])),
            functools.partial(_encode_records, kind),
            functools.partial(_decode_records, kind),
        )
        for kind in KINDS.values()
    },
}


def _codec_for(value: object) -> str:
    if type(value) is bytes:
        return "bytes"
    if is_arrow_table(value):
        return "table"
    if type(value) in (list, tuple) and len(classes := set(map(type, value))) == 1:  # type: ignore[call-overload]
        (only,) = classes
        if _TAGS.get(only) is not None and (name := _TAGS[only].removeprefix("$") + "s") in KINDS:
            return name
    return "json"


def encode(value: object) -> bytes:
    """Return *value* in an envelope from which :func:`decode` makes an equal one.

    Records, lists and tuples of them, Arrow tables, bytes, Decimal, datetime, and what JSON can say, nested at will. An aware
    datetime keeps its offset, not the name of its zone.

    :raises CacheError: for a value of any other type, naming it.
    """
    tag = _codec_for(value)
    codec = _CODECS[tag]
    body = bytes([len(tag)]) + tag.encode() + codec.fingerprint + codec.encode(value)
    return _MAGIC + _CHECKSUM.pack(zlib.crc32(body)) + body


def decode(content: bytes) -> Any:
    """Return the value in an envelope.

    :raises EnvelopeError: for anything that :func:`encode`, of this version and with these record classes, did not make.
    """
    view = memoryview(content)
    if len(view) <= _START or view[: len(_MAGIC)] != _MAGIC:
        raise EnvelopeError("this is no envelope")
    body = view[_START:]
    if _CHECKSUM.unpack_from(view, len(_MAGIC)) != (zlib.crc32(body),):
        raise EnvelopeError("the envelope is damaged")
    end = 1 + body[0]
    codec = _CODECS.get(str(body[1:end], "latin-1"))
    if codec is None or body[end : end + _FINGERPRINT] != codec.fingerprint:
        raise EnvelopeError("the envelope holds a value of another version")
    try:
        return codec.decode(body[end + _FINGERPRINT :])
    except Exception as error:  # whatever a codec trips over, the bytes are of no use
        raise EnvelopeError(f"the value in the envelope cannot be read: {error}") from error
