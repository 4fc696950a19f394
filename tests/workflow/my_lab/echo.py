"""A back end: every completion repeats the end of its prompt."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from heirloom.generate.backends import Backend, backend
from heirloom.generate.model import LanguageModel, Weights
from heirloom.generate.request import Completion, Prompt, Request


@backend("echo")
class Echo(Backend):
    """The last words of the prompt, fewer for every further sample."""

    def require(self, weights: Weights) -> None:
        """Run everywhere."""

    def identity(self, model: LanguageModel) -> Mapping[str, str]:
        """Nothing but its name determines the completions."""
        return {"backend": "echo", "weights": "model"}

    def generate(
        self,
        model: LanguageModel,
        prompts: Sequence[Prompt],
        request: Request,
        *,
        work: Path,
        shard: int,
        shards: int,
    ) -> list[Completion]:
        """Complete prompts without a model."""
        return [
            Completion(prompt.id, sample, " ".join(words), len(words), "stop")
            for prompt in list(prompts)[shard::shards]
            for sample in range(request.samples)
            for words in [prompt.text.split()[-5 + sample :]]
        ]
