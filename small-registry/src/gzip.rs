//! Gzip without compressing: the container and its checksum are real, the blocks inside are stored as they are.
//!
//! Which answers are encoded is the registry's rule (WIRE.md § 0.2); how small they get is nobody's.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};

use bytes::Bytes;
use schema_outpost::protocol::media::is_compressed_by_name;

use crate::seen::Seen;

/// Bodies below this many bytes are left alone.
const SMALLEST: usize = 32;

/// Encodes an answer if the request offers gzip and the answer is of the kind that is encoded.
pub(crate) fn encode(asked: &Seen, mut response: Response<Bytes>) -> Response<Bytes> {
    let status = response.status();
    let is_encoded = status.is_success() && !matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT);
    let is_method = matches!(asked.method, Method::GET | Method::POST) && !is_compressed_by_name(asked.path());
    if !is_encoded || !is_method || response.body().len() < SMALLEST || !is_offered(&asked.headers) {
        return response;
    }
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let body = Bytes::from(gzip(response.body()));
    *response.body_mut() = body;
    response
}

/// `gzip` in any case and with any weight but none; neither a wildcard nor `x-gzip`.
fn is_offered(asked: &HeaderMap) -> bool {
    let values = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|element| {
        let mut parts = element.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        is_gzip && !parts.any(|part| part == "q=0")
    })
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let last = plain.len().div_ceil(0xffff).saturating_sub(1);
    for (index, block) in plain.chunks(0xffff).enumerate() {
        let length = u16::try_from(block.len()).expect("BUG: a chunk is at most 65535 bytes long");
        out.push(u8::from(index == last));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&checksum(plain).to_le_bytes());
    out.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    out
}

fn checksum(plain: &[u8]) -> u32 {
    !plain.iter().fold(u32::MAX, |sum, byte| {
        let mixed = sum ^ u32::from(*byte);
        (0..8).fold(mixed, |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_gzip() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_body_of_several_blocks_ends_with_the_last_of_them() {
        let plain = vec![7; 70_000];
        let out = gzip(&plain);
        assert_eq!(out[10..15], [0, 0xff, 0xff, 0, 0]);
        assert_eq!(out[15 + 0xffff], 1);
        assert_eq!(out.len(), 10 + 5 + 0xffff + 5 + (70_000 - 0xffff) + 8);
    }
}
