"""Lesson 01, latent variables: what students get wrong, and other ways to be right."""

import math

import numpy as np
import torch
from torch.distributions import Independent, LowRankMultivariateNormal, MultivariateNormal, Normal

from . import Exercise, reference
from .recurring import averaged_over_rows, in_bits, sign_reversed, summed_over_rows, without_log

# --- ancestral_sample ---------------------------------------------------------------------------------------------------------

ancestral_sample = Exercise("ancestral_sample")
ancestral_sample.edits("""
sigma_squared: `model.sigma * noise` → `model.sigma**2 * noise`
    Your noise in x has standard deviation σ². The variance is σ²; multiply standard normal noise by its square root, σ.
square_root_of_sigma: `model.sigma * noise` → `model.sigma**0.5 * noise`
    You take the square root of sigma. `model.sigma` is the standard deviation already: multiply by it as it is.
noise_not_scaled: `model.sigma * noise` → `noise`
    The noise in x has standard deviation 1, as it comes from randn. Multiply it by sigma.
no_noise: ` + model.sigma * noise` → ``
    You return the decoder's mean Wz + b for x. The story goes on: x itself is drawn around that mean, with noise σ.
bias_forgotten: ` + model.bias` → ``
    b is missing: the images scatter around 0 instead of around b.
same_noise_for_all_pixels: `torch.randn(n, model.data_dim, generator=generator)` → `torch.randn(n, 1, generator=generator)`
    All pixels of an image get the same noise. Every one of the P visible numbers has noise of its own: draw (n, P).
same_noise_for_all_rows: `torch.randn(n, model.data_dim, generator=generator)` → `torch.randn(model.data_dim, generator=generator)`
    All draws get the same noise in x: you draw it once, with shape (P,), and it is broadcast. Draw (n, P).
weight_not_transposed: `model.weight.T` → `model.weight`
    W is (P, D), and the draws are the rows of z, (n, D): each of them meets Wᵀ, z @ model.weight.T.
bias_subtracted: `+ model.bias` → `- model.bias`
    You subtract b. The decoder's mean is W z + b.
one_noise_for_everything: `torch.randn(n, model.data_dim, generator=generator)` → `torch.randn(1, generator=generator)`
    All rows and pixels get the same noise: you draw one number, and it is broadcast. Draw (n, P).
noise_from_z: `torch.randn(n, model.data_dim, generator=generator)` → `z[:, :1]`
    You use z itself for the noise in x. The noise is drawn anew, independent of z: (n, P).
same_z_for_all_rows: `torch.randn(n, model.latent_dim, generator=generator)` → `torch.randn(model.latent_dim, generator=generator).expand(n, -1)`
    All rows have the same z. Each draw tells the story from its beginning, with a z of its own: draw (n, D).
uniform_z: `torch.randn(n, model.latent_dim, generator=generator)` → `torch.rand(n, model.latent_dim, generator=generator)`
    Your z is uniform on [0, 1]: torch.rand. The prior is N(0, I), which is torch.randn.
uniform_noise: `torch.randn(n, model.data_dim, generator=generator)` → `torch.rand(n, model.data_dim, generator=generator)`
    The noise in x is uniform: torch.rand. Gaussian noise is torch.randn, which also has mean 0.
generator_ignored: `return z,` → `z, noise = torch.randn(z.shape), torch.randn(noise.shape)\n    return z,`
    z doesn't come from `generator`, and perhaps the noise in x doesn't either: two generators with the same seed give
    different draws. Hand it to every call that draws.
generator_for_z_only: `torch.randn(n, model.data_dim, generator=generator)` → `torch.randn(n, model.data_dim)`
    z comes from `generator`, but the noise in x doesn't. Hand it to both calls.
noise_before_the_map: `z @ model.weight.T + model.bias + model.sigma * noise` → `(z + model.sigma * torch.randn(z.shape, generator=generator)) @ model.weight.T + model.bias`
    You add the noise to z, before W. It belongs to x, after the decoder: every visible number has noise of its own.
mean_scaled_as_well: `z @ model.weight.T + model.bias + model.sigma * noise` → `model.sigma * (z @ model.weight.T + model.bias + noise)`
    You multiply Wz + b by σ as well. Only the noise is scaled.
""")


@ancestral_sample.mistake("You return x alone. A draw from the joint density is a pair: return z and x, in this order.")
def only_x(model, n, generator=None):
    return reference("ancestral_sample")(model, n, generator)[1]


@ancestral_sample.mistake("The two are right, in the wrong order: first the hidden part, then the visible one: return z, x.")
def x_first(model, n, generator=None):
    return reference("ancestral_sample")(model, n, generator)[::-1]


@ancestral_sample.mistake(
    "Your x was not made from the z that you return. Draw z once, use it for x, and return that same z."
)
def another_z(model, n, generator=None):
    x = reference("ancestral_sample")(model, n, generator)[1]
    return torch.randn(n, model.latent_dim, generator=generator), x


@ancestral_sample.mistake(
    "The noise in x is z over again: both draws come from the same numbers (the same seed, or one tensor used twice). "
    "Let the generator run on between the two."
)
def noise_from_the_same_numbers(model, n, generator=None):
    noise = torch.randn(n, max(model.latent_dim, model.data_dim), generator=generator)
    z = noise[:, : model.latent_dim]
    return z, z @ model.weight.T + model.bias + model.sigma * noise[:, : model.data_dim]


@ancestral_sample.mistake(
    "You seed PyTorch's global state. Then every call returns the same, and everybody else's randomness is gone too. "
    "Draw without seeding; whoever wants the same numbers again hands you a generator."
)
def global_seed(model, n, generator=None):
    if generator is None:
        torch.manual_seed(0)
    return reference("ancestral_sample")(model, n, generator)


@ancestral_sample.mistake(
    "Without a generator you make one with a fixed seed, so that every call returns the same draws. None means PyTorch's global "
    "state: hand generator=None on to torch.randn."
)
def own_seed_without_generator(model, n, generator=None):
    return reference("ancestral_sample")(model, n, generator or torch.Generator().manual_seed(0))


@ancestral_sample.mistake(
    "You seed the generator that you were given, so that it starts again at each call. Use it as it comes: it has been seeded already."
)
def generator_seeded_again(model, n, generator=None):
    if generator is not None:
        generator.manual_seed(0)
    return reference("ancestral_sample")(model, n, generator)


@ancestral_sample.mistake(
    "The noise in x comes from a seed that you set, so it is the same in every call. Draw it as z is drawn, with the generator that you are given."
)
def noise_of_a_fixed_seed(model, n, generator=None):
    z = torch.randn(n, model.latent_dim, generator=generator)
    noise = torch.randn(n, model.data_dim, generator=torch.Generator().manual_seed(0))
    return z, z @ model.weight.T + model.bias + model.sigma * noise


@ancestral_sample.variant
def with_torch_normal(model, n, generator=None):
    z = torch.empty(n, model.latent_dim).normal_(generator=generator)
    mean = torch.nn.functional.linear(z, model.weight, model.bias)
    return z, torch.normal(mean, model.sigma, generator=generator)


@ancestral_sample.variant
def one_draw_cut_in_two(model, n, generator=None):
    noise = torch.randn(n, model.latent_dim + model.data_dim, generator=generator, dtype=torch.float64)
    z, eps = noise.split([model.latent_dim, model.data_dim], dim=1)
    return [z.float(), (torch.einsum("pd,nd->np", model.weight.double(), z) + model.bias + model.sigma * eps).float()]


@ancestral_sample.variant
def pixel_by_pixel(model, n, generator=None):
    columns = [torch.randn(n, generator=generator) for _ in range(model.latent_dim)]
    z, x = torch.stack(columns, dim=1), torch.empty(n, model.data_dim)
    for p in range(model.data_dim):
        x[:, p] = torch.mv(z, model.weight[p]) + model.bias[p] + torch.randn(n, generator=generator).mul(model.sigma)
    return z, x


@ancestral_sample.variant
def by_numpy_seeded_from_torch(model, n, generator=None):
    rng = np.random.default_rng(torch.randint(2**62, (1,), generator=generator).item())
    z, eps = rng.normal(size=(n, model.latent_dim)), rng.normal(size=(n, model.data_dim))
    x = z @ model.weight.numpy().T + model.bias.numpy() + model.sigma * eps
    return torch.from_numpy(z).float(), torch.from_numpy(x).float()


# --- log_marginal -------------------------------------------------------------------------------------------------------------

