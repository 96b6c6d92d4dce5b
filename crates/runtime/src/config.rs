//! Configuration: one TOML file, every scalar overridable by environment, every problem reported at once.

use core::fmt;
use core::ops::RangeInclusive;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use toml::{Table, Value};

/// Environment variables of this prefix override keys: `COUNTERSIGN_CFG__INGRESS__LISTEN`.
pub const ENVIRONMENT_PREFIX: &str = "COUNTERSIGN_CFG__";

/// The variable that names the file.
pub const FILE_VARIABLE: &str = "COUNTERSIGN_CONFIG";

/// A variable of the environment that others have named (`OTEL_…`): its text, unless it is unset or empty.
#[expect(clippy::disallowed_methods, reason = "the home of the environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Everything that is wrong with a configuration, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the configuration has {} problem(s):", self.0.len())?;
        self.0.iter().try_for_each(|problem| writeln!(f, "  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// A configuration being read. Ask it for sections, then call `finish`: what was read holds only if it says `Ok`.
#[derive(Debug)]
pub struct Document {
    root: Table,
    folder: PathBuf,
    overridden: BTreeSet<String>,
    problems: Vec<String>,
}

/// One table of the document. What is asked for is taken out; what is left at the end is unknown and refused.
#[derive(Debug)]
pub struct Section<'d> {
    path: String,
    table: Table,
    folder: &'d Path,
    overridden: &'d BTreeSet<String>,
    problems: &'d mut Vec<String>,
}

/// Where a secret stands: `file:<path>` or `env:<name>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// A file; one secret a line.
    File(PathBuf),
    /// An environment variable; one secret.
    Env(String),
}

impl SecretRef {
    /// Reads a reference; `None` for a text that is none. A relative path is meant from `folder` on.
    pub fn parse(text: &str, folder: &Path) -> Option<Self> {
        match text.split_once(':')? {
            ("file", path) if !path.is_empty() => Some(Self::File(folder.join(path))),
            ("env", name) if !name.is_empty() => Some(Self::Env(name.to_owned())),
            _ => None,
        }
    }

    /// The secrets that stand there, one a line, the lines' bytes. The error names the place, never the secret.
    #[expect(clippy::disallowed_methods, reason = "the home of the environment")]
    pub fn read(&self) -> Result<Vec<SecretSlice<u8>>, String> {
        let bytes = match self {
            Self::File(path) => {
                std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?
            }
            Self::Env(name) => {
                std::env::var_os(name).ok_or_else(|| format!("{name}: is not set"))?.into_encoded_bytes()
            }
        };
        let bytes = SecretSlice::from(bytes);
        let text = bytes.expose_secret();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        Ok(text.split(|byte| *byte == b'\n').map(|line| SecretSlice::from(line.to_vec())).collect())
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
        }
    }
}

impl Document {
    /// Reads the file that `COUNTERSIGN_CONFIG` names, or `path` if given, and lays the environment over it.
    #[expect(clippy::disallowed_methods, reason = "the home of the environment")]
    pub fn load(path: Option<&Path>) -> Result<Self, Problems> {
        let named = path.map(Path::to_owned).or_else(|| std::env::var_os(FILE_VARIABLE).map(PathBuf::from));
        let path =
            named.ok_or_else(|| Problems(vec![format!("{FILE_VARIABLE} names no configuration file")]))?;
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Problems(vec![format!("{}: {error}", path.display())]))?;
        // By name first: the value of another variable may be a secret that is no text, and would be shown in a panic.
        let ours = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(ENVIRONMENT_PREFIX))?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        Self::parse(&text, path.parent().unwrap_or(Path::new("")), ours)
    }

    /// Reads a text and lays these variables over it. Relative paths in it are meant from `folder` on.
    pub fn parse(
        text: &str,
        folder: &Path,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        let root: Table = toml::from_str(text).map_err(|error| {
            // The error's own text quotes the line, which may hold a password.
            let line = error
                .span()
                .and_then(|span| text.get(..span.start))
                .map_or(1, |before| before.lines().count());
            Problems(vec![format!("line {}: {}", line.max(1), error.message())])
        })?;
        let folder = folder.to_owned();
        let mut document = Self { root, folder, overridden: BTreeSet::new(), problems: Vec::new() };
        for (name, value) in variables {
            if let Some(path) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                document.overlay(&name, &path.to_ascii_lowercase(), value);
            }
        }
        Ok(document)
    }

    fn overlay(&mut self, variable: &str, path: &str, value: String) {
        let mut table = &mut self.root;
        let mut keys: Vec<&str> = path.split("__").collect();
        let last = keys.pop().unwrap_or_default();
        for key in keys {
            let entry = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(next) = entry else {
                self.problems.push(format!("{variable}: {key} is no section"));
                return;
            };
            table = next;
        }
        table.insert(last.to_owned(), Value::String(value));
        self.overridden.insert(path.replace("__", "."));
    }

    /// Reads the section `name`; a missing one is read as empty, so that defaults apply and required keys are missed.
    pub fn section<T>(&mut self, name: &str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let table = match self.root.remove(name) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.problems.push(format!("{name}: a section is expected"));
                Table::new()
            }
        };
        let mut section = Section {
            path: name.to_owned(),
            table,
            folder: &self.folder,
            overridden: &self.overridden,
            problems: &mut self.problems,
        };
        let value = read(&mut section);
        section.refuse_unknown();
        value
    }

    /// Leaves the section `name` to another service that reads the same file.
    pub fn skip(&mut self, names: &[&str]) {
        for name in names {
            self.root.remove(*name);
        }
    }

    /// Notes a problem that the caller found.
    pub fn problem(&mut self, text: String) {
        self.problems.push(text);
    }

    /// The value, or nothing and a problem with `key`.
    pub fn checked<T, E: fmt::Display>(&mut self, key: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.problems.push(format!("{key}: {error}"))).ok()
    }

    /// What is wrong, if anything is; sections that nobody asked for are.
    pub fn finish(mut self) -> Result<(), Problems> {
        for key in self.root.keys() {
            self.problems.push(format!("{key}: unknown section"));
        }
        if self.problems.is_empty() { Ok(()) } else { Err(Problems(self.problems)) }
    }
}

