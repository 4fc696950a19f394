"""Sampling: the noise, the distribution it gives, and that a text depends on its key alone."""

import math

import pytest
import torch
from scipy import stats
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from heirloom.generate.request import Sampling, sequence_key
from heirloom.generate.sampling import choose_tokens, gumbel_noise, largest

# Fixed keys, so every test is deterministic: a p-value below 1e-3 was looked for once, not always.
KEYS = torch.tensor([sequence_key(5, "prompt", sample) for sample in range(12_000)])


def logits_of(vocabulary: int, scale: float = 1.5) -> torch.Tensor:
    """Distinct logits, normal with the given standard deviation."""
    return torch.randn(vocabulary, generator=torch.Generator().manual_seed(3)) * scale


def warped(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The logits that transformers leaves, divided by the temperature."""
    warpers = LogitsProcessorList([TemperatureLogitsWarper(sampling.temperature)])
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    return warpers(torch.zeros(len(logits), 1, dtype=torch.long), logits.clone().float())


def after(n: int, keys: torch.Tensor) -> torch.Tensor:
    """The step of sequences that all have n tokens so far."""
    return torch.full_like(keys, n)


def choose_all(logits: torch.Tensor, sampling: Sampling, step: int = 7) -> torch.Tensor:
    """One token for each of KEYS, all from the same logits [vocabulary]."""
    return torch.cat(
        [
            choose_tokens(logits.expand(len(keys), -1), keys, after(step, keys), sampling)
            for keys in KEYS.split(2_000)
        ]
    )


@pytest.mark.parametrize(
    ("seed", "prompt", "sample", "hexadecimal"),
    [
        # printf '17/brainstorming-001/0' | sha256sum | cut -c1-16
        (17, "brainstorming-001", 0, "f35e049455919536"),
        (17, "brainstorming-001", 1, "3367daae958c7192"),
        (0, "p", 0, "817c29189beab15c"),
        (17, "é ü", 24, "f3049da3cdafcb77"),
    ],
)
def test_keys_never_change(seed: int, prompt: str, sample: int, hexadecimal: str) -> None:
    # The first 64 bits of the digest, less the last: a key must fit into an int64.
    assert sequence_key(seed, prompt, sample) == int(hexadecimal, 16) // 2


def test_noise_never_changes() -> None:
    """SplitMix64 in Python's integers, masked to 64 bits."""
    mask, gamma = (1 << 64) - 1, 0x9E3779B97F4A7C15

    def mix(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    def reference(key: int, step: int, token: int) -> float:
        position = mix((key + step * gamma) & mask)
        bits = mix(mix((position + token * gamma) & mask)) >> 12
        return -math.log(-math.log((bits + 0.5) / 2**52))

    tokens = torch.tensor([[0, 1, 49_151, 262_143]])
    for key in (0, 1, 2**63 - 1, *KEYS[:20].tolist()):
        for step in (0, 1, 159):
            noise = gumbel_noise(torch.tensor([key]), torch.tensor([step]), tokens)[0]
            expected = [reference(key, step, token) for token in tokens[0].tolist()]
            assert noise.tolist() == pytest.approx(expected, rel=1e-12)


def test_noise_is_standard_gumbel() -> None:
    keys = KEYS[:1_000]
    noise = gumbel_noise(keys, after(3, keys), torch.arange(1_000).expand(1_000, -1)).flatten()
    # A million draws. The standard error of the mean is 1.2825 / 1000, and that of the variance
    # 1.645 * sqrt(5.4 - 1) / 1000 = 0.0035 (5.4 is the kurtosis): both bounds are 4 of them.
    assert noise.mean().item() == pytest.approx(0.57722, abs=0.0052)
    assert noise.var().item() == pytest.approx(math.pi**2 / 6, abs=0.014)
    assert stats.kstest(noise[::20].numpy(), stats.gumbel_r.cdf).pvalue > 1e-3


@pytest.mark.parametrize("other", ["next step", "next token", "next sample", "key plus one"])
def test_neighbouring_noise_is_uncorrelated(other: str) -> None:
    keys, tokens = KEYS[:500], torch.arange(500).expand(500, -1)
    noise = gumbel_noise(keys, after(10, keys), tokens)
    neighbour = {
        "next step": gumbel_noise(keys, after(11, keys), tokens),
        "next token": gumbel_noise(keys, after(10, keys), tokens + 1),
        "next sample": gumbel_noise(KEYS[1:501], after(10, keys), tokens),
        "key plus one": gumbel_noise(keys + 1, after(10, keys), tokens),
    }[other]
    correlation = torch.corrcoef(torch.stack([noise.flatten(), neighbour.flatten()]))[0, 1]
    # 250,000 pairs: the standard error of a correlation of zero is 1 / 500.
    assert abs(correlation.item()) < 4 / 500


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=0.6),
        Sampling(temperature=1.7, top_k=5),
        Sampling(top_p=0.8),
        Sampling(temperature=0.8, top_k=12, top_p=0.9),
    ],
    ids=str,
)
def test_tokens_follow_the_distribution(sampling: Sampling) -> None:
    logits = logits_of(20)
    expected = warped(logits[None], sampling)[0].double().softmax(-1)
    counts = torch.bincount(choose_all(logits, sampling), minlength=20)
    possible = expected > 0
    assert counts[~possible].sum() == 0
    result = stats.chisquare(counts[possible].numpy(), (expected * len(KEYS))[possible].numpy())
    assert result.pvalue > 1e-3


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(top_k=50),
        Sampling(temperature=0.5, top_k=7),
        Sampling(top_k=5_000),
        Sampling(top_p=0.9),
        Sampling(top_p=0.999),
        Sampling(temperature=2.0, top_p=0.95),
        Sampling(top_k=40, top_p=0.7),
        Sampling(temperature=0.7, top_k=700, top_p=0.95),
        Sampling(top_p=1e-6),
    ],
    ids=str,
)
def test_choices_are_those_left_by_transformers(sampling: Sampling) -> None:
    """Noise on what transformers' warpers leave must pick the same token for every key."""
    logits = logits_of(1_100, scale=1.0)
    left = warped(logits[None], sampling)[0].double()
    tokens = torch.arange(1_100)
    chosen = choose_all(logits, sampling, step=2)
    expected = torch.cat(
        [
            (left + gumbel_noise(keys, after(2, keys), tokens.expand(len(keys), -1))).argmax(-1)
            for keys in KEYS.split(2_000)
        ]
    )
    assert torch.equal(chosen, expected)


