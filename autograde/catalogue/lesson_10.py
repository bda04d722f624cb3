"""Lesson 10, β-VAE and disentanglement: what students get wrong, and other ways to be right."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from vae_helpers.sprites import SIZES

from . import Exercise, reference
from .recurring import detached, in_bits, sign_reversed

# --- beta_vae_loss ------------------------------------------------------------------------------------------------------------

beta_vae_loss = Exercise("beta_vae_loss")
beta_vae_loss.edits("""
free_bits: `beta * kl` → `beta * kl.clamp(min=1.0)`
    You hold each KL above some value, as free bits do. Here every nat counts, the first ones, too.
beta_on_the_reconstruction: `recon + beta * kl` → `beta * recon + kl`
    β weighs the reconstruction. It is the price of a nat of code: it belongs to the KL.
beta_on_both: `recon + beta * kl` → `beta * (recon + kl)`
    β multiplies both terms, which changes nothing but the scale.
no_beta: `beta * kl` → `kl`
    β is not used: this is the negative ELBO. Does it do anything when you change beta?
one_over_beta: `beta * kl` → `kl / max(beta, 1e-3)`
    You divide by β. A larger β makes a nat of code dearer: multiply.
sum_over_the_batch: `.mean()` → `.sum()`
    This is the sum over the batch. Take the mean: it must not depend on the batch size.
no_reduction: `.mean()` → ``
    This is one number for each image. Training minimises one for the batch: take the mean.
wrong_sign: `recon + beta * kl` → `recon - beta * kl`
    Your loss falls when the KL grows. Both terms are costs, and add up.
mean_of_one_term: `(recon + beta * kl).mean()` → `recon.mean() + beta * kl.sum()`
    You take the mean of one term and the sum of the other. Then the real weight of the KL is β times the batch size.
beta_minus_one: `recon + beta * kl` → `recon + (beta - 1) * kl`
    You weigh the KL with β − 1. That is the weight of the total correlation in the β-TCVAE; here the KL has weight β.
minus_the_loss: `return (recon + beta * kl).mean()` → `return -(recon + beta * kl).mean()`
    The sign is reversed. This is minimised: both terms are costs, and positive.
sum_of_the_reconstruction: `(recon + beta * kl).mean()` → `recon.sum() + beta * kl.mean()`
    You take the sum of the reconstruction and the mean of the KL. Then the batch size weighs the one against the other.
beta_at_least_one: `beta * kl` → `max(beta, 1) * kl`
    You hold β at 1 or above. A β below 1 is allowed: it makes a nat of code cheaper.
no_beta_counts_as_one: `beta * kl` → `(beta or 1) * kl`
    With β = 0 you count the KL in full. 0 is a price like any other: then the code costs nothing.
weights_that_add_up_to_one: `recon + beta * kl` → `(1 - beta) * recon + beta * kl`
    You weigh the reconstruction with 1 − β. Its weight is 1, whatever β is.
beta_squared: `beta * kl` → `beta**2 * kl`
    β counts twice: you multiply by its square.
halved: `return (recon + beta * kl).mean()` → `return (recon + beta * kl).mean() / 2`
    This is half of what is asked for. There are two terms, and they add up.
mean_over_pixels: `(recon + beta` → `(recon / 784 + beta`
    You divide the reconstruction by the number of pixels. `recon` is in nats per image, as the KL is: both as they are.
one_term_detached: `beta * kl` → `beta * kl.detach()`
    No gradient reaches the KL. Then β changes the number, and nothing that the model learns.
reconstruction_subtracted: `recon + beta * kl` → `-recon + beta * kl`
    The reconstruction is subtracted. `recon` is a cost already, −log p(x | z): add it.
recon_detached: `(recon + beta` → `(recon.detach() + beta`
    No gradient reaches the reconstruction. Then only the KL is trained.
""")
beta_vae_loss.recurring(detached)


@beta_vae_loss.variant
def two_means(recon, kl, beta):
    return torch.mean(recon) + beta * torch.mean(kl)


@beta_vae_loss.variant
def by_dot_products(recon, kl, beta):
    ones = torch.full_like(recon, 1 / len(recon))
    return torch.einsum("n,n->", ones, recon) + torch.dot(ones, kl * beta)


@beta_vae_loss.variant
def by_loop_in_float64(recon, kl, beta):
    total = 0.0
    for r, k in zip(recon.double(), kl.double(), strict=True):
        total = total + r + beta * k
    return (total / recon.shape[0]).float()


# --- capacity_loss ------------------------------------------------------------------------------------------------------------

capacity_loss = Exercise("capacity_loss")
capacity_loss.edits("""
bars_around_every_image: `(kl.mean() - capacity).abs()` → `(kl - capacity).abs().mean()`
    You hold every single image at C nats: the bars are around each KL. Take the batch mean of the KL first, then the
    absolute value.
no_absolute_value: `.abs()` → ``
    The absolute value is missing, or stands around too little: it is |mean KL − C|. Without it the capacity is only a constant, and the loss that of a β-VAE with β = γ.
squared: `.abs()` → `.square()`
    You square the distance to the capacity. The paper takes its absolute value.
only_from_above: `.abs()` → `.clamp(min=0)`
    Below the capacity you charge nothing. The absolute value presses from both sides: a code that is too short costs as
    well.
only_from_below: `(kl.mean() - capacity).abs()` → `(capacity - kl.mean()).clamp(min=0)`
    Above the capacity you charge nothing. The absolute value presses from both sides.
no_gamma: `gamma * ` → ``
    γ is not used. It multiplies the distance of the KL from the capacity.
no_capacity: `kl.mean() - capacity` → `kl.mean()`
    The capacity is not used. Subtract it from the mean KL.
sum_of_the_kl: `kl.mean()` → `kl.sum()`
    You compare the sum of the KLs over the batch with the capacity. The capacity is for one image: take the mean.
sum_of_the_reconstruction: `recon.mean()` → `recon.sum()`
    The reconstruction is summed over the batch. Take its mean, as for the KL.
gamma_on_everything: `recon.mean() + gamma * (kl.mean() - capacity).abs()` → `gamma * (recon.mean() + (kl.mean() - capacity).abs())`
    γ multiplies the reconstruction, too. It belongs to the distance from the capacity alone.
kl_added_too: `recon.mean() + gamma` → `recon.mean() + kl.mean() + gamma`
    The KL itself is in your loss, too. The capacity takes its place: only the distance from C is paid for.
gamma_on_the_reconstruction: `recon.mean() + gamma * (kl.mean() - capacity).abs()` → `gamma * recon.mean() + (kl.mean() - capacity).abs()`
    γ multiplies the reconstruction. It belongs to the distance from the capacity.
sum_of_both: `recon.mean() + gamma * (kl.mean() - capacity).abs()` → `recon.sum() + gamma * (kl.sum() - capacity).abs()`
    You sum over the batch. Both are means: the capacity is for one image.
capacity_added: `kl.mean() - capacity` → `kl.mean() + capacity`
    You add the capacity to the mean KL. The distance between the two is their difference.
gamma_inside: `gamma * (kl.mean() - capacity).abs()` → `(gamma * kl.mean() - capacity).abs()`
    γ multiplies the mean KL alone. It multiplies the whole distance from the capacity, |mean KL − C|.
rewarded: `recon.mean() + gamma` → `recon.mean() - gamma`
    The distance from the capacity is rewarded. It is a cost: add it.
no_reconstruction: `recon.mean() + gamma` → `gamma`
    The reconstruction is missing.
not_averaged: `recon.mean() + gamma` → `recon + gamma`
    This is one number for each image. Training minimises one for the batch: take the mean of `recon`.
