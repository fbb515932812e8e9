"""Commands for validation rules: list the enabled ones, and explain one with its parameters and their origins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import click

from fpa_core.cli import completing
from fpa_core.cli.app import App
from fpa_core.cli.output import json_option, print_results, say
from fpa_core.cli.tables import table, wide_option
from fpa_core.display import displayed, value_text

__all__ = ["rules"]


@click.group(invoke_without_command=True)
@json_option
@wide_option
@click.pass_context
def rules(ctx: click.Context, as_json: bool) -> None:
    """List the enabled validation rules with their parameters."""
    if ctx.invoked_subcommand is not None:
        return
    found = _rules(ctx.obj)
    if as_json:
        print_results(found)
        return
    rows = [
        [r["id"], ", ".join(r["kind"]), r["scope"], r["severity"] or "by symbol", _parameters(r), _owner(r)]
        for r in found
    ]
    headings = ["rule", "kinds", "scope", "severity", "parameters", "from"]
    table("", headings, rows, empty="no rules enabled: the level is off")


@rules.command("show")
@click.argument("rule", metavar="ID", shell_complete=completing.rule_ids)
@json_option
@click.pass_obj
def rules_show(app: App, /, rule: str, as_json: bool) -> None:
    """Explain a rule: what it requires, its parameters with units and defaults, and the origin of each value.

    Disabled rules can be shown, too.
    """
    found = {entry["id"]: entry for entry in _rules(app)}
    entry = found.get(rule) or _idle(app, rule)
    if as_json:
        print_results([entry])
        return
    text, meaning = _divide(entry["doc"])
    say(f"{displayed(entry['id'])}: {text}", lines=True)
    if rule not in found:
        status = "disabled: set its severity or another level to enable it"
    elif entry["severity"] is None:
        status = "disabled, except for the overrides below"
    else:
        status = f"severity {entry['severity']} ({_origin(entry, 'severity', 'by the level')})"
    say("")
    say(f"{status}; applies to {', '.join(entry['kind'])}; from {_owner(entry)}")
    for name, value in entry["parameters"].items():
        unit = f" [{entry['units'][name]}]" if name in entry["units"] else ""
        origin = entry["origins"].get(name)
        set_at = f"; {origin}" if origin else ""
        say(f"  {name} = {value_text(value)}{unit}  (default {value_text(entry['defaults'][name])}{set_at})")
        if name in meaning:
            say(f"      {meaning[name]}")
    for name in ("where", "tolerate", "stop"):
        if entry[name]:
            say(f"  {name} = {value_text(entry[name])}  ({_origin(entry, name)})")
    for pattern, changes in entry["overrides"].items():
        values = ", ".join(f"{name} = {value_text(value)}" for name, value in changes.items())
        say(f"  for {pattern}: {values or 'unchanged'}  ({_origin(entry, f'overrides.{pattern}')})")


def _divide(doc: str) -> tuple[str, dict[str, str]]:
    """Split a docstring into its text and the description of each parameter."""
    text, *fields = re.split(r"^:ivar (\w+): ", doc, flags=re.MULTILINE)
    return text.rstrip(), {name: " ".join(said.split()) for name, said in zip(fields[::2], fields[1::2], strict=True)}


def _rules(app: App) -> list[dict[str, Any]]:
    with app.open() as data:
        return [dict(entry) for entry in data.validator.rules()]


def _idle(app: App, rule: str) -> dict[str, Any]:
    """Describe a rule that plugins provide and that is disabled."""
    from fpa_core.layer.components import rule_origins

    with app.open() as data:
        if rule not in data.plugins.rules:
            raise click.BadParameter(f"unknown rule {rule!r}; `fpa rules` lists the enabled rules", param_hint="ID")
        offer = data.plugins.rules.require(rule)
        made = data.config.validator.rules.get(rule) or offer.options()
        return {**made.as_dict(), **rule_origins(data.config, offer)}


def _parameters(entry: Mapping[str, Any]) -> str:
    """Return the parameters; those that were set are marked with a star."""
    return ", ".join(
        f"{name}={value_text(value)}{'*' if name in entry['origins'] else ''}"
        for name, value in entry["parameters"].items()
    )


def _owner(entry: Mapping[str, Any]) -> str:
    return " ".join(str(entry[name]) for name in ("distribution", "version") if entry[name])


def _origin(entry: Mapping[str, Any], name: str, otherwise: str = "default") -> str:
    return str(entry["origins"].get(name, otherwise))
