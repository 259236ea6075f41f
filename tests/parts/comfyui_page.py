"""The editor in a browser: functions shared by the scripts that drive it. Needs playwright, and Chromium on the
path."""
import re
import shutil
import time
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

OPTIMIZE = "Distill3D_Optimize"
LONG = 300  # seconds; a machine that does other things too takes its time
# Drawn by the processor: a graphics card that is only imitated takes seconds for a picture of the canvas.
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-accelerated-2d-canvas"]


class Page:
    def __init__(self, page, address):
        self.page, self.errors = page, []
        page.set_default_timeout(1000 * LONG)
        page.route(re.compile(r"^https?://(?!127\.0\.0\.1|localhost)"), lambda route: route.abort())
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(address, wait_until="domcontentloaded")
        self.wait()

    def wait(self):
        """Until the editor is there. (A function must not be what is waited for: playwright would call it.)"""
        self.page.wait_for_function("Boolean(window.app?.graph && window.app.extensionManager && "
                                    "window.app.api?.clientId && "
                                    f"window.LiteGraph?.registered_node_types?.['{OPTIMIZE}'])")

    def settings(self, values):
        for name, value in values.items():
            self.page.evaluate("([name, value]) => app.extensionManager.setting.set(name, value)", [name, value])

    def load(self, workflow, name, flat=False):
        """Waits until the editor shows it. flat: with its subgraphs unpacked, so that every node is in one graph."""
        self.page.evaluate("async ([workflow, name]) => { await app.loadGraphData(workflow, true, true, name) }",
                           [workflow, name])
        if flat:
            self.page.evaluate("""() => { for (let node; node = app.rootGraph.nodes.find(one => one.subgraph);)
                app.rootGraph.unpackSubgraph(node) }""")
        self.settle()

    def settle(self):
        """Until what was asked for is drawn."""
        self.page.evaluate("() => new Promise(done => { app.canvas.setDirty(true, true);"
                           "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 500))) })")

    def until(self, read, what, seconds=LONG):
        """What read() gives when something is true of it; (False, ...) where that never came."""
        end = time.monotonic() + seconds
        while True:
            found = read()
            if found is not None and what(found):
                return True, found
            if time.monotonic() > end:
                return False, found
            time.sleep(0.3)


@contextmanager
def editor(address, vue, width=900, height=800):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
                                             args=FLAGS)
        page = Page(browser.new_context(viewport={"width": width, "height": height}).new_page(), address)
        page.settings({"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": vue, "Comfy.Minimap.Visible": False})
        page.page.keyboard.press("Escape")
        yield page
        browser.close()
