"""Write HTML and SVG. All text that is not :class:`Html` is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TypeAlias

__all__ = ["Content", "Html", "join", "name", "tag"]


class Html(str):
    """Text that is already markup."""

    __slots__ = ()


Content: TypeAlias = "Html | str | int | None"

_VOID = frozenset({"meta", "rect", "line", "path", "circle"})


def _escaped(content: Content) -> str:
    if content is None:
        return ""
    return content if isinstance(content, Html) else html.escape(str(content))


def join(parts: Iterable[Content], between: str = "") -> Html:
    """Return contents concatenated."""
    return Html(html.escape(between).join(map(_escaped, parts)))


def tag(element: str, *contents: Content, **attributes: Content) -> Html:
    """Return an element. In the names of attributes, underscores become hyphens, and one at the end is dropped; attributes that are None are omitted."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if element in _VOID and not contents:
        return Html(f"<{element}{written}>" if element == "meta" else f"<{element}{written}/>")
    return Html(f"<{element}{written}>{join(contents)}</{element}>")


def name(text: Content) -> Html:
    """Return text from the data, isolated so that it cannot change the direction of the text around it."""
    return tag("bdi", text)
