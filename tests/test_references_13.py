"""Lesson 13's references against oracles that share no code with them: sums by hand, quadrature, fifty digits, exact models."""

import math
import re
from decimal import Decimal, localcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from autograde.catalogue import reference
from autograde.lessons.train_shipped import train_mlp_vae
from vae_helpers import evaluate_elbo, load_mnist, load_pretrained
from vae_helpers.pretrained import MLPVAE, SHIPPED
from vae_helpers.toy import LinearGaussian, LinearVAE

QUICK = settings(deadline=None, max_examples=25)


def normal(*shape, seed=0, std=1.0):
    return std * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def a_vae(d, seed=0, decoder=0.05):
    """A linear VAE in float64 with numbers from a seed."""
    vae = LinearVAE(d).double()
    with torch.no_grad():
        for i, parameter in enumerate(vae.parameters()):
            scale = {784: 0.03}.get(parameter.shape[-1], 0.5) if i < 2 else (decoder if i == 2 else 1.0)
            parameter.copy_(normal(*parameter.shape, seed=seed + i, std=scale))
    return vae


def images(n, seed=0):
    return (torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) < 0.4).double()


# --- log_weights ---


@QUICK
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))
def test_log_weights_pixel_by_pixel(k, n, d, seed):
    vae, x, eps = a_vae(d, seed), images(n, seed), normal(k, n, d, seed=seed)
    found = reference("log_weights")(vae, x, eps).detach()
    assert found.shape == (k, n)
    mu, logvar = vae.encode(x)
    for i in range(n):
        for j in range(k):
            variance = [math.exp(v) for v in logvar[i].tolist()]
            z = [m + math.sqrt(v) * e for m, v, e in zip(mu[i].tolist(), variance, eps[j, i].tolist(), strict=True)]
            logits = vae.decode(torch.tensor([z], dtype=torch.float64)).flatten().tolist()
            ink = x[i].flatten().tolist()
            total = sum(-math.log1p(math.exp(-a if pixel else a)) for a, pixel in zip(logits, ink, strict=True))
            for place, mean, v in zip(z, mu[i].tolist(), variance, strict=True):
                total += math.log(math.exp(-(place**2) / 2) / math.sqrt(2 * math.pi))
                total -= math.log(math.exp(-((place - mean) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v))
            assert math.isclose(found[j, i], total, rel_tol=1e-9)


def test_weights_average_to_the_likelihood_by_quadrature():
    """One latent dimension, so that p(x) is an integral on a line."""
    vae, x = a_vae(1), images(2)
    with torch.no_grad():  # a q a little wider than the prior: no weight is much larger than the others
        vae.encoder[1].weight.mul_(0.05)
        vae.encoder[1].bias.copy_(torch.tensor([0.1, 0.4]))
    grid = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    logits = vae.decode(grid[:, None]).flatten(1)
    joint = logits @ x.flatten(1).T - torch.nn.functional.softplus(logits).sum(1, keepdim=True)
    joint = joint + Normal(0.0, 1.0).log_prob(grid)[:, None]
    exact = joint.logsumexp(0) + math.log(grid[1] - grid[0])
    with torch.no_grad():
        ratio = (reference("log_weights")(vae, x, normal(20_000, 2, 1)) - exact).exp()
    assert ((ratio.mean(0) - 1).abs() < 6 * ratio.std(0) / 20_000**0.5).all()


def test_average_log_weight_is_the_elbo():
    """Against the course's ELBO, with its KL in closed form, within six standard errors."""
    vae, x = a_vae(3).float(), images(2).float()
    with torch.no_grad():
        found = reference("log_weights")(vae, x, normal(4000, 2, 3).float())
    elbo = torch.stack([evaluate_elbo(vae, x, generator=torch.Generator().manual_seed(i)).elbo for i in range(500)])
    error = (found.var(0) / 4000 + elbo.var(0) / 500).sqrt()
    assert ((found.mean(0) - elbo.mean(0)).abs() < 6 * error).all()


def test_log_weights_gradient_by_finite_differences():
    vae, x, eps = a_vae(2), images(2), normal(3, 2, 2)
    for parameter in (vae.encoder[1].bias, vae.decoder[0].weight):
        (gradient,) = torch.autograd.grad(reference("log_weights")(vae, x, eps).sum(), parameter)
        place = (0,) * parameter.ndim
        values = []
        for h in (1e-5, -1e-5):
            with torch.no_grad():
                parameter[place] += h
                values.append(reference("log_weights")(vae, x, eps).sum())
                parameter[place] -= h
        assert math.isclose(gradient[place], (values[0] - values[1]) / 2e-5, rel_tol=1e-4, abs_tol=1e-6)


# --- iwae_bound, iwae_loss, combine_bounds ---

TABLES = st.lists(st.lists(st.floats(-1100, 1100), min_size=2, max_size=2), min_size=1, max_size=6)


def in_fifty_digits(values):
    with localcontext() as context:
        context.prec = 50
        return float((sum(Decimal(v).exp() for v in values) / len(values)).ln())


@QUICK
@given(TABLES)
def test_iwae_bound_in_fifty_digits(rows):
    table = torch.tensor(rows, dtype=torch.float64)
    found = reference("iwae_bound")(table)
    expected = [in_fifty_digits(column) for column in table.T.tolist()]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-10)
    assert math.isclose(reference("iwae_loss")(table), -sum(expected) / 2, rel_tol=1e-10, abs_tol=1e-9)


