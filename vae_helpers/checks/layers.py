"""Which layers of a network are not in its text's table, in words."""

from collections.abc import Mapping, Set

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

# What is put into networks by habit. Where one of them runs, the network computes something else than without it.
ACTIVATIONS = (nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.PReLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.LogSigmoid)
HABITS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d, nn.Dropout, nn.Dropout2d),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.Upsample),
)


def layers_run(module: nn.Module, *example: torch.Tensor) -> list[nn.Module]:
    """The layers that one call goes through, in order, the module's own or not; those that are no modules are not seen."""
    run = []
    hook = register_module_forward_hook(lambda layer, *_: run.append(layer))
    try:
        with torch.no_grad():
            module(*example)
    finally:
        hook.remove()
    return [layer for layer in run if not list(layer.children())]


def not_its_own(module: nn.Module, layers: list[nn.Module]) -> str | None:
    """Where a layer with weights runs that is no part of the module, a sentence on that; else None."""
    own = set(module.modules())
    stranger = next((layer for layer in layers if layer not in own and list(layer.parameters())), None)
    if stranger is None:
        return None
    return (
        f"a `{type(stranger).__name__}` runs that is no part of the module, so that no optimizer will see its weights. "
        "Make each layer in `__init__`, as an attribute of `self` or in an nn.Sequential or nn.ModuleList."
    )


def unlike_the_table(layers: list[nn.Module], table: Mapping[type, Set[tuple[int, int]]], kernel: int) -> str | None:
    """The first thing about these layers that the table has not, as a sentence; None where there is nothing.

    table: of each kind of layer, how many numbers or channels go in and come out. kernel: of its convolutions.
    """
    for layer in layers:
        name = type(layer).__name__
        if isinstance(layer, ACTIVATIONS) and getattr(layer, "negative_slope", 1):
            return f"it has a layer `{name}`; where the table has an activation, it is a ReLU."
        if isinstance(layer, HABITS) and getattr(layer, "p", 1):
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
