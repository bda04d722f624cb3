"""A cell's Python, looked at and not run: what it defines, whether it says anything new, and what of that can be run."""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

LONGEST_CELL = 200_000  # characters of a cell that is looked at
NO_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)  # what `parse` raises
_OTHER_LANGUAGE = re.compile(r"\s*%%(?!(?:time|capture|prun)\b)")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)
_CHECKS = {"check", "reveal", "hand_in"}
_TRAINS = {"fit", "train", "backward", "step", "minimize", "evaluate_elbo"}
_DRAWS = {"show", "explore", "new_figure", "display", "print", "subplots", "plot", "imshow", "savefig", "figure"}
_DRAWS |= {"scatter", "hist", "bar", "contour", "contourf", "legend", "interact", "tqdm", "trange"}


def parse(source: str) -> ast.Module:
    """The syntax tree of a cell. Its magics and shell lines become `pass`; IPython's own way to read them can take minutes.

    Raises one of NO_PYTHON.
    """
    if len(source) > LONGEST_CELL or _OTHER_LANGUAGE.match(source):
        raise ValueError("no Python that is looked at")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except SyntaxError:
            return ast.parse("\n".join(map(_without_magic, source.split("\n"))))


def _without_magic(line: str) -> str:
    """The line, or `pass` in its place where it is one that IPython makes Python of."""
    code = line.lstrip(" \t")
    target, _, value = code.partition("=")
    assigned = value.lstrip(" \t").startswith(("%", "!")) and all(c.isalnum() or c in "_ ," for c in target)
    is_magic = code.startswith(("%", "!", "?")) or code.rstrip(" \t\r").endswith("?") or assigned
    return line[: len(line) - len(code)] + "pass" if is_magic else line


@lru_cache(maxsize=4096)
def defined(source: str) -> set[str]:
    """The names that a cell defines at its top level; none where it is no Python."""
    try:
        tree = parse(source)
    except NO_PYTHON:
        return set()
    names = set()
    for node in tree.body:
        if isinstance(node, _DEFINITIONS):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
        elif isinstance(node, _IMPORTS):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def bound(source: str) -> set[str]:
    """The names that a cell binds, in `if` and `with`, too; none where it is no Python."""
    try:
        return set().union(*map(_bound, parse(source).body))
    except NO_PYTHON:
        return set()


def used(source: str) -> set[str]:
    """The names that a cell reads, in functions and outside; none where it is no Python."""
    try:
        tree = parse(source)
    except NO_PYTHON:
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def imported(source: str) -> set[str]:
    """The modules that a cell imports, by the first part of their names; none where it is no Python."""
    try:
        nodes = list(ast.walk(parse(source)))
    except NO_PYTHON:
        return set()
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {name.partition(".")[0] for name in names}


@lru_cache(maxsize=4096)
def says_the_same(source: str, other: str) -> bool:
    """Whether two cells differ in nothing but comments, docstrings, line ends and formatting."""
    try:
        return _shape(parse(source)) == _shape(parse(other))
    except NO_PYTHON:
        return source.split() == other.split()


def is_answer(source: str, stub: str, name: str) -> bool:
    """Whether a cell answers an exercise: it says something else than the stub, which raises NotImplementedError.

    name: what the exercise asks to define.
    """
    if not source.strip() or says_the_same(source, stub):
        return False
    try:
        body = parse(source).body
    except NO_PYTHON:
        return True
    binding = [node for node in body if name in _bound(node)]
    return bool(body) and not (binding and isinstance(binding[-1], ast.FunctionDef) and _only_raises(binding[-1]))


def _only_raises(function: ast.FunctionDef) -> bool:
    body = function.body[_is_docstring(function.body[0]) :]
    error = body[0].exc if len(body) == 1 and isinstance(body[0], ast.Raise) else None
    error = error.func if isinstance(error, ast.Call) else error
    return isinstance(error, ast.Name) and error.id == "NotImplementedError"


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _shape(tree: ast.AST) -> tuple:
    """All that a syntax tree says, docstrings aside. Without recursion: a sum of a thousand terms is a thousand deep."""
    told = []
    for node in ast.walk(tree):
        if isinstance(node, _DEFINITIONS) and _is_docstring(node.body[0]):
            node.body = node.body[1:]
        told.append(type(node).__name__)
        for name, value in ast.iter_fields(node):
            if isinstance(value, list):
                told.append((name, *(part if isinstance(part, str) else "" for part in value)))
            elif not isinstance(value, ast.AST):
                told.append((name, type(value).__name__, value))
    return tuple(told)


@dataclass(frozen=True)
class Addition:
    """A statement that a student has added to a released cell. line: where it begins, counted from 1. runs: whether it counts.

    names: what it binds, at whatever depth.
    """

    line: int
    source: str
    names: frozenset[str]
    runs: bool


def additions(source: str, release: str, *, is_demonstration: bool) -> list[Addition]:
    """The statements of a released cell, as a student has left it, that are not in the release; none where it is no Python.

    What trains or draws does not run. Of a demonstration, which does not run at all, imports run in any case, and loops and bare
    calls don't.
    """
    try:
        tree, old = parse(source), {_shape(node) for node in parse(release).body}
        lines = source.split("\n")
        found = []
        for node in tree.body:
            is_import = isinstance(node, _IMPORTS)
            if isinstance(node, ast.Pass) or _shape(node) in old and not (is_demonstration and is_import):
                continue
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            text = "\n".join(lines[first - 1 : node.end_lineno])
            if node.lineno == node.end_lineno:  # there may be several on the line
                text = ast.get_source_segment(source, node) or text
            found.append(Addition(first, text, frozenset(_bound(node)), _can_run(node, is_demonstration)))
        return found
    except NO_PYTHON:
        return []


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, _DEFINITIONS):
        yield node.name
        return
    for part in ast.walk(node):
        if isinstance(part, _DEFINITIONS):
            yield part.name
        elif isinstance(part, _IMPORTS):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in part.names)
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id


def _can_run(node: ast.stmt, is_demonstration: bool) -> bool:
    if isinstance(node, (*_IMPORTS, *_DEFINITIONS)):
        return True
    if is_demonstration and not isinstance(node, (*_ASSIGNMENTS, ast.If, ast.With, ast.Try)):
        return False
    return not any(isinstance(part, ast.Call) and _trains_or_draws(part.func) for part in ast.walk(node))


def _trains_or_draws(function: ast.expr) -> bool:
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    while isinstance(function, ast.Attribute):
        function = function.value
    return name in _CHECKS | _TRAINS | _DRAWS or isinstance(function, ast.Name) and function.id == "plt"
