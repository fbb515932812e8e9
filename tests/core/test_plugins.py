"""The plugin manager: what it loads, what it contains, what it refuses, and what it says."""

# ruff: noqa: ARG001, ARG005 - hooks are known by the names of their arguments, used or not
from __future__ import annotations

import logging
import sys
import types
from typing import Any

import attrs
import click
import pytest

from fpa_core import hookimpl
from fpa_core.exceptions import DataError, MissingDependencyError, PluginError
from fpa_core.hookspecs import GROUP, hookspec
from fpa_core.models import Trade
from fpa_core.plugins import PluginManager
from fpa_core.plugins.linting import HOOKS
from fpa_core.validator import Rule


@attrs.frozen
class Options:
    """Options of a fake backend."""

    size: int = 1


@attrs.frozen(kw_only=True)
class RoundLot(Rule):
    """The size of a trade is a multiple of the lot."""

    id = "acme.round_lot"
    kind = "trades"
    fields = ("size",)
    lot: int = 100

    def check(self, trade: Trade) -> bool:
        """Return whether it is."""
        return trade.size % self.lot == 0


class Distribution:
    """A fake installed distribution."""

    def __init__(self, name: str, version: str | None) -> None:
        self.name = name
        self.version = version


class Point:
    """A fake entry point; *plugin* is what it loads, or the exception that loading it raises."""

    def __init__(self, name: str, plugin: object, dist: str | None = "acme", version: str | None = "1.2") -> None:
        self.name = name
        self.dist = Distribution(dist, version) if dist else None
        self._plugin = plugin

    def load(self) -> object:
        """Import the plugin."""
        if isinstance(self._plugin, BaseException):
            raise self._plugin
        return self._plugin


def plugin(**hooks: Any) -> types.SimpleNamespace:
    """Make a plugin of functions, each marked as an implementation."""
    return types.SimpleNamespace(**{name: hookimpl(function) for name, function in hooks.items()})


def stores(*names: str) -> types.SimpleNamespace:
    """Make a plugin that offers stores."""

    def fpa_register_stores(register):
        for name in names:
            register(name, lambda options: ("store", options), Options)

    return plugin(fpa_register_stores=fpa_register_stores)


def rules(*classes: Any) -> types.SimpleNamespace:
    """Make a plugin that offers rules."""

    def fpa_register_rules(register):
        for rule in classes:
            register(rule)

    return plugin(fpa_register_rules=fpa_register_rules)


def manager(*points: Any, **options: Any) -> PluginManager:
    """Make a manager of fake entry points."""
    return PluginManager(entry_points=points, **options)


def error_of(broken: object) -> str:
    """Return what the report says of the one broken plugin beside a good one."""
    found = manager(Point("broken", broken), Point("good", stores("one")))
    failed, good = found.plugins
    assert (failed.status, good.status) == ("failed", "loaded")
    assert list(found.stores) == ["one"]
    assert failed.error is not None
    assert failed.traceback is not None
    assert failed.provides == {}
    return failed.error


def test_offers_are_collected_with_where_they_came_from():
    """Each registry knows the name, the factory, the options class and the plugin of each offer."""

    def register_backends(register):
        register("x", lambda options: options, Options)

    everything = plugin(
        fpa_register_stores=register_backends,
        fpa_register_caches=register_backends,
        fpa_register_validators=register_backends,
        fpa_register_sources=register_backends,
        fpa_register_rules=lambda register: register(RoundLot),
        fpa_ingested=lambda receipt: None,
    )
    found = manager(Point("everything", everything))
    for registry in (found.stores, found.caches, found.validators, found.sources):
        entry = registry.require("x")
        assert (entry.name, entry.options, entry.plugin, entry.distribution, entry.version) == (
            "x",
            Options,
            "everything",
            "acme",
            "1.2",
        )
        assert entry.create(5) == 5
        assert registry.options == {"x": Options}
    assert found.rules["acme.round_lot"].create() == RoundLot()
    assert len(found.rules) == 1
    assert repr(found.rules) == "<Registry of rule: acme.round_lot>"
    (report,) = found.plugins
    assert report.provides["fpa_register_rules"] == ("acme.round_lot",)
    assert report.provides["fpa_ingested"] == ()
    assert str(report) == "plugin everything of acme 1.2"


