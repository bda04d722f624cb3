"""Lesson 08, latent space: what students get wrong, and other ways to be right."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Categorical, Normal

from . import Exercise, reference

# --- encode_dataset -----------------------------------------------------------------------------------------------------------

encode_dataset = Exercise("encode_dataset")
encode_dataset.edits("""
model_left_frozen: `vae.eval()` → `vae.eval().requires_grad_(False)`
    The model is frozen afterwards, and can't be trained. torch.no_grad() is all that is needed here.
flattened_images: `vae.encode(batch)` → `vae.encode(batch.flatten(1))`
    You flatten the images. The encoder takes images, (n, 1, 28, 28): its first layer may be a convolution.
gradients_off_for_good: `with torch.no_grad():` → `torch.set_grad_enabled(False)\n    if True:`
    You switch gradients off, and they stay off for whatever comes later. `with torch.no_grad():` ends by itself.
training_mode: `vae.eval()` → `pass`
    The images are encoded in whatever mode the model's layers are in. Call vae.eval() first, which tells all of them
    (vae.training = False does not): layers such as dropout compute something else in training mode.
mode_not_restored: `vae.train(was_training)` → `pass`
    A model that came in training mode is left in evaluation mode, and goes on training wrongly. Set the mode back that
    it had.
layers_left_in_evaluation_mode: `vae.train(was_training)` → `vae.training = was_training`
    Only the model's own flag is set back. Its layers stay in evaluation mode: vae.train(…) tells all of them.
always_training_afterwards: `vae.train(was_training)` → `vae.train()`
    You leave every model in training mode. One that came in evaluation mode must stay in it: remember vae.training
    before you call eval().
gradients_kept: `torch.no_grad()` → `torch.enable_grad()`
    The codes still carry the graph of the whole encoder, which fills the memory. Encode inside `with torch.no_grad():`.
logvar: `vae.encode(batch)[0]` → `vae.encode(batch)[1]`
    This is logvar. The encoder's first result is mu.
all_at_once: `x.split(batch_size)` → `[x]`
    The encoder gets more images at once than `batch_size` says. With 60,000 of them that may take gigabytes: cut x into
    batches of at most `batch_size`.
pieces_stacked_in_reverse: `x.split(batch_size)` → `reversed(x.split(batch_size))`
    The codes are not in the order of the images.
a_pair_for_each_batch: `vae.encode(batch)[0] for` → `torch.cat(vae.encode(batch), dim=1) for`
    You join mu and logvar side by side, (N, 2D). The code is mu alone, the first of the encoder's two results.
last_batch_alone: `torch.cat([vae.encode(batch)[0] for batch in x.split(batch_size)])` → `[vae.encode(batch)[0] for batch in x.split(batch_size)][-1]`
    Only the codes of the last batch come back: each pass of the loop overwrites those before. Collect them, and put them together.
first_batch_alone: `torch.cat([vae.encode(batch)[0] for batch in x.split(batch_size)])` → `vae.encode(x[:batch_size])[0]`
    Only the codes of the first batch come back. Is there a `return` inside the loop?
chunk_for_split: `x.split(batch_size)` → `x.chunk(batch_size)`
    `x.chunk(k)` cuts x into k pieces. You want pieces of at most k images, which is `x.split(k)`.
batches_stacked: `torch.cat([vae` → `torch.stack([vae`
    You stack the batches, which makes a new dimension and needs them equally long. Put them together along the one they have.
batches_side_by_side: `for batch in x.split(batch_size)])` → `for batch in x.split(batch_size)], dim=1)`
    You put the batches side by side, along the latent dimensions. The images are dimension 0.
the_whole_model: `vae.encode(batch)[0]` → `vae(batch)[1]`
    You call the whole model. It decodes for nothing, and an autoencoder returns something else there: all that is promised
    is `vae.encode`.
shuffled: `x.split(batch_size)` → `x[torch.randperm(len(x))].split(batch_size)`
    You shuffle the images. Row i of the result belongs to image i.
a_list_of_batches: `torch.cat([vae.encode(batch)[0] for batch in x.split(batch_size)])` → `[vae.encode(batch)[0] for batch in x.split(batch_size)]`
    You return the codes in a list. One tensor (N, D) is wanted: put the pieces together.
""")


@encode_dataset.mistake(
    "The last, shorter batch is missing: batch_size need not divide N. `range(0, len(x), batch_size)` reaches the end."
)
def last_batch_dropped(vae, x, batch_size=1000):
    return reference("encode_dataset")(vae, x[: max(1, len(x) // batch_size) * batch_size], batch_size)


@encode_dataset.mistake("These are samples of q(z | x). The place of an image is the mean of it, mu, with no noise.")
def sampled_codes(vae, x, batch_size=1000):
    training = vae.training
    vae.eval()
    with torch.no_grad():
        pairs = [vae.encode(batch) for batch in x.split(batch_size)]
    vae.train(training)
    return torch.cat([mu + (0.5 * logvar).exp() * torch.randn_like(mu) for mu, logvar in pairs])


@encode_dataset.mistake(
    "The codes come from `torch.inference_mode()`, and no later gradient can pass what was made there. Use `torch.no_grad()`."
)
def under_inference_mode(vae, x, batch_size=1000):
    with torch.inference_mode():
        return reference("encode_dataset")(vae, x, batch_size)


@encode_dataset.variant
@torch.no_grad()
def into_a_list_of_rows(vae, x, batch_size=1000):
    mode = vae.training
    vae.train(False)
    rows = []
    for start in range(0, len(x), batch_size):
        mu, _ = vae.encode(x[start : start + batch_size])
        rows.extend(mu)
    if mode:
        vae.train()
    return torch.stack(rows)


@encode_dataset.variant
def with_a_data_loader(vae, x, batch_size=1000):
    before = vae.training
    vae.eval()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), batch_size=batch_size, shuffle=False)
    out = None
    try:
        for (batch,) in loader:
            mu = vae.encode(batch)[0].detach()
            out = mu if out is None else torch.vstack((out, mu))
    finally:
        vae.train(before)
    return out


@encode_dataset.variant
def one_image_at_a_time(vae, x, batch_size=1000):
    training = vae.training
    vae.eval()
    with torch.inference_mode():
        codes = [vae.encode(image[None])[0].numpy() for image in x]
    vae.train(training)
    return torch.from_numpy(np.concatenate(codes))


# --- manifold -----------------------------------------------------------------------------------------------------------------

manifold = Exercise("manifold")
manifold.edits("""
no_sigmoid: `torch.sigmoid(vae.decode(z))` → `vae.decode(z)`
upside_down: `quantiles.flip(0)` → `quantiles`
    The map stands on its head: the first row of pictures is the top one, and there z2 is largest.
axes_swapped: `[z1.flatten(), z2.flatten()]` → `[z2.flatten(), z1.flatten()]`
    The two coordinates have changed places: z1, the first column, grows within a row of pictures; z2 is the same for the
    whole row.
borders_at_zero: `(torch.arange(n) + 0.5) / n` → `torch.arange(n) / n`
    Your u begins at 0, where the inverse of the distribution function is −∞. Take the middles of the n pieces, (i + ½) /
    n.
inner_borders: `(torch.arange(n) + 0.5) / n` → `(torch.arange(n) + 1) / (n + 1)`
    These are the inner borders of n + 1 pieces. The pictures belong in the middles of n pieces, (i + ½) / n.
not_through_the_quantiles: `Normal(0.0, 1.0).icdf(middles)` → `middles`
    You decode the numbers u between 0 and 1 themselves. They are probabilities: Φ⁻¹ turns them into coordinates.
