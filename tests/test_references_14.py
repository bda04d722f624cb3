"""Lesson 14's references against oracles that share no code with them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from autograde.catalogue import find_exercise, reference
from autograde.lessons.solutions import reference_namespace

QUICK = settings(deadline=None, max_examples=30)
SCHEDULES = st.lists(st.floats(0.3, 0.97), min_size=2, max_size=7)  # the α of each step


def given_by_the_lesson(name: str):
    return reference_namespace(find_exercise("q_sample").lesson)[name]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bars(alphas: list[float]) -> torch.Tensor:
    return torch.tensor([1.0, *np.cumprod(alphas)], dtype=torch.float64)


def chain_covariance(alphas: list[float]) -> np.ndarray:
    """Covariance (T, T) of x_1 ... x_T given x_0, from the recursion x_t = √α_t x_{t-1} + √β_t ε_t as a linear map of the ε."""
    steps = len(alphas)
    maps = np.zeros((steps + 1, steps))
    for t in range(1, steps + 1):
        maps[t] = math.sqrt(alphas[t - 1]) * maps[t - 1]
        maps[t, t - 1] = math.sqrt(1 - alphas[t - 1])
    return (maps @ maps.T)[1:, 1:]


# --- hierarchical_elbo


def linear_two_layers(seed: int, d1: int, d2: int, pixels: int):
    """A linear-Gaussian model with diagonal posteriors, both exact, and log p(x) by its covariance. Diagonal maps, so d1 = d2 = pixels
    but for dimensions that a map leaves out."""
    w = torch.zeros(pixels, d1, dtype=torch.float64)
    a = torch.zeros(d1, d2, dtype=torch.float64)
    w.diagonal().copy_(normal(min(pixels, d1), seed=seed))
    a.diagonal().copy_(normal(min(d1, d2), seed=seed + 1))
    s1, s = 0.3 + normal(d1, seed=seed + 2).abs(), 0.3 + normal(pixels, seed=seed + 3).abs()
    marginal1 = a @ a.T + torch.diag(s1**2)
    marginal_x = w @ marginal1 @ w.T + torch.diag(s**2)
    cov1 = torch.linalg.inv(torch.linalg.inv(marginal1) + w.T @ torch.diag(1 / s**2) @ w)
    cov2 = torch.linalg.inv(torch.eye(d2, dtype=torch.float64) + a.T @ torch.diag(1 / s1**2) @ a)
    model = given_by_the_lesson("TwoLayerVAE")(
        encode1=lambda x: ((x / s**2) @ w @ cov1, cov1.diagonal().log().expand(len(x), d1)),
        encode2=lambda z1: ((z1 / s1**2) @ a @ cov2, cov2.diagonal().log().expand(len(z1), d2)),
        decode2=lambda z2: (z2 @ a.T, (2 * s1.log()).expand(len(z2), d1)),
        log_likelihood=lambda x, z1: Normal(z1 @ w.T, s).log_prob(x).sum(1),
    )
    return model, MultivariateNormal(torch.zeros(pixels, dtype=torch.float64), marginal_x)


@QUICK
@given(seed=st.integers(0, 99), n=st.integers(1, 4), d1=st.integers(1, 3), d2=st.integers(1, 3), pixels=st.integers(1, 3))
def test_with_exact_posteriors_every_draw_gives_the_exact_likelihood(seed, n, d1, d2, pixels):
    model, exact = linear_two_layers(seed, d1, d2, pixels)
    x = 2 * normal(n, pixels, seed=seed + 4)
    for draw in range(2):
        found = reference("hierarchical_elbo")(model, x, normal(n, d1, seed=5 + draw), normal(n, d2, seed=9 + draw))
        torch.testing.assert_close(found, exact.log_prob(x))


def test_hierarchical_elbo_lies_below_by_the_kl_of_a_wrong_posterior():
    """With q(z1|x) moved by c, the gap is the KL of two Gaussians of the same width: c²/(2 var)."""
    model, exact = linear_two_layers(1, 2, 2, 2)
    right = model.encode1
    model.encode1 = lambda x: (right(x)[0] + 0.5, right(x)[1])
    x, n = normal(1, 2, seed=3), 100_000
    values = reference("hierarchical_elbo")(model, x.expand(n, 2), normal(n, 2, seed=1), normal(n, 2, seed=2))
    gap = (0.25 / (2 * right(x)[1].exp())).sum()
    assert abs(exact.log_prob(x) - values.mean() - gap) < 6 * values.std() / math.sqrt(n)


# --- the forward chain


@QUICK
@given(alphas=SCHEDULES, seed=st.integers(0, 99))
def test_q_sample_has_the_mean_and_the_variance_of_the_chain(alphas, seed):
    alpha_bar, x0 = bars(alphas), normal(3, 2, seed=seed)
    variances = np.diag(chain_covariance(alphas))
    for step in range(1, len(alphas) + 1):
        t = torch.full((3,), step)
        mean = reference("q_sample")(x0, t, alpha_bar, torch.zeros_like(x0))
        np.testing.assert_allclose(mean, x0 * math.sqrt(math.prod(alphas[:step])), rtol=1e-9)
        noise = reference("q_sample")(torch.zeros_like(x0), t, alpha_bar, torch.ones_like(x0))
        np.testing.assert_allclose(noise, math.sqrt(variances[step - 1]), rtol=1e-9)


def test_q_sample_takes_each_row_to_a_step_of_its_own():
    alpha_bar, images, eps = bars([0.9, 0.5, 0.7]), normal(4, 1, 4, 4), normal(4, 1, 4, 4, seed=1)
    t = torch.tensor([3, 0, 1, 2])
    found = reference("q_sample")(images, t, alpha_bar, eps)
    for n, step in enumerate(t.tolist()):
        share = alpha_bar[step].item()
        np.testing.assert_allclose(found[n], math.sqrt(share) * images[n] + math.sqrt(1 - share) * eps[n])
    assert torch.equal(found[1], images[1])


@QUICK
@given(alphas=SCHEDULES, seed=st.integers(0, 99))
def test_the_posterior_is_the_chain_conditioned(alphas, seed):
    """x_{t-1} given x_t and x_0, by conditioning the joint Gaussian of the whole chain."""
    alpha_bar, x0, xt = bars(alphas), normal(1, 3, seed=seed), normal(1, 3, seed=seed + 1)
    covariance = chain_covariance(alphas)
    for t in range(2, len(alphas) + 1):
        gain = covariance[t - 2, t - 1] / covariance[t - 1, t - 1]
        before, now = (math.sqrt(math.prod(alphas[:s])) for s in (t - 1, t))
        mean, variance = reference("posterior_mean_variance")(x0, xt, torch.tensor([t]), alpha_bar)
        np.testing.assert_allclose(mean, before * x0 + gain * (xt - now * x0), rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(variance, [covariance[t - 2, t - 2] - gain * covariance[t - 2, t - 1]], rtol=1e-7)


def test_the_posterior_is_bayes_on_a_grid_and_knows_the_end():
    grid = torch.linspace(-12, 12, 24001, dtype=torch.float64)
    x0, xt, before, now = 1.3, -0.4, 0.8, 0.3
    log_density = Normal(math.sqrt(before) * x0, math.sqrt(1 - before)).log_prob(grid)
    log_density = log_density + Normal(math.sqrt(now / before) * grid, math.sqrt(1 - now / before)).log_prob(
        torch.tensor(xt).double()
    )
    weights = log_density.softmax(0)
    mean = (weights * grid).sum()
    alpha_bar = torch.tensor([1.0, before, now], dtype=torch.float64)
    found = reference("posterior_mean_variance")(
        torch.tensor([[x0]]).double(), torch.tensor([[xt]]).double(), torch.tensor([2]), alpha_bar
    )
    assert found[0].item() == pytest.approx(mean.item(), abs=1e-6)
    assert found[1].item() == pytest.approx((weights * (grid - mean) ** 2).sum().item(), abs=1e-6)
    images, others = normal(2, 1, 3, 3), normal(2, 1, 3, 3, seed=1)
    mean, variance = reference("posterior_mean_variance")(images, others, torch.tensor([1, 1]), alpha_bar)
    torch.testing.assert_close(mean, images)
    assert torch.equal(variance, torch.zeros(2, dtype=torch.float64))


# --- the decoder


@QUICK
@given(alphas=SCHEDULES, seed=st.integers(0, 99))
def test_a_step_that_knows_the_noise_is_the_posterior_of_the_chain(alphas, seed):
    alpha_bar, x0, eps, fresh = (
        bars(alphas),
        normal(3, 2, seed=seed),
        normal(3, 2, seed=seed + 1),
        normal(3, 2, seed=seed + 2),
    )
    covariance = chain_covariance(alphas)
    for step in range(1, len(alphas) + 1):
        now = math.prod(alphas[:step])
        xt = math.sqrt(now) * x0 + math.sqrt(1 - now) * eps
        found = reference("ancestral_step")(lambda xt, t, eps=eps: eps, xt, torch.full((3,), step), alpha_bar, fresh)
        if step == 1:
            expected = x0
        else:
            gain = covariance[step - 2, step - 1] / covariance[step - 1, step - 1]
            variance = covariance[step - 2, step - 2] - gain * covariance[step - 2, step - 1]
            expected = math.sqrt(now / alphas[step - 1]) * x0 + gain * math.sqrt(1 - now) * eps + math.sqrt(variance) * fresh
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-8)


def gaussian_chain(alpha_bar, mean: float, var: float) -> tuple[float, float]:
    """Mean and variance of the samples for data N(mean, var), by running them through the linear steps, last to first."""
    m, v = 0.0, 1.0
    for t in range(len(alpha_bar) - 1, 0, -1):
        now, before = float(alpha_bar[t]), float(alpha_bar[t - 1])
        # E[x_0 | x_t] = mean + k (x_t − √ᾱ mean), and then the chain's posterior for that x_0.
        k = math.sqrt(now) * var / (now * var + 1 - now)
        of_x0 = math.sqrt(before) * (1 - now / before) / (1 - now)
        of_xt = math.sqrt(now / before) * (1 - before) / (1 - now)
        slope = of_x0 * k + of_xt
        m = of_x0 * (mean - k * math.sqrt(now) * mean) + slope * m
        v = slope**2 * v + (1 - now / before) * (1 - before) / (1 - now)
    return m, v


@pytest.mark.parametrize("steps", [3, 30, 300])
def test_the_chain_of_an_exact_denoiser_has_the_moments_of_its_linear_maps(steps):
    schedule = given_by_the_lesson("log_snr_schedule")(steps).double()
    model = given_by_the_lesson("exact_denoiser")(torch.tensor([2.0]), torch.tensor([0.3]), schedule)
    noise = normal(steps + 1, 20_000, 1)
    chain = reference("sample_chain")(model, noise, schedule)
    assert torch.equal(chain[-1], noise[-1]) and chain.shape == noise.shape
    mean, var = gaussian_chain(schedule, 2.0, 0.3)
    assert chain[0].mean().item() == pytest.approx(mean, abs=6 * math.sqrt(var / 20_000))
    assert chain[0].var().item() == pytest.approx(var, rel=6 * math.sqrt(2 / 20_000))
    if steps == 300:
        assert mean == pytest.approx(2, abs=0.02) and var == pytest.approx(0.3, rel=0.1)


def test_exact_denoiser_is_the_least_squares_regression():
    schedule = given_by_the_lesson("log_snr_schedule")(10).double()
    n, t = 400_000, 4
    x0, eps = 2 + 0.6 * normal(n, 1), normal(n, 1, seed=1)
    xt = schedule[t].sqrt() * x0 + (1 - schedule[t]).sqrt() * eps
    model = given_by_the_lesson("exact_denoiser")(torch.tensor([2.0]), torch.tensor([0.36]), schedule)
    residual = eps - model(xt, torch.full((n,), t))
    # Orthogonal to everything linear in x_t.
    assert abs(residual.mean()) < 6 / math.sqrt(n)
    assert abs((residual * xt).mean()) < 6 * (residual * xt).std() / math.sqrt(n)


# --- the loss


@QUICK
@given(alphas=SCHEDULES, seed=st.integers(0, 99))
def test_step_kl_is_the_kl_of_the_two_gaussians(alphas, seed):
    alpha_bar, x0, eps, eps_hat = bars(alphas), *(normal(2, 3, seed=seed + i) for i in range(3))
    covariance = chain_covariance(alphas)
    for step in range(2, len(alphas) + 1):
        now, before = (math.prod(alphas[:s]) for s in (step, step - 1))
        gain = covariance[step - 2, step - 1] / covariance[step - 1, step - 1]
        std = math.sqrt(covariance[step - 2, step - 2] - gain * covariance[step - 2, step - 1])
        xt = math.sqrt(now) * x0 + math.sqrt(1 - now) * eps
        means = [
            math.sqrt(before) * start + gain * (xt - math.sqrt(now) * start)
            for start in (x0, (xt - math.sqrt(1 - now) * eps_hat) / math.sqrt(now))
        ]
        expected = kl_divergence(Normal(means[0], std), Normal(means[1], std)).sum(1)
        found = reference("step_kl")(eps, eps_hat, torch.full((2,), step), alpha_bar)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_gradient_of_step_kl():
    eps, eps_hat = normal(3, 2), normal(3, 2, seed=1).requires_grad_()
    t, alpha_bar = torch.tensor([2, 3, 2]), bars([0.9, 0.6, 0.8])
    assert torch.autograd.gradcheck(lambda guess: reference("step_kl")(eps, guess, t, alpha_bar), [eps_hat])


def log_density_of_the_chain(path: list[torch.Tensor], alphas: list[float], backwards) -> torch.Tensor:
    """log p(x_0 ... x_T) − log q(x_1 ... x_T | x_0) of one path, density by density: Ho et al.'s eq. 3."""
    total = Normal(0.0, 1.0).log_prob(path[-1]).sum(1)
    for t, alpha in enumerate(alphas, 1):
        total = total - Normal(math.sqrt(alpha) * path[t - 1], math.sqrt(1 - alpha)).log_prob(path[t]).sum(1)
        mean, std = backwards(path[t], t)
        total = total + Normal(mean, std).log_prob(path[t - 1]).sum(1)
    return total


