"""A complete provider in Python: the same as ../provider-c, without our library.

    protoc --proto_path=../../proto --python_out=. provider.proto
    python3 provider.py /run/secrets-store-providers/directory.sock /etc/node-secrets

protoc generates the message classes from proto/provider.proto. The two RPCs are registered by name, without generated gRPC code.
It needs grpcio and protobuf (Debian: python3-grpcio python3-protobuf).
"""

import hashlib
import json
import os
import re
import signal
import sys
from concurrent import futures

import grpc

import provider_pb2

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
MAX_FILE_BYTES = 1024 * 1024


def check_name(name, context):
    if not NAME.fullmatch(name):
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"object '{name}': not one plain file name")


def mount(root):
    def handle(request, context):
        attributes = json.loads(request.attributes)
        namespace = attributes.get("csi.storage.k8s.io/pod.namespace", "")
        names = re.split(r"[,\s]+", attributes.get("objects", "").strip())
        check_name(namespace, context)
        response = provider_pb2.MountResponse()
        for name in names:
            check_name(name, context)
            try:
                with open(os.path.join(root, namespace, name), "rb") as file:
                    content = file.read(MAX_FILE_BYTES + 1)
            except OSError as error:
                context.abort(grpc.StatusCode.NOT_FOUND, f"object '{name}': {error.strerror}")
            if len(content) > MAX_FILE_BYTES:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"object '{name}': larger than {MAX_FILE_BYTES} bytes")
            response.files.add(path=name, mode=int(request.permission or "420"), contents=content)
            response.object_version.add(id=name, version=hashlib.sha256(content).hexdigest())
        return response
    return handle


def version(_request, _context):
    return provider_pb2.VersionResponse(version="v1alpha1", runtime_name="directory-provider", runtime_version="1.0.0")


def main():
    path, root = sys.argv[1:3]
    # Block the signals before any thread exists and wait for them: a handler could run on any of gRPC's threads.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("v1alpha1.CSIDriverProvider", {
        "Version": grpc.unary_unary_rpc_method_handler(version, request_deserializer=provider_pb2.VersionRequest.FromString,
                                                       response_serializer=provider_pb2.VersionResponse.SerializeToString),
        "Mount": grpc.unary_unary_rpc_method_handler(mount(root), request_deserializer=provider_pb2.MountRequest.FromString,
                                                     response_serializer=provider_pb2.MountResponse.SerializeToString),
    }),))
    os.umask(0o077)
    if os.path.exists(path):
        os.unlink(path)
    server.add_insecure_port(f"unix:{path}")
    server.start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.stop(grace=5).wait()


if __name__ == "__main__":
    main()
