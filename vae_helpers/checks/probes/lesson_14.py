"""Probes of lesson 14, from VAE to diffusion."""

from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from ..modules import note_gradients
from ..recorder import Recorder
from . import choice, number, probe

choice("predict_exact_posteriors", "abc")
choice("predict_half_way", "abc")
choice("predict_posterior_variance", "abc")
number("predict_untrained_loss", rtol=0.03)
choice("predict_better_prior", "abc")
choice("predict_few_steps", "abc")


def _two_layers(see: Recorder, pixels: int, d1: int, d2: int) -> SimpleNamespace:
    """A two-layer VAE with bent maps, as the lesson's `TwoLayerVAE`: images (N, pixels), z1 (N, d1), z2 (N, d2)."""

    def gaussian(inputs: int, outputs: int) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        a, b = see.normal(inputs, outputs, std=0.7), see.normal(inputs, outputs, std=0.5)
        shift, width = see.normal(outputs), see.uniform(outputs, low=-1.5, high=0.8)
        return lambda h: ((h @ a).sin() + shift, (h @ b).tanh() * 0.5 + width)

    image = gaussian(d1, pixels)

    def log_likelihood(x: Tensor, z1: Tensor) -> Tensor:
        mu, logvar = image(z1)
        return Normal(mu, (0.5 * logvar).exp()).log_prob(x).sum(-1)

    return SimpleNamespace(
        encode1=gaussian(pixels, d1), encode2=gaussian(d1, d2), decode2=gaussian(d2, d1), log_likelihood=log_likelihood
    )


@probe("hierarchical_elbo")
def hierarchical_elbo(implementation, see: Recorder) -> None:
    names = {"inputs": ["model", "x", "eps1", "eps2"], "gradients": ["x"], "atol": 1e-4}
    for label, n, pixels, d1, d2 in [
        ("5 rows, D1 = 3, D2 = 2", 5, 6, 3, 2),
        ("3 rows, D1 = D2 = 3", 3, 4, 3, 3),
        ("4 rows, D1 = 1, D2 = 4", 4, 3, 1, 4),
        ("one row, D1 = 2, D2 = 1", 1, 5, 2, 1),
    ]:
        model = _two_layers(see, pixels, d1, d2)
        see.call(label, implementation, model, see.normal(n, pixels), see.normal(n, d1), see.normal(n, d2), **names)


def _schedule(see: Recorder, steps: int) -> Tensor:
    """alpha_bar (steps + 1,): uneven steps, each of which keeps 60 to 95 % of the variance."""
    return torch.cat([torch.ones(1), see.uniform(steps, low=0.6, high=0.95).cumprod(0)])


def _denoiser(see: Recorder, dims: int) -> Callable[[Tensor, Tensor], Tensor]:
    """A model(xt, t) -> shaped as xt, that mixes the columns and depends on the step. It insists on its shapes."""
    mix, shift = see.normal(dims, dims, std=0.6), see.normal(dims)

    def model(xt: Tensor, t: Tensor) -> Tensor:
        if not isinstance(t, Tensor) or t.shape != xt.shape[:1]:
            got = tuple(t.shape) if isinstance(t, Tensor) else type(t).__name__
            raise ValueError(f"the model was given t of shape {got} with xt of shape {tuple(xt.shape)}; expected (N,)")
        if t.is_floating_point():
            raise ValueError(f"the model was given t as {t.dtype}; expected the whole numbers that a step has")
        step = t.to(xt.dtype).view(-1, *[1] * (xt.ndim - 1))
        return (xt @ mix.to(xt.dtype) + 0.7 * step).sin() + 0.3 * xt + shift.to(xt.dtype)

    return model


class Counted:
    """A model with one parameter, a factor, that counts how often it is called."""

    def __init__(self, model: Callable[[Tensor, Tensor], Tensor]):
        self.model, self.gain, self.calls = model, nn.Parameter(torch.ones(1)), 0

    def __call__(self, xt: Tensor, t: Tensor) -> Tensor:
        self.calls += 1
        return self.gain * self.model(xt, t)


CALLED_ONCE = "the model is called more than once, or not at all: one call takes all rows."
LAYOUTS = [  # label, shape, t, steps
    ("5 rows, 3 dimensions", (5, 3), (2, 6, 1, 4, 3), 6),
    ("4 rows, 4 dimensions", (4, 4), (3, 1, 5, 2), 5),
    ("one row, one dimension", (1, 1), (2,), 3),
    ("4 images, 4 by 4 pixels", (4, 1, 4, 4), (4, 2, 1, 3), 4),
    ("3 images, 5 by 7 pixels, two channels", (3, 2, 5, 7), (1, 3, 2), 3),
]
CLOSE = {"rtol": 3e-4, "atol": 2e-5}


