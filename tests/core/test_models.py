"""Records: what they take, what they refuse and how they say so, and what they can be asked."""

from __future__ import annotations

import copy
import inspect
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

import pytest
from attrs import asdict, evolve, fields
from attrs.exceptions import FrozenInstanceError
from hypothesis import given
from hypothesis import strategies as st
from strategies import any_decimals, instants, quotes, records, same_kind

from fpa_core import models
from fpa_core.converters import MAX_NAME, MAX_TEXT, is_own_word, to_interval
from fpa_core.exceptions import DataError
from fpa_core.models import (
    Bar,
    CashFlow,
    CorporateAction,
    Fill,
    Order,
    OrderStatus,
    OrderType,
    PortfolioSnapshot,
    Position,
    PositionSide,
    Quote,
    Side,
    TimeInForce,
    Trade,
)
from fpa_core.numbers import YEAR_1980, Instant, ns_text

T = 1_714_573_800_123_456_789
TEXT = "2024-05-01T14:30:00.123456789Z"
CLASSES = [Quote, Trade, Bar, Order, Position, PortfolioSnapshot, Fill, CashFlow, CorporateAction]
LEAST = {
    Quote: {"symbol": "A", "timestamp": T, "bid": None, "ask": None},
    Trade: {"symbol": "A", "timestamp": T, "price": 1, "size": 1},
    Bar: {"symbol": "A", "timestamp": T, "open": 1, "high": 1, "low": 1, "close": 1, "volume": 1, "interval": "1m"},
    Order: {"order_id": "1", "symbol": "A", "quantity": 1, "side": "buy", "order_type": "market"},
    Position: {"symbol": "A", "quantity": 1, "market_value": 1, "cost_basis": 1},
    PortfolioSnapshot: {"timestamp": T, "total_value": 1},
    Fill: {"symbol": "A", "timestamp": T, "side": "buy", "price": 1, "quantity": 1},
    CashFlow: {"timestamp": T, "flow_type": "fee", "amount": -1},
    CorporateAction: {"symbol": "A", "timestamp": T, "action_type": "split"},
}


def public(record):
    """Return what the constructor of *record* takes, by public name."""
    return {attribute.alias: getattr(record, attribute.name) for attribute in fields(type(record))}


def refusal(record, **given_fields):
    """Return the error of making a *record* with one field that is wrong."""
    with pytest.raises(DataError) as caught:
        record(**LEAST[record] | given_fields)
    return caught.value


# Making


@given(records())
def test_positional_and_keyword_arguments_mean_the_same(record):
    """A record is made by position or by name, in the order of its fields."""
    given_fields = public(record)
    assert record == type(record)(*given_fields.values()) == type(record)(**given_fields)


@pytest.mark.parametrize("record", CLASSES)
def test_the_least_a_record_needs(record):
    """The fields without which there is no record are few; each of them is asked for by its public name."""
    assert record(**LEAST[record]) == record(*LEAST[record].values())
    for name in LEAST[record]:
        with pytest.raises(TypeError, match=f"'{name}'"):
            record(**{other: value for other, value in LEAST[record].items() if other != name})


@pytest.mark.parametrize("record", CLASSES)
def test_the_signature_shows_the_public_names(record):
    """The signature of a constructor, which editors show, has the names, types and defaults of the fields."""
    parameters = inspect.signature(record).parameters
    assert [attribute.alias for attribute in fields(record)] == list(parameters)
    assert "__init__" == record.__init__.__name__
    assert not any(name.endswith("_ns") for name in parameters)


def test_unknown_fields_are_refused():
    """A name that is no field is an ordinary TypeError."""
    with pytest.raises(TypeError, match="colour"):
        Quote("A", T, 1, 2, colour="red")


