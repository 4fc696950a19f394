"""The tiny study from prompts to report: what it leaves behind, and what a second run does."""

import csv
import hashlib
import json
import re
import subprocess
import time
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import datasets
import pytest
from workshop import LONG_PROMPTS, SECRETS, Workshop, cut_off

from heirloom import profiling
from heirloom.generate.model import best_device
from heirloom.study.estimate import estimate, measure
from heirloom.study.plan import Plan

TABLES = ["agreement", "candidates", "changes", "costs", "preference_leakage", "profiles"]
TABLES += ["settings", "training_sets", "win_rates"]
FIGURES = ["figure1", "figure2", "figure3", "figure6", "win_rates"]
BENCHMARKS = ["text", "toxicity"]  # those that write; crows_pairs scores pairs

# Training set -> the one it is compared with. The random draw of a single teacher's candidates is
# that teacher's passive set; that of the pool is random-multi.
CONTROLS = {
    "passive-ant": None,
    "passive-bee": None,
    "random-multi": None,
    "length-ant": "passive-ant",
    "length-multi": "random-multi",
    "mtld-multi": "random-multi",
    "toxicity-ant": "passive-ant",
}
STUDENTS = {f"ant.{dataset}.s1": dataset for dataset in CONTROLS}


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_everything_is_there(finished: Workshop) -> None:
    html = (finished.results / "report.html").read_text(encoding="utf-8")
    assert "A tiny study" in html
    for name in TABLES:
        assert rows(finished.results / f"tables/{name}.csv"), name
    for name in FIGURES:
        drawn = (finished.results / f"figures/{name}.svg").read_text(encoding="utf-8")
        assert "<svg" in drawn and drawn.rstrip().endswith("</svg>"), name
    # The report is one file: it loads nothing from a network or from beside it.
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)[^"']*\.(?:js|css|svg|png)""", html)


def test_no_network_is_needed(finished: Workshop) -> None:
    if not cut_off():
        pytest.skip("this user may not cut the network off; proxies led to a closed port instead")
    # The fixture's run had no network: a namespace of its own has only a loopback that is down.
    reached = subprocess.run([*cut_off(), "cat", "/proc/net/route"], capture_output=True, text=True)
    assert len(reached.stdout.splitlines()) <= 1
    assert (finished.results / "report.html").exists()


def test_secrets_of_the_environment_are_written_nowhere(finished: Workshop) -> None:
    """The run had all of them; results, logs, reports and Snakemake's own notes have none."""
    secrets = [re.findall(r"\w+-?canary\w+", value)[0].encode() for value in SECRETS.values()]
    files = [p for f in (finished.folder, finished.cache) for p in f.rglob("*") if p.is_file()]
    assert finished.results / "logs/generate/ant/instructions/1-of-2.log" in files
    leaks = [path for path in files if any(s in path.read_bytes() for s in secrets)]
    assert leaks == []


def test_only_ignored_files_are_new(finished: Workshop) -> None:
    status = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"],
        cwd=finished.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert status.stdout == ""


def test_candidates_are_k_for_every_prompt_and_what_does_not_fit_is_left_out(
    finished: Workshop,
) -> None:
    prompts = [
        row["id"] for row in read_lines(finished.results / "prompts/instructions/train.jsonl")
    ]
    assert len(prompts) == 12
    for teacher in ("ant", "bee"):
        folder = finished.results / f"generations/{teacher}/instructions"
        candidates = read_lines(folder / "candidates.jsonl")
        keys = [(c["prompt_id"], c["sample"]) for c in candidates]
        assert keys == [(prompt, sample) for prompt in prompts for sample in range(3)]
        for candidate in candidates:
            long = candidate["prompt_id"] in LONG_PROMPTS
            assert (candidate["finish_reason"] == "too_long") == long
            assert (candidate["n_tokens"] == 0) == (candidate["completion"] is None) == long
        for metric in ("length", "mtld", "toxicity"):
            scores = read_lines(finished.results / f"scores/{teacher}/instructions/{metric}.jsonl")
            assert [(s["prompt_id"], s["sample"]) for s in scores] == keys


