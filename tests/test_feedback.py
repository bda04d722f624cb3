"""The feedback that a student reads."""

import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from latex2mathml.converter import convert
from nbgrader.api import Gradebook
from test_class import LESSON, NAME, POINTS, WRONG, new_gradebook, notebook  # noqa: F401 (a fixture)

from autograde.grading.classroom import Course, grade_class
from autograde.lessons.build import NOTEBOOKS
from autograde.lessons.lesson import ROOT, lesson_names
from autograde.reports import feedback


@pytest.fixture(scope="module")
def page(tmp_path_factory, new_gradebook) -> str:  # noqa: F811
    """bob's, who is wrong in one exercise, and was late."""
    root = tmp_path_factory.mktemp("feedback")
    shutil.copy(ROOT / "nbgrader_config.py", root)
    with (root / "nbgrader_config.py").open("a") as config:
        config.write("\nc.LatePolicy.percent_per_day = 50\n")
    course = Course.find(root)
    shutil.copy(new_gradebook, root / "grading")
    folder = course.submission_folder("bob", LESSON.name)
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(notebook(bits_per_dim=WRONG))
    (folder / "timestamp.txt").write_text("2026-12-02 10:30:00.000000 UTC")
    grade_class(course, LESSON, progress=False)
    course.deadlines.set(LESSON.name, course.deadlines.utc("2026-12-02 01:00 UTC"))
    with Gradebook(*course.database) as book:
        book.find_comment("bits_per_dim", LESSON.name, LESSON.name, "bob").manual_comment = "See $\\log_2 e$."
        book.db.commit()
    command = [sys.executable, "-m", "nbgrader", "generate_feedback", LESSON.name]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return (root / "grading" / "feedback" / "bob" / LESSON.name / f"{LESSON.name}.html").read_text(encoding="utf-8")


def test_the_verdict_stands_there_once_with_the_students_own_code_and_a_hint(page):
    text = re.sub(r"<[^>]+>", "", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))
    assert (
        text.count("bits_per_dim: not yet. These are nats per dimension.")
        == 1
        == text.count("These are nats per dimension.")
    )
    answer, verdict = text.index("return nats / n_dims"), text.index("bits_per_dim: not yet")
    assert text.rindex("Your answer", 0, verdict) < answer < verdict
    assert "See <math" in page


def test_seeds_are_for_the_instructor(page):
    assert "inputs drawn from seed" not in page


def test_points_and_the_deadline_stand_on_top(page):
    top = page[page.index("<main>") : page.index("</ol>")]
    assert "late, which costs" in top and f"of {POINTS:.1f} points" in top
    for exercise in LESSON.exercises:
        assert f'href="#{exercise}-check"' in top


def test_the_page_needs_no_network_and_fits_a_phone(page):
    assert "<script" not in page and "<link" not in page
    assert not re.search(r'(?:src|href)="(?:https?:)?//(?![^"]*arxiv|[^"]*\b(?:org|com|edu)\b)', page)
    assert 'name="viewport"' in page and page.count("<main>") == 1


@pytest.mark.parametrize("name", lesson_names())
def test_every_formula_of_every_lesson_is_drawn(name, monkeypatch):
    seen, failed = [], []

    def recorded(latex: str, **words) -> str:
        seen.append(latex)
        try:
            return convert(latex, **words)
        except Exception as error:
            failed.append((latex, error))
            raise

    monkeypatch.setattr(feedback, "convert", recorded)
    for cell in nbformat.read(NOTEBOOKS / name / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "markdown":
            page = feedback.markdown(cell.source)
            assert "$" not in re.sub(r"<(pre|code)\b.*?</\1>", "", page, flags=re.DOTALL), cell.source
    assert seen and failed == []


def test_what_is_no_formula_is_shown_as_it_is():
    assert feedback.formula(r"\left( <b>", "inline") == r"<code>\left( &lt;b&gt;</code>"


def test_links_to_what_lies_beside_a_lesson_are_words_in_the_page(page):
    assert "[01 Latent variables](../01" in (NOTEBOOKS / LESSON.name / NAME).read_text(encoding="utf-8")
    assert "Next: 01 Latent variables" in page
    assert [url for url in re.findall(r'href="([^"]*)"', page) if not re.match("https?://|#", url)] == []
