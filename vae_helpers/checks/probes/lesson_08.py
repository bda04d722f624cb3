"""Probes of lesson 08, latent space."""

import math

import torch
from torch import Tensor, nn

from ...toy import LinearVAE
from ..modules import fill_linear_vae, fill_parameters
from ..recorder import Recorder
from . import choice, number, probe

choice("predict_reconstruction", "abc")
choice("predict_completeness", "abc")
number("predict_lerp_length", rtol=0.03)


class Bend(nn.Module):
    """Not linear, so that what was mixed before it differs from what is mixed after it."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.5 * torch.sin(2 * x)


def _refuse_the_whole(*given) -> None:
    raise TypeError("the whole model was called, vae(x); only its .encode and .decode are promised, and they suffice")


def _two_halves(latent_dim: int, seed: int) -> LinearVAE:
    """A VAE with a bend in either half. Called as a whole it refuses: an autoencoder returns something else there."""
    vae = LinearVAE(latent_dim)
    vae.encoder, vae.decoder = nn.Sequential(Bend(), vae.encoder), nn.Sequential(Bend(), vae.decoder)
    vae = _of_batches(latent_dim, seed, vae)
    vae.forward = _refuse_the_whole
    return vae


def _of_batches(latent_dim: int, seed: int, vae: LinearVAE | None = None) -> LinearVAE:
    """A filled VAE that takes batches alone, as one with convolutions does, and says what else it was given."""
    vae = fill_linear_vae(vae or LinearVAE(latent_dim), seed)

    def takes(what: str, *expected: int):
        def refuse(_, given: tuple[Tensor]) -> None:
            shape = tuple(given[0].shape)
            if shape[1:] != expected:
                raise ValueError(f"vae.{what} got the shape {shape}; it takes a batch, (N, {', '.join(map(str, expected))})")

        return refuse

    vae.encoder.register_forward_pre_hook(takes("encode", 1, 28, 28))
    vae.decoder.register_forward_pre_hook(takes("decode", latent_dim))
    return vae


class WatchedVAE(LinearVAE):
    """A layer in it doubles the codes in training mode, as dropout would change them; it wants images, and notes how it is called."""

    def __init__(self, latent_dim: int):
        super().__init__(latent_dim)
        self.batches = []
        self.layer = nn.Identity()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.shape[1:] != (1, 28, 28):
            raise ValueError(f"the encoder was given images of shape {tuple(x.shape)}; a convolution wants (n, 1, 28, 28)")
        self.batches.append(len(x))
        mu, logvar = super().encode(x)
        return (2 * mu if self.layer.training else mu), logvar


@probe("encode_dataset")
def encode_dataset(implementation, see: Recorder) -> None:
    vae = fill_linear_vae(WatchedVAE(3), see.seed)
    vae.forward = _refuse_the_whole

    def call(label: str, n: int, batch_size: int | None, training: bool = False) -> None:
        vae.train(training)
        vae.batches = []
        options = {} if batch_size is None else {"batch_size": batch_size}
        mu = see.call(label, implementation, vae, see.uniform(n, 1, 28, 28), inputs=["vae", "x"], **options)
        if isinstance(mu, Tensor):
            see.note_dtype(label, "the codes", mu)
            kept = "the codes carry the graph of the encoder, which fills the memory: encode inside `with torch.no_grad():`."
            see.note(label, "mu.requires_grad", str(mu.requires_grad), told=kept)
            if any(parameter.dtype != torch.float32 for parameter in vae.parameters()):
                told = "the model's parameters have another dtype afterwards. Leave the model as you found it."
                see.note(label, "parameters of another dtype", True, told=told)
                vae.float()
            mode = "training mode" if vae.training else "evaluation mode"
            told = f"the model is in {mode} afterwards. Leave it in the mode that it was in."
            see.note(label, "the mode of the model afterwards", mode, told=told)
            elsewhere = "training" if vae.layer.training else "evaluation"
            if vae.layer.training != vae.training:
                told = (
                    f"the model is in {mode} afterwards, and its layers are still in {elsewhere} mode: set the mode with "
                    "vae.train(…), which tells all of them."
                )
                see.note(label, "the mode of its layers afterwards", f"{elsewhere} mode", told=told)
            if not all(parameter.requires_grad for parameter in vae.parameters()):
                told = (
                    "the model is frozen afterwards (requires_grad_(False)), and can't be trained: leave it as you found it."
                )
                see.note(label, "parameters that no longer want gradients", True, told=told)
                vae.requires_grad_(True)
            limit = batch_size or 1000
            most = "more than batch_size" if max(vae.batches, default=0) > limit else "at most batch_size"
            told = "the encoder gets more images at once than `batch_size` says. Cut x into batches of at most `batch_size`."
            see.note(label, "the number of images that the encoder got at once", most, told=told)
        elif mu is not None:
            told = f"the result is of type {type(mu).__name__}; the codes are wanted as one tensor, (N, D)."
            see.note(label, "the kind of the result", type(mu).__name__, told=told)

    call("6 images, batch_size=3", 6, 3)
    call("7 images, batch_size=3", 7, 3)
    call("2 images, batch_size=3", 2, 3)
    call("one image, no batch_size given", 1, None)
    call("5 images, batch_size=2, a model in training mode", 5, 2, training=True)


@probe("manifold")
def manifold(implementation, see: Recorder) -> None:
    vae = _of_batches(2, see.seed)
    _note_places(implementation, vae, see)
    for n in (3, 2, 1):
        see.call(f"n = {n}", implementation, vae, n, inputs=["vae", "n"])


def _note_places(implementation, vae: LinearVAE, see: Recorder) -> None:
    """Which places are decoded, whatever their order: what is wrong with the grid itself has words of its own."""
    places, label, n = [], "the places that are decoded, n = 4", 4
    watch = vae.decoder.register_forward_pre_hook(lambda _, given: places.append(given[0].detach()))

    def decoded() -> None:
        implementation(vae, n)

    see.call(label, decoded)
    watch.remove()
    if not places or any(z.shape[1:] != (2,) for z in places):
        return  # what then was raised has been seen
    z = torch.cat(places).double()
    see.note(label, "the number of codes", len(z), told=f"{len(z)} codes are decoded. A grid of 4 by 4 has 16.")
    different = len(z.mul(1000).round().unique(dim=0))
    told = f"only {different} different places are among them. Every z1 is to meet every z2."
    see.note(label, "the number of different places", different, told=told)
    coordinates = z.sort(dim=0).values
    told = None
    if not coordinates.isfinite().all():
        told = "some are infinite or NaN: Φ⁻¹ takes only numbers between 0 and 1, without 0 and 1 themselves. Take the middles, (i + ½)/n."
    elif len(z) == n * n:
        grid = coordinates[::n]
        gaps = grid.diff(dim=0)
        if len(coordinates.unique()) > 2 * n:
            told = "they form no grid: a grid of 4 by 4 has 4 values of z1 and 4 of z2."
        elif gaps.min() > 0 and torch.allclose(gaps, gaps[:1].expand_as(gaps), rtol=1e-3):
            told = "they lie at equal distances, so that those far out stand for little of the prior. Take Φ⁻¹ of the middles of n equal pieces."
        elif torch.allclose(grid, -grid.flip(0), atol=1e-4):
            told = "the shares u that you put into Φ⁻¹ are not the middles of n equal pieces of the interval from 0 to 1: (i + ½)/n."
        else:
            told = "the coordinates don't lie evenly around 0, as those of the middles (i + ½)/n do."
    see.note(label, "the coordinates of the places", coordinates, told=told)


@probe("Autoencoder")
def autoencoder(implementation, see: Recorder) -> None:
    x, z = see.uniform(3, 1, 28, 28), see.normal(3, 4)
    with see.attempt("Autoencoder(4)"):
        module = _make(implementation, 4, see)
        told = _no_pair(module.encode(x[:1]))
        see.note("Autoencoder(4)", "what encode returns", told or "mu and logvar of the encoder", told=told)
        if told:
            return
        fill_parameters(module, lambda module: (*module.encode(x[:1]), module.decode(z[:1].abs())), see.seed)
        see.call("ae.encode(x)", module.encode, x, inputs=["x"])
        see.call("ae.decode(z)", module.decode, z, inputs=["z"])
        see.call("ae(x)", module, x, inputs=["x"], gradients=["x"], gradient_slack=0.3)
        see.call("ae(x), one image", module, x[:1], inputs=["x"])
        for mode in ("training", "evaluation"):
            module.train(mode == "training")
            with torch.no_grad():
                first, second = module(x), module(x)
            if isinstance(first, Tensor):
                same = "the same" if torch.equal(first, second) else "another one"
                told = "a second call gives other logits: noise is drawn. An autoencoder decodes mu itself, in either mode."
                see.note(f"ae(x) twice, in {mode} mode", "the second result", same, told=told)
            left = "training" if module.training else "evaluation"
            told = f"forward leaves the module in {left} mode. Whoever calls it sets the mode: no eval() or train() in the class."
            see.note(f"ae(x) twice, in {mode} mode", "the mode afterwards", left, told=told)
    with see.attempt("Autoencoder(2)"):
        _make(implementation, 2, see)


def _no_pair(encoded) -> str | None:
    """What is to be said of what encode returned of one image, where it is no pair that hangs on the encoder."""
    if not isinstance(encoded, (tuple, list, Tensor)) or len(encoded) != 2:
        return "ae.encode(x) gives no pair. It returns both of the encoder's results, (mu, logvar)."
    for name, part in zip(("mu", "logvar"), encoded, strict=True):
        if not isinstance(part, Tensor):
            return f"ae.encode(x) gives a {type(part).__name__} for {name}. It returns both of the encoder's results as they are."
        if not part.requires_grad:
            return (
                f"ae.encode(x) gives a {name} that does not come from the encoder, or is cut off from it (detach, no_grad)."
            )
    return None


def _make(cls, latent_dim: int, see: Recorder) -> nn.Module:
    label, seed = f"Autoencoder({latent_dim})", 7_919 + see.seed
    torch.default_generator.manual_seed(seed)
    module = cls(latent_dim)
    if not isinstance(module, nn.Module):
        raise TypeError(f"{label} is a {type(module).__name__}, not an nn.Module")
    see.note(label, "resets the global random seed", "no" if torch.initial_seed() == seed else "yes")
    number = sum(p.numel() for p in module.parameters())
    told = f"it has {number:,} parameters, which are not those of an Encoder({latent_dim}) and a Decoder({latent_dim})."
    if number == 0:
        told = "it has no parameters. Encoder and decoder become attributes of self, in no list or dict: then PyTorch finds them."
    elif number == sum(p.numel() for p in cls(latent_dim + 1).parameters()):
        told = "it has as many parameters whatever latent_dim is. Pass latent_dim on to Encoder and Decoder."
    see.note(label, "number of parameters", number, rtol=0, told=told)
    return module


def _two_vectors(see: Recorder, d: int, angle: float, length0: float, length1: float) -> tuple[Tensor, Tensor]:
    """Two vectors (d,) with that angle between them, in radians, and these lengths; d ≥ 2."""
    u, v = torch.linalg.qr(see.normal(d, 2).double())[0].T
    return (length0 * u).float(), (length1 * (math.cos(angle) * u + math.sin(angle) * v)).float()


@probe("lerp")
def lerp(implementation, see: Recorder) -> None:
    names = {"inputs": ["z0", "z1", "t"], "float32": True}
    see.call("5 dimensions, 3 steps", implementation, see.normal(5), see.normal(5), see.uniform(3), **names)
    see.call("4 dimensions, 4 steps", implementation, see.normal(4), see.normal(4), see.uniform(4), **names)
    see.call("3 dimensions, one step", implementation, see.normal(3), see.normal(3), see.uniform(1), **names)
    see.call("one dimension, 4 steps", implementation, see.normal(1), see.normal(1), see.uniform(4), **names)
    ends = torch.tensor([0.0, 1.0])
    see.call("both ends", implementation, see.normal(6, std=5), see.normal(6, std=5), ends, **names)


@probe("slerp")
def slerp(implementation, see: Recorder) -> None:
    names = {"inputs": ["z0", "z1", "t"], "float32": True}

    def call(label: str, vectors: tuple[Tensor, Tensor], t: Tensor) -> None:
        see.call(label, implementation, *vectors, t, **names)

    call("a right angle, equal lengths", _two_vectors(see, 5, math.pi / 2, 1.0, 1.0), torch.linspace(0, 1, 4))
    call("an angle of 60°, other lengths", _two_vectors(see, 5, math.pi / 3, 0.9, 0.3), see.uniform(3))
    call("an angle of 140°", _two_vectors(see, 3, 140 / 180 * math.pi, 0.5, 0.8), see.uniform(4))
    for degrees in (40, 15, 5):
        call(f"an angle of {degrees}°", _two_vectors(see, 5, math.radians(degrees), 2.0, 3.0), see.uniform(3))
    call("4 dimensions, 4 steps", _two_vectors(see, 4, 1.2, 3.0, 2.0), see.uniform(4))
    call("100 dimensions, one step", _two_vectors(see, 100, 1.5, 10.0, 9.0), see.uniform(1))
    call("both ends", _two_vectors(see, 2, 0.8, 4.0, 0.5), torch.tensor([0.0, 1.0]))
    along = torch.tensor([1.0, 0.0, 0.0])
    call("parallel vectors along an axis", (2 * along, 5 * along), torch.linspace(0, 1, 5))
    same = see.normal(3)
    call("the same vector twice", (same, same.clone()), torch.linspace(0, 1, 3))
    call("almost parallel vectors", _two_vectors(see, 6, 1e-4, 2.0, 3.0), see.uniform(3))
    # Enough pairs that rounding takes the cosine of some to above 1.
    pairs = [(z, factor * z) for z, factor in zip(see.normal(60, 7), see.uniform(60, low=0.3, high=3.0), strict=True)]
    t = see.uniform(2)
    label = "60 pairs of parallel vectors"
    seen = see.call(label, lambda: torch.stack([torch.as_tensor(implementation(*p, t)) for p in pairs]))
    if isinstance(seen, Tensor):  # which of them it is, rounding decides
        told = (
            "the points between some of the pairs are NaN: rounding takes the cosine above 1, where arccos is NaN. Clamp it."
        )
        see.note(label, "NaN between some of the pairs", bool(seen.isnan().any()), told=told)


@probe("interpolate")
def interpolate(implementation, see: Recorder) -> None:
    vae = _two_halves(4, see.seed)

    def straight(z0: Tensor, z1: Tensor, t: Tensor) -> Tensor:
        shapes = [tuple(torch.as_tensor(given).shape) for given in (z0, z1, t)]
        if [len(shape) for shape in shapes] != [1, 1, 1]:
            wrong = "t without a dimension, not all of its numbers at once" if not shapes[2] else "t as a column"
            if len(shapes[0]) != 1:
                wrong = "each code as a batch of one" if len(shapes[0]) == 2 and shapes[0][0] == 1 else "no single codes"
            raise ValueError(
                f"path got {wrong}: z0, z1 and t have the shapes {', '.join(map(str, shapes))}; expected (D,), (D,) and (T,)"
            )
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"path got z0 and z1 of the shapes {shapes[0]} and {shapes[1]}: it is called as path(z0, z1, t)"
            )
        if not torch.is_floating_point(t):
            raise ValueError("path got whole numbers for t; t goes from 0 to 1 in equal steps")
        return torch.lerp(z0, z1, t[:, None])

    def bent(z0: Tensor, z1: Tensor, t: Tensor) -> Tensor:
        return straight(z0, z1, t**2) + (t * (1 - t))[:, None]

    for label, steps, path in (
        ("3 steps, a straight path", 3, straight),
        ("2 steps, a straight path", 2, straight),
        ("4 steps, a path of another kind", 4, bent),
    ):
        x0, x1 = see.uniform(1, 28, 28), see.uniform(1, 28, 28)
        see.call(label, implementation, vae, x0, x1, steps, path, inputs=["vae", "x0", "x1", "steps", "path"])


@probe("traverse")
def traverse(implementation, see: Recorder) -> None:
    vae = _of_batches(3, see.seed)
    names = {"inputs": ["vae", "z", "dim", "values"]}
    see.call("dimension 1 of 3, 4 values", implementation, vae, see.normal(3), 1, see.normal(4, std=2), **names)
    see.call("dimension 0 of 3, 3 values", implementation, vae, see.normal(3), 0, see.normal(3, std=2), **names)
    see.call("dimension 2 of 3, one value", implementation, vae, see.normal(3), 2, see.normal(1, std=2), **names)


@probe("attribute_vector")
def attribute_vector(implementation, see: Recorder) -> None:
    names = {"inputs": ["mu", "labels", "source", "target"], "float32": True}

    def draw(counts: list[int], d: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        labels = labels[torch.from_numpy(see.rng.permutation(len(labels)))]
        return see.normal(len(labels), d, std=2), labels

    see.call("9 codes, 3 dimensions, classes of 2, 3 and 4", implementation, *draw([2, 3, 4], 3), 0, 2, **names)
    see.call("the same classes the other way round", implementation, *draw([2, 3, 4], 3), 2, 0, **names)
    see.call("6 codes, 6 dimensions, a class of one", implementation, *draw([1, 3, 2], 6), 1, 0, **names)
    see.call("5 codes, one dimension, two classes", implementation, *draw([2, 3], 1), 0, 1, **names)


@probe("continuity")
def continuity(implementation, see: Recorder) -> None:
    def path(steps: list[float]) -> Tensor:
        """Images along a path whose steps have these lengths, in directions that differ."""
        directions = see.normal(len(steps) + 1, 784).double()
        directions /= directions.norm(dim=1, keepdim=True)
        moves = torch.tensor([[0.0], *([s] for s in steps)], dtype=torch.float64) * directions
        return (0.5 + moves.cumsum(0)).float().reshape(-1, 1, 28, 28).clamp(0, 1)

    lengths = see.rng.uniform(0.2, 1.0, 8).tolist()
    for label, steps in (
        ("7 images", lengths[:6]),
        ("4 images, the last step is the largest", [0.5, 0.3, 0.9 + 0.1 * lengths[6]]),
        ("5 images, one of the steps is 0", [0.4, 0.0, 0.6 + 0.3 * lengths[7], 0.5]),
        ("3 images, equal steps", [0.7, 0.7]),
        ("2 images", [0.6]),
    ):
        see.call(label, implementation, path(steps), inputs=["images"])


@probe("completeness")
def completeness(implementation, see: Recorder) -> None:
    vae = fill_linear_vae(LinearVAE(2), see.seed)
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    z = see.normal(800, 2)
    with torch.no_grad():
        images = vae.decode(z).sigmoid()
        # What all classes share moves the logits of an image up and down together, which the softmax does not see.
        classifier[1].weight.copy_(see.normal(10, 784, std=0.3) + see.normal(1, 784, std=0.5))
        classifier[1].bias -= classifier(images.mean(0, keepdim=True))[0]  # now 0 for the average image
        # The sharper the classifier, the more it is sure of: here of about half of the images.
        logits = classifier(images)
        sharpness = min(
            1.2 ** torch.arange(-40.0, 20.0), key=lambda s: abs((_confidence(s * logits) > 0.9).float().mean() - 0.5)
        )
        # Class 0 is the most frequent, so that who takes the number of the class for the confidence gets another share.
        first = int(logits.argmax(1).bincount(minlength=10).argmax())
        for parameter in classifier.parameters():
            parameter *= sharpness
            parameter[[0, first]] = parameter[[first, 0]]
        confidence = _confidence(classifier(images))

    def codes(sure: int, unsure: int) -> Tensor:
        """None so near to 0.9 that rounding could decide."""
        picked = torch.cat([z[confidence > 0.91][:sure], z[confidence < 0.89][:unsure]])
        return picked[torch.from_numpy(see.rng.permutation(len(picked)))]

    names = {"inputs": ["decoder", "z", "classifier"]}
    _note_share(implementation, vae.decode, codes(20, 20), classifier, see)
    for total in (101, 12, 10):  # of the small ones two mistakes may have the same share
        sure = int(see.rng.integers(total // 3, total // 2))
        see.call(f"{total} codes", implementation, vae.decode, codes(sure, total - sure), classifier, **names)
    above, below = confidence > 0.901, confidence < 0.899  # still far enough for rounding, and another threshold shows
    near = torch.cat([z[above][confidence[above].argsort()[:7]], z[below][confidence[below].argsort(descending=True)[:13]]])
    see.call("20 codes that the classifier is about 90 % sure of", implementation, vae.decode, near, classifier, **names)
    see.call("one code", implementation, vae.decode, codes(1, 0), classifier, **names)
    see.call("4 codes, none of them a digit", implementation, vae.decode, codes(0, 4), classifier, **names)


def _note_share(implementation, decoder, z: Tensor, classifier, see: Recorder) -> None:
    """Whether the share is one at all, of codes of which the classifier is sure of one half."""
    label, found = "40 codes, half of them digits", []
    see.call(label, lambda: found.append(implementation(decoder, z, classifier)))
    if not found:
        return
    share = torch.as_tensor(found[0] if isinstance(found[0], (Tensor, float, int)) else math.nan)
    kind, told = "a share", None
    if share.numel() != 1:
        kind, told = "many", "it returns a number for each of many. The share of all codes is one number."
    elif share == 0:
        kind = "0"
        told = (
            "your share is 0, and the classifier is sure of half of these images. Is what you compare with 0.9 a logarithm, or a "
            "softmax taken twice or over too much, or are the images not what a sigmoid makes of the decoder's logits?"
        )
    elif share == 1:
        kind, told = "1", "your share is 1, and the classifier is sure of only half of these images."
    see.note(label, "the kind of the share", kind, told=told)


def _confidence(logits: Tensor) -> Tensor:
    return logits.softmax(1).amax(1)
