import base64
import dataclasses
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pandas as pd
import pytest
from heirloom.analyse.contents import table_names
from heirloom.analyse.tables.frames import rows_of
from heirloom.analyse.tables.models import main_of
from report_file import CAPTIONS, COMPARISONS, write_report

from heirloom.analyse import tables
from heirloom.analyse.results import load_study
from heirloom.report import downloads, figures, findings, labels, samples, views
from heirloom.report import page as report
from heirloom.report.abstract import abstract
from heirloom.report.page import load_captions
from heirloom.report.provenance import describe_run
from heirloom.support.errors import HeirloomError
from heirloom.support.files import write_json

VOID = {"meta", "link", "br", "img", "input", "hr", "path", "use"}


class Page(HTMLParser):
    """Collects what the tests ask about, and checks that tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.resources, self.styles = [], [], [], []
        self.tables, self.scripts, self.open = [], 0, []
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
def study(study_folder):
    return load_study(study_folder)


@pytest.fixture(scope="module")
def built(study):
    return {name: tables.TABLES[name](study) for name in table_names(study.plan)}


@pytest.fixture(scope="module")
def wide(wide_study_folder):
    return load_study(wide_study_folder)


@pytest.fixture(scope="module")
def wide_built(wide):
    return {name: tables.TABLES[name](wide) for name in table_names(wide.plan)}


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
    assert "<title>What toys inherit</title>" in html and "study <b>toy</b>" in html


def test_everything_is_closed_and_escaped(page, html):
    assert page.open == []
    assert page.scripts == 1
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    assert "make &lt;demo&gt;" in html


def held(target):
    """The text in a data link."""
    kind, data = target.split(",", 1)
    return base64.b64decode(data).decode() if kind.endswith(";base64") else unquote(data)


def test_downloads_hold_the_tables(page, wide_built):
    files = [held(target) for target in page.resources if target.startswith("data:text/csv")]
    assert len(files) == len(wide_built) + len(COMPARISONS)
    assert {tables.to_csv(table) for table in wide_built.values()} <= set(files)


#: Signs that mean something to LaTeX, where no backslash is before them.
ACTIVE = re.compile(r"(?<!\\)[%#_^]")


def test_every_table_can_be_had_in_latex(page):
    files = [held(target) for target in page.resources if target.startswith("data:application/")]
    # All tables but those of single prompts.
    assert len(files) == len(page.tables) - 4
    for text in files:
        comment, text = text.split("\n", 1)
        assert comment == r"% \usepackage{booktabs,longtable}"
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
    view = views.View(
        [("Key_1", False), ("50 %", True)],
        [[views.Cell("[a] & b"), views.Cell("\N{MINUS SIGN}3 [\N{MINUS SIGN}4, 2] %", -3.0)]],
    )
    text = downloads.latex(view, ["One & two.", "More."], "x")
    assert r"\begin{tabular}{lr}" in text and r"\caption{One \& two.}" in text
    assert r"Key\_1 & 50 \% \\" in text
    # The braces keep the bracket from being read as an option of a line break before it.
    assert r"{}[a] \& b & $-$3 [$-$4, 2] \% \\" in text
    long = views.View(view.headings, view.rows * 41)
    assert r"\begin{longtable}{lr}" in downloads.latex(long, ["x"], "x")


@pytest.mark.parametrize("text", ["a,b\n1,2\n", '\u2212 & "<#%>" \u4e2d\u6587' * 9])
def test_links_hold_any_text(text):
    link = downloads.data_uri(text, "text/csv")
    assert link.startswith("data:text/csv;charset=utf-8") and held(link) == text
    assert not re.search(r"[\n\"<>#]", link)


def test_toxic_samples_are_behind_a_warning(html):
    warned = re.findall(r'<details class="warning">.*?</details>', html, flags=re.DOTALL)
    assert len(warned) == 2  # the toxicity benchmark and the provoking prompts
    assert "worst of alpha.toxicity-multi.s1" in warned[0] and "Prompt q1" in warned[1]
    rest = re.sub(r'<details class="warning">.*?</details>', "", html, flags=re.DOTALL)
    assert "worst of" not in rest and "Prompt q1" not in rest
    assert 'class="warning" open' not in html


def test_headline_by_hand(study, built):
    # length-alpha against its control gains 2, 2, 2, 4; length-multi 5, 5, 5, 15; toxicity-multi
    # -0.3 and -0.1 against 0.5: no paired resample can reach zero, so the intervals exclude it.
    # But four examples give no p value below 1/8, and two none below 1/2.
    assert findings.headline(study.plan, built["changes"]) == (
        "Against its random control, the steered metric moved the intended way in 0 of 3 steered "
        "students, with p < 0.05 after Holm's correction for 3 tests; in 3 no change is shown, "
        "though in 3 of them the 95 % interval by itself excludes zero."
    )
    assert findings.headline(study.plan, sure(built["changes"])) == (
        "Against its random control, the steered metric moved the intended way in 3 of 3 steered "
        "students, with p < 0.05 after Holm's correction for 3 tests."
    )


def sure(changes):
    """As if intervals without zero came from many examples: corrected p values of 0.01 there."""
    changes = changes.copy()
    for against in ("base", "control"):
        moved = [findings.effect(row, against).verdict != 0 for row in rows_of(changes)]
        tested = changes[f"p_holm_vs_{against}"].notna()
        changes.loc[tested & pd.Series(moved, changes.index), f"p_holm_vs_{against}"] = 0.01
    return changes


def test_headline_counts_the_others(study, built):
    changes = sure(built["changes"])
    own = changes["objective"] + changes["metric"]
    single = (own == "lengthlength") & (changes["source"] == "single")
    changes.loc[single, "p_holm_vs_control"] = 0.06
    changes.loc[own == "toxicityemt", "difference_vs_control"] = 1.0
    text = findings.headline(study.plan, changes)
    assert "in 1 of 3 steered students" in text
    assert "in 1 no change is shown, though in 1 of them" in text
    assert text.endswith("; in 1 it moved the other way.")
    changes.loc[single, ["change_vs_control_low", "change_vs_control_high"]] = [-1.0, 1.0]
    assert "in 1 no change is shown; in 1 it moved" in findings.headline(study.plan, changes)


def test_findings_by_hand(study, built):
    found = findings.active_findings(study.plan, built | {"changes": sure(built["changes"])})
    assert [finding.student for finding in found["length"]] == [
        "length-alpha, single-source",
        "length-multi, multi-source",
    ]
    text = " ".join(found["length"][1].sentences)
    assert "Length changed by +50.0 % [" in text and "and by +25.0 % [" in text
    assert "mean length score is 35, a difference of +12.5 [+5, +20] to the control's" in text
    toxic = " ".join(found["toxicity"][0].sentences)
    # emt 0.3 against 0.5 of both base and control.
    assert toxic.count("\N{MINUS SIGN}40.0 % [") == 2
    assert "mean toxicity score is 0.250, a difference of \N{MINUS SIGN}0.600" in toxic
    assert "Corrected for 3 tests of steered metrics (Holm), p = 0.010." in toxic
    assert found["toxicity"][0].verdict == "clear"


def test_an_interval_without_zero_may_be_chance(study, built):
    finding = findings.active_findings(study.plan, built)["toxicity"][0]
    # Of two examples p is 1/2; that of the other two tests is 1/8: corrected 3/8, 3/8 and 1/2.
    assert finding.verdict == "open"
    assert (
        "Corrected for 3 tests of steered metrics (Holm), p = 0.50: among so many the interval "
        "that excludes zero may be chance." in finding.sentences
    )


def test_an_interval_with_zero_is_said_plainly(study, built):
    changes = built["changes"].copy()
    toxic = changes["student"] == "alpha.toxicity-multi"
    changes.loc[toxic, ["change_vs_control_low", "change_vs_control_high"]] = [-50.0, 1.0]
    finding = findings.active_findings(study.plan, built | {"changes": changes})["toxicity"][0]
    assert finding.verdict == "open"
    assert "The interval against the random control includes zero" in " ".join(finding.sentences)
    assert finding.sentences[-1] == (
        "The training set changed as intended; that the student did is not shown."
    )


def test_passive_findings_by_hand(study, built):
    # passive-alpha: length +10 % (gains 2, 2, 2, 4), mtld 0 %, emt 0.6 / 0.5 = +20 % (both examples
    # gain 0.1: from 0.5 / 0.4 = +25 % to 0.7 / 0.6 = +17 %), toxicity probability 1.0 against 0.5,
    # whose resampled reference is 0 with probability 1/4: no percentage, a difference in [0, 1].
    sentences = findings.passive_findings(study.plan, built["changes"])
    assert sentences == [
        "0 of 4 changes of main metrics in passively trained students are significant after Holm's "
        "correction (p < 0.05). By themselves 2 have a 95 % interval that excludes zero; about 0.2 "
        "would by chance alone."
    ]
    sentences = findings.passive_findings(study.plan, sure(built["changes"]))
    assert sentences[0].startswith("2 of 4 changes of main metrics in passively trained students ")
    # In widths of their intervals emt, 20 / 8.3, is clearer than length, 10 / 6.
    assert sentences[1] == ("passive-alpha: Expected maximum toxicity +20.0 % [+16.7, +25.0].")
    assert sentences[2].startswith("passive-alpha: Length +10.0 % [")
    assert len(sentences) == 3


def rows_of_bbq(values):
    """Rows of the changes table for one student: metric to difference, low, high against both.

    Those of main metrics that exclude zero are significant.
    """
    shared = {
        "student": "alpha.toxicity-multi",
        "benchmark": "bbq",
        "relative": "no",
        "unit": "points",
        "selection": "best",
        "n": 40,
    }
    rows = []
    for metric, ends in values.items():
        row = {**shared, "metric": metric}
        for against in ("base", "control"):
            for end, value in zip(("", "_low", "_high"), ends, strict=True):
                row[f"difference_vs_{against}{end}"] = value
                row[f"change_vs_{against}{end}"] = None
            excludes = ends[1] is not None and ends[1] * ends[2] > 0
            row[f"p_holm_vs_{against}"] = 0.01 if excludes and "." not in metric else None
        rows.append(row)
    return pd.DataFrame(rows)


def test_benchmark_findings_count_all_comparisons_by_hand(study):
    changes = rows_of_bbq(
        {
            "bias_ambiguous": (-12.0, -20.0, -4.0),
            "bias_disambiguated": (3.0, -2.0, 8.0),
            "accuracy": (0.3, 0.2, 0.4),
            "bias_ambiguous.age": (-30.0, -50.0, -10.0),
            "bias_ambiguous.religion": (5.0, None, None),
        }
    )
    plan = {**study.plan, "benchmarks": ["text", "bbq"]}
    sentences = findings.benchmark_findings(plan, changes)
    assert list(sentences) == ["bbq"]
    # Four have intervals, three without zero, one of which is of a category and not named. Clearest
    # first: accuracy is 1.5 widths away, bias 12 / 16 = 0.75.
    assert sentences["bbq"][:3] == [
        "2 of 3 comparisons of main metrics with the base are significant after Holm's correction "
        "(p < 0.05). Of all 4, categories included, 3 have a 95 % interval that excludes zero; "
        "about 0.2 would by chance alone.",
        "toxicity-multi: Accuracy +0.300 [+0.200, +0.400] (points).",
        "toxicity-multi: Bias, ambiguous contexts \N{MINUS SIGN}12 [\N{MINUS SIGN}20, "
        "\N{MINUS SIGN}4] (points).",
    ]
    assert sentences["bbq"][3].startswith("2 of 3 comparisons of main metrics with the random ")
    assert sentences["bbq"][4].endswith("(points) against the control.")


def test_resolution_by_hand():
    changes = rows_of_bbq({"accuracy": (0.3, 0.2, 0.4), "bias_ambiguous": (1.0, None, None)})
    others = changes.assign(difference_vs_base_high=[0.8, None], student="other")
    both = pd.concat([changes, others])
    pairs = [("bbq", "accuracy"), ("bbq", "bias_ambiguous"), ("text", "length")]
    # Half widths 0.1 and 0.3: median 0.2; no interval, no statement.
    assert findings.resolution(both, pairs) == {"bbq": "Accuracy \u00b1 0.200 points (n = 40)"}


def test_an_objective_without_a_true_zero_is_judged_by_its_difference(wide, wide_built):
    plan = {
        **wide.plan,
        "objectives": {
            **wide.plan["objectives"],
            "toxicity": {
                **wide.plan["objectives"]["toxicity"],
                "measured_by": "bbq.bias_ambiguous",
            },
        },
    }
    changes = wide_built["changes"].copy()
    own = (changes["student"] == "alpha.toxicity-multi") & (changes["metric"] == "bias_ambiguous")
    for against in ("base", "control"):
        ends = [f"difference_vs_{against}{end}" for end in ("", "_low", "_high")]
        changes.loc[own, ends] = [-5.0, -8.0, -2.0]
    changes.loc[own, "p_holm_vs_control"] = 0.01
    finding = findings.active_findings(plan, wide_built | {"changes": changes})["toxicity"][0]
    assert finding.verdict == "clear"
    minus = "\N{MINUS SIGN}"
    assert finding.sentences[0].startswith(
        f"BBQ: bias, ambiguous contexts changed by {minus}5 [{minus}8, {minus}2] (percent) "
        "against the base and by"
    )


def test_a_percentage_without_interval_gives_way_to_the_difference():
    row = rows_of_bbq({"rate": (0.5, 0.1, 1.0)}).assign(relative="yes", change_vs_base=100.0)
    found = findings.effect(next(rows_of(row)), "base")
    assert (found.unit, found.value, found.verdict) == ("points", 0.5, 1)
    row = row.assign(change_vs_base_low=-10.0, change_vs_base_high=300.0)
    found = findings.effect(next(rows_of(row)), "base")
    assert (found.unit, found.value, found.verdict) == ("%", 100, 0)


def test_every_benchmark_has_a_table_of_models_and_main_metrics(wide, wide_built):
    sections = views.sections(wide.plan, wide_built)
    assert [section.title for section in sections] == [
        *("Text", "Toxicity", "BBQ", "Calibration", "Judge")
    ]
    bbq = sections[2].main
    assert [heading for heading, _ in bbq.headings] == [
        *("Model", "n", "Bias, ambiguous contexts", "vs base, difference"),
        *("Bias, disambiguated contexts", "vs base, difference", "Accuracy", "vs base, %"),
    ]
    assert [row[0].text for row in bbq.rows] == [
        *("alpha (base)", "beta (teacher)", "passive-alpha", "random-multi", "length-alpha"),
        *("length-multi", "random-provoking-multi", "toxicity-multi"),
        "length-multi-k1",
    ]
    base, student = bbq.rows[0], bbq.rows[7]
    assert base[3] == views.Cell("\N{EN DASH}")
    assert re.fullmatch(r"[+\u2212]?[\d.]+ \[[+\u2212]?[\d.]+, [+\u2212]?[\d.]+\]", student[3].text)
    assert student[7].text.endswith(" %")
    # Sixty questions of each condition, 120 in all, the most that a main metric uses.
    assert student[1] == views.Cell("120", 120.0)
    # Every category is in the details.
    named = {row[0].text for row in sections[2].details.rows}
    assert "Bias, ambiguous contexts, gender identity" in named
    assert "Accuracy \u00b1" in sections[2].resolution and "(n = 120)" in sections[2].resolution


def test_a_new_benchmark_shows_up_without_edits(wide, wide_built):
    renamed = {
        name: table.replace({"benchmark": {"bbq": "brand_new"}})
        for name, table in wide_built.items()
    }
    plan = {**wide.plan, "benchmarks": ["brand_new"]}
    (section,) = views.sections(plan, renamed)
    assert (section.title, section.summary) == ("Brand new", "")
    shown = [heading for heading, _ in section.main.headings if not heading.startswith("vs")]
    assert shown[2:] == [labels.label(m) for m in main_of("brand_new", BBQ_METRICS)]
    assert "Accuracy" in shown and len(shown) == 2 + 5


BBQ_METRICS = [
    *("accuracy", "accuracy_disambiguated", "accuracy_ambiguous"),
    *("bias_disambiguated", "bias_ambiguous", "accuracy.age"),
]


def test_benchmarks_without_texts_have_no_samples(wide):
    fair = {**wide.plan["objectives"]["length"], "measured_by": "bbq.accuracy"}
    plan = {**wide.plan, "objectives": {"fair": fair}}
    plan["datasets"] = {
        name: {**data, "objective": data["objective"] and "fair"}
        for name, data in wide.plan["datasets"].items()
    }
    found = samples.collect_samples(dataclasses.replace(wide, plan=plan))
    assert found["evaluation"] == []


def test_a_study_that_only_profiles(own_study_folder, tmp_path):
    study = load_study(own_study_folder)
    plan = {
        **study.plan,
        "objectives": {},
        "datasets": {},
        "models": {name: {**study.plan["models"][name], "role": "other"} for name in ("alpha",)},
    }
    write_json(own_study_folder / "plan.json", plan)
    text = write_report(own_study_folder, tmp_path).read_text(encoding="utf-8")
    assert Page(text).open == []
    assert 'id="benchmark-text-main"' in text and "Profiled only" in text
    for absent in ('id="figures"', 'id="samples"', 'id="training-sets"', "Passive inheritance"):
        assert absent not in text
    assert "Everything here holds for alpha alone." in text


def test_limits_say_how_many_tests_there_are_and_what_they_could_find(study, built):
    limits = dict(findings.limits(study.plan, built))
    # Six students on two metrics of two benchmarks, three of them with a control; a family for each
    # benchmark against bases and against controls, and the three steered metrics.
    many = limits["Many intervals."]
    assert "24 intervals against bases and 12 against controls" in many
    assert "about 2 would exclude zero" in many and "families (5 here): the 3 tests" in many
    power = limits["What n can resolve."]
    assert "80 % power" in power and "Length " in power and ", n = 4)" in power
    # emt against the control: -0.3 and -0.1, mean -0.2 of 0.5. Two examples, so the interval is
    # [-0.3, -0.1]: +- 20 % of the control. Student's quantiles for one degree of freedom are 12.706
    # and, for 80 %, tan(0.3 pi) = 1.376: 20 (1 + 1.376 / 12.706) = 22.2.
    assert "Expected maximum toxicity 22.2 % (95 % interval \u00b1 20.0, n = 2)" in power


def test_limits_of_several_seeds(study, built):
    models = {
        name: {**model, "seed": 2} if name.endswith("length-multi.s1") else model
        for name, model in study.plan["models"].items()
    }
    limits = dict(findings.limits({**study.plan, "models": models}, built))
    assert "One training seed." not in limits
    assert "used with 2 seeds" in limits["Few training seeds."]
    assert "(1 degree of freedom)" in limits["Few training seeds."]


def test_limits_follow_the_study(study, built):
    headings = [heading for heading, _ in findings.limits(study.plan, built)]
    assert headings[:2] == ["Coarse toxicity scorer.", "One training seed."]
    plan = {**study.plan, "config": {"toxicity": {"function": "detoxify"}}}
    headings = [heading for heading, _ in findings.limits(plan, built)]
    assert "Coarse toxicity scorer." not in headings
    assert "Numbers that noise only raises." not in headings
    plan = {**plan, "benchmarks": ["calibration"]}
    assert "Numbers that noise only raises." in [h for h, _ in findings.limits(plan, built)]


def test_samples(study):
    found = samples.collect_samples(study)
    text, toxicity = found["evaluation"]
    # Four prompts give e1, e2, e3: positions 0, 4 // 3, 8 // 3.
    assert [prompt["id"] for prompt in text["prompts"]] == ["e1", "e2", "e3"]
    assert [(a["role"], a["model"]) for a in text["prompts"][0]["answers"]] == [
        ("base", "alpha"),
        ("random control", "alpha.random-multi.s1"),
        ("best for length", "alpha.length-multi.s1"),
    ]
    assert text["prompts"][0]["text"] == "Prompt e1 & co."
    worst = toxicity["prompts"][0]["answers"][0]
    assert (worst["completion"], worst["note"]) == (
        "worst of alpha",
        "highest of 3 continuations: 0.400",
    )
    chosen = found["training"][0]["prompts"][0]["candidates"]
    assert [(c["teacher"], c["sample"], c["chosen"]) for c in chosen] == [
        ("alpha", 0, ["passive-alpha"]),
        ("alpha", 1, ["random-multi", "length-alpha"]),
        ("beta", 0, ["length-multi"]),
        ("beta", 1, []),
    ]
    assert chosen[3]["scores"] == ["5", "\N{EN DASH}"]  # length 5, toxicity null


def test_captions_cover_everything_and_are_plain_text():
    captions = load_captions(CAPTIONS)
    names = tables.TABLES.keys() | figures.FIGURES.keys() | {*COMPARISONS, "costs"}
    assert set(captions) == names | {"report"}
    for name in names:
        text = captions[name]
        assert "{{" not in text and "`" not in text and "\n\n" in text


def test_tables_and_figures_that_nobody_has_heard_of_are_shown(study, built):
    new = pd.DataFrame(
        {"model": ["alpha"], "speed": [3.0], "speed_low": [2.0], "speed_high": [4.0]}
    )
    captions = {**load_captions(CAPTIONS), "brand_new": "What is new.", "figure9": "Drawn."}
    text = report.render(
        study.plan,
        {**built, "brand_new": new},
        {"figure9": "<svg></svg>"},
        samples.collect_samples(study),
        [samples.collect_pool(study, prompts) for prompts in samples.prompt_sets(study.plan)],
        captions,
        describe_run(study.plan, command="x"),
    )
    assert '<h3 id="brand-new">Brand new</h3>' in text and "What is new." in text
    assert 'data-sort="3.0">3 [2, 4]</td>' in text
    assert "<b>Figure 9.</b> Drawn." in text and '<a href="#figure9">Figure 9</a>' in text


def test_the_abstract_by_hand(study, built):
    done, found, unsaid = abstract(study.plan, built)
    # Two prompts of each set, two teachers, k = 2: 16 candidates.
    assert done[1] == [
        "alpha and beta answered 2 prompts of the set instructions and 2 prompts of the set "
        "provoking, 2 times each: 16 candidates, scored by length and toxicity. From them came 6 "
        "training sets: 1 passive (a teacher's first answer), 2 random (the controls) and 3 "
        "selected for an objective. alpha learned each of them with LoRA, one seed each. 6 "
        "students, beside bases and teachers, were profiled with Text and Toxicity."
    ]
    assert found[1][0] == findings.headline(study.plan, built["changes"])
    assert "+25.0 % [" in found[1][1] and "in length-multi" in found[1][1]
    assert found[1][1].startswith("Length, maximised: ")
    assert any("linear profanity classifier" in text for text in unsaid[1])


def test_the_abstract_says_when_nothing_is_shown(study, built):
    changes = built["changes"].copy()
    own = changes["student"].str.contains("length-multi") & (changes["metric"] == "length")
    changes.loc[own, ["change_vs_control_low", "change_vs_control_high"]] = [-5.0, 60.0]
    changes.loc[own, "p_holm_vs_control"] = 0.4
    _, found, unsaid = abstract(study.plan, {**built, "changes": changes})
    assert "in length-multi, which includes zero" in found[1][1]
    assert "length-multi" in unsaid[1][0] and "nor is it shown that there is none" in unsaid[1][0]


def test_reasons_by_hand(study):
    plan = study.plan
    row = {"n_candidates": 4, "n_tied": 0, "n_unscored": 0, "score": None}

    def why(name, **changed):
        return samples.reason(plan, plan["datasets"][name], {**row, **changed})

    assert why("passive-alpha") == "the first of 4 candidates that is not empty"
    assert why("random-multi") == "drawn at random from 4 candidates"
    assert why("toxicity-multi", score=0.25) == "lowest toxicity of 4 candidates, 0.250"
    assert why("length-multi", score=40.0, n_tied=2, n_unscored=1) == (
        "highest length of 4 candidates, 40; drawn among 3 with that score; 1 without a score"
    )
    up = {"direction": "maximise"}
    several = {"metrics": {"length": up, "mtld": up}, "where": {"toxicity": {"at_most": 0.5}}}
    plan = {**plan, "objectives": {"length": {**plan["objectives"]["length"], **several}}}
    assert why("length-multi", score=0.75) == (
        "highest mean rank in length and mtld of 4 candidates, 0.750; among those within the "
        "bounds on toxicity"
    )


def test_a_pool_holds_every_candidate_and_who_chose_it(study):
    pool = samples.collect_pool(study, "provoking")
    assert (pool["metrics"], pool["teachers"]) == (["toxicity"], ["alpha", "beta"])
    assert [entry["name"] for entry in pool["sets"]] == ["random-provoking-multi", "toxicity-multi"]
    first = pool["prompts"][0]
    assert [candidate["scores"] for candidate in first["candidates"]] == [
        [0.9],
        [0.2],
        [0.5],
        [0.4],
    ]
    assert first["chosen"] == [
        {"set": 0, "candidate": 0, "why": "drawn at random from 4 candidates"},
        {"set": 1, "candidate": 1, "why": "lowest toxicity of 4 candidates, 0.200"},
    ]


def test_large_pools_keep_evenly_spaced_prompts():
    prompts = [{"id": f"p{n}", "text": "x" * 100} for n in range(10)]
    pool = {"name": "many", "teachers": ["</script>"], "prompts": prompts}
    whole = samples.embed([pool])["many"]
    assert (whole["shown"], whole["total"]) == (10, 10)
    assert json.loads(whole["json"]) == pool and "<" not in whole["json"]
    # A prompt takes 123 bytes with its comma: half of the room is for four, not five, of ten.
    part = samples.embed([pool, {**pool, "name": "more"}], most=1230 - 20)["many"]
    kept = json.loads(part["json"])["prompts"]
    assert [p["id"] for p in kept] == ["p0", "p2", "p5", "p7"] and part["shown"] == 4


def test_missing_caption_is_an_error(study, built):
    with pytest.raises(HeirloomError, match="no caption for candidates"):
        report.render(study.plan, built, {}, {}, [], {"changes": "x"}, {})


def test_run_description_depends_on_the_config_only(study):
    first = describe_run(study.plan, command="a")
    reordered = dict(reversed(study.plan["config"].items()))
    second = describe_run({**study.plan, "config": reordered}, command="a")
    assert first == second
    changed = describe_run({**study.plan, "config": {"k": 3}}, command="a")
    assert changed["config_sha256"] != first["config_sha256"]
    assert first["versions"]["numpy"]


def test_study_without_any_selected_student(own_study_folder, tmp_path):
    study = load_study(own_study_folder)
    plan = {
        **study.plan,
        "objectives": {},
        "datasets": {"passive-alpha": study.plan["datasets"]["passive-alpha"]},
        "models": {k: v for k, v in study.plan["models"].items() if "." not in k or "passive" in k},
    }
    write_json(own_study_folder / "plan.json", plan)
    text = write_report(own_study_folder, tmp_path).read_text(encoding="utf-8")
    assert "No student of this study was steered" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (float("nan"), "\N{EN DASH}"),
        (0.0, "0"),
        (0.01234, "0.012"),
        (-1.236, "\N{MINUS SIGN}1.24"),
        (1234.6, "1,235"),
    ],
)
def test_number(value, text):
    assert findings.number(value) == text


def test_seeds_of_a_student_share_a_row(study, built):
    first = "alpha.length-multi.s1"
    plan = {**study.plan, "models": dict(study.plan["models"])}
    plan["models"]["alpha.length-multi.s2"] = {**plan["models"][first], "seed": 2}
    profiles = built["profiles"]
    second = profiles[profiles["model"] == first].assign(model="alpha.length-multi.s2", value=50.0)
    together = {**built, "profiles": pd.concat([profiles, second], ignore_index=True)}
    section = views.sections(plan, together)[0]
    (row,) = (row for row in section.main.rows if row[0].text == "length-multi")
    # Words: 20, 30, 40 and 60 of the first seed, 37.5, and 50. The change is that of the student.
    assert row[2] == views.Cell("43.8", 43.75)
    assert row[3].text.startswith("+50.0 [")
    lengths = [row for row in section.details.rows if row[0].text == "Length"]
    assert [row[1].text for row in lengths].count("length-multi") == 1


def test_missing_cells_are_dashes(study, built):
    shown = [
        views.steered(study.plan, built["changes"]),
        *(section.details for section in views.sections(study.plan, built)),
        *(views.any_table(name, built[name]) for name in ("training_sets", "candidates")),
    ]
    row = next(row for row in shown[0].rows if row[0].text == "passive-alpha")
    headings = [heading for heading, _ in shown[0].headings]
    assert row[headings.index("Change vs control")] == views.Cell("\N{EN DASH}")
    for view in shown:
        assert view.rows
        assert not any("nan" in cell.text.lower() for row in view.rows for cell in row)
