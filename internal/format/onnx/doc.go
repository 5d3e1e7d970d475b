// Package onnx finds the tensors of ONNX models, and writes models in which
// some of them have changed.
//
// A model is one protobuf message, ModelProto. Protobuf is a list of fields,
// each a tag (number and wire type) and a payload; a message inside of a
// message is a payload with its length in front:
//
//	ModelProto
//	 08 0a                          ir_version 10
//	 3a <len> GraphProto            graph
//	           0a <len> NodeProto   node: If
//	                     2a <len> AttributeProto   then_branch
//	                               32 <len> GraphProto ...
//	           2a <len> TensorProto initializer
//	                     08 40 08 03   dims 64 3
//	                     10 01         data_type FLOAT
//	                     42 01 77      name "w"
//	                     4a <len> ...  raw_data: an array
//
// Weights are found wherever a TensorProto can be: initializers, sparse
// initializers, the value of a Constant node, any other tensor attribute, and
// all of these again in the subgraphs of If, Loop and Scan, in model-local
// functions and in training graphs. raw_data, packed float_data and packed
// double_data hold the values verbatim and become arrays of the layout. Numbers
// that are stored as varints, or field by field, stay in the skeleton and are
// decoded on demand ([Decoder]). Values in external files are arrays of those
// files. Strings, and the typed fields of types that package tensor does not
// know, are part of the skeleton only.
//
// Two calls matter: [Parse] for the layout, and [Open] followed by
// [Model.Edit] to write the model with other weights. Both read tags and
// lengths in small windows and step over payloads, so a model of many
// gigabytes opens in milliseconds, and fields that this package does not know
// keep their bytes.
//
// The package holds no generated code and registers no descriptor: a program
// that links two copies of the ONNX descriptor panics when it starts.
package onnx
