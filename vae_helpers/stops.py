"""Where a run of many cells stops, the page shows it.

JupyterLab by itself leaves one at the notebook's end, or at its beginning: https://github.com/jupyterlab/jupyterlab/issues/8714.
"""

import contextlib
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def show_stops() -> None:
    """From now on, in a kernel that a Jupyter server has started, let the page show a cell that ended with an error."""
    kernel = sys.modules.get("ipykernel.kernelapp")
    if kernel is not None and kernel.IPKernelApp.initialized() and "JPY_SESSION_NAME" in os.environ:
        from IPython import get_ipython

        get_ipython().events.register("post_run_cell", _after)


def _after(result: Any) -> None:
    # Only JupyterLab and Notebook say which cell runs; a program that executes notebooks, such as nbconvert, doesn't.
    if not result.success and result.info.cell_id:
        with contextlib.suppress(ImportError):  # without anywidget, the page stays where it is
            _browser().cell = result.info.cell_id


@cache
def _browser() -> Any:
    import anywidget
    from traitlets import Unicode

    class Stops(anywidget.AnyWidget):
        _esm = HERE / "stops.js"
        cell = Unicode("").tag(sync=True)  # the id of the cell that was stopped at; the browser empties it

    return Stops()
