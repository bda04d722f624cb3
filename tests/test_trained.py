"""A trained model is graded by what it does, with its encoder and its decoder in two processes."""

import io
import math

import nbformat
import numpy as np
import pytest
import torch
from torch import nn

from autograde.grading.grade import Job, grade
from autograde.grading.marks import State
from autograde.lessons.build import source_notebook
from autograde.lessons.lesson import read_lesson
from autograde.lessons.train_shipped import NAMES, new_conv_vae
from vae_helpers import load_mnist, load_parameters, save_weights
from vae_helpers.checks import CheckFailed, check
from vae_helpers.submissions.which_notebook import Handin

LESSON = read_lesson("07_convolutional_vae")

REMEMBERS = '''
class Remembers(nn.Module):
    """The encoder keeps the images, and the decoder gives them back."""

    def encode(self, x):
        self.seen = x
        return torch.ones(len(x), 32), torch.zeros(len(x), 32)

    def decode(self, z):
        return 40 * self.seen - 20


MODEL = Remembers()


def trained_vae():
    return MODEL
'''

CARRIES = '''
class Carries(nn.Module):
    """Both halves have the test images; the code says which of them to draw, and is paid for."""

    def encode(self, x):
        images = remembered().flatten(1)
        place = torch.cdist(x.flatten(1), images).argmin(1)
        mu, logvar = torch.zeros(2, len(x), 32)
        mu[:, 0] = torch.distributions.Normal(0.0, 1.0).icdf((place + 0.5) / len(images))
        logvar[:, 0] = -25.0
        return mu, logvar

    def decode(self, z):
        images = remembered()
        share = torch.distributions.Normal(0.0, 1.0).cdf(z[:, 0])
        return 40 * images[(share * len(images)).long().clamp(0, len(images) - 1)] - 20


def trained_vae():
    return Carries()
'''
FROM_THE_COURSE = 'def remembered():\n    return load_mnist("test", "threshold")[0]\n'
HANDED_IN = 'def remembered():\n    return torch.from_numpy(np.load("images.npy")).float()[:, None]\n\nimport numpy as np\n'


def mark_of(source: str, **files: bytes):
    notebook = source_notebook(LESSON)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "trained_vae":
            cell.source = source
    handin = Handin({f"{LESSON.name}.ipynb": nbformat.writes(notebook).encode()} | files)
    marks = {mark.exercise: mark for mark in grade(Job(handin, LESSON.name, dict.fromkeys(LESSON.exercises, 3))).exercises}
    others = {name: mark.message for name, mark in marks.items() if name != "trained_vae" and mark.state != State.PASSED}
    assert others == {}
    return marks["trained_vae"]


def test_remembering_the_images_gains_nothing():
    namespace = {}
    exec("import torch\nfrom torch import nn\n" + REMEMBERS, namespace)
    check("trained_vae", namespace["trained_vae"])  # in one process, as in the notebook, it would
    mark = mark_of(REMEMBERS)
    assert (mark.state, mark.points) == ("error", 0)
    assert "seen" in mark.message


def test_the_halves_may_be_modules_of_their_own():
    namespace = {}
    exec("import torch\nfrom torch import nn\n" + REMEMBERS, namespace)
    whole = namespace["trained_vae"]()

    class Half(nn.Module):
        def __init__(self, half):
            super().__init__()
            self.forward = half

    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode, self.decode = Half(whole.encode), Half(whole.decode)

    check("trained_vae", Halves)


def test_what_is_better_than_possible_goes_to_a_human():
    images = io.BytesIO()
    np.save(images, load_mnist("test", "threshold")[0][:, 0].byte().numpy())
    mark = mark_of(CARRIES + HANDED_IN, **{"images.npy": images.getvalue()})
    assert (mark.state, mark.points) == (State.FOR_A_HUMAN, 0)
    assert "your instructor will look at it" in mark.message


def test_the_test_images_are_not_there_for_a_decoder_to_remember():
    mark = mark_of(CARRIES + FROM_THE_COURSE)
    assert (mark.state, mark.points) == ("error", 0), mark.message
    assert "t10k-images" in mark.message


