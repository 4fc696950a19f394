import math

import pytest
from toy_study import STUDY, plan

from heirloom.analyse.results import load_results
from heirloom.analyse.tables import read
from heirloom.analyse.tables.costs import costs, write_costs
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_jsonl, write_json, write_jsonl, write_text

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
STUDENT = "alpha.length-multi.s1"


@pytest.fixture
def folder(own_study_folder):
    """Two shards per teacher and prompt set, manifests, and a few measured jobs."""
    for name in plan().students:
        write_json(
            own_study_folder / "students" / name / "manifest.json",
            {"n_tokens": 100, "recipe": {"epochs": 2.5}},
        )
    for path, seconds, memory, cpu in [
        ("generate/alpha/instructions/1-of-2", "10.0", "500.0", "9.0"),
        ("generate/alpha/instructions/2-of-2", "20.0", "700.0", "18.0"),
        ("generate/alpha/provoking/1-of-2", "5.0", "600.0", "4.0"),
        ("generate/alpha/provoking/2-of-2", "0.1", "NA", "NA"),  # too short to be measured
        ("generate/alpha/provoking/1-of-1", "99.0", "9999.0", "99.0"),  # of another setting
        ("generate/beta/instructions/1-of-2", "7.0", "400.0", "6.0"),
        (f"finetune/{STUDENT}", "50.0", "1024.0", "40.0"),
        ("finetune/alpha.gone.s1", "60.0", "2000.0", "50.0"),  # the plan has no such student
        ("profile/alpha", "30.0", "800.0", "25.0"),
        ("judge/beta", "3.0", "300.0", "2.0"),  # a stage of tomorrow
    ]:
        row = f"{seconds}\t0:00:01\t{memory}\t0\t0\t0\t0\t0\t90\t{cpu}\n"
        write_text(own_study_folder / "costs" / f"{path}.tsv", HEAD + row)
    return own_study_folder


def test_costs_by_hand(folder):
    table = costs(load_results(folder), shards=2).set_index(["stage", "model"])
    # Words stand for tokens: alpha wrote 10 + 20 + 30 + 30 and 8 + 8 + 9 + 9.
    alpha = table.loc["generate", "alpha"]
    assert alpha["tokens"] == 124 and alpha["jobs"] == 4
    assert alpha["seconds"] == pytest.approx(35.1)
    assert alpha["cpu_seconds"] == 31 and alpha["peak_memory"] == 700
    assert alpha["tokens_per_second"] == pytest.approx(124 / 35.1)
    # Of beta's four jobs one was measured, the others came from a cache: no speed.
    beta = table.loc["generate", "beta"]
    assert beta["tokens"] == 70 + 26 and beta["jobs"] == 1
    assert math.isnan(beta["tokens_per_second"])
    student = table.loc["finetune", STUDENT]
    assert student["tokens"] == 250 and student["tokens_per_second"] == 5
    other = table.loc["finetune", "alpha.passive-alpha.s1"]
    assert other["jobs"] == 0 and math.isnan(other["seconds"])
    assert math.isnan(table.loc["profile", "alpha"]["tokens"])


def test_candidates_of_an_endpoint_cost_money(folder):
    path = folder / "generations/beta/instructions/candidates.jsonl"
    rows = [{**row, "prompt_tokens": 100} for row in read_jsonl(path)]
    rows[1] |= {"completion": None, "n_tokens": None, "finish_reason": "filtered"}
    write_jsonl(path, rows)
    endpoint = {"url": "https://h/v1", "model": "m", "price": {"input": 10, "output": 1000}}
    models = {**STUDY["models"], "beta": {"endpoint": endpoint}}
    plan(models=models).write(folder / "plan.json")
    table = costs(load_results(folder), shards=2).set_index(["stage", "model"])
    beta = table.loc["generate", "beta"]
    # 40 + 0 + 25 words of instructions and 26 of provoking ones; four prompts of 100 tokens.
    assert (beta["tokens"], beta["unanswered"]) == (91, 1)
    assert beta["money"] == pytest.approx((10 * 400 + 1000 * 91) / 1e6)
    assert math.isnan(table.loc["generate", "alpha"]["money"])
    assert math.isnan(table.loc["profile", "alpha"]["unanswered"])


def test_stages_and_models_are_in_the_plan_s_order(folder):
    table = costs(load_results(folder), shards=2)
    assert list(dict.fromkeys(table["stage"])) == ["generate", "finetune", "profile", "judge"]
    models = list(table[table["stage"] == "finetune"]["model"])
    assert "alpha.gone.s1" not in models and models[0] == "alpha.passive-alpha.s1"
    assert len(models) == 6


def test_costs_survive_being_written(folder):
    table = costs(load_results(folder), shards=2)
    write_costs(folder, shards=2)
    again = read(folder / "tables", ["costs"])["costs"]
    assert again["stage"].tolist() == table["stage"].tolist()
    assert again["seconds"].sum() == pytest.approx(table["seconds"].sum())


def test_a_damaged_file_is_named(folder):
    path = folder / "costs/profile/alpha.tsv"
    path.write_text("s\n", encoding="utf-8")
    with pytest.raises(HeirloomError, match=r"profile/alpha\.tsv is not a benchmark file"):
        costs(load_results(folder), shards=2)
