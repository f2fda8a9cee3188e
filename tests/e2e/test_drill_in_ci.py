# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The workflows that the documentation has for CI servers, run step by step on this machine, which is a plain runner.

The runner has a clone of an operator's repository: the inventory of the page on drills, and the workflow file. The backup lies in a
real S3 endpoint, encrypted.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from xml.etree import ElementTree

import pytest
import yaml
from hosts.collection import collections_path
from hosts.packages import require
from hosts.runner_store import RunnerStore
from offsite import Pair

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
INVENTORY = re.compile(r"^```yaml\n# inventory.yml\n(.*?)^```", re.MULTILINE | re.DOTALL)
MOST_SECONDS = 180
OUTSIDE = ("ANSIBLE_", "AWS_", "PYTHON")


class Runner:
    """A CI server's runner with a clone of the operator's repository, and the steps of its workflow."""

    def __init__(self, folder, name):
        self.folder = folder
        self.clone = folder / "clone"
        self.pair = Pair()
        self.store = RunnerStore(folder / "store")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE)}
        self.environment.update(self.store.environment(), BACKUP_IDENTITY=self.pair.identity, LC_ALL="C.UTF-8", HOME=str(folder))
        self._make_repository(name)

    def _make_repository(self, name):
        """What an operator would have: three files, in git; and the collection, which comes out of git, too."""
        collection = self.folder / "collection"
        shutil.copytree(os.path.join(collections_path(str(self.folder / "made")), "ansible_collections", "appstate", "backup"), collection,
                        ignore=shutil.ignore_patterns("build", ".venv", "__pycache__"))
        repository = self.folder / "repository"
        repository.mkdir()
        (repository / "inventory.yml").write_text(INVENTORY.search((DOCS / "drills.md").read_text(encoding="utf-8")).group(1), encoding="utf-8")
        (repository / "requirements.yml").write_text("collections:\n  - {name: 'git+file://%s', type: git}\n" % collection, encoding="utf-8")
        shutil.copy(DOCS / "ci" / name, repository)
        # A runner goes away with all that it has; this machine stays.
        (repository / "host_vars").mkdir()
        places = {"appstate_state_directory": str(self.folder / "state"), "appstate_lock_directory": str(self.folder / "locks")}
        (repository / "host_vars" / "runner.yml").write_text(json.dumps(places), encoding="utf-8")
        for place in (collection, repository):
            for words in (["init", "--quiet"], ["add", "--force", "--all"], ["-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qm", "all"]):
                self.run(["git"] + words, place)
        self.run(["git", "clone", "--quiet", str(repository), str(self.clone)], self.folder)

    def run(self, command, folder=None, environment=None, check=True):
        done = subprocess.run(command, cwd=folder or self.clone, env=dict(self.environment, **(environment or {})), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert not check or done.returncode == 0, "%s\n%s" % (command, done.stdout)
        return done

    def back_up(self):
        """What the host web1 does every night."""
        app = yaml.safe_load((self.clone / "inventory.yml").read_text(encoding="utf-8"))["all"]["hosts"]["runner"]["appstate_apps"][0]
        root = self.folder / "web1"
        (root / "pictures").mkdir(parents=True)
        (root / "pictures" / "a.png").write_bytes(b"a" * 5000)
        (self.folder / "backups").mkdir()
        self.run(["sqlite3", str(root / "wiki.db"), "CREATE TABLE pages (title); INSERT INTO pages VALUES ('one')"])
        app.update(root=str(root), destination=str(self.folder / "backups"), encryption={"recipients": [self.pair.recipient]},
                   allow_network_destination=True)
        (self.folder / "app.json").write_text(json.dumps({"appstate_apps": [app]}), encoding="utf-8")
        self.run([".drill/bin/ansible-playbook", "-i", "inventory.yml", "appstate.backup.backup", "-e", "@" + str(self.folder / "app.json")],
                 environment={"ANSIBLE_COLLECTIONS_PATH": "collections"})

    def suite(self):
        (suite,) = ElementTree.parse(self.clone / "reports" / "junit.xml").getroot()
        return suite


def github_steps():
    job = yaml.safe_load((DOCS / "ci" / "github-actions.yml").read_text(encoding="utf-8"))["jobs"]["drill"]
    return [(step["run"], step.get("env") or {}) for step in job["steps"] if "run" in step]


def gitlab_steps():
    """GitLab runs all lines of a job in one shell."""
    job = yaml.safe_load((DOCS / "ci" / "gitlab-ci.yml").read_text(encoding="utf-8"))["restore-drill"]
    return [("\n".join(job["before_script"]), job["variables"]), ("\n".join(job["script"]), job["variables"])]


@pytest.mark.parametrize("name, steps", [("github-actions.yml", github_steps()), ("gitlab-ci.yml", gitlab_steps())])
def test_the_workflow_of_the_page_drills_in_a_clean_clone(tmp_path, name, steps):
    require({"/usr/bin/rclone": "rclone", "/usr/bin/age": "age", "sqlite3": "sqlite3", "git": "git", "zstd": "zstd"})
    runner = Runner(tmp_path, name)
    with runner.store:
        install, drill = [(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], environment) for script, environment in steps]
        begun = time.monotonic()
        runner.run(install[0], environment=install[1])
        seconds = time.monotonic() - begun
        runner.back_up()
        begun = time.monotonic()
        said = runner.run(drill[0], environment=drill[1]).stdout
        seconds += time.monotonic() - begun
        print("installed and drilled in %.0f s" % seconds)
        assert "checks passed" in said and seconds < MOST_SECONDS
        suite = runner.suite()
        assert (suite.get("name"), suite.get("failures"), int(suite.get("tests")) >= 8) == ("wiki@runner", "0", True)
        assert not os.path.exists("/srv/wiki") and not os.path.exists("/var/lib/appstate-backup/drills/wiki.json")
        assert not [entry for entry in os.listdir("/var/tmp") if entry.startswith(".appstate-wiki")]

        runner.store.damage(".tar.")
        done = runner.run(drill[0], environment=drill[1], check=False)
        assert done.returncode != 0 and runner.pair.secret not in done.stdout
        assert [case.get("name") for case in runner.suite().iter("testcase") if case.find("failure") is not None] == ["checksum", "rto"]
        runner.store.drop(".json")
        assert runner.run(drill[0], environment=drill[1], check=False).returncode != 0
        assert "choose" in [case.get("name") for case in runner.suite().iter("testcase") if case.find("failure") is not None]
        for inventory, said in (("all: {hosts: {}}", "the inventory has no host that is called all"),
                                ("all: {hosts: {runner: {appstate_apps: [], ansible_connection: local}}}", "none of these hosts has an app: runner")):
            (runner.clone / "inventory.yml").write_text(inventory, encoding="utf-8")
            done = runner.run(drill[0], environment=drill[1], check=False)
            assert done.returncode != 0 and said in " ".join(done.stdout.split()), done.stdout


