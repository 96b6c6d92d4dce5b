//! The active secrets of a source, and their replacement while the service runs.

use core::convert::Infallible;
use core::fmt;
use core::hash::BuildHasher as _;
use core::sync::atomic::{AtomicI64, Ordering};
use core::time::Duration;
use std::hash::RandomState;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ledger::{Livemode, Source};
use ports::Handle;
use runtime::config::SecretRef;
use secrecy::ExposeSecret as _;
use signature::{Scheme, Secret, SecretInvalid};

/// How often the places are looked at. A change counts when two looks in a row saw the same, so that a file that is being
/// written, or half of two files that are swapped together, is never taken for a secret.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Secrets that stand in this project's own documents and files: anybody can sign with them.
const DEVELOPMENT: [&[u8]; 2] = [b"whsec_countersign_dev", b"countersign-dev-token"];

/// The secrets of a source, as they are now.
pub struct Secrets {
    places: Vec<SecretRef>,
    scheme: Scheme,
    pinned: Option<Livemode>,
    marker: RandomState,
    active: RwLock<Arc<Active>>,
    seen: Mutex<Seen>,
}

/// The secrets of one moment.
#[derive(Debug, Default)]
pub struct Active {
    secrets: Vec<Secret>,
    matches: Vec<Match>,
}

/// What is known of a secret that is not its bytes.
#[derive(Debug, Clone, Default)]
struct Match {
    /// The same for the same bytes, within this process; tells nothing of them.
    mark: u64,
    last_s: Arc<AtomicI64>,
}

/// What the last look saw and what was last acted on, as marks.
#[derive(Debug)]
struct Seen {
    last: u64,
    settled: u64,
}

/// What a look at the places changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// Nothing (yet).
    Unchanged,
    /// So many secrets are active now.
    Replaced(usize),
    /// What stands there cannot be used: the old ones stay. Said once per change.
    Kept(Vec<String>),
}

type Reading = Result<Vec<(u64, Secret)>, Vec<String>>;

impl Secrets {
    /// Reads the secrets that stand in these places; refuses what is a mistake, naming every one and no secret.
    /// `pinned` is the livemode that the source is pinned to: no secret of development may stand for real money.
    pub fn read(
        places: Vec<SecretRef>,
        scheme: Scheme,
        pinned: Option<Livemode>,
    ) -> Result<Self, Vec<String>> {
        let secrets = Self { places, pinned, ..Self::empty(scheme) };
        let reading = secrets.look();
        let mark = secrets.mark(&reading);
        *secrets.active.write().unwrap_or_else(PoisonError::into_inner) = Active::after(None, reading?);
        *secrets.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen { last: mark, settled: mark };
        Ok(secrets)
    }

    /// Secrets that stand nowhere and never change.
    pub fn fixed(scheme: Scheme, secrets: Vec<Secret>) -> Self {
        let fixed = Self::empty(scheme);
        let marked = (0..).zip(secrets).collect();
        *fixed.active.write().unwrap_or_else(PoisonError::into_inner) = Active::after(None, marked);
        fixed
    }

    fn empty(scheme: Scheme) -> Self {
        Self {
            places: Vec::new(),
            scheme,
            pinned: None,
            marker: RandomState::new(),
            active: RwLock::default(),
            seen: Mutex::new(Seen { last: 0, settled: 0 }),
        }
    }

