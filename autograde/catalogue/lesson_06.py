"""Lesson 06, PyTorch at low level: what students get wrong, and other ways to be right."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from . import Exercise, reference

# --- init_parameters ----------------------------------------------------------------------------------------------------------

init_parameters = Exercise("init_parameters")
_WEIGHT = 'params[f"{name}.weight"] = (std * torch.randn(shape, generator=generator)).requires_grad_()'
_BIAS = 'params[f"{name}.bias"] = torch.zeros(size, requires_grad=True)'
init_parameters.edits("""
weights_are_no_leaves: `(std * torch.randn(shape, generator=generator)).requires_grad_()` → `std * torch.randn(shape, generator=generator, requires_grad=True)`
    You mark the random numbers and multiply afterwards. The product is computed, so it is no leaf: multiply first, then
    mark the product with `.requires_grad_()`.
heads_not_small: `latent_dim, small),\n        "encoder.logvar": ((latent_dim, 256), latent_dim, small)` → `latent_dim, math.sqrt(2 / 256)),\n        "encoder.logvar": ((latent_dim, 256), latent_dim, math.sqrt(2 / 256))`
    The two heads are as large as the layers before a ReLU. The table starts them small, at 0.01: no ReLU follows, and
    every q begins near the prior.
variance_for_std_where_large: `(std * torch.randn` → `((std if std == small else std**2) * torch.randn`
    You multiply by 2/n, which is the variance. The standard deviation is its root.
one_over_n: `(std * torch.randn` → `((std if std == small else std**2 / 2) * torch.randn`
    You multiply by 1/n. The standard deviation is √(2/n).
logits_not_small: `"decoder.conv2": ((32, 1, 3, 3), 1, small)` → `"decoder.conv2": ((32, 1, 3, 3), 1, math.sqrt(2 / 72))`
    `decoder.conv2` is as large as the layers before a ReLU. None follows it: it starts small, at 0.01, so that the
    logits are near 0.
small_ones_by_variance: `small = 0.01` → `small = 0.1`
    The three that start small have the standard deviation 0.1. It is 0.01 (which is not the variance).
outputs_for_inputs: `math.sqrt(2 / latent_dim)` → `math.sqrt(2 / 256)`
    For `decoder.hidden` you took n = 256, the number of its outputs. n counts its inputs: D.
shapes_of_ordinary_convolutions: `"decoder.conv1": ((64, 32, 3, 3), 32, math.sqrt(2 / 144)),\n        "decoder.conv2": ((32, 1, 3, 3), 1, small),` → `"decoder.conv1": ((32, 64, 3, 3), 32, math.sqrt(2 / 144)),\n        "decoder.conv2": ((1, 32, 3, 3), 1, small),`
    The weights of the transposed convolutions have the outputs first. There the inputs come first: (64, 32, 3, 3)
    and (32, 1, 3, 3).
""")
init_parameters.edited(
    "no_gradients_asked_for",
    f"{_WEIGHT}\n        {_BIAS}",
    f"{_WEIGHT}\n        {_BIAS}".replace(".requires_grad_()", "").replace(", requires_grad=True", ""),
    "No tensor requires a gradient, so nothing computed from them is recorded. Mark each with `.requires_grad_()`.",
)
init_parameters.edits("""
biases_ask_for_none: `torch.zeros(size, requires_grad=True)` → `torch.zeros(size)`
    The biases don't require a gradient, so they stay 0 forever. They are parameters too.
uniform: `torch.randn(shape, generator=generator)` → `torch.rand(shape, generator=generator)`
    `torch.rand` is uniform on [0, 1], with a mean of ½. The weights are normal with mean 0: `torch.randn`.
uniform_around_zero: `torch.randn(shape, generator=generator)` → `math.sqrt(12) * (torch.rand(shape, generator=generator) - 0.5)`
    Mean and standard deviation are right, but these numbers are uniform. The text asks for a normal distribution.
variance_for_std: `(std * torch.randn` → `(std**2 * torch.randn`
    You multiply by the variance, 2/n (and 0.0001). The standard deviation is its root.
no_factor_of_two: `(std * torch.randn(shape, generator=generator))` → `((std if std == small else std / math.sqrt(2)) * torch.randn(shape, generator=generator))`
    The standard deviation is √(1/n). A ReLU deletes half of the squares, and the 2 in √(2/n) makes up for that.
the_same_size_for_all: `(std * torch.randn(shape, generator=generator))` → `(small * torch.randn(shape, generator=generator))`
    All weights have the standard deviation 0.01. Only `encoder.mu`, `encoder.logvar` and `decoder.conv2` start that
    small.
none_starts_small: `(std * torch.randn(shape, generator=generator))` → `(math.sqrt(2 / {'mu': 256, 'logvar': 256, 'conv2': 72}[name.split('.')[1]] if std == small else std**2) * torch.randn(shape, generator=generator))`
    The three layers without a ReLU (`encoder.mu`, `encoder.logvar`, `decoder.conv2`) start with the standard deviation
    0.01, so that the model begins by knowing nothing.
fan_in_from_the_shape: `math.sqrt(2 / 144)` → `math.sqrt(2 / (32 * 9))`
    For `decoder.conv1` you took n = 32 · 3 · 3. The weight of a transposed convolution has the input channels first, 64,
    and with stride 2 an output pixel gets 9/4 stamps: n = 144, as in the table.
every_tap_counted: `math.sqrt(2 / 144)` → `math.sqrt(2 / (64 * 9))`
    For `decoder.conv1` you took n = 64 · 3 · 3. With stride 2 the stamps stand two pixels apart, so that an output pixel
    gets 9/4 of them and not 9: n = 144, as in the table.
generator_ignored: `, generator=generator)).requires_grad_()` → `)).requires_grad_()`
    `generator` is not used, or not for every weight, so nobody can repeat your draw. Hand it on to each `torch.randn`.
seeded_inside: `params = {}` → `params, generator = {}, generator or torch.Generator().manual_seed(0)`
    Without a generator every call gives the same numbers. Draw from the global state then, and seed nothing.
random_biases: `torch.zeros(size, requires_grad=True)` → `(0.1 * torch.randn(size, generator=generator)).requires_grad_()`
    The biases are random. They start at 0.
always_sixteen_dimensions: `params = {}` → `params = {}\n    layers["decoder.hidden"] = (256, 16), 256, math.sqrt(2 / 16)\n    layers["encoder.mu"] = layers["encoder.logvar"] = (16, 256), 16, small`
    You write 16 latent dimensions whatever `latent_dim` is.
linear_weights_transposed: `params = {}` → `params = {}\n    layers = {name: (s if len(s) == 4 else s[::-1], size, std) for name, (s, size, std) in layers.items()}`
    The weights of the linear layers are (in, out). `F.linear` wants (out, in), as in the table.
seeds_globally: `params = {}` → `params = {}\n    torch.manual_seed(0)`
    You set PyTorch's global seed. Whoever calls loses their own randomness, and every call gives the same numbers: seed
    nothing.
