"""Things to play with: live where a kernel runs, and where none does, the figure as it opens."""

from __future__ import annotations

import gc
import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor, nn

from .plots import _as_images, _check_words, _figure_in_html, _tile

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def explore(
    draw: Callable[..., Figure], caption: str, alt: str, start: dict[str, Any] | None = None, **controls: tuple | Sequence
) -> None:
    """A figure that follows sliders and menus. Where no kernel runs, or anywidget is missing, it stands at their first values.

    draw: called with one value for each control; returns a figure.
    caption, alt: of the figure at the first values, as for `show`.
    start: the controls' first values by name, where they are not to be the middle of the range or the first choice.
    controls: (low, high, step) makes a slider, a list of choices a menu. Both work with the mouse and with the keys.
    Raises ValueError where `start` is no dict, names no control or has a value that its control can't be set to, where a control
    is neither, and where caption or alternative text is empty.
    """
    _check_words(caption, alt)
    values = {name: values_of(name, control) for name, control in controls.items()}
    first = places_of(controls, values, start)
    panels: list = []  # where the axes of the figure stand as it opens

    @_collected()
    def answer(places: Sequence[int]) -> dict[str, Any]:
        chosen = {name: values[name][place] for name, place in zip(values, places, strict=True)}
        said = ", ".join(f"{name} = {_short(value)}" for name, value in chosen.items())
        figure = draw(**chosen)
        for axes in figure.axes:
            axes.minorticks_off()  # on a logarithmic axis they take as long as all the rest
        return {
            "picture": _whole(figure, panels),
            "alt": alt if list(places) == first else f"The figure at {said}",
            "words": "",
        }

    opened, static = answer(first), f"explorer-{uuid4().hex[:8]}"
    _show_static(opened["picture"], caption, alt, static)
    described = [
        {"name": name, "words": [_short(value) for value in values[name]], "menu": not isinstance(control, tuple)}
        for name, control in controls.items()
    ]
    _go_live(answer, controls=described, places=first, caption=caption, static=static, **opened)


def values_of(name: str, control: tuple | Sequence) -> list:
    """What a control of `explore` can be set to: the steps of a slider, the choices of a menu. Raises ValueError for others."""
    if isinstance(control, list) and control:
        return control
    if not (isinstance(control, tuple) and len(control) == 3 and control[2] > 0 and control[0] <= control[1]):
        raise ValueError(f"{name}={control!r}: expected (low, high, step) for a slider, or a list of choices for a menu")
    low, high, step = control
    count = math.floor((high - low) / step + 1e-6) + 1
    return [type(low + step)(round(low + i * step, 10)) for i in range(count)]


