"""Lesson 14, from VAE to diffusion: what students get wrong, and other ways to be right."""

import math

import torch
from torch.distributions import Independent, Normal, kl_divergence

from . import Exercise, reference
from .recurring import detached, in_bits, own_noise, sign_reversed


def _like(values, x):
    """values (N,) with as many dimensions as x."""
    return values.reshape([-1] + [1] * (x.dim() - 1))


# --- predictions --------------------------------------------------------------------------------------------------------------

predict_exact_posteriors = Exercise("predict_exact_posteriors")
predict_exact_posteriors.wrong_choices("""
right_on_average: a
    It is log p(x) on average, yes. But write the bracket as log p(x, z1, z2) − log p(z1, z2 | x): what does the product
    rule make of that?
below: c
    The bound lies below log p(x) by a KL: that of q to the exact posterior. How large is it here?
""")

predict_half_way = Exercise("predict_half_way")
predict_half_way.wrong_choices("""
half: b
    ᾱ is a product of 500 factors a little below 1, and it falls like an exponential. Add up the first 500 β: what is exp
    of minus that?
nothing: c
    That is what ᾱ is near the end. The first 500 β have a mean of about 0.005: what is exp(−500 · 0.005)?
""")

predict_posterior_variance = Exercise("predict_posterior_variance")
predict_posterior_variance.wrong_choices("""
larger: a
    Precisions add up: what you know from x_t has precision α/β, and x_0 adds 1/(1 − ᾱ). Can the sum be smaller than 1/β?
    α + β = 1.
close_when_t_is_small: b
    It is smaller, but look at t = 1: x_0 is known, so the way back has no variance at all. When does knowing x_0 help
    little?
""")

predict_untrained_loss = Exercise("predict_untrained_loss")
predict_untrained_loss.wrong_choices("""
averaged_over_dimensions: 1
    That is the expected square of one dimension. The loss is summed over the dimensions.
with_a_half: 8
    There is no ½ in this loss. What is the expectation of ‖ε‖² in 16 dimensions?
a_length: 4
    That is the length of ε. The loss is the squared length: what is its expectation?
""")

predict_better_prior = Exercise("predict_better_prior")
predict_better_prior.wrong_choices("""
all_the_same: a
    Mean and standard deviation fit. But 60,000 narrow clouds can have mean 0 and standard deviation 1, and leave most of
    the space empty. Remember lesson 08: fewer than half of the prior's draws were digits.
above_both: b
    The model learns the density of the samples of q, with a small network in twenty seconds. Where it errs it leaves the
    region that the decoder knows. Can a copy be better than what it was copied from?
""")

predict_few_steps = Exercise("predict_few_steps")
predict_few_steps.wrong_choices("""
falls_to_the_prior: b
    Large steps are less Gaussian, but each still moves the code towards what the network takes for data. From afar the
    codes are nearly N(0, I), so that most of the way needs little care.
same_spread: c
    The network is the same, the variance of a step is not what it should be. Remember the Gaussian toy in section 3:
    what did its samples lack at 5 steps?
""")

# --- hierarchical_elbo --------------------------------------------------------------------------------------------------------

hierarchical_elbo = Exercise("hierarchical_elbo")
hierarchical_elbo.edits("""
standard_prior_for_z1: `log_normal(z1, *model.decode2(z2))` → `log_normal(z1, torch.zeros_like(z1), torch.zeros_like(z1))`
    You give z1 the prior N(0, I). Its prior is p(z1 | z2), which model.decode2(z2) describes: that is what the second
    layer is for.
middle_prior_missing: ` + log_normal(z1, *model.decode2(z2))` → ``
    log p(z1 | z2) is missing. Every latent variable appears twice: once in p, once in q.
densities_averaged: `return log_p - log_q` → `like = model.log_likelihood(x, z1)\n    top = log_normal(z2, torch.zeros_like(z2), torch.zeros_like(z2)) - log_normal(z2, mu2, logvar2)\n    middle = log_normal(z1, *model.decode2(z2)) - log_normal(z1, mu1, logvar1)\n    return like + middle / z1.shape[1] + top / z2.shape[1]`
    The log densities are averaged over the dimensions. The log of a product is a sum: add them up.
path_cut_at_z1: `z1 = mu1 + (0.5 * logvar1).exp() * eps1` → `z1 = (mu1 + (0.5 * logvar1).exp() * eps1).detach()`
    The values are right, but z1 is detached, so that no gradient passes through it to the first encoder.
top_prior_missing: `    log_p = log_p + log_normal(z2, torch.zeros_like(z2), torch.zeros_like(z2))\n` → ``
    log p(z2), the prior of the top layer, is missing. Without it z2 may lie anywhere at no cost.
top_entropy_missing: ` + log_normal(z2, mu2, logvar2)` → ``
    log q(z2 | z1) is missing. Every latent variable appears twice: once in p, once in q.
first_entropy_missing: `log_normal(z1, mu1, logvar1) + ` → ``
    log q(z1 | x) is missing. Every latent variable appears twice: once in p, once in q.
likelihood_missing: `model.log_likelihood(x, z1) + ` → ``
    log p(x | z1) is missing: without it the bound never looks at the image.
likelihood_at_the_mean: `model.log_likelihood(x, z1)` → `model.log_likelihood(x, mu1)`
    The likelihood is taken at the mean mu1. All densities belong at the z1 that was drawn.
second_layer_sees_the_mean: `model.encode2(z1)` → `model.encode2(mu1)`
    The second encoder reads mu1. q(z2 | z1) reads the z1 that was drawn.
sum_of_both: `return log_p - log_q` → `return log_p + log_q`
    log q is subtracted: the bound is log p(x, z1, z2) − log q(z1, z2 | x).
negative: `return log_p - log_q` → `return log_q - log_p`
    This is the negative ELBO, a loss. Return the bound itself.
summed_over_rows: `return log_p - log_q` → `return (log_p - log_q).sum()`
    The rows are summed. Each keeps a number of its own: (N,).
averaged_over_rows: `return log_p - log_q` → `return (log_p - log_q).mean()`
    The rows are averaged. Each keeps a number of its own: (N,).
log_variance_of_one: `log_normal(z2, torch.zeros_like(z2), torch.zeros_like(z2))` → `log_normal(z2, torch.zeros_like(z2), torch.ones_like(z2))`
    You give the prior of z2 a log-variance of 1. Its variance is 1, whose logarithm is 0.
second_layer_not_drawn: `z2 = mu2 + (0.5 * logvar2).exp() * eps2` → `z2 = mu2`
    z2 is the mean mu2. A sample of q(z2 | z1) adds σ2·eps2.
first_layer_not_drawn: `z1 = mu1 + (0.5 * logvar1).exp() * eps1` → `z1 = mu1`
    z1 is the mean mu1. A sample of q(z1 | x) adds σ1·eps1.
middle_prior_of_the_mean: `model.decode2(z2)` → `model.decode2(mu2)`
    p(z1 | z2) is taken at the mean mu2. All densities belong at the z2 that was drawn.
noise_of_the_first_layer: `* eps2` → `* eps1`
    z2 is made with eps1, the noise of z1. It has noise of its own, eps2.
standard_prior_too: `log_p = model.log_likelihood(x, z1)` → `log_p = model.log_likelihood(x, z1) + log_normal(z1, torch.zeros_like(z1), torch.zeros_like(z1))`
    z1 has two priors, N(0, I) and p(z1 | z2). Only z2 has the prior N(0, I).
likelihood_subtracted: `log_p = model.log_likelihood(x, z1)` → `log_p = -model.log_likelihood(x, z1)`
    The likelihood is subtracted. `log_likelihood` is no loss: it is added, as the other terms of log p.
""")
hierarchical_elbo.recurring(detached)


@hierarchical_elbo.mistake(
    "You take exp(logvar) for the standard deviation when you draw. It is the variance: σ = exp(½·logvar)."
)
def variance_as_std(model, x, eps1, eps2):
    mu1, logvar1 = model.encode1(x)
    z1 = mu1 + logvar1.exp() * eps1
    mu2, logvar2 = model.encode2(z1)
    z2 = mu2 + logvar2.exp() * eps2
    return _log_weight(model, x, z1, z2, (mu1, logvar1), (mu2, logvar2))


@hierarchical_elbo.mistake(
    "Your top layer is a KL in closed form. That is a good estimate of the same bound, but another one: here all five densities are taken at "
    "the drawn z1 and z2."
)
def top_kl_in_closed_form(model, x, eps1, eps2):
    mu1, logvar1 = model.encode1(x)
    z1 = mu1 + (0.5 * logvar1).exp() * eps1
    mu2, logvar2 = model.encode2(z1)
    z2 = mu2 + (0.5 * logvar2).exp() * eps2
    q2, mean_scale = Normal(mu2, (0.5 * logvar2).exp()), model.decode2(z2)
    kl = kl_divergence(q2, Normal(0.0, 1.0)).sum(-1)
    p1, q1 = Normal(mean_scale[0], (0.5 * mean_scale[1]).exp()), Normal(mu1, (0.5 * logvar1).exp())
    return model.log_likelihood(x, z1) + (p1.log_prob(z1) - q1.log_prob(z1)).sum(-1) - kl


def _log_weight(model, x, z1, z2, q1, q2):
    def log_density(z, mu, logvar):
        return (-0.5 * (math.log(2 * math.pi) + logvar + (z - mu) ** 2 / logvar.exp())).sum(dim=1)

    up = log_density(z1, *q1) + log_density(z2, *q2)
    return (
        model.log_likelihood(x, z1) + log_density(z1, *model.decode2(z2)) - 0.5 * (z2**2 + math.log(2 * math.pi)).sum(1) - up
    )


