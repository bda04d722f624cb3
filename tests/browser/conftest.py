"""Chromium for the tests of a module, which ends with them (another test in its process may run a loop of its own); of a test that fails, the window's picture stays in build/browser."""

import shutil
from pathlib import Path

import pytest

FAILED = Path(__file__).parents[2] / "build" / "browser"


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason='no browser is driven: pip install -e ".[dev]"')
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("Chromium is not there: sudo apt install chromium")
    with sync_api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(chromium, request):
    """A window of a laptop's size, in a profile of its own, which waits for a busy machine."""
    context = chromium.new_context(viewport={"width": 1366, "height": 768})
    context.set_default_timeout(120_000)
    window = context.new_page()
    yield window
    if request.node.failed:
        FAILED.mkdir(parents=True, exist_ok=True)
        picture = FAILED / f"{request.node.name}.png"
        window.screenshot(path=picture)
        print(f"the window when it failed: {picture}")
    context.close()


@pytest.fixture
def violations():
    """A function: what axe finds wrong on a page, or within what a selector selects, with the first places where it is."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason='axe is not there: pip install -e ".[dev]"')

    def found(window, within: str = "html") -> list[tuple[str, list[str]]]:
        answer = axe.Axe().run(window, context={"include": [[within]]}).response["violations"]
        return [(one["id"], [node["html"][:150] for node in one["nodes"]][:3]) for one in answer]

    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    item.failed = getattr(item, "failed", False) or report.failed
    return report
