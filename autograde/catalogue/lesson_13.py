"""Lesson 13, likelihoods: what students get wrong, and other ways to be right."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, Independent, Normal

from . import Exercise, reference
from .recurring import detached, in_bits, own_noise, sign_reversed

predict_more_samples = Exercise("predict_more_samples")
predict_more_samples.wrong_choices("""
chose_b: b
    That would hold for an average of log weights. Here the logarithm comes after the average, and the bias of a
    logarithm depends on how much its argument scatters.
chose_c: c
    The sum is divided by K. And Jensen's inequality holds for every K: can the log of an unbiased estimate be too high
    on average?
""")
predict_exact_posterior = Exercise("predict_exact_posterior")
predict_exact_posterior.wrong_choices("""
chose_a: a
    A log weight is log p(x, z) − log q(z|x). Its first term is the joint density, not the posterior: by how much do
    their logarithms differ?
chose_b: b
    Write p(x|z) p(z) as p(z|x) p(x), and divide by q(z|x) = p(z|x). What is left that could scatter?
""")
predict_checkpoint_ess = Exercise("predict_checkpoint_ess")
predict_checkpoint_ess.wrong_choices("""
chose_a: a
    The gap of a trained VAE is several nats. What would its weights look like if 450 of 500 were about equal?
    (`predict_exact_posterior`.)
chose_b: b
    A little error in each of many dimensions multiplies up. Lesson 01 saw what each dimension does to the mean square of
    the weights.
""")
predict_three_numbers = Exercise("predict_three_numbers")
predict_three_numbers.wrong_choices("""
chose_a: a
    The formula for grey pixels is the average of the log-likelihoods of all binary images that could be drawn, for one
    z. Is that larger than what each of them gets with a z of its own?
chose_b: b
    Which version has more in it that nobody can predict? A grey edge pixel is a coin toss in one of them.
""")
predict_two_nats = Exercise("predict_two_nats")
predict_two_nats.wrong_choices("""
chose_a: a
    The scatter from the samples is far below that from the images (section 3), and an average over 250 images makes it
    smaller still.
chose_c: c
    Each image has a bound of its own, which knows nothing of the others. The number of images decides how well you know
    the mean.
""")
predict_comparable = Exercise("predict_comparable")
predict_comparable.wrong_choices("""
chose_a: a
    On grey values the formula is no log-likelihood of anything. Numbers of that kind compare only with their own kind.
chose_c: c
    Those are other pixels, and an ELBO beside an IWAE bound. The two numbers differ for two reasons that have nothing to
    do with the models.
""")
predict_iwae_signal = Exercise("predict_iwae_signal")
predict_iwae_signal.wrong_choices("""
chose_a: a
    That is what the decoder's gradient does. What is left for q to gain when K is so large that the bound is log p(x)
    already, whatever q is?
chose_b: b
    Both shrink. But the mean vanishes like 1/K. And the noise of an average of K samples?
""")
predict_many_latents = Exercise("predict_many_latents")
predict_many_latents.wrong_choices("""
chose_a: a
    A dimension whose q equals the prior costs no KL at all. What would the ELBO do with dimensions that don't pay for
    themselves?
chose_c: c
    Twenty dimensions hold some 25 nats about a digit. Is the code's number of dimensions what limits the ELBO there?
""")

# --- log_weights --------------------------------------------------------------------------------------------------------------

log_weights = Exercise("log_weights")
log_weights.edits("""
no_prior: `log_likelihood + log_prior - log_q` → `log_likelihood - log_q`
    The prior log p(z) is missing from the weight.
no_q: `log_likelihood + log_prior - log_q` → `log_likelihood + log_prior`
    This is the joint density, log p(x|z) + log p(z). A weight is divided by how often q proposes this z: subtract log
    q(z|x).
likelihood_only: `log_likelihood + log_prior - log_q` → `log_likelihood`
    This is the weight for samples of the prior. Your z come from q(z|x): add log p(z) and subtract log q(z|x).
q_sign: `log_prior - log_q` → `log_prior + log_q`
    The density of q is in the denominator of the weight, so log q(z|x) is subtracted.
sign_of_all: `return log_likelihood + log_prior - log_q` → `return -(log_likelihood + log_prior - log_q)`
    This is the negative log weight. Losses are negated; weights are not.
closed_form_kl: `return log_likelihood + log_prior - log_q` → `return log_likelihood - kl_divergence(Normal(mu, std), Normal(0.0, 1.0)).sum(dim=1)`
    You subtract the KL, which is the average of log q − log p over z. Each weight needs log p(z) and log q(z|x) at its
    own z.
variance_as_std: `std = (0.5 * logvar).exp()` → `std = logvar.exp()`
    You use the variance exp(logvar) where the standard deviation belongs. logvar is log σ², so σ = exp(½·logvar).
pixels_averaged: `-pixels.flatten(2).sum(dim=2)` → `-pixels.flatten(2).mean(dim=2)`
    You average over the pixels. The log-likelihood of an image is the sum over its pixels.
double_sigmoid: `(logits, x.expand_as(logits)` → `(torch.sigmoid(logits), x.expand_as(logits)`
    The sigmoid is applied twice: binary_cross_entropy_with_logits takes logits and applies one itself.
entropy_forgotten: `Normal(mu, std).log_prob(z).sum(dim=2)` → `Normal(0.0, 1.0).log_prob(eps).sum(dim=2)`
    This is the density of the noise eps. The density of z = μ + σ·eps has a further −Σ log σ: a narrow q is a tall one.
prior_at_the_mean: `Normal(0.0, 1.0).log_prob(z)` → `Normal(0.0, 1.0).log_prob(mu.expand_as(z))`
    You take the prior at the mean of q. It belongs at the sample z, as the other two terms.
samples_detached: `z = mu + std * eps  # (K, N, D)` → `z = (mu + std * eps).detach()`
    The values are right, but z is cut off from the encoder, so that part of its gradient is lost. Leave z in the graph.
without_gradient: `return log_likelihood + log_prior - log_q` → `return (log_likelihood + log_prior - log_q).detach()`
    The values are right, but no gradient flows: something is detached or under no_grad. Training needs it.
