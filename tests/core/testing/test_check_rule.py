"""The helper for tests of rules: it returns what a rule finds, and fails where its ways of checking disagree."""

import attrs
import pytest

from fpa_core.exceptions import ConfigError, DataError
from fpa_core.models import Quote, Trade
from fpa_core.protocols import Failure
from fpa_core.testing import check_rule
from fpa_core.validator import ERROR, Rule, SeriesRule
from fpa_plugins.rules.catalog import RULES

NOW = 1_700_000_000 * 10**9


def trades(*sizes):
    return [Trade("A", NOW + row, 10, size) for row, size in enumerate(sizes)]


@attrs.frozen(kw_only=True)
class Lot(Rule):
    """The size is a multiple of the lot."""

    id = "acme.lot"
    kind = "trades"
    fields = ("size",)
    levels = ERROR

    lot: int = 2

    def check(self, trade):
        return trade.size % self.lot == 0


def test_what_a_rule_finds():
    """The result has the findings with their rows, and the counts; the rule may be a class or made with parameters."""
    result = check_rule(Lot, trades(1, 2, 3))
    assert [0, 2] == [finding.row for finding in result.findings]
    assert (3, 2) == (result.counts["acme.lot"].evaluated, result.counts["acme.lot"].failed)
    assert not result.is_valid
    assert 1 == check_rule(Lot(lot=3), trades(1, 3, 6)).counts["acme.lot"].failed
    assert check_rule(Lot, Trade("A", NOW, 1, 2)).is_valid


class WrongMask(Lot):
    id = "acme.wrong_mask"

    def mask(self, columns):
        return columns.numbers("size") > 2


def test_check_and_mask_must_agree():
    """A mask that judges a row otherwise than check is reported with the row and what both say."""
    with pytest.raises(
        AssertionError, match=r"row 1: acme.wrong_mask says 'nothing' of the single record, and '.*' in a table"
    ):
        check_rule(WrongMask, trades(1, 2, 4))


@attrs.frozen(kw_only=True)
class Rising(SeriesRule):
    """The sizes rise."""

    id = "acme.rising"
    kind = "trades"
    fields = ("size",)

    def start(self):
        return {"size": None}

    def step(self, state, size):
        before, state["size"] = state["size"], size
        return before is None or size > before or Failure(f"{size} is not above {before}")


class Forgetful(Rising):
    id = "acme.forgetful"

    def mask(self, columns, memory):  # noqa: ARG002
        return super().mask(columns, {})


def test_series_are_carried_from_chunk_to_chunk():
    """A rule about series that forgets the rows of the chunk before is caught."""
    assert ["2 is not above 3"] == [finding.message for finding in check_rule(Rising, trades(1, 3, 2)).findings]
    with pytest.raises(AssertionError, match=r"row 2: acme\.forgetful says .* in chunks of 1 rows"):
        check_rule(Forgetful, trades(1, 3, 2))


class Known(Rule):
    """The symbol of a trade has been quoted."""

    id = "acme.known"
    kind = "trades"
    fields = ("symbol",)
    scope = "dataset"
    against = ("quotes",)

    def mask(self, columns, others):
        return columns.strings("symbol").isin(*others["quotes"].values("symbol"))


def test_rules_about_several_kinds():
    """A rule of scope dataset is given the other records by kind."""
    assert 1 == check_rule(Known, trades(1), against={"quotes": [Quote("B", NOW, 1, 2)]}).counts["acme.known"].failed
    assert check_rule(Known, trades(1), against={"quotes": [Quote("A", NOW, 1, 2)]}).is_valid


class Broken(Lot):
    id = "acme.broken"

    def check(self, trade):
        return trade.no_such_field


def test_rules_that_fail_themselves():
    """A rule that raises fails the test; so does a class that cannot be used, and a question about nothing."""
    with pytest.raises(AssertionError, match="error of its own in row 0"):
        check_rule(Broken, trades(1))
    with pytest.raises(ConfigError, match="'nosuch' is not a field of trades"):
        check_rule(type("Odd", (Lot,), {"id": "acme.odd", "fields": ("nosuch",)}), trades(1))
    for records in ([], [*trades(1), Quote("A", NOW, 1, 2)]):
        with pytest.raises(DataError, match="records of one kind"):
            check_rule(Lot, records)


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.kind == "trades" and rule.scope != "dataset"], ids=lambda rule: rule.id
)
def test_the_rules_in_the_box(rule):
    """The shipped rules about trades pass."""
    check_rule(rule, trades(1, 0, 100, 7, 7), now_ns=NOW)
