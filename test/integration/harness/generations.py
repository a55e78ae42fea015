"""A provider whose contents change with every request, and what a volume shows of them."""

from harness import mounts
from harness.scripted_provider import mount_response


class Generations:
    """A provider whose every response is a whole new generation; a volume with a mix of two of them is noticed by `shown()`."""

    def __init__(self):
        self.number = 0

    def __call__(self, request, context):
        self.number += 1
        return mount_response({"a": self.text(self.number), "sub/b": self.text(self.number)}, versions={"a": str(self.number)})

    @staticmethod
    def text(number):
        return f"generation {number} ".encode() * 500


def shown(target, in_place=False):
    """The number of the one generation that is shown whole; None when nothing is shown."""
    if not mounts.mounts_below(target):
        return None
    contents = mounts.contents(target, in_place)
    if contents == {}:  # prepared for a provider that might write its files itself
        return None
    assert set(contents) == {"a", "sub/b"}
    assert contents["a"] == contents["sub/b"]
    assert "ro" in mounts.mount_at(target).options
    number = int(contents["a"].split()[1])
    assert contents["a"] == Generations.text(number)
    return number
