//! What is asked of the primary, a function a question.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::status::Counters;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::protocol::target::{CAPPED, QUERY, subject_segment};
use crate::replica::{Association, Remembered, associations};
use crate::routing::{Primary, Selection};
use crate::upstream::{Answer, Call, Failure, FailureKind, Priority};

/// Most items that a registry puts on one page.
pub(super) const PAGE: usize = CAPPED;

/// Selects the subjects of all contexts.
const EVERYTHING: &str = ":*:";

const PATIENCE: Duration = Duration::from_secs(30);
/// A caller waits for it, and gives up before its own client does.
const WAITED_FOR: Duration = Duration::from_secs(10);
/// Where a caller waits there is no time for more.
const SHORT_WAIT: Duration = Duration::from_secs(1);
/// Whoever has been sent away so often is not wanted.
const MOST_REPEATS: u32 = 50;

/// Why a question has no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// There was no answer.
    #[error("{path} was not answered")]
    Unanswered {
        /// What was asked.
        path: String,
        /// What happened.
        #[source]
        failure: Failure,
    },
    /// The answer says neither yes nor no.
    #[error("{path} was answered with status {status}")]
    Refused {
        /// What was asked.
        path: String,
        /// The answer's status.
        status: u16,
    },
    /// The answer is something else than what was asked for.
    #[error("the answer to {path} is not what was asked for")]
    Unreadable {
        /// What was asked.
        path: String,
        /// What is wrong with it, where JSON has a word for it.
        #[source]
        cause: Option<serde_json::Error>,
    },
}

impl PollError {
    pub(super) fn is_too_large(&self) -> bool {
        matches!(self, Self::Unanswered { failure, .. } if failure.kind == FailureKind::TooLarge)
    }

    /// The status, where the primary did answer but had only a refusal for this one question.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unreadable { .. } => Some(200),
            _ => None,
        }
    }
}

/// An answer to a question whose route the primary may not have.
#[derive(Debug)]
pub(super) enum Offered<T> {
    Yes(T),
    No(Remembered),
}

/// What of the primary is listed.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// All that one entry of the map shows.
    Selected(Selection),
    /// What starts with a prefix.
    Under(String),
}

/// Questions asked for one purpose, counted.
pub(super) struct Poll {
    primary: Primary,
    priority: Priority,
    counters: Counters,
    requests: AtomicU64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdAnswer {
    subject: Option<String>,
    max_id: Option<i32>,
}

#[derive(Deserialize)]
struct ConfigAnswer {
    alias: Option<String>,
}

/// The names that stand for subjects.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    pub(super) names: Vec<String>,
    /// Whether these are all of them.
    pub(super) is_whole: bool,
}

#[derive(Deserialize)]
struct AliasedAnswer {
    #[serde(default)]
    aliases: Vec<String>,
}

#[derive(Deserialize)]
struct HolderAnswer {
    subject: String,
}

impl Poll {
    pub(super) fn new(primary: Primary, priority: Priority, counters: Counters) -> Self {
        Self { primary, priority, counters, requests: AtomicU64::new(0) }
    }

