"""Lesson 02, the ELBO: what students get wrong, and other ways to be right."""

import math

import numpy as np
import sympy as sp
import torch
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from . import Exercise, reference
from .recurring import HINTS, detached, logvar_as_log_std, own_noise

HALF = sp.Rational(1, 2)
LOG_2PI = math.log(2 * math.pi)

# --- predictions --------------------------------------------------------------------------------------------------------------

predict_no_entropy = Exercise("predict_no_entropy")
predict_no_entropy.wrong_choices("""
posterior: a
    The entropy depends on v, so it does more than move the bound up or down: it is the only term that rewards width.
    What is left is an average of log p(x, z). How do you make an average of a function as large as possible?
prior: b
    log p(x|z) is still in log p(x, z), and it knows the image. What is missing is the reward for being spread out. Which
    q makes the average of a function as large as possible?
""")

predict_larger_elbo = Exercise("predict_larger_elbo")
predict_larger_elbo.wrong_choices("""
wide: a
    A covers the posterior, but much of its mass lies where the posterior has almost none, and log q − log p(z|x) is
    large there. The average is taken under q: an uncovered part of the posterior costs little, mass in the wrong place
    much.
shifted: c
    C has the right shape, but its right half lies where the posterior falls off fast. Compare with B: everywhere that B
    has mass, the posterior has some, too.
""")

predict_elbo_samples = Exercise("predict_elbo_samples")
predict_elbo_samples.wrong_choices("""
rises: a
    That would be so for the logarithm of the average weight. Here you average logarithms, and the expectation of an
    average is the expectation of one: the gap to log p(x) belongs to q, not to K.
falls: c
    One sample is no more optimistic than a hundred: each log weight has the same expectation, and so has their average.
""")

predict_diagonal = Exercise("predict_diagonal")
predict_diagonal.wrong_choices("""
marginal: a
    That is the q that matches each dimension's variance. But it puts much of its mass beside the narrow ridge of the
    posterior, and the average of log q − log p(z|x) is taken under q.
wider: c
    Covering is what the other direction of the KL would ask for. Here the average is taken under q, and mass outside the
    posterior is what costs.
""")

# --- derivation_1d ------------------------------------------------------------------------------------------------------------

derivation_1d = Exercise("derivation_1d", symbolic=True)


def _log_likelihood(mean_square, s2):
    return -sp.log(2 * sp.pi * s2) / 2 - mean_square / (2 * s2)


def _steps(x, m, v, s2, **wrong):
    """The right steps, but for those that `wrong` gives."""
    right = {
        "mean_square": (x - m) ** 2 + v,
        "log_likelihood": _log_likelihood((x - m) ** 2 + v, s2),
        "log_prior": -sp.log(2 * sp.pi) / 2 - (m**2 + v) / 2,
        "entropy": sp.log(2 * sp.pi * v) / 2 + HALF,
    }
    return tuple({**right, **wrong}.values())


@derivation_1d.mistake(
    "In steps 1 and 3 the variance is missing: the mean of a square is the square of the mean plus the variance v, for x − z and for z alike."
)
def variance_missing_everywhere(x, m, v, s2):
    log_prior = -sp.log(2 * sp.pi) / 2 - m**2 / 2
    return _steps(
        x, m, v, s2, mean_square=(x - m) ** 2, log_likelihood=_log_likelihood((x - m) ** 2, s2), log_prior=log_prior
    )


@derivation_1d.mistake(
    "Step 1 is right, and step 2 doesn't use it: there you put q's mean in place of z and forget that z varies. Use the whole mean square, with v."
)
def step_2_without_variance(x, m, v, s2):
    return _steps(x, m, v, s2, log_likelihood=_log_likelihood((x - m) ** 2, s2))


@derivation_1d.mistake(
    "In step 2 the mean square is divided by s2 where it must be 2·s2: the ½ in the exponent of a Gaussian is forgotten."
)
def step_2_half_forgotten(x, m, v, s2):
    return _steps(x, m, v, s2, log_likelihood=-sp.log(2 * sp.pi * s2) / 2 - ((x - m) ** 2 + v) / s2)


@derivation_1d.mistake(
    "In step 2 the ½ before the logarithm is forgotten: the normalising constant is 1/√(2π·s2), with a square root."
)
def step_2_root_forgotten(x, m, v, s2):
    return _steps(x, m, v, s2, log_likelihood=-sp.log(2 * sp.pi * s2) - ((x - m) ** 2 + v) / (2 * s2))


@derivation_1d.mistake(
    "In step 2 the normalising constant −½·log(2π·s2) is missing. All constants count here: without them nothing adds up to log p(x)."
)
def step_2_constant_missing(x, m, v, s2):
    return _steps(x, m, v, s2, log_likelihood=-((x - m) ** 2 + v) / (2 * s2))


@derivation_1d.mistake(
    "In step 2 you take s2 for a standard deviation and square it. s2 = s² is the variance already: it stands in the formula as it is."
)
def step_2_noise_squared(x, m, v, s2):
    return _steps(x, m, v, s2, log_likelihood=_log_likelihood((x - m) ** 2 + v, s2**2))


@derivation_1d.mistake("Step 2 has the wrong sign: a log density falls with the squared distance.")
def step_2_sign(x, m, v, s2):
    return _steps(x, m, v, s2, log_likelihood=-_log_likelihood((x - m) ** 2 + v, s2))


@derivation_1d.mistake(
    "In step 3 you average over the prior. log p(z) is the prior's, but z comes from q, in every term: E_q[z²] = m² + v, not 1."
)
def step_3_under_the_prior(x, m, v, s2):
    return _steps(x, m, v, s2, log_prior=-sp.log(2 * sp.pi) / 2 - HALF)


@derivation_1d.mistake("In step 3 the variance is missing: E_q[z²] is m² plus v.")
def step_3_without_variance(x, m, v, s2):
    return _steps(x, m, v, s2, log_prior=-sp.log(2 * sp.pi) / 2 - m**2 / 2)


@derivation_1d.mistake("In step 3 the ½ before E_q[z²] is forgotten.")
def step_3_half_forgotten(x, m, v, s2):
    return _steps(x, m, v, s2, log_prior=-sp.log(2 * sp.pi) / 2 - (m**2 + v))


@derivation_1d.mistake(
    "In step 3 the prior's normalising constant −½·log(2π) is missing. All constants count here, also those that cancel later."
)
def step_3_constant_missing(x, m, v, s2):
    return _steps(x, m, v, s2, log_prior=-(m**2 + v) / 2)


@derivation_1d.mistake(
    "Step 4 has the wrong sign: this is E_q[log q], and the entropy is minus that. A wider q has more entropy, so it must rise with v."
)
def step_4_sign(x, m, v, s2):
    return _steps(x, m, v, s2, entropy=-sp.log(2 * sp.pi * v) / 2 - HALF)


@derivation_1d.mistake(
    "In step 4 you have √v, the standard deviation, under the logarithm that already has its ½. ½·log(2πv): halved once, not twice."
)
def step_4_root_of_v(x, m, v, s2):
    return _steps(x, m, v, s2, entropy=sp.log(2 * sp.pi * sp.sqrt(v)) / 2 + HALF)


@derivation_1d.mistake("In step 4 the ½ is forgotten: the normalising constant of q is 1/√(2πv), with a square root.")
def step_4_half_forgotten(x, m, v, s2):
    return _steps(x, m, v, s2, entropy=sp.log(2 * sp.pi * v) + 1)


@derivation_1d.mistake("In step 4 the ½ before the logarithm is forgotten: log √(2πv) = ½·log(2πv).")
def step_4_root_forgotten(x, m, v, s2):
    return _steps(x, m, v, s2, entropy=sp.log(2 * sp.pi * v) + HALF)


@derivation_1d.mistake("In step 4 the average of (z − m)²/(2v) is lost. E_q[(z − m)²] = v, so it comes to ½, whatever q is.")
def step_4_lost_the_half(x, m, v, s2):
    return _steps(x, m, v, s2, entropy=sp.log(2 * sp.pi * v) / 2)


@derivation_1d.mistake(
    "In step 4 the average of (z − m)²/(2v) has the wrong sign: −log q has it with a plus, and it comes to +½."
)
def step_4_minus_half(x, m, v, s2):
    return _steps(x, m, v, s2, entropy=sp.log(2 * sp.pi * v) / 2 - HALF)


@derivation_1d.mistake("In step 4 the 2π is missing. All constants count here, also those that cancel later.")
def step_4_constant_missing(x, m, v, s2):
    return _steps(x, m, v, s2, entropy=sp.log(v) / 2 + HALF)


@derivation_1d.mistake(
    "You take v for a standard deviation and square it. v is the variance already: E_q[(z − m)²] = v, and q's constant is 1/√(2πv)."
)
def v_as_standard_deviation(x, m, v, s2):
    return _steps(x, m, v**2, s2)


@derivation_1d.mistake(
    "You take both v and s2 for standard deviations. They are variances already: no squares on them, anywhere."
)
def both_as_standard_deviations(x, m, v, s2):
    return _steps(x, m, v**2, s2**2)


@derivation_1d.mistake("You put √v where the variance belongs. v is the variance: no square root is needed on it.")
def root_of_v_everywhere(x, m, v, s2):
    return _steps(x, m, sp.sqrt(v), s2)


@derivation_1d.mistake(
    "Your steps are in bits: these are base-2 logarithms. sp.log with one argument is the natural one, for nats."
)
def in_bits(x, m, v, s2):
    mean_square, *logs = _steps(x, m, v, s2)
    return mean_square, *(term / sp.log(2) for term in logs)


@derivation_1d.mistake(
    "In step 2 the 2π is missing under the logarithm. All constants count here: without it nothing adds up to log p(x)."
)
def step_2_two_pi_missing(x, m, v, s2):
    return _steps(x, m, v, s2, log_likelihood=-sp.log(s2) / 2 - ((x - m) ** 2 + v) / (2 * s2))


@derivation_1d.mistake(
    "In step 2 the s2 under the logarithm is missing: the normalising constant is 1/√(2π·s2), and it depends on the noise."
)
def step_2_noise_missing_in_the_constant(x, m, v, s2):
    return _steps(x, m, v, s2, log_likelihood=-sp.log(2 * sp.pi) / 2 - ((x - m) ** 2 + v) / (2 * s2))


# Step 1 gone wrong alone or carried on into step 2: name, what it gives, hint.
_STEP_1 = (
    (
        "step_1_without_variance",
        lambda x, m, v, s2: (x - m) ** 2,
        "Step 1 lacks the variance: you squared the mean of x − z. z is still random, so E[(x − z)²] is the square of the mean plus the variance.",
    ),
    (
        "step_1_variance_subtracted",
        lambda x, m, v, s2: (x - m) ** 2 - v,
        "In step 1 you subtract the variance. A variance is never negative: Var[x − z] = Var[z] = v, and it is added.",
    ),
    (
        "step_1_variance_squared",
        lambda x, m, v, s2: (x - m) ** 2 + v**2,
        "In step 1 v is squared. v is the variance already: it is added as it is.",
    ),
    (
        "step_1_root_of_v",
        lambda x, m, v, s2: (x - m) ** 2 + sp.sqrt(v),
        "In step 1 you add √v, the standard deviation. What is added is the variance v.",
    ),
    (
        "step_1_variance_of_the_noise",
        lambda x, m, v, s2: (x - m) ** 2 + s2,
        "In step 1 you add s2, the variance of the noise. Here z is random, and its variance is v.",
    ),
    (
        "step_1_both_variances",
        lambda x, m, v, s2: (x - m) ** 2 + v + s2,
        "In step 1 you add s2 as well. The image x is given: only z is random, with the variance v.",
    ),
    (
        "step_1_variance_of_the_prior",
        lambda x, m, v, s2: (x - m) ** 2 + 1,
        "In step 1 you add 1, the variance of the prior. z comes from q, and its variance is v.",
    ),
    (
        "step_1_cross_term_lost",
        lambda x, m, v, s2: x**2 + m**2 + v,
        "In step 1 the term −2·x·m is lost: (x − z)² has −2·x·z in it, and the mean of z is m.",
    ),
)


def _add_slips_of_step_1():
    def slip(square, carried):
        def answer(*symbols):
            wrong = {"mean_square": square(*symbols)}
            if carried:
                wrong["log_likelihood"] = _log_likelihood(wrong["mean_square"], symbols[-1])
            return _steps(*symbols, **wrong)

        return answer

    for name, square, hint in _STEP_1:
        for suffix, carried in (("", True), ("_alone", False)):
            if name + suffix not in derivation_1d.mistakes:
                answer = slip(square, carried)
                answer.__name__ = name + suffix
                derivation_1d.mistake(hint)(answer)


_add_slips_of_step_1()


@derivation_1d.mistake(
    "In step 2 the normalising constant has the wrong sign: the density is divided by √(2π·s2), so its logarithm has −½·log(2π·s2)."
)
def step_2_constant_added(x, m, v, s2):
    return _steps(x, m, v, s2, log_likelihood=sp.log(2 * sp.pi * s2) / 2 - ((x - m) ** 2 + v) / (2 * s2))


