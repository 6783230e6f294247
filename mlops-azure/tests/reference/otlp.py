"""Bodies of OTLP over HTTP in JSON, made by the official message types.

Writes otlp.json beside this file. Needs opentelemetry-proto 1.45.1 (with protobuf 7.36.2): `pip install opentelemetry-proto==1.45.1`.
"""

import base64
import json
from pathlib import Path

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_DELTA,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

START, END = 1767268800000000000, 1767268860000000000


def text(name, value):
    return KeyValue(key=name, value=AnyValue(string_value=value))


resource = Resource(attributes=[text("service.name", "scorer")])
scope = InstrumentationScope(name="mlops", version="VERSION")
point = {"start_time_unix_nano": START, "time_unix_nano": END, "attributes": [text("endpoint", "churn")]}

metrics = [
    Metric(
        name="mlops.requests",
        unit="{request}",
        sum=Sum(
            aggregation_temporality=AGGREGATION_TEMPORALITY_DELTA,
            is_monotonic=True,
            data_points=[NumberDataPoint(as_int=9007199254740993, **point)],
        ),
    ),
    Metric(name="mlops.error_rate", unit="1", gauge=Gauge(data_points=[NumberDataPoint(as_double=0.125, **point)])),
    Metric(
        name="mlops.request.duration",
        unit="s",
        histogram=Histogram(
            aggregation_temporality=AGGREGATION_TEMPORALITY_DELTA,
            data_points=[
                HistogramDataPoint(count=6, sum=1.5, explicit_bounds=[0.25, 0.5], bucket_counts=[3, 2, 1], **point)
            ],
        ),
    ),
]
record = LogRecord(
    time_unix_nano=START,
    observed_time_unix_nano=END,
    severity_number=13,
    severity_text="WARN",
    body=AnyValue(string_value="age drifted"),
    attributes=[text("mlops.signal", "inputs")],
)
span = Span(
    trace_id=(0xABC).to_bytes(16, "big"),
    span_id=(0xDEF).to_bytes(8, "big"),
    parent_span_id=(1).to_bytes(8, "big"),
    name="POST /score",
    kind=Span.SPAN_KIND_SERVER,
    start_time_unix_nano=START,
    end_time_unix_nano=END,
    attributes=[KeyValue(key="rows", value=AnyValue(int_value=3))],
    status=Status(code=Status.STATUS_CODE_ERROR),
)


def hexadecimal(value):
    """Ids are hexadecimal in OTLP's JSON, where protobuf's own has base64."""
    if isinstance(value, dict):
        ids = ("traceId", "spanId", "parentSpanId")
        return {k: base64.b64decode(v).hex() if k in ids else hexadecimal(v) for k, v in value.items()}
    return [hexadecimal(v) for v in value] if isinstance(value, list) else value


def body(message):
    return hexadecimal(json_format.MessageToDict(message, use_integers_for_enums=True))


def main():
    bodies = {
        "metrics": body(
            ExportMetricsServiceRequest(
                resource_metrics=[
                    ResourceMetrics(resource=resource, scope_metrics=[ScopeMetrics(scope=scope, metrics=metrics)])
                ]
            )
        ),
        "logs": body(
            ExportLogsServiceRequest(
                resource_logs=[
                    ResourceLogs(resource=resource, scope_logs=[ScopeLogs(scope=scope, log_records=[record])])
                ]
            )
        ),
        "traces": body(
            ExportTraceServiceRequest(
                resource_spans=[ResourceSpans(resource=resource, scope_spans=[ScopeSpans(scope=scope, spans=[span])])]
            )
        ),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(bodies, indent=1) + "\n")


main()
