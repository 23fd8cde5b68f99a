"""Are our pixels those of astropy, tifffile and Pillow? Makes files of many variants with them and has the Go tests compare every value.

    python3 bench/formats.py [--keep FOLDER]

Needs astropy, tifffile, imagecodecs and Pillow (pip install -r bench/requirements-formats.txt), and go. Run it from the repository. The
expected values are those of the library that wrote the file, read again by itself, except: of scaled integers the values are
BZERO + BSCALE × stored in float64, rounded once (astropy rounds twice, in float32); of BLANK pixels NaN.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import tifffile
from astropy.io import fits
from astropy.table import Table
from PIL import Image

warnings.simplefilter("ignore")
rng = np.random.default_rng(8)
cases = []


def sky(shape, dtype):
    """A noisy field with stars, in the range of the type."""
    dtype = np.dtype(dtype)
    yx = np.indices(shape[-2:]).astype(float)
    a = rng.normal(100, 8, shape)
    for _ in range(12):
        y, x = rng.uniform(0, shape[-2]), rng.uniform(0, shape[-1])
        a = a + rng.uniform(20, 120) * np.exp(-((yx[0] - y) ** 2 + (yx[1] - x) ** 2) / rng.uniform(2, 20))
    if dtype.kind == "f":
        return (a / 7).astype(dtype)
    info = np.iinfo(dtype)
    low, high = (float(max(info.min, -2**31)), float(min(info.max, 2**31)))
    a = low + (high - low) * np.clip(a / 400, 0, 1) if dtype.itemsize > 1 else np.clip(a, info.min, info.max)
    return a.astype(dtype)


def planar(a):
    """[H, W] or [..., H, W] → [C, H, W]"""
    return np.ascontiguousarray(a).reshape(-1, *a.shape[-2:])


def add(folder, name, values=None, planes=True, **more):
    """A case; values [C, H, W], or [H, W, C] where planes is false."""
    case = {"File": name, "Planar": planes} | more
    if values is not None:
        case["Values"] = f"{len(cases)}.bin"
        case["Kind"] = values.dtype.name
        c, h, w = values.shape if planes else (values.shape[2], values.shape[0], values.shape[1])
        case["Shape"] = [c, h, w]
        np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tofile(folder / case["Values"])
    cases.append(case)


def plain_fits(folder):
    for dtype in ("u1", "i2", "i4", "i8", "f4", "f8", "i1", "u2", "u4", "u8"):
        for shape in ((31, 47), (3, 20, 33), (1, 1, 17, 19), (2, 3, 9, 11)):
            name = f"plain_{dtype}_{'x'.join(map(str, shape))}.fits"
            a = sky(shape, dtype)
            fits.PrimaryHDU(a).writeto(folder / name)
            back = fits.getdata(folder / name)
            assert np.array_equal(a, back) and a.dtype == back.dtype.newbyteorder("="), name
            add(folder, name, planar(a))
            add(folder, name, planar(a)[:, 3:8, 2:9], Cut=[2, 3, 7, 5])
    big = sky((300, 40000), "f4")  # wider than one piece
    fits.PrimaryHDU(big).writeto(folder / "wide.fits")
    add(folder, "wide.fits", planar(big))
    add(folder, "wide.fits", planar(big)[:, 100:103, 1:39999], Cut=[1, 100, 39998, 3])


def scaled_fits(folder):
    for dtype, blank in (("u1", None), ("u1", 7), ("i2", None), ("i2", -32768), ("i4", 5), ("i8", -1), ("f4", None)):
        for scale, zero in ((1, 0), (0.1, -3.3), (2.5e-3, 1000), (1, 7)):
            name = f"scaled_{dtype}_{blank}_{scale}_{zero}.fits"
            a = sky((23, 29), dtype)
            if blank is not None:
                a[3:5, 4:9] = blank
            hdu = fits.PrimaryHDU(a)
            hdu.writeto(folder / name)
            with fits.open(folder / name, mode="update", do_not_scale_image_data=True) as f:
                if (scale, zero) != (1, 0):
                    f[0].header["BSCALE"], f[0].header["BZERO"] = scale, zero
                if blank is not None:
                    f[0].header["BLANK"] = blank
            plain = (scale, zero) == (1, 0) and blank is None
            out = a.dtype if plain or dtype == "f4" else np.dtype("f4" if a.dtype.itemsize <= 2 else "f8")
            v = a.astype("f8") * scale + zero
            if blank is not None:
                v[a == blank] = np.nan
            with fits.open(folder / name) as f:  # astropy agrees but for its rounding
                assert np.allclose(f[0].data.astype("f8"), v, rtol=1e-5, atol=1e-4, equal_nan=True), name
            add(folder, name, planar(a if plain else v.astype(out)))


def compressed_fits(folder):
    for algorithm in ("RICE_1", "GZIP_1", "GZIP_2", "NOCOMPRESS"):
        for dtype in ("u1", "i2", "i4", "u2", "u4"):
            for shape, tile in (((40, 37), None), ((40, 37), (16, 16)), ((40, 37), (40, 37)), ((3, 20, 33), (1, 7, 33)), ((3, 20, 33), (2, 6, 10)), ((2, 2, 12, 13), (1, 2, 5, 13))):
                name = f"{algorithm}_{dtype}_{len(shape)}d_{tile and 'x'.join(map(str, tile))}.fits"
                a = sky(shape, dtype)
                compress(folder, name, a, algorithm, tile)
                back = fits.getdata(folder / name, 1)
                assert np.array_equal(a, back), name
                add(folder, name, planar(a))
                add(folder, name, planar(a)[:, 5:11, 3:12], Cut=[3, 5, 9, 6])
        for dtype in ("f4", "f8"):
            for quantize, dither in ((0, None), (16, -1), (16, 1), (4, 2), (-0.05, 1), (16, 2)):
                if algorithm in ("RICE_1",) and quantize == 0 or algorithm == "NOCOMPRESS" and quantize:
                    continue
                for nan in (False, True):
                    for tile in (None, (16, 16), (64, 300)):
                        name = f"{algorithm}_{dtype}_q{quantize}_d{dither}_{'nan' if nan else 'all'}_{tile and tile[0]}.fits"
                        a = sky((64, 300), dtype)
                        a[10:14, 20:40] = 0
                        if nan:
                            a[30, 5:9] = np.nan
                            a[33] = np.nan
                        compress(folder, name, a, algorithm, tile, quantize, dither)
                        back = fits.getdata(folder / name, 1)
                        back = back.astype(back.dtype.newbyteorder("="))
                        assert np.allclose(a, back, atol=3, equal_nan=True), name
                        add(folder, name, planar(back))
                        add(folder, name, planar(back)[:, 29:35, 3:120], Cut=[3, 29, 117, 6])
    a = sky((40, 40), "i2")
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(a, compression_type="HCOMPRESS_1", tile_shape=(20, 20))]).writeto(folder / "hcompress.fits")
    add(folder, "hcompress.fits", Refused="HCOMPRESS_1")
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.abs(a).astype("i4") // 100, compression_type="PLIO_1")]).writeto(folder / "plio.fits")
    add(folder, "plio.fits", Refused="PLIO_1")
    a = sky((64, 300), "f4")  # some tiles that cannot be quantised
    a[5] = np.where(rng.random(300) < 0.5, 1e30, -1e30)
    compress(folder, "unquantisable.fits", a, "RICE_1", None, 16, 1)
    add(folder, "unquantisable.fits", planar(fits.getdata(folder / "unquantisable.fits", 1).astype("f4")))
    compress(folder, "long_dither.fits", sky((120, 120), "f4"), "RICE_1", (120, 120), 16, 1)  # more than 10 000 random numbers
    add(folder, "long_dither.fits", planar(fits.getdata(folder / "long_dither.fits", 1).astype("f4")))


def compress(folder, name, a, algorithm, tile, quantize=16.0, dither=None):
    kwargs = {} if dither is None else {"quantize_method": dither, "dither_seed": int(rng.integers(1, 10001))}
    hdu = fits.CompImageHDU(a, compression_type=algorithm, tile_shape=tile, quantize_level=quantize, **kwargs)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(folder / name)


def many_hdus(folder):
    a = [sky((20, 21), "f4") for _ in range(5)]
    fits.HDUList([
        fits.PrimaryHDU(), fits.ImageHDU(a[0], name="SCI", ver=1), fits.ImageHDU(a[1], name="ERR", ver=1),
        fits.BinTableHDU(Table({"x": [1, 2]})), fits.ImageHDU(a[2], name="SCI", ver=2), fits.CompImageHDU(a[3], name="VIS", quantize_level=0, compression_type="GZIP_2"),
        fits.ImageHDU(a[4])]).writeto(folder / "many.fits")
    for which, i in (("", 0), ("1", 0), ("SCI", 0), ("sci,2", 2), ("err", 1), ("4", 2), ("VIS", 3), ("vis,1", 3), ("6", 4)):
        add(folder, "many.fits", planar(a[i]), Which=which)
    add(folder, "many.fits", Which="0", Refused="no image")
    add(folder, "many.fits", Which="3", Refused="no image")
    add(folder, "many.fits", Which="NIR", Refused="no HDU")
    subprocess.run(["gzip", "-k", str(folder / "many.fits")], check=True)
    add(folder, "many.fits.gz", planar(a[2]), Which="SCI,2")


def tables(folder):
    n = 200
    ints = {"short": rng.integers(-2**15, 2**15, n).astype("i2"), "long": rng.integers(-2**31, 2**31, n).astype("i4"),
            "id": rng.integers(-2**63, 2**63 - 1, n, dtype="i8"), "byte": rng.integers(0, 256, n).astype("u1"), "ushort": rng.integers(0, 2**16, n).astype("u2"),
            "ulong": rng.integers(0, 2**32, n).astype("u4"), "ucounter": rng.integers(0, 2**63, n).astype("u8")}
    floats = {"ra": rng.uniform(0, 360, n), "mag": rng.normal(20, 2, n).astype("f4")}
    floats["mag"][7] = np.nan
    text = {"name": np.array([f"obj {i}" + "x" * (i % 5) for i in range(n)])}
    logical = {"star": rng.random(n) < 0.5}
    vector = {"flux": rng.normal(0, 1, (n, 3))}
    Table(ints | floats | text | logical | vector).write(folder / "table.fits")
    want = {k: [str(int(v)) for v in a] for k, a in (ints | logical).items()}
    want |= {k: [None if np.isnan(v) else float(v) for v in a] for k, a in floats.items()} | {"NAME": list(text["name"])}
    add(folder, "table.fits", Table=want)
    col = fits.Column("z", "I", array=np.arange(5, dtype="i2"), null=3)
    stored = fits.Column("s", "J", array=np.arange(5, dtype="i4"))
    signed = fits.Column("b", "B", array=np.array([0, 127, 128, 129, 255], dtype="u1"))
    fits.BinTableHDU.from_columns([col, stored, signed]).writeto(folder / "null.fits")
    for key, value in (("TSCAL2", 0.5), ("TZERO2", 10.0), ("TZERO3", -128)):  # the stored numbers stay
        fits.setval(folder / "null.fits", key, value=value, ext=1)
    assert fits.getdata(folder / "null.fits", 1)["s"][1] == 10.5
    add(folder, "null.fits", Table={"z": ["0", "1", "2", None, "4"], "s": [10.0, 10.5, 11.0, 11.5, 12.0], "b": ["-128", "-1", "0", "1", "127"]})
    ascii_columns = [fits.Column("i", "I6", array=np.array([1, -2, 30, 4, 5]), ascii=True), fits.Column("f", "F9.3", array=np.array([1.25, -2, 3.5, 0, 1000.125]), ascii=True),
                     fits.Column("e", "E15.7", array=np.array([1.25e-20, -2, 3.5, 0, 1e20]), ascii=True), fits.Column("d", "D25.17", array=rng.normal(0, 1, 5), ascii=True),
                     fits.Column("t", "A5", array=np.array(["a", "bc", "", "d e", "12345"]), ascii=True)]
    fits.TableHDU.from_columns(ascii_columns).writeto(folder / "ascii.fits")
    back = fits.getdata(folder / "ascii.fits", 1)
    add(folder, "ascii.fits", Table={"i": [str(int(v)) for v in back["i"]], "t": [str(v) for v in back["t"]]} | {k: [float(v) for v in back[k]] for k in "fed"})


def tiffs(folder):
    for big in (False, True):
        for order in "<>":
            for dtype in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"):
                for compression in (None, "lzw", "zlib", "packbits"):
                    predictors = (1, 2, 3) if compression in ("lzw", "zlib") else (1,)
                    for predictor in predictors:
                        if predictor == 3 and dtype[0] != "f" or predictor == 2 and dtype[0] == "f":
                            continue
                        for channels, config in ((1, None), (3, "contig"), (5, "contig"), (3, "separate")):
                            for tile in (None, (16, 32)):
                                if (big or order == ">") and tile and channels == 5:
                                    continue  # enough
                                a = sky((channels, 37, 45), dtype)
                                if channels == 1:
                                    a = a[0]
                                elif config == "contig":
                                    a = np.moveaxis(a, 0, -1).copy()
                                name = f"{'big' if big else ''}{'le' if order == '<' else 'be'}_{dtype}_{compression}_{predictor}_{channels}{config}_{bool(tile)}.tiff"
                                try:
                                    tifffile.imwrite(folder / name, a, bigtiff=big, byteorder=order, compression=compression, predictor=predictor, planarconfig=config,
                                                     photometric="rgb" if channels == 3 and a.dtype.kind == "u" else "minisblack", tile=tile, rowsperstrip=None if tile else 10)
                                except (ValueError, KeyError, RuntimeError, NotImplementedError) as e:
                                    print(f"tifffile cannot write {name}: {e}")
                                    continue
                                back = tifffile.imread(folder / name)
                                assert np.array_equal(back, a, equal_nan=a.dtype.kind == "f"), name
                                if dtype == "f2":
                                    a = a.astype("f4")
                                contig = config == "contig"
                                add(folder, name, planar(a) if not contig else a, planes=not contig)
    pillow(folder)


def pillow(folder):
    grey = Image.fromarray(sky((40, 50), "u1"))
    rgb = Image.fromarray(np.moveaxis(sky((3, 40, 50), "u1"), 0, -1).copy())
    rgba = rgb.convert("RGBA")
    rgba.putalpha(grey)
    kinds = {"grey": grey, "rgb": rgb, "rgba": rgba, "la": rgba.convert("LA"), "i16": Image.fromarray(sky((40, 50), "u2")), "i32": Image.fromarray(sky((40, 50), "i4")),
             "f32": Image.fromarray(sky((40, 50), "f4")), "palette": rgb.quantize(200)}
    for name, m in kinds.items():
        for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"):
            file = f"pillow_{name}_{compression}.tif"
            m.save(folder / file, compression=compression)
            back = Image.open(folder / file)
            a = np.asarray(back.convert("RGB") if name in ("palette", "rgba") else back)
            if name == "la":
                a = a[..., :1]
            add(folder, file, np.atleast_3d(a), planes=False)
    for name, m, said in (("1", grey.convert("1"), "1 bits"), ("cmyk", rgb.convert("CMYK"), "CMYK"), ("lab", rgb.convert("LAB"), "CIELab")):
        m.save(folder / f"pillow_{name}.tif")
        add(folder, f"pillow_{name}.tif", Refused=said)
    for compression, said in (("jpeg", "JPEG"), ("zstd", "Zstandard"), ("lzma", "LZMA")):
        try:
            rgb.save(folder / f"pillow_{compression}.tif", compression=compression)
        except (OSError, RuntimeError) as e:
            print(f"Pillow cannot write {compression}: {e}")
            continue
        add(folder, f"pillow_{compression}.tif", Refused=said)
    grey.save(folder / "pillow_group4.tif", compression="jpeg")
    add(folder, "pillow_group4.tif", Refused="JPEG")
    white = sky((40, 50), "u2")
    tifffile.imwrite(folder / "white.tiff", white, photometric="miniswhite")
    add(folder, "white.tiff", np.atleast_3d(~white), planes=False)
    tifffile.imwrite(folder / "complex.tiff", np.ones((8, 8), "c8"))
    add(folder, "complex.tiff", Refused="complex")
    pages = [sky((20, 30), "f4") for _ in range(3)]
    with tifffile.TiffWriter(folder / "pages.tiff") as t:
        for i, p in enumerate(pages):
            t.write(p, subfiletype=1 if i == 0 else 0)
    add(folder, "pages.tiff", planar(pages[1]))
    add(folder, "pages.tiff", planar(pages[2]), Page=1)
    add(folder, "pages.tiff", Page=2, Refused="no page 3")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--keep", type=pathlib.Path, help="leave the files in this folder")
    a = a.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        folder = a.keep or pathlib.Path(tmp)
        folder.mkdir(exist_ok=True)
        for make in (plain_fits, scaled_fits, compressed_fits, many_hdus, tables, tiffs):
            before = len(cases)
            make(folder)
            print(f"{make.__name__}: {len(cases) - before} cases")
        (folder / "cases.json").write_text(json.dumps(cases))
        sys.exit(subprocess.run(["go", "test", "-count=1", "-run", "^TestParity$", "./engine/dataset/fits", "./engine/dataset/tiff"],
                                env=os.environ | {"ANOMALYMATCH_FORMATS": str(folder.resolve())}).returncode)


if __name__ == "__main__":
    main()
