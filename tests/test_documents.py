"""Documents that run, and that agree: examples, versions, forms."""

import ast
import contextlib
import doctest
import importlib
import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import vae_helpers
from autograde.grading.marks import Mark, Marks, State
from autograde.lessons.lesson import ROOT, lesson_names, read_lesson
from vae_helpers import versions
from vae_helpers.explore import values_of

VERSION = vae_helpers.__version__


def examples() -> list:
    """Every fence of a document, and every docstring of both packages, with `>>>` in it; and the module that it belongs to."""
    found = []
    for name in ("README.md", "CONTRIBUTING.md"):
        fences = re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        found += [pytest.param(text, None, id=name) for text in fences if ">>>" in text]
    for path in sorted([*ROOT.glob("vae_helpers/**/*.py"), *ROOT.glob("autograde/**/*.py")]):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ">>>" in (ast.get_docstring(node) or ""):
                name = f"{module}.{getattr(node, 'name', '')}"
                found.append(pytest.param(ast.get_docstring(node), module, id=name))
    return found


@pytest.mark.parametrize("text, module", examples())
def test_an_example_does_what_it_says(text, module):
    names = dict(vars(importlib.import_module(module))) if module else {}
    test = doctest.DocTestParser().get_doctest(text, names, "example", None, 0)
    said = []
    assert test.examples and doctest.DocTestRunner().run(test, out=said.append).failed == 0, "".join(said)


def test_the_readme_has_an_example():
    assert "README.md" in {example.id for example in examples()}


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    assert citation["version"] == VERSION
    assert headings[0] == "Unreleased" and headings[1] == VERSION
    assert re.search(rf'^version = "{re.escape(VERSION)}"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


def test_without_a_clone_the_version_is_the_metadatas(monkeypatch, tmp_path):
    monkeypatch.setattr(versions, "PYPROJECT", tmp_path / "pyproject.toml")
    monkeypatch.setattr(importlib.metadata, "version", {"vae-course": "7.8.9"}.get)
    assert vae_helpers.__version__ == "7.8.9"
    versions.PYPROJECT.write_text('[project]\nname = "another"\nversion = "5.0.0"\n')
    assert vae_helpers.__version__ == "7.8.9"


def test_where_nothing_says_the_version_that_is_said(monkeypatch, tmp_path):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(versions, "PYPROJECT", tmp_path / "pyproject.toml")
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert vae_helpers.__version__ == versions.UNKNOWN


def test_importing_the_helpers_looks_nothing_up():
    code = "import sys, vae_helpers; print('vae_helpers.versions' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "False\n"


def test_show_versions_says_what_a_report_needs(capsys):
    vae_helpers.show_versions()
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert list(said) == ["course", "Python", "PyTorch", "torchvision", "NumPy", "nbgrader", "platform"]
    assert said["course"] == VERSION
    assert said["nbgrader"] == importlib.metadata.version("nbgrader")
    assert re.match(r"\S+ \(\d+ threads, \S.*, .+\)$", said["PyTorch"])
    assert str(Path.home()) not in str(said)


def test_marks_say_which_course_gave_them_and_older_ones_are_still_read():
    mark = Mark("gaussian_kl", "passed", 2, 2, "passed.", None, 7)
    marks = Marks("03_kl_divergence", State.GRADED, [], [mark], True, "digest", "{}")
    content = json.loads(marks.to_json())
    assert content["version"] == VERSION
    assert (content["state"], content["exercises"][0]["state"]) == ("graded", "passed")
    assert Marks.from_json(marks.to_json()).exercises[0].state is State.PASSED
    with pytest.raises(ValueError, match="excellent"):
        Marks.from_json(json.dumps(content | {"state": "excellent"}))
    del content["exercises"][0]["written"]
    assert Marks.from_json(json.dumps(content | {"version": "0.0.9"})).version == "0.0.9"
    del content["version"]
    old = Marks.from_json(json.dumps(content))
    assert (old.version, old.points, old.exercises) == (None, 2, [mark])


def test_forms_are_forms():
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    forms = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in forms if path.stem != "config"}
    assert set(forms) == {"check", "fault", "lesson"}
    for form in forms.values():
        assert form["name"] and form["description"]
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        assert len({field["id"] for field in fields}) == len(fields) > 0
        assert all(field["type"] in ("input", "textarea") and field["attributes"]["label"] for field in fields)
    for name in ("check", "fault"):
        assert "vae_helpers.show_versions()" in str(forms[name])
    assert "- [ ]" in (ROOT / ".github" / "pull_request_template.md").read_text(encoding="utf-8")


