"""Answer keys: what the probe of an exercise sees of the reference and of each known mistake, on every processor."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vae_helpers.checks import PUBLIC_SEED, observe
from vae_helpers.checks.agreement import agree
from vae_helpers.checks.observation import Fact, Observation, pack, undecided_places, unpack
from vae_helpers.checks.probes import OPTIONS
from vae_helpers.checks.recorder import Recorder
from vae_helpers.checks.verdict import compare

from ..catalogue import Exercise, find_exercise
from .lesson import LessonError, module_of
from .rounding import observe_decided


def compile_key(exercise: str, old: bytes = b"") -> bytes:
    """The answer key: what the probe sees of the reference and of each mistake, with the hints.

    A mistake is known by what every processor sees of it: what rounding alone decides has no value.
    old: a key of the exercise. What still holds of it is kept as it is.
    Raises LessonError when the key could not tell a mistake from the reference or from another mistake, the reference raises
    what the probe does not ask for, or rounding decides what is seen of it.
    """
    try:
        entry = find_exercise(exercise)
        kept = _what_holds(entry, old)
        reference = kept.get("reference") or observe_decided(exercise, entry.reference, PUBLIC_SEED)
        mistakes = {
            name: kept.get(name) or observe_decided(exercise, make(), PUBLIC_SEED)
            for name, (_, make) in entry.mistakes.items()
        }
    except ValueError as error:
        raise LessonError(f"{exercise}: {error}") from error
    if places := undecided_places(reference):
        label, what = places[0]
        raise LessonError(f"{exercise}: rounding alone decides what the probe sees of the reference ({label}: {what})")
    # Whatever is predicted passes: that options differ is another question.
    same = agree if exercise in OPTIONS else lambda seen, known: compare(exercise, seen, known).passed
    for name, seen in mistakes.items():
        undecided = undecided_places(seen)
        but = ", but for what rounding alone decides" * bool(undecided)
        if same([f for f in seen if f.value is not None], [f for f in reference if f.place not in undecided]):
            raise LessonError(
                f"{exercise}: the probe cannot tell the mistake {name!r} from the reference{but}: it makes no difference, or "
                "the probe lacks an input where it does"
            )
        for other, known in mistakes.items():
            if other != name and agree(seen, known):
                but = ", but for what rounding alone decides" * bool(undecided or undecided_places(known))
                raise LessonError(f"{exercise}: the probe cannot tell the mistake {name!r} from {other!r}{but}")
    hints = {name: hint for name, (hint, _) in entry.mistakes.items()}
    return pack(
        {name: [replace(fact, told=None) for fact in seen] for name, seen in {"reference": reference, **mistakes}.items()},
        **hints,
    )


def _what_holds(entry: Exercise, key: bytes) -> dict[str, Observation]:
    """What a key says of the reference ("reference") and of those mistakes that it has, where the probe sees the same here.

    Nothing where the reference differs. Raises LessonError as `_observe_reference` does.
    """
    reference = _observe_reference(entry)
    try:
        known, _ = unpack(key)
    except Exception:  # no key at all
        return {}
    if not _same_reference(reference, known.get("reference", [])):
        return {}
    held = {
        name: known[name]
        for name, (_, make) in entry.mistakes.items()
        if name in known and agree(observe(entry.name, make(), PUBLIC_SEED), known[name])
    }
    return {"reference": known["reference"], **held}


def _same_reference(seen: Observation, known: Observation) -> bool:
    return agree(seen, known) and all(_same_tolerances(a, b) for a, b in zip(seen, known, strict=True))


class _ReferenceRecorder(Recorder):
    """Is surprised, too, where a call's `inputs` are not what the reference calls its arguments: students read these names."""

    def call(self, label: str, function: Callable, *args: Any, inputs: Sequence[str] = (), **options: Any) -> Any:
        parameters = inspect.signature(function).parameters.values()
        names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
            for said, name in zip(inputs, names, strict=False):
                if said != name:
                    self.surprises.append(f"has no argument {said!r} there, but {name!r} ({label})")
        return super().call(label, function, *args, inputs=inputs, **options)


def _observe_reference(entry: Exercise) -> Observation:
    """What the probe sees of the reference. Raises LessonError for what the probe does not ask for."""
    recorder = _ReferenceRecorder(PUBLIC_SEED)
    seen = observe(entry.name, entry.reference, PUBLIC_SEED, recorder)
    if recorder.surprises:
        raises = recorder.surprises[0].startswith("raises ")
        probe = f"mend {'the solution, or ' * raises}its probe in {module_of(entry.lesson, 'probes')}"
        asked = "; where a right answer raises, the probe says raises=ValueError" * raises
        raise LessonError(f"{entry.name}: the reference {recorder.surprises[0]}: {probe}{asked}")
    return seen


def key_holds(exercise: str, key: bytes) -> bool:
    """Whether an answer key says what the probe sees here, but for last digits, and names every mistake.

    Raises LessonError for an exercise that the catalogue does not know.
    """
    try:
        known, hints = unpack(key)
    except Exception:  # no key at all
        return False
    try:
        entry = find_exercise(exercise)
        if list(known) != ["reference", *entry.mistakes] or hints != {
            name: hint for name, (hint, _) in entry.mistakes.items()
        }:
            return False
        reference, mistakes = known["reference"], [(name, hint, known[name]) for name, hint in hints.items()]
        seen = _observe_reference(entry)
        return _same_reference(seen, reference) and all(
            compare(exercise, observe(exercise, make(), PUBLIC_SEED), reference, mistakes).mistake == name
            for name, (_, make) in entry.mistakes.items()
        )
    except ValueError as error:
        raise LessonError(f"{exercise}: {error}") from error


def _same_tolerances(seen: Fact, known: Fact) -> bool:
    if isinstance(known.value, str):  # words have none
        return isinstance(seen.value, str)
    # Some are made from what was seen, and have last digits of their own.
    same_atol = np.shape(seen.atol) == np.shape(known.atol) and np.allclose(seen.atol, known.atol, rtol=1e-3, atol=0)
    return (seen.rtol, seen.limit) == (known.rtol, known.limit) and same_atol
