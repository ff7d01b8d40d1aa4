# SPDX-License-Identifier: Apache-2.0
"""Makes the inputs that fuzzing begins with from the reference data: corpus.py TARGET DATA FOLDER."""

import gzip
import io
import re
import struct
import sys
import zipfile
from pathlib import Path

# Larger inputs make every run slow.
LARGEST = {"czi": 32 << 10, "tiff": 52 << 10, "zarr": 20 << 10, "codecs": 16 << 10, "png": 8 << 10, "jpeg": 8 << 10,
           "package": 12 << 10, "model": 16 << 10, "omexml": 32 << 10}


def files(data, *patterns):
    return [file.read_bytes() for pattern in patterns for file in sorted(data.glob(pattern)) if file.is_file()]


class CZI:
    """A CZI file that is taken apart, and put together again with some of its sub-blocks."""

    def __init__(self, data):
        self.header = data[:544]
        directory, metadata, _, attachments = struct.unpack_from("<qqiq", data, 84)
        self.blocks, at = [], directory + 160
        for _ in range(struct.unpack_from("<i", data, directory + 32)[0]):
            entry = data[at : at + 32 + 20 * struct.unpack_from("<i", data, at + 28)[0]]
            position = struct.unpack_from("<q", entry, 6)[0]
            self.blocks.append((entry, self.segment(data, position)))
            at += len(entry)
        self.metadata = self.segment(data, metadata) if metadata else b""
        self.attachments = []
        if attachments:
            for index in range(struct.unpack_from("<i", data, attachments + 32)[0]):
                entry = data[attachments + 288 + 128 * index :][:128]
                self.attachments.append((entry, self.segment(data, struct.unpack_from("<q", entry, 12)[0])))

    @staticmethod
    def segment(data, position):
        used = struct.unpack_from("<q", data, position + 24)[0] or struct.unpack_from("<q", data, position + 16)[0]
        return data[position : position + 32 + used]

    def bytes(self):
        out = bytearray(self.header)

        def append(segment):
            out.extend(bytes(-len(out) % 32))
            out.extend(segment)
            return len(out) - len(segment)

        def segment(name, content):
            return name.ljust(16, b"\0") + struct.pack("<qq", len(content), len(content)) + content

        def listed(parts, place):
            moved = [(entry, append(part)) for entry, part in parts]
            return b"".join(entry[:place] + struct.pack("<q", at) + entry[place + 8 :] for entry, at in moved)

        entries = listed(self.blocks, 6)
        directory = append(segment(b"ZISRAWDIRECTORY", struct.pack("<i", len(self.blocks)) + bytes(124) + entries))
        entries = listed(self.attachments, 12)
        count = struct.pack("<i", len(self.attachments))
        attachments = append(segment(b"ZISRAWATTDIR", count + bytes(252) + entries)) if self.attachments else 0
        metadata = append(self.metadata) if self.metadata else 0
        struct.pack_into("<qqiq", out, 84, directory, metadata, 0, attachments)
        return bytes(out)

    @staticmethod
    def shortened(entry, segment):
        """A sub-block without the end of its pixels where they are not compressed: what is missing is read as 0."""
        metadata, _, data = struct.unpack_from("<iiq", segment, 32)
        start = 32 + max(256, 48 + 20 * struct.unpack_from("<i", segment, 76)[0])
        if entry[18:22] != bytes(4) or data <= 600:
            return entry, segment
        size = start - 32 + metadata + 600
        head = segment[:16] + struct.pack("<qqiiq", size, size, metadata, 0, 600) + segment[48:start]
        return entry, head + segment[start : 32 + size]

    def cut(self, most):
        """As many sub-blocks of every kind as fit, the smallest first."""
        self.blocks = [self.shortened(*block) for block in self.blocks]
        if len(self.metadata) > 4096:
            self.metadata = b""
        self.attachments = [item for item in self.attachments if len(item[1]) < 2048][:3]
        size = 1200 + len(self.metadata) + sum(len(item[1]) + 160 for item in self.attachments)
        kept, kinds = [], {}
        for block in sorted(self.blocks, key=lambda block: (self.is_reduced(block[0]), len(block[1]))):
            kind = (block[0][2:6], block[0][18:22], self.is_reduced(block[0]))
            size_of = len(block[1]) + len(block[0]) + 32
            if kinds.get(kind, 0) < 3 and size + size_of <= most:
                size += size_of
                kinds[kind] = kinds.get(kind, 0) + 1
                kept.append(block)
        self.blocks = kept
        return self

    @staticmethod
    def is_reduced(entry):
        return any(struct.unpack_from("<i", entry, at + 8) != struct.unpack_from("<i", entry, at + 16)
                   for at in range(32, len(entry), 20))


def masked(entry, segment):
    """A sub-block with a mask of valid pixels, as the tiles of pyramids have."""
    xml = b"<METADATA><AttachmentSchema><DataFormat>CHUNKCONTAINER</DataFormat></AttachmentSchema></METADATA>"
    sizes = {entry[at : at + 1]: struct.unpack_from("<i", entry, at + 16)[0] for at in range(32, len(entry), 20)}
    stride = (sizes[b"X"] + 7) // 8
    content = struct.pack("<4i", sizes[b"X"], sizes[b"Y"], 0, stride) + b"\xa5" * (stride * sizes[b"Y"])
    mask = bytes.fromhex("67eae3cbfc5b2b49a16aece378031448") + struct.pack("<i", len(content)) + content
    metadata, _, data = struct.unpack_from("<iiq", segment, 32)
    start = 32 + max(256, 48 + 20 * struct.unpack_from("<i", segment, 76)[0])
    head = bytearray(segment[:start])
    struct.pack_into("<iiq", head, 32, len(xml), len(mask), data)
    whole = bytes(head) + xml + segment[start + metadata :][:data] + mask
    return entry, whole[:16] + struct.pack("<qq", len(whole) - 32, len(whole) - 32) + whole[32:]


