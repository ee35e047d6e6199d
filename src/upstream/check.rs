//! The way to the other registry, step by step, for an operator who wants to know where it ends.

use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::{Call, Priority, Registry, Stage};
use crate::telemetry::Chain;

const WHOLE: Duration = Duration::from_secs(10);

// Small, and known to every registry. Some leave the question of who asks to the subject, so that
// only a list shows whether credentials count.
const QUESTION: &str = "/subjects?offset=0&limit=1";

/// How far one base URL can be followed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The base URL.
    pub url: String,
    /// The steps that were taken, in their order; the last one may have failed.
    pub findings: Vec<Finding>,
}

/// One step on the way.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which step.
    pub stage: Stage,
    /// What went wrong, for the operator's eye; nothing if it worked.
    pub problem: Option<String>,
}

impl Report {
    /// Whether the registry can be used over this URL.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.problem.is_none())
    }
}

impl Registry {
    /// Follows every base URL from its name to an answer, past budget and breaker.
    pub async fn check(&self) -> Vec<Report> {
        let mut reports = Vec::with_capacity(self.bases().len());
        for (index, base) in self.bases().iter().enumerate() {
            let mut findings = self.check_connection(index).await;
            if findings.iter().all(|finding| finding.problem.is_none()) {
                findings.push(Finding { stage: Stage::Credentials, problem: self.check_credentials(index).await });
            }
            reports.push(Report { url: base.as_str().to_owned(), findings });
        }
        reports
    }

    async fn check_connection(&self, index: usize) -> Vec<Finding> {
        let base = &self.bases()[index];
        let Some(uri) = base.join("/") else { return Vec::new() };
        let last = if base.is_plain() { Stage::Connect } else { Stage::Tls };
        let failed = self.connector().dial(&uri).await.err();
        let reached = failed.as_ref().map_or(last, |failed| failed.stage);
        let mut findings: Vec<_> = [Stage::Resolve, Stage::Connect, Stage::Tls]
            .into_iter()
            .filter(|stage| *stage <= last && *stage < reached || *stage == reached && failed.is_none())
            .map(|stage| Finding { stage, problem: None })
            .collect();
        if let Some(failed) = failed {
            findings.push(Finding { stage: failed.stage, problem: Some(Chain(&failed).to_string()) });
        }
        findings
    }

    async fn check_credentials(&self, index: usize) -> Option<String> {
        let call = Call::get(QUESTION, Priority::Miss, Instant::now() + WHOLE);
        let answer = match self.attempt(index, &call).await {
            Ok(answer) => answer,
            Err(failure) => return Some(failure.chain()),
        };
        match answer.status {
            StatusCode::UNAUTHORIZED => Some("the registry does not accept the credentials (401)".to_owned()),
            StatusCode::FORBIDDEN => Some("the registry permits nothing to the credentials (403)".to_owned()),
            status if !status.is_success() => Some(format!("the registry answers {status} to a list of subjects")),
            _ => serde_json::from_slice::<Option<Vec<String>>>(&answer.body)
                .err()
                .map(|_| "what answers there is no schema registry: it has no list of subjects".to_owned()),
        }
    }
}
