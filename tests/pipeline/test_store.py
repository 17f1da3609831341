"""The store: whole entries or none, whatever happens to processes, files and disks."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuner.pipeline import store_hashes
from tuner.pipeline.store import Entry, Store, StoreError, default_root, intact
from tuner.pipeline.store_explain import Difference


def key_of(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, name: object, files: dict[str, bytes] | None = None, **meta: Any) -> Entry:
    with store.draft(key_of(name)) as draft:
        for path, content in (files or {}).items():
            file = draft.output / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return draft.commit(meta)


def set_used(entry: Entry, seconds_ago: float) -> None:
    then = time.time() - seconds_ago
    os.utime(entry.path / "meta.json", (then, then))


# Entries


def test_what_was_committed_is_got_back(store: Store) -> None:
    files = {"a.bin": b"12345", "sub/deep/b.txt": b""}
    put(store, 1, files, value={"x": [1.5, None]})
    entry = Store(store.root).get(key_of(1))
    assert entry is not None
    assert {name: (entry.output / name).read_bytes() for name in files} == files
    assert entry.meta["value"] == {"x": [1.5, None]}
    assert entry.meta["files"] == {"a.bin": 5, "sub/deep/b.txt": 0}
    assert (entry.meta["key"], entry.meta["bytes"]) == (key_of(1), 5)
    assert abs(entry.meta["created"] - time.time()) < 60


def test_an_unknown_key_gives_nothing(store: Store) -> None:
    assert store.get(key_of("unknown")) is None


@pytest.mark.parametrize("key", ["", "abc", "../" * 21 + "x", key_of(1).upper(), key_of(1) + "\n"])
def test_what_is_no_key_is_refused(store: Store, key: str) -> None:
    for use in (store.get, store.draft, store.remove, store.lock):
        with pytest.raises(ValueError, match="expected 64 digits"):
            use(key)


def test_a_value_needs_no_files(store: Store) -> None:
    put(store, 1, value={"samples": [1, 2]})
    entry = store.get(key_of(1))
    assert entry is not None
    assert entry.meta["value"] == {"samples": [1, 2]}
    assert list(entry.output.iterdir()) == []


def test_a_log_goes_with_its_entry(store: Store) -> None:
    with store.draft(key_of(1)) as draft:
        draft.log.write_text("all went well")
        entry = draft.commit({})
    assert (entry.path / "log.txt").read_text() == "all went well"


def test_a_draft_that_is_not_committed_leaves_nothing(store: Store) -> None:
    with store.draft(key_of(1)) as draft:
        (draft.output / "half").write_bytes(b"x")
    assert store.get(key_of(1)) is None
    assert list((store.root / "tmp").iterdir()) == []


def test_the_first_of_two_commits_wins(store: Store) -> None:
    with store.draft(key_of(1)) as slow, store.draft(key_of(1)) as fast:
        assert fast.commit({"value": "fast"}).meta["value"] == "fast"
        assert slow.commit({"value": "slow"}).meta["value"] == "fast"
    assert list((store.root / "tmp").iterdir()) == []


def test_a_commit_replaces_a_damaged_entry(store: Store) -> None:
    entry = put(store, 1, {"a": b"old"})
    (entry.output / "a").write_bytes(b"")
    again = put(store, 1, {"a": b"new"})
    assert (again.output / "a").read_bytes() == b"new"


def test_getting_an_entry_is_using_it(store: Store) -> None:
    entry = put(store, 1)
    set_used(entry, 1000)
    assert time.time() - entry.used > 900
    store.get(key_of(1))
    assert time.time() - entry.used < 60


def truncate(entry: Entry) -> None:
    (entry.output / "a").write_bytes(b"1")


def delete(entry: Entry) -> None:
    (entry.output / "a").unlink()


def empty_meta(entry: Entry) -> None:
    (entry.path / "meta.json").write_text("")


def strange_meta(entry: Entry) -> None:
    (entry.path / "meta.json").write_text("[]")


def no_meta(entry: Entry) -> None:
    (entry.path / "meta.json").unlink()


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (truncate, "output/a has 1 bytes, 5 were stored"),
        (delete, "output/a is missing"),
        (empty_meta, "meta.json cannot be read"),
        (strange_meta, "it does not describe an entry"),
        (no_meta, "meta.json is missing"),
    ],
)
def test_a_damaged_entry_is_reported_and_counts_as_missing(
    store: Store, caplog: pytest.LogCaptureFixture, harm: Callable[[Entry], None], told: str
) -> None:
    harm(put(store, 1, {"a": b"12345"}))
    with caplog.at_level(logging.WARNING):
        assert store.get(key_of(1)) is None
        assert store.get(key_of(1)) is None
    assert caplog.text.count(told) == 1
    assert [p.name[:64] for p in (store.root / "damaged").iterdir()] == [key_of(1)]
    put(store, 1, {"a": b"12345"})
    assert store.get(key_of(1)) is not None


def test_entries_that_go_while_they_are_got_are_only_missing(store: Store) -> None:
    names = range(40)
    stop = threading.Event()

    def remove() -> None:
        while not stop.is_set():
            shutil.rmtree(store.root / "entries", ignore_errors=True)

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        for name in [*names, *names]:
            put(store, name, {"a": b"1", "b/c": b"2"})
            entry = store.verified(key_of(name))
            assert entry is None or entry.key == key_of(name)
    finally:
        stop.set()
        remover.join()
    put(store, "last", {"a": b"1"})
    assert store.verified(key_of("last")) is not None


def test_entries_are_found_by_the_start_of_their_key(store: Store) -> None:
    keys = sorted(put(store, n).key for n in range(40))
    assert [e.key for e in store.entries()] == keys
    assert [e.key for e in store.find("")] == keys
    assert [e.key for e in store.find(keys[3][:12])] == [keys[3]]
    assert [e.key for e in store.find(keys[3][:1])] == [k for k in keys if k[0] == keys[3][0]]
    assert store.find("xyz") == []


def test_removing_an_entry(store: Store) -> None:
    entry = put(store, 1, {"a": b"x"})
    assert store.remove(entry.key)
    assert not store.remove(entry.key)
    assert store.get(entry.key) is None


# Logs of failures


def test_kept_logs_outlive_their_drafts(store: Store) -> None:
    kept = []
    for text in ("first", "second"):
        with store.draft(key_of(1)) as draft:
            draft.log.write_text(text)
            kept.append(draft.keep_log())
    assert [path.read_text() for path in kept] == ["first", "second"]
    assert kept[0].parent == store.root / "logs"


def test_a_log_that_nobody_wrote_to_is_kept_empty(store: Store) -> None:
    with store.draft(key_of(1)) as draft:
        assert draft.keep_log().read_text() == ""


# Processes that die


WRITER = """
import hashlib, itertools, sys
from pathlib import Path
from tuner.pipeline.store import Store

