package main

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/lytics/grid/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// outcome counts the calls of a burst that ended in the same way.
type outcome struct {
	Count     int     `json:"count"`
	Length    int     `json:"length"`
	Error     *failed `json:"error,omitempty"`
	SlowestMs int64   `json:"slowest_ms"`
}

// ended describes how one call of a burst ended.
type ended struct {
	length int
	failed failed
}

// burst makes Count concurrent calls of the wire service over one connection, each with the same
// EchoMsg, and replies with their outcomes. An answer must be the same message. The connection is
// closed once CloseAfter calls have ended, or once all have if it is 0.
func burst(ctx context.Context, c command) reply {
	options := []grpc.DialOption{grpc.WithInsecure()}
	if c.Window > 0 {
		// Setting either one turns off grpc-go's dynamic window.
		options = append(options, grpc.WithInitialWindowSize(c.Window), grpc.WithInitialConnWindowSize(c.Window))
	}
	conn, err := grpc.DialContext(ctx, c.Address, append(options, grpc.WithBlock())...)
	if err != nil {
		return reply{Error: failure(err)}
	}
	defer conn.Close()
	data, err := proto.Marshal(c.message())
	if err != nil {
		return reply{Error: failure(err)}
	}
	delivery := &grid.Delivery{Data: data, TypeName: c.Type, Receiver: c.To}
	type call struct {
		ended
		after time.Duration
	}
	calls := make(chan call)
	begun := time.Now()
	for i := 0; i < c.Count; i++ {
		go func() {
			answer, err := grid.NewWireClient(conn).Process(ctx, delivery)
			if err == nil && !bytes.Equal(answer.Data, data) {
				err = errors.New("the answer is another message")
			}
			one := call{ended{length: len(answer.GetData())}, time.Since(begun)}
			if err != nil {
				one.failed = *failure(err)
			}
			calls <- one
		}()
	}
	outcomes := map[ended]*outcome{}
	for i := 1; i <= c.Count; i++ {
		one := <-calls
		group := outcomes[one.ended]
		if group == nil {
			group = &outcome{Length: one.length}
			if one.failed != (failed{}) {
				group.Error = &one.failed
			}
			outcomes[one.ended] = group
		}
		group.Count++
		if after := one.after.Milliseconds(); after > group.SlowestMs {
			group.SlowestMs = after
		}
		if i == c.CloseAfter {
			conn.Close()
		}
	}
	var r reply
	for _, group := range outcomes {
		r.Outcomes = append(r.Outcomes, *group)
	}
	return r
}
