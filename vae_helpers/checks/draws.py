"""What probes record of random draws: that rows and calls have noise of their own, which distribution it has, what generators do.

Tolerances are standard errors of the difference of two such samples: a right answer misses one at most once in a million times.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .observation import Recorder


def note_own_noise(see: Recorder, label: str, module: nn.Module, *row: Tensor) -> None:
    """Whether the images that `module(*row)` returns first have noise of their own, in one batch of equal rows and call by call.

    module: a VAE that returns (logits, mu, logvar).
    """
    with see.attempt(label), torch.no_grad():
        many = module(*(part.expand(256, *part.shape[1:]) for part in row))[0].flatten(1)
        see.note(label, "images of one batch share their noise", bool(torch.allclose(many[0], many[1])))
        see.note(label, "two calls draw the same noise", bool(torch.allclose(module(*row)[0], module(*row)[0])))
        # Mean and spread of a few logits over 256 draws; 8 standard errors of a difference of two such draws.
        sample = many[:, ::97]
        see.note(label, "mean of the logits", sample.mean(0), atol=8 * 2**0.5 * sample.std(0).numpy() / 16)
        see.note(label, "spread of the logits", sample.std(0).log(), atol=8 / 16)
    with see.attempt(label), torch.enable_grad():
        images, mu, _ = module(*row)
        (gradient,) = torch.autograd.grad(images.sum(), mu, allow_unused=True) if images.requires_grad else (None,)
        see.note(label, "a gradient flows from the logits through z to mu", gradient is not None and bool(gradient.any()))


def note_codes(see: Recorder, label: str, z: Tensor) -> None:
    """Facts about codes z (M, D) that should be independent draws from N(0, I)."""
    z = z.double()
    error = 7 * 2**0.5 / len(z) ** 0.5  # 7 standard errors of the difference of two such samples
    see.note(label, "mean of the z behind the images", z.mean(0), atol=error)
    see.note(label, "spread of the z behind the images", z.std(0).log(), atol=error / 2**0.5)
    see.note(label, "share of z within one standard deviation", (z.abs() < 1).double().mean(0), atol=error / 2)
    see.note(label, "correlation between dimensions", torch.corrcoef(z.T)[0, 1:].nan_to_num(1.0), atol=error)


def note_generator(see: Recorder, name: str, draw: Callable[..., Tensor]) -> None:
    """What draws depend on: `draw()`, or `draw(generator=…)`."""
    label = f"{name}, generator=…"
    with see.attempt(label), torch.no_grad():
        one, same, other = (draw(generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        see.note(label, "equal seeds give equal draws", bool(torch.equal(one, same)))
        see.note(label, "other seeds give other draws", not torch.equal(one, other))
        before = torch.get_rng_state()
        draw(generator=torch.Generator().manual_seed(3))
        see.note(label, "the global random state is used all the same", not torch.equal(before, torch.get_rng_state()))
        generator = torch.Generator().manual_seed(4)
        again = bool(torch.equal(draw(generator=generator), draw(generator=generator)))
        see.note(label, "two calls with one generator give the same draws", again)
        label = f"{name}, no generator"
        before = torch.get_rng_state()
        first, second = draw(), draw()
        torch.set_rng_state(before)
        see.note(label, "two calls give the same draws", bool(torch.equal(first, second)))
        see.note(label, "the draws follow PyTorch's global state", bool(torch.equal(first, draw())))
