"""Hypothesis strategies for records."""

from __future__ import annotations

import random
from decimal import Decimal

from hypothesis import strategies as st

from fpa_core.converters import to_id_or_none
from fpa_core.models import (
    Bar,
    CashFlow,
    CashFlowType,
    CorporateAction,
    CorporateActionType,
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
from fpa_core.numbers import MAX_NS, MIN_NS, Instant

NS = st.integers(-(2**62), 2**62).map(Instant)
"""Instants between 1823 and 2116."""

FEW_NS = st.integers(0, 5).map(Instant)
"""So few instants that records share them."""


def decimals(places: int = 24, digits: int = 30) -> st.SearchStrategy[Decimal]:
    """Make decimals of any scale, including negative, tiny and long ones."""
    return st.builds(
        lambda number, scale: Decimal(number).scaleb(-scale),
        st.integers(-(10**digits), 10**digits),
        st.integers(0, places),
    )


def any_decimals() -> st.SearchStrategy[Decimal]:
    """Make every decimal that a model accepts: up to 76 digits before and after the point, in any notation."""
    return st.one_of(
        decimals(),
        st.builds(
            _joined, st.sampled_from("+-"), st.integers(0, 76), st.integers(0, 76), st.randoms(use_true_random=False)
        ),
        st.builds(
            lambda number, exponent: Decimal(number).scaleb(exponent), st.integers(-999, 999), st.integers(-76, 73)
        ),
    )


def _joined(sign: str, before: int, after: int, chance: random.Random) -> Decimal:
    digits = "".join(chance.choices("0123456789", k=before + after))
    return Decimal(f"{sign}{digits[:before]}.{digits[before:]}" if digits else f"{sign}0")


def instants() -> st.SearchStrategy[int]:
    """Make every time that a model accepts: any 64-bit nanosecond but the lowest, including round ones."""
    return st.one_of(
        st.integers(MIN_NS + 1, MAX_NS),
        st.builds(
            lambda count, unit: count * unit,
            st.integers(-(9 * 10**9), 9 * 10**9),
            st.sampled_from([10**3, 10**6, 10**9]),
        ),
    ).map(Instant)


def prices() -> st.SearchStrategy[Decimal]:
    """Make usual prices, and zero, negative and very long ones."""
    return st.one_of(st.decimals(0, 1000, places=2), st.sampled_from([Decimal("-36.98"), Decimal(0)]), decimals())


def few_prices() -> st.SearchStrategy[Decimal]:
    """Make few prices, some of them equal with different scales."""
    return st.sampled_from([Decimal(text) for text in ("1", "1.0", "1.5", "1.50", "2")])


def texts(size: int = 12) -> st.SearchStrategy[str]:
    """Make any text that a field accepts."""
    return st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=size)


def names() -> st.SearchStrategy[str]:
    """Make symbols, order ids and accounts."""
    return st.one_of(
        st.sampled_from(["AAPL", "BRK[B]", "BTC/USDT", "SPXW  210106P03700000", "Ünï", "a'b;--", "x,y"]),
        st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=10),
    )


optional_prices = st.none() | prices()
optional_texts = st.none() | texts()


def quotes(symbol: st.SearchStrategy[str] | None = None, ts: st.SearchStrategy[int] = NS) -> st.SearchStrategy[Quote]:
    """Make quotes, of any symbol and time unless given."""
    return st.builds(
        Quote,
        names() if symbol is None else symbol,
        ts.map(Instant),
        optional_prices,
        optional_prices,
        optional_prices,
        optional_prices,
        optional_texts,
        optional_texts,
        optional_texts,
    )


def trades(symbol: st.SearchStrategy[str] | None = None, ts: st.SearchStrategy[int] = NS) -> st.SearchStrategy[Trade]:
    """Make trades, of any symbol and time unless given."""
    return st.builds(
        Trade,
        names() if symbol is None else symbol,
        ts.map(Instant),
        prices(),
        prices(),
        optional_texts,
        optional_texts,
        st.none() | texts(4),
        st.none() | st.sampled_from(Side),
    )


