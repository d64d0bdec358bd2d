"""Plots as SVG that stands in a page: no file, no script, no network, in the page's own colours by day and by night."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.drift.quantile import edge_slack
from airflow_mlops.errors import require
from airflow_mlops.profile import Levels, Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["distribution_plot", "history_plot"]

# Drawn in these, shown in what the page calls them: so a plot follows the page into the dark.
_REFERENCE, _CURRENT, _LINE, _BAD = "#5c6472", "#3b6fd4", "#dfe2e8", "#c22f2f"
_VARIABLES = {_REFERENCE: "var(--soft)", _CURRENT: "var(--mark)", _LINE: "var(--line)", _BAD: "var(--bad)"}
_STYLE = {
    "svg.fonttype": "none",  # text stays text: small, and in the page's font
    "svg.hashsalt": "airflow-mlops",  # the same plot is the same bytes
    "font.size": 8,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _REFERENCE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _REFERENCE,
    "text.parse_math": False,  # a level such as "$5" is no formula
    "xtick.color": _REFERENCE,
    "ytick.color": _REFERENCE,
    "axes.formatter.useoffset": False,
    "legend.frameon": False,
}
_WIDTH, _HEIGHT = 4.6, 1.9
_MOST_LEVELS = 12
_MOST_LABELS = 8
_LEFT_OUT = "(others)"


def distribution_plot(reference: Numbers | Levels, current: Numbers | Levels) -> str:
    """How a column lay in the reference, and how it lies now, as an SVG element.

    Numbers are shares of rows per unit (an area is a share); a column of few values, and levels, are shares of rows.
    """
    if isinstance(reference, Numbers) and isinstance(current, Numbers):
        values = _few_values(reference, current)
        if values is None:
            return _drawn(lambda axes: _histogram(axes, reference, current))
        bars = _values(reference, current, values)
    else:
        bars = _levels(reference, current)
    return _drawn(lambda axes: _bars(axes, *bars))


def history_plot(
    windows: Sequence[str],
    values: Sequence[float],
    *,
    what: str,
    limits: Sequence[tuple[float, float] | None] = (),
    reference: float | None = None,
) -> str:
    """One figure of a column, window by window, with the current one last, as an SVG element.

    Parameters
    ----------
    windows : sequence of str
        Names of the windows, oldest first.
    values : sequence of float
        The figure in each; NaN leaves a gap.
    what : str
        What the figure is.
    limits : sequence of (low, high) or None
        Between which the figure was expected, where that is known.
    reference : float, optional
        The figure of the reference.
    """

    def draw(axes: Axes) -> None:
        places = np.arange(len(values))
        held = [(place, *pair) for place, pair in zip(places, limits, strict=False) if pair is not None]
        if held:
            at, low, high = zip(*held, strict=True)
            axes.fill_between(at, low, high, color=_CURRENT, alpha=0.15, linewidth=0, label="expected")
        if reference is not None and np.isfinite(reference):
            axes.axhline(reference, color=_REFERENCE, linewidth=0.8, linestyle=(0, (4, 3)), label="reference")
        axes.plot(places, values, color=_CURRENT, linewidth=1, marker="o", markersize=2.5)
        axes.plot(places[-1:], values[-1:], color=_BAD, marker="o", markersize=5, linestyle="none", label="current")
        step = max(1, -(-len(windows) // _MOST_LABELS))
        # Counted from the end, so that the current window has its name.
        shown = places[::-1][::step]
        axes.set_xticks(shown, [windows[place] for place in shown])
        axes.tick_params(axis="x", labelrotation=25, length=2)
        axes.set_ylabel(what)
        axes.set_ylim(*_tall_enough(values, reference))
        axes.legend(loc="best", fontsize=7)

    return _drawn(draw)


def _tall_enough(values: Sequence[float], reference: float | None) -> tuple[float | None, float | None]:
    """What happened, with as much room around it again: wider limits than that would make a line of it."""
    ends = np.array([*values, *([] if reference is None else [reference])])
    ends = ends[np.isfinite(ends)]
    if not ends.size or ends.min() == ends.max():
        return None, None
    room = (ends.max() - ends.min()) / 2
    return float(ends.min() - room), float(ends.max() + room)


def _histogram(axes: Axes, reference: Numbers, current: Numbers) -> None:
    for column, colour, name in ((reference, _REFERENCE, "reference"), (current, _CURRENT, "current")):
        edges, density = _density(column)
        axes.stairs(density, edges, color=colour, alpha=0.25, fill=True, linewidth=0)
        axes.stairs(density, edges, color=colour, linewidth=1, label=name)
    axes.set_xlim(*_in_view(reference, current))
    axes.set_yticks([])
    axes.legend(loc="upper right", fontsize=7)


def _density(column: Numbers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Borders of the bins, the open ones as far as there are values, and the share of rows per unit in each."""
    low = min(column.edges[0], column.edges[0] if column.low is None else column.low)
    high = max(column.edges[-1], column.edges[-1] if column.high is None else column.high)
    borders = np.array([low, *column.edges, high])
    widths, counts = np.diff(borders), np.array(column.counts, dtype=np.float64)
    # What lies on the last edge alone has no width: it belongs to the bin before it.
    if len(counts) > 1 and not widths[-1]:
        counts[-2], counts[-1] = counts[-2] + counts[-1], 0
    density: NDArray[np.float64] = np.divide(
        counts, widths * max(column.present, 1), out=np.zeros(counts.size), where=widths > 0
    )
    return borders, density


