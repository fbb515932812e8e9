"""The strategies of the conformance kits, under the name the tests import them by."""

from fpa_core.testing.strategies import *  # noqa: F403