def bars(symbol: st.SearchStrategy[str] | None = None, ts: st.SearchStrategy[int] = NS) -> st.SearchStrategy[Bar]:
    """Make bars, of any symbol and time unless given."""
    return st.builds(
        Bar,
        names() if symbol is None else symbol,
        ts.map(Instant),
        optional_prices,
        optional_prices,
        optional_prices,
        prices(),
        optional_prices,
        st.sampled_from(["1s", "1m", "5m", "1h", "1d", "1mo"]),
        optional_prices,
        st.none() | st.integers(0, 10**12),
    )


def orders() -> st.SearchStrategy[Order]:
    """Make orders."""
    return st.builds(
        Order,
        names(),
        names(),
        optional_prices,
        st.sampled_from(Side),
        st.sampled_from(OrderType),
        st.sampled_from(OrderStatus),
        prices(),
        optional_prices,
        optional_prices,
        optional_prices,
        st.sampled_from(TimeInForce),
        NS,
        NS,
        optional_texts,
        optional_texts,
        optional_prices,
        optional_prices,
        optional_prices,
        optional_texts,
        optional_texts,
        names(),
    )


def ids() -> st.SearchStrategy[str]:
    """Make ids of a venue or broker; names that stand for a missing one are none."""
    return names().filter(lambda name: to_id_or_none(name) is not None)


def fills() -> st.SearchStrategy[Fill]:
    """Make fills, each with an id."""
    return st.builds(
        Fill,
        names(),
        NS,
        st.sampled_from(Side),
        prices(),
        prices(),
        names(),
        ids(),
        st.none() | ids(),
        optional_prices,
        st.sampled_from(["USD", "EUR", "GBX"]),
        st.none() | st.sampled_from(["USD", "BTC"]),
        optional_prices,
        optional_prices,
        optional_texts,
        optional_texts,
        optional_texts,
    )


def corporate_actions() -> st.SearchStrategy[CorporateAction]:
    """Make corporate actions of all types."""
    return st.builds(
        CorporateAction,
        names(),
        NS,
        st.sampled_from(CorporateActionType),
        optional_prices,
        optional_prices,
        optional_prices,
        st.sampled_from(["USD", "EUR"]),
        st.none() | names(),
        optional_prices,
        st.none() | NS,
        st.none() | NS,
        optional_texts,
    )


def cash_flows() -> st.SearchStrategy[CashFlow]:
    """Make cash flows, each with an id."""
    return st.builds(
        CashFlow,
        NS,
        st.sampled_from(CashFlowType),
        prices(),
        st.sampled_from(["USD", "EUR"]),
        names(),
        st.none() | names(),
        ids(),
        optional_texts,
        optional_texts,
    )


def positions() -> st.SearchStrategy[Position]:
    """Make positions, each with a time."""
    return st.builds(
        Position,
        names(),
        prices(),
        optional_prices,
        optional_prices,
        optional_prices,
        optional_prices,
        NS,
        names(),
        optional_prices,
        optional_prices,
        st.none() | st.sampled_from(PositionSide),
        optional_texts,
    )


def snapshots() -> st.SearchStrategy[PortfolioSnapshot]:
    """Make snapshots with up to four positions."""
    return st.builds(
        PortfolioSnapshot,
        NS,
        prices(),
        optional_prices,
        optional_prices,
        optional_prices,
        st.lists(positions(), max_size=4, unique_by=lambda position: position.symbol),
        optional_prices,
        st.sampled_from(["USD", "EUR"]),
        names(),
    )


def records() -> st.SearchStrategy[object]:
    """Make records of any kind."""
    return st.one_of(_kinds())


def _kinds() -> list[st.SearchStrategy[object]]:
    return [
        quotes(),
        trades(),
        bars(),
        orders(),
        positions(),
        snapshots(),
        fills(),
        corporate_actions(),
        cash_flows(),
    ]


def same_kind(size: int) -> st.SearchStrategy[list[object]]:
    """Make *size* records of one kind, which may be any."""
    return st.sampled_from(_kinds()).flatmap(lambda kind: st.lists(kind, min_size=size, max_size=size))
