//! The target of a request, taken apart: raw segments, decoded once, and the query (WIRE.md § 0.7).

use std::borrow::Cow;
use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Why a path is refused before any route is looked for (WIRE.md § 0.7, the list of Jetty's refusals).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The target is not a path: authority form, `*`, or nothing.
    #[error("Bad Request: the target is not a path")]
    NotAPath,
    /// Two readers may read it in two ways.
    #[error("Ambiguous URI")]
    Ambiguous,
    /// `.` or `..` hidden behind an encoded slash.
    #[error("Ambiguous URI path separator")]
    HiddenDots,
    /// A context with parameters in it.
    #[error("Ambiguous URI path parameter")]
    Parameter,
    /// A `%` that starts no escape, or an escape that is no UTF-8.
    #[error("Bad URI encoding")]
    Escape,
    /// A control character in an escape, or a backslash.
    #[error("Illegal character in path")]
    Character,
}

/// In which way a path is ambiguous, in the order in which the web server names what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ambiguity {
    /// `.` or `..` behind an escape.
    DotSegment,
    /// Two slashes in a row.
    EmptySegment,
    /// `.` or `..` before a parameter.
    DotParameter,
    /// An escaped backslash.
    Suspicious,
    /// A mark that no path may have, or anything that is not ASCII.
    Illegal,
}

/// What is escaped in a segment that is put together. A colon stands raw: some registries do not decode it, and behind
/// an escaped one the registry's aliases lead elsewhere (WIRE.md § 3.5).
pub const SEGMENT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// The same in a query.
pub const QUERY: AsciiSet = SEGMENT.remove(b'*');

/// A subject as a segment of a path that is put together. An empty segment, or one that begins with dots alone, means
/// something else to whatever stands on the way.
pub fn subject_segment(subject: &str) -> String {
    let is_misread = subject.is_empty() || matches!(subject.split('/').next(), Some("." | ".."));
    format!("{}{}", if is_misread { ":.:" } else { "" }, utf8_percent_encode(subject, &SEGMENT))
}

/// Lists that the registry does not cap.
pub const UNCAPPED: usize = i32::MAX as usize;

/// The cap of `/schemas`, `referencedby` and the associations, and so the most that a page of any list needs.
pub const CAPPED: usize = 1000;

/// One segment of a path: as it was sent, less its matrix parameters, and decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The raw text up to the first `;`; the fixed words of a route are compared with this.
    pub raw: &'a str,
    /// The text after percent-decoding; a name.
    pub decoded: Cow<'a, str>,
    /// Whether parameters followed the raw text, which only some parts of the registry look past.
    pub has_parameters: bool,
}

/// The bytes that must not stand raw in a path: some marks, and all that is not ASCII.
const FORBIDDEN: [bool; 256] = {
    let mut forbidden = [false; 256];
    let mut byte = 128;
    while byte < 256 {
        forbidden[byte] = true;
        byte += 1;
    }
    let marks = br#"[]{}|"<>^`\"#;
    let mut at = 0;
    while at < marks.len() {
        forbidden[marks[at] as usize] = true;
        at += 1;
    }
    forbidden
};

/// Splits a raw path into its segments, or says why it is refused. One trailing slash is dropped.
pub fn split(path: &str) -> Result<Vec<Segment<'_>>, Malformed> {
    let inner = path.strip_prefix('/').ok_or(Malformed::NotAPath)?;
    if path.bytes().any(|byte| FORBIDDEN[usize::from(byte)]) {
        return Err(if path.contains('\\') { Malformed::Character } else { Malformed::Ambiguous });
    }
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.is_empty() {
        return if path.len() > 1 { Err(Malformed::Ambiguous) } else { Ok(Vec::new()) };
    }
    inner.split('/').map(segment).collect::<Result<_, _>>().or_else(|why| match path.rsplit_once('/') {
        // Parameters alone are no segment: they hang on the slash before them, if that is the last one.
        Some((front, last)) if last.starts_with(';') => split(&path[..=front.len()]),
        _ => Err(why),
    })
}

