"""Back end `auto`: the choice for a study that names no back end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heirloom.generate.backends import Backend, backend
from heirloom.generate.backends.openvino import OpenVino, installed
from heirloom.generate.backends.transformers import Transformers
from heirloom.generate.model import LanguageModel, Weights
from heirloom.generate.request import Completion, Prompt, Request

if TYPE_CHECKING:
    from heirloom.generate.decoders import Decoder


@backend("auto")
class Auto(Backend):
    """OpenVINO on CPUs, if it is installed and supports the model, otherwise transformers.

    int8-quantised weights are OpenVINO's on any machine.
    """

    weights = ("model", "int8")

    def require(self, weights: Weights) -> None:
        """Refuse int8-quantised weights without OpenVINO."""
        if weights == "int8":
            OpenVino().require(weights)

    def choice(self, model: LanguageModel) -> OpenVino | Transformers:
        """Return the back end for a model; OpenVINO's passes on those that it cannot represent."""
        if model.engine.weights == "int8":
            return OpenVino()
        reason = "there is a GPU" if model.device.type != "cpu" else "OpenVINO is not installed"
        if model.device.type == "cpu" and installed():
            return OpenVino()
        Transformers().decoder(model, reason)
        return Transformers()

    def identity(self, model: LanguageModel) -> Mapping[str, str]:
        """Return the identity of the back end that is chosen."""
        return self.choice(model).identity(model)

    def decoder(self, model: LanguageModel) -> "Decoder":
        """Return the decoder of the back end that is chosen."""
        return self.choice(model).decoder(model)

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
        chosen = self.choice(model)
        return chosen.generate(model, prompts, request, work=work, shard=shard, shards=shards)
