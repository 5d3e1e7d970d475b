// Package safetensors reads and writes the safetensors format: one file, or
// shards with an index beside them.
//
// A file is a length, a JSON header padded with spaces, and the values.
//
//	0        8                       8+N                        end of file
//	|   N    |{"b":{...},"a":{...}}  | values of a | values of b |
//	 uint64   "a":{"dtype":"F32",      ▲           ▲
//	 little-       "shape":[2,3],      0           24
//	 endian        "data_offsets":[0,24]}  counted from byte 8+N
//
// An entry of the header says where its values lie. A last kind of entry,
// "__metadata__", maps strings to strings. The values of all tensors follow
// each other without holes, overlaps, or bytes after the last, so nothing can
// hide in a file and no file is smaller than what it claims to hold.
//
// An index (*.safetensors.index.json) names the shard of each tensor:
//
//	{"metadata":{"total_size":48},
//	 "weight_map":{"a":"model-00001-of-00002.safetensors", ...}}
//
// [Parse] and [ParseIndex] read headers only, so a checkpoint of any size
// opens in milliseconds. They are stricter than the reference implementation,
// which lets the last of two equal keys win, skips unknown keys, takes null for
// __metadata__ and an array for an entry, and allows any white space around the
// header: two programs must not read two things out of one file. They are more
// lenient in one respect: an element type that nobody has heard of yet is
// carried as opaque bytes.
//
// [Write] makes the same bytes as the reference implementation.
package safetensors