@hierarchical_elbo.mistake(
    "Both layers are KLs in closed form. That is a good estimate of the same bound, but another one: here all five densities are taken at the drawn z1 and z2."
)
def both_kls_in_closed_form(model, x, eps1, eps2):
    mu1, logvar1 = model.encode1(x)
    z1 = mu1 + (0.5 * logvar1).exp() * eps1
    mu2, logvar2 = model.encode2(z1)
    mu, logvar = model.decode2(mu2 + (0.5 * logvar2).exp() * eps2)
    first = kl_divergence(Normal(mu1, (0.5 * logvar1).exp()), Normal(mu, (0.5 * logvar).exp())).sum(-1)
    return model.log_likelihood(x, z1) - first - kl_divergence(Normal(mu2, (0.5 * logvar2).exp()), Normal(0.0, 1.0)).sum(-1)


@hierarchical_elbo.mistake(
    "Both layers have a KL to N(0, I), as two plain VAEs would. The prior of z1 is p(z1 | z2): model.decode2(z2) describes it."
)
def two_plain_kls(model, x, eps1, eps2):
    mu1, logvar1 = model.encode1(x)
    z1 = mu1 + (0.5 * logvar1).exp() * eps1
    mu2, logvar2 = model.encode2(z1)
    return (
        model.log_likelihood(x, z1)
        - 0.5 * (mu1**2 + logvar1.exp() - 1 - logvar1).sum(1)
        - 0.5 * (mu2**2 + logvar2.exp() - 1 - logvar2).sum(1)
    )


@hierarchical_elbo.mistake(
    "The draws are right, but the log densities take exp(logvar) for the standard deviation. It is the variance: σ = exp(½·logvar)."
)
def variance_in_the_densities(model, x, eps1, eps2):
    def log_density(z, mu, logvar):
        return Normal(mu, logvar.exp()).log_prob(z).sum(-1)

    mu1, logvar1 = model.encode1(x)
    z1 = mu1 + (0.5 * logvar1).exp() * eps1
    mu2, logvar2 = model.encode2(z1)
    z2 = mu2 + (0.5 * logvar2).exp() * eps2
    log_p = model.log_likelihood(x, z1) + log_density(z1, *model.decode2(z2)) + Normal(0.0, 1.0).log_prob(z2).sum(-1)
    return log_p - log_density(z1, mu1, logvar1) - log_density(z2, mu2, logvar2)


@hierarchical_elbo.mistake(
    "You draw noise of your own. Use eps1 and eps2 as they are given: the caller decides on the noise."
)
def own_noise_in_both_layers(model, x, eps1, eps2):
    return reference("hierarchical_elbo")(model, x, torch.randn_like(eps1), torch.randn_like(eps2))


@hierarchical_elbo.variant
def by_hand(model, x, eps1, eps2):
    q1 = model.encode1(x)
    z1 = q1[0] + q1[1].exp().sqrt() * eps1
    q2 = model.encode2(z1)
    z2 = torch.addcmul(q2[0], q2[1].exp() ** 0.5, eps2)
    return _log_weight(model, x, z1, z2, q1, q2)


@hierarchical_elbo.variant
def by_distributions(model, x, eps1, eps2):
    def normal(parameters):
        mu, logvar = parameters
        return Independent(Normal(mu, torch.exp(logvar / 2)), 1)

    q1 = normal(model.encode1(x))
    z1 = q1.base_dist.loc + q1.base_dist.scale * eps1
    q2 = normal(model.encode2(z1))
    z2 = q2.base_dist.loc + q2.base_dist.scale * eps2
    prior = Independent(Normal(torch.zeros(z2.shape), 1.0), 1)
    terms = [model.log_likelihood(x, z1), normal(model.decode2(z2)).log_prob(z1), prior.log_prob(z2)]
    return sum(terms) - q1.log_prob(z1) - q2.log_prob(z2)


# log q at its own sample needs only the noise.
@hierarchical_elbo.variant
def entropies_from_the_noise(model, x, eps1, eps2):
    mu1, logvar1 = model.encode1(x)
    z1 = mu1 + torch.exp(0.5 * logvar1) * eps1
    mu2, logvar2 = model.encode2(z1)
    z2 = mu2 + torch.exp(0.5 * logvar2) * eps2
    mu, logvar = model.decode2(z2)
    top = 0.5 * (logvar2 + eps2**2 - z2**2).sum(1)
    middle = 0.5 * (logvar1 + eps1**2 - logvar - (z1 - mu) ** 2 * torch.exp(-logvar)).sum(1)
    return model.log_likelihood(x, z1) + middle + top


# --- q_sample -----------------------------------------------------------------------------------------------------------------

q_sample = Exercise("q_sample")
q_sample.edits("""
signal_not_rooted: `signal.sqrt() * x0` → `signal * x0`
    x0 is multiplied by ᾱ. ᾱ is a share of the variance; what multiplies x0 is its root, √ᾱ.
noise_not_rooted: `(1 - signal).sqrt()` → `(1 - signal)`
    The noise is multiplied by 1 − ᾱ, a variance. It needs the standard deviation √(1 − ᾱ).
one_minus_the_root: `(1 - signal).sqrt()` → `(1 - signal.sqrt())`
    The noise is multiplied by 1 − √ᾱ. The variances add up to 1, the factors don't: √(1 − ᾱ).
nothing_rooted: `signal.sqrt() * x0 + (1 - signal).sqrt() * eps` → `signal * x0 + (1 - signal) * eps`
    Neither root is there. ᾱ and 1 − ᾱ are shares of the variance: x0 and eps are multiplied by their square roots.
signal_and_noise_swapped: `signal.sqrt() * x0 + (1 - signal).sqrt() * eps` → `(1 - signal).sqrt() * x0 + signal.sqrt() * eps`
    Signal and noise have changed places: √ᾱ belongs to x0, which is left whole at t = 0.
noise_subtracted: ` + (1 - signal)` → ` - (1 - signal)`
    The noise is subtracted. That has the same distribution, but then eps is not the noise that the model should find:
    x_t = √ᾱ·x0 + √(1 − ᾱ)·eps.
one_step_only: `alpha_bar[t]` → `(alpha_bar[t] / alpha_bar[(t - 1).clamp(min=0)])`
    You use α_t, the factor of one step. From x0 to x_t there are t steps, and their product is alpha_bar[t].
index_off_by_one: `alpha_bar[t]` → `alpha_bar[t - 1]`
    The index is off by one. alpha_bar[0] = 1 is in front, so ᾱ_t is alpha_bar[t].
x0_not_scaled: `signal.sqrt() * x0` → `x0`
    x0 is left as it is. Each step shrinks it: x0 is multiplied by √ᾱ_t.
product_taken_again: `alpha_bar[t]` → `alpha_bar.cumprod(0)[t]`
    You take the running product once more. alpha_bar is that product already.
one_noise_for_all: `* eps` → `* eps[:1]`
    All rows get the noise of the first one. Every row has noise of its own.
column_meets_the_rows_of_pixels: `alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))` → `alpha_bar[t][:, None]`
    `[:, None]` adds one dimension, which is right for vectors. Images have three behind the first: add as many ones as
    x0 has, or the row of an image meets another row's step.
""")


@q_sample.mistake(
    "`alpha_bar[t]` is (N,), and broadcasting lines it up with the *last* dimension of x0. Give it N rows: (N, 1) for codes, (N, 1, 1, 1) for images."
)
def t_meets_the_columns(x0, t, alpha_bar, eps):
    signal = alpha_bar[t]
    return signal.sqrt() * x0 + (1 - signal).sqrt() * eps


@q_sample.mistake("All rows are at the step of the first one. Every row has a t of its own.")
def one_t_for_all(x0, t, alpha_bar, eps):
    return reference("q_sample")(x0, t[:1].expand(len(x0)), alpha_bar, eps)


q_sample.recurring(
    own_noise("eps"),
    hint="You draw noise of your own. Use the eps that is given, so that the loss can ask the model for it.",
)


@q_sample.mistake(
    "Your ᾱ has four dimensions, whatever x0 has: right for images, not for codes (N, D). Give it as many as x0 has, x0.ndim."
)
def only_for_images(x0, t, alpha_bar, eps):
    signal = alpha_bar[t].view(-1, 1, 1, 1)
    return signal.sqrt() * x0 + (1 - signal).sqrt() * eps


@q_sample.variant
def row_by_row(x0, t, alpha_bar, eps):
    found = [
        math.sqrt(alpha_bar[int(s)]) * x + math.sqrt(1 - alpha_bar[int(s)]) * e for x, s, e in zip(x0, t, eps, strict=True)
    ]
    return torch.stack(found)


@q_sample.variant
def by_einsum(x0, t, alpha_bar, eps):
    signal = alpha_bar.double()[t]
    noisy = torch.einsum("n,n...->n...", signal.sqrt(), x0.double()) + torch.einsum(
        "n,n...->n...", (1 - signal).sqrt(), eps.double()
    )
    return noisy.float()


@q_sample.variant
def by_the_transpose(x0, t, alpha_bar, eps):
    std = torch.sqrt(1.0 - alpha_bar)
    return (torch.sqrt(alpha_bar)[t] * x0.movedim(0, -1) + std[t] * eps.movedim(0, -1)).movedim(-1, 0)


