"""Drives Chromium in tests; needs `chromium` on the PATH, e.g. from Debian's package."""

import contextlib
import json
import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the PATH (apt install chromium)"
)

_SECONDS = 120  # generous: it takes milliseconds on an idle machine


class Tab:
    """A page of a running browser, driven through the DevTools protocol.

    Attributes:
        events: the protocol events received so far.
    """

    def __init__(self, commands, messages: queue.SimpleQueue):
        self.events = []
        self._commands, self._messages, self._sent, self._session = commands, messages, 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters) -> dict:
        """Sends a command and returns its result; raises RuntimeError if it fails."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while True:
            answer = self._messages.get(timeout=_SECONDS)
            if answer.get("id") == self._sent:
                break
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, address: str, width: int = 1280, height: int = 900) -> None:
        """Opens `address` in a window of this size in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call("Page.navigate", url=address)

    def run(self, script: str):
        """Returns the value of a JavaScript expression; raises RuntimeError if it fails."""
        done = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in done:
            raise RuntimeError(done["exceptionDetails"]["exception"]["description"])
        return done["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Waits until a JavaScript expression is true; raises TimeoutError."""
        end = time.monotonic() + _SECONDS
        while not self.run(f"Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(f"{condition} did not come true")
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """Presses a key, Enter or Tab."""
        text = {"text": "\r"} if key == "Enter" else {}
        code = {"Enter": 13, "Tab": 9}[key]
        for kind, extra in (("keyDown", text), ("keyUp", {})):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **extra
            )

    def type(self, text: str) -> None:
        """Inserts `text` at the cursor."""
        self.call("Input.insertText", text=text)

    def requested(self) -> list[str]:
        """Returns the addresses of all requests, answered or not."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]


@contextlib.contextmanager
def tab(profile: Path) -> Iterator[Tab]:
    """Starts a browser with a new profile and terminates it after the block."""
    read_commands, write_commands = os.pipe()
    read_messages, write_messages = os.pipe()
    # Chromium reads commands from descriptor 3 and answers on 4.
    shell = f'exec "$0" "$@" 3<&{read_commands} 4>&{write_messages}'
    flags = [*FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
    process = subprocess.Popen(
        ["bash", "-c", shell, CHROMIUM, *flags],
        pass_fds=(read_commands, write_messages),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read_commands)
    os.close(write_messages)
    messages = queue.SimpleQueue()
    with os.fdopen(write_commands, "wb") as commands, os.fdopen(read_messages, "rb") as answers:
        reader = threading.Thread(target=_read, args=(answers, messages))
        reader.start()
        try:
            yield Tab(commands, messages)
        finally:
            process.terminate()
            process.wait(_SECONDS)
            reader.join(_SECONDS)


def _read(answers, messages: queue.SimpleQueue) -> None:
    """Reads messages, which end with a zero byte."""
    rest = b""
    while part := answers.read1(2**16):
        *whole, rest = (rest + part).split(b"\0")
        for message in whole:
            messages.put(json.loads(message))
