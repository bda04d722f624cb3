"""Models small enough to see through."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.distributions.transforms import AffineTransform

from .pretrained import BernoulliVAE


@dataclass(frozen=True)
class LinearGaussian:
    """z ~ N(0, I) with D dimensions, x | z ~ N(W z + b, σ² I) with P: the one latent variable model whose log p(x) is a formula.

    weight: W (P, D). bias: b (P,). sigma: σ > 0, a standard deviation. (Tipping & Bishop 1999, probabilistic PCA.)
    Raises ValueError where they do not fit together.
    """

    weight: Tensor
    bias: Tensor
    sigma: float

    def __post_init__(self):
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            raise ValueError(
                f"weight has shape {tuple(self.weight.shape)} and bias {tuple(self.bias.shape)}; expected (P, D) and (P,)"
            )
        if not self.sigma > 0:
            raise ValueError(f"sigma is {self.sigma}; expected a standard deviation above 0")

    @classmethod
    def fit(cls, x: Tensor, latent_dim: int) -> "LinearGaussian":
        """The model with `latent_dim` dimensions that makes the rows of x (N, P) most probable, in closed form.

        W = U (Λ − σ² I)^½ with the leading eigenvectors U and eigenvalues Λ of the covariance of x, so that its columns are
        orthogonal; σ² is the mean of the other eigenvalues (Tipping & Bishop 1999, equations 7 and 8, with R = I).
        Raises ValueError unless x has two dimensions and varies in more than latent_dim directions, and 1 ≤ latent_dim < P.
        """
        if x.ndim != 2 or not 1 <= latent_dim < x.shape[1]:
            raise ValueError(
                f"x has shape {tuple(x.shape)} and latent_dim is {latent_dim}; expected (N, P) and 1 ≤ latent_dim < P"
            )
        bias = x.mean(0)
        values, vectors = torch.linalg.eigh((x - bias).T @ (x - bias) / len(x))  # in ascending order
        variance = float(values[:-latent_dim].mean())
        if not variance > 1e-6 * float(values[-1]):
            most = f"{latent_dim} direction{'s' * (latent_dim > 1)}"
            raise ValueError(f"x varies in no more than {most}, so that no noise would be left")
        scale = (values[-latent_dim:] - variance).clamp(min=0).sqrt()
        return cls((vectors[:, -latent_dim:] * scale).flip(1), bias, variance**0.5)

    @property
    def data_dim(self) -> int:
        """P, the dimensions of x."""
        return self.weight.shape[0]

    @property
    def latent_dim(self) -> int:
        """D, the dimensions of z."""
        return self.weight.shape[1]


class LinearVAE(BernoulliVAE):
    """A VAE whose encoder and decoder are single linear maps: the whole interface, in a thousandth of the time.

    `.encode(x)`: x (N, 1, 28, 28) → (mu, logvar), each (N, D). `.decode(z)`: z (N, D) → logits (N, 1, 28, 28).
    `.forward(x, eps=None)` → (logits, mu, logvar). `.latent_dim` is D.
    """

    def __init__(self, latent_dim: int):
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 2 * latent_dim))
        decoder = nn.Sequential(nn.Linear(latent_dim, 784), nn.Unflatten(1, (1, 28, 28)))
        super().__init__(latent_dim, encoder, decoder)

    def forward(self, x: Tensor, eps: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """x (N, 1, 28, 28) and noise eps (N, D), drawn where it is None → (logits, mu, logvar), of z = mu + σ·eps."""
        mu, logvar = self.encode(x)
        posterior = Normal(mu, logvar.exp().sqrt())
        eps = torch.randn(mu.shape) if eps is None else eps
        # z = mu + σ·eps under the library's name: lesson 04 asks for that line, and this package gives no answer away.
        return self.decode(AffineTransform(posterior.loc, posterior.scale)(eps)), mu, logvar
