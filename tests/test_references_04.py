"""Lesson 04's references against independent oracles: distributions, finite differences, closed forms, statistics.

Statistical tests use fixed seeds; had they been drawn anew, each would fail for a right answer less than once in a million runs
(five standard errors or more).
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, Normal, RelaxedOneHotCategorical

from autograde import judge
from autograde.catalogue import reference
from autograde.grading.judging import judge_observation, observe_mistake
from vae_helpers.checks import observe
from vae_helpers.checks.agreement import close

reparameterize = reference("reparameterize")
pathwise_gradient = reference("pathwise_gradient")
score_function_gradient = reference("score_function_gradient")
gumbel_softmax = reference("gumbel_softmax")

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 4))


def draw(seed, k, n, d):
    """mu, logvar (N, D) and eps (K, N, D), in float64, from a seed."""
    rng = np.random.default_rng(seed)
    mu, logvar, eps = rng.normal(size=(n, d)), rng.uniform(-3, 2, (n, d)), rng.normal(size=(k, n, d))
    return torch.from_numpy(mu), torch.from_numpy(logvar), torch.from_numpy(eps)


def wave(z):
    return (z.pow(2) + (2 * z).sin()).sum(-1) + z.sum(-1).tanh()


@given(seed=seeds, size=sizes)
@settings(deadline=None, max_examples=50)
def test_reparameterize_is_the_quantile_function_of_the_normal(seed, size):
    mu, logvar, eps = draw(seed, *size)
    quantile = Normal(mu, logvar.exp().sqrt()).icdf(Normal(torch.zeros_like(mu), 1.0).cdf(eps[0].clamp(-5, 5)))
    torch.testing.assert_close(reparameterize(mu, logvar, eps[0].clamp(-5, 5)), quantile, rtol=1e-6, atol=1e-6)


@given(seed=seeds)
@settings(deadline=None, max_examples=20)
def test_reparameterize_differentiates_as_finite_differences_do(seed):
    mu, logvar, eps = draw(seed, 1, 3, 2)
    assert torch.autograd.gradcheck(reparameterize, (mu.requires_grad_(), logvar.requires_grad_(), eps[0]))


def test_reparameterize_draws_normal_noise_of_its_own():
    torch.manual_seed(0)
    n = 100_000
    mu, logvar = torch.tensor([1.0, -2.0]), torch.tensor([-3.0, 2.0])
    z = reparameterize(mu.expand(n, 2), logvar.expand(n, 2))
    u = Normal(mu, (logvar / 2).exp()).cdf(z).sort(0).values
    # Kolmogorov–Smirnov: P(distance > 2.7 / √n) = 2·exp(−2·2.7²) < 10⁻⁶.
    steps = torch.arange(1, n + 1)[:, None] / n
    assert (u - steps).abs().max() < 2.7 / math.sqrt(n)
    assert torch.corrcoef(z.T)[0, 1].abs() < 5 / math.sqrt(n)
    assert torch.corrcoef(torch.stack([z[1:, 0], z[:-1, 0]]))[0, 1].abs() < 5 / math.sqrt(n)


@given(seed=seeds, size=sizes)
@settings(deadline=None, max_examples=30)
def test_pathwise_gradient_is_that_of_the_sample_average(seed, size):
    """Central differences of the average over the given noise, one entry at a time."""
    mu, logvar, eps = draw(seed, *size)
    grad_mu, grad_logvar = pathwise_gradient(wave, mu, logvar, eps)

    def average(mu, logvar):
        return wave(mu + torch.sqrt(torch.exp(logvar)) * eps).mean(0)

    h = 1e-5
    for d in range(mu.shape[1]):
        step = torch.zeros_like(mu)
        step[:, d] = h
        by_mu = (average(mu + step, logvar) - average(mu - step, logvar)) / (2 * h)
        by_logvar = (average(mu, logvar + step) - average(mu, logvar - step)) / (2 * h)
        torch.testing.assert_close(grad_mu[:, d], by_mu, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(grad_logvar[:, d], by_logvar, rtol=1e-5, atol=1e-6)


@given(seed=seeds, size=sizes, baseline=st.floats(-3, 3))
@settings(deadline=None, max_examples=30)
def test_score_function_gradient_is_the_weighted_slope_of_the_density(seed, size, baseline):
    """Central differences of log q at the drawn samples, by torch.distributions, weighted with f."""
    mu, logvar, eps = draw(seed, *size)
    z = torch.addcmul(mu, torch.sqrt(torch.exp(logvar)), eps)
    grads = score_function_gradient(wave, mu, logvar, eps, baseline=baseline)

    def surrogate(mu, logvar):
        log_q = Normal(mu, logvar.exp().sqrt()).log_prob(z).sum(-1)
        return ((wave(z) - baseline) * log_q).mean(0)

    h = 1e-5
    for d in range(mu.shape[1]):
        step = torch.zeros_like(mu)
        step[:, d] = h
        by_mu = (surrogate(mu + step, logvar) - surrogate(mu - step, logvar)) / (2 * h)
        by_logvar = (surrogate(mu, logvar + step) - surrogate(mu, logvar - step)) / (2 * h)
        torch.testing.assert_close(grads[0][:, d], by_mu, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(grads[1][:, d], by_logvar, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("baseline", [None, 0.0, 3.0, 50.0])
def test_both_estimators_are_exact_under_quadrature(baseline):
    """E[Σ z²] = Σ (mu² + σ²) has gradients 2·mu and σ². Gauss–Hermite nodes in place of samples make the average exact."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    weights = torch.from_numpy(weights / weights.sum())
    mu, logvar = torch.tensor([[0.7], [-1.5]]).double(), torch.tensor([[0.4], [-1.0]]).double()
    estimates = []
    for node in torch.from_numpy(nodes):
        eps = node.expand(1, 2, 1)
        square = lambda z: z.pow(2).sum(-1)  # noqa: E731
        if baseline is None:
            estimates.append(pathwise_gradient(square, mu, logvar, eps))
        else:
            estimates.append(score_function_gradient(square, mu, logvar, eps, baseline=baseline))
    for i, exact in enumerate([2 * mu, logvar.exp()]):
        average = sum(w * estimate[i] for w, estimate in zip(weights, estimates, strict=True))
        torch.testing.assert_close(average, exact)


