"""The prediction log as files."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.serving.answering.prediction_log import LogLine, PredictionLog

START = datetime(2013, 6, 1, 9, 59, tzinfo=UTC)


def line(model: str = "delays", request_id: str = "r") -> LogLine:
    return LogLine(
        request_id=request_id,
        model=model,
        version="v1",
        digest="d",
        arm="primary",
        routed=True,
        status="ok",
        reason=None,
        received_at=START.isoformat(),
        milliseconds=1.0,
        entity=None,
        time=None,
        features={"carrier": ["é\n"]},
        probability=[0.5],
        unit=request_id,
    )


def names(root, model="delays"):
    return sorted(path.name for path in (root / model).iterdir())


def test_a_line_is_there_as_soon_as_it_is_written(tmp_path):
    log = PredictionLog(tmp_path, now=lambda: START)
    log.write(line())
    (name,) = names(tmp_path)
    assert name.startswith(f"20130601T09-{os.getpid()}-")
    (text,) = (tmp_path / "delays" / name).read_text().splitlines()
    assert json.loads(text)["features"] == {"carrier": ["é\n"]}


def test_each_hour_has_a_file_of_its_own_in_utc(tmp_path):
    now = START
    log = PredictionLog(tmp_path, now=lambda: now)
    log.write(line())
    now += timedelta(minutes=1)
    log.write(line())
    log.write(line())
    now = now.astimezone().replace(minute=59)
    log.write(line())
    assert [name[:11] for name in names(tmp_path)] == ["20130601T09", "20130601T10"]


def test_a_file_does_not_grow_over_its_limit(tmp_path):
    log = PredictionLog(tmp_path, now=lambda: START, max_file_bytes=1000)
    for _ in range(10):
        log.write(line())
    sizes = [path.stat().st_size for path in (tmp_path / "delays").iterdir()]
    assert len(sizes) > 1
    assert max(sizes) <= 1000
    assert sum(path.read_bytes().count(b"\n") for path in (tmp_path / "delays").iterdir()) == 10


def test_each_model_has_a_folder_of_its_own(tmp_path):
    log = PredictionLog(tmp_path, now=lambda: START)
    log.write(line("delays"))
    log.write(line("fraud"))
    assert len(names(tmp_path, "delays")) == len(names(tmp_path, "fraud")) == 1


@pytest.mark.parametrize("model", ["../elsewhere", "..", ".", "a/b", "/tmp/elsewhere", ""])
def test_a_model_name_never_leads_out_of_the_log(tmp_path, model):
    with pytest.raises(OSError, match="does not name a folder"):
        PredictionLog(tmp_path / "log").write(line(model))
    assert not (tmp_path / "elsewhere").exists()


def test_a_torn_line_fails_and_the_next_one_goes_to_a_new_file(tmp_path, monkeypatch):
    log = PredictionLog(tmp_path, now=lambda: START)
    log.write(line(request_id="first"))
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, data: write(file, data[:20]))
        with pytest.raises(OSError, match="20 of"):
            log.write(line(request_id="torn"))
    log.write(line(request_id="second"))
    contents = [(tmp_path / "delays" / name).read_bytes() for name in names(tmp_path)]
    assert sorted(content.count(b"\n") for content in contents) == [1, 1]


def test_threads_write_whole_lines(tmp_path):
    log = PredictionLog(tmp_path, now=lambda: START, max_file_bytes=5000)

    def work(number):
        for count in range(50):
            log.write(line(request_id=f"{number}-{count}"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [
        json.loads(text)["request_id"]
        for path in (tmp_path / "delays").iterdir()
        for text in path.read_text().splitlines()
    ]
    assert len(lines) == len(set(lines)) == 200


def test_a_closed_log_can_be_written_again(tmp_path):
    log = PredictionLog(tmp_path, now=lambda: START)
    log.write(line())
    log.close()
    log.write(line())
    assert len(names(tmp_path)) == 2


def fail_with(number):
    def write(*_):
        raise OSError(number, os.strerror(number))

    return write


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE])
def test_what_cannot_be_written_raises_and_is_counted(tmp_path, monkeypatch, number):
    log = PredictionLog(tmp_path, now=lambda: START)
    with monkeypatch.context() as full:
        full.setattr(os, "write", fail_with(number))
        for _ in range(3):
            with pytest.raises(OSError, match=os.strerror(number)):
                log.write(line())
    assert log.lost == 3
    log.write(line(request_id="after"))
    assert log.lost == 3
    assert read(tmp_path) == ["after"]


def test_where_answers_go_on_what_is_lost_is_only_counted(tmp_path, monkeypatch):
    log = PredictionLog(tmp_path, now=lambda: START, when_full="answer")
    with monkeypatch.context() as full:
        full.setattr(os, "write", fail_with(errno.ENOSPC))
        for _ in range(3):
            log.write(line())
    log.write(line(request_id="after"))
    assert (log.lost, read(tmp_path)) == (3, ["after"])


def test_where_answers_go_on_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "log").write_text("a file where the folder should be")
    log = PredictionLog(tmp_path / "log", when_full="answer")
    log.write(line())
    assert log.lost == 1


def test_however_often_writing_fails_no_more_files_are_left(tmp_path, monkeypatch):
    log = PredictionLog(tmp_path, now=lambda: START)
    log.write(line())
    with monkeypatch.context() as full:
        full.setattr(os, "write", fail_with(errno.ENOSPC))
        for _ in range(50):
            with pytest.raises(OSError, match="space"):
                log.write(line())
    assert len(names(tmp_path)) == 2
    log.write(line())
    assert sorted(path.stat().st_size > 0 for path in (tmp_path / "delays").iterdir()) == [True] * 2


def test_a_file_that_went_bad_is_left_for_a_new_one(tmp_path):
    log = PredictionLog(tmp_path, now=lambda: START)
    log.write(line(request_id="before"))
    os.close(log._files["delays"].descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        log.write(line(request_id="lost"))
    log.write(line(request_id="after"))
    assert sorted(read(tmp_path)) == ["after", "before"]


@pytest.mark.parametrize("when_full", ["refuse", "answer"])
def test_on_a_disk_that_is_full_what_was_acknowledged_is_there(tmp_path, when_full):
    # a process that may write files of 4,000 bytes only
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), when_full],
        capture_output=True,
        text=True,
        check=True,
    )
    acknowledged, lost = json.loads(done.stdout)
    assert lost > 0
    assert len(acknowledged) == (200 - lost if when_full == "refuse" else 200)
    assert len(read(tmp_path)) == 200 - lost
    if when_full == "refuse":
        assert sorted(read(tmp_path)) == sorted(acknowledged)


LIMITED = """
import json, pathlib, resource, sys
from mlops_assets.serving.answering.prediction_log import LogLine, PredictionLog

resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
log, acknowledged = PredictionLog(pathlib.Path(sys.argv[1]), when_full=sys.argv[2]), []
for number in range(200):
    line = LogLine(
        f"r{number}", "delays", "v1", "d", "primary", True, "ok", None, "2013-06-01", 1.0,
        None, None, {"carrier": ["UA" * 100]}, [0.5], f"r{number}",
    )
    try:
        log.write(line)
        acknowledged.append(line.request_id)
    except OSError:
        pass
print(json.dumps([acknowledged, log.lost]))
"""


def read(root):
    """The requests in the log, torn lines left out as every reader does."""
    return [
        json.loads(text)["request_id"]
        for path in (root / "delays").iterdir()
        for text in path.read_bytes().splitlines()
        if text.endswith(b"}")
    ]
