"""Mistakes in lists and by name: each is the implementation that it says, and a student can write it into a notebook."""

import math

import pytest
import torch

from autograde import judge
from autograde.catalogue import CATALOGUE, Exercise, load_all, reference
from autograde.catalogue.recurring import HINTS, detached, half_forgotten, in_bits, logvar_as_log_std, own_noise
from autograde.demo import mistaken_answer

MU, LOGVAR, EPS = torch.zeros(2, 3), torch.ones(2, 3), torch.full((4, 2, 3), 2.0)
RECURRING = [(name, mistake) for name, exercise in load_all().items() for mistake in exercise.made]


@pytest.fixture
def made_up():
    yield Exercise("made_up")
    del CATALOGUE["made_up"]


def test_a_list_of_edits_is_one_edit_after_the_other(made_up):
    made_up.edits("""
forgot_half: `0.5 * (` → `(`
    The ½ is missing.
two_lines: `a\nb` → ``
    The first line,
    and the second.
no_sigmoid: `sigmoid(mean)` → `mean`
""")
    assert made_up.edited_texts == {
        "forgot_half": ("0.5 * (", "("),
        "two_lines": ("a\nb", ""),
        "no_sigmoid": ("sigmoid(mean)", "mean"),
    }
    hints = {name: hint for name, (hint, _) in made_up.mistakes.items()}
    assert hints == {
        "forgot_half": "The ½ is missing.",
        "two_lines": "The first line, and the second.",
        "no_sigmoid": HINTS["no_sigmoid"],
    }


def test_a_list_of_wrong_choices_has_letters_and_numbers(made_up):
    made_up.wrong_choices("wide: b\n    Narrower.\nhalf: 0.5\n    Twice that.\n")
    assert [make() for _, make in made_up.mistakes.values()] == ["b", 0.5]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x: `a` -> `b`\n    Hint.", "has the line 'x: `a` -> `b`'"),
        ("x: `a` → `b`\nHint.", "has the line 'Hint.'"),
        ("x: `a` → `b`\n  Hint.", "has the line 'Hint.'"),
        ("x: `a` → `b`", "has no hint for 'x'"),
    ],
)
def test_what_is_no_list_is_refused_in_one_line(made_up, text, told):
    with pytest.raises(ValueError) as refused:
        made_up.edits(text)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_recurring_mistake_changes_one_thing():
    estimate = reference("kl_monte_carlo")
    right = estimate(MU, LOGVAR, EPS)
    assert torch.equal(in_bits.make(estimate)(MU, LOGVAR, eps=EPS), right / math.log(2))
    assert torch.equal(logvar_as_log_std("logvar").make(estimate)(MU, LOGVAR, EPS), estimate(MU, 2 * LOGVAR, EPS))
    assert logvar_as_log_std("logvar_q").hint.startswith("You read `logvar_q` as log σ.")
    assert not torch.equal(own_noise("eps").make(estimate)(MU, LOGVAR, EPS), right)
    assert not detached.make(estimate)(MU.requires_grad_(), LOGVAR, EPS).requires_grad
    assert half_forgotten.make(lambda: (right, right))()[1].equal(2 * right)


def test_an_argument_that_is_none_stays_none():
    assert own_noise("eps").make(lambda mu, eps=None: eps)(MU, None) is None
    assert own_noise("eps").make(lambda mu, eps=None: eps)(MU) is None


@pytest.mark.parametrize(("name", "mistake"), RECURRING)
def test_what_a_student_writes_for_it_is_the_mistake(name, mistake):
    namespace = {"reference": reference}
    exec(mistaken_answer(CATALOGUE[name], mistake).source, namespace)
    assert judge(name, namespace[name]).mistake == mistake
