"""A rule with a parameter, given to the layer without installing it; a package would name this module in an entry point."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

import fpa_core
from fpa_core import Order, Rule, hookimpl
from fpa_core.plugins import PluginManager

if TYPE_CHECKING:
    from fpa_core.hookspecs import RegisterRule


@attrs.frozen(kw_only=True)
class RoundLot(Rule):
    """The quantity of an order is a multiple of the lot.

    :ivar lot: shares in a lot.
    """

    id = "acme.round_lot"
    kind = "orders"
    fields = ("quantity",)

    lot: int = 100

    def check(self, order: Order) -> bool | None:
        """Judge one order."""
        return None if order.quantity is None else order.quantity % self.lot == 0


class AcmeRules:
    """The plugin: here an object, in a package a module."""

    @hookimpl
    def fpa_register_rules(self, register: RegisterRule) -> None:
        """Offer the rule."""
        register(RoundLot)


def main() -> None:
    """Judge one order by three configurations."""
    order = Order("o-1", "AAPL", 250, "buy", "market", timestamp="2024-05-01T14:00:00Z")
    with tempfile.TemporaryDirectory() as folder:
        for number, settings in enumerate(("", "lot = 50", 'severity = "error"')):
            path = Path(folder) / f"{number}.toml"
            path.write_text(f'[validator.rules."acme.round_lot"]\n{settings}\n', encoding="utf-8")
            with fpa_core.open(path, plugins=PluginManager(extra=[("acme", AcmeRules())])) as data:
                result = data.validate(order)
                print(
                    f"{settings or 'defaults'}: valid {result.is_valid}, warnings {result.warnings}, errors {result.errors}"
                )


if __name__ == "__main__":
    main()
