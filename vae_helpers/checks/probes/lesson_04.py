"""Probes of lesson 04, reparameterization."""

import zlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..recorder import Recorder, undisturbed
from . import choice, number, probe

ROWS = 5_000
# A statistic of ROWS draws, compared with another's, is off by more than 6 standard errors of the difference once in
# 5·10⁸ times; fifteen of them are recorded.
SIGMAS = 6 * 2**0.5


@probe("reparameterize")
def reparameterize(implementation, see: Recorder) -> None:
    names = {"inputs": ["mu", "logvar", "eps"], "gradients": ["mu", "logvar"]}
    for label, n, d in [
        ("5 rows, 3 dimensions", 5, 3),
        ("4 rows, 4 dimensions", 4, 4),
        ("one row", 1, 3),
        ("one dimension", 5, 1),
    ]:
        see.call(label, implementation, see.normal(n, d), see.normal(n, d), see.normal(n, d), **names)
    zero = see.normal(1, 1, std=0)
    see.call("one row, one dimension, eps = 0", implementation, see.normal(1, 1), see.normal(1, 1), zero, **names)
    narrow = see.uniform(3, 2, low=-20, high=-19)
    # Means of zero, and tolerances to match, so that the small noise can be seen.
    see.call(
        "logvar near -20", implementation, see.normal(3, 2, std=0), narrow, see.normal(3, 2), rtol=2e-3, atol=1e-9, **names
    )
    wide = see.uniform(3, 2, low=9, high=10)
    see.call("logvar near 10", implementation, see.normal(3, 2), wide, see.normal(3, 2), **names)
    named = {"inputs": ["mu", "logvar"], "gradients": ["mu", "logvar"]}
    see.call("eps given by name", implementation, see.normal(3, 2), see.normal(3, 2), eps=see.normal(3, 2), **named)
    _own_noise(implementation, see)


def _own_noise(implementation: Callable[..., Tensor], see: Recorder) -> None:
    """What the implementation does where it draws the noise itself: facts about its noise, never single numbers."""
    label = f"eps = None, {ROWS} equal rows"
    mu, logvar = see.normal(3), see.uniform(3, low=-3, high=-1)
    logvar[1:2] += 4
    weight = see.uniform(3, low=0.5, high=1.5)
    leaves = [vector.expand(ROWS, 3).clone().requires_grad_() for vector in (mu, logvar)]
    passed = [leaf.clone() for leaf in leaves]
    before = [tensor.detach().clone() for tensor in passed]
    seed = zlib.crc32(f"{see.seed} {label}".encode())
    with undisturbed(seed), see.attempt(label):
        first = implementation(*passed)
        reseeded = torch.initial_seed() != seed
        second = implementation(*passed)
        if not isinstance(first, Tensor) or first.shape != (ROWS, 3):
            shape = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
            see.note(label, "the shape of the result", str(shape))
            return
        see.note(label, "the shape of the result", str(tuple(first.shape)))
        z = first.detach().double().cpu().numpy()
        again = np.array_equal(z, second.detach().double().cpu().numpy())
        rows_alike = bool((z == z[:1]).all())
        see.note(label, "the result of a second call", "the same" if again else "another")
        # Of ROWS float32 draws a few coincide, never a tenth.
        repeated = not rows_alike and min(len(np.unique(column)) for column in z.T) < 0.9 * ROWS
        noise = "the same in all of them" if rows_alike else "the same in some of them" if repeated else "different"
        see.note(label, "the noise of the rows", noise)
        with np.errstate(all="ignore"):
            mean, std = z.mean(0), z.std(0)
            standard = (z - mean) / std
            correlation = (standard[:, [0, 0, 1]] * standard[:, [1, 2, 2]]).mean(0)
        alike = not rows_alike and bool((np.abs(correlation) > 0.999).all())
        see.note(label, "the noise of the dimensions", "the same in all of them" if alike else "different")
        if not rows_alike:
            root = ROWS**0.5
            see.note(label, "the mean of each dimension", mean, rtol=0, atol=SIGMAS * std / root)
            see.note(label, "the log standard deviation of each dimension", np.log(std), rtol=0, atol=SIGMAS / 2**0.5 / root)
            # The average distance from the mean in standard deviations tells a bell from a box: 0.80 against 0.87.
            # Of ROWS normal draws it has a standard error of 0.22 / √ROWS.
            shape = np.abs(standard).mean(0)
            see.note(label, "the noise's shape (average distance from its mean)", shape, rtol=0, atol=SIGMAS * 0.22 / root)
            see.note(label, "the correlations between dimensions", correlation, rtol=0, atol=SIGMAS / root)
            told = "none of the noise lies further than 2.6 from 0, where one in a hundred should: the standard normal has no end."
            far = bool((np.abs(standard) > 2.6).any())
            see.note(label, "some of the noise lies further than 2.6 from 0", far, told=told)
        changed = [n for n, a, b in zip(("mu", "logvar"), passed, before, strict=True) if not torch.equal(a.detach(), b)]
        see.note(label, "inputs changed in place", ", ".join(changed) or "none")
        see.note(label, "resets the global random seed", "yes" if reseeded else "no")

        gradients = [None, None]
        if first.requires_grad:
            gradients = torch.autograd.grad((first * weight).sum(), leaves, allow_unused=True)
        by_mu, by_logvar = (torch.zeros(ROWS, 3) if g is None else g for g in gradients)
        see.note(label, "gradient with respect to mu (first rows)", by_mu[:4])
        size = by_logvar.double().pow(2).mean(0).sqrt().numpy()
        atol = SIGMAS / 2**0.5 / ROWS**0.5 * size
        see.note(label, "gradient with respect to logvar (root mean square)", size, rtol=0, atol=atol)
    label = "eps = None, one row, one dimension"
    with undisturbed(seed), see.attempt(label):
        one = [see.normal(1, 1), see.normal(1, 1)]
        first, second = implementation(*one), implementation(*one)
        see.note(label, "the shape of the result", str(tuple(first.shape)))
        told = "the result is NaN or infinite for a single row: draw standard normal noise as it is, and scale it by no statistic."
        see.note(label, "the result is finite", bool(torch.isfinite(first).all()), told=told)
        see.note(label, "the result of a second call", "the same" if torch.equal(first, second) else "another")