@derivation_1d.mistake("In step 2 the variance of the Gaussian is v. p(x|z) has the variance s2; v is that of q.")
def step_2_variance_of_q(x, m, v, s2):
    return _steps(x, m, v, s2, log_likelihood=_log_likelihood((x - m) ** 2 + v, v))


@derivation_1d.mistake("In step 3 the prior has the variance s2. It is N(0, 1); s2 is the variance of the noise in x.")
def step_3_variance_of_the_noise(x, m, v, s2):
    return _steps(x, m, v, s2, log_prior=_log_likelihood(m**2 + v, s2))


@derivation_1d.mistake("In step 3 the prior has the variance v. It is N(0, 1); v is the variance of q.")
def step_3_variance_of_q(x, m, v, s2):
    return _steps(x, m, v, s2, log_prior=_log_likelihood(m**2 + v, v))


@derivation_1d.mistake(
    "In step 4 you have log v where ½·log v belongs: v is the variance, and the constant of q is 1/√(2πv)."
)
def step_4_log_of_v_not_halved(x, m, v, s2):
    return _steps(x, m, v, s2, entropy=sp.log(2 * sp.pi) / 2 + sp.log(v) + HALF)


@derivation_1d.mistake("In step 4 you add v/2. The average of (z − m)²/(2v) is v/(2v) = ½, whatever q is.")
def step_4_half_of_v(x, m, v, s2):
    return _steps(x, m, v, s2, entropy=sp.log(2 * sp.pi * v) / 2 + v / 2)


@derivation_1d.mistake(
    "Steps 2 and 3 have changed places: first E[log p(x|z)], the likelihood's, and then E[log p(z)], the prior's."
)
def steps_2_and_3_exchanged(x, m, v, s2):
    mean_square, log_likelihood, log_prior, entropy = _steps(x, m, v, s2)
    return mean_square, log_prior, log_likelihood, entropy


@derivation_1d.mistake(
    "In step 3 the variance v stands in the normalising constant. The prior is N(0, 1), so its constant is −½·log(2π); v comes in through E_q[z²] alone."
)
def step_3_constant_of_q(x, m, v, s2):
    return _steps(x, m, v, s2, log_prior=-sp.log(2 * sp.pi * v) / 2 - (m**2 + v) / 2)


@derivation_1d.mistake("In step 3 you have (x − m)². The prior's mean is 0 and x has no part in it: E_q[z²] = m² + v.")
def step_3_distance_to_the_image(x, m, v, s2):
    return _steps(x, m, v, s2, log_prior=-sp.log(2 * sp.pi) / 2 - ((x - m) ** 2 + v) / 2)


@derivation_1d.mistake(
    "Step 3 is minus the KL to the prior, which has the entropy in it already. Here E_q[log p(z)] alone is asked for."
)
def step_3_minus_kl(x, m, v, s2):
    return _steps(x, m, v, s2, log_prior=-(m**2 + v - 1 - sp.log(v)) / 2)


@derivation_1d.mistake("In step 4 you add 1. The average of (z − m)²/(2v) is v/(2v) = ½.")
def step_4_one_for_a_half(x, m, v, s2):
    return _steps(x, m, v, s2, entropy=sp.log(2 * sp.pi * v) / 2 + 1)


@derivation_1d.mistake(
    "In step 4 you average z² in the exponent. q's density has (z − m)² there, and the mean of that is v alone."
)
def step_4_square_of_z(x, m, v, s2):
    return _steps(x, m, v, s2, entropy=sp.log(2 * sp.pi * v) / 2 + (m**2 + v) / (2 * v))


def _checked_as_one_goes(implementation, done):
    """The first `done` steps of an answer, and None for the others."""
    return lambda *symbols: (*implementation(*symbols)[:done], *[None] * (4 - done))


def _add_unfinished_mistakes():
    """The same mistakes where a student checks before all steps are written, each way to go wrong so far once."""
    symbols = sp.symbols("x m v s2")
    known = [_steps(*symbols)[:done] for done in (1, 2, 3)]
    for name, (hint, make) in list(derivation_1d.mistakes.items()):
        for done in (1, 2, 3):
            steps = tuple(make()(*symbols))[:done]
            if steps not in known:
                known.append(steps)
                unfinished = _checked_as_one_goes(make(), done)
                unfinished.__name__ = f"{name}_after_{done}"
                derivation_1d.mistake(hint)(unfinished)


_add_unfinished_mistakes()


def _average(polynomial, z, m, v):
    """E_q of a polynomial of degree 2 in z, by the moments of q = N(m, v)."""
    return sum(c * {0: 1, 1: m, 2: m**2 + v}[power] for (power,), c in sp.Poly(sp.expand(polynomial), z).terms())


def _log_normal(y, mean, variance):
    return -((y - mean) ** 2) / (2 * variance) - sp.log(2 * sp.pi * variance) / 2


@derivation_1d.variant
def by_moments_of_a_polynomial(x, m, v, s2):
    z = sp.Symbol("z")
    averaged = ((x - z) ** 2, _log_normal(x, z, s2), _log_normal(z, 0, 1), -_log_normal(z, m, v))
    return [_average(term, z, m, v) for term in averaged]


@derivation_1d.mistake(HINTS["own_symbols"])
def own_symbols(*_):
    x, m, v, s2 = sp.symbols("x m v s2")
    square = sp.expand((x - m) ** 2) + v
    return (
        square,
        -0.5 * (sp.log(2) + sp.log(sp.pi) + sp.log(s2) + square / s2),
        -(m**2 + v + sp.log(2 * sp.pi)) / 2,
        sp.log(sp.sqrt(2 * sp.pi * sp.E * v)),
    )


@derivation_1d.variant
def by_moments(x, m, v, s2):
    from sympy.stats import E
    from sympy.stats import Normal as RandomNormal

    z = RandomNormal("z", m, sp.sqrt(v))
    square = E(x**2 - 2 * x * z + z**2)
    log_likelihood = -square / s2 / 2 - sp.log(sp.sqrt(2 * sp.pi * s2))
    return sp.Tuple(square, log_likelihood, -E(z**2) / 2 - sp.log(2 * sp.pi) / 2, HALF * (1 + sp.log(2 * v * sp.pi)))


# --- elbo_1d ------------------------------------------------------------------------------------------------------------------

elbo_1d = Exercise("elbo_1d", symbolic=True)


def _elbo(x, m, v, s2, **wrong):
    return sum(_steps(x, m, v, s2, **wrong)[1:])


@elbo_1d.mistake(
    "The entropy has the wrong sign. ELBO = E_q[log p(x, z) − log q(z)], and −E_q[log q] *is* the entropy: it is added."
)
def entropy_subtracted(x, m, v, s2):
    _, log_likelihood, log_prior, entropy = _steps(x, m, v, s2)
    return log_likelihood + log_prior - entropy


@elbo_1d.mistake("The entropy is missing: this is E_q[log p(x, z)] alone. With it, the best q would be a needle.")
def entropy_missing(x, m, v, s2):
    return _elbo(x, m, v, s2, entropy=0)


@elbo_1d.mistake(
    "The log prior is missing: the reconstruction and the entropy are there, and nothing holds q near the prior."
)
def prior_missing(x, m, v, s2):
    return _elbo(x, m, v, s2, log_prior=0)


@elbo_1d.mistake("This is only −KL(q‖p(z)): the reconstruction E_q[log p(x|z)] is missing.")
def reconstruction_missing(x, m, v, s2):
    return _elbo(x, m, v, s2, log_likelihood=0)


@elbo_1d.mistake("This is the reconstruction alone: log prior and entropy are missing.")
def reconstruction_alone(x, m, v, s2):
    return _elbo(x, m, v, s2, log_prior=0, entropy=0)


@elbo_1d.mistake("The KL to the prior is added. It is a cost: reconstruction *minus* KL, or plus log prior plus entropy.")
def kl_added(x, m, v, s2):
    _, log_likelihood, log_prior, entropy = _steps(x, m, v, s2)
    return log_likelihood - log_prior - entropy


@elbo_1d.mistake("The log prior has the wrong sign: it is part of log p(x, z) = log p(x|z) + log p(z), so it is added.")
def prior_subtracted(x, m, v, s2):
    _, log_likelihood, log_prior, entropy = _steps(x, m, v, s2)
    return log_likelihood - log_prior + entropy


@elbo_1d.mistake("This is minus the ELBO, the loss that training minimises. The ELBO itself is asked for.")
def minus_elbo(x, m, v, s2):
    return -_elbo(x, m, v, s2)


@elbo_1d.mistake(
    "This is E_q[(x − z)²] added in with the rest: your derivation has four pieces, and only the last three of them make the ELBO."
)
def first_piece_added(x, m, v, s2):
    return sum(_steps(x, m, v, s2))


@elbo_1d.mistake(
    "E_q[(x − z)²] stands where the expected log-likelihood belongs. The first piece is a step towards the second; the last three make the ELBO."
)
def first_piece_for_the_second(x, m, v, s2):
    mean_square, _, log_prior, entropy = _steps(x, m, v, s2)
    return mean_square + log_prior + entropy


@elbo_1d.mistake("The KL to the prior is there twice: it is ½·(m² + v − 1 − log v), with a ½ before all four terms.")
def kl_not_halved(x, m, v, s2):
    return _elbo(x, m, v, s2) - (m**2 + v - 1 - sp.log(v)) / 2


@elbo_1d.mistake("In the KL to the prior you take v for a standard deviation and square it. v is q's variance already.")
def v_squared_in_the_kl(x, m, v, s2):
    return _steps(x, m, v, s2)[1] - (m**2 + v**2 - 1) / 2 + sp.log(v)


@elbo_1d.mistake("You take v for a standard deviation and square it. v is q's variance already.")
def v_squared(x, m, v, s2):
    return _elbo(x, m, v**2, s2)


@elbo_1d.mistake("You put √v where q's variance belongs. v is the variance: no square root is needed on it.")
def root_of_v(x, m, v, s2):
    return _elbo(x, m, sp.sqrt(v), s2)


@elbo_1d.mistake("You take s2 for a standard deviation and square it. s2 = s² is the variance already.")
def s2_squared(x, m, v, s2):
    return _elbo(x, m, v, s2**2)


@elbo_1d.mistake("This is twice the ELBO: every log density of a Gaussian carries a ½.")
def twice(x, m, v, s2):
    return 2 * _elbo(x, m, v, s2)


@elbo_1d.mistake("In the entropy, √v stands under a logarithm that already has its ½: ½·log(2πv) is halved once, not twice.")
def root_of_v_in_the_entropy(x, m, v, s2):
    return _elbo(x, m, v, s2, entropy=sp.log(2 * sp.pi * sp.sqrt(v)) / 2 + HALF)


@elbo_1d.mistake("The ½ of the entropy's constant is lost: E_q[(z − m)²/(2v)] = ½, so H(q) = ½·log(2πv) + ½.")
def half_lost_in_the_entropy(x, m, v, s2):
    return _elbo(x, m, v, s2, entropy=sp.log(2 * sp.pi * v) / 2)


@elbo_1d.mistake("In the reconstruction, q's mean stands in place of z: E_q[(x − z)²] also has the variance v in it.")
def reconstruction_at_the_mean(x, m, v, s2):
    return _elbo(x, m, v, s2, log_likelihood=_log_likelihood((x - m) ** 2, s2))


@elbo_1d.mistake("In the log prior, v is missing: E_q[z²] is m² plus v.")
def prior_at_the_mean(x, m, v, s2):
    return _elbo(x, m, v, s2, log_prior=-sp.log(2 * sp.pi) / 2 - m**2 / 2)


@elbo_1d.mistake("The variance v is missing from both squares, E_q[(x − z)²] and E_q[z²]: you put q's mean in place of z.")
def both_at_the_mean(x, m, v, s2):
    energy = _log_likelihood((x - m) ** 2, s2) - sp.log(2 * sp.pi) / 2 - m**2 / 2
    return energy + sp.log(2 * sp.pi * v) / 2 + HALF


@elbo_1d.mistake(
    "The constant −½·log(2π·s2) of the likelihood is missing. It belongs to log p(x|z); without it the sum is no bound on log p(x)."
)
def likelihood_constant_missing(x, m, v, s2):
    return _elbo(x, m, v, s2, log_likelihood=-((x - m) ** 2 + v) / (2 * s2))


@elbo_1d.mistake(
    "A ½·log(2π) is lost or left over. The prior's and the entropy's cancel; the likelihood's stays: keep each one, and add."
)
def two_pi_of_the_likelihood_missing(x, m, v, s2):
    return _elbo(x, m, v, s2) + sp.log(2 * sp.pi) / 2


@elbo_1d.mistake("This is log p(x) itself, the number that the ELBO bounds. The ELBO depends on q, that is on m and v.")
def log_evidence(x, m, v, s2):
    return -sp.log(2 * sp.pi * (1 + s2)) / 2 - x**2 / (2 * (1 + s2))


@elbo_1d.mistake("This counts in bits: these are base-2 logarithms. sp.log with one argument is the natural one, for nats.")
def elbo_in_bits(x, m, v, s2):
    return _elbo(x, m, v, s2) / sp.log(2)


