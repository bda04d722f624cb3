"""What a probe writes down, and how it travels: every way in which an implementation can misbehave leaves a fact."""

import json
import math
import random
import warnings
from copy import deepcopy

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autograde.catalogue import find_exercise
from vae_helpers.checks import CheckFailed, check, observe
from vae_helpers.checks.expressions import expression
from vae_helpers.checks.observation import Fact, pack, unpack
from vae_helpers.checks.recorder import Recorder, as_array, undisturbed
from vae_helpers.checks.verdict import compare

NUMBERS = st.one_of(
    arrays.arrays(np.float64, arrays.array_shapes(min_dims=0, min_side=0), elements=st.floats(width=32)),
    arrays.arrays(np.int64, arrays.array_shapes(min_dims=0, min_side=0)),
    arrays.arrays(np.bool_, arrays.array_shapes(min_dims=0, min_side=0)),
)
FACTS = st.builds(
    Fact,
    label=st.text(),
    what=st.text(),
    value=st.one_of(NUMBERS, st.text(), st.none()),
    rtol=st.floats(0, 1),
    atol=st.one_of(st.floats(0, 1), arrays.arrays(np.float64, st.just((3,)), elements=st.floats(0, 1))),
    limit=st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    told=st.one_of(st.none(), st.text()),
)
NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)


@settings(deadline=None)
@given(st.dictionaries(NAMES, st.lists(FACTS, max_size=4), max_size=3), st.dictionaries(NAMES, st.text(), max_size=3))
def test_pack_and_unpack_are_inverse(observations, notes):
    notes.pop("observations", None)
    found, found_notes = unpack(pack(observations, **notes))
    assert found_notes == notes
    assert list(found) == list(observations)
    for name, facts in observations.items():
        assert len(found[name]) == len(facts)
        for fact, copy in zip(facts, found[name], strict=True):
            assert (copy.place, copy.rtol, copy.limit) == (fact.place, fact.rtol, fact.limit)
            if fact.value is None or isinstance(fact.value, str):
                assert copy.value == fact.value
            else:
                assert copy.value.shape == fact.value.shape
                np.testing.assert_array_equal(copy.value, fact.value)
                np.testing.assert_array_equal(copy.atol, fact.atol)


def test_a_packed_observation_holds_arrays_and_json_only():
    data = pack({"reference": [Fact("a", "result", np.arange(3.0))]}, hint="text")
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    sizes = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    assert len(data) == 8 + length + max(sizes)


@pytest.mark.parametrize("damaged", [b"", b"\x00" * 4, b"x" * 100, pack({})[:-3]])
def test_what_is_no_observation_is_refused(damaged):
    with pytest.raises(Exception, match=r".+"):
        unpack(damaged)


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        (torch.ones(2, 3), np.float64, (2, 3)),
        (torch.ones(2, dtype=torch.bfloat16), np.float64, (2,)),
        (torch.ones(2, requires_grad=True), np.float64, (2,)),
        (torch.tensor(3), np.int64, ()),
        (torch.tensor([True]), np.bool_, (1,)),
        (np.float32(1.5), np.float64, ()),
        (np.zeros((2, 0)), np.float64, (2, 0)),
        (np.uint8(3), np.int64, ()),
        (True, np.bool_, ()),
        (2, np.int64, ()),
        (2.5, np.float64, ()),
        ([1.0, 2.0], np.float64, (2,)),
    ],
)
def test_numbers_of_every_kind_become_arrays(value, dtype, shape):
    array = as_array(value)
    assert (array.dtype, array.shape) == (dtype, shape)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        ("abc", "the text 'abc'"),
        (len, "builtin_function"),
        ([[1], [1, 2]], "list"),
        ({"a": 1}, "dict"),
        (1j, "complex"),
    ],
)
def test_what_is_no_number_becomes_words(value, words):
    assert words in as_array(value)


def facts_of(function, *args, seed=3, **options) -> dict[str, object]:
    """What `Recorder.call` saw, by aspect."""
    see = Recorder(seed)
    see.call("a call", function, *args, **options)
    assert {fact.label for fact in see.facts} <= {"a call"}
    return {fact.what: fact.value for fact in see.facts}


