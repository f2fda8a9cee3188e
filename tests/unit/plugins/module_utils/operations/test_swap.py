# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.appstate.backup.plugins.module_utils.operations.outcome import asides_of
from ansible_collections.appstate.backup.plugins.module_utils.operations.plan import Plan, Target
from ansible_collections.appstate.backup.plugins.module_utils.operations.swap import Swap, name_asides, plan_targets
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.plugins.module_utils.system.accounts import Ownership
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import RestoreError
from ansible_collections.appstate.backup.plugins.module_utils.system.trees import remove_tree
from ansible_collections.appstate.backup.tests.unit.plugins.no_links import cannot_link

FAST = "/dev/shm" if os.path.isdir("/dev/shm") else None
STAMP = "20261119T030000Z"
STAGING = ".appstate-notes.restore-0123456789abcdef"
PATHS = ["db", "one/db", "one/two/db", "files", "one/files", "deep/er/files"]
SIDECARS = ["-wal", "-shm", "-journal"]


class Interrupted(Exception):
    """The swap was cut off here."""


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(content)


def tree(root):
    """Relative paths with contents; directories have None."""
    found = {}
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = None if os.path.isdir(path) else open(path).read()
    return found


class Prepared:
    """A root with old state, staged new state, and the swap between them."""

    def __init__(self, cases):
        self.root = tempfile.mkdtemp(dir=FAST)
        targets = []
        for path, case in cases.items():
            kind = "sqlite" if path.endswith("db") else "files"
            if case["old"]:
                write(os.path.join(self.root, path), "old " + path)
            for sidecar in case["sidecars"] if kind == "sqlite" else ():
                write(os.path.join(self.root, path + sidecar), "old " + path + sidecar)
            if case["new"]:
                write(os.path.join(self.root, STAGING, "tree", path), "new " + path)
            targets.append(Target(path, kind, present=case["new"]))
        self.descriptor = os.open(self.root, files.DIRECTORY)
        os.makedirs(os.path.join(self.root, STAGING), exist_ok=True)
        self.made = []
        self.content = {"staging": STAGING, "targets": name_asides(self.descriptor, plan_targets(Plan(targets)), STAMP)}
        self.swap = Swap(self.descriptor, self.content, Ownership())

    def live(self):
        """What is not staged."""
        return {path: content for path, content in tree(self.root).items() if not path.startswith(STAGING)}

    def refuse_mixed(self, before):
        """A live database is the old one with all that is beside it, or the new one with nothing of the old one."""
        found = self.live()
        for path in [path for path in found if path.endswith("db")]:
            logs = {path + end for end in SIDECARS if path + end in found}
            if found[path].startswith("old"):
                assert logs == {path + end for end in SIDECARS if path + end in before}
            else:
                assert not logs

    def forward(self):
        self.swap.forward(self.made.extend)

    def back(self):
        """What a rollback does."""
        self.swap.back()
        for path in reversed(self.made):
            files.remove_if_empty(self.descriptor, path)

    def close(self):
        os.close(self.descriptor)
        shutil.rmtree(self.root)


def interrupted(run, point):
    """Runs until the ``point``-th change of names, which is not made; says whether it came to that."""
    done = [0]
    real = {name: getattr(os, name) for name in ("rename", "mkdir", "link", "unlink")}

    def counting(name):
        def call(*arguments, **words):
            done[0] += 1
            if done[0] == point:
                raise Interrupted
            return real[name](*arguments, **words)
        return call

    for name in real:
        setattr(os, name, counting(name))
    try:
        run()
        return False
    except Interrupted:
        return True
    finally:
        for name, function in real.items():
            setattr(os, name, function)


CASES = st.dictionaries(st.sampled_from(PATHS), st.fixed_dictionaries({
    "old": st.booleans(), "new": st.booleans(), "sidecars": st.sets(st.sampled_from(SIDECARS))}), min_size=1)


@settings(max_examples=150)
@given(cases=CASES, point=st.integers(1, 30), back_point=st.integers(1, 15),
       written=st.sets(st.sampled_from([path + end for path in ("db", "one/db") for end in ["", *SIDECARS]])))
def test_back_twice_gives_the_old_state_whenever_forward_was_cut_off(cases, point, back_point, written):
    prepared = Prepared(cases)
    try:
        before = prepared.live()
        if not interrupted(prepared.forward, point):
            # The restored application writes.
            for path in written & {each + end for each in cases for end in ["", *SIDECARS]}:
                write(os.path.join(prepared.root, path), "written later")
        interrupted(prepared.back, back_point)
        prepared.back()
        prepared.back()
        after = prepared.live()
        if written:  # Directories that the writing application needed were not made by the swap.
            before, after = ({path: told for path, told in found.items() if told} for found in (before, after))
        assert after == before
    finally:
        prepared.close()


@settings(max_examples=150)
@given(cases=CASES, point=st.integers(1, 30), back_point=st.integers(0, 30), links=st.booleans())
def test_a_log_is_never_without_its_database_nor_beside_another(cases, point, back_point, links):
    """An application that starts between a kill and the next call has one state or the other, or no database at all."""
    prepared = Prepared(cases)
    with pytest.MonkeyPatch.context() as monkeypatch:
        if not links:
            cannot_link(monkeypatch)
        try:
            before = prepared.live()
            interrupted(prepared.forward, point)
            prepared.refuse_mixed(before)
            if back_point:
                interrupted(prepared.back, back_point)
                prepared.refuse_mixed(before)
            prepared.back()
            assert prepared.live() == before
        finally:
            prepared.close()


