//! Named misbehaviour: what goes wrong, for which requests, how often.

use std::fmt;
use std::time::Duration;

use crate::seen::Seen;

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The request is read and never answered; the connection stays open.
    BlackHole,
    /// The connection is closed before anything was done.
    CutBeforeAct,
    /// The request is carried out, and the connection closed without an answer.
    CutAfterAct,
    /// The request is carried out; the head and half of the body are sent, then the connection is closed.
    HalfAnswer,
    /// The same, but then nothing: the connection stays open, and the rest never comes.
    Stall,
    /// This is answered, and nothing is done.
    Status {
        /// The status.
        status: u16,
        /// Header names and values.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// The request is carried out after this time, by tokio's clock, and then answered.
    Delay(Duration),
    /// The request is carried out at once, and answered after this time, by tokio's clock.
    SlowAnswer(Duration),
    /// 401 as if the credentials were wrong.
    Unauthorized,
}

impl Fault {
    /// A status with a registry's error body.
    pub fn error(status: u16, code: u32, message: &str) -> Self {
        let body = schema_outpost::protocol::json::error_body(code, message);
        Self::Status {
            status,
            headers: vec![("Content-Type".to_owned(), "application/vnd.schemaregistry.v1+json".to_owned())],
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    /// 429 with `Retry-After` in seconds.
    pub fn too_many_requests(retry_after: u64) -> Self {
        let headers = vec![("Retry-After".to_owned(), retry_after.to_string())];
        Self::Status { status: 429, headers, body: r#"{"error_code":429,"message":"Too Many Requests"}"#.to_owned() }
    }

    /// 502 with a page that a load balancer would make.
    pub fn bad_gateway_page() -> Self {
        let headers = vec![("Content-Type".to_owned(), "text/html".to_owned())];
        Self::Status { status: 502, headers, body: "<html><body><h1>502 Bad Gateway</h1></body></html>".to_owned() }
    }

    /// 301 to somewhere else.
    pub fn redirect(location: &str) -> Self {
        let headers = vec![("Location".to_owned(), location.to_owned())];
        Self::Status { status: 301, headers, body: String::new() }
    }
}

type Predicate = Box<dyn Fn(&Seen) -> bool + Send>;

struct Rule {
    matches: Predicate,
    left: Option<usize>,
    fault: Fault,
}

/// The faults that are set, the earliest first.
#[derive(Default)]
pub(crate) struct Faults(Vec<Rule>);

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|rule| &rule.fault)).finish()
    }
}

impl Faults {
    pub(crate) fn add(&mut self, matches: Predicate, times: Option<usize>, fault: Fault) {
        self.0.push(Rule { matches, left: times, fault });
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault for a request; a counted one is used up by it.
    pub(crate) fn take(&mut self, seen: &Seen) -> Option<Fault> {
        let rule = self.0.iter_mut().find(|rule| rule.left != Some(0) && (rule.matches)(seen))?;
        if let Some(left) = &mut rule.left {
            *left -= 1;
        }
        Some(rule.fault.clone())
    }
}
