// A client of the Go library that is driven by a script: it reads one JSON command per line from
// stdin, and writes one JSON reply per line to stdout, with the command's id. Commands are carried
// out concurrently. It ends with its stdin.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/lytics/grid/v3"
	"github.com/lytics/grid/v3/ring"
	etcdv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// command is a line of the script. Each operation reads its own fields.
type command struct {
	ID        int      `json:"id"`
	Op        string   `json:"op"`
	TimeoutMs int      `json:"timeout_ms"`
	To        string   `json:"to"`
	Text      string   `json:"text"`
	Size      int      `json:"size"`
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	Data      string   `json:"data"`
	Kind      string   `json:"kind"`
	Members   []string `json:"members"`
	Fastest   bool     `json:"fastest"`
	Address   string   `json:"address"`
	Hex       string   `json:"hex"`
	Rings     int      `json:"rings"`
	Reserved  int      `json:"reserved"`
	Keys      []string `json:"keys"`
	Ints      []int    `json:"ints"`
	// Count is the number of calls in a burst. Their connection is closed once CloseAfter of them
	// have ended; 0 means all.
	Count      int `json:"count"`
	CloseAfter int `json:"close_after"`
	// Window is the flow-control window of a burst's connection and of its streams, in bytes; 0
	// means grpc-go's default, which grows with the traffic.
	Window int32 `json:"window"`
	// Metadata is sent with a request, as pairs of names and values.
	Metadata []string `json:"metadata"`
}

// reply is the result of a command. A watch also replies once for each event.
type reply struct {
	ID       int              `json:"id"`
	Event    string           `json:"event,omitempty"`
	Type     string           `json:"type,omitempty"`
	Text     string           `json:"text,omitempty"`
	Length   int              `json:"length,omitempty"`
	Error    *failed          `json:"error,omitempty"`
	Entries  []entry          `json:"entries,omitempty"`
	Results  map[string]reply `json:"results,omitempty"`
	Names    []string         `json:"names,omitempty"`
	Outcomes []outcome        `json:"outcomes,omitempty"`
}

// failed is an error: the code of its gRPC status, or -1 for an error of the library itself.
type failed struct {
	Code int    `json:"code"`
	Text string `json:"text"`
}

type entry struct {
	Name        string   `json:"name"`
	Peer        string   `json:"peer"`
	Annotations []string `json:"annotations"`
}

var stdout struct {
	sync.Mutex
	*json.Encoder
}

func say(reply reply) {
	stdout.Lock()
	defer stdout.Unlock()
	stdout.Encode(reply)
}

