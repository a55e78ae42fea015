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
app: {{ template "sscd.name" . }}
app.kubernetes.io/name: {{ template "sscd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
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
