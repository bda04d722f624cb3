"""Probes of lesson 10, β-VAE and disentanglement."""

import numpy as np
import torch
from torch import Tensor

from ...toy import LinearVAE
from ..modules import fill_linear_vae
from ..recorder import Recorder
from . import choice, number, probe

number("predict_entropy", rtol=0.01)
number("predict_slope", rtol=0.01)
choice("predict_capacity", "abc")
choice("predict_duplicate", "abc")
choice("predict_rotation", "abc")


@probe("beta_vae_loss")
def beta_vae_loss(implementation, see: Recorder) -> None:
    names = {"inputs": ["recon", "kl", "beta"], "gradients": ["recon", "kl"]}
    for label, n, beta in (
        ("5 images, beta = 4", 5, 4.0),
        ("3 images, beta = 1", 3, 1.0),
        ("4 images, beta = 0.25", 4, 0.25),
        ("4 images, beta = 0", 4, 0.0),
        ("one image, beta = 10", 1, 10.0),
    ):
        see.call(label, implementation, see.uniform(n, low=60, high=120), see.uniform(n, low=2, high=30), beta, **names)
    small = see.uniform(4, low=60, high=120), torch.tensor([0.02, 0.1, 0.4, 0.8]) * see.uniform(4, low=0.9, high=1.1)
    see.call("4 images, KLs below 1", implementation, *small, 2.0, **names)


@probe("capacity_loss")
def capacity_loss(implementation, see: Recorder) -> None:
    names = {"inputs": ["recon", "kl", "capacity", "gamma"], "gradients": ["recon", "kl"]}

    def call(label: str, n: int, low: float, high: float, capacity: float, gamma: float) -> None:
        recon, kl = see.uniform(n, low=60, high=120), see.uniform(n, low=low, high=high)
        see.call(label, implementation, recon, kl, capacity, gamma, **names)

    call("5 images, all of whose KLs are above the capacity", 5, 10, 20, 6.0, 30.0)
    call("5 images, all of whose KLs are below the capacity", 5, 3, 10, 14.0, 30.0)
    # Some KLs lie on one side of the capacity, some on the other, and their mean is on a side that no rounding changes.
    around = torch.tensor([0.4, 0.8, 1.0, 1.2, 2.1]) * float(see.uniform(1, low=8, high=12))
    recon = see.uniform(5, low=60, high=120)
    see.call("5 images, KLs on both sides of the capacity", implementation, recon, around, 8.0, 10.0, **names)
    call("4 images, capacity = 0", 4, 5, 10, 0.0, 2.0)
    call("one image, gamma = 1000", 1, 5, 10, 12.0, 1000.0)


def _filled(see: Recorder, latent_dim: int) -> LinearVAE:
    vae = fill_linear_vae(LinearVAE(latent_dim), see.seed)
    with torch.no_grad():
        vae.encoder[1].bias += 0.5 * see.normal(2 * latent_dim)
    return vae


@probe("rate_distortion")
def rate_distortion(implementation, see: Recorder) -> None:
    names = {"inputs": ["vae", "x", "eps"], "rtol": 1e-3}

    def call(label: str, vae: LinearVAE, n: int) -> None:
        x = (see.uniform(n, 1, 28, 28) > 0.8).float()
        see.call(label, _quietly(implementation), vae, x, see.normal(n, vae.latent_dim), **names)

    call("5 images, 3 latent dimensions", _filled(see, 3), 5)
    call("4 images, 4 latent dimensions", _filled(see, 4), 4)
    # Variances far from 1, on both sides.
    wide = _filled(see, 3)
    with torch.no_grad():
        wide.encoder[1].bias[3:] += torch.tensor([-7.0, 0.0, 3.0])
    call("one image", wide, 1)
    call("6 images, one latent dimension", _filled(see, 1), 6)
    sure = _filled(see, 2)
    with torch.no_grad():
        sure.decoder[0].weight *= 60
        sure.decoder[0].bias -= 100
    call("4 images, logits of about ±100", sure, 4)


def _quietly(implementation):
    """The implementation without a graph: whether its numbers carry one is its own business."""

    def call(vae, x, eps):
        with torch.no_grad():
            return implementation(vae, x, eps)

    return call


