"""Lesson 05, a VAE in NumPy: what students get wrong, and other ways to be right."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from . import Exercise, reference
from .recurring import in_bits

# --- conv2d -------------------------------------------------------------------------------------------------------------------

conv2d = Exercise("conv2d")
conv2d.edits("""
forgot_bias: ` + bias[:, None, None]` → ``
    The bias is missing: one number for each output channel, added to all of its pixels.
kernel_flipped: `np.tensordot(windows, weight,` → `np.tensordot(windows, weight[:, :, ::-1, ::-1],`
    Your kernel is flipped, as in the convolution of mathematics. Here the index is s·i + a: weight [0, 0] meets the
    upper left pixel of the window.
stride_ignored: `[:, :, ::stride, ::stride]` → `[:, :]`
    The stride is not used: windows begin at every pixel. Only those at 0, s, 2s, … count.
padding_ignored: `((0, 0), (0, 0), (padding, padding), (padding, padding))` → `((0, 0), (0, 0), (0, 0), (0, 0))`
    The padding is not used, or not all of it: put `padding` zeros around the image, on all four sides.
padded_on_one_side: `(padding, padding), (padding, padding))` → `(0, 2 * padding), (0, 2 * padding))`
    The size is right, but all zeros lie below and to the right of the image. Half of them belong above and to the left.
padded_at_the_end_only: `(padding, padding), (padding, padding))` → `(0, padding), (0, padding))`
    The image is padded on one side only. `padding` zeros go on each side: above, below, left and right.
stride_of_the_other_end: `[:, :, ::stride, ::stride]` → `[:, :, ::-stride, ::-stride][:, :, ::-1, ::-1]`
    You keep the last window and count backwards. The first window begins at 0, and what is left over at the end is
    dropped.
channels_averaged: `np.tensordot(windows, weight, axes=((1, 4, 5), (1, 2, 3)))` → `np.tensordot(windows, weight, axes=((1, 4, 5), (1, 2, 3))) / x.shape[1]`
    You average over the input channels. The formula sums over them.
rows_and_columns_swapped: `transpose(0, 3, 1, 2)` → `transpose(0, 3, 2, 1)`
    Rows and columns of the output are exchanged: a transpose too many, or two axes in the wrong order.
channels_last: `return out.transpose(0, 3, 1, 2) + bias[:, None, None]` → `return out + bias`
    The channels come last in your result, (N, H, W, C). In this course they come second: (N, C, H, W).
bias_once_a_channel: `+ bias[:, None, None]` → `+ x.shape[1] * bias[:, None, None]`
    The bias is added once for each input channel. Add it once to each output, after the sum over the channels.
reshaped_for_transposed: `out.transpose(0, 3, 1, 2) +` → `out.reshape(out.shape[0], out.shape[3], *out.shape[1:3]) +`
    You reshape (N, H, W, C) to (N, C, H, W). That keeps the order of the numbers and mixes places with channels:
    transpose(0, 3, 1, 2).
averaged_over_the_window: `np.tensordot(windows, weight, axes=((1, 4, 5), (1, 2, 3)))` → `np.tensordot(windows, weight, axes=((1, 4, 5), (1, 2, 3))) / weight[0].size`
    You take the mean over the window. The formula is a sum, over the channels and over the places of the kernel.
bias_subtracted: `+ bias[:, None, None]` → `- bias[:, None, None]`
    The bias is subtracted. It is added.
padded_twice: `(padding, padding), (padding, padding))` → `(2 * padding, 2 * padding), (2 * padding, 2 * padding))`
    You put twice as many zeros around the image as `padding` says: it counts those on one side.
rows_alone_are_padded: `(padding, padding), (padding, padding))` → `(padding, padding), (0, 0))`
    There are zeros above and below alone. They belong to the left and to the right, too.
columns_alone_are_padded: `(padding, padding), (padding, padding))` → `(0, 0), (padding, padding))`
    There are zeros to the left and to the right alone. They belong above and below, too.
padded_above_and_left_only: `(padding, padding), (padding, padding))` → `(padding, 0), (padding, 0))`
    There are zeros above and to the left alone. They belong below and to the right, too.
padded_with_ones: `(padding, padding), (padding, padding))` → `(padding, padding), (padding, padding)), constant_values=1`
    You pad with ones. The padding is zeros.
stride_of_rows_only: `[:, :, ::stride, ::stride]` → `[:, :, ::stride]`
    The stride is used for the rows alone. It is the same for the columns.
stride_of_columns_only: `[:, :, ::stride, ::stride]` → `[:, :, :, ::stride]`
    The stride is used for the columns alone. It is the same for the rows.
last_window_dropped: `return out.transpose(0, 3, 1, 2)` → `return out[:, :-1, :-1].transpose(0, 3, 1, 2)`
    The last row and the last column of windows are missing: there is one more window than there are steps.
relu_in_the_layer: `return out.transpose(0, 3, 1, 2) + bias[:, None, None]` → `return np.maximum(out.transpose(0, 3, 1, 2) + bias[:, None, None], 0)`
    No result is negative: there is a ReLU in your layer. It comes later, in the network, and not after every layer.
kernel_on_its_side: `np.tensordot(windows, weight,` → `np.tensordot(windows, weight.swapaxes(2, 3),`
    Rows and columns of the kernel are exchanged: weight[o, c, a, b] meets the pixel a below and b to the right.
kernel_upside_down: `np.tensordot(windows, weight,` → `np.tensordot(windows, weight[:, :, ::-1],`
    The rows of your kernel run the wrong way: it is upside down.
kernel_left_to_right: `np.tensordot(windows, weight,` → `np.tensordot(windows, weight[:, :, :, ::-1],`
    The columns of your kernel run the wrong way: it is mirrored.
bias_along_the_width: ` + bias[:, None, None]` → ` + bias`
    Added as it is, the bias meets the last axis, the columns. It belongs to the channels: bias[:, None, None].
one_bias_for_all: ` + bias[:, None, None]` → ` + bias[0]`
    Every output channel gets the bias of the first. Each has its own.
windows_side_by_side: `[:, :, ::stride, ::stride]` → `[:, :, : (windows.shape[2] - 1) // stride + 1, : (windows.shape[3] - 1) // stride + 1]`
    The size is right, but the windows begin at 0, 1, 2, …. Output [i, j] looks at the window that begins in row s·i and
    column s·j.
stride_over_the_channels: `[:, :, ::stride, ::stride]` → `[:, ::stride, ::stride]`
    The stride falls on the channels and the rows. It belongs to the rows and the columns, the third and fourth axis.
channels_padded: `((0, 0), (0, 0), (padding, padding), (padding, padding))` → `padding`
    You pad the channels. The zeros go around rows and columns alone: the pairs of the first two axes are (0, 0).
square_kernels: `weight.shape[2:], axis=(2, 3)` → `weight.shape[2:3] * 2, axis=(2, 3)`
    You take the kernel for a square. It has weight.shape[2] rows and weight.shape[3] columns.