bars_around_everything: `recon.mean() + gamma * (kl.mean() - capacity).abs()` → `(recon.mean() + gamma * (kl.mean() - capacity)).abs()`
    The bars are around the whole loss. They belong around the distance from the capacity, or a KL below it lowers the loss.
no_capacity_no_term: `gamma * (kl.mean() - capacity).abs()` → `(gamma * (kl.mean() - capacity).abs() if capacity else 0 * kl.mean())`
    With a capacity of 0 you leave the term out. 0 is a capacity like any other: then every nat of the KL costs γ.
kl_detached: `(kl.mean() - capacity)` → `(kl.detach().mean() - capacity)`
    No gradient reaches the KL. Then nothing pulls it to the capacity.
swapped: `gamma * (kl.mean() - capacity).abs()` → `capacity * (kl.mean() - gamma).abs()`
    The capacity and γ have changed places: γ multiplies the distance from the capacity.
never_below_the_capacity: `(kl.mean() - capacity).abs()` → `kl.mean().clamp(min=capacity)`
    You charge for the larger of the KL and the capacity. Charged is the distance between the two, on either side.
gamma_squared_too: `gamma * (kl.mean() - capacity).abs()` → `(gamma * (kl.mean() - capacity)) ** 2`
    You square the distance to the capacity, and γ with it. γ multiplies the absolute value of the distance.
sum_of_the_kl_minus_one_capacity: `(kl.mean() - capacity).abs()` → `(kl.sum() - capacity).abs() / len(kl)`
    You subtract the capacity once from the sum of the KLs. It is for one image: take the mean of the KL, then subtract.
gamma_on_both_in_the_bars: `recon.mean() + gamma * (kl.mean() - capacity).abs()` → `gamma * (recon.mean() + kl.mean() - capacity).abs()`
    The reconstruction stands within the bars, and γ multiplies it. Only the KL's distance from the capacity belongs there.
half_the_distance: `gamma * (kl` → `0.5 * gamma * (kl`
    You halve the distance from the capacity. There is no ½: γ times the distance.
divided_by_the_batch: `gamma * (kl.mean() - capacity).abs()` → `gamma * (kl.mean() - capacity).abs() / len(kl)`
    You divide the distance by the batch size. It is made of a mean already.
""")
capacity_loss.recurring(detached)


@capacity_loss.variant
def by_two_sides(recon, kl, capacity, gamma):
    too_much = kl.mean() - capacity
    return recon.mean() + gamma * (torch.relu(too_much) + torch.relu(-too_much))


@capacity_loss.variant
def by_l1_loss(recon, kl, capacity, gamma):
    average = kl.sum() / kl.numel()
    return torch.mean(recon) + F.l1_loss(average, torch.tensor(float(capacity))) * gamma


@capacity_loss.variant
def by_root_of_square(recon, kl, capacity, gamma):
    distance = torch.sqrt((kl.double().mean() - capacity) ** 2)
    return (recon.double().mean() + gamma * distance).to(recon.dtype)


@capacity_loss.variant
def per_image_and_then_the_mean(recon, kl, capacity, gamma):
    """The penalty is the same number for every image, so that it may be averaged once more."""
    return (recon + gamma * abs(kl.mean() - capacity)).mean()


# --- rate_distortion ----------------------------------------------------------------------------------------------------------

rate_distortion = Exercise("rate_distortion")
rate_distortion.edits("""
swapped: `return rate, distortion` → `return distortion, rate`
    The two have changed places. The rate is the KL, and comes first.
sums_over_images: `kl_per_dim(mu, logvar).sum(1).mean()\n    distortion = reconstruction_loss(x, logits).mean()` → `kl_per_dim(mu, logvar).sum()\n    distortion = reconstruction_loss(x, logits).sum()`
    These are sums over all images. Each is a mean: nats per image.
mean_over_dimensions: `.sum(1).mean()` → `.mean()`
    Your rate is a mean over the latent dimensions, too. An image's KL is their sum; only the images are averaged.
one_number_for_each_image: `kl_per_dim(mu, logvar).sum(1).mean()\n    distortion = reconstruction_loss(x, logits).mean()` → `kl_per_dim(mu, logvar).sum(1)\n    distortion = reconstruction_loss(x, logits)`
    You return a number for each image. Rate and distortion are averages over the images.
mean_over_pixels: `reconstruction_loss(x, logits).mean()` → `F.binary_cross_entropy_with_logits(logits, x)`
    Your distortion is a mean over the pixels. The log-probabilities of an image's pixels add up; only the images are
    averaged.
log_likelihood: `reconstruction_loss(x, logits).mean()` → `-reconstruction_loss(x, logits).mean()`
    Your distortion is log p(x | z), and negative. It is a cost: −log p(x | z).
noise_not_used: `logits, mu, logvar = vae(x, eps)` → `logits, mu, logvar = vae(x, 0 * eps)`
    You decode mu itself. The distortion is that of a sample, z = mu + σ · eps: a decoder that never meets the noise
    looks better than it is.
noise_of_its_own: `vae(x, eps)` → `vae(x)`
    The noise is drawn anew. Use the `eps` that is passed in, so that two models can be compared with the same noise.
includes_the_rate: `reconstruction_loss(x, logits).mean()` → `reconstruction_loss(x, logits).mean() + rate`
    Your second number is the negative ELBO, R + D. The distortion is the reconstruction loss alone.
squared_error: `reconstruction_loss(x, logits).mean()` → `0.5 * (x - logits.sigmoid()).square().flatten(1).sum(1).mean()`
    Your distortion is half the squared error, which belongs to Gaussian pixels. Here pixels are coins: binary
    cross-entropy.
rate_for_each_image: `kl_per_dim(mu, logvar).sum(1).mean()` → `kl_per_dim(mu, logvar).sum(1)`
    Your rate is a number for each image. It is the average over the images.
distortion_for_each_image: `reconstruction_loss(x, logits).mean()` → `reconstruction_loss(x, logits)`
    Your distortion is a number for each image. It is the average over the images.
rate_summed_over_images: `kl_per_dim(mu, logvar).sum(1).mean()` → `kl_per_dim(mu, logvar).sum()`
    Your rate is the sum over all images. It is a mean over the images: nats per image.
distortion_summed_over_images: `reconstruction_loss(x, logits).mean()` → `reconstruction_loss(x, logits).sum()`
    Your distortion is the sum over all images. It is a mean over the images: nats per image.
rate_negative: `kl_per_dim(mu, logvar).sum(1).mean()` → `-kl_per_dim(mu, logvar).sum(1).mean()`
    The sign of your rate is reversed. A KL divergence is never negative.
rate_without_half: `kl_per_dim(mu, logvar).sum(1).mean()` → `2 * kl_per_dim(mu, logvar).sum(1).mean()`
    Your rate is twice too large: there is a ½ in front of mu² + σ² − 1 − log σ².
rate_without_one: `kl_per_dim(mu, logvar).sum(1).mean()` → `(kl_per_dim(mu, logvar) + 0.5).sum(1).mean()`
    Your rate is ½ too large for each dimension: the −1 is missing in mu² + σ² − 1 − log σ².
rate_with_log_std: `kl_per_dim(mu, logvar)` → `kl_per_dim(mu, 2 * logvar)`
    Your rate reads `logvar` as log σ. It is log σ²: σ is exp(½ · logvar).
full_squared_error: `reconstruction_loss(x, logits).mean()` → `(x - logits.sigmoid()).square().flatten(1).sum(1).mean()`
    Your distortion is the squared error, which belongs to Gaussian pixels. Here pixels are coins: binary cross-entropy.
sigmoid_twice: `reconstruction_loss(x, logits)` → `reconstruction_loss(x, logits.sigmoid())`
    The sigmoid is applied twice: once by you, and once by the loss that takes logits. Hand the logits on as they are.
