{{/* What the schema cannot say: all that is wrong, each with what to do, at once. */}}
{{- define "countersign.refusals" -}}
{{- $root := . -}}
{{- $wrong := list -}}
{{- $services := list -}}
{{- range $name := list "ingress" "processor" "auditor" -}}
{{- if (index $root.Values $name).enabled -}}{{- $services = append $services $name -}}{{- end -}}
{{- end -}}

{{- if and (or .Values.ingress.enabled .Values.processor.enabled) (not .Values.sources) -}}
{{- $wrong = append $wrong "sources: nobody sends webhooks yet; name a source, as in sources.stripe.own_account=acct_..." -}}
{{- end -}}

{{- $pods := $services -}}
{{- if ne .Values.migrations.mode "none" -}}{{- $pods = append $pods "migrations" -}}{{- end -}}
{{- range $name := $pods -}}
{{- range $file := include "countersign.secretFiles" (dict "root" $root "name" $name) | fromJsonArray -}}
{{- if not $file.name -}}
{{- $wrong = append $wrong (printf "%s: no Secret is named for the %s; make one with the key %s, and name it here or in secrets.existingSecret" $file.value $name $file.key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $server := list "redis" "rabbitmq" -}}
{{- if regexMatch "://[^/@]*:[^/@]+@" ((index $root.Values.config $server).url | default "") -}}
{{- $wrong = append $wrong (printf "config.%s.url: holds a password; put the URL into a Secret and leave this key out" $server) -}}
{{- end -}}
{{- end -}}

{{- if and .Values.processor.autoscaling.enabled .Values.processor.keda.enabled -}}
{{- $wrong = append $wrong "processor.autoscaling and processor.keda: two autoscalers would fight over one Deployment; enable one of them" -}}
{{- end -}}
{{- range $name := list "ingress" "processor" -}}
{{- $scaling := (index $root.Values $name).autoscaling -}}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- $wrong = append $wrong (printf "%s.autoscaling: minReplicas is above maxReplicas; swap them" $name) -}}
{{- end -}}
{{- if and $scaling.enabled (not (or $scaling.targetCPUUtilizationPercentage $scaling.targetMemoryUtilizationPercentage $scaling.metrics)) -}}
{{- $wrong = append $wrong (printf "%s.autoscaling: nothing to scale by; give a target or metrics" $name) -}}
{{- end -}}
{{- end -}}
{{- with .Values.processor.keda -}}
{{- if and .enabled (not (or .hostSecret.name $root.Values.secrets.existingSecret .authenticationRef.name)) -}}
{{- $wrong = append $wrong "processor.keda: KEDA cannot ask the broker; name processor.keda.hostSecret or processor.keda.authenticationRef" -}}
{{- end -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- $wrong = append $wrong "processor.keda: minReplicas is above maxReplicas; swap them" -}}
{{- end -}}
{{- end -}}

{{- if and .Values.auditor.enabled (lt (int .Values.auditor.replicaCount) 1) -}}
{{- $wrong = append $wrong "auditor.replicaCount: without a replica nobody proves that the books balance; set it to 1 or more, or auditor.enabled to false where another release audits these books" -}}
{{- end -}}

{{- if and .Values.defaults.serviceAccount.create .Values.defaults.serviceAccount.name -}}
{{- $wrong = append $wrong "defaults.serviceAccount.name: three components would make one account; name it under each, or set create to false" -}}
{{- end -}}

{{- with .Values.auditor.head -}}
{{- if and .enabled .persistence.enabled (gt (int $root.Values.auditor.replicaCount) 1) (not (has "ReadWriteMany" .persistence.accessModes)) -}}
{{- $wrong = append $wrong "auditor.head.persistence: replicas cannot share a volume that one node writes; use ReadWriteMany, one replica, or enabled=false, so that each has a head of its own" -}}
{{- end -}}
{{- end -}}

{{- range $name := $services -}}
{{- $values := include "countersign.values" (dict "root" $root "name" $name) | fromYaml -}}
{{- $needed := add (int $values.preStopSleepSeconds) (int (index $root.Values.config $name).drain_s) -}}
{{- with $values.terminationGracePeriodSeconds -}}
{{- if le (int .) (int $needed) -}}
{{- $wrong = append $wrong (printf "%s.terminationGracePeriodSeconds: %d kills the %s before it has drained; take more than preStopSleepSeconds and drain_s together (%d), or leave it out" $name (int .) $name (int $needed)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if and .Values.alerts.routes (not .Values.alerts.runbook_base_url) -}}
{{- $wrong = append $wrong "alerts.runbook_base_url: is missing; every alert names its page, so say where deploy/runbooks can be read" -}}
{{- end -}}
{{- if and .Values.externalSecrets.enabled (eq .Values.migrations.mode "hook") (hasKey .Values.externalSecrets.secrets (default .Values.secrets.existingSecret .Values.secrets.migrationsDatabaseUrl.name)) -}}
{{- $wrong = append $wrong "migrations.mode: a hook runs before the ExternalSecret that it needs is there; set it to job" -}}
{{- end -}}
{{- if and .Values.externalSecrets.enabled (not .Values.externalSecrets.secretStoreRef.name) -}}
{{- $wrong = append $wrong "externalSecrets.secretStoreRef.name: name the store that holds the secrets" -}}
{{- end -}}

{{- if and (or .Values.expose.ingress.enabled .Values.expose.httpRoute.enabled) (not .Values.ingress.enabled) -}}
{{- $wrong = append $wrong "expose: leads to no ingress; set ingress.enabled to true, or do not expose it" -}}
{{- end -}}
{{- if and .Values.expose.ingress.enabled (not .Values.expose.ingress.hosts) -}}
{{- $wrong = append $wrong "expose.ingress.hosts: name the host that your providers post to" -}}
{{- end -}}
{{- if and .Values.expose.httpRoute.enabled (not .Values.expose.httpRoute.parentRefs) -}}
{{- $wrong = append $wrong "expose.httpRoute.parentRefs: name the Gateway" -}}
{{- end -}}

{{- if $wrong -}}
{{- fail (printf "\n\nthe values have %d problem(s):\n  %s\n" (len $wrong) (join "\n  " $wrong)) -}}
{{- end -}}
{{- end }}
