"""Champions are published as they come; who is interrupted goes on, and nothing is half there."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from germline.card import parse_card
from germline.cli.app import run
from germline.cli.archive import Archive
from germline.cli.folder import RunFolder
from germline.cli.publication import Contents, Publication
from germline.client import Experiment, HistoryPoint, Individual, KnownReturns, RefusedError, Worker
from germline.destinations import DestinationError, Folder
from germline.genome import Genome, Mutation, float32, format_id

FIRST = Genome.founder(1).child(Mutation(2, float32(0.02)))
SECOND = FIRST.child(Mutation(3, float32(0.02)))


class Told:
    """An experiment whose looks are told beforehand. A Source."""

    is_up = True

    def __init__(self, look: Experiment) -> None:
        self.look = look
        self.genomes = {FIRST.id: FIRST, SECOND.id: SECOND}

    def workers(self) -> list[Worker]:
        return []

    def experiment(self) -> Experiment:
        return self.look

    def individual(self, individual_id: int | None = None) -> Individual:
        if individual_id not in self.genomes:
            raise RefusedError("localhost:1", "no such individual")
        return replace(champion(self.genomes[individual_id], 0), genome=self.genomes[individual_id])

    def individuals(self, limit: int) -> list[Individual]:
        raise NotImplementedError

    def returns(self) -> Iterator[KnownReturns]:
        raise NotImplementedError

    def history(self) -> list[HistoryPoint]:
        raise NotImplementedError

    def centre(self) -> bytes:
        raise NotImplementedError

    def watch(self, interval_s: float) -> Iterator[Experiment]:
        yield self.look

    def back_up(self) -> bytes:
        return b"all of it"


class Failing(Folder):
    """Takes nothing beyond so many files."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.room = 0

    def write(self, name: str, data: bytes) -> None:
        if not self.room:
            raise DestinationError("it is full")
        self.room -= 1
        super().write(name, data)


def champion(genome: Genome, episodes: int) -> Individual:
    mean = 1.5 if episodes else None
    return Individual(genome.id, 1.0, len(genome), mean, episodes, None, None, title_episodes=20)


@pytest.fixture
def look(archived: str) -> Callable[..., Experiment]:
    """The experiment with a champion that was played so often since it was crowned."""
    plain = Archive(RunFolder(Path(archived))).experiment()

    def looked(genome: Genome, episodes: int, *, is_over: bool = False) -> Experiment:
        state = "complete" if is_over else "running"
        return replace(plain, state=state, champion=champion(genome, episodes))  # type: ignore[arg-type]

    return looked


def published(folder: Path) -> list[str]:
    table = json.loads((folder / "pong" / "published.json").read_text())
    return [each["id"] for each in table["champions"]]


def test_each_champion_has_its_card_and_the_newest_lies_at_the_top(
    look: Callable[..., Experiment], tmp_path: Path
) -> None:
    publication = Publication(Told(look(FIRST, 0)), Folder(tmp_path), Contents())
    for genome in (FIRST, SECOND):
        assert publication.follow(look(genome, 0))
        assert publication.follow(look(genome, 0)) is None, "it is there already"
    assert published(tmp_path) == [format_id(FIRST.id), format_id(SECOND.id)]
    for genome in (FIRST, SECOND):
        file = tmp_path / "pong" / "champions" / format_id(genome.id) / "champion.toml"
        assert parse_card(file.read_text()).genome == genome
    assert parse_card((tmp_path / "pong" / "champion.toml").read_text()).genome == SECOND


def test_who_starts_again_goes_on_where_it_was(look: Callable[..., Experiment], tmp_path: Path) -> None:
    Publication(Told(look(FIRST, 0)), Folder(tmp_path), Contents()).follow(look(FIRST, 0))
    again = Publication(Told(look(FIRST, 0)), Folder(tmp_path), Contents())
    assert again.follow(look(FIRST, 0)) is None
    assert again.follow(look(SECOND, 0))
    assert published(tmp_path) == [format_id(FIRST.id), format_id(SECOND.id)]


