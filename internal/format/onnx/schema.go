package onnx

import "google.golang.org/protobuf/encoding/protowire"

// The fields of onnx.proto that lead to tensors or describe the model. All
// others are stepped over.
const (
	modelIRVersion       protowire.Number = 1
	modelProducer        protowire.Number = 2
	modelProducerVersion protowire.Number = 3
	modelDomain          protowire.Number = 4
	modelVersion         protowire.Number = 5
	modelDoc             protowire.Number = 6
	modelGraph           protowire.Number = 7
	modelOpset           protowire.Number = 8
	modelMetadata        protowire.Number = 14
	modelTraining        protowire.Number = 20
	modelFunctions       protowire.Number = 25
	modelConfiguration   protowire.Number = 26

	opsetDomain  protowire.Number = 1
	opsetVersion protowire.Number = 2

	entryKey   protowire.Number = 1 // of StringStringEntryProto
	entryValue protowire.Number = 2

	trainingInitialization protowire.Number = 1
	trainingAlgorithm      protowire.Number = 2

	functionName      protowire.Number = 1
	functionInput     protowire.Number = 4
	functionOutput    protowire.Number = 5
	functionRequired  protowire.Number = 6 // names of attributes without a default
	functionNode      protowire.Number = 7
	functionOpset     protowire.Number = 9
	functionDomain    protowire.Number = 10
	functionAttribute protowire.Number = 11
	functionOverload  protowire.Number = 13

	graphNode   protowire.Number = 1
	graphName   protowire.Number = 2
	graphTensor protowire.Number = 5 // initializer
	graphInput  protowire.Number = 11
	graphOutput protowire.Number = 12
	graphValue  protowire.Number = 13
	graphSparse protowire.Number = 15 // sparse_initializer

	nodeInput     protowire.Number = 1
	nodeOutput    protowire.Number = 2
	nodeName      protowire.Number = 3
	nodeOp        protowire.Number = 4
	nodeAttribute protowire.Number = 5
	nodeDomain    protowire.Number = 7
	nodeOverload  protowire.Number = 8

	attributeName          protowire.Number = 1
	attributeFloat         protowire.Number = 2
	attributeInt           protowire.Number = 3
	attributeString        protowire.Number = 4
	attributeTensor        protowire.Number = 5
	attributeGraph         protowire.Number = 6
	attributeFloats        protowire.Number = 7
	attributeInts          protowire.Number = 8
	attributeStrings       protowire.Number = 9
	attributeTensors       protowire.Number = 10
	attributeGraphs        protowire.Number = 11
	attributeTypeProto     protowire.Number = 14
	attributeTypeProtos    protowire.Number = 15
	attributeKind          protowire.Number = 20
	attributeRef           protowire.Number = 21
	attributeSparseTensor  protowire.Number = 22
	attributeSparseTensors protowire.Number = 23

	valueName protowire.Number = 1
	valueType protowire.Number = 2

	typeTensor protowire.Number = 1 // of TypeProto

	tensorTypeElement protowire.Number = 1 // of TypeProto.Tensor
	tensorTypeShape   protowire.Number = 2

	shapeDim protowire.Number = 1

	dimValue protowire.Number = 1
	dimParam protowire.Number = 2

	sparseValues  protowire.Number = 1
	sparseIndices protowire.Number = 2
	sparseDims    protowire.Number = 3

	tensorDims     protowire.Number = 1
	tensorType     protowire.Number = 2
	tensorSegment  protowire.Number = 3
	tensorFloat    protowire.Number = 4
	tensorInt32    protowire.Number = 5
	tensorString   protowire.Number = 6
	tensorInt64    protowire.Number = 7
	tensorName     protowire.Number = 8
	tensorRaw      protowire.Number = 9
	tensorDouble   protowire.Number = 10
	tensorUint64   protowire.Number = 11
	tensorExternal protowire.Number = 13
	tensorLocation protowire.Number = 14
)

// storeNames are the fields of TensorProto that hold values, for messages.
var storeNames = map[protowire.Number]string{
	tensorFloat:    "float_data",
	tensorInt32:    "int32_data",
	tensorString:   "string_data",
	tensorInt64:    "int64_data",
	tensorRaw:      "raw_data",
	tensorDouble:   "double_data",
	tensorUint64:   "uint64_data",
	tensorExternal: "external_data",
}
