from toy_study import STUDY, plan

from heirloom.analyse.offence import may_offend


def rude(**objective):
    """A study whose profanity scorer goes by another name, without an offensive benchmark."""
    length = {"metric": "length", "direction": "maximise", "measured_by": "text.length"}
    return plan(
        metrics={"length": {"function": "length"}, "rudeness": {"function": "profanity"}},
        objectives={"length": {**length, **objective}},
        profiling={"text": {"prompts": "instructions"}},
    )


def test_what_may_offend_follows_from_scorers_and_benchmarks_not_from_names():
    assert not may_offend(rude(), prompts="instructions")
    own = rude(metric="rudeness", direction="minimise")
    assert may_offend(own, prompts="instructions")
    assert not may_offend(own, prompts="provoking") and not may_offend(own, benchmark="text")
    assert may_offend(rude(where={"rudeness": {"at_most": 0.5}}), prompts="instructions")
    harmless = {"length": {"function": "length"}, "toxicity": {"function": "length"}}
    profiled = {"text": {"prompts": "instructions"}}
    assert not may_offend(plan(metrics=harmless, profiling=profiled), prompts="provoking")


def test_prompts_of_an_offensive_benchmark_may_offend():
    own = plan(objectives={"length": STUDY["objectives"]["length"]})
    assert may_offend(own, benchmark="toxicity") and may_offend(own, prompts="provoking")
    assert not may_offend(own, benchmark="text") and not may_offend(own, prompts="instructions")
