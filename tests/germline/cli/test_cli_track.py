"""`germline track` on a run of a real game: champions with their cards and films, in three trackers."""

import json
import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

for _package in ("tensorboard", "tensorboardX", "wandb", "mlflow", "imageio_ffmpeg"):
    pytest.importorskip(_package, reason="pip install 'germline[worker,local,tensorboard,wandb,mlflow,dev]'")

GERMLINE = Path(sysconfig.get_path("scripts")) / "germline"


def track(archived: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "MLFLOW_"))}
    return subprocess.run(
        [GERMLINE, "track", "--run", archived, *arguments],
        env={**clean, "HOME": archived},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def crowned(archived: str) -> str:
    """The run with a champion, of a game that is short."""
    folder = Path(archived)
    experiment = json.loads((folder / "experiment.json").read_text())
    best = json.loads((folder / "individuals.json").read_text())["best"]
    experiment["champion"] = {**best, "genome": None}
    experiment["spec"] = experiment["spec"].replace('game = "pong"', 'game = "pong"\nmax_frames = 400')
    (folder / "experiment.json").write_text(json.dumps(experiment))
    return archived


def test_a_champion_comes_with_its_card_and_its_film_in_every_tracker(crowned: str) -> None:
    for to in ("tensorboard", "wandb", "mlflow"):
        told = track(crowned, "--to", to, "--json")
        assert told.returncode == 0, told.stderr
        assert json.loads(told.stdout)["champion"] is not None
    kept = Path(crowned) / "trackers"
    (film,) = (kept / "champions").glob("*.mp4")
    assert film.stat().st_size > 1_000
    _look_into_tensorboard(kept)
    _look_into_wandb(kept, film)
    assert {file.name for file in kept.glob("mlflow-artifacts/*/artifacts/champions/*")} == {
        film.name,
        film.with_suffix(".toml").name,
    }


def _look_into_tensorboard(kept: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415

    events = EventAccumulator(str(kept / "tensorboard" / "pong"))
    events.Reload()
    (picture,) = events.Images("champion/film")
    assert picture.encoded_image_string.startswith(b"GIF89a")
    assert (picture.width, picture.height) == (160, 210)
    (card,) = events.Tensors("champion/card/text_summary")
    assert b"genome" in card.tensor_proto.string_val[0]


def _look_into_wandb(kept: Path, film: Path) -> None:
    from germline.trackers import wandb_file  # noqa: PLC0415

    (file,) = kept.glob("wandb/offline-run-*/run-*.wandb")
    shown = [row for row in wandb_file.rows(file) if "champion/film/path" in row]
    assert len(shown) == 1
    assert shown[0]["champion/film/_type"] == "video-file"
    assert (file.parent / "files" / film.name).read_bytes() == film.read_bytes()


def test_an_unknown_tracker_is_a_wrong_argument(archived: str) -> None:
    refused = track(archived, "--to", "excel")
    assert refused.returncode == 2
    assert "allowed: mlflow, tensorboard, wandb" in refused.stderr


def test_a_key_of_wandb_that_is_no_key_ends_the_command_with_a_sentence(
    archived: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "gopher://nowhere")
    clean = {**os.environ, "HOME": archived}
    refused = subprocess.run(
        [GERMLINE, "track", "--run", archived, "--to", "mlflow"],
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "gopher" in refused.stderr
    assert "Traceback" not in refused.stderr
