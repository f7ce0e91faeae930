"""The web page in a browser: scores, requests, errors."""

import contextlib
import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tf_efficientbert as teb
from serving.web import site as site_module
from serving.web.serve import PageOptions, page_server
from serving.web.site import build_site
from tests.browser import Tab, needs_chromium, tab
from tests.models.small_models import small_task_model
from tests.models.small_text_models import LABELS, TASKS, small_text_model
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.tasks import MultiLabel

TOKENS = 24
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789σя"
# With one-letter pieces no word is [UNK] as a whole, so a wrong character changes the score.
VOCABULARY = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]"),
    *(LETTERS + ".,!?'-$你好"),
    *(f"##{letter}" for letter in LETTERS),
    *("good", "bad", "##ly"),
)
SENTENCES = (
    "good",
    "A GOOD film, badly cut.",
    "don't\tstop - it's\n£5!",
    "[SEP] good [PAD] bad",
    "Über naïve façade, ÉTÉ, straße, ΣΊΣΥΦΟΣ, Йод",
    "你好 good你好bad",
    "so good 😀👍🏽 so bad",
    "wait… ﬁne， Ｆｉｎｅ ½ ™",
    "good\x00bad\x07good\u200bly\ufeff \u00a0bad\u3000good",
    "a" * 100,
    "good bad " * 60,
)
ALPHABETS = {
    "ASCII": (0x20, 0x7F),
    "control": (0x01, 0x20),
    "Latin": (0xA0, 0x250),
    "Greek and Cyrillic": (0x370, 0x500),
    "punctuation": (0x2000, 0x2070),
    "wide": (0x3000, 0x3040),
    "Chinese": (0x4E00, 0x9FFF),
    "full width": (0xFF01, 0xFF5F),
}

slow = pytest.mark.slow
needs_npm = pytest.mark.skipif(
    shutil.which("npm") is None, reason="no npm on the PATH (install Node.js)"
)


def drawn_texts(count_each=25) -> list[str]:
    draws = np.random.default_rng(0)
    return [
        "".join(map(chr, draws.integers(first, end, draws.integers(1, 9)))) + "x"
        for first, end in ALPHABETS.values()
        for _ in range(count_each)
    ]


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory) -> Path:
    network = small_task_model(vocabulary_size=len(VOCABULARY), max_positions=TOKENS)
    for weight in network.head.weights:  # makes scores differ between texts
        weight.assign(4 * weight)
    folder = tmp_path_factory.mktemp("web") / "model"
    TextModel(network, Tokenizer(VOCABULARY), TASKS["classification"], TOKENS).save(folder)
    return folder


