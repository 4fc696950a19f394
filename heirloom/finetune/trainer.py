"""Train an adapter on encoded examples: in this process, or in one of several that share the work.

`python -m heirloom.finetune.trainer WORK OUTPUT`, started by `accelerate launch`, is one of several.
"""

import importlib.util
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers import set_seed as seed_everything
from transformers.trainer_pt_utils import get_length_grouped_indices

from heirloom.finetune.methods.fused_lora import cross_entropy, fuse_adapters
from heirloom.finetune.packing import IGNORED, pack, single, use_packing
from heirloom.generate.model import best_device, resolve_dtype
from heirloom.generate.request import sequence_key
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, write_json
from heirloom.support.log import Progress
from heirloom.support.processes import end_with_parent

logger = logging.getLogger(__name__)

Row = dict[str, list[int]]  # input_ids and labels of one example
JOB, RESULT = "job.json", "result.json"  # in the work folder of several processes


@dataclass(frozen=True)
class Recipe:
    """How to finetune.

    Attributes:
        seed: Decides the adapter's initial weights and the order of the examples.
        epochs: Passes over the training set.
        learning_rate: Peak; it decays linearly to zero.
        batch_size: Examples a step, of all processes together.
        micro_batch_size: Of those, how many a process computes at once.
        lora_rank: Rank r of the adapter (Hu et al., 2021, arXiv 2106.09685).
        lora_alpha: The adapter is scaled by alpha / r. It sits on every linear layer but the head.
        max_length: Longer examples, in tokens, are left out: cutting one would cut off its end.
        checkpoint_steps: Steps between two checkpoints.
        gradient_checkpointing: Compute activations anew in the backward pass, to save memory.
        quantization: `"4bit"` holds the base in 4 bits (QLoRA; Dettmers et al., 2023,
            arXiv 2305.14314); needs CUDA and bitsandbytes.
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
    gradient_checkpointing: bool = False
    quantization: Literal["none", "4bit"] = "none"
    dtype: str = "auto"


def train(
    base: str | Path,
    rows: Sequence[Row],
    recipe: Recipe,
    work: Path,
    output: Path,
    *,
    trust_remote_code: bool = False,
) -> Record:
    """Train an adapter, going on from the last checkpoint in `work` if there is one.

    Args:
        base: Folder of the base model.
        rows: The examples, at least one.
        recipe: Hyperparameters.
        work: Folder for checkpoints.
        output: Folder for the adapter (PEFT format).
        trust_remote_code: Whether Python code in `base` may run.

    Returns:
        How many steps there were, and the loss of each.

    Raises:
        HeirloomError: the loss stopped being a number, or the machine cannot do what the recipe
            asks for.
    """
    trainer = make_trainer(base, rows, recipe, work, trust_remote_code=trust_remote_code)
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
    trainer.save_model(str(output))
    if trainer.args.should_save:
        # PEFT's own card for a hub repository is wrong about how this adapter came to be.
        for name in ("README.md", "training_args.bin"):
            (output / name).unlink(missing_ok=True)
    return {"n_steps": trainer.state.global_step, "losses": losses}


def make_trainer(
    base: str | Path,
    rows: Sequence[Row],
    recipe: Recipe,
    work: Path,
    *,
    trust_remote_code: bool = False,
) -> Trainer:
    """A trainer of a fresh adapter on `base`, as `train` uses it.

    Raises:
        HeirloomError: the machine cannot do what the recipe asks for.
    """
    from peft import LoraConfig, get_peft_model

    processes = int(os.environ.get("WORLD_SIZE", "1"))  # as `accelerate launch` says
    device = best_device()
    dtype = resolve_dtype(recipe.dtype, device)
    network = _load_base(base, recipe.quantization, device, dtype, trust_remote_code)
    packs = use_packing(network)
    if not packs:
        logger.info("%s cannot be packed: one example at a time", type(network).__name__)
    each = recipe.batch_size // processes
    at_once = _largest_divisor(each, recipe.micro_batch_size if packs else 1)
    # Before the adapter is made: its initial weights are drawn here, not when training starts.
    seed_everything(recipe.seed)
    lora = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    student = get_peft_model(network, lora)
    fuse_adapters(student)
    # No mixed precision: what is frozen computes in the number format that it is loaded in, as in
    # generation and scoring, and the adapter's layers take care of themselves.
    arguments = TrainingArguments(
        output_dir=str(work),
        seed=recipe.seed,
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=each // at_once,
        activation_checkpointing=recipe.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},
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
    # One process has one GPU. Where it sees more, the Trainer would spread every batch over them.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    from transformers.trainer_callback import PrinterCallback

    order = _LengthGrouped(
        [len(row["input_ids"]) for row in rows],
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        whole_batches=processes > 1,
    )
    trainer = CompletionTrainer(
        model=student,
        args=arguments,
        train_dataset=[*rows, _FILLER],
        data_collator=pack if packs else single,
        compute_loss_func=completion_loss,
        callbacks=[_TellEpoch(order), _ReportSteps()],
        order=order,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _load_base(
    base: str | Path,
    quantization: str,
    device: torch.device,
    dtype: torch.dtype,
    trust_remote_code: bool,
) -> Any:
    options: dict[str, Any] = {}
    if quantization == "4bit":
        if device.type != "cuda":
            raise HeirloomError(
                "finetuning.quantization: 4bit needs a GPU of NVIDIA's, and there is none. Set it "
                "to none, or run on a machine that has one."
            )
        if not importlib.util.find_spec("bitsandbytes"):
            raise HeirloomError(
                "finetuning.quantization: 4bit needs bitsandbytes, which is not installed: "
                "pip install bitsandbytes."
            )
        options = {
            "quantization_config": BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=dtype,
            ),
            "device_map": {"": int(os.environ.get("LOCAL_RANK", "0"))},
        }
    return AutoModelForCausalLM.from_pretrained(
        base,
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=trust_remote_code,
        **options,
    )


def _largest_divisor(number: int, limit: int) -> int:
    return max(n for n in range(1, min(number, limit) + 1) if number % n == 0)


def completion_loss(
    outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None
) -> Tensor:
    """Mean cross-entropy over the tokens that carry loss, those of the whole step.

    Args:
        outputs: Of a model for a batch of `pack`: logits where the next token carries loss, and
            nowhere else. The head of a small model with a large vocabulary is a third of its work.
        labels: Shape (1, tokens).
        num_items_in_batch: How many of them carry loss in all that is computed for this step.
    """
    targets = labels[0, 1:]  # the logits at a position predict the token after it
    targets = targets[targets != IGNORED]
    n = len(targets) if num_items_in_batch is None else num_items_in_batch
    # A view: taking row 0 would fill a second such tensor with zeros on the way back.
    logits = outputs.logits.flatten(0, 1)
    return cross_entropy(logits, targets) / max(n, 1)  # there may be nothing to learn


class CompletionTrainer(Trainer):  # type: ignore[misc]
    """A Trainer that takes the examples in the `order` it is given."""

    def __init__(self, *, order: torch.utils.data.Sampler[int], **options: Any) -> None:
        super().__init__(**options)
        self.order = order

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler[int]:
        return self.order


# Stands in for the examples that the last step of an epoch lacks: a token without loss.
_FILLER: Row = {"input_ids": [0], "labels": [IGNORED]}


class _LengthGrouped(torch.utils.data.Sampler[int]):
    """Examples of like length together, in an order that seed and epoch alone decide.

    The Trainer's own sampler draws the order from torch's global generator. An epoch that a kill
    left in the middle would be shuffled anew: some examples seen twice in it, others not at all.

    Args:
        lengths: Of the examples.
        batch_size: Examples a step. How many of them are computed at once, and where, changes
            nothing about the order.
        seed: Of the study's, this student's.
        whole_batches: Fill the last step up with the number after the last example's, so that all
            processes have as many batches. Else accelerate would repeat examples.
    """

    def __init__(
        self, lengths: list[int], *, batch_size: int, seed: int, whole_batches: bool
    ) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.fillers = -len(lengths) % batch_size if whole_batches else 0
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths) + self.fillers

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(sequence_key(self.seed, "order", self.epoch))
        yield from get_length_grouped_indices(self.lengths, self.batch_size, generator=generator)
        yield from [len(self.lengths)] * self.fillers


class _TellEpoch(TrainerCallback):  # type: ignore[misc]
    """Tells the order which epoch begins, or is gone on with.

    accelerate would, by `set_epoch`, but does not find it where several processes go on.
    """

    def __init__(self, order: _LengthGrouped) -> None:
        self.order = order

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.order.epoch = int(state.epoch)


class _ReportSteps(TrainerCallback):  # type: ignore[misc]
    """Progress lines instead of the Trainer's bar."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.progress = Progress(state.max_steps - state.global_step, "steps")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.progress.update(1)


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


def _main(work: Path, output: Path) -> int:
    """One of several processes: do `JOB`, and leave a `RESULT`; returns the exit status."""
    end_with_parent()
    first = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(level=logging.INFO if first else logging.ERROR, format="%(message)s")
    job = read_json(work / JOB)
    try:
        job["recipe"] = Recipe(**job["recipe"])
        result = train(**job, work=work, output=output)
    except HeirloomError as error:
        result = {"error": str(error)}
    if first:
        write_json(work / RESULT, result)
    return int("error" in result)


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), Path(sys.argv[2])))
