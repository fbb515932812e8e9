"""Values that no store can hold, refused before a database is asked for them: so each store answers alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from fpa_core.exceptions import DataError
from fpa_core.protocols import QuarantineQuery, Query

__all__ = ["check_quarantine_query", "check_query", "check_values"]


def check_query(query: Query) -> None:
    """Check what a query of rows asks for."""
    for subject in query.subjects or ():
        if not (type(subject) is str and subject.isascii()):
            _check("subjects", subject)
    if query.batch is not None or query.limit is not None or query.equal:
        check_values({"batch": query.batch, "limit": query.limit, **query.equal})
    if query.patterns or query.origins is not None:
        _check_each({"patterns": query.patterns, "origins": query.origins})


def check_quarantine_query(query: QuarantineQuery) -> None:
    """Check what a query of rejected records asks for."""
    check_values({"batch": query.batch, "changed_by": query.changed_by, "limit": query.limit})
    _check_each({"id": query.ids, "symbol": query.symbols, "rule": query.rules, "origin": query.origins})


def check_values(values: Mapping[str, Any]) -> None:
    """Check values by their names; None is no value.

    :raises DataError: if a number is beyond 64 bits, a text is not valid Unicode, or a value is neither.
    """
    for name, value in values.items():
        _check(name, value)


def _check_each(values: Mapping[str, Sequence[Any] | None]) -> None:
    for name, several in values.items():
        for value in several or ():
            _check(name, value)


def _check(name: str, value: Any) -> None:
    if isinstance(value, str):
        if not value.isascii():
            _check_text(name, value)
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise DataError(f"{name}: {value} is beyond 64 bits", field=name, value=value)
    elif value is not None and not isinstance(value, Decimal):
        raise DataError(f"{name}: {value!r} is neither a text nor a number", field=name, value=value)


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(f"{name}: {text!r} is not valid Unicode", field=name, value=text) from None
