from harness import tutorial
def test_pod(kubectl, make_class, make_pod, installation):
    print(kubectl("get", "pods", "-A", "-o", "wide"))
    make_class()
    pod = make_pod()
    pod.wait_running()
    print(pod.describe())
    print(pod.exec("ls", "-la", "/mnt/secrets-store"))
    assert pod.read("secret1") == tutorial.SECRETS["secret1"]
    pod.delete()
    pod.assert_node_is_clean()
