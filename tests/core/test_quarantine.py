"""The quarantine: nothing refused is lost or doubled, and what is put in after all is what would have been there without the rules."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
import strategies as own
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

import fpa_core
from fpa_core import hookimpl
from fpa_core.arrow.conversion import from_table, to_table
from fpa_core.exceptions import DataError, ValidationError
from fpa_core.ingest import ingest
from fpa_core.kinds import KINDS, kind_of
from fpa_core.layer import DataLayer
from fpa_core.models import Bar, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.plugins import PluginManager
from fpa_core.protocols import Quarantined, SourceRequest
from fpa_core.quarantine import COLUMNS
from fpa_core.quarantine.replay import values_of
from fpa_core.validator import ERROR, Rule

GOOD = Quote("A", Instant(1), "1.10", "1.20")
CROSSED = Quote("A", Instant(1), "1.30", "1.20")
FILES = (
    "bars_single_price_1d_WTI_1986_on",
    "bars_us_equity_1d_SPY_AAPL_1998_2021",
    "quotes_fx_fxcm_EURUSD_2014-05-04_06",
    "trades_future_GC_2013-10-07",
)


class Again(Rule):
    """A record is not the same as an earlier one."""

    id = "test.again"
    kind = tuple(KINDS)
    scope = "series"
    needs = ("memory",)
    levels = ERROR

    def check(self, record: Any, memory: dict[str, Any]) -> bool:
        seen = memory.setdefault("seen", set())
        new = record not in seen
        seen.add(record)
        return new


def open_at(folder: Path, level: str = "standard", name: str = "test.db", extra: Any = ()) -> DataLayer:
    environ = {"FPA_STORE__PATH": str(folder / name), "FPA_VALIDATOR__LEVEL": level}
    environ["FPA_VALIDATOR__RULES__time.past__EARLIEST"] = "1677-09-22"  # the times here are short, and of 1970
    return fpa_core.open(environ=environ, plugins=PluginManager(extra=extra))


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[DataLayer]:
    """Open a layer that refuses much."""
    with open_at(tmp_path, "strict") as data:
        yield data


@pytest.fixture
def standard(tmp_path: Path, strict: DataLayer) -> Iterator[DataLayer]:  # noqa: ARG001  # opened before, closed after
    """Open a layer over the same database that refuses little."""
    with open_at(tmp_path) as data:
        yield data


def counts(receipt: Any) -> tuple[int, int, int, int, int]:
    return receipt.read, receipt.inserted, receipt.duplicate, receipt.revised, receipt.quarantined


def rows(data: DataLayer, kind: Any) -> Counter[Any]:
    return Counter(data.select(kind).to_list())


def states(data: DataLayer) -> Counter[str]:
    return Counter(str(record.state) for record in data.quarantine.list())


# Replay


@pytest.mark.parametrize("name", FILES)
def test_replay_of_real_rows_brings_back_every_row(shared_data: Path, tmp_path: Path, name: str) -> None:
    """What strict refuses of the first rows of a real file is, with what it accepts, after a replay exactly what standard stores."""
    path = tmp_path / f"{name}.csv"
    with gzip.open(shared_data / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        path.write_text("".join(islice(file, 12_000)), encoding="utf-8", newline="")
    check_replay(path, tmp_path)


@pytest.mark.torture
@pytest.mark.parametrize("name", FILES)
def test_replay_of_a_real_file_brings_back_every_row(shared_data: Path, tmp_path: Path, name: str) -> None:
    """What strict refuses of a real file is, with what it accepts, after a replay exactly what standard stores."""
    check_replay(shared_data / f"{name}.csv.gz", tmp_path)


def check_replay(path: Path, tmp_path: Path) -> None:
    kind = path.name.partition("_")[0]
    with open_at(tmp_path, name="other.db") as data:
        whole = data.ingest(path)
        expected = rows(data, kind)
    with open_at(tmp_path, "strict") as data:
        first = data.ingest(path)
        assert first.quarantined > 0
        assert (whole.read, 0, whole.read, 0, 0) == counts(data.ingest(path))
    with open_at(tmp_path) as data:
        (receipt,) = data.quarantine.replay()
        assert (first.quarantined, first.quarantined, 0, 0, 0) == counts(receipt)
        assert (0, expected) == (data.quarantine.count(state="open"), rows(data, kind))
        assert 0 == data.ingest(path).inserted
    with open_at(tmp_path, "strict") as data:
        assert (whole.read, 0, whole.read, 0, 0) == counts(data.ingest(path))


MIXED = st.lists(
    st.one_of(
        own.quotes(st.just("A"), own.FEW_NS),
        own.trades(st.sampled_from("AB"), own.FEW_NS),
        st.sampled_from([GOOD, CROSSED]),
    ),
    max_size=12,
)


@own.costly(3)
@given(MIXED, st.lists(MIXED, max_size=2), st.booleans())
@example([GOOD, GOOD, CROSSED, CROSSED], [[CROSSED, CROSSED, CROSSED]], True)
@example([GOOD], [[GOOD, GOOD, GOOD]], False)
@example([Trade("A", Instant(0), 1, 1, trade_id="7"), Trade("A", Instant(0), 1, 0, trade_id="7")], [], False)
@example([Trade("A", Instant(0), 1, 0, trade_id="7"), Trade("A", Instant(0), 1, 1, trade_id="7")], [], False)
def test_replay_is_as_if_nothing_had_been_refused(first: list[Any], more: list[list[Any]], one_by_one: bool) -> None:
    """Whatever is refused of whatever batches, by rules about rows and about series: after a replay all is there, as often as without rules.

    But for versions of one venue id of which the same batch stored another: these stay open, since it is not known which came first.
    """
    with TemporaryDirectory() as folder:
        with open_at(Path(folder), "off", "other.db") as data:
            for batch in (first, *more):
                data.ingest(batch)
            expected = {kind: rows(data, kind) for kind in ("quotes", "trades")}
        with open_at(Path(folder), "strict") as data:
            data.validator.register(Again)
            for batch in (first, *more):
                data.ingest(batch)
                again = data.ingest(batch)
                assert (0, 0) == (again.inserted, again.quarantined)
        with open_at(Path(folder), "off") as data:
            if one_by_one:
                for record in reversed(data.quarantine.list()):
                    data.quarantine.replay(id=record.id)
            else:
                data.quarantine.replay()
            left = data.quarantine.list(state="open")
            assert {"record.version"} >= {record.findings[-1]["rule"] for record in left}
            open_ids = {json.loads(record.raw)["trade_id"] for record in left}
            assert open_ids <= set(chain.from_iterable(map(_ids_of_two_versions, (first, *more))))
            for kind in ("quotes", "trades"):
                assert _but(open_ids, expected[kind]) == _but(open_ids, rows(data, kind))


def _ids_of_two_versions(batch: list[Any]) -> set[str]:
    trades = {record for record in batch if isinstance(record, Trade) and record.trade_id is not None}
    versions = Counter((trade.symbol, trade.ts_ns, trade.trade_id) for trade in trades)
    return {str(key[-1]) for key, count in versions.items() if count > 1}


def _but(ids: set[str], records: Counter[Any]) -> Counter[Any]:
    return Counter({one: count for one, count in records.items() if getattr(one, "trade_id", None) not in ids})


@pytest.mark.parametrize("stored_first", [True, False])
@pytest.mark.parametrize("choice", ["fix", "discard"])
def test_of_two_versions_in_one_batch_the_user_decides(tmp_path: Path, stored_first: bool, choice: str) -> None:
    """A replay asks which of two versions of one id counts if their batch stored the other; a fix replaces it, a discard keeps it."""
    stored, rejected = (Trade("A", "2024-05-01T14:30:00Z", 10, size, trade_id="7") for size in ("5", "0"))
    with open_at(tmp_path, "strict") as data:
        data.ingest([stored, rejected] if stored_first else [rejected, stored])
    with open_at(tmp_path, "off") as data:
        for _ in range(2):
            (receipt,) = data.quarantine.replay()
            assert (1, 0, 0, 0, 1) == counts(receipt)
            assert [stored] == data.select(Trade).to_list()
        (record,) = data.quarantine.list(state="open")
        assert ["trade.size", "record.version"] == [finding["rule"] for finding in record.findings]
        if choice == "fix":
            data.quarantine.fix(record.id, {})
        else:
            data.quarantine.discard(id=record.id)
        assert [rejected if choice == "fix" else stored] == data.select(Trade).to_list()
        assert 0 == data.quarantine.count(state="open")


def test_a_later_version_replaces_an_earlier_one_when_both_are_replayed(tmp_path: Path) -> None:
    """Two versions of one venue id that different batches had refused come back as they would have been stored: the later one stands."""
    with open_at(tmp_path, "strict") as data:
        for size in ("5", "0"):
            assert 1 == data.ingest([Trade("A", "2024-05-01T14:30:00Z", 0, size, trade_id="7")]).quarantined
    with open_at(tmp_path, "off") as data:
        data.quarantine.replay()
        assert [0] == [trade.size for trade in data.select(Trade)]


@own.costly(2)
@given(own.records())
def test_what_is_refused_comes_back_as_it_was(record: Any) -> None:
    """A record of any kind, refused and replayed, is the record, to the last digit."""

    class Never(Rule):
        """Nothing is good enough."""

        id = "test.never"
        kind = tuple(KINDS)

        def check(self, record: Any) -> bool:
            return record is None

    with TemporaryDirectory() as folder:
        with open_at(Path(folder), "off", "other.db") as data:
            data.ingest(record)
            expected = data.select(type(record)).to_list()
        with open_at(Path(folder), "strict") as data:
            data.validator.register(Never)
            assert 0 == data.ingest(record).inserted
        with open_at(Path(folder), "off") as data:
            data.quarantine.replay()
            assert expected == data.select(type(record)).to_list()


def test_replayed_rows_come_after_those_of_their_time(strict: DataLayer, standard: DataLayer) -> None:
    """Rows that share a time keep their order among themselves; those that were refused stand behind the others."""
    wide = [evolve(GOOD, bid=f"1.{place}", ask="9") for place in range(4)]
    strict.ingest([wide[0], GOOD, wide[2], wide[1]])
    standard.quarantine.replay()
    assert [GOOD, wide[0], wide[2], wide[1]] == standard.store.get_quotes()


def test_what_still_breaks_a_rule_stays(strict: DataLayer) -> None:
    """A replay under the same rules stores nothing, and says how many stay; they can be replayed again."""
    strict.ingest([GOOD, CROSSED])
    for _ in range(2):
        (receipt,) = strict.quarantine.replay()
        assert (1, 0, 0, 0, 1) == counts(receipt)
    assert (["quote.crossed"], 1) == (
        [f["rule"] for f in strict.quarantine.get(1).findings],
        strict.select(Quote).count(),
    )


def test_a_finding_about_a_series_stands_while_the_rule_does(strict: DataLayer, standard: DataLayer) -> None:
    """What a record came after is gone when it is replayed, so the finding of a rule about series keeps it out until that rule is no error."""
    bars = [
        Bar("A", Instant(day * 86_400 * 10**9), None, None, None, close, None, "1d")
        for day, close in enumerate([10, 10, 100])
    ]
    assert 1 == strict.ingest(bars).quarantined
    assert 1 == strict.quarantine.replay()[0].quarantined
    assert 1 == standard.quarantine.replay()[0].inserted
    assert bars == standard.store.get_bars()


def test_a_rule_can_be_ignored(strict: DataLayer) -> None:
    """A record may be stored in spite of a rule, which is counted; a rule that is not in force cannot be ignored."""
    strict.ingest([CROSSED])
    (receipt,) = strict.quarantine.replay(ignore_rules=["quote.crossed"])
    assert (1, {"quote.crossed": 1}) == (receipt.inserted, receipt.warnings)
    with pytest.raises(DataError, match=r"'quote\.crosed' is unknown or disabled"):
        strict.quarantine.replay(ignore_rules=["quote.crosed"])


def test_replay_knows_its_batch(strict: DataLayer, standard: DataLayer) -> None:
    """Each batch that refused something has a batch of its own for the replay: of the same origin, and taken back with it."""
    for place, origin in enumerate(["one", "two"]):
        strict.ingest([GOOD, evolve(CROSSED, timestamp=Instant(place))], origin=origin)
    receipts = standard.quarantine.replay()
    assert [(3, "one"), (4, "two")] == [(receipt.batch, receipt.origin) for receipt in receipts]
    assert [2, 1, None, None] == [batch.replays for batch in standard.store.batches()]
    assert 2 == standard.select(Quote, origin="one").count()
    undone = standard.store.undo(1)
    assert [GOOD] != standard.store.get_quotes()
    assert [evolve(CROSSED, timestamp=Instant(1))] == standard.store.get_quotes()
    assert "1 records of the quarantine changed their state" in undone.notes
    assert {"undone": 1, "replayed": 1} == states(standard)


def test_undo_of_a_replay_reopens(strict: DataLayer, standard: DataLayer) -> None:
    """A replay that is undone leaves the records where they were, and undoing that puts them in again."""
    strict.ingest([GOOD, CROSSED])
    (receipt,) = standard.quarantine.replay()
    undone = standard.store.undo(receipt.batch)
    assert ([GOOD], {"open": 1}) == (standard.store.get_quotes(), states(standard))
    standard.store.undo(undone.batch)
    assert ({GOOD, CROSSED}, {"replayed": 1}) == (set(standard.store.get_quotes()), states(standard))


def test_what_was_undone_may_be_refused_again(strict: DataLayer) -> None:
    """After its batch was undone a refused row is not known any more, and undoing the undo makes it known."""
    strict.ingest([CROSSED])
    undo = strict.store.undo(1)
    assert 1 == strict.ingest([CROSSED]).quarantined
    assert {"undone": 1, "open": 1} == states(strict)
    strict.store.undo(undo.batch)
    assert (0, {"open": 2}) == (strict.ingest([CROSSED]).quarantined, states(strict))


def test_a_later_version_stands(strict: DataLayer, standard: DataLayer) -> None:
    """A bar, position or trade with an id that is replayed does not replace what the same or a later batch brought."""
    bar = Bar("A", Instant(1), 1, 1, -1, -1, 1, "1d")
    trade = Trade("A", Instant(1), 1, 0, exchange="N", trade_id="7")
    strict.ingest([bar, trade])
    later = [Bar("A", Instant(1), 1, 1, 1, 1, 1, "1d"), evolve(trade, size=2)]
    strict.ingest(later)
    (receipt,) = standard.quarantine.replay()
    assert (2, 0, 2, 0, 0) == counts(receipt)
    assert later == [*standard.store.get_bars(), *standard.store.get_trades()]


def test_an_earlier_version_is_replaced(standard: DataLayer, tmp_path: Path) -> None:
    """A bar that is replayed replaces one that an earlier batch brought."""
    standard.ingest(Bar("A", Instant(1), 1, 1, 1, 1, 1, "1d"))
    bar = Bar("A", Instant(1), 1, 1, -1, -1, 1, "1d")
    with open_at(tmp_path, "strict") as strict:
        assert 1 == strict.ingest(bar).quarantined
    (receipt,) = standard.quarantine.replay()
    assert ((1, 0, 0, 1, 0), [bar]) == (counts(receipt), standard.store.get_bars())


def test_a_snapshot_is_replayed_with_its_positions(tmp_path: Path) -> None:
    """A snapshot that a stream refuses takes its positions with it, and they come back with it; a bad one among them is kept aside."""
    positions = [Position("A", 1, 1, 1, unrealized_pnl=0), Position("B", 2, 2, 1, unrealized_pnl=7)]
    snapshot = PortfolioSnapshot(Instant(1), 100, cash=0, positions=positions)
    with open_at(tmp_path, "strict") as data:
        with data.stream() as stream:
            stream.write(snapshot)
        assert (1, 0) == (stream.receipt.quarantined, data.select(Position).count())
        (receipt,) = data.quarantine.replay(ignore_rules=["snapshot.total"])
        assert (3, 2, 0, 0, 1) == counts(receipt)
        assert [evolve(snapshot, positions=positions[:1])] == data.select(PortfolioSnapshot).to_list()
        assert [("positions", "B", 1)] == [(r.kind, r.subject, r.row) for r in data.quarantine.list(state="open")]


def test_orders_go_forward_only(strict: DataLayer) -> None:
    """An order that is replayed after a later version of it goes to the history."""
    order = Order("1", "A", 0, "buy", "market", timestamp=Instant(1), updated_at=Instant(1))
    strict.ingest(order)
    strict.ingest(later := evolve(order, quantity=5, updated_at=Instant(2)))
    (receipt,) = strict.quarantine.replay(ignore_rules=["order.quantity"])
    assert (1, later) == (receipt.revised, strict.store.get_order("1"))


def test_a_replay_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """A process killed in a replay, after all is written and before it is committed, leaves every record in quarantine and none in the store."""
    program = f"""