noise_subtracted: `vae(x, eps)` → `vae(x, -eps)`
    You subtract the noise. z is mu + σ · eps: use the noise with its sign, so that two models can be compared.
rate_of_the_rows_summed: `kl_per_dim(mu, logvar).sum(1).mean()` → `kl_per_dim(mu, logvar).sum(0).mean()`
    You sum over the images (dim 0) and average over the dimensions. It is the other way round: an image's KL is the sum
    over its dimensions.
rate_for_each_dimension: `kl_per_dim(mu, logvar).sum(1).mean()` → `kl_per_dim(mu, logvar).mean(0)`
    Your rate is a number for each dimension. An image's KL is the sum over its dimensions: one number in all.
decodes_the_noise: `logits, mu, logvar = vae(x, eps)` → `(mu, logvar), logits = vae.encode(x), vae.decode(eps)`
    You decode the noise itself, a draw from the prior. The code of an image is z = mu + σ · eps.
""")
rate_distortion.recurring(in_bits)


@rate_distortion.mistake(
    "You multiply the noise by the variance. It is multiplied by the standard deviation, exp(½ · logvar)."
)
def variance_times_noise(vae, x, eps):
    mu, logvar = vae.encode(x)
    rate = reference("rate_distortion")(vae, x, eps)[0]
    logits = vae.decode(mu + logvar.exp() * eps)
    return rate, F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)


@rate_distortion.mistake("You multiply the noise by logvar itself. A sample is mu + σ · eps, with σ = exp(½ · logvar).")
def logvar_times_noise(vae, x, eps):
    mu, logvar = vae.encode(x)
    rate = reference("rate_distortion")(vae, x, eps)[0]
    logits = vae.decode(mu + logvar * eps)
    return rate, F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)


@rate_distortion.mistake(
    "Your rate is estimated from the sample, log q(z | x) − log p(z). It has a formula: the exact KL divergence needs no noise."
)
def rate_from_the_sample(vae, x, eps):
    mu, logvar = vae.encode(x)
    q = Normal(mu, (0.5 * logvar).exp())
    z = mu + (0.5 * logvar).exp() * eps
    rate = (q.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(1).mean()
    return rate, reference("rate_distortion")(vae, x, eps)[1]


@rate_distortion.mistake(
    "Your distortion takes the logarithm of a probability, which is −∞ where it was rounded to 0, and 0 · ∞ is NaN. Use the loss that takes logits: `reconstruction_loss`."
)
def logarithms_of_probabilities(vae, x, eps):
    p = vae(x, eps)[0].sigmoid()
    loss = -(x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1).mean()
    return reference("rate_distortion")(vae, x, eps)[0], loss


@rate_distortion.mistake(
    "You add a small number inside the logarithms, or clip the probabilities. That hides how wrong a wrong pixel is. Use the loss that takes logits: `reconstruction_loss`."
)
def small_number_in_the_logarithms(vae, x, eps):
    p = vae(x, eps)[0].sigmoid()
    loss = -(x * (p + 1e-6).log() + (1 - x) * (1 - p + 1e-6).log()).flatten(1).sum(1).mean()
    return reference("rate_distortion")(vae, x, eps)[0], loss


@rate_distortion.mistake(
    "Your rate is the KL divergence the other way round, from the prior to q. It is KL(q(z | x) ‖ p(z))."
)
def reverse_kl(vae, x, eps):
    mu, logvar = vae.encode(x)
    rate = kl_divergence(Normal(0.0, 1.0), Normal(mu, (0.5 * logvar).exp())).sum(1).mean()
    return rate, reference("rate_distortion")(vae, x, eps)[1]


@rate_distortion.mistake("The images and the logits are swapped in your distortion: the image is what is compared with p.")
def image_and_logits_swapped(vae, x, eps):
    logits = vae(x, eps)[0]
    loss = F.binary_cross_entropy_with_logits(x, logits, reduction="none").flatten(1).sum(1).mean()
    return reference("rate_distortion")(vae, x, eps)[0], loss


@rate_distortion.variant
def by_distributions(vae, x, eps):
    mu, logvar = vae.encode(x)
    q = Independent(Normal(mu, logvar.exp().sqrt()), 1)
    prior = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    pixels = Independent(Bernoulli(logits=vae.decode(mu + q.stddev * eps)), 3)
    return kl_divergence(q, prior).mean(), -pixels.log_prob(x).mean()


@rate_distortion.variant
def image_by_image(vae, x, eps):
    rate = distortion = 0.0
    for image, noise in zip(x, eps, strict=True):
        mu, logvar = vae.encode(image[None])
        logits = vae.decode(mu + torch.exp(logvar / 2) * noise)
        rate += 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum().item() / len(x)
        distortion += F.softplus(torch.where(image[None] > 0.5, -logits, logits)).sum().item() / len(x)
    return rate, distortion


@rate_distortion.variant
@torch.no_grad()
def by_softplus_and_numpy(vae, x, eps):
    logits, mu, logvar = vae(x, eps)
    mu, logvar = mu.double().numpy(), logvar.double().numpy()
    rate = np.mean(np.sum(mu**2 + np.exp(logvar) - logvar - 1, axis=-1)) / 2
    distortion = (F.softplus(logits.double()) - x * logits).sum() / x.shape[0]
    return float(rate), distortion.item()


# --- discretize ---------------------------------------------------------------------------------------------------------------

discretize = Exercise("discretize")
discretize.edits("""
maximum_one_too_many: `.clamp(0, bins - 1)` → ``
    The largest value gets bin number `bins`, which does not exist: the bins are 0 to bins − 1. Clamp it to the last.
maximum_in_the_first_bin: `.clamp(0, bins - 1)` → ` % bins`
    The largest value wraps around into bin 0. It belongs to the last bin.
one_range_for_all: `codes.amin(dim=0), codes.amax(dim=0)` → `codes.amin(), codes.amax()`
    All dimensions share one range. A dimension with small values then falls into one or two bins: take the minimum and
    maximum of each, dim=0.
range_of_each_row: `codes.amin(dim=0), codes.amax(dim=0)` → `codes.amin(dim=1, keepdim=True), codes.amax(dim=1, keepdim=True)`
    You take the range of each row. The range is that of a dimension, over all rows: dim=0.
rounded_to_the_nearest: `((codes - low) / width).floor()` → `((codes - low) / width * (bins - 1) / bins).round()`
    You round to the nearest of `bins` places. Then the first and the last bin are half as wide as the others: cut into
    equal pieces, and round down.
one_bin_too_few: `(high - low) / bins` → `(high - low) / (bins - 1)`
    You cut the range into bins − 1 pieces, and only the maximum itself lies in the last. `bins` pieces have bins + 1
    borders.
counted_from_one: `.clamp(0, bins - 1)` → `.clamp(0, bins - 1) + 1`
    Your bins are counted from 1. They are counted from 0.
always_twenty: `(high - low) / bins` → `(high - low) / 20`
    You always cut into 20 pieces. 20 is only what `bins` is where nobody says otherwise.
floating_point: `.floor().long()` → `.floor()`
    The bins are right, and they are floating-point numbers. They will be places in a table: end with .long(), int64.
counted_backwards: `.clamp(0, bins - 1)` → `.clamp(0, bins - 1).mul(-1).add(bins - 1)`
    Your bins are counted from the largest value down. The smallest value is in piece 0.
rounded_up: `.floor()` → `.ceil()`
    You round up. Then only the minimum itself is in bin 0: round down.
rounded_at_the_end: `.floor()` → `.round()`
    You round to the nearest number, so that pieces begin half a width too early. Round down.
