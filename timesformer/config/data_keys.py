"""The keys of the sections DATA, AUG and MIXUP: what a clip is, and what may happen to it."""

from __future__ import annotations

from timesformer.config.schema import (
    ANYTHING,
    Allowed,
    Key,
    above,
    at_least,
    each,
    one_of,
    within,
)

DATA = [
    Key("DATA.PATH_TO_DATA_DIR", "", "folder with the lists of a data set: DATASET.md", path=True),
    Key(
        "DATA.PATH_PREFIX",
        "",
        "folder that the relative video paths start from; '' for the folder of the csv file",
        path=True,
    ),
    Key("DATA.NUM_FRAMES", 8, "frames of a clip", at_least(1)),
    Key(
        "DATA.SAMPLING_RATE",
        8,
        "a clip spans NUM_FRAMES x SAMPLING_RATE frames at TARGET_FPS",
        at_least(1),
    ),
    Key(
        "DATA.SAMPLING",
        "auto",
        "which frames make a clip: stride (SAMPLING_RATE apart), segments (one of each of "
        "NUM_FRAMES equal parts of the video, at random in training) or uniform (the same, always "
        "the middle ones); auto is segments for ssv2, ssv1 and jester, as released, else stride",
        one_of("auto", "stride", "segments", "uniform"),
    ),
    Key("DATA.TARGET_FPS", 30.0, "frames per second that SAMPLING_RATE counts in", within(1, 1000)),
    Key(
        "DATA.TRAIN_JITTER_SCALES",
        [256, 320],
        "smallest and largest short side in pixels that a training clip is resized to",
        each(within(1, 8192), length=2),
        item=int,
    ),
    Key(
        "DATA.TRAIN_JITTER_SCALES_RELATIVE",
        [],
        "smallest and largest share of the frame's area that a training crop is resized from, such "
        "as [0.08, 1.0], in place of TRAIN_JITTER_SCALES; [] for off",
        each(Allowed("above 0 and up to 1", lambda value: 0 < value <= 1)),
        item=float,
    ),
    Key(
        "DATA.TRAIN_JITTER_ASPECT_RELATIVE",
        [],
        "narrowest and widest shape, width over height, of the part that is resized, such as "
        "[0.75, 1.3333]; [] for off",
        each(above(0)),
        item=float,
    ),
    Key("DATA.TRAIN_CROP_SIZE", 224, "side of the training crop in pixels", at_least(1)),
    Key("DATA.TEST_CROP_SIZE", 256, "side of the validation and test crop in pixels", at_least(1)),
    Key(
        "DATA.INV_UNIFORM_SAMPLE",
        False,
        "draw the reciprocal of the training scale uniformly instead of the scale",
    ),
    Key("DATA.RANDOM_FLIP", True, "mirror half of the training clips left to right"),
    Key(
        "DATA.INPUT_CHANNEL_NUM",
        [3],
        "colour channels of the input; all data sets here decode to 3",
        Allowed("[3]", lambda value: value == [3]),
        item=int,
    ),
    Key(
        "DATA.REVERSE_INPUT_CHANNEL",
        False,
        "feed BGR instead of RGB; the released Something-Something weights expect it",
    ),
    Key("DATA.MEAN", [0.45] * 3, "subtracted from values in 0..1", each(ANYTHING, 3), item=float),
    Key("DATA.STD", [0.225] * 3, "divides what is left", each(above(0), 3), item=float),
    Key(
        "DATA.ENSEMBLE_METHOD",
        "sum",
        "how the scores of a video's views become one: sum of logits (as released), sum of softmax "
        "probabilities, or maximum of logits",
        one_of("sum", "softmax", "max"),
    ),
    Key(
        "DATA.DECODER",
        "pyav",
        "what decodes videos: pyav, or an extra package, on the CPU (torchcodec) or on the GPU's "
        "video decoder (torchcodec_cuda); the frames are the same",
        one_of("pyav", "torchcodec", "torchcodec_cuda"),
    ),
    Key(
        "DATA.FRAMES_FPS",
        30.0,
        "frames per second at which folders of frames were extracted, which no image tells",
        within(0.001, 1000),
    ),
    Key(
        "DATA.SPLIT",
        1,
        "which of the three published splits of UCF101 and HMDB51",
        within(1, 3),
    ),
    Key(
        "DATA.TEST_SPLIT",
        "auto",
        "the published list that a test reads: val, the one validation reads, or test; auto is val "
        "for ssv2, ssv1 and jester, on whose validation lists papers report, test for others",
        one_of("auto", "val", "test"),
    ),
    Key(
        "DATA.SKIP_MISSING",
        False,
        "look for every listed video first and leave out those that are not there (how many is "
        "said, which is written to OUTPUT_DIR); otherwise a missing one counts as unreadable",
    ),
    Key(
        "DATA.TRAIN_FRACTION",
        1.0,
        "share of the training videos of each class to train on, chosen by SPLIT_SEED; a smaller "
        "share is a part of a larger one (paper, figure 4)",
        Allowed("above 0, at most 1", lambda value: 0 < value <= 1),
    ),
    Key(
        "DATA.ARROW_OF_TIME",
        False,
        "of each video two samples, played forward and backward, which are the 2 classes in place "
        "of its own: a single frame says nothing. Clips must be shorter than the videos, whose "
        "last frame repeats otherwise and tells the direction",
    ),
    Key(
        "DATA.CLASS_BALANCED",
        False,
        "show every class equally often in an epoch, which stays as long as it was",
    ),
    Key(
        "DATA.SPLIT_SEED",
        0,
        "seed of what chooses videos; not that of training, so that other runs share a split",
        within(0, 2**32 - 1),
    ),
    Key(
        "DATA.CLASS_PATTERN",
        "",
        "folder: regular expression with a group (?P<class>…), searched in the path of each video "
        "relative to PATH_TO_DATA_DIR; '' for class folders",
    ),
    Key(
        "DATA.GROUP_PATTERN",
        "",
        "folder: regular expression with a group (?P<group>…), searched in the same path; videos "
        "of one group (clips of one recording) stay in one split; '' for each its own",
    ),
    Key(
        "DATA.SPLIT_FRACTIONS",
        [0.8, 0.1, 0.1],
        "folder: shares of train, val and test, by a hash of SPLIT_SEED and the group; folders "
        "train, val and test are taken as they are",
        Allowed(
            "3 shares of 0 or more that sum to 1",
            lambda value: len(value) == 3 and min(value) >= 0 and abs(sum(value) - 1) < 1e-6,
        ),
        item=float,
    ),
    Key(
        "DATA.MAX_FAILED_FRACTION",
        0.05,
        "share of an epoch's training videos that may be unreadable (each is replaced and named in "
        "the log) before the run stops",
        within(0, 1),
    ),
]

