"""Results under a key of everything that determines them."""

import os
import re
import tomllib
from pathlib import Path

import pytest

from heirloom.fetch.cache import result_store
from heirloom.support.errors import HeirloomError
from heirloom.support.files import copy_file, read_json, write_text
from heirloom.support.machine import computed_in
from heirloom.support.result_store import DECISIVE, ResultStore, note_reuse, versions


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "scores")


def test_a_result_is_found_under_its_identity_alone(store: ResultStore, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"\x00\xff")
    store.add({"seed": 1}, {"weights": weights, "manifest.json": "{}"})
    weights.unlink()  # as Snakemake does before a job runs again
    found = store.find({"seed": 1})
    assert found is not None
    assert {name: path.read_bytes() for name, path in found.items()} == {
        "weights": b"\x00\xff",
        "manifest.json": b"{}",
    }
    assert store.find({"seed": 2}) is None


def test_a_damaged_result_is_computed_again(
    store: ResultStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.add(1, {"a": "whole"})
    found = store.find(1)
    assert found is not None
    found["a"].write_text("half")
    assert store.find(1) is None
    assert "damaged" in caplog.text
    store.add(1, {"a": "whole"})
    assert store.find(1) is not None


def test_two_jobs_may_add_the_same_result(store: ResultStore) -> None:
    store.add(1, {"a": "same"})
    store.add(1, {"a": "same"})
    assert store.find(1) is not None
    assert [path.name for path in (store.folder or Path()).iterdir() if path.name[0] == "."] == []


def test_a_store_that_cannot_be_written_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    store = ResultStore(tmp_path / "file" / "scores")
    store.add(1, {"a": "text"})
    assert "could not be kept" in caplog.text
    assert store.find(1) is None


def test_without_a_folder_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path))
    assert result_store("scores") == ResultStore(tmp_path / "scores")
    monkeypatch.setenv("HEIRLOOM_REUSE", "no")
    store = result_store("scores")
    store.add(1, {"a": "text"})
    assert store.find(1) is None and list(tmp_path.iterdir()) == []
    monkeypatch.setenv("HEIRLOOM_REUSE", "maybe")
    with pytest.raises(HeirloomError, match="HEIRLOOM_REUSE is 'maybe': set it to yes or no"):
        result_store("scores")


def test_a_copy_is_a_file_of_its_own_made_now(tmp_path: Path) -> None:
    """Snakemake compares times: a reused output must be newer than the job's inputs."""
    source = tmp_path / "old"
    source.write_bytes(b"\x00\n\xff")
    os.utime(source, (1, 1))
    copy_file(source, tmp_path / "new" / "copy")
    copy = tmp_path / "new" / "copy"
    assert copy.read_bytes() == b"\x00\n\xff"
    assert copy.stat().st_mtime > 1 and copy.stat().st_ino != source.stat().st_ino


def test_a_reused_result_is_noted_until_it_is_computed(tmp_path: Path) -> None:
    file = tmp_path / "ant.reused.json"
    note_reuse(file, ["text", "judge"])
    assert read_json(file) == {"reused": ["text", "judge"]}
    note_reuse(file, [])
    note_reuse(file, [])
    assert not file.exists()


def test_versions_of_what_is_not_installed() -> None:
    assert versions(["no-such-package"])["no-such-package"] is None
    assert versions()["torch"]


@pytest.mark.parametrize(
    ("flags", "kind"),
    [("GenuineIntel avx512_bf16", "float32"), ("AuthenticAMD avx512_bf16", "bfloat16")],
)
def test_the_number_format_of_a_processor(tmp_path: Path, flags: str, kind: str) -> None:
    (tmp_path / "cpuinfo").write_text(flags)
    assert computed_in("auto", devices=tmp_path, proc=tmp_path) == ["cpu", kind]
    assert computed_in("float32", devices=tmp_path, proc=tmp_path) == ["cpu", "float32"]


def test_a_gpu_is_named_where_the_number_format_depends_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "nvidia0").touch()
    write_text(tmp_path / "driver/nvidia/gpus/0/information", "Model: \t\t V100\nIRQ: 1\n")
    assert computed_in("auto", devices=tmp_path, proc=tmp_path) == ["gpu", "auto", "V100"]
    assert computed_in("bfloat16", devices=tmp_path, proc=tmp_path) == ["gpu", "bfloat16"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert computed_in("bfloat16", devices=tmp_path, proc=tmp_path) == ["cpu", "bfloat16"]


def test_every_dependency_is_known_to_decide_numbers_or_not() -> None:
    """A new one must be sorted into one of the two."""
    settings = (Path(__file__).resolve().parents[3] / "pyproject.toml").read_text("utf-8")
    listed = tomllib.loads(settings)["project"]["dependencies"]
    neutral = {
        *("datasketch", "filelock", "h5py", "huggingface-hub", "jinja2", "matplotlib"),
        *("platformdirs", "pyarrow", "pydantic", "pygments", "requests", "snakemake"),
    }
    assert {re.split("[=<>]", name)[0] for name in listed} - neutral <= set(DECISIVE)
