"""One request to one provider, and two outcomes compared."""

import re
import unicodedata

import grpc
from parity_cases import AGREE, FAILS, MOUNTS, SAME, SAME_ERROR

from harness import rpc

HIDDEN = ("Cc", "Cf", "Zl", "Zp")  # categories of characters that ours shows as escapes

# how far a mount came before it was refused
STAGE = re.compile(r"failed to mount objects, error: (failed to yaml unmarshal objects|unmarshal failed for keyVaultObjects at index \d+|"
                   r"failed to get objectType:\w*, objectName:[^,]*, objectVersion:|failed to build auth config for mode \w+|"
                   r"failed to get keyvault client|failed to get vault|.*)", re.DOTALL)
HINT = re.compile(r" \[hint: [^\]]*\]$")  # ours may add one behind the known text


class Outcome:
    def __init__(self, socket, request):
        self.files = self.versions = self.message = self.code = None
        with rpc.Client(socket) as client:
            try:
                response = client.call(rpc.MOUNT, request, timeout=60)
                self.kind = MOUNTS
                self.files = [(file.path, file.mode, bytes(file.contents)) for file in response.files]
                self.versions = {entry.id: entry.version for entry in response.object_version}
            except grpc.RpcError as error:
                self.kind, self.code, self.message = FAILS, error.code(), error.details()

    @property
    def text(self):
        return HINT.sub("", self.message)

    @property
    def stage(self):
        found = STAGE.match("".join(f"\\u{ord(c):04x}" if unicodedata.category(c) in HIDDEN and c not in "\n\t" else c for c in self.text))
        return found and found.group(1)

    def __repr__(self):
        if self.kind == FAILS:
            return f"fails, {self.code.name}: {self.message[:600]}"
        shown = [(path, oct(mode), data[:60], len(data)) for path, mode, data in self.files]
        return f"mounts {shown} versions {self.versions}"


def check(case, ours, theirs):
    both = f"\n  ours:   {ours}\n  theirs: {theirs}"
    if isinstance(case.wanted, tuple):
        assert (ours.kind, theirs.kind) == case.wanted[:2], both
        return
    if case.wanted == AGREE:
        assert (ours.kind, ours.files, ours.versions) == (theirs.kind, theirs.files, theirs.versions), both
        assert ours.kind == MOUNTS or ours.stage == theirs.stage, both
        return
    if case.wanted == SAME:
        assert (ours.kind, theirs.kind) == (MOUNTS, MOUNTS), both
        assert ours.files == theirs.files, both
        assert ours.versions == theirs.versions, both
        return
    assert (ours.kind, theirs.kind) == (FAILS, FAILS), both
    assert case.contains in ours.message and case.contains in theirs.message, both
    if case.wanted == SAME_ERROR:
        assert ours.text == theirs.text, both