AUG = [
    Key(
        "AUG.NUM_SAMPLE",
        1,
        "random clips of a training video that is opened once (repeated augmentation); batch sizes "
        "still count clips",
        at_least(1),
    ),
    Key(
        "AUG.COLOR_JITTER",
        0.0,
        "brightness, contrast and saturation of a training clip change by a factor of up to this "
        "from 1; 0 for none",
        at_least(0),
    ),
    Key(
        "AUG.AA_TYPE",
        "",
        "AutoAugment or RandAugment of training clips in timm's notation, such as "
        "rand-m7-n4-mstd0.5-inc1 or original; '' for none",
    ),
    Key("AUG.RE_PROB", 0.0, "share of the training clips with erased boxes", within(0, 1)),
    Key(
        "AUG.RE_MODE",
        "pixel",
        "what a box is filled with: noise for each pixel, one random colour, or the mean colour",
        one_of("pixel", "rand", "const"),
    ),
    Key("AUG.RE_COUNT", 1, "largest number of boxes in an erased clip", at_least(1)),
]

MIXUP = [
    Key("MIXUP.ENABLED", False, "mix each training batch with itself in reverse order"),
    Key("MIXUP.ALPHA", 0.8, "Beta parameter of mixup; 0 for none", at_least(0)),
    Key(
        "MIXUP.CUTMIX_ALPHA",
        1.0,
        "Beta parameter of CutMix (a box in space through all frames); 0 for none",
        at_least(0),
    ),
    Key("MIXUP.PROB", 1.0, "share of the batches that are mixed", within(0, 1)),
    Key("MIXUP.SWITCH_PROB", 0.5, "share of CutMix where both are on", within(0, 1)),
]
