"""Rules for records, and the validator that judges by them."""

from __future__ import annotations

from fpa_core.protocols import Failure, Finding, Severity, Tally
from fpa_core.validator.conditions import Override
from fpa_core.validator.configuring import Preset, base_level, configure
from fpa_core.validator.engine import DataValidator, Examination
from fpa_core.validator.result import Refused, Split, ValidationResult
from fpa_core.validator.rule import (
    ASKED,
    FLAGS,
    INFORMS,
    LEVELS,
    REFUSES,
    SUSPECTS,
    WARNS,
    Rule,
    Scope,
    every,
    rule_problems,
)
from fpa_core.validator.series import PairRule, SeriesRule

__all__ = [
    "ASKED",
    "FLAGS",
    "INFORMS",
    "LEVELS",
    "REFUSES",
    "SUSPECTS",
    "WARNS",
    "DataValidator",
    "Examination",
    "Failure",
    "Finding",
    "Override",
    "PairRule",
    "Preset",
    "Refused",
    "Rule",
    "Scope",
    "SeriesRule",
    "Severity",
    "Split",
    "Tally",
    "ValidationResult",
    "base_level",
    "configure",
    "every",
    "rule_problems",
]