posterior_detached: `mu, logvar = vae.encode(x)` → `mu, logvar = (part.detach() for part in vae.encode(x))`
    The values are right, but mu and logvar are cut off from the encoder, so that it learns nothing. Detach neither.
prior_at_the_noise: `Normal(0.0, 1.0).log_prob(z)` → `Normal(0.0, 1.0).log_prob(eps)`
    You evaluate the prior at eps. p(z) is the density of the sample itself: z = mu + σ·eps.
prior_subtracted: `log_likelihood + log_prior - log_q` → `log_likelihood - log_prior - log_q`
    The density of the prior is in the numerator of the weight, so log p(z) is added.
kl_sign: `log_likelihood + log_prior - log_q` → `log_likelihood - log_prior + log_q`
    Prior and q have changed places: a weight is p(x|z) p(z) over q(z|x), so log p(z) is added and log q(z|x) subtracted.
bce_added: `-pixels.flatten(2)` → `pixels.flatten(2)`
    Binary cross-entropy is minus the log-likelihood: its sum over the pixels is subtracted.
squared_error: `F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")` → `(logits.sigmoid() - x).square()`
    You take the squared error for minus the log-likelihood. The pixels are Bernoulli: that is the binary cross-entropy.
white_pixels_only: `F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")` → `-x * F.logsigmoid(logits)`
    Only the white pixels count. A black one has a probability, too: add (1 − x)·log(1 − p).
weights_themselves: `return log_likelihood + log_prior - log_q` → `return (log_likelihood + log_prior - log_q).exp()`
    These are the weights themselves, which are 0 in float32 for any image. Return their logarithms.
shares: `return log_likelihood + log_prior - log_q` → `return (log_likelihood + log_prior - log_q).softmax(0)`
    You normalise the weights over the samples, which takes away what they say about p(x). Return the log weights as they
    are.
largest_subtracted: `return log_likelihood + log_prior - log_q` → `w = log_likelihood + log_prior - log_q\n    return w - w.amax(0)`
    You subtract each image's largest log weight, and with it all that they say about p(x). Return them as they are.
constant_of_the_prior_lost: `Normal(0.0, 1.0).log_prob(z).sum(dim=2)` → `(-0.5 * z.square()).sum(dim=2)`
    log p(z) has lost its −½·log 2π in each dimension, and log q has it still. Write it in both, or in neither.
dimensions_averaged: `log_prior = Normal(0.0, 1.0).log_prob(z).sum(dim=2)\n    log_q = Normal(mu, std).log_prob(z).sum(dim=2)` → `log_prior = Normal(0.0, 1.0).log_prob(z).mean(dim=2)\n    log_q = Normal(mu, std).log_prob(z).mean(dim=2)`
    You average the log densities of z over the dimensions. The log density of D independent dimensions is a sum.
batch_sum_in_each: `-pixels.flatten(2).sum(dim=2)` → `-pixels.sum()`
    You sum the pixels of all images and samples into one number, and add it to every weight. Each has its own sum over
    its own pixels.
mean_of_all_pixels: `-pixels.flatten(2).sum(dim=2)` → `-pixels.mean()`
    You average over all pixels, images and samples, and add that one number to every weight. Each has its own sum over
    its own pixels.
samples_summed_too: `-pixels.flatten(2).sum(dim=2)` → `-pixels.flatten(2).sum(dim=2).sum(dim=0)`
    You sum the log-likelihoods over the samples, too. Each sample has its own.
black_and_white_exchanged: `(logits, x.expand_as(logits)` → `(logits, 1 - x.expand_as(logits)`
    Black and white are exchanged: sigmoid(logit) is the probability of a 1.
variance_for_q: `log_q = Normal(mu, std)` → `log_q = Normal(mu, logvar.exp())`
    You give q's density the variance where Normal wants the standard deviation, exp(½·logvar).
densities_detached: `log_prior = Normal(0.0, 1.0).log_prob(z)` → `z = z.detach()\n    log_prior = Normal(0.0, 1.0).log_prob(z)`
    The values are right, but z is detached where its densities are taken, so that part of the gradient is lost. Leave z
    in the graph.
q_detached: `log_q = Normal(mu, std)` → `log_q = Normal(mu.detach(), std.detach())`
    The values are right, but mu and σ are detached in q's density, so that part of the encoder's gradient is lost. That
    is another estimator of the gradient: here nothing is detached.
code_detached_for_the_decoder: `vae.decode(z.flatten(0, 1))` → `vae.decode(z.flatten(0, 1).detach())`
    The values are right, but the decoder gets a detached z, so that the likelihood teaches the encoder nothing.
thresholded_images: `(logits, x.expand_as(logits)` → `(logits, (x > 0.5).float().expand_as(logits)`
    You round the image to black and white. Take the pixels as they are given.
validated_images: `pixels = F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")` → `pixels = -torch.distributions.Bernoulli(logits=logits).log_prob(x)`
    `Bernoulli` refuses grey pixels unless you say validate_args=False. Section 4 will hand you grey images.
samples_and_images_exchanged: `.unflatten(0, z.shape[:2])` → `.unflatten(0, (z.shape[1], z.shape[0])).transpose(0, 1)`
    You take the logits apart as (N, K), and the flattened z had all images of sample 0 first: (K, N). Samples of one image get
    to another.
densities_not_summed: `Normal(mu, std).log_prob(z).sum(dim=2)` → `Normal(mu, std).log_prob(z)`
    The log density of q is not summed over the D dimensions.
constant_of_q_lost: `Normal(mu, std).log_prob(z).sum(dim=2)` → `(-0.5 * ((z - mu) / std).square() - std.log()).sum(dim=2)`
    log q(z|x) has lost its −½·log 2π in each dimension, and log p(z) has it still. Write it in both, or in neither.
q_at_a_detached_sample: `Normal(mu, std).log_prob(z)` → `Normal(mu, std).log_prob(z.detach())`
    The values are right, but z is detached in q's density, so that part of the encoder's gradient is lost. Leave z in the graph.
