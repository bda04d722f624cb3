"""Claims are in the solved notebook alone; their runner moves the seeds, and says which held where."""

import pytest

from autograde.__main__ import main
from autograde.lessons.build import source_notebook
from autograde.lessons.claims import Outcome, check_claims, run_lesson
from autograde.lessons.lesson import LessonError, read_lesson

TEXT = """
Ten draws.

```python given=true
import numpy as np
import torch
```

```python
draws = torch.randn(10, generator=torch.Generator().manual_seed(3))
others = np.random.default_rng([1, 2]).normal(size=3)
torch.manual_seed(5)
third = torch.randn(1)
```

```python claim=true
spread = draws.std()
assert spread > 0, f"{spread:.2f}"
assert torch.equal(draws, torch.randn(10, generator=torch.Generator().manual_seed(3)))
assert draws[0] == FIRST, "another draw"
```
"""


def lesson_of(folder, text, name="20_draws"):
    (folder / name).mkdir(parents=True)
    (folder / name / f"{name}.md").write_text(text, encoding="utf-8")
    return read_lesson(name, folder)


def first_draw(seed: int) -> float:
    import torch

    return torch.randn(10, generator=torch.Generator().manual_seed(seed))[0].item()


def test_claims_are_in_the_solved_notebook_alone(tmp_path):
    lesson = lesson_of(tmp_path, TEXT.replace("FIRST", "1"))
    sources = [cell.source for cell in source_notebook(lesson).cells]
    with_claims = [cell.source for cell in source_notebook(lesson, claims=True).cells]
    assert not any("assert" in source for source in sources)
    assert [source for source in with_claims if "assert" not in source] == sources
    assert len(with_claims) == len(sources) + 1


def test_every_seed_is_moved_and_every_claim_has_its_outcome(tmp_path):
    lesson = lesson_of(tmp_path, TEXT.replace("FIRST", repr(first_draw(3))))
    here = list(run_lesson(lesson, 0))
    assert [outcome.held for outcome in here] == [True, True, True]
    elsewhere = list(run_lesson(lesson, 2))
    assert [outcome.held for outcome in elsewhere] == [True, True, False]
    assert elsewhere[-1].said == "another draw"
    lines = lesson.path.read_text(encoding="utf-8").splitlines()
    assert all(lines[outcome.line - 1].startswith("assert") for outcome in here)
    moved = lesson_of(tmp_path / "moved", TEXT.replace("FIRST", repr(first_draw(2003))))
    assert all(outcome.held for outcome in run_lesson(moved, 2))


@pytest.mark.parametrize(
    ("fence", "words"),
    [
        ("```python claim=true\nx = 1\n```\n", "asserts nothing"),
        ("```python claim=true given=true\nassert 1\n```\n", "only claim=true"),
    ],
)
def test_a_claim_that_claims_nothing_is_refused(tmp_path, fence, words):
    with pytest.raises(LessonError, match=words) as caught:
        lesson_of(tmp_path, fence)
    assert ".md:1: " in str(caught.value)


def test_the_table_says_where_a_claim_failed(monkeypatch, capsys):
    lesson = read_lesson("00_start_here")
    held, failed = Outcome(7, "a > b", True), Outcome(9, "c > d", False, "0.3")

    def run(name, seed, processor):
        return [held, failed if (seed, processor) == (1, "SSE4") else Outcome(9, "c > d", True)]

    monkeypatch.setattr("autograde.lessons.claims._run", run)
    assert check_claims([lesson], [0], ["AVX2", "SSE4"], workers=1)
    assert "claims: 2, hold in every run: 2 (runs: 2)" in capsys.readouterr().out
    assert not check_claims([lesson], [0, 1], ["AVX2", "SSE4"], workers=2)
    told = capsys.readouterr().out
    assert "claims: 2, hold in every run: 1 (runs: 4)" in told
    assert "line 9: c > d" in told and "seed 1 SSE4: FAILS 0.3" in told and "seed 1 AVX2: holds" in told


def test_a_run_in_a_process_of_its_own_answers_in_json(capfd):
    assert main(["claims", "00", "--seeds", "1", "--processors", "AVX2"]) == 0
    assert "(runs: 1)" in capfd.readouterr().out


def test_a_processor_that_nobody_knows_is_one_line(capsys):
    assert main(["claims", "00", "--processors", "abacus"]) != 0
    assert "abacus" in capsys.readouterr().err
