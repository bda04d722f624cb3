"""The judge: what differs is said in words that teach and never tell the answer; one mistake is named, or none."""

import html
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_helpers.checks import CheckFailed, check
from vae_helpers.checks.agreement import agree, close, fact_agrees
from vae_helpers.checks.differences import first_difference
from vae_helpers.checks.observation import ADVICE, Fact
from vae_helpers.checks.recorder import Recorder
from vae_helpers.checks.verdict import Verdict, compare

Linear = torch.nn.Linear
RIGHT = np.array([1.25, -2.5, 3.75, 4.5, -0.875])


def fact(value, what="result", label="5 rows", **options) -> Fact:
    return Fact(label, what, value if isinstance(value, str) else np.asarray(value), **options)


def verdict_on(value, reference=RIGHT, mistakes=(), **options) -> Verdict:
    known = [(name, hint, [fact(wrong)]) for name, hint, wrong in mistakes]
    return compare("an_exercise", [fact(value)], [fact(reference, **options)], known)


def test_equal_is_right_in_one_calm_line():
    verdict = verdict_on(RIGHT)
    assert verdict.passed
    assert str(verdict) == "✓ an_exercise: right."


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (RIGHT[None, :, None], r"shape \(1, 5, 1\), expected \(5,\).*keepdim"),
        (RIGHT + 0.5, "off in 5 of 5 places, always by the same amount"),
        (1.0 + 0 * RIGHT, r"off in 5 of 5 places; the first"),
        (RIGHT[:, None], r"shape \(5, 1\), expected \(5,\).*keepdim"),
        (
            RIGHT.sum(),
            r"shape \(\), expected \(5,\)\. This is the sum of what is asked for: each of these is to keep its own",
        ),
        (np.float64(1.5), r"shape \(\), expected \(5,\).*sum or average over what is to keep"),
        (RIGHT[1:], r"shape \(4,\), expected \(5,\)\. The first along dimension 0 is missing; the others are right"),
        (np.r_[RIGHT, 1], r"The last along dimension 0 is too many; the others are right"),
        (np.add.outer(RIGHT, RIGHT) / 2, "broadcast against each other.*the right numbers stand on the diagonal"),
        (np.outer(RIGHT, [1, 2, 4]) / 7, "The sum over dimension 1 is missing: with it, these are the right numbers"),
        (np.outer([1, 1, 1], RIGHT), "These are the right numbers, repeated along dimension 0"),
        (RIGHT[::-1], "the right numbers in the opposite order"),
        (np.roll(RIGHT, 1), "the right numbers, each one place further"),
        (np.r_[RIGHT[1:], 9], "each one place off: it starts one too early or too late"),
        (np.sort(RIGHT), "the right numbers, in another order"),
        (RIGHT.cumsum(), "running sums of what is asked for"),
        (np.exp(RIGHT), r"the exponential \(exp\) of what is asked for"),
        (RIGHT**2, "off in 5 of 5 places: this is the square of what is asked for"),
        (RIGHT.clip(0), r"first is at \[1\], where you have 0, as wherever it is off: is something clamped"),
        (np.full(5, RIGHT.mean()), "as in all the others: the mean of those that are asked for"),
        (np.ones((5, 5)), "sum or mean over a dimension seems to be missing"),
        (-RIGHT, "off in 5 of 5 places: the sign is the wrong way round"),
        (2 * RIGHT, "always by the same factor, 2"),
        (RIGHT / 5, "same factor, 0.2"),
        (np.where(RIGHT > 0, np.nan, RIGHT), "NaN in 3 of 5 places"),
        (np.where(RIGHT > 4, np.inf, RIGHT), "infinite in 1 of 5 places"),
        (RIGHT + [0, 0, 1, 0, 0], r"off in 1 of 5 places; the first is at \[2\], where you have 4.75"),
        (np.float64(7.0), r"shape \(\)"),
        ("None", r"result is None\. Is a `return` missing\?"),
        ("a set", "result is a set; numbers were expected"),
    ],
)
def test_a_difference_in_words(value, words):
    verdict = verdict_on(value)
    assert not verdict.passed
    assert re.search(words, verdict.message)
    assert verdict.message.startswith("not yet.\n5 rows: ")