fn segment(whole: &str) -> Result<Segment<'_>, Malformed> {
    if whole.is_empty() {
        return Err(Malformed::Ambiguous);
    }
    let needs_care = |byte: u8| matches!(byte, b'%' | b';' | 0..b' ' | 0x7f);
    if !whole.bytes().any(needs_care) {
        // Nothing to decode, to cut off or to hide behind.
        return Ok(Segment { raw: whole, decoded: Cow::Borrowed(whole), has_parameters: false });
    }
    let raw = whole.split(';').next().unwrap_or_default();
    if raw.is_empty() {
        return Err(Malformed::Ambiguous);
    }
    let decoded = decode(raw)?;
    if decoded.bytes().any(|byte| matches!(byte, 0..b' ' | 0x7f)) {
        return Err(Malformed::Character);
    }
    let hidden = is_dots(&decoded) && (raw != decoded || raw.len() != whole.len());
    if hidden || decoded.contains('\\') {
        return Err(Malformed::Ambiguous);
    }
    if decoded.contains('/') && decoded.split('/').any(is_dots) {
        return Err(Malformed::HiddenDots);
    }
    Ok(Segment { raw, decoded, has_parameters: raw.len() != whole.len() })
}

fn is_dots(text: &str) -> bool {
    matches!(text, "." | "..")
}

/// All that is ambiguous in a path.
pub fn ambiguities(path: &str) -> BTreeSet<Ambiguity> {
    let mut found = BTreeSet::new();
    if path.bytes().any(|byte| FORBIDDEN[usize::from(byte)]) {
        found.insert(Ambiguity::Illegal);
    }
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (index, whole) in segments.iter().enumerate() {
        let (raw, parameter) = whole.split_once(';').map_or((*whole, false), |(raw, _)| (raw, true));
        let decoded = decode(raw).unwrap_or(Cow::Borrowed(raw));
        if raw.is_empty() && index + 1 < segments.len() {
            found.insert(Ambiguity::EmptySegment);
        }
        if is_dots(&decoded) && raw != decoded {
            found.insert(Ambiguity::DotSegment);
        }
        if is_dots(&decoded) && parameter {
            found.insert(Ambiguity::DotParameter);
        }
        if decoded.contains('\\') {
            found.insert(Ambiguity::Suspicious);
        }
    }
    found
}

fn decode(raw: &str) -> Result<Cow<'_, str>, Malformed> {
    let bytes = raw.as_bytes();
    for (at, _) in raw.match_indices('%') {
        let digits = bytes.get(at + 1..at + 3).ok_or(Malformed::Escape)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(Malformed::Escape);
        }
    }
    percent_decode_str(raw).decode_utf8().map_err(|_| Malformed::Escape)
}

/// The parameters of a query, decoded, in their order. Of repeated ones the first counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

/// A page of a list: how many to skip, and how many to give at most, as the client wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Elements to skip; negative makes the registry fail.
    pub offset: i32,
    /// Elements wanted; zero, negative or too large all mean the route's own limit.
    pub limit: i32,
}

impl Page {
    /// How many elements of a list of which at most `most` are given at once come before the end of the page.
    pub fn end(self, most: usize) -> usize {
        let limit = usize::try_from(self.limit).ok().filter(|limit| (1..=most).contains(limit)).unwrap_or(most);
        usize::try_from(self.offset).unwrap_or_default().saturating_add(limit)
    }

    /// Cuts the page out of a list of which at most `most` are given at once; nothing for a negative offset,
    /// over which the registry fails.
    pub fn cut<T>(self, items: impl IntoIterator<Item = T>, most: usize) -> Option<Vec<T>> {
        let offset = usize::try_from(self.offset).ok()?;
        let limit = usize::try_from(self.limit).ok().filter(|limit| (1..=most).contains(limit)).unwrap_or(most);
        Some(items.into_iter().skip(offset).take(limit).collect())
    }
}

