"""The judge: compares what a probe saw with what it saw of the reference and of the known mistakes."""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from .agreement import agree, fact_agrees
from .differences import first_difference
from .observation import ADVICE, RAISED, Fact, Observation, name_of_result, undecided_places
from .predictions import predicted

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