    /// Those of this moment.
    pub fn active(&self) -> Arc<Active> {
        Arc::clone(&self.active.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the places again. Small files: this blocks for as long as reading them takes.
    pub fn reload(&self) -> Reload {
        if self.places.is_empty() {
            return Reload::Unchanged;
        }
        let reading = self.look();
        let mark = self.mark(&reading);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stable = seen.last == mark;
        seen.last = mark;
        if !stable || seen.settled == mark {
            return Reload::Unchanged;
        }
        seen.settled = mark;
        match reading {
            Ok(secrets) => {
                let count = secrets.len();
                let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
                *active = Active::after(Some(&active), secrets);
                Reload::Replaced(count)
            }
            Err(problems) => Reload::Kept(problems),
        }
    }

    fn look(&self) -> Reading {
        let (mut secrets, mut problems) = (Vec::new(), Vec::new());
        for place in &self.places {
            let lines = place.read().unwrap_or_else(|error| {
                problems.push(error);
                Vec::new()
            });
            for line in lines {
                let bytes = line.expose_secret();
                match Secret::parse(bytes, self.scheme) {
                    Ok(_) if self.pinned == Some(Livemode::Live) && DEVELOPMENT.contains(&bytes) => problems
                        .push(format!(
                            "{place}: the secret of development, which anybody can sign with, on a source with \
                             livemode = \"live\"; take the one from the provider's dashboard"
                        )),
                    Ok(secret) => secrets.push((self.marker.hash_one(bytes), secret)),
                    Err(SecretInvalid::Empty) => problems.push(format!(
                        "{place}: no secret, or an empty line; write each secret on a line of its own"
                    )),
                    Err(invalid) => problems.push(format!("{place}: {invalid}")),
                }
            }
        }
        if !problems.is_empty() {
            Err(problems)
        } else if secrets.is_empty() {
            Err(vec!["no secret: name a place where one stands, `file:<path>` or `env:<name>`".to_owned()])
        } else {
            Ok(secrets)
        }
    }

    fn mark(&self, reading: &Reading) -> u64 {
        let marks =
            reading.as_ref().map(|secrets| secrets.iter().map(|(mark, _)| *mark).collect::<Vec<u64>>());
        self.marker.hash_one(marks)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Active {
    /// These secrets; one that was active before keeps its history, wherever it stands now.
    fn after(before: Option<&Self>, secrets: Vec<(u64, Secret)>) -> Arc<Self> {
        let known = |mark| before?.matches.iter().find(|known| known.mark == mark).cloned();
        let mut active = Self::default();
        for (mark, secret) in secrets {
            active.secrets.push(secret);
            active.matches.push(known(mark).unwrap_or(Match { mark, ..Match::default() }));
        }
        Arc::new(active)
    }

    /// The secrets, in the order of their indexes.
    pub fn secrets(&self) -> &[Secret] {
        &self.secrets
    }

    /// Notes that the secret at `index` verified a delivery.
    pub fn matched(&self, index: usize, now_s: i64) {
        if let Some(found) = self.matches.get(index) {
            found.last_s.fetch_max(now_s, Ordering::Relaxed);
        }
    }

    /// When each last verified a delivery, in unix seconds, in the order of their indexes; 0 is never.
    pub fn last_matches_s(&self) -> impl Iterator<Item = i64> {
        self.matches.iter().map(|each| each.last_s.load(Ordering::Relaxed))
    }
}

/// Looks at the places of all sources for as long as it is polled.
pub(crate) async fn watch(sources: Vec<(Source, Arc<Secrets>)>, handle: Handle) -> Infallible {
    loop {
        handle.sleep(LOOK_EVERY).await;
        for (source, secrets) in &sources {
            match secrets.reload() {
                Reload::Unchanged => {}
                Reload::Replaced(count) => tracing::info!(%source, count, "The secrets have been replaced"),
                Reload::Kept(problems) => {
                    let problems = problems.join("; ");
                    tracing::error!(%source, error = problems, "The new secrets cannot be used; the old ones stay");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn secrets(path: &Path, pinned: Option<Livemode>) -> Result<Secrets, Vec<String>> {
        Secrets::read(vec![SecretRef::File(path.to_owned())], Scheme::Stripe, pinned)
    }

    /// Both looks that a change needs.
    fn looked(secrets: &Secrets) -> Reload {
        assert_eq!(secrets.reload(), Reload::Unchanged, "the first look only remembers");
        secrets.reload()
    }

    #[test]
    fn what_is_no_secret_is_refused_with_a_hint_and_without_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (content, hint) in [
            ("", "write each secret on a line of its own"),
            ("\n", "write each secret on a line of its own"),
            ("whsec_a\n\nwhsec_b\n", "write each secret on a line of its own"),
            ("whsec_a \n", "not echo"),
            ("whsec_a\r\n", "not echo"),
            ("\u{feff}whsec_a", "UTF-8 without"),
        ] {
            fs::write(&path, content).unwrap();
            let problems = secrets(&path, None).unwrap_err().join("; ");
            assert!(problems.contains(hint) && problems.contains("secret:"), "{content:?}: {problems}");
            assert!(!problems.contains("whsec_a"), "{problems}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(secrets(&path, None).unwrap_err().len(), 1);
        assert_eq!(Secrets::read(vec![], Scheme::Stripe, None).unwrap_err().len(), 1);
    }

    #[test]
    fn a_secret_of_development_is_refused_where_the_source_is_live() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for development in ["whsec_countersign_dev", "countersign-dev-token"] {
            fs::write(&path, development).unwrap();
            let problems = secrets(&path, Some(Livemode::Live)).unwrap_err().join("; ");
            assert!(problems.contains("the provider's dashboard"), "{problems}");
            assert!(!problems.contains(development), "{problems}");
            secrets(&path, Some(Livemode::Test)).unwrap();
            secrets(&path, None).unwrap();
        }
    }

    #[test]
    fn a_swapped_symlink_brings_new_secrets_and_keeps_what_is_known_of_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, content) in [("v1", "whsec_old\n"), ("v2", "whsec_new\nwhsec_old\n")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("secret"), content).unwrap();
        }
        symlink(at("v1"), at("..data")).unwrap();
        let secrets = secrets(&at("..data").join("secret"), None).unwrap();
        secrets.active().matched(0, 7);
        // As the kubelet does it: a new link, renamed over the old.
        symlink(at("v2"), at("..next")).unwrap();
        fs::rename(at("..next"), at("..data")).unwrap();
        assert_eq!(looked(&secrets), Reload::Replaced(2));
        assert_eq!(secrets.active().last_matches_s().collect::<Vec<_>>(), [0, 7]);
        assert_eq!(secrets.reload(), Reload::Unchanged);
    }

    #[test]
    fn a_file_that_cannot_be_used_keeps_the_old_secrets_and_is_named_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "whsec_a").unwrap();
        let secrets = secrets(&path, Some(Livemode::Live)).unwrap();
        for bad in ["", "whsec_b ", "whsec_countersign_dev"] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(looked(&secrets), Reload::Kept(problems) if problems.len() == 1));
            assert_eq!(secrets.reload(), Reload::Unchanged);
            assert_eq!(secrets.active().secrets().len(), 1);
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(looked(&secrets), Reload::Kept(_)));
        fs::write(&path, "whsec_a").unwrap();
        assert_eq!(looked(&secrets), Reload::Replaced(1));
    }

    #[test]
    fn a_file_that_is_being_written_is_not_taken_for_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "whsec_a").unwrap();
        let secrets = secrets(&path, None).unwrap();
        for half in ["w", "whsec_", "whsec_b"] {
            fs::write(&path, half).unwrap();
            assert_eq!(secrets.reload(), Reload::Unchanged, "{half}");
        }
        assert_eq!(secrets.reload(), Reload::Replaced(1));
    }

    #[test]
    fn the_watch_replaces_secrets_within_seconds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "whsec_a").unwrap();
        let secrets = Arc::new(secrets(&path, None).unwrap());
        let simulation = testkit::simulation::Simulation::new(1);
        let handle = simulation.handle();
        let watched = vec![(Source::parse("stripe").unwrap(), Arc::clone(&secrets))];
        fs::write(&path, "whsec_b\nwhsec_a").unwrap();
        let watching = handle.within(Duration::from_secs(5), watch(watched, handle.clone()));
        assert!(simulation.run(watching).is_none());
        assert_eq!(secrets.active().secrets().len(), 2);
    }
}
