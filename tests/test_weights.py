"""The weights that ship with the course, and the command that trains them again."""

import re

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from autograde import __main__ as command
from autograde.lessons import train_shipped
from vae_helpers import evaluate_elbo, load_mnist, load_parameters, load_pretrained, pretrained

D = 16
SHAPES = {  # the table of lessons 05 and 06
    "encoder.conv1": (32, 1, 3, 3),
    "encoder.conv2": (64, 32, 3, 3),
    "encoder.hidden": (256, 3136),
    "encoder.mu": (D, 256),
    "encoder.logvar": (D, 256),
    "decoder.hidden": (256, D),
    "decoder.grid": (3136, 256),
    "decoder.conv1": (64, 32, 3, 3),
    "decoder.conv2": (32, 1, 3, 3),
}
BIASES = {"decoder.conv1": 32, "decoder.conv2": 1}  # a transposed convolution's outputs are its second axis


def assert_is_the_table(arrays):
    shapes = {f"{layer}.weight": shape for layer, shape in SHAPES.items()}
    shapes |= {f"{layer}.bias": (BIASES.get(layer, shape[0]),) for layer, shape in SHAPES.items()}
    assert {name: array.shape for name, array in arrays.items()} == shapes
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays.values())


def test_shipped_parameters_are_those_of_the_table_and_can_be_changed():
    params = load_parameters("conv_vae")
    assert_is_the_table(params)
    assert list(params) == sorted(params)
    params["encoder.mu.bias"] += 1
    assert not np.array_equal(load_parameters("conv_vae")["encoder.mu.bias"], params["encoder.mu.bias"])
    assert torch.from_numpy(params["encoder.mu.bias"]).shape == (D,)


def test_unknown_parameters_get_one_line():
    with pytest.raises(FileNotFoundError, match=r'no parameters at .*nobody.*load_parameters\("conv_vae"\)') as caught:
        load_parameters("nobody")
    assert "\n" not in str(caught.value)


def test_the_command_writes_both_files(tmp_path, capsys):
    before = torch.get_rng_state()
    assert command.main(["train", "conv_vae", "--epochs", "0.005", "--folder", str(tmp_path)]) == 0
    assert torch.equal(torch.get_rng_state(), before)
    printed = capsys.readouterr().out
    assert "conv_vae.safetensors: 6.6 MB" in printed and "after 0.005 epochs" in printed
    assert_is_the_table(load_file(tmp_path / "conv_vae.safetensors"))
    outputs = load_file(tmp_path / "conv_vae_outputs.safetensors")
    shapes = {"eps": (64, D), "mu": (64, D), "logvar": (64, D), "logits": (64, 1, 28, 28), "elbo": (64,)}
    assert {name: array.shape for name, array in outputs.items()} == shapes


def run_train(name, few, train, folder, monkeypatch):
    """Run the command where MNIST is these few images, with a model that is trained here first; returns the model."""
    monkeypatch.setattr(pretrained, "SHIPPED", folder)
    monkeypatch.setattr(train_shipped, "load_mnist", lambda *args, **kwargs: few)
    made = train()
    monkeypatch.setitem(train_shipped.TRAINING, name, (lambda epochs: made, 1))
    assert command.main(["train", name]) == 0
    return made


def test_the_command_trains_saves_and_prints_the_elbo(tmp_path, monkeypatch, capsys):
    x, y = (part[:600] for part in load_mnist("test", binarize="threshold"))

    def train():
        return train_shipped.train_explorer(epochs=1, progress=False)

    made = run_train("explorer", (x, y), train, tmp_path, monkeypatch)
    printed = float(re.search(r"(-[\d.]+) nats", capsys.readouterr().out)[1])
    assert -543 < printed < -100  # better than a fair coin after five steps
    assert evaluate_elbo(load_pretrained("explorer"), x).elbo.mean().item() == pytest.approx(printed, abs=0.06)
    again = train()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in made.state_dict().items())


def test_the_command_trains_the_classifier_and_prints_the_accuracy(tmp_path, monkeypatch, capsys):
    x, y = (part[:1280] for part in load_mnist("test"))

    def train():
        return train_shipped.train_classifier(epochs=2, progress=False)

    made = run_train("classifier", (x, y), train, tmp_path, monkeypatch)
    printed = [float(share) for share in re.findall(r"([\d.]+)%", capsys.readouterr().out)]
    right = (load_pretrained("classifier")(x).argmax(1) == y).float().mean().item()
    assert printed == pytest.approx([100 * right] * 2, abs=0.01)
    assert right > 0.3  # better than a guess after twenty steps
    again = train()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in made.state_dict().items())


@pytest.mark.parametrize("words", [["conv_vae", "--folder", "/nowhere"], ["explorer", "--epochs", "0"], ["nobody"]])
def test_bad_input_gets_one_line_before_any_training(words, capsys):
    assert command.main(["train", *words]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "explorer" in said or words != ["nobody"]


def test_the_command_says_which_models_there_are(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["train"])
    assert ended.value.code == 2
    assert "|".join(train_shipped.TRAINING) in capsys.readouterr().err
