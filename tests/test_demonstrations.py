"""A ✓ never breaks what follows: every lesson's demonstrations, on little data, with answers that its checks accept.

Each pass over a lesson puts a correct variant of the catalogue in the place of every solution, and around it an idiom that
students write: what comes back keeps a graph, is a view, is of another width, comes from inference_mode. The check refuses the idiom, with the
reason, or the demonstrations take it.
"""

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import vae_helpers
from autograde.catalogue import load_all
from autograde.catalogue.recurring import of_result
from autograde.lessons.lesson import Lesson, read_lesson
from vae_helpers.checks import CheckFailed, check
from vae_helpers.checks.probes import OPTIONS

CATALOGUE = load_all()
LESSONS = ("00_start_here", "03_kl_divergence", "04_reparameterization", "11_conditional_vae")
IMAGES = 2000  # of each split
ROWS = 96  # that `fit` trains on: two steps
# What takes long and shows nothing of an answer: by lesson, text of its demonstrations and what runs in its place.
SHORTER = {
    "11": [
        ("x_test[picked], y_test[picked]", "x_test[:12], y_test[:12]"),
    ],
}


@dataclass(frozen=True)
class Idiom:
    """A way to return what is right. words: what a check that refuses it says; without any, it must take it."""

    change: Callable[[Any], Any]
    words: str = ""
    around: Callable | None = None  # a context that the call runs in

    def apply(self, answer: Any) -> Any:
        if inspect.isclass(answer):
            methods = {name: f for name, f in vars(answer).items() if inspect.isfunction(f) and name != "__init__"}
            if len(methods) > 1:  # forward goes through the others
                methods.pop("forward", None)
            methods = {name: self.apply(method) for name, method in methods.items()}
            return type(answer.__name__, (answer,), methods)
        changed = of_result(self._of_parts, answer)
        return self.around()(changed) if self.around else changed

    def _of_parts(self, result: Any) -> Any:
        if isinstance(result, dict):
            return {name: self.change(part) for name, part in result.items()}
        return self.change(result)


def as_it_is(part: Any) -> Any:
    return part


def view(part: Any) -> Any:
    """The same numbers, as every second one of a larger tensor or array."""
    if isinstance(part, np.ndarray):
        return np.stack([part, part], -1)[..., 0]
    return torch.stack([part, part], -1)[..., 0] if isinstance(part, torch.Tensor) else part


def graph_and_view(part: Any) -> Any:
    """A view that a gradient of its own hangs on."""
    if isinstance(part, torch.Tensor) and part.is_floating_point():
        part = part + torch.zeros((), dtype=part.dtype, requires_grad=True)
    return view(part)


def other_width(part: Any) -> Any:
    widths = {torch.float32: torch.float64, torch.int64: torch.int32, np.dtype("float64"): np.float32}
    if isinstance(part, torch.Tensor):
        return part.to(widths.get(part.dtype, part.dtype))
    return part.astype(widths.get(part.dtype, part.dtype)) if isinstance(part, np.ndarray) else part


PASSES = {
    "views": [Idiom(graph_and_view, "graph|requires_grad|gradient"), Idiom(view)],
    "other widths": [Idiom(other_width, "float64|float32|int32|double")],
    "inference_mode": [Idiom(as_it_is, "inference_mode|gradient|graph|no_grad|cut off", torch.inference_mode)],
    "variants": [],
}


def answers(lesson: Lesson, number: int, idioms: list[Idiom]) -> dict[str, Any]:
    """By exercise, its variant with this number, where it has so many, and around it the first idiom that the check takes."""
    chosen = {}
    for name in lesson.exercises:
        exercise = CATALOGUE[name]
        if name in OPTIONS or exercise.stand_in or not callable(exercise.reference):
            continue
        plain = [*exercise.variants.values(), exercise.reference][number % (len(exercise.variants) + 1)]
        chosen[name] = next((idiom.apply(plain) for idiom in idioms if accepted(name, idiom, plain)), plain)
    return chosen


def accepted(name: str, idiom: Idiom, plain: Any) -> bool:
    try:
        check(name, idiom.apply(plain))
    except CheckFailed as refused:
        assert re.search(idiom.words, str(refused), re.IGNORECASE), f"no true reason: {refused}"
        return False
    return True


@pytest.fixture
def little(monkeypatch, tmp_path):
    """Few images and few steps in place of many, and figures that are drawn and not rendered. All else is real."""
    from matplotlib import pyplot as plt

    fit, load = vae_helpers.fit, vae_helpers.load_mnist

    def few(data):
        return tuple(part[:ROWS] for part in data) if isinstance(data, tuple | list) else data[:ROWS]

    def short_fit(model, loss, data, *, epochs=1, test=None, progress=False, **rest):
        return fit(model, loss, few(data), epochs=1, test=None if test is None else few(test), progress=False, **rest)

    def few_images(split="train", *args, **rest):
        return tuple(part[:IMAGES].clone() for part in load(split, *args, **rest))

    plt.switch_backend("Agg")
    monkeypatch.setattr(vae_helpers, "fit", short_fit)
    monkeypatch.setattr(vae_helpers, "load_mnist", few_images)
    monkeypatch.setattr(vae_helpers, "show", lambda figure, caption, alt: plt.close(figure))
    monkeypatch.setattr(vae_helpers, "explore", lambda *_, **__: plt.close("all"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("number, idioms", list(enumerate(PASSES.values())), ids=PASSES)
@pytest.mark.parametrize("name", LESSONS)
def test_demonstrations_take_what_the_checks_accept(name, number, idioms, little, capsys):
    lesson = read_lesson(name)
    chosen = answers(lesson, number, idioms)
    module = ModuleType(f"demonstrations_of_{name}")
    sys.modules[module.__name__] = module  # where its classes are looked up
    module.display = lambda *_, **__: None  # as a kernel has it
    shorter = dict(SHORTER.get(name[:2], []))
    torch.manual_seed(0)
    for cell in lesson.cells:
        if cell.kind != "code" or cell.claim:
            continue
        source = cell.source
        for old in [old for old in shorter if old in source]:
            source = source.replace(old, shorter.pop(old))
        exec(compile("\n" * (cell.line - 1) + source, str(lesson.path), "exec"), module.__dict__)
        if cell.exercise in chosen:
            module.__dict__[cell.check or cell.exercise] = chosen[cell.exercise]
    assert not shorter, f"the lesson has no longer: {list(shorter)}"
