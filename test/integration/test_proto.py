"""Our .proto files against the official ones, field by field, and against the tables of the protocol documents."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, wrappers_pb2
from proto import csi_pb2

from harness.process import ROOT

pytestmark = pytest.mark.once
FIELD = descriptor_pb2.FieldDescriptorProto


def compile_protos(paths, directory, includes):
    out = Path(directory) / "set.pb"
    subprocess.run(["protoc", f"--descriptor_set_out={out}", "--include_imports", *[f"--proto_path={path}" for path in includes],
                    *[str(path) for path in paths]], check=True)
    result = descriptor_pb2.FileDescriptorSet()
    result.ParseFromString(out.read_bytes())
    return result


def describe(file_set, package):
    """({message: {number: (name, type, label, type name)}}, {enum: {number: name}}, {method path: (in, out)})"""
    messages, enums, methods = {}, {}, {}

    def visit(message, prefix):
        name = f"{prefix}.{message.name}" if prefix else message.name
        messages[name] = {field.number: (field.name, field.type, field.label, field.type_name.rsplit(".", 1)[-1])
                          for field in message.field}
        for nested in message.nested_type:
            visit(nested, name)
        for enum in message.enum_type:
            enums[f"{name}.{enum.name}"] = {value.number: value.name for value in enum.value}
    for file in file_set.file:
        if file.package != package:
            continue
        for message in file.message_type:
            visit(message, "")
        for service in file.service:
            for method in service.method:
                methods[f"/{package}.{service.name}/{method.name}"] = (method.input_type.rsplit(".", 1)[-1],
                                                                       method.output_type.rsplit(".", 1)[-1])
    return messages, enums, methods


def ours(name, tmp_path):
    return compile_protos([f"proto/{name}.proto"], tmp_path, [ROOT])


def go_module(module):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ASAN")}
    done = subprocess.run(["bash", ROOT / "test/tools/go.sh", "mod", "download", "-json", module], capture_output=True, text=True,
                          timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return Path(json.loads(done.stdout)["Dir"])


def compare(mine, official, renamed_types=()):
    """Every message, field, enum value and method of ours is in the official file with the same number, type and label."""
    my_messages, my_enums, my_methods = mine
    messages, enums, methods = official
    assert my_messages
    for name, fields in my_messages.items():
        if name in renamed_types:
            continue
        assert name in messages, f"message {name} is not in the official file"
        for number, field in fields.items():
            assert number in messages[name], f"{name} has no field {number} officially"
            assert field == messages[name][number], f"{name} field {number}"
    for name, values in my_enums.items():
        for number, value in values.items():
            assert enums[name].get(number) == value, f"{name} = {number}"
    for path, types in my_methods.items():
        assert methods.get(path) == types, path


def test_csi_is_the_csi_specification(tmp_path):
    directory = go_module("github.com/container-storage-interface/spec@v1.12.0")
    official = compile_protos(["csi.proto"], tmp_path, [directory, "/usr/include"])
    compare(describe(ours("csi", tmp_path), "csi.v1"), describe(official, "csi.v1"), renamed_types={"BoolValue"})


def test_csi_bool_value_is_googles():
    assert csi_pb2.BoolValue(value=True).SerializeToString() == wrappers_pb2.BoolValue(value=True).SerializeToString()


def test_plugin_registration_is_the_kubelets(tmp_path):
    directory = go_module("k8s.io/kubelet@v0.34.0") / "pkg/apis/pluginregistration/v1"
    text = (directory / "api.proto").read_text()
    # its annotations come from a module that is not needed for the comparison
    lines = [line for line in text.splitlines() if "gogoproto" not in line and "gogo.proto" not in line]
    (tmp_path / "api.proto").write_text("\n".join(lines))
    official = compile_protos(["api.proto"], tmp_path, [tmp_path])
    compare(describe(ours("pluginregistration", tmp_path), "pluginregistration"), describe(official, "pluginregistration"))


S, B, I32, MSG, ENUM, BYTES = FIELD.TYPE_STRING, FIELD.TYPE_BOOL, FIELD.TYPE_INT32, FIELD.TYPE_MESSAGE, FIELD.TYPE_ENUM, FIELD.TYPE_BYTES
ONE, MANY = FIELD.LABEL_OPTIONAL, FIELD.LABEL_REPEATED

PROVIDER = {
    "VersionRequest": {1: ("version", S, ONE, "")},
    "VersionResponse": {1: ("version", S, ONE, ""), 2: ("runtime_name", S, ONE, ""), 3: ("runtime_version", S, ONE, "")},
    "MountRequest": {1: ("attributes", S, ONE, ""), 2: ("secrets", S, ONE, ""), 3: ("target_path", S, ONE, ""),
                     4: ("permission", S, ONE, ""), 5: ("current_object_version", MSG, MANY, "ObjectVersion")},
    "MountResponse": {1: ("object_version", MSG, MANY, "ObjectVersion"), 2: ("error", MSG, ONE, "Error"), 3: ("files", MSG, MANY, "File"),
                      1001: ("warnings", S, MANY, "")},  # ours; far from the numbers that upstream may use next
    "File": {1: ("path", S, ONE, ""), 2: ("mode", I32, ONE, ""), 3: ("contents", BYTES, ONE, "")},
    "ObjectVersion": {1: ("id", S, ONE, ""), 2: ("version", S, ONE, "")},
    "Error": {1: ("code", S, ONE, "")},
}


def test_the_provider_protocol_is_the_documented_table(tmp_path):
    messages, _, methods = describe(ours("provider", tmp_path), "v1alpha1")
    assert messages == PROVIDER
    assert methods == {"/v1alpha1.CSIDriverProvider/Version": ("VersionRequest", "VersionResponse"),
                       "/v1alpha1.CSIDriverProvider/Mount": ("MountRequest", "MountResponse")}


def test_health_is_the_documented_table(tmp_path):
    messages, enums, methods = describe(ours("health", tmp_path), "grpc.health.v1")
    assert messages["HealthCheckRequest"] == {1: ("service", S, ONE, "")}
    assert messages["HealthCheckResponse"] == {1: ("status", ENUM, ONE, "ServingStatus")}
    assert enums["HealthCheckResponse.ServingStatus"] == {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
    assert methods["/grpc.health.v1.Health/Check"] == ("HealthCheckRequest", "HealthCheckResponse")


@pytest.mark.parametrize("name,package", [("csi", "csi.v1"), ("provider", "v1alpha1")])
def test_fields_that_hold_secrets_are_known_by_number(tmp_path, name, package):
    """The numbers that redaction and wiping rely on."""
    messages, _, _ = describe(ours(name, tmp_path), package)
    if name == "csi":
        assert messages["NodePublishVolumeRequest"][7][0] == "secrets"
        assert messages["NodePublishVolumeRequest"][8][0] == "volume_context"
    else:
        assert messages["MountRequest"][2][0] == "secrets"
        assert messages["File"][3][0] == "contents"
