"""The second of two steps: convert the merged values to typed sections, using the options classes of the plugins."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs

from fpa_core.config.merger import CORE_KEYS, merge
from fpa_core.config.overrides import check_classes, check_levels, rule_of
from fpa_core.config.problems import KeyPath, Problem, did_you_mean, display, fail, key_text, one_of
from fpa_core.config.secrets import MASK, Secret, redact
from fpa_core.config.sections import (
    DEFAULT_TTL,
    AuditSection,
    BackupSection,
    CacheSection,
    Config,
    LoggingSection,
    PluginsSection,
    RetentionSection,
    Section,
    ValidatorSection,
)
from fpa_core.config.tree import Tree
from fpa_core.formats import Format
from fpa_core.kinds import KINDS

__all__ = ["early_sections", "structure", "structure_rules"]

T = TypeVar("T")
Classes = Mapping[str, type[Any]]


def early_sections(tree: Tree) -> Tree:
    """Return *tree* with typed ``[plugins]`` and ``[logging]``; if they have problems, these are added and defaults are used."""
    if not tree.values.keys() & {"plugins", "logging"}:
        return tree
    builder = _Builder(tree, None)
    plugins = builder.table(("plugins",), PluginsSection)
    logging = builder.table(("logging",), LoggingSection)
    return attrs.evolve(
        tree,
        plugins=plugins or PluginsSection(),
        logging=logging or LoggingSection(),
        problems=tuple(builder.problems),
    )


def structure(
    tree: Tree,
    *,
    stores: Classes,
    caches: Classes,
    validators: Classes,
    sources: Classes,
    rules: Classes,
    lakes: Classes | None = None,
    explain: Callable[[str], str | None] | None = None,
) -> Config:
    """Return the typed configuration of *tree*.

    :param stores: options classes by backend name; likewise *caches*, *validators* and *sources*.
    :param rules: rule classes by id.
    :param lakes: options classes by backend name.
    :param explain: returns a hint for an unknown name, such as a failed plugin that may have provided it.
    :raises ConfigError: with all problems.
    """
    tree = _with_rule_ids(tree, rules)
    builder = _Builder(tree, explain)
    store = builder.section(("store",), "store", stores, Section())
    cache = builder.cache(caches)
    validator = builder.validator(validators, rules)
    made = {
        name: builder.section(("sources", name), "source", sources, Section(backend=name))
        for name in tree.values.get("sources", {})
    }
    kept = {
        name: builder.section(("lakes", name), "lake", lakes or {}, Section(backend=name))
        for name in tree.values.get("lakes", {})
    }
    backup = builder.table(("backup",), BackupSection)
    audit = builder.table(("audit",), AuditSection)
    retention = builder.table(("retention",), RetentionSection)
    formats = {name: builder.table(("formats", name), Format) for name in tree.values.get("formats", {})}
    if builder.problems:
        fail(builder.problems)
    return Config(
        store=store,
        cache=cache,
        validator=validator,
        plugins=tree.plugins,
        logging=tree.logging,
        backup=backup or BackupSection(),
        audit=audit or AuditSection(),
        retention=retention or RetentionSection(),
        sources=made,
        lakes=kept,
        formats={name: form for name, form in formats.items() if form is not None},
        env=tree.env,
        path=tree.path,
        origins=tree.origins,
        secrets=tree.secrets,
    )


def structure_rules(section: ValidatorSection, rules: Classes) -> ValidatorSection:
    """Return a section made in Python after the checks that ``[validator]`` of a file gets.

    :param section: its rules are tables of parameters by rule id, or rules already made.
    :param rules: rule classes by id.
    :raises ConfigError: with all problems.
    """
    values = {"validator": {"rules": dict(section.rules)}}
    builder = _Builder(Tree(None, Path(), None, (), values, {}, frozenset()), None)
    made = builder.rules(section, rules)
    if builder.problems:
        fail(builder.problems)
    return made


def _with_rule_ids(tree: Tree, rules: Classes) -> Tree:
    """Return *tree* with rule ids in place of the names in variables, which cannot contain the dot of ``quote.spread``."""
    table = tree.values.get("validator", {}).get("rules", {})
    if not isinstance(table, dict) or not table:
        return tree
    by_variable = {re.sub(r"\W", "_", rule): rule for rule in rules}
    # A table with an origin comes from the file, where the id itself must be used.
    from_variables = [name for name in table if (*_RULES, name) not in tree.origins and name not in rules]
    renamed = {name: by_variable[name] for name in from_variables if name in by_variable}
    if not renamed or not all(isinstance(table[name], dict) for name in renamed):
        return tree
    kept = {name: value for name, value in table.items() if name not in renamed}
    for name, rule in renamed.items():
        kept = merge(kept, {rule: table[name]})
    values = merge(tree.values, {"validator": {"rules": None}})
    origins = {
        (*path[:2], renamed.get(path[2], path[2]), *path[3:]) if path[:2] == _RULES and path[2:] else path: origin
        for path, origin in tree.origins.items()
    }
    return attrs.evolve(tree, values=merge(values, {"validator": {"rules": kept}}), origins=origins)


class _Builder:
    """Converts parts of a tree and collects their problems."""

    def __init__(self, tree: Tree, explain: Callable[[str], str | None] | None) -> None:
        from fpa_core.config.converter import ConfigConverter  # imports cattrs, which is slow

        self._tree = tree
        self._explain = explain or (lambda _: None)
        self.converter = ConfigConverter(tree.folder)
        self.problems = list(tree.problems)

    def table(self, path: KeyPath, cls: type[T], *, also: tuple[str, ...] = ()) -> T | None:
        """Return the table at *path* as an instance of *cls*, ignoring the keys *also*; None if it has problems."""
        table = self.value(path)
        if isinstance(table, dict):
            table = {key: value for key, value in table.items() if key not in also}
        made: T | None = self._try(path, lambda: self.converter.structure_class(table, cls, also=also), None)
        return made

    def section(self, path: KeyPath, what: str, classes: Classes, section: Any) -> Any:
        """Return *section*, which has the defaults, with the core keys and the backend options at *path*."""
        core = CORE_KEYS[str(path[0])]
        section, complete = self._core_keys(path, core, section)
        if not complete or not self._is_known(path, section.backend, what, classes):
            return section
        return attrs.evolve(section, options=self.table(path, classes[section.backend], also=core))

    def cache(self, classes: Classes) -> CacheSection:
        """Return ``[cache]``; with two backends, the options of each are in a table of its name."""
        path, core = ("cache",), CORE_KEYS["cache"]
        section: CacheSection
        section, complete = self._core_keys(path, core, CacheSection())
        for kind in self.value((*path, "ttl")):
            if kind not in _LIFETIMES:
                expected = f"unknown kind of record; expected one of: {', '.join(_LIFETIMES)}"
                self.report((*path, "ttl", kind), attrs.NOTHING, expected, did_you_mean(kind, _LIFETIMES))
        section = attrs.evolve(section, ttl={"default": DEFAULT_TTL, **section.ttl})
        if not complete:
            return section
        if isinstance(section.backend, str):
            if self._is_known(path, section.backend, "cache", classes):
                section = attrs.evolve(section, options=self.table(path, classes[section.backend], also=core))
            return section
        if len(section.backend) != _TIERS or len(set(section.backend)) != _TIERS:
            expected = "expected one cache, or two: L1 and L2"
            self.report((*path, "backend"), list(section.backend), expected, 'as ["memory", "disk"]')
            return section
        known = (*core, *section.backend)
        for key in self.value(path):
            if key not in known:
                expected = f"unknown key; expected one of: {', '.join(known)}"
                hint = did_you_mean(key, known) or "with two caches, the options of each are in a table of its name"
                self.report((*path, key), attrs.NOTHING, expected, hint)
        options = tuple(
            self.table((*path, name), classes[name]) if self._is_known(path, name, "cache", classes) else None
            for name in section.backend
        )
        return attrs.evolve(section, options=options)

    def validator(self, classes: Classes, rules: Classes) -> ValidatorSection:
        """Return ``[validator]`` with an instance of each rule it configures."""
        path = ("validator",)
        section: ValidatorSection = self.section(path, "validator", classes, ValidatorSection())
        return self.rules(section, rules)

    def rules(self, section: ValidatorSection, rules: Classes) -> ValidatorSection:
        """Return *section* with an instance of each rule in ``[validator.rules]``."""
        path = ("validator",)
        check_levels(self, section, rules)
        check_classes(self, section)
        made = {
            rule: rule_of(self, (*path, "rules", rule), rules[rule], section.classes)
            for rule in section.rules
            if self._is_known((*path, "rules", rule), rule, "rule", rules, key="")
        }
        return attrs.evolve(section, rules=made)

    def _core_keys(self, path: KeyPath, core: tuple[str, ...], section: Any) -> tuple[Any, bool]:
        """Return *section* with the core keys at *path*, and whether its backend is known, so that its options can be checked."""
        table = self.value(path)
        if not isinstance(table, dict):
            self.report(path, table, "expected a table")
            return section, False
        known = attrs.fields_dict(attrs.resolve_types(type(section)))
        complete = True
        for key in core:
            if key in table:
                made = self._try((*path, key), lambda: self.converter.attribute(table[key], known[key]), _FAILED)  # noqa: B023
                if made is not _FAILED:
                    section = attrs.evolve(section, **{key: made})
                elif key == "backend":
                    complete = False
        return section, complete

    def _is_known(self, path: KeyPath, name: str, what: str, known: Classes, key: str = "backend") -> bool:
        if name in known:
            return True
        value = self.value((*path, key)) if key else {}
        expected = f"unknown {what}; expected {one_of(sorted(known), among='fpa rules' if what == 'rule' else None)}"
        hints = () if isinstance(value, Secret) else (did_you_mean(name, known), self._explain(name))
        hint = " ".join(hint for hint in hints if hint) or None
        if value == {}:  # the name is the key of the table itself
            self.report(path, attrs.NOTHING, expected, hint)
        else:
            self.report((*path, key), value, expected, hint)
        return False

    def value(self, path: KeyPath) -> Any:
        """Return the value at *path*, or an empty table if there is none."""
        value: Any = self._tree.values
        for key in path:
            value = value.get(key, {}) if isinstance(value, dict) else {}
        return value

    def _try(self, path: KeyPath, make: Callable[[], Any], otherwise: Any) -> Any:
        from fpa_core.config.scalars import ConversionErrors

        try:
            return make()
        except ConversionErrors as found:
            for error in found.errors:
                self.report((*path, *error.path), error.value, error.expected, error.hint)
            return otherwise

    def report(self, path: KeyPath, value: Any, expected: str, hint: str | None = None) -> None:
        """Record a problem of the value at *path*, unless it is the lack of a variable, which is known already."""
        if any(path[:length] in self._tree.unset for length in range(1, len(path) + 1)):
            return
        origin, rest = self._tree.origin(path)
        key = origin.key + key_text(rest, inside=bool(origin.key))
        name = next((str(part) for part in reversed(path) if isinstance(part, str)), "")
        secrets = self._tree.secrets
        text = None if value is attrs.NOTHING else MASK if origin.secret else display(value, name, secrets)
        file = self._tree.path if origin.kind == "default" else origin.file
        hint = redact(hint, secrets) if hint else None
        self.problems.append(Problem(file, origin.line, key, text, redact(expected, secrets), hint))


_FAILED = object()
_TIERS = 2
_RULES = ("validator", "rules")
_LIFETIMES = ("default", *KINDS)
