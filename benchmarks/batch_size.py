"""Number of candidates that change with the batch size, only by rounding.

The same 16 prompts x 5 samples of at most 128 tokens from SmolLM2-135M-Instruct, generated with
several batch sizes in bfloat16 and in float32. Run from the repository's folder:

    .venv/bin/python -m benchmarks.batch_size
"""

import tempfile
from pathlib import Path

from benchmarks.smollm2 import default_study, fetch_model, sample_prompts
from heirloom.generate.completions import generate
from heirloom.generate.model import load_model
from heirloom.generate.request import Request, Sampling
from heirloom.generate.templates import PromptTemplate

BATCH_SIZES = (80, 20)


def main() -> None:
    """Print a table."""
    study = default_study()
    _, folder = fetch_model(study)
    prompts = sample_prompts(study)
    print("| dtype | batch sizes | candidates that differ |\n|---|---|---|")
    for dtype in ("bfloat16", "float32"):
        model = load_model(folder, name="smollm2", prompt_template=PromptTemplate(), dtype=dtype)
        texts = {}
        for size in BATCH_SIZES:
            request = Request(5, 128, Sampling(1.0, 50), study.seed, batch_size=size)
            with tempfile.TemporaryDirectory() as work:
                made = generate(model, prompts, request, work=Path(work) / "batches")
            texts[size] = [record["completion"] for record in made]
        for size in BATCH_SIZES[1:]:
            pairs = zip(texts[BATCH_SIZES[0]], texts[size], strict=True)
            n = sum(one != other for one, other in pairs)
            print(f"| {dtype} | {BATCH_SIZES[0]}, {size} | {n} of {len(texts[size])} |", flush=True)


if __name__ == "__main__":
    main()
