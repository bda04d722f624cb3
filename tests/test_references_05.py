"""Lesson 05's references against PyTorch, autograd and torch.distributions, and its shipped weights on real digits."""

import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Normal, kl_divergence

from autograde.catalogue import reference
from autograde.lessons.lesson import read_lesson
from autograde.lessons.solutions import reference_namespace
from autograde.lessons.train_shipped import NAMES, new_conv_vae
from vae_helpers import load_mnist, load_parameters

QUICK = settings(deadline=None, max_examples=150)
SIZES, KERNELS, CHANNELS = st.integers(1, 9), st.integers(1, 5), st.integers(1, 4)


def noise(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def torches(*arrays):
    return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]


# --- the convolutions ---


@QUICK
@given(CHANNELS, CHANNELS, CHANNELS, SIZES, SIZES, KERNELS, KERNELS, st.integers(1, 4), st.integers(0, 4))
def test_conv2d_against_torch(n, c_in, c_out, height, width, kh, kw, stride, padding):
    kh, kw = min(kh, height + 2 * padding), min(kw, width + 2 * padding)
    x, weight, bias = noise(n, c_in, height, width), noise(c_out, c_in, kh, kw), noise(c_out)
    expected = F.conv2d(*torches(x, weight, bias), stride=stride, padding=padding).numpy()
    found = reference("conv2d")(x, weight, bias, stride, padding)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@QUICK
@given(CHANNELS, CHANNELS, CHANNELS, SIZES, SIZES, KERNELS, KERNELS, st.integers(1, 4), st.integers(0, 4), st.integers(0, 3))
def test_conv_transpose2d_against_torch(n, c_in, c_out, height, width, kh, kw, stride, padding, output_padding):
    output_padding %= stride
    smallest = (min((height - 1) * stride + kh, (width - 1) * stride + kw) + output_padding - 1) // 2
    padding = min(padding, smallest)  # beyond the lesson's padding < kernel too, as long as something is left
    x, weight, bias = noise(n, c_in, height, width), noise(c_in, c_out, kh, kw), noise(c_out)
    settings = {"stride": stride, "padding": padding, "output_padding": output_padding}
    expected = F.conv_transpose2d(*torches(x, weight, bias), **settings).numpy()
    found = reference("conv_transpose2d")(x, weight, bias, **settings)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@QUICK
