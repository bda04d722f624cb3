"""Lesson 03, KL divergence: what students get wrong, and other ways to be right."""

import math

import sympy as sp
import torch
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from . import Exercise, reference
from .recurring import HINTS, detached, half_forgotten, in_bits, logvar_as_log_std, own_noise

# --- kl_on_grid ---------------------------------------------------------------------------------------------------------------

kl_on_grid = Exercise("kl_on_grid")
kl_on_grid.edits("""
forgot_dx: `.sum() * dx` → `.sum()`
    The width of the rectangles is missing: multiply the sum by dx, or a finer grid gives a larger KL.
mean_of_points: `.sum() * dx` → `.mean() * dx`
    You average over the grid points. An integral is a sum of height times width: sum, then times dx.
mean_without_dx: `.sum() * dx` → `.mean()`
    You average over the grid points, which depends on how long the grid is. An integral is the sum of height times
    width, dx.
wrong_sign: `(log_q - log_p)` → `(log_p - log_q)`
    The sign is reversed: under q, log q is the larger one on average. A KL divergence is never negative.
weighted_by_p: `log_q.exp()` → `log_p.exp()`
    You average log q − log p under p. The first argument of KL(q‖p) is the one that z comes from: weight with q's
    density.
weighted_by_log_q: `log_q.exp()` → `log_q`
    You weight with log q where the density q belongs. The average is taken under q itself: exponentiate the weight.
no_sum: `.sum() * dx` → ` * dx`
    These are the single rectangles. The integral is their sum: one number for the whole grid.
divided_by_width: `.sum() * dx` → `.sum() / dx`
    You divide by dx. The area of a rectangle is its height times its width: multiply.
softmax_times_width: `log_q.exp()` → `log_q.softmax(0)`
    Your weights are a softmax, which add up to 1: the width of the rectangles is in them already. Take either these
    weights alone, or the density times dx.
ratio_without_log: `(log_q - log_p)` → `(log_q - log_p).exp()`
    You average q/p. A KL averages its logarithm, log q − log p.
savings_left_out: `(log_q.exp() * (log_q - log_p))` → `(log_q.exp() * (log_q - log_p)).clamp(min=0)`
    You leave out the places where log q is below log p. The integrand may be negative there; those savings belong into
    the sum.
densities_subtracted: `(log_q - log_p)` → `(log_q.exp() - log_p.exp())`
    You average the difference of the densities. A KL averages the difference of their logarithms, log q − log p.
logarithms_divided: `(log_q - log_p)` → `(log_q / log_p)`
    You divide log q by log p. The logarithm of a quotient is a difference: log q − log p.
entropy_only: `(log_q - log_p)` → `log_q`
    p plays no part in your result: this is E_q[log q] alone, the negative entropy of q. The KL averages log q − log p.
not_weighted: `log_q.exp() * (log_q - log_p)` → `log_q - log_p`
    Every point of the grid counts the same in your sum. The KL is an average under q: weight with its density.
logarithms_clamped: `(log_q - log_p)` → `(log_q.clamp(min=-100) - log_p.clamp(min=-100))`
    You clamp the logarithms from below. Far out, log_p is exact and may be below any bound: what q pays there belongs
    into the sum.
""")


@kl_on_grid.mistake(
    "This is KL(p‖q), the other direction. In KL(q‖p) the average is under q. (torch's `kl_div(input, target)` computes KL(target‖input).)"
)
def swapped_direction(log_q, log_p, dx):
    return reference("kl_on_grid")(log_p, log_q, dx)


kl_on_grid.recurring(in_bits)


@kl_on_grid.mistake(
    "You make the densities with exp and then take their log again. Where a density underflows to 0 its log is −∞, and 0 · ∞ is NaN. "
    "log_q and log_p are what you need: use them as they are."
)
def exp_then_log(log_q, log_p, dx):
    q, p = log_q.exp(), log_p.exp()
    return (q * (q / p).log()).sum() * dx


@kl_on_grid.mistake(
    "The points where exp(log_p) underflows to 0 count for nothing in your sum, and they cost the most. "
    "log_p itself is exact there: with log_q and log_p as they are, no point needs special care."
)
def infinite_points_left_out(log_q, log_p, dx):
    q, p = log_q.exp(), log_p.exp()
    return torch.nan_to_num(q * (q / p).log(), posinf=0.0).sum() * dx


@kl_on_grid.mistake(
    "Where p underflows to 0 and q doesn't, your KL becomes infinite, and log_p is an ordinary number there. The only density that the "
    "integrand needs is q; `Categorical`, too, makes densities of what it is given."
)
def exp_then_log_where_q_is_positive(log_q, log_p, dx):
    q, p = log_q.exp(), log_p.exp()
    return torch.where(q > 0, q * (q / p).log(), torch.zeros_like(q)).sum() * dx


@kl_on_grid.mistake("torch's kl_div takes its target for a density unless you say log_target=True; log_q is a logarithm.")
def kl_div_without_log_target(log_q, log_p, dx):
    return torch.nn.functional.kl_div(log_p, log_q, reduction="sum") * dx


@kl_on_grid.mistake(
    "This is the cross-entropy E_q[−log p] alone. Subtract q's own entropy: the price is what you pay *too much*."
)
def cross_entropy_only(log_q, log_p, dx):
    return -(log_q.exp() * log_p).sum() * dx


@kl_on_grid.mistake(
    "You take the absolute value at each point. The integrand may be negative in places; those savings belong into the sum."
)
def absolute_value(log_q, log_p, dx):
    return (log_q.exp() * (log_q - log_p).abs()).sum() * dx


@kl_on_grid.mistake("This is the sum of both directions. KL(q‖p) is only the one in which z comes from q.")
def symmetric(log_q, log_p, dx):
    return ((log_q.exp() - log_p.exp()) * (log_q - log_p)).sum() * dx


@kl_on_grid.mistake(
    "You add a small constant inside the logarithm, or clamp the densities. Where p underflows, log_p is still exact, and far below log of any such constant: use log_q and log_p as they are."
)
def constant_in_the_logarithm(log_q, log_p, dx):
    q, p = log_q.exp(), log_p.exp()
    return (q * ((q + 1e-12).log() - (p + 1e-12).log())).sum() * dx


@kl_on_grid.mistake(
    "You add a small constant to the densities. Where p underflows, log_p is still exact, and far below the log of any such constant: use log_q and log_p as they are."
)
def larger_constant_in_the_logarithm(log_q, log_p, dx):
    q, p = log_q.exp(), log_p.exp()
    return (q * ((q + 1e-10).log() - (p + 1e-10).log())).sum() * dx


@kl_on_grid.mistake(
    "You add a small constant to the densities. Where p underflows, log_p is still exact, and far below the log of any such constant: use log_q and log_p as they are."
)
def constant_of_one_in_a_hundred_million(log_q, log_p, dx):
    q, p = log_q.exp(), log_p.exp()
    return (q * ((q + 1e-8).log() - (p + 1e-8).log())).sum() * dx


@kl_on_grid.mistake(
    "You clamp the densities before you take their logarithm. Where p underflows, log_p is still exact, and far below the log of any such bound: use log_q and log_p as they are."
)
def densities_clamped(log_q, log_p, dx):
    q, p = log_q.exp(), log_p.exp()
    return (q * (q.clamp(min=1e-12) / p.clamp(min=1e-12)).log()).sum() * dx


@kl_on_grid.variant
def by_trapezoids(log_q, log_p, dx):
    return torch.trapezoid(log_q.exp() * (log_q - log_p), dx=dx)


@kl_on_grid.variant
def by_kl_div(log_q, log_p, dx):
    return dx * torch.nn.functional.kl_div(log_p, log_q, reduction="sum", log_target=True).item()


@kl_on_grid.variant
def by_dot_product_in_float64(log_q, log_p, dx):
    log_q, log_p = log_q.double(), log_p.double()
    return float(torch.dot(log_q.exp() * dx, log_q) - torch.dot(log_q.exp() * dx, log_p))


@kl_on_grid.variant
def normalised_on_the_grid(log_q, log_p, dx):
    weights = log_q.softmax(0)
    return (weights * (log_q.log_softmax(0) - log_p.log_softmax(0))).sum()


# --- predictions --------------------------------------------------------------------------------------------------------------

