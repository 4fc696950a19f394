"""Speed and memory of generation as the number of prompts grows.

SmolLM2-135M-Instruct and one sample of at most 16 tokens per prompt, generated as in the default
study, for 100, 1,000 and 5,000 prompts, each in its own process. The prompts are our 640
instructions, repeated. The speed is in tokens per processor second, prompts included, without
loading and conversion; the memory is the peak of the process. Run from the repository's
folder:

    .venv/bin/python -m benchmarks.scale
"""

import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from benchmarks.peak import own_peak
from benchmarks.smollm2 import default_study, fetch_model
from heirloom.generate.completions import generate
from heirloom.generate.model import Engine, load_model
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.templates import PromptTemplate
from heirloom.prompts.read import read_prompts

SIZES = (100, 1000, 5000)
REQUEST = Request(1, 16, Sampling(1.0, 50), seed=17, batch_size=80)


def main() -> None:
    """Print a table; with a number, print the rate and the memory for that many prompts."""
    if len(sys.argv) > 1:
        print(*measure(int(sys.argv[1])))
        return
    print("| prompts | tokens/s | peak memory, MB |")
    print("|---|---|---|")
    for size in SIZES:
        command = [sys.executable, "-m", "benchmarks.scale", str(size)]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        rate, memory = printed.split()
        print(f"| {size:,} | {float(rate):.0f} | {float(memory):.0f} |", flush=True)


def measure(size: int) -> tuple[float, float]:
    """Tokens per processor second, and peak memory in MB, for this number of prompts."""
    study = default_study()
    _, folder = fetch_model(study)
    model = load_model(
        folder,
        name="smollm2",
        prompt_template=PromptTemplate(),
        dtype="float32",
        engine=Engine(weights=study.generate.weights),
    )
    rows = read_prompts("resources/prompts/instructions.jsonl", text="instruction", input="input")
    texts = islice(cycle(row["text"] for row in rows), size)
    prompts = [Prompt(str(number), text) for number, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as work:
        generate(model, prompts[:1], REQUEST, work=Path(work) / "first")  # converts the model
        start = time.process_time()
        records = generate(model, prompts, REQUEST, work=Path(work) / "parts")
        seconds = time.process_time() - start
    n_tokens = sum(len(model.encode_prompt(p.text, REQUEST.format)) for p in prompts)
    n_tokens += sum(record["n_tokens"] for record in records)
    return n_tokens / seconds, own_peak()


if __name__ == "__main__":
    main()
