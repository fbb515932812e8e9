"""Commands for quarantined records: list, show, fix, replay, retry, discard, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fpa_core.cli import completing
from fpa_core.cli.app import App
from fpa_core.cli.files import KINDS, reading_options, said_options
from fpa_core.cli.output import (
    after_commit,
    data_output,
    json_option,
    note,
    print_results,
    say,
    standard_output,
    when,
)
from fpa_core.cli.tables import table, wide_option
from fpa_core.protocols import State

if TYPE_CHECKING:
    from fpa_core.protocols import Receipt

__all__ = ["quarantine"]

FORMATS = ["csv", "jsonl", "parquet"]
STATES = [*map(str, State), "any"]


@click.group()
def quarantine() -> None:
    """Review quarantined records, and fix, replay or discard them."""


def _conditions(command: Any) -> Any:
    """Add the options that select records; a record must match all that are given."""
    for option in (
        click.option("--origin", help="Only records of batches of this origin, such as files:fxcm or 'files:*'."),
        click.option(
            "--rule",
            shell_complete=completing.rule_ids,
            help="Only records that broke this rule, such as quote.crossed or 'quote.*'.",
        ),
        click.option(
            "--symbol",
            shell_complete=completing.symbols,
            help="Only records of this symbol, or of a pattern such as 'SPX*'.",
        ),
        click.option("--kind", type=click.Choice(KINDS), help="Only records of this kind."),
        click.option("--batch", type=int, help="Only records that this batch quarantined."),
    ):
        command = option(command)
    return command


_ignore_rule = click.option(
    "--ignore-rule",
    "ignore_rules",
    multiple=True,
    shell_complete=completing.rule_ids,
    metavar="RULE",
    help="Ignore this rule, and store records that break it; repeatable.",
)
_ids = click.argument("ids", nargs=-1, type=int, metavar="[ID]...")


def _given(conditions: dict[str, Any], ids: tuple[int, ...] = ()) -> dict[str, Any]:
    given = {name: value for name, value in conditions.items() if value is not None}
    return given | ({"id": ids} if ids else {})


@quarantine.command("list")
@_conditions
@click.option(
    "--state",
    type=click.Choice(STATES),
    default="open",
    show_default=True,
    help="Only records in this state.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="The largest number of records to list."
)
@json_option
@wide_option
@click.pass_obj
def quarantine_list(app: App, /, limit: int, state: str, as_json: bool, **conditions: Any) -> None:
    """List quarantined records, latest first, with the rules they broke."""
    from fpa_core.quarantine import as_dict

    given = _given(conditions | {"state": None if state == "any" else state})
    with app.open(existing=True) as data:
        found = data.quarantine.list(limit=limit, **given)
        count = data.quarantine.count(**given)
    if as_json:
        print_results(map(as_dict, found), count=count)
        return
    rows = [
        [r.id, r.batch, r.row, r.kind, r.subject, when(r.ts_ns), str(r.state), "; ".join(f["rule"] for f in r.findings)]
        for r in found
    ]
    headings = ["id", "batch", "row", "kind", "symbol", "timestamp", "state", "broken rules"]
    table("", headings, rows, empty="nothing in quarantine")
    if count > len(found):
        note(f"{count - len(found):,} more; use --limit to show them")


@quarantine.command("show")
@click.argument("record", type=int, metavar="ID")
@json_option
@click.pass_obj
def quarantine_show(app: App, /, record: int, as_json: bool) -> None:
    """Show a quarantined record as it was received, and why it was rejected."""
    from fpa_core.quarantine import as_dict

    with app.open(existing=True) as data:
        found = next(iter(data.quarantine.list(id=record)), None)
    if found is None:
        raise click.BadParameter(f"no record {record} in quarantine", param_hint="ID")
    if as_json:
        print_results([as_dict(found)])
        return
    changed = "" if found.changed_by is None or found.state == State.OPEN else f" by batch {found.changed_by}"
    place = f"row {found.row} of its source"
    say(f"record {found.id} of batch {found.batch}, {place}, {found.kind}, {found.state}{changed}")
    say(f"  {found.raw}")
    for finding in found.findings:
        say(f"  {finding['severity']} {finding['rule']}: {finding['message']}")


@quarantine.command("replay")
@_ids
@_conditions
@_ignore_rule
@json_option
@click.pass_obj
def quarantine_replay(
    app: App, /, ids: tuple[int, ...], ignore_rules: tuple[str, ...], as_json: bool, **conditions: Any
) -> None:
    """Validate open records again with the enabled rules, and store those that pass: all, those given by ID, or those that match the options.

    Records that do not pass stay in quarantine.
    """
    with app.open(existing=True) as data:
        receipts = data.quarantine.replay(ignore_rules=ignore_rules, **_given(conditions, ids))
    with after_commit(f"stored: {len(receipts)} batches"):
        _answer(receipts, as_json=as_json)


def _answer(receipts: Any, *, as_json: bool) -> None:
    names = ("read", "inserted", "duplicate", "revised", "quarantined")
    totals = {name: sum(getattr(receipt, name) for receipt in receipts) for name in names}
    if as_json:
        print_results([receipt.as_dict() for receipt in receipts], **totals)
        return
    if not receipts:
        say("nothing to replay")
    for receipt in receipts:
        _show(receipt)
    if len(receipts) > 1:
        say(f"{len(receipts)} batches: " + ", ".join(f"{totals[name]:,} {name}" for name in names))


def _show(receipt: Receipt) -> None:
    origin = receipt.file or receipt.origin
    say(f"{origin}: {receipt.kind or 'records'}, batch {receipt.batch}")
    stay = f", {receipt.quarantined:,} still quarantined" if receipt.quarantined else ""
    counts = f"{receipt.inserted:,} inserted, {receipt.duplicate:,} duplicate, {receipt.revised:,} revised"
    say(f"  {receipt.read:,} validated: {counts}{stay}")
    for rule, count in sorted(receipt.warnings.items()):
        say(f"  flagged {count:,} x {rule}")


@quarantine.command("retry")
@click.option("--batch", type=int, required=True, help="The batch that rejected the rows.")
@reading_options
@_ignore_rule
@json_option
@click.pass_obj
def quarantine_retry(app: App, /, batch: int, ignore_rules: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Parse the unreadable rows of a batch again with other options, such as --tz or --column, and store those that now give records.

    Options that are not given keep their values from the ingest of the file. Rows that still cannot be parsed stay in quarantine.
    """
    with app.open(existing=True) as data:
        receipt = data.quarantine.retry(batch, ignore_rules=ignore_rules, **said_options(options))
    with after_commit(f"stored: batch {receipt.batch}"):
        _answer([receipt], as_json=as_json)


