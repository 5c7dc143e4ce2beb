"""The page itself: gradio, with nothing that comes from or goes to another machine."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timesformer.errors import UserError
from timesformer.signals import StopSignals
from timesformer.visualization.files import short
from timesformer.writers.names import printable

if TYPE_CHECKING:
    from timesformer.demo.look import Limits, Looker, Seen
    from timesformer.inference.predictor import Predictor

SECONDS_KEPT = 3600  # for uploads and pictures on the server


def serve(predictor: Predictor, limits: Limits, *, host: str, port: int) -> None:
    """Serve the page until Ctrl-C, which comes out as `Interrupted`.

    Raises:
        UserError: gradio is missing, or `host` and `port` cannot be had.
    """
    with StopSignals(), page(predictor, limits, host=host, port=port) as url:
        print(f"open {url}  (Ctrl-C stops)", flush=True)
        threading.Event().wait()


@contextlib.contextmanager
def page(predictor: Predictor, limits: Limits, *, host: str, port: int) -> Iterator[str]:
    """The page at work; its address. Uploads and pictures are gone afterwards."""
    from timesformer.demo.look import Looker
    from timesformer.demo.samples import samples

    check_address(host, port)
    with tempfile.TemporaryDirectory(prefix="timesformer-demo-") as folder:
        gradio = import_gradio(Path(folder))
        (Path(folder) / "samples").mkdir()
        trained = predictor.trained
        offered = samples(trained.cfg, trained.class_names, Path(folder) / "samples")
        blocks = build(gradio, Looker(predictor, limits, Path(folder)), offered)
        _, url, _ = blocks.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=f"{int(limits.megabytes * 1e6)}b",
            theme=gradio.themes.Default(font=["system-ui"], font_mono=["monospace"]),
            footer_links=[],
            ssr_mode=False,
        )
        try:
            yield url
        finally:
            blocks.close(verbose=False)


def check_address(host: str, port: int) -> None:
    """Take it for a moment: gradio would not say why it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise UserError(
            f"The page cannot be at --host {host} --port {port}: {error.strerror}. Name others."
        ) from error


def check_gradio() -> None:
    if importlib.util.find_spec("gradio") is None:
        raise UserError("The page needs gradio: pip install 'timesformer[demo]'.")


def import_gradio(folder: Path) -> Any:
    """gradio, told to keep to itself, and its files in `folder`."""
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(folder / "gradio")}
    import gradio  # seconds

    return gradio


def build(gradio: Any, looker: Looker, samples: list[str]) -> Any:
    """The page as gradio's Blocks."""
    trained = looker.predictor.trained
    with gradio.Blocks(
        title="TimeSformer",
        analytics_enabled=False,
        delete_cache=(SECONDS_KEPT, SECONDS_KEPT),
    ) as blocks:
        gradio.Markdown(heading(short(trained.source), len(trained.class_names), looker.limits))
        with gradio.Row():
            with gradio.Column():
                video = gradio.Video(label="Video", sources=["upload"], height=320)
                if samples:
                    gradio.Examples([[path] for path in samples], [video], label="Samples")
            with gradio.Column():
                words = gradio.Markdown("Drop a video, or take a sample.", elem_id="words")
                classes = gradio.Label(label="Classes", num_top_classes=5)
        timeline = gradio.Image(visible=False, interactive=False, show_label=False, buttons=[])
        attention = gradio.Video(
            visible=False,
            interactive=False,
            autoplay=True,
            loop=True,
            show_label=False,  # the film has a heading of its own
            height=420,
            buttons=["download"],
        )
        outputs = [words, classes, timeline, attention]

        def look(path: str | None) -> Iterator[dict[Any, Any]]:
            if path is None:
                yield shown(gradio, outputs, None)
                return
            for seen in looker(path):
                yield shown(gradio, outputs, seen)

        # One at a time: the model takes all cores, or the GPU.
        video.change(look, video, outputs, concurrency_limit=1, api_visibility="private")
    return blocks


def shown(gradio: Any, outputs: list[Any], seen: Seen | None) -> dict[Any, Any]:
    words, classes, timeline, attention = outputs
    if seen is None:
        nothing = gradio.update(value=None, visible=False)
        return {
            words: "Drop a video, or take a sample.",
            classes: None,
            timeline: nothing,
            attention: nothing,
        }
    return {
        words: seen.words,
        classes: seen.classes or None,
        timeline: gradio.update(value=seen.timeline, visible=seen.timeline is not None),
        attention: gradio.update(value=seen.attention, visible=seen.attention is not None),
    }


def heading(source: str, num_classes: int, limits: Limits) -> str:
    return (
        f"# TimeSformer\n`{printable(source)}`, {num_classes} classes\n\nVideos of {limits}. They "
        "stay on the machine that serves this page, and are removed when it stops."
    )
