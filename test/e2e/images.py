"""Container images as archives that containerd imports, without a daemon and without a registry.

Of the two daemons the release's own images are used, if IMAGES names their folder. Otherwise images are put together from the dynamically
linked programs of BUILD and the shared libraries they need. The pods of the tests run on an image of busybox-static.
"""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from harness.process import BUILD, ROOT

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


class Link(str):
    """A symbolic link to this path."""


def archive(path, reference, files, config):
    """Writes an image with one layer: files = {path in the image: file, or (mode, bytes), or Link}."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        folders = set()
        for name, source in sorted(files.items()):
            for folder in reversed(Path(name).parents[:-1]):
                if str(folder) not in folders:
                    folders.add(str(folder))
                    entry = tarfile.TarInfo(str(folder))
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


def with_libraries(program):
    """A program and the shared objects it needs: {path in the image: file}."""
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libraries = re.findall(r"(/\S+) \(0x", listing)
    return {path.lstrip("/"): path for path in libraries}


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


def with_busybox():
    return {"bin/busybox": busybox(), **{f"bin/{name}": Link("busybox") for name in APPLETS}}


def app_image(directory):
    """What the tests' pods run: it waits, and ends at once when it is told to."""
    files = {**with_busybox(), "etc/passwd": (0o644, b"root:x:0:0:root:/:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n")}
    return archive(Path(directory) / "app.tar", "localhost/app:e2e", files, {
        "Env": ["PATH=/bin"], "Cmd": ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]})


def daemon_images(directory, tag="e2e"):
    """The images of the driver and the provider: {repository name: archive}. Their references end in `tag`."""
    images = {}
    for name in ("secrets-store-driver", "secrets-store-provider-azure"):
        program = BUILD / "bin" / name
        files = {f"usr/local/bin/{name}": program, CA_BUNDLE.lstrip("/"): (0o644, Path(CA_BUNDLE).read_bytes()), **with_busybox(), **with_libraries(program)}
        images[name] = archive(Path(directory) / f"{name}-{tag}.tar", f"localhost/{name}:{tag}", files, {
            "Entrypoint": [f"/usr/local/bin/{name}"], "Labels": {"tag": tag}})
    return images