minimum_taken_for_zero: `(codes - low) / width` → `codes / width`
    You do not subtract the minimum. The bins begin at the smallest value of the dimension.
""")


@discretize.mistake(
    "Your bins hold equally many values (quantiles). Equal *width* is asked for: cut the range from the minimum to the maximum."
)
def equal_counts(codes, bins=20):
    ranks = codes.argsort(dim=0).argsort(dim=0)
    return torch.where(codes.amax(0) > codes.amin(0), ranks * bins // len(codes), 0)


@discretize.mistake(
    "Your bins reach from −3 to 3 whatever the codes are. Each dimension has a range of its own: its minimum to its maximum."
)
def fixed_range(codes, bins=20):
    return ((codes + 3) / 6 * bins).floor().long().clamp(0, bins - 1)


@discretize.mistake(
    "A constant dimension has a range of 0, and 0/0 is NaN, of which .long() makes a number that is no bin. Divide by 1 there."
)
def constant_divided_by_zero(codes, bins=20):
    low, high = codes.amin(0), codes.amax(0)
    place = (codes - low) / (high - low) * bins
    return torch.where(place.isnan(), -(2**40), place.nan_to_num().floor().long().clamp(max=bins - 1))


@discretize.mistake("The numbers are right, but not int64: index and count with `.long()`, which other functions ask for.")
def thirty_two_bits(codes, bins=20):
    return reference("discretize")(codes, bins).int()


@discretize.mistake(
    "You add to the width, or hold it above some value, and a dimension with small values then falls into too few bins. Only a width of exactly 0 needs care."
)
def width_held_above(codes, bins=20):
    low, high = codes.amin(0), codes.amax(0)
    return ((codes - low) / (high - low).clamp(min=1e-3) * bins).long().clamp(max=bins - 1)


def _widened(name, wrong):
    wrong.__name__ = name
    hint = "You add a small number to the width, or hold it above one, and a dimension whose values are as small falls into too few bins. Only a width of exactly 0 needs care."
    discretize.mistake(hint)(wrong)


def _places(codes, width, bins):
    return ((codes - codes.amin(0)) / width).floor().long().clamp(0, bins - 1)


_widened("range_plus_1e_6", lambda codes, bins=20: _places(codes, (codes.amax(0) - codes.amin(0) + 1e-6) / bins, bins))
_widened("width_plus_1e_6", lambda codes, bins=20: _places(codes, (codes.amax(0) - codes.amin(0)) / bins + 1e-6, bins))


@discretize.mistake(
    "You hold the width at 1 or above, so that a dimension with a smaller range falls into few bins. Only a width of exactly 0 needs care."
)
def width_at_least_one(codes, bins=20):
    low, high = codes.amin(0), codes.amax(0)
    return ((codes - low) / (high - low).clamp(min=1) * bins).long().clamp(max=bins - 1)


@discretize.mistake(
    "Your bins hold equally many values (quantiles). Equal *width* is asked for, also where all values are equal."
)
def ranks_of_all(codes, bins=20):
    return codes.argsort(dim=0).argsort(dim=0) * bins // len(codes)


@discretize.mistake("You divide by the largest value. The bins cover the range: divide by the maximum minus the minimum.")
def divided_by_the_maximum(codes, bins=20):
    low, high = codes.amin(0), codes.amax(0)
    return ((codes - low) / torch.where(high > 0, high, 1.0) * bins).long().clamp(0, bins - 1)


@discretize.mistake(
    "Your bins are counted from 1: `bucketize` counts the borders below a value. The smallest value belongs into bin 0, and the largest into bins − 1."
)
def counted_by_borders(codes, bins=20):
    columns = []
    for column in codes.T:
        borders = torch.linspace(float(column.min()), float(column.max()), bins + 1)
        columns.append(torch.bucketize(column.contiguous(), borders, right=True))
    return torch.stack(columns, dim=1)


@discretize.mistake("The result is flat. A code keeps its place: (N, D).")
def flat(codes, bins=20):
    return reference("discretize")(codes, bins).flatten()


@discretize.mistake("These are the counts of the bins, a histogram. Return the bin of each code: (N, D).")
def histogram(codes, bins=20):
    return F.one_hot(reference("discretize")(codes, bins), bins).sum(0).T


@discretize.variant
def by_bucketize(codes, bins=20):
    columns = []
    for column in codes.T:
        borders = torch.linspace(column.min().item(), column.max().item(), bins + 1, dtype=torch.float64)
        columns.append(torch.bucketize(column.double().contiguous(), borders[1:-1], right=True))
    return torch.stack(columns, dim=1)


@discretize.variant
def as_disentanglement_lib_does(codes, bins=20):
    """np.histogram widens the range of a constant by a half on either side, so that it lands in the middle."""
    codes = codes.numpy()
    columns = [np.digitize(column, np.histogram(column, bins)[1][:-1]) - 1 for column in codes.T.astype(np.float64)]
    return torch.from_numpy(np.stack(columns, axis=1))


@discretize.variant
def by_counting_borders(codes, bins=20):
    low, high = codes.double().min(0).values, codes.double().max(0).values
    shares = torch.arange(1, bins, dtype=torch.float64) / bins
    borders = low[:, None] + (high - low)[:, None] * shares  # (D, bins − 1)
    return (codes.double()[:, :, None] >= borders).sum(-1) * (high > low)


@discretize.variant
def by_truncation_in_float64(codes, bins=20):
    low = codes.amin(0, keepdim=True).double()
    span = codes.amax(0, keepdim=True).double() - low
    place = torch.nan_to_num((codes.double() - low) / span)
    return torch.minimum((place * bins).to(torch.int64), torch.tensor(bins - 1))


# --- mutual_information_matrix ------------------------------------------------------------------------------------------------

mutual_information_matrix = Exercise("mutual_information_matrix")
mutual_information_matrix.edits("""
in_bits: `.log())` → `.log2())`
    This is in bits. In nats the logarithm is the natural one.
transposed: `return result` → `return result.T`
    The matrix lies on its side: a row is a dimension, a column a factor.
zero_times_log_zero: `seen = joint > 0` → `seen = joint > -1`
    A combination that never occurs gives 0 · log 0, which is NaN. It contributes 0: leave it out.
joint_entropy: `(joint[seen] * (joint[seen] / independent[seen]).log()).sum()` → `-(joint[seen] * joint[seen].log()).sum()`
    This is the entropy of the two together. The mutual information compares p(a, b) with p(a) p(b).
not_weighted: `(joint[seen] * (joint[seen] / independent[seen]).log()).sum()` → `(joint[seen] / independent[seen]).log().sum()`
    You add up the logarithms without their weights p(a, b).
counts_for_probabilities: `has_value / len(codes)` → `has_value`
    Your table holds counts. Probabilities are shares: divide by N.
other_direction: `(joint[seen] * (joint[seen] / independent[seen]).log()).sum()` → `(independent[seen] * (independent[seen] / joint[seen]).log()).sum()`
    This is the KL divergence the other way round. The average is taken under p(a, b).
one_marginal_forgotten: `joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)` → `joint.sum(1, keepdim=True).expand_as(joint)`
    You divide by p(a) alone. Under independence the joint probability would be p(a) · p(b).
factor_taken_for_uniform: `joint.sum(0, keepdim=True)` → `(joint.sum(0, keepdim=True) > 0) / (joint.sum(0) > 0).sum()`
    You take all values of the factor for equally frequent. Count: the sum of the table over the bins is p(b).
other_bins: `discretize(codes)` → `discretize(codes, 10)`
    You use 10 bins. Say `discretize(codes)`, which uses 20.
