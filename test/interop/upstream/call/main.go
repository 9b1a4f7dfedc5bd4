// Call is upstream's client for our server: see ../README.md, and ../../peer/call for its scenarios and what it prints.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	stderrors "errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/bearlytools/claw/rpc/client"
	"github.com/bearlytools/claw/rpc/errors"
	"github.com/bearlytools/claw/rpc/metadata"
	"github.com/coder/websocket"
	base "github.com/gostdlib/base/context"
)

type result = map[string]any

const largest = 4 << 20

var scenarios = map[string]func(ctx context.Context, c *client.Conn) (result, error){
	"unary": unary, "metadata": meta, "errors": fail, "repeat": repeat, "bidi": bidi, "broken": broken,
	"deadline": deadline, "large": large, "sessions": sessions, "ping": ping, "parallel": parallel, "drain": drain,
	"slow-reader": slowReader,
}

// impossible are the scenarios upstream cannot do, each with its defect.
var impossible = map[string]string{
	"refused":      "D11: code and text of a refusal are thrown away",
	"collect":      "D24: the outcome of a client stream cannot be seen",
	"slow-handler": "D24: the outcome of a client stream cannot be seen",
	"cancel":       "D13: Cancel of a request cannot be told from Cancel of the session",
}

func main() {
	address := flag.String("address", "", "tcp://host:port or ws://host:port/path")
	compression := flag.Uint("compression", 0, "of everything sent: 1 gzip, 2 snappy, 3 zstd")
	packing := flag.Bool("packing", false, "ask for packing")
	flag.Parse()
	options := []client.Option{client.WithPingInterval(300 * time.Millisecond)}
	switch *compression {
	case 1:
		options = append(options, client.WithCompression(1))
	case 2:
		options = append(options, client.WithCompression(2))
	case 3:
		options = append(options, client.WithCompression(3))
	}
	for _, name := range flag.Args() {
		line := result{"scenario": name}
		if why := impossible[name]; why != "" {
			line["skipped"] = why
		} else if *packing {
			line["skipped"] = "D6: the second session of a packed connection hangs"
		} else if found, err := run(name, *address, options); err != nil {
			line["error"] = fmt.Sprintf("%v (%+v)", err, found)
		} else {
			line["result"] = found
		}
		say(line)
	}
}

func run(name, address string, options []client.Option) (result, error) {
	scenario := scenarios[name]
	if scenario == nil {
		return nil, fmt.Errorf("there is no scenario %s", name)
	}
	ctx, stop := context.WithTimeout(base.Background(), 20*time.Second)
	defer stop()
	transport, err := dial(address)
	if err != nil {
		return nil, err
	}
	c := client.New(base.Background(), transport, options...)
	defer c.Close()
	return scenario(ctx, c)
}

func dial(address string) (io.ReadWriteCloser, error) {
	if host, isTCP := strings.CutPrefix(address, "tcp://"); isTCP {
		return net.Dial("tcp", host)
	}
	ws, _, err := websocket.Dial(context.Background(), address, nil)
	if err != nil {
		return nil, err
	}
	conn := websocket.NetConn(context.Background(), ws, websocket.MessageBinary)
	ws.SetReadLimit(-1)
	return conn, nil
}

func say(line result) { json.NewEncoder(os.Stdout).Encode(line) }

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return fmt.Sprintf("%d %s", len(b), hex.EncodeToString(s[:8]))
}

func noise(n int) []byte {
	b, x := make([]byte, n), uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// told makes an outcome of an error: "EOF" for a good end, or code and text.
func told(err error) string {
	var e errors.Error
	if err == nil {
		return "EOF"
	}
	if stderrors.As(err, &e) {
		if category, ok := e.Category.(errors.Category); ok {
			return fmt.Sprintf("%d %s", category, strings.TrimPrefix(err.Error(), "server error: "))
		}
	}
	return err.Error()
}

func unary(ctx context.Context, c *client.Conn) (result, error) {
	k, err := c.Sync(ctx, "example", "Echo", "Unary")
	if err != nil {
		return nil, err
	}
	defer k.Close()
	var answers []string
	for _, request := range [][]byte{[]byte("hello"), {}, make([]byte, 8), []byte(strings.Repeat("Grüße ", 500)), noise(100_000)} {
		answer, err := k.Call(ctx, request)
		if err != nil {
			return nil, err
		}
		answers = append(answers, sum(answer))
	}
	return result{"answers": answers}, nil
}

func meta(ctx context.Context, c *client.Conn) (result, error) {
	md := metadata.New("authorization", "Bearer x", "Upper", "\x00\xff", "ключ", "")
	k, err := c.Sync(ctx, "interop", "Test", "Meta", client.WithMetadata(md))
	if err != nil {
		return nil, err
	}
	answer, err := k.Call(ctx, []byte("x"))
	return result{"seen": strings.Split(string(answer), "\n")}, err
}

func fail(ctx context.Context, c *client.Conn) (result, error) {
	var outcomes []string
	for code := 1; code <= 16; code++ {
		if code == 2 {
			continue // reserved
		}
		md := metadata.New("category", fmt.Sprint(code), "message", fmt.Sprintf("no %d ✓", code))
		k, err := c.Sync(ctx, "example", "Echo", "Fail", client.WithMetadata(md))
		if err != nil {
			return nil, err
		}
		_, err = k.Call(ctx, []byte("x"))
		outcomes = append(outcomes, told(err))
	}
	return result{"outcomes": outcomes}, nil
}

func receiveAll(ctx context.Context, s *client.RecvClient, size int) (result, error) {
	count := 0
	for b := range s.Recv(ctx) {
		if len(b) != size || bytes.Count(b, []byte{byte(count)}) != size {
			return nil, fmt.Errorf("message %d: %s", count, sum(b))
		}
		count++
	}
	return result{"count": count, "end": told(s.Err())}, nil
}

func repeat(ctx context.Context, c *client.Conn) (result, error) {
	s, err := c.Recv(ctx, "example", "Echo", "Repeat", client.WithMetadata(metadata.New("count", "300", "size", "5000")))
	if err != nil {
		return nil, err
	}
	return receiveAll(ctx, s, 5000)
}

func broken(ctx context.Context, c *client.Conn) (result, error) {
	s, err := c.Recv(ctx, "interop", "Test", "Break")
	if err != nil {
		return nil, err
	}
	return receiveAll(ctx, s, 8)
}

func slowReader(ctx context.Context, c *client.Conn) (result, error) {
	s, err := c.Recv(ctx, "example", "Echo", "Repeat", client.WithMetadata(metadata.New("count", "256", "size", "262144")))
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Second)
	say(result{"event": "reading"})
	return receiveAll(ctx, s, 262144)
}