log_marginal = Exercise("log_marginal")
log_marginal.edits("""
sigma_not_squared: `model.sigma**2` → `model.sigma`
    Your covariance has σ on its diagonal where the variance σ² belongs.
noise_forgotten: `+ model.sigma**2 *` → `+ 1e-6 *`
    The noise is missing from your covariance: Σ = W Wᵀ + σ² I. Without it, Σ has rank D only, and there is no density.
identity_covariance: `model.weight @ model.weight.T + model.sigma**2` → `model.sigma**2`
    Your covariance is σ² I: that is p(x|z) at z = 0. What z does to x is missing: W Wᵀ.
sigma_of_all_entries: `torch.eye(model.data_dim)` → `torch.ones(model.data_dim, model.data_dim)`
    You add σ² to all entries of the covariance. The noise of different pixels is independent, so it belongs on the
    diagonal only: torch.eye.
bias_forgotten: `(x - model.bias)` → `x`
    The mean is missing: x is distributed around b. Use r = x − b.
half_on_the_squares_only: `-0.5 * (u.pow(2).sum(dim=0) + log_det + model.data_dim * math.log(2 * math.pi))` → `-0.5 * u.pow(2).sum(dim=0) - log_det - model.data_dim * math.log(2 * math.pi)`
    All three terms carry the ½: the normalising constant is a square root, of (2π)ᴾ·|Σ|.
log_det_of_the_factor: `log_det = 2 * factor` → `log_det = factor`
    You use log|L|. Since Σ = L Lᵀ, its determinant is that of L squared: log|Σ| = 2·log|L|.
half_forgotten: `-0.5 * (u` → `-(u`
    This is twice log p(x): the ½ in front is missing.
log_det_sign: `+ log_det` → `- log_det`
    The sign of log|Σ| is reversed: the wider the distribution, the lower its density.
log_det_forgotten: ` + log_det` → ``
    log|Σ| is missing. It does not depend on x, but it does on the model, and you want to compare models.
two_pi_forgotten: ` + model.data_dim * math.log(2 * math.pi)` → ``
    The constant P·log 2π is missing. Try P = 1, with W = 0 and σ = 1: at x = b, log p(x) is −½·log 2π.
two_pi_once: `model.data_dim * math.log` → `math.log`
    log 2π counts once for each of the P dimensions of x.
latent_dim_for_data_dim: `model.data_dim * math.log` → `model.latent_dim * math.log`
    The constant has log 2π once for each dimension of x: P times, not D times.
summed_over_images: `u.pow(2).sum(dim=0) +` → `u.pow(2).sum() +`
    You sum over the images too. Each row of x keeps its own number: the result is (N,).
summed_over_pixels_of_the_wrong_side: `u.pow(2).sum(dim=0) +` → `u.pow(2).sum(dim=1) +`
    u is (P, N): the images are its columns. Sum its squares over the pixels, dim 0.
squares_not_whitened: `torch.linalg.solve_triangular(factor, (x - model.bias).T, upper=False)` → `(x - model.bias).T`
    You take the squares of x − b itself. The exponent is rᵀ Σ⁻¹ r: solve L u = r first.
multiplied_by_the_factor: `torch.linalg.solve_triangular(factor, (x - model.bias).T, upper=False)` → `factor @ (x - model.bias).T`
    You multiply by L where you have to divide by it: u solves L u = r.
in_place: `(x - model.bias).T` → `x.sub_(model.bias).T`
    The numbers are right, but you subtract b from the caller's own x. Write x - model.bias, which makes a new tensor.
log_det_not_halved: `+ log_det` → `+ 2 * log_det`
    The ½ is missing on log|Σ|: the density has |Σ| under a square root.
squares_not_halved: `u.pow(2).sum(dim=0) +` → `2 * u.pow(2).sum(dim=0) +`
    The ½ is missing on the quadratic term: the exponent is −½ rᵀ Σ⁻¹ r.
two_pi_not_halved: `model.data_dim * math.log` → `2 * model.data_dim * math.log`
    The ½ is missing on P·log 2π: the density has (2π)ᴾ under a square root.
images_not_in_columns: `(x - model.bias).T, upper` → `(x - model.bias), upper`
    L u = r is solved for columns, and your images are rows: hand over (x − b).T, which is (P, N).
logarithm_of_the_whole_factor: `factor.diagonal().log().sum()` → `factor.log().sum()`
    You take the log of all of L, with the zeros above its diagonal. |L| is the product of the diagonal alone.
determinant_of_the_diagonal: `2 * factor.diagonal().log().sum()` → `covariance.diagonal().log().sum()`
    You take the logs of the diagonal of Σ. Only of a triangular matrix such as L is the determinant the product of the diagonal.
bias_added: `(x - model.bias)` → `(x + model.bias)`
    You add b to x. The distance from the mean is r = x − b.
identity_not_scaled: `model.sigma**2 * torch` → `torch`
    The identity has the noise's variance as its factor: Σ = W Wᵀ + σ² I. You add I itself.
residuals_not_squared: `u.pow(2).sum(dim=0)` → `u.sum(dim=0)`
    You sum u itself. The quadratic term is ‖u‖², the sum of its squares.
averaged_over_pixels: `u.pow(2).sum(dim=0)` → `u.pow(2).mean(dim=0)`
    You average the squares over the pixels. ‖u‖² is their sum.
root_of_the_squares: `u.pow(2).sum(dim=0)` → `u.norm(dim=0)`
    This is the length of u. The quadratic term is its square, ‖u‖².
logarithm_of_the_sum: `factor.diagonal().log().sum()` → `factor.diagonal().sum().log()`
    You take the log of the sum of the diagonal. It is the sum of the logs: the determinant is the product.
number_of_images: `model.data_dim * math.log` → `len(x) * math.log`
    You count log 2π once for each image. It is P times, once for each dimension of x.
covariance_as_precision: `covariance = model.weight @ model.weight.T + model.sigma**2 * torch.eye(model.data_dim)` → `covariance = torch.linalg.inv(model.weight @ model.weight.T + model.sigma**2 * torch.eye(model.data_dim))`
    You take Σ for its inverse, the precision matrix. W Wᵀ + σ² I is the covariance.
diagonal_of_the_factor_only: `upper=False` → `upper=True`
    Your u is r divided by the diagonal of L alone. L is lower triangular: solve_triangular wants upper=False.
factor_transposed: `solve_triangular(factor, (x - model.bias).T, upper=False)` → `solve_triangular(factor.T, (x - model.bias).T, upper=True)`
    You solve Lᵀ u = r. Since Σ = L Lᵀ, it is L u = r.
squares_of_the_solution: `torch.linalg.solve_triangular(factor, (x - model.bias).T, upper=False)` → `torch.linalg.solve(covariance, (x - model.bias).T)`
    You solve Σ u = r and square u, which divides by Σ twice. The exponent is rᵀ Σ⁻¹ r: multiply that u by r, or solve
    L u = r and square.
""")


@log_marginal.mistake(
    "You take the log of the determinant. With 200 pixels |Σ| is a product of 200 numbers and leaves the range of floats: "
    "it rounds to 0, or becomes ∞. Sum the logarithms of L's diagonal instead (or use torch.logdet, torch.slogdet)."
)
def logarithm_of_the_determinant(model, x):
    covariance = model.weight @ model.weight.T + model.sigma**2 * torch.eye(model.data_dim)
    r = x - model.bias
    squares = (r * torch.linalg.solve(covariance, r.T).T).sum(1)
    return -0.5 * (squares + torch.linalg.det(covariance).log() + model.data_dim * math.log(2 * math.pi))


@log_marginal.mistake(
    "You compute the density and take its log. Far from the mean, and with many pixels, the density rounds to 0 or overflows. "
    "Stay with logarithms all the way."
)
def logarithm_of_the_density(model, x):
    return reference("log_marginal")(model, x).exp().log()


log_marginal.recurring(without_log)
log_marginal.recurring(sign_reversed, hint="The sign is reversed: this is −log p(x), the negative log-likelihood.")
log_marginal.recurring(averaged_over_rows, hint="You also average over the images. Each image keeps its own log p(x): (N,).")
log_marginal.recurring(in_bits)


@log_marginal.mistake(
    "You divide by the number of pixels. log p(x) is that of the whole image: a sum over its pixels, never their mean."
)
def per_pixel(model, x):
    return reference("log_marginal")(model, x) / model.data_dim


@log_marginal.mistake(
    "You treat the pixels as independent: only the diagonal of Σ is used. They share z, which is what W Wᵀ off the diagonal says."
)
def independent_pixels(model, x):
    std = (model.weight.pow(2).sum(1) + model.sigma**2).sqrt()
    return Normal(model.bias, std).log_prob(x).sum(1)


@log_marginal.mistake(
    "Your covariance is made of Wᵀ W, which is (D, D). The covariance of x is (P, P): W Wᵀ, in this order."
)
def weight_transposed(model, x):
    covariance = model.weight.T @ model.weight + model.sigma**2 * torch.eye(model.latent_dim)
    return MultivariateNormal(model.bias, covariance).log_prob(x)


log_marginal.recurring(summed_over_rows)


@log_marginal.mistake("You hand Σ over as `scale_tril`, which is its Cholesky factor. Hand it over as `covariance_matrix`.")
def covariance_as_scale(model, x):
    covariance = model.weight @ model.weight.T + model.sigma**2 * torch.eye(model.data_dim)
    return MultivariateNormal(model.bias, scale_tril=covariance.tril()).log_prob(x)


@log_marginal.mistake("You hand Σ over as `scale_tril`, which is its Cholesky factor. Hand it over as `covariance_matrix`.")
def whole_covariance_as_scale(model, x):
    covariance = model.weight @ model.weight.T + model.sigma**2 * torch.eye(model.data_dim)
    return MultivariateNormal(model.bias, scale_tril=covariance).log_prob(x)


@log_marginal.mistake(
    "r Σ⁻¹ rᵀ is (N, N): each image meets every other one, and you sum over them. Each meets itself alone: (r @ inverse * r).sum(1)."
)
def images_met_each_other(model, x):
    covariance, r = model.weight @ model.weight.T + model.sigma**2 * torch.eye(model.data_dim), x - model.bias
    squares = (r @ torch.linalg.inv(covariance) @ r.T).sum(1)
    return -0.5 * (squares + torch.logdet(covariance) + model.data_dim * math.log(2 * math.pi))


