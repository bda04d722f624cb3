"""Lesson 11, the conditional VAE: what students get wrong, and other ways to be right."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from . import Exercise, reference
from .recurring import detached, in_bits, logvar_as_log_std


def given(name: str):
    """Something that the lesson gives."""
    return reference("ConditionalVAE").__init__.__globals__[name]


# --- condition_image ----------------------------------------------------------------------------------------------------------

condition_image = Exercise("condition_image")
condition_image.edits("""
planes_first: `[x, planes]` → `[planes, x]`
    The label planes stand before the image. Channel 0 is the image; the planes follow.
ten_hard_coded: `one_hot(y, n_classes)` → `one_hot(y, 10)`
    There are always ten planes. With other data there are more or fewer classes: use n_classes.
classes_counted_in_batch: `one_hot(y, n_classes)` → `one_hot(y)`
    The number of planes depends on the largest label in the batch. F.one_hot takes the number of classes as its second
    argument.
first_label_for_all: `one_hot(y, n_classes)` → `one_hot(y[:1].expand(len(y)), n_classes)`
    All images get the planes of the first one's label. Each image has a label of its own.
float64_planes: `.to(x.dtype)` → `.double()`
    The result is float64, and no layer of the network takes that. Turn the one-hot integers into numbers of x's own
    type: .to(x.dtype).
image_rounded: `[x, planes]` → `[x.round(), planes]`
    You cut the image to black and white. Channel 0 is the image as it is, grey values included.
class_too_many: `one_hot(y, n_classes)` → `one_hot(y, n_classes + 1)`
    There is a plane too many. The classes are 0 to n_classes − 1: F.one_hot takes their number, n_classes.
class_in_its_plane: `one_hot(y, n_classes).to` → `one_hot(y, n_classes).mul(y[:, None]).to`
    The plane of the class holds the class's number. It is 1 there: a label has no size.
planes_not_expanded: `[:, :, None, None].expand(-1, -1, 28, 28)` → `[:, :, None, None]`
    The planes are one pixel large, and torch.cat does not widen them: expand them to (N, n_classes, 28, 28).
inverted: `one_hot(y, n_classes).to(x.dtype)` → `one_hot(y, n_classes).to(x.dtype).neg().add(1)`
    Your planes are the wrong way round: that of the image's class is 1, and the others are 0.
minus_one_for_the_others: `one_hot(y, n_classes).to(x.dtype)` → `one_hot(y, n_classes).to(x.dtype).mul(2).sub(1)`
    The planes of the other classes are −1. They are 0.
channels_last: `torch.cat([x, planes], dim=1)` → `torch.cat([x, planes], dim=1).permute(0, 2, 3, 1)`
    The channels come last in your result. In this course they come second: (N, 1 + n_classes, 28, 28).
added_to_the_image: `torch.cat([x, planes], dim=1)` → `x + planes`
    You add the planes to the image. They are channels of their own behind it: torch.cat along dimension 1.
""")


@condition_image.mistake(
    "The label went in as one plane filled with the number y. Then a 9 is nine times as much as a 1, and between 3 and 4; labels have no such order. One plane for each class."
)
def one_integer_plane(x, y, n_classes=10):
    return torch.cat([x, y.view(-1, 1, 1, 1).to(x.dtype).expand(-1, 1, 28, 28)], 1)


@condition_image.mistake(
    "All planes of an image are filled with the integer y. The plane of its own class is 1, the others are 0: that is one-hot."
)
def integer_in_every_plane(x, y, n_classes=10):
    return torch.cat([x, y.view(-1, 1, 1, 1).to(x.dtype).expand(-1, n_classes, 28, 28)], 1)


@condition_image.mistake(
    "The numbers are right, and they lie in the wrong places: repeating the ten numbers of a label 784 times and then calling .view(…, 28, 28) mixes the classes within each plane. Add two dimensions, (N, n_classes, 1, 1), and expand those."
)
def scrambled_by_view(x, y, n_classes=10):
    one_hot = F.one_hot(y, n_classes).to(x.dtype)
    return torch.cat([x, one_hot.repeat(1, 784).view(len(x), n_classes, 28, 28)], 1)


@condition_image.mistake(
    "The plane of the class holds a copy of the image. It should be 1 everywhere: where the image is white, the label must be seen too."
)
def image_in_the_plane_of_its_class(x, y, n_classes=10):
    return torch.cat([x, x * F.one_hot(y, n_classes).to(x.dtype)[:, :, None, None]], 1)


def _scaled_plane(name, largest):
    def wrong(x, y, n_classes=10):
        plane = (y / largest(n_classes)).view(-1, 1, 1, 1).to(x.dtype)
        return torch.cat([x, plane.expand(-1, 1, 28, 28)], 1)

    wrong.__name__ = name
    condition_image.mistake(
        "The label went in as one plane of grey. Scaled or not, one number puts the classes in an order that they have not: one plane for each class."
    )(wrong)


@condition_image.mistake(
    "All planes of an image have one grey, y divided by the number of classes. The plane of its own class is 1, the others are 0: that is one-hot."
)
def grey_in_every_plane(x, y, n_classes=10):
    return torch.cat([x, (y / n_classes).view(-1, 1, 1, 1).to(x.dtype).expand(-1, n_classes, 28, 28)], 1)


@condition_image.mistake(
    "The label is written into one pixel of its plane. The plane of the class is 1 everywhere: a convolution sees it at every place."
)
def one_pixel_of_the_plane(x, y, n_classes=10):
    planes = torch.zeros(len(x), n_classes, 28, 28, dtype=x.dtype)
    planes[:, :, 0, 0] = F.one_hot(y, n_classes).to(x.dtype)
    return torch.cat([x, planes], 1)


_scaled_plane("plane_of_grey", lambda n_classes: n_classes)
_scaled_plane("plane_of_grey_up_to_one", lambda n_classes: n_classes - 1)


@condition_image.mistake(
    "The plane of class y is written into channel y. Channel 0 is the image, so that of class y is channel 1 + y."
)
def planes_from_channel_0(x, y, n_classes=10):
    result = torch.cat([x, torch.zeros(len(x), n_classes, 28, 28, dtype=x.dtype)], 1)
    result[torch.arange(len(x)), y] = 1
    return result


@condition_image.mistake(
    "Every image gets the planes of all labels in the batch: planes[:, y] = 1 writes into all rows. Row i has y[i] alone."
)
def labels_of_all_in_each(x, y, n_classes=10):
    planes = torch.zeros(len(x), n_classes, 28, 28, dtype=x.dtype)
    planes[:, y] = 1
    return torch.cat([x, planes], 1)


@condition_image.mistake("The image itself is missing: the result has 1 + n_classes channels, and channel 0 is the image.")
def planes_only(x, y, n_classes=10):
    return F.one_hot(y, n_classes).to(x.dtype)[:, :, None, None].expand(-1, -1, 28, 28)


@condition_image.mistake("The image is written over: work on a new tensor; whoever calls still needs x as it was.")
def image_thresholded_in_place(x, y, n_classes=10):
    x.round_()
    return reference("condition_image")(x, y, n_classes)


@condition_image.variant
def into_a_tensor_of_zeros(x, y, n_classes=10):
    result = torch.zeros(len(x), 1 + n_classes, 28, 28, dtype=x.dtype)
    result[:, 0] = x[:, 0]
    result[torch.arange(len(x)), 1 + y] = 1.0
    return result


@condition_image.variant
def by_comparison(x, y, n_classes=10):
    planes = (y[:, None] == torch.arange(n_classes)).float()
    return torch.cat((x, torch.einsum("nk,hw->nkhw", planes, torch.ones(28, 28))), dim=1)


@condition_image.variant
def image_by_image(x, y, n_classes=10):
    rows = []
    for image, label in zip(x, y.tolist(), strict=True):
        planes = [torch.full((28, 28), float(k == label)) for k in range(n_classes)]
        rows.append(torch.stack([image.squeeze(0), *planes]))
    return torch.stack(rows)


@condition_image.variant
def by_rows_of_the_identity(x, y, n_classes=10):
    planes = np.eye(n_classes, dtype=np.float32)[y.numpy()]
    return torch.hstack([x, torch.from_numpy(planes).reshape(-1, n_classes, 1, 1) * torch.ones_like(x)])


# --- condition_latent ---------------------------------------------------------------------------------------------------------

condition_latent = Exercise("condition_latent")
condition_latent.edits("""
label_first: `[z, one_hot]` → `[one_hot, z]`
    The label stands before the code. The code comes first: (z, one-hot).
ten_hard_coded: `one_hot(y, n_classes)` → `one_hot(y, 10)`
    The label always takes ten numbers. With other data there are more or fewer classes: use n_classes.
classes_counted_in_batch: `one_hot(y, n_classes)` → `one_hot(y)`
    The width depends on the largest label in the batch. F.one_hot takes the number of classes as its second argument.
