package doctor

// fileSystemType is what a folder is on.
type fileSystemType struct {
	name   string
	shared bool // between machines
}
