"""Commands for data: ingest, query, latest, inventory."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fpa_core.cli import completing
from fpa_core.cli.app import NOTHING_STORED, App, error_values, exit_code
from fpa_core.cli.files import KINDS, file_options, said_options, targets_of
from fpa_core.cli.output import (
    after_commit,
    data_output,
    json_option,
    note,
    objects_of,
    print_results,
    progress_bar,
    say,
    show_error,
    standard_output,
    text_rows,
    when,
)
from fpa_core.cli.tables import table, wide_option
from fpa_core.exceptions import DataError, FpaError

if TYPE_CHECKING:
    from fpa_core.layer import DataLayer
    from fpa_core.protocols import Receipt

__all__ = ["ingest", "inventory", "latest", "query", "show_receipt"]

FORMATS = ["table", "csv", "jsonl", "parquet"]
COUNTS = ("read", "inserted", "duplicate", "revised", "quarantined")
SHOWN = 40
"""Rows a table shows if no limit is given."""
REMEMBERED = 1_000
"""The largest limit for which the rows of a table are read through the cache."""


@click.command()
@file_options
@click.option("--origin", help="Where the data come from, such as fxcm; stored with every row.")
@click.option(
    "--via",
    metavar="SOURCE",
    shell_complete=completing.sources,
    help="Read from this source plugin; FILES are then its arguments, such as symbols.",
)
@click.option("--start", help="With --via: first time included.")
@click.option("--end", help="With --via: first time excluded.")
@click.option("--max-rejected", metavar="0|N|P%", help="Store nothing if more rows are rejected.")
@click.option(
    "--covers",
    metavar="START..END",
    help="The file has all rows of this range, of each of its symbols; END is excluded.",
)
@click.option("--dry-run", is_flag=True, help="Validate all rows and store nothing.")
@json_option
@click.pass_obj
def ingest(
    app: App,
    /,
    files: tuple[str, ...],
    origin: str | None,
    dry_run: bool,
    as_json: bool,
    start: str | None,
    end: str | None,
    max_rejected: str | None,
    covers: str | None,
    **options: Any,
) -> None:
    """Validate FILES and store them: CSV, JSON, Parquet, Arrow or Excel, also compressed; folders and globs; - for standard input.

    Each file is one batch and is stored completely or not at all. Rows that are already stored are counted as duplicates. Rows that break a
    rule of severity error are quarantined with the reason. `fpa sniff` shows how a file would be read.
    """
    options = said_options(options)
    _check_via(options, start=start, end=end, dry_run=dry_run)
    targets = _targets(files, options)
    covered = _covered(covers, targets, via=options.get("via"))
    entries: list[dict[str, Any]] = []
    failed: FpaError | None = None
    with app.open(lazy=dry_run) as data:
        for target in targets:
            try:
                if dry_run:
                    entries.append(_judged(data, target, options, as_json=as_json))
                    continue
                with progress_bar(Path(target).name) as progress:
                    receipt = data.ingest(
                        target,
                        origin=origin,
                        progress=progress,
                        start=start,
                        end=end,
                        max_rejected=max_rejected,
                        covers=covered,
                        **options,
                    )
            except DataError as error:
                if len(targets) == 1:
                    raise
                failed = error
                entries.append({"file": str(target), "error": error_values(error)})
                show_error(error)
                continue
            entries.append(receipt.as_dict() | {"file": str(target)})
            if not as_json:
                with after_commit(_stored(entries)):
                    show_receipt(receipt, target)
    with after_commit(_stored(entries)):
        _show_totals(entries, failed, as_json=as_json, dry_run=dry_run)
    if failed is not None:
        sys.exit(exit_code(failed))
    if not dry_run and entries and all(map(_nothing_stored, entries)):
        sys.exit(NOTHING_STORED)


def _check_via(options: dict[str, Any], *, start: str | None, end: str | None, dry_run: bool) -> None:
    """Check that no option conflicts with --via, or with its absence.

    :raises click.UsageError: if one does.
    """
    if options.get("via") is None:
        for name, value in (("--start", start), ("--end", end)):
            if value is not None:
                raise click.UsageError(
                    f"{name} requires --via SOURCE, because files are read completely; to select stored rows, use {name} of `fpa query`"
                )
    elif dry_run:
        raise click.UsageError("--dry-run validates files; it cannot be combined with --via")


def _covered(covers: str | None, targets: Sequence[str], *, via: str | None) -> tuple[str, str] | None:
    """Return the range that a file covers.

    :raises click.UsageError: if it is none, or does not belong to one file.
    """
    if covers is None:
        return None
    start, dots, end = covers.partition("..")
    if not (start and dots and end):
        raise click.UsageError(f"--covers {covers} is not START..END, such as 2024-05-01..2024-06-01")
    if via is not None:
        raise click.UsageError("--covers is for files; `fpa history` knows what it fetched")
    if len(targets) > 1:
        raise click.UsageError(f"--covers is said of one file, and there are {len(targets)}; ingest them one at a time")
    return start, end


def _targets(files: tuple[str, ...], options: dict[str, Any]) -> list[str]:
    """Return the targets to read: files, with folders and globs expanded, or the arguments of another source."""
    if options.get("via"):
        return list(files)
    targets = targets_of(files)
    symbol = options.get("symbol", "")
    if len(targets) > 1 and symbol and "{" not in symbol:
        raise click.UsageError(
            f"--symbol {symbol} is given for {len(targets)} files. "
            "Use --symbol '{name}' to take the symbol from each file name, or ingest the files one at a time"
        )
    return targets


def _show_totals(entries: list[dict[str, Any]], failed: FpaError | None, *, as_json: bool, dry_run: bool) -> None:
    """Print the totals over all files."""
    totals = {name: sum(entry.get(name, 0) for entry in entries) for name in COUNTS}
    if as_json:
        print_results(entries, error=None if failed is None else error_values(failed), **totals)
    elif not dry_run and len(entries) > 1:
        say(f"{len(entries)} files: " + _counts(totals))


def _nothing_stored(entry: dict[str, Any]) -> bool:
    """Return whether every row of a file was rejected."""
    return bool(entry.get("read") and entry.get("rejected") == entry["read"])


def _judged(data: DataLayer, target: str, options: dict[str, Any], *, as_json: bool) -> dict[str, Any]:
    """Validate a file without storing it, and return the values of its receipt."""
    with progress_bar(Path(target).name) as progress:
        result = data.validate(target, progress=progress, **options)
    rejected = {
        rule: tally.failed
        for rule, tally in result.counts.items()
        if tally.failed and any(each.rule == rule and each.severity == "error" for each in result.findings)
    }
    flagged = {rule: tally.failed for rule, tally in result.counts.items() if tally.failed and rule not in rejected}
    entry = {"file": str(target), "dry_run": True, "read": result.rows, "rejected": rejected, "flagged": flagged}
    if not as_json:
        say(f"{target}: {result.rows:,} rows validated, nothing stored")
        for rule, count in rejected.items():
            first = next(each for each in result.findings if each.rule == rule)
            place = "" if first.row is None else f", first in row {first.row + 1}"
            say(f"  would be rejected: {count:,} x {rule}{place}: {first.message}")
        for rule, count in flagged.items():
            say(f"  would be flagged: {count:,} x {rule}")
    return entry


def _stored(entries: list[dict[str, Any]]) -> str:
    """Return which batches are stored, in case the receipt cannot be printed."""
    ids = [str(entry["batch"]) for entry in entries if entry.get("batch") is not None]
    return f"stored: batch {', '.join(ids)}" if ids else "nothing was stored"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts[name]:,} {name}" for name in COUNTS)


def show_receipt(receipt: Receipt, target: str) -> None:
    """Print a receipt."""
    rate = f"{receipt.read / receipt.seconds:,.0f} rows/s" if receipt.seconds else ""
    name = receipt.file or target
    say(f"{name}: {receipt.kind or 'records'}, batch {receipt.batch}, {receipt.seconds:.2f} s, {rate}")
    say("  " + _counts(receipt.as_dict()))
    for rule, count in sorted(receipt.warnings.items()):
        say(f"  flagged {count:,} x {rule}")
    for rejection in receipt.rejections:
        place = "" if rejection.row is None else f"row {rejection.row}: "
        say(f"  rejected {rejection.rows:,}: {place}{rejection.example}")
        if rejection.hint:
            say(f"    hint: {rejection.hint}")
    for text in receipt.notes:
        say(f"  note: {text}")
    if receipt.quarantined:
        say(f"  see: fpa quarantine list --batch {receipt.batch}")


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("symbol", required=False, shell_complete=completing.symbols)
@click.option("--start", help="First time included: 2024-05-01, or 2024-05-01T14:30:00Z.")
@click.option("--end", help="First time excluded.")
@click.option("--limit", type=click.IntRange(0), help="The largest number of rows.")
@click.option("--max-age", metavar="DURATION", help="Fail if the newest row is older, such as 15m.")
@click.option("--latest-first", is_flag=True, help="Show the latest rows first; --limit counts from the end.")
@click.option(
    "--order",
    type=click.Choice(["symbol", "time"]),
    help="By symbol, then time; or by time over all symbols. Default: symbol, or time with --latest-first.",
)
@click.option(
    "--where", multiple=True, metavar="COLUMN=VALUE", help="A further condition, such as interval=1m; repeatable."
)
@click.option("--as-known-at", help="The data as known at that time, without later batches and corrections.")
@click.option("--adjust", type=click.Choice(["splits", "all"]), help="Adjust prices for splits, or also for dividends.")
@click.option("--batch", type=int, help="Only rows of this batch.")
@click.option("--origin", help="Only rows of this origin, such as files:fxcm or 'files:*'.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="The output format."
)
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.")
@json_option
@wide_option
@click.pass_obj
def query(
    app: App,
    /,
    kind: str,
    symbol: str | None,
    where: tuple[str, ...],
    form: str,
    output: Path | None,
    as_json: bool,
    limit: int | None,
    order: str | None,
    **conditions: Any,
) -> None:
    """Read records of KIND, of SYMBOL or of all symbols. For snapshots, SYMBOL is the account.

    Decimals and times are printed exactly as stored. In CSV, a missing value is an empty cell.
    """
    if as_json and (output is not None or form != "table"):
        raise click.UsageError("--json prints one list; for a file, use --format jsonl and --output")
    conditions |= _conditions(kind, where)
    conditions["order"] = order or _order(symbol, latest_first=conditions["latest_first"])
    with app.open(existing=True) as data:
        if form == "table" and output is None and not as_json:
            _show_rows(data, kind, symbol, limit, conditions)
            return
        if form == "parquet" and output is None and standard_output().isatty():
            raise click.UsageError("Parquet cannot be written to a terminal; give a file with --output")
        from fpa_core import export

        selection = data.select(kind, symbol, limit=limit, **conditions)
        if as_json:
            print_results(objects_of(selection.reader(prices="text")))
            return
        shape: export.Format = "csv" if form == "table" else form  # type: ignore[assignment]  # click has checked it
        if output is None:
            with data_output(shape) as stream:
                export.write(selection.query.kind, selection.batches(), stream, format=shape)
            return
        rows = export.write(selection.query.kind, selection.batches(), output, format=shape)
        note(f"{rows:,} {kind} written to {output}")


def _order(symbol: str | None, *, latest_first: bool) -> str:
    """Return the order of rows if none is asked for: the latest rows of several symbols are the latest by time."""
    from fpa_core.patterns import name_of

    several = symbol is None or name_of(symbol) is None
    return "time" if latest_first and several else "symbol"


def _conditions(kind: str, where: tuple[str, ...]) -> dict[str, str | None]:
    """Return the required value of each column; None if the text after the sign is empty."""
    from fpa_core.kinds import kind_of

    asked_by = kind_of(kind)
    columns = [column.name for column in asked_by.columns if column.field != asked_by.subject]
    conditions: dict[str, str | None] = {}
    for text in where:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r} is not COLUMN=VALUE", param_hint="--where")
        if name not in columns:
            raise click.BadParameter(f"unknown column {name!r}; one of: {', '.join(columns)}", param_hint="--where")
        conditions[name] = value or None
    return conditions


def _show_rows(data: DataLayer, kind: str, symbol: str | None, limit: int | None, conditions: dict[str, Any]) -> None:
    selection = data.select(kind, symbol, limit=SHOWN if limit is None else limit, **conditions)
    bound = selection.query.limit
    # Read a screenful through the cache, as programs do; read more in bounded memory.
    through_cache = bound is not None and bound <= REMEMBERED
    batches = selection.to_arrow("text").to_batches() if through_cache else selection.batches(prices="text")
    rows = (row for batch in batches for row in text_rows(selection.query.kind, batch))
    names = [column.name for column in selection.query.kind.columns]
    shown = table("", names, rows, empty=f"no {kind}", optional=range(3, len(names)))
    if limit is None and shown == SHOWN:
        total = data.select(kind, symbol, **conditions).count()
        if total > SHOWN:
            note(f"showing the first {SHOWN} of {total:,} rows; use --limit for more, or --format csv for all")


@click.command()
@click.argument("symbol", shell_complete=completing.symbols)
@click.option("--max-age", metavar="DURATION", help="Fail if the newest of them is older, such as 15m.")
@json_option
@wide_option
@click.pass_obj
def latest(app: App, /, symbol: str, max_age: str | None, as_json: bool) -> None:
    """Show the last quote and trade of SYMBOL, and its last bar of each interval."""
    from fpa_core.serialization import to_dict

    with app.open(existing=True) as data:
        found = [record for kind in ("quotes", "trades") if (record := data.store.latest(symbol, kind)) is not None]
        intervals = sorted({bar.interval for bar in data.select("bars", symbol)})
        found += [data.select("bars", symbol, interval=each, limit=1, latest_first=True).first() for each in intervals]
        if max_age is not None:
            _check_age(data, symbol, found, max_age)
    if as_json:
        print_results({"kind": _kind(one)} | to_dict(one) for one in found)
        return
    rows = []
    for record in found:
        values = {name: value for name, value in to_dict(record).items() if value is not None}
        rows.append(
            [_kind(record), values.pop("timestamp"), ", ".join(f"{k} {v}" for k, v in values.items() if k != "symbol")]
        )
    table(symbol, ["kind", "timestamp", "values"], rows, empty="nothing stored")


def _check_age(data: DataLayer, symbol: str, found: Sequence[Any], max_age: str) -> None:
    """Check that the newest of some records is fresh.

    :raises StaleDataError: if it is not, or there is none.
    """
    from fpa_core.kinds import QUOTES, kind_of
    from fpa_core.numbers import to_seconds
    from fpa_core.store.freshness import Freshness

    newest = max(found, key=lambda record: record.ts_ns, default=None)
    kind = QUOTES if newest is None else kind_of(newest)
    demanded = Freshness(to_seconds(max_age, "--max-age"), max_age, data.store.writer.clock)
    demanded.check_record(kind, symbol, newest)


def _kind(record: Any) -> str:
    from fpa_core.kinds import kind_of

    return kind_of(record).singular


@click.command()
@click.argument("kind", required=False, type=click.Choice(KINDS))
@json_option
@wide_option
@click.pass_obj
def inventory(app: App, /, kind: str | None, as_json: bool) -> None:
    """Show what is stored, by kind and symbol: rows, first and last time."""
    with app.open(existing=True) as data:
        extents = data.store.inventory(kind)
    rows = [
        (extent.kind, extent.subject, extent.rows, when(extent.first_ns), when(extent.last_ns)) for extent in extents
    ]
    if as_json:
        print_results(dict(zip(("kind", "symbol", "rows", "first", "last"), row, strict=True)) for row in rows)
    else:
        table("", ["kind", "symbol", "rows", "first", "last"], rows, empty="nothing stored yet")
