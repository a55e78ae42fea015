"""Container images as archives that containerd imports: the release's of the two daemons, and two of the tests' own, made here.

The pods of the tests run on an image of busybox-static.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from harness.process import ROOT


class Link(str):
    """A symbolic link to this path."""


def archive(path, reference, files, config):
    """Writes an image with one layer: files = {path in the image: file, or (mode, bytes), or Link}."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        directories = set()
        for name, source in sorted(files.items()):
            for directory in reversed(Path(name).parents[:-1]):
                if str(directory) not in directories:
                    directories.add(str(directory))
                    entry = tarfile.TarInfo(str(directory))
                    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(entry)
            entry = tarfile.TarInfo(name)
            if isinstance(source, Link):
                entry.type, entry.linkname = tarfile.SYMTYPE, source
                tar.addfile(entry)
                continue
            mode, data = source if isinstance(source, tuple) else (0o755, Path(source).read_bytes())
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    layer = layer.getvalue()
    body = json.dumps({"architecture": architecture(), "os": "linux", "config": config, "rootfs": {
        "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}).encode()
    name = hashlib.sha256(body).hexdigest()
    manifest = json.dumps([{"Config": f"{name}.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        for entry_name, data in ((f"{name}.json", body), ("layer.tar", layer), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(entry_name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def architecture():
    return {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]


def busybox():
    """The static busybox of Debian."""
    path = shutil.which("busybox", path="/bin:/usr/bin")
    assert path, "there is no busybox; install busybox-static"
    return path


def pause_image(directory):
    program = Path(directory) / "pause"
    subprocess.run(["gcc", "-static", "-Os", "-o", program, ROOT / "test/e2e/images/pause.c"], check=True)
    return archive(Path(directory) / "pause.tar", "localhost/pause:e2e", {"pause": program}, {"Entrypoint": ["/pause"]})


APPLETS = ("cat", "chgrp", "chmod", "date", "env", "id", "ls", "readlink", "sh", "sleep", "stat", "test", "touch", "true")


def with_busybox(applets=APPLETS):
    return {"bin/busybox": busybox(), **{f"bin/{name}": Link("busybox") for name in applets}}


def app_image(directory):
    """The program of the tests' pods: it waits, and ends at once at SIGTERM."""
    files = {**with_busybox(), "etc/passwd": (0o644, b"root:x:0:0:root:/:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n")}
    return archive(Path(directory) / "app.tar", "localhost/app:e2e", files, {
        "Env": ["PATH=/bin"], "Cmd": ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]})


def image_archive(name):
    """The release's image of a program, made by `make images`."""
    path = Path(os.environ.get("IMAGES", ROOT / "build/images")) / f"{name}-{architecture()}.tar"
    assert path.exists(), f"there is no {path}; `make images` makes it"
    return path


def daemon_archives():
    """Those of the driver and the provider: {repository name: archive}."""
    return {name: image_archive(name) for name in ("secrets-store-driver", "secrets-store-provider-azure")}


def reference_of(path):
    """The name an OCI archive gives to its image."""
    with tarfile.open(path) as tar:
        index = json.load(tar.extractfile("./index.json"))
    return index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"]