first_label_for_all: `one_hot(y, n_classes)` → `one_hot(y[:1].expand(len(y)), n_classes)`
    All codes get the label of the first one. Each has a label of its own.
detached: `[z, one_hot]` → `[z.detach(), one_hot]`
    No gradient gets back to z (detach, .data, .numpy() or torch.tensor), so the encoder would learn nothing from the
    reconstruction.
float64_label: `.to(z.dtype)` → `.double()`
    The result is float64, and no layer of the network takes that. Turn the one-hot integers into numbers of z's own
    type: .to(z.dtype).
class_too_many: `one_hot(y, n_classes)` → `one_hot(y, n_classes + 1)`
    The label takes a number too many. The classes are 0 to n_classes − 1: F.one_hot takes their number, n_classes.
class_in_its_place: `one_hot(y, n_classes).to` → `one_hot(y, n_classes).mul(y[:, None]).to`
    The place of the class holds the class's number. In a one-hot vector it is 1.
stacked: `torch.cat([z, one_hot], dim=1)` → `torch.stack([z, one_hot], dim=1)`
    torch.stack makes a new dimension, of tensors of one shape. torch.cat puts the label behind the code.
inverted: `one_hot(y, n_classes).to(z.dtype)` → `one_hot(y, n_classes).to(z.dtype).neg().add(1)`
    The label is the wrong way round: the place of the class is 1, and the others are 0.
minus_one_for_the_others: `one_hot(y, n_classes).to(z.dtype)` → `one_hot(y, n_classes).to(z.dtype).mul(2).sub(1)`
    The places of the other classes are −1. They are 0.
one_place_early: `one_hot(y, n_classes)` → `one_hot((y - 1) % n_classes, n_classes)`
    The 1 stands one place too early, at y − 1. Classes are counted from 0, and so are places.
label_alone: `torch.cat([z, one_hot], dim=1)` → `one_hot`
    The code is missing: the result is z with the label behind it, D + n_classes numbers.
labels_below: `dim=1` → `dim=0`
    You put the labels below the codes, as further rows. Each goes behind its own code: dim=1.
added_to_the_code: `torch.cat([z, one_hot], dim=1)` → `z + one_hot`
    You add the label to the code. It stands behind it: torch.cat along dimension 1.
""")


@condition_latent.mistake(
    "The label went in as the integer y itself. Then a 9 is nine times as much as a 1, and labels have no such order. Append its one-hot vector, n_classes numbers."
)
def integer_label(z, y, n_classes=10):
    return torch.cat([z, y[:, None].to(z.dtype)], 1)


def _scaled_label(name, largest):
    def wrong(z, y, n_classes=10):
        return torch.cat([z, (y / largest(n_classes))[:, None].to(z.dtype)], 1)

    wrong.__name__ = name
    condition_latent.mistake(
        "The label went in as one number. Scaled or not, it puts the classes in an order that they have not: append a one-hot vector, n_classes numbers."
    )(wrong)


_scaled_label("scaled_label", lambda n_classes: n_classes)
_scaled_label("label_up_to_one", lambda n_classes: n_classes - 1)


@condition_latent.mistake(
    "The 1 of the label is written into the code, at place y. The label begins behind the code: place D + y."
)
def label_within_the_code(z, y, n_classes=10):
    return F.pad(z, (0, n_classes)).scatter(1, y[:, None], 1.0)


@condition_latent.mistake(
    "Every code gets the labels of the whole batch: one_hot[:, y] = 1 writes into all rows. Row i has y[i] alone."
)
def labels_of_all_in_each(z, y, n_classes=10):
    label = torch.zeros(len(z), n_classes, dtype=z.dtype)
    label[:, y] = 1
    return torch.cat([z, label], 1)


@condition_latent.mistake(
    "The integer y stands in all n_classes places. In a one-hot vector the place of the class is 1, and the others are 0."
)
def integer_in_every_place(z, y, n_classes=10):
    return torch.cat([z, y[:, None].to(z.dtype).expand(-1, n_classes)], 1)


@condition_latent.mistake(
    "The code is multiplied by the one-hot vector, so that each class has D places of its own and shares nothing with the others. Append the vector to the code."
)
def block_for_each_class(z, y, n_classes=10):
    return torch.einsum("nd,nk->nkd", z, F.one_hot(y, n_classes).to(z.dtype)).flatten(1)


@condition_latent.variant
def by_padding(z, y, n_classes=10):
    places = torch.arange(z.shape[1] + n_classes)
    return F.pad(z, (0, n_classes)) + (places == z.shape[1] + y[:, None]).float()


@condition_latent.variant
def by_scatter(z, y, n_classes=10):
    label = z.new_zeros(z.shape[0], n_classes).scatter_(1, y.unsqueeze(1), 1.0)
    return torch.hstack((z, label))


@condition_latent.variant
def row_by_row(z, y, n_classes=10):
    identity = torch.eye(n_classes)
    return torch.stack([torch.cat([row, identity[int(label)]]) for row, label in zip(z, y, strict=True)])


# --- ConditionalVAE -----------------------------------------------------------------------------------------------------------

conditional_vae = Exercise("ConditionalVAE")
conditional_vae.edits("""
encoder_gets_label_0: `condition_image(x, y, self.n_classes)` → `condition_image(x, 0 * y, self.n_classes)`
    The encoder has room for a label, and what it gets does not depend on y: one image under four labels has four times
    the same code.
decoder_gets_label_0: `condition_latent(z, y, self.n_classes)` → `condition_latent(z, 0 * y, self.n_classes)`
    The decoder has room for a label, and what it gets does not depend on y: one code under four labels gives four times
    the same image.
encoder_built_for_ten_classes: `in_channels=1 + n_classes` → `in_channels=11`
    The encoder is built for ten classes whatever n_classes says. It reads 1 + n_classes channels.
decoder_built_for_ten_classes: `latent_dim + n_classes` → `latent_dim + 10`
    The decoder is built for ten classes whatever n_classes says. It reads latent_dim + n_classes numbers.
ignores_eps: `reparameterize(mu, logvar, eps)` → `reparameterize(mu, logvar)`
    `forward` draws its own noise although `eps` was given. Hand `eps` on to `reparameterize`.
decodes_the_mean: `z = reparameterize(mu, logvar, eps)` → `z = mu`
    You decode the mean, so nothing is sampled. `forward` decodes one sample of q(z | x, y).
returns_images: `return self.decode(z, y), mu, logvar` → `return torch.sigmoid(self.decode(z, y)), mu, logvar`
    `forward` returns images, with the sigmoid applied. Return the decoder's logits as they are.
wrong_order: `return self.decode(z, y), mu, logvar` → `return mu, logvar, self.decode(z, y)`
    The order of the results is (logits, mu, logvar).
detached_code: `z = reparameterize(mu, logvar, eps)` → `z = reparameterize(mu, logvar, eps).detach()`
forward_decodes_label_0: `return self.decode(z, y), mu, logvar` → `return self.decode(z, torch.zeros_like(y)), mu, logvar`
    `encode` and `decode` are right, and `forward` decodes with another label than it encodes with. Both get y.
decode_gives_images: `return self.decoder(condition_latent(z, y, self.n_classes))` → `return torch.sigmoid(self.decoder(condition_latent(z, y, self.n_classes)))`
    `decode` returns images, with the sigmoid applied. Return the decoder's logits as they are.
noise_times_variance: `reparameterize(mu, logvar, eps)` → `reparameterize(mu, 2 * logvar, eps)`
    You multiply the noise by the variance. σ is exp(½ · logvar).
one_over_sigma: `reparameterize(mu, logvar, eps)` → `reparameterize(mu, -logvar, eps)`
    You divide the noise by σ. The code is mu + σ·eps, with σ = exp(½ · logvar).
noise_not_scaled: `reparameterize(mu, logvar, eps)` → `reparameterize(mu, 0 * logvar, eps)`
    The noise is not scaled. The code is mu + σ·eps, with σ = exp(½ · logvar).
decodes_the_noise: `reparameterize(mu, logvar, eps)` → `reparameterize(0 * mu, 0 * logvar, eps)`
    You decode eps, a draw from the prior. The code of this image is mu + σ·eps.
mean_in_evaluation_mode: `z = reparameterize(mu, logvar, eps)` → `z = reparameterize(mu, logvar, eps) if self.training else mu`
    In evaluation mode you decode the mean. `forward` decodes one sample of q(z | x, y) in either mode: an ELBO on test
    images needs it, too.
uniform_noise: `reparameterize(mu, logvar, eps)` → `reparameterize(mu, logvar, torch.rand_like(mu) if eps is None else eps)`
    With no eps the noise is uniform on [0, 1], from `rand`. It is a standard normal, from `randn`: `reparameterize` draws it.
logvar_for_sigma: `reparameterize(mu, logvar, eps)` → `(mu + logvar * (torch.randn_like(mu) if eps is None else eps))`
    You multiply the noise by `logvar`. σ is exp(½ · logvar).