@QUICK
@given(TABLES, TABLES)
def test_combined_bounds_are_the_bound_of_the_whole(first, second):
    bounds = torch.tensor([[in_fifty_digits(c) for c in zip(*part, strict=True)] for part in (first, second)]).double()
    counts = torch.tensor([len(first), len(second)])
    expected = torch.tensor([in_fifty_digits(c) for c in zip(*(first + second), strict=True)], dtype=torch.float64)
    torch.testing.assert_close(reference("combine_bounds")(bounds, counts), expected, rtol=1e-6, atol=1e-3)


def test_gradient_of_the_loss_is_the_normalised_weights():
    table = normal(5, 3).requires_grad_()
    assert torch.autograd.gradcheck(reference("iwae_bound"), [table])
    (gradient,) = torch.autograd.grad(reference("iwae_loss")(table), table)
    weights = table.detach().exp()
    torch.testing.assert_close(gradient, -weights / weights.sum(0) / 3)


# --- the bounds of a model with an exact answer ---


def linear_gaussian():
    model = LinearGaussian(normal(6, 3, seed=3), torch.zeros(6).double(), 0.6)
    x = normal(60, 3, seed=4) @ model.weight.T + normal(60, 6, seed=5, std=0.6)
    covariance = model.weight @ model.weight.T + 0.36 * torch.eye(6)
    precision = torch.eye(3) + model.weight.T @ model.weight / 0.36
    mean = torch.linalg.solve(precision, model.weight.T @ x.T / 0.36).T
    exact = MultivariateNormal(torch.zeros(6).double(), covariance).log_prob(x)
    return model, x, exact, mean, precision


def log_weights_of(model, x, mean, std, eps):
    z = mean + std * eps
    decoder = Independent(Normal(z @ model.weight.T + model.bias, model.sigma), 1)
    return decoder.log_prob(x) + (Normal(0.0, 1.0).log_prob(z) - Normal(mean, std).log_prob(z)).sum(-1)


def test_bounds_rise_to_the_exact_likelihood():
    model, x, exact, mean, precision = linear_gaussian()
    std = precision.diagonal().rsqrt()
    table = log_weights_of(model, x, mean, std, normal(20_000, 60, 3, seed=6))
    bounds = {}
    for k in (1, 5, 50, 500):
        estimates = torch.stack([reference("iwae_bound")(part) for part in table.split(k)]).mean(1)
        bounds[k] = float(estimates.mean() - exact.mean())
    assert bounds[1] < bounds[5] - 0.05 < bounds[50] - 0.05 and bounds[50] < bounds[500] < 0.003
    assert bounds[500] > -0.06
    posterior = MultivariateNormal(mean, precision_matrix=precision)
    gap = kl_divergence(MultivariateNormal(mean, scale_tril=std.diag()), posterior).mean()
    error = 6 * float(table.mean(1).std()) / 20_000**0.5
    assert abs(bounds[1] + gap) < error
    assert reference("predict_more_samples") == "a"


def test_weights_of_the_exact_posterior_are_all_the_likelihood():
    model, _, _, _, _ = linear_gaussian()
    weight = torch.linalg.qr(normal(6, 2, seed=8))[0] * torch.tensor([2.0, 1.0])  # orthogonal: the posterior is diagonal
    model = LinearGaussian(weight, model.bias, 0.5)
    x = normal(4, 6, seed=9)
    scale = weight.square().sum(0) + 0.25
    table = log_weights_of(model, x, x @ weight / scale, 0.5 / scale.sqrt(), normal(7, 4, 2, seed=1))
    covariance = weight @ weight.T + 0.25 * torch.eye(6)
    exact = MultivariateNormal(torch.zeros(6).double(), covariance).log_prob(x)
    torch.testing.assert_close(table, exact.expand(7, 4))
    assert reference("predict_exact_posterior") == "c"


