"""What values may be: builds values.schema.json, so that what components share is said once (`chart.sh write`)."""

import json

TEXT = {"type": "string"}
NAME = {"type": "string", "pattern": "^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$"}
FLAG = {"type": "boolean"}
MAP = {"type": "object"}  # Kubernetes' own: checked where the objects are.
LIST = {"type": "array"}
TEXTS = {"type": "array", "items": TEXT}
TEXT_MAP = {"type": "object", "additionalProperties": TEXT}
PERCENT_OR_COUNT = {"type": ["integer", "string", "null"]}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}


def number(least=0, most=None, null=False):
    schema = {"type": ["integer", "null"] if null else "integer", "minimum": least}
    return schema | ({} if most is None else {"maximum": most})


def words(*choices):
    return {"type": "string", "enum": list(choices)}


def closed(required=(), **properties):
    """An object that has these keys and no others."""
    schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return schema | ({"required": list(required)} if required else {})


SECRET = closed(name=NAME, key={"type": "string", "pattern": "^[-._a-zA-Z0-9]+$"})
TLS = closed(existingSecret=NAME, caKey=TEXT, certKey=TEXT, keyKey=TEXT)
PEERS = closed(to=LIST, ports={"type": "array", "items": PORT})
PROBE = closed(
    initialDelaySeconds=number(), periodSeconds=number(1), timeoutSeconds=number(1), failureThreshold=number(1)
)
AUTOSCALING = closed(
    enabled=FLAG,
    minReplicas=number(1),
    maxReplicas=number(1),
    targetCPUUtilizationPercentage=number(1, null=True),
    targetMemoryUtilizationPercentage=number(1, null=True),
    metrics=LIST,
    behavior=MAP,
)
IMAGE = {
    "registry": TEXT,
    "repository": {"type": "string", "minLength": 1},
    "tag": TEXT,
    "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "pullPolicy": words("Always", "IfNotPresent", "Never"),
}

