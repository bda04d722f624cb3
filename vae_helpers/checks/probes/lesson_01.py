"""Probes of lesson 01, latent variables."""

import math
import zlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ...toy import LinearGaussian
from ..recorder import Recorder, undisturbed
from . import choice, number, probe

choice("predict_naive_bias", "abc")
choice("predict_naive_growth", "abc")
number("predict_perfect_ess", rtol=1e-3)
choice("predict_proposal_width", "abc")

ROWS = 10_000
# A statistic of ROWS draws, compared with another's, is off by more than 6 standard errors of the difference once in
# 5·10⁸ times; 84 of them are recorded, so that a right answer fails once in 6 million times.
SIGMAS = 6 * 2**0.5


@probe("ancestral_sample")
def ancestral_sample(implementation: Callable, see: Recorder) -> None:
    model = LinearGaussian(see.normal(4, 3), see.normal(4, mean=2.0), float(see.rng.uniform(0.35, 0.55)))
    _draws(f"{ROWS:,} draws, generator=None", lambda: implementation(model, ROWS), model, see)
    seed = int(see.rng.integers(2**31))
    label = f"{ROWS:,} draws from a generator"
    _draws(label, lambda: implementation(model, ROWS, torch.Generator().manual_seed(seed)), model, see)
    _randomness(implementation, model, seed, see)
    for n, p, d in [(1, 1, 1), (1, 3, 2), (5, 2, 4), (3, 3, 3)]:
        label = f"{n} draw{'s' * (n > 1)}, D = {d}, P = {p}"
        small = LinearGaussian(see.normal(p, d), see.normal(p), 0.5)
        before = [small.weight.clone(), small.bias.clone()]
        with undisturbed(see.seed), see.attempt(label):
            _note_shapes(label, implementation(small, n), small, see)
            same = torch.equal(small.weight, before[0]) and torch.equal(small.bias, before[1])
            see.note(label, "the model's weight and bias afterwards", "as before" if same else "changed")


