// Package wcs turns sky positions into pixels and back, from the keywords of a FITS header: the gnomonic projection TAN (Calabretta and
// Greisen 2002) with CD, PC and CDELT, or CDELT and CROTA2, and the SIP distortion (Shupe et al. 2005). That is what cut-outs of survey
// mosaics need; everything else is refused by name, never approximated. Pure functions.
//
// There is no Go library for it; the values agree with astropy's all_world2pix and all_pix2world (bench/wcs.py, testdata/astropy.json).
// SIP is undone by Newton's method on its own polynomials, as exact as wanted; the approximate inverse AP, BP is not used.
package wcs

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Header gives the values of keywords; false where there is none of that type.
type Header interface {
	Int(key string) (int64, bool)
	Float(key string) (float64, bool)
	Text(key string) (string, bool)
}

// WCS is the relation of one image. It is safe for use by several goroutines.
type WCS struct {
	crpix    [2]float64
	cd, back [2][2]float64 // pixels → degrees in the plane, and its inverse
	ra0      float64       // radians
	sin, cos float64       // of the reference declination
	rotation struct{ sin, cos float64 }
	swapped  bool // axis 1 is the declination
	sip      *[2]polynomial
}

// polynomial is one of SIP: the sum of terms c·u^p·v^q.
type polynomial []term

type term struct {
	p, q int
	c    float64
}

const maxOrder = 9 // of SIP, as its description has it

// New reads the keywords. Errors continue a sentence that begins with the image's name.
func New(h Header) (*WCS, error) {
	w := &WCS{}
	var crval [2]float64
	for i := range 2 {
		n := i + 1
		ctype, _ := h.Text(fmt.Sprintf("CTYPE%d", n))
		kind, projection, ok := strings.Cut(strings.TrimSpace(ctype), "-")
		projection, distortion, _ := strings.Cut(strings.TrimLeft(projection, "-"), "-")
		switch {
		case !ok || ctype == "":
			return nil, fmt.Errorf("has no sky coordinates: CTYPE%d is %.20q", n, ctype)
		case kind != "RA" && kind != "DEC":
			return nil, fmt.Errorf("has coordinates of the kind %.10q, which are not read: right ascension and declination are", kind)
		case projection != "TAN":
			return nil, fmt.Errorf("has the projection %.10q, which is not read: TAN is", projection)
		case distortion != "" && distortion != "SIP":
			return nil, fmt.Errorf("has the distortion %.10q, which is not read: SIP is", distortion)
		case i == 0:
			w.swapped = kind == "DEC"
		case (kind == "RA") != w.swapped:
			return nil, errors.New("has the same kind of coordinate on both axes")
		}
		if unit, ok := h.Text(fmt.Sprintf("CUNIT%d", n)); ok && strings.TrimSpace(unit) != "" && !strings.EqualFold(strings.TrimSpace(unit), "deg") {
			return nil, fmt.Errorf("has coordinates in %.20q, which are not read: degrees are", unit)
		}
		var err error
		if w.crpix[i], err = number(h, fmt.Sprintf("CRPIX%d", n), 0); err != nil {
			return nil, err
		}
		if crval[i], err = number(h, fmt.Sprintf("CRVAL%d", n), 0); err != nil {
			return nil, err
		}
		for _, key := range []string{"CPDIS%d", "CQDIS%d", "D2IMDIS%d"} {
			if name, ok := h.Text(fmt.Sprintf(key, n)); ok {
				return nil, fmt.Errorf("has the distortion %.20q (%s), which is not read: SIP is", name, fmt.Sprintf(key, n))
			}
		}
		for m := range 40 { // TAN with these terms is TPV, as SCAMP wrote it
			if _, ok := h.Float(fmt.Sprintf("PV%d_%d", n, m)); ok && (i == 1) != w.swapped || ok && (m == 0 || m > 4) {
				return nil, fmt.Errorf("has the distortion TPV (PV%d_%d), which is not read: SIP is", n, m)
			}
		}
	}
	system, _ := h.Text("RADESYS")
	if system == "" {
		system, _ = h.Text("RADECSYS")
	}
	equinox, hasEquinox := h.Float("EQUINOX")
	if strings.HasPrefix(system, "FK4") || system == "" && hasEquinox && equinox < 1984 {
		return nil, errors.New("has coordinates of the equinox 1950 (FK4), which are not read: ICRS and FK5 are")
	}
	lon, lat := crval[0], crval[1]
	if w.swapped {
		lon, lat = lat, lon
	}
	if math.Abs(lat) > 90 {
		return nil, fmt.Errorf("has a reference declination of %g degrees", lat)
	}
	w.ra0 = radians(lon)
	w.sin, w.cos = math.Sincos(radians(lat))
	lonpole := 180.0
	if lat >= 90 {
		lonpole = 0
	}
	lonpole, err := number(h, "LONPOLE", lonpole)
	if err != nil {
		return nil, err
	}
	w.rotation.sin, w.rotation.cos = math.Sincos(radians(180 - lonpole))
	if err := w.matrix(h); err != nil {
		return nil, err
	}
	return w, w.distortion(h)
}

