"""Probes of lesson 13, likelihoods."""

import zlib
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ...toy import LinearVAE
from ..modules import note_gradients
from ..recorder import Recorder, undisturbed
from . import choice, probe

choice("predict_more_samples", "abc")
choice("predict_exact_posterior", "abc")
choice("predict_checkpoint_ess", "abc")
choice("predict_three_numbers", "abc")
choice("predict_two_nats", "abc")
choice("predict_comparable", "abc")
choice("predict_iwae_signal", "abc")
choice("predict_many_latents", "abc")


def _toy(see: Recorder, d: int, decoder: float = 0.05, logvar: float = 0.0) -> LinearVAE:
    """A linear VAE whose numbers come from the seed. decoder: how far z moves the logits; logvar: where the variances lie."""
    vae = LinearVAE(d)
    with torch.no_grad():
        vae.encoder[1].weight.copy_(see.normal(2 * d, 784, std=0.03))
        vae.encoder[1].bias.copy_(see.normal(2 * d, std=0.5))
        vae.encoder[1].bias[d:] += logvar
        vae.decoder[0].weight.copy_(see.normal(784, d, std=decoder))
        vae.decoder[0].bias.copy_(see.normal(784))
    return vae


def _images(see: Recorder, n: int) -> Tensor:
    """n black and white images of noise."""
    return (see.uniform(n, 1, 28, 28) < 0.4).float()


def _parts(vae: LinearVAE) -> dict[str, list[Tensor]]:
    return {"the encoder": list(vae.encoder.parameters()), "the decoder": list(vae.decoder.parameters())}


@probe("log_weights")
def log_weights(implementation: Callable, see: Recorder) -> None:
    near = {"inputs": ["vae", "x", "eps"], "rtol": 3e-5, "atol": 5e-3}

    def run(label: str, vae: LinearVAE, x: Tensor, k: int, gradients: bool = False, told: str | None = None) -> None:
        eps = see.normal(k, len(x), vae.latent_dim)
        weighting = see.uniform(k, len(x), low=0.5, high=1.5)

        def decode(z: Tensor) -> Tensor:
            if z.ndim != 2:
                raise ValueError(f"vae.decode got z of the shape {tuple(z.shape)}; it takes two dimensions, (M, D)")
            return vae.decode(z)

        result = see.call(
            label, implementation, SimpleNamespace(encode=vae.encode, decode=decode), x, eps, told=told, **near
        )
        if gradients and isinstance(result, Tensor) and result.shape == weighting.shape:
            note_gradients(see, label, (weighting * result).sum(), _parts(vae))

    run("4 samples, 3 images, 2 dimensions", _toy(see, 2), _images(see, 3), 4, gradients=True)
    run("3 samples, 3 images, 3 dimensions", _toy(see, 3), _images(see, 3), 3)
    run("one sample", _toy(see, 2), _images(see, 3), 1, gradients=True)
    run("one image", _toy(see, 2), _images(see, 1), 4)
    run("one dimension", _toy(see, 1), _images(see, 2), 5)
    run("narrow q, and a decoder that listens to z", _toy(see, 3, decoder=0.5, logvar=-9.0), _images(see, 2), 4)
    run("wide q", _toy(see, 3, logvar=3.0), _images(see, 2), 4)
    run("grey images", _toy(see, 2), see.uniform(3, 1, 28, 28), 2)
    sure, x = _toy(see, 2), _images(see, 1)
    with torch.no_grad():
        sure.decoder[0].bias.copy_(((2 * x - 1) * see.uniform(1, 1, 28, 28, low=40, high=120)).flatten())
    told = (
        "is off where the decoder is sure of its pixels: are probabilities or logits clamped, rounded to 0 or 1, or given a "
        "small constant? The logits say the likelihood as they are."
    )
    run("a decoder that is sure of every pixel", sure, x, 3, told=told)
    # Two images: what is lost of a likelihood differs from one to the other, and is no constant term.
    wrong = see.uniform(2, 1, 28, 28) < torch.tensor([0.03, 0.08])[:, None, None, None]
    run("a decoder that is sure, and now and then wrong", sure, torch.where(wrong, 1 - x, x), 3, told=told)


