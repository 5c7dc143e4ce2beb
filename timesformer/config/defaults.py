"""Every config key, once: its default, its meaning with the unit, and the values it may take.

The names of the released TimeSformer configs (and so of PySlowFast) are kept with their meaning.
Where the released code ignored a key or meant something else, the entry says so.
Keys of the released code that can mean nothing here are in `legacy.py`.
"""

from __future__ import annotations

from timesformer.config.data_keys import AUG, DATA, MIXUP
from timesformer.config.model_keys import MODEL, TIMESFORMER
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
from timesformer.config.writer_keys import WRITERS

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
        "TRAIN.COMPILE",
        "none",
        "faster code for the network, made by torch.compile in the first step (seconds to minutes) "
        "and also used in the test: block, for each block by itself; model, for all of it; passes "
        "of another size than usual run without",
        one_of("none", "block", "model"),
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
        "views in one forward pass on one node, split over its processes, whatever videos they are "
        "of; validation takes the larger of this and TRAIN.BATCH_SIZE",
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
    Key("TEST.REPORT", True, "write OUTPUT_DIR/report.html: what the test found out, to look at"),
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
        "SOLVER.FROZEN_LAYERS",
        0,
        "lowest layers that do not learn, which saves their backward pass: 1 for the embeddings, "
        "one more for each block; with all blocks, the last norm and the head are left: a linear "
        "probe",
        at_least(0),
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
    *WRITERS,
]

KEYS: dict[str, Key] = {
    key.name: key
    for section in (TRAIN, TEST, DATA, TIMESFORMER, SOLVER, MODEL, AUG, MIXUP, PROCESSES, RUN)
    for key in section
}
