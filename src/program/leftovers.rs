//! Leftover overrides: what is wrong with them, and the request that mends it.

use schema_outpost::protocol::subject::{Context, QualifiedSubject};
use schema_outpost::server::ListenerConfig;

use super::ask::reachable;
use super::harmless;
use super::scopes::{named, path};

/// Where clients come in, as far as requests that mend something go there.
pub struct Door(Vec<(String, Option<Context>)>);

impl Door {
    pub fn of(listeners: &[ListenerConfig]) -> Self {
        // Behind port 0 there is one too, and nobody knows where.
        let known = listeners.iter().filter(|listener| listener.bind.port() != 0);
        let door = |listener: &ListenerConfig| {
            let scheme = if listener.tls.is_some() { "https" } else { "http" };
            let context = listener.context.as_deref().map(Context::named);
            (format!("{scheme}://{}", reachable(listener.bind)), context)
        };
        Self(known.map(door).collect())
    }

    /// The request that clears a mode, as a command where it is known whom to ask.
    pub fn clearing(&self, scope: &QualifiedSubject) -> String {
        let open = self.0.iter().find(|(_, bound)| bound.is_none()).map(|(url, _)| (url, path(scope)));
        // Behind a listener that is bound to a context, plain names are names in it.
        let inside = || {
            let (url, _) = self.0.iter().find(|(_, bound)| bound.as_ref() == Some(&scope.context))?;
            Some((url, path(&QualifiedSubject::new(Context::default_context(), &scope.subject))))
        };
        match open.or_else(inside) {
            Some((url, path)) => format!("curl -X DELETE '{url}{path}'"),
            None => format!("DELETE {}, at the port of the clients", path(scope)),
        }
    }
}

/// What is wrong with a leftover, in one sentence.
pub fn sentence(scope: &QualifiedSubject, mode: &str) -> String {
    let around = named(&QualifiedSubject::new(scope.context.clone(), ""));
    let subject = named(&QualifiedSubject::new(Context::default_context(), &scope.subject));
    harmless(&format!(
        "{subject} is still set to {mode} while {around} is forwarded: two registries assign ids in one context"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(bind: &str, context: Option<&str>) -> ListenerConfig {
        let bind = bind.parse().expect("an address");
        ListenerConfig { bind, tls: None, context: context.map(str::to_owned) }
    }

    #[test]
    fn a_leftover_is_mended_at_a_listener_that_knows_its_subject() {
        let scope = QualifiedSubject::parse(":.c:s");
        let open = Door::of(&[listener("127.0.0.1:1", Some(".c")), listener("0.0.0.0:2", None)]);
        assert_eq!(open.clearing(&scope), "curl -X DELETE 'http://127.0.0.1:2/mode/:.c:s'");
        let bound = Door::of(&[listener("127.0.0.1:1", Some(".d")), listener("[::]:2", Some(".c"))]);
        assert_eq!(bound.clearing(&scope), "curl -X DELETE 'http://[::1]:2/mode/s'");
        for nowhere in [vec![], vec![listener("127.0.0.1:0", None)], vec![listener("127.0.0.1:1", Some(".d"))]] {
            assert_eq!(Door::of(&nowhere).clearing(&scope), "DELETE /mode/:.c:s, at the port of the clients");
        }
    }

    #[test]
    fn a_leftover_is_told_in_one_sentence() {
        let told = |name: &str| sentence(&QualifiedSubject::parse(name), "IMPORT");
        let rest = "is forwarded: two registries assign ids in one context";
        assert_eq!(told("s"), format!("subject s is still set to IMPORT while the default context {rest}"));
        assert_eq!(told(":.c:s\u{1b}"), format!("subject s\\u{{1b}} is still set to IMPORT while context .c {rest}"));
    }
}
