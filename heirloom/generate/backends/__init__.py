"""Back ends that generate completions with local models. Each module registers one.

To add one, write a class with the methods of `Backend` and decorate it with `@backend`, here or in
a plugin of the study; nothing else needs to change, and `generate.backend` accepts its name. These
modules are imported whenever a study file is checked, so heavy packages must be imported inside
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
    """A way to generate completions with a model.

    A completion depends only on model, prompt, request and sample number: not on other prompts,
    their order, `Request.batch_size` or the number of shards.

    Attributes:
        weights: Values of `generate.weights` that it can compute with.
        loads_weights: True if it reads the weights itself, so that a model that only generates is
            loaded without them.
    """

    weights: ClassVar[Sequence[Weights]] = ("model",)
    loads_weights: ClassVar[bool] = False

    def require(self, weights: Weights) -> None:
        """Raise an error, before anything is loaded, if it cannot run.

        Args:
            weights: One of its own.

        Raises:
            HeirloomError: Something is missing on this machine; the message says what to do.
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
            work: Folder for finished parts, the same for all shards.
            shard: Number of the shard to compute, from 0.
            shards: Number of shards.

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
