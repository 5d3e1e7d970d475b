// Package dataset reads labelled examples, and makes batches of them.
//
// [Open] takes a folder or a file, finds its format, and returns a [Dataset]: a
// name, the shape of an example, the names of the classes, and a [Source] for
// each split. A [Loader] makes the batches of an epoch in parallel:
//
//	d, err := dataset.Open("builtin:fashion-mnist", &dataset.Options{Normalise: "measured"})
//	…
//	l, err := dataset.NewLoader(d.Train, &dataset.LoaderOptions{Batch: 100, Shuffle: true, Seed: 1})
//	…
//	for b, err := range l.Epoch(ctx, epoch, 0) {
//		…
//	}
//
// What is read:
//
//	builtin:fashion-mnist   7,000 images of Fashion-MNIST, which the program carries
//	folder, IDX             train-images-idx3-ubyte, train-labels-idx1-ubyte, and t10k- or
//	                        test- files beside them, each plain or with .gz; a prefix, as
//	                        in mnist-train-…, is allowed; classes.txt may name the classes
//	folder, CIFAR           data_batch_*.bin and test_batch.bin (CIFAR-10), or train.bin
//	                        and test.bin (CIFAR-100, fine labels)
//	folder, images          CLASS/…/NAME.png or .jpg; or train/CLASS/…, test/CLASS/…,
//	                        val/CLASS/…; classes are numbered in the order of their names
//	file, npz, safetensors  arrays such as x_train and y_train, or images and labels
//
// Pixels of eight bits become value/255, so that they lie in 0..1; floats stay as
// they are. Then comes the [Normalisation]. Examples are kept in memory.
//
// # Determinism
//
// The order of an epoch follows from (seed, epoch), and what happens to an example
// from (seed, epoch, index of the example). So batches are the same for any number
// of workers, and a run that is resumed in the middle of an epoch goes on as if it
// had not stopped. Processors that fuse multiplications and additions may round
// rotated and mixed examples differently.
//
// JPEG is decoded by the standard library, but colour of half the resolution (4:2:0 and
// 4:2:2) is interpolated as libjpeg does. Pixels then differ from those of other
// decoders by a grey level or two, which is how they compute the cosine transform.
package dataset
