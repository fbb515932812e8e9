"""Tags of what a cached read depends on, and of what a write changes; a write invalidates the tags of the reads it affects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fpa_core.kinds import POSITIONS, SNAPSHOTS, Kind
from fpa_core.protocols import Query

__all__ = ["changed_tags", "read_tags"]

MANY = 64
"""Number of symbols above which a read depends on its whole kind instead of on each symbol."""


def read_tags(query: Query) -> list[str]:
    """Return the tags of a read: each symbol or the whole kind, and changes of the kind whose symbols are unknown."""
    kind = query.kind.name
    subjects = query.only
    by_subject = subjects is not None and len(subjects) <= MANY
    return [f"{kind}!", *([f"{kind}/{subject}" for subject in subjects or ()] if by_subject else [f"{kind}/*"])]


def changed_tags(changed: Mapping[Kind, Iterable[str] | None]) -> list[str]:
    """Return the tags of a write.

    :param changed: the symbols changed, by kind; None if they are unknown.
    """
    tags: list[str] = []
    for kind, subjects in changed.items():
        if subjects is None:
            tags.append(f"{kind.name}!")
        else:
            tags += [f"{kind.name}/*", *(f"{kind.name}/{subject}" for subject in subjects)]
    if POSITIONS in changed:
        tags.append(f"{SNAPSHOTS.name}!")  # a snapshot is read with its positions
    return tags
