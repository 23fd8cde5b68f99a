// Program comes to a failpoint three times.
package main

import (
	"fmt"

	"anomalymatch/internal/failpoint"
)

func main() {
	for i := range 3 {
		failpoint.Torn(failpoint.PartMade, func() { fmt.Print("half ") })
		fmt.Printf("%d ", i)
	}
}
