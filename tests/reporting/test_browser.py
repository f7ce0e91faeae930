"""Opens the page in a real browser: no overflow, no requests, no errors."""

import json
import re
import subprocess
from html import unescape
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, FLAGS, needs_chromium
from tf_efficientbert.reporting.page import page

from .reports import data_card, report

# The opened copy forbids requests, and records attempted requests and errors.
WATCHED = """<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<script>
window.faults = [];
addEventListener("securitypolicyviolation", event => faults.push("fetch " + event.blockedURI));
addEventListener("error", event => faults.push("error " + event.message), true);
for (const kind of ["error", "warn"]) console[kind] = text => faults.push(kind + " " + text);
</script>"""
# A frame gives the page the width of a phone: windows have a larger minimum width.
WRAPPER = """<!doctype html><meta charset="utf-8"><title>wrapper</title>
<iframe id="frame" src="report.html" width="{width}" height="900" style="border:0"></iframe>
<pre id="found">nothing</pre>
<script>
const frame = document.getElementById("frame");
frame.onload = () => setTimeout(() => {{  // faults are reported a moment after the load
  const view = frame.contentWindow, page = view.document;
  for (const part of page.querySelectorAll("details")) part.open = true;
  const root = page.documentElement;
  const beyond = [...page.querySelectorAll("main > section > *, header > *, .grid > *, .chart svg")]
    .filter(part => part.getBoundingClientRect().right > view.innerWidth + 0.5)
    .map(part => part.tagName + "." + part.getAttribute("class"));
  document.getElementById("found").textContent = JSON.stringify({{
    inner: view.innerWidth, scroll: root.scrollWidth, body: page.body.scrollWidth, beyond,
    faults: view.faults,
    sections: page.querySelectorAll("section").length,
  }});
}}, 200);
</script>
"""

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("kind", ["whole", "empty", "hostile"])
def test_page_fits_its_window_and_fetches_nothing(tmp_path, width, kind):
    found = _opened(tmp_path, page(_report(kind)), width)
    assert found["inner"] == width
    assert found["scroll"] <= width
    assert found["body"] <= width
    assert found["beyond"] == []
    assert found["faults"] == []
    assert found["sections"] >= 1


def test_a_fetch_would_be_noticed(tmp_path):
    html = page({}).replace(
        "</style>", "body { background: url(https://example.org/a.png) }</style>"
    )
    assert _opened(tmp_path, html, 360)["faults"] == ["fetch https://example.org/a.png"]


def _report(kind: str) -> dict:
    if kind == "empty":
        return {}
    given = report((6, 4, 8))
    if kind == "hostile":
        long = "a_very_long_name_without_any_place_to_break_it" * 3
        given |= {"title": long, "task": long, "seconds": {long: 3, "b": 4}}
        given["losses"] = {long: given["losses"]["supernet: warm-up"]}
        given["models"][3]["name"] = long
        given["confusion"] = {long: {"labels": [long, "b"], "counts": [[1, 2], [3, 4]]}}
        figures = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 3}
        given["classes"] = {long: [{"label": long, **figures}]}
        given["data"] = data_card({long: 900, "b": 600}) | {"hints": [long], "notes": [long]}
        given["data"] |= {"columns": {"text": long}, "left_out": [{"file": long, "reason": long}]}
        given["search"]["stages"][0] |= {"name": long, "metric": long, "sampler": long}
    return given


def _opened(folder: Path, html: str, width: int) -> dict:
    copy = html.replace('<meta charset="utf-8">', WATCHED, 1)
    assert copy != html
    (folder / "report.html").write_text(copy, encoding="utf-8")
    wrapper = folder / "wrapper.html"
    wrapper.write_text(WRAPPER.format(width=width), encoding="utf-8")
    command = [
        CHROMIUM,
        *FLAGS,
        "--allow-file-access-from-files",
        "--virtual-time-budget=4000",
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1400,1000",
        "--dump-dom",
        wrapper.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    return json.loads(unescape(found[1]))
