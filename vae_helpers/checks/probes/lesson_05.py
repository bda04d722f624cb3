"""Probes of lesson 05, a VAE in NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..recorder import Recorder
from . import choice, number, probe

number("predict_size", rtol=1e-3)
number("predict_copies", rtol=0.02)
number("predict_field", rtol=1e-3)
choice("predict_stamps", "abc")
choice("predict_naive", "abcd")


def _normal(see: Recorder, *shape: int, std: float = 1.0) -> np.ndarray:
    """float32 normal noise, as a NumPy array."""
    return see.normal(*shape, std=std).numpy()


def _call(see: Recorder, label: str, function: Callable, *args: Any, inputs: list[str], **kwargs: Any) -> None:
    """`see.call`, and whether PyTorch came back where NumPy was asked for."""
    used = _Operations()

    def watched(*args: Any, **kwargs: Any) -> Any:
        with used:
            return function(*args, **kwargs)

    result = see.call(label, watched, *args, inputs=inputs, **kwargs)
    if result is not None:
        parts = result if isinstance(result, (tuple, list)) else (result,)
        tensors = any(isinstance(part, torch.Tensor) for part in parts)
        see.note(label, "the type of the result", "a PyTorch tensor" if tensors else "no PyTorch tensor")
        names = ", ".join(sorted(used.names - {"detach"}))
        told = f"PyTorch computes here ({names}). NumPy only: write the arithmetic yourself."
        see.note(label, "PyTorch computes in it", bool(names), told=told)


class _Operations(TorchDispatchMode):
    """The names of PyTorch's operations that run inside."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


@probe("conv2d")
def conv2d(implementation, see: Recorder) -> None:
    names = ["x", "weight", "bias", "stride", "padding"]

    def call(label, n, channels, size, out, kernel, *settings, **named):
        x, weight, bias = _normal(see, n, channels, *size), _normal(see, out, channels, *kernel), _normal(see, out)
        inputs = names[: 3 + len(settings)]
        _call(see, label, implementation, x, weight, bias, *settings, inputs=inputs, **named)

    call("stride 1, padding 1", 2, 3, (6, 5), 4, (3, 3), 1, 1)
    call("stride 2, padding 1", 2, 3, (8, 11), 4, (3, 3), 2, 1)
    call("3 images, 3 channels in, 3 channels out", 3, 3, (5, 5), 3, (3, 3), 1, 0)
    call("one image, one channel", 1, 1, (7, 7), 1, (3, 3), 2, 1)
    call("kernel 2 × 4, stride 3, padding 2", 2, 2, (7, 13), 3, (2, 4), 3, 2)
    call("kernel 1 × 1, stride 2", 2, 3, (5, 6), 2, (1, 1), 2, 0)
    call("kernel as large as the image", 2, 2, (4, 5), 3, (4, 5), 1, 0)
    call("stride and padding given by name", 2, 2, (6, 6), 3, (4, 4), stride=2, padding=3)


@probe("conv_transpose2d")
def conv_transpose2d(implementation, see: Recorder) -> None:
    names = ["x", "weight", "bias", "stride", "padding", "output_padding"]

    def call(label, n, channels, size, out, kernel, *settings, **named):
        x, weight, bias = _normal(see, n, channels, *size), _normal(see, channels, out, *kernel), _normal(see, out)
        inputs = names[: 3 + len(settings)]
        _call(see, label, implementation, x, weight, bias, *settings, inputs=inputs, **named)

    call("stride 1", 2, 3, (4, 5), 2, (3, 3), 1, 0, 0)
    call("stride 2, padding 1, output padding 1", 2, 3, (3, 4), 2, (3, 3), 2, 1, 1)
    call("stride 2, padding 1", 2, 2, (4, 3), 3, (4, 4), 2, 1, 0)
    call("3 images, 3 channels in, 3 channels out", 3, 3, (3, 3), 3, (3, 3), 2, 1, 1)
    call("one image, one channel, one pixel", 1, 1, (1, 1), 1, (3, 3), 2, 1, 0)
    call("kernel 2 × 4, stride 3, padding 1, output padding 2", 2, 3, (3, 2), 2, (2, 4), 3, 1, 2)
    call("stride 2, no padding, output padding 1", 2, 2, (3, 4), 3, (3, 3), 2, 0, 1)
    call("kernel 1 × 1, stride 2, output padding 1", 2, 3, (3, 3), 2, (1, 1), 2, 0, 1)
    call("all settings given by name", 2, 2, (3, 4), 3, (5, 5), stride=3, padding=2, output_padding=1)


