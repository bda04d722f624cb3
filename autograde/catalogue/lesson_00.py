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
divided_by_the_images: `x.mean(dim=(1, 2, 3))` → `x.sum(dim=(1, 2, 3)) / len(x)`
    You divide by the number of images. Each sum has the 784 pixels of one image: divide by 784, or take the mean.
divided_by_one_side: `x.mean(dim=(1, 2, 3))` → `x.sum(dim=(1, 2, 3)) / 28`
    You divide by 28. An image has 28 rows of 28 pixels: 784.
divided_by_255: `x.mean(dim=(1, 2, 3))` → `x.mean(dim=(1, 2, 3)) / 255`
    You divide by 255. These values are between 0 and 1 already.
standard_deviation: `x.mean(` → `x.std(`
    This is how much the pixels vary, their standard deviation. The share of ink is their mean.
darkest_pixel: `x.mean(` → `x.amax(`
    This is the darkest pixel of each image. The share of ink is the mean of all of them.
one_map_of_all_images: `x.mean(dim=(1, 2, 3))` → `x.flatten(1).mean(0)`
    You average each pixel over the images. Dimension 0 counts the images, and stays: after flatten(1), average over dimension 1.
images_averaged_too: `dim=(1, 2, 3)` → `dim=(0, 2, 3)`
    You average over the images, dimension 0, and keep the channel, dimension 1. Keep dimension 0 and average over the others.
images_and_channel: `dim=(1, 2, 3)` → `dim=(0, 1)`
    You average over the images and the channel, and keep the pixels. Average over dimensions 1, 2 and 3.
first_image_alone: `x.mean(dim=(1, 2, 3))` → `x[0].mean()`
    This is the ink of the first image alone. All N of them are asked for, (N,).
average_of_the_ink: `x.mean(dim=(1, 2, 3))` → `x.sum(dim=(1, 2, 3)) / (x > 0).sum(dim=(1, 2, 3))`
    You divide by the number of pixels that have ink. The share is that of the whole page: divide by all 784.
share_of_all_ink: `x.mean(dim=(1, 2, 3))` → `x.sum(dim=(1, 2, 3)) / x.sum()`
    You divide by the ink of all images together. Each image is compared with its own page, of 784 pixels.
pixels_mixed_up: `x.mean(dim=(1, 2, 3))` → `x.reshape(784, -1).mean(0)`
    Reshaping to (784, N) doesn't put the images into columns: it mixes their pixels. Flatten each one: x.flatten(1) is (N, 784).
rounded: `.mean(dim=(1, 2, 3))` → `.mean(dim=(1, 2, 3)).round()`
    You round to 0 or 1. Leave the share as it is.
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
first_halved: `(vae.encode(first)[0] + vae.encode(second)[0]) / 2` → `vae.encode(first)[0] / 2`
    `second` plays no part: you halve the code of the first image. The middle is half of the sum of both codes.
rounded_down: ` / 2` → ` // 2`
    `//` rounds down to whole numbers. Divide with `/`.
first_pair_alone: `vae.decode(middle)` → `vae.decode(middle[:1])`
    You decode the first pair alone. `vae.encode(x)[0]` has the codes of all images, (N, 2): take no [0] of that.
sigmoid_of_the_code: `vae.decode(middle).sigmoid()` → `vae.decode(middle.sigmoid())`
    You apply the sigmoid to the code. It belongs to what the decoder returns, the logits.
softmax: `.sigmoid()` → `.softmax(-1)`
    softmax makes each row of pixels add up to 1. Each pixel has a probability of its own, between white and black: the sigmoid.
tanh: `.sigmoid()` → `.tanh()`
    tanh gives numbers from −1 to 1. The sigmoid gives probabilities, from 0 to 1.
stretched: `vae.decode(middle).sigmoid()` → `((vae.decode(middle) - vae.decode(middle).min()) / (vae.decode(middle).max() - vae.decode(middle).min()))`
    You stretch the logits to the range from 0 to 1. The sigmoid makes probabilities of them, each by itself.
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


@half_way.mistake("You encode the sum of the two images. Encode each image by itself, and take the middle of the codes.")
def encodes_the_sum(vae, first, second):
    return vae.decode(vae.encode(first + second)[0]).sigmoid()


@half_way.mistake(
    "You take the middle of `mu` and `logvar` of the first image, the two that `vae.encode` returns. Encode both images, and "
    "take the middle of their `mu`."
)
def mixes_mu_and_logvar(vae, first, second):
    mu, logvar = vae.encode(first)
    return vae.decode((mu + logvar) / 2).sigmoid()


