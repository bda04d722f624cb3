"""Lesson 12, the VQ-VAE: what students get wrong, and other ways to be right."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Categorical

from . import Exercise, reference
from .recurring import detached, in_bits

# --- nearest_codes ------------------------------------------------------------------------------------------------------------

nearest_codes = Exercise("nearest_codes")
nearest_codes.edits("""
farthest: `argmin(dim=1)` → `argmax(dim=1)`
    These are the codes that are farthest away. The nearest has the smallest distance: argmin.
one_per_code: `distances.argmin(dim=1)` → `torch.cdist(z, codebook).argmin(dim=0)`
    For each code you name the nearest vector. It is the other way round: for each of the M vectors, the nearest of the K
    codes. Take argmin along the codes, dim=1.
kept_dimension: `argmin(dim=1)` → `argmin(dim=1, keepdim=True)`
    The result has a dimension too many. One index a vector: (M,).
distances_returned: `argmin(dim=1)` → `amin(dim=1)`
    You return the smallest distances. Asked for is *which* code it is: its place in the codebook, an int64.
code_lengths_forgotten: `codebook.square().sum(dim=1) - 2 * z @ codebook.T` → `-2 * z @ codebook.T`
    You compare inner products alone, so long codes win. In ‖z − e‖² = ‖z‖² − 2 z·e + ‖e‖² only ‖z‖² is the same for all
    codes; ‖e‖² is not.
sign_of_the_cross_term: `- 2 * z @ codebook.T` → `+ 2 * z @ codebook.T`
    The sign of the cross term is wrong: ‖z − e‖² = ‖z‖² − 2 z·e + ‖e‖².
factor_two_forgotten: `- 2 * z @ codebook.T` → `- z @ codebook.T`
    The cross term has a factor 2: ‖z − e‖² = ‖z‖² − 2 z·e + ‖e‖².
lengths_not_squared: `codebook.square().sum(dim=1)` → `codebook.norm(dim=1)`
    You add the lengths of the codes. In ‖z − e‖² = ‖z‖² − 2 z·e + ‖e‖² they are squared.
lengths_averaged: `codebook.square().sum(dim=1)` → `codebook.square().mean(dim=1)`
    You average the squares of a code's numbers. ‖e‖² is their sum.
sign_of_the_lengths: `codebook.square().sum(dim=1)` → `-codebook.square().sum(dim=1)`
    The sign of ‖e‖² is wrong: ‖z − e‖² = ‖z‖² − 2 z·e + ‖e‖².
lengths_along_the_codes: `codebook.square().sum(dim=1)` → `codebook.square().sum(dim=0)`
    You sum over the codes, dim=0. ‖e‖² is one number for each code: sum over its D numbers, dim=1.
differences_with_signs: `distances.argmin(dim=1)` → `(z[:, None] - codebook).sum(-1).argmin(1)`
    You sum the differences with their signs, without squares, and take the smallest sum. Nearest means the smallest
    Euclidean distance.
largest_difference: `distances.argmin(dim=1)` → `(z[:, None] - codebook).abs().amax(-1).argmin(1)`
    You measure distance by the largest of the D differences. Nearest means the smallest Euclidean distance: squares of
    all of them, added.
summed_over_the_codes: `distances.argmin(dim=1)` → `(z[:, None] - codebook).square().sum(1).argmin(1)`
    z[:, None] - codebook is (M, K, D), and you sum over dim 1, the codes. A distance is a sum over the D numbers,
    dim=-1.
codes_themselves: `distances.argmin(dim=1)` → `codebook[distances.argmin(dim=1)]`
    You return the nearest codes themselves. Asked for are their indices, (M,).
one_for_all_vectors: `distances.argmin(dim=1)` → `distances.argmin()`
    You return one index, where the whole table is smallest. Each of the M vectors has one: look along the codes.
""")


@nearest_codes.mistake(
    "This is the code in the most similar *direction* (cosine similarity). Nearest means the smallest Euclidean distance, and lengths count."
)
def cosine_similarity(z, codebook):
    return (F.normalize(z, dim=1) @ F.normalize(codebook, dim=1).T).argmax(1)


@nearest_codes.mistake(
    "You measure distance by the sum of absolute differences. Nearest means the smallest Euclidean distance."
)
def city_block(z, codebook):
    return torch.cdist(z, codebook, p=1).argmin(1)


@nearest_codes.mistake("You return one-hot rows. Asked for are the indices themselves, (M,) int64: argmin gives them.")
def one_hot_rows(z, codebook):
    return F.one_hot(reference("nearest_codes")(z, codebook), len(codebook))


@nearest_codes.mistake(
    "You sum the differences without squares, so that those of different signs cancel. Nearest means the smallest Euclidean distance."
)
def differences_not_squared(z, codebook):
    return (z[:, None] - codebook).sum(-1).abs().argmin(1)


@nearest_codes.variant
def all_differences(z, codebook):  # right, with a word on the memory that it takes
    return (z[:, None] - codebook[None]).square().sum(-1).argmin(1)


@nearest_codes.variant
def by_cdist(z, codebook):
    return torch.cdist(z, codebook).min(dim=-1).indices


@nearest_codes.variant
def code_by_code(z, codebook):
    best = torch.full((len(z),), math.inf)
    index = torch.zeros(len(z), dtype=torch.int64)
    for k, code in enumerate(codebook):
        distance = ((z - code) ** 2).sum(-1)
        index[distance < best] = k
        best = torch.minimum(best, distance)
    return index


@nearest_codes.variant
def in_chunks_in_float64(z, codebook):
    chunks = [torch.norm(part[:, None, :].double() - codebook.double(), dim=-1).argmin(-1) for part in z.split(1024)]
    return torch.cat(chunks)


@nearest_codes.variant
def by_numpy(z, codebook):
    a, b = z.detach().numpy(), codebook.detach().numpy()
    squared = (a**2).sum(1, keepdims=True) + (b**2).sum(1) - 2 * np.einsum("md,kd->mk", a, b)
    return torch.from_numpy(squared.argmin(1))


# --- straight_through ---------------------------------------------------------------------------------------------------------

straight_through = Exercise("straight_through")
straight_through.edits("""
missing: `z + (z_q - z).detach()` → `z_q + 0 * z`
    There is no straight-through here: this is z_q, in its gradients too, as it also is when nothing in z + (z_q − z) is
    detached. Nothing reaches z, and the encoder never learns from the reconstruction.
fully_detached: `z + (z_q - z).detach()` → `z_q.detach()`
    The result is cut off from z as well as from z_q, so no gradient reaches the encoder at all. Only the *difference*
    z_q − z is to be detached.
difference_subtracted: `z + (z_q - z).detach()` → `z - (z_q - z).detach()`
    The value is 2z − z_q, on the far side of z. With the difference z_q − z added, it is z_q.
reversed: `z + (z_q - z).detach()` → `z_q + (z - z_q).detach()`
    The roles are reversed: the value is z and the gradient goes to z_q. It should have the value of z_q, and send the
    gradient to z.
nothing_taken_off: `z + (z_q - z).detach()` → `z + z_q.detach()`
    The value is z + z_q. Add the difference z_q − z, detached, so that z_q alone is left of it.
sum_of_both: `z + (z_q - z).detach()` → `z.detach() + z_q`
    The value is z + z_q, and the gradient goes to z_q. Add the difference z_q − z, detached, to z.
difference_added_to_the_codes: `z + (z_q - z).detach()` → `z_q + (z_q - z).detach()`
    The value is 2z_q − z. The difference z_q − z belongs to z, and then it is z_q.
difference_alone: `z + (z_q - z).detach()` → `(z_q - z).detach()`
    This is the difference z_q − z alone. Added to z, it has the value of z_q.
gradient_reversed: `z + (z_q - z).detach()` → `(z_q + z).detach() - z`
    The value is right, and the gradient of z has a minus: z itself is to be added, and z.detach() taken off.
half_the_gradient: `z + (z_q - z).detach()` → `0.5 * z + (z_q - 0.5 * z).detach()`
    The value is right, and z gets half the gradient. It gets all of it: z + (z_q − z), with the difference detached.
