"""Probes of lesson 02, the ELBO."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from ...toy import LinearGaussian
from ..expressions import expression
from ..recorder import Recorder, as_array, undisturbed
from . import choice, probe

choice("predict_no_entropy", "abc")
choice("predict_larger_elbo", "abc")
choice("predict_elbo_samples", "abc")
choice("predict_diagonal", "abc")

VARIABLES = {"x": (-2.0, 2.0), "m": (-2.0, 2.0), "v": (0.2, 3.0), "s2": (0.2, 3.0)}


@probe("derivation_1d")
def derivation_1d(implementation, see: Recorder) -> None:
    steps = (
        "step 1, the mean square E[(x − z)²]",
        "step 2, the expected log-likelihood E[log p(x|z)]",
        "step 3, the expected log prior E[log p(z)]",
        "step 4, the entropy of q",
    )
    expression(see, implementation, VARIABLES, steps)


@probe("elbo_1d")
def elbo_1d(implementation, see: Recorder) -> None:
    expression(see, implementation, VARIABLES)


@probe("best_q_1d")
def best_q_1d(implementation, see: Recorder) -> None:
    parts = ("m, the mean of the best q", "v, the variance of the best q")
    expression(see, implementation, {name: VARIABLES[name] for name in ("x", "s2")}, parts)


SIZES = [  # label, N, P, D, σ
    ("5 rows, P = 4, D = 3", 5, 4, 3, 0.8),
    ("3 rows, P = 3, D = 3", 3, 3, 3, 1.3),
    ("fewer pixels than latents (P = 2, D = 4)", 4, 2, 4, 0.7),
    ("one row", 1, 5, 2, 0.5),
    ("one latent dimension", 4, 3, 1, 0.6),
    ("one pixel, one latent dimension, one row", 1, 1, 1, 1.5),
]


def _draw(see: Recorder, n: int, p: int, d: int, sigma: float) -> tuple[LinearGaussian, Tensor]:
    """A model, and n of its own images (n, p)."""
    model = LinearGaussian(see.normal(p, d, std=0.8), see.normal(p), sigma)
    return model, see.normal(n, d) @ model.weight.T + model.bias + sigma * see.normal(n, p)


def _draw_q(see: Recorder, n: int, d: int) -> list[Tensor]:
    return [see.normal(n, d), see.uniform(n, d, low=-3, high=1)]


NAMES = ["model", "x", "mu", "logvar"]


def _closed_forms(implementation, see: Recorder) -> None:
    names = {"inputs": NAMES, "gradients": ["mu", "logvar"], "atol": 1e-4}
    for label, n, p, d, sigma in SIZES:
        model, x = _draw(see, n, p, d, sigma)
        see.call(label, implementation, model, x, *_draw_q(see, n, d), **names)
    model, x = _draw(see, 3, 4, 2, 0.7)
    narrow, wide = see.uniform(3, 2, low=-14, high=-10), see.uniform(3, 2, low=2, high=4)
    see.call("very narrow q", implementation, model, x, see.normal(3, 2), narrow, **names)
    see.call("very wide q", implementation, model, x, see.normal(3, 2), wide, **names)


@probe("expected_log_likelihood")
def expected_log_likelihood(implementation, see: Recorder) -> None:
    _closed_forms(implementation, see)


@probe("elbo")
def elbo(implementation, see: Recorder) -> None:
    _closed_forms(implementation, see)


@probe("elbo_monte_carlo")
def elbo_monte_carlo(implementation, see: Recorder) -> None:
    names = {"inputs": [*NAMES, "eps"], "gradients": ["mu", "logvar"], "rtol": 3e-4, "atol": 3e-4}
    for (label, n, p, d, sigma), k in zip(SIZES, (7, 3, 4, 6, 5, 2), strict=True):
        model, x = _draw(see, n, p, d, sigma)
        see.call(f"{label}, {k} samples", implementation, model, x, *_draw_q(see, n, d), see.normal(k, n, d), **names)
    model, x = _draw(see, 5, 3, 2, 0.8)
    see.call("one sample", implementation, model, x, *_draw_q(see, 5, 2), see.normal(1, 5, 2), **names)
    model, x = _draw(see, 1, 2, 1, 0.8)
    see.call("one sample of one row", implementation, model, x, *_draw_q(see, 1, 1), see.normal(1, 1, 1), **names)
    model, x = _draw(see, 3, 4, 2, 0.7)
    narrow = see.uniform(3, 2, low=-7, high=-5)
    see.call("narrow q, 4 samples", implementation, model, x, see.normal(3, 2), narrow, see.normal(4, 3, 2), **names)


@probe("posterior")
def posterior(implementation, see: Recorder) -> None:
    for label, n, p, d, sigma in SIZES:
        see.call(
            label, implementation, *_draw(see, n, p, d, sigma), inputs=["model", "x"], rtol=3e-4, atol=3e-5, float32=True
        )


@probe("bound_gap")
def bound_gap(implementation, see: Recorder) -> None:
    for label, n, p, d, sigma in SIZES:
        model, x = _draw(see, n, p, d, sigma)
        mu, logvar = _draw_q(see, n, d)
        gap = see.call(label, implementation, model, x, mu, logvar, inputs=NAMES, atol=1e-4)
        with see.attempt(label):
            gap = np.asarray(as_array(gap))
            if gap.shape == (n,):
                missing = _log_marginal(model, x) - _elbo(model, x, mu, logvar) - gap
                off = np.abs(missing).max()
                see.note(label, "the largest |log p(x) − ELBO − gap| of all images", off, limit=1e-4)
    model, x = _draw(see, 4, 3, 2, 0.7)
    see.call("very narrow q", implementation, model, x, see.normal(4, 2), see.uniform(4, 2, low=-14, high=-10), inputs=NAMES)
    model, x = _draw(see, 4, 3, 2, 30.0)
    label = "so much noise that the prior is nearly the posterior, and q too"
    see.call(label, implementation, model, x, see.normal(4, 2, std=0.05), see.normal(4, 2, std=0.05), inputs=NAMES)
    # A pixel of which z knows nothing: it makes log p(x) and the ELBO huge, and float32 loses what is between them.
    label = "one pixel, which z says nothing of, is far off"
    model, x = _draw(see, 4, 3, 2, 0.7)
    model.weight[-1], x[:, -1] = 0.0, 3e3
    mu, logvar = _draw_q(see, 4, 2)
    with undisturbed(see.seed), see.attempt(label):
        gap = torch.as_tensor(implementation(model, x.clone(), mu.clone(), logvar.clone())).detach().double().numpy()
        off = np.abs(_log_marginal(model, x) - _elbo(model, x, mu, logvar) - gap).max()
        told = "log p(x) and the ELBO are millions here, and float32 loses their difference. Compute the KL itself, not by subtraction."
        see.note(label, "the largest error of all images", off, limit=0.02, told=told)
        see.note(label, "the gap", gap, rtol=0, atol=0.02, told=told)


def _log_marginal(model: LinearGaussian, x: Tensor) -> np.ndarray:
    """log p(x) (N,), in float64."""
    weight, noise = model.weight.double(), model.sigma**2 * torch.eye(model.data_dim, dtype=torch.float64)
    return MultivariateNormal(model.bias.double(), weight @ weight.T + noise).log_prob(x.double()).numpy()


def _elbo(model: LinearGaussian, x: Tensor, mu: Tensor, logvar: Tensor) -> np.ndarray:
    """The ELBO (N,) in float64, from the log weights at mu and one standard deviation to either side in each dimension.

    They are quadratic in z, so that these 2D + 1 points average them exactly; no formula of the lesson's is used.
    """
    weight, bias, x, mu, logvar = (t.detach().double().numpy() for t in (model.weight, model.bias, x, mu, logvar))
    std = np.exp(logvar / 2)

    def log_weight(z):
        def log_normal(value, std):
            return (-0.5 * (value / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum(-1)

        residual = log_normal(x - bias - z @ weight.T, model.sigma)
        return residual + log_normal(z, 1.0) - log_normal(z - mu, std)

    centre = log_weight(mu)
    sides = [log_weight(mu + sign * std * axis) for axis in np.eye(mu.shape[1]) for sign in (1, -1)]
    return centre + sum((side - centre) / 2 for side in sides)


@probe("fit_posterior")
def fit_posterior(implementation, see: Recorder) -> None:
    def draw(n: int, p: int, d: int, sigma: float) -> tuple[LinearGaussian, Tensor]:
        model, x = _draw(see, n, p, d, sigma)
        # So that the posterior's largest precision is 12, and plain gradient ascent with lr = 0.1 is stable.
        largest = float(torch.linalg.matrix_norm(model.weight, 2))
        return LinearGaussian(model.weight * (11**0.5 * sigma / largest), model.bias, sigma), x

    model, x = draw(2, 4, 3, 0.8)
    label = "2 rows, P = 4, D = 3, 120 steps"
    if fit := _see_fit(implementation, see, label, model, x, 120, 0.1):
        mu, logvar, history = fit
        reached = _elbo(model, x, torch.from_numpy(mu), torch.from_numpy(logvar))
        prior = _elbo(model, x, *torch.zeros(2, 2, 3))
        told = None
        if (reached == prior).all():
            told = (
                "mu and logvar are all zeros in the end, as at the start. Is optimiser.step() called, after backward(), and "
                "zero_grad() before backward()?"
            )
        elif not (reached > prior).any():
            told = (
                "the ELBO of mu and logvar is no higher than that of the prior, where every q starts. Is it uphill that you go? "
                "An optimiser minimises what it is given."
            )
        # Cut off far below, as a key's float32 can't hold how far a search in the wrong direction gets.
        reached_at_least = np.maximum(reached, -1e6)
        see.note(label, "the ELBO of each row's mu and logvar", reached_at_least, rtol=0, atol=0.05, told=told)
        off = np.abs(history[-1] - reached).max()
        see.note(
            label, "the largest distance between elbo_history's last row and the ELBO of mu and logvar", off, limit=0.05
        )
        see.note(label, "elbo_history's last row", np.maximum(history[-1], -1e6), rtol=0, atol=0.1)
        see.note(
            label, "elbo_history's first row minus its last (the largest)", (history[0] - history[-1]).max(), limit=-0.05
        )
    model, x = draw(2, 3, 2, 0.9)
    still = "2 rows, one step with lr=0"
    if fit := _see_fit(implementation, see, still, model, x, 1, 0.0):
        for name, part in zip(("mu", "logvar"), fit, strict=False):
            told = (
                f"{name} is not all zeros, though nothing moves with lr=0. Start every q at the prior, and move by lr alone."
            )
            see.note(still, f"where {name} starts", part, told=told)
    label = "one row, P = 3, D = 2, one step"
    if fit := _see_fit(implementation, see, label, model, x[:1], 1, 1e-3):
        best, prior = (
            _elbo(model, x[:1], *(torch.from_numpy(part) for part in q)) for q in (_best(model, x[:1]), np.zeros((2, 1, 2)))
        )
        climbed = (_elbo(model, x[:1], *map(torch.from_numpy, fit[:2])) - prior) / (best - prior)
        see.note(label, "the share of the whole way up that one step with lr=0.001 goes", climbed.max(), limit=0.5)
        moved = "yes" if all(part.any() for part in fit[:2]) else "no"
        see.note(
            label, "one step moves mu and logvar", moved, told="mu or logvar has not moved, though one step is asked for."
        )
    label = "5 steps: two rows together, and the first alone"
    together = _see_fit(implementation, see, label, model, x, 5, 0.02, quietly=True)
    alone = _see_fit(implementation, see, "5 steps: the first of them alone", model, x[:1], 5, 0.02, quietly=True)
    if together and alone:
        apart = np.stack([a[0] - b[0] for a, b in zip(together[:2], alone[:2], strict=True)])
        told = (
            "mu and logvar of the first row change with the other row. Take the gradient of the sum of the ELBOs, not of "
            "their mean, and clip or scale nothing over all rows."
        )
        see.note(label, "the difference that the other row makes to mu and logvar", apart, rtol=0, atol=1e-3, told=told)
    model, x = draw(2, 3, 3, 0.9)
    label = "2 rows, P = 3, D = 3, 5 small steps"  # so small that every way up still climbs, also with momentum
    if fit := _see_fit(implementation, see, label, model, x, 5, 0.002, quietly=True):
        mu, logvar, history = fit
        rises = "yes" if (history[1] > history[0] + 1e-4).all() else "no"
        told = "elbo_history's second row is no higher than its first, though the first update climbs. Is it shifted?"
        see.note(label, "elbo_history rises from its first row to its second", rises, told=told)
        reached = _elbo(model, x, torch.from_numpy(mu), torch.from_numpy(logvar))
        rises = "yes" if (reached > history[-1] + 1e-4).all() else "no"
        told = "mu and logvar are no better than elbo_history's last row, which is the ELBO before the last update."
        see.note(label, "mu and logvar lie higher than elbo_history's last row", rises, told=told)


def _best(model: LinearGaussian, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """mu and logvar of the best diagonal q: the posterior's mean, and one over its precision's diagonal."""
    precision = torch.eye(model.latent_dim).double() + (model.weight.T @ model.weight).double() / model.sigma**2
    mean = torch.linalg.solve(precision, model.weight.T.double() @ (x - model.bias).double().T / model.sigma**2).T
    return mean.numpy(), (-precision.diagonal().log()).expand_as(mean).numpy()


def _see_fit(
    implementation, see: Recorder, label: str, model: LinearGaussian, x: Tensor, steps: int, lr: float, quietly: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """What a fit returns, and never the way there: mu, logvar, elbo_history, where they are what is asked for.

    quietly: without a word on what other calls tell, too.
    """
    seed = zlib.crc32(f"{see.seed} {label}".encode())
    passed, weight, bias = x.clone(), model.weight.clone(), model.bias.clone()
    with undisturbed(seed), see.attempt(label):
        result = implementation(model, passed, steps, lr)
        count = len(result) if isinstance(result, tuple | list) else 1
        if not quietly:
            see.note(label, "the number of results", str(count))
        if count != 3:
            return None
        fit = tuple(_stacked(part) for part in result)
        shapes = {"mu": (len(x), model.latent_dim), "logvar": (len(x), model.latent_dim), "elbo_history": (steps, len(x))}
        for (name, wanted), part, raw in zip(shapes.items(), fit, result, strict=True):
            shape = part if isinstance(part, str) else str(part.shape)
            if not quietly:
                told = f"{name} has the shape {shape}; {wanted} is asked for."
                if name == "elbo_history" and shape[1:].split(",")[0].isdigit() and not isinstance(part, str):
                    told += f" It has a row for each of the {steps} steps, and a column for each image."
                elif shape == str((steps, len(x))):
                    told += " Have the results changed places? The order is mu, logvar, elbo_history."
                see.note(label, f"the shape of {name}", shape, told=told)
                kind = "a tensor" if isinstance(raw, Tensor) else f"a {type(raw).__name__}"
                see.note(label, f"{name} is", kind, told=f"{name} is {kind}; a tensor is asked for.")
                graph = isinstance(raw, Tensor) and raw.requires_grad
                told = f"{name} still has a graph attached: .detach() it, also where it goes into the history."
                see.note(label, f"{name} has a graph attached", graph, told=told)
                see.note_double(label, name, raw)
            if shape != str(wanted):
                return None
        if quietly:
            return fit
        kept = torch.equal(model.weight, weight) and torch.equal(model.bias, bias)
        changed = [name for name, same in (("model", kept), ("x", torch.equal(passed, x))) if not same]
        see.note(label, "inputs changed in place", ", ".join(changed) or "none")
        see.note(label, "resets the global random seed", "yes" if torch.initial_seed() != seed else "no")
        told = (
            "elbo_history's first row is not the ELBO of the prior. Two things make it so: every q starts there, with mu and "
            "logvar all zeros, and the ELBO of each image is written down before anything moves."
        )
        see.note(label, "elbo_history's first row", fit[2][0], rtol=1e-3, atol=1e-3, told=told)
        return fit
    return None


def _stacked(part: Any) -> np.ndarray | str:
    """A result as one array, also where it is a list with a tensor, or a list, for each step."""
    if isinstance(part, Sequence) and not isinstance(part, str):
        part = [_stacked(one) for one in part]
        if any(isinstance(one, str) for one in part):
            return next(one for one in part if isinstance(one, str))
        return np.array(part) if len({one.shape for one in part}) == 1 else "a list of different shapes"
    return as_array(part)
