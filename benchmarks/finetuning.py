"""Speed of finetuning against TRL, in one run.

SmolLM2-135M-Instruct is trained on 40 of its own answers, of at most 128 tokens, by the recipe of
the default study (LoRA of rank 16 on every linear layer, one epoch in steps of 2, loss on the
completion), from the same token ids: with heirloom and, where trl is installed, with its
SFTTrainer, whose default is gradient checkpointing, which trades time for memory; it is measured
with and without. Implementations alternate; times are processor seconds of training, without
loading, the best of two. Held-out loss is that of each adapter on 12 other answers. The last column
is the minimum time for products with the weights, at the measured rate of float32 products, as a
share of the time taken. Run from the repository's folder:

    .venv/bin/python -m benchmarks.finetuning
"""

import importlib.util
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, set_seed

from benchmarks.generation import product_rate, timed
from benchmarks.smollm2 import default_study, fetch_model
from heirloom.finetune.examples import encode_example
from heirloom.finetune.packing import IGNORED, Row
from heirloom.finetune.settings import Run
from heirloom.finetune.trainer import Job, make_trainer
from heirloom.generate.completions import generate
from heirloom.generate.model import load_model
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.templates import PromptTemplate
from heirloom.prompts.read import read_prompts
from heirloom.prompts.split import split_prompts
from heirloom.study.config import Study

TRAIN, HELD_OUT = 40, 12
ROUNDS = 2


@dataclass(frozen=True)
class Result:
    """Processor seconds, mean loss in training, and loss on held-out answers."""

    seconds: float
    loss: float
    held_out: float


def main() -> None:
    """Print a table."""
    study = default_study()
    _, folder = fetch_model(study)
    rows = write_examples(study, folder)
    train, held_out = rows[:TRAIN], rows[TRAIN:]
    recipe = Run(study.finetuning, seed=1, dtype="float32")

    contestants: dict[str, Callable[[Path], Result]] = {
        "heirloom": partial(heirloom, folder, train, held_out, recipe)
    }
    if importlib.util.find_spec("trl"):
        for name, checkpointing in (("TRL, its defaults", True), ("TRL, no checkpoints", False)):
            contestants[name] = partial(trl, folder, train, held_out, recipe, checkpointing)
    else:
        print("TRL is left out: trl is not installed (it is in requirements-dev.lock)\n")
    results: dict[str, Result] = {}
    for _ in range(ROUNDS):
        for name, train_once in contestants.items():
            with tempfile.TemporaryDirectory() as work:
                result = train_once(Path(work))
            results[name] = min(results.get(name, result), result, key=lambda r: r.seconds)

    tokens = sum(len(row["input_ids"]) for row in train)
    learnt = sum(label != IGNORED for row in train for label in row["labels"])
    least = least_flops(folder, tokens, learnt) / product_rate(350)
    print(f"{torch.get_num_threads()} threads, {tokens} tokens, {learnt} of them with loss\n")
    print("| implementation | seconds | tokens/s | loss | held-out loss | times | share |")
    print("|---|---|---|---|---|---|---|")
    for name, result in results.items():
        print(
            f"| {name} | {result.seconds:.1f} | {tokens / result.seconds:.0f} | {result.loss:.3f} "
            f"| {result.held_out:.3f} | {result.seconds / results['heirloom'].seconds:.2f} "
            f"| {100 * least / result.seconds:.0f} % |"
        )


def write_examples(study: Study, folder: Path) -> list[Row]:
    """Our instructions with the model's own answers, as token ids."""
    prompts = read_prompts(
        "resources/prompts/instructions.jsonl", text="instruction", input="input"
    )
    chosen, _ = split_prompts(
        prompts, train=TRAIN + HELD_OUT, eval=1, seed=study.seed, name="instructions"
    )
    model = load_model(folder, name="smollm2", prompt_template=PromptTemplate(), dtype="float32")
    request = Request(1, 128, Sampling(1.0, 50), seed=study.seed, batch_size=80)
    with tempfile.TemporaryDirectory() as work:
        answers = generate(
            model, [Prompt(**row) for row in chosen], request, work=Path(work) / "batches"
        )
    return [
        encode_example(
            model.tokenizer,
            model.prompt_template,
            {**answer, "prompt": prompt["text"]},
            "instruction",
        )
        for prompt, answer in zip(chosen, answers, strict=True)
    ]


def heirloom(
    folder: Path, train: list[Row], held_out: list[Row], recipe: Run, work: Path
) -> Result:
    """Train with the library."""
    return run(make_trainer(Job(str(folder), train, recipe), work), folder, held_out, work)


def trl(
    folder: Path,
    train: list[Row],
    held_out: list[Row],
    recipe: Run,
    checkpointing: bool,
    work: Path,
) -> Result:
    """Train with TRL's SFTTrainer, on the same ids, with loss on the same tokens."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    data = [
        {
            "input_ids": row["input_ids"],
            "completion_mask": [int(label != IGNORED) for label in row["labels"]],
        }
        for row in train
    ]
    settings = recipe.settings
    set_seed(recipe.seed)
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True),
        args=SFTConfig(
            output_dir=str(work),
            seed=recipe.seed,
            num_train_epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="linear",
            per_device_train_batch_size=settings.batch_size,
            max_length=settings.max_length,
            completion_only_loss=True,
            gradient_checkpointing=checkpointing,
            bf16=False,  # slower, where `dtype: auto` takes float32
            use_cpu=True,
            dataloader_pin_memory=False,
            logging_steps=1,
            save_steps=settings.checkpoint_steps,
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(data),
        processing_class=AutoTokenizer.from_pretrained(folder),
        peft_config=LoraConfig(
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )
    return run(trainer, folder, held_out, work)


def run(trainer: Any, folder: Path, held_out: list[Row], work: Path) -> Result:
    """Train, and measure."""
    seconds = timed(trainer.train)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    trainer.save_model(str(work / "adapter"))
    loss = held_out_loss(folder, work / "adapter", held_out)
    return Result(seconds, sum(losses) / len(losses), loss)


def held_out_loss(folder: Path, adapter: Path, rows: list[Row]) -> float:
    """Mean over the tokens with loss, computed by the model itself."""
    from peft import PeftModel

    network = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True
    )
    student = PeftModel.from_pretrained(network, adapter).eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for row in rows:
            n = sum(label != IGNORED for label in row["labels"])
            batch = {key: torch.tensor([ids]) for key, ids in row.items()}
            total += n * student(**batch).loss.item()
            count += n
    return total / count


def least_flops(folder: Path, tokens: int, learnt: int) -> float:
    """Operations of products with weights, forward and back; of the head where there is loss."""
    network = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    head = network.get_output_embeddings()
    linear = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)]
    inner = sum(layer.weight.numel() for layer in linear if layer is not head)
    return float(4 * (inner * tokens + head.weight.numel() * learnt))


if __name__ == "__main__":
    main()
