"""Images: prepared and named as transformers does it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.models.referees import VISION

import inferstack as ist
from inferstack.cli.main import main
from inferstack.core.errors import CheckpointError, DataError, InputError
from inferstack.models.image_file import read_image
from inferstack.models.image_processor import FILE, read_image_processor
from inferstack.testing.checkpoints import tiny_bert

Image = pytest.importorskip("PIL.Image")
Array = npt.NDArray[Any]
CLASSES, SIDE = 7, 24
KINDS = {
    "vit": "ViTForImageClassification",
    "deit": "DeiTForImageClassification",
    "deit of a teacher": "DeiTForImageClassificationWithTeacher",
}


def picture(wide: int, high: int, mode: str = "RGB") -> Any:
    """Soft colours, so that filters differ little and are not the same."""
    generator = np.random.default_rng([wide, high])
    coarse = generator.integers(0, 256, (5, 4, 4), dtype=np.uint8)
    return Image.fromarray(coarse, "RGBA").resize((wide, high), 3).convert(mode)


def written(path: Path, image: Any) -> Path:
    image.save(path)
    return path


PROCESSORS: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("ViTImageProcessorPil", {"size": {"height": 24, "width": 24}}),
    "vit, bicubic, other numbers": (
        "ViTImageProcessorPil",
        {
            "size": 24, "resample": 3, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4],
            "rescale_factor": 0.01,
        },
    ),
    "vit, bytes alone": (
        "ViTImageProcessorPil", {"size": 24, "do_rescale": False, "do_normalize": False}
    ),
    "deit": ("DeiTImageProcessorPil", {"size": 28, "crop_size": 24}),
    "deit, shortest edge": (
        "DeiTImageProcessorPil", {"size": {"shortest_edge": 27}, "crop_size": 24}
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", PROCESSORS)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_pixels_are_those_of_transformers(kind: str, mode: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    name, settings = PROCESSORS[kind]
    theirs = getattr(transformers, name)(**settings)
    theirs.save_pretrained(tmp_path)
    ours = read_image_processor(tmp_path, kind.partition(",")[0], 3, (SIDE, SIDE))
    for wide, high in ((40, 31), (24, 24), (9, 50)):
        path = written(tmp_path / "a.png", picture(wide, high, mode))
        expected = theirs(Image.open(path).convert("RGB"), return_tensors="np").pixel_values[0]
        found = ours.of("a.png", read_image(path, 3))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-6)


def test_what_old_files_leave_out_is_known(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"size": 224}', encoding="utf-8")
    vit = read_image_processor(tmp_path, "vit", 3, (224, 224))
    assert (vit.size, vit.crop, vit.resample, vit.mean) == ((224, 224), None, 2, (0.5, 0.5, 0.5))
    (tmp_path / FILE).write_text("{}", encoding="utf-8")
    deit = read_image_processor(tmp_path, "deit", 3, (224, 224))
    assert (deit.size, deit.crop, deit.resample) == ((256, 256), (224, 224), 3)


def made(folder: Path, kind: str) -> Any:
    import torch
    import transformers

    referee = next(one for one in VISION if one.name == kind.partition(" ")[0])
    torch.manual_seed(3)
    labels = {number: f"thing {number}" for number in range(CLASSES)}
    config = transformers.AutoConfig.for_model(
        referee.model_type, **referee.more, id2label=labels, label2id={}
    )
    model = getattr(transformers, KINDS[kind])(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.3)
    model.save_pretrained(folder)
    processor = transformers.ViTImageProcessorPil(size=SIDE)
    processor.do_center_crop = False
    processor.save_pretrained(folder)
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_classes_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    model = made(tmp_path, kind)
    processor = transformers.ViTImageProcessorPil(size=SIDE)
    ours = ist.load(tmp_path).classifier()
    assert ours.model.graph.tensors["scores"].shape == (1, CLASSES)
    for wide, high in ((30, 40), (24, 24)):
        path = written(tmp_path / "a.png", picture(wide, high))
        pixels = processor(Image.open(path), return_tensors="pt").pixel_values
        with torch.no_grad():
            expected = torch.softmax(model(pixels).logits[0].double(), dim=0).numpy()
        found = ours.classify(path, top=CLASSES).records()
        assert [row["number"] for row in found] == list(np.argsort(-expected))
        assert [row["label"] for row in found] == [f"thing {row['number']}" for row in found]
        for row in found:
            assert row["probability"] == pytest.approx(expected[row["number"]], rel=1e-4, abs=1e-6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    place = tmp_path_factory.mktemp("vit") / "tiny"
    made(place, "vit")
    return place


def test_the_verb_prints_a_table_or_json(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "a.jpg", picture(50, 40))
    expected = ist.load(folder).classifier().classify(path, top=3)
    assert expected.label == expected.records()[0]["label"]
    assert main(["classify", str(folder), str(path), "--top", "3"]) == 0
    assert capsys.readouterr().out.split() == str(expected).split()
    assert main(["classify", str(folder), str(path), "--top", "3", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected.to_dict()
    assert main(["classify", str(folder), str(folder / "config.json")]) == 2
    assert "is no image that is read" in capsys.readouterr().err


def test_a_photo_lies_as_the_camera_says(tmp_path: Path) -> None:
    image = picture(30, 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    assert read_image(tmp_path / "a.png", 3).size == (20, 30)


def test_files_that_are_no_images_are_refused(tmp_path: Path) -> None:
    good = written(tmp_path / "a.png", picture(30, 20)).read_bytes()
    bomb = written(tmp_path / "bomb.png", Image.new("1", (9000, 9000)))
    (tmp_path / "cut.png").write_bytes(good[: len(good) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path / "absent.png", "does not exist"),
        (tmp_path, "is not a file"),
        (tmp_path / "pipe", "is not a file"),
        (tmp_path / "empty.png", "is no image that is read"),
        (tmp_path / "cut.png", "is a damaged image"),
        (bomb, "is too large"),
    ):
        with pytest.raises(DataError, match=message):
            read_image(path, 3)


@pytest.mark.parametrize(
    ("file", "settings", "message"),
    [
        ("config.json", {"id2label": {"0": "a"}}, "id2label does not name each class"),
        ("config.json", {"id2label": 5}, "id2label does not name each class"),
        (FILE, {"size": 32}, "prepares images of another size.*got 32 x 32, need 24 x 24"),
        (FILE, {"do_resize": False}, "got the image's own size"),
        (FILE, {"resample": 9}, "resample makes no sense"),
        (FILE, {"image_std": [0.5, 0, 0.5]}, "image_std makes no sense"),
        (FILE, {"image_mean": [0.5]}, "image_mean makes no sense"),
        (FILE, {"do_pad": True}, "do_pad is not supported"),
    ],
)
def test_folders_that_contradict_themselves_are_refused(
    folder: Path, tmp_path: Path, file: str, settings: dict[str, Any], message: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    content = json.loads((copy / file).read_text(encoding="utf-8")) | settings
    (copy / file).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        ist.load(copy).classifier()


def test_what_names_no_images_is_refused(folder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    bare = {name: data for name, data in weights.items() if "classifier" not in name}
    save_file(bare, copy / "model.safetensors")
    with pytest.raises(CheckpointError, match="names no classes"):
        ist.load(copy).classifier()
    with pytest.raises(CheckpointError, match="is no model that names images; got bert"):
        ist.load(tiny_bert(tmp_path / "bert").write()).classifier()
    with pytest.raises(InputError, match="--top: makes no sense"):
        ist.load(folder).classifier().classify("a.png", top=0)
