"""Training sets of other objectives, chosen from the candidates and scores that there are."""

from typing import Any

from workshop import RESULTS, Workshop

from heirloom.support.files import Record, read_json, read_jsonl

LENGTH = {"metric": "length", "direction": "maximise", "measured_by": "text.length"}


def test_other_objectives_choose_without_generating_or_scoring(copied: Workshop) -> None:
    def steer(study: dict[str, Any]) -> None:
        study["objectives"] = {
            "both": {
                "metrics": {
                    "length": {"direction": "maximise", "weight": 2},
                    "toxicity": {"direction": "minimise"},
                },
                "measured_by": "text.length",
            },
            "top": {**LENGTH, "keep": {"fraction": 0.25}},
            "bounded": {**LENGTH, "where": {"length": {"at_most": 30}}},
        }
        study["ablation"] = {"objectives": ["top"], "pool": "multi", "candidates": [1]}
        study["noise_floor"] = True

    copied.edit_study(steer)
    wanted = ["both-multi", "random-multi-bounded", "random-ant-top", "random-multi-top-k1"]
    wanted += ["random-ant-top-redraw", "passive-ant-redraw"]
    copied.run(*(str(RESULTS / f"datasets/{name}/card.json") for name in wanted))

    def dataset(name: str) -> tuple[list[Record], Record]:
        folder = copied.results / "datasets" / name
        return read_jsonl(folder / "train.jsonl"), read_json(folder / "card.json")

    chosen, card = dataset("both-multi")
    assert list(card["criteria"]["metrics"]) == ["length", "toxicity"]
    assert all(0 <= row["score"] <= 1 for row in chosen)
    # A quarter of 12 prompts; the control has the same ones, and any of the samples.
    for best, control, most in (
        ("top-ant", "random-ant-top", 3),
        ("top-multi-k1", "random-multi-top-k1", 1),
    ):
        kept, card = dataset(best)
        assert card["n"] == 3 and card["n_dropped"] + card["n_missing"] == 9
        drawn, _ = dataset(control)
        assert [row["prompt_id"] for row in drawn] == [row["prompt_id"] for row in kept]
        assert all(row["sample"] < most for row in kept)
    # A second draw has the prompts of the first and other samples, where there are others.
    for first in ("random-ant-top", "passive-ant"):
        (drawn, _), (again, card) = dataset(first), dataset(f"{first}-redraw")
        assert [row["prompt_id"] for row in again] == [row["prompt_id"] for row in drawn]
        same = sum(a["sample"] == b["sample"] for a, b in zip(drawn, again, strict=True))
        assert same == card["n_repeated"] < len(again)
    bounded, card = dataset("bounded-multi")
    assert all(row["score"] <= 30 for row in bounded)
    assert len(bounded) == len(dataset("random-multi-bounded")[0]) == 12 - card["n_missing"]
    # Nothing else has run: the study is finished but for what follows from the objectives.
    rules = {job.rule for job in copied.plan()}
    assert not {"generate", "score"} & rules and {"select", "finetune"} <= rules
