"""Lesson 04, reparameterization: what students get wrong, and other ways to be right."""

import torch
import torch.nn.functional as F
from torch.distributions import AffineTransform, Independent, Normal, TransformedDistribution

from . import Exercise, reference
from .recurring import detached as recurring_detached

reparameterize = Exercise("reparameterize")

reparameterize.edits("""
variance_as_std: `(0.5 * logvar).exp()` → `logvar.exp()`
    You multiply the noise by exp(logvar), which is the variance σ². The standard deviation is its square root,
    exp(½·logvar).
logvar_as_std: `(0.5 * logvar).exp()` → `logvar`
    You multiply the noise by logvar itself. It is a logarithm, and may be negative: turn it into σ with an exponential
    first.
absolute_logvar: `(0.5 * logvar).exp()` → `logvar.abs().sqrt()`
    You take the square root of |logvar|. logvar is the logarithm of σ², not σ²: undo the logarithm with an exponential
    first.
std_squared_too_far: `(0.5 * logvar).exp()` → `(0.5 * logvar).exp().sqrt()`
    Your standard deviation is exp(¼·logvar): the square root is taken twice. exp(½·logvar) is already the root of
    exp(logvar).
wrong_sign_of_logvar: `(0.5 * logvar).exp()` → `(-0.5 * logvar).exp()`
    You use exp(−½·logvar), which is 1/σ: your noise shrinks where it should grow.
noise_subtracted: `return mu + ` → `return mu - `
    You subtract the noise. By symmetry the distribution is the same, but the formula says z = mu + σ·eps, and a given
    eps must end up where the caller expects it.
half_logvar_not_exponentiated: `(0.5 * logvar).exp() * eps` → `0.5 * logvar * eps`
    You multiply the noise by ½·logvar, which is log σ. σ itself is its exponential: exp(½·logvar).
small_constant_added: `(0.5 * logvar).exp() * eps` → `((0.5 * logvar).exp() + 1e-6) * eps`
    You add a small constant to σ. exp is never 0, so nothing needs protection, and a very narrow q gets another width.
variance_not_halved: `(0.5 * logvar).exp()` → `0.5 * logvar.exp()`
    The ½ stands outside the exponential: that is half the variance. σ = exp(½·logvar), with the ½ inside.
sigma_missing: `(0.5 * logvar).exp() * eps` → `eps`
    σ is missing: `logvar` plays no part. The noise is multiplied by exp(½·logvar).
mean_scaled: `mu + (0.5 * logvar).exp() * eps` → `(0.5 * logvar).exp() * (mu + eps)`
    You multiply mu by σ as well. Only the noise is scaled: mu + σ·eps.
softplus_for_std: `(0.5 * logvar).exp()` → `torch.nn.functional.softplus(logvar)`
    You take softplus(logvar) for σ. `logvar` is log σ², which makes σ = exp(½·logvar).
root_of_logvar: `(0.5 * logvar).exp()` → `logvar.sqrt()`
    You take the square root of logvar, which is NaN where logvar is negative. It is the logarithm of σ², not σ²: undo
    the logarithm with an exponential.
logvar_clamped: `(0.5 * logvar).exp()` → `(0.5 * logvar.clamp(-10, 10)).exp()`
    You clamp logvar. It may be any number: beyond your limits σ is wrong, and logvar gets no gradient.
mu_and_sigma_changed_places: `mu + (0.5 * logvar).exp() * eps` → `mu * eps + (0.5 * logvar).exp()`
    mu and σ have changed places: you multiply the noise by mu and add σ. It is mu + σ·eps.
squared_variance: `(0.5 * logvar).exp()` → `(2 * logvar).exp()`
    You multiply the noise by exp(2·logvar), the variance squared. σ is exp(½·logvar).
""")


@reparameterize.mistake("You return mu alone: no noise is added, so z is not a sample of N(mu, σ²) but always its mean.")
def ignores_noise(mu, logvar, eps=None):
    return mu + 0 * logvar


@reparameterize.mistake(
    "You draw new noise even where `eps` is given. Draw it only where `eps is None`; else use the noise that the caller chose."
)
def always_draws(mu, logvar, eps=None):
    return reference("reparameterize")(mu, logvar, torch.randn_like(mu))


@reparameterize.mistake(
    "You ask for the truth value of a tensor (`eps or ...`, `if not eps`). For several numbers that is an error, and for a single "
    "zero it means False, so that given noise is thrown away. Ask `if eps is None`."
)
def eps_or_random(mu, logvar, eps=None):
    return reference("reparameterize")(mu, logvar, eps or torch.randn_like(mu))


@reparameterize.mistake(
    "The numbers are right, but no gradient reaches mu and logvar. Work with the tensors themselves: no .detach(), .data, "
    "no_grad, .sample() or torch.normal."
)
def detached(mu, logvar, eps=None):
    return reference("reparameterize")(mu, logvar, eps).detach()


