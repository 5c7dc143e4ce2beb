"""The keys of the sections MODEL and TIMESFORMER: what network it is, and how it starts."""

from __future__ import annotations

from timesformer.config.schema import Key, above, at_least, below_one, one_of, within

TIMESFORMER = [
    Key(
        "TIMESFORMER.ATTENTION_TYPE",
        "divided_space_time",
        "attention scheme: divided_space_time, joint_space_time, space_only, sparse_local_global "
        "or axial (paper, section 3)",
    ),
    Key(
        "TIMESFORMER.PRETRAINED_MODEL",
        "",
        "image-ViT or TimeSformer weights to start from: a path, https://…, "
        "hf://owner/repo[@revision] or timm://name; '' for random weights (the released code "
        "downloaded ImageNet weights here; nothing is downloaded unasked now)",
        path=True,
    ),
    Key("TIMESFORMER.PATCH_SIZE", 16, "side of a square patch in pixels", at_least(1)),
    Key(
        "TIMESFORMER.EMBED_DIM",
        0,
        "width of a token; 0 for that of MODEL.MODEL_NAME, which is 768 unless it says another",
        at_least(0),
    ),
    Key(
        "TIMESFORMER.DEPTH", 0, "number of blocks; 0 for that of MODEL.MODEL_NAME, 12", at_least(0)
    ),
    Key(
        "TIMESFORMER.NUM_HEADS",
        0,
        "attention heads; divides EMBED_DIM; 0 for those of MODEL.MODEL_NAME, 12",
        at_least(0),
    ),
    Key(
        "TIMESFORMER.POS_EMBED",
        "space_time",
        "what tokens are told of where they lie (paper, table 4)",
        one_of("space_time", "space", "none"),
    ),
    Key(
        "TIMESFORMER.POS_EMBED_RESIZE",
        "bicubic",
        "how the position embedding of a weights file is brought to another patch grid; nearest is "
        "what the released code does at run time",
        one_of("bicubic", "nearest"),
    ),
    Key(
        "TIMESFORMER.HEAD_HIDDEN_DIM",
        0,
        "width of the hidden layer of the head; 0 (as released) for a linear head, EMBED_DIM for "
        "the paper's",
        at_least(0),
    ),
    Key("TIMESFORMER.MLP_RATIO", 4.0, "hidden width of the MLP over EMBED_DIM", within(0.1, 100)),
    Key("TIMESFORMER.QKV_BIAS", True, "bias in the query, key and value projections"),
    Key("TIMESFORMER.DROP_RATE", 0.0, "dropout on tokens and projections", below_one()),
    Key("TIMESFORMER.ATTN_DROP_RATE", 0.0, "dropout on attention weights", below_one()),
    Key(
        "TIMESFORMER.DROP_PATH_RATE",
        0.1,
        "stochastic depth of the last block, growing linearly from 0 in the first",
        below_one(),
    ),
    Key(
        "TIMESFORMER.INIT_STD",
        0.02,
        "standard deviation of the initial linear weights; about 1 / sqrt(EMBED_DIM) suits a "
        "narrow network that is trained from scratch",
        above(0),
    ),
    Key(
        "TIMESFORMER.POS_EMBED_INIT",
        "normal",
        "how the position embedding starts: random, or as sines and cosines, which tell near from "
        "far before anything is learnt",
        one_of("normal", "sincos"),
    ),
    Key(
        "TIMESFORMER.POS_EMBED_STD",
        0.02,
        "size of the initial position embedding; 0.5 suits training from scratch, 0 is zeros",
        at_least(0),
    ),
    Key(
        "TIMESFORMER.TIME_EMBED_INIT",
        "normal",
        "how the time embedding starts, where TIME_EMBED_STD is not 0 (which is its default)",
        one_of("normal", "sincos"),
    ),
    Key(
        "TIMESFORMER.TIME_EMBED_STD",
        0.0,
        "size of the initial time embedding; 0 (zeros, as released) suits pretrained weights, 1 "
        "training from scratch",
        at_least(0),
    ),
    Key(
        "TIMESFORMER.TEMPORAL_FC_ZERO_INIT",
        True,
        "start with the attention that an image network lacks (over time, width or windows) "
        "switched off, as released; False suits training from scratch",
    ),
    Key(
        "TIMESFORMER.GRAD_CHECKPOINTING",
        False,
        "recompute the blocks in the backward pass: less memory, about a third more time",
    ),
    Key(
        "TIMESFORMER.CHECKPOINT_EVERY",
        1,
        "with GRAD_CHECKPOINTING: of how many blocks one is recomputed; 2 for about half of the "
        "savings at half of the price",
        at_least(1),
    ),
    Key(
        "TIMESFORMER.CHECKPOINT_KEEP",
        "nothing",
        "with GRAD_CHECKPOINTING: what a recomputed block keeps; attention, what comes out of "
        "attention, which is dear where sequences are long; matmul, also what comes out of the "
        "linear layers that widen: more memory, little to recompute",
        one_of("nothing", "attention", "matmul"),
    ),
]

MODEL = [
    Key(
        "MODEL.MODEL_NAME",
        "vit_base_patch16_224",
        "registered name of the model: TimeSformer, timesformer_small, resnet18_lstm, …",
    ),
    Key("MODEL.NUM_CLASSES", 400, "number of classes", at_least(1)),
    Key("MODEL.LOSS_FUNC", "cross_entropy", "training loss", one_of("cross_entropy")),
    Key(
        "MODEL.LABEL_SMOOTHING",
        0.0,
        "share of the target spread over all classes; 0.1 is what the released MIXUP used",
        below_one(),
    ),
]
