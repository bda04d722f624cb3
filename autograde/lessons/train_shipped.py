"""Trains the models whose weights ship with the course, and writes these: `python -m autograde train NAME`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from vae_helpers import evaluate_elbo, fit, load_mnist
from vae_helpers.pretrained import MLPVAE, DigitClassifier, ExplorerVAE
from vae_helpers.weights import save_parameters

from .lesson import CourseError, read_lesson
from .solutions import reference_namespace

# The layers of lesson 07's solution -> their names in lesson 05's table.
NAMES = {
    "encoder.features.0": "encoder.conv1",
    "encoder.features.2": "encoder.conv2",
    "encoder.features.5": "encoder.hidden",
    "encoder.mu": "encoder.mu",
    "encoder.logvar": "encoder.logvar",
    "decoder.layers.0": "decoder.hidden",
    "decoder.layers.2": "decoder.grid",
    "decoder.layers.5": "decoder.conv1",
    "decoder.layers.7": "decoder.conv2",
}
DIGITS = 64  # the test images for which lesson 05 compares its outputs with PyTorch's


def make(name: str, folder: Path, epochs: float | None = None) -> None:
    """Train the model `name`, write its files into `folder`, and print how good it is on the test images.

    epochs: passes over MNIST; by default as many as were shipped. The same version of PyTorch on the same machine makes the
    same model. Raises CourseError for an unknown name, a folder that is not there, or fewer than 0.001 epochs.
    """
    if name not in TRAINING:
        raise CourseError(f"no model that ships is called {name!r}; known: {', '.join(TRAINING)}")
    train, as_shipped = TRAINING[name]
    epochs = as_shipped if epochs is None else epochs
    if not folder.is_dir():
        raise CourseError(f"there is no folder {folder.resolve()} to write to: make it first")
    if epochs < 0.001:
        raise CourseError(f"--epochs {epochs:g}: at least 0.001 is needed")
    model = train(epochs)
    for file, arrays in files_of(name, model).items():
        path = save_parameters(arrays, folder / f"{file}.safetensors")
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    print(f"{name} after {epochs:g} epoch{'s' * (epochs != 1)}: {how_good(name, model)}")


def files_of(name: str, model: nn.Module) -> dict[str, dict[str, Tensor]]:
    """What ships of a model: by name of the file, its arrays by name."""
    if name != "conv_vae":
        return {name: model.state_dict()}
    eps = torch.from_numpy(np.random.default_rng(0).standard_normal((DIGITS, model.latent_dim), dtype=np.float32))
    return {"conv_vae": named_parameters(model), "conv_vae_outputs": outputs(model, eps)}


def how_good(name: str, model: nn.Module) -> str:
    """In words, what the model reaches on the 10,000 test images."""
    if name == "classifier":
        shares = [accuracy(model, binarize) for binarize in (False, "threshold")]
        return f"{shares[0]:.2%} right in grey, {shares[1]:.2%} in black and white"
    binarize = "stochastic" if name == "mlp_vae" else "threshold"
    elbo = evaluate_elbo(model, load_mnist("test", binarize)[0]).elbo.mean()
    return f"ELBO on test MNIST ({binarize}) {elbo:.2f} nats per image"


@torch.no_grad()
def accuracy(classifier: nn.Module, binarize: str | bool) -> float:
    """The share of test images, so binarised, that the classifier reads as what they are."""
    x, y = load_mnist("test", binarize)
    return (classifier.eval()(x).argmax(1) == y).float().mean().item()


# --- The VAEs ---------------------------------------------------------------------------------------------------------


def train_explorer(epochs: float, seed: int = 0, progress: bool = True) -> ExplorerVAE:
    """The explorer's model, trained on MNIST binarised at ½."""
    x, _ = load_mnist("train", binarize="threshold")
    return _train_vae(ExplorerVAE, x, seed, epochs=epochs, batch_size=128, progress=progress)


def train_mlp_vae(epochs: float, seed: int = 0, progress: bool = True) -> MLPVAE:
    """The MLP VAE, trained on MNIST that is binarised anew each time an image is seen."""
    x, _ = load_mnist("train")
    return _train_vae(MLPVAE, x, seed, drawn=True, epochs=epochs, batch_size=256, progress=progress)


def train_conv_vae(epochs: float, seed: int = 0, progress: bool = True) -> nn.Module:
    """Lesson 07's VAE, trained on MNIST binarised at ½: lesson 05 computes with its parameters."""
    x, _ = load_mnist("train", binarize="threshold")
    return _train_vae(new_conv_vae, x, seed, epochs=epochs, progress=progress)