""")


@conv2d.mistake(
    "You read the weight as (C_in, C_out, kh, kw), which is the layout of a transposed convolution. Here the output channels come first."
)
def weight_as_in_out(x, weight, bias, stride, padding):
    return reference("conv2d")(x, weight.swapaxes(0, 1), bias, stride, padding)


@conv2d.mistake(
    "You count windows as if there were no padding: the output is too small. Its size is (H + 2·padding − kh) // stride + 1."
)
def size_without_padding(x, weight, bias, stride, padding):
    height, width = ((size - k) // stride + 1 for size, k in zip(x.shape[2:], weight.shape[2:], strict=True))
    return reference("conv2d")(x, weight, bias, stride, padding)[:, :, :height, :width]


@conv2d.mistake(
    "You reshape the windows while their channels stand before their places, so a row of the matrix mixes several windows. Transpose first, to (N, H, W, C, kh, kw)."
)
def windows_not_transposed(x, weight, bias, stride, padding):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(x, weight.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    n, c, height, width, kh, kw = windows.shape
    out = windows.reshape(n * height * width, c * kh * kw) @ weight.reshape(len(weight), -1).T
    return out.reshape(n, height, width, -1).transpose(0, 3, 1, 2) + bias[:, None, None]


@conv2d.mistake("You count the windows of one direction for both. An image may be wider than it is high.")
def as_wide_as_high(x, weight, bias, stride, padding):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    kh, kw = weight.shape[2:]
    size = (x.shape[2] - kh) // stride + 1
    out = np.zeros((len(x), len(weight), size, size), x.dtype)
    for i, j in np.ndindex(size, size):
        window = x[:, :, stride * i : stride * i + kh, stride * j : stride * j + kw]
        out[:, :, i, j] = np.tensordot(window, weight, axes=((1, 2, 3), (1, 2, 3))) + bias
    return out


@conv2d.mistake(
    "The bias is added inside the sum over the kernel, once for each of its places. Add it once, after the sums."
)
def bias_once_a_place(x, weight, bias, stride, padding):
    return reference("conv2d")(x, weight, weight[0, 0].size * bias, stride, padding)


@conv2d.mistake("You pad with copies of the border. The padding is zeros.")
def padded_with_the_edge(x, weight, bias, stride, padding):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), mode="edge")
    return reference("conv2d")(x, weight, bias, stride, 0)


@conv2d.mistake("Only the first input channel is used. Sum over all of them.")
def first_channel_only(x, weight, bias, stride, padding):
    return reference("conv2d")(x[:, :1], weight[:, :1], bias, stride, padding)


@conv2d.mistake("PyTorch does the work here. NumPy only: write the arithmetic yourself, and you know what PyTorch does.")
def conv2d_by_pytorch(x, weight, bias, stride, padding):
    return F.conv2d(*map(torch.from_numpy, (x, weight, bias)), stride, padding).numpy()


@conv2d.variant
def seven_loops(x, weight, bias, stride, padding):
    n, _, height, width = x.shape
    n_out, n_in, kh, kw = weight.shape
    h_out, w_out = (height + 2 * padding - kh) // stride + 1, (width + 2 * padding - kw) // stride + 1
    out = np.zeros((n, n_out, h_out, w_out))
    for image in range(n):
        for o in range(n_out):
            for i in range(h_out):
                for j in range(w_out):
                    total = float(bias[o])
                    for c in range(n_in):
                        for a in range(kh):
                            for b in range(kw):
                                row, column = stride * i + a - padding, stride * j + b - padding
                                if 0 <= row < height and 0 <= column < width:
                                    total += float(x[image, c, row, column]) * float(weight[o, c, a, b])
                    out[image, o, i, j] = total
    return out


@conv2d.variant
def einsum_over_strides(x, weight, bias, stride, padding):
    x = np.ascontiguousarray(np.pad(x.astype(np.float64), [(0, 0), (0, 0)] + [(padding, padding)] * 2))
    n, c, height, width = x.shape
    kh, kw = weight.shape[-2:]
    shape = (n, c, (height - kh) // stride + 1, (width - kw) // stride + 1, kh, kw)
    image, channel, row, column = x.strides
    windows = as_strided(x, shape, (image, channel, stride * row, stride * column, row, column), writeable=False)
    return np.einsum("nchwab,ocab->nohw", windows, weight, optimize=True) + bias.reshape(1, -1, 1, 1)


@conv2d.variant
def im2col_with_a_list_of_rows(x, weight, bias, stride, padding):
    padded = np.zeros((*x.shape[:2], x.shape[2] + 2 * padding, x.shape[3] + 2 * padding), dtype=x.dtype)
    padded[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]] = x
    kh, kw = weight.shape[2:]
    tops, lefts = range(0, padded.shape[2] - kh + 1, stride), range(0, padded.shape[3] - kw + 1, stride)
    rows = np.stack([padded[:, :, i : i + kh, j : j + kw].reshape(len(x), -1) for i in tops for j in lefts], axis=1)
    out = rows @ weight.reshape(len(weight), -1).T + bias
    return out.swapaxes(1, 2).reshape(len(x), len(weight), len(tops), len(lefts))


@conv2d.variant
def kernel_place_by_place(x, weight, bias, stride, padding):
    x = np.pad(x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2))
    kh, kw = weight.shape[2:]
    height, width = (x.shape[2] - kh) // stride + 1, (x.shape[3] - kw) // stride + 1
    out = np.empty((len(x), len(weight), height, width), dtype=np.float32)
    out[:] = bias[None, :, None, None]
    for a, b in np.ndindex(kh, kw):
        piece = x[:, :, a : a + stride * height : stride, b : b + stride * width : stride][:, :, :height, :width]
        out += np.einsum("nchw,oc->nohw", piece, weight[:, :, a, b])
    return out


# --- conv_transpose2d ---------------------------------------------------------------------------------------------------------

conv_transpose2d = Exercise("conv_transpose2d")
conv_transpose2d.edits("""
forgot_bias: ` + bias[:, None, None]` → ``
    The bias is missing: one number for each output channel, added after the stamps.
overwritten: `places += stamps[..., a, b].transpose(0, 3, 1, 2)` → `places[:] = stamps[..., a, b].transpose(0, 3, 1, 2)`
    Where stamps overlap, the later one replaces the earlier one. They add up: += in place of =.
kernel_flipped: `stamps[..., a, b]` → `stamps[..., kh - 1 - a, kw - 1 - b]`
    Your kernel is upside down and left to right. Stamps land as they are; only a transposed convolution that is computed
    *as a convolution* needs the flip.
padding_not_cut_off: `padding : rows - padding, padding : columns - padding` → `:, :`
    The padding is not cut off. Going back, `padding` makes the output smaller: drop that many rows and columns on each
    side.
padding_added: `canvas[:, :, padding : rows - padding, padding : columns - padding]` → `np.pad(canvas, ((0, 0), (0, 0), (padding, padding), (padding, padding)))`
    You put the padding around the output. It works backwards here: that many rows and columns are cut off on each side.
cut_off_at_the_end_only: `padding : rows - padding, padding : columns - padding` → `: rows - 2 * padding, : columns - 2 * padding`
    The size is right, but all that is cut off comes from the end. Cut `padding` rows and columns off on each side.
output_padding_at_the_front: `a : a + reach_h : stride, b : b + reach_w : stride` → `a + output_padding : a + output_padding + reach_h : stride, b + output_padding : b + output_padding + reach_w : stride`
    The size is right, but your output padding lies above and to the left. It makes the canvas longer at the end: below
    and to the right.
empty_slice: `padding : rows - padding, padding : columns - padding` → `padding:-padding, padding:-padding`
    With padding = 0 you cut with 0:-0, which is empty. Cut at rows − padding, or not at all where padding is 0.
reshaped_for_transposed: `stamps[..., a, b].transpose(0, 3, 1, 2)` → `stamps[..., a, b].reshape(n, channels, height, width)`
    You reshape (N, H, W, C) to (N, C, H, W). That keeps the order of the numbers and mixes places with channels:
    transpose(0, 3, 1, 2).
bias_subtracted: `+ bias[:, None, None]` → `- bias[:, None, None]`
    The bias is subtracted. It is added.
cut_off_at_the_front_only: `padding : rows - padding, padding : columns - padding` → `2 * padding :, 2 * padding :`
    The size is right, but all that is cut off comes from the front. Cut `padding` rows and columns off on each side.
end_not_cut_off: `padding : rows - padding, padding : columns - padding` → `padding:, padding:`
    You cut off rows above and columns to the left alone. As many go below and to the right.
front_not_cut_off: `padding : rows - padding, padding : columns - padding` → `: rows - padding, : columns - padding`
    You cut off rows below and columns to the right alone. As many go above and to the left.
channels_averaged: `np.tensordot(x, weight, axes=(1, 0))` → `np.tensordot(x, weight, axes=(1, 0)) / x.shape[1]`
    You average over the input channels. Their stamps add up.
kernel_on_its_side: `stamps[..., a, b]` → `stamps.swapaxes(-1, -2)[..., a, b]`
    Rows and columns of the kernel are exchanged: weight[c, o, a, b] lands a rows below and b columns to the right.
kernel_upside_down: `stamps[..., a, b]` → `stamps[..., kh - 1 - a, b]`
    The rows of your kernel run the wrong way: it is upside down. Only a transposed convolution that is computed *as a
    convolution* needs a flip, and that in both directions.
