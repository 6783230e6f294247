//! HTTP as something handed in: one trait that sends a request, one transport that does it with `reqwest`, and the policy
//! that decides what may be sent again.
//!
//! | module | what it holds |
//! |---|---|
//! | [`transport`] | [`HttpTransport`], requests and responses with bodies in memory or in a stream |
//! | [`client`] | [`ReqwestTransport`]: no redirects, no referer, no decompression, always a deadline |
//! | [`retry`] | [`RetryPolicy`]: what is tried again, after how long, and what is not |
//!
//! # What the transport does not do, and why
//! It follows no redirect: a redirected request takes its headers to another host, and 307 takes the body too. It sends no
//! `Referer`, because a query may hold a signature. It decompresses nothing: a few kilobytes of gzip can be gigabytes. Every
//! exchange has a deadline for all of it, because a peer that sends one byte a second never lets a read time out.

pub mod client;
pub mod retry;
pub mod transport;
pub mod webhook;

pub use client::{ReqwestConfig, ReqwestTransport};
pub use retry::{Repeat, RetryPolicy};
pub use transport::{HttpBody, HttpFault, HttpRequest, HttpResponse, HttpTransport, Stage};

pub use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, Url};
