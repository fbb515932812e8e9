"""The commands of ``fpa store`` that look after a database as a whole."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fpa_core.cli.app import App
from fpa_core.cli.output import json_option, masked, note, print_results, say, when, work_bar
from fpa_core.cli.tables import table, wide_option

if TYPE_CHECKING:
    from fpa_core.operations import Backup, CheckReport
    from fpa_core.protocols import MigrationPlan, StoreDescription

__all__ = ["OPERATIONS"]

ERRORS_FOUND = 1
"""The exit code of a check that found errors, or of a repair that left some."""


@click.command()
@click.option(
    "--repair", is_flag=True, help="Mend what can be mended without loss, such as setting aside damaged segments."
)
@json_option
@click.pass_obj
def check(app: App, /, repair: bool, as_json: bool) -> None:
    """Check the whole database: pages, structure, schema, segments, rows, history, batches, quarantine, audit log and clock.

    Nothing is changed without --repair, and writers are not held up. Exit codes: 0 sound, or all errors mended; 1 errors were found; 5 the database
    cannot be opened at all.
    """
    with app.open(existing=True) as data, work_bar("check") as tick:
        report = data.operations.check(repair=repair, tick=tick)
    if as_json:
        print_results(
            _problems(report), sound=not report.errors, checked=dict(report.checked), seconds=round(report.seconds, 3)
        )
    else:
        _show_check(report)
    if report.errors:
        sys.exit(ERRORS_FOUND)


def _problems(report: CheckReport) -> list[dict[str, Any]]:
    from attrs import asdict

    return [asdict(one) | {"where": masked(one.where), "problem": masked(one.problem)} for one in report.problems]


def _show_check(report: CheckReport) -> None:
    for one in report.problems:
        state = "mended" if one.repaired else str(one.severity)
        say(f"{state}: {masked(one.where)}: {masked(one.problem)}")
        say(f"  to do: {masked(one.remedy)}")
    counts = ", ".join(f"{number:,} {name}" for name, number in report.checked.items() if number)
    say(f"checked in {report.seconds:.1f} s: {counts or 'an empty database'}")
    warnings = len([one for one in report.problems if not one.repaired]) - len(report.errors)
    say(f"{len(report.errors)} errors, {warnings} warnings" if report.errors else f"sound, {warnings} warnings")


@click.command()
@click.argument("dest", required=False, type=click.Path(path_type=Path))
@click.option("--keep", type=click.IntRange(min=1), help="Keep so many backups in the folder, and remove older ones.")
@json_option
@click.pass_obj
def backup(app: App, /, dest: Path | None, keep: int | None, as_json: bool) -> None:
    """Copy the database to DEST while it is in use, check the copy, and write its manifest.

    DEST is a folder, or a file that ends in .db; the default is the folder of [backup].
    """
    with app.open(existing=True) as data, work_bar("backup") as tick:
        made = data.operations.backup(dest, keep=keep, tick=tick)
    if as_json:
        print_results([_backup_as_dict(made)], removed=[masked(str(path)) for path in made.removed])
        return
    rows = sum(contents.rows for contents in made.manifest.kinds.values())
    say(f"{masked(str(made.path))}: {made.manifest.bytes:,} bytes, {rows:,} rows of {made.manifest.batches:,} batches")
    for path in made.removed:
        note(f"{path} removed")


def _backup_as_dict(made: Backup) -> dict[str, Any]:
    from attrs import asdict

    return {"path": masked(str(made.path)), "manifest": asdict(made.manifest)}


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@wide_option
@json_option
@click.pass_obj
def backups(app: App, /, folder: Path | None, as_json: bool) -> None:
    """List the complete backups in FOLDER, by default that of [backup]."""
    with app.open() as data:
        found = data.operations.backups(folder)
    if as_json:
        print_results(map(_backup_as_dict, found))
        return
    rows = [
        [masked(str(one.path)), when(one.manifest.made_ns), one.manifest.bytes, one.manifest.batches] for one in found
    ]
    table("", ["backup", "made", "bytes", "batches"], rows, empty="no backups")


@click.command()
@click.argument("backup", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def verify(app: App, /, backup: Path, as_json: bool) -> None:
    """Compare BACKUP with its manifest, and check it as a whole."""
    with app.open() as data, work_bar("verify") as tick:
        found = data.operations.verify(backup, tick=tick)
    if as_json:
        print_results([_backup_as_dict(found)])
    else:
        say(f"{found.path}: sound, made at {when(found.manifest.made_ns)}")


@click.command()
@click.argument("backup", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Replace an existing database; it is kept beside the restored one.")
@json_option
@click.pass_obj
def restore(app: App, /, backup: Path, replace: bool, as_json: bool) -> None:
    """Verify BACKUP and put a copy of it in the place of the database."""
    if app.read_only:
        raise click.UsageError("restore writes the database; leave out --read-only")
    with app.open() as data, work_bar("restore") as tick:
        done = data.operations.restore(backup, replace=replace, tick=tick)
    if as_json:
        aside = None if done.aside is None else masked(str(done.aside))
        print_results([{"path": masked(str(done.path)), "aside": aside}])
        return
    say(f"{masked(str(done.path))} is the backup of {when(done.manifest.made_ns)} now")
    if done.aside is not None:
        say(f"the database before is kept as {masked(str(done.aside))}")


@click.command()
@click.option(
    "--accept-pages",
    is_flag=True,
    help="First take pages as they are that do not match their checksums: after another program, such as the sqlite3 shell, wrote to the file.",
)
@json_option
@click.pass_obj
def compact(app: App, /, accept_pages: bool, as_json: bool) -> None:
    """Give back the space that nothing uses, as after an undo or a deletion. It takes as much free space as the database has."""
    with app.open(existing=True) as data:
        before, after = data.operations.compact(accept_pages=accept_pages)
    if as_json:
        print_results([{"before": before.bytes, "after": after.bytes, "freed": before.bytes - after.bytes}])
    else:
        say(f"{before.bytes:,} bytes before, {before.free:,} of them free; {after.bytes:,} bytes after")


@click.command()
@click.option("--plan", is_flag=True, help="Show what would be done, and change nothing.")
@json_option
@click.pass_obj
def migrate(app: App, /, plan: bool, as_json: bool) -> None:
    """Bring the schema of the database up to date, under a verified backup, or make it. Opening the database to write does the same."""
    with app.open() as data:
        planned = data.operations.plan() if plan else data.operations.migrate()
        if planned is None:
            _show_schema(data.store.backend.describe(), as_json=as_json)
            return
    if as_json:
        print_results([_plan_as_dict(planned)])
        return
    if not planned.steps:
        say(f"{masked(str(planned.path))}: the schema is {planned.version}, the present one")
        return
    verb = "will be" if plan else "was"
    say(f"{masked(str(planned.path))}: the schema {verb} brought from {planned.version} to {planned.latest}")
    for step in planned.steps:
        say(f"  step {step.version}: {step.name}")
    if planned.backup is not None and plan:
        say(f"  backup: {masked(str(planned.backup))}, {planned.bytes:,} bytes of {planned.free:,} free")


def _show_schema(described: StoreDescription, *, as_json: bool) -> None:
    """Print what schema a store on a server has now."""
    path = masked(described.path or described.backend)
    if as_json:
        print_results([{"path": path, "version": described.schema, "latest": described.schema, "steps": []}])
    else:
        say(f"{path}: the schema is {described.schema}, the present one")


def _plan_as_dict(plan: MigrationPlan) -> dict[str, Any]:
    from attrs import asdict

    return asdict(plan) | {
        "path": masked(str(plan.path)),
        "backup": None if plan.backup is None else masked(str(plan.backup)),
    }


@click.command("new-key")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def new_key(file: Path) -> None:
    """Write a random key to FILE, which only its owner may read; [store] key_file names it."""
    from fpa_core.outputs import new_file, writable

    with writable(file), new_file(file) as stream:
        stream.write(f"{secrets.token_hex(32)}\n".encode())
    say(f"{file} written; keep a copy of it apart from the database: without it nothing can be read")


@click.command()
@click.pass_obj
def encrypt(app: App, /) -> None:
    """Encrypt the database with the key that [store] names. Older backups stay as they are."""
    with app.open() as data, work_bar("encrypt") as tick:
        data.operations.encrypt(tick=tick)
        cache = data.config.cache.backend
    say("the database is encrypted now; backups that were made before are not")
    if cache != "memory":
        note("answers in the cache are not encrypted: use the backend memory, or keep its folder on an encrypted disk")


@click.command()
@click.pass_obj
def decrypt(app: App, /) -> None:
    """Write the database without encryption."""
    with app.open() as data, work_bar("decrypt") as tick:
        data.operations.decrypt(tick=tick)
    say("the database is not encrypted any more; take the key out of [store]")


@click.command()
@click.option("--new-key-file", required=True, type=click.Path(path_type=Path), help="The file with the new key.")
@click.pass_obj
def rekey(app: App, /, new_key_file: Path) -> None:
    """Encrypt the database with another key. Older backups keep the one before."""
    with app.open() as data, work_bar("rekey") as tick:
        data.operations.rekey(new_key_file, tick=tick)
    say(f"the database has the key of {new_key_file} now; name it in [store] key_file")


@click.command()
@click.argument("role")
@click.option("--read-only", "rights", flag_value="read", help="Let ROLE read.")
@click.option("--read-write", "rights", flag_value="write", help="Let ROLE read and write, but change no tables.")
@click.option("--plan", "planned", is_flag=True, help="Only show the statements that would be run.")
@json_option
@click.pass_obj
def grant(app: App, /, role: str, rights: str | None, planned: bool, as_json: bool) -> None:
    """Grant ROLE, of a database on a server, the right to read the store, or to write to it as well, and no more.

    A role that does not exist is made, without a login. The user of [store] dsn has to own the schema.
    """
    if rights is None:
        raise click.UsageError("say what the role may do: --read-only or --read-write")
    write = rights == "write"
    with app.open(existing=True) as data:
        ask = data.operations.grant_plan if planned else data.operations.grant
        statements = ask(role, write=write)
    if as_json:
        print_results([{"statement": one} for one in statements], role=role, write=write, planned=planned)
        return
    for one in statements:
        say(f"{one};")
    if not planned:
        note(f"{role} may {'read and write' if write else 'only read'} now")


OPERATIONS = (check, backup, backups, verify, restore, compact, migrate, new_key, encrypt, decrypt, rekey, grant)
"""The commands that ``fpa store`` has besides its own."""
