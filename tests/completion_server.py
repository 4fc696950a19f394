"""A real HTTP server with the API of an endpoint: it writes texts of its own or those of another
server that it passes requests on to, and it has faults on demand."""

import hashlib
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ["red", "blue", "green", "old", "new", "small", "large", "quick", "slow", "calm"]
STOP = "###"
Fault = Callable[["Handler"], None]


class CompletionServer(ThreadingHTTPServer):
    """Answers on this machine, on a free port unless one is given.

    Attributes:
        faults: What happens instead of an answer, once each, in order.
        dies_after: So many answers, and then it only ever drops connections; None: never.
        key: The key that it wants; None: any.
        asked: Every request: path, headers and body.
        answered: The bodies that got an answer.
    """

    daemon_threads = True

    def __init__(self, upstream: str | None = None, key: str | None = None, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.upstream, self.key = upstream, key
        self.faults: deque[Fault] = deque()
        self.dies_after: int | None = None
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.answered: list[Any] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that gave up are expected."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: CompletionServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self.send(200, {"data": [{"id": "writer", "owned_by": "tests", "max_model_len": 256}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.asked.append((self.path, dict(self.headers), body))
            dead = server.dies_after is not None and len(server.answered) >= server.dies_after
            fault = drop if dead else server.faults.popleft() if server.faults else None
            if fault is None:
                server.answered.append(body)
        if fault is not None:
            fault(self)
        elif server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
            refuse_key(self)
        elif server.upstream:
            self.pass_on(body)
        else:
            self.send(200, completion(self.path, body))

    def pass_on(self, body: Any) -> None:
        request = urllib.request.Request(
            self.server.upstream + self.path.removeprefix("/v1"),
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                self.send(200, json.loads(response.read()))
        except urllib.error.HTTPError as error:
            self.send(error.code, json.loads(error.read()))

    def send(self, status: int, content: Any, **headers: str) -> None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(raw)


def completion(path: str, body: Any) -> Any:
    """A text that follows from prompt and seed: eight words, a stop text and more behind it."""
    prompt = body["messages"][0]["content"] if "messages" in body else body["prompt"]
    seed = body["seed"] if body["temperature"] else "greedy"
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


def drop(handler: Handler) -> None:
    """Close the connection without a word."""
    handler.close_connection = True
    handler.connection.close()


def status(code: int, **headers: str) -> Fault:
    """An error of the server."""
    return lambda handler: handler.send(code, {"error": {"message": "not now"}}, **headers)


def says(content: Any) -> Fault:
    """HTTP 200 with something that holds no answer."""
    return lambda handler: handler.send(200, content)


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


@contextmanager
def serving(upstream: str | None = None, key: str | None = None) -> Iterator[CompletionServer]:
    """A running server, which ends with the block."""
    server = CompletionServer(upstream, key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":  # in the place of `vllm serve FOLDER --port PORT ...`
    dies_after = os.environ.get("DIES_AFTER")
    alone = CompletionServer(port=int(sys.argv[sys.argv.index("--port") + 1]))
    alone.dies_after = int(dies_after) if dies_after else None
    print(*sys.argv[1:], flush=True)
    alone.serve_forever()
