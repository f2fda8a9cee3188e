# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError, ChildError
from ansible_collections.appstate.backup.plugins.module_utils.system.guardian import Guardian


class Book:
    """A file that steps write lines to, in whichever process they run."""

    def __init__(self, path):
        self.path = str(path)

    def note(self, text):
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, text.encode("ascii") + b"\n")
        os.close(descriptor)

    def lines(self):
        with open(self.path, encoding="ascii") as file:
            return file.read().split("\n")[:-1]

    def guardian(self, **words):
        steps = {"first": lambda: self.note("first"), "last": lambda: self.note("last"),
                 "orphaned": lambda problem: self.note("orphaned %s" % problem)}
        return Guardian(**dict(steps, **words))

    def until(self, line):
        end = time.monotonic() + 10
        while line not in self.lines():
            assert time.monotonic() < end, self.lines()
            time.sleep(0.01)


@pytest.fixture(name="book")
def book_of_a_test(tmp_path):
    book = Book(tmp_path / "book")
    book.note("begun")
    return book


def fail(*unused):
    raise AppStateError("no", app="notes", remedy="Try again")


def test_both_steps_are_taken_elsewhere_and_nothing_is_left(book):
    with book.guardian(first=lambda: book.note("first %d" % os.getpid())) as guardian:
        pid = guardian.pid
        guardian.take_first()
        guardian.take_last()
    assert book.lines() == ["begun", "first %d" % pid, "last"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_last_step_is_not_owed_where_the_first_was_not_taken(book):
    with book.guardian():
        pass
    assert book.lines() == ["begun"]


def test_the_last_step_is_taken_where_nobody_asks_for_it(book):
    with book.guardian() as guardian:
        guardian.take_first()
    assert book.lines() == ["begun", "first", "last", "orphaned None"]


def test_errors_come_back_as_what_they_were(book):
    with book.guardian(first=fail) as guardian:
        with pytest.raises(AppStateError) as caught:
            guardian.take_first()
        guardian.take_last()
    assert str(caught.value) == "app notes: no. Try again."
    assert book.lines() == ["begun", "last"]


def test_a_defect_in_the_first_step_does_not_keep_the_last_from_its_turn(book):
    with book.guardian(first=lambda: {}["missing"]) as guardian:
        with pytest.raises(ChildError):
            guardian.take_first()
        guardian.take_last()
    assert book.lines() == ["begun", "last"]


def test_it_outlives_what_ends_its_parents_session(book):
    with book.guardian() as guardian:
        guardian.take_first()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(guardian.pid, number)
        assert os.getsid(guardian.pid) == guardian.pid
        guardian.take_last()
    assert book.lines() == ["begun", "first", "last"]


def test_it_holds_nothing_open_but_what_it_is_told_to(book, tmp_path):
    with open(tmp_path / "kept", "wb") as kept, open(tmp_path / "other", "wb") as unused:
        with book.guardian(keep=[kept.fileno()]) as guardian:
            guardian.take_first()
            folder = "/proc/%d/fd" % guardian.pid
            held = sorted(os.readlink("%s/%s" % (folder, name)) for name in os.listdir(folder))
    assert [name for name in held if not name.startswith("socket:")] == ["/dev/null"] * 3 + [str(tmp_path / "kept")]


def test_a_guardian_that_is_gone_is_told(book):
    with book.guardian() as guardian:
        guardian.take_first()
        os.kill(guardian.pid, signal.SIGKILL)
        with pytest.raises(ChildError):
            guardian.take_last()


def test_an_answer_that_nobody_waited_for_is_not_taken_for_the_next(book):
    def interrupt(*unused):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with book.guardian(first=lambda: time.sleep(0.3), last=fail) as guardian:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(KeyboardInterrupt):
                guardian.take_first()
            with pytest.raises(AppStateError, match="no"):
                guardian.take_last()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_parent_that_is_killed_has_the_last_step_taken(book):
    pid = os.fork()
    if pid == 0:
        with book.guardian() as guardian:
            guardian.take_first()
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    book.until("orphaned None")
    assert book.lines() == ["begun", "first", "last", "orphaned None"]
