//! Who we are at the other registry: the one place where its credentials are turned into a header.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use tokio::time::{Instant, timeout};

use super::failure::SetupError;
use super::{Basic, Bearer, Credentials};
use crate::secret::Secret;

// Files are read and not watched: Kubernetes replaces the folder around a secret, which watchers lose.
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);

// No call waits longer for a file system that hangs.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// The `Authorization` of our calls, kept up with the file that holds its secret.
#[derive(Debug)]
pub(super) struct Authorization {
    scheme: Scheme,
    file: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum Scheme {
    Basic { username: String },
    Bearer,
}

#[derive(Debug)]
struct State {
    value: HeaderValue,
    looked: Instant,
}

impl Authorization {
    /// Reads the credentials for the first time.
    pub(super) fn new(credentials: &Credentials) -> Result<Self, SetupError> {
        let (scheme, given, file) = match credentials {
            Credentials::Basic(Basic { username, password, password_file }) => {
                if username.contains(':') {
                    return Err(SetupError::Credentials { what: "a username cannot contain a colon" });
                }
                (Scheme::Basic { username: username.clone() }, password, password_file)
            }
            Credentials::Bearer(Bearer { token, token_file }) => (Scheme::Bearer, token, token_file),
        };
        let secret = match (given, file) {
            (Some(_), Some(_)) => return Err(SetupError::Credentials { what: "the secret is given twice" }),
            (None, None) => return Err(SetupError::Credentials { what: "the secret is missing" }),
            (Some(secret), None) if secret.expose().is_empty() => {
                return Err(SetupError::Credentials { what: "the secret is empty" });
            }
            (Some(secret), None) => secret.clone(),
            (None, Some(path)) => Secret::read(path)?,
        };
        let value = scheme.header(&secret).ok_or(SetupError::Credentials { what: "the secret cannot be a header" })?;
        let state = Mutex::new(State { value, looked: Instant::now() });
        Ok(Self { scheme, file: file.clone(), state })
    }

    /// The header's value, from the file as it was at most ten seconds ago.
    pub(super) async fn header(&self) -> HeaderValue {
        let (value, due) = {
            let mut state = self.lock();
            let due = state.looked.elapsed() >= BETWEEN_LOOKS;
            if due {
                // Marked before the look, so that only one of many calls takes it.
                state.looked = Instant::now();
            }
            (state.value.clone(), due)
        };
        match &self.file {
            Some(file) if due => self.look(file.clone()).await.unwrap_or(value),
            _ => value,
        }
    }

    /// Has the next call look into the file, because the value in use was not accepted.
    pub(super) fn doubt(&self) {
        let mut state = self.lock();
        state.looked = state.looked.checked_sub(BETWEEN_LOOKS).unwrap_or(state.looked);
    }

    async fn look(&self, file: PathBuf) -> Option<HeaderValue> {
        let read = timeout(LONGEST_LOOK, tokio::task::spawn_blocking(move || Secret::read(&file))).await;
        match read.ok()?.ok()? {
            Ok(secret) => {
                let value = self.scheme.header(&secret)?;
                let mut state = self.lock();
                if state.value != value {
                    tracing::info!("the credentials have changed and are in use");
                    state.value = value.clone();
                }
                Some(value)
            }
            Err(error) => {
                // In the middle of a rotation the file may be gone for a moment; a call without credentials is never made.
                tracing::warn!(%error, "the credentials cannot be read again; those read before stay in use");
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scheme {
    fn header(&self, secret: &Secret) -> Option<HeaderValue> {
        let text = match self {
            Self::Basic { username } => format!("Basic {}", STANDARD.encode(format!("{username}:{}", secret.expose()))),
            Self::Bearer => format!("Bearer {}", secret.expose()),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(password: Option<&str>, file: Option<PathBuf>) -> Result<Authorization, SetupError> {
        let password = password.map(Secret::new);
        Authorization::new(&Credentials::Basic(Basic { username: "key".to_owned(), password, password_file: file }))
    }

    async fn shown(authorization: &Authorization) -> String {
        let value = authorization.header().await;
        assert!(value.is_sensitive());
        let encoded = value.to_str().expect("ASCII").strip_prefix("Basic ").expect("Basic").to_owned();
        String::from_utf8(STANDARD.decode(encoded).expect("base64")).expect("UTF-8")
    }

    #[tokio::test]
    async fn basic_and_bearer_are_written_as_the_standards_say() {
        assert_eq!(shown(&basic(Some("sä:cret"), None).expect("usable")).await, "key:sä:cret");
        let token = Bearer { token: Some(Secret::new("abc")), token_file: None };
        let bearer = Authorization::new(&Credentials::Bearer(token)).expect("usable");
        assert_eq!(bearer.header().await, "Bearer abc");
        assert!(!format!("{bearer:?}").contains("abc"));
    }

    #[tokio::test]
    async fn a_secret_that_is_missing_empty_or_given_twice_is_an_error_at_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        for wrong in [basic(None, None), basic(Some(""), None), basic(None, Some(file.clone()))] {
            wrong.expect_err("unusable");
        }
        std::fs::write(&file, "\n").expect("written");
        basic(None, Some(file.clone())).expect_err("empty");
        std::fs::write(&file, "a\n").expect("written");
        basic(Some("b"), Some(file.clone())).expect_err("twice");
        assert_eq!(shown(&basic(None, Some(file)).expect("usable")).await, "key:a");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_looked_at_every_ten_seconds_and_an_unusable_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        std::fs::write(&file, "one\n").expect("written");
        let authorization = basic(None, Some(file.clone())).expect("usable");
        std::fs::write(&file, "two\n").expect("written");
        assert_eq!(shown(&authorization).await, "key:one", "not looked at yet");
        tokio::time::advance(BETWEEN_LOOKS).await;
        assert_eq!(shown(&authorization).await, "key:two");
        std::fs::remove_file(&file).expect("removed");
        tokio::time::advance(BETWEEN_LOOKS).await;
        assert_eq!(shown(&authorization).await, "key:two");
        std::fs::write(&file, "three\n").expect("written");
        assert_eq!(shown(&authorization).await, "key:two");
        authorization.doubt();
        assert_eq!(shown(&authorization).await, "key:three", "looked at because of doubt");
    }
}
