"""Commands for the layer itself: batches, plugins, configuration."""

from __future__ import annotations

from collections.abc import Sequence

import click

from fpa_core.cli.app import App
from fpa_core.cli.output import after_commit, json_option, note, print_json, print_results, say, when
from fpa_core.cli.tables import table, wide_option
from fpa_core.exceptions import ConfigError

__all__ = ["batches", "config", "plugins", "undo"]


@click.command()
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="The largest number of batches to list."
)
@json_option
@wide_option
@click.pass_obj
def batches(app: App, /, limit: int, as_json: bool) -> None:
    """List the stored batches, latest first."""
    from attrs import asdict

    with app.open(existing=True) as data:
        found = data.store.batches(limit=limit)
    if as_json:
        entries = [asdict(batch) | {"recorded": when(batch.recorded_ns)} for batch in found]
        print_results(entries)
        return
    counts = ("read", "inserted", "duplicate", "revised", "quarantined", "deleted")
    rows = [
        [
            b.id,
            when(b.recorded_ns)[:19].replace("T", " "),
            b.origin,
            b.file,
            *(getattr(b, name) for name in counts),
            b.undone_by,
        ]
        for b in found
    ]
    table("", ["batch", "recorded (UTC)", "origin", "file", *counts, "undone by"], rows, empty="no batches yet")


@click.command()
@click.argument("batch", type=int)
@json_option
@click.pass_obj
def undo(app: App, /, batch: int, as_json: bool) -> None:
    """Undo BATCH: remove the rows it inserted, and restore those it replaced or deleted. An undo is a batch itself and can be undone."""
    with app.open(existing=True) as data:
        receipt = data.store.undo(batch)
    with after_commit(f"batch {batch} was undone by batch {receipt.batch}"):
        if as_json:
            print_results([receipt.as_dict()])
        else:
            say("; ".join(receipt.notes) + f" (as batch {receipt.batch})")


@click.command()
@json_option
@wide_option
@click.pass_obj
def plugins(app: App, /, as_json: bool) -> None:
    """List plugins, what each provides, and the error of those that failed to load."""
    from attrs import asdict

    with app.open() as data:
        reports = data.plugins.plugins
    if as_json:
        print_results(map(asdict, reports))
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
        for name, reason in report.refused.items():
            note(f"{report.name}: {name} is not used: {reason}")


def _offer(hook: str, names: Sequence[str]) -> str:
    what = hook.removeprefix("fpa_register_")
    return f"{what}: {', '.join(names)}" if len(names) <= 4 else f"{len(names)} {what}"


@click.group()
def config() -> None:
    """Show or check the configuration."""


@config.command("show")
@json_option
@wide_option
@click.pass_obj
def config_show(app: App, /, as_json: bool) -> None:
    """Show every effective setting and its origin; secrets are masked."""
    from attrs import asdict

    from fpa_core.config import settings

    with app.open() as data:
        found = settings(data.config)
        path = data.config.path
    if as_json:
        print_results(map(asdict, found), file=None if path is None else str(path), env=data.config.env)
        return
    say(f"file: {path or 'none (defaults)'}; env: {data.config.env or 'none'}")
    table("", ["key", "value", "from"], [[one.key, one.value, one.origin] for one in found])


@config.command("schema")
@click.pass_obj
def config_schema(app: App, /) -> None:
    """Print the JSON Schema of fpa.toml with the options of the installed plugins, for editors that complete and check TOML."""
    from fpa_core.config.schema import schema

    with app.open() as data:
        plugins = data.plugins
    print_json(schema(**plugins.options))


@config.command("check")
@json_option
@click.pass_obj
def config_check(app: App, /, as_json: bool) -> None:
    """Check the configuration with every overlay, without opening anything; all problems are reported at once.

    Environment variables must be set only for the chosen overlay.
    """
    from fpa_core import config
    from fpa_core.layer.components import structured
    from fpa_core.plugins import PluginManager

    app.reserve_output()
    tree = config.load(app.config, env=app.env)
    problems: dict[str, object] = {}
    checked = (tree.env, *(each for each in tree.environments if each != tree.env))
    for env in checked:
        # Without an overlay the base alone is checked.
        chosen = env == tree.env
        merged = tree if chosen else config.load(app.config, env=env, demand_variables=False)
        try:
            section = merged.plugins
            manager = PluginManager(block=section.block, required=section.required, strict=section.strict)
            manager.load()  # two rules of one id are found here, not by the first ingest
            structured(merged, manager)
        except ConfigError as error:
            problems |= {str(problem): problem for problem in error.problems or (error.message,)}
    if problems:
        config.fail(list(problems.values()))
    if as_json:
        file = None if tree.path is None else str(tree.path)
        print_results(({"env": env, "valid": True} for env in checked), file=file, env=tree.env, valid=True)
    else:
        overlays = f", with {', '.join(tree.environments)}" if tree.environments else ""
        say(f"{tree.path or 'defaults (no fpa.toml)'}: valid{overlays}")
