"""The JSON Schema of ``fpa.toml``, made of the section classes and the options of the installed plugins, for editors."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

import attrs

from fpa_core.config.merger import CORE_KEYS
from fpa_core.config.sections import (
    DURATION,
    KEEP,
    LIFETIME,
    AuditSection,
    BackupSection,
    CacheSection,
    LoggingSection,
    PluginsSection,
    RetentionSection,
    Section,
    ValidatorSection,
)
from fpa_core.formats import Format
from fpa_core.kinds import KINDS

__all__ = ["schema"]

Schema: TypeAlias = dict[str, Any]
Classes: TypeAlias = Mapping[str, type[Any]]

_IVAR = re.compile(r":ivar (\w+):(.*?)(?=\n\s*:ivar|\n\s*\n|\Z)", re.DOTALL)
_REFERENCE: Schema = {"type": "string", "pattern": r"\$\{"}
"""A text with the value of an environment variable in it, which stands for a value of any type."""

_EXAMPLES = {DURATION: ["50ms", "5m", "1h"], LIFETIME: ["50ms", "5m", "1h"], KEEP: ["90d", "forever"]}
"""Examples of durations by the mark of their type."""

_SCALARS: dict[type[Any], Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    Decimal: {"type": ["string", "number"]},
    str: {"type": "string"},
    Path: {"type": "string"},
    timedelta: {"type": ["string", "number"]},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    time: {"type": "string", "format": "time"},
}


def schema(
    *,
    stores: Classes,
    caches: Classes,
    validators: Classes,
    sources: Classes,
    rules: Classes,
    lakes: Classes | None = None,
) -> Schema:
    """Return the schema of the whole file.

    :param stores: options classes by backend name; likewise *caches*, *validators*, *sources* and *lakes*.
    :param rules: rule classes by id.
    """
    sections = {
        "store": _backend_section("store", Section, stores, "sqlite"),
        "cache": _cache(caches),
        "validator": _validator(validators, rules),
        "plugins": _table(PluginsSection),
        "logging": _table(LoggingSection),
        "backup": _table(BackupSection),
        "audit": _table(AuditSection),
        "retention": _table(RetentionSection),
        "sources": {"type": "object", "additionalProperties": _named("sources", sources)},
        "formats": {"type": "object", "additionalProperties": _table(Format)},
        "lakes": {"type": "object", "additionalProperties": _named("lakes", lakes or {})},
    }
    references = {name: {"$ref": f"#/$defs/{name}"} for name in sections}
    environment = {"type": "object", "properties": references, "additionalProperties": False}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fpa.toml",
        "description": "The configuration of Financial Portfolio Automation.",
        "type": "object",
        "properties": {
            **references,
            "env": {
                "type": "object",
                "description": "Overlays, by the name that --env or FPA_ENV chooses.",
                "additionalProperties": environment,
            },
        },
        "additionalProperties": False,
        "$defs": sections,
    }


def _backend_section(name: str, core: type[Any], classes: Classes, default: str) -> Schema:
    """Return the schema of a section: one variant for each backend, with the core keys and its options."""
    variants = [
        _variant(core, CORE_KEYS[name], backend, options, default=backend == default)
        for backend, options in sorted(classes.items())
    ]
    return {"description": _summary(core), "anyOf": variants}


def _variant(core: type[Any], keys: Sequence[str], backend: str, options: type[Any], *, default: bool) -> Schema:
    table = _table(core, only=keys)
    own = _table(options)
    properties = {**table["properties"], **own["properties"], "backend": {"const": backend}}
    # In an overlay the backend may be chosen by the base, so it is required only to tell the variants apart in the text.
    found = {
        **table,
        "title": f"backend {backend}",
        "description": own.get("description", ""),
        "properties": properties,
    }
    return found if default else found | {"required": ["backend"]}


def _cache(classes: Classes) -> Schema:
    found = _backend_section("cache", CacheSection, classes, "memory")
    ttl = {"anyOf": [_type(Annotated[float, LIFETIME]), _ttl_table()]}
    several = _table(CacheSection, only=CORE_KEYS["cache"])
    several["properties"] |= {name: _table(options) for name, options in sorted(classes.items())}
    several["properties"]["backend"] = {
        "type": "array",
        "items": {"enum": sorted(classes)},
        "minItems": 2,
        "maxItems": 2,
    }
    several |= {"title": "two caches, L1 and L2", "required": ["backend"]}
    found["anyOf"].append(several)
    for variant in found["anyOf"]:
        variant["properties"]["ttl"] = ttl
    return found


def _ttl_table() -> Schema:
    lifetime = _type(Annotated[float, LIFETIME])
    return {"type": "object", "properties": dict.fromkeys(("default", *KINDS), lifetime), "additionalProperties": False}


def _validator(classes: Classes, rules: Classes) -> Schema:
    found = _backend_section("validator", ValidatorSection, classes, "rules")
    tables = {rule: _rule(cls) for rule, cls in sorted(rules.items())}
    for variant in found["anyOf"]:
        variant["properties"]["rules"] = {"type": "object", "properties": tables, "additionalProperties": False}
    return found


def _rule(cls: type[Any]) -> Schema:
    table = _table(cls)
    own = {name: each for name, each in table["properties"].items() if name not in {"where", "overrides"}}
    overrides = {"type": "object", "properties": own, "additionalProperties": False}
    return table | {
        "properties": own
        | {
            "where": {"type": "object", "description": "The records it applies to, by field."},
            "overrides": {
                "type": "object",
                "description": "Other parameters by symbol, pattern or class:NAME.",
                "additionalProperties": overrides,
            },
        }
    }


def _named(section: str, classes: Classes) -> Schema:
    variants = [
        _variant(Section, CORE_KEYS[section], name, options, default=True) for name, options in sorted(classes.items())
    ]
    return {"anyOf": variants} if variants else {"type": "object"}


def _table(cls: type[Any], *, only: Sequence[str] | None = None) -> Schema:
    """Return the schema of the table that an attrs class is made of."""
    described = _described(cls)
    properties = {}
    for attribute in attrs.fields(attrs.resolve_types(cls)):
        if attribute.init and (only is None or attribute.alias in only):
            properties[attribute.alias] = _with_default(_type(attribute.type), attribute)
            if attribute.name in described:
                properties[attribute.alias]["description"] = described[attribute.name]
    return {"type": "object", "description": _summary(cls), "properties": properties, "additionalProperties": False}


def _with_default(found: Schema, attribute: attrs.Attribute[Any]) -> Schema:
    default = attribute.default
    if isinstance(default, Path | Decimal):
        default = str(default)
    return found | ({"default": default} if isinstance(default, bool | int | float | str) else {})


def _type(target: Any) -> Schema:  # noqa: PLR0911  # one for each form of type
    """Return the schema of the values of a type, as the converter reads them."""
    if get_origin(target) is Annotated:
        marks = get_args(target)[1:]
        examples = next((_EXAMPLES[mark] for mark in marks if mark in _EXAMPLES), None)
        if examples is not None:
            return {"type": ["number", "string"], "examples": examples}
        return _type(get_args(target)[0])
    origin, arguments = get_origin(target), get_args(target)
    if origin in {Union, types.UnionType}:
        arms = [_type(arm) for arm in arguments if arm is not types.NoneType]
        return arms[0] if len(arms) == 1 else {"anyOf": arms}
    if origin is Literal:
        return _or_reference({"enum": list(arguments)})
    plain = origin or target
    if not isinstance(plain, type):
        return {}
    if attrs.has(plain):
        return _table(plain)
    if issubclass(plain, Mapping):
        return {"type": "object", "additionalProperties": _type(arguments[1]) if arguments else {}}
    if issubclass(plain, Sequence | AbstractSet) and not issubclass(plain, str):
        return _or_reference({"type": "array", "items": _type(arguments[0]) if arguments else {}})
    if issubclass(plain, Enum):
        return _or_reference({"enum": [member.value for member in plain]})
    return next((_or_reference(each) for base, each in _SCALARS.items() if issubclass(plain, base)), {})


def _or_reference(found: Schema) -> Schema:
    kinds = found.get("type")
    return dict(found) if kinds == "string" or "string" in (kinds or ()) else {"anyOf": [found, _REFERENCE]}


def _summary(cls: type[Any]) -> str:
    return _plain((inspect.getdoc(cls) or "").partition("\n\n")[0])


def _described(cls: type[Any]) -> dict[str, str]:
    """Return what the docstrings of a class and its bases say of each attribute."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found |= {name: _plain(text) for name, text in _IVAR.findall(base.__doc__ or "")}
    return found


def _plain(text: str) -> str:
    text = re.sub(r":\w+:`~?([^`]*)`", r"\1", " ".join(text.split()))
    text = text.replace("``", "`")
    return text[:1].upper() + text[1:]