# What every pod has, under `defaults` and again under each component.
POD = {
    "podSecurityContext": MAP,
    "securityContext": MAP,
    "serviceAccount": closed(create=FLAG, name=NAME, annotations=TEXT_MAP),
    "logFilter": TEXT,
    "preStopSleepSeconds": number(),
    "terminationGracePeriodSeconds": number(1, null=True),
    "revisionHistoryLimit": number(),
    "strategy": MAP,
    "startupProbe": PROBE,
    "livenessProbe": PROBE,
    "readinessProbe": PROBE,
    "podDisruptionBudget": closed(enabled=FLAG, maxUnavailable=PERCENT_OR_COUNT, minAvailable=PERCENT_OR_COUNT),
    "topologySpreadConstraints": LIST,
    "podAnnotations": TEXT_MAP,
    "podLabels": TEXT_MAP,
    "deploymentAnnotations": TEXT_MAP,
    "nodeSelector": TEXT_MAP,
    "tolerations": LIST,
    "affinity": MAP,
    "priorityClassName": TEXT,
    "runtimeClassName": TEXT,
    "schedulerName": TEXT,
    "hostAliases": LIST,
    "dnsPolicy": words("", "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    "dnsConfig": MAP,
    "extraEnv": LIST,
    "extraEnvFrom": LIST,
    "extraVolumes": LIST,
    "extraVolumeMounts": LIST,
    "initContainers": LIST,
    "extraContainers": LIST,
}


def component(ports, **own):
    shared = {"enabled": FLAG, "replicaCount": number(), "resources": MAP, "image": closed(**IMAGE)}
    return closed(**shared, ports=closed(**{port: PORT for port in ports}), **POD, **own)


# The keys of the configuration file, with the services' own limits; a test asks the services about each.
SOURCE = closed(
    ["own_account"],
    provider={"type": "string", "pattern": "^[a-z0-9-]{1,32}$"},
    own_account={"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    livemode=words("live", "test"),
    accounts=TEXTS,
    event_age_max_s=number(0, 30 * 86_400),
    too_old=words("accept", "park", "reject"),
    connected=words("book", "ignore"),
    settles_with={"type": "string", "pattern": "^[a-z0-9-]{1,32}$"},
    checkout=words("leave", "approve"),
    signature_past_s=number(0, 86_400),
    signature_future_s=number(0, 86_400),
    secrets={"type": "array", "minItems": 1, "items": SECRET},
)
CONFIG = closed(
    ingress=closed(
        drain_s=number(1, 600),
        trusted_proxies=TEXTS,
        body_max_bytes=number(1, 16 << 20),
        body_timeout_ms=number(100, 120_000),
        without_replay_state=words("open", "closed"),
        in_flight_max=number(1, 100_000),
        patience_ms=number(100, 60_000),
        control_total_s=number(1, 60),
    ),
    processor=closed(
        drain_s=number(1, 600),
        batch_messages_max=number(1, 5_000),
        batch_linger_ms=number(0, 1_000),
        prefetch_max=number(1, 10_000),
        outage_max_s=number(1, 1_500),
    ),
    auditor=closed(
        drain_s=number(1, 600),
        every_s=number(1, 3_600),
        full_at=TEXT,
        full_zone=TEXT,
        tail_rows=number(0, 10_000_000),
        delivery_due_min=number(1, 10_080),
        instance_silent_min=number(1, 10_080),
        instance_forgotten_d=number(1, 365),
        backlog_due_min=number(1, 10_080),
        clearing_due_d=number(1, 365),
        horizon_stuck_min=number(1, 10_080),
        refusals_per_hour=number(0, 1_000_000),
        refusals_factor=number(2, 10_000),
        type_refused_percent=number(1, 100),
        type_refused_of=number(1, 1_000_000),
        source_quiet_h=number(1, 144),
    ),
    replay=closed(epoch=number(0, 2**32 - 1)),
    redis=closed(url=TEXT, prefix=TEXT, budget_ms=number(1, 10_000)),
    rabbitmq=closed(url=TEXT, confirm_timeout_ms=number(100, 60_000), declare=FLAG),
    telemetry=closed(
        trace_url={
            "type": "string",
            "pattern": "^https?://.*\\{trace_id\\}",
            "examples": ["https://traces.example/{trace_id}"],
        }
    ),
)

ROUTE = closed(
    ["kind"],
    kind=words("pagerduty", "slack", "webhook"),
    severities={"type": "array", "minItems": 1, "items": words("critical", "error", "warning", "info")},
    checks={"type": "array", "minItems": 1, "items": TEXT},
    routing_key=SECRET,
    url=SECRET,
    secrets={"type": "array", "minItems": 1, "items": SECRET},
)
ALERTS = closed(
    source=TEXT,
    runbook_base_url=TEXT,
    remind_every_s=number(60, 604_800),
    retry_first_ms=number(100, 60_000),
    timeout_ms=number(100, 60_000),
    routes={"type": "object", "additionalProperties": False, "patternProperties": {"^[A-Za-z0-9_-]{1,63}$": ROUTE}},
)

VALUES = closed(
    **{"global": closed(imageRegistry=TEXT, imagePullSecrets=TEXTS)},
    image=closed(**IMAGE),
    imagePullSecrets=TEXTS,
    nameOverride=NAME,
    fullnameOverride=NAME,
    namespaceOverride=NAME,
    commonLabels=TEXT_MAP,
    commonAnnotations=TEXT_MAP,
    sources={
        "type": "object",
        "additionalProperties": False,
        "patternProperties": {"^[a-z0-9-]{1,32}$": SOURCE},
    },
    config=CONFIG,
    alerts=ALERTS,
    secrets=closed(
        existingSecret=NAME,
        redisUrl=SECRET,
        replaySecret=SECRET,
        ingressRabbitmqUrl=SECRET,
        processorRabbitmqUrl=SECRET,
        processorDatabaseUrl=SECRET,
        auditorDatabaseUrl=SECRET,
        migrationsDatabaseUrl=SECRET,
    ),
    tls=closed(redis=TLS, rabbitmq=TLS, postgres=TLS),
    externalSecrets=closed(
        enabled=FLAG,
        apiVersion={"type": "string", "pattern": "^external-secrets.io/"},
        refreshInterval=TEXT,
        secretStoreRef=closed(name=NAME, kind=words("SecretStore", "ClusterSecretStore")),
        secrets={"type": "object", "additionalProperties": closed(data=LIST, dataFrom=LIST)},
    ),
    defaults=closed(**POD),
    ingress=component(
        ["http", "admin"],
        autoscaling=AUTOSCALING,
        service=closed(
            type=words("ClusterIP", "NodePort", "LoadBalancer"),
            port=PORT,
            nodePort=number(1, 65535, null=True),
            annotations=TEXT_MAP,
            loadBalancerClass=TEXT,
            loadBalancerSourceRanges=TEXTS,
            externalTrafficPolicy=words("", "Cluster", "Local"),
            ipFamilyPolicy=words("", "SingleStack", "PreferDualStack", "RequireDualStack"),
            ipFamilies={"type": "array", "items": words("IPv4", "IPv6")},
        ),
    ),
    processor=component(
        ["admin"],
        autoscaling=AUTOSCALING,
        keda=closed(
            enabled=FLAG,
            minReplicas=number(),
            maxReplicas=number(1),
            queueLength=number(1),
            activationQueueLength=number(),
            pollingInterval=number(1),
            cooldownPeriod=number(),
            fallback=closed(failureThreshold=number(1), replicas=number()),
            hostSecret=SECRET,
            authenticationRef=closed(name=NAME, kind=words("TriggerAuthentication", "ClusterTriggerAuthentication")),
            behavior=MAP,
        ),
    ),
    auditor=component(
        ["admin"],
        head=closed(
            enabled=FLAG,
            persistence=closed(
                enabled=FLAG,
                existingClaim=NAME,
                size=TEXT,
                storageClassName=TEXT,
                accessModes={
                    "type": "array",
                    "minItems": 1,
                    "items": words("ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"),
                },
                annotations=TEXT_MAP,
            ),
        ),
    ),
    migrations=closed(
        mode=words("hook", "job", "none"),
        backoffLimit=number(),
        activeDeadlineSeconds=number(1),
        ttlSecondsAfterFinished=number(null=True),
        annotations=TEXT_MAP,
        resources=MAP,
    ),
    expose=closed(
        ingress=closed(enabled=FLAG, className=TEXT, hosts=TEXTS, tls=LIST, annotations=TEXT_MAP),
        httpRoute=closed(enabled=FLAG, parentRefs=LIST, hostnames=TEXTS, timeouts=TEXT_MAP, annotations=TEXT_MAP),
    ),
    networkPolicy=closed(
        enabled=FLAG,
        webhooksFrom=LIST,
        metricsFrom=LIST,
        dns=PEERS,
        redis=PEERS,
        rabbitmq=PEERS,
        postgres=PEERS,
        alerts=PEERS,
        extraEgress=LIST,
    ),
    monitoring=closed(
        serviceMonitor=closed(
            enabled=FLAG,
            interval=TEXT,
            scrapeTimeout=TEXT,
            labels=TEXT_MAP,
            relabelings=LIST,
            metricRelabelings=LIST,
        ),
        prometheusRule=closed(
            enabled=FLAG, labels=TEXT_MAP, additionalLabels=TEXT_MAP, runbookBaseUrl=TEXT, disabled=TEXTS
        ),
        dashboards=closed(enabled=FLAG, labels=TEXT_MAP, annotations=TEXT_MAP),
    ),
    rabbitmqDefinitions=closed(enabled=FLAG, labels=TEXT_MAP),
    tests=closed(enabled=FLAG, forgery=FLAG),
    extraObjects={"type": "array", "items": {"type": ["object", "string"]}},
)

SCHEMA = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the Countersign chart"} | VALUES


def text():
    return json.dumps(SCHEMA, indent=1) + "\n"
