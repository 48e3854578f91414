"""Opens the console's pages in Debian's QtWebEngine, which is Chromium 87: the oldest browser that the console promises to work in.

Usage: walk.py URL FOLDER PATH…, with login and password on standard input, a line each. Prints one JSON line a page: what its
heading says, whether it was shown at all, and what the browser's console said; pictures go to FOLDER.
"""

import json
import os
import sys

os.environ.setdefault("QTWEBENGINE_CHROMIUM_FLAGS", "--no-sandbox --disable-gpu")

from PyQt5.QtCore import QEventLoop, QTimer, QUrl
from PyQt5.QtWebEngineWidgets import QWebEnginePage, QWebEngineProfile, QWebEngineView
from PyQt5.QtWidgets import QApplication

# As the other browser tests: an office PC's screen.
WIDTH, HEIGHT = 1366, 768
WAIT_MS_MAX = 20_000
STEP_MS = 100
# Antd's fades last 300 ms.
SETTLE_MS = 800

TYPE = """(value, at) => {
  const input = document.querySelectorAll('input')[at];
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(input, value);
  input.dispatchEvent(new Event('input', { bubbles: true }));
}"""


class Page(QWebEnginePage):
    """The server certifies itself; phones know its key, this browser does not."""

    def __init__(self, profile, parent):
        super().__init__(profile, parent)
        self.said = []

    def certificateError(self, error):
        return True

    def javaScriptConsoleMessage(self, level, message, line, source):
        if level > 0:
            self.said.append(f"{message} ({os.path.basename(source)}:{line})")


class Browser:
    def __init__(self, url, folder):
        self.url, self.folder = url, folder
        self.profile = QWebEngineProfile()
        self.profile.setHttpAcceptLanguage("zh-CN")
        self.view = QWebEngineView()
        self.page = Page(self.profile, self.view)
        self.view.setPage(self.page)
        self.view.resize(WIDTH, HEIGHT)
        self.view.show()

    def wait(self, ms):
        loop = QEventLoop()
        QTimer.singleShot(ms, loop.quit)
        loop.exec_()

    def run(self, code):
        loop, answers = QEventLoop(), []
        self.page.runJavaScript(code, lambda answer: (answers.append(answer), loop.quit()))
        QTimer.singleShot(WAIT_MS_MAX, loop.quit)
        loop.exec_()
        return answers[0] if answers else None

    def until(self, code):
        for _ in range(WAIT_MS_MAX // STEP_MS):
            if self.run(code):
                return True
            self.wait(STEP_MS)
        return False

    def sign_in(self, login, password):
        self.page.load(QUrl(self.url))
        there = self.until("document.querySelectorAll('input').length > 1")
        for at, value in enumerate([login, password]):
            self.run(f"({TYPE})({json.dumps(value)}, {at})")
        self.run("document.querySelector('button[type=submit]').click()")
        return there and self.until("!!document.querySelector('nav, [role=navigation]')")

    def visit(self, path):
        self.page.said.clear()
        self.page.load(QUrl(self.url + path))
        self.wait(SETTLE_MS)
        shown = self.until("!!document.querySelector('main h1') && !document.querySelector('main [aria-busy=true], main .ant-spin-spinning')")
        self.wait(SETTLE_MS)
        name = path.strip("/").replace("/", "-") or "today"
        self.view.grab().save(os.path.join(self.folder, f"{name}.png"))
        heading = self.run("(document.querySelector('main h1') || {}).innerText || ''")
        return {"path": path, "shown": shown, "heading": heading, "said": list(self.page.said)}


def main():
    url, folder, *paths = sys.argv[1:]
    login, password = sys.stdin.read().splitlines()[:2]
    app = QApplication(sys.argv[:1])
    browser = Browser(url, folder)
    told = [{"path": "sign-in", "shown": browser.sign_in(login, password), "heading": browser.run("navigator.userAgent"), "said": list(browser.page.said)}]
    told += [browser.visit(path) for path in paths]
    for one in told:
        print(json.dumps(one, ensure_ascii=False))
    del browser, app
    sys.stdout.flush()
    # Qt's own end waits for its renderers.
    os._exit(0)


main()
