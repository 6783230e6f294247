//! HTTP as something handed in: one trait that sends a request, one transport that does it with `reqwest`, and the policy
//! that decides what may be sent again.
//!
//! | module | what it holds |
//! |---|---|
//! | [`transport`] | [`HttpTransport`], requests and responses with bodies in memory or in a stream |
//! | [`call`] | [`Call`]: a call as data, with the type of its answer |
//! | [`client`] | [`ReqwestTransport`]: no redirects, no referer, no decompression, always a deadline |
//! | [`guard`] | where a token may go: over `https`, and to the host that it is for |
//! | [`hosts`] | [`StorageHosts`]: to which hosts content goes at addresses that an answer holds |
//! | [`limits`] | [`RateLimits`]: what Resource Manager says is left |
//! | [`operation`] | [`Operation`]: what takes longer than a request, with progress, deadline, cancellation and resumption |
//! | [`page`] | [`Page`]: lists that come in pages |
//! | [`redact`] | text from outside without secrets |
//! | [`retry`] | [`RetryPolicy`]: what is tried again, after how long, and what is not |
//! | [`service`] | [`Service`]: all of it together, for one of Azure's services |
//! | [`wait`] | how long a peer asks to wait |
//! | [`webhook`] | core's webhooks posted over this transport |
//!
//! # What the transport does not do, and why
//! It follows no redirect: a redirected request takes its headers to another host, and 307 takes the body too. It sends no
//! `Referer`, because a query may hold a signature. It decompresses nothing: a few kilobytes of gzip can be gigabytes. Every
//! exchange has a deadline for all of it, because a peer that sends one byte a second never lets a read time out.

pub mod call;
pub mod client;
pub mod guard;
pub mod hosts;
pub mod limits;
pub mod operation;
pub mod page;
pub mod redact;
pub mod retry;
pub mod service;
pub mod transport;
pub mod wait;
pub mod webhook;

pub use call::Call;
pub use client::{ProxySetting, ReqwestConfig, ReqwestTransport};
pub use hosts::StorageHosts;
pub use limits::RateLimits;
pub use operation::{Operation, OperationProgress, OperationState, PollPolicy};
pub use page::Page;
pub use retry::{Repeat, RetryPolicy};
pub use service::{Reply, Service, ServiceBuilder};
pub use transport::{HttpBody, HttpFault, HttpRequest, HttpResponse, HttpTransport, Stage};

pub use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, Url};
