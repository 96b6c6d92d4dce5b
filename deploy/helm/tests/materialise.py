"""A rendered pod's files and environment in a folder: what the kubelet would make of ConfigMaps and Secrets."""

import pathlib

CONFIGURATION = "/etc/countersign"
STATE = "/var/lib/countersign"


def write(root, documents, spec, secrets):
    """Writes the files of a pod below `root`; `secrets` is {(secret, key): text}. Returns container → environment."""
    maps = {each["metadata"]["name"]: each.get("data", {}) for each in documents if each["kind"] == "ConfigMap"}
    volumes = {volume["name"]: contents(volume, maps, secrets) for volume in spec["volumes"]}
    environments = {}
    for container in spec["containers"]:
        for mount in container["volumeMounts"]:
            folder = below(root, mount["mountPath"])
            folder.mkdir(parents=True, exist_ok=True)
            if not mount.get("readOnly"):
                folder.chmod(0o777)
            for path, text in volumes[mount["name"]].items():
                file = folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        environments[container["name"]] = {each["name"]: each["value"] for each in container.get("env", [])}
    return environments


def contents(volume, maps, secrets):
    """The files of a volume; an object or a key that is not there is an error, as it is for the kubelet."""
    if "configMap" in volume:
        return maps[volume["configMap"]["name"]]
    files = {}
    for source in volume.get("projected", {}).get("sources", []):
        for item in source["secret"]["items"]:
            files[item["path"]] = secrets[source["secret"]["name"], item["key"]]
    return files


def below(root, path):
    return pathlib.Path(root) / path.lstrip("/")


def moved(root, environment):
    """For a process that is not confined to `root`: paths in the configuration and in the environment lead there."""
    for file in below(root, CONFIGURATION).rglob("*.toml"):
        text = file.read_text().replace(CONFIGURATION, f"{root}{CONFIGURATION}")
        file.write_text(text.replace(STATE, f"{root}{STATE}"))
    return {name: value.replace(CONFIGURATION, f"{root}{CONFIGURATION}") for name, value in environment.items()}


class Anything(dict):
    """Every secret, of its kind: what a check of the configuration needs and nobody connects with."""

    TEXTS = {
        "redis-url": "rediss://countersign:secret@redis.example.com:6379/0",
        "replay-secret": "0123456789abcdef0123456789abcdef",
        "rabbitmq-url": "amqps://countersign:secret@rabbitmq.example.com:5671/countersign",
        "database-url": "postgres://countersign:secret@db.example.com/countersign?sslmode=verify-full",
        "slack-url": "https://hooks.example.com/services/T/B/x",
        "siem-url": "https://siem.example.com/alerts",
        "routing-key": "0123456789abcdef0123456789abcdef",
        "alerts-secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "url": "postgres://countersign:secret@db.example.com/countersign?sslmode=verify-full",
    }

    def __missing__(self, where):
        _, key = where
        return next((text for end, text in self.TEXTS.items() if key.endswith(end)), "whsec_of_a_test_of_the_chart")
