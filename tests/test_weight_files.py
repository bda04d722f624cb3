"""Weights are found by their name, wherever the student's path pointed."""

import pytest
import torch
from safetensors.torch import load_file
from test_exchange import trained_weights
from test_trained import mark_of

from vae_helpers.submissions.weight_files import by_name

PATHS = [
    "vae.safetensors",
    "./vae.safetensors",
    ".\\vae.safetensors",
    "../x/vae.safetensors",
    "/content/drive/MyDrive/course/vae.safetensors",
    "C:\\Users\\ada\\vae.safetensors",
    "C:/Users/ada/VAE.safetensors",
    "runs/vae (2).safetensors",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "handed_in", ["vae.safetensors", "vae (1).safetensors", "models/vae.safetensors", "Vae(1).safetensors"]
)
def test_a_file_of_that_name_is_found(tmp_path, path, handed_in):
    (tmp_path / "models").mkdir()
    for name in (handed_in, "my_vae.safetensors", "vae.pt", "vae"):
        (tmp_path / name).touch()
    assert by_name(path, tmp_path) == tmp_path / handed_in


def test_the_one_called_just_so_comes_first_and_what_is_there_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "deeper").mkdir(parents=True)
    for name in ("vae (1).safetensors", "models/vae.safetensors", "models/deeper/vae.safetensors"):
        (tmp_path / name).touch()
    assert by_name("/content/vae.safetensors", tmp_path) == tmp_path / "models" / "vae.safetensors"
    assert str(by_name("models/deeper/vae.safetensors", tmp_path)) == "models/deeper/vae.safetensors"
    assert str(by_name("/content/other.safetensors", tmp_path)) == "/content/other.safetensors"


LOADS = """
def trained_vae():
    {imports}
    model = VAE(latent_dim=32)
    {load}
    return model.eval()
"""


@pytest.mark.parametrize(
    ("imports", "load"),
    [
        ("pass", "load_weights(model, '/content/drive/MyDrive/vae.safetensors')"),
        ("import safetensors.torch as s", "model.load_state_dict(s.load_file(filename=r'C:\\Users\\ada\\vae.safetensors'))"),
        ("pass", "model.load_state_dict(torch.load('../runs/vae.pt'))"),
    ],
    ids=["load_weights", "load_file", "torch.load"],
)
def test_a_model_saved_elsewhere_gets_its_mark(tmp_path, imports, load):
    trained_weights(tmp_path)
    file = tmp_path / "vae.safetensors"
    torch.save(load_file(file), tmp_path / "vae.pt")
    files = {f"models/{p.stem} (1){p.suffix}": p.read_bytes() for p in (file, tmp_path / "vae.pt")}
    mark = mark_of(LOADS.format(imports=imports, load=load), **files)
    assert mark.points == mark.max_points == 4, mark.message
