"""What a student reads: nbgrader's feedback, with the verdict once, formulas that need no network, and what is for instructors left out."""

import html
import re
from pathlib import Path

from latex2mathml.converter import convert
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbgrader.preprocessors import GetGrades
from nbgrader.utils import is_grade
from traitlets.config import Config

from ..grading.deadlines import Deadlines

TEMPLATES = Path(__file__).parent / "templates"
ELSEWHERE = re.compile(r"[a-z][a-z+.-]*:|#", re.IGNORECASE)  # a whole address, or a place in this page
EMPTY_HEAD = re.compile(r"<th( style=\"[^\"]*\")?>\s*</th>")  # of a column whose entries need none
SEED = "(inputs drawn from seed "  # how a line for the instructor begins


class FeedbackExporter(HTMLExporter):
    """A page that needs nothing else: no network, no script."""

    def __init__(self, config: Config | None = None, **words):
        config = Config(config or {})  # nbgrader's own template stands in what it is given
        config.FeedbackExporter.template_name = "lesson_feedback"
        config.FeedbackExporter.extra_template_basedirs = [str(TEMPLATES)]
        super().__init__(config=config, **words)

    def default_filters(self):
        yield from super().default_filters()
        yield ("markdown2html", markdown)


def markdown(source: str) -> str:
    """Markdown as HTML, formulas as MathML, which browsers draw themselves."""
    renderer = PageRenderer(escape=False, exclude_anchor_links=True)
    return EMPTY_HEAD.sub(r"<td\1></td>", MarkdownWithMath(renderer=renderer).render(source))


class PageRenderer(IPythonRenderer):
    """nbconvert's own renderer, which leaves formulas to MathJax, with MathML in their place; and without links to what lies
    beside a lesson, since nothing lies beside this page.
    """

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return super().link(text, url, title) if ELSEWHERE.match(url) else text

    def block_math(self, body: str) -> str:
        return formula(body, "block")

    def multiline_math(self, text: str) -> str:
        return formula(text, "block")

    def latex_environment(self, name: str, body: str) -> str:
        return formula(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")

    def inline_math(self, body: str) -> str:
        return formula(body, "inline")


def formula(latex: str, display: str) -> str:
    """A formula as MathML; as it is written, where the converter can't read it."""
    try:
        made = convert(latex.strip(), display=display)
    except Exception:  # its own errors have no class in common, and it must not cost the page
        return f"<code>{html.escape(latex)}</code>"
    # One that is wider than a phone scrolls, by keys, too.
    return made.replace("<math ", '<math tabindex="0" ', 1) if display == "block" else made


class ForTheStudent(GetGrades):
    """Puts marks and comments into the notebook, as nbgrader does, and the deadline; and leaves in each verdict what the student needs."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        nb, resources = super().preprocess(nb, resources)
        names, coursedir = resources["nbgrader"], self.parent.parent.coursedir
        deadlines = Deadlines(self.config, coursedir.db_url, coursedir.course_id)
        names["deadline"] = deadlines.about(names["assignment"], names["student"])
        for cell in filter(is_grade, nb.cells):
            cell.outputs = [
                _without_seed(output) for output in cell.outputs if output.output_type != "error"
            ] or cell.outputs
        return nb, resources


def _without_seed(output: NotebookNode) -> NotebookNode:
    if output.output_type == "stream":
        output.text = "".join(line for line in output.text.splitlines(keepends=True) if not line.startswith(SEED))
    return output
