"""The front page: what one learns, what a check says, and what one draws, in one screen; below it the lessons."""

import html
import re
from pathlib import Path

from ..grading.judging import judge
from ..lessons.lesson import ROOT, Lesson
from .explorer import plane

TITLE = "Variational autoencoders, hands on"
TEMPLATE = Path(__file__).parent / "assets" / "front.md"
ROW = re.compile(
    r"^\| \[(?P<title>[^\]]+)\]\(notebooks/(?P<name>\w+)/[^)]*\) \| (?P<what>.*?) \| (?P<minutes>.*?) \|", re.MULTILINE
)


def page(lessons: list[Lesson], static: Path, readme: Path = ROOT / "README.md") -> str:
    """The page's MyST Markdown. What a lesson is about is what the README's table says."""
    rows = {row["name"]: row for row in ROW.finditer(readme.read_text(encoding="utf-8"))}
    listed = "\n".join(
        f"| [{rows[lesson.name]['title']}]({lesson.name}/{lesson.name}.ipynb) "
        f"| {rows[lesson.name]['what']} | {rows[lesson.name]['minutes']} |"
        for lesson in lessons
    )
    first = lessons[0].name
    values = {
        "title": TITLE,
        "first": f"{first}/{first}.html",
        "check": check_that_names_a_mistake(),
        "plane": plane("_static/", 2.5),
        "lessons": f"| lesson | what you do | minutes |\n| --- | --- | --- |\n{listed}",
        "pages": "\n".join(f"{lesson.name}/{lesson.name}" for lesson in lessons),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], text)


def check_that_names_a_mistake() -> str:
    """What a check really says of an implementation that has a classic mistake, as HTML."""

    def gaussian_kl(mu, logvar):
        return 0.5 * (mu**2 + (2 * logvar).exp() - 1 - 2 * logvar).sum(1)

    said = str(judge("gaussian_kl", gaussian_kl, seed=0))
    lines = [re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(line.strip())) for line in said.splitlines()]
    return "".join(f"<p>{line}</p>" for line in lines)
