"""Rules as classes: what they know of themselves, and how a set of them is configured."""

from decimal import Decimal
from typing import Annotated, ClassVar

import attrs
import pytest

from fpa_core.exceptions import ConfigError, DataError
from fpa_core.models import Order, Trade
from fpa_core.numbers import Instant
from fpa_core.validator import (
    ERROR,
    INFO,
    LEVELS,
    WARN,
    PairRule,
    Rule,
    SeriesRule,
    Severity,
    configure,
    every,
    rule_problems,
)


@attrs.frozen(kw_only=True)
class RoundLot(Rule):
    """The quantity of an order is a multiple of the lot.

    More words.
    """

    id = "acme.round_lot"
    kind = "orders"
    fields = ("quantity",)

    lot: int = 100
    tags: list[str] = attrs.Factory(list)

    def check(self, order):
        return None if order.quantity is None else order.quantity % self.lot == 0


@attrs.frozen(kw_only=True)
class Early(Rule):
    id = "acme.early"
    kind = ("quotes", "trades")
    levels = INFO
    priority = 1

    def check(self, record):
        return record.ts_ns > 0


class Bare(Rule):
    """A rule without parameters needs no decorator."""

    id = "acme.bare"
    kind = "bars"
    levels = ERROR

    def check(self, bar):
        return bar.volume is None


def test_summary():
    """A rule's summary is the first line of its docstring, or its id when it has none."""
    assert RoundLot().summary == "The quantity of an order is a multiple of the lot."
    assert Early().summary == "acme.early"


def test_describe_defaults_to_summary():
    """A rule without a sentence of its own says what should have held."""
    order = Order("1", "IBM", 5, "buy", "market")
    assert RoundLot().describe(order) == RoundLot().summary


def test_as_dict():
    """The description of a rule holds its parameters' values and defaults, not the settings every rule has."""
    described = RoundLot(lot=10, severity="error").as_dict()
    assert described["parameters"] == {"lot": 10, "tags": []}
    assert described["defaults"] == {"lot": 100, "tags": []}
    assert described["kind"] == ["orders"]
    assert described["severity"] is Severity.ERROR
    assert described["doc"].endswith("\n\nMore words.")


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (INFO, [None, None, "info", "info"]),
        (WARN, [None, "info", "warning", "error"]),
        (ERROR, [None, "warning", "error", "error"]),
    ],
)
def test_levels(levels, expected):
    """The three presets grow stricter from level to level, and off is off."""
    rule = type("Some", (Bare,), {"levels": levels})()
    effective = [rule.at(level) for level in LEVELS]
    assert [each and each.severity for each in effective] == expected


def test_severity_overrides_level():
    """A severity that is set holds at every level but off, also where the rule would be off."""
    rule = Early(severity="error")
    assert rule.at("lenient").severity is Severity.ERROR
    assert rule.at("off") is None


def test_disabled():
    """A rule that is not enabled is off at every level."""
    assert [RoundLot(enabled=False).at(level) for level in LEVELS] == [None] * 4


def test_every():
    """Joined verdicts are false if one is, else true if one is, else not evaluated."""
    assert every(True, None, False) is False
    assert every(None, True) is True
    assert every(None, None) is None
    assert every() is None


def test_configure_orders_by_priority():
    """Configured rules come by priority, then id, each with its severity settled."""
    rules = configure([RoundLot, Bare, Early], "standard")
    assert [(rule.id, rule.severity) for rule in rules] == [
        ("acme.early", "info"),
        ("acme.bare", "error"),
        ("acme.round_lot", "warning"),
    ]


def test_configure_overrides():
    """Parameters come as a mapping or as a rule already made."""
    (one,) = configure([RoundLot], "strict", {"acme.round_lot": {"lot": 7}})
    (two,) = configure([RoundLot], "strict", {"acme.round_lot": RoundLot(lot=7)})
    assert one == two
    assert (one.lot, one.severity) == (7, Severity.ERROR)


def test_configure_off():
    """At level off no rule is in force, whatever the overrides say."""
    assert configure([RoundLot], "off", {"acme.round_lot": {"severity": "error"}}) == []


