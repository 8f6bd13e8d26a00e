package contender

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// grace is how long after its end a run is cut off.
	grace = 5 * time.Second
	// kept is the number of latencies that a caller keeps before it adds them to the tally of all.
	kept = 32
	// maxFailures in a row end a caller.
	maxFailures = 10
	// maxUnanswered bounds what an open loop has in flight.
	maxUnanswered = 1 << 16
	// stall is how long nothing is answered once all calls wait for a stopped process.
	stall = 50 * time.Millisecond
	// maxLarge bounds the large messages in flight.
	maxLarge = 2
)

// options are those of the side that loads.
type options struct {
	address     string
	bytes       int
	inFlight    int
	rate        float64
	seconds     float64
	warmUp      float64
	largeEvery  int
	largeBytes  int
	losing      string
	echoProcess int
	giveUp      float64
}

func (o *options) define(flags *flag.FlagSet) {
	flags.StringVar(&o.address, "address", "", "what the echo printed after ready")
	flags.IntVar(&o.bytes, "bytes", 70, "the content of each message")
	flags.IntVar(&o.inFlight, "in-flight", 64, "requests in flight")
	flags.Float64Var(&o.rate, "rate", 0, "requests a second instead")
	flags.Float64Var(&o.seconds, "seconds", 2, "the length of the window")
	flags.Float64Var(&o.warmUp, "warm-up", 0.3, "how long to send before that")
	flags.IntVar(&o.largeEvery, "large-every", 0, "send a large message every so many milliseconds")
	flags.IntVar(&o.largeBytes, "large-bytes", 4<<20-1024, "the content of each")
	flags.StringVar(&o.losing, "losing", "", "killed or frozen: lose the echo after the warm-up")
	flags.IntVar(&o.echoProcess, "echo-process", 0, "its process")
	flags.Float64Var(&o.giveUp, "give-up", 15, "seconds to wait for the calls to end")
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// window is the time in which answers count.
type window struct{ begin, end time.Time }

func (w window) contains(t time.Time) bool { return !t.Before(w.begin) && t.Before(w.end) }

func (o *options) load(caller Caller) (report, error) {
	if o.losing != "" {
		fmt.Println("begin")
		loss, err := o.lose(caller)
		fmt.Println("end")
		return report{Loss: loss}, err
	}
	begin := time.Now().Add(seconds(o.warmUp))
	w := window{begin, begin.Add(seconds(o.seconds))}
	announced := make(chan struct{})
	go func() {
		time.Sleep(time.Until(w.begin))
		fmt.Println("begin")
		time.Sleep(time.Until(w.end))
		fmt.Println("end")
		close(announced)
	}()
	large := make(chan *largeReport, 1)
	go func() { large <- o.sendLarge(caller, w) }()
	var t tally
	if o.rate > 0 {
		o.openLoop(caller, w, &t)
	} else {
		o.closedLoop(caller, w, &t)
	}
	<-announced
	r := t.report(w)
	r.Large = <-large
	return r, nil
}

// check makes a call whose answer must have the length of an echo.
func check(caller Caller, message interface{}, bytes int) error {
	length, err := caller.Call(message)
	if err == nil && length != Echoed(bytes) {
		err = fmt.Errorf("an answer of %d bytes, not %d", length, Echoed(bytes))
	}
	return err
}

func (o *options) closedLoop(caller Caller, w window, t *tally) {
	message := caller.Message(o.bytes)
	ended := make(chan struct{}, o.inFlight)
	for i := 0; i < o.inFlight; i++ {
		go func() {
			latencies := make([]time.Duration, 0, kept)
			failures := 0
			for sent := time.Now(); sent.Before(w.end) && failures < maxFailures; {
				err := check(caller, message, o.bytes)
				now := time.Now()
				if err != nil {
					failures++
					t.failed(err.Error())
				} else if failures = 0; w.contains(now) {
					latencies = append(latencies, now.Sub(sent))
					if len(latencies) == kept {
						t.answered(latencies...)
						latencies = latencies[:0]
					}
				}
				sent = now
			}
			t.answered(latencies...)
			ended <- struct{}{}
		}()
	}
	cutOff := time.After(time.Until(w.end) + grace)
	for i := 0; i < o.inFlight; i++ {
		select {
		case <-ended:
		case <-cutOff:
			for ; i < o.inFlight; i++ {
				t.failed("unanswered")
			}
		}
	}
}

func (o *options) openLoop(caller Caller, w window, t *tally) {
	// For the clock of the operating system, which is finer than that of Go's runtime.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	message := caller.Message(o.bytes)
	var unanswered int64
	start := time.Now()
	for number := 0; ; number++ {
		due := start.Add(seconds(float64(number) / o.rate))
		if !due.Before(w.end) {
			break
		}
		if early := time.Until(due); early > 0 {
			pause := syscall.NsecToTimespec(int64(early))
			// Woken early by a signal, it sends early, by less than the clocks differ.
			_ = syscall.Nanosleep(&pause, nil)
		}
		if atomic.AddInt64(&unanswered, 1) > maxUnanswered {
			atomic.AddInt64(&unanswered, -1)
			t.failed("not sent: too many are unanswered")
			continue
		}
		go func() {
			err := check(caller, message, o.bytes)
			now := time.Now()
			if err != nil {
				t.failed(err.Error())
			} else if w.contains(due) {
				t.answered(now.Sub(due))
			}
			atomic.AddInt64(&unanswered, -1)
		}()
	}
	for end := w.end.Add(grace); atomic.LoadInt64(&unanswered) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			for i := atomic.LoadInt64(&unanswered); i > 0; i-- {
				t.failed("unanswered")
			}
			return
		}
	}
}

