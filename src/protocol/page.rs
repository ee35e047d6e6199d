//! The pages with which the registry's web server refuses a target before the registry sees it (WIRE.md § 0.6, § 0.7).
//!
//! It refuses paths that two readers may read in two ways: empty segments, dots in disguise, characters that
//! no path may have. What it says depends on Accept alone, and to the registry's own media types it says nothing.

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::target::{self, Ambiguity};

/// A page: always 400, never to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its type; an empty page has none.
    pub media: Option<HeaderValue>,
    /// Its text.
    pub body: Vec<u8>,
}

/// What every page of the web server says about keeping it.
pub const NEVER_KEPT: (HeaderName, HeaderValue) =
    (CACHE_CONTROL, HeaderValue::from_static("must-revalidate,no-cache,no-store"));

impl Page {
    /// The page about an ambiguous path.
    pub fn of_ambiguous(method: &Method, url: &str, path: &str, headers: &HeaderMap) -> Self {
        let found: Vec<&str> = target::ambiguities(path).into_iter().map(message).collect();
        Self::saying(&found.join(", "), method, url, headers)
    }

    /// The page that says `message`, if the client takes one.
    pub fn saying(message: &str, method: &Method, url: &str, headers: &HeaderMap) -> Self {
        let has_pages = matches!(*method, Method::GET | Method::POST | Method::HEAD);
        match form(headers).filter(|_| has_pages) {
            None => Self { media: None, body: Vec::new() },
            Some(Form::Html) => Self::html(message, url),
            Some(Form::Plain) => {
                let text =
                    format!("HTTP ERROR 400 {}\nURI: {url}\nSTATUS: 400\nMESSAGE: {message}\n", escaped(message));
                Self { media: Some(HeaderValue::from_static("text/plain;charset=iso-8859-1")), body: latin(&text) }
            }
            Some(Form::Json(media)) => {
                let member =
                    |name: &str, value: &str| format!("\"{name}\":\"{}\"", escaped(value).replace('\\', "\\\\"));
                let members = [member("message", message), member("url", url), member("status", "400")];
                let body = format!("{{\n{}\n}}", members.join(",\n"));
                Self { media: Some(HeaderValue::from_static(media)), body: body.into_bytes() }
            }
        }
    }

    /// The page for browsers, which is also what those are sent whose request is no HTTP.
    pub fn html(message: &str, url: &str) -> Self {
        let (message, url) = (escaped(message), escaped(url));
        let text = format!(
            "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html;charset=ISO-8859-1\"/>\n\
             <title>Error 400 {message}</title>\n</head>\n<body>\n<h2>HTTP ERROR 400 {message}</h2>\n<table>\n\
             <tr><th>URI:</th><td>{url}</td></tr>\n<tr><th>STATUS:</th><td>400</td></tr>\n\
             <tr><th>MESSAGE:</th><td>{message}</td></tr>\n</table>\n\n</body>\n</html>\n"
        );
        Self { media: Some(HeaderValue::from_static("text/html;charset=iso-8859-1")), body: latin(&text) }
    }

    /// The headers that describe it.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        [NEVER_KEPT].into_iter().chain(self.media.clone().map(|media| (CONTENT_TYPE, media)))
    }
}

/// The URL as the web server puts it together from a target and the host that the client named.
pub fn url(is_tls: bool, target: &Uri, headers: &HeaderMap) -> String {
    if target.scheme().is_some() {
        return target.to_string();
    }
    let (scheme, usual_port) = if is_tls { ("https", ":443") } else { ("http", ":80") };
    let host = headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes())).unwrap_or_default();
    let host = host.strip_suffix(usual_port).unwrap_or(&host);
    let path_and_query = target.path_and_query().map_or("", |target| target.as_str());
    format!("{scheme}://{host}{path_and_query}")
}

fn message(ambiguity: Ambiguity) -> &'static str {
    match ambiguity {
        Ambiguity::DotSegment => "Ambiguous URI path segment",
        Ambiguity::EmptySegment => "Ambiguous URI empty segment",
        Ambiguity::DotParameter => "Ambiguous URI path parameter",
        Ambiguity::Suspicious => "Suspicious Path Character",
        Ambiguity::Illegal => "Illegal Path Character",
    }
}

/// The forms that the web server has pages in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Html,
    Plain,
    Json(&'static str),
}

/// Whether Accept, if there is one, lists anything at all that has a weight.
pub fn accepts_anything(headers: &HeaderMap) -> bool {
    !headers.contains_key(ACCEPT) || !accepted(headers).is_empty()
}

fn form(headers: &HeaderMap) -> Option<Form> {
    if !headers.contains_key(ACCEPT) {
        return Some(Form::Html);
    }
    accepted(headers).into_iter().find_map(|range| match range.as_str() {
        "text/html" | "text/*" | "*/*" => Some(Form::Html),
        "text/plain" => Some(Form::Plain),
        "application/json" => Some(Form::Json("application/json")),
        "text/json" => Some(Form::Json("text/json")),
        _ => None,
    })
}

