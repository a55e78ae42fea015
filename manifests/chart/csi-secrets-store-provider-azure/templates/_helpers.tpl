{{- /* As "sscd.prepare" of the driver's chart: gives the values that an upstream release lacks, and stops for values that would strand nodes. */ -}}
{{- define "sscpa.prepare" -}}
{{- include "sscpa.fill" (dict "values" .Values "defaults" (fromYaml (include "sscpa.fallbacks" .))) -}}
{{- include "sscpa.guard" . -}}
{{- end -}}

{{- define "sscpa.fallbacks" -}}
linux:
  enabled: true
  image: { repository: localhost/secrets-store-provider-azure, pullPolicy: IfNotPresent }
  providersDir: /var/run/secrets-store-csi-providers
  healthzPort: 8989
  healthzPath: /healthz
  healthzTimeout: 5s
  user: 65532
  prepareSocketDirectory: true
windows: {}
rbac: { install: true }
constructPEMChain: true
metricsAddr: "8898"
podMonitor: { interval: 30s }
prometheusRule: {}
networkPolicy: { enabled: true, egressPorts: [443, 80] }
{{- end -}}

{{- /* Sets what is missing in the map "values" to what the map "defaults" has, at every depth. */ -}}
{{- define "sscpa.fill" -}}
{{- $values := .values -}}
{{- range $key, $default := .defaults -}}
{{- $present := get $values $key -}}
{{- if or (not (hasKey $values $key)) (kindIs "invalid" $present) -}}
{{- $_ := set $values $key $default -}}
{{- else if and (kindIs "map" $default) (kindIs "map" $present) -}}
{{- include "sscpa.fill" (dict "values" $present "defaults" $default) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "sscpa.guard" -}}
{{- $image := .Values.linux.image -}}
{{- if and .Values.linux.enabled (not $image.skipCheck) -}}
{{- if regexMatch "(?i)((^|/)provider-azure|(csi-secrets-store|secrets-store-csi|driver)[-_.]provider-azure|(^|[/_.-])driver)($|[:@])" $image.repository -}}
{{- fail (printf "linux.image.repository is %q, which is the name of another image: set linux.image.repository, .tag and .digest to this project's image secrets-store-provider-azure in your registry, or linux.image.skipCheck=true if that image is it" $image.repository) -}}
{{- end -}}
{{- if and $image.tag (not $image.digest) (eq (toString $image.tag) (toString (dig "image" "tag" "" .Values.windows))) -}}
{{- fail (printf "linux.image.tag is %q, the tag of the upstream image windows.image: set linux.image.tag to a tag of this project's image secrets-store-provider-azure, or to null for %s" (toString $image.tag) .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.windows.enabled (not .Values.windows.acceptRemoval) -}}
{{- fail "windows.enabled is true, but there is no provider for Windows and its DaemonSet would be removed: set windows.enabled=false, or windows.acceptRemoval=true if Windows nodes are meant to lose it" -}}
{{- end -}}
{{- if and .Values.enableArcExtension (dig "proxySettings" "isProxyEnabled" false (.Values.Azure | default dict)) -}}
{{- fail "Azure.proxySettings has no effect in this chart, and the provider would go around the proxy: set linux.env with HTTPS_PROXY, HTTP_PROXY and NO_PROXY, linux.volumes and linux.volumeMounts for the proxy's certificate, and Azure.proxySettings.isProxyEnabled=false" -}}
{{- end -}}
{{- end -}}

{{- define "sscpa.updateStrategy" -}}
{{- $strategy := .Values.linux.updateStrategy | default dict -}}
{{- if not $strategy -}}
{{- $rolling := dict "maxSurge" 1 "maxUnavailable" 0 -}}
{{- if .Values.linux.hostNetwork }}{{ $rolling = dict "maxUnavailable" 1 }}{{ end -}}
{{- $strategy = dict "type" "RollingUpdate" "rollingUpdate" $rolling -}}
{{- end -}}
{{- toYaml (ternary $strategy (omit $strategy "rollingUpdate") (eq (default "RollingUpdate" $strategy.type) "RollingUpdate")) -}}
{{- end -}}

{{- /* Clusters may refuse system-node-critical outside kube-system: a quota, an admission plugin. */ -}}
{{- define "sscpa.priorityClass" -}}
{{- $name := .Values.linux.priorityClassName | default (ternary "system-node-critical" "none" (eq .Release.Namespace "kube-system")) -}}
{{- if ne $name "none" }}{{ $name }}{{ end -}}
{{- end -}}

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
{{- regexFind "[0-9]+$" (toString .) -}}
{{- end -}}