@elbo_1d.mistake(
    "The constants that don't depend on q are missing. All of them count: without them the sum is no bound on log p(x)."
)
def all_constants_missing(x, m, v, s2):
    return -((x - m) ** 2 + v) / (2 * s2) - (m**2 + v) / 2 + sp.log(v) / 2


@elbo_1d.mistake("The ½ before log v is lost: H(q) = ½·log(2πv) + ½.")
def log_of_v_without_half(x, m, v, s2):
    return _elbo(x, m, v, s2) + sp.log(v) / 2


@elbo_1d.mistake("The entropy counts twice: the KL to the prior has it in it already, as minus H(q).")
def entropy_twice(x, m, v, s2):
    return _elbo(x, m, v, s2) + sp.log(2 * sp.pi * v) / 2 + HALF


@elbo_1d.variant
def average_of_the_log_weight(x, m, v, s2):
    z = sp.Symbol("z", real=True)
    return _average(_log_normal(x, z, s2) + _log_normal(z, 0, 1) - _log_normal(z, m, v), z, m, v)


@elbo_1d.variant
def reconstruction_minus_kl(x, m, v, s2):
    kl = (m**2 + v - 1 - sp.log(v)) / 2
    return -0.5 * sp.log(2 * sp.pi * s2) - (x**2 - 2 * x * m + m**2 + v) / (2 * s2) - kl


@elbo_1d.variant
def evidence_minus_gap(x, m, v, s2):
    mean, variance = x / (1 + s2), s2 / (1 + s2)
    gap = ((m - mean) ** 2 + v) / (2 * variance) - HALF + sp.log(variance / v) / 2
    return -sp.log(2 * sp.pi * (1 + s2)) / 2 - x**2 / (2 * (1 + s2)) - gap


@elbo_1d.mistake(HINTS["own_symbols"])
def own_symbols_in_the_bound(*_):
    x, m, v, s2 = sp.symbols("x m v s2", positive=True)
    return sp.simplify(_elbo(x, m, v, s2))


# --- best_q_1d ----------------------------------------------------------------------------------------------------------------

best_q_1d = Exercise("best_q_1d", symbolic=True)


@best_q_1d.mistake("Mean and variance are in the wrong order: (m, v), the mean first.")
def swapped(x, s2):
    return s2 / (1 + s2), x / (1 + s2)


@best_q_1d.mistake("The second one is a standard deviation. q is given by its variance v.")
def standard_deviation(x, s2):
    return x / (1 + s2), sp.sqrt(s2 / (1 + s2))


@best_q_1d.mistake(
    "This is the q that follows the image alone, as if there were no prior. Log prior pulls m towards 0 and adds to the slope in v."
)
def no_prior(x, s2):
    return x, s2


@best_q_1d.mistake("The mean is right; in the slope of v, the log prior's part is missing: −½, from −v/2.")
def variance_without_prior(x, s2):
    return x / (1 + s2), s2


@best_q_1d.mistake("The variance is right; in the slope of m, the log prior's part is missing: −m, from −m²/2.")
def mean_without_prior(x, s2):
    return x, s2 / (1 + s2)


@best_q_1d.mistake(
    "The mean is right; the variance is the prior's. In the slope of v, the reconstruction's part is missing: −1/(2·s2)."
)
def variance_of_the_prior(x, s2):
    return x / (1 + s2), sp.Integer(1)


@best_q_1d.mistake("This is the prior, (0, 1). The image has something to say, too: the reconstruction pulls m towards x.")
def the_prior(x, s2):
    return sp.Integer(0), sp.Integer(1)


@best_q_1d.mistake("The second one is 1/v, the precision 1 + 1/s2. Precisions add up; the variance is one over their sum.")
def precision(x, s2):
    return x / (1 + s2), 1 + 1 / s2


@best_q_1d.mistake("The weights of the mean are swapped: the smaller the noise s2, the nearer is m to x.")
def weights_swapped(x, s2):
    return x * s2 / (1 + s2), s2 / (1 + s2)


@best_q_1d.mistake("1 + s2 is the variance of x under the model, p(x) = N(0, 1 + s2). Asked for is that of z under q.")
def variance_of_x(x, s2):
    return x / (1 + s2), 1 + s2


@best_q_1d.mistake("You take s2 for a standard deviation and square it. s2 = s² is the variance already.")
def noise_squared(x, s2):
    return x / (1 + s2**2), s2**2 / (1 + s2**2)


@best_q_1d.mistake("You take the square root of s2. s2 = s² is the variance, and that is what stands in the slopes.")
def root_of_the_noise(x, s2):
    return x / (1 + sp.sqrt(s2)), sp.sqrt(s2) / (1 + sp.sqrt(s2))


@best_q_1d.mistake(
    "These are mean and variance of x under the model, p(x) = N(0, 1 + s2). Asked for are those of z under the best q, once x is known."
)
def mean_and_variance_of_x(x, s2):
    return sp.Integer(0), 1 + s2


@best_q_1d.mistake("Both m and v have s2 − 1 below the line, where 1 + s2 belongs: look at the signs in the two slopes.")
def prior_pulls_backwards(x, s2):
    return x / (s2 - 1), s2 / (s2 - 1)


@best_q_1d.mistake(
    "The variance is 0: that maximises E_q[log p(x, z)] without the entropy. With the entropy, the slope in v has a 1/(2v), which forbids 0."
)
def needle(x, s2):
    return x / (1 + s2), sp.Integer(0)


@best_q_1d.mistake(
    "The variance is off by a factor of 2: ½·log v has the slope 1/(2v), with the same ½ as the other two terms."
)
def twice_the_variance(x, s2):
    return x / (1 + s2), 2 * s2 / (1 + s2)


@best_q_1d.mistake("The mean has the wrong sign: the reconstruction pulls m towards x.")
def mean_negative(x, s2):
    return -x / (1 + s2), s2 / (1 + s2)


@best_q_1d.mistake(
    "The mean is right. The variance is 1/(1 + s2), and that is the weight of x in the mean: check the slope in v."
)
def weight_as_variance(x, s2):
    return x / (1 + s2), 1 / (1 + s2)


@best_q_1d.mistake("The log prior has the wrong sign in both slopes: it pulls m towards 0, and makes q narrower.")
def prior_pushes_away(x, s2):
    return x / (1 - s2), s2 / (1 - s2)


@best_q_1d.mistake("The second one is log v. Asked for is the variance itself.")
def log_variance(x, s2):
    return x / (1 + s2), sp.log(s2 / (1 + s2))


@best_q_1d.variant
def by_precisions(x, s2):
    total = 1 + 1 / s2
    return [x / s2 / total, 1 / total]


@best_q_1d.variant
def by_newton(x, s2):
    m, v = sp.symbols("m v", positive=True)
    slope = sp.diff(_elbo(x, m, v, s2), m)
    mean = sp.simplify(-slope.subs(m, 0) / sp.diff(slope, m))
    return sp.Matrix([mean, sp.solve(sp.diff(_elbo(x, m, v, s2), v), v)[0]])


@best_q_1d.variant
def by_completing_the_square(x, s2):
    z = sp.Symbol("z")
    exponent = sp.Poly(sp.expand(-(z**2) / 2 - (x - z) ** 2 / (2 * s2)), z)
    a, b, _ = exponent.all_coeffs()
    return -b / (2 * a), -1 / (2 * a)


@best_q_1d.mistake(HINTS["own_symbols"])
def own_symbols_for_the_best(*_):
    x, s2 = sp.symbols("x s2")
    return x / (1 + s2), s2 / (1 + s2)


@best_q_1d.mistake(
    "That is what `sp.solve` returns, a list of solutions. Take m and v out of it: two expressions are asked for."
)
def what_solve_returns(x, s2):
    return [(x / (1 + s2), s2 / (1 + s2))]


@best_q_1d.mistake(
    "That is a dictionary, as `sp.solve(…, dict=True)` makes them. Look m and v up in it: two expressions are asked for."
)
def a_solution_as_a_dictionary(x, s2):
    return {sp.Symbol("m", real=True): x / (1 + s2), sp.Symbol("v", positive=True): s2 / (1 + s2)}


# --- expected_log_likelihood --------------------------------------------------------------------------------------------------

expected_log_likelihood = Exercise("expected_log_likelihood")
expected_log_likelihood.edits("""
log_likelihood_at_the_mean: `residual.pow(2).sum(dim=1) + spread` → `residual.pow(2).sum(dim=1)`
    This is log p(x | z = mu). z varies around mu, and that costs: add the variances times the squared lengths of W's
    columns.
std_for_variance: `logvar.exp() @` → `logvar.mul(0.5).exp() @`
    You use the standard deviation exp(½·logvar) where q's variance exp(logvar) belongs.
logvar_as_log_std: `logvar.exp() @` → `logvar.mul(2).exp() @`
    You read logvar as log of the standard deviation. It is the log of the variance: v = exp(logvar).
logvar_as_variance: `logvar.exp() @` → `logvar @`
    logvar itself stands where the variance belongs: exponentiate it first.
constant_missing: `constant + (` → `(`
    The normalising constant −P/2·log(2πσ²) is missing. It doesn't move the best q, but without it nothing adds up to log
    p(x).
two_pi_missing: `math.log(2 * math.pi * variance)` → `math.log(variance)`
    The 2π is missing from the normalising constant: all constants count.
noise_missing_in_constant: `math.log(2 * math.pi * variance)` → `math.log(2 * math.pi)`
    σ is missing from the normalising constant: −P/2·log(2πσ²).
constant_of_one_pixel: `model.data_dim * ` → ``
    The normalising constant is there once. Each of the P pixels has one: P/2·log(2πσ²).
constant_times_latents: `model.data_dim * ` → `model.latent_dim * `
    The normalising constant is counted once for each latent dimension. x has P pixels: P/2·log(2πσ²).
sigma_not_squared: `model.sigma**2` → `model.sigma`
    You use model.sigma as a variance. It is a standard deviation: square it.
half_forgotten: `-0.5 * (constant` → `-(constant`
    This is twice what it should be: the ½ of the Gaussian's exponent and of its normalising constant is missing.
wrong_sign: `-0.5` → `0.5`
    The sign is reversed: a log-likelihood falls with the squared distance.
log_of_sigma_in_the_constant: `math.log(2 * math.pi * variance)` → `math.log(2 * math.pi * model.sigma)`
    In the normalising constant you have σ under the logarithm. It is −P/2·log(2πσ²), with the variance.
sigma_not_squared_under_the_squares: `+ spread) / variance` → `+ spread) / model.sigma`
    The squares are divided by 2σ. The exponent of a Gaussian has its variance there: 2σ².
multiplied_by_the_variance: `+ spread) / variance` → `+ spread) * variance`
    The squares are multiplied by σ². Python reads a / 2 * σ**2 as (a / 2)·σ²: brackets round 2 * σ**2.
constant_not_halved: `constant = model.data_dim` → `constant = 2 * model.data_dim`
    The ½ before the logarithm is forgotten: each pixel has −½·log(2πσ²), so that the constant is −P/2·log(2πσ²).
constant_added: `-0.5 * (constant +` → `-0.5 * (-constant +`
    The normalising constant has the wrong sign. The density is divided by √(2πσ²), so its logarithm has −½·log(2πσ²), P times.
constant_times_rows: `model.data_dim * ` → `len(x) * `
    The normalising constant is counted once for each row. len(x) is N, the number of images; each image has P pixels, x.shape[1].
two_pi_of_one_pixel: `model.data_dim * math.log(2 * math.pi * variance)` → `model.data_dim * math.log(variance) + math.log(2 * math.pi)`
    The 2π is counted once. Each of the P pixels has its own: P/2·log(2π).
every_variance_with_every_weight: `logvar.exp() @ model.weight.pow(2).sum(dim=0)` → `logvar.exp().sum(dim=1) * model.weight.pow(2).sum()`
    You multiply the sum of the variances by the sum of all squared weights. Each variance belongs to its own column of W.
lengths_of_rows: `model.weight.pow(2).sum(dim=0)` → `model.weight.pow(2).sum(dim=1)`
    You sum W's squares along its rows, which gives a number for each pixel. Each latent dimension has a column of W: sum over the
    pixels, dim=0.
variances_squared_too: `logvar.exp() @ model.weight.pow(2).sum(dim=0)` → `(logvar.exp() @ model.weight.T).pow(2).sum(dim=1)`
    You square the variances along with W. Var[W_pd·z_d] = W_pd²·v_d: W is squared, v is not.
weight_not_transposed: `mu @ model.weight.T` → `mu @ model.weight`
    W, (P, D), is not transposed. The rows of mu are latent vectors, (N, D): mu @ W.T has the shape (N, P).
squares_summed_over_rows: `residual.pow(2).sum(dim=1)` → `residual.pow(2).sum(dim=0)`
    You sum the squared errors over the rows, dim=0, so that the images are mixed. Sum over the pixels of each image, dim=1.
bias_forgotten: `x - model.bias - mu` → `x - mu`
    The bias b is missing: the mean of x given z is Wz + b.
summed_over_rows: `return -0.5 * (constant + (residual.pow(2).sum(dim=1) + spread) / variance)` → `return (-0.5 * (constant + (residual.pow(2).sum(dim=1) + spread) / variance)).sum()`
    You sum over the rows. Each image keeps its own number: (N,).
averaged_over_rows: `return -0.5 * (constant + (residual.pow(2).sum(dim=1) + spread) / variance)` → `return (-0.5 * (constant + (residual.pow(2).sum(dim=1) + spread) / variance)).mean()`
    You average over the rows. Each image keeps its own number: (N,).
mean_over_pixels: `residual.pow(2).sum(dim=1)` → `residual.pow(2).mean(dim=1)`
    You average the squared errors over the pixels. Log densities of independent pixels add up: sum over P.
spread_not_divided: `(residual.pow(2).sum(dim=1) + spread) / variance` → `residual.pow(2).sum(dim=1) / variance + spread`
    Only the squared distance is divided by σ². The spread of z is part of the same average, so it is divided, too.
square_of_the_sum: `model.weight.pow(2).sum(dim=0)` → `model.weight.sum(dim=0).pow(2)`
    You square the sums of W's columns. The squared length of a column is the sum of its squares: square first, then sum.
spread_subtracted: `.sum(dim=1) + spread` → `.sum(dim=1) - spread`
    The spread of z has the wrong sign. That z varies makes the squared error larger: it is added to the squared distance.
bias_added: `x - model.bias - mu` → `x + model.bias - mu`
    The bias b has the wrong sign: what is squared is x minus the mean Wz + b.
bias_twice: `x - model.bias - mu` → `x - 2 * model.bias - mu`
    The bias b is subtracted twice: the mean of x given z is Wz + b, with b once.
lengths_of_columns: `model.weight.pow(2).sum(dim=0)` → `model.weight.pow(2).sum(dim=0).sqrt()`
    The variances are weighted with the lengths of W's columns. It is the squared lengths.
weight_not_squared: `model.weight.pow(2).sum(dim=0)` → `model.weight.sum(dim=0)`
    The variances are weighted with W itself. Var[W_pd·z_d] has W_pd squared.
distance_not_squared: `residual.pow(2).sum(dim=1)` → `residual.pow(2).sum(dim=1).sqrt()`
    The distance between x and its mean is not squared: a Gaussian's exponent has the squared distance.
spread_twice: `+ spread)` → `+ 2 * spread)`
    The spread of z counts twice: the ½ of the Gaussian's exponent stands before the squared distance and the spread alike.
spread_of_all_rows: `+ spread)` → `+ spread.sum())`
    The spread is summed over the rows. Each image has its own.
half_of_the_square_missing: `-0.5 * (constant + (residual.pow(2).sum(dim=1) + spread) / variance)` → `-0.5 * constant - (residual.pow(2).sum(dim=1) + spread) / variance`
    The ½ before the squares is forgotten: the exponent of a Gaussian is −(…)²/(2σ²).
spread_averaged: `model.weight.pow(2).sum(dim=0)` → `model.weight.pow(2).mean(dim=0)`
    You average the squares in each column of W over the pixels. The squared length of a column is their sum.
spread_averaged_over_latents: `.sum(dim=1) + spread` → `.sum(dim=1) + spread / model.latent_dim`
    You average the spread over the latent dimensions. Each of them adds its own: the spread is their sum.
spread_as_it_is: `-0.5 * (constant + (residual.pow(2).sum(dim=1) + spread) / variance)` → `-0.5 * (constant + residual.pow(2).sum(dim=1) / variance) - spread`
    The spread is subtracted as it is. It is part of the averaged square, so it is divided by 2σ², too.
""")
expected_log_likelihood.recurring(detached)