func (o *options) sendLarge(caller Caller, w window) *largeReport {
	if o.largeEvery == 0 {
		return nil
	}
	message := caller.Message(o.largeBytes)
	var r largeReport
	var mutex sync.Mutex
	var unanswered int64
	ticks := time.NewTicker(time.Duration(o.largeEvery) * time.Millisecond)
	defer ticks.Stop()
	for now := range ticks.C {
		if !now.Before(w.end) {
			break
		}
		if atomic.LoadInt64(&unanswered) >= maxLarge {
			mutex.Lock()
			r.HeldBack++
			mutex.Unlock()
			continue
		}
		atomic.AddInt64(&unanswered, 1)
		go func() {
			err := check(caller, message, o.largeBytes)
			mutex.Lock()
			defer mutex.Unlock()
			atomic.AddInt64(&unanswered, -1)
			if err == nil {
				r.Answered++
				return
			}
			r.fail(err.Error())
		}()
	}
	for end := w.end.Add(grace); atomic.LoadInt64(&unanswered) > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	mutex.Lock()
	defer mutex.Unlock()
	if atomic.LoadInt64(&unanswered) > 0 {
		r.fail("unanswered")
	}
	copied := r
	return &copied
}

func (r *largeReport) fail(text string) {
	r.Errors++
	if r.FirstError == nil {
		r.FirstError = &text
	}
}

func (o *options) lose(caller Caller) (*lossReport, error) {
	isKilled := o.losing == "killed"
	if !isKilled && o.losing != "frozen" || o.echoProcess <= 1 || o.echoProcess == os.Getpid() {
		return nil, errors.New("--losing takes killed or frozen, and needs --echo-process")
	}
	type end struct {
		at  time.Time
		err error
	}
	message := caller.Message(o.bytes)
	ends := make(chan end, o.inFlight)
	var answers atomic.Uint64
	var isLost atomic.Bool
	for i := 0; i < o.inFlight; i++ {
		go func() {
			for {
				err := check(caller, message, o.bytes)
				if err != nil || isLost.Load() {
					ends <- end{time.Now(), err}
					return
				}
				answers.Add(1)
			}
		}()
	}
	time.Sleep(seconds(o.warmUp))
	// One that is to be killed is stopped just before, so that all calls are in flight by then.
	lost := time.Now()
	if err := syscall.Kill(o.echoProcess, syscall.SIGSTOP); err != nil {
		return nil, err
	}
	for seen := answers.Load(); ; seen = answers.Load() {
		time.Sleep(stall)
		if answers.Load() == seen {
			break
		}
	}
	isLost.Store(true)
	if isKilled {
		lost = time.Now()
		if err := syscall.Kill(o.echoProcess, syscall.SIGKILL); err != nil {
			return nil, err
		}
	}
	var r lossReport
	giveUp := time.After(seconds(o.giveUp))
	for r.Answered+r.Failed < o.inFlight {
		select {
		case e := <-ends:
			if e.at.Before(lost) {
				return nil, fmt.Errorf("a call failed before the loss: %w", e.err)
			}
			if e.err == nil {
				r.Answered++
			} else {
				r.Failed++
				if text := e.err.Error(); r.FirstError == nil {
					r.FirstError = &text
				}
			}
			if millis := float64(e.at.Sub(lost)) / 1e6; millis > r.LastMillis {
				r.LastMillis = millis
			}
		case <-giveUp:
			r.Unended = o.inFlight - r.Answered - r.Failed
			return &r, nil
		}
	}
	return &r, nil
}