@probe("iwae_bound")
@probe("iwae_loss")
def tables(implementation: Callable, see: Recorder) -> None:
    """Tables of log weights in which mistakes about axes, constants and overflow show."""
    near = {"inputs": ["log_weights"], "gradients": ["log_weights"], "rtol": 1e-6, "atol": 1e-3, "gradient_slack": 1e-3}

    def call(label: str, table: Tensor) -> None:
        see.call(label, implementation, table, **near)

    scales = torch.tensor([1000.0, 0.0, -1000.0])
    call("7 samples, 4 images", see.normal(7, 4, mean=-90, std=3))
    call("4 samples, 4 images", see.normal(4, 4, mean=-90, std=3))
    call("2 samples, 6 images", see.normal(2, 6, std=3))
    call("one sample", see.normal(1, 5, mean=-90, std=3))
    call("one image", see.normal(6, 1, mean=-90, std=3))
    call("equal weights", see.normal(1, 4, mean=-90).expand(5, 4).clone())
    call("log weights near −1000", see.normal(6, 3, mean=-1000, std=3))
    call("log weights near +1000", see.normal(6, 3, mean=1000, std=3))
    call("images whose log weights are near 1000, 0 and −1000", see.normal(6, 3, std=3) + scales)
    outweighed = see.normal(6, 3, mean=-90)
    outweighed[2] += 200
    call("one sample outweighs the others", outweighed)


@probe("combine_bounds")
def combine_bounds(implementation: Callable, see: Recorder) -> None:
    near = {"inputs": ["bounds", "counts"], "rtol": 1e-6, "atol": 1e-3}

    def counts(b: int, low: int = 1, high: int = 40) -> Tensor:
        return torch.from_numpy(see.rng.integers(low, high, b))

    see.call("3 parts, 5 images", implementation, see.normal(3, 5, mean=-90, std=2), torch.tensor([10, 40, 5]), **near)
    see.call("4 parts, 4 images", implementation, see.normal(4, 4, mean=-90, std=2), counts(4), **near)
    see.call("6 parts, one image", implementation, see.normal(6, 1, mean=-90, std=2), counts(6), **near)
    see.call("one part", implementation, see.normal(1, 4, mean=-90, std=2), torch.tensor([50]), **near)
    see.call("equal counts", implementation, see.normal(4, 3, mean=-90, std=2), torch.tensor([8, 8, 8, 8]), **near)
    see.call("parts of one sample each", implementation, see.normal(5, 3, std=2), torch.ones(5, dtype=torch.int64), **near)
    see.call("equal bounds", implementation, see.normal(1, 3, mean=-90).expand(4, 3).clone(), counts(4), **near)
    scales = torch.tensor([1000.0, 0.0, -1000.0])
    see.call("bounds near 1000, 0 and −1000", implementation, see.normal(4, 3, std=2) + scales, counts(4), **near)


@probe("binarize")
def binarize(implementation: Callable, see: Recorder) -> None:
    n = 400
    image = see.uniform(1, 1, 28, 28)
    tenths = (10 * image.flatten()).long().clamp(max=9)  # (784,): ten groups of pixels, by grey value
    members = torch.nn.functional.one_hot(tenths, 10).float()  # (784, 10)

    black_and_white = (see.uniform(1, 1, 28, 28) > 0.5).float()
    told = "is off: a pixel of 0 stays 0 and a pixel of 1 stays 1, whatever is drawn."
    label = "an image that is black and white already"
    see.call(label, implementation, black_and_white, inputs=["x"], by_chance=True, told=told)

    label = f"{n} copies of a grey image"
    with undisturbed(zlib.crc32(f"{see.seed} {label}".encode())), see.attempt(label):
        given = image.expand(n, -1, -1, -1).clone()
        before, seed = given.clone(), torch.initial_seed()
        drawn = implementation(given)
        see.note(label, "the seed of the global random numbers", "kept" if torch.initial_seed() == seed else "reset")
        see.note(label, "the batch that was given", "as before" if torch.equal(given, before) else "changed in place")
        if not isinstance(drawn, Tensor) or drawn.shape != given.shape:
            got = tuple(drawn.shape) if isinstance(drawn, Tensor) else type(drawn).__name__
            see.note(label, "what is returned", f"{got}, where a tensor of shape {tuple(given.shape)} was expected")
            return
        told = f"a tensor of {drawn.dtype} is returned; the dtype of x is wanted, {given.dtype}."
        see.note(label, "what is returned", f"a tensor of {drawn.dtype}", told=told)
        drawn = drawn.float().flatten(1)
        told = "some pixels are neither 0 nor 1: a binarized image is black and white."
        see.note(label, "every pixel is 0 or 1", bool(((drawn == 0) | (drawn == 1)).all()), told=told)
        told = "all copies of a grey image come out the same: every pixel of every image is drawn for itself."
        see.note(label, "all copies are the same", bool((drawn == drawn[:1]).all()), told=told)
        told = "two images of one batch come out the same: every pixel of every image is drawn for itself."
        see.note(label, "two copies are the same", len(drawn.unique(dim=0)) < n, told=told)
        # 7 standard errors of a difference of two such shares, each of about 31,000 pixels; 10 of them.
        share = (drawn.mean(0) @ members / members.sum(0)).double()
        error = (0.25 / (n * members.sum(0))).sqrt().numpy()
        see.note(label, "share of ink by grey value, in tenths", share, rtol=0, atol=7 * 2**0.5 * error)
        # The logarithm of a standard deviation of 400 numbers has a standard error of 1 / √800.
        spread = drawn.sum(1).double().std().clamp(min=1e-3).log()
        see.note(label, "spread of the amount of ink from copy to copy", spread, rtol=0, atol=7 * 2**0.5 / 800**0.5)
        again = implementation(given.clone()).float().flatten(1)
        told = "a second call gives the same images: draw afresh in each, without a seed or a new torch.Generator() of your own."
        see.note(label, "a second call draws the same", bool(torch.equal(again, drawn)), told=told)
    label = "without a generator"
    with undisturbed(see.seed), see.attempt(label):
        state = torch.get_rng_state()
        one = implementation(image.clone())
        torch.set_rng_state(state)
        told = "the draws don't follow PyTorch's global state: with no generator, torch.rand and its like draw from it."
        same = bool(torch.equal(one, implementation(image.clone())))
        see.note(label, "the draws follow PyTorch's global state", same, told=told)
    label = "with a generator"
    with undisturbed(see.seed), see.attempt(label):
        seeded = [torch.Generator().manual_seed(s) for s in (1, 1, 2)]
        one, same, other = (implementation(image.clone(), generator=generator) for generator in seeded)
        told = "two generators with the same seed give different images: hand `generator` on to the draw."
        see.note(label, "equal seeds draw equal images", bool(torch.equal(one, same)), told=told)
        told = "generators with different seeds give the same image: hand `generator` on, and set no seed of your own."
        see.note(label, "other seeds draw other images", not torch.equal(one, other), told=told)
        told = "a generator that is used a second time gives the same image again: go on with it as it is, without its seed."
        again = bool(torch.equal(implementation(image, seeded[0]), one))
        see.note(label, "the same generator again draws the same", again, told=told)
        state = torch.get_rng_state()
        implementation(image.clone(), generator=seeded[1])
        told = "something is drawn from PyTorch's global state although a generator is given: hand it on to the draw."
        see.note(label, "the global random state moves", not torch.equal(state, torch.get_rng_state()), told=told)
    label = "an image in float64"
    with undisturbed(see.seed), see.attempt(label):
        drawn = implementation(image.double())
        if isinstance(drawn, Tensor):
            told = f"it comes out as {drawn.dtype}. The result has the dtype of x."
            see.note(label, "dtype of the result", str(drawn.dtype), told=told)


