"""Logits from OpenVINO: the same model, computed fast on processors.

Its key-value cache is paged (Kwon et al., 2023, arXiv 2309.06180): blocks of 32 tokens, which a
sequence takes when it starts and returns when it ends. Nothing is padded, a finished sequence costs
nothing, and another prompt can start in its place.
"""

import logging
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heirloom.generate.decoders.openvino_graph import BLOCK, compile_network
from heirloom.generate.decoders.openvino_runtime import (
    UnconvertibleError,
    import_openvino,
    return_memory,
)
from heirloom.generate.model import Weights
from heirloom.generate.shortcuts import plain_logits

logger = logging.getLogger(__name__)

# Largest mean Kullback-Leibler divergence from the original model, in nats, that is rounding.
_TOLERANCE = {"float32": 1e-5, "bfloat16": 0.05, "int8": 0.2}


class OpenVinoDecoder:
    """A model as OpenVINO computes it; implements `heirloom.generate.decoders.Decoder`."""

    joins = True
    run_ahead = 1

    def __init__(self, network: Any, weights: Weights) -> None:
        """Convert and compile a model, and check it against the original.

        Args:
            network: A causal language model of transformers. It is left as it is.
            weights: `"model"`: as they are; `"int8"`: weights, and each token's activations,
                int8-quantised in groups of 32.

        Raises:
            UnconvertibleError: The conversion fails, or computes something else.
        """
        started = time.monotonic()
        if weights == "int8":
            precision = "int8"
        else:
            precision = "bfloat16" if network.dtype == torch.bfloat16 else "float32"
        self._request: Any = None
        self._blocks = 0
        try:
            self._compiled = compile_network(network, precision)
            self._caches = [port for port in self._compiled.inputs if "_cache." in port.any_name]
            self._check(network, _TOLERANCE[precision])
        except Exception as error:  # tracer, converter, compiler and runtime each raise their own
            raise UnconvertibleError(" ".join(str(error).split())[:500]) from error
        logger.info(
            "converted to OpenVINO %s, weights: %s, in %.1f s",
            *(version("openvino"), weights, time.monotonic() - started),
        )

    def reserve(self, prompts: Sequence[int], new_tokens: int) -> None:
        """See `Decoder.reserve`."""
        return_memory()  # left by the part before; else many parts take more and more
        self._new_tokens = new_tokens
        self._past = np.empty(0, dtype=np.int64)  # tokens of each sequence that the cache has
        self._tables: list[NDArray[Any]] = []  # its blocks, those that it will need included
        blocks = sum(-(-(length + new_tokens) // BLOCK) for length in prompts)
        if blocks > self._blocks:
            self.finish()  # first, so that there are never two caches
            openvino = import_openvino()
            self._request = self._compiled.create_infer_request()
            for port in self._caches:
                shape = [d.get_length() if d.is_static else blocks for d in port.partial_shape]
                tensor = openvino.Tensor(port.element_type, openvino.Shape(shape))
                tensor.data[:] = 0  # the memory may hold NaN
                self._request.set_tensor(port, tensor)
            self._blocks = blocks
        self._free = list(range(self._blocks))

    def step(
        self,
        kept: Tensor,
        tokens: Tensor,
        prompts: Sequence[list[int]] = (),
        samples: Sequence[int] = (),
    ) -> Tensor:
        """See `Decoder.step`. Prompts that start are computed together with unfinished ones."""
        rows = kept.tolist()
        for row in set(range(len(self._tables))).difference(rows):
            self._free += self._tables[row].tolist()
        going = [self._tables[row] for row in rows]
        past = self._past[rows]
        beginning = [
            [self._take(len(prompt)) for _ in range(n)]
            for prompt, n in zip(prompts, samples, strict=True)
        ]
        logits = self._infer(
            np.concatenate([tokens.numpy(), *prompts]),
            past=np.concatenate([past, np.zeros(len(prompts), dtype=np.int64)]),
            lengths=np.array([1] * len(rows) + [len(prompt) for prompt in prompts], dtype=np.int64),
            tables=[*going, *(tables[0] for tables in beginning)],
        )
        self._past, self._tables = past + 1, going
        if not prompts:
            return logits
        self._past = np.concatenate([self._past, np.repeat([len(p) for p in prompts], samples)])
        self._tables = [*going, *(table for tables in beginning for table in tables)]
        # The first of a prompt's sequences has computed it; the others get a copy of its blocks.
        used = [-(-len(prompt) // BLOCK) for prompt in prompts]
        pairs = [
            (tables[0][:n], table[:n])
            for tables, n in zip(beginning, used, strict=True)
            for table in tables[1:]
        ]
        if pairs:
            sources, copies = (np.concatenate(blocks) for blocks in zip(*pairs, strict=True))
            for port in self._caches:
                cache = self._request.get_tensor(port).data
                cache[copies] = cache[sources]
        return logits[np.repeat(np.arange(len(logits)), [1] * len(rows) + list(samples))]

    def finish(self) -> None:
        """See `Decoder.finish`."""
        self._request, self._blocks = None, 0

    def _take(self, prompt: int) -> NDArray[Any]:
        """Take blocks for a sequence whose prompt has so many tokens."""
        n = -(-(prompt + self._new_tokens) // BLOCK)
        taken, self._free = self._free[:n], self._free[n:]
        return np.array(taken)

    def _infer(
        self,
        ids: NDArray[Any],
        *,
        past: NDArray[Any],
        lengths: NDArray[Any],
        tables: Sequence[NDArray[Any]],
    ) -> Tensor:
        """Append tokens to sequences and return the logits after the last of each.

        Args:
            ids: Token ids, one sequence's after another's [tokens].
            past: Number of tokens of each sequence in the cache [sequences].
            lengths: Number of tokens of each sequence in `ids` [sequences].
            tables: Each sequence's blocks in the cache, those for `ids` and more.

        Returns:
            Logits [sequences, vocabulary], in memory that the next call writes to.
        """
        openvino = import_openvino()
        ends = np.cumsum(lengths)
        tables = [t[: -(-n // BLOCK)] for t, n in zip(tables, past + lengths, strict=True)]
        inputs = {
            "input_ids": ids.astype(np.int64),
            "position_ids": np.arange(len(ids)) + np.repeat(past - ends + lengths, lengths),
            "rows": ends - 1,
            "past_lens": past.astype(np.int32),
            "subsequence_begins": np.concatenate([[0], ends]).astype(np.int32),
            "block_indices": np.concatenate(tables).astype(np.int32),
            "block_indices_begins": np.cumsum([0, *map(len, tables)]).astype(np.int32),
            "max_context_len": np.array((past + lengths).max(), dtype=np.int32),
        }
        for name, value in inputs.items():
            self._request.set_tensor(name, openvino.Tensor(value))
        self._request.infer()
        return torch.from_numpy(self._request.get_tensor("logits").data)

    @torch.inference_mode()
    def _check(self, network: Any, tolerance: float) -> None:
        """Compare with the original: what the tracer did not see must not pass silently."""
        vocabulary = network.config.get_text_config().vocab_size
        random = np.random.default_rng(0)
        # Shorter and longer than a block, then a token more, and another prompt meanwhile.
        prompts = [random.integers(vocabulary, size=n).tolist() for n in (5, BLOCK + 5, 7)]
        nothing, both = torch.arange(0), torch.arange(2)
        tokens = torch.from_numpy(random.integers(vocabulary, size=2))
        self.reserve([*map(len, prompts)], 2)
        found = [self.step(nothing, nothing, prompts[:2], [1, 1]).clone()]
        found.append(self.step(both, tokens, prompts[2:], [1]))
        first, second = (
            plain_logits(network, [*prompt, token])
            for prompt, token in zip(prompts, tokens.tolist(), strict=False)
        )
        third = plain_logits(network, prompts[2])
        exact = [
            torch.stack([first[-2], second[-2]]),
            torch.stack([first[-1], second[-1], third[-1]]),
        ]
        divergences = [_divergence(*pair) for pair in zip(found, exact, strict=True)]
        self.finish()
        if not max(divergences) <= tolerance:
            raise UnconvertibleError(
                f"its distribution diverges by {max(divergences):.2g} nats from the model's own"
            )


def _divergence(found: Tensor, exact: Tensor) -> float:
    """Return the mean Kullback-Leibler divergence of rows of logits from exact ones, in nats."""
    log_p = exact.double().cpu().log_softmax(-1)
    log_q = found.double().log_softmax(-1)
    return float((log_p.exp() * (log_p - log_q)).sum(-1).mean())
