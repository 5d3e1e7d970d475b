// Package archtest holds the rules of who may import whom, as a test.
//
// Data flows from files to tensors to packed files, and so do the imports:
//
//	tensor ◄── layout ◄── internal/format/* ◄── checkpoint ◄── internal/cli ◄── cmd/ropewalk
//	               ▲                                │
//	               └────────── rope ◄───────────────┘
//	                            │
//	                            └──► internal/codec/*
//
// The whole table is in rooms_test.go, each row with its reason. A package that
// is in no row fails the test: a new room needs a place in the picture before it
// gets code.
//
// The test reads the import clauses of every file, those of other systems and
// under other build tags too, and needs no go command.
package archtest
