package contender

import (
	"sync"
	"time"
)

// report is what a load prints: the keys are those of the Rust programs.
type report struct {
	Requests   uint64       `json:"requests"`
	Seconds    float64      `json:"seconds"`
	Errors     uint64       `json:"errors"`
	FirstError *string      `json:"first_error"`
	P50        float64      `json:"p50_micros"`
	P90        float64      `json:"p90_micros"`
	P99        float64      `json:"p99_micros"`
	P999       float64      `json:"p999_micros"`
	Max        float64      `json:"max_micros"`
	Large      *largeReport `json:"large"`
	Loss       *lossReport  `json:"loss"`
}

// largeReport is what became of the large messages.
type largeReport struct {
	Answered   uint64  `json:"answered"`
	HeldBack   uint64  `json:"held_back"`
	Errors     uint64  `json:"errors"`
	FirstError *string `json:"first_error"`
}

// lossReport is how the calls in flight ended when the other process was lost.
type lossReport struct {
	Answered   int     `json:"answered"`
	Failed     int     `json:"failed"`
	Unended    int     `json:"unended"`
	LastMillis float64 `json:"last_millis"`
	FirstError *string `json:"first_error"`
}

// tally counts what became of requests.
type tally struct {
	sync.Mutex
	latencies  histogram
	errors     uint64
	firstError *string
}

func (t *tally) answered(latencies ...time.Duration) {
	t.Lock()
	defer t.Unlock()
	for _, latency := range latencies {
		t.latencies.record(latency)
	}
}

func (t *tally) failed(text string) {
	t.Lock()
	defer t.Unlock()
	t.errors++
	if t.firstError == nil {
		t.firstError = &text
	}
}

func (t *tally) report(w window) report {
	t.Lock()
	defer t.Unlock()
	h := &t.latencies
	return report{
		Requests:   h.total,
		Seconds:    w.end.Sub(w.begin).Seconds(),
		Errors:     t.errors,
		FirstError: t.firstError,
		P50:        h.micros(0.5),
		P90:        h.micros(0.9),
		P99:        h.micros(0.99),
		P999:       h.micros(0.999),
		Max:        float64(h.greatest) / 1e3,
	}
}
