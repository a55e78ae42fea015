"""Another process at the path of a socket. It treats the file as Go's net.Listen and node-driver-registrar do: by its name.

As a program: socket_rival.py SOCKET... removes what is there, listens, says "ready", and closes each connection at once. SIGTERM removes the
names, even if the files belong to another process by then; SIGKILL leaves the files of a dead process.
"""

import os
import signal
import socket
import subprocess
import sys
import threading


class Rival:
    """`with Rival(path...) as rival:`; `rival.end()` is the SIGTERM, `rival.kill()` the SIGKILL."""

    def __init__(self, *paths):
        argv = ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, __file__, *map(str, paths)]
        self.popen = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert self.popen.stdout.readline() == "ready\n"

    @property
    def pid(self):
        return self.popen.pid

    def end(self, signum=signal.SIGTERM):
        self.popen.send_signal(signum)
        self.popen.wait(20)

    def kill(self):
        self.end(signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.popen.stdout.close()


def _accept(listener):
    while True:
        listener.accept()[0].close()


def main(paths):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    for path in paths:
        if os.path.lexists(path):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(16)
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    print("ready", flush=True)
    signal.sigwait({signal.SIGTERM})
    for path in paths:
        if os.path.lexists(path):
            os.unlink(path)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
