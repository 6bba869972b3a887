"""deploy/aws: the stack lints, says only what the APIs take, and keeps the rules here, whatever is chosen.

Each rule is a function that says what is wrong; a test breaks the good stack for each and sees it complain.
All of them look at the template with its conditions decided.
"""

import asyncio
import copy
import importlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from germline.client import Client, RefusedError
from germline.settings import read
from master import embedded_metrics
from master.config import MasterConfig
from master.server import Master
from worker.config import WorkerConfig

Properties = dict[str, Any]
Resources = dict[str, dict[str, Any]]

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "deploy" / "aws" / "germline.yaml"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
GIVEN = {"MasterImage": "m", "WorkerImage": "w", "MasterSecret": ARN + "m", "WorkerSecret": ARN + "w"}
EXISTING = {"Network": "existing", "VpcId": "vpc-0a1b2c3d", "SubnetIds": "subnet-0a1b2c3d,subnet-0a1b2c3e"}
CHOICES = [
    [{"Capacity": "managed"}, {"Capacity": "ec2"}, {"Capacity": "fargate"}],
    [{"Network": "nat"}, {"Network": "endpoints"}, {"Network": "public"}, EXISTING],
    [{"Store": "efs"}, {"Store": "elasticache", "Masters": "2"}],
    [{"Exec": "yes"}, {"Exec": "no", "OperatorsFrom": "10.1.0.0/16"}],
    [{"Spot": "yes"}, {"Spot": "no"}],
    [{"Gpus": "0"}, {"Gpus": "1"}],
    [{"Mail": ""}, {"Mail": "a@example.org", "MonthlyBudget": "50"}],
]
COMBINATIONS = [
    combined
    for chosen in itertools.product(*CHOICES)
    if not ((combined := {k: v for each in chosen for k, v in each.items()})["Capacity"] == "fargate"
            and combined["Gpus"] != "0")
]  # fmt: skip
SOME = [each for number, each in enumerate(COMBINATIONS) if number % 29 == 3]
"""Few of them, with every value of every choice; a test counts."""


# A template with its conditions decided


def _loader() -> Any:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not here: pip install 'germline[deploy]'")

    class Loader(yaml.SafeLoader):  # type: ignore[misc,name-defined]
        pass

    def short(loader: Any, tag: str, node: Any) -> Properties:
        build = {"scalar": loader.construct_scalar, "sequence": loader.construct_sequence}
        kind = "scalar" if isinstance(node, yaml.ScalarNode) else "sequence"
        value = build[kind](node, deep=True) if kind == "sequence" else build[kind](node)
        if tag == "GetAtt":
            value = value.split(".", 1)
        return {tag if tag == "Ref" else f"Fn::{tag}": value}

    Loader.add_multi_constructor("!", short)
    return Loader


@pytest.fixture(scope="module")
def template() -> Properties:
    loader = _loader()
    found: Properties = importlib.import_module("yaml").load(TEMPLATE.read_text(), loader)
    return found


GONE = object()


class Resolver:
    """What a template becomes with these parameters: no conditions, parameters as texts."""

    def __init__(self, template: Properties, parameters: dict[str, str]) -> None:
        defaults = {name: str(each.get("Default", "")) for name, each in template["Parameters"].items()}
        self.values = defaults | GIVEN | parameters | {"AWS::StackName": "fleet"}
        self._conditions = template["Conditions"]
        self.resources: Resources = {
            name: self.resolve({k: v for k, v in each.items() if k != "Condition"})
            for name, each in template["Resources"].items()
            if "Condition" not in each or self.holds(each["Condition"])
        }

    def holds(self, condition: Any) -> bool:
        if isinstance(condition, str):
            return self.holds(self._conditions[condition])
        ((kind, given),) = condition.items()
        if kind == "Condition":
            return self.holds(given)
        if kind == "Fn::Equals":
            return len({str(self.resolve(each)) for each in given}) == 1
        found = [self.holds(each) for each in given]
        return {"Fn::Not": not found[0], "Fn::And": all(found), "Fn::Or": any(found)}[kind]

    def resolve(self, node: Any) -> Any:
        if isinstance(node, list):
            return [each for each in map(self.resolve, node) if each is not GONE]
        if not isinstance(node, dict):
            return node
        if set(node) == {"Ref"}:
            return GONE if node["Ref"] == "AWS::NoValue" else self.values.get(node["Ref"], node)
        if set(node) == {"Fn::If"}:
            condition, yes, no = node["Fn::If"]
            return self.resolve(yes if self.holds(condition) else no)
        if set(node) == {"Fn::Sub"}:
            text = str(node["Fn::Sub"])
            for name, value in self.values.items():
                text = text.replace(f"${{{name}}}", value)
            return text if "${" not in text else {"Fn::Sub": text}
        return {key: value for key, old in node.items() if (value := self.resolve(old)) is not GONE}


