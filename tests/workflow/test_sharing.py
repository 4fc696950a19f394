"""Studies with the same teachers, prompts and sampling generate once."""

from typing import Any

from workshop import Workshop

CANDIDATES = "generations/ant/instructions/candidates.jsonl"


def test_a_second_study_takes_the_candidates_of_the_first(workshop: Workshop) -> None:
    """Though it shares the work among another number of jobs; another seed generates anew."""

    def batches() -> dict[str, int]:
        found = workshop.cache.glob("generations/*/part-*.jsonl")
        return {str(path): path.stat().st_mtime_ns for path in found}

    def candidates(study: str, shards: int = 1) -> bytes:
        workshop.run(f"results/{study}/{CANDIDATES}", "--set-scatter", f"shards={shards}")
        return (workshop.folder / "results" / study / CANDIDATES).read_bytes()

    def other(study: dict[str, Any]) -> None:
        study["study"] = "other"
        study["objectives"] = {"length": study["objectives"]["length"]}
        study["finetune"]["seeds"] = [5]

    def another_seed(study: dict[str, Any]) -> None:
        study |= {"study": "third", "seed": 4}

    first = candidates("tiny")
    made = batches()
    assert len(made) == 3 and first  # three candidates of 11 prompts: 11 batches, four per part
    workshop.edit_study(other)
    assert candidates("other", shards=2) == first
    assert batches() == made  # read, not made again
    workshop.edit_study(another_seed)
    assert candidates("third") != first
    assert made.items() < batches().items()
