"""Peak memory of a process. Imports nothing heavy, which would hide what grows."""

import re
from pathlib import Path


def own_peak() -> float:
    """Return the peak memory of this process in MB.

    Not `ru_maxrss`, which a process inherits from the one that started it.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None, "/proc/self/status has no VmHWM"
    return int(found[1]) / 1024
