# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Debian packages that hosts are made of; what is missing is installed."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess

# Debian's Python, as on the hosts of an operator, whatever runs the tests.
INTERPRETER = "/usr/bin/python3"


class PackageMissing(RuntimeError):
    """A program that a test needs is not there, and could not be installed."""


def require(programs):
    """Make sure that every program (a dictionary from program to Debian package) can be run."""
    missing = sorted({package for program, package in programs.items() if not find(program)})
    if missing:
        install(missing)
    for program, package in programs.items():
        if not find(program):
            raise PackageMissing("%s is not on this machine; install the package %s." % (program, package))


def find(program):
    """The path of a program, also of those that nobody or only root has on its PATH; None when there is none."""
    # Debian keeps the server of PostgreSQL in a folder that is named after its version.
    servers = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    path = ":".join([os.environ.get("PATH", os.defpath), "/usr/local/sbin:/usr/sbin:/sbin"] + servers)
    return shutil.which(program, path=path)


def install(names):
    """Install Debian packages without starting the services that come with them."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise PackageMissing("These packages are missing: %s. Install them as root." % ", ".join(names))
    # RUNLEVEL=1 makes invoke-rc.d leave a service alone that does not run in single user mode.
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
    command = ["apt-get", "install", "-y", "--no-install-recommends", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    command += list(names)
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        subprocess.run(["apt-get", "update", "-qq"], env=environment, stdout=subprocess.DEVNULL, check=False)
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise PackageMissing("apt-get could not install %s:\n%s"
                             % (", ".join(names), done.stdout.decode("utf-8", "replace")))
