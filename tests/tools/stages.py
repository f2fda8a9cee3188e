# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each stage of ``make test`` runs."""

from __future__ import annotations

import os
import pathlib
import shlex

import counts
from places import BUILD, CHECKOUT, DIST, INSTALLED, LINT_TREE, LOGS, SANITY_TREE, TREE, VENVS, environment
from runner import Check, Stage

ENGINE = "python-3.8"
OLDEST = "python-3.11"
NEWEST = "python-3.13"
TOOLS = "tools"
TOOLS_DIR = pathlib.Path(__file__).resolve().parent

# Stage -> the virtual environments that it needs. The longest come first, so that all end early.
STAGES = {
    "e2e": (NEWEST,),
    "e2e-waiting": (NEWEST,),
    "unit-3.8": (ENGINE,),
    "e2e-systems": (NEWEST,),
    "integration": (ENGINE, OLDEST, NEWEST),
    "unit-3.13": (NEWEST,),
    "sanity": (OLDEST, NEWEST),
    "unit-3.11": (OLDEST,),
    "torture": (NEWEST,),
    "lint": (TOOLS,),
    "build": (TOOLS,),
}
# These share the tests of "e2e" with it. The first runs beside all others: cron and timers come once a minute, and nearly all of
# its time is spent in waiting for them.
WAITING = "e2e-waiting"
PARTS_OF_E2E = {WAITING: "test_schedule*.py", "e2e-systems": "test_system*.py"}
# What "make torture" runs beside: the campaign in full is no part of "make test".
TORTURE = "torture"
# Hosts come up and go down for each of its stories: it is the longest by far.
SECONDS_FOR_E2E = 4200
USE_ANSIBLE_TEST = ("sanity", "integration")
UNIT = ("age", "busybox", "crun", "docker", "openssl", "podman", "postgres", "rclone", "rsync", "sqlite3", "tar", "unshare", "zstd")
E2E = ("age", "busybox", "chromedriver", "chromium", "cron", "crun", "docker", "docker-compose", "fossil", "ip", "mount", "openssl",
       "podman", "postgres", "rclone", "rsync", "sqlite3", "ssh", "sshd", "tar", "unshare", "zstd")
# Programs of the system, by stage; the other stages need none.
PROGRAMS = {
    "e2e": E2E,
    "e2e-systems": E2E,
    "e2e-waiting": ("cron", "ip", "logrotate", "mount", "sqlite3", "ssh", "sshd", "unshare", "zstd"),
    "torture": UNIT + ("cron", "ip", "logrotate", "mount", "ssh", "sshd", "strace"),
    "integration": ("age", "rclone", "sqlite3", "tar", "zstd"),
    "unit-3.8": UNIT,
    "unit-3.11": UNIT,
    "unit-3.13": UNIT,
}


def stage(name, interpreters, tests, whole):
    """One stage, ready to run; ``tests`` narrows pytest or ansible-test to some of them. Unit and integration tests that are not
    ``whole`` run in their short form."""
    if name.startswith("unit-"):
        check = pytest(name, "python-" + name[5:], tests or ["tests/unit"], interpreters)
        check.env["UNIT_FORM"] = "whole" if whole else "short"
        return Stage(name, [check])
    if name == "e2e" or name in PARTS_OF_E2E:
        return e2e(name, interpreters, tests)
    if name == "integration":
        return integration(interpreters, tests, whole)
    return {"sanity": sanity, "torture": torture, "lint": lint, "build": build}[name](interpreters, tests)


def pytest(name, venv, tests, interpreters):
    """Run pytest in the tree, where the tests find the collection by its full name."""
    report = LOGS / ("%s.xml" % name)
    env = dict(environment(VENVS / venv, interpreters, BUILD), PYTHONPATH=str(BUILD))
    command = ["python", "-m", "pytest", "--junit-xml=%s" % report] + tests
    return Check(name, command, TREE, env, counts.pytest, report, shown=1)


def e2e(name, interpreters, tests):
    """Playbooks over SSH on hosts of their own; three stages share the tests, unless some are asked for."""
    if os.geteuid() != 0:
        return Stage(name, [], problem="it makes hosts from namespaces, so that it has to run as root")
    if name in PARTS_OF_E2E:
        part = [str(path.relative_to(CHECKOUT)) for path in sorted((CHECKOUT / "tests" / "e2e").glob(PARTS_OF_E2E[name]))]
    else:
        part = ["tests/e2e"] + ["--ignore-glob=*/" + pattern for pattern in PARTS_OF_E2E.values()]
    check = pytest(name, NEWEST, tests or part, interpreters)
    check.limit_seconds = SECONDS_FOR_E2E
    return Stage(name, [check], waits=name == WAITING)


