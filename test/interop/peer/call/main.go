// Call is a Go client for our server: runs the scenarios it is given, each on a connection of its own, and prints one
// line of JSON for each: {"scenario", "result"} or {"scenario", "error"}. A line with "event" may come before.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"fastify-claw/interop/peer/claw"
)

type result = map[string]any

var scenarios = map[string]func(ctx context.Context, c *claw.Client) (result, error){
	"unary": unary, "metadata": meta, "errors": fail, "refused": refused, "collect": collect, "repeat": repeat,
	"bidi": bidi, "broken": broken, "deadline": deadline, "cancel": cancel, "large": large, "sessions": sessions,
	"ping": ping, "parallel": parallel, "drain": drain, "slow-reader": slowReader, "slow-handler": slowHandler,
}

func main() {
	var opt claw.Options
	address := flag.String("address", "", "tcp://host:port or ws://host:port/path")
	compression := flag.Uint("compression", 0, "of everything sent: 1 gzip, 2 snappy, 3 zstd")
	flag.BoolVar(&opt.Packing, "packing", false, "ask for packing")
	flag.Parse()
	opt.Compression = uint8(*compression)
	claw.Logf = log.Printf

	for _, name := range flag.Args() {
		line := result{"scenario": name}
		if found, err := run(name, *address, opt); err != nil {
			line["error"] = fmt.Sprintf("%v (%+v)", err, found)
		} else {
			line["result"] = found
		}
		say(line)
	}
}

func run(name, address string, opt claw.Options) (result, error) {
	scenario := scenarios[name]
	if scenario == nil {
		return nil, fmt.Errorf("there is no scenario %s", name)
	}
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	conn, err := claw.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	c := claw.NewClient(conn, opt)
	defer c.Close()
	// No scenario may hang: without its connection each ends.
	defer time.AfterFunc(20*time.Second, c.Close).Stop()
	found, err := scenario(context.Background(), c)
	if found != nil && opt.Compression != 0 {
		found["compressedAnswers"] = c.Seen(opt.Compression)
	}
	return found, err
}

func say(line result) { json.NewEncoder(os.Stdout).Encode(line) }

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return fmt.Sprintf("%d %s", len(b), hex.EncodeToString(s[:8]))
}