class NoGradient(RuntimeError):
    """Autograd found no way from the result back to mu and logvar."""


def _with_leaves(estimator: Callable, asked: list[str]) -> Callable:
    """Call a gradient estimator with plain tensors; where autograd finds no gradient, with tensors that ask for one.

    asked: gets a word for what it wants of the tensors that it is given: that they ask for a gradient, or will.
    """

    def found_none(error: RuntimeError) -> bool:
        return "does not require grad" in str(error) or "requires_grad=False" in str(error)

    def call(f, mu, logvar, eps, **options):
        try:
            result = estimator(f, mu, logvar, eps, **options)
            if mu.requires_grad or logvar.requires_grad:
                asked.append("the caller's tensors ask for a gradient afterwards")
            return result
        except RuntimeError as error:
            if not found_none(error):
                raise
        asked.append("only tensors that ask for a gradient will do")
        leaves = [tensor.detach().clone().requires_grad_() for tensor in (mu, logvar)]
        try:
            return estimator(f, *leaves, eps, **options)
        except RuntimeError as error:
            if not found_none(error):
                raise
            raise NoGradient(f"nothing flows back from f(z) to mu and logvar ({error})") from None

    return call


def _smooth(see: Recorder, d: int, offset: float = 0.0) -> Callable[[Tensor], Tensor]:
    """A smooth f whose dimensions interact; works on any leading shape and on float64."""
    a, b, c = see.uniform(d, low=0.3, high=1.0), see.normal(d), see.normal(d)
    return lambda z: (a * z.pow(2) + b * z.sin()).sum(-1) + (c * z).sum(-1).tanh() + offset


ESTIMATOR = {"inputs": ["f", "mu", "logvar", "eps"], "rtol": 1e-3, "atol": 1e-4}
SIZES = [
    ("7 samples, 5 rows, 3 dimensions", 7, 5, 3),
    ("4 samples, 4 rows, 4 dimensions", 4, 4, 4),
    ("one sample", 1, 5, 3),
    ("one row", 6, 1, 2),
    ("one dimension", 6, 5, 1),
    ("one sample, one row, one dimension", 1, 1, 1),
]