def torture(interpreters, tests):
    """The campaign that tries to break each promise, in its short form."""
    if os.geteuid() != 0:
        return Stage(TORTURE, [], problem="it takes the rights of other users and makes namespaces, so that it has to run as root")
    report = LOGS / "torture.json"
    return Stage(TORTURE, [Check(TORTURE, torture_command(report) + ["--form", "short", "--workers", "1"] + tests, TREE,
                                 torture_environment(interpreters), counts.torture, report, shown=40)])


def torture_command(report):
    """The campaign, as it is started in the tree; its figures as JSON go into a file."""
    return ["python", "tests/torture/campaign.py", "--json", str(report)]


def torture_environment(interpreters):
    return dict(environment(VENVS / NEWEST, interpreters, BUILD), PYTHONPATH=str(BUILD))


def sanity(interpreters, tests):
    """ansible-test's checks by the oldest and the newest ansible-core: together they know Python 3.8 to 3.14.

    What takes long and differs little is done by the newest alone: pylint, and what is tried on each Python that both know.
    """
    on_each = ("compile", "import")
    less = [word for test in ("pylint",) + on_each for word in ("--skip-test", test)]
    wanted = [("sanity-3.8", OLDEST, ["--python", "3.8"] + [word for test in on_each for word in ("--test", test)]),
              ("sanity-" + OLDEST, OLDEST, less), ("sanity-" + NEWEST, NEWEST, [])]
    if tests:
        wanted = [("sanity-" + venv, venv, tests) for venv in (OLDEST, NEWEST)]
    checks = []
    for name, venv, words in wanted:
        env = environment(VENVS / venv, interpreters, SANITY_TREE.parents[2])
        command = ["ansible-test", "sanity", "--local", "--color", "no"] + words
        checks.append(Check(name, command, SANITY_TREE, env, counts.sanity, findings=r"ERROR|FATAL"))
    return Stage("sanity", checks)


def integration(interpreters, tests, whole):
    """The targets under tests/integration, on this machine: the oldest ansible-core and Python, and the newest.

    With the newest, those of roles are left out unless they are asked for: the stage "e2e" runs all roles with it. In the short form
    the newest has none: the unit tests run all modules on it.
    """
    checks = []
    roles = [path.name for path in sorted((CHECKOUT / "tests" / "integration" / "targets").glob("role_*"))]
    for venv, python in ((OLDEST, "3.8"), (NEWEST, "3.13"))[:2 if whole else 1]:
        env = environment(VENVS / venv, interpreters, BUILD)
        command = ["ansible-test", "integration", "--controller", "origin:python=%s" % venv[len("python-"):],
                   "--target", "controller:python=%s" % python, "--color", "no", "--continue-on-error",
                   "--allow-root", "--allow-destructive"] + tests
        if venv == NEWEST and not tests:
            command += [word for role in roles for word in ("--exclude", role)]
        checks.append(Check("integration-%s" % python, command, TREE, env, counts.integration))
    return Stage("integration", checks)


def lint(interpreters, tests):
    """Ansible's linter (which runs yamllint too), that of the documentation, the changelog, and the engine's floors."""
    collections = LINT_TREE.parents[2]
    env = environment(VENVS / TOOLS, interpreters, collections)
    with_engine = dict(env, PYTHONPATH=str(collections))
    commands = {
        "ansible-lint": (["ansible-lint", "--offline", "--strict", "--nocolor"], env),
        "antsibull-docs": (["antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self", "."], env),
        "antsibull-changelog": (["antsibull-changelog", "lint"], env),
        "import-linter": (["lint-imports", "--no-cache"], with_engine),
    }
    return Stage("lint", [Check(name, command, LINT_TREE, env) for name, (command, env) in commands.items()])


def build(interpreters, tests):
    """Build the collection, install what was built, and look at it as its users and Galaxy do."""
    env = environment(VENVS / TOOLS, interpreters, INSTALLED)
    tarball = shlex.quote(str(DIST)) + "/appstate-backup-*.tar.gz"

    def shell(name, script):
        return Check(name, ["sh", "-euc", script], LINT_TREE, env)

    return Stage("build", [
        shell("galaxy-build", "rm -rf %s; ansible-galaxy collection build --output-path %s"
              % (shlex.quote(str(DIST)), shlex.quote(str(DIST)))),
        shell("galaxy-install", "rm -rf %s; ansible-galaxy collection install --offline -p %s %s"
              % (shlex.quote(str(INSTALLED)), shlex.quote(str(INSTALLED)), tarball)),
        Check("installed", ["python", str(TOOLS_DIR / "installed.py")], INSTALLED, env),
        Check("galaxy-importer", ["sh", "-euc", "exec python -m galaxy_importer.main %s" % tarball], DIST, env, counts.importer),
    ])
