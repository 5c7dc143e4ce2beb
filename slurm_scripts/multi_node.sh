#!/usr/bin/env bash
# Train on several nodes of a Slurm cluster: torchrun on each, which starts a process for each GPU.
#
#   sbatch slurm_scripts/multi_node.sh configs/X.yaml [KEY VALUE ...]
#   sbatch --nodes=4 --time=3-00 --job-name=mine slurm_scripts/multi_node.sh configs/X.yaml
#
# Submit it from the folder of this repository, with the environment active that `python` should come
# from. Out of time or preempted, the run saves its state, goes back to the queue and continues; so it
# does after the loss of a node. `scancel` saves and ends it.

# What Slurm is asked for; options of sbatch win over these lines, and --gpus-per-node=0 is the CPU.
#SBATCH --job-name=timesformer
#SBATCH --nodes=2
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.out
# One torchrun on each node; a warning two minutes before the end; the way back to the queue.
#SBATCH --ntasks-per-node=1
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append

set -euo pipefail

# What the environment may say otherwise.
OUTPUT_DIR=${OUTPUT_DIR:-runs/$SLURM_JOB_NAME-$SLURM_JOB_ID} # the same after each requeue
GPUS=${GPUS:-${SLURM_GPUS_ON_NODE:-0}}                       # of each node
PROCS=${PROCS:-$((GPUS > 0 ? GPUS : 1))}                     # processes on each node
MAX_RESTARTS=${MAX_RESTARTS:-3}                              # of all processes, when one dies
PORT=${PORT:-$((10000 + SLURM_JOB_ID % 20000))}              # on the first node, where they meet
PYTHON=${PYTHON:-python}

CFG=${1:?usage: sbatch slurm_scripts/multi_node.sh CONFIG.yaml [KEY VALUE ...]}
shift
read -r FIRST_NODE < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
# This is that node. Where somebody listens already, the next port.
while (exec 3<>"/dev/tcp/$FIRST_NODE/$PORT") 2>/dev/null; do
    PORT=$((PORT + 1))
done

# A store of their own for restarted processes, in which nothing is of their predecessors.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1

torchrun=(
    "$PYTHON" -m torch.distributed.run
    --nnodes="$SLURM_JOB_NUM_NODES" --nproc-per-node="$PROCS" --max-restarts="$MAX_RESTARTS"
    --rdzv-backend=c10d --rdzv-endpoint="$FIRST_NODE:$PORT" --rdzv-id="$SLURM_JOB_ID"
)
train=(tools/run_net.py --cfg "$CFG" NUM_GPUS "$GPUS" OUTPUT_DIR "$OUTPUT_DIR" "$@")

# Slurm's warning goes to every process of the step. torchrun would die of it, and so ignores it, which
# its processes inherit until they are ready to obey. One torchrun that fails does not end the others:
# if that was for a lost node, Slurm will notice and requeue the job. What is still there after a
# quarter of an hour, it ends, by force if need be.
# shellcheck disable=SC2016 # "$@" is for the inner shell
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" --kill-on-bad-exit=0 --wait=900 \
    bash -c 'trap "" USR1; exec "$@"' torchrun "${torchrun[@]}" "${train[@]}"
