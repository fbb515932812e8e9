"""The price of each of the fullest series as inline SVG: a band from the lowest to the highest price, with gaps and findings marked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from fpa_core.report.axes import duration, time_ticks, value_ticks
from fpa_core.report.charts import percent, time_axis
from fpa_core.report.figures import moment
from fpa_core.report.gaps import Gap
from fpa_core.report.markup import Html, name, tag
from fpa_core.report.prices import MOST_MARKS, Band, Mark, PriceLine

__all__ = ["price_chart"]

HEIGHT = 150
"""Height of the plot, in pixels."""

RUG = 8
"""Height of the marks below the plot."""

_WIDE = 1_000
"""Units of the horizontal axis, which is stretched to the width of the page."""


def price_chart(label: str, line: PriceLine, gaps: Sequence[Gap]) -> Html:
    """Return the chart of a series.

    :param gaps: the gaps of this series.
    """
    axis = _Axes(line)
    low, high = axis.low, axis.high
    said = (
        f"{label}: from {low:,.6g} to {high:,.6g}, "
        + (f"{len(gaps)} gaps, " if gaps else "")
        + ", ".join(f"{counts.total:,} rows with {severity}s" for severity, counts in line.broken.items())
    )
    plot = tag(
        "svg",
        tag("title", said.rstrip(", ")),
        *(_shaded(gap, axis) for gap in gaps),
        *(
            tag("line", x1="0", x2="100%", y1=f"{axis.y(value):.1f}", y2=f"{axis.y(value):.1f}", class_="grid")
            for value, _ in axis.ticks
        ),
        *(
            tag("line", x1=percent(tick.share), x2=percent(tick.share), y1="0", y2=HEIGHT, class_="grid")
            for tick in time_ticks(axis.first, axis.last)
        ),
        tag(
            "svg",
            tag("path", d=_path(line, gaps, axis), vector_effect="non-scaling-stroke"),
            viewBox=f"0 0 {_WIDE} {HEIGHT}",
            preserveAspectRatio="none",
            width="100%",
            height=HEIGHT,
            class_="price",
        ),
        *_rug(line, axis),
        *(_circle(mark, axis) for mark in line.marks if _all_marked(line) and mark.price == mark.price),
        class_="plot",
        height=HEIGHT + RUG + 4,
        role="img",
        aria_label=said.rstrip(", "),
    )  # fmt: skip
    scale = tag(
        "svg",
        *(
            tag("text", text, x="100%", y=f"{axis.y(value) + 4:.1f}", text_anchor="end", class_="tick")
            for value, text in axis.ticks
        ),
        class_="plot",
        height=HEIGHT,
        aria_hidden="true",
    )
    note = f"There are more than {MOST_MARKS} findings, so they are marked below the line only."
    span = f"{low:,.6g} to {high:,.6g}, in steps of {duration(line.width)}"
    return tag(
        "figure",
        tag("h3", tag("span", name(label)), tag("small", span)),
        tag("div", scale, plot, class_="row"),
        tag("div", tag("span"), time_axis(axis.first, axis.last), class_="row axis"),
        "" if _all_marked(line) else tag("figcaption", note),
        class_="chart prices",
    )


class _Axes:
    """The ranges of time and price of a chart."""

    def __init__(self, line: PriceLine) -> None:
        width = line.width
        self.first = min(line.bands) * width
        self.last = (max(line.bands) + 1) * width
        self.low = min(band.low for band in line.bands.values())
        self.high = max(band.high for band in line.bands.values())
        margin = (self.high - self.low) * 0.04 or abs(self.low) * 0.01 or 1.0
        self._bottom, self._top = self.low - margin, self.high + margin
        self.ticks = value_ticks(self._bottom, self._top)

    def x(self, ns: float) -> float:
        """Return the share of the time axis, from 0 to 1."""
        return min(max((ns - self.first) / (self.last - self.first), 0), 1)

    def y(self, price: float) -> float:
        """Return the distance of a price from the top, in pixels; prices off the scale lie on its edge."""
        share = (self._top - price) / (self._top - self._bottom)
        return HEIGHT * min(max(share, 0), 1)


def _all_marked(line: PriceLine) -> bool:
    return sum(counts.total for counts in line.broken.values()) <= MOST_MARKS


def _path(line: PriceLine, gaps: Sequence[Gap], axis: _Axes) -> str:
    """Return the outline of the band, in as many pieces as gaps leave."""
    breaks = {(gap.start_ns // line.width, gap.end_ns // line.width) for gap in gaps}
    pieces: list[list[tuple[int, Band]]] = [[]]
    for before, now in itertools.pairwise([None, *sorted(line.bands.items(), key=lambda each: each[0])]):
        assert now is not None
        if before is not None and (before[0], now[0]) in breaks and now[0] - before[0] > 1:
            pieces.append([])
        pieces[-1].append(now)
    return "".join(_outline(piece, line.width, axis) for piece in pieces)


def _outline(piece: Sequence[tuple[int, Band]], width: int, axis: _Axes) -> str:
    spots = [(axis.x((place + 0.5) * width) * _WIDE, band) for place, band in piece]
    if len(spots) == 1:  # a single step is drawn as wide as it is
        place, band = piece[0]
        spots = [(axis.x((place + edge) * width) * _WIDE, band) for edge in (0, 1)]
    there = [f"{x:.1f} {axis.y(band.high):.1f}" for x, band in spots]
    back = [f"{x:.1f} {axis.y(band.low):.1f}" for x, band in reversed(spots)]
    return f"M{'L'.join([*there, *back])}Z"


def _shaded(gap: Gap, axis: _Axes) -> Html:
    start, end = axis.x(gap.start_ns), axis.x(gap.end_ns)
    said = f"no rows from {moment(gap.start_ns)} to {moment(gap.end_ns)}"
    wide = max(end - start, 0.004)  # keep a short gap visible
    return tag("rect", tag("title", said), x=percent(start), width=percent(wide), y="0", height=HEIGHT, class_="gap")


def _rug(line: PriceLine, axis: _Axes) -> Iterator[Html]:
    """Yield a mark below the line for each step with findings; errors lie over warnings."""
    for severity, counts in sorted(line.broken.items(), reverse=True):
        for place, count in sorted(counts.counts.items()):
            start = axis.x(place * counts.width)
            wide = max(axis.x((place + 1) * counts.width) - start, 0.003)
            said = f"{count:,} rows with {severity}s from {moment(place * counts.width)}"
            spot = {"x": percent(start), "width": percent(wide), "y": f"{HEIGHT + 3}", "height": f"{RUG}"}
            yield tag("rect", tag("title", said), class_=severity, **spot)


def _circle(mark: Mark, axis: _Axes) -> Html:
    said = f"{mark.rule} at {moment(mark.ns)}: {mark.price:,.10g}"
    place = {"cx": percent(axis.x(mark.ns)), "cy": f"{axis.y(mark.price):.1f}"}
    return tag("circle", tag("title", said), r="4", class_=mark.severity, **place)
