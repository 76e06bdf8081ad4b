"""Traces: one span a request, in the client's own trace, without anything of bodies."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from tests.service_http.bodies import content
from tests.support.servers import PATIENCE, serving

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """Takes what an OpenTelemetry collector would, over HTTP."""

    def __init__(self) -> None:
        received: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                received.append(self.rfile.read(length))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self.received = received
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> list[object]:
        """Every span that has come."""
        requests = [ExportTraceServiceRequest.FromString(x) for x in self.received]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.mark.slow
def test_spans_are_sent_and_hold_no_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    body = content(observation=[0.123456789])
    headers = {"X-API-Key": "very-secret", "traceparent": f"00-{TRACE}-{PARENT}-01"}
    settings = {"TRACING": "true", "API_KEYS": "very-secret", "LOG_FORMAT": "json"}
    with serving(tmp_path, **settings) as server:
        url = f"{server.url}/v1/analyses"
        done = httpx.post(url, json=body, headers=headers, timeout=PATIENCE)
        assert done.status_code == 200
        del headers["traceparent"]
        httpx.post(url, json=body, headers=headers, timeout=PATIENCE)
        end = time.monotonic() + PATIENCE
        while sum(span.kind == 2 for span in collector.spans()) < 2:  # type: ignore[attr-defined]
            assert time.monotonic() < end, collector.received
            time.sleep(0.05)
        lines = server.log.read_text().splitlines()
    collector.server.shutdown()
    collector.server.server_close()
    served = [span for span in collector.spans() if span.kind == 2]  # type: ignore[attr-defined]
    # The probes are left out.
    assert [span.name for span in served] == ["POST /v1/analyses"] * 2
    assert served[0].trace_id.hex() == TRACE
    assert served[0].parent_span_id.hex() == PARENT
    assert served[1].trace_id.hex() != TRACE
    logged = [json.loads(line) for line in lines if '"/v1/analyses"' in line]
    assert [x["trace_id"] for x in logged] == [span.trace_id.hex() for span in served]
    everything = b"".join(collector.received)
    assert b"very-secret" not in everything and b"0.123456789" not in everything
