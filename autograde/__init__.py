"""What an instructor runs: build the lessons, judge implementations, grade submissions."""

import sys

__all__ = ["Verdict", "judge"]

# Whatever reads notebooks imports jsonschema, and that this, which builds a parser for seconds, for a check that no notebook needs.
sys.modules.setdefault("rfc3987_syntax", None)


def __getattr__(name: str):
    # Imported when asked for: a command that is not given what it needs says so at once, before PyTorch is imported.
    if name in __all__:
        from .grading import judging

        return getattr(judging, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
