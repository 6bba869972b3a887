"""moto's server, with what its CloudFormation lacks of deploy/aws: `python -m tests.deploy.moto_plugins`.

Each type that is missing becomes a call of the API by which CloudFormation would make it, to the same server.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import boto3
from moto.cloudformation import parsing  # noqa: F401 - brings all the models that there are
from moto.core.common_models import CloudFormationModel
from moto.ec2.models.route_tables import Route
from moto.server import main

from tests.deploy import api_models

Properties = dict[str, Any]
Made = tuple[str, Properties]
"""What a reference to a resource gives, and its attributes."""


def is_beyond_moto(kind: str, given: Properties) -> bool:
    """Whether moto's API lacks it, too: it is held to the API's own model, and a name stands in for it."""
    is_managed = kind == "AWS::ECS::CapacityProvider" and "autoScalingGroupProvider" not in given
    return is_managed or kind == "AWS::ElastiCache::ParameterGroup"


def _namespace(client: Any, given: Properties, _: Properties) -> Made:
    found = client.list_namespaces()["Namespaces"]
    (each,) = (each for each in found if each["Name"] == given["Name"])
    return each["Id"], {"Arn": each["Arn"], "Id": each["Id"]}


def _cache(_: Any, given: Properties, answer: Properties) -> Made:
    at = answer["ReplicationGroup"].get("ConfigurationEndpoint") or {
        "Address": "cache.internal",
        "Port": 6379,
    }
    attributes = {"ConfigurationEndPoint": at["Address"]}  # moto looks no deeper into an attribute
    return given["ReplicationGroupId"], attributes


MADE: dict[str, Callable[[Any, Properties, Properties], Made]] = {
    "AWS::ECS::CapacityProvider": lambda _, given, answer: (given["name"], {}),
    "AWS::ECS::ClusterCapacityProviderAssociations": lambda _, given, answer: (given["cluster"], {}),
    "AWS::ApplicationAutoScaling::ScalableTarget": lambda _, given, answer: (
        f"{given['ResourceId']}|{given['ScalableDimension']}|{given['ServiceNamespace']}", {},
    ),
    "AWS::ApplicationAutoScaling::ScalingPolicy": lambda _, given, answer: (answer["PolicyARN"], {}),
    "AWS::ServiceDiscovery::PrivateDnsNamespace": _namespace,
    "AWS::ServiceDiscovery::Service": lambda _, given, answer: (
        answer["Service"]["Id"], {name: answer["Service"][name] for name in ("Arn", "Id", "Name")},
    ),
    "AWS::ElastiCache::SubnetGroup": lambda _, given, answer: (given["CacheSubnetGroupName"], {}),
    "AWS::ElastiCache::ParameterGroup": lambda _, given, answer: (given["CacheParameterGroupName"], {}),
    "AWS::ElastiCache::ReplicationGroup": _cache,
    "AWS::CloudWatch::Alarm": lambda _, given, answer: (given["AlarmName"], {}),
    "AWS::Budgets::Budget": lambda _, given, answer: (given["Budget"]["BudgetName"], {}),
    "AWS::S3::BucketPolicy": lambda _, given, answer: (given["Bucket"], {}),
}  # fmt: skip


class _Resource:
    """What the missing types have in common."""

    kind: str

    def __init__(self, made: Made) -> None:
        self.physical_resource_id, self._attributes = made

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return True

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Properties, _account: str, region: str, **_: Any
    ) -> Any:
        service, call, _named = api_models.NAMED[cls.kind]
        given = api_models.check(cls.kind, cloudformation_json["Properties"], resource_name)
        client = boto3.client(service, region, endpoint_url=f"http://127.0.0.1:{os.environ['MOTO_PORT']}")
        method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in call).lstrip("_")
        answer = {} if is_beyond_moto(cls.kind, given) else getattr(client, method)(**given)
        return cls(MADE[cls.kind](client, given, answer))

    @classmethod
    def delete_from_cloudformation_json(cls, *_: Any) -> None:
        """A stack of a test goes with its server."""

    def is_created(self) -> bool:
        return True

    def get_cfn_attribute(self, name: str) -> Any:
        return self._attributes[name]


def plug_in() -> None:
    """Teach moto the types that it lacks, and say which; before it makes its first stack."""
    known = {each.cloudformation_type() for each in CloudFormationModel.__subclasses__()}
    for kind in sorted(api_models.NAMED.keys() - known):
        print(f"moto lacks {kind}", flush=True)  # noqa: T201 - a test reads it
        plain = {
            name: each for name, each in vars(_Resource).items() if name not in ("__dict__", "__weakref__")
        }
        plain |= {"cloudformation_type": staticmethod(lambda kind=kind: kind)}
        plain |= {"kind": kind, "__module__": "moto.germline"}  # moto files models by their module's name
        type(kind.replace("::", ""), (CloudFormationModel,), plain)
    # The master's service waits for the way out by this attribute, which moto does not know of a route.
    route: Any = Route
    route.get_cfn_attribute = lambda self, name: {"CidrBlock": self.destination_cidr_block}[name]


if __name__ == "__main__":
    plug_in()
    main(sys.argv[1:])
