#!/usr/bin/python3 -B
"""check.py - checks one built image; `make images` runs it for each.

   images/check.py --name secrets-store-driver --version 0.1.0 --arch arm64 --executable build/static-arm64/bin/secrets-store-driver
                   --images build/images

Compares the archive with the executable and the parts list, and both with the expectations below. Prints nothing on success.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

from archive import Archive

MACHINES = {"amd64": "Advanced Micro Devices X86-64", "arm64": "AArch64"}
# The user of an image, and the files in it beside the executable.
USERS = {"secrets-store-driver": "0:0", "secrets-store-provider-azure": "65532:65532", "secrets-store-ctl": "0:0"}
FILES = {"secrets-store-provider-azure": ["etc/ssl/certs/ca-certificates.crt"]}
LABELS = ("title", "description", "licenses", "version", "revision", "created")


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"check.py: {what} is {found!r}, not {wanted!r}")


def check_config(config, name, version, arch):
    expect("the architecture", (config["architecture"], config["os"]), (arch, "linux"))
    run = config["config"]
    expect("the entry point", run.get("Entrypoint"), [f"/usr/local/bin/{name}"])
    expect("the command", run.get("Cmd"), None)
    expect("the user", run.get("User"), USERS[name])
    expect("the environment", [variable.partition("=")[0] for variable in run.get("Env", [])], ["PATH"])
    labels = {label: run["Labels"].get(f"org.opencontainers.image.{label}") for label in LABELS}
    expect("the labels without a value", [label for label, value in labels.items() if not value], [])
    expect("the labels of name and version", (labels["title"], labels["version"]), (name, version))


def check_files(archive, name, executable):
    entries = archive.entries()
    program, certificates = f"usr/local/bin/{name}", FILES.get(name, [])
    files = sorted([program, *certificates])
    directories = {str(directory) for file in files for directory in Path(file).parents} - {"."}
    expect("the list of files", sorted(entries), sorted([*files, *directories]))
    for path, (entry, _) in entries.items():
        expect(f"the owner of {path}", (entry.uid, entry.gid), (0, 0))
        expect(f"the mode of {path}", oct(entry.mode & 0o7777), oct(0o644 if path in certificates else 0o755))
        expect(f"the kind of {path}", entry.isdir(), path in directories)
        expect(f"whether {path} is a plain file", entry.isfile(), path in files)
    expect("whether the executable is the one that was built", entries[program][1] == executable.read_bytes(), True)


def check_executable(executable, arch):
    output = subprocess.run(["readelf", "--wide", "--file-header", "--program-headers", "--dynamic", executable], check=True,
                          capture_output=True, text=True, env={"LC_ALL": "C"}).stdout
    lines = [line.split(":", 1) for line in output.splitlines() if ":" in line]
    expect("the machine of the executable", {key.strip(): value.strip() for key, value in lines}["Machine"], MACHINES[arch])
    expect("what the executable needs at run time", [word for word in ("INTERP", "(NEEDED)") if word in output], [])


def check_parts(parts, name, version, arch, executable):
    expect("the subject of the parts list", parts["name"], f"{name}-{version}-{arch}")
    packages = {package["SPDXID"]: package for package in parts["packages"]}
    subject = [relation["relatedSpdxElement"] for relation in parts["relationships"] if relation["relationshipType"] == "DESCRIBES"]
    expect("the number of subjects of the parts list", len(subject), 1)
    expect("the checksum in the parts list", packages[subject[0]]["checksums"][0]["checksumValue"],
           hashlib.sha256(executable.read_bytes()).hexdigest())
    related = {relation["relatedSpdxElement"] for relation in parts["relationships"]}
    expect("the parts without a relation", sorted(set(packages) - related), [])
    expect("the relations without a part", sorted(related - set(packages)), [])
    expect("the parts without a version", [package["name"] for package in packages.values() if not package["versionInfo"]], [])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--arch", required=True)
    parser.add_argument("--executable", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    options = parser.parse_args()

    archive = Archive(options.images / f"{options.name}-{options.arch}.tar")
    check_config(archive.config, options.name, options.version, options.arch)
    check_files(archive, options.name, options.executable)
    check_executable(options.executable, options.arch)
    parts = json.loads((options.images / f"{options.name}-{options.arch}.spdx.json").read_text())
    check_parts(parts, options.name, options.version, options.arch, options.executable)


if __name__ == "__main__":
    main()
