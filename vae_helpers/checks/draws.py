"""What probes record of random draws: that rows and calls have noise of their own, which distribution it has, what generators do.

Tolerances are standard errors of the difference of two such samples: a right answer misses one at most once in a million times.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .recorder import Recorder


def note_own_noise(see: Recorder, label: str, module: nn.Module, *row: Tensor) -> None:
    """Whether the images that `module(*row)` returns first have noise of their own, in one batch of equal rows and call by call.

    module: a VAE that returns (logits, mu, logvar).
    """
    with see.attempt(label), torch.no_grad():
        many = module(*(part.expand(256, *part.shape[1:]) for part in row))[0].flatten(1)
        alike = bool(torch.allclose(many, many[:1]))
        again = bool(torch.allclose(module(*row)[0], module(*row)[0]))
        told = "equal images in one batch come out equal: is no noise drawn, or one for all? Each image gets its own."
        if alike and again:
            told = "no noise is drawn in the call: this decodes one and the same z every time. z is a new sample of q(z | x) in each."
        see.note(label, "images of one batch share their noise", bool(torch.allclose(many[0], many[1])), told=told)
        told = "two calls draw the same noise: each call draws its own, without a seed."
        see.note(label, "two calls draw the same noise", again, told=told)
        # Mean and spread of a few logits over 256 draws; 8 standard errors of a difference of two such draws.
        sample = many[:, ::97]
        see.note(label, "mean of the logits", sample.mean(0), atol=8 * 2**0.5 * sample.std(0).numpy() / 16)
        see.note(label, "spread of the logits", sample.std(0).log(), atol=8 / 16)
    with see.attempt(label), torch.enable_grad():
        images, mu, _ = module(*row)
        (gradient,) = torch.autograd.grad(images.sum(), mu, allow_unused=True) if images.requires_grad else (None,)
        told = (
            "no gradient flows from the logits through z to mu: z = mu + σ·eps, without detach or no_grad, lets it through."
        )
        flows = gradient is not None and bool(gradient.any())
        see.note(label, "a gradient flows from the logits through z to mu", flows, told=told)


def note_codes(see: Recorder, label: str, z: Tensor) -> None:
    """Facts about codes z (M, D) that should be independent draws from N(0, I)."""
    z = z.double()
    error = 7 * 2**0.5 / len(z) ** 0.5  # 7 standard errors of the difference of two such samples
    mean, spread = (", ".join(f"{number:.2g}" for number in part.tolist()[:4]) for part in (z.mean(0), z.std(0)))
    told = f"the z behind the images have the mean {mean}. A draw from the prior N(0, I) has 0 in each dimension."
    see.note(label, "mean of the z behind the images", z.mean(0), atol=error, told=told)
    told = f"the z behind the images have the standard deviation {spread}. A draw from the prior N(0, I) has 1 in each dimension."
    see.note(label, "spread of the z behind the images", z.std(0).log(), atol=error / 2**0.5, told=told)
    see.note(label, "share of z within one standard deviation", (z.abs() < 1).double().mean(0), atol=error / 2)
    # Of some thousand normal draws a hundredth lies beyond; that none does happens less than once in a million times.
    told = (
        "no z lies further than 2.6 from 0, where one in a hundred should: the normal distribution has no end. Clip nothing."
    )
    see.note(label, "some z lie further than 2.6 from 0", bool((z.abs() > 2.6).any()), told=told)
    see.note(label, "correlation between dimensions", torch.corrcoef(z.T)[0, 1:].nan_to_num(1.0), atol=error)
    told = "images are made of the same z: draw a z of its own for each."
    few = len(z.unique(dim=0)) < 0.99 * len(z)  # rounding makes one or two of some thousand numbers the same
    see.note(label, "many of the z are the same", few, told=told)


def note_generator(see: Recorder, name: str, draw: Callable[..., Tensor]) -> None:
    """What draws depend on: `draw()`, or `draw(generator=…)`."""
    label = f"{name}, generator=…"
    with see.attempt(label), torch.no_grad():
        one, same, other = (draw(generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        told = "two generators with the same seed give different draws: hand `generator` on to every draw."
        see.note(label, "equal seeds give equal draws", bool(torch.equal(one, same)), told=told)
        told = "generators with different seeds give the same draws: hand `generator` on, and set no seed of your own."
        see.note(label, "other seeds give other draws", not torch.equal(one, other), told=told)
        before = torch.get_rng_state()
        draw(generator=torch.Generator().manual_seed(3))
        told = "something is drawn from PyTorch's global state although a generator is given: hand it on to every draw."
        used = not torch.equal(before, torch.get_rng_state())
        see.note(label, "the global random state is used all the same", used, told=told)
        generator = torch.Generator().manual_seed(4)
        again = bool(torch.equal(draw(generator=generator), draw(generator=generator)))
        told = "a generator that is used a second time gives the same draws again: go on with it as it is, without its seed."
        see.note(label, "two calls with one generator give the same draws", again, told=told)
        label = f"{name}, no generator"
        before = torch.get_rng_state()
        first, second = draw(), draw()
        torch.set_rng_state(before)
        told = "two calls give the same draws: draw fresh noise in each, without a seed of your own."
        see.note(label, "two calls give the same draws", bool(torch.equal(first, second)), told=told)
        told = "the draws don't follow PyTorch's global state: with no generator, torch.randn and its like draw from it."
        see.note(label, "the draws follow PyTorch's global state", bool(torch.equal(first, draw())), told=told)
