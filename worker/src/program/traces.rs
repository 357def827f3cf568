//! Traces for OpenTelemetry: each stay of a worker at a partition is a trace, each read and each batch in it a span. Where they
//! go is said by OpenTelemetry's own variables, `OTEL_EXPORTER_OTLP_ENDPOINT` above all; without an endpoint there are none.
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

/// The variables that say where traces go.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];
/// What the process is called, unless `OTEL_SERVICE_NAME` says.
const SERVICE: &str = "backstitch";
/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the last spans may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// What makes spans of traces, where somebody wants them. That they cannot be sent is never a reason to stop.
pub(super) fn layer<S>() -> Option<OpenTelemetryLayer<S, SdkTracer>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !ENDPOINTS.iter().any(|name| is_set(name)) {
        return None;
    }
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .build();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpJson)
        .with_http_client(Client(agent.into()))
        .build()
        .ok()?;
    let mut resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if !is_set("OTEL_SERVICE_NAME") {
        resource = resource.with_service_name(SERVICE);
    }
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build();
    let provider = PROVIDER.get_or_init(|| provider);
    let layer = tracing_opentelemetry::layer().with_location(false);
    let layer = layer.with_threads(false).with_tracked_inactivity(false);
    Some(layer.with_tracer(provider.tracer(SERVICE)))
}

/// Sends what is not sent yet.
pub(super) fn end() {
    if let Some(provider) = PROVIDER.get() {
        // A collector that is gone is nothing that the end of a run depends on.
        let _ = provider.shutdown_with_timeout(LAST_WORDS);
    }
}

/// The client that the project has already. The exporter has a thread of its own, so that it may block.
#[derive(Debug)]
struct Client(ureq::Agent);

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = request.map(|body| body.to_vec());
        let (head, mut body) = self.0.run(request)?.into_parts();
        let body = body.read_to_vec()?;
        Ok(Response::from_parts(head, body.into()))
    }
}