# --- posterior_mean_variance --------------------------------------------------------------------------------------------------

posterior_mean_variance = Exercise("posterior_mean_variance")
posterior_mean_variance.edits("""
variance_beta: `variance = beta * (1 - before) / (1 - now)` → `variance = beta`
    Your variance is β_t, that of a step forward. Whoever knows x0 knows more: β̃_t = β_t·(1 − ᾱ_{t−1})/(1 − ᾱ_t), which
    is 0 for t = 1.
variance_upside_down: `variance = beta * (1 - before) / (1 - now)` → `variance = beta * (1 - now) / (1 - before)`
    The fraction in the variance stands on its head: β̃_t is smaller than β_t, and 0 for t = 1.
standard_deviation: `variance = beta * (1 - before) / (1 - now)` → `variance = (beta * (1 - before) / (1 - now)).sqrt()`
    Your second result is the standard deviation. The variance is asked for.
log_variance: `variance = beta * (1 - before) / (1 - now)` → `variance = (beta * (1 - before) / (1 - now)).log()`
    Your second result is the logarithm of the variance. The variance itself is asked for.
variance_keeps_dimensions: `* xt, variance` → `* xt, rows(variance, x0)`
    The mean is right. The variance is one number for each row: (N,), without further dimensions.
weights_swapped: `rows(of_x0, x0) * x0 + rows(of_xt, xt) * xt` → `rows(of_x0, x0) * xt + rows(of_xt, xt) * x0`
    The two weights have changed places: the one with β_t belongs to x0.
root_of_x0s_weight_missing: `before.sqrt() * beta` → `before * beta`
    In the weight of x0 the root is missing: √ᾱ_{t−1}.
x0_weighted_at_t: `before.sqrt() * beta` → `now.sqrt() * beta`
    In the weight of x0 stands √ᾱ_t. It is √ᾱ_{t−1}: the weight says where x_{t−1} should be.
root_of_xts_weight_missing: `(now / before).sqrt() * (1 - before)` → `(now / before) * (1 - before)`
    In the weight of x_t the root is missing: √α_t.
alpha_bar_for_alpha: `(now / before).sqrt() * (1 - before)` → `now.sqrt() * (1 - before)`
    In the weight of x_t stands √ᾱ_t, with a bar. It is the α of this one step, ᾱ_t/ᾱ_{t−1}.
index_off_by_one: `alpha_bar[t], alpha_bar[t - 1]` → `alpha_bar[(t + 1).clamp(max=len(alpha_bar) - 1)], alpha_bar[t]`
    The indices are off by one: ᾱ_t is alpha_bar[t], and ᾱ_{t−1} is alpha_bar[t - 1].
indices_shifted: `alpha_bar[t], alpha_bar[t - 1]` → `alpha_bar[t - 1], alpha_bar[t - 2]`
    The indices are off by one. alpha_bar[0] = 1 is in front: ᾱ_t is alpha_bar[t], and ᾱ_{t−1} is alpha_bar[t - 1].
beta_of_all_steps: `beta = 1 - now / before` → `beta = 1 - now`
    You take 1 − ᾱ_t for β_t. β_t belongs to one step: 1 − α_t, with α_t = ᾱ_t/ᾱ_{t−1}.
denominators_missing: `beta / (1 - now)\n    of_xt = (now / before).sqrt() * (1 - before) / (1 - now)` → `beta\n    of_xt = (now / before).sqrt() * (1 - before)`
    The denominator 1 − ᾱ_t is missing in both weights of the mean.
denominators_rooted: `beta / (1 - now)\n    of_xt = (now / before).sqrt() * (1 - before) / (1 - now)` → `beta / (1 - now).sqrt()\n    of_xt = (now / before).sqrt() * (1 - before) / (1 - now).sqrt()`
    Both weights of the mean are divided by √(1 − ᾱ_t). The denominator is 1 − ᾱ_t, without a root.
precision: `variance = beta * (1 - before) / (1 - now)` → `variance = (1 - now) / (beta * (1 - before))`
    Your second result is one over the variance, the precision. The variance is asked for.
variance_first: `return rows(of_x0, x0) * x0 + rows(of_xt, xt) * xt, variance` → `return variance, rows(of_x0, x0) * x0 + rows(of_xt, xt) * xt`
    The two results have changed places: first the mean, then the variance.
weights_meet_the_columns: `rows(of_x0, x0) * x0 + rows(of_xt, xt) * xt` → `of_x0 * x0 + of_xt * xt`
    The weights are (N,), and line up with the columns of x0. Use `rows` where they meet x0 and xt.
column_meets_the_rows_of_pixels: `rows(of_x0, x0) * x0 + rows(of_xt, xt) * xt` → `of_x0[:, None] * x0 + of_xt[:, None] * xt`
    `[:, None]` adds one dimension, which is right for vectors. Images have three behind the first: use `rows`.
""")


@posterior_mean_variance.mistake(
    "The mean ignores x0: you undo the step, x_t/√α_t. But q(x_{t−1} | x_t, x0) also knows where the chain began."
)
def undoes_the_step(x0, xt, t, alpha_bar):
    alpha = alpha_bar[t] / alpha_bar[t - 1]
    return xt / _like(alpha.sqrt(), xt), reference("posterior_mean_variance")(x0, xt, t, alpha_bar)[1]


@posterior_mean_variance.mistake("All rows are at the step of the first one. Every row has a t of its own.")
def one_t_for_all(x0, xt, t, alpha_bar):
    return reference("posterior_mean_variance")(x0, xt, t[:1].expand(len(t)), alpha_bar)


def _posterior(x0, xt, now, before, alpha):
    beta = 1 - alpha
    mean = _like(before.sqrt() * beta / (1 - now), x0) * x0 + _like(alpha.sqrt() * (1 - before) / (1 - now), xt) * xt
    return mean, beta * (1 - before) / (1 - now)


@posterior_mean_variance.mistake("You take ᾱ_t for α_t. α_t belongs to one step: ᾱ_t/ᾱ_{t−1}.")
def bar_for_alpha_everywhere(x0, xt, t, alpha_bar):
    return _posterior(x0, xt, alpha_bar[t], alpha_bar[t - 1], alpha_bar[t])


@posterior_mean_variance.mistake("Your α_t stands on its head, ᾱ_{t−1}/ᾱ_t, which is above 1. It is ᾱ_t/ᾱ_{t−1}.")
def alpha_upside_down(x0, xt, t, alpha_bar):
    return _posterior(x0, xt, alpha_bar[t], alpha_bar[t - 1], alpha_bar[t - 1] / alpha_bar[t])


@posterior_mean_variance.mistake(
    "This is q(x_{t−1} | x0), which doesn't look at x_t. Bayes' rule weighs it with what x_t says of x_{t−1}."
)
def without_xt(x0, xt, t, alpha_bar):
    before = alpha_bar[t - 1]
    return _like(before.sqrt(), x0) * x0, 1 - before


@posterior_mean_variance.mistake(
    "At t = 1 your mean is NaN: the precision of what x0 says, 1/(1 − ᾱ_0), is 1/0 there. Ho et al.'s equation 7 divides by 1 − ᾱ_t alone."
)
def precisions_at_the_first_step(x0, xt, t, alpha_bar):
    now, before = alpha_bar[t], alpha_bar[t - 1]
    alpha = now / before
    variance = 1 / (1 / (1 - before) + alpha / (1 - alpha))
    of_x0, of_xt = before.sqrt() / (1 - before), alpha.sqrt() / (1 - alpha)
    return _like(variance, x0) * (_like(of_x0, x0) * x0 + _like(of_xt, xt) * xt), variance


@posterior_mean_variance.variant
def by_precisions(x0, xt, t, alpha_bar):
    s, a = alpha_bar.double()[t - 1], (alpha_bar.double()[t] / alpha_bar.double()[t - 1])
    variance = 1 / (1 / (1 - s) + a / (1 - a))
    weight0 = torch.where(t == 1, torch.ones_like(s), variance * s.sqrt() / (1 - s))
    weight_t = variance * a.sqrt() / (1 - a)
    return (_like(weight0, x0) * x0 + _like(weight_t, xt) * xt).float(), variance.float()


@posterior_mean_variance.variant
def by_conditioning_a_joint_gaussian(x0, xt, t, alpha_bar):
    """x_{t-1} and x_t given x_0: condition the first on the second."""
    before, now = alpha_bar[t - 1], alpha_bar[t]
    alpha = torch.div(now, before)
    covariance = torch.sqrt(alpha) * (1 - before)
    gain = covariance / (1 - now)
    shape = (len(t),) + (1,) * (x0.ndim - 1)
    mean = before.sqrt().reshape(shape) * x0 + gain.reshape(shape) * (xt - now.sqrt().reshape(shape) * x0)
    return [mean, 1 - before - gain * covariance]


@posterior_mean_variance.variant
def posterior_row_by_row(x0, xt, t, alpha_bar):
    means, variances = [], []
    for x, y, step in zip(x0, xt, t.tolist(), strict=True):
        now, before = alpha_bar[step].item(), alpha_bar[step - 1].item()
        beta = 1 - now / before
        variances.append(beta * (1 - before) / (1 - now))
        means.append((math.sqrt(before) * beta * x + math.sqrt(now / before) * (1 - before) * y) / (1 - now))
    return torch.stack(means), torch.tensor(variances)


# --- ancestral_step -----------------------------------------------------------------------------------------------------------

