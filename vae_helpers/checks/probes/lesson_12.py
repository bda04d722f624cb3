"""Probes of lesson 12, the VQ-VAE."""

import tracemalloc

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..draws import note_generator
from ..recorder import Recorder
from . import choice, number, probe

choice("predict_argmin", "abc")
choice("predict_collapse", "abc")
choice("predict_prior", "abc")
number("predict_kl", rtol=0.02)


def _vectors(see: Recorder, m: int, codebook: Tensor) -> Tensor:
    """m vectors (m, D), each clearly nearer to one code than to the next: rounding decides nothing."""
    k, d = codebook.shape
    z = see.normal(40 * m + 40, d, std=1.2)
    distances = torch.cdist(z.double(), codebook.double())
    nearest = distances.topk(min(2, k), largest=False).values
    clear = nearest[:, -1] - nearest[:, 0] > 0.02 if k > 1 else torch.ones(len(z), dtype=torch.bool)
    return z[clear][:m]


class _Largest(TorchDispatchMode):
    """The most numbers that one tensor made inside holds in memory; a view holds none of its own."""

    numbers = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # PyTorch's own answer imports its compiler, which takes seconds

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for part in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(part, Tensor):
                self.numbers = max(self.numbers, part.untyped_storage().nbytes() // part.element_size())
        return result


@probe("nearest_codes")
def nearest_codes(implementation, see: Recorder) -> None:
    names = {"inputs": ["z", "codebook"]}

    def call(label: str, m: int, k: int, d: int) -> None:
        # Codes of very different lengths: the nearest one is not the one with the largest inner product.
        codebook = see.normal(k, d) * see.uniform(k, 1, low=0.3, high=2.0)
        indices = see.call(label, implementation, _vectors(see, m, codebook), codebook, **names)
        if indices is not None:
            told = f"you return a {type(indices).__name__}; a tensor of M indices is asked for."
            see.note(label, "a tensor comes back", isinstance(indices, Tensor), told=told)
        see.note_dtype(label, "the result", indices)

    call("7 vectors, 5 codes, 3 numbers each", 7, 5, 3)
    call("6 vectors, 6 codes, 6 numbers each", 6, 6, 6)
    call("60 vectors, 12 codes, 2 numbers each", 60, 12, 2)
    call("one vector, 4 codes", 1, 4, 3)
    call("5 vectors, one code", 5, 1, 2)
    call("8 vectors of one number, 4 codes", 8, 4, 1)
    codebook = see.normal(4, 3)
    z = _vectors(see, 5, codebook)
    label = "z and the codebook require gradients"
    see.call(label, lambda: torch.as_tensor(implementation(z.requires_grad_(), codebook.requires_grad_())))
    _memory(implementation, see)


def _memory(implementation, see: Recorder, m: int = 4000, k: int = 64, d: int = 32) -> None:
    label = f"{m:,} vectors, {k} codes, {d} numbers each: memory"
    z, codebook, largest = see.normal(m, d), see.normal(k, d), _Largest()
    started = not tracemalloc.is_tracing()
    with see.attempt(label):
        if started:
            tracemalloc.start()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        try:
            with largest:
                implementation(z, codebook)
            # NumPy's arrays, which PyTorch does not see: as many numbers of four bytes as all of them together could hold.
            elsewhere = (tracemalloc.get_traced_memory()[1] - before) // 4
        finally:
            if started:
                tracemalloc.stop()
        if max(largest.numbers, elsewhere) > 0.9 * m * k * d:
            see.advise(
                label,
                "on the way you make an array of all M × K × D differences. For a batch of images that is gigabytes. "
                "Expand the square, so that a matrix product does the work and the largest array is (M, K).",
            )


@probe("straight_through")
def straight_through(implementation, see: Recorder) -> None:
    names = {"inputs": ["z", "z_q"], "gradients": ["z", "z_q"], "float32": True}
    see.call("5 vectors of 3 numbers", implementation, see.normal(5, 3), see.normal(5, 3), **names)
    see.call("one vector", implementation, see.normal(1, 4), see.normal(1, 4), **names)
    see.call("a grid (2, 3, 4, 5)", implementation, see.normal(2, 3, 4, 5), see.normal(2, 3, 4, 5), **names)


@probe("vq_loss")
def vq_loss(implementation, see: Recorder) -> None:
    names = {"inputs": ["z", "z_q"], "gradients": ["z", "z_q"]}
    see.call("6 vectors of 4 numbers", implementation, see.normal(6, 4), see.normal(6, 4), **names)
    see.call("3 vectors of 3 numbers, commitment=1.5", implementation, see.normal(3, 3), see.normal(3, 3), 1.5, **names)
    see.call("5 vectors of 2, commitment=0", implementation, see.normal(5, 2), see.normal(5, 2), commitment=0.0, **names)
    see.call("one vector of 7", implementation, see.normal(1, 7), see.normal(1, 7), **names)
    see.call("8 vectors of one number", implementation, see.normal(8, 1), see.normal(8, 1), **names)


@probe("VectorQuantizer")
def vector_quantizer(implementation, see: Recorder) -> None:
    for label, (k, d), (n, h, w) in (
        ("5 codes of 3 numbers, 2 images, a 2 × 4 grid", (5, 3), (2, 2, 4)),
        ("6 codes of 3 numbers, 3 images, a 3 × 3 grid", (6, 3), (3, 3, 3)),
        ("4 codes of 2 numbers, one image, a 1 × 1 grid", (4, 2), (1, 1, 1)),
    ):
        codebook = see.normal(k, d)
        vectors = _vectors(see, n * h * w, codebook)  # (n·h·w, d)
        z = vectors.view(n, h, w, d).permute(0, 3, 1, 2).contiguous()
        weights = see.uniform(n, d, h, w, low=0.5, high=1.5)
        indices = torch.from_numpy(see.rng.integers(0, k, (n, h, w)))
        with see.attempt(label):
            module = implementation(k, d)
            if not isinstance(module, nn.Module):
                raise TypeError(f"VectorQuantizer({k}, {d}) is a {type(module).__name__}, not an nn.Module")
            if not isinstance(getattr(module, "codebook", None), nn.Parameter):
                raise TypeError(
                    "quantizer.codebook is not an nn.Parameter: leave the line of __init__ that makes it as it is"
                )
            see.note(label, "codebook", f"shape {tuple(module.codebook.shape)}")
            parameters = sum(p.numel() for p in module.parameters())
            told = "it has parameters besides `codebook`, which is to be its only one: take the codes from `self.codebook`."
            see.note(label, "number of parameters", parameters, rtol=0, told=told if parameters > k * d else None)
            with torch.no_grad():
                module.codebook.copy_(codebook)
            _quantize(module, z, weights, see, label)
            see.call(f"{label}: lookup", module.lookup, indices, inputs=["indices"], float32=True)


def _quantize(module: nn.Module, z: Tensor, weights: Tensor, see: Recorder, label: str) -> None:
    """The three results, and what each of the two that can be differentiated sends back, and where to."""
    leaf = z.clone().requires_grad_()
    passed = leaf.clone()
    results = module(passed)
    if not isinstance(results, (tuple, list)) or len(results) != 3:
        raise TypeError("quantizer(z) should return three things: z_q, indices, loss")
    z_q, indices, loss = results
    see.note(label, "z_q", z_q)
    see.note_double(label, "z_q", z_q)
    see.note(label, "indices", indices)
    see.note_dtype(label, "indices", indices)
    see.note(label, "loss", loss)
    see.note(label, "z is changed in place", "no" if torch.equal(passed.detach(), z) else "yes")
    for name, total in (("z_q", (weights * z_q).sum()), ("the loss", torch.as_tensor(loss).sum())):
        leaves, found = (leaf, module.codebook), (None, None)
        if total.requires_grad:
            found = torch.autograd.grad(total, leaves, retain_graph=True, allow_unused=True)
        for to, at, gradient in zip(("z", "the codebook"), leaves, found, strict=True):
            see.note(
                label, f"gradient of {name} with respect to {to}", torch.zeros_like(at) if gradient is None else gradient
            )


@probe("perplexity")
def perplexity(implementation, see: Recorder) -> None:
    def draw(*shape: int, k: int) -> Tensor:
        shares = see.rng.dirichlet([1.0] * k)
        return torch.from_numpy(see.rng.choice(k, shape, p=shares))

    names = {"inputs": ["indices", "n_codes"]}
    see.call("60 indices of 5 codes", implementation, draw(60, k=5), 5, **names)
    see.call("a grid (3, 7, 7), 6 codes", implementation, draw(3, 7, 7, k=6), 6, **names)
    see.call("codes that nobody uses", implementation, 1 + draw(40, k=3), 9, **names)
    see.call("all codes used equally often", implementation, torch.arange(8).repeat(3), 8, **names)
    see.call("one code for everything", implementation, torch.full((2, 4, 4), 2), 5, **names)
    see.call("8 indices of 8 codes", implementation, draw(8, k=8), 8, **names)


@probe("ema_update")
def ema_update(implementation, see: Recorder) -> None:
    names = {"inputs": ["codebook", "counts", "sums", "z", "indices"]}

    def call(
        label: str,
        m: int,
        k: int,
        d: int,
        unused: tuple[int, ...] = (),
        empty: tuple[int, ...] = (),
        counted: float = 9.0,
        **options,
    ) -> None:
        """`unused` codes get no vector in this batch; `empty` ones never had any; the others' counts are at most `counted`."""
        codebook, sums, counts = (
            see.normal(k, d),
            see.normal(k, d, std=3),
            see.uniform(k, low=0.5 * min(1.0, counted), high=counted),
        )
        counts[list(empty)], sums[list(empty)] = 0.0, 0.0
        counts[list(unused)] = 0.3  # seldom used, but used
        open_codes = np.setdiff1d(np.arange(k), [*unused, *empty])
        indices = torch.from_numpy(np.concatenate([open_codes, see.rng.choice(open_codes, max(0, m - len(open_codes)))])[:m])
        see.call(label, implementation, codebook, counts, sums, see.normal(m, d, std=2), indices, **names, **options)

    call("10 vectors, 4 codes of 3 numbers", 10, 4, 3)
    call("decay=0.5, 6 vectors, 3 codes of 3 numbers", 6, 3, 3, decay=0.5)
    call("4 vectors, 3 codes that are seldom used", 4, 3, 2, counted=0.6)
    call("one code gets no vector", 9, 4, 2, unused=(1,))
    call("the last code gets no vector", 8, 4, 3, unused=(3,))
    call("one code never had any vector", 9, 5, 2, empty=(3,), decay=0.9)
    call("decay=0, one code gets no vector", 7, 4, 3, unused=(2,), decay=0.0)
    call("one vector, one code, one number", 1, 1, 1)
    label = "z comes from the encoder, with its graph"
    with see.attempt(label):
        z, indices = see.normal(6, 2).requires_grad_() * 1.0, torch.tensor([0, 1, 2, 0, 1, 0])
        results = implementation(see.normal(3, 2), see.uniform(3, low=1, high=2), see.normal(3, 2), z, indices)
        tracked = any(isinstance(part, Tensor) and part.requires_grad for part in results)
        see.note(label, "the graph that the results carry along", "the encoder's" if tracked else "none")


@probe("pixelcnn_mask")
def pixelcnn_mask(implementation, see: Recorder) -> None:
    larger = int(see.rng.choice([7, 9, 11, 13, 15]))
    for kind in ("A", "B"):
        for size in (3, 5, 1, larger):
            label = f'kind "{kind}", kernel_size {size}'
            mask = see.call(label, implementation, kind, size, inputs=["kind", "kernel_size"])
            see.note_dtype(label, "the mask", mask)
    for kind in ("C", "AB", "a"):  # the second one stands in the text "AB", too
        see.call(f'kind "{kind}"', implementation, kind, 3, inputs=["kind", "kernel_size"], raises=ValueError)


@probe("code_length")
def code_length(implementation, see: Recorder) -> None:
    def draw(n: int, k: int, h: int, w: int) -> tuple[Tensor, Tensor]:
        return see.normal(n, k, h, w, std=2), torch.from_numpy(see.rng.integers(0, k, (n, h, w)))

    names = {"inputs": ["logits", "indices"], "gradients": ["logits"]}
    see.call("3 images, 5 codes, a 2 × 4 grid", implementation, *draw(3, 5, 2, 4), **names)
    see.call("4 images, 4 codes, a 4 × 4 grid", implementation, *draw(4, 4, 4, 4), **names)
    see.call("one image, 6 codes, a 3 × 3 grid", implementation, *draw(1, 6, 3, 3), **names)
    see.call("2 images, 3 codes, one place", implementation, *draw(2, 3, 1, 1), **names)
    logits, indices = draw(2, 3, 2, 2)
    see.call("logits of some hundreds", implementation, 150 * logits, indices, atol=1e-2, **names)


@probe("sample_codes")
def sample_codes(implementation, see: Recorder) -> None:
    label, k = "a prior in which each code follows from the ones before it", 7
    step = see.rng.permutation(np.arange(1, k))[:2]

    def chain(indices: Tensor, labels: Tensor) -> Tensor:
        """Sure of each place: the sum of the code to its left, the one at its upper right, and what the label adds."""
        known = F.pad(indices, (1, 1, 1, 0))
        left, upper_right = known[:, 1:, :-2], known[:, :-1, 2:]
        follows = left + upper_right + torch.as_tensor(step)[labels.long() % 2][:, None, None]
        return 60 * F.one_hot(follows % k, k).permute(0, 3, 1, 2).float()

    def shuffled(n: int) -> Tensor:
        return torch.from_numpy(see.rng.permutation(np.arange(n) % 2))

    see.note_dtype(
        label, "the codes", see.call(label, implementation, chain, shuffled(5), inputs=["prior", "labels"], by_chance=True)
    )
    see.call("the same prior, one label", implementation, chain, shuffled(1), inputs=["prior", "labels"], by_chance=True)
    _copied(implementation, see)

    logits = see.normal(2, 3, 7, 7)

    def independent(indices: Tensor, labels: Tensor) -> Tensor:
        return logits[labels.long() % 2]

    for label, n, options in (
        ("800 draws from a prior of independent places", 400, {}),
        ("200 draws, temperature=0.25", 100, {"temperature": 0.25}),
        ("200 draws, temperature=4", 100, {"temperature": 4.0}),
    ):  # n of each label
        with see.attempt(label), torch.no_grad():
            drawn = (
                torch.as_tensor(implementation(independent, torch.arange(2).repeat(n), **options)).long().view(n, 2, 7, 7)
            )
            # 8 standard errors of a difference of two such draws: in each place, and over all 39,200 places together.
            shares = F.one_hot(drawn, 3).double().mean(0).permute(0, 3, 1, 2)
            see.note(label, "share of each code in each place", shares, rtol=0, atol=8 * 2**0.5 * 0.5 / n**0.5)
            heights = logits.expand(n, -1, -1, -1, -1).gather(2, drawn[:, :, None]).double()
            error = heights.std() / heights.numel() ** 0.5
            see.note(label, "mean logit of the codes drawn", heights.mean(), rtol=0, atol=float(8 * 2**0.5 * error))
            together = (drawn[:, :, 0, 0] == drawn[:, :, 0, 1]).double().mean()
            share = "share of draws with equal codes in the first two places"
            see.note(label, share, together, rtol=0, atol=8 * 2**0.5 * 0.5 / n**0.5)
    labels = torch.arange(2).repeat(5)
    note_generator(see, "10 labels", lambda **options: implementation(independent, labels, **options))


def _copied(implementation, see: Recorder) -> None:
    """A prior that draws the first code by chance, and is sure that each other is that of the place before it."""

    def copying(indices: Tensor, labels: Tensor) -> Tensor:
        before = F.pad(indices.flatten(1), (1, 0))[:, :-1].view_as(indices)
        logits = 60 * F.one_hot(before, 7).permute(0, 3, 1, 2).float()
        logits[:, :, 0, 0] = 0.0
        return logits

    label = "a prior that repeats the code of the place before"
    with see.attempt(label), torch.no_grad():
        drawn = torch.as_tensor(implementation(copying, torch.zeros(5, dtype=torch.int64))).long().view(5, 49)
        told = "what stands in a place does not fit what stands before it in the grid that you return: draw each place once, after all before it."
        see.note(label, "all codes of an image are its first", bool((drawn == drawn[:, :1]).all()), told=told)