@reparameterize.mistake(
    "Where you draw the noise yourself, no gradient reaches mu and logvar. Normal(...).sample() and torch.normal cut it: draw eps "
    "alone, and compute z from it as in the case where eps is given."
)
def sampled_without_gradient(mu, logvar, eps=None):
    if eps is None:
        return Normal(mu, (0.5 * logvar).exp()).sample()
    return reference("reparameterize")(mu, logvar, eps)


@reparameterize.mistake("Without `eps` you return mu. `None` means: draw the noise yourself.")
def no_noise_for_none(mu, logvar, eps=None):
    return reference("reparameterize")(mu, logvar, torch.zeros_like(mu) if eps is None else eps)


@reparameterize.mistake(
    "σ is cut out of the graph: mu gets its gradient, logvar gets none, so the encoder could never learn its variance."
)
def detached_std(mu, logvar, eps=None):
    return reference("reparameterize")(mu, logvar.detach(), eps)


@reparameterize.mistake(
    "Where you draw the noise, all rows get the same. Each image needs noise of its own: draw it in the shape (N, D) of mu."
)
def noise_shared_by_rows(mu, logvar, eps=None):
    return reference("reparameterize")(mu, logvar, torch.randn(mu.shape[1]) if eps is None else eps)


@reparameterize.mistake(
    "Where you draw the noise, all dimensions of a row get the same number, so they move together. Draw it in the shape (N, D) of mu."
)
def noise_shared_by_dimensions(mu, logvar, eps=None):
    return reference("reparameterize")(mu, logvar, torch.randn(mu.shape[0], 1) if eps is None else eps)


@reparameterize.mistake(
    "Where you draw the noise, you draw a single number for the whole batch. Draw it in the shape (N, D) of mu."
)
def one_number(mu, logvar, eps=None):
    return reference("reparameterize")(mu, logvar, torch.randn(()).item() if eps is None else eps)


@reparameterize.mistake(
    "The noise that you draw is uniform between 0 and 1 (torch.rand). The trick needs the standard normal: torch.randn."
)
def uniform_noise(mu, logvar, eps=None):
    return reference("reparameterize")(mu, logvar, torch.rand_like(mu) if eps is None else eps)


@reparameterize.mistake(
    "The noise that you draw has mean 0 and variance 1, but it is not normal. The trick needs the standard normal: torch.randn."
)
def scaled_uniform_noise(mu, logvar, eps=None):
    return reference("reparameterize")(mu, logvar, (torch.rand_like(mu) - 0.5) * 12**0.5 if eps is None else eps)


@reparameterize.mistake(
    "You set the random seed inside. Then every call draws the same noise, and the caller's own randomness is reset too. "
    "Seeds belong to whoever runs the experiment."
)
def reseeds(mu, logvar, eps=None):
    torch.manual_seed(0)
    return reference("reparameterize")(mu, logvar, eps)


@reparameterize.mistake(
    "You change mu in place (+=, add_). The caller still needs it, for the KL for instance: write mu + ... instead."
)
def changes_mu(mu, logvar, eps=None):
    mu += (0.5 * logvar).exp() * (torch.randn_like(mu) if eps is None else eps)
    return mu


@reparameterize.mistake(
    "You return mu·(1 + σ·eps) or the like: the noise is scaled by mu. In z = mu + σ·eps, mu only shifts it."
)
def noise_times_mu(mu, logvar, eps=None):
    return mu + mu * (reference("reparameterize")(mu, logvar, eps) - mu)


@reparameterize.variant
def by_addcmul(mu, logvar, eps=None):
    noise = torch.randn(mu.shape[1], mu.shape[0]).T if eps is None else eps
    return torch.addcmul(mu, torch.sqrt(torch.exp(logvar)), noise)


@reparameterize.variant
def by_distributions(mu, logvar, eps=None):
    std = torch.exp(logvar / 2)
    if eps is None:
        return Independent(Normal(mu, std), 1).rsample()
    return AffineTransform(mu, std)(eps)


@reparameterize.variant
def row_by_row_in_float64(mu, logvar, eps=None):
    if eps is None:
        base = Normal(torch.zeros_like(mu).double(), 1.0)
        return TransformedDistribution(base, [AffineTransform(mu.double(), logvar.double().mul(0.5).exp())]).rsample()
    rows = [m + torch.einsum("d,d->d", torch.exp(v).pow(0.5), e) for m, v, e in zip(mu.double(), logvar, eps, strict=True)]
    return torch.stack(rows)


predict_spread = Exercise("predict_spread")
predict_spread.wrong_choices("""
read_as_log_std: 7.389
    That is e², as if logvar were log σ. It is log σ², so log σ grows by half as much.
read_as_variance: 2.0
    That takes logvar for σ. It is log σ²: adding to a logarithm multiplies.
root_of_two: 1.414
    You took the root of 2. But 2 is added to log σ², so σ² is multiplied by e²; then take the root.
""")


pathwise_gradient = Exercise("pathwise_gradient")
pathwise_gradient.edits("""
half_logvar_not_exponentiated: `(0.5 * logvar).exp() * eps` → `0.5 * logvar * eps`
    Your z multiplies the noise by ½·logvar, which is log σ. σ itself is its exponential: exp(½·logvar).
""")