def test_the_nucleus_is_widened() -> None:
    """256 of 2,000 equal tokens hold 12.8 %; a choice among them alone would miss most tokens."""
    logits = torch.linspace(0, 0.1, 2_000)
    chosen = choose_all(logits, Sampling(top_p=0.5))
    kept = torch.isfinite(warped(logits[None], Sampling(top_p=0.5))[0])
    assert 950 < kept.sum() < 1_000  # a little under half, because the likelier ones are taken
    assert kept[chosen].all()
    # 12,000 draws from some 980 tokens miss each with probability exp(-12.2): none, most likely.
    assert len(chosen.unique()) > kept.sum() - 5


def test_each_row_has_its_own_nucleus() -> None:
    """A peaked row needs one token, a flat one 1,980 of 2,000: the widest decides the width."""
    peaked = torch.zeros(2_000)
    peaked[1_234] = 50.0
    logits = torch.stack([peaked, torch.linspace(0, 0.01, 2_000)]).repeat(500, 1)
    chosen = choose_tokens(logits, KEYS[:1_000], after(0, KEYS[:1_000]), Sampling(top_p=0.99))
    assert (chosen[0::2] == 1_234).all()
    assert len(chosen[1::2].unique()) > 400  # 500 draws of 1,980 tokens: 441 different on average


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=10), Sampling(top_p=0.9)], ids=str)
def test_a_choice_does_not_depend_on_its_batch(sampling: Sampling) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(64, 700, generator=generator)
    keys = KEYS[:64]
    steps = torch.arange(64) % 5  # sequences that began at different times
    together = choose_tokens(logits, keys, steps, sampling)
    alone = [
        choose_tokens(logits[row : row + 1], keys[row : row + 1], steps[row : row + 1], sampling)
        for row in range(64)
    ]
    assert torch.equal(torch.cat(alone), together)
    order = torch.randperm(64, generator=generator)
    shuffled = choose_tokens(logits[order], keys[order], steps[order], sampling)
    assert torch.equal(shuffled, together[order])
    assert not torch.equal(choose_tokens(logits, keys, steps + 1, sampling), together)


@pytest.mark.parametrize("vocabulary", [640, 4_096, 1_000])
def test_the_largest_are_those_of_topk(vocabulary: int) -> None:
    """10 and 64 chunks of 64 tokens, and 1,000 tokens, which are no whole number of chunks."""
    logits = torch.stack([logits_of(vocabulary), logits_of(vocabulary).sort().values])
    for k in (1, 9, 30, 50, vocabulary):
        values, tokens = largest(logits, k)
        expected = logits.topk(k)
        assert torch.equal(values, expected.values) and torch.equal(tokens, expected.indices)


def test_temperature_zero_is_greedy() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, -1.0, 1.9]])
    for top_k, top_p in ((0, 1.0), (1, 0.5)):
        chosen = choose_tokens(logits, KEYS[:2], after(0, KEYS[:2]), Sampling(0.0, top_k, top_p))
        assert chosen.tolist() == [1, 0]


def test_top_k_of_one_is_greedy() -> None:
    logits = logits_of(50)
    assert set(choose_all(logits, Sampling(top_k=1)).tolist()) == {int(logits.argmax())}


def test_bfloat16_logits_are_sampled_in_higher_precision() -> None:
    """Dividing bfloat16 by the temperature before widening would round and move ties."""
    logits = logits_of(300).bfloat16()
    sampling = Sampling(temperature=0.7, top_k=50)
    assert torch.equal(choose_all(logits, sampling), choose_all(logits.float(), sampling))
