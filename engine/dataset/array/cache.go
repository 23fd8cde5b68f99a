package array

import (
	"container/list"
	"errors"
	"sync"
)

// Cache keeps what was last asked for, up to a number of bytes, or the last one where that is larger. Two that ask for the same at once wait for one answer. Errors are not kept.
type Cache[K comparable, V any] struct {
	mu     sync.Mutex
	limit  int64
	used   int64
	items  map[K]*list.Element
	recent *list.List // of *cached[K, V], the last used first
}

type cached[K comparable, V any] struct {
	key   K
	size  int64
	ready chan struct{}
	value V
	err   error
}

var errFailed = errors.New("could not be read")

// NewCache makes a cache of limit bytes.
func NewCache[K comparable, V any](limit int64) *Cache[K, V] {
	return &Cache[K, V]{limit: limit, items: map[K]*list.Element{}, recent: list.New()}
}

// Get returns the value of key, which load makes with its size in bytes where it is not there. Nobody may change the value.
func (c *Cache[K, V]) Get(key K, load func() (V, int64, error)) (V, error) {
	c.mu.Lock()
	if at, ok := c.items[key]; ok {
		c.recent.MoveToFront(at)
		c.mu.Unlock()
		it := at.Value.(*cached[K, V])
		<-it.ready
		return it.value, it.err
	}
	it := &cached[K, V]{key: key, ready: make(chan struct{}), err: errFailed}
	at := c.recent.PushFront(it)
	c.items[key] = at
	c.mu.Unlock()
	defer func() { // also where load panics: others wait
		c.mu.Lock()
		if it.err != nil {
			c.drop(at)
		} else {
			c.used += it.size
			for old := c.recent.Back(); old != nil && c.used > c.limit; {
				before := old.Prev()
				select {
				case <-old.Value.(*cached[K, V]).ready:
					c.used -= old.Value.(*cached[K, V]).size
					c.drop(old)
				default: // still being made, or this one, which stays even where it is over the limit by itself
				}
				old = before
			}
		}
		c.mu.Unlock()
		close(it.ready)
	}()
	it.value, it.size, it.err = load()
	return it.value, it.err
}

func (c *Cache[K, V]) drop(at *list.Element) {
	delete(c.items, at.Value.(*cached[K, V]).key)
	c.recent.Remove(at)
}
