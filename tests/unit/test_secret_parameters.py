"""Parameters that are secrets: declared as such, given by file or standard input, never on the command line, never shown."""

import datetime as dt
import io
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from contracts.config import NetworkConfig
from contracts.secret import Secret, sounds_secret
from runtime.cli.secret_parameters import read_secrets
from runtime.domain.action import Action, Decision, Done, Params
from runtime.domain.catalogue import Catalogue, build
from runtime.domain.errors import UsageFault
from runtime.domain.facts import Facts
from runtime.domain.model import Host
from runtime.domain.pipeline import Request, resolve
from runtime.domain.published import publish

CONFIG = NetworkConfig.model_validate({"network": "ACME", "inventory": {"kind": "static"}})
NOW = dt.datetime(2026, 11, 30, 15, tzinfo=dt.UTC)


class SignedParams(Params):
    """A real declaration with a secret, and a name that sounds like one and is none."""

    NOT_SECRET: ClassVar[frozenset[str]] = frozenset({"key_id"})

    signing_key: Secret
    second: Secret | None = None
    key_id: str = ""
    text: str = ""


def _decide(facts: Facts, params: SignedParams, host: Host) -> Decision:
    return Done()


def action(params: type[Params]) -> Action:
    return Action("sign", (), "1.0.0", "Sign something.", "read", params=params, decide=_decide)


def bound(origin: str = "manual", **params: Any) -> Any:
    known = Catalogue(build([action(SignedParams)]), {}, {"sign": "L3"})
    return resolve(Request("sign", params=params, origin=origin), CONFIG, known, agent_id="a", now=NOW)


@pytest.mark.parametrize(
    "name", ["password", "db_pass", "senha", "chave_assinatura", "token", "api_key", "apiKey", "client_secret", "key", "pin",
             "signing_key", "credentials", "PASSWORD", "pwd"]
)  # fmt: skip
def test_names_of_secrets_are_known(name: str) -> None:
    assert sounds_secret(name)


@pytest.mark.parametrize(
    "name", ["timezone", "passive", "keyboard", "monkey", "pinned", "author", "template_dir", "windows"]
)
def test_names_of_other_things_are_not_taken_for_secrets(name: str) -> None:
    assert not sounds_secret(name)


def test_a_parameter_that_sounds_like_a_secret_must_be_typed_as_one() -> None:
    class Login(BaseModel):
        """A part inside a parameter."""

        user: str
        senha: str = ""

    class Plain(Params):
        """Not typed."""

        api_key: str = ""

    class Nested(Params):
        """Not typed, and deeper."""

        logins: tuple[Login, ...] = ()

    class Allowed(Params):
        """Named as what it is."""

        NOT_SECRET: ClassVar[frozenset[str]] = frozenset({"logins.senha"})
        logins: tuple[Login, ...] = ()

    with pytest.raises(ValueError, match="sign: the parameter api_key sounds like a secret"):
        build([action(Plain)])
    with pytest.raises(ValueError, match=r"logins\.senha"):
        build([action(Nested)])
    build([action(Allowed)])
    build([action(SignedParams)])


def test_a_secret_comes_from_a_file_or_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_text("hunter2\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b" hunter 3 \r\n")))
    found = read_secrets(action(SignedParams), {"signing_key": f"@{path}", "second": "@-", "text": "@not-a-file"})
    assert found["signing_key"].reveal() == "hunter2"
    assert found["second"].reveal() == " hunter 3 "
    assert found["text"] == "@not-a-file"
    job = bound(**found)
    assert job.default.params.signing_key.reveal() == "hunter2"
    assert job.info.params["signing_key"] == "***"
    assert "hunter" not in repr(job)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"signing_key": "@"}, "cannot be read"),
        ({"signing_key": "@/nowhere/key"}, "No such file"),
        ({"signing_key": "@/dev/null"}, "a device, not a file"),
        ({"signing_key": "@/bin/bash"}, "at most 65536 are read"),
        ({"signing_key": "@-"}, "is empty"),
        ({"signing_key": "@-", "second": "@-"}, "both come from standard input"),
    ],
)
def test_a_secret_that_cannot_be_read_is_refused_by_name(
    given: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n" if said == "is empty" else b"x")))
    with pytest.raises(UsageFault, match=said) as refused:
        read_secrets(action(SignedParams), given)
    assert refused.value.message.startswith("signing_key") or "signing_key" in refused.value.message


def test_a_secret_on_the_command_line_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageFault, match="signing_key is a secret") as refused:
        bound(signing_key="hunter2")
    assert "hunter2" not in f"{refused.value.message}{refused.value.advice}"
    assert "--param signing_key=@FILE" in refused.value.advice
    assert refused.value.reason == "secret_in_arguments"
    with pytest.raises(UsageFault, match="second is a secret"):
        bound(signing_key="hunter2", second="hunter3")
    assert bound("schedule:night", signing_key="hunter2").info.params["signing_key"] == "***"


def test_the_catalogue_says_which_parameters_are_secret() -> None:
    schema = publish([action(SignedParams)], {}).actions["sign"].parameters
    assert schema["properties"]["signing_key"]["format"] == "password"
    assert "format" not in schema["properties"]["key_id"]
