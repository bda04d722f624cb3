"""Weights in safetensors files: plain arrays, safe to open whoever made them."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from .files import write_whole


def save_weights(module: nn.Module, path: str | Path) -> Path:
    """Write every parameter and buffer of `module` to `path`, as float32; returns the path.

    Raises FileNotFoundError where the folder does not exist. A file that was there before stays whole until the new one is.
    """
    return save_parameters(module.state_dict(), path)


def save_parameters(parameters: dict[str, Tensor], path: str | Path) -> Path:
    """Write named tensors to `path`, as float32, in the way of `save_weights`."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent.resolve()} to save {path.name} in: make it first")
    # A clone each: tied parameters share memory, which safetensors refuses.
    state = {name: value.detach().float().clone(memory_format=torch.contiguous_format) for name, value in parameters.items()}
    return write_whole(path, save(state))


def load_weights(module: nn.Module, path: str | Path) -> nn.Module:
    """Fill `module` from a file that `save_weights` wrote; returns the module, in evaluation mode.

    Raises FileNotFoundError where there is no such file and ValueError where it does not fit the module, which then stays
    as it was.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path.resolve()}: run the cell that trains and saves the model, to its end")
    try:
        state = load(path.read_bytes())
    except SafetensorError as error:
        raise ValueError(f"{path.name} is not a safetensors file ({error}): save the weights again") from None
    own = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    odd = sorted(name for name in own.keys() | found.keys() if own.get(name) != found.get(name))
    if odd:
        name = odd[0]
        in_file = f"has shape {found[name]} in the file" if name in found else "is not in the file"
        in_module = f"has shape {own[name]} in the module" if name in own else "is not in the module"
        more = f" ({len(odd)} parameters differ)" if len(odd) > 1 else ""
        raise ValueError(
            f"{path.name} does not fit this {type(module).__name__}: {name} {in_file} and {in_module}{more}. "
            "Was it saved before the class changed? Train and save again."
        )
    module.load_state_dict(state)
    return module.eval()