""")


def _with_likelihood(vae, x, eps, log_likelihood):
    """The log weights with another log p(x|z), (K, N), made of the pixels (N, P) and the logits (K, N, P)."""
    mu, logvar = vae.encode(x)
    std = (0.5 * logvar).exp()
    z = mu + std * eps
    likelihood = log_likelihood(x.flatten(1), vae.decode(z.flatten(0, 1)).view(*z.shape[:2], -1))
    return likelihood + (Normal(0.0, 1.0).log_prob(z) - Normal(mu, std).log_prob(z)).sum(2)


@log_weights.mistake(
    "You form probabilities with a sigmoid first, and add a small constant before the logarithm. Where the decoder is sure, that changes the likelihood: work with the logits."
)
def constant_beside_the_probabilities(vae, x, eps):
    def log_likelihood(pixels, logits):
        p = logits.sigmoid()
        return (pixels * (p + 1e-8).log() + (1 - pixels) * (1 - p + 1e-8).log()).sum(2)

    return _with_likelihood(vae, x, eps, log_likelihood)


@log_weights.mistake("You subtract the whole logvar in log q. A Gaussian's log density holds log σ, which is ½·logvar.")
def whole_logvar(vae, x, eps):
    _, logvar = vae.encode(x)
    return reference("log_weights")(vae, x, eps) + 0.5 * logvar.sum(1)


@log_weights.mistake("log σ has the wrong sign in log q: a narrow Gaussian is a tall one, so log q holds −log σ.")
def log_sigma_added(vae, x, eps):
    _, logvar = vae.encode(x)
    return reference("log_weights")(vae, x, eps) - logvar.sum(1)


@log_weights.mistake(
    "Images and samples are paired wrongly: after flattening, all images of sample 0 come first, then those of sample 1. Repeat x in that order, or let it broadcast."
)
def mispaired(vae, x, eps):
    k, n, _ = eps.shape
    mu, logvar = vae.encode(x)
    std = (0.5 * logvar).exp()
    z = mu + std * eps
    logits = vae.decode(z.reshape(k * n, -1)).flatten(1)
    images = x.flatten(1).repeat_interleave(k, dim=0)
    log_likelihood = -F.binary_cross_entropy_with_logits(logits, images, reduction="none").sum(1).view(k, n)
    return log_likelihood + (Normal(0.0, 1.0).log_prob(z) - Normal(mu, std).log_prob(z)).sum(2)


@log_weights.mistake("All K samples of an image are the same: you use eps[0] only. Each sample has its own noise.")
def one_sample_for_all(vae, x, eps):
    return reference("log_weights")(vae, x, eps[:1].expand_as(eps))


@log_weights.mistake("Your result is (N, K). In this course K leads: row k holds the k-th sample of every image.")
def transposed(vae, x, eps):
    return reference("log_weights")(vae, x, eps).T


log_weights.recurring(own_noise("eps"))


@log_weights.mistake(
    "You form probabilities with a sigmoid first, and clamp them. Where the decoder is sure, that changes the likelihood: work with the logits."
)
def clamped_probabilities(vae, x, eps):
    def log_likelihood(pixels, logits):
        p = logits.sigmoid().clamp(1e-7, 1 - 1e-7)
        return (pixels * p.log() + (1 - pixels) * (1 - p).log()).sum(2)

    return _with_likelihood(vae, x, eps, log_likelihood)


@log_weights.variant
def by_distributions(vae, x, eps):
    mu, logvar = vae.encode(x)
    q = Independent(Normal(mu, logvar.exp().sqrt()), 1)
    prior = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    rows = []
    for noise in eps:
        z = q.base_dist.loc + q.base_dist.scale * noise
        decoder = Independent(Bernoulli(logits=vae.decode(z), validate_args=False), 3)
        rows.append(decoder.log_prob(x) + prior.log_prob(z) - q.log_prob(z))
    return torch.stack(rows)


@log_weights.variant
def by_formulas(vae, x, eps):
    """The constants of prior and q cancel, and (z − μ) / σ is the noise itself."""
    k, n, d = eps.shape
    mu, logvar = vae.encode(x)
    z = torch.addcmul(mu, torch.exp(logvar / 2), eps).reshape(-1, d)
    logits = vae.decode(z).reshape(k, n, 784)
    log_likelihood = torch.einsum("knp,np->kn", logits, x.reshape(n, 784)) - F.softplus(logits).sum(-1)
    return log_likelihood + 0.5 * (eps.square() + logvar).sum(-1) - 0.5 * z.square().sum(-1).view(k, n)


@log_weights.variant
def image_by_image(vae, x, eps):
    columns = []
    for i in range(len(x)):
        mu, logvar = vae.encode(x[i : i + 1])
        std = torch.sqrt(torch.exp(logvar))
        z = mu + std * eps[:, i]  # (K, D)
        logits = vae.decode(z)
        image = x[i : i + 1].repeat(len(z), 1, 1, 1)
        log_likelihood = (image * F.logsigmoid(logits) + (1 - image) * F.logsigmoid(-logits)).sum((1, 2, 3))
        log_ratio = -0.5 * z**2 + 0.5 * ((z - mu) / std) ** 2 + std.log()
        columns.append(log_likelihood + log_ratio.sum(1))
    return torch.stack(columns, dim=1)


@log_weights.variant
def repeated_images_in_double(vae, x, eps):
    k, n, d = eps.shape
    mu, logvar = (part.double().repeat(k, 1) for part in vae.encode(x))
    z = mu + (0.5 * logvar).exp() * eps.double().reshape(k * n, d)
    logits = vae.decode(z.float()).double()
    bce = F.binary_cross_entropy_with_logits(logits, x.double().repeat(k, 1, 1, 1), reduction="none")
    q = Normal(mu, (0.5 * logvar).exp())
    return (-bce.sum((1, 2, 3)) + Normal(0.0, 1.0).log_prob(z).sum(1) - q.log_prob(z).sum(1)).float().reshape(k, n)


# --- iwae_bound ---------------------------------------------------------------------------------------------------------------

iwae_bound = Exercise("iwae_bound")
iwae_bound.recurring(
    sign_reversed, hint="The sign is reversed: this is a loss. Asked for is the bound itself, which lies below log p(x)."
)
iwae_bound.recurring(in_bits, detached)


@iwae_bound.mistake(
    "This is the mean of the log weights: the ELBO, for any number of samples. Average the weights first, then take the logarithm."
)
def mean_of_logs(log_weights):
    return log_weights.mean(0)


@iwae_bound.mistake("logsumexp is the log of a sum. The log of the mean is smaller by log K.")
def no_log_k(log_weights):
    return log_weights.logsumexp(0)


@iwae_bound.mistake("Dividing a sum by K subtracts log K from its logarithm. You divide the logarithm by K.")
def divided_by_k(log_weights):
    return log_weights.logsumexp(0) / len(log_weights)


@iwae_bound.mistake("You add log K. Dividing the sum by K subtracts it.")
def plus_log_k(log_weights):
    return log_weights.logsumexp(0) + math.log(len(log_weights))


@iwae_bound.mistake("You subtract the log of the number of images. K is the number of samples: the first dimension.")
def log_n_for_log_k(log_weights):
    return log_weights.logsumexp(0) - math.log(log_weights.shape[1])


@iwae_bound.mistake("You average over the images. Samples are the first dimension, and each image keeps its own bound.")
def wrong_axis(log_weights):
    return log_weights.logsumexp(1) - math.log(log_weights.shape[1])


@iwae_bound.mistake(
    "You leave the logarithm: exp(−1000) is 0 and exp(1000) is infinite. Subtract each image's largest log weight first, or use logsumexp."
)
def overflows(log_weights):
    return log_weights.exp().mean(0).log()


@iwae_bound.mistake(
    "You subtract one maximum from the whole table. Where images lie far apart, the weights of all but one round to 0: each image needs its own maximum."
)
def one_maximum(log_weights):
    largest = log_weights.max()
    return (log_weights - largest).exp().mean(0).log() + largest


@iwae_bound.mistake("This is the largest log weight alone, less log K. The others count too.")
def maximum(log_weights):
    return log_weights.amax(0) - math.log(len(log_weights))


@iwae_bound.mistake("You take the mean over the images as well. Each image keeps its own bound: shape (N,).")
def over_images(log_weights):
    return (log_weights.logsumexp(0) - math.log(len(log_weights))).mean()


@iwae_bound.mistake(
    "You clamp the log weights, so that exp does not overflow. That changes their values: shift by the maximum instead."
)
def clamped(log_weights):
    return log_weights.clamp(-80, 80).exp().mean(0).log()


@iwae_bound.mistake(
    "This is the average of the log weights, weighted by themselves. The bound is the log of their plain mean."
)
def self_weighted(log_weights):
    return (log_weights.softmax(0) * log_weights).sum(0)


@iwae_bound.mistake(
    "You subtract the largest log weight and never add it back. Shifting by it helps only if the result is shifted back."
)
def maximum_not_added_back(log_weights):
    return (log_weights - log_weights.amax(0)).exp().mean(0).log()


@iwae_bound.mistake("This is the largest log weight alone. The others count too.")
def maximum_alone(log_weights):
    return log_weights.amax(0)


@iwae_bound.mistake("This is the mean of the weights, not its logarithm.")
def logarithm_left_out(log_weights):
    return log_weights.exp().mean(0)


@iwae_bound.mistake("You take K's logarithm to base 2. Log weights are in nats: use the natural logarithm.")
def log_k_to_base_two(log_weights):
    return log_weights.logsumexp(0) - math.log2(len(log_weights))


@iwae_bound.mistake("You take K's logarithm to base 10. Log weights are in nats: use the natural logarithm.")
def log_k_to_base_ten(log_weights):
    return log_weights.logsumexp(0) - math.log10(len(log_weights))


@iwae_bound.mistake(
    "You add a small constant before the logarithm. Next to weights as small as exp(−90) it is all that is left: use logsumexp."
)
def constant_in_the_logarithm(log_weights):
    return (log_weights.exp().mean(0) + 1e-30).log()


@iwae_bound.mistake("You divide by the number of images as well. Each image keeps its own bound.")
def divided_by_images(log_weights):
    return (log_weights.logsumexp(0) - math.log(len(log_weights))) / log_weights.shape[1]


@iwae_bound.mistake("You pool the weights of all images in one number. Each image keeps its own bound: sum over dim 0 only.")
def all_weights_pooled(log_weights):
    return log_weights.flatten().logsumexp(0) - math.log(log_weights.numel())


@iwae_bound.variant
def by_hand(log_weights):
    largest, _ = log_weights.max(dim=0, keepdim=True)
    return (log_weights - largest).exp().mean(dim=0).log() + largest.squeeze(0)


@iwae_bound.variant
def pair_by_pair(log_weights):
    total = log_weights[0]
    for row in log_weights[1:]:
        total = torch.logaddexp(total, row)
    return total - np.log(log_weights.shape[0])


@iwae_bound.variant
def by_log_softmax(log_weights):
    """Any log weight less its own log share is the log of the sum; the largest one keeps the rounding small."""
    shares = F.log_softmax(log_weights.double(), dim=0)
    top = log_weights.argmax(0, keepdim=True)
    total = log_weights.double().gather(0, top) - shares.gather(0, top)
    return (total.squeeze(0) - math.log(len(log_weights))).float()


@iwae_bound.variant
def column_by_column(log_weights):
    k = torch.tensor(float(len(log_weights)))
    return torch.stack([torch.logsumexp(column - k.log(), dim=0) for column in log_weights.unbind(1)])


# --- combine_bounds -----------------------------------------------------------------------------------------------------------

combine_bounds = Exercise("combine_bounds")
combine_bounds.recurring(in_bits)


@combine_bounds.mistake(
    "You average the bounds. That keeps the looseness of the small parts: pool the weights, not their logarithms."
)
def mean_of_bounds(bounds, counts):
    return bounds.mean(0)


@combine_bounds.mistake(
    "You average the bounds, weighted by their counts. The weights must be pooled before the logarithm is taken."
)
def weighted_mean(bounds, counts):
    return (bounds * counts[:, None]).sum(0) / counts.sum()


@combine_bounds.mistake(
    "You treat all parts as equally large. A part with more samples has a larger share in the pooled mean."
)
def counts_ignored(bounds, counts):
    return bounds.logsumexp(0) - math.log(len(bounds))


@combine_bounds.mistake("You return the log of the sum of all weights. Divide by the total number of samples.")
def no_total(bounds, counts):
    return (bounds + counts.log()[:, None]).logsumexp(0)


@combine_bounds.mistake("You divide by the number of parts. Divide by the total number of samples, the sum of the counts.")
def divided_by_parts(bounds, counts):
    return (bounds + counts.log()[:, None]).logsumexp(0) - math.log(len(bounds))


@combine_bounds.mistake(
    "You subtract log K_b from each bound. The mean was divided by K_b already; to get the sum back, add log K_b."
)
def counts_the_wrong_way(bounds, counts):
    return (bounds - counts.log()[:, None]).logsumexp(0) + counts.sum().log()


@combine_bounds.mistake("Counts belong to parts, the rows of `bounds`. You lay them along the images: counts[:, None].")
def counts_along_images(bounds, counts):
    return (bounds + counts.log()).logsumexp(0) - counts.sum().log()


@combine_bounds.mistake("You leave the logarithm: exp of a bound near ±1000 is 0 or infinite. Use logsumexp.")
def overflows_too(bounds, counts):
    return ((bounds.exp() * counts[:, None]).sum(0) / counts.sum()).log()


@combine_bounds.mistake("You take the largest bound. The other parts found weight too.")
def largest(bounds, counts):
    return bounds.amax(0)


@combine_bounds.mistake(
    "You multiply the bounds by the counts. A part's sum of weights has the logarithm bound + log count."
)
def bounds_times_counts(bounds, counts):
    return (bounds * counts[:, None]).logsumexp(0) - counts.sum().log()


@combine_bounds.mistake(
    "You add the counts themselves. A part's sum of weights is count times mean, whose logarithm is bound + log count."
)
def counts_without_log(bounds, counts):
    return (bounds + counts[:, None]).logsumexp(0) - counts.sum().log()


@combine_bounds.mistake(
    "The parts' sums are right, but you divide by the product of the counts. All the samples together are their sum."
)
def product_of_counts(bounds, counts):
    return (bounds + counts.log()[:, None]).logsumexp(0) - counts.log().sum()


@combine_bounds.mistake(
    "The parts' sums are right, but you divide by the mean count. Divide by the number of all samples together."
)
def mean_count(bounds, counts):
    return (bounds + counts.log()[:, None]).logsumexp(0) - counts.float().mean().log()


@combine_bounds.mistake("This is the sum of the bounds. Pool the weights: take the logarithm last.")
def sum_of_bounds(bounds, counts):
    return bounds.sum(0)


@combine_bounds.mistake("This is the bound of the part with the most samples. The other parts count too.")
def largest_part_only(bounds, counts):
    return bounds[counts.argmax()]


@combine_bounds.mistake(
    "The counts are only in the total. A part's sum of weights is its mean times its count: add log K_b to its bound."
)
def counts_in_the_total_alone(bounds, counts):
    return bounds.logsumexp(0) - counts.sum().log()


@combine_bounds.mistake("You add up over the images, and each part keeps a number. Add up over the parts, the rows: dim=0.")
def summed_over_images(bounds, counts):
    return (bounds + counts.log()[:, None]).logsumexp(1) - counts.sum().log()


@combine_bounds.mistake(
    "You subtract one maximum from the whole table. Where images lie far apart, the weights of all but one round to 0: each image needs its own."
)
def one_maximum_for_all(bounds, counts):
    top = bounds.max()
    return ((counts[:, None] * (bounds - top).exp()).sum(0) / counts.sum()).log() + top


@combine_bounds.variant
def by_shares(bounds, counts):
    shares = (counts / counts.sum()).log().unsqueeze(1)
    return torch.logsumexp(bounds + shares, 0)


@combine_bounds.variant
def one_part_after_the_other(bounds, counts):
    bound, seen = bounds[0].double(), int(counts[0])
    for more, k in zip(bounds[1:].double(), counts[1:].tolist(), strict=True):
        bound = torch.logaddexp(bound + math.log(seen / (seen + k)), more + math.log(k / (seen + k)))
        seen += k
    return bound.float()


@combine_bounds.variant
def as_if_every_sample_were_there(bounds, counts):
    table = bounds.repeat_interleave(counts, dim=0)
    return table.logsumexp(0) - math.log(len(table))


@combine_bounds.variant
def with_a_maximum_in_numpy(bounds, counts):
    values, k = bounds.double().numpy(), counts.double().numpy()
    top = values.max(0)
    return torch.from_numpy(np.log((k @ np.exp(values - top)) / k.sum()) + top).float()


# --- binarize -----------------------------------------------------------------------------------------------------------------

binarize = Exercise("binarize")


@binarize.mistake("This is a threshold: every pixel above ½ becomes 1, always. Draw each pixel with its own probability.")
def thresholded(x, generator=None):
    return (x > 0.5).float()


@binarize.mistake("A pixel of value g comes out as 1 with probability 1 − g: the comparison is the wrong way round.")
def inverted(x, generator=None):
    return (torch.rand(x.shape, generator=generator) >= x).float()


@binarize.mistake(
    "One random number for a whole image. That is a random threshold: each pixel needs a random number of its own."
)
def one_number_an_image(x, generator=None):
    return (torch.rand(len(x), 1, 1, 1, generator=generator) < x).float()


@binarize.mistake("All images of a batch share their random numbers. Draw for the whole shape of x.")
def shared_over_batch(x, generator=None):
    return (torch.rand(x.shape[1:], generator=generator) < x).float()


@binarize.mistake(
    "The generator is not used: the random numbers come from the global state. Hand it on to torch.rand or bernoulli."
)
def generator_ignored(x, generator=None):
    return torch.bernoulli(x)


@binarize.mistake("You draw with the same seed each time, so that every call gives the same. Then it is fixed, not dynamic.")
def same_every_time(x, generator=None):
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    return (torch.rand(x.shape, generator=generator) < x).float()


@binarize.mistake(
    "With no generator you draw from one of your own, or from NumPy. Draw from PyTorch's global state: torch.rand or bernoulli."
)
def not_from_the_global_state(x, generator=None):
    if generator is None:
        generator = torch.Generator()
        generator.seed()
    return torch.bernoulli(x, generator=generator)


@binarize.mistake("Several images of a batch share their random numbers. Draw for the whole shape of x.")
def noise_used_twice(x, generator=None):
    half = torch.rand(len(x) // 2 + 1, *x.shape[1:], generator=generator)
    return (torch.cat([half, half])[: len(x)] < x).float()


@binarize.mistake("You reset the global random seed. Whoever calls this loses their own randomness; draw without seeding.")
def reseeds(x, generator=None):
    if generator is None:
        torch.manual_seed(0)
    return torch.bernoulli(x, generator=generator)


@binarize.mistake("These are booleans. A network wants numbers, of the dtype of x: add .float().")
def booleans(x, generator=None):
    return torch.rand(x.shape, generator=generator) < x


@binarize.mistake("You add noise and round. A pixel of 0.2 then becomes 1 with probability 0.7: compare the noise with x.")
def noise_and_round(x, generator=None):
    return (x + torch.rand(x.shape, generator=generator)).round().clamp(max=1)


@binarize.mistake("Normal noise is below g with another probability than g. Use uniform noise, torch.rand.")
def normal_noise(x, generator=None):
    return (torch.randn(x.shape, generator=generator) < x).float()


@binarize.mistake("The result is always float32. It has the dtype of x: .to(x.dtype).")
def always_float32(x, generator=None):
    return (torch.rand(x.shape, generator=generator) < x).float()


@binarize.variant
def by_comparison(x, generator=None):
    return (torch.rand(x.shape, generator=generator) < x).to(x.dtype)


@binarize.variant
def image_by_image_drawn(x, generator=None):
    return torch.stack([torch.empty_like(image).uniform_(generator=generator).lt(image).to(x.dtype) for image in x])


@binarize.variant
def by_where(x, generator=None):
    noise = torch.zeros_like(x).uniform_(0, 1, generator=generator)
    return torch.where(x > noise, torch.ones_like(x), torch.zeros_like(x))


@binarize.variant
def with_numpy(x, generator=None):
    seed = torch.randint(2**31, (1,), generator=generator).item()
    return torch.from_numpy((np.random.default_rng(seed).random(x.shape) < x.numpy()).astype(x.numpy().dtype))


# --- iwae_loss ----------------------------------------------------------------------------------------------------------------

iwae_loss = Exercise("iwae_loss")


@iwae_loss.mistake("The sign: a loss is minimised, and the bound is to be climbed.")
def sign(log_weights):
    return reference("iwae_bound")(log_weights).mean()


@iwae_loss.mistake("You sum over the images. The loss is their average.")
def summed(log_weights):
    return -reference("iwae_bound")(log_weights).sum()


@iwae_loss.mistake("This is the negative ELBO: the mean of the log weights over the samples. Use the bound.")
def negative_elbo(log_weights):
    return -log_weights.mean()


@iwae_loss.mistake(
    "You pool the weights of all images inside the logarithm. Each image has its own bound; average after the logarithm."
)
def images_pooled(log_weights):
    return -(log_weights.flatten().logsumexp(0) - math.log(log_weights.numel()))


@iwae_loss.mistake("The log K is missing: this is minus the log of a sum of weights.")
def no_log_k_in_loss(log_weights):
    return -log_weights.logsumexp(0).mean()


@iwae_loss.mistake("You return one loss for each image. Average them to a scalar.")
def not_averaged(log_weights):
    return -reference("iwae_bound")(log_weights)


@iwae_loss.mistake("The value is right, but no gradient flows: the bound is detached, or became a Python number.")
def detached_loss(log_weights):
    return -reference("iwae_bound")(log_weights).mean().detach()


@iwae_loss.mistake(
    "The gradient is right, but the value is not the loss: Σ w̃ log w is the sum that autograd's gradient corresponds to, not the bound."
)
def surrogate(log_weights):
    return -(log_weights.detach().softmax(0) * log_weights).sum(0).mean()


@iwae_loss.mistake(
    "You divide by K once more. The mean over the samples is inside the logarithm; outside, it is over the images."
)
def divided_by_k_too(log_weights):
    return reference("iwae_loss")(log_weights) / len(log_weights)


@iwae_loss.mistake(
    "You average the log weights over the images first. Each image has its own bound; the mean over images comes last."
)
def images_averaged_first(log_weights):
    return -(log_weights.mean(1).logsumexp(0) - math.log(len(log_weights)))


@iwae_loss.mistake("You add log K. Dividing the sum of the weights by K subtracts it from the logarithm.")
def log_k_added(log_weights):
    return -(log_weights.logsumexp(0) + math.log(len(log_weights))).mean()


@iwae_loss.mistake("You subtract the log of the number of images. K is the number of samples: the first dimension.")
def log_n_subtracted(log_weights):
    return -(log_weights.logsumexp(0) - math.log(log_weights.shape[1])).mean()


@iwae_loss.mistake("You divide by the number of pixels. The loss is in nats per image.")
def per_pixel(log_weights):
    return reference("iwae_loss")(log_weights) / 784


@iwae_loss.mistake("You average over samples and take the log of a sum over images: the two dimensions are swapped.")
def axes_swapped(log_weights):
    return -reference("iwae_bound")(log_weights.T).mean()


@iwae_loss.mistake(
    "The shares of the weights are not detached, so their gradient is counted, too. Only the log of the mean weight is asked for: autograd makes the shares by itself."
)
def surrogate_with_live_weights(log_weights):
    return -(log_weights.softmax(0) * log_weights).sum(0).mean()


@iwae_loss.mistake(
    "You leave the logarithm: exp(−1000) is 0 and exp(1000) is infinite. Subtract each image's largest log weight first, or use logsumexp."
)
def overflows_in_loss(log_weights):
    return -log_weights.exp().mean(0).log().mean()


@iwae_loss.mistake(
    "You subtract one maximum from the whole table. Where images lie far apart, the weights of all but one round to 0: each image needs its own."
)
def one_maximum_in_loss(log_weights):
    top = log_weights.max()
    return -((log_weights - top).exp().mean(0).log() + top).mean()


@iwae_loss.mistake("You subtract the largest log weight and never add it back.")
def maximum_not_added_back_in_loss(log_weights):
    return -(log_weights - log_weights.amax(0)).exp().mean(0).log().mean()


@iwae_loss.mistake("You negate the log weights before the mean is taken. The loss is minus the bound: the sign comes last.")
def negated_weights(log_weights):
    return reference("iwae_bound")(-log_weights).mean()


@iwae_loss.variant
def in_one_line(log_weights):
    return (math.log(log_weights.shape[0]) - torch.logsumexp(log_weights, 0)).mean()


@iwae_loss.variant
def image_by_image_loss(log_weights):
    losses = []
    for column in log_weights.T:
        top = column.max().detach()
        losses.append(-(top + (column - top).exp().mean().log()))
    return sum(losses) / len(losses)


@iwae_loss.variant
def value_and_surrogate(log_weights):
    """The gradient by hand, with the right value on top."""
    value = -reference("iwae_bound")(log_weights.detach()).mean()
    estimate = -(log_weights.detach().softmax(0) * log_weights).sum(0).mean()
    return value + estimate - estimate.detach()


# --- doubly_reparameterized_loss ----------------------------------------------------------------------------------------------

doubly_reparameterized_loss = Exercise("doubly_reparameterized_loss")
doubly_reparameterized_loss.edits("""
weights_not_squared: `lambda gradient: weights[:, :, None] * gradient` → `lambda gradient: gradient`
    The encoder's weights are not squared. What flows through z is weighted twice: by w̃ in the loss, and once more on
    its way to the encoder.
