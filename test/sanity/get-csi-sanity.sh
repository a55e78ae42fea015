#!/bin/bash
# get-csi-sanity.sh - builds csi-sanity, the conformance suite of the CSI specification, once per machine, and prints its path.
exec "$(dirname "$0")/../tools/go-install.sh" csi-sanity v5.6.0 github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity
