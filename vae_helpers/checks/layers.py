"""Which layers of a network are not in its text's table, in words."""

from collections.abc import Mapping, Set

import torch
from torch import nn

# What is put into networks by habit. Where one of them runs, the network computes something else than without it.
HABITS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d, nn.Dropout, nn.Dropout2d),
    *(nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.PReLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.LogSigmoid),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.Upsample),
)


def layers_run(module: nn.Module, *example: torch.Tensor) -> list[nn.Module]:
    """The layers that one call goes through, in order; those that are no modules are not seen."""
    run = []
    leaves = [part for part in module.modules() if not list(part.children())]
    hooks = [leaf.register_forward_hook(lambda layer, *_: run.append(layer)) for leaf in leaves]
    try:
        with torch.no_grad():
            module(*example)
    finally:
        for hook in hooks:
            hook.remove()
    return run


def unlike_the_table(layers: list[nn.Module], table: Mapping[type, Set[tuple[int, int]]], kernel: int) -> str | None:
    """The first thing about these layers that the table has not, as a sentence; None where there is nothing.

    table: of each kind of layer, how many numbers or channels go in and come out. kernel: of its convolutions.
    """
    for layer in layers:
        name = type(layer).__name__
        if isinstance(layer, HABITS) and getattr(layer, "p", 1) and getattr(layer, "negative_slope", 1):
            return f"it has a layer `{name}`, which the table has not: leave it out."
        kind = next((kind for kind in table if isinstance(layer, kind)), None)
        if kind is None:
            continue
        linear = isinstance(layer, nn.Linear)
        size = (layer.in_features, layer.out_features) if linear else (layer.in_channels, layer.out_channels)
        if size not in table[kind]:
            unit = "numbers" if linear else "channels"
            return f"a {name} goes from {size[0]} to {size[1]} {unit}: no such layer is in the table."
        if not linear and set(layer.kernel_size) != {kernel}:
            found = " × ".join(map(str, layer.kernel_size))
            return f"a {name} has a kernel of {found}; the table says {kernel} × {kernel}."
        if layer.bias is None:
            return f"a {name} has no bias: leave out `bias=False`."
    return None
