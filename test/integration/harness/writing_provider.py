"""The mount function of a provider that writes its files itself, as the AWS provider does by default."""

import os
import tempfile

import grpc

from harness.scripted_provider import mount_response


class Writer:
    """A mount function: a temporary file below target_path, renamed; versions only. `on_disk`: what it has written to the node's disk."""

    def __init__(self, node, **files):
        self.disk = os.stat(node.kubelet).st_dev
        self.files = {name: value.encode() for name, value in files.items()}
        self.versions = None
        self.on_disk = []
        self.failure = None

    def __call__(self, request, context):
        for name, value in self.files.items():
            try:
                self._write(request.target_path, name, value)
            except OSError as error:
                context.abort(grpc.StatusCode.UNKNOWN, f"write {name}: {error}")
        if self.failure:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, self.failure)
        return mount_response({}, versions=self.versions or {name: value.decode() for name, value in self.files.items()})

    def _write(self, directory, name, value):
        handle, temporary = tempfile.mkstemp(dir=directory, prefix=name)
        if os.fstat(handle).st_dev == self.disk:
            self.on_disk.append(temporary)
        os.fchmod(handle, 0o644)
        os.write(handle, value)
        os.close(handle)
        os.rename(temporary, os.path.join(directory, name))