@expected_log_likelihood.mistake(
    "You add the variances of z without W. The decoder multiplies z by W: weight each variance with the squared length of its column."
)
def spread_without_weight(model, x, mu, logvar):
    at_mean = reference("expected_log_likelihood")(model, x, mu, torch.full_like(logvar, -math.inf))
    return at_mean - logvar.exp().sum(1) / (2 * model.sigma**2)


@expected_log_likelihood.mistake(
    "You square the sum over d, Σ_d W_pd·√v_d, and so keep the products of different dimensions. They average to zero: square first, then add."
)
def cross_products_kept(model, x, mu, logvar):
    at_mean = reference("expected_log_likelihood")(model, x, mu, torch.full_like(logvar, -math.inf))
    return at_mean - ((0.5 * logvar).exp() @ model.weight.T).pow(2).sum(1) / (2 * model.sigma**2)


@expected_log_likelihood.mistake(
    "You add the spread of z to the noise's variance. That is log p(x) with z averaged out *before* the logarithm, pixel by pixel. Here log p(x|z) is "
    "averaged: its variance is σ², and the spread comes in through the mean of the square."
)
def spread_in_the_variance(model, x, mu, logvar):
    variance = model.sigma**2 + logvar.exp() @ model.weight.pow(2).T
    return Normal(mu @ model.weight.T + model.bias, variance.sqrt()).log_prob(x).sum(1)


@expected_log_likelihood.mistake(
    "You sum W's squares along its rows, which gives a number for each pixel. Each latent dimension has a column of W: sum over the pixels, dim=0."
)
def lengths_of_rows_entry_by_entry(model, x, mu, logvar):
    at_mean = reference("expected_log_likelihood")(model, x, mu, torch.full_like(logvar, -math.inf))
    return at_mean - (logvar.exp() * model.weight.pow(2).sum(1)).sum(1) / (2 * model.sigma**2)


@expected_log_likelihood.mistake("You draw samples. There is a closed form, and the same call must give the same number.")
def sampled(model, x, mu, logvar):
    z = mu + (0.5 * logvar).exp() * torch.randn(10, *mu.shape)
    return Normal(z @ model.weight.T + model.bias, model.sigma).log_prob(x).sum(2).mean(0)


@expected_log_likelihood.mistake(
    "The result carries an extra dimension: (N, 1) where (N,) is asked for. Is there a keepdim too many?"
)
def column(model, x, mu, logvar):
    return reference("expected_log_likelihood")(model, x, mu, logvar)[:, None]


@expected_log_likelihood.variant
def by_expanded_trace(model, x, mu, logvar):
    second_moment = torch.diag_embed(logvar.exp()) + mu[:, :, None] * mu[:, None, :]  # E[z zᵀ], (N, D, D)
    centred = x - model.bias
    cross = torch.einsum("np,pd,nd->n", centred, model.weight, mu)
    gram = model.weight.T @ model.weight
    square = (centred**2).sum(-1) - 2 * cross + torch.einsum("de,nde->n", gram, second_moment)
    return -square / (2 * model.sigma**2) - x.shape[1] * (math.log(model.sigma) + LOG_2PI / 2)


@expected_log_likelihood.variant
def row_by_row_in_float64(model, x, mu, logvar):
    weight, bias = model.weight.double(), model.bias.double()
    rows = []
    for image, mean, variance in zip(x.double(), mu.double(), logvar.double().exp(), strict=True):
        total = 0.0
        for p in range(model.data_dim):
            mean_square = (image[p] - bias[p] - weight[p] @ mean) ** 2 + (weight[p] ** 2 * variance).sum()
            total = total - 0.5 * math.log(2 * math.pi * model.sigma**2) - mean_square / (2 * model.sigma**2)
        rows.append(total)
    return torch.stack(rows)


@expected_log_likelihood.variant
def by_log_prob_and_a_correction(model, x, mu, logvar):
    at_mean = Independent(Normal(mu @ model.weight.T + model.bias, model.sigma), 1).log_prob(x)
    scaled = model.weight * (0.5 * logvar).exp()[:, None, :] / model.sigma  # (N, P, D)
    return at_mean - 0.5 * scaled.square().sum((1, 2))


@expected_log_likelihood.variant
def by_sigma_points(model, x, mu, logvar):
    def log_likelihood(z):
        return MultivariateNormal(model.bias, model.sigma**2 * torch.eye(model.data_dim)).log_prob(x - z @ model.weight.T)

    steps = (0.5 * logvar).exp()[:, None, :] * torch.eye(model.latent_dim)  # (N, D, D): √v_d along each axis
    centre = log_likelihood(mu)
    sides = [
        log_likelihood(mu + steps[:, d]) + log_likelihood(mu - steps[:, d]) - 2 * centre for d in range(model.latent_dim)
    ]
    return centre + sum(sides) / 2


# --- elbo ---------------------------------------------------------------------------------------------------------------------

elbo = Exercise("elbo")
elbo.edits("""
kl_added: `+ minus_kl` → `- minus_kl`
    The KL to the prior is added. It is a cost: reconstruction *minus* KL.
reconstruction_alone: ` + minus_kl` → ``
    This is the reconstruction alone. The log prior and q's entropy are missing.
reconstruction_missing: `expected_log_likelihood(model, x, mu, logvar) + minus_kl` → `minus_kl`
    This is only minus the KL to the prior: the expected log-likelihood is missing.
half_forgotten: `0.5 * (1 + logvar` → `(1 + logvar`
    Log prior and entropy are there twice: each of them carries a ½.
entropy_constant_missing: `(1 + logvar` → `(logvar`
    The ½ of each dimension's entropy is missing: E_q[(z − μ)²/(2v)] = ½, so H(q) = ½·log(2πv) + ½ in each dimension.
entropy_constant_once: `(1 + logvar - mu.pow(2) - logvar.exp()).sum(dim=1)` → `(1 + (logvar - mu.pow(2) - logvar.exp()).sum(dim=1))`
    The 1 stands outside the sum over the latent dimensions. Each of the D dimensions has one.
entropy_constant_subtracted: `(1 + logvar` → `(-1 + logvar`
    The 1 has the wrong sign. The entropy of each dimension has +½ in it, so the KL to the prior has −½.
log_variance_subtracted: `1 + logvar -` → `1 - logvar -`
    `logvar` has the wrong sign. The entropy has +½·logvar in it: a wider q has more.
half_on_the_mean_alone: `0.5 * (1 + logvar - mu.pow(2) - logvar.exp())` → `(1 + logvar - 0.5 * mu.pow(2) - logvar.exp())`
    Only mu² is halved. The ½ stands before all four terms: brackets round them.
logvar_as_variance_in_the_prior: `- logvar.exp())` → `- logvar)`
    logvar itself stands where the variance belongs in the log prior: E_q[z²] is μ² plus exp(logvar).
logvar_as_variance: `(1 + logvar - mu.pow(2) - logvar.exp())` → `(1 + logvar.log() - mu.pow(2) - logvar)`
    You take `logvar` for the variance, and its logarithm for log v. The variance is exp(logvar), and log v is logvar itself.
kl_summed_over_rows: `.sum(dim=1)` → `.sum(dim=0)`
    You sum log prior and entropy over the rows, dim=0. Each image keeps its own: sum over the latent dimensions, dim=1.
kl_not_summed: `.sum(dim=1)` → ``
    Log prior and entropy are not summed: they still have a number for each latent dimension, (N, D). Sum over D, dim=1.
std_for_variance: `logvar.exp()` → `logvar.mul(0.5).exp()`
    In the log prior you add the standard deviation exp(½·logvar). E_q[z²] is μ² plus the variance exp(logvar).
prior_at_the_mean: ` - logvar.exp()` → ``
    In the log prior the variance is missing: E_q[z²] is μ² plus exp(logvar).
prior_without_mean: ` - mu.pow(2)` → ``
    In the log prior the mean is missing: E_q[z²] is μ² plus exp(logvar).
mu_not_squared: `mu.pow(2)` → `mu`
    μ stands without its square in the log prior: E_q[z²] is μ² plus exp(logvar).
mean_over_dimensions: `.sum(dim=1)` → `.mean(dim=1)`
    You average log prior and entropy over the latent dimensions. Independent dimensions add up: sum over D.
entropy_subtracted: `1 + logvar -` → `-1 - logvar -`
    The entropy has the wrong sign: ELBO = E_q[log p(x, z)] + H(q). A wider q has more entropy, and that counts in its
    favour.
entropy_missing: `1 + logvar - mu.pow(2) - logvar.exp()` → `-mu.pow(2) - logvar.exp() - math.log(2 * math.pi)`
    The entropy of q is missing: this is E_q[log p(x, z)] alone, and a needle would maximise it.
prior_missing: `1 + logvar - mu.pow(2) - logvar.exp()` → `1 + logvar + math.log(2 * math.pi)`
    The log prior is missing: reconstruction plus entropy, and nothing holds q near the prior.
entropy_without_half: `1 + logvar -` → `1 + 2 * logvar -`
    In the entropy the ½ before logvar is lost: H(q) = ½·log(2πv) + ½, and log v is logvar.
entropy_halved_twice: `1 + logvar -` → `1 + 0.5 * logvar -`
    In the entropy logvar is halved twice: H(q) = ½·log(2πv) + ½ with the variance v under the logarithm, and log v is
    logvar.
two_pi_left_over: `1 + logvar -` → `1 + logvar + math.log(2 * math.pi) -`
    A ½·log(2π) is left over in each latent dimension. The entropy has one and the log prior has one with the other sign.
two_pi_lost: `1 + logvar -` → `1 + logvar - math.log(2 * math.pi) -`
    A ½·log(2π) is missing in each latent dimension. The log prior has one and the entropy has one with the other sign.
averaged_over_rows: `return expected_log_likelihood(model, x, mu, logvar) + minus_kl` → `return (expected_log_likelihood(model, x, mu, logvar) + minus_kl).mean()`
    You average over the rows. Each image keeps its own ELBO: (N,).
summed_over_rows: `return expected_log_likelihood(model, x, mu, logvar) + minus_kl` → `return (expected_log_likelihood(model, x, mu, logvar) + minus_kl).sum()`
    You sum over the rows. Each image keeps its own ELBO: (N,).
kl_of_all_rows: `.sum(dim=1)` → `.sum()`
    You sum log prior and entropy over everything, so that each image pays for all of them. Sum over D only.
minus_elbo: `return expected_log_likelihood(model, x, mu, logvar) + minus_kl` → `return -(expected_log_likelihood(model, x, mu, logvar) + minus_kl)`
    This is minus the ELBO, the loss that training minimises. The ELBO itself is asked for.
log_std_in_the_kl_alone: `(1 + logvar - mu.pow(2) - logvar.exp())` → `(1 + 2 * logvar - mu.pow(2) - (2 * logvar).exp())`
    In the log prior and the entropy you read `logvar` as log σ. It is log σ²: the variance is exp(logvar), and log σ² is
    logvar itself.
log_std_in_the_prior_alone: `- logvar.exp())` → `- (2 * logvar).exp())`
    In the log prior you read `logvar` as log σ. It is log σ²: the variance is exp(logvar), not exp(2·logvar).
entropy_and_its_constant_subtracted: `(1 + logvar - mu.pow(2) - logvar.exp())` → `(-1 - logvar - 2 * math.log(2 * math.pi) - mu.pow(2) - logvar.exp())`
    The entropy is subtracted. It is minus E_q[log q], and the ELBO is energy *plus* entropy.
kl_the_other_way: `(1 + logvar - mu.pow(2) - logvar.exp())` → `(1 - logvar - (1 + mu.pow(2)) / logvar.exp())`
    That is KL(p(z) ‖ q), the other direction. The average is taken under q, which comes first.
logarithm_of_logvar: `(1 + logvar -` → `(1 + logvar.log() -`
    You take the logarithm of `logvar`, which is log v already.
kl_detached: `+ minus_kl` → `+ minus_kl.detach()`
    The value is right, but no gradient flows through log prior and entropy: something in them is detached, or under no_grad.
""")


