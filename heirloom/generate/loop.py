"""Generate completions: k samples a prompt share one prefill, and ended sequences stop costing.

The work is cut into parts that depend on the prompts and on the batch size alone. Within a part
prompts begin as soon as enough sequences have ended, where the decoder allows it. Each finished
part is a file of its own, so a killed job loses the part it was in, and shards are subsets of one
list of parts, so that their number changes no text.
"""

import logging
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from heirloom.generate import model as models
from heirloom.generate import sampling
from heirloom.generate.backends import endpoint as remote
from heirloom.generate.backends import openvino as openvino_decoding
from heirloom.generate.backends import openvino_graph
from heirloom.generate.backends import transformers as decoding
from heirloom.generate.backends import vllm as vllm_server
from heirloom.generate.backends.endpoint import RemoteModel
from heirloom.generate.model import LanguageModel
from heirloom.generate.request import Prompt, Request
from heirloom.generate.sampling import choose_tokens, sequence_key
from heirloom.support.files import Record, read_jsonl, sha256, write_jsonl
from heirloom.support.log import Progress
from heirloom.support.work_folder import claimed

logger = logging.getLogger(__name__)

_ENDED, _CUT, _TOO_LONG = "stop", "length", "too_long"
# Batches' worth of sequences in a part. More leave fewer places empty, which at the end of a part
# nobody fills; fewer lose less to a kill.
_BATCHES_A_PART = 4
# A prompt's id and the numbers of the samples that begin together.
_Group = tuple[str, list[int]]


def generate(
    model: LanguageModel | RemoteModel,
    prompts: Sequence[Prompt],
    request: Request,
    *,
    work: Path,
    shard: int = 0,
    shards: int = 1,
) -> list[Record]:
    """Complete prompts, going on where an earlier, killed call with the same `work` folder stopped.

    Args:
        model: The model to sample from.
        prompts: Prompts with distinct ids.
        request: Number of samples, length, sampling and seed.
        work: Folder for finished parts, the same for all shards. One that belongs to another
            request, model or set of prompts is emptied first. As long as it is kept, the same call
            generates nothing, whatever the number of shards. Texts from an endpoint are kept in a
            folder of their own, see `RemoteModel`.
        shard: Which share of the parts to do, from 0.
        shards: Into how many shares the parts are divided.

    Returns:
        A record a completion, ordered by the prompts given and then by sample number: prompt_id,
        sample, completion (text without the stop text), n_tokens (generated, the end token
        included) and finish_reason: `"stop"` (ended by itself), `"length"` (cut by max_new_tokens)
        or `"too_long"` (prompt and completion do not fit the model's context: completion "",
        n_tokens 0).
    """
    if isinstance(model, RemoteModel):
        return remote.generate(model, prompts, request, shard=shard, shards=shards)
    if model.backend == "vllm":
        return vllm_server.generate(model, prompts, request, work=work, shard=shard, shards=shards)
    encoded = {p.id: model.encode_prompt(p.text, request.format) for p in prompts}
    room = model.context_length - request.max_new_tokens
    fitting = {i: tokens for i, tokens in encoded.items() if len(tokens) <= room}
    parts = list(enumerate(_parts(fitting, request)))[shard::shards]

    records: dict[tuple[str, int], Record] = {}
    for prompt_id in encoded.keys() - fitting.keys() if shard == 0 else ():
        logger.warning(
            "prompt %s is left out: its %d tokens and %d new ones exceed the context of %s, %d "
            "tokens. Lower max_new_tokens or drop the prompt.",
            *(prompt_id, len(encoded[prompt_id]), request.max_new_tokens),
            *(model.name, model.context_length),
        )
        for sample in range(request.samples):
            records[prompt_id, sample] = _record(prompt_id, sample, "", 0, _TOO_LONG)

    progress = Progress(
        sum(len(samples) for _, part in parts for _, samples in part), "completions"
    )
    longest = _longest([part for _, part in parts], fitting, request.batch_size)
    generated = False  # to ask for the decoder is to make it, which takes seconds
    with claimed(work, _identity(model, fitting, request), share=f"{shard + 1}-of-{shards}"):
        for number, part in parts:
            file = work / f"part-{number:05d}.jsonl"
            if file.exists():
                progress.update(sum(len(samples) for _, samples in part))
            else:
                write_jsonl(file, _complete(model, part, fitting, longest, request, progress))
                generated = True
            records.update({(r["prompt_id"], r["sample"]): r for r in read_jsonl(file)})
    if generated:
        model.decoder.finish()
    order = [(p.id, sample) for p in prompts for sample in range(request.samples)]
    return [records[sequence] for sequence in order if sequence in records]


