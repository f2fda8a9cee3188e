# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the machine ready: Debian packages, Python interpreters, virtual environments, ansible-test's cache."""

from __future__ import annotations

import concurrent.futures
import glob
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

from places import CHECKOUT, LOGS, VENVS

# A program that a check starts -> the Debian package that brings it.
PROGRAMS = {
    "age": "age",
    "bsdtar": "libarchive-tools",
    "busybox": "busybox-static",
    "chromedriver": "chromium-driver",
    "chromium": "chromium",
    "cron": "cron",
    "crun": "crun",
    "docker": "docker.io",
    "docker-compose": "docker-compose",
    "fossil": "fossil",
    "git": "git",
    "ip": "iproute2",
    "logrotate": "logrotate",
    "mount": "mount",
    "openssl": "openssl",
    "podman": "podman",
    "postgres": "postgresql",
    "rclone": "rclone",
    "rsync": "rsync",
    "sqlite3": "sqlite3",
    "ssh": "openssh-client",
    "sshd": "openssh-server",
    "strace": "strace",
    "tar": "tar",
    "unshare": "util-linux",
    "zstd": "zstd",
}

# The name of a virtual environment -> its Python and what is installed in it.
ENVIRONMENTS = {
    "python-3.8": ("3.8", "engine.txt"),
    "python-3.11": ("3.11", "oldest.txt"),
    "python-3.13": ("3.13", "newest.txt"),
    "tools": ("3.13", "tools.txt"),
}

# Pythons that hosts have; those found are also used by ansible-test's compile and import tests.
HOST_PYTHONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")

# ansible-test makes its virtual environments with a get-pip that it downloads when its cache has none.
BOOTSTRAP_SCRIPT = '''"""Run pip from the wheel beside this file: a stand-in for get-pip.py that needs no download."""

import os
import runpy
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "%s"))
packages = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.argv = ["pip", "install", "--upgrade", "pip==%s"] + packages
runpy.run_module("pip", run_name="__main__", alter_sys=True)
'''


class NotReady(Exception):
    """Something that the checks need is missing and cannot be installed; says what to do."""


def missing_programs(programs):
    """Those of the programs that are not on this machine."""
    # Debian keeps the server of PostgreSQL off everybody's PATH.
    servers = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    path = ":".join([os.environ.get("PATH", os.defpath), "/usr/local/sbin:/usr/sbin:/sbin"] + servers)
    return sorted(program for program in programs if not shutil.which(program, path=path))


def install_packages(programs):
    """Install the Debian packages of the programs that are missing; needs root only when one is."""
    packages = sorted({PROGRAMS[program] for program in missing_programs(programs)} | missing_venv())
    if not packages:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise NotReady("Install as root what is missing: apt-get install %s" % " ".join(packages))
    print("Installing Debian packages: %s" % " ".join(packages), flush=True)
    # RUNLEVEL=1 asks Debian not to start the services that come with a package; the tests start their own.
    quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
    logged("apt.log", ["apt-get", "update"], env=quiet)
    logged("apt.log", ["apt-get", "install", "-y", "--no-install-recommends"] + packages, env=quiet)


def missing_venv():
    """The package without which Debian's own Python cannot make virtual environments, when it is missing."""
    python = "/usr/bin/python3"
    if not os.access(python, os.X_OK) or not shutil.which("apt-get"):
        return set()
    asked = subprocess.run([python, "-c", "import ensurepip"], stderr=subprocess.DEVNULL, check=False)
    return {"python3-venv"} if asked.returncode else set()


def find_interpreters():
    """Each Python version that is to be had -> its real program, never a shim."""
    found = {}
    for version in HOST_PYTHONS:
        for candidate in candidates(version):
            program = real_interpreter(candidate, version)
            if program:
                found[version] = program
                break
    return found