gradient_to_both: `z + (z_q - z).detach()` → `z + z_q - z.detach()`
    The gradient goes to z and to z_q as well. The codebook does not learn from the reconstruction: detach the whole
    difference, z_q included.
half_way: `z + (z_q - z).detach()` → `(z + z_q) / 2`
    The value lies half-way between z and z_q. It is that of z_q; only the gradient is z's.
returns_z: `z + (z_q - z).detach()` → `z`
    The value is z itself, so the decoder sees codes that were never quantised. Add the difference z_q − z, detached.
wrong_part_detached: `z + (z_q - z).detach()` → `z.detach() + (z_q - z)`
    The value is right, but you detached the wrong part: z gets the gradient with a minus, and z_q gets it too.
""")


class _CopyGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, z_q):
        return z_q.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


@straight_through.variant
def by_autograd_function(z, z_q):
    return _CopyGradient.apply(z, z_q)


@straight_through.variant
def without_gradients_in_the_difference(z, z_q):
    with torch.no_grad():
        move = z_q - z
    return move + z


@straight_through.variant
def zero_with_a_gradient(z, z_q):
    return z_q.detach() + (z - z.detach())


# --- vq_loss ------------------------------------------------------------------------------------------------------------------

vq_loss = Exercise("vq_loss")
vq_loss.edits("""
commitment_on_the_wrong_term: `(codebook_term + commitment * commitment_term).mean()` → `(commitment * codebook_term + commitment_term).mean()`
    The value looks right, but `commitment` weighs the wrong term (or, which comes to the same, the two stop-gradients
    have changed places). The codes move with weight 1, in ‖sg[z] − z_q‖², and the encoder with weight `commitment`, in
    ‖z − sg[z_q]‖².
no_stop_gradients: `(codebook_term + commitment * commitment_term).mean()` → `((1 + commitment) * (z - z_q).square().sum(1)).mean()`
    The value is right, but there are no stop-gradients, so both terms pull at z and at z_q alike. Detach z in the first
    term and z_q in the second.
everything_detached: `(codebook_term + commitment * commitment_term).mean()` → `(codebook_term + commitment * commitment_term).mean().detach() + 0 * z.sum()`
    The value is right, but no gradient comes out of it: everything is detached. Each term stops the gradient on one side
    only.
codebook_term_missing: `(codebook_term + commitment * commitment_term).mean()` → `(commitment * commitment_term).mean()`
    The codebook term is missing. Without it no gradient reaches the codes: the straight-through estimator gives them
    none.
commitment_term_missing: `(codebook_term + commitment * commitment_term).mean()` → `(codebook_term + 0 * commitment_term).mean()`
    The commitment term is missing. Without it nothing keeps the encoder near the codes, and its outputs may grow faster
    than the codes can follow.
averaged_over_numbers: `(codebook_term + commitment * commitment_term).mean()` → `(codebook_term + commitment * commitment_term).mean() / z.shape[1]`
    You average over the D numbers of a vector too, as F.mse_loss does. A squared distance is a sum: sum over D, and
    average over the M vectors.
summed_over_vectors: `(codebook_term + commitment * commitment_term).mean()` → `(codebook_term + commitment * commitment_term).sum()`
    You sum over the M vectors. Average over them: the batch size is not to matter.
one_a_vector: `(codebook_term + commitment * commitment_term).mean()` → `(codebook_term + commitment * commitment_term)`
    The mean over the M vectors is missing: a loss is one number.
commitment_ignored: `(codebook_term + commitment * commitment_term).mean()` → `(codebook_term + 0.25 * commitment_term).mean()`
    `commitment` is not used: the weight is always 0.25.
commitment_forgotten: `(codebook_term + commitment * commitment_term).mean()` → `(codebook_term + commitment_term).mean()`
    `commitment` is not used: both terms have the weight 1.
commitment_on_both: `(codebook_term + commitment * commitment_term).mean()` → `(commitment * (codebook_term + commitment_term)).mean()`
    `commitment` weighs both terms. It belongs to the second alone, which moves the encoder; the codes move with
    weight 1.
shared_out: `(codebook_term + commitment * commitment_term).mean()` → `((1 - commitment) * codebook_term + commitment * commitment_term).mean()`
    You weigh the codebook term with 1 − β. Its weight is 1, whatever `commitment` is.
commitment_subtracted: `(codebook_term + commitment * commitment_term).mean()` → `(codebook_term - commitment * commitment_term).mean()`
    You subtract the commitment term, which drives the encoder away from the codes. Both terms are added.
halved: `(codebook_term + commitment * commitment_term).mean()` → `(codebook_term + commitment * commitment_term).mean() / 2`
    You halve the squared distances. Equation 3 has no ½.
z_detached_in_both: `(z - z_q.detach())` → `(z.detach() - z_q)`
    z is detached in both terms, so nothing pulls the encoder. In the term with the weight `commitment` z_q is the
    one that is detached.
codes_detached_in_both: `(z.detach() - z_q)` → `(z - z_q.detach())`
    z_q is detached in both terms, so nothing moves the codes. In the first term z is the one that is detached.
nothing_detached_in_the_first: `(z.detach() - z_q)` → `(z - z_q)`
    Nothing is detached in the codebook term, so it pulls the encoder, too, with full weight. Detach z there.
nothing_detached_in_the_second: `(z - z_q.detach())` → `(z - z_q)`
    Nothing is detached in the commitment term, so it moves the codes, too. Detach z_q there.
times_the_places: `(codebook_term + commitment * commitment_term).mean()` → `49 * (codebook_term + commitment * commitment_term).mean()`
    The factor 49 is for training, where the loss is put together. `vq_loss` is the mean over the M vectors as it is.
""")


@vq_loss.mistake("You add distances. Equation 3 has squared distances, without the square root.")
def not_squared(z, z_q, commitment=0.25):
    return ((z.detach() - z_q).norm(dim=1) + commitment * (z - z_q.detach()).norm(dim=1)).mean()


@vq_loss.mistake(
    "You take the loss after the straight-through estimator. Its result has the value of z_q and the gradient of z, so the codes get none. Take the loss between z and the codes "
    "themselves."
)
def after_straight_through(z, z_q, commitment=0.25):
    return reference("vq_loss")(z, reference("straight_through")(z, z_q), commitment)


@vq_loss.mistake(
    "You sum over the vectors and average over their D numbers. It is the other way round: the sum over D, the mean over M."
)
def axes_swapped(z, z_q, commitment=0.25):
    a, b = (z.detach() - z_q).square(), (z - z_q.detach()).square()
    return (a.sum(0) + commitment * b.sum(0)).mean()


@vq_loss.mistake(
    "You take one norm of all M · D differences. Equation 3 has a squared distance for each vector: the sum of its D squares, and the mean over the M vectors."
)
def one_norm_for_all(z, z_q, commitment=0.25):
    return (z.detach() - z_q).norm() + commitment * (z - z_q.detach()).norm()


@vq_loss.mistake("You add absolute differences. A squared distance is the sum of the squares.")
def absolute_differences(z, z_q, commitment=0.25):
    a, b = (z.detach() - z_q).abs(), (z - z_q.detach()).abs()
    return (a.sum(1) + commitment * b.sum(1)).mean()


@vq_loss.mistake("You add up the differences before you square. Square each of the D differences, and then add.")
def squares_of_sums(z, z_q, commitment=0.25):
    a, b = (z.detach() - z_q).sum(1).square(), (z - z_q.detach()).sum(1).square()
    return (a + commitment * b).mean()


@vq_loss.variant
def by_mse_loss(z, z_q, commitment=0.25):
    d = z.shape[1]
    return d * F.mse_loss(z_q, z.detach()) + commitment * d * F.mse_loss(z, z_q.detach())


@vq_loss.variant
def by_distances(z, z_q, commitment=0.25):
    with torch.no_grad():
        fixed_z, fixed_q = z.clone(), z_q.clone()
    a = torch.einsum("md,md->m", z_q - fixed_z, z_q - fixed_z)
    b = torch.einsum("md,md->m", z - fixed_q, z - fixed_q)
    return sum(a[i] + b[i] * commitment for i in range(len(z))) / len(z)


@vq_loss.variant
def in_float64(z, z_q, commitment=0.25):
    def squared(a, b):
        return torch.linalg.vector_norm(a.double() - b.double(), dim=-1).pow(2).mean()

    return (squared(z.detach(), z_q) + commitment * squared(z, z_q.detach())).float()


# --- VectorQuantizer ----------------------------------------------------------------------------------------------------------

vector_quantizer = Exercise("VectorQuantizer")
vector_quantizer.edits("""
reshaped_without_permuting: `z.permute(0, 2, 3, 1).reshape(-1, dim)` → `z.reshape(-1, dim)`
    The vectors are cut across the channels: z is (N, D, H, W), and a reshape to (…, D) takes D neighbours of one
    channel. Move the channels to the end first: z.permute(0, 2, 3, 1).
