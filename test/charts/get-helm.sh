#!/bin/bash
# get-helm.sh - builds Helm, once per machine, and prints its path.
exec "$(dirname "$0")/../tools/go-install.sh" helm v3.17.3 helm.sh/helm/v3/cmd/helm
