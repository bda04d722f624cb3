"""Lesson 09, training stability: what students get wrong, and other ways to be right."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from . import Exercise, reference

# --- linear_beta --------------------------------------------------------------------------------------------------------------

linear_beta = Exercise("linear_beta")
linear_beta.edits("""
integer_division: `step / warmup_steps` → `float(step // warmup_steps)`
    You round down, by `//` or `int`, so that β stays 0 for the whole warm-up and then jumps to 1. Use `/` alone.
counts_from_one: `return step / warmup_steps` → `return (step + 1) / warmup_steps`
    β is one step ahead: `step` counts the steps already done, so that it is 0 at step 0 and reaches 1 at step
    warmup_steps.
downwards: `return step / warmup_steps` → `return 1 - step / warmup_steps`
    Your β begins at 1. It begins at 0, where the code is free, and rises to 1.
always_one: `return step / warmup_steps` → `return 1.0`
    Your β is 1 at every step, so that there is no warm-up. It begins at 0 and reaches 1 at step warmup_steps.
along_a_sigmoid: `return step / warmup_steps` → `return 1 / (1 + math.exp(-10 * (step / warmup_steps - 0.5)))`
    Your β rises along a sigmoid. Here it is a straight line from 0 to 1.
one_step_early: `step / warmup_steps` → `step / max(1, warmup_steps - 1)`
    You divide by warmup_steps − 1, so that β is 1 one step too early. It reaches 1 at step warmup_steps.
""")


@linear_beta.mistake(
    "β goes on rising after the warm-up: the KL would soon weigh more than everything else. It stays at 1; `min` can see to it."
)
def not_clipped(step, warmup_steps):
    return step / warmup_steps if warmup_steps else 1.0


@linear_beta.mistake("With warmup_steps=0 you divide by 0. Without a warm-up, β is 1 from the first step on.")
def divides_by_zero(step, warmup_steps):
    return min(1.0, step / warmup_steps)


@linear_beta.mistake("With warmup_steps=0 your β is 0, and the KL is never paid. Without a warm-up, β is 1 at every step.")
def no_warmup_means_zero(step, warmup_steps):
    return min(1.0, step / warmup_steps) if warmup_steps else 0.0


@linear_beta.mistake(
    "With warmup_steps=0, β at step 0 is 0. Without a warm-up, β is 1 at every step, the first one included."
)
def zero_at_step_zero(step, warmup_steps):
    return min(1.0, step / max(1, warmup_steps))


@linear_beta.mistake("After the warm-up your β is 0 again. It stays at 1 from there on.")
def zero_afterwards(step, warmup_steps):
    if warmup_steps == 0 or step == warmup_steps:
        return 1.0
    return step / warmup_steps if step < warmup_steps else 0.0


@linear_beta.mistake("Your β is a smooth step. Here it is a straight line from 0 to 1.")
def smooth_step(step, warmup_steps):
    t = reference("linear_beta")(step, warmup_steps)
    return t * t * (3 - 2 * t)


@linear_beta.mistake("β is asked for as a Python float: it goes into products and labels as it is.")
def linear_beta_as_a_tensor(step, warmup_steps):
    return torch.tensor(reference("linear_beta")(step, warmup_steps))


@linear_beta.mistake("The larger of 1 and the line is never below 1, so that there is no warm-up. Take the smaller.")
def maximum_for_minimum(step, warmup_steps):
    return max(1.0, step / max(1, warmup_steps))


@linear_beta.mistake(
    "The larger of 1 and the line is never below 1, so that there is no warm-up. Take the smaller of the two."
)
def maximum_of_a_warm_up(step, warmup_steps):
    return max(1.0, step / warmup_steps) if warmup_steps else 1.0


@linear_beta.mistake("Your β falls from 1 to 0. It begins at 0, where the code is free, rises to 1 and stays there.")
def falls_to_zero(step, warmup_steps):
    return 1.0 - reference("linear_beta")(step, warmup_steps) if warmup_steps else 1.0


@linear_beta.mistake(
    "After the warm-up your schedule starts again. It stays at 1 from there on; the one in cycles comes later."
)
def starts_again(step, warmup_steps):
    return step % warmup_steps / warmup_steps if warmup_steps else 1.0


@linear_beta.mistake("Your β rises along a cosine. Here it is a straight line from 0 to 1.")
def along_a_cosine(step, warmup_steps):
    return 0.5 - 0.5 * math.cos(math.pi * reference("linear_beta")(step, warmup_steps))


@linear_beta.variant
def by_numpy(step, warmup_steps):
    with np.errstate(all="ignore"):
        ratio = np.float64(step) / np.float64(warmup_steps)
    return 1.0 if np.isnan(ratio) else float(np.clip(ratio, 0, 1))


@linear_beta.variant
def by_interpolation(step, warmup_steps):
    if warmup_steps < 1:
        return 1
    return float(np.interp(step, [0, warmup_steps], [0.0, 1.0]))


@linear_beta.variant
def by_steps_left(step, warmup_steps):
    left = max(warmup_steps - step, 0)
    return 1.0 - left / max(warmup_steps, 1)


# --- cyclical_beta ------------------------------------------------------------------------------------------------------------

cyclical_beta = Exercise("cyclical_beta")
cyclical_beta.edits("""
integer_division: `(step % period) / period` → `(step % period) // period`
    Your β is 0 at every step, so that the KL is never paid. τ is what `step % period` leaves, divided by the period,
    and is not rounded.