@pytest.mark.parametrize("time", [T, TEXT, "2024-05-01T10:30:00.123456789-04:00"])
def test_times_are_exact(time):
    """A time is kept to the nanosecond; its datetime shows the microseconds."""
    quote = Quote("A", time, 1, 2)
    assert T == quote.ts_ns
    assert datetime(2024, 5, 1, 14, 30, 0, 123_456, tzinfo=UTC) == quote.timestamp


@pytest.mark.parametrize("record", CLASSES)
def test_every_time_has_a_datetime(record):
    """Each field of nanoseconds has a view under its public name, which is None where the time is missing."""
    for attribute in fields(record):
        if not attribute.name.endswith("_ns"):
            continue
        made = record(**LEAST[record] | {attribute.alias: TEXT})
        assert (T, 123_456) == (getattr(made, attribute.name), getattr(made, attribute.alias).microsecond)
        assert T // 1000 * 1000 == getattr(
            evolve(made, **{attribute.alias: getattr(made, attribute.alias)}), attribute.name
        )
        if attribute.default is None:
            assert getattr(record(**LEAST[record]), attribute.alias) is None


def test_numbers_are_exact():
    """Numbers of every accepted type are kept as the decimals they show."""
    quote = Quote("A", T, "1.10", 0.1, 5, Decimal("1E+2"))
    assert [Decimal("1.1"), Decimal("0.1"), 5, 100] == [quote.bid, quote.ask, quote.bid_size, quote.ask_size]
    assert all(type(number) is Decimal for number in (quote.bid, quote.ask, quote.bid_size, quote.ask_size))


def test_missing_is_not_zero():
    """A side that is not there differs from one at zero."""
    assert Quote("A", T, None, 1) != Quote("A", T, 0, 1)


def test_negative_and_crossed_prices_are_data():
    """Models do not judge: oil traded below zero, and bids stand above asks."""
    assert Decimal("-36.98") == Trade("CL", T, "-36.98", 1).price
    assert -1 == Quote("A", T, 2, 1).spread


# Errors


@pytest.mark.parametrize("record", CLASSES)
def test_errors_name_class_and_field(record):
    """Whatever field is wrong, the error says of which class and field, and holds the value."""
    wrong = object()
    for attribute in fields(record):
        error = refusal(record, **{attribute.alias: wrong})
        assert f"{record.__name__}.{attribute.alias}" == error.field
        assert error.message.startswith(f"{error.field}: ")
        assert error.value is wrong


@pytest.mark.parametrize(
    ("record", "field", "value", "message", "hint"),
    [
        (Quote, "bid", "cheap", "'cheap' is not a decimal number", "123.45"),
        (Quote, "ask", float("nan"), "nan is not a finite number", "None"),
        (Trade, "price", None, "expected a number (Decimal, int, str or float), not None", None),
        (Trade, "size", True, "expected a number (Decimal, int, str or float), not True", None),
        (Trade, "timestamp", "2024-05-01T14:30", "has no time zone", "timezone.utc"),
        (Order, "updated_at", "yesterday", "is not an ISO-8601 time", "2024-05-01T14:30:00.123456789Z"),
        (Order, "side", "sideways", "unknown value 'sideways'; one of: buy, sell", None),
        (Order, "status", None, "unknown value None; one of: new, ", None),
        (Order, "order_type", Side.BUY, "; one of: market, limit, ", None),
        (Order, "time_in_force", "canceled", "unknown value 'canceled'; one of: day, ", None),
        (Position, "side", "buy", "unknown value 'buy'; one of: long, short", None),
        (Position, "account", "", "'' is not a name", "printable"),
        (Bar, "interval", "fortnight", "'fortnight' is not an interval", "5m"),
        (Bar, "interval", "1M", "'1M' is ambiguous: a month or a minute", "1mo or 1m"),
        (Bar, "interval", None, "expected text, not NoneType", None),
        (Bar, "trade_count", "1.5", "expected a whole number of at most 64 bits, not '1.5'", None),
        (Quote, "symbol", None, "expected text, not NoneType", None),
        (Quote, "conditions", b"R", "expected text, not bytes", None),
        (PortfolioSnapshot, "positions", None, "Position records are needed, not NoneType", None),
        (PortfolioSnapshot, "positions", [1], "Position records are needed, not int", None),
        (PortfolioSnapshot, "positions", "AB", "Position records are needed, not str", None),
    ],
)
def test_errors_say_what_is_wrong(record, field, value, message, hint):
    """A message says what is wrong with the value, and the hint how to mend it."""
    error = refusal(record, **{field: value})
    assert f"{record.__name__}.{field}" == error.field
    assert message in error.message
    assert hint is None or hint in error.hint