no_straight_through: `straight_through(z, self.lookup(indices))` → `self.lookup(indices)`
    z_q is not passed through the straight-through estimator. The reconstruction's gradient ends at the codebook, and the
    encoder gets none of it.
fully_detached: `straight_through(z, self.lookup(indices))` → `self.lookup(indices).detach()`
    z_q is detached, so the reconstruction's gradient ends there. Give back straight_through(z, z_q).
gradient_to_both: `straight_through(z, self.lookup(indices))` → `z + self.lookup(indices) - z.detach()`
    The reconstruction's gradient goes to the codebook as well. Give back straight_through(z, z_q), which sends it to z alone.
reshaped_back_without_permuting: `straight_through(z, self.lookup(indices))` → `straight_through(z, self.codebook[indices].reshape(z.shape))`
    `forward` reshapes the codes to z's shape where it should permute: self.codebook[indices] is (N, H, W, D). Take `lookup`.
cut_back_without_permuting: `straight_through(z, self.lookup(indices))` → `straight_through(vectors, self.codebook[indices.flatten()]).reshape(z.shape)`
    `forward` reshapes the vectors, (N·H·W, D), to z's shape, where the channels come second. Take `lookup`, or view them
    as (N, H, W, D) and permute.
seven_written_down: `indices.view(n, height, width)` → `indices.view(-1, 7, 7)`
    The grid is 7 × 7 whatever z is. Its rows and columns are in z.shape.
viewed: `.reshape(-1, dim)` → `.view(-1, dim)`
    After permute the numbers of a vector don't lie side by side in memory, and view needs that. Take reshape, which
    copies them where it must.
loss_summed_over_all_vectors: `loss = vq_loss(vectors, self.codebook[indices])` → `loss = vq_loss(vectors, self.codebook[indices]) * len(vectors)`
    The loss is summed over all vectors. `vq_loss` averages over them, and that is the loss as it is.
commitment_alone: `loss = vq_loss(vectors, self.codebook[indices])` → `loss = 0.25 * (vectors - self.codebook[indices].detach()).square().sum(1).mean()`
    Your loss is the commitment term alone, and nothing moves the codes. Take `vq_loss`, which has both.
straight_through_reversed: `straight_through(z, self.lookup(indices))` → `straight_through(self.lookup(indices), z)`
    The arguments of straight_through are the wrong way round: the value is z's, and the gradient goes to the codebook.
loss_after_straight_through: `vq_loss(vectors, self.codebook[indices])` → `vq_loss(vectors, straight_through(vectors, self.codebook[indices]))`
    The loss is taken after the straight-through estimator. What comes out of that is z as far as gradients go, so the
    codebook gets none. Take the loss of z and of the codes as they were looked up.
loss_of_a_detached_codebook: `vq_loss(vectors, self.codebook[indices])` → `vq_loss(vectors, self.codebook[indices].detach())`
    The looked-up codes are detached before the loss, so the codebook never learns. `vq_loss` has its own stop-gradients
    and needs both sides attached.
loss_of_a_detached_z: `vq_loss(vectors, self.codebook[indices])` → `vq_loss(vectors.detach(), self.codebook[indices])`
    z is detached before the loss, so the encoder never hears of its commitment. `vq_loss` has its own stop-gradients and
    needs both sides attached.
loss_arguments_swapped: `vq_loss(vectors, self.codebook[indices])` → `vq_loss(self.codebook[indices], vectors)`
    The arguments of vq_loss are the wrong way round, so the commitment weighs the codes and the encoder gets the full
    pull. It is vq_loss(z, z_q).
lookup_channels_last: `return self.codebook[indices].permute(0, 3, 1, 2)` → `return self.codebook[indices].reshape(len(indices), -1, *indices.shape[1:])`
    `lookup` reshapes where it should permute: self.codebook[indices] is (N, H, W, D), and the channels move with
    .permute(0, 3, 1, 2).
rows_and_columns_swapped: `.permute(0, 3, 1, 2)` → `.permute(0, 3, 2, 1)`
    `lookup` swaps the rows and the columns: permute(0, 3, 2, 1). The codes come first, then rows, then columns:
    permute(0, 3, 1, 2).
loss_summed_over_places: `loss = vq_loss(vectors, self.codebook[indices])` → `loss = vq_loss(vectors, self.codebook[indices]) * height * width`
    The loss is summed over the places of an image. `vq_loss` averages over all vectors, and that is the loss as it is.
loss_averaged_over_numbers: `loss = vq_loss(vectors, self.codebook[indices])` → `loss = vq_loss(vectors, self.codebook[indices]) / dim`
    The loss is averaged over the numbers of a vector as well, as F.mse_loss does. A squared distance is a sum over them:
    take `vq_loss`.
loss_times_49: `loss = vq_loss(vectors, self.codebook[indices])` → `loss = 49 * vq_loss(vectors, self.codebook[indices])`
    The factor 49 comes later, where the whole loss is put together. Return `vq_loss` over all vectors as it is.
commitment_of_one: `loss = vq_loss(vectors, self.codebook[indices])` → `loss = vq_loss(vectors, self.codebook[indices], 1.0)`
    You call `vq_loss` with a commitment of 1. Its default is asked for.
columns_before_rows: `z.permute(0, 2, 3, 1).reshape(-1, dim)` → `z.permute(0, 3, 2, 1).reshape(-1, dim)`
    You put the columns before the rows, permute(0, 3, 2, 1), and the indices come back in another order than the
    places. It is permute(0, 2, 3, 1).
loss_as_a_number: `loss = vq_loss(vectors, self.codebook[indices])` → `loss = vq_loss(vectors, self.codebook[indices]).item()`
    The loss is a Python number, and no gradient comes out of it. Leave out .item().
