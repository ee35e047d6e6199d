//! Answers about compatibility settings: what the primary said, of the scope that counts (WIRE.md § 1.19).

use super::resolve::config_key;
use super::table::Question;
use super::{ABSENT, Answer, Verdict, Why};
use crate::protocol::subject::QualifiedSubject;
use crate::replica::snapshot::Snapshot;

/// `GET /config` and `GET /config/{s}`. The closest configuration that exists counts whole; nothing is merged.
pub(super) fn config(question: &Question<'_>) -> Answer {
    let Question { operation, snapshot, .. } = *question;
    let subject = &operation.subject;
    let in_scope = operation.query.flag("defaultToGlobal");
    if subject.is_bare_context() {
        let key = config_key(subject);
        // The scope of everything has no wider one to fall back to.
        let widened = in_scope && subject.context != crate::protocol::subject::Context::global();
        return said(snapshot, &if widened { format!("{key}?defaultToGlobal=true") } else { key });
    }
    match snapshot.remembered(&config_key(subject)) {
        Some(own) if own.status == 200 => Ok(own.body.clone()),
        // That it has none was read as surely as what others have (C4b speaks of schemas alone).
        Some(own) if own.error_code() == Some(40408) && !in_scope => Err(Verdict::Known(404, own.body.clone())),
        Some(_) if in_scope => {
            let context = QualifiedSubject::new(subject.context.clone(), "");
            said(snapshot, &format!("{}?defaultToGlobal=true", config_key(&context)))
        }
        _ => Err(ABSENT),
    }
}

fn said(snapshot: &Snapshot, key: &str) -> Answer {
    match snapshot.remembered(key) {
        Some(answer) if answer.status == 200 => Ok(answer.body.clone()),
        // A whole route that the primary does not have has no code of the registry's in its answer.
        Some(answer) if answer.error_code() != Some(40408) => Err(Verdict::Unknown(Why::Unsupported(answer.clone()))),
        _ => Err(ABSENT),
    }
}
