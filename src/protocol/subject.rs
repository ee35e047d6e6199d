//! Contexts, subjects and the grammar that joins them (WIRE.md § 3.1, § 3.6).

use std::fmt;
use std::sync::{Arc, LazyLock};

/// The name of a context with its leading dot: `.` is the default one, `*` stands for all of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Context(Arc<str>);

impl Context {
    /// The default context, whose subjects are written without a prefix.
    pub fn default_context() -> Self {
        // Shared, because every request names it, if only to say that it names no other.
        static DEFAULT: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("."));
        Self(DEFAULT.clone())
    }

    /// The context that carries only configuration and mode for everything (`:.__GLOBAL:`).
    pub fn global() -> Self {
        Self(Arc::from(".__GLOBAL"))
    }

    /// A context by its name with the dot, as `GET /contexts` lists it.
    pub fn named(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The name with its leading dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the default context `.`.
    pub fn is_default(&self) -> bool {
        &*self.0 == "."
    }

    /// Whether this is the wildcard `*`.
    pub fn is_wildcard(&self) -> bool {
        &*self.0 == "*"
    }

    /// The context as the `subject` of an id, so written that no alias of the whole context is followed: it is not
    /// normalised there before it is looked for among the aliases (WIRE.md § 3.5).
    pub fn unaliased(&self) -> String {
        let prefix = self.prefix();
        if self.is_wildcard() { prefix } else { prefix.trim_end_matches(':').to_owned() }
    }

    /// What stands before a subject of this context: nothing, or `:.ctx:`.
    pub fn prefix(&self) -> String {
        if self.is_default() { String::new() } else { format!(":{}:", self.0) }
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({})", self.0)
    }
}

/// A subject together with its context; prints in the normalised form that registries answer with.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QualifiedSubject {
    /// The context that the subject lives in.
    pub context: Context,
    /// The name inside the context; empty when only a context was named.
    pub subject: Arc<str>,
}

impl QualifiedSubject {
    /// No subject, in the default context.
    pub fn none() -> Self {
        static NONE: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));
        Self { context: Context::default_context(), subject: NONE.clone() }
    }

    /// Joins a context and a name.
    pub fn new(context: Context, subject: &str) -> Self {
        Self { context, subject: Arc::from(subject) }
    }

    /// Reads a decoded subject as the registry does; every text is some subject.
    pub fn parse(text: &str) -> Self {
        if let Some(rest) = text.strip_prefix(":.") {
            let dotted = &text[1..];
            return match rest.find(':') {
                Some(end) => Self::new(Context::named(&dotted[..=end]), &rest[end + 1..]),
                None => Self::new(Context::named(dotted), ""),
            };
        }
        match text.strip_prefix(":*:") {
            Some(subject) => Self::new(Context::named("*"), subject),
            None => Self::new(Context::default_context(), text),
        }
    }

    /// The text that [`Self::parse`] reads as just this one. It differs from the printed form where a name in the
    /// default context looks like a qualified one.
    pub fn spelt(&self) -> String {
        let is_misread =
            self.context.is_default() && (self.subject.starts_with(":.") || self.subject.starts_with(":*:"));
        if is_misread { format!(":.:{}", self.subject) } else { self.to_string() }
    }

    /// Whether this is the default context itself.
    pub fn is_top_level(&self) -> bool {
        self.is_bare_context() && self.context.is_default()
    }

    /// Reads a subject that may be relative to a context, as references and aliases are: an unqualified
    /// one lies in `parent`, under the name as it is written. From a named context `:.:x` does not lead
    /// into the default one (WIRE.md § 3.8).
    pub fn parse_in(text: &str, parent: &Context) -> Self {
        let read = Self::parse(text);
        if read.context.is_default() && !parent.is_default() { Self::new(parent.clone(), text) } else { read }
    }

    /// Whether only a context was named, no subject in it.
    pub fn is_bare_context(&self) -> bool {
        self.subject.is_empty()
    }
}

impl fmt::Display for QualifiedSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.context.is_default() {
            f.write_str(&self.subject)
        } else {
            write!(f, ":{}:{}", self.context, self.subject)
        }
    }
}

impl fmt::Debug for QualifiedSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QualifiedSubject({self})")
    }
}

