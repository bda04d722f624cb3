"""In the kernel of a lesson that is run for the site: what is to move in the page is recorded beside the static figure.

`explore` also draws its figure at chosen values of its last two controls (frames, among which the page switches), and
`latent_explorer` says how far its map reaches, and whether the decoder is the one that the page computes itself.
"""

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from vae_helpers.explore import places_of, values_of

FRAMES = "application/vnd.vae-course.frames+json"
PLANE = "application/vnd.vae-course.plane+json"
MOVING = 2  # controls that move in the page: the last ones; the others stay at their first values
MOST = (6, 12)  # values of each of them; of one alone, the latter
ROUND = (1, 2, 5)  # tens of, tenths of: the spacing of the numbers that a text names
DPI = 80


def record() -> None:
    """Replace the explorers that `from vae_helpers import explore` finds by ones that record."""
    from IPython.display import display

    import vae_helpers

    def put(data: dict) -> None:
        display(data, raw=True)

    vae_helpers.explore = _recorded(vae_helpers.explore, _frames, put)
    vae_helpers.latent_explorer = _recorded(vae_helpers.latent_explorer, _plane, put)


def _recorded(original: Callable, describe: Callable[..., tuple[str, dict]], put: Callable[[dict], None]) -> Callable:
    def explorer(*args, **kwargs):
        original(*args, **kwargs)
        with torch.random.fork_rng():  # what the lesson draws next stays the same
            state = np.random.get_state()
            kind, recorded = describe(*args, **kwargs)
            np.random.set_state(state)
        put({kind: recorded, "text/plain": "recorded for the site"})

    return explorer


def _frames(
    draw: Callable, caption: str, alt: str, start: dict[str, Any] | None = None, **controls: tuple | list
) -> tuple[str, dict]:
    moving = list(controls)[-MOVING:]
    most = dict(zip(reversed(moving), reversed(MOST), strict=False))
    values = {name: values_of(name, control) for name, control in controls.items()}
    first = {name: values[name][i] for name, i in zip(values, places_of(controls, values, start), strict=True)}
    all_of_them = [values[name] for name in moving]
    values = {name: _some(values[name], first[name], most.get(name, 1)) for name in values}
    frames, chosen = [], [values[name] for name in moving]
    for place in np.ndindex(*map(len, chosen)):
        now = {name: values[name][i] for name, i in zip(moving, place, strict=True)}
        frames.append(_png(draw(**(first | now))))
    described = [
        {"name": name, "values": [_said(value) for value in values[name]], "start": values[name].index(first[name])}
        for name in moving
    ]
    still = {name: _said(first[name]) for name in controls if name not in moving}
    fewer = all_of_them != chosen
    return FRAMES, {
        "controls": described,
        "still": still,
        "fewer": fewer,
        "frames": frames,
        "caption": caption,
        "alt": alt,
    }


def _some(values: list, first: Any, most: int) -> list:
    """At most `most` of a control's values, with the first one among them; of numbers the ends, and between them the roundest."""
    if len(values) <= most:
        return values
    kept = {0, values.index(first), len(values) - 1}
    if most > len(kept) and all(isinstance(value, int | float) for value in values):
        for spacing in (n * 10.0**power for power in range(-3, 5) for n in ROUND):
            places = kept | {i for i, value in enumerate(values) if abs(value / spacing - round(value / spacing)) < 1e-6}
            if len(kept) < len(places) <= most:
                return [values[i] for i in sorted(places)]
    places = {int(round(i)) for i in np.linspace(0, len(values) - 1, most)}
    nearest = min(places, key=lambda i: abs(i - values.index(first)))
    return [values[i] for i in sorted(places - {nearest} | {values.index(first)})]


def _said(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _png(figure) -> str:
    from matplotlib import pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)  # whole, so that all frames are of one size
    plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()


@torch.no_grad()
def _plane(decode: Callable, extent: float = 2.5, n: int = 13) -> tuple[str, dict]:
    from vae_helpers import load_pretrained

    z = torch.tensor([[0.0, 0.0], [1.0, -0.5], [-2.0, 1.5]])
    shipped = load_pretrained("explorer").decode(z)
    made = torch.as_tensor(decode(z))
    same = made.shape == shipped.shape and torch.allclose(made, shipped, atol=1e-4)
    return PLANE, {"extent": extent, "shipped": same}
