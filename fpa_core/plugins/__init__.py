"""Find, load and check plugins, and collect what they register.

If a plugin fails, only its own registrations are lost, and the report says why. This is fatal only if the configuration needs something
that the plugin may have provided.
"""

from __future__ import annotations

from fpa_core.plugins.discovery import Candidate
from fpa_core.plugins.manager import Plugin, PluginManager
from fpa_core.plugins.registry import Registration, Registry

__all__ = ["Candidate", "Plugin", "PluginManager", "Registration", "Registry"]
