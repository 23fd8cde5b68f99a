"""Positions by astropy for the test of engine/dataset/wcs.

    python3 bench/wcs.py > engine/dataset/wcs/testdata/astropy.json

Needs astropy (pip install -r bench/requirements-formats.txt). Each header is a made-up one of a kind that surveys use; the points are pixels (from 0) on a
grid that also leaves the image, with the sky position of each by all_pix2world. Those that all_world2pix leads back to the pixel it began
with are kept; the test asks for the sky within 1e-9 degrees and the pixel within 1e-6.
"""

import json
import warnings

import numpy as np
from astropy import log
from astropy.io import fits
from astropy.wcs import WCS

warnings.simplefilter("ignore")
log.setLevel("ERROR")

tan = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 512.5, "CRPIX2": 480.25, "CRVAL1": 150.1, "CRVAL2": 2.2}
sip = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 3, "B_ORDER": 3, "A_2_0": 2.1e-6, "A_0_2": -7.5e-7, "A_1_1": 1.2e-6,
       "A_3_0": 3e-10, "A_1_2": -4e-10, "B_2_0": -1.1e-6, "B_0_2": 1.9e-6, "B_1_1": -5e-7, "B_0_3": -2e-10, "B_2_1": 6e-10}
pixel = 0.1 / 3600
cases = {
    "CD": tan | {"CD1_1": -pixel, "CD1_2": 1e-7, "CD2_1": 2e-7, "CD2_2": pixel},
    "CD with a missing element": tan | {"CD1_1": -pixel, "CD2_2": pixel, "CDELT1": 5.0, "CDELT2": 7.0},
    "PC and CDELT": tan | {"CDELT1": -pixel, "CDELT2": pixel * 1.1, "PC1_1": 0.8, "PC1_2": -0.6, "PC2_1": 0.6, "PC2_2": 0.8},
    "PC001001": tan | {"CDELT1": -pixel, "CDELT2": pixel * 1.1, "PC001001": 0.8, "PC001002": -0.6, "PC002001": 0.6, "PC002002": 0.8},
    "CD001001": tan | {"CD001001": -pixel, "CD001002": 1e-7, "CD002001": 2e-7, "CD002002": pixel},
    "CDELT alone": tan | {"CDELT1": -pixel * 10, "CDELT2": pixel * 10},
    "CROTA2": tan | {"CDELT1": -pixel * 10, "CDELT2": pixel * 12, "CROTA2": 33.3},
    "wide": tan | {"CDELT1": -0.02, "CDELT2": 0.02, "CUNIT1": "deg", "CUNIT2": "deg"},
    "across 0h": tan | {"CRVAL1": 0.0003, "CDELT1": -pixel, "CDELT2": pixel},
    "negative RA": tan | {"CRVAL1": -12.5, "CDELT1": -pixel, "CDELT2": pixel},
    "near the pole": tan | {"CRVAL2": 89.99, "CDELT1": -pixel * 20, "CDELT2": pixel * 20},
    "at the pole": tan | {"CRVAL2": 90.0, "CDELT1": -pixel * 20, "CDELT2": pixel * 20},
    "at the south pole": tan | {"CRVAL2": -90.0, "CDELT1": -pixel * 20, "CDELT2": pixel * 20},
    "LONPOLE": tan | {"LONPOLE": 150.0, "CDELT1": -pixel * 20, "CDELT2": pixel * 20},
    "declination first": tan | {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 2.2, "CRVAL2": 150.1, "CD1_1": pixel, "CD1_2": 3e-7, "CD2_1": 1e-7, "CD2_2": -pixel},
    "SIP": tan | sip | {"CD1_1": -pixel, "CD1_2": 1e-7, "CD2_1": 2e-7, "CD2_2": pixel},
    "SIP that is not named": tan | sip | {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CD1_1": -pixel, "CD2_2": pixel},
    "SIP of order 5": tan | sip | {"A_ORDER": 5, "A_5_0": 1e-15, "A_2_3": -2e-15, "CD1_1": -pixel, "CD2_2": pixel},
    "SIP with an offset": tan | sip | {"A_0_0": 0.25, "A_1_0": 1e-4, "B_0_1": -2e-4, "CD1_1": -pixel, "CD2_2": pixel},
    "SIP named without terms": tan | {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CD1_1": -pixel, "CD2_2": pixel},
}
out = []
for name, header in cases.items():
    w = WCS(fits.Header(header))
    points = []
    for x in np.linspace(-120.5, 1143.25, 5):
        for y in np.linspace(-99.75, 1100.5, 4):
            ra, dec = (float(v) for v in w.all_pix2world(x, y, 0))
            if w.wcs.ctype[0].startswith("DEC"):
                ra, dec = dec, ra
                again = w.all_world2pix(dec, ra, 0, tolerance=1e-10, maxiter=100)
            else:
                again = w.all_world2pix(ra, dec, 0, tolerance=1e-10, maxiter=100)
            if np.hypot(again[0] - x, again[1] - y) < 1e-7:
                points.append([float(x), float(y), ra, dec])
    out.append({"name": name, "header": header, "points": points})
print("[\n" + ",\n".join(json.dumps(c) for c in out) + "\n]")
