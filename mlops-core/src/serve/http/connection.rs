//! One connection, and how long it may take.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Release},
};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::Limits;
use super::app::App;

/// The longest headers of a request, all together, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// The most headers of a request.
const MAX_HEADERS: usize = 100;

/// What is answered when the headers do not come to an end.
const HEAD_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\ncontent-length: 96\r\n\
    connection: close\r\n\r\n{\"error\":{\"code\":\"request_timeout\",\"message\":\"the headers did not come to an end\",\"details\":{}}}";

/// What is answered beyond the most connections.
pub(super) const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    content-length: 86\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
    {\"error\":{\"code\":\"overloaded\",\"message\":\"too many connections are open\",\"details\":{}}}";

/// What the requests on a connection tell the one who watches it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Even while a request is waited for, odd while one is answered.
    step: AtomicU64,
    /// The rest of a request was not read: its sender is still writing, and must be heard out to hear the answer.
    unread: AtomicBool,
}

impl Progress {
    fn begin(&self) {
        self.step.fetch_add(1, Release);
    }

    fn end(&self) {
        self.step.fetch_add(1, Release);
    }

    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Release);
    }
}

/// A socket that ends when nothing comes, when headers come too slowly, and when nothing can be sent.
struct Watched {
    stream: TcpStream,
    progress: Arc<Progress>,
    limits: Arc<Limits>,
    draining: watch::Receiver<bool>,
    /// The wait for a request that is timed: its step, when it ends, and whether the first byte was there.
    step: u64,
    until: Instant,
    begun: bool,
    timer: Pin<Box<Sleep>>,
    /// When a write that could not go on is given up.
    writing: Option<Pin<Box<Sleep>>>,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    fn new(
        stream: TcpStream,
        progress: Arc<Progress>,
        limits: Arc<Limits>,
        draining: watch::Receiver<bool>,
    ) -> Self {
        let until = Instant::now() + limits.idle_timeout;
        let timer = Box::pin(tokio::time::sleep_until(until));
        Self {
            stream,
            progress,
            limits,
            draining,
            step: 0,
            until,
            begun: false,
            timer,
            writing: None,
            lingering: None,
        }
    }

    /// Notes that a request began to come.
    fn received(&mut self) {
        let step = self.progress.step.load(Acquire);
        if step.is_multiple_of(2) && !(self.begun && self.step == step) {
            (self.step, self.begun) = (step, true);
            self.until = Instant::now() + self.limits.header_timeout;
        }
    }

    /// Nothing came: whether it has been too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let step = self.progress.step.load(Acquire);
        if step % 2 == 1 {
            return Poll::Pending;
        }
        if step != self.step {
            (self.step, self.begun) = (step, false);
            self.until = Instant::now() + self.limits.idle_timeout;
        }
        if !self.begun && *self.draining.borrow() {
            self.until = self.until.min(Instant::now() + self.limits.drain_grace);
        }
        if self.timer.deadline() != self.until {
            let until = self.until;
            self.timer.as_mut().reset(until);
        }
        ready!(self.timer.as_mut().poll(cx));
        if !self.begun {
            // As if the other side had closed: nobody waits for an answer.
            return Poll::Ready(Ok(()));
        }
        // If it cannot be said now, it is not said.
        let _sent = self.stream.try_write(HEAD_TIMEOUT);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        const LINGER: Duration = Duration::from_secs(5);
        let timer = self.lingering.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        if timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        // What was not wanted is thrown away piece by piece.
        let mut scratch = [0; 16 * 1024];
        for _ in 0..64 {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending => self.poll_patience(cx),
            done => {
                if buf.filled().len() > before {
                    self.received();
                }
                done
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(done) = Pin::new(&mut self.stream).poll_write(cx, bytes) {
            self.writing = None;
            return Poll::Ready(done);
        }
        let limit = self.limits.write_timeout;
        let timer = self.writing.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        if !self.progress.unread.load(Acquire) {
            return Poll::Ready(Ok(()));
        }
        self.poll_linger(cx)
    }
}

/// Serves one connection until its end. Once the server stops, answers ask for the connection to be closed, and one on which
/// nothing comes ends after a moment.
pub(super) async fn serve(
    app: Arc<App>,
    router: Router,
    stream: TcpStream,
    local: SocketAddr,
    mut draining: watch::Receiver<bool>,
) {
    // A connection on which nothing has come yet needs no memory for requests.
    if has_begun(&stream, &app.limits, &mut draining).await {
        Box::pin(answer(app, router, stream, local, draining)).await;
    }
}

/// Waits for the first byte; false when none came in time, or ever will.
async fn has_begun(stream: &TcpStream, limits: &Limits, draining: &mut watch::Receiver<bool>) -> bool {
    let mut until = Instant::now() + limits.idle_timeout;
    if *draining.borrow_and_update() {
        until = until.min(Instant::now() + limits.drain_grace);
    }
    let mut first = [0; 1];
    loop {
        tokio::select! {
            // That a socket says it can be read is no promise; that there is a byte is.
            seen = tokio::time::timeout_at(until, stream.peek(&mut first)) => return matches!(seen, Ok(Ok(1))),
            Ok(()) = draining.changed() => until = until.min(Instant::now() + limits.drain_grace),
        }
    }
}

async fn answer(
    app: Arc<App>,
    router: Router,
    stream: TcpStream,
    local: SocketAddr,
    mut draining: watch::Receiver<bool>,
) {
    // Without it a small answer may wait for the acknowledgement of the one before.
    let _unset = stream.set_nodelay(true);
    let progress = Arc::new(Progress::default());
    let io = Watched::new(stream, progress.clone(), app.limits.clone(), draining.clone());
    let service = service_fn(|request| {
        progress.begin();
        let answer = app.clone().dispatch(router.clone(), request, progress.clone(), local);
        let progress = progress.clone();
        // In a box of its own: between requests there is none.
        Box::pin(async move {
            let answer = answer.await;
            progress.end();
            Ok::<_, std::convert::Infallible>(answer)
        })
    });
    let mut builder = http1::Builder::new();
    // Times are kept by the socket.
    builder.header_read_timeout(None).max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    loop {
        tokio::select! {
            // A connection that ends badly has nobody left to tell.
            _ended = connection.as_mut() => return,
            // It is asked again, and sees that the server stops.
            Ok(()) = draining.changed() => {}
        }
    }
}
