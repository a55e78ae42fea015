"""A Kubernetes control plane of one's own on loopback: certificates, etcd, kube-apiserver, kube-controller-manager, and a client."""
