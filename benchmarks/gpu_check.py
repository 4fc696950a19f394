"""Check that everything runs on this machine's GPU: `make gpu-check`.

A tiny study in bfloat16: a teacher generates candidates, their log-likelihoods are computed, a
student is trained on the longest ones and loaded again. Each stage is checked and reports its
tokens/s and peak GPU memory. Only torch, transformers, peft and accelerate are needed. Without a
folder, a random model of a few million weights is made, which shows that things work, not how fast
they are. Run from the repository's folder:

    python -m benchmarks.gpu_check [--model FOLDER] [--device cuda]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from heirloom.support.errors import HeirloomError

PROMPTS = [
    f"{verb} {thing}."
    for verb in ("Describe", "Explain", "Compare", "Name uses of")
    for thing in ("rivers and lakes", "a bicycle", "the four seasons", "bread")
]
ANSWERS, MAX_NEW_TOKENS = 4, 48


def main() -> int:
    """Run all checks, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of a causal model, with its tokenizer")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
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
    print(f"{name}, torch {torch.__version__}, bfloat16\n")
    try:
        with tempfile.TemporaryDirectory() as work:
            check(options.model or random_model(Path(work) / "model"), Path(work))
    except HeirloomError as error:
        print(f"gpu-check failed: {error}", file=sys.stderr)
        return 1
    print("\nEverything ran, and agrees with itself.")
    return 0


def check(folder: Path, work: Path) -> None:
    """Run every stage, and check its results.

    Raises:
        HeirloomError: A check fails.
    """
    from heirloom.finetune.launch import Base, Folders, finetune
    from heirloom.finetune.settings import Finetune, Run
    from heirloom.generate.completions import generate
    from heirloom.generate.model import Engine, load_model, load_tokenizer
    from heirloom.generate.request import Prompt, Request, Sampling
    from heirloom.generate.templates import CHAT, PromptTemplate
    from heirloom.profiling.engines.likelihood import encode_option, score

    chat = bool(load_tokenizer(folder).chat_template)
    template = PromptTemplate(CHAT if chat else "### Question: {prompt}\n### Answer: ")
    load = partial(
        load_model, prompt_template=template, dtype="bfloat16", engine=Engine("transformers")
    )
    teacher = load(folder, name="teacher")
    print("| stage | tokens | tokens/s | peak GPU memory, MB |\n|---|---|---|---|")

    prompts = [Prompt(str(number), text) for number, text in enumerate(PROMPTS)]
    request = Request(ANSWERS, MAX_NEW_TOKENS, Sampling(1.0, 50), seed=1, batch_size=32)
    generate(teacher, prompts[:2], request, work=work / "first")  # compiles and allocates
    with stage("generation") as tokens:
        candidates = generate(teacher, prompts, request, work=work / "one")
        tokens.append(sum(row["n_tokens"] for row in candidates))
    require(len(candidates) == ANSWERS * len(PROMPTS), "candidates are missing")
    again = generate(teacher, prompts, request, work=work / "two")
    require(again == candidates, "the same seed generated other candidates")

    groups = [
        [
            encode_option(teacher, PROMPTS[int(row["prompt_id"])], " " + row["completion"])
            for row in candidates
            if row["prompt_id"] == prompt.id
        ]
        for prompt in prompts
    ]
    with stage("scoring") as tokens:
        shared = score(teacher, groups, work=work / "shared")
        tokens.append(sum(option.n_tokens for group in shared for option in group))
    apart = score(teacher, [[option] for group in groups for option in group], work=work / "apart")
    for mine, (other,) in zip((o for group in shared for o in group), apart, strict=True):
        # Rounding in bfloat16; a wrong mask is off by whole units per token.
        close = mine.n_tokens == 0 or abs(mine.total - other.total) < 0.2 * mine.n_tokens
        require(close, "log-likelihoods depend on what is scored together with a text")

    longest = [
        max((row for row in candidates if row["prompt_id"] == p.id), key=lambda r: r["n_tokens"])
        for p in prompts
    ]
    examples = [{**row, "prompt": PROMPTS[int(row["prompt_id"])]} for row in longest]
    settings = Finetune(epochs=4, learning_rate=2e-3, checkpoint_steps=4)
    run, folders = Run(settings, seed=1, dtype="bfloat16"), Folders(work / "work", work / "student")
    with stage("finetuning") as tokens:
        manifest = finetune(Base(folder, template), examples, "instruction", run, folders)
        tokens.append(int(settings.epochs * manifest["n_tokens"]))
    losses = manifest["losses"]
    half = len(losses) // 2
    require(sum(losses[half:]) < sum(losses[:half]), "the loss of the student did not fall")

    student = load(folder, name="student", adapter=work / "student")
    with stage("generation, student") as tokens:
        written = generate(student, prompts, request, work=work / "three")
        tokens.append(sum(row["n_tokens"] for row in written))
    require(written != candidates, "the student generates what its base does")


@contextmanager
def stage(name: str) -> Iterator[list[int]]:
    """Measure the block and print its figures; it puts its number of tokens into the list."""
    import torch

    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    tokens: list[int] = []
    start = time.perf_counter()
    yield tokens
    if cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    memory = f"{torch.cuda.max_memory_allocated() / 2**20:.0f}" if cuda else "none"
    print(f"| {name} | {sum(tokens)} | {sum(tokens) / seconds:.0f} | {memory} |", flush=True)


def require(condition: bool, otherwise: str) -> None:
    """Raise a HeirloomError with the message `otherwise` unless the condition holds."""
    if not condition:
        raise HeirloomError(otherwise)


def random_model(folder: Path) -> Path:
    """A llama of 3 million random weights, whose tokens are bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM

    special = ["<pad>", "<s>", "</s>"]
    words = special + sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, []))
    tokenizer.add_special_tokens(special)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.1,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
