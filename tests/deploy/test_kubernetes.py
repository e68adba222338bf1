"""`deploy/kubernetes`: every document is valid, what is named is there, and the numbers agree with the code."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

from authsvc.settings import Settings, environment_name
from authsvc.supervisor import ServeOptions
from authsvc.worker import CLOSING_S
from tests.deploy.kustomize import render
from tests.deploy.tools import DEPLOY, documents, read_yaml, run, tool

HOME = DEPLOY / "kubernetes"
RENDERED = ("base", "overlays/example")
# Not Kubernetes' own, so it has no schema for them.
FOREIGN = {"PodMonitor"}


@pytest.fixture(params=RENDERED)
def rendered(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """What would be applied."""
    return render(HOME / request.param)


def of_kind(rendered: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in rendered if document["kind"] == kind]


def the(rendered: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (document,) = of_kind(rendered, kind)
    return document


def pods(rendered: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The templates of the pods."""
    for kind in ("Deployment", "Job"):
        yield the(rendered, kind)["spec"]["template"]


def arguments(deployment: dict[str, Any]) -> dict[str, str]:
    """The options of `authsvc serve`."""
    command, *options = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert command == "serve"
    return dict(option.split("=", 1) for option in options)


# --- As files, without kubectl


def test_every_file_is_used_and_every_file_that_is_named_is_there() -> None:
    used: set[Path] = set()
    for kustomization in HOME.rglob("kustomization.yaml"):
        told = read_yaml(kustomization)
        used.add(kustomization)
        named = [*told.get("resources", ()), *told.get("components", ())]
        named += [patch["path"] for patch in told.get("patches", ())]
        for name in named:
            path = (kustomization.parent / name).resolve()
            used.add(path / "kustomization.yaml" if path.is_dir() else path)
    assert used == set(HOME.rglob("*.yaml"))


@pytest.mark.parametrize(
    "path", sorted(HOME.rglob("*.yaml")), ids=lambda path: str(path.relative_to(HOME).with_suffix(""))
)
def test_a_file_is_one_document_of_which_secrets_are_no_part(path: Path) -> None:
    document = read_yaml(path)
    assert document["apiVersion"]
    assert document["kind"] != "Secret"


