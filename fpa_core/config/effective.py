"""List all settings with value and origin, for ``fpa config show``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from fpa_core.config.problems import DEFAULT, KeyPath, Origin, key_text
from fpa_core.config.secrets import MASK, Secret, is_secret_name, redact
from fpa_core.config.sections import CacheSection, Config

__all__ = ["Setting", "settings"]


@attrs.frozen
class Setting:
    """One setting: its key as in the file, its value as JSON-compatible data with secrets masked, and its origin."""

    key: str
    value: Any
    origin: Origin


def settings(config: Config) -> list[Setting]:
    """Return every setting of *config*, including defaults."""
    return [_setting(config, path, value) for path, value in _walk(config)]


def _setting(config: Config, path: KeyPath, value: Any) -> Setting:
    origin = config.origins.get(path, DEFAULT)
    if path[:2] == ("cache", "ttl") and value is None:
        value = "never"  # as it is written in the file
    elif path[0] == "retention" and path[-1] == "keep" and value is None:
        value = "forever"
    masked = MASK if origin.secret else _plain(value, str(path[-1]), config.secrets)
    return Setting(key_text(path), masked, origin)


def _walk(config: Config) -> Iterator[tuple[KeyPath, Any]]:
    for name in ("store", "cache", "validator"):
        yield from _section((name,), getattr(config, name))
    for name, source in config.sources.items():
        yield from _section(("sources", name), source)
    for name, lake in config.lakes.items():
        yield from _section(("lakes", name), lake)
    yield from _leaves(("plugins",), config.plugins)
    yield from _leaves(("logging",), config.logging)
    yield from _leaves(("backup",), config.backup)
    yield from _leaves(("audit",), config.audit)
    yield from _leaves(("retention",), config.retention)


def _section(path: KeyPath, section: Any) -> Iterator[tuple[KeyPath, Any]]:
    for attribute in attrs.fields(type(section)):
        if attribute.name != "options":
            yield from _leaves((*path, attribute.name), getattr(section, attribute.name))
    if isinstance(section, CacheSection) and not isinstance(section.backend, str):
        for name, options in zip(section.backend, section.options, strict=True):
            yield from _leaves((*path, name), options)
    else:
        yield from _leaves(path, section.options)


def _leaves(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
    if attrs.has(type(value)):
        for attribute in attrs.fields(type(value)):
            if attribute.name == "overrides" and path[:2] == ("validator", "rules"):
                for override in value.overrides:
                    yield from _leaves((*path, "overrides", override.name), override.rule)
            elif attribute.init:
                yield from _leaves((*path, attribute.alias), getattr(value, attribute.name))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves((*path, str(key)), item)
    else:
        yield path, value


def _plain(value: Any, name: str, secrets: frozenset[str]) -> Any:
    if value is None or (isinstance(value, (bool, int, float)) and not is_secret_name(name)):
        return value
    if isinstance(value, Secret) or is_secret_name(name):
        return MASK
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [_plain(item, name, secrets) for item in value]
        return sorted(items, key=str) if isinstance(value, (set, frozenset)) else items
    return redact(str(value), secrets)
