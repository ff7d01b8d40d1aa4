# SPDX-License-Identifier: Apache-2.0
"""Checks of scripts/check-interop: other programs read the CZIs that Kachel writes.

Segments images into CZIs and into OME-Zarrs, and compares every plane and resolution as pylibCZIrw (ZEISS's libCZI)
and czifile read it with what the OME-Zarr holds. Pixels at the right and bottom edges that are too few for a pixel of
a smaller resolution are in none of a CZI's.

    czi.py KACHEL DATA RESULTS

CZIFILE_PYTHON names the Python that has czifile, which may be another one than that of pylibCZIrw; without it czifile
is not asked.
"""

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

failures = 0


def check(passed, text):
    global failures
    if not passed:
        failures += 1
        print(f"  FAIL  {text}")


class Expected:
    """What a CZI must hold: the pixels of an OME-Zarr, and where its scenes lie."""

    def __init__(self, folder, places):
        root = zarr.open_group(folder, mode="r")
        groups = [root] if "0" in root.array_keys() else [root[str(scene)] for scene in range(len(places))]
        self.scenes = []
        for group in groups:
            # Axes t, c, z, y, x; x and y of smaller resolutions without rests.
            full = numpy.asarray(group["0"])
            levels = [full]
            for level in range(1, len(list(group.array_keys()))):
                height, width = (side >> level for side in full.shape[-2:])
                if min(height, width) >= 32:
                    levels.append(numpy.asarray(group[str(level)])[..., :height, :width])
            self.scenes.append(levels)
        self.places = places