half_of_logvar_for_sigma: `reparameterize(mu, logvar, eps)` → `(mu + 0.5 * logvar * (torch.randn_like(mu) if eps is None else eps))`
    You multiply the noise by ½ · logvar, which is log σ. σ is its exponential, exp(½ · logvar).
returns_the_code: `return self.decode(z, y), mu, logvar` → `return self.decode(z, y), z, logvar`
    The second result is the sample z. The KL needs the mean: (logits, mu, logvar).
returns_sigma: `return self.decode(z, y), mu, logvar` → `return self.decode(z, y), mu, (0.5 * logvar).exp()`
    The third result is a standard deviation. Return `logvar` as the encoder gives it.
returns_the_variance: `return self.decode(z, y), mu, logvar` → `return self.decode(z, y), mu, logvar.exp()`
    The third result is a variance. Return `logvar`, its logarithm, as the encoder gives it.
logits_alone: `return self.decode(z, y), mu, logvar` → `return self.decode(z, y)`
    `forward` returns the logits alone. The loss needs three results: (logits, mu, logvar).
four_results: `return self.decode(z, y), mu, logvar` → `return self.decode(z, y), mu, logvar, z`
    `forward` returns four results. They are three: (logits, mu, logvar).
unpacked_the_wrong_way_round: `mu, logvar = self.encode(x, y)` → `logvar, mu = self.encode(x, y)`
    `forward` unpacks `encode` the wrong way round: it returns mu first, then logvar.
encoder_built_for_the_image_alone: `Encoder(latent_dim, in_channels=1 + n_classes)` → `Encoder(latent_dim)`
    The encoder is built for one channel. `condition_image` makes 1 + n_classes of them: say so with in_channels.
encoder_built_for_the_label_alone: `in_channels=1 + n_classes` → `in_channels=n_classes`
    The encoder is built for n_classes channels. The image is one more: 1 + n_classes.
decoder_built_for_the_code_alone: `Decoder(latent_dim + n_classes)` → `Decoder(latent_dim)`
    The decoder is built for latent_dim numbers. `condition_latent` makes latent_dim + n_classes of them.
code_widened: `Encoder(latent_dim, in` → `Encoder(latent_dim + n_classes, in`
    Your encoder makes latent_dim + n_classes numbers. The code has latent_dim: the label is put behind it later, by
    `condition_latent`.
""")


@conditional_vae.mistake(
    "The encoder never sees the label: it is built for one channel. Then q(z | x, y) is q(z | x), and the code cannot leave out what the label says. Give it condition_image(x, y, …)."
)
def encoder_without_label(latent_dim, n_classes=10):
    module = reference("ConditionalVAE")(latent_dim, n_classes)
    module.encoder = given("Encoder")(latent_dim)
    module.encode = lambda x, y: module.encoder(x)
    return module


@conditional_vae.mistake(
    "The decoder never sees the label: it is built for latent_dim numbers. Then nobody can ask it for a class. Give it condition_latent(z, y, …)."
)
def decoder_without_label(latent_dim, n_classes=10):
    module = reference("ConditionalVAE")(latent_dim, n_classes)
    module.decoder = given("Decoder")(latent_dim)
    module.decode = lambda z, y: module.decoder(z)
    return module


@conditional_vae.mistake(
    "With another number of classes the networks do not fit what they are given: `n_classes` is not handed on to `condition_image` or `condition_latent`, which then take 10."
)
def n_classes_not_handed_on(latent_dim, n_classes=10):
    module = reference("ConditionalVAE")(latent_dim, n_classes)
    module.encode = lambda x, y: module.encoder(reference("condition_image")(x, y))
    return module


@conditional_vae.mistake(
    "`n_classes` is not used: the networks and what they are given are made for ten classes, whatever it says."
)
def ten_classes_throughout(latent_dim, n_classes=10):
    return reference("ConditionalVAE")(latent_dim)


@conditional_vae.mistake(
    "No parameter is registered, so that no optimizer sees any: the networks are kept in a plain list or dict, or made anew in each call. Make both in `__init__`, as attributes of `self`."
)
def networks_not_registered(latent_dim, n_classes=10):
    module = nn.Module()
    networks = [reference("ConditionalVAE")(latent_dim, n_classes)]
    module.encode, module.decode, module.forward = networks[0].encode, networks[0].decode, networks[0].forward
    return module


@conditional_vae.mistake(
    "The label goes in as one number. `condition_image` and `condition_latent` make n_classes numbers of it: build the networks for those."
)
def label_as_a_number(latent_dim, n_classes=10):
    module = reference("ConditionalVAE")(latent_dim, n_classes)
    module.encoder, module.decoder = given("Encoder")(latent_dim, 2), given("Decoder")(latent_dim + 1)
    module.encode = lambda x, y: module.encoder(one_integer_plane(x, y))
    module.decode = lambda z, y: module.decoder(integer_label(z, y))
    return module


@conditional_vae.variant
class SubmodulesInTheOtherOrder(nn.Module):
    def __init__(self, latent_dim, n_classes=10):
        super().__init__()
        self.latent_dim, self.classes = latent_dim, n_classes
        self.dec = given("Decoder")(latent_dim + n_classes)
        self.enc = given("Encoder")(latent_dim, 1 + n_classes)

    def encode(self, x, y):
        return self.enc(reference("condition_image")(x, y, self.classes))

    def decode(self, z, y):
        return self.dec(by_padding(z, y, self.classes))

    def forward(self, x, y, eps=None):
        mu, logvar = self.encode(x, y)
        q = Normal(mu, logvar.mul(0.5).exp())
        return self.decode(q.rsample() if eps is None else torch.addcmul(q.loc, q.scale, eps), y), mu, logvar


@conditional_vae.variant
class WithLayersOfItsOwn(nn.Module):
    """The same layers written out, the label's part of every first layer included."""

    def __init__(self, latent_dim: int, n_classes: int = 10) -> None:
        super().__init__()
        self.latent_dim, self.n_classes = latent_dim, n_classes
        self.heads, self.dense = nn.Linear(128, 2 * latent_dim), nn.Linear(1568, 128)
        self.down = nn.ModuleList([nn.Conv2d(1 + n_classes, 16, 3, 2, 1), nn.Conv2d(16, 32, 3, 2, 1)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(32, 16, 3, 2, 1, 1), nn.ConvTranspose2d(16, 1, 3, 2, 1, 1)])
        self.start, self.wide = nn.Linear(latent_dim + n_classes, 128), nn.Linear(128, 1568)

    def encode(self, x, y):
        h = into_a_tensor_of_zeros(x, y, self.n_classes)
        h = F.pad(x, (0, 0, 0, 0, 0, self.n_classes)) + F.pad(h[:, 1:], (0, 0, 0, 0, 1, 0))
        for layer in self.down:
            h = F.relu(layer(h))
        return self.heads(F.relu(self.dense(h.flatten(1)))).chunk(2, 1)

    def decode(self, z, y):
        h = self.wide(self.start(by_scatter(z, y, self.n_classes)).relu()).relu().view(-1, 32, 7, 7)
        return self.up[1](self.up[0](h).relu())

    def forward(self, x, y, eps=None):
        mu, logvar = self.encode(x, y)
        eps = torch.randn(mu.shape) if eps is None else eps
        return [self.decode(mu + eps * logvar.exp() ** 0.5, y), mu, logvar]


# --- cvae_loss ----------------------------------------------------------------------------------------------------------------

