"""Corporate actions as vendors list them: one table for each type, with columns of its own."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from fpa_core.formats import Format, FormatOffer, Match
from fpa_core.numbers import decimal_text
from fpa_plugins.files.vendors.transactions import number_of, texts_or_none, with_columns

if TYPE_CHECKING:
    from fpa_plugins.files.rows import Rows

__all__ = ["FORMATS"]

# The columns of each type: what a field of ours is called there, the surest first.
_DATES = ("ex_date", "effective_date", "process_date")
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "symbol": ("symbol", "old_symbol", "source_symbol", "acquiree_symbol"),
    "timestamp": _DATES,
    "new_symbol": ("new_symbol", "acquirer_symbol"),
    "new_rate": ("new_rate", "acquirer_rate"),
    "old_rate": ("old_rate", "source_rate", "acquiree_rate"),
    "amount": ("cash_rate", "rate"),
}
_TYPES = {
    "forward_splits": "split",
    "reverse_splits": "split",
    "stock_dividends": "split",
    "cash_dividends": "dividend",
    "spin_offs": "spinoff",
    "cash_mergers": "merger",
    "stock_mergers": "merger",
    "stock_and_cash_mergers": "merger",
    "name_changes": "symbol_change",
}


def _alpaca(rows: Rows, said: Format) -> Rows:  # noqa: ARG001 - every one is told
    """Put the columns of every type under one name each; a type that is not known is set aside with its word."""
    given = {name: texts_or_none(rows, name) for names in _FIELDS.values() for name in names}
    made: dict[str, list[str | None]] = {
        field: [
            next((given[name][row] for name in names if given[name][row]), None) for row in range(len(rows.positions))
        ]
        for field, names in _FIELDS.items()
    }
    special = texts_or_none(rows, "special")
    made["action_type"] = []
    for row, word in enumerate(texts_or_none(rows, "(key)")):
        meaning = _TYPES.get(word or "", word)
        if meaning == "dividend" and (special[row] or "").lower() == "true":
            meaning = "special_dividend"
        made["action_type"].append(meaning)
        if word == "stock_dividends" and (rate := number_of(made["amount"][row])) is not None:
            made["new_rate"][row], made["old_rate"][row] = decimal_text(Decimal(1) + rate), "1"
        if meaning in ("split", "spinoff", "symbol_change"):
            made["amount"][row] = None
    return with_columns(rows, {f"(made) {field}": values for field, values in made.items()})


# Facts: "Corporate actions", Alpaca market data API: an object of lists, by type. Rates are new shares for old ones, or cash for a share.
FORMATS: tuple[FormatOffer, ...] = (
    FormatOffer(
        "alpaca.corporate_actions",
        Format(
            kind="corporate_actions",
            columns={
                **{field: f"(made) {field}" for field in (*_FIELDS, "action_type")},
                "record_date": "record_date",
                "payable_date": "payable_date",
                "type_raw": "(key)",
            },
            complete=True,
            decimal=".",
            match=Match(columns=("(key)", "id", "process_date")),
        ),
        "Alpaca: corporate actions",
        _alpaca,
    ),
)
