"""Probes of lesson 14, from VAE to diffusion."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from ..modules import note_gradients
from ..recorder import OWN_NOISE, Recorder, draws, undisturbed
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


STEP = 3  # at which factors are looked at one by one, of 5


def _what_it_is(value: float, alpha_bar: Tensor) -> str:
    """What a factor is made of at t = STEP, where it is one of the likely ones: ", which is √ᾱ_t", or nothing."""
    now, before, after, last = (float(alpha_bar[i]) for i in (STEP, STEP - 1, STEP + 1, -1))
    alpha = now / before
    bars = {"ᾱ_t": now, "ᾱ_{t−1}": before, "ᾱ_{t+1}": after, "ᾱ_T": last, "α_t": alpha}
    parts = {name: number for name, number in bars.items()}
    parts |= {f"(1 − {name})": 1 - number for name, number in bars.items()}
    parts |= {f"√{name}": number**0.5 for name, number in parts.items()} | {"1": 1.0}
    found = {f"{'−' * (sign < 0)}{name}": sign * number for name, number in parts.items() for sign in (1, -1)}
    found |= {f"1/{name}": 1 / number for name, number in parts.items()} | {"0": 0.0, "2": 2.0, "½": 0.5}
    beta = {"β_t": 1 - alpha, "√β_t": (1 - alpha) ** 0.5, "β̃_t": (1 - alpha) * (1 - before) / (1 - now)}
    found |= {f"{name}/{under}": number / part for name, number in beta.items() for under, part in parts.items()}
    found |= {"√β̃_t": beta["β̃_t"] ** 0.5, "β_t": 1 - alpha, "√β_t": (1 - alpha) ** 0.5, "β̃_t": beta["β̃_t"]}
    same = [name for name, number in found.items() if abs(value - number) < 1e-5 * (abs(number) + 1e-2)]
    return f", which is {min(same, key=len)}" if same and min(same, key=len) not in "012½" else ""


def _note_factor(
    see: Recorder,
    label: str,
    what: str,
    find: Callable[[Tensor, Tensor], Any],
    alpha_bar: Tensor,
    own: str = OWN_NOISE,
) -> None:
    """What one of the terms of a sum is multiplied by. find: given 1 and 0, each (1, 1), makes the sum, (1, 1).

    own: what to say, after its name, where random numbers are drawn.
    """
    place = f"what {what} is multiplied by"
    with undisturbed(see.seed):
        before = draws()
        found = torch.as_tensor(find(torch.ones(1, 1), torch.zeros(1, 1)))
        if draws() != before:
            see.note(label, place, "chance", told=f"what it does to {what} {own}")
        elif found.shape != (1, 1):
            shape = f"shape {tuple(found.shape)}"
            see.note(label, place, shape, told=f"{what} should be in a result of shape (1, 1); yours has {shape}.")
        else:
            value = found.item()
            told = f"{what} is multiplied by {value:.4g}{_what_it_is(value, alpha_bar)}."
            see.note(label, place, value, rtol=1e-3, atol=1e-5, told=told)


class Asked:
    """A model that answers with one number everywhere, and keeps what it was asked first: xt, and t."""

    def __init__(self, answer: float = 0.0):
        self.answer, self.seen = answer, []

    def __call__(self, xt: Tensor, t: Tensor) -> Tensor:
        self.seen.append((xt, t))
        return torch.full_like(xt, self.answer)


def _note_t(see: Recorder, label: str, model: Asked) -> None:
    """The step that the model is told, where it is asked at t = STEP."""
    step = float(torch.as_tensor(model.seen[0][1]).flatten()[0])
    see.note(label, "the step that the model is told", step, told=f"the model is told {step:.4g}, where t is {STEP}.")


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
    names = {"inputs": ["x0", "t", "alpha_bar", "eps"], **CLOSE, "float32": True}
    alpha_bar = _schedule(see, 5)
    label = f"one row, one dimension, t = {STEP}"
    with see.attempt(label):
        t = torch.tensor([STEP])
        _note_factor(see, label, "x0", lambda one, zero: implementation(one, t, alpha_bar, zero), alpha_bar)
        _note_factor(see, label, "eps", lambda one, zero: implementation(zero, t, alpha_bar, one), alpha_bar)
    for label, shape, t, steps in LAYOUTS:
        alpha_bar = _schedule(see, steps)
        see.call(label, implementation, see.normal(*shape), torch.tensor(t), alpha_bar, see.normal(*shape), **names)
    alpha_bar = _schedule(see, 5)
    steps = torch.tensor([0, 5, 0])
    see.call("t = 0 and t = T", implementation, see.normal(3, 2), steps, alpha_bar, see.normal(3, 2), **names)


@probe("posterior_mean_variance")
def posterior_mean_variance(implementation, see: Recorder) -> None:
    names = {"inputs": ["x0", "xt", "t", "alpha_bar"], **CLOSE}
    alpha_bar = _schedule(see, 5)
    label = f"one row, one dimension, t = {STEP}"
    with see.attempt(label):
        t = torch.tensor([STEP])
        mean = lambda x0, xt: implementation(x0, xt, t, alpha_bar)[0]  # noqa: E731
        _note_factor(see, label, "x0 in the mean", mean, alpha_bar)
        _note_factor(see, label, "x_t in the mean", lambda one, zero: mean(zero, one), alpha_bar)
        first = torch.as_tensor(implementation(torch.ones(1, 1), torch.ones(1, 1), torch.tensor([1]), alpha_bar)[0])
        told = (
            "at t = 1 the mean is not finite: 1 − ᾱ_0 is 0, and you divide by it, as whoever adds precisions does. Divide by "
            "1 − ᾱ_t alone."
        )
        see.note(label, "the mean at t = 1 is finite", bool(first.isfinite().all()), told=told)
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
    names = {"inputs": ["model", "xt", "t", "alpha_bar", "eps"], **CLOSE, "float32": True}
    alpha_bar = _schedule(see, 5)
    label = f"one row, one dimension, t = {STEP}"
    with see.attempt(label):
        t, model = torch.tensor([STEP]), Asked()
        _note_factor(see, label, "x_t", lambda one, zero: implementation(model, one, t, alpha_bar, zero), alpha_bar)
        _note_factor(see, label, "eps", lambda one, zero: implementation(model, zero, t, alpha_bar, one), alpha_bar)
        if model.seen:
            _note_t(see, label, model)
    for label, shape, t, steps in LAYOUTS:
        alpha_bar, model = _schedule(see, steps), Counted(_denoiser(see, shape[-1]))
        see.call(label, implementation, model, see.normal(*shape), torch.tensor(t), alpha_bar, see.normal(*shape), **names)
        see.note(label, "how often the model was called", model.calls, rtol=0, told=CALLED_ONCE)
    alpha_bar, model = _schedule(see, 4), _denoiser(see, 3)
    ones = torch.tensor([1, 1])
    see.call("t = 1", implementation, model, see.normal(2, 3), ones, alpha_bar, see.normal(2, 3), **names)


@probe("sample_chain")
def sample_chain(implementation, see: Recorder) -> None:
    names = {"inputs": ["model", "noise", "alpha_bar"], "rtol": 1e-3, "atol": 1e-4, "float32": True}
    model, label = Asked(), "5 steps, one row, one dimension"
    with undisturbed(see.seed), see.attempt(label):
        implementation(model, torch.zeros(6, 1, 1), _schedule(see, 5))
        asked = list(dict.fromkeys(float(torch.as_tensor(t).flatten()[0]) for _, t in model.seen))
        told = f"the model is told the steps {', '.join(f'{t:g}' for t in asked) or '(none)'}. T is 5, and the last step is t = 1."
        see.note(label, "the steps that the model is told", asked, told=told)
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
    alpha_bar = _schedule(see, 5)
    label = f"one row, one dimension, t = {STEP}"
    with see.attempt(label):
        t, model = torch.tensor([STEP]), Asked()

        def shown(x0: Tensor, eps: Tensor) -> Tensor:
            model.seen.clear()
            implementation(model, x0, t, eps, alpha_bar)
            if not model.seen:
                raise ValueError("the model is not called")
            return model.seen[0][0]

        own = "changes from call to call: it draws random numbers of its own. Use the t and the eps that you are given."
        _note_factor(see, label, "x0 in what the model is shown", shown, alpha_bar, own)
        _note_factor(see, label, "eps in what the model is shown", lambda one, zero: shown(zero, one), alpha_bar, own)
        _note_t(see, label, model)
    for label, shape, t, steps in LAYOUTS[:4]:
        x0, eps = see.normal(*shape), see.normal(*shape)
        model, alpha_bar = Counted(_denoiser(see, shape[-1])), _schedule(see, steps)
        loss = see.call(label, implementation, model, x0, torch.tensor(t), eps, alpha_bar, **names)
        see.note(label, "how often the model was called", model.calls, rtol=0, told=CALLED_ONCE)
        if isinstance(loss, Tensor):
            note_gradients(see, label, loss, {"the model's parameter": [model.gain]})
