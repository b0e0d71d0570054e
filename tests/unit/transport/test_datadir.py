"""The data directory: one server at a time, and notes that only the owner can read."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gbe.errors import DataDirectoryLockedError, EngineError, EngineNotRunningError
from gbe.transport import datadir
from gbe.transport.datadir import Attachment


def make_attachment(*, pid: int = 4711) -> Attachment:
    return Attachment(
        urls=("nats://127.0.0.1:24222",),
        user="gbe",
        password="correct-horse",
        server_name="gbe-0123",
        pid=pid,
        monitor_url="http://127.0.0.1:28222",
        durability="fsync",
        gbe_version="0.1.0",
    )


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_directory_is_private(tmp_path: Path) -> None:
    """Messages and credentials will lie in it: only its owner may enter, whatever the umask."""
    with datadir.lock(tmp_path / "a" / "b"):
        assert mode_of(tmp_path / "a" / "b") == 0o700
        assert mode_of(tmp_path / "a" / "b" / "gbe.lock") == 0o600


def test_an_existing_directory_keeps_its_mode(tmp_path: Path) -> None:
    """An operator who opened the directory, for backups say, had a reason."""
    tmp_path.chmod(0o750)
    with datadir.lock(tmp_path):
        assert mode_of(tmp_path) == 0o750


def test_a_second_lock_is_refused_and_names_the_holder(tmp_path: Path) -> None:
    """The error says who serves the directory, since when and where, in words to act on."""
    with (
        datadir.lock(tmp_path, "127.0.0.1:8080"),
        pytest.raises(DataDirectoryLockedError) as refusal,
        datadir.lock(tmp_path),
    ):
        pass
    assert refusal.value.data_dir == tmp_path
    assert f"process {os.getpid()} (since 20" in refusal.value.holder
    assert "listening on 127.0.0.1:8080" in refusal.value.holder


def test_the_holder_may_say_later_where_it_listens(tmp_path: Path) -> None:
    """The port is known only after the lock: a shorter or longer text replaces the old one cleanly."""
    with datadir.lock(tmp_path, "a rather long description of what goes on") as held:
        held.describe("[::1]:80")
        with pytest.raises(DataDirectoryLockedError, match=r"listening on \[::1\]:80\)"):
            datadir.lock(tmp_path)


def test_a_released_directory_can_be_locked_again(tmp_path: Path) -> None:
    """Release gives up the lock, and a second release does nothing."""
    first = datadir.lock(tmp_path)
    first.release()
    first.release()
    assert not first.held
    with datadir.lock(tmp_path) as second:
        assert second.held


def test_the_lock_is_not_inherited_by_children(tmp_path: Path) -> None:
    """A child that outlives its parent does not keep the directory: the lock dies with the server."""
    code = "import os, sys; os.fstat(int(sys.argv[1]))"
    with datadir.lock(tmp_path) as held:
        child = subprocess.run(
            [sys.executable, "-c", code, str(held._descriptor)], close_fds=False, stderr=subprocess.PIPE
        )
    assert b"Bad file descriptor" in child.stderr


def test_a_lock_of_another_process_is_seen_and_ends_with_it(tmp_path: Path) -> None:
    """The kernel frees the lock of a killed process; what it wrote into the file counts for nothing then."""
    code = (
        "import sys, time; from pathlib import Path; from gbe.transport import datadir\n"
        "held = datadir.lock(Path(sys.argv[1]), 'there'); print('locked', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        assert datadir.is_served(tmp_path)
        with pytest.raises(DataDirectoryLockedError, match=f"process {child.pid} .*listening on there"):
            datadir.lock(tmp_path)
    finally:
        child.kill()
        child.communicate()
    assert not datadir.is_served(tmp_path)
    datadir.lock(tmp_path).release()


def test_an_unreadable_holder_is_still_a_holder(tmp_path: Path) -> None:
    """Damaged content never makes the lock free."""
    with datadir.lock(tmp_path):
        (tmp_path / "gbe.lock").write_bytes(b"{")
        with pytest.raises(DataDirectoryLockedError, match="another process"):
            datadir.lock(tmp_path)


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_path_that_cannot_be_a_directory_is_refused(tmp_path: Path, name: str) -> None:
    """The error names the path and the operating system's reason."""
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match=f"cannot use directory .*{name}"):
        datadir.lock(tmp_path / name)


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    """In a directory that others may write, a link must not make us write somewhere else."""
    target = tmp_path / "target"
    (tmp_path / "gbe.lock").symlink_to(target)
    with pytest.raises(EngineError):
        datadir.lock(tmp_path)
    assert not target.exists()


