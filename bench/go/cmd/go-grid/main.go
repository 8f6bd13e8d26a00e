// The Go library that actorgrid is a port of.
package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"actorgrid/bench/contender"

	"github.com/lytics/grid/v3"
	etcdv3 "go.etcd.io/etcd/client/v3"
)

const (
	namespace = "bench-go"
	// deadline is that of each request, as in the Rust library's default.
	deadline = 10 * time.Second
	// capacity is more than the requests in flight of any case.
	capacity = 1 << 16
)

type goGrid struct{}

func main() { contender.Main(goGrid{}) }

func (goGrid) About() contender.About {
	return contender.About{
		Name:       "grid (Go)",
		Version:    contender.VersionOf("github.com/lytics/grid/v3"),
		Messages:   "protobuf, typed, with a text",
		Names:      "looked up in etcd",
		Deadline:   "10 s each",
		Encryption: "none",
		Settings:   "defaults; an actor with a mailbox of 65,536",
	}
}

func connectEtcd(registry string) (*etcdv3.Client, error) {
	if err := grid.Register(grid.EchoMsg{}); err != nil {
		return nil, err
	}
	address := strings.TrimPrefix(strings.TrimPrefix(registry, "etcd://"), "http://")
	return etcdv3.New(etcdv3.Config{Endpoints: []string{address}, DialTimeout: 5 * time.Second})
}

func (goGrid) Serve(registry string) (string, func(), error) {
	etcd, err := connectEtcd(registry)
	if err != nil {
		return "", nil, err
	}
	cfg := grid.ServerCfg{Namespace: namespace, DisallowLeadership: true}
	server, err := grid.NewServer(etcd, cfg)
	if err != nil {
		return "", nil, err
	}
	server.RegisterDef("echo", func([]byte) (grid.Actor, error) { return &echo{server}, nil })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := server.WaitUntilStarted(ctx); err != nil {
		return "", nil, err
	}
	client, err := grid.NewClient(etcd, grid.ClientCfg{Namespace: namespace})
	if err != nil {
		return "", nil, err
	}
	defer client.Close()
	if err := client.WaitUntilServing(ctx, server.Name()); err != nil {
		return "", nil, err
	}
	// A name that no two runs share: a peer that is killed holds its names until its lease ends.
	name := fmt.Sprintf("echo-%d", listener.Addr().(*net.TCPAddr).Port)
	start := grid.NewActorStart("%s", name)
	start.Type = "echo"
	if _, err := client.RequestC(ctx, server.Name(), start); err != nil {
		return "", nil, err
	}
	stop := func() {
		server.Stop()
		<-ended
	}
	return name, stop, nil
}

type echo struct{ server *grid.Server }

func (e *echo) Act(ctx context.Context) {
	name, err := grid.ContextActorName(ctx)
	if err != nil {
		return
	}
	mailbox, err := e.server.NewMailbox(name, capacity)
	if err != nil {
		return
	}
	defer mailbox.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case request := <-mailbox.C():
			message := request.Msg().(*grid.EchoMsg)
			text := message.Msg[:contender.Echoed(len(message.Msg))]
			// An answer that nobody waits for any more is no reason to end.
			_ = request.Respond(&grid.EchoMsg{Msg: text})
		}
	}
}

func (goGrid) Connect(address, registry string) (contender.Caller, error) {
	etcd, err := connectEtcd(registry)
	if err != nil {
		return nil, err
	}
	client, err := grid.NewClient(etcd, grid.ClientCfg{Namespace: namespace})
	if err != nil {
		return nil, err
	}
	return &caller{client, address}, nil
}

type caller struct {
	client *grid.Client
	actor  string
}

func (c *caller) Message(bytes int) interface{} {
	return &grid.EchoMsg{Msg: strings.Repeat("x", bytes)}
}

func (c *caller) Call(message interface{}) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	answer, err := c.client.RequestC(ctx, c.actor, message)
	if err != nil {
		return 0, err
	}
	text, ok := answer.(*grid.EchoMsg)
	if !ok {
		return 0, fmt.Errorf("not an EchoMsg: %T", answer)
	}
	return len(text.Msg), nil
}
