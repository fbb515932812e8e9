"""History of Alpaca: the real client against a server of its documented shapes, with the faults of the real one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fpa_core.exceptions import DataError, SourceError, StaleDataError
from fpa_core.kinds import BARS, ORDERS, QUOTES, TRADES
from fpa_core.layer import DataLayer, open_layer
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import Instant, ns_text, to_ns
from fpa_core.protocols import Capability, HistoryRequest, RateLimit, SourceRequest

pytest.importorskip("alpaca")

from alpaca_server import AlpacaServer, Fault, alpaca_server, configuration

from fpa_plugins.alpaca.plugin import AlpacaOptions, create

T0 = 1_714_570_200_000_000_000  # 2024-05-01T13:30:00Z
SECOND = 10**9
MINUTE = 60 * SECOND

QUOTE = {"ap": 169.59, "as": 3, "ax": "Q", "bp": 169.57, "bs": 1, "bx": "P", "c": ["R"], "z": "C"}
TRADE = {"i": 52983525029461, "x": "D", "p": 126.55, "s": 1, "c": ["@", "I"], "z": "C"}
BAR = {"o": 388.985, "h": 389.13, "l": 388.975, "c": 389.12, "v": 49378, "n": 461, "vw": 389.062639}


@pytest.fixture
def server() -> Iterator[AlpacaServer]:
    """Run the server, with pages of five rows."""
    with alpaca_server(page_rows=5) as running:
        yield running


@pytest.fixture
def source(server: AlpacaServer) -> Callable[..., Any]:
    """Return a function that makes the source with options."""
    return lambda **options: create(AlpacaOptions(**(server.options | {"timeout": 5.0} | options)))


@pytest.fixture
def data(server: AlpacaServer, tmp_path: Path) -> Iterator[DataLayer]:
    """Open a layer whose clock stands two hours after T0."""
    with open_layer(configuration(server, tmp_path), environ={}, clock=lambda: T0 + 120 * MINUTE) as layer:
        yield layer


def asked(kind: Any = QUOTES, start: int = T0, end: int = T0 + 60 * MINUTE, **more: Any) -> HistoryRequest:
    return HistoryRequest(kind=kind, symbol="AAPL", start=start, end=end, **more)


def rows_of(source: Any, request: HistoryRequest) -> list[Any]:
    from fpa_core.arrow.conversion import from_table

    pages = list(source.history(request))
    return [row for page in pages if page.chunk is not None for row in from_table(request.kind, page.chunk.table)]


def test_declared(source: Callable[..., Any]) -> None:
    """The source declares what it can do, its limit, and when its data are final."""
    alpaca = source(feed="sip")
    assert {"history", "live", "account", "orders", "corporate_actions", "latest"} == alpaca.capabilities
    assert Capability.CORPORATE_ACTIONS not in source(corporate_actions=False).capabilities
    assert ("alpaca:sip", 900.0, "XNYS", RateLimit(200, 60.0)) == (
        alpaca.origin,
        alpaca.settles,
        alpaca.calendar,
        alpaca.limit,
    )


def test_a_quote_is_exact(server: AlpacaServer, source: Callable[..., Any]) -> None:
    """Prices come to the last digit, times to the nanosecond, a missing field as None; conditions as files have them."""
    server.add("quotes", "AAPL", T0 + 123_456_789, QUOTE | {"bp": 0.30000000000000004, "c": None, "bx": None})
    (quote,) = rows_of(source(), asked())
    assert Quote("AAPL", Instant(T0 + 123_456_789), "0.30000000000000004", "169.59", 1, 3, None, "Q") == quote


def test_a_number_of_many_digits(server: AlpacaServer, source: Callable[..., Any]) -> None:
    """A number with more digits than a float holds is read exactly."""
    row = '{"t": "2024-05-01T13:30:00.000000001Z", "bp": 123456789.12345678901234567, "ap": 1}'
    server.fixed = f'{{"quotes": {{"AAPL": [{row}]}}, "next_page_token": null}}'
    (quote,) = rows_of(source(), asked())
    assert (Decimal("123456789.12345678901234567"), T0 + 1) == (quote.bid, quote.ts_ns)


def test_trades_and_bars(server: AlpacaServer, source: Callable[..., Any]) -> None:
    """Trades keep their id, exchange and conditions; bars their interval, weighted price and count."""
    server.add("trades", "AAPL", T0, TRADE)
    server.add("bars/1Min", "AAPL", T0, BAR)
    assert [Trade("AAPL", Instant(T0), "126.55", 1, '["@", "I"]', "D", "52983525029461")] == rows_of(
        source(), asked(TRADES)
    )
    bar = Bar("AAPL", Instant(T0), "388.985", "389.13", "388.975", "389.12", 49378, "1m", "389.062639", 461)
    assert [bar] == rows_of(source(), asked(BARS, interval="1m"))
    assert {"timeframe": "1Min", "adjustment": "raw", "feed": "iex"}.items() <= server.requests[-1][1].items()


def test_pages(server: AlpacaServer, source: Callable[..., Any]) -> None:
    """Pages come one at a time; each says up to where everything has been delivered, and the last one that it is the end."""
    for number in range(12):
        server.add("quotes", "AAPL", T0 + number // 2 * SECOND, QUOTE | {"as": number})
    pages = source().history(asked())
    first = next(pages)
    assert 1 == len(server.requests)
    assert (5, T0 + 2 * SECOND) == (first.chunk.table.num_rows, first.until)
    rest = list(pages)
    assert [T0 + 4 * SECOND, T0 + 60 * MINUTE] == [page.until for page in rest]
    assert [[6, 7, 8, 9, 10], [11, 12]] == [list(page.chunk.rows) for page in rest]


def test_the_end_is_excluded(server: AlpacaServer, source: Callable[..., Any]) -> None:
    """A range contains its start and not its end, although Alpaca includes it."""
    for at in (T0 - 1, T0, T0 + MINUTE - 1, T0 + MINUTE):
        server.add("quotes", "AAPL", at, QUOTE)
    found = rows_of(source(), asked(end=T0 + MINUTE))
    assert [T0, T0 + MINUTE - 1] == [quote.ts_ns for quote in found]


@pytest.mark.parametrize(("day", "hour"), [("2024-03-08", 5), ("2024-03-11", 4), ("2024-11-04", 5)])
def test_days_are_stored_under_their_date(
    server: AlpacaServer, source: Callable[..., Any], day: str, hour: int
) -> None:
    """A daily bar, which Alpaca stamps at midnight in New York, is stored under its date, as one of a file; ranges are of dates."""
    date = to_ns(day, dates=True)
    for number in (-1, 0, 1):
        server.add("bars/1Day", "AAPL", date + number * 24 * 60 * MINUTE + hour * 60 * MINUTE, BAR)
    (bar,) = rows_of(source(), asked(BARS, date, date + 24 * 60 * MINUTE, interval="1d"))
    assert (date, "1d") == (bar.ts_ns, bar.interval)
    before = len(server.requests)
    assert [] == rows_of(source(), asked(BARS, date + 1, date + MINUTE, interval="1d"))
    assert before == len(server.requests)  # no date begins in that range


def test_nothing_there(source: Callable[..., Any]) -> None:
    """A range without rows is one page that covers it."""
    (page,) = source().history(asked())
    assert (None, T0 + 60 * MINUTE) == (page.chunk, page.until)


def test_invalid_trades(server: AlpacaServer, source: Callable[..., Any]) -> None:
    """Trades that Alpaca marks as cancelled or incorrect are not rows; they are told apart, so that stored ones can go."""
    for number, mark in enumerate(("", "canceled", "incorrect", "corrected")):
        server.add("trades", "AAPL", T0 + number, TRADE | {"i": number} | ({"u": mark} if mark else {}))
    (page,) = source().history(asked(TRADES))
    assert [1, 4] == list(page.chunk.rows)
    assert [("1", T0 + 1), ("2", T0 + 2)] == [(one.trade_id, one.at_ns) for one in page.cancelled]


def test_unreadable_rows(server: AlpacaServer, source: Callable[..., Any]) -> None:
    """A row that cannot be parsed is rejected with its text and the reason; those beside it are read."""
    server.add("trades", "AAPL", T0, TRADE)
    server.add("trades", "AAPL", T0 + 1, {"x": "D", "s": 1})
    server.add("trades", "AAPL", T0 + 2, TRADE | {"p": "many"})
    (page,) = source().history(asked(TRADES))
    assert [1] == list(page.chunk.rows)
    assert [(2, "the message has no 'p'"), (3, "Trade.price: 'many' is not a decimal number")] == [
        (one.row, one.problem) for one in page.chunk.rejects
    ]
    assert '"s": 1' in page.chunk.rejects[0].raw


@pytest.mark.parametrize(
    "fault",
    [Fault(500), Fault(502), Fault(503), Fault(504), Fault(0), Fault(200, wait=0.0)],
    ids=["500", "502", "503", "504", "closed", "none"],
)
def test_failures_that_pass(server: AlpacaServer, source: Callable[..., Any], fault: Fault) -> None:
    """HTML errors of gateways and cut connections are tried again."""
    server.add("quotes", "AAPL", T0, QUOTE)
    server.faults += [fault, fault]
    assert 1 == len(rows_of(source(), asked()))


def test_failures_that_stay(server: AlpacaServer, source: Callable[..., Any]) -> None:
    """The budget of tries ends; the error names the place and the status, and says that another try may help."""
    server.faults += [Fault(503)] * 3
    with pytest.raises(SourceError, match=r"/v2/stocks/quotes answered with status 503$") as caught:
        rows_of(source(tries=3), asked())
    assert (503, True, "alpaca") == (caught.value.status, caught.value.transient, caught.value.source)
    assert 3 == len(server.requests)


def test_a_hung_answer(server: AlpacaServer, source: Callable[..., Any]) -> None:
    """An answer that does not come is given up after the time-out, and asked for again."""
    server.add("quotes", "AAPL", T0, QUOTE)
    server.faults.append(Fault(500, wait=3.0))
    begun = time.monotonic()
    assert 1 == len(rows_of(source(timeout=0.2), asked()))
    assert time.monotonic() - begun < 2.5
    server.faults.append(Fault(500, wait=3.0))
    with pytest.raises(SourceError, match=r"no whole answer from .* within 0\.2 s"):
        rows_of(source(timeout=0.2, tries=1), asked())


def test_the_limit_of_requests(server: AlpacaServer, source: Callable[..., Any]) -> None:
    """After a 429 nothing is asked before the time that the server gives."""
    server.add("quotes", "AAPL", T0, QUOTE)
    reset = int(time.time()) + 2
    server.faults.append(Fault(429, '{"message": "too many requests."}', reset=reset))
    assert 1 == len(rows_of(source(), asked()))
    assert time.time() >= reset


@pytest.mark.parametrize(
    ("body", "said"), [("forbidden", r"status 403\n"), ('{"message": "no SIP"}', "status 403: no SIP")]
)
def test_refused(server: AlpacaServer, source: Callable[..., Any], body: str, said: str) -> None:
    """A refusal is an error at once, with what the server says, if that is JSON, and a hint about the keys."""
    server.faults.append(Fault(403, body))
    with pytest.raises(SourceError, match=said) as caught:
        rows_of(source(), asked())
    assert "check the keys" in str(caught.value.hint)
    assert 1 == len(server.requests)


def test_wrong_keys(source: Callable[..., Any]) -> None:
    """Wrong keys are refused, and are not part of the error."""
    with pytest.raises(SourceError) as caught:
        rows_of(source(secret_key="wrong-secret"), asked())
    assert "wrong-secret" not in repr(caught.value) + str(caught.value)


@pytest.mark.parametrize("text", ["[1, 2]", '{"trades": {}}', '{"quotes": 5}', "<html>"])
def test_another_shape(server: AlpacaServer, source: Callable[..., Any], text: str) -> None:
    """An answer of another shape is an error, not an empty history."""
    server.fixed = text
    with pytest.raises(SourceError, match="alpaca: "):
        rows_of(source(tries=1), asked())


def test_cancelled(server: AlpacaServer, source: Callable[..., Any]) -> None:
    """A history that is told to stop ends between two pages, without claiming what it has not read."""
    for number in range(12):
        server.add("quotes", "AAPL", T0 + number, QUOTE)
    stop = threading.Event()
    pages = source().history(asked(stop=stop))
    first = next(pages)
    stop.set()
    assert [] == list(pages)
    assert first.until < T0 + 60 * MINUTE
    assert 1 == len(server.requests)


def test_unknown_kinds_and_intervals(source: Callable[..., Any]) -> None:
    """Kinds and intervals that Alpaca does not have are refused with those that it has."""
    with pytest.raises(DataError, match="no history of orders"):
        rows_of(source(), asked(ORDERS))
    with pytest.raises(DataError, match="'2d'"):
        rows_of(source(), asked(BARS, interval="2d"))


def test_estimates(source: Callable[..., Any]) -> None:
    """The estimate of bars follows from their interval: one a day, or one for each minute of sixteen hours."""
    days = 21 * 24 * 60 * MINUTE
    assert (1, 21) == (
        (of := source().estimate(asked(BARS, T0, T0 + days, interval="1d"))).requests,
        of.rows,
    )
    minutes = source().estimate(asked(BARS, T0, T0 + days, interval="1m"))
    assert (3, 21 * 960) == (minutes.requests, minutes.rows)


def test_latest(server: AlpacaServer, source: Callable[..., Any]) -> None:
    """The latest quotes of several symbols come in one request; a symbol without one is left out."""
    server.add("quotes", "AAPL", T0, QUOTE)
    server.add("quotes", "AAPL", T0 + 1, QUOTE | {"as": 7})
    assert [("AAPL", 7)] == [(one.symbol, one.ask_size) for one in source().latest(Quote, "AAPL", "MSFT")]
    assert 1 == len(server.requests)


def test_read_for_ingest(server: AlpacaServer, source: Callable[..., Any]) -> None:
    """`fpa ingest --via alpaca` reads days of a symbol, and needs a start."""
    server.add("bars/1Day", "AAPL", "2024-05-01T04:00:00Z", BAR)
    request = SourceRequest("AAPL", start=to_ns("2024-05-01", dates=True), end=T0)
    assert [1] == [chunk.table.num_rows for chunk in source().read(request)]
    with pytest.raises(DataError, match="start"):
        source().read(SourceRequest("AAPL"))


# Through the layer


def test_fetched_once(server: AlpacaServer, data: DataLayer) -> None:
    """What was fetched is stored and in the ledger, and is not asked for again; what is too young is asked for each time."""
    for number in range(12):
        server.add("quotes", "AAPL", T0 + number * 5 * MINUTE, QUOTE)
    (receipt,) = data.sources.history("alpaca", Quote, "AAPL", start=T0, end=T0 + 60 * MINUTE)
    assert (12, "alpaca:iex", "quotes") == (receipt.inserted, receipt.origin, receipt.kind)
    (entry,) = data.store.coverage("quotes", "AAPL")
    assert (T0, T0 + 60 * MINUTE, 12) == (entry.start_ns, entry.end_ns, entry.rows)
    asked_so_far = len(server.requests)
    assert [] == data.sources.history("alpaca", Quote, "AAPL", start=T0, end=T0 + 60 * MINUTE)
    assert asked_so_far == len(server.requests)
    data.sources.history("alpaca", Quote, "AAPL", start=T0)
    assert T0 + 105 * MINUTE == max(one.end_ns for one in data.store.coverage("quotes", "AAPL"))
    data.sources.history("alpaca", Quote, "AAPL", start=T0)
    start = ns_text(T0 + 105 * MINUTE)
    assert start == server.requests[-1][1]["start"]
    assert 12 == data.select(Quote).count()


def test_get_fetches_only_the_gaps(server: AlpacaServer, data: DataLayer) -> None:
    """`data.get` reads what is stored and asks for the rest alone; what is empty is not unknown."""
    hours = 24 * 60 * MINUTE
    start = to_ns("2024-03-12", dates=True)  # after the clocks of New York were set
    for number in range(30):
        server.add("bars/1Day", "AAPL", start + number * hours + 240 * MINUTE, BAR | {"v": 100 + number})
    data.sources.history("alpaca", Bar, "AAPL", start=start + 5 * hours, end=start + 10 * hours)
    before = len(server.requests)
    bars = data.get(Bar, "AAPL", Instant(start), Instant(start + 15 * hours), via="alpaca")
    assert list(range(100, 115)) == [bar.volume for bar in bars]
    spans = [(query["start"], query["end"]) for _, query in server.requests[before:] if "page_token" not in query]
    assert [
        (ns_text(start + 240 * MINUTE), ns_text(start + 5 * hours + 240 * MINUTE - 1)),
        (ns_text(start + 10 * hours + 240 * MINUTE), ns_text(start + 15 * hours + 240 * MINUTE - 1)),
    ] == spans
    before = len(server.requests)
    empty = data.get(Bar, "MSFT", Instant(start), Instant(start + hours), via="alpaca")
    again = data.get(Bar, "MSFT", Instant(start), Instant(start + hours), via="alpaca")
    assert ([], [], before + 1) == (empty.to_list(), again.to_list(), len(server.requests))


def test_a_failure_keeps_what_came_before(server: AlpacaServer, tmp_path: Path) -> None:
    """Pages before a failure are stored and covered up to their last instant; the next fetch goes on there."""
    for number in range(12):
        server.add("quotes", "AAPL", T0 + number * SECOND, QUOTE)
    path = configuration(server, tmp_path, tries=1)
    with open_layer(path, environ={}, clock=lambda: T0 + 120 * MINUTE) as data:
        server.faults += [Fault(200), Fault(503)]
        with pytest.raises(SourceError):
            data.sources.history("alpaca", Quote, "AAPL", start=T0, end=T0 + MINUTE)
        assert [(T0, T0 + 4 * SECOND)] == [(one.start_ns, one.end_ns) for one in data.store.coverage()]
        assert 4 == data.select(Quote).count()
        data.sources.history("alpaca", Quote, "AAPL", start=T0, end=T0 + MINUTE)
        assert ns_text(T0 + 4 * SECOND) == server.requests[2][1]["start"]
        assert 12 == data.select(Quote).count()


def test_equal_rows_over_pages_and_batches(server: AlpacaServer, data: DataLayer) -> None:
    """Rows of one instant are counted together, although pages cut through them."""
    for _ in range(13):
        server.add("quotes", "AAPL", T0, QUOTE)
    server.add("quotes", "AAPL", T0 + 1, QUOTE)
    data.sources.history("alpaca", Quote, "AAPL", start=T0, end=T0 + MINUTE)
    assert 14 == data.select(Quote).count()


def test_a_trade_that_was_cancelled_later(server: AlpacaServer, data: DataLayer) -> None:
    """A stored trade that the source lists as cancelled afterwards leaves the reads and stays in the history."""
    row = server.add("trades", "AAPL", T0, TRADE)
    data.sources.history("alpaca", Trade, "AAPL", start=T0, end=T0 + MINUTE)
    row["u"] = "canceled"
    data.sources.history("alpaca", Trade, "AAPL", start=T0, end=T0 + MINUTE, refetch=True)
    assert 0 == data.select(Trade).count()
    assert [0, 1] == [batch.deleted for batch in reversed(data.store.batches())]


def test_undo_makes_unknown(server: AlpacaServer, data: DataLayer) -> None:
    """Undoing a batch takes its range out of the ledger, so it is fetched again."""
    server.add("quotes", "AAPL", T0, QUOTE)
    (receipt,) = data.sources.history("alpaca", Quote, "AAPL", start=T0, end=T0 + MINUTE)
    assert receipt.batch is not None
    data.store.undo(receipt.batch)
    (again,) = data.sources.history("alpaca", Quote, "AAPL", start=T0, end=T0 + MINUTE)
    assert 1 == again.inserted


def test_unreadable_rows_are_quarantined(server: AlpacaServer, data: DataLayer) -> None:
    """Rows that are no records are in quarantine, even if all of a range are."""
    server.add("trades", "AAPL", T0, {"x": "D", "s": 1})
    (receipt,) = data.sources.history("alpaca", Trade, "AAPL", start=T0, end=T0 + MINUTE)
    assert (0, 1) == (receipt.inserted, receipt.quarantined)
    assert [] == data.sources.history("alpaca", Trade, "AAPL", start=T0, end=T0 + MINUTE)


def test_what_is_too_young_is_not_asked_for_twice_at_once(server: AlpacaServer, data: DataLayer) -> None:
    """`data.get` asks for the part that is not final yet once within a time; undoing what came, or no time, has it asked for again."""
    young = T0 + 115 * MINUTE
    server.add("quotes", "AAPL", young, QUOTE)

    def get(symbol: str = "AAPL", **options: Any) -> tuple[int, int]:
        before = len(server.requests)
        rows = data.get(Quote, symbol, Instant(T0), via="alpaca", **options).count()
        return rows, len(server.requests) - before

    assert (1, 1) == get()
    server.add("quotes", "AAPL", young + 1, QUOTE)
    assert [(1, 0), (1, 0)] == [get(), get()]
    assert (0, 1) == get("MSFT")
    assert (2, 1) == get(ttl=0)
    assert (2, 1) == get()  # new rows of that symbol came, so what was remembered of it ended
    server.add("quotes", "AAPL", young + 2, QUOTE)
    assert (2, 0) == get()
    data.store.undo(data.store.batches()[0].id)
    assert (3, 1) == get()
    with pytest.raises(StaleDataError):
        get(max_age="1s")  # a second is shorter than what is remembered, so the source was asked
    assert ns_text(young - 10 * MINUTE) == server.requests[-1][1]["start"]
    with pytest.raises(DataError, match="ttl"):
        get(ttl="soon")


def test_latest_through_the_cache(server: AlpacaServer, data: DataLayer) -> None:
    """The latest quote is asked for once within a second or the time that is given, for several symbols in one request; nothing is stored."""
    server.add("quotes", "AAPL", T0, QUOTE)
    server.add("quotes", "IBM", T0, QUOTE)
    first = data.sources.latest("alpaca", "AAPL", ttl="1h")
    server.add("quotes", "AAPL", T0 + 1, QUOTE | {"as": 7})
    assert first == data.sources.latest("alpaca", "AAPL", ttl="1h")
    assert 1 == len(server.requests)
    assert ["AAPL", "IBM"] == [one.symbol for one in data.sources.latest("alpaca", ["AAPL", "IBM", "MSFT"], ttl="1h")]
    assert "IBM,MSFT" == server.requests[-1][1]["symbols"]
    assert [7, 7] == [data.sources.latest("alpaca", "AAPL", ttl=ttl).ask_size for ttl in (0, "1m")]
    assert data.sources.latest("alpaca", "MSFT", ttl=0) is None
    assert 0 == data.select(Quote).count()
    with pytest.raises(DataError, match="no latest records"):
        data.sources.latest("files", "AAPL")
