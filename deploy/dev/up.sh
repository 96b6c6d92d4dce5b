#!/usr/bin/env bash
# Leaves the whole system running in the background: servers, schema, the three services. Safe to repeat: what runs
# already is left alone, unless its binary or its configuration has changed.

# shellcheck source=deploy/dev/services.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/services.sh"

cd -- "$root"
take_lock services
configure_services

"$root/deploy/dev/servers.sh" start
# Without our lock: cargo may leave a compiler cache behind, which would hold it.
cargo build --locked --workspace --bins 9>&-

database=$("$root/deploy/dev/servers.sh" psql -tAc "SELECT 1 FROM pg_database WHERE datname = 'countersign'")
[[ $database == 1 ]] || "$root/deploy/dev/servers.sh" psql -qc 'CREATE DATABASE countersign'
"$binaries/countersign" migrate

for service in "${services[@]}"; do start_service "$service"; done
for service in "${services[@]}"; do await_service "$service"; done

cat <<TEXT

webhooks   http://127.0.0.1:$webhook_port/api/v1/billing/{stripe,telegram}/webhook
metrics    http://127.0.0.1:$ingress_admin_port/metrics (processor $processor_admin_port, auditor $auditor_admin_port)
servers    postgres://postgres@127.0.0.1:$postgres_port/countersign  redis://127.0.0.1:$redis_port/0
           amqp://guest:guest@127.0.0.1:$amqp_port/%2f (queues: http://127.0.0.1:$rabbitmq_api_port, guest, guest)
logs       $run/{ingress,processor,auditor}.log
stop       make down
TEXT
