#!/usr/bin/env python3
"""Containers of arrays (HDF5, npy, npz, Zarr, Parquet) in every variant that their own libraries write, and what our readers must find in them.

    pip install -r bench/requirements-arrays.txt
    python3 bench/formats_arrays.py FOLDER [--large] [--zip FILE]
    ANOMALYMATCH_FORMATS=FOLDER go test ./engine/dataset/array/arraytest -run Variants -v

    python3 bench/formats_arrays.py FOLDER --speed
    ANOMALYMATCH_FORMATS=FOLDER go test ./engine/dataset/array/arraytest -run xxx -bench Formats -cpu 1

Writes the files and expect.json: for each variant the number of images, the SHA-256 of their values (little endian, in the order of the container; encoded
images: of their bytes) and their names, or a word that the refusal must have. The values are synthetic. With --large there are more images, and
indexes of many levels. engine/dataset/array/arraytest/testdata/formats.zip is what --zip writes without --large.
"""

import argparse
import datetime
import decimal
import hashlib
import json
import os
import shutil
import time
import zipfile

import h5py
import numcodecs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
import zarr.codecs as zc
import zarr.storage as zs


class Out:
    def __init__(self, folder, large):
        self.folder, self.large, self.variants = folder, large, []
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def add(self, file, values=None, names=None, images="", refused="", encoded=None, named=""):
        v = {"file": file, "images": images, "named": named, "refused": refused}
        if encoded is not None:
            v |= {"n": len(encoded), "encoded": True, "sha256": hashlib.sha256(b"".join(encoded)).hexdigest()}
        elif values is not None:
            values = np.asarray(values)
            wide = values.astype("<f4") if values.dtype.itemsize == 2 and values.dtype.kind == "f" else values.astype(values.dtype.newbyteorder("<"))
            if values.dtype == bool:
                wide = values.astype("u1")
            one = values.ndim == 2 or (values.ndim == 3 and values.shape[2] <= 4 and values.shape[1] > 4)
            v |= {"n": 1 if one else len(values), "sha256": hashlib.sha256(np.ascontiguousarray(wide).tobytes()).hexdigest()}
        if names is not None:
            v["names"] = list(names)
        self.variants.append(v)


random = np.random.default_rng(1)


def values(dtype="u1", shape=(5, 7, 6, 3)):
    """A different value at every place, as far as the type has that many, of which little remains when compressed."""
    i = np.arange(np.prod(shape)).reshape(shape)
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        a = (i % 1021 / 4 - 100).astype(dtype)
        a[(0,) * len(shape)] = np.nan
        return a
    if dtype == bool:
        return i % 7 % 3 == 0
    step = int(np.iinfo(dtype).max) // 251
    return (i % 251 * step - (step * 100 if dtype.kind == "i" else 0)).astype(dtype)


