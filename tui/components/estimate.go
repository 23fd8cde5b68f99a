package components

import (
	"fmt"
	"math"
	"strconv"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
)

// About writes an expected number with its interval, ~12 (6–19); unknown: what to say where there is none.
func About(e *rpc.Estimate, unknown string) string {
	if !e.GetKnown() {
		return unknown
	}
	value := common.Short(int64(math.Round(e.GetValue())))
	if e.GetValue() < 0.95 && e.GetValue() > 0 {
		value = strconv.FormatFloat(e.GetValue(), 'f', 1, 64)
	}
	return fmt.Sprintf("~%s (%s–%s)", value, common.Short(int64(math.Round(e.GetLow()))), common.Short(int64(math.Round(e.GetHigh()))))
}

// Share writes a share with its interval, 62% (48–74%).
func Share(e *rpc.Estimate, unknown string) string {
	if !e.GetKnown() {
		return unknown
	}
	return fmt.Sprintf("%s (%.0f–%s)", common.Percent(e.GetValue()), 100*e.GetLow(), common.Percent(e.GetHigh()))
}
