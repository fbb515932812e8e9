"""Values that no store can hold, refused before a database is asked for them: so each store answers alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fpa_core.exceptions import DataError
from fpa_core.protocols import QuarantineQuery, Query

__all__ = ["check_quarantine_query", "check_query", "check_values"]


_FURTHER = ("origins", "batch", "limit")


def check_query(query: Query) -> None:
    """Check what a query of rows asks for."""
    for subject in query.subjects or ():
        if not (type(subject) is str and subject.isascii()):
            _check("subjects", subject)
    if query.patterns or query.equal or any(getattr(query, name) is not None for name in _FURTHER):
        check_values({"patterns": query.patterns, **{name: getattr(query, name) for name in _FURTHER}, **query.equal})


def check_quarantine_query(query: QuarantineQuery) -> None:
    """Check what a query of rejected records asks for."""
    numbers = {"id": query.ids, "batch": query.batch, "changed_by": query.changed_by, "limit": query.limit}
    check_values({**numbers, "symbol": query.symbols, "rule": query.rules, "origin": query.origins})


def check_values(values: Mapping[str, Any]) -> None:
    """Check values, or tuples of them, by their names.

    :raises DataError: if a number is beyond 64 bits, or a text is not valid Unicode.
    """
    for name, given in values.items():
        _check(name, given)


def _check(name: str, given: Any) -> None:
    for value in given if isinstance(given, tuple) else (given,):
        if isinstance(value, str) and not value.isascii():
            _check_text(name, value)
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise DataError(f"{name}: {value} is beyond 64 bits", field=name, value=value)


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(f"{name}: {text!r} is not valid Unicode", field=name, value=text) from None
