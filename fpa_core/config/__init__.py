"""Find, merge, check and type the configuration.

This takes two steps, because the configuration names the plugins to load, and these define the options to check::

    tree = load("fpa.toml", env="prod")      # merged values, each with its origin; tree.plugins and tree.logging are ready
    config = structure(tree, stores=..., caches=..., validators=..., sources=..., rules=...)

All problems are reported in one :class:`~fpa_core.exceptions.ConfigError`.
"""

from __future__ import annotations

from fpa_core.config.build import structure, structure_rules
from fpa_core.config.effective import Setting, settings
from fpa_core.config.finder import FILE_NAME, find
from fpa_core.config.loader import load
from fpa_core.config.problems import Origin, Problem, closest_match, did_you_mean, fail, one_of
from fpa_core.config.secrets import EnvString, Secret, redact
from fpa_core.config.sections import (
    LEVELS,
    AuditSection,
    BackupSection,
    BarRetention,
    CacheSection,
    Config,
    Duration,
    LevelProfile,
    Lifetime,
    LogFormat,
    LoggingSection,
    LogLevel,
    PluginsSection,
    RetentionSection,
    Section,
    TickRetention,
    ValidatorSection,
)
from fpa_core.config.tree import Tree

__all__ = [
    "FILE_NAME",
    "LEVELS",
    "AuditSection",
    "BackupSection",
    "BarRetention",
    "CacheSection",
    "Config",
    "Duration",
    "EnvString",
    "LevelProfile",
    "Lifetime",
    "LogFormat",
    "LogLevel",
    "LoggingSection",
    "Origin",
    "PluginsSection",
    "Problem",
    "RetentionSection",
    "Secret",
    "Section",
    "Setting",
    "TickRetention",
    "Tree",
    "ValidatorSection",
    "closest_match",
    "did_you_mean",
    "fail",
    "find",
    "load",
    "one_of",
    "redact",
    "settings",
    "structure",
    "structure_rules",
    "template",
]


def template() -> str:
    """Return the text of a new ``fpa.toml`` with the defaults and an explanation of every key."""
    from importlib.resources import files

    return files(__name__).joinpath("template.toml").read_text(encoding="utf-8")
