"""NodePublishVolume and NodeUnpublishVolume: every argument check, in its order; a failed one has no side effect."""

import os

import pytest
from proto import csi_pb2

from harness import mounts, rpc
from harness.rpc import CODES


def cleared(request, *fields):
    for field in fields:
        request.ClearField(field)
    return request


@pytest.fixture
def serving(node, driver, scripted):
    node.add_class()
    return driver, scripted(), node.target()


PUBLISH_CHECKS = [
    # (name, fields to clear, a word of the message): each case also lacks everything that is checked later
    ("capability_first", ["volume_capability", "volume_id", "target_path", "volume_context"], "capability"),
    ("then_id", ["volume_id", "target_path", "volume_context"], "volume id"),
    ("then_target", ["target_path", "volume_context"], "target"),
    ("then_context", ["volume_context"], "attributes"),
]


@pytest.mark.parametrize("fields,word", [case[1:] for case in PUBLISH_CHECKS], ids=[case[0] for case in PUBLISH_CHECKS])
def test_publish_checks_its_arguments_in_order(serving, fields, word):
    driver, provider, target = serving
    code, message = driver.publish_failure(cleared(rpc.publish_request(target), *fields))
    assert code == CODES.INVALID_ARGUMENT
    assert word in message.lower()
    assert provider.requests == []
    assert not os.path.lexists(target)


def test_publish_without_a_class_name_fails(serving):
    driver, provider, target = serving
    code, message = driver.publish_failure(rpc.publish_request(target, class_name=None))
    assert code in (CODES.INVALID_ARGUMENT, CODES.UNKNOWN)
    assert "secretProviderClass" in message
    assert provider.requests == []


def test_publish_of_a_missing_class_ends_with_not_found(serving):
    driver, _, target = serving
    code, message = driver.publish_failure(rpc.publish_request(target, class_name="nowhere"))
    assert "failed to get secretproviderclass default/nowhere" in message
    assert message.rstrip().endswith("not found")
    assert code == CODES.NOT_FOUND
    assert mounts.mounts_below(target) == []


def test_the_class_is_looked_up_before_read_only_is_checked(serving):
    driver, _, target = serving
    _, message = driver.publish_failure(rpc.publish_request(target, class_name="nowhere", readonly=False))
    assert "failed to get secretproviderclass" in message


def test_publish_that_is_not_read_only_is_an_invalid_argument(serving):
    driver, provider, target = serving
    code, message = driver.publish_failure(rpc.publish_request(target, readonly=False))
    assert code == CODES.INVALID_ARGUMENT
    assert "readonly" in message.lower().replace("-", "").replace(" ", "")
    assert provider.requests == []
    assert mounts.mounts_below(target) == []


def test_a_class_is_only_found_in_its_namespace(serving):
    driver, _, target = serving
    _, message = driver.publish_failure(rpc.publish_request(target, namespace="other"))
    assert "failed to get secretproviderclass other/azure-kvname" in message


@pytest.mark.parametrize("spec,word", [
    ("  parameters: {colour: blue}\n", "provider"),
    ("  provider: scripted\n", "parameters"),
    ("  provider: scripted\n  parameters: {}\n", "parameters"),
], ids=["no_provider", "no_parameters", "empty_parameters"])
def test_an_incomplete_class_names_the_missing_field(serving, node, spec, word):
    driver, provider, target = serving
    node.add_class("broken", text="apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\n"
                                  f"metadata: {{name: broken, namespace: default}}\nspec:\n{spec}")
    code, message = driver.publish_failure(rpc.publish_request(target, class_name="broken"))
    assert code == CODES.INVALID_ARGUMENT
    assert word in message
    assert provider.requests == []


@pytest.mark.parametrize("provider_name", ["../evil", "a b", "x" * 31, "azure.sock", "ümlaut"])
def test_a_provider_name_that_could_leave_the_directory_is_refused(serving, node, provider_name):
    driver, provider, target = serving
    node.add_class("evil", provider=f'"{provider_name}"')
    code, message = driver.publish_failure(rpc.publish_request(target, class_name="evil"))
    assert code == CODES.INVALID_ARGUMENT
    assert f'invalid provider "{provider_name}"' in message
    assert provider.requests == []
    assert mounts.mounts_below(target) == []


def test_a_provider_that_is_not_there_is_named(serving, node):
    driver, _, target = serving
    node.add_class("missing", provider="nobody")
    code, message = driver.publish_failure(rpc.publish_request(target, class_name="missing"))
    assert code == CODES.FAILED_PRECONDITION
    assert 'provider not found: provider "nobody"' in message
    assert mounts.mounts_below(target) == []