import sys
from fpa_core.engine.transaction import Transaction
sys.path.insert(0, {str(Path(__file__).parent)!r})
import fpa_core

record = Transaction.record

def stop(self):
    record(self)
    print("written", flush=True)
    sys.stdin.readline()

Transaction.record = stop
with fpa_core.open(environ={{"FPA_STORE__PATH": {str(tmp_path / "test.db")!r}}}) as data:
    data.quarantine.replay()
"""
    bad = [evolve(CROSSED, timestamp=Instant(place)) for place in range(500)]
    with open_at(tmp_path, "strict") as data:
        data.ingest([GOOD, *bad])
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert "written\n" == process.stdout.readline()
    process.kill()
    process.communicate(timeout=60)
    with open_at(tmp_path) as data:
        assert (1, {"open": 500}) == (data.select(Quote).count(), states(data))
        data.quarantine.replay()
        assert (501, {"replayed": 500}) == (data.select(Quote).count(), states(data))


def test_a_replay_that_fails_changes_nothing(strict: DataLayer, standard: DataLayer, monkeypatch: Any) -> None:
    """An error in a replay leaves records and tables as they were."""
    strict.ingest([GOOD, CROSSED])

    def fail(*_: Any) -> None:
        raise OSError("disk")

    monkeypatch.setattr("fpa_core.quarantine.replay._Replay.complete", lambda _: None)
    monkeypatch.setattr("fpa_core.engine.transaction.Transaction.reject_again", fail)
    with pytest.raises(OSError, match="disk"):
        standard.quarantine.replay()
    assert ([GOOD], {"open": 1}) == (standard.store.get_quotes(), states(standard))


# Fix


FILE = """symbol,timestamp,bid,ask,bid_size
A,1970-01-01T00:00:01Z,1.10,1.20,
A,yesterday,1.10,1.15,7
A,1970-01-01T00:00:03Z,1.10
A,1970-01-01T00:00:04Z,1.30,1.20,
"""


@pytest.fixture
def filled(strict: DataLayer, tmp_path: Path) -> DataLayer:
    """Ingest a file with a row of each fault."""
    path = tmp_path / "quotes.csv"
    path.write_text(FILE, encoding="utf-8")
    assert (4, 1, 0, 0, 3) == counts(strict.ingest(path, origin="fxcm"))
    return strict


def by_row(data: DataLayer) -> dict[int | None, Quarantined]:
    return {record.row: record for record in data.quarantine.list(state="open")}


def test_fix_what_is_no_record(filled: DataLayer, tmp_path: Path) -> None:
    """Of a row that is no record only what is wrong must be said, where its cells could be told apart; and the file adds nothing afterwards."""
    record = by_row(filled)[2]
    assert {"symbol": "A", "timestamp": "yesterday", "bid": "1.1", "ask": "1.15", "bid_size": "7"} == values_of(record)
    receipt = filled.quarantine.fix(record.id, {"timestamp": "1970-01-01T00:00:02Z"})
    assert ((1, 1, 0, 0, 0), "files:fxcm", "quotes.csv") == (counts(receipt), receipt.origin, receipt.file)
    assert Quote("A", Instant(2 * 10**9), "1.1", "1.15", 7) in filled.store.get_quotes()
    assert "fixed" == filled.quarantine.get(record.id).state
    assert (4, 0, 4, 0, 0) == counts(filled.ingest(tmp_path / "quotes.csv", origin="fxcm"))


def test_fix_a_row_without_cells(filled: DataLayer) -> None:
    """Of a row whose cells cannot be told apart all must be said, and what is missing is named."""
    record = by_row(filled)[3]
    assert {} == values_of(record)
    with pytest.raises(DataError, match="symbol"):
        filled.quarantine.fix(record.id, {"timestamp": "1970-01-01T00:00:03Z", "bid": "1", "ask": "1.01"})
    receipt = filled.quarantine.fix(
        record.id, {"timestamp": "1970-01-01T00:00:03Z", "symbol": "A", "bid": "1", "ask": "1.01"}
    )
    assert 1 == receipt.inserted


def test_a_fix_is_judged(filled: DataLayer) -> None:
    """A record that still breaks a rule stays as it is, and the error says which."""
    record = by_row(filled)[4]
    with pytest.raises(ValidationError, match=r"quote\.crossed"):
        filled.quarantine.fix(record.id, {"ask": "1.25"})
    assert record == filled.quarantine.get(record.id)
    assert 1 == filled.quarantine.fix(record.id, {"bid": ""}).inserted
    assert Quote("A", Instant(4 * 10**9), None, "1.2") in filled.store.get_quotes()
    for again in (record.id, 99):
        with pytest.raises(DataError, match=r"is fixed, not open|no record 99"):
            filled.quarantine.fix(again, {"ask": "1.35"})


@pytest.mark.parametrize("change", [{"colour": "red"}, {"ask": "much"}, {"timestamp": None}])
def test_a_fix_that_makes_no_record(filled: DataLayer, change: dict[str, Any]) -> None:
    """A column that is not there, a value that is none, and a time that is taken away are errors, and nothing is changed."""
    record = by_row(filled)[4]
    with pytest.raises(DataError, match=r"colour|much|timestamp"):
        filled.quarantine.fix(record.id, change)
    assert record == filled.quarantine.get(record.id)


def test_a_fixed_row_is_a_row_of_its_source(strict: DataLayer) -> None:
    """A row that becomes equal to another one of its source by a fix is one more; equal to one of another source, it is the same."""
    strict.ingest([GOOD, CROSSED])
    assert 1 == strict.quarantine.fix(1, {"bid": "1.1"}).inserted
    assert {GOOD: 2} == rows(strict, Quote)
    strict.ingest([evolve(CROSSED, bid="1.4")])
    assert (0, 1) == ((receipt := strict.quarantine.fix(2, {"bid": "1.1"})).inserted, receipt.duplicate)


def test_a_fix_is_news(strict: DataLayer) -> None:
    """A bar that is fixed replaces a later version: somebody has looked at it."""
    strict.ingest(Bar("A", Instant(1), 1, 1, 1, -1, 1, "1d"))
    strict.ingest(Bar("A", Instant(1), 1, 1, 1, 1, 1, "1d"))
    assert 1 == strict.quarantine.fix(1, {"close": "1", "volume": "3"}).revised
    assert 3 == strict.store.get_bars()[0].volume


# Discard, list, export


def test_discard_keeps_the_record(strict: DataLayer) -> None:
    """What is discarded stays, marked with the batch that did it, does not come again, and can be reopened."""
    strict.ingest([CROSSED, evolve(CROSSED, symbol="B")])
    receipt = strict.quarantine.discard(symbol="B")
    assert ("1 rejected records discarded",) == receipt.notes
    record = strict.quarantine.get(2)
    assert ("discarded", receipt.batch) == (record.state, record.changed_by)
    assert 0 == strict.ingest([CROSSED, evolve(CROSSED, symbol="B")]).quarantined
    assert [1] == [receipt.read for receipt in strict.quarantine.replay()]
    strict.store.undo(receipt.batch)
    assert {"open": 2} == states(strict)


@pytest.mark.parametrize("verb", ["discard", "replay"])
def test_a_limit_selects_nothing(strict: DataLayer, verb: str) -> None:
    """Which records a limit would leave out is chance, so it is refused where records are changed."""
    with pytest.raises(DataError, match="a limit cannot select"):
        getattr(strict.quarantine, verb)(limit=1)


def test_discard_wants_a_condition(strict: DataLayer) -> None:
    """Nothing says all."""
    with pytest.raises(DataError, match="must be selected"):
        strict.quarantine.discard()


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"batch": 1}, [2, 1]),
        ({"kind": "trades"}, [5]),
        ({"kind": Quote, "symbol": "A"}, [3, 1]),
        ({"symbol": "A*"}, [4, 3, 2, 1]),
        ({"symbol": ["AB", "Z"]}, [5, 4, 2]),
        ({"rule": "quote.*"}, [4, 3, 2, 1]),
        ({"rule": "quote.spread"}, [2]),
        ({"origin": "files:*"}, []),
        ({"origin": ["one", "x"]}, [2, 1]),
        ({"id": [1, 5, 9]}, [5, 1]),
        ({"id": 3}, [3]),
        ({"state": "open", "batch": 2, "symbol": "AB"}, [4]),
        ({"state": ["fixed", "discarded"]}, []),
        ({"limit": 2}, [5, 4]),
    ],
)
def test_conditions(strict: DataLayer, conditions: dict[str, Any], found: list[int]) -> None:
    """Every condition must hold; symbols, rules and origins take patterns, and several."""
    wide = Quote("AB", Instant(1), 1, 2)
    strict.ingest([CROSSED, wide], origin="one")
    strict.ingest(
        [evolve(CROSSED, ask="1.1"), evolve(CROSSED, symbol="AB"), Trade("Z", Instant(1), 1, 0)], origin="two"
    )
    assert found == [record.id for record in strict.quarantine.list(**conditions)]
    conditions.pop("limit", None)
    assert conditions == {} or len(found) == strict.quarantine.count(**conditions)


@pytest.mark.parametrize(
    ("conditions", "message"),
    [({"state": "lost"}, "'lost' is none of"), ({"kind": "cats"}, "unknown kind"), ({"id": 7}, None)],
)
def test_conditions_that_are_none(strict: DataLayer, conditions: dict[str, Any], message: str | None) -> None:
    """A state or kind that there is not is an error; an id that there is not finds nothing."""
    if message is None:
        assert [] == strict.quarantine.list(**conditions)
        with pytest.raises(DataError, match="no record 7"):
            strict.quarantine.get(7)
    else:
        with pytest.raises(DataError, match=message):
            strict.quarantine.list(**conditions)


def test_export(filled: DataLayer, tmp_path: Path) -> None:
    """Each format holds each record in the order of the source; CSV and Parquet as a row, JSON Lines with its values and findings."""
    for form in ("csv", "jsonl", "parquet"):
        assert 3 == filled.quarantine.export(tmp_path / f"out.{form}", form)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [2, 3, 4] == [line["row"] for line in lines]
    assert {"symbol": "A", "timestamp": "1970-01-01T00:00:04Z", "bid": "1.3", "ask": "1.2"} == lines[2]["values"]
    table = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert [list(COLUMNS)] * 3 == [list(row) for row in table]
    assert ("quote.crossed", "A", "files:fxcm") == (
        table[2]["rules"],
        table[2]["symbol"],
        filled.store.batches()[0].origin,
    )
    assert [row["raw"] for row in table] == pq.read_table(tmp_path / "out.parquet").column("raw").to_pylist()
    stream = io.BytesIO()
    assert 1 == filled.quarantine.export(stream, "jsonl", rule="quote.crossed")
    assert lines[2:] == [json.loads(stream.getvalue())]
    with pytest.raises(DataError, match="unknown output format 'xml'"):
        filled.quarantine.export(stream, "xml")


# What plugins hear, and how much memory it takes


class Listener:
    """A plugin that hears of batches."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    @hookimpl
    def fpa_ingested(self, receipt: Any) -> None:
        self.heard.append(("ingested", receipt.batch))

    @hookimpl
    def fpa_quarantined(self, batch: int, records: list[Quarantined]) -> None:
        self.heard.append((f"quarantined {batch}", [record.id for record in records]))


