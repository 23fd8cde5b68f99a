package dataset

// severalError is Match's where a name can be more than one image; meta.Ambiguous tells it from a name of none.
type severalError struct {
	text string
	n    int
}

func (e severalError) Error() string { return e.text }

// Several is how many images the name can be.
func (e severalError) Several() int { return e.n }