    /// How many calls it took so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Counts a call.
    pub(super) fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.counters.requests.inc();
    }

    /// Asks once, and again for as long as the primary only asks for patience.
    pub(super) async fn ask(&self, path: &str) -> Result<Answer, PollError> {
        self.ask_with(path, http::HeaderMap::new()).await
    }

    pub(super) async fn ask_with(&self, path: &str, headers: http::HeaderMap) -> Result<Answer, PollError> {
        self.ask_within(path, headers, None).await
    }

    /// The parts that everything is listed in.
    pub(super) fn parts(&self) -> Vec<Part> {
        self.primary.contexts().selections().into_iter().map(Part::Selected).collect()
    }

    /// Which of them a context is in.
    pub(super) fn part_of(&self, context: &Context) -> Option<usize> {
        self.primary.contexts().selection_of(context)
    }

    async fn ask_part(&self, path: &str, part: &Part) -> Result<Answer, PollError> {
        let selection = match part {
            Part::Selected(selection) => Some(selection),
            Part::Under(_) => None,
        };
        self.ask_within(path, http::HeaderMap::new(), selection).await
    }

    async fn ask_within(
        &self,
        path: &str,
        headers: http::HeaderMap,
        selection: Option<&Selection>,
    ) -> Result<Answer, PollError> {
        let background = self.priority == Priority::Importer;
        let last = Instant::now() + WAITED_FOR;
        let mut repeats = 0;
        loop {
            let deadline = if background { Instant::now() + PATIENCE } else { last };
            let mut call = Call::get(path, self.priority, deadline);
            call.headers = headers.clone();
            let outcome = match selection {
                Some(selection) => self.primary.send_within(selection, call).await,
                None => self.primary.send(call).await,
            };
            let pause = match outcome {
                Ok(answer) => {
                    self.count();
                    if answer.status != StatusCode::TOO_MANY_REQUESTS || repeats == MOST_REPEATS {
                        return Ok(answer);
                    }
                    match background {
                        // The registry's own budget holds us back from here for as long as was asked.
                        true => Duration::ZERO,
                        false if Instant::now() + SHORT_WAIT < last => SHORT_WAIT,
                        false => return Ok(answer),
                    }
                }
                Err(failure) if background && failure.kind == FailureKind::Spent && repeats < MOST_REPEATS => {
                    failure.retry_after.unwrap_or(PATIENCE)
                }
                Err(failure) => {
                    if failure.kind != FailureKind::Spent && failure.kind != FailureKind::Refused {
                        self.count();
                    }
                    return Err(PollError::Unanswered { path: path.to_owned(), failure });
                }
            };
            repeats += 1;
            sleep(pause).await;
        }
    }

    /// One page of the listing of versions; nothing if the primary has no such route.
    pub(super) async fn schemas(
        &self,
        part: &Part,
        deleted: bool,
        offset: usize,
        limit: usize,
    ) -> Result<Option<Answer>, PollError> {
        let prefix = match part {
            Part::Selected(_) => EVERYTHING.to_owned(),
            Part::Under(prefix) => query_value(prefix),
        };
        let path = format!("/schemas?subjectPrefix={prefix}&deleted={deleted}&offset={offset}&limit={limit}");
        let answer = self.ask_part(&path, part).await?;
        match answer.status.as_u16() {
            200 => Ok(Some(answer)),
            404 | 405 | 501 => Ok(None),
            status => Err(PollError::Refused { path, status }),
        }
    }

    /// The names that are aliases of subjects. No other list has them, and their configurations say
    /// what they stand for. Nothing where the primary has no such list.
    pub(super) async fn aliases(&self) -> Result<Aliases, PollError> {
        let mut all = Aliases { names: Vec::new(), is_whole: true };
        for part in self.parts() {
            let Aliases { names, is_whole } = self.aliases_in(&part).await?;
            all.names.extend(names);
            all.is_whole &= is_whole;
        }
        Ok(all)
    }

    async fn aliases_in(&self, part: &Part) -> Result<Aliases, PollError> {
        let mut names = Vec::new();
        let mut is_whole = true;
        let mut first = Vec::new();
        for page in 0.. {
            let offset = page * PAGE;
            let path = format!(
                "/schemas?subjectPrefix=:*:&aliases=true&deleted=true&latestOnly=true&offset={offset}&limit={PAGE}"
            );
            let answer = match self.ask_part(&path, part).await {
                Ok(answer) if is_unknown_route(&answer) => {
                    is_whole = false;
                    break;
                }
                Ok(answer) if answer.status == StatusCode::OK => answer,
                Ok(answer) => return Err(PollError::Refused { path, status: answer.status.as_u16() }),
                // The listing steps over what is too large and names it; from here on aliases are not known.
                Err(error) if error.is_too_large() => {
                    is_whole = false;
                    break;
                }
                Err(error) => return Err(error),
            };
            // An item that cannot be read is named by the listing; here it just has no alias.
            let items = super::items::split(&answer.body).unwrap_or_default();
            // Where paging is not known, every page is the first one.
            if page > 0 && items.first().is_some_and(|item| *item == first) {
                break;
            }
            first = items.first().map(|item| item.to_vec()).unwrap_or_default();
            let read = |item: &&[u8]| serde_json::from_slice::<AliasedAnswer>(item).ok();
            names.extend(items.iter().filter_map(read).flat_map(|item| item.aliases));
            if items.len() != PAGE {
                break;
            }
        }
        Ok(Aliases { names, is_whole })
    }

    /// One page of the names of subjects, soft-deleted ones included.
    pub(super) async fn subjects(&self, part: &Part, offset: usize) -> Result<Vec<String>, PollError> {
        let path = format!("/subjects?subjectPrefix={EVERYTHING}&deleted=true&offset={offset}&limit={PAGE}");
        let answer = self.ask_part(&path, part).await?;
        list(&path, &answer)
    }

    /// The numbers of a subject's versions; nothing if there certainly are none.
    pub(super) async fn versions(
        &self,
        subject: &QualifiedSubject,
        deleted: bool,
    ) -> Result<Option<Vec<i32>>, PollError> {
        let path = format!("/subjects/{}/versions?deleted={deleted}", segment(&subject.to_string()));
        let answer = self.ask(&path).await?;
        if is_absence(&answer) { Ok(None) } else { list(&path, &answer).map(Some) }
    }

    /// Whether whoever asks for the subject is led to another one.
    pub(super) async fn is_alias(&self, subject: &QualifiedSubject) -> Result<bool, PollError> {
        let path = format!("/config/{}", segment(&subject.to_string()));
        let answer = self.ask(&path).await?;
        match answer.status.as_u16() {
            200 => Ok(read::<ConfigAnswer>(&path, &answer)?.alias.is_some_and(|alias| !alias.is_empty())),
            404 | 405 | 501 => Ok(false),
            status => Err(PollError::Refused { path, status }),
        }
    }

    /// One version as it came; nothing if there certainly is none.
    pub(super) async fn version(
        &self,
        subject: &QualifiedSubject,
        number: i32,
        headers: http::HeaderMap,
    ) -> Result<Option<Answer>, PollError> {
        let path = format!("/subjects/{}/versions/{number}?deleted=true", segment(&subject.to_string()));
        let answer = self.ask_with(&path, headers).await?;
        match answer.status.as_u16() {
            200 => Ok(Some(answer)),
            _ if is_absence(&answer) => Ok(None),
            status => Err(PollError::Refused { path, status }),
        }
    }

    /// The contexts, the default one first.
    pub(super) async fn contexts(&self) -> Result<Offered<Vec<Context>>, PollError> {
        let mut contexts: Vec<Context> = Vec::new();
        loop {
            let path = format!("/contexts?offset={}&limit={PAGE}", contexts.len());
            let answer = self.ask(&path).await?;
            if is_unknown_route(&answer) && contexts.is_empty() {
                return Ok(Offered::No(remembered(&answer)));
            }
            let names: Vec<String> = list(&path, &answer)?;
            // Some print them as a subject's prefix, `:.:`; that is kept as it is, for we print them otherwise.
            if names.iter().any(|name| name.contains(':')) {
                return Ok(Offered::No(remembered(&answer)));
            }
            let before = contexts.len();
            for name in names.iter().map(|name| Context::named(name)) {
                if !contexts.contains(&name) {
                    contexts.push(name);
                }
            }
            if names.len() < PAGE || contexts.len() == before {
                return Ok(Offered::Yes(contexts));
            }
        }
    }

    /// The highest id that a context has given, asked through an id that it holds; nothing where
    /// the primary does not say.
    pub(super) async fn max_id(&self, context: &Context, known: i32) -> Result<Option<i32>, PollError> {
        let path = format!("/schemas/ids/{known}?fetchMaxId=true&subject={}", query_value(&context.prefix()));
        let answer = self.ask(&path).await?;
        match answer.status.as_u16() {
            200 => {
                let IdAnswer { subject, max_id } = read(&path, &answer)?;
                // The name of a context may be an alias that leads out of it.
                let is_inside = subject.is_none_or(|name| QualifiedSubject::parse(&name).context == *context);
                Ok(max_id.filter(|_| is_inside))
            }
            404 => Ok(None),
            status => Err(PollError::Refused { path, status }),
        }
    }

    /// The subjects that hold an id; nothing if the primary certainly has no such id.
    pub(super) async fn holders(&self, context: &Context, id: i32) -> Result<Option<Vec<QualifiedSubject>>, PollError> {
        let path = format!("/schemas/ids/{id}/versions?subject={}&deleted=true", query_value(&context.prefix()));
        let answer = self.ask(&path).await?;
        if is_absence(&answer) {
            return Ok(None);
        }
        let holders: Vec<HolderAnswer> = list(&path, &answer)?;
        let holders = holders.iter().map(|holder| QualifiedSubject::parse_in(&holder.subject, context));
        Ok(Some(holders.filter(|holder| holder.context == *context).collect()))
    }

    /// An answer that is kept as it is, by the key that it is found under: a success, or a refusal
    /// that says something about the primary and not about us or about now.
    pub(super) async fn fact(&self, key: &str) -> Result<Remembered, PollError> {
        let path = wire_path(key);
        let answer = self.ask(&path).await?;
        match answer.status.as_u16() {
            // Whatever stands between us and the primary would answer with a page, not with JSON.
            200 if key != "/" => read::<serde::de::IgnoredAny>(&path, &answer).map(|_| remembered(&answer)),
            200 => Ok(remembered(&answer)),
            401 | 403 | 408 | 429 => Err(PollError::Refused { path, status: answer.status.as_u16() }),
            400..=499 => Ok(remembered(&answer)),
            status => Err(PollError::Refused { path, status }),
        }
    }

    /// All associations.
    pub(super) async fn associations(&self) -> Result<Offered<Vec<Association>>, PollError> {
        let mut all: Vec<Association> = Vec::new();
        let mut offset = 0;
        loop {
            let path = format!("/associations/resources/-/-?offset={offset}&limit={PAGE}");
            let answer = self.ask(&path).await?;
            if is_unknown_route(&answer) && offset == 0 {
                return Ok(Offered::No(remembered(&answer)));
            }
            if answer.status != StatusCode::OK {
                return Err(PollError::Refused { path, status: answer.status.as_u16() });
            }
            let unreadable = |cause| PollError::Unreadable { path: path.clone(), cause };
            let text = std::str::from_utf8(&answer.body).map_err(|_| unreadable(None))?;
            let page = associations(text).map_err(|error| unreadable(Some(error)))?;
            let (count, before) = (page.len(), all.len());
            let printed = |one: &Association| one.printed.as_ref().map(|raw| raw.get().to_owned());
            let known: std::collections::HashSet<_> = all.iter().filter_map(printed).collect();
            all.extend(page.into_iter().filter(|one| printed(one).is_none_or(|text| !known.contains(&text))));
            if count < PAGE || all.len() == before {
                return Ok(Offered::Yes(all));
            }
            offset += count - 1;
        }
    }
}