def test_training_sets_hold_the_chosen_candidates(finished: Workshop) -> None:
    candidates = {
        (teacher, c["prompt_id"], c["sample"]): c["completion"]
        for teacher in ("ant", "bee")
        for c in read_lines(
            finished.results / f"generations/{teacher}/instructions/candidates.jsonl"
        )
    }
    for dataset in CONTROLS:
        examples = read_lines(finished.results / f"datasets/{dataset}/train.jsonl")
        card = read(finished.results / f"datasets/{dataset}/card.json")
        for example in examples:
            key = (example["teacher"], example["prompt_id"], example["sample"])
            assert example["completion"] == candidates[key]
        assert card["n"] == len(examples)
        assert card["n"] + card["n_missing"] == 12
        assert card["n_missing"] >= 1  # the prompt that is too long
        assert not {example["prompt_id"] for example in examples} & LONG_PROMPTS.keys()


def test_best_of_has_the_best_score_of_its_pool(finished: Workshop) -> None:
    scores = {
        (teacher, s["prompt_id"]): []
        for teacher in ("ant", "bee")
        for s in read_lines(finished.results / f"scores/{teacher}/instructions/length.jsonl")
    }
    for teacher, prompt in scores:
        path = finished.results / f"scores/{teacher}/instructions/length.jsonl"
        own = [s["score"] for s in read_lines(path) if s["prompt_id"] == prompt]
        scores[teacher, prompt] = [score for score in own if score is not None]
    for dataset, teachers in {"length-ant": ["ant"], "length-multi": ["ant", "bee"]}.items():
        for example in read_lines(finished.results / f"datasets/{dataset}/train.jsonl"):
            pool = [s for teacher in teachers for s in scores[teacher, example["prompt_id"]]]
            assert example["score"] == max(pool)


def test_every_student_has_its_control(finished: Workshop) -> None:
    plan = Plan.read(finished.results / "plan.json")
    assert set(plan.models) == {"ant", "bee", *STUDENTS}
    for student, dataset in STUDENTS.items():
        control = CONTROLS[dataset]
        expected = None if control is None else f"ant.{control}.s1"
        assert plan.models[student].control == expected
        assert plan.models[student].dataset == dataset
        assert plan.datasets[dataset].control == control
    shown = {
        row["student"]: row["control"] for row in rows(finished.results / "tables/changes.csv")
    }
    # All seeds of a student are one row.
    assert shown == {
        f"ant.{d}": f"ant.{CONTROLS[d]}" if CONTROLS[d] else "" for d in STUDENTS.values()
    }