TYPES = ["u1", "i1", "<u2", ">u2", "<i2", ">i2", "<u4", ">i4", "<u8", ">i8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "?"]
encoded = [b"\xff\xd8\xff" + random.integers(0, 256, n, dtype="u1").tobytes() for n in (3, 200, 1, 77, 500)]
names = [f"galaxy {i} é.jpg" for i in range(5)]


def hdf5(out):
    with h5py.File(out.path("types.h5"), "w") as f:
        for t in TYPES:
            a = values(t, (2, 5, 6, 3))
            f.create_dataset(np.dtype(t).str.strip("|"), data=a)
            out.add("types.h5", a, images=np.dtype(t).str.strip("|"))
    many = 3000 if out.large else 70
    for libver in ("earliest", "latest"):
        file = f"layouts_{libver}.h5"
        with h5py.File(out.path(file), "w", libver=libver) as f:
            def put(name, a, **how):
                f.create_dataset(name, data=a, **how)
                out.add(file, a, images=name)
            a = values("<f4")
            put("contiguous", a)
            put("chunk of one", a, chunks=(1, 7, 6, 3))
            put("one chunk", a, chunks=a.shape)
            put("one chunk gzip", a, chunks=a.shape, compression="gzip")
            put("odd chunks", a, chunks=(2, 3, 4, 2))
            put("gzip", a, chunks=(2, 3, 4, 2), compression="gzip")
            put("shuffle", a, chunks=(2, 3, 4, 2), compression="gzip", shuffle=True)
            put("fletcher", a, chunks=(2, 3, 4, 2), fletcher32=True)
            put("all filters", a, chunks=(3, 5, 4, 2), compression="gzip", shuffle=True, fletcher32=True)
            put("grows", a, chunks=(2, 3, 4, 2), maxshape=(None, 7, 6, 3))
            put("grows along another", a, chunks=(2, 3, 4, 2), maxshape=(20, None, 6, 3))
            put("grows gzip", a, chunks=(2, 3, 4, 2), maxshape=(None, 7, 6, 3), compression="gzip")
            put("grows in all", a, chunks=(2, 3, 4, 2), maxshape=(None, None, None, None))
            put("grows in all gzip", a, chunks=(2, 3, 4, 2), maxshape=(None, None, None, None), compression="gzip")
            put("limited", a, chunks=(2, 3, 4, 2), maxshape=(100, 7, 60, 3))
            small = values("<u2", (many, 2, 1))
            for name, how in {"fixed": {}, "fixed gzip": {"compression": "gzip"}, "extensible": {"maxshape": (None, 2, 1)}, "tree": {"maxshape": (None, None, 1)}}.items():
                put("many " + name, small, chunks=(1, 1, 1), **how)
            # Some chunks only, and none, with a fill value.
            for name, how in {"holes": {}, "holes grows": {"maxshape": (None, 7, 6, 3)}, "holes tree": {"maxshape": (None, None, 6, 3)}, "holes gzip": {"compression": "gzip"}}.items():
                d = f.create_dataset(name, a.shape, "<f4", chunks=(1, 7, 6, 3), fillvalue=7.5, **how)
                d[1] = a[1]
                d[3] = a[3]
                out.add(file, d[:], images=name)
            d = f.create_dataset("never", a.shape, "<f4", fillvalue=-1)
            out.add(file, d[:], images="never")
            if out.large:
                wide = values("u1", (300_000, 1, 1))
                put("very many", wide, chunks=(1, 1, 1), maxshape=(None, 1, 1))
                put("very many fixed", wide[:5000], chunks=(1, 1, 1))
                d = f.create_dataset("holes in many", (300_000, 1, 1), "u1", chunks=(1, 1, 1), maxshape=(None, 1, 1), fillvalue=3)
                d[250_000] = 9
                d[5] = 8
                d[140_000:140_010] = 7
                out.add(file, d[:], images="holes in many")
                d = f.create_dataset("holes in many fixed", (300_000, 1, 1), "u1", chunks=(1, 1, 1), fillvalue=3)
                d[250_000] = 9
                d[5] = 8
                out.add(file, d[:], images="holes in many fixed")
            # What h5py has no word for.
            a = values("u1")
            for name in ("compact", "early"):
                how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                if name == "compact":
                    how.set_layout(h5py.h5d.COMPACT)
                else:  # with libver="latest" the implicit index
                    how.set_chunk((2, 3, 4, 2))
                    how.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
                d = h5py.h5d.create(f.id, name.encode(), h5py.h5t.STD_U8LE, h5py.h5s.create_simple(a.shape), how)
                d.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(a))
                out.add(file, a, images=name)
            f["link"] = h5py.SoftLink("/deep/er/below")
            f.create_dataset("deep/er/below", data=a)
            out.add(file, a, images="link")
            out.add(file, a, images="/deep/er/below")
            f["away"] = h5py.ExternalLink("other.h5", "/images")
            out.add(file, images="away", refused="link to another file")
            out.add(file, images="not there", refused="no dataset")
            out.add(file, images="deep", refused="group")
            out.add(file, refused="say which")
            t = np.dtype([("a", "u1"), ("b", "f4")])
            f.create_dataset("compound", data=np.zeros((2, 3), t))
            out.add(file, images="compound", refused="compounds")
            f.create_dataset("complex", data=np.zeros((2, 3, 4), "c8"))
            out.add(file, images="complex", refused="read")
            f["type"] = np.dtype("<f4")  # a named type
            d = f.create_dataset("named type", data=values("<f4"), dtype=f["type"])
            out.add(file, d[:], images="named type")
        file = f"groups_{libver}.h5"
        with h5py.File(out.path(file), "w", libver=libver) as f:
            for i in range(120 if out.large else 40):
                f.create_dataset(f"g/{'long ' * (i % 9)}name {i}", data=np.full((2, 6, 5), i, "u1"))
            out.add(file, f["g/long name 28"][:], images="g/long name 28")
            out.add(file, f["g/name 36"][:], images="g/name 36")
        file = f"am_{libver}.h5"
        with h5py.File(out.path(file), "w", libver=libver) as f:
            d = f.create_dataset("images", (5,), h5py.vlen_dtype(np.uint8))
            for i, b in enumerate(encoded):
                d[i] = np.frombuffer(b, "u1")
            f.create_dataset("filenames", data=names, dtype=h5py.string_dtype())
        out.add(file, encoded=encoded, names=names)
        file = f"am_gzip_{libver}.h5"
        with h5py.File(out.path(file), "w", libver=libver, userblock_size=512) as f:
            d = f.create_dataset("images", (5,), h5py.vlen_dtype(np.uint8), chunks=(2,), maxshape=(None,), compression="gzip", shuffle=True)
            for i, b in enumerate(encoded):
                d[i] = np.frombuffer(b, "u1")
            f.create_dataset("filenames", data=np.array([n.encode() for n in names]), chunks=(2,), compression="gzip")
        out.add(file, encoded=encoded, names=names)
    # One index each, in files as small as can be.
    for libver in ("earliest", "latest"):
        for name, how in {"plain": {}, "gzip": {"compression": "gzip", "shuffle": True, "fletcher32": True}, "grows": {"maxshape": (None, 6, 5)}, "tree": {"maxshape": (None, None, 5), "compression": "gzip"}}.items():
            file, a = f"one_{name}_{libver}.h5", values("<u2", (4, 6, 5))
            with h5py.File(out.path(file), "w", libver=libver) as f:
                f.create_dataset("images", data=a, **({} if name == "plain" else {"chunks": (2, 3, 5)}) | how)
                f.create_dataset("ids", data=np.array([b"a", b"bb", b"ccc", b""]))
            out.add(file, a, ["a", "bb", "ccc", ""])
    with h5py.File(out.path("refused.h5"), "w") as f:
        f.create_dataset("images", data=values(), chunks=(1, 7, 6, 3), compression="lzf")
        out.add("refused.h5", refused="LZF")
        f.create_dataset("scale", data=values("<i4"), chunks=(1, 7, 6, 3), scaleoffset=0)
        out.add("refused.h5", images="scale", refused="scale-offset")
        f.create_dataset("text", data=names)
        out.add("refused.h5", images="text", refused="text")


