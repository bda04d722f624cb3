"""The tests of the tests: every known mistake is rejected and named, every right answer is accepted, whatever the seed."""

import pytest

from autograde import judge
from autograde.catalogue import Exercise, load_all
from autograde.grading.judging import judge_observation, observe_mistake, reference_observation
from autograde.lessons.lesson import lesson_names, read_lesson
from vae_helpers.checks import NOTED, CheckFailed, answer_key, check, reveal
from vae_helpers.checks.probes import OPTIONS, PROBES, choice
from vae_helpers.checks.probes import load_all as load_probes

CATALOGUE = load_all()


@pytest.fixture(scope="session")
def seeds(pytestconfig):
    return range(1, pytestconfig.getoption("--seeds") + 1)


def of_exercise(name: str, *values: str):
    """A test's arguments. Tests of one exercise run in one process, where what was observed of it is remembered."""
    return pytest.param(name, *values, marks=pytest.mark.xdist_group(name))


MISTAKES = [of_exercise(name, mistake) for name, exercise in CATALOGUE.items() for mistake in exercise.mistakes]
VARIANTS = [of_exercise(name, variant) for name, exercise in CATALOGUE.items() for variant in exercise.variants]
# Where the reference needs a trained model, tests/test_notebooks.py trains one and has it judged.
REFERENCES = [of_exercise(name) for name, exercise in CATALOGUE.items() if exercise.stand_in is None]


@pytest.mark.parametrize(("name", "mistake"), MISTAKES)
def test_mistake_is_rejected_and_named(name, mistake, seeds):
    for seed in seeds:
        verdict = judge_observation(name, observe_mistake(name, mistake, seed), seed)
        assert verdict.passed == (name in OPTIONS)  # a prediction counts for having been made
        assert verdict.mistake == mistake, f"seed {seed}: {verdict}"


@pytest.mark.parametrize("name", CATALOGUE)
def test_no_points_are_for_what_a_process_measures_about_itself(name):
    """One-sided facts are the judge's own, or computed of what the function returned, and that is compared as well."""
    facts = answer_key(name)[0]
    one_sided = {fact.label for fact in facts if fact.limit is not None}
    compared = {fact.label for fact in facts if fact.limit is None and not isinstance(fact.value, str)}
    assert one_sided <= compared or CATALOGUE[name].stand_in
    assert not one_sided or name in ("bound_gap", "fit_posterior", "trained_vae")


@pytest.mark.parametrize("name", CATALOGUE)
def test_notebook_check_names_a_mistake_too(name, capsys):
    """The last of the exercise's; that its key names each of them, on every processor, is what tests/test_processors.py looks at."""
    mistake, (hint, make) = list(CATALOGUE[name].mistakes.items())[-1]
    if name in OPTIONS:
        check(name, make())
        reveal(name)
        noted, told = capsys.readouterr().out.splitlines()
        assert noted.startswith(f"✓ {name}: noted: ")
        assert told.startswith(f"✗ {name}: you said ") and told.endswith(hint)
        return
    with pytest.raises(CheckFailed) as caught:
        check(name, make())
    assert caught.value.verdict.mistake == mistake


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_variant_is_accepted(name, variant, seeds):
    implementation = CATALOGUE[name].variants[variant]
    check(name, implementation)
    for seed in seeds:
        verdict = judge(name, implementation, seed)
        assert verdict.passed, f"seed {seed}: {verdict}"


@pytest.mark.parametrize("name", REFERENCES)
def test_reference_is_accepted_and_the_entry_is_complete(name, seeds):
    exercise = CATALOGUE[name]
    check(name, exercise.reference)
    for seed in seeds:
        assert judge(name, exercise.reference, seed).passed
    is_prediction = isinstance(exercise.reference, str | int | float)
    mistakes, variants = (1, 0) if is_prediction else (3, 2)
    wanted = f"write at least {mistakes} mistakes and {variants} correct variants of {name} in autograde/catalogue/"
    assert len(exercise.mistakes) >= mistakes and len(exercise.variants) >= variants, wanted


@pytest.mark.parametrize("name", [case for case in REFERENCES if case.values[0] not in OPTIONS])
def test_what_is_yes_or_no_has_a_sentence_of_its_own(name):
    facts = [
        fact for fact in reference_observation(name, 1) if getattr(getattr(fact.value, "dtype", None), "kind", "") == "b"
    ]
    assert [fact.place for fact in facts if fact.value.size == 1 and not fact.told and not fact.results] == []


@pytest.mark.parametrize("name", [case for case in REFERENCES if not case.values[0].startswith("predict_")])
def test_the_published_key_is_no_answer_to_other_inputs(name, seeds):
    """What a notebook's check saw of the reference, handed in word for word, must not pass for everybody."""
    published, _ = answer_key(name)
    assert not all(judge_observation(name, published, seed).passed for seed in seeds)


@pytest.mark.parametrize(
    "name, answer",
    [("predict_narrow", "d"), ("predict_narrow", None), ("predict_narrow", 1), ("predict_double_mu", float("nan"))],
)
def test_what_is_no_answer_to_a_prediction_is_not_noted(name, answer, monkeypatch):
    monkeypatch.delitem(NOTED, name, raising=False)
    with pytest.raises(CheckFailed) as caught:
        check(name, answer)
    assert caught.value.verdict.mistake is None and name not in NOTED
    assert not judge(name, answer).passed


def test_a_prediction_is_told_when_it_has_been_made(monkeypatch, capsys):
    monkeypatch.delitem(NOTED, "predict_narrow", raising=False)
    reveal("predict_narrow")
    assert "nothing noted yet" in capsys.readouterr().out
    check("predict_narrow", CATALOGUE["predict_narrow"].reference)
    reveal("predict_narrow")
    assert capsys.readouterr().out.splitlines()[-1] == "✓ predict_narrow: you said c, and that is right."
    with pytest.raises(ValueError, match="'gaussian_kl' is no prediction"):
        reveal("gaussian_kl")


def test_every_exercise_has_its_probe_and_its_entry_and_these_their_exercise():
    fences = {name for lesson in lesson_names() for name in read_lesson(lesson).exercises}
    load_probes()
    for what, names in (("autograde/catalogue", CATALOGUE), ("vae_helpers/checks/probes", PROBES)):
        assert fences == set(names), (
            f"{what} has names that no lesson has, or lacks some: python -m autograde build says which"
        )


def test_a_second_entry_or_probe_of_a_name_is_refused():
    with pytest.raises(ValueError, match="two entries called 'gaussian_kl'"):
        Exercise("gaussian_kl")
    with pytest.raises(ValueError, match="two probes called 'predict_narrow'"):
        choice("predict_narrow", "abc")
    assert CATALOGUE["gaussian_kl"].mistakes
