# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the page of filters, and their examples, tell somebody to paste does what it says, run by Ansible itself on real backups;
only the addresses are those of the test."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

from ansible_collections.appstate.backup.plugins.filter.select import select

TREE = pathlib.Path(__file__).resolve().parents[3]
PAGE = (TREE / "docs" / "filters.md").read_text(encoding="utf-8")
HOUR = datetime.timedelta(hours=1)
CATALOG = [{"id": "notes-1", "good": True, "host": "web1", "app_version": "2.1"}, {"id": "notes-2", "good": True, "app_version": None}]


def blocks(language, page=PAGE):
    """The texts of all blocks of a language, in their order."""
    return re.findall(r"^```%s\n(.*?)^```" % language, page, re.MULTILINE | re.DOTALL)


def play(place, steps, **variables):
    """Runs tasks by Ansible on this machine; returns what it printed."""
    path = os.path.join(place, "play.yml")
    with open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": steps}], file)
    env = dict(os.environ, ANSIBLE_COLLECTIONS_PATH=str(TREE.parents[2]), ANSIBLE_LOCALHOST_WARNING="false",
               ANSIBLE_INVENTORY_UNPARSED_WARNING="false", ANSIBLE_NOCOLOR="true", ANSIBLE_LOCAL_TEMP=os.path.join(place, "local"),
               ANSIBLE_REMOTE_TEMP=os.path.join(place, "remote"), PYTHONDONTWRITEBYTECODE="1")
    return subprocess.run([sys.executable, "-m", "ansible", "playbook", path], env=env, cwd=place, capture_output=True, text=True,
                          check=False)


@pytest.fixture
def backups(host):
    """The Backups of ``host``, newest first: a damaged one, one with many rows, a large one and a small one, a day between each two."""
    host.fill()
    now = host.time.now(datetime.timezone.utc)
    small = backup(host, now - 61 * HOUR)
    host.write("uploads/large.bin", os.urandom(1500000))
    large = backup(host, now - 37 * HOUR)
    os.unlink(host.at("uploads/large.bin"))
    host.add_notes(10)
    rows = backup(host, now - 13 * HOUR)
    damaged = backup(host, now - HOUR)
    os.unlink(damaged.path)
    return [damaged, rows, large, small]


def backup(host, time):
    """A Backup of that time."""
    host.time = time
    return host.backup().backup


def examples(name):
    """The examples in the documentation of a filter."""
    with open(TREE / "plugins" / "filter" / (name + ".yml"), encoding="utf-8") as file:
        return yaml.safe_load(yaml.safe_load(file)["EXAMPLES"])


def test_everything_on_the_page_runs_as_pasted_and_picks_what_it_says(host, backups):
    damaged, rows, large, small = [each.id for each in backups]
    created = backups[2].manifest.content["created"]
    installed = host.write("VERSION", mtime=int((backups[2].manifest.created - HOUR).timestamp()) * 10 ** 9)
    page = PAGE.replace("2026-11-18T03:00:00Z", created).replace("2026-11-18", created[:10]).replace("/opt/scriptor/VERSION", installed)
    found = [yaml.safe_load(text) for text in blocks("yaml", page)]
    (picks,) = [told for told in found if isinstance(told, dict)]
    steps = [step for told in found if isinstance(told, list) for step in told]
    ran = play(host.path, examples("junit") + examples("select") + steps + [keep(picks, host.place("picked.json"))], appstate_apps=[host.described()], **picks)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    with open(host.place("picked.json"), encoding="utf-8") as file:
        picked = json.load(file)
    assert {name: ids(value) for name, value in picked.items()} == {
        "newest": rows, "newest_three": [rows, large, small], "newest_large": large, "largest": large, "older": [large, small],
        "at_or_before": large, "of_a_day": [large], "verified": rows, "of_a_version": None, "with_rows": rows, "damaged": [damaged],
        "bytes": sum(each["size"] for each in picked["newest_three"])}
    assert picked["damaged"][0]["problem"] == "the archive is missing"
    assert '"msg": "%s"' % small in ran.stdout
    with open(host.place("drills.xml"), encoding="utf-8") as file:
        assert [file.read()] == blocks("xml")


def keep(names, path):
    """A task that writes the values of variables to a file."""
    told = "{{ {%s} | to_json }}" % ", ".join("'%s': %s" % (name, name) for name in names)
    return {"name": "Keep what was picked", "ansible.builtin.copy": {"content": told, "dest": path, "mode": "0600"}}


def ids(value):
    """The id in the place of each backup."""
    if isinstance(value, list):
        return [ids(item) for item in value]
    return value["id"] if isinstance(value, dict) else value


def test_errors_on_the_page_are_what_ansible_shows(host):
    texts = [text for block in blocks("text") for text in re.split(r"\n(?=\S)", block.rstrip("\n"))]
    assert len(texts) == 3
    shown = debug(host, *("{{ catalog | appstate.backup.select(%r) }}" % text.split("\n")[1].strip() for text in texts))
    for text in texts:
        assert text + "\n" in shown


def test_the_remedy_on_the_page_is_one():
    (remedy,) = re.findall(r"ask for it first: `(.*?)`", PAGE)
    assert select(CATALOG, remedy) == CATALOG[:1]


def test_what_is_undefined_or_left_by_a_failed_task_fails_and_what_other_filters_have_left_does_not(host):
    shown = debug(host, "{{ failed.backups | appstate.backup.select('[?good]') }}", "{{ failed | appstate.backup.select('[?good]') }}",
                  "{{ nothing | appstate.backup.select('[?good]') }}",
                  "{{ catalog | selectattr('good') | map('combine') | appstate.backup.select('[-1].id') }}")
    for said in ("object of type 'dict' has no attribute 'backups'", "there is no 'backups' in the dictionary, but 'failed', 'msg'",
                 "'nothing' is undefined", '"msg": "notes-2"'):
        assert said in shown


def debug(host, *messages):
    """What Ansible prints of each message, or says against it."""
    steps = [{"ansible.builtin.debug": {"msg": message}, "ignore_errors": True} for message in messages]
    ran = play(host.path, steps, catalog=CATALOG, failed={"failed": True, "msg": "the destination cannot be opened"})
    return ran.stdout + ran.stderr