def test_plugins_hear_of_what_was_put_in(tmp_path: Path) -> None:
    """Of many refused records plugins hear in portions, of known ones not again, and of a replay as of an ingest."""
    listener = Listener()
    bad = [evolve(CROSSED, timestamp=Instant(place)) for place in range(1_500)]
    with open_at(tmp_path, "strict", extra=[listener]) as data:
        data.ingest(bad)
        data.ingest(bad)
        data.quarantine.replay(ignore_rules=["quote.crossed"])
    assert [
        ("ingested", 1), ("quarantined 1", list(range(1, 1_001))), ("quarantined 1", list(range(1_001, 1_501))),
        ("ingested", 2), ("ingested", 3),
    ] == listener.heard  # fmt: skip


def test_rows_are_positions_in_the_source(strict: DataLayer) -> None:
    """Among records of several kinds a row is the place among all of them; positions of a snapshot have the snapshot's."""
    bad = Position("B", 2, 2, 1, timestamp=Instant(1), unrealized_pnl=7)
    snapshot = PortfolioSnapshot(Instant(1), 2, cash=0, positions=[evolve(bad, symbol="C")])
    strict.ingest([GOOD, Trade("Z", Instant(1), 1, 0), CROSSED, snapshot, bad])
    found = {(record.kind, record.subject): record.row for record in strict.quarantine.list()}
    assert {("trades", "Z"): 2, ("quotes", "A"): 3, ("positions", "C"): 4, ("positions", "B"): 5} == found


