"""A plugin of pytest for the suites that pages of the documentation run: these show that a kit passes, which it does with few examples as well."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("few", max_examples=10, deadline=None, database=None)
settings.load_profile("few")
