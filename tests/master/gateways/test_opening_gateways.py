"""What opens other projects' protocols beside the master's own."""

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc.aio
import pytest

from master import server
from master.config import MasterConfig
from master.gateways import GatewayError, House
from master.server import Master


def config(folder: Path, gateway: str) -> MasterConfig:
    return MasterConfig(listen="localhost:0", metrics_port=-1, store_folder=folder, gateway=gateway)


async def test_a_gateway_is_served_on_its_own_address_and_closed_with_the_master(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    async def start(house: House, stack: contextlib.AsyncExitStack) -> str:
        heard.append(house.environment["PEERS_OWN"])
        bare = grpc.aio.server()
        address = house.bind(bare, house.address)
        await bare.start()
        stack.push_async_callback(bare.stop, None)
        stack.callback(heard.append, "closed")
        return address

    gateways: dict[str, Callable[..., Awaitable[str]]] = {"made-up": start}
    monkeypatch.setattr(server, "GATEWAYS", gateways)
    asked = config(tmp_path, "made-up=127.0.0.1:0")
    async with Master.serving(asked, environment={"PEERS_OWN": "setting"}) as master:
        assert heard == ["setting"]
        assert master.gateways["made-up"] != master.address
        async with grpc.aio.insecure_channel(master.gateways["made-up"]) as channel:
            await channel.channel_ready()
    assert heard == ["setting", "closed"]


async def test_a_gateway_that_nobody_knows_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with pytest.raises(GatewayError, match="gateway names 'nobody'; allowed: "):
        async with Master.serving(config(folder, "nobody=localhost:0")):
            raise AssertionError
    assert not folder.exists()
