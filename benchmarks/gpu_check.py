"""Check and measure this machine's GPU in 8 minutes: `make gpu-check SIZE=7b`.

Needs torch, transformers, peft and accelerate alone; nothing is downloaded. A tiny study is checked
against itself first. Then a model of Llama 2 7B's shape, of random bfloat16 weights made here,
generates 64 x 10 completions of 256 tokens (heirloom, `generate` of transformers, its continuous
batching), scores 200 questions of HellaSwag's shape (heirloom, plain batches), and is trained with
LoRA on 192 examples of 320 tokens (heirloom with and without gradient checkpointing, and where they
are installed TRL and 4 bits). A tiny study runs through Snakemake where that is installed. Each
section is a process of its own that is ended when its time is over, so that the end always comes,
with a table and the same as JSON. MFU (model FLOPs utilisation; Chowdhery et al., 2022, arXiv
2204.02311) is the work's least number of operations, 2 per weight and token forward and 4 for
LoRA, per second, as a share of the rate of bfloat16 products measured in the same run. Run from the
repository's folder:

    python -m benchmarks.gpu_check [--size tiny|7b] [--device cuda|cpu] [--model FOLDER]
                                   [--limit SECONDS]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gpu_process import apart
from benchmarks.gpu_sections import SECTIONS, SHAPES, Section, agrees, made, present
from heirloom.support.files import Record

LIMIT = 460  # seconds for all sections
MAKING = 120.0  # seconds for writing the model


def main() -> int:
    """Measure, print a table and JSON, and return the exit status: 1 if a section failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=sorted(SHAPES), default="tiny")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument(
        "--limit", type=int, default=LIMIT, help="seconds for all sections, by default %(default)s"
    )
    parser.add_argument("--model", type=Path, help="measure this model, with its tokenizer")
    options = parser.parse_args()
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch looks

    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        print(
            f"gpu-check: torch {torch.__version__} finds no CUDA device. DEVICE=cpu runs the same "
            "checks on the processor.",
            file=sys.stderr,
        )
        return 1
    name = torch.cuda.get_device_name() if options.device == "cuda" else "the processor"
    print(f"{name}, torch {torch.__version__}, bfloat16, shape {options.size}\n", flush=True)
    with tempfile.TemporaryDirectory() as work:
        results = measure(options, Path(work))
    failed = [name for name, found in results.items() if "failed" in found]
    kept = {name: {k: v for k, v in r.items() if k != "totals"} for name, r in results.items()}
    about = {"device": name, "torch": torch.__version__, "size": options.size}
    print("\n" + json.dumps({**about, "sections": kept}))
    for section in failed:
        print(f"gpu-check: {section} failed: {results[section]['failed']}", file=sys.stderr)
    return 1 if failed else 0


def measure(options: argparse.Namespace, work: Path) -> dict[str, Record]:
    """Run all sections, printing each one's row, and return what each found."""
    end = time.monotonic() + options.limit
    model: Path | None = options.model
    results: dict[str, Record] = {}
    folder = model or work / "model"
    making = made if model is None else present
    steps = {"agreement": (agrees, MAKING), "making the model": (making, MAKING), **SECTIONS}
    print("| section | tokens | seconds | tokens/s | MFU | peak memory, MB |")
    print("|---|---|---|---|---|---|", flush=True)
    for number, (name, (function, longest)) in enumerate(steps.items()):
        own = work / str(number)
        own.mkdir()
        section = Section(folder, own, SHAPES[options.size], options.device)
        found = apart(
            function, section, min(longest * options.limit / LIMIT, end - time.monotonic())
        )
        results[name] = found
        print(_line(name, found, results.get("bfloat16 products", {})), flush=True)
        if name == "making the model" and "failed" in found:
            break
    _compare_totals(results)
    return results


def _compare_totals(results: dict[str, Record]) -> None:
    """Set beside each other the log-likelihoods of one question by both ways of scoring."""
    ours, plain = (
        results.get(name, {}).get("totals")
        for name in ("scoring, heirloom", "scoring, plain batches")
    )
    if ours and plain:
        pairs = [
            (a, b) for x, y in zip(ours, plain, strict=True) for a, b in zip(x, y, strict=True)
        ]
        results["scoring, heirloom"]["largest_difference"] = max(abs(a - b) for a, b in pairs)


def _line(name: str, found: Record, rate: Record) -> str:
    """One row of the table."""
    if "failed" in found or "skipped" in found:
        return f"| {name} | {found.get('failed') or found['skipped']} | | | | |"
    seconds, tokens = found.get("seconds"), found.get("tokens")
    cells = [name, f"{tokens:,}" if tokens else "", f"{seconds:.1f}" if seconds else ""]
    cells.append(f"{tokens / seconds:,.0f}" if tokens and seconds else "")
    share = ""
    if "flops" in found and seconds:
        own = found["flops"] / seconds
        if "tokens" not in found:
            share = f"{own / 1e12:.3g} TFLOP/s"
        elif "flops" in rate:
            share = f"{100 * own * rate['seconds'] / rate['flops']:.1f} %"
    cells += [share, f"{found['peak_mb']:,}" if "peak_mb" in found else ""]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
