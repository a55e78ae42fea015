"""Mounts of the Azure provider over its socket, singly and by the hundred."""

import json
from concurrent.futures import ThreadPoolExecutor

import grpc
from proto import provider_pb2

from harness import rpc, tutorial
from harness.scratch import SCRATCH


def item(name, kind="secret", **fields):
    return {"objectName": name, "objectType": kind, **fields}


def objects_of(*items):
    """The parameter `objects` of a class, each item as JSON."""
    return "array:\n" + "".join(f"  - |\n    {json.dumps(entry)}\n" for entry in items)


def mount_request(names=("secret1",), credentials=tutorial.CREDENTIALS, pod="web", versions=(), objects=None, permission="420", **overrides):
    """`versions`: what the driver says is mounted now, (id, version) pairs; any make it a republish."""
    uid = f"uid-of-{pod}"
    overrides = {"csi.storage.k8s.io/pod.name": pod, "csi.storage.k8s.io/pod.uid": uid, **overrides}
    request = provider_pb2.MountRequest(attributes=json.dumps(tutorial.attributes(names, objects, **overrides)),
                                        secrets=json.dumps(credentials), permission=permission,
                                        target_path=str(SCRATCH / f"pods/{uid}/volumes/kubernetes.io~csi/secrets/mount"))
    for name, version in versions:
        request.current_object_version.add(id=name, version=version)
    return request


def versions_of(response):
    return [(item.id, item.version) for item in response.object_version]


def files(response):
    return {file.path: file.contents for file in response.files}


def texts(response):
    return {path: contents.decode() for path, contents in files(response).items()}


def mount(client, *names, timeout=30, **keywords):
    """Mounts some secrets of the tutorial's vault, or `objects`, for a client of the provider."""
    return client.call(rpc.MOUNT, mount_request(names or ("secret1",), **keywords), timeout)


def mount_failure(client, *names, timeout=30, **keywords):
    return rpc.failure(mount, client, *names, timeout=timeout, **keywords)


class Pods:
    """Calls the provider as a driver with many pods does: `call_all(requests)` keeps `in_flight` of them under way, in order."""

    def __init__(self, socket, in_flight=8):
        self.client = rpc.Client(socket)
        self.in_flight = in_flight

    def mount(self, request, timeout=30):
        return self.client.call(rpc.MOUNT, request, timeout)

    def outcome(self, request, timeout=30):
        """The response, or the error (grpc.RpcError)."""
        try:
            return self.mount(request, timeout)
        except grpc.RpcError as error:
            return error

    def call_all(self, requests, timeout=30):
        with ThreadPoolExecutor(self.in_flight) as pool:
            return list(pool.map(lambda request: self.outcome(request, timeout), requests))

    def mount_all(self, requests, timeout=30):
        outcomes = self.call_all(requests, timeout)
        for outcome in outcomes:
            if isinstance(outcome, grpc.RpcError):
                raise outcome
        return outcomes

    def close(self):
        self.client.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
