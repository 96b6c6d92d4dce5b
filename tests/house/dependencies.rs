use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// Which crates of ours each one may depend on directly, outside its tests. Services → adapters → ports → core → money;
/// adapters never know each other, nor do services.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("money", &[]),
    ("signature", &[]),
    ("handle", &["money"]),
    ("tls", &[]),
    ("ledger", &["money"]),
    ("audit", &["money"]),
    ("wire", &["ledger"]),
    ("provider", &["ledger", "money", "signature", "wire"]),
    ("ports", &["handle", "ledger", "money", "wire"]),
    ("replay-redis", &["ledger", "ports", "tls", "wire"]),
    ("bus-rabbitmq", &["ledger", "ports", "tls", "wire"]),
    ("ledger-postgres", &["ledger", "money", "ports", "tls", "wire"]),
    ("audit-postgres", &["audit", "handle", "money", "tls"]),
    ("runtime", &["handle", "money", "tls"]),
    (
        "ingress",
        &[
            "bus-rabbitmq",
            "handle",
            "ledger",
            "money",
            "ports",
            "provider",
            "replay-redis",
            "runtime",
            "signature",
            "wire",
        ],
    ),
    (
        "processor",
        &[
            "bus-rabbitmq",
            "handle",
            "ledger",
            "ledger-postgres",
            "money",
            "ports",
            "provider",
            "replay-redis",
            "runtime",
            "wire",
        ],
    ),
    ("auditor", &["audit", "audit-postgres", "handle", "money", "runtime"]),
    (
        "cli",
        &[
            "audit",
            "audit-postgres",
            "bus-rabbitmq",
            "handle",
            "ledger",
            "ledger-postgres",
            "money",
            "ports",
            "provider",
            "runtime",
            "signature",
            "wire",
        ],
    ),
];

/// What only these crates may name as a dependency of their own.
const ONLY: &[(&str, &[&str])] = &[
    ("lapin", &["bus-rabbitmq"]),
    ("deadpool-redis", &["replay-redis"]),
    ("tokio-postgres", &["ledger-postgres", "audit-postgres"]),
    ("deadpool-postgres", &["ledger-postgres", "audit-postgres"]),
    ("tokio-postgres-rustls", &["ledger-postgres", "audit-postgres"]),
    ("refinery", &["ledger-postgres"]),
    ("rustls", &["tls"]),
    ("rustls-native-certs", &["tls"]),
    ("hyper", &["auditor", "runtime"]),
    ("tokio-rustls", &["runtime"]),
];

/// What no core crate may reach, directly or through others: async, IO, logging, drivers.
const NOT_IN_CORE: &[&str] =
    &["tokio", "actix-web", "lapin", "redis", "tokio-postgres", "tracing", "futures-util"];

const CORE: &[&str] = &["money", "signature", "ledger", "audit", "provider", "wire"];

/// The packages that the project was asked to be built with.
const ASKED_FOR: &[&str] = &[
    "actix-web",
    "lapin",
    "deadpool-redis",
    "tokio-postgres",
    "hmac",
    "sha2",
    "subtle",
    "serde",
    "opentelemetry",
    "tracing-opentelemetry",
];

/// What must not be in the tree at all, and why.
const BANNED: &[(&str, &str)] = &[
    ("openssl", "one TLS stack, and not this one"),
    ("native-tls", "one TLS stack, and not this one"),
    ("aws-lc-sys", "ring is the one cryptographic backend"),
    ("rsa", "RUSTSEC-2023-0071"),
    ("backoff", "RUSTSEC-2025-0012"),
    ("actix-governor", "GPL-3.0"),
];

/// Licences that code under Apache-2.0 may be linked with.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "BSL-1.0",
    "Unicode-3.0",
    "0BSD",
    "CC0-1.0",
    "Unlicense",
    "CDLA-Permissive-2.0",
];

struct House {
    metadata: Metadata,
}

impl House {
    fn read() -> Self {
        // What other platforms would link is not linked.
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let options = ["--locked", "--filter-platform", &platform].map(str::to_owned);
        Self { metadata: MetadataCommand::new().other_options(options).exec().unwrap() }
    }

    fn members(&self) -> BTreeMap<&str, &Package> {
        let members = self.metadata.workspace_packages().into_iter();
        members.filter_map(|package| Some((package.name.strip_prefix("countersign-")?, package))).collect()
    }

    /// Every package that `root` links outside its tests.
    fn linked(&self, root: &PackageId) -> BTreeSet<&str> {
        let nodes: BTreeMap<_, _> =
            self.metadata.resolve.as_ref().unwrap().nodes.iter().map(|node| (&node.id, node)).collect();
        let (mut seen, mut open) = (BTreeSet::new(), vec![root]);
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                let normal = nodes[id].deps.iter().filter(|dependency| {
                    dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
                });
                open.extend(normal.map(|dependency| &dependency.pkg));
            }
        }
        seen.into_iter().map(|id| self.metadata[id].name.as_str()).collect()
    }
}