cdf_for_its_inverse: `.icdf(middles)` → `.cdf(middles)`
    That is Φ, which turns coordinates into probabilities. You need its inverse, icdf.
equal_distances: `Normal(0.0, 1.0).icdf(middles)` → `6 * middles - 3`
    Your places lie at equal distances, so that those far out stand for almost nothing. Space them by Φ⁻¹, and each
    stands for the same share of the prior.
quantiles_of_zero_and_one: `middles = (torch.arange(n) + 0.5) / n` → `middles = torch.linspace(0, 1, n) if n > 1 else torch.tensor([0.5])`
    Your shares begin at 0 and end at 1, whose quantiles are −∞ and ∞. Each place stands for a share of 1/n: take the
    middles, (i + ½)/n.
thresholded: `torch.sigmoid(vae.decode(z))` → `(vae.decode(z) > 0).float()`
    You cut the images to black and white. Keep the grey values: they are the model's probabilities.
mirrored: `quantiles.flip(0), quantiles, indexing` → `quantiles.flip(0), quantiles.flip(0), indexing`
    Left and right are exchanged: z1 grows to the right. Only z2 runs downwards from its largest value.
twice_a_sigmoid: `torch.sigmoid(vae.decode(z))` → `torch.sigmoid(torch.sigmoid(vae.decode(z)))`
    The sigmoid is applied twice, which leaves greys between 0.5 and 0.73. Once makes an image of the logits.
softmax_for_sigmoid: `torch.sigmoid(vae.decode(z))` → `vae.decode(z).flatten(1).softmax(1).view(-1, 1, 28, 28)`
    Softmax makes the pixels share one unit of ink. Each pixel is a probability of its own: sigmoid.
clamped_logits: `torch.sigmoid(vae.decode(z))` → `vae.decode(z).clamp(0, 1)`
    You cut the logits off at 0 and 1. The sigmoid makes probabilities of them.
one_piece_more: `(torch.arange(n) + 0.5) / n` → `(torch.arange(n) + 0.5) / (n + 1)`
    Your u are the first n of n + 1 pieces' middles, so they lean to the left. There are n pieces: (i + ½) / n.
column_by_column: `torch.stack([z1.flatten(), z2.flatten()], dim=1)` → `torch.stack([z1.T.flatten(), z2.T.flatten()], dim=1)`
    The images come column by column. The top row comes first, from left to right, and then the next.
turned_round: `quantiles.flip(0), quantiles, indexing` → `quantiles, quantiles.flip(0), indexing`
    Left and right are exchanged, and top and bottom too. z1 grows to the right, so it is not flipped; z2 is, since it grows
    upwards.
columns_from_the_bottom: `quantiles.flip(0), quantiles, indexing="ij"` → `quantiles, quantiles, indexing="xy"`
    The images come column by column, each from the bottom upwards. The top row comes first, from left to right, and then the next.
a_grid_of_images: `torch.sigmoid(vae.decode(z))` → `torch.sigmoid(vae.decode(z)).view(n, n, 28, 28)`
    You return the images as a grid, (n, n, 28, 28). They are wanted one after the other, (n·n, 1, 28, 28).
one_large_picture: `torch.sigmoid(vae.decode(z))` → `torch.sigmoid(vae.decode(z)).view(n, n, 28, 28).permute(0, 2, 1, 3).reshape(28 * n, 28 * n)`
    You put the images together into one large picture. They are wanted one after the other, (n·n, 1, 28, 28).
""")


@manifold.variant
def by_loops(vae, n):
    def quantile(k):
        return math.sqrt(2) * torch.special.erfinv(torch.tensor(2 * (k + 0.5) / n - 1)).item()

    codes = [[quantile(column), quantile(n - 1 - row)] for row in range(n) for column in range(n)]
    with torch.no_grad():
        return torch.cat([vae.decode(torch.tensor([z])).sigmoid() for z in codes])


@manifold.variant
def by_numpy_and_ndtri(vae, n):
    u = np.linspace(0.5 / n, 1 - 0.5 / n, n)
    q = torch.special.ndtri(torch.from_numpy(u))
    z = torch.column_stack([q.repeat(n), q.flipud().repeat_interleave(n)]).float()
    return 1 / (1 + torch.exp(-vae.decode(z)))


@manifold.variant
def by_cartesian_product(vae, n):
    q = Normal(torch.tensor(0.0), torch.tensor(1.0)).icdf((2 * torch.arange(n) + 1) / (2 * n))
    return vae.decode(torch.cartesian_prod(-q, q)[:, [1, 0]]).sigmoid()


# --- Autoencoder --------------------------------------------------------------------------------------------------------------

autoencoder = Exercise("Autoencoder")
autoencoder.edits("""
adds_noise: `return self.decode(mu)` → `return self.decode(mu + (0.5 * _).exp() * torch.randn_like(mu))`
    Noise is added to the code. That is a VAE; an autoencoder decodes mu itself, so that two calls agree.
noise_while_training: `return self.decode(mu)` → `return self.decode(mu + torch.randn_like(mu) if self.training else mu)`
    In training mode noise is added to the code. An autoencoder has none in either mode.
sigmoid_at_the_end: `return self.decode(mu)` → `return torch.sigmoid(self.decode(mu))`
    `ae(x)` returns images. Return the decoder's logits as they are: the loss and the plots apply the sigmoid.
returns_like_a_vae: `return self.decode(mu)` → `return self.decode(mu), mu, _`
    `ae(x)` returns three things, as a VAE does. Here the logits alone are wanted.
decodes_logvar: `mu, _ = self.encode(x)` → `_, mu = self.encode(x)`
    `ae(x)` decodes the second of the two that `ae.encode(x)` returns. The first is mu, the code; it is the one to decode.
encode_gives_the_code_alone: `return self.encoder(x)` → `return self.encoder(x)[0]`
    `ae.encode(x)` gives mu alone. It returns the pair (mu, logvar), as the VAE's does, so that the same functions work
    for both models.
detached_code: `return self.decode(mu)` → `return self.decode(mu.detach())`
    The code is cut off from the encoder (detach, .data or no_grad), so that the encoder learns nothing.
the_vae_itself: `return self.decode(mu)` → `return self.decode(mu + (0.5 * _).exp() * torch.randn_like(mu)), mu, _`
    This is the VAE again: noise on the code, and three results. An autoencoder decodes mu itself, and returns the logits alone.
noise_of_sigma_while_training: `return self.decode(mu)` → `return self.decode(mu + (0.5 * _).exp() * torch.randn_like(mu) if self.training else mu)`
    In training mode noise is added to the code. An autoencoder has none in either mode.
returns_the_code_too: `return self.decode(mu)` → `return self.decode(mu), mu`
    `ae(x)` returns the logits and the code. Only the logits are wanted: who needs the code calls `ae.encode`.
sigmoid_in_decode: `return self.decoder(z)` → `return torch.sigmoid(self.decoder(z))`
    `ae.decode(z)` returns images. It gives the decoder's logits as they are: the loss and the plots apply the sigmoid.
decodes_the_pair: `mu, _ = self.encode(x)` → `mu = self.encode(x)`
    You decode the pair (mu, logvar) that `encode` returns. The decoder takes the code alone, the first of the two.
latent_dim_not_passed_on: `self.encoder = Encoder(latent_dim)` → `latent_dim = 2\n        self.encoder = Encoder(latent_dim)`
    latent_dim is 2 whatever was asked for. Pass on what `__init__` is given.