func number(h Header, key string, otherwise float64) (float64, error) {
	v, ok := h.Float(key)
	if !ok {
		return otherwise, nil
	}
	if math.IsNaN(v) || math.IsInf(v, 0) || math.Abs(v) > 1e100 {
		return 0, fmt.Errorf("has %s = %g", key, v)
	}
	return v, nil
}

// matrix reads CD, or PC and CDELT, or CDELT and CROTA2.
func (w *WCS) matrix(h Header) error {
	var cd, pc [2][2]float64
	var delt [2]float64
	hasCD, hasPC := false, false
	var err error
	for i := range 2 {
		if delt[i], err = number(h, fmt.Sprintf("CDELT%d", i+1), 1); err != nil {
			return err
		}
		for j := range 2 {
			if cd[i][j], err = element(h, "CD", i, j, 0, &hasCD); err != nil {
				return err
			}
			if pc[i][j], err = element(h, "PC", i, j, float64(1-(i^j)), &hasPC); err != nil {
				return err
			}
		}
	}
	rotation, err := number(h, "CROTA2", 0)
	switch {
	case err != nil:
		return err
	case hasCD:
		w.cd = cd
	case hasPC:
		for i := range 2 {
			for j := range 2 {
				w.cd[i][j] = delt[i] * pc[i][j]
			}
		}
	default:
		sin, cos := math.Sincos(radians(rotation))
		w.cd = [2][2]float64{{delt[0] * cos, -delt[1] * sin}, {delt[0] * sin, delt[1] * cos}}
	}
	m := w.cd
	det := m[0][0]*m[1][1] - m[0][1]*m[1][0]
	if math.Abs(det) < 1e-300 || math.IsInf(det, 0) {
		return errors.New("has coordinates that do not tell its pixels apart: the matrix of CD, or of PC and CDELT, has no inverse")
	}
	w.back = [2][2]float64{{m[1][1] / det, -m[0][1] / det}, {-m[1][0] / det, m[0][0] / det}}
	return nil
}

// element reads CD1_2, or CD001002 as Pan-STARRS and other older headers have it.
func element(h Header, name string, i, j int, otherwise float64, has *bool) (float64, error) {
	key := fmt.Sprintf("%s%d_%d", name, i+1, j+1)
	if _, ok := h.Float(key); !ok {
		key = fmt.Sprintf("%s%03d%03d", name, i+1, j+1)
	}
	_, ok := h.Float(key)
	*has = *has || ok
	return number(h, key, otherwise)
}

// distortion reads SIP.
func (w *WCS) distortion(h Header) error {
	var sip [2]polynomial
	for i, letter := range []string{"A", "B"} {
		order, ok := h.Int(letter + "_ORDER")
		if !ok {
			continue
		}
		if order < 0 || order > maxOrder {
			return fmt.Errorf("has a SIP distortion of order %d: 0 to %d are read", order, maxOrder)
		}
		for p := range int(order) + 1 {
			for q := range int(order) - p + 1 {
				c, err := number(h, fmt.Sprintf("%s_%d_%d", letter, p, q), 0)
				if err != nil {
					return err
				}
				if c != 0 {
					sip[i] = append(sip[i], term{p, q, c})
				}
			}
		}
	}
	if len(sip[0])+len(sip[1]) > 0 {
		w.sip = &sip
	}
	return nil
}

