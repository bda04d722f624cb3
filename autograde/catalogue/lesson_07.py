"""Lesson 07, the convolutional VAE: what students get wrong, and other ways to be right."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from vae_helpers.data import load_mnist

from . import Exercise, reference
from .recurring import averaged_over_rows, detached, sign_reversed

encoder = Exercise("Encoder")
_CONV1 = "nn.Conv2d(1, 32, kernel_size=3, stride=2, padding=1),  # (N, 32, 14, 14)\n            nn.ReLU(),"
_CONV2 = "nn.Conv2d(32, 64, kernel_size=3, stride=2, padding=1),  # (N, 64, 7, 7)\n            nn.ReLU(),"
encoder.edited(
    "no_relu_after_convolutions",
    f"{_CONV1}\n            {_CONV2}",
    f"{_CONV1}\n            {_CONV2}".replace("nn.ReLU(),", ""),
    "There is no ReLU between the convolutions. Two linear layers in a row are one linear layer.",
)
encoder.edits("""
no_relu_before_heads: `256),\n            nn.ReLU(),` → `256),`
    The ReLU after the linear layer with 256 units is missing.
relu_on_logvar: `self.logvar(h)` → `F.relu(self.logvar(h))`
    Your `logvar` cannot be negative, so no variance can go below 1. The heads have no activation.
relu_on_mu: `return self.mu(h)` → `return F.relu(self.mu(h))`
    Your `mu` cannot be negative. The heads have no activation.
one_head_twice: `self.mu(h), self.logvar(h)` → `self.mu(h), self.mu(h)`
    `mu` and `logvar` come from the same head. They need a linear layer each.
returns_variance: `self.logvar(h)` → `self.logvar(h).exp()`
    The second result is a variance, exp(logvar). Return the logarithm itself: the head's output as it is.
mu_only: `return self.mu(h), self.logvar(h)` → `return self.mu(h)`
    Return both heads: the pair (mu, logvar).
input_flipped_sign: `self.features(x)` → `self.features(2 * x - 1)`
    The image is rescaled to [−1, 1] first. In this course images stay in [0, 1].
kernel_of_four: `nn.Conv2d(1, 32, kernel_size=3, stride=2, padding=1)` → `nn.Conv2d(1, 32, kernel_size=4, stride=2, padding=1)`
    Your first convolution has a kernel of 4 × 4. The table says 3 × 3: the sizes come out alike, the parameters don't.
returns_std: `return self.mu(h), self.logvar(h)` → `return self.mu(h), (0.5 * self.logvar(h)).exp()`
    The second result is a standard deviation. Return logvar, the head's output as it is.
no_relu_after_the_first: `nn.Conv2d(1, 32, kernel_size=3, stride=2, padding=1),  # (N, 32, 14, 14)\n            nn.ReLU(),` → `nn.Conv2d(1, 32, kernel_size=3, stride=2, padding=1),`
    The ReLU after the first convolution is missing.
no_relu_after_the_second: `nn.Conv2d(32, 64, kernel_size=3, stride=2, padding=1),  # (N, 64, 7, 7)\n            nn.ReLU(),` → `nn.Conv2d(32, 64, kernel_size=3, stride=2, padding=1),`
    The ReLU after the second convolution is missing.
tanh_on_mu: `return self.mu(h)` → `return self.mu(h).tanh()`
    There is a tanh on `mu`, which keeps it between −1 and 1. The heads have no activation.
softplus_on_logvar: `self.logvar(h)` → `F.softplus(self.logvar(h))`
    There is a softplus on `logvar`, so that no variance can go below 1. The heads have no activation.
logvar_clamped: `self.logvar(h)` → `self.logvar(h).clamp(-5, 5)`
    You clamp `logvar`. It may be any number: return the head's output as it is.
features_detached: `self.features(x)` → `self.features(x).detach()`
    The features are detached, so that no gradient reaches the layers below the heads.
one_layer_for_both_heads: `self.logvar = nn.Linear(256, latent_dim)` → `self.logvar = self.mu`
    `mu` and `logvar` are one and the same layer. Each needs a linear layer of its own.
another_order_of_pixels: `nn.Flatten(),  # (N, 3136)` → `nn.Unflatten(1, (1, 64)),\n            nn.Flatten(1, 2),\n            nn.Flatten(2),\n            type("T", (nn.Module,), {"forward": lambda self, h: h.transpose(1, 2)})(),\n            nn.Flatten(),`
    You flatten in another order, with the channels last. Flatten (N, 64, 7, 7) as it is, channel by channel, so that
    parameters of others fit.
leaky_relu: `nn.Flatten(),  # (N, 3136)\n            nn.Linear(64 * 7 * 7, 256),\n            nn.ReLU(),` → `nn.Flatten(),  # (N, 3136)\n            nn.Linear(64 * 7 * 7, 256),\n            type("T", (nn.Module,), {"forward": lambda self, h: F.leaky_relu(h)})(),`
    There is a leaky ReLU, which lets a part of negative numbers through. The table has a ReLU.
sampled: `return self.mu(h), self.logvar(h)` → `return self.mu(h) + (0.5 * self.logvar(h)).exp() * torch.randn(len(h), 1)`
    You return a sample. The encoder gives the pair (mu, logvar); sampling comes later.
""")


@encoder.variant
class OneLayerForBothHeads(nn.Module):
    def __init__(self, latent_dim):
        super().__init__()
        self.both = nn.Linear(256, 2 * latent_dim)
        self.dense = nn.Linear(3136, 256)
        self.second = nn.Conv2d(32, 64, 3, 2, 1)
        self.first = nn.Conv2d(1, 32, 3, 2, 1)

    def forward(self, x):
        h = F.relu(self.second(self.first(x).clamp(min=0)))
        return self.both(self.dense(h.view(len(x), -1)).relu()).chunk(2, dim=-1)


@encoder.variant
class HeadsFirstAndInPlace(nn.Module):
    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.head_b, self.head_a = nn.Linear(256, latent_dim), nn.Linear(256, latent_dim)
        self.body = nn.ModuleList(
            [nn.Linear(3136, 256), nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.Conv2d(1, 32, 3, 2, 1)]
        )
        for layer in self.body:
            nn.init.kaiming_normal_(layer.weight)

    def forward(self, x):
        for layer in reversed(self.body):
            x = x.reshape(x.shape[0], -1) if isinstance(layer, nn.Linear) else x
            x = F.relu_(layer(x))
        return [self.head_a(x), self.head_b(x)]


decoder = Exercise("Decoder")
decoder.edits("""
sigmoid_at_the_end: `return self.layers(z)` → `return torch.sigmoid(self.layers(z))`
    These are probabilities. Return logits: the last layer has no sigmoid; the loss and the plots apply it.
