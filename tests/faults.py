"""The corpus of faults: what students hand in that a grader must survive, and the state and mark that each must get.

Every entry is a submission of one lesson, right but for the exercise under attack, and is made as a real folder. How an entry's
function makes it is in its decorator:

    @honest   a cell before the right answer: it costs nothing
    @trick    a cell after a wrong answer: it earns nothing
    @spy      the body of a function that looks for something it must not see; where it finds it, the answer becomes right
    @body     what the answer does when it is called
    @cell     the whole cell
    @notebook an edit of the notebook
    @folder   an edit of the folder, in which the right notebook lies already
"""

import io
import json
import os
import socket
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from autograde.catalogue import find_exercise
from autograde.grading.marks import State
from autograde.lessons.build import NOTEBOOKS, check_id
from autograde.lessons.lesson import read_lesson
from vae_helpers.checks import answer_key
from vae_helpers.checks.observation import Fact
from vae_helpers.submissions.submission import assemble
from vae_helpers.submissions.which_notebook import Handin

ERROR, FAILED, GRADED, MISSING, OUT_OF_MEMORY, PASSED, TIME_OUT, UNREADABLE = (
    State.ERROR,
    State.FAILED,
    State.GRADED,
    State.MISSING,
    State.OUT_OF_MEMORY,
    State.PASSED,
    State.TIME_OUT,
    State.UNREADABLE,
)

LESSON = read_lesson("03_kl_divergence")
NAME = f"{LESSON.name}.ipynb"
ATTACKED = "gaussian_kl"
ALL = sum(cell.points for cell in LESSON.exercises.values())


def without(*lost: str) -> int:
    """The points of the other exercises: derived, so that another exercise in the lesson changes nothing here."""
    return sum(cell.points for name, cell in LESSON.exercises.items() if name not in lost)


def seen_of(name: str) -> list[Fact]:
    """What an exercise's probe sees of the right answer."""
    return answer_key(name)[0]


# An exercise is probed where its check stands: what comes before the attacked one is not touched.
FOLLOWING = list(LESSON.exercises)[list(LESSON.exercises).index(ATTACKED) :]
SYMBOLIC = [name for name in FOLLOWING if find_exercise(name).symbolic]
WITH_INPUTS = [name for name in FOLLOWING if not name.startswith("predict_")]
OF_FIVE_ROWS = [name for name in FOLLOWING if any(np.shape(f.value) == (5,) for f in seen_of(name) if f.what == "result")]
WITH_THE_SAME_CALLS = [name for name in FOLLOWING if {f.place for f in seen_of(name)} & {f.place for f in seen_of(ATTACKED)}]
MARKER = "vae-fault"  # in the name of every file, and the command of every process, that an entry leaves behind

RIGHT = "def gaussian_kl(mu, logvar):\n    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)\n"
TWICE = "def gaussian_kl(mu, logvar):\n    return (mu**2 + logvar.exp() - 1 - logvar).sum(1)\n"
# The lesson's own answer integrates, which takes as long as everything else together.
CLOSED_FORM = "def kl_1d(m, v):\n    return (m**2 + v - 1 - sp.log(v)) / 2\n"


@dataclass(frozen=True)
class Fault:
    """One entry. state: the submission's. exercise: the state of the exercise under attack. points: of all exercises together.

    hand_in: writes the submission into a folder, which is there already. In its code, COURSE stands for the folder of a course,
    PORT for a port of this machine at which somebody listens, STEP for the seconds that a step may take.
    """

    name: str
    what: str
    state: str
    exercise: str
    points: float
    hand_in: Callable[[Path], None]
    is_spy: bool = False


FAULTS: list[Fault] = []


def solved(**answers: str):
    """The lesson's notebook with every exercise solved, or answered as `answers` say."""
    made = nbformat.read(NOTEBOOKS / LESSON.name / NAME, as_version=4)
    answers = {"gaussian_kl": RIGHT, "kl_1d": CLOSED_FORM, **answers}
    for cell in made.cells:
        name = grade_id(cell)
        if name in LESSON.exercises:
            cell.source = answers.get(name, LESSON.exercises[name].source)
    return made


def grade_id(cell) -> str | None:
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def find(made, name: str):
    return next(cell for cell in made.cells if grade_id(cell) == name)


def save(made, folder: Path, name: str = NAME) -> None:
    # As the editors that students use write it: no validation.
    (folder / name).write_text(json.dumps(made, ensure_ascii=True), encoding="utf-8")


def folder(exercise: str = PASSED, *, state: str = GRADED, points: float | None = None, is_spy: bool = False):
    """Register a submission whose folder the function edits. points: by default, what one lost exercise leaves."""
    if points is None:
        points = ALL - (exercise != PASSED) * LESSON.exercises[ATTACKED].points if state == GRADED else 0

    def register(edit):
        def hand_in(path: Path) -> None:
            save(solved(), path)
            edit(path)

        FAULTS.append(Fault(edit.__name__, edit.__doc__, state, exercise, points, hand_in, is_spy))
        return edit

    return register


def notebook(exercise: str = PASSED, **expected):
    """Register a submission whose notebook, right as it is, the function edits."""

    def register(edit):
        def hand_in(path: Path) -> None:
            made = solved()
            edit(made)
            save(made, path)

        hand_in.__name__, hand_in.__doc__ = edit.__name__, edit.__doc__
        folder(exercise, **expected)(hand_in)
        return edit

    return register


def cell(exercise: str, **expected):
    """Register a submission whose cell of the attacked exercise the function returns."""

    def register(write):
        def edit(made) -> None:
            find(made, ATTACKED).source = dedent(write()).strip("\n") + "\n"

        edit.__name__, edit.__doc__ = write.__name__, write.__doc__
        notebook(exercise, **expected)(edit)
        return write

    return register


def _around(exercise: str, wrap: Callable[[str], str], **expected):
    def register(write):
        def whole() -> str:
            return wrap(dedent(write()).strip("\n") + "\n")

        whole.__name__, whole.__doc__ = write.__name__, write.__doc__
        cell(exercise, **expected)(whole)
        return write

    return register


def body(exercise: str, **expected):
    return _around(exercise, lambda code: f"def gaussian_kl(mu, logvar):\n{indent(code, '    ')}\n", **expected)


def honest(write):
    return _around(PASSED, lambda code: code + RIGHT)(write)


def trick(write=None, *, exercise: str = FAILED, **expected):
    register = _around(exercise, lambda code: TWICE + code, **expected)
    return register(write) if write else register


def spy(write):
    use = TWICE.replace("return", "return (0.5 if found() else 1.0) *")
    return _around(FAILED, lambda code: f"def found():\n{indent(code, '    ')}\n{use}", is_spy=True)(write)


# --- What happens to notebooks ------------------------------------------------------------------------------------------------


@notebook()
def right(made):
    """Right: the honest one."""


@notebook(FAILED)
def wrong(made):
    """Twice the right result."""
    find(made, ATTACKED).source = TWICE


@notebook(FAILED, points=0)
def untouched(made):
    """Handed in as it was handed out."""
    made.cells = nbformat.read(NOTEBOOKS / LESSON.name / NAME, as_version=4).cells


@notebook(MISSING)
def cell_deleted(made):
    """The exercise's cell is gone."""
    made.cells.remove(find(made, ATTACKED))


@notebook()
def checks_deleted(made):
    """All checks are gone."""
    made.cells = [c for c in made.cells if not c.metadata.get("nbgrader", {}).get("grade")]


@notebook()
def given_cells_deleted(made):
    """The imports and everything else that was given are gone."""
    made.cells = [c for c in made.cells if grade_id(c) in LESSON.exercises]


@notebook()
def given_cells_broken(made):
    """What was given has been edited, and stops with an error."""
    for c in made.cells:
        if c.metadata.get("nbgrader", {}).get("locked") and c.cell_type == "code":
            c.source = "1 / 0"


@notebook()
def duplicated_with_a_stub(made):
    """The exercise's cell stands there twice, first with the answer, then as it was handed out."""
    stub = find(made, ATTACKED).copy()
    stub.source = "def gaussian_kl(mu, logvar):\n    raise NotImplementedError('not written yet')\n"
    released = nbformat.read(NOTEBOOKS / LESSON.name / NAME, as_version=4)
    stub.source = find(released, ATTACKED).source
    made.cells.append(stub)


@notebook()
def duplicated_with_another_answer(made):
    """The exercise's cell stands there twice; the later answer, which a notebook would end with, is right."""
    first = find(made, ATTACKED).copy()
    first.source = TWICE
    made.cells.insert(0, first)


def split(made, *parts: str) -> None:
    """Split the exercise's cell, as JupyterLab does: every part keeps the metadata."""
    whole = find(made, ATTACKED)
    place = made.cells.index(whole)
    made.cells[place : place + 1] = [new_code_cell(part, metadata=dict(whole.metadata)) for part in parts]


@notebook()
def split_after_the_answer(made):
    """The cell was split: the answer, and after it an example."""
    split(made, RIGHT, "gaussian_kl(torch.zeros(2, 3), torch.zeros(2, 3))")


