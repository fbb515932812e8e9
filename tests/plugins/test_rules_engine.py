"""The rule engine: crashes, fallbacks from mask to check, and what rules are given beside the record."""

import subprocess
import sys

import attrs
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fpa_core.arrow.conversion import to_table
from fpa_core.exceptions import PluginError
from fpa_core.kinds import KINDS, QUOTES
from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_core.protocols import Tally
from fpa_core.validator import Rule, Severity, configure, rule_problems
from fpa_plugins.rules.catalog import RULES
from fpa_plugins.rules.plugin import RulesOptions, fpa_register_rules, fpa_register_validators
from fpa_plugins.rules.ruleset import RuleSet

QUOTE = Quote("IBM", Instant(7), 10, 11)
BAD = Quote("IBM", Instant(8), -1, 11)
TABLE = to_table(QUOTES, [QUOTE, BAD])


class Base(Rule):
    """The bid is above zero."""

    id = "test.base"
    kind = "quotes"
    fields = ("bid", "ts_ns")

    def check(self, quote):
        return quote.bid > 0


def verdicts(rule, table=TABLE, **options):
    return {verdict.rule: verdict for verdict in RuleSet([rule]).validate(QUOTES, table, **options)}


def test_hooks():
    """The plugin offers the engine as validator "rules", and every standard rule."""
    validators, rules = [], []
    fpa_register_validators(lambda *offer: validators.append(offer))
    fpa_register_rules(rules.append)
    ((name, factory, options),) = validators
    backend = factory(options(), configure(rules, "standard"))
    assert (name, options) == ("rules", RulesOptions)
    assert isinstance(backend, RuleSet)
    assert tuple(rules) == RULES
    assert len({rule.id for rule in rules}) == len(rules)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_standard_rules_are_usable(rule):
    """Each standard rule is well formed, its types can be read by the configuration, and its docstring gives examples."""
    assert rule_problems(rule) == []
    attrs.resolve_types(rule)
    described = rule().as_dict()
    assert "Good" in described["doc"]
    assert "Bad" in described["doc"]
    assert all(f":ivar {name}:" in described["doc"] for name in described["parameters"])
    assert rule.id.partition(".")[0] in {"time", *(kind.singular for kind in KINDS.values())}


def test_import_is_cheap():
    """Loading the plugin imports neither Arrow nor numpy."""
    code = "import sys, fpa_plugins.rules.plugin; print({'numpy', 'pyarrow'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_severity_defaults_to_standard():
    """A rule that was not configured has the severity of level standard; one that is off there is left out."""
    assert RuleSet([Base()]).rules()[0]["severity"] is Severity.WARNING
    assert RuleSet([Base(enabled=False)]).rules() == []


def test_same_id_twice():
    """Two rules of one id are an error."""
    with pytest.raises(PluginError, match=r"duplicate rule test\.base"):
        RuleSet([Base(), Base()])


def test_check_only():
    """A rule without a mask judges tables row by row."""
    assert verdicts(Base())["test.base"].passed.to_pylist() == [True, False]


@pytest.mark.parametrize("chunked", [True, False])
def test_arrow_mask(chunked):
    """A mask may be an Arrow array, chunked or not."""

    class Masked(Base):
        """Masked."""

        def mask(self, columns):
            below = pc.less(columns.arrow("bid").cast(pa.float64()), 0)
            return pa.chunked_array([pc.invert(below)]) if chunked else pc.invert(below)

    assert verdicts(Masked())["test.base"].passed.to_pylist() == [True, False]


def test_arrow_cannot():
    """Where Arrow cannot take the columns, the rows are judged one by one."""

    class Awkward(Base):
        """Awkward."""

        def mask(self, columns):
            raise pa.ArrowInvalid(f"precision 39 in {columns.kind}")

    assert verdicts(Awkward())["test.base"].passed.to_pylist() == [True, False]


