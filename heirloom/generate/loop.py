"""The decoding loop: k samples of a prompt share one prefill, and finished sequences cost nothing.

The work is divided into parts that depend only on the prompts and the batch size. A part is
generated in batches of at most `Request.batch_size` sequences; within it, prompts start as soon as
enough sequences have finished, if the decoder allows it. Each finished part is saved as one file,
so that a killed job loses only the part it was computing. A shard is the parts that one job
computes, so that the number of shards changes no completion.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from heirloom.generate import decoders, sampling
from heirloom.generate import model as models
from heirloom.generate import request as requests
from heirloom.generate.decoders import Decoder
from heirloom.generate.fitting import encode_fitting
from heirloom.generate.model import LanguageModel
from heirloom.generate.request import Completion, Prompt, Request, sequence_key
from heirloom.generate.sampling import choose_tokens
from heirloom.support.files import read_jsonl, sha256, write_jsonl
from heirloom.support.log import Progress
from heirloom.support.work_folder import claimed

# Batches per part. With more, fewer places stay empty at the end of a part; with fewer, a kill
# loses less.
_BATCHES_PER_PART = 4
# A prompt's id and the numbers of the samples that begin together.
_Group = tuple[str, list[int]]


@dataclass(frozen=True)
class LazyDecoder:
    """A decoder that is made when something is left to generate, because making it takes seconds.

    Attributes:
        identity: See `heirloom.generate.backends.Backend.identity`.
        make: Returns the decoder.
    """

    identity: Mapping[str, str]
    make: Callable[[], Decoder]


def decode(
    model: LanguageModel,
    decoder: LazyDecoder,
    prompts: Sequence[Prompt],
    request: Request,
    *,
    work: Path,
    shard: int,
    shards: int,
) -> list[Completion]:
    """Complete prompts with a decoder, see `heirloom.generate.backends.Backend.generate`."""
    encoded, completions = encode_fitting(model, prompts, request, shard=shard)
    parts = list(enumerate(_parts(encoded, request)))[shard::shards]
    total = sum(len(samples) for _, part in parts for _, samples in part)
    progress = Progress(total, "completions", longest=request.max_new_tokens)
    longest = _longest([part for _, part in parts], encoded, request.batch_size)
    made: Decoder | None = None
    identity = _identity(model, decoder.identity, encoded, request)
    with claimed(work, identity, share=f"{shard + 1}-of-{shards}"):
        for number, part in parts:
            file = work / f"part-{number:05d}.jsonl"
            if file.exists():
                progress.skip(sum(len(samples) for _, samples in part))
            else:
                if made is None:
                    made = decoder.make()
                    progress.begin()
                made.reserve(longest, request.max_new_tokens)
                finished = _Part(model, made, encoded, request, progress).complete(part)
                write_jsonl(file, (completion.record() for completion in finished))
            completions += [Completion(**record) for record in read_jsonl(file)]
    if made:
        made.finish()
    return completions


def _identity(
    model: LanguageModel,
    decoder: Mapping[str, str],
    encoded: dict[str, list[int]],
    request: Request,
) -> dict[str, Any]:
    """Return what determines the parts: the very code, model, request and prompts."""
    code = [
        *(__file__, models.__file__, requests.__file__, sampling.__file__),
        *sorted(map(str, Path(str(decoders.__file__)).parent.glob("*.py"))),
    ]
    return {
        "code": [sha256(file) for file in code],
        "model": str(model.network.name_or_path),
        "adapter": model.adapter_sha256,
        "dtype": str(model.network.dtype),
        "decoder": dict(decoder),
        "stop": [model.prompt_template.stop, sorted(model.end_tokens)],
        "request": asdict(request),
        "prompts": encoded,
    }


def _parts(encoded: dict[str, list[int]], request: Request) -> list[list[_Group]]:
    """Divide the work into parts of about the same size, each with its shorter prompts first.

    Prompts of similar length are together, so that a decoder that pads needs little padding.
    """
    samples = range(request.samples)
    groups = [
        (prompt_id, list(samples[start : start + request.batch_size]))
        for prompt_id in sorted(encoded, key=lambda i: (len(encoded[i]), i))
        for start in range(0, request.samples, request.batch_size)
    ]
    sequences = _BATCHES_PER_PART * request.batch_size
    number = -(-len(groups) * min(request.samples, request.batch_size) // sequences)
    return [groups[part::number] for part in range(number)]


def _longest(parts: list[list[_Group]], encoded: dict[str, list[int]], n: int) -> list[int]:
    """Return lengths of n prompts that are no shorter than the n longest of any part.

    With them all parts fit into one cache. Growing caches, one after another, leave gaps in memory.
    """
    lengths = (
        sorted((len(encoded[i]) for i, samples in part for _ in samples), reverse=True)[:n]
        for part in parts
    )
    return [max(together) for together in zip_longest(*lengths, fillvalue=0)]


@dataclass
class _Sequence:
    """A completion being generated."""

    prompt_id: str
    sample: int
    key: int
    tokens: list[int] = field(default_factory=list)


@dataclass
class _Part:
    """A part being generated, with its unfinished sequences."""

    model: LanguageModel
    decoder: Decoder
    encoded: dict[str, list[int]]
    request: Request
    progress: Progress
    going: list[_Sequence] = field(default_factory=list)
    ended: dict[tuple[str, int], Completion] = field(default_factory=dict)

    @torch.inference_mode()
    def complete(self, part: list[_Group]) -> list[Completion]:
        """Generate: compute each prompt once, and all unfinished sequences together."""
        waiting = deque(part)
        kept = tokens = keys = steps = torch.empty(0, dtype=torch.long)
        unread: list[torch.Tensor] = []  # tokens that were chosen, per step
        while self.going or waiting:
            joining = self._joining(waiting)
            logits = self.decoder.step(
                kept,
                tokens,
                [self.encoded[prompt_id] for prompt_id, _ in joining],
                [len(samples) for _, samples in joining],
            )
            if joining:
                begun = self._begin(joining).to(logits.device)
                keys = torch.cat([keys.to(logits.device), begun])
                steps = torch.cat([steps.to(logits.device), torch.zeros_like(begun)])
            tokens = choose_tokens(logits, keys, steps, self.request.sampling)
            steps = steps + 1
            unread.append(tokens)
            if len(unread) < self._steps_ahead():
                kept = torch.arange(len(self.going), device=logits.device)
                continue
            rows = self._read(torch.stack(unread).tolist())
            unread.clear()
            self.going = [self.going[row] for row in rows]
            kept = torch.tensor(rows, dtype=torch.long, device=logits.device)
            tokens, keys, steps = tokens[kept], keys[kept], steps[kept]
        return [self.ended[prompt_id, sample] for prompt_id, samples in part for sample in samples]

    def _joining(self, waiting: deque[_Group]) -> list[_Group]:
        """Take the groups that there is room for."""
        joining: list[_Group] = []
        if self.going and not self.decoder.joins:
            return joining
        room = self.request.batch_size - len(self.going)
        while waiting and len(waiting[0][1]) <= room:
            joining.append(waiting.popleft())
            room -= len(joining[-1][1])
        return joining

    def _begin(self, joining: list[_Group]) -> torch.Tensor:
        """Add the sequences of groups that start now, and return their keys."""
        begun = [
            _Sequence(prompt_id, sample, sequence_key(self.request.seed, prompt_id, sample))
            for prompt_id, samples in joining
            for sample in samples
        ]
        self.going += begun
        return torch.tensor([sequence.key for sequence in begun])

    def _steps_ahead(self) -> int:
        """Return the number of steps after which tokens are read: no sequence exceeds its limit."""
        if self.decoder.run_ahead == 1:
            return 1
        longest = max(len(sequence.tokens) for sequence in self.going)
        return min(self.decoder.run_ahead, self.request.max_new_tokens - longest)

    def _read(self, steps: list[list[int]]) -> list[int]:
        """Append the tokens of some steps, and return the rows of unfinished sequences.

        What follows the end of a sequence is dropped: it was computed before its end was known.
        """
        rows = list(range(len(self.going)))
        for chosen in steps:
            before = len(rows)
            rows = self._append(chosen, rows)
            self.progress.update(before - len(rows), tokens=before)
        return rows

    def _append(self, chosen: list[int], going: list[int]) -> list[int]:
        """Append a token to the sequences in these rows, and return the unfinished ones."""
        rows = []
        end_tokens = self.model.end_tokens
        for row in going:
            sequence = self.going[row]
            sequence.tokens.append(chosen[row])
            reason = _end(self.model, end_tokens, sequence.tokens, self.request)
            if reason is None:
                rows.append(row)
                continue
            prompt = self.encoded[sequence.prompt_id]
            text = self.model.decode_completion(prompt, sequence.tokens, self.request.format)
            place = (sequence.prompt_id, sequence.sample)
            self.ended[place] = Completion(*place, text, len(sequence.tokens), reason)
        return rows


def _end(
    model: LanguageModel, end_tokens: frozenset[int], tokens: list[int], request: Request
) -> str | None:
    """Return the reason why a completion ends with its last token; None if it is unfinished."""
    if tokens[-1] in end_tokens or _has_stop_text(model, tokens):
        return "stop"
    return "length" if len(tokens) == request.max_new_tokens else None


def _has_stop_text(model: LanguageModel, tokens: list[int]) -> bool:
    if not model.prompt_template.stop:
        return False
    # A token is a byte at least, so a stop text that has just been completed lies in this tail.
    width = max(len(stop.encode()) for stop in model.prompt_template.stop) + 1
    tail = model.tokenizer.decode(tokens[-width:], skip_special_tokens=True)
    return any(stop in tail for stop in model.prompt_template.stop)
