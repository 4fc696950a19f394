"""A student of one study teaches in a second one, whose students are exported and tracked."""

import sqlite3
from importlib.util import find_spec
from typing import Any

from safetensors import safe_open
from workshop import RESULTS, Workshop

from heirloom.support.files import read_json, read_jsonl

STUDENT = "students/ant.length-multi.s1"


def second(study: dict[str, Any]) -> None:
    """One teacher, the student of the first study; one objective, one benchmark."""
    study["study"] = "second"
    study["models"] = {
        "ant": study["models"]["ant"],
        "cub": {"base": "ant", "sources": [{"path": str(RESULTS / STUDENT)}]},
    }
    study |= {"teachers": ["cub"], "pools": {}, "compare_answers": None}
    study["objectives"] = {"length": {**study["objectives"]["length"], "pools": ["cub"]}}
    study["metrics"] = {"length": study["metrics"]["length"]}
    study["profiling"] = {"text": study["profiling"]["text"]}
    study["finetune"] |= {"epochs": 1}
    study["export"] = {"merged": True}


def test_a_student_teaches_in_a_second_study(copied: Workshop) -> None:
    tracked = ["--default-resources", "tracking=trackio"] if find_spec("trackio") else []
    copied.environment["TRACKIO_DIR"] = str(copied.cache / "trackio")
    copied.edit_study(second)
    copied.run(*tracked)

    results = copied.folder / "results/second"
    # The teacher is the base with the adapter in it.
    note = read_json(results / "models/cub.json")
    merged = copied.cache / note["location"]
    assert note["sha256"] != read_json(results / "models/ant.json")["sha256"]
    name = "model.layers.0.mlp.up_proj.weight"
    folders = (copied.folder / "tiny-model", merged)
    files = [safe_open(folder / "model.safetensors", "numpy") for folder in folders]
    assert (files[0].get_tensor(name) != files[1].get_tensor(name)).any()
    taught = {row["teacher"] for row in read_jsonl(results / "datasets/length-cub/train.jsonl")}
    assert taught == {"cub"}

    for student in ("ant.length-cub.s1", "ant.passive-cub.s1"):
        manifest = read_json(results / f"exports/{student}/manifest.json")
        assert manifest["compared"] == {"prompts": 5, "dtype": "float32", "merged": 5}
        card = (results / f"exports/{student}/merged/README.md").read_text(encoding="utf-8")
        assert "library_name: transformers" in card and "is merged into the base" in card

    if tracked:
        with sqlite3.connect(copied.cache / "trackio/second.db") as database:
            rows = database.execute("select run_name, metrics from metrics").fetchall()
        losses = [row for row in rows if row[0] == "ant.length-cub.s1" and "loss" in str(row[1])]
        trained = read_json(results / "students/ant.length-cub.s1/manifest.json")
        assert len(losses) >= trained["n_steps"] == 12
        assert any(run == "ant.length-cub.s1 profile" for run, _ in rows)
    # Neither where it is tracked nor what is exported makes a job run again.
    assert not copied.plan()
    copied.edit_study(lambda study: study.pop("export"))
    assert not {"finetune", "profile", "tables"} & {job.rule for job in copied.plan()}
