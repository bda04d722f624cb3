"""The course as a web site: what its pages have, and that they give nothing away. In a browser: test_site_in_browser.py."""

import gzip
import re
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup

from autograde.__main__ import main
from autograde.lessons.build import NOTEBOOKS, check_id, source_notebook
from autograde.lessons.lesson import CourseError, lesson_names, read_lesson
from autograde.site import launch, recording, run
from autograde.site.leaks import refuse_leaks, solution_lines
from autograde.site.make import make
from autograde.site.pages import _prose, page
from vae_helpers.explore import values_of
from vae_helpers.plots import new_figure

LESSON = read_lesson("00_start_here")
pytestmark = pytest.mark.xdist_group("site")


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, BeautifulSoup]:
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in sorted(site.glob("**/*.html"))}


@pytest.fixture(scope="module")
def lesson_page(site, pages) -> BeautifulSoup:
    return pages[site / LESSON.name / f"{LESSON.name}.html"]


# What a page has


def test_every_exercise_is_a_card_with_its_stub_its_hints_and_its_check(lesson_page):
    cards = {card.select_one(".tag_check").text.split('"')[1]: card for card in lesson_page.select(".card-of")}
    assert list(cards) == list(LESSON.exercises)
    for name, card in cards.items():
        assert "NotImplementedError" in card.text and not card.select(".cell_output")
        assert ("prediction" in card["class"]) == name.startswith("predict_")
        assert len(card.select("details:not([open]) > summary")) >= 2, name


def test_figures_are_files_with_a_caption_and_an_alternative_text(site, lesson_page):
    figures = lesson_page.select(".cell_output figure")
    assert len(figures) >= 7
    for figure in figures:
        image = figure.select_one("img")
        assert image["alt"].strip() and figure.figcaption.text.strip() and image["width"] and image["loading"] == "lazy"
        assert image["src"].startswith("../_static/figures/") and (site / image["src"].removeprefix("../")).stat().st_size
    assert "data:image/png" not in str(lesson_page)


def test_what_the_lesson_prints_is_there_and_widgets_are_not(lesson_page):
    assert "Everything is here." in lesson_page.select_one(".cell_output").text
    assert any("✗ ink" in output.text for output in lesson_page.select(".cell_output"))  # what a check said of a hasty one
    assert "jupyter-widgets" not in str(lesson_page) and "widget-view" not in str(lesson_page)


def test_the_front_page_says_what_a_check_says_and_draws(site, pages):
    front = pages[site / "index.html"]
    assert "You read logvar as log σ" in front.select_one(".front-said").text
    assert front.select_one(".plane [role=slider]")["aria-label"]
    assert [row.a["href"] for row in front.select("table tbody tr")] == [f"{LESSON.name}/{LESSON.name}.html"]


def test_there_are_a_search_formulas_and_a_way_on(site, pages, lesson_page):
    assert "surpris" in (site / "searchindex.js").read_text(encoding="utf-8")
    assert lesson_page.select("div.math") and lesson_page.select("script[src*='mathjax/tex-chtml.js?']")
    assert pages[site / "index.html"].select("a.right-next")


# What every page keeps to


def test_links_lead_somewhere(site, pages):
    ids = {path: {tag["id"] for tag in soup.select("[id]")} for path, soup in pages.items()}
    checked = 0
    for path, soup in pages.items():
        for tag in soup.select("[href], [src]"):
            address = urlsplit(tag.get("href") or tag.get("src"))
            if address.scheme or address.netloc:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            assert target.exists(), f"{path.name} links to {address.path}"
            if address.fragment and target in ids:
                assert address.fragment in ids[target], f"{path.name} links to {address.path}#{address.fragment}"
            checked += 1
    assert checked > 100


def test_nothing_is_loaded_from_another_host(site, pages):
    for path, soup in pages.items():
        for tag in soup.select("script[src], link[href], img[src], iframe, video"):
            address = tag.get("src") or tag.get("href")
            assert not urlsplit(address).netloc, f"{path.name} loads {address}"


def test_ids_are_unique_and_every_picture_has_an_alternative_text(pages):
    for path, soup in pages.items():
        ids = [tag["id"] for tag in soup.select("[id]")]
        assert len(ids) == len(set(ids)), f"{path.name}: {sorted({i for i in ids if ids.count(i) > 1})}"
        assert all(image.has_attr("alt") for image in soup.select("img")), path.name


def test_a_page_is_small(site, pages):
    """What a browser that has nothing of it fetches, figures further down and what the search needs included."""
    for path, soup in pages.items():
        local = {tag.get("src") or tag.get("href") for tag in soup.select("script[src], link[rel=stylesheet], img[src]")}
        files = {path, *((path.parent / urlsplit(address).path).resolve() for address in local)}
        size = sum(len(gzip.compress(file.read_bytes())) for file in files)
        assert size < 2.5e6, f"{path.name}: {size / 1e6:.2f} MB"
    assert size > 1e5


# What gives nothing away


