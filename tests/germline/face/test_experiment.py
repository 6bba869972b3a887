"""One experiment to look at: its curve and population as arrays, and what a notebook shows of it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import germline
from germline.client import HistoryPoint
from germline.face import html
from germline.face.arrays import History
from germline.face.running import RunResult

SPEC = """
name = "sphere"
[task.function]
path = "worker.tasks.function:noisy_sphere"
dimension = 4
[policy]
name = "vector"
[algorithm.ga]
window = 50
parents = 5
power = 0.2
[stop]
evaluations = 200
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("runs") / "sphere"
    return germline.run(SPEC, folder=folder, workers=1, verdict=0)


def test_a_run_is_looked_at_as_arrays_that_are_what_its_folder_says(run: RunResult) -> None:
    folder = run.folder
    seen = germline.experiment(folder)
    kept = json.loads((folder / "history.json").read_text())
    history = seen.history()
    assert history.evaluations.tolist() == [point["evaluations"] for point in kept]
    assert history.fitness.shape == (len(history), 5)
    assert history.median.tolist() == [point["fitness_quantiles"][2] for point in kept]
    table = history.frame()
    assert list(table.columns)[:4] == ["evaluations", "frames", "running_s", "q00"]
    assert len(table) == len(history) == 200
    population = seen.individuals(10)
    assert len(population) == 10
    assert np.all(np.diff(population.fitness) <= 0)
    assert population.frame()["id"].tolist() == list(population.ids)
    assert run.champion is not None
    assert seen.champion().individual.id == run.champion.id
    assert seen.look().name == "sphere"
    assert repr(seen) == "<germline experiment sphere, complete, 200 evaluations>"


def test_what_cannot_be_had_is_a_sentence(run: RunResult, tmp_path: Path) -> None:
    champion = germline.experiment(run.folder).champion()
    with pytest.raises(germline.GermlineError, match="plays no episodes that could be filmed"):
        champion.video()
    with pytest.raises(germline.GermlineError, match="is no folder; allowed: one that a run made"):
        germline.experiment(tmp_path / "nowhere")
    with pytest.raises(germline.GermlineError, match="left no results"):
        germline.experiment(tmp_path)


def test_what_a_notebook_shows_is_whole_and_has_nobodys_tags_but_ours(run: RunResult) -> None:
    seen = germline.experiment(run.folder)
    shown = seen._repr_html_() + seen.champion()._repr_html_()
    assert tags_of(shown) == {"div", "strong", "table", "tr", "th", "td", "svg", "polygon", "polyline"}
    assert "200" in shown
    assert "nan" not in shown


def tags_of(text: str) -> set[str]:
    """Its tags, each of which is closed where it has to be."""
    open_tags: list[str] = []
    seen: set[str] = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.add(tag)
            open_tags.append(tag)

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.add(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Reader().feed(text)
    assert open_tags == []
    return seen


EVIL = """<img src=x onerror=alert(1)>"'&"""


def test_strangers_words_are_text(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"film")
    one = np.array([0.0, 1.0])
    for shown in (
        html.table(EVIL, [(EVIL, EVIL)]),
        html.curve(one, one, one, one, EVIL),
        html.film(tmp_path / "a.mp4", EVIL),
    ):
        assert "img" not in tags_of(shown)
        assert "onerror=alert(1)&gt;&quot;&#x27;&amp;" in shown
        assert not re.search(r'"[^"<>]*<img', shown)


def test_a_curve_leaves_out_what_is_no_number_and_shows_nothing_of_one_point() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, np.nan, np.inf, 1.0])
    assert html.curve(x, y, y, y, "").count("nan") == 0
    assert '"0.0,120.0 360.0,0.0"' in html.curve(x, y, y, y, "")
    assert html.curve(x[:1], y[:1], y[:1], y[:1], "") == ""
    points = [HistoryPoint(1, 2, 0.5, (), None), HistoryPoint(2, 4, 1.0, (1.0,) * 5, 3.0)]
    history = History.of(points)
    assert np.isnan(history.fitness[0]).all()
    assert history.champion_mean.tolist()[1] == 3.0
    assert len(History.of([])) == 0


def test_a_score_that_is_not_known_any_more_is_shown_as_none(run: RunResult, tmp_path: Path) -> None:
    for file in run.folder.glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    kept = json.loads((tmp_path / "individuals.json").read_text())
    kept["best"] |= {"fitness": float("nan"), "validated_mean": None, "title_episodes": 0}
    (tmp_path / "individuals.json").write_text(json.dumps(kept))
    shown = germline.experiment(tmp_path).champion()._repr_html_()
    assert "not measured by fresh episodes" in shown
    assert "nan" not in shown
