"""gRPC calls by Google's implementation (grpcio), over Unix sockets."""

import hashlib

import grpc
from proto import csi_pb2, health_pb2, pluginregistration_pb2, provider_pb2

POD_UID = "11111111-2222-3333-4444-555555555555"
CODES = grpc.StatusCode
PROBE = "/csi.v1.Identity/Probe"
PUBLISH = "/csi.v1.Node/NodePublishVolume"
UNPUBLISH = "/csi.v1.Node/NodeUnpublishVolume"
STATS = "/csi.v1.Node/NodeGetVolumeStats"
GET_INFO = "/pluginregistration.Registration/GetInfo"
NOTIFY = "/pluginregistration.Registration/NotifyRegistrationStatus"
MOUNT = "/v1alpha1.CSIDriverProvider/Mount"

_METHODS = {
    "/csi.v1.Identity/GetPluginInfo": (csi_pb2.GetPluginInfoRequest, csi_pb2.GetPluginInfoResponse),
    "/csi.v1.Identity/GetPluginCapabilities": (csi_pb2.GetPluginCapabilitiesRequest, csi_pb2.GetPluginCapabilitiesResponse),
    PROBE: (csi_pb2.ProbeRequest, csi_pb2.ProbeResponse),
    "/csi.v1.Node/NodeGetInfo": (csi_pb2.NodeGetInfoRequest, csi_pb2.NodeGetInfoResponse),
    "/csi.v1.Node/NodeGetCapabilities": (csi_pb2.NodeGetCapabilitiesRequest, csi_pb2.NodeGetCapabilitiesResponse),
    PUBLISH: (csi_pb2.NodePublishVolumeRequest, csi_pb2.NodePublishVolumeResponse),
    UNPUBLISH: (csi_pb2.NodeUnpublishVolumeRequest, csi_pb2.NodeUnpublishVolumeResponse),
    STATS: (csi_pb2.NodeGetVolumeStatsRequest, csi_pb2.NodeGetVolumeStatsResponse),
    GET_INFO: (pluginregistration_pb2.InfoRequest, pluginregistration_pb2.PluginInfo),
    NOTIFY: (pluginregistration_pb2.RegistrationStatus, pluginregistration_pb2.RegistrationStatusResponse),
    "/v1alpha1.CSIDriverProvider/Version": (provider_pb2.VersionRequest, provider_pb2.VersionResponse),
    MOUNT: (provider_pb2.MountRequest, provider_pb2.MountResponse),
    "/grpc.health.v1.Health/Check": (health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse),
}


def channel(path, authority="localhost", options=()):
    return grpc.insecure_channel(f"unix:{path}", options=[
        ("grpc.default_authority", authority), ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 50),
        ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0),
        *options])


class Client:
    """One connection to a server under test."""

    def __init__(self, path, authority="localhost"):
        self.channel = channel(path, authority)

    def method(self, path):
        _, response = _METHODS[path]
        return self.channel.unary_unary(path, request_serializer=lambda message: message.SerializeToString(),
                                        response_deserializer=response.FromString)

    def call(self, path, request=None, timeout=30):
        return self.method(path)(request if request is not None else _METHODS[path][0](), timeout=timeout)

    def future(self, path, request, timeout=30):
        return self.method(path).future(request, timeout=timeout)

    def raw(self, path, payload=b"", timeout=10):
        return self.channel.unary_unary(path)(payload, timeout=timeout)

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def failure(call, *arguments, **keywords):
    """Runs a call that has to fail and returns (code, message)."""
    try:
        call(*arguments, **keywords)
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError("the call succeeded")


def retry_deadline_exceeded(fail, tries=4):
    """The failure of fail(): once more when it is only the deadline, before which a busy machine may not finish the last try."""
    for _ in range(tries):
        code, message = fail()
        if code != CODES.DEADLINE_EXCEEDED:
            break
    return code, message


def volume_id(pod_uid, volume):
    return "csi-" + hashlib.sha256((pod_uid + volume).encode()).hexdigest()


def publish_request(target, class_name="azure-kvname", namespace="default", pod="web", pod_uid=POD_UID, volume="secrets",
                    readonly=True, secrets=None, attributes=None):
    """The request of a kubelet for an inline volume."""
    request = csi_pb2.NodePublishVolumeRequest(volume_id=volume_id(pod_uid, volume), target_path=str(target), readonly=readonly)
    request.volume_capability.mount.SetInParent()
    request.volume_capability.access_mode.mode = csi_pb2.VolumeCapability.AccessMode.SINGLE_NODE_WRITER
    if class_name is not None:
        request.volume_context["secretProviderClass"] = class_name
    request.volume_context["csi.storage.k8s.io/pod.name"] = pod
    request.volume_context["csi.storage.k8s.io/pod.namespace"] = namespace
    request.volume_context["csi.storage.k8s.io/pod.uid"] = pod_uid
    request.volume_context["csi.storage.k8s.io/serviceAccount.name"] = "default"
    request.volume_context["csi.storage.k8s.io/ephemeral"] = "true"
    for key, value in (attributes or {}).items():
        request.volume_context[key] = value
    for key, value in (secrets or {}).items():
        request.secrets[key] = value
    return request


def unpublish_request(target, pod_uid=POD_UID, volume="secrets"):
    return csi_pb2.NodeUnpublishVolumeRequest(volume_id=volume_id(pod_uid, volume), target_path=str(target))
