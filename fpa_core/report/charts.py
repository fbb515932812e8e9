"""Charts as inline SVG. Their widths are percentages of the page width, so that they fit phones and paper without a script."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from fpa_core.report.axes import duration, round_up, step_text, time_ticks
from fpa_core.report.figures import moment, share
from fpa_core.report.histograms import Histogram
from fpa_core.report.markup import Html, join, name, tag
from fpa_core.report.timing import TimeCounts

__all__ = ["coverage", "findings_over_time", "histogram_chart", "percent", "time_axis"]

HEIGHT = 56
"""Height of the bars of one rule, in pixels."""

STRIP = 14
"""Height of one series in the timeline."""


def findings_over_time(all_rows: TimeCounts, rules: Sequence[tuple[str, str, TimeCounts]]) -> Html:
    """Return a bar chart of all rows, and one of each rule, on the same time axis.

    :param rules: the id, the severity and the times of the failures of each rule; all have bins of the same width.
    """
    width = all_rows.width
    first, last = min(all_rows.counts) * width, (max(all_rows.counts) + 1) * width
    rows = [_bars("all rows", "rows", all_rows, first, last)]
    rows += [_bars(rule, severity, counts, first, last) for rule, severity, counts in rules]
    caption = f"Each bar is {duration(width)}. Times are UTC; each chart has its own scale."
    return tag(
        "figure",
        *rows,
        tag("div", tag("span", class_="gutter"), time_axis(first, last), class_="row axis"),
        tag("figcaption", caption),
        class_="chart",
    )


def _bars(label: str, severity: str, counts: TimeCounts, first: int, last: int) -> Html:
    top = round_up(max(counts.counts.values()))
    span = last - first
    bars = []
    for place, count in sorted(counts.counts.items()):
        height = max(count / top * HEIGHT, 1)  # keep one finding among thousands visible
        bars.append(
            tag(
                "rect",
                tag("title", f"{moment(place * counts.width)}: {count:,}"),
                x=percent((place * counts.width - first) / span),
                width=percent(counts.width / span),
                y=f"{HEIGHT - height:.2f}",
                height=f"{height:.2f}",
            )
        )
    said = f"{label}: {counts.total:,} over time, at most {max(counts.counts.values()):,} in {duration(counts.width)}"
    plot = tag(
        "svg",
        tag("title", said),
        _grid(first, last, HEIGHT),
        tag("line", x1="0", x2="100%", y1="0.5", y2="0.5", class_="grid"),
        *bars,
        tag("line", x1="0", x2="100%", y1=f"{HEIGHT - 0.5}", y2=f"{HEIGHT - 0.5}", class_="base"),
        class_=f"plot {severity}",
        height=HEIGHT,
        role="img",
        aria_label=said,
    )
    heading = tag("h3", tag("span", label), " ", tag("small", f"{counts.total:,}"))
    scale = tag("span", tag("span", f"{top:,}"), tag("span", "0"), class_="gutter scale", aria_hidden="true")
    return join([heading, tag("div", scale, plot, class_="row")])


def coverage(series: Sequence[tuple[str, TimeCounts]]) -> Html:
    """Return a strip for each series: darker for more rows, blank for none."""
    width = series[0][1].width
    first = min(min(counts.counts) for _, counts in series) * width
    last = (max(max(counts.counts) for _, counts in series) + 1) * width
    rows = []
    for label, counts in series:
        said = f"{label}: {counts.total:,} rows"
        strip = tag(
            "svg",
            tag("title", said),
            *_runs(counts, first, last),
            class_="plot strip",
            height=STRIP,
            role="img",
            aria_label=said,
        )
        rows.append(tag("div", tag("span", name(label), class_="series"), strip, class_="row"))
    axis = tag("div", tag("span", class_="series"), time_axis(first, last), class_="row axis")
    caption = f"The darker a strip, the more rows; it is blank when there are none. One step is {duration(width)}; times are UTC."
    return tag("figure", *rows, axis, tag("figcaption", caption), class_="chart timeline")


def _runs(counts: TimeCounts, first: int, last: int) -> list[Html]:
    """Return a rectangle for each run of bins of one shade."""
    ordered = sorted(counts.counts.values())
    usual = ordered[int(0.95 * (len(ordered) - 1))]  # one very full bin does not make all others pale
    shades = [
        (place, 1 + (3 * count > usual) + (3 * count > 2 * usual)) for place, count in sorted(counts.counts.items())
    ]
    drawn = []
    for _, group in itertools.groupby(enumerate(shades), lambda each: (each[1][0] - each[0], each[1][1])):
        run = [shade for _, shade in group]
        start, end = run[0][0] * counts.width, (run[-1][0] + 1) * counts.width
        drawn.append(
            tag(
                "rect",
                x=percent((start - first) / (last - first)),
                width=percent((end - start) / (last - first)),
                y="0",
                height=STRIP,
                class_=f"shade{run[0][1]}",
            )
        )
    return drawn


def histogram_chart(label: str, found: Histogram) -> Html:
    """Return the histogram of a column, with the range of its bins below it."""
    top, total = max(found.counts), sum(found.counts)
    wide = 1 / len(found.counts)
    edges = [step_text(found.start + number * found.width, found.width) for number in range(len(found.counts) + 1)]
    last = len(found.counts) - 1
    bars = []
    for number, count in enumerate(found.counts):
        if not count:
            continue
        outer = (number == 0 and found.below) or (number == last and found.above)
        height = max(count / top * HEIGHT, 1)
        said = f"{edges[number]} to {edges[number + 1]}{' and beyond' if outer else ''}: {share(count, total)}"
        bars.append(
            tag(
                "rect",
                tag("title", said),
                x=percent(number * wide),
                width=percent(0.92 * wide),
                y=f"{HEIGHT - height:.2f}",
                height=f"{height:.2f}",
                class_="outer" if outer else None,
            )
        )
    ends = (f"{'≤ ' if found.below else ''}{edges[0]}", f"{'≥ ' if found.above else ''}{edges[-1]}")
    said = f"{label}: distribution from {ends[0]} to {ends[1]}"
    base = tag("line", x1="0", x2="100%", y1=f"{HEIGHT - 0.5}", y2=f"{HEIGHT - 0.5}", class_="base")
    plot = tag("svg", tag("title", said), *bars, base, class_="plot", height=HEIGHT, role="img", aria_label=said)
    ranged = tag("div", *(tag("span", end) for end in ends), class_="range", aria_hidden="true")
    return tag("figure", tag("h3", tag("code", label)), plot, ranged, class_="histogram")


def _grid(first: int, last: int, height: int) -> Html:
    return join(
        tag("line", x1=percent(tick.share), x2=percent(tick.share), y1="0", y2=height, class_="grid")
        for tick in time_ticks(first, last)
    )


def time_axis(first: int, last: int) -> Html:
    """Return the labels of the axis. Every other one is hidden if there is too little room."""
    labels = []
    free = -1.0
    for number, tick in enumerate(time_ticks(first, last)):
        anchor = "start" if tick.share < 0.1 else "end" if tick.share > 0.9 else "middle"
        place = {"x": percent(tick.share), "text_anchor": anchor}
        texts = [tag("text", tick.label, y="13", class_="minor" if number % 2 else None, **place)]
        if tick.below:
            tight = tick.share < free
            texts.append(tag("text", tick.below, y="28", class_="below minor" if tight else "below", **place))
            free = free if tight else tick.share + 0.34  # a date takes a third of a phone
        mark = tag("line", x1=place["x"], x2=place["x"], y1="0", y2="3", class_="base")
        labels.append(tag("g", mark, *texts))
    return tag("svg", *labels, class_="plot labels", height="32", aria_hidden="true")


def percent(share: float) -> str:
    """Return a share of the width of a chart."""
    return f"{100 * share:.3f}%"
