"""Probes of lesson 06, PyTorch at low level."""

import zlib
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ..recorder import Recorder, undisturbed
from . import choice, number, probe

number("predict_accumulate", rtol=1e-3)
number("predict_untrained", rtol=0.02)
choice("predict_first_step", "abc")
number("predict_no_correction", rtol=0.05)
choice("predict_agreement", "abc")

Parameters = dict[str, Tensor]


def table(latent_dim: int) -> dict[str, tuple[tuple[int, ...], int]]:
    """The lesson's table: name of each tensor → its shape, and how many products are added up in one number of its layer."""
    d = latent_dim
    weights = {
        "encoder.conv1": ((32, 1, 3, 3), 32, 9),
        "encoder.conv2": ((64, 32, 3, 3), 64, 288),
        "encoder.hidden": ((256, 3136), 256, 3136),
        "encoder.mu": ((d, 256), d, 256),
        "encoder.logvar": ((d, 256), d, 256),
        "decoder.hidden": ((256, d), 256, d),
        "decoder.grid": ((3136, 256), 3136, 256),
        "decoder.conv1": ((64, 32, 3, 3), 32, 144),
        "decoder.conv2": ((32, 1, 3, 3), 1, 72),
    }
    return {
        f"{layer}.{kind}": (shape, n)
        for layer, (weight, bias, n) in weights.items()
        for kind, shape in (("weight", weight), ("bias", (bias,)))
    }


# --- init_parameters ----------------------------------------------------------------------------------------------------------

# A statistic of two independent draws differs by more than 6 of its standard errors once in 5·10⁸ times; 27 are recorded.
SIGMAS = 6 * 2**0.5