@log_marginal.variant
def by_multivariate_normal(model, x):
    covariance = model.weight @ model.weight.T + model.sigma**2 * torch.eye(model.data_dim)
    return MultivariateNormal(model.bias, covariance).log_prob(x)


@log_marginal.variant
def by_low_rank_distribution(model, x):
    noise = torch.full_like(model.bias, model.sigma**2)
    return LowRankMultivariateNormal(model.bias, model.weight, noise).log_prob(x)


@log_marginal.variant
def by_woodbury(model, x):
    w, b, variance = model.weight, model.bias, model.sigma**2
    m = w.T @ w + variance * torch.eye(w.shape[1])
    r = x - b
    projected = r @ w
    squares = (r.square().sum(1) - (projected * torch.linalg.solve(m, projected.T).T).sum(1)) / variance
    log_det = torch.logdet(m) + (len(b) - w.shape[1]) * math.log(variance)
    return -(squares + log_det + len(b) * math.log(2 * math.pi)) / 2


@log_marginal.variant
def by_inverse_and_slogdet_in_numpy(model, x):
    w, r = model.weight.double().numpy(), (x - model.bias).double().numpy()
    covariance = w @ w.T + model.sigma**2 * np.eye(len(w))
    squares = np.einsum("np,pq,nq->n", r, np.linalg.inv(covariance), r)
    log_density = -0.5 * (squares + np.linalg.slogdet(covariance)[1] + len(w) * np.log(2 * np.pi))
    return torch.from_numpy(log_density)


@log_marginal.variant
def by_eigenvalues_image_by_image(model, x):
    covariance = model.weight @ model.weight.T
    covariance.diagonal().add_(model.sigma**2)
    values, vectors = torch.linalg.eigh(covariance.double())
    stds = values.sqrt()
    return torch.stack([Normal(0.0, stds).log_prob(vectors.T @ (row - model.bias).double()).sum() for row in x])


# --- log_mean_exp -------------------------------------------------------------------------------------------------------------

log_mean_exp = Exercise("log_mean_exp")
log_mean_exp.edits("""
not_shifted_back: ` + largest.squeeze(dim)` → ``
    You subtract the largest value and never add it back. It was pulled out of the sum as a factor: outside the log it is
    a summand.
sum_instead_of_mean: `.mean(dim=dim)` → `.sum(dim=dim)`
    This is log-sum-exp. The mean is the sum divided by K: log K less.
nan_where_all_are_infinite: `largest = largest.where(largest.isfinite(), 0.0)` → `pass`
    Where all values are −∞ you compute −∞ − (−∞), which is NaN. The average there is 0, and its log −∞: replace an
    infinite maximum by 0 before you subtract it.
dimension_kept: `+ largest.squeeze(dim)` → `+ largest`
    Your maximum still has the kept dimension (keepdim) when you add it back, and the shapes broadcast. Squeeze that
    dimension out first.
largest_squeezed: `largest.squeeze(dim)` → `largest.squeeze()`
    `squeeze()` without an argument takes away every dimension of 1, also one that should stay: `squeeze(dim)`.
log_forgotten: `.mean(dim=dim).log()` → `.mean(dim=dim)`
    You add the largest value to the mean itself. Its logarithm is missing: .log() before you add.
shifted_back_inside: `(log_values - largest).exp().mean(dim=dim).log() + largest.squeeze(dim)` → `((log_values - largest).exp().mean(dim=dim) + largest.squeeze(dim)).log()`
    You add the largest value back before you take the logarithm. It was taken out of logs: it comes back after the log.
shifted_twice: ` + largest.squeeze(dim)` → ` - largest.squeeze(dim)`
    You subtract the largest value a second time. After the log it is added back.
the_largest_alone: `(log_values - largest).exp().mean(dim=dim).log() + largest.squeeze(dim)` → `log_values.amax(dim=dim)`
    This is the largest value. All of them count: the log of the mean of their exponentials.
""")


@log_mean_exp.mistake(
    "You exponentiate the values as they are. e¹⁰⁰⁰ is ∞ and e⁻¹⁰⁰⁰ is 0 in floats: subtract the largest value first, "
    "and add it back after the log."
)
def exp_mean_log(log_values, dim=0):
    return log_values.exp().mean(dim).log()


@log_mean_exp.mistake(
    "This is the mean of the values: the mean of logs. Asked for is the log of the mean: exponentiate, average, and then take the log."
)
def mean_of_logs(log_values, dim=0):
    return log_values.mean(dim)


@log_mean_exp.mistake(
    "You add log K instead of subtracting it. Dividing by K inside the logarithm is subtracting log K outside."
)
def log_k_added(log_values, dim=0):
    return torch.logsumexp(log_values, dim) + math.log(log_values.shape[dim])


@log_mean_exp.mistake("You divide log-sum-exp by K. The division belongs inside the logarithm; outside it is − log K.")
def divided_outside(log_values, dim=0):
    return torch.logsumexp(log_values, dim) / log_values.shape[dim]


@log_mean_exp.mistake(
    "You subtract the log of the number of all values. K counts only those along `dim`: log_values.shape[dim]."
)
def all_values_counted(log_values, dim=0):
    return torch.logsumexp(log_values, dim) - math.log(log_values.numel())


@log_mean_exp.mistake(
    "K is not always the length of the first dimension: you average over `dim`, so K is log_values.shape[dim]."
)
def first_dimension_counted(log_values, dim=0):
    return torch.logsumexp(log_values, dim) - math.log(len(log_values))


@log_mean_exp.mistake("You always average over dim 0. The argument `dim` says over which dimension.")
def dim_ignored(log_values, dim=0):
    return torch.logsumexp(log_values, 0) - math.log(len(log_values))


@log_mean_exp.mistake(
    "You subtract one maximum, that of the whole tensor. Then a slice near −1000 beside one near +1000 rounds to 0. "
    "Each slice needs its own maximum: amax(dim=dim, keepdim=True)."
)
def one_maximum_for_all(log_values, dim=0):
    largest = log_values.max()
    return (log_values - largest).exp().mean(dim).log() + largest


@log_mean_exp.mistake(
    "The averaged dimension is still there, with length 1. The result has the shape without it: no keepdim at the end."
)
def dimension_left(log_values, dim=0):
    return torch.logsumexp(log_values, dim, keepdim=True) - math.log(log_values.shape[dim])


@log_mean_exp.mistake(
    "You leave the −∞ entries out of K. They are values of 0: they add nothing to the sum, but they count in the mean."
)
def zeros_not_counted(log_values, dim=0):
    counted = log_values.isfinite().sum(dim)
    return torch.where(counted > 0, torch.logsumexp(log_values, dim) - counted.clamp(min=1).log(), -math.inf)


@log_mean_exp.mistake(
    "Where all values are −∞ you return a finite number. The mean of zeros is 0, and its logarithm −∞: that is the honest answer."
)
def infinity_replaced(log_values, dim=0):
    values = log_values.clamp(min=-1e4)
    return torch.logsumexp(values, dim) - math.log(values.shape[dim])


@log_mean_exp.mistake(
    "The numbers are right, but you subtract the maximum from the caller's own tensor (-=, sub_). Make a new one."
)
def values_overwritten(log_values, dim=0):
    largest = log_values.amax(dim, keepdim=True)
    largest = largest.where(largest.isfinite(), 0.0)
    log_values -= largest
    return log_values.exp().mean(dim).log() + largest.squeeze(dim)


@log_mean_exp.mistake(
    "You add a small constant inside the logarithm. Where the mean is 0, the answer is −∞; a constant hides that."
)
def constant_in_the_logarithm(log_values, dim=0):
    largest = log_values.amax(dim, keepdim=True)
    largest = largest.where(largest.isfinite(), 0.0)
    return ((log_values - largest).exp().mean(dim) + 1e-10).log() + largest.squeeze(dim)


@log_mean_exp.mistake(
    "`squeeze()` without an argument takes away every dimension of 1, also one that should stay: `squeeze(dim)`."
)
def all_ones_squeezed(log_values, dim=0):
    largest = log_values.amax(dim, keepdim=True)
    largest = largest.where(largest.isfinite(), 0.0)
    return ((log_values - largest).exp().mean(dim, keepdim=True).log() + largest).squeeze()


@log_mean_exp.mistake(
    "You clamp the values before you exponentiate. Then those beyond the clamp are no longer what they were: subtract the largest instead."
)
def values_clamped(log_values, dim=0):
    return log_values.clamp(-80, 80).exp().mean(dim).log()


@log_mean_exp.mistake(
    "You subtract the mean of the values. Where they lie far apart, the largest still overflows: subtract the largest."
)
def mean_subtracted(log_values, dim=0):
    middle = log_values.mean(dim=dim, keepdim=True)
    middle = middle.where(middle.isfinite(), 0.0)
    return (log_values - middle).exp().mean(dim=dim).log() + middle.squeeze(dim)


@log_mean_exp.mistake("You count along another dimension than `dim`. K is log_values.shape[dim].")
def neighbour_counted(log_values, dim=0):
    return torch.logsumexp(log_values, dim) - math.log(log_values.shape[dim - 1])


@log_mean_exp.mistake("You subtract log₂ K. All logarithms are natural ones here, as exp has base e.")
def log_2_of_k(log_values, dim=0):
    return torch.logsumexp(log_values, dim) - math.log2(log_values.shape[dim])


