#!/usr/bin/env python3
"""Write the Fashion-MNIST subset of dataset/fashion-mnist.

    python3 subset.py SOURCE TARGET

SOURCE is the folder of the four full idx.gz files (Debian installs them under
share/datasets/fashion-mnist). The subset holds the first 600 training and the
first 100 test images of every class, in their original order. The same input
gives the same images; the compressed bytes depend on the zlib at hand.
"""

import gzip
import pathlib
import struct
import sys

CLASSES = 10
IMAGE_MAGIC, LABEL_MAGIC = 0x803, 0x801  # unsigned bytes, three axes and one
SPLITS = (("train", 600), ("t10k", 100))  # file name, images of each class


def read_idx(path, magic):
    """Return the axes and the values of an idx file."""
    raw = gzip.decompress(path.read_bytes())
    if struct.unpack(">I", raw[:4])[0] != magic:
        raise SystemExit(f"{path}: is not the expected idx file")
    rank = magic & 0xFF
    axes = struct.unpack(f">{rank}I", raw[4 : 4 + 4 * rank])
    return axes, raw[4 + 4 * rank :]


def write_idx(path, magic, axes, values):
    raw = struct.pack(f">I{len(axes)}I", magic, *axes) + values
    path.write_bytes(gzip.compress(raw, 9, mtime=0))


def first_of_each(labels, count):
    """Return the indices of the first count examples of every class."""
    left = [count] * CLASSES
    kept = []
    for i, label in enumerate(labels):
        if left[label] > 0:
            left[label] -= 1
            kept.append(i)
    return kept


def main(source, target):
    for split, count in SPLITS:
        images = f"{split}-images-idx3-ubyte.gz"
        labels = f"{split}-labels-idx1-ubyte.gz"
        (_, height, width), pixels = read_idx(source / images, IMAGE_MAGIC)
        _, classes = read_idx(source / labels, LABEL_MAGIC)
        size = height * width
        kept = first_of_each(classes, count)
        subset = b"".join(pixels[i * size : (i + 1) * size] for i in kept)
        write_idx(target / images, IMAGE_MAGIC, (len(kept), height, width), subset)
        write_idx(target / labels, LABEL_MAGIC, (len(kept),), bytes(classes[i] for i in kept))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
