"""A provider whose behaviour a test defines, on grpcio: in-process, or as a process of its own that can die.

As a program: scripted_provider.py SOCKET BEHAVIOUR, see BEHAVIOURS.
"""

import itertools
import json
import os
import sys
import threading
import time
from concurrent import futures

import grpc
from proto import provider_pb2

from harness import rpc
from harness.process import wait_until


def mount_response(files=None, versions=None, error_code=None, warnings=()):
    """A MountResponse from {path: bytes or (mode, bytes)}."""
    response = provider_pb2.MountResponse()
    for path, value in (files or {}).items():
        mode, data = value if isinstance(value, tuple) else (0o644, value)
        response.files.add(path=path, mode=mode, contents=data)
    if versions is None:
        versions = {path: "v1" for path in (files or {})} or {"none": "v1"}
    for identifier, version in versions.items():
        response.object_version.add(id=identifier, version=version)
    response.warnings.extend(warnings)
    if error_code is not None:
        response.error.code = error_code
    return response


class ScriptedProvider(grpc.GenericRpcHandler):
    """`mount(request, context)` returns the MountResponse, or bytes to send instead. Requests are kept in `requests`."""

    def __init__(self, socket_path, mount):
        self.path = str(socket_path)
        self.mount = mount
        self.requests = []
        self.authorities = []
        self.deadlines = []
        self.cancelled = threading.Event()
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=64), options=[
            ("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)])
        self.server.add_generic_rpc_handlers((self,))
        if os.path.lexists(self.path):
            os.unlink(self.path)
        assert self.server.add_insecure_port(f"unix:{self.path}") == 1
        self.server.start()

    def service(self, details):
        if details.method == rpc.MOUNT:
            return grpc.unary_unary_rpc_method_handler(self._mount, request_deserializer=provider_pb2.MountRequest.FromString,
                                                       response_serializer=self._serialize)
        if details.method == "/v1alpha1.CSIDriverProvider/Version":
            return grpc.unary_unary_rpc_method_handler(
                lambda request, context: provider_pb2.VersionResponse(version="v1alpha1", runtime_name="scripted",
                                                                      runtime_version="v0.0.1"),
                request_deserializer=provider_pb2.VersionRequest.FromString, response_serializer=self._serialize)
        return None

    @staticmethod
    def _serialize(response):
        return response if isinstance(response, bytes) else response.SerializeToString()

    def _mount(self, request, context):
        self.requests.append(request)
        self.deadlines.append(context.time_remaining())
        context.add_callback(lambda: None if context.code() == grpc.StatusCode.OK else self.cancelled.set())
        return self.mount(request, context)

    def attributes(self, index=-1):
        return json.loads(self.requests[index].attributes)

    def stop(self):
        self.server.stop(0).wait(5)
        if os.path.lexists(self.path):
            os.unlink(self.path)


class HeldMount:
    """A mount function that holds every request until `release()`: 30 s at most."""

    def __init__(self, content=b"content"):
        self.response = mount_response({"file": content})
        self._arrived, self._released = threading.Semaphore(0), threading.Event()

    def __call__(self, request, context):
        self._arrived.release()
        self._released.wait(30)
        return self.response

    def wait_arrived(self):
        """Returns when one more request is here."""
        assert self._arrived.acquire(timeout=20), "no request has arrived"

    def release(self):
        self._released.set()


def check_rotation(driver, provider, request):
    """Republishes until the provider has had one more request."""
    before = len(provider.requests)

    def checked():
        driver.publish(request)
        return len(provider.requests) > before
    wait_until(checked, what="a request to the provider")


def _die_before(request, context):
    os._exit(1)


def _die_during(request, context):
    threading.Timer(0.05, os._exit, [1]).start()
    time.sleep(30)


def _die_after(request, context):
    threading.Timer(0.05, os._exit, [1]).start()
    return mount_response({"file": b"content"})


_writes = itertools.count(1)


def _write(request, context):
    """Writes the file itself: its content is the number of the call."""
    number = str(next(_writes))
    with open(os.path.join(request.target_path, "temporary"), "w", encoding="utf-8") as file:
        file.write(number)
    os.rename(file.name, os.path.join(request.target_path, "file"))
    return mount_response({}, versions={"file": number})


BEHAVIOURS = {"write": _write, "die-before": _die_before, "die-during": _die_during, "die-after": _die_after,
              "respond": lambda request, context: mount_response({"file": b"content"})}

if __name__ == "__main__":
    provider = ScriptedProvider(sys.argv[1], BEHAVIOURS[sys.argv[2]])
    print("ready", flush=True)
    provider.server.wait_for_termination()
