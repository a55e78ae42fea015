"""A clock of the test's own for the programs: a shim that is preloaded (peers/clock_shim.c)."""

import mmap
import struct
import subprocess
import time

from harness.process import BUILD, ROOT, SANITIZED

CLOCKS_CAN_BE_SET = not (SANITIZED or BUILD.name.startswith("static"))  # with the dynamic builds only, and not together with a sanitizer


UPTIME_S = 10 * 3600


class Clock:
    """Seconds by which the clocks of a program with `environment` are ahead. The machine has been up for UPTIME_S when it begins, whenever it really
    was started: nothing can be older."""

    def __init__(self, directory):
        shim = directory / "shim.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, ROOT / "test/integration/peers/clock_shim.c"], check=True)
        path = directory / "clock"
        path.write_bytes(bytes(24))
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 24)
        self.environment = {"LD_PRELOAD": str(shim), "CLOCK_SHIM": str(path)}
        self._wall = self._monotonic = self._boot = 0
        self._boot_offset = UPTIME_S - int(time.clock_gettime(time.CLOCK_BOOTTIME))
        self._write()

    def _write(self):
        self._memory[:] = struct.pack("<qqq", self._wall, self._monotonic, self._boot_offset + self._boot)

    def set_wall(self, seconds):
        """Without any time passing."""
        self._wall = self._boot + seconds
        self._write()

    def pass_time(self, seconds):
        """As if so much time had passed."""
        self._monotonic += seconds
        self.sleep(seconds)

    def sleep(self, seconds):
        """As if the machine had slept for so long: the monotonic clock, and the timers with it, stand still meanwhile."""
        self._wall += seconds
        self._boot += seconds
        self._write()
