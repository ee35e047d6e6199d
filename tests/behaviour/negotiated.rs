//! Whoever makes an answer, it is negotiated and framed as the registry's own: each is held to what the registry says
//! to the same request when it is asked directly.

use crate::alike::{Answer, Varying, difference};
use crate::house::{House, send};

type Fields<'a> = &'a [(&'a str, &'a str)];

/// What of an answer is not the registry's, at first or once more.
async fn differs(house: &House, method: &str, target: &str, fields: Fields<'_>) -> Option<String> {
    let is_head = method == "HEAD";
    let theirs = Answer::heard(&send(house.primary.address(), method, target, fields, None).await, is_head);
    for _ in 0..2 {
        let ours = Answer::heard(&send(house.address(), method, target, fields, None).await, is_head);
        if let Some(found) = difference(&theirs, &ours, &Varying::default(), None) {
            return Some(format!("{method} {target} {fields:?}: {found}"));
        }
    }
    None
}

#[tokio::test]
async fn head_tells_the_length_of_a_refusal_whoever_refuses() {
    let house = House::open().await;
    assert_eq!(house.register("s", "1").await.status, 200);
    let json = ("Accept", "application/json");
    for (target, fields) in [
        ("/subjects/s", &[json][..]),
        ("/contexts/.c", &[]),
        ("/contexts/a:b/subjects", &[]),
        ("/schemas/ids/abc", &[json]),
        ("/subjects?offset=-1", &[json]),
        ("/subjects?limit=x", &[]),
        ("/subjects", &[("Accept", "text/plain")]),
        ("/subjects", &[json, ("Content-Type", "text/plain")]),
        ("/subjects/nosuch/versions", &[json]),
        ("/nosuch", &[]),
    ] {
        assert_eq!(differs(&house, "HEAD", target, fields).await, None);
    }
}
