"""The ways in agree with each other: environment.yml and pyproject.toml, the README and the Makefile."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autograde.lessons.lesson import lesson_names, read_lesson

ROOT = Path(__file__).resolve().parent.parent
tomllib = pytest.importorskip("tomllib")  # Python 3.11
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # PyPI's name -> conda-forge's
CONDA_ONLY = {"python", "pip", "pytorch-cpu"}


def split(requirement: str) -> tuple[str, str]:
    name = re.match(r"[A-Za-z0-9_-]+", requirement)[0]
    return name, requirement[len(name) :]


def conda_dependencies() -> dict[str, str]:
    lines = (ROOT / "environment.yml").read_text().split("dependencies:")[1].splitlines()
    return dict(split(line.removeprefix("  - ")) for line in lines if line.startswith("  - ") and not line.endswith("pip:"))


def test_environment_yml_holds_the_same_dependencies_as_pyproject():
    wanted = dict(split(r) for r in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["grading"])
    wanted = {CONDA_NAMES.get(name, name): bounds for name, bounds in wanted.items()}
    conda = conda_dependencies()
    assert {name: bounds for name, bounds in conda.items() if name not in CONDA_ONLY} == wanted
    assert conda["python"].split(",")[0] == PROJECT["requires-python"]


def test_a_student_installs_no_instructors_tools():
    names = {split(requirement)[0] for requirement in PROJECT["dependencies"]}
    assert names.isdisjoint({"nbgrader", "jupytext", "pytest", "nbmake", "hypothesis", "ruff"})


def test_every_module_and_data_file_is_in_a_wheel_and_a_student_needs_no_autograde(tmp_path):
    for name in ("vae_helpers", "autograde", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    assert packed(tmp_path) == tracked_below("vae_helpers", "autograde")
    shutil.rmtree(tmp_path / "autograde")
    assert packed(tmp_path) == tracked_below("vae_helpers")


def packed(folder: Path) -> set[str]:
    """What setuptools would install from `folder`, as paths."""
    shutil.rmtree(folder / "build", ignore_errors=True)
    code = "from setuptools import setup; setup(script_args=['-q', 'build_py', '--build-lib', 'build'])"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)
    return {str(path.relative_to(folder / "build")) for path in (folder / "build").rglob("*") if path.is_file()}


def tracked_below(*folders: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(listed.stdout.splitlines())


def test_readme_commands_are_make_targets_and_ci_runs_the_tests():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"lab", "test"} <= targets
    assert readme.index("make lab") < readme.index("make test") < readme.index("conda env create")
    for command in re.findall(r"make ([a-z]+)\b(?=[ `,\n])", readme):
        assert command in targets, f"the README says `make {command}`"
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_image_for_grading_has_what_grading_needs_and_nobodys_work():
    dockerfile = (ROOT / "grading.Dockerfile").read_text()
    assert "bubblewrap" in dockerfile and '".[grading]"' in dockerfile
    pinned = [requirement for requirement in PROJECT["dependencies"] if requirement.startswith("torch")]
    assert " ".join(f'"{requirement}"' for requirement in pinned) in dockerfile
    ignored = {line.strip("/") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    private = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if not line.startswith("*")}
    assert {"grading", "my_notebooks", "build", ".venv", "data", "notebooks/**/*.safetensors"} <= ignored & private
    assert "docker build" in (ROOT / ".ci" / "run").read_text()


def test_binder_and_repo2docker_build_from_environment_yml():
    # They prefer each of these to it, the folders even where they are empty.
    assert [
        name for name in ("binder", ".binder", "Dockerfile", "install.R", "Project.toml") if (ROOT / name).exists()
    ] == []
    assert "bubblewrap" in (ROOT / "apt.txt").read_text().split()
    (puller,) = (r for r in PROJECT["optional-dependencies"]["hub"] if r.startswith("nbgitpuller"))
    assert f'"{puller}"' in (ROOT / "postBuild").read_text() and os.access(ROOT / "postBuild", os.X_OK)


def test_top_level_is_what_the_layout_says():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = {path.split("/")[0] for path in tracked if "/" in path}
    assert folders == {
        "notebooks",
        "vae_helpers",
        "solutions",
        "autograde",
        "tests",
        ".ci",
        ".devcontainer",
        ".github",
    }


def test_readme_lists_every_lesson_with_its_minutes_exercises_and_points():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in lesson_names():
        lesson = read_lesson(name)
        points = sum(cell.points for cell in lesson.exercises.values())
        said = re.search(r"\*\*Time\*\* ([0-9 to]+) minutes\. \*\*Points\*\* (\d+)", lesson.path.read_text(encoding="utf-8"))
        assert said, f"{name} says neither its time nor its points"
        assert int(said[2]) == points, f"{name} says {said[2]} points, and has {points}"
        row = next(line for line in readme.splitlines() if f"notebooks/{name}/{name}.ipynb" in line)
        assert row.endswith(f"| {said[1].replace(' to ', '–')} | {len(lesson.exercises)} | {points} |"), row


def test_links_between_lessons_and_files_lead_somewhere():
    texts = {
        ROOT / name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")
    }
    for name in lesson_names():
        cells = [cell.source for cell in read_lesson(name).cells if cell.kind == "markdown"]
        texts[ROOT / "notebooks" / name / f"{name}.ipynb"] = "\n".join(cells)
    for path, text in texts.items():
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if "://" not in target and not target.startswith("mailto:"):
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


# A virtual environment's Python that writes down what pip is asked, and nothing more, and has no package.
RECORDING_PYTHON = f"""#!/bin/sh
if [ "$2" = pip ]; then
    echo "$@" >> asked
    case "$*" in *--index-url*) exit "$CPU_BUILD_FAILS";; esac
