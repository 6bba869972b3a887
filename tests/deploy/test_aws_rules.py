"""deploy/aws: whatever is chosen, the stack keeps the rules here.

Each rule is a function that says what is wrong; a test breaks the good stack for each and sees it complain.
"""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from master import embedded_metrics
from tests.deploy.stacks import ARN, Properties, Resources, change, container, containers, environment, of


def statements(stack: Resources) -> Iterator[Properties]:
    for _, role in of(stack, "AWS::IAM::Role"):
        for policy in role.get("Policies", ()):
            yield from policy["PolicyDocument"]["Statement"]
    for _, policy in of(stack, "AWS::IAM::Policy"):
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


def the_archive_is_where_every_master_reaches_it(stack: Resources) -> Iterator[str]:
    said = environment(stack, "master").get("GERMLINE_ARCHIVE")
    wanted = {"Fn::Sub": "s3://${Archive}/germline"} if "Cache" in stack else ""
    if said != wanted:  # without ElastiCache it lies beside the journal
        yield f"the archive is at {said}"
    for name, bucket in of(stack, "AWS::S3::Bucket"):
        if stack[name].get("DeletionPolicy") != "Retain":
            yield f"{name} goes with the stack"
        if not all(bucket["PublicAccessBlockConfiguration"].values()) or "BucketEncryption" not in bucket:
            yield f"{name} is in the open"
    if "Cache" in stack and _rights_in(stack, "Archive") != {
        "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"
    }:  # fmt: skip
        yield "the master may do more, or less, than it needs"


def _rights_in(stack: Resources, name: str) -> set[str]:
    found = [each for each in statements(stack) if name in json.dumps(each["Resource"])]
    actions = [[each["Action"]] if isinstance(each["Action"], str) else each["Action"] for each in found]
    return {action for some in actions for action in some}


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
    the_archive_is_where_every_master_reaches_it: lambda at: container(at, "master")["Environment"].append(
        {"Name": "GERMLINE_ARCHIVE", "Value": "/elsewhere"}
    ),
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


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Archive.Properties.PublicAccessBlockConfiguration.BlockPublicAcls", False),
        ("Archive.DeletionPolicy", "Delete"),
        ("ArchiveRights.Properties.PolicyDocument.Statement.0.Action", ["s3:GetObject"]),
    ],
)
def test_an_archive_in_the_open_or_out_of_reach_is_noticed(
    stacks: list[Resources], path: str, value: object
) -> None:
    broken = copy.deepcopy(next(stack for stack in stacks if "Archive" in stack))
    change(path, value)(broken)
    assert list(the_archive_is_where_every_master_reaches_it(broken))


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