""")


@init_parameters.mistake(
    "`mu` and `logvar` share one tensor, or two layers share a bias. A change of the one is then a change of the other: make a tensor for each."
)
def shared_biases(latent_dim, generator=None):
    params = reference("init_parameters")(latent_dim, generator)
    zeros = {}
    for name, p in params.items():
        if name.endswith("bias"):
            params[name] = zeros.setdefault(p.shape, p)
    return params


@init_parameters.variant
def with_normal_in_place(latent_dim, generator=None):
    d = latent_dim
    params = {}

    def layer(name, *shape, outputs, n=None):
        weight, bias = torch.empty(*shape), torch.empty(outputs)
        torch.nn.init.normal_(weight, 0.0, 0.01 if n is None else (2.0 / n) ** 0.5, generator=generator)
        torch.nn.init.zeros_(bias)
        params.update({name + ".bias": torch.nn.Parameter(bias), name + ".weight": torch.nn.Parameter(weight)})

    layer("decoder.conv2", 32, 1, 3, 3, outputs=1)
    layer("decoder.conv1", 64, 32, 3, 3, outputs=32, n=64 * 9 / 4)
    layer("decoder.grid", 3136, 256, outputs=3136, n=256)
    layer("decoder.hidden", 256, d, outputs=256, n=d)
    layer("encoder.logvar", d, 256, outputs=d)
    layer("encoder.mu", d, 256, outputs=d)
    layer("encoder.hidden", 256, 3136, outputs=256, n=3136)
    layer("encoder.conv2", 64, 32, 3, 3, outputs=64, n=32 * 9)
    layer("encoder.conv1", 32, 1, 3, 3, outputs=32, n=9)
    return params


@init_parameters.variant
def by_kaiming_and_hand(latent_dim, generator=None):
    shapes = {name: p.shape for name, p in reference("init_parameters")(latent_dim).items()}
    params = {name: torch.zeros(shape) for name, shape in shapes.items()}
    for name, p in params.items():
        if name in ("encoder.mu.weight", "encoder.logvar.weight", "decoder.conv2.weight"):
            p.normal_(std=0.01, generator=generator)
        elif name == "decoder.conv1.weight":
            p += torch.normal(0.0, math.sqrt(2) / 12, p.shape, generator=generator)
        elif p.ndim > 1:
            torch.nn.init.kaiming_normal_(p, nonlinearity="relu", generator=generator)
    return {name: p.requires_grad_(True) for name, p in params.items()}


# --- encode, decode -----------------------------------------------------------------------------------------------------------

encode = Exercise("torch_encode")
_FIRST = "F.conv2d(x, *conv1, stride=2, padding=1)"
_SECOND = "F.conv2d(h, *conv2, stride=2, padding=1)"
encode.edits("""
no_relu_after_conv1: `F.relu(F.conv2d(x, *conv1, stride=2, padding=1))` → `F.conv2d(x, *conv1, stride=2, padding=1)`
    The ReLU after `encoder.conv1` is missing: see the table's column.
no_relu_after_conv2: `F.relu(F.conv2d(h, *conv2, stride=2, padding=1))` → `F.conv2d(h, *conv2, stride=2, padding=1)`
    The ReLU after `encoder.conv2` is missing.
no_relu_before_heads: `F.relu(F.linear(h.flatten(1), *hidden))` → `F.linear(h.flatten(1), *hidden)`
    The ReLU after `encoder.hidden` is missing.
relu_on_the_heads: `return mu, logvar` → `return F.relu(mu), F.relu(logvar)`
    There is a ReLU on the heads. `mu` and `logvar` may be negative; without that no variance goes below 1.
no_bias_in_conv1: `F.conv2d(x, *conv1,` → `F.conv2d(x, conv1[0],`
    The bias of `encoder.conv1` is not used: `F.conv2d` takes it as its third argument.
no_bias_in_conv2: `F.conv2d(h, *conv2,` → `F.conv2d(h, conv2[0],`
    The bias of `encoder.conv2` is not used: `F.conv2d` takes it as its third argument.
no_bias_in_mu: `, params["encoder.mu.bias"])` → `)`
    The bias of `encoder.mu` is not used: `F.linear` takes it as its third argument.
no_bias_in_logvar: `, params["encoder.logvar.bias"])` → `)`
    The bias of `encoder.logvar` is not used: `F.linear` takes it as its third argument.
bias_of_the_other_head: `params["encoder.logvar.weight"], params["encoder.logvar.bias"]` → `params["encoder.logvar.weight"], params["encoder.mu.bias"]`
    `logvar` is made with the bias of `encoder.mu`. Each head has its own.
relu_on_logvar: `return mu, logvar` → `return mu, F.relu(logvar)`
    There is a ReLU on `logvar`, so that no variance goes below 1. The heads have none.
relu_on_mu: `return mu, logvar` → `return F.relu(mu), logvar`
    There is a ReLU on `mu`, which then is never negative. The heads have none.
returns_std: `return mu, logvar` → `return mu, (0.5 * logvar).exp()`
    The second result is a standard deviation. Return logvar, the head's output as it is.
tanh_on_mu: `return mu, logvar` → `return mu.tanh(), logvar`
    There is a tanh on `mu`, which keeps it between −1 and 1. The heads have no activation.
features_detached: `h.flatten(1)` → `h.flatten(1).detach()`
    The result of the convolutions is detached, so that no gradient reaches them.
no_relu_at_all: `h = F.relu(F.conv2d(x, *conv1, stride=2, padding=1))\n    h = F.relu(F.conv2d(h, *conv2, stride=2, padding=1))\n    h = F.relu(F.linear(h.flatten(1), *hidden))` → `h = F.conv2d(x, *conv1, stride=2, padding=1)\n    h = F.conv2d(h, *conv2, stride=2, padding=1)\n    h = F.linear(h.flatten(1), *hidden)`
    There is no ReLU anywhere. The table has one after `encoder.conv1`, `encoder.conv2` and `encoder.hidden`.
rows_and_columns_swapped: `h.flatten(1)` → `h.transpose(2, 3).flatten(1)`
    The 3136 numbers are in another order than the weights expect: rows and columns are swapped. Flatten (N, 64, 7,
    7) as it is.
""")
encode.edited(
    "no_bias_in_convolutions",
    f"F.relu({_FIRST})\n    h = F.relu({_SECOND})",
    f"F.relu({_FIRST})\n    h = F.relu({_SECOND})".replace("*conv1", "conv1[0]").replace("*conv2", "conv2[0]"),
    "The convolutions' biases are not used. `F.conv2d` takes the bias as its third argument, and says nothing where it is missing.",
)
encode.edits("""
no_bias_in_hidden: `*hidden)` → `hidden[0])`
    The bias of `encoder.hidden` is not used: `F.linear` takes it as its third argument.
