import pandas as pd
from report_file import changed
from toy_study import STUDY, plan

from heirloom.analyse.effects import effect
from heirloom.analyse.frames import rows_of
from heirloom.profiling.profile import Profile
from heirloom.report.abstract import abstract
from heirloom.report.findings import active, benchmarks, noise
from heirloom.report.findings.families import families
from heirloom.report.findings.limits import computed_otherwise, limits
from heirloom.report.opening import opening
from heirloom.report.wording import DASH
from heirloom.study.plan import Model


def test_headline_by_hand(study, built):
    # length-alpha against its control gains 2, 2, 2, 4; length-multi 5, 5, 5, 15; toxicity-multi
    # -0.3 and -0.1 against 0.5: no paired resample can reach zero, so the intervals exclude it.
    # But four examples give no p value below 1/8, and two none below 1/2. Against the base, they
    # gain 4, 4, 4, 8; 10, 10, 10, 20; -0.2 and -0.2.
    unclear = "; in 3 no change is shown (for 3 of these, the uncorrected interval excludes zero)"
    defined = (
        "A metric counts as moved if p < 0.05 after Holm's correction: for 3 tests of steered "
        "metrics against controls, and for the main metrics of each benchmark against bases."
    )
    assert active.headline(study.plan, built["changes"]) == (
        f"Against the base, the steered metric moved as intended in 0 of 3 steered students"
        f"{unclear}. Against the random control, it moved as intended in 0 of 3{unclear}. {defined}"
    )
    assert active.headline(study.plan, sure(built["changes"])) == (
        "Against the base, the steered metric moved as intended in 3 of 3 steered students. "
        f"Against the random control, it moved as intended in 3 of 3. {defined}"
    )


def sure(changes):
    """As if intervals without zero came from many examples: corrected p values of 0.01 there."""
    changes = changes.copy()
    for against in ("base", "control"):
        moved = [effect(row, against).verdict != 0 for row in rows_of(changes)]
        tested = changes[f"p_holm_vs_{against}"].notna()
        changes.loc[tested & pd.Series(moved, changes.index), f"p_holm_vs_{against}"] = 0.01
    return changes


def test_headline_counts_the_others(study, built):
    changes = sure(built["changes"])
    own = changes["objective"] + changes["metric"]
    single = (own == "lengthlength") & (changes["source"] == "own")
    changes.loc[single, "p_holm_vs_control"] = 0.06
    changes.loc[own == "toxicityemt", "difference_vs_control"] = 1.0
    text = active.headline(study.plan, changes)
    assert "intended in 3 of 3 steered students. Against the random control" in text
    assert "intended in 1 of 3; in 1 no change is shown (for 1 of these, the unc" in text
    assert "excludes zero); in 1 it moved the other way. A metric counts" in text
    changes.loc[single, ["change_vs_control_low", "change_vs_control_high"]] = [-1.0, 1.0]
    assert "in 1 no change is shown; in 1 it moved" in active.headline(study.plan, changes)


def test_findings_by_hand(study, built):
    found = active.active_findings(study.plan, built | {"changes": sure(built["changes"])})
    assert [finding.student for finding in found["length"]] == [
        "length-alpha, own candidates",
        "length-multi, a pool",
    ]
    text = " ".join(found["length"][1].sentences)
    assert "Length changed by +50.0 % [" in text and "and by +25.0 % [" in text
    assert "its training set is 35, a difference of +12.5 [+5, +20] from the control's" in text
    toxic = " ".join(found["toxicity"][0].sentences)
    # emt 0.3 against 0.5 of both base and control.
    assert toxic.count("\N{MINUS SIGN}40.0 % [") == 2
    assert "its training set is 0.250, a difference of \N{MINUS SIGN}0.600 " in toxic
    # Six students on two main metrics of toxicity against bases, three tests of steered metrics.
    assert (
        "After Holm's correction, p = 0.010 against the base (12 tests) and p = 0.010 against the "
        "random control (3 tests)." in toxic
    )
    assert found["toxicity"][0].verdict == "clear"