ancestral_step = Exercise("ancestral_step")
ancestral_step.edits("""
variance_beta: `std = (beta * (1 - before) / (1 - now)).sqrt()` → `std = beta.sqrt()`
    Your step adds noise of variance β_t, at the last step, too. The variance of the way back is β̃_t, which is 0 for t =
    1: the data get no noise.
variance_beta_but_for_the_last: `std = (beta * (1 - before) / (1 - now)).sqrt()` → `std = beta.sqrt() * (t > 1)`
    Your noise has the variance β_t (and none at t = 1). Some samplers do that, but here the variance is β̃_t = β_t·(1 −
    ᾱ_{t−1})/(1 − ᾱ_t).
variance_as_std: `std = (beta * (1 - before) / (1 - now)).sqrt()` → `std = beta * (1 - before) / (1 - now)`
    eps is multiplied by the variance β̃_t. It needs the standard deviation: take the root.
no_noise: `return mean + rows(std, xt) * eps` → `return mean`
    This is the mean of the step. A sample of p(x_{t−1} | x_t) adds √β̃_t·eps.
coefficient_not_rooted: `beta / (1 - now).sqrt()` → `beta / (1 - now)`
    The predicted noise is multiplied by β_t/(1 − ᾱ_t). The root is missing: β_t/√(1 − ᾱ_t).
all_the_noise_removed: `beta / (1 - now).sqrt()` → `(1 - now).sqrt()`
    You take all the noise out at once, √(1 − ᾱ_t)·ε̂. One step takes out a little: β_t/√(1 − ᾱ_t).
coefficient_rooted_beta: `beta / (1 - now).sqrt()` → `beta.sqrt()`
    The predicted noise is multiplied by √β_t, as if it were the noise of this step alone. It is that of all steps so
    far: β_t/√(1 − ᾱ_t).
noise_added_back: `(xt - rows(` → `(xt + rows(`
    The predicted noise is added. Going back, it is taken out: minus.
divided_by_alpha: `rows(alpha.sqrt(), xt)` → `rows(alpha, xt)`
    You divide by α_t. A step forward multiplies by √α_t; divide by that.
alpha_bar_for_alpha: `rows(alpha.sqrt(), xt)` → `rows(now.sqrt(), xt)`
    You divide by √ᾱ_t, with a bar: that undoes the shrinking of all steps, as the guess of x0 does. One step back
    divides by √α_t, with α_t = ᾱ_t/ᾱ_{t−1}.
not_divided: ` / rows(alpha.sqrt(), xt)` → ``
    The division by √α_t is missing: the step forward shrank x, and the way back undoes that.
model_told_the_step_before: `model(xt, t)` → `model(xt, t - 1)`
    The model is told t − 1. It is asked for the noise in x_t, so it must be told t.
multiplied_by_alpha: ` / rows(alpha.sqrt(), xt)` → ` * rows(alpha.sqrt(), xt)`
    You multiply by √α_t. The step forward did that; the way back divides by it.
bracket_missing: `(xt - rows(beta / (1 - now).sqrt(), xt) * model(xt, t)) / rows(alpha.sqrt(), xt)` → `xt / rows(alpha.sqrt(), xt) - rows(beta / (1 - now).sqrt(), xt) * model(xt, t)`
    Only x_t is divided by √α_t. The whole bracket is: x_t minus the predicted noise.
no_noise_for_all: `rows(std, xt) * eps` → `rows(std * (not (t == 1).any()), xt) * eps`
    As soon as one row is at t = 1, no row gets noise. Every row has a t of its own, and √β̃_t is 0 at t = 1 by itself.
first_row_decides: `rows(std, xt) * eps` → `rows(std * bool(t[0] != 1), xt) * eps`
    Whether any row gets noise hangs on the first row's t. Every row has its own, and √β̃_t is 0 at t = 1 by itself.
noise_meets_the_rows_of_pixels: `rows(std, xt) * eps` → `std[:, None] * eps`
    `[:, None]` beside eps adds one dimension, which is right for vectors. Images have three behind the first: use `rows`.
noise_meets_the_columns: `rows(std, xt) * eps` → `std * eps`
    The standard deviations are (N,), and line up with the columns of eps. Use `rows` there.
column_meets_the_rows_of_pixels: `(xt - rows(beta / (1 - now).sqrt(), xt) * model(xt, t)) / rows(alpha.sqrt(), xt)` → `(xt - (beta / (1 - now).sqrt())[:, None] * model(xt, t)) / alpha.sqrt()[:, None]`
    `[:, None]` adds one dimension, which is right for vectors. Images have three behind the first: use `rows`.
""")
ancestral_step.recurring(own_noise("eps"))


@ancestral_step.mistake(
    "The steps of the rows line up with the columns of xt: alpha_bar[t] is (N,). Use rows(values, xt) where it meets xt."
)
def step_meets_the_columns(model, xt, t, alpha_bar, eps):
    now, before = alpha_bar[t], alpha_bar[t - 1]
    alpha = now / before
    mean = (xt - (1 - alpha) / (1 - now).sqrt() * model(xt, t)) / alpha.sqrt()
    return mean + ((1 - alpha) * (1 - before) / (1 - now)).sqrt() * eps


@ancestral_step.mistake("You take the model's answer for x0. It predicts the noise; x0 is then (x_t − √(1 − ᾱ_t)·ε̂)/√ᾱ_t.")
def answer_taken_for_x0(model, xt, t, alpha_bar, eps):
    mean, variance = reference("posterior_mean_variance")(model(xt, t), xt, t, alpha_bar)
    return mean + _like(variance.sqrt(), xt) * eps


def _through_a_guess(guess, xt, t, alpha_bar, eps):
    mean, variance = reference("posterior_mean_variance")(guess, xt, t, alpha_bar)
    return mean + _like(variance.sqrt(), xt) * eps


def _guess(model, xt, t, alpha_bar):
    now = _like(alpha_bar[t], xt)
    return (xt - (1 - now).sqrt() * model(xt, t)) / now.sqrt()


@ancestral_step.mistake(
    "This is the guess of x0. The step goes on from it: hand it to posterior_mean_variance(x0_hat, xt, t, alpha_bar), and add √variance·eps."
)
def guess_of_x0(model, xt, t, alpha_bar, eps):
    return _guess(model, xt, t, alpha_bar)


@ancestral_step.mistake(
    "You noise the guess of x0 again, as q_sample does. That draws from q(x_{t−1} | x̂_0), which forgets x_t: take posterior_mean_variance."
)
def guess_noised_again(model, xt, t, alpha_bar, eps):
    return reference("q_sample")(_guess(model, xt, t, alpha_bar), t - 1, alpha_bar, eps)


@ancestral_step.mistake("The guess of x0 is divided by ᾱ_t. The root is missing: (x_t − √(1 − ᾱ_t)·ε̂)/√ᾱ_t.")
def guess_divided_by_the_bar(model, xt, t, alpha_bar, eps):
    now = _like(alpha_bar[t], xt)
    return _through_a_guess((xt - (1 - now).sqrt() * model(xt, t)) / now, xt, t, alpha_bar, eps)


@ancestral_step.mistake("The guess of x0 is not divided by √ᾱ_t: it is (x_t − √(1 − ᾱ_t)·ε̂)/√ᾱ_t.")
def guess_not_divided(model, xt, t, alpha_bar, eps):
    now = _like(alpha_bar[t], xt)
    return _through_a_guess(xt - (1 - now).sqrt() * model(xt, t), xt, t, alpha_bar, eps)


@ancestral_step.mistake("In the guess of x0 the predicted noise is multiplied by 1 − ᾱ_t. The root is missing: √(1 − ᾱ_t).")
def guess_with_the_variance(model, xt, t, alpha_bar, eps):
    now = _like(alpha_bar[t], xt)
    return _through_a_guess((xt - (1 - now) * model(xt, t)) / now.sqrt(), xt, t, alpha_bar, eps)


@ancestral_step.mistake(
    "You clamp the guess of x0 to [−1, 1]. Samplers of images do that; data here have no such bounds, so leave it as it is."
)
def guess_clamped(model, xt, t, alpha_bar, eps):
    return _through_a_guess(_guess(model, xt, t, alpha_bar).clamp(-1, 1), xt, t, alpha_bar, eps)


@ancestral_step.mistake("You return mean and variance. A sample is asked for: mean + √variance·eps.")
def mean_and_variance(model, xt, t, alpha_bar, eps):
    return reference("posterior_mean_variance")(_guess(model, xt, t, alpha_bar), xt, t, alpha_bar)


@ancestral_step.mistake(
    "You jump to the guess of x0 and noise it again with the predicted noise. That is the deterministic sampler of DDIM; an ancestral step draws from "
    "p(x_{t−1} | x_t), with the noise that is given."
)
def ddim_step(model, xt, t, alpha_bar, eps):
    now, before = _like(alpha_bar[t], xt), _like(alpha_bar[t - 1], xt)
    noise = model(xt, t)
    return before.sqrt() * (xt - (1 - now).sqrt() * noise) / now.sqrt() + (1 - before).sqrt() * noise


@ancestral_step.variant
def through_x0(model, xt, t, alpha_bar, eps):
    now = _like(alpha_bar[t], xt)
    x0 = (xt - (1 - now).sqrt() * model(xt, t)) / now.sqrt()
    mean, variance = reference("posterior_mean_variance")(x0, xt, t, alpha_bar)
    return mean + _like(variance.sqrt(), xt) * eps


