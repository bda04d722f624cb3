"""The recorder: draws inputs, runs student code on them without disturbing the notebook, and writes down what happens."""

import contextlib
import io
import random
import sysconfig
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .graphs import hangs_on_its_own
from .observation import ADVICE, NOT_WRITTEN, RAISED, Fact, Observation, name_of_result

COURSE = str(Path(__file__).parents[1])
LIBRARIES = sysconfig.get_path("stdlib")
OWN_NOISE = "changes from call to call: it draws random numbers of its own. Use the noise that you are given."
NOISE = {"eps", "eps1", "eps2", "noise", "uniforms", "gumbel"}  # what arguments that hold noise are called


@contextlib.contextmanager
def undisturbed(seed: int):
    """Run student code quietly and with PyTorch's defaults, and leave the notebook's state as it was.

    Yields the file that holds what the code prints.
    """
    states = torch.get_rng_state(), np.random.get_state(), random.getstate(), torch.get_default_dtype()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # probes are small: more threads only wait for each other on a busy machine
    torch.default_generator.manual_seed(seed)  # torch.manual_seed asks for every device, and takes a millisecond
    torch.set_default_dtype(torch.float32)
    try:
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()):
                yield printed
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
        torch.set_default_dtype(states[3])
        torch.set_num_threads(threads)


def as_array(value: Any) -> np.ndarray | str:
    """A result as a float64, int64 or bool array; what is no number becomes words that say what it is."""
    if value is None:
        return "None"
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.double().numpy() if value.is_floating_point() else value.numpy()
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    try:
        array = np.asarray(value)
    except Exception:
        return f"a {type(value).__name__}"
    if array.dtype.kind == "f":
        return array.astype(np.float64)
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    return array if array.dtype.kind == "b" else f"a {type(value).__name__}"


class NotWritten(Exception):
    """What a probe raises where an answer, or the next part of it, is not there yet. Its text says what comes next."""


def own_line(error: BaseException) -> str | None:
    """The innermost line of the student's own code that an error, or what caused it, came through: "line 3, `return x / 0`"."""
    for frame in reversed(traceback.extract_tb((error.__cause__ or error).__traceback__)):
        installed = frame.filename.startswith((COURSE, LIBRARIES)) or "-packages" in frame.filename
        if frame.line and not installed:
            return f"line {frame.lineno}, `{frame.line}`"
    return None


def _is_unwritten(error: Exception) -> bool:
    """Whether this is the stub's error, as it was handed out or with its text deleted, and not one of PyTorch's own."""
    return isinstance(error, NotImplementedError) and (
        f"NotImplementedError: {error}" == NOT_WRITTEN
        or (not str(error) and "NotImplementedError" in (own_line(error) or ""))
    )


def draws() -> tuple:
    """How far the global generators of random numbers are."""
    _, numbers, position, *_ = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), numbers.tobytes(), position


def _told(result: Any, drawn: bool, names: Iterable[str]) -> str | None:
    """What to say where a result is wrong, and its kind or the way it was made already tells why."""
    if drawn and NOISE & set(names):
        return OWN_NOISE
    if drawn:
        return "changes from call to call: it draws random numbers, and nothing here is left to chance."
    if isinstance(result, torch.Tensor) and result.dtype in (torch.float16, torch.bfloat16):
        return f"is {str(result.dtype).removeprefix('torch.')}, too coarse to compute with. Keep the dtype of the inputs."
    return None


def _snapshot(value: Any) -> Any:
    """What `_same` compares with later: a copy of a tensor, an array, or a dict of them."""
    if isinstance(value, dict):
        return {name: _snapshot(part) for name, part in value.items()}
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return value.copy() if isinstance(value, np.ndarray) else value


def _same(value: Any, old: Any) -> bool:
    """Whether a value is still what `_snapshot` saw."""
    if isinstance(old, dict):
        return isinstance(value, dict) and value.keys() == old.keys() and all(_same(value[n], old[n]) for n in old)
    if isinstance(old, torch.Tensor):
        return isinstance(value, torch.Tensor) and torch.equal(value.detach(), old)
    return np.array_equal(value, old) if isinstance(old, np.ndarray) else value is old


