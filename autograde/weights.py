"""Trains the weights that lesson 05 loads, with lesson 07's solution: `python -m autograde weights`."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from vae_helpers import evaluate_elbo, fit, load_mnist
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
DIGITS = 64


def new_vae(latent_dim: int = 16) -> nn.Module:
    """Lesson 07's VAE, untrained."""
    return reference_namespace(read_lesson("07_convolutional_vae"))["VAE"](latent_dim)


def named_parameters(vae: nn.Module) -> dict[str, Tensor]:
    """The parameters of lesson 07's VAE under the names of lesson 05's table."""
    layers = (name.rpartition(".") for name in vae.state_dict())
    return {f"{NAMES[layer]}.{kind}": vae.get_parameter(f"{layer}.{kind}") for layer, _, kind in layers}


def train(epochs: float = 5, seed: int = 0) -> nn.Module:
    """Train lesson 07's VAE on MNIST binarised at ½. The same seed makes the same model on the same machine."""
    vae_loss = reference_namespace(read_lesson("07_convolutional_vae"))["vae_loss"]
    x, _ = load_mnist("train", binarize="threshold")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae = new_vae()
        order = torch.Generator().manual_seed(seed)
        fit(vae, lambda vae, x: vae_loss(x, *vae(x)), x, epochs=epochs, generator=order)
    return vae.to(memory_format=torch.contiguous_format)


@torch.no_grad()
def outputs(vae: nn.Module, eps: Tensor) -> dict[str, Tensor]:
    """What PyTorch makes of the first test digits, binarised at ½, with the noise eps (N, D): what lesson 05 compares with."""
    x = load_mnist("test", binarize="threshold")[0][: len(eps)]
    logits, mu, logvar = vae(x, eps)
    log_likelihood = Independent(Bernoulli(logits=logits), 3).log_prob(x)
    kl = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1)
    return {"eps": eps, "mu": mu, "logvar": logvar, "logits": logits, "elbo": log_likelihood - kl}


def make(folder: Path, epochs: float = 5) -> None:
    """Train, write conv_vae.safetensors and conv_vae_outputs.safetensors into `folder`, and print the ELBO reached.

    Raises CourseError where there is no such folder or nothing to train.
    """
    if not folder.is_dir():
        raise CourseError(f"there is no folder {folder.resolve()} to write to: make it first")
    if epochs < 0.001:
        raise CourseError(f"--epochs {epochs:g}: at least 0.001 is needed")
    vae = train(epochs)
    eps = torch.from_numpy(np.random.default_rng(0).standard_normal((DIGITS, vae.latent_dim), dtype=np.float32))
    elbo = evaluate_elbo(vae, load_mnist("test", binarize="threshold")[0]).elbo.mean()
    for name, arrays in {"conv_vae": named_parameters(vae), "conv_vae_outputs": outputs(vae, eps)}.items():
        path = save_parameters(arrays, folder / f"{name}.safetensors")
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    print(f"ELBO on binarised test MNIST after {epochs:g} epochs: {elbo:.1f} nats per image")
