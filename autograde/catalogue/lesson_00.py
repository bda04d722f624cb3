"""Lesson 00, start here: what students get wrong, and other ways to be right."""

import math

import numpy as np
import torch

from . import Exercise, reference
from .recurring import in_numpy

ink = Exercise("ink")
ink.edits("""
summed: `.mean(` → `.sum(`
    You add the pixels up. The share of the page that is ink is their mean.
averaged_over_everything: `dim=(1, 2, 3)` → ``
    You average over all pixels of all images at once. Each image keeps its own number: the result is (N,).
averaged_over_images: `dim=(1, 2, 3)` → `dim=0`
    You average over dimension 0, which counts the images. Average over the other three, which belong to one image.
rows_only: `dim=(1, 2, 3)` → `dim=3`
    You average over the columns of each row and stop there. Average over the channel, the rows and the columns.
channel_kept: `dim=(1, 2, 3)` → `dim=(2, 3)`
    The channel dimension is still there: (N, 1) is not (N,). Average over dimension 1 as well.
keepdim: `dim=(1, 2, 3)` → `dim=(1, 2, 3), keepdim=True`
    The numbers are right, and `keepdim` leaves three dimensions of size 1 behind. Leave it out.
as_list: `.mean(dim=(1, 2, 3))` → `.mean(dim=(1, 2, 3)).tolist()`
    You return a list of numbers, one by one or by .tolist(). Return one tensor: it, of shape (N,), is what the next cells compute with.
black_and_white: `x.mean(` → `(x > 0.5).float().mean(`
    You make the image black and white first. A grey pixel is as much ink as its value says: average the values as they
    are.
share_of_paper: `return x` → `return 1 - x`
    This is the share of the page that is left blank. In these images 0 is paper and 1 is ink.
mean_of_the_squares: `return x` → `return x.square()`
    You square the pixels. The share of ink is their plain mean.
percent: `.mean(dim=(1, 2, 3))` → `.mean(dim=(1, 2, 3)) * 100`
    You count in percent. The share is a number from 0 to 1.
median: `x.mean(dim=(1, 2, 3))` → `x.flatten(1).median(1).values`
    You take the median, the middle one of the pixels. The share of ink is their mean.
""")


@ink.mistake(
    "You count the pixels that have any ink at all. A light grey pixel is less ink than a black one: average the values."
)
def counted(x):
    return (x > 0).float().mean(dim=(1, 2, 3))


@ink.mistake(
    "`squeeze()` also removes the first dimension when there is only one image. Say which dimensions you average over."
)
def squeezed(x):
    return x.squeeze().mean(dim=(1, 2))


@ink.variant
def flattened(x):
    return x.flatten(1).mean(-1)


@ink.variant
def one_image_at_a_time(x):
    return torch.stack([image.double().sum() / image.numel() for image in x])


ink.recurring(in_numpy)


@ink.variant
def by_numpy_and_back(x):
    return torch.from_numpy(np.mean(x.numpy(), axis=(1, 2, 3)))


half_way = Exercise("half_way")
half_way.edits("""
no_sigmoid: `.sigmoid()` → ``
decodes_logvar: `vae.encode(first)[0] + vae.encode(second)[0]` → `vae.encode(first)[1] + vae.encode(second)[1]`
    You take the second of the encoder's results, which is `logvar`. The code is the first, `mu`: vae.encode(x)[0].
summed: ` / 2` → ``
    You add the two codes and leave it at that. The middle is half of their sum.
brackets: `(vae.encode(first)[0] + vae.encode(second)[0]) / 2` → `vae.encode(first)[0] + vae.encode(second)[0] / 2`
    Mind the brackets: in Python, `a + b / 2` halves b alone.
first_alone: `(vae.encode(first)[0] + vae.encode(second)[0]) / 2` → `vae.encode(first)[0]`
    `second` plays no part: this is the reconstruction of the first image. Take the middle of both codes.
difference: `+ vae` → `- vae`
    Half of the difference of two numbers is no place between them: half of their sum is.
halved_after_decoding: `vae.decode(middle).sigmoid()` → `vae.decode(2 * middle).sigmoid() / 2`
    You halve the image. Halve the sum of the codes, before you decode it.
thresholded: `vae.decode(middle).sigmoid()` → `(vae.decode(middle) > 0).float()`
    You cut the images to black and white. Keep the grey values: they are the model's probabilities.
averaged_over_pairs: `vae.decode(middle)` → `vae.decode(middle.mean(0, keepdim=True).expand_as(middle))`
    You average over all pairs. Each pair has a middle of its own.
second_alone: `(vae.encode(first)[0] + vae.encode(second)[0]) / 2` → `vae.encode(second)[0]`
    `first` plays no part: this is the reconstruction of the second image. Take the middle of both codes.
sigmoid_twice: `vae.decode(middle).sigmoid()` → `vae.decode(middle).sigmoid().sigmoid()`
    The sigmoid is applied twice: white cannot get below ½.
clamped: `vae.decode(middle).sigmoid()` → `vae.decode(middle).clamp(0, 1)`
    You cut the logits off at 0 and 1. The sigmoid makes probabilities of them.
negative: `vae.decode(middle).sigmoid()` → `1 - vae.decode(middle).sigmoid()`
    Your images are negatives: ink where paper belongs. The sigmoid itself is what is asked for.
channel_dropped: `vae.decode(middle).sigmoid()` → `vae.decode(middle).sigmoid().squeeze(1)`
    The dimension of the channel is gone. Images keep it in this course: (N, 1, 28, 28).
""")


