//! Which media type an answer has, and which a request may have (WIRE.md § 0.4).

use http::HeaderValue;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap};

/// The registry's media types, most preferred first, with the weight it gives each.
const PRODUCED: [(&str, f32); 3] = [
    ("application/vnd.schemaregistry.v1+json", 1.0),
    ("application/vnd.schemaregistry+json", 0.9),
    ("application/json", 0.5),
];

/// The type of an answer when the client names none.
pub const DEFAULT: HeaderValue = HeaderValue::from_static(PRODUCED[0].0);

/// Why a request cannot be answered in a type that it accepts, or has content that is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unacceptable {
    /// Only types that the registry does not have: 406.
    #[error("HTTP 406 Not Acceptable")]
    Accept,
    /// Content of a type that the registry does not read: 415.
    #[error("HTTP 415 Unsupported Media Type")]
    ContentType,
    /// A header that is no list of media types: 400.
    #[error("Bad Request")]
    Unparseable,
}

/// What the JDK's own client accepts when nobody tells it; most requests come with one of these. They
/// are negotiated to [`DEFAULT`], as a test below holds.
const USUAL: [&str; 4] = [
    "*/*",
    "*/*; q=0.2",
    "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
    "text/html, image/gif, image/jpeg, */*; q=0.2",
];

/// The media type of the answer.
pub fn negotiate(headers: &HeaderMap) -> Result<HeaderValue, Unacceptable> {
    let mut values = headers.get_all(ACCEPT).iter();
    match (values.next(), values.next()) {
        (None, _) => return Ok(DEFAULT),
        (Some(only), None) if USUAL.iter().any(|usual| only == usual) => return Ok(DEFAULT),
        _ => {}
    }
    let mut accepted = String::new();
    for value in headers.get_all(ACCEPT) {
        let text = value.to_str().map_err(|_| Unacceptable::Unparseable)?;
        if !accepted.is_empty() {
            accepted.push(',');
        }
        accepted.push_str(text);
    }
    if matches!(accepted.as_str(), "" | "*/*") {
        return Ok(DEFAULT);
    }
    if let Some((name, _)) = PRODUCED.iter().find(|(name, _)| *name == accepted) {
        return Ok(HeaderValue::from_static(name));
    }
    best(&accepted)
}

fn best(accepted: &str) -> Result<HeaderValue, Unacceptable> {
    let mut best: Option<(f32, f32, String)> = None;
    let mut seen = false;
    for element in accepted.split(',').map(str::trim).filter(|element| !element.is_empty()) {
        seen = true;
        let range = Range::parse(element)?;
        for (name, weight) in PRODUCED {
            let better = best.as_ref().is_none_or(|(quality, ours, _)| (range.quality, weight) > (*quality, *ours));
            if better && range.matches(name) {
                let parameters = if range.is_wild() { "" } else { &range.parameters };
                best = Some((range.quality, weight, format!("{name}{parameters}")));
            }
        }
    }
    match best {
        Some((_, _, name)) => HeaderValue::try_from(name).map_err(|_| Unacceptable::Unparseable),
        None if seen || accepted.trim().is_empty() => {
            if seen {
                Err(Unacceptable::Accept)
            } else {
                Ok(DEFAULT)
            }
        }
        None => Err(Unacceptable::Unparseable),
    }
}

/// Whether the request's content, if it names a type, is one that the registry reads. The header
/// counts on every method, GET included.
pub fn admit(headers: &HeaderMap) -> Result<(), Unacceptable> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().map_err(|_| Unacceptable::Unparseable)?;
    if PRODUCED.iter().any(|(name, _)| *name == text) {
        return Ok(());
    }
    // One whole type, unlike in a list of what is accepted.
    if !text.contains('/') || text.split(';').next().is_some_and(|name| name.contains(',')) {
        return Err(Unacceptable::Unparseable);
    }
    let range = Range::parse(text)?;
    let known = PRODUCED.iter().any(|(name, _)| range.name() == *name) || range.name() == "application/octet-stream";
    if known { Ok(()) } else { Err(Unacceptable::ContentType) }
}

/// The type of a 415: the first entry of Accept that is exactly one of the registry's, else the default.
pub fn of_refusal(headers: &HeaderMap) -> HeaderValue {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let exact = accepted.split(',').map(str::trim).find_map(|entry| PRODUCED.iter().find(|(name, _)| *name == entry));
    exact.map_or(DEFAULT, |(name, _)| HeaderValue::from_static(name))
}

/// What a client accepts before all else; nothing if it takes anything. What cannot be read passes for the default.
pub fn preferred(headers: &HeaderMap) -> Option<HeaderValue> {
    let lists = headers.get_all(ACCEPT).iter().map(|list| list.to_str().unwrap_or("/"));
    let mut first: Option<Range> = None;
    for element in lists.flat_map(|list| list.split(',')).map(str::trim).filter(|element| !element.is_empty()) {
        let Ok(range) = Range::parse(element) else { return Some(DEFAULT) };
        if first.as_ref().is_none_or(|first| range.quality > first.quality) {
            first = Some(range);
        }
    }
    let first = first.filter(|range| range.name() != "*/*")?;
    HeaderValue::try_from(format!("{}{}", first.name(), first.parameters)).ok()
}

