"""Back end `vllm`: a vLLM server on this machine, for as long as completions are missing.

vLLM pins versions of torch and transformers that conflict with ours, so it runs in its own
environment and is used through its OpenAI-compatible server. Prompts are sent as token ids, with
the stop tokens and seeds of the other back ends.
"""

import logging
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from heirloom.generate import answer_store as answers
from heirloom.generate import fitting
from heirloom.generate import request as requests_
from heirloom.generate.answer import Answer
from heirloom.generate.backends import Backend, backend
from heirloom.generate.client import Client
from heirloom.generate.fitting import encode_fitting
from heirloom.generate.model import LanguageModel, Weights
from heirloom.generate.request import Completion, Prompt, Request
from heirloom.generate.settings import Endpoint
from heirloom.support.errors import HeirloomError
from heirloom.support.files import sha256
from heirloom.support.processes import bound_process
from heirloom.support.work_folder import claimed

logger = logging.getLogger(__name__)

#: The environment variable with the command that starts a server; the model's folder and further
#: options are put behind it.
COMMAND = "HEIRLOOM_VLLM"
_START_SECONDS = 3600.0  # the largest models are read from slow disks
_END_SECONDS = 30.0
_ANSWER_SECONDS = 3600.0
_SERVED_AS = "model"


def command() -> list[str]:
    """Return the command that starts a server, up to the model's folder."""
    return shlex.split(os.environ.get(COMMAND, "")) or ["vllm", "serve"]


@backend("vllm")
class Vllm(Backend):
    """A vLLM server, on GPUs, or on CPUs that vLLM supports."""

    loads_weights = True

    def require(self, weights: Weights) -> None:
        """See `Backend.require`."""
        if shutil.which(command()[0]) is None:
            raise HeirloomError(
                f"generate.backend is vllm, but there is no command {command()[0]}. Install vLLM "
                "into an environment of its own and put the command that starts its server into "
                f"${COMMAND} (config/README.md)."
            )

    def identity(self, model: LanguageModel) -> Mapping[str, str]:
        """See `Backend.identity`."""
        return {"backend": "vllm", "weights": "model"}

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
        """See `Backend.generate`. Prompts are divided into shards.

        Raises:
            HeirloomError: vLLM does not start, or ends too early; the message names its log.
        """
        encoded, too_long = encode_fitting(model, prompts, request, shard=shard)
        fits = [prompt for prompt in prompts if prompt.id in encoded]
        own = [
            (prompt.id, key)
            for prompt in fits[shard::shards]
            for key in answers.keys(prompt, request)
        ]
        share = f"{shard + 1}-of-{shards}"
        with claimed(work, _identity(model, encoded, request), share=share):
            made = answers.read_answers(sorted(work.glob("answers-*.jsonl")))
            asked = {
                key: _body(model, encoded[prompt_id], key, request)
                for prompt_id, key in own
                if key not in made
            }
            if asked:
                made |= _ask(model, asked, request, work, share)
        return [
            *too_long,
            *(_completion(model, encoded[i], key, made[key], request) for i, key in own),
        ]


def _identity(
    model: LanguageModel, encoded: Mapping[str, list[int]], request: Request
) -> dict[str, Any]:
    """Return what determines the answers in a work folder."""
    modules = (__file__, answers.__file__, fitting.__file__, requests_.__file__)
    return {
        "code": [sha256(module) for module in modules],
        "model": str(model.network.name_or_path),
        "adapter": model.adapter_sha256,
        "dtype": str(model.network.dtype),
        "stop": [model.prompt_template.stop, sorted(model.end_tokens)],
        "request": answers.decisive(request),
        "prompts": encoded,
    }


