"""archive.py - the OCI archives that build.sh writes: a tar file of index.json and of blobs named by their digests."""

import hashlib
import io
import json
import tarfile
from pathlib import PurePosixPath


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Archive:
    """An archive of one image. A blob that differs from its descriptor's digest or size is an error."""

    def __init__(self, path):
        with tarfile.open(path) as tar:
            self.files = {entry.name.removeprefix("./"): tar.extractfile(entry).read() for entry in tar if entry.isfile()}
        (self.descriptor,) = json.loads(self.files["index.json"])["manifests"]
        self.manifest = json.loads(self.blob(self.descriptor))
        self.config = json.loads(self.blob(self.manifest["config"]))

    def blob(self, descriptor):
        data = self.files[blob_path(descriptor["digest"])]
        named, found = (descriptor["digest"], descriptor["size"]), (digest(data), len(data))
        if named != found:
            raise ValueError(f"a blob has digest and size {found}, its descriptor has {named}")
        return data

    def entries(self):
        """The content of its only layer: {path: (tarfile.TarInfo, bytes)}."""
        (layer,) = self.manifest["layers"]
        with tarfile.open(fileobj=io.BytesIO(self.blob(layer))) as tar:
            return {entry.name.rstrip("/"): (entry, tar.extractfile(entry).read() if entry.isfile() else b"") for entry in tar}


def blob_path(name):
    return "blobs/" + name.replace(":", "/")


def write(path, files, epoch):
    """files: {path: bytes}. The same input gives the same bytes."""
    directories = {str(directory) for name in files for directory in PurePosixPath(name).parents} - {"."}
    with tarfile.open(path, "w") as tar:
        for name in sorted([*files, *directories]):
            entry = tarfile.TarInfo("./" + name)
            entry.mtime = epoch
            if name in directories:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            else:
                entry.size = len(files[name])
            tar.addfile(entry, io.BytesIO(files.get(name, b"")))
