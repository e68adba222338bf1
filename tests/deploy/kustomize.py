"""As much of `kubectl kustomize` as `deploy/kubernetes` uses, for where there is no kubectl that can do it.

Not rendered: the hash at the end of the ConfigMap's name. Where kubectl is there, a test compares the two.
"""

from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.deploy.tools import documents, read_yaml

Documents = list[dict[str, Any]]
_UNDERSTOOD = {
    "apiVersion", "kind", "resources", "components", "labels", "configMapGenerator", "patches", "images", "replicas",
    "namespace",
}  # fmt: skip


def render(directory: Path) -> Documents:
    """What kubectl would apply."""
    return _apply(directory, [])


def _apply(directory: Path, rendered: Documents) -> Documents:
    told = read_yaml(directory / "kustomization.yaml")
    assert set(told) <= _UNDERSTOOD, set(told) - _UNDERSTOOD
    for name in told.get("resources", ()):
        path = (directory / name).resolve()
        rendered += render(path) if path.is_dir() else documents(path.read_text())
    for name in told.get("components", ()):
        _apply((directory / name).resolve(), rendered)
    for generator in told.get("configMapGenerator", ()):
        _generate(generator, rendered)
    for patch in told.get("patches", ()):
        change = read_yaml(directory / patch["path"])
        # Others have lists that are merged by a key of their members.
        assert change["kind"] == "NetworkPolicy"
        _merge(_find(rendered, change["kind"], change["metadata"]["name"]), change)
    for labels in told.get("labels", ()):
        assert labels["includeSelectors"]
        for document in rendered:
            _label(document, labels["pairs"])
    for image in told.get("images", ()):
        for document in rendered:
            for container in _pod(document).get("containers", ()):
                if container["image"] == image["name"]:
                    container["image"] = f"{image['newName']}:{image['newTag']}"
    for replicas in told.get("replicas", ()):
        _find(rendered, "Deployment", replicas["name"])["spec"]["replicas"] = replicas["count"]
    for document in rendered:
        if "namespace" in told and document["kind"] != "Namespace":
            document["metadata"]["namespace"] = told["namespace"]
    return rendered


def _generate(generator: dict[str, Any], rendered: Documents) -> None:
    data = dict(literal.split("=", 1) for literal in generator["literals"])
    if generator.get("behavior") == "merge":
        _find(rendered, "ConfigMap", generator["name"])["data"].update(data)
    else:
        name = {"name": generator["name"]}
        rendered.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": name, "data": data})


def _find(rendered: Documents, kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in rendered if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def _merge(into: dict[str, Any], change: dict[str, Any]) -> None:
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = deepcopy(value)


def _pod(document: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = document.get("spec", {}).get("template", {}).get("spec", {})
    return pod


def _label(document: dict[str, Any], pairs: dict[str, str]) -> None:
    spec = document.get("spec", {})
    labelled = [document["metadata"].setdefault("labels", {})]
    if template := spec.get("template"):
        labelled.append(template["metadata"]["labels"])
        labelled += [
            each["labelSelector"]["matchLabels"] for each in _pod(document).get("topologySpreadConstraints", ())
        ]
    if selector := spec.get("selector") or spec.get("podSelector"):
        labelled.append(selector.get("matchLabels", selector))
    for labels in labelled:
        labels.update(pairs)
