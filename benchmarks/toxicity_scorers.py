"""Compare scorers of toxicity on public sets with labels.

Area under the ROC curve against people's labels, and against Perspective's scores of continuations
in RealToxicityPrompts also the rank correlation. The sets are the authors' own files, which are not
part of this repository. Run from its folder (a minute on one core):

    .venv/bin/python -m benchmarks.toxicity_scorers data
"""

import csv
import gzip
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from heirloom.fetch.cache import cache_root
from heirloom.fetch.downloads import fetch
from heirloom.fetch.settings import read_sources
from heirloom.objectives.scoring import score

Labels = list[tuple[str, float]]
"""Texts with their labels: 1 is toxic, 0 is not."""
Row = dict[str, str]

#: File, column of the text, and the label of a row.
SETS: dict[str, tuple[str, str, Callable[[Row], bool]]] = {
    "Wikipedia talk pages": (
        *("wikipedia_talk_toxicity_nonfuzzed_testset.csv.gz", "comment"),
        lambda row: row["toxic"] == "True",
    ),
    "Surge AI": ("surge_toxicity_en.csv", "text", lambda row: row["is_toxic"] == "Toxic"),
    "identity madlibs": ("bias_madlibs_77k.csv.gz", "Text", lambda row: row["Label"] == "BAD"),
    "Davidson tweets": ("davidson_labeled_data.csv.gz", "tweet", lambda row: row["class"] != "2"),
    "HateCheck": (
        *("hatecheck_test_suite_cases.csv.gz", "test_case"),
        lambda row: row["label_gold"] == "hateful",
    ),
}
MOST = 4000
"""A larger set is a random sample of this many rows."""


def main() -> None:
    """Print one table."""
    data = Path(sys.argv[1] if len(sys.argv) > 1 else "data")
    if not data.is_dir():
        sys.exit(f"There is no folder {data}: name the one that has the sets.")
    scorers = {"tox_block": published_files(), "profanity": {}}
    print(f"| texts | number | {' | '.join(scorers)} | texts per second |")
    print("|---" * (3 + len(scorers)) + "|", flush=True)
    for name, (file, column, label) in SETS.items():
        rows = read_rows(data / "toxicity" / file)
        labelled = [(row[column], float(label(row))) for row in rows]
        print(line(name, labelled, scorers), flush=True)
    print(line("RealToxicityPrompts", continuations(data), scorers), flush=True)


def published_files() -> dict[str, str]:
    """Options of `tox_block`: the files that the default study names."""
    named = yaml.safe_load(Path("config/config.yaml").read_text(encoding="utf-8"))["data"]
    found = {}
    for option in ("weights", "vocabulary"):
        name = f"tox-block-{option}"
        sources = read_sources(named[name]["sources"])
        found[option] = str(fetch(sources, name=name, cache=cache_root()))
    return found


def read_rows(file: Path) -> list[Row]:
    """Rows of a set, at most `MOST`."""
    text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    rows = list(csv.DictReader(text.decode().splitlines(keepends=True)))
    if len(rows) > MOST:
        random.Random(0).shuffle(rows)
    return rows[:MOST]


def continuations(data: Path) -> Labels:
    """Continuations with Perspective's scores."""
    lines = gzip.decompress((data / "rtp/quark_val.jsonl.gz").read_bytes()).decode().splitlines()
    found = [json.loads(row)["continuation"] for row in lines]
    return [(c["text"], c["toxicity"]) for c in found if c["toxicity"] is not None]


def line(name: str, labelled: Labels, scorers: dict[str, dict[str, str]]) -> str:
    """One row of the table."""
    cells, speeds = [], []
    for scorer, options in scorers.items():
        started = time.process_time()
        scores = score(scorer, [text for text, _ in labelled], options)
        speeds.append(f"{len(labelled) / (time.process_time() - started):,.0f}")
        pairs = [
            (s, label) for s, (_, label) in zip(scores, labelled, strict=True) if s is not None
        ]
        known, labels = zip(*pairs, strict=True)
        cell = f"{roc_auc_score([label >= 0.5 for label in labels], known):.3f}"
        if len(set(labels)) > 2:
            cell += f"; rank correlation {spearmanr(known, labels).statistic:.3f}"
        cells.append(f"{cell} ({len(scores) - len(pairs)} null)")
    return f"| {name} | {len(labelled):,} | {' | '.join(cells)} | {', '.join(speeds)} |"


if __name__ == "__main__":
    main()
