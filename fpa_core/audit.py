"""Validation of what is stored: every rule, those about series and about records of several kinds too, over the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from fpa_core.arrow.columns import times_as_ns
from fpa_core.arrow.conversion import from_table
from fpa_core.exceptions import DataError
from fpa_core.kinds import BARS, KINDS, POSITIONS, QUOTES, SNAPSHOTS, TRADES, Kind, kind_of
from fpa_core.numbers import Instant
from fpa_core.patterns import escape
from fpa_core.validator.consistency import with_positions
from fpa_core.validator.result import ValidationResult, merged

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.models import PortfolioSnapshot
    from fpa_core.protocols import InventoryEntry
    from fpa_core.store import DataStore
    from fpa_core.validator import DataValidator

__all__ = ["AuditProgress", "audit"]

AuditProgress: TypeAlias = Callable[[int, float], None]
"""Called with the rows validated so far, and the share of what is to be done, from 0 to 1."""

MARKET: tuple[Kind, ...] = (QUOTES, TRADES, BARS)
"""The kinds that are compared symbol by symbol."""

ROWS_AT_ONCE = 500_000
"""About how many rows of a subject are in memory: time is divided so that a part has so many if they are spread evenly."""

SHORTEST_NS = 3_600_000_000_000
"""The shortest part of time, one hour."""


def audit(
    store: DataStore,
    validator: DataValidator,
    kind: Kind | str | type | None = None,
    *,
    since: int | None = None,
    progress: AuditProgress | None = None,
) -> ValidationResult:
    """Validate what is stored, and return counts and the first findings of each rule.

    Market data are read symbol by symbol, portfolio records together, each in the order of time and in parts of time, so that memory is bounded.
    Rules of scope ``dataset`` compare the rows of one part: trades with quotes, fills of orders with trades, positions with snapshots. Rules that
    compare a new record with the stored one have nothing to compare here, and are left out.

    :param kind: validate only this kind; the others are still read where a rule compares with them.
    :param since: validate only subjects of which a batch after this one brought rows.
    :raises DataError: if there is no batch *since*.
    """
    wanted = set(KINDS.values()) if kind is None else {kind_of(kind)}
    changed = None if since is None else _changed(store, since)
    groups = list(_groups(store, wanted, changed))
    total = sum(group.rows for group in groups) or 1
    done = 0
    results: list[ValidationResult] = []
    for group in groups:
        runs = {each: validator.start_run(against_store=False) for each in group.kinds if each in wanted}
        for start_ns, end_ns in group.parts():
            tables = {
                each: table for each in group.kinds if (table := group.read(store, each, start_ns, end_ns)).num_rows
            }
            if group.kinds is not MARKET and tables:
                tables |= _market(store, tables)
            for each, run in runs.items():
                if each in tables:
                    others = {other.name: table for other, table in tables.items() if other is not each}
                    run.validate(each, tables[each], _snapshots(tables) if each is SNAPSHOTS else None, others=others)
            done += sum(table.num_rows for each, table in tables.items() if each in group.kinds)
            if progress is not None:
                progress(done, min(1.0, done / total))
        results += [run.result() for run in runs.values()]
    return merged(results, validator.examples)


def _snapshots(tables: Mapping[Kind, pa.Table]) -> list[PortfolioSnapshot]:
    """Return the snapshots as records with their positions, which rules compare with the totals."""
    held = from_table(POSITIONS, tables[POSITIONS]) if POSITIONS in tables else []
    return list(with_positions(from_table(SNAPSHOTS, tables[SNAPSHOTS]), held))


class _Group:
    """Rows that are validated together: those of one symbol of the market, or all portfolio records.

    :ivar subjects: by kind, the subjects to validate; None for all.
    """

    def __init__(
        self, kinds: Sequence[Kind], subjects: Mapping[Kind, Sequence[str]], entries: Iterable[InventoryEntry]
    ) -> None:
        self.kinds = kinds
        self.subjects = subjects
        entries = list(entries)
        self.rows = sum(entry.rows for entry in entries)
        self.first_ns = min(entry.first_ns for entry in entries if entry.first_ns is not None)
        self.last_ns = max(entry.last_ns for entry in entries if entry.last_ns is not None)

    def parts(self) -> Iterator[tuple[int, int]]:
        """Yield the parts of time, half-open."""
        span = self.last_ns + 1 - self.first_ns
        length = max(SHORTEST_NS, span * ROWS_AT_ONCE // self.rows)
        for start_ns in range(self.first_ns, self.last_ns + 1, length):
            yield start_ns, min(start_ns + length, self.last_ns + 1)

    def read(self, store: DataStore, kind: Kind, start_ns: int, end_ns: int) -> pa.Table:
        """Return the rows of a kind in a part of time."""
        return _read(store, kind, self.subjects.get(kind, ()), start_ns, end_ns)


def _groups(store: DataStore, wanted: set[Kind], changed: Mapping[Kind, set[str]] | None) -> Iterator[_Group]:
    """Yield what there is to validate."""
    found = {kind: {entry.subject: entry for entry in store.inventory(kind)} for kind in KINDS.values()}
    touched = {
        kind: set(entries) if changed is None else changed.get(kind, set()) & entries.keys()
        for kind, entries in found.items()
        if kind in wanted
    }
    for symbol in sorted({symbol for kind in MARKET for symbol in touched.get(kind, ())}):
        entries = [found[kind][symbol] for kind in MARKET if symbol in found[kind]]
        yield _Group(MARKET, {kind: [symbol] for kind in MARKET}, entries)
    records = tuple(kind for kind in KINDS.values() if kind not in MARKET)
    if any(touched.get(kind) for kind in records):
        entries = [entry for kind in records for entry in found[kind].values()]
        yield _Group(records, {kind: sorted(found[kind]) for kind in records}, entries)


def _market(store: DataStore, tables: Mapping[Kind, pa.Table]) -> dict[Kind, pa.Table]:
    """Return the market data of the symbols of portfolio records, from an hour before the first to the last time that any of them names."""
    import pyarrow.compute as pc

    symbols: set[str] = set()
    times: list[int] = []
    for kind, table in tables.items():
        if "symbol" in kind.by_name:
            symbols.update(name for name in table.column("symbol").unique().to_pylist() if name is not None)
        for column in kind.columns:
            if column.type == "time":
                ends = pc.min_max(times_as_ns(table.column(column.name).combine_chunks()))
                times += [end for end in (ends["min"].as_py(), ends["max"].as_py()) if end is not None]
    start_ns, end_ns = min(times) - SHORTEST_NS, max(times) + 1
    found = {kind: _read(store, kind, sorted(symbols), start_ns, end_ns) for kind in MARKET}
    return {kind: table for kind, table in found.items() if table.num_rows}


def _read(store: DataStore, kind: Kind, subjects: Sequence[str], start_ns: int, end_ns: int) -> pa.Table:
    names = [escape(subject) for subject in subjects]
    return store.select(kind, names, start=Instant(start_ns), end=Instant(end_ns)).reader().read_all()


def _changed(store: DataStore, since: int) -> dict[Kind, set[str]]:
    """Return the subjects of which batches after *since* brought rows.

    :raises DataError: if there is no batch *since*.
    """
    if since and not store.backend.batches(batch=since):
        raise DataError(
            f"there is no batch {since}",
            hint="`fpa batches` lists them; 0 is before the first",
            field="since",
            value=since,
        )
    found: dict[Kind, set[str]] = {}
    for batch in store.batches(children=True):
        if batch.id <= since:
            break
        for kind in KINDS.values():
            column = kind.by_field[kind.subject].name
            for part in store.select(kind, batch=batch.id, columns=[column]).batches():
                found.setdefault(kind, set()).update(part.column(column).unique().to_pylist())
    return found
