// Package npz reads and writes NumPy's .npz archives, and reads .npy files.
//
// An archive is a ZIP file with one member per array. A member that is stored
// holds the values verbatim, one that is deflated (savez_compressed) does not.
//
//	|local header "a.npy"| npy header | values | local ... |directory|end|
//	                      ▲                    ▲
//	                      a member is a whole .npy file
//
//	0        6       8      10 (12 from version 2)
//	|\x93NUMPY|1.0    |length|{'descr': '<f4', 'fortran_order': False, ...}\n|values
//	           version uint16 (uint32 from version 2), little-endian
//
// [Parse] makes an array of each stored member and an encoded view of each
// deflated one. It reads the directory and the headers and inflates no more
// than a header, so a zip bomb costs nothing to open; reading its values fails
// as soon as it holds more than its header says.
//
// Types that package tensor has no name for (big-endian numbers, strings,
// dates, and the void that NumPy makes of bfloat16) keep their NumPy name,
// such as ">f4" or "<V2", and are carried as opaque bytes. Objects, which are
// pickles, and structured types are refused. A member that cannot be shown as
// a tensor at all is mentioned in the metadata and stays in the skeleton.
package npz
