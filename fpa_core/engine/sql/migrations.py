"""Numbered steps to a schema: each checksummed, so that a database whose past steps differ, or that is newer, is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources

from attrs import frozen

from fpa_core.exceptions import SchemaError

__all__ = ["Migration", "migrations_in", "pending", "version_before"]


@frozen
class Migration:
    """One step: its number, its name, and its script."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the script, the same on systems that end lines differently."""
        return hashlib.sha256("\n".join(self.sql.splitlines()).encode()).hexdigest()


def migrations_in(package: str) -> list[Migration]:
    """Return the steps of a package, in order: its files ``NNNN_name.sql``."""
    files = sorted(file.name for file in resources.files(package).iterdir() if file.name.endswith(".sql"))
    return [
        Migration(int(name[:4]), name[5:-4], resources.files(package).joinpath(name).read_text("utf-8"))
        for name in files
    ]


def pending(steps: Sequence[Migration], applied: Sequence[tuple[int, str, str]], path: str) -> list[Migration]:
    """Return the migrations that have not been applied.

    :param applied: number, name and checksum of those that were, in order.
    :param path: the database file or server, for errors.
    :raises SchemaError: if the database comes from a newer version, or its past steps are not ours.
    """
    latest = steps[-1].version
    if applied and applied[-1][0] > latest:
        raise SchemaError(
            f"{path} was written by a newer version of this program: its schema is {applied[-1][0]}, the newest known here is {latest}",
            hint="upgrade financial-portfolio-automation",
            path=path,
            operation="open",
        )
    for step, (version, name, checksum) in zip(steps, applied, strict=False):
        if (step.version, step.checksum) != (version, checksum):
            raise SchemaError(
                f"{path}: step {version} ({name}) of its schema, which is {applied[-1][0]}, is not the one that this version, whose schema is {latest}, knows",
                hint="the database was made by a changed version of this program; open it with that one",
                path=path,
                operation="open",
            )
    return list(steps[len(applied) :])


def version_before(steps: Sequence[Migration], left: Sequence[Migration]) -> int:
    """Return the version of a schema that *left*, the last ones of *steps*, still have to be applied to; 0 for an empty database."""
    done = len(steps) - len(left)
    return steps[done - 1].version if done else 0