kernel_left_to_right: `stamps[..., a, b]` → `stamps[..., a, kw - 1 - b]`
    The columns of your kernel run the wrong way: it is mirrored. Only a transposed convolution that is computed *as a
    convolution* needs a flip, and that in both directions.
rows_and_columns_swapped: `stamps[..., a, b].transpose(0, 3, 1, 2)` → `stamps[..., a, b].transpose(0, 3, 2, 1)`
    Rows and columns of the stamps' places are exchanged: two axes stand in the wrong order.
bias_along_the_width: ` + bias[:, None, None]` → ` + bias`
    Added as it is, the bias meets the last axis, the columns. It belongs to the channels: bias[:, None, None].
""")


@conv_transpose2d.mistake(
    "You read the weight as (C_out, C_in, kh, kw), which is the layout of a convolution. Here the input channels come first."
)
def weight_as_out_in(x, weight, bias, stride, padding, output_padding):
    return reference("conv_transpose2d")(x, weight.swapaxes(0, 1), bias, stride, padding, output_padding)


@conv_transpose2d.mistake(
    "The size is right, but the stamps land at 0, 1, 2, …. Pixel [i, j] presses its stamp at row s·i and column s·j."
)
def stamps_side_by_side(x, weight, bias, stride, padding, output_padding):
    stamps = reference("conv_transpose2d")(x, weight, 0 * bias, 1, 0, 0)
    canvas = reference("conv_transpose2d")(0 * x, weight, 0 * bias, stride, 0, output_padding)
    canvas[:, :, : stamps.shape[2], : stamps.shape[3]] = stamps
    rows, columns = canvas.shape[2:]
    return canvas[:, :, padding : rows - padding, padding : columns - padding] + bias[:, None, None]


@conv_transpose2d.mistake(
    "You put `padding` zeros around the image that you convolve. It takes k − 1 − `padding` on each side: the more padding, the smaller the output."
)
def padding_of_a_convolution(x, weight, bias, stride, padding, output_padding):
    canvas = reference("conv_transpose2d")(x, weight, 0 * bias, stride, 0, output_padding)
    rows, columns = (
        slice(k - 1 - padding, size - (k - 1 - padding)) for k, size in zip(weight.shape[2:], canvas.shape[2:], strict=True)
    )
    return canvas[:, :, rows, columns] + bias[:, None, None]


@conv_transpose2d.mistake("The bias is added once for each place of the kernel. Add it once, after the stamps.")
def bias_once_a_place(x, weight, bias, stride, padding, output_padding):
    return reference("conv_transpose2d")(x, weight, weight[0, 0].size * bias, stride, padding, output_padding)


@conv_transpose2d.mistake("The bias is added once for each input channel. Add it once, after the sum over the channels.")
def bias_once_a_channel(x, weight, bias, stride, padding, output_padding):
    return reference("conv_transpose2d")(x, weight, x.shape[1] * bias, stride, padding, output_padding)


@conv_transpose2d.mistake(
    "Your output is too small by `output_padding`: the canvas is that much longer at the end, and only the padding is cut off."
)
def output_padding_ignored(x, weight, bias, stride, padding, output_padding):
    return reference("conv_transpose2d")(x, weight, bias, stride, padding, 0)


@conv_transpose2d.mistake(
    "The rows and columns that output padding adds hold the bias alone in your result. Stamps reach into them: lengthen the canvas *before* you cut off the padding."
)
def output_padding_holds_the_bias(x, weight, bias, stride, padding, output_padding):
    out = reference("conv_transpose2d")(x, weight, 0 * bias, stride, padding, 0)
    return np.pad(out, ((0, 0), (0, 0), (0, output_padding), (0, output_padding))) + bias[:, None, None]


@conv_transpose2d.mistake(
    "The rows and columns that output padding adds are all zero in your result. Stamps reach into them, and they have a bias too."
)
def output_padding_is_zero(x, weight, bias, stride, padding, output_padding):
    out = reference("conv_transpose2d")(x, weight, bias, stride, padding, 0)
    return np.pad(out, ((0, 0), (0, 0), (0, output_padding), (0, output_padding)))


@conv_transpose2d.mistake(
    "The bias is added with every stamp, so that it counts several times where they overlap. Add it once, at the end."
)
def bias_with_every_stamp(x, weight, bias, stride, padding, output_padding):
    ones = np.ones((1, 1, *x.shape[2:])), np.ones((1, 1, *weight.shape[2:])), np.zeros(1)
    stamps = reference("conv_transpose2d")(*ones, stride, padding, output_padding)
    return reference("conv_transpose2d")(x, weight, 0 * bias, stride, padding, output_padding) + stamps * bias[:, None, None]


@conv_transpose2d.mistake(
    "You put `stride` zeros between neighbouring pixels, one too many: pixels land stride + 1 apart. It takes stride − 1."
)
def a_zero_too_many(x, weight, bias, stride, padding, output_padding):
    return reference("conv_transpose2d")(x, weight, bias, stride + 1, padding, output_padding)


@conv_transpose2d.mistake("The stride is not used: neighbouring pixels press their stamps `stride` places apart.")
def stride_ignored(x, weight, bias, stride, padding, output_padding):
    return reference("conv_transpose2d")(x, weight, bias, 1, padding, output_padding)


@conv_transpose2d.mistake(
    "PyTorch does the work here. NumPy only: write the arithmetic yourself, and you know what PyTorch does."
)
def conv_transpose2d_by_pytorch(x, weight, bias, stride, padding, output_padding=0):
    return F.conv_transpose2d(*map(torch.from_numpy, (x, weight, bias)), stride, padding, output_padding).numpy()


@conv_transpose2d.mistake("Only the first input channel is used. The stamps of all of them add up.")
def first_channel_alone(x, weight, bias, stride, padding, output_padding):
    return reference("conv_transpose2d")(x[:, :1], weight[:1], bias, stride, padding, output_padding)


@conv_transpose2d.mistake("`output_padding` counts twice in your size. It makes the canvas longer once, at the end.")
def output_padding_twice(x, weight, bias, stride, padding, output_padding):
    return reference("conv_transpose2d")(x, weight, bias, stride, padding, 2 * output_padding)


@conv_transpose2d.mistake(
    "The channels come last in your result, (N, H, W, C). In this course they come second: (N, C, H, W)."
)
def stamps_with_channels_last(x, weight, bias, stride, padding, output_padding):
    return reference("conv_transpose2d")(x, weight, bias, stride, padding, output_padding).transpose(0, 2, 3, 1)


@conv_transpose2d.mistake(
    "You average where stamps overlap. They add up: a pixel that three stamps reach gets the sum of the three."
)
def overlaps_averaged(x, weight, bias, stride, padding, output_padding):
    ones = np.ones((1, 1, *x.shape[2:])), np.ones((1, 1, *weight.shape[2:])), np.zeros(1)
    stamps = reference("conv_transpose2d")(*ones, stride, padding, output_padding)
    out = reference("conv_transpose2d")(x, weight, 0 * bias, stride, padding, output_padding)
    return out / np.maximum(stamps, 1) + bias[:, None, None]


@conv_transpose2d.variant
def as_a_convolution(x, weight, bias, stride, padding, output_padding):
    n, c, h, w = x.shape
    kh, kw = weight.shape[2:]
    spread = np.zeros((n, c, (h - 1) * stride + 1, (w - 1) * stride + 1), dtype=x.dtype)
    spread[:, :, ::stride, ::stride] = x
    around = [(k - 1 - padding, k - 1 - padding + output_padding) for k in (kh, kw)]
    spread = np.pad(spread, [(0, 0), (0, 0), *around])
    windows = sliding_window_view(spread, (kh, kw), axis=(2, 3))
    return np.einsum("nchwab,coab->nohw", windows, weight[:, :, ::-1, ::-1]) + bias.reshape(-1, 1, 1)


@conv_transpose2d.variant
def stamp_by_stamp(x, weight, bias, stride, padding, output_padding):
    n, c_in, h, w = x.shape
    _, c_out, kh, kw = weight.shape
    h_out = (h - 1) * stride + kh + output_padding - 2 * padding
    w_out = (w - 1) * stride + kw + output_padding - 2 * padding
    out = np.zeros((n, c_out, h_out, w_out))
    for i, j, a, b in np.ndindex(h, w, kh, kw):
        row, column = stride * i + a - padding, stride * j + b - padding
        if 0 <= row < h_out and 0 <= column < w_out:
            out[:, :, row, column] += x[:, :, i, j].astype(float) @ weight[:, :, a, b]
    return out + bias[None, :, None, None]


@conv_transpose2d.variant
def by_a_matrix_for_rows_and_one_for_columns(x, weight, bias, stride, padding, output_padding):
    def places(size, kernel):
        """(out, in, kernel): 1 where the kernel's place lands on that output."""
        out = np.arange((size - 1) * stride + kernel + output_padding - 2 * padding)[:, None, None]
        landed = stride * np.arange(size)[:, None] + np.arange(kernel) - padding
        return (out == landed).astype(x.dtype)

    rows, columns = places(x.shape[2], weight.shape[2]), places(x.shape[3], weight.shape[3])
    out = np.einsum("nchw,coab,yha,xwb->noyx", x, weight, rows, columns, optimize=True)
    return (out.transpose(0, 2, 3, 1) + bias).transpose(0, 3, 1, 2)


