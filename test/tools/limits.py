#!/usr/bin/python3
"""limits.py - runs a command whose tests can start programs under the limits that the charts give them.

    test/tools/limits.py COMMAND...

For each program there is a control group with the memory and the CPU of its container (`limits` in the values of its chart), version 1 or 2.
LIMITS names their files: "driver=/proc/PID/fd/N,...;provider=...". A process that writes its number there is in the group; wrapper() makes
that of it. Where there are no control groups that this process may write, LIMITS is empty. The groups go when the command ends.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CGROUP = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def chart_limits():
    """{program: (bytes, share of a CPU)}"""
    import yaml  # pylint: disable=import-outside-toplevel - wrapper() needs none
    values = {chart: yaml.safe_load((ROOT / "manifests/chart" / chart / "values.yaml").read_text())
              for chart in ("secrets-store-csi-driver", "csi-secrets-store-provider-azure")}
    driver, provider = values["secrets-store-csi-driver"], values["csi-secrets-store-provider-azure"]
    return {"driver": _parsed(_find(driver, "limits")), "provider": _parsed(_find(provider, "limits"))}


def _find(values, key):
    """The first `key` in nested dictionaries: the program's container comes before its helpers."""
    for name, value in values.items():
        found = value if name == key else _find(value, key) if isinstance(value, dict) else None
        if found:
            return found
    return None


def _parsed(limits):
    memory, cpu = str(limits["memory"]), str(limits["cpu"])
    return int(memory[:-2]) * UNITS[memory[-2:]], float(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)


def _version_2(name, memory, cpu):
    group = CGROUP / name
    group.mkdir()
    (group / "memory.max").write_text(str(memory))
    (group / "cpu.max").write_text(f"{int(cpu * PERIOD_US)} {PERIOD_US}")
    return [group]


def _version_1(name, memory, cpu):
    groups = [CGROUP / "memory" / name, CGROUP / "cpu" / name]
    for group in groups:
        group.mkdir()
    (groups[0] / "memory.limit_in_bytes").write_text(str(memory))
    (groups[1] / "cpu.cfs_period_us").write_text(str(PERIOD_US))
    (groups[1] / "cpu.cfs_quota_us").write_text(str(int(cpu * PERIOD_US)))
    return groups


def wrapper(program):
    """The words in front of a command line that put it under the limits of `program`; none without control groups."""
    places = dict(entry.split("=") for entry in os.environ.get("LIMITS", "").split(";") if entry).get(program)
    if not places:
        return ()
    files = places.split(",")
    return ("sh", "-c", f'for i in $(seq {len(files)}); do echo $$ > "$1"; shift; done; exec "$@"', "sh", *files)


def main():
    make = _version_2 if (CGROUP / "cgroup.controllers").exists() else _version_1
    groups, entries = [], []
    try:
        try:
            for program, (memory, cpu) in chart_limits().items():
                made = make(f"secrets-store-limits-{os.getpid()}-{program}", memory, cpu)
                groups += made
                fds = [os.open(group / "cgroup.procs", os.O_WRONLY) for group in made]
                for fd in fds:
                    os.set_inheritable(fd, True)
                entries.append(f"{program}=" + ",".join(f"/proc/{os.getpid()}/fd/{fd}" for fd in fds))
        except OSError as error:
            print(f"limits.py: no control groups, running without limits: {error}", file=sys.stderr)
            entries = []
        return subprocess.run(sys.argv[1:], env=dict(os.environ, LIMITS=";".join(entries)), check=False).returncode
    finally:
        for group in groups:
            group.rmdir()


if __name__ == "__main__":
    sys.exit(main())
