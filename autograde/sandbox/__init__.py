"""Student code, run: forked from a warm parent, in namespaces of its own, within its budgets."""