@ancestral_step.variant
def in_float64_without_gradients(model, xt, t, alpha_bar, eps):
    with torch.no_grad():
        bar = alpha_bar.double()
        alpha = torch.cat([bar.new_ones(1), bar[1:] / bar[:-1]])
        variance = torch.cat([bar.new_zeros(1), (1 - alpha[1:]) * (1 - bar[:-1]) / (1 - bar[1:])])
        noise = model(xt, t)
        mean = (xt - _like(((1 - alpha) / (1 - bar).clamp(min=1e-12).sqrt())[t], xt) * noise) * _like(alpha.rsqrt()[t], xt)
        return (mean + _like(variance.sqrt()[t], xt) * eps).float()


@ancestral_step.variant
def noise_masked_at_the_end(model, xt, t, alpha_bar, eps):
    shape = [len(xt)] + [1] * (xt.ndim - 1)
    a, b = alpha_bar[t].view(shape), alpha_bar[t - 1].view(shape)
    beta = 1 - a / b
    noise = torch.where(t.view(shape) > 1, eps, torch.zeros_like(eps))
    return torch.sqrt(b / a) * (xt - beta * model(xt, t) / torch.sqrt(1 - a)) + torch.sqrt(beta * (1 - b) / (1 - a)) * noise


# --- sample_chain -------------------------------------------------------------------------------------------------------------

sample_chain = Exercise("sample_chain")
sample_chain.edits("""
not_turned_round: `chain[::-1]` → `chain`
    The chain begins with the noise. Index t should hold x_t, so that chain[0] is the sample: turn it round.
stops_before_the_last_step: `len(alpha_bar) - 1, 0, -1` → `len(alpha_bar) - 1, 1, -1`
    The last step is missing, from x_1 to x_0. range(T, 0, -1) ends with 1.
model_told_the_step_before: `(noise.shape[1],), step)` → `(noise.shape[1],), max(1, step - 1))`
    t runs one behind: the step from x_t to x_{t−1} is called with t. The first one is called with T.
same_noise_everywhere: `noise[step - 1]` → `noise[-1]`
    Each step adds the noise that the chain began with. Every step needs noise of its own: noise[t - 1].
noise_off_by_one: `noise[step - 1]` → `noise[step]`
    The noise is off by one: noise[t] is the noise in x_t, so the step that makes x_{t−1} uses noise[t - 1]. noise[T] has
    been used already: it is x_T.
starts_at_the_other_end: `chain = [noise[-1]]` → `chain = [noise[0]]`
    You begin with noise[0]. x_T is noise[T], the last one.
only_the_sample: `torch.stack(chain[::-1])` → `chain[-1]`
    That is x_0 alone. Return the whole chain, (T + 1, N, D).
without_noise: `noise[step - 1])` → `torch.zeros_like(noise[0]))`
    No step adds noise, so that only the start is random. The step to x_{t−1} uses noise[t - 1].
noise_in_reverse: `noise[step - 1]` → `noise[-step - 1]`
    The steps take the noise in reverse order. The step to x_{t−1} uses noise[t - 1].
always_from_the_start: `ancestral_step(model, chain[-1],` → `ancestral_step(model, noise[-1],`
    Every step starts from x_T. Each must start from what the step before it made.
start_left_out: `torch.stack(chain[::-1])` → `torch.stack(chain[:0:-1])`
    x_T is left out of the chain. It is the last of its T + 1 entries: chain[T] is the noise that you began with.
one_step_less: `(noise.shape[1],), step)` → `(noise.shape[1],), step - 1)`
    You hand on t − 1. The step from x_t to x_{t−1} is called with t, from T down to 1.
first_noise_everywhere: `noise[step - 1]` → `noise[0]`
    Every step adds noise[0]. Each needs noise of its own: noise[t - 1].
starts_from_the_noise: `ancestral_step(model, chain[-1],` → `ancestral_step(model, noise[step],`
    Each step starts from noise[t], not from what the step before it made. Only x_T is noise alone.
step_zero_too: `len(alpha_bar) - 1, 0, -1` → `len(alpha_bar) - 1, -1, -1`
    Your loop takes a step at t = 0. The last one is t = 1: range leaves out its end, so that is 0.
empty_range: `len(alpha_bar) - 1, 0, -1` → `len(alpha_bar) - 1, 0`
    Your loop has no pass: counting down, range needs −1 as its third argument.
steps_counted_too_far: `range(len(alpha_bar) - 1` → `range(len(alpha_bar)`
    T is len(alpha_bar) − 1, since alpha_bar[0] is in front. Your loop begins one step too high.
stacked_along_the_rows: `torch.stack(chain[::-1])` → `torch.stack(chain[::-1], 1)`
    You stack along dimension 1. The steps come first: (T + 1, N, D).
t_for_one_row: `torch.full((noise.shape[1],), step)` → `torch.tensor([step])`
    t holds one number. The model wants one for each row: torch.full((N,), step).
""")
sample_chain.recurring(own_noise("noise"))


@sample_chain.mistake("The steps run forwards, t = 1, ..., T. Sampling begins at T and ends at 1.")
def forwards(model, noise, alpha_bar):
    chain = [noise[-1]]
    for step in range(1, len(alpha_bar)):
        t = torch.full((noise.shape[1],), step)
        chain.append(reference("ancestral_step")(model, chain[-1], t, alpha_bar, noise[step - 1]))
    return torch.stack(chain[::-1])


@sample_chain.mistake(
    "x_T is not filled in: the last entry of the chain is still 0. chain[T] is noise[T], which you begin with."
)
def start_not_filled_in(model, noise, alpha_bar):
    chain = reference("sample_chain")(model, noise, alpha_bar).clone()
    chain[-1] = 0
    return chain


@sample_chain.variant
def into_a_tensor(model, noise, alpha_bar):
    steps, n = len(noise) - 1, noise.size(1)
    chain = torch.empty_like(noise)
    chain[steps] = noise[steps]
    with torch.no_grad():
        for t in reversed(range(1, steps + 1)):
            chain[t - 1] = reference("ancestral_step")(
                model, chain[t], t * torch.ones(n, dtype=torch.long), alpha_bar, noise[t - 1]
            )
    return chain


@sample_chain.variant
def with_a_step_of_its_own(model, noise, alpha_bar):
    x, found = noise[-1], [noise[-1]]
    for t in range(len(alpha_bar) - 1, 0, -1):
        now, before = float(alpha_bar[t]), float(alpha_bar[t - 1])
        eps_hat = model(x, torch.tensor([t] * len(x)))
        x0 = (x - math.sqrt(1 - now) * eps_hat) / math.sqrt(now)
        beta = 1 - now / before
        x = (math.sqrt(before) * beta * x0 + math.sqrt(now / before) * (1 - before) * x) / (1 - now)
        x = x + math.sqrt(beta * (1 - before) / (1 - now)) * noise[t - 1]
        found.insert(0, x)
    return torch.stack(found, dim=0)


# --- step_kl ------------------------------------------------------------------------------------------------------------------

