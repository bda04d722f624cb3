"""Probes of lesson 07, the convolutional VAE."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from ...data import load_mnist
from ...evaluate import evaluate_elbo
from ...pretrained import load_parameters, load_pretrained
from ...toy import LinearVAE
from ..draws import note_codes, note_generator, note_own_noise
from ..layers import layers_run, not_its_own, unlike_the_table
from ..modules import fill_parameters
from ..recorder import OWN_NOISE, Recorder, draws
from . import choice, number, probe

NEGATIVE_ELBO = "negative ELBO in nats per image"
BENT = "your trained model on 1,000 test images, each bent a little"
# Nats by which two models' KLs differ on the average image (see `_unlike`). Of two that were trained apart: 0.7 and more.
COPIED = 0.15


@probe("Encoder")
def encoder(implementation, see: Recorder) -> None:
    x = see.uniform(3, 1, 28, 28)
    with see.attempt("Encoder(5)"):
        module = _make(implementation, 5, see, "Encoder(5)", x)
        fill_parameters(module, lambda module: module(x[:1]), see.seed)
        see.call("Encoder(5) on 3 images", module, x, inputs=["x"], gradients=["x"], gradient_slack=0.3)
        see.call("Encoder(5) on one image", module, x[:1], inputs=["x"])
        with torch.no_grad():
            for parameter in module.parameters():
                parameter *= 2.5
        see.call("Encoder(5) with large weights", module, x, inputs=["x"], rtol=1e-3)
        _make(implementation, 2, see, "Encoder(2)", x)


@probe("Decoder")
def decoder(implementation, see: Recorder) -> None:
    z = see.normal(3, 5, std=2)
    with see.attempt("Decoder(5)"):
        module = _make(implementation, 5, see, "Decoder(5)", z)
        fill_parameters(module, lambda module: (module(z[:1].abs()),), see.seed)
        see.call("Decoder(5) on 3 codes", module, z, inputs=["z"], gradients=["z"], gradient_slack=0.3)
        see.call("Decoder(5) on one code", module, z[:1], inputs=["z"])
        _make(implementation, 2, see, "Decoder(2)", z[:, :2])


@probe("VAE")
def vae(implementation, see: Recorder) -> None:
    # Two images: one result of as many as there are results would be taken for them all.
    x, z, eps = see.uniform(2, 1, 28, 28), see.normal(2, 4), see.normal(2, 4)
    with see.attempt("VAE(4)"):
        module = _make(implementation, 4, see, "VAE(4)", x)
        # Both halves by themselves, so that what `forward` does wrong is seen in `forward`.
        fill_parameters(module, lambda module: (*module.encode(x[:1]), module.decode(z[:1].abs())), see.seed)
        told = "VAE(4).latent_dim is not 4: the text asks for the attribute, and `generate` needs it."
        see.note("VAE(4)", "latent_dim", str(getattr(module, "latent_dim", None)), told=told)
        see.call("vae.encode(x)", module.encode, x, inputs=["x"])
        see.call("vae.decode(z)", module.decode, z, inputs=["z"])
        see.call("vae(x, eps)", module, x, eps, inputs=["x", "eps"], gradients=["x"], gradient_slack=0.3)
        see.call("vae(x, eps=0)", module, x, eps=torch.zeros(2, 4), inputs=["x"])
        note_own_noise(see, "vae(x) with no eps", module, x[:1])
        module.eval()
        see.call("vae(x, eps) after .eval()", module, x[:2], eps[:2], inputs=["x", "eps"])
        with see.attempt("vae(x) twice after .eval()"), torch.no_grad():
            same = torch.equal(module(x[:1])[0], module(x[:1])[0])
            told = "two calls after .eval() give the same logits: z is a sample in evaluation mode, too."
            see.note("vae(x) twice after .eval()", "two calls give the same logits", bool(same), told=told)


def _make(cls, latent_dim: int, see: Recorder, label: str, example: Tensor) -> nn.Module:
    module = cls(latent_dim)
    if not isinstance(module, nn.Module):
        raise TypeError(f"{getattr(cls, '__name__', cls)}({latent_dim}) is a {type(module).__name__}, not an nn.Module")
    layers = layers_run(module, example)  # after which lazy layers have their parameters, too
    linear = {(3136, 256), (256, latent_dim), (256, 2 * latent_dim), (latent_dim, 256), (256, 3136)}
    table = {nn.Linear: linear, nn.Conv2d: {(1, 32), (32, 64)}, nn.ConvTranspose2d: {(64, 32), (32, 1)}}
    odd = unlike_the_table(layers, table, kernel=3)
    stranger = not_its_own(module, layers)
    see.note(label, "a layer that is not its own", stranger or "none", told=stranger)
    see.note(label, "a layer that the table has not", odd or "none", told=odd)
    see.note(label, "number of parameters", sum(p.numel() for p in module.parameters()), rtol=0)
    return module


@probe("reconstruction_loss")
def reconstruction_loss(implementation, see: Recorder) -> None:
    names = {"inputs": ["x", "logits"], "gradients": ["logits"]}
    x, logits = see.uniform(3, 1, 28, 28), see.normal(3, 1, 28, 28, std=3)
    binary = (x > 0.5).float()
    see.call("the default likelihood", implementation, binary, logits, **names)
    see.call('likelihood="bernoulli"', implementation, binary, logits, likelihood="bernoulli", **names)
    see.call('likelihood="gaussian"', implementation, x, logits, likelihood="gaussian", **names)
    see.call("one image, bernoulli", implementation, binary[:1], logits[:1], **names)
    see.call("one image, gaussian", implementation, x[:1], logits[:1], likelihood="gaussian", **names)
    sure = (2 * binary - 1) * see.uniform(3, 1, 28, 28, low=30, high=150)
    see.call("very sure and right, bernoulli", implementation, binary, sure, atol=1e-2, **names)
    told = (
        "is off where the decoder is very sure, with logits beyond ±30, and only there: is a probability rounded, clamped or "
        "kept from 0 on the way? The function that takes logits needs none of it."
    )
    see.call("very sure and wrong, bernoulli", implementation, binary, -sure, atol=1e-2, told=told, **names)
    see.call("an unknown likelihood", implementation, x, logits, likelihood="poisson", raises=ValueError)


@probe("vae_loss")
def vae_loss(implementation, see: Recorder) -> None:
    names = {"inputs": ["x", "logits", "mu", "logvar"], "gradients": ["logits", "mu", "logvar"]}

    def draw(n: int, d: int):
        # Black and white, as the lesson's images are: some right answers take no grey ones.
        return see.uniform(n, 1, 28, 28).round(), see.normal(n, 1, 28, 28), see.normal(n, d, std=5), see.normal(n, d, std=2)

    see.call("4 images, 3 dimensions", implementation, *draw(4, 3), **names)
    see.call("one image", implementation, *draw(1, 3), **names)
    see.call("beta=4", implementation, *draw(4, 3), beta=4.0, **names)
    see.call("beta=0", implementation, *draw(4, 3), beta=0.0, **names)
    see.call('likelihood="gaussian", beta=0.5', implementation, *draw(5, 2), beta=0.5, likelihood="gaussian", **names)
    x, logits, mu, _ = draw(3, 2)
    extreme = see.uniform(3, 2, low=11, high=14) * torch.tensor([-1.0, 1.0])
    see.call("q narrow in one dimension, wide in the other", implementation, x, logits, mu, extreme, **names)
    see.call("an unknown likelihood", implementation, *draw(4, 3), likelihood="poisson", raises=ValueError)


@probe("reconstruct")
def reconstruct(implementation, see: Recorder) -> None:
    toy = _filled_toy(3, see)
    see.call("5 images", implementation, toy, see.uniform(5, 1, 28, 28), inputs=["vae", "x"])
    see.call("one image", implementation, toy, see.uniform(1, 1, 28, 28), inputs=["vae", "x"])


class GlassVAE(LinearVAE):
    """Its decoder puts z into the first D pixels, and a number of its own into all others: an image tells what it was made of."""

    def __init__(self, latent_dim: int, rest: float):
        super().__init__(latent_dim)
        self.rest = rest

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full((len(x), self.latent_dim), 2.0), torch.full((len(x), self.latent_dim), -1.0)  # far from the prior

    def decode(self, z: Tensor) -> Tensor:
        return torch.nn.functional.pad(z, (0, 784 - self.latent_dim), value=self.rest).unflatten(1, (1, 28, 28))


@probe("generate")
def generate(implementation, see: Recorder) -> None:
    toy = GlassVAE(3, float(see.rng.uniform(-2, 2)))
    label = "generate(vae, 4000)"
    for n in (7, 1):
        if see.call(f"generate(vae, {n}) for its shape", lambda n=n: torch.zeros_like(implementation(toy, n))) is None:
            return
    with see.attempt(label), torch.no_grad():
        images = torch.as_tensor(implementation(toy, 4000))
        told = (
            "the pixels of each row, column or image add up to 1: this is a softmax. Every pixel has a sigmoid of its own."
        )
        see.note(label, "pixels add up to 1", _add_up_to_1(images), told=told)
        told = "some pixels lie below 0 or above 1, and a probability can't. The sigmoid makes probabilities of logits."
        see.note(label, "darkest pixel is below 0", bool(images.min() < 0), told=told)
        see.note(label, "brightest pixel is above 1", bool(images.max() > 1), told=told)
        told = "the second half of the images is the first once more: draw a z for each."
        see.note(label, "the first half is the second once more", bool(torch.equal(images[:2000], images[2000:])), told=told)
        pure = bool(((images <= 0) | (images >= 1)).flatten(1)[:, :3].any())
        told = "pixels that should be grey are black or white: give the sigmoid of the logits, without rounding or drawing."
        see.note(label, "pixels that should be grey are black or white", pure, told=told)
        if pure:  # they no longer tell which z they were made of
            return
        see.note(label, "the last pixel", images.flatten(1)[:, -1].mean())
        note_codes(see, label, torch.logit(images.flatten(1)[:, :3].double()))
        told = "two images in a row are the same: draw a z for each."
        see.note(label, "two images in a row are the same", bool(torch.equal(images[0], images[1])), told=told)
    note_generator(see, "generate(vae, 5)", lambda **options: implementation(toy, 5, **options))


def _add_up_to_1(images: Tensor) -> bool:
    sums = (images.flatten(1).sum(1), images.sum(-1), images.sum(-2))
    return any(torch.allclose(part, torch.ones(()), atol=1e-3) for part in sums)


def _filled_toy(latent_dim: int, see: Recorder) -> LinearVAE:
    toy = LinearVAE(latent_dim)
    with torch.no_grad():
        for parameter in toy.parameters():
            parameter.copy_(see.normal(*parameter.shape, std=0.1 if parameter.shape[-1] == 784 else 0.7))
    return toy


def _training_step(exercise: str) -> None:
    """A mended training step, seen through what it does to the parameters of a toy model, twice in a row."""

    @probe(exercise)
    def record(implementation, see: Recorder) -> None:
        toy = _filled_toy(2, see)
        optimizer = torch.optim.SGD(toy.parameters(), lr=1e-3)
        for label in ("the first step", "the second step"):
            before = {name: p.detach().clone() for name, p in toy.named_parameters()}
            x, eps = see.uniform(4, 1, 28, 28).round(), see.normal(4, 2)
            with see.attempt(label), torch.enable_grad():
                before_it = draws()
                returned = implementation(toy, optimizer, x, eps)
                told = f"what it does to the parameters {OWN_NOISE}" if draws() != before_it else None
                for name, parameter in toy.named_parameters():
                    change = (parameter.detach() - before[name]).flatten().double().numpy()
                    part = "encoder" if name.startswith("encoder") else "decoder"
                    what = f"change of the {part}'s {name.split('.')[-1]}"
                    # Three random projections stand for the thousands of numbers.
                    projections = change @ see.rng.normal(0, 1, (change.size, 3))
                    see.note(label, what, projections, rtol=1e-3, atol=1e-5, told=told)
                _note_returned(see, label, returned)


def _note_returned(see: Recorder, label: str, returned: Any) -> None:
    """The dict of two numbers that a step returns."""
    kind = f"a {type(returned).__name__}" if returned is not None else "None"
    told = f'it returns {kind}. Return a dict: {{"reconstruction": …, "kl": …}}, both numbers.'
    see.note(label, "what it returns", "a dict" if isinstance(returned, dict) else kind, told=told)
    if isinstance(returned, dict):
        for name in ("reconstruction", "kl"):
            value = returned.get(name)
            told = f'what it returns as "{name}" is {value!r}; a number is asked for: .item().'
            number = isinstance(value, float | int)
            see.note(label, f'"{name}" in what it returns is a number', number, told=told)
            if number:
                told = f'the "{name}" that it returns is not what it minimises: the mean over the images, in nats.'
                see.note(label, f'"{name}" in what it returns', value, rtol=1e-3, atol=1e-3, told=told)


for letter in "abcd":
    choice(f"predict_symptom_{letter}", "pqrs")
    _training_step(f"mended_step_{letter}")

choice("predict_beta", "abc")
choice("predict_likelihood", "abc")
number("predict_effective_beta", rtol=0.05)


@probe("trained_vae")
def trained_vae(implementation, see: Recorder) -> None:
    label = "your trained model on 2,000 test images"
    with see.attempt(label), torch.no_grad():
        model = implementation()
        # The same images for everybody, so that what passes here passes when it is marked; the noise is fresh.
        generator = torch.Generator().manual_seed(see.seed)
        x = load_mnist("test")[0][::5]
        terms = evaluate_elbo(model, (x > 0.5).float(), generator=generator)
        if terms.latent_dim != 32:
            raise ValueError(f"the model has {terms.latent_dim} latent dimensions; the exercise asks for your own, with 32")
        for name, (mu, logvar) in _codes_of_what_ships().items():
            if _unlike(terms.kl[: len(mu)], mu, logvar) < COPIED:
                raise ValueError(
                    f"each image's KL is that of the course's {name}; the exercise asks for a model that you trained"
                )
        see.note(label, NEGATIVE_ELBO, -terms.elbo.mean(), limit=100.0)
        # Any model within the first limit is within the others; these tell why one is not.
        see.note(label, "reconstruction loss in nats per image", -terms.log_likelihood.mean(), limit=300.0)
        see.note(label, "KL in nats per image", terms.kl.mean(), limit=100.0)
        see.note(label, "one over the KL", 1 / terms.kl.mean(), limit=1.0)
        # Nor can anybody have seen these before. Models that were trained lose 40 to 50 nats; what remembers images, far more.
        bent = evaluate_elbo(model, (_bend(x[::2], generator) > 0.5).float(), generator=generator)
        see.note(BENT, NEGATIVE_ELBO, -bent.elbo.mean(), limit=160.0)


def _codes_of_what_ships() -> dict[str, tuple[Tensor, Tensor]]:
    """What the course's own models make of the first of the images that a trained model is measured on, by name: mu, logvar (13, D)."""
    x = (load_mnist("test")[0][:64:5] > 0.5).float()
    outputs = load_parameters("conv_vae_outputs")  # of the first 64
    codes = {"conv_vae": (torch.from_numpy(outputs["mu"][::5]), torch.from_numpy(outputs["logvar"][::5]))}
    return codes | {name: load_pretrained(name).encode(x) for name in ("mlp_vae", "explorer")}