def _inside_bins(codes: Tensor, bins: int) -> Tensor:
    """The same codes, moved within their bins away from every border, so that no rounding decides; each minimum and maximum stays."""
    low, high = codes.double().amin(0), codes.double().amax(0)
    place = bins * (codes.double() - low) / (high - low)
    index = place.floor().clamp(max=bins - 1)
    inside = index + 0.2 + 0.6 * (place - index)
    inside = torch.where(codes.double() == low, 0.0, torch.where(codes.double() == high, float(bins), inside))
    return (low + inside * (high - low) / bins).float()


@probe("discretize")
def discretize(implementation, see: Recorder) -> None:
    def call(label: str, codes: Tensor, **options) -> None:
        bins = options.get("bins", 20)
        codes = _inside_bins(codes, bins)
        found = see.call(label, implementation, codes, inputs=["codes"], rtol=0, atol=0, **options)
        if isinstance(found, (Tensor, np.ndarray)):
            kind = str(found.dtype).removeprefix("torch.") + (" tensor" if isinstance(found, Tensor) else " NumPy array")
            told = f"the result is a {kind}; an int64 tensor is asked for. .long() makes one of a tensor."
            see.note(label, "the kind of the result", kind, told=told)

    scales = torch.tensor([1.0, 30.0, 0.0001])
    call("40 codes, 3 dimensions of different scale", see.normal(40, 3) * scales + see.normal(3, std=10) * scales)
    call("7 codes, 7 dimensions, bins=4", see.normal(7, 7), bins=4)
    call("30 codes, one dimension, bins=3", see.normal(30, 1), bins=3)
    call("5 codes, 2 dimensions, bins=50", see.normal(5, 2), bins=50)
    # What the smallest and the largest code get, alone: with two codes there is nothing else.
    call("2 codes, 3 dimensions", see.normal(2, 3))
    # A number that is added to a range, or a least one, is not small beside this one.
    call("12 codes, 2 dimensions, all near 0", see.normal(12, 2, std=1e-6))

    label = "6 codes, the second of 3 dimensions is constant"
    codes = see.normal(6, 3)
    codes[:, 1] = float(see.normal(1, std=3))
    codes[:, [0, 2]] = _inside_bins(codes[:, [0, 2]], 20)
    with see.attempt(label):
        found = torch.as_tensor(implementation(codes.clone()))
        see.note(label, "the other two dimensions", found[:, [0, 2]], rtol=0, atol=0)
        see.note(label, "how many bins the constant takes", len(found[:, 1].unique()), rtol=0)
        inside = bool(((found[:, 1] >= 0) & (found[:, 1] < 20)).all())
        see.note(label, "the bin of the constant", "between 0 and 19" if inside else "not between 0 and 19")


def _related(see: Recorder, n: int, d: int, values: list[int]) -> tuple[Tensor, Tensor]:
    """Codes (n, d) that know something about factors (n, F); factor f takes values[f] values, not equally often."""
    shares = [see.rng.dirichlet([4.0] * k) for k in values]
    factors = torch.stack([torch.from_numpy(see.rng.choice(k, n, p=p)) for k, p in zip(values, shares, strict=True)], dim=1)
    factors[: max(values)] = torch.arange(max(values))[:, None] % torch.tensor(values)  # each value at least once
    codes = factors.float() @ see.normal(len(values), d, std=0.6) + see.normal(n, d, std=0.5)
    return _inside_bins(codes * see.uniform(d, low=0.2, high=5), 20), factors


@probe("mutual_information_matrix")
def mutual_information_matrix(implementation, see: Recorder) -> None:
    names = {"inputs": ["codes", "factors"]}
    see.call("80 codes with 3 dimensions, 2 factors", implementation, *_related(see, 80, 3, [3, 5]), **names)
    see.call("60 codes with 2 dimensions, 3 factors", implementation, *_related(see, 60, 2, [4, 2, 3]), **names)
    see.call("60 codes with 3 dimensions, 3 factors", implementation, *_related(see, 60, 3, [2, 6, 3]), **names)
    see.call("50 codes with one dimension, one factor", implementation, *_related(see, 50, 1, [3]), **names)
    codes, factors = _related(see, 60, 2, [3, 4])
    gaps = torch.tensor([0, 2, 3, 7])
    see.call("a factor whose numbers are 0, 2, 3 and 7", implementation, codes, gaps[factors], **names)
    see.call("a factor with 30 values", implementation, *_related(see, 90, 2, [30, 2]), **names)
    codes[:, 0] = 1.5
    see.call("one of two dimensions is constant", implementation, codes, factors, **names)
    factors[:, 1] = 2
    see.call("one of two factors is constant", implementation, _related(see, 60, 2, [3, 4])[0], factors, **names)
    factors = torch.randint(0, 4, (40, 2), generator=torch.Generator().manual_seed(see.seed))
    factors[:2] = torch.tensor([[0, 0], [3, 3]])
    see.call("the codes are the factors", implementation, factors.float(), factors, **names)