# --- encode -------------------------------------------------------------------------------------------------------------------

encode = Exercise("numpy_encode")
encode.edits("""
no_relu_after_the_first_convolution: `np.maximum(conv2d(x, *conv1, stride=2, padding=1), 0)` → `conv2d(x, *conv1, stride=2, padding=1)`
    The ReLU after `encoder.conv1` is missing.
no_relu_after_the_second_convolution: `np.maximum(conv2d(h, *conv2, stride=2, padding=1), 0)` → `conv2d(h, *conv2, stride=2, padding=1)`
    The ReLU after `encoder.conv2` is missing.
no_relu_after_hidden: `np.maximum(h @ params["encoder.hidden.weight"].T + params["encoder.hidden.bias"], 0)` → `h @ params["encoder.hidden.weight"].T + params["encoder.hidden.bias"]`
    The ReLU after `encoder.hidden` is missing.
channels_last_when_flattened: `h = h.reshape(len(x), -1)` → `h = h.transpose(0, 2, 3, 1).reshape(len(x), -1)`
    You flatten with the channels last. The weights expect (N, C, H, W) laid out as it is: channel by channel, row by
    row.
columns_first_when_flattened: `h = h.reshape(len(x), -1)` → `h = h.swapaxes(2, 3).reshape(len(x), -1)`
    You flatten column by column. In each channel the rows come one after the other.
relu_on_the_heads: `return mu, logvar` → `return np.maximum(mu, 0), np.maximum(logvar, 0)`
    Your heads have a ReLU, so neither `mu` nor `logvar` can be negative. The two last layers have no activation.
relu_on_logvar: `return mu, logvar` → `return mu, np.maximum(logvar, 0)`
    Your `logvar` cannot be negative, so no variance can go below 1. The heads have no activation.
heads_swapped: `return mu, logvar` → `return logvar, mu`
    The two results are exchanged: `mu` comes first, then `logvar`.
returns_variance: `return mu, logvar` → `return mu, np.exp(logvar)`
    The second result is a variance, exp(logvar). Return the logarithm itself: the layer's output as it is.
returns_std: `return mu, logvar` → `return mu, np.exp(0.5 * logvar)`
    The second result is a standard deviation. Return `logvar`, the layer's output as it is.
fixed_size: `h.reshape(len(x), -1)` → `h.reshape(len(x), 3136)`
    You write the number 3136 into the reshape. Parameters of another size are allowed: take -1, which counts for itself.
sigmoid_for_relu: `np.maximum(h @ params["encoder.hidden.weight"].T + params["encoder.hidden.bias"], 0)` → `1 / (1 + np.exp(-(h @ params["encoder.hidden.weight"].T + params["encoder.hidden.bias"])))`
    You apply a sigmoid after `encoder.hidden`. The table asks for a ReLU, max(h, 0).
returns_log_std: `return mu, logvar` → `return mu, 0.5 * logvar`
    You halve the second result: that is log σ. Return `logvar`, the layer's output as it is.
logvar_with_the_bias_of_mu: `+ params["encoder.logvar.bias"]` → `+ params["encoder.mu.bias"]`
    Your `logvar` has the bias of `encoder.mu`. It has one of its own, `encoder.logvar.bias`.
logvar_with_the_weight_of_mu: `params["encoder.logvar.weight"].T` → `params["encoder.mu.weight"].T`
    Your `logvar` has the weight of `encoder.mu`. It has one of its own, `encoder.logvar.weight`.
""")


@encode.mistake("Both results come from `encoder.mu`. The second has a layer of its own, `encoder.logvar`.")
def one_head_twice(params, x):
    mu, _ = reference("numpy_encode")(params, x)
    return mu, mu


@encode.mistake("The biases are missing. Each of the five layers has one.")
def no_biases(params, x):
    return reference("numpy_encode")({name: 0 * a if name.endswith("bias") else a for name, a in params.items()}, x)


@encode.mistake("The biases of the linear layers are missing: h @ weight.T + bias.")
def no_biases_in_linear_layers(params, x):
    linear = ("hidden.bias", "mu.bias", "logvar.bias")
    return reference("numpy_encode")({name: 0 * a if name.endswith(linear) else a for name, a in params.items()}, x)


def _without(part, *layers):
    """A function of parameters and inputs: the reference `part` with the biases of these layers left out."""

    def wrong(params, inputs):
        left_out = {f"{layer}.bias" for layer in layers}
        return reference(part)({name: 0 * a if name in left_out else a for name, a in params.items()}, inputs)

    return wrong


def _forget_each_bias(exercise, *layers):
    for layer in layers:
        wrong = _without(exercise.name, layer)
        wrong.__name__ = "no_bias_in_" + layer.split(".")[1]
        exercise.mistake(f"The bias of `{layer}` is missing.")(wrong)


_forget_each_bias(encode, *(f"encoder.{layer}" for layer in ("conv1", "conv2", "hidden", "mu", "logvar")))


@encode.mistake(
    "The biases of the two convolutions are missing. A convolution has one, too: one number for each output channel."
)
def no_biases_in_convolutions(params, x):
    return _without("numpy_encode", "encoder.conv1", "encoder.conv2")(params, x)


@encode.mistake("The biases of the two heads are missing: h @ weight.T + bias.")
def no_biases_in_heads(params, x):
    return _without("numpy_encode", "encoder.mu", "encoder.logvar")(params, x)


def _encoder(params, x, activation):
    h = x
    for layer in ("encoder.conv1", "encoder.conv2"):
        h = activation(reference("conv2d")(h, params[f"{layer}.weight"], params[f"{layer}.bias"], 2, 1))
    h = activation(h.reshape(len(x), -1) @ params["encoder.hidden.weight"].T + params["encoder.hidden.bias"])
    return tuple(h @ params[f"{head}.weight"].T + params[f"{head}.bias"] for head in ("encoder.mu", "encoder.logvar"))


@encode.mistake(
    "No layer has a ReLU. There is one after each layer but the two heads, or all layers together are one linear map."
)
def no_relu(params, x):
    return _encoder(params, x, lambda h: h)


@encode.mistake("You apply a sigmoid after the layers. The table asks for a ReLU, max(h, 0).")
def sigmoid_everywhere(params, x):
    return _encoder(params, x, lambda h: 1 / (1 + np.exp(-h)))


@encode.mistake("You round the pixels. They may be grey, anything from 0 to 1: hand them on as they are.")
def rounded_pixels(params, x):
    return reference("numpy_encode")(params, np.round(x))


@encode.mistake("You subtract ½ from the pixels. The network takes them as they are, from 0 to 1.")
def centred_pixels(params, x):
    return reference("numpy_encode")(params, x - 0.5)


@encode.mistake("The kernels are flipped, in `conv2d` or on the way into it.")
def flipped_kernels(params, x):
    return reference("numpy_encode")({name: a[:, :, ::-1, ::-1] if a.ndim == 4 else a for name, a in params.items()}, x)


