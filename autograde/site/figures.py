"""Pictures as files of their own: lossless WebP, named by content, so that equal ones are one file."""

import hashlib
import io
from pathlib import Path

from PIL import Image
from torch import Tensor


def save_figure(png: bytes, folder: Path) -> tuple[str, int, int]:
    """Save a PNG's picture in `folder`; returns the file's name, and its width and height in pixels."""
    name = f"{hashlib.sha256(png).hexdigest()[:16]}.webp"
    with Image.open(io.BytesIO(png)) as image:
        if not (folder / name).exists():
            folder.mkdir(parents=True, exist_ok=True)
            image.convert("RGB").save(folder / name, lossless=True, method=3)
        return name, image.width, image.height


def save_pixels(ink: Tensor, path: Path) -> None:
    """Save ink (H, W) in [0, 1], black on white."""
    Image.fromarray((255 * (1 - ink)).round().byte().numpy(), "L").convert("RGB").save(path, lossless=True, method=3)
