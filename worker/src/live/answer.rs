//! What each address answers. Nothing here changes anything, so that GET is all that is allowed.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;

use super::access::Access;
use super::keeper::Shared;
use super::{events, metrics};
use crate::page;
use crate::shutdown::Shutdown;

/// A body.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What answers.
#[derive(Debug)]
pub(super) struct Answerer {
    pub(super) access: Access,
    pub(super) shared: Arc<Shared>,
    /// The work beside it, once there is one.
    pub(super) work: Arc<OnceLock<Shutdown>>,
    /// Places for those who listen to events.
    pub(super) listeners: Arc<Semaphore>,
}

const TEXT: &str = "text/plain; charset=utf-8";

/// After how long without a look the work is stuck: longer than it waits for a database that does not answer.
const STUCK: Duration = Duration::from_secs(300);

/// What every answer says.
const ALWAYS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, page::POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

impl Answerer {
    /// The answer to a request.
    pub(super) async fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let mut response = self.route(request).await;
        for (name, value) in ALWAYS {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }

    async fn route(&self, request: &Request<Incoming>) -> Response<Body> {
        if !self.is_for_us(request) {
            return text(
                StatusCode::MISDIRECTED_REQUEST,
                "this name is not ours: use the address that the worker printed, or name it with --status-host\n",
            );
        }
        if request.method() != Method::GET {
            let mut response = text(
                StatusCode::METHOD_NOT_ALLOWED,
                "nothing can be changed here: GET is all\n",
            );
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET"));
            return response;
        }
        match request.uri().path() {
            "/livez" => return self.alive(),
            "/readyz" => return self.ready().await,
            _ => {}
        }
        let authorization = request.headers().get(header::AUTHORIZATION);
        if !self
            .access
            .allows(authorization.and_then(|value| value.to_str().ok()))
        {
            let mut response = text(
                StatusCode::UNAUTHORIZED,
                "the token is missing or wrong: send it as a bearer token, or as the password of any user\n",
            );
            let asks = HeaderValue::from_static(
                "Basic realm=\"Backstitch: the token is the password\", charset=\"UTF-8\"",
            );
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, asks);
            return response;
        }
        match request.uri().path() {
            "/" => {
                let now = self.shared.fresh().await;
                whole(
                    StatusCode::OK,
                    "text/html; charset=utf-8",
                    page::live(&now.shown),
                )
            }
            "/events" => self.listen(),
            "/metrics" => {
                let now = self.shared.fresh().await;
                whole(StatusCode::OK, metrics::FORMAT, metrics::text(&now))
            }
            "/style.css" => whole(StatusCode::OK, "text/css; charset=utf-8", page::STYLE),
            "/live.js" => whole(
                StatusCode::OK,
                "text/javascript; charset=utf-8",
                page::SCRIPT,
            ),
            "/icon.svg" => whole(StatusCode::OK, "image/svg+xml", page::ICON),
            _ => text(
                StatusCode::NOT_FOUND,
                "there is nothing here: / /metrics /livez /readyz\n",
            ),
        }
    }

    /// Whether every name that a request calls us by is ours.
    fn is_for_us(&self, request: &Request<Incoming>) -> bool {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return false;
        };
        let named = request
            .uri()
            .authority()
            .map(|authority| authority.as_str());
        let is_ours = |host: &str| !host.contains('@') && self.access.knows(host);
        host.to_str().is_ok_and(is_ours) && named.is_none_or(is_ours)
    }

    fn alive(&self) -> Response<Body> {
        match self.work.get() {
            Some(work) if !work.looked_at_within(STUCK) => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "the work does not go round any more\n",
            ),
            _ => text(StatusCode::OK, "ok\n"),
        }
    }

    async fn ready(&self) -> Response<Body> {
        let now = self.shared.fresh().await;
        match &now.unready {
            None => text(StatusCode::OK, "ok\n"),
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        }
    }

    fn listen(&self) -> Response<Body> {
        let Ok(place) = Arc::clone(&self.listeners).try_acquire_owned() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "too many look already\n");
        };
        let stream = events::stream(Arc::clone(&self.shared), place);
        let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(stream)));
        let kind = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    whole(status, TEXT, text)
}

fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