def test_diffusion_elbo_is_the_plain_bound_on_average():
    """Against the average of the plain log ratio, whose paths are walked step by step."""
    alphas, n = [0.8, 0.6, 0.5], 400_000
    alpha_bar = bars(alphas)

    def model(xt, t):
        return 0.8 * xt - 0.3 + 0.1 * t.view(-1, 1)

    def backwards(xt, t):
        now, before = math.prod(alphas[:t]), math.prod(alphas[: t - 1])
        guess = model(xt, torch.full((1,), t))
        variance = (1 - alphas[t - 1]) * (1 - before) / (1 - now) if t > 1 else 1 - alphas[0]
        return (xt - (1 - alphas[t - 1]) / math.sqrt(1 - now) * guess) / math.sqrt(alphas[t - 1]), math.sqrt(variance)

    x0 = torch.tensor([[0.7, -1.1]], dtype=torch.float64).expand(n, 2)
    path = [x0]
    for t, alpha in enumerate(alphas, 1):
        path.append(math.sqrt(alpha) * path[-1] + math.sqrt(1 - alpha) * normal(n, 2, seed=t))
    plain = log_density_of_the_chain(path, alphas, backwards)
    found = reference("diffusion_elbo")(model, x0, normal(4, n, 2, seed=9), alpha_bar)
    assert abs(plain.mean() - found.mean()) < 6 * math.hypot(plain.std(), found.std()) / math.sqrt(n)


