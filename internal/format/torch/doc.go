// Package torch reads state dicts and other checkpoints that torch.save wrote
// since PyTorch 1.6: files named .pt, .pth, .ckpt, or pytorch_model.bin.
//
// Such a file is a zip archive without compression. All of its members lie in
// one folder, whose name does not matter:
//
//	resnet/data.pkl     a pickle: the saved object, without the numbers
//	resnet/byteorder    "little"; absent before PyTorch 2.1
//	resnet/data/0       the bytes of storage 0
//	resnet/data/1       the bytes of storage 1
//	resnet/version      "3\n"
//	(directory)         name, place and size of each member
//
// In the pickle, a tensor is a call that views a storage:
//
//	_rebuild_tensor_v2(("storage", FloatStorage, "0", "cpu", 12),
//	                   offset 0, size (4, 3), stride (1, 4), ...)
//
// Here the storage is member data/0 with 12 numbers, of which this tensor, a
// transposed one, is all. Tied weights are two tensors of one storage, and a
// slice is a tensor of a part of one. So storages become the arrays of a
// [layout.Layout], and tensors become views.
//
// A pickle is a program, and loading one with Python runs it. [Parse] does
// not: it knows the few functions by which PyTorch builds tensors and plain
// containers, and refuses a file that wants any other by the name of what it
// wants. In particular it does not read whole modules (torch.save(model)) or
// TorchScript: their files hold code, or names of code.
//
// The archive is checked in full: members must agree with the directory, lie
// inside of the file, and neither overlap nor share a name. Their checksums
// are those of zip; only that of the pickle is compared, because values are
// not read.
package torch
