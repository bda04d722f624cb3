"""How probes make two modules comparable: the same numbers in the parameters that do the same thing, and their gradients."""

import zlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from ..toy import LinearVAE
from .recorder import Recorder


def fill_parameters(module: nn.Module, run: Callable[[nn.Module], tuple[Tensor, ...]], seed: int) -> None:
    """Fill every parameter with values that depend on its shape and on which of the results it moves.

    So neither names, nor the order of registration, nor the initialisation count, and two heads that are one layer's
    halves are filled as two layers would be: rows of a parameter that move different results are filled apart.
    run: calls the module and returns its results, for finding out what moves what.
    """
    parameters = list(module.parameters())
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]  # filled like the others
    module.requires_grad_(True)
    with torch.no_grad():
        for parameter in parameters:
            # All positive and small: every ReLU is open and nothing cancels, so a zero gradient means no influence.
            parameter.fill_(0.1 if parameter.ndim < 2 else 1 / parameter[0].numel())
    results = run(module)
    for result in results:
        if not (isinstance(result, Tensor) and result.requires_grad):
            raise TypeError("a result does not depend on the parameters: is it detached, under no_grad, or no tensor?")
    moved_by = [torch.autograd.grad(result.sum(), parameters, retain_graph=True, allow_unused=True) for result in results]
    with torch.no_grad():
        for i, parameter in enumerate(parameters):
            # (results, rows): which results each row of this parameter moves
            moves = np.stack([_rows_moved(gradients[i], parameter) for gradients in moved_by])
            for pattern in np.unique(moves, axis=1).T:
                chosen = (moves == pattern[:, None]).all(0)
                shape = (int(chosen.sum()), *parameter.shape[1:])
                std = 0.1 if parameter.ndim < 2 else (2 / parameter[0].numel()) ** 0.5
                parameter[torch.from_numpy(chosen)] = std * _noise(seed, f"{shape} {pattern.tolist()}", shape)
    for parameter in frozen:
        parameter.requires_grad_(False)


@lru_cache(maxsize=32)
def _noise(seed: int, name: str, shape: tuple[int, ...]) -> Tensor:
    """Normal noise that depends on all three."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def fill_linear_vae(vae: LinearVAE, seed: int) -> LinearVAE:
    """The same VAE with its parameters filled, in evaluation mode."""
    fill_parameters(vae, lambda vae: vae(torch.ones(1, 1, 28, 28), torch.ones(1, vae.latent_dim)), seed)
    return vae.eval()


def note_gradients(see: Recorder, label: str, total: Tensor, parts: dict[str, list[Tensor]], slack: float = 1e-3) -> None:
    """Record the gradient of a scalar with respect to each of the parts: six random projections for thousands of numbers.

    parts: in words → its parameters. slack: how far a projection may be off, in parts of the gradient's length.
    """
    rng = np.random.default_rng(zlib.crc32(f"{see.seed} {label}".encode()))
    with see.attempt(label), torch.enable_grad():
        for name, parameters in parts.items():
            found = [None] * len(parameters)
            if isinstance(total, Tensor) and total.requires_grad:
                found = torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
            gradient = torch.cat(
                [torch.zeros(p.numel()) if g is None else g.flatten() for g, p in zip(found, parameters, strict=True)]
            )
            gradient = gradient.double().numpy()
            projections = gradient @ rng.normal(0, 1, (gradient.size, 6))
            near = slack * float(np.linalg.norm(gradient)) + 1e-7
            see.note(label, f"gradient with respect to {name} (six projections)", projections, rtol=1e-3, atol=near)


def _rows_moved(gradient: Tensor | None, parameter: Tensor) -> np.ndarray:
    if gradient is None:
        return np.zeros(len(parameter), dtype=bool)
    return gradient.reshape(len(parameter), -1).any(1).numpy()
