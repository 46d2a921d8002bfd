"""Reads a post of OTLP/JSON from standard input by OpenTelemetry's own definitions (PyPI: opentelemetry-proto), and prints a line for each span.
What they do not know is an error."""

import base64
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


def ids_as_protobuf(of):
    """OTLP's JSON has ids in hexadecimal, where protobuf's has all bytes in base64: the one thing in which they differ."""
    if isinstance(of, list):
        return [ids_as_protobuf(one) for one in of]
    if not isinstance(of, dict):
        return of
    encoded = lambda text: base64.b64encode(bytes.fromhex(text)).decode()
    return {key: encoded(one) if key in ("traceId", "spanId", "parentSpanId") else ids_as_protobuf(one) for key, one in of.items()}


def attributes(of):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of}


request = json_format.ParseDict(ids_as_protobuf(json.load(sys.stdin)), ExportTraceServiceRequest())
for of_resource in request.resource_spans:
    resource = attributes(of_resource.resource.attributes)
    for of_scope in of_resource.scope_spans:
        for span in of_scope.spans:
            print(json.dumps({
                "service": resource.get("service.name"),
                "instance": resource.get("service.instance.id"),
                "scope": of_scope.scope.name,
                "trace": span.trace_id.hex(),
                "id": span.span_id.hex(),
                "parent": span.parent_span_id.hex(),
                "name": span.name,
                "kind": Span.SpanKind.Name(span.kind),
                "took": [span.start_time_unix_nano, span.end_time_unix_nano],
                "attributes": attributes(span.attributes),
                "events": [[event.name, event.time_unix_nano] for event in span.events],
                "status": [Status.StatusCode.Name(span.status.code), span.status.message],
            }))
