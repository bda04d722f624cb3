"""Another processor's arithmetic: what comes out otherwise where the last bits do is decided by rounding alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vae_helpers.checks import observe
from vae_helpers.checks.agreement import fact_agrees
from vae_helpers.checks.observation import Observation, leave_undecided
from vae_helpers.checks.recorder import Recorder

# By how much results differ: up to 3 units in the last place, a little more than a processor's do.
LAST_BITS = 2
# A number whose mantissa ends in so many zeros (0, 1, 2.5) is taken for exact, and every processor has the same.
EXACT_BITS = 12
# So many arithmetics find that something is decided by rounding; what else is (it may take a lucky one to see it) is then looked for longer.
FEW, MANY = 3, 12
# What every processor computes to the last bit: copies and choices, and the arithmetic that IEEE 754 rounds correctly.
COPIES = {
    "clone",
    "copy",
    "_to_copy",
    "cat",
    "stack",
    "index",
    "index_select",
    "gather",
    "masked_fill",
    "where",
    "fill",
    "sort",
    "repeat",
}
CHOICES = {
    "clamp",
    "clamp_min",
    "clamp_max",
    "minimum",
    "maximum",
    "amin",
    "amax",
    "min",
    "max",
    "relu",
    "threshold_backward",
}
CORRECTLY_ROUNDED = {
    "add",
    "sub",
    "rsub",
    "mul",
    "div",
    "neg",
    "abs",
    "sqrt",
    "reciprocal",
    "floor",
    "ceil",
    "round",
    "sign",
}
SAME_EVERYWHERE = COPIES | CHOICES | CORRECTLY_ROUNDED


class Word:
    """Constants of an unsigned integer type, all of that type, as NumPy wants them."""

    def __init__(self, kind: type):
        size = 8 * np.dtype(kind).itemsize
        self.type = kind
        self.last, self.first, self.half = kind(LAST_BITS), kind(size - LAST_BITS), kind(size // 2)
        self.factor = kind(0x9E3779B97F4A7C15 >> (64 - size) | 1)
        self.exact = kind(2**EXACT_BITS - 1)


WORDS = {np.dtype(np.float32): Word(np.uint32), np.dtype(np.float64): Word(np.uint64)}


class OtherArithmetic(TorchDispatchMode):
    """PyTorch whose every result has other last bits: equal numbers get equal ones, and nothing is drawn for it.

    number: which of many such arithmetics; odd ones also make 0 of a subnormal number and ∞ of one near the largest.
    """

    def __init__(self, number: int):
        super().__init__()
        self.number = number

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if function.overloadpacket.__name__.removesuffix("_") in SAME_EVERYWHERE:
            return made
        kinds = function._schema.returns
        for result, kind in zip((made,) if len(kinds) == 1 else made or (), kinds, strict=True):
            if kind.alias_info is None or kind.alias_info.is_write:  # no view
                for tensor in result if isinstance(result, (list, tuple)) else (result,):
                    if isinstance(tensor, torch.Tensor) and tensor.dtype in (torch.float32, torch.float64):
                        other_last_bits(tensor.detach().numpy(), self.number)
        return made


def other_last_bits(array: np.ndarray, number: int) -> None:
    """Replace the last bits of a float array, in place, as `OtherArithmetic(number)` does. Doing it twice changes nothing more."""
    word = WORDS[array.dtype]
    if array.ndim == 0:
        array = array.reshape(1)
    bits = array.view(word.type)
    others = bits >> word.last
    # A hash of the other bits, by multiplication; its first bits are its best.
    mixed = others * word.factor
    mixed ^= mixed >> word.half
    mixed ^= word.type(number * 0x45D9F3B % 2**32)
    mixed *= word.factor
    mixed >>= word.first
    others <<= word.last
    others |= mixed
    np.copyto(bits, others, where=(bits & word.exact).astype(bool))
    if number % 2:
        limits, magnitude = np.finfo(array.dtype), np.abs(array)
        np.copyto(array, 0, where=magnitude < limits.tiny)
        np.copyto(array, np.copysign(np.inf, array), where=(magnitude > limits.max / 2) & ~np.isnan(array))


@dataclass
class OtherInputs(Recorder):
    """Draws inputs with other last bits, which NumPy, that has no such arithmetic, then computes with."""

    number: int = 0

    def normal(self, *shape: int, **options: float) -> torch.Tensor:
        """As `Recorder.normal`."""
        return self._other(super().normal(*shape, **options))

    def uniform(self, *shape: int, **options: float) -> torch.Tensor:
        """As `Recorder.uniform`."""
        return self._other(super().uniform(*shape, **options))

    def _other(self, drawn: torch.Tensor) -> torch.Tensor:
        other_last_bits(drawn.numpy(), self.number)
        return drawn


def observe_elsewhere(exercise: str, implementation: Any, seed: int, number: int) -> Observation:
    """What the exercise's probe sees where the arithmetic is another one."""
    with OtherArithmetic(number):
        return observe(exercise, implementation, seed, OtherInputs(seed, number=number))


def observe_decided(exercise: str, implementation: Any, seed: int) -> Observation:
    """What the exercise's probe sees; a fact that rounding alone decides has no value."""
    seen = observe(exercise, implementation, seed)
    undecided = {}
    for number in range(1, MANY + 1):
        if number > FEW and not undecided:
            break
        elsewhere = observe_elsewhere(exercise, implementation, seed, number)
        undecided.update(dict.fromkeys(_differing(elsewhere, seen)))
    return leave_undecided(seen, undecided)


def _differing(seen: Observation, known: Observation) -> Iterator[tuple[str, str]]:
    """The places where two observations differ, or only one has a fact."""
    here, there = ({fact.place: fact for fact in facts} for facts in (known, seen))
    for place in here | there:
        if place not in here or place not in there or not fact_agrees(there[place], here[place]):
            yield place
