"""Find plugins of installed distributions in a fixed order, and check required distributions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen

from fpa_core.exceptions import PluginError
from fpa_core.hookspecs import GROUP

__all__ = ["Candidate", "discover", "normalised", "unmet"]


@frozen
class Candidate:
    """A plugin before it is loaded; *distribution* and *version* are None for one passed by the program."""

    name: str
    load: Callable[[], object]
    distribution: str | None = None
    version: str | None = None


def discover(entry_points: Iterable[Any] | None) -> list[Candidate]:
    """Return the plugins of the entry-point group, by distribution and name.

    :param entry_points: entry points to use instead of the installed ones; None for these.
    """
    if entry_points is None:
        from importlib import metadata

        entry_points = metadata.entry_points(group=GROUP)
    known: dict[
        int, tuple[str | None, str | None]
    ] = {}  # the points of a distribution share it; each look parses its metadata
    points = list(entry_points)
    for point in points:
        if (key := id(getattr(point, "dist", None))) not in known:
            known[key] = _distribution(point)
    found = [Candidate(point.name, point.load, *known[id(getattr(point, "dist", None))]) for point in points]
    # The order of installation differs between machines; sorting makes it the same.
    return sorted(found, key=lambda candidate: (normalised(candidate.distribution or ""), candidate.name))


def _distribution(point: Any) -> tuple[str | None, str | None]:
    distribution = getattr(point, "dist", None)
    try:
        return (None, None) if distribution is None else (distribution.name, distribution.version)
    except Exception:  # noqa: BLE001 - damaged metadata raises many exceptions, and does not affect the plugin
        return None, None


def normalised(distribution: str) -> str:
    """Return the normalised name of a distribution: ``Acme_Rules`` and ``acme-rules`` are equal."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def unmet(required: Iterable[str], working: Mapping[str, str | None], explain: Callable[[str], str]) -> Iterator[str]:
    """Yield a message for each requirement that is not met.

    :param required: requirements such as ``acme-rules>=1.2``.
    :param working: versions of the distributions whose plugins work, by normalised name.
    :param explain: returns why the distribution of a normalised name is not among them.
    :raises PluginError: if a requirement is invalid.
    """
    for text in required:
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.version import InvalidVersion, Version

        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise PluginError(
                f"plugins.required: {text!r} is not a requirement: {str(error).splitlines()[0]}",
                hint='write it like "acme-rules>=1.2"',
            ) from None
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        name = normalised(requirement.name)
        if name not in working:
            yield f"{text} is required, but {explain(name)}"
            continue
        version = working[name]
        try:
            met = requirement.specifier.contains(Version(version or ""), prereleases=True)
        except InvalidVersion:
            met = not requirement.specifier
        if not met:
            yield f"{text} is required, but {requirement.name} {version or 'of unknown version'} is installed"
