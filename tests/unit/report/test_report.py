import base64
import gzip
import re
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

import pandas as pd
import pytest
from report_file import COMPARISONS, changed, write_report

from heirloom.analyse.tables import TABLES, table, to_csv
from heirloom.report import downloads
from heirloom.report.cells import Cell, View
from heirloom.report.exhibits import CAPTIONS, exhibits
from heirloom.report.figures import FIGURES, figure
from heirloom.report.provenance import describe_run
from heirloom.study.plan import Plan
from heirloom.support.errors import HeirloomError

VOID = {"meta", "link", "br", "img", "input", "hr", "path", "use"}


class Page(HTMLParser):
    """Collects what the tests ask about, and checks that tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.resources, self.styles = [], [], [], []
        self.tables, self.scripts, self.open, self.files = [], 0, [], {}
        self.text = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.styles += [attributes["style"]] if "style" in attributes else []
        for name in ("src", "href", "xlink:href", "action", "poster", "data", "srcset"):
            if name in attributes:
                self.resources.append(attributes[name])
        if "download" in attributes:
            self.files[attributes["download"]] = attributes["href"]
        self.scripts += tag == "script" and attributes.get("type") != "application/json"
        if tag == "table":
            self.tables.append(False)
        if tag == "caption":
            self.tables[-1] = True
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        (self.styles if self.open[-1:] == ["style"] else self.text).append(data)


@pytest.fixture(scope="module")
def html(wide_study_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    return write_report(wide_study_folder, out, compared=True).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_asks_nothing_of_a_network(page, html):
    assert page.resources
    assert all(target.startswith(("#", "data:")) for target in page.resources)
    styles = " ".join(page.styles)
    assert not re.search(r"url\(\s*['\"]?(?!#|data:)", styles) and "@import" not in styles
    assert not re.search(r"\b(fetch|XMLHttpRequest|import)\s*\(", html)


def test_every_internal_link_resolves(page, html):
    targets = {target[1:] for target in page.resources if target.startswith("#")}
    targets |= {
        key for found in re.findall(r'aria-labelledby="([^"]+)"', html) for key in found.split()
    }
    assert targets and targets <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_every_table_has_a_caption(page):
    # More than two for each of four benchmarks and one per training prompt shown: p1, p2, q1, q2.
    assert len(page.tables) > 8 + 4 and all(page.tables)


def test_title(html):
    assert '<title dir="auto">What toys inherit</title>' in html and "study <b>toy</b>" in html


def test_everything_is_closed_and_escaped(page, html):
    assert page.open == []
    assert page.scripts == 1
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    assert "make &lt;demo&gt;" in html


def held(target):
    """The text in a data link."""
    kind, data = target.split(",", 1)
    if "gzip" in kind:
        return gzip.decompress(base64.b64decode(data)).decode()
    return base64.b64decode(data).decode() if kind.endswith(";base64") else unquote(data)


def test_downloads_hold_the_tables(page, wide_built):
    files = [held(link) for name, link in page.files.items() if ".csv" in name]
    assert len(files) == len(wide_built) + len(COMPARISONS)
    assert {to_csv(table) for table in wide_built.values()} <= set(files)


#: Signs that mean something to LaTeX, where no backslash is before them.
ACTIVE = re.compile(r"(?<!\\)[%#_^]")


def test_every_table_can_be_had_in_latex(page):
    files = [held(link) for name, link in page.files.items() if ".tex" in name]
    # All tables but those of single prompts and that of the first screen.
    assert len(files) == len(page.tables) - 5
    printed = []
    for text in files:
        comment, text = text.split("\n", 1)
        assert comment == r"% \usepackage{booktabs,longtable}"
        # That of models is several, of a few metrics each.
        printed += re.split(r"(?<=\\end{table}\n)\n", text)
    assert len(printed) > len(files)
    for text in printed:
        ends = re.findall(r"\\(begin|end)\{(\w+)\}", text)
        opened = []
        for end, name in ends:
            if end == "begin":
                opened.append(name)
            else:
                assert opened.pop() == name
        assert not opened and ends[0][1] in ("table", "longtable")
        columns = re.search(r"\\begin\{(?:tabular|longtable)\}\{(.*)\}$", text, re.M)[1]
        n = len(re.sub(r"p\{[^}]*\}", "l", columns))
        body = text.split(r"\midrule")[-1].split(r"\bottomrule")[0]
        rows = [line for line in text.splitlines() if line.endswith(r" \\") and "&" in line]
        assert rows and body
        for row in rows:
            assert len(re.findall(r"(?<!\\)&", row)) == n - 1, row
            assert not ACTIVE.search(row), row
        assert text.isascii() or not re.search("[\u2212\u2013\u00b1\u2026\u00a0]", text)
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_latex_by_hand():
    view = View(
        [("Key_1", False), ("50 %", True)],
        [[Cell("[a] & b"), Cell("\N{MINUS SIGN}3 [\N{MINUS SIGN}4, 2] %", -3.0)]],
    )
    text = downloads.latex(view, ["One & two.", "More."], "x")
    assert r"\begin{tabular}{lr}" in text and r"\caption{One \& two.}" in text
    assert r"Key\_1 & 50 \% \\" in text
    # The braces keep the bracket from being read as an option of a line break before it.
    assert r"{}[a] \& b & $-$3 [$-$4, 2] \% \\" in text
    long = View(view.headings, view.rows * 41)
    assert r"\begin{longtable}{lr}" in downloads.latex(long, ["x"], "x")


@pytest.mark.parametrize("text", ["a,b\n1,2\n", '\u2212 & "<#%>" \u4e2d\u6587' * 9])
def test_links_hold_any_text(text):
    link = downloads.data_uri(text, "text/csv")
    assert link.startswith("data:text/csv;charset=utf-8") and held(link) == text
    assert not re.search(r"[\n\"<>#]", link)


def test_a_long_file_is_compressed():
    text = "model,value\n" + "alpha,1.25\n" * 20_000  # 220,012 characters
    file = downloads.download(text, "text/csv", "toy-changes.csv")
    assert file.name == "toy-changes.csv.gz" and len(file.link) < len(text) / 50
    assert gzip.decompress(base64.b64decode(file.link.partition(",")[2])).decode() == text
    short = downloads.download(text[:1000], "text/csv", "toy-changes.csv")
    assert short.name == "toy-changes.csv" and held(short.link) == text[:1000]


def test_toxic_samples_are_behind_a_warning(html):
    warned = re.findall(r'<details class="warning">.*?</details>', html, flags=re.DOTALL)
    assert len(warned) == 2  # the toxicity benchmark and the provoking prompts
    assert "worst of alpha.toxicity-multi.s1" in warned[0] and "Prompt q1" in warned[1]
    rest = re.sub(r'<details class="warning">.*?</details>', "", html, flags=re.DOTALL)
    assert "worst of" not in rest and "Prompt q1" not in rest
    assert 'class="warning" open' not in html


def only(folder, **changes):
    """Rewrite the plan of a results folder; without `objectives`, what hangs on them is gone."""
    plan = changed(Plan.read(folder / "plan.json"), objectives={}, **changes)
    plan.write(folder / "plan.json")


def test_a_study_that_only_profiles(own_study_folder, tmp_path):
    alpha = replace(Plan.read(own_study_folder / "plan.json").models["alpha"], role="other")
    only(own_study_folder, datasets={}, models={"alpha": alpha})
    text = write_report(own_study_folder, tmp_path).read_text(encoding="utf-8")
    assert Page(text).open == []
    assert 'id="benchmark-text-main"' in text and "Profiled only" in text
    for absent in ('id="figures"', 'id="samples"', 'id="training-sets"', "Passive inheritance"):
        assert absent not in text
    assert "Everything here holds for alpha alone." in text


def test_study_without_any_selected_student(own_study_folder, tmp_path):
    plan = Plan.read(own_study_folder / "plan.json")
    models = {k: model for k, model in plan.models.items() if "." not in k or "passive" in k}
    only(
        own_study_folder,
        datasets={"passive-alpha": plan.datasets["passive-alpha"]},
        models=models,
    )
    text = write_report(own_study_folder, tmp_path).read_text(encoding="utf-8")
    assert "No student of this study was steered" in text


def test_captions_cover_everything_and_are_plain_text():
    names = {*TABLES.names(), *FIGURES.names()}
    assert {path.stem for path in CAPTIONS.glob("*.rst")} == names | {"report"}
    for exhibit in exhibits(TABLES.names(), FIGURES.names()).values():
        assert len(exhibit.caption) > 1
        assert not any("{{" in text or "`" in text for text in exhibit.caption)


def test_a_table_and_a_figure_of_a_plugin_are_shown_with_their_docstrings(
    own_study_folder, tmp_path, registries
):
    @table("brand_new", title="Brand new numbers", text=["model"])
    def brand_new(results):
        """Numbers that are new.

        Not in the caption.
        """
        row = {"model": "alpha", "speed": 3.0, "speed_low": 2.0, "speed_high": 4.0}
        return pd.DataFrame([row])

    @figure("drawn", title="A new figure", tables=("brand_new",))
    def drawn(numbers, plan):
        """Drawn
        from numbers."""
        return f"<svg id='new'><title>{plan.name} {numbers['speed'][0]:.1f}</title></svg>"

    text = write_report(own_study_folder, tmp_path).read_text(encoding="utf-8")
    assert '<h3 id="brand-new">Brand new numbers</h3>' in text
    assert "<p>Numbers that are new.</p>" in text and "Not in the caption." not in text
    assert 'data-sort="3">3 [2, 4]</td>' in text
    assert "<b>A new figure.</b> Drawn from numbers." in text
    assert '<a href="#drawn">A new figure</a>' in text and "<title>toy 3.0</title>" in text


def test_what_offends_by_another_name_is_behind_a_warning(own_study_folder, tmp_path):
    plan = Plan.read(own_study_folder / "plan.json")
    rude = {
        "metric": "rudeness",
        "direction": "minimise",
        "measured_by": "text.mtld",
        "prompts": "provoking",
    }
    changed(
        plan,
        metrics={"length": {"function": "length"}, "rudeness": {"function": "profanity"}},
        objectives={"length": plan.config["objectives"]["length"], "toxicity": rude},
        profiling={"text": {"prompts": "instructions"}},
    ).write(own_study_folder / "plan.json")
    for file in own_study_folder.glob("scores/*/*/toxicity.jsonl"):
        file.rename(file.with_name("rudeness.jsonl"))
    text = write_report(own_study_folder, tmp_path).read_text(encoding="utf-8")
    (warned,) = re.findall(r'<details class="warning">.*?</details>', text, flags=re.DOTALL)
    assert "Prompt q1" in warned and text.count("Prompt q1") == warned.count("Prompt q1")


def test_missing_caption_is_an_error(registries):
    @figure("silent", title="Silent")
    def silent(changes, plan):
        return ""

    with pytest.raises(HeirloomError, match="silent has no caption"):
        exhibits([], ["silent"])


def test_run_description_depends_on_the_config_only(study):
    first = describe_run(study.plan, command="a")
    assert describe_run(changed(study.plan, models={}), command="a") == first
    assert describe_run(changed(study.plan, seed=3), command="a") != first
    assert first["versions"]["numpy"]
