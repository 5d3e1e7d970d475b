//go:build external

package dataset_test

import (
	"encoding/binary"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ropewalk/dataset"
)

// photos writes photograph-like images of all forms, odd sizes included, and beside
// each one its pixels as Pillow decodes them: planes of red, green, blue.
const photos = `
import sys, os, io
import numpy as np
from PIL import Image
rng = np.random.default_rng(1)
out = sys.argv[1]
for i, (h, w) in enumerate([(32, 32), (33, 31), (17, 50), (8, 5), (64, 3), (40, 41)]):
    y, x = np.mgrid[0:h, 0:w]
    img = np.stack([127 + 100 * np.sin(x / 5 + c) * np.cos(y / 7 + 2 * c) + rng.normal(0, 12, (h, w)) for c in range(3)], 2).clip(0, 255).astype(np.uint8)
    for kind, sub in [('444', 0), ('422', 1), ('420', 2), ('progressive', 2), ('grey', 0), ('png', 0), ('palette', 0)]:
        d = '%s/%s-%d/all' % (out, kind, i)
        os.makedirs(d)
        im = Image.fromarray(img)
        if kind == 'grey': im = im.convert('L')
        if kind == 'palette': im = im.convert('P', palette=Image.ADAPTIVE)
        name = d + '/x.' + ('png' if kind in ('png', 'palette') else 'jpg')
        if name.endswith('png'): im.save(name)
        else: im.save(name, quality=90, subsampling=sub, progressive=kind == 'progressive')
        a = np.asarray(Image.open(name).convert('RGB'))
        header = np.array(a.shape[:2], '<u4').tobytes()
        open('%s/%s-%d.raw' % (out, kind, i), 'wb').write(header + a.transpose(2, 0, 1).tobytes())
`

// Pixels are those of Pillow: of PNG all of them, of JPEG to within what differs
// between cosine transforms.
func TestExternalPixels(t *testing.T) {
	py := os.Getenv("ROPEWALK_PYTHON")
	if py == "" || exec.Command(py, "-c", "import PIL, numpy").Run() != nil {
		t.Skip("ROPEWALK_PYTHON does not name a Python with Pillow and numpy")
	}
	dir := t.TempDir()
	if out, err := exec.Command(py, "-c", photos, dir).CombinedOutput(); err != nil {
		t.Fatalf("python: %v\n%s", err, out)
	}
	raws, err := filepath.Glob(filepath.Join(dir, "*.raw"))
	if err != nil || len(raws) != 42 {
		t.Fatalf("%d files, %v", len(raws), err)
	}
	for _, name := range raws {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		h, w := binary.LittleEndian.Uint32(raw), binary.LittleEndian.Uint32(raw[4:])
		raw = raw[8:]
		d := open(t, strings.TrimSuffix(name, ".raw"), &dataset.Options{Channels: 3})
		if d.Shape[1] != int64(h) || d.Shape[2] != int64(w) {
			t.Fatalf("%s: %v, want %dx%d", name, d.Shape, h, w)
		}
		x, _ := examples(t, d.Train)
		worst, sum := 0.0, 0.0
		for i, v := range x[0] {
			e := math.Abs(math.Round(float64(v)*255) - float64(raw[i]))
			worst = max(worst, e)
			sum += e
		}
		mean := sum / float64(len(raw))
		t.Logf("%s: worst %v, mean %.3f", filepath.Base(name), worst, mean)
		isPNG := strings.HasPrefix(filepath.Base(name), "p") && !strings.HasPrefix(filepath.Base(name), "pro")
		if isPNG && worst != 0 || worst > 4 || mean > 0.5 {
			t.Errorf("%s: pixels differ by up to %v, in the mean %v", filepath.Base(name), worst, mean)
		}
	}
}
