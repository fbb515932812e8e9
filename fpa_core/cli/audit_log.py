"""The commands of ``fpa audit-log``: who changed what and when. They validate no records; ``fpa audit`` does that."""

from __future__ import annotations

import json
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fpa_core.cli.app import App
from fpa_core.cli.output import json_option, masked, print_results, say, when
from fpa_core.cli.tables import table, wide_option

if TYPE_CHECKING:
    from fpa_core.operations import Change, Operations
    from fpa_core.protocols import AuditEntry

__all__ = ["audit_log"]

TAMPERED = 1
"""The exit code of a verification that found an error."""


@click.group("audit-log")
def audit_log() -> None:
    """Show, verify or export the log of changes: who changed what in the store, and when."""


@audit_log.command()
@click.argument("seq", required=False, type=click.IntRange(1))
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="The largest number of entries.")
@click.option("--action", help="Only entries of this action, such as undo.")
@click.option("--user", help="Only entries of this user.")
@click.option("--batch", type=click.IntRange(1), help="Only entries of this batch.")
@json_option
@wide_option
@click.pass_obj
def show(
    app: App,
    /,
    seq: int | None,
    limit: int,
    action: str | None,
    user: str | None,
    batch: int | None,
    as_json: bool,
) -> None:
    """Show the last entries, the latest first; or the entry SEQ, with the portfolio records it changed, before and after."""
    wanted = {"action": action, "user": user, "batch": batch}
    given = {name: value for name, value in wanted.items() if value is not None}
    with app.open(existing=True) as data:
        operations = data.operations
        if seq is not None:
            _show_one(operations, seq, as_json=as_json)
            return
        matching = (one for one in operations.audit_log() if all(getattr(one, k) == v for k, v in given.items()))
        found = list(deque(matching, maxlen=limit))[::-1]
    if as_json:
        print_results(map(_as_dict, found))
        return
    rows = [
        [
            one.seq,
            when(one.ts_ns)[:19].replace("T", " "),
            f"{one.user}@{one.host}",
            one.program,
            one.action,
            one.batch,
            masked(_short(one.details)),
        ]
        for one in found
    ]
    columns = ["entry", "time (UTC)", "user", "program", "action", "batch", "details"]
    table("", columns, rows, empty="the audit log is empty")


def _short(details: str) -> str:
    values = json.loads(details)
    return ", ".join(f"{name}: {_text(value)}" for name, value in values.items() if name not in {"log", "digest"})


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    return str(value)


def _as_dict(entry: AuditEntry) -> dict[str, Any]:
    from attrs import asdict

    return asdict(entry) | {"time": when(entry.ts_ns), "details": json.loads(masked(entry.details))}


def _show_one(operations: Operations, seq: int, *, as_json: bool) -> None:
    entry = next(operations.audit_log(seq), None)
    if entry is None or entry.seq != seq:
        raise click.UsageError(f"there is no entry {seq}")
    changes = operations.audited_changes(entry)
    if as_json:
        from attrs import asdict

        print_results([_as_dict(entry) | {"changes": [asdict(change) for change in changes]}])
        return
    say(f"entry {entry.seq}: {entry.action}, {when(entry.ts_ns)}")
    say(f"by {entry.user} on {entry.host}, {entry.program} (process {entry.process})")
    if entry.batch is not None:
        say(f"batch {entry.batch}")
    say(masked(_short(entry.details)))
    say(f"hash {entry.hash}")
    for change in changes:
        _show_change(change)


def _show_change(change: Change) -> None:
    before, after = change.before or {}, change.after or {}
    key = after or before
    name = " ".join(str(key[one]) for one in ("order_id", "account", "symbol", "timestamp") if one in key)
    say(f"{change.kind} {name}:" + (f" {change.reason}" if change.reason else " new"))
    for column in dict.fromkeys((*before, *after)):
        old, new = before.get(column), after.get(column)
        if old != new:
            say(f"  {column}: {'-' if old is None else old} -> {'-' if new is None else new}")


@audit_log.command()
@json_option
@click.pass_obj
def verify(app: App, /, as_json: bool) -> None:
    """Verify that no entry was edited, deleted, reordered or cut off, and that the database is no old copy.

    Exit codes: 0 sound; 1 an error was found; 5 the database cannot be read.
    """
    with app.open(existing=True) as data:
        report = data.operations.verify_audit_log()
    if as_json:
        from attrs import asdict

        problems = [
            asdict(one) | {"where": masked(one.where), "problem": masked(one.problem)} for one in report.problems
        ]
        figures = {name: value for name, value in asdict(report).items() if name != "problems"}
        print_results(problems, sound=report.is_sound, **figures)
    else:
        for one in report.problems:
            say(f"{one.severity}: {masked(one.where)}: {masked(one.problem)}")
            say(f"  to do: {masked(one.remedy)}")
        if report.first_bad is not None:
            say(f"the first bad entry is {report.first_bad}")
        say(f"{report.entries:,} entries, {report.anchors:,} anchors: {'sound' if report.is_sound else 'not sound'}")
    if not report.is_sound:
        sys.exit(TAMPERED)


@audit_log.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--since", type=click.IntRange(1), default=1, help="From this entry on.")
@click.pass_obj
def export(app: App, /, file: Path, since: int) -> None:
    """Write the entries to FILE as they are stored, one JSON object a line, with their hashes."""
    from attrs import asdict

    from fpa_core.outputs import whole_file

    count = 0
    with app.open(existing=True) as data, whole_file(file) as stream:
        for entry in data.operations.audit_log(since):
            stream.write(json.dumps(asdict(entry), separators=(",", ":")).encode() + b"\n")
            count += 1
    say(f"{file}: {count:,} entries")