def _pathwise(f, mu, logvar, eps, sigma_of=lambda v: (0.5 * v).exp(), reduce=lambda values: values.mean(0).sum()):
    mu, logvar = mu.detach().clone().requires_grad_(), logvar.detach().clone().requires_grad_()
    z = mu + sigma_of(logvar) * eps
    return torch.autograd.grad(reduce(f(z)), (mu, logvar))


@pathwise_gradient.mistake(
    "Your second gradient is twice what it should be: that is the derivative with respect to log σ. With logvar = log σ², the "
    "chain rule brings a factor ½."
)
def forgot_half(f, mu, logvar, eps):
    grad_mu, grad_logvar = _pathwise(f, mu, logvar, eps)
    return grad_mu, 2 * grad_logvar


@pathwise_gradient.mistake(
    "Your second gradient is with respect to σ. One link of the chain is missing: from σ on to logvar, dσ/dlogvar = ½·σ."
)
def with_respect_to_sigma(f, mu, logvar, eps):
    grad_mu, grad_logvar = _pathwise(f, mu, logvar, eps)
    return grad_mu, 2 * grad_logvar / (0.5 * logvar).exp()


@pathwise_gradient.mistake(
    "Your second gradient is with respect to the variance σ². It is asked for with respect to its logarithm: multiply by dσ²/dlogvar = σ²."
)
def with_respect_to_variance(f, mu, logvar, eps):
    grad_mu, grad_logvar = _pathwise(f, mu, logvar, eps)
    return grad_mu, grad_logvar / logvar.exp()


@pathwise_gradient.mistake(
    "Your second gradient is ½·g·eps: the σ is missing. The derivative of σ = exp(½·logvar) is ½·σ, the exponential comes back."
)
def sigma_missing(f, mu, logvar, eps):
    grad_mu, grad_logvar = _pathwise(f, mu, logvar, eps)
    return grad_mu, grad_logvar / (0.5 * logvar).exp()


@pathwise_gradient.mistake("You add up the K samples. An estimate of an expectation is their mean: average over dim 0.")
def summed_over_samples(f, mu, logvar, eps):
    return _pathwise(f, mu, logvar, eps, reduce=lambda values: values.sum())


@pathwise_gradient.mistake(
    "You average over the rows too, which makes each gradient N times too small. Average over the samples (dim 0) and sum over the "
    "rows: each row has its own expectation."
)
def averaged_over_rows(f, mu, logvar, eps):
    return _pathwise(f, mu, logvar, eps, reduce=lambda values: values.mean())


@pathwise_gradient.mistake(
    "You average over dim 1, the rows, and sum over dim 0, the samples. It is the other way round: K comes first."
)
def rows_and_samples_confused(f, mu, logvar, eps):
    return _pathwise(f, mu, logvar, eps, reduce=lambda values: values.mean(1).sum())


@pathwise_gradient.mistake(
    "Your z is detached from mu and logvar (.detach(), .data, no_grad, .sample()), so nothing flows back. Compute z from leaves "
    "that ask for a gradient, with no such call in between."
)
def detached_z(f, mu, logvar, eps):
    mu, logvar = mu.detach().clone().requires_grad_(), logvar.detach().clone().requires_grad_()
    z = (mu + (0.5 * logvar).exp() * eps).detach()
    return torch.autograd.grad(f(z).mean(0).sum(), (mu, logvar))


@pathwise_gradient.mistake("The two gradients are right, in the wrong order: return (grad_mu, grad_logvar).")
def swapped(f, mu, logvar, eps):
    return _pathwise(f, mu, logvar, eps)[::-1]


@pathwise_gradient.mistake(
    "Your z uses exp(logvar), the variance, as standard deviation. σ is exp(½·logvar), as in `reparameterize`."
)
def variance_as_std(f, mu, logvar, eps):
    return _pathwise(f, mu, logvar, eps, sigma_of=torch.exp)


@pathwise_gradient.mistake(
    "The signs are reversed: you return a descent direction. Asked for is the gradient of E[f(z)] itself."
)
def descent_direction(f, mu, logvar, eps):
    return tuple(-gradient for gradient in _pathwise(f, mu, logvar, eps))


@pathwise_gradient.mistake(
    "You average the noise first and differentiate once. f is not linear: take f of every sample, and average after that."
)
def averages_noise_first(f, mu, logvar, eps):
    return _pathwise(f, mu, logvar, eps.mean(0, keepdim=True))


@pathwise_gradient.mistake("You use the first sample only. Average over all K: the first dimension of eps and of f(z).")
def first_sample_only(f, mu, logvar, eps):
    return _pathwise(f, mu, logvar, eps[:1])


@pathwise_gradient.mistake(
    "You draw noise of your own. Use the `eps` that is given: only then can two estimates be compared."
)
def draws_its_own_noise(f, mu, logvar, eps):
    return _pathwise(f, mu, logvar, torch.randn_like(eps))


