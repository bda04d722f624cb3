"""Probes of lesson 09, training stability."""

import numbers
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..recorder import Recorder
from . import choice, number, probe

choice("predict_floor_gradient", "abc")
number("predict_floor_kl", rtol=0.15)
number("predict_information_ceiling", rtol=0.02)
choice("predict_collapsed_loss", "abc")
choice("predict_variance", "abc")


def _schedule(see: Recorder, label: str, weight: Callable[[int], float], steps: list[int]) -> None:
    """One fact for the weights at several steps, and one for what they are."""
    kinds = []

    def weights() -> Tensor:
        found = [weight(step) for step in steps]
        kinds.extend(type(one).__name__ for one in found if not isinstance(one, numbers.Real))  # NumPy's numbers are
        return torch.tensor([float(one) for one in found])

    if see.call(label, weights) is not None:
        told = f"β is of type {', '.join(dict.fromkeys(kinds))} here; a float is asked for."
        see.note(label, "the type of β", kinds[0] if kinds else "float", told=told)


def _note_way(see: Recorder, label: str, weight: Callable[[int], float], ends: dict[int, str], rise: range) -> None:
    """What a schedule does at some steps, and on its rise. ends: by step, what the text says of β there."""
    with see.attempt(label):
        for step, text in ends.items():
            beta = float(weight(step))
            see.note(label, f"β at step {step}", beta, told=f"β at step {step} is {beta:.4g}. {text}")
        rises = torch.tensor([float(weight(step)) for step in rise]).diff()
        told = "β does not rise by the same amount at every step. The rise is a straight line."
        see.note(label, "β rises by unequal amounts", bool(rises.max() - rises.min() > 1e-4), told=told)


def _note_one(see: Recorder, label: str, what: str, count: Callable[[], Any]) -> None:
    """Whether the one dimension that there is, which `what` describes, is counted."""
    with see.attempt(label):
        found = count()
        if not isinstance(found, numbers.Real) and not (isinstance(found, Tensor) and found.numel() == 1):
            kind = f"a {type(found).__name__}"
            see.note(
                label, f"{what}, active", kind, told=f"{what} it returns {kind}; the number of dimensions is asked for."
            )
            return
        told = f"{what} it {'counts' if found else 'does not count'} as active."
        see.note(label, f"{what}, active", bool(found), told=told)


def _note_whole(see: Recorder, label: str, count: Any) -> None:
    """Whether a count is a whole number, and no tensor."""
    if count is not None:
        kind = "int" if isinstance(count, numbers.Integral) else type(count).__name__
        see.note(
            label, "the type of the result", kind, told=f"the result is of type {kind}; a Python int is asked for: int(…)."
        )


@probe("linear_beta")
def linear_beta(implementation, see: Recorder) -> None:
    def call(label: str, warmup: int, steps: list[int]) -> None:
        _schedule(see, label, lambda step: implementation(step, warmup), steps)

    ends = {
        0: "The warm-up begins at 0.",
        20: "There the warm-up is over, and β is 1.",
        45: "After the warm-up β stays at 1.",
    }
    _note_way(see, "warmup_steps=20", lambda step: implementation(step, 20), ends, range(21))
    call("warmup_steps=10, steps 0, 1, 3, 5, 9, 10", 10, [0, 1, 3, 5, 9, 10])
    call("warmup_steps=10, steps 11, 25, 1000", 10, [11, 25, 1000])
    warmup = int(see.rng.integers(20, 400))
    steps = see.rng.integers(1, 2 * warmup, 6).tolist()
    call(f"warmup_steps={warmup}, steps {', '.join(map(str, steps))}", warmup, steps)
    call("warmup_steps=1, steps 0, 1, 2", 1, [0, 1, 2])
    call("warmup_steps=0, steps 0, 1, 2", 0, [0, 1, 2])


@probe("cyclical_beta")
def cyclical_beta(implementation, see: Recorder) -> None:
    def call(label: str, period: int, steps: list[int], **ramp: float) -> None:
        _schedule(see, label, lambda step: implementation(step, period, **ramp), steps)

    ends = {0: "A cycle begins with 0.", 10: "The ramp is over there, and β is 1.", 19: "After the ramp β stays at 1."}
    ends |= {20: "There the second cycle begins, with 0."}
    _note_way(see, "period=20, ramp not given", lambda step: implementation(step, 20), ends, range(11))
    call("period=10, ramp not given, steps 0 to 9", 10, list(range(10)))
    call("period=10, ramp not given, steps 10 to 21", 10, list(range(10, 22)))
    call("period=8, ramp=0.25, steps 0 to 17", 8, list(range(18)), ramp=0.25)
    call("period=5, ramp=1.0, steps 0 to 10", 5, list(range(11)), ramp=1.0)
    period, share = int(see.rng.integers(20, 200)), round(float(see.rng.uniform(0.6, 0.9)), 2)
    steps = see.rng.integers(0, 8 * period, 8).tolist()
    call(f"period={period}, ramp={share}, steps {', '.join(map(str, steps))}", period, steps, ramp=share)
    call("period=1, steps 0, 1, 2", 1, [0, 1, 2])


