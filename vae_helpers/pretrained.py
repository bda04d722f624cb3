"""Trained models and parameters that ship with the course, to be loaded. `python -m autograde train NAME` makes them again."""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load as load_arrays
from torch import Tensor, nn

from .weights import load_weights

SHIPPED = Path(__file__).parent / "shipped"


class BernoulliVAE(nn.Module):
    """A VAE that is two networks, with a Bernoulli for each pixel (Kingma & Welling 2013, appendix C.1).

    latent_dim: D. encoder: x (N, 1, 28, 28) → (N, 2D), first the means, then the log-variances.
    decoder: z (N, D) → logits (N, 1, 28, 28).
    """

    def __init__(self, latent_dim: int, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.latent_dim, self.encoder, self.decoder = latent_dim, encoder, decoder

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, 1, 28, 28) → mu and logvar = log σ² of q(z|x), each (N, D)."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        """z (N, D) → logits (N, 1, 28, 28); their sigmoid is an image."""
        return self.decoder(z)


class ExplorerVAE(BernoulliVAE):
    """A small convolutional VAE whose latent space is a plane, so that all of it can be drawn. Bernoulli decoder, D = 2.

    As shipped: an ELBO of −136.1 nats per image on binarised test MNIST, after 15 epochs.
    """

    def __init__(self):
        encoder = nn.Sequential(
            nn.Conv2d(1, 16, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(16, 16, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(16 * 7 * 7, 64),
            nn.SiLU(),
            nn.Linear(64, 2 * 2),
        )
        decoder = nn.Sequential(
            nn.Linear(2, 64),
            nn.SiLU(),
            nn.Linear(64, 64),
            nn.SiLU(),
            nn.Linear(64, 16 * 7 * 7),
            nn.SiLU(),
            nn.Unflatten(1, (16, 7, 7)),
            nn.Conv2d(16, 4 * 16, 3, padding=1),
            nn.PixelShuffle(2),  # four channels become two by two pixels: (N, 16, 14, 14)
            nn.SiLU(),
            nn.Conv2d(16, 4, 3, padding=1),
            nn.PixelShuffle(2),
        )
        super().__init__(2, encoder, decoder)


class MLPVAE(BernoulliVAE):
    """A VAE with one layer of latent variables between tanh layers, 784-200-200-50-200-200-784. Bernoulli decoder, D = 50.

    The networks of Burda, Grosse & Salakhutdinov (2016), section 5, so that likelihoods can be set beside their table 1.
    As shipped: an ELBO of −91.38 nats per image on test MNIST with drawn pixels, and −88.07 by IWAE-500, after 400 epochs.
    """

    def __init__(self):
        encoder = nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, 200),
            nn.Tanh(),
            nn.Linear(200, 200),
            nn.Tanh(),
            nn.Linear(200, 2 * 50),
        )
        decoder = nn.Sequential(
            nn.Linear(50, 200),
            nn.Tanh(),
            nn.Linear(200, 200),
            nn.Tanh(),
            nn.Linear(200, 784),
            nn.Unflatten(1, (1, 28, 28)),
        )
        super().__init__(50, encoder, decoder)


class DigitClassifier(nn.Module):
    """Says which digit an image shows, and how sure it is: x (N, 1, 28, 28) in [0, 1] -> logits (N, 10).

    It judges what models draw, so it knows digits in grey, in black and white and with soft edges, and its confidence, the
    largest entry of the logits' softmax, means something off the data too. One in fourteen of the images that it learned
    from, by weight, is no digit (two digits in one, shuffled quarters, noise, blots), with all ten classes for a target.
    As shipped, on the test images: 99.41 % right in grey and 99.29 % in black and white. It is sure (confidence > 0.9) of
    95 to 97 % of them, and of 4 % of images that are no digits. (After Hendrycks, Mazeika & Dietterich 2019, "outlier exposure".)
    """

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Dropout(0.25),
            nn.Linear(64 * 7 * 7, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 1, 28, 28) in [0, 1] → logits (N, 10), one for each digit."""
        return self.layers(x.to(self.layers[0].weight.dtype))


MODELS = {"explorer": ExplorerVAE, "classifier": DigitClassifier, "mlp_vae": MLPVAE}


def load_pretrained(name: str) -> nn.Module:
    """A trained model, ready to use: in evaluation mode, its parameters need no gradient.

    name: "explorer", a VAE with `.encode(x)` → (mu, logvar), each (N, 2), and `.decode(z)` → logits (N, 1, 28, 28);
        "mlp_vae", the same with D = 50 in place of 2;
        "classifier", which takes x (N, 1, 28, 28) in [0, 1] and gives logits (N, 10), one for each digit.
    Raises ValueError for an unknown name, FileNotFoundError where its weights are missing.
    """
    if name not in MODELS:
        raise ValueError(f"no trained model is called {name!r}; known: {', '.join(MODELS)}")
    path = SHIPPED / f"{name}.safetensors"
    if not path.exists():
        raise FileNotFoundError(
            f"no weights at {path}: get the course again, or make them with `python -m autograde train {name}`"
        )
    with torch.random.fork_rng():  # the weights about to be replaced are not drawn at the caller's expense
        model = MODELS[name]()
    return load_weights(model, path).requires_grad_(False)


def load_parameters(name: str) -> dict[str, np.ndarray]:
    """Named float32 arrays that ship with the course, in the order of their names. They are yours to change.

    name: "conv_vae", the parameters of a trained convolutional VAE, under the names of lesson 05's table; or
        "conv_vae_outputs", what PyTorch computes with them from the first 64 binarised test digits and the noise `eps`:
        `mu`, `logvar`, `logits` (of z = mu + σ·eps) and `elbo`.
    `torch.from_numpy` makes a tensor of an array. Raises FileNotFoundError where there is no such file.
    """
    path = SHIPPED / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f'no parameters at {path}: load_parameters("conv_vae") reads what ships with the course')
    return dict(sorted(load_arrays(path.read_bytes()).items()))