def test_configure_reports_everything():
    """All problems of a configuration are reported at once, near misses with a suggestion."""

    @attrs.frozen(kw_only=True)
    class Limit(Rule):
        """A limit."""

        id = "acme.limit"
        kind = "orders"

        limit: Decimal = attrs.field(default=Decimal(1), converter=Decimal)

        def check(self, order):
            return order.quantity < self.limit

    with pytest.raises(ConfigError) as caught:
        configure(
            [RoundLot, Limit],
            "strikt",
            {
                "acme.round_lots": {},
                "far.away": {},
                "acme.round_lot": {"lott": 1, "severity": "fatal"},
                "acme.limit": {"limit": []},
            },
        )
    problems = "\n".join(map(str, caught.value.problems))
    assert len(caught.value.problems) == 6
    for expected in (
        'validator.level = "strikt": expected one of off, lenient, standard, strict (did you mean strict?)',
        'validator.rules."acme.round_lots": unknown rule; expected one of: acme.limit, acme.round_lot (did you mean acme.round_lot?)',
        'validator.rules."far.away": unknown rule; expected one of: acme.limit, acme.round_lot',
        'validator.rules."acme.round_lot".lott = 1: unknown key',
        'validator.rules."acme.round_lot".severity = "fatal": expected one of',
        'validator.rules."acme.limit".limit = []: expected a decimal number',
    ):
        assert expected in problems, expected


def test_configure_refuses_unusable_rules():
    """Rule classes that cannot be used are refused, each with its problems."""
    unusable = type("Unusable", (Bare,), {"kind": "orderz", "id": "acme.unusable"})
    with pytest.raises(ConfigError, match=r"'acme.unusable': kind: \['orderz'\] is not one of quotes"):
        configure([RoundLot, unusable], "standard")


def test_usable():
    """A rule class with an id, a kind and a check has no problems, with parameters or without."""
    assert rule_problems(RoundLot) == rule_problems(Early) == rule_problems(Bare) == []


class Undecorated(Bare):
    note: ClassVar[str] = "this is no parameter"
    lot: Annotated[int, "but this should be one"] = 1


@attrs.frozen(kw_only=True)
class Demanding(Bare):
    lot: int


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (object, "is not a subclass of"),
        (RoundLot(), "is not a subclass of"),
        (type("NoId", (Rule,), {"kind": "bars", "check": Bare.check}), "id: None is not of the form vendor.name"),
        (type("OddId", (Bare,), {"id": "Nameless"}), "id: 'Nameless' is not of the form vendor.name"),
        (type("NoCheck", (Rule,), {"id": "a.b", "kind": "bars"}), "check: this method is missing"),
        (type("NoKind", (Bare,), {"kind": ()}), "kind: nothing is not one of"),
        (type("OddKind", (Bare,), {"kind": ("bars", "bar")}), "kind: ['bar'] is not one of"),
        (type("OddField", (Bare,), {"fields": ("hi",)}), "fields: 'hi' is not a field of bars"),
        (type("OddNeed", (Bare,), {"needs": ("luck",)}), "needs: 'luck' is not one of memory, now_ns"),
        (type("OddOther", (Bare,), {"against": ("quotez",)}), "against: 'quotez' is not one of quotes"),
        (type("NoMask", (Rule,), {"id": "a.b", "kind": "bars", "scope": "dataset"}), "mask: this method is missing"),
        (Undecorated, "decorate the class with @attrs.frozen(kw_only=True)"),
        (Demanding, "lot: a parameter needs a default"),
    ],
)
def test_unusable(rule, problem):
    """What keeps a class from being a rule is said in a sentence."""
    (found,) = rule_problems(rule)
    assert problem in found


def test_forms_of_series_rules_are_asked_for():
    """A rule about a series that lacks its methods says which."""
    step = type("NoStep", (SeriesRule,), {"id": "a.b", "kind": "trades", "fields": ("price",)})()
    pair = type("NoPair", (PairRule,), {"id": "a.b", "kind": "trades", "keeps": ("price",)})()
    trade, memory = Trade("IBM", Instant(1), 2, 3), {}
    with pytest.raises(NotImplementedError, match="NoStep defines neither step"):
        step.check(trade, {})
    assert pair.check(trade, memory) is None
    with pytest.raises(NotImplementedError, match="NoPair does not define compare"):
        pair.check(trade, memory)
    with pytest.raises(NotImplementedError, match="NoPair does not define reason"):
        pair.reason((1,), (2,))
    with pytest.raises(NotImplementedError, match="NoPair does not define compare_all"):
        pair.compare_all(None, None)


@pytest.mark.parametrize("tolerate", [-1, 1.0, 2.5, "many", True])
def test_tolerances_that_cannot_be(tolerate):
    """A tolerance is a number of records or a fraction below one."""
    with pytest.raises(DataError, match="tolerate"):
        RoundLot(tolerate=tolerate)


def test_filters_that_cannot_be():
    """A filter is checked when the rule is made, by hand too."""
    with pytest.raises(DataError, match=r"where: colour: unknown field; .* lot: unknown field"):
        RoundLot(where={"colour": "red", "lot": {}})
