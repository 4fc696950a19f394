"""Profiles: the file, its schema version, and one run of a benchmark on a tiny model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Lfm2Config, Lfm2ForCausalLM

from heirloom.fetch.notes import Note, write_note
from heirloom.generate.completions import identity
from heirloom.generate.endpoint import RemoteModel
from heirloom.generate.model import Engine, LanguageModel, load_model
from heirloom.generate.settings import Endpoint
from heirloom.generate.templates import PromptTemplate
from heirloom.profiling import BENCHMARKS
from heirloom.profiling.assignment import Assignment, Subject
from heirloom.profiling.known import Known
from heirloom.profiling.profile import SCHEMA_VERSION, Profile
from heirloom.profiling.run import profile_model, run
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_json, sha256, write_json, write_jsonl, write_text
from heirloom.support.result_store import ResultStore

TRANSFORMERS = Engine("transformers")
PROFILE = Profile(
    benchmark="text",
    model="ant",
    seed=17,
    metrics={"length": {"value": 3.0, "n": 2}},
    settings={"prompts": "p", "scorer": None},
    revisions={"model": "abc"},
    versions={"torch": "2"},
    inputs={"eval.jsonl": "def"},
)

# The file


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "text.json"
    PROFILE.write(file)
    assert Profile.read(file) == PROFILE
    assert list(read_json(file)) == [
        *("schema_version", "benchmark", "model", "seed", "metrics"),
        *("settings", "revisions", "versions", "inputs"),
    ]
    assert read_json(file)["schema_version"] == SCHEMA_VERSION == 2


def test_what_does_not_apply_says_why(tmp_path: Path) -> None:
    profile = Profile(**{**vars(PROFILE), "metrics": {}, "not_applicable": "it is remote"})
    profile.write(tmp_path / "text.json")
    assert Profile.read(tmp_path / "text.json") == profile
    assert list(read_json(tmp_path / "text.json"))[4:6] == ["metrics", "not_applicable"]


def test_what_was_computed_otherwise_is_noted(tmp_path: Path) -> None:
    profile = Profile(**{**vars(PROFILE), "notes": ["scored one text at a time: b"]})
    profile.write(tmp_path / "text.json")
    assert Profile.read(tmp_path / "text.json") == profile
    assert list(read_json(tmp_path / "text.json"))[4:6] == ["metrics", "notes"]


@pytest.mark.parametrize("version", [1, 3, None])
def test_a_profile_of_another_schema_version_is_refused(
    tmp_path: Path, version: int | None
) -> None:
    file = tmp_path / "text.json"
    PROFILE.write(file)
    write_json(file, {**read_json(file), "schema_version": version})
    with pytest.raises(
        HeirloomError,
        match=rf"text\.json has schema version {version}, .* reads 2\. Delete it and run",
    ):
        Profile.read(file)


@pytest.mark.parametrize("content", [[], {"schema_version": 2}])
def test_what_is_no_whole_profile_is_refused(tmp_path: Path, content: Any) -> None:
    write_json(tmp_path / "text.json", content)
    with pytest.raises(HeirloomError, match=r"text\.json .* Delete it and run"):
        Profile.read(tmp_path / "text.json")


# A run


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> LanguageModel:
    return load_model(tiny_model, name="tiny", prompt_template=PromptTemplate(), dtype="float32")


@pytest.fixture
def assignment(tmp_path: Path) -> Assignment:
    prompts = tmp_path / "eval.jsonl"
    write_jsonl(prompts, [{"id": "a", "text": "Name a bird."}, {"id": "b", "text": "Why?"}])
    options = BENCHMARKS.get("toxicity").options.model_validate(
        {"prompts": "p", "metric": "m", "continuations": 2, "max_new_tokens": 4}
    )
    return Assignment(
        name="toxicity",
        options=options.model_dump(mode="json"),
        prompts=str(prompts),
        format="continuation",
        scorer={"function": "length", "options": {}},
        pairs=None,
        scorers={"m": {"function": "length", "options": {}}},
    )


def test_a_run(tiny: LanguageModel, assignment: Assignment, tmp_path: Path) -> None:
    profile, records = run(
        assignment, tiny, checksum="abc", notes={}, seed=17, work=tmp_path / "work"
    )
    assert [record["id"] for record in records] == ["a", "b"]
    # The mean over prompts of the most words of a continuation.
    most = [max(c["score"] for c in record["continuations"]) for record in records]
    assert profile.metrics["emt"]["value"] == sum(most) / 2
    assert (profile.benchmark, profile.model, profile.seed) == ("toxicity", "tiny", 17)
    scorers = {"scorer": assignment.scorer, "scorers": assignment.scorers}
    assert profile.settings == {**assignment.options, **scorers}
    assert profile.revisions == {
        "model": "abc",
        "adapter": None,
        "dtype": "torch.float32",
        "generation": identity(tiny),
        "data": {},
    }
    assert set(profile.versions) == {"torch", "transformers", "peft"}
    assert profile.inputs == {assignment.prompts: sha256(str(assignment.prompts))}
    assert profile.not_applicable is None
    assert profile.notes == []
    assert (tmp_path / "work" / "toxicity").is_dir()


def test_data_are_those_that_the_notes_locate(tiny: LanguageModel, tmp_path: Path) -> None:
    data = tmp_path / "pairs.csv"
    write_text(
        data,
        "sent_more,sent_less,stereo_antistereo,bias_type\nOld men err.,Young men err.,stereo,age\n",
    )
    note = tmp_path / "pairs.json"
    write_note(note, Note("pairs", data, "123"))
    options = BENCHMARKS.get("crows_pairs").options.model_validate({"data": "pairs"})
    profile, records = run(
        Assignment("crows_pairs", options.model_dump(mode="json"), None, None, None, None),
        tiny,
        checksum="abc",
        notes={"pairs": note, "unused": tmp_path / "gone.json"},
        seed=17,
        work=tmp_path / "work",
    )
    assert [record["bias_type"] for record in records] == ["age"]
    assert profile.revisions["data"] == {"pairs": "123"}
    assert profile.revisions["generation"] is None  # nothing was generated


def test_data_of_a_scorer_belong_to_the_profile(
    tiny: LanguageModel, assignment: Assignment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scorer gets the file; the profile and its key in the cache hold the checksum."""
    write_text(
        tmp_path / "sized_scorers.py",
        "from heirloom.objectives import DataFile\n"
        "def size(texts, *, file: DataFile):\n"
        "    return [float(len(open(file).read())) for _ in texts]\n",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    scorer = {"function": "sized_scorers:size", "options": {"file": "list"}}
    scored = replace(assignment, scorer=scorer)
    write_text(tmp_path / "list.txt", "seven c")
    note = tmp_path / "list.json"
    write_note(note, Note("list", tmp_path / "list.txt", "123"))
    notes = {"list": note}
    profile, _ = run(scored, tiny, checksum="abc", notes=notes, seed=17, work=tmp_path / "work")
    assert profile.metrics["emt"]["value"] == 7
    assert profile.revisions["data"] == {"list": "123"}
    assert profile.settings["scorer"] == scorer  # by its name, not by a path of this machine

    write_note(tmp_path / "model.json", Note("base", tmp_path, "abc"))
    template = {"template": "chat", "stop": ()}
    subject = Subject("ant", tmp_path / "model.json", [], template, "float32", "auto", "model")
    known = Known(ResultStore(), {"toxicity": [__file__]})
    identities = []
    for digest in ("123", "456"):
        write_note(note, Note("list", tmp_path / "list.txt", digest))
        identity = known.identity(subject, scored, notes, 17)
        assert identity is not None
        identities.append(identity["data"])
    assert identities == [["123"], ["456"]]


def test_a_model_that_takes_no_shortcut_is_noted(tiny: LanguageModel, tmp_path: Path) -> None:
    """LFM2, whose convolutions mix texts of a row; each benchmark notes what it met itself."""
    torch.manual_seed(0)
    config = Lfm2Config(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        layer_types=["conv", "full_attention"],
        initializer_range=0.2,
    )
    network = Lfm2ForCausalLM(config).eval()
    model = LanguageModel("lfm", network, tiny.tokenizer, PromptTemplate(), None, TRANSFORMERS)
    model.note("generation", "of another benchmark")
    data = tmp_path / "pairs.csv"
    write_text(
        data,
        "sent_more,sent_less,stereo_antistereo,bias_type\nOld men err.,Young men err.,stereo,age\n",
    )
    write_note(tmp_path / "pairs.json", Note("pairs", data, "123"))
    options = BENCHMARKS.get("crows_pairs").options.model_validate({"data": "pairs"})
    profile, _ = run(
        Assignment("crows_pairs", options.model_dump(mode="json"), None, None, None, None),
        model,
        checksum="abc",
        notes={"pairs": tmp_path / "pairs.json"},
        seed=17,
        work=tmp_path / "work",
    )
    (note,) = profile.notes
    assert note.startswith("scored one text at a time")


def test_options_of_another_version_are_refused(
    tiny: LanguageModel, assignment: Assignment, tmp_path: Path
) -> None:
    other = Assignment(**{**vars(assignment), "options": {"prompts": "p", "shards": 3}})
    with pytest.raises(HeirloomError, match=r"(?s)profiling\.toxicity: .*shards"):
        run(other, tiny, checksum="abc", notes={}, seed=17, work=tmp_path)


def test_a_model_that_cannot_has_neither_metrics_nor_records(
    assignment: Assignment, tmp_path: Path
) -> None:
    endpoint = Endpoint.model_validate(
        {"url": "http://127.0.0.1:9/v1", "model": "far", "completions": False}
    )
    remote = RemoteModel("far", endpoint, PromptTemplate(), tmp_path)
    profile, records = run(assignment, remote, checksum="abc", notes={}, seed=17, work=tmp_path)
    assert (profile.metrics, records) == ({}, [])
    assert profile.not_applicable == (
        "the endpoint serves chat alone, which does not continue a text"
    )
    assert profile.revisions["dtype"] is None
    assert json.dumps(vars(profile))


# A profile that is known


def test_a_known_profile_is_measured_no_second_time(
    tiny_model: Path, tmp_path: Path, tiny: LanguageModel
) -> None:
    """Each benchmark for itself; the folder of the second model has no weights to load."""
    empty = tmp_path / "empty"
    empty.mkdir()
    known = Known(ResultStore(tmp_path / "store"), {"crows_pairs": [__file__], "text": [__file__]})

    def measure(name: str, folder: Path, eval_prompts: int, seed: int = 17) -> list[str]:
        root = tmp_path / name
        write_note(root / "model.json", Note("base", folder, "abc"))
        data, note = root / "pairs.csv", root / "pairs.json"
        write_text(data, "sent_more,sent_less,stereo_antistereo,bias_type\nA b.,A c.,stereo,age\n")
        write_note(note, Note("pairs", data, "123"))
        write_jsonl(
            root / "eval.jsonl", [{"id": str(n), "text": "Hm?"} for n in range(eval_prompts)]
        )
        pairs = BENCHMARKS.get("crows_pairs").options.model_validate({"data": "pairs"})
        text = BENCHMARKS.get("text").options.model_validate({"prompts": "p", "max_new_tokens": 4})
        assignments = [
            Assignment("crows_pairs", pairs.model_dump(mode="json"), None, None, None, None),
            Assignment(
                *("text", text.model_dump(mode="json")),
                *(str(root / "eval.jsonl"), "instruction", None, None),
            ),
        ]
        files = [(root / f"{a.name}.json", root / f"{a.name}.jsonl") for a in assignments]
        subject = Subject(
            *(name, root / "model.json", [], {"template": "chat", "stop": ()}),
            *("float32", "auto", "model"),
        )
        return profile_model(
            *(subject, assignments, files),
            data_notes=[note],
            seed=seed,
            work=root / "work",
            known=known,
        )

    assert measure("ant", tiny_model, 2) == []
    assert measure("bee", empty, 2) == ["crows_pairs", "text"]
    for name in ("crows_pairs", "text"):
        made, again = (Profile.read(tmp_path / model / f"{name}.json") for model in ("ant", "bee"))
        assert again == replace(
            made,
            model="bee",
            inputs={file.replace("/ant/", "/bee/"): digest for file, digest in made.inputs.items()},
        )
        records = [(tmp_path / model / f"{name}.jsonl").read_bytes() for model in ("ant", "bee")]
        assert records[0] == records[1] != b""
    # Fewer eval prompts: what needs none of them is known.
    assert measure("cat", tiny_model, 1) == ["crows_pairs"]
    with pytest.raises(HeirloomError, match="could not be loaded"):
        measure("dog", empty, 2, seed=18)
