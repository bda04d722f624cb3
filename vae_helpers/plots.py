"""Figures. Every function returns its figure; `show` puts one on the page with a caption and a text for those who can't see it."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .train import History


def show(figure: Figure, caption: str, alt: str) -> None:
    """Put a figure on the page, under it the caption, and in it the alternative text for screen readers.

    caption: what the figure shows and what to look for. alt: what a reader who can't see it needs to know.
    Raises ValueError where one of them is empty.
    """
    from IPython.display import display

    _check_words(caption, alt)
    markup = _figure_in_html(_png(figure), caption, alt)
    display({"text/html": markup, "text/plain": f"{caption}\n[Picture: {alt}]"}, raw=True)


def _check_words(caption: str, alt: str) -> None:
    for what, text in (("caption", caption), ("alternative text", alt)):
        if not text.strip():
            raise ValueError(f"the figure's {what} is empty: say in words what it shows")


def _png(figure: Figure) -> bytes:
    """The figure as a PNG file, without its margins; it is closed."""
    from matplotlib import pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    return buffer.getvalue()


def _figure_in_html(png: bytes, caption: str, alt: str, name: str = "") -> str:
    """name: the id of the <figure>."""
    picture = png_in_html(png, alt, "style='max-width:100%'")
    named = f" id='{name}'" if name else ""
    return (
        f"<figure{named} style='margin:0'>{picture}"
        f"<figcaption style='max-width:46em'><i>{html.escape(caption)}</i></figcaption></figure>"
    )


def png_in_html(png: bytes, alt: str, attributes: str = "") -> str:
    """The bytes of a PNG file as an <img> that needs no file beside the page. attributes: more of HTML's, as "width='224'"."""
    data = base64.b64encode(png).decode()
    return f"<img alt='{html.escape(alt, quote=True)}' src='data:image/png;base64,{data}' {attributes}>"


def __getattr__(name: str):
    # Who imports it will draw. matplotlib is loaded then, beside PyTorch, and no first figure waits for it.
    if name == "new_figure":
        from .figures import new_figure

        return new_figure
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _as_images(images: Tensor, what: str = "images") -> Tensor:
    """Images (N, 1, H, W) in [0, 1], checked; raises ValueError in words for anything else."""
    images = torch.as_tensor(images).detach().float()
    if images.ndim != 4 or images.shape[1] != 1 or len(images) == 0:
        raise ValueError(f"{what} have shape {tuple(images.shape)}; expected (N, 1, H, W) with at least one image")
    low, high = images.min().item(), images.max().item()
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise ValueError(f"{what} reach from {low:.3g} to {high:.3g}; expected [0, 1]: a sigmoid makes images of logits")
    return images


