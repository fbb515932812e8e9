"""The command ``fpa validate``: validate files without storing them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fpa_core.cli.app import App
from fpa_core.cli.files import file_options, said_options, targets_of
from fpa_core.cli.output import json_option, note, print_results, progress_bar, say, when
from fpa_core.cli.tables import table, wide_option
from fpa_core.protocols import Finding, Severity

if TYPE_CHECKING:
    from fpa_core.report import FileReport
    from fpa_core.validator import ValidationResult

__all__ = ["show_result", "validate"]


@click.command()
@file_options
@click.option(
    "--together",
    is_flag=True,
    help="Validate all FILES as one data set: series that go on in another file, and records against those of other kinds.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings, too.")
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write an HTML report to FILE."
)
@json_option
@wide_option
@click.pass_obj
def validate(
    app: App,
    /,
    files: tuple[str, ...],
    together: bool,
    strict: bool,
    html: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Validate FILES with the enabled rules without storing anything.

    The exit code is 1 if a record breaks a rule of severity error; an ingest would quarantine it.
    """
    options = said_options(options)
    if together:
        if html is not None:
            raise click.UsageError("--together writes no report; leave out --html")
        _validate_together(app, targets_of(files), options, strict=strict, as_json=as_json)
        return
    entries: list[dict[str, Any]] = []
    reports: list[FileReport] = []
    broken = False
    with app.open() as data:
        for file in map(Path, targets_of(files)):
            with progress_bar(file.name) as progress:
                if html is None:
                    result = data.validate(file, progress=progress, **options)
                else:
                    reports.append(data.report(file, progress=progress, **options))
                    result = reports[-1].result
            broken |= not result.is_valid or (strict and bool(result.warnings))
            entries.append({"file": str(file)} | result.as_dict())
            if not as_json:
                show_result(file.name, result)
    if html is not None:
        _write(html, reports)
    if as_json:
        print_results(entries, valid=not broken)
    if broken:
        sys.exit(1)


def _validate_together(app: App, targets: list[str], options: dict[str, Any], *, strict: bool, as_json: bool) -> None:
    with app.open() as data, progress_bar(f"{len(targets)} files") as progress:
        result = data.validate_together(*targets, progress=progress, **options)
    broken = not result.is_valid or (strict and bool(result.warnings))
    if as_json:
        print_results([{"files": targets} | result.as_dict()], valid=not broken)
    else:
        show_result(f"{len(targets)} files together", result)
    if broken:
        sys.exit(1)


def _write(target: Path, reports: list[FileReport]) -> None:
    import time

    from fpa_core.outputs import whole_file
    from fpa_core.report import page

    with whole_file(target) as stream:
        stream.write(page(reports, now_ns=time.time_ns()).encode())
    note(f"report written to {target}")


def show_result(what: str, result: ValidationResult, *, stored: bool = False) -> None:
    """Print the rules that were broken, the worst first, each with its first finding, and the rules that every row passed.

    :param stored: whether the rows are stored ones, which have no position in a file.
    """
    verdict = "valid" if result.is_valid else "invalid"
    first: dict[str, Finding] = {}
    for finding in result.findings:
        first.setdefault(finding.rule, finding)
    order = list(Severity)
    broken = [(rule, tally, first.get(rule)) for rule, tally in result.counts.items() if tally.failed]
    broken.sort(key=lambda each: (order.index(each[2].severity) if each[2] else len(order), -each[1].failed))
    rows = [
        [
            rule,
            str(finding.severity) if finding else "",
            tally.evaluated,
            tally.failed,
            _example(result, finding, stored=stored),
        ]
        for rule, tally, finding in broken
    ]
    title = f"{what}: {result.rows:,} rows, {verdict}"
    table(title, ["rule", "severity", "checked", "failed", "first"], rows, empty="no findings")
    held = [rule for rule, tally in result.counts.items() if tally.evaluated and not tally.failed]
    if held:
        say(f"passed by every row: {', '.join(held)}")


def _example(result: ValidationResult, finding: Finding | None, *, stored: bool) -> str:
    if finding is None:
        return ""
    if stored:
        place = f"{finding.subject} {when(finding.ts_ns)}: "
    else:
        where = "" if finding.file is None else f"{Path(finding.file).name} "
        place = "" if finding.row is None else f"{where}row {finding.row + 1}: "
    return place + result.sentence(finding)
