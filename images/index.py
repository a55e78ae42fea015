#!/usr/bin/python3 -B
"""index.py - puts the images of several architectures into one archive with one name; each node pulls its own.

   images/index.py --name secrets-store-driver --images build/images amd64 arm64

Reads build/images/<name>-<architecture>.tar and writes build/images/<name>.tar, for `skopeo copy --all oci-archive:...`. Time stamps come
from SOURCE_DATE_EPOCH, so the same input gives the same bytes.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import archive

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
NAME = "org.opencontainers.image.ref.name"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("architectures", nargs="+")
    options = parser.parse_args()

    files, manifests, names = {}, [], set()
    for architecture in options.architectures:
        path = options.images / f"{options.name}-{architecture}.tar"
        image = archive.Archive(path)
        if image.config["architecture"] != architecture:
            sys.exit(f"index.py: {path} is an image for {image.config['architecture']}, not {architecture}")
        files.update(image.files)
        names.add(image.descriptor["annotations"][NAME])
        manifests.append({key: image.descriptor[key] for key in ("mediaType", "digest", "size")} |
                         {"platform": {"architecture": image.config["architecture"], "os": image.config["os"]}})
    if len(names) != 1:
        sys.exit(f"index.py: the images have different names: {', '.join(sorted(names))}")
    (name,) = names
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}).encode()
    files[archive.blob_path(archive.digest(index))] = index
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [
        {"mediaType": INDEX_TYPE, "digest": archive.digest(index), "size": len(index), "annotations": {NAME: name}}]}).encode()
    path = options.images / f"{options.name}.tar"
    archive.write(path, files, int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
    print(f"  INDEX    {name} ({', '.join(options.architectures)}), {path.stat().st_size // 1024} KiB, {archive.digest(index)}")


if __name__ == "__main__":
    main()
