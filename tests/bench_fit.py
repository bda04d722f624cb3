"""How fast `fit` is, in one run: against the usual loop, to 100 nats, and beside a busy process. `make bench` runs it.

Writes the tables between the marks in README.md. Both sides train lesson 07's model with lesson 07's loss, in float32. The usual loop is
a DataLoader over torchvision's MNIST, batches of 128, and Adam at 1e-3.
"""

import contextlib
import gzip
import io
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from autograde.lessons.lesson import ROOT, read_lesson
from autograde.lessons.solutions import reference_namespace
from vae_helpers import evaluate_elbo, fit, latent_explorer, load_mnist, load_pretrained
from vae_helpers.data import MNIST
from vae_helpers.live import Live

LESSON = reference_namespace(read_lesson("07_convolutional_vae"))
BATCH_SIZE, N_IMAGES, ROUNDS = 128, 12_800, 5
GOAL = 100.0  # nats per image
EPOCHS, LR = 0.75, 6e-3  # what takes `fit` there


def objective(vae, x):
    logits, mu, logvar = vae(x)
    return LESSON["vae_loss"](x, logits, mu, logvar)


def usual_steps(vae, root: str) -> Iterator[int]:
    """Trains in the usual way; yields the number of images seen after each step."""
    binarize = transforms.Compose([transforms.ToTensor(), lambda x: (x > 0.5).float()])
    loader = DataLoader(datasets.MNIST(root, train=True, transform=binarize), batch_size=BATCH_SIZE, shuffle=True)
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
    seen = 0
    while True:
        for x, _ in loader:
            loss = objective(vae, x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(x)
            yield seen


def usual_speed(root: str) -> float:
    """Images per second of the usual loop."""
    start = time.perf_counter()
    for seen in usual_steps(LESSON["VAE"](32), root):
        if seen >= N_IMAGES:
            return seen / (time.perf_counter() - start)


def our_speed(x: torch.Tensor) -> float:
    """Images per second of `fit`, with the same batches."""
    start = time.perf_counter()
    fit(LESSON["VAE"](32), objective, x[:N_IMAGES], batch_size=BATCH_SIZE, progress=False)
    return N_IMAGES / (time.perf_counter() - start)


def nats(vae, x_test: torch.Tensor) -> float:
    return -evaluate_elbo(vae, x_test).elbo.mean().item()


def usual_seconds_to_goal(root: str, x_test: torch.Tensor, every: int = 100) -> tuple[float, float, float]:
    """(seconds of training, epochs, nats) when the usual loop first reaches the goal; looked at every so many steps."""
    torch.manual_seed(0)
    vae, seconds, start = LESSON["VAE"](32), 0.0, time.perf_counter()
    for step, seen in enumerate(usual_steps(vae, root), 1):
        if step % every == 0:
            seconds += time.perf_counter() - start
            reached = nats(vae, x_test)
            if reached <= GOAL:
                return seconds, seen / 60_000, reached
            start = time.perf_counter()


def our_seconds(x: torch.Tensor, x_test: torch.Tensor) -> tuple[float, float, float]:
    """(seconds of training, epochs, nats) of one short `fit`."""
    torch.manual_seed(0)
    vae, start = LESSON["VAE"](32), time.perf_counter()
    fit(vae, objective, x, epochs=EPOCHS, lr=LR, progress=False)
    return time.perf_counter() - start, EPOCHS, nats(vae, x_test)


def seconds_of_100_steps(x: torch.Tensor) -> float:
    """The median of three, after one that warms up."""
    return statistics.median([6400 / _speed_of_64(x) for _ in range(4)][1:])


def _speed_of_64(x: torch.Tensor) -> float:
    start = time.perf_counter()
    fit(LESSON["VAE"](32), objective, x[:6400], batch_size=64, progress=False)
    return 6400 / (time.perf_counter() - start)


@contextlib.contextmanager
def a_busy_process():
    """One that computes without end, in a session of its own, as a browser does."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


def explorer_seconds() -> tuple[float, float]:
    """(to open lesson 00's explorer, to answer when a slider moves): the second of each, as the first loads packages."""
    made: list[Live] = []
    start, decode = Live.__init__, load_pretrained("explorer").decode
    Live.__init__ = lambda live, **state: made.append(live) or start(live, **state)
    opened, moved = [], []
    with contextlib.redirect_stdout(io.StringIO()):
        for _ in range(2):
            before = time.perf_counter()
            latent_explorer(decode)
            opened.append(time.perf_counter() - before)
        for place in (60, 70):
            before = time.perf_counter()
            made[-1].places = [place, 50]
            moved.append(time.perf_counter() - before)
    Live.__init__ = start
    return opened[-1], moved[-1]


def torchvision_root(folder: str) -> str:
    """The embedded files, unpacked the way torchvision keeps them."""
    raw = Path(folder) / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for packed in MNIST.glob("*.gz"):
        (raw / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return folder


def machine() -> str:
    cpu = Path("/proc/cpuinfo")
    name = re.search(r"model name\s*: (.*)", cpu.read_text()) if cpu.exists() else None
    name = name[1] if name else platform.processor()
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {capability}; PyTorch {torch.__version__}"


def main() -> None:
    x, x_test = load_mnist("train", "threshold")[0], load_mnist("test", "threshold")[0]
    alone = seconds_of_100_steps(x)
    with a_busy_process():
        beside = seconds_of_100_steps(x)
    with tempfile.TemporaryDirectory() as folder:
        root = torchvision_root(folder)
        pairs = [(our_speed(x), usual_speed(root)) for _ in range(ROUNDS + 1)][1:]  # the first warms up
        usual, ours = usual_seconds_to_goal(root, x_test), our_seconds(x, x_test)
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = sorted(a / b for a, b in pairs)
    opened, moved = explorer_seconds()
    lines = [
        f"Measured on: {machine()}.",
        "",
        "| lesson 07's model, float32 | usual loop | `fit` | ratio |",
        "| --- | --- | --- | --- |",
        f"| images a second, batches of {BATCH_SIZE}; medians of {ROUNDS} rounds in turn | {theirs:.0f} | {mine:.0f} | "
        f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |",
        f"| seconds of training to {GOAL:g} nats on test MNIST, binarised at ½ | {usual[0]:.0f} ({usual[1]:.2f} epochs, "
        f"{usual[2]:.1f} nats) | {ours[0]:.1f} ({ours[1]:.2f} epochs, {ours[2]:.1f} nats) | {usual[0] / ours[0]:.2f} |",
        "",
        "| 100 steps of `fit`, batches of 64 | seconds |",
        "| --- | --- |",
        f"| alone | {alone:.2f} |",
        f"| beside a busy process of another session | {beside:.2f}, {beside / alone:.2f} times as long |",
        "",
        f"Lesson 00's explorer opens in {opened:.2f} s and follows a slider in {1000 * moved:.0f} ms.",
    ]
    table = "\n".join(lines)
    print(table)
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    begin, end = "<!-- bench -->\n", "\n<!-- /bench -->"
    head, tail = text.split(begin)[0], text.split(end)[1]
    readme.write_text(f"{head}{begin}{table}{end}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
