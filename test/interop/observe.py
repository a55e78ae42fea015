"""The traces of a driver on the node and in the API, without the parts that differ from one volume to the next."""

import base64
import os
import re
import stat
from pathlib import Path

from harness.mounts import mount_at
from harness.secret_sync import WRITTEN_BY

STAMP = re.compile(r"\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\.\d+")


def tree(target):
    """{path: description} of everything in a volume; the dated directory is called ..DATE."""
    found = {}
    for folder, names, files in os.walk(target):
        for name in names + files:
            path = Path(folder) / name
            info = os.lstat(path)
            shown = STAMP.sub("..DATE", str(path.relative_to(target)))
            if stat.S_ISLNK(info.st_mode):
                found[shown] = "-> " + STAMP.sub("..DATE", os.readlink(path))
            elif stat.S_ISDIR(info.st_mode):
                found[shown] = f"directory {stat.S_IMODE(info.st_mode):o} {info.st_uid}:{info.st_gid}"
            else:
                found[shown] = (f"file {stat.S_IMODE(info.st_mode):o} {info.st_uid}:{info.st_gid}", path.read_bytes())
    return found


def root(target):
    info = os.stat(target)
    return mount_at(target).type, f"{stat.S_IMODE(info.st_mode):o} {info.st_uid}:{info.st_gid}"


def references(item, names):
    """`names`: {uid: what to call it}."""
    return sorted((owner["apiVersion"], owner["kind"], names.get(owner["uid"], owner["uid"]), owner.get("controller"),
                   owner.get("blockOwnerDeletion"))
                  for owner in item["metadata"].get("ownerReferences") or [])


def status(item, pod):
    """A status object of `pod`, its optional fields apart."""
    body = dict(item["status"])
    body["targetPath"] = body["targetPath"].replace(str(pod.target), "TARGET")
    optional = {key: body.pop(key) for key in list(body) if key not in ("podName", "secretProviderClassName", "mounted", "targetPath", "objects")}
    name = item["metadata"]["name"].replace(pod.namespace, "NAMESPACE")
    return {"name": name, "labels": item["metadata"].get("labels"), "annotations": item["metadata"].get("annotations"),
            "owners": references(item, {pod.uid: "POD"}), "status": body}, optional


def secret(item, names):
    """A synced Secret, without the annotation in which ours notes which class keeps what."""
    annotations = {key: value for key, value in (item["metadata"].get("annotations") or {}).items() if key != WRITTEN_BY}
    return {"data": {key: base64.b64decode(value) for key, value in (item.get("data") or {}).items()}, "type": item["type"],
            "labels": item["metadata"].get("labels"), "annotations": annotations, "owners": references(item, names)}
