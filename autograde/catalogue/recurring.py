"""Mistakes that many exercises share, each written once: an entry of the catalogue applies them by name.

gaussian_kl.recurring(in_bits, detached, logvar_as_log_std("logvar"))  # made of the right answer
gaussian_kl.recurring(detached, hint="…")  # … where another hint teaches better
reconstruct.edits("no_sigmoid: `torch.sigmoid(mean)` → `mean`")  # an edit of the lesson, with the hint from `HINTS`
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch


@dataclass(frozen=True)
class Recurring:
    """A mistake that can be made of any right answer.

    change: what becomes of one result, or of the argument called `argument`.
    """

    hint: str
    change: Callable[[Any], Any]
    argument: str | None = None

    @property
    def name(self) -> str:
        """What the catalogue calls it: the name of `change`."""
        return self.change.__name__

    def make(self, right: Callable) -> Callable:
        """The wrong implementation that differs from the right one by this mistake alone."""
        return of_result(self.change, right) if self.argument is None else of_argument(self.change, right, self.argument)


def of_result(change: Callable, right: Callable) -> Callable:
    """`right`, and then `change` on its result, or on each part of a tuple."""

    def wrong(*args, **kwargs):
        result = right(*args, **kwargs)
        return tuple(map(change, result)) if isinstance(result, tuple) else change(result)

    return wrong


def of_argument(change: Callable, right: Callable, name: str) -> Callable:
    """`right`, given what `change` makes of the argument called `name`, where that is not None."""

    def wrong(*args, **kwargs):
        bound = inspect.signature(right).bind(*args, **kwargs)
        if bound.arguments.get(name) is not None:
            bound.arguments[name] = change(bound.arguments[name])
        return right(*bound.args, **bound.kwargs)

    return wrong


def _result(hint: str) -> Callable[[Callable], Recurring]:
    return partial(Recurring, hint)


def _argument(hint: str) -> Callable[[Callable], Callable[[str], Recurring]]:
    """The decorated function becomes one that takes the argument's name; the hint speaks of it as {name}."""
    return lambda change: lambda name: Recurring(hint.format(name=name), change, name)


# --- What becomes of the result -----------------------------------------------------------------------------------------------


@_result("You count in bits: there is a factor 1/ln 2. This course counts in nats, with the natural logarithm.")
def in_bits(result):
    return result / math.log(2)


@_result(
    "The numbers are right, but no gradient flows back. Work with tensors all the way: no .detach(), .item(), .numpy() or no_grad."
)
def detached(result):
    return result.detach()


@_result(
    "The numbers are right, but they are in a NumPy array, and the cells that follow expect a tensor. "
    "Stay with PyTorch, or end with torch.from_numpy."
)
def in_numpy(result):
    return result.detach().numpy()


@_result("The sign is reversed.")
def sign_reversed(result):
    return -result


@_result("This is twice what is asked for: a ½ is missing.")
def half_forgotten(result):
    return 2 * result


@_result("The logarithm is missing: this is the density itself, exp of what is asked for.")
def without_log(result):
    return result.exp()


@_result(
    "You also average over the images. Each row keeps its own number, (N,): the batch mean is taken once, later, in the loss."
)
def averaged_over_rows(result):
    return result.mean()


@_result("You also sum over the images. Each row keeps its own number: the result is (N,).")
def summed_over_rows(result):
    return result.sum()


# --- What becomes of an argument ----------------------------------------------------------------------------------------------


@_argument("You draw noise of your own. Use the {name} that you are given: the caller decides on the noise.")
def own_noise(noise):
    return torch.randn_like(noise)


@_argument("You read `{name}` as log σ. It is log σ²: the variance is exp({name}), and σ is exp(½·{name}).")
def logvar_as_log_std(logvar):
    return 2 * logvar


# --- Edits of a lesson's solution: their hints, by name -----------------------------------------------------------------------

HINTS = {
    "own_symbols": "These are symbols of your own. They look like those that your function is given, but SymPy takes them for others, and whoever calls it can put no numbers in: use the arguments.",
    "no_sigmoid": "These are logits. The sigmoid makes images of them.",
    "no_batch_mean": "The batch mean is missing: the loss that training minimises is one number.",
    "detached_code": "The code is cut off from the encoder (detach, .data or no_grad), so the reconstruction loss cannot teach the encoder anything.",
}
