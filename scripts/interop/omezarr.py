# SPDX-License-Identifier: Apache-2.0
"""Checks of scripts/check-interop: other programs read the images that Kachel writes as OME-Zarr.

Converts an image into OME-Zarr 0.4, 0.5 and 0.5 with shards, compares every resolution as zarr-python reads it, and
validates them with ome-zarr-models.

    omezarr.py KACHEL DATA RESULTS
"""

import pathlib
import sys

import numpy
import zarr
from ome_zarr_models import open_ome_zarr

from checks import check, finish, run_kachel


def main():
    program, data, results = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]) / "omezarr"
    results.mkdir()

    def kachel(*arguments):
        print("$ kachel", *(str(argument).removeprefix(f"{results}/") for argument in arguments), flush=True)
        run_kachel(program, *arguments)

    image = "Examples/nuclei-mosaic.czi"
    ways = {"0.4": [], "0.5": ["--zarr", "0.5"], "shards": ["--zarr", "0.5", "--chunk", "256", "--shard", "1024"]}
    for name, options in ways.items():
        kachel("convert", image, results / f"{name}.ome.zarr", *options)
    reference = zarr.open_group(results / "0.4.ome.zarr", mode="r")
    for name in ["0.5", "shards"]:
        group = zarr.open_group(results / f"{name}.ome.zarr", mode="r")
        check(group.metadata.zarr_format == 3 and group.attrs["ome"]["version"] == "0.5", f"{name}: is no OME-Zarr 0.5")
        multiscale = group.attrs["ome"]["multiscales"][0]
        axes = [axis["name"] for axis in multiscale["axes"]]
        check(multiscale["datasets"] == reference.attrs["multiscales"][0]["datasets"], f"{name}: other resolutions")
        for dataset in multiscale["datasets"]:
            array = group[dataset["path"]]
            check(list(array.metadata.dimension_names) == axes, f"{name}: dimensions {array.metadata.dimension_names}")
            check(numpy.array_equal(array[...], reference[dataset["path"]][...]), f"{name}: {dataset['path']} differs")
            if name == "shards":
                # No shard has more chunks than its resolution.
                sides = [min(1024 // chunk * chunk, -(-side // chunk) * chunk)
                         for side, chunk in zip(array.shape[-2:], array.chunks[-2:])]
                check(list(array.shards[-2:]) == sides, f"shards {array.shards}")
    for name in ways:
        open_ome_zarr(zarr.open_group(results / f"{name}.ome.zarr", mode="r"))

    finish("images as OME-Zarr")


main()
