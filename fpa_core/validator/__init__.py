"""Rules for records, and the validator that applies them."""

from __future__ import annotations

from fpa_core.config import LEVELS, LevelProfile
from fpa_core.protocols import Failure, Finding, Severity, Tally
from fpa_core.validator.conditions import Override
from fpa_core.validator.configuring import base_level, configure
from fpa_core.validator.engine import DataValidator, ValidationRun
from fpa_core.validator.result import Refused, Split, ValidationResult
from fpa_core.validator.rule import (
    ERROR,
    FLAG,
    INFO,
    OPT_IN,
    STATISTICAL,
    WARN,
    Rule,
    Scope,
    every,
    rule_problems,
)
from fpa_core.validator.series import PairRule, SeriesRule

__all__ = [
    "ERROR",
    "FLAG",
    "INFO",
    "LEVELS",
    "OPT_IN",
    "STATISTICAL",
    "WARN",
    "DataValidator",
    "Failure",
    "Finding",
    "LevelProfile",
    "Override",
    "PairRule",
    "Refused",
    "Rule",
    "Scope",
    "SeriesRule",
    "Severity",
    "Split",
    "Tally",
    "ValidationResult",
    "ValidationRun",
    "base_level",
    "configure",
    "every",
    "rule_problems",
]
