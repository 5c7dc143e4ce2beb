"""Every config key, once: its default, its meaning with the unit, and the values it may take.

The names of the released TimeSformer configs (and so of PySlowFast) are kept with their meaning.
Where the released code ignored a key or meant something else, the entry says so.
Keys of the released code that can mean nothing here are in `legacy.py`.
"""

from __future__ import annotations

from timesformer.config.data_keys import AUG, DATA, MIXUP
from timesformer.config.schema import (
    Allowed,
    Key,
    above,
    at_least,
    below_one,
    each,
    one_of,
    within,
)

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")

TRAIN = [
    Key("TRAIN.ENABLE", True, "train before testing"),
    Key("TRAIN.DATASET", "kinetics", "registered name of the training and validation data set"),
    Key(
        "TRAIN.BATCH_SIZE",
        64,
        "clips in one forward pass on one node, split over its processes",
        at_least(1),
    ),
    Key("TRAIN.EVAL_PERIOD", 1, "epochs between validations; 0 for none", at_least(0)),
    Key(
        "TRAIN.CHECKPOINT_PERIOD",
        1,
        "epochs between checkpoints",
        at_least(1),
    ),
    Key(
        "TRAIN.CHECKPOINT_EVERY_STEPS",
        0,
        "optimiser steps between checkpoints within an epoch; 0 for none",
        at_least(0),
    ),
    Key(
        "TRAIN.CHECKPOINT_EVERY_MINUTES",
        15.0,
        "minutes between checkpoints within an epoch, which is what a fault costs at most; 0 for "
        "none",
        at_least(0),
    ),
    Key(
        "TRAIN.KEEP_CHECKPOINTS",
        0,
        "how many of the newest checkpoints of whole epochs stay, beside the best; 0 for all",
        at_least(0),
    ),
    Key(
        "TRAIN.REQUEUE_SIGNALS",
        ["SIGUSR1", "SIGUSR2"],
        "signals after which a Slurm job saves, goes back to the queue and continues; after any "
        "other (SIGTERM, SIGINT) it saves and ends",
        Allowed(
            "a list out of SIGUSR1, SIGUSR2",
            lambda value: set(value) <= {"SIGUSR1", "SIGUSR2"},
        ),
        item=str,
    ),
    Key(
        "TRAIN.PARALLEL",
        "ddp",
        "what several processes hold of the model: ddp, all of it each; fsdp, a share each of "
        "weights, gradients and optimiser state, for what does not fit into one GPU (checkpoints "
        "are then folders: tools/merge_checkpoint.py)",
        one_of("ddp", "fsdp"),
    ),
    Key(
        "TRAIN.HALVE_BATCH_ON_OOM",
        False,
        "when memory runs out, go on with half of TRAIN.BATCH_SIZE in a pass and the same "
        "GLOBAL_BATCH_SIZE; gradients are then exchanged after the backward pass, not beside it",
    ),
    Key("TRAIN.AUTO_RESUME", True, "continue from the newest good checkpoint in OUTPUT_DIR"),
    Key(
        "TRAIN.FINETUNE",
        False,
        "take only the weights of TRAIN.CHECKPOINT_FILE_PATH (any that PRETRAINED_MODEL can name) "
        "and start at epoch 0; a finetuning "
        "run that was interrupted resumes by itself",
    ),
    Key(
        "TRAIN.CHECKPOINT_FILE_PATH",
        "",
        "checkpoint to start from when OUTPUT_DIR has none to resume, a path or an address; '' for "
        "none",
        path=True,
    ),
    Key(
        "TRAIN.STRICT_LOADING",
        True,
        "refuse weights to train from that leave a part of the model or of the file unexplained; "
        "False takes what fits and lists the rest",
    ),
    Key(
        "TRAIN.PRECISION",
        "fp32",
        "arithmetic of the forward pass; tf32 and fp16 need a GPU",
        one_of(*PRECISIONS),
    ),
    Key(
        "TRAIN.EMA_DECAY",
        0.0,
        "share of itself that the running average of the weights keeps in a step (0.9999 is "
        "usual; less in the first steps); 0 for no average",
        below_one(),
    ),
    Key(
        "TRAIN.EMA_EVAL",
        False,
        "validate the averaged weights, and choose the best checkpoint by them",
    ),
]

TEST = [
    Key("TEST.ENABLE", True, "test after training, or alone with TRAIN.ENABLE False"),
    Key("TEST.DATASET", "kinetics", "registered name of the test data set"),
    Key(
        "TEST.BATCH_SIZE",
        8,
        "views in one forward pass on one node, split over its processes",
        at_least(1),
    ),
    Key(
        "TEST.USE_EMA",
        False,
        "test the averaged weights of a checkpoint (TRAIN.EMA_DECAY)",
    ),
    Key("TEST.NUM_ENSEMBLE_VIEWS", 10, "temporal views of a video", at_least(1)),
    Key(
        "TEST.NUM_SPATIAL_CROPS",
        3,
        "spatial crops of a temporal view: 3 along the long side at short side "
        "DATA.TEST_CROP_SIZE, or 1 in the centre at short side DATA.TRAIN_JITTER_SCALES[0]",
        Allowed("1 or 3", lambda value: value in (1, 3)),
    ),
    Key(
        "TEST.SPREAD_VIEWS",
        False,
        "spread the temporal views from the first frame to the last (a single one in the middle); "
        "in the released protocol view k of n starts at k/n of the slack, and none reaches the end",
    ),
    Key(
        "TEST.CHECKPOINT_FILE_PATH",
        "",
        "weights to test, of any format that PRETRAINED_MODEL can name; '' for the newest good "
        "checkpoint in OUTPUT_DIR",
        path=True,
    ),
    Key(
        "TEST.SAVE_RESULTS_PATH",
        "",
        "predictions file (.npz) to write; '' for OUTPUT_DIR/predictions.npz",
        path=True,
    ),
]

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
]

