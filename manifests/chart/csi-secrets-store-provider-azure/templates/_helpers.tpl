{{- define "sscpa.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sscpa.fullname" -}}
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

{{- define "sscpa.labels" -}}
app: {{ template "sscpa.name" . }}
app.kubernetes.io/name: {{ template "sscpa.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{- /* Labels of the pods: the operator's win, but for the one that the DaemonSet selects by. */ -}}
{{- define "sscpa.podLabels" -}}
{{- $selected := dict "app" (include "sscpa.name" .) -}}
{{- toYaml (merge $selected (.Values.linux.podLabels | default dict) (fromYaml (include "sscpa.labels" .))) -}}
{{- end -}}

{{- define "sscpa.image" -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default .fallback) -}}
{{- end -}}
{{- end -}}

{{- /* The port at the end of an address like ":8095" or "127.0.0.1:8095". */ -}}
{{- define "sscpa.port" -}}
{{- regexFind "[0-9]+$" . -}}
{{- end -}}
