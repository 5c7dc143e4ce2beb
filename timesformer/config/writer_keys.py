"""Keys of what a run writes beside its log and its checkpoints; see `defaults`."""

from __future__ import annotations

from timesformer.config.schema import Key, at_least, one_of

WRITERS = [
    Key("TENSORBOARD.ENABLE", False, "write TensorBoard's files to OUTPUT_DIR/tensorboard"),
    Key(
        "TENSORBOARD.HISTOGRAMS",
        0,
        "epochs between histograms of weights and of gradients as the optimiser takes them; 0 for "
        "none. This and the next two are for WANDB and MLFLOW, too, as far as those can show it",
        at_least(0),
    ),
    Key(
        "TENSORBOARD.NUM_CLIPS",
        0,
        "clips of a validation, and of the test, shown with what they were taken for",
        at_least(0),
    ),
    Key(
        "TENSORBOARD.CONFUSION_MATRIX.ENABLE",
        False,
        "show which classes a validation, and the test, took for which",
    ),
    Key("WANDB.ENABLE", False, "write to Weights & Biases (pip install wandb)"),
    Key("WANDB.PROJECT", "timesformer", "project of the run"),
    Key("WANDB.NAME", "", "name of the run; '' for that of the folder OUTPUT_DIR"),
    Key(
        "WANDB.MODE",
        "online",
        "online, or offline: files in OUTPUT_DIR/wandb, for the command wandb sync",
        one_of("online", "offline"),
    ),
    Key("MLFLOW.ENABLE", False, "write to MLflow (pip install mlflow-skinny)"),
    Key(
        "MLFLOW.TRACKING_URI",
        "",
        "address of the server, or file:FOLDER; '' for the variable MLFLOW_TRACKING_URI",
    ),
    Key("MLFLOW.EXPERIMENT", "timesformer", "experiment of the run, made if there is none"),
]
