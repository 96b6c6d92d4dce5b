{{/* Parts of pods. */}}

{{- define "countersign.pod.volumes" -}}
- name: config
  configMap:
    name: {{ .config }}
{{- with include "countersign.secretFiles" . | fromJsonArray }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range . }}
      - secret:
          name: {{ .name }}
          items:
            - key: {{ .key }}
              path: {{ .path }}
      {{- end }}
{{- end }}
{{- end }}

{{- define "countersign.pod.mounts" -}}
- name: config
  mountPath: {{ dir (include "countersign.configFile" .root) }}
  readOnly: true
{{- if include "countersign.secretFiles" . | fromJsonArray }}
- name: secrets
  mountPath: {{ include "countersign.secretsFolder" .root }}
  readOnly: true
{{- end }}
{{- end }}

{{- define "countersign.pod.env" -}}
- name: COUNTERSIGN_CONFIG
  value: {{ include "countersign.configFile" .root }}
{{- if and .values.logFilter (has .name (list "ingress" "processor" "auditor")) }}
- name: RUST_LOG
  value: {{ .values.logFilter | quote }}
{{- end }}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where a pod may run and how it finds its way. */}}
{{- define "countersign.pod.placement" -}}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .values.schedulerName }}
schedulerName: {{ . }}
{{- end }}
{{- with .values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A pod that runs one command of the image to its end, of (dict "root" $ "name" COMPONENT "values" VALUES "config" CONFIGMAP "args" LIST "resources" MAP). */}}
{{- define "countersign.pod.once" -}}
automountServiceAccountToken: false
enableServiceLinks: false
restartPolicy: Never
{{- with include "countersign.imagePullSecrets" .root }}
{{ . }}
{{- end }}
securityContext:
  {{- toYaml .values.podSecurityContext | nindent 2 }}
{{- with include "countersign.pod.placement" . | trim }}
{{ . }}
{{- end }}
containers:
  - name: {{ .name }}
    image: {{ include "countersign.image" . }}
    imagePullPolicy: {{ include "countersign.pullPolicy" . }}
    command: [/usr/local/bin/countersign]
    args:
      {{- toYaml .args | nindent 6 }}
    env:
      {{- include "countersign.pod.env" (merge (dict "name" "once") .) | nindent 6 }}
    {{- with .values.extraEnvFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      {{- toYaml .values.securityContext | nindent 6 }}
    resources:
      {{- toYaml .resources | nindent 6 }}
    volumeMounts:
      {{- include "countersign.pod.mounts" . | nindent 6 }}
      {{- with .values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  {{- include "countersign.pod.volumes" . | nindent 2 }}
  {{- with .values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
