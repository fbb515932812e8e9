"""The files source tells the kind and the fields from the names of the columns."""

import os
from pathlib import Path

import pytest

from fpa_core.arrow.conversion import from_table
from fpa_core.exceptions import DataError
from fpa_core.kinds import KINDS
from fpa_core.models import Bar, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.numbers import to_ns
from fpa_core.protocols import SourceRequest
from fpa_plugins.files.source import FilesSource

T = "2024-05-01T14:30:00.000000001Z"

DATA = Path(os.environ.get("FPA_SHARED_DATA") or Path(__file__).parents[2] / "../shared/data")


def records_of(path, **request):
    """Return the records, the rejects and the notes of a file."""
    chunks = list(FilesSource().read(SourceRequest(str(path), **request)))
    records = [record for chunk in chunks for record in from_table(chunk.kind, chunk.table)]
    return (
        records,
        [reject for chunk in chunks for reject in chunk.rejects],
        [note for chunk in chunks for note in chunk.notes],
    )


def table(folder, *lines):
    """Make a CSV file of *lines*."""
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("Sym,Time,BP,AP,bs,as", f"A,{T},1,2,3,4", Quote("A", T, "1", "2", "3", "4")),
        ("ticker,Date Time,Bid Price,ask-price", f"A,{T},1,2", Quote("A", T, "1", "2")),
        ("ts,instrument,askPrice", f"{T},A,2", Quote("A", T, None, "2")),
        ("S,t,p,qty,ex,id", f"A,{T},1,2,P,77", Trade("A", T, "1", "2", exchange="P", trade_id="77")),
        ("symbol,ts_ns,last,volume", f"A,{to_ns(T)},1,2", Trade("A", T, "1", "2")),
        ("symbol,t,o,h,l,c,v,timeframe", f"A,{T},1,2,0.5,1.5,9,1 Min", Bar("A", T, "1", "2", "0.5", "1.5", "9", "1m")),
        (
            "symbol,date,close,interval",
            "A,2024-05-01,1.5,1d",
            Bar("A", "2024-05-01T00:00Z", None, None, None, "1.5", None, "1d"),
        ),
        (
            "id,symbol,qty,side,type,status,price,submitted_at",
            f"7,A,10,BUY,Limit,canceled,5,{T}",
            Order("7", "A", "10", "buy", "limit", "cancelled", timestamp=T),
        ),
        ("symbol,quantity,market_value,price,t", f"A,-5,-100,20,{T}", Position("A", "-5", "-100", None, timestamp=T)),
        ("timestamp,total_value", f"{T},1000", PortfolioSnapshot(T, "1000")),
    ],
)
def test_the_header_tells_the_kind(tmp_path, header, row, expected):
    """The kind and the place of each field follow from the header, by the fields' names or what else they are called."""
    records, rejects, _ = records_of(table(tmp_path, header, row))
    assert ([expected], []) == (records, rejects)


def test_what_the_file_leaves_open_is_taken_from_the_request(tmp_path):
    """A symbol, an interval or an account that a file or a cell does not name comes from the request."""
    path = table(tmp_path, "t,c", f"{T},1")
    bar = Bar("SPY", T, None, None, None, "1", None, "1d")
    assert records_of(path, symbol="SPY", interval="1 day")[0] == [bar]
    path = table(tmp_path, "symbol,quantity,cost_basis,account,t", f"A,1,2,,{T}", f"B,1,2,mine,{T}")
    assert [position.account for position in records_of(path)[0]] == ["default", "mine"]
    assert [position.account for position in records_of(path, account="other")[0]] == ["other", "mine"]


@pytest.mark.parametrize(
    ("header", "request_", "hint"),
    [
        ("t,bid,ask", {}, "--symbol"),
        ("symbol,t,open,close", {}, "--interval"),
        ("symbol,timestmp,bid,ask", {}, "'timestmp'"),
        ("symbol,when,bid,ask", {}, "--column timestamp=NAME"),
        ("symbol,timestamp,bidd,asks", {}, "did you mean 'bid' for 'bidd'"),
        ("symbol,timestamp,price,size,bid", {}, "--kind quotes|trades"),
        (
            "a,b",
            {},
            "--kind quotes|trades|bars|orders|positions|snapshots|fills|corporate_actions|cash --column FIELD=NAME",
        ),
        ("symbol,t,bid", {"kind": KINDS["trades"]}, "--column price=NAME"),
    ],
)
def test_headers_that_leave_a_question_are_refused(tmp_path, header, request_, hint):
    """An unknown or ambiguous header, or one without a field that is needed, is refused with what is there and the mend."""
    with pytest.raises(DataError) as caught:
        records_of(table(tmp_path, header, ",".join("1" for _ in header.split(","))), **request_)
    assert all(name in caught.value.message for name in header.split(","))
    assert hint in str(caught.value.hint)


def test_the_error_about_the_kind_says_what_each_kind_needs(tmp_path):
    """Whoever has a header of no kind learns what would tell one."""
    with pytest.raises(DataError) as caught:
        records_of(table(tmp_path, "a,b", "1,2"))
    assert all(kind in caught.value.message for kind in KINDS)


def test_the_kind_of_the_request_settles_it(tmp_path):
    """A file that could be two kinds is the one that is asked for."""
    path = table(tmp_path, "symbol,timestamp,price,size,bid,ask", f"A,{T},1,2,3,4")
    records, _, notes = records_of(path, kind=KINDS["trades"])
    assert ([Trade("A", T, "1", "2")], ["columns not read: bid, ask"]) == (records, notes)


def test_two_columns_for_one_field_are_refused(tmp_path):
    """Which of two columns of one name is meant is not guessed; a field's own name is surer than another word for it."""
    with pytest.raises(DataError, match=r"'size' and 'Size' are both trade\.size"):
        records_of(table(tmp_path, "symbol,timestamp,price,size,Size", f"A,{T},1,2,2"))
    (trade,), _, notes = records_of(table(tmp_path, "symbol,timestamp,price,amount,Qty", f"A,{T},3,6,2"))
    assert (trade.size, notes) == (2, ["columns not read: amount"])


def test_columns_that_are_not_read_are_said_once(tmp_path):
    """Columns that are no field are kept out and named, those without a name too."""
    path = table(tmp_path, ",symbol,timestamp,bid,ask,tape", *[f"1,A,{T},1,2,C"] * 5)
    records, rejects, notes = records_of(path, chunk_rows=2)
    assert (len(records), rejects, notes) == (5, [], ["columns not read: (no name), tape"])


def test_a_bad_symbol_in_the_request_is_an_error(tmp_path):
    """What the request gives is checked like what the file holds."""
    with pytest.raises(DataError, match="the given symbol: ' A' is not a name"):
        records_of(table(tmp_path, "t,bid,ask", f"{T},1,2"), symbol=" A")


def test_order_events_are_of_no_kind():
    """Events of an order book have prices and sizes and yet are no trades; they are refused as what they are."""
    paths = sorted(DATA.glob("orderevents_*.csv.gz"))
    if not paths:
        pytest.skip("the shared market data are not here")
    with pytest.raises(
        DataError, match="order_id beside action means events of an order book, which are not supported"
    ):
        records_of(paths[0])