/// What is accepted, the best first: by weight, then by how narrow it is, then as listed. An element whose
/// weight is zero or no number is left out.
fn accepted(headers: &HeaderMap) -> Vec<String> {
    let lists = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut found: Vec<(f64, u8, String)> = Vec::new();
    for element in lists.flat_map(|list| list.split(',')) {
        let mut weight = 1.0;
        let mut range = String::new();
        for part in element.split(';').map(str::trim) {
            match part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")) {
                Some(text) => weight = text.trim().parse().unwrap_or(0.0),
                None if range.is_empty() => range.push_str(part),
                None => range.extend([";", part]),
            }
        }
        let narrowness = match range.as_str() {
            "*/*" => 0,
            range if range.ends_with("/*") => 1,
            range if !range.contains(';') => 2,
            _ => 3,
        };
        if !range.is_empty() && weight > 0.0 {
            found.push((weight, narrowness, range));
        }
    }
    found.sort_by(|(left, narrow_left, _), (right, narrow_right, _)| {
        right.total_cmp(left).then(narrow_right.cmp(narrow_left))
    });
    found.into_iter().map(|(.., range)| range).collect()
}

/// What a page may show of a text: no markup, and no control characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            control if control.is_control() && !control.is_whitespace() => out.push('?'),
            other => out.push(other),
        }
    }
    out
}

/// The text in ISO 8859-1, with a question mark for what that does not have.
fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://127.0.0.1:8081//subjects";

    fn page(accept: Option<&'static str>, method: &Method) -> (Option<String>, String) {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        let page = Page::of_ambiguous(method, URL, "//subjects", &headers);
        let media = page.media.map(|media| media.to_str().expect("ASCII").to_owned());
        (media, String::from_utf8(page.body).expect("UTF-8"))
    }

    #[test]
    fn the_registrys_own_media_types_are_answered_with_nothing() {
        for accept in [
            "application/vnd.schemaregistry.v1+json",
            "application/vnd.schemaregistry.v1+json, application/vnd.schemaregistry+json",
            "image/gif",
            "application/json;charset=utf-8",
            "application/json;q=0",
            "text/html;q=x",
            "",
        ] {
            assert_eq!(page(Some(accept), &Method::GET), (None, String::new()), "{accept}");
        }
        for method in [Method::PUT, Method::DELETE, Method::OPTIONS] {
            assert_eq!(page(None, &method), (None, String::new()), "{method}");
        }
    }

    #[test]
    fn browsers_and_those_who_take_anything_get_html() {
        let (media, body) = page(None, &Method::GET);
        assert_eq!(media.as_deref(), Some("text/html;charset=iso-8859-1"));
        let expected = "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html;charset=ISO-8859-1\"/>\n<title>Error 400 Ambiguous URI empty segment</title>\n</head>\n<body>\n<h2>HTTP ERROR 400 Ambiguous URI empty segment</h2>\n<table>\n<tr><th>URI:</th><td>http://127.0.0.1:8081//subjects</td></tr>\n<tr><th>STATUS:</th><td>400</td></tr>\n<tr><th>MESSAGE:</th><td>Ambiguous URI empty segment</td></tr>\n</table>\n\n</body>\n</html>\n";
        assert_eq!(body, expected);
        for accept in ["*/*", "text/html", "text/*", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"] {
            assert_eq!(page(Some(accept), &Method::POST).1, expected, "{accept}");
        }
    }

    /// As WIRE.md § 0.6 prints it.
    #[test]
    fn json_and_text_have_forms_of_their_own() {
        let json = "{\n\"message\":\"Ambiguous URI empty segment\",\n\"url\":\"http://127.0.0.1:8081//subjects\",\n\"status\":\"400\"\n}";
        let given = |media: &str, body: &str| (Some(media.to_owned()), body.to_owned());
        assert_eq!(page(Some("application/json"), &Method::GET), given("application/json", json));
        assert_eq!(page(Some("text/json"), &Method::GET), given("text/json", json));
        assert_eq!(page(Some("*/*;q=0.5, application/json"), &Method::GET).1, json);
        let text = "HTTP ERROR 400 Ambiguous URI empty segment\nURI: http://127.0.0.1:8081//subjects\nSTATUS: 400\nMESSAGE: Ambiguous URI empty segment\n";
        assert_eq!(page(Some("text/plain"), &Method::GET), given("text/plain;charset=iso-8859-1", text));
    }

    #[test]
    fn a_page_shows_a_target_without_its_markup() {
        let page = Page::saying("Illegal Path Character", &Method::GET, "http://h/<é🛒&\"'>", &HeaderMap::new());
        let at = b"<td>http://h/&lt;\xe9?&amp;&quot;&apos;&gt;</td>";
        assert!(page.body.windows(at.len()).any(|part| part == at), "{}", String::from_utf8_lossy(&page.body));
    }

    #[test]
    fn the_url_is_put_together_from_the_host_that_was_named() {
        let url = |is_tls, target: &str, host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            url(is_tls, &target.parse().expect("a target"), &headers)
        };
        assert_eq!(url(false, "//subjects?a=b", "127.0.0.1:8081"), URL.to_owned() + "?a=b");
        assert_eq!(url(true, "/%2e", "sr:443"), "https://sr/%2e");
        assert_eq!(url(false, "/%2e", "sr:443"), "http://sr:443/%2e");
        assert_eq!(url(false, "http://other/x//y", "sr"), "http://other/x//y");
    }
}
