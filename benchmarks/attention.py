"""Speed of attention in training: two products around a softmax, against torch's attention.

SmolLM2's shape: 9 heads that share 3 keys, 160 tokens behind a shared prefix of 24, bfloat16 and
float32, forward and backward, one thread. Implementations alternate; times are processor
milliseconds of one layer and example, each the mean of 10.

    .venv/bin/python -m benchmarks.attention
"""

import time
from types import SimpleNamespace

import torch

from heirloom.finetune import packing

ROUNDS, REPEATS = 3, 10
HEADS, KEY_HEADS, SIZE = 9, 3, 64
PREFIX, TOKENS = 24, 160


def main() -> None:
    """Print a table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| number format | attention | forward | forward and backward |\n|---|---|---|---|")
    for dtype in (torch.bfloat16, torch.float32):
        inputs = [
            torch.randn(1, heads, PREFIX + TOKENS, SIZE, dtype=dtype, requires_grad=True)
            for heads in (HEADS, KEY_HEADS, KEY_HEADS)
        ]
        for _ in range(ROUNDS):
            for name, longest in (("torch's", 0), ("products", 512)):
                packing.SHORT = longest
                compute(inputs)  # not counted
                forward, both = compute(inputs)
                print(f"| {dtype} | {name} | {forward:.2f} | {both:.2f} |")


def compute(inputs: list[torch.Tensor]) -> tuple[float, float]:
    """Return processor milliseconds of a forward pass, and of one with its backward pass."""
    module = SimpleNamespace(num_key_value_groups=HEADS // KEY_HEADS, is_causal=True)
    times = []
    for backward in (False, True):
        started = time.process_time()
        for _ in range(REPEATS):
            output, _ = packing.attend(module, *inputs, None, lengths=(PREFIX, TOKENS))
            if backward:
                output.backward(torch.ones_like(output))
        times.append((time.process_time() - started) / REPEATS * 1e3)
    return times[0], times[1]


if __name__ == "__main__":
    main()