def npy(out):
    for t in TYPES:
        a = values(t, (2, 5, 6, 3))
        file = f"type_{np.dtype(t).str.strip('|').replace('<', 'l').replace('>', 'b')}.npy"
        np.save(out.path(file), a)
        out.add(file, a)
    for i, shape in enumerate([(5, 6), (4, 5, 6), (5, 6, 3), (2, 3, 5, 6)]):
        a = values("<f4", shape)
        np.save(out.path(f"shape_{i}.npy"), a)
        out.add(f"shape_{i}.npy", a)
        np.save(out.path(f"fortran_{i}.npy"), np.asfortranarray(a))
        out.add(f"fortran_{i}.npy", a)
    for version in (1, 2, 3):
        a = values("<f4", (2, 5, 6, 3))
        with open(out.path(f"version_{version}.npy"), "wb") as f:
            np.lib.format.write_array(f, a, version=(version, 0))
        out.add(f"version_{version}.npy", a)
    np.save(out.path("object.npy"), np.array([{1: 2}, None]), allow_pickle=True)
    out.add("object.npy", refused="pickle")
    np.save(out.path("table.npy"), np.zeros(3, [("a", "u1"), ("b", "f4")]))
    out.add("table.npy", refused="structured")
    np.save(out.path("complex.npy"), np.zeros((2, 3, 4), "c8"))
    out.add("complex.npy", refused="c8")
    np.save(out.path("five.npy"), np.zeros((2, 3, 4, 5, 6), "u1"))
    out.add("five.npy", refused="list of images")
    a = values("<f4")
    for save in (np.savez, np.savez_compressed):
        kind = "stored" if save is np.savez else "deflated"
        save(out.path(f"{kind}.npz"), images=a, filenames=np.array(names), labels=np.arange(5))
        out.add(f"{kind}.npz", a, names)
        save(out.path(f"{kind}_bytes.npz"), data=a, names=np.array([n.encode() for n in names]))
        out.add(f"{kind}_bytes.npz", a, names)
        save(out.path(f"{kind}_positional.npz"), a)
        out.add(f"{kind}_positional.npz", a)
        save(out.path(f"{kind}_fortran.npz"), images=np.asfortranarray(a))
        out.add(f"{kind}_fortran.npz", a)
        save(out.path(f"{kind}_single.npz"), **{f"cutout {i}": a[i] for i in range(5)})
        out.add(f"{kind}_single.npz", a, [f"cutout {i}" for i in range(5)])
        save(out.path(f"{kind}_flipped.npz"), **{f"cutout {i}": np.asfortranarray(a[i]) for i in range(5)})
        out.add(f"{kind}_flipped.npz", a, [f"cutout {i}" for i in range(5)])
        save(out.path(f"{kind}_arr.npz"), *[a[i].transpose(2, 0, 1) for i in range(5)])
        out.add(f"{kind}_arr.npz", a.transpose(0, 3, 1, 2), [f"arr_{i}" for i in range(5)])
    big = values("<f4", (600 if out.large else 60, 12, 11, 3))
    np.savez_compressed(out.path("big.npz"), images=big)
    out.add("big.npz", big)


