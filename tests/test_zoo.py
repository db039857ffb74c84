"""Models are found by name and by path, and a damaged one says what is wrong and what to do next."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from folderdenoise import zoo
from folderdenoise.errors import ModelError
from tests import models
from tests.reports import run


def test_a_name_of_the_zoo(zoo_dir):
    card = zoo.find("rgb-leaky")
    assert card.folder == zoo_dir / "rgb-leaky"
    assert (card.name, card.channels, card.overlap) == ("rgb-leaky", 3, 2)
    assert zoo.read_graph(card) == (zoo_dir / "rgb-leaky" / "model.onnx").read_bytes()


def test_a_path_to_a_model_folder(tmp_path, monkeypatch):
    folder = models.write_identity(tmp_path / "mine")
    assert zoo.find(folder).name == "mine"
    assert zoo.find(str(folder)).folder == folder
    monkeypatch.chdir(tmp_path)
    assert zoo.find("./mine").folder == folder
    assert zoo.find("mine").folder == folder
    # A copy under another name is still the same model.
    folder.rename(tmp_path / "copy")
    assert zoo.find(tmp_path / "copy").name == "mine"


def test_the_zoo_wins_over_a_folder_of_the_same_name_here(zoo_dir, tmp_path, monkeypatch):
    models.write_identity(tmp_path / "here" / "rgb-leaky")
    monkeypatch.chdir(tmp_path / "here")
    assert zoo.find("rgb-leaky").folder == zoo_dir / "rgb-leaky"
    assert zoo.find("./rgb-leaky").folder == tmp_path / "here" / "rgb-leaky"
    assert zoo.find(Path("rgb-leaky")).folder == tmp_path / "here" / "rgb-leaky"


def test_available_lists_every_directory_of_the_variable_the_first_winning(zoo_dir, tmp_path, monkeypatch):
    second = tmp_path / "second"
    models.write_identity(second / "extra")
    models.write_identity(second / "rgb-leaky")
    (second / "notes").mkdir()
    missing = tmp_path / "not-there"
    monkeypatch.setenv("FOLDERDENOISE_MODELS", os.pathsep.join(map(str, (zoo_dir, missing, second))))
    cards = {card.name: card for card in zoo.available()}
    assert {"extra", "gray-leaky", "identity", "rgb-leaky"} <= set(cards)
    assert list(cards) == sorted(cards)
    assert cards["rgb-leaky"].folder == zoo_dir / "rgb-leaky"
    assert cards["extra"].folder == second / "extra"


def test_a_directory_of_the_variable_that_is_not_there_is_told_once(zoo_dir, scans, monkeypatch):
    gone = zoo_dir.with_name("gone")
    monkeypatch.setenv("FOLDERDENOISE_MODELS", os.pathsep.join(map(str, (zoo_dir, gone))))
    for arguments in (("models",), ("run", scans, "--dry-run"), ("run", scans, "--model", "nonesuch")):
        result = run(*arguments)
        assert result.stderr.count(f"FOLDERDENOISE_MODELS: {gone} is no folder: passed over.") == 1
    assert f"{gone} (no such folder)" in result.stderr


def test_an_unknown_name_lists_what_there_is_and_the_closest(zoo_dir):
    with pytest.raises(ModelError, match="rgb-laeky") as caught:
        zoo.find("rgb-laeky")
    message = str(caught.value)
    assert "Did you mean rgb-leaky?" in message
    assert all(f"{name}, " in message for name in ("gray-leaky", "identity"))
    assert str(zoo_dir) in message
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("name", ["", ".", "..", "no/such/folder", "./nothing"])
def test_what_is_no_model_is_refused(zoo_dir, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError):
        zoo.find(name)


def test_a_file_instead_of_its_folder(zoo_dir):
    with pytest.raises(ModelError, match="Give the folder"):
        zoo.find(zoo_dir / "identity" / "model.onnx")


def test_a_folder_without_a_card(tmp_path):
    with pytest.raises(ModelError, match=r"no card\.json .* train fit"):
        zoo.find(tmp_path)


def test_a_card_that_is_no_json(zoo_dir):
    card = zoo_dir / "identity" / "card.json"
    card.write_text(card.read_text("utf-8")[:-20], "utf-8")
    with pytest.raises(ModelError, match=r"card\.json: is not valid JSON .* export it again"):
        zoo.find("identity")


def test_a_card_that_is_not_text(zoo_dir):
    (zoo_dir / "identity" / "card.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ModelError, match="is not valid JSON"):
        zoo.find("identity")


def test_a_card_that_is_no_object(zoo_dir):
    (zoo_dir / "identity" / "card.json").write_text("[]", "utf-8")
    with pytest.raises(ModelError, match="one JSON object"):
        zoo.find("identity")


def test_a_card_that_lacks_a_field(zoo_dir):
    models.drop_from_card(zoo_dir / "identity", "overlap")
    with pytest.raises(ModelError, match=r"card\.json: lacks overlap"):
        zoo.find("identity")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("channels", 4),
        ("channels", True),
        ("overlap", -1),
        ("overlap", 2.5),
        ("size_multiple", 0),
        ("input_range", [0, 255]),
        ("inputs", ["picture"]),
        ("outputs", "denoised"),
        ("noise_level_stride", "2"),
        ("kmac_per_pixel", "many"),
        ("metrics", [1]),
        ("metrics", [{"test_set": "mine", "psnr": 30.0}]),
        ("sha256", "abc"),
        ("name", "../evil"),
        ("training", None),
    ],
)
def test_a_card_with_a_wrong_field(zoo_dir, key, value):
    models.rewrite_card(zoo_dir / "identity", **{key: value})
    with pytest.raises(ModelError, match=rf"{key} must be .* Received: "):
        zoo.find("identity")


def test_a_card_of_a_newer_exporter(zoo_dir):
    models.rewrite_card(zoo_dir / "identity", colour_space="sRGB")
    assert zoo.find("identity").name == "identity"


def test_a_card_with_another_name_than_its_folder_could_not_be_found_by_it(zoo_dir):
    models.rewrite_card(zoo_dir / "identity", name="other")
    with pytest.raises(ModelError, match="same name"):
        zoo.find("identity")


def test_one_damaged_card_does_not_hide_the_others(zoo_dir, caplog):
    models.drop_from_card(zoo_dir / "identity", "overlap")
    with caplog.at_level(logging.WARNING):
        names = [card.name for card in zoo.available()]
    assert "rgb-leaky" in names
    assert "identity" not in names
    assert "lacks overlap" in caplog.text


def test_a_graph_that_does_not_match_its_card(zoo_dir):
    path = zoo_dir / "identity" / "model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.onnx: does not match .* Install folderdenoise again"):
        zoo.read_graph(zoo.find("identity"))


def test_a_missing_graph(zoo_dir):
    (zoo_dir / "identity" / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"model\.onnx: is missing\. Install"):
        zoo.read_graph(zoo.find("identity"))


def test_a_card_goes_back_to_the_json_it_came_from(zoo_dir):
    written = json.loads((zoo_dir / "identity" / "card.json").read_text("utf-8"))
    assert json.loads(json.dumps(zoo.find("identity").as_dict())) == written


def test_the_shipped_models_are_whole(monkeypatch):
    monkeypatch.delenv("FOLDERDENOISE_MODELS", raising=False)
    for card in zoo.available():
        zoo.read_graph(card)
        assert card.overlap <= card.receptive_field
        assert card.summary
        assert card.training_data_licence


@pytest.mark.parametrize("statement", ["import folderdenoise", "from folderdenoise import zoo; zoo.available()"])
def test_imports_nothing_heavy(statement):
    heavy = "{'numpy', 'cv2', 'openvino', 'skimage', 'scipy', 'pyvips', 'tensorflow'}"
    code = f"import sys; {statement}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