def _in_view(reference: Numbers, current: Numbers) -> tuple[float, float]:
    """The middle of both: a single wild value would squeeze all others into a line."""
    body = reference.edges[1:-1] or reference.edges
    ends = [body[0], body[-1]]
    if current.present:
        ends += [current.mean - 2 * current.sd, current.mean + 2 * current.sd]
    margin = 0.15 * (max(ends) - min(ends)) or 1.0
    lows = [column.low for column in (reference, current) if column.low is not None]
    highs = [column.high for column in (reference, current) if column.high is not None]
    return max(min(ends) - margin, min(lows) - margin / 4), min(max(ends) + margin, max(highs) + margin / 4)


def _few_values(reference: Numbers, current: Numbers) -> NDArray[np.float64] | None:
    """The values of a column of few, one a bin; None of any other column.

    In such a column both sides have the same mean in every bin, next to its left edge.
    """
    found = np.full(len(reference.counts), np.nan)
    for column in (reference, current):
        counts, sums = np.array(column.counts, dtype=np.float64), np.array(column.sums)
        means = np.divide(sums, counts, out=np.full(counts.size, np.nan), where=counts > 0)
        found = np.where(np.isnan(found), means, found)
        if counts[0] or not np.allclose(found[counts > 0], means[counts > 0], rtol=1e-9, atol=1e-12):
            return None
    away = found[1:] - np.array(reference.edges)
    if (away[np.isfinite(away)] > edge_slack(reference.edges)).any():
        return None
    return np.where(np.isnan(found), [np.nan, *reference.edges], found)[1:]


Bars = tuple[list[str], list[float], list[float]]


def _values(reference: Numbers, current: Numbers, values: NDArray[np.float64]) -> Bars:
    names = [f"{value:.6g}" for value in values]
    before, after = ([count / max(side.present, 1) for count in side.counts[1:]] for side in (reference, current))
    return names, before, after


def _levels(reference: Numbers | Levels, current: Numbers | Levels) -> Bars:
    sides = [side for side in (reference, current) if isinstance(side, Levels)]
    shares = [
        {name: count / max(side.present, 1) for name, count in {**side.novel, **side.counts}.items()} for side in sides
    ]
    before, after = shares
    names = sorted({**before, **after}, key=lambda name: -max(before.get(name, 0), after.get(name, 0)))
    shown = names[:_MOST_LEVELS]
    bars = [[side.get(name, 0.0) for name in shown] for side in shares]
    rest = [max(0.0, 1.0 - sum(side)) for side in bars]
    if len(names) > len(shown) or max(rest) > 0.001:  # noqa: PLR2004 - a tenth of a per cent is rounding
        shown, bars = [*shown, _LEFT_OUT], [[*side, more] for side, more in zip(bars, rest, strict=True)]
    return shown, bars[0], bars[1]


def _bars(axes: Axes, names: list[str], before: list[float], after: list[float]) -> None:
    places = np.arange(len(names))
    axes.bar(places - 0.2, 100 * np.array(before), 0.4, color=_REFERENCE, alpha=0.6, label="reference")
    axes.bar(places + 0.2, 100 * np.array(after), 0.4, color=_CURRENT, alpha=0.8, label="current")
    step = max(1, -(-len(names) // (2 * _MOST_LEVELS)))
    axes.set_xticks(places[::step], [name[:14] for name in names[::step]])
    if max(map(len, names)) * len(names) > 40:  # noqa: PLR2004 - letters that fit side by side
        axes.tick_params(axis="x", labelrotation=25)
    axes.set_ylabel("% of rows")
    axes.legend(loc="upper right", fontsize=7)


def _drawn(draw: Any) -> str:
    matplotlib = require("matplotlib", extra="report")
    backend = require("matplotlib.backends.backend_svg", extra="report")
    figures = require("matplotlib.figure", extra="report")
    text = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        # Not pyplot: it holds on to figures, and belongs to one thread.
        figure: Figure = figures.Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        backend.FigureCanvasSVG(figure)
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        draw(axes)
        # Without these the SVG would name a date, and vocabularies on the web.
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    # Inside HTML the parser knows the name spaces.
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    # A style of "*" would be that of the whole page.
    svg = re.sub(r"<style.*?</style>\s*", "", svg, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg.replace("<svg ", '<svg class="plot" ', 1)