def _note_shapes(label: str, result, model: LinearGaussian, see: Recorder) -> bool:
    """Record the shapes of z and x, and what would stop the cells that follow; says whether there are two tables of numbers."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        kind = f"{len(result)} things" if isinstance(result, (tuple, list)) else f"one {type(result).__name__}"
        see.note(label, "what is returned", f"{kind}, where the pair (z, x) was expected")
        return False
    see.note(label, "what is returned", "two things")
    shapes = [tuple(part.shape) if hasattr(part, "shape") else type(part).__name__ for part in result]
    for name, shape, part in zip("zx", shapes, result, strict=True):
        see.note(label, f"the shape of {name}", str(shape))
        see.note_double(label, name, part)
        see.note_pitfalls(label, name, part, [model.weight, model.bias])
    return all(isinstance(shape, tuple) and len(shape) == 2 for shape in shapes)


def _table(part) -> np.ndarray:
    return np.asarray(part.detach().cpu() if isinstance(part, Tensor) else part, dtype=np.float64)


def _draws(label: str, draw: Callable, model: LinearGaussian, see: Recorder) -> None:
    """Facts about many draws: the distribution of z, the straight line from z to x (least squares), and what is left."""
    with undisturbed(zlib.crc32(f"{see.seed} {label}".encode())), see.attempt(label):
        result = draw()
        if not _note_shapes(label, result, model, see):
            return
        z, x = map(_table, result)
        if z.shape != (ROWS, 3) or x.shape != (ROWS, 4) or not (np.isfinite(z).all() and np.isfinite(x).all()):
            return
        if not _noise(label, "z", z, see):
            return
        inputs = np.concatenate([z, np.ones((ROWS, 1))], axis=1)
        line = np.linalg.lstsq(inputs, x, rcond=None)[0]  # (4, 4): three rows of slopes, one of values at z = 0
        rest = x - inputs @ line
        std = rest.std(0)
        near = SIGMAS * std / ROWS**0.5 + 1e-4
        noisy = bool((std > 1e-3).any())
        noise = x - z @ _table(model.weight).T - _table(model.bias)
        shared = not noisy and bool((noise.std(0) < 1e-3).all() and (np.ptp(noise) < 1e-3) and (abs(noise) > 1e-3).all())
        missing = (
            "one number for all rows and pixels"
            if shared
            else "none of its own: x is the same linear function of z in all rows"
        )
        see.note(label, "the noise in x", "there" if noisy else missing)
        if shared:
            return
        see.note(label, "the slope of x against z (least squares)", line[:3].T, rtol=0, atol=near[:, None] * np.ones(3))
        see.note(label, "x where z is 0 (least squares)", line[3], rtol=0, atol=near)
        if noisy:
            _noise(label, "the noise in x", rest, see)


def _noise(label: str, name: str, rows: np.ndarray, see: Recorder) -> bool:
    """Facts about independent noise in (ROWS, dimensions); says whether the rows differ."""
    if (rows == rows[:1]).all():
        see.note(label, f"{name} in different rows", "the same")
        return False
    # Of ROWS draws in float32 a few coincide, never a tenth.
    repeated = min(len(np.unique(column)) for column in rows.T) < 0.9 * ROWS
    see.note(label, f"{name} in different rows", "the same in some of them" if repeated else "different")
    mean, std = rows.mean(0), rows.std(0)
    standard = (rows - mean) / np.maximum(std, 1e-12)
    first, second = np.triu_indices(rows.shape[1], 1)
    correlation = (standard[:, first] * standard[:, second]).mean(0)
    alike = bool((np.abs(correlation) > 0.99).all())
    see.note(label, f"{name} in different dimensions", "the same" if alike else "different")
    root = ROWS**0.5
    # What least squares leaves over has a mean of 0 by construction, and 3e-16 by rounding.
    see.note(label, f"the mean of {name}", mean, rtol=0, atol=SIGMAS * std / root + 1e-6)
    see.note(label, f"the standard deviation of {name}", std, rtol=0, atol=SIGMAS / 2**0.5 * std / root)
    see.note(label, f"the correlations of {name} between dimensions", correlation, rtol=0, atol=SIGMAS / root)
    # The average distance from the mean in standard deviations tells a bell from a box: 0.80 against 0.87.
    # Of ROWS normal draws it has a standard error of 0.22 / √ROWS.
    distance = np.abs(standard).mean(0)
    what = f"the shape of {name} (its average distance from the mean, in standard deviations)"
    see.note(label, what, distance, rtol=0, atol=SIGMAS * 0.22 / root)
    return True


def _randomness(implementation: Callable, model: LinearGaussian, seed: int, see: Recorder) -> None:
    """Where the random numbers come from."""

    def compare(label: str, first, second) -> None:
        for name, a, b in zip("zx", map(_table, first), map(_table, second), strict=True):
            see.note(label, name, "the same" if np.array_equal(a, b) else "different")
        noise = [_table(x) - _table(z) @ _table(model.weight).T - _table(model.bias) for z, x in (first, second)]
        see.note(label, "the noise in x", "the same" if np.allclose(*noise, atol=1e-5) else "different")

    label = "two generators with the same seed"
    with undisturbed(see.seed), see.attempt(label):
        first = implementation(model, 6, torch.Generator().manual_seed(seed))
        torch.manual_seed(see.seed + 1)  # the global state is another one now
        compare(label, first, implementation(model, 6, generator=torch.Generator().manual_seed(seed)))
    label = "as many visible as hidden numbers"  # so that the same random numbers twice come out as the same numbers
    square = LinearGaussian(see.normal(3, 3), see.normal(3), 0.5)
    with undisturbed(see.seed), see.attempt(label):
        z, x = map(_table, implementation(square, 6, torch.Generator().manual_seed(seed)))
        noise = (x - z @ _table(square.weight).T - _table(square.bias)) / 0.5
        see.note(label, "the noise in x", "z over again" if np.allclose(noise, z, atol=1e-4) else "of its own")
    label = "the same generator a second time"
    with undisturbed(see.seed), see.attempt(label):
        generator = torch.Generator().manual_seed(seed)
        compare(label, implementation(model, 6, generator), implementation(model, 6, generator))
    for label, more in [("no generator, two calls", ()), ("generator=None, two calls", (None,))]:
        # A seed that nobody would choose, so that reseeding shows.
        with undisturbed(zlib.crc32(f"{see.seed} {label}".encode())), see.attempt(label):
            before = torch.initial_seed()
            first = implementation(model, 6, *more)
            second = implementation(model, 6, *more)
            see.note(label, "resets the global random seed", "no" if torch.initial_seed() == before else "yes")
            compare(label, first, second)


def _on_tensors(implementation: Callable) -> Callable:
    """The same function of the model's parts, so that the recorder sees what becomes of them."""

    def call(weight: Tensor, bias: Tensor, sigma: float, *rest):
        return implementation(LinearGaussian(weight, bias, sigma), *rest)

    return call


PARTS = ["model.weight", "model.bias", "model.sigma"]


def _parts(see: Recorder, p: int, d: int, scale: float = 1.0, sigma: float | None = None) -> tuple[Tensor, Tensor, float]:
    sigma = float(see.rng.uniform(0.4, 0.8)) if sigma is None else sigma
    return see.normal(p, d, std=scale), see.normal(p), sigma


def _near(see: Recorder, parts: tuple[Tensor, Tensor, float], n: int, width: float = 1.0) -> Tensor:
    """n images from the model, with `width` times its noise: (n, P)."""
    weight, bias, sigma = parts
    z, noise = see.rng.normal(size=(n, weight.shape[1])), see.rng.normal(size=(n, weight.shape[0]))
    return torch.from_numpy((z @ weight.numpy().T + bias.numpy() + width * sigma * noise).astype(np.float32))


