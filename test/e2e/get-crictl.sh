#!/bin/bash
# get-crictl.sh - builds crictl, once per machine, and prints its path.
exec "$(dirname "$0")/../tools/go-install.sh" crictl v1.37.0 sigs.k8s.io/cri-tools/cmd/crictl