@probe("doubly_reparameterized_loss")
def doubly_reparameterized_loss(implementation: Callable, see: Recorder) -> None:
    for label, k, n, d in [
        ("4 samples, 3 images, 2 dimensions", 4, 3, 2),
        ("3 samples, 3 images, 3 dimensions", 3, 3, 3),
        ("one sample", 1, 2, 2),
        ("6 samples, one image", 6, 1, 2),
    ]:
        vae, x, eps = _toy(see, d), _images(see, n), see.normal(k, n, d)
        with undisturbed(see.seed), see.attempt(label):
            loss = implementation(vae, x, eps)
            shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            see.note(label, "the shape of the loss", str(shape))
            if shape == ():
                told = "the loss is cut off from all parameters: is it detached, under no_grad, or a Python number?"
                see.note(label, "the loss hangs on the parameters", loss.requires_grad, told=told)
                note_gradients(see, label, loss, _parts(vae))


@probe("annealed_importance_sampling")
def annealed_importance_sampling(implementation: Callable, see: Recorder) -> None:
    names = {"inputs": ["log_likelihood", "z", "noise", "uniforms", "betas", "step_size"], "rtol": 1e-4, "atol": 1e-3}

    def run(label: str, t: int, k: int, n: int, d: int, step_size: float, betas: Tensor | None = None) -> None:
        # Small log-likelihoods, so that rounding does not decide whether a proposal is accepted.
        weight, x = see.normal(d, 3), see.normal(n, 3)

        def log_likelihood(z: Tensor) -> Tensor:
            return Independent(Normal(z @ weight, 0.8), 1).log_prob(x)

        if betas is None:
            inner = np.sort(see.rng.uniform(0, 1, t - 1)).astype(np.float32)
            betas = torch.from_numpy(np.concatenate([[0], inner, [1]]).astype(np.float32))
        args = see.normal(k, n, d), see.normal(t, k, n, d), see.uniform(t, k, n, low=0.01, high=0.99)
        see.call(label, implementation, log_likelihood, *args, betas, step_size, **names)

    run("6 steps, 8 samples, 4 images, 2 dimensions", 6, 8, 4, 2, 0.7)
    run("4 steps, 3 samples, 3 images, 3 dimensions", 4, 3, 3, 3, 0.8)
    run("one step", 1, 3, 2, 2, 0.5)
    run("8 steps, one image, one dimension", 8, 3, 1, 1, 1.0)
    run("steps of size 0", 4, 3, 2, 2, 0.0)