""")


@autoencoder.variant
class FromSubmodules(nn.Module):
    def __init__(self, latent_dim):
        super().__init__()
        self.decode = reference_class("Decoder")(latent_dim)
        self.encode = reference_class("Encoder")(latent_dim)

    def forward(self, x):
        return self.decode(self.encode(x)[0])


@autoencoder.variant
class WithItsOwnLayers(nn.Module):
    def __init__(self, latent_dim: int):
        super().__init__()
        self.second_up = nn.ConvTranspose2d(16, 1, 3, 2, 1, 1)
        self.first_up = nn.ConvTranspose2d(32, 16, 3, 2, 1, 1)
        self.wide, self.start = nn.Linear(128, 1568), nn.Linear(latent_dim, 128)
        self.heads = nn.Linear(128, 2 * latent_dim)
        self.dense = nn.Linear(1568, 128)
        self.down = nn.ModuleList([nn.Conv2d(1, 16, 3, 2, 1), nn.Conv2d(16, 32, 3, 2, 1)])

    def encode(self, x):
        for layer in self.down:
            x = F.relu(layer(x))
        return torch.chunk(self.heads(F.relu(self.dense(x.flatten(start_dim=1)))), 2, dim=1)

    def decode(self, z):
        h = F.relu(self.wide(F.relu(self.start(z)))).view(len(z), 32, 7, 7)
        return self.second_up(F.relu(self.first_up(h)))

    def forward(self, x):
        z, _ = self.encode(x)
        return self.decode(z)


# The VAE's class holds the same networks; only what `forward` returns is different.
@autoencoder.variant
def from_the_vae(latent_dim):
    class FromTheVAE(reference_class("VAE")):
        def forward(self, x):
            return super().forward(x, torch.zeros(len(x), self.latent_dim))[0]

    return FromTheVAE(latent_dim)


def reference_class(name: str):
    """A class that the lesson gives."""
    return autoencoder.reference.__init__.__globals__[name]


# --- lerp and slerp -----------------------------------------------------------------------------------------------------------

lerp = Exercise("lerp")
lerp.edits("""
ends_swapped: `(1 - t) * z0 + t * z1` → `t * z0 + (1 - t) * z1`
    The path runs backwards: at t = 0 it should be at z0.
sum_without_one_minus: `(1 - t) * z0 + t * z1` → `z0 + t * z1`
    At t = 1 this is z0 + z1. The weight of z0 falls as that of z1 grows: 1 − t.
transposed: `return (1 - t) * z0 + t * z1` → `return ((1 - t) * z0 + t * z1).T`
    The result is (D, T). Each row is one code: (T, D).
second_at_full_weight: `(1 - t) * z0 + t * z1` → `(1 - t) * z0 + z1`
    z1 stands at its full weight everywhere. It is multiplied by t.
second_subtracted: `(1 - t) * z0 + t * z1` → `(1 - t) * z0 - t * z1`
    z1 is subtracted. At t = 1 the path should be at z1, not at −z1.
mean_of_both: `(1 - t) * z0 + t * z1` → `0.5 * z0 + 0.5 * z1 + 0 * t`
    Every step is the point half way. The weights depend on t.
start_forgotten: `(1 - t) * z0 + t * z1` → `t * (z1 - z0)`
    At t = 0 this is 0: the way begins at z0, which is missing from the sum.
away_from_the_end: `(1 - t) * z0 + t * z1` → `z0 + t * (z0 - z1)`
    You walk away from z1. The way from z0 to z1 is z1 − z0.
t_as_a_row: `t = t[:, None]` → `t = t[None]`
    t gets its second dimension in front, (1, T), and meets the dimensions of the code. Put it behind, (T, 1).
""")


@lerp.mistake(
    "`t` meets the dimensions instead of standing across them: each dimension gets its own t. Give t a second dimension, t[:, None]."
)
def t_without_a_second_dimension(z0, z1, t):
    return (1 - t) * z0 + t * z1


@lerp.mistake("The ends are forced to the first and last row, whatever t is. t may hold any numbers from 0 to 1.")
def own_t(z0, z1, t):
    return reference("lerp")(z0, z1, torch.linspace(0, 1, len(t)))


@lerp.variant
def lerp_by_loop(z0, z1, t):
    return torch.stack([z0 + s * (z1 - z0) for s in t.tolist()])


@lerp.variant
def lerp_by_outer(z0, z1, t):
    return torch.outer(1 - t, z0) + torch.outer(t, z1)


@lerp.variant
def lerp_by_einsum_in_float64(z0, z1, t):
    weights = torch.stack([1 - t, t], dim=1).double()
    return torch.einsum("tk,kd->td", weights, torch.stack([z0, z1]).double()).float()


@lerp.variant
def lerp_of_torch(z0, z1, t):
    return torch.lerp(z0.unsqueeze(0), z1.unsqueeze(0), t.unsqueeze(1))


slerp = Exercise("slerp")
slerp.edits("""
parallel_divides_by_zero: `    if angle < 1e-3:\n        return lerp(z0, z1, t)\n` → ``
    For parallel vectors sin Ω is 0, and you divide 0 by 0. The limit of the formula is lerp: return that when the angle
    is tiny.
parallel_stands_still: `return lerp(z0, z1, t)` → `return z0.repeat(len(t), 1)`
    For parallel vectors the path stays at z0. They may have different lengths: the limit of the formula is lerp(z0, z1,
    t).
angle_of_unnormalised_vectors: `torch.dot(z0 / z0.norm(), z1 / z1.norm())` → `torch.dot(z0, z1)`
    The cosine is the scalar product of the *directions*: divide z0 and z1 by their lengths first.
unit_vectors_interpolated: `(torch.sin((1 - t) * angle) * z0 + torch.sin(t * angle) * z1) / torch.sin(angle)` → `(torch.sin((1 - t) * angle) * (z0 / z0.norm()) + torch.sin(t * angle) * (z1 / z1.norm())) / torch.sin(angle)`
    Your path runs on the unit sphere: its ends have length 1. The directions are for the angle only; the weights
    multiply z0 and z1 as they are.
sine_of_the_angle_forgotten: ` / torch.sin(angle)` → ``
    The division by sin Ω is missing, so the path does not end at z0 and z1.
ends_swapped: `(torch.sin((1 - t) * angle) * z0 + torch.sin(t * angle) * z1) / torch.sin(angle)` → `(torch.sin(t * angle) * z0 + torch.sin((1 - t) * angle) * z1) / torch.sin(angle)`
    The path runs backwards: at t = 0 it should be at z0.
straight_line: `(torch.sin((1 - t) * angle) * z0 + torch.sin(t * angle) * z1) / torch.sin(angle)` → `(1 - t) * z0 + t * z1`
    This is the straight line, also where the vectors are not parallel. Use the weights with the sines.
half_angle: `torch.arccos(cosine.clamp(-1, 1))` → `torch.arccos(cosine.clamp(-1, 1)) / 2`
    The angle is halved. (In quaternions, where slerp comes from, half angles turn up; here Ω is the whole angle between
    the vectors.)
divided_by_the_angle: ` / torch.sin(angle)` → ` / angle`
    You divide by Ω where sin Ω belongs, so the path does not end at z0 and z1.
cosine_for_the_angle: `angle = torch.arccos(cosine.clamp(-1, 1))` → `angle = cosine.clamp(-1, 1) + 1e-6`
    You use the cosine of the angle as if it were Ω. arccos makes the angle of it.
