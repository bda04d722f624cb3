"""Where a lesson opens with one click, made from the one address of the repository in pyproject.toml; without one, nowhere.

Each service's address is as its documentation says: Colab's "open from GitHub", mybinder.org's "v2/gh", and Codespaces' "new". None
of them could be tried before the course had an address.
"""

import html
import re
from pathlib import Path
from urllib.parse import quote

from ..lessons.lesson import ROOT

BRANCH = "main"


def repository(pyproject: Path = ROOT / "pyproject.toml") -> str | None:
    """OWNER/NAME of the repository on GitHub that `[project.urls]` names, or None."""
    table = re.search(
        r"^\[project\.urls\]\n(.*?)(?=^\[|\Z)", pyproject.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    address = table and re.search(
        r'^Repository *= *"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?"', table[1], re.MULTILINE
    )
    return address[1] if address else None


def file_address(repository: str, path: str) -> str:
    """Where the code host shows a file of the repository."""
    return f"https://github.com/{repository}/blob/{BRANCH}/{path}"


def launchers(repository: str | None, lesson: str) -> dict[str, str]:
    """Service → the address that opens the lesson there. Empty where the course has no address."""
    if not repository:
        return {}
    path = f"notebooks/{lesson}/{lesson}.ipynb"
    return {
        "Colab": f"https://colab.research.google.com/github/{repository}/blob/{BRANCH}/{path}",
        "Binder": f"https://mybinder.org/v2/gh/{repository}/{BRANCH}?urlpath={quote(f'lab/tree/{path}', safe='')}",
        "Codespaces": f"https://codespaces.new/{repository}?quickstart=1",
    }


INSTALL = """\
# Only in Colab: this installs the course there. Elsewhere it does nothing.
import subprocess
import sys

if "google.colab" in sys.modules:
    course = "git+https://github.com/{repository}"
    # Colab has what the course needs; other versions of it would break the kernel that this runs in.
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", course], check=True)
"""


def install_source(repository: str | None) -> str | None:
    """The first cell of every notebook, which installs the course where Colab opened it; None without an address."""
    return INSTALL.format(repository=repository).strip() if repository else None


def buttons(repository: str | None, lesson: str, download: str) -> str:
    """The row of links below a lesson's title. download: the way from the page to the released notebook."""
    links = [f'<a href="{html.escape(url)}">Open in {name}</a>' for name, url in launchers(repository, lesson).items()]
    links.append(f'<a href="{html.escape(download)}" download>Download the notebook</a>')
    return f'<p class="launch">{" ".join(links)}</p>'
