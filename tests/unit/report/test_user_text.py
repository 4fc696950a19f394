"""Texts of users and models that would mislead, hide or spill: shown, not obeyed."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from browser import browser, chromium
from report_file import write_report
from toy_study import plan as toy_plan

from heirloom.report.cells import Cell, View
from heirloom.report.downloads import data_uri, latex
from heirloom.report.figures import Figure
from heirloom.report.user_text import truncated, visible
from heirloom.support.files import read_jsonl

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"  # one character to a reader, five code points
HOSTILE = {
    "arabic": "السَّلامُ عَلَيْكُمْ (two words) 123",
    "hebrew": "שָׁלוֹם עוֹלָם!",
    "turned": "pay \u202e00001\u202c or \u2066isolated\u2069",
    "controls": "nul \x00 esc \x1b[31m red \x07 \x9b",
    "marks": "a" + "\u0301" * 10_000 + " end",
    "surrogate": "half \ud83d here",
    "markup": "<script>alert(1)</script> & <b>",
    "none": None,
}
JOINED = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 שָׁלוֹם हिन्दी"
#: Characters that no page may hold as they are.
RAW = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("one\r\ntwo\rthree", "one\ntwo[U+000D]three"),
        ("\x00\x1b[0m\x7f\x85", "[U+0000][U+001B][0m[U+007F][U+0085]"),
        ("\u202eabc\u202c\u2066\u200f\u061c", "[U+202E]abc[U+202C][U+2066][U+200F][U+061C]"),
        ("\ud83d \udc00", "[U+D83D] [U+DC00]"),
        (
            "\U0001f600 \U0001f3f3\ufe0f\u200d\U0001f308",
            "\U0001f600 \U0001f3f3\ufe0f\u200d\U0001f308",
        ),
        (JOINED, JOINED),
        ("\ufeffa\u2028b\U0010ffff", "[U+FEFF]a[U+2028]b[U+10FFFF]"),
        ("a" + "\u0301" * 8, "a" + "\u0301" * 8),
        ("a" + "\u0301" * 1_010 + "b", "a" + "\u0301" * 8 + "[1,002 more marks]b"),
    ],
)
def test_what_is_invisible_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("x" * 10, "x" * 10),
        ("x" * 11, "x" * 10 + " […]"),
        ("x" * 8 + FAMILY + "y", "x" * 8 + " […]"),  # the family would take places 8 to 12
        ("x" * 9 + "e\u0301y", "x" * 9 + " […]"),
        ("x" * 7 + "\u202ey", "x" * 7 + " […]"),
        ("x" * 10 + "\u202e", "x" * 10 + " […]"),
    ],
)
def test_a_text_is_cut_between_characters(text: str, end: str) -> None:
    assert truncated(text, 10) == end


def test_a_character_longer_than_the_limit_is_cut() -> None:
    assert truncated("\U0001f468\u200d" * 900, 300) == "\U0001f468\u200d" * 150 + " […]"


@pytest.fixture(scope="module")
def root(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy study with hostile texts as its title, prompts and completions."""
    folder = Path(shutil.copytree(study_folder, tmp_path_factory.mktemp("hostile") / "toy"))
    toy_plan(title=f"Toys {HOSTILE['turned']}").write(folder / "plan.json")
    texts = list(HOSTILE.values())
    for path in (
        *folder.glob("generations/*/*/candidates.jsonl"),
        *folder.glob("profiles/*/text.records.jsonl"),
        *folder.glob("prompts/*/*.jsonl"),
    ):
        rows = read_jsonl(path)
        for number, row in enumerate(rows):
            key = "text" if "text" in row else "completion"
            row[key] = texts[number % len(texts)] if key == "completion" else "".join(texts[2:6])
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def file(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(root, tmp_path_factory.mktemp("page"))


def test_the_page_holds_nothing_that_acts(file: Path) -> None:
    html = file.read_text(encoding="utf-8")
    found = [hex(ord(sign)) for sign in RAW.findall(html)]
    assert found == []
    assert "Toys pay [U+202E]00001[U+202C]" in html
    assert "[9,992 more marks]" in html
    (pool,) = re.findall(
        r'<script type="application/json">(\{"name":"instructions".*?)</script>', html
    )
    held = json.loads(pool)
    texts = [c["text"] for prompt in held["prompts"] for c in prompt["candidates"]]
    texts += [prompt["text"] for prompt in held["prompts"]]
    assert not any(RAW.search(text) for text in texts)
    assert visible(HOSTILE["turned"]) in "\n".join(texts)


@pytest.mark.skipif(chromium() is None, reason="no Chromium here: nobody has looked at the page")
def test_a_browser_gives_every_text_its_direction(
    file: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        page.show(1280, 900, "light")
        page.open(file)
        assert page.errors == []
        directions = page.run(
            "[...document.querySelectorAll('blockquote')].map(quote => "
            "[quote.textContent.slice(0, 4), getComputedStyle(quote).direction])"
        )
        assert [HOSTILE["arabic"][:4], "rtl"] in directions
        assert ["pay ", "ltr"] in directions
        # Whatever a text holds, its box holds it.
        spilling = page.run(
            "[...document.querySelectorAll('blockquote, h4, td.long .text')]"
            ".filter(box => getComputedStyle(box).overflowY !== 'clip').length"
        )
        assert spilling == 0


def test_figures_and_downloads_show_too() -> None:
    names = pd.DataFrame({"name": ["a\u202e\x00"], "value": [1.5]})
    drawn = Figure(
        "f", "F", "", lambda table, plan: f"{table['name'][0]} {table['value'][0]}", ("t",)
    )
    assert drawn.draw({"t": names}, toy_plan()) == "a[U+202E][U+0000] 1.5"
    assert data_uri("a\ud83d", "text/csv").endswith(",a?")
    view = View([("Name", False)], [[Cell("a\u202e")]])
    assert "a[U+202E]" in latex(view, ["Caption."], "name")
