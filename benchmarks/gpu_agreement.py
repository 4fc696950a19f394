"""Check that a machine computes what it should: part of `make gpu-check`."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from heirloom.support.errors import HeirloomError

PROMPTS = [
    f"{verb} {thing}."
    for verb in ("Describe", "Explain", "Compare", "Name uses of")
    for thing in ("rivers and lakes", "a bicycle", "the four seasons", "bread")
]
ANSWERS, MAX_NEW_TOKENS = 4, 48


def check(folder: Path, work: Path) -> None:
    """Run every stage of a tiny study in bfloat16, and check its results.

    A teacher generates candidates, their log-likelihoods are computed, a student is trained on the
    longest ones and loaded again.

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

    prompts = [Prompt(str(number), text) for number, text in enumerate(PROMPTS)]
    request = Request(ANSWERS, MAX_NEW_TOKENS, Sampling(1.0, 50), seed=1, batch_size=32)
    candidates = generate(teacher, prompts, request, work=work / "one")
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
    shared = score(teacher, groups, work=work / "shared")
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
    manifest = finetune(Base(folder, template), examples, "instruction", run, folders)
    losses = manifest["losses"]
    half = len(losses) // 2
    require(sum(losses[half:]) < sum(losses[:half]), "the loss of the student did not fall")

    student = load(folder, name="student", adapter=work / "student")
    written = generate(student, prompts, request, work=work / "three")
    require(written != candidates, "the student generates what its base does")


def require(condition: bool, otherwise: str) -> None:
    """Raise a HeirloomError with the message `otherwise` unless the condition holds."""
    if not condition:
        raise HeirloomError(otherwise)


def random_model(folder: Path, *, device: str = "cpu", **config: Any) -> Path:
    """Write a llama of random bfloat16 weights, whose tokens are bytes, and return its folder.

    Args:
        folder: Folder to make.
        device: Where the weights are drawn.
        config: Arguments of `LlamaConfig`; by default 3 million weights.
    """
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
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    small = {
        "vocab_size": len(words),
        "hidden_size": 256,
        "intermediate_size": 688,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "initializer_range": 0.1,
    }
    with torch.device(device):
        model = LlamaForCausalLM._from_config(
            LlamaConfig(**(config or small), **ids), dtype=torch.bfloat16
        )
    model.save_pretrained(folder)
    return folder