half_way.recurring(in_numpy)


@half_way.mistake("You mix the two images, and encode the mixture. Encode each image by itself, and mix the codes.")
def encodes_the_mixture(vae, first, second):
    return vae.decode(vae.encode((first + second) / 2)[0]).sigmoid()


@half_way.mistake("You mix the two images, and the model plays no part. Mix their codes, and decode the mixture.")
def double_exposure(vae, first, second):
    return (first + second) / 2


@half_way.mistake("You decode both codes, and mix the two images that come out. Mix the codes first, and decode once.")
def mixes_what_is_decoded(vae, first, second):
    return (vae.decode(vae.encode(first)[0]).sigmoid() + vae.decode(vae.encode(second)[0]).sigmoid()) / 2


@half_way.mistake("You decode both codes, and mix their logits. Mix the codes first, and decode once.")
def mixes_logits(vae, first, second):
    return ((vae.decode(vae.encode(first)[0]) + vae.decode(vae.encode(second)[0])) / 2).sigmoid()


@half_way.mistake(
    "You return the middle of the codes. Decode it: the result is images, (N, 1, 28, 28).",
)
def not_decoded(vae, first, second):
    return (vae.encode(first)[0] + vae.encode(second)[0]) / 2


@half_way.mistake(
    "`vae.encode` returns two tensors, `mu` and `logvar`, and you add up both pairs. Take the first: vae.encode(x)[0].",
)
def stacked_pair(vae, first, second):
    return vae.decode(torch.stack([*vae.encode(first), *vae.encode(second)]).mean(0)).sigmoid()


@half_way.variant
def in_one_batch(vae, first, second):
    mu, _ = vae.encode(torch.cat([first, second]))
    return 1 / (1 + torch.exp(-vae.decode(mu.view(2, len(first), -1).mean(0))))


@half_way.variant
def from_the_first_towards_the_second(vae, first, second):
    with torch.no_grad():
        mu_first, mu_second = (vae.encode(x.clone())[0] for x in (first, second))
        return torch.sigmoid(vae.decode(torch.lerp(mu_first, mu_second, 0.5)))


@half_way.variant
def one_pair_at_a_time(vae, first, second):
    rows = [vae.decode((vae.encode(a[None])[0] + vae.encode(b[None])[0]) * 0.5) for a, b in zip(first, second, strict=True)]
    return torch.cat(rows).sigmoid()


predict_between = Exercise("predict_between")
predict_between.wrong_choices("""
double_exposure: a
    That is what you get when you average the two *images*. Here you take the middle of the two *codes*, and draw that.
noise: c
    The decoder has learned to draw digits. Noise is nothing it was ever asked for, and nearby codes give nearby images.
""")

predict_far = Exercise("predict_far")
predict_far.wrong_choices("""
blank: a
    The decoder does not know that it has left the map. It is a function: it has an answer for every code.
admits_it_does_not_know: b
    That would be wise. But nothing in training asks for it: the decoder was only ever shown codes on the map.
""")

