"""Commands for accounts: positions, lots, gains, equity, returns, versions of an order, and what does not add up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fpa_core.cli import completing
from fpa_core.cli.app import App
from fpa_core.cli.output import json_option, print_results, say, when
from fpa_core.cli.tables import table, wide_option

if TYPE_CHECKING:
    from fpa_core.portfolio import Discrepancy, Grouping

__all__ = ["portfolio"]

F = TypeVar("F", bound=Callable[..., Any])

METHODS = ["fifo", "lifo", "average"]
PERIODS = ["day", "month", "year"]

_account = click.argument("account", required=False, shell_complete=completing.accounts)
_as_of = click.option("--as-of", metavar="TIME", help="Count what happened up to this time. Default: now.")
_start = click.option("--start", metavar="TIME", help="Begin at this time. Default: with the account.")
_end = click.option("--end", metavar="TIME", help="End at this time. Default: now.")
_known = click.option("--as-known-at", metavar="TIME", help="The data as known at that time.")
_method = click.option(
    "--method", type=click.Choice(METHODS), default="fifo", show_default=True, help="The lots that sales close first."
)


def _pairs(_: click.Context, option: click.Parameter, given: Sequence[str]) -> dict[str, str] | None:
    """Return NAME=VALUE texts as a mapping; None if there are none."""
    found = {}
    for text in given:
        name, equals, value = text.rpartition("=")
        if not equals or not name or not value:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option.opts[0])
        found[name] = value
    return found or None


_prices = click.option(
    "--price",
    "prices",
    multiple=True,
    callback=_pairs,
    metavar="SYMBOL=PRICE",
    help="A price to use in place of stored ones; repeatable.",
)
_max_age = click.option("--max-age", metavar="DURATION", help="Fail if a price or rate is older, such as 4d.")
_tz = click.option("--tz", default="UTC", show_default=True, help="The time zone that days begin in.")


def _converted(command: F) -> F:
    """Add the options that convert amounts into one currency."""
    into = click.option("--currency", metavar="CODE", help="Convert all amounts into this currency.")
    rates = click.option(
        "--rate",
        "rates",
        multiple=True,
        callback=_pairs,
        metavar="PAIR=RATE",
        help="A rate of exchange, such as EURUSD=1.085; repeatable.",
    )
    return into(rates(command))


@click.group()
def portfolio() -> None:
    """Show what accounts hold, have earned, and are worth.

    ACCOUNT may be left out if there is only one. Amounts stay in their currency unless --currency is given.
    """


@portfolio.command()
@_account
@_as_of
@_known
@_method
@_prices
@_max_age
@click.option(
    "--from",
    "from_",
    type=click.Choice(["fills", "snapshots"]),
    default="fills",
    show_default=True,
    help="Count fills, or take the last snapshot.",
)
@wide_option
@json_option
@click.pass_obj
def positions(app: App, /, as_json: bool, **asked: Any) -> None:
    """Show the positions of ACCOUNT, their values, and how they differ from the last snapshot."""
    with app.open(existing=True) as data:
        found = data.portfolio.positions(**asked)
    if as_json:
        print_results(map(_as_dict, found))
        return
    names = ["symbol", "quantity", "average", "price", "value", "unrealized", "currency", "snapshot", "difference"]
    rows = [
        (
            one.symbol, _text(one.quantity), _text(one.average_price, 6), _text(one.price), _money(one.market_value),
            _money(one.unrealized), one.currency, _text(one.stated), one.explanation or _text(one.difference or None),
        )
        for one in found
    ]  # fmt: skip
    _table(names, rows, "no positions")


@portfolio.command()
@_account
@_as_of
@_known
@_method
@wide_option
@json_option
@click.pass_obj
def lots(app: App, /, as_json: bool, **asked: Any) -> None:
    """Show the open lots of ACCOUNT."""
    with app.open(existing=True) as data:
        found = data.portfolio.lots(**asked)
    if as_json:
        print_results(map(_as_dict, found))
        return
    names = ["symbol", "opened", "quantity", "price", "cost", "currency", "fill"]
    rows = [
        (
            one.symbol, when(one.opened_ns), _text(one.quantity), _text(one.price, 6), _money(one.cost), one.currency,
            one.fill_id,
        )
        for one in found
    ]  # fmt: skip
    _table(names, rows, "no open lots")


@portfolio.command()
@_account
@click.option("--by", type=click.Choice([*PERIODS, "symbol", "account"]), help="Sum up. Default: every disposal.")
@_start
@_end
@_known
@_method
@_tz
@wide_option
@json_option
@click.pass_obj
def realized(app: App, /, as_json: bool, by: Grouping | None, **asked: Any) -> None:
    """Show what ACCOUNT has closed, and the gains."""
    with app.open(existing=True) as data:
        found = data.portfolio.realized(by=by, **asked)
    if as_json:
        print_results(map(_as_dict, found))
    elif by is not None:
        _table(
            [by, "realized", "currency"], [(one.key, _money(one.realized), one.currency) for one in found], "nothing"
        )
    else:
        names = ["symbol", "opened", "closed", "quantity", "proceeds", "cost", "gain", "currency"]
        rows = [
            (
                one.symbol, when(one.opened_ns), when(one.closed_ns), _text(one.quantity), _money(one.proceeds),
                _money(one.cost), _money(one.gain), one.currency,
            )
            for one in found
        ]  # fmt: skip
        _table(names, rows, "nothing was closed")


@portfolio.command()
@_account
@click.option(
    "--by", type=click.Choice([*PERIODS, "symbol", "account"]), default="day", show_default=True, help="Sum up by."
)
@_start
@_end
@_known
@_method
@_prices
@_max_age
@_converted
@_tz
@wide_option
@json_option
@click.pass_obj
def pnl(app: App, /, as_json: bool, by: Grouping, **asked: Any) -> None:
    """Show what ACCOUNT earned: realised and unrealised gains, dividends, interest, fees, taxes and changes of rates."""
    with app.open(existing=True) as data:
        found = data.portfolio.pnl(by=by, **asked)
    if as_json:
        print_results(map(_as_dict, found))
        return
    amounts = [
        "realized",
        "unrealized",
        "dividends",
        "interest",
        "fees",
        "taxes",
        "other",
        "fx",
        "total",
        "unexplained",
    ]
    shown = [name for name in amounts if name == "total" or any(getattr(one, name) for one in found)]
    rows = [(one.key, *(_money(getattr(one, name)) for name in shown), one.currency) for one in found]
    _table([by, *shown, "currency"], rows, "nothing was earned")


@portfolio.command()
@_account
@click.option("--every", type=click.Choice(PERIODS), default="day", show_default=True, help="The periods.")
@_start
@_end
@_known
@_prices
@_max_age
@_converted
@_tz
@wide_option
@json_option
@click.pass_obj
def equity(app: App, /, as_json: bool, **asked: Any) -> None:
    """Show what ACCOUNT is worth at the end of every period, and what was put in or taken out."""
    with app.open(existing=True) as data:
        found = data.portfolio.equity(**asked)
    if as_json:
        print_results(map(_as_dict, found))
        return
    rows = [
        (when(one.ts_ns)[:10], *map(_money, (one.cash, one.market_value, one.equity, one.external)), one.currency)
        for one in found
    ]
    _table(["day", "cash", "positions", "equity", "put in", "currency"], rows, "nothing has happened yet")


@portfolio.command()
@_account
@click.option(
    "--method",
    type=click.Choice(["time_weighted", "money_weighted"]),
    default="time_weighted",
    show_default=True,
    help="Of the whole time without the effect of flows; or by year, as the money in it earned.",
)
@_start
@_end
@_known
@_prices
@_max_age
@_converted
@json_option
@click.pass_obj
def returns(app: App, /, as_json: bool, **asked: Any) -> None:
    """Show the rate of return of ACCOUNT."""
    with app.open(existing=True) as data:
        rate = data.portfolio.returns(**asked)
    if as_json:
        print_results([{"method": asked["method"], "return": _text(rate)}])
    else:
        say(f"{_text(rate * 100, 4)} %{' a year' if asked['method'] == 'money_weighted' else ''}")


@portfolio.command()
@click.argument("order")
@click.option("--account", help="Its account, if several have an order of that id.")
@wide_option
@json_option
@click.pass_obj
def history(app: App, /, order: str, account: str | None, as_json: bool) -> None:
    """Show every version of ORDER, with the batch that brought it and when."""
    from fpa_core.serialization import to_dict

    with app.open(existing=True) as data:
        found = data.portfolio.history(order, account)
    if as_json:
        print_results(_as_dict(one) | {"order": to_dict(one.order)} for one in found)
        return
    names = ["batch", "known", "status", "quantity", "filled", "average", "updated", "until", "reason"]
    rows = [
        (
            one.batch, when(one.known_ns), str(one.order.status), _text(one.order.quantity),
            _text(one.order.filled_quantity), _text(one.order.average_fill_price), when(one.order.updated_ns),
            when(one.retired_ns), one.reason,
        )
        for one in found
    ]  # fmt: skip
    _table(names, rows, "no versions")


@portfolio.command()
@_account
@_as_of
@_known
@wide_option
@json_option
@click.pass_obj
def reconcile(app: App, /, as_json: bool, **asked: Any) -> None:
    """Hold orders, fills, positions, snapshots and cash of ACCOUNT against each other. Exit with 1 if something does not add up."""
    with app.open(existing=True) as data:
        found = data.portfolio.reconcile(**asked)
    if as_json:
        print_results(_as_dict(one) | {"difference": _text(one.difference)} for one in found)
    else:
        _discrepancies(found)
    if found:
        sys.exit(1)


def _discrepancies(found: Iterable[Discrepancy]) -> None:
    names = ["check", "subject", "time", "expected", "found", "difference", "message"]
    rows = [
        (
            one.check, one.subject, when(one.ts_ns), _text(one.expected, 6), _text(one.found, 6),
            _text(one.difference, 6), one.message,
        )
        for one in found
    ]  # fmt: skip
    _table(names, rows, "everything adds up")


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> None:
    """Print a table without columns that are empty."""
    used = [place for place in range(len(names)) if any(row[place] not in (None, "") for row in rows)]
    table("", [names[place] for place in used], [[row[place] for place in used] for row in rows], empty=empty)


def _money(value: Decimal | None) -> str | None:
    """Return an amount to the cent."""
    return None if value is None else f"{value:.2f}"


def _text(value: Decimal | None, places: int | None = None) -> str | None:
    """Return a number as text, exactly, or rounded to *places*."""
    from fpa_core.numbers import decimal_text

    if value is None:
        return None
    exponent = value.as_tuple().exponent
    if places is not None and isinstance(exponent, int) and -exponent > places:
        value = round(value, places)
    return decimal_text(value)


def _as_dict(one: Any) -> dict[str, Any]:
    """Return a result as JSON-able values: decimals as exact texts, times beside their nanoseconds."""
    from attrs import fields

    from fpa_core.numbers import ns_text

    told: dict[str, Any] = {}
    for attribute in fields(type(one)):
        name, value = attribute.name, getattr(one, attribute.name)
        if name.endswith("_ns"):
            told[name.removesuffix("_ns").replace("ts", "timestamp")] = None if value is None else ns_text(value)
        else:
            told[name] = _text(value) if isinstance(value, Decimal) else value
    return told