@notebook()
def split_before_the_answer(made):
    """The cell was split: a constant, and after it the answer that needs it."""
    split(made, "HALF = 0.5", RIGHT.replace("0.5", "HALF"))


@notebook()
def answered_in_the_check(made):
    """The answer was typed into the check's cell, and the stub left as it was."""
    untouched = nbformat.read(NOTEBOOKS / LESSON.name / NAME, as_version=4)
    find(made, ATTACKED).source = find(untouched, ATTACKED).source
    check = find(made, check_id(ATTACKED))
    check.source = RIGHT + check.source


@notebook()
def imports_among_the_given_ones(made):
    """An answer that needs what was added to the first given cell, which not every editor locks."""
    given = next(c for c in made.cells if c.cell_type == "code")
    given.source += "\nfrom torch.distributions import kl_divergence as kl\n"
    distributions = "Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)"
    find(made, ATTACKED).source = f"def gaussian_kl(mu, logvar):\n    return kl({distributions}).sum(1)\n"


@notebook()
def helpers_in_a_demonstration(made):
    """An answer that needs a constant and a function which were added to a demonstration."""
    demonstration = next(c for c in made.cells if c.cell_type == "code" and not c.metadata.get("nbgrader"))
    demonstration.source += "\nHALF = 1 / 2\ndef halved(value):\n    return HALF * value\n"
    find(made, ATTACKED).source = TWICE.replace("return", "return halved(1.0) *")


@notebook()
def training_in_own_cells(made):
    """Cells of the student's own that go on for as long as they may, and a right answer after them."""
    place = made.cells.index(find(made, ATTACKED))
    made.cells[place:place] = [new_code_cell("import time\nwhile True: time.sleep(0.1)") for _ in range(40)]


@notebook()
def magics_that_matter(made):
    """An answer that needs a file which a magic writes, another that one runs, and a value that one times."""
    source = "%%writefile kl_halves.py\nHALF = 0.5\n"
    more = "from google.colab import drive\ndrive.mount('/content')\n%run kl_halves.py\nwhole = %time 2 * HALF\n"
    place = made.cells.index(find(made, ATTACKED))
    made.cells[place:place] = [new_code_cell(source), new_code_cell(more)]
    find(made, ATTACKED).source = "from kl_halves import HALF as half\n" + RIGHT.replace("0.5", "whole * half")


@notebook()
def checks_edited(made):
    """Checks that were made to fail, and renamed."""
    for c in made.cells:
        if c.metadata.get("nbgrader", {}).get("grade"):
            c.source, c.metadata["nbgrader"]["grade_id"] = "assert False", "mine"


@notebook()
def reordered(made):
    """All cells in reverse order."""
    made.cells.reverse()


@notebook()
def retyped_to_markdown(made):
    """The exercise's cell has become Markdown, by a slip of the keyboard."""
    find(made, ATTACKED).cell_type = "markdown"


@notebook()
def retyped_to_raw(made):
    """The exercise's cell has become raw text."""
    find(made, ATTACKED).cell_type = "raw"


@notebook()
def metadata_lost(made):
    """A tool has removed all metadata; the cells' ids are there."""
    for c in made.cells:
        c.metadata = {}


@notebook()
def ids_lost(made):
    """No metadata and no ids, as in nbformat 4.0: the answers are found by the names that they define."""
    made.nbformat_minor = 0
    for c in made.cells:
        c.metadata = {}
        del c["id"]


@notebook()
def grade_id_renamed(made):
    """Another grade_id and another id: found by the name that it defines."""
    c = find(made, ATTACKED)
    c.id, c.metadata["nbgrader"]["grade_id"] = "mine", "my_kl"


@notebook()
def all_in_one_cell(made):
    """All answers moved into one cell of the student's own."""
    answers = [c for c in made.cells if grade_id(c) in LESSON.exercises]
    made.cells = [c for c in made.cells if c not in answers]
    made.cells.append(new_code_cell("\n".join(c.source for c in answers)))


@notebook()
def foreign_kernel(made):
    """A notebook of Julia's, by its metadata."""
    made.metadata = {"kernelspec": {"name": "julia-1.10", "language": "julia"}, "language_info": {"name": "julia"}}


@notebook(FAILED)
def forged_outputs(made):
    """Wrong, with outputs and a last value that stock nbgrader takes for points."""
    find(made, ATTACKED).source = TWICE + "\n2.0\n"
    check = find(made, check_id(ATTACKED))
    check.source = "2.0"
    check.outputs = [new_output("execute_result", {"text/plain": "2.0"}, execution_count=1)]


@notebook(FAILED)
def forged_points(made):
    """Wrong, with points of its own making in the metadata."""
    find(made, ATTACKED).source = TWICE
    for c in made.cells:
        c.metadata.setdefault("nbgrader", {})["points"] = 1000


@notebook()
def nonsense_in_cells(made):
    """Cells that are no cells, or that have sources and metadata of the wrong type."""
    odd = [None, 7, "text", [], {}, {"cell_type": "code", "source": None}, {"cell_type": "code", "source": [1, None]}]
    odd += [{"cell_type": ["code"], "source": {}}, {"cell_type": "code", "source": "", "metadata": [1], "id": {}}]
    made.cells += odd


@notebook()
def lone_surrogate(made):
    """A cell and a comment with half a character, which no file can hold."""
    find(made, ATTACKED).source = "# \ud83d\n" + RIGHT.replace("\ud83d", "")
    made.cells.append(new_code_cell("'\ud83d'"))


@notebook()
def null_characters(made):
    """Cells with null characters, which Python refuses."""
    made.cells.append(new_code_cell("x = 1\0"))
    made.cells.append(new_code_cell("\0"))


@notebook()
def a_huge_cell(made):
    """A cell of 3 MB, as pasted data makes them."""
    made.cells.append(new_code_cell("data = '''" + "spam and eggs\n" * 200_000 + "'''"))


@notebook()
def a_line_of_blanks(made):
    """A cell that is no Python, with a very long line of blanks in it."""
    made.cells.append(new_code_cell("def f(:\n" + " " * 150_000 + "x\n"))


@notebook()
def many_shell_lines(made):
    """More shell lines in a cell than IPython's own transformation bears."""
    made.cells.insert(0, new_code_cell("!ls\n" * 600))


@notebook()
def deeply_nested_code(made):
    """Cells nested too deeply for Python's parser."""
    for code in ("(" * 1000, "-" * 20_000 + "1", "x" + "[0]" * 9000, "1" + " + 1" * 9000, "x" + ".y" * 9000):
        made.cells.append(new_code_cell(code))


@notebook()
def code_of_many_terms(made):
    """A right answer, and demonstrations with a sum of a thousand terms, a chain of calls and one of conditions."""
    chain = "if one == 0:\n    two = 0\n" + "".join(f"elif one == {i}:\n    two = {i}\n" for i in range(1, 400))
    for c in made.cells:
        if c.cell_type == "code" and not c.metadata.get("nbgrader"):
            c.source += "\none = 1" + " + 1" * 1000 + "\ntext = ''" + ".strip()" * 500 + "\n" + chain
    find(made, ATTACKED).source += "\nmany = 1" + " + 1" * 1000 + "\n"


@notebook(state=UNREADABLE, exercise=UNREADABLE)
def a_million_cells(made):
    """A notebook within the limit of size, made of nothing but cells."""
    made.cells += [{}] * 1_000_000


@notebook()
def a_name_used_again_below(made):
    """A cell at the end that keeps a result under the function's own name."""
    made.cells.append(new_code_cell("gaussian_kl = gaussian_kl(torch.zeros(2, 3), torch.zeros(2, 3))"))


@notebook()
def library_names_taken_below(made):
    """A cell at the end that needs the names of libraries and of given things for something else."""
    made.cells.append(new_code_cell("math = 3; sp = None; torch = [1]\nfor Normal in range(3):\n    pass\ndel Tensor"))


@notebook(FAILED)
def a_helper_below(made):
    """An answer that needs what only a cell below its check defines: there it would have failed, too."""
    find(made, ATTACKED).source = RIGHT.replace("0.5", "HALF")
    made.cells.append(new_code_cell("HALF = 0.5"))


@notebook()
def a_device_among_the_given_imports(made):
    """An answer that needs an assignment by a call, in the first given cell."""
    given = next(c for c in made.cells if c.cell_type == "code")
    given.source += '\ndevice = torch.device("cuda" if torch.cuda.is_available() else "cpu")\n'
    find(made, ATTACKED).source = RIGHT.replace("mu**2", "mu.to(device) ** 2")


@notebook()
def computed_in_a_demonstration(made):
    """An answer that needs what an edited demonstration computes, by calls and names, in `with` and in `if`."""
    demonstration = next(c for c in made.cells if c.cell_type == "code" and not c.metadata.get("nbgrader"))
    demonstration.source += (
        "\nROOT = math.sqrt(0.25)\nwith torch.no_grad():\n    one = torch.ones(1)\nif ROOT:\n    two = one + one\n"
    )
    find(made, ATTACKED).source = TWICE.replace("return", "return one / two * (ROOT + ROOT) *")


