"""Another address of a service on this machine, for programs whose service has a fixed address."""

import socket
import threading


class Relay:
    """Forwards connections from `address` to a port of 127.0.0.1, until it is closed. `peers`: the addresses of the clients."""

    def __init__(self, address, port):
        self.peers = []
        self._port = port
        self._ends = []
        self._server = socket.create_server(address)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, peer = self._server.accept()
            except OSError:  # closed
                return
            self.peers.append(peer[0])
            upstream = socket.create_connection(("127.0.0.1", self._port))
            self._ends += [client, upstream]
            for source, sink in ((client, upstream), (upstream, client)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:  # one of the two is gone
            pass

    def close(self):
        """Nobody listens there any more, and connections that were kept end."""
        self._server.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._server.close()
        for end in self._ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