// noise is not compressible much and not random.
func noise(n int) []byte {
	b, x := make([]byte, n), uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

func entry(key, value string) claw.Metadata {
	return claw.Metadata{Key: key, Value: []byte(value)}
}

// told makes an outcome of an error: nil, "EOF" or code and text.
func told(err error) any {
	if e, ok := err.(*claw.Error); ok {
		return fmt.Sprintf("%d %s", e.Code, e.Text)
	}
	if err != nil {
		return err.Error()
	}
	return nil
}

func unary(ctx context.Context, c *claw.Client) (result, error) {
	k, err := c.Caller(ctx, "Echo", "Unary")
	if err != nil {
		return nil, err
	}
	var answers []string
	for _, request := range [][]byte{[]byte("hello"), {}, {0, 0, 0, 0, 0, 0, 0, 0}, []byte(strings.Repeat("Grüße ", 500)), noise(100_000)} {
		answer, err := k.Call(request)
		if err != nil {
			return nil, err
		}
		if string(answer) != string(request) {
			return nil, fmt.Errorf("%s came back as %s", sum(request), sum(answer))
		}
		answers = append(answers, sum(answer))
	}
	k.Close()
	return result{"answers": answers, "end": told(k.Ended())}, nil
}

func meta(ctx context.Context, c *claw.Client) (result, error) {
	k, err := c.Caller(ctx, "Test", "Meta", entry("authorization", "Bearer x"), entry("Upper", "\x00\xff"), entry("ключ", ""))
	if err != nil {
		return nil, err
	}
	answer, err := k.Call([]byte("x"))
	return result{"seen": strings.Split(string(answer), "\n")}, err
}

func fail(ctx context.Context, c *claw.Client) (result, error) {
	var outcomes []any
	for code := 1; code <= 16; code++ {
		if code == 2 {
			continue // reserved
		}
		k, err := c.Caller(ctx, "Echo", "Fail", entry("category", fmt.Sprint(code)), entry("message", fmt.Sprintf("no %d ✓", code)))
		if err != nil {
			return nil, err
		}
		_, err = k.Call([]byte("x"))
		outcomes = append(outcomes, told(err))
	}
	return result{"outcomes": outcomes}, nil
}

func refused(ctx context.Context, c *claw.Client) (result, error) {
	_, unknown := c.Open(ctx, claw.Sync, "Echo", "Nope")
	_, mismatch := c.Open(ctx, claw.BiDi, "Echo", "Unary")
	again, err := unary(ctx, c)
	return result{"unknown": told(unknown), "mismatch": told(mismatch), "after": again["end"]}, err
}

func collect(ctx context.Context, c *claw.Client) (result, error) {
	s, err := c.Open(ctx, claw.Send, "Echo", "Collect")
	if err != nil {
		return nil, err
	}
	for i := range 100 {
		if err := s.Send(noise(i * 10)); err != nil {
			return nil, err
		}
	}
	s.CloseSend()
	s.Close()               // at once: it waits for nothing
	answer, end := s.Recv() // our server has one, which upstream's client could not see (D24)
	if end == nil {
		_, end = s.Recv()
	}
	return result{"answer": string(answer), "end": told(end), "trailer": s.Trailer()}, nil
}

func repeat(ctx context.Context, c *claw.Client) (result, error) {
	s, err := c.Open(ctx, claw.Recv, "Echo", "Repeat", entry("count", "300"), entry("size", "5000"))
	if err != nil {
		return nil, err
	}
	return receiveAll(s, 5000)
}

func receiveAll(s *claw.Stream, size int) (result, error) {
	count := 0
	for {
		b, err := s.Recv()
		if err != nil {
			return result{"count": count, "end": told(err), "trailer": s.Trailer(), "endStream": s.SawEnd}, nil
		}
		if len(b) != size || bytes.Count(b, []byte{byte(count)}) != size {
			return nil, fmt.Errorf("message %d: %s", count, sum(b))
		}
		count++
	}
}

func bidi(ctx context.Context, c *claw.Client) (result, error) {
	s, err := c.Open(ctx, claw.BiDi, "Echo", "BiDi")
	if err != nil {
		return nil, err
	}
	echo := func(i int) error {
		b, err := s.Recv()
		if err == nil && sum(b) != sum(noise(i*100)) {
			err = fmt.Errorf("message %d: %s", i, sum(b))
		}
		return err
	}
	for i := range 50 { // in lockstep, an empty message among them
		if err := s.Send(noise(i * 100)); err != nil {
			return nil, err
		}
		if err := echo(i); err != nil {
			return nil, err
		}
	}
	go func() { // and ahead
		for i := range 500 {
			s.Send(noise(i * 100))
		}
		s.CloseSend()
	}()
	for i := range 500 {
		if err := echo(i); err != nil {
			return nil, err
		}
	}
	_, end := s.Recv()
	return result{"end": told(end), "trailer": s.Trailer(), "endStream": s.SawEnd}, nil
}

func broken(ctx context.Context, c *claw.Client) (result, error) {
	s, err := c.Open(ctx, claw.Recv, "Test", "Break")
	if err != nil {
		return nil, err
	}
	return receiveAll(s, 8)
}

func deadline(ctx context.Context, c *claw.Client) (result, error) {
	short, stop := context.WithTimeout(ctx, 150*time.Millisecond)
	defer stop()
	started := time.Now()
	k, err := c.Caller(short, "Echo", "Sleep")
	if err != nil {
		return nil, err
	}
	_, unary := k.Call([]byte("10000"))
	s, err := c.Open(short, claw.BiDi, "Echo", "BiDi")
	if err != nil {
		return nil, err
	}
	_, stream := s.Recv()
	return result{"unary": told(unary), "stream": told(stream), "soon": time.Since(started) < 5*time.Second}, nil
}

func cancel(ctx context.Context, c *claw.Client) (result, error) {
	k, err := c.Caller(ctx, "Echo", "Sleep")
	if err != nil {
		return nil, err
	}
	if _, err := k.Call([]byte("0")); err != nil {
		return nil, err
	}
	req, _, err := k.Begin([]byte("60000"))
	if err != nil {
		return nil, err
	}
	k.Cancel(req)
	after, err := k.Call([]byte("1")) // our server keeps the session
	if err != nil {
		return nil, err
	}
	k.Cancel(0) // request 0 is over: "everything"
	s, err := c.Open(ctx, claw.BiDi, "Echo", "BiDi")
	if err != nil {
		return nil, err
	}
	s.Cancel(0)
	_, stream := s.Recv()
	return result{"after": string(after), "everything": told(k.Ended()), "stream": told(stream)}, nil
}

func large(ctx context.Context, c *claw.Client) (result, error) {
	b := noise(claw.MaxPayload)
	k, err := c.Caller(ctx, "Echo", "Unary")
	if err != nil {
		return nil, err
	}
	answer, err := k.Call(b)
	if err != nil {
		return nil, err
	}
	s, err := c.Open(ctx, claw.BiDi, "Echo", "BiDi")
	if err != nil {
		return nil, err
	}
	go func() {
		s.Send(b)
		s.Send(make([]byte, claw.MaxPayload))
		s.CloseSend()
	}()
	first, _ := s.Recv()
	second, _ := s.Recv()
	_, end := s.Recv()
	return result{"unary": sum(answer) == sum(b), "first": sum(first) == sum(b), "second": sum(second), "end": told(end)}, nil
}

// sessions opens several at once before the first answer (H2) and one after another (H1).
func sessions(ctx context.Context, c *claw.Client) (result, error) {
	if _, err := parallel(ctx, c); err != nil {
		return nil, err
	}
	for range 3 {
		if _, err := unary(ctx, c); err != nil {
			return nil, err
		}
		if _, err := repeat(ctx, c); err != nil {
			return nil, err
		}
	}
	return bidi(ctx, c)
}

func ping(ctx context.Context, c *claw.Client) (result, error) {
	var pongs []uint32
	pong := func() error {
		if err := c.Ping(); err != nil {
			return err
		}
		select {
		case id := <-c.Pongs:
			pongs = append(pongs, id)
			return nil
		case <-time.After(5 * time.Second):
			return fmt.Errorf("no pong")
		}
	}
	if err := pong(); err != nil { // before any session
		return nil, err
	}
	if _, err := unary(ctx, c); err != nil {
		return nil, err
	}
	err := pong()
	return result{"pongs": pongs, "alive": err == nil}, err
}

// parallel makes 8 callers call, on sessions of their own and all on one.
func parallel(ctx context.Context, c *claw.Client) (result, error) {
	var all sync.WaitGroup
	errs := make(chan error, 16)
	calls := func(k *claw.Caller, caller int) {
		defer all.Done()
		for i := range 50 {
			want := fmt.Sprintf("caller %d call %d", caller, i)
			if answer, err := k.Call([]byte(want)); err != nil || string(answer) != want {
				errs <- fmt.Errorf("%s: %s, %v", want, answer, err)
				return
			}
		}
	}
	all.Add(8)
	for i := range 8 {
		go func() {
			k, err := c.Caller(ctx, "Echo", "Unary")
			if err != nil {
				errs <- err
				all.Done()
				return
			}
			calls(k, i)
			k.Close()
		}()
	}
	all.Wait()
	shared, err := c.Caller(ctx, "Echo", "Unary")
	if err != nil {
		return nil, err
	}
	all.Add(8)
	for i := range 8 {
		go calls(shared, i)
	}
	all.Wait()
	close(errs)
	return result{"calls": 800}, <-errs
}

// drain has one session idle and one busy when the server is shut down.
func drain(ctx context.Context, c *claw.Client) (result, error) {
	idle, err := c.Caller(ctx, "Echo", "Unary")
	if err != nil {
		return nil, err
	}
	if _, err := idle.Call([]byte("x")); err != nil {
		return nil, err
	}
	busy, err := c.Caller(ctx, "Echo", "Sleep")
	if err != nil {
		return nil, err
	}
	_, wait, err := busy.Begin([]byte("700"))
	if err != nil {
		return nil, err
	}
	say(result{"event": "running"})
	idleEnd := idle.Ended()
	_, refusal := c.Open(ctx, claw.Sync, "Echo", "Unary")
	answer, err := wait()
	<-c.Over()
	return result{"answer": string(answer), "err": told(err), "idle": told(idleEnd), "refusal": told(refusal), "trace": c.Trace}, nil
}

// slowReader leaves 64 MiB unread for a second.
func slowReader(ctx context.Context, c *claw.Client) (result, error) {
	s, err := c.Open(ctx, claw.Recv, "Echo", "Repeat", entry("count", "256"), entry("size", "262144"))
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Second)
	say(result{"event": "reading"})
	return receiveAll(s, 262144)
}

// slowHandler sends 64 MiB to a handler that does not read yet.
func slowHandler(ctx context.Context, c *claw.Client) (result, error) {
	s, err := c.Open(ctx, claw.Send, "Test", "Hold", entry("ms", "1000"))
	if err != nil {
		return nil, err
	}
	say(result{"event": "sending"})
	for i := range 256 {
		if err := s.Send(make([]byte, 262144)); err != nil {
			return nil, fmt.Errorf("message %d: %w", i, err)
		}
	}
	s.CloseSend()
	s.Close()
	for err = nil; err == nil; {
		_, err = s.Recv()
	}
	if err != io.EOF {
		return nil, err
	}
	return result{"trailer": s.Trailer()}, nil
}
