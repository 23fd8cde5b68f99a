"""Are our cut-outs those of astropy? Makes mosaics and catalogues with it, and has the Go test compare every pixel with Cutout2D.

    python3 bench/mosaic.py [--keep FOLDER]

Needs astropy and pyarrow (pip install -r bench/requirements-formats.txt), and go. Run it from the repository. Copied pixels must be equal to the bit.
Where another grid is resampled, the expected value is worked out here from astropy's positions of every pixel, in numpy, and must be equal within
1e-4 of the range of the mosaic (we work out positions at every 16th pixel and are linear in between).
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
from astropy import log
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D, NoOverlapError
from astropy.table import Table
from astropy.wcs import WCS

warnings.simplefilter("ignore")
log.setLevel("ERROR")
rng = np.random.default_rng(21)
cases = []
PIXEL = 0.1 / 3600


def header(ra, dec, w, h, scale=PIXEL, angle=0.0, sip=False, shift=(0, 0)):
    """TAN, its reference point in the middle, moved by whole pixels."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    tan = "-SIP" if sip else ""
    k = {"CTYPE1": "RA---TAN" + tan, "CTYPE2": "DEC--TAN" + tan, "CRPIX1": w / 2 + 0.3 - shift[0], "CRPIX2": h / 2 + 0.7 - shift[1], "CRVAL1": ra, "CRVAL2": dec,
         "CD1_1": -scale * c, "CD1_2": scale * s, "CD2_1": scale * s, "CD2_2": scale * c}
    if sip:
        k |= {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 2e-6, "A_0_2": -7e-7, "A_1_1": 1e-6, "B_2_0": -1e-6, "B_0_2": 2e-6, "B_1_1": -5e-7}
    return fits.Header(k)


def sky(w, h, dtype="f4"):
    a = rng.normal(100, 8, (h, w))
    y, x = np.indices((h, w))
    for _ in range(30):
        a += rng.uniform(50, 900) * np.exp(-((x - rng.uniform(0, w)) ** 2 + (y - rng.uniform(0, h)) ** 2) / rng.uniform(3, 40))
    if np.dtype(dtype).kind == "f":
        a[rng.integers(0, h, 40), rng.integers(0, w, 40)] = np.nan
    return a.astype(dtype)


def write(path, data, head, compressed=None):
    if compressed:
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, head, name="SCI", **compressed)]).writeto(path)
    else:
        fits.PrimaryHDU(data, head).writeto(path)
    with fits.open(path) as f:  # as it is read again
        hdu = f[1 if compressed else 0]
        return hdu.data.astype("f8" if hdu.data.dtype.itemsize > 2 and hdu.data.dtype.kind != "f" or hdu.data.dtype == "f8" else "f4"), WCS(hdu.header)


def cut(data, w, x, y, size):
    try:
        return Cutout2D(data, (x, y), size, mode="partial", fill_value=np.nan).data
    except NoOverlapError:
        return None


def positions(n, w, wcs_, shape, margin=40):
    """Sky positions on an image, some beyond its border."""
    x, y = rng.uniform(-margin, shape[1] + margin, n), rng.uniform(-margin, shape[0] + margin, n)
    return wcs_.all_pix2world(x, y, 0)


def add(folder, name, text, expected, tolerance=0.0):
    (folder / f"{name}.mosaic.toml").write_text(text)
    objects = []
    for i, (id_, planes) in enumerate(expected.items()):
        o = {"ID": str(id_)}
        if planes is not None and not np.isnan(planes).all():
            planes = np.ascontiguousarray(planes)
            o |= {"File": f"{name}-{i}.bin", "Shape": list(planes.shape), "Kind": planes.dtype.name}
            planes.astype(planes.dtype.newbyteorder("<")).tofile(folder / o["File"])
        objects.append(o)
    cases.append({"Name": name, "Objects": objects, "Tolerance": tolerance})


