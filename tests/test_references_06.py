"""Lesson 06's references against oracles that share no code with them."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Normal, kl_divergence

from autograde import judge
from autograde.catalogue import reference
from autograde.lessons.lesson import read_lesson
from autograde.lessons.solutions import reference_namespace
from vae_helpers import load_mnist, load_parameters
from vae_helpers.checks import observe
from vae_helpers.checks.agreement import close

init_parameters, encode, decode = (reference(name) for name in ("init_parameters", "torch_encode", "torch_decode"))
elbo_loss, adam_step, train_step = (reference(name) for name in ("elbo_loss", "adam_step", "train_step"))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def lively(latent_dim, seed=0, biases=0.1, heads=20):
    """Parameters whose every tensor matters: random biases, and heads that are not small."""
    generator = seeded(seed)
    params = {}
    for name, p in init_parameters(latent_dim, generator).items():
        p = p.detach()
        if name.endswith("bias"):
            p = biases * torch.randn(p.shape, generator=generator)
        elif name.split(".")[1] in ("mu", "logvar", "conv2"):
            p = p * (heads if p.ndim == 2 or p.shape[1] == 1 else 1)
        params[name] = p.requires_grad_()
    return params


def lesson_07(params):
    """Lesson 07's VAE, filled with these parameters: its layers come in the order of this lesson's table."""
    vae = reference("VAE")(len(params["encoder.mu.bias"]))
    vae.load_state_dict(dict(zip(vae.state_dict(), (p.detach() for p in params.values()), strict=True)))
    return vae


# --- init_parameters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latent_dim", [1, 2, 16])
def test_parameters_are_those_of_lesson_07s_modules(latent_dim):
    params, vae = init_parameters(latent_dim), reference("VAE")(latent_dim)
    assert [p.shape for p in params.values()] == [p.shape for p in vae.state_dict().values()]
    assert all(p.is_leaf and p.requires_grad and p.dtype == torch.float32 for p in params.values())
    assert {name: p.shape for name, p in init_parameters(16).items()} == {
        name: array.shape for name, array in load_parameters("conv_vae").items()
    }


@pytest.mark.parametrize(("layer", "n"), [("decoder.conv1", 144), ("decoder.conv2", 72)])
def test_terms_in_one_output_of_a_transposed_convolution(layer, n):
    """Ones times ones: each output counts its products. Wide, so that the border hardly matters."""
    weight = torch.ones_like(init_parameters(2)[f"{layer}.weight"])
    image = torch.ones(1, weight.shape[0], 200, 200)
    counts = F.conv_transpose2d(image, weight, stride=2, padding=1, output_padding=1)
    assert counts.mean().item() == pytest.approx(n, rel=0.01)


def test_signals_keep_their_size_and_the_ends_start_small():
    x, z = load_mnist("test", binarize="threshold")[0][:200], torch.randn(400, 16, generator=seeded(1))
    vae = lesson_07(init_parameters(16, seeded()))
    with torch.no_grad():
        for layers, start in ((vae.encoder.features, x), (vae.decoder.layers, z)):
            wanted, h, spread = (2 * start.pow(2).mean()).sqrt(), start, []
            for layer in layers:
                h = layer(h)
                if sum(p.numel() for p in layer.parameters()) > 300:  # all but the last
                    spread.append((h.pow(2).mean().sqrt() / wanted).item())
            assert len(spread) == 3 and all(0.6 < s < 1.5 for s in spread), spread
        assert all(part.abs().max() < 0.5 for part in vae.encode(x))
        assert vae.decode(z).abs().max() < 1
        loss = elbo_loss(init_parameters(16, seeded()), x, z[:200])
    assert loss.item() == pytest.approx(784 * math.log(2), rel=0.02)


def test_the_probes_statistics_have_the_stated_false_alarm_rate():
    """Right answers with unrelated noise: every statistic's deviation is about a sixth of its tolerance, as six sigmas say."""
    generator = seeded()

    def other_noise(latent_dim, generator=None, own=generator):
        return init_parameters(latent_dim, own if generator is None else seeded(generator.initial_seed() + 1))

    known = observe("init_parameters", init_parameters, 3)
    deviations = []
    for _ in range(8):
        for seen, wanted in zip(observe("init_parameters", other_noise, 3), known, strict=True):
            if isinstance(seen.value, np.ndarray):
                assert close(seen.value, wanted).all(), wanted.place
                if "largest" not in wanted.what:
                    deviations.append(float(seen.value - wanted.value) / float(wanted.atol) * 6)
    assert np.abs(deviations).max() < 5
    assert 0.6 < np.std(deviations) < 1.5
    assert judge("init_parameters", other_noise, 3).passed


