"""What MODEL_ZOO.md says of the configs is what they hold, and its commands would be accepted."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests.models.tiny import load_state
from timesformer.config import load_config
from timesformer.config.load import pair_up
from timesformer.models import build_model
from timesformer.models.pretrained import network_of

REPO = Path(__file__).parents[1]
ZOO = (REPO / "MODEL_ZOO.md").read_text()

CLASSES = {"Kinetics": 400, "Kinetics600": 600, "SSv2": 174, "HowTo100M": 1059}
# The published file names carry the clip and the crop; all else of a run is in the config.
RELEASED_FILE = re.compile(r"TimeSformer_divST_(\d+)(?:x(\d+))?_(\d+)_\w+\.pyth")


@dataclass
class Row:
    """A table row that names a weights file: its cells, and the config it links to."""

    cells: list[str]
    file: str
    config: Path

    @property
    def clip(self) -> tuple[int, ...]:
        """(frames, rate), or (frames,) where the table gives no rate."""
        return tuple(int(number) for number in re.findall(r"\b(\d+)\b(?!/)", self.cells[1]))

    @property
    def crop(self) -> int:
        return int(self.cells[2].split()[0])


def table_rows():
    for line in ZOO.splitlines():
        file = re.search(r"\[([\w.-]+\.py?th)\]", line)
        config = re.search(r"\((configs/[\w/]+\.yaml)\)", line)
        if line.startswith("|") and file and config:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            yield Row(cells, file[1], REPO / config[1])


def commands():
    """Every `python tools/run_net.py` line of the document, as words."""
    for block in re.findall(r"^```\n(.*?)^```", ZOO, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("python "):
                yield shlex.split(line)


ROWS = list(table_rows())
COMMANDS = list(commands())


@pytest.fixture
def _documented_variables(monkeypatch, tmp_path):
    monkeypatch.setenv("LISTS", str(tmp_path))
    monkeypatch.setenv("VIDEOS", str(tmp_path))
    monkeypatch.setenv("WEIGHTS", str(tmp_path))


def test_every_published_model_is_listed():
    assert [row.config.parent.name for row in ROWS] == [
        *["Kinetics"] * 3,
        *["Kinetics600"] * 3,
        *["SSv2"] * 3,
        *["HowTo100M"] * 4,
        *["Kinetics"] * 3,  # MMAction2
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.file)
def test_a_row_says_what_its_config_holds(row):
    cfg = load_config(row.config)
    assert row.clip == (cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE)[: len(row.clip)]
    assert row.crop == cfg.DATA.TRAIN_CROP_SIZE == cfg.DATA.TEST_CROP_SIZE
    assert CLASSES[row.config.parent.name] == cfg.MODEL.NUM_CLASSES


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.file)
def test_a_released_file_is_named_after_its_clip_and_crop(row):
    if named := RELEASED_FILE.fullmatch(row.file):
        frames, rate, crop = (int(number or 0) for number in named.groups())
        assert (*row.clip, 0)[:2] == (frames, rate)
        assert row.crop == crop


@pytest.mark.parametrize("row", [r for r in ROWS if r.config.parent.name == "HowTo100M"])
def test_the_clips_of_a_long_video_are_as_many_and_as_long_as_the_table_says(row):
    data, test = (cfg := load_config(row.config)).DATA, cfg.TEST
    seconds = data.NUM_FRAMES * data.SAMPLING_RATE / data.TARGET_FPS
    assert row.cells[3] == f"{seconds:.1f} s"
    assert int(row.cells[4]) == test.NUM_ENSEMBLE_VIEWS


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[-1].split("/")[-1])
@pytest.mark.usefixtures("_documented_variables")
def test_a_command_is_accepted(words):
    program, door, flag, config, *opts = words
    assert (program, flag) == ("python", "--cfg")
    assert (REPO / door).exists()
    cfg = load_config(REPO / config, opts)
    assert cfg.TEST.ENABLE
    assert not cfg.TRAIN.ENABLE
    assert cfg.DATA.PATH_TO_DATA_DIR
    assert cfg.TEST.CHECKPOINT_FILE_PATH.split("/")[-1] == words[-1].split("/")[-1]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.file)
def test_a_row_has_its_command(row):
    config = str(row.config.relative_to(REPO))
    assert [words[3] for words in COMMANDS if words[-1] == f"$WEIGHTS/{row.file}"] == [config]


def test_what_is_said_of_mmaction2_is_in_its_commands():
    settings = [dict(pair_up(words[4:])) for words in COMMANDS if words[-1].endswith(".pth")]
    assert len(settings) == 3
    for opts in settings:
        assert opts["DATA.MEAN"] == opts["DATA.STD"] == "[0.5, 0.5, 0.5]"
        assert opts["DATA.ENSEMBLE_METHOD"] == "softmax"


def test_every_config_of_released_weights_or_of_table_1_is_linked():
    told_of = [
        path
        for path in (REPO / "configs").rglob("*.yaml")
        if re.search(r"^# Reproduces: (the released model|table 1 )", path.read_text(), re.M)
        and not path.stem.endswith("_TEST")
    ]
    linked = re.findall(r"\((configs/[\w/]+\.yaml)\)", ZOO)
    assert {str(path.relative_to(REPO)) for path in told_of} == set(linked)


VARIANTS = [
    path for path in (REPO / "configs").rglob("*.yaml") if re.search(r"_(TEST|4gpus)$", path.stem)
]


@pytest.mark.parametrize("path", VARIANTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_variant_is_the_same_network_on_the_same_clips(path):
    """_TEST and _4gpus beside a linked config stand for its row too."""
    ours = load_config(path.with_stem(re.sub(r"_(TEST|4gpus)$", "", path.stem)))
    theirs = load_config(path)
    assert (ours.MODEL, ours.TIMESFORMER, ours.DATA) == (
        theirs.MODEL,
        theirs.TIMESFORMER,
        theirs.DATA,
    )


IMAGE_NETWORKS = re.findall(r"^\| `timm://([\w.]+)` \|[^|]*\|(.*)\|$", ZOO, re.MULTILINE)


@pytest.mark.parametrize(("name", "keys"), IMAGE_NETWORKS, ids=lambda text: text[:40])
def test_an_image_network_fits_with_the_keys_beside_it(name, keys):
    timm = pytest.importorskip("timm", reason="the names are those of timm")
    cfg = load_config(
        REPO / "configs/Kinetics/TimeSformer_divST_8x32_224.yaml",
        keys.strip().strip("`").split(),
    )
    assert name in timm.list_pretrained(name.split(".")[0])
    with torch.device("meta"):  # shapes and names without the weights
        image, video = timm.create_model(name), build_model(cfg)
    report = load_state(network_of(video), image.state_dict(), source=name)
    assert all("head" in unused for unused in report.unused)
    assert report.inflated
    assert report.resized == []