""")


class _Around(nn.Module):
    """The reference, for mistakes that do something else with its results."""

    def __init__(self, n_codes, dim):
        super().__init__()
        self.whole = reference("VectorQuantizer")(n_codes, dim)
        self.codebook = self.whole.codebook

    def lookup(self, indices):
        return self.whole.lookup(indices)

    def forward(self, z):
        return self.whole(z)


@vector_quantizer.mistake("The indices have lost their grid: they are to be (N, H, W), one for each place of each image.")
class FlatIndices(_Around):
    def forward(self, z):
        z_q, indices, loss = self.whole(z)
        return z_q, indices.flatten(), loss


@vector_quantizer.mistake("The order of the three results is (z_q, indices, loss).")
class LossBeforeIndices(_Around):
    def forward(self, z):
        z_q, indices, loss = self.whole(z)
        return z_q, loss, indices


@vector_quantizer.mistake(
    "`lookup` leaves the channels at the end, (N, H, W, dim). Asked for is (N, dim, H, W): permute it."
)
class LookupChannelsLast(_Around):
    def lookup(self, indices):
        return self.codebook[indices]


@vector_quantizer.mistake(
    "`lookup` swaps the rows and the columns: permute(0, 3, 2, 1). The codes come first, then rows, then columns: permute(0, 3, 1, 2)."
)
class LookupTransposed(_Around):
    def lookup(self, indices):
        return self.whole.lookup(indices).transpose(2, 3)


@vector_quantizer.mistake(
    "`lookup` reshapes where it should permute: self.codebook[indices] is (N, H, W, D), and the channels move with .permute(0, 3, 1, 2)."
)
class LookupReshaped(_Around):
    def lookup(self, indices):
        return self.codebook[indices].reshape(len(indices), -1, *indices.shape[1:])


@vector_quantizer.variant
class ByEinsum(nn.Module):
    def __init__(self, n_codes, dim):
        super().__init__()
        self.codebook = nn.Parameter(torch.empty(n_codes, dim).uniform_(-1 / n_codes, 1 / n_codes))

    def lookup(self, indices):
        return torch.einsum("nhwk,kd->ndhw", F.one_hot(indices, len(self.codebook)).float(), self.codebook)

    def forward(self, z):
        cross = torch.einsum("ndhw,kd->nkhw", z, self.codebook)
        indices = ((self.codebook**2).sum(1)[None, :, None, None] - 2 * cross).argmin(1)
        z_q = self.lookup(indices)
        loss = ((z_q - z.detach()) ** 2).sum(1).mean() + 0.25 * ((z_q.detach() - z) ** 2).sum(1).mean()
        return z + (z_q - z).detach(), indices, loss


@vector_quantizer.variant
class ImageByImage(nn.Module):
    def __init__(self, n_codes, dim):
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(n_codes, dim))

    def lookup(self, indices):
        return F.embedding(indices, self.codebook).movedim(-1, 1)

    def forward(self, z):
        rows = [image.flatten(1).T for image in z]  # each (H·W, D)
        indices = [torch.cdist(row, self.codebook).argmin(1) for row in rows]
        loss = reference("vq_loss")(torch.cat(rows), F.embedding(torch.cat(indices), self.codebook))
        grid = torch.stack([i.view(z.shape[2:]) for i in indices])
        return _CopyGradient.apply(z, self.lookup(grid)), grid, loss


# --- perplexity ---------------------------------------------------------------------------------------------------------------

perplexity = Exercise("perplexity")
perplexity.edits("""
entropy_itself: `return entropy.exp()` → `return entropy`
    This is the entropy, in nats. The perplexity is its exponential: a number of codes.
two_to_the_nats: `return entropy.exp()` → `return 2**entropy`
    The entropy is in nats (natural logarithm), and you take 2 to its power. Use exp with log, or 2 with log2.
wrong_sign: `-torch.special.xlogy(shares, shares).sum()` → `torch.special.xlogy(shares, shares).sum()`
    The minus is missing: an entropy is −Σ p log p, and a perplexity is at least 1.
mean_for_the_sum: `-torch.special.xlogy(shares, shares).sum()` → `-torch.special.xlogy(shares, shares).mean()`
    An entropy is a sum over the codes, not a mean.
share_of_the_codebook: `return entropy.exp()` → `return entropy.exp() / n_codes`
    You divide by the number of codes. The perplexity is itself a number of codes, from 1 to n_codes.
bits_to_the_e: `entropy.exp()` → `(entropy / torch.tensor(2.0).log()).exp()`
    Your entropy is in bits, and you raise e to it. The base is the same in both: natural logarithm and exp, or log2 and
    2 to the power.
counts_for_shares: ` / indices.numel()` → ``
    You take the entropy of the counts. Divide them by their total first, so that they add up to 1.
whole_division: `/ indices.numel()` → `// indices.numel()`
    `//` rounds down, and a share below 1 becomes 0. Divide the counts with `/`.
divided_by_the_codes: `/ indices.numel()` → `/ n_codes`
    You divide the counts by the number of codes. The shares add up to 1 when they are divided by the number of
    indices.
divided_by_the_images: `/ indices.numel()` → `/ len(indices)`
    You divide by the length of the first dimension, the number of images. All indices count together:
    `indices.numel()`.
places_counted_apart: `torch.bincount(indices.flatten(), minlength=n_codes) / indices.numel()` → `torch.nn.functional.one_hot(indices, n_codes).float().mean(dim=0)`
    You count the codes of each place by itself. Flatten the indices first: one share for each code, from all places.
largest_share: `return entropy.exp()` → `return 1 / shares.max()`
    This is one over the largest share. The perplexity is the exponential of the entropy.
entropy_in_parts_of_the_largest: `return entropy.exp()` → `return entropy / torch.tensor(float(n_codes)).log()`
    You divide the entropy by log n_codes: a number from 0 to 1. The perplexity is the entropy's exponential, a number of codes.
softmax_of_the_counts: `torch.bincount(indices.flatten(), minlength=n_codes) / indices.numel()` → `torch.bincount(indices.flatten(), minlength=n_codes).float().softmax(0)`
    You take a softmax of the counts, which makes almost everything the largest of them. Shares are counts divided by their total.
not_flattened: `indices.flatten()` → `indices`
    `indices` may have any shape, and bincount wants one dimension: flatten them.
unused_codes_count_once: `torch.bincount(indices.flatten(), minlength=n_codes) / indices.numel()` → `(lambda counts: counts / counts.sum())(torch.bincount(indices.flatten(), minlength=n_codes).clamp(min=1))`
    You count each code at least once. A code that does not occur has the share 0, and contributes 0.
decimal_to_the_e: `return entropy.exp()` → `return (entropy / torch.tensor(10.0).log()).exp()`
    Your entropy is in decimal logarithms, and you raise e to it. The base is the same in both: natural logarithm and exp.
softmax_of_the_shares: `torch.bincount(indices.flatten(), minlength=n_codes) / indices.numel()` → `(torch.bincount(indices.flatten(), minlength=n_codes) / indices.numel()).softmax(0)`
    You take a softmax of the shares, which makes them nearly equal. They add up to 1 already.
base_of_the_codebook: `return entropy.exp()` → `return (entropy / torch.tensor(float(n_codes)).log()).exp()`
    You divide the entropy by log n_codes before you take exp. The perplexity is exp of the entropy in nats.
smallest_share: `return entropy.exp()` → `return 1 / shares[shares > 0].min()`
    This is one over the smallest share. The perplexity is the exponential of the entropy.
one_added_to_each: `torch.bincount(indices.flatten(), minlength=n_codes) / indices.numel()` → `(torch.bincount(indices.flatten(), minlength=n_codes) + 1) / (indices.numel() + n_codes)`
    You add 1 to each count. Nothing is added here: a code that does not occur contributes 0.
""")


@perplexity.mistake(
    "A code that nobody uses gives 0 · log 0, which is NaN in floating point. Its contribution is 0: use torch.special.xlogy, or leave such codes out."
)
def zero_times_log_zero(indices, n_codes):
    p = torch.bincount(indices.flatten(), minlength=n_codes) / indices.numel()
    return torch.exp(-(p * p.log()).sum())


@perplexity.mistake(
    "You count the codes that occur. A code used once in a thousand counts as much as one used every time; the perplexity weighs them by how often they are used."
)
def codes_in_use(indices, n_codes):
    return float(len(indices.unique()))


@perplexity.mistake(
    "This is 1 / Σ p², another measure of how many codes are in use. Perplexity is the exponential of the entropy."
)
def inverse_simpson(indices, n_codes):
    p = torch.bincount(indices.flatten(), minlength=n_codes) / indices.numel()
    return 1 / (p**2).sum()


@perplexity.mistake("You take the perplexity of each image, and average. All indices count together.")
def image_by_image(indices, n_codes):
    return torch.stack([torch.as_tensor(reference("perplexity")(image, n_codes)) for image in indices]).mean()


@perplexity.variant
def by_distributions(indices, n_codes):
    counts = F.one_hot(indices.reshape(-1), n_codes).sum(0).float()
    return Categorical(probs=counts).entropy().exp()


@perplexity.variant
def by_unique_codes(indices, n_codes):
    _, counts = indices.unique(return_counts=True)
    p = (counts / counts.sum()).tolist()
    return math.prod(share**-share for share in p)


# --- ema_update ---------------------------------------------------------------------------------------------------------------

ema_update = Exercise("ema_update")
ema_update.edits("""
graph_kept: `z = z.detach()` → `pass`
    The results carry the encoder's graph along. Next batch they carry two, and so on until memory is full. This is no
    gradient step: detach z, or work under torch.no_grad().
