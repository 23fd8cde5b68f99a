// Package parallel spreads loops over all cores.
package parallel

import (
	"runtime"
	"sync"
)

// Parts splits n things into parts and calls f(part, from, to) for each, on all cores; part k has the things from k·n/parts on. A panic in f is
// one of the caller, who can recover: in a goroutine of its own it would end the program. The parts that are left are not done then.
func Parts(n, parts int, f func(part, from, to int)) {
	next := make(chan int, parts)
	for p := range parts {
		next <- p
	}
	close(next)
	var once sync.Once
	var caught any
	var wg sync.WaitGroup
	for range min(parts, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			defer func() {
				if r := recover(); r != nil {
					once.Do(func() { caught = r })
					for range next { // nobody begins another part
					}
				}
			}()
			for p := range next {
				f(p, p*n/parts, (p+1)*n/parts)
			}
		})
	}
	wg.Wait()
	if caught != nil {
		panic(caught)
	}
}
