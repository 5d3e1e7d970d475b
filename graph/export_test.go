package graph

// Everything is a small ONNX file with much in it.
var Everything = everything
