"""Validate several files as one data set: each record on its own, in the series of all files, and against records of other kinds."""

from fpa_core.together.examination import examine_together

__all__ = ["examine_together"]
