"""All candidates of a study in one table, for notebooks and the hub's viewer."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from heirloom.analyse.results import Results, load_results
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_jsonl

_FIRST = ("teacher", "prompts", "prompt_id", "prompt", "sample", "completion", "finish_reason")
_SCORE = "score."
_CHOSEN = "chosen_by"


def write_candidates(root: str | Path) -> None:
    """Write `candidates.parquet`: a row per candidate, with every score and who chose it.

    Columns: teacher, prompts (the prompt set), prompt, everything that `candidates.jsonl` has,
    `score.<metric>` for every metric of the study (null where a candidate has no score), and
    `chosen_by`, the training sets that hold it.

    Args:
        root: Folder of the study's results.

    Raises:
        HeirloomError: A file is missing, or the table cannot be written.
    """
    import pyarrow
    import pyarrow.parquet

    results = load_results(root)
    rows = _rows(results)
    scores = [f"{_SCORE}{metric}" for metric in results.plan.study.metrics]
    others = {key: None for row in rows for key in row if key not in (*scores, _CHOSEN)}
    names = list(dict.fromkeys([*_FIRST, *others, *scores, _CHOSEN]))
    types = {
        **dict.fromkeys(scores, pyarrow.float64()),
        _CHOSEN: pyarrow.list_(pyarrow.string()),
    }
    table = pyarrow.table(
        {n: pyarrow.array([row.get(n) for row in rows], type=types.get(n)) for n in names}
    )
    path = Path(results.paths.all_candidates())
    partial = path.with_name(f".{path.name}.partial")
    try:
        pyarrow.parquet.write_table(table, partial)
        partial.replace(path)
    except OSError as error:
        raise HeirloomError(f"{path} could not be written: {error}. Free some space.") from error


def _rows(results: Results) -> list[Record]:
    chosen: dict[tuple[str, str, str, int], list[str]] = defaultdict(list)
    for dataset, examples in results.training.items():
        prompts = results.plan.datasets[dataset].prompts
        for row in examples:
            chosen[row["teacher"], prompts, row["prompt_id"], row["sample"]].append(dataset)
    rows = []
    for (teacher, prompts), candidates in results.candidates.items():
        texts = results.prompts[prompts, "train"]
        scores = {m: _scores(results, teacher, prompts, m) for m in results.plan.study.metrics}
        for candidate in candidates:
            key = (candidate["prompt_id"], candidate["sample"])
            own: dict[str, Any] = {
                "teacher": teacher,
                "prompts": prompts,
                "prompt": texts[key[0]],
                **candidate,
                **{f"{_SCORE}{metric}": found.get(key) for metric, found in scores.items()},
                _CHOSEN: chosen[teacher, prompts, *key],
            }
            rows.append(own)
    return rows


def _scores(
    results: Results, teacher: str, prompts: str, metric: str
) -> dict[tuple[str, int], float | None]:
    path = Path(results.paths.scores(teacher, prompts, metric))
    if not path.exists():  # this pool was not scored by that metric
        return {}
    return {(row["prompt_id"], row["sample"]): row["score"] for row in read_jsonl(path)}
