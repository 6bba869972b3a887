"""Every overlay and component renders, fits the schemas of two versions, and keeps the rules here.

Each rule is a function that says what is wrong; a test breaks a good rendering for each and sees it complain.
"""

import copy
import importlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Document = dict[str, Any]
Render = Callable[..., list[Document]]

VERSIONS = ("1.33", "1.37")
RENDERINGS = {
    "local": ("local", ()),
    "spot-cpu": ("spot-cpu", ()),
    "spot-gpu": ("spot-gpu", ()),
    "hpa": ("", ("hpa",)),
    "monitoring": ("", ("monitoring",)),
    "external-store": ("", ("external-store",)),
    "archive-claim": ("", ("archive-claim",)),
}
CUSTOM = {
    "ScaledObject": "cloudcoil.models.keda.v1alpha1",
    "PodMonitor": "cloudcoil.models.prometheus_operator.v1",
    "PrometheusRule": "cloudcoil.models.prometheus_operator.v1",
}
MADE_BY_PEOPLE = {
    "germline-tokens",
    "germline-worker",
    "germline-tls",
    "germline-store",
    "germline-archive",
}  # secrets; the base says so


@pytest.fixture(params=RENDERINGS)
def documents(request: pytest.FixtureRequest, render: Render) -> list[Document]:
    overlay, components = RENDERINGS[request.param]
    return render(overlay, components)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_rendering_fits_the_schemas(
    version: str, render: Render, tool: Callable[[str], str], tmp_path: Path
) -> None:
    yaml = importlib.import_module("yaml")
    files: list[Path] = []
    for name, (overlay, components) in RENDERINGS.items():
        files.append(tmp_path / f"{name}.yaml")
        known = [each for each in render(overlay, components) if each["kind"] not in CUSTOM]
        files[-1].write_text(yaml.safe_dump_all(known))
    command: list[str | Path] = [
        tool("kubernetes-validate"),
        "-k",
        version,
        "--strict",
        *files,
    ]  # one start for all of them
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARN" not in done.stdout + done.stderr, "a kind that nothing checked"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_field_that_kubernetes_does_not_know_is_noticed(
    version: str, render: Render, tool: Callable[[str], str], tmp_path: Path
) -> None:
    yaml = importlib.import_module("yaml")
    broken = by_name(render("local"))["Deployment germline-master"]
    broken["spec"]["replica"] = 1
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump(broken))
    command: list[str | Path] = [
        tool("kubernetes-validate"),
        "-k",
        version,
        "--strict",
        tmp_path / "broken.yaml",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "replica" in done.stdout + done.stderr


def test_custom_resources_say_only_what_their_models_know(documents: list[Document]) -> None:
    for each in documents:
        if each["kind"] in CUSTOM:
            module = pytest.importorskip(CUSTOM[each["kind"]], reason="pip install 'germline[deploy]'")
            model = getattr(module, each["kind"]).model_validate(each)
            assert model.model_dump(mode="json", by_alias=True, exclude_unset=True) == each


# The rules


def kinds(documents: list[Document], *names: str) -> list[Document]:
    return [each for each in documents if each["kind"] in names]


def workloads(documents: list[Document]) -> list[Document]:
    return kinds(documents, "Deployment", "StatefulSet")


def pod(workload: Document) -> Document:
    found: Document = workload["spec"]["template"]["spec"]
    return found


def is_part(labels: Document, of: Document) -> bool:
    return labels.items() <= of.items()


def selectors_match(documents: list[Document]) -> Iterator[str]:
    pods = [each["spec"]["template"]["metadata"]["labels"] for each in workloads(documents)]
    for each in workloads(documents):
        if not is_part(
            each["spec"]["selector"]["matchLabels"], each["spec"]["template"]["metadata"]["labels"]
        ):
            yield f"{each['metadata']['name']} does not select its own pods"
    for each in kinds(documents, "Service"):
        if not any(is_part(each["spec"]["selector"], labels) for labels in pods):
            yield f"service {each['metadata']['name']} selects nothing"
    for each in kinds(documents, "NetworkPolicy"):
        if not any(is_part(each["spec"]["podSelector"]["matchLabels"], labels) for labels in pods):
            yield f"policy {each['metadata']['name']} selects nothing"


def every_pod_has_a_policy(documents: list[Document]) -> Iterator[str]:
    chosen = [each["spec"]["podSelector"]["matchLabels"] for each in kinds(documents, "NetworkPolicy")]
    for each in workloads(documents):
        labels = each["spec"]["template"]["metadata"]["labels"]
        if not any(is_part(selector, labels) for selector in chosen):
            yield f"anybody may call {each['metadata']['name']}"


def ports_exist(documents: list[Document]) -> Iterator[str]:
    for each in workloads(documents):
        for container in pod(each)["containers"]:
            known = {p for port in container.get("ports", ()) for p in (port["name"], port["containerPort"])}
            for name in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe = container.get(name, {})
                wanted = next(
                    (probe[k]["port"] for k in ("grpc", "httpGet", "tcpSocket") if k in probe), None
                )
                if wanted is not None and wanted not in known:
                    yield f"{name} of {container['name']} asks port {wanted}"


def what_is_named_exists(documents: list[Document]) -> Iterator[str]:
    maps = {each["metadata"]["name"] for each in kinds(documents, "ConfigMap")}
    accounts = {each["metadata"]["name"] for each in kinds(documents, "ServiceAccount")}
    for each in workloads(documents):
        if pod(each)["serviceAccountName"] not in accounts:
            yield f"{each['metadata']['name']} has no account"
        for container in pod(each)["containers"]:
            for source in container.get("envFrom", ()):
                if "configMapRef" in source and source["configMapRef"]["name"] not in maps:
                    yield f"{container['name']} has no configuration"
                if "secretRef" in source and source["secretRef"]["name"] not in MADE_BY_PEOPLE:
                    yield f"nobody makes {source['secretRef']['name']}"


def what_is_mounted_exists(documents: list[Document]) -> Iterator[str]:
    for each in workloads(documents):
        volumes = pod(each).get("volumes", [])
        there = {volume["name"] for volume in volumes}
        there |= {claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", ())}
        mounted = {mount["name"] for c in pod(each)["containers"] for mount in c.get("volumeMounts", ())}
        if mounted != there:
            yield f"{each['metadata']['name']} mounts {mounted} of {there}"
        secrets = {volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
        if secrets - MADE_BY_PEOPLE:
            yield f"nobody makes {secrets - MADE_BY_PEOPLE}"


def an_archive_is_where_every_master_reaches_it(documents: list[Document]) -> Iterator[str]:
    at = by_name(documents)
    master = at["Deployment germline-master"]
    settings = next(each["data"] for name, each in at.items() if name.startswith("ConfigMap germline-master"))
    claim = at.get("PersistentVolumeClaim germline-archive")
    if {"secretRef": {"name": "germline-archive", "optional": True}} not in container(at)["envFrom"]:
        yield "nobody can name a bucket"
    if (claim is None) is ("GERMLINE_ARCHIVE" in settings):
        yield "a place without a volume, or a volume without a place"
    if claim is not None:
        mounts = {mount["name"]: mount["mountPath"] for mount in container(at)["volumeMounts"]}
        if not settings["GERMLINE_ARCHIVE"].startswith(mounts.get("archive", "none")):
            yield f"the archive is at {settings['GERMLINE_ARCHIVE']}, and its volume is not"
        if master["spec"]["replicas"] > 1 and claim["spec"]["accessModes"] != ["ReadWriteMany"]:
            yield "only one of the masters reaches the archive"


def workers_have_not_the_masters_rights(documents: list[Document]) -> Iterator[str]:
    accounts = {each["metadata"]["name"]: pod(each)["serviceAccountName"] for each in workloads(documents)}
    master = accounts.pop("germline-master")
    if master in accounts.values():
        yield f"{master} is the account of others, too"


def containers_are_tight(documents: list[Document]) -> Iterator[str]:
    tight = {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    for each in workloads(documents):
        context = pod(each)["securityContext"]
        if (context["runAsUser"], context["runAsGroup"]) != (10001, 10001) or not context["runAsNonRoot"]:
            yield f"{each['metadata']['name']} is somebody else"
        if pod(each)["automountServiceAccountToken"] is not False:
            yield f"{each['metadata']['name']} has rights"
        for container in pod(each)["containers"]:
            if container["securityContext"] != tight:
                yield f"{container['name']} may do more than it needs"
            resources = container["resources"]
            if (
                resources["limits"]["memory"] != resources["requests"]["memory"]
                or "cpu" in resources["limits"]
            ):
                yield f"{container['name']} has other memory than it asks for, or is throttled"


def one_scaler_and_no_replicas_beside_it(documents: list[Document]) -> Iterator[str]:
    scalers = kinds(documents, "ScaledObject", "HorizontalPodAutoscaler")
    if len(scalers) > 1:
        yield "two scalers"
    for scaler in scalers:
        name = scaler["spec"]["scaleTargetRef"]["name"]
        targets = [each for each in kinds(documents, "Deployment") if each["metadata"]["name"] == name]
        if not targets or "replicas" in targets[0]["spec"]:
            yield f"{name} is not there, or says replicas, which every apply would set again"


def drains_fit(documents: list[Document]) -> Iterator[str]:
    for each in kinds(documents, "Deployment"):
        grace = pod(each)["terminationGracePeriodSeconds"]
        is_master = each["metadata"]["name"] == "germline-master"
        if is_master and (
            grace < 25 or each["spec"]["strategy"]["type"] != "Recreate" or each["spec"]["replicas"] > 2
        ):
            yield "the master drains for 20 s, one waits, and a rollout would wait for that one for ever"
        if not is_master and not 5 <= grace <= 25:
            yield "spot machines give a worker 25 s"


RULES: dict[Callable[[list[Document]], Iterator[str]], Callable[[dict[str, Document]], object]] = {
    selectors_match: lambda at: at["Service germline-master"]["spec"]["selector"].update(app="x"),
    every_pod_has_a_policy: lambda at: at.pop("NetworkPolicy germline-store"),
    ports_exist: lambda at: container(at)["livenessProbe"]["httpGet"].update(port="grcp"),
    what_is_named_exists: lambda at: at.pop("ServiceAccount germline"),
    what_is_mounted_exists: lambda at: container(at)["volumeMounts"].append({"name": "scratch"}),
    an_archive_is_where_every_master_reaches_it: lambda at: container(at)["envFrom"].pop(),
    workers_have_not_the_masters_rights: lambda at: pod(at["Deployment germline-worker"]).update(
        serviceAccountName="germline-master"
    ),
    containers_are_tight: lambda at: container(at)["securityContext"].update(readOnlyRootFilesystem=False),
    one_scaler_and_no_replicas_beside_it: lambda at: at["Deployment germline-worker"]["spec"].update(
        replicas=3
    ),
    drains_fit: lambda at: at["Deployment germline-master"]["spec"].update(
        strategy={"type": "RollingUpdate"}
    ),
}


def container(at: dict[str, Document]) -> Document:
    found: Document = pod(at["Deployment germline-master"])["containers"][0]
    return found


def by_name(documents: list[Document]) -> dict[str, Document]:
    return {f"{each['kind']} {each['metadata']['name']}": each for each in documents}


@pytest.mark.parametrize("rule", RULES)
def test_every_rendering_keeps_the_rule(
    documents: list[Document], rule: Callable[[list[Document]], Iterator[str]]
) -> None:
    assert list(rule(documents)) == []


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_notices_when_it_is_broken(
    render: Render, rule: Callable[[list[Document]], Iterator[str]]
) -> None:
    broken = by_name(copy.deepcopy(render("spot-cpu")))
    RULES[rule](broken)
    assert list(rule(list(broken.values())))


@pytest.mark.parametrize(
    "change",
    [
        lambda at: at["PersistentVolumeClaim germline-archive"]["spec"].update(accessModes=["ReadWriteOnce"]),
        lambda at: at.pop("PersistentVolumeClaim germline-archive"),
        lambda at: container(at)["volumeMounts"].pop(),
    ],
    ids=["one node", "no claim", "no mount"],
)
def test_a_claim_that_not_every_master_mounts_is_noticed(
    render: Render, change: Callable[[dict[str, Document]], object]
) -> None:
    broken = by_name(copy.deepcopy(render("", ("archive-claim",))))
    change(broken)
    assert list(an_archive_is_where_every_master_reaches_it(list(broken.values())))


def test_the_operators_rules_are_those_of_prometheus(render: Render) -> None:
    yaml = importlib.import_module("yaml")
    plain = yaml.safe_load((Path(__file__).parents[2] / "deploy/observe/rules.yml").read_text())
    (rules,) = kinds(render("", ("monitoring",)), "PrometheusRule")
    assert rules["spec"] == plain


def test_grafanas_sidecar_finds_the_dashboard_that_is_elsewhere_a_file(render: Render) -> None:
    (found,) = (each for each in kinds(render("", ("monitoring",)), "ConfigMap") if "data" in each
                and "germline.json" in each["data"])  # fmt: skip
    plain = (Path(__file__).parents[2] / "deploy/observe/grafana/germline.json").read_text()
    assert found["data"]["germline.json"] == plain
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["namespace"] == "germline"


def test_an_external_store_leaves_no_trace_of_our_own(render: Render) -> None:
    at = by_name(render("", ("external-store",)))
    assert not [name for name in at if "germline-store" in name]
    assert {"name": "GERMLINE_STORE_FILE", "value": "/secrets/store/url"} in container(at)["env"]