@log_mean_exp.mistake("You return −∞ wherever one of the values is −∞. It adds 0 to the mean, and the others still count.")
def infinite_where_any_is(log_values, dim=0):
    return reference("log_mean_exp")(log_values, dim).where(log_values.isfinite().all(dim), -math.inf)


@log_mean_exp.mistake("You put 0 in the place of −∞. These are logs: −∞ stands for 0, and 0 for 1.")
def infinity_taken_for_zero(log_values, dim=0):
    return reference("log_mean_exp")(log_values.where(log_values.isfinite(), 0.0), dim)


@log_mean_exp.mistake(
    "Your maximum has lost the dimension `dim`, so it meets the wrong values: amax(dim=dim, keepdim=True), and squeeze(dim) at the end."
)
def maximum_without_keepdim(log_values, dim=0):
    largest = log_values.amax(dim)
    largest = largest.where(largest.isfinite(), 0.0)
    return (log_values - largest).exp().mean(dim).log() + largest


@log_mean_exp.mistake(
    "You subtract the smallest value. The largest then still overflows where they lie far apart: subtract the largest."
)
def smallest_subtracted(log_values, dim=0):
    smallest = log_values.amin(dim=dim, keepdim=True)
    smallest = smallest.where(smallest.isfinite(), 0.0)
    return (log_values - smallest).exp().mean(dim=dim).log() + smallest.squeeze(dim)


@log_mean_exp.mistake(
    "Where all values are −∞ you return 0, or something as finite. The average is 0 there, and its log is −∞."
)
def zero_where_all_are_infinite(log_values, dim=0):
    result = reference("log_mean_exp")(log_values, dim)
    return result.where(result.isfinite(), 0.0)


@log_mean_exp.mistake("You average log_softmax. Asked for is the log of the mean of the exponentials.")
def mean_of_log_softmax(log_values, dim=0):
    return log_values.log_softmax(dim).mean(dim)


@log_mean_exp.mistake("For a negative `dim` you count along dim 0. log_values.shape[dim] takes a negative `dim` as well.")
def negative_dimensions_miscounted(log_values, dim=0):
    return torch.logsumexp(log_values, dim) - math.log(log_values.shape[max(dim, 0)])


@log_mean_exp.variant
def by_logsumexp(log_values, dim=0):
    return log_values.logsumexp(dim) - math.log(log_values.size(dim))


@log_mean_exp.variant
def by_logaddexp_one_by_one(log_values, dim=0):
    slices = log_values.unbind(dim)
    total = slices[0]
    for values in slices[1:]:
        total = torch.logaddexp(total, values)
    return total - torch.tensor(float(len(slices))).log()


@log_mean_exp.variant
def by_numpy(log_values, dim=0):
    return torch.as_tensor(np.logaddexp.reduce(log_values.numpy(), axis=dim) - np.log(log_values.shape[dim]))


@log_mean_exp.variant
def with_log_inside(log_values, dim=0):
    shifted = log_values.double().movedim(dim, -1)
    largest = shifted.max(-1).values.clamp(min=-1e300)
    return largest + ((shifted - largest[..., None]).exp().sum(-1) / shifted.shape[-1]).log()


# --- log_marginal_naive -------------------------------------------------------------------------------------------------------

log_marginal_naive = Exercise("log_marginal_naive")


def _log_likelihood(model, x, z):
    """(K, N): log p(x|z) of every sample and image; z (K, D) or (K, N, D)."""
    z = z if z.ndim == 3 else z[:, None]
    return Normal(z @ model.weight.T + model.bias, model.sigma).log_prob(x).sum(-1)


def _log_mean(log_values):
    return torch.logsumexp(log_values, 0) - math.log(len(log_values))


log_marginal_naive.edits("""
bias_forgotten: ` + model.bias` → ``
    The decoder's mean is W z + b; b is missing.
divided_by_variance_twice: `/ model.sigma).pow(2)` → `/ model.sigma**2).pow(2)`
    You divide x − mean by σ² and square it after that. The exponent is (x − mean)²/σ².
not_divided_by_sigma: `((x - mean[:, None]) / model.sigma)` → `(x - mean[:, None])`
    The squares are not divided by σ². Only for σ = 1 does that not matter.
half_forgotten: `-0.5 * squares` → `-squares`
    The ½ in front of the squares is missing.
constant_forgotten: ` - constant` → ``
    The normalising constant is missing. It depends on σ and P, and p(x|z) is no density without it.
sigma_of_the_constant_forgotten: `math.log(model.sigma) + ` → ``
    log σ is missing from the normalising constant. 2π is not all: the density of N(m, σ²) is divided by σ√(2π).
two_pi_forgotten: ` + 0.5 * math.log(2 * math.pi)` → ``
    The 2π is missing from the normalising constant: ½·log 2π for each of the P pixels.
constant_once: `model.data_dim * (` → `(`
    The normalising constant counts once for each of the P pixels; you have it once for the whole image.
two_log_sigma: `math.log(model.sigma) +` → `2 * math.log(model.sigma) +`
    The constant has log σ, that is ½·log σ². You have twice that.
weight_not_transposed: `model.weight.T` → `model.weight`
    W is (P, D), and the samples are the rows of z, (K, D): each of them meets Wᵀ, z @ model.weight.T.
sigma_not_squared_in_the_constant: `math.log(model.sigma) +` → `0.5 * math.log(model.sigma) +`
    You have ½·log σ in the constant. It is ½·log σ², that is log σ, for each pixel.
constant_added: ` - constant` → ` + constant`
    You add the normalising constant. The density is divided by it, so that its log is subtracted.
latent_dim_for_data_dim: `model.data_dim * (` → `model.latent_dim * (`
    You count the constant D times. It counts once for each of the P pixels.
constant_not_halved: `- constant` → `- 2 * constant`
    Your normalising constant is twice the right one: for each pixel it is ½·log(2πσ²), a square root.
samples_paired_by_hand: `mean[:, None]` → `mean`
    You pair the samples with the images, one by one. Every sample meets every image: mean[:, None] against x makes a table (K, N, P).
mean_over_pixels: `.sum(dim=2)` → `.mean(dim=2)`
    You average the squares over the pixels. The log density of independent pixels is the sum of theirs.
""")


@log_marginal_naive.mistake(
    "This is the mean of log p(x|z), and the log of a mean was asked for. The two differ, and this one is much lower: "
    "most samples of the prior don't fit x at all."
)
def mean_of_logs_naive(model, x, z):
    return _log_likelihood(model, x, z).mean(0)


@log_marginal_naive.mistake("You add up the K samples. p̂ is their mean: subtract log K.")
def sum_over_samples(model, x, z):
    return _log_likelihood(model, x, z).logsumexp(0)


@log_marginal_naive.mistake(
    "You exponentiate log p(x|z) as it stands. With 300 pixels that is 0 or ∞ in floats: use your log_mean_exp."
)
def naive_by_exp(model, x, z):
    return _log_likelihood(model, x, z).exp().mean(0).log()


@log_marginal_naive.mistake(
    "You multiply by p(z) as well. The prior is in the average already, since z was drawn from it: average p(x|z) alone."
)
def prior_counted_twice(model, x, z):
    return _log_mean(_log_likelihood(model, x, z) + Normal(0.0, 1.0).log_prob(z).sum(1)[:, None])


@log_marginal_naive.mistake(
    "You average over the images and keep the samples. The table of log p(x|z) is (K, N): average over dim 0."
)
def averaged_over_images(model, x, z):
    return _log_mean(_log_likelihood(model, x, z).T)


@log_marginal_naive.mistake("You average over samples and images. Each image keeps its own estimate: (N,).")
def averaged_over_everything(model, x, z):
    return _log_mean(_log_likelihood(model, x, z).flatten())


@log_marginal_naive.mistake("This is the table (K, N) of log p(x|z). Average over the K samples, dim 0, with log_mean_exp.")
def table(model, x, z):
    return _log_likelihood(model, x, z)


@log_marginal_naive.mistake(
    "You average the densities pixel by pixel, and multiply the averages. All pixels of an image share one z: "
    "add the pixels' logs for each sample first, average over samples after that."
)
def averaged_per_pixel(model, x, z):
    return _log_mean(Normal((z @ model.weight.T + model.bias)[:, None], model.sigma).log_prob(x)).sum(-1)


@log_marginal_naive.mistake(
    "You average z, or the decoder's means, and take one density. Average the densities: p(x|z) is not linear in z."
)
def density_of_the_mean(model, x, z):
    return _log_likelihood(model, x, z.mean(0, keepdim=True))[0]


@log_marginal_naive.mistake(
    "You pair the samples with the images, one by one. Every sample meets every image: mean[:, None] against x makes a table (K, N, P)."
)
def samples_paired(model, x, z):
    return _log_mean(Normal(z @ model.weight.T + model.bias, model.sigma).log_prob(x).sum(-1))


@log_marginal_naive.mistake(
    "You give each image one sample of its own (zip). Every image is estimated with all K samples: average over them."
)
def one_sample_each(model, x, z):
    pairs = zip(x, z)  # noqa: B905  as a student writes it: it stops at the shorter one
    return torch.stack([Normal(model.weight @ b + model.bias, model.sigma).log_prob(a).sum() for a, b in pairs])


@log_marginal_naive.mistake("The sum over the pixels is missing: log p(x|z) is one number for the whole image.")
def not_summed_over_pixels(model, x, z):
    return _log_mean(Normal((z @ model.weight.T + model.bias)[:, None], model.sigma).log_prob(x))


