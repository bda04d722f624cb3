"""The build: the same bytes from the same lesson, nothing of a solution in what students get, one line for what is malformed."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from autograde.catalogue import CATALOGUE, Exercise
from autograde.lessons import build as builder
from autograde.lessons.answer_keys import compile_key, key_holds
from autograde.lessons.build import (
    NOTEBOOKS,
    build,
    check_id,
    remove_left_over,
    source_notebook,
)
from autograde.lessons.last_cells import HAND_IN_IDS, release_data
from autograde.lessons.lesson import BEGIN, END, ROOT, LessonError, lesson_names, read_lesson
from autograde.lessons.proofread import README, proofread, still_spoken_of, update_readme, with_row
from autograde.lessons.solutions import reference_namespace
from vae_helpers.checks import KEYS
from vae_helpers.checks.probes import PROBES, probe
from vae_helpers.submissions.released import LESSONS as RELEASED
from vae_helpers.submissions.released import released_names

LESSONS = lesson_names()
EXERCISES = {exercise: lesson for lesson in LESSONS for exercise in read_lesson(lesson).exercises}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Builds a lesson once into a folder of its own; returns that folder."""
    made = {}

    def build_into(lesson: str) -> Path:
        if lesson not in made:
            made[lesson] = tmp_path_factory.mktemp(lesson)
            shutil.copytree(KEYS, made[lesson] / "keys")
            build(read_lesson(lesson), *(made[lesson] / part for part in ("notebooks", "source", "keys", "lessons")))
        return made[lesson]

    return build_into


def notebook_of(folder: Path, lesson: str) -> Path:
    return folder / lesson / f"{lesson}.ipynb"


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_committed_notebook_is_what_the_text_gives(fresh, lesson):
    committed = notebook_of(NOTEBOOKS, lesson).read_bytes()
    assert committed == notebook_of(fresh(lesson) / "notebooks", lesson).read_bytes(), "stale: run make notebooks"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_committed_key_holds(fresh, exercise):
    """The build keeps a key that says what is seen here, whatever the last digits, and writes another in place of any other."""
    file = f"{exercise}.safetensors"
    assert (KEYS / file).read_bytes() == (fresh(EXERCISES[exercise]) / "keys" / file).read_bytes(), (
        "stale: run make notebooks"
    )


def test_every_key_and_every_notebook_has_its_lesson():
    assert {path.stem for path in KEYS.glob("*")} == set(EXERCISES), (
        "run make notebooks, and commit what it adds and removes"
    )
    assert {path.stem for path in NOTEBOOKS.glob("*/*.ipynb")} == set(LESSONS)


def test_another_process_with_other_hashes_makes_the_same_bytes(fresh, tmp_path):
    lesson = LESSONS[0]
    code = f"""if True:
        from pathlib import Path
        from autograde.lessons.build import generate_assignment, write_source
        from autograde.lessons.lesson import read_lesson
        write_source(read_lesson({lesson!r}), Path("source"))
        generate_assignment({lesson!r}, Path.cwd())
    """
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Pacific/Auckland", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True)
    for there, here in (("source", "source"), ("release", "notebooks")):
        assert notebook_of(tmp_path / there, lesson).read_bytes() == notebook_of(fresh(lesson) / here, lesson).read_bytes()


@pytest.mark.parametrize("lesson", LESSONS)
def test_students_get_every_exercise_and_no_solution(lesson):
    text = notebook_of(NOTEBOOKS, lesson).read_text(encoding="utf-8")
    assert "SOLUTION" not in text
    cells = {cell.id: cell for cell in nbformat.reads(text, as_version=4).cells}
    for exercise, cell in read_lesson(lesson).exercises.items():
        assert "NotImplementedError" in cells[exercise].source
        left = {line.strip() for line in cells[exercise].source.splitlines()}
        assert not left & solution_lines(cell.source)
        assert not cells[exercise].outputs
        assert cells[check_id(exercise)].metadata.nbgrader.points == cell.points


def solution_lines(source: str) -> set[str]:
    lines, inside = set(), False
    for line in source.splitlines():
        inside = (inside or BEGIN in line) and END not in line
        if inside and BEGIN not in line:
            lines.add(line.strip())
    assert lines
    return lines - {""}