@pathwise_gradient.mistake(
    "ε is lost from the gradient of logvar: z = mu + σ·ε moves with logvar by ½·σ·ε. It comes by itself where autograd differentiates through z."
)
def noise_lost(f, mu, logvar, eps):
    sigma = (0.5 * logvar).exp()
    z = (mu + sigma * eps).requires_grad_()
    (slope,) = torch.autograd.grad(f(z).mean(0).sum(), z)
    return slope.sum(0), (slope * 0.5 * sigma).sum(0)


@pathwise_gradient.mistake("Your z uses logvar itself as standard deviation. σ is exp(½·logvar), as in `reparameterize`.")
def logvar_as_std(f, mu, logvar, eps):
    return _pathwise(f, mu, logvar, eps, sigma_of=lambda logvar: logvar)


@pathwise_gradient.mistake("You subtract the noise. z is mu + σ·eps: a given eps must end up where the caller expects it.")
def noise_subtracted(f, mu, logvar, eps):
    return _pathwise(f, mu, logvar, -eps)


@pathwise_gradient.mistake(
    "The gradient of logvar is zero: σ is cut off (detach, no_grad). z moves with logvar, too, through σ."
)
def std_cut_off(f, mu, logvar, eps):
    return _pathwise(f, mu, logvar, eps)[0], torch.zeros_like(logvar)


@pathwise_gradient.mistake(
    "This is the score-function estimate, which uses the values of f alone. The pathwise one differentiates f at z = mu + σ·eps."
)
def score_function_instead(f, mu, logvar, eps):
    return reference("score_function_gradient")(f, mu, logvar, eps)


@pathwise_gradient.variant
def by_hand(f, mu, logvar, eps):
    sigma = torch.exp(logvar / 2)
    z = (mu + sigma * eps).detach().requires_grad_()
    f(z).sum().backward()
    return z.grad.mean(0), 0.5 * sigma * (z.grad * eps).mean(0)


@pathwise_gradient.mistake(
    "mu and logvar come as plain tensors, for which no gradient is recorded. Make leaves of copies of them, with `requires_grad_()`."
)
def backward_on_the_inputs(f, mu, logvar, eps):
    f(torch.addcmul(mu, logvar.mul(0.5).exp(), eps)).mean(0).sum().backward()
    return mu.grad, logvar.grad


@pathwise_gradient.mistake(
    "`requires_grad_()` on the tensors that you are given changes them for the caller, too. Detach copies first: `mu.detach().clone()`."
)
def on_the_caller_s_own_tensors(f, mu, logvar, eps):
    mu.requires_grad_(), logvar.requires_grad_()
    return torch.autograd.grad(f(mu + (0.5 * logvar).exp() * eps).mean(0).sum(), (mu, logvar))


@pathwise_gradient.variant
def by_autograd_grad(f, mu, logvar, eps):
    leaves = [tensor.detach().clone().requires_grad_() for tensor in (mu, logvar)]
    return torch.autograd.grad(f(leaves[0] + (0.5 * leaves[1]).exp() * eps).sum() / len(eps), leaves)


@pathwise_gradient.variant
def sample_by_sample_in_float64(f, mu, logvar, eps):
    sums = [torch.zeros_like(mu, dtype=torch.float64) for _ in range(2)]
    for noise in eps.double():
        m, v = mu.double().requires_grad_(), logvar.double().requires_grad_()
        for total, part in zip(sums, torch.autograd.grad(f(m + v.exp().sqrt() * noise).sum(), [m, v]), strict=True):
            total += part / len(eps)
    return sums


score_function_gradient = Exercise("score_function_gradient")


def _score(f, mu, logvar, eps, baseline=0.0):
    """The pieces: the values minus the baseline (K, N, 1), and the two scores (K, N, D)."""
    sigma = (0.5 * logvar).exp()
    return (f(mu + sigma * eps) - baseline).unsqueeze(-1), eps / sigma, 0.5 * (eps.pow(2) - 1)


def _weighted(weight, *scores):
    """The estimate that `_score` leads to: the mean over the samples of weight times each score."""
    return tuple((weight * score).mean(0) for score in scores)


@score_function_gradient.mistake("You use exp(logvar), the variance, as standard deviation. σ is exp(½·logvar).")
def variance_as_std(f, mu, logvar, eps, baseline=0.0):
    return reference("score_function_gradient")(f, mu, 2 * logvar, eps, baseline)


@score_function_gradient.mistake("log q is given the variance where Normal wants the standard deviation: σ = exp(½·logvar).")
def density_with_variance_as_std(f, mu, logvar, eps, baseline=0.0):
    mu, logvar = mu.detach().clone().requires_grad_(), logvar.detach().clone().requires_grad_()
    z = (mu + (0.5 * logvar).exp() * eps).detach()
    surrogate = ((f(z).detach() - baseline) * Normal(mu, logvar.exp()).log_prob(z).sum(-1)).mean(0).sum()
    return torch.autograd.grad(surrogate, (mu, logvar))