no_bias_in_the_heads: `mu = F.linear(h, params["encoder.mu.weight"], params["encoder.mu.bias"])\n    logvar = F.linear(h, params["encoder.logvar.weight"], params["encoder.logvar.bias"])` → `mu = F.linear(h, params["encoder.mu.weight"])\n    logvar = F.linear(h, params["encoder.logvar.weight"])`
    The biases of the two heads are not used: `F.linear` takes the bias as its third argument.
heads_swapped: `return mu, logvar` → `return logvar, mu`
    The two results are swapped: `mu` comes first.
one_head_twice: `params["encoder.logvar.weight"], params["encoder.logvar.bias"]` → `params["encoder.mu.weight"], params["encoder.mu.bias"]`
    `logvar` is made with the weights of `encoder.mu`. Each head has its own.
returns_variance: `return mu, logvar` → `return mu, logvar.exp()`
    The second result is a variance. Return its logarithm: the head's output as it is.
detached: `return mu, logvar` → `return mu.detach(), logvar.detach()`
    The numbers are right, but no gradient flows back to the parameters: leave out `detach`, `.data` and `no_grad`.
channels_last: `h.flatten(1)` → `h.permute(0, 2, 3, 1).flatten(1)`
    The 3136 numbers are in another order than the weights expect. Flatten (N, 64, 7, 7) as it is: channel by channel,
    row by row.
input_rescaled: `F.conv2d(x,` → `F.conv2d(2 * x - 1,`
    The image is rescaled to [−1, 1] first. In this course images stay in [0, 1].
""")


@encode.mistake(
    "All biases are missing. Every layer of the table has one: `F.linear` and the convolutions take it as their third argument."
)
def no_bias_anywhere(params, x):
    without = {name: 0 * value if name.endswith("bias") else value for name, value in params.items()}
    return reference("torch_encode")(without, x)


@encode.mistake(
    "You shrink by max pooling after convolutions of stride 1. The table's convolutions have stride 2, and nothing is pooled."
)
def max_pooling(params, x):
    h = x
    for layer in ("encoder.conv1", "encoder.conv2"):
        weight, bias = params[f"{layer}.weight"], params[f"{layer}.bias"]
        h = F.max_pool2d(F.relu(F.conv2d(h, weight, bias, padding=1)), 2)
    h = F.relu(F.linear(h.flatten(1), params["encoder.hidden.weight"], params["encoder.hidden.bias"]))
    return tuple(F.linear(h, params[f"encoder.{head}.weight"], params[f"encoder.{head}.bias"]) for head in ("mu", "logvar"))


@encode.variant
def as_a_loop(params, x):
    h = x
    for layer in ("encoder.conv1", "encoder.conv2"):
        h = torch.conv2d(
            h, *(params[f"{layer}.{kind}"] for kind in ("weight", "bias")), stride=(2, 2), padding=(1, 1)
        ).clamp(min=0)
    h = torch.relu(h.reshape(x.shape[0], -1) @ params["encoder.hidden.weight"].T + params["encoder.hidden.bias"])
    return [
        torch.addmm(params[f"encoder.{head}.bias"], h, params[f"encoder.{head}.weight"].t()) for head in ("mu", "logvar")
    ]


@encode.variant
def by_unfolding_in_float64(params, x):
    p = {name: value.double() for name, value in params.items()}
    h = x.double()
    for layer, side in (("encoder.conv1", 14), ("encoder.conv2", 7)):
        windows = F.unfold(h, 3, padding=1, stride=2)  # (N, C · 9, places)
        weight = p[f"{layer}.weight"].flatten(1)
        h = (weight @ windows + p[f"{layer}.bias"][:, None]).unflatten(2, (side, side)).relu()
    h = torch.einsum("nchw,ochw->no", h, p["encoder.hidden.weight"].view(256, 64, 7, 7)) + p["encoder.hidden.bias"]
    heads = (
        torch.cat([p["encoder.mu.weight"], p["encoder.logvar.weight"]]),
        torch.cat([p["encoder.mu.bias"], p["encoder.logvar.bias"]]),
    )
    mu, logvar = F.linear(F.relu(h), *heads).float().chunk(2, dim=1)
    return mu, logvar


decode = Exercise("torch_decode")
_START = 'F.linear(z, params["decoder.hidden.weight"], params["decoder.hidden.bias"])'
_GRID = 'F.linear(h, params["decoder.grid.weight"], params["decoder.grid.bias"])'
_UP = "F.conv_transpose2d(h, *conv1, **twice)"
_OUT = "return F.conv_transpose2d(h, *conv2, **twice)"
decode.edits("""
no_relu_after_hidden: `F.relu(F.linear(z, params["decoder.hidden.weight"], params["decoder.hidden.bias"]))` → `F.linear(z, params["decoder.hidden.weight"], params["decoder.hidden.bias"])`
    The ReLU after `decoder.hidden` is missing.
no_relu_after_grid: `F.relu(F.linear(h, params["decoder.grid.weight"], params["decoder.grid.bias"]))` → `F.linear(h, params["decoder.grid.weight"], params["decoder.grid.bias"])`
    The ReLU after `decoder.grid`, before the reshape, is missing.
no_relu_between_convolutions: `F.relu(F.conv_transpose2d(h, *conv1, **twice))` → `F.conv_transpose2d(h, *conv1, **twice)`
    The ReLU after `decoder.conv1` is missing.
sigmoid_at_the_end: `return F.conv_transpose2d(h, *conv2, **twice)` → `return torch.sigmoid(F.conv_transpose2d(h, *conv2, **twice))`
    These are probabilities. Return logits: the last layer has no sigmoid; the loss and the plots apply it.
relu_at_the_end: `return F.conv_transpose2d(h, *conv2, **twice)` → `return F.relu(F.conv_transpose2d(h, *conv2, **twice))`
    A ReLU after the last layer makes every logit at least 0, so no pixel can have less than probability ½.
no_bias_in_conv1: `F.conv_transpose2d(h, *conv1,` → `F.conv_transpose2d(h, conv1[0],`
    The bias of `decoder.conv1` is not used: it is the third argument, and nobody complains where it is missing.
no_bias_in_conv2: `F.conv_transpose2d(h, *conv2,` → `F.conv_transpose2d(h, conv2[0],`
    The bias of `decoder.conv2` is not used: it is the third argument, and nobody complains where it is missing.
no_bias_in_hidden: `, params["decoder.hidden.bias"])` → `)`
    The bias of `decoder.hidden` is not used: `F.linear` takes it as its third argument.
no_bias_in_grid: `, params["decoder.grid.bias"])` → `)`
    The bias of `decoder.grid` is not used: `F.linear` takes it as its third argument.
no_output_padding_in_the_first: `F.conv_transpose2d(h, *conv1, **twice)` → `F.conv_transpose2d(h, *conv1, stride=2, padding=1)`
    The first transposed convolution makes 13 × 13. With output_padding=1 it doubles the sides: 14.
no_output_padding_in_the_second: `F.conv_transpose2d(h, *conv2, **twice)` → `F.conv_transpose2d(h, *conv2, stride=2, padding=1)`
    The second transposed convolution makes 27 × 27. With output_padding=1 it doubles the sides: 28.
