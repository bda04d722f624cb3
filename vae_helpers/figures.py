"""The figure that all others begin with; whoever imports it loads matplotlib."""

from matplotlib import pyplot as plt


def new_figure(rows: int = 1, columns: int = 1, width: float = 4.0, height: float = 3.0, **kwargs):
    """A figure and its axes, as `matplotlib.pyplot.subplots`; width and height in inches, of each panel."""
    return plt.subplots(rows, columns, figsize=(width * columns, height * rows), layout="constrained", **kwargs)
