"""The site in Chromium: nothing that axe finds, no page wider than its window, explorers that follow mouse and keys."""

import contextlib
import re
import shutil

import pytest
import torch
from nbconvert.exporters import HTMLExporter

from autograde.lessons.lesson import read_lesson
from autograde.site import recording
from autograde.site.explorer import frames
from autograde.site.run import executed
from vae_helpers import load_pretrained
from vae_helpers.plots import new_figure

pytestmark = pytest.mark.xdist_group("site")
WIDTHS = (400, 1366, 1920)
OURS = {"exclude": [[".bd-sidebar-primary"]]}  # what the theme alone makes is its own affair
PAGES = ("index.html", "00_start_here/00_start_here.html")


@pytest.fixture(scope="module")
def browser(site):
    sync_api = pytest.importorskip("playwright.sync_api", reason='no browser is driven: pip install -e ".[dev]"')
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        pytest.skip("Chromium is not there: sudo apt install chromium")
    with (
        sync_api.sync_playwright() as play,
        contextlib.closing(play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])) as started,
    ):
        yield started


@pytest.fixture
def open_page(browser, site):
    """A function that opens a page of the site, and fails where the page asks another host for anything."""
    opened = []

    def open_page(name: str, width: int = 1366, theme: str = "light", **options):
        page = browser.new_page(viewport={"width": width, "height": 768}, color_scheme=theme, **options)
        page.set_default_timeout(60_000)
        opened.append((page, asked := []))
        page.on("request", lambda request: asked.append(request.url))
        file, _, query = name.partition("?")
        page.goto(f"{(site / file).as_uri()}?{query}")
        page.evaluate("() => window.MathJax?.startup?.promise?.then(() => true)")  # formulas are set
        return page

    yield open_page
    for page, asked in opened:
        page.close()
        assert [url for url in asked if url.startswith("http")] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_and_no_page_is_wider_than_its_window(open_page, name, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason='axe is not there: pip install -e ".[dev]"')
    page = open_page(name, theme=theme)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 768})
        page.evaluate("document.querySelectorAll('details').forEach((hint) => (hint.open = true))")
        page.evaluate("() => Promise.all(document.getAnimations().map((fade) => fade.finished)).then(() => true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = axe.Axe().run(page, context=OURS).response["violations"]
        assert [(one["id"], [node["html"][:150] for node in one["nodes"]][:3]) for one in found] == [], (width, theme)


def test_formulas_are_set_and_one_wider_than_the_screen_scrolls_in_itself(open_page):
    page = open_page(PAGES[1], width=400)
    assert page.locator("mjx-container[display=true] mjx-math").count() >= 3
    assert page.locator("mjx-merror").count() == 0


def test_the_decoder_in_the_page_is_pytorch_s(open_page):
    page = open_page("index.html")
    z = 6 * torch.rand(60, 2, generator=torch.Generator().manual_seed(0)) - 3
    logits = page.evaluate("(zs) => zs.map(([a, b]) => Array.from(window.planeDecode(a, b)))", z.tolist())
    with torch.no_grad():
        expected = load_pretrained("explorer").decode(z).sigmoid().view(60, 784)
    assert (torch.tensor(logits).sigmoid() - expected).abs().max() < 1e-3


def place(page) -> tuple[float, float]:
    text = page.locator(".plane [role=slider]").get_attribute("aria-valuetext")
    z1, z2 = re.match(r"z = \(([−\d.]+), ([−\d.]+)\)", text).groups()
    return float(z1.replace("−", "-")), float(z2.replace("−", "-"))


def ink(page) -> list[int]:
    canvas = "document.querySelector('.plane canvas').getContext('2d')"
    return page.evaluate(f"Array.from({canvas}.getImageData(0, 0, 28, 28).data).filter((_, i) => i % 4 === 0)")


@pytest.mark.parametrize("name", PAGES)
def test_one_drags_in_the_plane_and_the_digit_follows(open_page, name):
    page = open_page(name)
    plane = page.locator(".plane [role=slider]")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()

    def at(z1: float, z2: float) -> tuple[float, float]:
        return box["x"] + box["width"] * (1 + z1 / 2.5) / 2, box["y"] + box["height"] * (1 - z2 / 2.5) / 2

    page.mouse.move(*at(-2, 0))
    assert place(page) == (0, 0)  # not pressed yet
    page.mouse.down()
    page.mouse.move(*at(1, -0.5), steps=4)
    page.mouse.move(*at(2, 2), steps=4)
    page.mouse.up()
    page.wait_for_function("document.querySelector('.plane-words').textContent.includes('a 0')")
    assert place(page) == pytest.approx((2, 2), abs=0.05)
    with torch.no_grad():
        shown = 255 * (1 - load_pretrained("explorer").decode(torch.tensor([place(page)])).sigmoid().flatten())
    assert (torch.tensor(ink(page)) - shown).abs().max() < 12  # the place is said to two digits
    page.mouse.move(*at(-2, 0))
    assert place(page) == pytest.approx((2, 2), abs=0.05)  # let go


def test_the_keys_move_and_turn_no_page(open_page):
    page = open_page(PAGES[1])
    page.locator(".plane [role=slider]").focus()
    before = ink(page)
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowUp", "ArrowLeft", "ArrowDown"):
        page.keyboard.press(key)
    page.wait_for_function("document.querySelector('.plane-words').textContent.startsWith('z = (0.05, 0.20)')")
    assert ink(page) != before and PAGES[1] in page.url
    assert page.get_by_role("slider", name="Place in the latent plane").count() == 1
    page.keyboard.press("Home")
    page.wait_for_function("document.querySelector('.plane-words').textContent.startsWith('z = (0.00, 0.00):')")
    for _ in range(20):
        page.keyboard.press("Shift+ArrowLeft")
    page.wait_for_function("document.querySelector('.plane-words').textContent.startsWith('z = (−2.50, 0.00):\\na 1')")


def test_a_finger_moves_the_place(open_page):
    page = open_page("index.html", width=400, has_touch=True)
    plane = page.locator(".plane [role=slider]")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    page.touchscreen.tap(box["x"] + 0.1 * box["width"], box["y"] + box["height"] / 2)
    page.wait_for_function("document.querySelector('.plane-words').textContent.includes('a 1')")


def test_the_search_finds_a_lesson(open_page):
    page = open_page("search.html?q=surprise")
    page.wait_for_selector("#search-results li a")
    assert "00 Start here" in page.locator("#search-results").inner_text()


def test_sliders_switch_among_a_figure_s_frames(browser, site, tmp_path):
    """A page of one explorer's frames, beside the site's scripts."""

    def draw(a, b):
        figure, axes = new_figure()
        axes.set_title(f"{a}, {b}")
        return figure

    _, recorded = recording._frames(draw, "the caption", "the alt", a=(0, 2, 1), b=["x", "y"])
    made = frames(recorded, f"{(site / '_static').as_uri()}/", tmp_path).replace(
        f"{(site / '_static').as_uri()}/figures/", f"{tmp_path.as_uri()}/"
    )
    (tmp_path / "page.html").write_text(f"<!doctype html><html lang='en'><body>{made}</body></html>", encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    image, slider = page.locator(".frames img"), page.get_by_role("slider", name="a")
    assert (image.get_attribute("alt"), slider.get_attribute("aria-valuetext")) == ("the alt", "1")
    assert page.get_by_text("the caption").is_visible()
    shown = image.get_attribute("src")
    slider.press("ArrowRight")
    page.get_by_role("slider", name="b").press("ArrowRight")
    assert image.get_attribute("alt") == "The figure at a = 2, b = y" and image.get_attribute("src") != shown
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    page.close()


def test_what_is_folded_is_printed_and_nothing_is_cut(open_page):
    """On paper one can neither unfold nor scroll."""
    page = open_page("00_start_here/00_start_here.html", width=720)  # of A4, in CSS pixels, between its margins
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details.hide pre").count()
    assert page.locator("details.hide:not([open])").count() == 0
    assert page.evaluate("document.getAnimations().length") == 0  # what fades in is printed before it is there
    cut = "(boxes) => boxes.filter((box) => box.scrollWidth > box.clientWidth + 1).length"
    assert page.locator("article :is(pre, mjx-container[display=true])").evaluate_all(cut) == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_the_outputs_of_an_exported_lesson(browser, site, tmp_path, theme):
    """`jupyter nbconvert --to html`: what stands around the outputs, such as the colours of code, is its theme's affair."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason='axe is not there: pip install -e ".[dev]"')
    lesson = executed(read_lesson("00_start_here"))  # kept since the site was made
    (tmp_path / "lesson.html").write_text(HTMLExporter(theme=theme).from_notebook_node(lesson)[0], encoding="utf-8")
    page = browser.new_page(color_scheme=theme)
    page.route("http*://**", lambda route: route.abort())  # the theme's formulas
    page.goto((tmp_path / "lesson.html").as_uri())
    assert page.locator(".jp-OutputArea-output figure").count() and page.locator("img:not([alt])").count() == 0
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 768})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert axe.Axe().run(page, context={"include": [[".jp-OutputArea-output"]]}).response["violations"] == []
    page.close()