store = Store(Path(sys.argv[1]))
for n in itertools.count(int(sys.argv[2])):
    key = hashlib.sha256(str(n).encode()).hexdigest()
    with store.lock(key), store.draft(key) as draft:
        for part in range(3):
            (draft.output / str(part)).write_text(key * 500)
        draft.commit({"value": key})
    print(n, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_whole_entries_only(tmp_path: Path) -> None:
    root, moments, reported = tmp_path / "store", random.Random(0), 0
    for turn in range(8):
        command = [sys.executable, "-c", WRITER, str(root), str(10_000 * turn)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(moments.uniform(0, 0.05))
            writer.kill()
            reported += 1 + writer.stdout.read().count(b"\n")
    store = Store(root)
    assert list((root / "tmp").iterdir()) == []
    on_disk = [path.name for path in (root / "entries").glob("*/*")]
    assert len(on_disk) >= reported
    for key in on_disk:
        entry = store.get(key)
        assert entry is not None
        assert entry.meta["value"] == key
        assert [(entry.output / str(p)).read_text() for p in range(3)] == [key * 500] * 3
        with store.lock(key, fail):
            pass


def fail() -> None:
    raise AssertionError("a lock was still held")


def test_drafts_of_the_living_are_kept_and_those_of_the_dead_are_not(store: Store) -> None:
    def abandon() -> None:
        store.draft(key_of("dead")).__enter__()
        os._exit(0)

    with store.draft(key_of("living")) as draft:
        process = multiprocessing.get_context("fork").Process(target=abandon)
        process.start()
        process.join()
        assert len(list((store.root / "tmp").iterdir())) == 2
        assert list((Store(store.root).root / "tmp").iterdir()) == [draft.output.parent]


def test_a_process_that_got_a_dead_ones_number_does_not_keep_its_drafts(store: Store) -> None:
    with store.draft(key_of(1)) as draft:
        machine, pid, start, random_part = draft.output.parent.name.split("-")
        assert pid == str(os.getpid())
        namesake = store.root / "tmp" / f"{machine}-{pid}-{int(start) - 1}-{random_part}"
        namesake.mkdir()
        store.recover()
        assert not namesake.exists()
        assert draft.output.exists()


def test_drafts_of_another_machine_are_kept_for_a_week(store: Store) -> None:
    foreign = store.root / "tmp" / "0badcafe-1-1-abc"
    foreign.mkdir()
    store.recover()
    assert foreign.exists()
    then = time.time() - 8 * 86400
    os.utime(foreign, (then, then))
    store.recover()
    assert not foreign.exists()


# Hashes


def flip(path: Path, at: int = 0) -> None:
    """Change one bit of a file, and nothing else that `ls` shows but its time."""
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def forget() -> None:
    """What another process would not know."""
    store_hashes._known.clear()


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read to be hashed, from now on."""
    found: list[str] = []
    read = store_hashes._read

    def noted(path: str, meanwhile: Callable[[], None] | None) -> str:
        found.append(Path(path).name)
        return read(path, meanwhile)

    monkeypatch.setattr(store_hashes, "_read", noted)
    return found


def test_whether_there_is_an_entry_is_known_without_using_it(store: Store) -> None:
    assert not store.has(key_of(1))
    entry = put(store, 1)
    set_used(entry, 1000)
    assert store.has(key_of(1))
    assert time.time() - entry.used > 900


def test_hashes_are_stored_beside_the_sizes(store: Store) -> None:
    entry = put(store, 1, {"a": b"12345", "sub/b": b""})
    assert entry.meta["hashes"] == {
        "a": hashlib.sha256(b"12345").hexdigest(),
        "sub/b": hashlib.sha256(b"").hexdigest(),
    }
    assert store.verified(key_of(1)) == store.get(key_of(1)) == entry


@pytest.mark.parametrize("anew", [False, True])
def test_a_flipped_bit_is_found_when_the_content_is_used(
    store: Store, caplog: pytest.LogCaptureFixture, anew: bool
) -> None:
    entry = put(store, 1, {"a": b"12345", "sub/b": bytes(5_000_000)})
    flip(entry.output / "sub" / "b", 4_900_000)
    if anew:
        forget()
    assert store.get(key_of(1)) is not None, "the sizes are right"
    with caplog.at_level(logging.WARNING):
        assert store.verified(key_of(1)) is None
    assert "output/sub/b has another content than was stored" in caplog.text
    assert not store.has(key_of(1))
    [away] = (store.root / "damaged").iterdir()
    assert away.name.startswith(key_of(1))
    put(store, 1, {"a": b"12345", "sub/b": bytes(5_000_000)})
    assert store.verified(key_of(1)) is not None


def test_content_is_read_once_in_a_process(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, 1, {"a": b"12345"})
    forget()
    read = reads(monkeypatch)
    for _ in range(3):
        assert store.verified(key_of(1)) is not None
        assert Store(store.root).verified(key_of(1)) is not None
    assert read == ["a"]


def test_what_was_hashed_to_be_stored_is_not_read_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = reads(monkeypatch)
    first = put(store, 1, {"a": b"12345"})
    with store.draft(key_of(2)) as draft:
        (draft.output / "linked").hardlink_to(first.output / "a")
        draft.commit({})
    assert store.verified(key_of(1)) is not None
    assert store.verified(key_of(2)) is not None
    assert read == ["a"], "its other name, neither"


def test_hashes_that_were_made_elsewhere_are_taken(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.draft(key_of(1)) as draft:
        (draft.output / "a").write_bytes(b"12345")
        made = store_hashes.hashes(draft.output)
        forget()
        read = reads(monkeypatch)
        draft.commit({}, made)
    assert store.verified(key_of(1)) is not None
    assert read == []
    flip(draft.output.parent.parent.parent / "entries" / key_of(1)[:2] / key_of(1) / "output" / "a")
    assert store.verified(key_of(1)) is None


def test_an_entry_without_hashes_is_valid(store: Store) -> None:
    entry = put(store, 1, {"a": b"12345"}, value=3)
    meta = {k: v for k, v in entry.meta.items() if k != "hashes"}
    (entry.path / "meta.json").write_text(json.dumps(meta))
    found = store.verified(key_of(1))
    assert found is not None
    assert found.meta == meta


def test_a_number_that_changed_in_a_measurement_is_found(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    entry = put(store, 1, value={"samples": [0.023]})
    meta = entry.path / "meta.json"
    meta.write_bytes(meta.read_bytes().replace(b"0.023", b"0.033"))
    assert store.get(key_of(1)) is None
    assert "its content is not what was stored" in caplog.text


def test_a_symbolic_link_is_verified_as_such(store: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"1")
    with store.draft(key_of(1)) as draft:
        (draft.output / "link").symlink_to(tmp_path / "elsewhere")
        entry = draft.commit({})
    (tmp_path / "elsewhere").write_bytes(b"2")
    forget()
    assert store.verified(key_of(1)) is not None
    (entry.output / "link").unlink()
    (entry.output / "link").symlink_to(tmp_path / "elsewher_")
    assert store.verified(key_of(1)) is None


def test_what_is_raised_while_it_reads_goes_through(store: Store) -> None:
    def stop() -> None:
        raise RuntimeError("enough")

    put(store, 1, {"a": b"12345"})
    forget()
    with pytest.raises(RuntimeError, match="enough"):
        store.verified(key_of(1), stop)
    assert store.verified(key_of(1)) is not None


def test_a_folder_is_intact_unless_it_is_of_a_damaged_entry(store: Store, tmp_path: Path) -> None:
    entry = put(store, 1, {"deep/a": b"12345"})
    assert intact(entry.output)
    assert intact(entry.output / "deep")
    flip(entry.output / "deep" / "a")
    assert not intact(entry.output / "deep")
    assert not intact(entry.output), "it is gone"
    assert intact(tmp_path / "output"), "of no store"


# Locks


HOLDER = """
import sys, time
from pathlib import Path
from tuner.pipeline.store import Store

with Store(Path(sys.argv[1])).lock(sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_waits_for_its_holder_and_is_free_when_that_is_killed(store: Store) -> None:
    command = [sys.executable, "-c", HOLDER, str(store.root), key_of(1)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        waits = []

        def wait() -> None:
            waits.append(1)
            if len(waits) == 3:
                holder.kill()

        with store.lock(key_of(2), fail):
            pass
        with store.lock(key_of(1), wait):
            assert len(waits) >= 3
    assert list((store.root / "locks").iterdir()) == []


def test_what_on_wait_raises_ends_the_waiting(store: Store) -> None:
    def interrupt() -> None:
        raise TimeoutError("enough")

    with store.lock(key_of(1)):
        with pytest.raises(TimeoutError, match="enough"), store.lock(key_of(1), interrupt):
            pass
        with pytest.raises(TimeoutError, match="enough"), store.lock(key_of(1), interrupt):
            pass


def test_what_is_raised_under_a_lock_goes_through_and_frees_it(store: Store) -> None:
    with pytest.raises(FileNotFoundError), store.lock(key_of(1)):
        raise FileNotFoundError
    with store.lock(key_of(1), fail):
        pass


COUNTER = """
import sys
from pathlib import Path
from tuner.pipeline.store import Store

store, file = Store(Path(sys.argv[1])), Path(sys.argv[2])
for _ in range(50):
    with store.lock("0" * 64):
        file.write_text(str(int(file.read_text()) + 1))
"""


def test_only_one_process_at_a_time_holds_a_lock(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "count"
    file.write_text("0")
    command = [sys.executable, "-c", COUNTER, str(store.root), str(file)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert file.read_text() == "150"


# Sizes and collection


def test_a_file_with_two_names_counts_once(store: Store) -> None:
    first = put(store, 1, {"big": bytes(100_000)})
    with store.draft(key_of(2)) as draft:
        (draft.output / "same").hardlink_to(first.output / "big")
        second = draft.commit({})
    assert second.meta["bytes"] == 100_000
    assert 100_000 < store.size() < 105_000
    set_used(first, 100)
    report = store.gc(max_bytes=104_000)
    assert report.removed == ()
    set_used(second, 200)
    report = store.gc(max_bytes=50_000)
    assert report.removed == (second.key, first.key)
    assert report.freed > 100_000
    assert (report.kept, report.bytes) == (0, 0)


def test_the_least_recently_used_go_first(store: Store) -> None:
    entries = [put(store, n, {"a": bytes(10_000)}) for n in range(5)]
    for entry, age in zip(entries, (50, 10, 40, 20, 30), strict=True):
        set_used(entry, age)
    report = store.gc(max_bytes=35_000, keep=[entries[0].key])
    assert report.removed == (entries[2].key, entries[4].key)
    assert report.kept == 3
    assert report.bytes == store.size() <= 35_000


def test_what_was_not_used_for_long_goes(store: Store) -> None:
    old, kept, new = (put(store, n) for n in range(3))
    set_used(old, 1000)
    set_used(kept, 1000)
    report = store.gc(max_age=500, keep={kept.key})
    assert report.removed == (old.key,)
    assert {e.key for e in store.entries()} == {kept.key, new.key}


def test_collection_clears_old_logs_and_damaged_entries(store: Store) -> None:
    truncate(put(store, 1, {"a": b"12345"}))
    store.get(key_of(1))
    logs = []
    for _ in range(2):
        with store.draft(key_of(1)) as draft:
            logs.append(draft.keep_log())
    os.utime(logs[0], (1, 1))
    store.gc()
    assert list((store.root / "damaged").iterdir()) == []
    assert all(log.exists() for log in logs)
    store.gc(max_age=60)
    assert [log.exists() for log in logs] == [False, True]


# Disks


def test_a_root_that_is_no_folder_is_refused_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as caught:
        Store(tmp_path / "file" / "store")
    text = str(caught.value)
    assert text.startswith(f"the store {tmp_path}/file/store cannot be used: Not a directory")
    assert text.endswith("set TUNER_STORE to another folder")


def test_a_store_that_may_only_be_read_says_so_but_still_gives(store: Store) -> None:
    put(store, 1)
    (store.root / "tmp").chmod(0o500)
    if os.access(store.root / "tmp", os.W_OK):
        pytest.skip("this user may write everywhere")
    assert store.get(key_of(1)) is not None
    with pytest.raises(StoreError, match=r"Permission denied.*make it writable or set TUNER_STORE"):
        put(store, 2)


FULL = """
import hashlib, resource, sys
from pathlib import Path
from tuner.pipeline.store import Store, StoreError

store = Store(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with store.draft("1" * 64) as draft:
        draft.commit({"value": "x" * 5000})
except StoreError as error:
    print(error)
"""


def test_a_write_that_fails_leaves_no_entry(store: Store) -> None:
    command = [sys.executable, "-c", FULL, str(store.root)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert output.startswith(f"the store {store.root} cannot be used: File too large")
    assert store.get("1" * 64) is None
    assert list((store.root / "tmp").iterdir()) == []


def test_a_full_disk_is_told_with_a_way_out(store: Store) -> None:
    with store.draft(key_of(1)) as draft:
        (draft.output.parent / "meta.json").symlink_to("/dev/full")
        with pytest.raises(StoreError, match=r"No space left on device.*`tune cache gc`"):
            draft.commit({})


def test_the_folder_of_the_store_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("TUNER_STORE", raising=False)
    assert default_root() == Path("/home/someone/.cache/tuner")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_root() == Path("/cache/tuner")
    monkeypatch.setenv("TUNER_STORE", "~/models")
    assert default_root() == Path("/home/someone/models")


# Why was it run again?


def stage(**changes: Any) -> dict[str, Any]:
    description = {
        "kind": "stage",
        "pass": "lora",
        "version": 1,
        "parameters": {"r": 4, "targets": ["q", "v"]},
        "input": "abc",
    }
    return json.loads(json.dumps(description | changes))  # type: ignore[no-any-return]


def test_the_nearest_results_are_named_with_what_differs(store: Store) -> None:
    near = put(store, 1, description=stage(parameters={"r": 8, "targets": ["q", "v"]}))
    far = put(store, 2, description=stage(parameters={"alpha": 1, "targets": []}, version=2))
    put(store, 3, description=stage(**{"pass": "merge_adapter"}))
    put(store, 4)
    first, second = store.explain(stage())
    assert (first.key, second.key) == (near.key, far.key)
    assert first.differences == (Difference("parameters.r", 4, 8),)
    assert second.differences == (
        Difference("parameters.alpha", None, 1),
        Difference("parameters.r", 4, None),
        Difference("parameters.targets", ["q", "v"], []),
        Difference("version", 1, 2),
    )


def test_a_result_that_is_there_differs_in_nothing(store: Store) -> None:
    put(store, 1, description=stage())
    put(store, 2, description=stage(input="def"))
    (same,) = store.explain(stage(), limit=1)
    assert (same.key, same.differences) == (key_of(1), ())


# Cost


def test_a_small_entry_is_committed_in_milliseconds(store: Store) -> None:
    seconds = []
    for n in range(50):
        started = time.perf_counter()
        put(store, n, value={"x": 1})
        seconds.append(time.perf_counter() - started)
    assert sorted(seconds)[25] < 0.02
