"""C1 and C3 as a reader sees them: selections, order, limits, patterns, counts and the inventory."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from attrs import frozen
from hypothesis import strategies as st

from fpa_core.arrow.conversion import from_table, to_table
from fpa_core.exceptions import DataError
from fpa_core.kinds import BARS, QUOTES, Kind, kind_of
from fpa_core.models import Bar, Quote
from fpa_core.numbers import Instant
from fpa_core.patterns import escape
from fpa_core.protocols import QuarantineQuery, Query, StoreBackend
from fpa_core.store import DataStore
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.base import Fresh, StoreTests, law
from fpa_core.testing.store.multisets import few_quotes
from fpa_core.testing.store.versions import few_bars

__all__ = ["QueryTests"]

SYMBOLS = ["BRK", "BRK*", "BRK?", "BRK[B]", "BRKB", "*", "?", "[", "\\", "BRK\\*", "%", "_", "brk"]

ORIGINS = ("files:one", "files:two", "live")


@frozen
class Asked:
    """The conditions of a query, without its kind; *batch* counts round those there are."""

    subjects: tuple[str, ...] | None
    patterns: tuple[str, ...]
    start: int | None
    end: int | None
    equal: dict[str, Any]
    batch: int | None
    origins: tuple[str, ...] | None
    limit: int | None
    reverse: bool


asked = st.builds(
    Asked,
    st.none() | st.lists(st.sampled_from(["A", "B", "C"]), max_size=2, unique=True).map(tuple),
    st.sampled_from([(), (), ("?",), ("A*",), ("B", "?A")]).map(tuple),
    st.none() | st.integers(-1, 6),
    st.none() | st.integers(-1, 7),
    st.just({}) | st.sampled_from([1, 2]).map(lambda price: {"bid": price}),
    st.none() | st.none() | st.integers(0, 9),
    st.none() | st.none() | st.sampled_from([("files:*",), ("live", "files:one"), ("x",)]),
    st.none() | st.integers(0, 5),
    st.booleans(),
)


def _answer(rows: list[tuple[Any, int, str]], query: Query) -> list[Any]:
    """Return the records that *query* selects of all, each with its batch and the origin of that."""
    found = [
        record
        for record, batch, origin in rows
        if (
            (query.subjects is None and not query.patterns)
            or record.symbol in (query.subjects or ())
            or any(fnmatchcase(record.symbol, pattern) for pattern in query.patterns)
        )
        and (query.start_ns is None or query.start_ns <= record.ts_ns)
        and (query.end_ns is None or record.ts_ns < query.end_ns)
        and all(getattr(record, name) == value for name, value in query.equal.items())
        and query.batch in {None, batch}
        and (query.origins is None or any(fnmatchcase(origin, pattern) for pattern in query.origins))
    ]
    return (found[::-1] if query.reverse else found)[: query.limit]


def _scanned(backend: StoreBackend, query: Query, rows: int = 16_384) -> list[Any]:
    return [record for batch in backend.scan(query, rows) for record in from_table(query.kind, batch)]


class QueryTests(StoreTests):
    """A query selects exactly the rows that meet all of its conditions, in order."""

    @holds(Contract.C1)
    @law(st.lists(st.lists(few_quotes | few_bars, max_size=8), min_size=1, max_size=3), st.lists(asked, max_size=8))
    def test_queries_against_a_plain_list(self, fresh: Fresh, batches: list[list[Any]], questions: list[Asked]) -> None:
        """Any query gives what a search of a plain list gives, and counting it gives the number of its rows."""
        with fresh() as store:
            origins = {}
            for records, origin in zip(batches, ORIGINS, strict=False):
                origins[store.save(records, origin=origin).batch] = origin
            for kind in (QUOTES, BARS):
                owners = {number: _scanned(store.backend, Query(kind, batch=number)) for number in origins}
                rows = []
                for record in _scanned(store.backend, Query(kind)):  # the order is what other tests check
                    number = next(one for one in owners if record in owners[one])
                    owners[number].remove(record)
                    rows.append((record, number, origins[number]))
                assert not any(owners.values()), "rows by batch are not the rows of all batches"
                for question in questions:
                    query = self._query(kind, question, sorted(origins))
                    found = _scanned(store.backend, query, 3)
                    assert _answer(rows, query) == found
                    assert len(found) == store.backend.count(query)

    @staticmethod
    def _query(kind: Kind, question: Asked, ids: list[int]) -> Query:
        return Query(
            kind,
            question.subjects,
            question.start,
            question.end,
            question.equal if kind is QUOTES else {"interval": "1m"} if question.equal else {},
            None if question.batch is None else ids[question.batch % len(ids)],
            limit=question.limit,
            reverse=question.reverse,
            patterns=question.patterns,
            origins=question.origins,
        )

    @holds(Contract.C1)
    def test_a_part_of_a_table_has_few_of_its_symbols(self, store: DataStore) -> None:
        """A table whose dictionary of symbols names more than its rows have is taken."""
        quotes = [Quote(symbol, Instant(1), 1, 2) for symbol in "ABC"]
        table = to_table(QUOTES, quotes)
        table = table.set_column(0, "symbol", table.column("symbol").dictionary_encode())
        for number in (0, 2, 1):
            with store.batch() as batch:
                assert 1 == batch.write(QUOTES, table.slice(number, 1)).inserted
        assert quotes == store.get_quotes()

    @holds(Contract.C1)
    def test_a_selection_of_nothing_is_no_error(self, store: DataStore) -> None:
        """Deleting the first of no rows deletes none."""
        assert ("0 quotes deleted",) == store.delete(store.select(Quote, "A", limit=1)).notes

    @holds(Contract.C1)
    def test_ranges_are_half_open(self, store: DataStore) -> None:
        """The start of a range is included and its end is not."""
        store.save([Quote("A", Instant(ts), 1, 2) for ts in range(6)])
        assert [quote.ts_ns for quote in store.get_quotes("A", 2, 4)] == [2, 3]
        assert store.get_quotes("A", 3, 3) == []
        assert [quote.ts_ns for quote in store.get_quotes("A", 3, 4)] == [3]
        assert (store.select(Quote, "A", start=3).count(), store.select(Quote, "A", end=2).count()) == (3, 2)

    @holds(Contract.C1)
    def test_limits_count_from_either_end(self, store: DataStore) -> None:
        """A limit counts from the start, and from the end when the latest come first."""
        store.save([Quote("A", Instant(ts), 1, 2) for ts in range(6)])
        assert [quote.ts_ns for quote in store.get_quotes("A", limit=2)] == [0, 1]
        assert [quote.ts_ns for quote in store.select(Quote, "A", limit=2, latest_first=True)] == [5, 4]
        assert store.get_quotes("A", limit=0) == []
        assert store.select(Quote, "A", limit=2).count() == 2

    @holds(Contract.C1)
    def test_latest_first_is_the_reverse(self, store: DataStore) -> None:
        """Reading the latest first gives the same rows in the opposite order, rows of one time too."""
        store.save([Quote(s, Instant(ts), bid, 9) for s in "BA" for ts in (2, 1) for bid in (3, 1, 2)])
        assert store.get_quotes()[::-1] == store.select(Quote, latest_first=True).to_list()

    @holds(Contract.C1)
    def test_conditions_on_columns(self, store: DataStore) -> None:
        """Rows can be chosen by the value of any column, a missing one too."""
        rows = [
            Quote("A", Instant(ts), bid, 9, conditions=word)
            for ts, bid, word in ((1, "1.5", "x"), (2, "1.50", None), (3, 2, "x"), (4, None, None))
        ]
        store.save(rows)
        assert rows[:2] == store.select(Quote, "A", bid="1.500").to_list()
        assert [rows[0], rows[2]] == store.select(Quote, conditions="x").to_list()
        assert [rows[3]] == store.select(Quote, bid=None).to_list()
        assert [rows[2]] == store.select(Quote, timestamp=3, symbol="A").to_list()
        assert store.select(Quote, bid="1.5").count() == 2
        assert store.select(Quote, bid="1.5", conditions="y").to_list() == []

    @holds(Contract.C1)
    @pytest.mark.parametrize(
        "make",
        [lambda s, t: Quote(s, Instant(t), 1, 2), lambda s, t: Bar(s, Instant(t), 1, 1, 1, 1, 1, "1m")],
        ids=["quotes", "bars"],
    )
    def test_patterns_of_symbols(self, store: DataStore, make: Any) -> None:
        """In a pattern only ``*``, ``?`` and a backslash are special: brackets, percent signs and the like mean themselves."""
        records = [make(name, number) for number, name in enumerate(SYMBOLS)]
        store.save(records)
        what = type(records[0])
        expected = {
            "BRK[B]": {"BRK[B]"},
            "BRK*": {"BRK", "BRK*", "BRK?", "BRK[B]", "BRKB", "BRK\\*"},
            "BRK?": {"BRK*", "BRK?", "BRKB"},
            "BRK\\?": {"BRK?"},
            "BRK[?]": {"BRK[B]"},
            "*[*": {"BRK[B]", "["},
            "?": {"*", "?", "[", "\\", "%", "_"},
            "*": set(SYMBOLS),
            "%": {"%"},
            "_": {"_"},
            "[": {"["},
            "b*": {"brk"},
        }
        assert expected == {pattern: {record.symbol for record in store.select(what, pattern)} for pattern in expected}
        assert {pattern: len(names) for pattern, names in expected.items()} == {
            pattern: store.select(what, pattern).count() for pattern in expected
        }
        assert {"A", "BRK", "brk"} & set(SYMBOLS) == {r.symbol for r in store.select(what, ["A", "BRK", "br?"])}
        for name, record in zip(SYMBOLS, records, strict=True):
            assert [record] == store.select(what, escape(name)).to_list()

    @holds(Contract.C1)
    def test_hostile_names_are_only_names(self, store: DataStore) -> None:
        """A query language in a symbol is a symbol."""
        symbol = "x'; DROP TABLE quotes; --"
        store.save(Quote(symbol, Instant(1), 1, 2))
        assert [symbol] == [quote.symbol for quote in store.get_quotes(symbol)]
        assert store.get_quotes("' OR 1=1 --") == []

    @holds(Contract.C1)
    def test_scan_in_small_batches(self, backend: StoreBackend, store: DataStore) -> None:
        """A scan yields no more rows at once than asked, and all of them, with the columns asked for in their order."""
        store.save([Quote("A", Instant(ts), ts, 2) for ts in range(10)])
        batches = list(backend.scan(Query(QUOTES), rows=4, columns=["bid", "symbol"]))
        assert (max(batch.num_rows for batch in batches) <= 4, sum(batch.num_rows for batch in batches)) == (True, 10)
        assert {("bid", "symbol")} == {tuple(batch.schema.names) for batch in batches}
        assert list(range(10)) == [quote.bid for quote in store.get_quotes()]

    @holds(Contract.C1)
    @pytest.mark.parametrize("what", [Quote, Bar])
    def test_a_reading_broken_off_holds_nothing(self, what: type[Any], store: DataStore) -> None:
        """A reader that stops in the middle gets the newest rows the next time."""
        rows: list[Any] = [Quote("A", Instant(ts), 1, 2) for ts in range(9)] + [
            Bar("A", Instant(ts), 1, 1, 1, 1, 1, "1m") for ts in range(9)
        ]
        store.save(rows)
        for part in (store.select(what, limit=2), store.select(what), store.select(what, latest_first=True)):
            reading = iter(part.batches(1))
            next(reading)
            del reading
        store.save([Quote("A", Instant(100), 1, 2), Bar("A", Instant(100), 1, 1, 1, 1, 1, "1m")])
        assert store.select(what).count() == len(store.select(what).to_list()) == 10

    @holds(Contract.C3)
    def test_inventory(self, store: DataStore) -> None:
        """The inventory gives rows, first and last time of each symbol, by kind and in the order of symbols."""
        rows = [
            Quote("B", Instant(1), 1, 2),
            Quote("A", Instant(3), 1, 2),
            Quote("A", Instant(2), 1, 2),
            Quote("A", Instant(2), 1, 2),
            Bar("A", Instant(0), 1, 1, 1, 1, 1, "1d"),
        ]
        store.save(rows)
        found = [(e.kind, e.subject, e.rows, e.first_ns, e.last_ns) for e in store.inventory()]
        assert found == [("quotes", "A", 3, 2, 3), ("quotes", "B", 1, 1, 1), ("bars", "A", 1, 0, 0)]
        assert [e.subject for e in store.inventory(Quote) if e.subject != "A"] == ["B"]
        store.delete(store.select(Quote, "B"))
        assert [e.subject for e in store.inventory(Quote)] == ["A"]

    @holds(Contract.C3)
    @law(st.lists(few_quotes | few_bars, max_size=12), st.integers(0, 5))
    def test_the_inventory_agrees_with_a_scan(self, fresh: Fresh, records: list[Any], start: int) -> None:
        """The inventory is what counting all rows gives, after rows were deleted too."""
        with fresh() as store:
            store.save(records)
            store.delete(store.select(Quote, "A", start=start))
            expected: dict[tuple[str, str], list[int]] = {}
            stored: list[Any] = [*store.get_quotes(), *store.get_bars()]
            for record in stored:
                expected.setdefault((kind_of(record).name, record.symbol), []).append(record.ts_ns)
            assert {key: (len(times), min(times), max(times)) for key, times in expected.items()} == {
                (e.kind, e.subject): (e.rows, e.first_ns, e.last_ns) for e in store.inventory()
            }

    @holds(Contract.C3)
    def test_rows_by_origin(self, store: DataStore) -> None:
        """Rows can be selected by the origin of the batch that brought them first."""
        rows = [Quote("A", Instant(ts), 1, 2) for ts in range(4)]
        store.save(rows[:2], origin="files:one")
        store.save(rows[1:3], origin="files:two")
        store.save(rows[3:], origin="live")
        assert rows[:2] == store.select(Quote, origin="files:one").to_list()
        assert rows[:3] == store.select(Quote, origin="files:*").to_list()
        assert rows[2:] == store.select(Quote, origin=["live", "files:two"]).to_list()
        assert store.select(Quote, origin="api").to_list() == []

    @holds(Contract.C1)
    def test_what_no_store_can_hold_is_refused(self, backend: StoreBackend) -> None:
        """A question for a number beyond 64 bits, or a text that is not Unicode, is refused by an error of this project."""
        far, lone = 2**63, "A\ud800"
        for query in (
            Query(QUOTES, batch=far),
            Query(QUOTES, batch=-far - 1),
            Query(QUOTES, limit=far),
            Query(QUOTES, (lone,)),
            Query(QUOTES, patterns=(f"{lone}*",)),
            Query(QUOTES, origins=(lone,)),
            Query(QUOTES, equal={"conditions": lone}),
        ):
            with pytest.raises(DataError, match=r"is beyond 64 bits|is not valid Unicode"):
                next(iter(backend.scan(query)), None)
            with pytest.raises(DataError):
                backend.count(query)
        for rejected in (
            QuarantineQuery(ids=(1, far)),
            QuarantineQuery(batch=far),
            QuarantineQuery(limit=far),
            QuarantineQuery(symbols=(lone,)),
            QuarantineQuery(rules=(lone,)),
        ):
            with pytest.raises(DataError):
                next(iter(backend.quarantined(rejected)), None)
        with pytest.raises(DataError):
            backend.batches(batch=far)
        with pytest.raises(DataError):
            backend.batches(limit=far)
        with pytest.raises(DataError), backend.transaction(origin=lone):
            pass
        assert [] == list(backend.batches())
