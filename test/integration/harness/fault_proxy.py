"""A proxy in front of a server: forwards connections, and refuses them or falls silent on demand, for those that exist as well."""

import select
import socket
import threading

FORWARD, REFUSING, SILENT = "forward", "refusing", "silent"


class FaultProxy:
    """A port of its own that forwards to `port`. While SILENT it accepts connections and sends nothing; while REFUSING nothing listens."""

    def __init__(self, port):
        self._upstream = ("127.0.0.1", port)
        self._lock = threading.Lock()
        self._sockets = []
        self._generation = 0
        self.connections = 0  # accepted, whatever became of them
        self.mode = FORWARD
        self._listener = None
        self._listen(0)
        self.port = self._listener.getsockname()[1]

    def _listen(self, port):
        self._listener = socket.create_server(("127.0.0.1", port), backlog=512)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def set(self, mode):
        """Existing connections are cut off, or fall silent."""
        with self._lock:
            before, self.mode = self.mode, mode
            if mode != SILENT:  # a client on a silent connection learns that it has gone
                for each in self._sockets:
                    self._shut(each)
                self._sockets.clear()
        if mode == REFUSING:
            self._shut(self._listener)
        elif before == REFUSING:
            self._listen(self.port)

    def silence(self):
        """Connections that exist fall silent for ever, without FIN or RST; new ones are forwarded. Returns how many fell silent."""
        with self._lock:
            self._generation += 1
            return len(self._sockets)

    @staticmethod
    def _shut(each):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        each.close()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._sockets.append(client)
                forward = self.mode == FORWARD
                generation = self._generation
            if forward:
                threading.Thread(target=self._copy, args=(client, generation), daemon=True).start()

    def _copy(self, client, generation):
        try:
            with socket.create_connection(self._upstream) as upstream:
                while self.mode == FORWARD and generation == self._generation:
                    for source in select.select([client, upstream], [], [], 0.1)[0]:
                        data = source.recv(65536)
                        if not data:
                            return
                        if self.mode == FORWARD and generation == self._generation:
                            (upstream if source is client else client).sendall(data)
                while self.mode == SILENT or (self.mode == FORWARD and generation != self._generation):  # still connected
                    select.select([], [], [], 0.1)
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                if client in self._sockets:
                    self._sockets.remove(client)
            self._shut(client)

    def close(self):
        self.set(REFUSING)
