"""A Sphinx extension: exercise cards, and the settings of everything that the site is made with."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

ASSETS = Path(__file__).parent / "assets"
CARDS = ("exercise", "prediction", "challenge")  # the tags of cells that a student writes


def settings(title: str, repository: str | None) -> dict[str, Any]:
    """Sphinx's configuration. Nothing in it loads anything from another host."""
    return {
        "project": title,
        "html_title": title,
        "author": "",
        "language": "en",
        "extensions": ["myst_nb", "sphinx.ext.mathjax", "sphinx_copybutton", "autograde.site.theme"],
        "exclude_patterns": ["_static"],
        "nb_execution_mode": "off",
        "nb_merge_streams": True,
        "nb_code_prompt_show": "Show the code",
        "nb_code_prompt_hide": "Hide the code",
        "nb_mime_priority_overrides": [("html", "text/html", 0), ("html", "text/latex", 5)],
        "myst_enable_extensions": ["dollarmath", "amsmath"],
        "myst_heading_anchors": 3,
        "suppress_warnings": ["myst.header"],  # a cell of prose may begin at any level
        "mathjax_path": "mathjax/tex-chtml.js",
        "mathjax3_config": {
            "chtml": {"displayAlign": "center"},
            "options": {"menuOptions": {"settings": {"inTabOrder": False}}},
        },
        "copybutton_prompt_text": ">>> ",
        "html_theme": "sphinx_book_theme",
        "html_static_path": ["_static"],
        "html_css_files": ["site.css"],
        "html_js_files": [("site.js", {"defer": "defer"})],
        "html_copy_source": False,
        "html_show_sourcelink": False,
        "html_show_sphinx": False,
        "html_show_copyright": False,
        "html_theme_options": {
            # The sidebar has the search field and the list of lessons: no second bar above the page.
            **{f"navbar_{place}": [] for place in ("start", "center", "end", "persistent")},
            "use_download_button": False,
            "show_toc_level": 2,
            "home_page_in_toc": False,
            **({"repository_url": f"https://github.com/{repository}", "use_repository_button": True} if repository else {}),
        },
    }


def copy_assets(static: Path) -> None:
    """Our own style and scripts, and MathJax with its fonts, into the site's static files."""
    for asset in ASSETS.iterdir():
        if asset.suffix in (".css", ".js", ".svg"):
            (static / asset.name).write_bytes(asset.read_bytes())
    mathjax = files("sphinx-mathjax-offline") / "static" / "mathjax"
    fonts = Path("output", "chtml", "fonts", "woff-v2")
    (static / "mathjax" / fonts).mkdir(parents=True)
    for name in (Path("tex-chtml.js"), *(fonts / font.name for font in (mathjax / str(fonts)).iterdir())):
        (static / "mathjax" / name).write_bytes((mathjax / str(name)).read_bytes())


class Cards(SphinxPostTransform):
    """An exercise's text, hints, cell and check become one card: from its heading, or the cell before, to its check."""

    default_priority = 900

    def run(self, **kwargs: Any) -> None:
        cells = [node for node in self.document.findall(nodes.container) if self._tags(node) & set(CARDS)]
        for cell in cells:
            section = cell.parent
            at = section.index(cell)
            first = at
            while first > 0 and not self._ends_before(section[first - 1]):
                first -= 1
            last = at + 1
            if last < len(section) and "check" in self._tags(section[last]):
                last += 1
            (kind,) = self._tags(cell) & set(CARDS)
            card = nodes.container("", *section[first:last], classes=["card-of", kind])
            if first and isinstance(section[first - 1], nodes.title):
                section["classes"] += ["has-card", f"{kind}-section"]
            section[first:last] = [card]

    @staticmethod
    def _tags(node: nodes.Node) -> set[str]:
        return (
            {name.removeprefix("tag_") for name in node.get("classes", ())} if isinstance(node, nodes.container) else set()
        )

    def _ends_before(self, node: nodes.Node) -> bool:
        is_cell = isinstance(node, nodes.container) and "cell" in node.get("classes", ())
        return is_cell or isinstance(node, (nodes.title, nodes.section)) or "card-of" in node.get("classes", ())


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(Cards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