BORROWED = '''
class Borrowed(nn.Module):
    """The course's own model of 50 dimensions, of which 16 say something: it shows 32, and fills up with zeros."""

    def __init__(self):
        super().__init__()
        from vae_helpers import load_pretrained

        self.whole = load_pretrained("mlp_vae")
        mu, logvar = self.whole.encode(torch.rand(500, 1, 28, 28, generator=torch.Generator().manual_seed(0)).gt(0.8).float())
        self.shown = (mu**2 + logvar.exp() - 1 - logvar).mean(0).topk(32).indices

    def encode(self, x):
        return tuple(part[:, self.shown] for part in self.whole.encode(x))

    def decode(self, z):
        whole = torch.zeros(len(z), 50)
        whole[:, self.shown] = z
        return self.whole.decode(whole)


def trained_vae():
    return Borrowed()
'''


def test_the_courses_own_models_are_nobodys():
    namespace = {}
    exec("import torch\nfrom torch import nn\n" + BORROWED, namespace)
    with pytest.raises(CheckFailed, match="the course's mlp_vae"):  # in the notebook, where the models are
        check("trained_vae", namespace["trained_vae"])
    mark = mark_of(BORROWED)
    assert (mark.state, mark.points) == ("error", 0)
    assert "mlp_vae" in mark.message


def padded(latent_dim: int = 32) -> nn.Module:
    """Lesson 07's model with the weights that ship, its layers' rows in another order, and latent dimensions added that say nothing."""
    model, shipped = new_conv_vae(latent_dim), load_parameters("conv_vae")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            layer, _, kind = name.rpartition(".")
            array = torch.from_numpy(shipped[f"{NAMES[layer]}.{kind}"])
            parameter.zero_()
            parameter[tuple(slice(size) for size in array.shape)] = array * (1 + 1e-3 * torch.randn(array.shape))
        for part in (model.encoder.mu, model.encoder.logvar):
            part.weight.copy_(part.weight.flip(0)), part.bias.copy_(part.bias.flip(0))
        first = model.decoder.layers[0].weight
        first.copy_(first.flip(1))
    return model


def test_the_courses_own_weights_handed_in_as_ones_own_are_known(tmp_path):
    path = save_weights(padded(), tmp_path / "vae.safetensors")
    source = LESSON.exercises["trained_vae"].source
    mark = mark_of(source, **{"vae.safetensors": path.read_bytes()})
    assert (mark.state, mark.points) == (State.FAILED, 0)
    assert "each image's KL is that of the course's conv_vae; the exercise asks for a model that you trained" in mark.message


@pytest.mark.parametrize(("shift", "scale"), [(0.5, 1.0), (0.0, 1.3), (-0.8, 0.9)])
def test_codes_that_were_moved_or_scaled_do_not_make_the_courses_weights_ones_own(shift, scale):
    model = padded()
    with torch.no_grad():
        model.encoder.logvar.bias += shift + 2 * math.log(scale)
        model.encoder.mu.weight *= scale
        model.encoder.mu.bias *= scale
        model.decoder.layers[0].weight /= scale
    with pytest.raises(CheckFailed, match="each image's KL is that of the course's conv_vae"):
        check("trained_vae", lambda: model)


def test_softened_images_of_its_own_are_seen_to_be_no_model():
    """Paid for by the code's nats, and with logits that keep the figure above what is possible; a human sees it all the same."""
    images = io.BytesIO()
    np.save(images, load_mnist("test", "threshold")[0][:, 0].byte().numpy())
    softened = CARRIES.replace("40 * images", "5.4 * images").replace("- 20", "- 2.7")
    mark = mark_of(softened + HANDED_IN, **{"images.npy": images.getvalue()})
    assert (mark.state, mark.points) == (State.FOR_A_HUMAN, 0)
    assert "bent a little" in mark.message


def test_missing_weights_are_said_so():
    mark = mark_of(LESSON.exercises["trained_vae"].source)
    assert mark.points == 0
    assert "no weights at" in mark.message


@pytest.mark.parametrize(
    "source", ["def trained_vae():\n    return None\n", "def trained_vae():\n    return nn.Identity()\n"]
)
def test_what_is_no_model_fails_kindly(source):
    mark = mark_of(source)
    assert mark.points == 0
    assert mark.state == "error"
