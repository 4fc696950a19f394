"""Long work against a server with every fault at once, killed twice: nothing is lost or repeated.

An hour's requests, compressed: more of them, for a longer trial, by `PROMPTS_ASKED`.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from completion_server import (
    CompletionServer,
    Fault,
    completion,
    drop,
    refuse,
    says,
    serving,
    status,
)
from loopback import Handler

from heirloom.generate.answer_store import read_answers
from heirloom.support.files import read_jsonl

PROMPTS_ASKED = int(os.environ.get("HEIRLOOM_ENDURANCE", "200"))
SAMPLES, AT_ONCE = 2, 8
CHAT = "/v1/chat/completions"

JOB = """
import sys
from pathlib import Path
from heirloom.generate import client
from heirloom.generate.endpoint import RemoteModel, generate
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.settings import Endpoint
from heirloom.generate.templates import PromptTemplate
from heirloom.support.files import write_jsonl

url, folder, n, samples, at_once = sys.argv[1:]
client._FIRST_DELAY = 0.02
endpoint = Endpoint(url=url, model="writer", requests=at_once, timeout=5, max_failed=0.08)
model = RemoteModel("writer", endpoint, PromptTemplate(), Path(folder, "kept"))
prompts = [Prompt(f"p{i}", f"Name {i} colours.") for i in range(int(n))]
made = generate(model, prompts, Request(int(samples), 16, Sampling(), 1), shard=0, shards=1)
write_jsonl(Path(folder, "made.jsonl"), [one.record() for one in made])
"""


def lot(body: Any) -> float:
    """A number from 0 to 1 that belongs to a request, whenever it is made."""
    text = f"{body['messages'][0]['content']}/{body['seed']}"
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32


def slow(body: Any) -> Fault:
    """The whole answer, in pieces."""

    def send(handler: Handler) -> None:
        raw = json.dumps(completion(CHAT, body)).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        for start in range(0, len(raw), 50):
            handler.wfile.write(raw[start : start + 50])
            handler.wfile.flush()
            time.sleep(0.01)

    return send


class Faulty:
    """1 % filtered, 1 % null; 3 % of all requests reset, slow or nonsense; bursts of 429."""

    def __init__(self) -> None:
        self.chance, self.busy_until = random.Random(7), 0.0
        self.paid: list[str] = []

    def __call__(self, body: Any) -> Fault | None:
        if time.monotonic() < self.busy_until:
            return status(429, Retry_After_Ms="30")
        drawn = self.chance.random()
        if drawn < 0.01:
            self.busy_until = time.monotonic() + 0.06
            return status(429)
        if drawn < 0.02:
            return drop
        if drawn < 0.03:
            return says(b'{"choices": [{"message"')
        if (own := lot(body)) < 0.01:
            return refuse(400, "The response was filtered", code="content_filter")
        self.paid.append(json.dumps(body, sort_keys=True))
        if own < 0.02:
            null = {"finish_reason": "stop", "message": {"content": None}}
            return says({"choices": [null], "usage": {"completion_tokens": 9}})
        return slow(body) if drawn < 0.04 else None


def run(server: CompletionServer, folder: Path, until: int | None, rule: Faulty) -> int:
    """Run the job to its end, or kill it once so many answers were paid for; its exit code."""
    arguments = [server.url, str(folder), *map(str, (PROMPTS_ASKED, SAMPLES, AT_ONCE))]
    job = subprocess.Popen([sys.executable, "-c", JOB, *arguments])
    while job.poll() is None and (until is None or len(rule.paid) < until):
        time.sleep(0.01)
    if job.poll() is None:
        job.send_signal(signal.SIGKILL)
    return job.wait()


def test_an_hour_of_faults_with_two_kills(tmp_path: Path) -> None:
    total = PROMPTS_ASKED * SAMPLES
    with serving() as server:
        server.rule = rule = Faulty()
        for number in (1, 2):
            assert run(server, tmp_path, number * total // 3, rule) == -signal.SIGKILL
            paid, kept = len(rule.paid), len(read_answers((tmp_path / "kept").glob("*/*.jsonl")))
            # Lost are those alone that were on their way.
            assert kept >= paid - number * AT_ONCE
        assert run(server, tmp_path, None, rule) == 0
        assert len(rule.paid) - len(set(rule.paid)) <= 2 * AT_ONCE
        bodies = {(b["messages"][0]["content"], b["seed"]): b for _, _, b in server.asked}
        asked = len(server.asked)
        assert run(server, tmp_path, None, rule) == 0
        assert len(server.asked) == asked

    made = read_jsonl(tmp_path / "made.jsonl")
    places = [(r["prompt_id"], r["sample"]) for r in made]
    assert places == [(f"p{n}", s) for n in range(PROMPTS_ASKED) for s in range(SAMPLES)]
    expected = {}
    for (prompt, _), body in bodies.items():
        own = lot(body)
        text = completion(CHAT, body)["choices"][0]["message"]["content"].strip()
        end = (
            (None, "filtered") if own < 0.01 else (None, "empty") if own < 0.02 else (text, "stop")
        )
        expected.setdefault(prompt, []).append(end)
    assert len(bodies) == total
    found: dict[str, list[Any]] = {}
    for record in made:
        prompt = f"Name {record['prompt_id'][1:]} colours."
        found.setdefault(prompt, []).append((record["completion"], record["finish_reason"]))
    assert {p: sorted(ends, key=str) for p, ends in found.items()} == {
        p: sorted(ends, key=str) for p, ends in expected.items()
    }
    reasons = {reason for ends in found.values() for _, reason in ends}
    assert reasons == {"stop", "filtered", "empty"}