unused_codes_are_nan: `torch.where(counts[:, None] > 0, sums / counts[:, None], codebook)` → `sums / counts[:, None]`
    A code whose count is 0 becomes 0/0, which is NaN, and NaN is never near anything again. Such a code keeps the vector
    that it has.
rare_codes_kept: `torch.where(counts[:, None] > 0` → `torch.where(counts[:, None] >= 1`
    Codes with a count below 1 keep their old vector. A count is an average, and may be small: wherever it is above 0, the code is sums / counts.
codebook_in_the_sums: `sums = decay * sums` → `sums = decay * codebook`
    You average the codebook where the sums belong. `sums` is a running average of its own; the codebook is made of it at the end.
batch_divided_by_its_size: `(1 - decay) * assigned.sum(dim=0)\n    sums = decay * sums + (1 - decay) * assigned.T @ z` → `(1 - decay) * assigned.mean(dim=0)\n    sums = decay * sums + (1 - decay) * assigned.T @ z / len(z)`
    You divide what the batch brings by its number of vectors. Counts are numbers of vectors, and sums are sums of them.
unused_codes_go_to_zero: `torch.where(counts[:, None] > 0, sums / counts[:, None], codebook)` → `sums / counts[:, None].clamp(min=1e-5)`
    A code whose count is 0 is moved to the origin. It keeps the vector that it has: torch.where(counts > 0, …,
    codebook), with the shapes (K, 1) and (K, D).
codebook_averaged: `torch.where(counts[:, None] > 0, sums / counts[:, None], codebook)` → `decay * codebook + (1 - decay) * torch.where(counts[:, None] > 0, sums / counts[:, None], codebook)`
    You average the codebook as well. It is the quotient of the two averages, sums / counts, and needs no averaging of
    its own.
old_counts_in_the_quotient: `counts = decay * counts + (1 - decay) * assigned.sum(dim=0)\n` → `old = counts\n    counts = decay * counts + (1 - decay) * assigned.sum(dim=0)\n    counts, new = old, counts\n`
    The counts are not updated. Both averages take the new batch in: counts and sums.
sums_not_updated: `sums = decay * sums + (1 - decay) * assigned.T @ z` → `sums = decay * sums`
    The sums decay, but the vectors of this batch are not added to them.
condition_along_the_numbers: `torch.where(counts[:, None] > 0` → `torch.where(counts > 0`
    The condition has the shape (K,), and is laid along the D numbers of a code. It is one for each code: counts[:, None] > 0.
counts_along_the_numbers: `sums / counts[:, None]` → `sums / counts`
    `counts` has the shape (K,), and is laid along the D numbers of a code. It divides each code's row: counts[:, None].
summed_over_the_codes: `assigned.sum(dim=0)` → `assigned.sum(dim=1)`
    You count for each vector how many codes it has, which is 1. nₖ is the number of a code's vectors: sum over dim=0.
differences_in_the_sums: `assigned.T @ z` → `assigned.T @ (z - codebook[indices])`
    You add the differences z − e to `sums`. It holds sums of the vectors themselves: their quotient with the counts is
    the code.
divided_by_the_batch: `sums / counts[:, None]` → `sums / assigned.sum(dim=0).clamp(min=1)[:, None]`
    You divide the running sums by this batch's counts. Divide by the running counts.
only_codes_of_the_batch: `torch.where(counts[:, None] > 0` → `torch.where(assigned.sum(0)[:, None] > 0`
    Only the codes that this batch uses are moved. A code with a count above 0 is always sums / counts, whether it was
    used this time or not.
codebook_not_moved: `torch.where(counts[:, None] > 0, sums / counts[:, None], codebook), counts, sums` → `codebook, counts, sums`
    The codebook stays as it was. The new code is the quotient of the two averages, sums / counts.
counts_at_least_one: `sums / counts[:, None], codebook)` → `sums / counts.clamp(min=1)[:, None], codebook)`
    You divide by 1 where the count is smaller. Counts between 0 and 1 are right as they are.
codebook_last: `return torch.where(counts[:, None] > 0, sums / counts[:, None], codebook), counts, sums` → `return counts, sums, torch.where(counts[:, None] > 0, sums / counts[:, None], codebook)`
    The order of the results is (codebook, counts, sums).
shares_for_counts: `assigned.sum(dim=0)` → `assigned.mean(dim=0)`
    You average the share of the vectors that each code gets. Count them: nₖ is a number of vectors.
codes_not_counted: `F.one_hot(indices, len(codebook))` → `F.one_hot(indices)`
    You don't say how many codes there are, so that only those up to the largest index in the batch are counted: hand
    K to `one_hot`, or as `minlength` to `bincount`.
""")


@ema_update.mistake("The two weights are swapped: the past keeps `decay`, the new batch comes in with 1 − decay.")
def decay_swapped(codebook, counts, sums, z, indices, decay=0.99):
    return reference("ema_update")(codebook, counts, sums, z, indices, 1 - decay)


@ema_update.mistake(
    "You average the *mean* of each code's vectors into `sums`. Add their sum: dividing by the counts comes at the end, and a batch with more vectors of a code should weigh more."
)
def means_for_sums(codebook, counts, sums, z, indices, decay=0.99):
    k = len(codebook)
    n = torch.bincount(indices, minlength=k).float()
    means = torch.zeros_like(sums).index_add(0, indices, z.detach()) / n.clamp(min=1)[:, None]
    counts, sums = decay * counts + (1 - decay) * n, decay * sums + (1 - decay) * means
    return torch.where(counts[:, None] > 0, sums / counts[:, None], codebook), counts, sums


@ema_update.mistake(
    "You forget the past: this is what one batch says alone. Keep a running average, with weight `decay` on what was there."
)
def this_batch_only(codebook, counts, sums, z, indices, decay=0.99):
    return reference("ema_update")(codebook, torch.zeros_like(counts), torch.zeros_like(sums), z, indices, 0.0)


@ema_update.mistake(
    "The batch is added in full. It comes in with the weight 1 − decay, so that the sums of both weights are 1."
)
def batch_added_in_full(codebook, counts, sums, z, indices, decay=0.99):
    n = F.one_hot(indices, len(codebook)).float()
    counts, sums = decay * counts + n.sum(0), decay * sums + n.T @ z.detach()
    return torch.where(counts[:, None] > 0, sums / counts[:, None], codebook), counts, sums


@ema_update.mistake("`decay` is not used: the weight of the past is always 0.99.")
def decay_ignored(codebook, counts, sums, z, indices, decay=0.99):
    return reference("ema_update")(codebook, counts, sums, z, indices)


@ema_update.mistake(
    "The results are right, but you change `counts` and `sums` of the caller in place (+=, *=, mul_, add_). Make new tensors."
)
def in_place(codebook, counts, sums, z, indices, decay=0.99):
    new = reference("ema_update")(codebook, counts, sums, z, indices, decay)
    counts.copy_(new[1])
    sums.copy_(new[2])
    return new


@ema_update.mistake(
    "The new codebook is right, but you return the old `counts` and `sums`. The next batch needs the new ones."
)
def averages_as_they_came(codebook, counts, sums, z, indices, decay=0.99):
    return reference("ema_update")(codebook, counts, sums, z, indices, decay)[0], counts, sums


@ema_update.mistake(
    "Your codes are the means of this batch's vectors alone. The code is the quotient of the two averages, sums / counts."
)
def codes_of_this_batch(codebook, counts, sums, z, indices, decay=0.99):
    n = torch.bincount(indices, minlength=len(codebook)).float()[:, None]
    means = torch.zeros_like(sums).index_add(0, indices, z.detach()) / n.clamp(min=1)
    return torch.where(n > 0, means, codebook), *reference("ema_update")(codebook, counts, sums, z, indices, decay)[1:]


@ema_update.mistake("You divide the new sums by the old counts. Both are averages after the batch.")
def old_counts(codebook, counts, sums, z, indices, decay=0.99):
    _, new, sums = reference("ema_update")(codebook, counts, sums, z, indices, decay)
    return torch.where(counts[:, None] > 0, sums / counts[:, None], codebook), new, sums


@ema_update.mistake(
    "You move each code towards the mean of its vectors of this batch. The code is the quotient of the two averages, sums / counts."
)
def codes_averaged_by_themselves(codebook, counts, sums, z, indices, decay=0.99):
    n = torch.bincount(indices, minlength=len(codebook)).float()
    means = torch.zeros_like(sums).index_add(0, indices, z.detach()) / n.clamp(min=1)[:, None]
    moved = torch.where(n[:, None] > 0, decay * codebook + (1 - decay) * means, codebook)
    return moved, *reference("ema_update")(codebook, counts, sums, z, indices, decay)[1:]


@ema_update.mistake(
    "Codes that get no vector in this batch keep their old counts and sums. Their averages fade as well: nₖ is 0 there, and so is the sum."
)
def unused_codes_do_not_fade(codebook, counts, sums, z, indices, decay=0.99):
    new, faded, sums_after = reference("ema_update")(codebook, counts, sums, z, indices, decay)
    used = torch.bincount(indices, minlength=len(codebook)) > 0
    return new, torch.where(used, faded, counts), torch.where(used[:, None], sums_after, sums)


@ema_update.mistake(
    "Where a code has several vectors you keep one of them only: `x[indices] += z` writes each index once. Use `index_add_`, or one-hot rows."
)
def one_vector_for_each_code(codebook, counts, sums, z, indices, decay=0.99):
    k = len(codebook)
    last = torch.zeros_like(sums)
    last[indices] += z.detach()
    counts = decay * counts + (1 - decay) * torch.bincount(indices, minlength=k)
    sums = decay * sums + (1 - decay) * last
    return torch.where(counts[:, None] > 0, sums / counts[:, None], codebook), counts, sums


@ema_update.mistake(
    "`n[indices] += 1` and `m[indices] += z` write each index once, so that of a code's vectors one alone counts. Use `index_add_`, or one-hot rows."
)
def each_index_once(codebook, counts, sums, z, indices, decay=0.99):
    last, once = torch.zeros_like(sums), torch.zeros_like(counts)
    last[indices] += z.detach()
    once[indices] += 1
    counts, sums = decay * counts + (1 - decay) * once, decay * sums + (1 - decay) * last
    return torch.where(counts[:, None] > 0, sums / counts[:, None], codebook), counts, sums


@ema_update.variant
@torch.no_grad()
def by_index_add(codebook, counts, sums, z, indices, decay=0.99):
    n = torch.bincount(indices, minlength=codebook.shape[0])
    total = torch.zeros_like(codebook).index_add_(0, indices, z)
    counts, sums = torch.lerp(n.float(), counts, decay), torch.lerp(total, sums, decay)
    new = codebook.clone()
    alive = counts > 1e-5
    new[alive] = sums[alive] / counts[alive].unsqueeze(1)
    return new, counts, sums


@ema_update.variant
def code_by_code_in_float64(codebook, counts, sums, z, indices, decay=0.99):
    new, counts, sums = codebook.detach().clone(), counts.double(), sums.double()
    for k in range(len(new)):
        mine = z.detach().double()[indices == k]
        counts[k] = decay * counts[k] + (1 - decay) * len(mine)
        sums[k] = decay * sums[k] + (1 - decay) * mine.sum(0)
        if counts[k] > 0:
            new[k] = sums[k] / counts[k]
    return new, counts.float(), sums.float()


# --- pixelcnn_mask ------------------------------------------------------------------------------------------------------------

pixelcnn_mask = Exercise("pixelcnn_mask")
pixelcnn_mask.edits("""
kinds_swapped: `kind == "B"` → `kind == "A"`
    The kinds are swapped. "A" hides the centre, since the first layer reads the very code that is to be predicted. "B"
    shows it: there the centre holds only what the first layer let through.
