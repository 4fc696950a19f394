"""Study files: what is wrong with one is named by file, line and column."""

import sys
from pathlib import Path

import pytest
import yaml
import yte

from heirloom.study.file import read_study_file
from heirloom.study.parse import parse_study
from heirloom.support.errors import HeirloomError

ROOT = Path(__file__).resolve().parents[3]


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["config.yaml", "paper.yaml", "thorough.yaml"])
def test_shipped_studies_are_read_as_yaml_reads_them(name: str) -> None:
    path = ROOT / "config" / name
    assert read_study_file(path) == yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "study: a\nmetrics:\n  b: 1\ntitle: x\nmetrics:\n  c: 2\n",
            "line 5, column 1: the key 'metrics' is in line 2 already",
        ),
        ("study: a\nmetrics:\n  b: 1\n  b: 2\n", "line 4, column 3: the key 'b' is in line 3"),
        ("a: [{x: 1, y: 2, x: 3}]\n", "line 1, column 18: the key 'x' is in line 1"),
        ('{"study": "a", "title": {"b": 1, "b": 2}}', "the key 'b' is there twice"),
        ("study: a\ntitle: Parrots: a study\n", "line 2, column 15: .*belongs in quotes"),
        ("study: a\nmodels:\n\tb: 1\n", "line 3, column 1: .*There is a tab in this line"),
        ("study: a\ntitle: [x\n", "line 3, column 1: .*Check quotes, brackets"),
        ('study: a\ntitle: "x\n', "line 3, column 1: .*Check quotes"),
        ("study: a\ntitle: @x\n", "line 2, column 8: "),
        ("study: a\ntitle: \x01\n", "(special|control) characters are not allowed"),
        ("when: 2020-13-45\n", "month must be in 1..12"),
        ("- a\n", "a study file has keys at its top level"),
        ("", "a study file has keys at its top level"),
        ("a: " + "[" * 5_000 + "]" * 5_000, "nested too deeply"),
    ],
)
def test_the_place_of_an_error_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path / "mine.yaml", text)
    with pytest.raises(HeirloomError, match=rf"mine\.yaml.*{message}"):
        read_study_file(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(HeirloomError, match=r"gone\.yaml: No such file"):
        read_study_file(tmp_path / "gone.yaml")
    (tmp_path / "latin.yaml").write_bytes("title: café".encode("latin-1"))
    with pytest.raises(HeirloomError, match=r"latin\.yaml: the byte 0xe9 is not UTF-8"):
        read_study_file(tmp_path / "latin.yaml")


def test_merged_sections_and_json_with_tabs_are_no_errors(tmp_path: Path) -> None:
    text = "a: &a {x: 1}\nb:\n  <<: *a\n  x: 2\nc:\n  <<: *a\n"
    expected = {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 1}}
    assert read_study_file(written(tmp_path / "a.yaml", text)) == expected
    assert read_study_file(written(tmp_path / "a.json", '{\n\t"a": 1\n}')) == {"a": 1}


@pytest.mark.parametrize(
    "option", [["--configfile"], ["--configfiles"], ["-c", "1", "--configfile"]]
)
def test_the_profile_names_the_place_before_snakemake_reads_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    """Snakemake reads its profile first, as here, and leaves a call of exit alone."""
    monkeypatch.chdir(ROOT)
    profile = (ROOT / "profiles/default/config.yaml").read_text(encoding="utf-8")
    path = written(tmp_path / "mine.yaml", "title: a: b\n")
    monkeypatch.setattr(sys, "argv", ["snakemake", *option, str(path), "-n"])
    with pytest.raises(SystemExit, match=r"mine\.yaml, line 1, column 9"):
        yte.process_yaml(profile, require_use_yte=True)
    monkeypatch.setattr(sys, "argv", ["snakemake", f"--configfile={path}"])
    with pytest.raises(SystemExit, match=r"mine\.yaml, line 1, column 9"):
        yte.process_yaml(profile, require_use_yte=True)
    written(path, "title: b\n")
    assert yte.process_yaml(profile, require_use_yte=True)["keep-going"] is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metrics: {no: {function: length}}", "metrics.False: YAML reads this key as False"),
        ("models: {1: {}}", "models.1: YAML reads this key as 1"),
        ("2020-01-01: x", "2020-01-01: YAML reads this key as datetime.date"),
        ("prompts: {a: [{on: 1}]}", r"prompts.a\[0\].True: YAML reads this key as True"),
        ("title: no", r"title: .*valid string \(it is False\)"),
        ("title: 2020-01-01", r"title: .*valid string \(it is datetime.date"),
        ("seed: 1e-3", r"seed: .*integer.*\(it is '1e-3'\)"),
        ("bases: [{}]", r"bases\[0\]: .*valid string"),
        ("teachers: [[x]]", r"teachers\[0\]: .*valid string"),
        ("publish: no", "publish: "),
    ],
)
def test_what_yaml_takes_for_something_else_is_named_by_its_key(text: str, message: str) -> None:
    with pytest.raises(HeirloomError, match=message):
        parse_study(yaml.safe_load(text), root=ROOT)