else
    exec {sys.executable} -S "$@"
fi
"""
EDITABLE = "-m pip install --quiet --editable .{}"
needs_make = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not shutil.which("make"), reason="needs make, on Linux"
)


def set_up(
    folder: Path, index: str, *, system="Linux x86_64", driver=False, fails=0, target="lab", packages="", **variables
) -> tuple[list[str], str]:
    """What `make .venv/lab` asks of pip, line by line, and what it says, where `index` is PyTorch's own."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    programs = {
        "python": RECORDING_PYTHON,
        "uname": f"#!/bin/sh\necho {system}\n",
        "nvidia-smi": f"#!/bin/sh\nexit {int(not driver)}\n",
    }
    for name, text in programs.items():
        program = folder / ".venv" / "bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    given = [f"CPU_INDEX={index}", *(f"{name}={value}" for name, value in variables.items())]
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    for name in ("GPU", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"):  # of the make that runs the tests
        environment.pop(name, None)
    environment |= {"CPU_BUILD_FAILS": str(fails), "PYTHONPATH": str(packages)}
    command = ["make", "--silent", f".venv/{target}", *given]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0 and (folder / ".venv" / target).exists(), ended.stderr
    return (folder / "asked").read_text().splitlines(), ended.stderr


@contextlib.contextmanager
def index_that(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server on this machine that does `answer` to each connection, and leaves it open."""
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):  # closed: the test is over
                while True:
                    connections.append(server.accept()[0])
                    answer(connections[-1])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/whl/cpu"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in connections:
            connection.close()


def begins_a_page(connection: socket.socket) -> None:
    """A slow network: the head of a page that never ends."""
    assert connection.recv(4096).startswith(b"GET /whl/cpu/torch/ ")
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n<html>")


@needs_make
@pytest.mark.parametrize("target, extras", [("lab", ""), ("dev", "[dev]")])
def test_without_a_driver_the_cpu_build_comes_from_pytorchs_own_index(tmp_path, target, extras):
    with index_that(begins_a_page) as index:
        asked, said = set_up(tmp_path, index, target=target)
    pinned = [requirement for requirement in PROJECT["dependencies"] if requirement.startswith("torch")]
    assert len(pinned) == 2
    assert asked == [f"-m pip install --quiet --index-url {index} {' '.join(pinned)}", EDITABLE.format(extras)]
    assert said == ""


@needs_make
@pytest.mark.parametrize(
    "elsewhere",
    [{"system": "Darwin arm64"}, {"system": "Linux aarch64"}, {"driver": True}, {"GPU": 1}],
    ids=lambda elsewhere: " ".join(f"{name}={value}" for name, value in elsewhere.items()),
)
def test_elsewhere_pytorch_comes_from_the_default_index(tmp_path, elsewhere):
    with index_that(begins_a_page) as index:
        assert set_up(tmp_path, index, **elsewhere) == ([EDITABLE.format("")], "")


def says_that_it_falls_back(said: str) -> bool:
    return said.count("\n") == 1 and said.startswith("No PyTorch from http") and "the default index" in said


@needs_make
def test_an_index_that_never_answers_is_given_up(tmp_path):
    with index_that(lambda connection: None) as index:
        asked, said = set_up(tmp_path, index)
    assert asked == [EDITABLE.format("")] and says_that_it_falls_back(said)


@needs_make
@pytest.mark.parametrize(
    "index", ["http://index.invalid/whl/cpu", "http://127.0.0.1:1/whl/cpu"], ids=["no such name", "refused"]
)
def test_an_index_that_cannot_be_reached_is_given_up(tmp_path, index):
    asked, said = set_up(tmp_path, index)
    assert asked == [EDITABLE.format("")] and says_that_it_falls_back(said)


@needs_make
def test_where_the_cpu_build_cannot_be_installed_the_default_indexs_is(tmp_path):
    with index_that(begins_a_page) as index:
        asked, said = set_up(tmp_path, index, fails=1)
    assert len(asked) == 2 and "--index-url" in asked[0] and asked[1] == EDITABLE.format("")
    assert says_that_it_falls_back(said)


@needs_make
def test_a_pytorch_that_is_there_stays(tmp_path):
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "torchvision.py").touch()
    with index_that(begins_a_page) as index:
        assert set_up(tmp_path, index, packages=packages) == ([EDITABLE.format("")], "")
