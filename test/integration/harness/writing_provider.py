"""The mount function of a provider that writes its files itself, as the AWS provider does by default."""

import os
import tempfile

import grpc

from harness.scripted_provider import mount_response


class Writer:
    """A mount function: a temporary file below target_path, renamed; versions only. `disk`: every place where it has written to a disk."""

    def __init__(self, **files):
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
        if os.fstatvfs(handle).f_blocks and not is_tmpfs(handle):
            self.on_disk.append(temporary)
        os.fchmod(handle, 0o644)
        os.write(handle, value)
        os.close(handle)
        os.rename(temporary, os.path.join(directory, name))


def is_tmpfs(handle):
    """By the device: a volume's is none of the node's directories'."""
    return os.fstat(handle).st_dev != is_tmpfs.node
