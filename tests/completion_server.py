"""A real HTTP server with the API of an endpoint: it writes texts of its own, or passes requests on
to another server, and it has faults on demand."""

import hashlib
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from loopback import Handler, LoopbackServer, running

WORDS = ["red", "blue", "green", "old", "new", "small", "large", "quick", "slow", "calm"]
STOP = "###"
Fault = Callable[[Handler], None]


class CompletionServer(LoopbackServer):
    """Answers as an endpoint does.

    Attributes:
        rule: Gives a request a fault by its body; None: an answer.
        faults: Faults in place of answers, once each, in order.
        dies_after: So many answers, and then it only ever drops connections; None: never.
        key: The key that it wants; None: any.
        asked: Every request: path, headers and body.
        answered: The bodies that got an answer.
    """

    def __init__(self, upstream: str | None = None, key: str | None = None, port: int = 0) -> None:
        super().__init__(port)
        self.upstream, self.key = upstream, key
        self.faults: deque[Fault] = deque()
        self.rule: Callable[[Any], Fault | None] = lambda body: None
        self.dies_after: int | None = None
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.answered: list[Any] = []
        self.lock = threading.Lock()
        self.url = f"{self.address}/v1"

    def answer(self, handler: Handler, body: bytes) -> None:
        if handler.command == "GET":
            model = {"id": "writer", "owned_by": "tests", "max_model_len": 256}
            handler.send(200, {"data": [model]})
            return
        asked = json.loads(body)
        with self.lock:
            self.asked.append((handler.path, dict(handler.headers), asked))
            dead = self.dies_after is not None and len(self.answered) >= self.dies_after
            fault = Handler.drop if dead else self.faults.popleft() if self.faults else None
            fault = fault or self.rule(asked)
            if fault is None:
                self.answered.append(asked)
        if fault is not None:
            fault(handler)
        elif self.key and handler.headers.get("Authorization") != f"Bearer {self.key}":
            refuse_key(handler)
        elif self.upstream:
            handler.send(*self.pass_on(handler.path, body))
        else:
            handler.send(200, completion(handler.path, asked))

    def pass_on(self, path: str, body: bytes) -> tuple[int, Any]:
        url = f"{self.upstream}{path.removeprefix('/v1')}"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return 200, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


def completion(path: str, body: Any) -> Any:
    """A text that follows from prompt and seed: eight words, a stop text and more behind it."""
    prompt = body["messages"][0]["content"] if "messages" in body else body["prompt"]
    seed = body.get("seed") if body.get("temperature", 1) else "greedy"
    digest = hashlib.sha256(f"{prompt}/{seed}".encode()).digest()
    text = " " + " ".join(WORDS[byte % len(WORDS)] for byte in digest[:8])
    if STOP in body.get("stop", []):
        text += f" {STOP} and more"
    chat = path.endswith("/chat/completions")
    # To a prompt of tokens it answers with tokens, none of them an end token of the tiny model.
    tokens = (
        {"token_ids": [4 + byte % 200 for byte in digest[:8]]} if isinstance(prompt, list) else {}
    )
    choice = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    return {
        "model": "writer-2026-01",
        "choices": [{"index": 0, "finish_reason": "stop", **choice, **tokens}],
        "usage": {"completion_tokens": 9},
    }


drop = Handler.drop


def status(code: int, **headers: str) -> Fault:
    """An error of the server."""
    return lambda handler: handler.send(code, {"error": {"message": "not now"}}, **headers)


def says(content: Any) -> Fault:
    """HTTP 200 with something that holds no answer."""
    return lambda handler: handler.send(200, content)


def refuse(status: int, message: str, **fields: Any) -> Fault:
    """A refusal in OpenAI's form."""
    return lambda handler: handler.send(status, {"error": {"message": message, **fields}})


def hang(handler: Handler) -> None:
    """Say nothing for longer than anybody waits."""
    time.sleep(3)
    drop(handler)


def drip(handler: Handler) -> None:
    """Keep the connection alive with white space, without ever answering."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for _ in range(30):
        handler.wfile.write(b"1\r\n \r\n")
        handler.wfile.flush()
        time.sleep(0.1)
    drop(handler)


def refuse_key(handler: Handler) -> None:
    """As careless servers do, with the key in the message."""
    given = handler.headers.get("Authorization", "")
    handler.send(401, {"error": {"message": f"Incorrect API key provided: {given}"}})


def serving(
    upstream: str | None = None, key: str | None = None
) -> AbstractContextManager[CompletionServer]:
    """A running server, which ends with the block."""
    return running(CompletionServer(upstream, key))


if __name__ == "__main__":  # in the place of `vllm serve FOLDER --port PORT ...`
    dies_after = os.environ.get("DIES_AFTER")
    alone = CompletionServer(port=int(sys.argv[sys.argv.index("--port") + 1]))
    alone.dies_after = int(dies_after) if dies_after else None
    print(*sys.argv[1:], flush=True)
    alone.serve_forever()