def test_errors_come_without_a_trail():
    """The error of a field shows no inner error that says the same with less."""
    error = refusal(Quote, bid="cheap")
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_errors_of_evolve_name_the_field():
    """A record that is derived from another is checked like any other."""
    with pytest.raises(DataError, match=r"Quote\.ask: 'x'"):
        evolve(Quote("A", T, 1, 2), ask="x")


def test_the_first_wrong_field_is_named():
    """Where several fields are wrong, the first is named."""
    assert "Quote.timestamp" == refusal(Quote, timestamp="x", ask="y").field


def test_positions_from_an_iterator():
    """Positions may come from an iterator, and the error names the field although it is used up."""
    snapshot = PortfolioSnapshot(T, 1, positions=iter([Position("A", 1, 1, 1)]))
    assert ["A"] == [position.symbol for position in snapshot.positions]
    error = refusal(PortfolioSnapshot, positions=iter(["A"]))
    assert ("PortfolioSnapshot.positions", "A") == (error.field, error.value)


# Texts


@pytest.mark.parametrize("name", ["A", "BRK.B", "BTC/USDT", "SPXW  210106P03700000", "Ünï", "日経", "x" * MAX_NAME])
def test_names(name):
    """A name is printable text, taken as it is."""
    assert name == Quote(name, T, 1, 2).symbol


@pytest.mark.parametrize(
    "name", ["", " ", " A", "A ", "A\n", "A\tB", "A\x00", "A\u00a0B", "\u202eA", "\ud800", "x" * 257, 1]
)
def test_what_is_no_name_is_refused(name):
    """A name is not empty, printable, without blanks at its ends, and not endless."""
    assert "Quote.symbol" == refusal(Quote, symbol=name).field


def test_texts():
    """Other text may hold anything that is Unicode, but for NUL and blanks at its ends; an empty one is missing."""
    assert ",\n\"'\u00e4" == Trade("A", T, 1, 1, " \n,\n\"'\u00e4\t").conditions
    assert Trade("A", T, 1, 1, "").conditions is None
    assert Trade("A", T, 1, 1, None).conditions is None
    for wrong in ("a\x00b", "\udfff", "x" * (MAX_TEXT + 1), 5):
        assert "Trade.conditions" == refusal(Trade, conditions=wrong).field


# Words


@pytest.mark.parametrize(
    ("record", "field", "words"),
    [
        (Order, "side", Side),
        (Order, "order_type", OrderType),
        (Order, "status", OrderStatus),
        (Order, "time_in_force", TimeInForce),
        (Position, "side", PositionSide),
    ],
)
def test_words(record, field, words):
    """A word is taken as its enumeration or its text in any case, also from another enumeration, and kept as the former."""
    for word in words:
        foreign = StrEnum("Foreign", {"WORD": word.value}).WORD
        for spelling in (word, word.value, word.name, f" {word.value.title()} ", foreign):
            assert word is getattr(record(**LEAST[record] | {field: spelling}), field)


@pytest.mark.parametrize("word", ["canceled", "CANCELED", "cancelled", OrderStatus.CANCELLED])
def test_american_spelling_of_cancelled(word):
    """An order is cancelled with one l or two."""
    assert OrderStatus.CANCELLED is Order("1", "A", 1, "buy", "market", word).status


def test_words_are_text():
    """A word compares, formats and sorts as its text."""
    assert "buy" == Side.BUY
    assert "sell" == f"{Side.SELL}"


