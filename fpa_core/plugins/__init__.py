"""The plugins: found, loaded one by one, checked, and asked once what they offer.

A plugin that fails takes nothing with it but its own offers, and the report says why; it is fatal only where the configuration asks for
something that it might have provided.
"""

from __future__ import annotations

from fpa_core.plugins.discovery import Candidate
from fpa_core.plugins.manager import Plugin, PluginManager
from fpa_core.plugins.registry import Registration, Registry

__all__ = ["Candidate", "Plugin", "PluginManager", "Registration", "Registry"]
