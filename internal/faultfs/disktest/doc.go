// Package disktest holds the tests of everything that the program keeps on disks that fail and lose power, see faultfs. They are here since they are about all
// packages that write. Longer:
//
//	go test ./internal/faultfs/disktest -run PowerCut -cuts 1000 -from 7     1000 power cuts of each kind, seeds from 7 on
//	go test ./internal/faultfs/disktest -run PowerCut -during 5m -from 7     as many as fit into five minutes; -from 0: seeds of the clock
package disktest
