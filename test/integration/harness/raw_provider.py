"""A Unix socket that accepts and then does what one function says, for peers that are no gRPC servers."""

import os
import socket
import threading


class RawProvider:
    """Every connection: wait for the first bytes of the client, call `act(sock)`, then keep the connection until the end."""

    def __init__(self, path, act):
        self.path = str(path)
        self.act = act
        self.connections = []
        self.listener = socket.socket(socket.AF_UNIX)
        if os.path.lexists(self.path):
            os.unlink(self.path)
        self.listener.bind(self.path)
        self.listener.listen(16)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            if sock.recv(65536):
                self.act(sock)
                while sock.recv(65536):
                    pass
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # shutdown wakes the accepting thread; close alone would not
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for sock in self.connections:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