whole_periods: `(step % period) / period` → `step // period`
    `step // period` counts the periods that are over. τ is the share of the present one that is done.
ramp_ignored: `done / ramp` → `done`
    Your β takes the whole period to rise. It rises during the share `ramp` of it, and stays at 1 for the rest: divide τ
    by ramp.
always_half: `done / ramp` → `done / 0.5`
    You rise over half of each period, whatever `ramp` says.
times_ramp: `done / ramp` → `done * ramp`
    You multiply by `ramp`, so that β never gets further than that. To reach 1 at τ = ramp, divide.
not_clipped: `min(1.0, done / ramp)` → `done / ramp`
    β goes on rising above 1 after the ramp. It stays at 1 until the period is over.
only_once: `(step % period) / period` → `step / period`
    Your schedule never starts again: after the first period β stays at 1. `step % period` is 0 at the start of each
    period.
steps_from_one: `step % period` → `(step - 1) % period`
    Your cycles start one step late: step 0 is the last of a period. (The paper counts steps from 1; here they count from
    0.)
one_step_ahead: `step % period` → `(step + 1) % period`
    Your cycles are one step ahead: step 0, and each multiple of the period, has β = 0.
waits_first: `min(1.0, done / ramp)` → `max(0.0, (done - (1 - ramp)) / ramp)`
    Your β waits at 0 and rises at the end of the period. It rises at the beginning, and then waits at 1.
triangle: `min(1.0, done / ramp)` → `min(1.0, done / ramp, 2 - done / ramp)`
    Your β comes down again within the period. After the ramp it stays at 1, and at the next period it starts at 0 at
    once.
ramp_in_whole_steps: `done = (step % period) / period\n    return min(1.0, done / ramp)` → `return min(1.0, (step % period) / max(1, int(period * ramp)))`
    You round the length of the ramp to whole steps. β is a share of the cycle divided by `ramp`: nothing needs rounding.
along_a_cosine: `min(1.0, done / ramp)` → `0.5 - 0.5 * math.cos(math.pi * min(1.0, done / ramp))`
    Your β rises along a cosine. Here the ramp is a straight line from 0 to 1.
one_step_early: `(step % period) / period` → `(step % period) / max(1, period - 1)`
    You divide by period − 1, so that τ is too large. τ is the share of the period that is done: divide by `period`.
ramp_in_steps: `done / ramp` → `step % period / ramp`
    You divide the number of steps by `ramp`, which is a share of the period. Divide by `period` first, for τ.
jumps_at_the_end_of_the_ramp: `min(1.0, done / ramp)` → `done if done < ramp else 1.0`
    During the ramp your β is τ itself, and at its end it jumps to 1. It reaches 1 there: divide τ by `ramp`.
""")


@cyclical_beta.mistake("After the ramp your β is 0. It stays at 1 for the rest of the period.")
def zero_after_the_ramp(step, period, ramp=0.5):
    done = (step % period) / period
    return done / ramp if done < ramp else 0.0


@cyclical_beta.mistake(
    "The share `ramp` is where your β stays at 1; it should be the share during which it rises. You have taken ramp for 1 − ramp."
)
def ramp_is_the_plateau(step, period, ramp=0.5):
    return min(1.0, (step % period) / period / (1 - ramp)) if ramp < 1 else 1.0


@cyclical_beta.variant
def by_numpy_clip(step, period, ramp=0.5):
    return np.clip(np.mod(step, period) / (ramp * period), 0.0, 1.0)


@cyclical_beta.variant
def by_cases(step, period, ramp=0.5):
    cycle = step // period
    tau = step / period - cycle
    if tau >= ramp:
        return 1.0
    return tau / ramp


@cyclical_beta.variant
def by_walking_the_schedule(step, period, ramp=0.5):
    step, rising = int(step), ramp * period
    while step >= period:
        step -= period
    return 1 if step > rising else step / rising


# --- free_bits_total ----------------------------------------------------------------------------------------------------------

free_bits_total = Exercise("free_bits_total")
free_bits_total.edits("""
per_image: `kl.mean().clamp(min=floor)` → `kl.clamp(min=floor).mean()`
    You take the maximum for each image and then the mean. The mean comes first: the floor is for the batch, and an image
    may lie below it.