// exchange sends messages on a bidirectional stream and gets them back.
func exchange(ctx context.Context, c *client.Conn, messages ...[]byte) (result, error) {
	s, err := c.BiDir(ctx, "example", "Echo", "BiDi")
	if err != nil {
		return nil, err
	}
	go func() {
		for _, b := range messages {
			s.Send(ctx, b)
		}
		s.CloseSend()
	}()
	i := 0
	for b := range s.Recv(ctx) {
		if i >= len(messages) || !bytes.Equal(b, messages[i]) {
			return nil, fmt.Errorf("message %d: %s", i, sum(b))
		}
		i++
	}
	if i != len(messages) {
		return nil, fmt.Errorf("%d of %d messages, %v", i, len(messages), s.Err())
	}
	return result{"end": told(s.Err())}, nil
}

func bidi(ctx context.Context, c *client.Conn) (result, error) {
	messages := make([][]byte, 550)
	for i := range messages {
		messages[i] = noise(i * 100)
	}
	return exchange(ctx, c, messages...)
}

func large(ctx context.Context, c *client.Conn) (result, error) {
	k, err := c.Sync(ctx, "example", "Echo", "Unary")
	if err != nil {
		return nil, err
	}
	b := noise(largest)
	answer, err := k.Call(ctx, b)
	if err != nil {
		return nil, err
	}
	found, err := exchange(ctx, c, b, make([]byte, largest))
	if err == nil {
		found["unary"] = bytes.Equal(answer, b)
	}
	return found, err
}

func deadline(ctx context.Context, c *client.Conn) (result, error) {
	short, stop := context.WithTimeout(ctx, 150*time.Millisecond)
	defer stop()
	started := time.Now()
	k, err := c.Sync(short, "example", "Echo", "Sleep")
	if err != nil {
		return nil, err
	}
	if _, err = k.Call(short, []byte("10000")); err == nil {
		return nil, stderrors.New("answered")
	}
	return result{"soon": time.Since(started) < 5*time.Second}, nil
}

func sessions(ctx context.Context, c *client.Conn) (result, error) {
	if _, err := parallel(ctx, c); err != nil {
		return nil, err
	}
	if _, err := repeat(ctx, c); err != nil {
		return nil, err
	}
	return bidi(ctx, c)
}

// ping leaves the connection idle: the client asks by itself, and would end it without an answer.
func ping(ctx context.Context, c *client.Conn) (result, error) {
	time.Sleep(2 * time.Second)
	_, err := unary(ctx, c)
	return result{"alive": c.Err() == nil}, err
}

// parallel makes 8 callers call, each on a session of its own.
func parallel(ctx context.Context, c *client.Conn) (result, error) {
	var all sync.WaitGroup
	errs := make(chan error, 8)
	for caller := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			k, err := c.Sync(ctx, "example", "Echo", "Unary")
			if err != nil {
				errs <- err
				return
			}
			defer k.Close()
			for i := range 100 {
				want := fmt.Sprintf("caller %d call %d", caller, i)
				if answer, err := k.Call(ctx, []byte(want)); err != nil || string(answer) != want {
					errs <- fmt.Errorf("%s: %s, %v", want, answer, err)
					return
				}
			}
		}()
	}
	all.Wait()
	close(errs)
	return result{"calls": 800}, <-errs
}

func drain(ctx context.Context, c *client.Conn) (result, error) {
	k, err := c.Sync(ctx, "example", "Echo", "Sleep")
	if err != nil {
		return nil, err
	}
	if _, err := k.Call(ctx, []byte("0")); err != nil {
		return nil, err
	}
	time.AfterFunc(100*time.Millisecond, func() { say(result{"event": "running"}) })
	answer, err := k.Call(ctx, []byte("700"))
	return result{"answer": string(answer)}, err
}