/// The name of a subject or context as one segment of a path.
pub(super) fn segment(name: &str) -> String {
    subject_segment(name)
}

fn query_value(text: &str) -> String {
    utf8_percent_encode(text, &QUERY).to_string()
}

/// Where the answer of a key is asked for: keys hold names as they are, a path holds them encoded.
fn wire_path(key: &str) -> String {
    for route in ["/config/", "/mode/"] {
        let Some(name) = key.strip_prefix(route) else { continue };
        // A subject may end like a query; only a context is ever asked with one.
        return match name.strip_suffix("?defaultToGlobal=true") {
            Some(context) if context.starts_with(":.") && context.ends_with(':') => {
                format!("{route}{}?defaultToGlobal=true", segment(context))
            }
            _ => format!("{route}{}", segment(name)),
        };
    }
    key.to_owned()
}

/// Whether the registry itself says that there is no such subject, version or id. A page that says
/// "not found" may come from anything on the way.
fn is_absence(answer: &Answer) -> bool {
    answer.status == StatusCode::NOT_FOUND && answer.error_code().is_some_and(|code| (40400..40500).contains(&code))
}

fn is_unknown_route(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 404 | 405 | 501) && !is_absence(answer)
}

/// Whether the body of an error is one that registries write.
pub(super) fn is_registrys_own(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body)
        .is_ok_and(|body| body.contains_key("error_code"))
}

