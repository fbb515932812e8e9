"""Queries in SQL that the store answers itself: what is recognised, and that the answer is the one of DuckDB."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpa_core
from fpa_core import Bar, DataError, Order, PortfolioSnapshot, Quote, Trade
from fpa_core.kinds import KINDS
from fpa_core.numbers import MAX_NS, MIN_NS, ns_text, to_ns
from fpa_core.sql.plain import PlainSelect

pytest.importorskip("duckdb")

BEGIN = to_ns("2024-05-01T14:00:00Z")
SYMBOLS = ["AAPL", "MSFT", "it's", "ß", "O P"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Open a store with hot and sealed rows, fractions of a microsecond, nulls and wide numbers."""
    with fpa_core.open(tmp_path_factory.mktemp("plain") / "p.db") as layer:
        sealed = [
            Quote(symbol, BEGIN + 333_333_333 * i, Decimal(100 + i % 9) / 8, None if i % 5 == 0 else 101, i % 3, 200)
            for symbol in ("AAPL", "MSFT")
            for i in range(3_000)
        ]
        layer.store.save(sealed)
        layer.store.save([Quote(symbol, BEGIN + 1_500, "7.125", 8) for symbol in SYMBOLS])
        layer.store.save([Quote("AAPL", ns_text(at), 1, 2) for at in (-1, 0, 1, -1_001)])
        layer.store.save([Trade("AAPL", BEGIN + i, Decimal(10**20 + i) / 4, 5, trade_id=str(i)) for i in range(9)])
        layer.store.save([Bar("AAPL", BEGIN + i * 60 * 10**9, 2, 3, 1, 2, i, "1m") for i in range(9)])
        layer.store.save([PortfolioSnapshot(BEGIN, 1, 2, account="main")])
        layer.store.save(
            [
                Order("o1", "AAPL", 5, "buy", "market", timestamp=BEGIN, updated_at=BEGIN),
                Order("o2", "AAPL", 5, "buy", "market"),
            ]
        )
        yield layer


def by_duckdb(data, query, parameters=None):
    """Return DuckDB's answer: a comment is not recognised."""
    return data.sql(f"/**/ {query}", parameters).to_arrow()


def is_plain(query, parameters=None):
    """Return whether a query is recognised."""
    found = PlainSelect.of(query)
    return found is not None and found.query(parameters) is not None


times = st.one_of(
    st.sampled_from([0, -1, BEGIN, BEGIN + 1_000, BEGIN + 1_999_000, BEGIN + 60 * 10**9, MIN_NS + 2 * 86_400 * 10**9]),
    st.integers(BEGIN - 2 * 10**9, BEGIN + 1_000 * 10**9),
    st.integers(-2_000, 2_000),
)


@st.composite
def conditions(draw, kind):
    """Draw a condition, and the values of its parameter."""
    subject = kind.by_field[kind.subject].name
    column = draw(st.sampled_from([subject, "timestamp", "ts_ns"]))
    sign = "=" if column == subject else draw(st.sampled_from(["=", ">", ">=", "<", "<="]))
    if column == subject:
        value = draw(st.sampled_from(["AAPL", "MSFT", "main", "O P", "", "nobody", "A%"]))
        literal = f"'{value}'"
    elif column == "ts_ns":
        value = draw(times)
        literal = str(value)
    else:
        at = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=draw(times) // 1_000)
        form = draw(st.sampled_from(["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.%f"]))
        zone = "" if form == "%Y-%m-%d" else draw(st.sampled_from(["", "Z", "+00", "+00:00"]))
        text = at.strftime(form) + zone
        value = draw(st.sampled_from([text, at, at.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=30)))]))
        literal = f"'{text}'"
    if draw(st.booleans()):
        return f"{column} {sign} ?", [value]
    return f"{column}{sign}{literal}", []


@st.composite
def plain_queries(draw):
    """Draw a query that only selects, with its parameters."""
    kind = KINDS[draw(st.sampled_from(["quotes", "quotes", *KINDS]))]
    names = [*(column.name for column in kind.columns), "ts_ns"]
    columns = draw(st.one_of(st.just(["*"]), st.lists(st.sampled_from(names), min_size=1, unique=True)))
    query = f"{draw(st.sampled_from(['select', 'SELECT']))} {', '.join(columns)} from {kind.name}"
    chosen = draw(st.lists(conditions(kind), max_size=3))
    if chosen:
        query += " WHERE " + " and ".join(text for text, _ in chosen)
    parameters = [value for _, values in chosen for value in values]
    return query, parameters or None