# Intervals and counts


@pytest.mark.parametrize(
    ("spelling", "interval"),
    [
        ("1s", "1s"),
        ("30sec", "30s"),
        ("1m", "1m"),
        ("5 min", "5m"),
        ("5Min", "5m"),
        ("15T", "15m"),
        ("1H", "1h"),
        ("4hour", "4h"),
        (" 1d ", "1d"),
        ("1Day", "1d"),
        ("1w", "1w"),
        ("1Week", "1w"),
        ("1mo", "1mo"),
        ("3Month", "3mo"),
        ("999999s", "999999s"),
    ],
)
def test_intervals(spelling, interval):
    """The usual spellings of an interval are one."""
    made = Bar("A", T, 1, 1, 1, 1, 1, spelling)
    assert interval == made.interval
    assert made == evolve(made, interval=made.interval)


@pytest.mark.parametrize(
    "wrong", ["", "m", "0m", "01m", "-1m", "1.5h", "1", "1M", "1000000s", "1 m m", "\u0661m", 5, None]
)
def test_what_is_no_interval_is_refused(wrong):
    """An interval is a whole number and a unit."""
    assert "Bar.interval" == refusal(Bar, interval=wrong).field


@pytest.mark.parametrize(
    ("given_count", "count"),
    [
        (0, 0),
        ("12", 12),
        ("1e3", 1000),
        (3.0, 3),
        (Decimal("7.00"), 7),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (None, None),
    ],
)
def test_counts(given_count, count):
    """A count is a whole number, however it is written."""
    made = Bar(**LEAST[Bar], trade_count=given_count).trade_count
    assert (count, type(count)) == (made, type(made))


@pytest.mark.parametrize("wrong", [1.5, "1e-1", 2**63, -(2**63) - 1, "1e75", True, "x", Decimal("1" * 40 + ".5")])
def test_what_is_no_count_is_refused(wrong):
    """A count is whole and has at most 64 bits."""
    assert "Bar.trade_count" == refusal(Bar, trade_count=wrong).field


# What a quote tells


@given(any_decimals(), any_decimals())
def test_mid_and_spread_are_exact(bid, ask):
    """Mid and spread are exact for the longest numbers."""
    quote = Quote("A", T, bid, ask)
    assert (Fraction(bid) + Fraction(ask)) / 2 == Fraction(quote.mid)
    assert Fraction(ask) - Fraction(bid) == Fraction(quote.spread)


@given(quotes())
def test_mid_and_spread_need_both_sides(quote):
    """There is a mid and a spread exactly when both sides are quoted."""
    complete = quote.bid is not None and quote.ask is not None
    assert (complete, complete) == (quote.mid is not None, quote.spread is not None)


# Values


@given(records())
def test_records_are_immutable(record):
    """No field can be set or deleted, and no other attribute added."""
    for name in (*(attribute.name for attribute in fields(type(record))), "colour"):
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, 1)
        with pytest.raises(FrozenInstanceError):
            delattr(record, name)
    assert not hasattr(record, "__dict__")


@given(records())
def test_copies_are_equal(record):
    """Copies, pickles and what evolve makes without a change are equal and hash alike."""
    for twin in (copy.copy(record), copy.deepcopy(record), pickle.loads(pickle.dumps(record)), evolve(record)):
        assert (record, hash(record), repr(record)) == (twin, hash(twin), repr(twin))


@given(records())
def test_reprs_make_equal_records(record):
    """The repr of a record is the expression that makes an equal one, on one printable line."""
    names = {cls.__name__: cls for cls in CLASSES}
    assert record == eval(repr(record), names)
    assert repr(record).isprintable()


