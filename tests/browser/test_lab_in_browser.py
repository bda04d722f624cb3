"""What a student does in JupyterLab, by mouse and keys, in Chromium: one server for all."""

import re
import zipfile

import nbformat
import pytest
from test_formgrader import serving

from autograde.demo import reference_source
from autograde.lessons.build import NOTEBOOKS
from autograde.lessons.lesson import read_lesson
from vae_helpers.__main__ import copy_lessons

expect = pytest.importorskip("playwright.sync_api", reason='no browser is driven: pip install -e ".[dev]"').expect
expect.set_options(timeout=120_000)
pytestmark = pytest.mark.xdist_group("browser")
START, TRAINS = read_lesson("00_start_here"), read_lesson("07_convolutional_vae")
PANEL = ".jp-NotebookPanel:not(.lm-mod-hidden)"


@pytest.fixture(scope="module")
def lab(chromium, tmp_path_factory):
    """The address of JupyterLab on a student's copy of the lessons, and the copy's folder."""
    folder = tmp_path_factory.mktemp("lab")
    copy_lessons(NOTEBOOKS, folder)
    with serving(folder, "lab", "--LabApp.expose_app_in_browser=True") as server:
        yield server, folder


class Notebook:
    """A lesson that is open in JupyterLab. Cells are named as the build names them, or by their place."""

    def __init__(self, page, server: str, name: str, cells: list):
        self.page, self.cells = page, cells
        self.names = {cell.metadata.get("nbgrader", {}).get("grade_id"): index for index, cell in enumerate(cells)}
        page.goto(f"{server}/lab/tree/{name}/{name}.ipynb?reset")
        page.locator(f"{PANEL} .jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
        page.evaluate(
            """async () => {
                await window.jupyterapp.restored;
                const panel = window.jupyterapp.shell.currentWidget;
                await Promise.all([panel.revealed, panel.sessionContext.ready]);
            }"""
        )

    def with_source(self, text: str) -> int:
        (index,) = (index for index, cell in enumerate(self.cells) if text in cell.source and cell.cell_type == "code")
        return index

    def cell(self, which: str | int):
        """The cell, scrolled to: JupyterLab keeps no others in the page."""
        index = self.names[which] if isinstance(which, str) else which
        self.page.evaluate(
            """async (index) => {
                const notebook = window.jupyterapp.shell.currentWidget.content;
                notebook.activeCellIndex = index;
                notebook.deselectAll();
                await notebook.scrollToItem(index, "start");
            }""",
            index,
        )
        cell = self.page.locator(f"{PANEL} .jp-Cell[data-windowed-list-index='{index}']")
        cell.wait_for()
        return cell

    def is_check(self, index: int) -> bool:
        return self.cells[index].source.startswith("check(")

    def write(self, which: str | int, source: str) -> None:
        self.cell(which).locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(source)

    def save(self) -> None:
        self.page.keyboard.press("Control+s")
        self.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")

    def start(self, which: str | int) -> None:
        cell = self.cell(which)
        cell.locator(".jp-InputPrompt").click()
        cell.press("Shift+Enter")

    def run(self, which: str | int):
        """Shift and Enter; returns the cell when it has its number."""
        before = self.cell(which).locator(".jp-InputPrompt").inner_text()
        self.start(which)
        cell = self.cell(which)
        self.page.wait_for_function(
            r"([prompt, before]) => /^\[\d+\]:$/.test(prompt.innerText) && prompt.innerText != before",
            arg=[cell.locator(".jp-InputPrompt").element_handle(), before],
        )
        return cell


@pytest.fixture
def start(page, lab) -> Notebook:
    """Lesson 00, freshly opened, its first cells run."""
    server, folder = lab
    lesson = Notebook(page, server, START.name, nbformat.read(folder / START.name / f"{START.name}.ipynb", 4).cells)
    lesson.run(lesson.with_source("from vae_helpers import check, reveal"))
    lesson.run(lesson.with_source("Everything is here.")).get_by_text("MNIST: 60,000 + 10,000 images").wait_for()
    return lesson


def test_wrong_answers_are_named_a_hint_opens_and_a_right_answer_passes(page, start, lab):
    start.write("ink", "def ink(x):\n    return x.mean(dim=(2, 3))")
    start.run("ink")
    start.run("ink-check").get_by_text("The channel dimension is still there").first.wait_for()

    hint = start.cell(start.names["ink"] - 1).locator("details").first
    inside = hint.get_by_text("averages over everything")
    assert not inside.is_visible()
    hint.locator("summary").click()
    inside.wait_for()

    start.write("ink", "def ink(x):\n    return x.mean(dim=(1, 2, 3))")
    start.run("ink")
    passed = start.run("ink-check")
    passed.get_by_text("✓ ink").wait_for()
    assert passed.get_by_text("CheckFailed").count() == 0
    start.save()
    assert "x.mean(dim=(1, 2, 3))" in (lab[1] / START.name / f"{START.name}.ipynb").read_text(encoding="utf-8")


def test_handing_in_tells_what_counts_and_packs_one_file(page, start, lab):
    start.write("ink", "def ink(x):\n    return x.mean(dim=(1, 2, 3))")
    start.write(start.with_source("def hasty_ink"), 'from vae_helpers import hand_in\n\nhand_in("00")')
    start.save()
    output = start.run(start.with_source("def hasty_ink")).locator(".jp-Cell-outputArea")
    expect(output).to_contain_text("✓ ink (1 of 1)")
    expect(output).to_contain_text("· bits_per_dim (0 of 2)")
    expect(output).to_contain_text(f"1 of {sum(cell.points for cell in START.exercises.values())} points would count.")
    packed = lab[1] / START.name / f"{START.name}.zip"
    assert zipfile.ZipFile(packed).namelist() == [f"{START.name}.ipynb"]


def by_the_menu(page) -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def by_the_button(page) -> None:
    page.get_by_role("button", name="Restart the kernel and run all cells").click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()


def behind_another_document(page) -> None:
    page.evaluate("() => { window.lesson = window.jupyterapp.shell.currentWidget; }")
    by_the_menu(page)
    page.get_by_title("New Launcher").first.click()
    page.get_by_role("tab", name="Launcher").wait_for()
    page.evaluate("() => window.lesson.sessionContext.session.kernel.requestExecute({ code: '' }).done")  # after all others
    assert page.url.endswith(f"/{START.name}")  # not yet the lesson, which comes to the front by the mouse alone
    page.get_by_role("tab", name=f"{START.name}.ipynb").click()


@pytest.mark.parametrize("run_all", [by_the_menu, by_the_button, behind_another_document])
def test_a_run_of_all_cells_ends_in_view_of_the_one_that_stopped_it(page, start, lab, run_all):
    start.cell(0)
    stopped = page.locator(f"{PANEL} .jp-Cell[data-windowed-list-index='{start.names['predict_between']}']")
    run_all(page)
    expect(stopped.get_by_text("NotImplementedError: not written yet")).to_be_in_viewport()
    expect(stopped).to_have_class(re.compile("jp-mod-active"))
    # The kernel is told, so that the page stays where it is when it is loaded anew.
    page.wait_for_function(
        """async () => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            const user_expressions = { cell: "__import__('vae_helpers.stops').stops._browser().cell" };
            const reply = await kernel.requestExecute({ code: "", silent: true, user_expressions }).done;
            return reply.content.user_expressions.cell.data["text/plain"] === "''";
        }"""
    )
    start.save()
    saved = nbformat.read(lab[1] / START.name / f"{START.name}.ipynb", 4)
    assert [output.output_type for output in saved.cells[start.names["predict_between"]].outputs] == ["error"]
    assert "widgets" not in saved.metadata


def test_a_check_that_is_run_by_hand_moves_nothing(page, start):
    position = f"() => document.querySelector('{PANEL} .jp-WindowedPanel-outer').scrollTop"
    start.write("ink", "def ink(x):\n    return x")
    start.run("ink")
    check = start.run("ink-check")
    check.get_by_text("CheckFailed").wait_for()
    check = start.cell("ink-check")
    before, number = page.evaluate(position), check.locator(".jp-InputPrompt").inner_text()
    check.press("Control+Enter")
    expect(check.locator(".jp-InputPrompt")).not_to_have_text(number)
    expect(check.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]:"))
    assert page.evaluate(position) == before


def test_the_map_is_walked_by_mouse_and_by_keys(page, start, violations):
    start.run(start.with_source('vae = load_pretrained("explorer")'))
    explorer = start.run(start.with_source("latent_explorer(vae.decode)"))
    place = explorer.locator(".explorer-words")

    expect(place).to_have_text("z = (0.00, 0.00)")
    expect(explorer.locator("figure:visible")).to_have_count(1)  # not the one for pages without a kernel, too
    explorer.get_by_role("slider", name="z1").press("ArrowRight")
    expect(place).to_have_text("z = (0.05, 0.00)")
    explorer.get_by_role("slider", name="z2").press("End")
    expect(place).to_have_text("z = (0.05, 2.50)")
    expect(explorer.get_by_role("slider", name="z2")).to_have_attribute("aria-valuetext", "2.50")

    across = explorer.get_by_role("slider", name="z1")
    thumb = across.bounding_box()
    page.mouse.move(thumb["x"] + 0.51 * thumb["width"], thumb["y"] + thumb["height"] / 2)
    page.mouse.down()
    page.mouse.move(thumb["x"] + 0.8 * thumb["width"], thumb["y"] + thumb["height"] / 2, steps=4)
    page.mouse.up()
    expect(place).to_have_text(re.compile(r"z = \([12]\.\d\d, 2\.50\)"))

    box = explorer.locator(".explorer-map").bounding_box()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    expect(place).to_have_text("z = (1.50, 1.00)")
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.3 * box["height"], steps=4)
    expect(place).to_have_text("z = (-1.50, 1.00)")  # it follows the drag
    page.mouse.up()
    assert violations(page, within=".jp-OutputArea") == []


def test_training_is_stopped_and_no_earlier_weights_are_lost(page, lab):
    server, folder = lab
    path = folder / TRAINS.name / f"{TRAINS.name}.ipynb"
    written = nbformat.read(path, 4)
    for cell in written.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in TRAINS.exercises:
            cell.source = reference_source(TRAINS.exercises[name])
    nbformat.write(written, path)
    weights = path.parent / "vae.safetensors"
    weights.write_bytes(b"of an earlier run")

    lesson = Notebook(page, server, TRAINS.name, written.cells)
    training = lesson.with_source("fit(vae, objective")
    for index in range(training):
        if written.cells[index].cell_type == "code" and not lesson.is_check(index):
            lesson.run(index)
    lesson.start(training)
    output = lesson.cell(training).locator(".jp-Cell-outputArea")
    expect(output).to_contain_text(re.compile(r"\b[1-9]\d*/938\b"))
    page.get_by_role("button", name="Interrupt the kernel").click()
    expect(output).to_contain_text("Stopped by hand")
    expect(output).to_contain_text("Nothing was saved")
    output.locator("img").first.wait_for()  # the cell went on to its figure
    assert weights.read_bytes() == b"of an earlier run"