@pytest.fixture(scope="module")
def stacks(template: Properties) -> list[Resources]:
    return [Resolver(template, each).resources for each in [COMBINATIONS[0], *SOME]]


# The rules


def of(stack: Resources, *kinds: str) -> Iterator[tuple[str, Properties]]:
    for name, each in stack.items():
        if each["Type"] in kinds:
            yield name, each["Properties"]


def containers(stack: Resources) -> Iterator[Properties]:
    for _, task in of(stack, "AWS::ECS::TaskDefinition"):
        yield from task["ContainerDefinitions"]


def container(stack: Resources, name: str) -> Properties:
    return next(each for each in containers(stack) if each["Name"] == name)


def environment(stack: Resources, name: str) -> dict[str, str]:
    return {each["Name"]: each["Value"] for each in container(stack, name)["Environment"]}


def statements(stack: Resources) -> Iterator[Properties]:
    for _, role in of(stack, "AWS::IAM::Role"):
        for policy in role.get("Policies", ()):
            yield from policy["PolicyDocument"]["Statement"]


def nobody_comes_in_from_the_world(stack: Resources) -> Iterator[str]:
    rules = [rule for _, rule in of(stack, "AWS::EC2::SecurityGroupIngress")]
    for _, group in of(stack, "AWS::EC2::SecurityGroup"):
        rules += group.get("SecurityGroupIngress", ())
    for rule in rules:
        source = rule.get("CidrIp", "10.")
        if not source.startswith("10.") or "CidrIpv6" in rule:
            yield f"{source} comes in"


def rights_are_named(stack: Resources) -> Iterator[str]:
    for each in statements(stack):
        actions = [each["Action"]] if isinstance(each["Action"], str) else each["Action"]
        if any("*" in action for action in actions):
            yield f"{actions} are too many"
        everywhere = ("ecr:GetAuthorizationToken", "ssmmessages:")  # which know no resources
        if each["Resource"] == "*" and not all(action.startswith(everywhere) for action in actions):
            yield f"{actions} on everything"


def workers_know_nothing_of_operators(stack: Resources) -> Iterator[str]:
    if "TaskRoleArn" in stack["WorkerTask"]["Properties"]:
        yield "a worker has rights"
    for name in ("WorkerTask", "WorkerStarts", "Workers"):
        if ARN + "m" in json.dumps(stack[name]):
            yield f"{name} reads the master's secret"


def containers_are_tight(stack: Resources) -> Iterator[str]:
    is_exec = stack["Master"]["Properties"]["EnableExecuteCommand"]
    for each in containers(stack):
        is_open = is_exec and each["Name"] == "master"  # the agent of ECS Exec writes there
        if each["ReadonlyRootFilesystem"] is is_open:
            yield f"{each['Name']} may write, or cannot where it must"
        if each["LinuxParameters"] != {"Capabilities": {"Drop": ["ALL"]}}:
            yield f"{each['Name']} has capabilities"
        if each["User"] != "10001:10001" and each.get("Essential", True):
            yield f"{each['Name']} is somebody else"


def secrets_are_files(stack: Resources) -> Iterator[str]:
    for each in containers(stack):
        if each["Name"] != "secrets" and "Secrets" in each:
            yield f"{each['Name']} has secrets among its variables"
        if each["Name"] != "secrets" and each["DependsOn"][0]["Condition"] != "SUCCESS":
            yield f"{each['Name']} does not wait for its secrets"