relu_at_the_end: `return self.layers(z)` → `return F.relu(self.layers(z))`
    A ReLU after the last layer makes every logit at least 0, so no pixel can have less than probability ½.
no_relu_between_convolutions: `# (N, 32, 14, 14)\n            nn.ReLU(),` → `# (N, 32, 14, 14)`
    The ReLU between the two transposed convolutions is missing.
no_relu_before_reshape: `nn.Linear(256, 64 * 7 * 7),\n            nn.ReLU(),` → `nn.Linear(256, 64 * 7 * 7),`
    The ReLU after the second linear layer, before the reshape, is missing.
no_relu_after_first_linear: `nn.Linear(latent_dim, 256),\n            nn.ReLU(),` → `nn.Linear(latent_dim, 256),`
    The ReLU after the first linear layer is missing.
no_output_padding: `padding=1, output_padding=1),  # (N, 32, 14, 14)` → `padding=1),  # (N, 32, 14, 14)`
    The first transposed convolution makes 13 × 13, not 14 × 14: give it output_padding=1.
no_output_padding_at_all: `nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),  # (N, 32, 14, 14)\n            nn.ReLU(),\n            nn.ConvTranspose2d(32, 1, 3, stride=2, padding=1, output_padding=1)` → `nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1),\n            nn.ReLU(),\n            nn.ConvTranspose2d(32, 1, 3, stride=2, padding=1)`
    The transposed convolutions make 13 × 13 and 25 × 25. With output_padding=1 they double the sides: 14 and 28.
kernel_of_four: `nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1)` → `nn.ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1)`
    Your first transposed convolution has a kernel of 4 × 4, without output_padding. The table says 3 × 3 and
    output_padding=1: the sizes come out alike, the parameters don't.
tanh_at_the_end: `return self.layers(z)` → `return self.layers(z).tanh()`
    There is a tanh at the end. Return logits, which may be any number.
channels_last: `nn.Unflatten(1, (64, 7, 7)),` → `nn.Unflatten(1, (7, 7, 64)),\n            type("T", (nn.Module,), {"forward": lambda self, h: h.permute(0, 3, 1, 2)})(),`
    You reshape to (N, 7, 7, 64) and move the channels. Reshape to (N, 64, 7, 7) straight away, so that parameters of
    others fit.
detached: `return self.layers(z)` → `return self.layers(z).detach()`
    The result is detached, so that nothing trains the decoder: leave out `detach` and `no_grad`.
logits_clamped: `return self.layers(z)` → `return self.layers(z).clamp(-10, 10)`
    You clamp the logits. They may be any number: return the last layer's output as it is.
log_of_probabilities: `return self.layers(z)` → `return F.logsigmoid(self.layers(z))`
    You return log-probabilities, which are never positive. Return logits: the last layer's output as it is.
flattened: `return self.layers(z)` → `return self.layers(z).flatten(1)`
    You flatten the images. The logits are (N, 1, 28, 28), as the images are.
""")


@decoder.variant
class WithoutUnflatten(nn.Module):
    def __init__(self, latent_dim):
        super().__init__()
        self.out = nn.ConvTranspose2d(32, 1, 3, 2, 1, 1)
        self.up = nn.ConvTranspose2d(64, 32, 3, 2, 1, output_padding=1)
        self.wide = nn.Linear(256, 3136)
        self.start = nn.Linear(latent_dim, 256)

    def forward(self, z):
        h = F.relu(self.wide(F.relu(self.start(z)))).view(-1, 64, 7, 7)
        return self.out(F.relu(self.up(h)))


@decoder.variant
class SizesByOutputSize(nn.Module):
    def __init__(self, latent_dim):
        super().__init__()
        self.dense = nn.Sequential(nn.Linear(latent_dim, 256), nn.ReLU(inplace=True), nn.Linear(256, 3136), nn.ReLU())
        self.conv = nn.ModuleList([nn.ConvTranspose2d(64, 32, 3, 2, 1), nn.ConvTranspose2d(32, 1, 3, 2, 1)])

    def forward(self, z):
        h = self.dense(z).reshape(z.shape[0], 64, 7, 7)
        return self.conv[1](self.conv[0](h, output_size=(14, 14)).relu(), output_size=(28, 28))


vae = Exercise("VAE")
vae.edits("""
ignores_eps: `reparameterize(mu, logvar, eps)` → `reparameterize(mu, logvar)`
    `forward` draws its own noise although `eps` was given. Hand `eps` on to `reparameterize`.
decodes_the_mean: `z = reparameterize(mu, logvar, eps)` → `z = mu`
    You decode the mean, so nothing is sampled. Without noise this is an autoencoder: z is one sample of q(z | x).
logvar_and_mu_swapped: `reparameterize(mu, logvar, eps)` → `reparameterize(logvar, mu, eps)`
    `mu` and `logvar` are swapped on their way into `reparameterize`.
returns_images: `return self.decode(z), mu, logvar` → `return torch.sigmoid(self.decode(z)), mu, logvar`
    `forward` returns images, with the sigmoid applied. Return the decoder's logits as they are.
wrong_order: `return self.decode(z), mu, logvar` → `return mu, logvar, self.decode(z)`
    The order of the results is (logits, mu, logvar).
detached_code: `z = reparameterize(mu, logvar, eps)` → `z = reparameterize(mu, logvar, eps).detach()`
variance_as_std: `z = reparameterize(mu, logvar, eps)` → `z = mu + logvar.exp() * (torch.randn_like(mu) if eps is None else eps)`
    You multiply the noise by exp(logvar), which is the variance. σ is exp(½·logvar), as `reparameterize` has it.
