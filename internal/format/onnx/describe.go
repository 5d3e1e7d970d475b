package onnx

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/layout"
)

const (
	// maxMetadata bounds the entries of the metadata, and maxText the bytes of
	// each value. What lies beyond is for people, who do not read that much, and
	// is not lost: it is in the skeleton.
	maxMetadata = 1 << 10
	maxText     = window
)

// describe adds a field of the ModelProto to the metadata, if it is one that
// describes the model.
func (w *walker) describe(f field) error {
	switch f.num {
	case modelIRVersion:
		return w.describeNumber(f, "ir_version")
	case modelVersion:
		return w.describeNumber(f, "model_version")
	case modelProducer:
		return w.describeText(f, "producer_name")
	case modelProducerVersion:
		return w.describeText(f, "producer_version")
	case modelDomain:
		return w.describeText(f, "domain")
	case modelOpset:
		return w.describeOpset(f)
	case modelMetadata:
		if err := w.r.want(f, protowire.BytesType, "metadata_props"); err != nil {
			return err
		}
		key, value, err := entry(w.r, f)
		if err != nil {
			return err
		}
		return w.describeText(value, "metadata_props."+key)
	}
	return nil
}

func (w *walker) describeNumber(f field, key string) error {
	if err := w.r.want(f, protowire.VarintType, key); err != nil {
		return err
	}
	w.pair(key, strconv.FormatInt(int64(f.value), 10))
	return nil
}

func (w *walker) describeText(f field, key string) error {
	if f.num != 0 {
		if err := w.r.want(f, protowire.BytesType, key); err != nil {
			return err
		}
	}
	b, err := w.r.peek(f.body.start, min(f.body.size(), maxText))
	if err != nil {
		return err
	}
	w.pair(key, strings.ToValidUTF8(string(b), "\uFFFD"))
	return nil
}

// describeOpset reads an OperatorSetIdProto: the version of one domain.
func (w *walker) describeOpset(f field) error {
	if err := w.r.want(f, protowire.BytesType, "opset_import"); err != nil {
		return err
	}
	var domain field
	version := int64(0)
	err := w.r.fields(f.body, func(f field) error {
		switch f.num {
		case opsetDomain:
			domain = f
			return w.r.want(f, protowire.BytesType, "domain of an opset")
		case opsetVersion:
			version = int64(f.value)
			return w.r.want(f, protowire.VarintType, "version of an opset")
		}
		return nil
	})
	if err != nil {
		return err
	}
	name, err := w.r.text(domain)
	if name == "" {
		name = "ai.onnx"
	}
	w.pair("opset_import."+name, strconv.FormatInt(version, 10))
	return err
}

func (w *walker) pair(key, value string) {
	if len(w.metadata) < maxMetadata {
		w.metadata = append(w.metadata, layout.Pair{Key: key, Value: value})
	}
}