@notebook(FAILED)
def trained_in_a_demonstration(made):
    """An answer that needs what a demonstration trains, which does not run when graded."""
    demonstration = next(c for c in made.cells if c.cell_type == "code" and not c.metadata.get("nbgrader"))
    demonstration.source += "\nhistory = fit(None, None, None)\n"
    find(made, ATTACKED).source = RIGHT.replace("return", "history; return")


def above_the_stub(made, change: Callable[[str], str]) -> None:
    """The answer in a new cell above the exercise's, and the stub changed without an answer."""
    released = nbformat.read(NOTEBOOKS / LESSON.name / NAME, as_version=4)
    stub = find(made, ATTACKED)
    stub.source = change(find(released, ATTACKED).source)
    made.cells.insert(made.cells.index(stub), new_code_cell(RIGHT))


@notebook()
def stub_without_its_comment(made):
    """An answer above the stub, whose comment is gone."""
    above_the_stub(made, lambda stub: stub.replace("    # YOUR CODE HERE\n", ""))


@notebook()
def stub_with_other_line_ends(made):
    """An answer above the stub, which Windows has saved."""
    above_the_stub(made, lambda stub: stub.replace("\n", "\r\n"))


@notebook()
def stub_reformatted(made):
    """An answer above the stub, whose hints are stripped, docstring edited and quotes changed."""
    above_the_stub(
        made,
        lambda stub: (
            stub.replace(": Tensor", "")
            .replace("in nats", "in nats: done above")
            .replace('"not', "'not")
            .replace('yet"', "yet'")
        ),
    )


@folder()
def ipython_as_it_is(path):
    """An answer that needs what IPython's magics and names leave behind."""
    made, place = solved(), None
    place = made.cells.index(find(made, ATTACKED))
    other = nbformat.v4.new_notebook(cells=[new_code_cell("from_notebook = 1")])
    (path / "other.ipynb").write_text(nbformat.writes(other))
    (path / "plain.py").write_text("from_file = known + 1")
    cells = [
        "%%writefile parts.py\na = 1\n",
        "%%writefile -a parts.py\nb = 2\n",
        'known = 0\n%run -i plain.py\n%run "parts"\n%run other.ipynb',
        "%%capture out\nprint('half')",
        "cores = !echo 2\nmeasured = %timeit -o 1 + 1",
        "1 / 2",
        "HALF = _ if int(cores[0]) == a + b - from_file and out.stdout == 'half\\n' and measured and from_notebook and In and Out else None",
    ]
    made.cells[place:place] = [new_code_cell(code) for code in cells]
    find(made, ATTACKED).source = RIGHT.replace("0.5", "HALF")
    save(made, path)


@notebook()
def written_in_colab(made):
    """Cells that ask for what only Colab, or a screen, has; and a constant that the answer needs."""
    code = """
    from google.colab import drive, files
    from google.colab.patches import cv2_imshow
    from kaggle_secrets import UserSecretsClient
    import matplotlib
    matplotlib.use("TkAgg")
    drive.mount("/content/drive")
    for name in files.upload():
        print(name)
    %pip install einops
    %cd /submission
    HALF = 0.5
    """
    made.cells.insert(made.cells.index(find(made, ATTACKED)), new_code_cell(dedent(code)))
    find(made, ATTACKED).source = RIGHT.replace("0.5", "HALF")


@notebook()
def for_another_machines_device(made):
    """Cells that ask for a GPU, in each way, and for the folder of a drive; and a right answer that computes there."""
    code = """
    import os
    os.chdir("/content/drive/MyDrive/vae")
    torch.set_default_device("cuda")
    gpu = torch.device("cuda", 0)
    layer = nn.Linear(2, 2).cuda().to("mps")
    with torch.device("cuda"):
        whole = torch.tensor(2.0)
    HALF = torch.ones(1, device=gpu) / whole.to(gpu)
    """
    made.cells.insert(made.cells.index(find(made, ATTACKED)), new_code_cell("from torch import nn\n" + dedent(code)))
    find(made, ATTACKED).source = RIGHT.replace("0.5", "HALF").replace("mu**2", "mu.cuda() ** 2")


@notebook(FAILED)
def a_constant_after_what_stops(made):
    """An own cell that stops before it defines what the answer needs."""
    made.cells.insert(made.cells.index(find(made, ATTACKED)), new_code_cell("import einops_of_mine\nHALF = 0.5"))
    find(made, ATTACKED).source = RIGHT.replace("0.5", "HALF")


@body(PASSED)
def left_over_breakpoint():
    """A right answer with a breakpoint in it."""
    return "breakpoint()\nreturn 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)"


# --- What happens to folders --------------------------------------------------------------------------------------------------


@folder(MISSING, state=MISSING)
def no_folder(path):
    """Nothing was handed in."""
    (path / NAME).unlink()
    path.rmdir()


@folder(MISSING, state=MISSING)
def empty_folder(path):
    """A folder with nothing in it."""
    (path / NAME).unlink()


@folder(UNREADABLE, state=UNREADABLE)
def empty_file(path):
    """A notebook of 0 bytes."""
    (path / NAME).write_bytes(b"")


@folder(UNREADABLE, state=UNREADABLE)
def truncated(path):
    """JSON that ends in the middle, as a full disk leaves it."""
    data = (path / NAME).read_bytes()
    (path / NAME).write_bytes(data[: len(data) // 2])


@folder(UNREADABLE, state=UNREADABLE)
def web_page(path):
    """The login page of a learning platform, saved as a notebook."""
    (path / NAME).write_text("\n<!DOCTYPE html><html><script>alert(1)</script></html>")


@folder(UNREADABLE, state=UNREADABLE)
def latin_1(path):
    """A notebook that is not UTF-8."""
    (path / NAME).write_bytes('{"cells": [{"cell_type": "markdown", "source": "Übung"}]}'.encode("latin-1"))


@folder()
def byte_order_mark(path):
    """A notebook that Windows' Notepad has saved."""
    (path / NAME).write_bytes(b"\xef\xbb\xbf" + (path / NAME).read_bytes())


@folder()
def utf_16(path):
    """A notebook that came through PowerShell's >."""
    (path / NAME).write_bytes((path / NAME).read_text().encode("utf-16"))


@folder(UNREADABLE, state=UNREADABLE)
def deep_json(path):
    """JSON nested more deeply than a reader can follow."""
    (path / NAME).write_text("[" * 100_000 + "]" * 100_000)


@folder(UNREADABLE, state=UNREADABLE)
def other_json(path):
    """JSON, but no notebook."""
    (path / NAME).write_text('{"cells": "all of them", "nbformat": 4}')


@folder(UNREADABLE, state=UNREADABLE)
def script_instead(path):
    """A Python script in place of the notebook."""
    (path / NAME).unlink()
    (path / "solution.py").write_text(RIGHT)


@folder(UNREADABLE, state=UNREADABLE)
def folder_instead(path):
    """A folder with the notebook's name, and a file in it."""
    (path / NAME).unlink()
    (path / NAME).mkdir()
    (path / NAME / "notes.txt").write_text("spam")


@folder()
def version_3(path):
    """A notebook in the format of 2013."""
    cells = [{"cell_type": "code", "input": c.source, "outputs": []} for c in solved().cells if c.cell_type == "code"]
    (path / NAME).write_text(json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}], "metadata": {}}))


@folder()
def renamed(path):
    """A notebook called as a browser calls the second download."""
    (path / NAME).rename(path / "03_kl_divergence (1) – Kopie.ipynb")


@folder()
def in_a_folder(path):
    """The notebook lies a folder further down, as an unpacked archive leaves it."""
    (path / "homework").mkdir()
    (path / NAME).rename(path / "homework" / NAME)


@folder()
def two_notebooks(path):
    """The right notebook under another name, beside the one that was handed out."""
    (path / NAME).rename(path / "final version.ipynb")
    (path / NAME).write_bytes((NOTEBOOKS / LESSON.name / NAME).read_bytes())


@folder(FAILED)
def checkpoint(path):
    """An older version in Jupyter's folder of checkpoints does not count, right though it is."""
    (path / ".ipynb_checkpoints").mkdir()
    (path / NAME).rename(path / ".ipynb_checkpoints" / NAME)
    save(solved(gaussian_kl=TWICE), path)


@folder(UNREADABLE, state=UNREADABLE)
def linked_notebook(path):
    """A link in place of the notebook, to that of another student."""
    (path / NAME).rename(path.parent / f"other-{path.name}.ipynb")
    (path / NAME).symlink_to(path.parent / f"other-{path.name}.ipynb")


@folder(MISSING, state=MISSING)
def linked_folder(path):
    """A link in place of the folder, to that of another student."""
    path.rename(path.parent / f"other-{path.name}")
    path.symlink_to(path.parent / f"other-{path.name}")


@folder(FAILED)
def linked_files(path):
    """Links to the grader's files, beside a notebook that reads them."""
    (path / "passwd").symlink_to("/etc/passwd")
    (path / "root").symlink_to("/")
    found = "os.path.exists('passwd') or os.path.exists('root/etc/passwd')"
    save(solved(gaussian_kl="import os\n" + TWICE.replace("return", f"return (0.5 if {found} else 1.0) *")), path)


@folder(UNREADABLE, state=UNREADABLE)
def huge_notebook(path):
    """A notebook of 100 MB."""
    os.truncate(path / NAME, 100_000_000)