/// A parameter that must be a whole number is none; the registry answers 404 (WIRE.md § 0.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANumber;

impl Query {
    /// Reads what follows the `?`. Nothing in a query is refused: a lone `%` stands for itself.
    pub fn parse(raw: &str) -> Self {
        Self::parse_keeping_plus(raw, |_| false)
    }

    /// Reads a query in which some parameters have a plus that is no blank.
    pub fn parse_keeping_plus(raw: &str, keeps_plus: impl Fn(&str) -> bool) -> Self {
        let unescape = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let decode = |text: &str| unescape(&text.replace('+', " "));
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = decode(name);
            let value = if keeps_plus(&name) { unescape(value) } else { decode(value) };
            (name, value)
        };
        Self(raw.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a repeatable parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Only `true`, in any case, is true.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A whole number, or `default` when absent or blank. Digits of any script are digits to Java.
    pub fn number(&self, name: &str, default: i32) -> Result<i32, NotANumber> {
        match self.get(name).filter(|text| !java_trim(text).is_empty()) {
            None => Ok(default),
            Some(text) => java_int(text).ok_or(NotANumber),
        }
    }

    /// `offset` and `limit`.
    pub fn page(&self) -> Result<Page, NotANumber> {
        Ok(Page { offset: self.number("offset", 0)?, limit: self.number("limit", -1)? })
    }

    /// Sets a parameter to a value, in the place of all that had its name.
    pub fn set(&mut self, name: &str, value: String) {
        self.0.retain(|(key, _)| key != name);
        self.0.push((name.to_owned(), value));
    }

    /// Changes every value of a parameter; returns whether there was any.
    pub fn rewrite(&mut self, name: &str, change: impl Fn(&str) -> String) -> bool {
        let mut found = false;
        for (_, value) in self.0.iter_mut().filter(|(key, _)| key == name) {
            *value = change(value);
            found = true;
        }
        found
    }

    /// All parameters, in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The names of all parameters, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }
}

/// Reads a number as `Integer.parseInt` does: a sign, then decimal digits of any script.
pub fn java_int(text: &str) -> Option<i32> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_i64;
    for character in digits.chars() {
        value = value * 10 + i64::from(decimal_digit(character)?);
        if value > i64::from(i32::MAX) + 1 {
            return None;
        }
    }
    i32::try_from(if negative { -value } else { value }).ok()
}

/// Reads the version in a path as the registry does: blanks around it do not count, and `None` is the latest. What is no
/// version is refused under the name that is given back: that of a number is the number.
pub fn version_number(written: &str) -> Result<Option<i32>, String> {
    let trimmed = java_trim(written);
    if trimmed.eq_ignore_ascii_case("latest") {
        return Ok(None);
    }
    match java_int(trimmed) {
        Some(-1) => Ok(None),
        Some(number) if number > 0 => Ok(Some(number)),
        Some(number) => Err(number.to_string()),
        None => Err(written.to_owned()),
    }
}

/// A text without the blanks and control characters around it, as `String.trim` leaves it.
fn java_trim(text: &str) -> &str {
    text.trim_matches(|character| character <= ' ')
}

