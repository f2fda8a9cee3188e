# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

STATED = {"owner": 3005, "group": "3006", "file_mode": "0604", "directory_mode": "0705"}


def test_check_run_check_again_and_run_again(host, run, tree, returned):
    host.fill("delete")
    before = tree(host.root)
    predicted = run.ok(app=host.described(destination=None, **STATED), check=True, diff=True)
    assert tree(host.root) == before
    made = run.ok(app=host.described(destination=None, **STATED), diff=True)
    assert predicted == made and made["changed"] and made["count"] == 8 and set(returned) <= set(made)
    assert '%s {"gid": 3002, "mode": "0640", "uid": 3001}\n' % host.at("uploads/a.bin") in made["diff"]["before"]
    assert '%s {"gid": 3006, "mode": "0604", "uid": 3005}\n' % host.at("uploads/a.bin") in made["diff"]["after"]
    for check in (True, False):
        again = run.ok(app=host.described(**STATED), check=check)
        assert (again["changed"], again["count"]) == (False, 0)


def test_another_root(host, run):
    host.fill()
    os.makedirs(host.place("other", "uploads"))
    assert run.ok(app=host.described(**STATED), target_root=host.place("other"))["count"] == 1


def test_bad_input(host, run):
    host.fill()
    assert run.failed(app=host.described())["msg"].startswith("app notes: states no 'owner'")
    assert "app notes: the user 'nobody-such' does not exist" in run.failed(app=host.described(owner="nobody-such"))["msg"]
    assert "app notes: " in run.failed(app=host.described(**STATED), target_root=host.place("none"))["msg"]
    assert "is not a mode: 416" in run.failed(app=host.described(file_mode=416))["msg"]