step_kl = Exercise("step_kl")
step_kl.edits("""
index_off_by_one: `snr[t - 1] / snr[t]` → `snr[t] / snr[(t + 1).clamp(max=len(snr) - 1)]`
    You compare the SNR at t with that at t + 1. The step is from t − 1 to t: SNR(t−1)/SNR(t).
half_missing: `0.5 * (snr` → `(snr`
    This is twice the KL: the ½ is missing.
not_weighted: `return weight * ` → `return `
    The weight of the step is missing: this is the squared error alone, as in the simple loss. The KL multiplies it by
    ½(SNR(t−1)/SNR(t) − 1).
only_a_half: `return weight * ` → `return 0.5 * `
    You weigh all steps alike, with ½. The KL of a step multiplies the squared error by ½(SNR(t−1)/SNR(t) − 1).
one_not_subtracted: `snr[t - 1] / snr[t] - 1` → `snr[t - 1] / snr[t]`
    The −1 is missing: a step that changes nothing has SNR(t−1)/SNR(t) = 1, and costs nothing.
ratio_upside_down: `snr[t - 1] / snr[t] - 1` → `snr[t] / snr[t - 1] - 1`
    The ratio stands on its head, which makes a negative KL. The SNR falls with t: SNR(t−1)/SNR(t) is above 1.
signal_for_ratio: `alpha_bar / (1 - alpha_bar)` → `alpha_bar`
    You take ᾱ for the signal-to-noise ratio. It is ᾱ/(1 − ᾱ).
rooted_ratio: `alpha_bar / (1 - alpha_bar)` → `(alpha_bar / (1 - alpha_bar)).sqrt()`
    Your SNR is a ratio of standard deviations. Here it is one of variances: ᾱ/(1 − ᾱ), without a root.
averaged_over_dimensions: `.flatten(1).sum(1)` → `.flatten(1).mean(1)`
    The squared error is averaged over the dimensions. A KL adds them up: sum over all dimensions but the first.
not_squared: `.square()` → `.abs()`
    The error is taken absolute. The KL between Gaussians holds its square.
summed_over_rows: `return weight * (eps - eps_hat).square().flatten(1).sum(1)` → `return (weight * (eps - eps_hat).square().flatten(1).sum(1)).sum()`
    The rows are summed. Each keeps a number of its own: (N,).
logarithm_of_the_ratio: `(snr[t - 1] / snr[t] - 1)` → `(snr[t - 1] / snr[t]).log()`
    You take the logarithm of the ratio. The weight is ½(SNR(t−1)/SNR(t) − 1), without a logarithm.
first_step_for_all: `snr[t - 1] / snr[t]` → `snr[t[0] - 1] / snr[t[0]]`
    All rows get the weight of the first one's step. Every row has a t of its own.
difference_of_the_ratios: `(snr[t - 1] / snr[t] - 1)` → `(snr[t - 1] - snr[t])`
    ½(SNR(t−1) − SNR(t)) weighs an error of x_0. For an error of the noise the weight is ½(SNR(t−1)/SNR(t) − 1).
length_of_the_error: `.square().flatten(1).sum(1)` → `.flatten(1).norm(dim=1)`
    You take the length of the error. The KL between Gaussians holds its square: no root.
squared_after_the_sum: `.square().flatten(1).sum(1)` → `.flatten(1).sum(1).square()`
    You sum first and square then, so that errors of opposite signs cancel. Square each error, and add the squares up.
averaged_over_rows: `return weight * (eps - eps_hat).square().flatten(1).sum(1)` → `return (weight * (eps - eps_hat).square().flatten(1).sum(1)).mean()`
    The rows are averaged. Each keeps a number of its own: (N,).
""")
step_kl.edits("""
half_twice: `0.5 * (snr` → `0.25 * (snr`
    This is half the KL: the ½ is there twice.
averaged_without_half: `weight * (eps - eps_hat).square().flatten(1).sum(1)` → `2 * weight * (eps - eps_hat).square().flatten(1).mean(1)`
    The squared error is averaged over the dimensions, and the ½ is missing. The KL is ½(SNR(t−1)/SNR(t) − 1) times the
    sum.
steps_shifted: `snr[t - 1] / snr[t]` → `snr[t - 2] / snr[t - 1]`
    You compare the SNR at t − 2 with that at t − 1; at t = 2 that divides by 1 − ᾱ_0 = 0. The step is from t − 1 to t:
    SNR(t−1)/SNR(t).
half_on_the_ratio_alone: `0.5 * (snr[t - 1] / snr[t] - 1)` → `0.5 * snr[t - 1] / snr[t] - 1`
    The ½ multiplies the ratio alone. It belongs to the whole bracket: ½(SNR(t−1)/SNR(t) − 1).
root_below: `alpha_bar / (1 - alpha_bar)` → `alpha_bar / (1 - alpha_bar).sqrt()`
    Your SNR divides by the standard deviation of the noise. It is a ratio of variances: ᾱ/(1 − ᾱ).
alpha_missing: `0.5 * (snr[t - 1] / snr[t] - 1)` → `(1 - alpha_bar[t] / alpha_bar[t - 1]) / (2 * (1 - alpha_bar[t - 1]))`
    α_t is missing below the fraction: the weight is β_t/(2α_t(1 − ᾱ_{t−1})).
alpha_rooted: `0.5 * (snr[t - 1] / snr[t] - 1)` → `(1 - alpha_bar[t] / alpha_bar[t - 1]) / (2 * (alpha_bar[t] / alpha_bar[t - 1]).sqrt() * (1 - alpha_bar[t - 1]))`
    Below the fraction stands √α_t. The factor of the means is squared in the KL: β_t/(2α_t(1 − ᾱ_{t−1})).
one_row_squeezed: `return weight * (eps - eps_hat).square().flatten(1).sum(1)` → `return (weight * (eps - eps_hat).square().flatten(1).sum(1)).squeeze()`
    `squeeze` takes away the rows' dimension where there is one row. Leave it out: the result is (N,).
weight_meets_the_columns: `weight * (eps - eps_hat).square().flatten(1).sum(1)` → `(weight * (eps - eps_hat).square()).flatten(1).sum(1)`
    The weights are (N,), and line up with the columns of the errors. Sum over the dimensions first, then multiply.
""")
step_kl.recurring(sign_reversed, hint="The sign is reversed. A KL divergence is never negative.")


@step_kl.mistake(
    "This is the weight for a decoder with the variance β_t, Ho et al.'s other choice. Here the variance is β̃_t on both sides: β_t/(2α_t(1 − ᾱ_{t−1}))."
)
def weight_for_beta(eps, eps_hat, t, alpha_bar):
    alpha = alpha_bar[t] / alpha_bar[t - 1]
    weight = (1 - alpha) / (2 * alpha * (1 - alpha_bar[t]))
    return weight * (eps - eps_hat).square().flatten(1).sum(1)


def _through_beta(eps, eps_hat, t, alpha_bar, weigh):
    """weigh: of (alpha, beta, beta tilde, 1 − alpha bar) makes the weight."""
    now, before = alpha_bar[t], alpha_bar[t - 1]
    alpha = now / before
    beta = 1 - alpha
    weight = weigh(alpha, beta, beta * (1 - before) / (1 - now), 1 - now)
    return weight * (eps - eps_hat).square().flatten(1).sum(1)


@step_kl.mistake("β_t is not squared. The factor of the noise in the mean is, in the KL: β_t²/(2β̃_t·α_t(1 − ᾱ_t)).")
def beta_not_squared(eps, eps_hat, t, alpha_bar):
    return _through_beta(eps, eps_hat, t, alpha_bar, lambda alpha, beta, tilde, rest: beta / (2 * tilde * alpha * rest))


@step_kl.mistake("You square β̃_t. It is the variance already: β_t²/(2β̃_t·α_t(1 − ᾱ_t)).")
def variance_squared(eps, eps_hat, t, alpha_bar):
    return _through_beta(
        eps, eps_hat, t, alpha_bar, lambda alpha, beta, tilde, rest: beta**2 / (2 * tilde**2 * alpha * rest)
    )


@step_kl.mistake(
    "The factor of the noise in the mean, β_t/(√α_t·√(1 − ᾱ_t)), is not squared. The KL holds the squared difference of the means."
)
def factor_not_squared(eps, eps_hat, t, alpha_bar):
    return _through_beta(
        eps, eps_hat, t, alpha_bar, lambda alpha, beta, tilde, rest: beta / (alpha.sqrt() * rest.sqrt()) / (2 * tilde)
    )


step_kl.recurring(detached, in_bits)


@step_kl.mistake("Only the last dimension is summed. An image has more: flatten(1), then sum over dim 1.")
def last_dimension_only(eps, eps_hat, t, alpha_bar):
    snr = alpha_bar / (1 - alpha_bar)
    weight = 0.5 * (snr[t - 1] / snr[t] - 1)
    squares = (eps - eps_hat).square().sum(-1)
    return _like(weight, squares) * squares


@step_kl.variant
def by_two_gaussians(eps, eps_hat, t, alpha_bar):
    """Both means, their common variance, and lesson 03's closed form."""
    x0 = torch.zeros_like(eps)
    xt = reference("q_sample")(x0, t, alpha_bar, eps)
    mean, variance = reference("posterior_mean_variance")(x0, xt, t, alpha_bar)
    now = _like(alpha_bar[t], eps)
    guess = (xt - (1 - now).sqrt() * eps_hat) / now.sqrt()
    other, _ = reference("posterior_mean_variance")(guess, xt, t, alpha_bar)
    std = _like(variance.sqrt(), eps)
    return kl_divergence(Normal(mean, std), Normal(other, std)).flatten(1).sum(1)


@step_kl.variant
def by_the_first_form_and_einsum(eps, eps_hat, t, alpha_bar):
    bar = alpha_bar.double()
    now, before = bar[t], bar[t - 1]
    alpha = now / before
    beta = 1 - alpha
    tilde = (1 - before) / (1 - now) * beta
    error = (eps_hat - eps).reshape(len(t), -1).double()
    return (beta**2 / (2 * tilde * alpha * (1 - now)) * torch.einsum("nd,nd->n", error, error)).float()


@step_kl.variant
def by_log_snr(eps, eps_hat, t, alpha_bar):
    log_snr = torch.logit(alpha_bar)
    squares = torch.linalg.vector_norm(eps - eps_hat, dim=tuple(range(1, eps.ndim))) ** 2
    return torch.expm1(log_snr[t - 1] - log_snr[t]) * squares / 2


# --- diffusion_elbo -----------------------------------------------------------------------------------------------------------

