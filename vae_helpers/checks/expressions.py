"""How probes see SymPy expressions: by their values at drawn points, so that how the terms are arranged doesn't count."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .recorder import NotWritten, Recorder, as_array, undisturbed

# What math, NumPy and PyTorch say of an expression that their functions are given.
NUMERIC = ("Cannot convert expression to float", "has no callable", "must be Tensor")


def expression(
    see: Recorder,
    implementation: Callable,
    ranges: Mapping[str, tuple[float, float]],
    parts: Sequence[str] = (),
) -> None:
    """Call `implementation` with SymPy symbols and record the values of what it returns at eight drawn points.

    ranges: each symbol's name, and the range that its values are drawn from; a symbol is declared positive where its
        range is, and real elsewhere.
    parts: where the result is a sequence of expressions, what each is, in words; they are recorded in this order.
    """
    import sympy

    symbols = [sympy.Symbol(name, real=True, positive=low > 0 or None) for name, (low, _) in ranges.items()]
    lows, highs = zip(*ranges.values(), strict=True)
    points = see.rng.uniform(lows, highs, size=(8, len(ranges)))
    with undisturbed(see.seed), see.attempt("your expressions" if parts else "your expression"):
        try:
            result = implementation(*symbols)
        except (TypeError, AttributeError, RuntimeError) as error:
            if any(word in str(error) for word in NUMERIC):
                raise TypeError(
                    "a function for numbers was given an expression. SymPy has one for expressions: sp.log, sp.exp, sp.sqrt"
                ) from error
            raise
        if not parts:
            _note_values(see, "your expression", result, symbols, points)
            return
        found = list(result) if isinstance(result, Sequence | sympy.Tuple | sympy.MatrixBase) else [result]
        kind = "one dictionary" if isinstance(result, dict) else f"{len(found)}"
        told = f"you return {kind}; {len(parts)} expressions are asked for, one after the other."
        see.note("your expressions", f"their number ({len(parts)} are asked for)", str(len(found)), told=told)
        for part, value in zip(parts, found, strict=False):
            with see.attempt(part):
                if value is None or value is ...:
                    raise NotWritten(f"{part} is the next one; what comes before it is right.")
                _note_values(see, part, value, symbols, points)


def _note_values(see: Recorder, label: str, expression: Any, symbols: Sequence[Any], points: np.ndarray) -> None:
    import sympy

    names = [symbol.name for symbol in symbols]
    what = f"its value at eight points ({', '.join(names)})"
    if (
        isinstance(expression, str)
        or expression is None
        or (callable(expression) and not isinstance(expression, sympy.Basic))
    ):
        see.note(label, what, expression, told=f"it is {as_array(expression)}. A SymPy expression is asked for.")
        return
    expression = sympy.sympify(expression)
    if not isinstance(expression, sympy.Expr):
        kind = type(expression).__name__
        told = f"it is a SymPy object of the kind {kind}, and no expression that has a value." + (
            " Solve the equation, and return what is on its other side." if isinstance(expression, sympy.Equality) else ""
        )
        see.note(label, what, f"a {kind}", told=told)
        return
    if expression.has(sympy.Integral, sympy.Derivative):
        see.note(
            label, what, "not worked out", told="it holds an integral or a derivative that is not worked out: add .doit()."
        )
        return
    others = {symbol.name for symbol in expression.free_symbols - set(symbols)}
    if unknown := sorted(others - set(names)):
        see.note(label, what, f"not a number, because {', '.join(unknown)} is still in it")
        return
    if others:
        own = ", ".join(sorted(others))
        told = f"it holds symbols of your own called {own}. They only look like the ones that your function is given: use those."
        see.note(label, what, "of other symbols", told=told)
        return
    numbers = np.array(
        [complex(expression.evalf(subs=dict(zip(symbols, map(float, point), strict=True)))) for point in points]
    )
    # A rounding error may leave an imaginary part; a real one is no value of a real expression.
    see.note(label, what, np.where(np.abs(numbers.imag) < 1e-8, numbers.real, np.nan))