def test_the_order_is_that_of_distributions_and_names():
    """The order of installation, which differs from machine to machine, changes nothing."""
    points = [Point("b", stores("1"), "Zeta"), Point("a", stores("2"), "zeta"), Point("c", stores("3"), "alpha")]
    for order in (points, points[::-1]):
        assert list(manager(*order).stores) == ["3", "2", "1"]


def test_plugins_may_be_handed_over():
    """A program or a test adds objects without installing them, under a name or their own."""
    module = types.ModuleType("my_plugin")
    found = manager(extra=[module, ("named", stores("x")), stores("y")])
    assert [report.name for report in found.plugins] == ["my_plugin", "named", "SimpleNamespace"]
    assert str(found.plugins[1]) == "plugin named"
    assert set(found.stores) == {"x", "y"}


def test_installed_plugins_are_found(tmp_path, monkeypatch):
    """An entry point of the group, installed with a distribution, is loaded with its name and version."""
    info = tmp_path / "acme_rules-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-rules\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[fpa]\nacme = fake_acme_plugin\n")
    (tmp_path / "fake_acme_plugin.py").write_text("raise SystemExit('no licence')\n")
    monkeypatch.syspath_prepend(tmp_path)
    (report,) = [report for report in PluginManager().plugins if report.name == "acme"]
    assert (report.distribution, report.version, report.error) == ("acme-rules", "1.2", "SystemExit: no licence")


@pytest.mark.parametrize("error", [ImportError("no module"), SystemExit(3), SyntaxError("bad"), GeneratorExit()])
def test_a_plugin_that_does_not_import_is_reported_and_costs_nothing_else(error, caplog):
    """Whatever an import raises, a program that exits included, stays with that plugin and is told once."""
    assert type(error).__name__ in error_of(error)
    assert "plugin broken of acme 1.2 failed" in caplog.text


def test_control_c_is_not_swallowed():
    """A user who interrupts means the program, not the plugin."""
    with pytest.raises(KeyboardInterrupt):
        manager(Point("slow", KeyboardInterrupt()))


def test_strict_raises():
    """With strict, a plugin that fails stops everything, and the error tells how to go on."""
    with pytest.raises(PluginError, match=r"plugin broken of acme 1\.2 failed: ImportError: x") as caught:
        manager(Point("broken", ImportError("x")), strict=True)
    assert (caught.value.plugin, caught.value.distribution) == ("broken", "acme")
    assert caught.value.hint is not None


def test_blocked_plugins_are_not_even_imported(caplog):
    """Any plugin can be blocked by its name; a name that blocks nothing is told, with the near miss."""
    found = manager(Point("redis", SystemExit(1)), Point("good", stores("x")), block=["redis", "god"])
    assert [report.status for report in found.plugins] == ["loaded", "blocked"]
    assert "plugins.block names god, which is not installed; did you mean good?" in caplog.text
    with pytest.raises(PluginError, match=r"plugin redis of acme 1\.2, which is blocked, may provide it"):
        found.stores.require("redis")


def test_a_hook_that_raises_loses_its_plugin_only():
    """What a plugin offered before it raised, under any hook, is taken back."""

    def fpa_register_stores(register):
        register("half", lambda options: options, Options)
        raise RuntimeError("boom")

    broken = rules(RoundLot)
    broken.fpa_register_stores = hookimpl(fpa_register_stores)
    assert error_of(broken) == "RuntimeError: boom"


def test_rules_and_formats_are_asked_for_when_they_are_needed():
    """Hooks that offer many things are called at the first look at what they offer, once, and not for a store."""
    called: list[str] = []

    def fpa_register_rules(register):
        called.append("rules")
        register(RoundLot)

    lazy = stores("duck")
    lazy.fpa_register_rules = hookimpl(fpa_register_rules)
    found = manager(Point("lazy", lazy))
    assert list(found.stores) == ["duck"]
    classes = found.rules.options
    assert called == []
    assert dict(classes) == {"acme.round_lot": RoundLot}
    assert len(found.rules) == len(classes) == 1
    assert called == ["rules"]
    assert found.plugins[0].provides == {"fpa_register_stores": ("duck",), "fpa_register_rules": ("acme.round_lot",)}


def test_rules_of_one_name_raise_whenever_they_are_asked_for():
    """Two rules of one id are an error of every look at the rules, and of no other."""
    found = manager(Point("a", rules(RoundLot)), Point("b", rules(RoundLot)))
    assert list(found.stores) == []
    for _ in range(2):
        with pytest.raises(PluginError, match=r"'acme.round_lot' is registered twice: by plugin a .* and by plugin b"):
            list(found.rules)