def test_reprs_are_short():
    """A repr leaves out what is missing; times are ISO text and numbers their digits."""
    assert f"Quote('A', timestamp={TEXT!r}, bid='1.10', ask=None)" == repr(Quote("A", T, "1.10", None))
    held = Position("A", 1, None, None, side="long")
    assert (
        f"PortfolioSnapshot(timestamp={TEXT!r}, total_value='5', positions=(Position('A', quantity='1', market_value=None, "
        f"cost_basis=None, timestamp={TEXT!r}, side='long'),))"
    ) == repr(PortfolioSnapshot(T, 5, positions=[held]))


@given(any_decimals(), instants())
def test_equality_is_of_values(number, ns):
    """Records with equal numbers in different spellings are equal and hash alike; another time makes another record."""
    one, other = Trade("A", Instant(ns), number, 1), Trade("A", Instant(ns), number, "1.000")
    assert (one, hash(one)) == (other, hash(other))
    assert one != evolve(one, timestamp=Instant(ns - 1 if ns > 0 else ns + 1))
    assert one != Quote("A", Instant(ns), number, 1)


@given(same_kind(2), st.data())
def test_evolve_takes_public_names(pair, data):
    """A record with one field of another comes from evolve by the name the constructor uses."""
    record, other = pair
    if type(record) is PortfolioSnapshot:
        other = evolve(other, timestamp=record.ts_ns, account=record.account)
    attribute = data.draw(st.sampled_from(fields(type(record))))
    changed = evolve(record, **{attribute.alias: getattr(other, attribute.name)})
    expected = asdict(record, recurse=False) | {attribute.name: getattr(other, attribute.name)}
    assert expected == asdict(changed, recurse=False)


# Snapshots


def test_positions_take_account_and_time():
    """The positions of a snapshot are as of its time and of its account, and are sorted by symbol."""
    held = [Position("B", 1, 1, 1, account="x"), Position("A", 2, 2, 2, timestamp=Instant(5))]
    snapshot = PortfolioSnapshot(T, 10, positions=held, account="main")
    assert [("A", T, "main"), ("B", T, "main")] == [
        (each.symbol, each.ts_ns, each.account) for each in snapshot.positions
    ]
    assert (None, 5) == (held[0].ts_ns, held[1].ts_ns)
    later = evolve(snapshot, timestamp=T + 1, account="other")
    assert {(T + 1, "other")} == {(each.ts_ns, each.account) for each in later.positions}


def test_order_of_positions_does_not_matter():
    """Snapshots of the same positions are equal, in whatever order they are given."""
    held = [Position(symbol, 1, 1, 1) for symbol in "CAB"]
    one, other = PortfolioSnapshot(T, 1, positions=held), PortfolioSnapshot(T, 1, positions=tuple(reversed(held)))
    assert (one, hash(one)) == (other, hash(other))


def test_a_symbol_is_held_once():
    """Two positions in one symbol are refused, with the symbol."""
    error = refusal(
        PortfolioSnapshot, positions=[Position("A", 1, 1, 1), Position("B", 1, 1, 1), Position("A", 2, 1, 1)]
    )
    assert ("PortfolioSnapshot.positions", "A") == (error.field, error.value)
    assert "A occurs twice" in error.message


@pytest.mark.parametrize("name", models.__all__)
def test_public_names(name):
    """All that the module offers is there, and its classes are explained."""
    offered = getattr(models, name)
    assert not inspect.isclass(offered) or offered.__doc__


# Words of brokers