/// Names that end like this are of files that need no compression, to the registry's web server.
const COMPRESSED: [&str; 59] = [
    "aif", "aifc", "aiff", "apng", "asf", "asx", "au", "avi", "avif", "bmp", "br", "gif", "gz", "gzip", "ico", "ief",
    "jp2", "jpe", "jpeg", "jpg", "kar", "mid", "midi", "mov", "movie", "mp2", "mp3", "mp4", "mpe", "mpeg", "mpg",
    "mpga", "pbm", "pgm", "png", "pnm", "ppm", "qt", "ra", "ram", "rar", "ras", "rgb", "rm", "rv", "snd", "svgz",
    "tif", "tiff", "wav", "wbmp", "webp", "xbm", "xcf", "xpm", "xwd", "xz", "z", "zip",
];

/// Whether what is asked for has such a name. It is never compressed, and no answer says that it might be: so it is
/// with the configuration of a subject that is called `shop.com.br`.
pub fn is_compressed_by_name(path: &str) -> bool {
    let name = path.rsplit('/').next().and_then(|last| last.split(';').next()).unwrap_or_default();
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    ending.is_some_and(|ending| COMPRESSED.iter().any(|known| known.eq_ignore_ascii_case(ending)))
}

/// One element of an Accept header, or a Content-Type.
struct Range {
    kind: String,
    subtype: String,
    parameters: String,
    quality: f32,
}

impl Range {
    fn parse(element: &str) -> Result<Self, Unacceptable> {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        // The JDK's own default has a lone `*` in it, and any other word alone means all of its kind too.
        let (kind, subtype) = name.split_once('/').unwrap_or((name, "*"));
        let is_token = |text: &str| !text.is_empty() && text.bytes().all(is_token_byte);
        if !is_token(kind) || !is_token(subtype) {
            return Err(Unacceptable::Unparseable);
        }
        let mut range = Self {
            kind: kind.to_ascii_lowercase(),
            subtype: subtype.to_ascii_lowercase(),
            parameters: String::new(),
            quality: 1.0,
        };
        for parameter in parts.filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match key.trim().to_ascii_lowercase().as_str() {
                "q" => {
                    range.quality = quality(value.trim()).ok_or(Unacceptable::Unparseable)?;
                    break;
                }
                _ if value.trim().is_empty() => return Err(Unacceptable::Unparseable),
                "charset" => range.parameters.push_str(&format!(";charset={}", value.trim().to_ascii_lowercase())),
                key => range.parameters.push_str(&format!(";{key}={}", value.trim())),
            }
        }
        Ok(range)
    }

    fn name(&self) -> String {
        format!("{}/{}", self.kind, self.subtype)
    }

    fn is_wild(&self) -> bool {
        self.kind == "*" || self.subtype == "*"
    }

    fn matches(&self, name: &str) -> bool {
        let (kind, subtype) = name.split_once('/').unwrap_or((name, ""));
        (self.kind == "*" || self.kind == kind) && (self.subtype == "*" || self.subtype == subtype)
    }
}

/// A weight, which has at most five characters to the registry, of which the first may be the point.
fn quality(text: &str) -> Option<f32> {
    let is_plain = text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let quality = text.parse().ok().filter(|_| is_plain)?;
    (0.0..=1.0).contains(&quality).then_some(quality)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = PRODUCED[0].0;

    fn answered(accept: &'static str) -> Result<String, Unacceptable> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        negotiate(&headers).map(|value| value.to_str().expect("ASCII").to_owned())
    }

    #[test]
    fn what_is_usual_is_negotiated_to_the_default() {
        for accept in USUAL {
            assert_eq!(best(accept).as_ref(), Ok(&DEFAULT), "{accept}");
        }
    }

    #[test]
    fn the_table_of_wire_0_4_is_answered_as_printed() {
        for (accept, answer) in [
            ("", V1),
            ("*/*", V1),
            ("application/*", V1),
            ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", V1),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", V1),
            ("application/json", "application/json"),
            ("application/json, application/vnd.schemaregistry+json, application/vnd.schemaregistry.v1+json", V1),
            ("application/json, text/plain, */*", V1),
            ("application/json;q=0.1,*/*;q=0.9", V1),
            ("application/json, */*;q=0.5", "application/json"),
            ("application/json; charset=UTF-8", "application/json;charset=utf-8"),
            ("application/json;q=0", "application/json"),
            ("*/*;q=0", V1),
            ("*/json", "application/json"),
            ("Application/JSON", "application/json"),
            ("application/json,", "application/json"),
            ("application", V1),
            ("text, application;q=0.3", V1),
            ("application/json;q=.5", "application/json"),
        ] {
            assert_eq!(answered(accept).as_deref(), Ok(answer), "{accept}");
        }
        for accept in ["text/plain", "application/octet-stream", "application/vnd.schemaregistry.v2+json", "garbage"] {
            assert_eq!(answered(accept), Err(Unacceptable::Accept), "{accept}");
        }
        for accept in [
            "application/",
            "application/json;q=2",
            "*/*;q=x",
            "*/*;q=",
            "*/*;q=+0.5",
            "*/*;q=1e-1",
            "*/*;q=0.1234",
            "garbage;q=2",
            "application/json;charset",
            "application/json;charset=",
            ",",
        ] {
            assert_eq!(answered(accept), Err(Unacceptable::Unparseable), "{accept}");
        }
    }
}
