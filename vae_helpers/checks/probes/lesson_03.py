"""Probes of lesson 03, KL divergence."""

import math

import numpy as np
import torch

from ..expressions import expression
from ..recorder import Recorder
from . import choice, number, probe

choice("predict_narrow", "abc")
number("predict_double_mu", rtol=0.05)
choice("predict_low_variance", "abc")
choice("predict_forward_fit", "abc")
choice("predict_vae_direction", "abc")


@probe("kl_on_grid")
def kl_on_grid(implementation, see: Recorder) -> None:
    def call(label, extent, points, q, p):
        # Humps are (weight, mean, std); all lie far from both ends of the grid, so that any rule of quadrature will do.
        grid = np.linspace(-extent, extent, points)
        logs = [torch.from_numpy(_log_mixture(grid, humps).astype(np.float32)) for humps in (q, p)]
        see.call(label, implementation, *logs, 2 * extent / (points - 1), inputs=["log_q", "log_p"], rtol=1e-3, atol=1e-4)

    def hump(low, high):
        return [(1.0, see.rng.uniform(-1, 1), see.rng.uniform(low, high))]

    centre, weight = see.rng.uniform(1.5, 2.5), see.rng.uniform(0.3, 0.7)
    two_humps = [(weight, -centre, 0.6), (1 - weight, centre, 0.8)]
    call("two Gaussians, 801 points", 12, 801, hump(0.5, 0.8), hump(1.0, 1.5))
    call("two Gaussians, 241 points", 12, 241, hump(1.0, 1.5), hump(0.6, 0.8))
    call("q with two humps", 12, 601, two_humps, hump(1.2, 1.6))
    call("p with two humps", 12, 601, hump(1.2, 1.6), two_humps)
    call("q equal to p", 12, 601, two_humps, two_humps)
    call("p so narrow that exp(log_p) is 0 in places", 12, 801, hump(1.0, 1.3), hump(0.2, 0.3))
    # A p that falls from exp(-86) to exp(-105) from one point to the next: in between, some processors make 0 of a number.
    step = 24 / 800
    centre = step * int(see.rng.integers(-20, 20))
    call("p narrower than the grid", 12, 801, hump(1.0, 1.3), [(1.0, centre, 0.75 * step)])


def _log_mixture(grid: np.ndarray, humps: list[tuple[float, float, float]]) -> np.ndarray:
    """Log density on the grid of a mixture of Gaussians (weight, mean, std)."""
    logs = [
        math.log(weight) - 0.5 * ((grid - mean) / std) ** 2 - math.log(std) - 0.5 * math.log(2 * math.pi)
        for weight, mean, std in humps
    ]
    return np.logaddexp.reduce(logs, axis=0)


@probe("kl_1d")
def kl_1d(implementation, see: Recorder) -> None:
    expression(see, implementation, {"m": (-2.0, 2.0), "v": (0.2, 3.0)})


@probe("gaussian_kl")
def gaussian_kl(implementation, see: Recorder) -> None:
    names = {"inputs": ["mu", "logvar"], "gradients": ["mu", "logvar"]}
    see.call("5 rows, 3 dimensions", implementation, see.normal(5, 3), see.normal(5, 3), **names)
    see.call("4 rows, 4 dimensions", implementation, see.normal(4, 4), see.normal(4, 4), **names)
    see.call("one row", implementation, see.normal(1, 3), see.normal(1, 3), **names)
    see.call("one dimension", implementation, see.normal(5, 1), see.normal(5, 1), **names)
    see.call("at the prior itself", implementation, see.normal(3, 2, std=0), see.normal(3, 2, std=0), **names)
    see.call("very narrow q", implementation, see.normal(3, 2), see.uniform(3, 2, low=-20, high=-15), **names)
    see.call("very wide q", implementation, see.normal(3, 2, std=20), see.uniform(3, 2, low=6, high=9), **names)
    far = torch.tensor([[-40.0, 1.0], [2.0, -33.0], [35.0, 0.5]])
    see.call("logvar from −40 to 35", implementation, see.normal(3, 2), far, **names)


