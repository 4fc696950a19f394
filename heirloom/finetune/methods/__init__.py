"""Training methods: ways to make a student of a base, found by name.

A new one is one file in this folder, or in a plugin of the study:

    from heirloom.finetune.methods import method

    @method("full", label="Full", summary="Train all weights.", files=("model.safetensors",))
    def full(model: Any, settings: Finetune) -> Any:
        return model

Import heavy packages inside the function: every file here is imported to find its methods. Whatever
is random in it draws from torch's global generator, which is seeded before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from heirloom.support.registry import Registry

Prepare = Callable[[Any, Any], Any]
"""`prepare(model, settings)`: the model to train, made from the loaded base."""


@dataclass(frozen=True)
class Method:
    """A way to train, and what is said about it.

    Attributes:
        name: Name in study files.
        prepare: The function that makes the model to train, from the loaded base and the section
            `finetune` of the study file. Only its parameters with gradients are trained, and its
            `save_pretrained` saves the student.
        label: Name for readers.
        summary: One line about the method.
        files: Files of a student; every one must be there once it is trained.
    """

    name: str
    prepare: Prepare
    label: str
    summary: str
    files: tuple[str, ...]


METHODS = Registry[Method]("training method", "heirloom.finetune.methods")


def method(
    name: str, *, label: str, summary: str, files: tuple[str, ...]
) -> Callable[[Prepare], Prepare]:
    """Register the decorated function as the training method `name`; see `Method`.

    Raises:
        HeirloomError: Another file has registered this name.
    """

    def register(function: Prepare) -> Prepare:
        METHODS.register(name, Method(name, function, label, summary, files), source=function)
        return function

    return register
