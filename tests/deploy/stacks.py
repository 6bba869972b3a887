"""deploy/aws/germline.yaml with its conditions decided: what tests of it share."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Properties = dict[str, Any]
Resources = dict[str, dict[str, Any]]

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "deploy" / "aws" / "germline.yaml"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
GIVEN = {"MasterImage": "m", "WorkerImage": "w", "MasterSecret": ARN + "m", "WorkerSecret": ARN + "w"}
NAMES = {"AWS::StackName": "fleet", "AWS::Region": "us-east-1"}
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


def read_template() -> Properties:
    """The template as a document, with short forms of functions written out."""
    loader = _loader()
    found: Properties = importlib.import_module("yaml").load(TEMPLATE.read_text(), loader)
    return found


GONE = object()


class Resolver:
    """What a template becomes with these parameters: no conditions, parameters as texts."""

    def __init__(self, template: Properties, parameters: dict[str, str]) -> None:
        defaults = {name: str(each.get("Default", "")) for name, each in template["Parameters"].items()}
        self.values = defaults | GIVEN | parameters | NAMES
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


def change(path: str, value: object) -> Callable[[Resources], object]:
    """Sets one property, "Resource.key.0.key"."""

    def changed(stack: Resources) -> None:
        name, *keys = path.split(".")
        node: Any = stack[name]
        for key in keys[:-1]:
            node = node[int(key)] if key.isdigit() else node[key]
        node[keys[-1]] = value

    return changed