def test_nothing_but_notebooks_is_handed_out():
    assert {path.suffix for path in NOTEBOOKS.rglob("*") if path.is_file() and ".ipynb_checkpoints" not in path.parts} <= {
        ".ipynb",
        ".safetensors",
    }


@pytest.mark.parametrize("path", sorted((ROOT / "vae_helpers").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_vae_helpers_stands_alone(path):
    text = path.read_text(encoding="utf-8")
    assert "SOLUTION" not in text
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value] if node.value in ("autograde", "solutions") else []
        assert not [name for name in names if name.split(".")[0] in ("autograde", "solutions")]


# Malformed lessons.

EXERCISE = '```python exercise="gaussian_kl" points=2\ngaussian_kl = None\n### BEGIN SOLUTION\ngaussian_kl = 1\n### END SOLUTION\n```\n'


def lesson_of(tmp_path: Path, text: str):
    folder = tmp_path / "09_bad"
    folder.mkdir(parents=True)
    (folder / "09_bad.md").write_text(text, encoding="utf-8")
    return read_lesson("09_bad", tmp_path)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("# A\n\n" + EXERCISE.replace("### END SOLUTION\n", ""), 5, "not closed"),
        ("# A\n\n" + EXERCISE.replace("### BEGIN SOLUTION\n", ""), 6, "no BEGIN SOLUTION"),
        (EXERCISE.replace("### BEGIN SOLUTION\n", "### BEGIN SOLUTION\n" * 2), 4, "begins inside the one of line 3"),
        (EXERCISE.replace("### BEGIN SOLUTION\n", "").replace("### END SOLUTION\n", ""), 1, "has no ### BEGIN SOLUTION"),
        ("# A\n\n```python\nx = 1\n", 3, "never closed"),
        ("```python\nx = 1\n\n" + EXERCISE, 1, "not closed before the next one opens on line 4"),
        ("# A\n\n" + EXERCISE + "\n# B\n\n" + EXERCISE, 12, "exercise gaussian_kl stands here and on line 3"),
        ("# A\n\n" + EXERCISE.replace(" points=2", ""), 3, "has no points"),
        ("# A\n\n" + EXERCISE.replace("points=2", "points=-1"), 3, "has no points"),
        ("# A\n\n" + EXERCISE.replace("points=2", "points=true"), 3, "has no points"),
        ("# A\n\n" + EXERCISE.replace("points=2", "point=2"), 3, "unknown word in the fence: point"),
        ("# A\n\n```python\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION\n```\n", 3, "in a cell that is no exercise"),
    ],
)
def test_a_malformed_lesson_gets_one_line_with_file_and_line(tmp_path, text, line, words):
    with pytest.raises(LessonError) as caught:
        lesson_of(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / '09_bad' / '09_bad.md'}:{line}: ")
    assert words in message
    assert "\n" not in message


def test_the_well_formed_lesson_that_these_spoil_is_read(tmp_path):
    lesson = lesson_of(tmp_path, "# A\n\n" + EXERCISE)
    assert lesson.exercises["gaussian_kl"].points == 2
    assert lesson.exercises["gaussian_kl"].line == 4


# What a contributor forgets.


@pytest.fixture
def newcomer():
    """Registers an exercise's probe and entry, and forgets them afterwards."""
    probes, entries = dict(PROBES), dict(CATALOGUE)
    yield lambda name: (probe(name)(lambda _, see: see.call("a call", len, [1])), Exercise(name))
    for registry, kept in ((PROBES, probes), (CATALOGUE, entries)):
        registry.clear()
        registry.update(kept)


def refused(lesson, tmp_path) -> str:
    """What the build says, which writes nothing."""
    folders = [tmp_path / part for part in ("notebooks", "source", "keys", "lessons")]
    with pytest.raises(LessonError) as caught:
        build(lesson, *folders)
    assert not any(folder.exists() for folder in folders)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_exercise_without_a_probe_or_an_entry_is_told_where_to_write_it(tmp_path, newcomer):
    lesson = lesson_of(tmp_path, "# A\n\n" + EXERCISE.replace("gaussian_kl", "nonsense"))
    where = f"{lesson.path}:3: "
    said = refused(lesson, tmp_path)
    assert said == f'{where}nonsense has no probe: write @probe("nonsense") in vae_helpers/checks/probes/lesson_09.py'
    prediction = lesson_of(tmp_path / "more", EXERCISE.replace("gaussian_kl", "predict_nonsense"))
    assert 'has no probe: write choice("predict_nonsense", "abc") in ' in refused(prediction, tmp_path)
    newcomer("old_name")
    assert refused(lesson, tmp_path) == f"{said} (it has old_name, which no lesson has: renamed?)"
    probe("nonsense")(PROBES.pop("old_name"))
    entry = 'nonsense has no catalogue entry: write nonsense = Exercise("nonsense") in autograde/catalogue/lesson_09.py'
    assert refused(lesson, tmp_path) == f"{where}{entry} (it has old_name, which no lesson has: renamed?)"
    del CATALOGUE["old_name"]
    assert refused(lesson, tmp_path) == f"{where}{entry}"