@pytest.fixture(name="drill_fleet")
def hosts_on_this_machine(tmp_path):
    """A function that runs a playbook of the collection over hosts, given as from name to apps, which are all this machine."""
    places = {"appstate_state_directory": str(tmp_path / "state"), "appstate_lock_directory": str(tmp_path / "locks"),
              "ansible_connection": "local", "ansible_python_interpreter": sys.executable, "drill_report_dest": str(tmp_path / "reports")}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE)}
    environment.update(ANSIBLE_COLLECTIONS_PATH=collections_path(str(tmp_path / "made")), LC_ALL="C.UTF-8")

    def playbook(name, hosts, *words):
        inventory = tmp_path / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": {host: dict(places, appstate_apps=apps) for host, apps in hosts.items()}}}), encoding="utf-8")
        command = [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", str(inventory), "appstate.backup." + name]
        done = subprocess.run(command + list(words), cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, " ".join(done.stdout.split())
    return playbook


@pytest.fixture(name="notes")
def app_with_a_backup(tmp_path, drill_fleet):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("a", encoding="utf-8")
    (tmp_path / "backups").mkdir()
    app = {"name": "notes", "root": str(tmp_path / "notes"), "destination": str(tmp_path / "backups"), "allow_network_destination": True,
           "sources": [{"type": "files", "path": "a.txt"}]}
    code, said = drill_fleet("backup", {"web1": [app]})
    assert code == 0, said
    return app


@pytest.mark.parametrize("name", ["drill", "selftest"])
def test_a_part_of_the_fleet_without_any_app_is_no_success_and_a_host_without_one_no_failure(drill_fleet, notes, name):
    fleet = {"web1": [notes], "web2": [], "web3": []}
    code, said = drill_fleet(name, fleet)
    assert code == 0 and "Refuse to call nothing a success" in said, said
    for words in (["--limit", "web2"], ["--limit", "web2,web3"], ["-e", name + "_hosts=web3"]):
        code, said = drill_fleet(name, fleet, *words)
        assert code != 0 and "none of these hosts has an app: web" in said and said.count("fatal: ") == 1, said
        assert drill_fleet(name, fleet, "--check", *words)[0] == 0
    code, said = drill_fleet(name, {})
    assert code != 0 and "the inventory has no host that is called all" in said, said


def test_an_app_with_a_wrong_profile_and_a_host_that_failed_before_are_red_and_keep_nobody_from_being_drilled(tmp_path, drill_fleet, notes):
    fleet = {"web1": [{"name": "bad", "profile": "nosuch"}, notes], "web2": [notes], "web3": "{{ nowhere }}", "web4": []}
    code, said = drill_fleet("drill", fleet)
    assert code != 0 and "bad: FAILED" in said and "there is no profile 'nosuch'" in said, said
    drills = json.loads((tmp_path / "reports" / "drill.json").read_text(encoding="utf-8"))["drills"]
    assert [(drill["host"], drill["app"], drill["ok"]) for drill in drills] == [
        ("web1", "bad", False), ("web1", "notes", True), ("web2", "notes", True), ("web3", "all apps", False)]
    assert "nosuch" in drills[0]["problem"] and "before" in drills[3]["problem"]
    suites = ElementTree.parse(tmp_path / "reports" / "junit.xml").getroot()
    assert [(suite.get("name"), suite.get("failures")) for suite in suites] == [
        ("bad@web1", "1"), ("notes@web1", "0"), ("notes@web2", "0"), ("all apps@web3", "1")]
