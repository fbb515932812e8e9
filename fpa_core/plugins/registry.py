"""Registries of what plugins provide by name."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from fpa_core.config import did_you_mean, one_of
from fpa_core.exceptions import FpaError, MissingDependencyError, PluginError
from fpa_core.protocols import StoreFile

__all__ = ["Registration", "Registry", "check_backend", "check_rule", "label_of"]


def label_of(plugin: str, distribution: str | None, version: str | None) -> str:
    """Return a plugin and its distribution, for messages."""
    return f"plugin {plugin} of {distribution} {version}" if distribution else f"plugin {plugin}"


@attrs.frozen
class Registration:
    """A backend, source, format or rule registered by a plugin.

    :ivar factory: makes the backend, source or rule.
    :ivar options: the attrs class of its options; for a rule, the rule class itself.
    :ivar plugin: the name of the plugin.
    :ivar file: for a store that is one file, what makes its :class:`~fpa_core.protocols.StoreFile` of its options; None for any other.
    :ivar missing: for a store, returns of its options where the database would be if opening it would make it, or None; None if that is not known.
    :ivar distribution: the distribution of the plugin, and ``version`` its version; None for one passed by the program.
    """

    name: str
    factory: Callable[..., Any]
    options: type[Any]
    plugin: str
    distribution: str | None = None
    version: str | None = None
    file: Callable[[Any], StoreFile] | None = None
    missing: Callable[[Any], str | None] | None = None

    def create(self, *arguments: Any) -> Any:
        """Call the factory.

        :raises MissingDependencyError: if a package is missing.
        """
        try:
            return self.factory(*arguments)
        except FpaError:
            raise
        except ImportError as error:
            raise MissingDependencyError(
                f"{self.name} cannot be used: {error}", plugin=self.plugin, package=error.name
            ) from error

    @property
    def owner(self) -> str:
        """The plugin and its distribution, for messages."""
        return label_of(self.plugin, self.distribution, self.version)


class Registry(Mapping[str, Registration]):
    """Registrations of one type by name, in the order of their plugins.

    :param load: adds the registrations; called when they are first asked for.
    """

    def __init__(
        self, what: str, explain: Callable[[str], str | None], load: Callable[[Registry], None] | None = None
    ) -> None:
        self.what = what
        self._explain = explain
        self._load = load
        self._lock = threading.RLock()
        self._entries: dict[str, Registration] = {}

    def load(self) -> dict[str, Registration]:
        """Add the registrations, unless that is done, and return them."""
        if self._load is not None:
            with self._lock:
                load, self._load = self._load, None
                if load is not None:
                    try:
                        load(self)
                    except BaseException:
                        self._entries.clear()
                        self._load = load
                        raise
        return self._entries

    def __getitem__(self, name: str) -> Registration:
        return self.load()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.load())

    def __len__(self) -> int:
        return len(self.load())

    def __repr__(self) -> str:
        return f"<Registry of {self.what}: {', '.join(self)}>"

    @property
    def options(self) -> Mapping[str, type[Any]]:
        """The options classes by name, for :func:`fpa_core.config.structure`."""
        return _Options(self)

    def require(self, name: str) -> Registration:
        """Return the registration of *name*.

        :raises PluginError: if it is unknown, with the closest match, the known names, and failed plugins that may have provided it.
        """
        try:
            return self[name]
        except KeyError:
            many = f"fpa {self.what}s" if self.what in {"rule", "format"} else None
            known = f"expected {one_of(sorted(self), among=many)}"
            hints = [hint for hint in (did_you_mean(name, self), self._explain(name)) if hint]
            raise PluginError(f"unknown {self.what} {name!r}; {known}", hint=" ".join(hints) or None) from None

    def add(self, entry: Registration) -> None:
        """Add a registration.

        :raises PluginError: if the name is taken; choosing one silently would depend on what else is installed.
        """
        first = self._entries.setdefault(entry.name, entry)
        if first is not entry:
            raise PluginError(
                f"the {self.what} {entry.name!r} is registered twice: by {first.owner} and by {entry.owner}",
                hint=f'block one of them: [plugins] block = ["{entry.plugin}"]',
                plugin=entry.plugin,
                distribution=entry.distribution,
            )

    def drop(self, names: tuple[str, ...]) -> None:
        """Remove registrations."""
        for name in names:
            self._entries.pop(name, None)


class _Options(Mapping[str, type[Any]]):
    """The options classes of a registry, which is loaded only if one is asked for."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def __getitem__(self, name: str) -> type[Any]:
        return self._registry[name].options

    def __iter__(self) -> Iterator[str]:
        return iter(self._registry)

    def __len__(self) -> int:
        return len(self._registry)


def check_backend(what: str, name: Any, factory: Any, options: Any) -> None:
    """Check the arguments of a registration.

    :raises PluginError: if one is invalid.
    """
    if not isinstance(name, str) or not name or name != name.strip():
        raise PluginError(f"a {what} was registered under {name!r}, which is not a name")
    if not callable(factory):
        raise PluginError(f"the {what} {name!r} has a factory that is not callable: {factory!r}")
    _check_class(f"the options of the {what} {name!r}", options)


def check_rule(rule: Any) -> None:
    """Check a rule class.

    :raises PluginError: with all problems, if it cannot be used.
    """
    from fpa_core.validator import rule_problems

    _check_class(f"the rule {getattr(rule, '__name__', repr(rule))}", rule)
    if problems := rule_problems(rule):
        raise PluginError(f"the rule {rule.__name__} cannot be used: {'; '.join(problems)}")


def _check_class(what: str, cls: Any) -> None:
    if not inspect.isclass(cls) or not attrs.has(cls):
        raise PluginError(f"{what} must be an attrs class, not {cls!r}", hint="decorate the class with @attrs.frozen")
    try:
        attrs.resolve_types(cls)
    except NameError as error:
        raise PluginError(
            f"{what}: an annotation cannot be resolved: {error}",
            hint="import what annotations of fields name outside of `if TYPE_CHECKING:`",
        ) from None
