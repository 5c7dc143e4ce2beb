#!/usr/bin/env bash
# Train on one node of a Slurm cluster: torchrun starts a process for each GPU.
#
#   sbatch slurm_scripts/single_node.sh configs/X.yaml [KEY VALUE ...]
#   sbatch --gpus-per-node=4 --time=12:00:00 slurm_scripts/single_node.sh configs/X.yaml
#
# Submit it from the folder of this repository, with the environment active that `python` should come
# from. Out of time or preempted, the run saves its state, goes back to the queue and continues; so it
# does after the loss of a node. `scancel` saves and ends it.

# What Slurm is asked for; options of sbatch win over these lines, and --gpus-per-node=0 is the CPU.
#SBATCH --job-name=timesformer
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.out
# One torchrun; a warning two minutes before the end; the way back to the queue.
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append

set -euo pipefail

# What the environment may say otherwise.
OUTPUT_DIR=${OUTPUT_DIR:-runs/$SLURM_JOB_NAME-$SLURM_JOB_ID} # the same after each requeue
GPUS=${GPUS:-${SLURM_GPUS_ON_NODE:-0}}
PROCS=${PROCS:-$((GPUS > 0 ? GPUS : 1))}
MAX_RESTARTS=${MAX_RESTARTS:-3} # of all processes, when one dies
PYTHON=${PYTHON:-python}

CFG=${1:?usage: sbatch slurm_scripts/single_node.sh CONFIG.yaml [KEY VALUE ...]}
shift

# A store of their own for restarted processes, in which nothing is of their predecessors.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1

torchrun=(
    "$PYTHON" -m torch.distributed.run
    --standalone --nproc-per-node="$PROCS" --max-restarts="$MAX_RESTARTS"
)
train=(tools/run_net.py --cfg "$CFG" NUM_GPUS "$GPUS" OUTPUT_DIR "$OUTPUT_DIR" "$@")

# Slurm's warning goes to every process of the step. torchrun would die of it, and so ignores it, which
# its processes inherit until they are ready to obey.
# shellcheck disable=SC2016 # "$@" is for the inner shell
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" \
    bash -c 'trap "" USR1; exec "$@"' torchrun "${torchrun[@]}" "${train[@]}"