def test_crashing_check():
    """A check that crashes on a row is an error on that row with the traceback, never a pass, and stops nothing else."""

    class Crashing(Base):
        """Crashing."""

        def check(self, quote):
            return 1 / (quote.bid + 1) > 0

    found = verdicts(Crashing())
    assert found["test.base"].passed.to_pylist() == [True, None]
    crash = found["RULE_CRASHED: test.base"]
    assert (crash.severity, crash.passed.to_pylist()) == (Severity.ERROR, [None, False])
    (finding,) = RuleSet([Crashing()]).explain(QUOTES, crash, TABLE)
    assert (finding.rule, finding.row, finding.subject, finding.ts_ns) == ("RULE_CRASHED: test.base", 1, "IBM", 8)
    assert finding.message.startswith("the rule crashed: decimal.DivisionByZero")
    assert "Traceback" in finding.observed["traceback"]

    class Other(Base):
        """Other."""

        id = "test.other"

    tallies = {}
    findings = RuleSet([Crashing(), Other()]).check(BAD, tallies=tallies)
    assert [(each.rule, each.severity) for each in findings] == [
        ("RULE_CRASHED: test.base", "error"),
        ("test.other", "warning"),
    ]
    assert tallies == {
        "test.base": Tally(0, 1, 0),
        "RULE_CRASHED: test.base": Tally(1, 0, 1),
        "test.other": Tally(1, 0, 1),
    }
    assert [each.rule for each in RuleSet([Crashing()]).check(BAD)] == ["RULE_CRASHED: test.base"]


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(None, id="nothing"),
        pytest.param(pa.array([True]), id="too short"),
        pytest.param(pa.array([1, 0]), id="integers"),
    ],
)
def test_crashing_mask(result):
    """A mask that crashes, or returns what is no verdict of each row, is an error on every row."""

    class Crashing(Base):
        """Crashing."""

        def mask(self, columns):
            return result if len(columns) else None

    found = verdicts(Crashing())
    assert found["test.base"].passed.to_pylist() == [None, None]
    assert found["RULE_CRASHED: test.base"].passed.to_pylist() == [False, False]
    assert "Error" in found["RULE_CRASHED: test.base"].crash


def test_crashing_sentence():
    """When only the sentence fails, the finding stands with the rule's summary."""

    class Speechless(Base):
        """The bid is fine."""

        def describe(self, quote):
            raise RuntimeError(quote)

    (finding,) = RuleSet([Speechless()]).check(BAD)
    assert finding.message == "The bid is fine."


def test_observed():
    """A finding shows the values of the rule's fields, times as text with every digit."""
    (finding,) = RuleSet([Base()]).check(BAD)
    assert finding.observed == {"bid": -1, "timestamp": "1970-01-01T00:00:00.000000008Z"}


def test_explain_is_limited():
    """At most so many findings are made as are asked for, the first ones."""
    rules = RuleSet([Base()])
    table = to_table(QUOTES, [BAD, QUOTE, BAD, BAD])
    (verdict,) = rules.validate(QUOTES, table)
    assert [finding.row for finding in rules.explain(QUOTES, verdict, table, 2)] == [0, 2]
    assert [finding.row for finding in rules.explain(QUOTES, verdict, table)] == [0, 2, 3]


def test_needs():
    """A rule is given the present moment and a memory of its own, if it asks; the memory lasts as long as its owner's."""

    class Needy(Base):
        """Needy."""

        needs = ("now_ns", "memory")

        def check(self, quote, now_ns, memory):
            memory["seen"] = memory.get("seen", 0) + 1
            return memory["seen"] < 3 and now_ns >= quote.ts_ns

    rules, memory = RuleSet([Needy()]), {}
    assert rules.check(QUOTE, memory, now_ns=7) == []
    assert rules.validate(QUOTES, TABLE, memory, now_ns=9)[0].passed.to_pylist() == [True, False]
    assert memory == {"test.base": {"seen": 3}}
    assert rules.check(QUOTE) == []
    assert rules.validate(QUOTES, TABLE)[0].passed.to_pylist() == [True, True]


def test_chunks_and_record_batches():
    """A table in several chunks and a record batch are judged like one table."""
    rules = RuleSet(configure(RULES, "standard"))
    expected = [verdict.passed for verdict in rules.validate(QUOTES, TABLE, now_ns=0)]
    for table in (pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)]), TABLE.to_batches()[0]):
        assert [verdict.passed for verdict in rules.validate(QUOTES, table, now_ns=0)] == expected