def table(folder, name, **columns):
    t = Table(columns)
    path = folder / name
    if name.endswith(".parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq
        pq.write_table(pa.table({k: np.asarray(v) for k, v in columns.items()}), path, row_group_size=70)
    elif name.endswith(".fits"):
        t.write(path)
    else:
        t.write(path, format="ascii.csv")


def on_sky(w, ra, dec):
    x, y = w.all_world2pix(ra, dec, 0, tolerance=1e-10, maxiter=100)
    return float(x), float(y)


def single(folder):
    """One float mosaic, TAN, a CSV, even and odd sizes, a size in arcsec and one of each object."""
    data, w = write(folder / "a.fits", sky(500, 420), header(150, 2, 500, 420))
    ra, dec = positions(150, w, w, data.shape)
    sizes = rng.integers(1, 60, 150)
    table(folder, "a.csv", id=np.arange(150), RA=ra, DEC=dec, box=sizes, arc=sizes * 0.1)
    for name, size, of in (("even", "size = 32", lambda i: 32), ("odd", "size = 31", lambda i: 31), ("arcsec", 'size = "2.5 arcsec"', lambda i: 25),
                           ("column", 'size_column = "box"', lambda i: sizes[i]), ("arcs", 'size_column = "arc"\nsize_unit = "arcsec"', lambda i: sizes[i])):
        add(folder, f"single-{name}", f'catalogue = "a.csv"\nbands = ["a.fits"]\n{size}\n',
            {i: cut(data, w, *on_sky(w, ra[i], dec[i]), int(of(i))) for i in range(150)})
    x, y = rng.uniform(0, 500, 60), rng.uniform(0, 420, 60)
    table(folder, "x.csv", number=np.arange(60), X_IMAGE=x + 1, Y_IMAGE=y + 1)
    # X_IMAGE is written with all digits, but adding 1 and taking it off loses the last one: what is read is what counts.
    add(folder, "single-pixels", 'catalogue = "x.csv"\nbands = ["a.fits"]\nsize = 20\n', {i: cut(data, w, (x[i] + 1) - 1, (y[i] + 1) - 1, 20) for i in range(60)})


def compressed(folder):
    """SIP, compressed by Rice in tiles of rows and of squares, whole numbers and quantised floats, Parquet."""
    for name, data, how in (("rows", sky(300, 260, "i2"), {"compression_type": "RICE_1"}), ("squares", sky(300, 260, "f4"), {"compression_type": "RICE_1", "tile_shape": (50, 64)}),
                            ("gzip", sky(300, 260, "i4"), {"compression_type": "GZIP_2", "tile_shape": (33, 100)})):
        data, w = write(folder / f"{name}.fits", data, header(10, -40, 300, 260, sip=True, angle=30), how)
        ra, dec = positions(80, w, w, data.shape)
        table(folder, f"{name}.parquet", object_id=np.arange(80) * 10**15, ra=ra, dec=dec)
        add(folder, f"compressed-{name}", f'catalogue = "{name}.parquet"\nbands = ["{name}.fits[SCI]"]\nsize = 24\n',
            {i * 10**15: cut(data, w, *on_sky(w, ra[i], dec[i]), 24) for i in range(80)})


def best(tiles, ra, dec, size):
    """The tile that holds most of the box, at a tie the one with more room around the position."""
    found, most, room = None, 0, 0
    for data, w in tiles:
        x, y = on_sky(w, ra, dec)
        x0, y0 = np.ceil(x - size / 2), np.ceil(y - size / 2)
        held = max(0, min(x0 + size, data.shape[1]) - max(x0, 0)) * max(0, min(y0 + size, data.shape[0]) - max(y0, 0))
        inside = min(x, y, data.shape[1] - 1 - x, data.shape[0] - 1 - y)
        if held > most or held and held == most and inside > room + 1e-3:
            found, most, room = (data, w, x, y), held, inside
    return found


def tiled(folder):
    """Four overlapping tiles in two bands, the second moved by whole pixels; across 0h; a FITS table."""
    bands = {"VIS": [], "Y": []}
    for i in range(2):
        for j in range(2):
            for band in bands:
                shift = (3, -2) if band == "Y" else (0, 0)
                head = header(0, 60, 300, 300, shift=(i * 250 - 125 + shift[0], j * 260 - 130 + shift[1]))
                bands[band].append(write(folder / f"{band}_{i}{j}.fits", sky(300, 300), head))
    w = bands["VIS"][0][1]
    x, y = rng.uniform(-30, 580, 200), rng.uniform(-30, 590, 200)
    ra, dec = w.all_pix2world(x, y, 0)
    table(folder, "t.fits", NAME=np.array([f"o{i}" for i in range(200)]), RAJ2000=ra, DEJ2000=dec)
    expected = {}
    for i in range(200):
        a = best(bands["VIS"], ra[i], dec[i], 40)
        if a is None:
            expected[f"o{i}"] = None
            continue
        one = cut(a[0], a[1], a[2], a[3], 40)
        x0, y0 = np.ceil(a[2] - 20), np.ceil(a[3] - 20)
        middle = a[1].all_pix2world(x0 + 19.5, y0 + 19.5, 0)
        b = best(bands["Y"], *middle, 40)
        two = np.full_like(one, np.nan)
        if b is not None:
            bx, by = on_sky(b[1], *a[1].all_pix2world(x0, y0, 0))
            got = cut(b[0], b[1], round(bx) + 20, round(by) + 20, 40)
            two = two if got is None else got
        expected[f"o{i}"] = np.stack([one, two])
    add(folder, "tiled", 'catalogue = "t.fits"\nbands = ["VIS_*.fits", "Y_*.fits"]\nsize = 40\n', expected)


def resampled(folder):
    """The second band has three times larger, turned pixels and SIP."""
    data, w = write(folder / "fine.fits", sky(400, 400), header(200, 30, 400, 400))
    coarse, v = write(folder / "coarse.fits", sky(150, 150), header(200.0005, 30.0005, 150, 150, scale=3 * PIXEL, angle=20, sip=True))
    ra, dec = positions(60, w, w, data.shape)
    table(folder, "r.csv", id=np.arange(60), ra=ra, dec=dec)
    for how in ("nearest", "bilinear"):
        expected = {}
        for i in range(60):
            x, y = on_sky(w, ra[i], dec[i])
            one = cut(data, w, x, y, 50)
            if one is None:
                expected[i] = None
                continue
            gy, gx = np.indices((50, 50))
            u, t = v.all_world2pix(*w.all_pix2world(gx + np.ceil(x - 25), gy + np.ceil(y - 25), 0), 0, tolerance=1e-9, maxiter=100)

            def at(a, b):
                inside = (a >= 0) & (b >= 0) & (a < 150) & (b < 150)
                return np.where(inside, coarse[np.clip(b, 0, 149).astype(int), np.clip(a, 0, 149).astype(int)].astype("f8"), np.nan)

            if how == "nearest":
                two = at(np.floor(u + 0.5), np.floor(t + 0.5))
                near = lambda a: np.abs(a - np.floor(a) - 0.5) < 1e-3
                two[near(u) | near(t)] = np.inf  # in the middle of two pixels: not compared
            else:
                fu, ft = np.floor(u), np.floor(t)
                p, q = u - fu, t - ft
                two = (1 - p) * (1 - q) * at(fu, ft) + p * (1 - q) * at(fu + 1, ft) + (1 - p) * q * at(fu, ft + 1) + p * q * at(fu + 1, ft + 1)
            expected[i] = np.stack([one, two.astype("f4")])
        add(folder, how, f'catalogue = "r.csv"\nbands = ["fine.fits", "coarse.fits"]\nsize = 50\nresample = "{how}"\n', expected, tolerance=1e-4 * 1000)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--keep", type=pathlib.Path, help="leave the files in this folder")
    a = a.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        folder = a.keep or pathlib.Path(tmp)
        folder.mkdir(exist_ok=True)
        for make in (single, compressed, tiled, resampled):
            make(folder)
        (folder / "cases.json").write_text(json.dumps(cases))
        print(f"{len(cases)} definitions, {sum(len(c['Objects']) for c in cases)} objects")
        sys.exit(subprocess.run(["go", "test", "-v", "-count=1", "-run", "^TestParity$", "./engine/dataset/mosaic"],
                                env=os.environ | {"ANOMALYMATCH_MOSAICS": str(folder.resolve())}).returncode)


if __name__ == "__main__":
    main()
