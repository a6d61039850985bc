"""The OpenAPI document, and schemathesis, which asks whatever the document allows and much that it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, checks
from web_kit import Served, payment

from wfkernel import WorkflowManager
from wfkernel.web.api import EXPOSED
from wfkernel.web.app import app_for
from wfkernel.web.asking import local
from wfkernel.web.limits import Limits, Rate
from wfkernel.web.openapi import document
from wfkernel.web.site import Site
from wfkernel.web.vault import Vault

TOKEN = "t" * 32
ENDLESS = Rate(10**9, 1e9)
THERE = {"run": "the-run", "run_id": "the-run", "workflow": "payment"}
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]


@pytest.fixture(scope="module")
def api() -> Iterator[Any]:
    """In process: no server, a journal in memory with a few runs."""
    with WorkflowManager(":memory:") as wf:
        payment(wf)
        wf.workflows["payment"].options(id="the-run").start(7)
        limits = Limits(caller=ENDLESS, address=ENDLESS)
        site = Site(local(wf), Vault.of(wf), hosts=frozenset(["testserver", "localhost"]), token=TOKEN, limits=limits)
        schema = schemathesis.openapi.from_asgi("/openapi.json", app_for(site))
        yield schema


def aim(part: Any) -> None:
    """At what there is: a made-up id only ever finds nothing."""
    if isinstance(part, dict):
        part.update({name: there for name, there in THERE.items() if name in part})


OPERATIONS = [(path, method) for path, found in document()["paths"].items() for method in found]


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda v: v)
def test_whatever_is_asked_the_answer_is_as_described_and_no_failure_of_ours(api: Any, path: str, method: str) -> None:
    kinds = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]

    @given(case=st.one_of(api[path][method].as_strategy(generation_mode=kind) for kind in kinds), is_aimed=st.booleans())
    @settings(max_examples=15, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
    def ask(case: Any, is_aimed: bool) -> None:
        if is_aimed:
            for part in (case.query, case.body, case.path_parameters):
                aim(part)
        case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"}, checks=CHECKS)

    ask()


def test_the_document_names_every_operation_and_each_once() -> None:
    said = document()
    assert said["openapi"] == "3.1.0"
    assert {f"/api/{name}" for name in EXPOSED} == {p for p in said["paths"] if p.startswith("/api/")}
    ids = [o["operationId"] for path in said["paths"].values() for o in path.values()]
    assert len(ids) == len(set(ids))
    assert all(o["summary"] for path in said["paths"].values() for o in path.values())


def test_every_schema_of_the_document_is_one_and_every_reference_leads_somewhere() -> None:
    said = document()
    for found in said["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(found)
    text = json.dumps(said)
    for name in {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in said["components"]["schemas"]


def test_what_only_another_wfkernel_may_say_is_not_described() -> None:
    schemas = document()["components"]["schemas"]
    assert not {"on_complete", "is_defined", "has_context"} & schemas["Start"]["properties"].keys()
    assert "form" not in schemas["SendEvent"]["properties"]


def test_the_document_is_there_without_a_token(served: Served) -> None:
    assert served.client().get("/openapi.json").json() == document()