divided_by_the_entropy: `(joint[seen] * (joint[seen] / independent[seen]).log()).sum()` → `(joint[seen] * (joint[seen] / independent[seen]).log()).sum() / max(1e-12, -torch.xlogy(joint.sum(0), joint.sum(0)).sum())`
    You divide by the entropy of the factor here already. That comes in the next exercise; this matrix is in nats.
base_ten: `.log())` → `.log10())`
    Your logarithm is the one to base 10. In nats it is the natural one.
averaged_over_combinations: `(joint[seen] * (joint[seen] / independent[seen]).log()).sum()` → `(joint[seen] * (joint[seen] / independent[seen]).log()).mean()`
    You take the mean over the combinations. Each already has its weight p(a, b): sum.
averaged_over_factors: `return result` → `return result.mean(1)`
    You average over the factors. The matrix keeps a column for each.
divided_by_n_twice: `has_value / len(codes)` → `has_value / len(codes) ** 2`
    You divide by N twice. The counts divided by N are the shares, and add up to 1.
absolute_terms: `(joint[seen] / independent[seen]).log()` → `(joint[seen] / independent[seen]).log().abs()`
    You take the absolute value of each term. Single terms may be negative: leave them, only the sum is not.
presence_for_counts: `in_bin.T @ has_value / len(codes)` → `(in_bin.T @ has_value > 0).double() / (in_bin.T @ has_value > 0).sum()`
    Each combination counts once in your table, however often it occurs. With table[a, b] += 1 on lists of indices, repeats are lost: count every row.
weights_of_independence: `(joint[seen] * (joint[seen] / independent[seen]).log()).sum()` → `(independent[seen] * (joint[seen] / independent[seen]).log()).sum()`
    Your weights are p(a) p(b). The average is taken under p(a, b).
seen_in_the_margins_only: `seen = joint > 0` → `seen = independent > 0`
    A combination that never occurs gives 0 · log 0, which is NaN. Leave out where p(a, b) is 0: p(a) p(b) need not be 0 there.
""")
mutual_information_matrix.recurring(sign_reversed, hint="The sign is reversed. Mutual information is never negative.")


@mutual_information_matrix.mistake(
    "You use the codes without putting them in bins. Every code is then a value of its own, and seems to know everything: discretize(codes) first."
)
def without_bins(codes, factors):
    ranks = torch.stack([column.unique(return_inverse=True)[1] for column in codes.T], dim=1)
    return _by_entropies(ranks, factors)


@mutual_information_matrix.mistake(
    "A bin or a combination that never occurs gives 0 · log 0, which is NaN. It contributes 0: leave it out."
)
def all_bins_without_a_mask(codes, factors):
    return _from_tables(codes, factors, lambda joint, a, b: (joint * (joint / (a * b)).log()).sum())


@mutual_information_matrix.mistake(
    "This is the entropy of the factor that is left once the bin is known. The mutual information is what the bin takes away from it."
)
def conditional_entropy(codes, factors):
    return _from_tables(
        codes,
        factors,
        lambda joint, a, b: (torch.xlogy(joint.sum(1), joint.sum(1)) - torch.xlogy(joint, joint).sum(1)).sum(),
    )


@mutual_information_matrix.mistake(
    "This is computed from correlations, as for Gaussians. Count instead: the shares of the rows in each bin and with each value."
)
def from_correlations(codes, factors):
    both = torch.cat([codes, factors.float()], dim=1).T
    return -0.5 * (1 - torch.corrcoef(both)[: codes.shape[1], codes.shape[1] :] ** 2).log()


def _from_tables(codes, factors, of_table):
    """of_table(joint, p(a), p(b)) for each dimension and factor, with all 20 bins."""
    indices = reference("discretize")(codes)
    result = torch.zeros(codes.shape[1], factors.shape[1])
    for d in range(codes.shape[1]):
        for f in range(factors.shape[1]):
            joint = F.one_hot(indices[:, d], 20).double().T @ F.one_hot(factors[:, f]).double() / len(codes)
            result[d, f] = of_table(joint, joint.sum(1, keepdim=True), joint.sum(0, keepdim=True))
    return result


@mutual_information_matrix.mistake(
    "You put the factors in bins as well, so that some of their values fall together. They are whole numbers already: count them as they are."
)
def factors_in_bins(codes, factors):
    return reference("mutual_information_matrix")(codes, reference("discretize")(factors.float()))


def _entropy(*columns: torch.Tensor) -> torch.Tensor:
    _, counts = torch.stack(columns, dim=1).unique(dim=0, return_counts=True)
    return Categorical(counts.double() / counts.sum()).entropy()


def _by_entropies(indices, factors):
    rows = [[_entropy(a) + _entropy(b) - _entropy(a, b) for b in factors.T] for a in indices.T]
    return torch.tensor(rows)


@mutual_information_matrix.variant
def by_three_entropies(codes, factors):
    return _by_entropies(reference("discretize")(codes), factors)


@mutual_information_matrix.variant
def by_numpy_histogram(codes, factors):
    indices, factors = reference("discretize")(codes).numpy(), factors.numpy()
    out = np.zeros((indices.shape[1], factors.shape[1]))
    for d in range(out.shape[0]):
        for f in range(out.shape[1]):
            table, _, _ = np.histogram2d(indices[:, d], factors[:, f], bins=(20, factors[:, f].max() + 1), range=None)
            p = table / table.sum()
            with np.errstate(all="ignore"):
                terms = p * np.log(p / np.outer(p.sum(1), p.sum(0)))
            out[d, f] = np.nansum(terms)
    return torch.from_numpy(out)


@mutual_information_matrix.variant
def by_einsum_over_everything(codes, factors):
    a = F.one_hot(reference("discretize")(codes), 20).double()  # (N, D, 20)
    b = F.one_hot(factors).double()  # (N, F, B)
    joint = torch.einsum("nda,nfb->dfab", a, b) / len(codes)
    pa, pb = a.mean(0), b.mean(0)
    both = torch.xlogy(joint, joint).sum((2, 3))
    return (both - torch.xlogy(pa, pa).sum(1)[:, None] - torch.xlogy(pb, pb).sum(1)).float()


@mutual_information_matrix.variant
def by_dictionaries(codes, factors):
    """Plain Python: count the pairs that occur, and average log p(a, b) / (p(a) p(b)) over the rows."""
    indices, factors, n = reference("discretize")(codes).tolist(), factors.tolist(), len(codes)
    result = torch.zeros(len(indices[0]), len(factors[0]))
    for d in range(len(indices[0])):
        for f in range(len(factors[0])):
            pairs, left, right = {}, {}, {}
            for row, truth in zip(indices, factors, strict=True):
                a, b = row[d], truth[f]
                pairs[a, b] = pairs.get((a, b), 0) + 1
                left[a] = left.get(a, 0) + 1
                right[b] = right.get(b, 0) + 1
            result[d, f] = sum(c / n * math.log(c * n / (left[a] * right[b])) for (a, b), c in pairs.items())
    return result


# --- mutual_information_gap ---------------------------------------------------------------------------------------------------

mutual_information_gap = Exercise("mutual_information_gap")
mutual_information_gap.edits("""
not_divided_by_the_entropy: `(best[0, f] - best[1, f]) / entropy` → `best[0, f] - best[1, f]`
    The gap is in nats. Divide each by the entropy of its factor, so that 1 means everything that there is to know.
best_alone: `best[0, f] - best[1, f]` → `best[0, f]`
    You take the best dimension alone. A code that says everything twice would be perfect: subtract the second best.
sum_over_factors: `.mean())` → `.sum())`
    You add up the gaps of the factors. Take their mean.
entropy_in_bits: `-torch.xlogy(shares, shares).sum()` → `-torch.xlogy(shares, shares).sum() / math.log(2)`
    Your entropy is in bits, and the information in nats. Use the natural logarithm in both.