predict_bits = Exercise("predict_bits")
predict_bits.wrong_choice(
    "nats_per_pixel", 100 / 784, "These are the nats per pixel. A bit is smaller than a nat, so there are more of them."
)
predict_bits.wrong_choice(
    "multiplied_by_ln_2",
    100 / 784 * math.log(2),
    "You turned nats into bits the wrong way round. A bit is smaller than a nat, so there are more bits than nats.",
)
predict_bits.wrong_choice(
    "bits_per_image", 100 / math.log(2), "These are the bits for the whole image. Share them out over its 784 pixels."
)
predict_bits.wrong_choice(
    "kept_the_minus",
    -100 / (784 * math.log(2)),
    "The size is right. The ELBO is minus a cost, and the question is about the cost, which is positive.",
)

bits_per_dim = Exercise("bits_per_dim")
bits_per_dim.edits("""
forgot_ln_2: ` * math.log(2)` → ``
    These are nats per dimension. Divide by ln 2 as well, to turn nats into bits.
multiplied_by_ln_2: `nats / (n_dims * math.log(2))` → `nats / n_dims * math.log(2)`
    You multiply by ln 2 where you should divide. (Look at your brackets: `a / b * c` is `(a / b) * c`.) A bit is smaller
    than a nat, so there are more bits than nats.
log_10: `math.log(2)` → `math.log(10)`
    You divide by ln 10. That counts decimal digits; a bit is a choice between two: ln 2.
log_10_of_2: `math.log(2)` → `math.log10(2)`
    You divide by the decimal logarithm of 2. A nat is counted with the natural logarithm: `math.log(2)`.
always_784: `n_dims *` → `784 *`
    You divide by 784 whatever `n_dims` is. A colour image has 3072 numbers, say.
per_image: `n_dims * ` → ``
    These are bits for the whole image. Divide by `n_dims`, to share them out over its dimensions.
floor_division: `nats / ` → `nats // `
    `//` throws away what stands after the decimal point. Divide with `/`.
rounded_ln_2: `math.log(2)` → `0.693`
    0.693 is ln 2 rounded to three digits, and your result is 0.02 % off. Use math.log(2), which has them all.
logarithm_of_nats: `nats / (n_dims * math.log(2))` → `torch.log2(torch.as_tensor(nats)) / n_dims`
    You take the logarithm of the nats. They are a logarithm already: another unit is a division, by ln 2.
""")


@bits_per_dim.mistake("You average over the images. Each image keeps its own number: (N,) in, (N,) out.")
def averaged_over_images(nats, n_dims=784):
    return reference("bits_per_dim")(torch.as_tensor(nats), n_dims).mean()


@bits_per_dim.mistake("You add the images up. Each image keeps its own number: (N,) in, (N,) out.")
def summed_over_images(nats, n_dims=784):
    return reference("bits_per_dim")(torch.as_tensor(nats), n_dims).sum()


@bits_per_dim.mistake(
    "You go through exp, which overflows: e to the power 5000 is too large for the computer. "
    "Nats and bits differ by a factor only, so a division is all you need."
)
def through_exp(nats, n_dims=784):
    return torch.log2(torch.exp(torch.as_tensor(nats))) / n_dims


@bits_per_dim.mistake(
    "The numbers are right, and no gradient flows back. `torch.tensor(nats)` makes a copy without its history, as `.detach()`, `.item()` and "
    "`.numpy()` do: divide nats itself."
)
def detached(nats, n_dims=784):
    return reference("bits_per_dim")(torch.as_tensor(nats).detach(), n_dims)


@bits_per_dim.mistake("`float(…)` takes one number only. Leave it out: dividing works for a tensor as it does for a float.")
def one_number_only(nats, n_dims=784):
    return reference("bits_per_dim")(float(nats), n_dims)


@bits_per_dim.variant
def times_log2_of_e(nats, n_dims=784):
    return nats * math.log2(math.e) / n_dims


@bits_per_dim.variant
def times_the_reciprocal(nats, n_dims=784):
    return nats * (1 / (n_dims * math.log(2)))


@bits_per_dim.mistake(
    "The number is right, but it is a tensor where a number was given. `math.log(2)` is a number, and `/` keeps numbers numbers and tensors tensors."
)
def all_in_tensors(nats, n_dims=784):
    return torch.as_tensor(nats) / n_dims / torch.log(torch.tensor(2.0))


@bits_per_dim.variant
def with_numpy_in_float64(nats, n_dims=784):
    nats = nats.double() if isinstance(nats, torch.Tensor) else np.float64(nats)
    return nats / np.log(2) / n_dims