elbo.recurring(logvar_as_log_std("logvar"), detached)


@elbo.mistake(
    "In the reconstruction, mu stands in place of z: z varies, and E_q[log p(x|z)] knows it. Use your expected_log_likelihood."
)
def elbo_reconstruction_at_the_mean(model, x, mu, logvar):
    full, narrow = reference("expected_log_likelihood"), torch.full_like(logvar, -math.inf)
    return reference("elbo")(model, x, mu, logvar) - full(model, x, mu, logvar) + full(model, x, mu, narrow)


@elbo.mistake("This is log p(x), the number that the ELBO bounds. The ELBO depends on q, that is on mu and logvar.")
def elbo_log_evidence(model, x, mu, logvar):
    covariance = model.weight @ model.weight.T + model.sigma**2 * torch.eye(model.data_dim)
    return MultivariateNormal(model.bias, covariance).log_prob(x)


@elbo.mistake(
    "Log prior and entropy are not summed over the latent dimensions, and the reconstruction is added to each of them: (N, D). Sum the KL over D, dim=1."
)
def reconstruction_for_each_dimension(model, x, mu, logvar):
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar)
    return reference("expected_log_likelihood")(model, x, mu, logvar)[:, None] - kl


@elbo.mistake("You sample. There is a closed form, and the same call must give the same number.")
def elbo_sampled(model, x, mu, logvar):
    return reference("elbo_monte_carlo")(model, x, mu, logvar, torch.randn(10, *mu.shape))


@elbo.variant
def by_kl_divergence(model, x, mu, logvar):
    kl = kl_divergence(Independent(Normal(mu, (0.5 * logvar).exp()), 1), Independent(Normal(torch.zeros_like(mu), 1.0), 1))
    return by_log_prob_and_a_correction(model, x, mu, logvar) - kl


@elbo.variant
def energy_plus_entropy(model, x, mu, logvar):
    entropy = Normal(mu, logvar.div(2).exp()).entropy().sum(-1)
    log_prior = -(mu.square() + logvar.exp() + LOG_2PI).sum(-1) / 2
    return by_expanded_trace(model, x, mu, logvar) + log_prior + entropy


@elbo.variant
def in_float64_by_rows(model, x, mu, logvar):
    rows = [
        by_expanded_trace(model, x[i : i + 1], mu[i : i + 1], logvar[i : i + 1]).double()
        + 0.5 * sum(1 + s.double() - m.double() ** 2 - s.double().exp() for m, s in zip(mu[i], logvar[i], strict=True))
        for i in range(len(x))
    ]
    return torch.cat(rows)


# --- elbo_monte_carlo ---------------------------------------------------------------------------------------------------------

elbo_monte_carlo = Exercise("elbo_monte_carlo")
elbo_monte_carlo.edits("""
log_q_added: `- log_q` → `+ log_q`
    log q is added. The log weight is log p(x, z) − log q(z): subtract it.
log_q_missing: ` - log_q` → ``
    log q is missing: this estimates E_q[log p(x, z)], without the entropy.
prior_missing: ` + log_prior` → ``
    The log prior is missing: log p(x, z) = log p(x|z) + log p(z).
prior_subtracted: `+ log_prior` → `- log_prior`
    The log prior has the wrong sign: log p(x, z) = log p(x|z) + log p(z).
likelihood_alone: `(log_likelihood + log_prior - log_q)` → `log_likelihood`
    This is the reconstruction alone: log p(z) and −log q(z) at the samples are missing.
logvar_as_log_std: `(0.5 * logvar).exp()` → `logvar.exp()`
    You use exp(logvar), the variance, as a standard deviation. The standard deviation is exp(½·logvar).
samples_with_variance: `mu + std * eps` → `mu + logvar.exp() * eps`
    The samples are spread with the variance. z = mu + √v·eps, with the standard deviation exp(½·logvar).
log_q_with_variance: `log_q = Normal(mu, std)` → `log_q = Normal(mu, std**2)`
    In log q you hand the variance to Normal, which wants the standard deviation.
noise_squared: `model.bias, model.sigma)` → `model.bias, model.sigma**2)`
    In log p(x|z) you hand σ² to Normal, which wants the standard deviation σ.
log_q_without_half: `Normal(mu, std).log_prob(z).sum(dim=2)` → `(-0.5 * eps.pow(2) - logvar - 0.5 * math.log(2 * math.pi)).sum(dim=2)`
    In log q you subtract logvar. It is log σ that is subtracted, and that is ½·logvar.
two_pi_missing_in_the_prior: `Normal(0.0, 1.0).log_prob(z).sum(dim=2)` → `-0.5 * z.pow(2).sum(dim=2)`
    In log p(z) the constant −½·log(2π) is missing, in each latent dimension. log q has one too, and the two cancel only where both
    are there.
two_pi_missing_in_log_q: `Normal(mu, std).log_prob(z).sum(dim=2)` → `(-0.5 * eps.pow(2) - 0.5 * logvar).sum(dim=2)`
    In log q the constant −½·log(2π) is missing, in each latent dimension. log p(z) has one too, and the two cancel only where both
    are there.
std_as_covariance: `log_q = Normal(mu, std)` → `log_q = Normal(mu, std.sqrt())`
    In log q the standard deviation stands where a variance belongs. A covariance matrix has the variances, exp(logvar), on its
    diagonal.
std_inverted: `(0.5 * logvar).exp()` → `(-0.5 * logvar).exp()`
    You use exp(−½·logvar), one over the standard deviation. The standard deviation is exp(½·logvar), without the minus.
half_outside_the_exponential: `(0.5 * logvar).exp()` → `0.5 * logvar.exp()`
    The ½ stands outside the exponential: this is half the variance. The standard deviation is exp(½·logvar).
samples_with_half_the_variance: `mu + std * eps` → `mu + 0.5 * logvar.exp() * eps`
    The samples are spread with half the variance. The ½ belongs inside the exponential: z = mu + exp(½·logvar)·eps.
likelihood_in_closed_form: `return (log_likelihood + log_prior - log_q).mean(dim=0)` → `return expected_log_likelihood(model, x, mu, logvar) + (log_prior - log_q).mean(dim=0)`
    You take the expected log-likelihood in closed form. Here all three terms are taken at the samples.
divided_by_the_rows: `.mean(dim=0)` → `.sum(dim=0) / len(x)`
    You divide by len(x), the number of images. The estimate is the mean over the K samples: len(eps).
not_summed_over_latents: `Normal(0.0, 1.0).log_prob(z).sum(dim=2)\n    log_q = Normal(mu, std).log_prob(z).sum(dim=2)` → `Normal(0.0, 1.0).log_prob(z)\n    log_q = Normal(mu, std).log_prob(z)`
    log p(z) and log q(z) still have a number for each latent dimension, (K, N, D). Sum over the last dimension.
summed_over_samples: `.mean(dim=0)` → `.sum(dim=0)`
    You sum over the K samples. The estimate is their mean.
log_mean_exp: `.mean(dim=0)` → `.logsumexp(dim=0) - math.log(len(eps))`
    This is the logarithm of the average weight, another bound (lesson 13). The ELBO is the average of the log weights.
averaged_over_rows: `.mean(dim=0)` → `.mean()`
    You average over the rows, too. Each image keeps its own estimate: (N,).
samples_not_averaged: `.mean(dim=0)` → ``
    These are the single log weights, (K, N). Average them over the K samples.
averaged_over_images_instead: `.mean(dim=0)` → `.mean(dim=1)`
    You average over dimension 1, the images. The K samples lead: average over dimension 0.
bias_forgotten: ` + model.bias` → ``
    The bias b is missing: the mean of x given z is Wz + b.
mean_over_pixels: `.log_prob(x).sum(dim=2)` → `.log_prob(x).mean(dim=2)`
    You average log p(x|z) over the pixels. Log densities of independent pixels add up: sum over P.
likelihood_at_the_mean: `Normal(z @ model` → `Normal((mu + 0 * z) @ model`
    The log-likelihood is taken at mu. It belongs to the samples z, like the other two terms.
density_of_the_noise: `Normal(mu, std).log_prob(z)` → `Normal(0.0, 1.0).log_prob(eps)`
    You take the log density of eps for that of z. By stretching the noise by σ you thin it out: log q(z) = log N(eps; 0,
    1) − log σ, in each dimension.
prior_at_the_noise: `Normal(0.0, 1.0).log_prob(z)` → `Normal(0.0, 1.0).log_prob(eps)`
    You evaluate the prior at eps. p(z) is taken at the sample itself: z = mu + σ·eps.
minus_the_estimate: `return (log_likelihood + log_prior - log_q)` → `return -(log_likelihood + log_prior - log_q)`
    This is minus the estimate, a loss. The ELBO itself is asked for.
first_sample_alone: `.mean(dim=0)` → `[0]`
    You use the first of the K samples. The estimate is the mean over all of them.
samples_averaged_first: `mu + std * eps` → `(mu + std * eps).mean(dim=0, keepdim=True)`
    You average the samples, and take the log weight of their mean. Average the K log weights.
noise_subtracted: `mu + std * eps` → `mu - std * eps`
    You subtract the noise. It is as likely, but it is another sample than the eps that you are given stands for:
    z = mu + σ·eps.
prior_at_the_mean: `Normal(0.0, 1.0).log_prob(z)` → `Normal(0.0, 1.0).log_prob(mu + 0 * z)`
    The prior is taken at mu. It belongs to the samples z, like the other two terms.
log_q_at_the_mean: `Normal(mu, std).log_prob(z)` → `Normal(mu, std).log_prob(mu + 0 * z)`
    log q is taken at mu, where q is highest. It belongs to the samples z, like the other two terms.
samples_with_logvar: `mu + std * eps` → `mu + logvar * eps`
    The samples are spread with logvar itself. The standard deviation is exp(½·logvar).
prior_averaged: `Normal(0.0, 1.0).log_prob(z).sum(dim=2)` → `Normal(0.0, 1.0).log_prob(z).mean(dim=2)`
    You average log p(z) over the latent dimensions. Log densities of independent dimensions add up: sum over D.
prior_and_log_q_averaged: `log_prior = Normal(0.0, 1.0).log_prob(z).sum(dim=2)\n    log_q = Normal(mu, std).log_prob(z).sum(dim=2)` → `log_prior = Normal(0.0, 1.0).log_prob(z).mean(dim=2)\n    log_q = Normal(mu, std).log_prob(z).mean(dim=2)`
    You average log p(z) and log q(z) over the latent dimensions. Log densities of independent dimensions add up: sum
    over D.
median: `.mean(dim=0)` → `.median(dim=0).values`
    You take the median over the samples. The estimate of an expectation is their mean.
q_detached: `log_q = Normal(mu, std)` → `log_q = Normal(mu.detach(), std.detach())`
    The value is right, but mu and σ are detached in log q, so that part of the gradient is lost. Detach nothing here.
q_at_a_detached_sample: `Normal(mu, std).log_prob(z)` → `Normal(mu, std).log_prob(z.detach())`
    The value is right, but z is detached in log q, so that part of the gradient is lost. Detach nothing here.
entropy_in_closed_form: `log_q = Normal(mu, std).log_prob(z).sum(dim=2)` → `log_q = -Normal(mu, std).entropy().sum(dim=1)`
    You take the entropy of q in closed form. All three terms are taken at the samples here, log q(z) as well.
noise_of_one: `model.bias, model.sigma)` → `model.bias, 1.0)`
    The likelihood has the standard deviation 1. It is N(Wz + b, σ²), with model.sigma.
likelihood_of_all_rows: `.log_prob(x).sum(dim=2)` → `.log_prob(x).sum()`
    You sum the log-likelihood over all samples and images, too. Each sample of each image has its own.
squeezed: `.mean(dim=0)` → `.squeeze().mean(dim=0)`
    squeeze() takes away every dimension that happens to be 1, here the samples or the images. Leave (K, N) as it is.
""")


