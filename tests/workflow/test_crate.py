"""The RO-Crate of the tiny study: complete, true, and accepted by tools that are not ours."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from workshop import ROOT, Workshop, cut_off

from heirloom.study.config import study_type
from heirloom.support.files import sha256

CHECKS = ROOT / ".venv-checks/bin/python"

Entities = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def crate(finished: Workshop) -> Entities:
    """The entities of the tiny study's crate by id."""
    text = (finished.results / "ro-crate-metadata.json").read_text(encoding="utf-8")
    graph = json.loads(text)["@graph"]
    assert len({entity["@id"] for entity in graph}) == len(graph)
    return {entity["@id"]: entity for entity in graph}


def references(value: Any) -> list[str]:
    """The ids in a value that refers to entities."""
    return [item["@id"] for item in (value if isinstance(value, list) else [value])]


def kinds(entity: dict[str, Any]) -> list[str]:
    return entity["@type"] if isinstance(entity["@type"], list) else [entity["@type"]]


def test_every_result_is_listed_with_its_checksum(finished: Workshop, crate: Entities) -> None:
    listed = {id: e for id, e in crate.items() if "File" in kinds(e)}
    for id, entity in listed.items():
        assert entity["sha256"] == sha256(finished.results / id), id
        assert int(entity["contentSize"]) == (finished.results / id).stat().st_size
    # Not listed: what differs from run to run, what other files hold as well, and notes on inputs.
    other = {"logs", "costs", "work", "models", "sources", "data"}
    results = {
        path.relative_to(finished.results).as_posix()
        for path in finished.results.rglob("*")
        if path.is_file() and "shards" not in path.parts and not path.name.startswith(".")
    }
    expected = {path for path in results if path.split("/")[0] not in other}
    assert listed.keys() == expected - {"ro-crate-metadata.json"}


def test_every_file_is_part_of_the_crate(crate: Entities) -> None:
    reached, new = set(), {"./"}
    while new:
        reached |= new
        new = {p for id in new for p in references(crate[id].get("hasPart", []))} - reached
    files = {id for id, entity in crate.items() if {"File", "Dataset"} & set(kinds(entity))}
    assert reached == files


def test_nothing_refers_to_what_is_not_there(crate: Entities) -> None:
    def walk(value: Any) -> list[str]:
        if isinstance(value, dict):
            return (
                [value["@id"]]
                if set(value) == {"@id"}
                else [i for v in value.values() for i in walk(v)]
            )
        return [id for item in value for id in walk(item)] if isinstance(value, list) else []

    named = {id for entity in crate.values() for id in walk(entity)}
    # Addresses that describe themselves: the specification, and Snakemake's.
    assert {id for id in named - crate.keys() if not id.startswith("https://")} == set()


def test_models_and_data_are_inputs_with_checksum(finished: Workshop, crate: Entities) -> None:
    run = crate["#run"]
    assert set(references(run["object"])) == {
        *("workflow/study.json", "#models-ant", "#models-bee"),
        *("#prompts-instructions", "#data-pairs"),
    }
    pairs = crate["#data-pairs"]
    assert pairs["sha256"] == sha256(finished.folder / "pairs.csv")
    assert pairs["identifier"] == "pairs.csv"
    assert crate[pairs["license"]["@id"]]["name"] == "unknown"  # tiny.yaml names none
    assert crate[crate["./"]["license"]["@id"]]["description"].startswith(
        "models: ant: not named in the study file; "
    )
    assert run["description"] == "snakemake --cores all --configfile tiny.yaml"
    assert run["instrument"] == {"@id": "workflow/Snakefile"}


def test_students_lead_back_to_base_and_training_set(crate: Entities) -> None:
    student = crate["students/ant.length-multi.s1/"]
    assert references(student["isBasedOn"]) == ["#models-ant", "datasets/length-multi/"]
    assert references(crate["datasets/length-multi/"]["isBasedOn"]) == [
        "prompts/instructions/train.jsonl",
        "generations/ant/instructions/",
        "generations/bee/instructions/",
    ]


def test_the_commit_and_the_packages_are_named(finished: Workshop, crate: Entities) -> None:
    git = ["git", "rev-parse", "HEAD"]
    head = subprocess.run(git, cwd=finished.folder, capture_output=True, text=True, check=True)
    workflow = crate["workflow/Snakefile"]
    assert workflow["version"] == head.stdout.strip()
    named = {crate[id]["name"] for id in references(workflow["softwareRequirements"])}
    assert {"python", "snakemake", "torch", "transformers", "peft"} <= named


def test_the_kept_workflow_runs_the_kept_study(finished: Workshop, tmp_path: Path) -> None:
    """The crate is enough to plan the same study again, its local files put beside it."""
    kept = tmp_path / "kept"
    shutil.copytree(finished.results / "workflow", kept)
    for name in ("tiny-model", "prompts.jsonl", "pairs.csv"):
        (kept / name).symlink_to(finished.folder / name)
    again = Workshop(kept)
    again.study = kept / "study.json"
    (kept / "tiny.yaml").symlink_to("study.json")
    planned = sorted(job.name for job in again.plan())
    assert "finetune ant.length-multi.s1" in planned
    assert "report" in planned
    study = yaml.safe_load((kept / "study.json").read_text(encoding="utf-8"))
    original = yaml.safe_load(finished.study.read_text(encoding="utf-8"))
    kind = study_type()
    assert kind.model_validate(study) == kind.model_validate(original)


def test_the_crate_says_nothing_of_this_machine(finished: Workshop) -> None:
    text = (finished.results / "ro-crate-metadata.json").read_text(encoding="utf-8")
    for local in (str(finished.folder), str(finished.cache), str(ROOT), str(Path.home()) + "/"):
        assert local not in text


@pytest.fixture(scope="module")
def checked(finished: Workshop) -> dict[str, Any]:
    """Output of rocrate-validator and ro-crate-py, without a network."""
    if not CHECKS.exists():
        pytest.skip("rocrate-validator is not there: make .venv-checks/.done")
    script = Path(__file__).with_name("check_crate.py")
    done = subprocess.run(
        [*cut_off(), CHECKS, script, finished.results],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


# What RO-Crate recommends and the crate does not have.
LEFT_OUT = {
    "The Application SHOULD have a url": "its id is a package URL, which names no server",
    "The SoftwareApplication id SHOULD be an absolute URI": "a package URL is one (RFC 3986)",
    "The Action SHOULD have an agent that is a Person or Organization": "none is asked for",
    "The Root Data Entity SHOULD have a link to a Contextual Entity representing the `author` of "
    "the RO-Crate": "likewise",
    "The `publisher` property of a `Root Data Entity` SHOULD be an `Organization`": "likewise",
    "The README.md SHOULD be about the crate": "it is the report",
    "The README.md SHOULD have text/markdown as its encodingFormat": "there is none",
}


def test_the_validator_accepts_the_crate(checked: dict[str, Any]) -> None:
    assert [issue for issue in checked["issues"] if issue[0] != "RECOMMENDED"] == []
    assert {message for _, _, message in checked["issues"]} <= LEFT_OUT.keys()


def test_ro_crate_py_reads_the_crate(checked: dict[str, Any], crate: Entities) -> None:
    assert checked["name"] == "A tiny study"
    assert checked["workflow"] == "workflow/Snakefile"
    assert checked["n_entities"] == len(crate)
