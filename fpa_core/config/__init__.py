"""The configuration: found, merged, checked as a whole, and typed.

Two steps, since the plugins to load are configured and bring the options to be checked::

    tree = load("fpa.toml", env="prod")      # merged values, each with its origin; tree.plugins and tree.logging are ready
    config = structure(tree, stores=..., caches=..., validators=..., sources=..., rules=...)

Every problem found on the way is told in one :class:`~fpa_core.exceptions.ConfigError`.
"""

from __future__ import annotations

from fpa_core.config.loading import load
from fpa_core.config.locating import FILE_NAME, find
from fpa_core.config.problems import Origin, Problem, did_you_mean, near
from fpa_core.config.secrets import Lexical, Secret, redact
from fpa_core.config.sections import (
    LEVELS,
    CacheSection,
    Config,
    Duration,
    LevelProfile,
    Lifetime,
    LogFormat,
    LoggingSection,
    LogLevel,
    PluginsSection,
    Section,
    ValidatorSection,
)
from fpa_core.config.showing import Setting, settings
from fpa_core.config.structure import structure
from fpa_core.config.tree import Tree

__all__ = [
    "FILE_NAME",
    "LEVELS",
    "CacheSection",
    "Config",
    "Duration",
    "LevelProfile",
    "Lexical",
    "Lifetime",
    "LogFormat",
    "LogLevel",
    "LoggingSection",
    "Origin",
    "PluginsSection",
    "Problem",
    "Secret",
    "Section",
    "Setting",
    "Tree",
    "ValidatorSection",
    "did_you_mean",
    "find",
    "load",
    "near",
    "redact",
    "settings",
    "structure",
    "template",
]


def template() -> str:
    """Return the text of a new ``fpa.toml``: what holds by default, every key explained."""
    from importlib.resources import files

    return files(__name__).joinpath("template.toml").read_text(encoding="utf-8")