@elbo_monte_carlo.mistake(
    "You estimate the reconstruction and take the KL in closed form. Here all three terms are to be taken at the samples: "
    "the mean of log p(x|z) + log p(z) − log q(z)."
)
def closed_form_kl(model, x, mu, logvar, eps):
    z = mu + (0.5 * logvar).exp() * eps
    log_likelihood = Normal(z @ model.weight.T + model.bias, model.sigma).log_prob(x).sum(2).mean(0)
    return log_likelihood - 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)


@elbo_monte_carlo.mistake("You return the closed form. Here the samples made from eps are to be averaged.")
def exact(model, x, mu, logvar, eps):
    return reference("elbo")(model, x, mu, logvar)


elbo_monte_carlo.recurring(own_noise("eps"), detached)


@elbo_monte_carlo.mistake("Your samples come from the prior: z = eps. Draw from q: z = mu + √v·eps.")
def samples_of_the_prior(model, x, mu, logvar, eps):
    z = eps + 0 * mu
    log_likelihood = Normal(z @ model.weight.T + model.bias, model.sigma).log_prob(x).sum(2)
    log_q = Normal(mu, (0.5 * logvar).exp()).log_prob(z).sum(2)
    return (log_likelihood + Normal(0.0, 1.0).log_prob(z).sum(2) - log_q).mean(0)


@elbo_monte_carlo.mistake(
    "No gradient comes back through the samples: z is detached (`.detach()`, `no_grad` or `.sample()`). "
    "z = mu + √v·eps, with eps alone as noise, has a gradient."
)
def samples_detached(model, x, mu, logvar, eps):
    std = (0.5 * logvar).exp()
    z = (mu + std * eps).detach()
    log_likelihood = Normal(z @ model.weight.T + model.bias, model.sigma).log_prob(x).sum(2)
    return (log_likelihood + Normal(0.0, 1.0).log_prob(z).sum(2) - Normal(mu, std).log_prob(z).sum(2)).mean(0)


@elbo_monte_carlo.variant
def by_formulas(model, x, mu, logvar, eps):
    z = torch.exp(logvar / 2) * eps + mu
    residual = (x - model.bias)[None] - torch.einsum("knd,pd->knp", z, model.weight)
    p, d = model.weight.shape
    log_joint = -(residual**2).sum(-1) / (2 * model.sigma**2) - p * math.log(model.sigma) - (z**2).sum(-1) / 2
    log_q = -(eps**2).sum(-1) / 2 - logvar.sum(-1) / 2
    return torch.mean(log_joint - log_q, 0) - p / 2 * LOG_2PI  # of z's 2π, prior and q have one each


@elbo_monte_carlo.variant
def sample_by_sample(model, x, mu, logvar, eps):
    total = torch.zeros(len(x))
    likelihood_cov = model.sigma**2 * torch.eye(model.data_dim)
    for noise in eps:
        q = MultivariateNormal(mu, torch.diag_embed(logvar.exp()))
        z = mu + noise * logvar.exp().sqrt()
        log_likelihood = MultivariateNormal(z @ model.weight.T + model.bias, likelihood_cov).log_prob(x)
        prior = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
        total = total + log_likelihood + prior.log_prob(z) - q.log_prob(z)
    return total / eps.shape[0]


@elbo_monte_carlo.variant
def flattened_in_float64(model, x, mu, logvar, eps):
    k, n, d = eps.shape
    mu, logvar = (t.double().expand(k, n, d).reshape(k * n, d) for t in (mu, logvar))
    z = mu + (0.5 * logvar).exp() * eps.double().reshape(k * n, d)
    images = x.double().repeat(k, 1)
    log_p = Normal(z @ model.weight.double().T + model.bias, model.sigma).log_prob(images).sum(1)
    log_ratio = (Normal(0, 1).log_prob(z) - Normal(mu, (0.5 * logvar).exp()).log_prob(z)).sum(1)
    return (log_p + log_ratio).view(k, n).mean(0).float()


# --- posterior ----------------------------------------------------------------------------------------------------------------

posterior = Exercise("posterior")
posterior.edits("""
prior_forgotten: `torch.eye(model.latent_dim) +` → `1e-6 * torch.eye(model.latent_dim) +`
    The prior is missing: without the I in the precision this is least squares, which trusts the image alone.
bias_forgotten: `(x - model.bias)` → `x`
    The bias b is missing from the mean: what z explains is x − b.
sigma_not_squared: `model.sigma**2` → `model.sigma`
    You use model.sigma as a variance. It is a standard deviation: the precision is I + WᵀW/σ².
noise_missing_in_mean: ` @ cov / variance, cov` → ` @ cov, cov`
    The covariance is right. In the mean the 1/σ² is missing: S⁻¹·mean = Wᵀ(x − b)/σ².
sigma_not_squared_in_the_mean: `@ cov / variance, cov` → `@ cov / model.sigma, cov`
    The covariance is right. In the mean you divide by σ: S⁻¹·mean = Wᵀ(x − b)/σ², with the variance.
matrices_exchanged: `@ model.weight @ cov` → `@ cov @ model.weight`
    The matrices stand in the wrong order. For row vectors W comes first, which leads from pixels to latents, and then S.
columns_for_rows: `(x - model.bias) @ model.weight @ cov / variance, cov` → `cov @ model.weight.T @ (x - model.bias) / variance, cov`
    You multiply from the left, as for one column vector. The images are the rows of x: (x − b) @ W @ S.
identity_of_pixels: `torch.eye(model.latent_dim)` → `torch.eye(model.data_dim)`
    The identity has a row for each pixel. The precision lives in the latent space: I is (D, D).
noise_missing_in_precision: `model.weight.T @ model.weight / variance` → `model.weight.T @ model.weight`
    In the precision the 1/σ² is missing: S⁻¹ = I + WᵀW/σ².
noise_missing_everywhere: `variance = model.sigma**2` → `variance = 1.0`
    The noise σ plays no part in your result. The noisier the image, the nearer to the prior the posterior must be.
precision_returned: `@ cov / variance, cov` → `@ cov / variance, precision`
    The second result is the precision S⁻¹. Asked for is its inverse, the covariance.
covariance_missing_in_mean: `@ model.weight @ cov / variance` → `@ model.weight / variance`
    This is S⁻¹·mean, the coefficient of the term with one z. Multiply it by the covariance S.
precision_in_mean: `@ cov / variance, cov` → `@ precision / variance, cov`
    In the mean you multiply by the precision. S⁻¹·mean = Wᵀ(x − b)/σ²: to solve for the mean, multiply by S.
swapped: `return (x - model.bias) @ model.weight @ cov / variance, cov` → `return cov, (x - model.bias) @ model.weight @ cov / variance`
    The two results are in the wrong order: the mean first, then the covariance.
diagonal_only: `@ cov / variance, cov` → `@ cov / variance, cov.diagonal()`
    The second result holds only the variances. Asked for is the whole covariance, (D, D).
one_covariance_a_row: `@ cov / variance, cov` → `@ cov / variance, cov.expand(len(x), -1, -1)`
    You return a covariance for each image. x has no part in it: one, of shape (D, D), is asked for.
off_diagonal_dropped: `torch.linalg.inv(precision)` → `torch.diag(1 / precision.diagonal())`
    You invert only the diagonal of the precision. WᵀW also couples different dimensions: invert the whole matrix.
entrywise_inverse: `torch.linalg.inv(precision)` → `1 / precision`
    You take one over each entry. The inverse of a matrix is something else: torch.linalg.inv.
cholesky_returned: `@ cov / variance, cov` → `@ cov / variance, torch.linalg.cholesky(cov)`
    The second result is a Cholesky factor, a square root of the covariance. Asked for is the covariance itself.
noise_missing_in_the_covariance: `cov / variance, cov` → `cov / variance, cov / variance`
    The mean is right, but σ² is missing from the covariance. With M = WᵀW + σ² I it is σ² M⁻¹, and not M⁻¹.
multiplied_by_the_noise: `model.weight.T @ model.weight / variance` → `model.weight.T @ model.weight * variance`
    In the precision you multiply WᵀW by σ². The more noise, the less an image says about z: divide.
ones_for_the_identity: `torch.eye(model.latent_dim)` → `torch.ones(model.latent_dim, model.latent_dim)`
    You add a 1 to every entry of the precision. The prior's precision is the identity, with ones on the diagonal only.
identity_added_to_the_whole: `torch.eye(model.latent_dim) + model.weight.T @ model.weight / variance` → `(torch.eye(model.latent_dim) + model.weight.T @ model.weight) / variance`
    The identity is divided by σ², too. The prior's precision is I, whatever the noise is.
bias_added: `(x - model.bias)` → `(x + model.bias)`
    The bias is added. An image is b + Wz + noise: subtract b to see what Wz might be.
batch_mean_subtracted: `(x - model.bias)` → `(x - x.mean(dim=0))`
    You subtract the mean of the batch. The model has its own b, whatever images come along.
variances_alone: `@ cov / variance, cov` → `@ cov / variance, torch.diag(cov.diagonal())`
    The second result has zeros beside the diagonal. The dimensions of the posterior are correlated: return the whole covariance.
""")


@posterior.mistake("The means are transposed, (D, N). Images are rows: (N, D).")
def means_transposed(model, x):
    mean, cov = reference("posterior")(model, x)
    return mean.T, cov


@posterior.mistake(
    "You have WWᵀ, (P, P), where WᵀW belongs: your second result has a row for each pixel. The posterior is one of z, and its covariance is (D, D)."
)
def covariance_of_pixels(model, x):
    cov = torch.linalg.inv(torch.eye(model.data_dim) + model.weight @ model.weight.T / model.sigma**2)
    return (x - model.bias) @ cov @ model.weight / model.sigma**2, cov


@posterior.mistake(
    "This is p(x), with mean b and covariance WWᵀ + σ² I. Asked for is p(z|x), of the latent z once x is known."
)
def the_marginal_of_x(model, x):
    covariance = model.weight @ model.weight.T + model.sigma**2 * torch.eye(model.data_dim)
    return model.bias.expand(len(x), -1), covariance


@posterior.variant
def by_the_joint_gaussian(model, x):
    marginal = model.weight @ model.weight.T + model.sigma**2 * torch.eye(model.data_dim)
    gain = torch.linalg.solve(marginal, model.weight).T  # (D, P)
    return (x - model.bias) @ gain.T, torch.eye(model.latent_dim) - gain @ model.weight


@posterior.variant
def by_cholesky(model, x):
    d = model.latent_dim
    factor = torch.linalg.cholesky(model.weight.T @ model.weight / model.sigma**2 + torch.eye(d))
    mean = torch.cholesky_solve(model.weight.T @ (x - model.bias).T / model.sigma**2, factor).T
    return mean, torch.cholesky_inverse(factor)


@posterior.variant
def by_ridge_regression_in_numpy(model, x):
    w, b, y = (np.asarray(t, dtype=np.float64) for t in (model.weight, model.bias, x))
    ridge = w.T @ w + model.sigma**2 * np.eye(w.shape[1])
    rows = [np.linalg.lstsq(np.vstack([w, model.sigma * np.eye(w.shape[1])]), np.append(row - b, np.zeros(w.shape[1])), rcond=None)[0] for row in y]  # fmt: skip
    return torch.from_numpy(np.stack(rows)).float(), torch.from_numpy(model.sigma**2 * np.linalg.inv(ridge)).float()


@posterior.variant
def by_singular_values(model, x):
    u, s, vt = torch.linalg.svd(model.weight.double(), full_matrices=True)
    d = model.latent_dim
    singular = torch.zeros(d, dtype=torch.float64)
    singular[: len(s)] = s
    variances = 1 / (1 + singular**2 / model.sigma**2)
    cov = vt.T @ torch.diag(variances) @ vt
    return ((x - model.bias).double() @ model.weight.double() @ cov / model.sigma**2).float(), cov.float()


