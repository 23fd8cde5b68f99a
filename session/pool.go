package session

import (
	"context"
	"errors"
	"os"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/truth"
)

// NamedSources are the project's sources as the pool wants them.
func (p *Project) NamedSources() []dataset.NamedSource {
	var all []dataset.NamedSource
	for _, s := range p.Sources {
		all = append(all, dataset.NamedSource{Name: s.Name, Path: s.Path, Reading: s.Reading})
	}
	return all
}

// Limits are what an image of the project may cost, from the settings.
func (p *Project) Limits() dataset.Limits {
	return dataset.Limits{MaxPixels: p.Config.Images.MaxMegapixels * 1e6, MaxBytes: int64(p.Config.Images.MaxFileMiB) << 20}
}

// OpenPool opens the images of the project. Where they were never listed they are now, with progress, if not nil, told how many
// were found so far.
func (p *Project) OpenPool(ctx context.Context, progress func(done int64)) (*dataset.Pool, error) {
	pool, err := dataset.OpenPool(ctx, p.Sub(indexDir), p.NamedSources(), p.Limits(), progress)
	if err == nil {
		pool.Prepare(p.Sub("prepared"), p.Config.Images.Prepare && !p.ReadOnly)
	}
	return pool, err
}

// ListedPool opens the images of the project if they were listed before; otherwise it is an error and takes no time.
func (p *Project) ListedPool(ctx context.Context) (*dataset.Pool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if _, err := os.Stat(p.Sub(indexDir)); err != nil {
		return nil, errNotListed
	}
	pool, err := p.OpenPool(ctx, func(int64) { cancel() }) // progress: it is being listed
	if ctx.Err() != nil {
		return nil, errNotListed
	}
	return pool, err
}

var errNotListed = errors.New("the images of the project were not listed yet")

const indexDir = "index"

// Discard removes a project that Create just made, with what was written into it since: for when it turns out to be none, such as
// with images that are not there. A project that was opened stays.
func (p *Project) Discard() error {
	if p.made == madeNothing {
		return nil
	}
	if p.made == madeFolder {
		return os.RemoveAll(p.Dir)
	}
	var errs []error
	for _, name := range []string{projectFile, indexDir, "labels", truth.Name} { // the folder was there, and empty
		errs = append(errs, os.RemoveAll(p.Sub(name)))
	}
	return errors.Join(errs...)
}

// made is what Create made.
type made int

const (
	madeNothing made = iota
	madeFiles
	madeFolder
)
