// A peer of the Go library, which the tests run beside peers of actorgrid.
//
// Each step prints a line to stdout, with words of the form `field=value`: STARTED, READY, LEADER,
// ACTOR, STOPPED, FAILED. SIGTERM stops it gracefully.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lytics/grid/v3"
	etcdv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"
)

func main() {
	etcd := flag.String("etcd", "127.0.0.1:2379", "the etcd, as host:port")
	namespace := flag.String("namespace", "interop", "the grid")
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	claim := flag.String("claim", "", "the address to register, if it is not the one listened on")
	lease := flag.Duration("lease", 10*time.Second, "the lease's duration")
	annotations := flag.String("annotations", "", "of the peer, separated by commas")
	leader := flag.Bool("leader", false, "register the leader, and be a candidate")
	flag.Parse()
	if err := run(*etcd, *namespace, *address, *claim, *lease, *annotations, *leader); err != nil {
		say("FAILED error=%v", err)
		os.Exit(1)
	}
	say("STOPPED")
}

func say(format string, values ...interface{}) {
	fmt.Printf(format+"\n", values...)
}

func run(etcd, namespace, address, claim string, lease time.Duration, annotations string, leader bool) error {
	if err := grid.Register(grid.EchoMsg{}); err != nil {
		return err
	}
	client, err := etcdv3.New(etcdv3.Config{Endpoints: []string{etcd}, DialTimeout: 5 * time.Second})
	if err != nil {
		return err
	}
	defer client.Close()
	cfg := grid.ServerCfg{Namespace: namespace, LeaseDuration: lease, DisallowLeadership: !leader}
	if annotations != "" {
		cfg.Annotations = strings.Split(annotations, ",")
	}
	server, err := grid.NewServer(client, cfg)
	if err != nil {
		return err
	}
	for name, definition := range actors(server) {
		server.RegisterDef(name, definition)
	}
	if leader {
		server.RegisterDef("leader", func([]byte) (grid.Actor, error) {
			return actor(func(ctx context.Context) {
				say("LEADER start peer=%s", server.Name())
				<-ctx.Done()
				say("LEADER stop peer=%s", server.Name())
			}), nil
		})
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	if claim != "" {
		claimed, err := net.ResolveTCPAddr("tcp", claim)
		if err != nil {
			return err
		}
		listener = claiming{listener, claimed}
	}

	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	go ready(server, client, namespace)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	select {
	case err := <-ended:
		return err
	case <-signals:
		server.Stop()
		return <-ended
	}
}

// ready prints a line once the peer has its address, and another one once it serves.
func ready(server *grid.Server, etcd *etcdv3.Client, namespace string) {
	ctx := server.Context()
	if err := server.WaitUntilStarted(ctx); err != nil {
		return
	}
	say("STARTED peer=%s", server.Name())
	client, err := grid.NewClient(etcd, grid.ClientCfg{Namespace: namespace})
	if err != nil {
		say("FAILED error=%v", err)
		return
	}
	defer client.Close()
	if err := client.WaitUntilServing(ctx, server.Name()); err != nil {
		return
	}
	say("READY peer=%s", server.Name())
}

// claiming is a listener that reports another address than its own.
type claiming struct {
	net.Listener
	address net.Addr
}

func (l claiming) Addr() net.Addr { return l.address }

// actor makes an actor out of a function.
type actor func(context.Context)

func (a actor) Act(ctx context.Context) { a(ctx) }

// answer handles one request. It returns the reply, an error, or nil for no answer.
type answer func(text string, req grid.Request) interface{}

// serving makes an actor that handles requests to the mailbox with the actor's name.
func serving(server *grid.Server, size int, answer answer) grid.MakeActor {
	return func([]byte) (grid.Actor, error) {
		return actor(func(ctx context.Context) {
			name, err := grid.ContextActorName(ctx)
			if err != nil {
				say("FAILED error=%v", err)
				return
			}
			mailbox, err := server.NewMailbox(name, size)
			if err != nil {
				say("FAILED error=%v", err)
				return
			}
			say("ACTOR start name=%s", name)
			defer say("ACTOR stop name=%s", name)
			defer mailbox.Close()
			for {
				select {
				case <-ctx.Done():
					return
				case req := <-mailbox.C():
					echo, ok := req.Msg().(*grid.EchoMsg)
					if !ok {
						req.Respond(fmt.Errorf("not an EchoMsg: %T", req.Msg()))
						continue
					}
					if echo.Msg == "leave" {
						req.Ack()
						return
					}
					if reply := answer(echo.Msg, req); reply != nil {
						req.Respond(reply)
					}
				}
			}
		}), nil
	}
}

func actors(server *grid.Server) map[string]grid.MakeActor {
	count := 0
	return map[string]grid.MakeActor{
		"echo": serving(server, 100, func(text string, _ grid.Request) interface{} {
			return &grid.EchoMsg{Msg: text}
		}),
		// Answers with the values of three headers, one per line.
		"headers": serving(server, 100, func(_ string, req grid.Request) interface{} {
			sent, _ := metadata.FromIncomingContext(req.Context())
			var lines []string
			for _, name := range []string{"traceparent", "tracestate", "baggage"} {
				lines = append(lines, strings.Join(sent.Get(name), "|"))
			}
			return &grid.EchoMsg{Msg: strings.Join(lines, "\n")}
		}),
		// Answers with the name of the peer that it runs on.
		"where": serving(server, 100, func(string, grid.Request) interface{} {
			return &grid.EchoMsg{Msg: server.Name()}
		}),
		// Fails each request in the way that the request asks for.
		"error": serving(server, 100, func(text string, _ grid.Request) interface{} { return failure(text) }),
		// Counts the requests that it fails.
		"counting": serving(server, 100, func(text string, _ grid.Request) interface{} {
			if text == "count" {
				return &grid.EchoMsg{Msg: strconv.Itoa(count)}
			}
			count++
			if text == "busy" {
				return failure(text)
			}
			return errors.New("insufficient funds")
		}),
		// Never answers, and panics if the text asks for it.
		"silent": serving(server, 100, func(text string, _ grid.Request) interface{} {
			if text == "panic" {
				panic("as asked")
			}
			return nil
		}),
		// Answers after the given number of milliseconds, and accepts no other request meanwhile.
		"slow": serving(server, 1, func(text string, req grid.Request) interface{} {
			millis, err := strconv.Atoi(text)
			if err != nil {
				return err
			}
			select {
			case <-time.After(time.Duration(millis) * time.Millisecond):
			case <-server.Context().Done():
			}
			return &grid.EchoMsg{Msg: text}
		}),
		"fails":  func(data []byte) (grid.Actor, error) { return nil, errors.New(string(data)) },
		"nil":    func([]byte) (grid.Actor, error) { return nil, nil },
		"nildef": nil,
	}
}
