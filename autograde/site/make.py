"""Make the site: pages from lessons and their kept outputs, the front page, and Sphinx over all of it."""

import io
import re
import shutil
import tempfile
from pathlib import Path

import nbformat

from ..lessons.build import NOTEBOOKS
from ..lessons.lesson import ROOT, CourseError, Lesson
from . import front
from .explorer import write_data
from .launch import buttons, repository
from .leaks import refuse_leaks
from .pages import page, with_buttons
from .run import KEPT, execute_all

EMPTY_HEAD = re.compile(r'<th class="head[^"]*">\s*<p></p>\s*</th>')
SITE = ROOT / "build" / "site"


def make(
    lessons: list[Lesson], output: Path = SITE, kept: Path = KEPT, workers: int = 1, address: str | None = None
) -> Path:
    """Make the site of `lessons` in `output`, all of it or nothing; returns its front page.

    address: the repository's OWNER/NAME, by default pyproject.toml's. Raises CourseError where a library is missing, a lesson
    stops, or a link leads nowhere.
    """
    try:
        from sphinx.application import Sphinx

        from .theme import copy_assets, settings
    except ImportError as error:
        raise CourseError(f'the site needs {error.name}: pip install -e ".[site]"') from error
    address = address or repository()
    executed = execute_all(lessons, kept, workers)
    names = [lesson.name for lesson in lessons]
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "source"), Path(folder, "site")
        static = source / "_static"
        write_data(static)
        copy_assets(static)
        for lesson in lessons:
            notebook = page(lesson, executed[lesson.name], static, names, address)
            given = Path("notebooks", f"{lesson.name}.ipynb")
            (static / given).parent.mkdir(exist_ok=True)
            shutil.copy(NOTEBOOKS / lesson.name / f"{lesson.name}.ipynb", static / given)
            with_buttons(notebook, buttons(address, lesson.name, f"../_static/{given.as_posix()}"))
            (source / lesson.name).mkdir()
            nbformat.write(notebook, source / lesson.name / f"{lesson.name}.ipynb")
        (source / "index.md").write_text(front.page(lessons, static), encoding="utf-8")
        said = io.StringIO()
        app = Sphinx(
            srcdir=source,
            confdir=None,
            outdir=made,
            doctreedir=Path(folder, "doctrees"),
            buildername="html",
            confoverrides=settings(front.TITLE, address),
            status=None,
            warning=said,
        )
        app.build()
        if said.getvalue():
            raise CourseError("Sphinx: " + said.getvalue().replace(str(source), "").strip())
        # The theme's own sources, and what only Sphinx reads.
        for left in (*made.rglob("*.map"), *made.rglob("*webpack-macros.html"), made / "objects.inv", made / ".buildinfo"):
            left.unlink(missing_ok=True)
        shutil.rmtree(made / "_sources", ignore_errors=True)  # empty
        for path in made.rglob("*.html"):  # a head without words is none: screen readers would announce it
            html = path.read_text(encoding="utf-8")
            path.write_text(EMPTY_HEAD.sub("<td></td>", html), encoding="utf-8")
        refuse_leaks(made)
        shutil.rmtree(output, ignore_errors=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, output)
    return output / "index.html"