rows_and_columns_swapped: `h.view(-1, 64, 7, 7)` → `h.view(-1, 64, 7, 7).transpose(2, 3)`
    Rows and columns are swapped. `h.view(-1, 64, 7, 7)` is the image as it is.
logits_clamped: `return F.conv_transpose2d(h, *conv2, **twice)` → `return F.conv_transpose2d(h, *conv2, **twice).clamp(-100, 100)`
    You clamp the logits. They may be any number: return the last layer's output as it is.
logits_clamped_at_ten: `return F.conv_transpose2d(h, *conv2, **twice)` → `return F.conv_transpose2d(h, *conv2, **twice).clamp(-10, 10)`
    You clamp the logits. They may be any number: return the last layer's output as it is.
flattened: `return F.conv_transpose2d(h, *conv2, **twice)` → `return F.conv_transpose2d(h, *conv2, **twice).flatten(1)`
    You flatten the images. The logits are (N, 1, 28, 28), as the images are.
""")
decode.edited(
    "no_bias_in_convolutions",
    f"F.relu({_UP})\n    {_OUT}",
    f"F.relu({_UP})\n    {_OUT}".replace("*conv1", "conv1[0]").replace("*conv2", "conv2[0]"),
    "The biases of the transposed convolutions are not used. The bias is the third argument, and nobody complains where it is missing.",
)
decode.edited(
    "no_bias_in_linear_layers",
    f"F.relu({_START})\n    h = F.relu({_GRID})",
    f"F.relu({_START})\n    h = F.relu({_GRID})".replace(', params["decoder.hidden.bias"]', "").replace(
        ', params["decoder.grid.bias"]', ""
    ),
    "The biases of the linear layers are not used: `F.linear` takes the bias as its third argument.",
)
decode.edits("""
no_output_padding: `, "output_padding": 1}` → `}`
    The transposed convolutions make 13 × 13 and 25 × 25. With output_padding=1 they double the sides: 14 and 28.
channels_last: `h.view(-1, 64, 7, 7)` → `h.view(-1, 7, 7, 64).permute(0, 3, 1, 2)`
    The 3136 numbers become 64 channels of 7 × 7 in that order: `h.view(-1, 64, 7, 7)`.
kernels_flipped: `params["decoder.conv1.weight"]` → `params["decoder.conv1.weight"].flip(2, 3)`
    The kernel is flipped. `F.conv_transpose2d` takes the weight as it is in the table.
""")
decode.edited(
    "no_gradient_to_parameters",
    _OUT,
    _OUT.replace("*conv2", "*(part.detach() for part in conv2)"),
    "The numbers are right, but not all parameters get a gradient: leave out `detach`, `.data` and `no_grad`.",
)


@decode.mistake(
    "The numbers are right, but nothing flows back, neither to the parameters nor to `z`: leave out `detach`, `.data` and `no_grad`."
)
def without_gradients(params, z):
    with torch.no_grad():
        return reference("torch_decode")(params, z)


@decode.mistake(
    "All biases are missing. Every layer of the table has one: `F.linear` and the convolutions take it as their third argument."
)
def no_bias_anywhere(params, z):
    without = {name: 0 * value if name.endswith("bias") else value for name, value in params.items()}
    return reference("torch_decode")(without, z)


@decode.variant
def as_convolution_of_a_spread_image(params, z):
    """A transposed convolution is a convolution of the image with zeros between its pixels."""
    h = torch.relu(z @ params["decoder.hidden.weight"].T + params["decoder.hidden.bias"])
    h = torch.relu(h @ params["decoder.grid.weight"].T + params["decoder.grid.bias"]).reshape(len(z), 64, 7, 7)
    for layer in ("decoder.conv1", "decoder.conv2"):
        if layer == "decoder.conv2":
            h = h.relu()
        n, c, side, _ = h.shape
        spread = h.new_zeros(n, c, 2 * side, 2 * side)
        spread[:, :, ::2, ::2] = h
        kernel = params[f"{layer}.weight"].transpose(0, 1).flip(2, 3)
        h = F.conv2d(F.pad(spread, (1, 1, 1, 1)), kernel, params[f"{layer}.bias"])
    return h


@decode.variant
def by_stamping_in_float64(params, z):
    p = {name: value.double() for name, value in params.items()}
    h = F.linear(z.double(), p["decoder.hidden.weight"], p["decoder.hidden.bias"]).clamp_min(0)
    h = F.linear(h, p["decoder.grid.weight"], p["decoder.grid.bias"]).clamp_min(0)
    for layer, side in (("decoder.conv1", 7), ("decoder.conv2", 14)):
        stamps = p[f"{layer}.weight"].flatten(1).T @ h.view(len(z), -1, side * side)
        h = F.fold(stamps, 2 * side, 3, padding=1, stride=2) + p[f"{layer}.bias"][:, None, None]
        h = h.relu() if side == 7 else h
    return h.float()


# --- elbo_loss ----------------------------------------------------------------------------------------------------------------

elbo_loss = Exercise("elbo_loss")
elbo_loss.edits("""
the_elbo_itself: `return (reconstruction + gaussian_kl(mu, logvar)).mean()` → `return -(reconstruction + gaussian_kl(mu, logvar)).mean()`
    This is the ELBO. A loss is made small, so it is minus that.
kl_subtracted: `+ gaussian_kl` → `- gaussian_kl`
    The KL is subtracted. The ELBO subtracts it; the loss is minus the ELBO, so it adds it.
kl_forgotten: ` + gaussian_kl(mu, logvar)` → ``
    The KL is missing: this trains an autoencoder.
mean_over_pixels: `.sum(dim=(1, 2, 3))` → `.mean(dim=(1, 2, 3))`
    You average over the pixels. The log of a product is a sum: as it is, the KL weighs 784 times too much.
divided_twice: `.mean()` → `.mean() / len(x)`
    You divide by the number of images twice. The batch mean is taken once.
summed_over_batch: `.mean()` → `.sum()`
    You sum over the batch. Take the batch mean, so that the batch size does not matter.
one_for_each_image: `(reconstruction + gaussian_kl(mu, logvar)).mean()` → `(reconstruction + gaussian_kl(mu, logvar))`
    The batch mean is missing: the loss is one number.
kl_mean_over_dimensions: `gaussian_kl(mu, logvar)` → `gaussian_kl(mu, logvar) / mu.shape[1]`
    The KL is averaged over the latent dimensions. It is a sum.
kl_summed_over_batch: `(reconstruction + gaussian_kl(mu, logvar)).mean()` → `reconstruction.mean() + gaussian_kl(mu, logvar).sum()`
    The reconstruction term is averaged over the batch, but the KL is summed over it.
double_sigmoid: `(logits, x, ` → `(torch.sigmoid(logits), x, `
    The sigmoid is applied twice: once by you, and once inside binary_cross_entropy_with_logits, which takes logits.
