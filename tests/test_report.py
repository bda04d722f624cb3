"""The class report of a lesson and the page over all lessons: what they count, and that they hold nothing but what they show."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from autograde.catalogue import find_exercise
from autograde.grading.gradebook import Score
from autograde.grading.marks import Mark, Marks, State
from autograde.lessons.lesson import read_lesson
from autograde.reports.lesson_report import report
from autograde.reports.overview import overview
from autograde.reports.prediction_choices import chosen, misconceptions, mistake_in, right_options

KL, ELBO = read_lesson("03_kl_divergence"), read_lesson("02_elbo")
PREDICTION = "predict_narrow"
RIGHT = right_options(KL)[PREDICTION]
WRONG = next(iter(misconceptions(PREDICTION)))


def marks_of(lesson, state=State.GRADED, **others) -> Marks:
    """Marks of a submission that is right, but for some exercises: name=(state, message, mistake)."""
    made = []
    for name, cell in lesson.exercises.items():
        ended, message, mistake = others.get(name, (State.PASSED if state == State.GRADED else state, "right.", None))
        made.append(Mark(name, ended, cell.points if ended == State.PASSED else 0, cell.points, message, mistake, 1))
    return Marks(lesson.name, state, ["nothing <b>here</b>."] if state != State.GRADED else [], made, True, "digest", "")


def mark(state, message="", mistake=None) -> Mark:
    return Mark(PREDICTION, state, 1, 1, message, mistake, 1)


@pytest.mark.parametrize(
    ("given", "letter"),
    [
        (mark(State.PASSED, "right."), RIGHT),
        (mark(State.FAILED, "not yet.", misconceptions(PREDICTION)[WRONG]), WRONG),
        (mark(State.PASSED, f"noted: {WRONG}."), WRONG),
        (mark(State.PASSED, f'noted: "{RIGHT}"'), RIGHT),
        (mark(State.FAILED, "put your answer in place of None"), None),
        (mark(State.MISSING), None),
    ],
)
def test_what_was_chosen_is_told_by_the_mark(given, letter):
    assert chosen(given, RIGHT) == letter
    assert mistake_in(given, KL) == misconceptions(PREDICTION).get(letter)


def test_every_prediction_with_letters_has_its_right_one():
    from autograde.lessons.lesson import lesson_names

    for lesson in map(read_lesson, lesson_names()):
        for name, letter in right_options(lesson).items():
            assert letter not in misconceptions(name), name
            assert find_exercise(name).reference == letter


class Page(HTMLParser):
    """A page's rows, by the name of the table's region; its headings, pictures and elements."""

    def __init__(self, text: str):
        super().__init__()
        self.tables, self.headings, self.images, self.tags, self.region, self.cell = {}, [], [], [], None, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        if attrs.get("role") == "region":
            self.region = self.tables.setdefault(attrs["aria-label"], [])
        if tag == "tr":
            self.region.append([])
        if tag in ("td", "th"):
            self.region[-1].append("")
            self.cell = True
        if tag == "img":
            self.images.append(attrs)
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag):
        self.cell = None if tag in ("td", "th") else self.cell

    def handle_data(self, data):
        if self.cell:
            self.region[-1][-1] += data


def assert_reads_well(text: str) -> None:
    """What a screen reader and a phone need, and no file or script beside the page."""
    page = Page(text)
    assert page.tags.count("main") == 1 and '<html lang="en">' in text and "prefers-color-scheme: dark" in text
    assert 'name="viewport" content="width=device-width' in text
    assert page.headings[0] == 1 and page.headings.count(1) == 1 and set(page.headings[1:]) == {2}
    assert all(image["alt"] and image["src"].startswith("data:image/png;base64,") for image in page.images)
    assert not {"script", "link", "iframe"} & set(page.tags) and "http" not in text


def test_a_lessons_report_counts_options_mistakes_and_who_waits():
    mistake = next(iter(find_exercise("gaussian_kl").mistakes))
    results = {
        "ada": marks_of(KL),
        "bob": marks_of(
            KL, gaussian_kl=(State.FAILED, "not yet.", mistake), predict_narrow=(State.PASSED, f"noted: {WRONG}", None)
        ),
        "<i>": marks_of(KL, kl_1d=(State.FOR_A_HUMAN, "better than is possible", None)),
        "eve": marks_of(KL, State.UNREADABLE),
        "zoe": marks_of(KL, State.MISSING),
    }
    text = report(KL, results)
    assert_reads_well(text)
    page = Page(text)
    heads, *rows = page.tables["Predictions"]
    narrow = dict(zip(heads, next(row for row in rows if row[0] == PREDICTION), strict=True))
    assert (narrow[RIGHT], narrow[WRONG], narrow["none of them, or no answer"]) == ("2 ✓", "1", "1")
    mistakes = {tuple(row[:3]) for row in page.tables["Mistakes"][1:]}
    assert mistakes == {("gaussian_kl", mistake, "1"), (PREDICTION, misconceptions(PREDICTION)[WRONG], "1")}
    assert [row[:2] for row in page.tables["For a human"][1:]] == [["<i>", "kl_1d: for a human"], ["eve", "unreadable"]]
    assert "<i>" not in text and "<b>" not in text


def test_the_page_over_all_lessons():
    stays = "half_forgotten"
    in_both = [next(n for n in lesson.exercises if stays in find_exercise(n).mistakes) for lesson in (ELBO, KL)]
    wrong = (State.FAILED, "not yet.", stays)
    results = {
        ELBO: {"ada": marks_of(ELBO, **{in_both[0]: wrong}), "bob": marks_of(ELBO, **{in_both[0]: wrong})},
        KL: {
            "ada": marks_of(KL, **{in_both[1]: wrong}),
            "bob": marks_of(KL),
            "eve": marks_of(KL, State.UNREADABLE),
            "kai": marks_of(KL, kl_1d=(State.FOR_A_HUMAN, "better than is possible", None)),
            "zoe": marks_of(KL, State.MISSING),
        },
    }
    scores = {ELBO: {}, KL: {"bob": Score(18.5, 1.5, {}), "eve": Score(None, 0, {}), "kai": Score(17.0, 0, {})}}
    text = overview(results, scores, ["ada", "bob", "eve", "kai", "<zoe>", "zoe"])
    assert_reads_well(text)
    page = Page(text)
    students = {row[0]: row[1:] for row in page.tables["Students"][1:]}
    assert students["bob"][1] == "18.5"  # with what a human changed, and what being late cost
    assert students["eve"] == ["–", "?", "0"] and students["zoe"] == students["<zoe>"] == ["–", "–", "0"]
    assert students["kai"][1] == "17"
    assert [row[:2] for row in page.tables["For a human"][1:]] == [["eve", "03"]]  # a human has looked at kai's
    assert [row[:4] for row in page.tables["Misconceptions that stay"][1:]] == [[stays, "1", "02: 2, 03: 1", "ada"]]
    lessons = {row[0]: row[1:] for row in page.tables["Lessons"][1:]}
    assert lessons["02_elbo"][:2] == ["2", "4"] and lessons["03_kl_divergence"][:2] == ["4", "2"]
    assert "href='03_kl_divergence.html'" in text and "<zoe>" not in text


def test_the_templates_are_in_the_package():
    import tomllib

    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    assert "templates/*" in project["tool"]["setuptools"]["package-data"]["autograde.reports"]