predict_narrow = Exercise("predict_narrow")
predict_narrow.wrong_choices("""
falls_to_zero: a
    A KL of 0 means q = p, and a needle is as unlike N(0, 1) as can be. Little uncertainty is not little KL: telling
    someone exactly where z is takes more nats, not fewer.
finite_limit: b
    μ does add a fixed amount. But follow log q at the needle's tip: each time you halve σ, the tip is twice as high. How
    much does that add to E_q[log q], and does it ever stop?
""")

predict_double_mu = Exercise("predict_double_mu")
predict_double_mu.wrong_choices("""
linear: 2
    That would be a KL proportional to the distance. log q − log p is μ·z − ½μ²; its average under q, where z is μ on
    average, has μ in it twice.
unchanged: 1
    The shapes are equal, but p is thinner where q stands now: codes for p get longer further out, so the price rises.
""")
predict_double_mu.wrong_choice(
    "exponential",
    math.exp(1.5),
    "The density of p falls by such a factor, exp(−½·2²) against exp(−½·1²). The KL averages the logarithm of the density.",
)
predict_double_mu.wrong_choices("""
value_instead_of_factor: 1.5
    That is by how many nats it grows. The question is for the factor: the new KL divided by the old one.
""")

predict_low_variance = Exercise("predict_low_variance")
predict_low_variance.wrong_choices("""
always_better: a
    The name holds near q = p, where r ≈ 1. Far away, a rare sample lands where p is much larger than q, and r is
    enormous there. Its logarithm, the plain estimator, hardly notices.
always_worse: c
    An added term adds noise when it is independent. r − 1 is not: near q = p it is almost the same as log r, so (r − 1)
    − log r takes the noise away.
""")

predict_forward_fit = Exercise("predict_forward_fit")
predict_forward_fit.wrong_choices("""
seeks: a
    That is what the other direction does. In KL(p‖q) you average under p: samples from the hump that q leaves alone pay
    −log q, and q is almost 0 there.
in_the_valley: b
    The mean is about right, but a narrow q has almost no density at either hump, which is where all of p's samples are.
    Each pays −log q.
""")

predict_vae_direction = Exercise("predict_vae_direction")
predict_vae_direction.wrong_choices("""
forward: b
    Then z would have to come from the true posterior p(z|x), which nobody can sample: it's what we approximate. In
    training, z comes from the encoder.
both: c
    The ELBO misses log p(x) by one KL, not two; every expectation in it is under the same density. Which one do you
    sample in training?
""")

# --- kl_1d --------------------------------------------------------------------------------------------------------------------

kl_1d = Exercise("kl_1d", symbolic=True)


def _closed_form(m, v):
    # The reference integrates, which is slow; the mistakes below need not.
    return (m**2 + v - 1 - sp.log(v)) / 2


@kl_1d.mistake(
    "You take v for the standard deviation. It is the variance: in the density it stands as (z − m)²/(2v), without a square."
)
def v_as_standard_deviation(m, v):
    return _closed_form(m, v**2)


@kl_1d.mistake("This is KL(N(0,1) ‖ N(m,v)), the other direction. z comes from N(m, v): weight with its density.")
def other_direction(m, v):
    return (1 + m**2) / (2 * v) + sp.log(v) / 2 - sp.Rational(1, 2)


@kl_1d.mistake("This is twice the KL: each term of the log densities carries a ½.")
def twice(m, v):
    return 2 * _closed_form(m, v)


@kl_1d.mistake("The sign is reversed: average log q − log p, not log p − log q. A KL divergence is never negative.")
def minus_kl(m, v):
    return -_closed_form(m, v)


@kl_1d.mistake(
    "The second term is lost: E_q[(z − m)²] = v, so −(z − m)²/(2v) averages to −½. Test with m = 0, v = 1: the KL must be 0."
)
def lost_the_constant(m, v):
    return (m**2 + v - sp.log(v)) / 2


@kl_1d.mistake("The −½·log v is lost. It is what remains of q's normalising constant when 2π cancels, and it depends on v.")
def lost_the_logarithm(m, v):
    return (m**2 + v - 1) / 2


@kl_1d.mistake("You took E_q[z²] for m². It is the variance plus the square of the mean.")
def square_of_the_mean(m, v):
    return (m**2 - 1 - sp.log(v)) / 2


@kl_1d.mistake("You took E_q[z²] for v, which holds when the mean is 0. Here q's mean is m: add its square.")
def forgot_the_mean(m, v):
    return (v - 1 - sp.log(v)) / 2


@kl_1d.mistake("log v must be subtracted: log q contains −½·log v, and log q comes first in log q − log p.")
def logarithm_added(m, v):
    return (m**2 + v - 1 + sp.log(v)) / 2


@kl_1d.mistake("You took the logarithm of √v twice, or forgot its ½: log √v = ½·log v, and q's normalising constant has √v.")
def whole_logarithm(m, v):
    return (m**2 + v - 1) / 2 - sp.log(v)


@kl_1d.mistake(
    "z is still in your expression: this is the integrand (or log q − log p). Integrate it over z, weighted with q."
)
def integrand(m, v):
    z = sp.Symbol("z", real=True)
    return sp.exp(-((z - m) ** 2) / (2 * v)) * ((z**2 - (z - m) ** 2 / v) / 2)


@kl_1d.mistake("This is the cross-entropy E_q[−log p] alone. The KL subtracts q's own entropy from it.")
def cross_entropy(m, v):
    return (sp.log(2 * sp.pi) + m**2 + v) / 2


@kl_1d.mistake("You count in bits: these are base-2 logarithms. Use the natural logarithm, for nats.")
def bits(m, v):
    return _closed_form(m, v) / sp.log(2)


@kl_1d.mistake("log √v is ½·log v: you have halved the logarithm twice.")
def logarithm_halved_twice(m, v):
    return (m**2 + v - 1 - sp.log(v) / 2) / 2


@kl_1d.mistake(
    "Your logarithm is the one to base 2. sp.log(v), with one argument, is the natural one, and the densities have exp in them."
)
def base_two_logarithm(m, v):
    return (m**2 + v - 1 - sp.log(v, 2)) / 2


@kl_1d.mistake("The ½ of ½·E_q[z²] belongs to both of its parts, the variance and the square of the mean.")
def half_lost_on_the_mean(m, v):
    return m**2 + (v - 1 - sp.log(v)) / 2


@kl_1d.mistake("You take E_q[z²] for 1, as it is under the prior. z comes from q: E_q[z²] is m² + v.")
def second_moment_of_the_prior(m, v):
    return -sp.log(v) / 2


@kl_1d.mistake("The −½·log v is there, and m² + v is not halved: log p(z) holds −½z².")
def squares_not_halved(m, v):
    return m**2 + v - sp.Rational(1, 2) - sp.log(v) / 2


@kl_1d.mistake("log 2π stands in log q and in log p, and cancels in their difference. Yours keeps one of the two.")
def two_pi_kept(m, v):
    return (m**2 + v - 1 - sp.log(2 * sp.pi * v)) / 2


@kl_1d.mistake(
    "m stands without its square. A q on the left of 0 would then be cheaper than one on the right: E_q[z²] is m² + v."
)
def mean_not_squared(m, v):
    return (m + v - 1 - sp.log(v)) / 2


@kl_1d.mistake("You divide m² by v. That is the cost when p has variance v; here p is N(0, 1), and E_q[z²] is m² + v.")
def square_over_variance(m, v):
    return (m**2 / v + v - 1 - sp.log(v)) / 2


@kl_1d.mistake("You take v for a log-variance, and exponentiate it. In this exercise v is the variance itself.")
def v_as_log_variance(m, v):
    return _closed_form(m, sp.exp(v))


@kl_1d.mistake("You took E_q[z²] for v − m². The variance is E[z²] − m², so E[z²] is the sum of the two.")
def second_moment_by_subtraction(m, v):
    return (v - m**2 - 1 - sp.log(v)) / 2


@kl_1d.mistake("You took E_q[z²] for m² + v². v is the variance already: it is not squared again.")
def variance_squared_in_the_moment(m, v):
    return (m**2 + v**2 - 1 - sp.log(v)) / 2


@kl_1d.mistake("You took E_q[z²] for m² + √v. It is the mean's square plus the variance, and v is the variance.")
def standard_deviation_in_the_moment(m, v):
    return (m**2 + sp.sqrt(v) - 1 - sp.log(v)) / 2