def the_fleet_scales_by_what_the_master_writes(stack: Resources) -> Iterator[str]:
    if "DesiredCount" in stack["Workers"]["Properties"]:
        yield "every update would set the number of workers again"
    fleet = [{"Name": "fleet", "Value": environment(stack, "master")["GERMLINE_METRICS_EMF"]}]
    for name, alarm in of(stack, "AWS::CloudWatch::Alarm"):
        for metric in [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", ())[1:]] or [alarm]:
            if metric["Dimensions"] != fleet or metric["Namespace"] != embedded_metrics.NAMESPACE:
                yield f"{name} looks at another fleet"
            if metric["MetricName"] not in embedded_metrics.NAMES:
                yield f"{name} looks at {metric['MetricName']}, which nobody writes"


def one_master_serves(stack: Resources) -> Iterator[str]:
    master = stack["Master"]["Properties"]
    if master["DeploymentConfiguration"]["MaximumPercent"] != 100:
        yield "an update would start a master beside the old one"
    if str(master["DesiredCount"]) != "1" and "Cache" not in stack:
        yield "two masters on one folder"


def drains_fit(stack: Resources) -> Iterator[str]:
    if not 5 <= container(stack, "worker")["StopTimeout"] <= 30:
        yield "a worker drains for seconds, and Spot gives little more"
    if not 25 <= container(stack, "master")["StopTimeout"] <= 120:
        yield "the master drains for 20 s, and Fargate gives 120"


def what_is_named_exists(stack: Resources) -> Iterator[str]:
    text = json.dumps({name: each["Properties"] for name, each in stack.items() if "Properties" in each})
    named = {each["Ref"] for each in _nodes(json.loads(text), "Ref")}
    named |= {each["Fn::GetAtt"][0] for each in _nodes(json.loads(text), "Fn::GetAtt")}
    yield from (f"{name} is not there" for name in named if name not in stack and "::" not in name)


def _nodes(node: Any, key: str) -> Iterator[Properties]:
    if isinstance(node, dict) and key in node:
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _nodes(each, key)


def the_journal_outlives_the_stack(stack: Resources) -> Iterator[str]:
    for kind in ("AWS::EFS::FileSystem", "AWS::ElastiCache::ReplicationGroup"):
        for name, each in stack.items():
            if each["Type"] == kind and each.get("DeletionPolicy") not in ("Retain", "Snapshot"):
                yield f"{name} goes with the stack"


def names_come_from_the_stack(stack: Resources) -> Iterator[str]:
    ours = ("Family", "PolicyName", "ClusterName", "RoleName", "LogGroupName", "ServiceName", "AlarmName")
    kinds = ("AWS::ECS::", "AWS::Logs", "AWS::CloudWatch", "AWS::ApplicationAutoScaling", "AWS::IAM::Role")
    for name, each in stack.items():
        for key, value in each.get("Properties", {}).items():
            if (
                each["Type"].startswith(kinds)
                and key in ours
                and "fleet" not in str(value) + "fleet" * (isinstance(value, dict))
            ):
                yield f"{name} is called {value} in every stack"


def workers_find_the_master(stack: Resources) -> Iterator[str]:
    names = dict(of(stack, "AWS::ServiceDiscovery::PrivateDnsNamespace"))
    host = f"{stack['MasterName']['Properties']['Name']}.{names['Names']['Name']}"
    port = stack["WorkersReachTheMaster"]["Properties"]["FromPort"]
    if environment(stack, "worker")["GERMLINE_MASTER"] != f"{host}:{port}":
        yield f"the master is at {host}:{port}"
    if environment(stack, "master")["GERMLINE_LISTEN"] != f"0.0.0.0:{port}":
        yield f"the master does not listen at {port}"


def change(path: str, value: object) -> Callable[[Resources], object]:
    """Sets one property, "Resource.key.0.key"."""

    def changed(stack: Resources) -> None:
        name, *keys = path.split(".")
        node: Any = stack[name]
        for key in keys[:-1]:
            node = node[int(key)] if key.isdigit() else node[key]
        node[keys[-1]] = value

    return changed


RULES: dict[Callable[[Resources], Iterator[str]], Callable[[Resources], object]] = {
    nobody_comes_in_from_the_world: change("WorkersReachTheMaster.Properties.CidrIp", "0.0.0.0/0"),
    rights_are_named: change("MasterStarts.Properties.Policies.0.PolicyDocument.Statement.3.Resource", "*"),
    workers_know_nothing_of_operators: change("WorkerTask.Properties.TaskRoleArn", "arn"),
    containers_are_tight: lambda at: container(at, "worker").update(ReadonlyRootFilesystem=False),
    secrets_are_files: lambda at: container(at, "worker").update(Secrets=[]),
    the_fleet_scales_by_what_the_master_writes: change("WantedAlarm.Properties.MetricName", "workers"),
    one_master_serves: change("Master.Properties.DeploymentConfiguration.MaximumPercent", 200),
    drains_fit: lambda at: container(at, "worker").update(StopTimeout=120),
    what_is_named_exists: lambda at: at.pop("MasterRole"),
    the_journal_outlives_the_stack: lambda at: at["FileSystem"].pop("DeletionPolicy"),
    names_come_from_the_stack: change("Cluster.Properties.ClusterName", "germline"),
    workers_find_the_master: change("MasterName.Properties.Name", "germline"),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_stacks_keep_the_rule(
    stacks: list[Resources], rule: Callable[[Resources], Iterator[str]]
) -> None:
    assert [wrong for stack in stacks for wrong in rule(stack)] == []


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_notices_when_it_is_broken(
    stacks: list[Resources], rule: Callable[[Resources], Iterator[str]]
) -> None:
    broken = copy.deepcopy(stacks[0])
    RULES[rule](broken)
    assert list(rule(broken))


@pytest.mark.parametrize("wanted", [0, 1, 2, 3, 5, 7, 9, 47, 48, 511, 512, 100_000])
def test_a_fleet_is_never_more_than_wanted_and_zero_only_where_none_is(
    stacks: list[Resources], wanted: int
) -> None:
    """As Application Auto Scaling reads steps: bounds are distances from the alarm's threshold, 0."""
    policy = stacks[0]["AsManyAsWanted"]["Properties"]["StepScalingPolicyConfiguration"]
    assert stacks[0]["WantedAlarm"]["Properties"]["Threshold"] == 0
    (size,) = (
        each["ScalingAdjustment"]
        for each in policy["StepAdjustments"]
        if each["MetricIntervalLowerBound"] <= wanted < each.get("MetricIntervalUpperBound", float("inf"))
    )
    assert size <= wanted
    assert size >= min(wanted * 2 / 3, 512) or size == wanted


def test_the_template_lints_and_has_room_for_more(tool: Callable[[str], str]) -> None:
    done = subprocess.run([tool("cfn-lint"), TEMPLATE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert TEMPLATE.stat().st_size < 51_200, "the API takes no longer text"


# The APIs' own models


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("botocore", reason="botocore is not here: pip install 'germline[deploy]'")
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return importlib.import_module("api_models")


def test_some_combinations_have_every_value() -> None:
    for choice in CHOICES:
        assert all(any(value.items() <= each.items() for each in SOME) for value in choice)


def test_every_property_is_one_that_the_api_takes(stacks: list[Resources], models: Any) -> None:
    for stack in stacks:
        for kind in models.NAMED:
            for name, properties in of(stack, kind):
                models.check(kind, properties, name)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("AsManyAsWanted.Properties.StepScalingPolicyConfiguration.AdjustmentType", "ExactlyCapacity"),
        (
            "ManagedCapacity.Properties.ManagedInstancesProvider.InstanceLaunchTemplate.CapacityOptionType",
            "CHEAP",
        ),
        ("WantedAlarm.Properties.TreatMissing", "notBreaching"),
    ],
)
def test_a_property_that_the_api_does_not_take_is_noticed(
    stacks: list[Resources], models: Any, path: str, value: str
) -> None:
    broken = copy.deepcopy(stacks[0])
    change(path, value)(broken)
    resource = broken[path.partition(".")[0]]
    with pytest.raises(ValueError, match=r"allowed: |has no "):
        models.check(resource["Type"], resource["Properties"], "name")


# On a real master and worker


def test_what_the_stack_says_starts_a_master_that_lets_a_worker_work_and_nothing_else(
    stacks: list[Resources], tmp_path: Path
) -> None:
    pytest.importorskip("cryptography", reason="pip install 'germline[certificates]'")
    script = ROOT / "deploy" / "aws" / "make_secrets.py"
    subprocess.run([sys.executable, script, "fleet", tmp_path / "made"], check=True, capture_output=True)
    here = {name: _placed(stacks[0], name, tmp_path) for name in ("master", "worker")}
    config = read(MasterConfig, dict.fromkeys(MasterConfig.__dataclass_fields__), here["master"])
    assert config.unprotected == ""
    assert config.metrics_emf == "fleet"
    worker = read(WorkerConfig, dict.fromkeys(WorkerConfig.__dataclass_fields__), here["worker"])
    operator = (tmp_path / "made" / "operator-token").read_text().strip()
    _call(config, worker.token, operator, worker.ca)


def _placed(stack: Resources, name: str, tmp_path: Path) -> dict[str, str]:
    """Run the container that writes the secrets, in a folder; returns the other one's variables."""
    folder = tmp_path / name
    folder.mkdir()
    task = stack["MasterTask" if name == "master" else "WorkerTask"]["Properties"]
    first = task["ContainerDefinitions"][0]
    secret = json.loads((tmp_path / "made" / f"{name}.json").read_text())
    given = {each["Name"]: secret[each["ValueFrom"].split(":")[7]] for each in first["Secrets"]}
    command = [*first["EntryPoint"], first["Command"][0].replace("/secrets", str(folder))]
    subprocess.run(command, check=True, env=os.environ | given)
    moved = {"/secrets": str(folder), "/var/lib/germline": str(tmp_path), "0.0.0.0:7700": "localhost:0"}
    values = environment(stack, name)
    for old, new in moved.items():
        values = {key: value.replace(old, new) for key, value in values.items()}
    return values


def _call(config: MasterConfig, worker: str, operator: str, ca: Path | None) -> None:
    def ask(address: str) -> None:
        with Client(address, token=operator, ca=ca) as client:
            assert client.experiments() == []
        with Client(address, token=worker, ca=ca) as client, pytest.raises(RefusedError):
            client.experiments()

    async def serve() -> None:
        async with Master.serving(replace(config, metrics_port=0)) as master:
            await asyncio.to_thread(ask, master.address)

    asyncio.run(serve())