# --- encode, decode, elbo_loss ------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 4), st.integers(1, 20), st.integers(0, 2**31))
def test_encoder_and_decoder_agree_with_lesson_07s_modules(n, latent_dim, seed):
    params, generator = lively(latent_dim, seed), seeded(seed + 1)
    vae = lesson_07(params)
    x, z = torch.rand(n, 1, 28, 28, generator=generator), torch.randn(n, latent_dim, generator=generator)
    with torch.no_grad():
        for own, modules in zip(encode(params, x), vae.encode(x), strict=True):
            torch.testing.assert_close(own, modules, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(decode(params, z), vae.decode(z), rtol=1e-5, atol=1e-5)


def as_arrays(params):
    return {name: p.detach().numpy() for name, p in params.items()}


def weights(which):
    if which == "shipped":
        return {name: torch.from_numpy(array) for name, array in load_parameters("conv_vae").items()}
    return lively(16)


@pytest.mark.parametrize("which", ["random", "shipped"])
@pytest.mark.parametrize(
    ("lesson", "names"),
    [("05_numpy_vae", ("encode", "decode")), ("06_low_level_pytorch", ("encode_numpy", "decode_numpy"))],
)
def test_numpy_agrees_on_the_same_weights(lesson, names, which):
    """Lesson 05's own solution, and the short version of it that this lesson gives."""
    encode_numpy, decode_numpy = (reference_namespace(read_lesson(lesson))[name] for name in names)
    params, x = weights(which), load_mnist("test", binarize="threshold")[0][:16]
    with torch.no_grad():
        mu, logvar = encode(params, x)
        logits = decode(params, mu)
    for own, other in zip((mu, logvar), encode_numpy(as_arrays(params), x.numpy()), strict=True):
        np.testing.assert_allclose(other, own, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(decode_numpy(as_arrays(params), mu.numpy()), logits, rtol=1e-4, atol=1e-4)


def test_loss_agrees_with_what_the_course_ships():
    outputs, x = load_parameters("conv_vae_outputs"), load_mnist("test", binarize="threshold")[0][:64]
    loss = elbo_loss(weights("shipped"), x, torch.from_numpy(outputs["eps"]))
    assert -loss.item() == pytest.approx(outputs["elbo"].mean(), abs=1e-3)


def test_loss_of_a_network_with_zero_weights_is_known():
    """The logits are one bias everywhere, mu and logvar another: the loss is a formula."""
    params = {name: torch.zeros_like(p) for name, p in init_parameters(3).items()}
    params["decoder.conv2.bias"].fill_(1.5)
    params["encoder.mu.bias"].copy_(torch.tensor([1.0, 0.0, -2.0]))
    params["encoder.logvar.bias"].copy_(torch.tensor([0.0, 1.0, -1.0]))
    x = (torch.rand(5, 1, 28, 28, generator=seeded()) > 0.7).float()
    ink = x.sum().item() / 5
    pixels = ink * math.log(1 + math.exp(-1.5)) + (784 - ink) * math.log(1 + math.exp(1.5))
    kl = 0.5 * (1.0 + (math.e - 2) + (4 + math.exp(-1)))
    assert elbo_loss(params, x, torch.randn(5, 3)).item() == pytest.approx(pixels + kl, rel=1e-6)


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**31))
def test_loss_is_the_negative_elbo_by_distributions(n, latent_dim, seed):
    params, generator = lively(latent_dim, seed), seeded(seed + 1)
    x, eps = torch.rand(n, 1, 28, 28, generator=generator).round(), torch.randn(n, latent_dim, generator=generator)
    mu, logvar = lesson_07(params).encode(x)
    q = Normal(mu, logvar.exp().sqrt())
    log_likelihood = Bernoulli(logits=lesson_07(params).decode(q.loc + q.scale * eps)).log_prob(x).sum()
    expected = (kl_divergence(q, Normal(0.0, 1.0)).sum() - log_likelihood) / n
    torch.testing.assert_close(elbo_loss(params, x, eps), expected, rtol=1e-5, atol=1e-3)


