"""Properties of CloudFormation held to the real APIs' own models, as botocore carries them.

A name that the API does not know, a wrong type, a value outside of an enumeration, and a property that is
required and missing are refused, without any cloud.
"""

from __future__ import annotations

import json
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.validate import ParamValidator

Properties = dict[str, Any]

NAMED = {
    "AWS::ECS::CapacityProvider": ("ecs", "CreateCapacityProvider", "name"),
    "AWS::ECS::ClusterCapacityProviderAssociations": ("ecs", "PutClusterCapacityProviders", ""),
    "AWS::ApplicationAutoScaling::ScalableTarget": ("application-autoscaling", "RegisterScalableTarget", ""),
    "AWS::ApplicationAutoScaling::ScalingPolicy": ("application-autoscaling", "PutScalingPolicy", ""),
    "AWS::ServiceDiscovery::PrivateDnsNamespace": ("servicediscovery", "CreatePrivateDnsNamespace", ""),
    "AWS::ServiceDiscovery::Service": ("servicediscovery", "CreateService", ""),
    "AWS::ElastiCache::SubnetGroup": ("elasticache", "CreateCacheSubnetGroup", "CacheSubnetGroupName"),
    "AWS::ElastiCache::ParameterGroup": (
        "elasticache", "CreateCacheParameterGroup", "CacheParameterGroupName"
    ),
    "AWS::ElastiCache::ReplicationGroup": ("elasticache", "CreateReplicationGroup", "ReplicationGroupId"),
    "AWS::CloudWatch::Alarm": ("cloudwatch", "PutMetricAlarm", "AlarmName"),
    "AWS::Budgets::Budget": ("budgets", "CreateBudget", ""),
    "AWS::S3::BucketPolicy": ("s3", "PutBucketPolicy", ""),
}  # fmt: skip
"""What each type becomes: a service, its call, and the parameter for a name of CloudFormation's own."""

_session = botocore.session.Session()


def fit(shape: Shape, value: Any, where: str) -> Any:
    """A property in the words and types of the API. Raises ValueError if it has no such word or value."""
    if isinstance(shape, StructureShape):
        members = {name.lower(): name for name in shape.members}
        unknown = [name for name in value if name.lower() not in members]
        if unknown:
            raise ValueError(f"{where} has no {unknown[0]}")
        pairs = ((members[name.lower()], name) for name in value)
        return {theirs: fit(shape.members[theirs], value[ours], f"{where}.{ours}") for theirs, ours in pairs}
    if isinstance(shape, ListShape):
        return [fit(shape.member, each, where) for each in value]
    if isinstance(shape, MapShape):
        return {name: fit(shape.value, each, f"{where}.{name}") for name, each in value.items()}
    kinds: dict[str, type] = {"integer": int, "long": int, "float": float, "double": float, "boolean": bool}
    found = kinds.get(shape.type_name, str)(value)
    enum = getattr(shape, "enum", ())
    if enum and found not in enum:
        raise ValueError(f"{where} is {found!r}; allowed: {', '.join(enum)}")
    return found


def check(kind: str, properties: Properties, name: str) -> Properties:
    """Hold properties of a resource to the API; returns the parameters of the call that makes it.

    Raises:
        ValueError: with what is wrong.
    """
    service, call, named = NAMED[kind]
    shape = _session.get_service_model(service).operation_model(call).input_shape
    assert shape is not None
    given: Properties = fit(
        shape, _as_called(kind, properties, name) | ({named: name} if named else {}), kind
    )
    report = ParamValidator().validate(given, shape)
    if report.has_errors():
        raise ValueError(f"{kind}: {report.generate_report()}")
    return given


def _as_called(kind: str, properties: Properties, name: str) -> Properties:
    """What CloudFormation calls otherwise than the API does."""
    given = dict(properties)
    if kind == "AWS::ECS::CapacityProvider" and "ClusterName" in given:
        given["cluster"] = given.pop("ClusterName")
    elif kind == "AWS::ApplicationAutoScaling::ScalingPolicy":
        target = str(given.pop("ScalingTargetId"))  # RESOURCE|DIMENSION|SERVICE, where it is resolved
        given |= {"ResourceId": target.partition("|")[0], "ServiceNamespace": "ecs"}
        given["ScalableDimension"] = "ecs:service:DesiredCount"
    elif kind == "AWS::ElastiCache::SubnetGroup":
        given["CacheSubnetGroupDescription"] = given.pop("Description")
    elif kind == "AWS::ElastiCache::ParameterGroup":
        given.pop("Properties")
    elif kind == "AWS::Budgets::Budget":
        given |= {"AccountId": "123456789012", "Budget": {"BudgetName": name} | given["Budget"]}
    elif kind == "AWS::S3::BucketPolicy":
        given["Policy"] = json.dumps(given.pop("PolicyDocument"))
    return given