def _parameters(see: Recorder, latent_dim: int, encoder: tuple[int, int, int], decoder: tuple[int, int, int]) -> dict:
    """Random parameters of a network of the lesson's kind, by the names of its table.

    encoder, decoder: the sizes of their layers in the order of the table: conv1's and conv2's channels and hidden units;
        hidden units and the channels of the inputs of conv1 and conv2.
    """
    first, second, features = encoder
    units, third, fourth = decoder
    shapes = {
        "encoder.conv1": (first, 1, 3, 3),
        "encoder.conv2": (second, first, 3, 3),
        "encoder.hidden": (features, 49 * second),
        "encoder.mu": (latent_dim, features),
        "encoder.logvar": (latent_dim, features),
        "decoder.hidden": (units, latent_dim),
        "decoder.grid": (49 * third, units),
        "decoder.conv1": (third, fourth, 3, 3),
        "decoder.conv2": (fourth, 1, 3, 3),
    }
    params = {}
    for layer, shape in shapes.items():
        # A transposed convolution's output has 9/4 of a pixel's weights from each input channel.
        transposed = layer in ("decoder.conv1", "decoder.conv2")
        reached = shape[0] * 9 / 4 if transposed else np.prod(shape[1:])
        params[f"{layer}.weight"] = _normal(see, *shape, std=(2 / reached) ** 0.5)
        params[f"{layer}.bias"] = _normal(see, shape[1] if transposed else shape[0], std=0.5)
    return params


NETWORKS = [  # latent_dim, encoder, decoder
    ("a small network, 3 images", 3, 3, (4, 6, 10), (9, 5, 3)),
    ("another small network, 2 images", 2, 4, (3, 2, 7), (5, 4, 6)),
    ("one image, one latent dimension", 1, 1, (3, 4, 8), (6, 3, 4)),
]


@probe("numpy_encode")
def encode(implementation, see: Recorder) -> None:
    for label, n, *sizes in NETWORKS:
        params, x = _parameters(see, *sizes), see.uniform(n, 1, 28, 28).numpy()
        _call(see, label, implementation, params, x, inputs=["params", "x"])


@probe("numpy_decode")
def decode(implementation, see: Recorder) -> None:
    for label, n, *sizes in NETWORKS:
        params, z = _parameters(see, *sizes), _normal(see, n, sizes[0], std=1.5)
        _call(see, label, implementation, params, z, inputs=["params", "z"])


@probe("bernoulli_log_likelihood")
def bernoulli_log_likelihood(implementation, see: Recorder) -> None:
    def call(label, x, logits, **tolerance):
        _call(see, label, implementation, x, logits, inputs=["x", "logits"], **tolerance)

    def uniform(n, low, high):
        return see.uniform(n, 1, 28, 28, low=low, high=high).numpy()

    grey = uniform(4, 0, 1)
    x = (grey > 0.6).astype(np.float32)
    call("3 binary images", x[:3], _normal(see, 3, 1, 28, 28, std=3))
    call("one image", x[:1], _normal(see, 1, 1, 28, 28, std=3))
    call("4 grey images", grey, _normal(see, 4, 1, 28, 28, std=3))
    # Sums of a hundred thousand nats that cancel, in float32.
    sure = (2 * x - 1) * uniform(4, 30, 200)
    call("logits up to ±200, and right", x, sure, atol=0.2)
    call("logits up to ±200, and wrong", x, -sure)
    call("logits of exactly 200, -200 and 0", x[:2], see.rng.choice([-200, 0, 200], (2, 1, 28, 28)).astype(np.float32))


@probe("numpy_elbo")
def elbo(implementation, see: Recorder) -> None:
    for label, n, *sizes in NETWORKS:
        params, x = _parameters(see, *sizes), (see.uniform(n, 1, 28, 28) > 0.7).float().numpy()
        # Mild logits, so that the KL is no small part of the sum.
        params["decoder.conv2.weight"] *= 0.2
        for noise in ("eps", "eps = 0")[: 1 + (n == 2)]:
            eps = _normal(see, n, sizes[0], std=float(noise == "eps"))
            _call(see, f"{label}, {noise}", implementation, params, x, eps, inputs=["params", "x", "eps"])
    # Far logits, where a probability rounds to 0 or 1, and grey images, which neither half may round.
    label, n, *sizes = NETWORKS[0]
    params, x = _parameters(see, *sizes), see.uniform(n, 1, 28, 28).numpy()
    params["decoder.conv2.weight"] *= 20
    eps = _normal(see, n, sizes[0])
    _call(see, f"{label}, grey, logits up to about ±200", implementation, params, x, eps, inputs=["params", "x", "eps"])