sum_over_the_batch: `kl.mean()` → `kl.sum()`
    You sum over the images. The floor is compared with the batch *mean* of the KL.
minimum: `clamp(min=floor)` → `clamp(max=floor)`
    That is the smaller of the two: the KL would be free *above* the floor. Take the larger. (`clamp(min=…)` does that.)
subtracted: `.clamp(min=floor)` → `.sub(floor).clamp(min=0)`
    You return max(KL − f, 0). It has the same gradient, but it is f too small: the term is max(KL, f).
added: `.clamp(min=floor)` → ` + floor`
    You add the floor. That changes no gradient at all, so nothing is free: take the maximum of the two.
detached: `kl.mean()` → `kl.mean().detach()`
    The value is right, but no gradient comes back, above the floor neither. Leave out .item(), .detach() and no_grad.
not_reduced: `kl.mean()` → `kl`
    You return a number for each image. First the mean over the batch, then the maximum: a scalar.
distance_from_the_floor: `kl.mean().clamp(min=floor)` → `(kl.mean() - floor).abs() + floor`
    |KL − f| + f pushes the KL up to the floor from below. Free bits leave it alone there: the larger of the two, with no
    gradient below.
no_floor: `.clamp(min=floor)` → ``
    The floor is not used: this is the mean of the KL, which presses the code down from the first nat on.
summed_after_the_maximum: `kl.mean().clamp(min=floor)` → `kl.clamp(min=floor).sum()`
    You take the maximum for each image and then the sum. First the mean over the batch, then the maximum.
floor_in_bits: `clamp(min=floor)` → `clamp(min=floor * math.log(2))`
    You multiply the floor by log 2, as if it were in bits. In spite of their name, free bits are counted in nats here: `floor` as it is.
smooth_maximum: `kl.mean().clamp(min=floor)` → `floor + F.softplus(kl.mean() - floor)`
    This is a smooth maximum (softplus or logaddexp), which lies above both, and still presses below the floor. Take the larger of the two itself.
the_largest_image: `kl.mean()` → `kl.max()`
    You compare the largest KL of an image with the floor. It is the mean over the batch that is compared.
the_floor_as_a_number: `kl.mean().clamp(min=floor)` → `max(kl.mean(), floor)`
    Where the floor is the larger, Python's `max` returns it as it is, a float. A tensor is asked for there, too.
gradient_below_the_floor: `kl.mean().clamp(min=floor)` → `kl.mean() + (kl.mean().clamp(min=floor) - kl.mean()).detach()`
    The value is right, but below the floor the KL's gradient is still there, and presses the code down. Below the
    floor the term is a constant.
""")


@free_bits_total.mistake(
    "Below the floor your term is right, but above it the gradient is gone, or the other way round: return the KL itself above f."
)
def gradient_only_below(kl, floor):
    mean = kl.mean()
    return mean.detach() if mean > floor else floor + mean - mean.detach()


@free_bits_total.mistake("Your term is 0 below the floor. The maximum of KL and f is f there.")
def zero_below(kl, floor):
    mean = kl.mean()
    return mean if mean > floor else 0 * mean


@free_bits_total.variant
def by_python_max(kl, floor):
    return max(sum(kl) / len(kl), torch.tensor(float(floor)))


@free_bits_total.variant
def by_relu(kl, floor):
    return F.relu(torch.einsum("n->", kl) / kl.shape[0] - floor) + floor


@free_bits_total.variant
def by_where_in_float64(kl, floor):
    mean = kl.double().mean()
    return torch.where(mean > floor, mean, torch.full_like(mean, floor)).float()


# --- free_bits ----------------------------------------------------------------------------------------------------------------

free_bits = Exercise("free_bits")
free_bits.edits("""
per_image: `kl_per_dim.mean(0).clamp(min=floor).sum()` → `kl_per_dim.clamp(min=floor).mean(0).sum()`
    You take the maximum for each image and then the mean. The mean over the batch comes first: the floor asks whether
    the *dimension* is in use, and a single image may need less.
one_floor_for_all: `.clamp(min=floor).sum()` → `.sum().clamp(min=floor)`
    You take the maximum after the sum over the dimensions: one floor for all of them together. Each dimension has a
    floor of its own.
one_large_floor_for_all: `.clamp(min=floor).sum()` → `.sum().clamp(min=floor * kl_per_dim.shape[1])`
    You compare the sum over the dimensions with D · f. Then one dimension may fill the whole allowance. Compare each
    dimension with f, and sum then.
per_image_after_the_sum: `kl_per_dim.mean(0).clamp(min=floor).sum()` → `kl_per_dim.sum(1).clamp(min=floor).mean()`
    You sum over the dimensions first, and take the maximum for each image. The order is: mean over the batch, maximum,
    sum over the dimensions.
mean_over_dimensions: `.clamp(min=floor).sum()` → `.clamp(min=floor).mean()`
    You average over the dimensions. The KL of independent dimensions adds up: sum.
