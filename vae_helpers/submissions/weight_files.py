"""Weights that were handed in are found by their name, wherever the path led on the machine where they were saved."""

import functools
import re
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import safetensors.torch
import torch

import vae_helpers

_NUMBER = re.compile(r" ?\(\d+\)(?=\.[^.]*$|$)")  # what a browser adds to the name of a file that it has had before


def by_name(path: str | Path, folder: str | Path) -> Path:
    """`path`, where there is a file; else the file of its name in `folder` or below it, a number that a browser added aside.

    A name is what follows the last / or \\ of a path. Of several files, the one called just so, then the one nearest to the top.
    """
    path = Path(path)
    if path.is_file():
        return path
    wanted = PureWindowsPath(path).name
    same = [file for file in Path(folder).rglob("*") if _plain(file.name) == _plain(wanted) and file.is_file()]
    return min(same, key=lambda file: (file.name != wanted, len(file.parts), file), default=path)


def _plain(name: str) -> str:
    return _NUMBER.sub("", name).casefold()


def find_weights(folder: str | Path) -> None:
    """From now on, what loads weights in this process looks for them as `by_name` does."""
    vae_helpers.load_weights = vae_helpers.weights.load_weights = _looking(vae_helpers.weights.load_weights, 1, folder)
    safetensors.torch.load_file = _looking(safetensors.torch.load_file, 0, folder)
    torch.load = _looking(torch.load, 0, folder)


def _looking(load: Callable, place: int, folder: str | Path) -> Callable:
    """The function, given another path at that place among its arguments."""

    @functools.wraps(load)
    def loads(*arguments: Any, **words: Any) -> Any:
        if len(arguments) > place and isinstance(arguments[place], (str, Path)):
            arguments = (*arguments[:place], by_name(arguments[place], folder), *arguments[place + 1 :])
        for name in ("path", "filename", "f"):
            if isinstance(words.get(name), (str, Path)):
                words[name] = by_name(words[name], folder)
        return load(*arguments, **words)

    return loads