arcsine: `torch.arccos(` → `torch.arcsin(`
    arcsin gives the angle whose sine that is. The scalar product of two directions is the cosine of their angle: arccos.
never_above_a_right_angle: `cosine.clamp(-1, 1)` → `cosine.abs().clamp(-1, 1)`
    You take the absolute value of the cosine, so that no angle is above 90°. Codes that point away from each other have
    a negative cosine.
degrees: `angle = torch.arccos(cosine.clamp(-1, 1))` → `angle = torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))`
    You turn the angle into degrees. torch.sin takes radians.
straight_below_20_degrees: `angle < 1e-3` → `cosine > 0.95`
    You take the straight line for angles that are not that small. Only where sin Ω is nearly 0 (Ω below 1e-2 or so) are the two
    the same.
straight_below_6_degrees: `angle < 1e-3` → `angle < 0.1`
    You take the straight line for angles that are not that small. Only where sin Ω is nearly 0 (Ω below 1e-2 or so) are the two
    the same.
turned_to_the_shorter_arc: `    angle = torch.arccos(` → `    if cosine < 0:\n        z1, cosine = -z1, -cosine\n    angle = torch.arccos(`
    Where the cosine is negative you turn z1 round, so the path ends at −z1. (Quaternions are turned, since z and −z are the same
    rotation. Two codes are not.)
divided_by_one_length: `torch.dot(z0 / z0.norm(), z1 / z1.norm())` → `torch.dot(z0, z1) / z0.norm()`
    You divide the scalar product by one of the two lengths. The cosine needs both.
divided_by_the_second_length: `torch.dot(z0 / z0.norm(), z1 / z1.norm())` → `torch.dot(z0, z1) / z1.norm()`
    You divide the scalar product by one of the two lengths. The cosine needs both.
divided_by_the_first_length_twice: `torch.dot(z0 / z0.norm(), z1 / z1.norm())` → `torch.dot(z0, z1) / z0.norm() ** 2`
    You divide the scalar product by the length of z0 twice. The cosine needs both lengths, each once.
multiplied_by_the_second_length: `torch.dot(z0 / z0.norm(), z1 / z1.norm())` → `torch.dot(z0, z1) / z0.norm() * z1.norm()`
    You multiply by the second length: Python reads a / b * c as (a / b) * c. The cosine is divided by both lengths.
one_length_for_all: `(torch.sin((1 - t) * angle) * z0 + torch.sin(t * angle) * z1)` → `z0.norm() * (torch.sin((1 - t) * angle) * z0 / z0.norm() + torch.sin(t * angle) * z1 / z1.norm())`
    All points of your path have the length of z0, so it does not end at z1. The weights multiply z0 and z1 as they are.
second_weight_alone_divided: `(torch.sin((1 - t) * angle) * z0 + torch.sin(t * angle) * z1) / torch.sin(angle)` → `torch.sin((1 - t) * angle) * z0 + torch.sin(t * angle) * z1 / torch.sin(angle)`
    Only the second weight is divided by sin Ω. Both are: brackets round the sum.
angle_outside_the_sines: `(torch.sin((1 - t) * angle) * z0 + torch.sin(t * angle) * z1)` → `(torch.sin(1 - t) * angle * z0 + torch.sin(t) * angle * z1)`
    The angle stands outside the sines. The formula has sin((1 − t) Ω) and sin(t Ω).
one_minus_inside_the_sine: `torch.sin((1 - t) * angle)` → `torch.sin(1 - t * angle)`
    In the first weight you have sin(1 − t Ω). It is sin((1 − t) Ω): brackets round 1 − t.
cosines_for_sines: `(torch.sin((1 - t) * angle) * z0 + torch.sin(t * angle) * z1) / torch.sin(angle)` → `(torch.cos((1 - t) * angle) * z0 + torch.cos(t * angle) * z1) / torch.cos(angle)`
    Your weights have cosines. The formula has sines, all three times.
parallel_with_t_as_a_column: `return lerp(z0, z1, t)` → `return lerp(z0, z1, t[:, None])`
    For parallel vectors you give lerp a t that is a column already, (T, 1), and lerp adds another dimension. It takes t as you
    were given it, (T,).
parallel_without_a_second_dimension: `return lerp(z0, z1, t)` → `return (1 - t) * z0 + t * z1`
    The straight line for parallel vectors has t of shape (T,) against codes of (D,). Give t its second dimension there, too, or
    call lerp.
t_without_a_second_dimension: `    t = t[:, None]\n` → ``
    `t` meets the dimensions instead of standing across them. Give it a second dimension, as in lerp, before the last line.
""")


@slerp.mistake(
    "arccos gets a cosine that rounding has taken above 1, and gives NaN. Clamp the cosine to [−1, 1] first, or test the cosine before you take the arccos."
)
def cosine_not_clamped(z0, z1, t):
    angle = torch.arccos(torch.dot(z0, z1) / (z0.norm() * z1.norm()))
    if angle == 0:
        return torch.lerp(z0, z1, t[:, None])
    t = t[:, None]
    return (torch.sin((1 - t) * angle) * z0 + torch.sin(t * angle) * z1) / torch.sin(angle)


@slerp.mistake(
    "For parallel vectors your path falls to 0. The sines above the line are 0 as well there, and keeping the division from NaN (by a small number in "
    "the denominator, or afterwards) does not bring the path back. Return lerp(z0, z1, t) there."
)
def epsilon_in_the_denominator(z0, z1, t):
    cosine = torch.dot(z0 / z0.norm(), z1 / z1.norm()).clamp(-1, 1)
    angle, t = torch.arccos(cosine), t[:, None]
    return (torch.sin((1 - t) * angle) * z0 + torch.sin(t * angle) * z1) / (torch.sin(angle) + 1e-8)


@slerp.mistake(
    "You interpolate direction and length apart from each other. That is a sensible path too, but it is not the formula: there the weights multiply z0 and z1 as they are."
)
def direction_and_length(z0, z1, t):
    unit = reference("slerp")(z0 / z0.norm(), z1 / z1.norm(), t)
    return unit * torch.lerp(z0.norm(), z1.norm(), t[:, None])


@slerp.mistake(
    "The points of the straight line are pushed out to the right length. They lie on the arc, but not evenly: t is no longer the share of the angle."
)
def straight_line_renormalised(z0, z1, t):
    line = reference("lerp")(z0, z1, t)
    return line * torch.lerp(z0.norm(), z1.norm(), t[:, None]) / line.norm(dim=1, keepdim=True)


@slerp.variant
def slerp_with_the_usual_threshold(z0, z1, t):
    t = t.unsqueeze(1)
    cosine = F.cosine_similarity(z0, z1, dim=0)
    if cosine.abs() > 0.9999:
        return z0 + t * (z1 - z0)
    theta = cosine.acos()
    return (1 - t).mul(theta).sin() / theta.sin() * z0 + t.mul(theta).sin() / theta.sin() * z1


@slerp.mistake(
    "You take the straight line for angles that are not that small. Only where sin Ω is nearly 0 (Ω below 1e-4 or so) are the two the same."
)
def straight_below_a_radian(z0, z1, t):
    omega = torch.acos((z0 @ z1 / z0.norm() / z1.norm()).clamp(-1, 1))
    straight = torch.outer(1 - t, z0) + torch.outer(t, z1)
    return straight if omega < 1.0 else reference("slerp")(z0, z1, t)


@slerp.variant
def slerp_in_numpy(z0, z1, t):
    a, b = z0.double().numpy(), z1.double().numpy()
    omega = np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))
    rows = []
    for s in t.double().numpy():
        if np.isclose(omega, 0, atol=1e-5):
            rows.append((1 - s) * a + s * b)
        else:
            rows.append(np.sin((1 - s) * omega) / np.sin(omega) * a + np.sin(s * omega) / np.sin(omega) * b)
    return torch.from_numpy(np.stack(rows)).float()


@slerp.variant
def slerp_by_rotation(z0, z1, t):
    """Turn within the plane of both vectors; the weights follow from the angle, found by atan2."""
    u0, u1 = z0.double() / z0.double().norm(), z1.double() / z1.double().norm()
    across = u1 - (u0 @ u1) * u0
    omega = torch.atan2(across.norm(), u0 @ u1)
    ratio = torch.sinc((1 - t.double()) * omega / math.pi), torch.sinc(t.double() * omega / math.pi)
    below = torch.sinc(omega / math.pi)
    weights = (1 - t) * ratio[0] / below, t * ratio[1] / below
    return (torch.outer(weights[0], z0.double()) + torch.outer(weights[1], z1.double())).float()


@slerp.variant
def slerp_with_a_clamp_inside(z0, z1, t):
    cosine = (z0 @ z1 / z0.norm() / z1.norm()).clamp(-1 + 1e-7, 1 - 1e-7)
    angle = torch.acos(cosine)
    weights = torch.stack([torch.sin((1 - t) * angle), torch.sin(t * angle)], 1) / torch.sin(angle)
    return weights @ torch.stack([z0, z1])


# --- interpolate --------------------------------------------------------------------------------------------------------------

interpolate = Exercise("interpolate")
interpolate.edits("""
no_sigmoid: `torch.sigmoid(vae.decode(z))` → `vae.decode(z)`
path_ignored: `path(mu[0], mu[1],` → `lerp(mu[0], mu[1],`
    `path` is not used: you walk on the straight line whatever path was asked for.
