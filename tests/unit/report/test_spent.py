import pandas as pd

from heirloom.report.abstract import spent


def test_costs_in_words() -> None:
    # 42.1 s, 50 s, 30 s and 3 s: 125.1 s; the largest job 1024 MB.
    costs = pd.DataFrame(
        [
            ("generate", "alpha", 35.1, 700, 124),
            ("generate", "beta", 7, 400, 96),
            ("finetune", "alpha.length-multi.s1", 50, 1024, 250),
            ("finetune", "alpha.passive-alpha.s1", None, None, 1_250),
            ("profile", "alpha", 30, 800, None),
            ("judge", "beta", 3, 300, None),
        ],
        columns=["stage", "model", "seconds", "peak_memory", "tokens"],
    )
    assert spent(costs) == (
        "generate 1 min (220 tokens), finetune 1 min (1,500 tokens), profile 0 min and judge 0 "
        "min: 2 min of jobs; the largest job took 1.0 GB of memory"
    )