rows_below_seen: `mask[middle + 1 :] = 0` → `pass`
    The rows below are visible. They come later in reading order, so they are the future: zero them.
row_of_the_centre_seen: `mask[middle, middle + (kind == "B") :] = 0` → `mask[middle, middle] = float(kind == "B")`
    What stands to the right of the centre, in its own row, is visible. It comes later in reading order: zero it.
future_instead_of_past: `return mask` → `return mask.flip(0, 1)`
    The mask shows the future and hides the past: it is turned by half a circle. Conv2d does not flip its kernel: row 0
    of the mask is the row *above*.
column_by_column: `return mask` → `return mask.T`
    This mask reads column by column. Reading order is row by row: all rows above, and in the centre's own row what
    stands to its left.
unknown_kind_passes: `raise ValueError(f"kind={kind!r}: expected 'A' or 'B'")` → `pass`
    A `kind` that you don't know is treated like one that you do. Raise ValueError.
part_of_a_text: `kind not in ("A", "B")` → `kind not in "AB"`
    `in "AB"` asks whether `kind` is a part of that text, and "AB" and "" are parts of it. Ask in ("A", "B").
visible_and_hidden_swapped: `return mask` → `return 1 - mask`
    Ones and zeros have changed places: 1 is visible, 0 is hidden.
rows_above_hidden: `return mask` → `mask[:middle] = 0\n    return mask`
    The rows above are hidden. They come earlier in reading order: show them, whole.
one_place_too_far: `middle + (kind == "B") :` → `middle + 1 + (kind == "B") :`
    You hide one place too few in the centre's own row. With "A" the centre is hidden, with "B" what comes right
    after it.
own_row_hidden: `mask[middle, middle + (kind == "B") :] = 0` → `mask[middle] = 0\n    mask[middle, middle] = float(kind == "B")`
    The centre's whole row is hidden. What stands to the left of the centre comes earlier in reading order: show it.
upside_down: `return mask` → `return mask.flip(0)`
    The rows below are visible, and those above hidden. Row 0 of the mask is the one above the centre, and comes earlier in
    reading order.
left_and_right_swapped: `return mask` → `return mask.flip(1)`
    In the centre's own row you show what stands to its right. Reading order goes from left to right: show what is to the
    left.
four_dimensions: `return mask` → `return mask[None, None]`
    The mask has two dimensions, (kernel_size, kernel_size): in front of a weight it is broadcast by itself.
minus_infinity: `return mask` → `return torch.where(mask > 0, 0.0, -torch.inf)`
    These are 0 and −∞, to be added to logits. This mask is multiplied with weights: 1 is visible, 0 is hidden.
middle_too_far: `kernel_size // 2` → `kernel_size // 2 + 1`
    Your middle is one too far. Rows are counted from 0, so the middle one of kernel_size is kernel_size // 2.
upper_triangle: `return mask` → `return torch.ones(kernel_size, kernel_size).triu(0 if kind == "B" else 1)`
    An upper triangle is not the mask. Reading order is row by row: all rows above the centre, and in its own row what
    stands to its left.
lower_triangle: `return mask` → `return torch.ones(kernel_size, kernel_size).tril(0 if kind == "B" else -1)`
    A lower triangle is not the mask. Reading order is row by row: all rows above the centre, and in its own row what
    stands to its left.
lower_case_taken: `if kind not in ("A", "B"):` → `kind = kind.upper()\n    if kind not in ("A", "B"):`
    You take "a" for "A". Everything but "A" and "B" raises ValueError.
""")


@pixelcnn_mask.mistake(
    "The rows above are cut off at the centre's column. All of a row above comes earlier in reading order, its right half too."
)
def upper_left_quarter(kind, kernel_size):
    mask = reference("pixelcnn_mask")(kind, kernel_size)
    mask[:, kernel_size // 2 + 1 :] = 0
    return mask


@pixelcnn_mask.mistake(
    "The same mask for both kinds: the centre is hidden in both. With "
    '"B" in every later layer the centre must be visible, or a layer forgets what the one before knew about this place.'
)
def centre_always_hidden(kind, kernel_size):
    if kind not in ("A", "B"):
        raise ValueError(kind)
    return reference("pixelcnn_mask")("A", kernel_size)


@pixelcnn_mask.variant
def by_reading_order(kind, kernel_size):
    if kind not in {"A", "B"}:
        raise ValueError("kind must be A or B")
    order = torch.arange(kernel_size**2).view(kernel_size, kernel_size)
    centre = kernel_size**2 // 2
    return (order < centre).float() if kind == "A" else (order <= centre).float()


@pixelcnn_mask.variant
def by_loops(kind, kernel_size):
    m = kernel_size // 2
    last = {"A": 0, "B": 1}.get(kind)
    if last is None:
        raise ValueError(f"unknown kind {kind}")
    rows = [[float(i < m or (i == m and j < m + last)) for j in range(kernel_size)] for i in range(kernel_size)]
    return torch.tensor(rows)


# --- code_length --------------------------------------------------------------------------------------------------------------

code_length = Exercise("code_length")
code_length.edits("""
mean_over_places: `.flatten(1).sum(1)` → `.flatten(1).mean(1)`
    You average over the places. The chain rule is a product over all of them, so their nats add up.