def _floored(see: Recorder, label: str, implementation: Callable, kl: Tensor, floor: float, *, inputs: str) -> None:
    """A call with a floor, and whether a tensor comes back where the floor is the larger, too."""
    result = see.call(label, implementation, kl, floor, inputs=[inputs, "floor"], gradients=[inputs])
    if result is not None:
        told = (
            "where the floor is the larger, you return the floor itself, a Python number. A tensor is asked for there, too."
        )
        see.note(label, "a tensor comes back", isinstance(result, Tensor), told=told)


@probe("free_bits_total")
def free_bits_total(implementation, see: Recorder) -> None:
    def call(label: str, kl: Tensor, floor: float) -> None:
        _floored(see, label, implementation, kl, floor, inputs="kl")

    # Whatever is drawn, the mean stays on its side of the floor, and single images lie on both.
    above = torch.cat([see.uniform(3, low=0.1, high=0.9), see.uniform(3, low=4, high=9)])
    call("6 images with a mean above the floor", above, 1.0)
    below = torch.cat([see.uniform(4, low=0.1, high=0.5), see.uniform(2, low=2.5, high=4)])
    call("6 images with a mean below the floor", below, 2.0)
    call("one image above the floor", see.uniform(1, low=3, high=9), 2.0)
    call("one image below the floor", see.uniform(1, low=0.2, high=1), 2.0)
    call("5 images, floor 0", see.uniform(5, low=0.5, high=3), 0.0)


@probe("free_bits")
def free_bits(implementation, see: Recorder) -> None:
    def call(label: str, kl_per_dim: Tensor, floor: float) -> None:
        _floored(see, label, implementation, kl_per_dim, floor, inputs="kl_per_dim")

    def draw(n: int, means: list[float]) -> Tensor:
        """(n, D) with about these means over the images, and single images far from them."""
        return see.uniform(n, len(means), low=0.2, high=1.8) * torch.tensor(means)

    call("6 images, 4 dimensions, floor 0.5", draw(6, [0.05, 0.4, 0.9, 3.0]), 0.5)
    call("4 images, 4 dimensions, floor 0.5", draw(4, [2.0, 0.1, 0.7, 0.4]), 0.5)
    call("3 images, 5 dimensions, floor 0.1", draw(3, [0.01, 0.02, 0.1, 0.3, 0.5]), 0.1)
    # Images that need almost nothing, and images that need much: their sums lie on both sides of the floor.
    mixed = torch.cat([see.uniform(2, 3, low=0.05, high=0.1), see.uniform(3, 3, low=0.5, high=3)])
    call("5 images that differ much, 3 dimensions, floor 0.7", mixed, 0.7)
    call("one image, 3 dimensions", draw(1, [0.1, 1.0, 4.0]), 0.6)
    call("5 images, one dimension", draw(5, [1.0]), 0.15)
    call("all dimensions below the floor", draw(5, [0.1, 0.2, 0.3]), 2.0)
    call("all dimensions above the floor", draw(5, [2.0, 3.0]), 0.25)
    call("floor 0", draw(4, [0.5, 1.0, 0.1]), 0.0)