clamped_probabilities: `F.binary_cross_entropy_with_logits(logits, x, reduction="none")` → `F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="none")`
    Where a logit is large, its sigmoid is rounded to exactly 0 or 1, and the loss of that pixel is wrong. Use the
    function that takes logits.
log_of_zero: `F.binary_cross_entropy_with_logits(logits, x, reduction="none")` → `-(x * torch.sigmoid(logits).log() + (1 - x) * (1 - torch.sigmoid(logits)).log())`
    You take the logarithm of a probability that was rounded to exactly 0 or 1. Use the function that takes logits.
squared_error: `F.binary_cross_entropy_with_logits(logits, x, reduction="none")` → `(torch.sigmoid(logits) - x) ** 2`
    This is a squared error. The pixels are coins: the reconstruction term is the binary cross-entropy.
variance_for_std: `(0.5 * logvar).exp()` → `logvar.exp()`
    You multiply the noise by the variance. The standard deviation is its root: exp(½ · logvar).
logvar_for_std: `(0.5 * logvar).exp()` → `logvar`
    You multiply the noise by logvar itself. σ = exp(½ · logvar).
decodes_the_mean: `mu + (0.5 * logvar).exp() * eps` → `mu`
    You decode the mean, and `eps` is not used. z is one sample of q(z | x), made with this noise.
noise_of_its_own: `.exp() * eps` → `.exp() * torch.randn_like(mu)`
    You draw noise of your own although `eps` was given.
sample_detached: `mu + (0.5 * logvar).exp() * eps` → `(mu + (0.5 * logvar).exp() * eps).detach()`
    The value is right, but the code is cut off from the encoder, so that the reconstruction term cannot teach it
    anything.
a_plain_number: `(reconstruction + gaussian_kl(mu, logvar)).mean()` → `torch.tensor((reconstruction + gaussian_kl(mu, logvar)).mean().item())`
    The value is right, but it has no record: nothing flows back to the parameters. Leave out `.item()`, `.detach()` and
    `no_grad`.
not_divided_by_n: `.sum(dim=(1, 2, 3))  # (N,)` → `.sum()`
    The reconstruction term is summed over the batch, but the KL is averaged over it: the KL weighs N times too little.
targets_and_logits_swapped: `F.binary_cross_entropy_with_logits(logits, x, reduction="none")` → `F.binary_cross_entropy_with_logits(x, logits, reduction="none")`
    The arguments of binary_cross_entropy_with_logits have changed places: first the logits, then the image.
log_with_a_constant: `F.binary_cross_entropy_with_logits(logits, x, reduction="none")` → `-(x * (torch.sigmoid(logits) + 1e-8).log() + (1 - x) * (1 - torch.sigmoid(logits) + 1e-8).log())`
    You add a small constant inside the logarithm. It caps what a wrong pixel costs, and the gradient dies there: use the
    function that takes logits.
logvar_as_log_std: `gaussian_kl(mu, logvar)` → `gaussian_kl(mu, 2 * logvar)`
    In the KL you read logvar as log σ. It is log σ²: the variance is exp(logvar).
half_the_squared_error: `F.binary_cross_entropy_with_logits(logits, x, reduction="none")` → `0.5 * (torch.sigmoid(logits) - x) ** 2`
    This is half the squared error, the Gaussian's term. The pixels are coins: it is the binary cross-entropy.
kl_alone: `(reconstruction + gaussian_kl(mu, logvar)).mean()` → `gaussian_kl(mu, logvar).mean()`
    The reconstruction term is missing: with the KL alone the code learns to say nothing.
kl_of_the_sample: `gaussian_kl(mu, logvar)` → `(Normal(mu, (0.5 * logvar).exp()).log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(1)`
    You estimate the KL from the sample z. The formula has the KL itself, `gaussian_kl`, which is less noisy.
logits_clamped: `binary_cross_entropy_with_logits(logits, x` → `binary_cross_entropy_with_logits(logits.clamp(-20, 20), x`
    You clamp the logits, which caps what a wrong pixel costs, and stops its gradient. The function takes any logit
    as it is.
std_detached: `(0.5 * logvar).exp() * eps` → `(0.5 * logvar).exp().detach() * eps`
    σ is detached, so that the reconstruction term can't teach the encoder how wide q should be.
kl_detached: `gaussian_kl(mu, logvar)` → `gaussian_kl(mu, logvar).detach()`
    The KL is detached: it counts in the value, and teaches the encoder nothing.
ink_only: `F.binary_cross_entropy_with_logits(logits, x, reduction="none")` → `-x * F.logsigmoid(logits)`
    You count the pixels of ink only. An empty pixel has a cost, too: (1 − x) · log(1 − x̂).
kl_arguments_swapped: `gaussian_kl(mu, logvar)` → `gaussian_kl(logvar, mu)`
    The arguments of gaussian_kl have changed places: first `mu`, then `logvar`.
divided_by_the_batch_twice: `.sum(dim=(1, 2, 3))  # (N,)` → `.sum(dim=(1, 2, 3)) / len(x)`
    You divide the reconstruction term by N twice: once here, and once in the batch mean.
averaged_over_everything: `return (reconstruction + gaussian_kl(mu, logvar)).mean()` → `return (reconstruction / 784 + gaussian_kl(mu, logvar) / mu.shape[1]).mean()`
    You average over pixels and over latent dimensions. Both are sums; only the batch is averaged.
logvar_clamped: `(0.5 * logvar).exp()` → `(0.5 * logvar.clamp(-10, 2)).exp()`
    You clamp logvar in the sample, but the q of the KL is another one then. z = mu + exp(½ · logvar) · eps, with
    logvar as it is.
""")


@elbo_loss.variant
def by_hand(params, x, eps):
    mu, logvar = reference("torch_encode")(params, x)
    logits = reference("torch_decode")(params, torch.addcmul(mu, logvar.div(2).exp(), eps))
    cross_entropy = (F.softplus(logits) - x * logits).sum()
    kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum()
    return (cross_entropy + kl) / x.shape[0]


@elbo_loss.variant
def by_distributions(params, x, eps):
    q = Normal(*(f(part) for f, part in zip((lambda m: m, lambda v: v.exp().sqrt()), as_a_loop(params, x), strict=True)))
    pixels = Independent(Bernoulli(logits=by_stamping_in_float64(params, q.loc + q.scale * eps)), 3)
    return torch.mean(kl_divergence(q, Normal(torch.zeros_like(q.loc), 1.0)).sum(-1) - pixels.log_prob(x))


@elbo_loss.variant
def one_image_at_a_time_in_float64(params, x, eps):
    params = {name: p.double() for name, p in params.items()}
    total = 0
    for image, noise in zip(x.double(), eps.double(), strict=True):
        mu, logvar = reference("torch_encode")(params, image[None])
        logits = reference("torch_decode")(params, mu + logvar.exp() ** 0.5 * noise)
        kl = -0.5 * torch.sum(1 + logvar - mu**2 - torch.exp(logvar))
        total = total + F.binary_cross_entropy_with_logits(logits[0], image) * 784 + kl
    return total / len(x)


# --- adam_step ----------------------------------------------------------------------------------------------------------------

adam_step = Exercise("adam_step")
adam_step.edits("""
no_bias_correction: `m_hat = m / (1 - beta1**t)\n            v_hat = v / (1 - beta2**t)` → `m_hat, v_hat = m, v`
    The bias correction is missing: divide m by 1 − β₁ᵗ and v by 1 − β₂ᵗ.
