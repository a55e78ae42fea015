"""An HTTP/1.1 server that misbehaves on demand, and a CONNECT proxy, for test_http_client*.c: prints its port, then serves."""
import http.server
import socket
import socketserver
import struct
import threading
import time

LONGER_THAN_ANY_TEST_S = 600
late = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def respond(self, body, status=200, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def start_chunks(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, body):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
        self.wfile.flush()

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/hello":
            self.respond(b"hello")
        elif path == "/leave":  # closes the connection and does not announce it
            self.respond(b"bye")
            self.close_connection = True
        elif path == "/headers":
            self.respond(str(self.headers).encode())
        elif path == "/status":
            self.respond(b"gone", 410, [("X-Why", "first"), ("x-why", "test"), ("Retry-After", "3")])
        elif path == "/busy":
            self.respond(b"", 429, [("Retry-After", "3"), ("x-ms-retry-after-ms", "250"), ("Retry-After-Ms", "soon")])
        elif path == "/later":
            self.respond(b"", 503, [("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Retry-After", "Sun, 06 Nov 1994 08:50:07 GMT")])
        elif path == "/redirect":
            self.respond(b"", 302, [("Location", "/hello")])
        elif path == "/late":  # responds with the number of requests for it so far
            global late
            late += 1
            time.sleep(2.5)
            self.respond(b"%d" % late)
        elif path == "/slow":
            time.sleep(LONGER_THAN_ANY_TEST_S)
        elif path == "/big":
            self.respond(b"x" * 100000)
        elif path == "/bigchunks":
            self.close_connection = True
            self.start_chunks()
            try:
                while True:
                    self.chunk(b"x" * 1000)
            except OSError:
                pass
        elif path == "/truncated":
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
        elif path == "/reset":
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif path == "/garbage":
            self.close_connection = True
            self.wfile.write(b"\x00\x01garbage\r\n\r\n")
        elif path.startswith("/line-"):
            self.close_connection = True
            self.wfile.write({"/line-version": b"HTTP/9.9 200 OK", "/line-status": b"HTTP/1.1 abc OK", "/line-short": b"HTTP/1.1 20 OK",
                              "/line-name": b"HTPT/1.1 200 OK"}[path] + b"\r\nContent-Length: 0\r\n\r\n")
        elif path == "/hugeheader":
            self.close_connection = True
            try:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Huge: " + b"x" * 3000000 + b"\r\nContent-Length: 0\r\n\r\n")
            except OSError:
                pass
        elif path == "/manyheaders":
            self.respond(b"", 200, [("X-%d" % i, "v") for i in range(99)] * 2)
        elif path == "/stall":
            self.start_chunks()
            self.chunk(b"half")
            time.sleep(LONGER_THAN_ANY_TEST_S)
        else:
            self.respond(b"nothing here", 404)

    def do_POST(self):
        """Responds with the method, the content type and the body of the request."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.respond(b"%s %s %s" % (self.command.encode(), str(self.headers.get("Content-Type")).encode(), body))

    do_PUT = do_PATCH = do_POST

    def do_CONNECT(self):
        """Every host is on the loopback interface, but for those that are called refuse."""
        self.close_connection = True
        if "refuse" in self.path:
            self.respond(b"no", 407)
            return
        upstream = socket.create_connection(("127.0.0.1", int(self.path.rsplit(":", 1)[1])))
        self.connection.sendall(b"HTTP/1.1 200 ok\r\nX-Proxy: yes\r\n\r\n")
        back = threading.Thread(target=copy, args=(upstream, self.connection))
        back.start()
        copy(self.connection, upstream)
        back.join()


def copy(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_):
        pass


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