@given(plain_queries())
def test_the_answer_is_that_of_duckdb(data, asked):
    """What the store answers itself has the rows, their order, the columns and the types that DuckDB gives."""
    query, parameters = asked
    assert is_plain(query, parameters)
    assert by_duckdb(data, query, parameters).equals(data.sql(query, parameters).to_arrow())


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_every_column_may_be_named(data, kind):
    """No name of a column means something else to DuckDB: each of every kind is answered alike."""
    names = [*(column.name for column in kind.columns), "ts_ns"]
    for name in names:
        query = f"select {name} from {kind.name}"
        assert is_plain(query)
        assert by_duckdb(data, query).equals(data.sql(query).to_arrow())


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("select bid as b from quotes", None),
        ("select bid, bid from quotes", None),
        ("select bid + 1 from quotes", None),
        ('select "bid" from quotes', None),
        ("select q.bid from quotes q", None),
        ("select distinct bid from quotes", None),
        ("select count(*) from quotes", None),
        ("select * from quotes limit 5", None),
        ("select * from quotes order by ts_ns", None),
        ("select * from quotes, trades", None),
        ("select * from quotes where symbol = 'A' or symbol = 'B'", None),
        ("select * from quotes where not symbol = 'A'", None),
        ("select * from quotes where symbol > 'A'", None),
        ("select * from quotes where symbol = 'it''s'", None),
        ("select * from quotes where symbol = 'A' -- and more", None),
        ("select * from quotes where bid = 5", None),
        ("select * from quotes where ts_ns = 5.5", None),
        ("select * from quotes where ts_ns = '5'", None),
        ("select * from quotes where timestamp = 'yesterday'", None),
        ("select * from quotes where timestamp = '2024-02-30'", None),
        ("select * from quotes where timestamp = '2024-05-01 14:00:00.1234567'", None),
        ("select * from quotes where timestamp = '2024-05-01 14:00:00+05'", None),
        ("select * from quotes where timestamp > ?", [dt.datetime.fromisoformat("2024-05-01")]),
        ("select * from quotes where timestamp > ?", [5]),
        ("select * from quotes where timestamp > ?", [None]),
        ("select * from quotes where ts_ns > ?", [True]),
        ("select * from quotes where ts_ns > ?", [MAX_NS]),
        ("select * from quotes where symbol = ?", ["ß"]),
        ("select * from quotes where symbol = ?", []),
        ("select * from quotes where symbol = ?", ["A", "B"]),
        ("select * from quotes where symbol = $who", {"who": "A", "else": "B"}),
        ("select 1", None),
        ("select * from nothing", None),
        ("delete from quotes", None),
    ],
)
def test_what_is_left_to_duckdb(query, parameters):
    """What is more than a selection, or written in a form whose meaning DuckDB has to say, is not recognised."""
    assert not is_plain(query, parameters)


def test_parameters_by_name(data):
    """Parameters may have names, and be used several times."""
    query = "select symbol, ts_ns from quotes where symbol = $who and timestamp >= $from and timestamp >= $from"
    parameters = {"who": "AAPL", "from": "2024-05-01 14:10:00Z"}
    assert is_plain(query, parameters)
    found = data.sql(query, parameters).to_arrow()
    assert 1_199 == found.num_rows
    assert by_duckdb(data, query, parameters).equals(found)


def test_errors_are_those_of_duckdb(data):
    """A column that is not there, and a parameter too many, are errors as in any query."""
    with pytest.raises(DataError, match='"nonsense" not found'):
        data.sql("select nonsense from quotes").to_arrow()
    with pytest.raises(DataError, match=r"[Pp]arameter"):
        data.sql("select * from quotes where symbol = ?", ["A", "B"]).to_arrow()


def test_it_is_read_in_batches(data):
    """The answer comes in batches of the size asked for, and as any stream of Arrow."""
    answer = data.sql("select symbol, bid from quotes where symbol = 'MSFT'")
    batches = list(answer.batches(500))
    assert 3_001 == sum(batch.num_rows for batch in batches)
    assert 500 >= max(batch.num_rows for batch in batches)
    assert answer.to_arrow().equals(pa.table(answer))