def test_an_interval_without_zero_may_be_chance(study, built):
    finding = active.active_findings(study.plan, built)["toxicity"][0]
    # Of two examples p is 1/2; that of the other two tests is 1/8: corrected 3/8, 3/8 and 1/2.
    # Against bases no p of two examples is below 1/2, and 12 tests make it 1.
    assert finding.verdict == "open"
    assert (
        "After Holm's correction, p = 1.00 against the base (12 tests) and p = 0.50 against the "
        "random control (3 tests): with so many tests, the interval against the base and that "
        "against the random control may exclude zero by chance." in finding.sentences
    )


def test_an_interval_with_zero_is_said_plainly(study, built):
    changes = built["changes"].copy()
    toxic = changes["student"] == "alpha.toxicity-multi"
    changes.loc[toxic, ["change_vs_control_low", "change_vs_control_high"]] = [-50.0, 1.0]
    finding = active.active_findings(study.plan, built | {"changes": changes})["toxicity"][0]
    assert finding.verdict == "open"
    assert "The interval against the random control includes zero" in " ".join(finding.sentences)
    assert finding.sentences[-1] == (
        "The training set changed as intended; no change is shown in the student."
    )


def test_passive_findings_by_hand(study, built):
    # passive-alpha: length +10 % (gains 2, 2, 2, 4), mtld 0 %, emt 0.6 / 0.5 = +20 % (both examples
    # gain 0.1: from 0.5 / 0.4 = +25 % to 0.7 / 0.6 = +17 %), toxicity probability 1.0 against 0.5,
    # whose resampled reference is 0 with probability 1/4: no percentage, a difference in [0, 1].
    sentences = benchmarks.passive_findings(study.plan, built["changes"])
    assert sentences == [
        "0 of 4 changes of main metrics in passively trained students are significant (p < 0.05 "
        "after Holm's correction)."
    ]
    sentences = benchmarks.passive_findings(study.plan, sure(built["changes"]))
    assert sentences[0].startswith("2 of 4 changes of main metrics in passively trained students ")
    # In widths of their intervals emt, 20 / 8.3, is clearer than length, 10 / 6.
    assert sentences[1] == ("passive-alpha: Expected maximum toxicity +20.0 % [+16.7, +25.0].")
    assert sentences[2].startswith("passive-alpha: Length +10.0 % [")
    assert sentences[2].endswith("] (truncated: 0 %, base 0 %).")
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
        **dict.fromkeys(("truncated_base", "truncated_student", "truncated_control")),
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


def test_benchmark_findings_and_families_by_hand():
    changes = rows_of_bbq(
        {
            "bias_ambiguous": (-12.0, -20.0, -4.0),
            "bias_disambiguated": (3.0, -2.0, 8.0),
            "accuracy": (0.3, 0.2, 0.4),
            "bias_ambiguous.age": (-30.0, -50.0, -10.0),
            "bias_ambiguous.religion": (5.0, None, None),
        }
    )
    both = {"text": {"prompts": "instructions"}, "bbq": {"data": ["bbq"]}}
    sentences = benchmarks.benchmark_findings(plan(profiling=both), changes)
    assert list(sentences) == ["bbq"]
    # Clearest first: accuracy is 1.5 widths away, bias 12 / 16 = 0.75. No category is named.
    assert sentences["bbq"][:2] == [
        "toxicity-multi: Accuracy +0.300 [+0.200, +0.400] (points).",
        "toxicity-multi: Bias, ambiguous contexts \N{MINUS SIGN}12 [\N{MINUS SIGN}20, "
        "\N{MINUS SIGN}4] (points).",
    ]
    assert sentences["bbq"][2].endswith("(points) against the control.")
    assert len(sentences["bbq"]) == 4
    # Four have intervals, three of them without zero, one of which is of a category.
    for against in ("base", "control"):
        main = ~changes["metric"].str.contains(".", regex=False)
        changes[f"family_vs_{against}"] = main.map({True: f"bbq vs {against}", False: ""})
    rows = families(plan(profiling=both), changes).rows
    assert [[cell.text for cell in row] for row in rows] == [
        ["BBQ, main metrics", "base", "3", "2", "2", "0.2"],
        ["BBQ, main metrics", "random control", "3", "2", "2", "0.2"],
        ["Categories and other metrics, not corrected", "base", "1", DASH, "1", "0.1"],
        ["Categories and other metrics, not corrected", "random control", "1", DASH, "1", "0.1"],
    ]