@pytest.mark.parametrize("name", RENDERED)
def test_kubectl_renders_them_as_they_are_checked_here(name: str) -> None:
    """The one check that may be left out in CI: Debian 12 has no kubectl that is new enough."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed: 1.27 or later is needed")
    theirs = run(kubectl, "kustomize", HOME / name).stdout
    without_hash = re.sub(r"\bname: authsvc-[0-9a-z]{10}$", "name: authsvc", theirs, flags=re.MULTILINE)
    assert without_hash != theirs

    def in_order(rendered: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return sorted(rendered, key=lambda document: (document["kind"], document["metadata"]["name"]))

    assert in_order(documents(without_hash)) == in_order(render(HOME / name))


# --- As it would be applied


def test_kubernetes_would_take_it(rendered: list[dict[str, Any]], tmp_path: Path) -> None:
    known = [document for document in rendered if document["kind"] not in FOREIGN]
    (tmp_path / "rendered.yaml").write_text(yaml.safe_dump_all(known))
    run(tool("kubernetes-validate"), "--strict", tmp_path / "rendered.yaml")


def test_what_is_named_is_there(rendered: list[dict[str, Any]]) -> None:
    configurations = {document["metadata"]["name"] for document in of_kind(rendered, "ConfigMap")}
    accounts = {document["metadata"]["name"] for document in of_kind(rendered, "ServiceAccount")}
    for pod in pods(rendered):
        (container,) = pod["spec"]["containers"]
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        assert pod["spec"]["serviceAccountName"] in accounts
        assert {source["configMapRef"]["name"] for source in container["envFrom"]} == configurations
        assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
        assert volumes["secrets"]["secret"]["secretName"] == "authsvc"


def test_who_selects_the_service_finds_it_and_it_alone(rendered: list[dict[str, Any]]) -> None:
    server, migration = (pod["metadata"]["labels"] for pod in pods(rendered))
    deployment = the(rendered, "Deployment")["spec"]
    spreads = deployment["template"]["spec"]["topologySpreadConstraints"]
    selectors = [
        deployment["selector"]["matchLabels"],
        the(rendered, "Service")["spec"]["selector"],
        the(rendered, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        *(spread["labelSelector"]["matchLabels"] for spread in spreads),
        *(monitor["spec"]["selector"]["matchLabels"] for monitor in of_kind(rendered, "PodMonitor")),
    ]
    for selector in selectors:
        assert selector.items() <= server.items()
        assert not selector.items() <= migration.items()
    policy = the(rendered, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert policy
    assert policy.items() <= server.items()
    assert policy.items() <= migration.items()


def test_the_ports_are_those_that_it_listens_on(rendered: list[dict[str, Any]]) -> None:
    deployment = the(rendered, "Deployment")
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    options = arguments(deployment)
    assert ports == {"http": int(options["--port"]), "management": int(options["--management-port"])}
    assert options["--host"] == options["--management-host"] == "0.0.0.0"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "management"
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(ports["management"])
    for monitor in of_kind(rendered, "PodMonitor"):
        assert [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == ["management"]
    for ingress in of_kind(rendered, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                assert path["backend"]["service"] == {"name": "authsvc", "port": {"name": "http"}}


def test_nobody_gets_to_the_management_port_but_the_monitoring(rendered: list[dict[str, Any]]) -> None:
    assert [port["targetPort"] for port in the(rendered, "Service")["spec"]["ports"]] == ["http"]
    policy = the(rendered, "NetworkPolicy")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    open_to = {rule["ports"][0]["port"]: rule["from"] for rule in policy["ingress"]}
    assert set(open_to) == {"http", "management"}
    assert all(len(rule["ports"]) == 1 and rule["from"] for rule in policy["ingress"])
    (monitoring,) = open_to["management"]
    assert monitoring == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def test_a_pod_is_given_the_time_to_stop_that_it_may_take(rendered: list[dict[str, Any]]) -> None:
    deployment = the(rendered, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    graceful = next(f.default for f in fields(ServeOptions) if f.name == "graceful_timeout")
    drain = float(arguments(deployment)["--drain-seconds"])
    assert isinstance(graceful, int)
    assert pod["terminationGracePeriodSeconds"] >= drain + graceful + CLOSING_S + 3
    # That long the endpoints and the ingress may go on sending requests.
    assert drain >= 10


def test_the_settings_exist_and_secrets_are_files(rendered: list[dict[str, Any]]) -> None:
    known = {environment_name(each.name): each for each in fields(Settings)}
    settings = the(rendered, "ConfigMap")["data"]
    for variable, value in settings.items():
        setting = known[variable.removesuffix("_FILE")]
        assert setting.metadata["secret"] == variable.endswith("_FILE"), variable
        if variable.endswith("_FILE"):
            assert value.startswith("/run/secrets/authsvc/")
        else:
            setting.metadata["parse"](value)
    # The processors that Python sees are the node's.
    assert settings["AUTHSVC_PASSWORD_HASH_THREADS"] != "0"


def test_a_pod_can_do_no_more_than_it_must(rendered: list[dict[str, Any]]) -> None:
    """The restricted Pod Security Standard, and a little more."""
    for pod in pods(rendered):
        spec = pod["spec"]
        (container,) = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/run/secrets/authsvc", "/tmp"}


def test_one_pod_may_go_and_the_others_serve(rendered: list[dict[str, Any]]) -> None:
    deployment = the(rendered, "Deployment")["spec"]
    assert deployment["replicas"] >= 2
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert the(rendered, "PodDisruptionBudget")["spec"]["maxUnavailable"] < deployment["replicas"]


def test_the_example_is_complete() -> None:
    rendered = render(HOME / "overlays/example")
    settings = the(rendered, "ConfigMap")["data"]
    required = {environment_name(each.name) for each in fields(Settings) if each.default is MISSING}
    assert required <= {name.removesuffix("_FILE") for name in settings}
    (host,) = the(rendered, "Ingress")["spec"]["tls"][0]["hosts"]
    assert settings["AUTHSVC_ISSUER"] == f"https://{host}"
    namespaces = {document["metadata"].get("namespace") for document in rendered if document["kind"] != "Namespace"}
    assert namespaces == {the(rendered, "Namespace")["metadata"]["name"]}
    for pod in pods(rendered):
        assert ":" in pod["spec"]["containers"][0]["image"]