impl Section<'_> {
    fn path_of(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    /// Notes a problem with `key`.
    pub fn problem(&mut self, key: &str, text: impl fmt::Display) {
        let line = format!("{}: {text}", self.path_of(key));
        self.problems.push(line);
    }

    fn refuse_unknown(self) {
        for key in self.table.keys() {
            self.problems.push(format!("{}.{key}: unknown key", self.path));
        }
    }

    /// Leaves what is not asked for to the program that shares this section, instead of refusing it.
    pub fn leave_rest(&mut self) {
        self.table.clear();
    }

    /// The names of the tables in this section, in order.
    pub fn names(&self) -> Vec<String> {
        self.table.keys().cloned().collect()
    }

    /// Reads the table `name` in this section.
    pub fn section<T>(&mut self, name: &str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let path = self.path_of(name);
        let table = match self.table.remove(name) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.problem(name, "a section is expected");
                Table::new()
            }
        };
        let (folder, overridden) = (self.folder, self.overridden);
        let mut section = Section { path, table, folder, overridden, problems: self.problems };
        let value = read(&mut section);
        section.refuse_unknown();
        value
    }

    /// A text, if the key is there.
    pub fn text(&mut self, key: &str) -> Option<String> {
        let value = self.table.remove(key)?;
        if let Value::String(text) = value {
            return Some(text);
        }
        self.problem(key, format_args!("a text is expected, not {}", value.type_str()));
        None
    }

    /// A text that must be there; empty (and a problem) if it is not.
    pub fn text_required(&mut self, key: &str) -> String {
        let known = self.problems.len();
        let text = self.text(key);
        if text.is_none() && self.problems.len() == known {
            self.problem(key, "is missing");
        }
        text.unwrap_or_default()
    }

    /// A text that `parse` understands, or the default.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, key: &str, default: T) -> T {
        let Some(text) = self.text(key) else { return default };
        match text.parse() {
            Ok(value) => value,
            Err(error) => {
                self.problem(key, format_args!("{text:?}: {error}"));
                default
            }
        }
    }

    /// The path of a file, if the key is there; a relative one is meant from the folder of the configuration on.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        let text = self.text(key)?;
        if text.is_empty() {
            self.problem(key, "the path of a file is expected");
            return None;
        }
        Some(self.folder.join(text))
    }

    /// The path of a file, or the default; none if the key is there and empty: whoever says so does without.
    pub fn path_or(&mut self, key: &str, default: &str) -> Option<PathBuf> {
        let text = self.text(key).unwrap_or_else(|| default.to_owned());
        (!text.is_empty()).then(|| self.folder.join(text))
    }

    /// A socket address, or the default.
    pub fn address(&mut self, key: &str, default: SocketAddr) -> SocketAddr {
        self.parsed(key, default)
    }

    /// A whole number within `range`, if the key is there.
    pub fn integer_optional<T>(&mut self, key: &str, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + Copy + PartialOrd + fmt::Display,
    {
        let there = self.table.contains_key(key);
        there.then(|| self.integer(key, *range.start(), range))
    }

    /// A whole number within `range`, or the default.
    pub fn integer<T>(&mut self, key: &str, default: T, range: RangeInclusive<T>) -> T
    where
        T: TryFrom<i64> + Copy + PartialOrd + fmt::Display,
    {
        let overridden = self.overridden.contains(&self.path_of(key));
        let number = match self.table.remove(key) {
            None => return default,
            Some(Value::Integer(number)) => Some(number),
            Some(Value::String(text)) if overridden => text.parse().ok(),
            Some(_) => None,
        };
        match number.and_then(|number| T::try_from(number).ok()).filter(|number| range.contains(number)) {
            Some(number) => number,
            None => {
                self.problem(
                    key,
                    format_args!("a whole number from {} to {} is expected", range.start(), range.end()),
                );
                default
            }
        }
    }

    /// Yes or no, or the default.
    pub fn flag(&mut self, key: &str, default: bool) -> bool {
        let overridden = self.overridden.contains(&self.path_of(key));
        match self.table.remove(key) {
            None => default,
            Some(Value::Boolean(flag)) => flag,
            Some(Value::String(text)) if overridden && matches!(text.as_str(), "true" | "false") => {
                text == "true"
            }
            Some(_) => {
                self.problem(key, "true or false is expected");
                default
            }
        }
    }

    /// One of these words, or the default.
    pub fn choice<T: Copy>(&mut self, key: &str, default: T, choices: &[(&str, T)]) -> T {
        let Some(text) = self.text(key) else { return default };
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => *value,
            None => {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                self.problem(key, format_args!("{text:?} is none of {}", words.join(", ")));
                default
            }
        }
    }

    /// Texts that `parse` understands, from a list; overridden, between commas. None if the key is not there.
    pub fn parsed_list<T: FromStr<Err: fmt::Display>>(&mut self, key: &str) -> Vec<T> {
        let overridden = self.overridden.contains(&self.path_of(key));
        let items = match self.table.remove(key) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(Value::String(text)) if overridden => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                items.map(|item| Value::String(item.to_owned())).collect()
            }
            Some(_) => {
                self.problem(key, "a list of texts is expected");
                return Vec::new();
            }
        };
        let mut values = Vec::new();
        for item in items {
            let Some(text) = item.as_str() else {
                self.problem(key, format_args!("texts are expected, not {}", item.type_str()));
                continue;
            };
            match text.parse() {
                Ok(value) => values.push(value),
                Err(error) => self.problem(key, format_args!("{text:?}: {error}")),
            }
        }
        values
    }

    /// References to secrets: a text or a list of texts, at least one.
    pub fn secret_refs(&mut self, key: &str) -> Vec<SecretRef> {
        let texts = match self.table.remove(key) {
            None => {
                self.problem(key, "is missing: `file:<path>` or `env:<name>` is expected");
                return Vec::new();
            }
            Some(Value::Array(items)) => items,
            Some(value) => vec![value],
        };
        let none = texts.is_empty();
        let mut refs = Vec::new();
        for text in texts {
            match text.as_str().and_then(|text| SecretRef::parse(text, self.folder)) {
                Some(reference) => refs.push(reference),
                None => self.problem(
                    key,
                    "a secret stands in a file or the environment: `file:<path>` or `env:<name>`",
                ),
            }
        }
        if none {
            self.problem(key, "at least one reference is expected");
        }
        refs
    }

    /// The one secret that `key` refers to; empty (and a problem) if it cannot be had.
    pub fn secret(&mut self, key: &str) -> SecretSlice<u8> {
        let mut secrets = Vec::new();
        for reference in self.secret_refs(key) {
            match reference.read() {
                Ok(lines) => secrets.extend(lines),
                Err(error) => self.problem(key, error),
            }
        }
        if secrets.len() > 1 {
            self.problem(key, "one secret is expected, on one line");
        }
        secrets.pop().unwrap_or_else(|| SecretSlice::from(Vec::new()))
    }

    /// A URL: literal, or a reference where it holds a password.
    pub fn url(&mut self, key: &str) -> SecretString {
        let text = self.text_required(key);
        if let Some(reference) = SecretRef::parse(&text, self.folder) {
            return match reference.read().map(|lines| lines.into_iter().next()) {
                Ok(Some(line)) => match String::from_utf8(line.expose_secret().to_vec()) {
                    Ok(url) => SecretString::from(url),
                    Err(_) => {
                        self.problem(key, format_args!("{reference}: not a text"));
                        SecretString::from(String::new())
                    }
                },
                Ok(None) | Err(_) => {
                    self.problem(key, format_args!("{reference}: cannot be read"));
                    SecretString::from(String::new())
                }
            };
        }
        let authority =
            text.split_once("://").map_or("", |(_, rest)| rest).split('/').next().unwrap_or_default();
        let password =
            authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, word)| word);
        if password.is_some_and(|word| !word.is_empty() && word != "guest") {
            self.problem(key, "a URL with a password is given by reference: `file:<path>` or `env:<name>`");
        }
        SecretString::from(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str, variables: &[(&str, &str)]) -> Document {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Document::parse(text, Path::new("/etc/countersign"), variables).unwrap()
    }

    #[test]
    fn three_mistakes_are_all_named() {
        let mut document =
            document("[ingress]\nlisten = \"nowhere\"\nbody_max_bytes = -1\ncolour = 1\n", &[]);
        document.section("ingress", |s| {
            s.address("listen", "127.0.0.1:1".parse().unwrap());
            s.integer("body_max_bytes", 1_u64, 1..=9);
        });
        let problems = document.finish().unwrap_err().0;
        assert_eq!(problems.len(), 3, "{problems:?}");
        for (problem, key) in problems.iter().zip(["listen", "body_max_bytes", "colour"]) {
            assert!(problem.starts_with(&format!("ingress.{key}:")), "{problem}");
        }
    }

    #[test]
    fn the_environment_overrides_every_scalar() {
        let variables = [
            ("COUNTERSIGN_CFG__INGRESS__LISTEN", "127.0.0.1:9"),
            ("COUNTERSIGN_CFG__INGRESS__BODY_MAX_BYTES", "7"),
            ("COUNTERSIGN_CFG__SOURCES__STRIPE__CONNECTED", "true"),
            ("UNRELATED", "x"),
        ];
        let mut document = document("[ingress]\nlisten = \"127.0.0.1:1\"\n", &variables);
        let (address, bytes) = document.section("ingress", |s| {
            (s.address("listen", "127.0.0.1:1".parse().unwrap()), s.integer("body_max_bytes", 1_u64, 1..=9))
        });
        let flag = document.section("sources", |s| s.section("stripe", |s| s.flag("connected", false)));
        assert_eq!((address.port(), bytes, flag), (9, 7, true));
        assert_eq!(document.finish(), Ok(()));
    }

    #[test]
    fn a_number_in_quotes_is_no_number() {
        let mut document = document("[a]\nb = \"7\"\n", &[]);
        document.section("a", |s| s.integer("b", 1_u64, 1..=9));
        assert!(document.finish().is_err());
    }

    #[test]
    fn a_list_is_read_item_by_item_and_each_mistake_is_named() {
        let variables = [("COUNTERSIGN_CFG__A__D", "4, 5"), ("COUNTERSIGN_CFG__A__E", "")];
        let mut document = document("[a]\nb = [\"1\", \"x\", 2, \"3\"]\nc = \"1\"\n", &variables);
        let lists = document.section("a", |s| ["b", "c", "d", "e", "f"].map(|key| s.parsed_list::<u8>(key)));
        assert_eq!(lists, [vec![1, 3], vec![], vec![4, 5], vec![], vec![]]);
        let problems = document.finish().unwrap_err().0;
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn a_secret_in_the_file_itself_is_refused_and_not_printed() {
        let mut document =
            document("[a]\nb = \"whsec_very_secret\"\nc = \"amqp://user:hunter2@host\"\n", &[]);
        document.section("a", |s| (s.secret_refs("b"), s.url("c")));
        let problems = document.finish().unwrap_err();
        assert_eq!(problems.0.len(), 2, "{problems}");
        assert!(!problems.to_string().contains("whsec_very") && !problems.to_string().contains("hunter2"));
    }

    #[test]
    fn a_file_holds_one_secret_a_line() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"one\ntwo \n").unwrap();
        let lines = SecretRef::File(file.path().to_owned()).read().unwrap();
        let lines: Vec<_> = lines.iter().map(|line| line.expose_secret().to_vec()).collect();
        assert_eq!(lines, [b"one".to_vec(), b"two ".to_vec()]);
        let missing = SecretRef::parse("file:secret", Path::new("/nowhere")).unwrap().read().unwrap_err();
        assert!(missing.starts_with("/nowhere/secret:"), "{missing}");
    }

    #[test]
    fn a_line_that_is_no_toml_is_named_and_not_shown() {
        let text = "[rabbitmq]\nurl = \"amqp://user:hunter2@host\n";
        let problems = Document::parse(text, Path::new(""), std::iter::empty()).unwrap_err().to_string();
        assert!(problems.contains("line 2") && !problems.contains("hunter2"), "{problems}");
    }

    #[test]
    fn two_secrets_where_one_belongs_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("replay"), "one\ntwo\n").unwrap();
        let text = "[replay]\nsecret = \"file:replay\"\n";
        let mut document = Document::parse(text, folder.path(), std::iter::empty()).unwrap();
        document.section("replay", |s| s.secret("secret"));
        assert!(document.finish().unwrap_err().to_string().contains("one secret is expected"));
    }

    #[test]
    fn an_unknown_section_is_refused() {
        let document = document("[ingres]\nlisten = \"x\"\n", &[]);
        assert_eq!(document.finish(), Err(Problems(vec!["ingres: unknown section".to_owned()])));
    }
}