def test_a_name_that_another_lesson_has(tmp_path, monkeypatch):
    text = (ROOT / "solutions" / LESSONS[0] / f"{LESSONS[0]}.md").read_text(encoding="utf-8")
    (tmp_path / LESSONS[0]).mkdir()
    (tmp_path / LESSONS[0] / f"{LESSONS[0]}.md").write_text(text + "\n" + EXERCISE, encoding="utf-8")
    said = refused(read_lesson(LESSONS[0], tmp_path), tmp_path)
    assert "03_kl_divergence has an exercise called gaussian_kl already: give this one another name" in said


@pytest.mark.parametrize(
    ("implementation", "raises", "words"),
    [
        (
            lambda x, y: x,
            None,
            r"the reference raises TypeError: .* \(a call\): mend the solution, or its probe in .*/probes/lesson_03\.py; .* raises=",
        ),
        (lambda x, y: x, ValueError, "the reference raises TypeError"),
        (lambda x: x, ValueError, r"the reference raises no ValueError \(a call\)"),
    ],
)
def test_a_reference_that_raises_where_the_probe_does_not_say_so(implementation, raises, words, monkeypatch):
    key = (KEYS / "gaussian_kl.safetensors").read_bytes()
    assert key_holds("gaussian_kl", key)
    monkeypatch.setitem(PROBES, "gaussian_kl", lambda f, see: see.call("a call", f, see.normal(3), raises=raises))
    monkeypatch.setitem(CATALOGUE["gaussian_kl"].__dict__, "_solution", implementation)
    for look in (compile_key, lambda name: key_holds(name, key)):
        with pytest.raises(LessonError, match=f"^gaussian_kl: {words}"):
            look("gaussian_kl")


def test_a_probe_that_calls_an_argument_by_another_name(monkeypatch):
    monkeypatch.setitem(
        PROBES, "gaussian_kl", lambda f, see: see.call("a call", f, see.normal(1, 3), see.normal(1, 3), inputs=["mu", "lv"])
    )
    said = r"^gaussian_kl: the reference has no argument 'lv' there, but 'logvar' \(a call\): mend its probe in [\w/]+lesson_03\.py$"
    with pytest.raises(LessonError, match=said):
        compile_key("gaussian_kl")


def test_the_build_says_which_call_names_no_argument(monkeypatch):
    monkeypatch.setitem(PROBES, "gaussian_kl", lambda f, see: see.call("a call", f, see.normal(3), gradients=["lv"]))
    with pytest.raises(LessonError, match=r"^gaussian_kl: a call: gradients=\['lv'\] names no argument"):
        compile_key("gaussian_kl")


def test_registering_twice_is_said_by_the_build_in_one_line(tmp_path, monkeypatch):
    def load():
        Exercise("gaussian_kl")

    monkeypatch.setattr(builder, "load_catalogue", load)
    assert refused(lesson_of(tmp_path, EXERCISE), tmp_path).startswith(
        "autograde/catalogue has two entries called 'gaussian_kl'"
    )


def test_a_slip_in_the_catalogue_is_told_with_its_place(tmp_path, monkeypatch, newcomer):
    lesson = lesson_of(tmp_path, EXERCISE)
    monkeypatch.setattr(builder, "load_catalogue", lambda: 1 / 0)
    assert re.fullmatch(r".*test_build\.py:\d+: ZeroDivisionError: division by zero", refused(lesson, tmp_path))
    monkeypatch.undo()
    monkeypatch.setattr(builder, "ROOT", tmp_path)
    module = tmp_path / "autograde" / "catalogue" / "lesson_09.py"
    module.parent.mkdir(parents=True)
    module.write_text('\n@kl.mistake("…")\ndef slip(mu):\n    return reference("gausian_kl")(mu)\n')
    said = "autograde/catalogue/lesson_09.py:4: no exercise is called 'gausian_kl' (near it: gaussian_kl"
    assert refused(lesson, tmp_path).startswith(said)