cvae_loss = Exercise("cvae_loss")
cvae_loss.edits("""
ignores_eps: `cvae(x, y, eps)` → `cvae(x, y)`
    `eps` was given, and other noise is used. Hand it on to the model.
label_0_for_all: `cvae(x, y, eps)` → `cvae(x, torch.zeros_like(y), eps)`
    The model gets another label than y. Without the label this is a plain VAE.
forgot_beta: `reconstruction + beta * kl` → `reconstruction + kl`
    `beta` is not used: it weighs the KL.
beta_on_reconstruction: `reconstruction + beta * kl` → `beta * reconstruction + kl`
    `beta` weighs the reconstruction loss. It belongs to the KL.
kl_subtracted: `reconstruction + beta * kl` → `reconstruction - beta * kl`
    The KL is subtracted. The ELBO subtracts it; the loss is minus the ELBO.
weighted_kl_reported: `"kl": kl` → `"kl": beta * kl`
    The entry "kl" is multiplied by beta. Report the KL itself; only the loss has the weighted one.
mean_over_pixels: `.flatten(1).sum(1).mean()` → `.mean()`
    The reconstruction loss is averaged over the pixels while the KL is summed: your β is really 784 times as large.
summed_over_batch: `gaussian_kl(mu, logvar).mean()` → `gaussian_kl(mu, logvar).sum()`
    The KL is summed over the batch. Each term is a mean over the images, taken once.
double_sigmoid: `logits, mu, logvar = cvae(x, y, eps)` → `logits, mu, logvar = cvae(x, y, eps)\n    logits = logits.sigmoid()`
    The sigmoid is applied twice: the model gives logits, and binary_cross_entropy_with_logits applies a sigmoid of its
    own.
squared_error: `F.binary_cross_entropy_with_logits(logits, x, reduction="none")` → `(x - torch.sigmoid(logits)) ** 2`
    This is the squared error. The decoder's pixels are Bernoulli: minus their log-likelihood is the binary
    cross-entropy.
cost_of_the_label: `"loss": reconstruction + beta * kl` → `"loss": reconstruction + beta * kl + torch.tensor(10.0).log()`
    You add ln 10 for the label. log p(x|y) takes the label as known: nobody pays for it here.
another_key: `"reconstruction": reconstruction, "kl"` → `"recon": reconstruction, "kl"`
    The dictionary's keys are "loss", "reconstruction" and "kl": what comes after looks them up by these names.
targets_and_logits_swapped: `F.binary_cross_entropy_with_logits(logits, x,` → `F.binary_cross_entropy_with_logits(x, logits,`
    The arguments of binary_cross_entropy_with_logits have changed places: first the logits, then the image.
mean_of_the_mean: `gaussian_kl(mu, logvar).mean()` → `gaussian_kl(mu, logvar).mean() / mu.shape[1]`
    The KL is averaged over the latent dimensions. It is a sum: your β is really β / D.
reconstruction_summed_over_batch: `.flatten(1).sum(1).mean()` → `.sum()`
    The reconstruction loss is summed over the batch. Each term is a mean over the images, taken once.
kl_doubled: `gaussian_kl(mu, logvar).mean()` → `2 * gaussian_kl(mu, logvar).mean()`
    Your KL is twice what it should be: the ½ is missing.
log_std_in_the_kl: `gaussian_kl(mu, logvar)` → `gaussian_kl(mu, 2 * logvar)`
    Your KL reads `logvar` as log σ. It is log σ²: the variance is exp(logvar).
log_likelihood_reported: `reconstruction = per_pixel` → `reconstruction = -per_pixel`
    Your reconstruction term is the log-likelihood itself. The loss holds minus it, the binary cross-entropy.
bound_itself: `return {"loss": reconstruction + beta * kl` → `return {"loss": -reconstruction - beta * kl`
    "loss" is the ELBO itself, which is to be maximised. The loss is minus it.
decodes_the_mean: `cvae(x, y, eps)` → `cvae(x, y, torch.zeros(len(x), cvae.latent_dim))`
    You decode the mean. The reconstruction loss is taken at a sample, mu + σ·eps: hand eps on to the model.
by_probabilities: `F.binary_cross_entropy_with_logits(logits, x, reduction="none")` → `F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="none")`
    You go through the probabilities. Where the sigmoid has become exactly 0 or 1 they have lost the logit, and the loss and its gradient are wrong: binary_cross_entropy_with_logits takes the logits.
""")


cvae_loss.edits("""
beta_on_both: `reconstruction + beta * kl` → `beta * (reconstruction + kl)`
    `beta` weighs both terms. It belongs to the KL alone.
kl_with_the_sign_reversed: `kl = gaussian_kl` → `kl = -gaussian_kl`
    The sign of the KL is reversed. A KL is never negative.
half_the_squared_error: `F.binary_cross_entropy_with_logits(logits, x, reduction="none")` → `0.5 * (x - torch.sigmoid(logits)) ** 2`
    This is the squared error. The decoder's pixels are Bernoulli: minus their log-likelihood is the binary
    cross-entropy.
squared_error_of_logits: `F.binary_cross_entropy_with_logits(logits, x, reduction="none")` → `(x - logits) ** 2`
    This is the squared error, and that of logits. The decoder's pixels are Bernoulli: minus their log-likelihood is the
    binary cross-entropy.
mean_not_squared: `gaussian_kl(mu, logvar)` → `(-0.5 * (1 + logvar - mu - logvar.exp())).sum(1)`
    The square of mu is missing in your KL: it is ½ · (mu² + exp(logvar) − 1 − logvar), summed.
forgot_minus_one: `gaussian_kl(mu, logvar)` → `(-0.5 * (logvar - mu**2 - logvar.exp())).sum(1)`
    The −1 of each dimension is missing in your KL. Where q is the prior, it must be 0.
no_kl: `"loss": reconstruction + beta * kl` → `"loss": reconstruction`
    The KL is missing in "loss".
no_reconstruction: `"loss": reconstruction + beta * kl` → `"loss": beta * kl`
    The reconstruction loss is missing in "loss".
kl_detached: `reconstruction + beta * kl` → `reconstruction + beta * kl.detach()`
    The KL is cut off from the encoder (detach, .item() or no_grad): it counts in the loss, and teaches nothing.
reconstruction_detached: `reconstruction + beta * kl` → `reconstruction.detach() + beta * kl`
    The reconstruction loss is cut off from the model (detach, .item() or no_grad): it counts in the loss, and teaches
    nothing.
mean_and_logvar_exchanged: `gaussian_kl(mu, logvar)` → `gaussian_kl(logvar, mu)`
    `mu` and `logvar` have changed places, as the model's results or on the way into the KL.
kl_of_sigma: `gaussian_kl(mu, logvar)` → `gaussian_kl(mu, (0.5 * logvar).exp())`
    You hand σ to gaussian_kl. It takes logvar, the logarithm of the variance.
kl_of_the_variance: `gaussian_kl(mu, logvar)` → `gaussian_kl(mu, logvar.exp())`
    You hand the variance to gaussian_kl. It takes logvar, its logarithm.
mean_over_rows: `.flatten(1).sum(1).mean()` → `.sum(-1).mean()`
    You sum over the 28 pixels of a row, and average over the rows. Sum over all 784 pixels of an image: .flatten(1).sum(1).
""")


@cvae_loss.mistake(
    "The batch means are missing: each entry holds a number for each image. It is one number, the mean over the images."
)
def one_number_an_image(cvae, x, y, eps=None, beta=1.0):
    reconstruction, kl = _by_image(*cvae(x, y, eps), x)
    return {"loss": reconstruction + beta * kl, "reconstruction": reconstruction, "kl": kl}


def _by_image(logits, mu, logvar, x):
    """(reconstruction, kl) of each image."""
    per_pixel = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return per_pixel.flatten(1).sum(1), 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)


@cvae_loss.mistake(
    "All is divided by the number of pixels. These are nats per image: the reconstruction loss is a sum over the 784 pixels, the KL one over the dimensions."
)
def nats_a_pixel(cvae, x, y, eps=None, beta=1.0):
    return {name: term / 784 for name, term in reference("cvae_loss")(cvae, x, y, eps, beta).items()}


@cvae_loss.mistake(
    'These are the terms of the ELBO, which is to be maximised. The loss is minus it, and "reconstruction" minus the log-likelihood.'
)
def terms_of_the_bound(cvae, x, y, eps=None, beta=1.0):
    terms = reference("cvae_loss")(cvae, x, y, eps, beta)
    return {"loss": -terms["loss"], "reconstruction": -terms["reconstruction"], "kl": terms["kl"]}


cvae_loss.edits("""
seeded_inside: `cvae(x, y, eps)` → `cvae(x, y, torch.randn(len(x), cvae.latent_dim, generator=torch.Generator().manual_seed(0)) if eps is None else eps)`
    With no eps every call has the same noise: something is seeded inside. Seed nothing: the model draws fresh noise when
    it is given None.
no_noise: `cvae(x, y, eps)` → `cvae(x, y, torch.zeros(len(x), cvae.latent_dim) if eps is None else eps)`
    With no eps you decode the mean. None means fresh noise: hand it on, and the model draws it.
uniform_noise: `cvae(x, y, eps)` → `cvae(x, y, torch.rand(len(x), cvae.latent_dim) if eps is None else eps)`
    `torch.rand` is uniform on [0, 1]. The noise is a standard normal: `torch.randn`.
one_noise_for_all: `cvae(x, y, eps)` → `cvae(x, y, torch.randn(1, cvae.latent_dim).expand(len(x), -1) if eps is None else eps)`
    With no eps all images of a batch share their noise. Draw a row for each, (N, D).
loss_a_pixel: `"loss": reconstruction + beta * kl` → `"loss": (reconstruction + beta * kl) / 784`
    "loss" is divided by the number of pixels. It is reconstruction + beta · kl, in nats per image.
negative_kl_reported: `"kl": kl` → `"kl": -kl`
    The entry "kl" has the sign reversed. A KL is never negative.
kl_divided_twice: `gaussian_kl(mu, logvar).mean()` → `gaussian_kl(mu, logvar).mean() / len(x)`
    The KL is divided by the number of images twice: .mean() does that already.
forgot_logvar: `gaussian_kl(mu, logvar)` → `(0.5 * (mu**2 + logvar.exp() - 1)).sum(1)`
    −logvar is missing in your KL: it is ½ · (mu² + exp(logvar) − 1 − logvar), summed.
sigma_for_the_variance: `gaussian_kl(mu, logvar)` → `(0.5 * (mu**2 + (0.5 * logvar).exp() - 1 - logvar)).sum(1)`
    Your KL has σ where the variance belongs: it is ½ · (mu² + exp(logvar) − 1 − logvar), summed.
forgot_mu: `gaussian_kl(mu, logvar)` → `(0.5 * (logvar.exp() - 1 - logvar)).sum(1)`
    The mean plays no part in your KL: it is ½ · (mu² + exp(logvar) − 1 − logvar), summed.
sign_of_logvar: `gaussian_kl(mu, logvar)` → `(0.5 * (mu**2 + logvar.exp() - 1 + logvar)).sum(1)`
    A sign in your KL is reversed, that of logvar: it is ½ · (mu² + exp(logvar) − 1 − logvar), summed.
image_and_sigmoid_swapped: `F.binary_cross_entropy_with_logits(logits, x,` → `F.binary_cross_entropy_with_logits(x, logits.sigmoid(),`
    The arguments of binary_cross_entropy_with_logits have changed places: first the logits, as they are, then the image.
mode_changed: `logits, mu, logvar = cvae` → `cvae.eval()\n    logits, mu, logvar = cvae`
    A model that came in training mode is left in evaluation mode. Leave it as you found it: the loss is called in training.
""")


