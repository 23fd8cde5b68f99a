//go:build turbojpeg && cgo

package turbo

/*
#cgo pkg-config: libjpeg
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <jpeglib.h>

#ifndef LIBJPEG_TURBO_VERSION
#error "this libjpeg is not libjpeg-turbo: build without -tags turbojpeg"
#endif

struct failure {
	struct jpeg_error_mgr base;
	jmp_buf out;
};

static void fail(j_common_ptr c) { longjmp(((struct failure *)c->err)->out, 1); }
static void quiet(j_common_ptr c, int level) { if (level < 0) c->err->num_warnings++; }
static void silent(j_common_ptr c) {}

struct decoder {
	struct jpeg_decompress_struct c;
	struct failure err;
};

static struct decoder *make(void) {
	struct decoder *d = calloc(1, sizeof *d);
	if (!d) return NULL;
	d->c.err = jpeg_std_error(&d->err.base);
	d->err.base.error_exit = fail;
	d->err.base.emit_message = quiet;
	d->err.base.output_message = silent;
	if (setjmp(d->err.out)) {
		free(d);
		return NULL;
	}
	jpeg_create_decompress(&d->c);
	return d;
}

static void release(struct decoder *d) {
	jpeg_destroy_decompress(&d->c);
	free(d);
}

// decode writes RGB rows to pix, which has room for n bytes, and their size to w and h. eighths: the picture is made smaller to that many
// eighths of its size. 0: it cannot, or there was a warning.
static int decode(struct decoder *d, const unsigned char *b, unsigned long len, int eighths, unsigned char *pix, size_t n, int *w, int *h) {
	if (setjmp(d->err.out)) {
		jpeg_abort_decompress(&d->c);
		return 0;
	}
	d->err.base.num_warnings = 0;
	jpeg_mem_src(&d->c, b, len);
	if (jpeg_read_header(&d->c, TRUE) != JPEG_HEADER_OK || (d->c.num_components != 1 && d->c.num_components != 3)) {
		jpeg_abort_decompress(&d->c);
		return 0;
	}
	d->c.out_color_space = JCS_RGB;
	d->c.dct_method = JDCT_ISLOW;
	d->c.scale_num = eighths;
	d->c.scale_denom = 8;
	jpeg_calc_output_dimensions(&d->c);
	*w = d->c.output_width;
	*h = d->c.output_height;
	size_t stride = (size_t)*w * 3;
	if (stride * *h > n) {
		jpeg_abort_decompress(&d->c);
		return 0;
	}
	jpeg_start_decompress(&d->c);
	while (d->c.output_scanline < d->c.output_height) {
		JSAMPROW rows[8];
		int k = 0;
		for (; k < 8 && d->c.output_scanline + k < d->c.output_height; k++)
			rows[k] = pix + (d->c.output_scanline + k) * stride;
		jpeg_read_scanlines(&d->c, rows, k);
	}
	jpeg_finish_decompress(&d->c);
	return d->err.base.num_warnings == 0;
}
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// Available says whether this program was built with libjpeg-turbo.
const Available = true

// Decoder is for one goroutine at a time.
type Decoder struct{ d *C.struct_decoder }

// New returns a decoder, which releases its memory when it is collected.
func New() *Decoder {
	d := &Decoder{C.make()}
	runtime.AddCleanup(d, func(d *C.struct_decoder) {
		if d != nil {
			C.release(d)
		}
	}, d.d)
	return d
}

// Decode writes the RGB pixels of the JPEG b to pix, at eighths/8 of its size, rounded up, and returns that size; false where pix is too
// small, or the library has any doubt about b.
func (d *Decoder) Decode(pix, b []byte, eighths int) (w, h int, ok bool) {
	if d.d == nil || len(b) == 0 || len(pix) == 0 {
		return 0, 0, false
	}
	var cw, ch C.int
	ok = C.decode(d.d, (*C.uchar)(unsafe.SliceData(b)), C.ulong(len(b)), C.int(eighths), (*C.uchar)(unsafe.SliceData(pix)), C.size_t(len(pix)), &cw, &ch) != 0
	runtime.KeepAlive(d)
	return int(cw), int(ch), ok
}