one_number_for_all: `.flatten(1).sum(1)` → `.sum()`
    You sum over the images as well. Each image keeps its own code length: (N,).
mean_of_everything: `.flatten(1).sum(1)` → `.mean()`
    This is the mean over all places of all images, which is what F.cross_entropy gives by default. Sum over the places,
    and keep the images apart.
log_probability: `return -chosen` → `return chosen`
    The sign is reversed: this is log p. A length is −log p, and never negative.
wrong_dimension: `log_softmax(dim=1)` → `log_softmax(dim=-1)`
    The softmax runs along the width of the grid. The K logits of one place lie along dim=1.
not_normalised: `logits.log_softmax(dim=1)` → `logits`
    You take the logit of the code itself. Logits are log-probabilities only after log_softmax: the normalising term is
    missing.
logarithm_of_the_sum: `return -chosen.flatten(1).sum(1)` → `return -chosen.exp().flatten(1).sum(1).log()`
    You add up probabilities and take the logarithm of the sum. The chain rule multiplies them: add up their logarithms.
softmax_twice: `logits.log_softmax(dim=1)` → `logits.softmax(dim=1).log_softmax(dim=1)`
    The softmax is applied twice. `log_softmax` and F.cross_entropy take the logits as they are.
softmax_over_the_images: `log_softmax(dim=1)` → `log_softmax(dim=0)`
    The softmax runs over the images. The K logits of one place lie along dim=1.
no_logarithm: `logits.log_softmax(dim=1)` → `logits.softmax(dim=1)`
    You add up the probabilities themselves. A code's length is −log of its probability.
every_code: `return -chosen.flatten(1).sum(1)` → `return -log_probs.flatten(1).sum(1)`
    You add up −log p of all K codes in each place. Only the one that stands there is paid for: pick it by `indices`.
summed_over_images: `chosen.flatten(1).sum(1)` → `chosen.sum(0).squeeze(0)`
    You sum over the images. Each image keeps its own length: sum over its places.
softmax_over_everything: `logits.log_softmax(dim=1)` → `logits.flatten(1).log_softmax(1).view_as(logits)`
    The softmax runs over codes and places together. The K logits of each place have one of their own: dim=1.
softmax_over_the_places: `logits.log_softmax(dim=1)` → `logits.flatten(2).log_softmax(2).view_as(logits)`
    The softmax runs over the places. The K logits of one place lie along dim=1.
largest_logit_subtracted: `logits.log_softmax(dim=1)` → `(logits - logits.amax(1, keepdim=True))`
    You subtract the largest logit, and no more. The normalising term is the logarithm of the sum of all exponentials:
    log_softmax.
most_likely_code: `log_probs.gather(1, indices[:, None])` → `log_probs.amax(1, keepdim=True)`
    You take the most likely code in each place. Asked for is the length of the one that stands there: pick it by
    `indices`.
probability_itself: `return -chosen.flatten(1).sum(1)` → `return chosen.flatten(1).sum(1).exp()`
    This is the probability of the grid, the product over its places. Its length is −log of that: −log p, added up.
batch_mean: `.flatten(1).sum(1)` → `.flatten(1).sum(1).mean()`
    You also average over the images. Each keeps its own code length: (N,).
always_49_places: `chosen.flatten(1).sum(1)` → `chosen.flatten(1).mean(1) * 49`
    You take 49 places for granted. Sum over those that there are.
index_at_the_end: `indices[:, None]` → `indices[..., None]`
    `gather` along dim 1 wants the indices with the K dimension there: indices[:, None] is (N, 1, H, W).
one_for_each_place: `chosen.flatten(1).sum(1)` → `chosen.squeeze(1)`
    You return −log p of each place. An image's length is their sum: (N,).
""")


code_length.recurring(in_bits, detached)


@code_length.mistake(
    "The logarithm of a softmax: a probability that is rounded to 0 has the logarithm −∞. Use log_softmax, which never forms that 0."
)
def log_of_softmax(logits, indices):
    return -logits.softmax(1).gather(1, indices[:, None]).log().flatten(1).sum(1)


@code_length.mistake(
    "You reshape (N, K, H, W) to rows of K numbers, which cuts the logits of different places together. Move K to the end first, or hand the tensors to F.cross_entropy as they are."
)
def reshaped_without_moving(logits, indices):
    rows = logits.reshape(-1, logits.shape[1])
    return F.cross_entropy(rows, indices.flatten(), reduction="none").view(len(logits), -1).sum(1)


@code_length.mistake(
    "This is a binary cross-entropy, which pays for every code that is not there, too. One of K codes stands in each place: −log_softmax of its logit."
)
def binary_cross_entropy(logits, indices):
    one_hot = F.one_hot(indices, logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, one_hot, reduction="none").flatten(1).sum(1)


@code_length.mistake(
    "This is the entropy of the prior at each place. The length of this code is −log p of the codes that stand there."
)
def entropy(logits, indices):
    log_probs = logits.log_softmax(1)
    return -(log_probs.exp() * log_probs).flatten(1).sum(1)


@code_length.mistake(
    "This is the length under the uniform prior, log K for each place. Asked for is that under the prior whose logits you are given."
)
def uniform_prior(logits, indices):
    return torch.full((len(logits),), indices[0].numel() * math.log(logits.shape[1])) + 0 * logits.flatten(1).sum(1)


@code_length.mistake(
    "You add a small constant inside the logarithm, which caps what an unlikely code costs. Use log_softmax: it needs no constant."
)
def constant_in_the_logarithm(logits, indices):
    return -(logits.softmax(1).gather(1, indices[:, None]) + 1e-8).log().flatten(1).sum(1)


@code_length.mistake(
    "You take the exponentials of the logits themselves: of some hundreds they are infinite, and ∞/∞ is NaN. Use log_softmax."
)
def exponentials_of_logits(logits, indices):
    p = logits.exp() / logits.exp().sum(1, keepdim=True)
    return -p.gather(1, indices[:, None]).log().flatten(1).sum(1)


@code_length.variant
def by_cross_entropy(logits, indices):
    return F.cross_entropy(logits, indices, reduction="none").sum(dim=(1, 2))


@code_length.variant
def by_distributions_(logits, indices):
    return -Categorical(logits=logits.movedim(1, -1)).log_prob(indices).sum((-1, -2))


@code_length.variant
def by_logsumexp_and_one_hot(logits, indices):
    picked = torch.einsum("nkhw,nhwk->n", logits.double(), F.one_hot(indices, logits.shape[1]).double())
    return (logits.double().logsumexp(1).sum((1, 2)) - picked).float()


# --- sample_codes -------------------------------------------------------------------------------------------------------------

sample_codes = Exercise("sample_codes")
sample_codes.edits("""
most_likely_code: `torch.multinomial(probabilities, 1, generator=generator)[:, 0]` → `probabilities.argmax(1)`
    You always take the most likely code, so every call gives the same images. Draw from the probabilities.
temperature_multiplied: `logits / temperature` → `logits * temperature`
    You multiply by the temperature. Dividing is what makes a low temperature careful and a high one bold.
temperature_ignored: `logits / temperature` → `logits`
    `temperature` changes nothing. It divides the *logits*, before the softmax: probabilities divided by T are normalised
    again by multinomial, and are what they were.
generator_ignored: `, generator=generator)` → `)`
    `generator` is not used, so nobody can repeat your draw. Hand it on to torch.multinomial.
labels_not_passed_on: `prior(indices, labels)` → `prior(indices, torch.zeros_like(labels))`
    The labels do not reach the prior: it is asked for the same digit every time.