@pytest.mark.parametrize("benchmark", BENCHMARKS)
@pytest.mark.parametrize("model", ["ant", "bee", *STUDENTS])
def test_profiles_follow_the_contract(finished: Workshop, model: str, benchmark: str) -> None:
    folder = finished.results / f"profiles/{model}"
    profile = read(folder / f"{benchmark}.json")
    records = read_lines(folder / f"{benchmark}.records.jsonl")
    prompts = finished.results / "prompts/instructions/eval.jsonl"
    assert list(profile) == [
        *("schema_version", "benchmark", "model", "seed", "metrics"),
        *("settings", "revisions", "versions", "inputs"),
    ]
    assert profile["schema_version"] == 2
    assert (profile["benchmark"], profile["model"], profile["seed"]) == (benchmark, model, 3)
    assert sorted(r["id"] for r in records) == sorted(p["id"] for p in read_lines(prompts))
    for name, metric in profile["metrics"].items():
        assert list(metric) == ["value", "unit", "direction", "n", "n_missing", "interval"]
        if name not in records[0]:  # it follows from other fields
            continue
        values = [record[name] for record in records if record[name] is not None]
        assert (metric["n"], metric["n_missing"]) == (len(values), len(records) - len(values))
        assert metric["direction"] in ("higher", "lower", None)
        assert metric["value"] == (pytest.approx(sum(values) / len(values)) if values else None)
        if metric["interval"] is not None:
            low, high = metric["interval"]
            assert low <= metric["value"] + 1e-9 and metric["value"] - 1e-9 <= high
    packages = ("torch", "transformers", "peft", *profiling.BENCHMARKS.get(benchmark).packages)
    assert profile["versions"] == {package: version(package) for package in packages}
    assert profile["inputs"] == {
        "results/tiny/prompts/instructions/eval.jsonl": digest(prompts),
    }
    base = read(finished.results / f"models/{'bee' if model == 'bee' else 'ant'}.json")
    adapter = finished.results / f"students/{model}/adapter_model.safetensors"
    assert profile["revisions"] == {
        "model": base["sha256"],
        "adapter": digest(adapter) if model in STUDENTS else None,
        "dtype": "torch.float32",
        "generation": {"backend": "openvino", "weights": "model", "openvino": version("openvino")}
        if best_device().type == "cpu"
        else {"backend": "transformers", "weights": "model"},
        "data": {},
    }


def test_likelihoods_are_profiled_in_the_same_job(finished: Workshop) -> None:
    folder = finished.results / "profiles/ant"
    profile = read(folder / "crows_pairs.json")
    records = read_lines(folder / "crows_pairs.records.jsonl")
    assert len({record["id"] for record in records}) == 6
    score = profile["metrics"]["score"]
    means = [
        [total / n for total, n in zip(r["log_likelihoods"], r["n_tokens"], strict=True)]
        for r in records
    ]
    assert all(mean < 0 for pair in means for mean in pair)
    assert score["value"] == pytest.approx(100 * sum(more > less for more, less in means) / 6)
    assert (score["n"], score["n_missing"]) == (6, 0)
    assert profile["revisions"]["data"] == {"pairs": digest(finished.folder / "pairs.csv")}
    assert profile["inputs"] == {}


def test_every_model_judges_the_pairs_that_the_teachers_wrote(finished: Workshop) -> None:
    prompts = read_lines(finished.results / "prompts/instructions/eval.jsonl")
    written = {
        (teacher, answer["prompt_id"]): answer["completion"]
        for teacher in ("ant", "bee")
        for answer in read_lines(finished.results / f"judge/answers/{teacher}.jsonl")
    }
    assert len(written) == 2 * len(prompts)
    pairs = read_lines(finished.results / "judge/pairs.jsonl")
    assert pairs and not {pair["id"] for pair in pairs} & set(LONG_PROMPTS)
    for pair in pairs:
        assert {"id": pair["id"], "text": pair["prompt"]} in prompts
        assert sorted(pair["teachers"]) == ["ant", "bee"]
        answers = [written[teacher, pair["id"]].strip() for teacher in pair["teachers"]]
        assert [pair["first"], pair["second"]] == answers
    for model in ("ant", "bee", *STUDENTS):
        folder = finished.results / f"profiles/{model}"
        records = read_lines(folder / "judge.records.jsonl")
        assert [r["id"] for r in records] == [f"pool/multi/{pair['id']}" for pair in pairs]
        assert any(r["preference"] for r in records)
        assert "results/tiny/judge/pairs.jsonl" in read(folder / "judge.json")["inputs"]


