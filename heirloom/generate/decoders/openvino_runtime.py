"""OpenVINO itself, as every module here uses it."""

import ctypes
import sys
from typing import Any


class UnconvertibleError(Exception):
    """The model has something in it that OpenVINO's graph would not have."""


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which else reports every import and conversion.

    OpenVINO does without that package where it cannot be imported, which None stands for.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def return_memory() -> None:
    """Give freed memory back, which glibc keeps: 0.8 GB after the conversion of Gemma 3 270M."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
