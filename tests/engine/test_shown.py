"""What a real run shows in TensorBoard beside its numbers, and what a second one adds."""

from __future__ import annotations

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.engine.runs import train


def events_after(videos: Path, output: Path, **changes: object) -> EventAccumulator:
    shown = {
        "TENSORBOARD__ENABLE": True,
        "TENSORBOARD__HISTOGRAMS": 2,
        "TENSORBOARD__NUM_CLIPS": 3,
        "TENSORBOARD__CONFUSION_MATRIX__ENABLE": True,
        "TEST__REPORT": False,
    }
    train(videos, output, **shown, **changes)
    sizes = {"images": 0, "histograms": 0}  # all of them
    events = EventAccumulator(str(output / "tensorboard"), size_guidance=sizes)
    events.Reload()
    return events


def test_everything_is_shown_and_a_run_that_goes_on_adds_to_it(
    videos: Path, tmp_path: Path
) -> None:
    changes = {"SOLVER__LR_POLICY": "steps_with_relative_lrs", "SOLVER__STEPS": [0]}
    changes |= {"SOLVER__LRS": [1.0], "TEST__ENABLE": False}
    events = events_after(videos, tmp_path, SOLVER__MAX_EPOCH=2, **changes)
    tags = events.Tags()
    assert [event.step for event in events.Histograms("weights/model.head.weight")] == [2]
    assert [event.step for event in events.Histograms("gradients/model.head.weight")] == [2]
    assert [event.step for event in events.Images("val_confusion")] == [1, 2]
    clips = [tag for tag in tags["images"] if tag.startswith("val_clips/")]
    assert len(clips) == 3
    assert {"train_iter/loss", "train_iter/lr", "val_epoch/top1_err"} <= set(tags["scalars"])
    assert "config/text_summary" in tags["tensors"]
    changes |= {"TEST__ENABLE": True}
    events = events_after(videos, tmp_path, SOLVER__MAX_EPOCH=4, **changes)
    steps = [event.step for event in events.Scalars("train_iter/loss")]
    assert steps == list(range(1, 13))  # three steps an epoch
    assert [event.step for event in events.Histograms("weights/model.head.weight")] == [2, 4]
    assert "_hparams_/session_start_info" in events.summary_metadata
    assert events.Scalars("test_final/top1_acc")


def test_what_is_shown_changes_no_number(videos: Path, tmp_path: Path) -> None:
    shown = events_after(videos, tmp_path / "shown", TEST__ENABLE=False)
    train(videos, tmp_path / "plain", TENSORBOARD__ENABLE=True, TEST__ENABLE=False)
    events = EventAccumulator(str(tmp_path / "plain" / "tensorboard"))
    events.Reload()
    losses = [
        [event.value for event in found.Scalars("train_iter/loss")] for found in (shown, events)
    ]
    assert losses[0] == losses[1]
