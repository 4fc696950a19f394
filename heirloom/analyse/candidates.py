"""All candidates of a study in one table, for notebooks and the hub's viewer."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, get_args, get_type_hints

from heirloom.analyse.results import Pool, Results, load_results
from heirloom.generate.request import Completion
from heirloom.support.errors import HeirloomError
from heirloom.support.files import JsonLines, Record

_FIRST = ("teacher", "prompts", "prompt_id", "prompt", "sample", "completion", "finish_reason")
_SCORE = "score."
_CHOSEN = "chosen_by"
_ROWS = 10_000  # in memory at a time, and in a row group of the file


def write_candidates(root: str | Path, *, rows: int = _ROWS) -> None:
    """Write `candidates.parquet`: a row per candidate, with every score and who chose it.

    Columns: teacher, prompts (the prompt set), prompt, the fields of `Completion`,
    `score.<metric>` for every metric of the study (null where a candidate has no score), and
    `chosen_by`, the training sets that hold it. A column has its type even where every value is
    null, so that the tables of several studies can be put together.

    Candidates are read and written one batch after another. Memory holds the prompts, the scores of
    one pool, and the names of the training sets.

    Args:
        root: Folder of the study's results.
        rows: Number of candidates per batch.

    Raises:
        HeirloomError: A file is missing, the files do not belong together, or the table cannot be
            written.
    """
    import pyarrow
    import pyarrow.parquet

    results = load_results(root)
    schema = _schema(results)
    path = Path(results.paths.all_candidates())
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with pyarrow.parquet.ParquetWriter(partial, schema) as writer:
            for batch in _batches(_rows(results), rows):
                writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))
        partial.replace(path)
    except OSError as error:
        raise HeirloomError(f"{path} could not be written: {error}. Free some space.") from error
    finally:
        with suppress(OSError):  # on a read-only file system it was never made
            partial.unlink(missing_ok=True)


def _schema(results: Results) -> Any:
    import pyarrow

    kinds = {str: pyarrow.string(), int: pyarrow.int64()}
    fields = {
        name: next(kinds[kind] for kind in (hint, *get_args(hint)) if kind in kinds)
        for name, hint in get_type_hints(Completion).items()
    }
    types = {
        **{name: fields.get(name, kinds[str]) for name in _FIRST},
        **fields,
        **{f"{_SCORE}{metric}": pyarrow.float64() for metric in results.plan.study.metrics},
        _CHOSEN: pyarrow.list_(kinds[str]),
    }
    return pyarrow.schema(list(types.items()))


def _batches(rows: Iterable[Record], size: int) -> Iterator[list[Record]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, size)):
        yield batch


class _Places:
    """The place of each candidate among all that a teacher has for a prompt set."""

    def __init__(self, prompts: Iterable[str], samples: int) -> None:
        self._first = {prompt: n * samples for n, prompt in enumerate(prompts)}
        self._samples = samples

    def __len__(self) -> int:
        return len(self._first) * self._samples

    def of(self, row: Record, file: str) -> int:
        """Return the place of the candidate that a row of a file is about."""
        prompt: str = row["prompt_id"]
        sample: int = row["sample"]
        if prompt not in self._first or sample not in range(self._samples):
            raise HeirloomError(
                f"{file} has prompt {prompt!r}, sample {sample}, which the study has not. The file "
                "comes from other prompts: delete it and run again."
            )
        return self._first[prompt] + sample


def _rows(results: Results) -> Iterator[Record]:
    samples = results.plan.study.generate.k
    places = {
        prompts: _Places(results.prompts[prompts, "train"], samples)
        for _, prompts in results.plan.pools
    }
    chosen = _chosen(results, places)
    for teacher, prompts in results.plan.pools:
        file = results.paths.candidates(teacher, prompts)
        texts = results.prompts[prompts, "train"]
        scores = {
            f"{_SCORE}{metric}": _scores(
                results.paths.scores(teacher, prompts, metric), places[prompts]
            )
            for metric in results.plan.study.metrics
        }
        for candidate in JsonLines(file):
            place = places[prompts].of(candidate, file)
            yield {
                "teacher": teacher,
                "prompts": prompts,
                "prompt": texts[candidate["prompt_id"]],
                **candidate,
                **{column: values[place] for column, values in scores.items()},
                _CHOSEN: chosen[teacher, prompts].get(place, []),
            }


def _chosen(
    results: Results, places: Mapping[str, _Places]
) -> Mapping[Pool, Mapping[int, list[str]]]:
    """Return, for every pool, the training sets that hold the candidate at each place."""
    chosen: dict[Pool, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, dataset in results.plan.datasets.items():
        file = results.paths.dataset(name, "train.jsonl")
        for row in JsonLines(file):
            place = places[dataset.prompts].of(row, file)
            chosen[row["teacher"], dataset.prompts][place].append(name)
    return chosen


def _scores(file: str, places: _Places) -> list[float | None]:
    """Return the score at each place; all None if the pool was not scored by that metric."""
    scores: list[float | None] = [None] * len(places)
    if Path(file).exists():
        for row in JsonLines(file):
            scores[places.of(row, file)] = row["score"]
    return scores
