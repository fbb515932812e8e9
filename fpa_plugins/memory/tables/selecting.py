"""What queries select by names and patterns."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from fpa_core.patterns import compiled
from fpa_core.protocols import Query

__all__ = ["chosen", "matches_any"]


def chosen(query: Query, subjects: Collection[str]) -> set[str]:
    """Return which of *subjects* a query selects."""
    if query.subjects is None and not query.patterns:
        return set(subjects)
    named = {name for name in query.subjects or () if name in subjects}
    return named | {name for name in subjects if matches_any(query.patterns, name)}


def matches_any(patterns: Iterable[str] | None, text: str | None) -> bool:
    """Return whether *text* matches one of the patterns, or there are none to match."""
    return patterns is None or (text is not None and any(compiled(one).fullmatch(text) for one in patterns))
