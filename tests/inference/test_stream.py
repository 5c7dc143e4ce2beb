"""Cameras and streams: a file and a server on this machine stand in for them."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from timesformer.datasets.decode import decode_all
from timesformer.errors import UserError
from timesformer.inference.stream import Capture, watch


def test_the_last_seconds_of_a_file(predictor, clips):
    """24 frames at 30 a second; each prediction is that for these frames, scaled when they came."""
    seen = list(watch(predictor, str(clips[0]), window=0.4, stride=0.2))
    assert [round(now, 2) for now, _ in seen] == [0.4, 0.6]
    frames = np.stack([m.picture for [m] in Capture(str(clips[0]), 32).moments()])
    last = predictor.dataset_of_video(frames[6:19], fps=30)
    last.num_clips = 1
    np.testing.assert_allclose(seen[1][1].scores, predictor.of_first(last).scores, rtol=1e-5)


def test_pictures_are_those_of_the_file(clips):
    pictures = [moment.picture for [moment] in Capture(str(clips[0]), 64).moments()]
    decoded = decode_all(str(clips[0]))
    assert len(pictures) == 24
    # The two programs round the conversion from YUV to RGB differently.
    assert np.abs(np.stack(pictures).astype(int) - decoded).mean() < 2


def test_a_stream_that_ends_early_is_one_window(predictor, clips):
    [(now, prediction)] = watch(predictor, str(clips[0]), window=60, stride=1)
    assert now == pytest.approx(23 / 30)
    assert prediction.top(1)


def test_it_stops_when_told(predictor, clips):
    assert len(list(watch(predictor, str(clips[0]), window=0.2, stride=0.1, seconds=0.35))) == 2


def test_a_source_that_cannot_be_opened(predictor, tmp_path):
    with pytest.raises(
        UserError, match="'.*none.mp4' cannot be opened: use the number of a camera"
    ):
        next(watch(predictor, str(tmp_path / "none.mp4"), window=1, stride=1))


class Camera(BaseHTTPRequestHandler):
    """Sends the same picture without end, as a network camera does."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
        part = b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"
        try:
            while not self.server.closing.wait(0.02):
                self.wfile.write(part % (len(jpeg), jpeg))
        except OSError:
            pass  # whoever watched has gone

    def log_message(self, *args):
        pass


def test_a_live_stream_over_the_network(predictor):
    with ThreadingHTTPServer(("127.0.0.1", 0), Camera) as server:
        server.closing = threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/live.mjpg"
        try:
            seen = list(watch(predictor, address, window=0.5, stride=0.25, seconds=1.2))
        finally:
            server.closing.set()
            server.shutdown()
    assert seen
    assert all(prediction.top(1) for _, prediction in seen)
