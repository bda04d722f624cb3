"""IPython's shell for cells that nobody watches: magics work as in a notebook, but for those that want a screen, a network or a reader."""

import builtins
import contextlib
import importlib.abc
import importlib.machinery
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache, wraps
from types import ModuleType
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display
from traitlets.config import Config

_TIMED = re.compile(r"\s*%%(?:time|prun)\b[^\n]*")
_SKIPPED = {
    "matplotlib",
    "load_ext",
    "reload_ext",
    "autoreload",
    "config",
    "pip",
    "conda",
    "mamba",
    "uv",
    "debug",
    "pdb",
    "edit",
}
_SKIPPED |= {"pinfo", "pinfo2", "psearch", "gui", "colors", "tensorboard", "store", "logstart"}
_ELSEWHERE = re.compile(r"(google\.colab|kaggle_secrets|kaggle_datasets|kaggle_web_client)(\.|$)")


class Nothing:
    """Whatever is asked of it, it does nothing."""

    def __getattr__(self, name: str) -> "Nothing":
        if name.startswith("__"):  # Python's own questions, such as whether it can be copied
            raise AttributeError(name)
        return self

    def __call__(self, *_, **__) -> "Nothing":
        return self

    def __iter__(self):
        return iter(())

    def __enter__(self) -> "Nothing":
        return self

    def __exit__(self, *_) -> None:
        return None


class _NothingModule(ModuleType):
    """A module of a service in which the notebook was written, and which is not here."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Nothing:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing()


class _Elsewhere(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what Colab and Kaggle have and nobody else, where nothing else does."""

    def find_spec(self, name: str, path: Any = None, target: Any = None):
        if _ELSEWHERE.match(name) or (name == "google" and path is None):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _NothingModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        return None


class Shell(InteractiveShell):
    """Runs cells one after the other in one namespace.

    error: what stopped the cell that `run` has run last, if anything did.
    """

    def __init__(self, **words):
        self.error: BaseException | None = None
        self.cell_name, self._db = "", {}
        super().__init__(**words)
        self.compile.get_code_name = lambda *_: f"<{self.cell_name}>"

    def run(self, name: str, source: str) -> BaseException | None:
        """Run a cell as a notebook would; returns the error that stopped it, if one did."""
        self.cell_name, self.error = name, None
        if timed := _TIMED.match(source):  # so that its lines are the cell's
            source = "\n" * timed.group().count("\n") + source[timed.end() :]
        result = self.run_cell(source, store_history=True)
        return self.error or result.error_before_exec or result.error_in_exec

    def init_ipython_dir(self, ipython_dir: str | None) -> None:
        return None  # nothing is kept

    def init_profile_dir(self, profile_dir: Any) -> None:
        return None

    # Cells that a magic runs report their errors here, and nowhere else.
    def showtraceback(self, exc_tuple: tuple | None = None, *_, **__) -> None:
        self.error = self.error or (exc_tuple or sys.exc_info())[1]

    def showsyntaxerror(self, *_, **__) -> None:
        self.error = self.error or sys.exc_info()[1]

    showindentationerror = showsyntaxerror

    def system(self, command: str) -> None:
        words = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.user_ns["_exit_code"] = subprocess.call(self.var_expand(command, depth=1), shell=True, **words)

    def run_line_magic(self, magic_name: str, line: str, _stack_depth: int = 1) -> Any:
        if magic_name in _SKIPPED or self.find_line_magic(magic_name) is None:
            return None
        return super().run_line_magic(magic_name, _once(magic_name) + line, _stack_depth=_stack_depth + 1)

    def run_cell_magic(self, magic_name: str, line: str, cell: str) -> Any:
        if magic_name in _SKIPPED or self.find_cell_magic(magic_name) is None:
            return None
        return super().run_cell_magic(magic_name, _once(magic_name) + line, cell)

    def enable_gui(self, gui: str | None = None) -> None:
        return None

    def ask_exit(self) -> None:
        raise SystemExit("the cell asked to exit")


def _staying(chdir: Callable) -> Callable:
    """`os.chdir` that stays where it is, where there is no such folder: another machine had one, such as Colab's Drive."""

    @wraps(chdir)
    def change(path: Any) -> None:
        with contextlib.suppress(FileNotFoundError):
            chdir(path)

    return change


def _once(magic: str) -> str:
    """Options in front of a magic's own: to be timed, once is enough."""
    return "-n1 -r1 " if magic == "timeit" else ""


@cache
def shell() -> Shell:
    """This process's shell, with an empty namespace, which is that of the module `__main__`."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.use = lambda *_, **__: None  # a notebook may ask for a window
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    # Pickling, dataclasses and type hints look names up in the module that a cell belongs to.
    module = ModuleType("__main__")
    made = Shell.instance(config=config, user_module=module)
    sys.modules["__main__"] = module
    sys.meta_path.append(_Elsewhere())
    builtins.get_ipython, builtins.display = lambda: made, display
    builtins.input = lambda prompt="": ""  # nobody is there to answer
    sys.breakpointhook = lambda *_, **__: None
    os.chdir = _staying(os.chdir)
    os.environ.setdefault("PIP_NO_INDEX", "1")
    return made
