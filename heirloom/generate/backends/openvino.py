"""Back end `openvino`: the model converted to OpenVINO, for fast generation on CPUs."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from heirloom.generate.backends import Backend, backend
from heirloom.generate.model import LanguageModel, Weights
from heirloom.generate.request import Completion, Prompt, Request
from heirloom.support.errors import HeirloomError

if TYPE_CHECKING:
    from heirloom.generate.decoders import Decoder


def installed() -> bool:
    """Tell if OpenVINO can be imported."""
    return find_spec("openvino") is not None


@backend("openvino")
class OpenVino(Backend):
    """OpenVINO, on CPUs, with original or int8-quantised weights."""

    weights = ("model", "int8")

    def require(self, weights: Weights) -> None:
        """See `Backend.require`."""
        if not installed():
            raise HeirloomError(
                "generate.backend: openvino and generate.weights: int8 need OpenVINO, which is not "
                "installed: pip install openvino. Another back end or other weights would generate "
                "other completions."
            )

    def identity(self, model: LanguageModel) -> Mapping[str, str]:
        """See `Backend.identity`."""
        return {
            "backend": "openvino",
            "weights": model.engine.weights,
            "openvino": version("openvino"),
        }

    def decoder(self, model: LanguageModel) -> "Decoder":
        """Return the decoder of a model, converted at the first call, which takes seconds.

        Raises:
            HeirloomError: The model cannot be converted.
        """
        from heirloom.generate.decoders.openvino_runtime import UnconvertibleError

        try:
            return convert(model)
        except UnconvertibleError as error:
            raise HeirloomError(
                f"model {model.name!r} cannot be converted to OpenVINO: {error}. Set "
                "generate.backend: transformers and generate.weights: model."
            ) from error

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
        """See `Backend.generate`."""
        from heirloom.generate.loop import LazyDecoder, decode

        decoder = LazyDecoder(self.identity(model), lambda: self.decoder(model))
        return decode(model, decoder, prompts, request, work=work, shard=shard, shards=shards)


def convert(model: LanguageModel) -> "Decoder":
    """Return a model's decoder, converted at the first call.

    Raises:
        UnconvertibleError: OpenVINO's graph cannot represent the model.
    """
    from heirloom.generate.decoders.openvino import OpenVinoDecoder

    def make() -> "Decoder":
        return OpenVinoDecoder(model.network, model.tokenizer.pad_token_id, model.engine.weights)

    return model.keep("openvino", make)
