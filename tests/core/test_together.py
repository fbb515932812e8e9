"""Validation of several files as one data set."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import fpa_core
from fpa_core import Bar, DataError, Order, Position, Quote, Trade
from fpa_core.arrow.conversion import to_table
from fpa_core.cli.main import cli
from fpa_core.kinds import kind_of
from fpa_core.numbers import Instant
from fpa_core.protocols import Chunk
from fpa_core.together import examination, examine_together, kind_rows
from fpa_core.validator import Rule
from fpa_core.validator.vectors import KleeneMask

HEAD = "symbol,timestamp,bid,ask\n"


def quotes(first, last, symbol="A", bid="1.00"):
    return [f"{symbol},2024-05-01T14:30:{second:02}Z,{bid},1.10" for second in range(first, last)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(HEAD + "\n".join(quotes(0, 5)) + "\n")
    # The series goes on, and its third row is a repetition of the last row of the file before.
    (tmp_path / "b.csv").write_text(HEAD + "\n".join([*quotes(5, 7), *quotes(7, 8), *quotes(7, 9)]) + "\n")
    return tmp_path


@pytest.fixture
def data():
    with fpa_core.open(":memory:", validator__level="strict") as layer:
        yield layer


def broken(result):
    return {rule: tally.failed for rule, tally in result.counts.items() if tally.failed}


def test_a_series_goes_on_in_the_next_file(folder, data):
    """Rows are compared with those of the file before, in whatever order the files are named, and found where they are."""
    (folder / "c.csv").write_text(HEAD + "\n".join(quotes(4, 5)) + "\n")
    alone = data.validate(folder / "c.csv")
    for order in (("a.csv", "c.csv"), ("c.csv", "a.csv")):
        together = data.validate_together(*order)
        assert 6 == together.rows
        new = broken(together).keys() - broken(alone).keys() - broken(data.validate("a.csv")).keys()
        assert new, "the row of c.csv repeats the last one of a.csv"
        assert {("c.csv", 0)} == {(each.file, each.row) for each in together.findings if each.rule in new}


def test_trades_are_compared_with_quotes_of_another_file(folder, data):
    """Rules about several kinds see the other files: a trade far from the quotes is found only together."""
    (folder / "trades.csv").write_text(
        "symbol,timestamp,price,size\nA,2024-05-01T14:30:02.5Z,1.05,10\nA,2024-05-01T14:30:03.5Z,9.99,10\n"
    )
    assert "trade.quote" not in broken(data.validate("trades.csv"))
    result = data.validate_together("a.csv", "trades.csv")
    outside = [each for each in result.findings if each.kind == "trades"]
    assert [("trades.csv", 1)] == sorted({(each.file, each.row) for each in outside})
    assert 7 == result.rows


def test_rows_that_cannot_be_parsed(folder, data):
    """They count as in each file alone, with their file and row."""
    (folder / "b.csv").write_text(HEAD + quotes(5, 6)[0] + "\nA,soon,1,2\n")
    result = data.validate_together(folder)
    (finding,) = [each for each in result.findings if each.rule == "record.shape"]
    assert (1, "b.csv", 7) == (finding.row, finding.file.rsplit("/")[-1], result.rows)
    assert not result.is_valid
    with pytest.raises(DataError):
        data.validate_together("a.csv", "none.csv")


@pytest.mark.usefixtures("folder")
def test_on_the_command_line():
    """`fpa validate --together` gives one verdict; findings name file and row; a report is of files alone."""
    run = CliRunner().invoke
    found = run(cli, ["validate", "a.csv", "b.csv", "--together", "--json"])
    printed = json.loads(found.stdout)
    (one,) = printed["results"]
    assert (["a.csv", "b.csv"], 10) == (one["files"], one["rows"])
    assert {finding["file"] for finding in one["findings"]} <= {"a.csv", "b.csv"}
    text = run(cli, ["validate", "a.csv", "b.csv", "--together"]).stdout
    assert text.startswith("2 files together: 10 rows, ")
    assert "b.csv row " in text
    assert 2 == run(cli, ["validate", "a.csv", "--together", "--html", "r.html"]).exit_code


# In bounded memory

BEGIN = 1_714_572_000 * 10**9
SYMBOLS = st.sampled_from(["A", "B"])
TIMES = st.integers(0, 12).map(lambda halves: Instant(BEGIN + halves * 500_000_000))
PRICES = st.sampled_from(["1.00", "1.01", "1.02", "1.50", "9.00"])
QUOTES = st.builds(Quote, SYMBOLS, TIMES, st.none() | PRICES, st.none() | PRICES)
TRADES = st.builds(Trade, SYMBOLS, TIMES, PRICES, st.sampled_from([1, 100]))
BARS = st.builds(
    lambda symbol, at, price, volume, interval: Bar(symbol, at, price, price, price, price, volume, interval),
    SYMBOLS, TIMES, PRICES, st.sampled_from([1, 100, 101]), st.sampled_from(["1s", "10s"]),
)  # fmt: skip
ORDERS = st.builds(
    lambda symbol, number, begun, length, price: Order(
        str(number), symbol, 1, "buy", "market", "filled", 1, price, timestamp=begun, updated_at=Instant(begun + length * 10**9)
    ),
    SYMBOLS, st.integers(0, 99), TIMES, st.integers(0, 9), PRICES,
)  # fmt: skip
POSITIONS = st.builds(
    lambda symbol, at, price: Position(symbol, 1, price, 1, timestamp=at, account="main", current_price=price),
    SYMBOLS, TIMES, PRICES,
)  # fmt: skip
FILES = st.lists(
    st.one_of(*(st.lists(each, min_size=1, max_size=12) for each in (QUOTES, TRADES, BARS, ORDERS, POSITIONS))),
    max_size=6,
)


class ManyQuotes(Rule):
    """There are more than four quotes. Which rows it looks at it does not say."""

    id = "acme.many_quotes"
    kind = "trades"
    scope = "dataset"
    against = ("quotes",)

    def mask(self, columns, others):
        """Validate a table."""
        return KleeneMask(np.full(len(columns), len(others["quotes"]) > 4))


def chunks_of(records, size):
    kind = kind_of(type(records[0]))
    for start in range(0, len(records), size):
        part = records[start : start + size]
        yield Chunk(kind, to_table(kind, part), range(start + 1, start + len(part) + 1))


def told(finding, file, row):
    return (
        file,
        row,
        finding.kind,
        finding.rule,
        str(finding.severity),
        finding.message,
        finding.related,
        finding.limit,
    )


@pytest.fixture(scope="module")
def validator():
    with fpa_core.open(":memory:", validator__level="strict") as data:
        data.validator.register(ManyQuotes)
        yield data.validator


@settings(max_examples=60, deadline=None)
@given(FILES, st.integers(1, 5), st.sampled_from([1, 4, 1_000]), st.booleans())
def test_files_are_judged_as_if_all_rows_were_in_memory(validator, files, size, most, ordered):
    """However little is looked at at once: findings and counts are those of one table of each kind, whose rows are given whole."""
    files = [sorted(rows, key=lambda row: row.ts_ns) if ordered else rows for rows in files]
    named = [(f"{number}.csv", rows) for number, rows in enumerate(files)]
    by_kind = {}
    for name, rows in named:
        by_kind.setdefault(kind_of(type(rows[0])), []).append((name, rows))
    places, whole = {}, {}
    for kind, parts in by_kind.items():
        parts.sort(key=lambda part: part[1][0].ts_ns)
        places[kind.name] = [(name, row) for name, rows in parts for row in range(len(rows))]
        whole[kind] = to_table(kind, [record for _, rows in parts for record in rows])
    expected = validator.validate_dataset(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examination, "MOST", most)
        found = examine_together(validator, ((name, chunks_of(rows, size)) for name, rows in named))
    assert expected.counts == found.counts
    assert expected.flagged == found.flagged
    assert expected.rows == found.rows
    seen = Counter(told(each, *places[each.kind][each.row]) for each in expected.findings)
    assert seen == Counter(told(each, each.file, each.row) for each in found.findings)


def test_few_rows_are_in_memory(data, monkeypatch):
    """Trades are compared with the quotes around them, and few batches are in memory at a time."""
    monkeypatch.setattr(examination, "MOST", 2_000)
    near = []
    rows_near = kind_rows.KindRows.near
    monkeypatch.setattr(kind_rows.KindRows, "near", lambda *args: near.append(rows_near(*args)) or near[-1])
    monkeypatch.setattr(kind_rows.KindRows, "whole", property(lambda _: pytest.fail("all rows were read at once")))
    quotes_ = [Quote("A", Instant(BEGIN + i * 10**9), "1.00", "1.02") for i in range(20_000)]
    trades_ = [Trade("A", Instant(BEGIN + i * 10**9), "1.01" if i != 15_000 else "9", 1) for i in range(0, 20_000, 2)]
    files = [("q.csv", chunks_of(quotes_, 1_000)), ("t.csv", chunks_of(trades_, 5_000))]
    result = examine_together(data.validator, files)
    assert 1 == result.counts["trade.outside_quote"].failed
    assert 10_000 == result.counts["trade.outside_quote"].evaluated
    assert 30_000 == result.rows
    assert max(table.num_rows for table in near) <= 2_000
    assert len(near) >= 10


def test_the_last_quote_counts_however_early_it_was(data):
    """Of quotes of one instant, in two files, the last to arrive is the one that prevails; one-sided quotes after it are passed over."""
    early, later = Instant(BEGIN), Instant(BEGIN + 3_600 * 10**9)
    files = [
        ("a.csv", [Quote("A", early, "8.99", "9.01"), Quote("A", early, "1.00", "1.02")]),
        (
            "b.csv",
            [Quote("A", early, "7.00", "7.02"), Quote("A", early, "2.00", "2.02"), Quote("A", early, "3.00", None)],
        ),
        ("c.csv", [Trade("A", later, price, 1) for price in ("2.01", "1.01", "9.00")]),
    ]
    result = examine_together(data.validator, ((name, chunks_of(rows, 3)) for name, rows in files))
    outside = [(each.file, each.row) for each in result.findings if each.rule == "trade.outside_quote"]
    assert [("c.csv", 1), ("c.csv", 2)] == outside
