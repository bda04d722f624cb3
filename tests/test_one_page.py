"""solutions/vae.py, the whole VAE on one page: short, by itself, equal to lesson 07's, and it runs."""

import ast
import importlib.util
import re
import subprocess
import sys

import pytest
import torch
from matplotlib.image import imread

from autograde.lessons.lesson import ROOT, read_lesson
from autograde.lessons.solutions import reference_namespace
from vae_helpers import load_mnist

PAGE = ROOT / "solutions" / "vae.py"


@pytest.fixture
def page():
    spec = importlib.util.spec_from_file_location("one_page", PAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_fits_on_a_page_and_needs_pytorch_and_the_data_loader_alone():
    text = PAGE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    imported = {
        f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    not_pytorch = {name for name in imported if name.split(".")[0] not in ("torch", "torchvision", *sys.stdlib_module_names)}
    assert not_pytorch == {"vae_helpers.load_mnist"}


def test_its_elbo_is_minus_the_loss_of_lesson_07(page):
    vae = page.VAE(latent_dim=5)
    x = load_mnist("test", binarize="threshold")[0][:7]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        elbo = vae.elbo(x)
        torch.manual_seed(1)
        eps = torch.randn(7, 5)
    lesson = reference_namespace(read_lesson("07_convolutional_vae"))
    mu, logvar = vae.encoder(x).split(5, dim=1)
    logits = vae.decoder(lesson["reparameterize"](mu, logvar, eps))
    assert elbo.shape == (7,)
    assert -elbo.mean().item() == pytest.approx(lesson["vae_loss"](x, logits, mu, logvar).item(), rel=1e-5)


def test_twenty_steps_teach_it_something_and_leave_a_picture(tmp_path):
    command = [sys.executable, str(PAGE), "--epochs", "1", "--steps", "20", "--output", "samples.png"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    nats = float(re.search(r"([0-9.]+) nats", ended.stdout)[1])
    assert 100 < nats < 350  # where 784 pixels cost 543 before anything is learned
    picture = imread(tmp_path / "samples.png")
    assert picture.shape[:2] == (302, 302) and picture.std() > 0.05


@pytest.mark.parametrize("options", [["--epochs", "0"], ["--steps", "-1"]])
def test_bad_options_are_told_in_a_line(page, options, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["vae.py", *options])
    with pytest.raises(SystemExit) as stopped:
        page.main()
    assert stopped.value.code == 2 and "at least 1 is needed" in capsys.readouterr().err
