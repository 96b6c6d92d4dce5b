{{/* Names and labels. What selects pods never changes with a version: selectors of Deployments are for life. */}}

{{- define "countersign.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "countersign.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "countersign.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "countersign.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "countersign.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* Of (dict "root" $ "name" COMPONENT): what pods of a component have in common, in every version. */}}
{{- define "countersign.selector" -}}
app.kubernetes.io/name: {{ include "countersign.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{/* Metadata of an object, of (dict "root" $ "name" COMPONENT "object" NAME "annotations" MAP "labels" MAP). */}}
{{- define "countersign.metadata" -}}
name: {{ .object }}
namespace: {{ include "countersign.namespace" .root }}
labels:
  {{- include "countersign.selector" . | nindent 2 }}
  helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 }}
  app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  app.kubernetes.io/part-of: countersign
  {{- with merge (dict) (.labels | default dict) .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "countersign.object" -}}
{{ include "countersign.fullname" .root }}-{{ .name }}
{{- end }}

{{- define "countersign.serviceAccountName" -}}
{{- $account := .values.serviceAccount -}}
{{- if $account.create }}
{{- default (include "countersign.object" .) $account.name }}
{{- else }}
{{- default "default" $account.name }}
{{- end }}
{{- end }}

{{/* The image, of (dict "root" $ "values" COMPONENT'S VALUES). */}}
{{- define "countersign.image" -}}
{{- $image := mergeOverwrite (deepCopy .root.Values.image) (.values.image | default dict) -}}
{{- $registry := default $image.registry .root.Values.global.imageRegistry -}}
{{- if $registry }}{{ trimSuffix "/" $registry }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .root.Chart.AppVersion $image.tag }}{{ end }}
{{- end }}

{{- define "countersign.pullPolicy" -}}
{{- (.values.image | default dict).pullPolicy | default .root.Values.image.pullPolicy }}
{{- end }}

{{- define "countersign.imagePullSecrets" -}}
{{- with uniq (concat .Values.global.imagePullSecrets .Values.imagePullSecrets) -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The values of a component over the defaults, as YAML, of (dict "root" $ "name" COMPONENT). */}}
{{- define "countersign.values" -}}
{{- mergeOverwrite (deepCopy .root.Values.defaults) (deepCopy (index .root.Values .name)) | toYaml }}
{{- end }}

{{/* The fewest replicas that a component has, of its values. */}}
{{- define "countersign.replicasMin" -}}
{{- if and .keda .keda.enabled }}{{ .keda.minReplicas }}
{{- else if and .autoscaling .autoscaling.enabled }}{{ .autoscaling.minReplicas }}
{{- else }}{{ .replicaCount }}
{{- end }}
{{- end }}

{{/* True when something else than the Deployment says how many replicas there are. */}}
{{- define "countersign.scaled" -}}
{{- if or (and .keda .keda.enabled) (and .autoscaling .autoscaling.enabled) }}true{{ end }}
{{- end }}
