"""Identifiers of sources in a crate: an address or a package URL, never a path of this machine."""

import pytest
from pydantic import TypeAdapter

from heirloom.fetch.settings import Source
from heirloom.publish.crate_entities import identifiers
from heirloom.support.files import Record

SHA = "0" * 64
COMMIT = "0123456789abcdef0123456789abcdef01234567"


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