factors_taken_for_uniform: `-torch.xlogy(shares, shares).sum()` → `math.log((shares > 0).sum())`
    You take ln(number of values) for the entropy. That is right where all are equally frequent; in these rows they need
    not be. Count them.
gap_to_the_last: `(best[0, f] - best[1, f])` → `(best[0, f] - mutual_information_matrix(codes, factors)[:, f].min())`
    You subtract the smallest of the column. The rival is the second best dimension.
divided_by_the_best: `best[1, f]) / entropy` → `best[1, f]) / best[0, f].clamp(min=1e-12)`
    You divide by the best dimension's information. Divide by the entropy of the factor: what there is to know, not what
    is known.
sign: `(best[0, f] - best[1, f])` → `(best[1, f] - best[0, f])`
    The sign is reversed. The best minus the second best is never negative.
not_averaged: `return float(torch.stack(gaps).mean())` → `return torch.stack(gaps)`
    This is one gap for each factor. Return their mean.
largest_gap: `torch.stack(gaps).mean()` → `torch.stack(gaps).max()`
    You take the largest gap. Take the mean over the factors.
median_gap: `torch.stack(gaps).mean()` → `torch.stack(gaps).median()`
    You take the median of the gaps. Take their mean.
zero_times_log_zero: `-torch.xlogy(shares, shares).sum()` → `-(shares * shares.log()).sum()`
    A number that never occurs gives 0 · log 0, which is NaN. It contributes 0 to the entropy: leave it out.
smallest_two: `topk(2, dim=0)` → `topk(2, dim=0, largest=False)`
    You take the two smallest of each column. The gap is between the two largest.
""")


@mutual_information_gap.mistake(
    "You compare the two factors that each dimension knows best, and average over dimensions. Take the two best dimensions for each factor, and average over factors."
)
def along_the_other_axis(codes, factors):
    information = reference("mutual_information_matrix")(codes, factors)
    information = information / torch.tensor([float(_entropy(column)) for column in factors.T])
    information = torch.cat([information, torch.zeros(len(information), 1)], dim=1)
    top = information.topk(2, dim=1).values
    return float((top[:, 0] - top[:, 1]).mean())


@mutual_information_gap.mistake(
    "You divide the mean gap by the mean entropy. Divide the gap of each factor by its own entropy, and then take the mean."
)
def ratio_of_means(codes, factors):
    best = reference("mutual_information_matrix")(codes, factors).topk(2, dim=0).values
    return float((best[0] - best[1]).mean() / sum(float(_entropy(column)) for column in factors.T) * factors.shape[1])


def _gap(codes, factors, rival):
    information = reference("mutual_information_matrix")(codes, factors).double()
    entropies = torch.tensor([float(_entropy(column)) for column in factors.T], dtype=torch.float64)
    return float(((information.amax(0) - rival(information)) / entropies).mean())


_OTHER_AXIS = "You compare the two factors that a dimension knows best. Take the two best dimensions for each factor: sort along dim 0."


@mutual_information_gap.mistake(_OTHER_AXIS)
def along_the_factors_in_nats(codes, factors):
    best = reference("mutual_information_matrix")(codes, factors).topk(min(2, factors.shape[1]), dim=1).values
    return float((best[:, 0] - best[:, 1]).mean())


@mutual_information_gap.mistake(_OTHER_AXIS)
def along_the_factors_by_mean_entropy(codes, factors):
    best = reference("mutual_information_matrix")(codes, factors).topk(2, dim=1).values
    return float((best[:, 0] - best[:, 1]).mean() / torch.stack([_entropy(column) for column in factors.T]).mean())


@mutual_information_gap.mistake(
    "You sort along the factors, and then compare the first two dimensions. Sort along dim 0: the two best dimensions for each factor."
)
def sorted_along_the_factors(codes, factors):
    ranked = reference("mutual_information_matrix")(codes, factors).double().sort(descending=True).values
    return float(((ranked[0] - ranked[1]) / torch.stack([_entropy(column) for column in factors.T])).mean())


@mutual_information_gap.mistake(
    "You sort in ascending order and take the first two: these are the smallest of each column. The gap is between the two largest."
)
def first_two_of_an_ascending_order(codes, factors):
    ranked = reference("mutual_information_matrix")(codes, factors).double().sort(dim=0).values
    return float(((ranked[1] - ranked[0]) / torch.stack([_entropy(column) for column in factors.T])).mean())


@mutual_information_gap.mistake(
    "You divide by the logarithms of the notebook's SIZES, whatever `factors` holds. Count the values in the rows that you are given."
)
def sizes_of_the_notebook(codes, factors):
    best = reference("mutual_information_matrix")(codes, factors).double().topk(2, dim=0).values
    return float(((best[0] - best[1]) / torch.tensor([math.log(size) for size in SIZES])[: factors.shape[1]]).mean())


@mutual_information_gap.mistake(
    "The entropy is computed from counts. Probabilities are shares: divide the counts by the number of rows first."
)
def entropy_of_counts(codes, factors):
    best = reference("mutual_information_matrix")(codes, factors).double().topk(2, dim=0).values
    counts = [column.bincount().double() for column in factors.T]
    return float(((best[0] - best[1]) / torch.stack([-torch.xlogy(c, c).sum() for c in counts])).mean())


@mutual_information_gap.mistake(
    "The mean that you subtract is over all dimensions, the best among them. The rival is the second best one alone."
)
def gap_to_the_mean_of_all(codes, factors):
    return _gap(codes, factors, lambda information: information.mean(0))


@mutual_information_gap.mistake("You subtract all the other dimensions. The rival is the second best one alone.")
def gap_to_the_sum_of_the_others(codes, factors):
    return _gap(codes, factors, lambda information: information.sum(0) - information.amax(0))


@mutual_information_gap.mistake(
    "The second best is as good as the best where two dimensions are alike, and your gap leaves such a one out. Mask the one place of the best, not every equal number."
)
def ties_left_out(codes, factors):
    def rival(information):
        return information.masked_fill(information == information.amax(0), 0.0).amax(0)

    return _gap(codes, factors, rival)


@mutual_information_gap.mistake(
    "You compare the first two dimensions as they stand. Sort each column: its two largest numbers count."
)
def unsorted(codes, factors):
    information = reference("mutual_information_matrix")(codes, factors).double()
    entropies = torch.tensor([float(_entropy(column)) for column in factors.T], dtype=torch.float64)
    return float(((information[0] - information[1]) / entropies).mean())


@mutual_information_gap.mistake("You subtract the mean of the other dimensions. The rival is the second best one alone.")
def gap_to_the_mean_of_the_others(codes, factors):
    information = reference("mutual_information_matrix")(codes, factors)
    best = information.amax(0)
    others = (information.sum(0) - best) / (len(information) - 1)
    entropies = torch.tensor([float(_entropy(column)) for column in factors.T])
    return float(((best - others) / entropies).mean())


@mutual_information_gap.variant
def by_sorting_in_numpy(codes, factors):
    information = np.sort(np.asarray(reference("mutual_information_matrix")(codes, factors), dtype=np.float64), axis=0)
    gaps = []
    for f in range(factors.shape[1]):
        _, counts = np.unique(factors[:, f].numpy(), return_counts=True)
        p = counts / counts.sum()
        gaps.append((information[-1, f] - information[-2, f]) / -(p * np.log(p)).sum())
    return float(np.mean(gaps))


@mutual_information_gap.variant
def by_categorical_entropies(codes, factors):
    information = reference("mutual_information_matrix")(codes, factors)
    top = torch.sort(information, dim=0, descending=True).values
    entropies = torch.stack([Categorical(probs=column.bincount() / len(column)).entropy() for column in factors.T])
    return ((top[0] - top[1]) / entropies).mean()


@mutual_information_gap.variant
def by_taking_the_best_out(codes, factors):
    information = reference("mutual_information_matrix")(codes, factors)
    columns = torch.arange(factors.shape[1])
    winner = information.argmax(0)
    rest = information.clone()
    rest[winner, columns] = -math.inf
    entropies = torch.zeros(len(columns))
    for f in columns:
        for value in set(factors[:, f].tolist()):
            share = (factors[:, f] == value).float().mean()
            entropies[f] -= share * share.log()
    return torch.mean((information[winner, columns] - rest.amax(0)) / entropies).item()


# --- total_correlation --------------------------------------------------------------------------------------------------------

total_correlation = Exercise("total_correlation")
_JOINT = "torch.logsumexp(log_q.sum(2), dim=1) - math.log(n)"
_MARGINALS = "(torch.logsumexp(log_q, dim=1) - math.log(n)).sum(1)"
total_correlation.edits("""
log_n_forgotten: `(torch.logsumexp(log_q, dim=1) - math.log(n)).sum(1)` → `torch.logsumexp(log_q, dim=1).sum(1)`
    Each of the D marginals is an average over the N components, too: − log N belongs into each. It is off by a constant,
    D · log N.
