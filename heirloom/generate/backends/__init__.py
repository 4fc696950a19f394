"""Back ends that generate completions with the models that run here. Each module registers one.

To add one, write a class with the methods of `Backend` and decorate it with `@backend`, here or in
a plugin of the study; nothing else needs to change, and `generate.backend` takes its name. These
modules are imported whenever a study file is checked, so that what is heavy is imported inside
their methods.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

from heirloom.generate.model import LanguageModel, Weights
from heirloom.generate.request import Completion, Prompt, Request
from heirloom.support.errors import HeirloomError
from heirloom.support.registry import Registry


@runtime_checkable
class Backend(Protocol):
    """Generates completions with a model.

    A completion depends on model, prompt, request and sample number alone: not on the other
    prompts, their order, `Request.batch_size` or the number of shards.

    Attributes:
        weights: Values of `generate.weights` that it can compute with.
        loads_weights: It reads the weights itself, so that a model that is to generate and nothing
            else is loaded without them.
    """

    weights: ClassVar[Sequence[Weights]] = ("model",)
    loads_weights: ClassVar[bool] = False

    def require(self, weights: Weights) -> None:
        """Refuse, before anything is loaded, where it cannot run.

        Args:
            weights: One of its own.

        Raises:
            HeirloomError: Something is missing on this machine; the message says the way out.
        """
        ...

    def identity(self, model: LanguageModel) -> Mapping[str, str]:
        """Return what determines the completions apart from model, prompts and request."""
        ...

    def generate(
        self,
        model: LanguageModel,
        prompts: Sequence[Prompt],
        request: Request,
        *,
        work: Path,
        shard: int,
        shards: int,
    ) -> list[Completion]:
        """Complete prompts, resuming where an earlier call with the same `work` folder was killed.

        Args:
            model: The model to sample from.
            prompts: Prompts with distinct ids.
            request: Number of samples, length, sampling and seed.
            work: Folder for what is finished, the same for all shards.
            shard: Number of the share to do, from 0.
            shards: Number of shares.

        Returns:
            The completions of this shard, in any order. `heirloom.generate.fitting` finds those
            that are too long.
        """
        ...


BACKENDS: Registry[Backend] = Registry("back end", "heirloom.generate.backends")
Class = TypeVar("Class", bound=type)


def backend(name: str) -> Callable[[Class], Class]:
    """Register a class with the methods of `Backend`, which is made without arguments.

    Args:
        name: Its name in `generate.backend`.

    Raises:
        HeirloomError: The class lacks a method or an attribute; `Backend` as base class brings the
            attributes.
    """

    def register(made: Class) -> Class:
        part = made()
        if not isinstance(part, Backend):
            raise HeirloomError(
                f"The back end {name!r} ({made.__module__}.{made.__qualname__}) lacks something "
                "that heirloom.generate.backends.Backend has."
            )
        BACKENDS.register(name, part, source=made)
        return made

    return register