softmax_over_the_batch: `.softmax(dim=1)` → `.softmax(dim=0)`
    Your softmax runs over the images, dim 0. The probabilities of one image's K codes add up to 1: dim 1.
one_draw_for_all: `torch.multinomial(probabilities, 1, generator=generator)[:, 0]` → `torch.multinomial(probabilities[:1], 1, generator=generator)[:, 0]`
    All images get the code that was drawn for the first one. Draw one for each row of the probabilities.
rows_and_columns_swapped: `[:, :, row, column]` → `[:, :, column, row]`
    You read the logits of one place and fill another: row and column are swapped in one of the two.
sigmoid_for_softmax: `(logits / temperature).softmax(dim=1)` → `(logits / temperature).sigmoid()`
    You take a sigmoid of each logit. The probabilities of the K codes are their softmax.
root_of_the_temperature: `logits / temperature` → `logits / temperature**0.5`
    You divide by the root of the temperature. The logits are divided by T itself.
logits_for_probabilities: `(logits / temperature).softmax(dim=1)` → `(logits / temperature)`
    You hand the logits to `multinomial`, which takes probabilities: their softmax comes in between.
log_probabilities: `.softmax(dim=1)` → `.log_softmax(dim=1)`
    You hand log-probabilities to `multinomial`, which takes the probabilities themselves: softmax.
drawn_from_the_first: `torch.multinomial(probabilities, 1, generator=generator)[:, 0]` → `torch.multinomial(probabilities[0], len(labels), replacement=True, generator=generator)`
    All images are drawn from the probabilities of the first. Each has a row of its own: torch.multinomial(probabilities, 1).
column_of_draws: `torch.multinomial(probabilities, 1, generator=generator)[:, 0]` → `torch.multinomial(probabilities, 1, generator=generator)`
    `multinomial` returns a column, (N, 1), and a place of N grids is (N,): take [:, 0].
first_place_left_0: `indices[:, row, column] = torch.multinomial(probabilities, 1, generator=generator)[:, 0]` → `indices[:, row, column] = torch.multinomial(probabilities, 1, generator=generator)[:, 0] * (row + column > 0)`
    The first place is never drawn, and stays 0. The prior has a distribution for it as well: begin there.
logits_of_the_place_before: `prior(indices, labels)[:, :, row, column]` → `prior(indices, labels).flatten(2)[:, :, max(7 * row + column - 1, 0)]`
    You read the logits of the place before. The masks see to it that those *at* a place depend on what comes before it
    alone: read them where you draw.
first_image_for_all: `return indices` → `return indices[:1].expand(len(labels), -1, -1)`
    All images are the first one once more. Each sample has a grid of its own.
""")


@sample_codes.mistake(
    "Places are drawn without the codes before them: you ask the prior once for all places, or go in another order than the reading order. Ask it again for every place, row by row, with what you have so far."
)
@torch.no_grad()
def all_at_once(prior, labels, generator=None, temperature=1.0):
    logits = prior(torch.zeros(len(labels), 7, 7, dtype=torch.long), labels) / temperature
    flat = logits.softmax(1).permute(0, 2, 3, 1).reshape(-1, logits.shape[1])
    return torch.multinomial(flat, 1, generator=generator).view(-1, 7, 7)


@sample_codes.mistake(
    "You ask the prior once for each row. The codes to the left of a place matter too: ask again for every place."
)
@torch.no_grad()
def once_a_row(prior, labels, generator=None, temperature=1.0):
    indices = torch.zeros(len(labels), 7, 7, dtype=torch.long)
    for row in range(7):
        p = (prior(indices, labels)[:, :, row] / temperature).softmax(1)
        for column in range(7):
            indices[:, row, column] = torch.multinomial(p[:, :, column], 1, generator=generator)[:, 0]
    return indices


@sample_codes.mistake(
    "You fill the grid column by column. The prior was trained in reading order: row by row, and from left to right in each."
)
@torch.no_grad()
def column_by_column(prior, labels, generator=None, temperature=1.0):
    indices = torch.zeros(len(labels), 7, 7, dtype=torch.long)
    for column in range(7):
        for row in range(7):
            p = (prior(indices, labels)[:, :, row, column] / temperature).softmax(1)
            indices[:, row, column] = torch.multinomial(p, 1, generator=generator)[:, 0]
    return indices


@sample_codes.mistake(
    "Without a generator every call gives the same codes: you seed something inside. Draw from the global state then, and seed nothing."
)
def seeded_inside(prior, labels, generator=None, temperature=1.0):
    return reference("sample_codes")(prior, labels, generator or torch.Generator().manual_seed(0), temperature)


@sample_codes.mistake(
    "You draw all places anew in each pass, so that a code no longer fits those that it was drawn after. Draw each place once, in reading order, and keep it."
)
def all_places_again_and_again(prior, labels, generator=None, temperature=1.0):
    indices = torch.zeros(len(labels), 7, 7, dtype=torch.long)
    for _ in range(49):
        p = (prior(indices, labels).detach() / temperature).softmax(1).permute(0, 2, 3, 1).flatten(0, 2)
        indices = torch.multinomial(p, 1, generator=generator).view(-1, 7, 7)
    return indices


@sample_codes.variant
def by_gumbel_noise(prior, labels, generator=None, temperature=1.0):
    grid = torch.zeros(len(labels), 49, dtype=torch.int64)
    with torch.no_grad():
        for place in range(49):
            logits = prior(grid.view(-1, 7, 7), labels).flatten(2)[:, :, place]
            noise = -torch.empty_like(logits).exponential_(generator=generator).log()
            grid[:, place] = (logits / temperature + noise).argmax(-1)
    return grid.view(-1, 7, 7)


@sample_codes.variant
def by_inverse_cdf(prior, labels, generator=None, temperature=1.0):
    n = labels.shape[0]
    indices = torch.randint(0, 3, (n, 7, 7), generator=generator)
    for i in range(7):
        for j in range(7):
            p = torch.softmax(prior(indices.clone(), labels)[..., i, j].detach() / temperature, -1)
            u = torch.rand(n, 1, generator=generator)
            indices[:, i, j] = (p.double().cumsum(-1)[:, :-1] < u).sum(-1)
    return indices


# --- predictions --------------------------------------------------------------------------------------------------------------


predict_kl = Exercise("predict_kl")
predict_kl.wrong_choice("one_place", math.log(32), "That is the cost of one place. There are 7 × 7 of them.")
predict_kl.wrong_choice(
    "in_bits", 49 * 5, "That is in bits, 5 for each place. In nats it is less: the natural logarithm of 32 for each."
)
predict_kl.wrong_choice(
    "forgot_a_side", 7 * math.log(32), "The grid has 7 rows of 7 places, and each place has an index of its own."
)
predict_kl.wrong_choices("""
no_kl: 0
    The loss has no KL term, but that is because the KL is a constant, not because it is 0.
""")
predict_kl.wrong_choice(
    "places_and_codes_swapped",
    32 * math.log(49),
    "Places and codes have changed places: 49 indices, each of which is one of 32.",
)
predict_argmin = Exercise("predict_argmin")
predict_argmin.wrong_choices("""
chose_b: b
    That is what the commitment term does. Here there is only the reconstruction loss, and on a step of the staircase
    moving z a little changes nothing.
chose_c: c
    That is what the straight-through estimator will do. Without it, follow z: it goes into an argmin, and what comes out
    is a whole number.
""")
predict_collapse = Exercise("predict_collapse")
predict_collapse.wrong_choices("""
chose_a: a
    What would make a code drift? Look at the table: the gradient of the codebook term reaches a code only where it is
    the nearest one of some vector.
chose_c: c
    Then every image would be decoded alike, and the reconstruction loss would be that of the average image. The encoder
    is paid for saying more than that.
""")
predict_prior = Exercise("predict_prior")
predict_prior.wrong_choices("""
chose_a: a
    The reconstruction is decoded from c(x), the encoder's own choice. Does the prior take any part in that?
chose_c: c
    The reconstruction is decoded from c(x), the encoder's own choice. Encoder, codebook and decoder are finished: does
    the prior take any part in that?
""")