sum_over_the_batch: `kl_per_dim.mean(0)` → `kl_per_dim.sum(0)`
    You sum over the images. The floor is compared with the *mean* over the batch, or it would depend on the batch size.
wrong_axis: `kl_per_dim.mean(0)` → `kl_per_dim.mean(1)`
    You average over the dimensions of each image. Average over the images, the first index, of each dimension.
minimum: `clamp(min=floor)` → `clamp(max=floor)`
    That is the smaller of the two: the KL would be free *above* the floor. Take the larger. (`clamp(min=…)` does that.)
subtracted: `.clamp(min=floor)` → `.sub(floor).clamp(min=0)`
    You return the sum of max(KL − f, 0). It has the same gradient, but it is D · f too small: the term is max(KL, f).
added: `.clamp(min=floor)` → `.add(floor)`
    You add the floor. That changes no gradient at all, so nothing is free: take the maximum of the two.
detached: `kl_per_dim.mean(0)` → `kl_per_dim.detach().mean(0)`
    The value is right, but no gradient comes back from the dimensions above the floor. Leave out .item(), .detach() and
    no_grad.
not_summed: `.clamp(min=floor).sum()` → `.clamp(min=floor)`
    You return a number for each dimension. Sum them: a scalar.
distance_from_the_floor: `kl_per_dim.mean(0).clamp(min=floor).sum()` → `((kl_per_dim.mean(0) - floor).abs() + floor).sum()`
    |KL − f| + f pushes each KL up to the floor from below. Free bits leave it alone there: the larger of the two, with
    no gradient below.
no_floor: `.clamp(min=floor)` → ``
    The floor is not used: this is the whole KL, which presses the code down from the first nat on.
floor_in_bits: `clamp(min=floor)` → `clamp(min=floor * math.log(2))`
    You multiply the floor by log 2, as if it were in bits. In spite of their name, free bits are counted in nats here: `floor` as it is.
floor_shared_out: `clamp(min=floor)` → `clamp(min=floor / kl_per_dim.shape[1])`
    You share the floor out among the dimensions. `floor` is what each of them has.
one_floor_given_back: `.clamp(min=floor).sum()` → `.sub(floor).clamp(min=0).sum() + floor`
    You subtract the floor in each dimension and add it once. Each dimension below it counts as f.
one_mean_for_all: `kl_per_dim.mean(0).clamp(min=floor).sum()` → `kl_per_dim.mean().clamp(min=floor)`
    You average over images and dimensions at once, and compare that one number with the floor. Each dimension has a mean
    and a floor of its own, and the sum comes last.
maximum_for_each_number: `kl_per_dim.mean(0).clamp(min=floor).sum()` → `kl_per_dim.clamp(min=floor).mean()`
    You take the maximum for each image and dimension, and average over both. The order is: mean over the batch,
    maximum, sum over the dimensions.
floors_subtracted: `.clamp(min=floor).sum()` → `.sum().sub(floor * kl_per_dim.shape[1]).clamp(min=0)`
    You subtract D · f from the sum over the dimensions. Compare each dimension with f: the larger of the two, and
    then sum.
the_floor_as_a_number: `kl_per_dim.mean(0).clamp(min=floor).sum()` → `sum(max(mean, floor) for mean in kl_per_dim.mean(0))`
    Where the floor is the larger, Python's `max` returns it as it is, a float, and so does your sum where all are
    below it. A tensor is asked for.
""")


@free_bits.mistake("Dimensions below the floor count as 0 in your sum. The maximum of KL and f is f there.")
def zero_below(kl_per_dim, floor):
    mean = kl_per_dim.mean(0)
    return mean[mean > floor].sum()


@free_bits.mistake(
    "The value is right, but dimensions below the floor still get the KL's gradient, which presses them down. Below the floor the term is a constant."
)
def gradient_below_the_floor(kl_per_dim, floor):
    mean = kl_per_dim.mean(0)
    return (mean + (floor - mean).clamp(min=0).detach()).sum()


@free_bits.variant
def by_a_loop(kl_per_dim, floor):
    total = torch.zeros(())
    for d in range(kl_per_dim.shape[1]):
        column = kl_per_dim[:, d]
        mean = column.sum() / column.numel()
        total = total + (mean if mean > floor else floor)
    return total


@free_bits.variant
def by_maximum(kl_per_dim, floor):
    mean = torch.einsum("nd->d", kl_per_dim) / len(kl_per_dim)
    return torch.maximum(mean, torch.full_like(mean, floor)).sum(dim=-1)


@free_bits.variant
def by_relu_and_count(kl_per_dim, floor):
    n, d = kl_per_dim.shape
    return F.relu(torch.ones(1, n, dtype=torch.float64) / n @ kl_per_dim.double() - floor).sum() + floor * d


@free_bits.variant
def by_mask(kl_per_dim, floor):
    mean = kl_per_dim.mean(dim=0, keepdim=True)
    above = (mean > floor).float()
    return (above * mean + (1 - above) * floor).sum()


# --- active_units -------------------------------------------------------------------------------------------------------------

active_units = Exercise("active_units")
active_units.edits("""
standard_deviation: `mu.var(dim=0)` → `mu.std(dim=0)`
    You compare a standard deviation with the threshold. It is a variance that must exceed it: 0.01 is a standard
    deviation of 0.1.