@pytest.mark.parametrize("name", lesson_names())
def test_a_page_s_source_holds_no_solution_and_no_answer(name, tmp_path):
    lesson = read_lesson(name)
    solved = source_notebook(lesson)
    for cell in solved.cells:  # whatever the solved one prints, an exercise's cells show nothing
        if cell.cell_type == "code" and cell.id in {*lesson.exercises, *map(check_id, lesson.exercises)}:
            cell.outputs = [{"output_type": "stream", "name": "stdout", "text": "the solution"}]
    made = page(lesson, solved, tmp_path, lesson_names())
    text = "\n".join(cell.source + str(cell.get("outputs", "")) for cell in made.cells)
    secrets = solution_lines(lesson)
    assert set(secrets.values()) > {exercise for exercise in lesson.exercises if exercise.startswith("predict_")}
    assert [line for line in secrets if line in text] == [] and "the solution" not in text
    assert {tag for cell in made.cells for tag in cell.metadata.get("tags", ())} >= {"exercise", "prediction", "check"}


def test_what_reveals_an_answer_is_folded_away(tmp_path):
    executed = source_notebook(LESSON)
    text = NOTEBOOKS.joinpath(LESSON.name, f"{LESSON.name}.ipynb").read_text(encoding="utf-8")
    released = nbformat.reads(text, as_version=4)
    demonstration = next(cell for cell in released.cells if cell.cell_type == "code" and not cell.metadata.get("nbgrader"))
    demonstration.source = 'for name in ["predict_far"]:\n    reveal(name)'
    nbformat.write(released, (tmp_path / LESSON.name).mkdir() or tmp_path / LESSON.name / f"{LESSON.name}.ipynb")
    made = page(LESSON, executed, tmp_path, [], notebooks=tmp_path)
    folded = [cell.id for cell in made.cells if "hide-output" in cell.metadata.get("tags", ())]
    assert folded == [cell.id for cell in made.cells if cell.cell_type == "code" and "reveal(" in cell.source]
    assert folded[0] == demonstration.id and len(folded) > 1


@pytest.mark.parametrize("file", ["page.html", "searchindex.js", "_static/notebooks/copy.ipynb"])
def test_a_site_that_gives_a_solution_away_is_not_made(tmp_path, file):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('<p>predict_between = <span class="s2">None</span></p>', encoding="utf-8")
    refuse_leaks(tmp_path)
    path.write_text(
        'predict_between = <span class="s2">&quot;b&quot;</span>' if file.endswith("html") else r'"predict_between = \"b\""'
    )
    with pytest.raises(CourseError, match="give predict_between away"):
        refuse_leaks(tmp_path)


def test_links_lead_to_what_there_is_and_the_lessons_own_way_on_is_left_out():
    text = "Next: [01 Latent](../01_a/01_a.ipynb)\n\nSee [01](../01_a/01_a.ipynb), [02](../02_b/02_b.ipynb#x), [it](../../solutions/vae.py)."
    assert _prose(text, {"01_a"}, None) == "See [01](../01_a/01_a.ipynb), 02, it."
    where = "https://github.com/a/b/blob/main/solutions/vae.py"
    assert (
        _prose(text, {"01_a", "02_b"}, "a/b") == f"See [01](../01_a/01_a.ipynb), [02](../02_b/02_b.ipynb#x), [it]({where})."
    )


# Run once


