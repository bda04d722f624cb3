"""Lesson 12's references against oracles that share no code with them."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autograde import judge
from autograde.catalogue import find_exercise, reference

QUICK = settings(deadline=None, max_examples=40)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def finite_differences(f, at: torch.Tensor, step: float = 1e-6) -> torch.Tensor:
    """The gradient of the scalar f at `at`, number by number."""
    gradient = torch.zeros_like(at)
    for i in range(at.numel()):
        move = torch.zeros_like(at).view(-1)
        move[i] = step
        move = move.view_as(at)
        gradient.view(-1)[i] = (f(at + move) - f(at - move)) / (2 * step)
    return gradient


# The nearest code


@QUICK
@given(m=st.integers(1, 9), k=st.integers(1, 7), d=st.integers(1, 5), seed=st.integers(0, 99))
def test_no_code_is_nearer_than_the_nearest(m, k, d, seed):
    z, codebook = normal(m, d, seed=seed), normal(k, d, seed=seed + 1)
    found = reference("nearest_codes")(z, codebook)
    assert found.shape == (m,) and found.dtype == torch.int64
    for row, index in zip(z.tolist(), found.tolist(), strict=True):
        distances = [math.dist(row, code) for code in codebook.tolist()]
        assert distances[index] == pytest.approx(min(distances), abs=1e-9)


def test_the_memory_that_nearest_codes_takes_is_told_and_costs_nothing():
    told = "on the way you make an array"
    for answer in ("all_differences", "in_chunks_in_float64", "by_numpy"):
        verdict = judge("nearest_codes", find_exercise("nearest_codes").variants[answer])
        assert verdict.passed
        assert (told in verdict.message) == (answer == "all_differences")
    by_numpy = judge(
        "nearest_codes",
        lambda z, c: torch.from_numpy(((z.detach().numpy()[:, None] - c.detach().numpy()) ** 2).sum(2).argmin(1)),
    )
    assert by_numpy.passed and told in by_numpy.message


# Straight-through and the loss: what flows, by finite differences of functions in which the stopped side is held fixed


def test_straight_through_has_the_value_of_one_and_the_gradient_of_the_other():
    z, z_q, weights = normal(4, 3, seed=1).requires_grad_(), normal(4, 3, seed=2).requires_grad_(), normal(4, 3, seed=3)
    out = reference("straight_through")(z, z_q)
    np.testing.assert_allclose(out.detach().numpy(), z_q.detach().numpy(), atol=1e-12)
    to_z, to_z_q = torch.autograd.grad((weights * out.square()).sum(), (z, z_q), allow_unused=True)
    # The decoder's gradient is taken where the decoder stands: at z_q.
    np.testing.assert_allclose(to_z.numpy(), (2 * weights * z_q).detach().numpy(), atol=1e-12)
    assert to_z_q is None or not to_z_q.any()


@QUICK
@given(m=st.integers(1, 4), d=st.integers(1, 4), commitment=st.floats(0, 3), seed=st.integers(0, 99))
def test_each_side_of_the_loss_moves_by_its_own_term(m, d, commitment, seed):
    z, z_q = normal(m, d, seed=seed), normal(m, d, seed=seed + 1)
    a, b = z.clone().requires_grad_(), z_q.clone().requires_grad_()
    loss = reference("vq_loss")(a, b, commitment)
    squared = sum(math.dist(p, q) ** 2 for p, q in zip(z.tolist(), z_q.tolist(), strict=True)) / m
    assert loss.item() == pytest.approx((1 + commitment) * squared)
    to_z, to_z_q = torch.autograd.grad(loss, (a, b))

    def mean_squared(x, y):
        return ((x - y) ** 2).sum() / m

    torch.testing.assert_close(
        to_z, finite_differences(lambda v: commitment * mean_squared(v, z_q), z), atol=1e-6, rtol=1e-5
    )
    torch.testing.assert_close(to_z_q, finite_differences(lambda v: mean_squared(z, v), z_q), atol=1e-6, rtol=1e-5)


def test_the_layer_does_to_every_place_what_one_vector_gets():
    torch.manual_seed(0)
    layer = reference("VectorQuantizer")(6, 3).double()
    z = normal(2, 3, 4, 5, seed=1).requires_grad_()
    weights = normal(2, 3, 4, 5, seed=2)
    z_q, indices, loss = layer(z)
    codebook = layer.codebook.detach()
    squared, moved = [], torch.zeros_like(codebook)
    for n, h, w in itertools.product(range(2), range(4), range(5)):
        vector = z.detach()[n, :, h, w]
        nearest = min(range(6), key=lambda k: math.dist(vector.tolist(), codebook[k].tolist()))
        assert indices[n, h, w] == nearest
        np.testing.assert_allclose(z_q.detach()[n, :, h, w].numpy(), codebook[nearest].numpy(), atol=1e-12)
        squared.append(math.dist(vector.tolist(), codebook[nearest].tolist()) ** 2)
        moved[nearest] += 2 * (codebook[nearest] - vector) / 40
    assert loss.item() == pytest.approx(1.25 * sum(squared) / 40)
    torch.testing.assert_close(layer.lookup(indices), z_q)
    (of_the_output,) = torch.autograd.grad((weights * z_q).sum(), z, retain_graph=True)
    torch.testing.assert_close(of_the_output, weights)
    to_z, to_codes = torch.autograd.grad(loss, (z, layer.codebook))
    torch.testing.assert_close(to_codes, moved)
    torch.testing.assert_close(to_z, 0.25 * 2 * (z - z_q).detach() / 40)


# How many codes are in use


@QUICK
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_perplexity_is_the_product_of_shares_to_their_powers(indices):
    shares = [indices.count(k) / len(indices) for k in set(indices)]
    expected = math.prod(p**-p for p in shares)
    assert float(reference("perplexity")(torch.tensor(indices), 6)) == pytest.approx(expected, rel=1e-5)
    assert 1 - 1e-5 <= expected <= len(set(indices)) + 1e-9


def test_many_updates_with_the_same_batch_arrive_at_the_means():
    z, indices = normal(30, 2, seed=3), torch.arange(30) % 3
    codebook, counts, sums = normal(4, 2), torch.rand(4, dtype=torch.float64) + 0.5, normal(4, 2, seed=2)
    counts[3], sums[3] = 0, 0  # a code that never had any vector
    new, n, total = codebook, counts, sums
    for _ in range(400):
        new, n, total = reference("ema_update")(new, n, total, z, indices, 0.9)
    for k in range(3):
        np.testing.assert_allclose(new[k].numpy(), np.mean(z.numpy()[k::3], axis=0), atol=1e-9)
    np.testing.assert_allclose(n.numpy(), [10, 10, 10, 0], atol=1e-9)
    assert torch.equal(new[3], codebook[3])


@QUICK
@given(decay=st.floats(0, 0.99), seed=st.integers(0, 50))
def test_averages_are_weighted_sums_of_the_past(decay, seed):
    """Unrolled: after T batches the weight of batch t is (1 − decay) · decay^(T − t), and of the start decay^T."""
    batches = [(normal(5, 2, seed=seed + t), torch.tensor([0, 1, 2, (seed + t) % 3, 0])) for t in range(4)]
    codebook, counts, sums = normal(3, 2), torch.ones(3, dtype=torch.float64), normal(3, 2, seed=7)
    new, n, total = codebook, counts, sums
    for z, indices in batches:
        new, n, total = reference("ema_update")(new, n, total, z, indices, decay)
    for k in range(3):
        weights = [(1 - decay) * decay ** (3 - t) for t in range(4)]
        expected_n = decay**4 + sum(w * (i == k).sum().item() for w, (_, i) in zip(weights, batches, strict=True))
        expected = decay**4 * sums[k] + sum(w * z[i == k].sum(0) for w, (z, i) in zip(weights, batches, strict=True))
        assert n[k].item() == pytest.approx(expected_n)
        torch.testing.assert_close(total[k], expected)
        torch.testing.assert_close(new[k], expected / expected_n)


# The prior


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
def test_a_masked_convolution_sees_the_past_and_no_more(kernel_size):
    """By what a convolution does, not by its mask: move one input, and see which outputs move."""
    for kind in "AB":
        kernel = reference("pixelcnn_mask")(kind, kernel_size)[None, None].double()
        reach, grid = kernel_size // 2, torch.zeros(1, 1, 9, 9, dtype=torch.float64)
        for i, j in itertools.product(range(2, 7), range(2, 7)):
            grid.zero_()[0, 0, i, j] = 1
            moved = torch.nn.functional.conv2d(grid, kernel, padding=reach)[0, 0]
            for a, b in itertools.product(range(9), range(9)):
                near = abs(a - i) <= reach and abs(b - j) <= reach
                earlier = 9 * i + j < 9 * a + b or (kind == "B" and (i, j) == (a, b))
                assert bool(moved[a, b]) == (near and earlier)
    with pytest.raises(ValueError, match="'C'"):
        reference("pixelcnn_mask")("C", 3)


def test_code_lengths_of_all_grids_make_a_distribution():
    logits = normal(1, 3, 2, 2, seed=5)
    grids = torch.tensor(list(itertools.product(range(3), repeat=4))).view(-1, 2, 2)
    lengths = reference("code_length")(logits.expand(len(grids), -1, -1, -1), grids)
    assert lengths.shape == (81,)
    assert math.fsum(math.exp(-length) for length in lengths.tolist()) == pytest.approx(1)
    shares = logits[0].exp() / logits[0].exp().sum(0)
    for grid, length in zip(grids.tolist(), lengths.tolist(), strict=True):
        p = math.prod(shares[grid[i][j], i, j].item() for i in range(2) for j in range(2))
        assert length == pytest.approx(-math.log(p))


def test_samples_have_the_probabilities_that_the_chain_rule_gives_them():
    """A prior in which each code depends on its left neighbour and on the label: the joint of two neighbours is known."""
    first, step = normal(2, 3, seed=1), normal(2, 3, 3, seed=2)  # of each label

    def prior(indices, labels):
        logits = step[labels[:, None, None], torch.nn.functional.pad(indices, (1, 0))[:, :, :-1]]  # (N, 7, 7, 3)
        logits[:, :, 0] = first[labels][:, None]
        return logits.permute(0, 3, 1, 2)

    for temperature in (1.0, 0.6):
        labels = torch.arange(2).repeat(600)
        drawn = reference("sample_codes")(prior, labels, torch.Generator().manual_seed(1), temperature)
        for label in (0, 1):
            p = np.exp(first[label].numpy() / temperature)
            q = np.exp(step[label].numpy() / temperature)
            joint = (p / p.sum())[:, None] * q / q.sum(1, keepdims=True)
            rows = drawn[labels == label].reshape(-1, 7)  # 4,200 independent rows
            for a, b in itertools.product(range(3), range(3)):
                share = ((rows[:, 0] == a) & (rows[:, 1] == b)).double().mean().item()
                assert share == pytest.approx(joint[a, b], abs=6 * 0.5 / len(rows) ** 0.5)


# Predictions


def test_the_divergence_from_a_uniform_prior():
    """Summed over all grids of a smaller model: q is 1 at one grid, and 0 · log 0 = 0 elsewhere."""
    k, places = 3, 4
    p = 1 / k**places
    kl = math.fsum(q * math.log(q / p) for q in [1.0, *[0.0] * (k**places - 1)] if q)
    assert kl == pytest.approx(places * math.log(k))
    assert reference("predict_kl") == pytest.approx(math.log(32**49), rel=1e-9)


def test_without_straight_through_nothing_reaches_the_encoder():
    z = normal(5, 2).requires_grad_()
    codebook = normal(3, 2, seed=1)
    decoded = codebook[reference("nearest_codes")(z, codebook)].square().sum()
    assert reference("predict_argmin") == "a" and not decoded.requires_grad
