"""What rounding alone decides is found, and left out of what a mistake is known by; a key that would lose too much is not built."""

from dataclasses import replace

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autograde.catalogue import CATALOGUE, Exercise
from autograde.lessons.answer_keys import compile_key, key_holds
from autograde.lessons.lesson import LessonError
from autograde.lessons.rounding import MANY, OtherArithmetic, observe_decided, other_last_bits
from vae_helpers.checks import KEYS
from vae_helpers.checks.agreement import agree
from vae_helpers.checks.observation import pack, undecided_places, unpack
from vae_helpers.checks.probes import PROBES, probe
from vae_helpers.checks.recorder import Recorder

FLOATS = st.one_of(
    arrays.arrays(np.float32, arrays.array_shapes(min_dims=0, min_side=0), elements=st.floats(width=32)),
    arrays.arrays(np.float64, arrays.array_shapes(min_dims=0, min_side=0), elements=st.floats()),
)


@given(FLOATS, st.integers(0, 1000))
def test_last_bits_change_once_and_by_four_units_at_most(before, number):
    once = before.copy()
    other_last_bits(once, number)
    limits = np.finfo(before.dtype)
    usual = (np.abs(before) >= limits.tiny) & (np.abs(before) < limits.max / 2) | (before == 0)
    with np.errstate(over="ignore"):
        near = np.abs(once - before) <= 4 * np.spacing(np.abs(before))
    assert near[usual].all()
    assert (np.isnan(once) == np.isnan(before)).all()
    twice = once.copy()
    other_last_bits(twice, number)
    np.testing.assert_array_equal(once, twice)


@pytest.mark.parametrize("number", range(1, MANY + 1))
def test_another_arithmetic_rounds_otherwise_keeps_what_is_exact_and_draws_nothing(number):
    x = torch.linspace(0.1, 3, 100)
    exact_roots = x.sqrt()
    torch.manual_seed(0)
    there = torch.rand(100)
    state = torch.get_rng_state()
    torch.manual_seed(0)
    with OtherArithmetic(number):
        powers = x.exp()
        assert torch.equal(powers, x.clone().exp())
        assert torch.equal(x.sqrt() / x, exact_roots / x)  # IEEE 754 rounds these, and leaves nothing to the processor
        assert torch.equal(torch.arange(50.0) * 2 + 1, torch.arange(1.0, 100, 2))
        assert torch.equal(powers - powers, torch.zeros(100))
        here = torch.rand(100)
    assert torch.equal(torch.get_rng_state(), state)
    for mine, exact in ((powers, x.exp()), (here, there)):
        assert (mine != exact).sum() > 50
        torch.testing.assert_close(mine, exact, rtol=1e-6, atol=0)


def test_a_gradient_is_rounded_otherwise_too():
    x = torch.linspace(0.1, 3, 100, requires_grad=True)
    with OtherArithmetic(1):
        (gradient,) = torch.autograd.grad(torch.tanh(x).sum(), x)
    (exact,) = torch.autograd.grad(torch.tanh(x).sum(), x)
    assert not torch.equal(gradient, exact)
    torch.testing.assert_close(gradient, exact, rtol=1e-4, atol=1e-6)


# A made-up exercise: its probe calls a function of two vectors.


@pytest.fixture
def exercise():
    @probe("made_up")
    def made_up(implementation, see: Recorder):
        see.call("parallel", implementation, see.normal(3), see.normal(3).abs())
        see.call("same", implementation, *[see.normal(3)] * 2)

    class MadeUp(Exercise):
        reference = staticmethod(lambda a, b: a + b)

    yield MadeUp("made_up")
    del PROBES["made_up"], CATALOGUE["made_up"]


def rounding_error(a, b):
    return (a.exp().log() - a) * 1e6


def test_what_rounding_decides_is_left_out_and_the_rest_kept(exercise):
    def partly(a, b):
        return a - b if (a * b).sum() > 100 or not torch.equal(a, b) else rounding_error(a, b)

    seen = observe_decided("made_up", partly, 0)
    assert undecided_places(seen) == [("same", "result")]
    assert ("parallel", "result") in {fact.place for fact in seen if fact.value is not None}


