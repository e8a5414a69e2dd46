"""The product's data on disk: found from any place, loaded whole or refused with file and key."""

import shutil
from pathlib import Path

import pytest

from runtime.adapters.assets import find_root, load
from runtime.domain.data_files import DataFault

REPOSITORY = Path(__file__).parents[2]
PROVIDER = "id: arius\ndisplay_name: Arius\nactions: {arius_off: shutdown_endpoint}\n"
ROW = "rows:\n- {distro: ubuntu, versions: '*', arch: [x86_64], level: L1, source: test}\n"
NAMES = {"shutdown_endpoint": "shutdown_endpoint", "pdv_shutdown": "shutdown_endpoint"}


@pytest.fixture
def product(tmp_path: Path) -> Path:
    files = {
        "providers/arius/provider.yaml": PROVIDER,
        "compat_matrix/endpoints.yaml": ROW,
        "compat_matrix/actions.yaml": "actions: {shutdown_endpoint: L2}\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_root_is_the_nearest_folder_above_that_holds_providers(product: Path) -> None:
    assert find_root({}) == REPOSITORY
    assert find_root({}, product / "runtime/adapters/assets.py") == product
    assert find_root({"FLAGEEMONITOR_ROOT": str(product)}) == product


def test_a_root_that_holds_no_providers_is_an_error_that_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DataFault, match="from FLAGEEMONITOR_ROOT"):
        find_root({"FLAGEEMONITOR_ROOT": str(tmp_path)})
    with pytest.raises(DataFault, match="any folder above"):
        find_root({}, Path("/runtime/adapters/assets.py"))


def test_everything_is_loaded_and_its_digest_follows_its_content(product: Path) -> None:
    first = load(product, NAMES)
    again = load(product, NAMES)
    (product / "compat_matrix/endpoints.yaml").write_text(ROW.replace("L1", "L3"), encoding="utf-8")
    changed = load(product, NAMES)

    assert list(first.providers) == ["arius"]
    assert (first.rows[0].level, dict(first.minimums)) == ("L1", {"shutdown_endpoint": "L2"})
    assert first.digest == again.digest != changed.digest


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("providers/arius/provider.yaml", "id: arius\n", "providers/arius/provider.yaml: display_name: "),
        ("providers/arius/provider.yaml", None, "providers/arius/provider.yaml: No such file"),
        ("providers/arius/provider.yaml", b"\xff\xfe", "providers/arius/provider.yaml: not UTF-8"),
        (
            "providers/arius/provider.yaml",
            PROVIDER.replace("shutdown_endpoint", "fly"),
            "actions.arius_off: unknown action",
        ),
        ("providers/arius/provider.yaml", PROVIDER + "assets: {ini: x.ini}", "assets.ini: no such file: x.ini"),
        (
            "providers/acme/provider.yaml",
            PROVIDER,
            'providers/acme/provider.yaml: id: is "arius"; the folder\'s name "acme"',
        ),
        ("compat_matrix/endpoints.yaml", ROW + "extra: 1\n", "compat_matrix/endpoints.yaml: extra: "),
        ("compat_matrix/endpoints.yaml", None, "compat_matrix/endpoints.yaml: No such file"),
        (
            "compat_matrix/actions.yaml",
            "actions: {}",
            "compat_matrix/actions.yaml: actions: shutdown_endpoint has no level",
        ),
        ("compat_matrix/actions.yaml", "actions: {shutdown_endpoint: L2, fly: L2}", "actions.fly: unknown action"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_key(product: Path, file: str, text: str | bytes | None, said: str) -> None:
    path = product / file
    path.parent.mkdir(exist_ok=True)
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataFault) as fault:
        load(product, NAMES)
    assert said in str(fault.value)
    assert fault.value.advice


def test_without_the_default_provider_nothing_starts(product: Path) -> None:
    shutil.rmtree(product / "providers/arius")
    with pytest.raises(DataFault, match="the default provider arius is missing"):
        load(product, NAMES)
