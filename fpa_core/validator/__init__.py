"""Rules for records, and the validator that judges by them."""

from __future__ import annotations

from fpa_core.protocols import Finding, Severity, Tally
from fpa_core.validator.engine import DataValidator, Examination
from fpa_core.validator.result import Refused, Split, ValidationResult
from fpa_core.validator.rule import (
    INFORMS,
    LEVELS,
    REFUSES,
    WARNS,
    Rule,
    Scope,
    configure,
    every,
    rule_problems,
)

__all__ = [
    "INFORMS",
    "LEVELS",
    "REFUSES",
    "WARNS",
    "DataValidator",
    "Examination",
    "Finding",
    "Refused",
    "Rule",
    "Scope",
    "Severity",
    "Split",
    "Tally",
    "ValidationResult",
    "configure",
    "every",
    "rule_problems",
]
