"""deploy/aws: the template lints, and says only what the APIs take."""

import copy
import importlib
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.deploy.stacks import CHOICES, SOME, TEMPLATE, Resources, change, of


def test_the_template_lints_and_has_room_for_more(tool: Callable[[str], str]) -> None:
    done = subprocess.run([tool("cfn-lint"), TEMPLATE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert TEMPLATE.stat().st_size < 51_200, "the API takes no longer text"


@pytest.fixture
def models() -> Any:
    pytest.importorskip("botocore", reason="botocore is not here: pip install 'germline[deploy]'")
    return importlib.import_module("tests.deploy.api_models")


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
