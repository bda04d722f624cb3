"""The formgrader by mouse, in Chromium: list, autograde, a manual mark that is kept, feedback. And feedback on a phone, offline."""

import re
import shutil
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from test_class import LESSON, NAME, POINTS, WRONG, new_gradebook, notebook  # noqa: F401 (a fixture)
from test_formgrader import serving

from autograde.__main__ import main
from autograde.grading.classroom import Course, prepare
from autograde.lessons.lesson import ROOT

expect = pytest.importorskip("playwright.sync_api", reason='no browser is driven: pip install -e ".[dev]"').expect
pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture
def course(tmp_path, new_gradebook) -> Course:  # noqa: F811
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    made = Course.find(tmp_path)
    shutil.copy(new_gradebook, tmp_path / "grading")
    prepare(made, [LESSON])
    folder = made.submission_folder("bob", LESSON.name)
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(notebook(bits_per_dim=WRONG))
    return made


def score(course: Course) -> float:
    with Gradebook(*course.database) as book:
        return book.find_submission(LESSON.name, "bob").score


def press(page, server: str, button: str) -> None:
    """A button in bob's row, and the box that says how it went."""
    page.goto(f"{server}/formgrader/manage_submissions/{LESSON.name}")
    page.locator(f"tr:has(td.student-id:text-is('bob')) td.{button} a").click()
    page.locator(".modal-title:visible", has_text="Success").wait_for()


def test_an_instructors_clicks(page, course, violations, monkeypatch):
    monkeypatch.chdir(course.root)
    with serving(course.root) as server:
        page.goto(f"{server}/formgrader/manage_assignments")
        page.get_by_text(LESSON.name, exact=True).first.wait_for()
        press(page, server, "autograde")
        graded = score(course)
        assert 0 < graded < POINTS
        with Gradebook(*course.database) as book:
            submission = book.find_submission_notebook(LESSON.name, LESSON.name, "bob").id
            full = book.find_grade("bits_per_dim-check", LESSON.name, LESSON.name, "bob").max_score
        page.goto(f"{server}/formgrader/submissions/{submission}")
        assert (
            page.get_by_text("These are nats per dimension.").count()
            == 1
            == page.get_by_text("bits_per_dim: not yet").count()
        )
        box = page.locator("input.score#bits_per_dim-check")
        # The page listens once it has fetched the marks, which comes after it has loaded.
        expect(box).to_have_attribute("placeholder", re.compile(r"\d"))
        with page.expect_response(lambda answer: "/api/grade/" in answer.url and answer.request.method == "PUT"):
            box.fill(f"{full:g}")
            box.press("Tab")
        assert score(course) == graded + full
        press(page, server, "autograde")
        assert score(course) == graded + full  # what a human gave stays
        press(page, server, "generate-feedback")
    assert main(["report", "00"]) == main(["report"]) == 0
    for written in (f"{LESSON.name}.html", "index.html"):
        page.goto((course.root / "grading" / "reports" / written).as_uri())
        assert violations(page) == [], written
    (feedback,) = Path(course.root, "grading", "feedback", "bob").rglob("*.html")
    page.context.set_offline(True)
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(feedback.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert violations(page) == []
    assert page.locator("math").count() > 5
    assert page.locator("math").first.bounding_box()["height"] > 0
    assert page.get_by_text("These are nats per dimension.").count() == 1
