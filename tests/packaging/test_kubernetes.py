"""deploy/kubernetes: valid, and as careful as the composition."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.settings import Settings, check_names
from tests.support.servers import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
VERSION = "1.34"
Manifest = dict[str, Any]


def manifests() -> Iterator[Manifest]:
    """All of them."""
    for name in kustomization()["resources"]:
        yield from yaml.safe_load_all((FOLDER / name).read_text())


def kustomization() -> Manifest:
    """What `kubectl apply -k` reads."""
    loaded: Manifest = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    return loaded


def named(kind: str, name: str) -> Manifest:
    """One of them."""
    found = [
        m for m in manifests() if (m["kind"], m["metadata"]["name"]) == (kind, name)
    ]
    assert len(found) == 1
    return found[0]


def pods() -> Iterator[tuple[str, Manifest]]:
    """What every workload makes its pods of."""
    for manifest in manifests():
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]


@pytest.mark.parametrize(
    "manifest", list(manifests()), ids=lambda m: f"{m['kind']}-{m['metadata']['name']}"
)
def test_it_follows_the_schema(manifest: Manifest) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_the_schema_refuses_a_slip() -> None:
    manifest = named("Deployment", "ccdm")
    manifest["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_every_file_is_applied() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == set(kustomization()["resources"])


def test_every_pod_is_confined_and_bounded() -> None:
    for name, template in pods():
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            inside = container["securityContext"]
            assert inside["readOnlyRootFilesystem"] is True
            assert inside["allowPrivilegeEscalation"] is False
            assert inside["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]


def test_selectors_find_their_pods() -> None:
    labels = {name: template["metadata"]["labels"] for name, template in pods()}
    for manifest in manifests():
        selector = manifest.get("spec", {}).get("selector")
        if selector:
            wanted = selector.get("matchLabels", selector)
            assert wanted in labels.values(), manifest["metadata"]["name"]
        target = manifest.get("spec", {}).get("scaleTargetRef")
        if target:
            assert target["name"] in labels


def test_settings_are_settings_and_secrets_come_from_the_secret() -> None:
    data = named("ConfigMap", "ccdm")["data"]
    check_names(data)
    settings = {
        name.removeprefix("CCDM_").lower(): value for name, value in data.items()
    }
    assert Settings(**settings).job_workers == 0
    for name in ("ccdm", "ccdm-worker"):
        (container,) = dict(pods())[name]["spec"]["containers"]
        for variable in container["env"]:
            assert variable["valueFrom"]["secretKeyRef"]["name"] == "ccdm"
            assert variable["name"] not in data


def test_a_pod_gets_more_time_than_the_service_takes_to_stop() -> None:
    data = named("ConfigMap", "ccdm")["data"]
    takes = float(data["CCDM_DRAIN_SECONDS"])
    takes += Settings.model_fields["shutdown_seconds"].default
    grace = dict(pods())["ccdm"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > takes + 5


def test_redis_keeps_what_it_acknowledged() -> None:
    (container,) = dict(pods())["redis"]["spec"]["containers"]
    said = dict(zip(container["args"][::2], container["args"][1::2], strict=True))
    assert said["--appendonly"] == "yes"
    assert said["--maxmemory-policy"] == "noeviction"


def test_there_is_a_slot_for_each_job_that_runs_or_may() -> None:
    from service.metrics import Metrics

    (metric,) = named("HorizontalPodAutoscaler", "ccdm-worker")["spec"]["metrics"]
    told = (FOLDER / "README.md").read_text()
    text = told.partition("```yaml\n")[2].partition("```")[0]
    (rule,) = yaml.safe_load(text)["rules"]["external"]
    assert rule["name"]["as"] == metric["external"]["metric"]["name"]
    # Of the running ones, too: without them busy workers would be taken away.
    asked = set(re.findall(r"ccdm_\w+", rule["metricsQuery"]))
    assert asked == {"ccdm_jobs_due", "ccdm_jobs_running"}
    for name in asked:
        assert f"\n{name} " in Metrics().render().decode()
    (worker,) = dict(pods())["ccdm-worker"]["spec"]["containers"]
    slots = worker["args"][worker["args"].index("--slots") + 1]
    assert metric["external"]["target"] == {
        "type": "AverageValue",
        "averageValue": slots,
    }