@probe("q_sample")
def q_sample(implementation, see: Recorder) -> None:
    names = {"inputs": ["x0", "t", "alpha_bar", "eps"], **CLOSE}
    for label, shape, t, steps in LAYOUTS:
        alpha_bar = _schedule(see, steps)
        see.call(label, implementation, see.normal(*shape), torch.tensor(t), alpha_bar, see.normal(*shape), **names)
    alpha_bar = _schedule(see, 5)
    steps = torch.tensor([0, 5, 0])
    see.call("t = 0 and t = T", implementation, see.normal(3, 2), steps, alpha_bar, see.normal(3, 2), **names)


@probe("posterior_mean_variance")
def posterior_mean_variance(implementation, see: Recorder) -> None:
    names = {"inputs": ["x0", "xt", "t", "alpha_bar"], **CLOSE}
    for label, shape, t, steps in LAYOUTS:
        alpha_bar = _schedule(see, steps)
        see.call(label, implementation, see.normal(*shape), see.normal(*shape), torch.tensor(t), alpha_bar, **names)
    alpha_bar = _schedule(see, 4)
    first = see.normal(2, 3), see.normal(2, 3), torch.tensor([1, 1]), alpha_bar
    found = see.call("t = 1", implementation, *first, **names)
    if isinstance(found, tuple | list) and len(found) == 2:
        # Rounding leaves 6e-8 at the most.
        see.note("t = 1", "the variance, which is 0", found[1], rtol=0, atol=5e-7)


@probe("ancestral_step")
def ancestral_step(implementation, see: Recorder) -> None:
    names = {"inputs": ["model", "xt", "t", "alpha_bar", "eps"], **CLOSE}
    for label, shape, t, steps in LAYOUTS:
        alpha_bar, model = _schedule(see, steps), Counted(_denoiser(see, shape[-1]))
        see.call(label, implementation, model, see.normal(*shape), torch.tensor(t), alpha_bar, see.normal(*shape), **names)
        see.note(label, "how often the model was called", model.calls, rtol=0, told=CALLED_ONCE)
    alpha_bar, model = _schedule(see, 4), _denoiser(see, 3)
    ones = torch.tensor([1, 1])
    see.call("t = 1", implementation, model, see.normal(2, 3), ones, alpha_bar, see.normal(2, 3), **names)


@probe("sample_chain")
def sample_chain(implementation, see: Recorder) -> None:
    names = {"inputs": ["model", "noise", "alpha_bar"], "rtol": 1e-3, "atol": 1e-4}
    for label, steps, n, d in [
        ("5 steps, 4 rows, 2 dimensions", 5, 4, 2),
        ("2 steps, 3 rows, 3 dimensions", 2, 3, 3),
        ("one step", 1, 2, 3),
        ("3 steps, one row, one dimension", 3, 1, 1),
    ]:
        see.call(label, implementation, _denoiser(see, d), see.normal(steps + 1, n, d), _schedule(see, steps), **names)


@probe("step_kl")
def step_kl(implementation, see: Recorder) -> None:
    names = {"inputs": ["eps", "eps_hat", "t", "alpha_bar"], "gradients": ["eps_hat"], "rtol": 1e-3, "atol": 1e-4}
    for label, shape, t, steps in LAYOUTS:
        # No step before the second: the first has another term.
        later = torch.tensor(t) + 1
        see.call(label, implementation, see.normal(*shape), see.normal(*shape), later, _schedule(see, steps + 1), **names)
    # Where 1 − ᾱ is small, a constant beside it counts.
    small, t = torch.tensor([1, 0.999, 0.997, 0.99]), torch.tensor([2, 3, 2, 3])
    see.call("small steps", implementation, see.normal(4, 3), see.normal(4, 3), t, small, **names)


@probe("diffusion_elbo")
def diffusion_elbo(implementation, see: Recorder) -> None:
    names = {"inputs": ["model", "x0", "noise", "alpha_bar"], "rtol": 1e-3, "atol": 1e-3}
    for label, steps, n, d in [
        ("5 steps, 4 rows, 2 dimensions", 5, 4, 2),
        ("2 steps, 3 rows, 3 dimensions", 2, 3, 3),
        ("one step", 1, 2, 3),
        ("3 steps, one row, one dimension", 3, 1, 1),
    ]:
        x0, noise = see.normal(n, d, std=1.5), see.normal(steps + 1, n, d)
        see.call(label, implementation, _denoiser(see, d), x0, noise, _schedule(see, steps), **names)


@probe("noise_prediction_loss")
def noise_prediction_loss(implementation, see: Recorder) -> None:
    names = {"inputs": ["model", "x0", "t", "eps", "alpha_bar"], "rtol": 3e-4, "atol": 1e-4}
    for label, shape, t, steps in LAYOUTS[:4]:
        x0, eps = see.normal(*shape), see.normal(*shape)
        model, alpha_bar = Counted(_denoiser(see, shape[-1])), _schedule(see, steps)
        loss = see.call(label, implementation, model, x0, torch.tensor(t), eps, alpha_bar, **names)
        see.note(label, "how often the model was called", model.calls, rtol=0, told=CALLED_ONCE)
        if isinstance(loss, Tensor):
            note_gradients(see, label, loss, {"the model's parameter": [model.gain]})
