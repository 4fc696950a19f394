"""A benchmark: vowels in completions."""

from pydantic import Field

from heirloom.generate.completions import generate
from heirloom.generate.request import Request, Sampling
from heirloom.profiling import Metric, Options, PromptsName, Task, Tokens, benchmark


class VowelOptions(Options):
    """Options of the benchmark."""

    prompts: PromptsName = Field(..., description="Prompt set whose eval prompts are completed.")
    max_new_tokens: int = Field(8, ge=1, description="Most tokens of a completion.")

    @property
    def generates(self) -> bool:
        """True: it needs completions and nothing else."""
        return True


@benchmark(
    "vowels",
    label="Vowels",
    options=VowelOptions,
    metrics={"share": Metric("share of characters", label="Share of vowels")},
    cost=lambda options, prompts: Tokens(written=prompts * options.max_new_tokens),
)
def profile_vowels(task: Task, options: VowelOptions) -> list[dict[str, object]]:
    """Share of vowels in greedy completions."""
    request = Request(
        samples=1,
        max_new_tokens=options.max_new_tokens,
        sampling=Sampling(temperature=0.0),
        seed=task.seed,
        format=task.format,
    )
    records = generate(task.model, task.prompts, request, work=task.work)
    return [{"id": r["prompt_id"], "share": share(r["completion"])} for r in records]


def share(text: str) -> float | None:
    """Share of vowels; null for an empty text."""
    return sum(letter in "aeiou" for letter in text.lower()) / len(text) if text else None