def test_the_bound_closes_on_gaussian_data():
    mean, var = torch.tensor([2.0, -1.0]), torch.tensor([0.09, 0.5])
    x0 = mean + var.sqrt() * normal(300, 2)
    exact = Normal(mean.double(), var.double().sqrt()).log_prob(x0).sum(1).mean()
    gaps = []
    for steps in (20, 80, 320):
        schedule = given_by_the_lesson("log_snr_schedule")(steps, 9.0, -9.0).double()
        model = given_by_the_lesson("exact_denoiser")(mean, var, schedule)
        gaps.append(exact - reference("diffusion_elbo")(model, x0, normal(steps + 1, 300, 2, seed=1), schedule).mean())
    assert all(gap > 0 for gap in gaps) and gaps[2] < 0.4
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]


def test_noise_prediction_loss_row_by_row():
    alpha_bar, t = bars([0.9, 0.6, 0.8]), torch.tensor([3, 1, 2])
    x0, eps = normal(3, 1, 2, 2), normal(3, 1, 2, 2, seed=1)

    def model(xt, t):
        return xt.sin() + t.view(-1, 1, 1, 1)

    expected = []
    for n in range(3):
        share = alpha_bar[t[n]].item()
        xt = math.sqrt(share) * x0[n].numpy() + math.sqrt(1 - share) * eps[n].numpy()
        expected.append(((eps[n].numpy() - np.sin(xt) - int(t[n])) ** 2).sum())
    assert reference("noise_prediction_loss")(model, x0, t, eps, alpha_bar).item() == pytest.approx(np.mean(expected))