backwards: `path(mu[0], mu[1],` → `path(mu[1], mu[0],`
    The path runs from x1 to x0. It should begin at x0.
decodes_logvar: `mu, _ =` → `_, mu =`
    You walk between the logvars. The codes are mu, the first of the encoder's two results.
last_end_missing: `torch.linspace(0, 1, steps)` → `torch.arange(steps) / steps`
    Your t stops before 1, so x1 is never reached. torch.linspace(0, 1, steps) has both ends in it.
both_ends_missing: `torch.linspace(0, 1, steps)` → `torch.linspace(0, 1, steps + 2)[1:-1]`
    Both ends are missing: the first image is the reconstruction of x0 itself, the last that of x1.
samples_for_means: `z = path(mu[0], mu[1],` → `mu = mu + (0.5 * _).exp() * torch.randn_like(mu)\n    z = path(mu[0], mu[1],`
    You walk between two random samples, so every call gives other images. The code of an image is the mean, mu.
always_straight: `path(mu[0], mu[1], torch.linspace(0, 1, steps))` → `slerp(mu[0], mu[1], torch.linspace(0, 1, steps))`
    You always take slerp. The argument `path` says which way to go: call it.
one_step_too_many: `torch.linspace(0, 1, steps)` → `torch.linspace(0, 1, steps + 1)`
    There is one image too many. `steps` counts the images, both ends included.
codes_returned: `return torch.sigmoid(vae.decode(z))` → `return z`
    You return the codes on the way. Decode them, and make images of the logits.
thresholded: `torch.sigmoid(vae.decode(z))` → `(vae.decode(z) > 0).float()`
    You cut the images to black and white. Keep the grey values: they are the model's probabilities.
originals_at_the_ends: `return torch.sigmoid(vae.decode(z))` → `return torch.cat([x0[None], torch.sigmoid(vae.decode(z[1:-1])), x1[None]])`
    The ends are x0 and x1 themselves. All images come from the decoder, also the first and the last: they are reconstructions.
mixtures_encoded: `    mu, _ = vae.encode(torch.stack([x0, x1]))\n    z = path(mu[0], mu[1], torch.linspace(0, 1, steps))` → `    mixed = path(x0.flatten(), x1.flatten(), torch.linspace(0, 1, steps)).view(steps, 1, 28, 28)\n    z = vae.encode(mixed)[0]`
    You mix the images, pixel by pixel, and encode the mixtures. Encode the two images, and walk between their codes.
mixtures_encoded_on_a_line: `    mu, _ = vae.encode(torch.stack([x0, x1]))\n    z = path(mu[0], mu[1], torch.linspace(0, 1, steps))` → `    t = torch.linspace(0, 1, steps).view(-1, 1, 1, 1)\n    z = vae.encode((1 - t) * x0 + t * x1)[0]`
    You mix the images, pixel by pixel, and encode the mixtures. Encode the two images, and let `path` walk between their codes.
channel_squeezed_away: `torch.sigmoid(vae.decode(z))` → `torch.sigmoid(vae.decode(z)).squeeze(1)`
    The channel is squeezed away. Images keep it here, though it is only one: (steps, 1, 28, 28).
sigmoid_of_the_codes: `torch.sigmoid(vae.decode(z))` → `vae.decode(torch.sigmoid(z))`
    The sigmoid is applied to the codes. It belongs behind the decoder: it makes images of logits.
logits_mixed: `    z = path(mu[0], mu[1], torch.linspace(0, 1, steps))\n    return torch.sigmoid(vae.decode(z))` → `    ends = vae.decode(mu).flatten(1)\n    return torch.sigmoid(path(ends[0], ends[1], torch.linspace(0, 1, steps)).view(steps, 1, 28, 28))`
    You mix what the decoder makes of the two ends. Walk between their codes, and decode every place on the way.
the_whole_model: `vae.encode(torch.stack([x0, x1]))` → `vae(torch.stack([x0, x1]))[1:]`
    You call the whole model. An autoencoder returns something else there: all that is promised is `vae.encode` and `vae.decode`.
""")


@interpolate.mistake("You mix the images, pixel by pixel. Mix their codes, and decode every mixture.")
def images_mixed(vae, x0, x1, steps, path):
    return path(x0.flatten(), x1.flatten(), torch.linspace(0, 1, steps)).reshape(steps, 1, 28, 28)


@interpolate.mistake(
    "You mix the images, pixel by pixel, on a straight line. Encode them, and let `path` walk between their codes."
)
def images_mixed_on_a_line(vae, x0, x1, steps, path):
    return torch.stack([torch.lerp(x0, x1, t) for t in torch.linspace(0, 1, steps)])


@interpolate.mistake(
    "You mix the two decoded images, pixel by pixel: one digit fades while the other appears. Mix their codes, and decode every mixture."
)
def reconstructions_mixed(vae, x0, x1, steps, path):
    ends = torch.sigmoid(vae.decode(vae.encode(torch.stack([x0, x1]))[0])).flatten(1)
    return path(ends[0], ends[1], torch.linspace(0, 1, steps)).reshape(steps, 1, 28, 28)


@interpolate.mistake(
    "You mix the two decoded images on a straight line: one digit fades while the other appears. Let `path` walk between their codes, and decode every place."
)
def reconstructions_mixed_on_a_line(vae, x0, x1, steps, path):
    ends = torch.sigmoid(vae.decode(vae.encode(torch.stack([x0, x1]))[0]))
    return torch.lerp(ends[0], ends[1], torch.linspace(0, 1, steps).view(-1, 1, 1, 1))


@interpolate.variant
@torch.no_grad()
def one_by_one(vae, x0, x1, steps, path):
    z0, z1 = (vae.encode(x.unsqueeze(0))[0].squeeze(0) for x in (x0, x1))
    codes = path(z0, z1, torch.arange(steps) / (steps - 1))
    return torch.cat([1 / (1 + torch.exp(-vae.decode(z[None]))) for z in codes])


@interpolate.variant
def one_t_at_a_time(vae, x0, x1, steps, path):
    mu0, mu1 = vae.encode(x0.view(1, 1, 28, 28))[0], vae.encode(x1.view(1, 1, 28, 28))[0]
    codes = [path(mu0.flatten(), mu1.flatten(), torch.tensor([i / (steps - 1)])) for i in range(steps)]
    return vae.decode(torch.cat(codes)).sigmoid().detach()


# --- traverse -----------------------------------------------------------------------------------------------------------------

traverse = Exercise("traverse")
traverse.edits("""
no_sigmoid: `torch.sigmoid(vae.decode(codes))` → `vae.decode(codes)`
added: `codes[:, dim] = values` → `codes[:, dim] += values`
    The values are added to z[dim]. They replace it.
