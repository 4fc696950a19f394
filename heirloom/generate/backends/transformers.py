"""Back end `transformers`: the model as transformers computes it, on whatever it was loaded on."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heirloom.generate.backends import Backend, backend
from heirloom.generate.model import LanguageModel, Weights
from heirloom.generate.request import Completion, Prompt, Request

if TYPE_CHECKING:
    from heirloom.generate.decoders import Decoder

logger = logging.getLogger(__name__)


@backend("transformers")
class Transformers(Backend):
    """transformers, on any machine."""

    def require(self, weights: Weights) -> None:
        """Refuse nothing: transformers is always there."""

    def identity(self, model: LanguageModel) -> Mapping[str, str]:
        """See `Backend.identity`."""
        return {"backend": "transformers", "weights": "model"}

    def decoder(self, model: LanguageModel, reason: str = "the study asks for it") -> "Decoder":
        """Return the decoder of a model.

        Args:
            model: The model.
            reason: For the log, why it is this back end's.
        """
        from heirloom.generate.decoders.choice import fitting_decoder

        def make() -> "tuple[Decoder, str | None]":
            logger.info("%s generates with transformers: %s", model.name, reason)
            return fitting_decoder(model.network, model.tokenizer.pad_token_id)

        decoder, note = model.keep("transformers", make)
        if note:
            model.note("generation", note)
        return decoder

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

        made = self.decoder(model)  # also where all is finished: it notes the way
        decoder = LazyDecoder(self.identity(model), lambda: made)
        return decode(model, decoder, prompts, request, work=work, shard=shard, shards=shards)