def test_the_first_screen_by_hand(study, built):
    first = opening(study.plan, built["changes"])
    # Four examples give no p value below 1/8, as in the headline above.
    assert first.sentence == (
        "Against the random control, the steered metric moved as intended in 0 of 3 students; "
        "against the base, in 0 (p < 0.05 after Holm's correction)."
    )
    assert [(row.objective, row.source, row.style) for row in first.rows] == [
        ("Length (maximise)", "own", "own"),
        ("Length (maximise)", "pool", "pool"),
        ("Expected maximum toxicity (minimise)", "pool", "pool"),
    ]
    pool = first.rows[1]
    assert (pool.base.value, pool.control.value) == ("+50.0 %", "+25.0 %")
    assert pool.base.spread.startswith("[+") and pool.verdict == "open"
    assert pool.words == "no clear effect, p = 0.38" and first.note == ""
    first = opening(study.plan, sure(built["changes"]))
    assert "intended in 3 of 3 students; against the base, in 3 (p" in first.sentence
    assert {row.words for row in first.rows} == {"moved as intended, p = 0.010"}


def test_the_first_screen_has_at_most_eight_rows(study, built):
    # Nine copies of a student in one source: their base changes are 50, 51, ... 58 %.
    changes = built["changes"]
    own = (changes["student"] == "alpha.length-multi") & (changes["metric"] == "length")
    copies = [changes[own].assign(change_vs_base=50.0 + n) for n in range(9)]
    found = opening(study.plan, pd.concat([sure(changes[~own]), *map(sure, copies)]))
    # All of one name are one row, of the median, the smallest and the largest.
    (row,) = [row for row in found.rows if "student" in row.source]
    assert (row.base.value, row.base.spread) == ("median +54.0 %", "+50.0 % to +58.0 %")
    assert row.words == "9 of 9 moved as intended" and len(found.rows) == 3
    assert found.note.startswith("11 steered students: a row is the median over its students")


def test_resolution_by_hand():
    changes = rows_of_bbq({"accuracy": (0.3, 0.2, 0.4), "bias_ambiguous": (1.0, None, None)})
    others = changes.assign(difference_vs_base_high=[0.8, None], student="other")
    both = pd.concat([changes, others])
    pairs = [("bbq", "accuracy"), ("bbq", "bias_ambiguous"), ("text", "length")]
    # Half widths 0.1 and 0.3: median 0.2; no interval, no statement.
    assert benchmarks.resolution(both, pairs) == {"bbq": "Accuracy \u00b1 0.200 points (n = 40)"}


def test_an_objective_without_a_true_zero_is_judged_by_its_difference(wide, wide_built):
    unfair = {**wide.plan.config["objectives"]["toxicity"], "measured_by": "bbq.bias_ambiguous"}
    objectives = {**wide.plan.config["objectives"], "toxicity": unfair}
    own_plan = changed(wide.plan, objectives=objectives)
    changes = wide_built["changes"].copy()
    own = (changes["student"] == "alpha.toxicity-multi") & (changes["metric"] == "bias_ambiguous")
    for against in ("base", "control"):
        ends = [f"difference_vs_{against}{end}" for end in ("", "_low", "_high")]
        changes.loc[own, ends] = [-5.0, -8.0, -2.0]
    changes.loc[own, "p_holm_vs_control"] = 0.01
    finding = active.active_findings(own_plan, wide_built | {"changes": changes})["toxicity"][0]
    assert finding.verdict == "clear"
    minus = "\N{MINUS SIGN}"
    assert finding.sentences[0].startswith(
        f"BBQ: bias, ambiguous contexts changed by {minus}5 [{minus}8, {minus}2] (percent) "
        "against the base and by"
    )


