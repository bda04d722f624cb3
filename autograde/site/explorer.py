"""What moves in a page without a kernel: a latent plane that is computed in the browser, and figures in frames."""

import base64
import html
import json
import math
from pathlib import Path

import torch
from torch import Tensor

from vae_helpers import load_pretrained

from .figures import save_figure, save_pixels

REACH, SIDE = 3.0, 121  # of the grid on which a classifier says which digit is there: from −3 to 3 in steps of 0.05
SURE = 0.6  # how sure it has to be
TILES = 13  # of the map, on each side
EXTENTS = (2.5, 3.0)  # of the maps that are made
DATA = "plane-data.js"


def write_data(static: Path) -> None:
    """The decoder's weights in half precision, the digits on a grid, and the maps, below the site's folder for such files."""
    vae = load_pretrained("explorer")
    parameters = list(vae.decoder.parameters())
    weights = b"".join(parameter.half().numpy().astype("<f2").tobytes() for parameter in parameters)
    data = {
        "shapes": [list(parameter.shape) for parameter in parameters],
        "weights": base64.b64encode(weights).decode(),
        "digits": digits_on_grid(),
        "reach": REACH,
        "side": SIDE,
    }
    static.mkdir(parents=True, exist_ok=True)
    (static / DATA).write_text(f"window.planeData = {json.dumps(data)};\n", encoding="utf-8")
    for extent in EXTENTS:
        save_pixels(_map(vae, extent), static / _map_name(extent))


@torch.no_grad()
def digits_on_grid() -> str:
    """A digit, or "-" where the classifier is not sure, for each place: rows of z2 upwards, in each z1 to the right."""
    vae, classifier = load_pretrained("explorer"), load_pretrained("classifier")
    axis = torch.linspace(-REACH, REACH, SIDE)
    plane = torch.stack([axis.repeat(SIDE), axis.repeat_interleave(SIDE)], 1)
    seen = [classifier(vae.decode(z).sigmoid()).softmax(1).max(1) for z in plane.split(1000)]
    return "".join(
        str(digit) if sure > SURE else "-"
        for part in seen
        for sure, digit in zip(part.values.tolist(), part.indices.tolist(), strict=True)
    )


@torch.no_grad()
def _map(vae, extent: float) -> Tensor:
    """The plane's images side by side, (28·13, 28·13) in [0, 1]: z1 runs to the right, z2 upwards."""
    axis = extent * ((2 * torch.arange(TILES) + 1) / TILES - 1)
    plane = torch.stack([axis.repeat(TILES), axis.flip(0).repeat_interleave(TILES)], 1)
    tiles = vae.decode(plane).sigmoid().view(TILES, TILES, 28, 28)
    return tiles.permute(0, 2, 1, 3).reshape(TILES * 28, TILES * 28)


def _map_name(extent: float) -> str:
    return f"plane-{extent:g}.webp"


def plane(static: str, extent: float) -> str:
    """The HTML of a plane to drag in. static: the way from the page to the site's static files, as "../_static/"."""
    extent = next((made for made in EXTENTS if math.isclose(made, extent)), EXTENTS[0])
    return f"""<div class="plane" data-extent="{extent:g}">
<div class="plane-map" role="slider" tabindex="0" aria-label="Place in the latent plane" aria-valuemin="-{extent:g}"
 aria-valuemax="{extent:g}" aria-valuenow="0" aria-valuetext="z = (0, 0)">
<img src="{static}{_map_name(extent)}" alt="" width="364" height="364" draggable="false"><span class="plane-ring"></span></div>
<div class="plane-image"><canvas width="28" height="28" role="img" aria-label="The image at z = (0, 0)"></canvas>
<p class="plane-words"></p>
<p class="plane-how">Drag over the map, or click on it and use the arrow keys (with Shift: five steps at once).</p></div>
<script defer src="{static}{DATA}"></script><script defer src="{static}plane.js"></script>
</div>"""


def frames(recorded: dict, static: str, folder: Path) -> str:
    """The HTML of a figure in frames, which it saves in `folder`, "figures" among the static files, once each."""
    names = [save_figure(base64.b64decode(data), folder)[0] for data in recorded["frames"]]
    _, width, height = save_figure(base64.b64decode(recorded["frames"][0]), folder)
    still = ", ".join(f"{name} = {value}" for name, value in recorded["still"].items())
    controls, place = [], 0
    for control in recorded["controls"]:
        place = place * len(control["values"]) + control["start"]
        name, values = html.escape(control["name"]), html.escape(json.dumps(control["values"]))
        controls.append(
            f'<label><span>{name}</span><input type="range" min="0" max="{len(control["values"]) - 1}" step="1" '
            f'value="{control["start"]}" data-name="{name}" data-values="{values}"><output></output></label>'
        )
    said = f'<p class="frames-still">{html.escape(still)}</p>' if still else ""
    if recorded["fewer"]:
        said += '<p class="frames-still">In the notebook, there are more values to choose from.</p>'
    return f"""<div class="frames" data-frames="{html.escape(json.dumps(names))}" data-folder="{static}figures/"
 data-still="{html.escape(still)}"><div class="frames-controls">{"".join(controls)}{said}</div>
<img src="{static}figures/{names[place]}" alt="{html.escape(recorded["alt"])}" width="{width}" height="{height}" loading="lazy">
<p class="frames-caption">{html.escape(recorded["caption"])}</p>
<script defer src="{static}plane.js"></script>
</div>"""