def test_advice_is_told_beside_a_right_answer_and_neither_earns_nor_costs():
    said = Fact("large", ADVICE, "it takes a gigabyte.")
    verdict = compare("e", [fact(RIGHT), said], [fact(RIGHT)], [])
    assert (verdict.passed, verdict.message) == (True, "right.\nlarge: it takes a gigabyte.")
    wrong = [("doubled", "Halve it.", [fact(2 * RIGHT), said])]
    for seen in ([fact(2 * RIGHT)], [fact(2 * RIGHT), said]):
        verdict = compare("e", seen, [fact(RIGHT)], wrong)
        assert (verdict.mistake, verdict.message) == ("doubled", "not yet. Halve it.")


def test_what_rounded_numbers_have_to_do_with_each_other_is_said_only_where_it_is_certain():
    for wrong in (RIGHT**2 + 0.01, RIGHT[::-1] * 1.001, np.exp(RIGHT) + [0, 0, 0, 1, 0]):
        assert verdict_on(wrong).message.endswith("places; the first is at [0], where you have " + f"{wrong[0]:.4g}.")


def test_swapped_dimensions():
    grid = np.arange(6.0).reshape(2, 3) ** 2
    assert "right numbers, with dimensions in another order" in verdict_on(grid.T, grid).message
    message = verdict_on(np.ones((3, 2)), np.ones((2, 3))).message
    assert "two dimensions swapped" in message


def test_rows_that_are_missing_may_be_so_for_several_reasons():
    message = verdict_on(np.array([[7.0, 1.0, 5.0]]), np.outer(RIGHT, [1, 2, 4])).message
    assert "Some are missing: is one picked, are some averaged, or does a loop" in message


def test_a_gradient_of_zero_says_that_nothing_flows_back():
    what = "gradient with respect to mu"
    difference = first_difference([fact(np.zeros(3), what)], [fact(np.ones(3), what)]).message
    assert "is zero: nothing flows back" in difference


@pytest.mark.parametrize(
    ("seen", "known", "words"),
    [
        (
            fact("mu", "inputs changed in place"),
            fact("none", "inputs changed in place"),
            r"changes its input in place \(mu\)",
        ),
        (
            fact("yes", "resets the global random seed"),
            fact("no", "resets the global random seed"),
            "resets the global random seed",
        ),
        (fact("TypeError: x", "raised"), fact("ValueError: y", "raised"), "should raise ValueError; it raised TypeError: x"),
        (fact(3.0), fact("ValueError: y", "raised"), "should raise ValueError, and it returned something"),
        (fact("KeyError: 'k'", "raised"), fact(3.0), "it raised KeyError: 'k'"),
        (fact(False, "choice"), fact(True, "choice"), "that is not what happens"),
        (fact(1.0), fact("a str", "result"), "it should be a str"),
    ],
)
def test_other_differences_in_words(seen, known, words):
    assert re.search(words, first_difference([seen], [known]).message)


def test_a_wrong_number_of_results():
    pair = [fact(1.0, "result 1 of 2"), fact(1.0, "result 2 of 2")]
    assert "it returned 2 values; 1 expected" in first_difference(pair, [fact(1.0)]).message
    assert "it returned 1 value; 2 expected" in first_difference([fact(1.0)], pair).message
    later = Fact("another call", "raised", "ValueError: no")
    assert "it returned 2 values; 1 expected" in first_difference([*pair, later], [fact(1.0)]).message


def test_a_list_where_one_tensor_is_asked_for():
    parts = [fact(number, f"result {i + 1} of 5") for i, number in enumerate(RIGHT)]
    assert "a list or tuple of 5; they belong into one tensor" in first_difference(parts, [fact(RIGHT)]).message


def test_fractions_where_whole_numbers_are_asked_for():
    assert "result has fractions; whole numbers" in first_difference([fact(RIGHT)], [fact(np.arange(5))]).message
    assert "fractions" not in first_difference([fact(np.ones(5))], [fact(np.arange(5))]).message


def test_no_cause_is_guessed_where_counts_or_indices_are_off_alike():
    right, wrong = np.array([3, 0, 1, 4, 2, 0, 3]), np.array([3, 2, 1, 2, 2, 0, 2])
    assert first_difference([fact(wrong)], [fact(right)]).message.endswith("the first is at [1], where you have 2.")
    assert "never filled in?" in first_difference([fact(wrong + 0.5)], [fact(right + 0.5)]).message
    assert first_difference([fact(np.array(30))], [fact(np.array(15))]).message.endswith("off, by the factor 2.")