@probe("active_units")
def active_units(implementation, see: Recorder) -> None:
    def codes(n: int, variances: list[float], spread: float = 2.0) -> Tensor:
        """(n, D) with just these variances over the rows, around means that are far from 0."""
        noise = see.normal(n, len(variances)).double()
        noise = noise - noise.mean(0)
        noise = noise / noise.square().mean(0).sqrt()
        order = torch.from_numpy(see.rng.permutation(len(variances)))
        mu = spread * (1 + see.uniform(len(variances)).double()) + torch.tensor(variances).double().sqrt() * noise
        return mu[:, order].float()

    def call(label: str, mu: Tensor, **threshold: float) -> None:
        _note_whole(see, label, see.call(label, implementation, mu, inputs=["mu"], **threshold))

    for variance in (0.0, 0.003, 0.03, 1.0):
        told = f"with a variance of {variance} over 12 images"
        _note_one(see, "one dimension, threshold 0.01", told, lambda v=variance: implementation(codes(12, [v], 1.0)))
    call("12 images, 5 dimensions", codes(12, [0.00003, 0.004, 0.05, 1.0, 4.0]))
    call("6 images, 6 dimensions", codes(6, [0.00002, 0.003, 0.00005, 0.05, 1.0, 0.004]))
    call("30 images, 4 dimensions, threshold=0.5", codes(30, [0.1, 0.36, 0.0004, 2.0]), threshold=0.5)
    call("20 images, 3 dimensions, threshold=0.0001", codes(20, [0.001, 0.000005, 0.003], 0.1), threshold=0.0001)
    call("2 images, 3 dimensions", codes(2, [0.0005, 0.1, 1.0]))
    used = int(see.rng.integers(1, 12))
    # Around means of a few hundredths, so that a variance in parts of the mean is another thing.
    call("10 images, 12 dimensions, some in use", codes(10, [0.5] * used + [0.001] * (12 - used), 0.03))
    call("7 images, one dimension, the same for all", torch.full((7, 1), 3.0))
    call("9 images, 4 dimensions, all in use", codes(9, [0.2, 0.5, 1.0, 2.0], 0.0))


@probe("mutual_information")
def mutual_information(implementation, see: Recorder) -> None:
    def call(label: str, n: int, d: int, spread: float, low: float, high: float, **tolerances: float) -> None:
        mu, logvar = see.normal(n, d, std=spread), see.uniform(n, d, low=low, high=high)
        z = mu + (0.5 * logvar).exp() * see.normal(n, d)
        see.call(label, implementation, mu, logvar, z, inputs=["mu", "logvar", "z"], **{"atol": 1e-4, **tolerances})

    call("7 images, 3 dimensions", 7, 3, 1.0, -1.0, 0.5)
    call("4 images, 4 dimensions", 4, 4, 0.7, -0.5, 0.5)
    call("20 images, one dimension", 20, 1, 2.0, -2.0, 0.0)
    call("6 images whose posteriors hardly overlap", 6, 3, 4.0, -4.0, -3.0)
    call("5 images that all have the prior as posterior", 5, 2, 0.0, 0.0, 0.0)
    call("one image", 1, 3, 1.0, -1.0, 1.0)
    mu = see.uniform(2, 3, low=0.4, high=0.8) * torch.tensor([[1.0], [-1.0]])
    label = "2 images, each of whose z lies near the other's mean"
    see.call(label, implementation, mu, see.uniform(2, 3, low=-0.3, high=0.3), mu.flip(0), inputs=["mu", "logvar", "z"])
    # Densities of about e^-1000, which are 0 in float64, too.
    call("5 images, 700 dimensions", 5, 700, 0.04, -0.1, 0.1, atol=3e-3)


@probe("predict_active_dims")
def predict_active_dims(implementation, see: Recorder) -> None:
    def call(label: str, shares: list[float], sigma2: float) -> None:
        """Eigenvalues that are about these multiples of sigma2, in an order that is drawn."""
        values = torch.tensor(shares) * see.uniform(len(shares), low=0.95, high=1.05) * sigma2
        values = values[torch.from_numpy(see.rng.permutation(len(shares)))]
        _note_whole(see, label, see.call(label, implementation, values, sigma2, inputs=["eigenvalues", "sigma2"]))

    for value, sigma2 in ((0.02, 0.04), (0.1, 0.04), (5.0, 9.0), (12.0, 9.0), (0.0404, 0.04), (8.91, 9.0)):
        what = f"with {value} as the eigenvalue and sigma2 = {sigma2}"
        _note_one(see, "one eigenvalue", what, lambda v=value, s=sigma2: implementation(torch.tensor([v]), s))
    call("8 eigenvalues, sigma2 = 0.04", [0.2, 0.5, 0.8, -1e-7, 1.3, 2.0, 4.0, 20.0], 0.04)
    call("6 eigenvalues, sigma2 = 9", [0.05, 0.25, 0.7, 1.6, 4.0, 0.5], 9.0)
    call("5 eigenvalues, all above sigma2", [1.5, 2.0, 1.2, 5.0, 30.0], 0.25)
    call("4 eigenvalues, none above sigma2", [0.9, 0.5, 0.1, 0.01], 4.0)
    call("one eigenvalue that is drawn", [2.5], 0.01)
