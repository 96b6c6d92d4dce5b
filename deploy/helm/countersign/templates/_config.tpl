{{/* The configuration file, and the files that it refers to. */}}

{{- define "countersign.configFile" -}}/etc/countersign/config/countersign.toml{{- end }}
{{- define "countersign.secretsFolder" -}}/etc/countersign/secrets{{- end }}

{{- define "countersign.headFolder" -}}/var/lib/countersign{{- end }}

{{/* A value as TOML. Helm reads every number as a float; the services want whole ones. */}}
{{- define "countersign.toml.value" -}}
{{- if kindIs "slice" . -}}
[{{ range $i, $item := . }}{{ if $i }}, {{ end }}{{ include "countersign.toml.value" $item }}{{ end }}]
{{- else if kindIs "string" . -}}
{{ . | toJson }}
{{- else if kindIs "bool" . -}}
{{ . }}
{{- else -}}
{{ int64 . }}
{{- end -}}
{{- end }}

{{/* A table as TOML, of (dict "path" PATH "table" MAP). */}}
{{- define "countersign.toml.table" -}}
[{{ .path }}]
{{ range $key, $value := .table -}}
{{- if not (kindIs "invalid" $value) -}}
{{ $key }} = {{ include "countersign.toml.value" $value }}
{{ end -}}
{{- end -}}
{{- end }}

{{/* The address to listen on, of (dict "root" $ "port" PORT). */}}
{{- define "countersign.listen" -}}
{{- if has "IPv6" .root.Values.ingress.service.ipFamilies }}[::]{{ else }}0.0.0.0{{ end }}:{{ int .port }}
{{- end }}

{{/* The TLS keys of a server's table as YAML, of (dict "root" $ "server" SERVER). */}}
{{- define "countersign.tlsKeys" -}}
{{- $files := index .root.Values.tls .server -}}
{{- $folder := printf "%s/tls/%s" (include "countersign.secretsFolder" .root) .server -}}
{{- if $files.existingSecret }}
{{- if $files.caKey }}
ca_file: {{ $folder }}/ca.pem
{{- end }}
{{- if $files.certKey }}
client_cert_file: {{ $folder }}/client.pem
{{- end }}
{{- if $files.keyKey }}
client_key_file: {{ $folder }}/client.key
{{- end }}
{{- end }}
{{- end }}

{{- define "countersign.config.postgres" -}}
{{- $table := dict "url" (printf "file:%s/migrations-database-url" (include "countersign.secretsFolder" .)) -}}
{{- $table = merge (include "countersign.tlsKeys" (dict "root" . "server" "postgres") | fromYaml) $table -}}
{{ include "countersign.toml.table" (dict "path" "postgres" "table" $table) }}
{{- end }}

{{/* What the three services and the tests read: one file, of which each reads its own sections. */}}
{{- define "countersign.config" -}}
{{- $root := . -}}
{{- $at := printf "file:%s" (include "countersign.secretsFolder" .) -}}
{{- $addresses := dict
      "listen" (include "countersign.listen" (dict "root" . "port" .Values.ingress.ports.http))
      "admin_listen" (include "countersign.listen" (dict "root" . "port" .Values.ingress.ports.admin)) -}}
{{ include "countersign.toml.table" (dict "path" "ingress" "table" (merge $addresses .Values.config.ingress)) }}
{{ range $name := list "processor" "auditor" -}}
{{- $own := dict
      "admin_listen" (include "countersign.listen" (dict "root" $root "port" (index $root.Values $name).ports.admin))
      "database_url" (printf "%s/%s-database-url" $at $name) -}}
{{- if eq $name "auditor" -}}
{{- $_ := set $own "head_file" (ternary (printf "%s/head" (include "countersign.headFolder" $root)) "" $root.Values.auditor.head.enabled) -}}
{{- end -}}
{{ include "countersign.toml.table" (dict "path" $name "table" (merge $own (index $root.Values.config $name))) }}
{{ end -}}
{{- if .Values.alerts }}
{{ include "countersign.toml.table" (dict "path" "auditor.alerts" "table" (omit .Values.alerts "routes")) }}
{{ range $name, $route := .Values.alerts.routes -}}
{{- $own := dict -}}
{{- range $file := include "countersign.alertFiles" (dict "root" $root "route" $name) | fromJsonArray -}}
{{- $reference := printf "file:%s/%s" (include "countersign.secretsFolder" $root) $file.path -}}
{{- if eq $file.of "secrets" -}}
{{- $_ := set $own "secrets" (append (get $own "secrets" | default list) $reference) -}}
{{- else -}}
{{- $_ := set $own $file.of $reference -}}
{{- end -}}
{{- end -}}
{{ include "countersign.toml.table" (dict "path" (printf "auditor.alerts.routes.%s" $name) "table" (merge $own $route)) }}
{{ end -}}
{{- end }}
{{ range $name := list "redis" "rabbitmq" -}}
{{- $own := include "countersign.tlsKeys" (dict "root" $root "server" $name) | fromYaml -}}
{{- $own = merge $own (index $root.Values.config $name) (dict "url" (printf "%s/%s-url" $at $name)) -}}
{{ include "countersign.toml.table" (dict "path" $name "table" $own) }}
{{ end -}}
{{- $replay := merge (dict "secret" (printf "%s/replay-secret" $at)) .Values.config.replay -}}
{{ include "countersign.toml.table" (dict "path" "replay" "table" $replay) }}
{{- with .Values.config.telemetry }}
{{ include "countersign.toml.table" (dict "path" "telemetry" "table" .) }}
{{- end }}
{{- with include "countersign.tlsKeys" (dict "root" . "server" "postgres") | fromYaml }}
{{ include "countersign.toml.table" (dict "path" "postgres" "table" .) }}
{{- end }}
{{- range $name, $source := .Values.sources }}
{{- $files := list }}
{{- range $i, $secret := include "countersign.sourceSecrets" (dict "root" $root "name" $name) | fromJsonArray }}
{{- $files = append $files (printf "%s/sources/%s/%d" $at $name $i) }}
{{- end }}
{{ include "countersign.toml.table" (dict "path" (printf "sources.%s" $name) "table" (merge (dict "secrets" $files) $source)) }}
{{- end }}
{{- end }}