@pytest.mark.parametrize("make_path", [
    lambda target: "relative/path",
    lambda target: f"{target}/../../../escape",
    lambda target: f"{target}/x/../y",
], ids=["relative", "dot_dot", "dot_dot_inside"])
def test_a_target_path_that_is_not_plain_is_refused(serving, make_path):
    driver, _, target = serving
    code, _ = driver.publish_failure(rpc.publish_request(make_path(target)))
    assert code == CODES.INVALID_ARGUMENT


def test_a_nul_byte_does_not_cut_a_path(serving, node):
    driver, _, target = serving
    request = rpc.publish_request(target)
    request.target_path = f"{target}\0/elsewhere"
    code, _ = driver.publish_failure(request)
    assert code in (CODES.INVALID_ARGUMENT, CODES.INTERNAL)
    assert not os.path.lexists(target)


def test_a_block_volume_is_refused(serving):
    driver, provider, target = serving
    request = rpc.publish_request(target)
    request.volume_capability.block.SetInParent()
    code, _ = driver.publish_failure(request)
    assert code == CODES.INVALID_ARGUMENT
    assert provider.requests == []


@pytest.mark.parametrize("fields,word", [(["volume_id", "target_path"], "volume"), (["target_path"], "target")],
                         ids=["id_first", "then_target"])
def test_unpublish_checks_its_arguments_in_order(serving, fields, word):
    driver, _, target = serving
    code, message = rpc.failure(driver.unpublish, cleared(rpc.unpublish_request(target), *fields))
    assert code == CODES.INVALID_ARGUMENT
    assert word in message.lower()


def test_unpublish_of_a_volume_that_was_never_published_succeeds(serving):
    driver, _, target = serving
    driver.unpublish(rpc.unpublish_request(target))
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)


def test_unpublish_of_an_unmounted_directory_removes_it(serving):
    """After a reboot: the directory is there, the tmpfs is not."""
    driver, _, target = serving
    target.mkdir()
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)


@pytest.mark.parametrize("fields", [["volume_id"], ["volume_path"]])
def test_volume_stats_check_their_arguments(serving, fields):
    driver, _, target = serving
    request = csi_pb2.NodeGetVolumeStatsRequest(volume_id="x", volume_path=str(target))
    code, _ = rpc.failure(driver.client.call, rpc.STATS, cleared(request, *fields))
    assert code in (CODES.INVALID_ARGUMENT, CODES.UNIMPLEMENTED)


def test_volume_stats_of_nothing_are_not_found(serving):
    driver, _, target = serving
    request = csi_pb2.NodeGetVolumeStatsRequest(volume_id="x", volume_path=str(target))
    code, _ = rpc.failure(driver.client.call, rpc.STATS, request)
    assert code in (CODES.NOT_FOUND, CODES.UNIMPLEMENTED)


def test_volume_stats_of_a_published_volume_count_bytes_and_inodes(serving):
    driver, _, target = serving
    driver.publish(rpc.publish_request(target))
    capabilities = driver.client.call("/csi.v1.Node/NodeGetCapabilities").capabilities
    assert csi_pb2.NodeServiceCapability.RPC.GET_VOLUME_STATS in [c.rpc.type for c in capabilities]
    request = csi_pb2.NodeGetVolumeStatsRequest(volume_id=rpc.volume_id(rpc.POD_UID, "secrets"), volume_path=str(target))
    usage = {entry.unit: entry for entry in driver.client.call(rpc.STATS, request).usage}
    status = os.statvfs(target)
    assert usage[csi_pb2.VolumeUsage.BYTES].total == status.f_blocks * status.f_frsize
    assert usage[csi_pb2.VolumeUsage.BYTES].used > 0
    assert usage[csi_pb2.VolumeUsage.INODES].total == status.f_files


def test_identity_and_node_name_driver_and_node(serving):
    driver, _, _ = serving
    info = driver.client.call("/csi.v1.Identity/GetPluginInfo")
    assert info.name == "secrets-store.csi.k8s.io"
    assert info.vendor_version
    assert driver.client.call(rpc.PROBE).ready.value is True
    assert driver.client.call("/csi.v1.Node/NodeGetInfo").node_id == "node-1"
    types = [c.rpc.type for c in driver.client.call("/csi.v1.Node/NodeGetCapabilities").capabilities]
    assert csi_pb2.NodeServiceCapability.RPC.STAGE_UNSTAGE_VOLUME not in types
