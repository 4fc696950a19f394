"""Model and prompts of the speed measurements, as the default study names them."""

from pathlib import Path

import yaml

from heirloom.fetch.cache import cache_root
from heirloom.fetch.downloads import fetch
from heirloom.fetch.gguf import prepare_model
from heirloom.generate.request import Prompt
from heirloom.prompts.read import read_prompts
from heirloom.prompts.split import split_prompts
from heirloom.study.config import Study
from heirloom.study.parse import parse_study


def default_study() -> Study:
    """The study in config/config.yaml."""
    return parse_study(yaml.safe_load(Path("config/config.yaml").read_text()), root=Path.cwd())


def fetch_model(study: Study) -> tuple[Path, Path]:
    """SmolLM2-135M-Instruct: the downloaded file, and the folder to load it from."""
    source = fetch(study.models["smollm2"].sources, name="smollm2", cache=cache_root())
    return source, prepare_model(source, name="smollm2", cache=cache_root())


def sample_prompts(study: Study) -> list[Prompt]:
    """16 of our instructions, drawn by the study's seed."""
    rows = read_prompts("resources/prompts/instructions.jsonl", text="instruction", input="input")
    sample, _ = split_prompts(rows, train=16, eval=1, seed=study.seed, name="instructions")
    return [Prompt(**row) for row in sample]
