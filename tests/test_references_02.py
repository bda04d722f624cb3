"""The references of lesson 02 against independent oracles: quadrature, torch.distributions, Bayes' rule, many samples."""

import math

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from autograde.catalogue import reference
from vae_helpers.checks import observe
from vae_helpers.checks.probes.lesson_02 import SIZES, _elbo
from vae_helpers.toy import LinearGaussian

QUICK = settings(deadline=None, max_examples=40)
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 999))  # N, P, D, seed


def problem(n, p, d, seed=0, sigma=None):
    """A model, images, and a q for each, all float64."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    sigma = sigma or float(0.5 + torch.rand((), generator=g))
    model = LinearGaussian(normal(p, d), normal(p), sigma)
    return model, 1.5 * normal(n, p), normal(n, d), normal(n, d) - 1


def posterior_at(model, x):
    """p(z | x) of one image, by conditioning the joint Gaussian of (z, x): not by comparing coefficients."""
    d = model.latent_dim
    marginal = model.weight @ model.weight.T + model.sigma**2 * torch.eye(model.data_dim, dtype=torch.float64)
    gain = model.weight.T @ torch.linalg.inv(marginal)
    return MultivariateNormal(gain @ (x - model.bias), torch.eye(d, dtype=torch.float64) - gain @ model.weight)


def log_marginal(model, x):
    marginal = model.weight @ model.weight.T + model.sigma**2 * torch.eye(model.data_dim, dtype=torch.float64)
    return MultivariateNormal(model.bias, marginal).log_prob(x)


def q_of(mu, logvar):
    return Independent(Normal(mu, (0.5 * logvar).exp()), 1)


def gauss_hermite(f, mu, logvar, nodes=3):
    """E_q[f(z)] by a product rule that is exact for polynomials up to degree 2·nodes − 1; f: (K, N, D) -> (K, N)."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack(np.meshgrid(*[points] * mu.shape[1], indexing="ij"), -1).reshape(-1, mu.shape[1])
    weight = np.stack(np.meshgrid(*[weights] * mu.shape[1], indexing="ij"), -1).reshape(len(grid), -1).prod(1)
    z = mu + (0.5 * logvar).exp() * torch.from_numpy(grid)[:, None]
    return torch.einsum("k,kn->n", torch.from_numpy(weight / weight.sum()), f(z))


def log_likelihood(model, x):
    return lambda z: Independent(Normal(z @ model.weight.T + model.bias, model.sigma), 1).log_prob(x)


def log_weight(model, x, mu, logvar):
    prior = Independent(Normal(torch.zeros_like(mu), 1.0), 1)
    return lambda z: log_likelihood(model, x)(z) + prior.log_prob(z) - q_of(mu, logvar).log_prob(z)


# --- on paper ---

POINTS = [(0.3, -0.4, 0.7, 1.2), (-1.5, 1.0, 2.5, 0.3), (2.0, 0.9, 0.05, 0.5)]  # x, m, v, s2


def symbols():
    return (*sympy.symbols("x m", real=True), *sympy.symbols("v s2", positive=True))


def by_trapezoids(f, m, v):
    z = torch.linspace(m - 12 * v**0.5, m + 12 * v**0.5, 100_001, dtype=torch.float64)
    return float(torch.trapezoid(Normal(m, v**0.5).log_prob(z).exp() * f(z), z))


