package common

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Count writes a number with commas: 6,446.
func Count[T ~int | ~int32 | ~int64 | ~uint64](v T) string {
	s := strconv.FormatInt(int64(v), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Short writes a count in at most four letters: 999, 9.9k, 99k, 9.9M.
func Short[T ~int | ~int32 | ~int64](v T) string {
	x := float64(v)
	for _, unit := range []string{"", "k", "M", "G"} {
		if math.Abs(x) < 999.5 {
			if unit != "" && math.Abs(x) < 9.95 {
				return strconv.FormatFloat(x, 'f', 1, 64) + unit
			}
			return strconv.FormatFloat(x, 'f', 0, 64) + unit
		}
		x /= 1000
	}
	return strconv.FormatFloat(x, 'f', 0, 64) + "T"
}

// Plural writes a count with its noun: "1 label", "2 labels".
func Plural[T ~int | ~int32 | ~int64](n T, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Count(n) + " " + noun + "s"
}

// Bytes writes a size: 63 MB.
func Bytes(n int64) string {
	x := float64(n)
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if x < 999.5 {
			if unit != "B" && x < 9.95 {
				return strconv.FormatFloat(x, 'f', 1, 64) + " " + unit
			}
			return strconv.FormatFloat(x, 'f', 0, 64) + " " + unit
		}
		x /= 1000
	}
	return strconv.FormatFloat(x, 'f', 1, 64) + " TB"
}

// Rate writes images per second; empty where it is not known.
func Rate(perSecond float64) string {
	switch {
	case !(perSecond > 0) || math.IsInf(perSecond, 0):
		return ""
	case perSecond < 10:
		return strconv.FormatFloat(perSecond, 'f', 1, 64) + " images/s"
	}
	return Count(int64(perSecond+0.5)) + " images/s"
}

// Seconds writes a length of time in two units at most: 12 s, 3 min, 1 h 20 min.
func Seconds(s float64) string {
	switch {
	case math.IsNaN(s) || s < 0 || s > 1e9:
		return ""
	case s < 99.5:
		return fmt.Sprintf("%.0f s", s)
	case s < 99.5*60:
		return fmt.Sprintf("%.0f min", s/60)
	case s < 48*3600:
		h := int(s) / 3600
		return fmt.Sprintf("%d h %d min", h, (int(s)-h*3600)/60)
	}
	return fmt.Sprintf("%.0f days", s/86400)
}

// Left writes the remaining time of a job; empty where it is not known.
func Left(s float64) string {
	if t := Seconds(s); t != "" {
		return t + " left"
	}
	return ""
}

// Age writes how long ago t was; empty for the zero time.
func Age(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := now.Sub(t).Seconds()
	if d < 1 {
		return "just now"
	}
	return Seconds(d) + " ago"
}

// Clock writes a time of these days as clocks show it, with the day where that is not today's: 14:05, Tue 14:05, 24 Dec 14:05.
func Clock(now, t time.Time) string {
	now, t = now.Local(), t.Local()
	switch d := t.Sub(now).Abs(); {
	case t.YearDay() == now.YearDay() && t.Year() == now.Year():
		return t.Format("15:04")
	case d < 6*24*time.Hour:
		return t.Format("Mon 15:04")
	}
	return t.Format("2 Jan 15:04")
}

// Score writes a score with three decimals; – where there is none.
func Score(s float32) string {
	if s != s {
		return "  –  "
	}
	return strconv.FormatFloat(float64(min(1, max(0, s))), 'f', 3, 64)
}

// Percent writes a share of 1.
func Percent(share float64) string {
	if math.IsNaN(share) {
		return "–"
	}
	return strconv.FormatFloat(share*100, 'f', 0, 64) + "%"
}
