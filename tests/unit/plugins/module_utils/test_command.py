# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command as hosts have it: the built file, started by the system with an empty environment."""

from __future__ import annotations

import datetime
import os
import pathlib
import pty
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile

import pytest

from ansible_collections.appstate.backup.plugins.module_utils import command as face
from ansible_collections.appstate.backup.plugins.module_utils.system.locks import AppLock
from ansible_collections.appstate.backup.tests.unit.plugins.pings import SECRET, receiver  # noqa: F401  # pylint: disable=unused-import


def test_it_needs_none_of_the_packages_and_paths_of_others(command):
    """With -I -S Python sees neither PYTHONPATH nor site-packages."""
    done = subprocess.run([sys.executable, "-I", "-S"] + command.arguments("run"), env={}, cwd="/", stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_from_a_backup_to_its_restore(command, tree):
    said = command("run")
    id = said.split()[0]
    assert re.match(r"notes-\d{8}T\d{6}Z  \d+\.\d KiB  verified to content, \d+\.\d s\n\Z", said)
    assert re.match(re.escape(id) + r" +\d+\.\d KiB +0 h old  content\n\Z", command("list"))
    assert command("verify", "notes") == "%s is good (content)\n" % id
    before = tree(command.host.at("uploads"))
    command.host.damage()
    said = command("restore", "notes")
    assert "restored %s" % id in said and "undo: appstate-backup rollback notes" in said
    assert tree(command.host.at("uploads")) == before and command.host.notes() == 20
    assert command("rollback", "notes") == "rolled back\n"
    assert command.host.notes() == 23
    assert command("rollback", "notes") == "no restore is pending\n"
    command("restore", "notes")
    assert command("commit", "notes") == "committed\n"
    assert command("check") == "well: notes\n"
    assert [line["action"] for line in command.audit()] == ["backup", "restore", "rollback", "restore", "commit"]


def test_the_same_as_json(inside):
    ran, = inside.json("run", "notes")
    assert (ran["app"], ran["exit_code"], ran["error"], ran["pruned"]) == ("notes", 0, None, [])
    listed, = inside.json("list", "notes")
    assert listed["id"] == ran["backup"]["id"] and listed["good"] and listed["held"] is False
    assert listed["sources"][0]["passport"]["tables"] == {"notes": 20}
    verified = inside.json("verify", "notes", "--level", "checksum")
    assert (verified["verified"], verified["level"], verified["problems"]) == (True, "checksum", [])
    restored = inside.json("restore", "notes", "--id", listed["id"])
    assert restored["state"] == "restored" and inside.host.at("uploads") in restored["restored"]
    assert inside.json("rollback", "notes")["state"] == "rolled_back"
    assert inside.json("commit", "notes")["state"] == "none"
    assert inside.json("check") == []
    assert inside.json("hold", "notes", listed["id"]) == {"backup": listed["id"], "changed": True}
    assert inside.json("list")[0]["held"] is True
    pruned, = inside.json("prune", "--dry-run")
    assert pruned["removed"] == [] and pruned["decisions"][0]["reasons"] == ["it is on hold", "the newest verified", "no rule was given"]


def test_an_error_is_told_on_both_streams(command):
    command("validate", command.configure())
    command("validate", "/does/not/exist", status=78)
    assert command.json("verify", "notes", status=1)["error"]["app"] == "notes"
    assert "no good backup" in command.errors


def test_an_error_as_json(inside):
    told = inside.json("verify", "notes", status=1)
    assert told["exit_code"] == 1 and told["error"]["app"] == "notes" and "no good backup" in told["error"]["message"]


def test_what_the_system_refuses_is_told_without_a_traceback(inside, monkeypatch):
    def refuse(*unused):
        raise OSError(5, "Input/output error", "/dev/x")
    monkeypatch.setattr(face.catalog, "list_backups", refuse)
    assert inside.json("list", status=1)["error"]["message"] == "list failed: Input/output error"


def test_pruning_explains_itself(command):
    command.configure(retention={"keep_last": 1})
    command("run")
    first = command.json("list")[0]["id"]
    command("hold", "notes", first, "--reason", "before the move")
    command("run")
    assert [each["held"] for each in command.json("list")] == [False, True]
    newest = command.json("list")[0]["id"]
    assert command("prune") == "%s  keep: the newest verified, last\n%s  keep: it is on hold\n" % (newest, first)
    assert command("release", "notes", first) == "%s: release\n" % first
    assert command("prune", "-n").splitlines()[1] == "%s  would remove" % first
    assert command("prune").splitlines()[1] == "%s  removed" % first
    assert len(command.json("list")) == 1


def test_a_damaged_backup_is_told_and_not_restored(inside):
    inside("run")
    id = inside.json("list")[0]["id"]
    path = inside.json("list")[0]["path"]
    with open(path, "r+b") as file:
        file.seek(600)
        file.write(b"\xff" * 50)
    assert inside("verify", "notes", status=1) != ""
    inside("restore", "notes", status=1)
    assert inside.host.notes() == 20
    with open(path, "ab") as file:
        file.write(b"x")
    assert inside("list").startswith("%s  NOT GOOD: the archive has" % id)
    assert "has no good backup" in (inside("verify", "notes", status=1) + inside.errors)


def test_what_is_too_new_is_refused_with_its_event_and_what_is_older_told_of(inside):
    inside("run")
    version = {"version": {"sql": "SELECT 12"}}
    inside.configure(version_max=11, **version)
    told = inside.json("restore", "notes", status=78)
    assert (told["exit_code"], told["error"]["event"]) == (78, "schema_version_too_new")
    assert "understands no newer one than 11" in inside.errors and inside.errors.endswith(" event=schema_version_too_new\n")
    assert inside.json("verify", "notes", status=1)["problems"][0]["event"] == "schema_version_too_new"
    inside.configure(version_max=13, **version)
    inside("restore", "notes")
    assert "app notes: warning: the backup has schema version 12; the application understands 13" in inside.errors


def test_restores_elsewhere_of_one_path_and_only_to_look(inside):
    inside("run")
    assert inside("restore", "notes", "--validate-only").endswith("can be restored; nothing was changed\n")
    other = inside.host.place("other")
    inside("restore", "notes", "--target-root", other, "--only", "data/notes.db")
    assert os.listdir(os.path.join(other, "data")) == ["notes.db"]
    assert inside("rollback", "notes", "--target-root", other) == "rolled back\n"


def test_a_lock_that_is_held(command):
    with AppLock(command.host.locks, "notes"):
        command("run", status=75)
        assert "another run holds the lock (process %d)" % os.getpid() in command.errors
        command("prune", status=75)
        command("restore", "notes", status=75)


def test_files_that_cannot_be_read_make_status_3(command):
    """One that always fails to read, for root too: the memory of this very process, through /proc."""
    os.mkdir(command.host.at("weird"))
    command.configure(sources=command.host.sources() + [{"type": "files", "path": "weird"}])
    for number in range(5):
        with open(command.host.at("weird", "%d" % number), "w", encoding="ascii") as file:
            file.write("x")
    if os.geteuid() == 0:
        subprocess.run(["mount", "--bind", "/proc/self/mem", command.host.at("weird", "3")], check=True)
    else:
        os.chmod(command.host.at("weird", "3"), 0)
    try:
        command("run", status=3)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", command.host.at("weird", "3")], check=True)
    assert "weird/3" in command.errors and "not everything could be read" in command.errors
    assert command.status()["state"] == "failed"
    assert len(command.json("list")) == 1


@pytest.mark.parametrize("change, words", [
    (lambda path: os.chmod(path, 0o660), "can be written by somebody else"),
    (lambda path: os.chmod(os.path.dirname(path), 0o770), "can be written by somebody else"),
    (lambda path: edit(path, '"name"', '"retenton": {}, "name"'), "Did you mean 'retention'?"),
    (lambda path: edit(path, "{", "", 1), "is no JSON"),
])
def test_a_configuration_that_is_no_good_is_red_everywhere(inside, receiver, change, words):
    server = receiver()
    path = inside.configure(monitoring={"ping": {"url": server.url}, "metrics_directory": inside.host.place("metrics")})
    inside("run")
    server.received.clear()
    change(path)
    for name in ("run", "list", "prune"):
        inside(name, status=78)
        assert words in inside.errors and path in inside.errors
    assert words in inside("check", status=78)
    inside("verify", "notes", status=78)
    status = inside.status()
    assert status["state"] == "failed" and words in status["problem"] and status["last_success"]
    assert words in inside.audit()[-1]["result"]
    if "unknown" in status["problem"]:
        assert server.received[-1][1] == "/fail"
        with open(inside.host.place("metrics", "appstate_backup_notes.prom"), encoding="ascii") as file:
            assert 'appstate_backup_last_run_success{app="notes"} 0\n' in file.read()


def edit(path, *arguments):
    with open(path, encoding="ascii") as file:
        text = file.read()
    with open(path, "w", encoding="ascii") as file:
        file.write(text.replace(*arguments))


def test_one_app_that_is_no_good_does_not_keep_the_others_from_their_turn(inside):
    inside.configure("aaa", root="/does/not/exist")
    edit(inside.configure("bbb"), '"name"', '"nmae"')
    said = inside("run", status=1)
    assert said.startswith("notes-") and "app aaa: " in inside.errors and "app bbb: " in inside.errors
    assert [inside.status(name)["state"] for name in ("aaa", "bbb", "notes")] == ["failed", "failed", "ok"]


def test_an_app_that_is_not_known_and_no_app_at_all(inside):
    inside("run", "noets", status=78)
    assert "Known are: notes" in inside.errors
    os.unlink(os.path.join(inside.host.place("apps.d"), "notes.json"))
    for name in ("run", "list", "check", "prune"):
        inside(name, status=78)
        assert "no app is described here" in inside.errors


def test_validate_looks_at_a_file_wherever_it_lies(inside):
    path = inside.configure()
    os.rename(path, inside.host.place("candidate"))
    assert "describes the app notes" in inside("validate", inside.host.place("candidate"))
    edit(inside.host.place("candidate"), '"name"', '"retention": {"keep_daily": 1, "timezone": "Mars/Base"}, "name"')
    inside("validate", inside.host.place("candidate"), status=78)
    assert "Mars/Base" in inside.errors
    inside("validate", inside.host.place("missing"), status=78)


def test_check_finds_what_is_overdue_and_what_failed(inside):
    inside.configure(monitoring={"max_age": "26h", "syslog": False})
    assert "there is no good backup yet" in inside("check", status=1)
    inside.host.time = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    inside.host.backup()
    assert "the newest backup, notes-20200101T000001Z, is older than 26h" in inside("check", status=1)
    inside("run")
    assert inside("check") == "well: notes\n"
    os.rename(inside.host.at("data"), inside.host.at("data.away"))
    inside("run", status=1)
    assert inside("check", status=1).count("\n") == 2


def test_the_shrink_guard_is_accepted_by_a_word(inside):
    inside("run")
    connection = sqlite3.connect(inside.host.at("data/notes.db"))
    with connection:
        connection.execute("DELETE FROM notes")
    connection.close()
    inside("run", status=1)
    assert "--accept-shrink notes" in inside.errors
    inside("run", "--accept-shrink")
    inside("run")


def services(host):
    """A service that writes down what is done to it, and can be told to fail."""
    script = 'echo %s >> "$0/log"; ! test -e "$0/fail-%s"'
    return {step: ["sh", "-c", script % (step, step), host.path] for step in ("stop", "start")}


def log_of(host):
    with open(host.place("log"), encoding="ascii") as file:
        return file.read().split()


def test_a_restore_stops_and_starts_the_application(inside):
    inside.configure(service=services(inside.host))
    inside("run")
    inside("restore", "notes", "--validate-only")
    assert not os.path.exists(inside.host.place("log"))
    inside("restore", "notes")
    assert log_of(inside.host) == ["stop", "start"]
    inside("rollback", "notes")
    inside("rollback", "notes")
    assert log_of(inside.host) == ["stop", "start"] * 2


def test_nobody_comes_between_the_steps_of_a_restore(command):
    """Else what one of two restores gives up can be what the other one has just brought back."""
    log = command.host.place("log")
    another = ["sh", "-c", '"$@" 2> "$0"; echo $? >> "$0"', log] + command.arguments("commit", "notes")
    command.configure(service={"stop": another, "start": ["true"]})
    command("run")
    assert command("restore", "notes").startswith("restored ")
    with open(log, encoding="utf-8") as file:
        said = file.read()
    assert "another run holds the lock (process " in said and said.endswith("\n75\n")


def test_a_restore_without_a_place_for_its_lock_says_so(inside):
    inside("run")
    inside.places[inside.places.index("--lock-directory") + 1] = "/dev/null/locks"
    inside("restore", "notes", status=1)
    assert "app notes: /dev/null: the restore failed: " in inside.errors


@pytest.mark.parametrize("fails", ["fail-stop", "fail-start", "health"])
def test_a_restore_that_fails_puts_the_old_state_back(inside, receiver, fails):
    words = {"service": services(inside.host)}
    if fails == "health":
        words["health"] = {"url": receiver(500).url, "retries": 1, "delay": 0.01}
    inside.configure(**words)
    inside("run")
    inside.host.damage()
    if fails != "health":
        with open(inside.host.place(fails), "w", encoding="ascii"):
            pass
    inside("restore", "notes", status=1)
    assert inside.host.notes() == 23 and inside.host.left() == []
    assert ("the old state is back" in inside.errors) is (fails == "health")
    assert "then this failed too" in inside.errors or fails == "health"
    assert log_of(inside.host)[-1] == "start" and SECRET not in inside.errors
    assert inside.audit()[-1]["action"] == "restore" and inside.audit()[-1]["result"] != "ok"


def test_an_upgrade_in_the_middle_of_a_run(command, tmp_path):
    """The file is replaced by another one as the copy module does it, before anything was read."""
    mine = tmp_path / "appstate-backup"
    mine.write_bytes(pathlib.Path(command.path).read_bytes())
    mine.chmod(0o755)
    command.path = str(mine)
    command.configure(hooks={"before": [["sh", "-c", 'echo "#!/bin/false" > "$0.new" && mv -f "$0.new" "$0"', str(mine)]]},
                      retention={"keep_last": 1, "timezone": "Europe/Berlin"},
                      monitoring={"ping": {"url": "http://127.0.0.1:9/" + SECRET, "attempts": 1}, "metrics_directory": command.host.place("metrics")})
    assert command("run").startswith("notes-") and mine.read_bytes() == b"#!/bin/false\n"
    assert "Connection refused" in command.errors and SECRET not in command.errors
    assert command.status()["state"] == "ok" and os.listdir(command.host.place("metrics")) == ["appstate_backup_notes.prom"]


def test_an_upgrade_while_python_still_reads_the_file(command, tmp_path):
    """One of the first modules that are imported replaces the file by one in which nothing is where it was."""
    mine, newer = tmp_path / "appstate-backup", tmp_path / "newer"
    with zipfile.ZipFile(command.path) as archive:
        texts = {name: archive.read(name).decode("utf-8") for name in archive.namelist()}
    first = "appstate_backup/configuration.py"
    for path, changed in ((newer, {name: text + "# %s" % name for name, text in texts.items()}),
                          (mine, dict(texts, **{first: texts[first] + "\nos.replace(%r, %r)\n" % (str(newer), str(mine))}))):
        path.write_bytes(b"#!/usr/bin/env python3\n")
        path.chmod(0o755)
        with zipfile.ZipFile(path, "a") as archive:
            for name, text in changed.items():
                archive.writestr(name, text)
    command.path = str(mine)
    assert command("run").startswith("notes-") and not newer.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_shutdown_is_told_of(command, number):
    marks = command.host.place("marks")
    command.configure(hooks={"before": [["sh", "-c", "echo before >> %s; sleep 60" % marks]], "after": [["sh", "-c", "echo after >> %s" % marks]]})
    running = subprocess.Popen(command.arguments("run"), env=command.environment, stderr=subprocess.PIPE, universal_newlines=True)
    while not os.path.exists(marks):
        time.sleep(0.02)
    running.send_signal(number)
    unused, errors = running.communicate(timeout=60)
    assert running.returncode == 1 and "was interrupted" in errors
    with open(marks, encoding="ascii") as file:
        assert file.read() == "before\nafter\n"
    assert command.status()["state"] == "failed" and "was interrupted" in command.status()["problem"]
    command.configure()
    command("run")


def on_terminal(command, *words):
    """What the command writes to a terminal as its standard error."""
    master, slave = pty.openpty()
    running = subprocess.Popen(command.arguments(*words), env=command.environment, stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    said = b""
    while True:
        ready = select.select([master], [], [], 60)[0]
        try:
            piece = os.read(master, 65536) if ready else b""
        except OSError:
            piece = b""  # Linux says EIO when the last one has closed the other end.
        if not piece:
            break
        said += piece
    os.close(master)
    assert running.wait() == 0
    return said.decode()


def test_progress_is_shown_on_a_terminal_alone(command):
    with open(command.host.write("uploads/large.bin"), "wb") as file:
        file.write(os.urandom(8000000))
    command("run")
    assert command.errors == ""
    for words, phases in ((("run",), ("snapshots", "archive", "verification")), (("verify", "notes"), ("verification",)),
                          (("restore", "notes", "--validate-only"), ("extraction",))):
        said = on_terminal(command, *words)
        for phase in phases:
            assert "notes: %s" % phase in said
        assert said.endswith("\r\x1b[K")


def test_output_that_nobody_reads_any_more_is_no_defect(command):
    command("run")
    running = subprocess.Popen(command.arguments("list", "--json"), env=command.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running.stdout.close()
    assert b"Traceback" not in running.stderr.read()
    running.stderr.close()
    running.wait()


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C"}, {"LC_ALL": "C.UTF-8"}])
def test_names_that_no_locale_knows(command, locale):
    command.host.write("uploads/\u00fcml\u00e4ut")
    with open(os.path.join(os.fsencode(command.host.at("uploads")), b"latin-\xe4"), "wb"):
        pass
    done = subprocess.run(command.arguments("run"), env=dict(command.environment, **locale), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_it_is_told_who_could_not_back_it_up(inside):
    path = inside.configure()
    inside("validate", path, "--as", "root")
    os.mkdir(inside.host.place("state"), 0o700)
    inside("validate", path, "--as", "3001", status=78)
    assert "app notes: %s: cannot be written by user id 3001" % inside.host.place("state") in inside.errors