def test_one_tensor_with_the_numbers_of_all_results():
    right = [fact(RIGHT, "result 1 of 2"), fact(RIGHT**2, "result 2 of 2")]
    message = first_difference([fact(np.concatenate([RIGHT, RIGHT**2]))], right).message
    assert "returned 1 value; 2 expected. Its numbers are as many as those of all 2" in message
    assert first_difference([fact(RIGHT)], right).message.endswith("it returned 1 value; 2 expected.")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: bool(torch.ones(3)), "neither true nor false"),
        (lambda: torch.ones(3, requires_grad=True).numpy(), "NumPy knows no gradients"),
        (lambda: (1, 2).sigmoid(), "unpack it first"),
        (lambda: torch.nn.functional.linear((torch.ones(2),), torch.ones(2, 2)), "unpack it first"),
        (lambda: (torch.ones(2), torch.ones(2)) / 2, "unpack it first"),
        (lambda: torch.ones(2) - (torch.ones(2), 1), "unpack it first"),
        (lambda: (1, 2) + torch.ones(2), "unpack it first"),
        (lambda: 0.5 * (torch.ones(2), torch.ones(2)), "unpack it first"),
        (lambda: torch.ones(2, 3).max(1).squeeze(1), "take its `.values`"),
        (lambda: torch.log(2 * torch.pi), "math.log"),
        (lambda: torch.log(2), "math.log"),
        (lambda: Linear.forward(None, 1, 2), "more arguments than it takes"),
        (lambda: Linear(2, 2)(torch.inference_mode()(torch.ones)(1, 2)), "no later gradient can pass"),
        (lambda: None + torch.ones(2), "Something is None there"),
        (lambda: torch.nn.functional.binary_cross_entropy(torch.full((2,), 3.0), torch.ones(2)), "takes probabilities"),
        (lambda: torch.ones(2).sum().backward(), "is something detached"),
        (lambda: torch.ones(2, requires_grad=True).add_(1), "changed in place"),
        (lambda: torch.ones(2, 2) @ torch.ones(2, 2).double(), "Two dtypes meet"),
        (lambda: torch.ones(2, 3) + torch.ones(2), "Two shapes don't fit"),
        (lambda: np.ones((2, 3)) + np.ones(2), "Two shapes don't fit"),
        (lambda: torch.ones(2, 3) @ torch.ones(2, 3), "inner sizes of a matrix product differ"),
        (lambda: torch.bincount(torch.ones(2, 2).long()), "Flatten it first"),
    ],
)
def test_what_an_error_of_pytorch_comes_from(wrong, words):
    see = Recorder(0)
    with see.attempt("5 rows"):
        wrong()
    assert words in first_difference(see.facts, [fact(RIGHT)]).message


def test_results_that_changed_places():
    right = [fact(RIGHT, "result 1 of 2"), fact(RIGHT**2, "result 2 of 2")]
    swapped = [fact(RIGHT**2, "result 1 of 2"), fact(RIGHT, "result 2 of 2")]
    words = "5 rows: result 1 of 2 is what result 2 of 2 should be: have they changed places?"
    assert first_difference(swapped, right).message == words
    assert "changed places" not in first_difference([fact(0 * RIGHT, "result 1 of 2"), right[1]], right).message


def test_untouched_code_is_told_to_replace_the_stub():
    verdict = compare("e", [fact("NotImplementedError: not written yet", "raised")], [fact(RIGHT)])
    assert not verdict.passed
    assert verdict.message.startswith("not written yet: replace the line")
    assert not verdict.written and compare("e", [fact(0.0)], [fact(RIGHT)]).written


def test_a_fact_too_many_is_a_difference():
    difference = first_difference([fact(RIGHT), fact("ValueError: late", "raised")], [fact(RIGHT)]).message
    assert "raised (ValueError: late), which should not be there" in difference


def test_the_first_difference_in_the_reference_s_order_is_told():
    seen = [fact(-RIGHT, label="b"), fact(-RIGHT, label="a")]
    known = [fact(RIGHT, label="a"), fact(RIGHT, label="b")]
    assert first_difference(seen, known).message.startswith("a: ")


# One-sided limits: a figure that may be as good as it can be, and only so bad.


@pytest.mark.parametrize(
    ("value", "passed"), [(90.0, True), (100.0, True), (100.001, False), (np.nan, False), (np.inf, False)]
)
def test_a_limit_is_one_sided(value, passed):
    verdict = verdict_on(value, np.float64(95.0), limit=100.0)
    assert verdict.passed is passed
    if not passed:
        assert "it must be at most 100" in verdict.message
        assert "95" not in verdict.message