def test_a_mistake_that_cannot_be_made_is_named(monkeypatch):
    entry = CATALOGUE["gaussian_kl"]
    monkeypatch.setattr(entry, "mistakes", dict(entry.mistakes))
    entry.edited("slip", "no such text", "", "a hint")
    said = "the mistake 'slip' in autograde/catalogue/lesson_03.py: `no such text` stands 0 times in the solution, not once"
    with pytest.raises(LessonError, match=re.escape(said)):
        compile_key("gaussian_kl")


CARD = "### Exercise 1 · `gaussian_kl` ★★ · 2 points · 5 minutes"
HINTS = "".join(f"<details><summary>Hint {n}</summary>\n\nA hint.\n\n</details>\n\n" for n in (1, 2))
CALL = '```python\nshow(figure, "a caption", "an alternative text")\nexplore(draw, "c", alt="a", t=(0, 1, 1))\n```\n'
PICTURE = "    " + "x" * 81
PROOF = f"""# 09 Bad

**When you are done, you can**

- prove it.

**Time** 10 to 10 minutes. **Points** 2.

**Builds on** nothing.

## 1 What it is

{CARD}

{HINTS}{EXERCISE}
{CALL}
{PICTURE}

## What you should be able to do now

- Prove it.

## References

- A book.
"""


def proved(tmp_path: Path, text: str, hints: dict | None = None) -> None:
    proofread(lesson_of(tmp_path, text), hints or {})


@pytest.mark.parametrize(
    "text",
    [
        PROOF,
        PROOF.replace(CARD, "### Challenge 1 · `gaussian_kl` ★★ · no points · 5 minutes")
        .replace("points=2", "points=0")
        .replace("**Points** 2", "**Points** 0")
        .replace("10 to 10", "5 to 5"),
        PROOF.replace("points=2", 'points=2 check="kl"').replace("`gaussian_kl`", "`kl`"),
        PROOF.replace(HINTS, "### A word before\n\n" + CARD + "\n\n" + HINTS).replace(CARD + "\n\n###", "###"),
        PROOF.replace(CALL, CALL + "\n```python claim=true\nassert True, " + "x" * 100 + "\n```\n"),
        PROOF.replace(PICTURE, "$$ a\n    " + "x" * 200 + " $$"),
    ],
)
def test_what_agrees_is_left_alone(tmp_path, text):
    proved(tmp_path, text, {"gaussian_kl": ["See `kl_1d`, and lesson 03."]})


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("**Points** 2", "**Points** 3", 7, "write **Time** 10 to 10 minutes. **Points** 2."),
        ("10 to 10", "5 to 10", 7, "write **Time** 10 to 10 minutes. **Points** 2."),
        ("· 5 minutes", "· 25 minutes", 7, "write **Time** 30 to 35 minutes. **Points** 2."),
        ("# 09 Bad", "# Bad", 1, "write # 09 and the title"),
        (
            "**When you are",
            "**If you are",
            1,
            "the lesson's head lacks a line: **When you are done, you can**, and below it a list",
        ),
        ("**Builds on** nothing.", "", 7, "the lesson's head lacks a line: **Builds on** what it needs"),
        ("## 1 What", "## What", 11, "sections are numbered: write ## 1 and the title"),
        ("## 1 What", "## 2 What", 11, "sections are numbered: write ## 1 and the title"),
        (
            CARD + "\n\n" + HINTS,
            "## Exercise 1: the KL ★ (2 points)\n\n",
            15,
            f"gaussian_kl has no heading of its own: write {CARD.replace('★★', '★').replace('5', 'N')}",
        ),
        (CARD, CARD + "\n\n### Mend it", 13, "no exercise follows this heading"),
        ("Exercise 1", "Exercise 2", 13, f"write {CARD}"),
        ("Exercise 1", "Prediction 1", 13, f"write {CARD}"),
        ("· 2 points", "· 3 points", 13, f"write {CARD}"),
        ("· 2 points", "· no points", 13, f"write {CARD}"),
        (" ★★ ·", " ·", 13, "write ### Exercise 1 · `gaussian_kl` ★ · 2 points · 5 minutes"),
        ("`gaussian_kl`", "`kl`", 13, f"write {CARD}"),
        (
            "· 5 minutes",
            "· 5 minutes, like exercise 1",
            13,
            "write ### Exercise 1 · `gaussian_kl` ★★ · 2 points · N minutes",
        ),
        ("Hint 2", "Hint", 21, "write Hint 2"),
        (
            "A book.",
            "A book.\n\n<details><summary>Hint 1</summary>",
            49,
            "hints stand between the heading of an exercise and its cell",
        ),
        (PICTURE, PICTURE + "x", 39, "86 characters: text that is shown as it stands has at most 85"),
        ("show(figure", "x = '" + "x" * 95 + "'\nshow(figure", 35, "101 characters: a line of code has at most 100"),
        (
            "show(figure",
            'hand_in("09_bad")\nshow(figure',
            35,
            "write no hand_in(…): the build puts it at the end of every lesson",
        ),
        ("- Prove it.", "- [ ] Prove it.", 43, "a plain list, without boxes"),
        ("- prove it.", "- prove it, as in exercise 1.", 5, "write `gaussian_kl` for 'exercise 1'"),
        ("a caption", "as in Exercise 7", 35, "write `NAME` for 'Exercise 7'"),
        ('"a caption"', '" "', 35, "show has an empty caption: write one"),
        ('"an alternative text"', '""', 35, "show has an empty alternative text: write one"),
        (', "an alternative text"', "", 35, "show has no alternative text: write one"),
        ('"c"', '""', 36, "explore has an empty caption: write one"),
        ('alt="a"', 'alt=""', 36, "explore has an empty alternative text: write one"),
        (
            'show(figure, "a',
            'check("old_name", f), show(figure, "a',
            35,
            "this checks 'old_name', and no fence of the lesson has that",
        ),
    ],
)
def test_what_does_not_agree_is_said_with_what_to_write(tmp_path, old, new, line, words):
    assert PROOF.count(old) == 1
    lesson = lesson_of(tmp_path, PROOF.replace(old, new))
    said = refused(lesson, tmp_path)
    assert said.startswith(f"{lesson.path}:{line}: {words}"), said