def test_what_is_sometimes_raised_is_left_out_with_all_that_follows_it(exercise):
    def fails(a, b):
        if float((a.exp().log() - a).sum()) > 0:
            raise ValueError
        return a

    # Of 60 calls, some raise in one arithmetic and not in another.
    def made_up(implementation, see: Recorder):
        for i in range(60):
            see.call(f"{i}", implementation, see.normal(3), see.normal(3))

    PROBES["made_up"] = made_up
    places = undecided_places(observe_decided("made_up", fails, 0))
    labels = {label for label, _ in places}
    assert labels
    assert {(label, what) for label in labels for what in ("raised", "result", "inputs changed in place")} <= set(places)


def test_a_mistake_that_rounding_alone_tells_from_the_reference_is_refused(exercise):
    exercise.mistake("A hint.")(lambda a, b: a + b + rounding_error(a, b))
    with pytest.raises(
        LessonError, match="cannot tell the mistake '<lambda>' from the reference, but for what rounding"
    ) as caught:
        compile_key("made_up")
    assert "\n" not in str(caught.value)


def test_mistakes_that_rounding_alone_tells_apart_are_refused(exercise):
    def other(a, b):
        return rounding_error(b, a)

    exercise.mistake("A hint.")(rounding_error)
    exercise.mistake("Another hint.")(other)
    with pytest.raises(LessonError, match="cannot tell the mistake 'rounding_error' from") as caught:
        compile_key("made_up")
    assert "\n" not in str(caught.value)


def test_a_reference_that_rounding_decides_is_refused(exercise, monkeypatch):
    monkeypatch.setattr(type(exercise), "reference", staticmethod(rounding_error))
    with pytest.raises(
        LessonError, match=r"rounding alone decides what the probe sees of the reference \(parallel: result\)"
    ) as caught:
        compile_key("made_up")
    assert "\n" not in str(caught.value)


KEY, HINTS = unpack((KEYS / "gaussian_kl.safetensors").read_bytes())


def key_where(**changes) -> bytes:
    """gaussian_kl's key with something changed in the reference's first fact."""
    first, *rest = KEY["reference"]
    changes = {name: change(getattr(first, name)) for name, change in changes.items()}
    return pack({**KEY, "reference": [replace(first, **changes), *rest]}, **HINTS)


def test_a_key_with_other_last_digits_is_kept():
    assert key_holds("gaussian_kl", key_where(value=lambda v: v * (1 + 1e-6)))


def test_what_holds_of_an_old_key_is_kept_and_the_rest_is_seen_anew():
    known, _ = unpack(key_where(value=lambda v: v * (1 + 1e-6)))
    old = {**known, "forgot_half": known["wrong_sign"], "of_old": known["in_place"]}
    del old["in_place"]
    made, hints = unpack(compile_key("gaussian_kl", pack(old, **HINTS)))
    assert list(made) == list(KEY)
    assert hints == HINTS
    assert np.array_equal(made["reference"][0].value, known["reference"][0].value)
    assert not np.array_equal(made["reference"][0].value, KEY["reference"][0].value)
    assert agree(made["forgot_half"], KEY["forgot_half"])
    assert agree(made["in_place"], KEY["in_place"])


def test_nothing_is_kept_of_a_key_with_another_reference():
    made, _ = unpack(compile_key("gaussian_kl", key_where(value=lambda v: 1.01 * v)))
    assert agree(made["reference"], KEY["reference"])


@pytest.mark.parametrize(
    "other",
    [
        key_where(value=lambda v: 1.01 * v),
        key_where(rtol=lambda r: 2 * r),
        key_where(atol=lambda a: 2 * a),
        key_where(limit=lambda _: 1.0),
        key_where(label=lambda label: label + "!"),
        pack(KEY, **HINTS | {"forgot_half": "Another hint."}),
        pack({name: KEY[name] for name in [*KEY][:-1]}, **HINTS),
        pack(dict(reversed(KEY.items())), **HINTS),
        b"no key",
    ],
)
def test_any_other_key_is_not(other):
    assert not key_holds("gaussian_kl", other)