mean_where_no_noise_is_given: `z = reparameterize(mu, logvar, eps)` → `z = mu if eps is None else reparameterize(mu, logvar, eps)`
    Without eps no noise is drawn at all: you decode the mean. `eps=None` means fresh noise, and training calls it so.
mean_in_evaluation_mode: `z = reparameterize(mu, logvar, eps)` → `z = reparameterize(mu, logvar, eps) if self.training else mu`
    In evaluation mode you decode the mean. The ELBO needs a sample there as well: `forward` does the same in both modes.
returns_the_code: `return self.decode(z), mu, logvar` → `return self.decode(z), z, logvar`
    The second result is the sample z. The KL needs the mean: return (logits, mu, logvar).
latent_dim_forgotten: `self.latent_dim = latent_dim` → `pass`
    The attribute `latent_dim` is missing. `generate` asks the model how many numbers a code has: leave the line
    `self.latent_dim = latent_dim`.
sigmoid_in_decode: `return self.decoder(z)` → `return torch.sigmoid(self.decoder(z))`
    `decode` applies the sigmoid. It returns logits, as the decoder gives them.
noise_not_scaled: `z = reparameterize(mu, logvar, eps)` → `z = mu + (torch.randn_like(mu) if eps is None else eps)`
    You add the noise as it is. It is scaled by σ = exp(½·logvar), as `reparameterize` has it.
logvar_as_std: `z = reparameterize(mu, logvar, eps)` → `z = mu + logvar * (torch.randn_like(mu) if eps is None else eps)`
    You multiply the noise by logvar itself. σ is exp(½·logvar), as `reparameterize` has it.
noise_decoded: `z = reparameterize(mu, logvar, eps)` → `z = torch.randn_like(mu) if eps is None else eps`
    You decode the noise, and the image plays no part. z is a sample of q(z | x): mu + σ·eps.
returns_std: `return self.decode(z), mu, logvar` → `return self.decode(z), mu, (0.5 * logvar).exp()`
    The third result is a standard deviation. Return logvar as the encoder gives it.
uniform_noise: `z = reparameterize(mu, logvar, eps)` → `z = reparameterize(mu, logvar, torch.rand_like(mu) if eps is None else eps)`
    Without eps you draw uniform noise, `rand_like`. It is normal: hand `eps=None` on to `reparameterize`.
sampled_in_encode: `return self.encoder(x)` → `return reparameterize(*self.encoder(x))`
    `encode` returns a sample. It gives the pair (mu, logvar); `forward` samples.
mean_scaled: `z = reparameterize(mu, logvar, eps)` → `z = (torch.randn_like(mu) if eps is None else eps) + (0.5 * logvar).exp() * mu`
    You multiply the mean by σ. It is the noise that σ scales: mu + σ·eps.
the_code_as_well: `return self.decode(z), mu, logvar` → `return self.decode(z), mu, logvar, z`
    You return four things. Three are asked for: (logits, mu, logvar).
""")


@vae.variant
class FromScratch(nn.Module):
    def __init__(self, latent_dim):
        super().__init__()
        self.latent_dim = latent_dim
        self.dec = WithoutUnflatten(latent_dim)
        self.enc = OneLayerForBothHeads(latent_dim)

    def encode(self, x):
        return self.enc(x)

    def decode(self, z):
        return self.dec(z)

    def forward(self, x, eps=None):
        mu, logvar = self.encode(x)
        q = Normal(mu, logvar.mul(0.5).exp())
        return self.decode(q.rsample() if eps is None else torch.addcmul(q.loc, q.scale, eps)), mu, logvar


@vae.variant
class SubmodulesAsMethods(nn.Module):
    def __init__(self, latent_dim):
        super().__init__()
        self.latent_dim = latent_dim
        self.encode = HeadsFirstAndInPlace(latent_dim)
        self.decode = SizesByOutputSize(latent_dim)

    def forward(self, x, eps=None):
        mu, logvar = self.encode(x)
        if eps is None:
            eps = torch.normal(torch.zeros_like(mu), torch.ones_like(mu))
        return [self.decode(mu + eps * logvar.exp() ** 0.5), mu, logvar]


reconstruction_loss = Exercise("reconstruction_loss")
reconstruction_loss.edits("""
mean_over_pixels: `.sum(1)` → `.mean(1)`
    You average over the pixels. The log of a product is a sum: add them up, or the KL will weigh 784 times too much.
summed_over_everything: `per_pixel.flatten(1).sum(1)` → `per_pixel.sum()`
    You sum over the batch as well. Each image keeps its own loss: the result is (N,).
mean_over_everything: `per_pixel.flatten(1).sum(1)` → `per_pixel.mean()`
    You average over everything, which is what reduction="mean" does by default. Sum over pixels, and keep the images
    apart: (N,).
no_half_in_gaussian: `0.5 * (x` → `1.0 * (x`
    The Gaussian log-likelihood has ½ in front of the squared error.
squared_error_of_logits: `(x - torch.sigmoid(logits))` → `(x - logits)`
    The Gaussian's mean is x̂ = sigmoid(logits), not the logits themselves.
double_sigmoid: `F.binary_cross_entropy_with_logits(logits,` → `F.binary_cross_entropy_with_logits(torch.sigmoid(logits),`
    The sigmoid is applied twice: once by you and once inside binary_cross_entropy_with_logits, which takes logits.
unknown_likelihood_passes: `raise ValueError(f"likelihood={likelihood!r}: expected 'bernoulli' or 'gaussian'")` → `per_pixel = 0.5 * (x - torch.sigmoid(logits)) ** 2`
    A `likelihood` that you don't know is treated like one that you do. Raise ValueError, or a typing error trains the
    wrong model.
bce_of_probabilities: `F.binary_cross_entropy_with_logits(logits,` → `F.binary_cross_entropy(torch.sigmoid(logits),`
    Right in exact arithmetic, and the commonest code there is. But float32's sigmoid is exactly 1 beyond a logit of
    about 17, and the loss is cut off at 100 a pixel: use the function that takes logits.
arguments_swapped: `F.binary_cross_entropy_with_logits(logits, x,` → `F.binary_cross_entropy_with_logits(x, logits,`
    The arguments of binary_cross_entropy_with_logits have changed places: first the logits, then the image.
