"""The strategies of the conformance kits, under the name the tests import them by, and settings for laws that are slow to try."""

from hypothesis import settings

from fpa_core.testing.strategies import *  # noqa: F403


def costly(times: int) -> settings:
    """Return the settings of a law of which an example takes so many times as long as one of most laws: so many times fewer are tried."""
    return settings(max_examples=max(1, settings().max_examples // times))