def cut_off_application(path, journal):
    """A database as an application leaves it that a power cut stops: what it committed last is in the log alone."""
    pid = os.fork()
    if pid == 0:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = %s" % journal)
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA cache_size = 5")
        connection.execute("CREATE TABLE notes (text)")
        for unused in range(20):
            connection.execute("INSERT INTO notes VALUES (hex(randomblob(2000)))")
        if journal == "delete":  # Half of another transaction is in the file already.
            connection.execute("BEGIN")
            connection.execute("UPDATE notes SET text = hex(randomblob(2000))")
            os._exit(0 if os.path.exists(path + "-journal") else 1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def use(path):
    """The rows that an application finds, or None where there is no table; it commits another one."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        try:
            found, = connection.execute("SELECT count(*) FROM notes").fetchone()
        except sqlite3.OperationalError:
            connection.execute("CREATE TABLE other (text)")
            return None
        connection.execute("INSERT INTO notes VALUES ('later')")
        return found
    finally:
        connection.close()


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("back_point", [0, 1, 2, 3, 4, 5, 6, 7, 8])
def test_an_application_that_runs_between_a_kill_and_the_undo_loses_nothing_that_was_there(journal, back_point):
    for point in range(1, 30):
        prepared = Prepared({})
        try:
            path = os.path.join(prepared.root, "db")
            cut_off_application(path, journal)
            os.makedirs(os.path.join(prepared.root, STAGING, "tree"))
            with closing(sqlite3.connect(os.path.join(prepared.root, STAGING, "tree", "db"))) as new:
                new.executescript("CREATE TABLE notes (text); INSERT INTO notes VALUES ('restored');")
            targets = plan_targets(Plan([Target("db", "sqlite", present=True)]))
            prepared.content["targets"] = name_asides(prepared.descriptor, targets, STAMP)
            prepared.swap = Swap(prepared.descriptor, prepared.content, Ownership())
            was_cut = interrupted(prepared.forward, point)
            if back_point:
                interrupted(prepared.back, back_point)
            found = use(path)
            assert found in (20, 1, None)
            prepared.back()
            assert use(path) == (21 if found == 20 else 20)
            if not was_cut:
                return
        finally:
            prepared.close()
    raise AssertionError("the swap has no end")


def test_a_directory_that_goes_where_the_database_goes_is_moved_with_it():
    prepared = Prepared({"db": {"old": True, "new": True, "sidecars": set()}})
    try:
        write(os.path.join(prepared.root, "db-replica", "generation"), "old replica")
        before = prepared.live()
        target, = prepared.content["targets"]
        target["sidecars"].append({"path": "db-replica", "aside": "db-replica.before-restore-" + STAMP})
        prepared.forward()
        assert not os.path.exists(os.path.join(prepared.root, "db-replica"))
        prepared.back()
        assert prepared.live() == before
    finally:
        prepared.close()


def test_a_copy_has_all_that_a_link_would_have(monkeypatch):
    prepared = Prepared({"db": {"old": True, "new": True, "sidecars": {"-wal"}}})
    try:
        cannot_link(monkeypatch)
        path = os.path.join(prepared.root, "db-wal")
        os.chmod(path, 0o640)
        os.utime(path, ns=(1, 2))
        prepared.forward()
        prepared.back()
        found = os.stat(path)
        assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o640, 2)
    finally:
        prepared.close()


def test_a_log_that_somebody_begins_meanwhile_is_not_taken_for_the_new_database_s(monkeypatch):
    prepared = Prepared({"db": {"old": True, "new": True, "sidecars": set()}})
    try:
        write(os.path.join(prepared.root, "db-wal"), "somebody's")
        with pytest.raises(RestoreError, match="db-wal.*is there already"):
            prepared.forward()
    finally:
        prepared.close()


@settings(max_examples=50)
@given(cases=CASES)
def test_forward_then_forget_leaves_the_new_state_alone(cases):
    prepared = Prepared(cases)
    try:
        prepared.forward()
        assert set(asides_of(prepared.content)) == {
            path + end + ".before-restore-" + STAMP for path, case in cases.items()
            for end in ([""] if case["old"] else []) + (sorted(case["sidecars"]) if path.endswith("db") else [])}
        prepared.swap.forget()
        prepared.swap.forget()
        remove_tree(prepared.descriptor, STAGING)
        found = {path: told for path, told in tree(prepared.root).items() if told}
        assert found == {path: "new " + path for path, case in cases.items() if case["new"]}
    finally:
        prepared.close()


def test_directories_are_told_of_before_they_are_made():
    prepared = Prepared({"one/two/db": {"old": False, "new": True, "sidecars": set()}})
    try:
        def told(paths):
            assert paths == [b"one", b"one/two"]
            assert not os.path.exists(os.path.join(prepared.root, "one"))
            raise Interrupted
        with pytest.raises(Interrupted):
            prepared.swap.forward(told)
    finally:
        prepared.close()


def test_nothing_is_ever_replaced():
    prepared = Prepared({"db": {"old": True, "new": True, "sidecars": {"-wal"}}})
    try:
        write(os.path.join(prepared.root, "db.before-restore-" + STAMP), "somebody else's")
        with pytest.raises(RestoreError, match="is there already"):
            prepared.forward()
        with pytest.raises(RestoreError, match="is there already.*Wait a second"):
            name_asides(prepared.descriptor, prepared.content["targets"], STAMP)
    finally:
        prepared.close()


def test_a_link_on_the_way_is_not_followed(tmp_path):
    prepared = Prepared({"one/db": {"old": True, "new": True, "sidecars": set()}})
    try:
        (tmp_path / "db").write_text("not ours")
        shutil.rmtree(os.path.join(prepared.root, "one"))
        os.symlink(tmp_path, os.path.join(prepared.root, "one"))
        with pytest.raises(OSError):
            prepared.forward()
        assert (tmp_path / "db").read_text() == "not ours" and len(list(tmp_path.iterdir())) == 1
    finally:
        prepared.close()
