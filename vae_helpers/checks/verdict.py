"""The judge: compares what a probe saw with what it saw of the reference and of the known mistakes."""

import html
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .observation import Fact, Observation, undecided_places
from .predictions import predicted


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check. `mistake` is the catalogue's name of the mistake recognised, or None: of a prediction, which passes
    whatever was chosen, of the wrong option.

    written: False where there is no answer yet, but the line that the cell was handed out with.
    """

    exercise: str
    passed: bool
    message: str
    mistake: str | None = None
    written: bool = True

    def _repr_html_(self) -> str:
        mark, colour = ("✓", "#1a7f37") if self.passed else ("✗", "#b35900")
        first, *rest = self.message.split("\n")
        body = "".join(f"<p style='margin:.3em 0 0 1.4em'>{html.escape(line)}</p>" for line in rest)
        return (
            f"<div style='border-left:4px solid {colour};padding:.3em .8em'>"
            f"<b>{mark} {html.escape(self.exercise)}</b>: {html.escape(first)}{body}</div>"
        )

    def __str__(self) -> str:
        return f"{'✓' if self.passed else '✗'} {self.exercise}: " + self.message.replace("\n", "\n    ")


def compare(
    exercise: str,
    seen: Observation,
    reference: Observation,
    mistakes: Iterable[tuple[str, str, Observation]] = (),
) -> Verdict:
    """Compare `seen` with the reference's observation and, where they differ, with each known mistake's.

    mistakes: (name, hint, observation), looked at only when `seen` differs from the reference.
    A mistake is named only where exactly one agrees with everything that was seen.
    """
    difference = first_difference(seen, reference)
    if answer := predicted(exercise, seen):
        chosen = [name for name, _, known in mistakes if agree(seen, known)] if difference else []
        return Verdict(exercise, True, f"noted: {answer}.", chosen[0] if len(chosen) == 1 else None)
    if difference is None:
        return Verdict(exercise, True, "right.")
    if not difference.written:
        return Verdict(exercise, False, difference.message, written=False)
    same = [(name, hint) for name, hint, known in mistakes if agree(seen, known)]
    if len(same) == 1:
        name, hint = same[0]
        return Verdict(exercise, False, f"not yet. {hint}\n{difference.message}", name)
    return Verdict(exercise, False, f"not yet.\n{difference.message}")


def agree(seen: Observation, known: Observation) -> bool:
    """Whether two observations show the same behaviour, within the second one's tolerances, where neither is undecided."""
    undecided = {*undecided_places(seen), *undecided_places(known)}
    seen, known = ([fact for fact in facts if fact.place not in undecided] for facts in (seen, known))
    return [f.place for f in seen] == [f.place for f in known] and all(
        fact_agrees(a, b) for a, b in zip(seen, known, strict=True)
    )


def fact_agrees(seen: Fact, known: Fact) -> bool:
    """One fact against the same fact of another observation, with the tolerances of the second."""
    if seen.what == "raised":
        return kind_of_error(seen) == kind_of_error(known)
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


def kind_of_error(fact: Fact) -> str:
    return fact.value.split(":")[0] if isinstance(fact.value, str) else ""


@dataclass(frozen=True)
class Difference:
    """What is not as it should be, in words that never tell the expected number. written: as a Verdict's."""

    message: str
    written: bool = True


def first_difference(seen: Observation, reference: Observation) -> Difference | None:
    """The first thing that is not as it should be, in the reference's order; None where everything is."""
    by_place = {fact.place: fact for fact in seen}
    places = {fact.place for fact in reference}
    for known in reference:
        found = by_place.get(known.place)
        if found is None:
            return _missing(known, by_place, places)
        if known.limit is not None:
            if not (isinstance(found.value, np.ndarray) and found.value.size == 1 and found.value <= known.limit):
                return Difference(
                    f"{known.label}: {known.what} is {_show(found.value)}; it must be at most {known.limit:g}."
                )
        elif not fact_agrees(found, known):
            return Difference(f"{known.label}: {_explain(found, known)}")
    extra = next((f for f in seen if f.place not in places), None)
    if extra is not None:
        return Difference(f"{extra.label}: {extra.what} ({_show(extra.value)}), which should not be there.")
    return None


def _missing(known: Fact, by_place: dict, places: set) -> Difference:
    """What to say where a fact of the reference was not seen. places: of all facts of the reference."""
    raised = by_place.get((known.label, "raised"))
    if raised is None:  # what failed before it, such as the making of a module
        raised = next((f for place, f in by_place.items() if f.what == "raised" and place not in places), None)
    if raised is not None:
        if kind_of_error(raised) == "NotImplementedError":
            what = raised.value.partition(": ")[2]
            if what in ("", "not written yet"):
                what = "replace the line `raise NotImplementedError(...)` in the cell above, run it, and try again."
            return Difference(f"not written yet: {what}", written=False)
        return Difference(f"{raised.label}: it raised {raised.value}")
    if known.what == "raised":
        return Difference(f"{known.label}: it should raise {kind_of_error(known)}, and it returned something instead.")
    parts = sum(1 for label, what in by_place if label == known.label and what.startswith("result"))
    if known.what.startswith("result") and parts:
        wanted = known.what.split(" of ")[-1] if " of " in known.what else "1"
        return Difference(f"{known.label}: it returned {parts} value{'s' * (parts > 1)}; {wanted} expected.")
    return Difference(f"{known.label}: nothing to see for “{known.what}”; an earlier step of the same call went wrong.")


