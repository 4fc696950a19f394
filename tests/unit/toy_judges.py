"""The toy study with a judge: six pairs, two annotators; verdicts are f, s, t, or - for none."""

from pathlib import Path

import pytest
from toy_study import add_benchmark, build_study

from heirloom.profiling.data.preferences import Label, Pair
from heirloom.profiling.judge import measure
from heirloom.support.files import Record

NAMES: dict[str, Label] = {"f": "first", "s": "second", "t": "tie"}
LABELS = [("f", "f"), ("f", "f"), ("s", "s"), ("s", "s"), ("f", "s"), ()]
VERDICTS = {
    "alpha": "ffssff",
    "beta": "sfssfs",
    "alpha.passive-alpha.s1": "ffssss",
    "alpha.random-multi.s1": "ssfff-",
    "alpha.length-alpha.s1": "ssffss",
    "alpha.length-multi.s1": "ffsfff",
    "alpha.random-provoking-multi.s1": "ffssff",
    "alpha.toxicity-multi.s1": "tfssft",
}


def judged(model: str, *, labelled: bool) -> list[Record]:
    """Records of a judge, whose pairs have labels or none."""
    records: list[Record] = []
    for number, (verdict, labels) in enumerate(zip(VERDICTS[model], LABELS, strict=True)):
        odds = {"f": (1.0, 1.0), "s": (-1.0, -1.0), "t": (1.0, -1.0), "-": (None, 1.0)}[verdict]
        names = tuple(NAMES[label] for label in labels) if labelled else ()
        pair = Pair(f"toys/{number}", "toys", "Why?", "one", "two words", names)
        records.append(measure(pair, log_odds=odds))
    return records


@pytest.fixture(scope="session", params=[True, False], ids=["labelled", "unlabelled"])
def judged_study_folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A results folder with a judge that no test may change; its pairs have labels or none."""
    root = build_study(tmp_path_factory.mktemp("results") / "judged")
    add_benchmark(root, "judge", lambda model: judged(model, labelled=request.param))
    return root