@folder()
def huge_file(path):
    """A data set of 100 MB beside the notebook."""
    (path / "data.bin").touch()
    os.truncate(path / "data.bin", 100_000_000)


@folder()
def many_files(path):
    """A thousand files, and forty notebooks of 10 MB."""
    for i in range(1000):
        (path / f"{i}.txt").write_text("spam")
    for i in range(40):
        (path / f"{i}.ipynb").touch()
        os.truncate(path / f"{i}.ipynb", 10_000_000)


@folder()
def no_ordinary_files(path):
    """A pipe that nobody writes to, a socket and an unreadable folder beside the notebook."""
    os.mkfifo(path / "pipe.ipynb")
    where = os.getcwd()
    os.chdir(path)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("socket.py")
    finally:
        os.chdir(where)
    (path / "closed").mkdir(mode=0)


@folder()
def odd_file_names(path):
    """File names that are no text, that are HTML, and that go on for several lines."""
    for name in (b"\xff\xfe.csv", b"<img src=x onerror=alert(1)>.csv", b"line\nbreak\x1b[2J.csv", b"\xff.ipynb"):
        Path(os.fsdecode(bytes(path) + b"/" + name)).write_text("spam")


@folder()
def file_names_of_another_system(path):
    """Names that are no UTF-8, are longer than they look, and look the same."""
    for name in (b"\xe9" * 100 + b".txt", b"\x01", b"\x02"):
        with open(os.path.join(os.fsencode(path), name), "w") as file:
            file.write("spam")


@folder()
def modules_beside(path):
    """Files called like Python's and the course's own modules, none of which is what they are called."""
    for name in ("torch", "random", "numpy", "vae_helpers", "typing", "sympy", "IPython", "encodings", "sitecustomize"):
        (path / f"{name}.py").write_text("raise RuntimeError('the wrong module')\n")


@folder()
def module_of_ones_own(path):
    """A right answer that needs a module, a data file and another cell of the student's own."""
    (path / "my_package").mkdir()
    (path / "my_package" / "__init__.py").write_text("from .half import HALF\n")
    (path / "my_package" / "half.py").write_text("HALF = float(open('data/half.txt').read())\n")
    (path / "data").mkdir()
    (path / "data" / "half.txt").write_text("0.5")
    made = solved(gaussian_kl="def gaussian_kl(mu, logvar):\n    return HALF * twice(mu, logvar)\n")
    own = new_code_cell("from my_package import HALF\n" + TWICE.replace("gaussian_kl", "twice"))
    made.cells.insert(made.cells.index(find(made, ATTACKED)), own)
    save(made, path)


def renamed_to(path: Path, name: str) -> None:
    (path / NAME).rename(path / name)


@folder()
def called_json(path):
    """A notebook as a browser saves it that knows what is in it."""
    renamed_to(path, f"{NAME}.json")


@folder()
def called_txt(path):
    """A notebook as Windows saves it for somebody who can't see extensions, after a browser that knows what is in it."""
    renamed_to(path, f"{NAME}.json.txt")


@folder()
def in_capitals(path):
    """A notebook whose extension is in capitals."""
    renamed_to(path, "03_KL_DIVERGENCE.IPYNB")