@probe("gaussian_kl_between")
def gaussian_kl_between(implementation, see: Recorder) -> None:
    inputs = ["mu_q", "logvar_q", "mu_p", "logvar_p"]
    names = {"inputs": inputs, "gradients": inputs}

    def four(*shape):
        return [see.normal(*shape) for _ in inputs]

    see.call("5 rows, 3 dimensions", implementation, *four(5, 3), **names)
    see.call("4 rows, 4 dimensions", implementation, *four(4, 4), **names)
    see.call("one row", implementation, *four(1, 3), **names)
    see.call("one dimension", implementation, *four(5, 1), **names)
    mu, logvar = see.normal(3, 2), see.normal(3, 2)
    see.call("q equal to p", implementation, mu, logvar, mu, logvar, **names)
    narrow, wide = see.uniform(3, 2, low=-12, high=-9), see.uniform(3, 2, low=1, high=3)
    see.call("narrow q, wide p", implementation, see.normal(3, 2), narrow, see.normal(3, 2), wide, **names)
    narrow, wide = see.uniform(3, 2, low=-4, high=-2), see.uniform(3, 2, low=1, high=3)
    see.call("wide q, narrow p", implementation, see.normal(3, 2), wide, see.normal(3, 2), narrow, **names)
    # p so narrow that a small constant beside its variance, or a bound below its standard deviation, shows.
    means, narrow = [see.normal(3, 2, std=5e-5) for _ in "qp"], torch.full((3, 2), -20.0)
    see.call("q and p with logvar −20", implementation, means[0], narrow, means[1], narrow.clone(), **names)
    means, narrow = [see.normal(3, 2, std=2e-3) for _ in "qp"], see.uniform(3, 2, low=-20, high=-15)
    wider = see.uniform(3, 2, low=-14, high=-12)
    see.call("very narrow q, p narrower still", implementation, means[0], wider, means[1], narrow, **names)


def _from_samples(implementation, see: Recorder) -> None:
    """Both estimators: q stays so close to the prior that no single sample decides a result."""
    names = {"inputs": ["mu", "logvar", "eps"], "gradients": ["mu", "logvar"], "atol": 1e-4}

    def call(label, k, n, d, scale=0.7, **kwargs):
        mu, logvar = see.normal(n, d, std=scale), see.uniform(n, d, low=-scale, high=scale)
        see.call(label, implementation, mu, logvar, see.normal(k, n, d), **names | kwargs)

    call("7 samples, 5 rows, 3 dimensions", 7, 5, 3)
    call("4 samples, 4 rows, 3 dimensions", 4, 4, 3)
    call("3 samples, 3 rows, 3 dimensions", 3, 3, 3)
    call("one sample", 1, 5, 3)
    call("one row", 6, 1, 3)
    call("one dimension", 6, 5, 1)
    call("at the prior itself", 4, 3, 2, scale=0.0)
    # log q and log p are about -284 each, so that float32 leaves an error of about 1e-4 in their difference.
    call("200 dimensions", 5, 3, 200, scale=0.05, rtol=1e-3, atol=1e-3)


@probe("kl_monte_carlo")
def kl_monte_carlo(implementation, see: Recorder) -> None:
    _from_samples(implementation, see)
    names = {"inputs": ["mu", "logvar", "eps"], "gradients": ["mu", "logvar"], "atol": 1e-3}
    mu, logvar = see.normal(3, 2, std=3), see.uniform(3, 2, low=-4, high=-2)
    see.call("narrow q, far from the prior", implementation, mu, logvar, see.normal(5, 3, 2), **names)


@probe("kl_low_variance")
def kl_low_variance(implementation, see: Recorder) -> None:
    _from_samples(implementation, see)
    names = {"inputs": ["mu", "logvar", "eps"], "gradients": ["mu", "logvar"], "rtol": 1e-3, "atol": 1e-2}
    mu, logvar = see.normal(3, 200), see.uniform(3, 200, low=-1, high=0)
    see.call("200 dimensions, r too small for a float", implementation, mu, logvar, see.normal(4, 3, 200), **names)
    # Wide q, and samples near its middle, where p is far larger: log r near 15, and its exponential is no more than a large number.
    names |= {"rtol": 1e-3, "atol": 1.0}
    mu, logvar, eps = see.normal(3, 12, std=0.1), see.uniform(3, 12, low=2.3, high=2.8), see.normal(5, 3, 12, std=0.02)
    see.call("12 dimensions, r in the millions", implementation, mu, logvar, eps, **names)
    # The same with log r near 30 and 40.
    names |= {"atol": 1e8}
    mu, logvar, eps = see.normal(2, 20, std=0.1), see.uniform(2, 20, low=3.3, high=3.8), see.normal(5, 2, 20, std=0.02)
    see.call("20 dimensions, r with more than 12 digits", implementation, mu, logvar, eps, **names)