@score_function_gradient.mistake(
    "The logarithm is missing: you differentiate the density itself. The score is the gradient of log q."
)
def density_without_log(f, mu, logvar, eps, baseline=0.0):
    mu, logvar = mu.detach().clone().requires_grad_(), logvar.detach().clone().requires_grad_()
    sigma = (0.5 * logvar).exp()
    z = (mu + sigma * eps).detach()
    density = Normal(mu, sigma).log_prob(z).sum(-1).exp()
    return torch.autograd.grad(((f(z).detach() - baseline) * density).mean(0).sum(), (mu, logvar))


@score_function_gradient.mistake(
    "log q is averaged over the dimensions, which makes each gradient D times too small. The log density of a row is the sum over "
    "its dimensions."
)
def density_averaged_over_dimensions(f, mu, logvar, eps, baseline=0.0):
    return tuple(g / mu.shape[-1] for g in reference("score_function_gradient")(f, mu, logvar, eps, baseline))


@score_function_gradient.mistake("You multiply eps by σ for mu. The score with respect to mu is eps/σ: divide.")
def multiplied_by_sigma(f, mu, logvar, eps, baseline=0.0):
    weight, by_mu, by_logvar = _score(f, mu, logvar, eps, baseline)
    return _weighted(weight, by_mu * logvar.exp(), by_logvar)


@score_function_gradient.mistake(
    "The sign of your second gradient is reversed. The score with respect to logvar is ½(eps² − 1): positive where the noise is large."
)
def sign_of_the_second_score(f, mu, logvar, eps, baseline=0.0):
    weight, by_mu, by_logvar = _score(f, mu, logvar, eps, baseline)
    return _weighted(weight, by_mu, -by_logvar)


@score_function_gradient.mistake(
    "Your second gradient is with respect to σ. One link of the chain is missing: from σ on to logvar, dσ/dlogvar = ½·σ."
)
def with_respect_to_sigma(f, mu, logvar, eps, baseline=0.0):
    weight, by_mu, by_logvar = _score(f, mu, logvar, eps, baseline)
    return _weighted(weight, by_mu, 2 * by_logvar / (0.5 * logvar).exp())


@score_function_gradient.mistake(
    "In the second score the ½ belongs in front of the bracket, ½·(eps² − 1): it halves both terms."
)
def half_of_the_square_alone(f, mu, logvar, eps, baseline=0.0):
    weight, by_mu, _ = _score(f, mu, logvar, eps, baseline)
    return _weighted(weight, by_mu, 0.5 * eps.pow(2) - 1)


@score_function_gradient.mistake("In the second score eps is not squared: it is ½·(eps² − 1).")
def noise_not_squared(f, mu, logvar, eps, baseline=0.0):
    weight, by_mu, _ = _score(f, mu, logvar, eps, baseline)
    return _weighted(weight, by_mu, 0.5 * (eps - 1))


@score_function_gradient.mistake(
    "The signs are reversed: you return a descent direction. Asked for is the gradient of E[f(z)] itself."
)
def descent_direction(f, mu, logvar, eps, baseline=0.0):
    return tuple(-gradient for gradient in reference("score_function_gradient")(f, mu, logvar, eps, baseline))


@score_function_gradient.mistake("You evaluate f at mu + eps: σ is missing. z is mu + σ·eps.")
def f_without_sigma(f, mu, logvar, eps, baseline=0.0):
    return _weighted((f(mu + eps) - baseline).unsqueeze(-1), *_score(f, mu, logvar, eps)[1:])


@score_function_gradient.mistake("Your baseline counts for mu alone. It is subtracted from f(z), which weighs both scores.")
def baseline_for_mu_alone(f, mu, logvar, eps, baseline=0.0):
    right = reference("score_function_gradient")
    return right(f, mu, logvar, eps, baseline)[0], right(f, mu, logvar, eps)[1]


@score_function_gradient.mistake(
    "You draw noise of your own. Use the `eps` that is given: only then can two estimates be compared."
)
def draws_its_own_noise(f, mu, logvar, eps, baseline=0.0):
    return reference("score_function_gradient")(f, mu, logvar, torch.randn_like(eps), baseline)


@score_function_gradient.mistake("Your baseline has no effect. Subtract it from the values: (f(z) − b) times the score.")
def forgot_baseline(f, mu, logvar, eps, baseline=0.0):
    return reference("score_function_gradient")(f, mu, logvar, eps)


@score_function_gradient.mistake("You add the baseline. It is subtracted: f(z) − b, so that a good b leaves small numbers.")
def added_baseline(f, mu, logvar, eps, baseline=0.0):
    return reference("score_function_gradient")(f, mu, logvar, eps, -baseline)


@score_function_gradient.mistake(
    "You subtract the baseline from the finished gradient. That shifts the gradient by b. Subtract b from f(z), before "
    "the score is multiplied and the samples are averaged."
)
def baseline_after_averaging(f, mu, logvar, eps, baseline=0.0):
    return tuple(g - baseline for g in reference("score_function_gradient")(f, mu, logvar, eps))


