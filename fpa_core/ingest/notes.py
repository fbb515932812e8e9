"""The notes of a receipt: what the user should know of a batch beyond its counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fpa_core.kinds import Kind
    from fpa_core.store.batch import StoreBatch

__all__ = ["kept_in_part", "known_rows", "skipped_rows"]


def kept_in_part(*, grown: bool, rows: int) -> Iterator[str]:
    """Yield notes on what is not kept: the digest of a file that has grown, and the ends of rejected *rows*."""
    if grown:
        yield "the file grew while it was being read, so its digest is not kept: ingest it again for the rest"
    if rows:
        kept = f"{rows:,} rejected rows are kept in part: their beginning, their length and their SHA-256"
        yield f"{kept}; to read them again, ingest the file again"


def skipped_rows(empty: int, left_out: int) -> Iterator[str]:
    """Yield notes on rows that were not read: *empty* ones, and those *left_out* by the format."""
    if empty:
        yield f"{empty:,} empty rows were skipped"
    if left_out:
        yield f"{left_out:,} rows of other types, which the format does not read, were skipped"


def known_rows(batch: StoreBatch, kinds: Iterable[Kind]) -> Iterator[str]:
    """Yield notes on rows that the batch, the quarantine or the store had already."""
    if batch.counts.repeated:
        unique = [kind for kind in kinds if kind.venue_id or not kind.multiset]
        keys = " and ".join(f"{kind.name} are stored once per {_key(kind)}" for kind in unique)
        yield f"{batch.counts.repeated:,} rows repeat a row of the same batch and were stored only once: {keys}"
    if batch.known:
        yield f"{batch.known:,} rejected rows were already in quarantine and are counted as duplicates"
    if batch.counts.revised:
        yield f"{batch.counts.revised:,} rows are new versions of stored rows; earlier versions stay in the history"


def _key(kind: Kind) -> str:
    names = kind.venue_id if kind.multiset else kind.key
    *most, last = [kind.by_field[name].name.replace("_", " ") for name in names]
    return f"{', '.join(most)} and {last}" if most else last