LINTED = [
    (
        plugin(fpa_register_store=lambda register: None),
        "fpa_register_store is not a hook; did you mean fpa_register_stores?",
    ),
    (plugin(fpa_x=lambda: None), "fpa_x is not a hook; hooks: fpa_register_stores"),
    (
        types.SimpleNamespace(fpa_register_rules=lambda register: None),
        "fpa_register_rules is not marked with @hookimpl",
    ),
    (types.SimpleNamespace(fpa_register_rule=lambda register: None), "did you mean fpa_register_rules?"),
    (types.SimpleNamespace(x=hookimpl(specname="fpa_register_rule")(lambda register: None)), "did you mean"),
    (plugin(fpa_register_rules=eval("lambda *, register: None")), "register is keyword-only"),
    (plugin(fpa_register_rules=lambda register=None: None), "register has a default"),
    (plugin(fpa_register_rules=lambda registre: None), "takes registre, which the hook does not have; did you mean"),
    (plugin(fpa_quarantined=lambda x: None), "the hook has: batch, records"),
    (plugin(fpa_quarantined=lambda *args: None), "*args would always be empty"),
    (plugin(fpa_quarantined=lambda **rest: None), "**rest would always be empty"),
]


@pytest.mark.parametrize(("broken", "message"), LINTED)
def test_mistakes_in_implementations_are_told(broken, message):
    """What pluggy would ignore, or fail on much later, is a clear error in the report."""
    assert message in error_of(broken)


def test_implementations_that_would_not_run_are_told():
    """Coroutines, generators and wrappers are refused, all mistakes of a plugin at once."""

    async def fpa_register_rules(register):
        pass

    async def fpa_register_stores(register):
        yield

    def fpa_register_caches(register):
        yield

    broken = plugin(
        fpa_register_rules=fpa_register_rules,
        fpa_register_stores=fpa_register_stores,
        fpa_register_caches=fpa_register_caches,
    )
    broken.fpa_ingested = hookimpl(wrapper=True)(lambda receipt: (yield))
    message = error_of(broken)
    for part in ("rules is async", "stores is async", "caches is a generator", "fpa_ingested is a wrapper"):
        assert part in message


def test_functions_that_are_no_hooks_are_left_alone():
    """A helper, an optional hook of a later version, and the package's own names are no mistakes."""
    fine = stores("x")
    fine.fpa_core = types.ModuleType("fpa_core")
    fine.fpa_helper_of_mine = lambda: None
    fine.fpa_from_the_future = hookimpl(optionalhook=True)(lambda anything: None)
    fine.positional = hookimpl(specname="fpa_ingested")(lambda receipt, /: None)
    assert [report.status for report in manager(Point("fine", fine)).plugins] == ["loaded"]


def test_the_hooks_are_those_of_the_specification():
    """The linter reads the hooks from hookspecs, so the two cannot drift apart."""
    assert HOOKS["fpa_quarantined"] == ("batch", "records")
    assert len(HOOKS) == 10
    assert hookspec is not None
    assert GROUP == "fpa"


@attrs.frozen
class Unresolved:
    """Options whose annotations cannot be resolved."""

    x: "Missing"  # noqa: F821, UP037


