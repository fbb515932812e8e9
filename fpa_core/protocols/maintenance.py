"""What operating a store needs of its backend beyond reading and writing: looking for damage, copying, and what is known of a file before it is opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from attrs import field, frozen

from fpa_core.protocols.validators import Severity

if TYPE_CHECKING:
    from fpa_core.protocols.stores import StoreBackend

__all__ = ["MigrationPlan", "MigrationStep", "Problem", "Space", "StoreFile", "Tick"]

Tick: TypeAlias = Callable[[int, int], None]
"""Called with the work done and the work there is, in any unit, while something long is done."""


@frozen
class Problem:
    """Something that is wrong with a store.

    :ivar check: what found it: ``page``, ``structure``, ``schema``, ``reference``, ``segment``, ``row``, ``history``, ``batch``, ``quarantine``, ``audit`` or ``clock``.
    :ivar where: the file, page, table, segment or batch.
    :ivar problem: what is wrong there; ``remedy`` what to do about it.
    :ivar severity: an error if data are lost, wrong or cannot be trusted; a warning otherwise.
    :ivar segment: the id of a damaged segment, for the repair; ``batches`` the first and the last that brought its rows, ``rows`` how many there are.
    :ivar repaired: whether a repair has mended it.
    """

    check: str
    where: str
    problem: str
    remedy: str
    severity: Severity = Severity.ERROR
    segment: int | None = field(default=None, kw_only=True)
    batches: tuple[int, int] | None = field(default=None, kw_only=True)
    rows: int = field(default=0, kw_only=True)
    repaired: bool = field(default=False, kw_only=True)


@frozen
class Space:
    """The size of a store in bytes; ``free`` is the part of it that holds nothing."""

    bytes: int
    free: int


@frozen
class MigrationStep:
    """A step of the schema: its number and its name."""

    version: int
    name: str


@frozen
class MigrationPlan:
    """What opening a store will do to its schema.

    :ivar path: the file.
    :ivar version: its schema; 0 if there is no database yet.
    :ivar latest: the schema of this version of the program.
    :ivar steps: those that are still to be taken.
    :ivar backup: where the backup goes that is made first; None if none is needed.
    :ivar bytes: the size of that backup, and ``free`` the space there is for it.
    """

    path: Path
    version: int
    latest: int
    steps: Sequence[MigrationStep]
    backup: Path | None
    bytes: int
    free: int


class StoreFile(Protocol):
    """A store that is one file, before it is opened: for backups, for putting one back, and for migrations.

    :ivar path: the file.
    :ivar schema: the schema of this version of the program.
    """

    path: Path
    schema: int

    @property
    def encrypted(self) -> bool:
        """Whether the file is encrypted; ``has_key`` says whether a key is configured."""
        ...

    @property
    def has_key(self) -> bool:
        """Whether a key is configured."""
        ...

    def open_copy(self, path: Path, *, key_file: Path | None = None, read_only: bool = True) -> StoreBackend:
        """Open a copy of the store; nothing is written beside it if it is only read.

        :param key_file: the key of an encrypted copy; None for the configured one.
        :raises DatabaseError: if it is damaged, or of another schema.
        """
        ...

    def accept_pages(self) -> int:
        """Take what is in the file as it is where only its checksums say otherwise, and return how many parts these are.

        For a file that another program wrote to, which knows nothing of these checksums.

        :raises CorruptionError: if its structure is damaged; nothing is changed then.
        """
        ...

    def plan(self) -> MigrationPlan:
        """Return what opening the store will do to its schema, without changing anything.

        :raises SchemaError: if it cannot be opened by this version.
        """
        ...

    def rewrite(self, draft: Path, *, key_file: Path | None = None, plain: bool = False) -> None:
        """Write what the store holds to *draft*, an empty file.

        :param key_file: encrypt it with this key; None for the configured one.
        :param plain: do not encrypt it.
        """
        ...

    def replace(self, draft: Path, aside: Path | None) -> None:
        """Put *draft*, a complete file in the same folder, in the place of the store; what was there goes to *aside*, or is dropped if that is None.

        Killed at any point, the store is the old one or the new one.

        :raises DatabaseBusyError: if another process has the store open.
        """
        ...
