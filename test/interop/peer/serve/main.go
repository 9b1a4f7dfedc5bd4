// Serve is a Go server for our client: prints its addresses as one line of JSON, then obeys lines on standard input
// ("shutdown"); ends with it. The service is that of example/echo.mjs, and interop.Test beside it.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"fastify-claw/interop/peer/claw"
)

func main() {
	var opt claw.Options
	compression := flag.Uint("compression", 0, "of everything sent: 1 gzip, 2 snappy, 3 zstd")
	flag.BoolVar(&opt.Packing, "packing", false, "grant packing")
	flag.Parse()
	opt.Compression = uint8(*compression)
	claw.Logf = log.Printf

	server := claw.NewServer(opt)
	register(server)
	tcp, ws, err := server.Listen()
	if err != nil {
		log.Fatal(err)
	}
	say(map[string]string{"tcp": tcp, "ws": ws})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() == "shutdown" {
			server.Shutdown()
			say(map[string]bool{"shutdown": true})
		}
	}
}

func say(value any) { json.NewEncoder(os.Stdout).Encode(value) }

func register(server *claw.Server) {
	unary := func(call string, f func(context.Context, []byte, []claw.Metadata) ([]byte, error)) {
		server.Register("example", "Echo", call, claw.Handler{Kind: claw.Sync, Sync: f})
	}
	stream := func(call string, kind uint8, f func(*claw.ServerStream) error) {
		server.Register("example", "Echo", call, claw.Handler{Kind: kind, Stream: f})
	}
	unary("Unary", func(_ context.Context, request []byte, _ []claw.Metadata) ([]byte, error) { return request, nil })
	unary("Fail", func(_ context.Context, _ []byte, md []claw.Metadata) ([]byte, error) {
		return nil, &claw.Error{Code: uint16(number(md, "category")), Text: value(md, "message")}
	})
	unary("Sleep", func(ctx context.Context, request []byte, _ []claw.Metadata) ([]byte, error) {
		ms, _ := strconv.Atoi(string(request))
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
			return request, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	stream("Collect", claw.Send, collect)
	stream("Repeat", claw.Recv, func(s *claw.ServerStream) error {
		count := number(s.Metadata, "count")
		for i := range count {
			if err := s.Send(filled(number(s.Metadata, "size"), i)); err != nil {
				return err
			}
		}
		s.Trailer = trailer("sent", count)
		return nil
	})
	stream("BiDi", claw.BiDi, func(s *claw.ServerStream) error {
		echoed := 0
		for {
			b, err := s.Recv()
			if err == io.EOF {
				s.Trailer = trailer("echoed", echoed)
				return s.Ctx.Err()
			}
			if err := s.Send(b); err != nil {
				return err
			}
			echoed++
		}
	})

	test := func(call string, h claw.Handler) { server.Register("interop", "Test", call, h) }
	test("Meta", claw.Handler{Kind: claw.Sync, Sync: func(_ context.Context, _ []byte, md []claw.Metadata) ([]byte, error) {
		var lines []string
		for _, entry := range md {
			lines = append(lines, entry.Key+"="+hex.EncodeToString(entry.Value))
		}
		sort.Strings(lines)
		return []byte(strings.Join(lines, "\n")), nil
	}})
	test("Stats", claw.Handler{Kind: claw.Sync, Sync: func(context.Context, []byte, []claw.Metadata) ([]byte, error) {
		return json.Marshal(map[string]int64{"pings": server.Pings.Load(), "bodyless": server.Bodyless.Load(), "sent": server.Sent.Load()})
	}})
	// Fails after three messages: the text must not get lost behind them (D9).
	test("Break", claw.Handler{Kind: claw.Recv, Stream: func(s *claw.ServerStream) error {
		for i := range 3 {
			if err := s.Send(filled(8, i)); err != nil {
				return err
			}
		}
		return &claw.Error{Code: 15, Text: "the rest is lost"}
	}})
	// Reads nothing for a while, then everything: its sender has to wait.
	test("Hold", claw.Handler{Kind: claw.Send, Stream: func(s *claw.ServerStream) error {
		time.Sleep(time.Duration(number(s.Metadata, "ms")) * time.Millisecond)
		return collect(s)
	}})
}

func collect(s *claw.ServerStream) error {
	count, total := 0, 0
	for {
		b, err := s.Recv()
		if err == io.EOF {
			s.Trailer = append(trailer("count", count), trailer("total", total)...)
			return s.Ctx.Err()
		}
		count++
		total += len(b)
	}
}

func filled(size, i int) []byte {
	b := make([]byte, size)
	for at := range b {
		b[at] = byte(i)
	}
	return b
}

func trailer(key string, n int) []claw.Metadata {
	return []claw.Metadata{{Key: key, Value: fmt.Append(nil, n)}}
}

func value(md []claw.Metadata, key string) string {
	for _, entry := range md {
		if entry.Key == key {
			return string(entry.Value)
		}
	}
	return ""
}

func number(md []claw.Metadata, key string) int {
	n, _ := strconv.Atoi(value(md, key))
	return n
}
