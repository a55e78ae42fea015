"""secrets-store-ctl, run to its end."""

import subprocess

from harness.process import BUILD
from harness.scratch import SCRATCH

# exit statuses; that of a failed call is FAILED_CALL plus the number of its gRPC status
FAILED_HERE, BAD_USAGE, FOUND, FAILED_CALL = 1, 2, 3, 100


def ctl(*words, endpoint=None, check=True, stdout=subprocess.PIPE, timeout=120):
    """Words, the first of them the command; `check`: it has to end with status 0. A provider is asked for files below the scratch directory."""
    defaults = [f"--endpoint=unix://{endpoint}"] if endpoint else []
    if endpoint and words[0] == "mount":
        defaults.append(f"--target={SCRATCH}/pods/none/mount")
    argv = [BUILD / "bin/secrets-store-ctl", *words[:1], *defaults, *words[1:]]
    done = subprocess.run([str(word) for word in argv], stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=timeout, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done