# --- bound_gap ----------------------------------------------------------------------------------------------------------------

bound_gap = Exercise("bound_gap")
bound_gap.edits("""
small_gaps_cut_off: `torch.logdet(cov) - logvar.sum(dim=1))` → `torch.logdet(cov) - logvar.sum(dim=1)).clamp(min=0.2)`
    You cut small gaps off. A q near the posterior has a gap near 0.
half_forgotten: `0.5 * (distance` → `(distance`
    This is twice the gap: the ½ in front is missing.
half_on_the_distance_alone: `0.5 * (distance + spread - model.latent_dim + torch.logdet(cov) - logvar.sum(dim=1))` → `0.5 * distance + spread - model.latent_dim + torch.logdet(cov) - logvar.sum(dim=1)`
    Only the distance is halved. The ½ stands before all five terms: brackets round them.
distance_of_all_rows: `(shift @ precision * shift).sum(dim=1)` → `(shift @ precision * shift).sum()`
    The distance is summed over the rows, too. Each image has its own: sum over D, dim=1.
rows_times_rows: `(shift @ precision * shift).sum(dim=1)` → `shift @ precision @ shift`
    shift @ precision @ shift is for one vector; here each row is one. Multiply entry by entry and sum over D:
    (shift @ precision * shift).sum(dim=1).
two_pi_left_over: `- model.latent_dim + torch` → `- model.latent_dim + model.latent_dim * math.log(2 * math.pi) + torch`
    A ½·log(2π) is left over in each dimension. −H(q) has one, and the average of −log N has one with the other sign.
two_pi_lost: `- model.latent_dim + torch` → `- model.latent_dim - model.latent_dim * math.log(2 * math.pi) + torch`
    A ½·log(2π) is lost in each dimension. −H(q) has one, and the average of −log N has one with the other sign.
entropy_added: `- model.latent_dim + torch.logdet(cov) - logvar.sum(dim=1))` → `+ model.latent_dim + torch.logdet(cov) + logvar.sum(dim=1)) + model.latent_dim * math.log(2 * math.pi)`
    The entropy of q is added. The KL is −H(q) minus the average of log N: subtract H(q).
std_as_covariance: `logvar.exp() @ precision.diagonal()` → `(logvar := 0.5 * logvar).exp() @ precision.diagonal()`
    q's standard deviations stand where its variances belong. A covariance matrix has exp(logvar) on its diagonal, and its
    log-determinant is the sum of logvar.
logvar_as_variance: `logvar.exp() @` → `logvar @`
    In the spread logvar itself stands where the variance belongs: exponentiate it first.
spread_of_all_pairs: `logvar.exp() @ precision.diagonal()` → `logvar.exp().sum(dim=1) * precision.trace()`
    You multiply the sum of the variances by the trace. Each variance belongs to its own entry of the diagonal: Σ v_d·(S⁻¹)_dd.
spread_with_the_whole_precision: `logvar.exp() @ precision.diagonal()` → `(logvar.exp() @ precision).sum(dim=1)`
    In the spread you use the whole precision. Only the products ε_d·ε_d survive the average, so only its diagonal counts.
logvar_averaged: `- logvar.sum(dim=1)` → `- logvar.mean(dim=1)`
    You average logvar over the latent dimensions. The entropies of independent dimensions add up: sum over D.
rows_for_latents: `- model.latent_dim` → `- len(mu)`
    You subtract N, the number of images: len(mu) counts rows. −H(q) has −½ in each of the D dimensions: mu.shape[1].
wrong_sign: `return 0.5` → `return -0.5`
    The sign is reversed. A KL divergence is never negative.
log_determinant_missing: ` + torch.logdet(cov)` → ``
    log det S, from the posterior's normalising constant, is missing: it does not depend on q, but the gap does depend on
    it.
log_determinant_sign: `+ torch.logdet(cov)` → `- torch.logdet(cov)`
    log det S has the wrong sign. −log N(z; mean, S) contains +½·log det S. (log det of the *precision* would come with a
    minus.)
entropy_missing: ` - logvar.sum(dim=1)` → ``
    The log-variances of q are missing: −H(q) contains −½·Σ log v.
entropy_sign: `- logvar.sum(dim=1)` → `+ logvar.sum(dim=1)`
    The log-variances of q have the wrong sign: −H(q) contains −½·Σ log v, so that a needle has an infinite gap.
dimension_missing: ` - model.latent_dim` → ``
    −D is missing: −H(q) contains −½ in each dimension. Test: for q equal to the posterior, the gap must be 0.
one_for_all_dimensions: `- model.latent_dim` → `- 1`
    You subtract 1 once. −H(q) contains −½ in each of the D dimensions: subtract D.
pixels_for_latents: `- model.latent_dim` → `- model.data_dim`
    You subtract P, the number of pixels. q and the posterior live in the latent space: D.
spread_missing: `distance + spread` → `distance`
    The spread of q is missing: the average of (z − mean)ᵀ S⁻¹ (z − mean) also contains Σ v_d·(S⁻¹)_dd.
distance_missing: `distance + spread` → `spread`
    The distance between the means is missing: (μ − mean)ᵀ S⁻¹ (μ − mean).
distance_without_precision: `(shift @ precision * shift)` → `(shift * shift)`
    The distance between the means is the plain one. It is measured with the posterior's precision in the middle: shiftᵀ
    S⁻¹ shift.
distance_with_covariance: `shift @ precision * shift` → `shift @ cov * shift`
    The distance between the means has the covariance in the middle. It is the precision, S⁻¹: a narrow posterior makes
    distances count more.
covariance_for_precision: `torch.linalg.inv(cov)` → `cov`
    You use the covariance where the precision S⁻¹ belongs: log N(z; mean, S) has the inverse of S in its exponent.
correlations_ignored: `mean, cov = posterior(model, x)` → `mean, cov = posterior(model, x)\n    cov = torch.diag(cov.diagonal())`
    You keep only the variances of the posterior and drop its correlations. For a correlated posterior the gap is another
    one.
one_over_the_variances: `spread = logvar.exp() @ precision.diagonal()` → `spread = logvar.exp() @ (1 / cov.diagonal())`
    In the spread you have 1/S_dd, one over the covariance's diagonal. Invert the whole matrix first, then take the
    diagonal: (S⁻¹)_dd.
std_for_variance: `logvar.exp() @` → `logvar.mul(0.5).exp() @`
    In the spread you use the standard deviation exp(½·logvar) where q's variance exp(logvar) belongs.
logvar_as_log_std: `logvar.exp() @ precision.diagonal()` → `(logvar := 2 * logvar).exp() @ precision.diagonal()`
    You read logvar as log of the standard deviation. It is the log of the variance: v = exp(logvar).
averaged_over_rows: `return 0.5 * (distance + spread - model.latent_dim + torch.logdet(cov) - logvar.sum(dim=1))` → `return (0.5 * (distance + spread - model.latent_dim + torch.logdet(cov) - logvar.sum(dim=1))).mean()`
    You average over the rows. Each image has a gap of its own: (N,).
spread_with_the_covariance: `logvar.exp() @ precision.diagonal()` → `logvar.exp() @ cov.diagonal()`
    In the spread you multiply the variances of q by those of the posterior, v_d·S_dd. A KL measures in units of the
    second density: multiply by the diagonal of S⁻¹.
distance_on_the_diagonal: `(shift @ precision * shift)` → `(shift.square() * precision.diagonal())`
    In the distance you use only the diagonal of the precision. The fixed part needs the whole matrix; the random part, the diagonal.
entropy_and_its_constants_missing: `- model.latent_dim + torch.logdet(cov) - logvar.sum(dim=1))` → `+ model.latent_dim * math.log(2 * math.pi) + torch.logdet(cov))`
    The entropy of q is missing: this is −E_q[log p(z|x)] alone. The KL is that minus H(q).
determinant_without_log: `torch.logdet(cov)` → `torch.det(cov)`
    You add the determinant of S. Its logarithm is needed, torch.logdet.
log_std_in_the_spread: `logvar.exp() @` → `(2 * logvar).exp() @`
    In the spread you read `logvar` as log σ. It is log σ²: the variances are exp(logvar).
spread_without_variances: `logvar.exp() @ precision.diagonal()` → `precision.diagonal().sum()`
    q's variances play no part in the spread. Each v_d is multiplied by its (S⁻¹)_dd.
means_added: `shift = mu - mean` → `shift = mu + mean`
    You add the two means. The distance between q and the posterior is that of their difference.
distance_of_all_pairs: `(shift @ precision * shift).sum(dim=1)` → `(shift @ precision @ shift.T).sum(dim=1)`
    The matrix product takes every row with every other. Each image has its own square: multiply row by row, and sum over D.
logarithms_of_the_diagonal: `torch.logdet(cov)` → `cov.diagonal().log().sum()`
    You take the logarithms of the variances for log det S. With correlations the determinant is smaller: torch.logdet.
""")


@bound_gap.mistake("This is KL(p(z|x) ‖ q), the other direction. The average is taken under q, which comes first.")
def other_direction(model, x, mu, logvar):
    mean, cov = reference("posterior")(model, x)
    return kl_divergence(MultivariateNormal(mean, cov), MultivariateNormal(mu, logvar.exp().diag_embed()))


@bound_gap.mistake("This is KL(q ‖ p(z)), to the prior: the KL inside the ELBO. The gap is the KL to the posterior p(z|x).")
def to_the_prior(model, x, mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)


@bound_gap.mistake("This is the ELBO. The gap is what it misses, KL(q ‖ p(z|x)).")
def the_elbo(model, x, mu, logvar):
    return reference("elbo")(model, x, mu, logvar)


@bound_gap.mistake(
    "You subtract the ELBO from log p(x). So the three routes of the next cell could not but agree. Compute the KL from q to the posterior."
)
def by_subtraction(model, x, mu, logvar):
    log_p = MultivariateNormal(
        model.bias, model.weight @ model.weight.T + model.sigma**2 * torch.eye(model.data_dim)
    ).log_prob(x)
    return log_p - reference("elbo")(model, x, mu, logvar)


@bound_gap.variant
def by_kl_divergence_of_full_gaussians(model, x, mu, logvar):
    mean, cov = reference("posterior")(model, x)
    return kl_divergence(MultivariateNormal(mu, logvar.exp().diag_embed()), MultivariateNormal(mean, cov))


@bound_gap.variant
def row_by_row_in_numpy(model, x, mu, logvar):
    w, b, x, mu, logvar = (t.detach().numpy().astype(float) for t in (model.weight, model.bias, x, mu, logvar))
    precision = np.eye(w.shape[1]) + w.T @ w / model.sigma**2
    gaps = []
    for image, m, s in zip(x, mu, logvar, strict=True):
        shift = m - np.linalg.solve(precision, w.T @ (image - b)) / model.sigma**2
        trace = np.trace(precision @ np.diag(np.exp(s)))
        gaps.append((shift @ precision @ shift + trace - len(s) - np.linalg.slogdet(precision)[1] - s.sum()) / 2)
    return torch.tensor(gaps)


@bound_gap.variant
def by_whitening(model, x, mu, logvar):
    mean, cov = by_cholesky(model, x)
    factor = torch.linalg.cholesky(cov)
    white = torch.linalg.solve_triangular(factor, (mu - mean).T, upper=False)  # (D, N)
    spread = torch.linalg.solve_triangular(factor, torch.eye(len(cov)), upper=False).square().sum(0)
    log_ratio = 2 * factor.diagonal().log().sum() - logvar.sum(1)
    return (white.square().sum(0) + logvar.exp() @ spread - mu.shape[1] + log_ratio) / 2


# --- fit_posterior ------------------------------------------------------------------------------------------------------------

