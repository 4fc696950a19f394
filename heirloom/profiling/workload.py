"""Work of profiling one model with all benchmarks of a study."""

from collections.abc import Iterable, Mapping

from heirloom.profiling import BENCHMARKS
from heirloom.profiling.cost import Tokens
from heirloom.profiling.options import Options, needs


def profile_tokens(options: Mapping[str, Options], eval_prompts: Mapping[str, int]) -> Tokens:
    """Return the tokens that the benchmarks have one model read and generate.

    Args:
        options: Benchmark to its validated options; only those that the study runs.
        eval_prompts: Prompt set to its number of eval prompts.
    """
    total = Tokens()
    for name, chosen in options.items():
        cost = BENCHMARKS.get(name).cost
        prompts = needs(chosen).prompts
        if cost is not None:
            total += cost(chosen, eval_prompts[prompts] if prompts else 0)
    return total


def without_cost(benchmarks: Iterable[str]) -> list[str]:
    """Those of the benchmarks that state no cost, and count 0 in `profile_tokens`."""
    return [name for name in benchmarks if BENCHMARKS.get(name).cost is None]
