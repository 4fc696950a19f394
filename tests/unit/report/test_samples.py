import json
from dataclasses import replace

from report_file import changed
from toy_study import STUDY, plan

from heirloom.analyse.results import load_results
from heirloom.report import pools, samples
from heirloom.support.files import read_jsonl, write_jsonl


def test_benchmarks_without_completions_have_no_samples(wide):
    fair = {**wide.plan.config["objectives"]["length"], "measured_by": "bbq.accuracy"}
    datasets = {
        name: replace(data, objective=data.objective and "fair")
        for name, data in wide.plan.datasets.items()
    }
    own = changed(wide.plan, objectives={"fair": fair}, datasets=datasets)
    found = samples.collect_samples(replace(wide, plan=own))
    # There is something to compare, but no student to show.
    assert [group["prompts"] for group in found["evaluation"]] == [[], []]


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


def test_of_several_answers_the_first_is_shown_with_its_own_values(own_study_folder):
    path = own_study_folder / "profiles/alpha/text.records.jsonl"
    rows = read_jsonl(path)
    first = {"completion": "One two.", "finish_reason": "stop", "length": 2, "mtld": None}
    rows[0] |= {"length": 3, "mtld": 50.0}  # the means
    rows[0]["answers"] = [first, {**first, "length": 4, "mtld": 50.0}]
    write_jsonl(path, rows)
    found = samples.collect_samples(load_results(own_study_folder))
    answer = found["evaluation"][0]["prompts"][0]["answers"][0]
    assert (answer["completion"], answer["note"]) == (
        "One two.",
        "first of 2 answers \N{MIDDLE DOT} Length 2",
    )


def test_reasons_by_hand():
    row = {"n_candidates": 4, "n_tied": 0, "n_unscored": 0, "score": None}

    def why(name, objectives=STUDY["objectives"], **changes):
        own = plan(objectives=objectives)
        return pools.reason(own, own.datasets[name], {**row, **changes})

    assert why("passive-alpha") == "the first of 4 candidates that may be selected"
    assert why("random-multi") == "drawn at random from 4 candidates"
    assert why("toxicity-multi", score=0.25) == "lowest toxicity of 4 candidates, 0.250"
    assert why("length-multi", score=40.0, n_tied=2, n_unscored=1) == (
        "highest length of 4 candidates, 40; drawn among 3 with that score; 1 without a score"
    )
    up = {"direction": "maximise"}
    several = {
        "metrics": {"length": up, "mtld": up},
        "where": {"toxicity": {"at_most": 0.5}},
        "measured_by": "text.length",
    }
    assert why("length-multi", {"length": several}, score=0.75) == (
        "highest mean rank in length and mtld of 4 candidates, 0.750; among those within the "
        "bounds on toxicity"
    )


def test_a_pool_holds_every_candidate_and_who_chose_it(study):
    pool = pools.collect_pool(study, "provoking")
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
    whole = pools.embed([pool])["many"]
    assert (whole["shown"], whole["total"]) == (10, 10)
    assert json.loads(whole["json"]) == pool and "<" not in whole["json"]
    # A prompt takes 123 bytes with its comma: half of the room is for four, not five, of ten.
    part = pools.embed([pool, {**pool, "name": "more"}], most=1230 - 20)["many"]
    kept = json.loads(part["json"])["prompts"]
    assert [p["id"] for p in kept] == ["p0", "p2", "p5", "p7"] and part["shown"] == 4


def test_one_huge_prompt_takes_no_other_out_one_by_one():
    """The number of prompts shrinks with the room, not by one at a time."""

    class Counted(list):
        reads = 0

        def __getitem__(self, index):
            Counted.reads += 1
            return super().__getitem__(index)

    prompts = Counted(
        {"id": str(n), "text": "x" * (500_000 if n == 0 else 1)} for n in range(20_000)
    )
    found = pools.embed([{"name": "p", "prompts": prompts}], most=100_000)["p"]
    assert found["shown"] == 0 and found["total"] == 20_000  # the first prompt alone is too large
    sizes = Counted([500_000, *[10] * 19_999])
    assert pools.fitting(sizes, 19_999, 100_000) == 0
    assert Counted.reads < 40_000  # 20,000 sums would be 200 million reads


def test_pools_fill_the_room():
    assert pools.fitting([10] * 100, 50, 500) == 50
    assert pools.fitting([10] * 100, 50, 499) == 49


def test_a_candidate_without_an_answer_says_why(own_study_folder):
    path = own_study_folder / "generations/beta/instructions/candidates.jsonl"
    rows = read_jsonl(path)
    rows[1] |= {"completion": None, "finish_reason": "too_long"}
    write_jsonl(path, rows)
    found = samples.collect_samples(load_results(own_study_folder))
    candidates = found["training"][0]["prompts"][0]["candidates"]
    assert (candidates[3]["completion"], candidates[3]["absent"]) == ("", "(no answer: too long)")
    assert candidates[0]["absent"] == "(empty)"