@probe("log_marginal")
def log_marginal(implementation: Callable, see: Recorder) -> None:
    function = _on_tensors(implementation)
    near = {"inputs": [*PARTS, "x"], "rtol": 3e-4, "atol": 1e-3}
    for label, n, p, d in [
        ("5 images, P = 4, D = 2", 5, 4, 2),
        ("4 images, P = D = 4", 4, 4, 4),
        ("one image", 1, 3, 2),
        ("P = 1, D = 1", 5, 1, 1),
        ("P = 2, D = 5", 3, 2, 5),
    ]:
        parts = _parts(see, p, d)
        see.call(label, function, *parts, _near(see, parts, n, 1.5), **near)
    parts = _parts(see, 3, 2)
    see.call("images far from the mean", function, *parts, see.normal(4, 3, std=60), **near)
    parts = _parts(see, 200, 3, scale=0.03, sigma=0.02)
    large = {"inputs": [*PARTS, "x"], "rtol": 1e-3, "atol": 1e-2}
    see.call("200 pixels, sigma = 0.02", function, *parts, _near(see, parts, 3), **large)
    parts = _parts(see, 200, 3, scale=0.3, sigma=8.0)
    see.call("200 pixels, sigma = 8", function, *parts, _near(see, parts, 3), **large)


@probe("log_mean_exp")
def log_mean_exp(implementation: Callable, see: Recorder) -> None:
    near = {"inputs": ["log_values"], "rtol": 1e-6, "atol": 1e-3}

    def values(*shape: int, mean: float = 0.0) -> Tensor:
        return see.normal(*shape, mean=mean, std=2.0)

    see.call("6 values", implementation, values(6), **near)
    see.call("4 by 3 by 1 values, dim = 0", implementation, values(4, 3, 1), dim=0, **near)
    see.call("5 by 3 values, no dim given", implementation, values(5, 3), **near)
    see.call("5 by 3 values, dim = 0", implementation, values(5, 3), dim=0, **near)
    see.call("5 by 3 values, dim = 1", implementation, values(5, 3), dim=1, **near)
    see.call("4 by 4 values, dim = −1", implementation, values(4, 4), dim=-1, **near)
    see.call("5 by 3 values, dim = −1", implementation, values(5, 3), dim=-1, **near)
    see.call("2 by 3 by 4 values, dim = 1", implementation, values(2, 3, 4), dim=1, **near)
    see.call("2 by 3 by 4 values, dim = −3", implementation, values(2, 3, 4), dim=-3, **near)
    see.call("one value in each column", implementation, values(1, 4), **near)
    see.call("one column", implementation, values(5, 1), **near)
    see.call("values near 1000", implementation, values(5, 3, mean=1000), **near)
    see.call("values near −1000", implementation, values(5, 3, mean=-1000), **near)
    scales = torch.tensor([1000.0, 0.0, -1000.0])
    see.call("columns near 1000, 0 and −1000", implementation, values(5, 3) + scales, **near)
    see.call("values near 1000 and −1000 in one column", implementation, (values(3, 5) + scales[:, None]), **near)
    holes = values(6, 3)
    holes[1:4, 0] = -math.inf
    holes[0, 1] = -math.inf
    see.call("some values are −∞", implementation, holes, **near)
    empty = values(4, 3)
    empty[:, 1] = -math.inf
    see.call("a column of nothing but −∞", implementation, empty, **near)
    low = values(6, 3)
    low[2] -= 150
    see.call("one value far below the others", implementation, low, **near)


SAMPLED = [  # label, K, N, P, D
    ("7 samples, 5 images, P = 4, D = 3", 7, 5, 4, 3),
    ("4 samples, 4 images, P = D = 4", 4, 4, 4, 4),
    ("5 samples, 5 images, P = 3, D = 2", 5, 5, 3, 2),
    ("one sample", 1, 5, 4, 2),
    ("one image", 6, 1, 4, 2),
    ("P = 1, D = 1", 6, 5, 1, 1),
    ("P = 2, D = 5", 6, 3, 2, 5),
]


