# SPDX-License-Identifier: Apache-2.0
"""Checks of scripts/check-interop: other programs read the labels that Kachel writes as OME-Zarr.

Of the schemas, strict_image and strict_label refer to image and label by their $id, a web address. All schemas of the
folder are put into a registry under their $id, so that the references are resolved without a network.
"""

import json
import logging
import pathlib
import subprocess
import sys

import jsonschema
import numpy
import zarr
from ome_zarr.format import FormatV04, FormatV05
from ome_zarr.io import parse_url
from ome_zarr.reader import Label, Multiscales, Reader
from ome_zarr.writer import write_image
from ome_zarr_models.v05.bioformats2raw import BioFormats2Raw
from PIL import Image
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from checks import check, finish

CHUNK = 1024
SMALLEST = 512


class Schemas:
    """The JSON schemas of the versions of NGFF."""

    def __init__(self, folder):
        self.versions = {}
        for version in ("0.4", "0.5"):
            paths = (folder / version / "schemas").glob("*.schema")
            schemas = {path.stem: json.loads(path.read_text()) for path in paths}
            self.versions[version] = schemas, Registry().with_resources(
                (schema["$id"], Resource.from_contents(schema, DRAFT202012)) for schema in schemas.values())

    def check(self, name, folder, what):
        version, attributes = read_attributes(folder)
        schemas, registry = self.versions[version]
        validator = jsonschema.Draft202012Validator(schemas[name], registry=registry)
        for error in validator.iter_errors(attributes):
            check(False, f"{what}: schema {name} of {version}: {error.json_path}: {error.message}")


def read_attributes(folder):
    """The NGFF version of a group, and its attributes."""
    if (folder / "zarr.json").exists():
        return "0.5", json.loads((folder / "zarr.json").read_text())["attributes"]
    return "0.4", json.loads((folder / ".zattrs").read_text())


def read_group(folder):
    """What the specification says of a group's attributes."""
    version, attributes = read_attributes(folder)
    return attributes["ome"] if version == "0.5" else attributes


