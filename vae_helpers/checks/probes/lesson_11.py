"""Probes of lesson 11, the conditional VAE."""

import torch
from torch import Tensor, nn

from ..draws import note_codes, note_generator, note_own_noise
from ..modules import fill_parameters, note_gradients
from ..recorder import Recorder
from . import choice, number, probe

choice("predict_conditional_gap", "abcd")
number("predict_label_worth", rtol=0.02)
choice("predict_where_it_shows", "abc")
choice("predict_label_from_code", "abc")
choice("predict_label_by_elbo", "abc")
choice("predict_shared_code", "abc")


def _labels(see: Recorder, n: int, n_classes: int) -> Tensor:
    """n labels (n,), int64, of which none is the last class, so that the classes cannot be counted from them."""
    return torch.from_numpy(see.rng.integers(0, max(1, n_classes - 1), n))


def _thinned(images, step: int):
    """Every step-th row and column of images (N, C, H, W), so that the answer keys stay small; anything else as it is."""
    return images[:, :, ::step, ::step] if isinstance(images, Tensor) and images.ndim == 4 else images


def _shape_alone(images):
    """Zeros in the images' place. Raises TypeError for what is no tensor."""
    if not isinstance(images, Tensor):
        raise TypeError(f"the images are a {type(images).__name__}; expected a tensor")
    return torch.zeros_like(images)


@probe("condition_image")
def condition_image(implementation, see: Recorder) -> None:
    def call(label: str, x: Tensor, y: Tensor, **options) -> None:
        def thinned(x: Tensor, y: Tensor):
            result = implementation(x, y, **options)
            see.note_dtype(label, "the result", result)
            if isinstance(result, Tensor):
                see.note(label, "the shape of the result", str(tuple(result.shape)))
                if result.ndim == 4:
                    see.note(label, "the sum over each channel", result.sum(dim=(2, 3)))
            return _thinned(result, 9)

        see.call(label, thinned, x, y, inputs=["x", "y"])

    for label, n, options in (
        ("3 images", 3, {}),
        ("one image", 1, {}),
        ("10 images", 10, {}),
        ("4 images, n_classes=4", 4, {"n_classes": 4}),
        ("2 images, n_classes=12", 2, {"n_classes": 12}),
    ):
        x, y = see.uniform(n, 1, 28, 28), _labels(see, n, options.get("n_classes", 10))
        y[-1] = int(see.rng.integers(1, 3))  # not all labels are 0
        call(label, x, y, **options)
    call("the last class of 10", see.uniform(2, 1, 28, 28), torch.tensor([9, 0]))
    call("2 images in float64", see.uniform(2, 1, 28, 28).double(), torch.tensor([3, 1]))


@probe("condition_latent")
def condition_latent(implementation, see: Recorder) -> None:
    names = {"inputs": ["z", "y"], "gradients": ["z"]}
    for label, n, d, options in (
        ("4 codes, 3 dimensions", 4, 3, {}),
        ("one code", 1, 5, {}),
        ("10 codes, 10 dimensions", 10, 10, {}),
        ("3 codes, one dimension", 3, 1, {}),
        ("4 codes, 4 dimensions, n_classes=4", 4, 4, {"n_classes": 4}),
        ("3 codes, 2 dimensions, n_classes=12", 3, 2, {"n_classes": 12}),
    ):
        y = _labels(see, n, options.get("n_classes", 10))
        y[-1] = int(see.rng.integers(1, 3))
        see.note_dtype(label, "the result", see.call(label, implementation, see.normal(n, d, std=2), y, **names, **options))
    see.call("the last class of 10", implementation, see.normal(2, 3), torch.tensor([9, 0]), **names)
    label, z = "2 codes in float64", see.normal(2, 3).double()
    see.note_dtype(label, "the result", see.call(label, implementation, z, torch.tensor([3, 1]), **names))


