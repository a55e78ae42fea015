#!/usr/bin/python3
"""grpc_peer - an independent gRPC peer (grpc core) for the integration tests.

Speaks raw bytes through generic handlers, so it needs no generated code. Messages are given and printed in hex.

  grpc_peer.py call unix:/path METHOD [--hex BYTES] [--timeout S] [--authority A] [--repeat N] [--parallel N] [--cancel-after S]
  grpc_peer.py call unix:/path METHOD --mount ATTRIBUTES [--secrets JSON]     builds a v1alpha1 MountRequest
  grpc_peer.py serve unix:/path [--reply-bytes N] [--code N --message TEXT] [--delay S] [--stop-after S]

`call` prints one line per outcome: "<code name> <bytes> <details>" and exits with the number of the last code.
As a module: `unary(channel, method, request, timeout)` and `serve(address, behaviour)`.
"""
import argparse
import concurrent.futures
import sys
import threading
import time

import grpc

MAX_BYTES = 64 * 1024 * 1024
OPTIONS = [("grpc.max_receive_message_length", MAX_BYTES), ("grpc.max_send_message_length", MAX_BYTES)]


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, data):
    """A length-delimited protobuf field."""
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def mount_request(attributes, secrets="null", target="/target", permission="420"):
    return field(1, attributes) + field(2, secrets) + field(3, target) + field(4, permission)


def mount_response(path, contents, mode=0o644):
    version = field(1, field(1, "secret/" + path) + field(2, "v1"))
    return version + field(3, field(1, path) + b"\x10" + varint(mode) + field(3, contents))


def open_channel(address, authority="localhost"):
    options = list(OPTIONS)
    if authority is not None:
        options.append(("grpc.default_authority", authority))
    return grpc.insecure_channel(address, options=options)


def stub(channel, method):
    return channel.unary_unary(method, request_serializer=None, response_deserializer=None)


def unary(channel, method, request=b"", timeout=10.0):
    """Returns (code, details, response bytes or None)."""
    try:
        return grpc.StatusCode.OK, "", stub(channel, method)(request, timeout=timeout)
    except grpc.RpcError as error:
        return error.code(), error.details(), None


class Handler(grpc.GenericRpcHandler):
    """Responds to every method with `behaviour(method, request, context) -> bytes`."""

    def __init__(self, behaviour):
        self.behaviour = behaviour

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self.behaviour(details.method, request, context))


def serve(address, behaviour, workers=128):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(workers), options=OPTIONS)
    server.add_generic_rpc_handlers((Handler(behaviour),))
    server.add_insecure_port(address)
    server.start()
    return server


def run_call(arguments):
    request = bytes.fromhex(arguments.hex)
    if arguments.mount is not None:
        request = mount_request(arguments.mount, arguments.secrets)
    channel = open_channel(arguments.address, arguments.authority)
    if arguments.cancel_after is not None:
        future = stub(channel, arguments.method).future(request, timeout=arguments.timeout)
        time.sleep(arguments.cancel_after)
        future.cancel()
        print("CANCELLED locally:", future.cancelled())
        channel.close()
        return 0

    def one(_):
        return unary(channel, arguments.method, request, arguments.timeout)

    with concurrent.futures.ThreadPoolExecutor(arguments.parallel) as pool:
        outcomes = list(pool.map(one, range(arguments.repeat)))
    for code, details, response in outcomes:
        size = "-" if response is None else len(response)
        print(code.name, size, details)
    channel.close()
    return outcomes[-1][0].value[0]


def run_serve(arguments):
    def behaviour(_method, request, context):
        time.sleep(arguments.delay)
        if arguments.code:
            code = next(c for c in grpc.StatusCode if c.value[0] == arguments.code)
            context.abort(code, arguments.message)
        if arguments.reply_bytes is None:
            return request
        return mount_response("file", b"x" * arguments.reply_bytes)

    server = serve(arguments.address, behaviour)
    print("serving", flush=True)
    if arguments.stop_after is not None:
        time.sleep(arguments.stop_after)
        server.stop(grace=1).wait()
    else:
        threading.Event().wait()
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    call = commands.add_parser("call")
    call.add_argument("address")
    call.add_argument("method")
    call.add_argument("--hex", default="")
    call.add_argument("--mount")
    call.add_argument("--secrets", default="null")
    call.add_argument("--timeout", type=float)
    call.add_argument("--authority", default="localhost")
    call.add_argument("--repeat", type=int, default=1)
    call.add_argument("--parallel", type=int, default=1)
    call.add_argument("--cancel-after", type=float)
    server = commands.add_parser("serve")
    server.add_argument("address")
    server.add_argument("--reply-bytes", type=int)
    server.add_argument("--code", type=int, default=0)
    server.add_argument("--message", default="")
    server.add_argument("--delay", type=float, default=0.0)
    server.add_argument("--stop-after", type=float)
    arguments = parser.parse_args()
    return run_call(arguments) if arguments.command == "call" else run_serve(arguments)


if __name__ == "__main__":
    sys.exit(main())
