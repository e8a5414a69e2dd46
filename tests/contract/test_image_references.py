"""Image references by one grammar: Python, settings and documents agree on each case."""

import json
import re
from pathlib import Path

import pytest

from contracts.document import DocumentError, read_document
from contracts.image_reference import parse_reference
from server.settings import SettingsError, read_settings
from tests.contract.image_reference_cases import CASES, IDS

ROOT = Path(__file__).resolve().parents[2]
INSTALL_PS1 = (ROOT / "bootstrap/install.ps1").read_text(encoding="utf-8")


@pytest.mark.parametrize(("text", "good"), CASES, ids=IDS)
def test_python_reads_the_grammar(text: str, good: bool) -> None:
    if good:
        assert parse_reference(str(parse_reference(text))) == parse_reference(text)
    else:
        with pytest.raises(ValueError, match="not a reference to an image"):
            parse_reference(text)


def test_the_installers_refuse_no_good_reference() -> None:
    """They look for signs that a shell or docker would take for something else; the grammar is deploy's, in the image."""
    [pattern] = re.findall(r"function Test-Image.*-cmatch '\\A(.*)\\z'", INSTALL_PS1)
    for text, good in CASES:
        assert re.fullmatch(pattern, text) or not good, text


@pytest.mark.parametrize(("text", "good"), CASES, ids=IDS)
def test_documents_and_settings_accept_no_other_reference(text: str, good: bool) -> None:
    for key in ("reference", "watchtower"):
        data = {"network": "SOL", "inventory": {"kind": "static"}, "image": {key: text}}
        raw = json.dumps(data).encode()
        if good:
            read_document(raw, strict=True)
        else:
            with pytest.raises(DocumentError, match=rf"image\.{key}: this is not a reference to an image"):
                read_document(raw, strict=True)
        # A proxy that runs with the document has its image already: it goes on.
        read_document(raw, strict=False)
    if "\0" in text or not text:
        return
    if good:
        assert read_settings({"FLAGEE_CLIENT_IMAGE": text}).client_image == text
    else:
        with pytest.raises(SettingsError, match="FLAGEE_CLIENT_IMAGE: this is not a reference to an image"):
            read_settings({"FLAGEE_CLIENT_IMAGE": text})
