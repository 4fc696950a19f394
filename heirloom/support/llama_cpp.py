"""llama.cpp's converter from transformers' format to GGUF, a program of its own."""

import logging
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from heirloom.support.errors import HeirloomError
from heirloom.support.processes import bound_process

logger = logging.getLogger(__name__)

#: Environment variable with the command of llama.cpp's converter.
CONVERTER = "HEIRLOOM_GGUF_CONVERTER"
# Its names: of the script in a checkout or package of llama.cpp, and of its Python package.
_COMMANDS = ("convert_hf_to_gguf.py", "convert-hf-to-gguf")


def gguf_converter() -> list[str]:
    """Return the command of llama.cpp's converter from transformers to GGUF.

    Raises:
        HeirloomError: There is none on this machine.
    """
    stated = os.environ.get(CONVERTER, "")
    command = shlex.split(stated) or [name for name in _COMMANDS if shutil.which(name)][:1]
    program = (shutil.which(command[0]) or command[0]) if command else ""
    if not Path(program).is_file():
        raise HeirloomError(
            f"export.gguf: {stated or 'the converter of llama.cpp'} is not there. Put "
            f"convert_hf_to_gguf.py of a checkout of llama.cpp on the PATH, or name it in "
            f"{CONVERTER}; or leave export.gguf out."
        )
    return [*([sys.executable] if program.endswith(".py") else []), program, *command[1:]]


def write_gguf(command: Sequence[str], folder: Path, file: Path, outtype: str) -> None:
    """Convert a model to a GGUF file, which appears whole.

    Args:
        command: Returned by `gguf_converter`.
        folder: The model, as transformers saves it.
        file: File to write.
        outtype: Number format, as the converter calls it.

    Raises:
        HeirloomError: The converter does not know the architecture or the tokenizer.
    """
    file.parent.mkdir(exist_ok=True)
    partial = file.with_suffix(".partial")
    arguments = [str(folder), "--outfile", str(partial), "--outtype", outtype]
    log: list[str] = []
    with bound_process(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            log.append(line.rstrip())
            logger.info("%s", log[-1])
        child.wait()
    if child.returncode or not partial.is_file():
        last = next((line for line in reversed(log) if line.strip()), "it said nothing")
        raise HeirloomError(
            f"export.gguf: llama.cpp's converter cannot write this model as GGUF ({last}). Use a "
            "newer llama.cpp, or leave export.gguf out: the merged model does not need it."
        )
    partial.replace(file)