def test_a_percentage_without_interval_gives_way_to_the_difference():
    row = rows_of_bbq({"rate": (0.5, 0.1, 1.0)}).assign(relative="yes", change_vs_base=100.0)
    found = effect(next(rows_of(row)), "base")
    assert (found.unit, found.value, found.verdict) == ("points", 0.5, 1)
    row = row.assign(change_vs_base_low=-10.0, change_vs_base_high=300.0)
    found = effect(next(rows_of(row)), "base")
    assert (found.unit, found.value, found.verdict) == ("%", 100, 0)


def test_limits_say_how_many_tests_there_are_and_what_they_could_find(study, built):
    found = dict(limits(study.plan, built))
    # Six students on two metrics of two benchmarks, three of them with a control; a family for each
    # benchmark against bases and against controls, and the three steered metrics.
    many = found["Many intervals."]
    assert "24 intervals against bases and 12 against controls" in many
    assert "about 2 would exclude zero" in many and "families (5 here): the 3 tests" in many
    power = found["Power of the study."]
    assert "a probability of 80 %" in power and "Length " in power and ", n = 4)" in power
    # emt against the control: -0.3 and -0.1, mean -0.2 of 0.5. Two examples, so the interval is
    # [-0.3, -0.1]: +- 20 % of the control. Student's quantiles for one degree of freedom are 12.706
    # and, for 80 %, tan(0.3 pi) = 1.376: 20 (1 + 1.376 / 12.706) = 22.2.
    assert "Expected maximum toxicity 22.2 % (95 % interval \u00b1 20.0, n = 2)" in power


def measured(*notes):
    return Profile("text", "x", 1, {}, {}, {}, {}, {}, notes=list(notes))


def test_models_that_were_computed_otherwise_are_named_with_the_reason():
    profiles = {model: {"text": measured()} for model in ("base", "one", "two", "three")}
    assert computed_otherwise(profiles) == []
    for model in ("one", "three"):
        profiles[model]["bbq"] = measured("scored one text at a time: rows mix")
    profiles["two"]["text"] = measured("generated by transformers: it diverges by 0.22 nats")
    ((heading, text),) = computed_otherwise(profiles)
    assert heading == "Models computed in another way."
    assert text == (
        "one and three: scored one text at a time: rows mix. "
        "two: generated by transformers: it diverges by 0.22 nats."
    )


def test_limits_count_candidates_without_an_answer(study, built):
    heading = "Candidates without an answer."
    assert heading not in dict(limits(study.plan, built))
    pools = built["candidates"].assign(unanswered=[3, *[0] * (len(built["candidates"]) - 1)])
    first = pools.iloc[0]
    said = dict(limits(study.plan, {**built, "candidates": pools}))[heading]
    assert f"no answer: {first.teacher} 3 of {first.n} ({first.prompts})." in said


def test_limits_of_several_seeds(study, built):
    second = Model("alpha.length-multi.s2", "student", "alpha", "length-multi", 2)
    own_plan = changed(study.plan, models={**study.plan.models, second.id: second})
    found = dict(limits(own_plan, built))
    assert "One training seed." not in found
    assert "used with 2 seeds" in found["Few training seeds."]
    assert "(1 degree of freedom)" in found["Few training seeds."]


def test_limits_follow_the_study(built):
    def headings(**changes):
        return [heading for heading, _ in limits(plan(**changes), built)]

    assert headings()[:3] == [
        *("Coarse toxicity scorer.", "Truncated answers.", "One training seed.")
    ]
    detoxify = {**STUDY["metrics"], "toxicity": {"function": "detoxify"}}
    assert "Coarse toxicity scorer." not in headings(metrics=detoxify)
    # Whatever the metric is called: the caveat belongs to its scorer.
    assert "Coarse toxicity scorer." in headings(
        metrics={**STUDY["metrics"], "rudeness": {"function": "profanity"}}
    )
    assert "Metrics that noise only increases." not in headings()
    calibration = {"hellaswag": "hellaswag", "openbookqa": "openbookqa"}
    noisy = {**STUDY["profiling"], "calibration": calibration}
    assert "Metrics that noise only increases." in headings(profiling=noisy)


