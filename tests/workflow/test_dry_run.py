"""Output of a run before it does anything."""

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from workshop import ROOT, Workshop

STAGES = [
    "fetch_model",
    "fetch_prompts",
    "fetch_data",
    "train_prompts",
    "eval_prompts",
    "generate",
    "gather_candidates",
    "score",
    "gather_scores",
    "select",
    "finetune",
    "answer",
    "pair",
    "profile",
    "compare_answers",
    "plan",
    "candidates",
    "overlap",
    "tables",
    "costs",
    "figures",
    "report",
    "cards",
    "crate",
    "all",
]


@pytest.mark.parametrize("config", sorted(p.name for p in (ROOT / "config").glob("*.yaml")))
def test_every_study_of_the_repository_can_start(workshop: Workshop, config: str) -> None:
    (workshop.folder / "resources").symlink_to(ROOT / "resources")
    printed = workshop.run("--dry-run", "--configfile", f"config/{config}", default=True)
    assert "Traceback" not in printed
    study = yaml.safe_load((ROOT / "config" / config).read_text(encoding="utf-8"))
    optional = {
        **dict.fromkeys(("answer", "pair"), study["profiling"].get("judge", {}).get("pool")),
        "compare_answers": study.get("compare_answers"),
    }
    for rule in STAGES:
        there = re.search(rf"^{rule} +\d+$", printed, re.MULTILINE) is not None
        assert there == (optional.get(rule, rule) is not None), rule
    assert "discouraged" not in printed  # Snakemake's word for paths that start with ./


def test_lint_has_nothing_to_say(workshop: Workshop) -> None:
    (workshop.folder / "resources").symlink_to(ROOT / "resources")
    printed = workshop.run("--lint", default=True)
    assert "Congratulations, your workflow is in a good condition!" in printed


def test_mistakes_in_a_study_are_told_together_and_before_any_job(workshop: Workshop) -> None:
    def spoil(study: dict) -> None:
        study["finetunning"] = study.pop("finetune")
        study["teachers"] = ["ant", "wasp"]
        study["pools"] = {}
        study["objectives"]["mtld"]["pools"] = ["ant"]
        study["generate"]["k"] = 0
        study["prompts"]["instructions"]["sources"] = [{"path": "nowhere.jsonl"}]

    workshop.edit_study(spoil)
    printed = workshop.run(fails=True)
    lines = [line for line in printed.splitlines() if line.startswith("  - ")]
    assert len(lines) == 5, printed
    for part in (
        "finetunning: unknown key. Did you mean 'finetune'?",
        "teachers[1]: 'wasp' is not in models. Known: ant, bee.",
        "profiling.judge.pool: 'multi' is not in pools or teachers. Known: ant, wasp.",
        "generate.k: Input should be greater than or equal to 1 (it is 0).",
        "prompts.instructions.sources: no such file: nowhere.jsonl.",
    ):
        assert sum(part in line for line in lines) == 1, part
    assert "Traceback" not in printed
    assert not (workshop.folder / "results").exists()


def test_a_study_file_that_is_not_there_is_named(workshop: Workshop) -> None:
    workshop.study.unlink()
    assert "tiny.yaml" in workshop.run("--dry-run", fails=True)


def edges(dot: str) -> Iterator[tuple[str, str]]:
    """Pairs of rules, the one that makes a file first, of a graph in dot's language."""
    names = dict(re.findall(r'(\d+)\[label = "(\w+)"', dot))
    for start, end in re.findall(r"(\d+) -> (\d+)", dot):
        yield names[start], names[end]


def test_rules_follow_each_other_in_the_order_of_the_stages(workshop: Workshop) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--rulegraph", "dot", "--configfile", "tiny.yaml"],
        cwd=workshop.folder,
        env=workshop.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    graph = set(edges(done.stdout))
    chain = [
        *("fetch_prompts", "train_prompts", "generate", "gather_candidates", "score"),
        *("gather_scores", "select", "finetune", "profile", "tables", "figures", "report", "all"),
    ]
    assert set(pairwise(chain)) <= graph
    assert {("fetch_model", "generate"), ("fetch_model", "finetune")} <= graph
    assert all(STAGES.index(start) < STAGES.index(end) for start, end in graph)
    # Connected: every rule leads to the report.
    reached = {"all"}
    while new := {start for start, end in graph if end in reached} - reached:
        reached |= new
    assert reached == set(STAGES)


def test_results_are_where_the_command_is_given(workshop: Workshop, tmp_path: Path) -> None:
    """`snakemake -s PATH/Snakefile` from another folder works there, with the library's files."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("tiny.yaml", "tiny-model", "prompts.jsonl", "pairs.csv"):
        (elsewhere / name).symlink_to(workshop.folder / name)
    other = Workshop(elsewhere)
    printed = other.run("--dry-run", "-s", "../heirloom/Snakefile")
    assert "../heirloom/heirloom/generate/loop.py" in printed


def test_models_that_no_study_trained_are_profiled(workshop: Workshop) -> None:
    def profile_only(study: dict[str, Any]) -> None:
        for key in ("prompts", "training_prompts", "pools", "metrics", "objectives"):
            del study[key]
        del study["compare_answers"]
        study |= {"teachers": [], "bases": []}
        study["profiling"] = {"crows_pairs": {"data": "pairs"}}

    workshop.edit_study(profile_only)
    fetched = {"fetch_model ant", "fetch_model bee", "fetch_data"}
    profiled = {"profile ant", "profile bee", "profiles"}
    assert {job.name for job in workshop.plan("profiles")} == fetched | profiled
    everything = {job.name for job in workshop.plan()}
    ends = {"plan", "tables", "costs", "report", "crate", "all"}
    assert everything == fetched | profiled - {"profiles"} | ends