@pytest.fixture(scope="module")
def site(saved_model) -> Path:
    return build_site(saved_model.with_name("site"), saved_model)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    with page_server(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def page(site, browser) -> Iterator[Tab]:
    """The loaded page; `page.address` is its address."""
    with served(site) as address:
        browser.events.clear()
        browser.open(address)
        browser.wait_for("document.querySelector('#classify:enabled')")
        browser.address = address
        yield browser


def answer(page: Tab, text: str) -> dict[str, float]:
    """Returns the scores that the page shows for `text`, by class."""
    page.run(f"document.getElementById('text').value = {json.dumps(text)}")
    page.run("document.getElementById('answer').hidden = true")
    page.run("document.getElementById('classify').click()")
    assert page.run("document.getElementById('problem').hidden"), page.run(
        "document.getElementById('problem').textContent"
    )
    assert not page.run("document.getElementById('answer').hidden")
    return page.run(
        "Object.fromEntries(Array.from(document.querySelectorAll('#scores tr'),"
        " row => [row.cells[0].textContent, Number(row.querySelector('data').value)]))"
    )


def shown(page: Tab, part: str) -> str:
    """Returns the text of a part of the page; empty if it is hidden."""
    return page.run(f"(e => e.hidden ? '' : e.textContent)(document.getElementById('{part}'))")


# === Scores ===


@slow
@needs_chromium
@needs_npm
@pytest.mark.parametrize("texts", [SENTENCES, drawn_texts()], ids=["text", "drawn"])
def test_the_scores_equal_python_s(page, saved_model, texts):
    model = teb.models.load(saved_model)
    logits = model.logits(model.encode(Examples(tuple(texts), None, None)))
    expected = tf.nn.softmax(logits).numpy()
    assert expected.std(axis=0).max() > 0.02  # scores depend on the text
    wrong = {}
    for text, scores in zip(texts, expected, strict=True):
        given = answer(page, text)
        if max(abs(given[label] - s) for label, s in zip(LABELS, scores, strict=True)) > 1e-3:
            wrong[text] = given, scores
    assert wrong == {}


@slow
@needs_chromium
@needs_npm
def test_a_sentence_is_classified_by_keyboard(page, saved_model):
    (prediction,) = teb.models.load(saved_model).predict(["A good day"])
    page.type("A good day")
    page.press("Enter")
    assert shown(page, "class") == prediction.label
    percent, _, milliseconds = shown(page, "summary").partition(" %, in ")
    assert abs(float(percent) - 100 * prediction.score) < 0.06
    assert float(milliseconds.removesuffix(" ms")) > 0
    page.run("document.getElementById('answer').hidden = true")
    page.press("Tab")
    assert page.run("document.activeElement.id") == "classify"
    page.press("Enter")
    assert shown(page, "class") == prediction.label


@slow
@needs_chromium
@needs_npm
def test_multilabel_shows_the_labels_above_their_thresholds(saved_model, browser, tmp_path):
    single = teb.models.load(saved_model)
    task = MultiLabel("moods", LABELS, pair=False)
    logits = single.logits(single.encode(Examples(tuple(SENTENCES), None, None)))
    ascending = np.sort(task.probabilities(logits), axis=0)
    # In the widest gap near the middle, because MediaPipe's last digits differ.
    gaps = np.diff(ascending[3:-3], axis=0).argmax(axis=0) + 3
    columns = np.arange(len(LABELS))
    middle = (ascending[gaps, columns] + ascending[gaps + 1, columns]) / 2
    task = dataclasses.replace(task, thresholds=tuple(middle.tolist()))
    model = TextModel(single.model, single.tokenizer, task, TOKENS)
    model.save(tmp_path / "model")
    answers = [prediction.label for prediction in model.predict(SENTENCES)]
    assert {"", *LABELS} & {*answers} and any("|" in each for each in answers)
    with served(build_site(tmp_path / "site", tmp_path / "model")) as address:
        browser.open(address)
        browser.wait_for("document.querySelector('#classify:enabled')")
        for text, expected in zip(SENTENCES, answers, strict=True):
            answer(browser, text)
            names = shown(browser, "class")
            found = {label for label in LABELS if label in names}
            assert found == {*filter(None, expected.split("|"))}, text
            assert shown(browser, "summary").startswith(f"{len(found)} of 3 labels, in ")


@slow
@needs_chromium
@needs_npm
def test_empty_text_is_an_error(page):
    page.type(" ")
    page.press("Enter")
    assert "no text" in shown(page, "problem")
    assert page.run("document.activeElement.getAttribute('aria-invalid')") == "true"
    assert shown(page, "answer") == ""
    assert sum(answer(page, "good").values()) == pytest.approx(1, abs=1e-5)
    assert not page.run("document.getElementById('text').hasAttribute('aria-invalid')")


@slow
@needs_chromium
@needs_npm
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_its_window(page, width, scheme):
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    page.call("Emulation.setEmulatedMedia", features=media)
    page.open(page.address, width)
    page.wait_for("document.querySelector('#classify:enabled')")
    answer(page, "unbroken" * 100)
    page.run(
        "for (const th of document.querySelectorAll('#scores th')) th.textContent += 'x'.repeat(99)"
    )
    assert page.run("innerWidth") == width
    assert page.run("document.documentElement.scrollWidth") <= width
    dark = page.run("getComputedStyle(document.body).backgroundColor") == "rgb(16, 21, 28)"
    assert dark == (scheme == "dark")


# === Requests ===


@slow
@needs_chromium
@needs_npm
def test_the_page_sends_requests_only_to_its_own_server(page):
    answer(page, "good")
    page.run("new Promise(done => setTimeout(done, 2000))")  # waits for late requests
    assert {url[: len(page.address)] for url in page.requested()} == {page.address}
    logged = [e["params"]["entry"] for e in page.events if e["method"] == "Log.entryAdded"]
    assert [entry["text"] for entry in logged if entry["level"] == "error"] == []
    # Checks that a request elsewhere would be detected.
    with pytest.raises(RuntimeError, match="Failed to fetch"):
        page.run("fetch('https://example.org/')")
    page.wait_for("true")
    assert any("example.org" in json.dumps(event) for event in page.events)


def test_files_have_their_content_types_and_folders_are_not_listed(tmp_path):
    types = {
        "page.js": "text/javascript",
        "bundle.mjs": "text/javascript",
        "a/runtime.wasm": "application/wasm",
        "page.css": "text/css",
        "model.tflite": "application/octet-stream",
    }
    for name in types:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"content")
    with served(tmp_path) as address:
        for name, kind in types.items():
            with urllib.request.urlopen(address + name) as response:
                assert response.headers.get_content_type() == kind
                assert response.read() == b"content"
        for name in ("a/", "", "none.js", "../etc/passwd"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(address + name)
            assert refused.value.code == 404


def test_a_taken_port_is_named(tmp_path):
    with page_server(tmp_path, 0) as server, pytest.raises(UserError, match="--port=.* cannot be"):
        page_server(tmp_path, server.server_port)


# === Errors ===


@slow
@needs_chromium
@needs_npm
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "model.tflite: 404"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "model.tflite ends after"),
        (lambda path: path.write_bytes(bytes(path.stat().st_size)), "."),
    ],
    ids=["missing", "cut", "foreign"],
)
def test_a_page_without_its_model_shows_an_error(tmp_path, site, browser, damage, reason):
    copy = tmp_path / "site"
    shutil.copytree(site, copy)
    damage(copy / "model.tflite")
    with served(copy) as address:
        browser.open(address)
        browser.wait_for("document.getElementById('problem')?.hidden === false")
        problem = shown(browser, "problem")
        assert problem.startswith("The model could not be loaded: ")
        assert reason in problem
        assert browser.run("document.getElementById('classify').disabled")
        assert browser.run("document.getElementById('loading').hidden")