def czi(data):
    seeds = []
    # JPEG-XR is decoded in processes of its own, which is slow, and only after its own headers were checked.
    for path in sorted(data.glob("czi/*/*.czi")):
        if "jpegxr" in path.name:
            continue
        file = CZI(path.read_bytes())
        file.blocks = [block for block in file.blocks if block[0][18:22] != bytes([4, 0, 0, 0])]
        if not file.cut(LARGEST["czi"] - 4096).blocks:
            continue
        seeds.append(file.bytes())
        if "pyramid" in path.name:
            file.blocks = [masked(*block) for block in file.blocks]
            seeds.append(file.bytes())
    return seeds


def omexml(data):
    seeds = files(data, "ometiff/*.companion.ome")
    for tiff in files(data, "ometiff/**/*.ome.tif*"):
        start = tiff.find(b"<OME")
        end = tiff.find(b"</OME>")
        if 0 <= start < end:
            seeds.append(tiff[start : end + 6])
    # The only file that lies beside the document.
    return [re.sub(rb'FileName="[^"]*"', b'FileName="a.ome.tif"', seed) for seed in seeds]


def hierarchy(folder, most):
    """The files of a Zarr hierarchy in the form of ZarrTargets.files, metadata first, as many chunks as fit."""
    paths = sorted(
        (path for path in folder.rglob("*") if path.is_file()),
        key=lambda path: (not path.name.startswith(".z") and path.suffix != ".json", len(path.parts), path))
    parts, size = [], 0
    for path in paths:
        part = b"=>" + str(path.relative_to(folder)).encode() + b"\n" + path.read_bytes()
        if size + len(part) + 1 <= most:
            parts.append(part)
            size += len(part) + 1
    return b"\n".join(parts)


def zarr(data):
    folders = sorted(path for path in data.glob("omezarr/**/*.zarr") if path.is_dir())
    # OME's smaller levels and labels are images or arrays too.
    return [hierarchy(folder, LARGEST["zarr"]) for folder in folders]


def shard(chunks, at_start):
    """Chunks in a shard whose index has no checksum."""
    index, content, start = b"", b"", 16 * len(chunks) if at_start else 0
    for chunk in chunks:
        index += struct.pack("<QQ", start + len(content), len(chunk))
        content += chunk
    return index + content if at_start else content + index


def codecs(data):
    v2 = data / "omezarr/ref/v2_codecs"
    # The number of the array in ZarrTargets.arrays.
    kinds = [(0, f"blosc_{name}") for name in ("lz4_sh1", "lz4_bit", "lz4hc_sh1", "zstd_sh1", "zlib_sh0", "blosclz_sh1")]
    kinds += [(1, "zstd"), (2, "zlib"), (3, "gzip"), (4, "lz4"), (5, "none")]
    seeds = [bytes([number]) + (v2 / f"{name}.zarr" / place).read_bytes()
             for number, name in kinds for place in ("0/0", "2/2")]
    zstd = (v2 / "zstd.zarr/0/0").read_bytes()
    blosc = (v2 / "blosc_lz4_sh1.zarr/2/2").read_bytes()
    inner = [gzip.compress(bytes([number] * 640)) for number in range(4)]
    seeds += [bytes([6]) + zstd, bytes([7]) + bytes(5120), bytes([8]) + gzip.compress(blosc),
              bytes([9]) + shard(inner, False), bytes([10]) + shard([zstd] * 4, True)]
    return seeds


def model(data):
    """Metadata, a byte 0, and the network of every package."""
    seeds = []
    for path in [*sorted(data.glob("models/**/*.cz*")), *sorted(data.glob("example/*.cz*"))]:
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile:
            continue
        names = archive.namelist()
        metadata = [name for name in names if name.endswith((".json", ".xml"))]
        networks = [name for name in names if name.endswith(".model")]
        if not metadata or not networks:
            continue
        network = archive.read(networks[0])
        if network.startswith(b"PK"):
            nested = zipfile.ZipFile(io.BytesIO(network))
            graphs = [name for name in nested.namelist() if name.endswith("saved_model.pb")]
            network = b"PB" + nested.read(graphs[0]) if graphs else network
        seeds.append(archive.read(metadata[0]) + b"\0" + network)
        # Metadata by itself is small, so that more of its changes are tried.
        seeds.append(archive.read(metadata[0]) + b"\0")
    return seeds


TARGETS = {
    "czi": czi, "omexml": omexml, "zarr": zarr, "codecs": codecs, "model": model,
    "tiff": lambda data: files(data, "ometiff/**/*.tif", "ometiff/*.tiff"),
    "png": lambda data: files(data, "ometiff/png_jpeg/*.png", "nuclei/masks/00?.png"),
    "jpeg": lambda data: files(data, "ometiff/png_jpeg/*.jpg", "**/*.jpeg"),
    "package": lambda data: files(data, "models/**/*.cz*"),
}

target, data, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
seeds = {seed for seed in TARGETS[target](data) if 0 < len(seed) <= LARGEST[target]}
if not seeds:
    sys.exit(f"there are no reference files for {target} in {data}")
for number, seed in enumerate(sorted(seeds)):
    (folder / f"seed{number:03}").write_bytes(seed)
print(LARGEST[target])