@encode.variant
def in_float64_with_einsum(params, x):
    p = {name: array.astype(np.float64) for name, array in params.items()}
    h = x.astype(np.float64)
    for layer in ("conv1", "conv2"):
        h = einsum_over_strides(h, p[f"encoder.{layer}.weight"], p[f"encoder.{layer}.bias"], 2, 1)
        h = h * (h > 0)
    h = np.einsum("nf,kf->nk", h.reshape(h.shape[0], -1), p["encoder.hidden.weight"]) + p["encoder.hidden.bias"]
    h = np.where(h > 0, h, 0)
    return [h.dot(p[f"encoder.{head}.weight"].transpose()) + p[f"encoder.{head}.bias"] for head in ("mu", "logvar")]


@encode.variant
def by_images_one_after_the_other(params, x):
    def linear(name, h):
        return params[name + ".weight"] @ h + params[name + ".bias"]

    rows = []
    for image in x:
        h = image[None]
        for name in ("encoder.conv1", "encoder.conv2"):
            h = kernel_place_by_place(h, params[name + ".weight"], params[name + ".bias"], stride=2, padding=1).clip(min=0)
        h = linear("encoder.hidden", h.flatten()).clip(0)
        rows.append((linear("encoder.mu", h), linear("encoder.logvar", h)))
    mu, logvar = zip(*rows, strict=True)
    return np.array(mu), np.array(logvar)


# --- decode -------------------------------------------------------------------------------------------------------------------

decode = Exercise("numpy_decode")
decode.edits("""
sigmoid_at_the_end: `return conv_transpose2d(h, *conv2, 2, 1, 1)` → `return 1 / (1 + np.exp(-conv_transpose2d(h, *conv2, 2, 1, 1)))`
    These are probabilities. Return the logits: no sigmoid after the last layer.
relu_at_the_end: `return conv_transpose2d(h, *conv2, 2, 1, 1)` → `return np.maximum(conv_transpose2d(h, *conv2, 2, 1, 1), 0)`
    A ReLU after the last layer makes every logit at least 0, so no pixel can have less than probability ½.
no_relu_after_hidden: `np.maximum(z @ params["decoder.hidden.weight"].T + params["decoder.hidden.bias"], 0)` → `z @ params["decoder.hidden.weight"].T + params["decoder.hidden.bias"]`
    The ReLU after `decoder.hidden` is missing.
no_relu_after_grid: `np.maximum(h @ params["decoder.grid.weight"].T + params["decoder.grid.bias"], 0)` → `h @ params["decoder.grid.weight"].T + params["decoder.grid.bias"]`
    The ReLU after `decoder.grid`, before the reshape, is missing.
no_relu_between_convolutions: `np.maximum(conv_transpose2d(h, *conv1, 2, 1, 1), 0)` → `conv_transpose2d(h, *conv1, 2, 1, 1)`
    The ReLU between the two transposed convolutions is missing.
channels_last_in_the_grid: `h = h.reshape(len(z), -1, 7, 7)` → `h = h.reshape(len(z), 7, 7, -1).transpose(0, 3, 1, 2)`
    You read the 49·C numbers with the channels last. They are laid out channel by channel: reshape to (N, C, 7, 7) at
    once.
grid_transposed: `h = h.reshape(len(z), -1, 7, 7)` → `h = h.reshape(len(z), -1, 7, 7).swapaxes(2, 3)`
    Rows and columns of the 7 × 7 grid are exchanged.
flat_result: `return conv_transpose2d(h, *conv2, 2, 1, 1)` → `return conv_transpose2d(h, *conv2, 2, 1, 1).reshape(len(z), 784)`
    The result is flat. Leave it as images, (N, 1, 28, 28).
fixed_size: `h.reshape(len(z), -1, 7, 7)` → `h.reshape(len(z), 64, 7, 7)`
    You write the number 64 into the reshape. Parameters of another size are allowed: take -1, which counts for itself.
sign_reversed: `return conv_transpose2d(h, *conv2, 2, 1, 1)` → `return -conv_transpose2d(h, *conv2, 2, 1, 1)`
    The sign of the logits is reversed: ink and paper have changed places.
tanh_at_the_end: `return conv_transpose2d(h, *conv2, 2, 1, 1)` → `return np.tanh(conv_transpose2d(h, *conv2, 2, 1, 1))`
    A tanh after the last layer holds every logit between −1 and 1. The last layer has no activation.
relu_on_the_code: `z @ params` → `np.maximum(z, 0) @ params`
    You apply a ReLU to the code. The first layer takes z as it is, negative numbers, too.
""")


@decode.mistake("The biases are missing. Each of the four layers has one.")
def no_biases(params, z):
    return reference("numpy_decode")({name: 0 * a if name.endswith("bias") else a for name, a in params.items()}, z)


_forget_each_bias(decode, *(f"decoder.{layer}" for layer in ("hidden", "grid", "conv1", "conv2")))


@decode.mistake("The biases of the two linear layers are missing: h @ weight.T + bias.")
def no_biases_in_linear_layers(params, z):
    return _without("numpy_decode", "decoder.hidden", "decoder.grid")(params, z)


@decode.mistake("The biases of the two transposed convolutions are missing: one number for each output channel.")
def no_biases_in_convolutions(params, z):
    return _without("numpy_decode", "decoder.conv1", "decoder.conv2")(params, z)


def _decoder(params, z, activation, output_padding=1):
    h = z
    for layer in ("decoder.hidden", "decoder.grid"):
        h = activation(h @ params[f"{layer}.weight"].T + params[f"{layer}.bias"])
    convolutions = [(params[f"{layer}.weight"], params[f"{layer}.bias"]) for layer in ("decoder.conv1", "decoder.conv2")]
    h = activation(reference("conv_transpose2d")(h.reshape(len(z), -1, 7, 7), *convolutions[0], 2, 1, output_padding))
    return reference("conv_transpose2d")(h, *convolutions[1], 2, 1, output_padding)


@decode.mistake(
    "No layer has a ReLU. There is one after each layer but the last, or all layers together are one linear map."
)
def no_relu(params, z):
    return _decoder(params, z, lambda h: h)


@decode.mistake("Without output padding 7 × 7 becomes 13 × 13 and then 25 × 25. Both layers have output padding 1.")
def no_output_padding(params, z):
    return _decoder(params, z, lambda h: np.maximum(h, 0), output_padding=0)


@decode.mistake("The images have lost their channel. Leave the result as (N, 1, 28, 28).")
def channel_squeezed(params, z):
    return reference("numpy_decode")(params, z)[:, 0]


@decode.mistake("The kernels are flipped, in `conv_transpose2d` or on the way into it.")
def flipped_kernels(params, z):
    return reference("numpy_decode")({name: a[:, :, ::-1, ::-1] if a.ndim == 4 else a for name, a in params.items()}, z)


@decode.mistake(
    "Only the output's size is right: there is no output padding in the layers, and zeros fill up the images to 28 × 28."
)
def filled_up_with_zeros(params, z):
    def layer(name, h):
        weight, bias = params[f"decoder.{name}.weight"], params[f"decoder.{name}.bias"]
        return np.pad(reference("conv_transpose2d")(h, weight, bias, 2, 1, 0), ((0, 0), (0, 0), (0, 1), (0, 1)))

    h = np.maximum(z @ params["decoder.hidden.weight"].T + params["decoder.hidden.bias"], 0)
    h = np.maximum(h @ params["decoder.grid.weight"].T + params["decoder.grid.bias"], 0).reshape(len(z), -1, 7, 7)
    return layer("conv2", np.maximum(layer("conv1", h), 0))


@decode.variant
def in_float64_as_convolutions(params, z):
    p = {name: array.astype(np.float64) for name, array in params.items()}
    h = z
    for name in ("decoder.hidden", "decoder.grid"):
        h = np.einsum("ni,oi->no", h, p[f"{name}.weight"]) + p[f"{name}.bias"]
        h = (h + np.abs(h)) / 2
    h = h.reshape((-1, p["decoder.conv1.weight"].shape[0], 7, 7))
    h = as_a_convolution(h, p["decoder.conv1.weight"], p["decoder.conv1.bias"], 2, 1, 1)
    return as_a_convolution(np.where(h > 0, h, 0), p["decoder.conv2.weight"], p["decoder.conv2.bias"], 2, 1, 1)