def zip_store(out, file, make, **add):
    store = zs.ZipStore(out.path(file), mode="w")
    add = make(store) | add
    store.close()
    out.add(file, **add)


def zarrs(out):
    blosc2 = [("blosc", numcodecs.Blosc(c, 5, s)) for c in ("lz4", "lz4hc", "zstd", "zlib", "blosclz") for s in (0, 1, 2)]
    big = (40, 30, 31, 3) if out.large else (5, 16, 17, 3)
    for t in ("u1", "<f4"):
        for i, (name, c) in enumerate([("none", None), ("gzip", numcodecs.GZip(1)), ("zlib", numcodecs.Zlib(1)), ("zstd", numcodecs.Zstd(1))] + blosc2):
            if not out.large and t == "u1" and name == "blosc" and i % 4:
                continue
            a = values(t, big if name == "blosc" else (5, 7, 6, 3))

            def make(store):
                g = zarr.open_group(store, mode="w", zarr_format=2)
                d = g.create_array("images", shape=a.shape, dtype=a.dtype, chunks=(2,) + a.shape[1:] if name == "blosc" else (2, 3, 4, 2), compressors=c, fill_value=0)
                d[:] = a
                return {"values": a}
            zip_store(out, f"v2_{t.strip('<')}_{name}_{i}.zarr.zip", make)

    def two(file, add=None, dtype="<f4", names_as=None, write=slice(None), **how):
        a = values(dtype)

        def make(store):
            g = zarr.open_group(store, mode="w", zarr_format=2)
            d = g.create_array("images", shape=a.shape, dtype=a.dtype, **({"chunks": (2, 3, 4, 2), "compressors": None} | how))
            d[write] = a[write]
            if names_as is not None:
                g.create_array("filenames", data=names_as, compressors=None)
            return {"values": d[:]} if add is None else add
        zip_store(out, file, make)

    two("v2_order.zarr.zip", order="F")
    two("v2_slash.zarr.zip", chunk_key_encoding={"name": "v2", "separator": "/"})
    two("v2_big.zarr.zip", dtype=">i2", compressors=numcodecs.Zlib(1))
    two("v2_holes.zarr.zip", write=slice(0, 2), fill_value=7.5)
    two("v2_nan.zarr.zip", write=slice(0, 2), fill_value=float("nan"))
    two("v2_bz2.zarr.zip", compressors=numcodecs.BZ2(1), add={"refused": "bz2"})
    two("v2_filter.zarr.zip", filters=[numcodecs.Delta("<f4")], add={"refused": "delta"})
    for t in (np.array(names), np.array([n.encode() for n in names])):
        a = values("u1")

        def make(store):
            g = zarr.open_group(store, mode="w", zarr_format=2)
            g.create_array("images", shape=a.shape, dtype="u1", chunks=a.shape)[:] = a
            g.create_array("filenames", shape=t.shape, dtype=t.dtype, chunks=(2,))[:] = t
            return {"values": a, "names": names}
        zip_store(out, f"v2_names_{t.dtype.kind}.zarr.zip", make)

    def three(file, add=None, dtype="<f4", shape=(5, 7, 6, 3), with_names=False, write=slice(None), alone=False, **how):
        a = values(dtype, shape)

        def make(store):
            how2 = {"chunks": (2,) + (3, 4, 2)[:len(shape) - 1], "compressors": None} | how
            if alone:
                d = zarr.create_array(store, shape=a.shape, dtype=a.dtype, **how2)
            else:
                g = zarr.open_group(store, mode="w", zarr_format=3)
                d = g.create_array("images", shape=a.shape, dtype=a.dtype, **how2)
                if with_names:
                    g.create_array("filenames", shape=(5,), dtype=str, chunks=(2,))[:] = np.array(names, dtype=object)
            d[write] = a[write]
            return ({"values": d[:]} | ({"names": names} if with_names else {})) if add is None else add
        zip_store(out, file, make)

    three("v3_plain.zarr.zip", with_names=True)
    three("v3_alone.zarr.zip", alone=True)
    three("v3_image.zarr.zip", alone=True, shape=(8, 9))
    three("v3_grey.zarr.zip", shape=(5, 7, 6))
    for t in TYPES:
        if out.large:
            three(f"v3_type_{np.dtype(t).str.strip('|<>')}_{t[0] == '>'}.zarr.zip", dtype=t)
    three("v3_big.zarr.zip", serializer=zc.BytesCodec(endian="big"))
    three("v3_gzip.zarr.zip", compressors=zc.GzipCodec())
    three("v3_zstd.zarr.zip", compressors=zc.ZstdCodec())
    three("v3_crc.zarr.zip", compressors=[zc.ZstdCodec(), zc.Crc32cCodec()])
    three("v3_transposed.zarr.zip", filters=[zc.TransposeCodec(order=(2, 0, 3, 1))])
    three("v3_transposed_twice.zarr.zip", filters=[zc.TransposeCodec(order=(2, 0, 3, 1)), zc.TransposeCodec(order=(1, 3, 0, 2))], compressors=zc.GzipCodec())
    three("v3_key.zarr.zip", chunk_key_encoding={"name": "v2", "separator": "."})
    three("v3_dot.zarr.zip", chunk_key_encoding={"name": "default", "separator": "."})
    three("v3_holes.zarr.zip", write=slice(0, 2), fill_value=7.5)
    three("v3_true.zarr.zip", dtype="?", write=slice(0, 2), fill_value=True)
    for c in ("lz4", "zstd", "zlib", "blosclz"):
        for s in ("noshuffle", "shuffle", "bitshuffle"):
            if out.large or c == "lz4":
                three(f"v3_blosc_{c}_{s}.zarr.zip", compressors=zc.BloscCodec(cname=c, shuffle=s), chunks=(3, 7, 6, 3))
    three("v3_blosc_blocks.zarr.zip", shape=(5, 40, 40, 3), chunks=(5, 40, 40, 3), compressors=zc.BloscCodec(cname="lz4", blocksize=4096))
    for where in ("start", "end"):
        for name, how in {"plain": None, "blosc": zc.BloscCodec(), "zstd": zc.ZstdCodec()}.items():
            three(f"v3_shard_{where}_{name}.zarr.zip", compressors=how, shards={"shape": (4, 6, 8, 4), "index_location": where}, write=slice(0, 3))
    three("v3_shard_transposed.zarr.zip", filters=[zc.TransposeCodec(order=(2, 0, 3, 1))], compressors=zc.ZstdCodec(), shards=(4, 6, 8, 4))


