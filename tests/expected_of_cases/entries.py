"""The form of an expectation: what a person says, and what comes of it."""

from __future__ import annotations

from typing import Any

from attrs import evolve, field, frozen

from fpa_core.models import Record

__all__ = ["ENTRIES", "SIMPLE", "Entry", "refused", "stored", "wrong"]

SIMPLE = frozenset({"format", "tz", "symbol", "interval"})
"""What a person says of a good file at most."""


@frozen
class Entry:
    """What comes of files that are ingested in this order into an empty database.

    :ivar options: what the person says besides the names of the files.
    :ivar records: what the database holds in the end.
    :ivar rejected: rows that are set aside, by their number, and a word of the reason; counted over all files.
    :ivar flags: rules whose warning the receipt of the last file must have.
    :ivar refusal: words of the error and its hint, of a file that is refused; nothing is stored then.
    :ivar wrong: what the reader does instead, until it is mended.
    """

    files: tuple[str, ...]
    options: dict[str, Any] = field(factory=dict)
    records: tuple[Record, ...] = ()
    rejected: dict[int, str] = field(factory=dict)
    flags: frozenset[str] = frozenset()
    refusal: tuple[str, ...] = ()
    wrong: str | None = None

    @property
    def simple(self) -> bool:
        """Whether the files are stored with nothing said but the format, the zone, the symbol and the interval."""
        return not self.refusal and self.wrong is None and set(self.options) <= SIMPLE


ENTRIES = tuple[Entry, ...]


def stored(
    files: str | tuple[str, ...],
    *records: Record,
    rejected: dict[int, str] | None = None,
    flags: tuple[str, ...] = (),
    **options: Any,
) -> Entry:
    """Return the entry of files that are stored."""
    names = (files,) if isinstance(files, str) else files
    return Entry(names, options, records, rejected or {}, frozenset(flags))


def refused(name: str, *words: str, **options: Any) -> Entry:
    """Return the entry of a file that is refused."""
    return Entry((name,), options, refusal=words)


def wrong(entry: Entry, what: str) -> Entry:
    """Return *entry* with what happens instead for now."""
    return evolve(entry, wrong=what)