fn remembered(answer: &Answer) -> Remembered {
    Remembered { status: answer.status.as_u16(), body: answer.body.clone() }
}

fn read<T: DeserializeOwned>(path: &str, answer: &Answer) -> Result<T, PollError> {
    if answer.status != StatusCode::OK {
        return Err(PollError::Refused { path: path.to_owned(), status: answer.status.as_u16() });
    }
    serde_json::from_slice(&answer.body)
        .map_err(|error| PollError::Unreadable { path: path.to_owned(), cause: Some(error) })
}

/// Some registries say `null` for a list without elements.
fn list<T: DeserializeOwned>(path: &str, answer: &Answer) -> Result<Vec<T>, PollError> {
    Ok(read::<Option<Vec<T>>>(path, answer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_holds_the_name_and_the_path_holds_it_encoded() {
        for (key, path) in [
            ("/config", "/config"),
            ("/config?defaultToGlobal=true", "/config?defaultToGlobal=true"),
            ("/config/a/b %é", "/config/a%2Fb%20%25%C3%A9"),
            ("/mode/:.ctx:s;x", "/mode/:.ctx:s%3Bx"),
            ("/config/:.ctx:?defaultToGlobal=true", "/config/:.ctx:?defaultToGlobal=true"),
            ("/config/s?defaultToGlobal=true", "/config/s%3FdefaultToGlobal%3Dtrue"),
            ("/v1/metadata/id", "/v1/metadata/id"),
        ] {
            assert_eq!(wire_path(key), path);
        }
    }

    #[test]
    fn only_the_registry_itself_can_say_that_something_is_not_there() {
        for (status, body, absent, unknown) in [
            (404, r#"{"error_code":40401,"message":"x"}"#, true, false),
            (404, r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#, false, true),
            (404, "<html>404</html>", false, true),
            (405, "", false, true),
            (500, r#"{"error_code":40401,"message":"x"}"#, false, false),
        ] {
            let answer = Answer {
                status: StatusCode::from_u16(status).expect("a status"),
                headers: http::HeaderMap::new(),
                body: bytes::Bytes::from(body.to_owned()),
                url: 0,
            };
            assert_eq!((is_absence(&answer), is_unknown_route(&answer)), (absent, unknown), "{status} {body}");
        }
    }
}
