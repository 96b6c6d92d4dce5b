#!/usr/bin/env bash
# Stops what up.sh started, in reverse order: first whoever takes deliveries, last the servers.

# shellcheck source=deploy/dev/services.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/services.sh"

take_lock services
for ((i = ${#services[@]} - 1; i >= 0; i--)); do stop_service "${services[i]}"; done
"$root/deploy/dev/servers.sh" stop