def candidates(version):
    """Where an interpreter of this version may lie, in the order in which they are tried."""
    name = "python" + version
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        yield os.path.join(folder, name)
    roots = dict.fromkeys([os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"), os.path.expanduser("~/.pyenv")])
    for root in roots:
        yield from sorted(glob.glob(os.path.join(root, "versions", version + ".*", "bin", name)), reverse=True)


def real_interpreter(candidate, version):
    """The program behind a candidate when it runs, is of that version, and can make virtual environments."""
    if not os.access(candidate, os.X_OK):
        return None
    question = "import ensurepip, sqlite3, sys, venv; print('%d.%d' % sys.version_info[:2], sys.base_prefix)"
    answer = subprocess.run([candidate, "-c", question], capture_output=True, text=True, check=False)
    told = answer.stdout.split(None, 1)
    if answer.returncode != 0 or len(told) != 2 or told[0] != version:
        return None
    program = os.path.join(told[1].strip(), "bin", "python" + version)
    return program if os.access(program, os.X_OK) else candidate


def make_environments(names, interpreters):
    """Make those virtual environments, two at a time; tells for each name what stood in the way, or None."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        return dict(zip(names, pool.map(lambda name: problem_of(make_environment, name, interpreters), names)))


def problem_of(step, *arguments):
    """Take one step; what stood in the way, or None."""
    try:
        step(*arguments)
    except NotReady as problem:
        return str(problem)
    return None


def make_environment(name, interpreters):
    """Make one virtual environment, unless its marker says that it holds just what is asked for."""
    version, requirements = ENVIRONMENTS[name]
    if version not in interpreters:
        raise NotReady(
            "Python %s with venv and sqlite3 is neither on PATH nor under ~/.pyenv/versions. "
            "Install it: pyenv install %s, or on a Debian that has it: apt-get install python%s-venv"
            % (version, version, version))
    folder = VENVS / name
    marker = folder / "made-from"
    wanted = fingerprint(interpreters[version], requirements)
    if marker.is_file() and marker.read_text(encoding="utf-8") == wanted:
        return
    print("Making the virtual environment %s" % name, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    log = "venv-%s.log" % name
    logged(log, [interpreters[version], "-m", "venv", str(folder)])
    logged(log, [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                 "-r", str(CHECKOUT / "tests" / "requirements" / requirements)])
    marker.write_text(wanted, encoding="utf-8")


def fingerprint(interpreter, requirements):
    """A digest of what a virtual environment is made from: its Python and its requirement files."""
    digest = hashlib.sha256(str(VENVS).encode() + os.path.realpath(interpreter).encode())
    folder = CHECKOUT / "tests" / "requirements"
    pending = [requirements]
    while pending:
        text = (folder / pending.pop()).read_text(encoding="utf-8")
        digest.update(text.encode())
        pending.extend(re.findall(r"^-r (\S+)$", text, flags=re.MULTILINE))
    return digest.hexdigest()


def seed_ansible_test(environments):
    """Put a get-pip where the ansible-test of each environment looks for one; what lies there already stays."""
    cache = pathlib.Path.home() / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for name in environments:
        for source in (VENVS / name).glob("lib/*/site-packages/ansible_test/_internal/python_requirements.py"):
            for version in re.findall(r"\bpip='([0-9.]+)'", source.read_text(encoding="utf-8")):
                seed_get_pip(cache, version, VENVS / name / "bin" / "python")


def seed_get_pip(cache, version, python):
    """Put one version of pip's wheel into the cache, and a script that runs it."""
    script = cache / ("get_pip_%s.py" % version.replace(".", "_"))
    if script.is_file():
        return
    logged("ansible-test-pip.log", [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
                                    "--dest", str(cache), "pip==" + version])
    partial = script.with_suffix(".partial")
    partial.write_text(BOOTSTRAP_SCRIPT % ("pip-%s-py3-none-any.whl" % version, version), encoding="utf-8")
    partial.rename(script)


def logged(log, command, env=None):
    """Run a command with its output in a log under build/logs; a failure shows the log's end."""
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / log
    with path.open("ab") as stream:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, env=env, check=False)
    if done.returncode != 0:
        tail = path.read_text(encoding="utf-8", errors="replace").splitlines()[-30:]
        raise NotReady("%s ended with %d:\n%s\nAll of it is in %s" % (" ".join(command), done.returncode, "\n".join(tail), path))
