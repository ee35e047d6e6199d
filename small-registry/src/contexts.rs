//! `/contexts`: listing and forgetting contexts (WIRE.md § 1.21).

use schema_outpost::protocol::subject::QualifiedSubject;

use crate::call::{Call, Reply};
use crate::failure::{Failure, Outcome};
use crate::print;
use crate::state::State;

/// `GET /contexts`
pub(crate) fn list(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let prefix = call.parameter("contextPrefix");
    let names: Vec<String> = state.context_names().iter().map(ToString::to_string).collect();
    let names = names.into_iter().filter(|name| name.starts_with(prefix)).collect();
    let names = call.page(names, i32::MAX as usize)?;
    Ok(Reply::ok(print::texts(names.iter().map(String::as_str))))
}

/// `DELETE /contexts/{c}`; its settings and its ids stay.
pub(crate) fn delete(state: &mut State, call: &Call<'_>) -> Outcome<Reply> {
    let subject = QualifiedSubject::parse(call.operation.name());
    let name = subject.context.as_str();
    if state.spaces.get(name).is_some_and(|space| !space.subjects.is_empty()) {
        return Err(Failure::context_not_empty(&subject.context.prefix()));
    }
    state.contexts.remove(name);
    Ok(Reply::nothing())
}