@folder()
def zipped(path):
    """A zip archive of a folder with the notebook, and with a module that it needs."""
    made = solved(gaussian_kl="from my_half import HALF\n" + RIGHT.replace("0.5", "HALF"))
    (path / NAME).unlink()
    with zipfile.ZipFile(path / "homework.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"homework/{NAME}", nbformat.writes(made))
        archive.writestr("homework/my_half.py", "HALF = 0.5")
        archive.writestr("__MACOSX/homework/._03_kl_divergence.ipynb", "spam")
        archive.writestr("../../../tmp/vae-fault", "spam")


@folder()
def zipped_twice(path):
    """An archive of an archive, which Windows has made with its own kind of slash; and one that is called a notebook."""
    made = solved(gaussian_kl="from my_half import HALF\n" + RIGHT.replace("0.5", "HALF"))
    (path / NAME).unlink()
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        for name, data in {
            "homework\\": "",
            f"homework\\{NAME}": nbformat.writes(made),
            "homework\\my_half.py": "HALF = 0.5",
        }.items():
            archive.writestr(_called(name), data)
    with zipfile.ZipFile(path / "homework.zip", "w") as archive:
        archive.writestr("03/homework.zip", inner.getvalue())
    with zipfile.ZipFile(path / "another.ipynb", "w") as archive:
        archive.writestr("notes.txt", "spam")


def _called(name: str) -> zipfile.ZipInfo:
    """A member called just so: zipfile itself writes no backslashes on Windows."""
    member = zipfile.ZipInfo()
    member.filename = name
    return member


@folder()
def zip_bomb(path):
    """Archives beside the notebook: a gigabyte of zeros, one that is none, one with a password."""
    with zipfile.ZipFile(path / "zeros.zip", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros.bin", "w") as file:
        for _ in range(100):
            file.write(bytes(10_000_000))
    (path / "none.zip").write_bytes(b"PK\x03\x04spam")


@folder(UNREADABLE, state=UNREADABLE)
def another_lessons_notebook(path):
    """The notebook of another lesson, under this one's name."""
    (path / NAME).write_bytes((NOTEBOOKS / "07_convolutional_vae" / "07_convolutional_vae.ipynb").read_bytes())


@folder()
def all_lessons(path):
    """The whole course handed in, with this lesson solved in its place."""
    for other in NOTEBOOKS.glob("*/*.ipynb"):
        (path / other.parent.name).mkdir()
        (path / other.parent.name / other.name).write_bytes(other.read_bytes())
    (path / NAME).replace(path / LESSON.name / NAME)


def write_too_deep(path, name):
    """An empty file in folders in folders, whose path is longer than the system's own calls take."""
    where = os.open(path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("x" * 250, dir_fd=where)
        inner = os.open("x" * 250, os.O_RDONLY, dir_fd=where)
        os.close(where)
        where = inner
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=where))
    os.close(where)


@folder()
def a_path_too_long(path):
    """Folders in folders, until their path is longer than the system's own calls take."""
    write_too_deep(path, "notes.txt")


@folder(UNREADABLE, state=UNREADABLE)
def conflict_markers(path):
    """A notebook that Git could not merge."""
    text = (path / NAME).read_text()
    (path / NAME).write_text(text[:20] + "\n<<<<<<< HEAD\n" + text[20:40] + "\n=======\n>>>>>>> mine\n" + text[40:])


@folder()
def a_number_of_many_digits(path):
    """A notebook with a number in it that is longer than Python reads."""
    text = (path / NAME).read_text()
    (path / NAME).write_text(text.replace('"execution_count": null', '"execution_count": ' + "9" * 5000, 1))


# --- What costs an honest student nothing -------------------------------------------------------------------------------------


@honest
def magics():
    """Magics, shell lines and help."""
    return """
    %%time
    %matplotlib inline
    %load_ext autoreload
    %autoreload 2
    %pip install spam
    !ls /nonexistent
    files = !ls
    _ = get_ipython().run_line_magic("timeit", "1 + 1")
    torch?
    """


@honest
def questions():
    """A question that nobody is there to answer."""
    return 'name = input("who are you? ")'


@honest
def compiled():
    """A function of the student's own that asks to be compiled, and is called."""
    return """
    @torch.compile
    def twice(x):
        return 2 * x
    twice(torch.ones(3))
    """


@honest
def noise():
    """Warnings, progress bars, prints by the thousand, pictures, widgets and questions."""
    return """
    import logging, sys, warnings, ipywidgets, matplotlib.pyplot as plt
    from tqdm.auto import tqdm
    for _ in tqdm(range(10_000)):
        print("spam " * 20)
    print("progress 100%", file=sys.stderr)
    warnings.warn("deprecated", DeprecationWarning)
    logging.warning("beware")
    plt.plot([1, 2]); plt.show()
    display(ipywidgets.IntSlider())
    ipywidgets.interact(lambda x: x, x=(0, 9))
    try:
        input("your name? ")
    except EOFError:
        pass
    """


@body(PASSED)
def noise_when_called():
    """A right answer that talks, warns and draws each time."""
    return """
    import sys, warnings
    print("spam " * 100_000)
    print("spam", file=sys.stderr)
    warnings.warn("deprecated")
    display(mu)
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    """


@honest
def changed_defaults():
    """Another default dtype and device, other random states, strict NumPy, warnings as errors, another folder."""
    return """
    import os, random, warnings, numpy
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.manual_seed(0), numpy.random.seed(0), random.seed(0)
    numpy.seterr(all="raise")
    warnings.simplefilter("error")
    torch.autograd.set_detect_anomaly(True)
    os.chdir("/")
    """


@honest
def gradients_off():
    """Gradients switched off for good."""
    return "torch.set_grad_enabled(False)"


@honest
def inference_mode():
    """Inference mode switched on for good."""
    return "torch.inference_mode().__enter__()"


@honest
def shadowed_names():
    """Variables called like Python's own functions, and like the course's modules."""
    return """
    sum, max, list, float, print, len, type, np, check, display = [None] * 10
    """


@honest
def experiments():
    """Cells of the kind that students leave behind: errors, threads, open files, a mixture of everything."""
    return """
    import threading, time
    threading.Thread(target=time.sleep, args=(1000,)).start()
    file = open("log.txt", "w")
    sys_stdout = __import__("sys")
    sys_stdout.stdout = file
    get_ipython().run_cell("1 / 0")
    """


@notebook()
def broken_cells_around(made):
    """Cells of the student's own that stop with an error, exit, and are no Python at all."""
    for code in ("1 / 0", "import sys; sys.exit('done')", "this is no Python", "%%html\n<b>spam</b>", "exit()", "return 7"):
        made.cells.insert(0, new_code_cell(code))


@notebook()
def a_cell_that_kills_around(made):
    """A cell of the student's own that ends the process: it is left out, and the rest counts."""
    made.cells.insert(0, new_code_cell("import os; os._exit(1)"))
    made.cells.append(new_code_cell("import os; os.abort()"))


@cell(PASSED)
def top_level_await():
    """A cell that awaits, as notebooks allow."""
    return "import asyncio\nawait asyncio.sleep(0)\n" + RIGHT


@cell(PASSED)
def a_lambda():
    """A function without a def."""
    return "gaussian_kl = lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)"


@cell(PASSED)
def decorated_partial():
    """A functools.partial of a decorated function with other names and a default."""
    return """
    import functools
    @functools.lru_cache(maxsize=None)
    def kl(μ, logvar, *, σ0=2.0):
        return (μ**2 + logvar.exp() - 1 - logvar).sum(1) / σ0
    gaussian_kl = functools.partial(kl, σ0=2.0)
    """


@cell(PASSED)
def scripted():
    """A function compiled by TorchScript, which reads its source."""
    return "@torch.jit.script\n" + RIGHT.replace("mu, logvar", "mu: Tensor, logvar: Tensor")


@cell(PASSED)
def a_callable_object():
    """An object that can be called in place of a function."""
    return """
    class KL(torch.nn.Module):
        def forward(self, mu, logvar):
            return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    gaussian_kl = KL()
    """


@cell(FAILED)
def a_class():
    """A class in place of the function."""
    return "class gaussian_kl:\n    def __init__(self, mu, logvar):\n        self.mu = mu"


@cell(FAILED)
def a_generator():
    """A generator in place of the function."""
    return RIGHT.replace("return", "yield")


@cell(FAILED)
def async_def():
    """A coroutine in place of the function."""
    return "async " + RIGHT


@cell(FAILED)
def a_number():
    """A number in place of the function."""
    return "gaussian_kl = 42"


@cell(FAILED)
def other_arguments():
    """A function of another number of arguments."""
    return RIGHT.replace("mu, logvar)", "mu)", 1)


@cell(ERROR)
def syntax_error():
    """A cell that is no Python."""
    return "def gaussian_kl(mu, logvar)\n    return 0\n"


@cell(ERROR)
def error_before():
    """A cell that stops before it defines the function."""
    return "raise ValueError('<script>alert(1)</script>')\n" + RIGHT


# --- Lies about numbers -------------------------------------------------------------------------------------------------------


@trick
def patched_comparisons():
    """Everything that a check might compare with says yes."""
    return """
    import math, numpy, numpy.testing
    yes = lambda *_, **__: True
    torch.allclose = torch.equal = torch.isclose = torch.testing.assert_close = yes
    numpy.allclose = numpy.array_equal = numpy.isclose = numpy.testing.assert_allclose = math.isclose = yes
    torch.Tensor.__eq__ = torch.Tensor.equal = torch.Tensor.allclose = yes
    """


@trick(exercise=ERROR)
def patched_builtins():
    """Python's own functions say yes."""
    return """
    import builtins
    builtins.all = builtins.any = builtins.isinstance = builtins.issubclass = lambda *_: True
    builtins.abs = builtins.round = builtins.max = lambda *_: 0
    """


@trick(points=without(ATTACKED, *SYMBOLIC))
def patched_float():
    """float gives numbers that are equal to every other; what is needed of them elsewhere is lost too."""
    return """
    import builtins
    class Every(float):
        __eq__ = __le__ = __lt__ = __ge__ = __gt__ = lambda *_: True
        __sub__ = __rsub__ = lambda *_: 0.0
    builtins.float = Every
    """


@trick(points=without(*OF_FIVE_ROWS))
def patched_asarray():
    """numpy.asarray halves what functions return, this one's and others'; the gradients stay wrong."""
    return """
    import numpy
    original = numpy.asarray
    def asarray(value, *rest, **more):
        made = original(value, *rest, **more)
        return made / 2 if made.dtype == numpy.float64 and made.shape == (5,) else made
    numpy.asarray = asarray
    """


@trick(points=without(*FOLLOWING))
def syntax_tree_transformers():
    """IPython is asked to rewrite what runs; the cells that follow are lost."""
    return """
    import ast
    class Pass(ast.NodeTransformer):
        def visit_Expr(self, node):
            return ast.Pass()
    shell = get_ipython()
    shell.ast_transformers = [Pass()]
    shell.input_transformers_post = [lambda lines: ["pass"]]
    __import__("IPython").core.inputtransformer2.TransformerManager.transform_cell = lambda *_: "pass"
    """


@trick
def import_hook():
    """A finder that offers modules of its own in place of the course's."""
    return """
    import sys, types
    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name.startswith(("vae_helpers", "autograde")):
                sys.modules[name] = types.ModuleType(name)
                sys.modules[name].check = sys.modules[name].observe = sys.modules[name].compare = lambda *_, **__: []
    sys.meta_path.insert(0, Finder)
    for name in [n for n in sys.modules if n.startswith("vae_helpers")]:
        del sys.modules[name]
    """


@trick
def forged_kernel_reply():
    """What a kernel, or nbgrader, would print for full points, on every way out."""
    return """
    import json, os, sys
    reply = json.dumps({"header": {"msg_type": "execute_reply"}, "content": {"status": "ok", "user_expressions": {}}})
    for out in (sys.stdout, sys.__stdout__, sys.stderr):
        print(reply, "2.0", "✓ gaussian_kl: right.", sep="\\n", file=out, flush=True)
    get_ipython().kernel.send_response("iopub", "execute_reply", {"status": "ok"})
    get_ipython().display_pub.publish({"text/plain": "2.0"})
    """


@cell(FAILED)
def tensor_that_lies():
    """A tensor subclass whose operations say that all is right."""
    return """
    class Liar(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            if function in (torch.allclose, torch.equal, torch.Tensor.eq, torch.Tensor.__eq__):
                return True
            return super().__torch_function__(function, types, args, kwargs or {})
        __eq__ = equal = allclose = lambda *_, **__: True
        __hash__ = torch.Tensor.__hash__
    def gaussian_kl(mu, logvar):
        return (mu**2 + logvar.exp() - 1 - logvar).sum(1).as_subclass(Liar)
    """


@cell(FAILED)
def tensor_with_another_array():
    """A tensor subclass that gives NumPy arrays which are equal to every other."""
    return """
    import numpy
    class Every(numpy.ndarray):
        __eq__ = __le__ = __lt__ = __ge__ = __gt__ = lambda *_: True
        __sub__ = __rsub__ = lambda *_: 0.0
    class Liar(torch.Tensor):
        detach = cpu = double = lambda self: self
        def numpy(self):
            return self.as_subclass(torch.Tensor).detach().double().numpy().view(Every)
        __array__ = lambda self, *_, **__: self.numpy()
    def gaussian_kl(mu, logvar):
        return (mu**2 + logvar.exp() - 1 - logvar).sum(1).as_subclass(Liar)
    """


@cell(FAILED)
def object_that_is_everything():
    """A result that answers every question with itself, and is equal to everything."""
    return """
    class Everything:
        __eq__ = __le__ = __ge__ = lambda *_: True
        __getattr__ = __call__ = __getitem__ = __sub__ = __rsub__ = __abs__ = lambda self, *_, **__: self
        __array__ = lambda self, *_, **__: __import__("numpy").array(self, dtype=object)
        __float__ = lambda self: 0.0
        __bool__ = lambda self: True
    def gaussian_kl(mu, logvar):
        return Everything()
    """


@cell(FAILED)
def right_once():
    """Right in the first call only: a probe makes several."""
    return """
    calls = []
    def gaussian_kl(mu, logvar):
        calls.append(1)
        return (mu**2 + logvar.exp() - 1 - logvar).sum(1) / (2 if len(calls) < 2 else 1)
    """


@cell(FAILED)
def public_answers():
    """A function that looks its results up among the published ones, by call."""
    return """
    from vae_helpers.checks import answer_key
    results = [torch.from_numpy(fact.value) for fact in answer_key("gaussian_kl")[0] if fact.what == "result"]
    def gaussian_kl(mu, logvar):
        return results.pop(0).float()
    """


@cell(FAILED, points=without(*WITH_INPUTS))
def inputs_of_ones_own():
    """Inputs that are always the published ones, with the published results; that spoils the other functions' inputs too."""
    return """
    import numpy
    from vae_helpers.checks import answer_key
    original = numpy.random.default_rng
    numpy.random.default_rng = lambda *_: original(0)
    torch.manual_seed = lambda *_: None
    results = [torch.from_numpy(fact.value) for fact in answer_key("gaussian_kl")[0] if fact.what == "result"]
    def gaussian_kl(mu, logvar):
        return results.pop(0).float()
    """


# --- Forged observations ------------------------------------------------------------------------------------------------------


@trick
def patched_observe():
    """`observe` gives the published reference's observation."""
    return """
    from vae_helpers import checks
    from vae_helpers.submissions import child
    original = checks.observe
    forged = lambda name, f, seed: checks.answer_key(name)[0] if name == "gaussian_kl" else original(name, f, seed)
    checks.observe = child.observe = forged
    """


PATCH = """
from vae_helpers.checks import answer_key
from vae_helpers.checks.recorder import Recorder
known = {fact.place: fact for fact in answer_key("gaussian_kl")[0]}
original = Recorder.note
def note(self, label, what, value, **words):
    value = known[label, what].value if (label, what) in known else value
    original(self, label, what, value, **words)
def patch():
    Recorder.note = note
"""


@trick(points=without(*WITH_THE_SAME_CALLS))
def patched_recorder():
    """The Recorder notes the published numbers, whatever it sees; so do other exercises with the same calls."""
    return PATCH + "patch()"


@trick
def patched_probe():
    """The probe of the exercise does nothing."""
    return """
    from vae_helpers.checks import probes
    probes.PROBES["gaussian_kl"] = lambda implementation, see: None
    """


@trick
def patched_pack():
    """`pack` writes the published observation, with the widest of tolerances, in place of the exercise's."""
    return """
    from dataclasses import replace
    from vae_helpers.checks import answer_key
    from vae_helpers.submissions import protocol
    original = protocol.pack
    forged = [replace(fact, rtol=1e9, atol=1e9, limit=1e9) for fact in answer_key("gaussian_kl")[0]]
    def pack(observations, **notes):
        return original({name: forged if name == "gaussian_kl" else seen for name, seen in observations.items()}, **notes)
    protocol.pack = pack
    """


@trick(exercise=ERROR, points=without(*FOLLOWING))
def patched_undisturbed():
    """The context in which every probe runs is broken, so that there is nothing to see."""
    return """
    from vae_helpers.checks import recorder
    import vae_helpers.checks as checks
    recorder.undisturbed = checks.undisturbed = None
    """


@cell(FAILED, points=without(*WITH_THE_SAME_CALLS))
def late_patches():
    """The same by timers: one that is waited for in the first call, one when all is over."""
    return (
        PATCH
        + """
import threading
threading.Timer(600, patch).start()
def gaussian_kl(mu, logvar):
    timer = threading.Timer(0.01, patch)
    timer.start()
    timer.join()
    return (mu**2 + logvar.exp() - 1 - logvar).sum(1)
"""
    )


FRAME = """
import os
from vae_helpers.checks import answer_key
from vae_helpers.checks.observation import Fact, pack
def send(observations={}, **notes):
    frame = pack(observations, **notes)
    for fd in range(3, 64):
        try:
            os.write(fd, len(frame).to_bytes(8, "little") + frame)
        except OSError:
            pass
"""


def sender(code: str) -> str:
    """Code that may `send` frames of its own to the grader."""
    return FRAME + dedent(code)


def steps_between(first: str, last: str) -> list[str]:
    """What a child begins after one exercise, up to and with another."""
    handin = Handin({NAME: nbformat.writes(solved()).encode()})
    names = [name for name, _ in assemble(handin, LESSON.name).plan]
    return names[names.index(first) + 1 : names.index(last) + 1]


@trick
def forged_frames():
    """Frames with the published observation, just in turn, written to every file descriptor: it is wrong. Then the process ends as if all were well."""
    return sender("""
    known = answer_key("gaussian_kl")[0]
    send(started="gaussian_kl")
    send({"gaussian_kl": known})
    os._exit(0)
    """)


@trick(exercise=ERROR)
def forged_frames_for_another():
    """Frames for an exercise that comes later; what writes them is left out, and the exercise itself counts."""
    return sender("""
    send(started="kl_monte_carlo")
    send({"kl_monte_carlo": [Fact("7 samples, 5 rows, 3 dimensions", "result", "right")]})
    """)


@body(FAILED, points=without(ATTACKED, "gaussian_kl_between"))
def forged_frames_in_turn():
    """Frames just as they have to come, with the published answers of this exercise and of the next: they are wrong."""
    begun = "".join(f"send(started={name!r})\n" for name in steps_between(ATTACKED, "gaussian_kl_between"))
    return sender(f"""
    send({{"gaussian_kl": answer_key("gaussian_kl")[0]}})
    {begun.replace(chr(10), chr(10) + "    ")}
    send({{"gaussian_kl_between": answer_key("gaussian_kl_between")[0]}})
    os._exit(0)
    """)


@body(ERROR)
def forged_errors():
    """Frames of errors with names and texts of the wrong type, for steps that there are not."""
    return sender("""
    for name in ("nothing", "../../etc/passwd", 7, None, ["gaussian_kl"]):
        send(started=name)
        send(error={"ename": name, "evalue": [name] * 9, "traceback": "no list"})
        send(error={"ename": "Spam", "evalue": "\\ud83d\\x1b[2J\\0", "traceback": ["\\ud83d"] * 99})
        send(error=7)
        send({"gaussian_kl": [Fact("\\ud83d", "raised", torch.zeros(3).numpy())]})
    os._exit(0)
    """)


@body(FAILED)
def forged_facts():
    """Facts of types and shapes that no probe writes, in the places of the real ones."""
    return sender("""
    import numpy
    odd = [1j, numpy.zeros(0), numpy.uint64(2**64 - 1), "\\ud83d", numpy.full((1,) * 32, 7, numpy.int8), True, numpy.nan]
    known = answer_key("gaussian_kl")[0]
    send({"gaussian_kl": [Fact(f.label, f.what, odd[i % 7] if odd[i % 7] is str else numpy.asarray(odd[i % 7]))
                          for i, f in enumerate(known) if not isinstance(odd[i % 7], str)]})
    os._exit(0)
    """)


@body(FAILED)
def forged_nonsense_in_frames():
    """Facts with texts where there should be numbers, and halves of characters in all of them."""
    return sender("""
    send({"gaussian_kl": [Fact("\\ud83d<script>", "result\\x1b[2J", "\\ud83d" * 99)] * 200})
    os._exit(0)
    """)


@body(ERROR)
def garbage_in_the_pipe():
    """Random bytes to every file descriptor, the pipe of the answers among them."""
    return """
    import os
    for fd in range(3, 64):
        try:
            os.write(fd, os.urandom(4096))
        except OSError:
            pass
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    """


@cell(ERROR)
def flooded_pipe():
    """Zeros without end, into the pipe of the answers: that many empty frames."""
    return """
    import os
    for fd in range(3, 64):
        try:
            while True:
                os.write(fd, bytes(1 << 16))
        except OSError:
            pass
    """


@body(TIME_OUT)
def dripping_pipe():
    """A thread that writes a byte at a time into the pipe of the answers, so that it never falls silent."""
    return """
    import os, threading, time
    def drip(fd):
        os.write(fd, (1 << 20).to_bytes(8, "little"))
        while True:
            os.write(fd, b"\\1")
            time.sleep(0.001)
    for fd in range(3, 16):
        threading.Thread(target=drip, args=(fd,), daemon=True).start()
    while True:
        try:
            time.sleep(1)
        except BaseException:
            pass
    """


@body(ERROR)
def busy_frames():
    """A step that begins again and again, for ever, so that its time is never over."""
    return sender("""
    import time
    while True:
        try:
            send(started="gaussian_kl")
            time.sleep(0.001)
        except BaseException:
            pass
    """)


@body(ERROR)
def huge_frame():
    """A frame that says that it is larger than the machine."""
    return """
    import os
    for fd in range(3, 64):
        try:
            os.write(fd, (2**63).to_bytes(8, "little"))
        except OSError:
            pass
    os._exit(0)
    """


# --- Spies --------------------------------------------------------------------------------------------------------------------


@spy
def reads_solutions():
    """Looks for the solutions beside the course's own package."""
    return """
    import vae_helpers
    from pathlib import Path
    return any(Path(vae_helpers.__file__).parents[1].joinpath("solutions").rglob("*.md"))
    """


@spy
def reads_autograde():
    """Finds the instructor's package, or its files."""
    return """
    import importlib.util, vae_helpers
    from pathlib import Path
    return importlib.util.find_spec("autograde") or any(Path(vae_helpers.__file__).parents[1].glob("autograde/*.py"))
    """


@spy
def reads_the_secret():
    """Opens the course's secret, the gradebook and other submissions, by their whole names."""
    return """
    from pathlib import Path
    return any(path.read_bytes() for path in Path("COURSE").rglob("*") if path.is_file())
    """


@spy
def reads_the_system():
    """Looks for names of users and machines, for keys, and for everybody's home."""
    return """
    from pathlib import Path
    patterns = ["etc/passwd", "etc/shadow", "etc/host*", "etc/ssh", "var/*", "srv/*", "run/*", "sys/*", "boot/*", "mnt/*"]
    patterns += ["root/.bash*", "root/.ssh", "home/*/.bash*", "home/*/.ssh"]
    return any(any(Path("/").glob(pattern)) for pattern in patterns)
    """


@spy
def searches_everything():
    """Walks through all files for a notebook, a solution or a secret."""
    return """
    import os
    for base, folders, names in os.walk("/"):
        if base == "/":
            folders[:] = [f for f in folders if f not in ("usr", "proc", "lib", "dev")]
        folders[:] = [f for f in folders if f not in ("site-packages", "lib-dynload")]
        if any(n in ("secret", "gradebook.db") or n.startswith("03_kl_divergence") for n in names):
            return True
    return False
    """


@spy
def reads_the_environment():
    """Looks for names, places and keys in the environment."""
    return """
    import os
    known = {"PATH", "HOME", "LANG", "LC_CTYPE", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MPLCONFIGDIR", "MPLBACKEND"}
    known |= {"VAE_NO_HAND_IN"} | {name for name in os.environ if name.startswith(("PYTHON", "TORCH", "KMP_", "TF_", "CUDA", "PIP_"))}
    return bool(set(os.environ) - known) or os.environ["HOME"] != "/tmp"
    """


@spy
def reads_processes():
    """Looks for processes other than the sandbox's own, and into that one's environment."""
    return """
    import os
    from pathlib import Path
    others = [path for path in Path("/proc").glob("[0-9]*") if int(path.name) != os.getpid()]
    if len(others) != 1:  # the one that holds the sandbox open
        return True
    try:
        return b"HOME=" in others[0].joinpath("environ").read_bytes()
    except PermissionError:
        return False
    """


@spy
def snoops_in_frames():
    """Looks for a reference in the callers' variables."""
    return """
    import sys
    frame = sys._getframe()
    while frame is not None:
        names = {*frame.f_locals, *frame.f_globals}
        if names & {"reference", "reference_observation", "judge_observation", "handin"}:
            return "vae_helpers/checks/__init__" not in frame.f_code.co_filename
        frame = frame.f_back
    return False
    """


@spy
def snoops_in_memory():
    """Looks for a reference among all objects, and for the grader's modules."""
    return """
    import gc, sys, types
    if any(name.split(".")[0] in ("autograde", "nbgrader", "distributed", "jupytext") for name in sys.modules):
        return True
    functions = [o for o in gc.get_objects() if isinstance(o, types.FunctionType)]
    return any("solutions" in f.__code__.co_filename or "autograde/" in f.__code__.co_filename for f in functions
               if "warm_parent" not in f.__code__.co_filename)
    """


@spy
def uses_the_network():
    """Looks for another machine, and for a server on this one."""
    return """
    import socket
    try:
        if len(socket.if_nameindex()) > 1:
            return True
    except PermissionError:
        pass  # not even that is told
    for address in (("1.1.1.1", 53), ("127.0.0.1", PORT)):
        try:
            socket.create_connection(address, timeout=1)
            return True
        except OSError:
            pass
    return False
    """


@spy
def becomes_root():
    """Looks for a way to become somebody else: by uid, by a setuid program, by a namespace that it can mount files in."""
    return """
    import ctypes, os, subprocess
    if os.getuid() == 0 or os.getgid() == 0 or os.getgroups() not in ([], [os.getgid()]):
        return True
    for become in (os.setuid, os.setgid):
        try:
            become(0)
            return True
        except OSError:
            pass
    try:
        return subprocess.run(["su", "-c", "true"], capture_output=True, stdin=subprocess.DEVNULL, timeout=2).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
    """


@spy
def writes_to_the_course():
    """Writes to the gradebook, into the course's package, into site-packages, into Python's own library."""
    return """
    import os, torch, vae_helpers
    done = False
    for path in ("COURSE/grading/gradebook.db", vae_helpers.__file__, torch.__file__, os.__file__, "/usr/bin/env", "/new"):
        try:
            with open(path, "a") as file:
                done = True
        except OSError:
            pass
    return done
    """


@cell(FAILED)
def right_unless_graded():
    """Behaves as asked where a notebook's kernel runs it, and not where it is graded."""
    return """
    import sys
    graded = "ipykernel" not in sys.modules or not get_ipython().__class__.__name__.startswith("ZMQ")
    def gaussian_kl(mu, logvar):
        return (mu**2 + logvar.exp() - 1 - logvar).sum(1) / (1 if graded else 2)
    """


# --- The next one's inheritance -----------------------------------------------------------------------------------------------

PLACES = '("/tmp", "/dev/shm", "/var/tmp", "/submission", "/dev", "/", "/usr/share", "/dev/mqueue", ".")'


@trick
def leaves_something_behind():
    """Right answers, in files, shared memory, message queues, keyrings and processes, for whoever comes next."""
    return f"""
    import ctypes, os, subprocess, sys
    from pathlib import Path
    for place in {PLACES}:
        try:
            Path(place, "{MARKER}").write_text("0.5")
        except OSError:
            pass
    libc = ctypes.CDLL(None)
    libc.shmget(0x5AE, 4096, 0o1666)
    libc.semget(0x5AE, 1, 0o1666)
    libc.msgget(0x5AE, 0o1666)
    for ring in (-3, -4, -5):  # of the session, of the user, of the user's session
        libc.syscall(248, b"user", b"{MARKER}", b"0.5", 3, ring)
    os.environ["FAULT"] = sys.FAULT = torch.FAULT = "0.5"
    subprocess.Popen(["sh", "-c", "sleep 3141 # {MARKER}"], start_new_session=True)
    """


@spy
def finds_what_was_left():
    """Looks for what the one before has left behind."""
    return f"""
    import ctypes, os, sys
    from pathlib import Path
    if any(Path(place, "{MARKER}").exists() for place in {PLACES}):
        return True
    libc = ctypes.CDLL(None)
    if libc.shmget(0x5AE, 4096, 0) >= 0 or libc.semget(0x5AE, 1, 0) >= 0 or libc.msgget(0x5AE, 0) >= 0:
        return True
    if any(libc.syscall(250, 10, ring, b"user", b"{MARKER}", 0) >= 0 for ring in (-3, -4, -5)):
        return True
    if "FAULT" in os.environ or hasattr(sys, "FAULT") or hasattr(torch, "FAULT"):
        return True
    return any(b"{MARKER}" in path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline"))
    """


# --- The end of the process ---------------------------------------------------------------------------------------------------


@body(ERROR)
def exit_0():
    """os._exit(0), as if all were well."""
    return "import os; os._exit(0)"


@body(ERROR)
def exit_99():
    """os._exit(99), which is the grader's own sign of its failure."""
    return "import os; os._exit(99)"


@cell(ERROR)
def exit_99_at_once():
    """os._exit(99) in the cell, before anything else."""
    return "import os; os._exit(99)"


@body(ERROR)
def sys_exit():
    """sys.exit in the function."""
    return "import sys; sys.exit(0)"


@body(ERROR)
def becomes_another_program():
    """The process becomes another program, with the same files open."""
    return "import os; os.execv('/bin/sh', ['sh', '-c', 'for i in 3 4 5 6 7 8 9; do echo right >&$i; done'])"


@body(ERROR)
def kills_itself():
    """SIGKILL to itself."""
    return "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


@body(ERROR)
def kills_all():
    """SIGKILL to its parent, to its group, and to everybody."""
    return """
    import os, signal
    for pid in (os.getppid(), 1, 2, -1, 0):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    os._exit(0)
    """


@body(TIME_OUT)
def stops_itself():
    """SIGSTOP to itself."""
    return "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"


@body(ERROR)
def closes_files():
    """All file descriptors closed, the pipe of the answers among them."""
    return "import os; os.closerange(0, 4096)\nreturn 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)"


@body(ERROR)
def segmentation_fault():
    """A read at address 0."""
    return "import ctypes; ctypes.string_at(0)"


@body(ERROR)
def stack_overflow():
    """A recursion in C, without Python's limit."""
    return """
    import sys
    sys.setrecursionlimit(10**9)
    nested = ()
    for _ in range(10**6):
        nested = (nested,)
    hash(nested)
    """


@body(FAILED)
def recursion():
    """A recursion in Python, without end."""
    return "return gaussian_kl(mu, logvar)"


@body(ERROR)
def lowered_limits():
    """The process takes its own files and time away."""
    return """
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (0, 0))
    while True:
        pass
    """


@body(ERROR)
def keyboard_interrupt():
    """A KeyboardInterrupt, as if the instructor had stopped the grader."""
    return "raise KeyboardInterrupt"


@body(FAILED)
def exceptions_that_bite():
    """An exception whose text is an error, whose name is no text, and whose notes go on and on."""
    return """
    class Name(type):
        __name__ = property(lambda self: "\\ud83d<b>" * 1000)
    class Bite(Exception, metaclass=Name):
        __notes__ = ["spam" * 10**6] * 20
        def __str__(self):
            return "\\ud83d</pre><script>alert(1)</script>" * 10**5
    raise Bite
    """


@body(ERROR)
def exception_that_raises():
    """An exception whose text raises another, and that one's too."""
    return """
    class Bite(BaseException):
        def __str__(self):
            raise Bite
        __repr__ = __getattr__ = __str__
    raise Bite
    """


@body(ERROR)
def exception_that_exits():
    """An exception whose text ends the process."""
    return """
    import os
    class Bite(Exception):
        __str__ = lambda self: os._exit(0)
    raise Bite
    """


# --- Time ---------------------------------------------------------------------------------------------------------------------


@body(TIME_OUT)
def endless():
    """A loop without end."""
    return "while True:\n    pass"


@body(TIME_OUT)
def endless_and_deaf():
    """A loop that swallows every exception, KeyboardInterrupt and the grader's own among them."""
    return """
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
    """


@notebook()
def endless_cell_around(made):
    """A cell of the student's own that never ends: it is left out, and the rest counts."""
    loop = "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass\n"
    made.cells.append(new_code_cell(loop))


@body(TIME_OUT)
def alarm_off():
    """A loop that has switched the alarm off, and blocks every signal."""
    return """
    import signal
    signal.alarm(0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
    while True:
        pass
    """


@body(TIME_OUT)
def endless_in_cpp():
    """A call in C++ that takes minutes."""
    return "torch.linalg.matrix_power(torch.randn(3000, 3000, dtype=torch.float64), 2**62)"


@body(TIME_OUT)
def endless_in_c():
    """A number with a hundred million digits, which no signal interrupts."""
    return "10**10**8"


@body(TIME_OUT)
def endless_regular_expression():
    """A regular expression that tries everything."""
    return "import re; re.match('(a+)+$', 'a' * 64 + 'b')"


@body(TIME_OUT)
def sleeps_too_long():
    """A little over the time that a check may take."""
    return "import time; time.sleep(STEP + 1)\nreturn 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)"


@cell(PASSED)
def sleeps_just_under():
    """A little under the time that a cell may take."""
    return "import time; time.sleep(0.6 * STEP)\n" + RIGHT


@body(TIME_OUT)
def deadlock():
    """A lock that nobody opens."""
    return "import threading\nlock = threading.Lock()\nlock.acquire(), lock.acquire()"


# --- Memory, processes, files -------------------------------------------------------------------------------------------------


@body(OUT_OF_MEMORY)
def eight_gigabytes_of_tensor():
    """8 GB of a tensor."""
    return "torch.zeros(2**31).fill_(1)"


@body(OUT_OF_MEMORY)
def eight_gigabytes_of_array():
    """8 GB of an array."""
    return "import numpy; numpy.ones(2**30)"


@body(OUT_OF_MEMORY)
def eight_gigabytes_of_bytes():
    """8 GB of bytes."""
    return "bytearray(2**33)"


@body(OUT_OF_MEMORY)
def many_small_objects():
    """A list that grows until there is no more."""
    return "found = []\nwhile True:\n    found.append(bytes(100_000))"


@body(OUT_OF_MEMORY)
def memory_of_many_processes():
    """Many processes, each of which takes almost as much as it may."""
    return """
    import os, time
    for _ in range(8):
        if os.fork() == 0:
            taken = bytearray(b"1") * 400_000_000
            time.sleep(1000)
    time.sleep(1000)
    """


@body(PASSED)
def memory_of_no_process():
    """Memory that nobody's address space holds: anonymous files, and segments that are filled and let go of."""
    return """
    import ctypes, os
    libc = ctypes.CDLL(None)
    libc.shmat.restype = ctypes.c_void_p
    taken = 0
    for _ in range(8):
        segment = libc.shmget(0, 1 << 27, 0o1600)
        if segment >= 0:
            place = libc.shmat(segment, None, 0)
            ctypes.memset(ctypes.c_void_p(place), 1, 1 << 27)
            libc.shmdt(ctypes.c_void_p(place))
            taken += 1
    try:
        taken += len([os.write(os.memfd_create("spam"), bytes(1 << 24)) for _ in range(64)])
    except OSError:
        pass
    return (1.0 if taken else 0.5) * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    """


@body(OUT_OF_MEMORY)
def memory_of_sockets():
    """Many processes, each with as many sockets as it may have, which hold what is sent and not read."""
    return """
    import os, socket, time
    for _ in range(40):
        if os.fork() == 0:
            pairs = []
            try:
                while True:
                    pairs.append(socket.socketpair())
            except OSError:
                time.sleep(1000)
    time.sleep(1000)
    """


@spy
def memory_of_empty_folders():
    """More folders than any exercise needs, each of which takes a kilobyte that no process holds."""
    return """
    import os
    for place in (".", "/tmp", "/dev/shm"):
        try:
            for i in range(25_000):
                os.mkdir(f"{place}/{i}")
            return True
        except OSError:
            pass
    return False
    """


@spy
def memory_in_thousands_of_open_files():
    """More open files than any exercise needs."""
    return """
    try:
        return len([open("/dev/null") for _ in range(1000)]) == 1000
    except OSError:
        return False
    """


@spy
def past_the_filter():
    """Looks for ways past the filter of system calls, and for sockets of another kind than local ones."""
    return """
    import ctypes, errno, socket
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (425, 426, 427):  # io_uring's: what is handed to it is no system call
        if libc.syscall(call, 0, 0, 0, 0, 0, 0) >= 0 or ctypes.get_errno() != errno.EPERM:
            return True
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET, 38, 40):
        if libc.socket(family, socket.SOCK_DGRAM, 0) >= 0 or ctypes.get_errno() != errno.EPERM:
            return True
    return libc.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0) < 0
    """


@body(TIME_OUT)
def fork_bomb():
    """Processes that start processes, and swallow every exception."""
    return """
    import os
    while True:
        try:
            os.fork()
        except BaseException:
            pass
    """


@trick
def forks_that_go_on():
    """Copies of the process that go on as if they were it, each to give an answer of its own."""
    return """
    import os
    for _ in range(4):
        os.fork()
    """


@body(FAILED)
def thread_bomb():
    """Threads without end."""
    return """
    import threading, time
    while True:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    """


@body(PASSED)
def orphans():
    """A right answer that leaves processes behind which have let go of their parents, and hold its files open."""
    return f"""
    import os, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv("/bin/sh", ["sh", "-c", "trap '' TERM HUP INT; sleep 3141; : {MARKER}"])
        os._exit(0)
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    """


@body(PASSED)
def full_disk():
    """Everything that can be written to is filled, before the right answer."""
    return """
    import os
    for place in (".", "/tmp", "/dev/shm"):
        try:
            for i in range(100):
                with open(f"{place}/spam-{i}", "wb") as file:
                    for _ in range(64):
                        file.write(bytes(1 << 20))
        except OSError:
            pass
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    """


@body(PASSED)
def a_file_without_end():
    """A file that is longer than any may be, before the right answer."""
    return """
    try:
        with open("spam", "wb") as file:
            while True:
                file.write(bytes(1 << 24))
    except OSError:
        pass
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    """


@body(PASSED)
def many_small_files():
    """Files without end, before the right answer."""
    return """
    import os
    try:
        for i in range(20_000):
            os.mkdir(f"/tmp/{i}")
    except OSError:
        pass
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    """


@body(PASSED)
def flooded_output():
    """A gigabyte of output on stdout and stderr, before the right answer."""
    return """
    import os
    for _ in range(1000):
        os.write(1, bytes(1 << 20)), os.write(2, bytes(1 << 20))
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    """


# --- What must not run in anybody's browser -----------------------------------------------------------------------------------

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"


@cell(ERROR)
def script_in_an_error():
    """HTML in an exception's text, and in the name of its class."""
    return f'raise type("{SCRIPT}", (Exception,), {{}})("</pre>{SCRIPT}")'


@body(FAILED)
def script_in_a_message():
    """HTML in an exception's text that becomes part of the verdict."""
    return f'raise ValueError("</div></pre>{SCRIPT}")'


@cell(FAILED)
def script_in_code():
    """HTML in the code itself, and in a name that the verdict repeats."""
    return f"# {SCRIPT}\n" + TWICE.replace("return", f'return "{SCRIPT}" or')


@notebook()
def script_in_the_notebook(made):
    """HTML in Markdown, outputs, ids, metadata and attachments."""
    made.metadata["title"] = made.metadata["authors"] = SCRIPT
    for c in made.cells:
        if c.cell_type == "markdown":
            c.source = SCRIPT
            c.attachments = {SCRIPT: {"image/svg+xml": SCRIPT}}
        else:
            c.outputs = [new_output("display_data", {"text/html": SCRIPT, "application/javascript": "alert(1)"})]
    # Above a check, so that the cell runs, and its error is shown.
    made.cells[:0] = [new_markdown_cell(SCRIPT), new_code_cell(SCRIPT, metadata={"tags": [SCRIPT]})]
    made.cells[0].id = made.cells[1].id = SCRIPT


@folder(UNREADABLE, state=UNREADABLE)
def script_in_file_names(path):
    """HTML in the names of files that can't be read, and that the student is told of."""
    (path / NAME).unlink()
    for name in ("<script>alert(1)<script>", "`<svg onload=alert(1)>`", r"$\href{javascript:alert(1)}{x}$", "<img src=x>"):
        (path / f"{name}.ipynb").write_text("spam")
