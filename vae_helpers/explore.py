"""Things to play with. Each shows a static figure first, so that the page also reads where no kernel runs."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from .plots import _as_images, _show, _tile, new_figure, png_in_html, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def explore(
    draw: Callable[..., Figure], static: Figure, caption: str, alt: str, start: dict[str, Any] | None = None, **controls: Any
) -> None:
    """A figure that follows sliders and menus, after a static figure that shows the same at chosen values.

    draw: called with one value for each control; returns a figure.
    static: the figure for readers without a kernel, with its caption and alternative text.
    start: the controls' first values by name, where they are not to be the middle of the range or the first choice.
    controls: as `ipywidgets.interactive` takes them: (low, high, step), a list of choices, or a widget. Sliders work with
        the mouse and with the arrow keys. Where ipywidgets is missing, the static figure stands alone.
    Raises ValueError where `start` is no dict, or names no control, and where caption or alternative text is empty.
    """
    unknown = sorted(start.keys() - controls.keys()) if isinstance(start, dict) else [start]
    if start is not None and unknown:
        raise ValueError(f"start={start!r}: expected first values by the names of controls, which are {', '.join(controls)}")
    show(static, caption, alt)
    widgets = _ipywidgets()
    if widgets is None:
        return
    from IPython.display import display

    def redraw(**values):
        alt = "The figure at " + ", ".join(f"{name} = {_short(value)}" for name, value in values.items())
        _show(draw(**values), "", alt, compress_level=1)  # nobody keeps it, and everybody waits for it

    # With their first values from the beginning: each change would draw a figure more.
    made = {
        name: widgets.interactive.widget_from_abbrev(control, (start or {}).get(name, inspect.Parameter.empty))
        for name, control in controls.items()
    }
    view = widgets.interactive(redraw, **made)
    for control in view.children[:-1]:
        control.continuous_update = False
        control.style.description_width = "initial"
    display(view)


def latent_explorer(decode: Callable[[Tensor], Tensor] | nn.Module, extent: float = 2.5, n: int = 13) -> None:
    """Walk through a two-dimensional latent space: a map of the plane, a ring that you drag over it, and the image there.

    A widget's picture cannot be dragged in itself. So two sliders lie along the map's edges, and the ring and the image
    follow while one is dragged, or moved with the arrow keys. The static map comes first, for pages without a kernel.

    decode: logits (N, 1, H, W) from z (N, 2), as a VAE's `.decode`. extent: how far the map reaches on both axes.
    n: images on each side of the map.
    Raises ValueError where `decode` does not make images of z (N, 2).
    """
    # (row, column) -> z at the middle of that tile: z1 runs to the right, z2 upwards.
    axis = extent * ((2 * torch.arange(n) + 1) / n - 1)
    plane = torch.stack([axis.repeat(n), axis.flip(0).repeat_interleave(n)], 1)
    atlas = _tile(_decoded(decode, plane), n)
    static, axes = new_figure(1, 1, 5.5, 5.5)
    axes.imshow(atlas, cmap="gray_r", vmin=0, vmax=1, extent=(-extent, extent, -extent, extent))
    axes.set_xlabel("$z_1$")
    axes.set_ylabel("$z_2$")
    show(
        static,
        f"The latent plane from −{extent:g} to {extent:g} on both axes: at each place the image that the decoder makes of "
        "that z. Neighbours look alike.",
        f"A {n} by {n} grid of decoded images that change gradually from place to place.",
    )
    widgets = _ipywidgets()
    if widgets is None:
        return
    from IPython.display import display

    limits = {"min": -extent, "max": extent, "step": extent / 50, "readout": False}
    across = widgets.FloatSlider(0.0, description="z1", layout={"width": "380px"}, **limits)
    up = widgets.FloatSlider(0.0, description="z2", orientation="vertical", layout={"height": "376px"}, **limits)
    across.style.description_width = "24px"
    # As far down as the upper slider's label is high, so that the ring stays level with the handle.
    place, image = (widgets.HTML(layout={"margin": f"36px 0 0 {left}px"}) for left in (6, 24))
    map_picture = _picture(atlas, 336, f"The latent plane from −{extent:g} to {extent:g}, decoded.")

    def redraw(_=None) -> None:
        z1, z2 = across.value, up.value
        left, top = 50 * (1 + z1 / extent), 50 * (1 - z2 / extent)
        # White around red: the ring is seen on ink and on paper, and without colour.
        ring = (
            f"<span style='position:absolute;left:{left:.1f}%;top:{top:.1f}%;width:18px;height:18px;margin:-12px;"
            "border:3px solid #d62728;border-radius:50%;box-shadow:0 0 0 3px white,inset 0 0 0 2px white'></span>"
        )
        place.value = f"<div style='position:relative;width:336px;height:336px;line-height:0'>{map_picture}{ring}</div>"
        words = f"z = ({z1:.2f}, {z2:.2f})"
        digit = _decoded(decode, torch.tensor([[z1, z2]]))[0, 0].numpy()
        image.value = f"{_picture(digit, 224, f'The image at {words}')}<div>{words}</div>"

    for slider in (across, up):
        slider.observe(redraw, "value")
    redraw()
    # The lower slider begins where the map does.
    under = widgets.HBox([across], layout={"margin": "0 0 0 43px"})
    display(widgets.HBox([widgets.VBox([widgets.HBox([up, place]), under]), image]))


def _picture(pixels: np.ndarray, side: int, alt: str) -> str:
    """Ink (H, W) in [0, 1] as an <img>, `side` screen pixels wide."""
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, pixels, cmap="gray_r", vmin=0, vmax=1, format="png")
    return png_in_html(buffer.getvalue(), alt, f"width='{side}'")


def _ipywidgets() -> ModuleType | None:
    try:
        import ipywidgets
    except ImportError:
        print("ipywidgets is not installed, so this figure does not move.")
        return None
    return ipywidgets


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@torch.no_grad()
def _decoded(decode: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    try:
        logits = decode(z)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"decode did not take z of shape {tuple(z.shape)} ({reason}): the explorer needs two latent dimensions"
        ) from None
    return _as_images(torch.as_tensor(logits).sigmoid(), "the decoded images")