def _unlike(kl: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """How far a model's KL (N,) of each image is from that of the codes mu, logvar (N, D), in nats of the average image.

    A KL is the same in whatever file the weights came, under whatever names, in whatever order, and with dimensions that say nothing.
    A constant that is added to logvar, or multiplies the codes, adds multiples of Σσ², Σμ² and 1 to it: they are taken off.
    """
    difference = kl - kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1)
    moved = torch.stack([logvar.exp().sum(1), mu.pow(2).sum(1), torch.ones(len(mu))], dim=1)
    return (difference - moved @ torch.linalg.lstsq(moved, difference[:, None]).solution[:, 0]).abs().mean()


def _bend(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each image (N, 1, 28, 28) shifted, turned, stretched and bent by a little, drawn from `generator` (Simard et al. 2003)."""

    def draw(*shape: int, most: float) -> Tensor:
        return most * (2 * torch.rand(*shape, generator=generator) - 1)

    n = len(x)
    angle, scale, shift = draw(n, most=0.2), 1 + draw(n, most=0.12), draw(n, 2, most=0.11)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = torch.stack([cos, -sin, shift[:, 0], sin, cos, shift[:, 1]], dim=1)
    grid = nn.functional.affine_grid(rows.view(n, 2, 3), list(x.shape), align_corners=False)  # (N, 28, 28, 2)
    waves = nn.functional.interpolate(draw(n, 2, 4, 4, most=0.08), size=28, mode="bicubic", align_corners=True)
    return nn.functional.grid_sample(x, grid + waves.permute(0, 2, 3, 1), align_corners=False)