@half_way.mistake("You add noise to the codes. The middle of the two codes `mu` themselves is asked for.")
def draws_codes(vae, first, second):
    codes = [mu + (0.5 * logvar).exp() * torch.randn_like(mu) for mu, logvar in (vae.encode(first), vae.encode(second))]
    return vae.decode((codes[0] + codes[1]) / 2).sigmoid()


@half_way.mistake(
    "You average over the images of each batch, and get one code for `first` and one for `second`. Average the two codes of each pair."
)
def averages_each_batch(vae, first, second):
    return vae.decode(torch.stack([vae.encode(first)[0], vae.encode(second)[0]]).mean(1)).sigmoid()


@half_way.mistake("You average all codes into one. Each pair has a middle of its own: N images come back.")
def one_middle_for_all(vae, first, second):
    return vae.decode(vae.encode(torch.cat([first, second]))[0].mean(0, keepdim=True)).sigmoid()


@half_way.mistake("You average all codes into a single number. Each pair has a middle of its own, a code of two numbers.")
def one_number(vae, first, second):
    return vae.decode(torch.stack([vae.encode(first)[0], vae.encode(second)[0]]).mean()).sigmoid()


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
ln_2_to_one_digit: `math.log(2)` → `0.7`
    0.7 is ln 2 rounded to one digit, and your result is 1 % off. Use math.log(2).
log_of_n_dims: `nats / (n_dims * math.log(2))` → `nats / math.log(n_dims)`
    You divide by the logarithm of `n_dims`. Divide by `n_dims` itself, and by ln 2.
log_2_of_n_dims: `nats / (n_dims * math.log(2))` → `nats / math.log2(n_dims)`
    You divide by the logarithm of `n_dims`. Divide by `n_dims` itself, and by ln 2.
multiplied_by_n_dims: `nats / (n_dims * math.log(2))` → `nats / math.log(2) * n_dims`
    You multiply by `n_dims` where you should divide. (Look at your brackets: `a / b * c` is `(a / b) * c`.)
rounded_bits_of_a_nat: `nats / (n_dims * math.log(2))` → `nats * 1.44 / n_dims`
    1.44 is 1/ln 2 rounded to three digits, and your result is 0.2 % off. Divide by math.log(2), which has them all.
absolute: `nats / (` → `abs(nats) / (`
    You take away the sign. Costs may be negative, where p is a density above 1: leave them so.
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


@bits_per_dim.mistake(
    "You go through exp, which overflows: e to the power 5000 is too large for the computer. "
    "Nats and bits differ by a factor only, so a division is all you need."
)
def through_exp_in_python(nats, n_dims=784):
    bits = torch.log2(torch.exp(nats)) if isinstance(nats, torch.Tensor) else math.log2(math.exp(nats))
    return bits / n_dims


@bits_per_dim.mistake(
    "You take the logarithm of the nats. They are a logarithm already: another unit is a division, by ln 2."
)
def logarithm_of_nats_in_python(nats, n_dims=784):
    return math.log2(nats) / n_dims


@bits_per_dim.mistake(
    "You take −log₂ of the nats, as if they were a probability. They are a surprise already: another unit is a division, by ln 2."
)
def surprise_of_nats(nats, n_dims=784):
    return -math.log2(nats) / n_dims


@bits_per_dim.mistake("You cut off what is below 0. Costs may be negative, where p is a density above 1: leave them so.")
def negative_costs_cut_off(nats, n_dims=784):
    bits = reference("bits_per_dim")(nats, n_dims)
    return bits.clamp(min=0) if isinstance(bits, torch.Tensor) else max(bits, 0.0)


@bits_per_dim.mistake(
    "The numbers are right, and no gradient flows back. `torch.tensor(nats)` makes a copy without its history, as `.detach()`, `.item()` and "
    "`.numpy()` do: divide nats itself."
)
def tensors_detached(nats, n_dims=784):
    return reference("bits_per_dim")(nats.detach() if isinstance(nats, torch.Tensor) else nats, n_dims)


@bits_per_dim.mistake("You round to three digits. Leave the number as it is, and round where you print it.")
def rounded(nats, n_dims=784):
    bits = reference("bits_per_dim")(nats, n_dims)
    return bits if isinstance(bits, torch.Tensor) else round(bits, 3)


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