@probe("log_marginal_naive")
def log_marginal_naive(implementation: Callable, see: Recorder) -> None:
    function = _on_tensors(implementation)
    near = {"inputs": [*PARTS, "x", "z"], "rtol": 3e-4, "atol": 1e-3}
    for label, k, n, p, d in SAMPLED:
        parts = _parts(see, p, d)
        # Images a little off, and samples with less spread, so that no single sample decides.
        see.call(label, function, *parts, _near(see, parts, n, 1.5), see.normal(k, d, std=0.6), **near)
    large = near | {"rtol": 1e-3}
    parts = _parts(see, 300, 2, scale=0.002, sigma=0.015)
    see.call("300 pixels, densities too large for exp", function, *parts, _near(see, parts, 3), see.normal(5, 2), **large)
    parts = _parts(see, 300, 2, scale=0.05, sigma=1.5)
    see.call("300 pixels, densities too small for exp", function, *parts, _near(see, parts, 3), see.normal(5, 2), **large)
    parts = _parts(see, 4, 2)
    see.call("3 images far apart", function, *parts, _far_apart(see, parts), see.normal(5, 2, std=0.6), **large)


def _far_apart(see: Recorder, parts: tuple[Tensor, Tensor, float]) -> Tensor:
    """Three images whose log densities are hundreds of nats apart."""
    return _near(see, parts, 3) + torch.tensor([[0.0], [20.0], [40.0]])


@probe("log_marginal_importance")
def log_marginal_importance(implementation: Callable, see: Recorder) -> None:
    function = _on_tensors(implementation)
    near = {"inputs": [*PARTS, "x", "q_mean", "q_std", "eps"], "rtol": 3e-4, "atol": 1e-3}
    for label, k, n, p, d in SAMPLED:
        parts = _parts(see, p, d)
        q = see.normal(n, d, std=0.7), see.uniform(n, d, low=0.3, high=0.8)
        see.call(label, function, *parts, _near(see, parts, n, 1.5), *q, see.normal(k, n, d), **near)
    parts = _parts(see, 4, 3)
    prior = torch.zeros(4, 3), torch.ones(4, 3)
    see.call("q is the prior", function, *parts, _near(see, parts, 4), *prior, see.normal(6, 4, 3), **near)
    parts = _parts(see, 4, 2)
    narrow = see.normal(3, 2, mean=2.0), see.uniform(3, 2, low=3e-3, high=1e-2)
    see.call("a very narrow q", function, *parts, _near(see, parts, 3), *narrow, see.normal(5, 3, 2), **near)
    large = near | {"rtol": 1e-3}
    for label, scale, sigma in [("large", 0.002, 0.015), ("small", 0.05, 1.5)]:
        parts = _parts(see, 300, 2, scale=scale, sigma=sigma)
        q = see.normal(3, 2), see.uniform(3, 2, low=0.5, high=1.5)
        label = f"300 pixels, densities too {label} for exp"
        see.call(label, function, *parts, _near(see, parts, 3), *q, see.normal(5, 3, 2), **large)
    parts = _parts(see, 4, 2)
    q = see.normal(3, 2, std=0.7), see.uniform(3, 2, low=0.3, high=0.8)
    see.call("3 images far apart", function, *parts, _far_apart(see, parts), *q, see.normal(5, 3, 2), **large)
    parts = _parts(see, 4, 32, scale=0.3)
    narrow = see.normal(3, 32), see.uniform(3, 32, low=3e-3, high=1e-2)
    see.call("a very narrow q, D = 32", function, *parts, _near(see, parts, 3), *narrow, see.normal(5, 3, 32), **large)
    parts = _parts(see, 4, 2)
    far = see.normal(3, 2, mean=16.0, std=0.5), see.uniform(3, 2, low=0.3, high=0.8)
    x = far[0] @ parts[0].T + parts[1]
    see.call("q far from the prior", function, *parts, x, *far, see.normal(5, 3, 2), **large)


@probe("effective_sample_size")
def effective_sample_size(implementation: Callable, see: Recorder) -> None:
    near = {"inputs": ["log_weights"], "rtol": 2e-3, "atol": 1e-4}
    see.call("8 samples, 5 images", implementation, see.normal(8, 5), **near)
    see.call("4 samples, 4 images", implementation, see.normal(4, 4), **near)
    see.call("3 samples, 6 images", implementation, see.normal(3, 6), **near)
    see.call("one sample", implementation, see.normal(1, 3), **near)
    see.call("one image", implementation, see.normal(6, 1), **near)
    see.call("equal weights", implementation, see.normal(1, 4).expand(7, 4).clone(), **near)
    dominated = see.normal(6, 3)
    dominated[2] += 60
    see.call("one weight outweighs the others", implementation, dominated, **near)
    see.call("log weights near 1000", implementation, see.normal(6, 3, mean=1000), **near)
    see.call("log weights near −1000", implementation, see.normal(6, 3, mean=-1000), **near)
    scales = torch.tensor([1000.0, 0.0, -1000.0])
    see.call("images whose log weights are near 1000, 0 and −1000", implementation, see.normal(6, 3) + scales, **near)
    holes = see.normal(6, 3)
    holes[1:4, 0] = -math.inf
    holes[0, 1] = -math.inf
    see.call("some weights are 0", implementation, holes, **near)