@probe("ConditionalVAE")
def conditional_vae(implementation, see: Recorder) -> None:
    x, z, eps = see.uniform(4, 1, 28, 28), see.normal(4, 3), see.normal(4, 3)
    for n_classes, options in ((10, {}), (4, {"n_classes": 4})):
        name = "ConditionalVAE(3" + (", n_classes=4)" if options else ")")
        with see.attempt(name):
            module = implementation(3, **options)
            if not isinstance(module, nn.Module):
                raise TypeError(f"{name} is a {type(module).__name__}, not an nn.Module")
            parameters = sum(p.numel() for p in module.parameters())
            told = (
                "the module has no parameters, so that an optimizer has nothing to train: make both networks in `__init__`, "
                "each as an attribute of `self`."
            )
            see.note(name, "number of parameters", parameters, rtol=0, told=None if parameters else told)
            y = torch.from_numpy(see.rng.permutation(n_classes)[:4].copy())
            # Both halves by themselves, so that what `forward` does wrong is seen in `forward`.
            fill_parameters(module, lambda m: (*m.encode(x[:1], y[:1]), m.decode(z[:1].abs(), y[:1])), see.seed)  # noqa: B023
            same_x, same_z = x[:1].expand(4, -1, -1, -1), z[:1].expand(4, -1)
            see.call(f"{name}.encode: one image under 4 labels", module.encode, same_x, y, inputs=["x", "y"])
            decode, forward = _thin_result(module.decode), _thin_result(module)
            see.call(f"{name}.decode: one code under 4 labels", decode, same_z, y, inputs=["z", "y"])
            names = {"inputs": ["x", "y", "eps"], "gradients": ["x"], "gradient_slack": 0.3}
            see.call(f"{name}(x, y, eps)", forward, x, y, eps, **names)
            if not options:
                see.call(f"{name}.encode(x, y), one image", module.encode, x[:1], y[:1], inputs=["x", "y"])
                see.call(f"{name}.decode(z, y)", decode, z, y, inputs=["z", "y"])
                still = torch.zeros(2, 3)
                see.call(f"{name}(x, y, eps = 0)", forward, x[:2], y[:2], still, inputs=["x", "y", "eps"])
                see.call(f"{name}(x, y, eps), one image", forward, x[:1], y[:1], eps=eps[:1], inputs=["x", "y"])
                note_own_noise(see, "cvae(x, y) with no eps", module, x[:1], y[:1])
                module.eval()
                see.call(f"{name}(x, y, eps) after .eval()", forward, x[:2], y[:2], eps[:2], inputs=["x", "y", "eps"])


def _thin_result(function):
    """The function with its images thinned, whether they are the whole result or a part of it."""

    def thin(*args, **options):
        result = function(*args, **options)
        return tuple(_thinned(part, 3) for part in result) if isinstance(result, (tuple, list)) else _thinned(result, 3)

    return thin