others_are_zero: `z.repeat(len(values), 1)` → `torch.zeros(len(values), len(z))`
    The other dimensions are 0. They keep the values that they have in z.
all_dimensions: `codes[:, dim] = values` → `codes[:] = values[:, None]`
    All dimensions get the value. Only z[dim] is replaced.
one_dimension_further: `codes[:, dim] = values` → `codes[:, (dim + 1) % len(z)] = values`
    You set the dimension after `dim`. Python counts from 0, and so does dim.
multiplied: `codes[:, dim] = values` → `codes[:, dim] *= values`
    You multiply z[dim] by the values. It is replaced by them.
values_reversed: `= values` → `= values.flip(0)`
    The values come in reverse order. Image i belongs to values[i].
values_of_its_own: `= values` → `= torch.linspace(-3, 3, len(values))`
    You make values of your own, from −3 to 3. Use those that you are given.
dimensions_counted_from_one: `codes[:, dim] = values` → `codes[:, dim - 1] = values`
    Another dimension is replaced: they are counted from 0, as everywhere in Python.
expand_for_repeat: `z.repeat(len(values), 1)` → `z.expand(len(values), -1)`
    All rows that `expand` makes are the same memory, so that they can't be written to apart. Make copies.
each_number_repeated: `z.repeat(len(values), 1)` → `z.repeat_interleave(len(values)).view(len(values), -1)`
    repeat_interleave repeats each number of z, one after the other. Each row is to be a copy of the whole z: z.repeat(V, 1).
a_row_for_a_column: `codes[:, dim] = values` → `codes[dim] = values`
    You write a row of the codes, codes[dim]. Each row is one code, so a dimension is a column.
thresholded: `torch.sigmoid(vae.decode(codes))` → `(vae.decode(codes) > 0).float()`
    You cut the images to black and white. Keep the grey values: they are the model's probabilities.
""")


@traverse.mistake("You write into `z` itself, which belongs to the caller. Copy it first: z.clone(), or z.repeat(…).")
def writes_into_z(vae, z, dim, values):
    images = []
    for value in values:
        z[dim] = value
        images.append(torch.sigmoid(vae.decode(z[None])))
    return torch.cat(images)


@traverse.mistake(
    "You stack batches of one image each, which leaves a dimension of 1: (V, 1, 1, 28, 28). Put them together along the one they have, by torch.cat."
)
def batches_of_one_stacked(vae, z, dim, values):
    return reference("traverse")(vae, z, dim, values)[:, None]


@traverse.mistake(
    "All images are alike, made with the last value: a list that holds the same tensor V times, or rows made with expand, share their memory. Copy z for each value."
)
def shared_memory(vae, z, dim, values):
    code, codes = z.clone(), []
    for value in values:
        code[dim] = value
        codes.append(code)
    return torch.sigmoid(vae.decode(torch.stack(codes)))


@traverse.variant
def with_where(vae, z, dim, values):
    mask = torch.arange(z.numel()) == dim
    return vae.decode(torch.where(mask, values[:, None], z)).sigmoid()


@traverse.variant
@torch.no_grad()
def with_clones(vae, z, dim, values):
    images = []
    for value in values.tolist():
        code = z.clone()
        code[dim] = value
        images.append(torch.sigmoid(vae.decode(code.unsqueeze(0)))[0])
    return torch.stack(images)


@traverse.variant
def with_a_unit_vector(vae, z, dim, values):
    unit = F.one_hot(torch.tensor(dim), len(z)).float()
    return vae.decode(z + torch.outer(values - z[dim], unit)).sigmoid()


# --- attribute_vector ---------------------------------------------------------------------------------------------------------

attribute_vector = Exercise("attribute_vector")
attribute_vector.edits("""
wrong_way_round: `mu[labels == target].mean(dim=0) - mu[labels == source].mean(dim=0)` → `mu[labels == source].mean(dim=0) - mu[labels == target].mean(dim=0)`
    The vector points from target to source. It leads to the target: target minus source.
sums: `mu[labels == target].mean(dim=0) - mu[labels == source].mean(dim=0)` → `mu[labels == target].sum(dim=0) - mu[labels == source].sum(dim=0)`
    These are sums of codes, so the larger group wins. Take the mean of each group.
target_mean_alone: ` - mu[labels == source].mean(dim=0)` → ``
    This is the mean code of the target, which also holds all that both groups share. Subtract the mean of the source.
against_all: `mu[labels == source]` → `mu`
    You subtract the mean of all codes. The vector begins at the mean of `source`.
against_all_others: `mu[labels == source]` → `mu[labels != target]`
    You subtract the mean of everything that is not target. There may be other labels: only those of `source` count.
halved: `return mu[labels == target].mean(dim=0) - mu[labels == source].mean(dim=0)` → `return (mu[labels == target].mean(dim=0) - mu[labels == source].mean(dim=0)) / 2`
    You go half of the way. The whole way leads from one mean to the other: their difference.
medians: `mu[labels == target].mean(dim=0) - mu[labels == source].mean(dim=0)` → `mu[labels == target].median(dim=0).values - mu[labels == source].median(dim=0).values`
    You take medians. The way leads from mean to mean.
mean_over_dimensions: `mu[labels == target].mean(dim=0) - mu[labels == source].mean(dim=0)` → `mu[labels == target].mean(dim=1) - mu[labels == source].mean(dim=1)`
    You average over the dimensions of each code. The mean of a group runs over its rows, dim=0.
rows_subtracted: `mu[labels == target].mean(dim=0) - mu[labels == source].mean(dim=0)` → `(mu[labels == target] - mu[labels == source]).mean(dim=0)`
    You subtract the codes of the two groups row by row, and the groups differ in size. Take the mean of each group first.
labels_as_row_numbers: `mu[labels == target].mean(dim=0) - mu[labels == source].mean(dim=0)` → `mu[target] - mu[source]`
    You take the label for the number of a row: these are two single codes. Average all rows that have the label.
first_of_each: `mu[labels == target].mean(dim=0) - mu[labels == source].mean(dim=0)` → `mu[labels == target][0] - mu[labels == source][0]`
    You take the first code of each group. Its mean says what the whole group has in common.
keepdim: `mu[labels == target].mean(dim=0) - mu[labels == source].mean(dim=0)` → `mu[labels == target].mean(dim=0, keepdim=True) - mu[labels == source].mean(dim=0, keepdim=True)`
    The vector has the shape (1, D): keepdim leaves a dimension of 1 behind. One code is asked for, (D,).