def _train_vae(new: Callable[[], nn.Module], x: Tensor, seed: int, drawn: bool = False, **options) -> nn.Module:
    """A new model, trained on x by its ELBO with one sample. drawn: make every pixel black or white by chance, at each visit."""
    prior = Normal(0.0, 1.0)

    def negative_elbo(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
        if drawn:
            x = (torch.rand_like(x) < x).float()
        mu, logvar = model.encode(x)
        posterior = Normal(mu, (0.5 * logvar).exp())
        logits = model.decode(posterior.rsample())
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        kl = kl_divergence(posterior, prior).sum(-1).mean()
        return {"loss": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae = new()
        fit(vae, negative_elbo, x, generator=torch.Generator().manual_seed(seed), **options)
    return vae


def new_conv_vae(latent_dim: int = 16) -> nn.Module:
    """Lesson 07's VAE, untrained. latent_dim: D."""
    return reference_namespace(read_lesson("07_convolutional_vae"))["VAE"](latent_dim)


def named_parameters(vae: nn.Module) -> dict[str, Tensor]:
    """The parameters of lesson 07's VAE under the names of lesson 05's table."""
    layers = (name.rpartition(".") for name in vae.state_dict())
    return {f"{NAMES[layer]}.{kind}": vae.get_parameter(f"{layer}.{kind}") for layer, _, kind in layers}


@torch.no_grad()
def outputs(vae: nn.Module, eps: Tensor) -> dict[str, Tensor]:
    """What PyTorch makes of the first test digits, binarised at ½, with the noise eps (N, D): what lesson 05 compares with."""
    x = load_mnist("test", binarize="threshold")[0][: len(eps)]
    logits, mu, logvar = vae(x, eps)
    log_likelihood = Independent(Bernoulli(logits=logits), 3).log_prob(x)
    kl = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1)
    return {"eps": eps, "mu": mu, "logvar": logvar, "logits": logits, "elbo": log_likelihood - kl}


# --- The classifier ---------------------------------------------------------------------------------------------------


def train_classifier(epochs: float, seed: int = 0, progress: bool = True) -> DigitClassifier:
    """The digit classifier, trained on digits as models may draw them, and on images that are no digits."""
    data = load_mnist("train")

    def loss(model: DigitClassifier, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        x = _moved(x)
        others = no_digits(x, y)[: max(1, len(x) // 4)]
        logits = model(_as_models_draw(torch.cat([x, others])))
        digits = F.cross_entropy(logits[: len(x)], y)
        unsure = -F.log_softmax(logits[len(x) :], 1).mean()  # cross-entropy with a uniform target
        return {"loss": digits + 0.08 * unsure, "digits": digits, "no digits": unsure}

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = DigitClassifier()
        order = torch.Generator().manual_seed(seed)
        fit(model, loss, data, epochs=epochs, batch_size=128, generator=order, progress=progress)
    return model


def _moved(x: Tensor) -> Tensor:
    """Each image turned, slanted, resized and shifted a little."""
    angle, slant, size = 0.15 * torch.randn(len(x)), 0.12 * torch.randn(len(x)), 1 + 0.08 * torch.randn(len(x))
    right, down = 0.06 * torch.randn(2, len(x))
    matrix = torch.stack([size * angle.cos(), slant - angle.sin(), right, angle.sin(), size * angle.cos(), down], 1)
    grid = F.affine_grid(matrix.view(-1, 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def _as_models_draw(x: Tensor) -> Tensor:
    """Each image in grey, in black and white, or with soft edges and another contrast."""
    soft = torch.lerp(x, F.avg_pool2d(F.avg_pool2d(x, 3, 1, 1), 3, 1, 1), torch.rand(len(x), 1, 1, 1))
    contrast = torch.rand(len(x), 1, 1, 1) * 0.8 + 0.7
    which = torch.rand(len(x), 1, 1, 1)
    return torch.where(which < 0.33, x, torch.where(which < 0.6, (x > 0.5).float(), (contrast * soft).clamp(0, 1)))


def no_digits(x: Tensor, y: Tensor) -> Tensor:
    """As many images (N, 1, 28, 28) that show no digit, made of digits x (N, 1, 28, 28) with labels y (N,) and of noise.

    Blends and overlays of two digits that differ, quarters of four digits in the wrong places, grains, and blots.
    """
    n = len(x)
    other = torch.randperm(n)
    differs = (y != y[other]).view(n, 1, 1, 1)
    share = 0.4 + 0.2 * torch.rand(n, 1, 1, 1)
    a, b, c, d = (x[torch.randperm(n)] for _ in range(4))
    upper, lower = torch.cat([a[:, :, 14:, 14:], b[:, :, 14:, :14]], 3), torch.cat([c[:, :, :14, 14:], d[:, :, :14, :14]], 3)
    level = torch.rand(n, 1, 1, 1)
    blots = F.interpolate(torch.rand(n, 1, 7, 7), size=x.shape[2:], mode="bicubic") - 0.3 - 0.5 * level
    blots = torch.sigmoid(blots * torch.where(torch.rand(n, 1, 1, 1) < 0.5, 5.0, 30.0))
    grains = (torch.rand(x.shape) < 0.6 * level).float()
    kinds = [
        torch.where(differs, torch.lerp(x, x[other], share), blots),
        torch.where(differs, torch.maximum(x, x[other]), grains),
        torch.cat([upper, lower], 2),
        grains * torch.rand(n, 1, 1, 1),
        blots,
    ]
    return torch.stack(kinds)[torch.randint(0, len(kinds), (n,)), torch.arange(n)]


# name -> (how it is trained, for how many epochs as shipped)
TRAINING = {
    "explorer": (train_explorer, 15),
    "classifier": (train_classifier, 8),
    "mlp_vae": (train_mlp_vae, 400),
    "conv_vae": (train_conv_vae, 5),
}