SOLVER = [
    Key("SOLVER.BASE_LR", 0.005, "learning rate after the warm-up", above(0)),
    Key(
        "SOLVER.HEAD_LR_SCALE",
        1.0,
        "learning rate of the head over that of the rest: a new head on pretrained weights may "
        "need to learn faster than they do",
        above(0),
    ),
    Key(
        "SOLVER.LAYER_DECAY",
        1.0,
        "learning rate of a layer over that of the layer above it (BEiT, MAE): the head and the "
        "last norm have the full one, the embeddings the lowest; 1 for one rate",
        Allowed("above 0 and at most 1", lambda value: 0 < value <= 1),
    ),
    Key(
        "SOLVER.BASE_LR_BATCH_SIZE",
        0,
        "clips of the optimiser step that BASE_LR, WARMUP_START_LR and COSINE_END_LR are stated "
        "for: they are multiplied by the clips of a step over this; 0 takes them as they stand",
        at_least(0),
    ),
    Key(
        "SOLVER.LR_POLICY",
        "cosine",
        "cosine: to COSINE_END_LR at MAX_EPOCH; steps_with_relative_lrs: BASE_LR x LRS[i] from "
        "epoch STEPS[i] on",
        one_of("cosine", "steps_with_relative_lrs"),
    ),
    Key("SOLVER.COSINE_END_LR", 0.0, "last learning rate of the cosine", at_least(0)),
    Key("SOLVER.STEPS", [], "first epochs of the steps, from 0", each(at_least(0)), item=int),
    Key("SOLVER.LRS", [], "factors of BASE_LR, one for each step", each(at_least(0)), item=float),
    Key("SOLVER.MAX_EPOCH", 15, "epochs of training", at_least(1)),
    Key("SOLVER.WARMUP_EPOCHS", 0.0, "epochs of linear warm-up", at_least(0)),
    Key("SOLVER.WARMUP_START_LR", 0.0, "learning rate at the start of the warm-up", at_least(0)),
    Key("SOLVER.OPTIMIZING_METHOD", "sgd", "optimiser", one_of("sgd", "adam", "adamw")),
    Key("SOLVER.MOMENTUM", 0.9, "momentum of sgd", below_one()),
    Key("SOLVER.DAMPENING", 0.0, "dampening of sgd's momentum", within(0, 1)),
    Key("SOLVER.NESTEROV", True, "Nesterov momentum of sgd"),
    Key("SOLVER.BETAS", [0.9, 0.999], "betas of adam and adamw", each(below_one(), 2), item=float),
    Key("SOLVER.WEIGHT_DECAY", 1e-4, "weight decay", at_least(0)),
    Key(
        "SOLVER.ZERO_WD_1D_PARAM",
        False,
        "no weight decay on biases, norms and embeddings (the released code decays everything)",
    ),
    Key("SOLVER.CLIP_GRAD_L2NORM", 0.0, "largest gradient norm; 0 for no clipping", at_least(0)),
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

PROCESSES = [
    Key("DATA_LOADER.NUM_WORKERS", 8, "loader processes of each process; 0 for none", at_least(0)),
    Key("DATA_LOADER.PIN_MEMORY", True, "page-locked batches for faster copies to a GPU"),
    Key("NUM_GPUS", 1, "GPUs to use on each node; 0 for the CPU", at_least(0)),
    Key("NUM_PROCS", 1, "processes on each node when NUM_GPUS is 0", at_least(1)),
    Key("NUM_SHARDS", 1, "nodes of the job", at_least(1)),
    Key("SHARD_ID", 0, "which node this is, from 0", at_least(0)),
    Key(
        "INIT_METHOD",
        "",
        "tcp://HOST:PORT where the processes meet, HOST being the node with SHARD_ID 0; '' where "
        "that is known: on a single node, under torchrun, in a step of Slurm",
    ),
    Key(
        "HANG_TIMEOUT_MINUTES",
        30.0,
        "a run of several processes ends when none has got any further for so long",
        above(0),
    ),
    Key(
        "GLOBAL_BATCH_SIZE",
        64,
        "clips of one optimiser step over all nodes, reached by accumulating gradients; 0 to step "
        "after every forward pass",
        at_least(0),
    ),
]

RUN = [
    Key("RNG_SEED", 0, "seed of everything random", within(0, 2**32 - 1)),
    Key("OUTPUT_DIR", ".", "folder for checkpoints, logs and results", path=True),
    Key("LOG_PERIOD", 10, "optimiser steps between log lines", at_least(1)),
    Key("TENSORBOARD.ENABLE", False, "write TensorBoard scalars to OUTPUT_DIR/tensorboard"),
]

KEYS: dict[str, Key] = {
    key.name: key
    for section in (TRAIN, TEST, DATA, TIMESFORMER, SOLVER, MODEL, AUG, MIXUP, PROCESSES, RUN)
    for key in section
}