@probe("init_parameters")
def init_parameters(implementation, see: Recorder) -> None:
    label = "init_parameters(5)"
    seeds = [int(seed) for seed in see.rng.choice(2**31, 2, replace=False)]

    def seeded(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    seed = zlib.crc32(f"{see.seed} {label}".encode())  # one that nobody sets by chance
    with undisturbed(seed), see.attempt(label):
        first = _tensors(implementation(5))
        _inspect(label, first, 5, see)
        other = int(see.rng.integers(6, 40))
        _inspect(f"init_parameters({other})", _tensors(implementation(other)), other, see)
        known = [name for name in table(5) if name in first]
        if len(known) < len(table(5)):
            return
        draws = [first, implementation(5), *(implementation(5, seeded(seed)) for seed in seeds)]
        again = implementation(latent_dim=5, generator=seeded(seeds[0]))
        see.note(label, "resets the global random seed", "yes" if torch.initial_seed() != seed else "no")
        see.note("two calls without a generator", "the second draw", _compared(*draws[:2]))
        see.note("two generators with different seeds", "the second draw", _compared(*draws[2:]))
        see.note("two generators with the same seed", "the second draw", _compared(draws[2], again))
        distinct = [
            draw for i, draw in enumerate(draws) if all(_compared(draw, old) == "other numbers" for old in draws[:i])
        ]
        _statistics(f"{label}, several draws", distinct, see)


def _tensors(params: Any) -> Parameters:
    if not isinstance(params, dict) or not all(isinstance(value, Tensor) for value in params.values()):
        raise TypeError(f"a dict of tensors was expected; this is a {type(params).__name__}, or holds other things")
    return params


def _inspect(label: str, params: Parameters, latent_dim: int, see: Recorder) -> None:
    wanted = table(latent_dim)

    def names(condition: Callable[[str], bool]) -> str:
        return ", ".join(name for name in wanted if name in params and condition(name)) or "none"

    see.note(label, "the list of names that are missing", ", ".join(sorted(wanted.keys() - params.keys())) or "none")
    see.note(
        label, "the list of names that are not in the table", ", ".join(sorted(params.keys() - wanted.keys())) or "none"
    )
    for name in wanted:
        if name in params:
            see.note(label, f"the shape of {name}", str(tuple(params[name].shape)))
            see.note_inference(label, name, params[name])
    see.note(label, "the list of tensors that are not float32", names(lambda n: params[n].dtype != torch.float32))
    see.note(label, "the list of tensors that don't ask for a gradient", names(lambda n: not params[n].requires_grad))
    see.note(label, "the list of tensors that are no leaves", names(lambda n: not params[n].is_leaf))
    present = {name: params[name] for name in wanted if name in params}

    def shared(name: str) -> bool:
        """Whether it lies in another's memory, or its own numbers in one another's (expand)."""
        start, end = _memory(present[name])
        size = present[name].numel() * present[name].element_size()
        others = [_memory(other) for key, other in present.items() if key != name]
        return end - start < size or any(start < last and first < end for first, last in others)

    see.note(label, "the list of tensors that share their memory", names(shared))


def _memory(tensor: Tensor) -> tuple[int, int]:
    """Where its numbers begin and end in memory, in bytes."""
    reach = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + reach * tensor.element_size()


def _compared(one: Parameters, other: Parameters) -> str:
    return "the same numbers" if all(torch.equal(one[name], other[name]) for name in table(5)) else "other numbers"


def _statistics(label: str, draws: list[Parameters], see: Recorder) -> None:
    """Mean, spread and shape of each weight's numbers (some thousands of them), pooled over the draws."""
    beginnings = []
    for name, (_, n) in table(5).items():
        drawn = torch.stack([draw[name].detach().flatten() for draw in draws])
        if name.endswith("bias"):
            see.note(label, f"the largest number in {name}", drawn.abs().max(), rtol=1e-4, atol=1e-9)
            continue
        stride = max(1, drawn.shape[1] // 10007)
        pooled = drawn[:, ::stride].double()
        # Of some thousands of normal draws in float32 hardly any coincide.
        repeated = len(pooled[0].unique()) < 0.9 * len(pooled[0])
        see.note(label, f"the same numbers again and again in {name}", "yes" if repeated else "no")
        root, unit = pooled.numel() ** 0.5, n**-0.5
        mean, std = pooled.mean(), pooled.std()
        see.note(label, f"the mean of {name} times √n", mean / unit, rtol=0, atol=SIGMAS * float(std / unit) / root)
        see.note(label, f"the log of {name}'s standard deviation", std.log(), rtol=0, atol=SIGMAS / 2**0.5 / root)
        # The average distance from the mean in standard deviations tells a bell from a box: 0.80 against 0.87. Of `root²`
        # normal draws it has a standard error of 0.22 / root.
        shape = ((pooled - mean) / std).abs().mean()
        what = f"the shape of {name}'s distribution (average distance from the mean, in standard deviations)"
        see.note(label, what, shape, rtol=0, atol=SIGMAS * 0.22 / root)
        beginnings.append((name, drawn[0, :200] / std))
    alike = [
        name
        for i, (name, one) in enumerate(beginnings)
        if any(torch.allclose(one, other, atol=0.2) for _, other in beginnings[:i])
    ]
    see.note(label, "the list of weights that begin with another weight's numbers", ", ".join(alike) or "none")


# --- encode, decode, elbo_loss ------------------------------------------------------------------------------------------------


def drawn_parameters(see: Recorder, latent_dim: int) -> Parameters:
    """All 18 tensors, of the size that keeps signals near 1 in every layer; biases too, so that none can be left out unseen."""
    return {name: p.clone() for name, p in _drawn(see.seed, latent_dim).items()}


@lru_cache(maxsize=8)
def _drawn(seed: int, latent_dim: int) -> Parameters:
    rng = np.random.default_rng([seed, latent_dim])
    return {
        name: torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
        * (0.3 if name.endswith("bias") else (2 / n) ** 0.5)
        for name, (shape, n) in table(latent_dim).items()
    }


def fewer_dimensions(params: Parameters, latent_dim: int) -> Parameters:
    """The same network with the first `latent_dim` of its latent dimensions."""
    d = latent_dim
    return {
        name: p[:d]
        if name.startswith(("encoder.mu", "encoder.logvar"))
        else p[:, :d]
        if name == "decoder.hidden.weight"
        else p
        for name, p in params.items()
    }


def projections(value: Tensor, name: str) -> Tensor:
    """Three random sums of a parameter-sized tensor's numbers, in place of its thousands: uᵀ value v, for random u and v."""
    rows, columns = _directions(value.shape, name)
    return torch.einsum("ko,oi,ki->k", rows, value.reshape(len(value), -1), columns)


@cache
def _directions(shape: torch.Size, name: str) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(list(name.encode()))
    sizes = shape[0], shape[1:].numel()
    return tuple(torch.from_numpy(rng.standard_normal((3, size), dtype=np.float32)) for size in sizes)


def _call(see: Recorder, label: str, implementation: Callable, params: Parameters, *args: Tensor, inputs, **options) -> None:
    """`see.call` of implementation(params, *args), in which the gradients of the parameters are seen in three directions each.

    A parameter is passed as itself plus three directions times a `shift` of zero: the gradient with respect to the shift.
    """
    names = list(params)

    def shifted_call(*args: Tensor):
        shifts, rest = args[: len(names)], args[len(names) :]
        passed = {}
        for name, shift in zip(names, shifts, strict=True):
            rows, columns = _directions(params[name].shape, name)
            passed[name] = params[name] + ((rows.T * shift) @ columns).view_as(params[name])
        before = dict(passed)
        try:
            return implementation(passed, *rest)
        finally:
            same = passed.keys() == before.keys() and all(torch.equal(passed[n].detach(), params[n]) for n in names)
            see.note(label, "the dict of parameters afterwards", "as it was" if same else "changed")

    shifts = [torch.zeros(3) for _ in names]
    see.call(
        label,
        shifted_call,
        *shifts,
        *args,
        inputs=[*names, *inputs],
        gradient_slack=0.1,
        **{"gradients": names, **options},
    )


@probe("torch_encode")
def encode(implementation, see: Recorder) -> None:
    params = drawn_parameters(see, 5)
    for head in ("mu", "logvar"):  # of either sign whatever is drawn, so that a ReLU on a head shows
        params[f"encoder.{head}.bias"] += torch.tensor([-3.0, 3.0, -3.0, 3.0, -3.0])
    _call(
        see,
        "3 images, 5 dimensions",
        implementation,
        params,
        see.uniform(3, 1, 28, 28),
        inputs=["x"],
        atol=1e-4,
        float32=True,
    )
    few = fewer_dimensions(params, 2)
    _call(
        see, "one image, 2 dimensions", implementation, few, see.uniform(1, 1, 28, 28), inputs=["x"], atol=1e-4, float32=True
    )


@probe("torch_decode")
def decode(implementation, see: Recorder) -> None:
    params = drawn_parameters(see, 5)

    def call(label, params, z, **options):
        options = {"gradients": [*params, "z"], "atol": 1e-4, **options}
        _call(see, label, implementation, params, z, inputs=["z"], **options)

    call("3 codes, 5 dimensions", params, see.normal(3, 5))
    call("one code, 2 dimensions", fewer_dimensions(params, 2), see.normal(1, 2))
    sure = {**params, "decoder.conv2.weight": 200 * params["decoder.conv2.weight"]}
    told = "is off where logits are large, and only there: are they cut off? A logit may be any number."
    call("3 codes, logits beyond ±100", sure, see.normal(3, 5), gradients=[], atol=2e-2, told=told)


@probe("elbo_loss")
def elbo_loss(implementation, see: Recorder) -> None:
    params = drawn_parameters(see, 4)
    for head in ("mu", "logvar"):  # q of a trained network's size: not so wide that z swamps everything
        params[f"encoder.{head}.weight"] *= 0.5

    def call(label, params, n, **options):
        x, eps = see.uniform(n, 1, 28, 28).round(), see.normal(n, len(params["encoder.mu.bias"]))
        _call(see, label, implementation, params, x, eps, inputs=["x", "eps"], **{"rtol": 3e-5, "atol": 1e-3, **options})

    call("3 images, 4 dimensions", params, 3)
    call("4 images, 4 dimensions", params, 4, gradients=[])
    call("one image, one dimension", fewer_dimensions(params, 1), 1, gradients=[])
    wide = {**params, "encoder.logvar.bias": params["encoder.logvar.bias"] + 4}
    call("a wide q, with variances around e⁴", wide, 3, gradients=[])
    # What flows into the encoder is then the KL's gradient alone, next to which nothing is large.
    blind = {**params, "decoder.hidden.weight": 0 * params["decoder.hidden.weight"]}
    encoder = [name for name in params if name.startswith("encoder")]
    call("3 images, a decoder that does not look at z", blind, 3, gradients=encoder)
    sure = {**params, "decoder.conv2.weight": 60 * params["decoder.conv2.weight"]}
    call("logits beyond ±100", sure, 3, gradients=[])
    # Between sure and unsure, rounding decides what a probability becomes; of these it is exactly 1, on every processor.
    surest = {
        **params,
        "decoder.conv2.weight": 0 * params["decoder.conv2.weight"],
        "decoder.conv2.bias": torch.full((1,), 200.0),
    }
    call("logits of 200 everywhere", surest, 2, gradients=[])


# --- adam_step, train_step ----------------------------------------------------------------------------------------------------


@probe("adam_step")
def adam_step(implementation, see: Recorder) -> None:
    alike = {"weight": (4, 3), "other": (4, 3)}

    def fresh(shapes: dict) -> Parameters:
        return {name: see.normal(*shape, std=0.1).requires_grad_() for name, shape in shapes.items()}

    def gradients(shapes: dict, low: float, high: float) -> Parameters:
        """Of either sign; their sizes reach from 10**low to 10**high."""
        return {
            name: 10 ** see.uniform(*shape, low=low, high=high) * see.normal(*shape).sign() for name, shape in shapes.items()
        }

    def call(label, low, high, looks, shapes=alike, **options):
        """Steps up to the last of `looks`, and a look at the parameters after each of these."""
        params, typical = fresh(shapes), gradients(shapes, low, high)
        passed, state, untouched = dict(params), {}, True
        before = _copies(params)
        with undisturbed(see.seed), see.attempt(label):
            for step in range(1, looks[-1] + 1):
                # They keep their size from step to step, and often their sign.
                # Which name comes first says nothing.
                grads = {n: typical[n] * see.uniform(*typical[n].shape, low=-0.5, high=1.5) for n in reversed(typical)}
                kept = _copies(grads)
                implementation(passed, grads, state, **options)
                if step in looks:
                    _look(label, f"after step {step}", passed, before, options.get("lr", 1e-3), see)
                if step == 1:
                    _manners(label, passed, params, see)
                untouched &= all(torch.equal(grads[name], kept[name]) for name in shapes)
            see.note(label, "what becomes of the gradients", "left as they were" if untouched else "changed in place")

    call("the defaults", -2, 2, looks=(1, 2, 20))
    call("tiny gradients", -9, -7, looks=(1, 3))
    call("lr=0.05, betas=(0.5, 0.8), eps=0.1", -2, 1, looks=(1, 4), lr=0.05, betas=(0.5, 0.8), eps=0.1)
    call("tensors of other shapes", -1, 1, looks=(2,), shapes={"scalar": (), "kernel": (2, 1, 3, 3), "vector": (3,)})

    label = "a step"
    steps = []
    params = fresh(alike)
    hook = register_optimizer_step_pre_hook(lambda optimizer, *_: steps.append(type(optimizer).__name__))
    try:
        with undisturbed(see.seed), see.attempt(label):
            implementation(params, gradients(alike, -1, 1), {})
            told = f"torch.optim takes the step ({', '.join(steps)}). Write Adam from its formulas."
            see.note(label, "an optimizer of PyTorch takes it", bool(steps), told=told)
    finally:
        hook.remove()

    label = "a gradient of exactly 0"
    params = fresh(alike)
    before = _copies(params)
    with undisturbed(see.seed), see.attempt(label):
        implementation(params, {name: torch.zeros(shape) for name, shape in alike.items()}, {})
        _look(label, "after one step", params, before, 1e-3, see)

    label = "two networks in turn, each with its own state"
    pairs = [(fresh(alike), {}, gradients(alike, -1, 1)) for _ in range(2)]
    before = [_copies(params) for params, *_ in pairs]
    with undisturbed(see.seed), see.attempt(label):
        for _ in range(3):
            for params, state, grads in pairs:
                implementation(params, {name: g * see.uniform(*g.shape) for name, g in grads.items()}, state)
        for which, (params, *_), old in zip(("first", "second"), pairs, before, strict=True):
            _look(label, f"in the {which} network", params, old, 1e-3, see)


def _copies(tensors: Parameters) -> Parameters:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _look(label: str, when: str, params: Parameters, before: Parameters, lr: float, see: Recorder) -> None:
    for name, old in before.items():
        # To a thousandth of lr, which is 1e-6 for the default.
        change = (params[name].detach() - old) / lr
        see.note(label, f"the change of {name} {when}, in units of lr,", change, rtol=1e-4, atol=1e-3)


def _manners(label: str, params: Parameters, start: Parameters, see: Recorder) -> None:
    """Whether the dict still holds the same tensors, and they are still leaves that ask for gradients."""
    same = params.keys() == start.keys() and all(params[name] is start[name] for name in start)
    see.note(label, "what params holds afterwards", "the same tensors" if same else "other tensors than before")
    asking = all(p.requires_grad and p.is_leaf for p in params.values())
    leaves = "leaves that ask for gradients"
    see.note(label, "what kind of tensors they are afterwards", leaves if asking else f"not all {leaves}")


@probe("train_step")
def train_step(implementation, see: Recorder) -> None:
    start = {name: p.requires_grad_() for name, p in drawn_parameters(see, 3).items()}
    params, state = dict(start), {}
    before = _copies(start)
    for label in ("the first step", "the second step"):
        x, eps = see.uniform(3, 1, 28, 28).round(), see.normal(3, 3)
        passed = x.clone(), eps.clone()
        seed = zlib.crc32(f"{see.seed} {label}".encode())
        with undisturbed(seed), see.attempt(label):
            loss = implementation(params, state, *passed)
            see.note(label, "the loss it returns", loss, rtol=3e-4, atol=1e-2)
            recorded = isinstance(loss, Tensor) and loss.requires_grad
            see.note(label, "what hangs on the loss it returns", "its record" if recorded else "nothing")
            changed = ", ".join(n for n, a, b in zip(("x", "eps"), passed, (x, eps), strict=True) if not torch.equal(a, b))
            see.note(label, "inputs changed in place", changed or "none")
            see.note(label, "resets the global random seed", "yes" if torch.initial_seed() != seed else "no")
            _manners(label, params, start, see)
            for name, old in before.items():
                change = (params[name].detach() - old) / 1e-3
                # A gradient that is 0 up to rounding may have either sign, and so may Adam's step: a few in a million.
                near = 0.03 * float(change.norm())
                what = f"the change of {name} since the start, in units of lr and summed in three ways,"
                see.note(label, what, projections(change, name), rtol=1e-3, atol=near)
