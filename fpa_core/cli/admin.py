"""Commands about the layer itself: batches, quarantine, plugins, rules, configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import click

from fpa_core.cli.app import App
from fpa_core.cli.output import json_option, note, print_json, table, when

__all__ = ["batches", "config", "plugins", "quarantine", "rules", "undo"]


@click.command()
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@json_option
@click.pass_obj
def batches(app: App, /, limit: int, as_json: bool) -> None:
    """List what was ingested, latest first."""
    from attrs import asdict

    with app.open() as data:
        found = data.store.batches(limit=limit)
    if as_json:
        print_json([asdict(batch) | {"recorded": when(batch.recorded_ns)} for batch in found])
        return
    counts = ("read", "inserted", "duplicate", "revised", "quarantined", "deleted")
    rows = [
        [
            b.id,
            when(b.recorded_ns)[:19].replace("T", " "),
            b.source,
            b.file,
            *(getattr(b, name) for name in counts),
            b.undone_by,
        ]
        for b in found
    ]
    table("", ["batch", "recorded (UTC)", "source", "file", *counts, "undone by"], rows, empty="no batches yet")


@click.command()
@click.argument("batch", type=int)
@json_option
@click.pass_obj
def undo(app: App, /, batch: int, as_json: bool) -> None:
    """Take BATCH back: what it inserted goes, what it replaced or deleted returns. This is a batch too, and can be undone."""
    with app.open() as data:
        receipt = data.store.undo(batch)
    if as_json:
        print_json(receipt.as_dict())
    else:
        click.echo("; ".join(receipt.notes) + f" (as batch {receipt.batch})")


@click.group()
def quarantine() -> None:
    """Look at records that were refused."""


@quarantine.command("list")
@click.option("--batch", type=int, help="Only those of this batch.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@json_option
@click.pass_obj
def quarantine_list(app: App, /, batch: int | None, limit: int, as_json: bool) -> None:
    """List refused records, latest first, each with what it broke."""
    with app.open() as data:
        found = data.store.quarantined(batch=batch, limit=limit)
    if as_json:
        print_json([_quarantined(record) for record in found])
        return
    rows = [
        [r.id, r.batch, r.row, r.kind, r.subject, when(r.ts_ns), r.state, "; ".join(f["rule"] for f in r.findings)]
        for r in found
    ]
    table(
        "", ["id", "batch", "row", "kind", "symbol", "timestamp", "state", "broke"], rows, empty="nothing in quarantine"
    )


@quarantine.command("show")
@click.argument("record", type=int, metavar="ID")
@json_option
@click.pass_obj
def quarantine_show(app: App, /, record: int, as_json: bool) -> None:
    """Show a refused record as it came, and why it was refused."""
    with app.open() as data:
        found = next(iter(data.store.backend.quarantined(record=record)), None)
    if found is None:
        raise click.BadParameter(f"there is no record {record} in quarantine", param_hint="ID")
    if as_json:
        print_json(_quarantined(found))
        return
    click.echo(f"record {found.id} of batch {found.batch}, row {found.row} of its source, {found.kind}, {found.state}")
    click.echo(f"  {found.raw}")
    for finding in found.findings:
        click.echo(f"  {finding['severity']} {finding['rule']}: {finding['message']}")


def _quarantined(record: Any) -> dict[str, Any]:
    from attrs import asdict

    return asdict(record) | {"timestamp": when(record.ts_ns) or None, "findings": list(record.findings)}


@click.command()
@json_option
@click.pass_obj
def plugins(app: App, /, as_json: bool) -> None:
    """List plugins, what each provides, and why one failed to load."""
    from attrs import asdict

    with app.open() as data:
        reports = data.plugins.plugins
    if as_json:
        print_json([asdict(report) for report in reports])
        return
    rows = [
        [
            r.name,
            r.distribution,
            r.version,
            r.status,
            "; ".join(_offer(hook, names) for hook, names in r.provides.items()),
        ]
        for r in reports
    ]
    table("", ["plugin", "distribution", "version", "status", "provides"], rows, empty="no plugins")
    for report in reports:
        if report.error:
            note(f"{report.name}: {report.error}")


def _offer(hook: str, names: Sequence[str]) -> str:
    what = hook.removeprefix("fpa_register_")
    return f"{what}: {', '.join(names)}" if len(names) <= 4 else f"{len(names)} {what}"


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def rules(ctx: click.Context, as_json: bool) -> None:
    """List the validation rules in force, with their parameters."""
    if ctx.invoked_subcommand is not None:
        return
    found = _rules(ctx.obj)
    if as_json:
        print_json(found)
        return
    rows = [[r["id"], ", ".join(r["kind"]), r["severity"], _parameters(r["parameters"]), _origin(r)] for r in found]
    table("", ["rule", "judges", "severity", "parameters", "from"], rows, empty="no rules: the level is off")


@rules.command("show")
@click.argument("rule", metavar="ID")
@json_option
@click.pass_obj
def rules_show(app: App, /, rule: str, as_json: bool) -> None:
    """Explain a rule: what it demands, its parameters and their defaults."""
    found = {entry["id"]: entry for entry in _rules(app)}
    if rule not in found:
        raise click.BadParameter(f"no rule {rule!r} is in force; `fpa rules` lists them", param_hint="ID")
    entry = found[rule]
    if as_json:
        print_json(entry)
        return
    text, meaning = _divide(entry["doc"])
    click.echo(f"{entry['id']}: {text}")
    click.echo(f"\nseverity {entry['severity']}, judges {', '.join(entry['kind'])}, from {_origin(entry)}")
    for name, value in entry["parameters"].items():
        click.echo(f"  {name} = {value}  (default {entry['defaults'][name]})")
        if name in meaning:
            click.echo(f"      {meaning[name]}")


def _divide(doc: str) -> tuple[str, dict[str, str]]:
    """Part a docstring into its text and what it says of each parameter."""
    text, *fields = re.split(r"^:ivar (\w+): ", doc, flags=re.MULTILINE)
    return text.rstrip(), {name: " ".join(said.split()) for name, said in zip(fields[::2], fields[1::2], strict=True)}


def _rules(app: App) -> list[dict[str, Any]]:
    with app.open() as data:
        offered = data.plugins.rules
        found = []
        for entry in data.validator.rules():
            offer = offered.require(entry["id"])
            came_from = {"plugin": offer.plugin, "distribution": offer.distribution, "version": offer.version}
            found.append(dict(entry) | came_from)
        return found


def _parameters(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _origin(entry: dict[str, Any]) -> str:
    return " ".join(str(entry[name]) for name in ("distribution", "version") if entry[name])


@click.group()
def config() -> None:
    """Show or check the configuration."""


@config.command("show")
@json_option
@click.pass_obj
def config_show(app: App, /, as_json: bool) -> None:
    """Show every setting in force and where it comes from; secrets are masked."""
    from attrs import asdict

    from fpa_core.config import settings

    with app.open() as data:
        found = settings(data.config)
        path = data.config.path
    if as_json:
        print_json(
            {
                "file": None if path is None else str(path),
                "env": data.config.env,
                "settings": [asdict(s) for s in found],
            }
        )
        return
    click.echo(f"file: {path or 'none, defaults hold'}; env: {data.config.env or 'none'}")
    table("", ["key", "value", "from"], [[one.key, one.value, one.origin] for one in found])


@config.command("check")
@json_option
@click.pass_obj
def config_check(app: App, /, as_json: bool) -> None:
    """Check the configuration without opening anything; every problem is told at once."""
    with app.open() as data:
        path = data.config.path
    if as_json:
        print_json({"valid": True, "file": None if path is None else str(path), "env": data.config.env})
    else:
        click.echo(f"{path or 'no fpa.toml, the defaults'}: good")
