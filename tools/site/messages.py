"""The page of the protocol: services, messages and enums, from the comments in the .proto files."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    EnumValueDescriptor,
    FieldDescriptor,
    FileDescriptor,
    ServiceDescriptor,
)

from germline.spec.fields import comment_of
from germline.v1 import experiment_pb2, genome_pb2, own_pb2, spec_pb2, worker_pb2
from tools.site.markup import code, plain, table

FILES: tuple[tuple[str, FileDescriptor], ...] = (
    ("What people and tools ask a master", experiment_pb2.DESCRIPTOR),
    ("Between a master and its workers", worker_pb2.DESCRIPTOR),
    ("Between a master and workers of your own", own_pb2.DESCRIPTOR),
    ("Genomes", genome_pb2.DESCRIPTOR),
    ("Specs", spec_pb2.DESCRIPTOR),
)
_HEAD = """# Every message of the protocol

`proto/germline/v1` is the contract between master, workers and people, spoken as [gRPC](https://grpc.io).
This page is written from the comments in those files. Every call but the health service's asks for a
token where the master does: `authorization: Bearer TOKEN`. A master answers reflection, so tools such as
`grpcurl` can look around by themselves.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(part for title, file in FILES for part in _file(title, file))])


def _file(title: str, file: FileDescriptor) -> Iterator[str]:
    yield f"## {title}\n\n`{file.name}`\n"
    for service in file.services_by_name.values():
        yield _service(service)
    for message in file.message_types_by_name.values():
        yield _message(message)
    for enum in file.enum_types_by_name.values():
        yield _enum(enum)


def _service(service: ServiceDescriptor) -> str:
    rows = [
        (
            code(each.name),
            _stream(each.client_streaming, each.input_type),
            _stream(each.server_streaming, each.output_type),
            plain(comment_of(each.full_name)),
        )
        for each in service.methods
    ]
    return _part(service, table(("call", "takes", "answers", "what it does"), rows))


def _stream(is_stream: bool, message: Descriptor) -> str:
    return ("a stream of " if is_stream else "") + code(message.name)


def _message(message: Descriptor) -> str:
    rows = [(_numbered(each), _type(each), plain(comment_of(each.full_name))) for each in message.fields]
    return _part(message, table(("field", "type", "what it says"), rows))


def _enum(enum: EnumDescriptor) -> str:
    rows = [(_numbered(each), plain(comment_of(f"{enum.full_name}.{each.name}"))) for each in enum.values]
    return _part(enum, table(("value", "what it means"), rows))


def _numbered(each: FieldDescriptor | EnumValueDescriptor) -> str:
    return code(f"{each.name} = {each.number}")


def _part(what: ServiceDescriptor | Descriptor | EnumDescriptor, rows: str) -> str:
    return f"### `{what.name}`\n\n{plain(comment_of(what.full_name))}\n\n{rows}"


_KINDS = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in vars(FieldDescriptor).items()
    if name.startswith("TYPE_") and isinstance(number, int)
}


def _type(field: FieldDescriptor) -> str:
    kind = field.message_type or field.enum_type
    name = kind.name if kind is not None else _KINDS[field.type]
    return ("repeated " if field.is_repeated else "") + code(name)
