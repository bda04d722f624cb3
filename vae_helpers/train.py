"""One training loop, short enough to read before you use it."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .threads import SharedCores


@dataclass
class History:
    """What `fit` saw: for each recorded step, the images seen so far and every loss term averaged since the last record.

    seen: images seen, one entry a record. terms: name → values (nats per image, where the loss is). Equal lengths.
    test: name → values on the test images, one entry an epoch. interrupted: whether training was stopped by hand.
    """

    seen: list[int] = field(default_factory=list)
    terms: dict[str, list[float]] = field(default_factory=dict)
    test_seen: list[int] = field(default_factory=list)
    test: dict[str, list[float]] = field(default_factory=dict)
    interrupted: bool = False


def fit(
    model: nn.Module,
    loss: Callable[..., Tensor | dict[str, Tensor]],
    data: Tensor | tuple[Tensor, ...],
    *,
    epochs: float = 1,
    batch_size: int = 64,
    lr: float = 3e-3,
    test: Tensor | tuple[Tensor, ...] | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> History:
    """Train `model` in place with Adam and a one-cycle learning rate; returns the History.

    loss: called as `loss(model, *batch)`; returns the scalar to minimise, or a dict whose "loss" is that scalar and whose
        other entries are reported beside it.
    data: a tensor (N, ...), or a tuple of tensors with the same N; batches are cut from it in memory.
    epochs: passes over the data; may be a fraction. lr: the peak of the schedule.
    test: as `data`; evaluated after every epoch. generator: for the order of the batches.
    All is float32, in the layout that the model came in, on the device where its parameters are ("cpu", "cuda", "mps"): batches
    are moved there. On the CPU, PyTorch's threads spin while they wait for each other as long as the machine is idle, and sleep
    when something else runs beside them; where that leaves them one core, one thread does it all, which changes how long a step
    takes, and of the numbers the last digits (`vae_helpers.threads`).
    Interrupt it (the stop button, Ctrl-C) and the model keeps what it has learned.
    Raises ValueError for empty or unequal data, for no epochs, and when the loss stops being a number.
    """
    data = tuple(data) if isinstance(data, (tuple, list)) else (data,)
    n = len(data[0])
    if n == 0 or any(len(part) != n for part in data):
        raise ValueError(
            f"data holds {[len(part) for part in data]} rows; expected at least one, and the same in each tensor"
        )
    batches_per_epoch = -(-n // batch_size)
    steps = round(epochs * batches_per_epoch)
    if steps < 1:
        raise ValueError(f"epochs={epochs} makes no training step; expected more than 0")

    model.train()
    # Quicker to forget than Adam's own betas, since a run here is a thousand steps, not a million.
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, betas=(0.8, 0.95), fused=True)
    device = next(model.parameters()).device
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _one_cycle(step / steps))
    history, running = History(), []  # running: the terms of each step since the last record
    bar = tqdm(total=steps, disable=not progress, unit="step")
    try:
        with SharedCores() as cores:
            for step in range(steps):
                if step % batches_per_epoch == 0:
                    order = torch.randperm(n, generator=generator)
                picked = order[step % batches_per_epoch * batch_size :][:batch_size]
                batch = _on(device, (part[picked] for part in data))

                terms = _as_terms(loss(model, *batch))
                optimizer.zero_grad()
                terms["loss"].backward()
                optimizer.step()
                schedule.step()
                cores.look()

                running.append({name: value.detach() for name, value in terms.items()})
                last = step + 1 == steps
                if (step + 1) % max(1, steps // 100) == 0 or last:
                    _record(history, running, min((step + 1) * batch_size, round(epochs * n)), bar)
                    running = []
                bar.update()
                if test is not None and ((step + 1) % batches_per_epoch == 0 or last):
                    _test(history, model, loss, test)
    except KeyboardInterrupt:
        history.interrupted = True
        if running:  # a stop in the first moments leaves something to draw, too
            _record(history, running, (history.seen or [0])[-1] + len(running) * batch_size, bar)
        print(f"Stopped by hand after step {step} of {steps}. The model keeps what it has learned.")
    finally:
        bar.close()
        model.eval()
    return history


def _one_cycle(done: float) -> float:
    """The learning rate's factor when a share `done` of the training is over: a third of it up, then down with a cosine to 0.

    A VAE begins by learning the average image; a slow rise gets it past that with a code that still lives, at a higher peak.
    """
    return min(1.0, 0.04 + done / 0.35) * 0.5 * (1 + math.cos(math.pi * done))


def _on(device: torch.device, parts: Iterable[Tensor]) -> tuple[Tensor, ...]:
    return tuple(part.to(device) for part in parts)


def _as_terms(value: Tensor | dict[str, Tensor]) -> dict[str, Tensor]:
    terms = value if isinstance(value, dict) else {"loss": value}
    if "loss" not in terms:
        raise ValueError(f"the loss returned {sorted(terms)}; expected an entry called 'loss', the one to minimise")
    if not isinstance(terms["loss"], Tensor):
        raise ValueError(f"the loss is a {type(terms['loss']).__name__}; expected a tensor, whose gradient can be taken")
    if terms["loss"].ndim != 0:
        raise ValueError(f"the loss has shape {tuple(terms['loss'].shape)}; expected a scalar: take the batch mean")
    return {name: torch.as_tensor(value) for name, value in terms.items()}


def _record(history: History, running: list[dict[str, Tensor]], seen: int, bar: tqdm) -> None:
    means = {name: torch.stack([terms[name] for terms in running]).float().mean().item() for name in running[0]}
    if means["loss"] != means["loss"]:
        raise ValueError(
            f"the loss is NaN after {seen} images: look for a log of zero or an exp that overflows, or lower lr"
        )
    history.seen.append(seen)
    for name, value in means.items():
        history.terms.setdefault(name, []).append(value)
    bar.set_postfix({name: f"{value:.1f}" for name, value in means.items()})


@torch.no_grad()
def _test(history: History, model: nn.Module, loss: Callable, test: Tensor | tuple[Tensor, ...]) -> None:
    model.eval()
    test = tuple(test) if isinstance(test, (tuple, list)) else (test,)
    sums, n = {}, len(test[0])
    device = next(model.parameters()).device
    for batch in zip(*(part.split(1000) for part in test), strict=True):
        for name, value in _as_terms(loss(model, *_on(device, batch))).items():
            sums[name] = sums.get(name, 0.0) + value.item() * len(batch[0])
    history.test_seen.append(history.seen[-1] if history.seen else 0)
    for name, value in sums.items():
        history.test.setdefault(name, []).append(value / n)
    model.train()
