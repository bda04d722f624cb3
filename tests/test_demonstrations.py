"""A ✓ never breaks what follows: a lesson's demonstrations, on little data, with answers that its checks accept.

Each pass over a lesson puts a correct variant of the catalogue in the place of every solution, and around it the idioms that
students write: what comes back is made under inference_mode, keeps a graph, is float64, int32 or a NumPy array, is a view. The check refuses an
idiom, with the reason, or the demonstrations take it.
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
from autograde.lessons.lesson import Lesson, lesson_names, read_lesson
from vae_helpers.checks import CheckFailed, check
from vae_helpers.checks.probes import OPTIONS

CATALOGUE = load_all()
# Lessons whose demonstrations are known to take all that their checks accept; the rest is to follow.
COVERED = ("00", "01", "02", "03", "04", "05", "07", "08", "09", "11", "14")
IMAGES = 4000  # of each split
ROWS, BATCH = 96, 8  # what `fit` trains on: twelve steps, enough for curves that are smoothed over ten
# What takes long and shows nothing of an answer: by lesson, text of its demonstrations and what runs in its place.
SHORTER = {
    "01": [
        ("K, repeats = 20, 5000", "K, repeats = 20, 100"),
        ("generator)[1].expand(\n    200, 4", "generator)[1].expand(\n    4, 4"),
        ("torch.randn(1000, 200, 4", "torch.randn(20, 4, 4"),
        ("for block in z.split(100)", "for block in z[: total // 50].split(2)"),
        ("ancestral_sample(side_by_side(D), 50, generator)", "ancestral_sample(side_by_side(D), 2, generator)"),
        ("x, sizes, 50_000, generator", "x, sizes, 10_000, generator"),
        ("x = x_test[:20].flatten(1)", "x = x_test[:2].flatten(1)"),
        ("for D in (1, 2, 4, 8, 16, 32)}", "for D in (1, 2, 32)}"),
        ("log_likelihood(nodes) +", "log_likelihood(nodes[::100]).repeat_interleave(100, 0)[: len(nodes)] +"),
        ("log_likelihood(z_prior) ", "log_likelihood(z_prior[::100]).repeat_interleave(100, 0) "),
    ],
    "02": [
        ("def train_encoder(hidden, steps=500", "def train_encoder(hidden, steps=5"),
    ],
    "04": [
        ("torch.randn(100_000, 1, 2", "torch.randn(100, 1, 2"),
    ],
    "05": [
        ("np.abs(conv2d(x, *layer, 2, 1) - theirs)", "np.abs(conv2d(x[:2], *layer, 2, 1) - theirs[:2])"),
        ("h = np.maximum(conv2d(x, *layer, stride=2", "h = np.maximum(conv2d(x[:2], *layer, stride=2"),
    ],
    "06": [
        ("correct=True, steps=3000", "correct=True, steps=30"),
    ],
    "07": [
        ("def run(step, n_steps=40)", "def run(step, n_steps=3)"),
    ],
    "08": [
        ("latent_dim: int, n: int = 4000", "latent_dim: int, n: int = 40"),
        ("completeness(vae.decode, codes[:3000]", "completeness(vae.decode, codes[:100]"),
        ("noise = torch.randn(2000, 16", "noise = torch.randn(100, 16"),
        ("mu, logvar = vae.encode(x_test[:2000])", "mu, logvar = vae.encode(x_test[:100])"),
        ("pairs: int = 60", "pairs: int = 2"),
        ("differ = y_test[:2000] != y_test[2000:4000]", "differ = torch.arange(2000) < 50"),
    ],
    "09": [
        ("latent_dim: int = 20, steps: int = 1500", "latent_dim: int = 20, steps: int = 20"),
    ],
    "10": [
        # After so little training no dimension holds 0.2 nats.
        ("kl_per_dim(mu, logvar).mean(0) > 0.2,", "kl_per_dim(mu, logvar).mean(0) > 0,"),
        ("by_kl(vaes[run])[1] > 0.2).sum()", "by_kl(vaes[run])[1] > 0).sum()"),
    ],
    "11": [
        ("some = torch.randn(2000, ", "some = torch.randn(100, "),
        ("elbo_of_labels(x_test[:2000], some), y_test[:2000]", "elbo_of_labels(x_test[:100], some), y_test[:100]"),
        ("200 * len(x)", "2 * len(x)"),
        ("repeat(200, 1, 1, 1)", "repeat(2, 1, 1, 1)"),
        ("blur.view(200, ", "blur.view(2, "),
        ("x_test[picked], y_test[picked]", "x_test[:12], y_test[:12]"),
    ],
    "12": [
        ("labels = torch.arange(400) % 10", "labels = torch.arange(20) % 10"),
    ],
    "13": [
        ("x_toy = torch.randn(100, 4, generator=generator)", "x_toy = torch.randn(10, 4, generator=generator)"),
        ("torch.randn(\n    100, 8, generator", "torch.randn(\n    10, 8, generator"),
        ("eps = torch.randn(10_000, 100, 4", "eps = torch.randn(100, 10, 4"),
        ("torch.randn(10, 100, 4", "torch.randn(10, 10, 4"),
        ("torch.randn(T, 10, 100, 4", "torch.randn(T, 10, 10, 4"),
        ("torch.rand(T, 10, 100", "torch.rand(T, 10, 10"),
        ("def signal_to_noise(loss, K, repeats=40)", "def signal_to_noise(loss, K, repeats=2)"),
        ("n_samples=500, chunk=50", "n_samples=50, chunk=10"),
        ("x_some = x_drawn[::10]", "x_some = x_drawn[::100]"),
        ("math.log10(4e3), math.log10(1.2e5), 8", "math.log10(4e2), math.log10(1.2e3), 3"),
        ("def continue_training(n_samples, steps=250", "def continue_training(n_samples, steps=2"),
    ],
    "14": [
        ("n = 2000\n", "n = 50\n"),
    ],
}


@dataclass(frozen=True)
class Idiom:
    """A way to return what is right. words: what a check that refuses it says."""

    change: Callable[[Any], Any]
    words: str
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


def graph(part: Any) -> Any:
    """A gradient of its own hangs on it."""
    if isinstance(part, torch.Tensor) and part.is_floating_point():
        return part + torch.zeros((), dtype=part.dtype, requires_grad=True)
    return part


def as_array(part: Any) -> Any:
    return part.detach().numpy() if isinstance(part, torch.Tensor) else part


def of_kind(old: torch.dtype, new: torch.dtype, old_array: type, new_array: type) -> Callable[[Any], Any]:
    """A change of dtype of what has the old one."""

    def change(part: Any) -> Any:
        if isinstance(part, torch.Tensor) and part.dtype == old:
            return part.to(new)
        return part.astype(new_array) if isinstance(part, np.ndarray) and part.dtype == old_array else part

    return change


IDIOMS = [
    Idiom(as_it_is, "inference_mode|gradient|graph|no_grad|cut off", torch.inference_mode),
    Idiom(graph, "graph|requires_grad|gradient|no leaves|record attached"),
    Idiom(of_kind(torch.float32, torch.float64, np.float64, np.float32), "float64|float32|double"),
    Idiom(of_kind(torch.int64, torch.int32, np.int64, np.int32), "int32|int64"),
    Idiom(as_array, "NumPy|array|dict of tensors|gradient|detached"),
    Idiom(view, "no leaves"),
]


def answers(lesson: Lesson, number: int) -> dict[str, Any]:
    """By exercise, its variant with this number, and around it the idioms that the check takes, one around the other."""
    chosen = {}
    for name in to_answer(lesson):
        variants = list(CATALOGUE[name].variants.values())
        answer = variants[number % len(variants)]
        for idiom in IDIOMS:
            if accepted(name, idiom.apply(answer), idiom.words):
                answer = idiom.apply(answer)
        answer.__name__ = name
        chosen[name] = answer
    return chosen


def to_answer(lesson: Lesson) -> list[str]:
    exercises = {name: CATALOGUE[name] for name in lesson.exercises if name not in OPTIONS}
    return [name for name, one in exercises.items() if callable(one.reference) and not one.stand_in]


def accepted(name: str, answer: Any, words: str) -> bool:
    try:
        check(name, answer)
    except CheckFailed as refused:
        assert re.search(words, str(refused), re.IGNORECASE), f"{name}: no true reason: {refused}"
        return False
    return True


@pytest.fixture
def little(monkeypatch, tmp_path):
    """Few images and few steps in place of many, and figures that are drawn and not rendered. All else is real."""
    from matplotlib import pyplot as plt

    fit, load = vae_helpers.fit, vae_helpers.load_mnist

    def few(data):
        return tuple(part[:ROWS] for part in data) if isinstance(data, tuple | list) else data[:ROWS]

    def short_fit(model, loss, data, *, test=None, **rest):
        shorter = {"epochs": 1, "batch_size": BATCH, "progress": False}
        return fit(model, loss, few(data), test=None if test is None else few(test), **rest | shorter)

    def few_images(split="train", *args, **rest):
        return tuple(part[:IMAGES].clone() for part in load(split, *args, **rest))

    plt.switch_backend("Agg")
    monkeypatch.setattr(vae_helpers, "fit", short_fit)
    monkeypatch.setattr(vae_helpers, "load_mnist", few_images)
    monkeypatch.setattr(vae_helpers, "show", lambda figure, caption, alt: plt.close(figure))
    monkeypatch.setattr(vae_helpers, "explore", lambda *_, **__: plt.close("all"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", [name for name in lesson_names() if name.startswith(COVERED)])
def test_demonstrations_take_what_the_checks_accept(name, little, capsys):
    lesson = read_lesson(name)
    for number in range(max(len(CATALOGUE[exercise].variants) for exercise in to_answer(lesson))):
        demonstrate(lesson, answers(lesson, number))


def demonstrate(lesson: Lesson, chosen: dict[str, Any]) -> None:
    """Run the lesson as a notebook does, with the chosen answers in the place of its own."""
    module = ModuleType(f"demonstrations_of_{lesson.path.stem}")
    sys.modules[module.__name__] = module  # where its classes are looked up
    module.display = lambda *_, **__: None  # as a kernel has it
    shorter = dict(SHORTER.get(lesson.path.stem[:2], []))
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
