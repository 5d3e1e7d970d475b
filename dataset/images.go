package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Names of folders that are splits.
var splitFolders = map[string]int{
	"train": train, "training": train,
	"test": test, "testing": test,
	"val": validation, "valid": validation, "validation": validation,
}

// maxImages bounds the files of a folder.
const maxImages = 1 << 27

// Extensions that say that a file wants to be an image. Those that are no PNG or
// JPEG are bad images: it would be worse to overlook them.
var imageExtensions = []string{".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}

// An imageFile is a file of a class.
type imageFile struct {
	name  string
	class string
}

// openImages reads CLASS/…/NAME below each split, or below dir if it has none.
func openImages(dir fs.FS, at string, o *Options) (*loaded, error) {
	l := &loaded{format: "images"}
	roots := [splits]string{}
	entries, err := folders(dir, ".")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	some := false
	for _, name := range entries {
		k, ok := splitFolders[strings.ToLower(name)]
		if !ok {
			continue
		}
		if roots[k] != "" {
			return nil, fmt.Errorf("%s: %s and %s are both the %s split; move one away", at, roots[k], name, splitNames[k])
		}
		roots[k], some = name, true
	}
	if !some {
		roots[train] = "."
	}
	var files [splits][]imageFile
	classes := map[string]int{}
	for k, root := range roots {
		if root == "" {
			continue
		}
		if files[k], err = imageFiles(dir, root); err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		if len(files[k]) == 0 {
			return nil, fmt.Errorf("%s: there are no images in it; want CLASS/NAME.png or .jpg", join(at, root))
		}
		for _, f := range files[k] {
			classes[f.class] = 0
		}
	}
	for c := range classes {
		l.classes = append(l.classes, c)
	}
	slices.Sort(l.classes)
	for i, c := range l.classes {
		classes[c] = i
	}
	return l, l.decodeAll(dir, at, files, classes, o)
}

// folders lists the folders in a folder, sorted. Links are followed.
func folders(dir fs.FS, at string) ([]string, error) {
	entries, err := fs.ReadDir(dir, at)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if st, err := fs.Stat(dir, path.Join(at, e.Name())); err == nil && st.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// imageFiles lists the images below the classes of root, sorted by class and name.
func imageFiles(dir fs.FS, root string) ([]imageFile, error) {
	classes, err := folders(dir, root)
	if err != nil {
		return nil, err
	}
	var files []imageFile
	for _, class := range classes {
		err := fs.WalkDir(dir, path.Join(root, class), func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), ".") || !slices.Contains(imageExtensions, strings.ToLower(path.Ext(name))) {
				return err
			}
			if len(files) == maxImages {
				return fmt.Errorf("there are more than %d images", maxImages)
			}
			files = append(files, imageFile{name, class})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// readImageFile reads a file, but not one that never ends.
func readImageFile(dir fs.FS, name string) ([]byte, error) {
	st, err := fs.Stat(dir, name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	return fs.ReadFile(dir, name)
}

// decodeAll fills the splits. It looks at all headers first: they say how much
// memory is needed, and which image is the first that differs.
func (l *loaded) decodeAll(dir fs.FS, at string, files [splits][]imageFile, classes map[string]int, o *Options) error {
	var all []imageFile
	for _, fs := range files {
		all = append(all, fs...)
	}
	sizes, bad := make([]picture, len(all)), make([]error, len(all))
	parallel(o.Threads, len(all), func(i int) {
		raw, err := readImageFile(dir, all[i].name)
		if err == nil {
			sizes[i], err = pictureSize(raw)
		}
		bad[i] = err
	})
	if !o.SkipBad {
		if err := badImages(at, all, bad); err != nil {
			return err
		}
	}
	shape, err := commonShape(at, all, sizes, bad, o)
	if err != nil {
		return err
	}
	size := shape.elems()
	if need := int64(size) * int64(len(all)); need > o.Memory {
		return fmt.Errorf("%s: %w", at, tooLarge(len(all), shape.shape(), need, o.Memory))
	}
	pixels := make([]uint8, size*len(all))
	scalers := sync.Pool{New: func() any { return newScaler(o.Fit) }}
	parallel(o.Threads, len(all), func(i int) {
		if bad[i] != nil {
			return
		}
		raw, err := readImageFile(dir, all[i].name)
		var p picture
		if err == nil {
			p, err = decodePicture(raw)
		}
		if bad[i] = err; err != nil {
			return
		}
		s := scalers.Get().(*scaler)
		defer scalers.Put(s)
		copy(pixels[i*size:(i+1)*size], s.fit(p.withChannels(shape.channels), shape.height, shape.width).pixels)
	})
	if !o.SkipBad {
		if err := badImages(at, all, bad); err != nil {
			return err
		}
	}
	first := 0
	for k := range files {
		if files[k] == nil {
			continue
		}
		n := len(files[k])
		part := pixels[first*size : (first+n)*size]
		kept, labels := 0, make([]int, 0, n)
		for i, f := range files[k] {
			if err := bad[first+i]; err != nil {
				l.skipped = append(l.skipped, fmt.Sprintf("%s: %v", join(at, f.name), err))
				continue
			}
			copy(part[kept*size:(kept+1)*size], part[i*size:(i+1)*size])
			labels = append(labels, classes[f.class])
			kept++
		}
		if kept == 0 {
			return fmt.Errorf("%s: none of the %d images of the %s split decodes; the first: %s", at, n, splitNames[k], l.skipped[len(l.skipped)-n])
		}
		if l.splits[k], err = NewPixels(shape.shape(), part[:kept*size], labels); err != nil {
			return err
		}
		first += n
	}
	return nil
}

// badImages counts the images that do not decode, and names the first.
func badImages(at string, files []imageFile, bad []error) error {
	n, first := 0, -1
	for i, err := range bad {
		if err != nil {
			if n++; first < 0 {
				first = i
			}
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d %w; the first is %s: %w", n, len(bad), ErrImage, join(at, files[first].name), bad[first])
}

// commonShape is the shape that all images get.
func commonShape(at string, files []imageFile, sizes []picture, bad []error, o *Options) (picture, error) {
	shape := picture{channels: o.Channels, height: o.Size[0], width: o.Size[1]}
	channels, first := 1, -1
	for i, s := range sizes {
		if bad[i] != nil {
			continue
		}
		if first < 0 {
			first = i
		}
		channels = max(channels, s.channels)
		if o.Size == [2]int{} && !s.sameSize(sizes[first]) {
			return picture{}, fmt.Errorf("%s has %dx%d pixels, and the images before it %dx%d; %w", join(at, files[i].name), s.height, s.width, sizes[first].height, sizes[first].width, ErrSizes)
		}
	}
	if first < 0 {
		return picture{}, fmt.Errorf("%s: none of the %d images decodes; the first is %s: %w", at, len(files), join(at, files[0].name), bad[0])
	}
	if o.Size == [2]int{} {
		shape.height, shape.width = sizes[first].height, sizes[first].width
	}
	if shape.channels == 0 {
		shape.channels = channels
	}
	return shape, nil
}

// parallel calls f for 0 <= i < n on some threads.
func parallel(threads, n int, f func(i int)) {
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(threads, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}