divided_by_n: `per_pixel.flatten(1).sum(1)` → `per_pixel.flatten(1).sum(1) / len(x)`
    You divide by the number of images. Each image keeps its own loss; the batch mean is taken in `vae_loss`.
mean_over_pixels_of_bce: `per_pixel = F.binary_cross_entropy_with_logits(logits, x, reduction="none")` → `per_pixel = F.binary_cross_entropy_with_logits(logits, x, reduction="none") / 784`
    In the Bernoulli case you average over the pixels. The log of a product is a sum: add them up.
mean_over_pixels_of_squares: `per_pixel = 0.5 *` → `per_pixel = 0.5 / 784 *`
    In the Gaussian case you average over the pixels. The log of a product is a sum: add them up.
mean_squared_error: `per_pixel = 0.5 *` → `per_pixel = 1 / 784 *`
    In the Gaussian case this is the mean squared error. It is half the squared error, summed over the pixels.
constant_kept: `per_pixel = 0.5 * (x - torch.sigmoid(logits)) ** 2` → `per_pixel = -Normal(torch.sigmoid(logits), 1.0).log_prob(x)`
    In the Gaussian case you keep the constant 784/2 · log 2π. It is left out here, as it depends on no parameter.
absolute_error: `(x - torch.sigmoid(logits)) ** 2` → `(x - torch.sigmoid(logits)).abs()`
    In the Gaussian case you take the absolute error. It is half the *squared* error.
root_of_the_squares: `per_pixel = 0.5 * (x - torch.sigmoid(logits)) ** 2` → `per_pixel = 0.5 * (x - torch.sigmoid(logits)).flatten(1).norm(dim=1, keepdim=True).expand(-1, 784) / 784`
    In the Gaussian case you take the length of x − x̂, a root. It is half the *squared* length: no root.
logits_cut_to_images: `(x - torch.sigmoid(logits))` → `(x - logits.clamp(0, 1))`
    In the Gaussian case you cut the logits off at 0 and 1. x̂ is their sigmoid.
gaussian_by_default: `likelihood: str = "bernoulli"` → `likelihood: str = "gaussian"`
    Without `likelihood` you compute the Gaussian case. The default is "bernoulli": leave the first line as it was handed out.
sign_of_bce: `per_pixel = F.binary_cross_entropy_with_logits(` → `per_pixel = -F.binary_cross_entropy_with_logits(`
    In the Bernoulli case the sign is reversed. Binary cross-entropy is the negative log-likelihood already.
ink_only: `F.binary_cross_entropy_with_logits(logits, x, reduction="none")` → `-x * F.logsigmoid(logits)`
    You count the pixels of ink only. An empty pixel has a cost, too: (1 − x) · log(1 − x̂).
logits_clamped: `binary_cross_entropy_with_logits(logits, x` → `binary_cross_entropy_with_logits(logits.clamp(-15, 15), x`
    You clamp the logits, which caps what a wrong pixel costs, and stops its gradient. The function takes any logit
    as it is.
bce_over_everything: `reduction="none")` → `reduction="mean").expand(len(x), 784) / 784`
    In the Bernoulli case you average over everything. Keep every pixel, `reduction="none"`, and sum those of each
    image.
bce_summed_over_everything: `reduction="none")` → `reduction="sum").expand(len(x), 784) / 784`
    In the Bernoulli case you sum over the batch as well. Keep every pixel, `reduction="none"`, and sum those of each
    image.
""")
reconstruction_loss.recurring(detached, averaged_over_rows)


@reconstruction_loss.mistake(
    "You take the logarithm of a probability that was rounded to exactly 0 or 1, and 0 · log 0 is NaN. Use the function that takes logits."
)
def log_of_zero(x, logits, likelihood="bernoulli"):
    if likelihood != "bernoulli":
        return reference("reconstruction_loss")(x, logits, likelihood)
    p = torch.sigmoid(logits)
    return -(x * torch.log(p) + (1 - x) * torch.log(1 - p)).flatten(1).sum(1)


reconstruction_loss.recurring(
    sign_reversed, hint="The sign is reversed: this is the log-likelihood. A loss is to be made small, so it is minus that."
)


@reconstruction_loss.mistake(
    "You clamp the probability, which caps what a wrong pixel costs, and stops its gradient. Use the function that takes logits: it needs no clamp."
)
def clamped_probabilities(x, logits, likelihood="bernoulli"):
    if likelihood != "bernoulli":
        return reference("reconstruction_loss")(x, logits, likelihood)
    p = torch.sigmoid(logits).clamp(1e-7, 1 - 1e-7)
    return -(x * torch.log(p) + (1 - x) * torch.log(1 - p)).flatten(1).sum(1)


@reconstruction_loss.mistake(
    "You add a small constant inside the logarithm, which caps what a wrong pixel costs. Use the function that takes logits: it needs no constant."
)
def constant_in_the_logarithm(x, logits, likelihood="bernoulli"):
    if likelihood != "bernoulli":
        return reference("reconstruction_loss")(x, logits, likelihood)
    p = torch.sigmoid(logits)
    return -(x * torch.log(p + 1e-8) + (1 - x) * torch.log(1 - p + 1e-8)).flatten(1).sum(1)


@reconstruction_loss.mistake(
    'In the Bernoulli case this is one number, the mean over everything, PyTorch\'s default. Keep every pixel, `reduction="none"`, and sum those of each image.'
)
def one_mean_of_bce(x, logits, likelihood="bernoulli"):
    if likelihood == "bernoulli":
        return F.binary_cross_entropy_with_logits(logits, x)
    return reference("reconstruction_loss")(x, logits, likelihood)


@reconstruction_loss.mistake(
    'In the Bernoulli case this is one number, the sum over everything. Keep every pixel, `reduction="none"`, and sum those of each image.'
)
def one_sum_of_bce(x, logits, likelihood="bernoulli"):
    if likelihood == "bernoulli":
        return F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return reference("reconstruction_loss")(x, logits, likelihood)


@reconstruction_loss.variant
def by_distributions(x, logits, likelihood="bernoulli"):
    if likelihood == "bernoulli":
        return -Independent(Bernoulli(logits=logits, validate_args=False), 3).log_prob(x)
    if likelihood == "gaussian":
        log_prob = Normal(torch.sigmoid(logits), 1.0).log_prob(x) + 0.5 * math.log(2 * math.pi)
        return -log_prob.sum(dim=(1, 2, 3))
    raise ValueError(likelihood)


@reconstruction_loss.variant
def by_softplus_in_float64(x, logits, likelihood="bernoulli"):
    x, logits = x.double().flatten(1), logits.double().flatten(1)
    losses = {
        "bernoulli": lambda: (F.softplus(logits) - x * logits).sum(-1),
        "gaussian": lambda: torch.einsum("np,np->n", x - logits.sigmoid(), x - logits.sigmoid()) / 2,
    }
    if likelihood not in losses:
        raise ValueError
    return losses[likelihood]().float()


vae_loss = Exercise("vae_loss")
vae_loss.edits("""
kl_subtracted: `+ beta * gaussian_kl(mu, logvar)` → `- beta * gaussian_kl(mu, logvar)`
    The KL is subtracted. The ELBO subtracts it; the loss is minus the ELBO.
