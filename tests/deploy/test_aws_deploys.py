"""deploy/aws deploys on moto's server, with every value of every choice.

What moto's CloudFormation lacks is named here; moto_plugins.py puts calls of the same API in its place.
"""

import importlib
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from germline.ports import free_port
from tests.deploy.stacks import COMBINATIONS, GIVEN, ROOT, SOME, TEMPLATE, Resolver, Resources, read_template

PATIENCE_S = 120.0
MISSING = {
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::Budgets::Budget",
    "AWS::CloudWatch::Alarm",
    "AWS::ECS::CapacityProvider",
    "AWS::ECS::ClusterCapacityProviderAssociations",
    "AWS::ElastiCache::ParameterGroup",
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::ElastiCache::SubnetGroup",
    "AWS::S3::BucketPolicy",
    "AWS::ServiceDiscovery::PrivateDnsNamespace",
    "AWS::ServiceDiscovery::Service",
}
"""Of the template's types, those that moto 5.2 makes no resource of."""
DEPLOYED = [COMBINATIONS[0], *SOME]

Client = Any


def is_up(address: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{address}/moto-api/") as answer:  # noqa: S310 - our own
        return bool(answer.status == 200)
    return False


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """An imitation of AWS, as a process of its own: where it is, and its log."""
    pytest.importorskip("moto", reason="moto is not here: pip install 'germline[deploy]'")
    port, log = free_port(), tmp_path_factory.mktemp("moto") / "log"
    command = [sys.executable, "-m", "tests.deploy.moto_plugins", "-H", "127.0.0.1", "-p", str(port)]
    known = {"AWS_ACCESS_KEY_ID": "of", "AWS_SECRET_ACCESS_KEY": "nobody", "PYTHONWARNINGS": "ignore"}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | known
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        give_up = time.monotonic() + PATIENCE_S
        while not is_up(f"http://127.0.0.1:{port}"):
            assert process.poll() is None and time.monotonic() < give_up, log.read_text()  # noqa: PT018
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}", log
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def server(moto: tuple[str, Path]) -> str:
    return moto[0]


def client(server: str, service: str) -> Client:
    boto3 = importlib.import_module("boto3")
    keys = {"aws_access_key_id": "of", "aws_secret_access_key": "nobody"}
    return boto3.client(service, "us-east-1", endpoint_url=server, **keys)


def own_network(server: str) -> dict[str, str]:
    """What an existing network is called."""
    ec2 = client(server, "ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=f"us-east-1{zone}")
        for number, zone in enumerate("ab")
    ]
    return {"VpcId": vpc, "SubnetIds": ",".join(each["Subnet"]["SubnetId"] for each in subnets)}


def deploy(server: str, name: str, parameters: dict[str, str]) -> Client:
    if parameters.get("Network") == "existing":
        parameters = parameters | own_network(server)
    cloudformation = client(server, "cloudformation")
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=TEMPLATE.read_text(),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in (GIVEN | parameters).items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    return cloudformation


def test_what_moto_lacks_is_known_by_name(moto: tuple[str, Path]) -> None:
    """Where moto has learned one of them, a plug-in fewer is needed."""
    lacking = re.findall(r"^moto lacks (\S+)$", moto[1].read_text(), flags=re.MULTILINE)
    assert set(lacking) == MISSING
    assert set(lacking) <= {each["Type"] for each in read_template()["Resources"].values()}


@pytest.mark.parametrize("number", range(len(DEPLOYED)))
def test_the_stack_deploys_with_all_its_resources(server: str, number: int) -> None:
    name, parameters = f"fleet{number}", DEPLOYED[number]
    cloudformation = deploy(server, name, parameters)
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    found = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    there = {each["LogicalResourceId"]: each["ResourceType"] for each in found if "LogicalResourceId" in each}
    wanted = Resolver(read_template(), parameters).resources
    assert there == {name: each["Type"] for name, each in wanted.items()}
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    assert outputs["MasterAddress"] == f"master.{name}.internal:7700"


def test_a_deployed_fleet_scales_from_zero_by_the_alarm_that_reads_what_is_wanted(
    server: str, stacks: list[Resources]
) -> None:
    deploy(server, "scaled", {"MaxWorkers": "77"})
    (alarm,) = [
        each
        for each in client(server, "cloudwatch").describe_alarms()["MetricAlarms"]
        if each["AlarmName"].startswith("scaled-WantedAlarm")
    ]
    scaling = client(server, "application-autoscaling")
    (policy,) = [
        each
        for each in scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
        if each["PolicyARN"] in alarm["AlarmActions"]
    ]
    targets = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    (target,) = [each for each in targets if each["ResourceId"] == policy["ResourceId"]]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 77)
    cluster, service = target["ResourceId"].split("/")[1:]
    (workers,) = client(server, "ecs").describe_services(cluster=cluster, services=[service])["services"]
    assert workers["taskDefinition"].rpartition("/")[2].startswith("scaled-worker")
    written = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
    assert (alarm["MetricName"], written) == ("germline_workers_wanted", {"fleet": "scaled"})