mean_square: `mu.var(dim=0)` → `mu.square().mean(dim=0)`
    You measure how large mu is (its mean square, or something like it), not how much it varies. A dimension that says 3
    for every image is large, and says nothing: subtract the mean first. (`.var` does.)
over_the_dimensions: `mu.var(dim=0)` → `mu.var(dim=1)`
    You took the variance over the dimensions of each image, and counted images. The variance goes over the images, the
    first index.
counts_the_inactive: `> threshold` → `<= threshold`
    You count the dimensions that have collapsed. Active are those above the threshold.
threshold_ignored: `> threshold` → `> 0.01`
    You compare with 0.01 whatever `threshold` says.
not_zero: `> threshold` → `> 1e-12`
    You count every dimension whose variance is not zero. After training none is exactly zero: compare with the
    threshold.
share: `int((mu.var(dim=0) > threshold).sum())` → `float((mu.var(dim=0) > threshold).float().mean())`
    You return the share of the dimensions. Return how many there are.
mask: `int((mu.var(dim=0) > threshold).sum())` → `mu.var(dim=0) > threshold`
    You return a truth value for each dimension. Count them: `.sum()`.
all_entries: `mu.var(dim=0) > threshold` → `(mu - mu.mean(0)).square() > threshold`
    You count single entries of the table. First the mean of the squares over the images: one number for each dimension.
sum_of_squares: `mu.var(dim=0)` → `(mu - mu.mean(0)).square().sum(0)`
    You add up the squared deviations and don't divide by the number of images, so that more images make more active
    units.
one_mean_for_all: `mu.var(dim=0)` → `(mu - mu.mean()).square().mean(0)`
    You subtract one mean of all dimensions, or of all those of an image. Each dimension has its own, over the images:
    `mu.mean(dim=0)`.
range_for_variance: `mu.var(dim=0)` → `mu.amax(0) - mu.amin(0)`
    You compare the range, the largest minus the smallest. It is the variance over the images that must exceed the
    threshold.
size_of_the_mean: `mu.var(dim=0)` → `mu.mean(dim=0).abs()`
    You look at the mean over the images. A dimension that says 3 for every image says nothing: it is the variance
    that counts.
one_variance_for_all: `int((mu.var(dim=0) > threshold).sum())` → `int(mu.var() > threshold)`
    You take one variance of all numbers together. Each dimension has its own: `mu.var(dim=0)`.
deviation_in_parts_of_the_mean: `mu.var(dim=0)` → `mu.var(dim=0) / mu.mean(dim=0).abs()`
    You divide the variance by the mean. It is the variance itself that must exceed the threshold.
""")


@active_units.mistake("The count is right, but it is a tensor. A Python int is asked for: int(…).")
def active_units_as_a_tensor(mu, threshold=0.01):
    return torch.tensor(reference("active_units")(mu, threshold))


@active_units.variant
def by_numpy(mu, threshold=0.01):
    return np.count_nonzero(np.var(mu.detach().numpy().astype(np.float64), axis=0) > threshold)


@active_units.variant
def by_covariance(mu, threshold=0.01):
    return torch.cov(mu.double().T).reshape(mu.shape[1], mu.shape[1]).diagonal().gt(threshold).sum().item()


@active_units.variant
def by_a_loop(mu, threshold=0.01):
    count = 0
    for column in mu.T.tolist():
        mean = math.fsum(column) / len(column)
        if math.fsum((value - mean) ** 2 for value in column) / len(column) > threshold:
            count += 1
    return count


# --- mutual_information -------------------------------------------------------------------------------------------------------

mutual_information = Exercise("mutual_information")
mutual_information.edits("""
no_log_n: ` - math.log(len(z))` → ``
    log N is missing: the aggregate posterior is the *mean* of the N densities, not their sum. One image alone must give
    0.
log_n_added: `- math.log(len(z))` → `+ math.log(len(z))`
    log N has the wrong sign: the log of a mean is logsumexp *minus* log N. One image alone must give 0.
summed_over_the_batch: `(own - aggregate).mean()` → `(own - aggregate).sum()`
    You sum over the N samples. The estimate is their mean, in nats per image.
over_the_samples: `log_q.logsumexp(dim=1)` → `log_q.logsumexp(dim=0)`
    Your sum inside the log goes over the samples under *one* image's posterior. It goes over the posteriors of all
    images, for one sample.
