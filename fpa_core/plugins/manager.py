"""The plugin manager."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import attrs
import pluggy

from fpa_core import hookspecs
from fpa_core.config import did_you_mean
from fpa_core.exceptions import PluginError
from fpa_core.formats import Format, FormatOffer, Prepare
from fpa_core.plugins.discovery import Candidate, discover, normalised, unmet
from fpa_core.plugins.linting import HOOKS, lint
from fpa_core.plugins.registry import Registration, Registry, check_backend, check_rule, label_of
from fpa_core.protocols import StoreFile

if TYPE_CHECKING:
    import click

__all__ = ["Plugin", "PluginManager"]

logger = logging.getLogger("fpa.plugins")

_DEFERRED = ("fpa_register_rules", "fpa_register_formats")
"""Hooks that are called when what they register is first asked for: there are many rules and formats, and most commands need neither."""


@attrs.frozen
class Plugin:
    """The status of one plugin.

    :ivar name: the name of its entry point, as used in ``[plugins] block``.
    :ivar status: ``loaded``, ``failed`` or ``blocked``; a blocked plugin is not imported.
    :ivar error: why it failed, in one line; ``traceback`` has the details.
    :ivar provides: the names it registered, by hook; empty for hooks without names.
    :ivar refused: the rules it registered that cannot be used, with the reason; the rest of the plugin is used.
    """

    name: str
    distribution: str | None
    version: str | None
    status: Literal["loaded", "failed", "blocked"]
    error: str | None = None
    traceback: str | None = attrs.field(default=None, repr=False)
    provides: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    refused: Mapping[str, str] = attrs.field(factory=dict)

    def __str__(self) -> str:
        return label_of(self.name, self.distribution, self.version)


class PluginManager:
    """Loads the installed plugins and holds their registrations. Each data layer has its own.

    :param block: names of plugins not to load; built-in ones can be blocked too.
    :param required: distributions that must provide plugins that work, such as ``acme-rules>=1.2``.
    :param strict: raise if a plugin fails, instead of reporting it.
    :param entry_points: entry points to load instead of the installed ones.
    :param extra: further plugins: objects, or pairs of a name and an object.
    :raises PluginError: if two plugins register one name, a requirement is not met or, when strict, a plugin fails.
    """

    def __init__(
        self,
        *,
        block: Iterable[str] = (),
        required: Iterable[str] = (),
        strict: bool = False,
        entry_points: Iterable[Any] | None = None,
        extra: Iterable[object] = (),
    ) -> None:
        self._strict = strict
        self._pluggy = pluggy.PluginManager(hookspecs.GROUP)
        self._pluggy.add_hookspecs(hookspecs)
        self._plugins: dict[str, Plugin] = {}
        self.stores = Registry("store", self.explain)
        self.caches = Registry("cache", self.explain)
        self.validators = Registry("validator", self.explain)
        self.rules = Registry("rule", self.explain, partial(self._load, "fpa_register_rules"))
        self.sources = Registry("source", self.explain)
        self.formats = Registry("format", self.explain, partial(self._load, "fpa_register_formats"))
        self.lakes = Registry("lake", self.explain)
        self._registries = {
            "fpa_register_stores": self.stores,
            "fpa_register_caches": self.caches,
            "fpa_register_validators": self.validators,
            "fpa_register_rules": self.rules,
            "fpa_register_sources": self.sources,
            "fpa_register_formats": self.formats,
            "fpa_register_lakes": self.lakes,
        }
        candidates = [*discover(entry_points), *map(_passed_in, extra)]
        blocked = set(block)
        for name in sorted(blocked - {candidate.name for candidate in candidates}):
            hint = did_you_mean(name, (candidate.name for candidate in candidates))
            logger.warning("plugins.block names %s, which is not installed%s", name, f"; {hint}" if hint else "")
        for number, candidate in enumerate(candidates):
            self._add(f"{number} {candidate.name}", candidate, blocked=candidate.name in blocked)
        demanded = tuple(required)
        if strict or demanded:  # what fails is to be known now
            self.load()
        self._check_required(demanded)

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """All plugins found, in the order of distributions and names."""
        self.load()
        return tuple(self._plugins.values())

    @property
    def options(self) -> dict[str, Mapping[str, type[Any]]]:
        """The options classes of what a configuration may name, as :func:`fpa_core.config.structure` takes them."""
        return {
            "stores": self.stores.options,
            "caches": self.caches.options,
            "validators": self.validators.options,
            "sources": self.sources.options,
            "lakes": self.lakes.options,
            "rules": self.rules.options,
        }

    def load(self) -> None:
        """Register rules and formats now, instead of when one is first asked for.

        :raises PluginError: if two plugins register one name or, when strict, a plugin fails.
        """
        for hook in _DEFERRED:
            self._registries[hook].load()

    def explain(self, name: str) -> str | None:
        """Return which failed or blocked plugins may have provided *name*; None if there are none."""
        for plugin in self._plugins.values():
            if name in plugin.refused:
                return f"{plugin}: {plugin.refused[name]}"
        absent = [plugin for plugin in self._plugins.values() if plugin.status != "loaded"]
        candidates = [plugin for plugin in absent if plugin.name == name] or absent
        reasons = [
            f"{plugin}, which is blocked, may provide it"
            if plugin.status == "blocked"
            else f"{plugin}, which failed, may provide it: {plugin.error}"
            for plugin in candidates
        ]
        return "; ".join(reasons) or None

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call every implementation of a notification hook. One that fails is logged, and the others are still called.

        :raises PluginError: if the hook is unknown.
        """
        if hook not in HOOKS:
            raise PluginError(f"{hook} is not a hook", hint=did_you_mean(hook, HOOKS))
        for implementation in reversed(getattr(self._pluggy.hook, hook).get_hookimpls()):
            try:
                _call(implementation, arguments)
            except (Exception, SystemExit):
                logger.exception("%s failed in %s", self._plugins[implementation.plugin_name], hook)

    def has_listeners(self, hook: str) -> bool:
        """Return whether a plugin implements a notification hook, so that its arguments are worth their making."""
        return bool(getattr(self._pluggy.hook, hook).get_hookimpls())

    def register_commands(self, cli: click.Group) -> None:
        """Add the commands of plugins. If a plugin fails or replaces a command, its commands are removed."""
        hook = "fpa_register_commands"
        for key, implementation in self._implementations(hook):
            before = dict(cli.commands)
            with self._contained(key):
                try:
                    _call(implementation, {"cli": cli})
                    replaced = [name for name, command in before.items() if cli.commands.get(name) is not command]
                    if replaced:
                        raise PluginError(f"it replaces commands that others added: {', '.join(replaced)}")
                except BaseException:
                    cli.commands.clear()
                    cli.commands.update(before)
                    raise
                provides = {**self._plugins[key].provides, hook: tuple(sorted(cli.commands.keys() - before.keys()))}
                self._plugins[key] = attrs.evolve(self._plugins[key], provides=provides)

    def _add(self, key: str, candidate: Candidate, *, blocked: bool) -> None:
        plugin = Plugin(candidate.name, candidate.distribution, candidate.version, "blocked" if blocked else "loaded")
        self._plugins[key] = plugin
        if blocked:
            return
        offers: dict[str, list[Registration]] = {}
        with self._contained(key):
            implementation = candidate.load()
            mistakes = lint(implementation)
            if mistakes:
                raise PluginError("; ".join(mistakes), plugin=plugin.name, distribution=plugin.distribution)
            self._pluggy.register(implementation, key)
            offers = self._collect(key)
        if self._plugins[key].status != "loaded":
            return
        for hook, registrations in offers.items():
            for registration in registrations:
                self._registries[hook].add(registration)
        self._note(key, offers)

    def _load(self, hook: str, registry: Registry) -> None:
        """Call a deferred hook of all plugins."""
        for key, implementation in self._implementations(hook):
            made: list[Registration] = []
            with self._contained(key):
                _call(implementation, {"register": self._register(key, hook, made)})
            if self._plugins[key].status == "loaded":
                for registration in made:
                    registry.add(registration)
                self._note(key, {hook: made})

    def _note(self, key: str, offers: Mapping[str, Sequence[Registration]]) -> None:
        """Note what a plugin provides, in the order of the hooks."""
        names = {hook: tuple(registration.name for registration in made) for hook, made in offers.items()}
        known = {**self._plugins[key].provides, **names}
        provides = {hook: known[hook] for hook in HOOKS if hook in known}
        self._plugins[key] = attrs.evolve(self._plugins[key], provides=provides)

    def _collect(self, key: str) -> dict[str, list[Registration]]:
        """Return the registrations of a plugin by hook, but for deferred ones; they take effect only after all of its hooks have returned."""
        offers: dict[str, list[Registration]] = {}
        for hook in HOOKS:
            if hook in _DEFERRED:
                continue
            for owner, implementation in self._implementations(hook):
                if owner == key:
                    made = offers.setdefault(hook, [])
                    if hook in self._registries:
                        _call(implementation, {"register": self._register(key, hook, made)})
        return offers

    def _register(self, key: str, hook: str, made: list[Registration]) -> Callable[..., None]:
        """Return the function that a hook calls to register something."""
        plugin, what = self._plugins[key], self._registries[hook].what

        def register(name: str, factory: Callable[..., Any], options: type[Any]) -> None:
            check_backend(what, name, factory, options)
            made.append(Registration(name, factory, options, plugin.name, plugin.distribution, plugin.version))

        def register_store(
            name: str,
            factory: Callable[..., Any],
            options: type[Any],
            file: Callable[[Any], StoreFile] | None = None,
            missing: Callable[[Any], str | None] | None = None,
        ) -> None:
            register(name, factory, options)
            made[-1] = attrs.evolve(made[-1], file=file, missing=missing)

        def register_rule(rule: type[Any]) -> None:
            try:
                check_rule(rule)
            except PluginError as error:
                if self._strict:
                    raise
                self._refuse(key, rule, error)
            else:
                register(rule.id, rule, rule)

        def register_format(name: str, form: Format, description: str = "", prepare: Prepare | None = None) -> None:
            if not isinstance(form, Format):
                raise PluginError(f"the format {name!r} must be a Format, not {form!r}")
            offer = FormatOffer(name, form, description, prepare)
            register(name, lambda: offer, Format)

        special: dict[str, Callable[..., None]] = {
            "fpa_register_stores": register_store,
            "fpa_register_rules": register_rule,
            "fpa_register_formats": register_format,
        }
        return special.get(hook, register)

    def _refuse(self, key: str, rule: Any, error: PluginError) -> None:
        """Do without one rule of a plugin, and report why."""
        plugin = self._plugins[key]
        name = getattr(rule, "id", None) or getattr(rule, "__name__", repr(rule))
        self._plugins[key] = attrs.evolve(plugin, refused={**plugin.refused, str(name): str(error)})
        logger.warning("%s: %s", plugin, error)

    def _implementations(self, hook: str) -> list[tuple[str, pluggy.HookImpl]]:
        """Return the implementations of *hook*, each with the key of its plugin, in the order of the plugins."""
        implementations = getattr(self._pluggy.hook, hook).get_hookimpls()
        return [(implementation.plugin_name, implementation) for implementation in implementations]

    @contextmanager
    def _contained(self, key: str) -> Iterator[None]:
        """Catch what a plugin raises: mark it as failed, and remove its registrations."""
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            plugin = self._plugins[key]
            summary = "".join(traceback.format_exception_only(error)).strip()
            if self._strict:
                raise PluginError(
                    f"{plugin} failed: {summary}",
                    hint=f'do without it: [plugins] block = ["{plugin.name}"], or strict = false',
                    plugin=plugin.name,
                    distribution=plugin.distribution,
                ) from error
            for hook, names in plugin.provides.items():
                if hook in self._registries:
                    self._registries[hook].drop(names)
            if self._pluggy.has_plugin(key):
                self._pluggy.unregister(name=key)
            trace = "".join(traceback.format_exception(error))
            self._plugins[key] = attrs.evolve(plugin, status="failed", error=summary, traceback=trace, provides={})
            logger.warning("%s failed and is not used: %s", plugin, summary)

    def _check_required(self, required: Iterable[str]) -> None:
        of_distribution: dict[str, list[Plugin]] = {}
        for plugin in self._plugins.values():
            of_distribution.setdefault(normalised(plugin.distribution or ""), []).append(plugin)
        working = {
            name: plugins[0].version
            for name, plugins in of_distribution.items()
            if all(plugin.status == "loaded" for plugin in plugins)
        }

        def explain(distribution: str) -> str:
            absent = [plugin for plugin in of_distribution.get(distribution, ()) if plugin.status != "loaded"]
            reasons = [
                f"{plugin} is blocked" if plugin.status == "blocked" else f"{plugin} failed: {plugin.error}"
                for plugin in absent
            ]
            return "; ".join(reasons) or "it is not installed, or has no plugin"

        sentences = list(unmet(required, working, explain))
        if sentences:
            raise PluginError("plugins.required is not met: " + "; ".join(sentences))


def _call(implementation: pluggy.HookImpl, arguments: Mapping[str, Any]) -> None:
    implementation.function(*(arguments[name] for name in implementation.argnames))


def _passed_in(plugin: object) -> Candidate:
    if isinstance(plugin, tuple):
        name, plugin = plugin
    else:
        name = getattr(plugin, "__name__", None) or type(plugin).__name__
    return Candidate(str(name), lambda: plugin)