@pytest.mark.parametrize("value", ["None", [90.0, 90.0], []])
def test_what_is_no_single_number_meets_no_limit(value):
    assert not verdict_on(value, np.float64(95.0), limit=100.0).passed
    verdict = compare("e", [fact(value)], [fact(95.0, limit=100.0)], [("untrained", "", [fact(300.0, limit=100.0)])])
    assert not verdict.passed
    assert verdict.mistake is None


def test_no_finite_number_is_near_infinity():
    assert not verdict_on(np.array([1.0, 2.0]), np.array([1.0, np.inf])).passed
    assert verdict_on(np.array([1.0, np.inf]), np.array([1.0, np.inf])).passed


def test_mistakes_beyond_a_limit_agree_with_each_other_only():
    reference = fact(95.0, limit=100.0)
    assert fact_agrees(fact(300.0), fact(200.0, limit=100.0))
    assert not fact_agrees(fact(300.0), reference)


# Exactly one mistake, or none.


HALF = ("half", "This is <half> of it.", RIGHT / 2)
SIGN = ("sign", "The sign.", -RIGHT)


def test_the_one_mistake_that_agrees_is_named_with_its_hint():
    verdict = verdict_on(RIGHT / 2, mistakes=[SIGN, HALF])
    assert verdict.mistake == "half"
    assert verdict.message == "not yet. This is <half> of it."  # and no line that guesses
    assert verdict.headline == verdict.message


def test_two_mistakes_that_agree_are_not_named():
    verdict = verdict_on(RIGHT / 2, mistakes=[HALF, ("twin", "Another hint.", RIGHT / 2)])
    assert verdict.mistake is None
    assert "hint" not in verdict.message
    assert "half" not in verdict.message


def test_an_unknown_mistake_is_not_named():
    assert verdict_on(RIGHT + 1, mistakes=[HALF, SIGN]).mistake is None


@pytest.mark.parametrize("there", [[fact(RIGHT)], [fact(np.nan)], [fact("ValueError: x", "raised")], []])
def test_where_a_mistake_is_undecided_anything_or_nothing_agrees_with_it(there):
    there = [replace(f, label="singular") for f in there]
    undecided = [Fact("singular", "result", None), Fact("singular", "raised", None)]
    known = [fact(RIGHT / 2), *undecided]
    assert agree([fact(RIGHT / 2), *there], known)
    assert agree(known, [*there, fact(RIGHT / 2)])
    assert not agree([fact(RIGHT), *there], known)
    assert not agree([fact(RIGHT / 2), *there, fact(RIGHT, label="another call")], known)


def test_a_mistake_must_agree_with_everything_that_was_seen():
    seen = [fact(RIGHT / 2), fact(RIGHT, label="another call")]
    reference = [fact(RIGHT), fact(RIGHT, label="another call")]
    known = [fact(RIGHT / 2), fact(RIGHT / 2, label="another call")]
    assert compare("e", seen, reference, [("half", "", known)]).mistake is None
    assert compare("e", seen, reference, [("half", "", seen)]).mistake == "half"
    assert not agree(seen, known)
    assert not agree(seen, seen[:1])


def test_mistakes_are_not_looked_at_where_the_answer_is_right():
    def never():
        raise AssertionError
        yield

    assert compare("e", [fact(RIGHT)], [fact(RIGHT)], never()).passed


def test_errors_agree_by_their_kind():
    assert fact_agrees(fact("ValueError: one", "raised"), fact("ValueError: two", "raised"))
    assert not fact_agrees(fact("TypeError: one", "raised"), fact("ValueError: one", "raised"))


# Tolerances.


@given(st.floats(-1e6, 1e6), st.floats(0, 0.1), st.floats(1e-6, 1))
def test_close_is_within_atol_plus_rtol(value, rtol, atol):
    known = fact(np.float64(value), rtol=rtol, atol=atol)
    edge = atol + rtol * abs(value)
    assert close(np.asarray(value + 0.99 * edge), known)
    assert not close(np.asarray(value + 1.01 * edge + 1e-9), known)


