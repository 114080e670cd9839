// The module filippo.io/torchwood v0.10.0 has the package mpt, and keeps it from being
// imported by a build constraint; it also needs a newer Go than that package does. So it
// is not required here: the harness (golang.py) fetches the module, holds it against
// go.sum, and puts the package's files beside main.go, in mpt/, without the constraint.
module pcrlog.example/interop/mpt

go 1.23
