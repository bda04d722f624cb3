"""What is not as it should be, in words: said only where it is certain, and never with the expected number."""

from dataclasses import dataclass

import numpy as np

from .agreement import close, fact_agrees
from .errors import meaning
from .observation import NOT_WRITTEN, RAISED, Fact, Observation, name_of_result
from .recorder import NotWritten
from .relations import CERTAIN, another_shape, one_number, same_shape


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
            return Difference(f"{known.label}: {_as_another_result(found, known, reference) or _explain(found, known)}")
    extra = next((f for f in seen if f.place not in places), None)
    if extra is not None:
        words = extra.told if extra.told and extra.what != RAISED else None
        words = words or f"{extra.what} ({_show(extra.value)}), which should not be there."
        return Difference(f"{extra.label}: {words}")
    return None


def _missing(known: Fact, by_place: dict, places: set) -> Difference:
    """What to say where a fact of the reference was not seen. places: of all facts of the reference."""
    raised = by_place.get((known.label, RAISED))
    parts = sum(1 for (label, _), fact in by_place.items() if label == known.label and fact.results)
    if raised is None and not (known.results and parts):  # what failed before it, such as the making of a module
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
    if known.results and parts:
        if known.results == 1 and np.shape(known.value)[:1] == (parts,):
            return Difference(f"{known.label}: it returned a list or tuple of {parts}; they belong into one tensor.")
        together = " Is one of them too many, or do they belong into one tensor?" * (known.results == 1)
        if parts == 1 and _size(by_place.get((known.label, name_of_result(0, 1)))) == known.results * _size(known):
            together = f" Its numbers are as many as those of all {known.results}: return these as a tuple, each by itself."
        return Difference(
            f"{known.label}: it returned {parts} value{'s' * (parts > 1)}; {known.results} expected.{together}"
        )
    if known.what.startswith("gradient"):
        return Difference(f"{known.label}: no gradient can be taken. Is the result a Python number, by .item() or float()?")
    return Difference(f"{known.label}: nothing to see for “{known.what}”; an earlier step of the same call went wrong.")


def _size(fact: Fact | None) -> int:
    return fact.value.size if fact is not None and isinstance(fact.value, np.ndarray) else 0


def _error(fact: Fact) -> str:
    """What was raised, by which line of the student's, and where it comes from."""
    words = meaning(fact.value)
    return fact.value + (f" (your {fact.told})" if fact.told else "") + (f". {words}" if words else "")


def _as_another_result(found: Fact, known: Fact, reference: Observation) -> str | None:
    """What to say where one of several results is what another of them should be."""
    numbers = isinstance(found.value, np.ndarray) and found.value.dtype.kind == "f" and bool(found.value.any())
    for other in reference if known.results > 1 and numbers else ():
        if other.label == known.label and other.results and other.place != known.place and fact_agrees(found, other):
            return f"{known.what} is what {other.what} should be: have they changed places?"
    return None


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
        if found.value == "None" and found.results:
            return f"{known.what} is None. Is a `return` missing?"
        return f"{known.what} is {found.value}" + ("." if isinstance(known.value, str) else "; numbers were expected.")
    if isinstance(known.value, str):
        return f"{known.what} is {_show(found.value)}; it should be {known.value}."
    if known.what == "choice":
        return "that is not what happens. Think it through again before you run on."
    if known.value.dtype.kind == "b" and found.value.dtype.kind == "b" and known.value.size == found.value.size == 1:
        return f"{known.what}: {'yes' if found.value else 'no'}. It should be the other way round."
    if known.value.dtype.kind == "i" and found.value.dtype.kind == "f" and (found.value % 1).any():
        return f"{known.what} has fractions; whole numbers are asked for, such as indices or counts."
    if found.value.shape != known.value.shape:
        return f"{known.what} has shape {found.value.shape}, expected {known.value.shape}.{_shape_hint(found, known)}"
    return f"{known.what} {found.told or _number_hint(found, known)}"


def _shape_hint(found: Fact, known: Fact) -> str:
    relation = another_shape(found.value.astype(np.float64), known.value.astype(np.float64))
    got, want = found.value.shape, known.value.shape
    if relation and found.value.size != known.value.size:
        return f" {relation}"
    return (f" {relation}" if relation else "") + _question_about_shapes(got, want)


def _question_about_shapes(got: tuple[int, ...], want: tuple[int, ...]) -> str:
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
    if np.prod(got) == np.prod(want):
        return " The numbers are as many, arranged in another way."
    if len(want) > 1 and got[1:] == want[1:] and got[0] < want[0]:
        return (
            " Some are missing: is one picked, are some averaged, or does a loop keep its last pass alone or stop too early?"
        )
    return ""


def _number_hint(found: Fact, known: Fact) -> str:
    value, want = found.value.astype(np.float64), known.value.astype(np.float64)
    wrong = ~close(value, known)
    if np.isnan(value[wrong]).any():
        return f"is NaN in {int(np.isnan(value).sum())} of {value.size} places (0/0, 0 · ∞, ∞ − ∞ or log of a negative number?)."
    if np.isinf(value[wrong]).any():
        return f"is infinite in {int(np.isinf(value).sum())} of {value.size} places (a division by 0, log of 0, or an overflow in exp?)."
    if "gradient" in known.what and not value.any():
        return "is zero: nothing flows back. Is something detached, under no_grad, or turned into a Python number?"
    # Of counts and indices several are easily off by the same, or by one factor: that says nothing of where they come from.
    whole = found.value.dtype.kind in "iu"
    places = f"is off in {int(wrong.sum())} of {value.size} places"
    if value.size == 1:
        places = f"is {_show(found.value)}, which is off"
    if np.allclose(value, -want, rtol=CERTAIN):
        return f"{places}: the sign is the wrong way round."
    if _same_summand(value, want):
        return f"{places}, always by the same amount."
    if factor := _same_factor(value, want):
        by = "by the factor" if value.size == 1 else "always by the same factor,"
        question = "" if whole else " Is it a constant, or a mean instead of a sum?"
        return f"{places}, {by} {factor:.4g}.{question}"
    if relation := same_shape(value, want, wrong):
        return f"{places}: {relation}"
    if value.size > 1:
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        alike = "" if whole and not wrong.all() else one_number(value, want, wrong)
        return f"{places}; the first is at {list(first)}, where you have {value[first]:.4g}{alike or '.'}"
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


def _show(value) -> str:
    if isinstance(value, str):
        return value
    if value.dtype.kind == "i" and value.size == 1:
        return f"{value.item():,}"
    return f"{float(value.item()):.4g}" if value.size == 1 else f"an array of shape {value.shape}"
