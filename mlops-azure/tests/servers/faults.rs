//! A transport that loses answers on request.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mlops_azure::http::{
    HttpFault, HttpRequest, HttpResponse, HttpTransport, ReqwestConfig, ReqwestTransport, Stage,
};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is sent, and its answer comes back.
    Pass,
    /// It is sent, and its answer is lost.
    Lost,
    /// It is sent, and no answer ever comes.
    Silence,
    /// It is not sent, and no answer ever comes.
    Void,
}

type Plan = Box<dyn Fn(&HttpRequest, usize) -> Fate + Send + Sync>;

/// Sends requests, and does with each what the plan says.
pub struct Faulty {
    inner: ReqwestTransport,
    plan: Plan,
    /// How many requests met another fate than to pass.
    pub struck: AtomicUsize,
}

impl Faulty {
    /// The plan is given a request, and how many others did not pass before.
    pub fn new(plan: impl Fn(&HttpRequest, usize) -> Fate + Send + Sync + 'static) -> Arc<Self> {
        let inner = ReqwestTransport::new(&ReqwestConfig::default()).unwrap();
        Arc::new(Self { inner, plan: Box::new(plan), struck: AtomicUsize::new(0) })
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty { .. }")
    }
}

#[async_trait]
impl HttpTransport for Faulty {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        let fate = (self.plan)(&request, self.struck.load(Ordering::SeqCst));
        if fate != Fate::Pass {
            self.struck.fetch_add(1, Ordering::SeqCst);
        }
        if fate == Fate::Void {
            std::future::pending::<()>().await;
        }
        let answer = self.inner.send(request).await;
        match fate {
            Fate::Pass => answer,
            Fate::Silence | Fate::Void => std::future::pending().await,
            Fate::Lost => {
                // The body is read, so that the server has done all of it.
                answer?.body.collect(1 << 20).await.unwrap();
                Err(HttpFault::new(Stage::Answer, false, std::io::Error::other("the answer was lost")))
            }
        }
    }
}