@quarantine.command("fix")
@click.argument("record", type=int, metavar="ID")
@click.argument("changes", nargs=-1, metavar="[COLUMN=VALUE]...")
@_ignore_rule
@json_option
@click.pass_obj
def quarantine_fix(
    app: App, /, record: int, changes: tuple[str, ...], ignore_rules: tuple[str, ...], as_json: bool
) -> None:
    """Change values of an open record, validate it again, and store it. COLUMN= with nothing after the sign removes the value.

    It replaces a stored version of the record; without changes it does so as it is. If it still breaks a rule of severity error, nothing is changed and the exit code is 1.
    """
    values = {}
    for change in changes:
        name, sign, value = change.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{change!r} is not of the form COLUMN=VALUE", param_hint="COLUMN=VALUE")
        values[name] = value
    with app.open(existing=True) as data:
        receipt = data.quarantine.fix(record, values, ignore_rules=ignore_rules)
    with after_commit(f"stored: batch {receipt.batch}"):
        if as_json:
            print_results([receipt.as_dict()])
        else:
            _show(receipt)


@quarantine.command("discard")
@_ids
@_conditions
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
@click.pass_obj
def quarantine_discard(app: App, /, ids: tuple[int, ...], yes: bool, as_json: bool, **conditions: Any) -> None:
    """Discard open records: those given by ID, or those that match the options. At least one ID or option is required.

    They stay in the database, marked as discarded; `fpa undo` of the batch reopens them.
    """
    given = _given(conditions, ids)
    if not given:
        raise click.UsageError("give record ids, or an option such as --batch")
    with app.open(existing=True) as data:
        found = data.quarantine.count(state=State.OPEN, **given)
        if found and not yes:
            if not _is_interactive():
                raise click.UsageError(f"this would discard {found:,} records; confirm with --yes")
            click.confirm(f"Discard {found:,} records?", abort=True, err=True)
        receipt = data.quarantine.discard(**given) if found else None
    with after_commit(f"discarded: {found:,} records"):
        if as_json:
            print_results([] if receipt is None else [receipt.as_dict()], discarded=found)
        elif receipt is None:
            say("nothing to discard")
        else:
            say(f"{'; '.join(receipt.notes)} (as batch {receipt.batch})")


def _is_interactive() -> bool:
    """Return whether standard input is a terminal, so that a person can confirm."""
    return sys.stdin.isatty()


@quarantine.command("export")
@_ids
@_conditions
@click.option("--state", type=click.Choice(STATES), default="open", show_default=True, help="As for list.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="csv",
    show_default=True,
    help="The output format.",
)
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.")
@click.pass_obj
def quarantine_export(
    app: App, /, ids: tuple[int, ...], state: str, form: Any, output: Path | None, **conditions: Any
) -> None:
    """Write quarantined records as CSV, JSON Lines or Parquet, in the order of their batches and rows."""
    if form == "parquet" and output is None and standard_output().isatty():
        raise click.UsageError("Parquet cannot be written to a terminal; give a file with --output")
    given = _given(conditions | {"state": None if state == "any" else state}, ids)
    with app.open(existing=True) as data:
        if output is None:
            with data_output(form) as stream:
                data.quarantine.export(stream, form, **given)
            return
        count = data.quarantine.export(output, form, **given)
    note(f"{count:,} records written to {output}")