/// The value of a decimal digit. The digits of every script stand in runs of ten; these are the
/// starts of the runs in the Basic Multilingual Plane (Unicode general category Nd).
fn decimal_digit(character: char) -> Option<u32> {
    const ZEROS: [u32; 37] = [
        0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
        0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
        0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    ];
    let code = u32::from(character);
    ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code)).map(|zero| code - zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str) -> Result<Vec<String>, Malformed> {
        split(path).map(|segments| segments.into_iter().map(|segment| segment.decoded.into_owned()).collect())
    }

    #[test]
    fn segments_are_decoded_once_and_split_on_raw_slashes_only() {
        assert_eq!(names("/subjects/a%2Fb/versions/"), Ok(vec!["subjects".into(), "a/b".into(), "versions".into()]));
        assert_eq!(names("/subjects/a%252Fb"), Ok(vec!["subjects".into(), "a%2Fb".into()]));
        assert_eq!(names("/subjects/a+b;x=y"), Ok(vec!["subjects".into(), "a+b".into()]));
        assert_eq!(names("/subjects/%F0%9F%9B%92"), Ok(vec!["subjects".into(), "🛒".into()]));
        assert_eq!(names("/"), Ok(vec![]));
        assert_eq!(names("/subjects/;a=b"), Ok(vec!["subjects".into()]));
    }

    #[test]
    fn what_jetty_refuses_is_refused() {
        for (path, why) in [
            ("//subjects", Malformed::Ambiguous),
            ("/subjects//x", Malformed::Ambiguous),
            ("//", Malformed::Ambiguous),
            ("/subjects/;a=b/versions", Malformed::Ambiguous),
            ("/%2e/x", Malformed::Ambiguous),
            ("/subjects/.%2E/mode", Malformed::Ambiguous),
            ("/subjects/..;a=b/mode", Malformed::Ambiguous),
            ("/subjects/x%2F..%2Fy", Malformed::HiddenDots),
            ("/subjects/%zz", Malformed::Escape),
            ("/subjects/%", Malformed::Escape),
            ("/subjects/%u0041", Malformed::Escape),
            ("/subjects/%C0%AF", Malformed::Escape),
            ("/subjects/%ED%A0%80", Malformed::Escape),
            ("/subjects/%00", Malformed::Character),
            ("/subjects/%0d%0aX:y", Malformed::Character),
            ("/subjects/a\\b", Malformed::Character),
            ("/subjects/a%5Cb", Malformed::Ambiguous),
            ("/subjects/[s]", Malformed::Ambiguous),
            ("/subjects/é", Malformed::Ambiguous),
            ("subjects", Malformed::NotAPath),
            ("*", Malformed::NotAPath),
        ] {
            assert_eq!(split(path), Err(why), "{path}");
        }
    }

    #[test]
    fn all_that_is_ambiguous_is_named_in_the_web_servers_order() {
        use Ambiguity as A;
        for (path, found) in [
            ("//subjects", &[A::EmptySegment][..]),
            ("/subjects//", &[A::EmptySegment]),
            ("/subjects/", &[]),
            ("/subjects/;a=b", &[]),
            ("/subjects/;a=b/versions", &[A::EmptySegment]),
            ("/subjects/%2e/x", &[A::DotSegment]),
            ("/subjects/..;/x", &[A::DotParameter]),
            ("/subjects/%2E%2e;a/x", &[A::DotSegment, A::DotParameter]),
            ("/subjects/./x", &[]),
            ("/subjects/a%5Cb", &[A::Suspicious]),
            ("/{s}//%2e", &[A::DotSegment, A::EmptySegment, A::Illegal]),
        ] {
            assert_eq!(ambiguities(path).into_iter().collect::<Vec<_>>(), found, "{path}");
        }
    }

    #[test]
    fn numbers_are_read_as_java_reads_them() {
        assert_eq!(java_int("+1"), Some(1));
        assert_eq!(java_int("01"), Some(1));
        assert_eq!(java_int("\u{661}"), Some(1));
        assert_eq!(java_int("-2147483648"), Some(i32::MIN));
        for text in ["", "-", "1.0", "2147483648", "abc", " 1", "9".repeat(30).as_str()] {
            assert_eq!(java_int(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_of_repeated_parameters_counts() {
        let query = Query::parse("deleted=TRUE&deleted=false&limit=&offset=+1&x=a%zz&k=1&k=2");
        assert!(query.flag("deleted"));
        assert_eq!(query.number("limit", -1), Ok(-1));
        assert_eq!(query.number("offset", 0), Err(NotANumber));
        assert_eq!(query.get("x"), Some("a%zz"));
        assert_eq!(query.all("k").collect::<Vec<_>>(), ["1", "2"]);
    }
}