def halves(shape):
    """The shapes of the levels of a pyramid."""
    shapes = [tuple(shape)]
    while max(shapes[-1][-2:]) > SMALLEST:
        shapes.append(shapes[-1][:-2] + tuple((side + 1) // 2 for side in shapes[-1][-2:]))
    return shapes


def blocks(array):
    """The four pixels of every 2 x 2 block along a new first axis; at odd ends the last ones count twice."""
    padding = [(0, 0)] * (array.ndim - 2) + [(0, side % 2) for side in array.shape[-2:]]
    array = numpy.pad(array, padding, mode="edge")
    return numpy.stack([array[..., y::2, x::2] for y in (0, 1) for x in (0, 1)])


class Expected:
    """What an image must be.

    `placed` is the image in which it lies, whose resolutions and places it must have.
    """

    def __init__(self, shape, dtype, step, labels=None, origin=(0, 0), version="0.4", chunk=CHUNK, shard=None,
                 placed=None):
        self.shape, self.dtype, self.step, self.labels, self.origin = tuple(shape), dtype, step, labels, origin
        self.version, self.chunk, self.shard, self.placed = version, chunk, shard, placed

    @property
    def shapes(self):
        if self.placed is None:
            return halves(self.shape)
        group = zarr.open_group(self.placed, mode="r")
        sizes = [group[dataset["path"]].shape[-2:] for dataset in read_group(self.placed)["multiscales"][0]["datasets"]]
        return [self.shape[:-2] + size for size in sizes]

    def chunks(self, shape):
        return (1,) * (len(shape) - 2) + tuple(min(self.chunk, side) for side in shape[-2:])

    def shards(self, shape):
        if not self.shard:
            return None
        counts = [min(self.shard // self.chunk, -(-side // self.chunk)) for side in shape[-2:]]
        return (1,) * (len(shape) - 2) + tuple(
            count * chunk for count, chunk in zip(counts, self.chunks(shape)[-2:]))


def check_image(folder, expected, schemas, results):
    """Checks one image or label image and returns its pixels at full resolution."""
    what = folder.relative_to(results)
    version, _ = read_attributes(folder)
    check(version == expected.version, f"{what}: is of the version {version}")
    schemas.check("strict_image", folder, what)
    if expected.labels:
        schemas.check("strict_label", folder, what)

    multiscale = read_group(folder)["multiscales"][0]
    group = zarr.open_group(folder, mode="r")
    shapes = expected.shapes
    names = [axis["name"] for axis in multiscale["axes"]]
    check([d["path"] for d in multiscale["datasets"]] == [str(i) for i in range(len(shapes))],
          f"{what}: has the levels {[d['path'] for d in multiscale['datasets']]}, not {len(shapes)}")
    if expected.placed is None:
        check("".join(names) == "tczyx"[-len(expected.shape):], f"{what}: axes")
    else:
        image = read_group(expected.placed)["multiscales"][0]
        check(multiscale["axes"] == image["axes"], f"{what}: has other axes than its image")
        places = [[d["coordinateTransformations"] for d in m["datasets"]] for m in (multiscale, image)]
        check(places[0] == places[1], f"{what}: lies elsewhere than its image: {places}")
    levels = []
    for level, (dataset, shape) in enumerate(zip(multiscale["datasets"], shapes)):
        array = group[dataset["path"]]
        check(array.shape == shape, f"{what}/{level}: shape {array.shape}, not {shape}")
        check(array.dtype == numpy.dtype(expected.dtype), f"{what}/{level}: type {array.dtype}, not {expected.dtype}")
        check(array.chunks == expected.chunks(shape), f"{what}/{level}: chunks {array.chunks}")
        check(array.shards == expected.shards(shape), f"{what}/{level}: shards {array.shards}")
        if version == "0.5":
            check(list(array.metadata.dimension_names) == names, f"{what}/{level}: {array.metadata.dimension_names}")
        levels.append(array[...])
        if expected.placed is not None:
            continue
        scale = dataset["coordinateTransformations"][0]["scale"]
        check(numpy.allclose(scale[-2:], expected.step * 2**level), f"{what}/{level}: scale {scale}")
        moves = [t["translation"][-2:] for t in dataset["coordinateTransformations"] if t["type"] == "translation"]
        place = [(2**level - 1) / 2 * expected.step + start for start in expected.origin]
        check(numpy.allclose(moves[0] if moves else [0, 0], place), f"{what}/{level}: lies at {moves}, not at {place}")
    check(levels[0].any(), f"{what}: is empty")
    for number, (below, above) in enumerate(zip(levels, levels[1:]), 1):
        pixels = blocks(below)[..., :above.shape[-2], :above.shape[-1]]
        if expected.labels:
            count = (pixels[:, None] == pixels[None]).sum(axis=1)
            chosen = (pixels == above).sum(axis=0)
            check((chosen == count.max(axis=0)).all(), f"{what}/{number}: a pixel is not the most frequent of four")
        else:
            tolerance = 1 if above.dtype.kind == "u" else 1e-5
            difference = numpy.abs(above.astype(float) - pixels.astype(float).mean(axis=0)).max()
            check(difference <= tolerance, f"{what}/{number}: differs from the mean by {difference}")

    nodes = list(Reader(parse_url(str(folder)))())
    if expected.placed:
        # From labels it goes on to their image, and from there to all its labels.
        nodes = [node for node in nodes if node.zarr.basename() == folder.name]
    if check(len(nodes) == 1, f"{what}: ome-zarr finds {len(nodes)} images"):
        node = nodes[0]
        check(any(isinstance(spec, Multiscales) for spec in node.specs), f"{what}: ome-zarr sees no multiscales")
        check(len(node.data) == len(shapes), f"{what}: ome-zarr sees {len(node.data)} levels")
        check(numpy.array_equal(node.data[0].compute(), levels[0]), f"{what}: ome-zarr reads other pixels than zarr")
        if expected.labels:
            check(any(isinstance(spec, Label) for spec in node.specs), f"{what}: ome-zarr sees no labels")
            colors = {label: [round(255 * part) for part in color] for label, color in node.metadata["color"].items()}
            names = {label: properties["name"] for label, properties in node.metadata["properties"].items()}
            check(colors == {label: list(rgba) for label, (_, rgba) in expected.labels.items()},
                  f"{what}: colours {colors}")
            check(names == {label: name for label, (name, _) in expected.labels.items()}, f"{what}: names {names}")
    check_models(folder)
    present, counts = numpy.unique(levels[0], return_counts=True)
    if expected.labels:
        check(set(present) <= {0, *expected.labels}, f"{what}: has the labels {present}")
        share = ", ".join(f"{label}: {count}" for label, count in zip(present, counts))
    else:
        share = f"{levels[0].min():.4g} to {levels[0].max():.4g}"
    print(f"  {what}: {len(levels)} levels, {levels[0].shape} {levels[0].dtype}, {share}")
    return levels[0]


def check_models(folder):
    program = pathlib.Path(sys.executable).with_name("ome-zarr-models")
    result = subprocess.run([program, "validate", str(folder)], capture_output=True, text=True)
    check(result.returncode == 0, f"{folder.name}: ome-zarr-models: {(result.stdout + result.stderr).strip()[-500:]}")


def check_collection(folder, schemas):
    """Checks a folder of several images of version 0.5, which the program of ome-zarr-models does not know."""
    schemas.check("bf2raw", folder, folder.name)
    schemas.check("ome", folder / "OME", f"{folder.name}/OME")
    series = read_group(folder / "OME")["series"]
    check(series == ["0", "1", "2"], f"{folder.name}: lists the images {series}")
    try:
        BioFormats2Raw.from_zarr(zarr.open_group(folder, mode="r"))
    except ValueError as error:
        check(False, f"{folder.name}: ome-zarr-models: {error}")


def main():
    program, data, results = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    schemas = Schemas(data / "omezarr/ngff-schemas")
    logging.getLogger("ome_zarr").setLevel(logging.ERROR)
    nuclei = {1: ("Background", (255, 0, 0, 255)), 2: ("Nucleus", (0, 255, 0, 255))}
    model = "Examples/nuclei.czann"

    def kachel(*arguments):
        print("$ kachel", *(str(argument).removeprefix(f"{results}/") for argument in arguments), flush=True)
        result = subprocess.run(
            [program, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if result.returncode:
            sys.exit(f"kachel failed with {result.returncode}: {result.stderr}")
        return json.loads(result.stdout) if "--json" in arguments else None

    # Labels and confidence. The tiles are small, so that they do not fit the chunks.
    labels, confidence = results / "labels.ome.zarr", results / "confidence.ome.zarr"
    image, truth = "Examples/nuclei-mosaic.czi", "Examples/nuclei-mosaic-truth.png"
    kachel("segment", image, "--model", model, "-o", labels, "--confidence", confidence, "--tile-size", 384, "--json")
    expected = Expected((1, 1, 1, 1040, 3480), "u1", 0.5, nuclei)
    pixels = check_image(labels, expected, schemas, results)[0, 0, 0]
    sure = check_image(confidence, Expected(expected.shape, "u1", 0.5), schemas, results)[0, 0, 0]
    # Of two classes that add up to 1 the more probable one has at least 127.5 of 255.
    check((sure[pixels > 0] >= 127).all(), "a pixel's class is less probable than the other one")
    nucleus, outlined = pixels == 2, numpy.asarray(Image.open(truth)) > 0
    intersection, union = int((nucleus & outlined).sum()), int((nucleus | outlined).sum())
    compared = kachel("compare", labels, truth, "--label", 2, "--json")
    check((compared["intersection"], compared["union"]) == (intersection, union),
          f"kachel compare says {compared}, but NumPy {intersection} of {union}")
    print(f"  intersection over union {intersection / union:.4f}")

    # A region has its place in the image.
    region = results / "region.ome.zarr"
    kachel("segment", image, "--model", model, "-o", region, "--region", "1000,300,700,500", "--json")
    part = check_image(region, Expected((1, 1, 1, 500, 700), "u1", 0.5, nuclei, origin=(150, 500)), schemas, results)
    check(numpy.array_equal(part[0, 0, 0], pixels[300:800, 1000:1700]), "a region differs from the whole")

    # Scenes, time points and z planes.
    collection = results / "scenes.ome.zarr"
    kachel("segment", data / "czi/real/S3_1Pos_2Mosaic_T2Z3_CH2_sm.czi", "--model", model, "--channel", 0, "--z", "1-2",
           "-o", collection, "--json")
    schemas.check("bf2raw", collection, collection.name)
    check(read_group(collection).get("bioformats2raw.layout") == 3, "scenes: is no collection")
    check_models(collection)
    scenes = sorted(path.name for path in collection.iterdir() if path.is_dir())
    check(scenes == ["0", "1", "2"], f"scenes: has the images {scenes}")
    for scene, size in enumerate([(122, 295), (64, 64), (237, 352)]):
        check_image(collection / str(scene), Expected((2, 1, 2, *size), "u1", 1.6, nuclei), schemas, results)

    # Values of a regression.
    values = results / "values.ome.zarr"
    kachel("segment", image, "--model", data / "models/tf/v510/regression.czann", "--region", "0,0,1300,600",
           "-o", values, "--json")
    check_image(values, Expected((1, 1, 1, 600, 1300), "f4", 0.5), schemas, results)

    # An image that has nothing but height and width.
    flat = results / "flat.ome.zarr"
    kachel("segment", truth, "--model", model, "-o", flat, "--region", "0,0,600,700", "--json")
    check_image(flat, Expected((700, 600), "u1", 1, nuclei), schemas, results)

    # Version 0.5, with a file for every chunk and in shards.
    for name, options, stored in [
            ("plain", [], {}), ("shards", ["--shard", 2048, "--chunk", 512], {"shard": 2048, "chunk": 512})]:
        folder = results / f"{name}.ome.zarr"
        kachel("segment", image, "--model", model, "-o", folder, "--tile-size", 384, "--zarr", "0.5", *options,
               "--json")
        again = check_image(
            folder, Expected(expected.shape, "u1", 0.5, nuclei, version="0.5", **stored), schemas, results)
        check(numpy.array_equal(again[0, 0, 0], pixels), f"{name}: differs from version 0.4")
    files = [path for path in (results / "shards.ome.zarr/0/c").rglob("*") if path.is_file()]
    check(len(files) == 2, f"shards: has {len(files)} files")
    series = results / "series.ome.zarr"
    scenes_image = data / "czi/real/S3_1Pos_2Mosaic_T2Z3_CH2_sm.czi"
    kachel("segment", scenes_image, "--model", model, "--channel", 0, "--z", "1-2", "-o", series, "--zarr", "0.5",
           "--json")
    check_collection(series, schemas)
    for scene, size in enumerate([(122, 295), (64, 64), (237, 352)]):
        check_image(series / str(scene), Expected((2, 1, 2, *size), "u1", 1.6, nuclei, version="0.5"), schemas, results)

    # Labels in images that ome-zarr wrote, whose sides are rounded down when they are halved.
    mosaic = numpy.asarray(Image.open(truth))[None, :1001, :1501]
    picture = ((mosaic > 0) * 120 + mosaic % 20).astype("u1")
    for version, format in (("0.4", FormatV04()), ("0.5", FormatV05())):
        own = results / f"own-{version}.ome.zarr"
        write_image(picture, str(own), axes="cyx", fmt=format, scale={"c": 1, "y": 0.5, "x": 0.5})
        alone = results / f"alone-{version}.ome.zarr"
        kachel("segment", own, "--model", model, "-o", alone, "--json")
        for name in ("nuclei", "again"):
            kachel("segment", own, "--model", model, "-o", own / "labels" / name, "--json")
            found = check_image(own / "labels" / name, Expected(
                picture.shape, "u1", None, nuclei, version=version, placed=own), schemas, results)
            check(numpy.array_equal(found, zarr.open_group(alone, mode="r")["0"][...]), f"{name}: differs from alone")
        check(read_group(own / "labels")["labels"] == ["nuclei", "again"], f"{own.name}: does not list the labels")
        check_models(own)
        labelled = [node for node in Reader(parse_url(str(own)))() if any(isinstance(s, Label) for s in node.specs)]
        check(len(labelled) == 2, f"{own.name}: ome-zarr finds {len(labelled)} label images")

    # Labels in every image of a collection.
    all_images = results / "all.ome.zarr"
    kachel("convert", scenes_image, all_images, "--zarr", "0.5")
    kachel("segment", all_images, "--model", model, "--channel", 0, "-o", all_images / "labels/nuclei", "--json")
    for scene, size in enumerate([(122, 295), (64, 64), (237, 352)]):
        check_image(all_images / f"{scene}/labels/nuclei", Expected(
            (2, 1, 3, *size), "u1", None, nuclei, version="0.5", placed=all_images / str(scene)), schemas, results)
    check_collection(all_images, schemas)

    finish("labels")


main()
