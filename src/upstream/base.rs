//! A base URL, and how paths are put behind it.

use http::Uri;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};

use super::failure::SetupError;

/// Scheme, host and leading path of one way to the other registry.
#[derive(Clone, Debug)]
pub(super) struct Base {
    scheme: Scheme,
    authority: Authority,
    path: String,
    text: String,
}

impl Base {
    /// Understands a base URL from the settings.
    pub(super) fn parse(text: &str) -> Result<Self, SetupError> {
        let wrong = |what| SetupError::Url { url: without_secrets(text), what };
        let uri: Uri = text.trim().parse().map_err(|_| wrong("is not a URL"))?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(wrong("is not of the form https://host/path"));
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(wrong("is neither https nor http"));
        }
        if authority.as_str().contains('@') {
            return Err(wrong("carries a user or password; put them under credentials"));
        }
        if authority.host().is_empty() {
            return Err(wrong("names no host"));
        }
        let path_and_query = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        if path_and_query.query().is_some() || text.contains('#') {
            return Err(wrong("carries a query or a fragment"));
        }
        let path = path_and_query.path().trim_end_matches('/').to_owned();
        let text = format!("{scheme}://{authority}{path}");
        Ok(Self { scheme, authority, path, text })
    }

    /// Puts a raw path and query behind the base, byte for byte; nothing if that is no URL.
    pub(super) fn join(&self, path_and_query: &str) -> Option<Uri> {
        // The parser would drop a fragment without a word, and with it a part of a name.
        if !path_and_query.starts_with('/') || path_and_query.contains('#') {
            return None;
        }
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(PathAndQuery::try_from(format!("{}{path_and_query}", self.path)).ok()?);
        Uri::from_parts(parts).ok()
    }

    /// Whether what is sent there can be read on the way.
    pub(super) fn is_plain(&self) -> bool {
        self.scheme == Scheme::HTTP
    }

    /// The base as it was written, but for a slash at the end.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

/// A URL for the eye: without user, password, query and fragment, which may be secrets.
pub fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    // The last one, as a password that was not encoded may hold some, and slashes and question marks too.
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let divider = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{divider}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_put_behind_the_base_byte_for_byte() {
        for (base, path, joined) in [
            ("http://h/apis/ccompat/v7", "/subjects/a%2Fb?x=1", "http://h/apis/ccompat/v7/subjects/a%2Fb?x=1"),
            ("https://h:8443/", "/subjects/a%2fb%zz//..?x=%41&", "https://h:8443/subjects/a%2fb%zz//..?x=%41&"),
            ("http://[::1]:80/v7/", "/", "http://[::1]:80/v7/"),
            ("http://h", "//evil/x", "http://h//evil/x"),
        ] {
            let uri = Base::parse(base).expect("a base").join(path).expect("joined");
            assert_eq!(uri.to_string(), joined);
        }
        let base = Base::parse("http://h").expect("a base");
        for path in ["", "*", "subjects", "http://evil/", "/a#b", "/a b", "/a\r\nb"] {
            assert!(base.join(path).is_none(), "{path:?}");
        }
    }

    #[test]
    fn a_base_that_cannot_be_called_is_refused_without_its_secrets() {
        for wrong in [
            "",
            "host",
            "host:8081",
            "ftp://host",
            "https://key:TOPSECRET@host/x",
            "https://host/?token=TOPSECRET",
            "https://",
            "https://host/#TOPSECRET",
        ] {
            let error = Base::parse(wrong).expect_err(wrong).to_string();
            assert!(!error.contains("TOPSECRET"), "{error}");
        }
        for (url, shown) in [
            ("https://key:T/O?P#@S@host/x?y#z", "https://host/x"),
            ("https://host/x", "https://host/x"),
            ("key:TOPSECRET@host", "host"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }
}
