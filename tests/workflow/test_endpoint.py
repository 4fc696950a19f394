"""A teacher behind an endpoint, from its first text to the report, and what becomes of its key."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from completion_server import serving
from workshop import RESULTS, Workshop

from heirloom.support.files import read_json, read_jsonl

SECRET = "sk-canary-9876543210"
CANDIDATES = "generations/remote/instructions/candidates.jsonl"
# 12 training prompts with 3 candidates; 5 eval prompts with a greedy answer, 2 continuations and 2
# answers for the judges.
TEXTS = 12 * 3 + 5 * (1 + 2 + 2)


def test_a_teacher_behind_an_endpoint(tmp_path: Path, tiny_model: Path) -> None:
    with serving(key=SECRET) as server:

        def make(folder: Path) -> Workshop:
            shop = Workshop.make(folder, tiny_model)
            shop.environment["HEIRLOOM_TEST_KEY"] = SECRET
            shop.edit_study(lambda study: use_endpoint(study, server.url))
            return shop

        unbroken = make(tmp_path / "unbroken/heirloom")
        unbroken.run(str(RESULTS / CANDIDATES))
        server.answered.clear()

        shop = make(tmp_path / "broken/heirloom")
        server.dies_after = 9
        printed = shop.run(str(RESULTS / CANDIDATES), fails=True)
        assert f"the endpoint {server.url} (model writer) gave no answer in 2 attempt" in printed
        assert "run the same command again" in printed and "Traceback" not in printed
        server.dies_after = None
        printed += shop.run()

    assert shop.bytes_of(CANDIDATES) == unbroken.bytes_of(CANDIDATES)
    asked = [json.dumps(body, sort_keys=True) for body in server.answered]
    assert len(asked) == len(set(asked)) == TEXTS  # not one was paid for twice

    note = read_json(shop.results / "models/remote.json")
    assert note["served"]["owned_by"] == "tests"
    profiles = shop.results / "profiles/remote"
    assert "likelihoods" in read_json(profiles / "crows_pairs.json")["not_applicable"]
    assert read_jsonl(profiles / "crows_pairs.records.jsonl") == []
    assert read_json(profiles / "text.json")["metrics"]["length"]["value"] == 8
    table = pd.read_csv(shop.results / "tables/profiles.csv")
    assert set(table[table["model"] == "remote"]["benchmark"]) == {"text", "toxicity"}
    report = (shop.results / "report.html").read_text(encoding="utf-8")
    assert "not applicable" in report
    card = (shop.results / "datasets/passive-remote/README.md").read_text(encoding="utf-8")
    assert f"`writer` behind the endpoint `{server.url}`" in card
    crate = read_json(shop.results / "ro-crate-metadata.json")["@graph"]
    (model,) = [entity for entity in crate if entity["@id"] == "#models-remote"]
    assert model["identifier"] == server.url

    files = [path for path in shop.folder.parent.rglob("*") if path.is_file()]
    assert len(files) > 100
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert SECRET not in printed

    # What was written is there without the server and without the key.
    del shop.environment["HEIRLOOM_TEST_KEY"]
    shop.run(str(RESULTS / CANDIDATES), "--forcerun", "fetch_model", "generate")
    assert shop.bytes_of(CANDIDATES) == unbroken.bytes_of(CANDIDATES)


def use_endpoint(study: dict[str, Any], url: str) -> None:
    """The tiny study with the model `remote` in the place of `bee`, and one objective."""
    endpoint = {"url": url, "model": "writer", "key": "HEIRLOOM_TEST_KEY"}
    limits = {"requests": 2, "attempts": 2, "timeout": 10}
    study["models"] = {"ant": study["models"]["ant"], "remote": {"endpoint": endpoint | limits}}
    study["teachers"] = ["remote"]
    study["pools"] = {"multi": ["remote"]}
    study["objectives"] = {"length": {**study["objectives"]["length"], "pools": ["multi"]}}
    study["finetune"]["epochs"] = 1
    del study["compare_answers"]