// at is the value of the polynomial and its derivatives.
func (p polynomial) at(u, v float64) (f, du, dv float64) {
	var pu, pv [maxOrder + 1]float64
	pu[0], pv[0] = 1, 1
	for i := 1; i <= maxOrder; i++ {
		pu[i], pv[i] = pu[i-1]*u, pv[i-1]*v
	}
	for _, t := range p {
		f += t.c * pu[t.p] * pv[t.q]
		if t.p > 0 {
			du += t.c * float64(t.p) * pu[t.p-1] * pv[t.q]
		}
		if t.q > 0 {
			dv += t.c * float64(t.q) * pu[t.p] * pv[t.q-1]
		}
	}
	return f, du, dv
}

// Sky is the position in degrees, RA from 0 to 360, of a pixel; (0, 0) is the centre of the file's first pixel, as in astropy.
func (w *WCS) Sky(x, y float64) (ra, dec float64) {
	u, v := x+1-w.crpix[0], y+1-w.crpix[1]
	if w.sip != nil {
		du, _, _ := w.sip[0].at(u, v)
		dv, _, _ := w.sip[1].at(u, v)
		u, v = u+du, v+dv
	}
	a, b := w.cd[0][0]*u+w.cd[0][1]*v, w.cd[1][0]*u+w.cd[1][1]*v
	if w.swapped {
		a, b = b, a
	}
	a, b = radians(a), radians(b)
	xi, eta := a*w.rotation.cos-b*w.rotation.sin, b*w.rotation.cos+a*w.rotation.sin
	far := w.cos - eta*w.sin
	ra = math.Mod(degrees(w.ra0+math.Atan2(xi, far)), 360)
	if ra < 0 {
		ra += 360
	}
	return ra, degrees(math.Atan2(w.sin+eta*w.cos, math.Hypot(xi, far)))
}

// Pixel is where a position in degrees lies; (0, 0) is the centre of the file's first pixel, and the result may be outside the image.
// False: it is not on the half of the sky that TAN shows, or the distortion has no inverse there, far outside the image.
func (w *WCS) Pixel(ra, dec float64) (x, y float64, ok bool) {
	sin, cos := math.Sincos(radians(dec))
	sinA, cosA := math.Sincos(radians(ra) - w.ra0)
	far := w.sin*sin + w.cos*cos*cosA
	if !(far > 1e-9) { // NaN too
		return 0, 0, false
	}
	xi, eta := degrees(cos*sinA/far), degrees((w.cos*sin-w.sin*cos*cosA)/far)
	a, b := xi*w.rotation.cos+eta*w.rotation.sin, eta*w.rotation.cos-xi*w.rotation.sin
	if w.swapped {
		a, b = b, a
	}
	u, v := w.back[0][0]*a+w.back[0][1]*b, w.back[1][0]*a+w.back[1][1]*b
	if w.sip != nil {
		if u, v, ok = w.undistorted(u, v); !ok {
			return 0, 0, false
		}
	}
	return u + w.crpix[0] - 1, v + w.crpix[1] - 1, true
}

// undistorted finds the pixel that SIP moves to (tu, tv).
func (w *WCS) undistorted(tu, tv float64) (u, v float64, ok bool) {
	u, v = tu, tv
	for range 30 {
		f, fu, fv := w.sip[0].at(u, v)
		g, gu, gv := w.sip[1].at(u, v)
		eu, ev := u+f-tu, v+g-tv
		fu, gv = fu+1, gv+1
		det := fu*gv - fv*gu
		du, dv := (gv*eu-fv*ev)/det, (fu*ev-gu*eu)/det
		u, v = u-du, v-dv
		if step := math.Hypot(du, dv); step <= 1e-9*max(1, math.Hypot(u, v)*1e-5) {
			return u, v, true
		} else if math.IsNaN(step) {
			break
		}
	}
	return 0, 0, false
}

// Scale is the length of a pixel's side at the reference point in degrees: the root of a pixel's area, without the distortion.
func (w *WCS) Scale() float64 {
	return math.Sqrt(math.Abs(w.cd[0][0]*w.cd[1][1] - w.cd[0][1]*w.cd[1][0]))
}

func radians(deg float64) float64 { return deg * (math.Pi / 180) }
func degrees(rad float64) float64 { return rad * (180 / math.Pi) }