{{/* The Secrets of a source as JSON, of (dict "root" $ "name" SOURCE). */}}
{{- define "countersign.sourceSecrets" -}}
{{- $own := (index .root.Values.sources .name).secrets | default (list (dict)) -}}
{{- $all := list -}}
{{- range $own -}}
{{- $all = append $all (dict "name" (default $.root.Values.secrets.existingSecret .name) "key" (default (printf "source-%s" $.name) .key)) -}}
{{- end -}}
{{ toJson $all }}
{{- end }}

{{/* The secret files of a route of alerts as JSON, of (dict "root" $ "route" ROUTE): {name, key, path, value, of: KEY OF THE CONFIGURATION}. */}}
{{- define "countersign.alertFiles" -}}
{{- $all := list -}}
{{- $route := index .root.Values.alerts.routes .route -}}
{{- range $of := list "routing_key" "url" "secrets" -}}
{{- if hasKey $route $of -}}
{{- range $i, $secret := ternary (get $route $of) (list (get $route $of)) (eq $of "secrets") -}}
{{- $all = append $all (dict
      "name" (default $.root.Values.secrets.existingSecret $secret.name)
      "key" (default (printf "alerts-%s-%s" $.route ($of | replace "_" "-")) $secret.key)
      "path" (printf "alerts/%s/%s-%d" $.route $of $i)
      "value" (printf "alerts.routes.%s.%s" $.route $of)
      "of" $of) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{ toJson $all }}
{{- end }}

{{/* Where a secret stands, as JSON, of (dict "root" $ "item" KEY OF VALUES.SECRETS "path" PATH OF THE FILE). */}}
{{- define "countersign.secretFile" -}}
{{- $item := index .root.Values.secrets .item -}}
{{ dict "name" (default .root.Values.secrets.existingSecret $item.name) "key" $item.key "path" .path "value" (printf "secrets.%s" .item) | toJson }}
{{- end }}

{{/* The files that a component is given and no other, as JSON: a list of {name, key, path, value}. */}}
{{- define "countersign.secretFiles" -}}
{{- $root := .root -}}
{{- $name := .name -}}
{{- $items := list -}}
{{- $servers := list -}}
{{- if has $name (list "ingress" "processor") -}}
{{- $servers = list "redis" "rabbitmq" -}}
{{- if not $root.Values.config.redis.url -}}{{- $items = append $items (list "redisUrl" "redis-url") -}}{{- end -}}
{{- if not $root.Values.config.rabbitmq.url -}}{{- $items = append $items (list (printf "%sRabbitmqUrl" $name) "rabbitmq-url") -}}{{- end -}}
{{- $items = append $items (list "replaySecret" "replay-secret") -}}
{{- end -}}
{{- $roles := dict "processor" "processor" "auditor" "auditor" "verify" "auditor" "migrations" "migrations" -}}
{{- with get $roles $name -}}
{{- $servers = append $servers "postgres" -}}
{{- $items = append $items (list (printf "%sDatabaseUrl" .) (printf "%s-database-url" .)) -}}
{{- end -}}
{{- $files := list -}}
{{- range $items -}}
{{- $files = append $files (include "countersign.secretFile" (dict "root" $root "item" (index . 0) "path" (index . 1)) | fromJson) -}}
{{- end -}}
{{- range $server := $servers -}}
{{- $tls := index $root.Values.tls $server -}}
{{- range $key, $file := dict "caKey" "ca.pem" "certKey" "client.pem" "keyKey" "client.key" -}}
{{- if and $tls.existingSecret (index $tls $key) -}}
{{- $files = append $files (dict "name" $tls.existingSecret "key" (index $tls $key) "path" (printf "tls/%s/%s" $server $file)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq $name "ingress" -}}
{{- range $source, $_ := $root.Values.sources -}}
{{- range $i, $secret := include "countersign.sourceSecrets" (dict "root" $root "name" $source) | fromJsonArray -}}
{{- $files = append $files (merge (dict "path" (printf "sources/%s/%d" $source $i) "value" (printf "sources.%s.secrets" $source)) $secret) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq $name "auditor" -}}
{{- range $route, $_ := $root.Values.alerts.routes -}}
{{- $files = concat $files (include "countersign.alertFiles" (dict "root" $root "route" $route) | fromJsonArray) -}}
{{- end -}}
{{- end -}}
{{ toJson $files }}
{{- end }}
