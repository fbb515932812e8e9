"""The tables of the command line: what fits a terminal, what is left out, and how long ones are printed."""

import re

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.cli import tables
from fpa_core.cli.tables import SAMPLE, table, wide_option

NAMES = ["order_id", "symbol", "quantity", "price", "comment", "timestamp"]
ROW = ["demo-1", "AAPL", 1200, "169.58", "bought before the announcement of the day", "2024-05-01T13:30:01.123456789Z"]


@pytest.fixture
def terminal(monkeypatch):
    """Return what makes standard output a terminal with so many columns."""

    def make(columns):
        monkeypatch.setattr(tables, "_limit", lambda: columns)
        monkeypatch.setenv("NO_COLOR", "1")

    return make


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_pipes_have_no_width(capsys):
    """In a pipe every column is printed at its full width, numbers flush right, without spaces at the ends."""
    assert 2 == table("", NAMES, [ROW, ["demo-22", "F", 5, None, "", ROW[5]]])
    assert [
        "order_id  symbol  quantity   price  comment                                    timestamp",
        "demo-1    AAPL       1,200  169.58  bought before the announcement of the day  2024-05-01T13:30:01.123456789Z",
        "demo-22   F              5                                                     2024-05-01T13:30:01.123456789Z",
    ] == lines(capsys)


def test_texts_are_shortened_first(capsys, terminal):
    """When lines are too wide, texts lose their ends; numbers, times and the first column stay whole."""
    terminal(85)
    table("", NAMES, [ROW, ROW])
    captured = capsys.readouterr()
    for line in captured.out.splitlines()[1:]:
        assert "demo-1    AAPL       1,200  169.58  bought before th…  2024-05-01T13:30:01.123456789Z" == line
    assert not captured.err


def test_columns_are_left_out_with_a_note(capsys, terminal):
    """When that is not enough, the last columns go, and a note names them and the option that shows them."""
    terminal(60)
    table("", NAMES, [ROW, ROW])
    captured = capsys.readouterr()
    assert ["order_id  symbol  quantity   price  comment", "demo-1    AAPL       1,200  169.58  bought before the annou…"] == [
        line.rstrip() for line in captured.out.splitlines()[:2]
    ]  # fmt: skip
    assert "columns not shown: timestamp; --wide shows them\n" == captured.err


def test_one_row_is_shown_as_a_record(capsys, terminal):
    """A single row that does not fit is one line for each value, and nothing is left out."""
    terminal(40)
    assert 1 == table("an order", NAMES, [ROW])
    assert [
        "an order",
        "order_id   demo-1",
        "symbol     AAPL",
        "quantity   1,200",
        "price      169.58",
        "comment    bought before the announcement of the day",
        "timestamp  2024-05-01T13:30:01.123456789Z",
    ] == lines(capsys)


def test_wide_shows_all(monkeypatch):
    """With --wide a terminal gets the lines a pipe gets."""

    @click.command()
    @wide_option
    def show():
        click.echo(f"limit {tables._limit()}")

    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setattr(tables, "_is_terminal", lambda: True)
    assert "limit 50\n" == CliRunner().invoke(show, []).output
    assert "limit None\n" == CliRunner().invoke(show, ["--wide"]).output


def test_optional_columns(capsys):
    """A column that may be left out is, if no row has a value there."""
    table("", ["a", "b", "c"], [["1", None, None], ["2", None, "x"]], optional=[1, 2])
    assert ["a  c", "1", "2  x"] == lines(capsys)


def test_long_tables_are_printed_as_rows_come(capsys):
    """Beyond the sample all columns are shown, since nobody knows what will come; no row is lost, and order is kept."""
    count = 3 * SAMPLE + 7
    rows = ((str(number), None, "late" if number == count - 1 else None) for number in range(count))
    assert count == table("", ["n", "b", "c"], rows, optional=[1, 2])
    head, *body = lines(capsys)
    assert ["n", "b", "c"] == head.split()
    assert [str(number) for number in range(count)] == [line.split()[0] for line in body]
    assert body[-1].endswith("late")


def test_nothing(capsys):
    """Without rows a table says so."""
    assert 0 == table("orders", ["a"], [], empty="none yet")
    assert ["orders: none yet"] == lines(capsys)


@given(
    rows=st.lists(
        st.tuples(
            st.text("abcdeé株🙂 ", max_size=40), st.integers(-(10**9), 10**9), st.text("xyz", max_size=30), st.decimals(0, 10**6)
        ),
        min_size=2,
        max_size=5,
    ),
    limit=st.integers(20, 100),
)  # fmt: skip
def test_lines_fit_and_numbers_are_whole(rows, limit):
    """No line is wider than the terminal unless its first column alone is, and every number shown is the number."""
    runner = CliRunner()

    @click.command()
    def show():
        table("", ["text", "number", "more", "amount"], rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_limit", lambda: limit)
        patch.setenv("NO_COLOR", "1")
        out = runner.invoke(show, []).stdout
    shown = out.split("\n")
    first = max([4, *(tables._cells(str(row[0])) for row in rows)])
    assert all(tables._cells(line) <= max(limit, first) for line in shown)
    if "number" in shown[0]:
        for row, line in zip(rows, shown[1:], strict=False):
            assert re.search(rf"(?<![\d,]){re.escape(f'{row[1]:,}')}(?![\d,])", line)
