"""Another processor's arithmetic: what comes out otherwise where the last bits do is decided by rounding alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vae_helpers.checks import observe
from vae_helpers.checks.observation import Observation, Recorder, leave_undecided
from vae_helpers.checks.verdict import fact_agrees

# More than processors differ by, so that what barely holds here is not relied on there: 8 units in the last place.
LAST_BITS = 3
# A number whose mantissa ends in so many zeros (0, 1, 2.5) is taken for exact, and every processor has the same.
EXACT_BITS = 12
# Half of them flush what is nearly too small and nearly too large for a float; an even chance is missed once in 16 times.
ARITHMETICS = range(1, 5)
COPIES = {torch.ops.aten.clone, torch.ops.aten.copy_, torch.ops.aten._to_copy}
UNSIGNED = {np.dtype(np.float32): np.uint32, np.dtype(np.float64): np.uint64}


class OtherArithmetic(TorchDispatchMode):
    """PyTorch whose every result has other last bits: equal numbers get equal ones, and nothing is drawn for it.

    number: which of many such arithmetics; odd ones also make 0 of a subnormal number and ∞ of one near the largest.
    """

    def __init__(self, number: int):
        super().__init__()
        self.number = number

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if function.overloadpacket in COPIES:
            return made
        kinds = function._schema.returns
        for result, kind in zip((made,) if len(kinds) == 1 else made or (), kinds, strict=True):
            is_view = kind.alias_info is not None and not kind.alias_info.is_write
            for tensor in [] if is_view else tree_leaves(result):
                if isinstance(tensor, torch.Tensor) and tensor.dtype in (torch.float32, torch.float64):
                    other_last_bits(tensor.detach().numpy(), self.number)
        return made


def other_last_bits(array: np.ndarray, number: int) -> None:
    """Replace the last bits of a float array, in place, as `OtherArithmetic(number)` does. Doing it twice changes nothing more."""
    word = UNSIGNED[array.dtype]
    size = 8 * array.itemsize
    if array.ndim == 0:
        array = array.reshape(1)
    bits = array.view(word)
    # A hash of the other bits, by multiplication; its first bits are its best.
    mixed = (bits >> word(LAST_BITS)) * word(0x9E3779B97F4A7C15 >> (64 - size))
    mixed = (mixed ^ (mixed >> word(size // 2)) ^ word(number * 0x45D9F3B % 2**32)) * word(
        0xD6E8FEB86659FD93 >> (64 - size) | 1
    )
    others = (bits >> word(LAST_BITS) << word(LAST_BITS)) | (mixed >> word(size - LAST_BITS))
    np.copyto(bits, others, where=(bits & word(2**EXACT_BITS - 1)) != 0)
    if number % 2:
        limits, magnitude = np.finfo(array.dtype), np.abs(array)
        np.copyto(array, 0, where=magnitude < limits.tiny)
        np.copyto(array, np.copysign(np.inf, array), where=(magnitude > limits.max / 2) & ~np.isnan(array))


@dataclass
class OtherInputs(Recorder):
    """Draws inputs with other last bits, which NumPy, that has no such arithmetic, then computes with."""

    number: int = 0

    def normal(self, *shape: int, **options: float) -> torch.Tensor:
        return self._other(super().normal(*shape, **options))

    def uniform(self, *shape: int, **options: float) -> torch.Tensor:
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
    for number in ARITHMETICS:
        elsewhere = observe_elsewhere(exercise, implementation, seed, number)
        undecided.update(dict.fromkeys(_differing(elsewhere, seen)))
    return leave_undecided(seen, undecided)


def _differing(seen: Observation, known: Observation) -> Iterator[tuple[str, str]]:
    """The places where two observations differ, or only one has a fact."""
    here, there = ({fact.place: fact for fact in facts} for facts in (known, seen))
    for place in here | there:
        if place not in here or place not in there or not fact_agrees(there[place], here[place]):
            yield place