X = torch.tensor([1.0, -2.0, 3.0])


def test_a_plain_call():
    seen = facts_of(lambda x: 2 * x, X, inputs=["x"], gradients=["x"])
    np.testing.assert_array_equal(seen["result"], [2, -4, 6])
    assert seen["inputs changed in place"] == "none"
    assert seen["resets the global random seed"] == "no"
    weights = seen["gradient with respect to x"] / 2
    assert ((weights > 0.5) & (weights < 1.5)).all()
    assert len(set(weights)) == 3  # equal weights would hide a sum over the wrong dimension


def test_the_same_seed_gives_the_same_facts_and_another_seed_others():
    def draw(seed):
        see = Recorder(seed)
        return see.normal(4, 2), see.uniform(3, low=-1, high=1)

    for first, second in zip(draw(5), draw(5), strict=True):
        assert torch.equal(first, second)
        assert first.dtype == torch.float32
    assert not torch.equal(draw(5)[0], draw(6)[0])
    assert torch.equal(facts_as_tensor(1), facts_as_tensor(1))
    assert not torch.equal(facts_as_tensor(1), facts_as_tensor(2))


def facts_as_tensor(seed: int) -> torch.Tensor:
    """The global noise that a called function draws."""
    return torch.from_numpy(facts_of(lambda: torch.randn(3), seed=seed)["result"])


def test_in_place_edits_are_seen_for_every_input():
    def edit(x, y, z=None):
        x.mul_(2)
        z += 1
        return x + y

    seen = facts_of(edit, X, X, z=X, inputs=["x", "y"])
    assert seen["inputs changed in place"] == "x, z"
    assert X.tolist() == [1, -2, 3]  # the probe's own tensor stays as it was


def test_in_place_edits_of_arrays_and_of_a_dicts_entries_are_seen():
    array, params = np.ones(3), {"a": np.ones(3), "b": torch.ones(2)}

    def edit(x, params):
        x *= 2
        params["b"] += 1

    assert facts_of(lambda x, params: x, array, params)["inputs changed in place"] == "none"
    seen = facts_of(edit, array, params, inputs=["x", "params"])
    assert seen["inputs changed in place"] == "x, params"
    assert array.tolist() == [1, 1, 1]
    replaced = facts_of(lambda params: params.update(a=np.zeros(3)), params, inputs=["params"])
    assert replaced["inputs changed in place"] == "params"


def test_an_edit_of_an_input_that_wants_a_gradient_is_seen_not_refused():
    seen = facts_of(lambda x: x.mul_(2), X, inputs=["x"], gradients=["x"])
    assert seen["inputs changed in place"] == "x"
    assert "raised" not in seen


def test_unnamed_inputs_are_counted():
    assert facts_of(lambda x, y: y.zero_(), X, X)["inputs changed in place"] == "argument 2"


@pytest.mark.parametrize("reseed", [lambda: torch.manual_seed(0), lambda: torch.random.manual_seed(3)])
def test_reseeding_is_seen(reseed):
    def function(x):
        reseed()
        return x

    assert facts_of(function, X)["resets the global random seed"] == "yes"


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.detach() * 2,
        lambda x: torch.tensor((2 * x).tolist()),
        lambda x: float(x.sum()),
        lambda x: (2 * x).detach().numpy(),
    ],
)
def test_detached_results_have_zero_gradients(function):
    seen = facts_of(function, X, inputs=["x"], gradients=["x"])
    np.testing.assert_array_equal(seen["gradient with respect to x"], [0, 0, 0])


def test_no_grad_inside_is_seen_and_no_grad_outside_is_undone():
    def without(x):
        with torch.no_grad():
            return 2 * x

    assert not facts_of(without, X, inputs=["x"], gradients=["x"])["gradient with respect to x"].any()
    kl = "gaussian_kl"
    right = find_exercise(kl).reference
    with torch.no_grad():
        facts = {fact.what: fact.value for fact in observe(kl, right, 0)}
    assert facts["gradient with respect to mu"].any()


