"""Metrics on full benchmark data, to compare with those of reference implementations.

SmolLM2-135M-Instruct in float32 on all of CrowS-Pairs, StereoSet (dev, intrasentence), SEAT and two
BBQ categories, and on the first 500 rows of HellaSwag (validation) and of OpenBookQA (test). The
data are the authors' own files, which are not part of this repository. Run from its folder (about
ten minutes on two cores):

    .venv/bin/python -m benchmarks.parity data
"""

import gzip
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.smollm2 import default_study, fetch_model
from heirloom import profiling
from heirloom.generate.model import load_model
from heirloom.generate.templates import PromptTemplate
from heirloom.support.files import Record

_PAIRS = {"pairs": "crows_pairs/crows_pairs_anonymized.csv"}
_BBQ = {"religion": "bbq/Religion.jsonl.gz", "orientation": "bbq/Sexual_orientation.jsonl.gz"}
_CALIBRATION = {
    "hellaswag": "hellaswag/hellaswag_val.jsonl.gz",
    "openbookqa": "openbookqa/Main/test.jsonl",
}
#: Benchmark, the options that name its data, other options, and the files by name.
RUNS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, str]]] = [
    ("crows_pairs", {"data": "pairs"}, {}, _PAIRS),
    ("crows_pairs", {"data": "pairs"}, {"score": "sum"}, _PAIRS),
    ("crows_pairs", {"data": "pairs"}, {"start_token": "separate"}, _PAIRS),
    ("stereoset", {"data": "dev"}, {}, {"dev": "stereoset/dev.json.gz"}),
    ("seat", {"data": "tests"}, {}, {"tests": "seat"}),
    ("bbq", {"data": list(_BBQ)}, {}, _BBQ),
    ("calibration", {name: name for name in _CALIBRATION}, {}, _CALIBRATION),
]
ROWS = 500


def main() -> None:
    """Print one table."""
    data = Path(sys.argv[1] if len(sys.argv) > 1 else "data")
    if not data.is_dir():
        sys.exit(f"There is no folder {data}: name the one that has the benchmarks' files.")
    _, folder = fetch_model(default_study())
    model = load_model(folder, name="smollm2", prompt_template=PromptTemplate(), dtype="float32")
    print("| benchmark | options | metric | value | 95 % interval | n | missing |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as work:
        for name, data_options, variant, files in RUNS:
            paths = {key: first_rows(data / file, Path(work)) for key, file in files.items()}
            benchmark = profiling.BENCHMARKS.get(name)
            task = profiling.Task(
                model=model,
                prompts=[],
                format="continuation",
                scorer=None,
                data=paths,
                seed=1,
                work=Path(work) / name,
            )
            records = benchmark.run(task, benchmark.options(**data_options, **variant))
            for metric, found in profiling.summarise(records, benchmark.metrics, seed=1).items():
                print(line(name, variant, metric, found), flush=True)


def first_rows(file: Path, work: Path) -> Path:
    """Path of the file; for HellaSwag and OpenBookQA, of a copy of its first rows."""
    if not {"hellaswag", "openbookqa"} & set(file.parts):
        return file
    content = file.read_bytes()
    text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode()
    short = work / f"{file.parent.name}.jsonl"
    short.write_text("\n".join(text.split("\n")[:ROWS]) + "\n")
    return short


def line(name: str, variant: dict[str, Any], metric: str, found: Record) -> str:
    """One line of the table."""
    value = "null" if found["value"] is None else f"{found['value']:.6f}"
    interval = "{:.4f} to {:.4f}".format(*found["interval"]) if found["interval"] else ""
    options = ", ".join(f"{key}: {choice}" for key, choice in variant.items())
    cells = [name, options, metric, value, interval, str(found["n"]), str(found["n_missing"])]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
