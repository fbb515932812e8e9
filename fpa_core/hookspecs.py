"""The hooks a plugin may implement. This is all of them.

A plugin is a module, or any object, installed under the entry-point group ``fpa``; it marks functions with :data:`hookimpl`::

    from fpa_core import hookimpl

    @hookimpl
    def fpa_register_rules(register):
        register(RoundLot)

Hooks that register are called once, when a data layer is opened; notifications once for each committed batch. None is called per record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pluggy

from fpa_core.formats import Format, Prepare
from fpa_core.protocols import CacheBackend, Lake, Quarantined, Source, StoreBackend, StoreFile, ValidatorBackend

if TYPE_CHECKING:
    import click

    from fpa_core.protocols import Receipt

__all__ = ["GROUP", "hookimpl", "hookspec"]

GROUP = "fpa"
"""The entry-point group, and pluggy's project name."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a function of a plugin as the implementation of the hook of its name."""

B_contra = TypeVar("B_contra", contravariant=True)


class Register(Protocol[B_contra]):
    """Offers a backend under a name.

    *factory* is called with the structured options, an instance of *options*; it imports the driver, not the module that holds the hook.
    *options* is an attrs class: its fields are the keys of the backend's TOML section.
    """

    def __call__(self, name: str, factory: Callable[[Any], B_contra], options: type[Any]) -> None: ...


class RegisterStore(Protocol):
    """Offers a store.

    *file* returns, for the options of a store that is one file, what backups and migrations need of it. *missing* returns, for any options, where the
    database would be if opening it would make it; None if it is there.
    """

    def __call__(
        self,
        name: str,
        factory: Callable[[Any], StoreBackend],
        options: type[Any],
        file: Callable[[Any], StoreFile] | None = None,
        missing: Callable[[Any], str | None] | None = None,
    ) -> None: ...


class RegisterValidator(Protocol):
    """Offers a validator; its *factory* also gets the configured rules, in the order of their priority."""

    def __call__(
        self, name: str, factory: Callable[[Any, Sequence[Any]], ValidatorBackend], options: type[Any]
    ) -> None: ...


class RegisterRule(Protocol):
    """Offers a rule class under the id it carries."""

    def __call__(self, rule: type[Any]) -> None: ...


class RegisterFormat(Protocol):
    """Offers a format: how files are read, and how they are recognised.

    *prepare* changes a block of rows (:class:`fpa_plugins.files.rows.Rows`) before its columns are read, given what the user says
    (:class:`fpa_core.formats.Format`), for what no table describes.
    """

    def __call__(self, name: str, form: Format, description: str = "", prepare: Prepare | None = None) -> None: ...


@hookspec
def fpa_register_stores(register: RegisterStore) -> None:
    """Offer databases for ``[store] backend``."""


@hookspec
def fpa_register_caches(register: Register[CacheBackend]) -> None:
    """Offer caches for ``[cache] backend``."""


@hookspec
def fpa_register_validators(register: RegisterValidator) -> None:
    """Offer rule engines for ``[validator] backend``."""


@hookspec
def fpa_register_rules(register: RegisterRule) -> None:
    """Offer rules for ``[validator.rules]``."""


@hookspec
def fpa_register_sources(register: Register[Source]) -> None:
    """Offer places to ingest from."""


@hookspec
def fpa_register_formats(register: RegisterFormat) -> None:
    """Offer formats of files for ``fpa ingest --as``, recognised by what their files look like."""


@hookspec
def fpa_register_lakes(register: Register[Lake]) -> None:
    """Offer places to publish to with ``fpa publish --to``."""


@hookspec
def fpa_register_commands(cli: click.Group) -> None:
    """Add commands to ``fpa``."""


@hookspec
def fpa_ingested(receipt: Receipt) -> None:
    """React to a committed batch, before the writing call returns; each group of a stream is one."""


@hookspec
def fpa_quarantined(batch: int, records: Sequence[Quarantined]) -> None:
    """React to the records that a batch quarantined, after its commit."""