added: `mu[labels == target].mean(dim=0) - mu` → `mu[labels == target].mean(dim=0) + mu`
    You add the two means. The way from one to the other is their difference.
source_mean_alone: `mu[labels == target].mean(dim=0) - mu[labels == source].mean(dim=0)` → `mu[labels == source].mean(dim=0)`
    This is the mean code of the source. Subtract it from that of the target.
""")


@attribute_vector.mistake("You average over the dimensions as well: one number is left. Average over the rows alone, dim=0.")
def mean_over_everything(mu, labels, source, target):
    return mu[labels == target].mean() - mu[labels == source].mean()


@attribute_vector.mistake(
    "The vector is scaled to length 1. It keeps its length: adding it once leads from the mean of one group to that of the other."
)
def unit_length(mu, labels, source, target):
    return F.normalize(reference("attribute_vector")(mu, labels, source, target), dim=0)


@attribute_vector.mistake(
    "Both sums are divided by N. Each group is divided by its own size: codes of other labels do not count as zeros."
)
def divided_by_all(mu, labels, source, target):
    is_target, is_source = (labels == target).float(), (labels == source).float()
    return (is_target[:, None] * mu).mean(0) - (is_source[:, None] * mu).mean(0)


@attribute_vector.variant
def by_matrix_product(mu, labels, source, target):
    groups = torch.stack([labels == target, labels == source]).to(mu.dtype)  # (2, N)
    means = groups @ mu / groups.sum(1, keepdim=True)
    return means[0] - means[1]


@attribute_vector.variant
def by_loop(mu, labels, source, target):
    def centre(label):
        chosen = [code for code, own in zip(mu, labels.tolist(), strict=True) if own == label]
        return sum(chosen) / len(chosen)

    return centre(target) - centre(source)


@attribute_vector.variant
def by_numpy(mu, labels, source, target):
    mu, labels = mu.double().numpy(), labels.numpy()
    return torch.from_numpy(np.average(mu, 0, labels == target) - np.average(mu, 0, labels == source)).float()


# --- continuity ---------------------------------------------------------------------------------------------------------------

continuity = Exercise("continuity")
continuity.edits("""
mean_over_largest: `steps.max() / steps.mean()` → `steps.mean() / steps.max()`
    This is the mean over the largest step. The other way round it is 1 for an even walk and grows with the jumps.
largest_step_alone: `steps.max() / steps.mean()` → `steps.max()`
    This is the largest step itself, which also depends on how many steps there are. Divide by the mean step.
largest_over_smallest: `steps.mean()` → `steps.min()`
    You divide by the smallest step, which may well be 0. Divide by the mean.
largest_over_sum: `steps.mean()` → `steps.sum()`
    You divide by the sum of the steps. Divide by their mean, so that an even walk has 1.
squared_steps: `.norm(dim=1)` → `.square().sum(dim=1)`
    Your steps are squared lengths. A step is the length itself: the square root is missing.
absolute_differences: `.norm(dim=1)` → `.abs().sum(dim=1)`
    Your steps are sums of absolute differences. A step is the Euclidean length: squares, sum, square root.
distance_from_the_start: `images[1:] - images[:-1]` → `images[1:] - images[:1]`
    You measure how far each image is from the first. A step is from one image to the next.
round_trip: `images[1:] - images[:-1]` → `images - images.roll(1, 0)`
    The step from the last image back to the first is in it too (roll goes round). A path of T images has T − 1 steps.
mean_over_images: `steps.max() / steps.mean()` → `steps.max() / (steps.sum() / len(images))`
    You divide by the number of images. T images have T − 1 steps between them: take steps.mean().
images_for_steps: `(images[1:] - images[:-1]).flatten(1)` → `images.flatten(1)`
    You measure the images themselves. A step is the difference of two neighbours.
lengths_subtracted: `(images[1:] - images[:-1]).flatten(1).norm(dim=1)` → `images.flatten(1).norm(dim=1).diff().abs()`
    You take the length of each image and then the difference. A step is the length of the difference.
largest_pixel: `.norm(dim=1)` → `.abs().amax(dim=1)`
    You take the largest change of any pixel. The length of a step is the square root of the sum of squares.
spread_for_largest: `steps.max()` → `steps.std(correction=0)`
    You divide the spread of the steps by their mean. Asked for is the largest over the mean.
root_mean_square_for_mean: `steps.mean()` → `steps.square().mean().sqrt()`
    You divide by the root of the mean square. Asked for is the mean of the steps.
largest_less_smallest: `steps.max()` → `(steps.max() - steps.min())`
    You subtract the smallest step from the largest one. Asked for is the largest over the mean.
median_for_mean: `steps.mean()` → `steps.median()`
    You divide by the median step. The mean is asked for: then the result lies between 1 and T − 1.
sample_spread_for_largest: `steps.max()` → `steps.std()`
    You divide the spread of the steps by their mean. Asked for is the largest over the mean.
one_norm_for_all: `.flatten(1).norm(dim=1)` → `.norm()`
    You take one norm of all differences together, so that a single step is left and the result is always 1. Each step has its
    own length.
all_ratios: `steps.max() / steps.mean()` → `steps / steps.mean()`
    You return the ratio of every step. One number is wanted: the largest of them.
end_to_end: `steps.max()` → `(images[-1] - images[0]).norm()`
    You measure from the first image to the last. Asked for is the largest single step over the mean step.
distance_from_the_first: `images[1:] - images[:-1]` → `images - images[0]`
    You measure how far each image is from the first. A step is from one image to the next.
mean_subtracted: `steps.max() / steps.mean()` → `steps.max() - steps.mean()`
    You subtract the mean step. Divide by it, so that the length of the path plays no part.
mean_step_alone: `steps.max() / steps.mean()` → `steps.mean()`
    This is the mean step itself. Asked for is the largest over the mean.
last_step_missing: `images[1:] - images[:-1]` → `images[1 : max(2, len(images) - 1)] - images[: max(1, len(images) - 2)]`
    The last step is missing. T images have T − 1 steps, the last of them to images[T − 1].
norm_of_three_dimensions: `.flatten(1).norm(dim=1)` → `.norm(dim=(1, 2, 3))`
    `norm` takes one dimension or two. Make one of the three that an image has: flatten(1) first, then dim=1.
norm_over_the_steps: `.norm(dim=1)` → `.norm(dim=0)`
    You take the norm over the steps, for each pixel. The length of a step is taken over its pixels: dim=1 of what is flattened.
signed_differences: `.norm(dim=1)` → `.sum(dim=1)`
    You sum the differences with their signs, so that a brighter pixel makes up for a darker one. A step is the Euclidean length.
diff_along_a_row: `(images[1:] - images[:-1])` → `images.diff()`
    `diff` subtracts along the last dimension, so these are differences of neighbouring pixels. A step is from one image to the
    next, dim=0.
diff_of_every_pixel: `(images[1:] - images[:-1]).flatten(1).norm(dim=1)` → `(images[1:] - images[:-1]).abs()`
    You take the changes of single pixels as steps. A step is one length for the whole image.