def _explain(found: Fact, known: Fact) -> str:
    if known.what == "raised":
        return f"it should raise {kind_of_error(known)}; it raised {found.value}"
    if known.what == "inputs changed in place":
        return f"it changes its input in place ({found.value}). Work on a copy: the caller still needs the original."
    if known.what == "resets the global random seed":
        return "it resets the global random seed. Whoever calls it loses their own randomness; draw noise without seeding."
    if isinstance(found.value, str):
        return f"{known.what} is {found.value}" + ("." if isinstance(known.value, str) else "; numbers were expected.")
    if isinstance(known.value, str):
        return f"{known.what} is {_show(found.value)}; it should be {known.value}."
    if known.what == "choice":
        return "that is not what happens. Think it through again before you run on."
    if known.value.dtype.kind == "b" and found.value.dtype.kind == "b" and known.value.size == found.value.size == 1:
        return f"{known.what}: {'yes' if found.value else 'no'}. It should be the other way round."
    if found.value.shape != known.value.shape:
        return f"{known.what} has shape {found.value.shape}, expected {known.value.shape}.{_shape_hint(found, known)}"
    return f"{known.what} {_number_hint(found, known)}"


def _shape_hint(found: Fact, known: Fact) -> str:
    got, want = found.value.shape, known.value.shape
    if len(got) == len(want) + 1 and any(n == 1 and got[:i] + got[i + 1 :] == want for i, n in enumerate(got)):
        return " Did you leave a dimension of 1 behind, by keepdim, by None, or not summed over?"
    if len(got) < len(want) and got == tuple(n for n in want if n != 1):
        return " Did squeeze() take away a dimension that happens to be 1 here?"
    if got == () and want:
        return " Did you also sum or average over the rows? Each row keeps its own number."
    if len(got) > len(want):
        return " A sum or mean over a dimension seems to be missing, or two shapes broadcast against each other."
    if sorted(got) == sorted(want):
        return " Are two dimensions swapped?"
    return ""


def _number_hint(found: Fact, known: Fact) -> str:
    value, want = found.value.astype(np.float64), known.value.astype(np.float64)
    wrong = ~close(value, known)
    if np.isnan(value[wrong]).any():
        return f"is NaN in {int(np.isnan(value).sum())} of {value.size} places (0 · ∞, ∞ − ∞ or log of a negative number?)."
    if np.isinf(value[wrong]).any():
        return f"is infinite in {int(np.isinf(value).sum())} of {value.size} places (log of 0, or an overflow in exp?)."
    if "gradient" in known.what and not value.any():
        return "is zero: nothing flows back. Is something detached, under no_grad, or turned into a Python number?"
    places = f"is off in {int(wrong.sum())} of {value.size} places"
    if value.size == 1:
        places = f"is {_show(found.value)}, which is off"
    if np.allclose(value, -want, rtol=1e-3):
        return f"{places}: the sign is the wrong way round."
    if factor := _same_factor(value, want):
        return f"{places}, always by the same factor, {factor:.3g}. Which constant, or which mean instead of a sum?"
    if np.isfinite(want).all() and _same_everywhere(value - want, slack=0.02):
        return f"{places}, always by the same amount. Which constant term is missing, or one too many?"
    if value.size > 1:
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        return f"{places}; the first is at {list(first)}, where you have {value[first]:.4g}."
    return f"{places}."


def _same_factor(value: np.ndarray, want: np.ndarray) -> float | None:
    """By which factor all numbers are off, if it is one. Of one number alone it would tell the expected one."""
    nonzero = np.abs(want) > 1e-6
    if value.size < 2 or nonzero.sum() < 2 or not np.allclose(value[~nonzero], 0, atol=1e-5):
        return None
    ratio = value[nonzero] / want[nonzero]
    # Something that is added to large numbers almost looks like a factor that is almost 1.
    near_enough = np.allclose(ratio, ratio[0], rtol=1e-3) and _same_everywhere(ratio - 1, slack=0.02)
    return float(ratio[0]) if ratio[0] != 0 and near_enough else None


def _same_everywhere(numbers: np.ndarray, slack: float) -> bool:
    """Whether several numbers are one and the same, which is not 0, within this share of it."""
    return numbers.size > 1 and bool((np.abs(numbers - numbers.flat[0]) <= slack * np.abs(numbers.flat[0])).all())


def _show(value) -> str:
    if isinstance(value, str):
        return value
    if value.dtype.kind == "i" and value.size == 1:
        return f"{value.item():,}"
    return f"{float(value.item()):.4g}" if value.size == 1 else f"an array of shape {value.shape}"
