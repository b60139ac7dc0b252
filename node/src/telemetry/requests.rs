//! Counts requests and takes their time, by plane and gRPC code; nothing of a request itself.

use super::metrics;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;
use tower::{Layer, Service};

/// Requests of one plane since the start, for whoever asks the node itself.
#[derive(Debug, Default)]
pub struct RequestCounts {
    total: AtomicU64,
    failures: AtomicU64,
}

impl RequestCounts {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Those that ended otherwise than well.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn note(&self, result: &str) {
        self.total.fetch_add(1, Ordering::Relaxed);
        if result != "ok" {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Measures the services of one plane, until the head of each answer.
#[derive(Clone, Debug)]
pub struct RequestMeter {
    plane: &'static str,
    counts: Arc<RequestCounts>,
}

impl RequestMeter {
    /// For a plane, by its name.
    pub fn new(plane: &'static str) -> Self {
        Self { plane, counts: Arc::default() }
    }

    /// Counts into `counts` too.
    #[must_use]
    pub fn counting(self, counts: Arc<RequestCounts>) -> Self {
        Self { counts, ..self }
    }
}

impl<S> Layer<S> for RequestMeter {
    type Service = MeteredService<S>;

    fn layer(&self, inner: S) -> MeteredService<S> {
        MeteredService { plane: self.plane, counts: Arc::clone(&self.counts), inner }
    }
}

/// The service that [`RequestMeter`] makes.
#[derive(Clone, Debug)]
pub struct MeteredService<S> {
    plane: &'static str,
    counts: Arc<RequestCounts>,
    inner: S,
}

impl<S, Request, Body> Service<Request> for MeteredService<S>
where
    S: Service<Request, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (plane, counts, started) = (self.plane, Arc::clone(&self.counts), Instant::now());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let result = answer.as_ref().map_or("failed", result_of);
            metrics::request(plane, result, started.elapsed());
            counts.note(result);
            answer
        })
    }
}

/// The gRPC code by name; an answer that began well has none in its head.
fn result_of<Body>(response: &http::Response<Body>) -> &'static str {
    let Some(code) = response.headers().get("grpc-status") else { return "ok" };
    match code.as_bytes() {
        b"0" => "ok",
        b"1" => "cancelled",
        b"3" => "invalid_argument",
        b"4" => "deadline_exceeded",
        b"5" => "not_found",
        b"7" => "permission_denied",
        b"8" => "resource_exhausted",
        b"9" => "failed_precondition",
        b"12" => "unimplemented",
        b"13" => "internal",
        b"14" => "unavailable",
        b"15" => "data_loss",
        b"16" => "unauthenticated",
        _ => "other",
    }
}
