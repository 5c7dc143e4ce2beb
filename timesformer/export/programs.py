"""Programs: the network itself for evaluation, as torch.export and as ONNX write it.

Both take ``clip``, float32 (B, C, T, H, W), normalised RGB, any B, the rest as the geometry says,
and give ``logits``, float32 (B, num_classes), or the features (B, D) of a network without a head.
A writer takes what those of `formats` take. Before its file is put in place it is loaded again and
compared with the network on random clips.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import logging
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from timesformer.errors import UserError
from timesformer.export.network import loaded, writing
from timesformer.models.transformer import VisionTransformer
from timesformer.progress import stages
from timesformer.weights.load import Weights

log = logging.getLogger("timesformer")

ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TRACED_BATCH = 2  # of 0 and 1 torch.export would conclude things that hold for no other batch
LARGEST_BATCH = 2**31 - 1  # torch 2.6 cannot do without a bound
COMPARED_BATCHES = (1, 3)
LARGEST_DIFFERENCE = 1e-4  # of the largest logit: float32, with the sums in another order
# Twelve divided blocks have 2,500, twelve sparse ones 19,000, which would take the optimiser more
# than ten minutes; runtimes have optimisers of their own.
MOST_NODES_TO_OPTIMISE = 10_000
LARGEST_ONNX_BYTES = 2_000_000_000  # the format itself ends at 2 GiB


def write_torch_export(weights: Weights, path: Path) -> str:
    """A ``.pt2`` file for `torch.export.load`, with the geometry as its extra file geometry.json.

    Raises:
        UserError: loaded again, it computes something else.
    """
    network = loaded(weights)
    content = io.BytesIO()
    geometry = json.dumps(dict(weights.stated))
    with stages(2) as begin:
        begin("tracing the network")
        torch.export.save(traced(network), content, extra_files={"geometry.json": geometry})
        with writing(path):
            # Not by torch itself: on a full disk its writer takes the whole process down.
            path.write_bytes(content.getbuffer())
        begin("comparing logits")
        return compared(network, torch.export.load(path).module(), path)


def write_onnx(weights: Weights, path: Path) -> str:
    """An ONNX model with its weights inside, or beside it in ``<name>.data`` where they are > 2 GB.

    Raises:
        UserError: a package is missing; or ONNX Runtime computes something else from it.
    """
    check_onnx_packages()
    network = loaded(weights)
    beside = parameter_bytes(network) > LARGEST_ONNX_BYTES
    with stages(3) as begin:
        begin("tracing the network")
        graph = traced(network)
        begin("translating to ONNX")
        program = onnx_program(graph)
        program.model.metadata_props["geometry"] = json.dumps(dict(weights.stated))
        with writing(path):
            program.save(path, external_data=beside)
        begin("comparing logits")
        proof = compared(network, onnx_session(path), path)
    if beside:
        log.info("The weights are too many for one ONNX file: keep '%s.data' with it", path.name)
    return proof


def onnx_program(graph: ExportedProgram) -> torch.onnx.ONNXProgram:
    """The graph in ONNX's operators, optimised."""
    optimizer = importlib.import_module("onnxscript.optimizer")  # of the extra, as all of ONNX
    program = torch.onnx.export(
        graph,
        dynamo=True,
        optimize=False,
        verbose=False,
        input_names=["clip"],
        output_names=["logits"],
    )
    assert program is not None
    # Half of the nodes are constants and what follows from them. Without them the optimiser, which
    # tries each of its rules on each node, is done in a quarter of the time.
    optimizer.fold_constants(program.model)
    optimizer.remove_unused_nodes(program.model)
    if len(program.model.graph) < MOST_NODES_TO_OPTIMISE:
        program.optimize()
    return program


def check_onnx_packages() -> None:
    """UserError if a package is missing that ONNX export needs."""
    if missing := [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]:
        raise UserError(
            f"--to onnx needs the packages {', '.join(ONNX_PACKAGES)}, and {', '.join(missing)} "
            "is not there: pip install 'timesformer[export]'."
        )


def traced(network: VisionTransformer) -> ExportedProgram:
    """The network as a graph for any batch of clips of its size."""
    clips = random_clips(network, TRACED_BATCH)
    batch = Dim("batch", max=LARGEST_BATCH)
    return torch.export.export(network, (clips,), dynamic_shapes={"clip": {0: batch}})


def random_clips(network: VisionTransformer, batch: int) -> Tensor:
    """Float32 (B, C, T, H, W) of the network's size, normally distributed as normalised ones."""
    size, patch = network.grid, network.geometry["patch_size"]
    shape = (network.geometry["in_chans"], size.frames, size.height * patch, size.width * patch)
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch))


def parameter_bytes(network: VisionTransformer) -> int:
    return sum(tensor.nbytes for tensor in network.parameters())


def onnx_session(path: Path) -> Callable[[Tensor], Tensor]:
    """What ONNX Runtime computes from the file, on the CPU."""
    onnxruntime = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda clips: torch.from_numpy(session.run(["logits"], {"clip": clips.numpy()})[0])


def compared(network: VisionTransformer, program: Callable[[Tensor], Tensor], path: Path) -> str:
    """How far `program` is from `network`, for people; UserError if it is too far."""
    worst = max(difference(network, program, batch) for batch in COMPARED_BATCHES)
    if not worst <= LARGEST_DIFFERENCE:  # NaN too
        raise UserError(
            f"'{path.name}' was removed: its logits differ from the network's by {worst:.1e} of "
            f"the largest, and {LARGEST_DIFFERENCE:.0e} is allowed; look for weights that are not "
            "finite, and try other versions of torch and onnxruntime."
        )
    return f"logits within {worst:.1e} of the largest, at batches of {COMPARED_BATCHES}"


@torch.no_grad()
def difference(
    network: VisionTransformer, program: Callable[[Tensor], Tensor], batch: int
) -> float:
    """The largest difference between their logits, over the largest logit."""
    clips = random_clips(network, batch)
    expected = network(clips)
    farthest = (program(clips) - expected).abs().max()
    # All logits zero is possible too: then any difference is too much.
    return float(farthest / expected.abs().max().clamp(min=1e-12))