def test_an_attachment_is_read_back_while_the_directory_is_served(tmp_path: Path) -> None:
    """What the server wrote is what another process gets, from a file only the owner can read."""
    with datadir.lock(tmp_path):
        datadir.write_attachment(tmp_path, make_attachment(pid=1))
        datadir.write_attachment(tmp_path, make_attachment(pid=2))
        assert datadir.read_attachment(tmp_path) == make_attachment(pid=2)
        assert mode_of(tmp_path / "engine.json") == 0o600
        assert sorted(path.name for path in tmp_path.iterdir()) == ["engine.json", "gbe.lock"]


def test_looking_for_the_engine_does_not_take_the_lock(tmp_path: Path) -> None:
    """Attaching processes come and go; the server must not be refused because of them."""
    with datadir.lock(tmp_path):
        pass
    assert not datadir.is_served(tmp_path)
    with datadir.lock(tmp_path):
        assert datadir.is_served(tmp_path)


def test_an_attach_file_that_outlived_its_server_is_not_believed(tmp_path: Path) -> None:
    """After a crash the file remains, the lock does not: nothing runs there."""
    with datadir.lock(tmp_path):
        datadir.write_attachment(tmp_path, make_attachment())
    with pytest.raises(EngineNotRunningError, match="gbe serve --data-dir"):
        datadir.read_attachment(tmp_path)
    assert datadir.recorded_attachment(tmp_path) == make_attachment()


def test_no_directory_or_no_engine_means_not_running(tmp_path: Path) -> None:
    """A directory that is not there, is not served, or is served without an engine: the same answer."""
    with pytest.raises(EngineNotRunningError):
        datadir.read_attachment(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(EngineNotRunningError):
        datadir.read_attachment(tmp_path)
    with datadir.lock(tmp_path), pytest.raises(EngineNotRunningError):
        datadir.read_attachment(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_an_attach_file_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    """Credentials that others could read, or have written, are not used; the error says how to repair it."""
    with datadir.lock(tmp_path):
        datadir.write_attachment(tmp_path, make_attachment())
        (tmp_path / "engine.json").chmod(mode)
        with pytest.raises(EngineError, match="chmod 600"):
            datadir.read_attachment(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"urls": ["nats://127.0.0.1:1"]}'])
def test_a_damaged_attach_file_is_an_error_of_its_own(tmp_path: Path, content: bytes) -> None:
    """Not "not running": somebody has to look."""
    with datadir.lock(tmp_path):
        datadir.write_private(tmp_path / "engine.json", content)
        with pytest.raises(EngineError, match="is damaged"):
            datadir.read_attachment(tmp_path)


def test_removing_an_attachment_twice_is_fine(tmp_path: Path) -> None:
    """Stopping is idempotent, and so is what it does to the file."""
    datadir.write_attachment(tmp_path, make_attachment())
    datadir.remove_attachment(tmp_path)
    datadir.remove_attachment(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_attachment_never_shows_its_password() -> None:
    """Attachments end up in logs and tracebacks; passwords must not."""
    attachment = make_attachment()
    assert "correct-horse" not in f"{attachment!r} {attachment!s}"
    assert "nats://127.0.0.1:24222" in repr(attachment)