def offering(*arguments: Any) -> types.SimpleNamespace:
    """Make a plugin that registers a store with these arguments."""
    return plugin(fpa_register_stores=lambda register: register(*arguments))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (offering("", print, Options), "'', which is not a name"),
        (offering(5, print, Options), "5, which is not a name"),
        (offering("x", None, Options), "a factory that is not callable"),
        (offering("x", print, dict), "must be an attrs class"),
        (offering("x", print, Options()), "must be an attrs class"),
        (offering("x", print, Unresolved), "annotation cannot be resolved"),
        (offering("x"), "TypeError"),
    ],
)
def test_offers_that_cannot_be_used_are_told(broken, message):
    """A wrong registration fails its own plugin, when it is made and not when it is used."""
    assert message in error_of(broken)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"id": "round"}, "id: 'round' is not of the form vendor.name"),
        ({"kind": "tradez"}, "kind: ['tradez'] is not one of quotes"),
        (
            {"fields": ("timestamp",)},
            "fields: 'timestamp' is not a field of trades; expected some of: symbol, ts_ns, price, size",
        ),
    ],
)
def test_a_rule_that_cannot_be_used_is_left_out_alone(changed, message, caplog):
    """The report names the rule, what is wrong and the fields there are; the other rules of its plugin are used."""
    wrong = type("Wrong", (RoundLot,), {"id": "acme.wrong", **changed})
    good = type("Good", (RoundLot,), {"id": "acme.good"})
    found = manager(Point("acme", rules(wrong, good)))
    (report,) = found.plugins
    assert ("loaded", None, ("acme.good",)) == (report.status, report.error, report.provides["fpa_register_rules"])
    assert [wrong.id] == list(report.refused)
    assert message in report.refused[wrong.id]
    assert message in caplog.text
    with pytest.raises(PluginError, match=r"cannot be used") as caught:
        found.rules.require(wrong.id)
    assert message in str(caught.value)
    with pytest.raises(PluginError, match="cannot be used"):
        manager(Point("acme", rules(wrong, good)), strict=True)


@pytest.mark.parametrize("offered", [int, Options, 5])
def test_what_is_no_rule_is_left_out(offered):
    """What is not a class of rules is refused with its name, and nothing else is."""
    (report,) = manager(Point("acme", rules(offered, RoundLot))).plugins
    assert ("acme.round_lot",) == report.provides["fpa_register_rules"]
    assert 1 == len(report.refused)


def test_a_name_offered_twice_always_raises():
    """Preferring one of two silently would depend on what else is installed; the error names both and how to choose."""
    with pytest.raises(PluginError) as caught:
        manager(Point("a", stores("duck"), "zeta", "2.0"), Point("b", stores("duck"), "acme", "1.2"))
    assert caught.value.message == (
        "the store 'duck' is registered twice: by plugin b of acme 1.2 and by plugin a of zeta 2.0"
    )
    assert caught.value.hint == 'block one of them: [plugins] block = ["a"]'
    with pytest.raises(PluginError, match="registered twice"):
        manager(Point("a", stores("x", "x")))
    twice = manager(Point("a", stores("duck"), "zeta"), Point("b", stores("duck")), block=["a"])
    assert twice.stores.require("duck").plugin == "b"


def test_the_same_module_under_two_names_is_a_failure_of_the_second():
    """One object cannot be two plugins."""
    shared = stores("x")
    assert [report.status for report in manager(Point("a", shared), Point("b", shared)).plugins] == ["loaded", "failed"]


def test_what_is_unknown_is_told_with_what_is_known():
    """The near miss, the list, and the failed plugin that may have provided it are all in the error."""
    found = manager(Point("acme", ImportError("no driver")), Point("good", stores("sqlite", "duck")))
    with pytest.raises(PluginError, match=r"unknown store 'sqlit'; expected one of: duck, sqlite") as caught:
        found.stores.require("sqlit")
    assert caught.value.hint is not None
    assert "did you mean sqlite?" in caught.value.hint
    assert "plugin acme of acme 1.2, which failed, may provide it: ImportError: no driver" in caught.value.hint
    with pytest.raises(PluginError, match="unknown cache 'x'; expected one of: none"):
        manager().caches.require("x")
    assert manager().explain("x") is None


def test_the_failed_plugin_of_that_very_name_is_the_only_suspect():
    """Where one of the failed plugins bears the name itself, the others are not blamed."""
    found = manager(Point("redis", ImportError("a")), Point("other", ImportError("b")))
    explanation = found.explain("redis")
    assert explanation is not None
    assert "redis" in explanation
    assert "other" not in explanation


def test_a_missing_driver_is_a_missing_dependency():
    """A factory that cannot import its driver says so in the project's terms; other errors of ours pass through."""

    def no_driver(options):
        raise ModuleNotFoundError("No module named 'duckdb'", name="duckdb")

    def bad_data(options):
        raise DataError("no")

    def register(register):
        register("duck", no_driver, Options)
        register("bad", bad_data, Options)

    found = manager(Point("a", plugin(fpa_register_stores=register)))
    with pytest.raises(MissingDependencyError) as caught:
        found.stores.require("duck").create(None)
    assert (caught.value.plugin, caught.value.package) == ("a", "duckdb")
    with pytest.raises(DataError):
        found.stores.require("bad").create(None)


