"""What a result's graph hangs on."""

from collections.abc import Iterable

from torch import Tensor, nn


def hangs_on_its_own(result: Tensor, given: Iterable[Tensor]) -> bool:
    """Whether a gradient of `result` would flow to a tensor that was neither given nor is a module's parameter.

    Such a tensor was made inside, by requires_grad_() or as a Variable, and nobody outside can use its gradient.
    """
    known = {id(tensor) for tensor in given}
    if not result.requires_grad:
        return False
    if result.grad_fn is None:
        return id(result) not in known and not isinstance(result, nn.Parameter)
    seen, waiting = set(), [result.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and id(leaf) not in known and not isinstance(leaf, nn.Parameter):
            return True
        waiting += [earlier for earlier, _ in node.next_functions]
    return False
