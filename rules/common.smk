"""What the rules look up in the study and its plan, and what surrounds a run."""

import fcntl
from itertools import groupby


report: "../report/workflow.rst"


# For every job. Bars of several jobs would interleave in one terminal, and threads that spin while
# they wait slow down the jobs beside theirs.
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def any_of(names):
    """A wildcard constraint that matches these names alone.

    Names that start alike share their start: Snakemake puts it into every pattern, and of a
    thousand students written out one by one it would be slow to plan a run.
    """
    alike = [list(group) for _, group in groupby(sorted(set(names)), lambda n: n[:1])]
    parts = []
    for group in alike:
        start = os.path.commonprefix(group)
        ends = [name.removeprefix(start) for name in group]
        parts.append(re.escape(start) + (any_of(ends) if len(ends) > 1 else ""))
    return f"(?:{'|'.join(parts)})" if parts else "none"


def modules(*names):
    """Modules that define a rule's result, as inputs: editing one re-runs the rule."""
    return [os.path.relpath(f) for f in modules_of(*(f"heirloom.{n}" for n in names))]


def shards_there(stage):
    """How many shards made what is there, and 1 where nothing is.

    A run that says nothing of shards, a look at the report without the cluster's profile for one,
    must not take what others made for the work of another number.
    """
    made = Path(RESULTS, stage).glob("*/*/shards/**/*-of-*.jsonl")
    newest = max(made, key=lambda file: file.stat().st_mtime, default=None)
    return int(newest.stem.rpartition("-of-")[2]) if newest else 1


def scorer_files(metric):
    """The files that define a metric: editing one re-scores."""
    return [
        os.path.relpath(file)
        for file in objectives.source_files(STUDY.metrics[metric].function)
    ]


def template_of(model):
    """How a model, or the base of a student, is shown a prompt."""
    settings = STUDY.models[
        PLAN.models[model].base or model if model in PLAN.models else model
    ]
    return {"template": settings.template, "stop": tuple(settings.stop)}


def endpoint_of(model):
    """The settings of the endpoint that a model is behind; None if it has sources."""
    endpoint = STUDY.models[model].endpoint
    return endpoint and endpoint.model_dump(mode="json")


def local_files(artefact):
    """Files of an artefact that are on this machine: editing one re-runs what depends on it."""
    paths = [s.path.expanduser() for s in artefact.sources if hasattr(s, "path")]
    # Of a folder its files: its own time does not change when one of them is edited.
    found = [
        file
        for path in paths
        for file in ([path] if path.is_file() else path.rglob("*"))
    ]
    return sorted(str(file) for file in found if file.is_file())


def forget_lost_artefacts():
    """Drop the notes on artefacts that are no longer there, so that they are fetched again."""
    for note in [
        *Path(RESULTS, "models").glob("*.json"),
        *Path(RESULTS, "sources").glob("*.json"),
        *Path(RESULTS, "data").glob("*.json"),
    ]:
        try:
            locate(note)
        except HeirloomError:
            note.unlink()


def criteria_of(dataset):
    """The part of a training set's objective that decides the choice; None without objective."""
    objective = STUDY.objectives.get(PLAN.datasets[dataset].objective)
    return objective and objective.decides()


def pool_files(folder, file):
    """One file for every teacher in a training set's pool."""

    def files(wildcards):
        dataset = PLAN.datasets[wildcards.dataset]
        return [
            f"{RESULTS}/{folder}/{t}/{dataset.prompts}/{file}" for t in dataset.teachers
        ]

    return files


def score_files(wildcards):
    """The scores of a training set's candidates, by every metric that it takes to choose."""
    objective = STUDY.objectives[PLAN.datasets[wildcards.dataset].objective]
    return [
        file
        for metric in objective.scored_by
        for file in pool_files("scores", f"{metric}.jsonl")(wildcards)
    ]


def benchmark_options(name):
    """A benchmark's section of the study file."""
    return getattr(STUDY.benchmarks, name)


def benchmark_settings(name):
    """What a benchmark needs: its options, and of its prompts and its metric what they say."""
    options = benchmark_options(name).model_dump(mode="json")
    prompts, metric = options.get("prompts"), options.get("metric")
    return {
        "name": name,
        "options": options,
        "prompts": f"{RESULTS}/prompts/{prompts}/eval.jsonl" if prompts else None,
        "format": STUDY.prompts[prompts].format if prompts else None,
        "scorer": STUDY.metrics[metric].model_dump(mode="json") if metric else None,
        "pairs": f"{RESULTS}/judge/pairs.jsonl" if options.get("pool") else None,
    }


