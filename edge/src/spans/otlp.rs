//! Spans over OTLP/HTTP: collected in a bounded queue, and sent by a thread of their own. When the queue is full, as when the
//! collector is away, spans are dropped.

use std::sync::OnceLock;
use std::time::SystemTime;

use broker::Delivery;
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor};
use shared::Entry;
use shared::trace::TraceParent;

use super::Published;
use crate::config::{OtlpProtocol, OtlpSettings};
use crate::trace::RequestTrace;

/// Whether spans can be exported.
pub const AVAILABLE: bool = true;

static EXPORT: OnceLock<Export> = OnceLock::new();

struct Export {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
}

/// Exports from now on to the collector that is set, as the instance `edge` of the service `weir` (or what
/// `OTEL_SERVICE_NAME` says). Without one, nothing is. A later call changes nothing.
pub fn install(settings: &OtlpSettings, edge: &str) -> Result<(), String> {
    let Some(endpoint) = &settings.endpoint else {
        return Ok(());
    };
    let protocol = match settings.protocol {
        OtlpProtocol::Protobuf => Protocol::HttpBinary,
        OtlpProtocol::Json => Protocol::HttpJson,
    };
    // A second set-up in one process is not an error: the first one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(protocol)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .build()
        .map_err(|e| e.to_string())?;
    let mut processor = BatchSpanProcessor::builder(exporter).build();
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", service_name()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", edge.to_owned()),
        ])
        .build();
    processor.set_resource(&resource);
    let scope = InstrumentationScope::builder("weir").build();
    EXPORT.get_or_init(|| Export { processor, scope });
    Ok(())
}

fn service_name() -> String {
    std::env::var("OTEL_SERVICE_NAME")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "weir".into())
}

/// Sends what has been collected. Takes some seconds at the most.
pub fn shutdown() {
    if let Some(export) = EXPORT.get()
        && let Err(error) = export.processor.shutdown()
    {
        tracing::warn!(%error, "the last spans could not be sent to the collector");
    }
}

fn export_of(trace: TraceParent) -> Option<&'static Export> {
    EXPORT.get().filter(|_| trace.is_sampled())
}

/// The time, if what begins now in this trace is recorded.
pub(crate) fn now_if_wanted(trace: TraceParent) -> Option<SystemTime> {
    export_of(trace).map(|_| SystemTime::now())
}

/// A request was answered.
pub(crate) fn request(
    trace: &RequestTrace,
    method: &'static str,
    route: &str,
    status: u16,
    begun: Option<SystemTime>,
) {
    let (Some(export), Some(begun)) = (export_of(trace.own), begun) else {
        return;
    };
    let status_of_span = match status {
        500.. => Status::error(status.to_string()),
        _ => Status::Unset,
    };
    export.end(Ended {
        name: format!("{method} {route}"),
        kind: SpanKind::Server,
        trace: trace.own,
        parent: trace.received.map_or(0, |received| received.parent_id),
        link: None,
        begun,
        status: status_of_span,
        attributes: vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route.to_owned()),
            KeyValue::new("http.response.status_code", i64::from(status)),
        ],
    });
}

/// A publish over a connection has its outcome, as the metrics name it.
pub(crate) fn published(publish: &Published<'_>, outcome: &'static str) {
    let (Some(export), Some(begun)) = (export_of(publish.trace), publish.begun) else {
        return;
    };
    export.end(Ended {
        name: format!("publish {}", publish.stream),
        kind: SpanKind::Producer,
        trace: publish.trace,
        parent: publish.parent,
        link: None,
        begun,
        status: match outcome {
            "ok" | "duplicate" => Status::Unset,
            other => Status::error(other),
        },
        attributes: about(publish.stream.as_str(), "publish", publish.transport),
    });
}

/// These were handed to a socket.
pub(crate) fn deliveries(transport: &'static str, deliveries: &[Delivery]) {
    if EXPORT.get().is_none() {
        return;
    }
    for delivery in deliveries {
        if let Delivery::Event(entry) = delivery {
            delivered(transport, entry);
        }
    }
}

/// An event was handed to a socket.
pub(crate) fn delivered(transport: &'static str, entry: &Entry) {
    if EXPORT.get().is_none() {
        return;
    }
    let Some(trace) = entry.event.traceparent() else {
        return;
    };
    let Some(export) = export_of(trace) else {
        return;
    };
    let mut attributes = about(entry.stream.as_str(), "deliver", transport);
    attributes.push(KeyValue::new("messaging.message.id", entry.id().to_string()));
    export.end(Ended {
        name: format!("deliver {}", entry.stream),
        kind: SpanKind::Consumer,
        trace: trace.child(fastrand::u64(..)),
        parent: trace.parent_id,
        link: Some(trace),
        begun: SystemTime::now(),
        status: Status::Unset,
        attributes,
    });
}

/// Attributes by the conventions of OpenTelemetry for messaging.
fn about(stream: &str, operation: &'static str, transport: &'static str) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "weir"),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.destination.name", stream.to_owned()),
        KeyValue::new("weir.transport", transport),
    ]
}

/// A span that has ended.
struct Ended {
    name: String,
    kind: SpanKind,
    trace: TraceParent,
    parent: u64,
    link: Option<TraceParent>,
    begun: SystemTime,
    status: Status,
    attributes: Vec<KeyValue>,
}

impl Export {
    fn end(&self, span: Ended) {
        let links = span.link.map(|link| Link::with_context(context(link, true)));
        let mut span_links = SpanLinks::default();
        span_links.links.extend(links);
        self.processor.on_end(SpanData {
            span_context: context(span.trace, false),
            parent_span_id: SpanId::from_bytes(span.parent.to_be_bytes()),
            parent_span_is_remote: true,
            span_kind: span.kind,
            name: span.name.into(),
            start_time: span.begun,
            end_time: SystemTime::now(),
            attributes: span.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: span_links,
            status: span.status,
            instrumentation_scope: self.scope.clone(),
        });
    }
}

fn context(trace: TraceParent, remote: bool) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(trace.trace_id.to_be_bytes()),
        SpanId::from_bytes(trace.parent_id.to_be_bytes()),
        TraceFlags::SAMPLED,
        remote,
        TraceState::default(),
    )
}
