"""The schema and the manual's tables say what the study file's classes say."""

from pathlib import Path

from heirloom.profiling import BENCHMARKS
from heirloom.study.manual import TABLES
from heirloom.study.schema import manual_text, schema_text

CONFIG = Path(__file__).parents[3] / "config"


def test_schema_is_up_to_date() -> None:
    assert (CONFIG / "schema.json").read_text() == schema_text(), "run `make docs`"


def test_manual_is_up_to_date() -> None:
    manual = (CONFIG / "README.md").read_text()
    assert manual == manual_text(manual), "run `make docs`"


def test_manual_explains_every_key() -> None:
    # One table for each section and of each benchmark; a key without a description
    # would show as None. A table of all benchmarks stands for the section `profiling`.
    manual = (CONFIG / "README.md").read_text()
    assert manual.count("<!-- keys:") == 19 + len(BENCHMARKS.names())
    for kind in TABLES:
        assert manual.count(f"<!-- {kind} -->") == 1
    assert "| None |" not in manual
    for key in ("training_prompts", "max_new_tokens", "measured_by", "lora_rank", "continuations"):
        assert f"| `{key}` |" in manual