q_not_fixed: `Normal(mu.detach(), std.detach())` → `Normal(mu, std)`
    The direct gradient through the density of q is still there. Detach mu and std where they enter log q, and only
    there.
weights_not_detached: `log_w.detach().softmax(dim=0)` → `log_w.softmax(dim=0)`
    The normalised weights are differentiated too. They are factors: detach them.
decoder_squared_too: `return -(weights * log_w).sum(dim=0).mean()` → `return -(weights.square() * log_w).sum(dim=0).mean()`
    The decoder's weights are squared, and the encoder's are cubed. Only the encoder's are squared; the decoder keeps w̃.
sample_detached: `z = mu + std * eps  # (K, N, D)` → `z = (mu + std * eps).detach()`
    The encoder gets no gradient: z is detached, and the density of q too. The path through z must stay open.
wrong_sign: `return -(weights * log_w).sum(dim=0).mean()` → `return (weights * log_w).sum(dim=0).mean()`
    The sign: a loss is minimised, and the bound is to be climbed.
summed_over_images: `return -(weights * log_w).sum(dim=0).mean()` → `return -(weights * log_w).sum()`
    You sum over the images. The loss is their average.
mean_over_samples: `return -(weights * log_w).sum(dim=0).mean()` → `return -(weights * log_w).mean()`
    You average over the samples. The normalised weights add up to 1 already: sum over k, average over n.
