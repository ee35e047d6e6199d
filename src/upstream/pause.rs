//! How long the other registry wants us to hold still.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

// A registry that says "in a year" has a fault, and would stop the importer for good.
const LONGEST: Duration = Duration::from_secs(60);
const UNTOLD: Duration = Duration::from_secs(1);

/// The pause that an answer asks for, if it asks for one.
pub(super) fn asked_for(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    match status {
        StatusCode::TOO_MANY_REQUESTS => Some(retry_after(headers).unwrap_or(UNTOLD)),
        StatusCode::SERVICE_UNAVAILABLE => retry_after(headers),
        _ => None,
    }
}

/// `Retry-After` in seconds or as a date; nonsense is as good as none, and everything has its limits.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Some(negative) = text.strip_prefix('-') {
        return is_number(negative).then_some(Duration::ZERO);
    }
    let pause = if is_number(text) {
        // What does not fit into a number is certainly more than the longest.
        text.parse().map_or(LONGEST, Duration::from_secs)
    } else {
        let until = date(text)?;
        // Against the answer's own clock where it shows one, so that ours may be wrong.
        let now = headers.get(header::DATE).and_then(|value| date(value.to_str().ok()?));
        let wait = until.as_second().saturating_sub(now.unwrap_or_else(Timestamp::now).as_second());
        Duration::from_secs(u64::try_from(wait).unwrap_or(0))
    };
    Some(pause.min(LONGEST))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_retry_after_is_understood_or_ignored() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (value, seconds) in [
            ("3", Some(3)),
            (" 3 ", Some(3)),
            ("0", Some(0)),
            ("-1", Some(0)),
            ("1000000000", Some(60)),
            ("99999999999999999999999999", Some(60)),
            ("Sun, 06 Nov 1994 08:49:44 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", Some(0)),
            ("Sun, 06 Nov 2094 08:49:37 GMT", Some(60)),
            ("soon", None),
            ("", None),
            ("-", None),
            ("1.5", None),
        ] {
            let headers = HeaderMap::from_iter([
                (header::RETRY_AFTER, value.parse().expect("a header")),
                (header::DATE, date.parse().expect("a header")),
            ]);
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(asked_for(StatusCode::SERVICE_UNAVAILABLE, &headers), expected, "{value:?}");
            let limited = asked_for(StatusCode::TOO_MANY_REQUESTS, &headers);
            assert_eq!(limited, expected.or(Some(UNTOLD)), "{value:?}");
            assert_eq!(asked_for(StatusCode::OK, &headers), None);
        }
    }
}
