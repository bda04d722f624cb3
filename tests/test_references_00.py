"""Lesson 00's solutions against oracles of another kind, and its predictions against what the shipped model does."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autograde.catalogue import reference
from vae_helpers import load_mnist, load_pretrained

quick = settings(deadline=None, max_examples=50)


@quick
@given(st.integers(1, 900), st.integers(1, 5000))
def test_fair_coins_cost_one_bit_each(n_coins, n_dims):
    # −ln p of one outcome of n fair coins, summed coin by coin.
    nats = -sum(math.log(0.5) for _ in range(n_coins))
    assert reference("bits_per_dim")(nats, n_dims) == pytest.approx(Fraction(n_coins, n_dims), rel=1e-12)


@quick
@given(st.floats(1e-300, 1, exclude_min=True), st.integers(1, 4000))
def test_bits_are_logarithms_to_base_two(p, n_dims):
    assert reference("bits_per_dim")(-math.log(p), n_dims) * n_dims == pytest.approx(-np.log2(p), rel=1e-12, abs=1e-15)


def test_entropy_of_a_uniform_choice_by_torch():
    # A choice among 2⁸ costs eight bits, whoever computes the nats.
    nats = torch.distributions.Categorical(logits=torch.zeros(256)).entropy()
    assert reference("bits_per_dim")(nats, 8).item() == pytest.approx(1, rel=1e-6)


def test_the_default_is_mnist_and_tensors_keep_shape_and_gradient():
    nats = torch.tensor([543.4273895589971, 0.0, -12.5, 5000.0], requires_grad=True)
    bits = reference("bits_per_dim")(nats)
    assert bits.detach().numpy() == pytest.approx(nats.detach().numpy() * math.log2(math.e) / 784, rel=1e-6)
    step = 1.0
    difference = (reference("bits_per_dim")(100.0 + step) - reference("bits_per_dim")(100.0 - step)) / (2 * step)
    assert torch.autograd.grad(bits.sum(), nats)[0].tolist() == pytest.approx([difference] * 4, rel=1e-6)


@pytest.fixture(scope="module")
def vae():
    return load_pretrained("explorer")


def test_ink_by_counting_pixels():
    x, _ = load_mnist("test", binarize="threshold")
    counted = [sum(pixel > 0 for row in image[0].tolist() for pixel in row) / 784 for image in x[:20]]
    assert reference("ink")(x[:20]).tolist() == pytest.approx(counted, abs=1e-6)
    assert reference("ink")(torch.full((2, 1, 28, 28), 0.25)).tolist() == [0.25, 0.25]


def test_half_way_is_a_place_on_the_walk_that_the_lesson_takes(vae):
    x, _ = load_mnist("test", binarize="threshold")
    images = reference("half_way")(vae, x[:3], x[3:6])
    for image, a, b in zip(images, x[:3], x[3:6], strict=True):
        (start,), (end,) = (vae.encode(end[None])[0].tolist() for end in (a, b))
        walk = torch.tensor([[s + t / 10 * (e - s) for s, e in zip(start, end, strict=True)] for t in range(11)])
        probabilities = torch.distributions.Bernoulli(logits=vae.decode(walk)).probs
        assert image.detach().numpy() == pytest.approx(probabilities[5].detach().numpy(), abs=1e-5)
    # Two of a kind have nothing between them but themselves; and no pair has a first and a second.
    assert torch.allclose(reference("half_way")(vae, x[:2], x[:2]), vae.decode(vae.encode(x[:2])[0]).sigmoid(), atol=1e-6)
    assert torch.allclose(reference("half_way")(vae, x[3:6], x[:3]), images, atol=1e-6)


# The predictions, as the lesson's next cells show them


def test_half_way_between_codes_is_no_double_exposure(vae):
    assert reference("predict_between") == "b"
    x, y = load_mnist("test", binarize="threshold")
    assert (y[0], y[3]) == (7, 0)
    middle = vae.decode(vae.encode(x[[0, 3]])[0].mean(0, keepdim=True)).sigmoid()[0]
    double_exposure = (x[0] + x[3]) / 2
    overlap = torch.corrcoef(torch.stack([middle.flatten(), double_exposure.flatten()]))[0, 1]
    assert overlap < 0.6
    # Nor is it noise: it looks much like some real digit, and that one is neither a 7 nor a 0.
    similarity = torch.nn.functional.cosine_similarity(middle.flatten().unsqueeze(0), x.flatten(1))
    assert similarity.max() > 0.8
    assert y[similarity.argmax()] not in (7, 0)


def test_far_outside_the_decoder_is_sure(vae):
    assert reference("predict_far") == "c"
    direction = torch.tensor([[1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]])  # the lesson's
    near, far = (vae.decode(radius * direction).sigmoid() for radius in (1.5, 10.0))
    undecided = [((images > 0.1) & (images < 0.9)).float().mean() for images in (near, far)]
    assert undecided[1] < 0.5 * undecided[0]
    # Strokes and no blank page, but for one direction in which little is left.
    assert ((far > 0.9).flatten(1).sum(1) >= 5).sum() >= 7


def test_bits_of_an_elbo_of_minus_100():
    assert reference("predict_bits") == pytest.approx(-math.log2(math.e**-100) / 784, rel=0.05)
