# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian's Chromium without a window, driven by selenium; it hears every word of the console and sees every request."""

from __future__ import annotations

import json
import time

from hosts.packages import find, require
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

PROGRAMS = {"chromium": "chromium", "chromedriver": "chromium-driver"}
# Root has no sandbox, and the browser no business on the network.
FLAGS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-color-profile=srgb")
SECONDS = 10


class Browser:
    """One browser with one page; a context manager."""

    def __init__(self):
        require(PROGRAMS)
        options = webdriver.ChromeOptions()
        options.binary_location = find("chromium")
        for flag in FLAGS:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self._driver = webdriver.Chrome(options=options, service=Service(find("chromedriver")))

    def __enter__(self):
        return self

    def __exit__(self, *_problem):
        self._driver.quit()

    def open(self, path):
        """Opens a file, and forgets what was heard and seen before."""
        self.said()
        self.requests()
        self._driver.get("file://%s" % path)

    def window(self, width, height=900, dark=False, paper=False):
        """Gives the page a size, a colour scheme, and a screen or paper."""
        self.tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        self.tell("Emulation.setEmulatedMedia", media="print" if paper else "screen",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def tell(self, command, **words):
        """A command of the DevTools protocol."""
        return self._driver.execute_cdp_cmd(command, words)

    def run(self, script, *arguments):
        """Runs a function's body in the page; what it returns."""
        return self._driver.execute_script(script, *arguments)

    def measure(self, script):
        """Milliseconds from the beginning of a function's body until what it changed is on the screen."""
        return self._driver.execute_async_script("""
            const begun = performance.now(), done = arguments[0];
            %s
            requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - begun)));""" % script)

    def wait(self, script, *arguments):
        """Waits until an expression is true in the page; what it is then."""
        until = time.monotonic() + SECONDS
        while True:
            found = self.run("return " + script, *arguments)
            if found:
                return found
            if time.monotonic() > until:
                raise AssertionError("did not come true in %d s: %s" % (SECONDS, script))
            time.sleep(0.05)

    def press(self, *keys):
        """Presses keys, where the focus is."""
        self._driver.switch_to.active_element.send_keys(*keys)

    def click(self, selector):
        """Clicks on an element as a person does: it has to be there to be clicked on."""
        self._driver.find_element("css selector", selector).click()

    def type(self, selector, text):
        """Replaces the text of a field."""
        field = self._driver.find_element("css selector", selector)
        field.clear()
        field.send_keys(text)

    def heard(self):
        """The roles of all that a screen reader is told of."""
        nodes = self.tell("Accessibility.getFullAXTree")["nodes"]
        return [node["role"]["value"] for node in nodes if not node["ignored"]]

    def said(self):
        """What the console said since the last call."""
        return ["%(level)s %(message)s" % entry for entry in self._driver.get_log("browser")]

    def requests(self):
        """The addresses of all requests since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance")]
        return [message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"]

    def picture(self, path):
        """Keeps what the window shows."""
        self._driver.save_screenshot(str(path))