@given(SIZES, SIZES, KERNELS, st.integers(1, 4), st.integers(0, 4))
def test_the_two_are_adjoint(height, width, kernel, stride, padding):
    """⟨conv(x), y⟩ = ⟨x, transposed conv(y)⟩ where the sizes allow one output padding for rows and columns."""
    padding = min(padding, kernel - 1)
    height, width = max(height, kernel), max(height, kernel) + stride * (width % 3)
    x, weight = noise(2, 3, height, width), noise(4, 3, kernel, kernel)
    out = reference("conv2d")(x, weight, np.zeros(4), stride, padding)
    y = noise(*out.shape, seed=1)
    left_over = (height + 2 * padding - kernel) % stride
    back = reference("conv_transpose2d")(y, weight, np.zeros(3), stride, padding, left_over)
    assert back.shape == x.shape
    np.testing.assert_allclose((out * y).sum(), (x * back).sum(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_that_of_the_inputs(dtype):
    x, weight, bias = noise(2, 3, 6, 6).astype(dtype), noise(4, 3, 3, 3).astype(dtype), noise(4).astype(dtype)
    assert reference("conv2d")(x, weight, bias, 2, 1).dtype == dtype
    assert reference("conv_transpose2d")(x, weight.swapaxes(0, 1), bias, 2, 1, 1).dtype == dtype


# --- the network, with the shipped weights, on real digits ---


@pytest.fixture(scope="module")
def digits():
    return load_mnist("test", binarize="threshold")[0][:64]


@pytest.fixture(scope="module")
def params():
    return load_parameters("conv_vae")


@pytest.fixture(scope="module")
def vae(params):
    """Lesson 07's VAE with the shipped weights."""
    vae = new_conv_vae(params["encoder.mu.bias"].size)
    state = {}
    for name in vae.state_dict():
        layer, _, kind = name.rpartition(".")
        state[name] = torch.from_numpy(params[f"{NAMES[layer]}.{kind}"])
    vae.load_state_dict(state)
    return vae.requires_grad_(False)


@pytest.fixture(scope="module")
def eps(params):
    return noise(64, params["encoder.mu.bias"].size, seed=3).astype(np.float32)


def exact_elbo(vae, x, eps):
    """By torch.distributions, in the precision of its arguments."""
    mu, logvar = vae.encode(x)
    q = Normal(mu, logvar.exp().sqrt())
    log_likelihood = Bernoulli(logits=vae.decode(q.loc + q.scale * eps)).log_prob(x).sum((1, 2, 3))
    return log_likelihood - kl_divergence(q, Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum(1)


def assert_agrees(found, expected, tolerance):
    """Largest difference in parts of the largest entry."""
    expected = expected.numpy()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def test_forward_pass_agrees_with_pytorch_in_float32(params, vae, digits, eps):
    x = digits.numpy()
    mu, logvar = reference("numpy_encode")(params, x)
    for found, expected in zip((mu, logvar), vae.encode(digits), strict=True):
        assert_agrees(found, expected, 1e-5)
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-5)
    z = mu + np.exp(0.5 * logvar) * eps
    assert_agrees(reference("numpy_decode")(params, z), vae.decode(torch.from_numpy(z)), 1e-5)
    found, expected = reference("numpy_elbo")(params, x, eps), exact_elbo(vae, digits, torch.from_numpy(eps)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=0)  # each digit's own


def test_forward_pass_agrees_with_pytorch_to_the_last_digits_in_float64(params, vae, digits, eps):
    import copy

    wide = {name: array.astype(np.float64) for name, array in params.items()}
    vae, x = copy.deepcopy(vae).double(), digits.double()
    mu, logvar = reference("numpy_encode")(wide, x.numpy())
    for found, expected in zip((mu, logvar), vae.encode(x), strict=True):
        assert_agrees(found, expected, 1e-12)
    assert_agrees(reference("numpy_decode")(wide, mu), vae.decode(torch.from_numpy(mu)), 1e-12)
    expected = exact_elbo(vae, x, torch.from_numpy(eps).double())
    np.testing.assert_allclose(reference("numpy_elbo")(wide, x.numpy(), eps), expected.numpy(), rtol=1e-11)


def test_shipped_outputs_are_what_pytorch_computes(vae, digits):
    shipped = load_parameters("conv_vae_outputs")
    eps = torch.from_numpy(shipped["eps"])
    logits, mu, logvar = vae(digits, eps)
    for name, value in {"mu": mu, "logvar": logvar, "logits": logits, "elbo": exact_elbo(vae, digits, eps)}.items():
        assert_agrees(shipped[name], value, 1e-5)
    found = reference("numpy_elbo")(load_parameters("conv_vae"), digits.numpy(), shipped["eps"])
    np.testing.assert_allclose(found, shipped["elbo"], rtol=1e-5)


def test_the_shipped_model_is_good_and_has_three_idle_dimensions(params, vae, digits):
    """What the lesson's text and captions say of it."""
    outputs = load_parameters("conv_vae_outputs")
    assert outputs["elbo"].mean() > -85
    assert np.abs(outputs["logits"]).max() > 100
    spread = np.exp(outputs["logvar"]).mean(0)
    assert np.flatnonzero(spread > 0.9).tolist() == [2, 4, 13]
    assert (np.sort(spread)[:13] < 0.2).all()
    assert sum(a.size for a in params.values()) == 1_659_169


def test_64_digits_take_less_than_two_seconds_of_processor_time(params, digits, eps):
    x = digits.numpy()
    times = []
    for _ in range(3):
        start = time.process_time()
        reference("numpy_elbo")(params, x, eps)
        times.append(time.process_time() - start)
    assert min(times) < 2


# --- the likelihood and the KL ---


@QUICK
@given(st.integers(1, 3), st.floats(-20, 20), st.booleans(), st.integers(0, 99))
def test_likelihood_against_torch(n, shift, grey, seed):
    x = np.random.default_rng(seed).uniform(size=(n, 1, 28, 28))
    x = x if grey else (x > 0.5).astype(float)
    logits = 3 * noise(n, 1, 28, 28, seed=seed) + shift
    expected = Bernoulli(logits=torch.from_numpy(logits), validate_args=False).log_prob(torch.from_numpy(x))
    found = reference("bernoulli_log_likelihood")(x, logits)
    np.testing.assert_allclose(found, expected.flatten(1).sum(1).numpy(), rtol=1e-10)


def test_likelihood_of_logits_of_200_in_float32():
    ink = np.ones((1, 1, 28, 28), dtype=np.float32)
    likelihood = reference("bernoulli_log_likelihood")
    assert likelihood(ink, 200 * ink).tolist() == [0]
    assert likelihood(ink, -200 * ink).tolist() == [-784 * 200]
    assert likelihood(0 * ink, -200 * ink).tolist() == [0]
    assert likelihood(0 * ink, 200 * ink).tolist() == [-784 * 200]
    np.testing.assert_allclose(likelihood(ink, 0 * ink), -784 * np.log(2), rtol=1e-6)


def test_the_given_kl_against_torch():
    mu, logvar = noise(5, 3), noise(5, 3, seed=1)
    q = Normal(*torches(mu, np.exp(0.5 * logvar)))
    found = reference_namespace(read_lesson("05_numpy_vae"))["gaussian_kl"](mu, logvar)
    np.testing.assert_allclose(found, kl_divergence(q, Normal(0.0, 1.0)).sum(1).numpy(), rtol=1e-10)


# --- the predictions ---


def test_predictions_come_true():
    stem = F.conv2d(torch.zeros(1, 1, 224, 224), torch.zeros(1, 1, 7, 7), stride=2, padding=3)
    assert reference("predict_size") == stem.shape[-1]

    image = torch.zeros(1, 1, 1000, 1000)
    assert abs(reference("predict_copies") - F.unfold(image, 3, stride=2).numel() / image.numel()) < 0.02

    x, ones = torch.zeros(1, 1, 28, 28, requires_grad=True), torch.ones(1, 1, 3, 3)
    F.conv2d(F.conv2d(x, ones, stride=2, padding=1), ones, stride=2, padding=1)[0, 0, 3, 4].backward()
    rows = x.grad[0, 0].any(1).nonzero().flatten()
    assert reference("predict_field") == len(rows) == rows[-1] - rows[0] + 1

    stamps = F.conv_transpose2d(torch.ones(1, 1, 8, 8), ones, stride=2, padding=1, output_padding=1)[0, 0, 2:-3, 2:-3]
    assert stamps.unique().tolist() == [1, 2, 4]
    assert reference("predict_stamps") == "b"

    with np.errstate(all="ignore"):
        x, logit = np.float32(1), np.float32(200)
        p = 1 / (1 + np.exp(-logit))
        assert np.isnan(x * np.log(p) + (1 - x) * np.log(1 - p))
    assert reference("predict_naive") == "c"
