"""What docs/serving.md shows and says is so."""

import re
from pathlib import Path
from types import ModuleType

from worker.serving import node, telling
from worker.serving.policy import PolicyModel

PAGE = (Path(__file__).parents[3] / "docs" / "serving.md").read_text()


class Policy:
    """Remembers what it was shown."""

    seen: object = None

    def tick(self, observation: object) -> None:
        self.seen = observation

    def predict(self) -> float:
        return 0.5


def test_the_class_of_ones_own_that_the_page_shows_works() -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    module = ModuleType("advice")
    exec(shown, module.__dict__)  # noqa: S102 - our own page
    policy = Policy()
    advisor = module.Advisor(policy, scale=4.0)
    advisor.tick({"open": 1, "close": 2, "volume": 3})
    assert policy.seen == [1, 2, 3]
    assert advisor.predict(3) == 6.0


def test_every_method_of_a_policy_is_on_the_page_and_no_other() -> None:
    offered = {name for name in dir(PolicyModel) if not name.startswith("_")}
    table = PAGE.partition("| method |")[2].partition("\n\n")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines()[1:] if "|" in line]
    assert set(re.findall(r"`(\w+)`", " ".join(first_cells))) == offered


def test_the_pauses_of_the_page_are_those_of_the_code() -> None:
    assert f"after {telling.FIRST_PAUSE_S:.0f} s, then" in PAGE
    assert f"up to {telling.LONGEST_PAUSE_S:.0f}, in" in PAGE
    assert f"it hangs for {node.STUCK_S:.0f} s" in PAGE
