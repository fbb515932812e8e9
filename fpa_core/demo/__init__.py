"""Made-up data from seeded generators: a trading day with the errors of real feeds, and a year of two accounts."""

from fpa_core.demo.day import make_day, run

__all__ = ["make_day", "run"]
