"""The judge: compares what a probe saw with what it saw of the reference and of the known mistakes."""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from .observation import ADVICE, NOT_WRITTEN, RAISED, Fact, Observation, name_of_result, undecided_places
from .predictions import predicted
from .recorder import NotWritten

# How near a sum or a factor must be to be called one: a sum of rounded numbers differs by less, and another mistake hardly ever.
CERTAIN = 1e-4
# What is said in ways of its own, and takes no mistake its name.
MINOR = ("dtype of", "inputs changed in place", "resets the global random seed")


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
            f"<b>{mark} {html.escape(self.exercise)}</b>: {_as_html(first)}{body}</div>"
        )

    @property
    def headline(self) -> str:
        """The verdict in one line: the hint, or else the first difference."""
        first, *rest = self.message.split("\n")
        return rest[0] if first == "not yet." and rest else first

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
    A mistake is named where exactly one agrees with everything that was seen; where none does, where exactly one agrees with all
    that tells it from the reference, up to the first difference that is another's (`has_mistake`).
    """
    advice = [f"{fact.label}: {fact.value}" for fact in seen if fact.what == ADVICE]
    seen = _unpacked(seen, reference)
    difference = first_difference(seen, reference)
    if answer := predicted(exercise, seen):
        chosen = [name for name, _, known in mistakes if agree(seen, known)] if difference else []
        return Verdict(exercise, True, f"noted: {answer}.", chosen[0] if len(chosen) == 1 else None)
    if difference is None:
        return Verdict(exercise, True, "\n".join(["right.", *advice]))
    if not difference.written:
        return Verdict(exercise, False, difference.message, written=False)
    mistakes = list(mistakes)
    same = [
        (name, hint)
        for name, hint, known in mistakes
        if agree(seen, known) and _told_by_more_than_a_class(seen, known, reference)
    ]
    same = same or [(name, hint) for name, hint, known in mistakes if has_mistake(seen, reference, known)]
    if len(same) == 1:
        name, hint = same[0]
        return Verdict(exercise, False, f"not yet. {hint}", name)
    return Verdict(exercise, False, f"not yet.\n{difference.message}")


def _told_by_more_than_a_class(seen: Observation, known: Observation, reference: Observation) -> bool:
    """Whether two wrong answers that agree share more than the class of what they raise: its words, or anything else."""
    expected = {fact.place: fact for fact in reference}
    raised = {fact.place: fact.value for fact in known if fact.what == RAISED}
    others = (fact for fact in known if fact.what != RAISED and fact.value is not None)
    if any(fact.place not in expected or not fact_agrees(fact, expected[fact.place]) for fact in others):
        return True
    unasked = (fact for fact in seen if fact.what == RAISED and fact.place not in expected)
    return all(fact.value == raised.get(fact.place, fact.value) for fact in unasked)


def has_mistake(seen: Observation, reference: Observation, known: Observation) -> bool:
    """Whether a mistake shows in `seen`, beside whatever else is wrong there.

    Up to the first fact that is neither the reference's nor the mistake's, all is as the mistake has it, and numbers of one call
    are the mistake's alone; of two calls, where that first fact is one that the mistake, too, gets wrong, only otherwise.
    What errors a right answer raises, and dtypes, are no part of it.
    """
    undecided = {*undecided_places(seen), *undecided_places(known)}
    errors = {fact.label for fact in reference if fact.what == RAISED}
    ours, theirs = ({fact.place: fact for fact in facts} for facts in (seen, known))
    found = set()
    for right in reference:
        if right.place in undecided or right.label in errors or right.what.startswith(MINOR):
            continue
        here, there = ours.get(right.place), theirs.get(right.place)
        as_mistake = here is there is None or (here is not None and there is not None and fact_agrees(here, there))
        if there is not None and fact_agrees(there, right):
            if here is None or not fact_agrees(here, right):
                break  # another's
        elif as_mistake:
            found |= {right.label} if here is not None and _tells(here) else set()
        elif here is not None and fact_agrees(here, right):
            return False
        else:
            return len(found) > 1
    return bool(found)


def _tells(fact: Fact) -> bool:
    """Whether two wrong answers hardly ever share this fact by chance: finite numbers that are not all 0."""
    value = fact.value
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and bool(np.isfinite(value).all()) and bool(value.any())


def _unpacked(seen: Observation, reference: Observation) -> Observation:
    """The same without advice, and one array taken apart where several results are asked for: it unpacks into them as a tuple does."""
    results = {fact.label: fact.results for fact in reference if fact.results}
    facts = []
    for fact in seen:
        if fact.what == ADVICE:
            continue
        n = results.get(fact.label, 0)
        one = fact.what == name_of_result(0, 1) and isinstance(fact.value, np.ndarray)
        if n > 1 and one and fact.value.shape[:1] == (n,):
            facts += [replace(fact, what=name_of_result(i, n), value=fact.value[i]) for i in range(n)]
        else:
            facts.append(fact)
    return facts


def agree(seen: Observation, known: Observation) -> bool:
    """Whether two observations show the same behaviour, within the second one's tolerances, where neither is undecided."""
    undecided = {*undecided_places(seen), *undecided_places(known)}
    seen, known = ([f for f in facts if f.place not in undecided and f.what != ADVICE] for facts in (seen, known))
    return [f.place for f in seen] == [f.place for f in known] and all(
        fact_agrees(a, b) for a, b in zip(seen, known, strict=True)
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
                at_most = f"{known.what} is {_show(found.value)}; it must be at most {known.limit:g}."
                return Difference(f"{known.label}: {found.told or at_most}")
        elif not fact_agrees(found, known):
            return Difference(f"{known.label}: {_explain(found, known)}")
    extra = next((f for f in seen if f.place not in places), None)
    if extra is not None:
        words = extra.told if extra.told and extra.what != RAISED else None
        words = words or f"{extra.what} ({_show(extra.value)}), which should not be there."
        return Difference(f"{extra.label}: {words}")
    return None


def _missing(known: Fact, by_place: dict, places: set) -> Difference:
    """What to say where a fact of the reference was not seen. places: of all facts of the reference."""
    raised = by_place.get((known.label, RAISED))
    if raised is None:  # what failed before it, such as the making of a module
        raised = next((f for place, f in by_place.items() if f.what == RAISED and place not in places), None)
    if raised is not None:
        if raised.value == NOT_WRITTEN:
            what = "replace the line `raise NotImplementedError(...)` in the cell above, run it, and try again."
            return Difference(f"not written yet: {what}", written=False)
        if raised.error == NotWritten.__name__:
            return Difference(f"not written yet: {raised.value.partition(': ')[2]}", written=False)
        return Difference(f"{raised.label}: it raised {_error(raised)}")
    if known.what == RAISED:
        return Difference(f"{known.label}: it should raise {known.error}, and it returned something instead.")
    pitfall = next(
        (f for place, f in by_place.items() if f.told and not f.results and f.label == known.label and place not in places),
        None,
    )
    if pitfall is not None:
        return Difference(f"{pitfall.label}: {pitfall.told}")
    parts = sum(1 for (label, _), fact in by_place.items() if label == known.label and fact.results)
    if known.results and parts:
        together = " Is one of them too many, or do they belong into one tensor?" * (known.results == 1)
        return Difference(
            f"{known.label}: it returned {parts} value{'s' * (parts > 1)}; {known.results} expected.{together}"
        )
    if known.what.startswith("gradient"):
        return Difference(f"{known.label}: no gradient can be taken. Is the result a Python number, by .item() or float()?")
    return Difference(f"{known.label}: nothing to see for “{known.what}”; an earlier step of the same call went wrong.")


def _error(fact: Fact) -> str:
    """What was raised, and by which line of the student's."""
    return fact.value + (f" (your {fact.told})" if fact.told else "")


def _explain(found: Fact, known: Fact) -> str:
    if known.what == RAISED:
        return f"it should raise {known.error}; it raised {_error(found)}"
    if known.what == "inputs changed in place":
        return f"it changes its input in place ({found.value}). Work on a copy: the caller still needs the original."
    if known.what == "resets the global random seed":
        return "it resets the global random seed. Whoever calls it loses their own randomness; draw noise without seeding."
    if found.told and not known.results:
        return found.told
    if known.what.startswith("dtype of") and isinstance(known.value, str):
        return f"{known.what} is {found.value}; it should be {known.value}."
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
    return f"{known.what} {found.told or _number_hint(found, known)}"


def _shape_hint(found: Fact, known: Fact) -> str:
    got, want = found.value.shape, known.value.shape
    without_ones = [tuple(n for n in shape if n != 1) for shape in (got, want)]
    if len(got) > len(want) and without_ones[0] == without_ones[1]:
        return " Did you leave a dimension of 1 behind, by keepdim, by None, or not summed over?"
    if len(got) < len(want) and got == tuple(n for n in want if n != 1):
        return " Did squeeze() take away a dimension that happens to be 1 here?"
    if got == () and want:
        return " Did you also sum or average over what is to keep a number for each row, image or dimension?"
    if len(got) != len(want) and np.prod(got) == np.prod(want):
        return " The numbers are as many, in other dimensions: is a cat, a flatten or a reshape wanted?"
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
    if np.allclose(value, -want, rtol=CERTAIN):
        return f"{places}: the sign is the wrong way round."
    if _same_summand(value, want):
        return f"{places}, always by the same amount. Is a constant term missing, or one too many?"
    if factor := _same_factor(value, want):
        by = "by the factor" if value.size == 1 else "always by the same factor,"
        return f"{places}, {by} {factor:.4g}. Is it a constant, or a mean instead of a sum?"
    if value.size > 1:
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        return f"{places}; the first is at {list(first)}, where you have {value[first]:.4g}."
    return f"{places}."


def _same_summand(value: np.ndarray, want: np.ndarray) -> bool:
    """Whether all of several numbers are off by the same amount, for certain: float32's rounding can't hide that they are not."""
    if value.size < 2 or not np.isfinite(want).all():
        return False
    off = value - want
    rounding = np.finfo(np.float32).eps * np.abs(want).max()
    near = CERTAIN * np.abs(off.flat[0])
    return bool(np.ptp(want) > near > 0.1 * rounding and np.ptp(off) <= near + 4 * rounding)


def _same_factor(value: np.ndarray, want: np.ndarray) -> float | None:
    """By which factor all numbers are off, if it is one. Of one number alone only a whole one, or one over it: any other
    would only tell the expected number."""
    nonzero = np.abs(want) > 1e-6
    if not nonzero.any() or not np.allclose(value[~nonzero], 0, atol=1e-5):
        return None
    ratio = value[nonzero] / want[nonzero]
    factor = float(ratio.flat[0])
    if factor == 0 or not np.allclose(ratio, factor, rtol=CERTAIN, atol=0):
        return None
    if nonzero.sum() > 1:
        # Something that is added to large numbers almost looks like a factor that is almost 1.
        return factor if abs(factor - 1) > 20 * CERTAIN else None
    whole = max(abs(factor), 1 / abs(factor))
    return factor if 1.5 < whole < 1000 and abs(whole - round(whole)) < 1e-5 * whole else None


def _as_html(line: str) -> str:
    """A line of Markdown, with `code`, *emphasis* and **strong** words, as HTML; all else is escaped."""
    parts = re.split(r"`([^`]+)`", line)
    for i, part in enumerate(parts):
        part = html.escape(part)
        if i % 2:
            parts[i] = f"<code>{part}</code>"
        else:
            part = re.sub(r"\*\*(?=\S)([^*]+)(?<=\S)\*\*", r"<b>\1</b>", part)
            parts[i] = re.sub(r"(?<!\w)\*(?=\S)([^*]+)(?<=\S)\*(?!\w)", r"<i>\1</i>", part)
    return "".join(parts)


def _show(value) -> str:
    if isinstance(value, str):
        return value
    if value.dtype.kind == "i" and value.size == 1:
        return f"{value.item():,}"
    return f"{float(value.item()):.4g}" if value.size == 1 else f"an array of shape {value.shape}"