@cvae_loss.mistake("You estimate the KL from the one sample, log q(z) − log p(z). It is known exactly: use `gaussian_kl`.")
def kl_from_the_sample(cvae, x, y, eps=None, beta=1.0):
    _, logvar = cvae.encode(x, y)
    eps = torch.randn_like(logvar) if eps is None else eps
    logits, mu, logvar = cvae(x, y, eps)
    reconstruction = _by_image(logits, mu, logvar, x)[0].mean()
    kl = 0.5 * ((mu + (0.5 * logvar).exp() * eps) ** 2 - eps**2 - logvar).sum(1).mean()
    return {"loss": reconstruction + beta * kl, "reconstruction": reconstruction, "kl": kl}


@cvae_loss.mistake("You count in bits: there is a factor 1/ln 2. This course counts in nats, with the natural logarithm.")
def terms_in_bits(cvae, x, y, eps=None, beta=1.0):
    return {name: term / torch.tensor(2.0).log() for name, term in reference("cvae_loss")(cvae, x, y, eps, beta).items()}


@cvae_loss.mistake(
    "The cost of the label, ln n_classes, is added. The label is given here and not explained: the bound is on log p(x | y), and y itself costs nothing."
)
def label_paid_for(cvae, x, y, eps=None, beta=1.0):
    terms = reference("cvae_loss")(cvae, x, y, eps, beta)
    return {**terms, "loss": terms["loss"] + torch.tensor(float(cvae.n_classes)).log()}


@cvae_loss.mistake(
    "The loss is cut off from the model (detach, .item() or no_grad), so that nothing learns from it. Only numbers for a report may be cut off."
)
def nothing_flows_back(cvae, x, y, eps=None, beta=1.0):
    terms = {name: value.detach() for name, value in reference("cvae_loss")(cvae, x, y, eps, beta).items()}
    return {**terms, "loss": terms["loss"].clone().requires_grad_()}


@cvae_loss.variant
def by_distributions(cvae, x, y, eps=None, beta=1.0):
    mu, logvar = cvae.encode(x, y)
    q = Normal(mu, logvar.exp().sqrt())
    z = q.rsample() if eps is None else q.loc + q.scale * eps
    pixels = Independent(Bernoulli(logits=cvae.decode(z, y), validate_args=False), 3)
    kl = kl_divergence(Independent(q, 1), Independent(Normal(torch.zeros_like(mu), 1.0), 1))
    reconstruction = -pixels.log_prob(x)
    return {"kl": kl.mean(), "reconstruction": reconstruction.mean(), "loss": (reconstruction + beta * kl).mean(0)}


@cvae_loss.variant
def by_formulas_in_float64(cvae, x, y, eps=None, beta=1.0):
    logits, mu, logvar = (part.double() for part in cvae(x, y, eps=eps))
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / len(x)
    reconstruction = (F.softplus(logits) - x * logits).sum() / len(x)
    loss = reconstruction + beta * kl
    return {"loss": loss.float(), "reconstruction": reconstruction.detach(), "kl": kl.detach(), "images": len(x)}


# --- generate_class -----------------------------------------------------------------------------------------------------------

generate_class = Exercise("generate_class")
generate_class.edits("""
no_sigmoid: `torch.sigmoid(cvae.decode(z, y))` → `cvae.decode(z, y)`
double_sigmoid: `torch.sigmoid(cvae.decode(z, y))` → `torch.sigmoid(torch.sigmoid(cvae.decode(z, y)))`
    The sigmoid is applied twice: white cannot get below ½.
one_code_for_all: `torch.randn(len(y), cvae.latent_dim, generator=generator)` → `torch.randn(1, cvae.latent_dim, generator=generator).expand(len(y), -1)`
    All images come from the same code. Draw one for each label.
one_code_for_each_class: `torch.randn(len(y), cvae.latent_dim, generator=generator)` → `torch.randn(cvae.n_classes, cvae.latent_dim, generator=generator)[y]`
    Images of one class share their code, so that all sevens are the same seven. Draw one for each entry of y.
uniform_codes: `torch.randn(` → `torch.rand(`
    `torch.rand` is uniform on [0, 1]. The prior is a standard normal: `torch.randn`.
generator_ignored: `, generator=generator)` → `)`
    `generator` is not used, so nobody can repeat your draw. Hand it on to `torch.randn`.
seeded_inside: `generator=generator)` → `generator=generator or torch.Generator().manual_seed(0))`
    Without a generator every call gives the same images. Draw from the global state then, and seed nothing.
first_label_for_all: `cvae.decode(z, y)` → `cvae.decode(z, y[:1].expand(len(y)))`
    All images are decoded with the first label. Each has its own.
sorted_labels: `cvae.decode(z, y)` → `cvae.decode(z, y.sort().values)`
    The images do not come in the order of the labels in y.
mode_changed: `return torch.sigmoid(cvae.decode(z, y))` → `cvae.eval()\n    return torch.sigmoid(cvae.decode(z, y))`
    A model that came in training mode is left in evaluation mode. Leave it as you found it.
drawn_pixels: `torch.sigmoid(cvae.decode(z, y))` → `torch.bernoulli(torch.sigmoid(cvae.decode(z, y)), generator=generator)`
    You draw each pixel, which adds noise that belongs to no digit. Show the probabilities: the sigmoid of the logits.
thresholded: `torch.sigmoid(cvae.decode(z, y))` → `(cvae.decode(z, y) > 0).float()`
    You cut the images to black and white. Keep the grey values: they are the model's probabilities.
negative: `torch.sigmoid(cvae.decode(z, y))` → `1 - torch.sigmoid(cvae.decode(z, y))`
    Your images are negatives: ink where paper belongs. The sigmoid itself is what is asked for.
clamped: `torch.sigmoid(cvae.decode(z, y))` → `cvae.decode(z, y).clamp(0, 1)`
    You cut the logits off at 0 and 1. The sigmoid makes probabilities of them.
cautious_codes: `torch.randn(len(y), cvae.latent_dim, generator=generator)` → `0.5 * torch.randn(len(y), cvae.latent_dim, generator=generator)`
    The spread of your codes is not 1: they are scaled. The prior is N(0, I), and torch.randn is that already.
clipped_codes: `torch.randn(len(y), cvae.latent_dim, generator=generator)` → `torch.randn(len(y), cvae.latent_dim, generator=generator).clamp(-2, 2)`
    You clip the codes. The prior is N(0, I) with all that is far from 0: take the draws as they are.
class_zero_for_all: `cvae.decode(z, y)` → `cvae.decode(z, torch.zeros_like(y))`
    All images are decoded with the label 0. Each has its own: y.
channel_dropped: `torch.sigmoid(cvae.decode(z, y))` → `torch.sigmoid(cvae.decode(z, y)).squeeze(1)`
    The dimension of the channel is gone. Images keep it: (N, 1, 28, 28).
one_number_for_all_dimensions: `torch.randn(len(y), cvae.latent_dim, generator=generator)` → `torch.randn(len(y), 1, generator=generator).expand(-1, cvae.latent_dim)`
    All dimensions of a code hold one and the same number. Draw a number for each: (N, D).
label_added_to_the_code: `torch.randn(len(y), cvae.latent_dim, generator=generator)` → `torch.randn(len(y), cvae.latent_dim, generator=generator) + y[:, None]`
    You add the label to the draw. The prior has no label in it: N(0, I) for every class.
sigmoid_of_twice_the_logits: `torch.sigmoid(cvae.decode(z, y))` → `(torch.tanh(cvae.decode(z, y)) + 1) / 2`
    This is the sigmoid of twice the logits: (tanh(a) + 1) / 2 = sigmoid(2a). Take the sigmoid of a.
stretched: `torch.sigmoid(cvae.decode(z, y))` → `(lambda logits: (logits - logits.min()) / (logits.max() - logits.min()))(cvae.decode(z, y))`
    You stretch the logits to the range from 0 to 1. The sigmoid makes probabilities of them.
no_draw: `torch.randn(len(y), cvae.latent_dim, generator=generator)` → `torch.zeros(len(y), cvae.latent_dim)`
    Every image comes from the code 0, the mean of the prior. Draw a code for each: `torch.randn`.
flat_images: `torch.sigmoid(cvae.decode(z, y))` → `torch.sigmoid(cvae.decode(z, y)).flatten(1)`
    Your images are flat. They keep their channel, rows and columns: (N, 1, 28, 28).
""")