@log_marginal_naive.mistake("You sum over the images, dim 1 of (K, N, P). The pixels are the last dimension.")
def summed_over_images(model, x, z):
    return _log_mean(Normal((z @ model.weight.T + model.bias)[:, None], model.sigma).log_prob(x).sum(1))


@log_marginal_naive.mistake(
    "You weight log p(x|z) with the shares of the p(x|z): that estimates the posterior's average of log p(x|z). "
    "Asked for is the logarithm of the plain mean."
)
def weighted_logs(model, x, z):
    log_likelihood = _log_likelihood(model, x, z)
    return (log_likelihood.softmax(0) * log_likelihood).sum(0)


@log_marginal_naive.mistake(
    "You add noise to the decoder's mean before you take the density. The noise is in the density already: its mean is W z + b."
)
def noise_in_the_mean(model, x, z):
    mean = z @ model.weight.T + model.bias
    mean = mean + model.sigma * torch.randn_like(mean)
    return _log_mean(Normal(mean[:, None], model.sigma).log_prob(x).sum(-1))


@log_marginal_naive.mistake(
    "You multiply by σ² where you have to divide: `a / 2 * b` is `(a / 2) * b`. Write a / (2 * sigma**2)."
)
def multiplied_by_the_variance(model, x, z):
    squares = (x - (z @ model.weight.T + model.bias)[:, None]).pow(2).sum(-1)
    return _log_mean(-squares / 2 * model.sigma**2 - 0.5 * x.shape[1] * math.log(2 * math.pi * model.sigma**2))


@log_marginal_naive.mistake("You use the first sample only. Average over all K of them.")
def first_sample(model, x, z):
    return _log_likelihood(model, x, z[:1])[0]


@log_marginal_naive.mistake(
    "You take the best sample for the average. The others count as well, as small as they are, and so does K."
)
def best_sample(model, x, z):
    return _log_likelihood(model, x, z).amax(0)


@log_marginal_naive.mistake(
    "You divide by the number of images. The mean is over the K samples: K is len(z), and not len(x)."
)
def divided_by_n(model, x, z):
    return _log_likelihood(model, x, z).logsumexp(0) - math.log(len(x))


@log_marginal_naive.mistake(
    "You draw samples of your own. Use the z that is given: only then can two estimates be compared."
)
def own_samples(model, x, z):
    return _log_mean(_log_likelihood(model, x, torch.randn_like(z)))


@log_marginal_naive.mistake("You hand σ² to Normal. It wants the standard deviation, which model.sigma is already.")
def variance_to_normal(model, x, z):
    return _log_mean(Normal((z @ model.weight.T + model.bias)[:, None], model.sigma**2).log_prob(x).sum(-1))


log_marginal_naive.recurring(in_bits)
log_marginal_naive.recurring(sign_reversed, hint="The sign is reversed: this is −log p̂.")
log_marginal_naive.recurring(without_log)


@log_marginal_naive.mistake(
    "This is the exact log p(x), from `log_marginal`. Asked for is the estimate from the samples z, however bad it may be."
)
def exact_answer(model, x, z):
    return reference("log_marginal")(model, x)


@log_marginal_naive.mistake("The numbers are right, but you change the caller's x in place. Make a new tensor.")
def x_overwritten(model, x, z):
    result = reference("log_marginal_naive")(model, x, z)
    x -= model.bias
    return result


@log_marginal_naive.mistake("You average log p(x|z) over the pixels. The pixels are independent given z: their logs add up.")
def averaged_over_the_pixels(model, x, z):
    return _log_mean(_log_likelihood(model, x, z) / model.data_dim)


@log_marginal_naive.mistake("This is the largest p(x|z) divided by K. All samples count: take the mean, with log_mean_exp.")
def best_sample_divided(model, x, z):
    return _log_likelihood(model, x, z).amax(0) - math.log(len(z))


@log_marginal_naive.variant
def by_distributions(model, x, z):
    means = torch.einsum("kd,pd->kp", z, model.weight) + model.bias
    return _log_mean(Independent(Normal(means[:, None], model.sigma), 1).log_prob(x))


@log_marginal_naive.variant
def by_loops(model, x, z):
    result = torch.zeros(len(x), dtype=torch.float64)
    for n, row in enumerate(x):
        terms = torch.zeros(len(z), dtype=torch.float64)
        for k, sample in enumerate(z):
            terms[k] = Normal(model.weight @ sample + model.bias, model.sigma).log_prob(row).double().sum()
        result[n] = torch.logsumexp(terms, 0) - math.log(len(z))
    return result


@log_marginal_naive.variant
def by_expanded_squares(model, x, z):
    r, centre = (x - model.bias).double(), (z @ model.weight.T).double()
    squares = r.square().sum(1) - 2 * centre @ r.T + centre.square().sum(1, keepdim=True)
    log_values = -squares / (2 * model.sigma**2) - 0.5 * x.shape[1] * math.log(2 * math.pi * model.sigma**2)
    return torch.logsumexp(log_values - math.log(len(z)), dim=0)


@log_marginal_naive.variant
def by_numpy_with_images_first(model, x, z):
    means = z.numpy() @ model.weight.numpy().T + model.bias.numpy()
    residual = (x.numpy()[:, None] - means[None]) / model.sigma  # (N, K, P)
    log_values = -0.5 * (residual**2 + np.log(2 * np.pi * model.sigma**2)).sum(-1)
    largest = log_values.max(1)
    return torch.from_numpy(largest + np.log(np.exp(log_values - largest[:, None]).mean(1)))


# --- log_marginal_importance --------------------------------------------------------------------------------------------------

log_marginal_importance = Exercise("log_marginal_importance")
log_marginal_importance.edits("""
q_forgotten: ` - log_q` → ``
    You don't divide by q(z). The weight is p(x|z)·p(z)/q(z): what q draws too often must count less.
q_multiplied: `- log_q` → `+ log_q`
    The sign of log q is reversed: the weight is divided by q(z).
prior_forgotten: ` + log_prior` → ``
    p(z) is missing. In the naive estimate it was in the samples; now that z comes from q, it must stand in the weight.
prior_divided: `+ log_prior` → `- log_prior`
    The sign of log p(z) is reversed: the weight is p(x|z)·p(z)/q(z).
likelihood_forgotten: `log_likelihood + log_prior` → `log_prior`
    p(x|z) is missing from your weight: it is p(x|z)·p(z)/q(z).
bias_forgotten: ` + model.bias` → ``
    The decoder's mean is W z + b; b is missing.
prior_averaged_over_d: `Normal(0.0, 1.0).log_prob(z).sum(dim=2)` → `Normal(0.0, 1.0).log_prob(z).mean(dim=2)`
    You average log p(z) over the dimensions. Independent dimensions add up: sum over D.
q_averaged_over_d: `Normal(q_mean, q_std).log_prob(z).sum(dim=2)` → `Normal(q_mean, q_std).log_prob(z).mean(dim=2)`
    You average log q(z) over the dimensions. Independent dimensions add up: sum over D.
likelihood_averaged_over_p: `.log_prob(x).sum(dim=2)` → `.log_prob(x).mean(dim=2)`
    You average log p(x|z) over the pixels. Independent pixels add up: sum over P.
variance_to_normal: `model.weight.T + model.bias, model.sigma)` → `model.weight.T + model.bias, model.sigma**2)`
    You hand σ² to Normal for p(x|z). It wants the standard deviation, which model.sigma is already.
prior_at_the_noise: `Normal(0.0, 1.0).log_prob(z)` → `Normal(0.0, 1.0).log_prob(eps)`
    You evaluate the prior at eps. p(z) is the density of the sample itself: z = q_mean + q_std·eps.
q_at_the_noise: `Normal(q_mean, q_std).log_prob(z)` → `Normal(q_mean, q_std).log_prob(eps)`
    You evaluate q at eps. Both densities, and the likelihood, are taken at the same place, the sample z.
mean_forgotten: `q_mean + q_std * eps` → `q_std * eps`
    Your samples lie around 0. They come from q: z = q_mean + q_std·eps.
weight_not_transposed: `model.weight.T` → `model.weight`
    W is (P, D), and the last dimension of z is D: each sample meets Wᵀ, z @ model.weight.T.
half_log_std: `Normal(q_mean, q_std).log_prob(z).sum(dim=2)` → `(Normal(q_mean, q_std).log_prob(z) + 0.5 * q_std.log()).sum(dim=2)`
    You subtract ½·log q_std in log q. The ½ belongs to log σ²; q_std is σ itself, so log q_std stands alone.
""")


def _log_weights(model, x, q_mean, q_std, eps, z=None):
    z = q_mean + q_std * eps if z is None else z
    log_prior, log_q = Normal(0.0, 1.0).log_prob(z).sum(2), Normal(q_mean, q_std).log_prob(z).sum(2)
    return _log_likelihood(model, x, z) + log_prior - log_q


@log_marginal_importance.mistake(
    "This is the mean of log w; asked for is the log of the mean of w. What you have is a lower bound on average, "
    "and a famous one: the ELBO, lesson 02. Here, use log_mean_exp."
)
def mean_of_log_weights(model, x, q_mean, q_std, eps):
    return _log_weights(model, x, q_mean, q_std, eps).mean(0)


@log_marginal_importance.mistake("You add up the K weights. The estimate is their mean: subtract log K.")
def sum_of_weights(model, x, q_mean, q_std, eps):
    return _log_weights(model, x, q_mean, q_std, eps).logsumexp(0)


