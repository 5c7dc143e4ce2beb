#!/usr/bin/env python3
"""Take a trained network elsewhere: the released code, Transformers, MMAction2, ONNX, …

python tools/convert_checkpoint.py outputs/run/checkpoints/checkpoint_best.pyth model.onnx --to onnx
"""

from __future__ import annotations

import argparse

from timesformer.door import door


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Write the network of a weights file for another program, and prove it the "
        "same: tensors byte by byte, programs by their logits.",
    )
    parser.add_argument("source", metavar="IN", help="path, https://…, hf://… or timm://…")
    parser.add_argument("out", metavar="OUT", help="file, or folder for transformers")
    parser.add_argument(
        "--to",
        required=True,
        metavar="FORMAT",
        help="released, transformers, mmaction2, safetensors, torch_export or onnx",
    )
    parser.add_argument("--num-heads", type=int, metavar="N", help="if IN does not state it")
    parser.add_argument("--num-frames", type=int, metavar="T", help="resize to clips of T frames")
    parser.add_argument("--img-size", type=int, metavar="S", help="resize to frames of S x S")
    parser.add_argument(
        "--class-names", metavar="FILE", help="one name a line, by label (transformers)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")
    return parser.parse_args()


def main() -> None:
    arguments = vars(parse_args())
    with door(shows_log=True):
        # Imported late: --help and a mistake in the options are answered before torch is loaded.
        from timesformer.export.convert import convert

        convert(**arguments)


if __name__ == "__main__":
    main()