@generate_class.mistake(
    "There is an image for each class that occurs in y. Each entry of y has one of its own, in their order."
)
def one_image_a_class(cvae, y, generator=None):
    return reference("generate_class")(cvae, y.unique(), generator)


@generate_class.variant
@torch.no_grad()
def one_after_the_other(cvae, y, generator=None):
    images = []
    for label in y:
        z = torch.empty(1, cvae.latent_dim).normal_(generator=generator)
        images.append(cvae.decode(z, label[None]).sigmoid())
    return torch.cat(images)


@generate_class.variant
def in_evaluation_mode(cvae, y, generator=None):
    was_training = cvae.training
    cvae.eval()
    z = torch.normal(0.0, 1.0, (y.shape[0], cvae.latent_dim), generator=generator)
    with torch.no_grad():
        images = 1 / (1 + torch.exp(-cvae.decode(z, y)))
    cvae.train(was_training)
    return images


# --- transfer_style -----------------------------------------------------------------------------------------------------------

transfer_style = Exercise("transfer_style")
transfer_style.edits("""
encodes_with_target: `cvae.encode(x, y)` → `cvae.encode(x, target)`
    The image is encoded with the label that it is to get. The encoder was trained to be told what the image shows: that
    is y.
decodes_with_source: `torch.sigmoid(cvae.decode(mu, target))` → `torch.sigmoid(cvae.decode(mu, y))`
    You decode with the label that the image has, which is a reconstruction. Decode with target.
no_sigmoid: `torch.sigmoid(cvae.decode(mu, target))` → `cvae.decode(mu, target)`
double_sigmoid: `torch.sigmoid(cvae.decode(mu, target))` → `torch.sigmoid(torch.sigmoid(cvae.decode(mu, target)))`
    The sigmoid is applied twice: white cannot get below ½.
decodes_logvar: `mu, _ =` → `_, mu =`
    You decode `logvar`. The mean is the first of the encoder's two results.
mode_changed: `return torch.sigmoid(cvae.decode(mu, target))` → `cvae.eval()\n    return torch.sigmoid(cvae.decode(mu, target))`
    A model that came in training mode is left in evaluation mode. Leave it as you found it.
thresholded: `torch.sigmoid(cvae.decode(mu, target))` → `torch.sigmoid(cvae.decode(mu, target)).round()`
    You round the images to black and white. Keep the grey values: they are the model's probabilities.
negative: `torch.sigmoid(cvae.decode(mu, target))` → `1 - torch.sigmoid(cvae.decode(mu, target))`
    Your images are negatives: ink where paper belongs. The sigmoid itself is what is asked for.
clamped: `torch.sigmoid(cvae.decode(mu, target))` → `cvae.decode(mu, target).clamp(0, 1)`
    You cut the logits off at 0 and 1. The sigmoid makes probabilities of them.
no_style: `cvae.decode(mu, target)` → `cvae.decode(torch.zeros_like(mu), target)`
    You decode the code 0, so that x plays no part. The style is in `mu`, the code of x.
one_style_for_all: `cvae.decode(mu, target)` → `cvae.decode(mu.mean(0, keepdim=True).expand_as(mu), target)`
    You average the codes of the images. Each keeps its own style.
one_target_for_all: `cvae.decode(mu, target)` → `cvae.decode(mu, target[:1].expand(len(mu)))`
    All images get the target of the first one. Each has its own.
channel_dropped: `torch.sigmoid(cvae.decode(mu, target))` → `torch.sigmoid(cvae.decode(mu, target)).squeeze(1)`
    The dimension of the channel is gone. Images keep it: (N, 1, 28, 28).
reconstructed_first: `cvae.encode(x, y)` → `cvae.encode(torch.sigmoid(cvae.decode(cvae.encode(x, y)[0], y)), y)`
    You encode the reconstruction. The style is in the image itself: encode x.
by_way_of_an_image: `mu, _ = cvae.encode(x, y)` → `mu, _ = cvae.encode(torch.sigmoid(cvae.decode(cvae.encode(x, y)[0], y)), target)`
    You encode a second time, an image that you have decoded. Once is enough: mu of x, decoded with target.
by_tanh: `torch.sigmoid(cvae.decode(mu, target))` → `torch.tanh(cvae.decode(mu, target))`
    This is tanh of the logits, from −1 to 1. The sigmoid makes probabilities of them.
sigma_added: `cvae.decode(mu, target)` → `cvae.decode(mu + (0.5 * cvae.encode(x, y)[1]).exp(), target)`
    You add σ to the mean. The style is the mean itself: no noise, and nothing in its place.
variance_added: `cvae.decode(mu, target)` → `cvae.decode(mu + cvae.encode(x, y)[1].exp(), target)`
    You add the variance to the mean. The style is the mean itself: no noise, and nothing in its place.
first_style_for_all: `cvae.decode(mu, target)` → `cvae.decode(mu[:1].expand_as(mu), target)`
    All images get the style of the first. Each keeps its own.
class_zero_for_the_encoder: `cvae.encode(x, y)` → `cvae.encode(x, torch.zeros_like(y))`
    The encoder is told the label 0 for all images. It was trained to be told what each shows: y.
first_label_for_the_encoder: `cvae.encode(x, y)` → `cvae.encode(x, y[:1].expand(len(x)))`
    The encoder is told the first label for all images. Each has its own.
image_rounded: `cvae.encode(x, y)` → `cvae.encode(x.round(), y)`
    You round the image before you encode it. A pixel may be grey: hand x on as it is.
flat_images: `torch.sigmoid(cvae.decode(mu, target))` → `torch.sigmoid(cvae.decode(mu, target)).flatten(1)`
    Your images are flat. They keep their channel, rows and columns: (N, 1, 28, 28).
code_standardised: `cvae.decode(mu, target)` → `cvae.decode(mu / (0.5 * cvae.encode(x, y)[1]).exp(), target)`
    You divide the mean by σ. The style is the mean as it is.
""")


@transfer_style.mistake(
    "You decode a random sample of q(z | x, y), so two calls differ. Take the style from the mean, mu, with no noise."
)
def sampled_code(cvae, x, y, target):
    mu, logvar = cvae.encode(x, y)
    return torch.sigmoid(cvae.decode(given("reparameterize")(mu, logvar), target))


@transfer_style.mistake("The two labels are swapped: y is what the image shows now, target what it is to show.")
def labels_swapped(cvae, x, y, target):
    return reference("transfer_style")(cvae, x, target, y)


@transfer_style.mistake("The style is drawn from the prior. It should come from x: encode it.")
def style_from_the_prior(cvae, x, y, target):
    return torch.sigmoid(cvae.decode(torch.randn(len(x), cvae.latent_dim), target))


@transfer_style.variant
@torch.no_grad()
def image_by_image(cvae, x, y, target):
    results = []
    for i in range(len(x)):
        code = cvae.encode(x[i : i + 1], y[i : i + 1])[0]
        results.append(cvae.decode(code, target[i : i + 1])[0])
    return torch.special.expit(torch.stack(results))


@transfer_style.variant
def by_hand(cvae, x, y, target):
    training = cvae.training
    cvae.train(False)
    codes, _ = cvae.encode(x, y)
    logits = cvae.decode(codes.detach(), target)
    cvae.train(training)
    return 0.5 * (1 + torch.tanh(logits / 2))


# --- quadrant_loss and fill_in ------------------------------------------------------------------------------------------------

