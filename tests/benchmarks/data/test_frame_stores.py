"""Packed frames equal unpacked ones. Decoding gives RGB of the requested size, or names the bad frame."""

import pickle
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from baselines.interface.errors import UserError
from benchmarks.clips.decode import decode
from benchmarks.data.frame_stores import PACK, FolderStore, PackedStore, write_pack
from benchmarks.data.verify import image_problem


def picture(height: int = 40, width: int = 20) -> np.ndarray:
    smooth = np.linspace(0, 255, height * width).reshape(height, width)
    return np.stack([smooth, smooth[::-1], np.full_like(smooth, 64)], axis=2).astype(np.uint8)


def encoded(suffix: str) -> bytes:
    return cv2.imencode(suffix, picture()[..., ::-1])[1].tobytes()


def decoded(data: bytes, height: int, width: int) -> np.ndarray:
    place = np.zeros((height, width, 3), np.uint8)
    decode(data, place, "f.jpg")
    return place


def test_pack_round_trip(tmp_path):
    # In no order, of several lengths.
    frames = {f"{i % 5}/é{i}.jpg": bytes([i % 256]) * (i % 7 + 1) for i in range(3000)}
    write_pack(tmp_path / "1.arrow", list(frames.items())[:2000])
    write_pack(tmp_path / "2.arrow", list(frames.items())[2000:])
    store = pickle.loads(pickle.dumps(PackedStore(tmp_path / "1.arrow", tmp_path / "2.arrow")))
    assert {name: bytes(store.read(name)) for name in frames} == frames
    assert store.sizes(["1/é6.jpg", "absent", "1/é6.jp", "1/é6.jpg.too-long-a-name-for-it", "9"]) == {"1/é6.jpg": 7}


def test_interrupted_pack_leaves_nothing(tmp_path):
    def broken():
        yield "a", b"1"
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_pack(tmp_path / PACK, broken())
    assert list(tmp_path.iterdir()) == []


def test_missing_frame_is_named(tmp_path):
    write_pack(tmp_path / PACK, [("a", b"1")])
    for store in (FolderStore(tmp_path), PackedStore(tmp_path / PACK)):
        with pytest.raises(UserError, match=r"gone\.jpg"):
            store.read("gone.jpg")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_decoding_agrees_with_pillow(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(encoded(suffix))
    reference = np.asarray(Image.open(tmp_path / f"a{suffix}").convert("RGB")).astype(int)
    ours = decoded(FolderStore(tmp_path).read(f"a{suffix}"), 40, 20).astype(int)
    assert np.abs(ours - reference).max() <= (3 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("size", [(20, 10), (80, 40), (64, 32)])
def test_resizing_keeps_the_image(size):
    ours = decoded(encoded(".png"), *size).astype(float)
    reference = np.asarray(Image.fromarray(picture()).resize(size[::-1], Image.Resampling.BILINEAR)).astype(float)
    assert ours.shape == (*size, 3)
    assert np.abs(ours - reference).mean() < 4


def huge(suffix):
    """An image of 40 x 20 pixels whose header claims 30,000 x 30,000."""
    claim, data = 30_000, bytearray(encoded(suffix))
    start = {".jpg": data.find(b"\xff\xc0") + 5, ".png": 16, ".bmp": 18}[suffix]
    width = {".jpg": ">HH", ".png": ">II", ".bmp": "<ii"}[suffix]
    struct.pack_into(width, data, start, claim, claim)
    return bytes(data)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_huge_image_is_refused_before_memory_is_asked_for(suffix):
    with pytest.raises(UserError, match=r"f\.jpg: not a readable image \(.*(30,000 x 30,000 pixels|too large)"):
        decoded(huge(suffix), 64, 32)
    assert "an image may have 67,108,864 at most" in image_problem(np.frombuffer(huge(".jpg"), np.uint8))


@pytest.mark.parametrize("size", [(40, 20), (8, 8)])
@pytest.mark.parametrize("data", [b"", b"text", b"\xff\xd8\xff\xe0half", encoded(".jpg")[:300]])
def test_damaged_frame_is_named(data, size):
    with pytest.raises(UserError, match=r"f\.jpg: not a readable image"):
        decoded(data, *size)
