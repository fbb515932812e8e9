"""The rule engine and the standard rules."""
