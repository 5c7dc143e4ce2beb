"""The page in a real browser, as a person uses it; on this machine alone."""

import importlib.util
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.browser import needs_browser
from tests.browser import page as browser_page
from tests.engine.runs import REPO, environment, run_process
from tests.preparation.made import run_door
from timesformer.demo import page as page_module
from timesformer.errors import UserError

# A player that is given another film lets go of the one it was loading; so does the page of its
# queue, when there is no more to come.
LETS_GO = [r"failed request: .*ERR_ABORTED"]

needs_gradio = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="needs gradio (the extra demo)"
)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def door(run, port):
    tool = [sys.executable, str(REPO / "tools" / "demo.py"), "--checkpoint", str(run)]
    return [*tool, "--port", str(port), "--device", "cpu", "--max-mb", "5"]


@contextmanager
def served(run, folder):
    """The tool at work with `folder` for its files, until Ctrl-C; its address."""
    port = free_port()
    process = subprocess.Popen(
        door(run, port),
        env=environment() | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        said = process.stdout.readline()
        assert said == f"open http://127.0.0.1:{port}/  (Ctrl-C stops)\n"
        yield port
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@needs_gradio
@needs_browser
@pytest.mark.slow
def test_drop_videos_then_a_broken_one_then_a_sample(run, predictor, clips, long_video, tmp_path):
    newest = Path(predictor.trained.source)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clips[0].read_bytes()[:700])
    with served(run, tmp_path) as port, browser_page(ignore=LETS_GO) as tab:
        tab.goto(f"http://127.0.0.1:{port}")
        words = tab.locator("#words")
        words.get_by_text("Drop a video").wait_for(timeout=60_000)

        tab.set_input_files("input[type=file]", clips[0])
        words.get_by_text("Done: 0.8 seconds of video.").wait_for(timeout=60_000)
        best = predictor(clips[0]).top(1)[0].name
        assert tab.get_by_test_id("label-output-value").inner_text() == best
        tab.wait_for_function("[...document.querySelectorAll('video')].at(-1).videoWidth > 400")

        assert tab.get_by_text(f"run/checkpoints/{newest.name}").is_visible()
        assert str(run) not in tab.content()

        tab.get_by_label("Clear").first.click()
        words.get_by_text("Drop a video").wait_for(timeout=60_000)
        tab.set_input_files("input[type=file]", long_video)
        words.get_by_text("Done: 2.4 seconds of video.").wait_for(timeout=60_000)
        tab.wait_for_function("[...document.images].some(image => image.naturalWidth == 1100)")

        tab.get_by_label("Clear").first.click()
        words.get_by_text("Drop a video").wait_for(timeout=60_000)
        tab.set_input_files("input[type=file]", broken)
        words.get_by_text("The video 'broken.mp4' cannot be read").wait_for(timeout=60_000)

        tab.get_by_label("Clear").first.click()
        words.get_by_text("Drop a video").wait_for(timeout=60_000)
        tab.locator(".gallery-item").first.click()
        words.get_by_text("Done").wait_for(timeout=60_000)


@needs_gradio
@pytest.mark.slow
def test_it_listens_on_loopback_has_limits_and_cleans_up(run, tmp_path):
    with served(run, tmp_path) as port:
        assert list(tmp_path.glob("timesformer-demo-*"))
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) == 0
        with socket.socket() as probe:  # all of 127 is this machine, but not where it listens
            assert probe.connect_ex(("127.0.0.2", port)) != 0
        with pytest.raises(urllib.error.HTTPError, match="413"):
            upload(port, bytes(6_000_000))
        taken = run_process(door(run, port))
        assert taken.returncode == 1
        assert f"error: The page cannot be at --host 127.0.0.1 --port {port}: Address alr" in (
            taken.stderr
        )
    assert not list(tmp_path.glob("timesformer-demo-*"))


def test_a_host_that_there_is_not():
    with pytest.raises(UserError, match=r"--host no\.such\.invalid --port 7860: .+ Name others"):
        page_module.check_address("no.such.invalid", 7860)


def upload(port, content):
    """Past the page: the limit is the server's."""
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
    body = head + content + b"\r\n--x--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/gradio_api/upload", body, kind)
    urllib.request.urlopen(request, timeout=30).close()


@pytest.mark.parametrize("port", ["0", "-1", "65536", "99999"])
def test_a_port_that_is_none_is_a_sentence(port, monkeypatch):
    said = run_door("demo", "--checkpoint", "none", "--port", port, monkeypatch=monkeypatch)
    assert said == f"error: --port is {port}, but must be from 1 to 65535."


def test_without_gradio_there_is_a_sentence(monkeypatch):
    monkeypatch.setattr(page_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'timesformer\[demo\]'"):
        page_module.check_gradio()