# --- the predictions


def test_predictions_come_true():
    betas = np.linspace(1e-4, 0.02, 1000)
    shares = np.cumprod(1 - betas)
    assert 0.07 < shares[499] < 0.09 and reference("predict_half_way") == "a"
    np.testing.assert_allclose(given_by_the_lesson("linear_schedule")(1000)[1:], shares, rtol=1e-4)
    ratio = (1 - shares[:-1]) / (1 - shares[1:])  # variance of the way back over β, from t = 2
    assert (
        (ratio < 1).all()
        and ratio[0] < 0.5
        and (ratio[100:] > 0.95).all()
        and reference("predict_posterior_variance") == "c"
    )
    loss = reference("noise_prediction_loss")(
        lambda xt, t: torch.zeros_like(xt),
        normal(50_000, 16),
        torch.ones(50_000).long(),
        normal(50_000, 16, seed=1),
        bars([0.9]),
    )
    assert loss.item() == pytest.approx(reference("predict_untrained_loss"), rel=0.01)
    schedule = given_by_the_lesson("log_snr_schedule")
    spreads = [gaussian_chain(schedule(steps, 5.0, -5.0).double(), 0.0, 1.0)[1] for steps in (10, 100)]
    assert spreads[0] < 0.8 < 0.9 < spreads[1] < 1 and reference("predict_few_steps") == "a"


def test_equal_steps_in_log_snr_have_equal_weights():
    schedule, n = given_by_the_lesson("log_snr_schedule")(50).double(), 49
    weights = reference("step_kl")(torch.ones(n, 1).double(), torch.zeros(n, 1).double(), torch.arange(2, 51), schedule)
    torch.testing.assert_close(weights, weights[:1].expand(n), rtol=1e-3, atol=0)