@score_function_gradient.mistake(
    "You subtract the mean of f over the samples too. A baseline computed from the same samples depends on z and biases the "
    "gradient; use the given one only."
)
def own_mean_as_baseline(f, mu, logvar, eps, baseline=0.0):
    return reference("score_function_gradient")(lambda z: f(z) - f(z).mean(0), mu, logvar, eps, baseline)


@score_function_gradient.mistake(
    "The gradient also runs through z inside log q. The score is taken with z held fixed: use z.detach() in log_prob."
)
def through_z_in_log_q(f, mu, logvar, eps, baseline=0.0):
    mu, logvar = mu.detach().clone().requires_grad_(), logvar.detach().clone().requires_grad_()
    sigma = (0.5 * logvar).exp()
    z = mu + sigma * eps
    log_q = Normal(mu, sigma).log_prob(z).sum(-1)
    surrogate = ((f(z).detach() - baseline) * log_q).mean(0).sum()
    return torch.autograd.grad(surrogate, (mu, logvar))


@score_function_gradient.mistake(
    "The gradient runs through z, in f and in log q, as well as through the density. That mixes the two estimators. Hold z fixed: z.detach()."
)
def through_z_everywhere(f, mu, logvar, eps, baseline=0.0):
    mu, logvar = mu.detach().clone().requires_grad_(), logvar.detach().clone().requires_grad_()
    sigma = (0.5 * logvar).exp()
    z = mu + sigma * eps
    surrogate = ((f(z) - baseline) * Normal(mu, sigma).log_prob(z).sum(-1)).mean(0).sum()
    return torch.autograd.grad(surrogate, (mu, logvar))


@score_function_gradient.mistake(
    "z is held fixed in log q, as it should be, but f(z) still carries a graph, so f is differentiated as well. Only the values "
    "of f count: detach them too."
)
def f_not_detached(f, mu, logvar, eps, baseline=0.0):
    mu, logvar = mu.detach().clone().requires_grad_(), logvar.detach().clone().requires_grad_()
    sigma = (0.5 * logvar).exp()
    z = mu + sigma * eps
    log_q = Normal(mu, sigma).log_prob(z.detach()).sum(-1)
    return torch.autograd.grad(((f(z) - baseline) * log_q).mean(0).sum(), (mu, logvar))


@score_function_gradient.mistake(
    "f(z) is differentiated as well as the density: you add the pathwise gradient to the score-function one, and get both. Only "
    "the values of f count: detach them."
)
def both_added(f, mu, logvar, eps, baseline=0.0):
    mu, logvar = mu.detach().clone().requires_grad_(), logvar.detach().clone().requires_grad_()
    sigma = (0.5 * logvar).exp()
    z = mu + sigma * eps
    log_q = Normal(mu, sigma).log_prob(z.detach()).sum(-1)
    return torch.autograd.grad(((f(z) - baseline).detach() * log_q + f(z)).mean(0).sum(), (mu, logvar))


@score_function_gradient.mistake(
    "Your second gradient is twice what it should be: the ½ in front of (eps² − 1) is missing. It comes from logvar = log σ²."
)
def half_missing(f, mu, logvar, eps, baseline=0.0):
    grad_mu, grad_logvar = reference("score_function_gradient")(f, mu, logvar, eps, baseline)
    return grad_mu, 2 * grad_logvar


@score_function_gradient.mistake(
    "The −½ of the second score is missing: log q also holds −½·logvar, the normalisation, and its derivative belongs in."
)
def forgot_normalisation(f, mu, logvar, eps, baseline=0.0):
    weight, score_mu, score_logvar = _score(f, mu, logvar, eps, baseline)
    return (weight * score_mu).mean(0), (weight * (score_logvar + 0.5)).mean(0)


@score_function_gradient.mistake(
    "You divide eps by σ² for mu. The score is (z − mu)/σ², and z − mu is σ·eps: one σ cancels, eps/σ is left."
)
def divided_by_variance(f, mu, logvar, eps, baseline=0.0):
    weight, score_mu, score_logvar = _score(f, mu, logvar, eps, baseline)
    return (weight * score_mu / (0.5 * logvar).exp()).mean(0), (weight * score_logvar).mean(0)


@score_function_gradient.mistake("For mu you use eps alone. The score with respect to mu is eps/σ: divide by σ.")
def forgot_sigma(f, mu, logvar, eps, baseline=0.0):
    weight, _, score_logvar = _score(f, mu, logvar, eps, baseline)
    return (weight * eps).mean(0), (weight * score_logvar).mean(0)


@score_function_gradient.mistake(
    "You add up the K samples. An estimate of an expectation is their mean: average over dim 0."
)
def samples_summed(f, mu, logvar, eps, baseline=0.0):
    weight, *scores = _score(f, mu, logvar, eps, baseline)
    return tuple((weight * score).sum(0) for score in scores)


