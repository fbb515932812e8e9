"""What a validation returns: findings as a table, rules with their origins, and both verdicts after a split."""

from decimal import Decimal

import pytest

from fpa_core import open as open_layer
from fpa_core.arrow.conversion import to_table
from fpa_core.kinds import BARS, TRADES
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.validator import DataValidator, ValidationResult, configure
from fpa_plugins.rules.catalog import RULES
from fpa_plugins.rules.ruleset import RuleSet

NOW = 1_700_000_000 * 10**9
NOON = "2024-07-03T12:00:00Z"


def judge(level="standard", overrides=None, **options):
    return DataValidator(RuleSet(configure(RULES, level, overrides)), now_ns=lambda: 2 * 10**18, **options)


def test_findings_as_a_table():
    """Each field of each finding is a row: position, key, time, rule, what was observed, the limit, the other record."""
    quotes = [Quote("IBM", NOON, "10.00", "11.50"), Quote("IBM", NOON, "10.0000000000000001", 10)]
    table = judge().validate(quotes).to_arrow()
    rows = {(row["rule"], row["field"]): row for row in table.to_pylist()}
    assert {
        ("quote.spread", "bid"), ("quote.spread", "ask"), ("quote.crossed", "bid"), ("quote.crossed", "ask"),
        ("time.shared", "timestamp"),
    } == rows.keys()  # fmt: skip
    spread = rows["quote.spread", "ask"]
    assert (0, "quotes", "IBM", "warning", "11.50", "10% of the mid price", None) == tuple(
        spread[name] for name in ("row", "kind", "key", "severity", "observed", "limit", "related")
    )
    assert NOON == spread["timestamp"].isoformat().replace("+00:00", "Z")
    assert "10.0000000000000001" == rows["quote.crossed", "bid"]["observed"]
    assert NOON == rows["time.shared", "timestamp"]["related"]


def test_no_findings_as_a_table():
    """A table without findings has the columns nevertheless, and a finding about no field has one row."""
    assert 0 == ValidationResult(3).to_arrow().num_rows
    assert ["row", "kind", "key"] == ValidationResult(3).to_arrow().column_names[:3]
    times = judge().validate_timestamp_consistency([5, 4])
    assert 1 == times.to_arrow().num_rows


def test_as_dict_has_limit_and_related():
    """Limit and related record stand in the plain form, where there are any."""
    trades = [Trade("IBM", NOON, 10, 1), Trade("IBM", NOON, 20, 1)]
    by_rule = {finding["rule"]: finding for finding in judge().validate(trades).as_dict()["findings"]}
    assert ("10%", f"10 at {NOON}") == (by_rule["trade.jump"]["limit"], by_rule["trade.jump"]["related"])
    assert "limit" not in by_rule["time.shared"]


def test_rules_that_judged():
    """A result knows the rules that judged, with their parameters and origins; those of other kinds are left out."""
    origins = {"quote.spread": {"plugin": "rules", "version": "1.0", "origins": {"max_rel": "fpa.toml:3"}}}
    validator = judge(overrides={"quote.spread": {"max_rel": "0.2"}}, origins=origins)
    rules = {rule["id"]: rule for rule in validator.validate(Quote("IBM", NOON, 1, 2)).rules}
    assert "trade.size" not in rules
    spread = rules["quote.spread"]
    assert (Decimal("0.2"), Decimal("0.1"), "of the mid price") == (
        spread["parameters"]["max_rel"], spread["defaults"]["max_rel"], spread["units"]["max_rel"],
    )  # fmt: skip
    assert ("rules", "1.0", {"max_rel": "fpa.toml:3"}) == (spread["plugin"], spread["version"], spread["origins"])
    assert {} == rules["quote.crossed"]["origins"]


def test_both_verdicts_after_a_split():
    """Rows that a rule about a series refuses make others fail; the counts among the accepted rows alone are told, too."""
    trades = [Trade("IBM", 10**18 + second, price, 1) for second, price in enumerate([10, 10, 99, 10, 10])]
    split = judge("strict").split(TRADES, to_table(TRADES, trades))
    assert [0, 1, 4] == split.accepted_rows.tolist()
    assert {2: ["trade.jump"], 3: ["trade.jump"]} == {row: [f.rule for f in found] for row, found in split.refused}
    assert (2, 0) == (
        split.result.counts["trade.jump"].failed,
        split.result.accepted_series_counts["trade.jump"].failed,
    )
    assert "trade.size" not in split.result.accepted_series_counts


def test_every_row_is_in_one_part():
    """With rules of all severities, filters and overrides, each row is accepted or refused, and none is both."""
    bars = [Bar("IBM", Instant(60 * 10**9 * minute), 10, 9 + minute % 3, 10, 10, 1, "1m") for minute in range(30)]
    overrides = {"bar.jump": {"overrides": {"I*": {"severity": "error", "max_rel": 0}}}}
    split = judge("standard", overrides).split(BARS, to_table(BARS, bars))
    refused = [row for row, _ in split.refused]
    assert list(range(30)) == sorted([*split.accepted_rows.tolist(), *refused])
    assert [row for row in range(30) if row % 3 == 0] == refused


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_origins_of_the_configuration(folder):
    """In a layer each rule knows its plugin and version, and where each of its values was set."""
    (folder / "fpa.toml").write_text(
        '[validator.rules."quote.spread"]\nmax_rel = "0.2"\n[validator.rules."quote.spread".overrides."BTC*"]\nmax_rel = "0.5"\n'
        '[env.prod.validator.rules."quote.spread"]\nseverity = "error"\n'
    )
    with open_layer(env="prod", environ={"FPA_VALIDATOR__RULES__TIME_FUTURE__TOLERANCE": "2s"}) as data:
        rules = {rule["id"]: rule for rule in data.validator.rules()}
    spread = rules["quote.spread"]
    assert ("rules", "financial-portfolio-automation") == (spread["plugin"], spread["distribution"])
    assert {
        "max_rel": "fpa.toml:2", "severity": "fpa.toml:6 (env prod)", "overrides.BTC*.max_rel": "fpa.toml:4",
    } == {name: origin for name, origin in spread["origins"].items() if name.count(".") != 1 and name != "overrides"}  # fmt: skip
    assert {"BTC*": {"max_rel": Decimal("0.5")}} == spread["overrides"]
    assert "environment variable" in rules["time.future"]["origins"]["tolerance"]


def test_levels_and_classes_of_the_configuration(folder):
    """A level of one's own and classes of symbols work from the file, also for what is registered later."""
    (folder / "fpa.toml").write_text(
        '[validator]\nlevel = "mine"\n[validator.levels.mine]\nextends = "strict"\nrules = { "quote.locked" = "error" }\n'
        '[validator.classes]\ncrypto = ["BTC*"]\n[validator.rules."quote.spread".overrides."class:crypto"]\nmax_rel = "0.5"\n'
    )
    with open_layer(environ={}) as data:
        assert "strict" == data.validator.level
        spread = [each for each in data.validator.rules() if each["id"] == "quote.spread"]
        assert {"class:crypto": {"max_rel": Decimal("0.5")}} == spread[0]["overrides"]
        assert not data.validate(Quote("IBM", NOON, 10, 10)).is_valid
        assert data.validate(Quote("BTCUSD", NOON, 10, 13)).is_valid
        assert not data.validate(Quote("IBM", NOON, 10, 13)).is_valid