@probe("mutual_information_gap")
def mutual_information_gap(implementation, see: Recorder) -> None:
    names = {"inputs": ["codes", "factors"]}
    see.call("80 codes with 4 dimensions, 2 factors", implementation, *_related(see, 80, 4, [3, 5]), **names)
    see.call("60 codes with 2 dimensions, 3 factors", implementation, *_related(see, 60, 2, [4, 2, 3]), **names)
    see.call("60 codes with 3 dimensions, 3 factors", implementation, *_related(see, 60, 3, [2, 6, 3]), **names)
    see.call("50 codes with 2 dimensions, one factor", implementation, *_related(see, 50, 2, [3]), **names)
    codes, factors = _related(see, 60, 3, [3, 4])
    see.call("every dimension twice", implementation, codes.repeat(1, 2), factors, **names)
    see.call("the codes are the factors", implementation, factors.float(), factors, **names)
    see.call("all dimensions are constant", implementation, torch.full((60, 3), 0.7), factors, **names)
    gaps = torch.tensor([0, 2, 3, 7])
    see.call("factors whose numbers are 0, 2, 3 and 7", implementation, codes, gaps[factors], **names)


@probe("total_correlation")
def total_correlation(implementation, see: Recorder) -> None:
    names = {"inputs": ["mu", "logvar", "z"], "gradients": ["mu", "logvar", "z"]}

    def call(label: str, n: int, d: int, spread: float = 1.5, **kwargs) -> None:
        mu, logvar = see.normal(n, d, std=spread), see.uniform(n, d, low=-1.5, high=0.5)
        z = mu + (0.5 * logvar).exp() * see.normal(n, d)
        see.call(label, implementation, mu, logvar, z, **names | kwargs)

    call("6 codes, 3 dimensions", 6, 3)
    call("4 codes, 4 dimensions", 4, 4)
    call("5 codes, 2 dimensions", 5, 2)
    call("one code", 1, 3)
    call("one dimension", 6, 1)
    # Two codes on one diagonal, and their z on the other: less likely together than one by one.
    mu = see.uniform(1, 1, low=0.8, high=1.5) * torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    z = mu * torch.tensor([1.0, -1.0])
    see.call("2 codes, each z between the two", implementation, mu, see.uniform(2, 2, low=-0.5, high=0.0), z, **names)
    # The densities themselves are far below what float32 can hold.
    call("4 codes, 150 dimensions", 4, 150, rtol=1e-3, atol=2e-3, gradient_slack=1e-3)


@probe("tcvae_loss")
def tcvae_loss(implementation, see: Recorder) -> None:
    names = {"inputs": ["recon", "kl", "tc", "beta"], "gradients": ["recon", "kl", "tc"]}
    for label, n, beta in (
        ("5 images, beta = 8", 5, 8.0),
        ("4 images, beta = 1", 4, 1.0),
        ("4 images, beta = 0.5", 4, 0.5),
        ("4 images, beta = 0", 4, 0.0),
        ("one image, beta = 3", 1, 3.0),
    ):
        recon, kl = see.uniform(n, low=60, high=120), see.uniform(n, low=5, high=30)
        see.call(label, implementation, recon, kl, see.uniform(1, low=1, high=4)[0], beta, **names)
    recon, kl = see.uniform(3, low=60, high=120), see.uniform(3, low=5, high=30)
    below = see.uniform(1, low=-3, high=-1)[0]
    see.call("3 images, an estimate of the total correlation below 0", implementation, recon, kl, below, 4.0, **names)