/// What a `subjectPrefix` selects (WIRE.md § 3.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectPrefix {
    /// Subjects of one context that start with the text.
    In(Context, Arc<str>),
    /// Every context whose name starts with the text: `:.ctx` without its closing colon.
    ContextsFrom(Arc<str>),
    /// Subjects of every context that start with the text: `:*:text`.
    Everywhere(Arc<str>),
}

impl SubjectPrefix {
    /// Reads a decoded prefix.
    pub fn parse(text: &str) -> Self {
        if text.strip_prefix(":.").is_some_and(|rest| !rest.contains(':')) {
            return Self::ContextsFrom(Arc::from(&text[1..]));
        }
        let read = QualifiedSubject::parse(text);
        if read.context.is_wildcard() { Self::Everywhere(read.subject) } else { Self::In(read.context, read.subject) }
    }

    /// Whether subjects of the context can match at all.
    pub fn admits(&self, context: &Context) -> bool {
        match self {
            Self::In(own, _) => own == context,
            Self::ContextsFrom(start) => context.as_str().starts_with(&**start),
            // A context that is literally named `*` can be written to, but not listed so.
            Self::Everywhere(_) => !context.is_wildcard(),
        }
    }

    /// The text that a subject's name inside an admitted context must start with.
    pub fn start(&self) -> &str {
        match self {
            Self::In(_, start) | Self::Everywhere(start) => start,
            Self::ContextsFrom(_) => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spelt_is_read_as_the_same() {
        for (context, name) in
            [(".", "s"), (".", ""), (".", ":.c:x"), (".", ":*:x"), (".c", ":.d:x"), (".c", ""), (".", ":x")]
        {
            let subject = QualifiedSubject::new(Context::named(context), name);
            assert_eq!(QualifiedSubject::parse(&subject.spelt()), subject, "{context} {name}");
        }
    }

    #[test]
    fn the_table_of_wire_3_1_is_read_as_printed() {
        for (input, context, subject, normalised) in [
            ("x", ".", "x", "x"),
            (":.:x", ".", "x", "x"),
            (":.", ".", "", ""),
            (":.:", ".", "", ""),
            ("", ".", "", ""),
            (":.ctx:x", ".ctx", "x", ":.ctx:x"),
            (":.ctx", ".ctx", "", ":.ctx:"),
            (":.ctx:", ".ctx", "", ":.ctx:"),
            (":.ctx:a:b", ".ctx", "a:b", ":.ctx:a:b"),
            (":.:x:y", ".", "x:y", "x:y"),
            (":.a.b:x", ".a.b", "x", ":.a.b:x"),
            (":*:x", "*", "x", ":*:x"),
            (":x", ".", ":x", ":x"),
            ("::.c:x", ".", "::.c:x", "::.c:x"),
            (":.__GLOBAL", ".__GLOBAL", "", ":.__GLOBAL:"),
        ] {
            let read = QualifiedSubject::parse(input);
            assert_eq!((read.context.as_str(), &*read.subject), (context, subject), "{input}");
            assert_eq!(read.to_string(), normalised, "{input}");
        }
    }

    #[test]
    fn a_name_beside_a_subject_of_a_named_context_stays_in_that_context() {
        let beside = |text, parent| QualifiedSubject::parse_in(text, &Context::named(parent)).to_string();
        assert_eq!(beside("x", ".c"), ":.c:x");
        assert_eq!(beside(":.:x", ".c"), ":.c::.:x");
        assert_eq!(beside(":.d:x", ".c"), ":.d:x");
        assert_eq!(beside(":.d", ".c"), ":.d:");
        assert_eq!(beside(":.:x", "."), "x");
    }

    #[test]
    fn a_prefix_without_its_closing_colon_names_every_context_that_starts_so() {
        assert_eq!(SubjectPrefix::parse(":.c"), SubjectPrefix::ContextsFrom(Arc::from(".c")));
        assert!(SubjectPrefix::parse(":.c").admits(&Context::named(".cat")));
        assert!(!SubjectPrefix::parse(":.c:").admits(&Context::named(".cat")));
        assert!(SubjectPrefix::parse("foo").admits(&Context::default_context()));
        assert!(!SubjectPrefix::parse("foo").admits(&Context::named(".c")));
    }
}
