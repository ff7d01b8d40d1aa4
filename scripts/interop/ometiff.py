# SPDX-License-Identifier: Apache-2.0
"""Checks of scripts/check-interop: other programs read the OME-TIFFs that Kachel writes.

Segments and converts images into OME-TIFFs and into OME-Zarrs, compares every plane and resolution as tifffile reads it
with what the OME-Zarr holds (OpenSlide, of colours, too), and checks the OME-XML against the schema of OME (by lxml) and the model of ome-types.

    ometiff.py KACHEL DATA RESULTS
"""

import functools
import json
import pathlib
import sys

import numpy
import ome_types
import openslide
import tifffile
import zarr

from checks import check, finish, run_kachel

TILE = 512


def read_scenes(folder, count, samples):
    """The pixels of an OME-Zarr: for every scene its resolutions with the axes t, c, z, y, x, sample.

    The channels of an OME-Zarr are the samples of colours.
    """
    root = zarr.open_group(folder, mode="r")
    scenes = []
    for group in [root] if count == 1 else [root[str(scene)] for scene in range(count)]:
        names = [axis["name"] for axis in group.attrs["multiscales"][0]["axes"]]
        levels = []
        for level in range(len(list(group.array_keys()))):
            pixels = numpy.asarray(group[str(level)])
            times, channels, depths, height, width = (dict(zip(names, pixels.shape)).get(name, 1) for name in "tczyx")
            pixels = pixels.reshape(times, channels // samples, samples, depths, height, width)
            levels.append(numpy.moveaxis(pixels, 2, -1))
        scenes.append(levels)
    return scenes


def check_pages(path, file, is_labels, is_color):
    """Every page and resolution has complete tiles, and what programs look for that know TIFF alone."""
    check(file.byteorder == "<", f"{path.name}: is big-endian")
    for page in [level for page in file.pages for level in [page, *(page.pages or [])]]:
        predictor = 1 if is_labels or page.dtype.kind == "f" else 2
        height, width = page.shape[:2]
        tile = tuple(min(TILE, -(-side // 16) * 16) for side in (height, width))
        check((page.tilelength, page.tilewidth) == tile, f"{path.name}: tiles of {page.tilewidth} x {page.tilelength}")
        check(page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE, f"{path.name}: compression {page.compression!r}")
        check(page.predictor == predictor, f"{path.name}: predictor {page.predictor}")
        check(page.photometric == (tifffile.PHOTOMETRIC.RGB if is_color else tifffile.PHOTOMETRIC.MINISBLACK),
              f"{path.name}: photometric {page.photometric!r}")
        check(all(page.dataoffsets) and all(page.databytecounts), f"{path.name}: lacks tiles")


def check_xml(path, file, scenes, step):
    """Returns the labels and, of every scene, the comments by their namespace."""
    document = ome_types.from_xml(file.ome_metadata, validate=True)
    check(len(document.images) == len(scenes), f"{path.name}: has {len(document.images)} images")
    annotations = document.structured_annotations
    comments = []
    for image, levels in zip(document.images, scenes):
        pixels = image.pixels
        times, channels, depths, height, width, samples = levels[0].shape
        shape = (pixels.size_t, pixels.size_c, pixels.size_z, pixels.size_y, pixels.size_x)
        check(shape == (times, channels * samples, depths, height, width), f"{path.name}: OME-XML has the shape {shape}")
        check([channel.samples_per_pixel for channel in pixels.channels] == [samples] * channels,
              f"{path.name}: samples of its channels")
        found = [pixels.physical_size_x or 0, pixels.physical_size_y or 0]
        check(numpy.allclose(found, step, atol=1e-3), f"{path.name}: physical size {found}")
        references = {reference.id for reference in image.annotation_refs}
        comments.append({comment.namespace: comment.value for comment in annotations.comment_annotations
                         if comment.id in references} if annotations else {})
    maps = annotations.map_annotations if annotations else []
    labels = {}
    for annotation in maps:
        for entry in annotation.value.ms:
            labels.setdefault(int(entry.k), {})[annotation.namespace] = entry.value
    return document, labels, comments


def check_slide(path, pixels):
    """OpenSlide sees a tiled TIFF of one resolution: it does not look for smaller ones in SubIFDs."""
    with openslide.OpenSlide(str(path)) as slide:
        found = numpy.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., :3]
        check(numpy.array_equal(found, pixels[0, 0, 0]), f"{path.name}: OpenSlide reads other pixels")


def main():
    program, data, results = (pathlib.Path(argument) for argument in sys.argv[1:4])
    results = results / "ometiff"
    results.mkdir()
    model, mosaic = "Examples/nuclei.czann", "Examples/nuclei-mosaic.czi"

    run = functools.partial(run_kachel, program)

    def compare(path, folder, count, step, samples=1, is_labels=False):
        scenes = read_scenes(folder, count, samples)
        check(scenes[0][0].any(), f"{path.name}: is empty")
        with tifffile.TiffFile(path) as file:
            check(file.is_ome and file.is_bigtiff == (path.suffix == ".btf"), f"{path.name}: its kind of TIFF")
            check_pages(path, file, is_labels, samples >= 3)
            if check(len(file.series) == count, f"{path.name}: tifffile finds {len(file.series)} images"):
                for scene, (series, levels) in enumerate(zip(file.series, scenes)):
                    check(len(series.levels) == len(levels), f"{path.name}: {len(series.levels)} levels")
                    for level, (found, pixels) in enumerate(zip(series.levels, levels)):
                        found = found.asarray()
                        check(found.dtype == pixels.dtype and numpy.array_equal(found.reshape(pixels.shape), pixels),
                              f"{path.name}: tifffile reads other pixels of scene {scene}, level {level}")
            described = check_xml(path, file, scenes, step)
        shapes = ", ".join(f"{levels[0].shape} with {len(levels)} levels" for levels in scenes)
        print(f"  {scenes[0][0].dtype}, {shapes}, {path.stat().st_size} bytes")
        return described

    def segment(name, count, step, *arguments, names=None, extension=".ome.tiff"):
        print("$ kachel segment", *(str(part).removeprefix(f"{data}/") for part in arguments), flush=True)
        paths = results / f"{name}{extension}", results / f"{name}.ome.zarr"
        extra = results / f"{name}.confidence.ome.tif", results / f"{name}.confidence.ome.zarr"
        for path, confidence in zip(paths, extra):
            run("segment", *arguments, "-o", path, *(["--confidence", confidence] if names else []))
        document, labels, comments = compare(*paths, count, step, is_labels=bool(names))
        check({value: entry.get("kachel/labels") for value, entry in labels.items()} == (names or {}),
              f"{name}: labels {labels}")
        provenance = [json.loads(comment["kachel"]) for comment in comments]
        check(len({item["image"]["scene"] for item in provenance}) == count
              and all(item["model"]["sha256"] for item in provenance), f"{name}: provenance {provenance}")
        if names:
            compare(*extra, count, step)
        return document, labels

    def convert(name, image, count, step, *arguments, samples=1):
        print("$ kachel convert", str(image).removeprefix(f"{data}/"), *arguments, flush=True)
        path, folder = results / f"{name}.tif", results / f"{name}.ome.zarr"
        run("convert", image, path, *arguments)
        run("convert", image, folder, *arguments)
        return compare(path, folder, count, step, samples, "--labels" in arguments)[0]

    nuclei = {1: "Background", 2: "Nucleus"}
    _, labels = segment("labels", 1, 0.5, mosaic, "--model", model, "--tile-size", 384, names=nuclei)
    colors = {value: entry["kachel/label-colors"] for value, entry in labels.items()}
    check(colors == {1: "#FF0000", 2: "#00FF00"}, f"labels: colours {colors}")
    region = ["--region", "1100,300,700,500"]
    document, _ = segment("region", 1, 0.5, mosaic, "--model", model, *region, names=nuclei, extension=".ome.btf")
    plane = document.images[0].pixels.planes[0]
    place = plane.position_x, plane.position_x_unit.value, plane.position_y, plane.position_y_unit.value
    check(place == (100, "pixel", -200, "pixel"), f"region: lies at {place}")
    segment("values", 1, 0.5, mosaic, "--model", data / "models/tf/v510/regression.czann", "--region", "0,0,1300,600")

    # Scenes, time points and z planes.
    source = data / "czi/real/S3_1Pos_2Mosaic_T2Z3_CH2_sm.czi"
    segment("scenes", 3, 1.6, source, "--model", model, "--channel", 0, "--z", "1-2", names=nuclei)

    # Pixels of images.
    document = convert("scenes16", source, 3, 1.6)
    names = [image.name for image in document.images]
    check(names == ["TR1", "P1", "TR2"], f"scenes16: has the images {names}")
    convert("gray16", data / "napari_czann_segment/PGC_20X.czi", 1, 0.227)
    convert("instances", "Examples/nuclei-mosaic-truth.png", 1, 0, "--labels")
    convert("colors", data / "czi/real/RGB-8bit.czi", 1, 1.083, samples=3)
    check_slide(results / "colors.tif", read_scenes(results / "colors.ome.zarr", 1, 3)[0][0])
    convert("colors16", data / "czi/synthetic/pixeltypes_x_compression.czi", 1, 0, "--channel", "4", samples=3)

    finish("OME-TIFF")


main()