def test_required_plugins():
    """A requirement is met by a distribution whose plugins work, whatever the spelling of its name."""
    points = [Point("a", stores("x"), "Acme_Rules", "1.2"), Point("b", ImportError("boom"), "zeta", "2.0")]
    manager(*points, required=["acme-rules>=1.2", "ACME.rules", "zeta; python_version < '3'"])
    manager(Point("a", stores("x"), "acme", "2.0rc1"), required=["acme>=1"])
    for required, message in (
        ("acme-rules>=1.3", "acme-rules>=1.3 is required, but acme-rules 1.2 is installed"),
        ("zeta", "zeta is required, but plugin b of zeta 2.0 failed: ImportError: boom"),
        ("nothing", "nothing is required, but it is not installed, or has no plugin"),
        ("not a requirement", "'not a requirement' is not a requirement"),
    ):
        with pytest.raises(PluginError) as caught:
            manager(*points, required=[required])
        assert message in caught.value.message
    with pytest.raises(PluginError, match=r"plugin a of acme 1\.2 is blocked"):
        manager(Point("a", stores("x")), required=["acme"], block=["a"])


def test_required_plugins_of_odd_versions():
    """A distribution without a proper version meets a requirement without a version, and no other."""
    odd = Point("a", stores("x"), "acme", "unknown!")
    manager(odd, required=["acme"])
    manager(Point("a", stores("x"), "acme", None), required=["acme"])
    with pytest.raises(PluginError, match=r"acme unknown! is installed"):
        manager(odd, required=["acme>1"])


def test_damaged_metadata_is_no_reason_to_fail():
    """A distribution that cannot tell its version still has a plugin."""
    point = Point("a", stores("x"))
    del point.dist.version
    assert manager(point).plugins[0].status == "loaded"


def test_notifications_reach_everyone(caplog):
    """A listener that fails, or exits, is logged; the others still hear."""
    heard: list[Any] = []

    def fails(receipt):
        raise RuntimeError("deaf")

    def exits():
        sys.exit(1)

    found = manager(
        Point("a", plugin(fpa_ingested=lambda receipt: heard.append([receipt]))),
        Point("b", plugin(fpa_ingested=fails)),
        Point("c", plugin(fpa_ingested=exits)),
    )
    assert (True, False) == (found.has_listeners("fpa_ingested"), found.has_listeners("fpa_quarantined"))
    with caplog.at_level(logging.ERROR, "fpa.plugins"):
        found.notify("fpa_ingested", receipt="r")
    assert heard == [["r"]]
    assert "plugin b of acme 1.2 failed in fpa_ingested" in caplog.text
    assert "plugin c of acme 1.2 failed in fpa_ingested" in caplog.text
    with pytest.raises(PluginError, match="did you mean fpa_ingested"):
        found.notify("fpa_ingest")


def test_commands_are_added():
    """A plugin's commands appear beside the built-in ones and in the report."""

    def fpa_register_commands(cli):
        cli.add_command(click.Command("hello"))

    found = manager(Point("a", plugin(fpa_register_commands=fpa_register_commands)))
    cli = click.Group("fpa", commands={"query": click.Command("query")})
    found.register_commands(cli)
    assert set(cli.commands) == {"query", "hello"}
    assert found.plugins[0].provides["fpa_register_commands"] == ("hello",)


@pytest.mark.parametrize("replaces", [True, False])
def test_commands_of_a_plugin_that_fails_are_taken_out(replaces):
    """A plugin that fails half-way, or takes a name that is taken, leaves the commands, and its other offers, as if it were not there."""

    def fpa_register_commands(cli):
        cli.add_command(click.Command("new"))
        if not replaces:
            raise RuntimeError("boom")
        cli.add_command(click.Command("query"))

    broken = stores("x")
    broken.fpa_register_commands = hookimpl(fpa_register_commands)
    found = manager(Point("a", broken))
    query = click.Command("query")
    cli = click.Group("fpa", commands={"query": query})
    found.register_commands(cli)
    assert cli.commands == {"query": query}
    assert found.plugins[0].status == "failed"
    assert "x" not in found.stores
    found.notify("fpa_ingested", receipt=None)


def test_managers_share_nothing():
    """Two managers in one process do not see each other's plugins."""
    first, second = manager(Point("a", stores("x"))), manager()
    assert "x" in first.stores
    assert "x" not in second.stores