def test_a_lesson_that_ends_without_its_closing_sections(tmp_path):
    with pytest.raises(
        LessonError, match="its last sections are ## What you should be able to do now, and then ## References"
    ):
        proved(tmp_path, PROOF.replace("## References", "## 2 More"))


def test_a_prediction_lists_its_options(tmp_path):
    card = "### Prediction 1 · `predict_narrow` ★ · 1 point · 5 minutes"
    text = (
        PROOF.replace("gaussian_kl", "predict_narrow")
        .replace("points=2", "points=1")
        .replace("**Points** 2", "**Points** 1")
    )
    text = text.replace(
        CARD.replace("gaussian_kl", "predict_narrow"), card + "\n\n- **a** Up.\n- **b** Down.\n- **c** Neither."
    )
    text = text.replace(CALL, CALL + '\n```python\nreveal("predict_narrow")\n```\n')
    proved(tmp_path / "well", text)
    with pytest.raises(
        LessonError, match=r'nothing tells which answer is right: after the run write reveal\("predict_narrow"\)'
    ):
        proved(tmp_path / "untold", text.replace("reveal", "print"))
    for wrong in (text.replace("- **c** Neither.\n", ""), text.replace("- **b**", "- (b)")):
        with pytest.raises(
            LessonError, match=r"list the options above it, one a line, as - \*\*a\*\*, \*\*b\*\*, \*\*c\*\*"
        ):
            proved(tmp_path / str(len(wrong)), wrong)


