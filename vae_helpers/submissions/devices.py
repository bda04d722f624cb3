"""Devices that the machine where a notebook was written had, and this one has not: their place is taken by the processor."""

import contextlib
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

CPU = torch.device("cpu")


def on_this_machine(sources: list[str]) -> contextlib.AbstractContextManager:
    """Within it, tensors that are sent to a device that isn't here stay where they are. sources: the cells that are to run."""
    if not any(kind in source for kind in ("cuda", "mps", "xpu") for source in sources):
        return contextlib.nullcontext()  # every call of PyTorch's would take a little longer
    set_default, load = torch.set_default_device, torch.load
    torch.set_default_device = lambda device: set_default(_here(device))
    torch.load = lambda *arguments, **words: load(*arguments, **{"map_location": _here, **words})
    return _OnThisMachine()


def _here(device: Any, *_: Any) -> Any:
    """A device, or its name; the processor's in its place where there is no such device. Anything else is left as it is."""
    if not isinstance(device, (str, torch.device)):
        return device
    try:
        kind = torch.device(device).type
    except RuntimeError:
        return device
    absent = kind == "cuda" and not torch.cuda.is_available() or kind == "mps" and not torch.backends.mps.is_available()
    return CPU if absent or kind == "xpu" and not torch.xpu.is_available() else device


class _OnThisMachine(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.Tensor.cuda and not torch.cuda.is_available():
            return args[0]
        if function is torch.Tensor.to:  # its device may be a name in second place
            args = (*args[:1], *map(_here, args[1:]))
        elif any(isinstance(a, torch.device) for a in args):
            args = tuple(_here(a) if isinstance(a, torch.device) else a for a in args)
        if "device" in kwargs:
            kwargs["device"] = _here(kwargs["device"])
        return function(*args, **kwargs)
