"""Tokens of two roles, from files that change; and what certificates say of a role."""

import logging
import os
from pathlib import Path

import pytest

from master.access import MAX_TOKENS, Role, Tokens, role_of_certificate

WORKER, OTHER, OPERATOR = "w" * 20, "v" * 20, "o" * 20


@pytest.fixture
def files(tmp_path: Path) -> dict[Role, Path]:
    files = {Role.WORKER: tmp_path / "workers", Role.OPERATOR: tmp_path / "operators"}
    files[Role.WORKER].write_text(f"# the fleet\n{WORKER}\n\n  {OTHER}  \n")
    files[Role.OPERATOR].write_text(OPERATOR)
    return files


def replace(path: Path, text: str) -> None:
    """Put another file in its place, as orchestrators do."""
    beside = path.with_name("new")
    beside.write_text(text)
    os.replace(beside, path)


def test_each_token_has_the_role_of_its_file(files: dict[Role, Path]) -> None:
    tokens = Tokens(files, operator="one more")
    assert [tokens.role_of(token) for token in (WORKER, OTHER, OPERATOR, "one more")] == [
        Role.WORKER, Role.WORKER, Role.OPERATOR, Role.OPERATOR,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "token", ["", "x" * 20, WORKER[:-1], WORKER + "w", "# the fleet", "#", "tökén", "\udc80"]
)
def test_what_is_no_token_has_no_role(token: str, files: dict[Role, Path]) -> None:
    assert Tokens(files).role_of(token) is None


def test_tokens_are_exchanged_without_a_restart(files: dict[Role, Path]) -> None:
    tokens = Tokens(files)
    replace(files[Role.WORKER], f"{OTHER}\n{'n' * 20}\n")
    assert tokens.role_of(WORKER) is None
    assert tokens.role_of(OTHER) is tokens.role_of("n" * 20) is Role.WORKER
    assert tokens.role_of(OPERATOR) is Role.OPERATOR


@pytest.mark.parametrize("text", [None, "", "short", f"{'n' * 20} {'m' * 20}", OPERATOR, "tökén" * 5])
def test_a_file_that_cannot_be_used_changes_nothing_and_is_logged_without_a_token(
    text: str | None, files: dict[Role, Path], caplog: pytest.LogCaptureFixture
) -> None:
    tokens = Tokens(files)
    if text is None:
        files[Role.WORKER].unlink()
    else:
        replace(files[Role.WORKER], text)
    with caplog.at_level(logging.INFO):
        assert tokens.role_of(WORKER) is Role.WORKER
        assert tokens.role_of(WORKER) is Role.WORKER
    (line,) = caplog.messages
    assert "the tokens that were valid before stay so" in line
    assert not text or text not in line
    replace(files[Role.WORKER], OTHER)
    assert (tokens.role_of(WORKER), tokens.role_of(OTHER)) == (None, Role.WORKER)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", r"workers holds 0; allowed: 1 to 1,000"),
        ("\n".join(f"token-number-{i:06}" for i in range(MAX_TOKENS + 1)), "holds 1001; allowed"),
        (f"{WORKER}\nshort", "line 2 of the file of tokens .*workers is no token; allowed: 16 or more"),
        ("tökén" * 5, "holds other than ASCII"),
        ("with\tsomething odd in it", "line 1"),
        (OPERATOR, "a token of workers is one of operators, too"),
    ],
)
def test_a_file_of_tokens_that_is_wrong_is_refused_by_name(
    text: str, problem: str, files: dict[Role, Path]
) -> None:
    files[Role.WORKER].write_text(text)
    with pytest.raises(ValueError, match=problem) as error:
        Tokens(files)
    assert text == "" or text not in str(error.value)


def test_a_file_of_tokens_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere cannot be read: No such file"):
        Tokens({Role.WORKER: tmp_path / "nowhere"})


def test_tokens_are_not_kept_where_they_could_be_shown(files: dict[Role, Path]) -> None:
    tokens = Tokens(files, operator="one more token")
    shown = repr(vars(tokens))
    assert not any(token in shown for token in (WORKER, OTHER, OPERATOR, "one more token"))


@pytest.mark.parametrize(
    ("names", "role"),
    [
        ([b"germline:worker"], Role.WORKER),
        ([b"localhost", b"germline:operator"], Role.OPERATOR),
        ([b"germline:operator", b"germline:worker"], Role.WORKER),
        ([b"germline:Operator", b"germline:operators", b"operator"], None),
        ([], None),
    ],
)
def test_a_certificate_has_the_role_that_it_names(names: list[bytes], role: Role | None) -> None:
    assert role_of_certificate(names) is role
