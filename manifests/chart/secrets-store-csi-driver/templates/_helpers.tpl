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
{{- regexFind "[0-9]+$" . -}}
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