fit_posterior = Exercise("fit_posterior")
fit_posterior.edits("""
downhill: `(-bound.sum())` → `bound.sum()`
    The ELBO falls: you go downhill. An optimiser minimises; hand it minus the ELBO.
nothing_moves: `optimiser.step()` → `pass`
    Nothing moves: mu and logvar are all zeros in the end, too. Is optimiser.step() called after backward(), and zero_grad() before
    backward()?
backward_from_every_row: `(-bound.sum()).backward()` → `(-bound).backward()`
    backward() starts from one number, and you have an ELBO for each image. Take the sum: the rows don't touch each other.
no_gradient_wanted: `mu = torch.zeros(len(x), model.latent_dim, requires_grad=True)\n    logvar = torch.zeros(len(x), model.latent_dim, requires_grad=True)` → `mu = torch.zeros(len(x), model.latent_dim)\n    logvar = torch.zeros(len(x), model.latent_dim)`
    mu and logvar don't ask for a gradient: make them with requires_grad=True.
a_number_for_each_pixel: `mu = torch.zeros(len(x), model.latent_dim, requires_grad=True)\n    logvar = torch.zeros(len(x), model.latent_dim, requires_grad=True)` → `mu = torch.zeros_like(x, requires_grad=True)\n    logvar = torch.zeros_like(x, requires_grad=True)`
    mu and logvar have the shape of x, (N, P). q is a distribution of z: (N, D), with D = model.latent_dim.
history_summed_for_each: `history.append(bound.detach())` → `history.append(bound.detach().sum().expand(len(x)))`
    Each row of elbo_history holds the sum over the images, N times. Keep the bounds as they are, one for each image.
history_averaged_for_each: `history.append(bound.detach())` → `history.append(bound.detach().mean().expand(len(x)))`
    Each row of elbo_history holds the mean over the images, N times. Keep the bounds as they are, one for each image.
logvar_not_fitted: `[mu, logvar], lr` → `[mu], lr`
    logvar stays where it started: only mu is fitted. Both are q's parameters, so both go to the optimiser.
mu_not_fitted: `[mu, logvar], lr` → `[logvar], lr`
    mu stays where it started: only logvar is fitted. Both are q's parameters, so both go to the optimiser.
history_of_the_loss: `history.append(bound.detach())` → `history.append(-bound.detach())`
    elbo_history holds minus the ELBO, the loss. The ELBO itself is asked for.
history_averaged: `history.append(bound.detach())` → `history.append(bound.detach().mean())`
    elbo_history holds one number for each step, averaged or summed over the images. Keep the row of N bounds, one for
    each image: (steps, N).
history_transposed: `torch.stack(history)` → `torch.stack(history, dim=1)`
    elbo_history is (N, steps). The steps come first: (steps, N).
only_the_last_elbo: `torch.stack(history)` → `history[-1]`
    You return the ELBO of the last step. elbo_history holds all steps: (steps, N).
variance_returned: `logvar.detach(), torch` → `logvar.detach().exp(), torch`
    The second result is the variance. Asked for is logvar, its logarithm.
std_returned: `logvar.detach(), torch` → `(0.5 * logvar.detach()).exp(), torch`
    The second result is the standard deviation. Asked for is logvar, the log of the variance.
one_q_for_all_images: `elbo(model, x, mu, logvar)` → `elbo(model, x, 0 * mu + mu.mean(0), 0 * logvar + logvar.mean(0))`
    All images share one q. Each image has its own row of mu and logvar.
ten_steps_whatever_is_asked: `range(steps)` → `range(10)`
    The argument steps has no effect: you make a fixed number of updates.
reconstruction_only: `(-bound.sum())` → `(-expected_log_likelihood(model, x, mu, logvar).sum())`
    You climb the reconstruction alone. Without log prior and entropy, q shrinks to a needle. Climb the ELBO.
two_results: `return mu.detach(), logvar.detach(), torch.stack(history)` → `return mu.detach(), logvar.detach()`
    elbo_history is missing: return (mu, logvar, elbo_history).
history_one_too_long: `return mu.detach()` → `history.append(elbo(model, x, mu, logvar).detach())\n    return mu.detach()`
    elbo_history has one row too many: one for each step, (steps, N).
""")


@fit_posterior.mistake(
    "You forgot optimiser.zero_grad(): gradients of all earlier steps pile up, and q swings past its goal again and again."
)
def gradients_pile_up(model, x, steps, lr):
    mu, logvar = (torch.zeros(len(x), model.latent_dim, requires_grad=True) for _ in range(2))
    optimiser = torch.optim.Adam([mu, logvar], lr=lr)
    history = []
    for _ in range(steps):
        bound = reference("elbo")(model, x, mu, logvar)
        history.append(bound.detach())
        (-bound.sum()).backward()
        optimiser.step()
    return mu.detach(), logvar.detach(), torch.stack(history)


@fit_posterior.mistake(
    "backward() *adds* to .grad, so the gradients of all earlier steps pile up. Set .grad to zero, or to None, after each update."
)
def gradients_pile_up_by_hand(model, x, steps, lr):
    mu, logvar = (torch.zeros(len(x), model.latent_dim, requires_grad=True) for _ in range(2))
    history = []
    for _ in range(steps):
        bound = reference("elbo")(model, x, mu, logvar)
        history.append(bound.detach())
        bound.sum().backward()
        with torch.no_grad():
            mu += lr * mu.grad
            logvar += lr * logvar.grad
    return mu.detach(), logvar.detach(), torch.stack(history)


_LEAF_LOST = (
    "`mu = mu + lr * mu.grad` makes a new tensor, and in the second step no gradient arrives in it. Change mu itself, by `+=`, under "
    "torch.no_grad(), or let an optimiser do it."
)


@fit_posterior.mistake(_LEAF_LOST)
def leaf_lost(model, x, steps, lr):
    mu, logvar = (torch.zeros(len(x), model.latent_dim, requires_grad=True) for _ in range(2))
    history = []
    for _ in range(steps):
        bound = reference("elbo")(model, x, mu, logvar)
        history.append(bound.detach())
        bound.sum().backward()
        mu, logvar = mu + lr * mu.grad, logvar + lr * logvar.grad
    return mu.detach(), logvar.detach(), torch.stack(history)


@fit_posterior.mistake(_LEAF_LOST)
def leaf_lost_without_a_graph(model, x, steps, lr):
    mu, logvar = (torch.zeros(len(x), model.latent_dim, requires_grad=True) for _ in range(2))
    history = []
    for _ in range(steps):
        bound = reference("elbo")(model, x, mu, logvar)
        history.append(bound.detach())
        bound.sum().backward()
        with torch.no_grad():
            mu, logvar = mu + lr * mu.grad, logvar + lr * logvar.grad
    return mu.detach(), logvar.detach(), torch.stack(history)


def _gradients(model, x, mu, logvar):
    """The ELBO, and its gradients by hand."""
    residual = x - model.bias - mu @ model.weight.T
    by_mu = residual @ model.weight / model.sigma**2 - mu
    by_logvar = 0.5 - 0.5 * logvar.exp() * (1 + model.weight.pow(2).sum(0) / model.sigma**2)
    return reference("elbo")(model, x, mu, logvar), by_mu, by_logvar


@fit_posterior.variant
def plain_ascent_by_hand(model, x, steps, lr):
    mu, logvar = torch.zeros(len(x), model.latent_dim), torch.zeros(len(x), model.latent_dim)
    history = torch.empty(steps, len(x))
    for step in range(steps):
        history[step], by_mu, by_logvar = _gradients(model, x, mu, logvar)
        mu, logvar = mu + lr * by_mu, logvar + lr * by_logvar
    return mu, logvar, history


@fit_posterior.variant
def sgd_with_momentum(model, x, steps, lr):
    q = torch.zeros(2, len(x), model.latent_dim, requires_grad=True)
    optimiser = torch.optim.SGD([q], lr=lr, momentum=0.9)
    history = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = -reference("elbo")(model, x, *q)
        loss.sum().backward()
        history.append([-value for value in loss.tolist()])
        optimiser.step()
    return *q.detach(), torch.tensor(history)


@fit_posterior.variant
def by_autograd_grad(model, x, steps, lr):
    mu, logvar = torch.zeros(2, len(x), model.latent_dim)
    history = []
    for _ in range(steps):
        mu, logvar = mu.requires_grad_(), logvar.requires_grad_()
        bound = reference("elbo")(model, x, mu, logvar)
        history.append(bound.detach())
        up = torch.autograd.grad(bound.sum(), (mu, logvar))
        mu, logvar = (mu + lr * up[0]).detach(), (logvar + lr * up[1]).detach()
    return [mu, logvar, torch.stack(history)]


@fit_posterior.variant
def in_float64_with_parameters(model, x, steps, lr):
    mu = torch.nn.Parameter(torch.zeros(len(x), model.latent_dim, dtype=torch.float64))
    logvar = torch.nn.Parameter(torch.zeros_like(mu))
    optimiser = torch.optim.Adam([mu, logvar], lr=lr, maximize=True)
    history = []
    for _ in range(steps):
        optimiser.zero_grad()
        bound = by_kl_divergence(model, x, mu.float(), logvar.float())
        bound.sum().backward()
        history += [bound.detach()]
        optimiser.step()
    return mu.data.float(), logvar.data.float(), torch.stack(history)


fit_posterior.edits("""
results_with_a_graph: `return mu.detach(), logvar.detach()` → `return mu, logvar`
    mu and logvar still have a graph attached. `.detach()` them: whoever takes numbers out of them needs no gradient.
history_with_a_graph: `bound.detach()` → `bound`
    elbo_history still has the graphs of all steps attached, and they pile up in memory. Write down `bound.detach()`.
history_as_a_list: `torch.stack(history)` → `history`
    elbo_history is a list. `torch.stack` makes a tensor of it, (steps, N).
started_anywhere: `torch.zeros(len(x), model.latent_dim, requires_grad=True)\n    logvar` → `torch.randn(len(x), model.latent_dim, requires_grad=True)\n    logvar`
    You start mu somewhere by chance. Start every q at the prior: mu and logvar all zeros.
started_narrow: `logvar = torch.zeros(len(x), model.latent_dim, requires_grad=True)` → `logvar = torch.full((len(x), model.latent_dim), -1.0, requires_grad=True)`
    You start logvar elsewhere than at the prior, whose variance is 1: logvar all zeros.
started_wide: `logvar = torch.zeros(len(x), model.latent_dim, requires_grad=True)` → `logvar = torch.ones(len(x), model.latent_dim, requires_grad=True)`
    You start logvar at 1. The variance of the prior is 1, and its logarithm is 0: logvar all zeros.
started_nearby: `torch.zeros(len(x), model.latent_dim, requires_grad=True)\n    logvar` → `(0.01 * torch.randn(len(x), model.latent_dim)).requires_grad_()\n    logvar`
    You start mu somewhere by chance, if only nearby. Start every q at the prior itself: mu and logvar all zeros.
rate_of_ones_own: `lr=lr` → `lr=0.1`
    The argument lr has no effect: you climb at a rate of your own.
""")


@fit_posterior.mistake(
    "You move once less than `steps` says: the last row of elbo_history is there, and its update is missing."
)
def one_update_less(model, x, steps, lr):
    mu, logvar, history = reference("fit_posterior")(model, x, steps, lr)
    if steps == 1:
        return torch.zeros_like(mu), torch.zeros_like(logvar), history
    return *reference("fit_posterior")(model, x, steps - 1, lr)[:2], history


@fit_posterior.mistake(
    "elbo_history is shifted: the ELBO of the prior stands in its first two rows. Row t is the ELBO before update t."
)
def history_shifted(model, x, steps, lr):
    mu, logvar, history = reference("fit_posterior")(model, x, steps, lr)
    return mu, logvar, torch.cat([history[:1], history[:-1]])


@fit_posterior.mistake(
    "elbo_history holds the ELBO after each update. Write it down before you move: row 0 is that of the prior."
)
def noted_after_the_step(model, x, steps, lr):
    mu, logvar, history = reference("fit_posterior")(model, x, steps, lr)
    return mu, logvar, torch.stack([*history[1:], reference("elbo")(model, x, mu, logvar)])


@fit_posterior.mistake(
    "You return the posterior in closed form, and a history that nobody climbed. Forget that you know it: climb the ELBO."
)
def closed_form(model, x, steps, lr):
    mean, cov = reference("posterior")(model, x)
    logvar = -torch.linalg.inv(cov).diagonal().log().expand_as(mean)
    start = reference("elbo")(model, x, torch.zeros_like(mean), torch.zeros_like(mean))
    end = reference("elbo")(model, x, mean, logvar)
    return mean, logvar, start + (end - start) * torch.linspace(0, 1, steps)[:, None]


@fit_posterior.mistake(
    "You return the posterior in closed form, and its ELBO as the whole history. Forget that you know it: climb the ELBO, from the prior."
)
def closed_form_all_along(model, x, steps, lr):
    mean, cov = reference("posterior")(model, x)
    logvar = -torch.linalg.inv(cov).diagonal().log().expand_as(mean)
    return mean, logvar, reference("elbo")(model, x, mean, logvar).expand(steps, len(x))


@fit_posterior.mistake("mu and logvar are one and the same tensor, so that they can't differ. Make two.")
def one_tensor_for_both(model, x, steps, lr):
    both = torch.zeros(len(x), model.latent_dim, requires_grad=True)
    optimiser = torch.optim.Adam([both], lr=lr)
    history = []
    for _ in range(steps):
        bound = reference("elbo")(model, x, both, both)
        history.append(bound.detach())
        optimiser.zero_grad()
        (-bound.sum()).backward()
        optimiser.step()
    return both.detach(), both.detach(), torch.stack(history)


@fit_posterior.mistake("The ELBO falls: you go downhill. To climb, add lr times its gradient.")
def downhill_by_hand(model, x, steps, lr):
    return plain_ascent_by_hand(model, x, steps, -lr)


@fit_posterior.mistake(
    "Plain ascent on the mean over the images moves each of them less, the more there are. Take the gradient of the sum of their ELBOs."
)
def mean_over_the_images(model, x, steps, lr):
    mu, logvar = torch.zeros(2, len(x), model.latent_dim)
    history = []
    for _ in range(steps):
        bound, by_mu, by_logvar = _gradients(model, x, mu, logvar)
        history.append(bound)
        mu, logvar = mu + lr / len(x) * by_mu, logvar + lr / len(x) * by_logvar
    return mu, logvar, torch.stack(history)