def _identity(
    model: LanguageModel, encoded: dict[str, list[int]], request: Request
) -> dict[str, Any]:
    """What decides the parts: the very code, model, request and prompts."""
    return {
        "code": [
            sha256(str(module.__file__))
            for module in (
                *(sys.modules[__name__], decoding, openvino_decoding, openvino_graph),
                *(models, sampling),
            )
        ],
        "model": str(model.network.name_or_path),
        "adapter": model.adapter_sha256,
        "dtype": str(model.network.dtype),
        "decoder": model.decoder_identity,
        "stop": model.prompt_template.stop,
        "request": asdict(request),
        "prompts": encoded,
    }


def _parts(encoded: dict[str, list[int]], request: Request) -> list[list[_Group]]:
    """The work in parts of about the same size, in each the shorter prompts first.

    Prompts of like length are together so that a decoder that pads has little to pad.
    """
    samples = range(request.samples)
    groups = [
        (prompt_id, list(samples[start : start + request.batch_size]))
        for prompt_id in sorted(encoded, key=lambda i: (len(encoded[i]), i))
        for start in range(0, request.samples, request.batch_size)
    ]
    sequences = _BATCHES_A_PART * request.batch_size
    number = -(-len(groups) * min(request.samples, request.batch_size) // sequences)
    return [groups[part::number] for part in range(number)]


def _longest(parts: list[list[_Group]], encoded: dict[str, list[int]], n: int) -> list[int]:
    """Lengths of n prompts that are no shorter than the n longest of any part.

    So that all parts fit one cache: one after another, each a little larger, leave gaps in memory.
    """
    lengths = (
        sorted((len(encoded[i]) for i, samples in part for _ in samples), reverse=True)[:n]
        for part in parts
    )
    return [max(together) for together in zip_longest(*lengths, fillvalue=0)]


@dataclass
class _Sequence:
    """One completion in the making."""

    prompt_id: str
    sample: int
    key: int
    tokens: list[int] = field(default_factory=list)


@torch.inference_mode()
def _complete(
    model: LanguageModel,
    part: list[_Group],
    encoded: dict[str, list[int]],
    longest: list[int],
    request: Request,
    progress: Progress,
) -> list[Record]:
    """Generate one part: compute each prompt once, and all sequences that go on together."""
    decoder = model.decoder
    decoder.reserve(longest, request.max_new_tokens)
    waiting = deque(part)
    going: list[_Sequence] = []
    kept = tokens = torch.empty(0, dtype=torch.long)
    records: dict[tuple[str, int], Record] = {}
    while going or waiting:
        joining: list[_Group] = []
        room = request.batch_size - len(going) if decoder.joins or not going else 0
        while waiting and len(waiting[0][1]) <= room:
            joining.append(waiting.popleft())
            room -= len(joining[-1][1])
        logits = decoder.step(
            kept, tokens, [encoded[i] for i, _ in joining], [len(samples) for _, samples in joining]
        )
        going += [
            _Sequence(prompt_id, sample, sequence_key(request.seed, prompt_id, sample))
            for prompt_id, samples in joining
            for sample in samples
        ]
        keys = torch.tensor([sequence.key for sequence in going], device=logits.device)
        steps = torch.tensor([len(sequence.tokens) for sequence in going], device=logits.device)
        chosen = choose_tokens(logits, keys, steps, request.sampling)
        rows = []
        for row, (sequence, token) in enumerate(zip(going, chosen.tolist(), strict=True)):
            sequence.tokens.append(token)
            reason = _end(model, sequence.tokens, request)
            if reason is None:
                rows.append(row)
                continue
            prompt = encoded[sequence.prompt_id]
            text = model.decode_completion(prompt, sequence.tokens, request.format)
            place = (sequence.prompt_id, sequence.sample)
            records[place] = _record(*place, text, len(sequence.tokens), reason)
        progress.update(len(going) - len(rows))
        going = [going[row] for row in rows]
        kept = torch.tensor(rows, dtype=torch.long, device=logits.device)
        tokens = chosen[kept]
    return [records[prompt_id, sample] for prompt_id, samples in part for sample in samples]


def _end(model: LanguageModel, tokens: list[int], request: Request) -> str | None:
    """Why a completion ends with its last token; None if it goes on."""
    if tokens[-1] in model.end_tokens or _has_stop_text(model, tokens):
        return _ENDED
    return _CUT if len(tokens) == request.max_new_tokens else None


def _has_stop_text(model: LanguageModel, tokens: list[int]) -> bool:
    if not model.prompt_template.stop:
        return False
    # A token is a byte at least, so a stop text that has just been completed lies in this tail.
    width = max(len(stop.encode()) for stop in model.prompt_template.stop) + 1
    tail = model.tokenizer.decode(tokens[-width:], skip_special_tokens=True)
    return any(stop in tail for stop in model.prompt_template.stop)


def _record(
    prompt_id: str, sample: int, completion: str, n_tokens: int, finish_reason: str
) -> Record:
    return {
        "prompt_id": prompt_id,
        "sample": sample,
        "completion": completion,
        "n_tokens": n_tokens,
        "finish_reason": finish_reason,
    }