""")


@continuity.mistake(
    "You take the norm along the rows of the pixels, so that a step falls apart into 28 numbers. A step is one length for the whole image: flatten(1) first."
)
def norm_of_pixel_rows(images):
    steps = (images[1:] - images[:-1]).norm(dim=-1)
    return steps.max() / steps.mean()


@continuity.variant
def by_loop_over_pairs(images):
    steps = [torch.dist(a, b).item() for a, b in zip(images, images[1:], strict=False)]
    return max(steps) * len(steps) / sum(steps)


@continuity.variant
def by_diff_in_numpy(images):
    steps = np.linalg.norm(np.diff(images.double().numpy().reshape(len(images), -1), axis=0), axis=1)
    return float(np.max(steps) / np.mean(steps))


@continuity.variant
def by_pairwise_distances(images):
    distances = torch.cdist(
        images.flatten(1).double(), images.flatten(1).double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    steps = distances.diagonal(offset=1)
    return torch.linalg.vector_norm(steps, math.inf) / steps.mean()


@continuity.variant
def by_root_mean_square(images):
    """The mean square differs from the sum of squares by a factor that cancels."""
    steps = F.mse_loss(images[1:], images[:-1], reduction="none").mean(dim=(1, 2, 3)).sqrt()
    return (steps / steps.mean()).amax()


# --- completeness -------------------------------------------------------------------------------------------------------------

completeness = Exercise("completeness")
completeness.edits("""
logits_for_images: `torch.sigmoid(decoder(z))` → `decoder(z)`
    The classifier gets the decoder's logits. It takes images: apply the sigmoid first.
logits_for_probabilities: `.softmax(dim=1)` → ``
    You compare the classifier's logits with 0.9. The softmax makes probabilities of them.
sigmoid_for_softmax: `.softmax(dim=1)` → `.sigmoid()`
    A sigmoid of each logit gives ten numbers that do not add up to 1. An image shows one digit: softmax over the ten
    classes.
softmax_over_the_batch: `.softmax(dim=1)` → `.softmax(dim=0)`
    Your softmax runs over the images, so that they compete with each other. It belongs over the ten classes of each
    image, dim=1.
mean_confidence: `(confidence > 0.9).float().mean()` → `confidence.mean()`
    This is the mean confidence. Wanted is the share of images whose confidence is above 0.9.
a_count: `(confidence > 0.9).float().mean()` → `(confidence > 0.9).float().sum()`
    This is how many there are. Divide by the number of codes: the share is between 0 and 1.
in_percent: `(confidence > 0.9).float().mean()` → `100 * (confidence > 0.9).float().mean()`
    This is in percent. A share lies between 0 and 1.
thresholded_images: `torch.sigmoid(decoder(z))` → `(torch.sigmoid(decoder(z)) > 0.5).float()`
    You cut the images to black and white. The classifier gets the grey ones, as the decoder makes them.
clamped_logits: `torch.sigmoid(decoder(z))` → `decoder(z).clamp(0, 1)`
    You cut the decoder's logits off at 0 and 1. The sigmoid makes images of them.
sigmoid_twice: `torch.sigmoid(decoder(z))` → `torch.sigmoid(torch.sigmoid(decoder(z)))`
    The sigmoid is applied twice to the pixels, which leaves greys between 0.5 and 0.73.
lower_threshold: `confidence > 0.9` → `confidence > 0.5`
    Your threshold is ½. An image counts when its confidence is above 0.9.
threshold_of_95_percent: `confidence > 0.9` → `confidence > 0.95`
    Your threshold is well above 0.9, so images that count are left out.
threshold_of_99_percent: `confidence > 0.9` → `confidence > 0.99`
    Your threshold is well above 0.9, so images that count are left out.
threshold_of_80_percent: `confidence > 0.9` → `confidence > 0.8`
    Your threshold is below 0.9, so images count that the classifier is less sure of.
share_of_all_entries: `.amax(dim=1)` → ``
    You average over all ten probabilities of each image, so no share can be above 1/10. Take the largest of the ten
    first.
the_unsure_ones: `confidence > 0.9` → `confidence < 0.9`
    This is the share of images that are *not* taken for digits.
max_with_its_places: `.amax(dim=1)` → `.max(dim=1)`
    With a dimension, `max` returns a pair: the values, and where they stand. Take its `.values`, or `amax`.
largest_over_the_images: `.amax(dim=1)` → `.amax(dim=0)`
    You take the largest over the images, for each class. The confidence of an image is the largest of its own ten, dim=1.
class_for_confidence: `.amax(dim=1)` → `.argmax(dim=1)`
    argmax gives *which* class is the largest. The confidence is how large it is.
own_codes: `decoder(z)` → `decoder(torch.randn_like(z))`
    You draw codes of your own. Decode those that you are given.
sampled_pixels: `torch.sigmoid(decoder(z))` → `torch.bernoulli(torch.sigmoid(decoder(z)))`
    You draw black and white pixels. The classifier gets the grey images, as the decoder makes them.
not_averaged: `(confidence > 0.9).float().mean()` → `confidence > 0.9`
    You return yes or no for each image. The share is the mean of them.
mean_of_booleans: `.float().mean()` → `.mean()`
    PyTorch takes no mean of True and False. Turn them into numbers first, by .float().
mean_of_the_confident: `(confidence > 0.9).float().mean()` → `confidence[confidence > 0.9].mean()`
    You average the confidence of those above 0.9. Wanted is how many of all codes they are, as a share.
""")


@completeness.variant
def one_code_after_the_other(decoder, z, classifier):
    hits = 0
    for code in z:
        probabilities = torch.softmax(classifier(decoder(code[None]).sigmoid())[0], dim=-1)
        hits += int(probabilities.max().item() > 0.9)
    return hits / len(z)


@completeness.variant
@torch.no_grad()
def by_log_probabilities(decoder, z, classifier):
    log_probabilities = F.log_softmax(classifier(1 / (1 + torch.exp(-decoder(z)))).double(), dim=-1)
    return (log_probabilities.max(dim=-1).values > math.log(0.9)).double().mean().item()


@completeness.variant
def by_categorical(decoder, z, classifier):
    probabilities = Categorical(logits=classifier(torch.sigmoid(decoder(z)))).probs
    return (probabilities > 0.9).any(dim=1).sum() / z.shape[0]


# --- predictions --------------------------------------------------------------------------------------------------------------

predict_reconstruction = Exercise("predict_reconstruction")
predict_reconstruction.wrong_choices("""
chose_b: b
    The VAE's decoder sees each code through noise, and a longer code costs it KL. Who has only the reconstruction to
    think of?
chose_c: c
    The networks are the same; what they are asked for is not. Which of the two gives up reconstruction for something
    else?
""")

predict_completeness = Exercise("predict_completeness")
predict_completeness.wrong_choices("""
chose_a: a
    It rebuilds digits sharply from codes that *its encoder* made. Has anything in its loss asked those codes to look
    like draws from N(0, I)?
chose_c: c
    Both draw digits where their own codes lie. In one of the two losses a term pulls the codes towards N(0, I). Which?
""")

predict_lerp_length = Exercise("predict_lerp_length")
predict_lerp_length.wrong_choices("""
the_same: 1.0
    That would be so if both vectors pointed the same way. They stand nearly at a right angle to each other.
half: 0.5
    Each summand has half the length, but there are two of them, at a right angle. Pythagoras.
nothing: 0.0
    That would be so for opposite vectors. Two draws in many dimensions are nearly at a right angle.
""")
predict_lerp_length.wrong_choice(
    "forgot_to_halve",
    2**0.5,
    "That is the length of the sum z0 + z1. The point half way is half of that.",
)
predict_lerp_length.wrong_choices("""
a_quarter: 0.25
    That is a quarter. Each half contributes a quarter of the *squared* length, and there are two of them: then take the
    square root.
""")
