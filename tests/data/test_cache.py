"""What was read once is not read again: by whoever asks, whatever happened to who read it, and in bounded space."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import arrays, folder
from PIL import Image

from chattn_nas.data import DataSettings, load_data
from chattn_nas.data import store as module
from chattn_nas.data.cache import FACTS, Cache
from chattn_nas.errors import DataError


@pytest.fixture
def settings(tmp_path) -> DataSettings:
    folder(tmp_path / "set", ())
    return DataSettings(dataset="image_folder", path=str(tmp_path / "set"), image_size=8, cache=str(tmp_path / "cache"))


def forget() -> None:
    """As a new process would begin."""
    module._open.clear()


def entries(settings) -> list[Path]:
    return [path for path in Path(settings.cache).iterdir() if path.is_dir()]


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """Numbers of images that are read."""
    found = []
    original = module.read_part

    def counted(part, *arguments, **options):
        survey = original(part, *arguments, **options)  # raises where it turns out that images have colours
        found.append(len(part.images))
        return survey

    monkeypatch.setattr(module, "read_part", counted)
    return found


def test_a_second_start_reads_nothing(settings, reads) -> None:
    first = load_data(settings)
    forget()
    again = load_data(settings.model_copy(update={"seed": 3, "validation": 0.3, "train_limit": 5}))
    assert reads == [20]
    assert len(again.train) == 5
    forget()
    assert torch.equal(load_data(settings).train.images, first.train.images)


@pytest.mark.parametrize(
    "harm",
    [
        lambda path, whole: path.write_bytes(whole[: len(whole) // 2]),
        lambda path, whole: path.write_bytes(whole[:-4] + bytes(byte ^ 0x5A for byte in whole[-4:])),
        lambda path, whole: path.write_bytes(bytes(len(whole))),
        lambda path, whole: (path.unlink(), path.mkdir()),
        lambda path, whole: path.unlink(),
    ],
)
def test_an_entry_that_is_damaged_is_made_again(settings, reads, caplog, harm) -> None:
    first = load_data(settings)
    (entry,) = entries(settings)
    names = sorted(file.name for file in entry.iterdir())
    assert names == ["description.json", "files.json", "train.images.npy", "train.targets.npy"]
    for name in names:
        reads.clear()
        forget()
        harm(entry / name, (entry / name).read_bytes())
        again = load_data(settings)
        assert torch.equal(again.train.images, first.train.images)
        assert torch.equal(again.train.labels, first.train.labels)
        # Without its seal an entry is one of an earlier version, and without its description there is none.
        assert reads == ([] if name == "files.json" and not (entry / name).exists() else [20])
    assert "is damaged" in caplog.text
    os.utime(entry / "train.images.npy", (1, 1))  # copied elsewhere, say
    reads.clear()
    forget()
    assert torch.equal(load_data(settings).train.images, first.train.images)
    assert reads == []


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.model_copy(update={"image_size": 9}),
        lambda s: s.model_copy(update={"resize": "pad"}),
        lambda s: s.model_copy(update={"channels": 1}),
        lambda s: s.model_copy(update={"classes": {"ant": "x"}}),
        lambda s: (Path(s.path) / "ant" / "000.png").unlink() or s,
        lambda s: os.utime(Path(s.path) / "ant" / "000.png", (1, 1)) or s,
        lambda s: shutil.copy(Path(s.path) / "ant" / "000.png", Path(s.path) / "bee" / "999.png") and s,
        lambda s: (Path(s.path) / "bee" / "000.png").rename(Path(s.path) / "bee" / "zzz.png") and s,
    ],
)
def test_what_changes_the_tensors_is_read_again(settings, reads, change) -> None:
    load_data(settings)
    forget()
    load_data(change(settings))
    assert len(reads) == 2


def test_a_file_that_is_written_over_is_read_again(tmp_path) -> None:
    arrays(tmp_path / "set.npz")
    settings = DataSettings(dataset="npz", path=str(tmp_path / "set.npz"), image_size=6, cache=str(tmp_path / "cache"))
    before = load_data(settings).train.images
    forget()
    arrays(tmp_path / "set.npz", x_train=np.random.default_rng(9).integers(0, 256, (60, 6, 6), dtype=np.uint8))
    assert not torch.equal(load_data(settings).train.images, before)


def test_nothing_is_kept_of_a_set_that_is_refused(settings) -> None:
    (Path(settings.path) / "ant" / "bad.png").write_bytes(b"x")
    with pytest.raises(DataError):
        load_data(settings)
    assert not entries(settings)
    (Path(settings.path) / "ant" / "bad.png").unlink()
    assert len(load_data(settings).train) == 16


READER = """
    import sys, time
    from chattn_nas.data import DataSettings, load_data
    from chattn_nas.data import store
    slow = store.read_part
    def read(part, *a, **k):
        print("reading", flush=True)
        time.sleep(float(sys.argv[2]))
        return slow(part, *a, **k)
    store.read_part = read
    data = load_data(DataSettings.model_validate_json(sys.argv[1]))
    print("sum", int(data.train.images.long().sum()), flush=True)