def test_a_card_is_written_again_once_its_mean_is_much_sharper_and_at_the_end(
    look: Callable[..., Experiment], tmp_path: Path
) -> None:
    publication = Publication(Told(look(FIRST, 0)), Folder(tmp_path), Contents())

    def episodes(number: int, *, is_over: bool = False) -> int:
        publication.follow(look(FIRST, number, is_over=is_over))
        score = parse_card((tmp_path / "pong" / "champion.toml").read_text()).score
        return score.episodes if score else 0

    told = [episodes(0), episodes(1), episodes(10), episodes(19), episodes(20), episodes(21)]
    assert told == [0, 0, 10, 10, 20, 20]
    assert episodes(21, is_over=True) == 21
    assert published(tmp_path) == [format_id(FIRST.id)]


def test_a_champion_is_listed_only_when_all_of_it_is_there(
    look: Callable[..., Experiment], tmp_path: Path
) -> None:
    place = Failing(tmp_path)
    publication = Publication(Told(look(FIRST, 0)), place, Contents())
    for room in (0, 1, 2):
        place.room = room
        with pytest.raises(DestinationError):
            publication.follow(look(FIRST, 0))
        assert not (tmp_path / "pong" / "published.json").exists()
    place.room = 3
    assert publication.follow(look(FIRST, 0)), "the next look tries again"
    assert published(tmp_path) == [format_id(FIRST.id)]


def test_a_champion_that_is_not_at_hand_any_more_is_passed_over(
    look: Callable[..., Experiment], tmp_path: Path
) -> None:
    source = Told(look(FIRST, 0))
    source.genomes.pop(FIRST.id)
    assert Publication(source, Folder(tmp_path), Contents()).follow(look(FIRST, 0)) is None
    assert not (tmp_path / "pong").exists()


@pytest.mark.parametrize("text", ["{", '{"format": 2, "experiment": "pong", "champions": []}', "[]"])
def test_a_list_that_cannot_be_read_is_never_written_over(
    look: Callable[..., Experiment], tmp_path: Path, text: str
) -> None:
    (tmp_path / "pong").mkdir()
    (tmp_path / "pong" / "published.json").write_text(text)
    with pytest.raises(DestinationError, match=r"pong/published\.json there cannot be read"):
        Publication(Told(look(FIRST, 0)), Folder(tmp_path), Contents())


def test_the_command_publishes_what_a_run_left(
    archived: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(archived) / "experiment.json"
    fields = json.loads(file.read_text())
    fields["spec"] = fields["spec"].replace('game = "pong"', 'game = "pong"\nmax_frames = 400')
    fields["champion"] = json.loads((Path(archived) / "individuals.json").read_text())["best"]
    file.write_text(json.dumps(fields))
    to = tmp_path / "shown"
    command = ["publish", "--run", archived, "--to", str(to), "--weights", "--video"]
    assert run(command) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line == f"{published(to)[0]}: 1.5 over 4 fresh episodes, after 3 evaluations"
    made = {each.name for each in to.rglob("champions/*/*")}
    assert made == {"champion.toml", "weights.safetensors", "video.mp4"}
    assert run(command) == 0
    assert capsys.readouterr().out == "", "nothing is new"
    assert run([*command, "--backup"]) == 3


@pytest.mark.parametrize("to", ["s3://", "s3://Bucket/x", "http://somewhere", "s3://a"])
def test_where_nothing_can_be_published_is_refused_by_name(
    archived: str, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["publish", "--run", archived, "--to", to]) == 2
    assert f"--to is '{to}'; allowed: a folder, or s3://BUCKET/PREFIX" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_said_and_ends_with_1(
    archived: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run(["publish", "--run", archived, "--to", str(tmp_path / "file")]) == 1
    assert "cannot be read: Not a directory" in capsys.readouterr().err