func main() {
	etcd := flag.String("etcd", "127.0.0.1:2379", "the etcd, as host:port")
	namespace := flag.String("namespace", "interop", "the grid")
	flag.Parse()
	stdout.Encoder = json.NewEncoder(os.Stdout)
	if err := run(*etcd, *namespace); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(etcd, namespace string) error {
	if err := grid.Register(grid.EchoMsg{}); err != nil {
		return err
	}
	etcdClient, err := etcdv3.New(etcdv3.Config{Endpoints: []string{etcd}, DialTimeout: 5 * time.Second})
	if err != nil {
		return err
	}
	defer etcdClient.Close()
	client, err := grid.NewClient(etcdClient, grid.ClientCfg{Namespace: namespace, ConnectionsPerPeer: 1})
	if err != nil {
		return err
	}
	defer client.Close()
	script := bufio.NewReader(os.Stdin)
	for {
		line, err := script.ReadBytes('\n')
		if err != nil {
			return nil
		}
		var c command
		if err := json.Unmarshal(line, &c); err != nil {
			return err
		}
		go carryOut(client, c)
	}
}

func carryOut(client *grid.Client, c command) {
	timeout := 10 * time.Second
	if c.TimeoutMs != 0 {
		timeout = time.Duration(c.TimeoutMs) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if len(c.Metadata) > 0 {
		ctx = metadata.AppendToOutgoingContext(ctx, c.Metadata...)
	}
	var r reply
	switch c.Op {
	case "request":
		r = answered(client.RequestC(ctx, c.To, c.message()))
	case "start":
		start := grid.NewActorStart("%s", c.Name)
		start.Type = c.Type
		start.Data = []byte(c.Data)
		r = answered(client.RequestC(ctx, c.To, start))
	case "process":
		r = process(ctx, c)
	case "burst":
		r = burst(ctx, c)
	case "broadcast":
		r = broadcast(ctx, client, c)
	case "query":
		events, err := client.QueryC(ctx, grid.EntityType(c.Kind))
		r = listed(events, err)
	case "watch":
		watch(client, c)
		return
	case "check":
		health, err := client.Check(ctx, c.To)
		r = reply{Text: health.GetStatus().String(), Error: failure(err)}
	case "check_service":
		r = checkService(ctx, c)
	case "watch_health":
		watchHealth(client, c)
		return
	case "wait_until_serving":
		r = reply{Error: failure(client.WaitUntilServing(ctx, c.To))}
	case "ring":
		r = byRing(c)
	default:
		r = reply{Error: failure(fmt.Errorf("unknown op %q", c.Op))}
	}
	r.ID = c.ID
	say(r)
}

// message returns an EchoMsg with the command's text, padded to its size.
func (c command) message() *grid.EchoMsg {
	text := c.Text
	if missing := c.Size - len(text); missing > 0 {
		text += strings.Repeat("x", missing)
	}
	return &grid.EchoMsg{Msg: text}
}

func failure(err error) *failed {
	if err == nil {
		return nil
	}
	if s, ok := status.FromError(err); ok {
		return &failed{Code: int(s.Code()), Text: s.Message()}
	}
	return &failed{Code: -1, Text: err.Error()}
}

func answered(answer interface{}, err error) reply {
	r := reply{Error: failure(err)}
	if err == nil {
		r.Type = fmt.Sprintf("%T", answer)
	}
	if echo, ok := answer.(*grid.EchoMsg); ok {
		r.Length = len(echo.Msg)
		if len(echo.Msg) < 1000 {
			r.Text = echo.Msg
		}
	}
	return r
}

// rawCodec sends bytes that need not be a valid message.
type rawCodec struct{}

func (rawCodec) Marshal(v interface{}) ([]byte, error)   { return v.([]byte), nil }
func (rawCodec) Unmarshal(b []byte, v interface{}) error { *v.(*[]byte) = b; return nil }
func (rawCodec) Name() string                            { return "proto" }

// process makes one call of the wire service, without the library's repeats. It sends the Delivery
// in the command's hex digits or, if there are none, an EchoMsg to the receiver `to` under the
// type's name.
func process(ctx context.Context, c command) reply {
	conn, err := grpc.Dial(c.Address, grpc.WithInsecure())
	if err != nil {
		return reply{Error: failure(err)}
	}
	defer conn.Close()
	if c.Hex != "" {
		bytes, err := hex.DecodeString(c.Hex)
		if err != nil {
			return reply{Error: failure(err)}
		}
		var answer []byte
		err = conn.Invoke(ctx, "/grid.wire/Process", bytes, &answer, grpc.ForceCodec(rawCodec{}))
		return reply{Text: hex.EncodeToString(answer), Error: failure(err)}
	}
	data, err := proto.Marshal(c.message())
	if err != nil {
		return reply{Error: failure(err)}
	}
	delivery := &grid.Delivery{Data: data, TypeName: c.Type, Receiver: c.To}
	answer, err := grid.NewWireClient(conn).Process(ctx, delivery)
	return reply{Type: answer.GetTypeName(), Length: len(answer.GetData()), Error: failure(err)}
}

func broadcast(ctx context.Context, client *grid.Client, c command) reply {
	group := grid.NewListGroup(c.Members...)
	if c.Fastest {
		group = group.Fastest()
	}
	results, err := client.BroadcastC(ctx, group, c.message())
	r := reply{Error: failure(err), Results: map[string]reply{}}
	for member, result := range results {
		r.Results[member] = answered(result.Val, result.Err)
	}
	return r
}

func entryOf(event *grid.QueryEvent) entry {
	return entry{Name: event.Name(), Peer: event.Peer(), Annotations: event.Annotations()}
}

func listed(events []*grid.QueryEvent, err error) reply {
	r := reply{Error: failure(err)}
	for _, event := range events {
		r.Entries = append(r.Entries, entryOf(event))
	}
	return r
}

// watch replies with the current registrations, then with each event, until the process ends.
func watch(client *grid.Client, c command) {
	now, changes, err := client.QueryWatch(context.Background(), grid.EntityType(c.Kind))
	first := listed(now, err)
	first.ID = c.ID
	first.Event = "now"
	say(first)
	for event := range changes {
		r := reply{ID: c.ID, Entries: []entry{entryOf(event)}}
		switch event.Type() {
		case grid.EntityFound:
			r.Event = "found"
		case grid.EntityLost:
			r.Event = "lost"
		default:
			r.Event = "error"
			r.Error = failure(event.Err())
		}
		say(r)
	}
}

// checkService asks the server at an address for the health of one service.
func checkService(ctx context.Context, c command) reply {
	conn, err := grpc.Dial(c.Address, grpc.WithInsecure())
	if err != nil {
		return reply{Error: failure(err)}
	}
	defer conn.Close()
	request := &healthpb.HealthCheckRequest{Service: c.Name}
	health, err := healthpb.NewHealthClient(conn).Check(ctx, request)
	return reply{Text: health.GetStatus().String(), Error: failure(err)}
}

// watchHealth replies with each state of the peer, until the stream ends.
func watchHealth(client *grid.Client, c command) {
	stream, err := client.Watch(context.Background(), c.To)
	for err == nil {
		var health *healthpb.HealthCheckResponse
		if health, err = stream.Recv(); err == nil {
			say(reply{ID: c.ID, Event: "health", Text: health.GetStatus().String()})
		}
	}
	say(reply{ID: c.ID, Event: "end", Error: failure(err)})
}

// byRing maps keys as the library does: with a multi-ring if the command has rings, otherwise with
// a ring that has the command's size in members.
func byRing(c command) reply {
	var r reply
	if c.Rings > 0 {
		multi := ring.NewMultiRing(c.Name, c.Size, c.Rings, c.Reserved)
		for _, key := range c.Keys {
			r.Names = append(r.Names, multi.ByHashedString(key).ID())
			if c.Reserved > 0 {
				r.Names = append(r.Names, multi.ByReservedHashedString(key).ID())
			}
		}
		for _, one := range multi.Rings() {
			for _, start := range one.Actors() {
				r.Names = append(r.Names, start.Name+" "+start.Type)
			}
		}
		return r
	}
	one := ring.New(c.Name, c.Size)
	for _, key := range c.Keys {
		r.Names = append(r.Names, one.ByHashedString(key), one.ByHashedBytes([]byte(key)))
	}
	// The method belongs to the ring itself, not to the interface.
	hashed := one.(interface{ ByHashedInt(int) string })
	for _, key := range c.Ints {
		r.Names = append(r.Names, hashed.ByHashedInt(key))
		if key >= 0 {
			r.Names = append(r.Names, one.ByInt(key), one.ByUint64(uint64(key)))
		}
	}
	return r
}