def _note_what_it_asks(see: Recorder, asked: list[str]) -> None:
    what = asked[0] if asked else "plain tensors, left plain"
    told = f"{what}. They come as plain tensors, and stay so: make leaves of copies, `mu.detach().clone().requires_grad_()`."
    see.note("mu and logvar", "what it asks of them", what, told=told)


@probe("pathwise_gradient")
def pathwise_gradient(implementation, see: Recorder) -> None:
    estimator = _with_leaves(implementation, asked := [])
    for label, k, n, d in SIZES:
        mu, logvar = see.normal(n, d), see.uniform(n, d, low=-2, high=1.5)
        see.call(label, estimator, _smooth(see, d), mu, logvar, see.normal(k, n, d), **ESTIMATOR)
    _note_what_it_asks(see, asked)


@probe("score_function_gradient")
def score_function_gradient(implementation, see: Recorder) -> None:
    estimator = _with_leaves(implementation, asked := [])
    for label, k, n, d in SIZES:
        mu, logvar = see.normal(n, d), see.uniform(n, d, low=-2, high=1.5)
        see.call(label, estimator, _smooth(see, d, 2.0), mu, logvar, see.normal(k, n, d), **ESTIMATOR)

    mu, logvar, eps = see.normal(5, 3), see.uniform(5, 3, low=-2, high=1.5), see.normal(7, 5, 3)
    baseline = float(see.uniform(1, low=1, high=4))
    see.call("with a baseline", estimator, _smooth(see, 3, 2.0), mu, logvar, eps, baseline=baseline, **ESTIMATOR)

    mu, logvar, eps = see.normal(5, 3), see.uniform(5, 3, low=-2, high=1.5), see.normal(9, 5, 3)
    height = float(see.uniform(1, low=1, high=3))

    def threshold(z: Tensor) -> Tensor:
        return (height * (z.detach().sum(-1) > 0)).to(z.dtype)

    see.call("f is a step", estimator, threshold, mu, logvar, eps, **ESTIMATOR)
    see.call("f is a step, with a baseline", estimator, threshold, mu, logvar, eps, baseline=0.5, **ESTIMATOR)
    _note_what_it_asks(see, asked)


@probe("gumbel_softmax")
def gumbel_softmax(implementation, see: Recorder) -> None:
    def noise(*shape: int) -> Tensor:
        return -(-see.uniform(*shape, low=0.01, high=0.99).log()).log()

    names = {"inputs": ["logits", "gumbel", "temperature"], "gradients": ["logits"]}
    for label, n, c, temperature in [
        ("5 rows, 3 categories, temperature 0.7", 5, 3, 0.7),
        ("4 rows, 4 categories, temperature 1", 4, 4, 1.0),
        ("one row, temperature 2", 1, 4, 2.0),
        ("one category", 3, 1, 0.5),
        ("temperature 0.1", 5, 3, 0.1),
        # So many rows that the two best of one are close: a clear winner looks the same at every low temperature.
        ("temperature 0.05", 40, 3, 0.05),
        ("temperature 20", 4, 3, 20.0),
    ]:
        # A low temperature magnifies what rounding did to a probability near 1, in the gradient.
        near = 1e-5 / min(1.0, temperature)
        see.call(label, implementation, see.normal(n, c, std=1.5), noise(n, c), temperature, atol=near, **names)
    # So high a temperature that even categories of no probability count, which a constant inside a logarithm would lift.
    hot = see.uniform(4, 3, low=90, high=100) * torch.tensor([1.0, -1.0, -0.5])
    see.call("logits of ±100, temperature 30", implementation, hot, noise(4, 3), 30.0, **names)
    # A clear winner, so that rounding, which 1 / 0.01 magnifies, can't matter.
    large = see.uniform(4, 3, low=90, high=100) * torch.tensor([1.0, -1.0, 0.5])
    see.call("logits of ±100, temperature 0.01", implementation, large, noise(4, 3), 0.01, **names)


choice("predict_noisier", "abc")
choice("predict_growth", "abc")
choice("predict_constant", "abc")
choice("predict_step", "abc")
choice("predict_breaks", "abcd")
number("predict_spread", rtol=0.02)
number("predict_slower", rtol=0.05)
