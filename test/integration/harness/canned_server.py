"""A gRPC server (grpcio) with one prepared response per method, for clients whose peer does not exist as a program."""

from concurrent import futures

import grpc


class CannedServer(grpc.GenericRpcHandler):
    """`responses`: {method path: message, (status code, details), or a function of (request bytes, context)}. Other methods are UNIMPLEMENTED."""

    def __init__(self, socket_path, responses):
        self.path = socket_path
        self.responses = responses
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        self.server.add_generic_rpc_handlers((self,))
        assert self.server.add_insecure_port(f"unix:{socket_path}") == 1
        self.server.start()

    def service(self, details):
        if details.method not in self.responses:
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._respond(details.method, request, context))

    def _respond(self, method, request, context):
        response = self.responses[method]
        if callable(response):
            response = response(request, context)
        if isinstance(response, tuple):
            context.abort(*response)
        return response.SerializeToString()

    def stop(self):
        self.server.stop(0).wait(5)