@given(st.floats(), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_close_knows_nan_and_infinity(number, special):
    same = number == special or (np.isnan(number) and np.isnan(special))
    assert bool(close(np.asarray(number), fact(special))) is bool(same)
    assert bool(close(np.asarray(special), fact(number))) is bool(same)


def test_an_atol_may_differ_from_place_to_place_and_only_the_reference_s_counts():
    reference = fact([1.0, 1.0], rtol=0, atol=np.array([0.5, 0.001]))
    assert fact_agrees(fact([1.4, 1.0]), reference)
    assert not fact_agrees(fact([1.0, 1.4]), reference)
    assert not fact_agrees(fact([9.0, 9.0], rtol=100), reference)


# What is shown, and what never is.


def test_no_verdict_tells_the_expected_value():
    secret = np.array([123.456, 234.567, 345.678])
    wrong = [
        secret + [0, 1, 0],
        2 * secret,
        -secret,
        secret[:, None],
        secret.sum(),
        secret * np.nan,
        secret * np.inf,
        "None",
        secret[:2],
    ]
    for value in wrong:
        for text in (str(verdict_on(value, secret)), verdict_on(value, secret)._repr_html_()):
            assert not re.search(r"123\.|234\.|345\.", text), text


def test_of_a_single_number_only_a_whole_factor_is_told():
    """Any other would only tell the expected number."""
    message = verdict_on(np.float64(246.5), np.float64(123.0)).message
    assert message == "not yet.\n5 rows: result is 246.5, which is off."
    for value, factor in ((246.0, "2"), (123 / 64, "0.01562"), (-4 * 123.0, "-4")):
        assert f"which is off, by the factor {factor}. " in verdict_on(np.float64(value), np.float64(123.0)).message


@given(st.integers(0, 99), st.sampled_from(["sum", "elementwise"]))
def test_a_sum_is_called_one_only_where_it_is_one(seed, kind):
    """Sums over many random pixels make almost any error look like a constant, and a constant on large sums like a factor."""
    rng = np.random.default_rng(seed)
    right = rng.normal(-540, 20, 5)
    off = 2.5 if kind == "sum" else rng.normal(-905, 6, 5)
    message = verdict_on((right + off).astype(np.float32), right).message
    assert ("always by the same amount" in message) is (kind == "sum")
    assert "factor" not in message


# A mistake beside another slip keeps its name.


def two_calls(first, second, *more):
    return [fact(first, label="one"), fact(second, label="two"), *more]


SLIP = [fact("float64", "dtype of result", label="two"), fact("x", "inputs changed in place", label="two")]
MINORS = [fact("float32", "dtype of result", label="two"), fact("none", "inputs changed in place", label="two")]
ASKED = [fact("ValueError: no", "raised", label="bad input")]


@pytest.mark.parametrize(
    ("seen", "named"),
    [
        (two_calls(RIGHT / 2, RIGHT / 2, *SLIP, fact(3.0, label="bad input")), True),
        (two_calls(RIGHT / 2, RIGHT / 2, *MINORS, *ASKED, fact(RIGHT + 1, label="three")), True),  # another slip after it
        (two_calls(RIGHT / 2, RIGHT, *MINORS, *ASKED, fact(RIGHT, label="three")), False),  # right where it would be wrong
        (two_calls(RIGHT / 2, RIGHT + 1, *MINORS, *ASKED, fact(RIGHT, label="three")), False),  # one call alone agrees
        (two_calls(RIGHT + 1, RIGHT / 2, *MINORS, *ASKED, fact(RIGHT, label="three")), False),  # another slip before it
        (two_calls(RIGHT, RIGHT, *SLIP, *ASKED, fact(RIGHT, label="three")), False),
    ],
)
def test_a_mistake_keeps_its_name_beside_another_slip(seen, named):
    reference = two_calls(RIGHT, RIGHT, *MINORS, *ASKED, fact(RIGHT, label="three"))
    known = two_calls(RIGHT / 2, RIGHT / 2, *MINORS, *ASKED, fact(RIGHT, label="three"))
    other = two_calls(RIGHT * 3, RIGHT * 3, *MINORS, *ASKED, fact(RIGHT * 3, label="three"))
    verdict = compare("e", seen, reference, [("half", "Half.", known), ("triple", "Triple.", other)])
    assert not verdict.passed
    assert verdict.mistake == ("half" if named else None)


@pytest.mark.parametrize(
    ("seen", "named"),
    [
        ([fact("ValueError: cannot reshape 3 into 4", "raised")], True),
        ([fact("ValueError: boom", "raised")], False),  # of the same class, and for another reason
        ([fact("TypeError: cannot reshape 3 into 4", "raised")], False),
    ],
)
def test_a_mistake_that_only_raises_is_named_by_the_words_of_it(seen, named):
    reference = [fact(RIGHT), fact("ValueError: no", "raised", label="bad input")]
    asked = fact("ValueError: in other words", "raised", label="bad input")  # which a right answer raises, too
    known = [fact("ValueError: cannot reshape 3 into 4", "raised"), reference[1]]
    verdict = compare("e", [*seen, asked], reference, [("fixed_size", "…", known)])
    assert not verdict.passed
    assert verdict.mistake == ("fixed_size" if named else None)


def test_a_mistake_with_numbers_of_its_own_is_named_whatever_is_raised_beside_them():
    reference = two_calls(RIGHT, RIGHT)
    known = [fact(RIGHT / 2, label="one"), fact("ValueError: a", "raised", label="two")]
    seen = [known[0], fact("ValueError: b", "raised", label="two")]
    assert compare("e", seen, reference, [("half", "Half.", known)]).mistake == "half"


def test_words_infinities_and_zeros_alone_name_nothing():
    reference = [fact(RIGHT), fact(RIGHT, label="another call")]
    for wrong in ("None", np.full(5, np.nan), np.zeros(5)):
        known = [fact(wrong), fact(wrong, label="another call")]
        seen = [fact(wrong), fact(RIGHT + 1, label="another call")]
        assert compare("e", seen, reference, [("known", "", known)]).mistake is None


def test_an_array_that_unpacks_into_the_results_is_taken_for_them():
    pair = [fact(RIGHT, "result 1 of 2"), fact(2 * RIGHT, "result 2 of 2"), fact("none", "inputs changed in place")]
    assert compare("e", [fact([RIGHT, 2 * RIGHT]), pair[2]], pair).passed
    assert not compare("e", [fact([RIGHT, 3 * RIGHT]), pair[2]], pair).passed
    assert "it returned 1 value; 2 expected" in compare("e", [fact([RIGHT, RIGHT, RIGHT]), pair[2]], pair).message


def test_what_a_probe_has_to_say_of_a_fact_is_said_and_compared_with_nothing():
    told = "two images in a row are the same: draw noise for each"
    assert compare("e", [fact(True, "same", told=told)], [fact(False, "same")]).message == f"not yet.\n5 rows: {told}"
    assert compare("e", [fact(True, "same", told=told)], [fact(True, "same")]).passed
    raised = compare("e", [fact("KeyError: 'k'", "raised", told="line 3, `d[k]`")], [fact(RIGHT)]).message
    assert "it raised KeyError: 'k' (your line 3, `d[k]`)" in raised


def test_pytorch_s_own_not_implemented_error_is_an_error():
    verdict = compare("e", [fact('NotImplementedError: "bincount_cpu" not implemented', "raised")], [fact(RIGHT)])
    assert verdict.written and "it raised NotImplementedError" in verdict.message


@given(st.text(), st.text())
def test_html_is_escaped(label, text):
    verdict = compare("<b>", [fact(f"Error: {text}<script>", "raised", label)], [fact(RIGHT, label=label)])
    page = verdict._repr_html_()
    assert "<script" not in page
    assert "<b>✗ &lt;b&gt;</b>" in page
    assert html.escape(text) in page or "\n" in text + label or "\r" in text + label


def test_a_hint_is_escaped_too():
    assert "&lt;half&gt;" in verdict_on(RIGHT / 2, mistakes=[HALF])._repr_html_()


def test_markdown_in_a_hint_is_rendered_and_nothing_else():
    page = Verdict("e", False, "not yet. Add `.exp()` to a*b*c, *not* **<b>**.\nit raised `x`")._repr_html_()
    assert "Add <code>.exp()</code> to a*b*c, <i>not</i> <b>&lt;b&gt;</b>." in page
    assert "it raised `x`" in page


def test_failure_is_an_assertion_error_whose_message_is_the_verdict(capsys):
    import ipykernel.kernelapp  # noqa: F401 imported, as some libraries do: that alone makes no notebook

    with pytest.raises(AssertionError) as caught:
        check("gaussian_kl", lambda mu, logvar: (mu**2 + logvar.exp() - 1 - logvar).sum(1))
    assert isinstance(caught.value, CheckFailed)
    assert str(caught.value) == str(caught.value.verdict)
    assert caught.value._render_traceback_() == [str(caught.value.verdict)]
    assert capsys.readouterr() == ("", "")


def test_success_is_one_line(capsys):
    check("gaussian_kl", lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1))
    assert capsys.readouterr() == ("✓ gaussian_kl: right.\n", "")
