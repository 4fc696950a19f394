"""Finetune a base on a training set: LoRA, with loss on the completion's tokens alone."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments
from transformers import set_seed as seed_everything
from transformers.trainer_pt_utils import get_length_grouped_indices

from heirloom.batches import claimed
from heirloom.errors import HeirloomError
from heirloom.files import Record, read_json, sha256
from heirloom.log import Progress
from heirloom.models import (
    Format,
    PromptTemplate,
    best_device,
    encode_prompt,
    load_tokenizer,
    resolve_dtype,
)
from heirloom.sampling import sequence_key

logger = logging.getLogger(__name__)

IGNORED = -100  # label of a token that carries no loss


@dataclass(frozen=True)
class Recipe:
    """How to finetune.

    Attributes:
        seed: Decides the adapter's initial weights and the order of the examples.
        epochs: Passes over the training set.
        learning_rate: Peak; it decays linearly to zero.
        batch_size: Examples a step.
        micro_batch_size: Of those, how many are computed at once.
        lora_rank: Rank r of the adapter (Hu et al., 2021, arXiv 2106.09685).
        lora_alpha: The adapter is scaled by alpha / r. It sits on every linear layer but the head.
        max_length: Longer examples, in tokens, are left out: cutting one would cut off its end.
        checkpoint_steps: Steps between two checkpoints.
        dtype: `"auto"`, `"bfloat16"` or `"float32"`. The adapter itself is always float32.
    """

    seed: int
    epochs: float = 2
    learning_rate: float = 1e-3
    batch_size: int = 4
    micro_batch_size: int = 2
    lora_rank: int = 16
    lora_alpha: int = 32
    max_length: int = 512
    checkpoint_steps: int = 10
    dtype: str = "auto"


def encode_example(
    tokenizer: Any,
    prompt_template: PromptTemplate,
    example: Record,
    format: Format,
) -> dict[str, list[int]]:
    """Token ids and labels of one training example.

    The prompt is written as it is for generation and carries no loss. The completion carries loss,
    and so does the end token after it, unless the completion was cut by a cap on its length
    (finish_reason "length"): the text does not end there, and the student should not learn that it
    does.
    """
    prompt = encode_prompt(tokenizer, prompt_template, example["prompt"], format)
    completion = tokenizer(example["completion"], add_special_tokens=False).input_ids
    if example["finish_reason"] != "length":
        completion = [*completion, tokenizer.eos_token_id]
    return {"input_ids": prompt + completion, "labels": [IGNORED] * len(prompt) + completion}


def finetune(
    base: str | Path,
    examples: Sequence[Record],
    *,
    prompt_template: PromptTemplate,
    format: Format,
    recipe: Recipe,
    work: Path,
    output: Path,
    trust_remote_code: bool = False,
) -> Record:
    """Train an adapter, going on from the last checkpoint in `work` if a run was killed.

    Args:
        base: Folder of the base model.
        examples: Rows of a training set: prompt, completion, finish_reason.
        prompt_template: How the base is shown an instruction.
        format: How the prompts are written.
        recipe: Hyperparameters.
        work: Folder for checkpoints. One that belongs to another recipe or training set is emptied.
        output: Folder for the adapter (PEFT format).
        trust_remote_code: Whether Python code in `base` may run.

    Returns:
        The manifest: recipe, counts of examples and tokens, and the loss of every logged step.

    Raises:
        HeirloomError: no example fits `max_length`, or the loss stopped being a number.
    """
    tokenizer = load_tokenizer(base, trust_remote_code=trust_remote_code)
    encoded = [encode_example(tokenizer, prompt_template, e, format) for e in examples]
    rows = [row for row in encoded if len(row["input_ids"]) <= recipe.max_length]
    if len(rows) < len(encoded):
        logger.warning(
            "%d of %d examples are longer than %d tokens and left out (finetuning.max_length)",
            *(len(encoded) - len(rows), len(encoded), recipe.max_length),
        )
    if not rows:
        raise HeirloomError(
            f"no training example is left to finetune {base} on: {len(encoded)} are longer than "
            f"finetuning.max_length, {recipe.max_length} tokens. Raise it, or lower max_new_tokens."
        )

    identity = {"recipe": asdict(recipe), "rows": rows, "base": str(base)}
    with claimed(work, {"code": sha256(__file__), **identity}):
        trainer = _make_trainer(
            base, rows, recipe, work, tokenizer.pad_token_id, trust_remote_code=trust_remote_code
        )
        checkpoint = _last_checkpoint(work)
        if checkpoint:
            logger.info("going on from %s", checkpoint.name)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        if not all(loss == loss for loss in losses):
            raise HeirloomError(
                f"the loss is not a number after {trainer.state.global_step} steps. Lower "
                "finetuning.learning_rate or set dtype: float32."
            )
        trainer.model.save_pretrained(output)
        # PEFT's own card for a hub repository: wrong about how this adapter came to be.
        (output / "README.md").unlink(missing_ok=True)
    return {
        "recipe": asdict(recipe),
        "n_examples": len(rows),
        "n_too_long": len(encoded) - len(rows),
        "n_tokens": sum(len(row["input_ids"]) for row in rows),
        "n_loss_tokens": sum(label != IGNORED for row in rows for label in row["labels"]),
        "n_steps": trainer.state.global_step,
        "losses": losses,
    }


class CompletionTrainer(Trainer):  # type: ignore[misc]
    """A Trainer that computes logits only where there is loss.

    The head of a small model with a large vocabulary is a third of its work, and the prompt's
    logits are never looked at. The loss is the one that the model itself would return.
    """

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Mean cross-entropy over the tokens that carry loss."""
        # The logits at a position predict the token after it.
        targets = inputs["labels"][:, 1:]
        carries_loss = targets != IGNORED
        columns = carries_loss.any(dim=0).nonzero().squeeze(1)
        # By the model itself, not by its head: some scale or cap their logits after that.
        logits = (
            self.accelerator.unwrap_model(model)
            .get_base_model()(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                use_cache=False,
                logits_to_keep=columns,
            )
            .logits
        )
        kept = carries_loss[:, columns]
        total = torch.nn.functional.cross_entropy(
            logits[kept].float(), targets[:, columns][kept], reduction="sum"
        )
        n = carries_loss.sum() if num_items_in_batch is None else num_items_in_batch
        return total / max(n, 1)  # a step may have nothing to learn

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler[int]:
        return _LengthGrouped(
            [len(row["input_ids"]) for row in self.train_dataset],
            batch_size=self.args.per_device_train_batch_size,
            seed=self.args.seed,
        )