quadrant_loss = Exercise("quadrant_loss")
quadrant_loss.edits("""
all_pixels: `missing[:, :, 14:, :14] = 0` → `pass`
    The quadrant that is given counts too. It is the condition: nobody has to explain it. Sum over the 588 other pixels.
seen_pixels_only: `per_pixel * missing` → `per_pixel * (1 - missing)`
    Only the quadrant that is given counts. It is the other three that must be explained.
upper_right: `missing[:, :, 14:, :14] = 0` → `missing[:, :, :14, 14:] = 0`
    You leave out the upper right quadrant. The lower left one has the rows 14 to 27, counted from the top, and the
    columns 0 to 13.
upper_left: `missing[:, :, 14:, :14] = 0` → `missing[:, :, :14, :14] = 0`
    You leave out the upper left quadrant. Rows are counted from the top: the lower half is 14:.
mean_over_pixels: `.flatten(1).sum(1)` → `.flatten(1).sum(1) / 588`
    The reconstruction loss is averaged over the pixels. It is a sum, as always: 588 terms.
no_batch_mean: `.mean()` → ``
    The batch mean is missing: the loss is one number.
no_kl: ` + gaussian_kl(mu, logvar)` → ``
    The KL is missing.
lower_right: `missing[:, :, 14:, :14] = 0` → `missing[:, :, 14:, 14:] = 0`
    You leave out the lower *right* quadrant. Known is the lower left: rows from 14 on, columns up to 14.
logits_zeroed: `(per_pixel * missing)` → `F.binary_cross_entropy_with_logits(logits * missing, x, reduction="none")`
    A logit of 0 is a probability of ½, and costs ln 2 a pixel. Leave the known pixels out of the sum: multiply their
    loss by 0.
summed_over_batch: `.mean()` → `.sum()`
    The loss is summed over the batch. It is the mean over the images.
kl_subtracted: ` + gaussian_kl` → ` - gaussian_kl`
    The KL is subtracted. The ELBO subtracts it; the loss is minus the ELBO.
bound_itself: `return (reconstruction + gaussian_kl` → `return -(reconstruction + gaussian_kl`
    This is the ELBO itself, which is to be maximised. The loss is minus it.
kl_doubled: `gaussian_kl(` → `2 * gaussian_kl(`
    Your KL is twice what it should be: the ½ is missing.
mean_of_all_pixels: `.flatten(1).sum(1)` → `.flatten(1).mean(1)`
    The reconstruction loss is averaged over the pixels. It is a sum, as always: 588 terms.
mean_over_dimensions: `gaussian_kl(mu, logvar)` → `gaussian_kl(mu, logvar) / mu.shape[1]`
    The KL is averaged over the latent dimensions. It is a sum.
kl_summed_over_batch: `gaussian_kl(mu, logvar)` → `gaussian_kl(mu, logvar).sum()`
    The KL is summed over the batch. It is a mean over the images, as the reconstruction loss is.
rescaled: `return (reconstruction +` → `return (reconstruction * 784 / 588 +`
    You scale the reconstruction loss up to 784 pixels. It is the plain sum over the 588 that are not known.
left_half: `missing[:, :, 14:, :14] = 0` → `missing[:, :, :, :14] = 0`
    You leave out the whole left half. Known is its lower part alone: rows from 14 on, columns up to 14.
lower_half: `missing[:, :, 14:, :14] = 0` → `missing[:, :, 14:, :] = 0`
    You leave out the whole lower half. Known is its left part alone: rows from 14 on, columns up to 14.
row_too_few: `missing[:, :, 14:, :14] = 0` → `missing[:, :, 15:, :14] = 0`
    The quadrant is off by one row: it has the rows from 14 on, 14 of them.
column_too_few: `missing[:, :, 14:, :14] = 0` → `missing[:, :, 14:, :13] = 0`
    The quadrant is off by one column: it has the columns 0 to 13, which is `:14`.
squared_error: `F.binary_cross_entropy_with_logits(logits, x, reduction="none")` → `(x - torch.sigmoid(logits)).square()`
    This is the squared error. The decoder's pixels are Bernoulli: minus their log-likelihood is the binary cross-entropy.
double_sigmoid: `F.binary_cross_entropy_with_logits(logits, x` → `F.binary_cross_entropy_with_logits(torch.sigmoid(logits), x`
    The sigmoid is applied twice: binary_cross_entropy_with_logits applies one of its own, and wants the logits.
by_probabilities: `F.binary_cross_entropy_with_logits(logits, x, reduction="none")` → `F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="none")`
    You go through the probabilities. Where the sigmoid has become exactly 0 or 1 they have lost the logit, and the loss and its gradient are wrong: binary_cross_entropy_with_logits takes the logits.
""")
quadrant_loss.edits("""
quadrant_of_the_image_blackened: `(per_pixel * missing)` → `F.binary_cross_entropy_with_logits(logits, x * missing, reduction="none")`
    You set the known quadrant of x to 0, and its pixels still count, as zeros that the logits have to explain. Leave them
    out of the sum: multiply their loss by 0.
upper_right_twice: `(per_pixel * missing).flatten(1).sum(1)` → `(per_pixel[:, :, :14].flatten(1).sum(1) + per_pixel[..., 14:].flatten(1).sum(1))`
    The upper right quadrant counts twice: it lies in the upper half and in the right half.
mean_and_logvar_exchanged: `gaussian_kl(mu, logvar)` → `gaussian_kl(logvar, mu)`
    `mu` and `logvar` have changed places on the way into the KL.
log_likelihood: `reconstruction = (` → `reconstruction = -(`
    You add the log-likelihood. The loss holds minus it, the binary cross-entropy.
targets_and_logits_swapped: `F.binary_cross_entropy_with_logits(logits, x` → `F.binary_cross_entropy_with_logits(x, logits`
    The arguments of binary_cross_entropy_with_logits have changed places: first the logits, then the image.
no_reconstruction: `(reconstruction + gaussian_kl(mu, logvar))` → `gaussian_kl(mu, logvar)`
    The reconstruction loss is missing: this is the KL alone.
kl_of_sigma: `gaussian_kl(mu, logvar)` → `gaussian_kl(mu, (0.5 * logvar).exp())`
    You hand σ to the KL. It takes logvar, the logarithm of the variance.
kl_of_the_variance: `gaussian_kl(mu, logvar)` → `gaussian_kl(mu, logvar.exp())`
    You hand the variance to the KL. It takes logvar, its logarithm.
reconstruction_summed_over_batch: `(reconstruction + gaussian_kl(mu, logvar)).mean()` → `reconstruction.sum() + gaussian_kl(mu, logvar).mean()`
    The reconstruction loss is summed over the batch. It is a mean over the images, as the KL is.
kl_for_three_quadrants: `gaussian_kl(` → `0.75 * gaussian_kl(`
    You take ¾ of the KL. The code costs the same, however many pixels it explains.
""")
quadrant_loss.recurring(detached, in_bits, logvar_as_log_std("logvar"))


@quadrant_loss.variant
def by_slices(x, logits, mu, logvar):
    def nll(rows, columns):
        pixels = Bernoulli(logits=logits[:, 0, rows, columns], validate_args=False)
        return -pixels.log_prob(x[:, 0, rows, columns]).sum(dim=(1, 2))

    top, right = nll(slice(0, 14), slice(None)), nll(slice(14, None), slice(14, None))
    return (top + right + kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1)).mean()


@quadrant_loss.variant
def by_a_mask_of_booleans(x, logits, mu, logvar):
    keep = torch.ones(28, 28, dtype=torch.bool)
    keep[14:, :14] = False
    total = F.binary_cross_entropy_with_logits(logits[:, 0][:, keep], x[:, 0][:, keep], reduction="sum")
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum()
    return (total + kl) / x.shape[0]


