"""Identifiers of sources in a crate: an address or a package URL, never a path of this machine."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError
from toy_study import STUDY

from heirloom.fetch.settings import Source
from heirloom.prompts.settings import Prompts
from heirloom.publish.crate_entities import identifiers, input_entities
from heirloom.study.config import study_type
from heirloom.support.files import Record, write_json

SHA = "0" * 64
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_prompts_state_their_language(tmp_path: Path) -> None:
    prompts = {**STUDY["prompts"]["instructions"], "language": "hi"}
    study = study_type().model_validate(
        {**STUDY, "prompts": {**STUDY["prompts"], "hindi": prompts}}
    )
    for name in ("hindi", "alpha"):
        write_json(tmp_path / name, {"name": name})
    hindi, alpha = input_entities(
        study, {"prompts": [tmp_path / "hindi"], "models": [tmp_path / "alpha"]}
    )
    assert hindi["inLanguage"] == "hi" and "inLanguage" not in alpha


@pytest.mark.parametrize("stated", ["English", "EN", "e", "en_GB", ""])
def test_a_language_is_a_tag(stated: str) -> None:
    prompts = {**STUDY["prompts"]["instructions"], "language": stated}
    with pytest.raises(ValidationError, match="language"):
        Prompts.model_validate(prompts)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"url": "https://example.org/a.csv", "sha256": SHA}, ["https://example.org/a.csv"]),
        ({"hub": "org/name", "revision": COMMIT}, [f"pkg:huggingface/org/name@{COMMIT}"]),
        (
            {"hub": "org/name", "revision": COMMIT, "files": ["a/b", "c"], "repo_type": "dataset"},
            [
                f"pkg:huggingface/org/name@{COMMIT}?repo_type=dataset#a/b",
                f"pkg:huggingface/org/name@{COMMIT}?repo_type=dataset#c",
            ],
        ),
        (
            {
                "parts": [
                    {"wheel": "one==1.0", "member": "m/x.part0"},
                    {"wheel": "two==2.0", "member": "m/x.part1"},
                ],
                "sha256": SHA,
            },
            ["pkg:pypi/one@1.0#m/x.part0", "pkg:pypi/two@2.0#m/x.part1"],
        ),
        ({"path": "resources/a.jsonl"}, ["resources/a.jsonl"]),
        ({"path": "/home/jane/models/a"}, ["a"]),
        ({"path": "~/models/a"}, ["a"]),
        ({"path": "../jane/models/a"}, ["a"]),
    ],
)
def test_sources_have_names_that_hold_everywhere(source: Record, expected: list[str]) -> None:
    assert identifiers(TypeAdapter(Source).validate_python(source)) == expected