def _ask(
    model: LanguageModel,
    asked: Mapping[answers.Key, dict[str, Any]],
    request: Request,
    work: Path,
    share: str,
) -> dict[answers.Key, Answer]:
    """Start a server, ask it, and end it."""
    log = work / f"vllm-{share}.log"
    longest = max(len(body["prompt"]) for body in asked.values()) + request.max_new_tokens
    with _served_folder(model) as folder, _serving(folder, model, longest, log) as url:
        endpoint = Endpoint(
            url=url,
            model=_SERVED_AS,
            requests=request.batch_size,
            timeout=_ANSWER_SECONDS,
            attempts=3,
        )
        try:
            file = work / f"answers-{share}.jsonl"
            return answers.ask(Client(endpoint), "completions", asked, file)
        except HeirloomError as error:
            raise HeirloomError(f"{error} vLLM's own messages are in {log}.") from error


def _body(
    model: LanguageModel, prompt: list[int], key: answers.Key, request: Request
) -> dict[str, Any]:
    return {
        "prompt": prompt,
        "max_tokens": request.max_new_tokens,
        "stop": list(model.prompt_template.stop),
        "stop_token_ids": sorted(model.end_tokens),
        "return_token_ids": True,
        **answers.sampling_fields(key, request),
        **answers.open_fields(request),
    }


def _completion(
    model: LanguageModel,
    prompt: list[int],
    key: answers.Key,
    answer: Answer,
    request: Request,
) -> Completion:
    """Return a completion, its text made from its tokens as the other back ends do it."""
    if answer.tokens is None:
        raise HeirloomError(
            "vLLM gave no tokens with its completions: it is too old, or is not vLLM. Look at "
            f"${COMMAND} (config/README.md)."
        )
    return Completion(
        prompt_id=key[0],
        sample=key[2],
        completion=model.decode_completion(prompt, answer.tokens, request.format),
        n_tokens=len(answer.tokens),
        finish_reason=answer.finish_reason,
    )


@contextmanager
def _served_folder(model: LanguageModel) -> Iterator[Path]:
    """Yield the model as a folder: its own, or for a student one with the adapter merged.

    Meanwhile a model on a GPU makes room there.
    """
    device = model.device
    if device.type == "cuda":
        import torch

        model.network.to("cpu")
        torch.cuda.empty_cache()
    try:
        if model.adapter_sha256 is None:
            yield Path(model.network.name_or_path)
        else:
            with tempfile.TemporaryDirectory(prefix="heirloom-merged-") as folder:
                model.network.save_pretrained(folder)
                model.tokenizer.save_pretrained(folder)
                yield Path(folder)
    finally:
        if device.type == "cuda":
            model.network.to(device)


@contextmanager
def _serving(folder: Path, model: LanguageModel, longest: int, log: Path) -> Iterator[str]:
    """Yield the address of a server of the model, which is gone when the block ends.

    Args:
        folder: Of the weights.
        model: Of which the name, for messages, and the number format are used.
        longest: Tokens of the longest prompt with its completion.
        log: File for the server's output.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    options = {
        "--host": "127.0.0.1",
        "--port": str(port),
        "--served-model-name": _SERVED_AS,
        "--dtype": str(model.network.dtype).removeprefix("torch."),
        "--max-model-len": str(longest),
        "--generation-config": "vllm",  # no sampling defaults but our own
    }
    started = [*command(), str(folder), *(word for option in options.items() for word in option)]
    logger.info("starting %s", shlex.join(started))
    with (
        log.open("wb") as output,
        bound_process(
            started,
            grace=_END_SECONDS,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"},
        ) as server,
    ):
        _wait_until_ready(url, server, model.name, log)
        yield f"{url}/v1"


def _wait_until_ready(url: str, server: "subprocess.Popen[Any]", name: str, log: Path) -> None:
    import requests

    session = requests.Session()
    session.trust_env = False  # no proxy stands between this machine and itself
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with suppress(requests.RequestException):
            if session.get(f"{url}/health", timeout=10).status_code == 200:
                return
        ended = server.poll() is not None
        if ended or time.monotonic() > deadline:
            last = " | ".join(log.read_text(errors="replace").splitlines()[-5:])
            what = "ended before it was ready" if ended else "was not ready in an hour"
            raise HeirloomError(
                f"vLLM {what} to serve {name}; the end of its log, {log}: {last}. The command that "
                f"starts it is in ${COMMAND}, and may hold options (config/README.md)."
            )
        time.sleep(0.5)
