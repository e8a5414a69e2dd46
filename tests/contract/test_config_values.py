"""Values of the configuration document at their edges: what each type takes, what it makes of it, what it refuses."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from contracts.config import (
    STRICT,
    Address,
    Cidr,
    Credential,
    FreezeWindow,
    HostOrAddress,
    ImageReference,
    NetworkConfig,
    StaticInventory,
    Versions,
    WallInstant,
    WallTime,
    ZoneFile,
    ZoneName,
)

REFUSED = "refused"

# Type -> what is written -> what it is read as.
VALUES: dict[str, tuple[Any, dict[str, str]]] = {
    "zone file": (
        ZoneFile,
        {
            "America/Sao_Paulo": "/usr/share/zoneinfo/America/Sao_Paulo",
            "UTC": "/usr/share/zoneinfo/UTC",
            "Etc/GMT+3": "/usr/share/zoneinfo/Etc/GMT+3",
            "/usr/share/zoneinfo/posix/America/Bahia": "/usr/share/zoneinfo/posix/America/Bahia",
            "": REFUSED,
            "/usr/share/zoneinfo/": REFUSED,
            "/usr/share/zoneinfo": REFUSED,
            "/etc/localtime": REFUSED,
            "America/": REFUSED,
            "America//Bahia": REFUSED,
            "America/../Bahia": REFUSED,
            "/usr/share/zoneinfo/../../etc/passwd": REFUSED,
            "America/São_Paulo": REFUSED,
            "America/Sao Paulo": REFUSED,
            "UTC\n": REFUSED,
        },
    ),
    "host or address": (
        HostOrAddress,
        {
            "a": "a",
            "ntp.example": "ntp.example",
            "10.0.0.1": "10.0.0.1",
            "fe80::1": "fe80::1",
            "a-b": "a-b",
            f"{'a' * 252}b": f"{'a' * 252}b",
            f"{'a' * 253}b": REFUSED,
            "": REFUSED,
            "-a": REFUSED,
            "a-": REFUSED,
            ".a": REFUSED,
            "a.": REFUSED,
            "a b": REFUSED,
            "a_b": REFUSED,
            "a;b": REFUSED,
            "a\n": REFUSED,
        },
    ),
    "address": (
        Address,
        {"10.0.0.1": "10.0.0.1", "::ffff:10.0.0.1": "10.0.0.1", "10.0.0.0/8": REFUSED, "10.0.0": REFUSED, "": REFUSED},
    ),
    "network": (Cidr, {"10.0.0.0/8": "10.0.0.0/8", "10.0.0.1": "10.0.0.1/32", "10.0.0.0/33": REFUSED, "": REFUSED}),
    "versions": (
        Versions,
        {
            "*": "*",
            " * ": " * ",
            ">=18.04,<20": ">=18.04,<20",
            "==13.37": "==13.37",
            "18.04": REFUSED,
            "**": REFUSED,
            "": REFUSED,
        },
    ),
    "wall time": (
        WallTime,
        {"23:50": "23:50:00", "00:00:30": "00:00:30", "23:50Z": REFUSED, "23:50-03:00": REFUSED, "24:00": REFUSED},
    ),
    "wall instant": (
        WallInstant,
        {
            "2026-12-24T18:00": "2026-12-24 18:00:00",
            "2026-12-24T18:00Z": REFUSED,
            "2026-12-24T18:00-03:00": REFUSED,
            "2026-02-30T00:00": REFUSED,
        },
    ),
    "zone": (ZoneName, {"America/Bahia": "America/Bahia", "America/Bahi": REFUSED, "": REFUSED}),
}


@pytest.mark.parametrize(
    ("kind", "written", "expected"),
    [
        pytest.param(kind, written, expected, id=f"{kind}: {written[:40]}")
        for kind, (_, values) in VALUES.items()
        for written, expected in values.items()
    ],
)
def test_a_value_is_read_in_its_form_or_refused(kind: str, written: str, expected: str) -> None:
    reader: TypeAdapter[Any] = TypeAdapter(VALUES[kind][0])
    try:
        found = str(reader.validate_python(written))
    except ValidationError:
        found = REFUSED
    assert found == expected


def test_a_wrong_image_is_refused_where_a_person_writes_it_and_read_where_it_is_stored() -> None:
    reader: TypeAdapter[str] = TypeAdapter(ImageReference)
    assert reader.validate_python("Not An Image") == "Not An Image"
    assert reader.validate_python("registry.example.com/a:1", context=STRICT) == "registry.example.com/a:1"
    with pytest.raises(ValidationError):
        reader.validate_python("Not An Image", context=STRICT)


@pytest.mark.parametrize(
    ("keys", "accepted"),
    [
        ({"password": "x"}, True),
        ({"private_key": "x"}, True),
        ({"password": "x", "private_key": "x"}, True),
        ({"passphrase": "x"}, False),
        ({}, False),
    ],
)
def test_a_credential_has_a_way_to_log_in(keys: dict[str, str], accepted: bool) -> None:
    if accepted:
        assert Credential.model_validate({"id": "a", "user": "root", **keys})
    else:
        with pytest.raises(ValidationError, match="needs a password or a private_key"):
            Credential.model_validate({"id": "a", "user": "root", **keys})


START, END = {"start": "2026-12-24T00:00"}, {"end": "2026-12-26T00:00"}
FROM, TO, DAYS = {"from_time": "20:00"}, {"to_time": "08:00"}, {"weekdays": ["fri"]}
SHAPE = "give either start and end"


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (START | END, ""),
        (FROM | TO, ""),
        (FROM | TO | DAYS, ""),
        ({"from_time": "08:00", "to_time": "20:00"}, ""),
        ({}, SHAPE),
        (START, SHAPE),
        (END, SHAPE),
        (FROM, SHAPE),
        (TO, SHAPE),
        (DAYS, SHAPE),
        (START | END | DAYS, SHAPE),
        (START | END | FROM, SHAPE),
        (START | END | FROM | TO, SHAPE),
        (START | FROM | TO, SHAPE),
        (START | TO, SHAPE),
        ({"start": "2026-12-24T00:00", "end": "2026-12-24T00:00"}, "start must be before end"),
        ({"start": "2026-12-25T00:00", "end": "2026-12-24T00:00"}, "start must be before end"),
        ({"from_time": "20:00", "to_time": "20:00"}, "from_time and to_time are equal"),
    ],
)
def test_a_freeze_has_one_shape(keys: dict[str, Any], says: str) -> None:
    if not says:
        assert FreezeWindow.model_validate({"id": "f", **keys}).id == "f"
    else:
        with pytest.raises(ValidationError, match=says):
            FreezeWindow.model_validate({"id": "f", **keys})


# --- names that are given twice, and names that lead nowhere ---


def hosts(*names: str, **more: str) -> list[dict[str, str]]:
    return [{"name": name, "address": "10.0.0.1", **more} for name in names]


def document(**parts: Any) -> dict[str, Any]:
    return {"network": "SOL", "inventory": {"kind": "static"}, **parts}


JOB = {"action": "diagnose_env", "cron": "@daily"}
LOGIN = {"user": "root", "password": "x"}


@pytest.mark.parametrize(
    ("part", "entry"),
    [("credentials", LOGIN), ("schedule", JOB), ("freeze", {"from_time": "20:00", "to_time": "08:00"})],
)
def test_an_id_that_is_given_twice_is_refused(part: str, entry: dict[str, Any]) -> None:
    once = [{"id": name, **entry} for name in ("b", "a", "c")]
    assert len(getattr(NetworkConfig.model_validate(document(**{part: once})), part)) == 3
    with pytest.raises(ValidationError, match=rf"{part}: id given twice: a, b \["):
        NetworkConfig.model_validate(document(**{part: [*once, *once[:2], once[0]]}), context=STRICT)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a", "A"], "host names given twice: a$"),
        ([f"h{n:02}" for n in range(20)] * 2, "h18, h19$"),
        ([f"h{n:02}" for n in range(21)] * 2, "h18, h19 and 1 more$"),
        ([f"h{n:02}" for n in range(23)] * 2, "h18, h19 and 3 more$"),
    ],
)
def test_a_host_name_that_is_given_twice_is_refused_whatever_its_case(names: list[str], says: str) -> None:
    assert StaticInventory.model_validate({"kind": "static", "hosts": hosts(*{name.lower() for name in names})})
    with pytest.raises(ValidationError) as caught:
        StaticInventory.model_validate({"kind": "static", "hosts": hosts(*names)})
    [message] = [error["msg"] for error in caught.value.errors()]
    assert message.endswith(says.removesuffix("$"))


@pytest.mark.parametrize(
    ("inventory", "credentials", "says"),
    [
        (hosts("a", credential="main"), [{"id": "main", **LOGIN}], ""),
        (hosts("a"), [], ""),
        (hosts("a", credential="main"), [], 'inventory.hosts: a names the unknown credential "main"'),
        (
            [*hosts("a", credential="main"), *hosts("b", credential="mani")],
            [{"id": "main", **LOGIN}],
            'inventory.hosts: b names the unknown credential "mani"',
        ),
    ],
)
def test_a_host_names_a_credential_of_the_document(
    inventory: list[dict[str, str]], credentials: list[dict[str, str]], says: str
) -> None:
    written = document(inventory={"kind": "static", "hosts": inventory}, credentials=credentials)
    if not says:
        assert NetworkConfig.model_validate(written).network == "SOL"
    else:
        with pytest.raises(ValidationError, match=says):
            NetworkConfig.model_validate(written)


@pytest.mark.parametrize(
    ("stores", "says"),
    [
        ({"7": {"gateway": "10.0.0.1"}, "8": {}}, ""),
        ({"8": {}, "7": {"gateway": "11.0.0.1"}}, r"stores\.7\.gateway: 11\.0\.0\.1 is outside ssh\.allowed_networks"),
        ({"7": {"gateway": "10.0.0.1"}, "9": {"gateway": "192.168.0.1"}}, r"stores\.9\.gateway"),
    ],
)
def test_a_gateway_is_inside_the_allowed_networks(stores: dict[str, Any], says: str) -> None:
    written = document(stores=stores, ssh={"allowed_networks": ["10.0.0.0/8"]})
    if not says:
        assert NetworkConfig.model_validate(written).stores[7].gateway == "10.0.0.1"
    else:
        with pytest.raises(ValidationError, match=says):
            NetworkConfig.model_validate(written)
