"""What a cached read depends on, and what a write changes: the tags of the one are those that the other ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fpa_core.kinds import POSITIONS, SNAPSHOTS, Kind
from fpa_core.protocols import Query

__all__ = ["changed_tags", "read_tags"]

MANY = 64
"""Symbols beyond which a read is tied to its whole kind instead of to each of them."""


def read_tags(query: Query) -> list[str]:
    """Name what a read depends on: each symbol, or the whole kind; and always whatever changes a kind beyond telling where."""
    kind = query.kind.name
    subjects = query.only
    by_subject = subjects is not None and len(subjects) <= MANY
    return [f"{kind}!", *([f"{kind}/{subject}" for subject in subjects or ()] if by_subject else [f"{kind}/*"])]


def changed_tags(changed: Mapping[Kind, Iterable[str] | None]) -> list[str]:
    """Name what a write changed: the symbols of each kind, or None where they are not known."""
    tags: list[str] = []
    for kind, subjects in changed.items():
        if subjects is None:
            tags.append(f"{kind.name}!")
        else:
            tags += [f"{kind.name}/*", *(f"{kind.name}/{subject}" for subject in subjects)]
    if POSITIONS in changed:
        tags.append(f"{SNAPSHOTS.name}!")  # a snapshot is read with its positions
    return tags
