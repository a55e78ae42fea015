{{- /*
Every template starts with "sscd.prepare". It gives the values that the templates need and that are missing: `helm upgrade --reuse-values` of an
upstream release renders this chart with the upstream chart's values in place of values.yaml. Then it stops for values with which
nodes would lose their driver. A list or `resources` that is missing stays missing: null is how a user removes such a default.
*/ -}}
{{- define "sscd.prepare" -}}
{{- include "sscd.fill" (dict "values" .Values "defaults" (fromYaml (include "sscd.fallbacks" .))) -}}
{{- include "sscd.guard" . -}}
{{- end -}}

{{- define "sscd.fallbacks" -}}
linux:
  enabled: true
  image: { repository: localhost/secrets-store-driver, pullPolicy: IfNotPresent }
  driver: {}
  kubeletRootDir: /var/lib/kubelet
  providersDir: /var/run/secrets-store-csi-providers
  metricsAddr: ":8095"
windows: {}
livenessProbe: { port: 9808 }
rbac: { install: true }
syncSecret: {}
enableSecretRotation: false
automountServiceAccountToken: true
podMonitor: { interval: 30s }
prometheusRule: {}
grafanaDashboard: { labels: { grafana_dashboard: "1" } }
networkPolicy: { enabled: true, egressPorts: [443, 6443] }
classValidation: { enabled: true, action: Warn }
driverAdmission: { enabled: true }
{{- end -}}

{{- /* Sets what is missing in the map "values" to what the map "defaults" has, at every depth. */ -}}
{{- define "sscd.fill" -}}
{{- $values := .values -}}
{{- range $key, $default := .defaults -}}
{{- $present := get $values $key -}}
{{- if or (not (hasKey $values $key)) (kindIs "invalid" $present) -}}
{{- $_ := set $values $key $default -}}
{{- else if and (kindIs "map" $default) (kindIs "map" $present) -}}
{{- include "sscd.fill" (dict "values" $present "defaults" $default) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Where a value of this chart stands in the values of the release: "" or "secrets-store-csi-driver." */ -}}
{{- define "sscd.at" -}}
{{- if not .Chart.IsRoot }}{{ .Chart.Name }}.{{ end -}}
{{- end -}}

