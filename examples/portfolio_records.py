"""Orders, positions and snapshots: an order's life, a portfolio over two days, and what was known before a correction."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

from attrs import evolve

import fpa_core
from fpa_core import Order, OrderStatus, PortfolioSnapshot, Position


def main() -> None:
    """Keep a small portfolio."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "portfolio.db")
        with fpa_core.open(path) as data:
            store = data.store

            submitted = Order(
                "o-1", "AAPL", 100, "buy", "limit", limit_price="169.60", timestamp="2024-05-01T14:00:00Z"
            )
            store.save_order(submitted)
            filled = evolve(
                submitted,
                status="filled",
                filled_quantity=100,
                average_fill_price="169.58",
                updated_at="2024-05-01T14:00:07Z",
            )
            store.update_order(filled)
            print(
                store.get_order("o-1").status, [order.order_id for order in store.get_orders(status=OrderStatus.FILLED)]
            )

            for day, price in (("2024-05-01", "169.30"), ("2024-05-02", "173.03")):
                value = 100 * Decimal(price)
                position = Position(
                    "AAPL",
                    100,
                    value,
                    "16958",
                    value - 16958,
                    current_price=price,
                    avg_entry_price="169.58",
                    side="long",
                )
                snapshot = PortfolioSnapshot(f"{day}T20:00:00Z", value + 5000, cash=5000, positions=[position])
                receipt = data.ingest(snapshot, origin="broker")
                print(day, snapshot.total_value, receipt.inserted, "rows")

            first = store.get_portfolio_snapshots()[0]
            before = store.batches(limit=1)[0].recorded_ns
            store.update_portfolio_snapshot(evolve(first, cash="4990", total_value=first.total_value - 10))
            print("now", store.get_portfolio_snapshots()[0].cash)
            print("before", data.select(PortfolioSnapshot, "default", as_known_at=before).first().cash)


if __name__ == "__main__":
    main()