class _LengthGrouped(torch.utils.data.Sampler[int]):
    """Examples of like length together, in an order that seed and epoch alone decide.

    The Trainer's own sampler draws the order from torch's global generator. An epoch that a kill
    left in the middle would be shuffled anew: some examples seen twice in it, others not at all.
    """

    def __init__(self, lengths: list[int], *, batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before every epoch, the one that it goes on with included."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(sequence_key(self.seed, "order", self.epoch))
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=generator))


class _ReportSteps(TrainerCallback):  # type: ignore[misc]
    """Progress lines instead of the Trainer's bar."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.progress = Progress(state.max_steps - state.global_step, "steps")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.progress.update(1)


def _make_trainer(
    base: str | Path,
    rows: list[dict[str, list[int]]],
    recipe: Recipe,
    work: Path,
    padding: int,
    *,
    trust_remote_code: bool,
) -> Trainer:
    from peft import LoraConfig, get_peft_model

    device = best_device()
    dtype = resolve_dtype(recipe.dtype, device)
    # Eager attention is the faster one on a processor for sequences this short.
    attention = "eager" if device.type == "cpu" else "sdpa"
    network = AutoModelForCausalLM.from_pretrained(
        base,
        dtype=dtype,
        attn_implementation=attention,
        use_safetensors=True,
        trust_remote_code=trust_remote_code,
    )
    # Before the adapter is made: its initial weights are drawn here, not when training starts.
    seed_everything(recipe.seed)
    lora = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    at_once = min(recipe.micro_batch_size, recipe.batch_size)
    arguments = TrainingArguments(
        output_dir=str(work),
        seed=recipe.seed,
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=recipe.batch_size // at_once,
        bf16=dtype == torch.bfloat16,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type == "cuda",
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would log a number where the loss is none
        save_strategy="steps",
        save_steps=recipe.checkpoint_steps,
        save_total_limit=2,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        log_level="error",
    )
    from transformers.trainer_callback import PrinterCallback

    trainer = CompletionTrainer(
        get_peft_model(network, lora),
        args=arguments,
        train_dataset=_Rows(rows),
        data_collator=lambda batch: _pad(batch, padding),
        callbacks=[_ReportSteps()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


class _Rows(torch.utils.data.Dataset[dict[str, list[int]]]):
    """Examples by index."""

    def __init__(self, rows: list[dict[str, list[int]]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return self.rows[index]


def _pad(batch: list[dict[str, list[int]]], padding: int) -> dict[str, Tensor]:
    """Pad on the right; the padding carries neither attention nor loss."""
    width = max(len(row["input_ids"]) for row in batch)

    def stack(key: str, fill: int) -> Tensor:
        return torch.tensor([row[key] + [fill] * (width - len(row[key])) for row in batch])

    lengths = torch.tensor([len(row["input_ids"]) for row in batch])
    return {
        "input_ids": stack("input_ids", padding),
        "labels": stack("labels", IGNORED),
        "attention_mask": (torch.arange(width) < lengths[:, None]).long(),
    }


def _last_checkpoint(work: Path) -> Path | None:
    """The newest checkpoint that was written whole: the Trainer writes its state last."""

    def is_whole(checkpoint: Path) -> bool:
        try:
            read_json(checkpoint / "trainer_state.json")
        except HeirloomError:  # missing, or cut short
            return False
        return True

    whole = [p for p in work.glob("checkpoint-*") if is_whole(p)]
    return max(whole, key=lambda p: int(p.name.removeprefix("checkpoint-")), default=None)
