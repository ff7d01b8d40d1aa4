# SPDX-License-Identifier: Apache-2.0
"""Checks of scripts/check-interop: other programs read the CZIs that Kachel writes.

Segments and converts images into CZIs and into OME-Zarrs, and compares every plane and resolution as pylibCZIrw
(ZEISS's libCZI) and czifile read it with what the OME-Zarr holds.

    czi.py KACHEL DATA RESULTS

CZIFILE_PYTHON names the Python that has czifile, which may be another one than that of pylibCZIrw; without it czifile
is not asked.
"""

import functools
import json
import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as xml
import zipfile

import numpy
import zarr
from pylibCZIrw import czi

from checks import check, finish, run_kachel

# A CZI has no resolutions that are narrower.
NARROWEST = 32


def read_scenes(folder, count, samples):
    """The pixels of an OME-Zarr: for every scene its resolutions with the axes t, c, z, y, x, sample.

    What is left at the right and bottom edges when a side is halved is in no resolution of a CZI. The channels of an
    OME-Zarr are the samples of colours, red first; those of a CZI stand blue first.
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
            pixels = numpy.moveaxis(pixels, 2, -1)[..., ::-1]
            height, width = (side >> level for side in (levels or [pixels])[0].shape[3:5])
            if level == 0 or min(height, width) >= NARROWEST:
                levels.append(pixels[:, :, :, :height, :width])
        scenes.append(levels)
    return scenes


def check_pylibczirw(path, scenes, places, pixel_type, step):
    """Returns the custom attributes."""
    what = path.name
    first = scenes[0][0]
    with czi.open_czi(str(path)) as document:
        boxes = {scene: (*place, levels[0].shape[4], levels[0].shape[3])
                 for scene, (place, levels) in enumerate(zip(places, scenes))}
        check({scene: tuple(box) for scene, box in document.scenes_bounding_rectangle.items()} == boxes,
              f"{what}: scenes {document.scenes_bounding_rectangle}, not {boxes}")
        check(document.scenes_bounding_rectangle == document.scenes_bounding_rectangle_no_pyramid,
              f"{what}: the pyramid is larger than the image")
        total = document.total_bounding_box
        check([total[axis] for axis in "TCZ"] == [(0, count) for count in first.shape[:3]], f"{what}: spans {total}")
        check(set(document.pixel_types.values()) == {pixel_type}, f"{what}: types {document.pixel_types}")
        scaling = document.metadata["ImageDocument"]["Metadata"]["Scaling"]["Items"]
        scaling = {item["@Id"]: float(item["Value"]) for item in scaling["Distance"]} if scaling else {}
        check(numpy.allclose([scaling.get("X", 0), scaling.get("Y", 0)], step * 1e-6), f"{what}: scaling {scaling}")
        factors = set()

        def take(_, block):
            factors.add(block.logicalRect.w / block.physicalSize.w)
            factors.add(block.logicalRect.h / block.physicalSize.h)
            return True

        document.enumerate_subblocks(take)
        check(factors == {2**level for level in range(max(map(len, scenes)))}, f"{what}: has the resolutions {factors}")
        for scene, levels in enumerate(scenes):
            x, y, _, _ = boxes[scene]
            for plane in numpy.ndindex(first.shape[:3]):
                for level, pixels in enumerate(levels):
                    height, width = pixels.shape[3:5]
                    found = document.read(
                        plane=dict(zip("TCZ", plane)), scene=scene, zoom=1 / 2**level,
                        roi=(x, y, width << level, height << level))
                    check(found.dtype == pixels.dtype and numpy.array_equal(found, pixels[plane]),
                          f"{what}: pylibCZIrw reads other pixels of scene {scene}, plane {plane}, level {level}")
        return document.custom_attributes_metadata or {}


def check_czifile(path, scenes):
    """Reads with czifile in its own Python, which leaves a NumPy file for every scene and resolution."""
    if "CZIFILE_PYTHON" not in os.environ:
        return
    folder = path.with_suffix(".czifile")
    folder.mkdir()
    program = pathlib.Path(__file__).with_name("read_czifile.py")
    subprocess.run([os.environ["CZIFILE_PYTHON"], program, path, folder], check=True)
    for scene, levels in enumerate(scenes):
        found = sorted(file.name for file in folder.glob(f"{scene}-*.npy"))
        check(found == [f"{scene}-{level}.npy" for level in range(len(levels))], f"{path.name}: czifile finds {found}")
        for level, (name, pixels) in enumerate(zip(found, levels)):
            # It gives red first.
            read = numpy.load(folder / name)[..., ::-1]
            check(read.dtype == pixels.dtype and numpy.array_equal(read, pixels),
                  f"{path.name}: czifile reads other pixels of scene {scene}, level {level}")


def with_large_label(package, target):
    """A copy of a model package whose second class has the label 300, which takes 16 bits."""
    with zipfile.ZipFile(package) as source, zipfile.ZipFile(target, "w") as copy:
        for member in source.infolist():
            content = source.read(member)
            if member.filename.endswith(".xml"):
                tree = xml.fromstring(content)
                tree.findall("TrainingClasses/Item")[1].set("LabelValue", "300")
                content = xml.tostring(tree)
            copy.writestr(member, content)
    return target


def places_of(path):
    """Where the scenes of a CZI lie."""
    with czi.open_czi(str(path)) as document:
        scenes = document.scenes_bounding_rectangle_no_pyramid or {0: document.total_bounding_rectangle_no_pyramid}
        return [(box.x, box.y) for _, box in sorted(scenes.items())]


def main():
    program, data, results = (pathlib.Path(argument) for argument in sys.argv[1:4])
    results = results / "czi"
    results.mkdir()
    model, mosaic = "Examples/nuclei.czann", "Examples/nuclei-mosaic.czi"

    run = functools.partial(run_kachel, program)

    def compare(name, places, pixel_type, step, *command):
        """Runs a command into a CZI and an OME-Zarr, and compares them. Returns the CZI's custom attributes."""
        print("$ kachel", *(str(part).removeprefix(f"{data}/") for part in command), f"{name}.czi", flush=True)
        path, folder = results / f"{name}.czi", results / f"{name}.ome.zarr"
        run(*command, path)
        run(*command, folder)
        scenes = read_scenes(folder, len(places), 3 if pixel_type.startswith("Bgr") else 1)
        check(scenes[0][0].any(), f"{name}: is empty")
        attributes = check_pylibczirw(path, scenes, places, pixel_type, step)
        check_czifile(path, scenes)
        shapes = ", ".join(f"{levels[0].shape} with {len(levels)} levels" for levels in scenes)
        print(f"  {pixel_type}, {shapes}, {path.stat().st_size} bytes")
        return attributes

    def segment(name, places, pixel_type, step, *arguments):
        attributes = compare(name, places, pixel_type, step, "segment", *arguments, "-o")
        provenance = json.loads(attributes["kachel"])
        check(len(provenance) == len(places) and all(item["model"]["sha256"] for item in provenance),
              f"{name}: provenance {provenance}")
        return json.loads(attributes.get("labels", "null"))

    labels = segment("labels", [(-1000, -500)], "Gray8", 0.5, mosaic, "--model", model)
    check(labels == [{"color": "#FF0000", "name": "Background", "value": 1},
                     {"color": "#00FF00", "name": "Nucleus", "value": 2}], f"labels.czi: labels {labels}")
    segment("region", [(-899, -467)], "Gray8", 0.5, mosaic, "--model", model, "--region", "101,33,1701,907")
    segment("values", [(-1000, -500)], "Gray32Float", 0.5, mosaic, "--model",
            data / "models/tf/v510/regression.czann", "--region", "0,0,1300,600")
    large = with_large_label("Examples/nuclei.czmodel", results / "large.czmodel")
    labels = segment("large", [(-1000, -500)], "Gray16", 0.5, mosaic, "--model", large, "--region", "0,0,1100,1040")
    check([label["value"] for label in labels] == [1, 300], f"large.czi: labels {labels}")

    # Scenes, time points and z planes, which lie where they do in the source.
    source = data / "czi/real/S3_1Pos_2Mosaic_T2Z3_CH2_sm.czi"
    segment("scenes", places_of(source), "Gray8", 1.6, source, "--model", model, "--channel", 0)
    compare("scenes16", places_of(source), "Gray16", 1.6, "convert", source)
    for name in ["scenes", "scenes16"]:
        with czi.open_czi(str(results / f"{name}.czi")) as document:
            image = document.metadata["ImageDocument"]["Metadata"]["Information"]["Image"]
            names = [scene["@Name"] for scene in image["Dimensions"]["S"]["Scenes"]["Scene"]]
            check(names == ["TR1", "P1", "TR2"], f"{name}.czi: has the scenes {names}")

    # Pixels of images.
    large, colors = data / "napari_czann_segment/PGC_20X.czi", data / "czi/real/RGB-8bit.czi"
    compare("gray16", places_of(large), "Gray16", 0.227, "convert", large)
    compare("bgr24", places_of(colors), "Bgr24", 1.083, "convert", colors)
    compare("bgr48", [(0, 0)], "Bgr48", 0, "convert", data / "czi/synthetic/pixeltypes_x_compression.czi",
            "--channel", 4)

    finish("CZI" + ("" if "CZIFILE_PYTHON" in os.environ else ", without czifile, which needs Python 3.12 or later"))


main()