def places_of(controls: dict[str, tuple | Sequence], values: dict[str, list], start: dict[str, Any] | None) -> list[int]:
    """Which of its values each control of `explore` has at first. Raises ValueError where `start` doesn't fit the controls."""
    unknown = sorted(start.keys() - controls.keys()) if isinstance(start, dict) else [start]
    if start is not None and unknown:
        raise ValueError(f"start={start!r}: expected first values by the names of controls, which are {', '.join(controls)}")
    first = []
    for name, control in controls.items():
        there = values[name]
        if name not in (start or {}):
            first.append(len(there) // 2 if isinstance(control, tuple) else 0)
        elif start[name] in there:
            first.append(there.index(start[name]))
        else:
            raise ValueError(f"start: {name} can't be set to {start[name]!r}; its values are {_range(control)}")
    return first


def latent_explorer(decode: Callable[[Tensor], Tensor] | nn.Module, extent: float = 2.5, n: int = 13) -> None:
    """Walk through a two-dimensional latent space: a map of the plane, a ring that you drag over it, and the image there.

    One clicks on the map or drags over it, or moves one of the sliders along its edges, with the mouse or with the arrow keys.
    Where no kernel runs, or anywidget is missing, the map stands alone.

    decode: logits (N, 1, H, W) from z (N, 2), as a VAE's `.decode`. extent: how far the map reaches on both axes.
    n: images on each side of the map.
    Raises ValueError where `decode` does not make images of z (N, 2).
    """
    from .figures import new_figure

    # (row, column) -> z at the middle of that tile: z1 runs to the right, z2 upwards.
    axis = extent * ((2 * torch.arange(n) + 1) / n - 1)
    plane = torch.stack([axis.repeat(n), axis.flip(0).repeat_interleave(n)], 1)
    atlas = _tile(_decoded(decode, plane), n)
    figure, axes = new_figure(1, 1, 5.5, 5.5)
    axes.imshow(atlas, cmap="gray_r", vmin=0, vmax=1, extent=(-extent, extent, -extent, extent))
    axes.set_xlabel("$z_1$")
    axes.set_ylabel("$z_2$")
    caption = (
        f"The latent plane from −{extent:g} to {extent:g} on both axes: at each place the image that the decoder makes of "
        "that z. Neighbours look alike."
    )
    alt = f"A {n} by {n} grid of decoded images that change gradually from place to place."
    static = f"explorer-{uuid4().hex[:8]}"
    _show_static(_whole(figure, []), caption, alt, static)
    values = values_of("z", (-float(extent), float(extent), extent / 50))

    def answer(places: Sequence[int]) -> dict[str, Any]:
        z = [values[place] for place in places]
        words = f"z = ({z[0]:.2f}, {z[1]:.2f})"
        picture = _pixels(_decoded(decode, torch.tensor([z]))[0, 0].numpy())
        return {"picture": picture, "alt": f"The image at {words}", "words": words}

    middle = [len(values) // 2] * 2
    _go_live(
        answer,
        controls=[{"name": name, "words": [f"{value:.2f}" for value in values], "menu": False} for name in ("z1", "z2")],
        places=middle,
        map=_pixels(atlas),
        map_alt=alt,
        side=224,
        caption=caption,
        static=static,
        **answer(middle),
    )


def _show_static(png: bytes, caption: str, alt: str, name: str) -> None:
    """The figure for pages without a kernel. Under it JupyterLab would write that the live one is not found: not so here."""
    from IPython.display import display

    below = f".jp-OutputArea-child:has(#{name}) + .jp-OutputArea-child:not(:has(.explorer)) {{ display: none }}"
    markup = f"{_figure_in_html(png, caption, alt, name)}<style>{below}</style>"
    display({"text/html": markup, "text/plain": f"{caption}\n[Picture: {alt}]"}, raw=True)


def _go_live(answer: Callable[[Sequence[int]], dict[str, Any]], **state: Any) -> None:
    """Put the widget with this state on the page, where `answer` gives its new state for new places of the controls."""
    try:
        from .live import Live
    except ImportError:
        print("anywidget is not installed, so this figure does not move.")
        return
    from IPython.display import display

    def follow(change: dict) -> None:
        from matplotlib import pyplot as plt

        try:
            with plt.ioff():  # or Jupyter would keep every figure, for the next cell that runs
                new = answer(change["new"])
        except Exception as error:  # of the reader's own code, often: told where they look
            new = {"words": f"{type(error).__name__}: {error}"}
        with live.hold_sync():
            for name, value in new.items():
                setattr(live, name, value)

    live = Live(**state)
    live.observe(follow, "places")
    view = {"version_major": 2, "version_minor": 0, "model_id": live.model_id}
    # No other text, so that a page without a kernel has the static figure and no name of a widget.
    display({"application/vnd.jupyter.widget-view+json": view, "text/plain": ""}, raw=True)


def _whole(figure: Figure, panels: list) -> bytes:
    """The figure with its margins as a PNG file, drawn once, where `savefig` draws twice; it is closed.

    panels: where its axes stand. Empty: they are laid out, and noted there. To lay them out takes as long as to draw them.
    """
    from matplotlib import pyplot as plt
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if len(panels) == len(figure.axes):
        figure.set_layout_engine("none")
        for axes, place in zip(figure.axes, panels, strict=True):
            axes.set_position(place)
    figure.set_dpi(110)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    panels[:] = [axes.get_position(original=True) for axes in figure.axes]
    plt.close(figure)
    return _pixels(canvas.buffer_rgba(), pil_kwargs={"compress_level": 1})  # nobody keeps it, and everybody waits for it


@contextmanager
def _collected() -> Iterator[None]:
    """What falls out of use in it is gone afterwards: a figure is made of thousands of objects that point at each other.

    Python would look through them while they are made and keep them for the next full collection, and that one takes as long as
    two moves of a slider.
    """
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(1)
        if on:
            gc.enable()


def _pixels(ink: np.ndarray, **kwargs: Any) -> bytes:
    """Ink (H, W) in [0, 1], black on white, or colours (H, W, 4) of bytes, as a PNG file. kwargs: of matplotlib's `imsave`."""
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, ink, cmap="gray_r", vmin=0, vmax=1, format="png", **kwargs)
    return buffer.getvalue()


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _range(control: tuple | Sequence) -> str:
    return "{:g} to {:g} in steps of {:g}".format(*control) if isinstance(control, tuple) else ", ".join(map(str, control))


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