""")
total_correlation.recurring(detached, in_bits)
total_correlation.edited(
    "log_n_nowhere",
    f"joint = {_JOINT}  # (N,)\n    marginals = {_MARGINALS}",
    "joint = torch.logsumexp(log_q.sum(2), dim=1)\n    marginals = torch.logsumexp(log_q, dim=1).sum(1)",
    "The log Ns don't come out right: every average of N densities has a − log N, the joint one and each of the D marginals, so once in the one and D times in the other.",
)
total_correlation.edits("""
variance_for_deviation: `(0.5 * logvar).exp()` → `logvar.exp()`
    Normal wants a standard deviation, exp(½ · logvar).
sign: `(joint - marginals).mean()` → `(marginals - joint).mean()`
    The sign is the wrong way round: the joint density comes first.
over_the_samples: `torch.logsumexp(log_q.sum(2), dim=1) - math.log(n)` → `torch.logsumexp(log_q.sum(2), dim=0) - math.log(n)`
    In the joint density you sum over the samples. Each sample is compared with all N components: sum over j.
summed_over_the_batch: `(joint - marginals).mean()` → `(joint - marginals).sum()`
    You sum over the samples. Take the mean.
overflow: `torch.logsumexp(log_q.sum(2), dim=1) - math.log(n)` → `torch.log(log_q.sum(2).exp().mean(1))`
    exp of a log density in many dimensions is 0 in float32, and its logarithm −∞. Use logsumexp, which never forms it.
own_component_alone: `torch.logsumexp(log_q.sum(2), dim=1) - math.log(n)` → `log_q.sum(2).diagonal()`
    Your joint density is that of the sample's own component, q(z | x). Total correlation asks about the aggregate q(z),
    the average over all N components: logsumexp over them, minus log N.
not_averaged: `return (joint - marginals).mean()` → `return joint - marginals`
    This is one number for each sample. Take the mean over the samples.
log_n_added: `torch.logsumexp(log_q.sum(2), dim=1) - math.log(n)  # (N,)` → `torch.logsumexp(log_q.sum(2), dim=1) + math.log(n)  # (N,)`
    The log N has the wrong sign in the joint density: an average divides by N, so subtract.
averaged_marginals: `(torch.logsumexp(log_q, dim=1) - math.log(n)).sum(1)` → `(torch.logsumexp(log_q, dim=1) - math.log(n)).mean(1)`
    You average the log marginals over the dimensions. The log of their product is a sum.
both_over_the_samples: `log_prob(\n        z[:, None]\n    )` → `log_prob(\n        z[:, None]\n    ).transpose(0, 1)`
    The axes of your table have changed places: for each sample, z[:, None], the sum runs over the components.
mean_of_the_logarithms: `torch.logsumexp(log_q.sum(2), dim=1) - math.log(n)  # (N,)` → `log_q.sum(2).mean(dim=1)  # (N,)`
    You average log densities in the joint. The aggregate is an average of densities: logsumexp, minus log N.
cut_off_at_zero: `return (joint - marginals).mean()` → `return (joint - marginals).mean().relu()`
    You cut the estimate off at 0. An estimate may fall below what it estimates: leave it, so that errors average out.
z_detached: `z[:, None]` → `z.detach()[:, None]`
    No gradient reaches `z`. The loss is to move the samples, through them the encoder: leave them in the graph.
means_for_samples: `z[:, None]` → `mu[:, None]`
    You put the means in the place of the samples. The expectation is over z: use `z`.
log_d: `torch.logsumexp(log_q.sum(2), dim=1) - math.log(n)  # (N,)` → `torch.logsumexp(log_q.sum(2), dim=1) - math.log(mu.shape[1])  # (N,)`
    You subtract log D in the joint density. It is an average over the N components: log N.
against_the_prior: `(joint - marginals).mean()` → `(joint - Normal(0.0, 1.0).log_prob(z).sum(1) + 0 * marginals).mean()`
    You subtract the prior's log density: this is KL(q(z) ‖ p(z)). Total correlation compares q(z) with the product of its
    own marginals.
no_log_deviation: `joint = torch` → `log_q = log_q + 0.5 * logvar
    joint = torch`
    The log density of a component has lost its −½ · logvar. It depends on the component, and does not cancel.
whole_log_variance: `joint = torch` → `log_q = log_q - 0.5 * logvar
    joint = torch`
    The log density of a component holds −½ · logvar. Yours subtracts all of logvar.
own_component_left_out: `joint = torch` → `log_q = log_q.masked_fill(torch.eye(n, dtype=torch.bool)[:, :, None], -1e9)
    joint = torch`
    You leave each sample's own component out. The aggregate q(z) is the average over all N components.
with_own_component: `return (joint - marginals).mean()` → `return (log_q.sum(2).diagonal() - joint).mean() + 0 * marginals.sum()`
    This is log q(z | x) − log q(z), the mutual information of images and codes. Total correlation compares q(z) with its marginals.
""")


@total_correlation.variant
def by_mixtures(mu, logvar, z):
    n = len(mu)
    weights = Categorical(logits=torch.zeros(n))
    sigma = (0.5 * logvar).exp()
    joint = MixtureSameFamily(weights, Independent(Normal(mu, sigma), 1)).log_prob(z)
    # A batch of D mixtures in one dimension: components last.
    rows = Categorical(logits=torch.zeros(mu.shape[1], n))
    marginals = MixtureSameFamily(rows, Normal(mu.T, sigma.T)).log_prob(z)
    return torch.mean(joint - marginals.sum(-1))


@total_correlation.variant
def by_loops_without_constants(mu, logvar, z):
    """½ log 2π stands in the joint density D times and in each marginal once: it cancels."""
    n, d = z.shape
    total = 0.0
    for i in range(n):
        terms = torch.stack([-0.5 * ((z[i] - mu[j]) ** 2 / logvar[j].exp() + logvar[j]) for j in range(n)])  # (N, D)
        total = total + terms.sum(1).logsumexp(0) - terms.logsumexp(0).sum() + (d - 1) * math.log(n)
    return total / n


@total_correlation.variant
def with_the_largest_taken_out(mu, logvar, z):
    mu, logvar, z = mu.double(), logvar.double(), z.double()
    precision = torch.exp(-logvar)
    log_q = -0.5 * (
        (z.pow(2)[:, None] - 2 * z[:, None] * mu + mu.pow(2)) * precision + logvar + math.log(2 * math.pi)
    )  # (N, N, D)

    def log_mean(values):
        top = values.amax(1, keepdim=True).detach()
        return ((values - top).exp().mean(1, keepdim=True).log() + top).squeeze(1)

    return (log_mean(log_q.sum(-1)) - log_mean(log_q).sum(-1)).mean().float()


# --- tcvae_loss ---------------------------------------------------------------------------------------------------------------

tcvae_loss = Exercise("tcvae_loss")
tcvae_loss.edits("""
cut_off_at_zero: `(beta - 1) * tc` → `(beta - 1) * tc.relu()`
    You cut the estimate off at 0. An estimate may fall below what it estimates: leave it, so that errors average out.