def test_an_unchanged_lesson_is_not_run_again(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(run, "_execute", lambda lesson: ran.append(lesson.name) or source_notebook(lesson))
    first = run.executed(LESSON, tmp_path)
    assert run.executed(LESSON, tmp_path) == first and ran == [LESSON.name]
    (tmp_path / f"{LESSON.name}-0123456789abcdef.ipynb").touch()
    next(tmp_path.glob(f"{LESSON.name}-{run.content_hash(LESSON)}.ipynb")).unlink()
    run.execute_all([LESSON], tmp_path)
    assert ran == [LESSON.name] * 2 and len(list(tmp_path.iterdir())) == 1


def test_prose_and_claims_are_no_content_and_code_is(tmp_path):
    def hash_with(old: str, new: str) -> str:
        text = LESSON.path.read_text(encoding="utf-8")
        assert old in text
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        (folder / LESSON.name).mkdir(parents=True)
        (folder / LESSON.name / LESSON.path.name).write_text(text.replace(old, new, 1), encoding="utf-8")
        return run.content_hash(read_lesson(LESSON.name, folder))

    same = run.content_hash(LESSON)
    assert hash_with("Welcome.", "Good day.") == hash_with("assert sure.min() < 0.6", "assert sure.min() < 0.7") == same
    assert hash_with("z = torch.randn(", "z = torch.rand(") != same


# What moves


def test_an_explorer_s_frames_are_drawn_at_chosen_values_and_the_lesson_s_draws_stay_the_same():
    drawn = []

    def draw(name, a, b):
        drawn.append((name, a, b))
        torch.rand(3), np.random.rand(3)
        return new_figure()[0]

    torch.manual_seed(0)
    np.random.seed(0)
    kind, made = recorded_frames(draw, name=["one", "two"], a=(0.0, 1.0, 0.5), b=(0, 100, 1), start={"name": "two", "b": 37})
    after = torch.rand(1), np.random.rand(1)
    torch.manual_seed(0)
    np.random.seed(0)
    assert after == (torch.rand(1), np.random.rand(1))
    assert made["still"] == {"name": "two"} and [control["name"] for control in made["controls"]] == ["a", "b"]
    assert made["controls"][0]["values"] == ["0", "0.5", "1"] and made["controls"][0]["start"] == 1
    b = [int(value) for value in made["controls"][1]["values"]]
    assert b == [*range(0, 31, 10), 37, *range(40, 101, 10)] and b[made["controls"][1]["start"]] == 37
    assert len(made["frames"]) == len(drawn) == 36 and drawn[1] == ("two", 0.0, b[1])
    assert made["fewer"]


@pytest.mark.parametrize(
    ("control", "first", "most", "chosen"),
    [
        ((-3.0, 3.0, 0.1), 1.0, 6, [-3, -2, 0, 1, 2, 3]),
        ((0.002, 0.044, 0.002), 0.036, 6, [0.002, 0.02, 0.036, 0.04, 0.044]),
        ((0, 2, 1), 1, 6, [0, 1, 2]),
        (list("abcdefg"), "b", 4, ["b", "c", "e", "g"]),
    ],
)
def test_of_many_values_the_round_ones_that_a_text_names_are_chosen(control, first, most, chosen):
    assert recording._some(values_of("name", control), first, most) == chosen


def recorded_frames(draw, **options) -> tuple[str, dict]:
    shown = []
    explorer = recording._recorded(lambda *args, **kwargs: None, recording._frames, shown.append)
    explorer(draw, "caption", "alt", **options)
    ((kind, made),) = [item for item in shown[0].items() if item[0] != "text/plain"]
    return kind, made


# Where a lesson opens


def test_without_an_address_only_the_download_is_offered(lesson_page):
    assert launch.repository() is None, "then test the buttons that the pages have"
    assert [link.text for link in lesson_page.select(".launch a")] == ["Download the notebook"]


def test_from_one_address_three_buttons(tmp_path):
    project = tmp_path / "pyproject.toml"
    project.write_text(
        '[project]\nname = "x"\n\n[project.urls]\nRepository = "https://github.com/someone/vae.course.git"\n\n[tool.x]\n'
    )
    assert launch.repository(project) == "someone/vae.course"
    assert launch.launchers("someone/vae", "03_kl") == {
        "Colab": "https://colab.research.google.com/github/someone/vae/blob/main/notebooks/03_kl/03_kl.ipynb",
        "Binder": "https://mybinder.org/v2/gh/someone/vae/main?urlpath=lab%2Ftree%2Fnotebooks%2F03_kl%2F03_kl.ipynb",
        "Codespaces": "https://codespaces.new/someone/vae?quickstart=1",
    }
    assert re.findall(r">([^<]+)</a>", launch.buttons("a/b", "03_kl", "x")) == [
        *(f"Open in {name}" for name in ("Colab", "Binder", "Codespaces")),
        "Download the notebook",
    ]


def test_with_an_address_a_notebook_s_first_code_cell_installs_the_course_in_colab_alone(monkeypatch):
    before = source_notebook(LESSON)
    monkeypatch.setattr("autograde.lessons.build.repository", lambda: "someone/vae")
    made = source_notebook(LESSON)
    install = next(cell for cell in made.cells if cell.cell_type == "code")
    assert made.cells[1] is install and [cell for cell in made.cells if cell is not install] == before.cells
    asked = []
    monkeypatch.setattr("subprocess.run", lambda command, check: asked.append(command))
    exec(install.source, {})
    assert asked == []
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    exec(install.source, {})
    assert asked[0][0] == sys.executable and asked[0][-1] == "git+https://github.com/someone/vae"


# What is said where something is wrong


def test_a_missing_library_a_stale_notebook_and_bad_words_are_one_line(tmp_path, monkeypatch, capsys):
    assert main(["site", "99"]) == main(["site", "--workers", "0"]) == 1
    monkeypatch.setitem(sys.modules, "sphinx.application", None)
    assert main(["site", "00", "--output", str(tmp_path / "site")]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3 and 'pip install -e ".[site]"' in said[2]
    assert not (tmp_path / "site").exists()
    solved = source_notebook(LESSON)
    del solved.cells[3]
    with pytest.raises(CourseError, match="stale: python -m autograde build 00"):
        page(LESSON, solved, tmp_path, [])


def test_a_link_that_leads_nowhere_stops_it_and_the_old_site_stays(tmp_path, monkeypatch, site):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("before")
    monkeypatch.setattr("autograde.site.front.page", lambda lessons, static: "# Front\n\n[dead](nowhere/nowhere.ipynb)\n")
    with pytest.raises(CourseError, match="nowhere"):
        make([LESSON], tmp_path / "site")
    assert (tmp_path / "site" / "index.html").read_text() == "before"
