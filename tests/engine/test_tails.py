"""What a failed attempt wrote to stdout and stderr: from the process itself, and from what a killed worker left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.engine.conftest import ROOT
from wfstore.engine import tails

Run = Callable[..., tuple[str, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a body in a process whose stdout and stderr are files, as in a Ray worker; what `mark().read()` gives."""

    def run(body: str, before: str = "", limit: int = tails.TAIL_BYTES) -> tuple[str, str]:
        program = (
            "import ctypes, io, json, os, sys\nfrom wfstore.engine import tails\n"
            f"{before}\nm = tails.mark()\n{body}\n"
            f"json.dump(m.read({limit}), open({str(tmp_path / 'answer')!r}, 'w'))\n"
        )
        with open(tmp_path / "out", "ab") as out, open(tmp_path / "err", "ab") as err:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            subprocess.run([sys.executable, "-c", program], stdout=out, stderr=err, env=environment, check=False)
        found = json.loads((tmp_path / "answer").read_text())
        return found[0], found[1]

    return run


def test_only_what_was_written_since_the_mark(run: Run) -> None:
    out, err = run("print('after'); print('wrong', file=sys.stderr)", before="print('before'); sys.stderr.write('x')")
    assert (out, err) == ("after\n", "wrong\n")


def test_python_c_children_and_descriptors_all_count(run: Run) -> None:
    body = "print('python'); ctypes.CDLL(None).puts(b'C'); os.write(1, b'raw\\n'); os.system('echo child')"
    out, _ = run(body)
    assert sorted(out.split()) == ["C", "child", "python", "raw"]


def test_what_user_code_sends_elsewhere_does_not_count(run: Run) -> None:
    assert run("sys.stdout = io.StringIO(); print('mine'); os.write(1, b'ours')")[0] == "ours"


@pytest.mark.parametrize(
    "broken",
    [
        "sys.stdout.close()",
        "sys.stdout = object()",
        "sys.stdout = None; sys.__stdout__ = None",
        "os.close(1)",
        "os.dup2(os.open('/dev/null', os.O_WRONLY), 1)",
        "os.dup2(os.open(sys.executable, os.O_RDONLY), 1)",
        "os.dup2(os.pipe()[1], 1)",
    ],
)
def test_user_code_that_breaks_its_stdout_costs_only_that(run: Run, broken: str) -> None:
    out, err = run(f"{broken}\nsys.stderr.write('still here')")
    assert (out, err) == ("", "still here")


def test_only_the_last_bytes_and_whole_characters(run: Run) -> None:
    out, _ = run("os.write(1, 'é'.encode() * 1000)", limit=101)
    assert out == "é" * 50
    out, _ = run("os.write(1, b'x' * 200_000 + b'end')")
    assert len(out) == tails.TAIL_BYTES and out.endswith("xend")


def test_bytes_that_are_no_text_are_replaced(run: Run) -> None:
    assert run("os.write(1, b'\\xff\\xfe ok')")[0] == "��\x20ok"


def test_the_lines_that_ray_writes_are_left_out(run: Run) -> None:
    written = "a\\n:job_id:01000000\\n:task_name:f\\n:actor_name:A\\n__ray_tqdm_magic_token__{}\\n:task: mine\\n"
    assert run(f"os.write(1, b'{written}')")[0] == "a\n:task: mine\n"


def test_a_file_that_was_cut_is_read_from_its_beginning(run: Run) -> None:
    assert run("os.truncate(1, 0); os.write(1, b'again')", before="os.write(1, b'x' * 50)")[0] == "again"


def test_a_rotated_file_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "worker.out"
    path.write_bytes(b"before")
    found = path.stat()
    position = tails._Position(found.st_dev, found.st_ino, found.st_size, rotates=True)
    for number, text in enumerate((b" one", b"two", b"three")):
        with path.open("ab") as file:
            file.write(text)
        if number < 2:
            for older in (2, 1):
                if (tmp_path / f"worker.out.{older - 1}").exists():
                    (tmp_path / f"worker.out.{older - 1}").rename(tmp_path / f"worker.out.{older}")
            path.rename(tmp_path / "worker.out.1")
            path.touch()
    assert tails._tail(str(path), position, 100) == b" onetwothree"
    assert tails._tail(str(path), position, 6) == b"othree"