squared_in_the_hook: `weights[:, :, None] * gradient` → `weights[:, :, None].square() * gradient`
    What flows to the encoder has w̃ from the loss already. Squared weights on top make w̃³ of it: multiply by w̃ once.
weights_over_the_images: `log_w.detach().softmax(dim=0)` → `log_w.detach().softmax(dim=1)`
    The weights are normalised over the images. They add up to 1 over the samples of each image, dim=0.
no_weights: `return -(weights * log_w).sum(dim=0).mean()` → `return -log_w.mean()`
    The loss averages the log weights, as the ELBO does. Each stands with its normalised weight w̃.
""")
doubly_reparameterized_loss.recurring(own_noise("eps"), detached)


@doubly_reparameterized_loss.mistake(
    "This is iwae_loss with its ordinary gradient. Remove the direct part, and square the encoder's weights."
)
def plain_iwae(vae, x, eps):
    return reference("iwae_loss")(reference("log_weights")(vae, x, eps))


@doubly_reparameterized_loss.mistake(
    "All weights are squared, the decoder's too. Only what flows to the encoder through z has w̃²; the decoder keeps w̃."
)
def all_squared(vae, x, eps):
    log_w, _ = _fixed_log_weights(vae, x, eps)
    return -(log_w.detach().softmax(0).square() * log_w).sum(0).mean()


def _fixed_log_weights(vae, x, eps, cut=False):
    """Log weights in which q is fixed and, with `cut`, z is a leaf of its own; and that z."""
    mu, logvar = vae.encode(x)
    z = mu + (0.5 * logvar).exp() * eps
    inner = z.detach().requires_grad_() if cut else z
    q = Normal(mu.detach(), (0.5 * logvar.detach()).exp())
    logits = vae.decode(inner.flatten(0, 1)).view(*eps.shape[:2], 784)
    log_likelihood = (logits * x.flatten(1)).sum(2) - F.softplus(logits).sum(2)
    log_w = log_likelihood + (Normal(0.0, 1.0).log_prob(inner) - q.log_prob(inner)).sum(2)
    return log_w, (z, inner)


@doubly_reparameterized_loss.variant
def in_two_terms(vae, x, eps):
    log_w, (z, inner) = _fixed_log_weights(vae, x, eps, cut=True)
    (slope,) = torch.autograd.grad(log_w.sum(), inner, retain_graph=True)
    weights = log_w.detach().softmax(0)
    for_encoder = (weights.square() * (slope * z).sum(2)).sum(0).mean()
    for_decoder = (weights * log_w).sum(0).mean()
    return -(for_encoder + for_decoder)


@doubly_reparameterized_loss.variant
def scaled_gradient_at_z(vae, x, eps):
    """The second factor w̃ comes in by z' = w̃·z + (1 − w̃)·z.detach(), which has the value of z."""
    with torch.no_grad():
        weights = reference("log_weights")(vae, x, eps).softmax(0)
    mu, logvar = vae.encode(x)
    z = mu + (0.5 * logvar).exp() * eps
    z = weights[..., None] * z + (1 - weights[..., None]) * z.detach()
    q = Independent(Normal(mu.detach(), (0.5 * logvar).exp().detach()), 1)
    loss = 0.0
    for k in range(len(eps)):
        decoder = Independent(Bernoulli(logits=vae.decode(z[k])), 3)
        log_w = decoder.log_prob(x) + Independent(Normal(torch.zeros_like(z[k]), 1.0), 1).log_prob(z[k]) - q.log_prob(z[k])
        loss = loss - (weights[k] * log_w).mean()
    return loss