def one_sample_estimates(estimator, d, n=20_000, **options):
    """Independent estimates for f = Σ (z − 1)² at mu = 0, logvar = 0: two (n, D)."""
    eps = torch.randn(1, n, d, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    zero = torch.zeros(n, d, dtype=torch.float64)
    return estimator(lambda z: (z - 1).pow(2).sum(-1), zero, zero, eps, **options)


@pytest.mark.parametrize(("estimator", "options"), [(pathwise_gradient, {}), (score_function_gradient, {"baseline": 6.0})])
def test_estimates_are_unbiased(estimator, options):
    # E f = Σ (mu − 1)² + σ²: the gradients at mu = 0, σ = 1 are −2 and 1.
    for estimate, exact in zip(one_sample_estimates(estimator, 3, **options), (-2.0, 1.0), strict=True):
        error = (estimate.mean(0) - exact).abs() / (estimate.std(0) / len(estimate) ** 0.5)
        assert (error < 5).all()


def test_the_lessons_claims_about_variance():
    """Pathwise: 4 at any D. Score function: like D², and like D with the baseline E f = 2D, which leaves the mean alone."""
    pathwise, plain, helped = {}, {}, {}
    for d in (1, 10, 100):
        pathwise[d] = one_sample_estimates(pathwise_gradient, d)[0][:, 0].var().item()
        plain[d] = one_sample_estimates(score_function_gradient, d)[0][:, 0].var().item()
        helped[d] = one_sample_estimates(score_function_gradient, d, baseline=2.0 * d)[0][:, 0].var().item()
    # By Gaussian moments, for D = 1: Var = 30 without and 18 with the baseline.
    assert plain[1] == pytest.approx(30, rel=0.25)
    assert helped[1] == pytest.approx(18, rel=0.25)
    for d in pathwise:
        assert pathwise[d] == pytest.approx(4, rel=0.06)
        assert pathwise[d] < helped[d] < plain[d]
    assert 70 < plain[100] / plain[10] < 110
    assert 6 < helped[100] / helped[10] < 12


def test_score_function_sees_a_step():
    """d/dmu P(z > 0) is the density of q at 0, d/dlogvar P(z > 0) is −½·mu·that."""
    mu, logvar = torch.tensor([[0.5], [-1.0]]), torch.tensor([[0.3], [-0.4]])
    eps = torch.randn(200_000, 2, 1, generator=torch.Generator().manual_seed(0))
    sigma = (logvar / 2).exp()
    density = Normal(mu, sigma).log_prob(torch.zeros_like(mu)).exp()
    grad_mu, grad_logvar = score_function_gradient(lambda z: (z[..., 0] > 0).float(), mu, logvar, eps)
    # One term is at most |eps| / σ, and ½·|eps² − 1|: standard deviations below 1.3 and 0.8.
    assert (grad_mu - density).abs().max() < 5 * 1.3 / 200_000**0.5
    assert (grad_logvar + 0.5 * mu * density).abs().max() < 5 * 0.8 / 200_000**0.5


@given(seed=seeds, n=st.integers(1, 5), c=st.integers(2, 5), temperature=st.floats(0.3, 10))
@settings(deadline=None, max_examples=30)
def test_gumbel_softmax_is_torchs_relaxed_one_hot(seed, n, c, temperature):
    logits = torch.from_numpy(np.random.default_rng(seed).normal(size=(n, c)))
    relaxed = RelaxedOneHotCategorical(torch.tensor(temperature, dtype=torch.float64), logits=logits)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        expected = relaxed.rsample()
        torch.manual_seed(seed)
        uniform = torch.rand_like(logits).clamp(1e-16, 1 - 1e-16)
    torch.testing.assert_close(gumbel_softmax(logits, -(-uniform.log()).log(), temperature), expected, rtol=1e-5, atol=1e-7)


def test_a_temperature_held_up_is_seen_whatever_the_seed():
    """Where every row has a clear winner, any low temperature gives the same: with 5 rows, seeds 27 and 39 did."""
    for seed in (27, 39, 41, 45, 68):
        seen = observe_mistake("gumbel_softmax", "temperature_held_up", seed)
        assert judge_observation("gumbel_softmax", seen, seed).mistake == "temperature_held_up"


def test_gumbel_softmax_chooses_with_the_softmax_probabilities():
    n = 100_000
    logits = torch.tensor([1.5, 0.5, 0.0, -1.0])
    uniform = torch.rand(n, 4, generator=torch.Generator().manual_seed(0))
    y = gumbel_softmax(logits.expand(n, 4), -(-uniform.log()).log(), 0.01)
    probabilities = Categorical(logits=logits).probs
    counted = torch.bincount(y.argmax(1), minlength=4) / n
    assert ((counted - probabilities).abs() < 5 * (probabilities * (1 - probabilities) / n).sqrt()).all()
    assert y.max(1).values.median() > 0.999  # nearly one-hot


def test_the_probes_own_noise_statistics_have_the_stated_false_alarm_rate():
    """Right answers with unrelated noise: every statistic's deviation is about a sixth of its tolerance, as six sigmas say."""
    generator = torch.Generator().manual_seed(0)

    def other_noise(mu, logvar, eps=None):
        return reparameterize(mu, logvar, torch.randn(mu.shape, generator=generator) if eps is None else eps)

    known = observe("reparameterize", reparameterize, 3)
    deviations = []
    for _ in range(40):
        for seen, wanted in zip(observe("reparameterize", other_noise, 3), known, strict=True):
            if isinstance(seen.value, np.ndarray):
                assert close(seen.value, wanted).all()
                if np.ndim(wanted.atol) or wanted.rtol == 0:
                    deviations.append(((seen.value - wanted.value) / wanted.atol * 6).ravel())
    deviations = np.concatenate(deviations)
    assert np.abs(deviations).max() < 5
    # The reference's own draw is the same in all forty, so its part of the deviation (half the variance) does not average out.
    assert 0.6 < np.sqrt((deviations**2).mean()) < 1.5
    assert judge("reparameterize", other_noise, 3).passed
