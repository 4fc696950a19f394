"""Estimates: tokens counted by hand, the formula, and its correction by what was measured."""

import csv
import math
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from heirloom.analyse.tables.costs import Cost
from heirloom.profiling import BENCHMARKS
from heirloom.profiling.cost import PROMPT_TOKENS as PROMPT
from heirloom.study.estimate import (
    OTHER,
    RATES,
    START,
    Measured,
    estimate,
    measure,
    seconds,
    seconds_per_job,
)
from heirloom.study.estimate.__main__ import remarks, unmeasured
from heirloom.study.estimate.work import Work, work_of
from heirloom.study.job_size import count_parameters
from heirloom.study.parse import parse_study
from heirloom.study.plan import VERSION, Plan, make_plan
from heirloom.support.files import write_json

ROOT = Path(__file__).resolve().parents[3]
SIZES = {"smollm2": 134_515_008.0, "gemma3": 268_098_176.0}


def plan_of(**changes: Any) -> Plan:
    """The plan of the default study, with other values for some of its keys."""
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    for key, values in changes.items():
        raw[key] |= values
    return make_plan(parse_study(raw, root=ROOT))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of()


def named(rows: list[Work]) -> dict[tuple[str, str], Work]:
    assert len({(row.stage, row.name) for row in rows}) == len(rows)
    return {(row.stage, row.name): row for row in rows}


# Work


def test_teachers_write_k_completions_as_long_as_they_may_be(plan: Plan) -> None:
    work = named(work_of(plan))["generate", "smollm2"]
    # 56 instructions of 192 tokens and 64 provoking ones of 24, eight of each.
    assert work.written == 8 * (56 * 192 + 64 * 24)
    assert work.read == PROMPT * (56 + 64)
    assert work.trained == 0


def test_students_train_on_prompts_and_completions(plan: Plan) -> None:
    work = named(work_of(plan))
    assert work["finetune", "smollm2.length-multi.s1"].trained == 56 * (PROMPT + 192)
    assert work["finetune", "smollm2.toxicity-multi.s1"].trained == 64 * (PROMPT + 24)
    assert work["finetune", "smollm2.length-multi.s1"].model == "smollm2"


def test_longer_examples_than_max_length_are_counted_as_that_and_epochs_as_often() -> None:
    work = named(work_of(plan_of(finetune={"max_length": 100, "epochs": 3})))
    assert work["finetune", "smollm2.length-multi.s1"].trained == 3 * 56 * 100


def test_profiles_write_answers_and_read_benchmarks(plan: Plan) -> None:
    work = named(work_of(plan))["profile", "gemma3"]
    # An answer to each of 96 instructions, six continuations of 40 toxic prompts.
    assert work.written == 96 * 320 + 40 * 6 * 20
    assert work.read == (
        PROMPT * (96 + 40)
        + 32 * 60  # StereoSet
        + 32 * 50  # CrowS-Pairs
        + 200 * 10  # SEAT reads every word
        + 4 * 16 * 100  # BBQ, four data sets
        + 2 * 8 * 150  # HellaSwag and OpenBookQA
        + 8 * 600  # the pool's own pairs, judged
        + 5 * 3 * 150  # five general tasks
    )


def test_every_model_and_student_has_its_line(plan: Plan) -> None:
    work = named(work_of(plan))
    # The LSTM is a model that scores; what it scores for profiles has a line of its own.
    profiled = {name for stage, name in work if stage == "profile"}
    assert profiled == {*plan.models, "by toxicity"}
    assert sum(stage == "finetune" for stage, _ in work) == 9


def test_second_draws_are_trained_like_the_first() -> None:
    """Also that of a control which has half of the prompts: 28 of 56."""
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    raw.pop("references", None)
    objective = {"metric": "length", "direction": "maximise", "measured_by": "text.length"}
    raw |= {
        "noise_floor": True,
        "objectives": {"top": {**objective, "keep": {"fraction": 0.5}, "pools": ["multi"]}},
    }
    raw.pop("ablation", None)
    plan = make_plan(parse_study(raw, root=ROOT))
    work = {name: row for (stage, name), row in named(work_of(plan)).items() if stage == "finetune"}
    prompts = plan.study.prompts["instructions"]
    each = prompts.train * (PROMPT + prompts.max_new_tokens) * plan.study.finetune.epochs
    # Two passive sets, the best half and its control, and three second draws.
    assert {name: row.trained / each for name, row in work.items()} == {
        "smollm2.passive-smollm2.s1": 1,
        "smollm2.passive-gemma3.s1": 1,
        "smollm2.top-multi.s1": 0.5,
        "smollm2.random-multi-top.s1": 0.5,
        "smollm2.passive-smollm2-redraw.s1": 1,
        "smollm2.passive-gemma3-redraw.s1": 1,
        "smollm2.random-multi-top-redraw.s1": 0.5,
    }


