"""Speed of scoring answers and sentence pairs, against two peers, in one run.

SmolLM2-135M-Instruct on HellaSwag questions and CrowS-Pairs: heirloom, lm-evaluation-harness at the
best of its batch sizes, and one sequence at a time (logits at every position). All get the same
requests and threads; only scoring is timed. The harness is timed in heirloom's number format, and
in the checkpoint's own (bfloat16), which is what it takes unless told otherwise. Run from the
repository's folder:

    .venv/bin/python -m benchmarks.likelihood [examples]
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.peak import own_peak
from benchmarks.smollm2 import default_study, fetch_model
from heirloom.fetch.cache import cache_root
from heirloom.fetch.downloads import fetch
from heirloom.generate.model import LanguageModel, load_model
from heirloom.generate.templates import PromptTemplate
from heirloom.profiling.data.crows_pairs import read_pairs
from heirloom.profiling.data.multiple_choice import read_hellaswag
from heirloom.profiling.engines.likelihood import encode_option, encode_text, score
from heirloom.support.subset import draw

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

HARNESS_BATCHES = (1, 4, 16, 64)

# A group of (context, continuation), as the harness takes them.
Requests = list[list[tuple[str, str]]]


def main() -> None:
    """Print one table per data set, and the memory for a larger number of examples."""
    examples = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    study = default_study()
    _, folder = fetch_model(study)
    files = {
        name: fetch(study.data[name].sources, name=name, cache=cache_root())
        for name in ("hellaswag", "crows-pairs")
    }
    model = load_model(folder, name="smollm2", prompt_template=PromptTemplate())
    questions = draw(
        read_hellaswag(files["hellaswag"], text="harness"),
        examples,
        seed=1,
        id=lambda q: q.id,
        stratum=lambda q: str(q.gold),
        name="hellaswag",
    )
    pairs = draw(
        read_pairs(files["crows-pairs"]),
        4 * examples,
        seed=1,
        id=lambda p: p.id,
        stratum=lambda p: p.bias_type,
        name="crows-pairs",
    )
    sets: dict[str, Requests] = {
        "HellaSwag": [[(q.context, f" {o}") for o in q.options] for q in questions],
        "CrowS-Pairs": [[("", p.more), ("", p.less)] for p in pairs],
    }
    print(f"{model.network.dtype}, {torch.get_num_threads()} threads")
    from lm_eval.models.huggingface import HFLM

    peers = {
        "harness, same format": HFLM(pretrained=model.network, tokenizer=model.tokenizer),
        "harness, its default format": HFLM(pretrained=str(folder), device=str(model.device)),
    }
    for name, groups in sets.items():
        compare(name, model, groups, peers)
    before = own_peak() / 1000
    sequences = [
        [encode_option(model, q.context, f" {o}") for o in q.options]
        for q in read_hellaswag(files["hellaswag"], text="harness")[: 8 * examples]
    ]
    with tempfile.TemporaryDirectory() as work:
        score(model, sequences, work=Path(work) / "batches")
    print(
        f"\nPeak memory after {8 * examples} questions: {own_peak() / 1000:.2f} GB, "
        f"{before:.2f} before"
    )


def compare(name: str, model: LanguageModel, groups: Requests, peers: dict[str, "HFLM"]) -> None:
    """Time every way of scoring `groups` and print their ratios."""
    heirloom(model, groups[:4])  # the first pass of a process is slower
    times = [(timed(lambda: heirloom(model, groups)), "heirloom")]
    for label, peer in peers.items():
        times.append(
            min(
                (timed(lambda: harness(peer, groups, size)), f"{label}, batches of {size}")  # noqa: B023
                for size in HARNESS_BATCHES
            )
        )
    times.append((timed(lambda: one_at_a_time(model, groups)), "one sequence at a time"))
    own = times[0][0]
    print(f"\n{name}, {len(groups)} examples\n")
    print("| | seconds | examples/s | heirloom is faster by |\n|---|---|---|---|")
    for seconds, way in times:
        rate = len(groups) / seconds
        print(f"| {way} | {seconds:.1f} | {rate:.1f} | {seconds / own:.1f} |", flush=True)


def timed(run: Callable[[], None]) -> float:
    """Seconds of a run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def heirloom(model: LanguageModel, groups: Requests) -> None:
    """Score with shared prefixes computed once."""
    sequences = [
        [encode_option(model, c, o) if c else encode_text(model, o) for c, o in group]
        for group in groups
    ]
    with tempfile.TemporaryDirectory() as work:
        score(model, sequences, work=Path(work) / "batches")


def harness(peer: "HFLM", groups: Requests, batch_size: int) -> None:
    """Score as lm-evaluation-harness does, without its handling of tasks."""
    from lm_eval.api.instance import Instance

    peer.batch_size_per_gpu = batch_size
    requests = [pair for group in groups for pair in group]
    peer.loglikelihood(
        [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(requests)],
        disable_tqdm=True,
    )


@torch.inference_mode()
def one_at_a_time(model: LanguageModel, groups: Requests) -> None:
    """One forward pass per sequence, as the paper's toolkit does."""
    for context, option in (pair for group in groups for pair in group):
        sequence = encode_option(model, context, option) if context else encode_text(model, option)
        assert sequence is not None
        tokens = torch.tensor([sequence.tokens], device=model.device)
        scores = model.network(tokens).logits.float().log_softmax(-1)
        scores[0, :-1].gather(1, tokens[0, 1:, None])[sequence.start - 1 :].sum().item()


if __name__ == "__main__":
    main()