@score_function_gradient.mistake(
    "You average over the rows too, which makes each gradient N times too small. Average over the samples (dim 0) only."
)
def rows_averaged(f, mu, logvar, eps, baseline=0.0):
    weight, *scores = _score(f, mu, logvar, eps, baseline)
    return tuple((weight * score).mean(0) / len(mu) for score in scores)


@score_function_gradient.mistake(
    "You multiply the average of f by the average of the score. The average of a product is not the product of the averages: "
    "multiply sample by sample, then take the mean."
)
def product_of_averages(f, mu, logvar, eps, baseline=0.0):
    weight, *scores = _score(f, mu, logvar, eps, baseline)
    return tuple(weight.mean(0) * score.mean(0) for score in scores)


@score_function_gradient.mistake("You evaluate f at the noise. f wants z = mu + σ·eps.")
def f_of_noise(f, mu, logvar, eps, baseline=0.0):
    _, *scores = _score(f, mu, logvar, eps, baseline)
    weight = (f(eps) - baseline).unsqueeze(-1)
    return tuple((weight * score).mean(0) for score in scores)


@score_function_gradient.mistake("The two gradients are right, in the wrong order: return (grad_mu, grad_logvar).")
def order_swapped(f, mu, logvar, eps, baseline=0.0):
    return reference("score_function_gradient")(f, mu, logvar, eps, baseline)[::-1]


@score_function_gradient.mistake(
    "That is `pathwise_gradient`: f is differentiated. Here f may be a step, and only its values may be used."
)
def pathwise_again(f, mu, logvar, eps, baseline=0.0):
    return reference("pathwise_gradient")(lambda z: f(z) - baseline + 0 * z.sum(-1), mu, logvar, eps)


@score_function_gradient.variant
def by_autograd(f, mu, logvar, eps, baseline=0.0):
    m, v = mu.clone().requires_grad_(), logvar.clone().requires_grad_()
    q = Independent(Normal(m, v.mul(0.5).exp()), 1)
    z = (m + (v / 2).exp() * eps).detach()
    ((f(z) - baseline) * q.log_prob(z)).mean(0).sum().backward()
    return m.grad, v.grad


@score_function_gradient.variant
def by_einsum_in_float64(f, mu, logvar, eps, baseline=0.0):
    eps, sigma = eps.double(), logvar.double().exp() ** 0.5
    values = f(mu + sigma * eps).double() - baseline
    grad_mu = torch.einsum("kn,knd->nd", values, eps) / sigma / len(eps)
    return [grad_mu, (torch.einsum("kn,knd->nd", values, eps * eps) - values.sum(0)[:, None]) / (2 * len(eps))]


@score_function_gradient.mistake(
    "mu and logvar come as plain tensors, for which no gradient is recorded. Make leaves of copies of them, with `requires_grad_()`."
)
def density_on_the_inputs(f, mu, logvar, eps, baseline=0.0):
    with torch.no_grad():
        z = mu + (0.5 * logvar).exp() * eps
        values = f(z)
    log_q = -0.5 * (logvar + (z - mu) ** 2 / logvar.exp()).sum(-1)
    return torch.autograd.grad(torch.mean((values - baseline) * log_q, 0).sum(), [mu, logvar])


predict_noisier = Exercise("predict_noisier")
predict_noisier.wrong_choices("""
pathwise: a
    For D = 1 the pathwise estimate is 2(z − 1), with variance 4. Compare (z − 1)²·z: it contains the third power of the
    noise.
the_same: c
    They have the same average. One knows the slope of f, the other has to infer it from values: which wobbles more?
""")

predict_growth = Exercise("predict_growth")
predict_growth.wrong_choices("""
stays: a
    The score of dimension 1 doesn't know the other dimensions, but it is multiplied by f(z), which is a sum over all of
    them.
linearly: b
    f itself grows by 10, since it is a sum of D terms. The estimate is f times the score; its variance goes with the
    square.
""")

predict_constant = Exercise("predict_constant")
predict_constant.wrong_choices("""
averages_change: a
    A constant adds b·E[score] to the average, and the score averages to zero. For the pathwise estimate, a constant has
    no slope.
nothing_changes: c
    The averages do stay. But each single score-function estimate is multiplied by f + 100 now: how far apart do they
    lie?
""")

predict_step = Exercise("predict_step")
predict_step.wrong_choices("""
both_right: a
    The pathwise estimate averages df/dz. What is the slope of a step at each point that is not the step itself?
score_is_zero: c
    The score function never differentiates f. It weighs the score by f's values, 0 and 1, and those differ.
""")

predict_breaks = Exercise("predict_breaks")
predict_breaks.wrong_choices("""
log_std: b
    The slope with respect to log σ is σ·100 = 100, so log σ goes from 0 to −2. σ = exp(−2) is a fine number.
log_variance: c
    The slope with respect to log σ² is ½·σ·100 = 50, so log σ² goes from 0 to −1. σ = exp(−½) is a fine number.
softplus: d
    softplus is positive for every ρ, and its slope is below 1, so the step is smaller than the raw one.
""")

