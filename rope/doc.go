// Package rope reads and writes .rope files: packed checkpoints.
//
// A .rope holds everything that its checkpoint's files hold, in fewer bytes,
// and gives back single tensors or the files themselves, byte for byte.
//
//	┌───────┬────────┬──────────────────────────────────┬───────┬─────────┐
//	│ magic │ header │ frame frame │ frame frame frame … │ index │ trailer │
//	└───────┴────────┴──────────────────────────────────┴───────┴─────────┘
//	            │      ╰─ group 0 ─╯╰── group 1 ──╯         │
//	   names, types, shapes,      blocks of values,    length of each frame,
//	   where each array lies      each coded alone     digest of each group
//	   in which original file
//
// The values of one large array, or of several small ones of one kind, make a
// group; a group is cut into blocks of (by default) 256 Ki values, and a frame
// holds one block with its coder, its length and its checksum. No block needs
// another one, so blocks are coded in parallel and read one at a time, and the
// bytes of a file do not depend on the number of threads. The header comes
// first, so that a reader of a stream knows what follows; the index comes
// last, so that a writer needs no second pass.
//
// [Encode] packs the files of a [layout.Layout]. [Open] reads header and index
// only; the [File] then gives arrays and original files on demand.
// docs/FORMAT.md is the specification of every byte.
package rope