def test_a_lesson_names_its_neighbours_at_both_ends(tmp_path):
    link = "Previous: [08 Good](../08_good/08_good.ipynb)"
    (tmp_path / "08_good").mkdir()
    (tmp_path / "08_good" / "08_good.md").write_text("# 08 Good things, and more\n", encoding="utf-8")
    for text, line, words in (
        (PROOF, 3, "below the title write Previous: [08 Good things, and more](../08_good/08_good.ipynb)"),
        (PROOF.replace("Bad\n", f"Bad\n\n{link}\n"), 49, f"at the end write {link}"),
        (PROOF.replace("Bad\n", f"Bad\n\n{link}\n") + "\n" + link + "\n", None, None),
    ):
        (tmp_path / "09_bad").mkdir(exist_ok=True)
        path = tmp_path / "09_bad" / "09_bad.md"
        path.write_text(text, encoding="utf-8")
        read_lesson.cache_clear()
        lesson = read_lesson("09_bad", tmp_path)
        if words is None:
            proofread(lesson, {})
            continue
        with pytest.raises(LessonError) as caught:
            proofread(lesson, {})
        assert str(caught.value) == f"{path}:{line}: {words}"


def test_a_long_lesson_says_where_a_second_sitting_begins(tmp_path):
    text = PROOF.replace("· 5 minutes", "· 120 minutes").replace("10 to 10", "125 to 145")
    with pytest.raises(LessonError, match=r"it takes 125 minutes: write \*\*A second sitting can begin here\.\*\* where"):
        proved(tmp_path / "one", text)
    proved(tmp_path / "two", text.replace("- A book.", "- A book.\n\n**A second sitting can begin here.** Save."))


def test_all_numbers_that_changed_are_said_at_once(tmp_path):
    """An exercise was added before them, by a copy of its heading's number."""
    later = "".join(
        f"\n### Exercise {n} · `e{n}` ★ · 2 points · 3 minutes\n\n" + EXERCISE.replace("gaussian_kl", f"e{n}")
        for n in (1, 2)
    )
    lesson = lesson_of(tmp_path, PROOF.replace(EXERCISE, EXERCISE + later))
    with pytest.raises(LessonError) as caught:
        proofread(lesson, {})
    assert str(caught.value) == (
        f"{lesson.path}:34: write ### Exercise 2 · `e1` ★ · 2 points · 3 minutes; "
        "on line 43 write ### Exercise 3 · `e2` ★ · 2 points · 3 minutes"
    )


def test_a_hint_that_counts_exercises(tmp_path, newcomer):
    newcomer("fresh")
    CATALOGUE["fresh"].wrong_choice("one", 1, "As in exercise 1.")
    lesson = lesson_of(tmp_path, PROOF.replace("gaussian_kl", "fresh"))
    said = refused(lesson, tmp_path)
    assert said == f"a hint of fresh in autograde/catalogue/lesson_09.py: write `fresh` for 'exercise 1': {COUNTED}"


COUNTED = "numbers change when an exercise is added"


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_readme_has_the_lesson_s_numbers(lesson):
    text = README.read_text(encoding="utf-8")
    assert with_row(text, read_lesson(lesson)) == text, "stale: run make notebooks"


def test_the_build_writes_the_lesson_s_numbers_into_the_readme(tmp_path):
    lesson = lesson_of(tmp_path, PROOF)
    readme = tmp_path / "README.md"
    row, other = (
        "| [09 A](notebooks/09_bad/09_bad.ipynb) | play |",
        "| [08 B](notebooks/08/08.ipynb) | see | 5 | 8 | 9 |\n",
    )
    readme.write_text(f"# R\n\n{other}{row} 5–9 | 7 | 8 |\n", encoding="utf-8")
    update_readme([lesson], readme)
    assert readme.read_text(encoding="utf-8") == f"# R\n\n{other}{row} 10–10 | 1 | 2 |\n"
    readme.write_text(other, encoding="utf-8")
    with pytest.raises(
        LessonError,
        match=r"no row for 09_bad: write \| \[09 Bad\]\(notebooks/09_bad/09_bad\.ipynb\) \| .* \| 10–10 \| 1 \| 2 \|",
    ):
        update_readme([lesson], readme)
    assert readme.read_text(encoding="utf-8") == other


