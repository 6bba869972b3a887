"""Runs crunchdao's own client, in an environment of its own, as the lines of JSON on standard input say."""
# mypy: ignore-errors

import asyncio
import json
import os
import sys

import pandas as pd
from model_runner_client.grpc.generated.commons_pb2 import Argument, KwArgument, Variant, VariantType
from model_runner_client.model_concurrent_runners import DynamicSubclassModelConcurrentRunner
from model_runner_client.security.gateway_credentials import GatewayCredentials
from model_runner_client.utils.datatype_transformer import encode_data


def variant(kind, value):
    kind = VariantType.Value(kind)
    if kind == VariantType.PARQUET:
        value = pd.DataFrame(value)
    if kind == VariantType.ARROW:
        return Variant(type=kind, value=b"arrow")
    return Variant(type=kind, value=encode_data(kind, value))


def plain(value):
    return {"table": value.to_dict("list")} if isinstance(value, pd.DataFrame) else value


def gateway():
    key = os.environ.get("GATEWAY_KEY")
    return GatewayCredentials.from_files("", key) if key else None


async def main(host, port, crunch, timeout, report):
    runner = DynamicSubclassModelConcurrentRunner(
        timeout=timeout,
        crunch_id=crunch,
        host=host,
        port=port,
        base_classname="model.Base",
        report_failure=report,
        gateway_credentials=gateway(),
    )
    background = []

    async def do(order):
        if order["do"] == "init":
            await runner.init()
        elif order["do"] == "sync":
            background.append(asyncio.create_task(runner.sync()))
        elif order["do"] == "call":
            args = [
                Argument(position=place, data=variant(*each))
                for place, each in enumerate(order.get("args", []))
            ]
            named = [
                KwArgument(keyword=name, data=variant(*each))
                for name, each in order.get("kwargs", {}).items()
            ]
            found = await runner.call(order["method"], (args, named), timeout=order.get("timeout"))
            return {
                model.model_id: [each.status.value, plain(each.result), each.detail, each.exec_time_us]
                for model, each in found.items()
            }
        while len(runner.model_cluster.models_run) != order.get(
            "until", len(runner.model_cluster.models_run)
        ):
            await asyncio.sleep(0.02)
        return sorted(runner.model_cluster.models_run)

    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        sys.stdout.write(json.dumps(await do(json.loads(line))) + "\n")
        sys.stdout.flush()


asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5] == "report"))
