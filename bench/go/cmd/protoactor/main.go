// protoactor-go with its remote.
package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"actorgrid/bench/contender"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	name     = "echo"
	deadline = 10 * time.Second
	// maxBatch is more than what is sent together: gRPC's default is 4 MiB.
	maxBatch = 64 << 20
)

type protoactor struct{}

func main() { contender.Main(protoactor{}) }

func (protoactor) About() contender.About {
	return contender.About{
		Name:       "protoactor-go",
		Version:    contender.VersionOf("github.com/asynkron/protoactor-go"),
		Messages:   "protobuf, typed, with a text",
		Names:      "an address and a name; nothing is looked up",
		Deadline:   "10 s each",
		Encryption: "none",
		Settings:   "defaults, with batches of up to 64 MiB allowed; unbounded mailboxes",
	}
}

// start starts a node at a free port of the loopback.
func start() *actor.ActorSystem {
	quiet := func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	system := actor.NewActorSystem(actor.WithLoggerFactory(quiet))
	limits := []grpc.CallOption{grpc.MaxCallRecvMsgSize(maxBatch), grpc.MaxCallSendMsgSize(maxBatch)}
	config := remote.Configure("127.0.0.1", 0,
		remote.WithServerOptions(grpc.MaxRecvMsgSize(maxBatch), grpc.MaxSendMsgSize(maxBatch)),
		remote.WithCallOptions(limits...))
	remote.NewRemote(system, config).Start()
	return system
}

func (protoactor) Serve(string) (string, func(), error) {
	system := start()
	echo := actor.PropsFromFunc(func(ctx actor.Context) {
		if message, ok := ctx.Message().(*wrapperspb.StringValue); ok {
			text := message.Value[:contender.Echoed(len(message.Value))]
			ctx.Respond(&wrapperspb.StringValue{Value: text})
		}
	})
	if _, err := system.Root.SpawnNamed(echo, name); err != nil {
		return "", nil, err
	}
	return system.Address(), func() {}, nil
}

func (protoactor) Connect(address, _ string) (contender.Caller, error) {
	return &caller{start(), actor.NewPID(address, name)}, nil
}

type caller struct {
	system *actor.ActorSystem
	echo   *actor.PID
}

func (c *caller) Message(bytes int) interface{} {
	return &wrapperspb.StringValue{Value: strings.Repeat("x", bytes)}
}

func (c *caller) Call(message interface{}) (int, error) {
	answer, err := c.system.Root.RequestFuture(c.echo, message, deadline).Result()
	if err != nil {
		return 0, err
	}
	text, ok := answer.(*wrapperspb.StringValue)
	if !ok {
		return 0, fmt.Errorf("not a StringValue: %T", answer)
	}
	return len(text.Value), nil
}