# --- binarize ---


def test_binarize_draws_each_pixel_with_its_probability():
    x = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    drawn = reference("binarize")(x.expand(4000, -1, -1, -1), torch.Generator().manual_seed(1)).flatten(1)
    assert set(drawn.unique().tolist()) == {0.0, 1.0} and drawn.dtype == torch.float32
    p = x.flatten()
    assert ((drawn.mean(0) - p).abs() <= 6.5 * (p * (1 - p) / 4000).sqrt() + 1e-6).all()
    standard = (drawn - p) / (p * (1 - p)).sqrt().clamp(min=1e-3)
    neighbours = (standard[:, 1:] * standard[:, :-1]).mean(0)  # independent: a correlation of 0
    assert neighbours.abs().max() < 7 / 4000**0.5 * 2


# --- the gradient of iwae_loss, and the doubly reparameterized one ---


def test_iwae_signal_falls_and_the_decoders_rises():
    model, x, _, mean, precision = linear_gaussian()
    std, ratio = precision.diagonal().rsqrt(), {}
    for k in (1, 64):
        place = (mean[:1] + 0.1).repeat(3000, 1).requires_grad_()
        bias = torch.full((3000, 6), 0.1, dtype=torch.float64).requires_grad_()
        z = place + std * normal(k, 3000, 3, seed=k)
        decoder = Independent(Normal(z @ model.weight.T + bias, model.sigma), 1)
        table = decoder.log_prob(x[0]) + (Normal(0.0, 1.0).log_prob(z) - Normal(place, std).log_prob(z)).sum(-1)
        found = torch.autograd.grad(reference("iwae_loss")(table) * 3000, (place, bias))
        ratio[k] = [float(g.mean(0).norm() / g.std(0).norm()) for g in found]
    assert ratio[64][0] < ratio[1][0] / 2 and ratio[64][1] > ratio[1][1]
    assert reference("predict_iwae_signal") == "c"


def gradients_of(loss, vae):
    parameters = [*vae.encoder.parameters(), *vae.decoder.parameters()]
    found = torch.autograd.grad(loss, parameters)
    return found[:2], found[2:]


