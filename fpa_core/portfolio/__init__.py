"""What an account holds, has earned, and is worth: calculated exactly from its fills, cash flows and corporate actions.

The modules hold pure functions over records: amounts are fractions inside, so that nothing is rounded on the way, and decimals outside
(:func:`fpa_core.amounts.decimal_of`). :class:`Portfolio` reads the records from a store and asks them.
"""

from fpa_core.portfolio.book import Book, Disposal, Lot
from fpa_core.portfolio.performance import PnL, money_weighted, time_weighted
from fpa_core.portfolio.portfolio import Grouping, OrderVersion, Portfolio
from fpa_core.portfolio.rates import Rates
from fpa_core.portfolio.reconciliation import Discrepancy
from fpa_core.portfolio.valuation import EquityPoint, Holding

__all__ = [
    "Book",
    "Discrepancy",
    "Disposal",
    "EquityPoint",
    "Grouping",
    "Holding",
    "Lot",
    "OrderVersion",
    "PnL",
    "Portfolio",
    "Rates",
    "money_weighted",
    "time_weighted",
]
