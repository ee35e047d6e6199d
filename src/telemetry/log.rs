//! The log: one event a line, on the standard error.

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::panic::PanicHookInfo;

use tracing::Subscriber;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use super::{Config, Format};

/// The words that a filter may have without saying what they are for.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A log that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is neither a level nor a filter.
    #[error(
        "{level:?} is no log level; expected one of error, warn, info, debug, trace, off, or a filter such as info,schema_outpost::importer=debug"
    )]
    Level {
        /// What was written.
        level: String,
    },
    /// The level looks like a filter, but is none.
    #[error("the log filter cannot be used")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Something else in this process logs already.
    #[error("the log is set up already")]
    Twice(#[source] SetGlobalDefaultError),
}

/// Sends the events of this process to the standard error from now on; a panic is an event too.
pub fn init(config: &Config) -> Result<(), LogError> {
    let terminal = io::stderr().is_terminal();
    let subscriber = subscriber(config, terminal, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(LogError::Twice)?;
    std::panic::set_hook(Box::new(panicked));
    Ok(())
}

fn panicked(panic: &PanicHookInfo<'_>) {
    let reason = panic.payload_as_str().unwrap_or("unknown");
    let place = panic.location().map(ToString::to_string);
    tracing::error!(reason, place, "panicked");
}

/// Reads a level or a filter, and refuses what the filter's own grammar would take for the name of a module.
pub(super) fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let is_level = |word: &str| LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level));
    let known = |part: &str| part.contains(['=', '[']) || is_level(part.trim());
    if !level.split(',').all(known) {
        return Err(LogError::Level { level: level.to_owned() });
    }
    EnvFilter::builder().parse(level).map_err(LogError::Filter)
}

fn subscriber<W>(config: &Config, terminal: bool, writer: W) -> Result<impl Subscriber + Send + Sync, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let format = config.format.unwrap_or(if terminal { Format::Text } else { Format::Json });
    let ansi = terminal && format == Format::Text;
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(ansi)
        .log_internal_errors(false)
        .with_writer(OneLine { inner: writer, ansi });
    let lines = match format {
        Format::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        Format::Text => lines.boxed(),
    };
    Ok(tracing_subscriber::registry().with(lines.with_filter(filter(&config.level)?)))
}

/// Keeps each event on a line of its own, whatever its fields hold.
struct OneLine<W> {
    inner: W,
    ansi: bool,
}

struct Line<W> {
    inner: W,
    ansi: bool,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for OneLine<W> {
    type Writer = Line<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { inner: self.inner.make_writer(), ansi: self.ansi }
    }
}

impl<W: Write> Write for Line<W> {
    /// Takes one whole event, as the layer above hands it over.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = event.strip_suffix(b"\n").unwrap_or(event);
        let text = String::from_utf8_lossy(text);
        if text.contains(breaks_a_line) {
            let mut line = escape(&text, self.ansi);
            line.push('\n');
            self.inner.write_all(line.as_bytes())?;
        } else {
            self.inner.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn escape(text: &str, ansi: bool) -> String {
    let mut line = String::with_capacity(text.len() + 16);
    for (at, char) in text.char_indices() {
        if breaks_a_line(char) && !(ansi && is_colour(&text[at..])) {
            // The same escape in both looks, since it is one in JSON as well.
            line.push_str(&format!("\\u{:04x}", u32::from(char)));
        } else {
            line.push(char);
        }
    }
    line
}

/// Whether `text` begins with a sequence that changes the colour, and not with one that moves about on the terminal.
fn is_colour(text: &str) -> bool {
    let parameters = text
        .strip_prefix("\u{1b}[")
        .map(|rest| rest.trim_start_matches(|char: char| char.is_ascii_digit() || char == ';'));
    parameters.is_some_and(|rest| rest.starts_with('m'))
}

/// Control characters, and the separators at which some readers of logs break lines.
fn breaks_a_line(char: char) -> bool {
    char.is_control() || matches!(char, '\u{2028}' | '\u{2029}')
}

/// An error with all its causes, for a field of an event: `%Chain(&error)`.
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nothing panics").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("nothing panics").clone()).expect("UTF-8")
        }
    }

    fn written(config: &Config, terminal: bool, act: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = subscriber(config, terminal, move || writer.clone()).expect("a good configuration");
        tracing::subscriber::with_default(subscriber, act);
        page.text()
    }

    const NASTY: &str = "a\x1b[2J\n{\"fake\":\"audit\"}\r\u{2028}\u{85}\0b";

    #[test]
    fn an_event_stays_on_one_line_whatever_its_fields_hold() {
        for (format, terminal) in [(Format::Json, false), (Format::Text, false), (Format::Text, true)] {
            let config = Config { format: Some(format), ..Config::default() };
            let page = written(&config, terminal, || {
                let span = tracing::info_span!("request", subject = NASTY);
                span.in_scope(|| tracing::info!(user = %NASTY, debug = ?NASTY, "said {NASTY}"));
                tracing::info!("second");
            });
            assert_eq!(page.chars().filter(|char| breaks_a_line(*char) && *char != '\u{1b}').count(), 2, "{page:?}");
            assert!(page.ends_with('\n') && !page.contains("\x1b[2J"), "{page:?}");
            assert!(terminal || !page.contains('\x1b'), "{page:?}");
        }
    }

    #[test]
    fn a_json_event_can_be_read_back() {
        let page = written(&Config::default(), false, || tracing::warn!(subject = NASTY, count = 3, "hello"));
        let event: serde_json::Value = serde_json::from_str(&page).expect("JSON");
        assert_eq!(event["subject"], NASTY);
        assert_eq!((&event["count"], &event["message"], &event["level"]), (&3.into(), &"hello".into(), &"WARN".into()));
    }

    #[test]
    fn people_at_a_terminal_get_text_and_others_json() {
        let event = || tracing::info!("hello");
        assert!(written(&Config::default(), true, event).contains('\x1b'));
        assert!(written(&Config::default(), false, event).starts_with('{'));
    }

    #[test]
    fn the_level_is_a_level_or_a_filter_and_never_a_misspelt_word() {
        for (level, good) in [
            ("info", true),
            ("WARN", true),
            ("info,schema_outpost::importer=debug", true),
            ("inof", false),
            ("", false),
            ("schema_outpost=loud", false),
        ] {
            assert_eq!(filter(level).is_ok(), good, "{level:?}");
        }
        let config = Config { level: "warn".to_owned(), ..Config::default() };
        assert_eq!(written(&config, false, || tracing::info!("hello")), "");
    }

    #[test]
    fn a_chain_names_every_cause() {
        let inner = io::Error::other("inner");
        let outer =
            io::Error::other(crate::secret::Unreadable::Io { path: std::path::Path::new("x").into(), source: inner });
        assert_eq!(Chain(&outer).to_string(), "cannot read the secret file x: inner");
    }
}