def test_judges_compare_students_with_controls_bases_and_each_other(finished: Workshop) -> None:
    prompts = read_lines(finished.results / "prompts/instructions/eval.jsonl")
    pairs = {(student, "ant") for student in STUDENTS}
    pairs |= {(s, f"ant.{CONTROLS[d]}.s1") for s, d in STUDENTS.items() if CONTROLS[d]}
    pairs.add(("ant.passive-ant.s1", "ant.passive-bee.s1"))  # they differ in their teacher alone
    answers = {
        model: {
            record["id"]: record["completion"]
            for record in read_lines(finished.results / f"profiles/{model}/text.records.jsonl")
        }
        for model in ("ant", *STUDENTS)
    }
    for judge in ("ant", "bee"):
        records = read_lines(finished.results / f"compared_answers/{judge}.jsonl")
        assert {(r["model"], r["other"]) for r in records} == pairs
        shown = {r["id"] for r in records}
        assert len(shown) == 4 and shown < {prompt["id"] for prompt in prompts}
        assert len(records) == len(pairs) * len(shown)
        for r in records:
            first, second = (answers[r[side]][r["id"]] for side in ("model", "other"))
            if first is None or second is None:
                assert r["verdict"] is None
            else:
                assert r["equal"] == (first.strip() == second.strip())
        assert any(r["verdict"] and not r["equal"] for r in records)
    table = rows(finished.results / "tables/win_rates.csv")
    assert {(r["judge"], r["student"], r["against"]) for r in table} == {
        (judge, f"ant.{dataset}", against)
        for judge in ("ant", "bee")
        for dataset, control in CONTROLS.items()
        for against in ("base", *(["control"] if control else []))
    }
    assert all(int(r["n"]) + int(r["n_missing"]) == 4 for r in table)
    (leak,) = rows(finished.results / "tables/preference_leakage.csv")
    assert (leak["student"], leak["other"]) == ("ant.passive-ant", "ant.passive-bee")
    html = (finished.results / "report.html").read_text(encoding="utf-8")
    assert "Quality as judges see it" in html and "Preference leakage of ant and bee" in html


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_a_prompt_that_does_not_fit_is_missing_and_not_zero(
    finished: Workshop, benchmark: str
) -> None:
    profile = read(finished.results / f"profiles/ant/{benchmark}.json")
    records = read_lines(finished.results / f"profiles/ant/{benchmark}.records.jsonl")
    (long,) = [record for record in records if record["id"] in LONG_PROMPTS]
    for name, metric in profile["metrics"].items():
        assert long.get(name) is None, name
        assert metric["n_missing"] >= 1, name
    log = (finished.results / "logs/profile/ant.log").read_text(encoding="utf-8")
    assert f"prompt {long['id']} is left out" in log


def test_students_have_a_manifest(finished: Workshop) -> None:
    for student, dataset in STUDENTS.items():
        manifest = read(finished.results / f"students/{student}/manifest.json")
        train = finished.results / f"datasets/{dataset}/train.jsonl"
        assert manifest["student"] == student
        assert manifest["n_examples"] == len(read_lines(train))
        assert manifest["n_steps"] == 3 * manifest["n_examples"]  # batch size 1, 3 epochs
        assert manifest["inputs"]["train"] == digest(train)
        assert {p.name for p in (finished.results / f"students/{student}").iterdir()} == {
            *("adapter_model.safetensors", "adapter_config.json", "manifest.json", "README.md"),
        }


def test_outputs_load_as_data_sets(finished: Workshop, tmp_path: Path) -> None:
    """A missing key is null in a table; apart from that, every row is as it was written."""
    student = f"profiles/{min(STUDENTS)}"
    files = [
        *(f"{student}/{name}.records.jsonl" for name in (*BENCHMARKS, "crows_pairs", "judge")),
        *(f"datasets/{name}/train.jsonl" for name in ("passive-ant", "length-multi")),
        *("generations/ant/instructions/candidates.jsonl", "scores/ant/instructions/mtld.jsonl"),
    ]
    for file in files:
        written = read_lines(finished.results / file)
        loaded = datasets.load_dataset(
            "json", data_files=str(finished.results / file), split="train", cache_dir=str(tmp_path)
        )
        assert [known(row) for row in loaded] == [known(row) for row in written], file
    table = datasets.load_dataset(
        *("parquet", None),
        data_files=str(finished.results / "candidates.parquet"),
        split="train",
        cache_dir=str(tmp_path),
    )
    for name in STUDENTS.values():
        train = read_lines(finished.results / f"datasets/{name}/train.jsonl")
        held = [row for row in table if name in row["chosen_by"]]
        assert {(row["teacher"], row["prompt_id"], row["completion"]) for row in held} == {
            (row["teacher"], row["prompt_id"], row["completion"]) for row in train
        }, name