at_the_means: `z[:, None]` → `mu[:, None]`
    You evaluate the densities at the means. They are evaluated at the samples z.
variance_as_std: `(0.5 * logvar).exp()` → `logvar.exp()`
    You hand Normal the variance. It wants the standard deviation, exp(½ logvar).
mean_over_dimensions: `.sum(2)` → `.mean(2)`
    You average the log-densities over the dimensions. The log-density of independent dimensions is the sum of theirs.
densities_squared: `.sum(2)` → `.sum(2).mul(2)`
    Your log-densities are twice as large as they should be: the ½ in front of the square and of the logarithm is missing.
in_bits: `(own - aggregate).mean()` → `(own - aggregate).mean() / math.log(2)`
    That is in bits. The course counts in nats.
sign: `(own - aggregate)` → `(aggregate - own)`
    The sign is the wrong way round: log q(z | x), the larger one, minus the log of the mean.
aggregate_missing: `(own - aggregate)` → `own`
    You return the mean of log q(zₙ | xₙ) alone. Subtract the log of the aggregate posterior at the same z.
exp_before_log: `log_q.logsumexp(dim=1)` → `log_q.exp().sum(dim=1).log()`
    You exponentiate the log densities as they stand. Far from every posterior they underflow to 0, and log 0 is −∞: use
    logsumexp.
number_of_dimensions: `math.log(len(z))` → `math.log(z.shape[1])`
    You subtract log D. The average is over the N images: log N.
one_for_each_sample: `(own - aggregate).mean()` → `own - aggregate`
    You return a number for each sample. The estimate is their mean, one number.
cross_entropy: `(own - aggregate).mean()` → `F.cross_entropy(log_q, torch.arange(len(z)))`
    This is the cross entropy of guessing the image, with the sign the other way round and without log N. Information is log N minus that.
log_to_base_two: `math.log(len(z))` → `math.log2(len(z))`
    You subtract the logarithm of N to base 2. All logarithms are natural here: nats.
all_pairs: `(own - aggregate).mean()` → `(log_q - aggregate[:, None]).mean()`
    You average over all N² pairs of a sample and an image. In the first term each sample is under its own image: the diagonal.
entropy_in_closed_form: `own = log_q.diagonal()` → `own = -posterior.entropy().sum(1)`
    You take the first term in closed form, as minus an entropy. The estimate has log q(zₙ | xₙ) at the samples themselves, in both terms.
constant_in_the_logarithm: `log_q.logsumexp(dim=1) - math.log(len(z))` → `(log_q.exp().mean(1) + 1e-8).log()`
    You add a small constant inside the logarithm. In many dimensions densities are far smaller than it: stay with logarithms, by logsumexp.
never_negative: `(own - aggregate).mean()` → `(own - aggregate).mean().clamp(min=0)`
    You cut the estimate off at 0. A single estimate may be negative, by chance, and then that is the answer.
one_aggregate_for_all: `log_q.logsumexp(dim=1) - math.log(len(z))` → `log_q.logsumexp(dim=(0, 1)) - 2 * math.log(len(z))`
    You average the densities over the samples as well before you take the logarithm. Each sample has an aggregate of
    its own; the mean over the samples comes last.
