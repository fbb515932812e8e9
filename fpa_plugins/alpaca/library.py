"""The classes of alpaca-py, imported without a warning that its users can do nothing about."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # alpaca-py uses websockets.legacy, which warns on import. The bound of websockets in pyproject.toml keeps a version that has it.
    warnings.filterwarnings("ignore", message=r"websockets\.", category=DeprecationWarning)
    from alpaca.data.enums import DataFeed
    from alpaca.data.historical.stock import StockHistoricalDataClient
    from alpaca.data.live.stock import StockDataStream
    from alpaca.trading.client import TradingClient

__all__ = ["DataFeed", "StockDataStream", "StockHistoricalDataClient", "TradingClient"]
