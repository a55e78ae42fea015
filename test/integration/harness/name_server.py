"""A name server that counts its queries and misbehaves on request, and a resolv.conf that leads to it."""

import itertools
import os
import socket
import struct
import threading
import time

A, CNAME, AAAA = 1, 5, 28
NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NO_SUCH_NAME, NOT_IMPLEMENTED, REFUSED = range(6)
STATUS = {"servfail": SERVER_FAILURE, "refused": REFUSED, "notimp": NOT_IMPLEMENTED, "formerr": FORMAT_ERROR, "nxdomain": NO_SUCH_NAME}

_addresses = itertools.count(1)


def encoded(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(name, kind, ttl, data):
    return encoded(name) + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def wait_readable(sock):
    try:
        return sock.recvfrom(4096)
    except OSError:
        return None, None


class NameServer:
    """Knows the names below `domain`: their address is 127.0.0.1. Every other name does not exist. Its behaviours, for A and AAAA of its own
    names, may be changed at any time:

    ok          the address (AAAA: none, which is said correctly)
    servfail, refused, notimp, formerr, nxdomain    that status
    silent      no response
    late        the response after a second
    garbage     bytes that are no response
    wrong id, wrong question        such a response
    truncated   over UDP an empty response that says so; the real one over TCP
    chain       through two CNAMEs, as private endpoints have them
    """

    def __init__(self, domain, a="ok", aaaa="ok", ttl=60, address=None, addresses=("127.0.0.1",)):
        self.domain, self.behaviors, self.ttl, self.addresses = domain, {A: a, AAAA: aaaa}, ttl, addresses
        self.address = address or f"127.53.{os.getpid() % 250}.{next(_addresses)}"  # runs beside this one have others
        self.queries = []  # (name, type), UDP and TCP
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((self.address, 53))
        self._tcp = socket.create_server((self.address, 53))
        for run in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=run, daemon=True).start()

    def close(self):
        self._udp.close()
        self._tcp.close()
        # a thread that waits in recvfrom() keeps the socket open until a datagram wakes it
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", (self.address, 53))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def count(self, name=None):
        return len([query for query in self.queries if name in (None, query[0])])

    def _serve_udp(self):
        while True:
            query, peer = wait_readable(self._udp)
            if query is None or self._udp.fileno() < 0:
                return
            if len(query) > 12:
                self._respond(query, lambda response, delay, to=peer: self._send(response, delay, to), tcp=False)

    def _send(self, response, delay, peer):
        def send():
            try:
                self._udp.sendto(response, peer)
            except OSError:
                pass  # closed meanwhile
        if delay:
            threading.Timer(delay, send).start()
        else:
            send()

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    while size := connection.recv(2):
                        query = connection.recv(struct.unpack(">H", size)[0])
                        self._respond(query, lambda response, delay, to=connection: to.sendall(struct.pack(">H", len(response)) + response), tcp=True)
                except OSError:
                    pass  # the client has gone

    def _respond(self, query, send, tcp):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        name, kind = ".".join(labels), struct.unpack(">H", query[at + 1:at + 3])[0]
        self.queries.append((name, kind))
        question = query[12:at + 5]
        known = name == self.domain or name.endswith("." + self.domain)
        behavior = self.behaviors.get(kind, "ok") if known else "nxdomain"
        if behavior == "silent":
            return
        if behavior == "garbage":
            send(query[:2] + b"\xff" * 7, 0)
            return
        identity, status, flags, records = query[:2], STATUS.get(behavior, NO_ERROR), 0x8180, []
        if behavior in STATUS:
            pass
        elif behavior == "truncated" and not tcp:
            flags |= 0x0200
        else:
            owner = name
            if behavior == "chain":
                for link in ("privatelink", "a-endpoint"):
                    target = f"{labels[0]}.{link}.{self.domain}"
                    records.append(record(owner, CNAME, self.ttl, encoded(target)))
                    owner = target
            if kind == A:
                records += [record(owner, A, self.ttl, socket.inet_aton(address)) for address in self.addresses]
        if behavior == "wrong id":
            identity = bytes([identity[0] ^ 0xff, identity[1]])
        if behavior == "wrong question":
            question = encoded("elsewhere.example") + question[-4:]
        response = identity + struct.pack(">HHHHH", flags | status, 1, len(records), 0, 0) + question + b"".join(records)
        send(response, 1.0 if behavior == "late" else 0)


def milliseconds_of(function):
    started = time.monotonic()
    result = function()
    return result, (time.monotonic() - started) * 1000
