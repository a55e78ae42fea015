"""The memory of a process, from outside: /proc/PID/mem, smaps and status."""

import base64
import re
import urllib.parse
from pathlib import Path

PAGE = bytes(4096)


def written_pages(block):
    """The runs of pages in which there is something: most of a stack has never been touched."""
    run = []
    for start in range(0, len(block), len(PAGE)):
        page = block[start:start + len(PAGE)]
        if page != PAGE:
            run.append(page)
        elif run:
            yield b"".join(run)
            run = []
    yield b"".join(run)


class Mapping:
    """One entry of /proc/<pid>/smaps."""

    def __init__(self, line):
        span, self.permissions, *rest = line.split(None, 5)
        self.start, self.end = (int(word, 16) for word in span.split("-"))
        self.name = rest[3].strip() if len(rest) > 3 else ""
        self.fields = {}

    @property
    def locked(self):
        return "lo" in self.fields["VmFlags"].split()

    @property
    def droppable(self):
        """The kernel drops it instead of writing it to swap, and locks it never (MAP_DROPPABLE): the state of getrandom() in newer C libraries."""
        return "dp" in self.fields["VmFlags"].split()

    @property
    def resident(self):
        return int(self.fields["Rss"].split()[0]) * 1024


def mappings(pid):
    found = []
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            found.append(Mapping(line))
        else:
            name, _, value = line.partition(":")
            found[-1].fields[name] = value.strip()
    return found


def writable_memory(pid):
    """Blocks of everything the process has written to."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, permissions = line.split()[:2]
            if not permissions.startswith("rw"):
                continue
            start, end = (int(word, 16) for word in span.split("-"))
            try:
                memory.seek(start)
                block = memory.read(end - start)
            except OSError:
                continue
            yield from written_pages(block)


def memory_contains(pid, needles):
    """The `needles` that lie in the writable memory of a process."""
    found = set()
    for block in writable_memory(pid):
        found |= {needle for needle in needles if needle in block}
    return found


def traces(value, size=16):
    """Pieces of a secret in every form in which a program may have had it: as it is, in base64, percent-encoded. Pieces, because an allocator
    overwrites the beginning of what was freed and a buffer may hold a part only: any 31 bytes of a form contain a whole one."""
    raw = value.encode() if isinstance(value, str) else value
    forms = [raw, urllib.parse.quote(raw, safe="").encode(), *(base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3))]
    return {form[i:i + size] for form in forms for i in range(0, len(form) - size + 1, size)}


def status_bytes(process, field):
    """A size of /proc/PID/status, such as VmRSS."""
    return int(re.search(rf"{field}:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1]) * 1024


def peak_kib(process):
    """The largest resident memory so far."""
    return status_bytes(process, "VmHWM") // 1024