@kl_1d.mistake(
    "You took E_q[(z − m)²] for v². It is the variance of z under q, which is v, so that −(z − m)²/(2v) averages to −½."
)
def spread_taken_for_v_squared(m, v):
    return (m**2 + v - v - sp.log(v)) / 2


@kl_1d.mistake(
    "You took E_q[(z − m)²] for 1. It is the variance of z under q, which is v, so that −(z − m)²/(2v) averages to −½."
)
def spread_taken_for_one(m, v):
    return (m**2 + v - 1 / v - sp.log(v)) / 2


@kl_1d.mistake(
    "Your expression is 0 for every m and v. (If it has a 1//2: that is a division of integers, and 0 in Python. `sp.Rational(1, 2)` is a half.)"
)
def nothing_left(m, v):
    return sp.Integer(0)


@kl_1d.variant
def by_hand(m, v):
    return m**2 / 2 + v / 2 - sp.log(sp.sqrt(v)) - 0.5


@kl_1d.variant
def all_in_one_integral(m, v):
    z = sp.Symbol("z", real=True)
    q = sp.exp(-((z - m) ** 2) / (2 * v)) / sp.sqrt(2 * sp.pi * v)
    log_ratio = -sp.log(v) / 2 - (z - m) ** 2 / (2 * v) + z**2 / 2
    return sp.integrate(q * log_ratio, (z, -sp.oo, sp.oo))


@kl_1d.mistake(
    "Your expression holds an integral that is not worked out. `.doit()` works it out; `sp.integrate(…)` does so at once."
)
def left_as_an_integral(m, v):
    z = sp.Symbol("z", real=True)
    q = sp.exp(-((z - m) ** 2) / (2 * v)) / sp.sqrt(2 * sp.pi * v)
    return sp.Integral(q * (z**2 - (z - m) ** 2 / v - sp.log(v)) / 2, (z, -sp.oo, sp.oo))


@kl_1d.mistake(HINTS["own_symbols"])
def own_symbols(*_):
    m, v = sp.symbols("m v")
    return (m**2 + v - sp.log(v) - 1) / 2


@kl_1d.variant
def as_difference_of_entropies(m, v):
    entropy = sp.log(2 * sp.pi * sp.E * v) / 2
    return sp.expand_log(sp.log(2 * sp.pi) / 2 + (v + m**2) / 2 - entropy)


# --- gaussian_kl --------------------------------------------------------------------------------------------------------------

gaussian_kl = Exercise("gaussian_kl")


gaussian_kl.recurring(logvar_as_log_std("logvar"), in_bits, detached)


gaussian_kl.edits("""
forgot_half: `0.5 * (` → `(`
    This is twice the KL: the ½ in front of the sum is missing.
wrong_sign: `return 0.5` → `return -0.5`
    The sign is reversed. A KL divergence is never negative.
forgot_minus_one: ` - 1` → ``
    The −1 of each dimension is missing. Try q = p, that is mu = 0 and logvar = 0: the KL must be 0.
mean_over_dimensions: `.sum(dim=1)` → `.mean(dim=1)`
    You average over the dimensions. Independent dimensions add up: sum over D.
summed_over_batch: `.sum(dim=1)` → `.sum()`
    You sum over everything. Each row is one image and keeps its own KL: the result is (N,).
averaged_over_batch: `.sum(dim=1)` → `.sum(dim=1).mean()`
    You also average over the rows. The batch mean is taken once, later, in the loss; here each row keeps its own KL:
    (N,).
sum_over_rows: `dim=1` → `dim=0`
    You sum over the rows (dim 0), which mixes different images. Sum over the D dimensions of each row.
per_dimension: `.sum(dim=1)` → ``
    This is the (N, D) table of each dimension's KL. Independent dimensions add up: sum over D.
std_for_variance: `logvar.exp() - 1` → `logvar.mul(0.5).exp() - 1`
    You add σ where σ² belongs: exp(½·logvar) is the standard deviation, exp(logvar) the variance.
mu_not_squared: `mu.pow(2)` → `mu`
    μ stands without its square. A q on the left of 0 would then be cheaper than one on the right.
forgot_mu: `mu.pow(2) + ` → ``
    The mean plays no part in your KL. Moving q away from the prior must cost something: compare your result of `kl_1d`.
logvar_added: ` - logvar)` → ` + logvar)`
    The sign of logvar is reversed. A narrower q, with smaller logvar, must cost more.
logvar_as_variance: `logvar.exp() - 1 - logvar` → `logvar - 1 - logvar.abs().log()`
    You took logvar for the variance itself. It is the logarithm of the variance: σ² = exp(logvar), and log σ² = logvar.
in_place: `mu.pow(2)` → `mu.pow_(2)`
    The numbers are right, but pow_ squares the caller's own mu, who still needs it. Drop the underscore.
as_list: `.sum(dim=1)` → `.sum(dim=1).tolist()`
    You return a list of numbers, through which no gradient flows. Leave out .tolist(): a tensor (N,) is asked for.
logvar_clamped: `return 0.5 * (` → `logvar = logvar.clamp(-10, 10)
    return 0.5 * (`
    You clamp logvar. Then a very narrow or a very wide q has the price of another, and no gradient: the formula is
    stable as it is.
rescaled_by_dimensions: `.sum(dim=1)` → `.sum(dim=1) / len(mu)`
    You divide by the number of rows. Each row keeps its own KL; the batch mean is taken once, later, in the loss.
averaged_over_all: `.sum(dim=1)` → `.mean()`
    You average over rows and dimensions. Independent dimensions add up, and each row keeps its own KL: the result is
    (N,).
one_for_all_dimensions: `- 1 - logvar).sum(dim=1)` → `- logvar).sum(dim=1) - 0.5`
    The −1 belongs to every dimension, inside the sum. Yours is subtracted once for the whole row.
logvar_lost: `- 1 - logvar` → `- 1`
    The −logvar is missing. It is what makes a narrow q expensive.
half_on_the_mean_only: `0.5 * (mu.pow(2) + logvar.exp()` → `(0.5 * mu.pow(2) + logvar.exp()`
    The ½ stands in front of mu² only. It belongs to all of the sum.
sum_squared: `(mu.pow(2) + logvar.exp() - 1 - logvar).sum(dim=1)` → `(mu.sum(dim=1).pow(2) + (logvar.exp() - 1 - logvar).sum(dim=1))`
    You square the sum of the means. Each dimension's mean is squared for itself; then they are added.
log_of_logvar: `- 1 - logvar` → `- 1 - logvar.log()`
    You take the log of logvar, which is a logarithm already, and may be negative: log σ² is logvar itself.
plus_one: `- 1 - logvar` → `+ 1 - logvar`
    The 1 of each dimension has the wrong sign: it is subtracted. Try q = p, that is mu = 0 and logvar = 0: the KL must
    be 0.
logvar_not_halved: `0.5 * (mu.pow(2) + logvar.exp() - 1 - logvar)` → `(0.5 * (mu.pow(2) + logvar.exp() - 1) - logvar)`
    The ½ is missing in front of logvar: it is log σ that stands alone, and log σ = ½·logvar.
rows_averaged: `.sum(dim=1)` → `.mean(dim=0)`
    You average over the rows (dim 0), which mixes different images. Sum over the D dimensions of each row: the result
    is (N,).
logvar_taken_for_a_variance: `logvar.exp() - 1 - logvar` → `logvar - 1 - logvar.log()`
    You took logvar for the variance itself. It is the logarithm of the variance, and may be negative: σ² = exp(logvar).
free_bits: `(mu.pow(2) + logvar.exp() - 1 - logvar)` → `(mu.pow(2) + logvar.exp() - 1 - logvar).clamp(min=0.1)`
    You keep each dimension's KL from falling below a floor (free bits). Here the KL itself is asked for: at the prior it
    is 0.
""")


@gaussian_kl.mistake(
    "You add 1e-8 inside the logarithm. With logvar nothing can be log of 0, and for a narrow q the constant is larger than the variance: "
    "use logvar itself."
)
def constant_in_the_logarithm(mu, logvar):
    variance = logvar.exp()
    return 0.5 * (mu.pow(2) + variance - 1 - (variance + 1e-8).log()).sum(dim=1)


