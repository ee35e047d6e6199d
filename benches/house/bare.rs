//! The ceiling: hyper with one fixed answer of the size and with the fields of ours.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Serves `body` to whoever asks for anything, on a thread of its own that is given back by number.
pub fn serve(body: Bytes) -> (SocketAddr, u32) {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        serve_on(([127, 0, 0, 1], 0).into(), body, None, |address| {
            tell.send((address, super::outpost::thread_id())).expect("someone listens");
        });
    });
    told.recv().expect("the bare server starts")
}

/// The same on this thread, for as long as the process lives.
pub fn serve_on(address: SocketAddr, body: Bytes, tls: Option<TlsAcceptor>, listening: impl FnOnce(SocketAddr)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.expect("a free port");
        listening(listener.local_addr().expect("bound"));
        accept(listener, body, tls).await;
    });
}

async fn accept(listener: TcpListener, body: Bytes, tls: Option<TlsAcceptor>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        socket.set_nodelay(true).expect("a TCP socket");
        let body = body.clone();
        match tls.clone() {
            None => drop(tokio::spawn(answer(socket, body))),
            Some(tls) => drop(tokio::spawn(async move {
                if let Ok(stream) = tls.accept(socket).await {
                    answer(stream, body).await;
                }
            })),
        }
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, body: Bytes) {
    let service = service_fn(move |_: Request<Incoming>| {
        let answer = fixed(body.clone());
        async move { Ok::<_, Infallible>(answer) }
    });
    // How a connection ends is the client's business.
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

fn fixed(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    let media = HeaderValue::from_static("application/vnd.schemaregistry.v1+json");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}