beta_for_beta_minus_one: `(beta - 1) * tc` → `beta * tc`
    The KL holds the total correlation once already. So that it counts β times in all, add it β − 1 times.
beta_on_the_kl: `(recon + kl).mean() + (beta - 1) * tc` → `(recon + beta * kl).mean()`
    This is the β-VAE, which makes all three parts of the KL dearer. Here only the total correlation is.
kl_left_out: `(recon + kl).mean()` → `recon.mean()`
    The KL is missing. Its other two parts still count once.
subtracted: `+ (beta - 1) * tc` → `- (beta - 1) * tc`
    The total correlation is rewarded. It is a cost: add it.
sum_over_the_batch: `(recon + kl).mean()` → `(recon + kl).sum()`
    Sum over the batch: take the mean. `tc` is a mean already.
tc_for_the_kl: `(recon + kl).mean() + (beta - 1) * tc` → `recon.mean() + beta * tc`
    Only reconstruction and total correlation are left. The KL's other two parts still count once: keep the KL, and add β
    − 1 times tc.
beta_on_both: `(recon + kl).mean() + (beta - 1) * tc` → `(recon + beta * kl).mean() + (beta - 1) * tc`
    β weighs the KL as well as the total correlation. The KL keeps weight 1: its total correlation gets β − 1 on top.
minus_the_loss: `return (recon` → `return -(recon`
    The sign is reversed: this is minimised.
tc_left_out: `(recon + kl).mean() + (beta - 1) * tc` → `(recon + kl).mean()`
    `tc` is not used: this is the negative ELBO. Add the total correlation β − 1 times.
beta_plus_one: `(beta - 1) * tc` → `(beta + 1) * tc`
    You add the total correlation β + 1 times. The KL holds it once already: β − 1.
tc_divided_by_n: `(beta - 1) * tc` → `(beta - 1) * tc / len(recon)`
    You divide `tc` by the batch size. It is a mean over the batch already.
tc_times_n: `(beta - 1) * tc` → `(beta - 1) * tc * len(recon)`
    You multiply `tc` by the batch size. The loss is in nats per image: `tc` as it is.
not_averaged: `(recon + kl).mean()` → `(recon + kl)`
    This is one number for each image. Training minimises one for the batch: take the mean.
tc_detached: `(beta - 1) * tc` → `(beta - 1) * tc.detach()`
    No gradient reaches `tc`. Then its weight changes the number, and nothing that the model learns.
absolute_tc: `(beta - 1) * tc` → `(beta - 1) * tc.abs()`
    You take the absolute value of `tc`. An estimate may fall below 0: leave its sign, so that errors average out.
beta_at_least_one: `(beta - 1) * tc` → `max(beta - 1, 0) * tc`
    You hold β at 1 or above. Below 1 the total correlation is made cheaper: β − 1 is negative then.
sum_of_the_kl: `(recon + kl).mean()` → `recon.mean() + kl.sum()`
    You sum the KL over the batch, and average the reconstruction. Average both.
beta_on_kl_and_tc: `(recon + kl).mean() + (beta - 1) * tc` → `recon.mean() + beta * (kl.mean() + tc)`
    β weighs the whole KL, and the total correlation on top. The KL keeps weight 1: its total correlation gets β − 1 on top.
kl_subtracted: `(recon + kl).mean()` → `(recon - kl).mean()`
    The KL is subtracted. It is a cost: add it.
beta_on_the_reconstruction: `(recon + kl).mean() + (beta - 1) * tc` → `(beta * recon + kl).mean() + (beta - 1) * tc`
    β weighs the reconstruction as well. Its weight is 1.
tc_subtracted_once: `+ (beta - 1) * tc` → `- tc`
    You take the total correlation out of the KL, and do not put it back β times. In all that is β − 1 times more.
beta_not_used: `(beta - 1) * tc` → `tc`
    β is not used: you add the total correlation once, whatever β is. Add it β − 1 times.
summed_with_tc: `(recon + kl).mean() + (beta - 1) * tc` → `(recon + kl + (beta - 1) * tc).sum()`
    You sum over the batch. Take the mean of what is per image; `tc` is a mean already.
beta_on_the_rest: `(recon + kl).mean() + (beta - 1) * tc` → `recon.mean() + beta * (kl.mean() - tc) + tc`
    β weighs the other two parts of the KL, and the total correlation has weight 1. It is the other way round.
""")
tcvae_loss.recurring(detached)


@tcvae_loss.variant
def part_by_part(recon, kl, tc, beta):
    rest = kl.mean() - tc
    return recon.mean() + rest + beta * tc


@tcvae_loss.variant
def image_by_image_with_tc(recon, kl, tc, beta):
    return torch.stack([r + k + beta * tc - tc for r, k in zip(recon, kl, strict=True)]).mean()


# --- predictions --------------------------------------------------------------------------------------------------------------

predict_capacity = Exercise("predict_capacity")
predict_capacity.wrong_choices("""
chose_b: b
    At β = 30 every nat is charged. Here it is the distance from 5 that is charged: what happens to the loss when a code
    of 3 nats gets longer?
chose_c: c
    Each nat above 5 costs 30 nats. At β = 1 the last nats that the model buys save just about one nat each.
""")

predict_entropy = Exercise("predict_entropy")
predict_entropy.wrong_choice("in_bits", math.log2(4800), "That is in bits. Nats need the natural logarithm.")
predict_entropy.wrong_choices("""
zero: 0.0
    D alone may go down to 0. But then the code has to say which of the 4,800 images it is, and that is the rate.
""")
predict_entropy.wrong_choice(
    "coins",
    784 * math.log(2),
    "That is what images of 784 fair coins cost. But only 4,800 of all those images occur.",
)
predict_entropy.wrong_choices("""
number_of_images: 4800.0
    That is the number of images. Entropy is the logarithm of it, where all are equally likely.
""")

predict_slope = Exercise("predict_slope")
predict_slope.wrong_choices("""
one: 1.0
    That is so at β = 1, where a nat of rate and a nat of distortion weigh the same in the loss.
a_quarter: 0.25
    It is the other way round. A nat of rate costs 4 here; who gives one up at the optimum loses what it was just worth.
""")
predict_slope.wrong_choice(
    "wrong_sign",
    -4.0,
    "−4 is the derivative D′(R). You go to the left, to a smaller rate: does the distortion rise or fall?",
)

predict_duplicate = Exercise("predict_duplicate")
predict_duplicate.wrong_choices("""
chose_a: a
    The best dimension knows everything. And the second best? The gap is the difference.
chose_b: b
    The information is not shared out: either copy has all of it. What is the difference of the two?
""")

predict_rotation = Exercise("predict_rotation")
predict_rotation.wrong_choices("""
chose_a: a
    Nothing is lost of the two dimensions together. But the gap compares single dimensions: which of the two knows more
    about x?
chose_b: b
    Each dimension alone knows a part of x, and the other one knows the same amount. What does that make the difference
    of the two?
""")