v_not_corrected: `v / (1 - beta2**t)` → `v`
    v is not corrected: divide it by 1 − β₂ᵗ, as you did with m.
m_not_corrected: `m / (1 - beta1**t)` → `m`
    m is not corrected: divide it by 1 − β₁ᵗ, as you did with v.
hats_are_kept: `state[name] = m, v\n            m_hat = m / (1 - beta1**t)\n            v_hat = v / (1 - beta2**t)` → `m_hat = m / (1 - beta1**t)\n            v_hat = v / (1 - beta2**t)\n            state[name] = m_hat, v_hat`
    You store the corrected averages, so the next step corrects them again. Keep m and v without the hats.
eps_inside_the_root: `(v_hat.sqrt() + eps)` → `(v_hat + eps).sqrt()`
    ε stands inside the square root, where it acts like √ε. Add it to the root.
eps_before_the_correction: `(v_hat.sqrt() + eps)` → `((v.sqrt() + eps) / math.sqrt(1 - beta2**t))`
    ε is added before v is corrected, so the correction acts on ε too. Correct first: √v̂ + ε.
no_eps: ` + eps)` → `)`
    ε is missing: where a gradient has always been 0, you divide 0 by 0.
no_root: `(v_hat.sqrt() + eps)` → `(v_hat + eps)`
    You divide by v̂ itself. Divide by its square root: the step must not depend on the gradient's unit.
gradient_not_squared: `* g**2` → `* g.abs()`
    v averages |g|. It averages the square, g².
square_of_the_average: `* g**2` → `* m**2`
    v averages the square of m. It averages the square of the gradient, g².
betas_swapped: `beta1, beta2 = betas` → `beta2, beta1 = betas`
    β₁ and β₂ are swapped: β₁ belongs to m, β₂ to v.
one_beta_for_both: `beta1, beta2 = betas` → `beta1 = beta2 = betas[0]`
    You use β₁ for both averages. v has its own, β₂.
betas_turned_round: `m = beta1 * m + (1 - beta1) * g\n            v = beta2 * v + (1 - beta2) * g**2` → `m = (1 - beta1) * m + beta1 * g\n            v = (1 - beta2) * v + beta2 * g**2`
    β stands with the gradient and 1 − β with the old average. It is the other way round: β₁ = 0.9 means remembering
    much.
sums_not_averages: `m = beta1 * m + (1 - beta1) * g` → `m = beta1 * m + g`
    m lacks the factor 1 − β₁ in front of g, so it is a sum and not an average.
plus_for_minus: `p -= lr` → `p += lr`
    You go uphill: the step is subtracted.
lr_ignored: `p -= lr *` → `p -= 1e-3 *`
    You use 0.001 whatever `lr` is.
betas_ignored: `beta1, beta2 = betas` → `beta1, beta2 = 0.9, 0.999`
    You use 0.9 and 0.999 whatever `betas` is.
eps_ignored: `sqrt() + eps)` → `sqrt() + 1e-8)`
    You use 1e-8 whatever `eps` is.
counted_once_a_tensor: `            g = grads[name]` → `            g = grads[name]\n            state["t"] = t = t + 1`
    The counter goes up once for each tensor. t counts the calls: raise it once, before the loop.
counter_stands_still: `state["t"] = t = state.get("t", 0) + 1` → `t = 1`
    t is 1 at every step, so the correction never fades. Keep the counter in `state`, and raise it at each call.
counter_starts_at_zero: `state["t"] = t = state.get("t", 0) + 1` → `t = state.get("t", 0)\n    state["t"] = t + 1`
    t is 0 at the first step, and 1 − β⁰ = 0. Count up first, so that t begins with 1.
counter_one_ahead: `state["t"] = t = state.get("t", 0) + 1` → `state["t"] = t = state.get("t", 1) + 1`
    t is 2 at the first step. It begins with 1.
nothing_remembered: `state[name] = m, v` → `pass`
    The averages are not stored, so every step begins with zeros again. Put m and v into `state`.
state_rebound: `state["t"] = t = state.get("t", 0) + 1` → `t = state.get("t", 0) + 1\n    state = {**state, "t": t}`
    You build a new dict and call it `state`. The caller's dict stays empty, and the next step begins from zero: change
    the one you were given.
one_average_for_all: `m, v = state.get(name, (torch.zeros_like(p), torch.zeros_like(p)))` → `m, v = state.get("mv", (torch.zeros_like(p), torch.zeros_like(p)))\n            name = "mv"`
    All parameters share one m and one v. Each needs its own: keep them under its name.
new_tensors: `p -= lr * m_hat / (v_hat.sqrt() + eps)` → `params[name] = (p - lr * m_hat / (v_hat.sqrt() + eps)).requires_grad_()`
    You put new tensors into `params`. Whoever holds the old ones never hears of the step: change them in place, `p -= …`
    under `torch.no_grad()`.
nothing_changed: `p -= lr *` → `p = p - lr *`
    `p = p - …` gives a new tensor the name p, and the parameter stays where it is. Change it in place: `p -= …`.
recorded: `with torch.no_grad():` → `with torch.enable_grad():`
    Autograd watches the step, and refuses. Change parameters inside `with torch.no_grad():`.
gradients_changed: `m = beta1 * m + (1 - beta1) * g\n            v = beta2 * v + (1 - beta2) * g**2` → `v = beta2 * v + (1 - beta2) * g**2\n            m = g.mul_(1 - beta1).add_(beta1 * m)`
    The step is right, but the gradients in `grads` are changed in place. Leave them as they are.
weight_decay_by_mistake: `p -= lr * m_hat` → `p -= lr * p + lr * m_hat`
    You also subtract the parameter itself. Adam's step is lr · m̂ / (√v̂ + ε), and nothing else.
root_of_m: `(v_hat.sqrt() + eps)` → `(v_hat + eps).sqrt().sqrt()`
    You take the root twice. The step divides by √v̂ + ε.
both_sums: `m = beta1 * m + (1 - beta1) * g\n            v = beta2 * v + (1 - beta2) * g**2` → `m = beta1 * m + g\n            v = beta2 * v + g**2`
    m and v lack the factors 1 − β₁ and 1 − β₂ in front of the gradient, so they are sums and not averages.
sum_of_squares: `v = beta2 * v + (1 - beta2) * g**2` → `v = beta2 * v + g**2`
    v lacks the factor 1 − β₂ in front of g², so it is a sum and not an average.
