"""`fit` trains any module with any loss, reports what it saw, and stops cleanly."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vae_helpers import History, fit, plot_history


def line_data(n: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """y = 2x − 1 with no noise."""
    x = torch.linspace(-1, 1, n).unsqueeze(1)
    return x, 2 * x - 1


def squared_error(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (model(x) - y).pow(2).mean()


def linear(seed: int = 0) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(1, 1)


def parameters(module: nn.Module) -> list[float]:
    return torch.cat([p.detach().flatten() for p in module.parameters()]).tolist()


class Batches:
    """A loss that notes the batches that it is given."""

    def __init__(self):
        self.seen = []

    def __call__(self, model: nn.Module, *batch: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(part.clone() for part in batch))
        return sum((p**2).sum() for p in model.parameters())


def test_learns_a_line():
    model = linear()
    history = fit(model, squared_error, line_data(), epochs=40, batch_size=20, lr=0.05, progress=False)
    assert parameters(model) == pytest.approx([2, -1], abs=0.02)
    assert isinstance(history, History)
    assert not history.interrupted
    assert history.terms["loss"][-1] < 1e-3 < history.terms["loss"][0]


def test_any_module_any_loss_a_single_tensor():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.value = nn.Parameter(torch.zeros(3))

    target = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) + torch.tensor([1.0, 2.0, 3.0])
    model = Mean()
    fit(model, lambda m, x: (x - m.value).pow(2).sum(1).mean(), target, epochs=30, batch_size=50, lr=0.1, progress=False)
    assert model.value.detach().numpy() == pytest.approx(target.mean(0).numpy(), abs=0.1)


def test_reports_every_term_averaged_and_minimises_loss_only():
    model = linear()
    model.requires_grad_(True)

    def loss(model, x, y):
        return {"loss": squared_error(model, x, y), "seven": torch.tensor(7.0), "rows": len(x)}

    history = fit(model, loss, line_data(100), epochs=2, batch_size=10, lr=1e-3, progress=False)
    assert set(history.terms) == {"loss", "seven", "rows"}
    assert set(history.terms["seven"]) == {7.0}
    assert set(history.terms["rows"]) == {10.0}


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 60), batch_size=st.integers(1, 70), epochs=st.floats(0.3, 3.2))
def test_batches_cut_the_data_up_and_the_history_fits(n, batch_size, epochs):
    per_epoch = math.ceil(n / batch_size)
    steps = round(epochs * per_epoch)
    rows, model, loss = torch.arange(n), linear(), Batches()
    if steps == 0:
        with pytest.raises(ValueError, match="no training step"):
            fit(model, loss, rows, epochs=epochs, batch_size=batch_size, progress=False)
        return
    history = fit(model, loss, (rows, rows * 10), epochs=epochs, batch_size=batch_size, progress=False)
    assert len(loss.seen) == steps
    assert all(torch.equal(a * 10, b) for a, b in loss.seen)  # the parts of a tuple stay together
    for start in range(0, steps, per_epoch):
        epoch = torch.cat([batch[0] for batch in loss.seen[start : start + per_epoch]]).tolist()
        assert len(set(epoch)) == len(epoch)  # nothing twice in an epoch
        if start + per_epoch <= steps:
            assert sorted(epoch) == list(range(n))  # and nothing left out of a whole one
            assert len(loss.seen[start + per_epoch - 1][0]) == (n - 1) % batch_size + 1  # the last batch: what is left
    # One length for everything that is recorded; images seen grow up to about epochs · n.
    assert all(len(values) == len(history.seen) for values in history.terms.values())
    assert history.seen == sorted(history.seen)
    assert 0 < history.seen[-1] <= math.ceil(epochs * n)
    assert len(history.seen) <= 201


def test_epochs_come_in_different_orders():
    loss = Batches()
    fit(linear(), loss, torch.arange(50), epochs=2, batch_size=50, progress=False)
    first, second = (batch[0].tolist() for batch in loss.seen)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(50))


def test_same_generator_seed_same_model_whatever_the_global_seed():
    made = []
    for global_seed, seed in ((1, 5), (2, 5), (3, 6)):
        torch.manual_seed(global_seed)
        model = linear()
        generator = torch.Generator().manual_seed(seed)
        fit(model, squared_error, line_data(), epochs=2, batch_size=16, generator=generator, progress=False)
        made.append(parameters(model))
    assert made[0] == made[1] != made[2]


def test_test_values_once_an_epoch_without_training_on_them():
    x, y = line_data(100)
    modes = []

    def loss(model, x, y):
        modes.append((model.training, torch.is_grad_enabled(), len(x)))
        return squared_error(model, x, y)

    model = linear()
    history = fit(model, loss, (x, y), epochs=2.5, batch_size=25, test=(x[:7] + 9, y[:7]), progress=False)
    assert len(history.test["loss"]) == len(history.test_seen) == 3  # two whole epochs and the half
    assert history.test_seen == sorted(history.test_seen)
    assert [mode for mode in modes if mode[2] == 7] == [(False, False, 7)] * 3
    assert [mode for mode in modes if mode[2] == 25] == [(True, True, 25)] * 10
    assert history.test["loss"][-1] == pytest.approx(squared_error(model, x[:7] + 9, y[:7]).item(), rel=1e-5)


def test_test_values_are_means_over_images_not_over_batches():
    values = torch.cat([torch.zeros(1000), torch.ones(500)])  # evaluated in parts of unequal size
    model = linear()

    def loss(model, x):
        return x.float().mean() + 0 * sum(p.sum() for p in model.parameters())

    history = fit(model, loss, torch.zeros(4), batch_size=4, test=values, progress=False)
    assert history.test["loss"] == [pytest.approx(1 / 3)]


def test_model_ends_in_evaluation_mode_and_trains_in_training_mode():
    model = nn.Sequential(nn.Linear(1, 4), nn.Dropout(), nn.Linear(4, 1)).eval()
    modes = []

    def loss(model, x, y):
        modes.append(model.training)
        return squared_error(model, x, y)

    fit(model, loss, line_data(), batch_size=50, progress=False)
    assert modes == [True] * 4
    assert not model.training


def test_stop_button_keeps_the_model_and_the_history(capsys):
    model, steps = linear(), []

    def loss(model, x, y):
        if len(steps) == 30:
            raise KeyboardInterrupt
        steps.append(parameters(model))
        return squared_error(model, x, y)

    history = fit(model, loss, line_data(), epochs=10, batch_size=20, lr=0.05, progress=False)
    assert history.interrupted
    assert not model.training
    assert parameters(model) != steps[0]
    assert len(history.seen) == len(history.terms["loss"]) > 0
    assert history.seen[-1] <= 30 * 20
    assert "30" in capsys.readouterr().out


def test_a_stop_in_the_first_moments_leaves_something_to_draw():
    steps = []

    def loss(model, x, y):
        steps.append(None)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return squared_error(model, x, y)

    history = fit(linear(), loss, line_data(), epochs=1000, batch_size=20, progress=False)
    assert history.interrupted
    assert history.seen == [60]
    assert len(plot_history(history, terms=("loss",)).axes) == 1


def test_model_and_data_keep_layout_dtype_and_the_global_switches():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.out = nn.Conv2d(2, 3, 3, padding=1), nn.Linear(3 * 64, 1)

        def forward(self, x):
            h = self.conv(x)
            seen.append((x.is_contiguous(), h.is_contiguous(), h.dtype, self.conv.weight.stride()))
            return self.out(h.view(h.size(0), -1))  # of a channels-last tensor there is no such view

    def switches():
        kinds = [getattr(torch.backends.mkldnn, kind, None) for kind in ("conv", "matmul")]
        return [getattr(kind, "fp32_precision", None) for kind in kinds], torch.get_num_threads(), torch.get_default_dtype()

    seen, model, before = [], Net(), switches()
    strides = model.conv.weight.stride()
    during = []

    def loss(model, x):
        during.append(switches())
        return model(x).pow(2).mean()

    fit(model, loss, torch.randn(8, 2, 8, 8), batch_size=4, progress=False)
    assert seen == [(True, True, torch.float32, strides)] * 2
    assert during == [before] * 2 and switches() == before


def test_batches_go_to_the_device_of_the_parameters():
    class Elsewhere(nn.Module):
        def __init__(self):
            super().__init__()
            self.value = nn.Parameter(torch.zeros(3, device="meta"))

    devices = []

    def loss(model, x):
        devices.append(x.device.type)
        raise KeyboardInterrupt  # nothing can be computed there

    fit(Elsewhere(), loss, torch.zeros(4, 3), progress=False)
    assert devices == ["meta"]


def test_a_model_without_parameters_is_told_so():
    with pytest.raises(ValueError, match="empty parameter list"):
        fit(nn.Identity(), squared_error, line_data(), progress=False)


def test_stop_before_the_first_step_is_no_error():
    def loss(model, x):
        raise KeyboardInterrupt

    history = fit(linear(), loss, torch.zeros(3), progress=False)
    assert history.interrupted
    assert history.seen == []


def test_other_errors_of_the_loss_come_through():
    def loss(model, x):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        fit(linear(), loss, torch.zeros(3), progress=False)


def test_nan_loss_is_one_line_that_says_where_to_look():
    def loss(model, x, y):
        return squared_error(model, x, y).sub(10).log()

    with pytest.raises(ValueError) as caught:
        fit(linear(), loss, line_data(), progress=False)
    assert "NaN" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"data": torch.zeros(0, 1)}, "at least one"),
        ({"data": (torch.zeros(3, 1), torch.zeros(4, 1))}, r"\[3, 4\]"),
        ({"epochs": 0}, "epochs=0"),
        ({"epochs": -1}, "epochs=-1"),
    ],
)
def test_bad_data_or_epochs_get_one_line(arguments, words):
    model = linear()
    before = parameters(model)
    call = {"data": line_data(), "progress": False, **arguments}
    with pytest.raises(ValueError, match=words) as caught:
        fit(model, squared_error, call.pop("data"), **call)
    assert "\n" not in str(caught.value)
    assert parameters(model) == before


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda model, x, y: (model(x) - y).pow(2), "scalar"),
        (lambda model, x, y: {"kl": squared_error(model, x, y)}, "'loss'"),
        (lambda model, x, y: squared_error(model, x, y).item(), "a float; expected a tensor"),
    ],
)
def test_bad_loss_gets_one_line(wrong, words):
    with pytest.raises(ValueError, match=words) as caught:
        fit(linear(), wrong, line_data(), progress=False)
    assert "\n" not in str(caught.value)


def test_progress_can_be_seen_and_silenced(capfd):
    fit(linear(), squared_error, line_data(), progress=False)
    assert capfd.readouterr() == ("", "")
    fit(linear(), squared_error, line_data(), progress=True)
    shown = capfd.readouterr()
    assert "loss=" in shown.out + shown.err