def test_an_unused_input_has_a_zero_gradient():
    seen = facts_of(lambda x, y: 2 * x, X, X, inputs=["x", "y"], gradients=["x", "y"])
    assert not seen["gradient with respect to y"].any()
    assert seen["gradient with respect to x"].all()


def test_what_is_raised_is_a_fact_and_the_probe_goes_on():
    def fail(x):
        raise ValueError("of\n  two lines " + "and much more " * 50)

    see = Recorder(0)
    assert see.call("first", fail, X) is None
    see.call("second", lambda x: x, X)
    first, *rest = see.facts
    assert (first.label, first.what) == ("first", "raised")
    assert first.value.startswith("ValueError: of two lines and")
    assert len(first.value) < 250
    assert {fact.label for fact in rest} == {"second"}


def test_the_student_s_own_line_is_named():
    def fail(x):
        wide = torch.ones(3, 1)
        return torch.linalg.cholesky(x) + wide

    see = Recorder(0)
    see.call("a call", fail, X)
    (raised,) = see.facts
    assert raised.error == "RuntimeError"
    assert raised.told.endswith(", `return torch.linalg.cholesky(x) + wide`")


class Misspelt(torch.nn.Module):
    def foward(self, x):
        return x


def stub(*_):
    raise NotImplementedError("not written yet")


def bare(*_):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("implementation", "written"),
    [
        (stub, False),
        (bare, False),
        (Misspelt(), True),
        (lambda x: torch.distributions.Distribution().entropy(), True),
        (lambda x: torch.distributions.Distribution(validate_args=False).icdf(x), True),
    ],
)
def test_not_written_yet_is_said_of_the_stub_alone(implementation, written):
    see = Recorder(0)
    see.call("a call", implementation, X)
    verdict = compare("e", see.facts, [Fact("a call", "result", np.zeros(3))])
    assert verdict.written is written
    assert verdict.message.startswith("not written yet: ") is not written


@pytest.mark.parametrize(
    ("noise", "words"),
    [("eps", "Use the noise that you are given"), ("x", "nothing here is left to chance")],
)
@pytest.mark.parametrize("draw", [torch.randn_like, lambda eps: torch.from_numpy(np.random.normal(size=3))])
def test_noise_of_one_s_own_is_told_as_such(noise, words, draw):
    see, right = Recorder(0), Recorder(0)
    see.call("a call", lambda **given: draw(given[noise]), **{noise: X})
    right.call("a call", lambda **given: given[noise], **{noise: X})
    assert words in compare("e", see.facts, right.facts).message
    assert [fact.told for fact in right.facts] == [None] * 3


def under_inference_mode(x):
    with torch.inference_mode():
        return x * 2


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [
        (under_inference_mode, lambda x: x * 2, "no later gradient can pass it"),
        (lambda x: (x > 0).int(), lambda x: (x > 0).long(), "int32; whole numbers are int64"),
        (lambda x: (x, (x > 0).byte()), lambda x: (x, (x > 0).long()), "result 2 of 2 is uint8"),
        (lambda x: x + torch.zeros(3, requires_grad=True), lambda x: x, "still has a graph attached"),
        (lambda x: x.clone().requires_grad_(), lambda x: x, "still has a graph attached"),
        (lambda x: x.numpy(), lambda x: x, "a NumPy array, and what follows computes with tensors"),
    ],
)
def test_what_would_stop_the_next_cell_is_no_right_answer(wrong, right, words):
    see, expected = Recorder(0), Recorder(0)
    see.call("a call", wrong, X)
    expected.call("a call", right, X)
    assert words in compare("e", see.facts, expected.facts).message
    assert not any(fact.told for fact in expected.facts)


def test_float64_is_refused_only_where_a_network_takes_the_result():
    expected = Recorder(0)
    expected.call("a call", lambda x: x * 2, X)
    for float32 in (False, True):
        see = Recorder(0)
        see.call("a call", lambda x: x.double() * 2, X, float32=float32)
        verdict = compare("e", see.facts, expected.facts)
        assert verdict.passed != float32
        assert ("is float64, and what follows" in verdict.message) == float32