@decode.variant
def by_codes_one_after_the_other(params, z):
    images = []
    for code in z:
        h = np.clip(params["decoder.hidden.weight"] @ code + params["decoder.hidden.bias"], 0, None)
        h = np.clip(params["decoder.grid.weight"] @ h + params["decoder.grid.bias"], 0, None)
        h = h.reshape(1, h.size // 49, 7, 7)
        h = stamp_by_stamp(h, params["decoder.conv1.weight"], params["decoder.conv1.bias"], 2, 1, 1).clip(min=0)
        images.append(stamp_by_stamp(h, params["decoder.conv2.weight"], params["decoder.conv2.bias"], 2, 1, 1))
    return np.concatenate(images)


# --- bernoulli_log_likelihood ------------------------------------------------------------------------------------------------

bernoulli_log_likelihood = Exercise("bernoulli_log_likelihood")
bernoulli_log_likelihood.recurring(in_bits)
bernoulli_log_likelihood.edits("""
mean_over_pixels: `.sum(axis=1)` → `.mean(axis=1)`
    You average over the pixels. The log of a product is a sum: add them up.
summed_over_everything: `per_pixel.reshape(len(x), -1).sum(axis=1)` → `per_pixel.sum()`
    You sum over the batch as well. Each image keeps its own number: (N,).
not_summed: `per_pixel.reshape(len(x), -1).sum(axis=1)` → `per_pixel`
    This is one number for each pixel. Sum over the pixels of each image: (N,).
a_loss: `return per_pixel.reshape(len(x), -1).sum(axis=1)` → `return -per_pixel.reshape(len(x), -1).sum(axis=1)`
    The sign is reversed: this is the loss. A log-probability is never positive.
softplus_overflows: `np.logaddexp(0, logits)` → `np.log(1 + np.exp(logits.astype(np.float32)))`
    exp(200) is infinite in float32. Take the maximum out first: max(l, 0) + log(1 + exp(−|l|)).
softplus_of_minus_l: `np.logaddexp(0, logits)` → `np.logaddexp(0, -logits)`
    That is the softplus of −l. With x·l in front it must be log(1 + exp(+l)).
softplus_without_max: `np.logaddexp(0, logits)` → `np.log1p(np.exp(-np.abs(logits)))`
    One part of the softplus is missing: log(1 + exp(l)) is max(l, 0) + log(1 + exp(−|l|)).
logits_clipped: `per_pixel = x * logits` → `logits = np.clip(logits, -30, 30)
    per_pixel = x * logits`
    You clip the logits, so that a pixel that is wrong at ±200 costs 30 nats instead of 200. Nothing needs clipping: use
    logaddexp, or max and log1p.
sign_of_logits: `x * logits -` → `-x * logits -`
    The sign of x·l is reversed: where x is 1, a larger logit makes the pixel more likely.
softplus_added: `x * logits - np.logaddexp(0, logits)` → `x * logits + np.logaddexp(0, logits)`
    You add the softplus. It is subtracted: x·l − softplus(l), so that no log-probability is positive.
ink_and_paper_exchanged: `x * logits -` → `(1 - x) * logits -`
    You multiply the logit by 1 − x. It belongs to x: a large logit makes ink likely.
rounded_pixels: `x * logits -` → `np.round(x) * logits -`
    You round the pixels, or ask whether they are above ½. A pixel may be grey: x stands in the formula as it is.
exp_of_the_absolute_value: `np.logaddexp(0, logits)` → `(np.maximum(logits, 0) + np.log1p(np.exp(np.abs(logits.astype(np.float64)))))`
    The exponent has the wrong sign: log(1 + exp(l)) is max(l, 0) + log(1 + exp(−|l|)).
averaged_over_the_batch: `.sum(axis=1)` → `.sum(axis=1).mean()`
    You also average over the images. Each image keeps its own number: (N,).
summed_over_the_batch_alone: `.sum(axis=1)` → `.sum(axis=0)`
    You sum over the images, pixel by pixel. Each image keeps its own number, the sum over its pixels: (N,).
exp_of_minus_l: `np.logaddexp(0, logits)` → `(np.maximum(logits, 0) + np.log1p(np.exp(-logits.astype(np.float64))))`
    Beside max(l, 0) stands log(1 + exp(−|l|)). You write exp(−l), which is another number wherever l is negative.
max_added: `np.logaddexp(0, logits)` → `np.log1p(np.exp(-np.abs(logits))) + np.maximum(logits, 0)`
    You add max(l, 0). It is part of the softplus, max(l, 0) + log(1 + exp(−|l|)), and all of that is subtracted.
logarithm_added: `np.logaddexp(0, logits)` → `np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))`
    You add log(1 + exp(−|l|)). It is part of the softplus, and all of that is subtracted: mind the parentheses.
max_over_the_batch: `np.logaddexp(0, logits)` → `(np.max(logits, 0) + np.log1p(np.exp(-np.abs(logits))))`
    np.max(l, 0) is the largest logit along axis 0, the batch. np.maximum(l, 0) compares each logit with 0.
softplus_of_x: `np.logaddexp(0, logits)` → `np.logaddexp(0, x)`
    You take the softplus of the pixels. It is that of the logits: log(1 + exp(l)).
one_for_zero: `np.logaddexp(0, logits)` → `np.logaddexp(1, logits)`
    logaddexp(1, l) is log(e + exp(l)). The 1 of log(1 + exp(l)) is exp(0): logaddexp(0, l).
logits_without_x: `x * logits -` → `logits -`
    Every pixel counts as ink in your sum: l − softplus(l) is log p. For grey and white pixels it is x·l − softplus(l).
""")


@bernoulli_log_likelihood.mistake(
    "You take the logarithm of a probability that was rounded to exactly 0 or 1, and 0 · log 0 is nan. Don't make p: use x·l − softplus(l)."
)
def log_of_zero(x, logits):
    p = 1 / (1 + np.exp(-logits))
    return (x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=(1, 2, 3))


def _clipped(p, x, smallest):
    p = p.clip(smallest, 1 - smallest)
    return (x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=(1, 2, 3))


@bernoulli_log_likelihood.mistake(
    "You clip p at 1e-7, or add that much, to keep the logarithm finite. That hides how wrong a wrong pixel is: at a logit of 200 it costs 200 nats, not 16. Use x·l − softplus(l)."
)
def clipped_at_1e_7(x, logits):
    return _clipped(1 / (1 + np.exp(-logits.astype(np.float64))), x, 1e-7)


@bernoulli_log_likelihood.mistake(
    "You clip p, or add a small number inside the logarithm, to keep it finite. That hides how wrong a wrong pixel is. Use x·l − softplus(l), which needs no such number."
)
def added_1e_8(x, logits):
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return (x * np.log(p + 1e-8) + (1 - x) * np.log(1 - p + 1e-8)).sum(axis=(1, 2, 3))


def _with_small_number(name, wrong):
    wrong.__name__ = name
    bernoulli_log_likelihood.mistake(
        "You clip p, or add a small number inside the logarithm, to keep it finite. That hides how wrong a wrong pixel is. Use x·l − softplus(l), which needs no such number."
    )(wrong)


def _with_clipped_logits(largest):
    def wrong(x, logits):
        return reference("bernoulli_log_likelihood")(x, np.clip(logits, -largest, largest))

    wrong.__name__ = f"logits_clipped_at_{largest}"
    bernoulli_log_likelihood.mistake(
        "You clip the logits, or the logarithms of p, so that a pixel that is wrong at ±200 costs fewer than 200 nats. Nothing needs clipping: use logaddexp, or max and log1p."
    )(wrong)


def _probabilities(logits):
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


for _digits in (3, 4, 5, 6):
    _with_small_number(
        f"clipped_at_1e_{_digits}", lambda x, logits, c=10.0**-_digits: _clipped(_probabilities(logits), x, c)
    )
for _digits in (9, 10, 12):

    def _added(x, logits, small=10.0**-_digits):
        p = _probabilities(logits)
        return (x * np.log(p + small) + (1 - x) * np.log(1 - p + small)).sum(axis=(1, 2, 3))

    _with_small_number(f"added_1e_{_digits}", _added)
# In float32, 1 minus such a number is rounded by as much as it is itself.
for _name, _smallest in (("1e_6", 1e-6), ("1e_7", 1e-7), ("eps", 2.0**-23)):
    _with_small_number(
        f"clipped_in_float32_at_{_name}",
        lambda x, logits, c=_smallest: _clipped(_probabilities(logits).astype(np.float32), x, c),
    )
for _largest in (10, 20, 50, 80, 88, 100):
    _with_clipped_logits(_largest)


@bernoulli_log_likelihood.mistake(
    "The logits are taken for probabilities. p is the sigmoid of a logit, and x·l − softplus(l) is the log-probability without it."
)
def logits_for_probabilities(x, logits):
    return _clipped(logits, x, 1e-7)


@bernoulli_log_likelihood.mistake(
    "Only the paper counts in your sum. An inked pixel has a probability too: the term with x is missing."
)
def only_paper(x, logits):
    return -((1 - x) * np.logaddexp(0, logits)).sum(axis=(1, 2, 3))


@bernoulli_log_likelihood.mistake(
    "You count squared differences, as for Gaussian pixels. Here pixels are coins: x·l − softplus(l), summed."
)
def squared_differences(x, logits):
    return -0.5 * ((x - _probabilities(logits)) ** 2).sum(axis=(1, 2, 3))


@bernoulli_log_likelihood.mistake(
    "You count squared differences, as for Gaussian pixels. Here pixels are coins: x·l − softplus(l), summed."
)
def squared_differences_without_half(x, logits):
    return 2 * squared_differences(x, logits)


@bernoulli_log_likelihood.mistake(
    "The sigmoid is applied twice: once before the formula, and once by it. x·l − softplus(l) takes the logits themselves."
)
def double_sigmoid(x, logits):
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return reference("bernoulli_log_likelihood")(x, p)


@bernoulli_log_likelihood.mistake(
    "Only the ink counts in your sum. A white pixel has a probability too: the term with 1 − x is missing."
)
def only_ink(x, logits):
    return -(x * np.logaddexp(0, -logits)).sum(axis=(1, 2, 3))


@bernoulli_log_likelihood.mistake(
    "PyTorch does the work here. NumPy only: write the arithmetic yourself, and you know what PyTorch does."
)
def log_likelihood_by_pytorch(x, logits):
    terms = F.binary_cross_entropy_with_logits(*map(torch.from_numpy, (logits, x)), reduction="none")
    return -terms.flatten(1).sum(1).numpy()


@bernoulli_log_likelihood.variant
def two_softplus(x, logits):
    def log_sigmoid(a):
        return np.minimum(a, 0) - np.log1p(np.exp(-np.abs(a)))

    per_pixel = x * log_sigmoid(logits) + (1 - x) * log_sigmoid(-logits)
    return np.einsum("nchw->n", per_pixel)


@bernoulli_log_likelihood.variant
def naive_softplus_in_float64(x, logits):
    x, logits = x.astype(np.float64), logits.astype(np.float64)
    return np.array([(image * a - np.log(1 + np.exp(a))).sum() for image, a in zip(x, logits, strict=True)])


@bernoulli_log_likelihood.variant
def summed_apart(x, logits):
    n = len(x)
    x, logits = x.reshape(n, -1), logits.reshape(n, -1)
    softplus = np.where(logits > 0, logits, 0) + np.log(1 + np.exp(-abs(logits)))
    return (x * logits).sum(-1) - softplus.sum(-1)


# --- elbo ---------------------------------------------------------------------------------------------------------------------

elbo = Exercise("numpy_elbo")
elbo.edits("""
kl_added: `- gaussian_kl(mu, logvar)` → `+ gaussian_kl(mu, logvar)`
    The KL is added. It is what the code costs: subtract it.
no_kl: ` - gaussian_kl(mu, logvar)` → ``
    The KL is missing, or so small that it does not count (a mean over pixels or dimensions?): this is the first term of
    the ELBO.
negative_elbo: `return bernoulli_log_likelihood(x, decode(params, z)) - gaussian_kl(mu, logvar)` → `return gaussian_kl(mu, logvar) - bernoulli_log_likelihood(x, decode(params, z))`
    This is minus the ELBO, the loss of lesson 07. Here the ELBO itself is wanted: log-likelihood minus KL.
noise_times_variance: `np.exp(0.5 * logvar)` → `np.exp(logvar)`
    You multiply the noise by the variance. σ is exp(½ · logvar).
logvar_as_sigma: `np.exp(0.5 * logvar)` → `logvar`
    You multiply the noise by `logvar` itself. σ is exp(½ · logvar).
no_noise: ` + np.exp(0.5 * logvar) * eps` → ``
    You decode the mean. The code is a sample, mu + σ·eps.
batch_mean: `return bernoulli_log_likelihood(x, decode(params, z)) - gaussian_kl(mu, logvar)` → `return (bernoulli_log_likelihood(x, decode(params, z)) - gaussian_kl(mu, logvar)).mean()`
    You average over the batch. Each image keeps its own ELBO: (N,).
kl_mean_over_dimensions: `- gaussian_kl(mu, logvar)` → `- gaussian_kl(mu, logvar) / mu.shape[1]`
    The KL is averaged over the latent dimensions. It is a sum over them.
kl_mean_over_the_batch: `- gaussian_kl(mu, logvar)` → `- gaussian_kl(mu, logvar).mean()`
    Every image is charged the batch's average KL. Each has its own: (N,) minus (N,).
likelihood_mean_over_pixels: `bernoulli_log_likelihood(x, decode(params, z)) -` → `bernoulli_log_likelihood(x, decode(params, z)) / 784 -`
    The log-likelihood is averaged over the pixels, next to a KL that is a sum. Sum both.
sigmoid_of_the_logits: `decode(params, z))` → `1 / (1 + np.exp(-decode(params, z))))`
    You apply a sigmoid before bernoulli_log_likelihood, which takes logits and applies its own.
decodes_the_noise: `decode(params, z)` → `decode(params, eps)`
    You decode eps, a draw from the prior. The code of this image is z = mu + σ·eps.
kl_at_the_sample: `gaussian_kl(mu, logvar)` → `gaussian_kl(z, logvar)`
    You hand z to the KL. It is the KL of the whole Gaussian q, which is known by mu and logvar.
noise_subtracted: `mu + np.exp(0.5 * logvar) * eps` → `mu - np.exp(0.5 * logvar) * eps`
    You subtract the noise. The code is z = mu + σ·eps: use `eps` with its sign, so that two calls agree.
one_over_sigma: `np.exp(0.5 * logvar)` → `np.exp(-0.5 * logvar)`
    You divide the noise by σ. The code is mu + σ·eps, with σ = exp(½ · logvar).
noise_not_scaled: `np.exp(0.5 * logvar) * eps` → `eps`
    The noise is not scaled. The code is mu + σ·eps, with σ = exp(½ · logvar).
kl_alone: `return bernoulli_log_likelihood(x, decode(params, z)) - gaussian_kl(mu, logvar)` → `return -gaussian_kl(mu, logvar)`
    The log-likelihood is missing: this is minus the KL alone.
kl_summed_over_the_batch: `- gaussian_kl(mu, logvar)` → `- gaussian_kl(mu, logvar).sum()`
    Every image is charged the KLs of all images. Each has its own: (N,) minus (N,).
rounded_images: `mu, logvar = encode(params, x)` → `x = np.round(x)
    mu, logvar = encode(params, x)`
    You round the images. A pixel may be grey: encode it, and compare it with its logit, as it is.
rounded_for_the_likelihood: `bernoulli_log_likelihood(x,` → `bernoulli_log_likelihood(np.round(x),`
    You round the images before you compare them with the logits. A pixel may be grey.
rounded_for_the_encoder: `encode(params, x)` → `encode(params, np.round(x))`
    You round the images before you encode them. A pixel may be grey.
arguments_of_the_likelihood_swapped: `bernoulli_log_likelihood(x, decode(params, z))` → `bernoulli_log_likelihood(decode(params, z), x)`
    The arguments of bernoulli_log_likelihood are swapped: the images come first, then the logits.
results_of_encode_swapped: `mu, logvar = encode` → `logvar, mu = encode`
    You unpack `encode` the wrong way round: it returns mu first, then logvar.
arguments_of_the_kl_swapped: `gaussian_kl(mu, logvar)` → `gaussian_kl(logvar, mu)`
    The arguments of gaussian_kl are swapped: mu comes first, then logvar.
kl_of_sigma: `gaussian_kl(mu, logvar)` → `gaussian_kl(mu, np.exp(0.5 * logvar))`
    You hand σ to gaussian_kl. It takes logvar, the logarithm of the variance.
kl_of_the_variance: `gaussian_kl(mu, logvar)` → `gaussian_kl(mu, np.exp(logvar))`
    You hand the variance to gaussian_kl. It takes logvar, its logarithm.
one_noise_for_all: `* eps` → `* eps[0]`
    Every image gets the noise of the first. Each has its own row of `eps`.
noise_in_the_exponent: `np.exp(0.5 * logvar) * eps` → `np.exp(0.5 * logvar * eps)`
    The noise stands inside the exponential. It multiplies σ: mu + exp(½ · logvar) · eps.
mean_times_noise: `mu + np.exp(0.5 * logvar) * eps` → `(mu + np.exp(0.5 * logvar)) * eps`
    The mean is multiplied by the noise, too. Only σ is: mu + σ·eps.
""")


@elbo.mistake("`eps` is changed in place: the caller may use the noise again. Write mu + sigma * eps, not eps *= sigma.")
def eps_overwritten(params, x, eps):
    mu, logvar = reference("numpy_encode")(params, x)
    eps *= np.exp(0.5 * logvar)
    eps += mu
    kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(1)
    return reference("bernoulli_log_likelihood")(x, reference("numpy_decode")(params, eps)) - kl


def _with_kl(params, x, z, kl):
    return reference("bernoulli_log_likelihood")(x, reference("numpy_decode")(params, z)) - kl.sum(axis=1)


@elbo.mistake("Your KL is twice too large: there is a ½ in front of the sum over the dimensions.")
def kl_without_half(params, x, eps):
    mu, logvar = reference("numpy_encode")(params, x)
    return _with_kl(params, x, mu + np.exp(0.5 * logvar) * eps, mu**2 + np.exp(logvar) - 1 - logvar)


@elbo.mistake("You read `logvar` as log σ, in the sample and in the KL. It is log σ².")
def logvar_as_log_std(params, x, eps):
    mu, logvar = reference("numpy_encode")(params, x)
    return _with_kl(params, x, mu + np.exp(logvar) * eps, 0.5 * (mu**2 + np.exp(2 * logvar) - 1) - logvar)


@elbo.mistake(
    "You estimate the KL from the one sample as well, log q(z) − log p(z). It is known exactly: use `gaussian_kl`."
)
def kl_from_the_sample(params, x, eps):
    mu, logvar = reference("numpy_encode")(params, x)
    z = mu + np.exp(0.5 * logvar) * eps
    return _with_kl(params, x, z, 0.5 * (z**2 - eps**2 - logvar))


def _with_pixels(name, log_likelihood, hint):
    def wrong(params, x, eps):
        mu, logvar = reference("numpy_encode")(params, x)
        logits = reference("numpy_decode")(params, mu + np.exp(0.5 * logvar) * eps)
        kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(1)
        return log_likelihood(x, logits.astype(np.float32)) - kl

    wrong.__name__ = name
    elbo.mistake(hint)(wrong)


_with_pixels(
    "pixels_by_probabilities",
    log_of_zero,
    "Your log-likelihood takes the logarithm of a probability, which is −∞ where it was rounded to 0. Use bernoulli_log_likelihood, which takes logits.",
)
for _digits in (3, 6, 7):
    _with_pixels(
        f"pixels_clipped_at_1e_{_digits}",
        lambda x, logits, c=10.0**-_digits: _clipped(_probabilities(logits), x, c),
        "Your log-likelihood clips the probabilities, which hides how wrong a wrong pixel is. Use bernoulli_log_likelihood, which takes logits.",
    )


@elbo.mistake("You draw noise of your own. Use `eps` as it is given, so that two calls agree.")
def noise_of_its_own(params, x, eps):
    return reference("numpy_elbo")(params, x, np.random.default_rng(0).standard_normal(eps.shape))


@elbo.variant
def with_two_log_densities_for_the_kl(params, x, eps):
    mu, logvar = (part.astype(np.float64) for part in reference("numpy_encode")(params, x))
    sigma = np.sqrt(np.exp(logvar))
    kl = -np.log(sigma) + (sigma**2 + mu**2) / 2 - 0.5
    logits = reference("numpy_decode")(params, mu + sigma * eps)
    return two_softplus(x, logits) - np.sum(kl, axis=-1)


@elbo.variant
def image_by_image(params, x, eps):
    values = []
    for image, noise in zip(x, eps, strict=True):
        mu, logvar = in_float64_with_einsum(params, image[None])
        logits = in_float64_as_convolutions(params, mu + np.exp(logvar / 2) * noise)
        kl = 0.5 * sum(m * m + math.exp(s) - 1 - s for m, s in zip(mu[0], logvar[0], strict=True))
        values.append(summed_apart(image[None].astype(float), logits)[0] - kl)
    return np.array(values)


# --- predictions --------------------------------------------------------------------------------------------------------------

predict_size = Exercise("predict_size")
predict_size.wrong_choices("""
not_rounded: 112.5
    A window fits or it doesn't: round down before you add 1.
rounded_up: 113
    The last window must still fit into the padded image. What is left over is dropped: round down, then add 1.
forgot_one: 111
    You counted the steps between windows. There is one more window than there are steps.
forgot_padding: 109
    That is without padding. Three zeros go around on each side, so the image becomes 230 pixels wide.
stride_ignored: 224
    That would be the output at stride 1. At stride 2 every second window is left out.
""")

predict_copies = Exercise("predict_copies")
predict_copies.wrong_choices("""
stride_ignored: 9
    Nine entries a window is right. But with stride 2 there are fewer windows than pixels: how many, in two dimensions?
stride_once: 4.5
    With stride 2 every second window goes, in the rows and in the columns too.
""")
predict_copies.wrong_choice(
    "inverted", 4 / 9, "That is the image divided by the matrix. The question is for the matrix divided by the image."
)
predict_copies.wrong_choices("""
no_copies: 1
    Neighbouring windows overlap, and a matrix can't share its entries: what lies in two windows stands in it twice.
fewer_windows_only: 0.25
    That is how many windows there are for each pixel. How many entries has each?
""")

predict_field = Exercise("predict_field")
predict_field.wrong_choices("""
product: 9
    Three windows of three pixels would be nine pixels if they lay side by side. They begin two pixels apart, so they
    overlap.
stride_ignored: 5
    That is so with stride 1, where neighbouring windows begin one pixel apart. Here they begin two apart.
sum: 6
    Sizes don't add up like that. Draw three neighbouring windows of the first layer and count from the first pixel to
    the last.
one_layer: 3
    Three *features* of the first layer. Each of those sees three pixels of its own.
""")

predict_stamps = Exercise("predict_stamps")
predict_stamps.wrong_choices("""
the_same_everywhere: a
    The stamps are alike, but how many of them reach an output? In the one-dimensional figure, positions 2 and 4 get two,
    positions 1, 3 and 5 one.
smooth: c
    Only the outermost rows know that there is a border. Count the stamps that reach one position inside, and its
    neighbour.
""")

predict_naive = Exercise("predict_naive")
predict_naive.wrong_choices("""
zero: a
    That is the true value, and the first term alone gives it. But the second term is computed as well: (1 − x) is 0, and
    it is multiplied by log(1 − p). What is that when p is exactly 1?
minus_infinity: b
    log(1 − p) is −inf, true. But it is multiplied by (1 − x), which is 0. What is 0 · inf?
minus_200: d
    200 nats is what a logit of 200 costs where it is *wrong*. Here it is right.
""")