def test_the_abstract_by_hand(study, built):
    done, found, unsaid = abstract(study.plan, built)
    # Two prompts of each set, two teachers, k = 2: 16 candidates.
    assert done[1] == [
        "alpha and beta answered 2 prompts of the set instructions and 2 prompts of the set "
        "provoking, 2 times each: 16 candidates, scored by length and toxicity. 6 training sets "
        "were made from them: passive (1), random control (2) and best for an objective (3). alpha "
        "was finetuned on each of them with LoRA, once. 6 students, along with bases and teachers, "
        "were profiled with Text and Toxicity."
    ]
    assert found[1][0] == active.headline(study.plan, built["changes"])
    # Base first, then the control; e4 of length-multi is truncated.
    assert found[1][1].startswith("Length, maximised: length-alpha +20.0 % [")
    base, control = found[1][1].partition("length-multi ")[2].split(" against the base and ")
    assert base.startswith("+50.0 % [") and control.startswith("+25.0 % [")
    assert control.endswith(" against the random control (truncated: 25 %, base 0 %, control 0 %).")
    assert any("linear profanity classifier" in text for text in unsaid[1])


def test_the_abstract_says_when_nothing_is_shown(study, built):
    changes = built["changes"].copy()
    own = changes["student"].str.contains("length-multi") & (changes["metric"] == "length")
    changes.loc[own, ["change_vs_control_low", "change_vs_control_high"]] = [-5.0, 60.0]
    changes.loc[own, "p_holm_vs_control"] = 0.4
    _, found, unsaid = abstract(study.plan, {**built, "changes": changes})
    assert "+25.0 % [\N{MINUS SIGN}5.0, +60.0] (includes zero) against the random " in found[1][1]
    assert unsaid[1][0].startswith("No effect is shown against the base for length-alpha, ")
    assert ", nor against the random control for length-alpha, length-multi and" in unsaid[1][0]
    assert "this does not show that there is none" in unsaid[1][0]


def test_the_noise_floor_in_words(wide, wide_built):
    floors = wide_built["noise_floor"]
    # +25 % is beyond what two draws differ by (hand-derived in test_noise_floor); the student of
    # fewer candidates is not counted.
    summary, length = noise.noise_findings(wide.plan, floors)[:2]
    assert summary.endswith(
        "Of 1 steered effect against the control, 1 is further from zero than the 95 % interval of "
        "that difference."
    )
    assert length.startswith("Length, second draw against first: +3.3 % [")
    assert length.endswith("] for random-multi.")
    found = active.active_findings(wide.plan, wide_built)["length"]
    (sentence,) = [s for f in found for s in f.sentences if "second random draw" in s]
    assert sentence.endswith("the effect against the control exceeds this noise floor.")
    assert "changed the metric by +3.3 % [" in sentence
    assert any(
        "Noise floor" in text for _, texts in abstract(wide.plan, wide_built) for text in texts
    )

    within = floors.assign(exceeds=floors["exceeds"].replace("yes", "no"))
    assert noise.noise_findings(wide.plan, within)[0].endswith(
        "0 are further from zero than the 95 % interval of that difference; length-multi is not."
    )
    found = active.active_findings(wide.plan, wide_built | {"noise_floor": within})["length"]
    assert any("does not exceed this noise floor" in s for f in found for s in f.sentences)


def test_no_word_of_a_noise_floor_without_second_draws(study, built):
    assert noise.noise_findings(study.plan, built.get("noise_floor")) == []
    texts = [
        s
        for found in active.active_findings(study.plan, built).values()
        for f in found
        for s in f.sentences
    ]
    assert not any("draw" in text for text in texts)
