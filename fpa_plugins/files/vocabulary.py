"""What the fields of each kind are called in files: their own names, and the words that many vendors use, the surest first."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence

from fpa_core.kinds import (
    BARS,
    CASH,
    CORPORATE_ACTIONS,
    FILLS,
    KINDS,
    ORDERS,
    POSITIONS,
    QUOTES,
    SNAPSHOTS,
    TRADES,
    Kind,
)

__all__ = ["INDEX_NAMES", "fields_of", "squeezed", "synonyms"]

_INSTANTS = (
    "ts_event sip_timestamp window_start transact_time transaction_time open_time time_open datetime date_time gmt_time local_time "
    "utc_time timestamp_utc time ts date_utc unix unix_time epoch date trade_date tradedate quote_date day datum clock t"
)
_SYMBOL = "sym ticker instrument ric ts_code tradingsymbol trading_symbol pair s"
_ACCOUNT = "account_id account_number client_account_id"
_SYNONYMS: dict[Kind, dict[str, str]] = {
    QUOTES: {
        "symbol": _SYMBOL,
        "timestamp": _INSTANTS,
        "bid": "bid_price best_bid_price best_bid bid_px bid_px_00 bp",
        "ask": "ask_price best_ask_price best_ask ask_px ask_px_00 ap offer offer_price",
        "bid_size": "bid_qty best_bid_qty best_bid_size bid_quantity bid_volume bid_amount bid_sz bid_sz_00 bs",
        "ask_size": "ask_qty best_ask_qty best_ask_size ask_quantity ask_volume ask_amount ask_sz ask_sz_00 offer_size as",
        "bid_exchange": "bx",
        "ask_exchange": "ax",
        "conditions": "condition cond c",
    },
    TRADES: {
        "symbol": _SYMBOL,
        "timestamp": _INSTANTS,
        "price": "px trade_price last last_price p",
        "size": "quantity qty trade_size last_size vol volume amount q v",
        "conditions": "condition cond c",
        "exchange": "venue ex x",
        "trade_id": "tradeid id i",
        "side": "aggressor_side taker_side",
    },
    BARS: {
        "symbol": _SYMBOL,
        "timestamp": _INSTANTS,
        "open": "o open_price",
        "high": "h high_price",
        "low": "l low_price",
        "close": "close_price closing_price close_last c last last_price price",
        "volume": "vol v tick_volume tickvol",
        "interval": "timeframe time_frame resolution bar_size",
        "vwap": "vw",
        "trade_count": "n trades tradecount number_of_trades transactions num_trades",
    },
    ORDERS: {
        "order_id": "id",
        "symbol": _SYMBOL,
        "timestamp": f"submitted_at created_at placed_time order_time {_INSTANTS}",
        "updated_at": "last_updated last_update_time",
        "quantity": "qty order_qty total_qty",
        "order_type": "type ord_type",
        "status": "order_status state",
        "filled_quantity": "filled_qty filled cum_qty executed_qty",
        "average_fill_price": "avg_fill_price filled_avg_price avg_price average_price",
        "time_in_force": "tif",
    },
    POSITIONS: {
        "symbol": _SYMBOL,
        "timestamp": f"as_of report_date {_INSTANTS}",
        "quantity": "qty shares position",
        "market_value": "mkt_val current_value position_value mkt_val_market_value",
        "cost_basis": "cost_basis_total cost_basis_money total_cost",
        "unrealized_pnl": "unrealized_pl fifo_pnl_unrealized",
        "avg_entry_price": "average_entry_price avg_price average_cost_basis cost_basis_price",
        "current_price": "mark_price last_price",
        "account": _ACCOUNT,
        "asset_class": "asset_category",
    },
    SNAPSHOTS: {
        "timestamp": f"as_of {_INSTANTS}",
        "total_value": "equity portfolio_value net_liquidation account_value nav",
        "account": _ACCOUNT,
    },
    FILLS: {
        "symbol": _SYMBOL,
        "timestamp": f"executed_at execution_time exec_time filled_at fill_time trade_time {_INSTANTS}",
        "side": "buy_sell action transaction_type trade_type",
        "price": "fill_price execution_price exec_price trade_price t_price px",
        "quantity": "qty filled_qty fill_quantity exec_qty shares size units",
        "account": _ACCOUNT,
        "fill_id": "exec_id execution_id ib_exec_id trade_id transaction_id",
        "order_id": "ib_order_id",
        "fee": "fees commission comm comm_fee fees_comm ib_commission total_fee",
        "currency": "ccy currency_primary price_currency",
        "fee_currency": "commission_currency ib_commission_currency fee_asset commission_asset",
        "multiplier": "contract_multiplier",
        "amount": "net_amount net_cash total_amount",
        "liquidity": "liquidity_indicator maker_taker",
        "exchange": "venue",
    },
    CORPORATE_ACTIONS: {
        "symbol": f"{_SYMBOL} initiating_symbol old_symbol",
        "timestamp": "ex_date ex_dividend_date effective_date",
        "action_type": "type ca_type corporate_action_type",
        "new_rate": "ratio rate split_ratio split_factor to_factor",
        "old_rate": "from_factor",
        "amount": "cash cash_amount dividend cash_rate",
        "currency": "ccy",
        "new_symbol": "target_symbol",
        "payable_date": "pay_date payment_date",
    },
    CASH: {
        "timestamp": f"booked_at settle_date settlement_date {_INSTANTS}",
        "flow_type": "type activity_type transaction_type action",
        "amount": "net_amount cash_amount value",
        "currency": "ccy currency_primary",
        "account": _ACCOUNT,
        "symbol": _SYMBOL,
        "transaction_id": "activity_id cash_id",
        "reference": "description memo comment",
    },
}
"""What else a field is called, by kind, the surest word first. Its own name and its name in the database come before all of them."""

INDEX_NAMES = frozenset({"", "unnamed0", "indexlevel0", "index"})
"""What a column is called, squeezed, that a frame's index became for want of a name."""


LONGEST_NAME = 256
"""Characters of the longest name that is remembered: files may have cells of megabytes where names should be."""


def squeezed(name: str) -> str:
    """Return a name in lower case, with only its letters and digits."""
    return _squeezed(name) if len(name) <= LONGEST_NAME else _squeezed.__wrapped__(name)


@functools.lru_cache(maxsize=8_192)
def _squeezed(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def synonyms(kind: Kind) -> Mapping[str, Sequence[str]]:
    """Return, by the name of each field, what it is called, the surest word first."""
    return {
        column.name: tuple(dict.fromkeys([column.name, column.field, *_SYNONYMS[kind].get(column.name, "").split()]))
        for column in kind.columns
    }


def _ranked(kind: Kind) -> dict[str, tuple[str, int]]:
    ranks: dict[str, tuple[str, int]] = {}
    for name, words in synonyms(kind).items():
        for rank, word in enumerate(words):
            key = squeezed(word)
            # A field's own name is no other's synonym.
            if key not in ranks or rank < min(ranks[key][1], 2):
                ranks[key] = (name, rank)
    return ranks


_RANKED = {kind: _ranked(kind) for kind in KINDS.values()}


def fields_of(kind: Kind, names: Sequence[str]) -> dict[str, list[tuple[int, int]]]:
    """Return, by the name of each field, the places of the columns that are called so, each after how sure the word is."""
    found: dict[str, list[tuple[int, int]]] = {}
    for place, name in enumerate(names):
        key = squeezed(name)
        if key in _RANKED[kind]:
            field, rank = _RANKED[kind][key]
            found.setdefault(field, []).append((rank, place))
    return {field: sorted(places) for field, places in found.items()}
