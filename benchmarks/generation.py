"""Speed of generation against two peers, in one run.

SmolLM2-135M-Instruct, 16 prompts x 5 samples of at most 64 tokens: heirloom with each back end, and
`generate` of transformers at the best of its batch sizes. Where openvino-genai is installed, its
own pipeline on the checkpoint's GGUF file as well, which generates with its 4-bit weights. All get
the same threads and alternate; times are processor seconds, without loading and conversion,
the best of two. The last columns are what the tokens' products with the weights would take at the
measured rates of float32 and bfloat16 matrix products, as a share of the time taken; prompts and
attention are not counted. Run from the repository's folder:

    .venv/bin/python -m benchmarks.generation
"""

import importlib.util
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch

from benchmarks.smollm2 import default_study, fetch_model, sample_prompts
from heirloom.generate.completions import generate
from heirloom.generate.model import Engine, LanguageModel, Weights, load_model
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.templates import PromptTemplate

REQUEST = Request(5, 64, Sampling(1.0, 50), seed=17, batch_size=80)
PEER_BATCHES = (16, 80)
ROUNDS = 2


def main() -> None:
    """Print a table."""
    study = default_study()
    source, folder = fetch_model(study)
    prompts = sample_prompts(study)

    def load(engine: Engine) -> LanguageModel:
        return load_model(
            folder,
            name="smollm2",
            prompt_template=PromptTemplate(),
            dtype="float32",
            engine=engine,
        )

    model = load(Engine("transformers"))
    flops = 2 * sum(
        layer.weight.numel()
        for layer in model.network.modules()
        if isinstance(layer, torch.nn.Linear)
    )
    ceilings = [product_rate(80), product_rate(80, torch.bfloat16)]
    print(
        f"{torch.get_num_threads()} threads, {flops / 1e6:.0f} MFLOP per token; "
        f"products of 80 rows: {ceilings[0] / 1e9:.0f} GFLOP/s in float32, "
        f"{ceilings[1] / 1e9:.0f} in bfloat16\n"
    )
    contestants: dict[str, Callable[[], float]] = {
        f"transformers' generate, batches of {size}": partial(peer, model, prompts, size)
        for size in PEER_BATCHES
    }
    contestants["heirloom, transformers"] = partial(heirloom, model, prompts)
    for weights in get_args(Weights):
        converted = load(Engine("openvino", weights))
        name = f"heirloom, OpenVINO, weights: {weights}"
        contestants[name] = partial(heirloom, converted, prompts)
    if importlib.util.find_spec("openvino_genai"):
        contestants["OpenVINO GenAI, 4-bit weights"] = partial(genai, model, source, prompts)
    else:
        print("OpenVINO GenAI is left out: openvino-genai is not installed\n")
    results = dict.fromkeys(contestants, 0.0)
    for _ in range(ROUNDS):
        for name, rate in contestants.items():
            results[name] = max(results[name], rate())

    best = max(rate for name, rate in results.items() if name.startswith("transformers'"))
    print("| implementation | tokens/s | times transformers' best | of float32 | of bfloat16 |")
    print("|---|---|---|---|---|")
    for name, found in results.items():
        shares = " | ".join(f"{100 * found * flops / ceiling:.0f} %" for ceiling in ceilings)
        print(f"| {name} | {found:.0f} | {found / best:.2f} | {shares} |")


def product_rate(rows: int, dtype: torch.dtype = torch.float32) -> float:
    """Floating-point operations per second in products of `rows` tokens with a layer's weights."""
    tokens, weights = torch.rand(rows, 576, dtype=dtype), torch.rand(576, 1536, dtype=dtype)
    best = min(timed(lambda: [tokens @ weights for _ in range(100)]) for _ in range(10))
    return 100 * 2 * rows * weights.numel() / best


def heirloom(model: LanguageModel, prompts: list[Prompt]) -> float:
    """Return tokens per processor second."""
    made = []

    def run(some: list[Prompt], request: Request) -> None:
        with tempfile.TemporaryDirectory() as work:
            made[:] = generate(model, some, request, work=Path(work) / "batches")

    run(prompts[:2], Request(5, 4, Sampling(), seed=0))  # the first batch of a process is slower
    seconds = timed(lambda: run(prompts, REQUEST))
    return float(sum(record["n_tokens"] for record in made)) / seconds


def peer(model: LanguageModel, prompts: list[Prompt], size: int) -> float:
    """Return tokens per processor second of transformers' own loop, up to the end of each text."""
    ids = sorted((model.encode_prompt(p.text, "instruction") for p in prompts), key=len)
    ids = [tokens for tokens in ids for _ in range(REQUEST.samples)]
    n_tokens = 0

    def run() -> None:
        nonlocal n_tokens
        for start in range(0, len(ids), size):
            inputs = model.tokenizer.pad(
                {"input_ids": ids[start : start + size]}, return_tensors="pt"
            )
            output = model.network.generate(
                **inputs,
                do_sample=True,
                top_k=REQUEST.sampling.top_k,
                max_new_tokens=REQUEST.max_new_tokens,
                pad_token_id=model.tokenizer.pad_token_id,
            )
            for row in output[:, inputs.input_ids.shape[1] :].tolist():
                ends = [i for i, token in enumerate(row) if token in model.end_tokens]
                n_tokens += min([i + 1 for i in ends], default=len(row))

    torch.manual_seed(REQUEST.seed)
    seconds = timed(run)
    return n_tokens / seconds


def genai(model: LanguageModel, file: Path, prompts: list[Prompt]) -> float:
    """Tokens per processor second of OpenVINO GenAI with continuous batching."""
    import openvino_genai

    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size, scheduler.max_num_seqs = 2, REQUEST.batch_size
    (gguf,) = [file] if file.is_file() else file.glob("*.gguf")
    pipeline = openvino_genai.LLMPipeline(
        str(gguf),
        "CPU",
        scheduler_config=scheduler,
        INFERENCE_NUM_THREADS=torch.get_num_threads(),
        ENABLE_CPU_PINNING=False,
    )
    config = openvino_genai.GenerationConfig()
    config.apply_chat_template, config.do_sample = False, True
    config.top_k, config.max_new_tokens = REQUEST.sampling.top_k, 4
    texts = [model.tokenizer.decode(model.encode_prompt(p.text, "instruction")) for p in prompts]
    pipeline.generate(texts[:2], config)
    config.max_new_tokens, config.num_return_sequences = REQUEST.max_new_tokens, REQUEST.samples
    results: list[Any] = []
    seconds = timed(lambda: results.append(pipeline.generate(texts, config)))
    return float(results[0].perf_metrics.get_num_generated_tokens()) / seconds


def timed(run: Callable[[], object]) -> float:
    """Processor seconds of all threads, which other work on the machine disturbs least."""
    start = time.process_time()
    run()
    return time.process_time() - start


if __name__ == "__main__":
    main()