def test_many_equal_rows(strict: DataLayer, tmp_path: Path) -> None:
    """Thousands of equal refused rows are each kept, recognised and replayed, in a time that grows with their number alone."""
    count = 6_000
    assert count == strict.ingest([CROSSED] * count).quarantined
    assert (count + 5, 0, count, 0, 5) == counts(strict.ingest([CROSSED] * (count + 5)))
    with open_at(tmp_path) as data:
        assert [count, 5] == [receipt.inserted for receipt in data.quarantine.replay()]
        assert {CROSSED: count + 5} == rows(data, Quote)


def test_records_survive_json() -> None:
    """The values of a record as they are kept are those of its table."""
    from fpa_core.ingest.entries import rejected_record

    bar = Bar("A", Instant(1), None, None, None, "1.50", None, "1d", trade_count=3)
    kept = rejected_record(bar, 1, ())
    assert [bar] == from_table(kind_of(bar), to_table(kind_of(bar), [bar]))
    assert {
        "symbol": "A",
        "timestamp": "1970-01-01T00:00:00.000000001Z",
        "close": "1.5",
        "interval": "1d",
        "trade_count": 3,
    } == values_of(kept)


def test_memory_does_not_grow_with_what_is_refused(tmp_path: Path) -> None:
    """Refused rows of a large source are not gathered in memory, neither to be kept nor to be told of."""
    told = Counter[str]()

    class Counting:
        @staticmethod
        @hookimpl
        def fpa_quarantined(batch: int, records: list[Quarantined]) -> None:
            told[f"batch {batch}"] += len(records)

    def peak(rows: int, name: str) -> int:
        path = tmp_path / f"{name}.csv"
        with path.open("w", encoding="utf-8") as file:
            file.write("symbol,timestamp,bid,ask\n")
            file.writelines(f"A,{10**18 + row},1.2,1.1{row:09}\n" for row in range(rows))
        with open_at(tmp_path, "strict", f"{name}.db", [("counting", Counting)]) as data:
            chunks = data.source("files").read(SourceRequest(str(path), chunk_rows=500))
            tracemalloc.start()
            receipt = ingest(data.store, data.validator, chunks, origin="files")
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert rows == receipt.quarantined
        return most

    peak(500, "warm")
    assert peak(8_000, "large") < 1.5 * peak(2_000, "small") + 1_000_000
    with open_at(tmp_path, "strict", "told.db", [("counting", Counting)]) as data:
        assert 2_000 == data.ingest(tmp_path / "small.csv").quarantined
    assert {"batch 1": 2_000} == told