""")


@mutual_information.mistake(
    "You average the log-densities over the images. The aggregate posterior is the average of the densities, and the log comes after it: "
    "logsumexp minus log N."
)
def mean_of_logs(mu, logvar, z):
    log_q = Normal(mu, (0.5 * logvar).exp()).log_prob(z[:, None]).sum(2)
    return (log_q.diagonal() - log_q.mean(1)).mean()


@mutual_information.mistake(
    "You form the densities themselves, and in many dimensions they are 0 in floating point. Stay with logarithms: logsumexp."
)
def without_logarithms(mu, logvar, z):
    q = Normal(mu, (0.5 * logvar).exp()).log_prob(z[:, None]).sum(2).exp()
    return (q.diagonal() / q.mean(1)).log().mean()


@mutual_information.mistake(
    "You estimate every dimension on its own and add up. That takes the aggregate posterior for a product over the dimensions. Sum the "
    "log-densities over the dimensions first, then logsumexp over the images."
)
def dimension_by_dimension(mu, logvar, z):
    log_q = Normal(mu, (0.5 * logvar).exp()).log_prob(z[:, None])  # (N, N, D)
    own = torch.einsum("nnd->nd", log_q)
    return (own - log_q.logsumexp(1) + math.log(len(z))).sum(1).mean()


@mutual_information.mistake(
    "You leave the image's own posterior out of the sum. The sum over j includes j = n, and that keeps the estimate below log N."
)
def own_left_out(mu, logvar, z):
    log_q = Normal(mu, (0.5 * logvar).exp()).log_prob(z[:, None]).sum(2)
    others = log_q.masked_fill(torch.eye(len(z), dtype=torch.bool), -math.inf)
    return (log_q.diagonal() - others.logsumexp(1) + math.log(max(1, len(z) - 1))).mean()


@mutual_information.mistake(
    "That is a sample estimate of the KL to the prior, log q(z | x) − log p(z). For the mutual information, the aggregate posterior stands "
    "in the place of p(z)."
)
def against_the_prior(mu, logvar, z):
    own = Normal(mu, (0.5 * logvar).exp()).log_prob(z).sum(1)
    return (own - Normal(0.0, 1.0).log_prob(z).sum(1)).mean()


@mutual_information.mistake(
    "This is the KL of the posteriors to the prior. Of it, mutual information is the part that tells images apart: log q(z|x) minus the log of the average posterior."
)
def kl_to_the_prior(mu, logvar, z):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()


@mutual_information.mistake(
    "The normalising constant is missing: −½·logvar. It differs from image to image, so it does not cancel."
)
def no_normalising_constant(mu, logvar, z):
    table = (-0.5 * (z[:, None] - mu).square() / logvar.exp()).sum(2)
    return (table.diagonal() - table.logsumexp(1) + math.log(len(z))).mean()


@mutual_information.mistake("In your Gaussian density the ½ in front of the square is missing.")
def square_not_halved(mu, logvar, z):
    table = (-((z[:, None] - mu).square()) / logvar.exp() - 0.5 * logvar).sum(2)
    return (table.diagonal() - table.logsumexp(1) + math.log(len(z))).mean()


@mutual_information.mistake("In your Gaussian density logvar has the wrong sign: it is −½·logvar, next to minus the square.")
def logvar_added(mu, logvar, z):
    table = (-0.5 * (z[:, None] - mu).square() / logvar.exp() + 0.5 * logvar).sum(2)
    return (table.diagonal() - table.logsumexp(1) + math.log(len(z))).mean()


@mutual_information.mistake(
    "In your Gaussian density you divide the square by σ. It is divided by the variance, exp(logvar)."
)
def divided_by_sigma(mu, logvar, z):
    table = (-0.5 * (z[:, None] - mu).square() / (0.5 * logvar).exp() - 0.5 * logvar).sum(2)
    return (table.diagonal() - table.logsumexp(1) + math.log(len(z))).mean()


@mutual_information.mistake("Your normalising constant is −logvar. It is −log σ, that is −½·logvar.")
def constant_not_halved(mu, logvar, z):
    table = (-0.5 * (z[:, None] - mu).square() / logvar.exp() - logvar).sum(2)
    return (table.diagonal() - table.logsumexp(1) + math.log(len(z))).mean()


@mutual_information.mistake(
    "This is an estimate of KL(q(z)‖p(z)), the other part of the KL. Asked for is the first: log q(zₙ | xₙ) minus the log of the aggregate posterior."
)
def the_other_part(mu, logvar, z):
    log_q = Normal(mu, (0.5 * logvar).exp()).log_prob(z[:, None]).sum(2)
    return (log_q.logsumexp(1) - math.log(len(z)) - Normal(0.0, 1.0).log_prob(z).sum(1)).mean()


@mutual_information.variant
def written_out(mu, logvar, z):
    n, d = mu.shape
    difference = z.view(n, 1, d) - mu.view(1, n, d)
    table = -0.5 * (difference.pow(2) * torch.exp(-logvar) + logvar + math.log(2 * math.pi)).sum(-1)
    return torch.log_softmax(table, dim=1).diagonal().mean() + math.log(n)


@mutual_information.variant
def by_a_mixture(mu, logvar, z):
    parts = Independent(Normal(mu.double(), logvar.double().mul(0.5).exp()), 1)
    aggregate = MixtureSameFamily(Categorical(torch.ones(len(mu), dtype=torch.float64)), parts)
    return (parts.log_prob(z.double()) - aggregate.log_prob(z.double())).mean().float()


@mutual_information.variant
def by_loops(mu, logvar, z):
    mu, logvar, z = (t.detach().numpy().astype(np.float64) for t in (mu, logvar, z))
    total = 0.0
    for n in range(len(z)):
        logs = [float(-0.5 * (((z[n] - mu[j]) ** 2) / np.exp(logvar[j]) + logvar[j]).sum()) for j in range(len(z))]
        top = max(logs)
        total += logs[n] - (top + math.log(sum(math.exp(value - top) for value in logs) / len(logs)))
    return total / len(z)


@mutual_information.variant
def images_first(mu, logvar, z):
    table = Normal(mu[:, None], (logvar / 2).exp()[:, None]).log_prob(z[None]).sum(-1)  # (image, sample)
    return (table.diagonal() - torch.logsumexp(table - np.log(len(z)), 0)).mean()


# --- predict_active_dims ------------------------------------------------------------------------------------------------------

predict_active_dims = Exercise("predict_active_dims")
predict_active_dims.edits("""
against_the_standard_deviation: `> sigma2` → `> sigma2**0.5`
    You compare variances with σ, or squared the eigenvalues, which comes to the same. An eigenvalue of a covariance
    matrix is a variance: compare it with σ², as both come.
