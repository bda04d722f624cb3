"""Probes of lesson 00, start here."""

import numpy as np
import torch

from ..recorder import Recorder
from . import choice, number, probe

choice("predict_between", "abc")
choice("predict_far", "abc")
number("predict_bits", rtol=0.2)


@probe("ink")
def ink(implementation, see: Recorder) -> None:
    def images(n: int) -> torch.Tensor:
        """Grey images, each of another brightness, with blank and full pixels among them."""
        brightness = see.uniform(n, 1, 1, 1, low=-0.5, high=0.5)
        return (see.uniform(n, 1, 28, 28, low=-0.4, high=1.4) + brightness).clamp(0, 1)

    see.call("5 grey images", implementation, images(5), inputs=["x"])
    see.call("28 grey images", implementation, images(28), inputs=["x"])
    see.call("one image", implementation, images(1), inputs=["x"])
    see.call("3 images in black and white", implementation, images(3).round(), inputs=["x"])
    see.call("2 blank pages", implementation, torch.zeros(2, 1, 28, 28), inputs=["x"])


class VAE:
    """A model whose encoder and decoder both bend: what is mixed before either is not what is mixed after it. Its name stands
    in Python's errors, which students read.
    """

    def __init__(self, see: Recorder):
        self.to_code, self.to_logits = see.normal(784, 2) / 14, 2 * see.normal(2, 784)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = x.flatten(1) @ self.to_code
        return 2 * features.tanh(), features - 1

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return ((2 * z).sin() @ self.to_logits).view(-1, 1, 28, 28)


@probe("half_way")
def half_way(implementation, see: Recorder) -> None:
    for label, n in (("4 pairs of images", 4), ("2 pairs", 2), ("one pair", 1)):
        pairs = see.uniform(n, 1, 28, 28), see.uniform(n, 1, 28, 28)
        see.call(label, implementation, VAE(see), *pairs, inputs=["vae", "first", "second"])


@probe("bits_per_dim")
def bits_per_dim(implementation, see: Recorder) -> None:
    # Tight enough that 0.6931 is not ln 2.
    close = {"rtol": 2e-5}

    def cost(low: float = 80, high: float = 600) -> float:
        return float(see.rng.uniform(low, high))

    one = see.call("a float", implementation, cost(), inputs=["nats"], **close)
    if one is not None:
        kind = "a number" if isinstance(one, float | int | np.number) else f"a {type(one).__name__}"
        see.note("a float", "the type of the result", kind, told=f"the result is {kind}: for a number, return a number.")
    see.call("a float, n_dims=3072 by name", implementation, cost(1000, 9000), inputs=["nats"], **close, n_dims=3072)
    see.call("a float, 3072 by position", implementation, cost(1000, 9000), 3072, inputs=["nats", "n_dims"], **close)
    see.call("one dimension", implementation, cost(0.5, 5), 1, inputs=["nats", "n_dims"], **close)
    see.call("a whole number", implementation, round(cost()), inputs=["nats"], **close)
    see.call("a fair binary image", implementation, 543.4 + cost(0, 0.05), inputs=["nats"], **close)
    see.call("a very large cost, in one dimension", implementation, cost(5000, 6000), 1, inputs=["nats", "n_dims"], **close)
    grad = {"gradients": ["nats"], **close}
    see.call("a tensor of 5 images", implementation, see.uniform(5, low=80, high=600), inputs=["nats"], **grad)
    see.call("a tensor of one image", implementation, see.uniform(1, low=80, high=600), inputs=["nats"], **grad)
    see.call("a tensor with no dimension", implementation, see.uniform(low=80, high=600), inputs=["nats"], **grad)
    mixed = torch.cat([see.uniform(2, low=50, high=900), see.uniform(2, low=-900, high=-50)])
    see.call("a tensor with negative costs", implementation, mixed, 12, inputs=["nats", "n_dims"], **grad)
    see.call(
        "a tensor, n_dims=3072", implementation, see.uniform(3, low=5000, high=9000), n_dims=3072, inputs=["nats"], **grad
    )