@log_marginal_importance.mistake(
    "You exponentiate log w as it stands. With 300 pixels that is 0 or ∞ in floats: use your log_mean_exp."
)
def weights_by_exp(model, x, q_mean, q_std, eps):
    return _log_weights(model, x, q_mean, q_std, eps).exp().mean(0).log()


@log_marginal_importance.mistake(
    "You take the log density of eps for that of z. By stretching the noise by q_std you thin it out: "
    "log q(z) = log N(eps; 0, 1) − log q_std, in each dimension."
)
def density_of_the_noise(model, x, q_mean, q_std, eps):
    z = q_mean + q_std * eps
    return _log_mean(
        _log_likelihood(model, x, z) + Normal(0.0, 1.0).log_prob(z).sum(2) - Normal(0.0, 1.0).log_prob(eps).sum(2)
    )


@log_marginal_importance.mistake(
    "log q_std has the wrong sign in your log q. A narrow q has a high density: log q(z) = −½·eps² − log q_std − ½·log 2π."
)
def log_std_added(model, x, q_mean, q_std, eps):
    return _log_mean(_log_weights(model, x, q_mean, q_std, eps) - 2 * q_std.log().sum(1))


@log_marginal_importance.mistake(
    "You drop the −½·log 2π of log q, and keep that of log p(z). Both have it: keep both, or drop both."
)
def two_pi_of_q_forgotten(model, x, q_mean, q_std, eps):
    return _log_mean(_log_weights(model, x, q_mean, q_std, eps)) - 0.5 * eps.shape[2] * math.log(2 * math.pi)


@log_marginal_importance.mistake(
    "You drop the −½·log 2π of log p(z), and keep that of log q. Both have it: keep both, or drop both."
)
def two_pi_of_the_prior_forgotten(model, x, q_mean, q_std, eps):
    return _log_mean(_log_weights(model, x, q_mean, q_std, eps)) + 0.5 * eps.shape[2] * math.log(2 * math.pi)


@log_marginal_importance.mistake(
    "You use q_std as a variance: your samples are q_mean + √q_std·eps. It is a standard deviation: multiply by it as it is."
)
def std_taken_for_variance(model, x, q_mean, q_std, eps):
    return _log_mean(_log_weights(model, x, q_mean, q_std.sqrt(), eps))


@log_marginal_importance.mistake(
    "You square q_std before you use it, as if a variance were wanted. z = q_mean + q_std·eps, and Normal takes the standard deviation."
)
def std_squared(model, x, q_mean, q_std, eps):
    return _log_mean(_log_weights(model, x, q_mean, q_std**2, eps))


@log_marginal_importance.mistake(
    "You read q_std as a log-variance, exp(½·…). In this lesson it is the standard deviation itself."
)
def std_taken_for_logvar(model, x, q_mean, q_std, eps):
    return _log_mean(_log_weights(model, x, q_mean, (0.5 * q_std).exp(), eps))


@log_marginal_importance.mistake(
    "z is right, but Normal(q_mean, q_std**2) in log q has the variance where it wants the standard deviation."
)
def variance_in_log_q(model, x, q_mean, q_std, eps):
    z = q_mean + q_std * eps
    log_q = Normal(q_mean, q_std**2).log_prob(z).sum(2)
    return _log_mean(_log_likelihood(model, x, z) + Normal(0.0, 1.0).log_prob(z).sum(2) - log_q)


@log_marginal_importance.mistake(
    "You use eps itself as z, which is a draw from the prior. Shift and scale it: z = q_mean + q_std·eps."
)
def noise_taken_for_z(model, x, q_mean, q_std, eps):
    return _log_mean(_log_weights(model, x, q_mean, q_std, eps, z=eps))


@log_marginal_importance.mistake(
    "You divide the weights by their sum before you average. That makes them shares, for averages under the posterior; "
    "p(x) is the plain mean of the weights as they are."
)
def self_normalised(model, x, q_mean, q_std, eps):
    weights = _log_weights(model, x, q_mean, q_std, eps)
    return _log_mean(weights - weights.logsumexp(0))


@log_marginal_importance.mistake(
    "You weight log p(x|z) with the shares of the weights: that estimates the posterior's average of log p(x|z). "
    "Asked for is the logarithm of the mean weight."
)
def weighted_likelihood(model, x, q_mean, q_std, eps):
    share = _log_weights(model, x, q_mean, q_std, eps).softmax(0)
    return (share * _log_likelihood(model, x, q_mean + q_std * eps)).sum(0)


@log_marginal_importance.mistake(
    "You average over the images and keep the samples. The log weights are (K, N): average over dim 0."
)
def importance_averaged_over_images(model, x, q_mean, q_std, eps):
    return _log_mean(_log_weights(model, x, q_mean, q_std, eps).T)


@log_marginal_importance.mistake("You average over samples and images. Each image keeps its own estimate: (N,).")
def importance_averaged_over_everything(model, x, q_mean, q_std, eps):
    return _log_mean(_log_weights(model, x, q_mean, q_std, eps).flatten())


@log_marginal_importance.mistake("These are the log weights, (K, N). Average over the K samples, dim 0, with log_mean_exp.")
def log_weight_table(model, x, q_mean, q_std, eps):
    return _log_weights(model, x, q_mean, q_std, eps)


@log_marginal_importance.mistake("You divide by the number of images. The mean is over the K samples: K is eps.shape[0].")
def importance_divided_by_n(model, x, q_mean, q_std, eps):
    return _log_weights(model, x, q_mean, q_std, eps).logsumexp(0) - math.log(len(x))


@log_marginal_importance.mistake(
    "You draw noise of your own. Use the eps that is given: only then can two estimates be compared."
)
def own_noise(model, x, q_mean, q_std, eps):
    return _log_mean(_log_weights(model, x, q_mean, q_std, torch.randn_like(eps)))


@log_marginal_importance.mistake(
    "The numbers are right, but you turn eps itself into z, in place. Write q_mean + q_std * eps."
)
def eps_overwritten(model, x, q_mean, q_std, eps):
    result = reference("log_marginal_importance")(model, x, q_mean, q_std, eps)
    eps.mul_(q_std).add_(q_mean)
    return result


log_marginal_importance.recurring(in_bits)
log_marginal_importance.recurring(sign_reversed, hint="The sign is reversed: this is −log p̂.")


@log_marginal_importance.mistake(
    "This is the exact log p(x), from `log_marginal`. Asked for is the estimate from these samples, however bad it may be."
)
def exact_instead_of_estimate(model, x, q_mean, q_std, eps):
    return reference("log_marginal")(model, x)


def _by_parts(model, x, q_mean, q_std, *, likelihood_at, prior_at, q_at):
    """The log weights, where the three densities are taken at different places."""
    log_prior, log_q = Normal(0.0, 1.0).log_prob(prior_at).sum(-1), Normal(q_mean, q_std).log_prob(q_at).sum(-1)
    likelihood = Normal(likelihood_at @ model.weight.T + model.bias, model.sigma).log_prob(x).sum(-1)
    return _log_mean(likelihood + log_prior - log_q)


@log_marginal_importance.mistake(
    "You evaluate the prior at q_mean. All three densities are taken at the same place, the sample z."
)
def prior_at_the_mean(model, x, q_mean, q_std, eps):
    z = q_mean + q_std * eps
    return _by_parts(model, x, q_mean, q_std, likelihood_at=z, prior_at=q_mean, q_at=z)


@log_marginal_importance.mistake(
    "You decode q_mean for the likelihood. All three densities are taken at the same place, the sample z."
)
def likelihood_at_the_mean(model, x, q_mean, q_std, eps):
    z = q_mean + q_std * eps
    return _by_parts(model, x, q_mean, q_std, likelihood_at=q_mean, prior_at=z, q_at=z)


@log_marginal_importance.mistake(
    "You evaluate q at its own mean. All three densities are taken at the same place, the sample z."
)
def q_at_the_mean(model, x, q_mean, q_std, eps):
    z = q_mean + q_std * eps
    return _by_parts(model, x, q_mean, q_std, likelihood_at=z, prior_at=z, q_at=q_mean)


@log_marginal_importance.mistake(
    "You divide the ratios p(z)/q(z) by their sum before you average p(x|z). The estimate is the plain mean of p(x|z)·p(z)/q(z)."
)
def ratios_normalised(model, x, q_mean, q_std, eps):
    z = q_mean + q_std * eps
    ratios = Normal(0.0, 1.0).log_prob(z).sum(2) - Normal(q_mean, q_std).log_prob(z).sum(2)
    return (ratios.log_softmax(0) + _log_likelihood(model, x, z)).logsumexp(0)


@log_marginal_importance.mistake("You use the first sample only, eps[0]. Average over all K of them.")
def first_weight(model, x, q_mean, q_std, eps):
    return _log_weights(model, x, q_mean, q_std, eps)[0]


@log_marginal_importance.mistake(
    "Each image has its own samples: z is (K, N, D), and its mean (K, N, P) meets x as it is. Your [:, None] sets every sample "
    "against every other one."
)
def dimension_put_in(model, x, q_mean, q_std, eps):
    z = q_mean + q_std * eps
    likelihood = Normal((z @ model.weight.T + model.bias)[:, None], model.sigma).log_prob(x).sum(-1)
    return _log_mean(likelihood + Normal(0.0, 1.0).log_prob(z).sum(2) - Normal(q_mean, q_std).log_prob(z).sum(2))