@pytest.mark.parametrize(
    ("given_field", "raw", "words"),
    [
        (
            "side",
            "side_raw",
            {Side.BUY: "b BOT Bought long BUY_TO_OPEN buy-to-cover", Side.SELL: "S SLD sold SS sell_short"},
        ),
        (
            "order_type",
            "type_raw",
            {
                OrderType.MARKET: "MKT MOC moo",
                OrderType.LIMIT: "LMT LOC",
                OrderType.STOP: "STP stop_loss",
                OrderType.STOP_LIMIT: "STP_LMT",
                OrderType.TRAILING_STOP: "TRAIL",
            },
        ),
        (
            "status",
            "status_raw",
            {
                OrderStatus.NEW: "accepted pending_new held PreSubmitted PendingSubmit done_for_day pending_cancel",
                OrderStatus.PARTIALLY_FILLED: "partial",
                OrderStatus.FILLED: "executed Complete",
                OrderStatus.CANCELLED: "ApiCancelled api_canceled replaced",
                OrderStatus.REJECTED: "Inactive",
            },
        ),
    ],
)
def test_words_of_brokers(given_field, raw, words):
    """A broker's word is understood, and kept beside unless another is given there; evolve keeps it, too."""
    for word, texts in words.items():
        for text in texts.split():
            order = Order(**LEAST[Order] | {given_field: text})
            assert (word, text) == (getattr(order, given_field), getattr(order, raw))
            assert not is_own_word(text)
            assert word is getattr(fields(Order), given_field).metadata["convert"](text)
            assert order == evolve(order, quantity=1)
            assert "own" == getattr(Order(**LEAST[Order] | {given_field: text, raw: "own"}), raw)


@pytest.mark.parametrize(
    ("given_field", "text"),
    [("status", "CANCELED"), ("status", "Partially Filled"), ("order_type", "Trailing-Stop"), ("side", " BUY ")],
)
def test_other_spellings_of_our_words_are_ours(given_field, text):
    """Case, blanks, dashes, underscores and one l do not make a foreign word."""
    order = Order(**LEAST[Order] | {given_field: text})
    assert is_own_word(text)
    assert (None, None, None) == (order.side_raw, order.type_raw, order.status_raw)


@pytest.mark.parametrize("text", ["closed", "done", "finished", ""])
def test_uncertain_words_are_refused(text):
    """A word that could mean two of ours is refused with ours, beside a foreign one that is understood, too."""
    error = refusal(Order, status=text, side="BOT")
    assert "Order.status" == error.field
    assert "new, partially_filled, filled, cancelled, rejected, expired" in error.message


# Intervals of one length

_UNITS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, " Hour": 3600, "d": 86_400, "day": 86_400, "w": 604_800}


@given(st.integers(1, 5_000), st.sampled_from(sorted(_UNITS)), st.sampled_from(sorted(_UNITS)))
def test_one_spelling_for_one_length(count, unit, other):
    """Two texts of one length have one spelling, which is its own; of two lengths, two."""
    seconds = count * _UNITS[unit]
    spelling = to_interval(f"{count}{unit}")
    assert spelling == to_interval(spelling)
    assert (spelling == to_interval(f"{count}{other}")) == (seconds == count * _UNITS[other])
    if not seconds % _UNITS[other] and seconds // _UNITS[other] < 10**6:
        assert spelling == to_interval(f"{seconds // _UNITS[other]}{other}")
    if seconds < 10**6:
        assert spelling == to_interval(f"PT{seconds}S")


@pytest.mark.parametrize(
    ("interval", "texts"),
    [
        ("1s", "S sec second PT1S"),
        ("1m", "60s T 1T min minute 1Min M1 PT1M"),
        ("5m", "300s M5 PT5M"),
        ("1h", "60m 3600s 1Hour hour hourly H1 PT1H PT60M"),
        ("4h", "H4 240min"),
        ("1d", "24h 1440m D 1D D1 day daily 1day P1D"),
        ("1w", "7d W W1 1wk week weekly P1W P7D"),
        ("2w", "14d"),
        ("1mo", "MN MN1 1Month month monthly P1M"),
        ("12mo", "1y year yearly P1Y"),
        ("90m", "PT1H30M"),
    ],
)
def test_spellings_of_intervals(interval, texts):
    """What sources write for an interval is read."""
    assert {interval} == {to_interval(text) for text in texts.split()}


@pytest.mark.parametrize("text", ["60", "1440", "5"])
def test_intervals_need_a_unit(text):
    """A bare number is refused, and the hint shows both ways to write it."""
    assert f"write {text}m if they are minutes, {text}s if seconds" == refusal(Bar, interval=text).hint