def benchmark_prompts():
    """The eval prompts that benchmarks name, each file once."""
    return sorted({s["prompts"] for s in map(benchmark_settings, BENCHMARKS)} - {None})


def benchmark_pairs():
    """The pairs of answers by the study's own teachers, if a benchmark names a pool."""
    return sorted({s["pairs"] for s in map(benchmark_settings, BENCHMARKS)} - {None})


def judged():
    """What the judge benchmark says about pairs of the study's own; None without any."""
    options = benchmark_options("judge")
    return options if options and options.pool else None


def judged_teachers():
    """The teachers of the judged pool: of a pool by that name, or the one of that name."""
    return STUDY.pools.get(judged().pool, [judged().pool])


def judged_files():
    """What the teachers of the judged pool answered, and the pairs made of it, if there is one."""
    if not judged():
        return []
    answers = [f"{RESULTS}/judge/answers/{t}.jsonl" for t in judged_teachers()]
    return [*answers, f"{RESULTS}/judge/pairs.jsonl"]


def benchmark_data():
    """The data sets that benchmarks name, each once."""
    return sorted({d for b in BENCHMARKS for d in benchmark_options(b).data_names})


def benchmark_modules():
    """What defines the benchmarks' numbers, the scorers that they name included.

    All of them, because some import others.
    """
    metrics = {getattr(benchmark_options(b), "metric", None) for b in BENCHMARKS}
    scorers = [f for m in sorted(metrics - {None}) for f in scorer_files(m)]
    names = [f"profiling.{b.run.__module__.rpartition('.')[2]}" for b in profiling.registered()]
    return modules(*names) + scorers


def labelled(folder, names, suffix, category):
    """Files for the study's report that `snakemake --report` shows too, each with its caption."""
    return {
        name: report(
            f"{RESULTS}/{folder}/{name}.{suffix}",
            caption=f"../report/captions/{name}.rst",
            category=category,
            labels={"study": STUDY.study, "shows": title_of(name)},
        )
        for name in names
    }


def tables_of_studies(table):
    """A table of this study and of those it is compared with."""
    return [
        f"results/{name}/tables/{table}.csv"
        for name in [STUDY.study, *STUDY.compare_with]
    ]


def require_studies():
    """Stop before any job if a study to compare with has not been run.

    Not left to Snakemake, which takes a report that is there for finished if an input is missing.
    """
    for name in STUDY.compare_with:
        for table in ("changes", "settings"):
            if not Path(f"results/{name}/tables/{table}.csv").exists():
                raise WorkflowError(
                    f"compare_with: the study {name} has no results/{name}/tables/{table}.csv. Run "
                    "it first, in this folder: snakemake --cores all --configfile ITS-STUDY-FILE"
                )


def run_command(shown):
    """How to run the study again; `shown` says how the path of a study file is written."""
    files = [f"--configfile {shown(file)}" for file in workflow.configfiles]
    return " ".join(["snakemake --cores all", *files])


def inner_path(file):
    """A path from here; of one that leads out of here the name alone, for it may name a user."""
    path = Path(os.path.relpath(file))
    return path.name if ".." in path.parts else str(path)


def published(kind, names):
    """What a push leaves behind; an error where the study publishes nothing."""

    def files(wildcards):
        if STUDY.publish is None:
            raise WorkflowError(
                "there is nothing to push: the study file has no section `publish`. "
                "config/README.md explains it."
            )
        chosen = getattr(STUDY.publish, kind)
        return [
            f"{RESULTS}/published/{kind}/{name}.json"
            for name in (names if chosen is None else chosen)
        ]

    return files


def base_of(student):
    """The base of a student, by its name here and on the hub."""
    name = PLAN.models[student].base
    sources = [source.model_dump(mode="json") for source in STUDY.models[name].sources]
    return {"name": name, **(hub_base(sources) or {})}


onstart:
    # Two runs in one folder would write the same files. The kernel drops this lock when the run
    # ends, however it ends; Snakemake's own would have to be removed by hand after a SIGKILL.
    global RUN_LOCK
    Path(RESULTS).mkdir(parents=True, exist_ok=True)
    RUN_LOCK = open(f"{RESULTS}/.lock", "w")
    try:
        fcntl.flock(RUN_LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkflowError(
            f"another run is working on {RESULTS}. Wait for it, or stop it first."
        )
    except OSError as error:
        print(
            f"{RESULTS} cannot be locked ({error.strerror}): start no second run in it."
        )


onerror:
    print(
        "\nSomething failed; its message is above and in the log file named there. What was "
        "finished is kept: put it right and run the same command again.\n"
    )