# --- annealed_importance_sampling ---------------------------------------------------------------------------------------------

annealed_importance_sampling = Exercise("annealed_importance_sampling")
annealed_importance_sampling.edits("""
betas_not_differences: `(betas[t] - betas[t - 1]) * current` → `betas[t] * current`
    The weight moves by the difference of two betas, β_t − β_{t−1}.
prior_forgotten: `betas[t] * (proposed - current) + prior.log_prob(proposal) - prior.log_prob(z)` → `betas[t] * (proposed - current)`
    The acceptance compares f_t, which has the prior in it too.
posterior_at_once: `betas[t] * (proposed - current)` → `(proposed - current)`
    Step t moves under f_t, in which the likelihood has the power β_t.
previous_beta: `betas[t] * (proposed - current)` → `betas[t - 1] * (proposed - current)`
    Step t moves under f_t, with β_t. You use the beta of the step before.
all_accepted: `accept = uniforms[t - 1].log() < log_ratio` → `accept = torch.ones_like(log_ratio, dtype=torch.bool)`
    Every proposal is accepted. Then the chain is a random walk, which does not leave f_t invariant.
log_forgotten: `uniforms[t - 1].log() < log_ratio` → `uniforms[t - 1] < log_ratio`
    You compare u with a log ratio. Take the logarithm of u, or the exponential of the ratio.
prior_tempered_too: `betas[t] * (proposed - current) + prior.log_prob(proposal) - prior.log_prob(z)` → `betas[t] * (proposed - current + prior.log_prob(proposal) - prior.log_prob(z))`
    The prior has the power 1 in every f_t; only the likelihood has the power β_t.
prior_fades: `+ prior.log_prob(proposal) - prior.log_prob(z)` → `+ (1 - betas[t]) * (prior.log_prob(proposal) - prior.log_prob(z))`
    The prior gets the power 1 − β_t. It has the power 1 in every f_t: f_T is p(x|z) p(z).
difference_in_the_acceptance: `betas[t] * (proposed - current)` → `(betas[t] - betas[t - 1]) * (proposed - current)`
    The acceptance has the difference of two betas. That belongs in the weight; the step moves under f_t, with β_t itself.
accepted_the_wrong_way_round: `uniforms[t - 1].log() < log_ratio` → `uniforms[t - 1].log() > log_ratio`
    The comparison is the wrong way round: a proposal is accepted where log u is below the log ratio.
never_accepted: `accept = uniforms[t - 1].log() < log_ratio` → `accept = torch.zeros_like(log_ratio, dtype=torch.bool)`
    Every weight is made with the likelihood of the z that its chain began with: z never moves, or the likelihood of where it
    stands now is not the one you go on with.
proposal_from_zero: `z + step_size * noise[t - 1]` → `step_size * noise[t - 1]`
    Your proposal forgets where the chain is: it is z plus the step.
step_size_unused: `z + step_size * noise[t - 1]` → `z + noise[t - 1]`
    `step_size` is not used. The proposal is z + s·ε.
noise_of_the_next_step: `noise[t - 1]` → `noise[t]`
    You count the noise from 1. The entry t − 1 belongs to step t, so noise[t] runs out at the last one.
last_step_left_out: `range(1, len(betas))` → `range(1, len(betas) - 1)`
    The last step is missing, so the betas of your steps don't reach 1. There are T steps, t = 1 to T.
first_step_left_out: `range(1, len(betas))` → `range(2, len(betas))`
    The first step is missing. There are T steps, t = 1 to T, and the first weight has β_1 − β_0.
prior_in_the_weight: `(betas[t] - betas[t - 1]) * current` → `(betas[t] - betas[t - 1]) * (current + prior.log_prob(z))`
    The prior is in the weight. It has the power 1 in f_t and in f_{t−1}, and cancels: only the likelihood is left.
bound_returned: `return log_w` → `return log_w.logsumexp(0) - math.log(len(log_w))`
    You return the bound. Asked for are the log weights, (K, N); whoever calls takes their iwae_bound.
mean_returned: `return log_w` → `return log_w.mean(0)`
    You average the log weights over the chains. Return them all, (K, N).
likelihood_added_at_the_end: `return log_w` → `return log_w + current`
    The likelihood of the last z is added once more. The differences of the betas add up to 1 already.
prior_averaged_over_dimensions: `prior.log_prob(proposal) - prior.log_prob(z)` → `(prior.log_prob(proposal) - prior.log_prob(z)) / z.shape[-1]`
    The log density of the prior is averaged over the dimensions. It is their sum.
""")
annealed_importance_sampling.recurring(own_noise("noise"))