forgot_beta: `beta * gaussian_kl(mu, logvar)` → `gaussian_kl(mu, logvar)`
    `beta` is not used.
beta_on_reconstruction: `reconstruction_loss(x, logits, likelihood) + beta * gaussian_kl(mu, logvar)` → `beta * reconstruction_loss(x, logits, likelihood) + gaussian_kl(mu, logvar)`
    `beta` weighs the reconstruction loss. It belongs to the KL.
forgot_likelihood: `reconstruction_loss(x, logits, likelihood)` → `reconstruction_loss(x, logits)`
    `likelihood` is not handed on to reconstruction_loss.
summed_over_batch: `.mean()` → `.sum()`
    You sum over the batch. The batch mean is taken once, here, so that the batch size does not matter.
no_batch_mean: `.mean()` → ``
kl_mean_over_dimensions: `beta * gaussian_kl(mu, logvar)` → `beta * gaussian_kl(mu, logvar) / mu.shape[1]`
    The KL is averaged over the latent dimensions. It is a sum: your β is really β / D.
reconstruction_mean_over_pixels: `reconstruction_loss(x, logits, likelihood)` → `reconstruction_loss(x, logits, likelihood) / 784`
    The reconstruction loss is averaged over the pixels while the KL is summed: your β is really 784 times as large.
logvar_as_log_std: `gaussian_kl(mu, logvar)` → `gaussian_kl(mu, 2 * logvar)`
    In the KL you read logvar as log σ. It is log σ²: the variance is exp(logvar).
beta_on_everything: `(reconstruction_loss(x, logits, likelihood) + beta * gaussian_kl(mu, logvar))` → `(beta * (reconstruction_loss(x, logits, likelihood) + gaussian_kl(mu, logvar)))`
    `beta` weighs both terms. It belongs to the KL alone.
reconstruction_alone: ` + beta * gaussian_kl(mu, logvar)` → ``
    The KL is missing from the loss, so this trains an autoencoder.
kl_doubled: `beta * gaussian_kl(mu, logvar)` → `2 * beta * gaussian_kl(mu, logvar)`
    The KL is twice what it should be: its ½ is missing.
kl_divided_by_n: `beta * gaussian_kl(mu, logvar)` → `beta / len(x) * gaussian_kl(mu, logvar)`
    The KL is divided by the number of images once more than the reconstruction loss. The batch mean is taken once.
variance_for_logvar: `gaussian_kl(mu, logvar)` → `gaussian_kl(mu, logvar.exp())`
    You hand the variance to gaussian_kl. It takes `logvar` as it is.
kl_alone: `reconstruction_loss(x, logits, likelihood) + ` → ``
    The reconstruction loss is missing: with the KL alone the encoder learns to say nothing.
kl_summed_over_batch: `(reconstruction_loss(x, logits, likelihood) + beta * gaussian_kl(mu, logvar)).mean()` → `reconstruction_loss(x, logits, likelihood).mean() + beta * gaussian_kl(mu, logvar).sum()`
    The reconstruction loss is averaged over the batch, but the KL is summed over it.
reconstruction_summed_over_batch: `(reconstruction_loss(x, logits, likelihood) + beta * gaussian_kl(mu, logvar)).mean()` → `reconstruction_loss(x, logits, likelihood).sum() + beta * gaussian_kl(mu, logvar).mean()`
    The KL is averaged over the batch, but the reconstruction loss is summed over it.
images_and_logits_swapped: `reconstruction_loss(x, logits,` → `reconstruction_loss(logits, x,`
    The arguments of reconstruction_loss have changed places: first the images, then the logits.
mu_and_logvar_swapped: `gaussian_kl(mu, logvar)` → `gaussian_kl(logvar, mu)`
    The arguments of gaussian_kl have changed places: first `mu`, then `logvar`.
shared_out: `(reconstruction_loss(x, logits, likelihood) + ` → `((1 - beta) * reconstruction_loss(x, logits, likelihood) + `
    You weigh the reconstruction loss with 1 − β. Its weight is 1, whatever `beta` is.
sigmoid_first: `reconstruction_loss(x, logits,` → `reconstruction_loss(x, logits.sigmoid(),`
    You hand images to reconstruction_loss. It takes logits, and applies the sigmoid itself.
kl_detached: `gaussian_kl(mu, logvar)` → `gaussian_kl(mu, logvar).detach()`
    The KL is detached: it counts in the value, and teaches the encoder nothing.
mean_taken_twice: `.mean()` → `.mean() / len(x)`
    You divide by the number of images twice. The batch mean is taken once.
per_pixel: `.mean()` → `.mean() / 784`
    You divide by the number of pixels. The loss is in nats per image.
