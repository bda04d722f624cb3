"""Which course this is, and what it runs on: what a report of a fault needs."""

import importlib.metadata
import platform
import re
from pathlib import Path

import numpy as np
import torch

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
UNKNOWN = "unknown (not installed, and no pyproject.toml beside vae_helpers)"


def course_version() -> str:
    """The version of the course that this file belongs to, as "0.1.0"; UNKNOWN where nothing says so.

    A clone's own pyproject.toml comes before the metadata of what is installed: those were made from it, and it may have moved on.
    """
    try:
        text = PYPROJECT.read_text(encoding="utf-8")
    except OSError:
        text = ""
    said = re.search(r'^name = "vae-course"\nversion = "(.+)"$', text, re.MULTILINE)
    if said:
        return said[1]
    return _installed("vae-course") or UNKNOWN


def show_versions() -> None:
    """Print what to paste into a report of a fault: versions, threads, processor and system. Nothing personal is in it."""
    threads = f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    facts = {
        "course": course_version(),
        "Python": platform.python_version(),
        "PyTorch": f"{torch.__version__} ({threads}, {device})",
        "torchvision": _installed("torchvision") or "not installed",
        "NumPy": np.__version__,
        "nbgrader": _installed("nbgrader") or "not installed",
        "platform": platform.platform(),
    }
    for name, fact in facts.items():
        print(f"{name:<12} {fact}")


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
