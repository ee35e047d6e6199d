//! The same over TLS, with certificates that are not what they should be, and through a proxy.

use super::peer::Authority;
use super::*;

fn trusting(authority: &Authority, port: u16, surroundings: Surroundings) -> Registry {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("written");
    let mut config = config(&[format!("https://registry.example:{port}")]);
    config.allow_plain_http = false;
    config.tls.ca = Some(ca);
    let resolver = Arc::new(move |_: String, port| {
        Box::pin(async move { Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]) })
            as futures_util::future::BoxFuture<'static, _>
    });
    Registry::within(&config, "primary", Surroundings { resolver, ..surroundings }).expect("usable")
}

#[tokio::test]
async fn only_a_certificate_of_a_trusted_authority_for_this_name_and_day_gets_the_key() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let name = "registry.example";
    for (certificate, reason) in [
        (ours.issue(name, 2020, 2100), None),
        (ours.issue(name, 2020, 2021), Some("Expired")),
        (ours.issue(name, 2090, 2100), Some("NotValidYet")),
        (ours.issue("other.example", 2020, 2100), Some("NotValidForName")),
        (theirs.issue(name, 2020, 2100), Some("UnknownIssuer")),
        (ours.deputy().issue(name, 2020, 2100), Some("UnknownIssuer")),
        (Authority::self_signed(name), Some("UnknownIssuer")),
    ] {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let peer = Peer::start_at(address, Some(certificate), |_, _| Act::Answer(answer(200, "{}"))).await;
        let registry = trusting(&ours, peer.address.port(), surroundings());
        let result = registry.send(write("/subjects/a/versions", "{}")).await;
        let Some(reason) = reason else {
            result.expect("trusted");
            continue;
        };
        let failure = result.expect_err("not trusted");
        let said = failure.chain().to_lowercase().replace([' ', '_'], "");
        assert!(said.contains(&reason.to_lowercase()), "{reason}: {said}");
        assert_eq!(failed(Err(failure)), (FailureKind::Tls, Sent::No), "{reason}");
        assert!(peer.seen().is_empty(), "not a byte of the request came through");
        assert!(peer.connections.load(Ordering::SeqCst) > 0);
    }
}

#[tokio::test]
async fn a_proxy_carries_what_it_cannot_read() {
    let ours = Authority::new("ours");
    let certificate = ours.issue("registry.example", 2020, 2100);
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let peer = Peer::start_at(address, Some(certificate), |_, _| Act::Answer(answer(200, "{}"))).await;
    let target = peer.address;
    let proxy = Peer::start(move |_, _| Act::Tunnel(target)).await;
    let matcher = |no: &str| {
        let url = proxy.url().replace("http://", "http://me:pass@");
        Arc::new(Matcher::builder().all(url).no(no).build())
    };
    let through = Surroundings { proxies: matcher("elsewhere.example"), ..surroundings() };
    trusting(&ours, target.port(), through).send(read("/subjects")).await.expect("through the proxy");
    let seen = proxy.seen();
    let connect = format!("CONNECT registry.example:{} HTTP/1.1\r\n", target.port());
    assert!(seen.len() == 1 && seen[0].starts_with(&connect), "{seen:?}");
    assert!(seen[0].contains("Proxy-Authorization: Basic bWU6cGFzcw==") && !seen[0].contains("TOPSECRET"));
    assert_eq!(peer.seen().len(), 1);

    let past = Surroundings { proxies: matcher("registry.example"), ..surroundings() };
    trusting(&ours, target.port(), past).send(read("/subjects")).await.expect("past the proxy");
    assert_eq!(proxy.seen().len(), 1);

    for refusal in [head(407, "Content-Length: 0"), head(503, "Content-Length: 0"), "nonsense\r\n\r\n".to_owned()] {
        let proxy = Peer::start(move |_, _| Act::Last(refusal.clone())).await;
        let proxies = Matcher::builder().all(proxy.url()).build();
        let refused = Surroundings { proxies: Arc::new(proxies), ..surroundings() };
        let result = trusting(&ours, target.port(), refused).send(write("/subjects/a/versions", "{}")).await;
        assert_eq!(failed(result), (FailureKind::Connect, Sent::No));
    }
    assert_eq!(peer.seen().len(), 2);
}