class LinearConditionalVAE(nn.Module):
    """A conditional VAE of linear maps: the interface of the lesson's, in a thousandth of the time.

    `.encode(x, y)` → (mu, logvar), `.decode(z, y)` → logits, `.forward(x, y, eps=None)` → (logits, mu, logvar).
    Each label shifts what either map gives. It keeps the last code that it decoded as `.decoded`.
    """

    def __init__(self, latent_dim: int, n_classes: int):
        super().__init__()
        self.latent_dim, self.n_classes = latent_dim, n_classes
        self.encoder, self.decoder = nn.Linear(784, 2 * latent_dim), nn.Linear(latent_dim, 784)
        self.encoder_labels, self.decoder_labels = nn.Embedding(n_classes, 2 * latent_dim), nn.Embedding(n_classes, 784)
        self.decoded = None

    def encode(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return (self.encoder(x.flatten(1)) + self.encoder_labels(y)).chunk(2, dim=1)

    def decode(self, z: Tensor, y: Tensor) -> Tensor:
        self.decoded = z.detach()
        return (self.decoder(z) + self.decoder_labels(y)).unflatten(1, (1, 28, 28))

    def forward(self, x: Tensor, y: Tensor, eps: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        mu, logvar = self.encode(x, y)
        eps = torch.randn_like(mu) if eps is None else eps
        return self.decode(torch.addcmul(mu, logvar.div(2).exp(), eps), y), mu, logvar


def _filled(latent_dim: int, n_classes: int, see: Recorder) -> LinearConditionalVAE:
    toy = LinearConditionalVAE(latent_dim, n_classes)
    with torch.no_grad():
        for parameter in toy.parameters():
            # Codes and logits of size 1, whatever the width of the sum that makes them.
            parameter.copy_(see.normal(*parameter.shape, std=0.03 if parameter.shape[-1] == 784 else 0.4))
        toy.decoder_labels.weight.mul_(20)
    return toy.eval()


# The loss last: what is wrong in a term is seen there first.
TERMS = ("reconstruction", "kl", "loss")


@probe("cvae_loss")
def cvae_loss(implementation, see: Recorder) -> None:
    toy = _filled(3, 5, see)

    def terms(model: nn.Module, *args, **options) -> dict[str, Tensor]:
        found = implementation(model, *args, **options)
        if not isinstance(found, dict):
            raise TypeError(
                f"expected a dict with the entries 'loss', 'reconstruction' and 'kl', not a {type(found).__name__}"
            )
        return found

    def call(label: str, n: int, model: nn.Module = toy, still: bool = False, **options) -> None:
        # Black and white: a Bernoulli that validates what it is given takes nothing else.
        x = (see.uniform(n, 1, 28, 28) > 0.6).float()
        y, eps = torch.from_numpy(see.rng.integers(0, 5, n)), see.normal(n, 3, std=0 if still else 1)
        with see.attempt(label), torch.enable_grad():
            found = terms(model, x, y, eps=eps, **options)
            for name in TERMS:
                if not isinstance(found[name], Tensor):
                    raise TypeError(f"{name!r} is a {type(found[name]).__name__}; expected a tensor with no dimensions")
                see.note(label, f"result {name!r}", found[name])
            parts = {name: [parameter] for name, parameter in model.named_parameters()}
            note_gradients(see, label, found["loss"].sum(), parts, slack=1e-4)

    call("4 images", 4)
    call("one image", 1)
    call("5 images, beta=3", 5, beta=3.0)
    call("3 images, beta=0", 3, beta=0.0)
    call("2 images, eps = 0", 2, still=True)
    sure = _filled(3, 5, see)
    with torch.no_grad():
        sure.decoder_labels.weight.mul_(80)
    call("2 images, logits of ±50", 2, model=sure)
    label = "with no eps"
    with see.attempt(label), torch.no_grad():
        y = torch.arange(1500) % 5
        terms(toy, torch.zeros(1500, 1, 28, 28), y)
        mu, logvar = toy.encode(torch.zeros(1500, 1, 28, 28), y)
        noise = (toy.decoded - mu) * (-0.5 * logvar).exp()
        terms(toy, torch.zeros(1500, 1, 28, 28), y)
        again = bool(torch.allclose((toy.decoded - mu) * (-0.5 * logvar).exp(), noise, atol=1e-4))
        told = "two images of one batch share their noise: draw a row of it for each, (N, D)."
        see.note(label, "two images share their noise", bool(torch.allclose(noise[0], noise[1], atol=1e-4)), told=told)
        told = "two calls have the same noise: with None, each call draws its own, without a seed."
        see.note(label, "two calls have the same noise", again, told=told)
        # 7 standard errors of the difference of two samples of 1,500, per dimension.
        error = 7 * 2**0.5 / 1500**0.5
        see.note(label, "mean of the noise that was drawn", noise.mean(0), atol=error)
        spread = ", ".join(f"{number:.2g}" for number in noise.std(0).tolist())
        told = f"the noise has the standard deviation {spread}. A draw from N(0, I) has 1 in each dimension."
        spread = noise.std(0).clamp(min=1e-3).log()  # where it is 0 but for rounding, too
        see.note(label, "spread of the noise that was drawn", spread, atol=error / 2**0.5, told=told)
    x, y = (see.uniform(2, 1, 28, 28) > 0.6).float(), torch.tensor([1, 3])
    _note_mode(see, "the model", toy, lambda: terms(toy, x, y))


class GlassCVAE(LinearConditionalVAE):
    """Its images tell which code and which label they were made of: z in the first pixels, the label in the next."""

    def decode(self, z: Tensor, y: Tensor) -> Tensor:
        if z.ndim != 2 or z.shape[1] != self.latent_dim or y.shape != z.shape[:1]:
            got = f"z of shape {tuple(z.shape)} and y of shape {tuple(y.shape)}"
            raise ValueError(f"decode got {got}; expected (N, {self.latent_dim}) and (N,)")
        label = 6 * nn.functional.one_hot(y, self.n_classes).to(z.dtype) - 3
        pixels = torch.cat([z, label], 1)
        return nn.functional.pad(pixels, (0, 784 - pixels.shape[1])).unflatten(1, (1, 28, 28))


def _note_mode(see: Recorder, label: str, toy: nn.Module, use) -> None:
    for training, mode in ((True, "training mode"), (False, "evaluation mode")):
        with see.attempt(label):
            toy.train(training)
            use()
            after = "training mode" if toy.training else "evaluation mode"
            see.note(label, f"the mode afterwards of a model that came in {mode}", after)
    toy.eval()


@probe("generate_class")
def generate_class(implementation, see: Recorder) -> None:
    toy, d, n_classes = GlassCVAE(3, 4).eval(), 3, 4
    y = torch.from_numpy(see.rng.permutation([0, 1, 2, 3, 3, 1, 2]))
    shape = see.call("7 labels, for the shape", lambda y: _shape_alone(implementation(toy, y)), y, inputs=["y"])
    if shape is None:
        return
    see.call("one label, for the shape", lambda y: _shape_alone(implementation(toy, y)), y[:1], inputs=["y"])
    wider = GlassCVAE(5, 4).eval()
    see.call("a model with D = 5, for the shape", lambda y: _shape_alone(implementation(wider, y)), y, inputs=["y"])
    label = "7 labels"
    with see.attempt(label), torch.no_grad():
        images = torch.as_tensor(implementation(toy, y)).flatten(1)
        got = images[:, d : d + n_classes].argmax(1)
        see.note(label, "the labels that the decoder got", got)
        see.note(label, "the pixels that the label makes", images[:, d : d + n_classes])
    label = "3,000 labels"
    with see.attempt(label), torch.no_grad():
        images = torch.as_tensor(implementation(toy, torch.arange(3000) % n_classes)).flatten(1)
        told = "some pixels lie below 0 or above 1: these are logits. The sigmoid makes images of them."
        see.note(label, "darkest pixel is below 0", bool(images.min() < 0), told=told)
        see.note(label, "brightest pixel is above 1", bool(images.max() > 1), told=told)
        z = torch.logit(images[:, :d].double())
        told = "two images in a row are made of the same z: draw one for each label, (N, D)."
        see.note(label, "two images in a row have the same z", bool(torch.equal(z[0], z[1])), told=told)
        told = "two images of one class are made of the same z: draw one for each label in y, not one for each class."
        see.note(label, "two images of one class have the same z", bool(torch.equal(z[0], z[n_classes])), told=told)
        note_codes(see, label, z)
    note_generator(see, "5 labels", lambda **options: implementation(toy, y[:5], **options))
    _note_mode(see, "the model", toy, lambda: implementation(toy, y))


@probe("transfer_style")
def transfer_style(implementation, see: Recorder) -> None:
    toy = _filled(3, 5, see)

    def call(label: str, y: Tensor, target: Tensor) -> None:
        x = see.uniform(len(y), 1, 28, 28)
        see.call(label, lambda x, y, target: implementation(toy, x, y, target), x, y, target, inputs=["x", "y", "target"])

    y = torch.from_numpy(see.rng.permutation(5))
    y = y if y[0] else y.roll(1)  # the first label is told from label 0
    call("5 images to other labels", y, (y + 1) % 5)
    call("4 images to one label", y[:4], y[4].expand(4))
    call("one image", y[:1], y[1:2])
    call("3 images to their own labels", y[:3], y[:3].clone())
    call("2 images that swap their labels", y[:2], y[:2].flip(0))
    x = see.uniform(2, 1, 28, 28)
    _note_mode(see, "the model", toy, lambda: implementation(toy, x, y[:2], y[2:4]))


@probe("quadrant_loss")
def quadrant_loss(implementation, see: Recorder) -> None:
    names = {"inputs": ["x", "logits", "mu", "logvar"], "gradients": ["logits", "mu", "logvar"]}
    for label, n, d in (("4 images, 3 dimensions", 4, 3), ("one image", 1, 2), ("3 images, one dimension", 3, 1)):
        x, logits = (see.uniform(n, 1, 28, 28) > 0.6).float(), see.normal(n, 1, 28, 28, std=2)
        see.call(label, implementation, x, logits, see.normal(n, d, std=3), see.normal(n, d), **names)
    x, logits = (see.uniform(2, 1, 28, 28) > 0.6).float(), see.normal(2, 1, 28, 28, std=40)
    see.call("2 images, logits of ±40", implementation, x, logits, see.normal(2, 3), see.normal(2, 3), **names)
    # Nothing but the seen quadrant is wrong, and by much.
    x, z = torch.zeros(2, 1, 28, 28), torch.zeros(2, 2)
    logits = torch.full_like(x, -50.0)
    logits[:, :, 14:, :14] = 50.0
    label = "logits that are wrong in the seen quadrant only"
    see.call(label, implementation, x, logits, z, z.clone(), atol=1e-2, **names)


class GlassQuadrantVAE(nn.Module):
    """Its images tell which code they were made of, in the first pixels, and how dark the condition was, in the next two."""

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim

    def encode(self, *images: Tensor) -> None:
        raise RuntimeError("encode was called: nothing is encoded here, z is drawn from the prior")

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        if z.ndim != 2 or z.shape[1] != self.latent_dim or c.shape != (len(z), 1, 28, 28):
            got = f"z of shape {tuple(z.shape)} and c of shape {tuple(c.shape)}"
            raise ValueError(f"decode got {got}; expected (N, {self.latent_dim}) and (N, 1, 28, 28)")
        seen = c[:, :, 14:, :14].flatten(1).mean(1, keepdim=True)
        rest = c.flatten(1).sum(1, keepdim=True) / 196 - seen
        pixels = torch.cat([z, 2 * seen, 2 * rest], 1)
        return nn.functional.pad(pixels, (0, 784 - pixels.shape[1])).unflatten(1, (1, 28, 28))


@probe("fill_in")
def fill_in(implementation, see: Recorder) -> None:
    model, d = GlassQuadrantVAE(3).eval(), 3
    x = (see.uniform(4, 1, 28, 28) > see.uniform(4, 1, 1, 1)).float()
    for label, images, n in (("4 images, n=3", x, 3), ("one image, n=2", x[:1], 2), ("3 images, n=1", x[:3], 1)):

        def without_the_code(x: Tensor, n: int = n) -> Tensor:
            found = implementation(model, x, n).clone()
            found[..., 0, :d] = 0
            return found

        if see.call(label, without_the_code, images, inputs=["x"], by_chance=True) is None:
            return
    wider = GlassQuadrantVAE(5).eval()
    see.call("a model with D = 5, for the shape", lambda x: _shape_alone(implementation(wider, x, 2)), x, inputs=["x"])
    label = "3 images, n=500"
    with see.attempt(label), torch.no_grad():
        found = torch.as_tensor(implementation(model, x[:3], 500))
        z = torch.logit(found[:, :, 0, 0, :d].double())  # (n, N, D)
        note_codes(see, label, z.flatten(0, 1))
        told = "two completions of one image are made of the same z: draw one for each of the n, (n, N, D) in all."
        see.note(label, "two completions of one image have the same z", bool(torch.equal(z[0, 0], z[1, 0])), told=told)
        told = "two images are completed from the same z: draw one for each image, (n, N, D) in all."
        see.note(label, "two images have the same z", bool(torch.equal(z[0, 0], z[0, 1])), told=told)
    note_generator(see, "2 images, n=2", lambda **options: implementation(model, x[:2], 2, **options))