def check_pylibczirw(path, expected, pixel_type, step):
    what = path.name
    first = expected.scenes[0][0]
    with czi.open_czi(str(path)) as document:
        boxes = {scene: (x, y, levels[0].shape[-1], levels[0].shape[-2])
                 for scene, ((x, y), levels) in enumerate(zip(expected.places, expected.scenes))}
        check({k: tuple(v) for k, v in document.scenes_bounding_rectangle.items()} == boxes,
              f"{what}: scenes {document.scenes_bounding_rectangle}, not {boxes}")
        check(document.scenes_bounding_rectangle == document.scenes_bounding_rectangle_no_pyramid,
              f"{what}: the pyramid is larger than the image")
        total = document.total_bounding_box
        check([total[axis] for axis in "TCZ"] == [(0, count) for count in first.shape[:3]], f"{what}: spans {total}")
        check(set(document.pixel_types.values()) == {pixel_type}, f"{what}: types {document.pixel_types}")
        scaling = {item["@Id"]: float(item["Value"])
                   for item in document.metadata["ImageDocument"]["Metadata"]["Scaling"]["Items"]["Distance"]}
        check(numpy.allclose([scaling["X"], scaling["Y"]], step * 1e-6), f"{what}: scaling {scaling}")
        attributes = document.custom_attributes_metadata
        provenance = json.loads(attributes["kachel"])
        check(len(provenance) == len(boxes) and all(item["model"]["sha256"] for item in provenance),
              f"{what}: provenance {provenance}")
        layers = {}

        def count(_, block):
            layers[block.logicalRect.w // block.physicalSize.w] = layers.get(
                block.logicalRect.w // block.physicalSize.w, 0) + 1
            check(block.logicalRect.w % block.physicalSize.w == 0, f"{what}: a sub-block is not reduced by a whole number")
            return True

        document.enumerate_subblocks(count)
        check(sorted(layers) == [2**level for level in range(max(map(len, expected.scenes)))], f"{what}: {layers}")
        for scene, levels in enumerate(expected.scenes):
            x, y, _, _ = boxes[scene]
            for plane in numpy.ndindex(first.shape[:3]):
                for level, pixels in enumerate(levels):
                    height, width = pixels.shape[-2:]
                    found = document.read(
                        plane=dict(zip("TCZ", plane)), scene=scene, zoom=1 / 2**level,
                        roi=(x, y, width << level, height << level))[..., 0]
                    check(found.dtype == pixels.dtype and numpy.array_equal(found, pixels[plane]),
                          f"{what}: pylibCZIrw reads other pixels of scene {scene}, plane {plane}, level {level}")
        return json.loads(attributes["labels"]) if "labels" in attributes else None


def check_czifile(path, expected, results):
    """Reads with czifile in its own Python, which leaves a NumPy file for every scene and resolution."""
    if "CZIFILE_PYTHON" not in os.environ:
        return
    folder = results / f"{path.name}.czifile"
    folder.mkdir()
    program = pathlib.Path(__file__).with_name("read_czifile.py")
    subprocess.run([os.environ["CZIFILE_PYTHON"], program, path, folder], check=True)
    for scene, levels in enumerate(expected.scenes):
        found = sorted(file.name for file in folder.glob(f"{scene}-*.npy"))
        check(found == [f"{scene}-{level}.npy" for level in range(len(levels))], f"{path.name}: czifile finds {found}")
        for level, pixels in enumerate(levels[:len(found)]):
            read = numpy.load(folder / found[level])
            check(read.dtype == pixels.dtype and numpy.array_equal(read, pixels),
                  f"{path.name}: czifile reads {read.shape} other pixels of scene {scene}, level {level}")


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


def main():
    program, data, results = (pathlib.Path(argument) for argument in sys.argv[1:4])
    results = results / "czi"
    results.mkdir()
    model, mosaic = "Examples/nuclei.czann", "Examples/nuclei-mosaic.czi"
    nuclei = [{"color": "#FF0000", "name": "Background", "value": 1}, {"color": "#00FF00", "name": "Nucleus", "value": 2}]

    def segment(name, places, pixel_type, step, *arguments):
        """Segments into a CZI and an OME-Zarr, and compares them. Returns what the labels are called."""
        print("$ kachel segment", *(str(argument).removeprefix(f"{data}/") for argument in arguments), "-o",
              f"{name}.czi", flush=True)
        paths = results / f"{name}.czi", results / f"{name}.ome.zarr"
        for path in paths:
            result = subprocess.run(
                [program, "segment", *map(str, arguments), "--quiet", "-o", path], stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True)
            if result.returncode:
                sys.exit(f"kachel failed with {result.returncode}: {result.stderr}")
        expected = Expected(paths[1], places)
        check(expected.scenes[0][0].any(), f"{name}: is empty")
        labels = check_pylibczirw(paths[0], expected, pixel_type, step)
        check_czifile(paths[0], expected, results)
        shapes = ", ".join(f"{levels[0].shape} with {len(levels)} levels" for levels in expected.scenes)
        print(f"  {name}.czi: {pixel_type}, {shapes}, {paths[0].stat().st_size} bytes")
        return labels

    labels = segment("labels", [(-1000, -500)], "Gray8", 0.5, mosaic, "--model", model)
    check(labels == nuclei, f"labels.czi: labels {labels}")
    segment("region", [(-1000 + 101, -500 + 33)], "Gray8", 0.5, mosaic, "--model", model, "--region", "101,33,1701,907")
    segment("values", [(-1000, -500)], "Gray32Float", 0.5, mosaic, "--model",
            data / "models/tf/v510/regression.czann", "--region", "0,0,1300,600")

    # Scenes, time points and z planes, where they lie in the source.
    source = data / "czi/real/S3_1Pos_2Mosaic_T2Z3_CH2_sm.czi"
    with czi.open_czi(str(source)) as document:
        places = [(box.x, box.y) for _, box in sorted(document.scenes_bounding_rectangle_no_pyramid.items())]
    segment("scenes", places, "Gray8", 1.6, source, "--model", model, "--channel", 0)
    with czi.open_czi(str(results / "scenes.czi")) as document:
        scenes = document.metadata["ImageDocument"]["Metadata"]["Information"]["Image"]["Dimensions"]["S"]["Scenes"]
        check([scene["@Name"] for scene in scenes["Scene"]] == ["TR1", "P1", "TR2"], f"scenes.czi: {scenes}")

    # Labels of 16 bits.
    large = with_large_label("Examples/nuclei.czmodel", results / "large.czmodel")
    labels = segment("large", [(-1000, -500)], "Gray16", 0.5, mosaic, "--model", large, "--region", "0,0,1100,1040")
    check([label["value"] for label in labels] == [1, 300], f"large.czi: labels {labels}")

    if failures:
        sys.exit(f"check-interop: {failures} checks of CZI failed")
    print("check-interop: all of CZI passed"
          + ("" if "CZIFILE_PYTHON" in os.environ else ", without czifile, which needs Python 3.12 or later"))


main()
