"""A study finds the base of an adapter where the adapter says what it was trained on."""

import copy
from pathlib import Path
from typing import Any

import pytest
from toy_study import STUDY

from heirloom.study.parse import parse_study
from heirloom.study.plan import make_plan
from heirloom.support.errors import HeirloomError
from heirloom.support.files import write_json

HUB = {"hub": "organisation/ant", "revision": "main"}


@pytest.fixture
def raw(tmp_path: Path) -> dict[str, Any]:
    """The toy study, with an adapter as a third model and files where it looks for them."""
    for name in ("i", "p"):
        (tmp_path / name).touch()
    for name in ("a", "b", "adapter"):
        (tmp_path / name).mkdir()
    (tmp_path / "adapter/adapter_model.safetensors").touch()
    raw = copy.deepcopy(STUDY)
    raw["models"]["cub"] = {"sources": [{"path": "adapter"}]}
    return raw


def describe(tmp_path: Path, trained_on: str | None) -> None:
    config = {"peft_type": "LORA", "base_model_name_or_path": trained_on}
    write_json(tmp_path / "adapter/adapter_config.json", config)


def base_in(raw: dict[str, Any], tmp_path: Path) -> str | None:
    base: str | None = parse_study(raw, root=tmp_path).models["cub"].base
    return base


def test_by_its_repository(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["models"]["beta"]["sources"].append(HUB)
    describe(tmp_path, "organisation/ant")
    assert base_in(raw, tmp_path) == "beta"


def test_by_its_folder(raw: dict[str, Any], tmp_path: Path) -> None:
    describe(tmp_path, str(tmp_path / "a"))
    assert base_in(raw, tmp_path) == "alpha"


def test_by_the_checksum_in_the_manifest_of_a_student(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["models"]["beta"]["sources"][0]["sha256"] = "ab" * 32
    describe(tmp_path, "/somewhere/else/models/beta-abababababab-bf16")
    write_json(tmp_path / "adapter/manifest.json", {"inputs": {"base": "ab" * 32}})
    assert base_in(raw, tmp_path) == "beta"


def test_by_its_name_in_the_study(raw: dict[str, Any], tmp_path: Path) -> None:
    describe(tmp_path, "organisation/ant")
    raw["models"]["cub"]["base"] = "alpha"
    study = parse_study(raw, root=tmp_path)
    assert study.models["cub"].base == "alpha"
    # Those that have none are recorded as they were before there was such a key.
    models = make_plan(study).config["models"]
    assert models["cub"]["base"] == "alpha"
    assert "base" not in models["alpha"]


@pytest.mark.parametrize("trained_on", ["organisation/bee", None])
def test_an_adapter_of_another_model(
    raw: dict[str, Any], tmp_path: Path, trained_on: str | None
) -> None:
    describe(tmp_path, trained_on)
    with pytest.raises(HeirloomError, match=r"models.cub: .* no model of the study is.*`base: "):
        parse_study(raw, root=tmp_path)


def test_two_models_that_may_be_meant(raw: dict[str, Any], tmp_path: Path) -> None:
    for name in ("alpha", "beta"):
        raw["models"][name]["sources"].append(HUB)
    describe(tmp_path, "organisation/ant")
    with pytest.raises(HeirloomError, match=r"which alpha and beta of this study are\. Name"):
        parse_study(raw, root=tmp_path)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("gamma", "models.cub.base: 'gamma' is not in models."),
        ("cub", "models.cub.base: cub -> cub leads back to itself"),
        ("far", "models.cub.base: 'far' is a model behind an endpoint"),
    ],
)
def test_a_base_that_is_none(raw: dict[str, Any], tmp_path: Path, base: str, message: str) -> None:
    raw["models"]["far"] = {"endpoint": {"url": "http://127.0.0.1:1/v1", "model": "far"}}
    raw["models"]["cub"]["base"] = base
    with pytest.raises(HeirloomError, match=message):
        parse_study(raw, root=tmp_path)