{{- define "sscd.guard" -}}
{{- $at := include "sscd.at" . -}}
{{- $image := .Values.linux.image -}}
{{- if and .Values.linux.enabled (not $image.skipCheck) -}}
{{- if regexMatch "(?i)(secrets-store/driver|(csi-secrets-store|secrets-store-csi)[-_.]driver|driver-crds|provider-azure)($|[:@])" $image.repository -}}
{{- fail (printf "%slinux.image.repository is %q, which is the name of another image: set %slinux.image.repository, .tag and .digest to this project's image secrets-store-driver in your registry, or %slinux.image.skipCheck=true if that image is it" $at $image.repository $at $at) -}}
{{- end -}}
{{- range $other := list "crds" "windows" -}}
{{- $beside := dig "image" "tag" "" (ternary $.Values.windows (get $.Values.linux "crds" | default dict) (eq $other "windows")) -}}
{{- if and $image.tag (not $image.digest) (eq (toString $image.tag) (toString $beside)) -}}
{{- fail (printf "%slinux.image.tag is %q, the tag of the upstream image %s: set %slinux.image.tag to a tag of this project's image secrets-store-driver, or to null for %s" $at (toString $image.tag) (ternary "windows.image" "linux.crds.image" (eq $other "windows")) $at $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.windows.enabled (not .Values.windows.acceptRemoval) -}}
{{- fail (printf "%swindows.enabled is true, but there is no driver for Windows and its DaemonSet would be removed: set %swindows.enabled=false, or %swindows.acceptRemoval=true if Windows nodes are meant to lose it" $at $at $at) -}}
{{- end -}}
{{- end -}}

{{- /* Clusters may refuse system-node-critical outside kube-system: a quota, an admission plugin. */ -}}
{{- define "sscd.priorityClass" -}}
{{- $name := .Values.linux.priorityClassName | default (ternary "system-node-critical" "none" (eq .Release.Namespace "kube-system")) -}}
{{- if ne $name "none" }}{{ $name }}{{ end -}}
{{- end -}}

{{- define "sscd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sscd.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "sscd.labels" -}}
{{- $ours := dict
  "app" (include "sscd.name" .)
  "app.kubernetes.io/name" (include "sscd.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/version" .Chart.AppVersion
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- toYaml (merge $ours (.Values.commonLabels | default dict)) -}}
{{- end -}}

{{- /* Labels of the pods: the operator's win, but for the one that the DaemonSet selects by. */ -}}
{{- define "sscd.podLabels" -}}
{{- $selected := dict "app" (include "sscd.name" .) -}}
{{- toYaml (merge $selected (.Values.linux.podLabels | default dict) (fromYaml (include "sscd.labels" .))) -}}
{{- end -}}

{{- /* Additional directories of providers, without the one that is mounted anyway: a path can be mounted once. */ -}}
{{- define "sscd.additionalProvidersDirs" -}}
{{- toYaml (without (.Values.linux.additionalProvidersDirs | default list | uniq) .Values.linux.providersDir) -}}
{{- end -}}

{{- define "sscd.image" -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default .fallback) -}}
{{- end -}}
{{- end -}}

{{- /* The port at the end of an address like ":8095" or "127.0.0.1:8095". */ -}}
{{- define "sscd.port" -}}
{{- regexFind "[0-9]+$" (toString .) -}}
{{- end -}}

{{- /* A file of plain manifests with this release's namespace and labels: dict "root" $ "file" "files/deploy/rbac.yaml". */ -}}
{{- define "sscd.manifests" -}}
{{- $root := .root -}}
{{- range $text := regexSplit "(?m)^---$" ($root.Files.Get .file) -1 -}}
{{- $item := fromYaml $text -}}
{{- if $item.kind -}}
{{- $labels := merge (dict) (default (dict) $item.metadata.labels) (fromYaml (include "sscd.labels" $root)) -}}
{{- $_ := set $item.metadata "labels" $labels -}}
{{- if $item.metadata.namespace }}{{ $_ := set $item.metadata "namespace" $root.Release.Namespace }}{{ end -}}
{{- range $subject := $item.subjects }}{{ $_ := set $subject "namespace" $root.Release.Namespace }}{{ end }}
---
{{ toYaml $item }}
{{ end -}}
{{- end -}}
{{- end -}}

{{- /* Kubernetes refuses rollingUpdate beside another type; it is still there when a values file sets only the type. */ -}}
{{- define "sscd.updateStrategy" -}}
{{- $strategy := .Values.linux.updateStrategy | default dict -}}
{{- toYaml (ternary $strategy (omit $strategy "rollingUpdate") (eq (default "RollingUpdate" $strategy.type) "RollingUpdate")) -}}
{{- end -}}

{{- define "sscd.notes" -}}
{{- $linux := .Values.linux -}}
{{- if $linux.enabled -}}
The Secrets Store CSI driver is installed: DaemonSet {{ include "sscd.fullname" . }} in the namespace {{ .Release.Namespace }},
image {{ include "sscd.image" (merge (dict "fallback" .Chart.AppVersion) $linux.image) }}.
{{- else -}}
The objects of the Secrets Store CSI driver are installed, without its DaemonSet (linux.enabled=false).
{{- end }}

  Rotation: {{ if .Values.enableSecretRotation }}on, every {{ .Values.rotationPollInterval | default "2m" }}{{ else }}off ({{ include "sscd.at" . }}enableSecretRotation=true switches it on){{ end }}
  Sync to Kubernetes Secrets: {{ if .Values.syncSecret.enabled }}on{{ else }}off, the role is missing ({{ include "sscd.at" . }}syncSecret.enabled=true installs it){{ end }}
{{- end -}}

{{- define "sscd.crdNotes" -}}
{{- if .Release.IsUpgrade }}
Helm does not update custom resource definitions. Without those of this version, fields of the status objects are lost. Apply them once:

  helm show crds CHART | kubectl apply -f -
{{- end }}
{{- end -}}

{{- /* One "WARNING: " line for each value that does not do what it seems to. */ -}}
{{- define "sscd.warnings" -}}
{{- $at := include "sscd.at" . -}}
{{- $linux := .Values.linux -}}
{{- $tag := toString ($linux.image.tag | default .Chart.AppVersion) -}}
{{- $arguments := join " " ($linux.extraArgs | default list) -}}
{{- if and $linux.enabled (not $linux.image.digest) (ne (trimPrefix "v" $tag) .Chart.AppVersion) }}
WARNING: {{ $at }}linux.image.tag is {{ $tag }}; this chart is made for {{ .Chart.AppVersion }}.
{{- end }}
{{- if and .Values.rotationPollInterval (not .Values.enableSecretRotation) (ne .Values.rotationPollInterval "2m") }}
WARNING: {{ $at }}rotationPollInterval has no effect without {{ $at }}enableSecretRotation=true.
{{- end }}
{{- if and (contains "--enable-secret-rotation" $arguments) (not .Values.enableSecretRotation) }}
WARNING: --enable-secret-rotation in {{ $at }}linux.extraArgs rotates nothing without requiresRepublish in the CSIDriver object; set {{ $at }}enableSecretRotation=true.
{{- end }}
{{- if and .Values.syncSecret.enabled (not .Values.rbac.install) }}
WARNING: {{ $at }}syncSecret.enabled gives a role to the ServiceAccount secrets-store-csi-driver, which {{ $at }}rbac.install=false does not install.
{{- end }}
{{- if and (not .Values.automountServiceAccountToken) (not (contains "--kubeconfig" $arguments)) }}
WARNING: {{ $at }}automountServiceAccountToken=false: without a token the driver cannot read classes from the API server, unless {{ $at }}linux.volumes mounts one.
{{- end }}
{{- if .Values.preventPodSchedulingIfMissing }}
{{- if semverCompare ">=1.37.0-0" .Capabilities.KubeVersion.Version }}
WARNING: {{ $at }}preventPodSchedulingIfMissing: the scheduler of Kubernetes 1.37 applies it to volumes with a claim only, and these have none; {{ $at }}linux.removeStartupTaint keeps pods off new nodes.
{{- else }}
WARNING: {{ $at }}preventPodSchedulingIfMissing has no effect before Kubernetes 1.37; this is {{ .Capabilities.KubeVersion.Version }}.
{{- end }}
{{- end }}
{{- if .Values.rbac.upstreamDriver }}
WARNING: {{ $at }}rbac.upstreamDriver grants more than this driver needs; set it to false once every node runs this driver.
{{- end }}
{{- if .Values.windows.enabled }}
WARNING: {{ $at }}windows.acceptRemoval: pods on Windows nodes can neither mount nor unmount these volumes.
{{- end }}
{{- end -}}