def test_a_model_for_pairs_is_refused(tmp_path):
    small_text_model("pair").save(tmp_path / "model")
    with pytest.raises(UserError, match="--model=.*classification of single texts"):
        build_site(tmp_path / "site", tmp_path / "model")
    assert not (tmp_path / "site").exists()


def test_a_file_that_is_not_for_mediapipe_is_named(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"--model=.*model.tflite is not a file for MediaPipe"):
        build_site(tmp_path / "site", tmp_path / "model.tflite")


def test_a_folder_with_a_page_and_other_files_is_not_changed(tmp_path):
    sources = shutil.copytree(Path(site_module.__file__).parent / "assets", tmp_path / "assets")
    with pytest.raises(UserError, match="--output_dir=.*holds other files"):
        build_site(sources, tmp_path / "model")
    assert (sources / "package.json").is_file()


def test_a_folder_of_other_files_is_not_changed(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="--output_dir=.*holds other files"):
        build_site(tmp_path, tmp_path / "model")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@slow
@needs_npm
def test_without_npm_the_site_is_not_changed(tmp_path, site, monkeypatch):
    copy = tmp_path / "site"
    shutil.copytree(site, copy)
    (copy / "model.json").write_text("earlier")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="npm is not on the PATH"):
        build_site(copy, site / "model.tflite")
    assert (copy / "model.json").read_text() == "earlier"


@pytest.mark.parametrize(
    ("flags", "message"),
    [({}, "--model is missing"), ({"model": "m", "port": 65536}, "--port=65536")],
)
def test_an_invalid_flag_is_named(flags, message):
    with pytest.raises(UserError, match=message):
        PageOptions(**flags)


# === The command ===


@slow
@needs_npm
def test_one_command_serves_an_exported_file_until_ctrl_c(tmp_path, site):
    command = [sys.executable, "-m", "serving.web.serve", f"--model={site / 'model.tflite'}"]
    command += [f"--output_dir={tmp_path / 'web'}", "--port=0"]
    # The process may inherit an ignored SIGINT from the shell that runs the tests.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **heard)
    try:
        address = process.stdout.readline().split()[0]
        for name in ("index.html", "model.json", "model.tflite", "mediapipe/text_bundle.mjs"):
            with urllib.request.urlopen(address + name) as response:
                assert response.read() == (site / name).read_bytes()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