def _tile(images: Tensor, columns: int) -> np.ndarray:
    """(N, 1, H, W) -> one image (rows·(H+1), columns·(W+1)), in reading order, with a one-pixel gap."""
    n, _, height, width = images.shape
    rows = -(-n // columns)
    canvas = torch.zeros(rows, columns, height + 1, width + 1)
    canvas.view(rows * columns, height + 1, width + 1)[:n, :height, :width] = images[:, 0]
    return canvas.permute(0, 2, 1, 3).reshape(rows * (height + 1), columns * (width + 1))[:-1, :-1].numpy()


def plot_images(images: Tensor, columns: int = 10, title: str | None = None, size: float = 0.6) -> Figure:
    """A grid of images (N, 1, H, W) in [0, 1], in reading order; `size` inches each. Raises ValueError for anything else."""
    images = _as_images(images)
    from .figures import new_figure

    columns = max(1, min(columns, len(images)))
    rows = -(-len(images) // columns)
    figure, axes = new_figure(1, 1, size * columns, size * rows + (0.3 if title else 0))
    axes.imshow(_tile(images, columns), cmap="gray_r", vmin=0, vmax=1)
    axes.axis("off")
    if title:
        axes.set_title(title, fontsize=10)
    return figure


def plot_rows(rows: dict[str, Tensor], columns: int = 10) -> Figure:
    """Named rows of images, one below the other: each (N, 1, H, W) in [0, 1], of which the first `columns` are drawn.

    Raises ValueError where a row has another shape than the first.
    """
    rows = {name: _as_images(images, f"the images of {name!r}") for name, images in rows.items()}
    first = next(iter(rows.values())).shape
    for name, images in rows.items():
        if images.shape != first:
            raise ValueError(f"{name!r} has shape {tuple(images.shape)}; expected that of the first row, {tuple(first)}")
    from .figures import new_figure

    columns = max(1, min(columns, first[0]))
    figure, axes = new_figure(len(rows), 1, 0.6 * columns, 0.72, squeeze=False)
    for axis, (name, images) in zip(axes[:, 0], rows.items(), strict=True):
        axis.imshow(_tile(images[:columns], columns), cmap="gray_r", vmin=0, vmax=1)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        axis.spines[:].set_visible(False)
    return figure


def plot_reconstructions(x: Tensor, reconstructions: dict[str, Tensor], columns: int = 10) -> Figure:
    """Originals (N, 1, H, W) in the first row, and under each, row by named row, its reconstructions.

    Raises ValueError where a row has another shape than the originals.
    """
    return plot_rows({"original": x, **reconstructions}, columns)


STYLES = ("-", "--", ":", "-.")


def plot_history(
    histories: History | dict[str, History], terms: tuple[str, ...] = ("loss", "reconstruction", "kl")
) -> Figure:
    """Loss terms (nats per image) against images seen, a panel a term; several runs, by name, differ in line style.

    Where a history holds test values they are drawn as markers; where it was interrupted, the legend says so. Raises ValueError where no run holds any of the terms.
    """
    runs = histories if isinstance(histories, dict) else {"": histories}
    held = {term: None for run in runs.values() for term in run.terms}  # a set that keeps its order
    drawn = [term for term in terms if term in held]
    if not drawn:
        raise ValueError(f"no run holds {', '.join(terms)}; there is: {', '.join(held) or 'nothing'}")
    from .figures import new_figure

    figure, axes = new_figure(1, len(drawn), 3.6, 2.8, squeeze=False)
    for axis, term in zip(axes[0], drawn, strict=True):
        for i, (name, run) in enumerate(runs.items()):
            if term in run.terms:
                label = (name or "train") + ", stopped by hand" * run.interrupted  # whatever the caption says of it
                axis.plot(run.seen, run.terms[term], STYLES[i % 4], color=f"C{i}", label=label)
            if term in run.test:
                axis.plot(run.test_seen, run.test[term], "osD^"[i % 4], color=f"C{i}", label=f"{name} test".strip())
        axis.set_title(term)
        axis.set_xlabel("images seen")
        axis.set_ylabel("nats per image")
        axis.legend(fontsize=8)
    return figure


def plot_latents(mu: Tensor, y: Tensor, title: str | None = None) -> Figure:
    """Codes mu (N, 2) as a scatter, each drawn as its label's digit, with a large digit where the class is purest.

    Reads without colour. Raises ValueError for other shapes.
    """
    mu, y = torch.as_tensor(mu).detach(), torch.as_tensor(y).long()
    if mu.ndim != 2 or mu.shape[1] != 2:
        raise ValueError(f"mu has shape {tuple(mu.shape)}; expected (N, 2): only two dimensions can be drawn")
    if y.shape != mu.shape[:1]:
        raise ValueError(f"y has shape {tuple(y.shape)}; expected one label for each of the {len(mu)} codes")
    from matplotlib import patheffects

    from .figures import new_figure

    figure, axes = new_figure(1, 1, 6.0, 5.6)
    for label in y.unique().tolist():
        points, colour = mu[y == label].numpy(), f"C{label % 10}"
        axes.scatter(points[:, 0], points[:, 1], s=20, marker=f"${label}$", linewidths=0.2, color=colour, alpha=0.7)
        text = axes.text(
            *_heart(mu, y, label).tolist(), str(label), size=20, weight="bold", color=colour, ha="center", va="center"
        )
        text.set_path_effects([patheffects.withStroke(linewidth=4, foreground="white")])
    axes.set_xlabel("$z_1$")
    axes.set_ylabel("$z_2$")
    axes.set_title(title or "")
    axes.set_aspect("equal")
    return figure


def _heart(mu: Tensor, y: Tensor, label: int, neighbours: int = 40) -> Tensor:
    """Where to write a class's name: the middle of its points that have the fewest other classes around them."""
    points = mu[y == label][:500]
    mu, y = mu[:3000], y[:3000]  # enough to tell, and quick
    nearest = torch.cdist(points, mu).topk(min(neighbours, len(mu)), largest=False).indices
    own = (y[nearest] == label).float().mean(1)
    return points[own >= own.max() - 0.05].median(0).values
