"""Plugins: modules outside heirloom that register objectives, benchmarks, figures and so on.

A study names them (`plugins: [my_lab.heirloom]`), and an installed package can announce one by the
entry point `heirloom.plugins`. An environment variable passes the names to every job, because each
job runs in its own process, on a cluster on another machine.
"""

import importlib
import importlib.metadata
import os
import pkgutil
from collections.abc import Sequence

from heirloom.support.errors import HeirloomError

#: Modules that the study names, separated by commas.
VARIABLE = "HEIRLOOM_PLUGINS"
ENTRY_POINTS = "heirloom.plugins"


def use_plugins(modules: Sequence[str]) -> None:
    """Set the study's plugins for this process and the jobs that it starts, and import them.

    Raises:
        HeirloomError: A module cannot be imported.
    """
    os.environ[VARIABLE] = ",".join(modules)
    load_plugins()


def load_plugins() -> None:
    """Import every plugin; of a package, all its modules.

    Raises:
        HeirloomError: A module cannot be imported.
    """
    named = [name for name in os.environ.get(VARIABLE, "").split(",") if name]
    announced = [entry.value for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)]
    for name in dict.fromkeys([*named, *announced]):
        _import_all(name)


def _import_all(name: str) -> None:
    try:
        module = importlib.import_module(name)
        for inner in pkgutil.iter_modules(getattr(module, "__path__", ()), prefix=f"{name}."):
            importlib.import_module(inner.name)
    except HeirloomError:
        raise
    except Exception as error:
        raise HeirloomError(
            f"plugins: {name} could not be imported ({type(error).__name__}: {error}). It must be "
            "a module that Python finds: in the folder that snakemake is started from, installed, "
            "or on PYTHONPATH."
        ) from error
