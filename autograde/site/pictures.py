"""The README's pictures: real screenshots, light and dark, of the site and of a made-up class's report. `make pictures`."""

import shutil
import tempfile
from pathlib import Path

from ..lessons.lesson import ROOT, CourseError, read_lesson
from .make import make

PICTURES = ROOT / ".github" / "pictures"
LESSON = "00_start_here"
SAMPLES = "figure:has(img[alt^='Two rows of fifteen images'])"
LOADED = "pictures => Promise.all(pictures.map((picture) => ((picture.loading = 'eager'), picture.decode())))"
# name -> (page, what of it)
OF_THE_SITE = {
    "check": ("index.html", ".front-check"),
    "explorer": ("index.html", ".front-plane"),
    "samples": (f"{LESSON}/{LESSON}.html", SAMPLES),
}


def take(folder: Path = PICTURES) -> list[Path]:
    """Make the site of lesson 00 and a graded class, and photograph them; returns the pictures' paths.

    Raises CourseError where there is no Playwright or Chromium.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise CourseError('pictures need Playwright: pip install -e ".[dev]"') from None
    if not chromium:
        raise CourseError("pictures need Chromium: sudo apt install chromium")
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    with tempfile.TemporaryDirectory() as made, sync_playwright() as play:
        site = make([read_lesson(LESSON)], Path(made, "site")).parent
        report = _class_report(Path(made, "class"))
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for theme in ("light", "dark"):
            page = browser.new_page(viewport={"width": 1366, "height": 900}, color_scheme=theme)
            for name, (address, selector) in OF_THE_SITE.items():
                page.goto((site / address).as_uri())
                taken.append(folder / f"{name}-{theme}.png")
                if name == "explorer":
                    _drag(page)
                page.locator(f"{selector} img").evaluate_all(LOADED)
                page.locator(selector).first.screenshot(path=taken[-1])
            page = browser.new_page(viewport={"width": 900, "height": 640}, color_scheme=theme)
            page.goto(report.as_uri())
            taken.append(folder / f"report-{theme}.png")
            page.get_by_role("heading", name="Mistakes").evaluate("heading => heading.scrollIntoView()")
            page.screenshot(path=taken[-1])
        browser.close()
    return taken


def _drag(page) -> None:
    box = page.locator(".plane-map").bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.4 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.68 * box["width"], box["y"] + 0.44 * box["height"])
    page.mouse.up()
    page.wait_for_function("!document.querySelector('.plane-words').textContent.includes('(0.00, 0.00)')")


def _class_report(folder: Path) -> Path:
    from ..demo import demo
    from ..grading.classroom import Course
    from ..reports.lesson_report import write_report

    demo(folder, [LESSON])
    return write_report(Course.find(folder), read_lesson(LESSON), folder / "report.html")