@pytest.mark.parametrize("noise", ["eps1", "gumbel"])
def test_noise_by_another_name_is_noise(noise):
    see = Recorder(0)
    see.call("a call", lambda **given: torch.randn(3), **{noise: X})
    assert see.facts[0].told.endswith("Use the noise that you are given.")


def test_a_graph_that_was_given_is_no_pitfall():
    linear, leaf, see = torch.nn.Linear(3, 3), torch.ones(3, requires_grad=True), Recorder(0)
    see.call("the model's", lambda model, x: model(x), linear, X)
    see.call("the caller's", lambda w, params: w * params["w"], X, {"w": leaf}, inputs=["w"], gradients=["w"])
    assert not any(fact.told for fact in see.facts)


def test_a_pitfall_is_told_where_a_fact_is_missing_because_of_it():
    see, expected = Recorder(0), Recorder(0)
    see.call("a call", lambda x: x.clone().requires_grad_(), X)
    expected.call("a call", lambda x: x, X)
    expected.note("a call", "what comes next", 1.0)
    assert "still has a graph attached" in compare("e", see.facts, expected.facts).message


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_result_too_coarse_is_told_its_dtype(dtype):
    see, right = Recorder(0), Recorder(0)
    see.call("a call", lambda x: x.to(dtype) / 3, X)
    right.call("a call", lambda x: x / 3, X)
    assert f"is {str(dtype)[6:]}, too coarse" in compare("e", see.facts, right.facts).message


@pytest.mark.parametrize("function", [math.log, np.log, torch.log], ids=["math", "numpy", "torch"])
def test_a_function_for_numbers_given_an_expression_is_told_of_sympy_s(function):
    see = Recorder(0)
    expression(see, lambda v: function(v), {"v": (0.5, 2)})
    (raised,) = see.facts
    assert "sp.log" in raised.value and "function(v)" in raised.told


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda v: sp.Symbol("v") ** 2, "symbols of your own called v"),
        (lambda v: "v**2", "it is the text 'v**2'. A SymPy expression is asked for"),
        (lambda v: sp.Integral(v, v), r"add .doit()"),
        (lambda v: v * sp.Symbol("w"), "w is still in it"),
    ],
)
def test_what_is_no_expression_in_the_symbols_that_were_given(answer, words):
    see, right = Recorder(0), Recorder(0)
    expression(see, answer, {"v": (0.5, 2)})
    expression(right, lambda v: v**2, {"v": (0.5, 2)})
    assert words in compare("e", see.facts, right.facts).message


@pytest.mark.parametrize(
    ("raised", "asked", "surprise"),
    [
        (None, None, None),
        (ValueError("no"), ValueError, None),
        (KeyError("k"), LookupError, None),
        (ValueError("no"), None, "raises ValueError: no (a call)"),
        (TypeError("no"), ValueError, "raises TypeError: no (a call)"),
        (None, ValueError, "raises no ValueError (a call)"),
    ],
)
def test_a_surprise_is_what_the_probe_does_not_ask_for(raised, asked, surprise):
    def implementation():
        if raised:
            raise raised

    see, alone = Recorder(0), Recorder(0)
    see.call("a call", implementation, raises=asked)
    with alone.attempt("a call", asked):
        implementation()
    assert see.surprises == alone.surprises == [surprise] * (surprise is not None)
    assert ["raised" in fact.what for fact in see.facts] == ([True] if raised else [False] * 3)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"gradients": ["lv"]}, r"a call: gradients=\['lv'\] names no argument \(known: mu, argument 2, eps;"),
        ({"gradients": ["mu", "logvar"]}, r"gradients=\['logvar'\]"),
        ({"inputs": ["mu", "logvar", "eps"]}, "names 3 arguments, and 2 are passed"),
    ],
)
def test_a_name_that_no_argument_has(names, words):
    with pytest.raises(ValueError, match=words):
        Recorder(0).call("a call", lambda mu, logvar, eps: mu, X, X, eps=X, **{"inputs": ["mu"], **names})