def test_gradients_by_finite_differences():
    params = {name: p.detach().double().requires_grad_() for name, p in lively(3).items()}
    generator = seeded(5)
    x = torch.rand(2, 1, 28, 28, generator=generator).round().double()
    eps = torch.randn(2, 3, generator=generator).double()
    gradients = dict(zip(params, torch.autograd.grad(elbo_loss(params, x, eps), list(params.values())), strict=True))
    for name, p in params.items():
        direction = torch.randn(p.shape, generator=generator).double()
        losses = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                losses.append(elbo_loss({**params, name: p + step * direction}, x, eps).item())
        slope = (losses[0] - losses[1]) / 2e-6
        assert slope == pytest.approx((gradients[name] * direction).sum().item(), rel=1e-4, abs=1e-5), name


# --- adam_step, train_step ----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 2**31),
    st.floats(1e-5, 1e-2),
    st.tuples(st.floats(0, 0.99), st.floats(0, 0.9999)),
    st.floats(1e-10, 1e-1),
    st.floats(-8, 4),
)
def test_twenty_steps_agree_with_torchs_adam(seed, lr, betas, eps, size):
    generator = seeded(seed)
    start = {"a": torch.randn(3, 2, generator=generator), "b": torch.randn((), generator=generator)}
    own = {name: p.clone().requires_grad_() for name, p in start.items()}
    theirs = {name: p.clone().requires_grad_() for name, p in start.items()}
    optimizer, state = torch.optim.Adam(theirs.values(), lr=lr, betas=betas, eps=eps), {}
    for _ in range(20):
        grads = {name: 10**size * torch.randn(p.shape, generator=generator) for name, p in start.items()}
        for name, p in theirs.items():
            p.grad = grads[name].clone()
        optimizer.step()
        adam_step(own, grads, state, lr, betas, eps)
    for name in start:
        torch.testing.assert_close(own[name].detach(), theirs[name].detach(), rtol=1e-6, atol=max(1e-6, 1e-3 * lr))


def test_the_first_step_is_the_learning_rate_and_without_correction_it_would_be_larger():
    """The lesson's two predictions, by the formulas."""
    for gradient in (1000.0, 0.001):
        params = {"w": torch.zeros((), dtype=torch.float64, requires_grad=True)}
        adam_step(params, {"w": torch.tensor(gradient, dtype=torch.float64)}, {})
        assert params["w"].item() == pytest.approx(-1e-3, rel=1e-4)
    uncorrected = [(1 - 0.9**t) / math.sqrt(1 - 0.999**t) for t in range(1, 3001)]
    assert reference("predict_no_correction") == pytest.approx(uncorrected[0], rel=1e-3)
    assert max(uncorrected) == pytest.approx(6.57, abs=0.01) and 10 <= 1 + int(np.argmax(uncorrected)) <= 14
    assert reference("predict_untrained") == pytest.approx(
        -Bernoulli(logits=torch.zeros(784)).log_prob(torch.ones(784)).sum().item()
    )


def test_training_steps_agree_with_torchs_adam_on_lesson_07s_vae():
    params, generator = init_parameters(4, seeded()), seeded(1)
    start = {name: p.detach().clone() for name, p in params.items()}
    vae, state = lesson_07(params), {}
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
    for _ in range(3):
        x, eps = torch.rand(8, 1, 28, 28, generator=generator).round(), torch.randn(8, 4, generator=generator)
        logits, mu, logvar = vae(x, eps)
        loss = reference("vae_loss")(x, logits, mu, logvar)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert train_step(params, state, x, eps) == pytest.approx(loss.item(), rel=1e-5)
    for (name, own), theirs in zip(params.items(), vae.parameters(), strict=True):
        moved, difference = own.detach() - start[name], (own - theirs).detach()
        # Where a gradient is 0 up to rounding, its sign, and with it Adam's step, is chance.
        assert moved.norm() > 1e-4 and difference.norm() < 0.01 * moved.norm(), name
