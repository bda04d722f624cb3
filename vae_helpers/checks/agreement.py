"""When two observations show the same behaviour: numbers within tolerances, words and errors alike."""

from itertools import zip_longest

import numpy as np

from .observation import ADVICE, RAISED, Fact, Observation, undecided_places


def agree(seen: Observation, known: Observation) -> bool:
    """Whether two observations show the same behaviour, within the second one's tolerances, where neither is undecided."""
    undecided = {*undecided_places(seen), *undecided_places(known)}
    seen, known = (
        (fact for fact in facts if fact.what != ADVICE and not (undecided and fact.place in undecided))
        for facts in (seen, known)
    )
    return all(
        a is not None and b is not None and a.place == b.place and fact_agrees(a, b) for a, b in zip_longest(seen, known)
    )


def fact_agrees(seen: Fact, known: Fact) -> bool:
    """One fact against the same fact of another observation, with the tolerances of the second."""
    if seen.what == RAISED:
        return seen.error == known.error
    if isinstance(seen.value, str) or isinstance(known.value, str):
        return isinstance(seen.value, str) and isinstance(known.value, str) and seen.value == known.value
    if known.limit is not None:
        return seen.value.size == 1 and bool(seen.value <= known.limit) == bool(known.value <= known.limit)
    if seen.value.shape != known.value.shape:
        return False
    return bool(close(seen.value, known).all())


def close(value: np.ndarray, known: Fact) -> np.ndarray:
    """Elementwise: within atol + rtol·|known|; infinities and NaN agree with themselves."""
    with np.errstate(all="ignore"):
        near = np.abs(value - known.value.astype(np.float64)) <= known.atol + known.rtol * np.abs(known.value)
        near &= np.isfinite(known.value)  # nothing is near infinity
        same = (value == known.value) | (np.isnan(value) & np.isnan(known.value))
    return near | same
