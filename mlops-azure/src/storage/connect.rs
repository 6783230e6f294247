//! This crate's transport under `object_store`.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream as _;
use http_body::{Body, Frame};
use mlops_core::ErrorKind;
use mlops_core::artifact::ByteStream;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequestBody, HttpResponseBody, HttpService,
};
use reqwest::{StatusCode, Url};

use crate::http::{HttpBody, HttpFault, HttpRequest, HttpTransport, Stage};

/// Gives `object_store` this crate's transport: its deadlines, its proxies, no redirects, and stand-ins in tests. What is
/// tried again is `object_store`'s own matter there.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    pub transport: Arc<dyn HttpTransport>,
    pub timeout: Duration,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(
        &self,
        request: object_store::client::HttpRequest,
    ) -> Result<object_store::client::HttpResponse, HttpError> {
        let request = outgoing(request, self.timeout)?;
        let response = self.transport.send(request).await.map_err(fault)?;
        let body = HttpResponseBody::new(Pieces(Mutex::new(response.body)));
        let mut answer = object_store::client::HttpResponse::new(body);
        let status = |e| HttpError::new(HttpErrorKind::Decode, e);
        *answer.status_mut() = StatusCode::from_u16(response.status).map_err(status)?;
        *answer.headers_mut() = response.headers;
        Ok(answer)
    }
}

/// A request of `object_store` as one of this crate. What is secret in its headers is marked so.
pub(super) fn outgoing(
    request: object_store::client::HttpRequest,
    timeout: Duration,
) -> Result<HttpRequest, HttpError> {
    let (head, body) = request.into_parts();
    let url = Url::parse(&head.uri.to_string()).map_err(|e| HttpError::new(HttpErrorKind::Unknown, e))?;
    let mut sent = HttpRequest::new(head.method, url);
    sent.headers = head.headers;
    if let Some(value) = sent.headers.get_mut("authorization") {
        value.set_sensitive(true);
    }
    sent.body = body_of(body);
    sent.timeout = timeout;
    Ok(sent)
}

fn body_of(body: HttpRequestBody) -> HttpBody {
    if let Some(bytes) = body.as_bytes() {
        return if bytes.is_empty() { HttpBody::Empty } else { HttpBody::Bytes(bytes.clone()) };
    }
    // Several pieces in memory: a stream of them, which knows its length.
    let length = body.content_length() as u64;
    let pieces = futures_util::stream::unfold(body, |mut body| async move {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await?;
        let piece = frame.ok()?.into_data().ok()?;
        Some((Ok(piece), body))
    });
    HttpBody::Stream(ByteStream::new(pieces), Some(length))
}

fn fault(fault: HttpFault) -> HttpError {
    let kind = match (fault.stage, fault.timeout) {
        (Stage::Request, _) => HttpErrorKind::Unknown,
        (Stage::Connect, _) => HttpErrorKind::Connect,
        (Stage::Answer, true) => HttpErrorKind::Timeout,
        (Stage::Answer, false) => HttpErrorKind::Interrupted,
    };
    HttpError::new(kind, fault)
}

/// The body of an answer as `object_store` reads it. A lock, because it wants to share what can only be read by one.
struct Pieces(Mutex<ByteStream>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let stream = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        Pin::new(stream).poll_next(cx).map(|piece| {
            piece.map(|piece| {
                piece.map(Frame::data).map_err(|error| {
                    let kind = match error.kind() {
                        ErrorKind::Timeout => HttpErrorKind::Timeout,
                        ErrorKind::Transport => HttpErrorKind::Interrupted,
                        _ => HttpErrorKind::Unknown,
                    };
                    HttpError::new(kind, error)
                })
            })
        })
    }
}
