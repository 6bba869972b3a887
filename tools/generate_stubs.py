"""Generate germline/v1 and germline/peers from proto/: stubs, types, and a spec's comments and objects.

`python tools/generate_stubs.py` writes; `--check` only compares and exits 1 if something is not current.
"""

from __future__ import annotations

import argparse
import filecmp
import importlib.resources
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
PACKAGES = {
    "v1": "Generated from proto/germline/v1 by `make proto`; never edited.",
    "peers": "Other projects' protocols, generated from proto/germline/peers by `make proto`; never edited.",
}


def main() -> int:
    """Generate, then either compare or copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with what is there; write nothing")
    only_check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        made = generate(Path(folder))
        present = {file: ROOT / "germline" / file.parent.name / file.name for file in made}
        stale = [file.name for file, kept in present.items() if not _same(file, kept)]
        if not only_check:
            for file, kept in present.items():
                shutil.copy(file, kept)
    verdict = "is stale" if only_check else "written anew"
    print(f"stubs: {', '.join(stale) if stale else 'nothing'} {verdict}")
    objects = [sys.executable, str(ROOT / "tools" / "spec_objects.py"), *(["--check"] if only_check else [])]
    are_stale = subprocess.run(objects, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)}).returncode  # noqa: S603
    return 1 if only_check and (stale or are_stale) else 0


def generate(folder: Path) -> list[Path]:
    """Run the compiler into `folder` and return the files it made."""
    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    scripts = Path(sysconfig.get_path("scripts"))
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", f"-I{well_known}"),
        *(f"--plugin=protoc-gen-{name}={scripts / f'protoc-gen-{name}'}" for name in ("mypy", "mypy_grpc")),
        *(f"--{kind}_out={folder}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")),
        *("--include_source_info", f"--descriptor_set_out={folder / 'descriptors'}"),
        *sources,
    ]
    subprocess.run(command, check=True)  # noqa: S603 - every word of it is ours
    for name, text in PACKAGES.items():
        (folder / "germline" / name / "__init__.py").write_text(f'"""{text}"""\n')
    write_comments(folder / "descriptors", folder / "germline" / "v1" / "comments.json")
    files = sorted(file for name in PACKAGES for file in (folder / "germline" / name).iterdir())
    return [file for file in files if not _is_empty_service_stub(file)]


def write_comments(descriptors: Path, target: Path) -> None:
    """Write the comment of every call, message, field and enum value of our own protocol, by full name."""
    everything = FileDescriptorSet.FromString(descriptors.read_bytes()).file
    files = [file for file in everything if file.package == "germline.v1"]
    comments: dict[str, str] = {}
    for file in files:
        names = _names_by_path(file)
        for location in file.source_code_info.location:
            name = names.get(tuple(location.path))
            if name and location.leading_comments:
                comments[name] = " ".join(location.leading_comments.split())
    target.write_text(json.dumps(comments, indent=1, sort_keys=True) + "\n")


def _names_by_path(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    """Map the paths of a file's source locations to full names."""
    names: dict[tuple[int, ...], str] = {}
    for i, message in enumerate(file.message_type):
        _name_message((4, i), f"{file.package}.{message.name}", message, names)
    for i, enum in enumerate(file.enum_type):
        _name_enum((5, i), f"{file.package}.{enum.name}", enum, names)
    for i, service in enumerate(file.service):
        _name_service((6, i), f"{file.package}.{service.name}", service, names)
    return names


def _name_service(
    path: tuple[int, ...], name: str, service: ServiceDescriptorProto, names: dict[tuple[int, ...], str]
) -> None:
    names[path] = name
    for i, method in enumerate(service.method):
        names[(*path, 2, i)] = f"{name}.{method.name}"


def _name_message(
    path: tuple[int, ...], name: str, message: DescriptorProto, names: dict[tuple[int, ...], str]
) -> None:
    names[path] = name
    for i, field in enumerate(message.field):
        names[(*path, 2, i)] = f"{name}.{field.name}"


def _name_enum(
    path: tuple[int, ...], name: str, enum: EnumDescriptorProto, names: dict[tuple[int, ...], str]
) -> None:
    names[path] = name
    for i, value in enumerate(enum.value):
        names[(*path, 2, i)] = f"{name}.{value.name}"


def _is_empty_service_stub(file: Path) -> bool:
    """Service stubs are also made for files without a service."""
    return "_pb2_grpc" in file.name and "Stub" not in file.read_text()


def _same(made: Path, present: Path) -> bool:
    return present.exists() and filecmp.cmp(made, present, shallow=False)


if __name__ == "__main__":
    sys.exit(main())
