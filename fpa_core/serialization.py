"""Convert records to JSON-compatible dicts and back."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import fields

from fpa_core.exceptions import DataError
from fpa_core.kinds import KINDS, POSITIONS, Kind, kind_of
from fpa_core.numbers import decimal_text, ns_text

if TYPE_CHECKING:
    import cattrs

    from fpa_core.models import Record

__all__ = ["from_dict", "to_dict"]


@functools.cache
def _converter() -> cattrs.Converter:
    """Return the converter, made at the first call, because importing cattrs is slow."""
    import cattrs
    from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

    # The converters of the classes check every value, so cattrs only matches names.
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
            attribute.name: override(
                struct_hook=lambda positions, _: tuple(from_dict(POSITIONS, each) for each in positions)
            )
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
    """Return *record* as JSON-compatible values by public name: decimals and times as exact texts, missing values as None."""
    result: dict[str, Any] = _converter().unstructure(record)
    return result


def from_dict(kind: Kind | str | type[Any], data: Mapping[str, Any]) -> Any:
    """Return the record of *kind* from *data* as made by :func:`to_dict`; missing optional fields get their defaults.

    :raises DataError: naming every field that is missing, unknown or invalid.
    """
    from cattrs import BaseValidationError, transform_error

    record = kind_of(kind).record
    if not isinstance(data, Mapping):
        raise DataError(f"{record.__name__}: expected a mapping of field names to values, not {type(data).__name__}")
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