root_of_the_eigenvalues: `eigenvalues > sigma2` → `eigenvalues.clamp(min=0).sqrt() > sigma2`
    You took the root of the eigenvalues, or squared `sigma2`, which comes to the same. Both are variances as they come:
    compare them as they are.
counts_the_collapsed: `> sigma2` → `< sigma2`
    You count the dimensions that collapse. Active are those that vary more than the noise.
against_one: `> sigma2` → `> 1`
    You compare with the variance of the prior, 1. What counts is the variance of the decoder, σ².
positive_ones: `> sigma2` → `> 0`
    You count all directions in which the data vary at all. Those that vary less than σ² collapse, too.
mask: `int((eigenvalues > sigma2).sum())` → `eigenvalues > sigma2`
    You return a truth value for each eigenvalue. Count them: `.sum()`.
twice_the_noise: `> sigma2` → `> 2 * sigma2`
    You ask for w² > σ², that is λ > 2 σ². A dimension is active as soon as w² = λ − σ² is above 0.
""")


@predict_active_dims.mistake("You stop at the first eigenvalue below σ². They come in any order: look at all of them.")
def until_the_first_below(eigenvalues, sigma2):
    count = 0
    for value in eigenvalues:
        if value <= sigma2:
            break
        count += 1
    return count


@predict_active_dims.mistake("The count is right, but it is a tensor. A Python int is asked for: int(…).")
def predict_active_dims_as_a_tensor(eigenvalues, sigma2):
    return torch.tensor(reference("predict_active_dims")(eigenvalues, sigma2))


@predict_active_dims.variant
def by_the_weights(eigenvalues, sigma2):
    squared_lengths = (eigenvalues - sigma2).clamp(min=0)
    return int(torch.count_nonzero(squared_lengths))


@predict_active_dims.variant
def by_a_loop(eigenvalues, sigma2):
    return sum(1 for value in eigenvalues.tolist() if value > sigma2)


@predict_active_dims.variant
def by_sorting(eigenvalues, sigma2):
    values = np.sort(eigenvalues.detach().numpy().astype(np.float64))
    return len(values) - np.searchsorted(values, sigma2, side="right")


# --- predictions --------------------------------------------------------------------------------------------------------------

predict_floor_gradient = Exercise("predict_floor_gradient")
predict_floor_gradient.wrong_choices("""
pushes_up: a
    Below the floor the term is the constant f. What is the derivative of a constant? Nothing is pushed up; it is only
    not pressed down.
pushes_down: c
    That is what the KL itself would do. Here f is the larger of the two, and the KL does not appear in the value at all.
""")

predict_floor_kl = Exercise("predict_floor_kl")
predict_floor_kl.wrong_choices("""
one_dimension: 0.25
    That is what one dimension may carry for nothing. There are eight.
nothing: 0.0
    Up to the floor, the KL costs nothing. Even a little help in drawing the image is worth having at that price.
a_nat_each: 8.0
    That would be a nat in each dimension. Beyond 0.25 nats each, the code has to be paid.
""")
predict_floor_kl.wrong_choice(
    "shared_out",
    0.25 / 8,
    "The floor is for each dimension, not for all of them to share. The amounts add up.",
)

predict_information_ceiling = Exercise("predict_information_ceiling")
predict_information_ceiling.wrong_choices("""
the_number_of_images: 100.0
    Take the logarithm: to tell 100 images apart takes log 100 nats.
""")
predict_information_ceiling.wrong_choice(
    "in_bits",
    math.log2(100),
    "That is in bits. The natural logarithm gives nats.",
)
predict_information_ceiling.wrong_choices("""
decimal: 2.0
    That is the decimal logarithm. Nats need the natural one.
""")
predict_information_ceiling.wrong_choice(
    "without_end",
    math.inf,
    "However narrow the posteriors, the sum contains the image's own density, divided by N = 100. What is left of the ratio?",
)
predict_information_ceiling.wrong_choices("""
nothing: 0.0
    That is the answer when all posteriors are the same. Here each sample fits one image only.
""")

predict_collapsed_loss = Exercise("predict_collapsed_loss")
predict_collapsed_loss.wrong_choices("""
much_worse: a
    It has lost its code, but it no longer pays for one either. And this decoder describes digits well on its own.
much_better: c
    It saves the KL, but the other model does not pay it for nothing: its code lowers the reconstruction loss by about as
    much.
""")

predict_variance = Exercise("predict_variance")
predict_variance.wrong_choices("""
rises: b
    With a larger σ² the decoder explains more of the variation as noise. What noise explains needs no code.
never_changes: c
    The eigenvalues are a property of the data. But what they are compared with is the decoder's.
""")