predict_slower = Exercise("predict_slower")
predict_slower.wrong_choices("""
once: 2
    One ½ is right: the gradient with respect to log σ² is half that with respect to log σ. Now turn a step in log σ²
    into one in log σ.
inverse: 0.25
    That is the inverse ratio: log-variance is the slower one.
same: 1
    log σ² = 2·log σ, so the gradients are not the same. Which factor does the chain rule bring?
""")


gumbel_softmax = Exercise("gumbel_softmax")

gumbel_softmax.recurring(recurring_detached)
gumbel_softmax.edits("""
temperature_held_up: `/ temperature` → `/ max(temperature, 0.1)`
    You hold the temperature above some value. Divide by the one that you are given, however low.
softmax_over_rows: `dim=-1` → `dim=0`
    Your softmax runs over the rows. Each row is a distribution over the C categories: use the last dimension.
forgot_noise: `(logits + gumbel)` → `logits`
    The Gumbel noise is missing: this is the softmax itself, not a sample. Add `gumbel` to the logits.
forgot_temperature: ` / temperature` → ``
    The temperature has no effect. Divide logits + gumbel by it before the softmax.
multiplied_by_temperature: ` / temperature` → ` * temperature`
    You multiply by the temperature. Divide: a low temperature must make the sample sharper.
noise_outside_temperature: `((logits + gumbel) / temperature)` → `(logits / temperature + gumbel)`
    Only the logits are divided by the temperature. Divide the sum, noise included; else the temperature changes which
    category wins.
subtracted_noise: `logits + gumbel` → `logits - gumbel`
    You subtract the Gumbel noise. It is not symmetric: logits − g does not choose categories with the right
    probabilities.
log_softmax: `.softmax(` → `.log_softmax(`
    You return logarithms (log_softmax). Asked for are the relaxed one-hot rows themselves, which sum to 1.
only_the_noise_divided: `((logits + gumbel) / temperature)` → `(logits + gumbel / temperature)`
    Only the noise is divided by the temperature. Divide the sum of logits and noise.
sigmoid: `.softmax(dim=-1)` → `.sigmoid()`
    This is a sigmoid for each number, and the rows don't add up to 1. A softmax makes a distribution of each row.
noise_made_of_noise: `(logits + gumbel)` → `(logits - (-gumbel.log()).log())`
    You take `gumbel` for uniform numbers, and make Gumbel noise of them. It is Gumbel noise already: add it as it is.
not_normalised: `.softmax(dim=-1)` → `.exp()`
    The numbers are not divided by their sum. A softmax's rows add up to 1: exp of each, over the sum of the row.
""")


@gumbel_softmax.mistake(
    "You return hard one-hot vectors. Their gradient is zero everywhere; the relaxed sample is the softmax, not its argmax."
)
def hard(logits, gumbel, temperature):
    return F.one_hot((logits + gumbel).argmax(-1), logits.shape[-1]).float()


@gumbel_softmax.mistake(
    "The exponentials overflow for large logits or low temperatures. Subtract the largest entry first, or use torch's softmax."
)
def overflows(logits, gumbel, temperature):
    weights = ((logits + gumbel) / temperature).exp()
    return weights / weights.sum(-1, keepdim=True)


@gumbel_softmax.mistake(
    "You add the noise to the probabilities, softmax(logits) + g. It is added to the logits: only then does the largest entry have "
    "the right distribution."
)
def noise_on_probabilities(logits, gumbel, temperature):
    return ((logits.softmax(-1) + gumbel) / temperature).softmax(-1)


@gumbel_softmax.mistake("You draw Gumbel noise of your own. Use the noise that is given.")
def ignores_given_noise(logits, gumbel, temperature):
    return F.gumbel_softmax(logits, temperature)


@gumbel_softmax.mistake(
    "You draw Gumbel noise of your own. Use the `gumbel` that you are given: the caller decides on the noise."
)
def own_gumbel_by_hand(logits, gumbel, temperature):
    return ((logits - (-torch.rand_like(logits).log()).log()) / temperature).softmax(-1)


@gumbel_softmax.mistake(
    "You add a small constant inside the logarithm of the probabilities. It lifts the categories that hardly ever come. The logits are logarithms already (up to a constant): use them as they are."
)
def constant_in_the_logarithm(logits, gumbel, temperature):
    return (((logits.softmax(-1) + 1e-7).log() + gumbel) / temperature).softmax(-1)


@gumbel_softmax.variant
def largest_subtracted(logits, gumbel, temperature):
    scores = logits.double() + gumbel
    weights = torch.exp((scores - scores.max(dim=1, keepdim=True).values) / temperature)
    return weights / weights.sum(dim=1)[:, None]


@gumbel_softmax.variant
def by_logsumexp(logits, gumbel, temperature):
    scores = (F.log_softmax(logits, -1) + gumbel) / temperature
    return torch.exp(scores - torch.logsumexp(scores, -1, keepdim=True))
