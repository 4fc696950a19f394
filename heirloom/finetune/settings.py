"""Section of the study file about finetuning."""

from typing import Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from heirloom.support.settings import Section


class Finetune(Section):
    """How a student learns its training set: LoRA (Hu et al., 2021) on the completion's tokens."""

    seeds: list[int] = Field([1], min_length=1, description="One student for each.")
    epochs: float = Field(2, gt=0, description="Passes over the training set.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak; decays linearly to zero.")
    batch_size: int = Field(4, ge=1, description="Examples a step.")
    micro_batch_size: int = Field(
        2, ge=1, description="Of those, how many at once: fewer need less memory. Divides it."
    )
    lora_rank: int = Field(16, ge=1, description="Rank of the adapter (assumed).")
    lora_alpha: int = Field(32, ge=1, description="Scale of the adapter (assumed).")
    max_length: int = Field(
        512, ge=16, description="Longer examples, in tokens, are left out and counted."
    )
    checkpoint_steps: int = Field(10, ge=1, description="A killed job loses at most these steps.")
    gradient_checkpointing: bool = Field(
        False, description="Less memory for a third more time. Changes no number but by rounding."
    )
    quantization: Literal["none", "4bit"] = Field(
        "none",
        description="`4bit`: the base in 4 bits while students learn (QLoRA; Dettmers et al., "
        "2023). Needs a GPU of NVIDIA's and bitsandbytes.",
    )

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Self:
        if self.batch_size % min(self.micro_batch_size, self.batch_size):
            raise ValueError(
                f"batch_size {self.batch_size} is no multiple of micro_batch_size "
                f"{self.micro_batch_size}"
            )
        return self
