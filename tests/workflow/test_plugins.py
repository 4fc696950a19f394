"""A study with components of its own, one file each, from a folder outside the repository."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from workshop import Workshop

LAB = Path(__file__).with_name("my_lab")
PAGE = Path(__file__).parents[2] / "docs/how-to/objective.md"


def use_lab(study: dict[str, Any]) -> None:
    """Use every part of the plugin in the tiny study."""
    study["plugins"] = ["my_lab"]
    study |= {"models": {"ant": study["models"]["ant"]}, "teachers": ["ant"], "pools": {}}
    del study["compare_answers"]  # there is one model to judge
    names = ("length", "shouting", "questions")
    study["metrics"] = {name: {"function": name} for name in names}
    study["objectives"] = {
        "questions": {"metric": "questions", "direction": "maximise"},  # as in docs/how-to
        "short": {
            "metric": "length",
            "direction": "minimise",
            "strategy": "shortest",
            "measured_by": "text.length",
        },
    }
    study["generate"] = {"k": 2, "backend": "echo"}
    study["finetune"]["epochs"] = 1
    study["profiling"] = {
        "text": {"prompts": "instructions", "max_new_tokens": 8},
        "vowels": {"prompts": "instructions"},
    }


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Workshop:
    """The tiny study run to its report with the plugin, which lies in a folder of its own."""
    folder = tmp_path_factory.mktemp("plugins")
    shutil.copytree(LAB, folder / "elsewhere" / "my_lab")
    example = re.findall(r"```python.*?\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (folder / "elsewhere/my_lab/questions.py").write_text(example[0], encoding="utf-8")
    workshop = Workshop.make(folder / "workshop", tiny_model)
    workshop.environment["PYTHONPATH"] = str(folder / "elsewhere")
    workshop.edit_study(use_lab)
    workshop.run("--set-scatter", "shards=1")
    return workshop


def test_its_objective_scores_and_selects(lab: Workshop) -> None:
    scores = lab.results / "scores/ant/instructions/shouting.jsonl"
    rows = [json.loads(line) for line in scores.read_text(encoding="utf-8").splitlines()]
    assert rows and all(row["score"] is None or 0 <= row["score"] <= 1 for row in rows)


def test_its_objective_steers_and_is_measured_by_itself(lab: Workshop) -> None:
    """The example of docs/how-to, which says nothing of measurement: `text.questions`."""
    train = (lab.results / "datasets/questions-ant/train.jsonl").read_text(encoding="utf-8")
    for row in map(json.loads, train.splitlines()):
        assert row["score"] == row["completion"].count("?")
    records = (lab.results / "profiles/ant/text.records.jsonl").read_text(encoding="utf-8")
    for row in map(json.loads, records.splitlines()):
        text = row["completion"]
        assert row["score.questions"] == (float(text.count("?")) if text else None)
    with (lab.results / "tables/changes.csv").open(encoding="utf-8", newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["metric"] == "questions"]
    families = {row["student"]: row["family_vs_control"] for row in rows}
    assert families["ant.questions-ant"] in ("steering", "")  # "" where no p value can be had
    assert {(row["benchmark"], row["unit"]) for row in rows} == {("text", "questions")}
    report = (lab.results / "report.html").read_text(encoding="utf-8")
    assert "Text: questions" in report and "measured by text.questions" in report
    card = (lab.results / "students/ant.questions-ant.s1/README.md").read_text(encoding="utf-8")
    assert "Text: questions" in card


def test_its_strategy_selects(lab: Workshop) -> None:
    """The echo of sample 1 has one word less than that of sample 0: it is always the shorter."""
    card = json.loads((lab.results / "datasets/short-ant/card.json").read_text(encoding="utf-8"))
    assert card["selection"] == "shortest"
    train = (lab.results / "datasets/short-ant/train.jsonl").read_text(encoding="utf-8")
    assert {json.loads(line)["sample"] for line in train.splitlines()} == {1}


def test_its_back_end_generates(lab: Workshop) -> None:
    def records(path: str) -> list[dict[str, Any]]:
        lines = (lab.results / path).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    prompts = {row["id"]: row["text"] for row in records("prompts/instructions/train.jsonl")}
    for row in records("generations/ant/instructions/candidates.jsonl"):
        words = prompts[row["prompt_id"]].split()[-5 + row["sample"] :]
        assert row["completion"] == " ".join(words)


def test_its_benchmark_reaches_tables_and_report(lab: Workshop) -> None:
    with (lab.results / "tables/changes.csv").open(encoding="utf-8", newline="") as handle:
        measured = {(row["benchmark"], row["metric"]) for row in csv.DictReader(handle)}
    assert ("vowels", "share") in measured
    report = (lab.results / "report.html").read_text(encoding="utf-8")
    assert "Share of vowels" in report
    assert "Share of vowels in greedy completions." in report  # its summary


def test_its_table_and_figure_reach_the_report(lab: Workshop) -> None:
    assert (lab.results / "tables/longest.csv").read_text(encoding="utf-8").startswith("teacher,")
    report = (lab.results / "report.html").read_text(encoding="utf-8")
    assert "Longest candidates" in report
    assert "Longest candidate of every teacher, drawn as a ladder of bars." in report
    assert "<desc>tiny</desc>" in report


def test_cards_name_its_objective(lab: Workshop) -> None:
    card = (lab.results / "datasets/questions-ant/README.md").read_text(encoding="utf-8")
    assert "questions" in card


def test_the_estimate_counts_it(lab: Workshop) -> None:
    """Five prompts of eight tokens more for each model, by the benchmark's own cost."""
    profile = {line.split()[1]: line for line in estimate(lab) if line.startswith("profile")}
    # The teacher and three students, passive and two selected ones; of each 5 answers of 8 tokens
    # (text) and 5 of 8 (vowels).
    assert profile["ant"].split()[4:6] == ["4", str(4 * (5 * 8 + 5 * 8))]


def test_editing_it_runs_again_what_depends_on_it(lab: Workshop, tmp_path: Path) -> None:
    copied = lab.copy(tmp_path / "workshop")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(Path(lab.environment["PYTHONPATH"]), elsewhere)
    copied.environment |= {"PYTHONPATH": str(elsewhere), "HEIRLOOM_CACHE": str(lab.cache)}
    copied.run("--touch")
    assert copied.plan() == []
    scorer = elsewhere / "my_lab/shouting.py"
    scorer.write_text(scorer.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    rules = {job.rule for job in copied.plan()}
    assert "score" in rules and "generate" not in rules and "answer" not in rules


def estimate(workshop: Workshop) -> list[str]:
    """The lines that `make estimate` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "heirloom.study.estimate", "tiny.yaml"],
        cwd=workshop.folder,
        env=workshop.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_a_plugin_that_is_not_there_is_one_message(lab: Workshop, tmp_path: Path) -> None:
    copied = lab.copy(tmp_path / "workshop")
    output = copied.run("--dry-run", fails=True)
    assert "plugins: my_lab could not be imported" in output
    assert "PYTHONPATH" in output