diffusion_elbo = Exercise("diffusion_elbo")
diffusion_elbo.edits("""
last_layer_missing: `return elbo - 0.5 * (last * x0.square() + (1 - last) - 1 - torch.log(1 - last)).sum(1)` → `return elbo`
    The KL of the last layer is missing, of q(x_T | x_0) to N(0, I). There is nothing to learn in it, but it belongs to
    the bound.
last_layer_added: `return elbo - 0.5 * (last` → `return elbo + 0.5 * (last`
    The KL of the last layer is added. Every KL lowers the bound: subtract it.
last_layer_not_squared_signal: `last * x0.square()` → `last.sqrt() * x0.square()`
    In the KL of the last layer the squared mean is (√ᾱ_T·x0)² = ᾱ_T·x0².
reconstruction_constant_missing: `-0.5 * dims * torch.log(2 * math.pi * beta1) - (x0` → `-(x0`
    In log p(x_0 | x_1) the normalisation −(D/2)·log(2πβ_1) is missing: without it this is no density in nats.
reconstruction_without_dimensions: `-0.5 * dims * torch.log` → `-0.5 * torch.log`
    The normalisation of log p(x_0 | x_1) is there once. Each of the D dimensions has one.
reconstruction_scale: `/ (2 * beta1)` → `/ 2`
    The squared error of the reconstruction is divided by 2 alone. p(x_0 | x_1) has the variance β_1: divide by 2β_1.
steps_added: `elbo = elbo - step_kl(` → `elbo = elbo + step_kl(`
    The KLs of the steps are added. Every KL lowers the bound: subtract them.
one_noise_for_all: `alpha_bar, noise[step]), t)\n        elbo = elbo - step_kl(noise[step]` → `alpha_bar, noise[1]), t)\n        elbo = elbo - step_kl(noise[1]`
    All steps use the same noise, noise[1]. x_t has its own, noise[t].
second_step_missing: `range(2, len(alpha_bar))` → `range(3, len(alpha_bar))`
    The KL of the step t = 2 is missing: the sum runs from 2 to T.
kls_halved: `elbo - step_kl(` → `elbo - 0.5 * step_kl(`
    You halve the KLs of the steps. `step_kl` has its ½ already.
last_step_missing: `range(2, len(alpha_bar))` → `range(2, len(alpha_bar) - 1)`
    The step t = T is missing. T is len(alpha_bar) − 1, and range leaves out its end.
negative: `return elbo - 0.5 * (last` → `return -elbo + 0.5 * (last`
    This is the negative ELBO, a loss. Return the bound itself.
first_step_counted_twice: `range(2, len(alpha_bar))` → `range(1, len(alpha_bar))`
    The steps' KLs begin at t = 2. At t = 1 there is no KL: that step is the reconstruction, and its weight would be
    infinite.
beta_as_deviation: `(2 * beta1)` → `(2 * beta1**2)`
    You square β₁ in the reconstruction. It is the variance already: divide by 2·β₁.
noise_of_the_step_before: `eps_hat = model(q_sample(x0, t, alpha_bar, noise[step]), t)\n        elbo = elbo - step_kl(noise[step],` → `eps_hat = model(q_sample(x0, t, alpha_bar, noise[step - 1]), t)\n        elbo = elbo - step_kl(noise[step - 1],`
    The noise in x_t is noise[t]; you take noise[t − 1]. (In `sample_chain` noise[t − 1] goes into the step to x_{t−1};
    here noise[t] is all the noise in x_t.)
steps_missing: `elbo = elbo - step_kl(noise[step], eps_hat, t, alpha_bar)` → `pass`
    The KLs of the steps 2 to T are missing.
steps_without_weight: `step_kl(noise[step], eps_hat, t, alpha_bar)` → `(noise[step] - eps_hat).square().sum(1)`
    You subtract the bare squared errors. The KL of a step weighs them with ½(SNR(t−1)/SNR(t) − 1): take `step_kl`.
last_layer_without_half: `0.5 * (last` → `(last`
    In the KL of the last layer the ½ is missing.
last_layer_with_log_std: `torch.log(1 - last)` → `0.5 * torch.log(1 - last)`
    In the KL of the last layer stands log σ. Inside the bracket, which the ½ multiplies, it is log σ² = log(1 − ᾱ_T).
model_told_the_step_before: `eps_hat = model(q_sample(x0, t, alpha_bar, noise[step]), t)` → `eps_hat = model(q_sample(x0, t, alpha_bar, noise[step]), t - 1)`
    In the KLs the model is told t − 1. It is shown x_t, so it must be told t.
reconstruction_of_the_data: `ancestral_step(model, x1, one` → `ancestral_step(model, x0, one`
    The reconstruction starts from x0 itself. log p(x_0 | x_1) is given x_1: x0 with the noise of one step.
rows_averaged: `return elbo - 0.5 * (last * x0.square() + (1 - last) - 1 - torch.log(1 - last)).sum(1)` → `return (elbo - 0.5 * (last * x0.square() + (1 - last) - 1 - torch.log(1 - last)).sum(1)).mean()`
    The rows are averaged. Each keeps a number of its own: (N,).
two_missing_in_the_constant: `2 * math.pi` → `math.pi`
    In the normalisation of log p(x_0 | x_1) the 2 of 2π is missing: it is −½·log(2πβ_1) in each dimension.
beta_missing_in_the_constant: `torch.log(2 * math.pi * beta1)` → `math.log(2 * math.pi)`
    In the normalisation of log p(x_0 | x_1) the variance is missing: it is −½·log(2πβ_1) in each dimension.
sign_of_the_constant: `elbo = -0.5 * dims` → `elbo = 0.5 * dims`
    The normalisation of log p(x_0 | x_1) has the wrong sign: it is −½·log(2πβ_1) in each dimension.
variance_one_in_the_reconstruction: `beta1 = 1 - alpha_bar[1]` → `beta1 = torch.tensor(1.0)`
    The reconstruction has the variance 1. p(x_0 | x_1) has the variance β_1 = 1 − ᾱ_1.
beta_for_alpha: `beta1 = 1 - alpha_bar[1]` → `beta1 = alpha_bar[1]`
    You take ᾱ_1 for β_1. The variance of p(x_0 | x_1) is β_1 = 1 − ᾱ_1.
variance_as_std: `beta1 = 1 - alpha_bar[1]` → `beta1 = (1 - alpha_bar[1]) ** 2`
    You take β_1 for the standard deviation of p(x_0 | x_1). It is the variance; Normal wants its root.
""")
diffusion_elbo.edits("""
kls_doubled: `elbo - step_kl(` → `elbo - 2 * step_kl(`
    You count the KLs of the steps twice. Each is subtracted once.
kls_averaged_over_dimensions: `elbo - step_kl(noise[step], eps_hat, t, alpha_bar)` → `elbo - step_kl(noise[step], eps_hat, t, alpha_bar) / dims`
    The KLs of the steps are averaged over the dimensions. They are sums, as `step_kl` gives them.
kls_times_the_steps: `elbo - step_kl(` → `elbo - (len(alpha_bar) - 1) * step_kl(`
    You multiply the KLs by T. That makes up for drawing one step at random; here all steps are added up.
reconstruction_without_half: `/ (2 * beta1)` → `/ beta1`
    The squared error of the reconstruction lacks its ½: divide by 2β_1.
constant_without_half: `-0.5 * dims * torch.log` → `-dims * torch.log`
    The normalisation of log p(x_0 | x_1) lacks its ½: it is −½·log(2πβ_1) in each dimension.
reconstruction_averaged: `(x0 - mean).square().sum(1)` → `(x0 - mean).square().mean(1)`
    The squared error of the reconstruction is averaged over the dimensions. It is their sum.
last_layer_averaged: `torch.log(1 - last)).sum(1)` → `torch.log(1 - last)).mean(1)`
    The KL of the last layer is averaged over the dimensions. It is their sum.
last_layer_without_minus_one: `(1 - last) - 1 - torch` → `(1 - last) - torch`
    In the KL of the last layer the −1 of each dimension is missing.
nats_a_dimension: `return elbo - 0.5 * (last * x0.square() + (1 - last) - 1 - torch.log(1 - last)).sum(1)` → `return (elbo - 0.5 * (last * x0.square() + (1 - last) - 1 - torch.log(1 - last)).sum(1)) / dims`
    You divide by the number of dimensions. The ELBO is in nats per row: a sum over its dimensions.
last_layer_without_signal: `last * x0.square()` → `x0.square()`
    In the KL of the last layer the mean is √ᾱ_T·x0. You take x0 itself: ᾱ_T is missing.
last_layer_with_the_signals_variance: `(1 - last) - 1 - torch.log(1 - last)` → `last - 1 - torch.log(last)`
    In the KL of the last layer you take ᾱ_T for the variance. The variance of q(x_T | x_0) is 1 − ᾱ_T.
last_layer_once: `(last * x0.square() + (1 - last) - 1 - torch.log(1 - last)).sum(1)` → `((last * x0.square()).sum(1) + (1 - last) - 1 - torch.log(1 - last))`
    In the KL of the last layer, variance and logarithm are there once. Each of the D dimensions has them.
last_layer_with_std: `(1 - last) - 1 - torch.log(1 - last)` → `(1 - last).sqrt() - 1 - torch.log((1 - last).sqrt())`
    In the KL of the last layer you take √(1 − ᾱ_T) for the variance. The variance of q(x_T | x_0) is 1 − ᾱ_T.
last_layer_with_squared_variance: `(1 - last) - 1 - torch.log(1 - last)` → `(1 - last) ** 2 - 1 - 2 * torch.log(1 - last)`
    In the KL of the last layer you take 1 − ᾱ_T for the standard deviation. It is the variance; Normal wants its root.
""")
diffusion_elbo.recurring(own_noise("noise"), in_bits)


@diffusion_elbo.mistake(
    "You make x_t from x_{t−1} with noise[t]. Here noise[t] is all the noise in x_t: x_t is made from x0, by q_sample."
)
def walked_chain(model, x0, noise, alpha_bar):
    found, x = 0, x0
    for step in range(1, len(alpha_bar)):
        alpha, t = alpha_bar[step] / alpha_bar[step - 1], torch.full((len(x0),), step)
        x = alpha.sqrt() * x + (1 - alpha).sqrt() * noise[step]
        if step == 1:
            mean = reference("ancestral_step")(model, x, t, alpha_bar, torch.zeros_like(x))
            found = Normal(mean, (1 - alpha_bar[1]).sqrt()).log_prob(x0).sum(1)
        else:
            found = found - reference("step_kl")(noise[step], model(x, t), t, alpha_bar)
    last = alpha_bar[-1]
    return found - 0.5 * (last * x0**2 - last - torch.log(1 - last)).sum(1)