@log_marginal_importance.mistake(
    "Your covariance of q has q_std on its diagonal. A covariance has the variances there, q_std².",
)
def std_as_covariance(model, x, q_mean, q_std, eps):
    z = q_mean + q_std * eps
    log_q = MultivariateNormal(q_mean, torch.diag_embed(q_std)).log_prob(z)
    return _log_mean(_log_likelihood(model, x, z) + Normal(0.0, 1.0).log_prob(z).sum(2) - log_q)


@log_marginal_importance.mistake("In log q you square z − q_mean as it is. It is divided by q_std first: that is eps.")
def squares_not_divided_in_log_q(model, x, q_mean, q_std, eps):
    z = q_mean + q_std * eps
    log_q = (-0.5 * (z - q_mean) ** 2 - q_std.log() - 0.5 * math.log(2 * math.pi)).sum(2)
    return _log_mean(_log_likelihood(model, x, z) + Normal(0.0, 1.0).log_prob(z).sum(2) - log_q)


@log_marginal_importance.mistake(
    "You compute p(z) and q(z) as densities before you take a logarithm. Far from 0 the one rounds to 0, and for a narrow q of "
    "many dimensions the other is ∞: add and subtract log densities."
)
def ratio_of_densities(model, x, q_mean, q_std, eps):
    z = q_mean + q_std * eps
    prior, q = Normal(0.0, 1.0).log_prob(z).sum(2).exp(), Normal(q_mean, q_std).log_prob(z).sum(2).exp()
    return _log_mean(_log_likelihood(model, x, z) + (prior / q).log())


@log_marginal_importance.mistake(
    "You compute q(z) as a density and take its logarithm after that. For a narrow q of many dimensions it is ∞ in floats: "
    "sum the log densities."
)
def logarithm_of_q(model, x, q_mean, q_std, eps):
    z = q_mean + q_std * eps
    log_q = Normal(q_mean, q_std).log_prob(z).exp().prod(2).log()
    return _log_mean(_log_likelihood(model, x, z) + Normal(0.0, 1.0).log_prob(z).sum(2) - log_q)


@log_marginal_importance.mistake(
    "You compute p(z) as a density and take its logarithm after that. Far from 0 it rounds to 0: sum the log densities."
)
def logarithm_of_the_prior(model, x, q_mean, q_std, eps):
    z = q_mean + q_std * eps
    log_prior = Normal(0.0, 1.0).log_prob(z).exp().prod(2).log()
    return _log_mean(_log_likelihood(model, x, z) + log_prior - Normal(q_mean, q_std).log_prob(z).sum(2))


@log_marginal_importance.mistake(
    "You average p(x|z) alone, as if z came from the prior. It comes from q: the weight is p(x|z)·p(z)/q(z)."
)
def likelihood_alone(model, x, q_mean, q_std, eps):
    z = q_mean + q_std * eps
    return reference("log_mean_exp")(Normal(z @ model.weight.T + model.bias, model.sigma).log_prob(x).sum(2))


@log_marginal_importance.mistake(
    "You average p(x|z), p(z) and q(z) each by itself. Each sample has one weight, p(x|z)·p(z)/q(z): average that."
)
def each_averaged_by_itself(model, x, q_mean, q_std, eps):
    z = q_mean + q_std * eps
    likelihood = Normal(z @ model.weight.T + model.bias, model.sigma).log_prob(x).sum(2)
    prior, q = Normal(0.0, 1.0).log_prob(z).sum(2), Normal(q_mean, q_std).log_prob(z).sum(2)
    mean = reference("log_mean_exp")
    return mean(likelihood) + mean(prior) - mean(q)


@log_marginal_importance.mistake(
    "You average p(x|z) and subtract the KL in closed form. Each sample has its own ratio p(z)/q(z) in its weight."
)
def closed_kl_subtracted(model, x, q_mean, q_std, eps):
    z = q_mean + q_std * eps
    likelihood = Normal(z @ model.weight.T + model.bias, model.sigma).log_prob(x).sum(2)
    kl = 0.5 * (q_mean**2 + q_std**2 - 1 - 2 * q_std.log()).sum(1)
    return reference("log_mean_exp")(likelihood) - kl


@log_marginal_importance.mistake(
    "You average the log densities of z over its dimensions. Those of independent dimensions add up."
)
def densities_of_z_averaged(model, x, q_mean, q_std, eps):
    z = q_mean + q_std * eps
    likelihood = Normal(z @ model.weight.T + model.bias, model.sigma).log_prob(x).sum(2)
    ratio = Normal(0.0, 1.0).log_prob(z).mean(2) - Normal(q_mean, q_std).log_prob(z).mean(2)
    return reference("log_mean_exp")(likelihood + ratio)


@log_marginal_importance.mistake(
    "The normalising constant of p(x|z) is missing. Those of p(z) and q(z) cancel; this one does not."
)
def constant_of_the_likelihood_forgotten(model, x, q_mean, q_std, eps):
    constant = model.data_dim * (math.log(model.sigma) + 0.5 * math.log(2 * math.pi))
    return reference("log_marginal_importance")(model, x, q_mean, q_std, eps) + constant


@log_marginal_importance.variant
def by_the_noise(model, x, q_mean, q_std, eps):
    z = torch.addcmul(q_mean, q_std, eps)
    r = (x - torch.einsum("knd,pd->knp", z, model.weight) - model.bias) / model.sigma
    log_w = -0.5 * r.square().sum(-1) - r.shape[-1] * math.log(model.sigma * math.sqrt(2 * math.pi))
    log_w = log_w + 0.5 * (eps.square() - z.square()).sum(-1) + q_std.log().sum(-1)
    return log_w.logsumexp(0) - math.log(eps.size(0))


@log_marginal_importance.variant
def image_by_image(model, x, q_mean, q_std, eps):
    results = []
    for n in range(len(x)):
        q, prior = (
            MultivariateNormal(q_mean[n], torch.diag(q_std[n] ** 2)),
            Independent(Normal(torch.zeros_like(q_mean[n]), 1.0), 1),
        )
        z = q_mean[n] + q_std[n] * eps[:, n]
        decoder = Independent(Normal(z @ model.weight.T + model.bias, model.sigma), 1)
        results.append(_log_mean(decoder.log_prob(x[n]) + prior.log_prob(z) - q.log_prob(z)))
    return torch.stack(results)


@log_marginal_importance.variant
def by_independent_in_float64(model, x, q_mean, q_std, eps):
    q = Independent(Normal(q_mean.double(), q_std.double()), 1)
    z = q.base_dist.loc + q.base_dist.scale * eps
    prior = MultivariateNormal(torch.zeros(z.shape[-1]).double(), torch.eye(z.shape[-1]).double())
    pixels = Independent(Normal(z @ model.weight.double().T + model.bias, model.sigma), 1)
    return torch.logsumexp(pixels.log_prob(x.double()) + prior.log_prob(z) - q.log_prob(z) - math.log(len(eps)), 0)