@pytest.mark.parametrize("value", [X.clone(), X.numpy().copy(), {"w": X.clone()}], ids=lambda value: type(value).__name__)
def test_what_is_passed_by_name_is_copied_and_watched(value):
    def spoil(noise):
        for part in noise.values() if isinstance(noise, dict) else [noise]:
            part *= 2
        return 1.0

    before = deepcopy(value)
    assert facts_of(spoil, noise=value)["inputs changed in place"] == "noise"
    assert isinstance(value, dict) or np.array_equal(value, before)


def test_gradients_are_found_by_position_and_by_name():
    seen = facts_of(lambda mu, eps: mu * eps, X, eps=X, gradients=["argument 1", "eps"])
    assert {"gradient with respect to argument 1", "gradient with respect to eps"} <= set(seen)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_no_fact(error):
    def interrupted():
        raise error

    with pytest.raises(error):
        Recorder(0).call("a call", interrupted)


@pytest.mark.parametrize("container", [tuple, list])
def test_each_part_of_a_tuple_is_a_fact_and_has_its_share_of_the_gradient(container):
    seen = facts_of(lambda x: container([x, 3 * x.detach(), 5.0]), X, inputs=["x"], gradients=["x"])
    np.testing.assert_array_equal(seen["result 1 of 3"], [1, -2, 3])
    np.testing.assert_array_equal(seen["result 2 of 3"], [3, -6, 9])
    assert seen["result 3 of 3"] == 5
    assert (seen["gradient with respect to x"] < 1.5).all()


def test_undisturbed_restores_everything_even_after_an_error():
    def state():
        return (
            torch.get_rng_state().tolist(),
            np.random.get_state()[1].tolist(),
            random.getstate(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            list(warnings.filters),
        )

    before = state()
    with pytest.raises(ZeroDivisionError), undisturbed(7):
        assert torch.initial_seed() == 7
        torch.set_default_dtype(torch.float64)
        torch.randn(3), np.random.rand(3), random.random()
        torch.set_grad_enabled(False)
        1 / 0  # noqa: B018
    assert state() == before


def test_undisturbed_gives_pytorch_defaults():
    torch.set_default_dtype(torch.float64)
    try:
        with undisturbed(0):
            assert torch.ones(1).dtype == torch.float32
        assert torch.ones(1).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_what_student_code_prints_and_warns_is_not_seen(capfd):
    def loud(x):
        print("spam")
        warnings.warn("deprecated", stacklevel=1)
        return x

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "raised" not in facts_of(loud, X)
    assert capfd.readouterr() == ("", "")


def test_what_a_failing_answer_prints_is_shown_once(capsys):
    def loud(mu, logvar):
        print("shape", tuple(mu.shape))
        return mu

    with pytest.raises(CheckFailed):
        check("gaussian_kl", loud)
    assert capsys.readouterr().out.count("shape (") == 1


def test_observing_leaves_the_random_state_of_the_notebook_alone():
    torch.manual_seed(11)
    expected = torch.randn(3)
    torch.manual_seed(11)
    observe("gaussian_kl", lambda mu, logvar: torch.randn(len(mu)), 0)
    assert torch.equal(torch.randn(3), expected)


def test_an_unknown_exercise_is_refused():
    with pytest.raises(ValueError, match="no exercise is called 'nonsense'"):
        observe("nonsense", None, 0)


def test_gradients_that_are_switched_off_for_good_are_told_and_come_back():
    def switches(x):
        torch.set_grad_enabled(False)
        return 2 * x

    see = Recorder(0)
    see.call("a call", switches, see.normal(3), inputs=["x"], gradients=["x"])
    (fact,) = (fact for fact in see.facts if fact.what == "gradients are switched off")
    assert "torch.no_grad()" in fact.told
    assert torch.is_grad_enabled()
    with_it = Recorder(0)
    with_it.call("a call", torch.no_grad()(lambda x: 2 * x), with_it.normal(3), inputs=["x"])
    assert all(fact.what != "gradients are switched off" for fact in with_it.facts)


@pytest.mark.parametrize("by_chance", [True, False])
def test_who_must_draw_is_not_told_that_it_draws(by_chance):
    see = Recorder(0)
    see.call("a call", torch.bernoulli, see.uniform(3), inputs=["x"], by_chance=by_chance)
    assert [fact.told is None for fact in see.facts if fact.what == "result"] == [by_chance]
