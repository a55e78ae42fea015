"""The directory below which the tests write: a tmpfs, one for each worker of pytest-xdist (tools/workers.py)."""

import itertools
import os
from pathlib import Path

SCRATCH = Path(os.environ.get("TEST_SCRATCH", "/tmp"))
_numbers = itertools.count()


def scratch_directory(name=None):
    """Makes SCRATCH/name; without a name a new one. Short: socket paths are limited to 107 bytes."""
    path = SCRATCH / (name or f"t{next(_numbers)}")
    path.mkdir(parents=True)
    return path