def parquets(out):
    labels = pa.array([0, 1, None, 1, 0])
    hf = pa.array([{"bytes": b, "path": n} for b, n in zip(encoded, names)], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    many = 2000 if out.large else 40
    more = [bytes(random.integers(0, 256, int(n), dtype="u1")) for n in random.integers(1, 60, many)]
    for codec in ("none", "snappy", "gzip", "zstd", "lz4", "brotli"):
        for version in ("1.0", "2.0"):
            if not out.large and version == "2.0" and codec not in ("none", "zstd"):
                continue
            file = f"hf_{codec}_{version}.parquet"
            pq.write_table(pa.table({"image": hf, "label": labels}), out.path(file), compression=codec, data_page_version=version)
            if codec == "brotli":
                out.add(file, encoded=encoded, refused="BROTLI")
            else:
                out.add(file, encoded=encoded, names=names)
    file = "binary.parquet"
    pq.write_table(pa.table({"filename": names, "image": pa.array(encoded, pa.binary()), "z": [0.1] * 5}), out.path(file))
    out.add(file, encoded=encoded, names=names)
    for dictionary in (True, False):
        file = f"pages_{dictionary}.parquet"
        twice = more + more
        ids = [2**53 + 1 + i for i in range(len(twice))]
        pq.write_table(pa.table({"source_id": ids, "image": pa.array(twice, pa.binary()), "mag": np.arange(len(twice)) / 8}), out.path(file), use_dictionary=dictionary,
                       data_page_size=200, row_group_size=17 if not out.large else 500, write_page_index=dictionary)
        out.add(file, encoded=twice, names=[str(i) for i in ids])
    file = "delta.parquet"
    pq.write_table(pa.table({"name": [f"n{i:04}" for i in range(many)], "image": pa.array(more, pa.binary())}), out.path(file), use_dictionary=False,
                   column_encoding={"name": "DELTA_BYTE_ARRAY", "image": "DELTA_LENGTH_BYTE_ARRAY"})
    out.add(file, encoded=more, names=[f"n{i:04}" for i in range(many)])
    file = "large.parquet"
    pq.write_table(pa.table({"image": pa.array(encoded, pa.large_binary()), "tags": [["a"], [], ["b", "c"], None, ["d"]]}), out.path(file))
    out.add(file, encoded=encoded)
    table = pa.table({
        "source_id": pa.array([2**53 + 1, -1, 0]), "big": pa.array([2**64 - 1, 0, 1], pa.uint64()), "small": pa.array([-3, None, 2], pa.int8()),
        "mag": pa.array([21.5, None, float("nan")], pa.float32()), "z": pa.array([0.1, -1e300, None]), "flag": pa.array([True, None, False]),
        "name": pa.array(["NGC 1", "é", None]).dictionary_encode(), "day": pa.array([datetime.date(2024, 2, 29), None, datetime.date(1969, 12, 31)]),
        "at": pa.array([datetime.datetime(2024, 2, 29, 1, 2, 3, 250000), None, datetime.datetime(1969, 12, 31, 23, 59, 59)], pa.timestamp("us")),
        "price": pa.array([decimal.Decimal("12.25"), None, decimal.Decimal("-0.5")], pa.decimal128(9, 2)), "bands": [["Y", "J"], [], None],
        "sky": [{"ra": 1.5, "dec": -2.0}, None, {"ra": 0.0, "dec": 90.0}],
    })
    for file, how in {"table.parquet": {}, "table_plain.parquet": {"use_dictionary": False, "data_page_version": "2.0", "store_decimal_as_integer": True, "row_group_size": 2}}.items():
        pq.write_table(table, out.path(file), **how)
        out.add(file, refused="no column of images")


def speed(folder):
    """Files of images as they are in practice, and how quickly the formats' own libraries read them one at a time."""
    os.makedirs(folder, exist_ok=True)
    n, size = 4000, 64
    y, x = np.mgrid[:size, :size] / size
    c, r = random.random((n, 2, 1, 1)), random.random((n, 1, 1)) * 0.1 + 0.02
    a = np.exp(-((x - c[:, 0]) ** 2 + (y - c[:, 1]) ** 2) / r**2)[..., None] * random.random((n, 1, 1, 3)) * 200
    a = np.clip(a + random.normal(8, 2, a.shape), 0, 255).astype("u1")
    jpegs = [random.integers(0, 256, int(k), dtype="u1").tobytes() for k in random.integers(1500, 3500, n)]  # their size is what counts
    path = lambda name: os.path.join(folder, name)
    for name, how in {"contiguous": {}, "gzip": {"chunks": (1, size, size, 3), "compression": "gzip"}, "shuffle": {"chunks": (16, size, size, 3), "compression": "gzip", "shuffle": True}}.items():
        with h5py.File(path(name + ".h5"), "w") as f:
            f.create_dataset("images", data=a, **how)
    with h5py.File(path("encoded.h5"), "w") as f:
        d = f.create_dataset("images", (n,), h5py.vlen_dtype(np.uint8))
        for i, b in enumerate(jpegs):
            d[i] = np.frombuffer(b, "u1")
        f.create_dataset("filenames", data=[f"{i}.jpg" for i in range(n)], dtype=h5py.string_dtype())
    np.save(path("plain.npy"), a)
    np.savez_compressed(path("deflated.npz"), images=a)
    np.savez_compressed(path("single.npz"), **{f"{i:06}": a[i] for i in range(n)})
    for name, how in {"plain": None, "blosc": zc.BloscCodec(cname="lz4"), "zstd": zc.ZstdCodec(), "large": zc.BloscCodec(cname="lz4"), "shard": zc.ZstdCodec()}.items():
        g = zarr.open_group(path(name + ".zarr"), mode="w")
        more = {"shards": (500, size, size, 3)} if name == "shard" else {}
        g.create_array("images", shape=a.shape, dtype="u1", chunks=(n if name == "large" else 16 if name != "shard" else 1, size, size, 3), compressors=how, **more)[:] = a
    for codec in ("none", "snappy"):
        pq.write_table(pa.table({"image": pa.array(jpegs, pa.binary()), "id": np.arange(n)}), path(codec + ".parquet"), compression=codec, use_dictionary=False)

    def each(name, get, all=n, every=1):
        began = time.process_time()
        total = sum(get(i).nbytes for i in range(0, all, every))
        took, count = time.process_time() - began, len(range(0, all, every))
        print(f"{name:18} {count / took:10.0f} images/s  {total / took / 1e6:8.1f} MB/s of processor time")

    for name in ("contiguous", "gzip", "shuffle", "encoded"):
        with h5py.File(path(name + ".h5")) as f:
            each(name + ".h5", f["images"].__getitem__)
    m = np.load(path("plain.npy"), mmap_mode="r")
    each("plain.npy", lambda i: np.array(m[i]))
    for name in ("plain", "blosc", "zstd", "large", "shard"):
        each(name + ".zarr", zarr.open_group(path(name + ".zarr"), mode="r")["images"].__getitem__, every=400 if name == "large" else 4)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder")
    p.add_argument("--large", action="store_true")
    p.add_argument("--zip", help="write the files to this zip file too")
    p.add_argument("--speed", action="store_true", help="write larger files instead, for BenchmarkFormats, and read them with Python")
    a = p.parse_args()
    if a.speed:
        return speed(a.folder)
    out = Out(a.folder, a.large)
    for make in (hdf5, npy, zarrs, parquets):
        make(out)
    with open(out.path("expect.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(v) for v in out.variants) + "\n]\n")
    if a.zip:
        with zipfile.ZipFile(a.zip, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:
            for name in sorted(os.listdir(a.folder)):
                with open(out.path(name), "rb") as f:
                    z.writestr(zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0)), f.read(), zipfile.ZIP_DEFLATED)
    print(f"{len(out.variants)} variants in {len(os.listdir(a.folder)) - 1} files, {sum(e.stat().st_size for e in os.scandir(a.folder)) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