"""


def reader(settings, wait: float) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(READER), settings.model_dump_json(), str(wait)],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_several_processes_read_once(settings) -> None:
    processes = [reader(settings, 1.0) for _ in range(3)]
    told = [process.communicate(timeout=120)[0] for process in processes]
    assert sum("reading" in text for text in told) == 1
    assert len({text.split("sum")[1] for text in told}) == 1


def test_a_process_that_is_killed_leaves_nothing_in_the_way(settings) -> None:
    process = reader(settings, 60)
    assert process.stdout.readline() == "reading\n"
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=20)
    process.stdout.close()
    assert [path for path in entries(settings) if "partial" in path.name]
    assert len(load_data(settings).train) == 16
    assert not [path for path in entries(settings) if "partial" in path.name]


def test_the_cache_is_bounded(settings, tmp_path) -> None:
    small = settings.model_copy(update={"cache_limit": 3.5 * 20 * 3 * 64 / 2**30 + 4 * 4608 / 2**30})
    for size in (8, 9, 10, 11, 12, 8):
        forget()
        load_data(small.model_copy(update={"image_size": size}))
        time.sleep(0.02)
    taken = sum(file.stat().st_size for path in entries(small) for file in path.iterdir())
    assert taken <= small.cache_limit * 2**30
    sizes = {np.load(path / "train.images.npy", mmap_mode="r").shape[-1] for path in entries(small)}
    assert {12, 8} <= sizes, "the last used stay"
    with pytest.raises(DataError, match=r"more than data\.cache_limit .* grants"):
        load_data(small.model_copy(update={"image_size": 128}))


def test_a_disk_that_is_full_is_said(settings, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(DataError, match=r"GiB free: data\.cache or CHATTN_NAS_CACHE names another place"):
        load_data(settings)


def test_a_folder_that_cannot_be_written_is_said(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written in .*data\.cache"):
        Cache(tmp_path / "file" / "cache", 1)


def test_a_damaged_entry_is_made_again(settings) -> None:
    load_data(settings)
    forget()
    (entries(settings)[0] / FACTS).unlink()
    assert len(load_data(settings).train) == 16


PHONE = """
    import resource, sys
    import torch
    from chattn_nas.data import DataSettings, load_data
    from chattn_nas.network import build_network
    from chattn_nas.proxy import ProxySettings, train
    from chattn_nas.space import Architecture, Backbone

    torch.set_num_threads(1)
    settings = DataSettings.model_validate_json(sys.argv[1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    data = load_data(settings)
    begun = []
    network = build_network(
        Architecture.uniform(Backbone("cifar_resnet8", {"width": 4}), "se"), num_classes=2, in_chans=3, image_size=32
    )
    train(network, data, ProxySettings(rungs=[1], device="cpu"), seed=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(len(data.train) + len(data.validation), before, peak)
"""


def photos(root: Path, count: int) -> Path:
    """Photos of 12 megapixels: four files, all others are links to them."""
    kept = root / "kept"
    kept.mkdir(parents=True)
    for number in range(4):
        coarse = np.random.default_rng(number).integers(0, 256, (3, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((4032, 3024), Image.Resampling.BICUBIC).save(kept / f"{number}.jpg", quality=85)
    for number in range(count):
        name = root / "photos" / ("ant" if number % 2 else "bee") / f"IMG_{number:05d}.jpg"
        name.parent.mkdir(parents=True, exist_ok=True)
        name.symlink_to(kept / f"{number % 4}.jpg")
    return root / "photos"


@pytest.mark.slow
def test_thousands_of_photos_take_no_more_memory_than_few(tmp_path) -> None:
    """2,000 photos would be 73 GB at full size, 1.1 GiB as they are decoded; a first trial starts within 1 GiB."""
    root = photos(tmp_path, 2000)
    settings = DataSettings(dataset="image_folder", path=str(root), image_size=32, cache=str(tmp_path / "cache"))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PHONE), settings.model_dump_json()],
        capture_output=True, text=True, timeout=280, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    images, before, peak = map(int, done.stdout.split())
    assert images == 2000
    tensors = 2000 * 3 * 32 * 32
    assert peak - before - tensors < 2**30, f"{(peak - before) / 2**20:.0f} MiB"


def test_spawned_processes_find_the_cache(settings) -> None:
    load_data(settings)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(len, (load_data(settings).train.labels.tolist(),)) == 16