""")
vae_loss.recurring(
    sign_reversed,
    hint="The sign is reversed: this is the weighted ELBO, which training makes large. The loss is minus that.",
)
vae_loss.recurring(detached)


@vae_loss.mistake(
    "Both terms are averaged over everything, which is the default of PyTorch's losses. Sum over pixels and over latent dimensions; only the batch is averaged."
)
def mean_of_everything(x, logits, mu, logvar, beta=1.0, likelihood="bernoulli"):
    reconstruction = reference("reconstruction_loss")(x, logits, likelihood) / x[0].numel()
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp())
    return reconstruction.mean() + beta * kl.mean()


@vae_loss.variant
def mean_of_each(x, logits, mu, logvar, beta=1.0, likelihood="bernoulli"):
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / len(x)
    if likelihood == "bernoulli":
        return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / x.shape[0] + beta * kl
    if likelihood == "gaussian":
        return F.mse_loss(logits.sigmoid(), x, reduction="sum") / (2 * x.shape[0]) + beta * kl
    raise ValueError(likelihood)


@vae_loss.variant
def keyword_order_and_distributions(x, logits, mu, logvar, likelihood="bernoulli", beta=1):
    kl = kl_divergence(Independent(Normal(mu, logvar.exp().sqrt()), 1), Independent(Normal(torch.zeros_like(mu), 1.0), 1))
    return torch.stack([by_distributions(x, logits, likelihood), beta * kl]).sum(0).mean(0)


reconstruct = Exercise("reconstruct")
reconstruct.edits("""
no_sigmoid: `torch.sigmoid(vae.decode(mu))` → `vae.decode(mu)`
decodes_logvar: `mu, _ =` → `_, mu =`
    You decode `logvar`. The mean is the first of the encoder's two results.
a_random_sample: `torch.sigmoid(vae.decode(mu))` → `torch.sigmoid(vae(x)[0])`
    `vae(x)` draws a random code, so every call gives other images. Encode, and decode the mean: vae.decode(mu).
clamped_logits: `torch.sigmoid(vae.decode(mu))` → `vae.decode(mu).clamp(0, 1)`
    You cut the logits off at 0 and 1. The sigmoid makes images of them.
tanh_for_sigmoid: `torch.sigmoid(vae.decode(mu))` → `vae.decode(mu).tanh()`
    You apply a tanh. The sigmoid makes probabilities of logits.
softmax: `torch.sigmoid(vae.decode(mu))` → `torch.softmax(vae.decode(mu).flatten(1), 1).view_as(x)`
    The pixels of an image add up to 1: this is a softmax. Every pixel is a yes-or-no question, with a sigmoid of its own.
softmax_of_each_row: `torch.sigmoid(vae.decode(mu))` → `vae.decode(mu).softmax(-1)`
    The pixels of a row add up to 1: this is a softmax. Every pixel is a yes-or-no question, with a sigmoid of its own.
one_sigma_off: `vae.decode(mu)` → `vae.decode(mu + (0.5 * _).exp())`
    You decode mu + σ. To see what the model knows, decode the mean itself.
stretched_to_the_full_range: `torch.sigmoid(vae.decode(mu))` → `(lambda l: (l - l.min()) / (l.max() - l.min()))(vae.decode(mu))`
    You stretch the logits to the range from 0 to 1. The sigmoid makes images of them.
""")


@reconstruct.mistake("The sigmoid is applied twice: white cannot get below ½.")
def double_sigmoid(vae, x):
    return torch.sigmoid(torch.sigmoid(vae.decode(vae.encode(x)[0])))


@reconstruct.mistake("You cut the images to black and white. Keep the grey values: they are the model's probabilities.")
def thresholded(vae, x):
    return (vae.decode(vae.encode(x)[0]) > 0).float()


@reconstruct.variant
def with_zero_noise(vae, x):
    vae.eval()
    with torch.no_grad():
        return vae(x, torch.zeros(len(x), vae.latent_dim))[0].sigmoid()


@reconstruct.variant
def by_hand(vae, x):
    logits = vae.decode(vae.encode(x)[0])
    return 1 / (1 + torch.exp(-logits))


generate = Exercise("generate")
generate.edits("""
no_sigmoid: `torch.sigmoid(vae.decode(z))` → `vae.decode(z)`
uniform_codes: `torch.randn(` → `torch.rand(`
    `torch.rand` is uniform on [0, 1]. The prior is a standard normal: `torch.randn`.
one_code_for_all: `torch.randn(n, vae.latent_dim, generator=generator)` → `torch.randn(1, vae.latent_dim, generator=generator).expand(n, -1)`
    All images come from the same code. Draw n of them.
generator_ignored: `, generator=generator)` → `)`
    `generator` is not used, so nobody can repeat your draw. Hand it on to `torch.randn`.
seeded_inside: `z = torch.randn(n, vae.latent_dim, generator=generator)` → `z = torch.randn(n, vae.latent_dim, generator=generator or torch.Generator().manual_seed(0))`
    Without a generator every call gives the same images. Draw from the global state then, and seed nothing.
same_number_in_each_dimension: `torch.randn(n, vae.latent_dim, generator=generator)` → `torch.randn(n, 1, generator=generator).expand(-1, vae.latent_dim)`
    One number is used for all latent dimensions. They are independent: draw n × D numbers.
narrow_codes: `vae.decode(z))` → `vae.decode(0.7 * z))`
    You shrink the codes. Images look cleaner near 0, but these are no samples of the prior N(0, I): decode z as it was
    drawn.
thresholded: `torch.sigmoid(vae.decode(z))` → `(vae.decode(z) > 0).float()`
    Pixels that should be grey come out black or white: by rounding, by drawing, or cut off at 0 and 1. Return the
    sigmoid of the logits, the model's probabilities.
double_sigmoid: `torch.sigmoid(vae.decode(z))` → `torch.sigmoid(torch.sigmoid(vae.decode(z)))`
    The sigmoid is applied twice: white cannot get below ½.
through_the_encoder: `torch.sigmoid(vae.decode(z))` → `torch.sigmoid(vae(torch.zeros(n, 1, 28, 28), z)[0])`
    You encode some image, and sample its q. A new image comes from the prior: decode z itself.
wide_codes: `vae.decode(z))` → `vae.decode(2 * z))`
    You stretch the codes. These are no samples of the prior N(0, I): decode z as it was drawn.