def test_without_ray_there_is_nothing_to_find() -> None:
    if not ray.is_initialized():
        assert tails.of_dead_worker(os.getpid()) == ("", "")
    assert tails.of_dead_attempt("never") == ("", "")


def test_a_mark_is_cheap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "_notes", lambda: tmp_path)
    tails._own_note.cache_clear()
    best = min(_seconds_per_mark() for _ in range(20))
    tails._own_note.cache_clear()
    assert best < 40e-6, f"{best * 1e6:.1f} us"


def _seconds_per_mark() -> float:
    began = time.perf_counter()
    for number in range(100):
        tails.mark(f"workflow/1/task/{number}")
    return (time.perf_counter() - began) / 100


# -- on Ray -----------------------------------------------------------------------------------------------------------


def _talk(words: str, label: str | None, die: str = "") -> tuple[str, str]:
    print("of somebody else")
    made = tails.mark(label)
    print(words)
    os.write(2, words.encode() + b" wrong\n")
    if die == "exit":
        os._exit(3)
    if die == "kill":
        os.kill(os.getpid(), 9)
    if die == "segfault":
        import ctypes

        ctypes.string_at(0)
    return made.read()


def _pid_and_dead(label: str) -> None:
    print(f"the pid is {os.getpid()}")
    os._exit(1)


@pytest.mark.ray
def test_a_ray_worker_reads_its_own(cluster: None) -> None:
    talk = ray.remote(_talk)
    assert ray.get([talk.remote("hello", None), talk.remote("again", "a/1/b/1")]) == [
        ("hello\n", "hello wrong\n"),
        ("again\n", "again wrong\n"),
    ]


@pytest.mark.ray
@pytest.mark.parametrize("die", ["exit", "kill", "segfault"])
def test_what_a_killed_worker_said_is_found_by_its_attempt(cluster: None, die: str) -> None:
    label = f"wörk\nflow-{die}/1/t/1"
    talk = ray.remote(max_retries=0)(_talk)
    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(talk.remote(die, label, die))
    out, err = tails.of_dead_attempt(label)
    assert out == f"{die}\n"
    assert err.startswith(f"{die} wrong\n")
    assert ("SIGSEGV" in err) == (die == "segfault")


@pytest.mark.ray
def test_what_a_killed_worker_said_is_found_by_its_pid(cluster: None) -> None:
    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(ray.remote(max_retries=0)(_pid_and_dead).remote("x"))
    node: Any = ray._private.worker._global_node
    for path in sorted(Path(node.get_logs_dir_path()).glob("worker-*.out"), key=os.path.getmtime, reverse=True):
        if "the pid is " in path.read_text():
            pid = int(path.read_text().rpartition("the pid is ")[2])
            break
    assert tails.of_dead_worker(pid) == (f"the pid is {pid}\n", "")
    assert tails.of_dead_worker(2**22 + 1) == ("", "")


@pytest.mark.ray
def test_with_rotation_the_pipe_is_followed_into_its_files() -> None:
    """Ray then puts a pipe in the descriptors' place, and a thread that writes and renames the files."""
    program = (
        "import ray\nfrom tests.engine.test_tails import _talk_much\n"
        "ray.init(address='local', num_cpus=1, include_dashboard=False, log_to_driver=False)\n"
        "out = ray.get(ray.remote(_talk_much).remote())\n"
        "lines = out.splitlines()\n"
        "assert lines == [f'line {n:04}' for n in range(500)], (len(lines), lines[:2], lines[-2:])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ROTATION_MAX_BYTES": "2000"}
    environment["RAY_ROTATION_BACKUP_COUNT"] = "5"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def _talk_much() -> str:
    for number in range(300):
        print(f"before {number}")
    time.sleep(0.2)  # else what is in the pipe yet counts as written later
    made = tails.mark()
    for number in range(500):
        print(f"line {number:04}")
    return made.read()[0]