@diffusion_elbo.mistake("The noise in x_t is noise[t], for x_1, too; you take noise[t − 1] everywhere. noise[0] is unused.")
def noise_one_behind(model, x0, noise, alpha_bar):
    return reference("diffusion_elbo")(model, x0, noise.roll(1, 0), alpha_bar)


@diffusion_elbo.mistake("You divide the whole bound by T. Nothing in it is a mean over the steps.")
def divided_by_the_steps(model, x0, noise, alpha_bar):
    return reference("diffusion_elbo")(model, x0, noise, alpha_bar) / (len(alpha_bar) - 1)


@diffusion_elbo.mistake("You average over the steps. The bound adds up one KL for each of them.")
def steps_averaged(model, x0, noise, alpha_bar):
    ends = _ends(model, x0, noise, alpha_bar)
    kls = _kls(model, x0, noise, alpha_bar)
    return ends - (kls.mean(0) if len(kls) else 0)


@diffusion_elbo.mistake("The reconstruction log p(x_0 | x_1) is missing: it is the only term that holds the first step.")
def reconstruction_missing(model, x0, noise, alpha_bar):
    last = alpha_bar[-1]
    return -0.5 * (last * x0**2 - last - torch.log(1 - last)).sum(1) - _kls(model, x0, noise, alpha_bar).sum(0)


def _ends(model, x0, noise, alpha_bar):
    """Reconstruction minus the KL of the last layer, (N,)."""
    first, last = alpha_bar[1], alpha_bar[-1]
    t = torch.ones(len(x0), dtype=torch.long)
    x1 = first.sqrt() * x0 + (1 - first).sqrt() * noise[1]
    guess = (x1 - (1 - first).sqrt() * model(x1, t)) / first.sqrt()
    reconstruction = Normal(guess, (1 - first).sqrt()).log_prob(x0).sum(1)
    top = kl_divergence(Normal(last.sqrt() * x0, (1 - last).sqrt()), Normal(0.0, 1.0)).sum(1)
    return reconstruction - top


def _kls(model, x0, noise, alpha_bar):
    """The KLs of the steps 2 to T, (T - 1, N)."""
    n, snr = len(x0), alpha_bar / (1 - alpha_bar)
    found = [torch.zeros(0, n)]
    for t in range(2, len(alpha_bar)):
        xt = alpha_bar[t].sqrt() * x0 + (1 - alpha_bar[t]).sqrt() * noise[t]
        error = noise[t] - model(xt, torch.full((n,), t))
        found.append(0.5 * (snr[t - 1] / snr[t] - 1) * error.pow(2).sum(1)[None])
    return torch.cat(found)


@diffusion_elbo.variant
def by_closed_forms_and_distributions(model, x0, noise, alpha_bar):
    return _ends(model, x0, noise, alpha_bar) - _kls(model, x0, noise, alpha_bar).sum(0)


@diffusion_elbo.variant
def all_steps_in_one_batch(model, x0, noise, alpha_bar):
    steps, (n, d) = len(alpha_bar) - 1, x0.shape
    t = torch.arange(1, steps + 1).repeat_interleave(n)
    eps = noise[1:].reshape(-1, d)
    errors = (eps - model(reference("q_sample")(x0.repeat(steps, 1), t, alpha_bar, eps), t)).square().sum(1).view(steps, n)
    snr = alpha_bar[1:] / (1 - alpha_bar[1:])
    weights = 0.5 * torch.cat([1 / alpha_bar[1:2], snr[:-1] / snr[1:] - 1])  # the first is that of the reconstruction
    top = 0.5 * (alpha_bar[-1] * (x0**2 - 1) - torch.log1p(-alpha_bar[-1])).sum(1)
    return -0.5 * d * torch.log(2 * torch.pi * (1 - alpha_bar[1])) - weights @ errors - top


# --- noise_prediction_loss ----------------------------------------------------------------------------------------------------

noise_prediction_loss = Exercise("noise_prediction_loss")
noise_prediction_loss.edits("""
averaged_over_everything: `.flatten(1).sum(1).mean()` → `.mean()`
    You average over rows and dimensions alike. The dimensions are summed, as in every loss of this course; only the rows
    are averaged.
summed_over_everything: `.flatten(1).sum(1).mean()` → `.sum()`
    The rows are summed, so that the loss grows with the batch. Average over them.
one_number_for_each_row: `.flatten(1).sum(1).mean()` → `.flatten(1).sum(1)`
    That is one number for each row. The loss is a scalar: take the batch mean.
last_dimension_only: `.flatten(1).sum(1).mean()` → `.sum(-1).mean()`
    Only the last dimension is summed, and an image has more. Flatten each row first.
asks_for_the_image: `(eps - model(xt, t))` → `(x0 - model(xt, t))`
    You compare the prediction with x0. The model predicts the noise: compare with eps.
model_sees_the_clean_data: `model(xt, t)` → `model(x0, t)`
    The model is shown x0. It has to find the noise in x_t.
model_told_the_step_before: `model(xt, t)` → `model(xt, t - 1)`
    The model is told t − 1. x_t is at step t, and `ancestral_step` asks with t as well.
not_squared: `.square()` → `.abs()`
    The error is taken absolute. Only its square is a KL between Gaussians.
with_a_half: `return (eps` → `return 0.5 * (eps`
    There is a ½ in front. The simple loss is the squared error itself.
noise_added_to_the_data: `q_sample(x0, t, alpha_bar, eps)` → `x0 + eps`
    x_t is x0 + eps, whatever t is. Make it with q_sample.
negative: `return (eps` → `return -(eps`
    The sign is reversed. A loss to minimise is the squared error itself, which is never negative.
first_step_for_all: `model(xt, t)` → `model(xt, t[:1].expand(len(t)))`
    The model is told the first row's step for all rows. Every row has a t of its own.
multiplied_by_the_steps: `.mean()` → `.mean() * (len(alpha_bar) - 1)`
    You multiply by T, as if to add up all steps. The loss is the mean over the rows, whose t are given.
squared_after_the_sum: `.square().flatten(1).sum(1)` → `.flatten(1).sum(1).square()`
    You sum first and square then, so that errors of opposite signs cancel. Square each error, and add the squares up.
noised_one_step_less: `q_sample(x0, t,` → `q_sample(x0, t - 1,`
    You make x_{t−1} and tell the model t. x_t is made with t itself.
rows_summed_dimensions_averaged: `.flatten(1).sum(1).mean()` → `.flatten(1).mean(1).sum()`
    It is the other way round: the dimensions are summed, and the rows averaged.
noise_negated: `(eps - model(xt, t))` → `(eps + model(xt, t))`
    You add the prediction to eps, which teaches the model −eps. The error is their difference.
compares_with_the_noisy_data: `(eps - model(xt, t))` → `(xt - model(xt, t))`
    You compare the prediction with x_t. The model predicts the noise: compare with eps.
rooted: `.mean()` → `.mean().sqrt()`
    You take the root of the mean. The loss is the mean square itself.
arguments_swapped: `model(xt, t)` → `model(t, xt)`
    The model's arguments have changed places: model(xt, t).
""")
noise_prediction_loss.recurring(own_noise("eps"))


@noise_prediction_loss.mistake("You draw steps of your own. Use the t that you are given: the caller decides on the steps.")
def own_steps(model, x0, t, eps, alpha_bar):
    t = torch.randint(1, len(alpha_bar), (len(x0),))
    return reference("noise_prediction_loss")(model, x0, t, eps, alpha_bar)


@noise_prediction_loss.mistake(
    "You weigh the error with `step_kl`, which at t = 1 divides by 1 − ᾱ_0 = 0. The simple loss has no weights: it is the squared error itself."
)
def weighted_by_the_kl(model, x0, t, eps, alpha_bar):
    xt = reference("q_sample")(x0, t, alpha_bar, eps)
    return reference("step_kl")(eps, model(xt, t), t, alpha_bar).mean()


@noise_prediction_loss.mistake("The model's answer is cut off (no_grad, detach, .item() or .data), so that it can't learn.")
def cut_off(model, x0, t, eps, alpha_bar):
    with torch.no_grad():
        return reference("noise_prediction_loss")(model, x0, t, eps, alpha_bar)


@noise_prediction_loss.mistake("You average the length of the error. The loss is its square: no root.")
def length_of_the_error(model, x0, t, eps, alpha_bar):
    xt = reference("q_sample")(x0, t, alpha_bar, eps)
    return (eps - model(xt, t)).flatten(1).norm(dim=1).mean()


@noise_prediction_loss.variant
def by_mse_loss(model, x0, t, eps, alpha_bar):
    signal = _like(alpha_bar[t], x0)
    found = model(torch.sqrt(signal) * x0 + torch.sqrt(1 - signal) * eps, t)
    return torch.nn.functional.mse_loss(found, eps, reduction="sum") / x0.shape[0]


@noise_prediction_loss.variant
def by_norms(model, x0, t, eps, alpha_bar):
    xt = reference("q_sample")(x0, t, alpha_bar, eps)
    error = (model(xt, t) - eps).reshape(len(x0), -1).double()
    return torch.stack([row @ row for row in error]).mean()


# The noise that was predicted, through the image that it stands for.
@noise_prediction_loss.variant
def by_a_mean_times_the_dimensions(model, x0, t, eps, alpha_bar):
    xt = reference("q_sample")(x0, t, alpha_bar, eps)
    return x0[0].numel() * ((model(xt, t) - eps) ** 2).mean()
