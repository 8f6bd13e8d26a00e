package contender

import (
	"testing"
	"time"
)

func TestABucketIsAtMost3PercentWide(t *testing.T) {
	for nanos := uint64(1); nanos < 1<<62; nanos += nanos/7 + 1 {
		start := least(bucket(nanos))
		if start > nanos || nanos-start > nanos/steps || bucket(start) != bucket(nanos) {
			t.Errorf("%d is in the bucket of %d", nanos, start)
		}
	}
}

func TestQuantilesAreThoseOfAllLatencies(t *testing.T) {
	var h histogram
	for nanos := 1; nanos <= 100; nanos++ {
		h.record(time.Duration(nanos))
	}
	for share, want := range map[float64]float64{0.5: 0.050, 0.99: 0.098, 1: 0.100} {
		if got := h.micros(share); got != want {
			t.Errorf("the quantile %v is %v, not %v", share, got, want)
		}
	}
}