@annealed_importance_sampling.mistake(
    "z moves before the weight does. At step t the weight comes first, with the z of the step before."
)
def moved_first(log_likelihood, z, noise, uniforms, betas, step_size):
    return _anneal(log_likelihood, z, noise, uniforms, betas, step_size, weigh_first=False)


def _anneal(log_likelihood, z, noise, uniforms, betas, step_size, weigh_first=True):
    steps = betas.tolist()
    log_w = 0.0
    for old, new, e, u in zip(steps[:-1], steps[1:], noise, uniforms, strict=True):
        before = (new - old) * log_likelihood(z)
        target = [new * log_likelihood(place) - 0.5 * place.square().sum(-1) for place in (z, z + step_size * e)]
        accept = (u < (target[1] - target[0]).exp()).unsqueeze(-1).float()
        z = z + accept * step_size * e
        log_w = log_w + (before if weigh_first else (new - old) * log_likelihood(z))
    return log_w


@annealed_importance_sampling.variant
def with_exponentials(log_likelihood, z, noise, uniforms, betas, step_size):
    return _anneal(log_likelihood, z, noise, uniforms, betas, step_size)


@annealed_importance_sampling.variant
def summed_by_parts(log_likelihood, z, noise, uniforms, betas, step_size):
    """log w is the dot product of the beta differences with the likelihoods seen; the chain comes first."""
    z, seen = z.clone(), []
    for beta, e, u in zip(betas[1:], noise, uniforms, strict=True):
        here = log_likelihood(z)
        seen.append(here)
        proposal = z + step_size * e
        ratio = beta * (log_likelihood(proposal) - here) + Normal(0.0, 1.0).log_prob(proposal).sum(-1)
        ratio = ratio - Normal(0.0, 1.0).log_prob(z).sum(-1)
        stay = u.log() >= ratio
        proposal[stay] = z[stay]
        z = proposal
    return torch.einsum("t,tkn->kn", betas.diff(), torch.stack(seen))