def test_doubly_reparameterized_gradient_by_its_formula():
    """Encoder: w̃² times the slope of log w in z, by central differences of a sum written out, times dz/dφ; decoder: as iwae_loss."""
    vae, x, eps = a_vae(2, decoder=0.1), images(2), normal(4, 2, 2)
    encoder, decoder = gradients_of(reference("doubly_reparameterized_loss")(vae, x, eps), vae)
    table = reference("log_weights")(vae, x, eps)
    for found, expected in zip(decoder, gradients_of(reference("iwae_loss")(table), vae)[1], strict=True):
        torch.testing.assert_close(found, expected)
    weights = table.detach().exp() / table.detach().exp().sum(0) if table.max() > -700 else table.detach().softmax(0)
    mu, logvar = vae.encode(x)
    z = mu + (0.5 * logvar).exp() * eps

    def log_w(z, k, n):
        logits = vae.decode(z[None]).flatten()
        inside = (x[n].flatten() * logits).sum() - logits.exp().log1p().sum()
        return inside - 0.5 * z.square().sum() + 0.5 * ((z - mu[n]) / (0.5 * logvar[n]).exp()).square().sum()

    total = 0.0
    for k in range(4):
        for n in range(2):
            with torch.no_grad():
                steps = 1e-5 * torch.eye(2).double()
                slope = torch.stack([(log_w(z[k, n] + s, k, n) - log_w(z[k, n] - s, k, n)) / 2e-5 for s in steps])
            total = total - weights[k, n] ** 2 * (slope * z[k, n]).sum() / 2
    for found, expected in zip(encoder, torch.autograd.grad(total, list(vae.encoder.parameters())), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_doubly_reparameterized_gradient_is_unbiased_and_quieter():
    """The same mean as the gradient of iwae_loss, within six standard errors, and a smaller spread."""
    vae, x = a_vae(2), images(1)
    bias = vae.encoder[1].bias
    with torch.no_grad():  # a q near the posterior, as after training
        vae.encoder[1].weight.mul_(0.05)
        bias.copy_(normal(4, seed=7, std=0.1))
    found = {"plain": [], "doubly": []}
    for seed in range(1500):
        eps = normal(16, 1, 2, seed=seed)
        plain = reference("iwae_loss")(reference("log_weights")(vae, x, eps))
        found["plain"].append(torch.autograd.grad(plain, bias)[0])
        found["doubly"].append(torch.autograd.grad(reference("doubly_reparameterized_loss")(vae, x, eps), bias)[0])
    plain, doubly = (torch.stack(values) for values in found.values())
    error = ((plain.var(0) + doubly.var(0)) / 1500).sqrt()
    assert ((plain.mean(0) - doubly.mean(0)).abs() < 6 * error).all()
    assert doubly.std(0).norm() < plain.std(0).norm()


# --- annealed_importance_sampling ---


def run_annealing(model, x, steps, chains, seed, step_size=0.4):
    def log_likelihood(z):
        return Independent(Normal(z @ model.weight.T + model.bias, model.sigma), 1).log_prob(x)

    n, d = len(x), model.latent_dim
    uniforms = torch.rand(steps, chains, n, generator=torch.Generator().manual_seed(seed + 2), dtype=torch.float64)
    betas = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    start, noise = normal(chains, n, d, seed=seed), normal(steps, chains, n, d, seed=seed + 1)
    f = reference("annealed_importance_sampling")
    return f(log_likelihood, start, noise, uniforms, betas, step_size), log_likelihood(start)


def small_model():
    model = LinearGaussian(normal(3, 2, seed=1), torch.zeros(3).double(), 0.7)
    x = normal(3, 2, seed=2) @ model.weight.T + normal(3, 3, seed=3, std=0.7)
    covariance = model.weight @ model.weight.T + 0.49 * torch.eye(3)
    return model, x, MultivariateNormal(torch.zeros(3).double(), covariance).log_prob(x)


def test_annealing_in_one_step_is_the_naive_estimate():
    model, x, _ = small_model()
    found, naive = run_annealing(model, x, 1, 5, 0)
    torch.testing.assert_close(found, naive)


@pytest.mark.parametrize("steps", [3, 20])
def test_annealed_weights_are_unbiased(steps):
    model, x, exact = small_model()
    ratio = (run_annealing(model, x, steps, 20_000, 10)[0] - exact).exp()
    assert ((ratio.mean(0) - 1).abs() < 6 * ratio.std(0) / 20_000**0.5).all()


def test_more_steps_scatter_less():
    model, x, exact = small_model()
    spread = [float((run_annealing(model, x, steps, 500, 20)[0] - exact).std()) for steps in (1, 10, 100)]
    assert spread[0] > spread[1] > 1.5 * spread[2]


# --- the shipped model ---


@pytest.fixture(scope="module")
def bounds_of_versions():
    """IWAE-100 by formulas of its own, of 100 test images in three versions; and the log weights."""
    vae = load_pretrained("mlp_vae")
    found = {}
    for name in (False, "stochastic", "threshold"):
        x = load_mnist("test", name)[0][::100]
        mu, logvar = vae.encode(x)
        eps = torch.randn(100, 100, 50, generator=torch.Generator().manual_seed(0))
        z = mu + (0.5 * logvar).exp() * eps
        logits = vae.decode(z.flatten(0, 1)).view(100, 100, 784)
        inside = (logits * x.flatten(1)).sum(2) - torch.nn.functional.softplus(logits).sum(2)
        found[name] = inside + 0.5 * (eps.square() - z.square() + logvar).sum(2)
    return found


def test_the_shipped_model_is_small_and_reaches_the_elbo_that_its_docstring_states():
    assert (SHIPPED / "mlp_vae.safetensors").stat().st_size < 2_000_000
    stated = float(re.search(r"ELBO of (−[\d.]+)", MLPVAE.__doc__)[1].replace("−", "-"))
    x, _ = load_mnist("test", binarize="stochastic")
    assert evaluate_elbo(load_pretrained("mlp_vae"), x).elbo.mean().item() == pytest.approx(stated, abs=0.15)


def test_bounds_of_the_shipped_model_rise_and_few_samples_carry_the_weight(bounds_of_versions):
    table = bounds_of_versions["stochastic"]
    bounds = [torch.stack([part.logsumexp(0) - math.log(k) for part in table.split(k)]).mean() for k in (1, 5, 50, 100)]
    assert all(a < b for a, b in zip(bounds, bounds[1:], strict=False)) and bounds[-1] > bounds[0] + 2
    share = table.softmax(0)
    assert (1 / share.square().sum(0)).median() < 25 and reference("predict_checkpoint_ess") == "c"


def test_the_three_versions_are_in_the_order_of_the_text(bounds_of_versions):
    grey, drawn, thresholded = (float(table.logsumexp(0).mean()) for table in bounds_of_versions.values())
    assert grey < drawn < thresholded and thresholded - grey > 10
    assert reference("predict_three_numbers") == "c"


def test_training_the_shipped_model_is_deterministic():
    first, second = (train_mlp_vae(epochs=0.02, progress=False) for _ in range(2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
