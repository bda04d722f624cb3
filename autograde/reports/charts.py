"""The pictures of reports: bars, boxes and counts, drawn small enough to be read on a phone, and readable without colour."""

import io
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae_helpers.plots import png_in_html

WIDTH, DPI = 5.2, 150  # inches, so that on a screen of 400 pixels the letters still have eleven; dots an inch
COLOURS = ("#bbccee", "#eeeebb", "#ccddaa", "#ffcccc", "#cceeff", "#dddddd")


def figure_of(height: float) -> tuple[Figure, Axes]:
    """A figure with one pair of axes. height: in inches."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def picture(figure: Figure, alt: str) -> Markup:
    """The figure as an <img> that needs no file. alt: the alternative text."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=DPI)
    return Markup(png_in_html(data.getvalue(), alt, f"width='{round(WIDTH * 100)}'"))


def bars(names: Sequence[str], values: Sequence[float], label: str, alt: str, most: float | None = None) -> Markup:
    """A bar for each name, the first on top, with its value beside it. label: of the values' axis, which ends at `most`."""
    figure, axes = figure_of(0.8 + 0.32 * len(names) + 0.16 * sum(name.count("\n") for name in names))
    drawn = axes.barh(range(len(names)), values, color="#4477aa", edgecolor="black")
    axes.bar_label(drawn, [f"{value:.0f}" for value in values], padding=3)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel=label, xlim=(0, 1.15 * (most or max(values, default=0) or 1)))
    axes.xaxis.get_major_locator().set_params(integer=True)
    return picture(figure, alt)


def columns(places: Sequence[int], values: Sequence[int], label: str, value_label: str, alt: str) -> Markup:
    """A column at each place of an axis of whole numbers."""
    figure, axes = figure_of(2.6)
    axes.bar(places, values, color="#4477aa", edgecolor="black")
    axes.set(xlabel=label, ylabel=value_label)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True)
    return picture(figure, alt)


def boxes(names: Sequence[str], values: Sequence[Sequence[float]], label: str, alt: str) -> Markup:
    """For each name the quartiles of its values, and how far they reach; values from 0 to 100."""
    figure, axes = figure_of(0.8 + 0.32 * len(names))
    for i, column in enumerate(values):
        if column:  # drawn by hand: how boxplot is told to lie down differs between Matplotlib's versions
            least, lower, middle, upper, most = np.percentile(column, (0, 25, 50, 75, 100))
            axes.hlines(i, least, most, color="black")
            axes.barh(i, upper - lower, left=lower, height=0.6, color="#bbccee", edgecolor="black")
            axes.vlines(middle, i - 0.3, i + 0.3, color="black", linewidth=2.5)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel=label, xlim=(-3, 103))
    return picture(figure, alt)


def stacks(names: Sequence[str], parts: Sequence[Sequence[tuple[str, int]]], label: str, alt: str) -> Markup:
    """For each name, one bar of named parts; a part's name stands in it where there is room."""
    figure, axes = figure_of(0.8 + 0.42 * len(names))
    total = max((sum(n for _, n in row) for row in parts), default=0) or 1
    for i, row in enumerate(parts):
        left = 0
        for k, (name, n) in enumerate(row):
            axes.barh(i, n, left=left, color=COLOURS[k % len(COLOURS)], edgecolor="black")
            if n > 0.01 * total * len(name) * 2.5:
                axes.text(left + n / 2, i, name, ha="center", va="center")
            left += n
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel=label, xlim=(0, total))
    axes.xaxis.get_major_locator().set_params(integer=True)
    return picture(figure, alt)


def grid(rows: Sequence[str], columns: Sequence[str], counts: Sequence[Sequence[int]], alt: str) -> Markup:
    """A number in each field of rows × columns, the darker the larger; nothing where it is 0."""
    figure, axes = figure_of(0.8 + 0.32 * len(rows))
    most = max((max(row) for row in counts), default=0) or 1
    axes.imshow(counts, cmap="Blues", vmin=0, vmax=1.6 * most, aspect="auto")
    for i, row in enumerate(counts):
        for k, n in enumerate(row):
            axes.text(k, i, n or "", ha="center", va="center")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel("lesson")
    return picture(figure, alt)