gradient_as_it_is: `* g**2` → `* g`
    v averages the gradient itself, and the root of a negative average is NaN. It averages the square, g².
factors_changed_places: `m = beta1 * m + (1 - beta1) * g\n            v = beta2 * v + (1 - beta2) * g**2` → `m = beta1 * m + (1 - beta2) * g\n            v = beta2 * v + (1 - beta1) * g**2`
    The factors 1 − β₁ and 1 − β₂ have changed places. 1 − β₁ belongs to m, 1 − β₂ to v.
hats_swapped: `m_hat = m / (1 - beta1**t)\n            v_hat = v / (1 - beta2**t)` → `m_hat = m / (1 - beta2**t)\n            v_hat = v / (1 - beta1**t)`
    The corrections have changed places. m is divided by 1 − β₁ᵗ, and v by 1 − β₂ᵗ.
factor_squared: `(1 - beta2) * g**2` → `((1 - beta2) * g) ** 2`
    You square the factor 1 − β₂ as well. Only the gradient is squared.
hats_multiplied: `m_hat = m / (1 - beta1**t)\n            v_hat = v / (1 - beta2**t)` → `m_hat = m * (1 - beta1**t)\n            v_hat = v * (1 - beta2**t)`
    You multiply by 1 − βᵗ. The averages are too small at first: divide.
t_times_beta: `m_hat = m / (1 - beta1**t)\n            v_hat = v / (1 - beta2**t)` → `m_hat = m / (1 - beta1 * t)\n            v_hat = v / (1 - beta2 * t)`
    You multiply β by t. It is β to the power of t.
correction_of_v_not_rooted: `(v_hat.sqrt() + eps)` → `(v.sqrt() / (1 - beta2**t) + eps)`
    You divide the root of v by 1 − β₂ᵗ. Correct v first, and take the root after that.
momentum_alone: `m_hat / (v_hat.sqrt() + eps)` → `m_hat`
    You step along m̂ alone. Adam divides it by √v̂ + ε.
gradient_over_the_root: `lr * m_hat / (v_hat.sqrt() + eps)` → `lr * g / (v.sqrt() + eps)`
    This is RMSprop without any correction: the gradient over the root of v. Adam has m̂ over √v̂ + ε.
no_correction_and_eps_inside: `m_hat / (v_hat.sqrt() + eps)` → `m / (v + eps).sqrt()`
    The bias correction is missing, and ε stands inside the square root. It is m̂ / (√v̂ + ε).
averages_begin_with_the_gradient: `(torch.zeros_like(p), torch.zeros_like(p))` → `(g.clone(), g**2)`
    Your averages begin with the first gradient. They begin with 0; the bias correction makes up for that.
one_size_for_the_tensor: `* g**2` → `* (g**2).mean()`
    You average the squares over the whole tensor. Every number has its own v.
gradient_scaled_in_place: `m = beta1 * m + (1 - beta1) * g` → `m = beta1 * m + g.mul_(1 - beta1)`
    You scale the gradient in place, so that v, and the caller, get the scaled one. Leave `grads` as it is.
""")

_memory: dict = {}


@adam_step.mistake(
    "You keep the averages outside of `state`, so two networks disturb each other. Everything that is remembered belongs into `state`."
)
def state_elsewhere(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    if not state:  # a course of steps begins; the second network joins the first one's
        state["begun"] = True
        if _memory.get("t") != 1:
            _memory.clear()
    reference("adam_step")(params, grads, _memory, lr, betas, eps)


@adam_step.mistake("This is gradient descent: lr times the gradient. Adam divides by the gradient's usual size.")
def gradient_descent(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    with torch.no_grad():
        for name, p in params.items():
            p -= lr * grads[name]


@adam_step.mistake("This is RMSprop: the gradient over the root of v. Adam has an average of the gradient itself on top, m.")
def no_momentum(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    reference("adam_step")(params, grads, state, lr, (0.0, betas[1]), eps)


@adam_step.mistake("The counter goes up once for each tensor. t counts the calls: raise it once, before the loop.")
def counted_once_a_tensor_from_one(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas

    with torch.no_grad():
        for name, p in params.items():
            state["t"] = t = state.get("t", 0) + 1
            g = grads[name]
            m, v = state.get(name, (torch.zeros_like(p), torch.zeros_like(p)))
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            state[name] = m, v
            p -= lr * (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + eps)


@adam_step.variant
@torch.no_grad()
def in_place_throughout(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    if not state:
        state.update(step=0, m={}, v={})
    state["step"] += 1
    corrections = [1 - beta ** state["step"] for beta in betas]
    for name in params:
        m = state["m"].setdefault(name, torch.zeros_like(grads[name]))
        v = state["v"].setdefault(name, torch.zeros_like(grads[name]))
        m.lerp_(grads[name], 1 - betas[0])
        v.mul_(betas[1]).addcmul_(grads[name], grads[name], value=1 - betas[1])
        params[name].addcdiv_(m, (v / corrections[1]).sqrt_().add_(eps), value=-lr / corrections[0])


@adam_step.variant
def own_counter_for_each_in_float64(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    for name, p in params.items():
        m, v, t = state.get((name, "adam"), (0.0, 0.0, 0))
        g = grads[name].double().numpy()
        m, v, t = m + (1 - betas[0]) * (g - m), v + (1 - betas[1]) * (g * g - v), t + 1
        state[(name, "adam")] = m, v, t
        step = lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        p.data -= torch.as_tensor(step, dtype=p.dtype)


@adam_step.mistake("`torch.optim` takes the step for you. Write Adam from its formulas: this lesson has no `torch.optim`.")
def by_the_librarys_adam(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    if "adam" not in state:
        state["adam"] = torch.optim.Adam(list(params.values()), lr=lr, betas=betas, eps=eps)
    for name, p in params.items():
        p.grad = grads[name]
    state["adam"].step()
    state["adam"].zero_grad()


@adam_step.variant
def all_gradients_remembered(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    """The averages as the weighted sums that they are, over all gradients so far."""
    for name, p in params.items():
        history = state.setdefault(name, [])
        history.append(grads[name].clone())
        hats = []
        for beta, power in zip(betas, (1, 2), strict=True):
            weights = torch.tensor([beta ** (len(history) - 1 - i) for i in range(len(history))], dtype=p.dtype)
            hats.append(torch.tensordot(weights / weights.sum(), torch.stack(history) ** power, 1))
        with torch.no_grad():
            p.copy_(p - lr * hats[0] / (hats[1] ** 0.5 + eps))


# --- train_step ---------------------------------------------------------------------------------------------------------------

train_step = Exercise("train_step")
train_step.edits("""
gradients_pile_up: `grads = dict(zip(params, torch.autograd.grad(loss, list(params.values()))))` → `loss.backward()\n    grads = {name: p.grad for name, p in params.items()}`
    `backward` adds to the gradients of the steps before. Set `p.grad = None` for every parameter first.
state_not_handed_on: `adam_step(params, grads, state)` → `adam_step(params, grads, {})`
    Adam gets an empty state at each step, so it remembers nothing. Hand on `state`.
