package dataset

import (
	"fmt"
	"io"
	"io/fs"
	"path"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// The binary version of CIFAR is records without a header: one byte of label for
// CIFAR-10, two (coarse, fine) for CIFAR-100, then 3072 of pixels, three planes of
// 32x32, red, green, blue.

const cifarPixels = 3 * 32 * 32

var cifarClasses = []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}

func isCIFAR10(name string) bool {
	ok, _ := path.Match("data_batch_*.bin", name)
	return ok || name == "test_batch.bin"
}

func isCIFAR100(name string) bool { return name == "train.bin" || name == "test.bin" }

func openCIFAR10(dir fs.FS, at string, o *Options) (*loaded, error) {
	l := &loaded{format: "cifar10"}
	var err error
	if l.classes, err = readLines(dir, at, "batches.meta.txt"); err != nil {
		return nil, err
	}
	if l.classes == nil {
		l.classes = cifarClasses
	}
	batches, err := fs.Glob(dir, "data_batch_*.bin")
	if err != nil {
		return nil, err
	}
	if l.splits[train], err = readCIFAR(dir, at, batches, 1, len(l.classes), o); err != nil {
		return nil, err
	}
	l.splits[test], err = readCIFAR(dir, at, []string{"test_batch.bin"}, 1, len(l.classes), o)
	return l, err
}

func openCIFAR100(dir fs.FS, at string, o *Options) (*loaded, error) {
	l := &loaded{format: "cifar100"}
	var err error
	if l.classes, err = readLines(dir, at, "fine_label_names.txt"); err != nil {
		return nil, err
	}
	classes := 100
	if l.classes != nil {
		classes = len(l.classes)
	}
	if l.splits[train], err = readCIFAR(dir, at, []string{"train.bin"}, 2, classes, o); err != nil {
		return nil, err
	}
	l.splits[test], err = readCIFAR(dir, at, []string{"test.bin"}, 2, classes, o)
	return l, err
}

// readCIFAR reads the files that exist, or returns nil if none does. The last of
// the labels bytes of a record counts.
func readCIFAR(dir fs.FS, at string, files []string, labels, classes int, o *Options) (*Memory, error) {
	record := int64(labels + cifarPixels)
	sizes := map[string]int64{}
	total := int64(0)
	for _, name := range files {
		st, err := fs.Stat(dir, name)
		if err != nil {
			continue
		}
		file := join(at, name)
		switch {
		case !st.Mode().IsRegular():
			return nil, fmt.Errorf("%s: is not a regular file", file)
		case st.Size()%record != 0 || st.Size() == 0:
			return nil, &layout.CorruptError{File: file, Offset: st.Size() / record * record, Reason: fmt.Sprintf("%d bytes are not a whole number of records of %d bytes", st.Size(), record), Err: io.ErrUnexpectedEOF}
		}
		sizes[name] = st.Size()
		total += st.Size()
	}
	if total == 0 {
		return nil, nil
	}
	shape := tensor.Shape{3, 32, 32}
	if total > o.Memory {
		return nil, fmt.Errorf("%s: %w", at, tooLarge(int(total/record), shape, total, o.Memory))
	}
	pixels := make([]uint8, 0, total/record*cifarPixels)
	targets := make([]int, 0, total/record)
	for _, name := range files {
		if sizes[name] == 0 {
			continue
		}
		raw, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		for i := int64(0); i+record <= int64(len(raw)); i += record {
			c := int(raw[i+int64(labels)-1])
			if c >= classes {
				return nil, &layout.CorruptError{File: join(at, name), Offset: i + int64(labels) - 1, Reason: fmt.Sprintf("example %d has the label %d; want 0 to %d", i/record, c, classes-1)}
			}
			targets = append(targets, c)
			pixels = append(pixels, raw[i+int64(labels):i+record]...)
		}
	}
	return NewPixels(shape, pixels, targets)
}
