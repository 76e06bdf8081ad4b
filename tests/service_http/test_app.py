"""The application as a whole: import, documentation, the document of its interface."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from jsonschema import Draft202012Validator

from service.app import build_app
from service.problem_types import TYPES
from service.routers.pages import STATIC
from service.settings import Settings
from tests.service_http.bodies import content, new_session
from tests.support.servers import ROOT

WATCHED = """
import os, sys
acting = "socket.connect", "socket.bind", "subprocess.Popen", "sqlite3.connect"
writing = os.O_WRONLY | os.O_RDWR
def watch(event, args):
    if event in acting:
        raise AssertionError(event)
    if event == "open" and isinstance(args[2], int) and args[2] & writing:
        raise AssertionError(args)
sys.addaudithook(watch)
import threading
import service.app
assert threading.active_count() == 1
assert not {name.partition(".")[0] for name in sys.modules} & {"redis", "typer"}
"""


def test_importing_starts_and_writes_nothing() -> None:
    command = [sys.executable, "-B", "-c", WATCHED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def document(http: httpx.Client) -> dict[str, Any]:
    """The OpenAPI document."""
    answer: dict[str, Any] = http.get("/openapi.json").json()
    return answer


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every operation under its name."""
    return [
        (operation["operationId"], operation)
        for path in document["paths"].values()
        for operation in path.values()
    ]


def test_the_document_is_openapi_31_and_whole(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    used = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert used <= set(schemas)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    names = [name for name, _ in operations(document)]
    assert len(set(names)) == len(names) == 23


def test_results_of_jobs_are_samples_or_where_they_are(
    document: dict[str, Any],
) -> None:
    results = {"$ref": "#/components/schemas/JobResults"}
    valid = Draft202012Validator({**document, **results}).is_valid
    samples, place = {"analysis_samples": [[1.0]]}, {"result": {"path": "out.npy"}}
    facts: dict[str, Any] = {"diagnostics": {}}
    assert valid(samples | facts) and valid(samples | facts | {"cycle": 3})
    assert valid(place | facts)
    assert not valid(facts) and not valid(samples)


def test_every_operation_tells_its_bodies_and_answers(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        assert any(status.startswith("2") for status in operation["responses"])
        for status, answer in operation["responses"].items():
            if int(status) >= 400 and name != "readyz":
                assert list(answer["content"]) == ["application/problem+json"]
            assert "HTTPValidationError" not in str(answer)
    bodies = {
        name: sorted(operation["requestBody"]["content"])
        for name, operation in operations(document)
        if "requestBody" in operation
    }
    arrays = ["application/json", "multipart/form-data"]
    assert bodies == {
        "create_analysis": arrays,
        "create_session": arrays,
        "create_stored_analysis": ["application/json"],
        "put_cycle": arrays,
        "put_member": arrays,
        "update_session": ["application/json", "application/merge-patch+json"],
    }


def test_whoever_sends_arrays_may_run_out_of_time(document: dict[str, Any]) -> None:
    operations = [op for path in document["paths"].values() for op in path.values()]
    with_arrays = [
        operation
        for operation in operations
        if "multipart/form-data" in operation.get("requestBody", {}).get("content", {})
    ]
    assert len(with_arrays) >= 4
    for operation in with_arrays:
        assert "504" in operation["responses"], operation["operationId"]


def test_every_problem_is_documented_somewhere(document: dict[str, Any]) -> None:
    linked = set(re.findall(r"\(/problems/([\w-]+)\)", str(document)))
    # This one has no operation: it is about methods that do not exist.
    assert linked == set(TYPES) - {"method-not-allowed"}


def test_answers_are_as_documented(
    http: httpx.Client, document: dict[str, Any]
) -> None:
    sid = new_session(http, metadata={"a": 1}, names={"states": ["a", "b"]})
    path = f"/v1/sessions/{sid}"
    put = http.put(f"{path}/cycles/1", json=content())
    member = document["components"]["schemas"]["MemberRequest"]["examples"][0]
    answers = {
        "CycleAnswer": put,
        "SessionView": http.get(path),
        "SessionList": http.get("/v1/sessions"),
        "CycleView": http.get(f"{path}/cycles/1"),
        "CycleList": http.get(f"{path}/cycles"),
        "AnalysisDownload": http.get(f"{path}/cycles/1/analysis"),
        "MemberAnswer": http.put(f"{path}/cycles/2/members/0", json=member),
        "MemberList": http.get(f"{path}/cycles/2/members"),
        "AnalysisAnswer": http.post("/v1/analyses", json=content()),
        "ProblemDetails": http.get("/v1/sessions/none"),
        "Readiness": http.get("/readyz"),
        "Alive": http.get("/livez"),
    }
    for name, answer in answers.items():
        schema = {**document, "$ref": f"#/components/schemas/{name}"}
        Draft202012Validator(schema).validate(answer.json())


def test_examples_work_as_they_stand(
    http: httpx.Client, document: dict[str, Any]
) -> None:
    schemas = document["components"]["schemas"]
    analysis = http.post("/v1/analyses", json=schemas["AnalysisRequest"]["examples"][0])
    assert analysis.status_code == 200
    session = http.post("/v1/sessions", json=schemas["SessionRequest"]["examples"][0])
    assert session.status_code == 201
    where = session.headers["location"]
    cycle = http.put(f"{where}/cycles/1", json=schemas["CycleRequest"]["examples"][0])
    assert cycle.status_code == 201


@pytest.mark.parametrize("page", ["/docs", "/problems", "/problems/too-busy"])
def test_pages_need_nothing_from_elsewhere(http: httpx.Client, page: str) -> None:
    answer = http.get(page)
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    links = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert links
    for link in links:
        address = urljoin(str(answer.url), link)
        assert address.startswith(str(http.base_url))
        assert http.get(address).status_code == 200, link


def test_the_root_leads_to_the_documentation(http: httpx.Client) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
    answer = http.get("/", headers=browser, follow_redirects=True)
    assert answer.url.path == "/docs"
    facts = http.get("/").json()
    assert facts["service"] == "ccdm"
    for place in set(facts) - {"service", "version", "analyses"}:
        assert http.get(facts[place]).status_code == 200, place


def test_vendored_files_come_with_their_licence() -> None:
    folder = STATIC / "swagger-ui"
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert "SmartBear" in (folder / "NOTICE").read_text()
    for path in STATIC.rglob("*.html"):
        assert "http" not in path.read_text()


def test_with_keys_the_document_says_so(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.sqlite"
    document = build_app(Settings(store_url=url, api_keys=("a",))).openapi()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "key"}
    assert document["security"] == [{"bearer": []}, {"key": []}]