@pytest.mark.parametrize("text", ["M", "m", "3M", "P", "PT", "P1M1D", "P0D"])
def test_intervals_that_could_be_two_are_refused(text):
    """A month or a minute, and months with days, are no length."""
    assert "Bar.interval" == refusal(Bar, interval=text).field


# Integers as times


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (0, "s"),
        (-5, "s"),
        (1_714_573_800, "s"),
        (1_714_573_800_123, "ms"),
        (1_714_573_800_123_456, "us"),
        (3 * 10**17, "ns"),
    ],
)
def test_integers_that_are_no_nanoseconds_are_refused(value, unit):
    """An integer that would be a time before 1980 is refused, and the hint says how to write what it is."""
    error = refusal(Quote, timestamp=value)
    assert f'Instant.from_epoch({value}, unit="{unit}")' in error.hint
    assert value == Quote("A", Instant(value), 1, 2).ts_ns


@given(instants())
def test_times_are_plain_from_1980_on(ns):
    """A record holds an ordinary integer from 1980 on, and an Instant before, whatever it was given."""
    for given_time in (Instant(ns), ns_text(ns)):
        held = Quote("A", given_time, 1, 2).ts_ns
        assert (ns, Instant if ns < YEAR_1980 else int) == (held, type(held))


@given(st.integers(-(9 * 10**9), 9 * 10**9), st.sampled_from([("s", 9), ("ms", 6), ("us", 3), ("ns", 0)]))
def test_instants_from_the_epoch_are_exact(count, unit):
    """An instant counts any unit exactly, as integer, decimal or text, and is pickled as what it is."""
    name, digits = unit
    for value in (count, Decimal(count), str(count)):
        made = Instant.from_epoch(value, unit=name)
        assert (count * 10**digits, Instant) == (made, type(made))
    assert (made, Instant) == ((twin := pickle.loads(pickle.dumps(made))), type(twin))
    assert (made, Instant) == ((twin := copy.deepcopy(made)), type(twin))


@pytest.mark.parametrize(("value", "unit"), [(1, "h"), ("0.5", "ns"), (10**18, "s"), ("x", "s"), (float("nan"), "s")])
def test_what_is_no_instant_is_refused(value, unit):
    """Another unit, a fraction of a nanosecond and a time beyond 64 bits are refused."""
    with pytest.raises(DataError):
        Instant.from_epoch(value, unit=unit)


# Fills, cash flows and corporate actions


def test_what_follows_from_a_fill():
    """The quantity of a sale is signed, and the value is price, quantity and multiplier, exactly."""
    fill = Fill("A", T, "SLD", "1.05", 3, multiplier=100)
    assert (Side.SELL, "SLD", -3, 315) == (fill.side, fill.side_raw, fill.signed_quantity, fill.value)
    assert (3, Decimal("3.15")) == ((bought := Fill("A", T, "buy", "1.05", 3)).signed_quantity, bought.value)


def test_the_ratio_of_a_corporate_action():
    """New shares by old ones are a fraction; without a rate, or by none, there is no ratio."""
    assert Fraction(1, 3) == CorporateAction("A", T, "split", 1, 3).ratio
    assert 4 == CorporateAction("A", T, "stock split", 4).ratio
    assert None is CorporateAction("A", T, "split").ratio is CorporateAction("A", T, "split", 4, 0).ratio


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("DIV", "dividend"),
        ("Withholding Tax", "tax"),
        ("Broker Interest", "interest"),
        ("CSD", "deposit"),
        ("FX", "conversion"),
    ],
)
def test_words_of_brokers_for_cash(word, meaning):
    """The broker's word is translated, and kept."""
    flow = CashFlow(T, word, 1)
    assert (meaning, word) == (flow.flow_type, flow.type_raw)
    with pytest.raises(DataError, match=r"CashFlow.flow_type: unknown value 'gift'; one of: deposit"):
        CashFlow(T, "gift", 1)
