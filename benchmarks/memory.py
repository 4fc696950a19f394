"""Peak memory of the stages before training, for 100 to 20,000 prompts.

Prompts and candidates are drawn here: prompts of 12 words, and for all stages but generation ten
candidates each of 40 words. Generation runs a random llama of 3 million weights, one completion of
8 tokens per prompt, so that what grows with the prompts is not hidden by the model. Each stage runs
in its own process, whose peak is printed. Run from the repository's folder:

    .venv/bin/python -m benchmarks.memory [STAGE ...]
"""

import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.gpu_agreement import random_model
from benchmarks.peak import own_peak
from heirloom.support.files import JsonLines, Record, read_jsonl, write_jsonl

SIZES = (100, 1000, 5000, 20000)
SAMPLES, SHARDS = 10, 4
_WORDS = Path("resources/prompts/instructions.jsonl").read_text(encoding="utf-8").split()


def main() -> None:
    """Print a table; with a stage and a folder, run that stage there and print its peak."""
    if len(sys.argv) == 3 and Path(sys.argv[2]).is_dir():
        STAGES[sys.argv[1]](Path(sys.argv[2]))
        print(own_peak())
        return
    print("| stage |", " | ".join(f"{size:,}" for size in SIZES), "|")
    print("|---" * (1 + len(SIZES)) + "|", flush=True)
    with tempfile.TemporaryDirectory() as work:
        for size in SIZES:
            write_inputs(Path(work) / str(size), size)
        for stage in sys.argv[1:] or STAGES:
            peaks = [peak(stage, Path(work) / str(size)) for size in SIZES]
            print("|", stage, "|", " | ".join(f"{mb:.0f}" for mb in peaks), "|", flush=True)


def peak(stage: str, folder: Path) -> float:
    """Return the peak memory in MB of a stage."""
    command = [sys.executable, "-m", "benchmarks.memory", stage, str(folder)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def write_inputs(folder: Path, size: int) -> None:
    """Write prompts, candidates in shards and together, their scores, and the model."""
    rng = random.Random(1)
    prompts = [
        {"id": f"p{n:05d}", "text": " ".join(rng.choices(_WORDS, k=12))} for n in range(size)
    ]
    write_jsonl(folder / "prompts.jsonl", prompts)
    for shard in range(SHARDS):
        own = prompts[shard::SHARDS]
        write_jsonl(folder / f"shard{shard}.jsonl", _candidates(own, rng))
    by_place = (r for s in range(SHARDS) for r in read_jsonl(folder / f"shard{s}.jsonl"))
    ordered = sorted(by_place, key=lambda r: (r["prompt_id"], r["sample"]))
    write_jsonl(folder / "candidates.jsonl", ordered)
    scores = (
        {"prompt_id": r["prompt_id"], "sample": r["sample"], "score": rng.random()} for r in ordered
    )
    write_jsonl(folder / "length.jsonl", scores)
    random_model(folder / "model")


def _candidates(prompts: list[Record], rng: random.Random) -> Iterator[Record]:
    for prompt in prompts:
        for sample in range(SAMPLES):
            yield {
                "prompt_id": prompt["id"],
                "sample": sample,
                "completion": " ".join(rng.choices(_WORDS, k=40)),
                "n_tokens": 60,
                "finish_reason": "stop",
            }


def run_generation(folder: Path) -> None:
    """Generate with the tiny model."""
    from heirloom.generate.completions import generate
    from heirloom.generate.model import Engine, load_model
    from heirloom.generate.request import Prompt, Request, Sampling
    from heirloom.generate.templates import PromptTemplate

    model = load_model(
        folder / "model",
        name="tiny",
        prompt_template=PromptTemplate("{prompt}"),
        dtype="float32",
        engine=Engine("transformers"),
    )
    request = Request(1, 8, Sampling(1.0, 50), seed=1, batch_size=80)
    prompts = [Prompt(**record) for record in read_jsonl(folder / "prompts.jsonl")]
    write_jsonl(folder / "out.jsonl", generate(model, prompts, request, work=folder / "work"))


def run_gather(folder: Path) -> None:
    """Put shards together."""
    from heirloom.generate.candidates import gather

    shards = [folder / f"shard{shard}.jsonl" for shard in range(SHARDS)]
    gather(shards, folder / "prompts.jsonl", folder / "out.jsonl")


def run_scoring(folder: Path) -> None:
    """Score all candidates by their length."""
    from heirloom.objectives.scoring import score_candidates

    rows = score_candidates(JsonLines(folder / "candidates.jsonl"), "length", {})
    write_jsonl(folder / "out.jsonl", rows)


def run_selection(folder: Path) -> None:
    """Select the longest candidate of each prompt."""
    from heirloom.select.training_set import TrainingSet, build_training_set, read_sources

    sources = read_sources(
        ["teacher"],
        prompts=folder / "prompts.jsonl",
        candidates=[folder / "candidates.jsonl"],
        scores=[folder / "length.jsonl"],
        kept=[],
    )
    dataset = {"id": "d", "selection": "best", "pool": "p", "prompts": "i", "objective": "length"}
    criteria = {"metric": "length", "direction": "maximise"}
    described = TrainingSet.read(dataset, criteria, truncated=False)
    rows, _ = build_training_set(described, sources, seed=1)
    write_jsonl(folder / "out.jsonl", rows)


STAGES: dict[str, Callable[[Path], None]] = {
    "gather": run_gather,
    "scoring": run_scoring,
    "selection": run_selection,
    "generation": run_generation,
}

if __name__ == "__main__":
    main()