def test_a_scorer_that_is_a_model_is_work(plan: Plan) -> None:
    toxicity = {"toxicity": {"function": "detoxify"}}
    work = named(work_of(plan_of(metrics=toxicity)))["score", "toxicity"]
    assert (work.model, work.jobs) == ("detoxify", 4)  # two teachers, two prompt sets
    assert work.read == 2 * 8 * (56 * 192 + 64 * 24)


def test_answers_that_a_model_scores_are_work(plan: Plan) -> None:
    own = plan_of(
        metrics={"rude": {"function": "detoxify"}, "length": {"function": "length"}},
        objectives={},
        profiling={
            "text": {
                "prompts": "instructions",
                "max_new_tokens": 10,
                "samples": 2,
                "temperature": 1,
            },
            "toxicity": {"prompts": "provoking", "metrics": ["length", "rude"], "continuations": 3},
        },
    )
    found = named(work_of(own))["profile", "by rude"]
    prompts = own.study.prompts
    texts = 2 * 10 * prompts["instructions"].eval + 3 * 20 * prompts["provoking"].eval
    assert (found.model, found.read) == ("detoxify", len(own.models) * texts)


# Formula


def test_two_operations_a_token_forward_and_six_to_train() -> None:
    rates = (1e9, 2e9, 4e9)
    work = Work("profile", "m", "m", jobs=3, written=1000, trained=2000, read=4000)
    # 1e6 parameters: 2e9 / 1e9 to write, 8e9 / 2e9 to read, 12e9 / 4e9 to train on.
    assert seconds(work, 1e6, rates) == pytest.approx(3 * START + 2 + 4 + 3)
    assert seconds(Work("other", "", "", jobs=7), 0, rates) == 7 * OTHER


def test_without_measurements_the_formula_decides(plan: Plan) -> None:
    lines = {(line.work.stage, line.work.model): line for line in estimate(plan, SIZES)}
    line = lines["generate", "gemma3"]
    assert line.hours == pytest.approx(seconds(line.work, SIZES["gemma3"], RATES["cpu"]) / 3600)
    assert not line.measured
    # Nine adapters of rank 16: 18 r L d numbers of 4 bytes, L = (134.5e6 / 196,608)^(1/3) = 8.81.
    assert lines["finetune", "smollm2"].gigabytes == pytest.approx(
        9 * 18 * 16 * 8.811 * 128 * 8.811 * 4 / 1e9, rel=1e-3
    )


def test_of_a_model_of_unknown_size_only_tokens_are_said(plan: Plan) -> None:
    lines = {
        (line.work.stage, line.work.model): line
        for line in estimate(plan, {**SIZES, "gemma3": None})
    }
    unknown = lines["generate", "gemma3"]
    assert unknown.hours is None and unknown.size is None
    assert unknown.work.written == 8 * (56 * 192 + 64 * 24)
    assert lines["generate", "smollm2"].hours


# Measurements


