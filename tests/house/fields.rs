use std::collections::BTreeSet;
use std::fs;

use crate::documents::{files, root};

/// What OpenTelemetry names, and so need not be said again.
const CONVENTIONS: &[&str] = &["db.", "error.", "http.", "messaging.", "otel.", "server.", "url."];

/// What is written by hand into every line.
const IN_EVERY_LINE: &[&str] = &["trace_id", "span_id", "trace_url"];

/// The arguments of each call of a macro of `tracing` in a source, and whether it makes a span.
fn calls(source: &str) -> Vec<(bool, Vec<String>)> {
    let mut calls = Vec::new();
    for name in ["error!(", "warn!(", "info!(", "debug!(", "trace!(", "$level!(", "info_span!("] {
        for (at, found) in source.match_indices(&format!("tracing::{name}")) {
            calls.push((name == "info_span!(", arguments(&source[at + found.len()..])));
        }
    }
    calls
}

/// The arguments of a call whose parenthesis has been opened.
fn arguments(call: &str) -> Vec<String> {
    let (mut depth, mut in_text, mut escaped) = (0, false, false);
    let mut arguments = vec![String::new()];
    for letter in call.chars() {
        let closes = !in_text && matches!(letter, ')' | ']' | '}');
        if closes && depth == 0 {
            break;
        }
        if in_text {
            in_text = letter != '"' || escaped;
            escaped = letter == '\\' && !escaped;
        } else {
            in_text = letter == '"';
            depth += i32::from(matches!(letter, '(' | '[' | '{')) - i32::from(closes);
        }
        if letter == ',' && depth == 0 && !in_text {
            arguments.push(String::new());
        } else if let Some(last) = arguments.last_mut() {
            last.push(letter);
        }
    }
    arguments
}

/// Whether an argument is a text alone: a message, or a span's name.
fn is_text(argument: &str) -> bool {
    argument.trim().starts_with('"') && !argument.contains('=')
}

/// The field that an argument sets; none if it says something else.
fn field(argument: &str) -> Option<String> {
    let name = argument.split('=').next()?.trim();
    if is_text(argument) || name.is_empty() || name.starts_with("parent:") || name == "$message" {
        return None;
    }
    Some(name.trim_start_matches(['%', '?']).trim_matches('"').to_owned())
}

#[test]
fn the_dictionary_of_fields_has_every_field_of_logs_and_spans_and_no_other() {
    let mut used: BTreeSet<String> = IN_EVERY_LINE.iter().copied().map(str::to_owned).collect();
    for path in files(&root().join("crates"), "rs") {
        if !path.components().any(|part| part.as_os_str() == "src") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        for (is_span, arguments) in calls(&source) {
            // After the message come its own arguments; before a span's fields stands its name.
            let fields = arguments.iter().take_while(|argument| is_span || !is_text(argument));
            used.extend(fields.filter_map(|argument| field(argument)));
        }
    }
    used.retain(|name| !CONVENTIONS.iter().any(|prefix| name.starts_with(prefix)));
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let table = architecture.split("\n| field | means |\n").nth(1).unwrap().split("\n\n").next().unwrap();
    // The first column, and what the second says of spans.
    let known: BTreeSet<String> = table
        .lines()
        .flat_map(|row| {
            let mut columns = row.split('|').skip(1);
            let first = columns.next().unwrap().to_owned();
            let dotted = columns.next().unwrap().split('`').skip(1).step_by(2);
            let dotted: Vec<String> = dotted.filter(|name| name.contains('.')).map(str::to_owned).collect();
            first.split('`').skip(1).step_by(2).map(str::to_owned).chain(dotted).collect::<Vec<_>>()
        })
        .collect();
    let missing: Vec<_> = used.difference(&known).collect();
    assert!(missing.is_empty(), "fields that are not in the dictionary of ARCHITECTURE.md: {missing:?}");
    let unused: Vec<_> = known.difference(&used).collect();
    assert!(unused.is_empty(), "fields of the dictionary that nothing says: {unused:?}");
}

#[test]
fn the_lines_that_other_people_search_for_are_said() {
    let said: String = ["ingress", "auditor"]
        .iter()
        .flat_map(|service| files(&root().join("crates").join(service).join("src"), "rs"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for line in [
        "\"Processing {} webhook event\"",
        "\"Rejecting old webhook event (possible replay attack)\"",
        "\"Ledger balance verified\"",
        "\"LEDGER IMBALANCE DETECTED!\"",
        "\"CRITICAL: Ledger imbalance - manual review required\"",
    ] {
        assert!(said.contains(line), "nobody says {line}");
    }
}
