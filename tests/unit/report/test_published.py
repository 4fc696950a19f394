"""Published numbers in the headline table, and in a table of their own."""

from pathlib import Path

import pytest
from report_file import write_report

from heirloom.analyse.tables.published_numbers import published_numbers, write_published_numbers
from heirloom.report import views
from heirloom.report.page import write_page
from heirloom.report.published import published_view
from heirloom.study.settings import PublishedNumber

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
PAPER = {"label": "paper", "source": "A paper", "url": "https://example.org/a"}
NUMBERS = [
    {**PAPER, "number": 116, "objective": "length", "bound": "up-to"},
    {**PAPER, "label": "other", "number": 12.5, "objective": "length", "pool": "multi"},
    {
        **PAPER,
        **{"number": 43.2, "unit": "level", "compared_with": 65.2, "objective": "toxicity"},
    },
    {**PAPER, "number": 70.3, "unit": "level", "metric": "text.mtld", "kind": "passive"},
    {**PAPER, "number": 100, "bound": "over", "objective": "toxicity", "base": "beta"},
]


def table(study, built, numbers):
    known = [PublishedNumber.model_validate(number) for number in numbers]
    return published_numbers(study.plan, built["changes"], known)


def column(view, heading):
    """Student and metric to the text in a column."""
    index = [name for name, _ in view.headings].index(heading)
    return {(row[0].text, row[1].text): row[index] for row in view.rows}


def test_published_changes_stand_next_to_ours_in_the_headline_table(study, built):
    changes = built["changes"]
    view = views.steered(study.plan, changes, table(study, built, NUMBERS))
    names = [name for name, _ in view.headings]
    assert names.index("Published against base") == names.index("Change against base") + 1
    assert "Published against control" not in names  # there is none
    shown = column(view, "Published against base")
    assert shown["length-alpha", "Length"].text == "up to +116 % (paper)"
    assert shown["length-multi", "Length"].text == "up to +116 % (paper); +12.5 % (other)"
    # 100 * (43.2 / 65.2 - 1) = -33.74
    assert shown["toxicity-multi", "Expected maximum toxicity"].text == f"{MINUS}33.7 % (paper)"
    # A student that a number is not about has none, and neither has a metric.
    assert shown["toxicity-multi", "Length"].text == DASH
    assert shown["passive-alpha", "Length"].text == DASH
    without = [cell for i, cell in enumerate(view.rows[0]) if names[i] != "Published against base"]
    assert without == views.steered(study.plan, changes).rows[0]


def test_published_changes_against_the_control_have_their_own_column(study, built):
    numbers = [{**PAPER, "number": -40, "objective": "length", "against": "control"}]
    view = views.steered(study.plan, built["changes"], table(study, built, numbers))
    names = [name for name, _ in view.headings]
    assert names.index("Published against control") == names.index("Change against control") + 1
    assert "Published against base" not in names
    shown = column(view, "Published against control")
    assert shown["length-multi", "Length"].text == f"{MINUS}40 % (paper)"


def test_numbers_about_no_student_need_no_column(study, built):
    view = views.steered(study.plan, built["changes"], table(study, built, NUMBERS[3:]))
    assert view == views.steered(study.plan, built["changes"])


def test_every_number_is_in_a_table_of_its_own(study, built):
    view = published_view(study.plan, table(study, built, NUMBERS), built["changes"])
    rows = [[cell.text for cell in row] for row in view.rows]
    published, ours, n, student, by = range(2, 7)  # after metric and comparison
    # Words of length-alpha, mean 30 against 25; EMT of toxicity-multi, 0.3 against 0.5.
    assert rows[0][:ours] == [
        *("Length", "best for an objective, against base, objective length", "up to +116 %"),
    ]
    assert rows[0][ours].startswith("+20.0 [")
    assert rows[0][n:] == ["4", "length-alpha", "paper", "A paper https://example.org/a"]
    assert rows[3][published] == f"{MINUS}33.7 % (43.2 against 65.2)"
    assert rows[3][ours].startswith(f"{MINUS}40.0 [") and rows[3][student] == "toxicity-multi"
    # A level alone is compared with nothing, so ours has its own change and no level next to it.
    assert (rows[4][published], rows[4][student]) == ("70.3 (level)", "passive-alpha")
    assert rows[5][published:by] == ["over +100 %", DASH, DASH, DASH]
    numbers = [row[published].number for row in view.rows[3:]]
    assert numbers == pytest.approx([-33.742, None, 100], abs=1e-3)


def test_the_report_shows_them(own_study_folder: Path, tmp_path: Path):
    plain = write_report(own_study_folder, tmp_path)
    assert "published-numbers" not in plain.read_text(encoding="utf-8").partition("<body>")[2]
    write_published_numbers(plain.parent, NUMBERS)
    write_page(plain.parent, apart=["published_numbers"], command="make")
    html = plain.read_text(encoding="utf-8")
    assert '<h2 id="published-numbers">Published beside ours</h2>' in html
    assert "<td>up to +116 % (paper)</td>" in html
    assert 'download="toy-published_numbers.csv"' in html and "never levels" in html