def test_the_security_policy_names_a_private_way_and_no_address():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "private vulnerability reporting" in text and "tests/faults.py" in text
    assert not re.search(r"\S@\S|https?://", text)


def test_workflows_are_workflows_and_run_make_targets():
    folder = ROOT / ".github" / "workflows"
    paths = sorted(folder.glob("*.yml"))
    pytest.importorskip("check_jsonschema", reason='workflows are not linted: pip install -e ".[dev]"')
    lint = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, paths)]
    done = subprocess.run(lint, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    targets |= {".venv/dev", ".venv/lab"}
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    said = set(re.findall(r"run: make (\S+)$", text, re.MULTILINE)) | set(re.findall(r"target: (\w+)", text))
    assert {"test", "check", "site"} <= {word for word in said if not word.startswith("$")} <= targets
    lessons = yaml.safe_load((folder / "test.yml").read_text(encoding="utf-8"))["jobs"]["lessons"]["strategy"]["matrix"][
        "lesson"
    ]
    assert lessons == [name[:2] for name in lesson_names()]
    for path in re.findall(r"tests/test_\w+\.py", text):
        assert (ROOT / path).exists(), path


def test_a_codespace_is_set_up_by_make():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert container["onCreateCommand"] == "make .venv/lab" and container["postAttachCommand"].startswith("make lab ")


def test_every_picture_of_the_readme_is_there_and_has_an_alternative_text():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r'(?:srcset|src)="([^"]+)"', readme)
    assert {Path(address) for address in shown if "://" not in address} == {
        path.relative_to(ROOT) for path in (ROOT / ".github" / "pictures").iterdir()
    }
    images = re.findall(r"<img ([^>]*)>", readme)
    assert len(images) >= 4 and all(re.search(r'alt="[^"]{20,}"', image) for image in images)


SETTING = r"(?:`{name}`|\\{name}\b|(?<![\w`\\]){name})(?: = | to | |\$ = |\$ to )(−?\d+(?:\.\d+)?)(?![\d\w^)]|\.\d)"


def settings_named(lesson) -> Iterator[tuple[str, str, list]]:
    """(control, number, what the control can be set to) of each number that the text just before or after an explorer gives one."""
    for at, cell in enumerate(lesson.cells):
        calls = ast.walk(ast.parse(cell.source)) if cell.kind == "code" else ()
        for call in calls:
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "explore"):
                continue
            prose = [number for number, other in enumerate(lesson.cells) if other.kind == "markdown"]
            before, after = max(n for n in prose if n < at), min(n for n in prose if n > at)
            text = f"{lesson.cells[before].source}\n{lesson.cells[after].source}".replace("\n", " ")
            for control in call.keywords:
                with contextlib.suppress(ValueError):  # what is no literal is chosen from names
                    values = values_of(control.arg, ast.literal_eval(control.value))
                    for number in re.findall(SETTING.format(name=control.arg), text):
                        yield control.arg, number, values


def test_a_setting_that_the_text_names_can_be_set():
    named = [(name, *setting) for name in lesson_names() for setting in settings_named(read_lesson(name))]
    assert len({lesson for lesson, *_ in named}) >= 4, named
    off = [(lesson, name, number) for lesson, name, number, values in named if float(number.replace("−", "-")) not in values]
    assert off == []


def test_a_setting_that_cannot_be_set_is_found(tmp_path):
    """`sigma` to 0.3 is on the slider, $\\sigma = 0.35$ is not; powers and other names are no settings."""
    (tmp_path / "09_bad").mkdir()
    (tmp_path / "09_bad" / "09_bad.md").write_text(
        "# 09 Bad\n\nSet `sigma` to 0.3, then $\\sigma = 0.35$. A sigma of 7, $\\sigma^2$.\n\n"
        '```python\nexplore(draw, "c", "a", sigma=(0.1, 1.0, 0.1))\n```\n\nAnd sigma −1, `mu` 9.\n',
        encoding="utf-8",
    )
    named = list(settings_named(read_lesson("09_bad", tmp_path)))
    assert [number for _, number, _ in named] == ["0.3", "0.35", "−1"]
    assert [float(number.replace("−", "-")) in values for _, number, values in named] == [True, False, False]