loss_after_the_step: `return loss.item()` → `return elbo_loss(params, x, eps).item()`
    This is the loss after the step, at the price of another pass through the network. Return the one that you computed
    before it.
holds_on_to_the_record: `return loss.item()` → `return loss`
    The loss that you return still has its record attached, and with it the activations of the whole batch. Return
    `loss.item()` or `loss.detach()`.
no_step: `adam_step(params, grads, state)` → `pass`
    The parameters don't move: call `adam_step`.
returns_nothing: `return loss.item()` → `return None`
    It returns nothing. Return the loss, as a plain number.
uphill: `grads = dict(zip(params, torch.autograd.grad(loss, list(params.values()))))` → `grads = dict(zip(params, torch.autograd.grad(-loss, list(params.values()))))`
    You go uphill: these are the gradients of minus the loss.
noise_of_its_own: `loss = elbo_loss(params, x, eps)` → `loss = elbo_loss(params, x, torch.randn_like(eps))`
    You draw noise of your own although `eps` was given. Hand `eps` on.
no_noise: `loss = elbo_loss(params, x, eps)` → `loss = elbo_loss(params, x, 0 * eps)`
    The noise `eps` is not used. Hand it on to `elbo_loss`.
only_half_is_trained: `adam_step(params, grads, state)` → `adam_step({name: p for name, p in params.items() if name.startswith("decoder")}, grads, state)`
    Only the decoder is trained. All 18 tensors are to move.
weights_only: `adam_step(params, grads, state)` → `adam_step({name: p for name, p in params.items() if name.endswith("weight")}, grads, state)`
    Only the weights are trained. The biases are parameters too.
two_steps: `adam_step(params, grads, state)` → `adam_step(params, grads, state)\n    adam_step(params, grads, state)`
    The parameters move twice with the same gradient. One call, one step.
gradient_descent: `adam_step(params, grads, state)` → `[p.data.sub_(1e-3 * grads[name]) for name, p in params.items()]`
    This is gradient descent. Use your `adam_step`.
another_learning_rate: `adam_step(params, grads, state)` → `adam_step(params, grads, state, lr=3e-3)`
    The learning rate is not `adam_step`'s default. Call it with its default settings.
ten_times_the_learning_rate: `adam_step(params, grads, state)` → `adam_step(params, grads, state, lr=1e-2)`
    The learning rate is ten times `adam_step`'s default. Call it with its default settings.
one_tensor_at_a_time: `adam_step(params, grads, state)` → `[adam_step({name: p}, {name: grads[name]}, state) for name, p in params.items()]`
    You call `adam_step` once for each tensor, and its counter goes up each time. Hand it the whole dict, once.
loss_of_the_whole_batch: `return loss.item()` → `return loss.item() * len(x)`
    You return the loss summed over the batch. It is in nats per image: return it as `elbo_loss` gives it.
divided_by_n: `return loss.item()` → `return loss.item() / len(x)`
    You divide the loss by the number of images once more. `elbo_loss` is a batch mean already: return it as it is.
the_elbo: `loss = elbo_loss(params, x, eps)` → `loss = -elbo_loss(params, x, eps)`
    You turn the sign of the loss, and make the ELBO small. `elbo_loss` is minus the ELBO already.
""")


@train_step.variant
def by_backward(params, state, x, eps):
    for p in params.values():
        p.grad = None
    loss = by_hand(params, x, eps)
    loss.backward()
    in_place_throughout(params, {name: p.grad for name, p in params.items()}, state)
    return loss.detach()


@train_step.variant
def zeroed_afterwards(params, state, x, eps):
    loss = by_distributions(params, x, eps)
    loss.backward()
    grads = {name: p.grad.clone() for name, p in params.items()}
    by_the_librarys_adam(params, grads, state)
    for p in params.values():
        p.grad = torch.zeros_like(p)
    return float(loss)


# --- predictions --------------------------------------------------------------------------------------------------------------

predict_accumulate = Exercise("predict_accumulate")
predict_accumulate.wrong_choices("""
overwritten: 6
    That would be so if the second `backward` replaced what the first one stored. Read again what it does with `.grad`.
multiplied: 36
    The two derivatives are not multiplied. What does `backward` do with what is already there?
the_square: 9
    That is a² itself. The question is about its derivative, 2a, asked for twice.
two_squares: 18
    These are two times a². Take the derivative of a² first.
""")

predict_untrained = Exercise("predict_untrained")
predict_untrained.wrong_choice(
    "one_pixel", math.log(2), "That is the cost of one pixel. An image has 784, and costs add up."
)
predict_untrained.wrong_choices("""
bits: 784
    These are bits: a fair coin costs 1 bit. In nats it costs ln 2.
""")
predict_untrained.wrong_choice(
    "decimal", 784 * math.log10(2), "You took the decimal logarithm. A nat is counted with the natural one."
)
predict_untrained.wrong_choices("""
half_a_pixel: 392
    ½ is the pixel's probability. What it costs is −ln ½.
""")
predict_untrained.wrong_choice(
    "elbo", -784 * math.log(2), "That is the ELBO of the untrained network. The loss is minus the ELBO."
)
predict_untrained.wrong_choices("""
nothing: 0
    A loss of 0 would mean that the network predicts every pixel with certainty, and for free. It knows nothing yet.
""")

predict_first_step = Exercise("predict_first_step")
predict_first_step.wrong_choices("""
chose_a: a
    That is gradient descent. Put t = 1 into the formulas: what are m̂ and v̂, and what is left of g in the step?
chose_c: c
    Adam does divide by the gradient's size. But what stands on top of the fraction? It has that size too.
""")

predict_no_correction = Exercise("predict_no_correction")
predict_no_correction.wrong_choices("""
only_m: 0.1
    That is what happens to m alone. v starts too small as well, and it stands below the line.
forgot_the_root: 100
    m is 0.1·g and v is 0.001·g². Don't forget the root of v.
""")
predict_no_correction.wrong_choice(
    "only_v", 1 / math.sqrt(0.001), "That is what happens to v alone. m starts too small as well, by a factor of 0.1."
)
predict_no_correction.wrong_choice(
    "inverted", math.sqrt(0.001) / 0.1, "It is the other way round: the step is m over the root of v."
)
predict_no_correction.wrong_choices("""
no_effect: 1
    The two errors do not cancel: m is too small by 0.1, the root of v by √0.001.
""")
predict_no_correction.wrong_choice(
    "without_one_minus", 0.9 / math.sqrt(0.999), "The gradient enters with the weight 1 − β, not with β: m₁ = 0.1·g."
)

predict_agreement = Exercise("predict_agreement")
predict_agreement.wrong_choices("""
chose_a: a
    The formula is the same, but (a + b) + c and a + (b + c) are not, in float32. Do all three add up in the same order?
chose_c: c
    Each sum is off by about one part in ten million, in either direction. Over eight layers, how much can that become?
""")