@pytest.mark.parametrize("point", POINTS)
def test_the_derivation_by_quadrature(point):
    x, m, v, s2 = point
    q, prior = Normal(m, v**0.5), Normal(0.0, 1.0)

    def likelihood(z):
        return Normal(z, s2**0.5).log_prob(torch.tensor(x, dtype=torch.float64))

    averaged = [lambda z: (x - z) ** 2, likelihood, prior.log_prob, lambda z: -q.log_prob(z)]
    expected = [by_trapezoids(f, m, v) for f in averaged]
    names = symbols()
    found = [float(step.subs(dict(zip(names, point, strict=True)))) for step in reference("derivation_1d")(*names)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    bound = float(reference("elbo_1d")(*names).subs(dict(zip(names, point, strict=True))))
    expected = by_trapezoids(lambda z: likelihood(z) + prior.log_prob(z) - q.log_prob(z), m, v)
    assert math.isclose(bound, expected, rel_tol=1e-6)


@pytest.mark.parametrize("x, s2", [(0.3, 1.2), (-1.5, 0.3), (2.0, 4.0)])
def test_best_q_1d_is_the_posterior_on_a_grid(x, s2):
    """Bayes' rule by brute force: mean and variance of prior times likelihood, normalised on a fine grid."""
    z = torch.linspace(-12, 12, 100_001, dtype=torch.float64)
    weight = (Normal(0.0, 1.0).log_prob(z) + Normal(z, s2**0.5).log_prob(torch.tensor(x, dtype=torch.float64))).exp()
    weight = weight / weight.sum()
    mean = float((weight * z).sum())
    names = sympy.Symbol("x", real=True), sympy.Symbol("s2", positive=True)
    m, v = (float(e.subs({names[0]: x, names[1]: s2})) for e in reference("best_q_1d")(*names))
    assert math.isclose(m, mean, rel_tol=1e-6)
    assert math.isclose(v, float((weight * (z - mean) ** 2).sum()), rel_tol=1e-6)


def test_the_books_balance_in_symbols():
    """log p(x) − ELBO − KL(q ‖ p(z|x)) simplifies to 0, with p(z|x) by completing the square."""
    x, m, v, s2 = symbols()
    variance = 1 / (1 + 1 / s2)
    gap = (sympy.log(variance / v) - 1 + (v + (m - variance * x / s2) ** 2) / variance) / 2
    evidence = -(sympy.log(2 * sympy.pi * (1 + s2)) + x**2 / (1 + s2)) / 2
    difference = sympy.expand_log(sympy.simplify(evidence - reference("elbo_1d")(x, m, v, s2) - gap), force=True)
    assert sympy.simplify(difference) == 0


# --- in D dimensions ---


@QUICK
@given(SHAPES)
def test_closed_forms_by_quadrature(shape):
    model, x, mu, logvar = problem(*shape)
    found = reference("expected_log_likelihood")(model, x, mu, logvar)
    assert found.shape == (len(x),)
    torch.testing.assert_close(found, gauss_hermite(log_likelihood(model, x), mu, logvar))
    bound = reference("elbo")(model, x, mu, logvar)
    assert bound.shape == (len(x),)
    torch.testing.assert_close(bound, gauss_hermite(log_weight(model, x, mu, logvar), mu, logvar))
    # The probe's own ELBO, which measures what a fit reached.
    np.testing.assert_allclose(_elbo(model, x, mu, logvar), bound, rtol=1e-9)


@QUICK
@given(SHAPES)
def test_elbo_is_reconstruction_minus_torchs_kl(shape):
    model, x, mu, logvar = problem(*shape)
    prior = q_of(torch.zeros_like(mu), torch.zeros_like(mu))
    expected = reference("expected_log_likelihood")(model, x, mu, logvar) - kl_divergence(q_of(mu, logvar), prior)
    torch.testing.assert_close(reference("elbo")(model, x, mu, logvar), expected)


@QUICK
@given(SHAPES)
def test_posterior_and_gap_by_conditioning_the_joint(shape):
    model, x, mu, logvar = problem(*shape)
    mean, cov = reference("posterior")(model, x)
    gap = reference("bound_gap")(model, x, mu, logvar)
    assert mean.shape == mu.shape and cov.shape == (model.latent_dim,) * 2 and gap.shape == (len(x),)
    for i in range(len(x)):
        expected = posterior_at(model, x[i])
        torch.testing.assert_close(mean[i], expected.mean, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(cov, expected.covariance_matrix, rtol=1e-6, atol=1e-8)
        q = MultivariateNormal(mu[i], logvar[i].exp().diag())
        torch.testing.assert_close(gap[i], kl_divergence(q, expected), rtol=1e-6, atol=1e-8)


@QUICK
@given(SHAPES)
def test_evidence_is_bound_plus_gap_for_every_image(shape):
    model, x, mu, logvar = problem(*shape)
    bound, gap = (reference(name)(model, x, mu, logvar) for name in ("elbo", "bound_gap"))
    assert (gap > -1e-9).all()
    torch.testing.assert_close(bound + gap, log_marginal(model, x), rtol=0, atol=1e-7)


@pytest.mark.parametrize("seed", range(30))
def test_the_identity_holds_to_1e_4_in_float32_on_every_image_of_the_check(seed):
    """With room to spare, so that another way to compute the same gap passes, too."""
    facts = [f for f in observe("bound_gap", reference("bound_gap"), seed) if f.limit is not None]
    assert [fact.limit for fact in facts] == [1e-4] * len(SIZES) + [0.02]  # the last: one pixel is far off
    for fact in facts:
        assert fact.value < fact.limit / 2, fact


@pytest.mark.parametrize("name", ["expected_log_likelihood", "elbo"])
def test_gradients_of_the_closed_forms(name):
    model, x, mu, logvar = problem(3, 4, 2)
    arguments = [mu.requires_grad_(), logvar.requires_grad_()]
    assert torch.autograd.gradcheck(lambda m, s: reference(name)(model, x, m, s), arguments)


# --- by samples ---


@QUICK
@given(SHAPES, st.integers(1, 4))
def test_monte_carlo_sample_by_sample(shape, k):
    model, x, mu, logvar = problem(*shape)
    eps = torch.randn(k, *mu.shape, generator=torch.Generator().manual_seed(shape[3]), dtype=torch.float64)
    expected = log_weight(model, x, mu, logvar)(mu + (0.5 * logvar).exp() * eps).mean(0)
    torch.testing.assert_close(reference("elbo_monte_carlo")(model, x, mu, logvar, eps), expected)


@pytest.mark.parametrize("k", [1, 10])
def test_monte_carlo_has_the_elbo_as_its_mean_whatever_k(k):
    """Each row is one estimate. Within six standard errors: a false alarm in 5e8 at another seed. So prediction 3 is "b"."""
    n = 100_000
    model, x, mu, logvar = problem(1, 3, 2, seed=4)
    rows = [tensor.expand(n, -1) for tensor in (x, mu, logvar)]
    eps = torch.randn(k, n, 2, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    values = reference("elbo_monte_carlo")(model, *rows, eps)
    exact = gauss_hermite(log_weight(model, x, mu, logvar), mu, logvar)
    assert abs(values.mean() - exact) < 6 * values.std() / math.sqrt(n)
    assert log_marginal(model, x) - exact > 20 * values.std() / math.sqrt(n)  # it does not rise to log p(x)
    assert reference("predict_elbo_samples") == "b"


def test_no_noise_is_left_where_q_is_the_posterior():
    model, x, _, _ = problem(4, 3, 1)
    exact = [posterior_at(model, row) for row in x]
    mu = torch.stack([p.mean for p in exact])
    logvar = torch.stack([p.variance.log() for p in exact])
    eps = torch.randn(50, 4, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    single = torch.stack([reference("elbo_monte_carlo")(model, x, mu, logvar, eps[i : i + 1]) for i in range(50)])
    torch.testing.assert_close(single, log_marginal(model, x).expand(50, 4))


def test_gradients_of_monte_carlo():
    model, x, mu, logvar = problem(3, 4, 2)
    eps = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    arguments = [mu.requires_grad_(), logvar.requires_grad_()]
    assert torch.autograd.gradcheck(lambda m, s: reference("elbo_monte_carlo")(model, x, m, s, eps), arguments)


# --- fitting ---


def orthogonal_model(d, sigma=0.7):
    """Columns of W at right angles: the posterior has independent dimensions."""
    q, _ = torch.linalg.qr(torch.randn(5, d, generator=torch.Generator().manual_seed(3)))
    return LinearGaussian(q * torch.linspace(0.5, 2.0, d), torch.linspace(-1, 1, 5), sigma)


def test_the_bound_closes_where_q_can_match():
    model = orthogonal_model(3)
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(1)) * 1.5
    mu, logvar, history = reference("fit_posterior")(model, x, 200, 0.1)
    assert mu.shape == logvar.shape == (4, 3) and history.shape == (200, 4)
    torch.testing.assert_close(history[-1].double(), log_marginal(_double(model), x.double()), rtol=0, atol=1e-3)
    for i in range(4):
        expected = posterior_at(_double(model), x[i].double())
        torch.testing.assert_close(mu[i].double(), expected.mean, atol=0.01, rtol=0)
        torch.testing.assert_close(logvar[i].double().exp(), expected.variance, atol=0.01, rtol=0)


def test_the_bound_stays_open_where_the_posterior_is_correlated():
    """The best diagonal q, by quasi-Newton on an ELBO by quadrature; the gap that is left is the known one."""
    weight = torch.tensor([[1.2, 0.9], [0.2, 0.8], [-0.5, -0.7]])
    model = LinearGaussian(weight, torch.zeros(3), 0.6)
    x = torch.tensor([[1.0, 0.4, -0.8], [-2.0, 0.1, 0.3]])
    mu, logvar, history = reference("fit_posterior")(model, x, 200, 0.1)
    exact = _double(model)
    parameters = torch.zeros(2, 2, 2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([parameters], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

    def loss():
        optimiser.zero_grad()
        value = -gauss_hermite(log_weight(exact, x.double(), *parameters), *parameters).sum()
        value.backward()
        return value

    optimiser.step(loss)
    torch.testing.assert_close(mu.double(), parameters[0].detach(), atol=0.01, rtol=0)
    torch.testing.assert_close(logvar.double(), parameters[1].detach(), atol=0.02, rtol=0)
    cov = posterior_at(exact, x[0].double()).covariance_matrix
    precision = torch.linalg.inv(cov)
    left = 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))
    assert left > 0.1
    torch.testing.assert_close(log_marginal(exact, x.double()) - history[-1].double(), left.expand(2), atol=2e-3, rtol=0)
    # Prediction 4: narrower than the posterior's own variances, in each dimension.
    assert (parameters[1].detach().exp() < 0.9 * cov.diagonal()).all() and reference("predict_diagonal") == "b"


def _double(model):
    return LinearGaussian(model.weight.double(), model.bias.double(), model.sigma)


# --- the other predictions ---


def test_three_candidates_in_their_order():
    """The gaps of the drawn candidates, in standard deviations of the posterior: B < C < A."""
    target = Normal(0.0, 1.0)
    wide, narrow, shifted = (float(kl_divergence(q, target)) for q in (Normal(0.0, 2.0), Normal(0.0, 0.5), Normal(1.2, 1.0)))
    assert narrow < shifted < wide and reference("predict_larger_elbo") == "b"


def test_without_the_entropy_q_becomes_a_needle():
    """E_q[log p(x, z)] falls with v at every m, and is largest in m where p(x, z) is."""
    x, s2 = 1.5, 0.5

    def energy(m, v):
        return by_trapezoids(lambda z: Normal(0.0, 1.0).log_prob(z) + Normal(z, s2**0.5).log_prob(torch.tensor(x)), m, v)

    values = [energy(1.0, v) for v in (1.0, 0.1, 0.01, 0.001)]
    assert values == sorted(values)
    assert energy(1.0, 0.001) > max(energy(0.9, 0.001), energy(1.1, 0.001)) and reference("predict_no_entropy") == "c"
