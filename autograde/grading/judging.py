"""The judge on the instructor's side: fresh inputs, with the reference and the mistakes run here."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from vae_helpers.checks import answer_key, observe
from vae_helpers.checks.observation import Observation, leave_undecided, undecided_places
from vae_helpers.checks.verdict import Verdict, compare

from ..catalogue import find_exercise


@lru_cache(maxsize=4096)
def reference_observation(exercise: str, seed: int) -> Observation:
    """What the exercise's probe sees of the reference."""
    return observe(exercise, find_exercise(exercise).reference, seed)


@lru_cache(maxsize=4096)
def observe_mistake(exercise: str, mistake: str, seed: int) -> Observation:
    """What the exercise's probe sees of a known mistake."""
    return observe(exercise, find_exercise(exercise).mistakes[mistake][1](), seed)


@lru_cache(maxsize=4096)
def mistake_observation(exercise: str, mistake: str, seed: int) -> Observation:
    """What a known mistake is known by: what is seen of it, but for what its key says that rounding decides."""
    keys = {name: known for name, _, known in answer_key(exercise)[1]}
    return leave_undecided(observe_mistake(exercise, mistake, seed), undecided_places(keys.get(mistake, [])))


def forget_observations() -> None:
    """Free what is remembered: nobody else has the inputs of a submission that has been graded."""
    reference_observation.cache_clear()
    observe_mistake.cache_clear()
    mistake_observation.cache_clear()


def mistake_observations(exercise: str, seed: int) -> Iterator[tuple[str, str, Observation]]:
    """(name, hint, observation) of each known mistake, computed as it is asked for."""
    for name, (hint, _) in find_exercise(exercise).mistakes.items():
        yield name, hint, mistake_observation(exercise, name, seed)


def judge_observation(exercise: str, seen: Observation, seed: int) -> Verdict:
    """The verdict on an observation that was made, perhaps in another process, with inputs drawn from `seed`."""
    return compare(exercise, seen, reference_observation(exercise, seed), mistake_observations(exercise, seed))


def judge(exercise: str, implementation: Any, seed: int = 0) -> Verdict:
    """Probe and judge an implementation, in this process, with inputs drawn from `seed`.

    Returns a Verdict with `.passed`, `.mistake` (a name from the catalogue, or None) and `.message`.
    exercise: its name, or the function's that it asks for; where two lessons ask for the same, "05/encode".
    Raises ValueError for an unknown exercise.
    """
    exercise = find_exercise(exercise).name
    return judge_observation(exercise, observe(exercise, implementation, seed), seed)
