package contender

import (
	"math/bits"
	"time"
)

// steps is the number of buckets of each power of two: a bucket is at most 3 % wide.
const steps = 32

// histogram counts latencies, as the one of the Rust programs does.
type histogram struct {
	counts   [64 * steps]uint64
	total    uint64
	greatest time.Duration
}

func (h *histogram) record(latency time.Duration) {
	h.counts[bucket(uint64(latency))]++
	h.total++
	if latency > h.greatest {
		h.greatest = latency
	}
}

// micros returns the least latency of the bucket that share of all latencies do not exceed.
func (h *histogram) micros(share float64) float64 {
	rank := uint64(share*float64(h.total) + 0.999999)
	if rank == 0 {
		rank = 1
	}
	var seen uint64
	for index, count := range h.counts {
		seen += count
		if seen >= rank {
			return float64(least(uint64(index))) / 1e3
		}
	}
	return 0
}

func bucket(nanos uint64) uint64 {
	if nanos < steps {
		return nanos
	}
	shift := uint64(bits.Len64(nanos)-1) - 5
	return shift*steps + nanos>>shift
}

func least(bucket uint64) uint64 {
	if bucket < 2*steps {
		return bucket
	}
	return (bucket%steps + steps) << (bucket/steps - 1)
}