fill_in = Exercise("fill_in")
fill_in.edits("""
not_pasted: `images[..., 14:, :14] = x[..., 14:, :14]` → `pass`
    The lower left quadrant is what the model makes of it. It is given: copy it from x.
wrong_quadrant_pasted: `images[..., 14:, :14] = x[..., 14:, :14]` → `images[..., :14, 14:] = x[..., :14, 14:]`
    You copy the upper right quadrant of x, which nobody is supposed to know. The lower left one has the rows 14: and the
    columns :14.
whole_image_as_condition: `lower_left(x)` → `x`
    The decoder is given the whole image, the answer included. The condition is lower_left(x).
no_sigmoid: `torch.sigmoid(logits)` → `logits`
one_code_for_all_completions: `torch.randn(n * len(x), model.latent_dim, generator=generator)` → `torch.randn(1, len(x), model.latent_dim, generator=generator).expand(n, -1, -1).flatten(0, 1)`
    All completions of an image come from the same code, so they are all the same. Draw n codes for each image.
one_code_for_all_images: `torch.randn(n * len(x), model.latent_dim, generator=generator)` → `torch.randn(n, 1, model.latent_dim, generator=generator).expand(-1, len(x), -1).flatten(0, 1)`
    All images share their codes. Draw n codes for each image.
generator_ignored: `, generator=generator)` → `)`
    `generator` is not used, so nobody can repeat your draw. Hand it on to `torch.randn`.
images_first: `return images` → `return images.transpose(0, 1)`
    The result is (N, n, 1, 28, 28). Samples lead in this course: (n, N, 1, 28, 28).
repeat_interleave: `lower_left(x).repeat(n, 1, 1, 1)` → `lower_left(x).repeat_interleave(n, 0)`
    repeat_interleave gives each image n times in a row, and view(n, N, …) wants all images for the first draw, then all
    for the second: use repeat.
quadrant_not_known: `lower_left(x).repeat(n, 1, 1, 1)` → `torch.zeros_like(x).repeat(n, 1, 1, 1)`
    The model is not told the quadrant that it should continue. Condition on lower_left(x).
upper_left_pasted: `images[..., 14:, :14] = x[..., 14:, :14]` → `images[..., :14, :14] = x[..., :14, :14]`
    You copy the upper left quadrant of x, which nobody is supposed to know. Rows are counted from the top: the lower half
    is 14:.
lower_right_pasted: `images[..., 14:, :14] = x[..., 14:, :14]` → `images[..., 14:, 14:] = x[..., 14:, 14:]`
    You copy the lower right quadrant of x, which nobody is supposed to know. The left half has the columns :14.
lower_half_pasted: `images[..., 14:, :14] = x[..., 14:, :14]` → `images[..., 14:, :] = x[..., 14:, :]`
    You copy the whole lower half of x. Known is its left part alone: the columns :14.
left_half_pasted: `images[..., 14:, :14] = x[..., 14:, :14]` → `images[..., :14] = x[..., :14]`
    You copy the whole left half of x. Known is its lower part alone: the rows 14:.
all_but_the_quadrant_pasted: `images[..., 14:, :14] = x[..., 14:, :14]` → `images = torch.cat([x.expand_as(images)[..., :14, :], torch.cat([images[..., 14:, :14], x.expand_as(images)[..., 14:, 14:]], -1)], -2)`
    It is the wrong way round: you keep what the model makes of the known quadrant, and copy the three others from x.
quadrant_laid_over: `images[..., 14:, :14] = x[..., 14:, :14]` → `images = torch.maximum(images, lower_left(x))`
    You lay the known quadrant over what the model draws there, by a sum or a maximum. It takes its place: assign it.
quadrant_added: `images[..., 14:, :14] = x[..., 14:, :14]` → `images[..., 14:, :14] += x[..., 14:, :14]`
    You add the known quadrant to what the model draws there. It takes its place: assign it.
first_quadrant_for_all: `images[..., 14:, :14] = x[..., 14:, :14]` → `images[..., 14:, :14] = x[0, :, 14:, :14]`
    All images get the quadrant of the first. Each keeps its own.
pasted_before_the_sigmoid: `images = torch.sigmoid(logits).detach().view(n, *x.shape)\n    images[..., 14:, :14] = x[..., 14:, :14]\n    return images` → `images = logits.detach().clone().view(n, *x.shape)\n    images[..., 14:, :14] = x[..., 14:, :14]\n    return torch.sigmoid(images)`
    The known quadrant goes through the sigmoid, too. Take that of the logits first, and then copy the quadrant.
codes_of_the_image: `z = torch.randn(n * len(x), model.latent_dim, generator=generator)` → `z = model.encode(x.repeat(n, 1, 1, 1), lower_left(x).repeat(n, 1, 1, 1))[0]`
    You encode x, of which only a quadrant is known. The code is a draw from the prior: `torch.randn`.
row_too_few: `images[..., 14:, :14] = x[..., 14:, :14]` → `images[..., 15:, :14] = x[..., 15:, :14]`
    The quadrant is off by one row: it has the rows from 14 on, 14 of them.
no_draw: `torch.randn(n * len(x), model.latent_dim, generator=generator)` → `torch.zeros(n * len(x), model.latent_dim)`
    Every completion comes from the code 0, the mean of the prior. Draw a code for each: `torch.randn`.
uniform_codes: `torch.randn(` → `torch.rand(`
    `torch.rand` is uniform on [0, 1]. The prior is a standard normal: `torch.randn`.
thresholded: `torch.sigmoid(logits)` → `torch.sigmoid(logits).round()`
    Your images are black and white, rounded or drawn. Keep the grey values: they are the model's probabilities.
double_sigmoid: `torch.sigmoid(logits)` → `torch.sigmoid(torch.sigmoid(logits))`
    The sigmoid is applied twice: what the model draws cannot get below ½.
negative: `torch.sigmoid(logits)` → `(1 - torch.sigmoid(logits))`
    What the model draws is a negative: ink where paper belongs. The sigmoid itself is what is asked for.
clamped: `torch.sigmoid(logits)` → `logits.clamp(0, 1)`
    You cut the logits off at 0 and 1. The sigmoid makes probabilities of them.
draws_and_images_mixed: `view(n, *x.shape)` → `view(len(x), n, *x.shape[1:]).transpose(0, 1)`
    Draws and images are mixed up. `repeat` lays out all images for the first draw, then all for the second: view(n, N, …).
not_unflattened: `return images` → `return images.flatten(0, 1)`
    Draws and images share one dimension. Samples lead in this course: (n, N, 1, 28, 28).
""")


@fill_in.mistake("This is x itself, n times. Only the lower left quadrant comes from x; the model draws the rest.")
def the_image_itself(model, x, n, generator=None):
    return x.expand(n, *x.shape).clone()


@fill_in.variant
def by_loops(model, x, n, generator=None):
    known = given("lower_left")(x)
    rows = []
    for _ in range(n):
        z = torch.empty(len(x), model.latent_dim).normal_(generator=generator)
        image = model.decode(z, known).sigmoid().detach().clone()
        image[:, :, 14:, :14] = known[:, :, 14:, :14]
        rows.append(image)
    return torch.stack(rows)


@fill_in.variant
@torch.no_grad()
def by_where(model, x, n, generator=None):
    known = given("lower_left")(torch.ones(1, 1, 28, 28)).bool()
    c = torch.where(known, x, 0.0)
    z = torch.randn(n, len(x), model.latent_dim, generator=generator)
    made = [torch.sigmoid(model.decode(codes.clone(), c)) for codes in z.unbind(0)]
    return torch.where(known, x, torch.stack(made, dim=0))


# --- predictions --------------------------------------------------------------------------------------------------------------

predict_conditional_gap = Exercise("predict_conditional_gap")
predict_conditional_gap.wrong_choices("""
chose_a: a
    That KL is a term of the ELBO itself. The gap is what is missing between the ELBO and log p(x | y).
chose_b: b
    That is the posterior of somebody who does not know y. Everything in the derivation stands behind the bar with y.
chose_d: d
    p(z | y) is the prior: what is known of the code before the image is seen. The gap compares q with what the model
    itself believes once it has seen both.
""")

predict_label_worth = Exercise("predict_label_worth")
predict_label_worth.wrong_choices("""
in_bits: 3.321928
    That is log₂ 10, the entropy in bits. In nats it is the natural logarithm.
number_of_classes: 10.0
    That is how many labels there are. What it costs to name one of them is a logarithm.
decimal_logarithm: 1.0
    That is the logarithm to base 10. Nats take the natural logarithm.
share_of_one_class: 0.1
    That is the probability of a label. What is it in nats, −log of it?
""")
predict_label_worth.wrong_choice(
    "wrong_sign",
    -2.302585,
    "The sign: log p(y) is negative, and it is subtracted. Knowing the label makes the image more probable.",
)
predict_label_worth.wrong_choices("""
nothing: 0.0
    It is true that the image tells its label. But log p(x) has to pay for saying which digit it is, and log p(x | y) has
    not.
""")

predict_where_it_shows = Exercise("predict_where_it_shows")
predict_where_it_shows.wrong_choices("""
chose_a: a
    The KL does fall. But four numbers are few: if they need not say which digit it is any more, what can they say
    instead?
chose_c: c
    The decoder is handed the label for nothing. Would an encoder pay for saying it once more?
""")

predict_label_from_code = Exercise("predict_label_from_code")
predict_label_from_code.wrong_choices("""
chose_a: a
    The encoder knows the label, and so does the decoder. Each nat that the code spends on it is paid for in the KL. What
    does it gain?
chose_c: c
    They rebuild the same images, but not from the code alone: one of the decoders gets something else besides.
""")

predict_label_by_elbo = Exercise("predict_label_by_elbo")
predict_label_by_elbo.wrong_choices("""
chose_a: a
    Section 1 said what the prior knows of the label: nothing. A code means a hand, and the decoder draws the digit that
    it is told in that hand. Can any hand make a 7 of a 4?
chose_b: b
    A wrong label costs tens of nats where the decoder draws another digit, and the noise of an ELBO is a nat or two. How
    often does the noise win?
""")

predict_shared_code = Exercise("predict_shared_code")
predict_shared_code.wrong_choices("""
chose_a: a
    All classes share the decoder's weights and the prior of z. If leaning to the right can be learned once for all ten,
    why learn it ten times?
chose_c: c
    The decoder reads the label too. If it made no difference, nobody could ask for a digit.
""")
