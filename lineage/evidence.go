package lineage

// Evidence is how probable it is that strangers look as these two networks do. Every
// number says what it assumes.
type Evidence struct{}
