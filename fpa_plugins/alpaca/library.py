"""The classes of alpaca-py, imported without a warning that its users can do nothing about, and with its log under ours."""

from __future__ import annotations

import logging
import warnings

with warnings.catch_warnings():
    # alpaca-py uses websockets.legacy, which warns on import. The bound of websockets in pyproject.toml keeps a version that has it.
    warnings.filterwarnings("ignore", message=r"websockets\.", category=DeprecationWarning)
    from alpaca.data.enums import DataFeed
    from alpaca.data.historical.corporate_actions import CorporateActionsClient
    from alpaca.data.historical.stock import StockHistoricalDataClient
    from alpaca.data.live.stock import StockDataStream
    from alpaca.trading.client import TradingClient
    from alpaca.trading.stream import TradingStream

__all__ = [
    "CorporateActionsClient",
    "DataFeed",
    "StockDataStream",
    "StockHistoricalDataClient",
    "TradingClient",
    "TradingStream",
]


class _Ours(logging.Handler):
    """Passes what alpaca-py logs on at DEBUG: its warnings are about connections, of which we tell more."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a message on."""
        logging.getLogger("fpa.alpaca").debug("alpaca-py: %s", record.getMessage())


_theirs = logging.getLogger("alpaca")
_theirs.addHandler(_Ours())
_theirs.propagate = False