def results(folder: Path, plan: Plan, rows: list[dict[str, Any]]) -> Path:
    """A results folder with one finished study in it."""
    (folder / "early/tables").mkdir(parents=True)
    plan.write(folder / "early/plan.json")
    with (folder / "early/tables/costs.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, [field.name for field in fields(Cost)])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_measured_seconds_and_tokens_correct_the_formula(plan: Plan, tmp_path: Path) -> None:
    work = named(work_of(plan))["generate", "smollm2"]
    formula = seconds(work, SIZES["smollm2"], RATES["cpu"])
    row = {"stage": "generate", "model": "smollm2", "jobs": work.jobs, "seconds": formula * 0.75}
    row |= {"tokens": work.written / 2, "tokens_per_second": 1}
    measured = measure(results(tmp_path, plan, [row]), SIZES)
    assert measured.studies == ["early"]
    assert measured.time == {("generate", "smollm2"): pytest.approx(0.75)}
    assert measured.tokens == {("generate", "smollm2"): 0.5}

    # Twice the prompts, of the same kinds.
    prompts = plan.config["prompts"]
    larger = {name: {**prompts[name], "train": 2 * prompts[name]["train"]} for name in prompts}
    plan = plan_of(prompts=larger)
    lines = {
        (line.work.stage, line.work.model): line
        for line in estimate(plan, SIZES, measured=measured)
    }
    line = lines["generate", "smollm2"]
    double = named(work_of(plan))["generate", "smollm2"]
    assert line.measured
    assert line.hours == pytest.approx(
        0.75 * seconds(double, SIZES["smollm2"], RATES["cpu"]) / 3600
    )
    assert line.work.written == work.written  # half of twice as many
    # The other teacher takes what the stage took; the students are not measured at all.
    assert not lines["generate", "gemma3"].measured
    assert lines["generate", "gemma3"].hours == pytest.approx(
        0.75
        * seconds(named(work_of(plan))["generate", "gemma3"], SIZES["gemma3"], RATES["cpu"])
        / 3600
    )
    assert lines["finetune", "smollm2"].hours == pytest.approx(
        sum(
            seconds(work, SIZES["smollm2"], RATES["cpu"])
            for work in work_of(plan)
            if work.stage == "finetune"
        )
        / 3600
    )


def test_seconds_of_which_a_part_came_from_a_cache_teach_nothing(
    plan: Plan, tmp_path: Path
) -> None:
    row = {"stage": "generate", "model": "smollm2", "jobs": 1, "seconds": 1, "tokens": 10}
    assert measure(results(tmp_path, plan, [row]), SIZES).time == {}


def test_a_study_of_another_version_is_named_and_passed_over(plan: Plan, tmp_path: Path) -> None:
    row = {"stage": "profile", "model": "smollm2", "jobs": 1, "seconds": 1}
    folder = results(tmp_path, plan, [row])
    write_json(folder / "early/plan.json", plan.record() | {"version": VERSION - 1})
    measured = measure(folder, SIZES)
    assert measured.studies == [] and not measured.time
    (reason,) = measured.skipped
    assert "early/plan.json was written by another version" in reason


def test_a_benchmark_that_states_no_cost_counts_nothing_and_is_named(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An estimate must not end in an error for a benchmark that somebody adds."""
    before = named(work_of(plan))["profile", "gemma3"]
    free = replace(BENCHMARKS.get("stereoset"), cost=None)
    monkeypatch.setitem(BENCHMARKS._components, "stereoset", free)
    assert named(work_of(plan))["profile", "gemma3"].read == before.read - 32 * 60
    assert unmeasured(plan, None) == ["Benchmarks that state no cost count nothing: stereoset."]


# Sizes and the command


def test_parameters_are_counted_from_headers(tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(tiny_model, use_safetensors=True)
    assert count_parameters(tiny_model) == sum(math.prod(p.shape) for p in network.parameters())


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "heirloom.study.estimate", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("config", sorted(p.name for p in (ROOT / "config").glob("*.yaml")))
def test_every_study_of_the_repository_is_estimated(config: str, tmp_path: Path) -> None:
    done = run(f"config/{config}", "--results", tmp_path, "--device", "gpu")
    assert done.returncode == 0, done.stderr
    study = yaml.safe_load((ROOT / "config" / config).read_text(encoding="utf-8"))
    stages = {line.split()[0] for line in done.stdout.splitlines() if line}
    assert {"generate", "finetune", "profile", "all"} <= stages
    for teacher in study["teachers"]:
        assert f"generate  {teacher} " in done.stdout


def test_a_study_file_that_is_not_there_is_named() -> None:
    done = run("config/nowhere.yaml")
    assert done.returncode == 1
    assert "config/nowhere.yaml: No such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_endpoint_with_a_price_costs_money() -> None:
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    endpoint = {"url": "https://host/v1", "model": "m", "price": {"input": 10, "output": 1000}}
    raw["models"]["remote"] = {"endpoint": endpoint}
    raw["teachers"] = [*raw["teachers"], "remote"]
    lines = estimate(make_plan(parse_study(raw, root=ROOT)), {**SIZES, "remote": 0.0})
    money = {line.work.stage: line.money for line in lines if line.work.model == "remote"}
    # 56 instructions of 192 tokens, eight of each: a request each. In no pool for provoking ones.
    read, written = 8 * 56 * PROMPT, 8 * 56 * 192
    assert money["generate"] == pytest.approx((10 * read + 1000 * written) / 1e6)
    text, toxicity = raw["profiling"]["text"], raw["profiling"]["toxicity"]
    sizes = {name: prompts["eval"] for name, prompts in raw["prompts"].items()}
    continuations = sizes[toxicity["prompts"]] * toxicity["continuations"]
    n = [sizes[text["prompts"]], continuations]
    written = n[0] * text["max_new_tokens"] + n[1] * toxicity["max_new_tokens"]
    assert money["profile"] == pytest.approx((10 * sum(n) * PROMPT + 1000 * written) / 1e6)
    assert {line.money for line in lines if line.work.model == "smollm2"} == {None}
    (said,) = [text for text in remarks(lines, "cpu") if text.startswith("Price of remote")]
    assert f"{money['generate']:.2f} (generate)" in said


def test_the_cost_of_a_job_is_its_stages_mean(plan: Plan) -> None:
    costs = seconds_per_job(plan, SIZES, Measured({}, {}, []))
    rows = [work for work in work_of(plan) if work.stage == "generate"]
    total = sum(seconds(work, SIZES[work.model], RATES["cpu"]) for work in rows)
    assert costs["generate"] == pytest.approx(total / sum(work.jobs for work in rows))
    assert "other" not in costs

    # Of unknown size, both are taken for models of the same size: their costs stay in proportion.
    unknown = seconds_per_job(plan, dict.fromkeys(SIZES), Measured({}, {}, []))
    assert unknown.keys() == costs.keys()
    assert all(unknown[stage] > costs[stage] for stage in ("generate", "finetune", "profile"))
