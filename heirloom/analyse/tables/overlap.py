"""Overlap of every training set with the items of every benchmark."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from heirloom.analyse.frames import frame, text_of
from heirloom.analyse.overlap import WORDS, ItemRuns
from heirloom.analyse.results import Results, load_results
from heirloom.analyse.tables import table, write
from heirloom.fetch.notes import locate
from heirloom.profiling import BENCHMARKS, ItemSources
from heirloom.profiling.options import needs
from heirloom.study.plan import Plan, profiled_on
from heirloom.support.files import Record, read_jsonl


@dataclass(frozen=True)
class OverlapRow:
    """A row of the table: one training set and one benchmark."""

    dataset: str
    benchmark: str
    n_gram: int
    n_items: int
    n_short: int
    n_overlapping: int | None
    n_contained: int | None


def _trains(plan: Plan) -> bool:
    return bool(plan.datasets)


@table(
    "overlap",
    title="Overlap of training sets and benchmarks",
    text=text_of(OverlapRow),
    order=95,
    applies=_trains,
    apart=True,
)
def overlap(results: Results) -> pd.DataFrame:
    """Items of each benchmark that share a run of 8 words with a training set.

    Prompts and completions of the training set are looked at. The items are those that the models
    were profiled on, and are counted once however many models there are.
    """
    runs = ItemRuns(_items(results))
    rows = []
    for dataset in results.plan.datasets:
        found = runs.overlaps(_texts(results, dataset))
        for benchmark, one in found.items():
            counts = (one.n_items, one.n_short, one.n_overlapping, one.n_contained)
            rows.append(OverlapRow(dataset, benchmark, WORDS, *counts))
    return frame(rows, OverlapRow)


def write_overlap(root: str | Path) -> None:
    """Write the table of the study whose results are in `root`.

    Raises:
        HeirloomError: A result is missing or malformed.
    """
    results = load_results(root)
    write(overlap(results), results.paths.table("overlap"))


def _items(results: Results) -> dict[str, list[Sequence[str]]]:
    """Benchmark to the texts of the items that models were profiled on."""
    plan, paths = results.plan, results.paths
    model = profiled_on(plan)
    found = {}
    for name, options in plan.study.benchmarks.items():
        items = BENCHMARKS.get(name).items
        if items is None:
            continue
        named = needs(options)
        sources = ItemSources(
            read_jsonl(paths.prompts(named.prompts, "eval")) if named.prompts else [],
            {data: locate(paths.data_note(data)) for data in named.data},
            Path(paths.judge_pairs()) if named.pool else None,
        )
        texts: Mapping[str, Sequence[str]] = items(sources, options)
        drawn = {record["id"] for record in results.records[model][name]}
        found[name] = [own for id, own in texts.items() if id in drawn]
    return found


def _texts(results: Results, dataset: str) -> Iterator[str]:
    """Prompts and completions of a training set."""
    rows: list[Record] = read_jsonl(results.paths.dataset(dataset, "train.jsonl"))
    for row in rows:
        yield row["prompt"]
        yield row["completion"]
