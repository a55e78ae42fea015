#!/usr/bin/python3 -B
"""provenance.py - an in-toto statement with SLSA provenance v1 about all files of a release.

   release/provenance.py --version 0.1.0 --revision COMMIT --registry REGISTRY --packages STATIC_DEPS/packages DIRECTORY > out.intoto.json

https://in-toto.io/Statement/v1, https://slsa.dev/spec/v1.0/provenance. BUILDER_ID names who built; SOURCE_REPOSITORY where the sources are.
"""

import argparse
import datetime
import hashlib
import json
import os
from pathlib import Path


def subjects(directory):
    return [{"name": path.name, "digest": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}}
            for path in sorted(directory.iterdir()) if path.is_file()]


def materials(options, repository):
    found = [{"uri": f"git+{repository}", "digest": {"gitCommit": options.revision}}]
    for line in options.packages.read_text().splitlines():
        name, version, dsc_sha256 = line.split()
        found.append({"uri": f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch=source", "digest": {"sha256": dsc_sha256}})
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", required=True)
    parser.add_argument("--revision", required=True)
    parser.add_argument("--registry", required=True)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()

    repository = os.environ.get("SOURCE_REPOSITORY", "https://localhost/secrets-store-csi")
    time = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    print(json.dumps({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects(options.directory),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": f"{repository}/blob/main/docs/release.md",
                "externalParameters": {"target": "release", "VERSION": options.version, "REGISTRY": options.registry},
                "resolvedDependencies": materials(options, repository),
            },
            "runDetails": {
                "builder": {"id": os.environ.get("BUILDER_ID", "https://localhost/a-machine-of-the-maintainers")},
                # the commit's time, so that two builds of it give the same bytes
                "metadata": {"startedOn": time},
            },
        },
    }, indent=1))


if __name__ == "__main__":
    main()