""")


@generate.variant
@torch.no_grad()
def without_gradients(vae, n, generator=None):
    weight = next(vae.parameters())
    z = torch.empty(n, vae.latent_dim, device=weight.device).normal_(generator=generator)
    return vae.decode(z).sigmoid().clamp(0, 1)


@generate.variant
def one_after_the_other(vae, n, generator=None):
    zs = [torch.randn(vae.latent_dim, generator=generator) for _ in range(n)]
    return torch.sigmoid(vae.decode(torch.stack(zs)))


def _predictions(name: str, right: str, hints: dict[str, str]) -> None:
    exercise = Exercise(name)
    for letter, hint in hints.items():
        exercise.wrong_choice(f"chose_{letter}", letter, hint)
    assert right not in hints


predict_likelihood = Exercise("predict_likelihood")
predict_likelihood.wrong_choices("""
chose_a: a
    A sharper image would need a higher price for a wrong pixel. Compare: what does a black pixel that should be white
    cost at most under either loss?
chose_c: c
    The encoder is trained by both terms. If detail earns less in the first term, how much KL will it still pay for it in
    the second?
""")
predict_beta = Exercise("predict_beta")
predict_beta.wrong_choices("""
chose_b: b
    The KL does fall. But with fewer nats about the image, what can the decoder still know?
chose_c: c
    What weighs more in a loss is made smaller by training, at the expense of the rest.
""")
_SYMPTOMS = {
    "p": "For the loss to stall that high, every pixel must be kept near probability ½. Which step does that?",
    "q": "For the loss to be below one nat, the 784 pixels must have been averaged. Which step does that?",
    "r": "A negative KL that keeps falling is a reward for being far from the prior. Which step hands that out?",
    "s": "The code says nothing, and the decoder does what it can alone. In which step does the encoder never hear of the reconstruction?",
}
for _step, _right in zip("abcd", "qrps", strict=True):
    _predictions(f"predict_symptom_{_step}", _right, {k: hint for k, hint in _SYMPTOMS.items() if k != _right})

predict_effective_beta = Exercise("predict_effective_beta")
predict_effective_beta.wrong_choices("""
took_the_weight: 0.00025
    That is the weight in the code. Multiply it by P / 2, with P the numbers in an image.
""")
predict_effective_beta.wrong_choice(
    "forgot_half", 12288 * 0.00025, "The ½ of the Gaussian loss is missing: the factor is P / 2, not P."
)
predict_effective_beta.wrong_choice("one_channel", 4096 * 0.00025 / 2, "A colour image has three numbers a pixel.")
predict_effective_beta.wrong_choice(
    "inverted", 2 / (12288 * 0.00025), "That is the reciprocal. β is what stands in front of the KL."
)


def _mended_step(letter: str, bug: str, hint: str) -> Exercise:
    exercise = Exercise(f"mended_step_{letter}")
    exercise.edited("bug_still_there", *bug, hint)
    exercise.edited(
        "no_zero_grad",
        "optimizer.zero_grad()\n",
        "pass\n",
        "The gradients of earlier steps are not cleared, so they pile up: optimizer.zero_grad().",
    )
    exercise.edited("no_step", "optimizer.step()", "pass", "The optimizer takes no step, so nothing is learned.")
    exercise.edited(
        "summed_over_batch",
        "loss = reconstruction + kl",
        "loss = (reconstruction + kl) * len(x)",
        "The loss is summed over the batch; it should be the batch mean.",
    )
    exercise.edited(
        "kl_forgotten",
        "loss = reconstruction + kl",
        "loss = reconstruction",
        "The KL plays no part in the loss, so this trains an autoencoder.",
    )
    exercise.edited(
        "kl_averaged_over_dimensions",
        "loss = reconstruction + kl",
        "kl = kl / mu.shape[1]\n    loss = reconstruction + kl",
        "The KL is averaged over the latent dimensions. It is a sum over them.",
    )
    exercise.edited(
        "reconstruction_summed_over_batch",
        "loss = reconstruction + kl",
        "loss = len(x) * reconstruction + kl",
        "The reconstruction loss is summed over the batch, next to a KL that is a batch mean.",
    )

    exercise.edited(
        "kl_summed_over_batch",
        "loss = reconstruction + kl",
        "loss = reconstruction + len(x) * kl",
        "The KL is summed over the batch, next to a reconstruction loss that is a batch mean.",
    )

    @exercise.variant
    def by_distributions(vae, optimizer, x, eps):
        mu, logvar = vae.encode(x)
        z = torch.addcmul(mu, logvar.exp().sqrt(), eps)
        log_likelihood = -F.binary_cross_entropy_with_logits(vae.decode(z), x, reduction="sum") / len(x)
        kl = kl_divergence(Normal(mu, logvar.exp().sqrt()), Normal(0.0, 1.0)).sum() / len(x)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        (kl - log_likelihood).backward()
        optimizer.step()
        return {"reconstruction": -log_likelihood.item(), "kl": kl.item()}

    @exercise.variant
    def by_vae_loss(vae, optimizer, x, eps):
        optimizer.zero_grad()
        logits, mu, logvar = vae(x, eps)
        loss = reference("vae_loss")(x, logits, mu, logvar)
        loss.backward()
        optimizer.step()
        kl = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1).mean().item()
        return dict(kl=kl, reconstruction=loss.item() - kl)

    exercise.edited(
        "returns_nothing",
        'return {"reconstruction": reconstruction.item(), "kl": kl.item()}',
        "return None",
        "The step is right, but it returns nothing. The cell that trains keeps the dict of `reconstruction` and `kl`: leave the last line.",
    )

    @exercise.mistake(
        "The step is right. It returns the loss where the dict of `reconstruction` and `kl` was: leave the last line."
    )
    def returns_the_loss(vae, optimizer, x, eps):
        step = exercise.reference(vae, optimizer, x, eps)
        return step["reconstruction"] + step["kl"]

    return exercise


_SUMMED = 'F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1).mean()'
_mended_step(
    "a",
    (_SUMMED, "F.binary_cross_entropy_with_logits(logits, x)"),
    "The reconstruction loss is still a mean over pixels, next to a KL that is a sum.",
).edits("""
averaged_over_pixels_on_purpose: `loss = reconstruction + kl` → `loss = (reconstruction + kl) / 784`
    The whole loss is 784 times too small. In nats per image the reconstruction loss is a sum over the pixels, and the
    KL is divided by nothing.
kl_times_784: `loss = reconstruction + kl` → `loss = reconstruction + 784 * kl`
    The KL weighs 784 times too much. Only the reconstruction loss was averaged over the pixels, so only it is to change.
