"""Section of the study file about finetuning, and the run of one student."""

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from heirloom.finetune.methods import METHODS
from heirloom.support.files import Record
from heirloom.support.registry import name_in
from heirloom.support.settings import Section, distinct

_Method = name_in(METHODS)


class Finetune(Section):
    """Training of a student on its training set, with loss on completion tokens."""

    seeds: list[int] = Field(
        [1], min_length=1, description="Training seeds; one student is trained per seed."
    )
    methods: Annotated[list[_Method], AfterValidator(distinct)] = Field(  # type: ignore[valid-type]
        ["lora"], min_length=1, description="Training methods; one student is trained per method."
    )
    epochs: float = Field(2, gt=0, description="Passes over the training set.")
    learning_rate: float = Field(
        1e-3, gt=0, description="Initial learning rate; decays linearly to zero."
    )
    batch_size: int = Field(4, ge=1, description="Examples per step, over all processes.")
    micro_batch_size: int = Field(
        2,
        ge=1,
        description="Examples that a process computes at once; must divide `batch_size`. Fewer "
        "need less memory.",
    )
    lora_rank: int = Field(16, ge=1, description="Rank of the adapter (assumed).")
    lora_alpha: int = Field(
        32,
        ge=1,
        description="The adapter's output is scaled by `lora_alpha / lora_rank` (assumed).",
    )
    max_length: int = Field(
        512,
        ge=16,
        description="Maximum number of tokens per example. Longer examples are left out and "
        "counted, because truncated ones would lack their end.",
    )
    checkpoint_steps: int = Field(
        10,
        ge=1,
        description="Steps between checkpoints, which is the most that a killed job loses.",
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Recompute activations in the backward pass: less memory, about a third more "
        "time. Numbers change only by rounding.",
    )
    quantization: Literal["none", "4bit"] = Field(
        "none",
        description="`4bit`: load the base in 4 bits for training (QLoRA; Dettmers et al., 2023, "
        "arXiv 2305.14314). Requires an NVIDIA GPU and bitsandbytes.",
    )

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Self:
        if self.batch_size % min(self.micro_batch_size, self.batch_size):
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of micro_batch_size "
                f"{self.micro_batch_size}"
            )
        return self


@dataclass(frozen=True)
class Run:
    """The training of one student.

    Attributes:
        settings: The section `finetune`.
        seed: Decides the adapter's initial weights and the order of the examples.
        dtype: Number format of the base: "auto", "bfloat16" or "float32". The adapter itself is
            always float32.
        method: Name of the training method.
    """

    settings: Finetune
    seed: int
    dtype: str = "auto"
    method: str = "lora"

    @property
    def recipe(self) -> Record:
        """The hyperparameters, as the manifest holds them."""
        settings = self.settings.model_dump(exclude={"seeds", "methods"})
        return {"seed": self.seed, **settings, "dtype": self.dtype}

    def record(self) -> Record:
        """The run as JSON."""
        return {"method": self.method, "recipe": self.recipe}

    @classmethod
    def read(cls, record: Record) -> "Run":
        """Make a run from its `record`, whose settings were validated with the study file."""
        settings = dict(record["recipe"])
        seed, dtype = settings.pop("seed"), settings.pop("dtype")
        return cls(Finetune.model_construct(**settings), seed, dtype, record["method"])
