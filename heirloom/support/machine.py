"""The machine that a job runs on, as far as it decides numbers; without importing torch."""

import os
from pathlib import Path

# Files that drivers of GPUs make: NVIDIA's, AMD's, and those of Windows Subsystem for Linux.
_DRIVERS = ("nvidia[0-9]*", "kfd", "dxg")


def computed_in(
    dtype: str, *, devices: Path = Path("/dev"), proc: Path = Path("/proc")
) -> list[str]:
    """Return the kind of device and the number format that `dtype` stands for on this machine.

    Args:
        dtype: As in a study file. `auto` differs between machines: on GPUs the names of these are
            added to it.
        devices: Where Linux lists devices.
        proc: Where Linux describes the processor and NVIDIA's driver its GPUs.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all") not in ("", "-1")
    if visible and any(file for name in _DRIVERS for file in devices.glob(name)):
        described = sorted(proc.glob("driver/nvidia/gpus/*/information"))
        lines = [line for file in described for line in file.read_text().splitlines()]
        names = {line.partition(":")[2].strip() for line in lines if line.startswith("Model:")}
        return ["gpu", dtype, *(sorted(names) if dtype == "auto" else [])]
    if dtype == "auto":
        dtype = "bfloat16" if fast_bfloat16(proc / "cpuinfo") else "float32"
    return ["cpu", dtype]


def fast_bfloat16(cpuinfo: Path) -> bool:
    """Tell if a processor multiplies matrices faster in bfloat16 than in float32.

    Having the instructions is not enough. Intel's processors with AVX-512 bf16 but no AMX run them
    at half the rate of float32's: 81 against 146 GFLOP/s on one core of a Xeon of 2023.
    """
    if not cpuinfo.exists():
        return False
    text = cpuinfo.read_text()
    flags = set(text.split())
    if "GenuineIntel" in flags:
        return "amx_bf16" in flags
    return not flags.isdisjoint({"avx512_bf16", "bf16"})