kl_shrunk_instead: `loss = reconstruction + kl` → `loss = reconstruction / 784 + 0.001 * kl`
    The reconstruction loss is still a mean over pixels. Make it a sum; a smaller weight on the KL only changes which β it is.
""")
_mended_step(
    "b",
    ("kl = -0.5 *", "kl = 0.5 *"),
    "The KL still has the wrong sign: 1 + logvar − mu² − σ² is never positive, and a KL is never negative.",
).edits("""
half_forgotten: `kl = -0.5 *` → `kl = -1.0 *`
    The sign is right now, but the ½ of the KL is gone.
mended_twice: `loss = reconstruction + kl` → `loss = reconstruction - kl`
    The KL is right where it is computed, but the loss subtracts it, and so rewards it. It is a cost: add it.
clamped: `-0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()` → `(0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()).clamp(min=0)`
    You clamp a KL whose sign is still wrong, so that it is always 0 and the code costs nothing. Mend the sign instead.
sign_of_the_mean: `logvar - mu**2` → `logvar + mu**2`
    The sign of μ² has changed, so that codes far from 0 are rewarded. The bracket is 1 + logvar − μ² − σ².
mean_not_squared: `logvar - mu**2` → `logvar - mu`
    You subtract μ itself. The bracket is 1 + logvar − μ² − σ².
sign_in_the_loss_alone: `kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()\n    loss = reconstruction + kl` → `kl = 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()\n    loss = reconstruction - kl`
    The step is right, and what it reports is still a negative KL. Mend the sign where the KL is computed.
""")
_mended_step(
    "c",
    ("(logits, x, reduction", "(torch.sigmoid(logits), x, reduction"),
    "The sigmoid is still applied twice: binary_cross_entropy_with_logits applies one of its own.",
).edits("""
triple_sigmoid: `(logits, x, reduction` → `(torch.sigmoid(torch.sigmoid(logits)), x, reduction`
    The sigmoid is applied three times now: twice by you, and once inside binary_cross_entropy_with_logits. Hand it the
    logits.
logits_cut_to_probabilities: `F.binary_cross_entropy_with_logits(logits, x,` → `F.binary_cross_entropy(logits.clamp(0, 1), x,`
    You cut the logits off at 0 and 1, and take them for probabilities. Hand the logits to the function that takes them.
swapped_with_a_sigmoid: `F.binary_cross_entropy_with_logits(logits, x,` → `F.binary_cross_entropy_with_logits(x, torch.sigmoid(logits),`
    The arguments of binary_cross_entropy_with_logits have changed places: first the logits, without a sigmoid, then the
    image.
half_the_squared_error: `F.binary_cross_entropy_with_logits(logits, x, reduction="none")` → `(0.5 * (torch.sigmoid(logits) - x) ** 2)`
    You changed the likelihood: this is half a squared error. Keep the binary cross-entropy, and hand it the logits.
bce_of_probabilities: `F.binary_cross_entropy_with_logits(logits, x,` → `F.binary_cross_entropy(torch.sigmoid(logits), x,`
    Right in exact arithmetic. But float32's sigmoid is exactly 1 beyond a logit of about 17, and then the gradient is gone:
    hand the logits themselves to the function that takes them.
mean_over_everything: `F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1).mean()` → `F.binary_cross_entropy_with_logits(logits, x)`
    The sigmoid is gone, but the loss is now a mean over pixels. Leave the sum over the pixels of each image as it was.
arguments_swapped: `F.binary_cross_entropy_with_logits(logits, x,` → `F.binary_cross_entropy_with_logits(x, logits,`
    The arguments of binary_cross_entropy_with_logits have changed places: first the logits, then the image.
squared_error: `F.binary_cross_entropy_with_logits(logits, x,` → `F.mse_loss(torch.sigmoid(logits), x,`
    You changed the likelihood: this is a squared error. Keep the binary cross-entropy, and hand it the logits.
""")
_mended_step(
    "d",
    ("z = mu + (0.5 * logvar).exp() * eps", "z = (mu + (0.5 * logvar).exp() * eps).detach()"),
    "No gradient of the reconstruction loss reaches the encoder: something between encoder and decoder is still cut off.",
).edits("""
decodes_the_mean: `z = mu + (0.5 * logvar).exp() * eps` → `z = mu`
    You decode the mean, and `eps` is not used. z is a sample of q(z | x), made with this noise.
std_detached: `(0.5 * logvar).exp() * eps` → `(0.5 * logvar).exp().detach() * eps`
    σ is still cut off, so that the reconstruction loss can't teach the encoder how wide q should be.
mu_detached: `z = mu +` → `z = mu.detach() +`
    `mu` is still cut off. The gradient passes through both, mu and σ.
variance_for_std: `(0.5 * logvar).exp()` → `logvar.exp()`
    You multiply the noise by the variance. The standard deviation is its root: exp(½ · logvar).
exp_forgotten: `(0.5 * logvar).exp()` → `(0.5 * logvar)`
    You multiply the noise by ½ · logvar. The exponential is missing: σ = exp(½ · logvar).
""")


class _Constant(nn.Module):
    """A model that has learned the average test image only; its encoder gives `mu` everywhere."""

    def __init__(self, mu: float):
        super().__init__()
        self.mu = mu
        self.logits = torch.logit(load_mnist("test", "threshold")[0].mean(0, keepdim=True), eps=1e-4)

    def encode(self, x):
        return torch.full((len(x), 32), self.mu), torch.zeros(len(x), 32)

    def decode(self, z):
        return self.logits.expand(len(z), -1, -1, -1)


trained_vae = Exercise("trained_vae", stand_in=lambda: lambda: _Constant(0.0))


@trained_vae.mistake(
    "This model has not been trained: it gives every pixel a probability near ½. Run the cell that trains and saves it, to its end, and load that file."
)
def untrained():
    return reference("VAE")(32)


@trained_vae.mistake(
    "The KL is almost 0, so the code says nothing about the image and the decoder draws the average. Look at the loss: is the KL's weight right, do gradients reach the encoder, or was training stopped early?"
)
def collapsed():
    return _Constant(0.0)


@trained_vae.mistake(
    "The KL is far too large: this was trained as if a nat of code cost nothing (β = 0, or the KL left out of the loss)."
)
def autoencoder():
    return _Constant(5.0)
