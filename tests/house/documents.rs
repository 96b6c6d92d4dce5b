use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file below `folder` that ends in `.{extension}`, without what is built.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|each| each == extension) {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_top_level_holds_what_it_should_and_nothing_else() {
    const KNOWN: &[&str] = &[
        "Cargo.toml",
        "Cargo.lock",
        "Makefile",
        "README.md",
        "ARCHITECTURE.md",
        "LICENSE",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "crates",
        "deploy",
        "proto",
        "tests",
        "rustfmt.toml",
        "target",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(
            name.starts_with('.') || KNOWN.contains(&name.as_str()),
            "{name} has no place at the top level"
        );
    }
}

#[test]
fn every_crate_has_a_readme_of_at_most_forty_lines_that_is_its_documentation() {
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let readme = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        let lines = readme.lines().count();
        assert!((7..=40).contains(&lines), "{}: a README of {lines} lines", folder.display());
        let library = fs::read_to_string(folder.join("src/lib.rs"))
            .or_else(|_| fs::read_to_string(folder.join("src/main.rs")))
            .unwrap();
        assert!(library.contains("include_str!(\"../README.md\")"), "{}: README unused", folder.display());
    }
}

#[test]
fn the_promises_stand_in_the_architecture_and_in_test_names() {
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let sources: String = files(&root(), "rs").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for promise in 1..=7 {
        assert!(architecture.contains(&format!("**P{promise} ")), "P{promise} is not in ARCHITECTURE.md");
        assert!(sources.contains(&format!("fn p{promise}_")), "no test is named after P{promise}");
    }
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    for path in files(&root(), "md") {
        let text = fs::read_to_string(&path).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap();
            assert!(path.parent().unwrap().join(file).exists(), "{}: {link} leads nowhere", path.display());
        }
    }
}

#[test]
fn every_test_that_a_document_names_exists() {
    let sources: String = files(&root(), "rs").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for document in ["ARCHITECTURE.md", "README.md", "tests/README.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let named = text.split('`').skip(1).step_by(2).filter(|word| {
            word.matches('_').count() >= 3
                && word.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
        });
        for name in named {
            let (test, metric) = (format!("fn {name}("), format!("\"{}\"", name.trim_end_matches("_total")));
            assert!(
                sources.contains(&test) || sources.contains(&metric),
                "{document} names {name}, which is not there"
            );
        }
    }
}

#[test]
fn every_check_that_users_ask_for_has_a_test() {
    let text = fs::read_to_string(root().join("tests/README.md")).unwrap();
    let numbered = text.lines().filter_map(|line| {
        let (number, rest) = line.strip_prefix("| ")?.split_once(" | ")?;
        Some((number.parse::<usize>().ok()?, rest.matches('`').count() / 2))
    });
    let (numbers, tests): (Vec<usize>, Vec<usize>) = numbered.unzip();
    assert_eq!(numbers, (1..=28).collect::<Vec<_>>());
    assert!(tests.iter().all(|tests| *tests > 0), "{tests:?}");
}

#[test]
fn the_table_of_statuses_is_that_of_the_code() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = text.split("## What an event can be").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| status"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let told: Vec<(&str, bool)> = rows.iter().map(|row| (row[1], row[3] == "nothing")).collect();
    let known: Vec<(&str, bool)> =
        ledger::Status::ALL.iter().map(|status| (status.as_str(), status.is_final())).collect();
    assert_eq!(told, known);
    // What may follow is any status at all, another one or the same for another reason.
    let follows = rows.iter().find(|row| row[1] == "parked").unwrap()[3];
    for (status, _) in known {
        assert!(follows.contains(status), "{status} is not in {follows:?}");
    }
}
