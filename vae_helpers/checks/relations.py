"""How wrong numbers are made of the right ones: said only where it holds in every place, and never with the numbers themselves."""

from collections.abc import Iterator
from itertools import combinations, permutations

import numpy as np

# How near all numbers must be: rounding makes less of a difference, and another mistake hardly ever so little.
CERTAIN = 1e-4

ELEMENTWISE = {
    "the exponential (exp) of what is asked for": np.exp,
    "the logarithm of what is asked for": np.log,
    "the square of what is asked for": np.square,
    "the square root of what is asked for": np.sqrt,
    "one over what is asked for": np.reciprocal,
    "the absolute value of what is asked for": np.abs,
    "1 minus what is asked for": lambda want: 1 - want,
    "the sigmoid of what is asked for": lambda want: 1 / (1 + np.exp(-want)),
}


def another_shape(value: np.ndarray, want: np.ndarray) -> str | None:
    """What numbers of another shape have to do with the right ones, as a sentence; None where nothing is certain."""
    if want.size < 2 or not _varies(want) or not np.isfinite(want).all():
        return None
    if value.size == want.size:
        if _alike(value.reshape(want.shape), want):
            return "These are the right numbers, in another shape."
        if any(value.shape == want.transpose(axes).shape and _alike(value, want.transpose(axes)) for axes in _orders(want)):
            return "These are the right numbers, with dimensions in another order."
    for name, reduced, axes in _reductions(want):
        if (
            value.size == reduced.size
            and (value.size > 1 or value.ndim < want.ndim)
            and _alike(value.ravel(), reduced.ravel())
        ):
            return f"This is the {name} of what is asked for{_over(axes, want)}: each of these is to keep its own number."
    if value.ndim > want.ndim:
        for axis in range(value.ndim):
            one = np.take(value, 0, axis)
            if (
                one.shape == want.shape
                and _alike(one, want)
                and _alike(value, np.repeat(np.expand_dims(one, axis), value.shape[axis], axis))
            ):
                return f"These are the right numbers, repeated along dimension {axis}."
        for name, reduced, axes in _reductions(value):
            if reduced.size == want.size and _alike(reduced.ravel(), want.ravel()):
                return f"The {name} over {_dimensions(axes)} is missing: with it, these are the right numbers."
        same = value.shape[-2:] == (want.shape[-1],) * 2
        if same and value.ndim == want.ndim + 1 and _alike(np.diagonal(value, axis1=-2, axis2=-1), want):
            return (
                "Two shapes broadcast against each other, such as (N, 1) and (N,): the right numbers stand on the diagonal."
            )
    if value.ndim == want.ndim:
        for here, there, words in ((want, value, "missing"), (value, want, "too many")):
            for axis in range(want.ndim):
                for part, which in ((slice(1, None), "first"), (slice(None, -1), "last")):
                    if _alike(np.moveaxis(here, axis, 0)[part], np.moveaxis(there, axis, 0)):
                        return f"The {which} along dimension {axis} is {words}; the others are right."
    return None


def same_shape(value: np.ndarray, want: np.ndarray, wrong: np.ndarray) -> str | None:
    """The same of numbers that have the right shape, as what stands behind "off in …"; None where nothing is certain.

    wrong: where they are off.
    """
    if want.size < 3 or wrong.sum() < 2 or not (np.isfinite(want).all() and np.isfinite(value).all()):
        return None
    if _varies(value[wrong]):
        for words, function in ELEMENTWISE.items():
            with np.errstate(all="ignore"):
                if _alike(value, function(want)):
                    return f"this is {words}."
        for axis in range(want.ndim):
            if want.shape[axis] < 3:
                continue
            along = f" along dimension {axis}" * (want.ndim > 1)
            if _alike(value, np.flip(want, axis)):
                return f"these are the right numbers in the opposite order{along}."
            if any(_alike(value, np.roll(want, shift, axis)) for shift in (1, -1)):
                return f"these are the right numbers, each one place further{along}."
            here, there = np.moveaxis(value, axis, 0), np.moveaxis(want, axis, 0)
            if _alike(here[1:], there[:-1]) or _alike(here[:-1], there[1:]):
                return f"these are the right numbers, each one place off{along}: it starts one too early or too late."
            if _alike(value, np.cumsum(want, axis)):
                return f"these are running sums{along} of what is asked for."
            if _alike(value, np.cumprod(want, axis)):
                return f"these are running products{along} of what is asked for."
        if any(value.shape == want.transpose(axes).shape and _alike(value, want.transpose(axes)) for axes in _orders(want)):
            return "these are the right numbers, transposed."
        if want.ndim == 1 and _alike(np.sort(value), np.sort(want)):
            return "these are the right numbers, in another order."
    return None


def one_number(value: np.ndarray, want: np.ndarray, wrong: np.ndarray) -> str:
    """What to add where one and the same number stands wherever others are wanted; nothing where that is not so."""
    if wrong.sum() < 2 or not np.isfinite(want).all() or _varies(value[wrong]) or not _varies(want[wrong]):
        return ""
    if not wrong.all():
        return ", as wherever it is off: is something clamped, masked or never filled in?"
    made = {"mean": want.mean(), "sum": want.sum(), "largest": want.max(), "smallest": want.min()}
    of = next(
        (f": the {name} of those that are asked for" for name, n in made.items() if _alike(value, np.full_like(want, n))), ""
    )
    return f", as in all the others{of}."


def _alike(value: np.ndarray, want: np.ndarray) -> bool:
    """Whether two arrays are the same but for rounding, and tell enough to say so."""
    if value.shape != want.shape or not value.size or not np.isfinite(want).all():
        return False
    return bool(np.allclose(value, want, rtol=CERTAIN, atol=CERTAIN * 0.1 * np.abs(want).max()))


def _varies(numbers: np.ndarray) -> bool:
    """Whether the numbers are not all one and the same."""
    return bool(np.ptp(numbers) > CERTAIN * np.abs(numbers).max())


def _orders(numbers: np.ndarray) -> Iterator[tuple[int, ...]]:
    return (axes for axes in permutations(range(numbers.ndim)) if axes != tuple(range(numbers.ndim)))


def _reductions(numbers: np.ndarray) -> Iterator[tuple[str, np.ndarray, tuple[int, ...]]]:
    """(name, what it makes of the numbers, over which dimensions) of every sum and mean over dimensions that are longer than 1."""
    long = [axis for axis in range(numbers.ndim) if numbers.shape[axis] > 1]
    for size in range(1, len(long) + 1):
        for axes in combinations(long, size):
            yield "sum", numbers.sum(axes), axes
            yield "mean", numbers.mean(axes), axes


def _dimensions(axes: tuple[int, ...]) -> str:
    return f"dimension{'s' * (len(axes) > 1)} {' and '.join(map(str, axes))}"


def _over(axes: tuple[int, ...], numbers: np.ndarray) -> str:
    return "" if numbers.ndim == 1 else f" over {_dimensions(axes)}"
