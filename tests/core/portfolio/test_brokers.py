"""One year of one account, as four brokers write it, gives the same answers as the records themselves."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from account_model import ns
from attrs import evolve

import fpa_core
from fpa_core.demo.year import Year, made_up_year
from fpa_core.layer import DataLayer

END = ns(date(2025, 1, 1))
NEW_YORK = ZoneInfo("America/New_York")


def account_of(year: Year) -> tuple[list, list]:
    """Return the fills and cash flows of the dollars of an account: one fill for each order, because some brokers tell only days."""
    fills = [
        evolve(fill, fill_id=f"7{place:05}", amount=moved(fill))
        for place, fill in enumerate(year.fills)
        if (fill.account, fill.currency) == ("main", "USD") and fill.ts_ns // (60 * 10**9) % 60 == 0
    ]
    flows = [
        flow
        for flow in year.flows
        if (flow.account, flow.currency) == ("main", "USD") and flow.flow_type != "conversion"
    ]
    return fills, flows


def moved(fill) -> Decimal:
    value = fill.price * fill.quantity
    return (-value if fill.side == "buy" else value) - fill.fee


def when(record) -> datetime:
    return datetime.fromtimestamp(record.ts_ns // 10**9, UTC).astimezone(NEW_YORK)


def dollars(amount: Decimal) -> str:
    return f"-${-amount:,}" if amount < 0 else f"${amount:,}"


def write(path: Path, header: list[str], rows: list[list]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([header, *rows])
    return path


def schwab(folder: Path, fills: list, flows: list) -> list[Path]:
    words = {
        "deposit": "MoneyLink Transfer",
        "withdrawal": "MoneyLink Transfer",
        "interest": "Bank Interest",
        "dividend": "Qualified Dividend",
        "tax": "NRA Tax Adj",
        "fee": "Service Fee",
    }
    rows = [
        [f"{when(one):%m/%d/%Y}", one.side.title(), one.symbol, one.symbol, one.quantity, dollars(one.price),
         dollars(one.fee), dollars(one.amount)]
        for one in fills
    ]  # fmt: skip
    rows += [
        [f"{when(one):%m/%d/%Y}", words[one.flow_type], one.symbol or "", "", "", "", "", dollars(one.amount)]
        for one in flows
    ]
    header = ["Date", "Action", "Symbol", "Description", "Quantity", "Price", "Fees & Comm", "Amount"]
    return [write(folder / "schwab.csv", header, sorted(rows, key=lambda row: row[0], reverse=True))]


def fidelity(folder: Path, fills: list, flows: list) -> list[Path]:
    words = {
        "deposit": "Electronic Funds Transfer Received (Cash)",
        "withdrawal": "Electronic Funds Transfer Paid (Cash)",
        "interest": "INTEREST EARNED (Cash)",
        "dividend": "DIVIDEND RECEIVED",
        "tax": "FOREIGN TAX PAID",
        "fee": "FEE CHARGED",
    }
    rows = []
    for one in fills:
        word = "YOU BOUGHT" if one.side == "buy" else "YOU SOLD"
        signed = one.quantity if one.side == "buy" else -one.quantity
        fees = ["", one.fee] if one.fee > Decimal("0.5") else [one.fee, ""]
        rows.append(
            [
                f"{when(one):%m/%d/%Y}",
                f"{word} {one.symbol}",
                one.symbol,
                "",
                "Cash",
                signed,
                one.price,
                *fees,
                "",
                one.amount,
                "",
            ]
        )
    for one in flows:
        rows.append(
            [
                f"{when(one):%m/%d/%Y}",
                words[one.flow_type],
                one.symbol or "",
                "",
                "Cash",
                "",
                "",
                "",
                "",
                "",
                one.amount,
                "",
            ]
        )
    header = [
        *("Run Date", "Action", "Symbol", "Description", "Type", "Quantity", "Price ($)", "Commission ($)", "Fees ($)"),
        *("Accrued Interest ($)", "Amount ($)", "Settlement Date"),
    ]
    return [write(folder / "fidelity.csv", header, rows)]


def ibkr(folder: Path, fills: list, flows: list) -> list[Path]:
    words = {
        "deposit": "Deposits/Withdrawals",
        "withdrawal": "Deposits/Withdrawals",
        "interest": "Broker Interest Received",
        "dividend": "Dividends",
        "tax": "Withholding Tax",
        "fee": "Other Fees",
    }
    trades = [
        ["main", "USD", "STK", one.symbol, one.fill_id, one.order_id, f"{when(one):%Y%m%d;%H%M%S}", one.side.upper(),
         one.quantity if one.side == "buy" else -one.quantity, one.price, one.amount, -one.fee, "USD"]
        for one in fills
    ]  # fmt: skip
    header = [
        *("ClientAccountID", "CurrencyPrimary", "AssetClass", "Symbol", "TradeID", "IBOrderID", "DateTime", "Buy/Sell"),
        *("Quantity", "TradePrice", "NetCash", "IBCommission", "IBCommissionCurrency"),
    ]
    cash = [
        [
            "main",
            "USD",
            one.symbol or "",
            "",
            f"{when(one):%Y%m%d;%H%M%S}",
            one.amount,
            words[one.flow_type],
            100 + place,
        ]
        for place, one in enumerate(flows)
    ]
    columns = [
        "ClientAccountID",
        "CurrencyPrimary",
        "Symbol",
        "Description",
        "DateTime",
        "Amount",
        "Type",
        "TransactionID",
    ]
    return [write(folder / "trades.csv", header, trades), write(folder / "cash.csv", columns, cash)]


def generic(folder: Path, fills: list, flows: list) -> list[Path]:
    header = ["symbol", "timestamp", "side", "price", "quantity", "fee", "account", "order id"]
    rows = [
        [one.symbol, when(one).isoformat(), one.side, one.price, one.quantity, one.fee, "main", one.order_id]
        for one in fills
    ]
    columns = ["date", "type", "amount", "currency", "symbol", "account"]
    cash = [[when(one).isoformat(), one.flow_type, one.amount, "USD", one.symbol or "", "main"] for one in flows]
    return [write(folder / "fills.csv", header, rows), write(folder / "cash.csv", columns, cash)]


BROKERS: dict[str, Callable[[Path, list, list], list[Path]]] = {
    "schwab": schwab,
    "fidelity": fidelity,
    "ibkr": ibkr,
    "generic": generic,
}


def answers(data: DataLayer) -> dict[str, object]:
    """Return what one asks of an account, to the cent."""

    def cents(amount: Decimal) -> Decimal:
        return Decimal(round(Fraction(amount) * 100)) / 100

    ask = data.portfolio
    return {
        "positions": [(p.symbol, p.quantity, cents(p.cost), cents(p.market_value)) for p in ask.positions("main")],
        "lots": [(lot.symbol, lot.quantity, cents(lot.cost)) for lot in ask.lots("main")],
        "realized": [(r.key, cents(r.realized)) for r in ask.realized("main", "symbol")],
        "pnl": [(r.key, cents(r.total)) for r in ask.pnl("main", "symbol")],
        "months": [
            (r.key, cents(r.total), cents(r.unexplained)) for r in ask.pnl("main", "month", tz="America/New_York")
        ],
        "equity": [
            (e.ts_ns, cents(e.cash), cents(e.equity), cents(e.external))
            for e in ask.equity("main", every="month", tz="America/New_York")
        ],
    }


@pytest.fixture(scope="module")
def year() -> Year:
    """Return a year."""
    return made_up_year(4)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataLayer]:
    """Open a layer over a database."""
    config = tmp_path / "fpa.toml"
    config.write_text('[store]\npath = "year.db"\nsynchronous = "normal"\n', "utf-8")
    with fpa_core.open(config, environ={}, clock=lambda: END) as layer:
        yield layer


@pytest.fixture(scope="module")
def expected(year: Year) -> dict[str, object]:
    """Return the answers for the records themselves."""
    with fpa_core.open(":memory:", clock=lambda: END) as layer:
        fills, flows = account_of(year)
        layer.store.save([*fills, *flows, *year.actions, *year.bars])
        return answers(layer)


@pytest.mark.parametrize("broker", BROKERS)
def test_every_broker_gives_the_same_answers(year, expected, data, tmp_path, broker):
    """The files of a broker become the same positions, lots, gains and equity; the same files again, and their half, add nothing."""
    data.store.save([*year.actions, *year.bars])
    fills, flows = account_of(year)
    paths = BROKERS[broker](tmp_path, fills, flows)
    options = {} if broker in ("ibkr", "generic") else {"account": "main"}
    stored = sum(data.ingest(path, **options).inserted for path in paths)
    assert (stored, 0) == (len(fills) + len(flows), sum(data.ingest(path, **options).inserted for path in paths))
    for path in paths:
        lines = path.read_text("utf-8").splitlines()
        path.write_text("\n".join(lines[: len(lines) // 2]) + "\n", "utf-8")
        assert data.ingest(path, **options).inserted == 0
    found = answers(data)
    for name, answer in expected.items():
        assert answer == found[name], name
    assert [] == [one for one in data.portfolio.reconcile("main") if one.check != "dividend"]


def test_the_year_is_long_enough(year):
    """There is enough in it to be wrong about."""
    fills, flows = account_of(year)
    assert len(fills) > 50
    assert {"deposit", "withdrawal", "dividend", "tax", "interest"} <= {flow.flow_type for flow in flows}
    assert timedelta(days=300) < when(fills[-1]) - when(fills[0])