def known(value: Any) -> Any:
    """Leave out keys of null values, and digits that the reader of JSON rounds, at every depth."""
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if isinstance(value, dict):
        return {key: known(inner) for key, inner in value.items() if inner is not None}
    return [known(inner) for inner in value] if isinstance(value, list) else value


def test_logs_and_costs_of_every_model(finished: Workshop) -> None:
    for student in STUDENTS:
        assert (finished.results / f"logs/finetune/{student}.log").stat().st_size
        assert (finished.results / f"costs/finetune/{student}.tsv").stat().st_size


def test_an_estimate_by_its_own_costs_says_what_the_study_took(finished: Workshop) -> None:
    plan = Plan.read(finished.results / "plan.json")
    sizes = {"ant": 1e5, "bee": 1e5}
    measured = measure(finished.results.parent, sizes)
    assert measured.studies == ["tiny"]
    lines = estimate(plan, sizes, measured=measured)
    costs = rows(finished.results / "tables/costs.csv")
    took = [row for row in costs if row["seconds"] and row["stage"] != "compare"]
    # Judges took some verdicts from the cache, so that their jobs say nothing about time.
    assert {(line.work.stage, line.work.model) for line in lines if line.measured} == {
        ("generate", "ant"),
        ("generate", "bee"),
        ("judge", "ant"),
        ("judge", "bee"),
        ("finetune", "ant"),
        ("profile", "ant"),
        ("profile", "bee"),
    }
    expected = sum(line.hours for line in lines if line.measured) * 3600
    assert expected == pytest.approx(sum(float(row["seconds"]) for row in took))
    tokens = {line.work.stage + line.work.model: line.work for line in lines}
    for teacher in ("ant", "bee"):
        folder = finished.results / f"generations/{teacher}/instructions"
        made = sum(c["n_tokens"] for c in read_lines(folder / "candidates.jsonl"))
        assert tokens[f"generate{teacher}"].written == pytest.approx(made)


def test_a_second_run_has_nothing_to_do(copied: Workshop) -> None:
    before = copied.bytes_of("**/*.json", "**/*.jsonl", "report.html")
    started = time.monotonic()
    printed = copied.run()
    assert time.monotonic() - started < 30  # two seconds on a free machine
    assert "Nothing to be done" in printed
    assert copied.bytes_of("**/*.json", "**/*.jsonl", "report.html") == before


def test_snakemakes_own_report_holds_tables_and_figures_with_captions(copied: Workshop) -> None:
    copied.prefix = cut_off()
    copied.run("--report", "report.zip")
    with zipfile.ZipFile(copied.folder / "report.zip") as archive:
        names = archive.namelist()
        front = next(
            name for name in names if name.endswith("/report.html") and "/data" not in name
        )
        page = archive.read(front).decode()
        packed = {Path(name).name: archive.read(name) for name in names}
    for file in (
        *(f"tables/{name}.csv" for name in TABLES),
        *(f"figures/{name}.svg" for name in FIGURES),
    ):
        assert (copied.results / file).read_bytes() == packed[Path(file).name]
    for name in (*TABLES, *FIGURES, "report"):
        caption = (copied.folder / f"report/captions/{name}.rst").read_text(encoding="utf-8")
        words = " ".join(re.findall(r"[A-Za-z]+", caption)[:4])
        assert words in " ".join(re.findall(r"[A-Za-z]+", page)), name
    assert "heirloom measures how language models inherit" in page
