"""Paths of a study's results: the only place that builds them.

Rules give wildcards for names (`paths.candidates("{teacher}", "{prompts}")`) and declare the
pattern that comes back; the library gives names and reads the file.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath

_RESULTS = "results"


@dataclass(frozen=True)
class Paths:
    """Every file and folder of one study's results.

    Paths are texts, which is what rules take, and begin with `root`.

    Attributes:
        root: Folder of the study's results.
    """

    root: str

    @classmethod
    def of_study(cls, name: str, *, results: str = _RESULTS) -> "Paths":
        """Paths of the study called `name`, below the folder of all results."""
        return cls(f"{results}/{name}")

    # fetch
    def model_note(self, artefact: str) -> str:
        """Note on where a model is."""
        return f"{self.root}/models/{artefact}.json"

    def prompts_note(self, prompts: str) -> str:
        """Note on where the file of a prompt set is."""
        return f"{self.root}/sources/{prompts}.json"

    def data_note(self, data: str) -> str:
        """Note on where a benchmark's data set is."""
        return f"{self.root}/data/{data}.json"

    # prompts
    def prompts(self, prompts: str, split: str) -> str:
        """Prompts of one split, "train" or "eval"."""
        return f"{self.root}/prompts/{prompts}/{split}.jsonl"

    def near_duplicates(self, prompts: str) -> str:
        """Prompts of a set that are left out because they nearly repeat another one."""
        return f"{self.root}/prompts/{prompts}/near_duplicates.jsonl"

    # generate
    def candidates(self, teacher: str, prompts: str) -> str:
        """All candidates of a teacher for a prompt set."""
        return f"{self.root}/generations/{teacher}/{prompts}/candidates.jsonl"

    def candidates_shard(self, teacher: str, prompts: str, shard: str) -> str:
        """One shard of a teacher's candidates; `shard` is such as "1-of-4"."""
        return f"{self.root}/generations/{teacher}/{prompts}/shards/{shard}.jsonl"

    # objectives
    def scores(self, teacher: str, prompts: str, metric: str) -> str:
        """Scores of a teacher's candidates under one metric."""
        return f"{self.root}/scores/{teacher}/{prompts}/{metric}.jsonl"

    def scores_shard(self, teacher: str, prompts: str, metric: str, shard: str) -> str:
        """One shard of those scores."""
        return f"{self.root}/scores/{teacher}/{prompts}/shards/{metric}/{shard}.jsonl"

    def shard_patterns(self, stage: str) -> str:
        """Glob pattern of every shard of a stage, "generations" or "scores", below the root."""
        return f"{stage}/*/*/shards/**/*-of-*.jsonl"

    # select
    def dataset(self, dataset: str, file: str) -> str:
        """A file of a training set: "train.jsonl", "card.json" or "README.md"."""
        return f"{self.root}/datasets/{dataset}/{file}"

    # finetune
    def student(self, student: str, file: str) -> str:
        """A file of a student: "adapter_model.safetensors", "manifest.json", "README.md" ..."""
        return f"{self.root}/students/{student}/{file}"

    # profiling
    def profile(self, model: str, benchmark: str) -> str:
        """Metrics of a model under one benchmark."""
        return f"{self.root}/profiles/{model}/{benchmark}.json"

    def records(self, model: str, benchmark: str) -> str:
        """The records that those metrics are computed from, one per example."""
        return f"{self.root}/profiles/{model}/{benchmark}.records.jsonl"

    def profile_file(self, model: str, benchmark: str, file: str) -> str:
        """A further file that a benchmark writes of a model, such as "lm_eval.json"."""
        return f"{self.root}/profiles/{model}/{benchmark}.{file}"

    def judge_answers(self, teacher: str) -> str:
        """Completions of a teacher that judges are shown."""
        return f"{self.root}/judge/answers/{teacher}.jsonl"

    def judge_pairs(self) -> str:
        """Pairs of completions that judges are shown."""
        return f"{self.root}/judge/pairs.jsonl"

    def compared_answers(self, judge: str) -> str:
        """Verdicts of a judge on the answers of students."""
        return f"{self.root}/compared_answers/{judge}.jsonl"

    # analyse and report
    def plan(self) -> str:
        """The plan of the study."""
        return f"{self.root}/plan.json"

    def all_candidates(self) -> str:
        """All candidates with their scores and the training sets that hold them, one table."""
        return f"{self.root}/candidates.parquet"

    def table(self, table: str) -> str:
        """A table of the report."""
        return f"{self.root}/tables/{table}.csv"

    def latex(self, table: str) -> str:
        """A table of the report as LaTeX."""
        return f"{self.root}/tables/{table}.tex"

    def figure(self, figure: str) -> str:
        """A figure of the report."""
        return f"{self.root}/figures/{figure}.svg"

    def report(self) -> str:
        """The report."""
        return f"{self.root}/report.html"

    # publish
    def crate(self) -> str:
        """Metadata of the RO-Crate, which the whole folder is."""
        return f"{self.root}/ro-crate-metadata.json"

    def crate_workflow(self) -> str:
        """Folder of the workflow that ran, within the crate."""
        return f"{self.root}/workflow"

    def export(self, student: str, file: str) -> str:
        """A file of an exported student: "manifest.json", "merged/README.md" ..."""
        return f"{self.root}/exports/{student}/{file}"

    def published(self, kind: str, name: str) -> str:
        """Record of a push; `kind` is "datasets" or "students"."""
        return f"{self.root}/published/{kind}/{name}.json"

    # next to results
    def log(self, stage: str, *parts: str) -> str:
        """Log of a job."""
        return str(PurePosixPath(self.root, "logs", stage, *parts)) + ".log"

    def costs(self, stage: str, *parts: str) -> str:
        """Time and memory of a job, as Snakemake measures them; the first part is the model."""
        return str(PurePosixPath(self.root, "costs", stage, *parts)) + ".tsv"

    def reused(self, stage: str, *parts: str) -> str:
        """Note on results that a job took from the cache, next to its costs; not always there."""
        return str(PurePosixPath(self.root, "costs", stage, *parts)) + ".reused.json"

    def work(self, stage: str, *parts: str) -> str:
        """Folder in which a job that is killed leaves what it has, for the next one to resume."""
        return str(PurePosixPath(self.root, "work", stage, *parts))

    def lock(self) -> str:
        """Lock that a run holds."""
        return f"{self.root}/.lock"