def test_where_an_old_name_is_still_spoken_of(tmp_path):
    for file, text in {
        "solutions/00_a/00_a.md": "# A\n\nAs in `old_name`, with old_name ink, not `old_names`.\n",
        "autograde/catalogue/lesson_00.py": 'new_name = Exercise("new_name")\n',
        "tests/test_references_00.py": "x = 1\nreference('old_name')\n",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    assert still_spoken_of("old_name", tmp_path) == ["solutions/00_a/00_a.md:3", "tests/test_references_00.py:2"]


def test_a_key_that_no_lesson_has_any_more_is_removed(tmp_path):
    for name in ("gaussian_kl", "old_name"):
        (tmp_path / f"{name}.safetensors").write_text("a key")
    told = tmp_path / "lessons"
    told.mkdir()
    for name in (LESSONS[0], "99_gone"):
        (told / f"{name}.json").write_text("{}")
    assert remove_left_over(tmp_path, told) == ["old_name"]
    assert {path.stem for path in tmp_path.iterdir()} == {"gaussian_kl", "lessons"}
    assert [path.stem for path in told.iterdir()] == [LESSONS[0]]


@pytest.mark.parametrize("lesson", LESSONS)
def test_what_is_told_of_a_lesson_is_what_is_handed_out(lesson):
    """Of the committed notebook: so whoever has one and not the other is told."""
    told = (RELEASED / f"{lesson}.json").read_text(encoding="utf-8")
    assert told == release_data(read_lesson(lesson), notebook_of(NOTEBOOKS, lesson)), "stale: run make notebooks"
    assert set(released_names()) == set(LESSONS)


@pytest.mark.parametrize(("solution", "words"), [("gaussian_kl = (1", "SyntaxError: "), ("1 / 0", "ZeroDivisionError: ")])
def test_a_solution_that_does_not_run(tmp_path, solution, words):
    lesson = lesson_of(tmp_path, "# A\n\n" + EXERCISE.replace("gaussian_kl = 1", solution))
    with pytest.raises(LessonError, match=rf"09_bad\.md:4: the cell that begins here stops with {words}") as caught:
        reference_namespace(lesson)
    assert "\n" not in str(caught.value)


def test_an_unknown_lesson(tmp_path):
    with pytest.raises(LessonError, match="no lesson is called '12_nowhere'"):
        read_lesson("12_nowhere", tmp_path)


def test_the_command_says_in_one_line_what_is_wrong():
    done = subprocess.run([sys.executable, "-m", "autograde", "build", "nonsense"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "no lesson is called 'nonsense'" in done.stderr


@pytest.mark.parametrize("step", ["compile_key", "write_source", "generate_assignment"])
def test_a_build_that_fails_leaves_what_there_was(tmp_path, monkeypatch, step):
    lesson = lesson_of(tmp_path, PROOF)
    folders = [tmp_path / part for part in ("notebooks", "source", "keys", "lessons")]
    files = [
        notebook_of(folders[0], lesson.name),
        notebook_of(folders[1], lesson.name),
        folders[2] / "gaussian_kl.safetensors",
        folders[3] / f"{lesson.name}.json",
    ]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("old")

    def fail(*_):
        raise LessonError("broken on purpose")

    monkeypatch.setattr(builder, step, fail)
    with pytest.raises(LessonError, match="broken on purpose"):
        build(lesson, *folders)
    assert [file.read_text() for file in files] == ["old"] * 4
    assert [len(list(folder.rglob("*.*"))) for folder in folders] == [1, 1, 1, 1]


def test_a_build_leaves_only_the_notebook_to_hand_out(tmp_path):
    lesson = read_lesson(LESSONS[0])
    folders = [tmp_path / part for part in ("notebooks", "source", "keys", "lessons")]
    notebook_of(folders[1], lesson.name).parent.mkdir(parents=True)
    (folders[1] / lesson.name / "vae.safetensors").write_text("trained by the instructor")
    build(lesson, *folders)
    assert [path.name for path in (folders[1] / lesson.name).iterdir()] == [f"{lesson.name}.ipynb"]


def test_an_edit_changes_no_other_cell_s_id(tmp_path):
    text = "# A\n\n```python\nx = 1\n```\n\nwords\n\n" + EXERCISE
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    before = source_notebook(lesson_of(tmp_path / "before", text)).cells
    after = source_notebook(lesson_of(tmp_path / "after", text.replace("x = 1", "x = 2"))).cells
    differ = [a.id != b.id for a, b in zip(before, after, strict=True)]
    assert differ == [False, True, *[False] * (len(before) - 2)]


def test_equal_cells_have_ids_of_their_own(tmp_path):
    notebook = source_notebook(lesson_of(tmp_path, "```python\nx = 1\n```\n\n```python\nx = 1\n```\n"))
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells) == 2 + len(HAND_IN_IDS)