@log_marginal_importance.variant
def by_numpy(model, x, q_mean, q_std, eps):
    def log_normal(values, mean, std):
        return (-0.5 * ((values - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum(-1)

    x, mean, std, eps = (tensor.double().numpy() for tensor in (x, q_mean, q_std, eps))
    z = mean + std * eps
    decoded = z @ model.weight.double().numpy().T + model.bias.double().numpy()
    log_w = log_normal(x, decoded, model.sigma) + log_normal(z, 0.0, 1.0) - log_normal(z, mean, std)
    return torch.from_numpy(np.logaddexp.reduce(log_w, axis=0) - np.log(len(eps)))


# --- effective_sample_size ----------------------------------------------------------------------------------------------------

effective_sample_size = Exercise("effective_sample_size")
effective_sample_size.edits("""
not_squared: `share.pow(2).sum(dim=0)` → `share.sum(dim=0)`
    The shares add up to 1, always. It is the sum of their squares that tells even shares from uneven ones.
not_inverted: `1 / share.pow(2)` → `share.pow(2)`
    This is Σw²/(Σw)², the inverse. Turn it round: with K equal weights the result is K.
normalised_over_images: `softmax(dim=0)` → `softmax(dim=1)`
    You normalise over the images, dim 1. Each image has its own K weights, in dim 0.
summed_over_images: `.sum(dim=0)` → `.sum(dim=1)`
    You sum the squares over the images, dim 1. Each image has its own K weights: sum over dim 0, so that (N,) is left.
summed_over_everything: `.sum(dim=0)` → `.sum()`
    You sum over samples and images. Each image has its own effective sample size: (N,).
root: `1 / share.pow(2).sum(dim=0)` → `1 / share.norm(dim=0)`
    This is the square root of the effective sample size: the norm is the root of the sum of squares, and its square is asked for.
keepdim: `.sum(dim=0)` → `.sum(dim=0, keepdim=True)`
    The numbers are right, and `keepdim` leaves a dimension of size 1 in front. Leave it out: (N,).
rounded: `1 / share.pow(2).sum(dim=0)` → `(1 / share.pow(2).sum(dim=0)).round()`
    You round to whole numbers. The effective sample size is a measure, and no count: leave it as it is.
mean_of_squares: `.sum(dim=0)` → `.mean(dim=0)`
    You average the squares where they are summed, which makes the result K times too large: it could exceed K.
""")


@effective_sample_size.mistake(
    "You take dim 1 for the samples. Samples lead, (K, N): each image has its K weights in a column, dim 0."
)
def samples_for_images(log_weights):
    return 1 / log_weights.softmax(1).pow(2).sum(1)


@effective_sample_size.mistake(
    "You use the log weights as if they were the weights. Exponentiate them (safely: a common factor may be taken out first)."
)
def logs_for_weights(log_weights):
    return log_weights.sum(0).pow(2) / log_weights.pow(2).sum(0)


@effective_sample_size.mistake(
    "e¹⁰⁰⁰ is ∞ and e⁻¹⁰⁰⁰ is 0 in floats. A common factor cancels in this formula: subtract each image's largest log weight first, or use softmax."
)
def exponentiated_directly(log_weights):
    weights = log_weights.exp()
    return weights.sum(0).pow(2) / weights.pow(2).sum(0)


@effective_sample_size.mistake(
    "You subtract one maximum, that of all images. An image near −1000 beside one near +1000 is then left with weights of 0: "
    "subtract each image's own."
)
def one_maximum_for_all_images(log_weights):
    weights = (log_weights - log_weights.max()).exp()
    return weights.sum(0).pow(2) / weights.pow(2).sum(0)


@effective_sample_size.mistake(
    "You divide by the largest share: this is 1/max(w/Σw), another measure. Asked for is (Σw)²/Σw²."
)
def by_the_largest_weight(log_weights):
    return 1 / log_weights.softmax(0).amax(0)


@effective_sample_size.mistake(
    "This is the perplexity of the weights, exp of their entropy: another measure. Asked for is (Σw)²/Σw²."
)
def perplexity(log_weights):
    share = log_weights.softmax(0)
    return torch.special.entr(share).sum(0).exp()


@effective_sample_size.mistake(
    "You divide by K: this is the share of the samples that count. Asked for is their number, between 1 and K."
)
def share_of_k(log_weights):
    return reference("effective_sample_size")(log_weights) / len(log_weights)


@effective_sample_size.mistake(
    "e¹⁰⁰⁰ is ∞ and e⁻¹⁰⁰⁰ is 0, in float64 as well. A common factor cancels in this formula: subtract each image's largest log "
    "weight before you exponentiate, or use softmax."
)
def exponentiated_first(log_weights):
    weights = log_weights.exp()
    return 1 / (weights / weights.sum(0)).pow(2).sum(0)


@effective_sample_size.mistake(
    "You sum the shares over the images, dim 1. Sum over the K samples, dim 0, so that (N,) is left."
)
def sums_over_images(log_weights):
    share = log_weights.softmax(0)
    return share.sum(1) ** 2 / share.pow(2).sum(1)


@effective_sample_size.mistake("The numerator is (Σw)²: its logarithm is twice logsumexp(log w). You have it once.")
def sum_not_squared_in_logs(log_weights):
    return (log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp()


@effective_sample_size.mistake(
    "You take the shares over all images together. Each image has its own K weights: softmax over dim 0."
)
def shares_of_all(log_weights):
    return 1 / log_weights.flatten().softmax(0).view_as(log_weights).pow(2).sum(0)


@effective_sample_size.mistake(
    "You sum over all images in the numerator. Each image has its own K weights: sum over dim 0 there, too."
)
def numerator_of_all(log_weights):
    weights = (log_weights - log_weights.amax(0)).exp()
    return weights.sum() ** 2 / weights.pow(2).sum(0)


@effective_sample_size.mistake("You use the standard deviation. K/(1 + Var/mean²) is right, with the variance.")
def std_for_variance(log_weights):
    weights = log_weights.softmax(0) * len(log_weights)
    return len(weights) / (1 + weights.std(0, correction=0))


@effective_sample_size.mistake("The variance of the weights is to be divided by their mean squared: K/(1 + Var/mean²).")
def variance_not_relative(log_weights):
    weights = (log_weights - log_weights.amax(0)).exp()
    return len(weights) / (1 + weights.var(0, correction=0))


@effective_sample_size.mistake(
    "You divide the log weights by the largest one. A common factor of the weights is a summand of their logs: subtract it."
)
def divided_by_the_largest_log(log_weights):
    weights = (log_weights / log_weights.amax(0)).exp()
    return weights.sum(0) ** 2 / weights.pow(2).sum(0)


@effective_sample_size.mistake("You don't square the sum of the weights: the numerator is (Σw)².")
def sum_not_squared(log_weights):
    weights = (log_weights - log_weights.amax(0)).exp()
    return weights.sum(0) / weights.pow(2).sum(0)


effective_sample_size.recurring(
    averaged_over_rows, hint="You also average over the images. Each image has an effective sample size of its own: (N,)."
)


@effective_sample_size.mistake(
    "You use the variance with K − 1 in it, which is NaN for a single sample. K/(1 + Var/mean²) is right with the plain variance: "
    "correction=0."
)
def unbiased_variance(log_weights):
    weights = (log_weights - log_weights.amax(0)).exp()
    return len(weights) / (1 + weights.var(0) / weights.mean(0) ** 2)


@effective_sample_size.mistake(
    "The numbers are right, but you change the caller's log weights in place (-=, sub_, exp_). Make a new tensor."
)
def weights_overwritten(log_weights):
    log_weights -= log_weights.amax(0)
    return reference("effective_sample_size")(log_weights)


@effective_sample_size.mistake(
    "These are the shares of the weights, (K, N). One number for each image is asked for: 1/Σ share²."
)
def shares(log_weights):
    return log_weights.softmax(0)


@effective_sample_size.mistake("This is the logarithm of the effective sample size. Exponentiate it at the end.")
def its_logarithm(log_weights):
    return reference("effective_sample_size")(log_weights).log()


@effective_sample_size.mistake(
    "You square log_softmax, the logarithms of the shares. Square the shares themselves: softmax."
)
def logarithms_squared(log_weights):
    return 1 / log_weights.log_softmax(0).pow(2).sum(0)


@effective_sample_size.mistake(
    "You subtract the mean log weight. Where one weight outweighs the others it still overflows: subtract the largest."
)
def mean_subtracted(log_weights):
    w = (log_weights - log_weights.mean(0)).exp()
    return w.sum(0) ** 2 / w.pow(2).sum(0)


@effective_sample_size.mistake(
    "You take the shares over all images together. Each image has its own K weights: softmax over dim 0."
)
def one_for_all_images(log_weights):
    return 1 / log_weights.flatten().softmax(0).pow(2).sum()


@effective_sample_size.variant
def by_logsumexp(log_weights):
    return (2 * torch.logsumexp(log_weights, 0) - torch.logsumexp(2 * log_weights, 0)).exp()


@effective_sample_size.variant
def by_coefficient_of_variation(log_weights):
    weights = (log_weights - log_weights.max(0, keepdim=True).values).exp()
    return weights.size(0) / (1 + weights.var(0, correction=0) / weights.mean(0).square())


@effective_sample_size.variant
def by_numpy(log_weights):
    weights = np.exp(log_weights.numpy() - log_weights.numpy().max(axis=0))
    return torch.from_numpy(weights.sum(0) ** 2 / np.einsum("kn,kn->n", weights, weights))


@effective_sample_size.variant
def image_by_image(log_weights):
    sizes = []
    for column in log_weights.T.double():
        weights = torch.exp(column - max(column.tolist()))
        sizes.append(float(sum(weights)) ** 2 / float(torch.dot(weights, weights)))
    return torch.tensor(sizes)


# --- predictions --------------------------------------------------------------------------------------------------------------

predict_naive_bias = Exercise("predict_naive_bias")
predict_naive_bias.wrong_choices("""
unbiased: a
    p̂ is unbiased, its logarithm isn't. The log takes more away for an estimate of half the size than it adds for one of
    three halves: compute log ½ + log 3⁄2.
too_high: c
    Try the example of the hint: p̂ is ½ or 3⁄2, each half of the time, and p = 1. What is the average of log ½ and log
    3⁄2?
""")

predict_naive_growth = Exercise("predict_naive_growth")
predict_naive_growth.wrong_choices("""
independent_of_dimension: a
    It is true that the error falls as 1/√K whatever the dimension. But what it falls *from* is the spread of a single
    p(x|z)/p(x), and that is a product of D random factors.
cancels: b
    Errors that are added may cancel. Here D factors are multiplied: for a sample to count, all of its dimensions have to
    fit at once.
""")

predict_perfect_ess = Exercise("predict_perfect_ess")
predict_perfect_ess.wrong_choices("""
one: 1
    One sample is enough for the exact answer, that is true. But the effective sample size asks how evenly the weight is
    spread. Under the posterior every sample has the same weight.
""")
predict_perfect_ess.wrong_choice(
    "a_share",
    1 / 50,
    "That is each sample's share of the weight. The effective sample size is a number of samples.",
)
predict_perfect_ess.wrong_choices("""
square: 2500
    The numerator is (50·w)², and the denominator 50·w². Which factor is left?
none: 0
    It is never below 1. With q the posterior, all 50 weights are equal to p(x): put 50 equal numbers into the formula.
""")

predict_proposal_width = Exercise("predict_proposal_width")
predict_proposal_width.wrong_choices("""
the_wide_one: b
    Most of its samples are wasted, indeed, but of 1000 enough are left, and they cover everything that matters. What
    does the narrow q never see?
both_alike: c
    The effective sample sizes are alike, and the errors are not. Too wide means many weights near 0, which is harmless;
    too narrow means rare weights that are huge, and that don't turn up.
""")
