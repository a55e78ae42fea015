"""HTTP/2 frames by hand, for what no well-behaved gRPC library sends. Headers go out as literals without indexing
(RFC 7541, 6.2.2), so no HPACK state is needed; of responses only the frame types are read."""

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def literal(name, value):
    def text(data):
        data = data.encode() if isinstance(data, str) else data
        if len(data) < 127:
            return bytes([len(data)]) + data
        rest, out = len(data) - 127, bytearray([127])
        while rest >= 128:
            out.append(rest % 128 + 128)
            rest //= 128
        out.append(rest)
        return bytes(out) + data
    return b"\x00" + text(name) + text(value)


def request_headers(path, authority="localhost", extra=(), method="POST", content_type="application/grpc"):
    fields = [(":method", method), (":scheme", "http"), (":path", path)]
    if authority is not None:
        fields.append((":authority", authority))
    fields += [("content-type", content_type), ("te", "trailers"), *extra]
    return b"".join(literal(name, value) for name, value in fields)


def message(payload, flag=0):
    return bytes([flag]) + struct.pack("!I", len(payload)) + payload


class Connection:
    def __init__(self, path, timeout=10):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self.sock.connect(str(path))
        self.buffer = b""

    def start(self):
        self.sock.sendall(PREFACE + frame(SETTINGS, 0, 0))
        return self

    def send(self, data):
        self.sock.sendall(data)

    def call(self, stream, path, payload=b"", authority="localhost", **keywords):
        self.send(frame(HEADERS, END_HEADERS, stream, request_headers(path, authority, **keywords)) +
                  frame(DATA, END_STREAM, stream, message(payload)))

    def read_frame(self):
        """(kind, flags, stream, payload), or None when the peer closed."""
        while True:
            if len(self.buffer) >= 9:
                length = struct.unpack("!I", b"\0" + self.buffer[:3])[0]
                if len(self.buffer) >= 9 + length:
                    kind, flags = self.buffer[3], self.buffer[4]
                    stream = struct.unpack("!I", self.buffer[5:9])[0]
                    payload, self.buffer = self.buffer[9:9 + length], self.buffer[9 + length:]
                    return kind, flags, stream, payload
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.buffer += data

    def until(self, stream):
        """All frames up to the end of `stream`: END_STREAM, RST_STREAM, or the end of the connection (last item None)."""
        frames = []
        while True:
            item = self.read_frame()
            frames.append(item)
            if item is None:
                return frames
            kind, flags, number, _ = item
            if kind == SETTINGS and not flags & ACK:
                self.send(frame(SETTINGS, ACK, 0))
            if number == stream and (kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM)):
                return frames

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
