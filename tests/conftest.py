"""One option: over how many seeds the catalogue's matrix runs. And one thread a process, since there is a process a core."""

import os

# Before PyTorch is imported, here or in a kernel that a test starts. Threads that share a core with another process wait for each
# other, and spin while they do.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser):
    parser.addoption(
        "--seeds", type=int, default=5, help="seeds for each mistake and variant of the catalogue (default: %(default)s)"
    )


def pytest_terminal_summary(terminalreporter):
    """What tests measured (`record_property`), which pytest-xdist would swallow if they printed it."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