def _tensors(args: Iterable[Any], kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """The tensors among arguments, and in the dicts among them."""
    values = [*args, *kwargs.values()]
    values += [part for value in values if isinstance(value, dict) for part in value.values()]
    return [value for value in values if isinstance(value, torch.Tensor)]


@dataclass
class Recorder:
    """Draws inputs from a seed, calls an implementation on them, and writes down what happens.

    Probes use `normal`, `uniform` to draw inputs, and `call`, `note` to record.
    surprises: in words, what was raised where the probe doesn't say `raises=`, and what was not raised where it does. The build
        refuses them in a reference.
    printed: what student code printed the first time that it printed something.
    """

    seed: int
    facts: Observation = field(default_factory=list)
    surprises: list[str] = field(default_factory=list, kw_only=True)
    printed: str = field(default="", kw_only=True)

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)

    def normal(self, *shape: int, mean: float = 0.0, std: float = 1.0) -> torch.Tensor:
        """float32 normal noise of the given shape."""
        return torch.from_numpy(self.rng.normal(mean, std, shape).astype(np.float32))

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """float32 uniform noise of the given shape."""
        return torch.from_numpy(self.rng.uniform(low, high, shape).astype(np.float32))

    def note(
        self, label: str, what: str, value: Any, *, rtol: float = 1e-4, atol: Any = 1e-5, limit=None, told: str | None = None
    ) -> None:
        """Record one fact. Strings stay words; everything else becomes an array. told: as a Fact's."""
        value = value if isinstance(value, str) else as_array(value)
        self.facts.append(Fact(label, what, value, rtol, atol, limit, told))

    def advise(self, label: str, text: str) -> None:
        """Tell what this process has measured of itself, such as its memory. It costs nothing, for student code could forge it."""
        self.note(label, ADVICE, text)

    def note_dtype(self, label: str, what: str, value: Any) -> None:
        """Record the dtype of a tensor or an array; of anything else nothing."""
        if isinstance(value, (torch.Tensor, np.ndarray)):
            self.note(label, f"dtype of {what}", f"{value.dtype}{' of NumPy' * isinstance(value, np.ndarray)}")

    def note_double(self, label: str, what: str, value: Any) -> None:
        """Record that a tensor is float64, where what follows computes with it in float32; a fact only where it is so."""
        if isinstance(value, torch.Tensor) and value.dtype == torch.float64:
            told = f"{what} is float64, and what follows computes with it in float32: .float()."
            self.note(label, f"{what} is float64", True, told=told)

    @contextlib.contextmanager
    def attempt(self, label: str, raises: type[Exception] | None = None):
        """Student code goes inside; whatever it raises becomes a fact, and the probe goes on.

        raises: the class of error that a right answer raises here; without it, none.
        """
        try:
            yield
        except Exception as error:
            message = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            self.note(label, RAISED, NOT_WRITTEN if _is_unwritten(error) else message, told=own_line(error))
            if raises is None or not isinstance(error, raises):
                self.surprises.append(f"raises {message} ({label})")
        else:
            if raises is not None:
                self.surprises.append(f"raises no {raises.__name__} ({label})")

    def call(
        self,
        label: str,
        function: Callable,
        *args: Any,
        gradients: Sequence[str] = (),
        inputs: Sequence[str] = (),
        gradient_slack: float = 1e-5,
        rtol: float = 1e-4,
        atol: Any = 1e-5,
        raises: type[Exception] | None = None,
        by_chance: bool = False,
        float32: bool = False,
        told: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call `function` and record its result (each part of a tuple), gradients, changed inputs, reseeding.

        inputs: names of the positional arguments, for messages and for `gradients`.
        gradients: the names whose gradient is recorded: of the result, weighted with fixed random weights and summed.
        gradient_slack: how far a gradient may be off anywhere, in parts of its largest entry. Through a deep network with
            ReLUs it must be large: a unit that is 0 up to rounding switches on or off.
        raises: the class of error that a right answer raises here.
        by_chance: whether a right answer draws random numbers here.
        float32: whether what follows, a network or a model of float32, takes the result, so that float64 would stop it.
        told: what to say of numbers that are wrong here, after "result", where it is true of all that can be wrong with them.
        Returns what the function returned, or None where it raised.
        Raises ValueError where `inputs` names more than there is, or `gradients` something else than an argument.
        """
        if len(inputs) > len(args):
            raise ValueError(
                f"{label}: inputs={list(inputs)} names {len(inputs)} arguments, and {len(args)} are passed by position"
            )
        names = list(inputs) + [f"argument {i + 1}" for i in range(len(inputs), len(args))]
        if unknown := [name for name in gradients if name not in names and name not in kwargs]:
            raise ValueError(
                f"{label}: gradients={unknown} names no argument (known: {', '.join([*names, *kwargs])}; `inputs` names those by position)"
            )
        leaves, before = {}, {}

        def prepared(name: str, value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                if name in gradients:
                    leaves[name] = value = value.clone().requires_grad_()
                # A copy that is no leaf, so that an in-place edit is seen instead of refused.
                value = value.clone()
            elif isinstance(value, np.ndarray):
                value = value.copy()
            if isinstance(value, (torch.Tensor, np.ndarray, dict)):
                before[name] = _snapshot(value)
            return value

        passed = [prepared(name, value) for name, value in zip(names, args, strict=True)]
        kwargs = {name: prepared(name, value) for name, value in kwargs.items()}

        call_seed = zlib.crc32(f"{self.seed} {label}".encode())
        with undisturbed(call_seed) as printed, self.attempt(label, raises):
            before_it = draws()
            try:
                result = function(*passed, **kwargs)
            finally:
                self.printed = self.printed or printed.getvalue()
            if not torch.is_grad_enabled():
                torch.set_grad_enabled(True)
                words = (
                    "it switches gradients off for good (torch.set_grad_enabled): use `with torch.no_grad():`, which ends."
                )
                self.note(label, "gradients are switched off", True, told=words)
            reseeded = torch.initial_seed() != call_seed
            drawn = not by_chance and not reseeded and draws() != before_it
            parts = tuple(result) if isinstance(result, (tuple, list)) else (result,)
            for i, part in enumerate(parts):
                words = _told(part, drawn, [*names, *kwargs]) or told
                self.note(label, name_of_result(i, len(parts)), part, rtol=rtol, atol=atol, told=words)
                if float32:
                    self.note_double(label, name_of_result(i, len(parts)), part)
                self.note_pitfalls(label, name_of_result(i, len(parts)), part, [*leaves.values(), *_tensors(passed, kwargs)])
            after = {**dict(zip(names, passed, strict=True)), **kwargs}
            changed = [name for name, old in before.items() if not _same(after[name], old)]
            self.note(label, "inputs changed in place", ", ".join(changed) or "none")
            self.note(label, "resets the global random seed", "yes" if reseeded else "no")
            if leaves:
                self._gradients(label, parts, leaves, rtol, float(np.max(atol)), gradient_slack, call_seed)
            return result
        return None

    def note_inference(self, label: str, what: str, part: torch.Tensor) -> None:
        """Record that a tensor was made under inference_mode; a fact only where it is so."""
        if part.is_inference():
            told = f"{what} comes from torch.inference_mode(), and no later gradient can pass it: use torch.no_grad()."
            self.note(label, f"{what} under inference_mode", True, told=told)

    def note_pitfalls(self, label: str, what: str, part: Any, given: list[torch.Tensor]) -> None:
        """What is right as a number, and stops whoever works on with it; a fact only where it is so. given: to the call."""
        if isinstance(part, np.ndarray) and given:
            told = f"{what} is a NumPy array, and what follows computes with tensors: torch.from_numpy makes one of it."
            self.note(label, f"{what} is no tensor", True, told=told)
        if not isinstance(part, torch.Tensor):
            return
        self.note_inference(label, what, part)
        if hangs_on_its_own(part, given):
            told = f"{what} still has a graph attached, from a tensor of your own that asks for a gradient: .detach() it."
            self.note(label, f"a graph of its own behind {what}", True, told=told)
        if not part.is_floating_point() and part.dtype not in (torch.int64, torch.bool):
            kind = str(part.dtype).removeprefix("torch.")
            told = f"{what} is {kind}; whole numbers are int64 in this course, as those who index with them expect: .long()."
            self.note(label, f"dtype of {what} among whole numbers", kind, told=told)

    def _gradients(self, label, parts, leaves, rtol, atol, slack, seed) -> None:
        weights = np.random.default_rng(seed)
        total = torch.zeros((), dtype=torch.float64)
        for part in parts:
            if isinstance(part, torch.Tensor):
                weight = torch.from_numpy(weights.uniform(0.5, 1.5, tuple(part.shape)))
                if part.requires_grad:
                    total = total + (weight * part.double()).sum()
        found = [None] * len(leaves)
        if total.requires_grad:
            found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True):
            gradient = torch.zeros_like(leaf) if gradient is None else gradient
            near = atol + slack * float(gradient.abs().max())
            self.note(label, f"gradient with respect to {name}", gradient, rtol=rtol, atol=near)