fn direct(package: &Package) -> impl Iterator<Item = &str> {
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
    normal.map(|dependency| dependency.name.as_str())
}

#[test]
fn dependencies_point_one_way() {
    let house = House::read();
    let members = house.members();
    for (name, package) in &members {
        if ["testkit", "tests"].contains(name) {
            continue;
        }
        let (_, allowed) = MAY_DEPEND_ON
            .iter()
            .find(|(known, _)| known == name)
            .unwrap_or_else(|| panic!("{name} is a new crate: say in this test what it may depend on"));
        for dependency in direct(package).filter_map(|dependency| dependency.strip_prefix("countersign-")) {
            assert!(allowed.contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
    for (name, _) in MAY_DEPEND_ON {
        assert!(members.contains_key(name), "{name} is listed here and does not exist");
    }
}

#[test]
fn each_driver_has_its_one_home() {
    let house = House::read();
    for (name, package) in house.members() {
        for dependency in direct(package) {
            if let Some((driver, homes)) = ONLY.iter().find(|(driver, _)| *driver == dependency) {
                let at_home = homes.contains(&name) || name == "testkit";
                assert!(at_home, "{name} must not depend on {driver}");
            }
        }
    }
}

#[test]
fn core_crates_reach_no_runtime_no_driver_and_no_log() {
    let house = House::read();
    let members = house.members();
    for name in CORE {
        let linked = house.linked(&members[name].id);
        for banned in NOT_IN_CORE {
            assert!(!linked.contains(banned), "{name} reaches {banned}");
        }
    }
}

#[test]
fn p5_the_auditor_links_neither_ledger_nor_provider() {
    let house = House::read();
    let members = house.members();
    for name in ["auditor", "audit", "audit-postgres"] {
        let linked = house.linked(&members[name].id);
        for shared in
            ["countersign-ledger", "countersign-provider", "countersign-ledger-postgres", "countersign-ports"]
        {
            assert!(!linked.contains(shared), "{name} links {shared}");
        }
    }
}

#[test]
fn no_service_links_the_test_kit() {
    let house = House::read();
    for (name, package) in house.members() {
        let tests = ["testkit", "tests"].contains(&name);
        assert!(tests || !house.linked(&package.id).contains("countersign-testkit"), "{name} links testkit");
    }
}

#[test]
fn every_package_that_was_asked_for_is_used() {
    let house = House::read();
    let used: BTreeSet<&str> = house.members().into_values().flat_map(direct).collect();
    for package in ASKED_FOR {
        assert!(used.contains(package), "no crate of ours uses {package}");
    }
}

#[test]
fn every_workspace_dependency_is_used() {
    let house = House::read();
    let root = std::fs::read_to_string(house.metadata.workspace_root.join("Cargo.toml")).unwrap();
    let named: BTreeSet<&str> = house
        .members()
        .into_values()
        .flat_map(|package| package.dependencies.iter().map(|d| d.name.as_str()))
        .collect();
    let table = root.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    for line in table.lines().filter(|line| line.contains('=') && !line.starts_with('#')) {
        let name = line.split('=').next().unwrap().trim();
        let package = format!("countersign-{name}");
        assert!(named.contains(name) || named.contains(package.as_str()), "nobody uses {name}");
    }
}

#[test]
fn nothing_banned_is_in_the_tree() {
    let house = House::read();
    for package in &house.metadata.packages {
        if let Some((name, why)) = BANNED.iter().find(|(name, _)| *name == package.name.as_str()) {
            panic!("{name} is in the tree: {why}");
        }
    }
}

#[test]
fn every_licence_goes_with_ours_and_every_source_is_the_registry() {
    let house = House::read();
    for package in &house.metadata.packages {
        let ours = package.name.starts_with("countersign-");
        let licence = package.license.clone().unwrap_or_default();
        let allowed = |term: &str| LICENCES.contains(&term.trim_matches(['(', ')', ' ']));
        let good =
            licence.replace('/', " OR ").split(" OR ").any(|choice| choice.split(" AND ").all(allowed));
        let good = good || licence.split(" AND ").all(|each| each.split(" OR ").any(allowed));
        assert!(good, "{} is licensed under {licence:?}", package.name);
        let registry = package.source.as_ref().is_some_and(cargo_metadata::Source::is_crates_io);
        assert!(ours || registry, "{} does not come from the registry", package.name);
    }
}

#[test]
fn no_driver_stands_twice_in_the_tree() {
    let house = House::read();
    for name in ["opentelemetry", "redis", "prost", "tokio", "lapin", "tokio-postgres", "serde_json"] {
        let versions = house.metadata.packages.iter().filter(|package| package.name.as_str() == name).count();
        assert!(versions <= 1, "{name} stands {versions} times in the tree");
    }
}
