"""What the file says of rules beyond their parameters: filters, overrides, classes and levels, with every problem at its place."""

import pytest

from fpa_core import config
from fpa_core.exceptions import ConfigError
from fpa_plugins.rules.catalog import RULES
from fpa_plugins.rules.plugin import RulesOptions

CLASSES = {rule.id: rule for rule in RULES}


def build(folder, text):
    path = folder / "fpa.toml"
    path.write_text(text)
    tree = config.load(path, environ={})
    return config.structure(
        tree, stores={"sqlite": RulesOptions}, caches={"memory": RulesOptions}, validators={"rules": RulesOptions}, sources={}, rules=CLASSES
    ).validator  # fmt: skip


GOOD = """
[validator]
level = "mine"
[validator.levels.mine]
rules = { "quote.*" = "error", "quote.locked" = "off" }
[validator.levels.house]
extends = "mine"
[validator.classes]
crypto = ["BTC*", "ETH*"]
[validator.rules."quote.spread"]
max_rel = "0.2"
tolerate = 0.01
where = { symbol = "A*", bid = { min = 1 } }
[validator.rules."quote.spread".overrides]
"class:crypto" = { severity = "error" }
"BTC*" = { max_rel = "0.5" }
BTCUSD = { enabled = false }
"""


def test_everything(tmp_path):
    """Filters, overrides, classes and levels are read; an override has the rule's own parameters where it names none."""
    section = build(tmp_path, GOOD)
    rule = section.rules["quote.spread"]
    assert ("mine", "standard", "mine") == (
        section.level,
        section.levels["mine"].extends,
        section.levels["house"].extends,
    )
    assert {"symbol": "A*", "bid": {"min": 1}} == rule.where
    assert ["BTCUSD", "BTC*", "class:crypto"] == [each.name for each in rule.overrides]
    off, wider, worse = (each.rule for each in rule.overrides)
    assert (False, "0.5", "0.2", "error", 0.01) == (
        off.enabled, str(wider.max_rel), str(worse.max_rel), worse.severity, wider.tolerate,
    )  # fmt: skip
    assert ("BTC*", "ETH*") == rule.overrides[2].patterns


def test_built_in_levels_stay_words(tmp_path):
    """A built-in level is a member of its enumeration."""
    assert "strict" == build(tmp_path, '[validator]\nlevel = "strict"\n').level


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ('[validator]\nlevel = "minee"\n[validator.levels.mine]\n', "validator.level", "expected one of off, lenient, standard, strict, mine"),
        ("[validator.levels.strict]\n", "validator.levels.strict", "not a built-in level"),
        ('[validator.levels.a]\nextends = "b"\n', "validator.levels.a.extends", "expected one of"),
        ('[validator.levels.a]\nextends = "a"\n', "validator.levels.a.extends", "circular definition: a extends a"),
        ('[validator.levels.a]\nrules = { "quote.spred" = "off" }\n', 'validator.levels.a.rules."quote.spred"', "no rule matches"),
        ('[validator.levels.a]\nrules = { "quote.*" = "loud" }\n', 'validator.levels.a.rules."quote.*"', "expected one of off"),
        ('[validator.classes]\na = "BTC*"\n', "validator.classes.a", "expected a list"),
        ("where = 3", 'validator.rules."quote.spread".where', "expected a table of fields"),
        ("where = { symbl = 3 }", 'validator.rules."quote.spread".where.symbl', "unknown field"),
        ("where = { bid = { max = '' } }", 'validator.rules."quote.spread".where.bid.max', "not allowed"),
        ("overrides = 3", 'validator.rules."quote.spread".overrides', "expected a table by symbol"),
        ("overrides = { A = 3 }", 'validator.rules."quote.spread".overrides.A', "expected a table of parameters"),
        ("overrides = { A = { where = {} } }", 'validator.rules."quote.spread".overrides.A.where', "may only have parameters"),
        ("overrides = { A = { max_rel = [] } }", 'validator.rules."quote.spread".overrides.A.max_rel', "expected a decimal"),
        ('overrides = { "class:x" = {} }', 'validator.rules."quote.spread".overrides."class:x"', "unknown class"),
        ("tolerate = -1", 'validator.rules."quote.spread".tolerate', "a number of records, or a fraction"),
    ],
)  # fmt: skip
def test_problems(tmp_path, text, key, expected):
    """Each problem names its key and what was expected."""
    if not text.startswith("["):
        text = f'[validator.rules."quote.spread"]\n{text}\n'
    with pytest.raises(ConfigError) as caught:
        build(tmp_path, text)
    (problem,) = caught.value.problems
    assert (key, True) == (problem.key, expected in problem.expected)


def test_all_problems_at_once(tmp_path):
    """Problems of a rule and of its override are told together, and those of the rule once."""
    text = '[validator.rules."quote.spread"]\nmax_rel = "x"\nwhere = { a = 1 }\noverrides = { A = { severity = "x" }, B = {} }\n'
    with pytest.raises(ConfigError) as caught:
        build(tmp_path, text)
    assert ["max_rel", "a", "severity"] == [problem.key.rpartition(".")[2] for problem in caught.value.problems]
