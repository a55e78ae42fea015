"""Between csi-sanity and the driver: a stub controller, and the two things that csi-sanity cannot be configured to send.

The product is a node plugin only and refuses volumes that are not read-only. csi-sanity insists on a controller (it creates its volumes
there) and sends readonly=false. So the controller here hands out a volume context, and the forwarder sets `readonly`; everything else
reaches the driver, and comes back from it, byte for byte.
"""

from concurrent import futures

import grpc
from proto import csi_pb2

from harness import rpc

# A hand-made subset of the controller's messages: field numbers of the CSI specification 1.12, encoded by the messages at hand.
SINGLE_NODE_MULTI_WRITER = b"\x0a\x04\x0a\x02\x08\x0d"  # capabilities { rpc { type: 13 } }


def field(number, payload):
    """One length-delimited protobuf field."""
    out, size = bytearray([number << 3 | 2]), len(payload)
    while size >= 128:
        out.append(size & 127 | 128)
        size >>= 7
    out.append(size)
    return bytes(out) + payload


def fields(data):
    """[(number, payload)] of the length-delimited fields of a message; others are skipped."""
    result, position = [], 0

    def varint():
        nonlocal position
        value = shift = 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while position < len(data):
        key = varint()
        if key & 7 == 2:
            size = varint()
            result.append((key >> 3, data[position:position + size]))
            position += size
        else:
            varint()
    return result


class Controller:
    """CreateVolume, DeleteVolume, ValidateVolumeCapabilities: just enough of a controller."""

    def __init__(self, volume_context):
        self.volume_context = volume_context
        self.volumes = {}

    def ControllerGetCapabilities(self, request, context):
        return SINGLE_NODE_MULTI_WRITER

    def CreateVolume(self, request, context):
        values = fields(request)
        name = [payload for number, payload in values if number == 1 and payload]
        if not name or not [payload for number, payload in values if number == 3]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "name and capabilities are required")
        identifier = b"sanity-" + name[0]
        self.volumes[identifier] = True
        entries = b"".join(field(3, field(1, key.encode()) + field(2, value.encode())) for key, value in self.volume_context.items())
        return field(1, field(2, identifier) + entries)

    def DeleteVolume(self, request, context):
        values = dict(fields(request))
        if not values.get(1):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "volume id is required")
        self.volumes.pop(values[1], None)
        return b""

    def ValidateVolumeCapabilities(self, request, context):
        values = fields(request)
        identifier = [payload for number, payload in values if number == 1 and payload]
        capabilities = [payload for number, payload in values if number == 3]
        if not identifier or not capabilities:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "volume id and capabilities are required")
        if identifier[0] not in self.volumes:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such volume")
        return field(1, b"".join(field(2, capability) for capability in capabilities))


class Forwarder(grpc.GenericRpcHandler):
    """Raw bytes through to the driver; `advertise_controller` only concerns GetPluginCapabilities."""

    def __init__(self, driver_socket, secrets, controller=None, advertise_controller=False):
        self.channel = rpc.channel(driver_socket)
        self.secrets = secrets
        self.controller = controller
        self.advertise_controller = advertise_controller

    def service(self, details):
        service, name = details.method.lstrip("/").split("/")
        if service == "csi.v1.Controller":
            method = getattr(self.controller, name, None) if self.controller is not None else None
            return None if method is None else grpc.unary_unary_rpc_method_handler(method)
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self.forward(details.method, request, context))

    def forward(self, method, request, context):
        if method == "/csi.v1.Identity/GetPluginCapabilities" and self.advertise_controller:
            capability = csi_pb2.PluginCapability()
            capability.service.type = csi_pb2.PluginCapability.Service.CONTROLLER_SERVICE
            return csi_pb2.GetPluginCapabilitiesResponse(capabilities=[capability]).SerializeToString()
        if method == rpc.PUBLISH:
            message = csi_pb2.NodePublishVolumeRequest.FromString(request)
            message.readonly = True
            for key, value in self.secrets.items():
                message.secrets[key] = value
            request = message.SerializeToString()
        try:
            return self.channel.unary_unary(method)(request, timeout=60)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())


class Shim:
    def __init__(self, path, handler):
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        self.server.add_generic_rpc_handlers((handler,))
        assert self.server.add_insecure_port(f"unix:{path}") == 1
        self.server.start()

    def stop(self):
        self.server.stop(0).wait(5)
