"""A small CONNECT proxy: tunnels every name to 127.0.0.1, counts, and refuses on demand."""

import base64
import socket
import threading


class Proxy:
    """`refuse`: the status of every response to CONNECT; `user`: "name:password" that it requires."""

    def __init__(self, refuse=None, user=None):
        self.refuse = refuse
        self.user = user
        self.tunnels = []  # "host:port" of every CONNECT that was accepted
        self.requests = []  # the first line of every request
        self._sockets = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self._sockets.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        head = b""
        try:
            while b"\r\n\r\n" not in head:
                piece = client.recv(4096)
                if not piece:
                    return
                head += piece
            lines = head.split(b"\r\n\r\n")[0].decode().split("\r\n")
            self.requests.append(lines[0])
            method, target, _ = lines[0].split(" ")
            assert not any(line.lower().startswith("authorization:") for line in lines), "a token was sent to the proxy"
            if method != "CONNECT":
                client.sendall(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
                return
            if self.user is not None:
                wanted = "proxy-authorization: basic " + base64.b64encode(self.user.encode()).decode().lower()
                if wanted not in [line.lower() for line in lines]:
                    client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                    return
            if self.refuse is not None:
                client.sendall(f"HTTP/1.1 {self.refuse} No\r\nContent-Length: 0\r\n\r\n".encode())
                return
            upstream = socket.create_connection(("127.0.0.1", int(target.rsplit(":", 1)[1])))
            self._sockets.append(upstream)
            self.tunnels.append(target.lower())
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=self._copy, args=(upstream, client), daemon=True).start()
            self._copy(client, upstream)
        except OSError:
            pass
        finally:
            client.close()

    @staticmethod
    def _copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self._server.close()
        for one in self._sockets:
            one.close()