@gaussian_kl.mistake("This is KL(N(0,I) ‖ N(μ,σ²)), the other direction. q, the encoder's Gaussian, comes first.")
def prior_first(mu, logvar):
    return 0.5 * ((1 + mu.pow(2)) / logvar.exp() - 1 + logvar).sum(dim=1)


@gaussian_kl.variant
def by_distributions(mu, logvar):
    return kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(-1)


@gaussian_kl.variant
def with_einsum_in_float64(mu, logvar):
    m, v = mu.double(), logvar.double().exp()
    return (0.5 * (torch.einsum("nd,nd->n", m, m) + (v - v.log() - 1).sum(1))).float()


@gaussian_kl.variant
def as_in_the_paper(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu**2 - torch.exp(logvar), -1)


@gaussian_kl.variant
def row_by_row(mu, logvar):
    return torch.stack([0.5 * (m @ m + s.expm1().sum() - s.sum()) for m, s in zip(mu, logvar, strict=True)])


# --- gaussian_kl_between ------------------------------------------------------------------------------------------------------

gaussian_kl_between = Exercise("gaussian_kl_between")


@gaussian_kl_between.mistake(
    "This is KL(p‖q), the other direction: divide by p's variance, since z comes from q and log p has 1/σ_p²."
)
def directions_swapped(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl_between")(mu_p, logvar_p, mu_q, logvar_q)


@gaussian_kl_between.mistake(
    "You read `logvar` as log σ. It is log σ², so the variances are exp(logvar), not exp(2·logvar)."
)
def logvars_as_log_std(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl_between")(mu_q, 2 * logvar_q, mu_p, 2 * logvar_p)


@gaussian_kl_between.mistake(
    "p plays no part in your result: this is the KL to the standard normal. Rescale by p's mean and variance first."
)
def prior_ignored(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl")(mu_q, logvar_q)


@gaussian_kl_between.mistake(
    "You divide the difference of the means by p's variance before you square it. Divide by the standard deviation, exp(½·logvar_p), or "
    "the square by the variance."
)
def shift_over_variance(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl")((mu_q - mu_p) / logvar_p.exp(), logvar_q - logvar_p)


@gaussian_kl_between.mistake(
    "The distance of the means is not measured in p's units: it is squared and then divided by p's variance, exp(logvar_p)."
)
def shift_not_rescaled(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl")(mu_q - mu_p, logvar_q - logvar_p)


@gaussian_kl_between.mistake(
    "This is the difference of two KLs to the standard normal. KL divergences don't subtract: KL(q‖p) is not KL(q‖s) − KL(p‖s)."
)
def difference_of_two(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl")(mu_q, logvar_q) - reference("gaussian_kl")(mu_p, logvar_p)


gaussian_kl_between.edits("""
half_missing: `0.5 * (` → `(`
    This is twice the KL: the ½ in front of the sum is missing.
negative: `return 0.5` → `return -0.5`
    The sign is reversed. A KL divergence is never negative.
minus_one_missing: ` - 1` → ``
    The −1 of each dimension is missing. Try q = p: the KL must be 0.
log_ratio_reversed: `- (logvar_q - logvar_p)` → `- (logvar_p - logvar_q)`
    The logarithm of the variances' quotient has the wrong sign: a q much narrower than p must cost more, not less.
log_of_p_missing: `- (logvar_q - logvar_p)` → `- logvar_q`
    logvar_p is missing: p's normalising constant depends on its variance. Try q = p: the KL must be 0.
std_of_p: `/ logvar_p.exp()` → `/ (0.5 * logvar_p).exp()`
    You divide by p's standard deviation. Both the squared distance and q's variance are divided by p's variance,
    exp(logvar_p).
variance_not_divided: `((mu_q - mu_p).pow(2) + logvar_q.exp()) / logvar_p.exp()` → `(mu_q - mu_p).pow(2) / logvar_p.exp() + logvar_q.exp()`
    Only the distance is divided by p's variance. q's variance has to be measured in the same units: divide it too.
only_variance_divided: `((mu_q - mu_p).pow(2) + logvar_q.exp()) / logvar_p.exp()` → `logvar_q.exp() / logvar_p.exp()`
    The means play no part in your result. Add the squared distance of the means, divided by p's variance.
dimensions_averaged: `.sum(dim=1)` → `.mean(dim=1)`
    You average over the dimensions. Independent dimensions add up: sum over D.
batch_summed: `.sum(dim=1)` → `.sum()`
    You sum over everything. Each row keeps its own KL: the result is (N,).
batch_averaged: `.sum(dim=1)` → `.sum(dim=1).mean()`
    You also average over the rows. Each row keeps its own KL: (N,). The batch mean is taken once, later, in the loss.
rows_summed: `dim=1` → `dim=0`
    You sum over the rows (dim 0), which mixes different images. Sum over the D dimensions of each row.
dimensions_not_summed: `.sum(dim=1)` → ``
    This is the (N, D) table of each dimension's KL. Independent dimensions add up: sum over D.
logvars_not_exponentiated: `((mu_q - mu_p).pow(2) + logvar_q.exp()) / logvar_p.exp()` → `((mu_q - mu_p).pow(2) + logvar_q) / logvar_p`
    You take logvar for the variance itself. It is its logarithm: σ² = exp(logvar), for q and for p.
""")


@gaussian_kl_between.mistake(
    "You divide the squared distance of the means by q's variance. The distance is measured in p's units: exp(logvar_p)."
)
def distance_over_variance_of_q(mu_q, logvar_q, mu_p, logvar_p):
    ratio = logvar_q - logvar_p
    return 0.5 * ((mu_q - mu_p).pow(2) / logvar_q.exp() + ratio.exp() - 1 - ratio).sum(1)


@gaussian_kl_between.mistake(
    "The quotient of the variances is upside down: z comes from q, so E_q[(z − μ_p)²]/σ_p² has q's variance above."
)
def quotient_upside_down(mu_q, logvar_q, mu_p, logvar_p):
    ratio = logvar_q - logvar_p
    return 0.5 * ((mu_q - mu_p).pow(2) / logvar_p.exp() + (-ratio).exp() - 1 - ratio).sum(1)


@gaussian_kl_between.mistake(
    "The ½ is missing in front of logvar_q − logvar_p: it is log σ that stands alone, and log σ = ½·logvar."
)
def logarithms_not_halved(mu_q, logvar_q, mu_p, logvar_p):
    squares = ((mu_q - mu_p).pow(2) + logvar_q.exp()) / logvar_p.exp()
    return (0.5 * (squares - 1) - (logvar_q - logvar_p)).sum(1)


@gaussian_kl_between.mistake(
    "You put q's standard deviation where its variance belongs: σ_q² is exp(logvar_q), without a ½."
)
def std_of_q(mu_q, logvar_q, mu_p, logvar_p):
    squares = ((mu_q - mu_p).pow(2) + (0.5 * logvar_q).exp()) / logvar_p.exp()
    return 0.5 * (squares - 1 - (logvar_q - logvar_p)).sum(1)


@gaussian_kl_between.mistake(
    "The numbers are right, but no gradient reaches mu_p and logvar_p. A learned prior needs them: don't detach p."
)
def detached_prior(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl_between")(mu_q, logvar_q, mu_p.detach(), logvar_p.detach())


gaussian_kl_between.edits("""
means_added: `(mu_q - mu_p)` → `(mu_q + mu_p)`
    You add the two means. What costs is their distance, mu_q − mu_p.
distance_not_squared: `(mu_q - mu_p).pow(2)` → `(mu_q - mu_p).abs()`
    The distance of the means stands without its square.
log_ratio_lost: `- 1 - (logvar_q - logvar_p)` → `- 1`
    The logarithm of the variances' quotient, logvar_q − logvar_p, is missing.
variance_of_q_not_divided: `((mu_q - mu_p).pow(2) + logvar_q.exp()) / logvar_p.exp()` → `(mu_q - mu_p).pow(2) / logvar_p.exp() + (logvar_q.exp() - logvar_p.exp())`
    You subtract p's variance from q's. It is their quotient that counts.
half_on_the_means_only: `0.5 * (squares - 1 - (logvar_q - logvar_p))` → `(squares - 0.5 * (mu_q - mu_p).pow(2) / logvar_p.exp() - 1 - (logvar_q - logvar_p))`
    Only the distance of the means has its ½. It belongs to all of the sum.
squared_distance_without_its_square: `(mu_q - mu_p).pow(2)` → `(mu_q - mu_p)`
    The difference of the means stands without its square. A q on the left of p would then be cheaper than one on the
    right.
minus_one_for_the_row: `(squares - 1 - (logvar_q - logvar_p)).sum(dim=1)` → `((squares - (logvar_q - logvar_p)).sum(dim=1) - 1)`
    The −1 belongs to every dimension, inside the sum. Yours is subtracted once for the whole row.
plus_one: `squares - 1` → `squares + 1`
    The 1 of each dimension has the wrong sign: it is subtracted. Try q = p: the KL must be 0.
quotient_of_standard_deviations: `((mu_q - mu_p).pow(2) + logvar_q.exp()) / logvar_p.exp()` → `(mu_q - mu_p).pow(2) / logvar_p.exp() + (0.5 * (logvar_q - logvar_p)).exp()`
    You take the quotient of the standard deviations where that of the variances belongs: σ² is exp(logvar), without a ½.
log_ratio_halved_twice: `- (logvar_q - logvar_p)` → `- 0.5 * (logvar_q - logvar_p)`
    The logarithm of the variances' quotient is halved twice: once by itself and once with all the rest.
""")


@gaussian_kl_between.mistake("This is the sum of both directions. KL(q‖p) is only the one in which z comes from q.")
def both_directions(mu_q, logvar_q, mu_p, logvar_p):
    between = reference("gaussian_kl_between")
    return between(mu_q, logvar_q, mu_p, logvar_p) + between(mu_p, logvar_p, mu_q, logvar_q)


@gaussian_kl_between.mistake(
    "You divide mu_q by p's standard deviation before you subtract mu_p. First comes the difference of the means, then the division."
)
def only_one_mean_divided(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl")(mu_q * (-0.5 * logvar_p).exp() - mu_p, logvar_q - logvar_p)


@gaussian_kl_between.mistake(
    "You divide the two logvars. A quotient of variances is a difference of their logarithms: logvar_q − logvar_p."
)
def quotient_of_logvars(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl")((mu_q - mu_p) * (-0.5 * logvar_p).exp(), logvar_q / logvar_p)


@gaussian_kl_between.mistake(
    "p's variance divides the distance of the means, but nothing else: q's variance, too, is measured against p's."
)
def variance_of_p_for_the_means_only(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl")((mu_q - mu_p) * (-0.5 * logvar_p).exp(), logvar_q)


@gaussian_kl_between.mistake(
    "The log-variance that you use after rescaling is ½·(logvar_q − logvar_p): that is the logarithm of the standard deviations' quotient. "
    "The variances' quotient has logvar_q − logvar_p, without a ½."
)
def log_std_ratio_for_logvar(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl")((mu_q - mu_p) * (-0.5 * logvar_p).exp(), 0.5 * (logvar_q - logvar_p))


@gaussian_kl_between.mistake(
    "You use the quotient of the variances where its logarithm is asked for: a log-variance is logvar_q − logvar_p."
)
def variance_ratio_for_logvar(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl")((mu_q - mu_p) * (-0.5 * logvar_p).exp(), (logvar_q - logvar_p).exp())


@gaussian_kl_between.mistake(
    "You multiply the difference of the means by p's standard deviation. To measure it in p's units, divide."
)
def shift_times_std(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl")((mu_q - mu_p) * (0.5 * logvar_p).exp(), logvar_q - logvar_p)


@gaussian_kl_between.mistake(
    "You add the two logvars, which multiplies the variances. A quotient of variances is a difference: logvar_q − logvar_p."
)
def logvars_added(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl")((mu_q - mu_p) * (-0.5 * logvar_p).exp(), logvar_q + logvar_p)


_CONSTANT = "You add a small constant to a variance, and p may be so narrow that the constant is larger. A variance, exp(logvar), is never 0: nothing needs to be added."


@gaussian_kl_between.mistake(_CONSTANT)
def one_in_a_hundred_million_added(mu_q, logvar_q, mu_p, logvar_p):
    squares = ((mu_q - mu_p).pow(2) + logvar_q.exp()) / (logvar_p.exp() + 1e-8)
    return 0.5 * (squares - 1 - (logvar_q - logvar_p)).sum(1)


@gaussian_kl_between.mistake(_CONSTANT)
def one_in_a_million_added(mu_q, logvar_q, mu_p, logvar_p):
    squares = ((mu_q - mu_p).pow(2) + logvar_q.exp()) / (logvar_p.exp() + 1e-6)
    return 0.5 * (squares - 1 - (logvar_q - logvar_p)).sum(1)


@gaussian_kl_between.mistake(_CONSTANT)
def constant_in_the_quotient(mu_q, logvar_q, mu_p, logvar_p):
    ratio = (logvar_q.exp() / (logvar_p.exp() + 1e-8)).log()
    return reference("gaussian_kl")((mu_q - mu_p) * (-0.5 * logvar_p).exp(), ratio)


@gaussian_kl_between.mistake(
    "You keep p's standard deviation from falling below a bound. A narrower p then has the price of another: exp(½·logvar_p) is never 0."
)
def std_of_p_clamped(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl")((mu_q - mu_p) / (0.5 * logvar_p).exp().clamp(min=1e-3), logvar_q - logvar_p)


@gaussian_kl_between.mistake("You clamp the logvars. Then a very narrow or a very wide Gaussian has the price of another.")
def logvars_clamped(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl_between")(mu_q, logvar_q.clamp(-10, 10), mu_p, logvar_p.clamp(-10, 10))


gaussian_kl_between.recurring(detached, in_bits)


@gaussian_kl_between.variant
def standardised_first(mu_q, logvar_q, mu_p, logvar_p):
    return reference("gaussian_kl")((mu_q - mu_p) * (-0.5 * logvar_p).exp(), logvar_q - logvar_p)


@gaussian_kl_between.variant
def by_independent_normals(mu_q, logvar_q, mu_p, logvar_p):
    q, p = (Independent(Normal(m, (0.5 * s).exp()), 1) for m, s in ((mu_q, logvar_q), (mu_p, logvar_p)))
    return kl_divergence(q, p)


@gaussian_kl_between.variant
def with_covariance_matrices(mu_q, logvar_q, mu_p, logvar_p):
    q, p = (MultivariateNormal(m.double(), s.double().exp().diag_embed()) for m, s in ((mu_q, logvar_q), (mu_p, logvar_p)))
    return kl_divergence(q, p)


@gaussian_kl_between.variant
def with_standard_deviations(mu_q, logvar_q, mu_p, logvar_p):
    std_q, std_p = torch.exp(logvar_q / 2), torch.exp(logvar_p / 2)
    return ((std_p / std_q).log() + (std_q**2 + (mu_q - mu_p) ** 2) / (2 * std_p**2) - 1 / 2).sum(-1)


# --- kl_monte_carlo -----------------------------------------------------------------------------------------------------------

kl_monte_carlo = Exercise("kl_monte_carlo")


@kl_monte_carlo.mistake(
    "This is the closed form: eps plays no part. Here you estimate: evaluate log q − log p at the samples z = mu + σ·eps, and average."
)
def closed_form(mu, logvar, eps):
    return reference("gaussian_kl")(mu, logvar)


@kl_monte_carlo.mistake(
    "You took q's entropy in closed form and sampled only log p. Evaluate both log densities at the same samples, as the text asks."
)
def half_closed_form(mu, logvar, eps):
    z = mu + (0.5 * logvar).exp() * eps
    return (0.5 * z.pow(2).mean(0) - 0.5 * (1 + logvar)).sum(1)


kl_monte_carlo.recurring(own_noise("eps"), logvar_as_log_std("logvar"), detached, in_bits)


kl_monte_carlo.edits("""
variance_times_noise: `(0.5 * logvar).exp() * eps` → `logvar.exp() * eps`
    You multiply the noise by the variance. A sample is mu + σ·eps, with σ = exp(½·logvar).
weighted_by_q: `(log_q - log_p).sum(dim=2)` → `(log_q - log_p).sum(dim=2) * log_q.sum(dim=2).exp()`
    You weight the samples with q(z). They come from q, which is how q weights them already: the plain mean is right.
""")


@kl_monte_carlo.mistake(
    "You give Normal the variance where it wants the standard deviation, exp(½·logvar), or divide by σ⁴ where σ² belongs."
)
def normal_with_variance(mu, logvar, eps):
    z = mu + (0.5 * logvar).exp() * eps
    return (Normal(mu, logvar.exp()).log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(2).mean(0)


kl_monte_carlo.edits("""
sign_reversed: `(log_q - log_p)` → `(log_p - log_q)`
    The sign is reversed: average log q − log p. Single samples may be negative, the average tends to the KL, which is
    not.
normalising_constant_of_q: `(eps.pow(2) + logvar + math.log(2 * math.pi))` → `(eps.pow(2) + math.log(2 * math.pi))`
    log q has lost its −½·log σ². That is part of the density of z (the density of eps doesn't have it), and it depends
    on logvar.
two_pi_in_one_only: `-0.5 * (z.pow(2) + math.log(2 * math.pi))` → `-0.5 * z.pow(2)`
    The ½·log 2π stands in only one of the two log densities, so it doesn't cancel. Write it in both, or in neither.
prior_at_the_noise: `z.pow(2)` → `eps.pow(2)`
    You evaluate the prior at eps. Both densities are evaluated at the same place, the sample z.
averaged_over_dimensions: `.sum(dim=2)` → `.mean(dim=2)`
    You average over the dimensions. The log density of D independent dimensions is a sum over D.
summed_over_samples: `.mean(dim=0)` → `.sum(dim=0)`
    You sum over the samples. An expectation is estimated by their mean: more samples make it sharper, not larger.
averaged_over_rows: `.sum(dim=2).mean(dim=0)` → `.sum(dim=2).mean(dim=1)`
    You average over the rows and keep the samples. eps is (K, N, D), samples first: average over dim 0, so that (N,) is
    left.
averaged_over_everything: `.sum(dim=2).mean(dim=0)` → `.sum(dim=2).mean()`
    You average over samples and rows. Each row keeps its own estimate: (N,).
samples_kept: `.sum(dim=2).mean(dim=0)` → `.sum(dim=2)`
    This is one value for each sample, (K, N). Average over the K samples.
first_sample_only: `.mean(dim=0)` → `[0]`
    Only the first sample counts. Average over all K.
sums_and_means_exchanged: `.sum(dim=2).mean(dim=0)` → `.mean(dim=2).sum(dim=0)`
    You average over the dimensions and sum over the samples. It is the other way round: log densities add up over D,
    and the expectation is a mean over K.
absolute_values: `(log_q - log_p).sum(dim=2)` → `(log_q - log_p).abs().sum(dim=2)`
    You take absolute values before you average. log q − log p may be negative at a sample; those savings belong into the
    mean.
no_scale: `(0.5 * logvar).exp() * eps` → `eps`
    Your samples are mu + eps: σ is missing. A sample of q is mu + σ·eps.
one_sample_less: `.mean(dim=0)` → `.sum(dim=0) / max(1, len(eps) - 1)`
    You divide by K − 1, as for a variance. A mean divides by K.
""")


@kl_monte_carlo.mistake("You use eps itself as z, which is a draw from the prior. z must come from q: mu + σ·eps.")
def samples_of_the_prior(mu, logvar, eps):
    return (Normal(mu, (0.5 * logvar).exp()).log_prob(eps) - Normal(0.0, 1.0).log_prob(eps)).sum(2).mean(0)


@kl_monte_carlo.mistake(
    "You evaluate log q at eps. Both densities are evaluated at the same place, the sample z = mu + σ·eps."
)
def posterior_at_the_noise(mu, logvar, eps):
    std = (0.5 * logvar).exp()
    return (Normal(mu, std).log_prob(eps) - Normal(0.0, 1.0).log_prob(mu + std * eps)).sum(2).mean(0)


@kl_monte_carlo.mistake(
    "You average the samples first and evaluate the densities once, at the mean. Evaluate them at each sample; the mean comes last."
)
def densities_at_the_mean_sample(mu, logvar, eps):
    std = (0.5 * logvar).exp()
    z = (mu + std * eps).mean(0)
    return (Normal(mu, std).log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(1)


@kl_monte_carlo.mistake("Your prior has q's standard deviation. p is N(0, I), whatever q is.")
def prior_as_wide_as_q(mu, logvar, eps):
    std = (0.5 * logvar).exp()
    z = mu + std * eps
    return (Normal(mu, std).log_prob(z) - Normal(0.0, std).log_prob(z)).sum(2).mean(0)


@kl_monte_carlo.mistake(
    "You take the log of a mean of ratios (logsumexp). The KL is the mean of the log ratios: the logarithm comes first."
)
def log_of_the_mean_ratio(mu, logvar, eps):
    z = mu + (0.5 * logvar).exp() * eps
    log_ratio = 0.5 * (z.pow(2) - eps.pow(2) - logvar).sum(2)
    return log_ratio.logsumexp(0) - math.log(len(eps))


@kl_monte_carlo.mistake(
    "The squares in your log densities have no ½: log N(z; 0, 1) holds −½z². The −½·logvar is as it should be."
)
def squares_not_halved(mu, logvar, eps):
    z = mu + (0.5 * logvar).exp() * eps
    return (z.pow(2) - eps.pow(2) - 0.5 * logvar).sum(2).mean(0)


@kl_monte_carlo.mistake(
    "The values are right, but mu and logvar are detached where log q is evaluated, so part of the gradient is lost. Detach them nowhere."
)
def posterior_detached(mu, logvar, eps):
    std = (0.5 * logvar).exp()
    z = mu + std * eps
    return (Normal(mu.detach(), std.detach()).log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(2).mean(0)


@kl_monte_carlo.mistake(
    "The samples z are cut off from mu and logvar (detach, no_grad, or .sample()), so part of the gradient is lost. "
    "Let it flow through z = mu + σ·eps too."
)
def samples_detached(mu, logvar, eps):
    std = (0.5 * logvar).exp()
    z = (mu + std * eps).detach()
    return (Normal(mu, std).log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(2).mean(0)


@kl_monte_carlo.mistake(
    "You turn eps itself into the samples, in place. The caller may use the noise again: write mu + σ * eps."
)
def noise_overwritten(mu, logvar, eps):
    std = (0.5 * logvar).exp()
    z = eps.mul_(std).add_(mu)
    return (Normal(mu, std).log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(2).mean(0)


@kl_monte_carlo.mistake(
    "You multiply densities over the dimensions and take the log at the end. With 200 dimensions the product is 0 in float32: "
    "add log densities instead."
)
def product_of_densities(mu, logvar, eps):
    std = (0.5 * logvar).exp()
    z = mu + std * eps
    q, p = Normal(mu, std).log_prob(z).exp().prod(2), Normal(0.0, 1.0).log_prob(z).exp().prod(2)
    return (q.log() - p.log()).mean(0)


@kl_monte_carlo.mistake(
    "You cut the estimate off at 0. It may well be negative: that is noise, and noise on one side only would make the average too large."
)
def cut_off_at_zero(mu, logvar, eps):
    return reference("kl_monte_carlo")(mu, logvar, eps).clamp(min=0)


kl_monte_carlo.recurring(
    half_forgotten, hint="This is twice the estimate: a Gaussian's log density has a ½ in front of its square and of log σ²."
)


@kl_monte_carlo.mistake("You subtract the whole logvar in log q. The normalising constant holds log σ, which is ½·logvar.")
def whole_logvar(mu, logvar, eps):
    z = mu + (0.5 * logvar).exp() * eps
    return (0.5 * (z.pow(2) - eps.pow(2)) - logvar).sum(2).mean(0)


@kl_monte_carlo.mistake(
    "This is the low-variance estimator of `kl_low_variance`. Here the plain one is asked for: the mean of log q − log p."
)
def other_estimator(mu, logvar, eps):
    return reference("kl_low_variance")(mu, logvar, eps)


@kl_monte_carlo.variant
def with_normal_log_prob(mu, logvar, eps):
    q, p = Normal(mu, (0.5 * logvar).exp()), Normal(torch.zeros_like(mu), torch.ones_like(mu))
    z = q.loc + q.scale * eps
    return torch.mean(q.log_prob(z).sum(-1) - p.log_prob(z).sum(-1), 0)


@kl_monte_carlo.variant
def with_full_covariance(mu, logvar, eps):
    mu, logvar, eps = mu.double(), logvar.double(), eps.double()
    q = MultivariateNormal(mu, logvar.exp().diag_embed())
    p = MultivariateNormal(torch.zeros_like(mu), torch.eye(mu.shape[1], dtype=mu.dtype))
    z = mu + torch.exp(logvar / 2) * eps
    return (q.log_prob(z) - p.log_prob(z)).mean(0)


@kl_monte_carlo.variant
def sample_by_sample(mu, logvar, eps):
    total = torch.zeros(len(mu))
    for noise in eps:
        z = torch.addcmul(mu, torch.sqrt(torch.exp(logvar)), noise)
        total += 0.5 * torch.einsum("nd->n", z**2 - noise**2 - logvar)
    return total / len(eps)


# --- kl_low_variance ----------------------------------------------------------------------------------------------------------

kl_low_variance = Exercise("kl_low_variance")


@kl_low_variance.mistake(
    "You take the ratio in each dimension and add up the D results. That is unbiased too, but it is another estimator: "
    "r is the ratio of the D-dimensional densities, so sum log r over D before you exponentiate."
)
def per_dimension_ratio(mu, logvar, eps):
    z = mu + (0.5 * logvar).exp() * eps
    log_r = 0.5 * (eps.pow(2) + logvar - z.pow(2))
    return (log_r.exp() - 1 - log_r).sum(2).mean(0)


@kl_low_variance.mistake(
    "This is the plain estimator of `kl_monte_carlo`. Add r − 1, whose expectation is zero, to each sample."
)
def plain_estimator(mu, logvar, eps):
    return reference("kl_monte_carlo")(mu, logvar, eps)


@kl_low_variance.mistake("This is the closed form: eps plays no part. Here you estimate from the samples z = mu + σ·eps.")
def exact(mu, logvar, eps):
    return reference("gaussian_kl")(mu, logvar)


@kl_low_variance.mistake(
    "Your r is upside down. It is p(z)/q(z); the samples come from q, and only then does r average to 1 "
    "and −log r to KL(q‖p)."
)
def ratio_upside_down(mu, logvar, eps):
    z = mu + (0.5 * logvar).exp() * eps
    log_r = 0.5 * (z.pow(2) - eps.pow(2) - logvar).sum(dim=2)
    return (log_r.exp() - 1 - log_r).mean(dim=0)


@kl_low_variance.mistake(
    "This is ½(log r)², which Schulman's note calls k₂: low in variance, and close, but biased. Asked for is (r − 1) − log r."
)
def half_square(mu, logvar, eps):
    z = mu + (0.5 * logvar).exp() * eps
    log_r = 0.5 * (eps.pow(2) + logvar - z.pow(2)).sum(dim=2)
    return 0.5 * log_r.pow(2).mean(dim=0)


@kl_low_variance.mistake(
    "You average r over the samples before taking its logarithm. Each sample gives its own (r − 1) − log r; the mean comes last."
)
def mean_too_early(mu, logvar, eps):
    z = mu + (0.5 * logvar).exp() * eps
    r = 0.5 * (eps.pow(2) + logvar - z.pow(2)).sum(dim=2)
    r = r.exp().mean(0)
    return r - 1 - r.log()


@kl_low_variance.mistake(
    "You average log r over the samples before you exponentiate. Each sample gives its own (r − 1) − log r; the mean comes last."
)
def mean_of_log_r_first(mu, logvar, eps):
    log_ratio = reference("kl_monte_carlo")(mu, logvar, eps)
    return (-log_ratio).exp() - 1 + log_ratio


kl_low_variance.recurring(own_noise("eps"), logvar_as_log_std("logvar"), detached, in_bits)


kl_low_variance.edits("""
minus_one_forgotten: `log_r.exp() - 1 - log_r` → `log_r.exp() - log_r`
    The −1 is missing. r averages to 1, so only r − 1 averages to 0; at q = p the estimate must be 0.
log_r_added: `log_r.exp() - 1 - log_r` → `log_r.exp() - 1 + log_r`
    The sign of log r is reversed: −log r is what estimates KL(q‖p).
whole_sign_reversed: `(log_r.exp() - 1 - log_r)` → `(log_r - log_r.exp() + 1)`
    The sign is reversed. No sample of this estimator is negative.
only_r_minus_one: `(log_r.exp() - 1 - log_r)` → `(log_r.exp() - 1)`
    This is r − 1 alone, which averages to zero whatever q is. The KL is in −log r.
noise_times_variance: `(0.5 * logvar).exp() * eps` → `logvar.exp() * eps`
    You multiply the noise by the variance. A sample is mu + σ·eps, with σ = exp(½·logvar).
no_log_determinant: `(eps.pow(2) + logvar - z.pow(2))` → `(eps.pow(2) - z.pow(2))`
    log q has lost its −½·log σ². That is part of the density of z, and it depends on logvar.
half_forgotten: `log_r = 0.5 * (` → `log_r = (`
    Your log r is twice too large: a log density has ½ in front of its square and of log σ².
mean_over_d: `.sum(dim=2)` → `.mean(dim=2)`
    You average log r over the dimensions. The log density of D independent dimensions is a sum over D.
sum_over_k: `.mean(dim=0)` → `.sum(dim=0)`
    You sum over the samples. An expectation is estimated by their mean: more samples make it sharper, not larger.
mean_over_n: `.mean(dim=0)` → `.mean(dim=1)`
    You average over the rows and keep the samples. eps is (K, N, D), samples first: average over dim 0, so that (N,) is
    left.
mean_over_all: `.mean(dim=0)` → `.mean()`
    You average over samples and rows. Each row keeps its own estimate: (N,).
k_kept: `.mean(dim=0)` → ``
    This is one value for each sample, (K, N). Average over the K samples.
ratio_upside_down_in_the_exponential: `log_r.exp() - 1` → `(-log_r).exp() - 1`
    You exponentiate −log r: that is q(z)/p(z), which does not average to 1 under q. r is p(z)/q(z), in both parts.
control_subtracted: `(log_r.exp() - 1 - log_r)` → `(1 - log_r.exp() - log_r)`
    You subtract r − 1 instead of adding it. Either is unbiased, but only (r − 1) − log r takes the scatter away.
halved: `(log_r.exp() - 1 - log_r)` → `0.5 * (log_r.exp() - 1 - log_r)`
    Your result is half the estimate. The ½ of the log densities is in log r; (r − 1) − log r has none of its own.
divided_by_dimensions: `.mean(dim=0)` → `.mean(dim=0) / mu.shape[1]`
    You divide by the number of dimensions. The KL of D independent dimensions is a sum.
ratio_squared: `log_r.exp() - 1` → `(2 * log_r).exp() - 1`
    You exponentiate 2·log r: that is r². The first part is r − 1.
no_scale: `(0.5 * logvar).exp() * eps` → `eps`
    Your samples are mu + eps: σ is missing. A sample of q is mu + σ·eps.
noise_taken_for_z: `z = mu + (0.5 * logvar).exp() * eps` → `z = eps`
    You use eps itself as z, which is a draw from the prior. Shift and scale it first: z = mu + σ·eps.
""")


@kl_low_variance.mistake(
    "The samples z are cut off from mu and logvar (detach, no_grad, or .sample()), so part of the gradient is lost. "
    "Let it flow through z = mu + σ·eps too."
)
def detached_samples(mu, logvar, eps):
    std = (0.5 * logvar).exp()
    z = (mu + std * eps).detach()
    log_r = (Normal(0.0, 1.0).log_prob(z) - Normal(mu, std).log_prob(z)).sum(2)
    return (log_r.exp() - 1 - log_r).mean(0)


@kl_low_variance.mistake(
    "The values are right, but mu and logvar are detached where log q is evaluated, so part of the gradient is lost. Detach them nowhere."
)
def posterior_detached(mu, logvar, eps):
    std = (0.5 * logvar).exp()
    z = mu + std * eps
    log_r = (Normal(0.0, 1.0).log_prob(z) - Normal(mu.detach(), std.detach()).log_prob(z)).sum(2)
    return (log_r.exp() - 1 - log_r).mean(0)


@kl_low_variance.mistake(
    "You add a small constant to r before the logarithm. Where r is smaller than that, log r is lost: use log r as it was before you exponentiate."
)
def constant_beside_the_ratio(mu, logvar, eps):
    z = mu + (0.5 * logvar).exp() * eps
    r = (0.5 * (eps.pow(2) + logvar - z.pow(2)).sum(2)).exp()
    return (r - 1 - (r + 1e-8).log()).mean(0)


@kl_low_variance.mistake(
    "The numbers are right, but r is cut off from the gradient. Both parts, r − 1 and log r, depend on mu and logvar: detach neither."
)
def detached_ratio(mu, logvar, eps):
    z = mu + (0.5 * logvar).exp() * eps
    log_r = 0.5 * (eps.pow(2) + logvar - z.pow(2)).sum(2)
    return (log_r.detach().exp() - 1 - log_r).mean(0)


@kl_low_variance.mistake(
    "You turn eps itself into the samples, in place. The caller may use the noise again: write mu + σ * eps."
)
def eps_overwritten(mu, logvar, eps):
    std = (0.5 * logvar).exp()
    z = eps.mul_(std).add_(mu)
    log_r = (Normal(0.0, 1.0).log_prob(z) - Normal(mu, std).log_prob(z)).sum(2)
    return (log_r.exp() - 1 - log_r).mean(0)


@kl_low_variance.mistake(
    "You divide one density by the other. With 200 dimensions both are 0 in float32, and 0/0 is NaN: "
    "get r by exponentiating log r, the difference of the log densities."
)
def quotient_of_densities(mu, logvar, eps):
    std = (0.5 * logvar).exp()
    z = mu + std * eps
    r = Normal(0.0, 1.0).log_prob(z).sum(2).exp() / Normal(mu, std).log_prob(z).sum(2).exp()
    return (r - 1 - r.log()).mean(0)


@kl_low_variance.mistake(
    "You clamp log r or r. The estimator is unbiased because of its rare large values: without them it is no longer one."
)
def clamped(mu, logvar, eps):
    std = (0.5 * logvar).exp()
    z = mu + std * eps
    log_r = (Normal(0.0, 1.0).log_prob(z) - Normal(mu, std).log_prob(z)).sum(2)
    return (log_r.clamp(max=10).exp() - 1 - log_r).mean(0)


@kl_low_variance.variant
def with_expm1(mu, logvar, eps):
    q, p = Independent(Normal(mu, (0.5 * logvar).exp()), 1), Independent(Normal(torch.zeros_like(mu), 1.0), 1)
    z = q.base_dist.loc + q.base_dist.scale * eps
    log_r = p.log_prob(z) - q.log_prob(z)
    return (torch.expm1(log_r) - log_r).mean(0)


@kl_low_variance.variant
def as_plain_estimate_plus_control(mu, logvar, eps):
    z = mu + torch.exp(logvar / 2) * eps
    log_ratio = (0.5 * (z**2 - eps**2) - 0.5 * logvar).sum(-1)
    return log_ratio.mean(0) + (torch.exp(-log_ratio) - 1.0).mean(0)


@kl_low_variance.variant
def in_float64_with_product_of_ratios(mu, logvar, eps):
    mu, logvar, eps = mu.double(), logvar.double(), eps.double()
    z = mu + logvar.exp().sqrt() * eps
    ratios = torch.exp(-0.5 * z**2 + 0.5 * (z - mu) ** 2 / logvar.exp() + 0.5 * logvar)
    r = ratios.prod(-1)
    return (r - 1 - ratios.log().sum(-1)).mean(0)


# --- both estimators: the samples, and what is averaged -------------------------------------------------------------------------

_TIMES_VARIANCE = "You multiply the noise by the variance. A sample is mu + σ·eps, with σ = exp(½·logvar)."
_TIMES_LOGVAR = "You multiply the noise by logvar itself. A sample is mu + σ·eps, with σ = exp(½·logvar)."
_NORMAL_WITH_VARIANCE = (
    "You give Normal the variance where it wants the standard deviation, exp(½·logvar), or divide by σ⁴ where σ² belongs."
)
_NORMAL_WITH_LOGVAR = "The square in log q is not divided by the variance. At its own sample, (z − μ)/σ is eps."


def _of_log_ratio(mu, logvar, eps, scale=None, scale_in_q=None):
    """log q(z) − log p(z), (K, N, D), at z = mu + scale · eps, with a q of standard deviation `scale_in_q`."""
    std = (0.5 * logvar).exp()
    z = mu + (std if scale is None else scale) * eps
    return Normal(mu, std if scale_in_q is None else scale_in_q).log_prob(z) - Normal(0.0, 1.0).log_prob(z)


def _plain(log_ratio):
    return log_ratio.sum(2).mean(0)


def _low_variance(log_ratio):
    log_r = -log_ratio.sum(2)
    return (log_r.exp() - 1 - log_r).mean(0)


def _name_slips_of_both(exercise, estimate):
    @exercise.mistake(_TIMES_VARIANCE)
    def variance_times_noise_at_z(mu, logvar, eps):
        return estimate(_of_log_ratio(mu, logvar, eps, scale=logvar.exp()))

    @exercise.mistake(_TIMES_LOGVAR)
    def logvar_times_noise_at_z(mu, logvar, eps):
        return estimate(_of_log_ratio(mu, logvar, eps, scale=logvar))

    @exercise.mistake(_TIMES_LOGVAR)
    def logvar_times_noise(mu, logvar, eps):
        return estimate(0.5 * ((mu + logvar * eps).pow(2) - eps.pow(2) - logvar))

    @exercise.mistake(_NORMAL_WITH_LOGVAR)
    def square_not_divided(mu, logvar, eps):
        std = (0.5 * logvar).exp()
        return estimate(0.5 * ((mu + std * eps).pow(2) - (std * eps).pow(2) - logvar))


_name_slips_of_both(kl_monte_carlo, _plain)
_name_slips_of_both(kl_low_variance, _low_variance)


@kl_low_variance.mistake(_NORMAL_WITH_VARIANCE)
def normal_with_variance_in_r(mu, logvar, eps):
    return _low_variance(_of_log_ratio(mu, logvar, eps, scale_in_q=logvar.exp()))


@kl_monte_carlo.mistake("You average log q alone, the negative entropy of q. The KL averages log q − log p.")
def log_q_only(mu, logvar, eps):
    return (-0.5 * (eps.pow(2) + logvar + math.log(2 * math.pi)) + 0 * mu).sum(2).mean(0)


@kl_monte_carlo.mistake("You average −log p alone, the cross-entropy. The KL averages log q − log p.")
def cross_entropy_only(mu, logvar, eps):
    return 0.5 * ((mu + (0.5 * logvar).exp() * eps).pow(2) + math.log(2 * math.pi)).sum(2).mean(0)


@kl_monte_carlo.mistake("You average log p alone. The KL averages log q − log p.")
def log_p_only(mu, logvar, eps):
    return -0.5 * ((mu + (0.5 * logvar).exp() * eps).pow(2) + math.log(2 * math.pi)).sum(2).mean(0)


@kl_monte_carlo.mistake("You subtract the densities. The KL averages the difference of their logarithms, log q − log p.")
def densities_subtracted(mu, logvar, eps):
    std = (0.5 * logvar).exp()
    z = mu + std * eps
    return (Normal(mu, std).log_prob(z).exp() - Normal(0.0, 1.0).log_prob(z).exp()).sum(2).mean(0)


@kl_monte_carlo.mistake(
    "You weight each dimension with its density q(z). The samples come from q, which is how q weights them already: the plain mean is right."
)
def each_dimension_weighted_by_q(mu, logvar, eps):
    std = (0.5 * logvar).exp()
    z = mu + std * eps
    log_q = Normal(mu, std).log_prob(z)
    return (log_q.exp() * (log_q - Normal(0.0, 1.0).log_prob(z))).sum(2).mean(0)


kl_low_variance.edits("""
one_added: `log_r.exp() - 1 - log_r` → `log_r.exp() + 1 - log_r`
    The 1 has the wrong sign: it is r − 1 that averages to 0. At q = p the estimate must be 0.
log_r_taken_for_r: `(log_r.exp() - 1 - log_r)` → `(log_r - 1 - log_r.log())`
    You take log r for r. It is a logarithm already, and may be negative: r is its exponential.
ratios_added_over_dimensions: `(log_r.exp() - 1 - log_r)` → `((0.5 * (eps.pow(2) + logvar - z.pow(2))).exp().sum(dim=2) - 1 - log_r)`
    You exponentiate in each dimension and then add up. The ratio of the D-dimensional densities is a product: sum log r
    over D before you exponentiate.
""")
