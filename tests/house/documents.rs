use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file below `folder` that ends in `.{extension}`, without what is built.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
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
    let tests = ["rs", "py"].into_iter().flat_map(|extension| files(&root(), extension));
    let sources: String = tests.map(|path| fs::read_to_string(path).unwrap()).collect();
    for document in ["ARCHITECTURE.md", "README.md", "tests/README.md", "deploy/security.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let named = text.split('`').skip(1).step_by(2).filter(|word| {
            word.matches('_').count() >= 3
                && word.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
        });
        for name in named {
            let (test, metric) = (format!("{name}("), format!("\"{}\"", name.trim_end_matches("_total")));
            let is_test = ["fn ", "def "].iter().any(|keyword| sources.contains(&format!("{keyword}{test}")));
            assert!(is_test || sources.contains(&metric), "{document} names {name}, which is not there");
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

/// The pages of `deploy/runbooks` that are no alert's.
const NO_ALERT: [&str; 2] = ["README", "problems"];

/// The pages of `deploy/runbooks`, by their names.
fn runbooks() -> BTreeMap<String, String> {
    let pages = files(&root().join("deploy/runbooks"), "md");
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    pages.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// All that runs of a crate: its sources without their tests.
fn sources_of(name: &str) -> String {
    let folder = root().join("crates").join(name).join("src");
    let paths = files(&folder, "rs").into_iter().filter(|path| !path.ends_with("tests.rs"));
    let texts = paths.map(|path| fs::read_to_string(path).unwrap());
    texts.map(|text| text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned()).collect()
}

/// What stands in quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let mut alerts = BTreeSet::new();
    for path in files(&root().join("deploy/prometheus"), "yaml") {
        let rules = fs::read_to_string(path).unwrap();
        let named = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ").map(str::to_owned));
        alerts.extend(named);
    }
    let of_prometheus = alerts.len();
    // By text, as the auditor shares no code with anybody: the arms of `Check::alert`, and what no check finds.
    let findings = sources_of("audit");
    let arms = findings.split("fn alert(self)").nth(1).unwrap().split("\n    }\n").next().unwrap();
    alerts.extend(quoted(arms).map(str::to_owned));
    let auditor = sources_of("auditor");
    let without_check = auditor.split("alert: \"").skip(1).filter_map(|rest| rest.split('"').next());
    alerts.extend(without_check.map(str::to_owned));
    assert!(of_prometheus >= 8 && alerts.len() > of_prometheus, "{alerts:?}");

    let pages = runbooks();
    let index = &pages["README"];
    let named: BTreeSet<String> =
        pages.keys().filter(|name| !NO_ALERT.contains(&name.as_str())).cloned().collect();
    assert_eq!(named, alerts);
    for name in &alerts {
        let page = &pages[name];
        let headings: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).collect();
        let title = format!("# {name}");
        let expected = [
            title.as_str(),
            "## Meaning",
            "## Impact",
            "## First look",
            "## Safe actions",
            "## How it resolves",
        ];
        assert_eq!(headings, expected);
        let lines = page.lines().count();
        assert!((15..=40).contains(&lines), "{name}: a page of {lines} lines");
        assert!(index.contains(&format!("({name}.md)")), "{name} is not in the index");
    }
}

#[test]
fn every_problem_has_its_place_in_the_runbooks() {
    let page = &runbooks()["problems"];
    let told: Vec<(&str, &str)> =
        page.split("\n## ").skip(1).filter_map(|section| section.split_once('\n')).collect();
    let slugs: Vec<&str> = told.iter().map(|(slug, _)| *slug).collect();
    assert_eq!(slugs, ingress::Problem::ALL.map(ingress::Problem::slug));
    for (problem, (slug, text)) in ingress::Problem::ALL.into_iter().zip(told) {
        let answer = format!("{} \"{}\" ", problem.status(), problem.title());
        assert!(text.starts_with(&answer), "{slug} does not begin with {answer}");
        assert!(text.contains("Do:"), "{slug} does not say what to do");
    }
}

#[test]
fn every_reason_for_parking_has_its_place_in_the_runbooks() {
    let page = &runbooks()["EventsAwaitDecision"];
    for reason in ledger::Reason::ALL.iter().filter(|reason| reason.outcome() == ledger::Outcome::Parked) {
        assert!(page.contains(&format!("`{reason}`")), "{reason} is not told of");
    }
}

#[test]
fn every_command_in_a_runbook_exists() {
    let cli = sources_of("cli");
    let main = fs::read_to_string(root().join("crates/cli/src/main.rs")).unwrap();
    let variants = main.split("enum Command {").nth(1).unwrap().split("\n}").next().unwrap();
    let variant = |line: &str| line.trim().trim_end_matches(',').split('(').next().unwrap().to_owned();
    let commands: BTreeSet<String> = variants
        .lines()
        .filter(|line| line.starts_with("    ") && !line.contains("//"))
        .map(variant)
        .collect();
    let mut named = 0;
    for (page, text) in runbooks() {
        // A command may go on in the next line of a list; what belongs to it ends with the code.
        let text = text.replace("\n  ", " ");
        let pieces: Vec<&str> = text.lines().flat_map(|line| line.split_inclusive("countersign ")).collect();
        for pair in pieces.windows(2) {
            // `rabbitmqctl -p countersign …` names a virtual host.
            if !pair[0].ends_with("countersign ") || pair[0].ends_with("-p countersign ") {
                continue;
            }
            let mut words = pair[1].split(['`', '#']).next().unwrap().split_whitespace();
            let command: String = words.next().unwrap_or_default().split('-').map(capitalised).collect();
            assert!(commands.contains(&command), "{page}: there is no command {command}");
            named += 1;
            for flag in words.filter_map(|word| word.strip_prefix("--")) {
                let field = format!(" {}: ", flag.replace('-', "_"));
                let known = cli.contains(&field) || cli.contains(&format!("long = \"{flag}\""));
                assert!(known, "{page}: {command} has no --{flag}");
            }
        }
    }
    assert!(named > 50, "{named} commands were found");
}

fn capitalised(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_uppercase() + rest
}

#[test]
fn every_metric_that_a_runbook_asks_for_is_there() {
    let sources: String = ["ingress", "processor", "auditor", "runtime"].map(sources_of).concat();
    let mut asked = 0;
    for (page, text) in runbooks() {
        for line in text.lines().filter(|line| line.contains("/metrics | grep ")) {
            let pattern = line.split("grep ").nth(1).unwrap().split(['#', '`']).next().unwrap();
            let words = pattern.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for word in words.filter(|word| word.contains('_')) {
                let stem = ["_total", "_bucket", "_count", "_sum", "_info"]
                    .iter()
                    .find_map(|suffix| word.strip_suffix(suffix));
                let registered = [Some(word), stem]
                    .into_iter()
                    .flatten()
                    .any(|name| sources.contains(&format!("\"{name}\"")));
                assert!(registered, "{page}: nobody counts {word}");
                asked += 1;
            }
        }
    }
    assert!(asked > 20, "{asked} metrics were found");
}
